"""Heavy tails, outliers, atoms and units: floors go by the numbers beside them, not by the largest of the sample."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from gentoolkit.gaussianization import criterion, marginal, rbig, rotation, splines, univariate_entropy
from tests import rounding

LAWS = {
    "lognormal": scipy.stats.lognorm(3),
    "cauchy": scipy.stats.cauchy(),
    "pareto": scipy.stats.pareto(0.5),
    "left": scipy.stats.lognorm(3),  # mirrored
}
N = 2000


def draw(n, seed=0):
    rng = np.random.default_rng(seed)
    rows = [np.exp(3 * rng.normal(size=n)), rng.standard_cauchy(n), rng.uniform(size=n) ** -2.0]
    return np.stack([*rows, -np.exp(3 * rng.normal(size=n))])


def log_density(rows):
    signs = np.array([[1], [1], [1], [-1]])
    return np.stack([law.logpdf(row) for law, row in zip(LAWS.values(), signs * rows, strict=True)])


def test_entropy_of_heavy_tails_and_of_outliers():
    got = np.asarray(univariate_entropy.spacing(np.float32(draw(20_000))))
    np.testing.assert_allclose(got, [law.entropy() for law in LAWS.values()], atol=0.08)  # four errors of chance
    y = np.random.default_rng(1).normal(size=4999)
    bulk = univariate_entropy.spacing(np.float32(y))
    for outlier in (1e7, -1e8, 1e30):
        got = univariate_entropy.spacing(np.float32(np.append(y, outlier)))
        # Four or so of the 585 spacings that are read reach up to it, and are as long as it is far.
        assert 0 < got - bulk < 4.5 / 585 * np.log(abs(outlier))
    # Two normal laws, one of 1e-4 the width of the other, and far apart.
    both = np.float32(np.append(1e-4 * y, 1e3 + y))
    want = 0.5 * np.log(2 * np.pi * np.e) + 0.5 * np.log(1e-4) + np.log(2)
    assert abs(univariate_entropy.spacing(both) - want) < 0.08  # the gap between them is taken for density
    # Forty decades apart: the formula in float64.
    both = np.float32(np.concatenate([1e-20 * y[:2500], 1e20 * y[2500:], [0.0]]))
    plan = univariate_entropy.spacing_plan(5000)
    ordered = np.sort(both.astype(np.float64))[plan.positions]
    want = np.mean(np.log(ordered[plan.high] - ordered[plan.low])) - plan.expected
    np.testing.assert_allclose(univariate_entropy.spacing(both), want, rtol=1e-5)


compiled = [jax.jit(estimate) for estimate in (univariate_entropy.spacing, univariate_entropy.histogram)]
compiled_slope = jax.jit(jax.grad(univariate_entropy.spacing))


@pytest.mark.fast
@pytest.mark.parametrize("scale", [1e-30, 1e-12, 1e12, 1e30])
def test_entropy_follows_the_unit(scale):
    rng = np.random.default_rng(0)
    y = np.stack([rng.normal(size=N), rng.standard_t(3, size=N), np.floor(rng.gamma(2.0, 2.0, size=N))])
    unit = np.float32(2.0 ** np.round(np.log2(scale)))
    for estimate in compiled:
        want = np.asarray(estimate(np.float32(y))) + np.log(unit)
        np.testing.assert_allclose(estimate(np.float32(y) * unit), want, rtol=2e-6, atol=2e-5)
    slope = compiled_slope(np.float32(y[0]) * unit)
    np.testing.assert_allclose(np.sum(slope * (np.float32(y[0]) * unit)), 1, rtol=1e-4)


def test_wide_data_far_from_zero_keep_their_entropy():
    y = np.random.default_rng(0).uniform(size=500)
    want = univariate_entropy.spacing(np.float32(y))
    for moved in (y + 1.7e9, [float(v) for v in y - 1e12 / 7]):
        np.testing.assert_allclose(univariate_entropy.spacing(moved), want, atol=1e-3)
        assert abs(univariate_entropy.histogram(moved) - univariate_entropy.histogram(np.float32(y))) < 0.05
    x = np.stack([y, np.roll(y, 3) ** 2], axis=1)
    want = criterion.total_correlation_removed(np.float32(x), np.float32(2 * x), np.zeros(500, np.float32))
    got = criterion.total_correlation_removed((x + 1.7e9).tolist(), 2 * x - 3e9, np.zeros(500).tolist())
    np.testing.assert_allclose(got, want, atol=1e-3)


VARIANTS = {
    "quantile": marginal.quantile(),
    "quantile, pareto": marginal.quantile(tails="pareto"),
    "kernel": marginal.kernel_density(num_points=128),
    "mixture": marginal.mixture(num_steps=100),
}


@pytest.fixture(scope="module", params=VARIANTS.values(), ids=VARIANTS.keys())
def fitted_and_back(request):
    """`y` to the variant, z, log dz/dx and x, by one program."""
    variant = request.param

    @functools.partial(jax.jit, compiler_options=rounding.AS_USERS)
    def there_and_back(y):
        fitted = variant.fit(y)
        z, log_derivative = variant.forward(fitted, y)
        return z, log_derivative, variant.inverse(fitted, z)

    return variant, lambda y: tuple(np.float64(part) for part in there_and_back(np.float32(y)))


def steps_lost(y, z, log_derivative, back):
    """What the round trip loses, in roundings of z carried to x, and of x itself."""
    y = np.float32(y)
    step = np.spacing(np.maximum(np.abs(z), 1).astype(np.float32)) * np.exp(-log_derivative) + np.spacing(np.abs(y))
    return np.abs(back - y) / step


@pytest.mark.parametrize("scale", [1e-28, 1.0, 1e26])
def test_maps_of_heavy_tails_come_back_and_have_their_density(fitted_and_back, scale):
    variant, there_and_back = fitted_and_back
    y = draw(N) * scale
    z, log_derivative, back = there_and_back(y)
    assert np.isfinite(z).all() and np.isfinite(log_derivative).all()
    assert (np.diff(np.take_along_axis(z, np.argsort(y, axis=-1), axis=-1), axis=-1) >= 0).all()
    assert (steps_lost(y, z, log_derivative, back) < 6).all()
    if variant.name == "quantile":
        for row in z:
            assert scipy.stats.kstest(row, "norm").pvalue > 0.01
        lost = log_density(y / scale) - np.log(scale) - (scipy.stats.norm.logpdf(z) + log_derivative)
        np.testing.assert_allclose(lost.mean(axis=-1), 0, atol=0.06)


def test_an_outlier_does_not_spoil_the_map_of_the_others(fitted_and_back):
    variant, there_and_back = fitted_and_back
    y = np.random.default_rng(0).normal(size=(4, N))
    alone = there_and_back(y)
    y[:, 5] = [1e8, -1e8, 1e20, -1e30]
    z, log_derivative, back = there_and_back(y)
    assert (steps_lost(y, z, log_derivative, back) < 6).all()
    others = np.arange(N) != 5
    np.testing.assert_allclose(np.median(np.abs(z - alone[0])[:, others]), 0, atol=0.02)
    lost = scipy.stats.norm.logpdf(y[:, others]) - (scipy.stats.norm.logpdf(z) + log_derivative)[:, others]
    assert np.abs(lost.mean()) < 0.06


def test_atoms_have_steep_maps_wherever_they_lie():
    rng = np.random.default_rng(0)
    heavy = np.exp(3 * rng.normal(size=N))
    y = np.stack([np.where(rng.uniform(size=N) < 0.4, atom, heavy) for atom in (0.0, 1e-3, 7.0, -1e8)])
    variant = VARIANTS["quantile, pareto"]
    fitted = jax.jit(variant.fit)(np.float32(y))
    z, log_derivative = (np.asarray(part) for part in jax.jit(variant.forward)(fitted, np.float32(y)))
    assert np.isfinite(log_derivative).all()
    back = np.asarray(jax.jit(variant.inverse)(fitted, z))
    assert (steps_lost(y, np.float64(z), np.float64(log_derivative), back) < 6).all()
    for row, sample, atom in zip(z, y, (0.0, 1e-3, 7.0, -1e8), strict=True):
        share, below = scipy.stats.norm.cdf(row[sample == atom][0]), (sample < atom).mean()
        assert below < share < below + 0.4  # inside its own 40 %


@pytest.mark.fast
@pytest.mark.parametrize("scale", [1e-38, 1e-25, 1.0, 1e30])
def test_knots_are_told_apart_by_their_own_rounding(scale):
    rng = np.random.default_rng(0)
    values = np.sort(np.concatenate([rng.standard_cauchy(12), [0, 0, 0, -3e7, -3e7, 2.5, 2.5, np.float32(2.5) + 2e-7]]))
    knots = np.float32(values * scale)
    apart = np.asarray(jax.jit(splines.distinct)(knots))
    assert (np.diff(apart.astype(np.float64)) > 0).all() and np.isfinite(1 / np.diff(apart)).all()
    alone = np.abs(values - 2.5) > 1e-6
    alone &= (values != 0) & (values != -3e7)
    if scale > 1e-30:
        np.testing.assert_array_equal(apart[alone], knots[alone])
        tied = ~alone & (values != 0)
        np.testing.assert_allclose(apart[tied], knots[tied], rtol=3e-6)
        smallest = np.abs(knots[knots != 0]).min()
        assert np.abs(apart[values == 0]).max() < 1e-5 * smallest
    np.testing.assert_allclose(splines.distinct(jnp.zeros((2, 5))).mean(axis=-1), 0, atol=1e-30)


def test_the_mixture_is_inverted_in_order_however_far_out():
    variant = marginal.mixture(num_steps=20)
    y = np.float32(np.random.default_rng(0).normal(size=(1, 500)))
    fitted = jax.jit(variant.fit)(y)
    far = np.geomspace(1, 1e7, 2000, dtype=np.float32)
    z = np.concatenate([-far[::-1], far])[None]
    x = np.asarray(jax.jit(variant.inverse)(fitted, z))
    assert (np.diff(x) > 0).all() and np.isfinite(x).all()
    again, log_derivative = (np.float64(part) for part in jax.jit(variant.forward)(fitted, x))
    np.testing.assert_allclose(again, z, rtol=3e-6)
    # Logistic tails: log P(Y > x) falls by x / scale, that of a normal law by z^2 / 2, so dz/dx tends to 1 / (scale z).
    widest = np.exp(np.max(fitted.log_scale))
    np.testing.assert_allclose(log_derivative[0, -200:], -np.log(widest * z[0, -200:]), atol=1e-3)
    slope = jax.jit(jax.grad(lambda z: jnp.sum(variant.inverse(fitted, z))))(jnp.asarray(z))
    np.testing.assert_allclose(np.log(slope), -log_derivative, atol=1e-3)


@pytest.mark.fast
def test_rotations_do_not_depend_on_the_unit():
    rng = np.random.default_rng(0)
    x = np.float32(rng.gamma(2.0, size=(500, 3)) @ (np.eye(3) + 0.5 * rng.normal(size=(3, 3))))
    for variant in (rotation.pca(), rotation.ica(num_steps=5)):
        fit = jax.jit(variant.fit)
        want = fit(jax.random.key(0), x)
        for exponent in (-100, 90):
            got = fit(jax.random.key(0), x * np.float32(2.0**exponent))
            np.testing.assert_allclose(got, want, atol=1e-5)


def test_a_destructor_of_heavy_tails_follows_the_unit():
    rng = np.random.default_rng(0)
    x = np.float32(np.exp(2 * rng.normal(size=(500, 2)) @ [[1, 0.8], [0, 0.6]]))
    x[3] = 1e9, -1e9
    fits = [rbig.fit(jax.random.key(0), x * np.float32(2.0**e), num_layers=3) for e in (0, -95, 90)]
    values = [np.asarray(rbig.log_prob(d, x * np.float32(2.0**e))) for d, e in zip(fits, (0, -95, 90), strict=True)]
    for d, value, e in zip(fits[1:], values[1:], (-95, 90), strict=True):
        np.testing.assert_allclose(value + 2 * e * np.log(2), values[0], rtol=1e-4, atol=1e-2)
        np.testing.assert_allclose(d.trace.delta, fits[0].trace.delta, atol=1e-3)
    z, _ = rbig.forward(fits[0], x)
    lost = np.abs(rbig.inverse(fits[0], z) - x) / np.abs(x)
    assert np.quantile(lost, 0.98) < 1e-3  # between the last samples and the outlier z hardly moves


@pytest.mark.fast
def test_wide_data_that_float32_would_spoil_are_refused():
    x = np.random.default_rng(0).normal(size=(50, 2)) + 1.7e9
    for make in (
        lambda: rbig.fit(jax.random.key(0), x, num_layers=1),
        lambda: marginal.quantile().fit(x.T),
        lambda: marginal.dither(jax.random.key(0), x.T.tolist()),
    ):
        with pytest.raises(ValueError, match="loses its digits"):
            make()
