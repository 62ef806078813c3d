"""Total correlation by destructors: values, invariances, p-values, forms, bad input."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from gentoolkit import information
from gentoolkit.information import _flow, _forms, student_t

# Two folds, one layer, no clusters, not traced: what is compiled once serves most tests.
quick = functools.partial(information.total_correlation, num_folds=2, num_layers=1, max_components=1)
KEY = jax.random.key(0)
CORRELATION = np.float32([[1, 0.5, 0.2], [0.5, 1, -0.3], [0.2, -0.3, 1]])


def sample(n=600, dof=4.0, seed=1):
    return np.array(student_t.sample(jax.random.key(seed), CORRELATION, dof=dof, num=n))


def test_value_is_within_its_interval():
    got = quick(KEY, sample())
    truth = student_t.total_correlation(CORRELATION, dof=4.0)
    assert abs(got.value - truth) < 3 * got.standard_error and 0 < got.standard_error < 0.1
    assert got.trace.shape == (2,) and got.null_mean is None
    assert got.value.dtype == jnp.float32


def test_increasing_maps_of_features_change_nothing():
    x = sample()
    mapped = np.stack([np.exp(x[:, 0] / 4), 5 * x[:, 1] - 3, np.arctan(x[:, 2] / 9)], axis=1)
    for a, b in zip(jax.tree.leaves(quick(KEY, x)), jax.tree.leaves(quick(KEY, mapped)), strict=True):
        np.testing.assert_array_equal(a, b)


def test_order_and_sign_of_features_do_not_count():
    x = sample()
    got = quick(KEY, x)
    for other in (x[:, ::-1], -x):
        # Folds are the same rows; the rotations start elsewhere, and ranks of ties do not occur.
        np.testing.assert_allclose(quick(KEY, other).value, got.value, atol=0.5 * got.standard_error)


def test_infinities_are_ranks_and_nan_is_nan():
    x = sample()
    far = x.copy()
    far[np.argmax(x[:, 0]), 0] = np.inf
    np.testing.assert_array_equal(quick(KEY, far).value, quick(KEY, x).value)
    far[3, 1] = np.nan
    for leaf in jax.tree.leaves(quick(KEY, far)):
        assert np.isnan(leaf).all()


def test_constant_and_tied_features_share_nothing():
    rng = np.random.default_rng(0)
    x = np.float32(rng.integers(0, 3, size=(600, 3)))
    x[:, 0] = 7
    got = quick(KEY, x)
    assert abs(got.value) < 4 * got.standard_error + 0.02
    # Rounding a dependent sample loses little.
    whole, rounded = quick(KEY, sample()), quick(KEY, np.round(4 * sample()) / 4)
    assert abs(rounded.value - whole.value) < 0.08


def test_duplicated_features_share_much():
    x = sample()
    x[:, 1] = x[:, 0]
    got = quick(KEY, x)
    assert np.isfinite(got.value) and got.value > 2


def test_chain_rule():
    x = sample()
    ask = functools.partial(information.total_correlation, num_folds=2, num_layers=0, max_components=1)
    split = functools.partial(information.mutual_information, num_folds=2, num_layers=0, max_components=1)
    whole, pair, rest = ask(KEY, x), ask(KEY, x[:, :2]), split(KEY, x[:, :2], x[:, 2:])
    # The same folds and the same normal scores: equal but for what each destructor misses.
    np.testing.assert_allclose(whole.value, pair.value + rest.value, atol=1e-3)


@pytest.mark.slow
def test_p_values_are_uniform_under_independence():
    """Permuted copies go through what the sample goes through, so the law is exact, whatever the estimator misses."""

    def one(key):
        data, ask = jax.random.split(key)
        x = jax.random.normal(data, (60, 3)) ** 3
        return information.total_correlation(ask, x, num_folds=2, num_layers=0, max_components=1, num_permutations=19)

    got = jax.jit(lambda keys: jax.lax.map(one, keys))(jax.random.split(jax.random.key(3), 40))
    p = np.float64(got.p_value)
    assert scipy.stats.kstest(p - 0.025, "uniform").pvalue > 0.01  # p has steps of 0.05
    excess = np.float64(got.debiased)
    assert abs(excess.mean()) < 4 * scipy.stats.sem(excess)


def test_dependence_has_a_small_p_value_and_problems_are_mapped():
    x = np.stack([sample(200), np.random.default_rng(0).normal(size=(200, 3)).astype(np.float32)])
    ask = functools.partial(
        information.total_correlation, num_folds=2, num_layers=0, max_components=1, num_permutations=19
    )
    got = jax.jit(ask)(KEY, x)
    assert got.p_value.shape == (2,) and got.p_value[0] == pytest.approx(0.05)
    assert got.p_value[1] > 0.05 and got.trace.shape == (2, 1)


def test_what_few_rows_teach_wrong_is_made_up_for():
    """Six correlated normal features: rows left out say too little, by what 15 correlations from n rows cost."""
    dim, n, trials = 6, 120, 30
    scatter = 0.5 * np.eye(dim) + 0.5
    truth = -0.5 * np.linalg.slogdet(scatter)[1]
    x = np.random.default_rng(0).normal(size=(trials, n, dim)) @ np.linalg.cholesky(scatter).T
    ask = functools.partial(information.total_correlation, num_folds=2, num_layers=0, max_components=1)
    got = jax.jit(lambda x: jax.lax.map(functools.partial(ask, KEY), x))(np.float32(x))
    value, shortfall = np.float64(got.value), np.float64(got.shortfall)
    left_out = value - shortfall
    np.testing.assert_allclose(left_out, np.float64(got.trace)[:, 0], atol=1e-5)
    # 60 rows to fit to: 15 / 120 by the asymptotic rule, more with so few.
    assert 0.08 < shortfall.mean() < 0.25
    assert abs(value.mean() - truth) < 0.4 * (truth - left_out.mean())
    covers = np.abs(value - truth) <= 1.96 * np.float64(got.standard_error)
    assert covers.mean() >= 0.9
    # The error has half of the correction in it.
    assert (got.standard_error >= 0.5 * np.abs(shortfall)).all()


def test_clusters_are_parted():
    """Two crossed normal laws: one heap shows less than half of what they share (0.44), a mixture all of it."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(2000, 1)) * np.float32([[2.0, 2.0]]) + 0.3 * rng.normal(size=(2000, 2))
    sign = rng.integers(2, size=2000) * 2 - 1
    x = np.float32(np.column_stack([rows[:, 0], sign * rows[:, 1]]))
    got = information.total_correlation(KEY, x, num_folds=2, num_layers=0, max_components=2)
    assert abs(got.value - _crossed()) < 3 * got.standard_error < 0.25


def _crossed():
    """Total correlation of that law: its density on a fine grid."""
    at = np.linspace(-11, 11, 2201)
    cov = np.array([[4.09, 4.0], [4.0, 4.09]])
    joint = 0.5 * sum(
        scipy.stats.multivariate_normal(cov=cov * np.array([[1, s], [s, 1]])).pdf(np.stack(np.meshgrid(at, at), -1))
        for s in (1, -1)
    )
    single = scipy.stats.norm(scale=4.09**0.5).pdf(at)
    ratio = np.where(joint > 0, np.log(np.maximum(joint, 1e-300) / np.outer(single, single)), 0)
    return float((joint * ratio).sum() * (at[1] - at[0]) ** 2)


@pytest.mark.parametrize("form", ["telescoped", "classical", "unstopped"])
def test_other_forms_of_a_correlated_gaussian(form):
    """One layer takes all of it (PCA), and more layers only add their errors."""
    x = np.float32(np.random.default_rng(0).normal(size=(4000, 3)) @ np.linalg.cholesky(CORRELATION).T)
    got = information.total_correlation(KEY, x, form=form, num_layers=4)  # untraced: one fit for all forms
    truth = -0.5 * np.linalg.slogdet(CORRELATION)[1]
    np.testing.assert_allclose(got.trace[0], truth, atol=0.04)
    assert got.standard_error is None and got.trace.shape == (4,) and got.value == got.trace[-1]
    np.testing.assert_allclose(got.value, truth, atol=0.15 if form == "unstopped" else 0.06)


@pytest.mark.fast
def test_stopping_rule():
    entropy = np.zeros((30, 2), np.float32)
    removed = np.zeros((30, 2), np.float32)
    removed[:3] = np.float32([[0.2, 0.2], [0.3, 0.3], [1e-3, 1e-3]])
    removed[3] = -0.3, 0.1  # negative in all
    removed[5] = 0.1, 0.1  # before ten idle layers have passed
    removed[20] = 0.5, 0.5  # after
    trace = _forms.rbig.Trace(entropy, entropy, entropy - removed, removed.sum(axis=-1))
    counted = np.asarray(_forms._stopped(trace, 1000))
    np.testing.assert_allclose(counted[[0, 1, 5]], [0.4, 0.6, 0.2], rtol=1e-5)
    assert np.delete(counted, [0, 1, 5]).sum() == 0
    assert _forms.tolerance(1000) == pytest.approx(0.0468) and _forms.tolerance(10) == pytest.approx(0.1571)
    assert _forms.tolerance(5500) == pytest.approx((0.0468 + 0.0145) / 2)


@pytest.mark.fast
def test_folds_are_a_partition():
    train, test = (np.asarray(rows) for rows in _flow.folds(KEY, 23, 5))
    assert train.shape == (5, 19) and test.shape == (5, 4) and len(set(test.ravel())) == 20
    for kept, left in zip(train, test, strict=True):
        assert set(kept) | set(left) == set(range(23)) and not set(kept) & set(left)


@pytest.mark.fast
def test_layers_are_chosen_by_the_other_folds():
    mean = np.float32([[1, 0, 0], [0, 5, 0], [0, 2, 3]])  # folds by layers
    ratio = jnp.asarray(mean)[:, :, None] * jnp.ones((1, 1, 4))
    np.testing.assert_array_equal(_flow.select(ratio), [1, 2, 1])
    np.testing.assert_array_equal(_flow.after(ratio, _flow.select(ratio))[:, 0], [0, 0, 2])


@pytest.mark.fast
def test_normal_scores_are_normal_and_break_ties_at_random():
    x = np.float32([[3, 1], [1, 1], [2, 1]])
    z = np.asarray(_flow.normal_scores(KEY, x))
    want = scipy.stats.norm.ppf([1 / 6, 0.5, 5 / 6])
    np.testing.assert_allclose(z[[1, 2, 0], 0], want, atol=1e-6)
    orders = {tuple(np.argsort(_flow.normal_scores(jax.random.key(s), x)[:, 1]).tolist()) for s in range(30)}
    assert len(orders) == 6


@pytest.mark.fast
@pytest.mark.parametrize(
    ("shape", "options", "told"),
    [
        ((3,), {}, "shape"),
        ((100, 1), {}, "two features"),
        ((1, 3), {}, "50 rows"),
        ((49, 3), {}, "50 rows"),
        ((10, 3), {"form": "classical"}, "20 rows"),
        ((100, 3), {"form": "exact"}, "form"),
        ((100, 3), {"num_layers": -1}, "num_layers"),
        ((100, 3), {"num_folds": 1}, "num_folds"),
        ((100, 3), {"max_components": 0}, "max_components"),
        ((100, 3), {"num_permutations": 1.5}, "num_permutations"),
    ],
)
def test_wrong_arguments_are_refused_by_name_while_tracing(shape, options, told):
    with pytest.raises(ValueError, match=told):
        jax.eval_shape(
            lambda x: information.total_correlation(KEY, x, **options), jax.ShapeDtypeStruct(shape, "float32")
        )
