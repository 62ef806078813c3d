"""Negentropy by spacings: SciPy's estimate, the three ends written out, invariance, ties, bad input."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from gentoolkit.distances import normality

pytestmark = pytest.mark.fast

SAMPLE = np.random.default_rng(0).standard_normal((3, 40)).astype(np.float32)
NORMAL = 0.5 * np.log(2 * np.pi * np.e)


@pytest.mark.parametrize("window", [1, 4])
def test_vasicek_is_that_of_scipy(window):
    wide = SAMPLE.astype(np.float64)
    entropy = stats.differential_entropy(wide, window_length=window, method="vasicek", axis=-1)
    expected = NORMAL + np.log(wide.std(axis=-1)) - entropy
    np.testing.assert_allclose(normality.negentropy(SAMPLE, window=window), expected, rtol=1e-5)


def written_out(y, window, ends):
    y = np.sort(y.astype(np.float64))
    n = len(y)
    if ends == "right":
        spacings, reach = [y[i + window] - y[i] for i in range(n - window)], window
    else:
        reach = 2 * window
        spacings = [y[i + reach] - y[i] for i in range(n - reach)]
        spacings += [y[i] - y[0] for i in range(1, reach + 1)] + [y[-1] - y[-1 - i] for i in range(1, reach + 1)]
    return NORMAL + np.log(y.std(ddof=1)) - np.sum(np.log(spacings)) / n - np.log(n / reach)


@pytest.mark.parametrize(("window", "ends"), [(1, "wide"), (3, "wide"), (1, "right"), (5, "right")])
def test_the_other_ends_as_they_are_written(window, ends):
    expected = [written_out(row, window, ends) for row in SAMPLE]
    np.testing.assert_allclose(normality.negentropy(SAMPLE, window=window, ends=ends), expected, rtol=1e-5)


def test_neither_mean_nor_scale_matters():
    plain = normality.negentropy(SAMPLE, window=3)
    np.testing.assert_allclose(normality.negentropy(4 * SAMPLE + 1, window=3), plain, atol=1e-5)


def test_other_laws_lack_more_entropy_than_the_normal_one():
    rng = np.random.default_rng(1)
    normal, uniform, exponential = rng.standard_normal(2000), rng.uniform(size=2000), rng.exponential(size=2000)
    values = [float(normality.negentropy(y.astype(np.float32), window=30)) for y in (normal, uniform, exponential)]
    assert values[0] < 0.06
    assert values[1] == pytest.approx(NORMAL - 0.5 * np.log(12), abs=0.05)  # log of the width less NORMAL and log s
    assert values[2] == pytest.approx(NORMAL - 1, abs=0.06)


def test_gradient_is_the_finite_difference(x64):
    y = SAMPLE[0].astype(np.float64)
    step = np.random.default_rng(2).standard_normal(40)
    for ends in ("vasicek", "wide", "right"):

        def statistic(y, ends=ends):
            return normality.negentropy(y, window=2, ends=ends)

        difference = (statistic(y + 1e-7 * step) - statistic(y - 1e-7 * step)) / 2e-7
        np.testing.assert_allclose(jax.grad(statistic)(y) @ step, difference, rtol=1e-5)


@pytest.mark.parametrize("y", [np.zeros(9), np.full(9, 3.0), np.repeat([0.0, 1.0], 5)], ids=["zeros", "point", "heaps"])
def test_ties_have_a_finite_value_and_gradient(y):
    value, gradient = jax.value_and_grad(normality.negentropy)(jnp.float32(y))
    assert np.isfinite(value) and np.isfinite(gradient).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_gives_nan(bad):
    y = SAMPLE.copy()
    y[1, 7] = bad
    assert np.isnan(normality.negentropy(y)).tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"window": 0}, "window"),
        ({"window": 20}, "window"),
        ({"window": 40, "ends": "right"}, "window"),
        ({"ends": "left"}, "ends"),
        ({"least_spacing": 0.0}, "least_spacing"),
    ],
)
def test_bad_options_are_named(options, told):
    with pytest.raises(ValueError, match=told):
        normality.negentropy(SAMPLE, **options)


def test_one_entry_has_no_spacing():
    with pytest.raises(ValueError, match="window"):
        normality.negentropy(jnp.zeros(1))
