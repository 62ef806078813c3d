"""Permutations, p-values, jackknife, and any estimator with its doubt."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from gentoolkit.information import estimate, exponential_family


def normal(*shape, seed=0):
    return np.float32(np.random.default_rng(seed).normal(size=shape))


@pytest.mark.fast
def test_permuted_rows_stay_whole_and_permuted_columns_do_not():
    x = normal(50, 3)
    rows = np.asarray(estimate.permuted(jax.random.key(0), x, num=4))
    columns = np.asarray(estimate.permuted_columns(jax.random.key(0), x, num=4))
    assert rows.shape == columns.shape == (4, 50, 3)
    for copy in rows:
        np.testing.assert_array_equal(copy[np.argsort(copy[:, 0])], x[np.argsort(x[:, 0])])
    for copy in columns:
        np.testing.assert_array_equal(np.sort(copy, axis=0), np.sort(x, axis=0))
        assert (copy[np.argsort(copy[:, 0])] != x[np.argsort(x[:, 0])]).any()
    assert (rows[0] != rows[1]).any() and (rows[0] != x).any()


@pytest.mark.fast
def test_permutations_are_uniform():
    rows = estimate.permuted(jax.random.key(1), np.arange(4.0, dtype=np.float32)[:, None], num=4800)[..., 0]
    _, counts = np.unique(np.asarray(rows), axis=0, return_counts=True)
    assert len(counts) == 24 and scipy.stats.chisquare(counts).pvalue > 1e-3


@pytest.mark.fast
def test_p_value_counts_the_value_itself_and_ties():
    null = np.float32([0.0, 1.0, 2.0, 3.0])
    for value, want in [(5.0, 0.2), (3.0, 0.4), (-1.0, 1.0)]:
        np.testing.assert_allclose(estimate.p_value(np.float32(value), null), want, rtol=1e-6)
    assert np.isnan(estimate.p_value(np.float32(np.nan), null))
    assert np.isnan(estimate.p_value(np.float32(0), null * np.float32([1, 1, np.nan, 1])))
    with pytest.raises(ValueError, match="null"):
        estimate.p_value(np.float32(0), np.float32(1))


@pytest.mark.fast
def test_jackknife_of_the_mean_is_its_standard_error(x64):
    x = np.random.default_rng(0).normal(size=(40, 1))
    got = estimate.jackknife(lambda x: x[..., 0].mean(-1), x, num_groups=40)
    np.testing.assert_allclose(got, scipy.stats.sem(x[:, 0]), rtol=1e-10)


@pytest.mark.fast
def test_jackknife_keeps_the_remainder_in_every_group():
    rows = estimate.jackknife_rows(23, num_groups=5)
    assert rows.shape == (5, 19)
    assert all({20, 21, 22} <= set(kept) for kept in rows)
    assert sorted(i for kept in rows for i in set(range(23)) - set(kept)) == list(range(20))


@pytest.mark.fast
def test_the_doubt_of_a_correlation():
    x = normal(200, 2) @ np.float32([[1, 0.5], [0, 1]])
    ask = functools.partial(estimate.with_doubt, num_permutations=49, num_groups=10)
    dependent = ask(jax.random.key(0), exponential_family.total_correlation, x)
    assert dependent.p_value == pytest.approx(0.02) and 0 < dependent.standard_error < 0.1
    # Under independence twice the sample size times T is nearly chi-square with one degree.
    np.testing.assert_allclose(dependent.null_mean, 1 / 400, rtol=1.0)
    np.testing.assert_allclose(dependent.debiased, dependent.value - dependent.null_mean)
    paired = ask(jax.random.key(0), exponential_family.mutual_information, x[:, :1], x[:, 1:])
    np.testing.assert_allclose(paired.value, dependent.value, rtol=1e-4)
    np.testing.assert_allclose(paired.standard_error, dependent.standard_error, rtol=1e-3)
    assert paired.p_value == pytest.approx(0.02)


@pytest.mark.fast
def test_p_values_are_uniform_under_independence():
    def one(key):
        data, null = jax.random.split(key)
        x = jax.random.normal(data, (50, 3))
        return estimate.with_doubt(null, exponential_family.total_correlation, x, num_permutations=99).p_value

    p = np.asarray(jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(0), 200)))
    assert scipy.stats.kstest(p - 0.005, "uniform").pvalue > 0.01  # p has steps of 0.01


@pytest.mark.fast
def test_what_was_not_asked_for_is_none():
    got = estimate.with_doubt(jax.random.key(0), exponential_family.total_correlation, normal(20, 2))
    assert got.standard_error is None and got.p_value is None and got.trace is None
    with pytest.raises(ValueError, match="num_permutations"):
        _ = got.debiased


@pytest.mark.fast
@pytest.mark.parametrize(
    ("ask", "told"),
    [
        (lambda: estimate.permuted(jax.random.key(0), jnp.zeros(3), num=2), r"shape"),
        (lambda: estimate.permuted(jax.random.key(0), jnp.zeros((3, 1)), num=0), "num"),
        (lambda: estimate.jackknife(jnp.mean, jnp.zeros((5, 1)), num_groups=6), "num_groups = 6 and n = 5"),
        (lambda: estimate.jackknife(jnp.mean, jnp.zeros((5, 1)), jnp.zeros((4, 1))), "row by row"),
        (lambda: estimate.jackknife_rows(9, num_groups=1), "num_groups"),
        (lambda: estimate.with_doubt(jax.random.key(0), jnp.mean, jnp.zeros((5, 1)), num_groups=True), "num_groups"),
        (lambda: estimate.with_doubt(jax.random.key(0), jnp.mean), "At least one"),
    ],
)
def test_wrong_shapes_and_counts_are_refused_by_name(ask, told):
    with pytest.raises(ValueError, match=told):
        ask()
