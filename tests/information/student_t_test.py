"""Closed forms of the Student t and the Gaussian: published values, chain rules, limits, Monte Carlo."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from gentoolkit.information import gaussian, student_t

CORRELATION = np.array([[1, 0.5, 0.2], [0.5, 1, -0.3], [0.2, -0.3, 1]])
# Compiled whole: untraced, each operation is a program of its own for each shape. measures_test.py calls some untraced.
entropy, total_correlation, mutual_information = (
    jax.jit(f, static_argnames=("split",) if f is student_t.mutual_information else ())
    for f in (student_t.entropy, student_t.total_correlation, student_t.mutual_information)
)
normal_entropy, normal_total_correlation = map(jax.jit, (gaussian.entropy, gaussian.total_correlation))
normal_mutual_information, normal_conditional_mutual_information = (
    jax.jit(f, static_argnames="split") for f in (gaussian.mutual_information, gaussian.conditional_mutual_information)
)


# Total correlation for nu = 3 and 5, mutual information of d + d and of the halves of d components, identity scatter.
TABLE = {
    2: (0.04241, 0.01713, None, None, 0.04241, 0.01713),
    3: (0.11047, 0.04649, 0.17871, 0.08902, 0.06805, 0.02936),
    10: (0.88467, 0.42686, 0.51946, 0.32883, 0.29854, 0.16554),
    50: (6.96475, 3.84097, 1.20256, 0.93269, 0.88852, 0.64265),
}


@pytest.mark.parametrize("d", TABLE)
def test_table_of_values(x64, d):
    for at, dof in enumerate((3.0, 5.0)):
        row = TABLE[d]
        np.testing.assert_allclose(total_correlation(np.eye(d), dof=dof), row[at], atol=6e-6)
        if row[2 + at] is not None:
            both = mutual_information(np.eye(2 * d), dof=dof, split=d)
            np.testing.assert_allclose(both, row[2 + at], atol=6e-6)
        halves = mutual_information(np.eye(d), dof=dof, split=(d + 1) // 2)
        np.testing.assert_allclose(halves, row[4 + at], atol=6e-6)


@pytest.mark.fast
@pytest.mark.parametrize("dof", [0.7, 3.0, 5.0, 19.9, 20.1, 300.0])  # both sides of the series
def test_entropy_is_that_of_scipy(x64, dof):
    want = scipy.stats.t(dof, scale=2.0).entropy()
    np.testing.assert_allclose(entropy(np.array([[4.0]]), dof=dof), want, rtol=1e-12)
    want = scipy.stats.multivariate_t(np.zeros(3), CORRELATION, df=dof).entropy()
    np.testing.assert_allclose(entropy(CORRELATION, dof=dof), want, rtol=1e-10)


def test_float32_keeps_five_digits():
    for d in (2, 3, 50):
        for dof in (1.0, 3.0, 20.0, 100.0):
            got = total_correlation(np.eye(d, dtype=np.float32), dof=dof)
            with jax.enable_x64(True):
                want = total_correlation(np.eye(d), dof=dof)
            assert got.dtype == jnp.float32
            # The rounding of h_1 is taken d times, and XLA orders the sum differently from one processor to another.
            np.testing.assert_allclose(got, want, rtol=1e-5, atol=4e-6)


@pytest.mark.fast
def test_chain_rule_and_split(x64):
    whole = total_correlation(CORRELATION, dof=4.0)
    pair = total_correlation(CORRELATION[:2, :2], dof=4.0)
    third = mutual_information(CORRELATION, dof=4.0, split=2)
    np.testing.assert_allclose(whole, pair + third, rtol=1e-12)
    entropies = sum(entropy(np.eye(1), dof=4.0) for _ in range(3))
    np.testing.assert_allclose(whole, entropies - entropy(CORRELATION, dof=4.0), rtol=1e-12)
    two = total_correlation(np.eye(2), dof=4.0)
    np.testing.assert_allclose(two, mutual_information(np.eye(2), dof=4.0, split=1), rtol=1e-12)


@pytest.mark.fast
def test_scales_do_not_count_and_blocks_may_be_swapped(x64):
    scale = np.diag([1e-3, 1.0, 50.0])
    got = total_correlation(scale @ CORRELATION @ scale, dof=3.0)
    np.testing.assert_allclose(got, total_correlation(CORRELATION, dof=3.0), rtol=1e-11)
    order = [2, 0, 1]
    swapped = mutual_information(CORRELATION[np.ix_(order, order)], dof=3.0, split=1)
    np.testing.assert_allclose(swapped, mutual_information(CORRELATION, dof=3.0, split=2), rtol=1e-11)


def test_infinite_degrees_of_freedom_are_the_gaussian(x64):
    want = -0.5 * np.linalg.slogdet(CORRELATION)[1]
    np.testing.assert_allclose(total_correlation(CORRELATION, dof=np.inf), want, rtol=1e-12)
    np.testing.assert_allclose(total_correlation(CORRELATION, dof=1e6), want, rtol=1e-9)
    np.testing.assert_allclose(normal_total_correlation(CORRELATION), want, rtol=1e-12)
    normal = scipy.stats.multivariate_normal(np.zeros(3), CORRELATION).entropy()
    np.testing.assert_allclose(normal_entropy(CORRELATION), normal, rtol=1e-12)
    np.testing.assert_allclose(entropy(CORRELATION, dof=np.inf), normal, rtol=1e-12)


@pytest.mark.fast
def test_gaussian_measures_are_differences_of_entropies(x64):
    cov = np.cov(np.random.default_rng(0).normal(size=(4, 9)))

    def block(*rows):
        return cov[np.ix_(rows, rows)]

    def H(*rows):
        return normal_entropy(block(*rows))

    whole = H(0, 1, 2, 3)
    np.testing.assert_allclose(normal_mutual_information(cov, split=1), H(0) + H(1, 2, 3) - whole, rtol=1e-10)
    want = H(0, 2, 3) + H(1, 2, 3) - H(2, 3) - whole
    np.testing.assert_allclose(normal_conditional_mutual_information(cov, split=(1, 1)), want, rtol=1e-9)
    # The chain rule I(x; z, g) = I(x; g) + I(x; z | g).
    first = normal_mutual_information(block(0, 2, 3), split=1)
    np.testing.assert_allclose(normal_mutual_information(cov, split=1), first + want, rtol=1e-9)


def test_monte_carlo():
    """The mean of log p(x) - sum log p(x_j) over draws, within four standard errors; so are the marginals of draws."""
    for dof in (3.0, 5.0):
        x = student_t.sample(jax.random.key(0), CORRELATION.astype(np.float32), dof=dof, num=100_000)
        x = np.float64(x)
        joint = scipy.stats.multivariate_t(np.zeros(3), CORRELATION, df=dof).logpdf(x)
        term = joint - scipy.stats.t(dof).logpdf(x).sum(axis=1)
        want = total_correlation(CORRELATION.astype(np.float32), dof=dof)
        assert abs(term.mean() - want) < 4 * scipy.stats.sem(term)
        for column in x.T[:, ::10]:
            assert scipy.stats.kstest(column, scipy.stats.t(dof).cdf).pvalue > 1e-3


def test_sampling_over_problems():
    scatter = jnp.stack([jnp.eye(2), 4 * jnp.eye(2)])
    x = student_t.sample(jax.random.key(0), scatter, dof=jnp.array([np.inf, 50.0]), num=4000)
    assert x.shape == (2, 4000, 2)
    np.testing.assert_allclose(np.asarray(x).var(axis=1), [[1, 1], [4 * 50 / 48] * 2], rtol=0.1)


def test_jit_vmap_and_gradient(x64):
    dofs = jnp.array([2.5, 4.0, 80.0])

    def total(dof):
        return total_correlation(CORRELATION, dof=dof)

    np.testing.assert_allclose(jax.jit(jax.vmap(total))(dofs), [total(dof) for dof in dofs], rtol=1e-12)
    gradient = jax.jit(jax.grad(total))
    for dof in dofs:
        slope = (total(dof + 1e-4) - total(dof - 1e-4)) / 2e-4
        np.testing.assert_allclose(gradient(dof), slope, rtol=1e-5)
    assert gradient(jnp.inf) == 0
    by_scatter = jax.jit(jax.grad(lambda c: total_correlation(c, dof=3.0)))(CORRELATION)
    assert np.isfinite(by_scatter).all()


@pytest.mark.fast
def test_a_matrix_that_is_not_positive_definite_gives_nan():
    bad = np.float32([[1, 2], [2, 1]])
    assert np.isnan(total_correlation(bad, dof=3.0)) and np.isnan(normal_entropy(bad))


@pytest.mark.fast
@pytest.mark.parametrize(
    ("ask", "told"),
    [
        (lambda: student_t.entropy(jnp.zeros((2, 3)), dof=3.0), "scatter.shape"),
        (lambda: student_t.entropy(jnp.eye(2), dof=0.0), "dof"),
        (lambda: student_t.mutual_information(jnp.eye(2), dof=3.0, split=2), "split"),
        (lambda: gaussian.entropy(jnp.zeros(3)), "covariance"),
        (lambda: gaussian.mutual_information(jnp.eye(2), split=0), "split"),
        (lambda: gaussian.conditional_mutual_information(jnp.eye(3), split=(1, 2)), "split"),
    ],
)
def test_wrong_arguments_are_refused_by_name(ask, told):
    with pytest.raises(ValueError, match=told):
        ask()
