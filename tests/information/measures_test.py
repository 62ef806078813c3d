"""Mutual information, conditional mutual information, entropy, negentropy and divergence by destructors."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gentoolkit import information
from gentoolkit.information import gaussian, student_t

KEY = jax.random.key(0)
QUICK = {"num_folds": 2, "num_layers": 1, "max_components": 1}  # what is asked here does not depend on clusters
NULL = QUICK | {"num_layers": 0}
SCATTER = np.float32([[1, 0.5, 0.6], [0.5, 1, 0.4], [0.6, 0.4, 1]])


def student(n, dof=4.0, seed=1):
    return np.array(student_t.sample(jax.random.key(seed), SCATTER, dof=dof, num=n))


def within(got, truth, extra=0.0):
    assert got.standard_error > 0
    assert abs(got.value - truth) < 3 * got.standard_error + extra


# One size, and nothing traced: fits and log-densities of as many rows and features are then compiled once for all
# measures. That a traced call gives the same is looked at in units_test.py and total_correlation_test.py.
N = 1000


def test_mutual_information_value_symmetry_and_marginal_maps():
    ask = functools.partial(information.mutual_information, KEY, **QUICK)
    x = student(N)
    one = ask(x[:, :1], x[:, 1:])
    within(one, student_t.mutual_information(SCATTER, dof=4.0, split=1))
    other = ask(x[:, 1:], x[:, :1])
    np.testing.assert_allclose(other.value, one.value, atol=0.5 * one.standard_error)
    mapped = ask(np.exp(x[:, :1] / 3), np.arctan(x[:, 1:] / 5))
    np.testing.assert_array_equal(mapped.value, one.value)
    assert one.trace.shape == (2,) and one.p_value is None
    x[3, 0] = np.nan
    assert np.isnan(ask(x[:, :1], x[:, 1:]).value)


def test_mutual_information_is_tested_by_permuting_pairs():
    ask = functools.partial(information.mutual_information, KEY, **NULL, num_permutations=19)
    x = student(200)
    shuffled = x.copy()
    shuffled[:, 0] = np.random.default_rng(0).permutation(x[:, 0])  # the dependence within the other block stays
    got = [ask(x[:, :1], x[:, 1:]) for x in (x, shuffled)]
    assert got[0].p_value == pytest.approx(0.05) and got[1].p_value > 0.05
    assert all(abs(one.null_mean) < 0.15 and one.null_std > 0 for one in got)


def test_three_destructors_of_equation_8():
    # Each is fitted and read as for total correlations, whose tests have every form.
    x = np.float32(np.random.default_rng(0).normal(size=(3000, 3)) @ np.linalg.cholesky(SCATTER).T)
    got = information.mutual_information(KEY, x[:, :2], x[:, 2:], form="telescoped", num_layers=4)
    np.testing.assert_allclose(got.value, gaussian.mutual_information(SCATTER, split=2), atol=0.06)
    assert got.trace.shape == (4,) and got.standard_error is None


def test_conditional_mutual_information():
    x = np.float32(np.random.default_rng(0).normal(size=(N, 3)) @ np.linalg.cholesky(SCATTER).T)
    ask = functools.partial(information.conditional_mutual_information, KEY, **QUICK)
    got = ask(x[:, :1], x[:, 1:2], x[:, 2:])
    within(got, gaussian.conditional_mutual_information(SCATTER, split=(1, 1)))
    # A chain: the two ends share nothing, once the middle is known.
    rng = np.random.default_rng(1)
    middle = rng.normal(size=N)
    ends = middle[:, None] + 0.5 * rng.normal(size=(N, 2))
    chain = np.float32(np.column_stack([ends, middle]))
    got = ask(chain[:, :1], chain[:, 1:2], chain[:, 2:])
    within(got, 0.0)
    assert got.value < 0.1 < gaussian.mutual_information(np.cov(chain[:, :2].T), split=1)


def test_entropy_value_and_scale():
    ask = functools.partial(information.entropy, KEY, **QUICK)
    x = student(N)
    got = ask(x)
    within(got, student_t.entropy(SCATTER, dof=4.0), 0.03)  # what the destructor misses
    scaled = ask(x * np.float32([0.1, 10, 8]) + np.float32(2))
    np.testing.assert_allclose(scaled.value, got.value + np.log(8), atol=1e-3)
    assert got.p_value is None and got.trace.shape == (2,)
    x[0, 0] = np.nan
    assert np.isnan(ask(x).value)


def test_entropy_of_one_feature_is_that_of_its_spacings():
    got = information.entropy(KEY, student(N)[:, :1], **QUICK)
    within(got, student_t.entropy(np.eye(1, dtype=np.float32), dof=4.0), 0.02)


def test_negentropy_tests_normality():
    normal = np.float32(np.random.default_rng(0).normal(size=(200, 3)))
    got = [information.negentropy(KEY, x, **NULL, num_draws=19) for x in (student(200, dof=2.5), normal)]
    assert got[0].p_value == pytest.approx(0.05) and got[1].p_value > 0.05
    assert got[0].value > 0.2 > abs(got[1].value)


def test_divergence_of_gaussians_and_of_equals():
    rng = np.random.default_rng(0)
    x, z = np.float32(rng.normal(size=(N, 2))), np.float32(1.5 * rng.normal(size=(N, 2)) + 0.5)
    zero, unit = np.zeros(2), np.eye(2)
    got = information.kl_divergence(KEY, x, z, **QUICK)
    within(got, gaussian.kl_divergence(zero, unit, zero + 0.5, 2.25 * unit), 0.05)  # chance in z is not in the error
    within(information.kl_divergence(KEY, x[:400], z[:200], **NULL), got.value, 0.05)  # samples of two sizes
    ask = functools.partial(information.kl_divergence, KEY, x[:200], **NULL, num_permutations=19)
    other, equal = ask(z[:200]), ask(x[200:400])
    assert other.p_value == pytest.approx(0.05) and equal.p_value > 0.05
    assert abs(equal.value) < 0.2


def test_problems_side_by_side_have_each_their_value():
    x = jax.ShapeDtypeStruct((4, 60, 1), jnp.float32)  # of one feature there is little to trace
    for ask, samples in (
        (information.mutual_information, [x, x]),
        (information.negentropy, [x]),
        (functools.partial(information.kl_divergence, num_permutations=2), [x, x]),
    ):
        found = jax.eval_shape(functools.partial(ask, KEY, **NULL), *samples)
        assert found.value.shape == found.standard_error.shape == (4,) and found.trace.shape == (4, 1)
        assert found.p_value is None or found.p_value.shape == (4,)


@pytest.mark.fast
@pytest.mark.parametrize(
    ("ask", "told"),
    [
        (lambda x: information.mutual_information(KEY, x, x[:9]), "row by row"),
        (lambda x: information.mutual_information(KEY, x[:10], x[:10]), "50 rows"),
        (lambda x: information.mutual_information(KEY, x, x, form="ksg"), "form"),
        (lambda x: information.conditional_mutual_information(KEY, x, x, x[:9]), "row by row"),
        (lambda x: information.conditional_mutual_information(KEY, x, x, x, num_folds=1), "num_folds"),
        (lambda x: information.entropy(KEY, x[0]), "shape"),
        (lambda x: information.entropy(KEY, x[:1]), "50 rows"),
        (lambda x: information.negentropy(KEY, x, num_draws=-1), "num_draws"),
        (lambda x: information.kl_divergence(KEY, x, x[:, :2]), "features"),
        (lambda x: information.kl_divergence(KEY, x, x[:20]), "50 rows"),
        (lambda x: information.kl_divergence(KEY, x[None], jnp.stack([x, x])), "Leading axes"),
    ],
)
def test_wrong_arguments_are_refused_by_name(ask, told):
    with pytest.raises(ValueError, match=told):
        jax.eval_shape(ask, jax.ShapeDtypeStruct((60, 3), jnp.float32))
