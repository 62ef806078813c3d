"""Multivariate tests: all pairs written out, integrals they stand for, one dimension, null means, bad input."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gentoolkit.distances import multivariate_normality, normality

pytestmark = pytest.mark.fast

SAMPLE = np.random.default_rng(0).standard_normal((2, 30, 3)).astype(np.float32)


def pairs(x):
    x = np.asarray(x, np.float64)
    return x @ x.T, (x**2).sum(-1)[:, None], (x**2).sum(-1)[None, :]


def bhep(x, beta):
    inner, rows, columns = pairs(x)
    b, dim = beta**2, x.shape[-1]
    within = np.exp(-b / 2 * (rows + columns - 2 * inner)).mean()
    cross = (1 + b) ** (-dim / 2) * np.exp(-b * rows / (2 + 2 * b)).mean()
    return within - 2 * cross + (1 + 2 * b) ** (-dim / 2)


def henze_koch(x, beta):
    inner, rows, columns = pairs(x)
    n, dim = x.shape
    within = beta ** (-dim / 2) * np.exp((rows + columns + 2 * inner) / (4 * beta)).mean()
    cross = (beta - 0.5) ** (-dim / 2) * np.exp(rows / (4 * beta - 2)).mean()
    return n * (within - 2 * cross + (beta - 1) ** (-dim / 2))


def henze_visagie(x, gamma):
    inner, rows, columns = pairs(x)
    n, dim = x.shape
    total = rows + columns + 2 * inner
    factor = inner - total / (2 * gamma) + dim / (2 * gamma) + total / (4 * gamma**2)
    return n * (np.exp(total / (4 * gamma)) * factor).mean()


def combined(x, gamma):
    inner, rows, columns = pairs(x)
    product = np.exp((rows - columns) / (4 * gamma)) * np.cos(inner / (2 * gamma))
    return len(x) ** 0.5 * (product.mean() - 1)


CASES = [
    (functools.partial(multivariate_normality.bhep, beta=0.1), functools.partial(bhep, beta=0.1)),
    (functools.partial(multivariate_normality.bhep, beta=1.5), functools.partial(bhep, beta=1.5)),
    (functools.partial(multivariate_normality.henze_koch, beta=4.0), functools.partial(henze_koch, beta=4.0)),
    (functools.partial(multivariate_normality.henze_visagie, gamma=3.0), functools.partial(henze_visagie, gamma=3.0)),
    (functools.partial(multivariate_normality.combined, gamma=0.7), functools.partial(combined, gamma=0.7)),
]
NAMES = ["bhep_small", "bhep", "henze_koch", "henze_visagie", "combined"]


@pytest.mark.parametrize(("ours", "plain"), CASES, ids=NAMES)
def test_all_pairs_written_out(ours, plain):
    np.testing.assert_allclose(ours(SAMPLE), [plain(x) for x in SAMPLE], rtol=3e-5)
    # In blocks of which the last one is cut.
    np.testing.assert_allclose(ours(SAMPLE, block_size=7), ours(SAMPLE), rtol=3e-5)


@pytest.mark.parametrize(("ours", "plain"), CASES, ids=NAMES)
def test_gradient_is_the_finite_difference(ours, plain):
    x, step = SAMPLE[0, :9].astype(np.float64), np.random.default_rng(1).standard_normal((9, 3))
    with jax.enable_x64(True):
        gradient = np.asarray(jax.grad(functools.partial(ours, block_size=4))(x))
    difference = (plain(x + 1e-6 * step) - plain(x - 1e-6 * step)) / 2e-6
    np.testing.assert_allclose(np.sum(gradient * step), difference, rtol=1e-6)


def test_one_dimension_is_epps_pulley_and_cramer_wold():
    y = SAMPLE[:, :, 0]
    found = multivariate_normality.bhep(y[..., None], beta=1.0)
    np.testing.assert_allclose(found, normality.epps_pulley(y), rtol=1e-4)
    beta = multivariate_normality.optimal_beta(30, 1)
    assert beta == pytest.approx((3 * 30 / 4) ** 0.2 / 2**0.5)
    bandwidth = 1 / (2 * beta**2)
    scale = (4 * np.pi * bandwidth) ** 0.5
    expected = scale * normality.cramer_wold(y, bandwidth=bandwidth)
    np.testing.assert_allclose(multivariate_normality.henze_zirkler(y[..., None]), expected, rtol=1e-4)


def test_henze_visagie_is_the_integral_of_the_differential_equation(x64):
    """In one dimension, without the factor of the Gaussian integral: n int (M' - t M)^2 exp(-gamma t^2) dt."""
    y, gamma = SAMPLE[0, :, 0].astype(np.float64), 3.0
    t = np.linspace(-12, 12, 4001)
    generating = np.exp(t[:, None] * y)
    gap = (y * generating).mean(-1) - t * generating.mean(-1)
    integral = len(y) * np.sum(gap**2 * np.exp(-gamma * t * t)) * (t[1] - t[0])
    found = multivariate_normality.henze_visagie(y[:, None], gamma=gamma)
    assert found == pytest.approx(integral * (gamma / np.pi) ** 0.5, rel=1e-8)


def test_affine_invariance():
    matrix = np.float32([[2, 1, 0], [0, 1, -1], [0.5, 0, 3]])
    for statistic in (multivariate_normality.henze_zirkler, multivariate_normality.combined):
        plain = statistic(SAMPLE, affine_invariant=True)
        np.testing.assert_allclose(statistic(SAMPLE @ matrix + 7, affine_invariant=True), plain, rtol=1e-3)
        assert not np.allclose(statistic(SAMPLE), plain, rtol=1e-2)


@pytest.mark.parametrize(
    "statistic",
    [
        functools.partial(multivariate_normality.bhep, beta=0.8),
        multivariate_normality.henze_zirkler,
        multivariate_normality.henze_koch,
        functools.partial(multivariate_normality.henze_visagie, gamma=12.0),
        functools.partial(multivariate_normality.combined, gamma=4.0),
    ],
    ids=["bhep", "henze_zirkler", "henze_koch", "henze_visagie", "combined"],
)
def test_null_means_are_within_five_standard_errors_of_simulation(statistic):
    values = np.asarray(jax.jit(statistic)(np.random.default_rng(3).standard_normal((4000, 16, 2)).astype(np.float32)))
    error = values.std() / len(values) ** 0.5
    expected = normality.null_mean(statistic, 16, dim=2)
    assert abs(values.mean() - expected) < 5 * error
    assert error < 0.1 * abs(expected)


@pytest.mark.parametrize("affine_invariant", [False, True])
def test_p_values_of_henze_zirkler_are_nearly_uniform(affine_invariant):
    statistic = functools.partial(multivariate_normality.henze_zirkler, affine_invariant=affine_invariant)
    values = jax.jit(statistic)(np.random.default_rng(4).standard_normal((2000, 64, 3)).astype(np.float32))
    p = normality.p_value(statistic, values, 64, dim=3)
    for level in (0.05, 0.25, 0.5):
        assert np.mean(p <= level) == pytest.approx(level, abs=0.035)


def test_simulated_p_values_and_means():
    statistic = functools.partial(multivariate_normality.combined, affine_invariant=True)
    values = jax.jit(statistic)(np.random.default_rng(5).standard_normal((300, 16, 2)).astype(np.float32))
    p = normality.p_value(statistic, values, 16, dim=2)
    assert 0.4 < p.mean() < 0.6
    assert normality.null_mean(statistic, 16, dim=2) == pytest.approx(
        float(values.mean()), abs=0.2 * float(values.std())
    )


def test_means_that_do_not_exist():
    for statistic, option in (
        ("henze_koch", {"beta": 2.0}),
        ("henze_visagie", {"gamma": 1.0}),
        ("combined", {"gamma": 0.1}),
    ):
        partial = functools.partial(getattr(multivariate_normality, statistic), **option)
        assert normality.null_mean(partial, 20, dim=3) == np.inf


def test_one_sample_and_a_collapse():
    for ours, _ in CASES:
        value, gradient = jax.value_and_grad(ours)(jnp.zeros((1, 3)))
        assert np.isfinite(value) and not np.any(gradient)
    x = jnp.zeros((20, 3))
    a, c = 3 ** (-1.5), 2 ** (-1.5)
    assert multivariate_normality.bhep(x, beta=1.0) == pytest.approx(1 - 2 * c + a, rel=1e-6)


def test_nan_and_infinity_give_nan():
    for bad in (np.nan, np.inf):
        x = SAMPLE.copy()
        x[1, 4, 2] = bad
        for ours, _ in CASES:
            assert np.isnan(ours(x)).tolist() == [False, True]


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda x: multivariate_normality.bhep(x, beta=0.0), "beta"),
        (lambda x: multivariate_normality.bhep(x, beta=np.inf), "beta"),
        (lambda x: multivariate_normality.henze_koch(x, beta=1.0), "beta"),
        (lambda x: multivariate_normality.henze_visagie(x, gamma=-1.0), "gamma"),
        (lambda x: multivariate_normality.combined(x, gamma=1.0, block_size=0), "block_size"),
        (lambda x: multivariate_normality.henze_zirkler(x[0, 0]), "x must be"),
        (lambda x: normality.null_mean(multivariate_normality.henze_koch, 5, dim=0), "dim"),
        (lambda x: normality.null_mean(multivariate_normality.henze_koch, 5), "statistic must be one"),
    ],
)
def test_bad_input_is_named(call, told):
    with pytest.raises(ValueError, match=told):
        call(SAMPLE)
