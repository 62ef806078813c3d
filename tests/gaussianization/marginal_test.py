"""Marginal maps: increasing, inverted exactly, densities that are densities, tails, ties, bad input."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from gentoolkit.gaussianization import marginal

# One size for nearly all of them: each function is compiled once a variant.
N = 400
VARIANTS = {
    "quantile": marginal.quantile(),
    "quantile, pareto": marginal.quantile(tails="pareto"),
    "histogram": marginal.histogram(),
    "kernel": marginal.kernel_density(num_points=128),
    "mixture": marginal.mixture(num_steps=100),
}
EACH = pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS.keys())


@functools.partial(jax.jit, static_argnums=0)
def fit(variant, y):
    return variant.fit(y)


@functools.partial(jax.jit, static_argnums=0)
def forward(variant, fitted, y):
    return variant.forward(fitted, y)


@functools.partial(jax.jit, static_argnums=0)
def inverse(variant, fitted, z):
    return variant.inverse(fitted, z)


@functools.partial(jax.jit, static_argnums=0)
def fit_and_forward(variant, y, at):
    fitted = variant.fit(y)
    return fitted, *variant.forward(fitted, at)


@functools.partial(jax.jit, static_argnums=0)
def slopes(variant, fitted, y, z):
    """Derivatives of both directions."""
    return (
        jax.grad(lambda y: jnp.sum(variant.forward(fitted, y)[0]))(y),
        jax.grad(lambda z: jnp.sum(variant.inverse(fitted, z)))(z),
    )


def rows(n=N, seed=0):
    rng = np.random.default_rng(seed)
    return np.float32([rng.normal(size=n), 3 + 0.2 * rng.gamma(2.0, size=n), rng.standard_t(4, size=n)])


def over(variant, fitted, y):
    """`forward` at `[3, m]` points, N at a time."""
    y = np.float32(y)
    missing = -y.shape[-1] % N
    parts = np.split(np.pad(y, ((0, 0), (0, missing)), mode="edge"), (y.shape[-1] + missing) // N, axis=-1)
    z, log_derivative = zip(*(forward(variant, fitted, part) for part in parts), strict=True)
    return tuple(np.concatenate(part, axis=-1)[:, : y.shape[-1]] for part in (z, log_derivative))


def log_density(variant, fitted, y):
    z, log_derivative = over(variant, fitted, y)
    return scipy.stats.norm.logpdf(np.float64(z)) + np.float64(log_derivative)


@EACH
def test_the_sample_becomes_normal_and_comes_back(variant):
    y = rows()
    fitted = fit(variant, y)
    z, _ = forward(variant, fitted, y)
    for row in np.asarray(z):
        assert scipy.stats.kstest(row, "norm").pvalue > 0.01
    np.testing.assert_allclose(inverse(variant, fitted, z), y, rtol=2e-5, atol=1e-5)


@EACH
def test_it_increases_and_its_density_integrates_to_one(variant):
    y = rows()
    fitted = fit(variant, y)
    # Even steps where the sample is, geometric ones out to where a tail of index 2 has 1e-5 left.
    steps = np.concatenate([np.linspace(0, 3, 6001), 3 * np.geomspace(1, 1e4, 4000)[1:]])
    grid = np.concatenate([-steps[:0:-1], steps])
    at = np.float32(np.median(y, axis=-1, keepdims=True) + np.std(y, axis=-1, keepdims=True) * grid)
    at = np.maximum.accumulate(at, axis=-1)
    density = np.exp(log_density(variant, fitted, at))
    np.testing.assert_allclose(np.trapezoid(density, np.float64(at), axis=-1), 1, atol=1e-3)
    assert (np.diff(over(variant, fitted, at)[0], axis=-1) >= 0).all()


@EACH
def test_log_derivative_is_the_derivative_both_ways(variant):
    y = rows()
    fitted = fit(variant, y)
    spread = np.std(y, axis=-1, keepdims=True)
    at = y.copy()
    at[:, :40] = y[:, :40] + 12 * spread  # beyond the range; the ends themselves are in y
    at[:, 40:80] = y[:, 40:80] - 12 * spread
    z, log_derivative = forward(variant, fitted, at)
    up, down = slopes(variant, fitted, at, z)
    np.testing.assert_allclose(log_derivative, np.log(up), atol=2e-4)
    # Rounding puts a few points beside an edge of the histogram into the other bin, where the slope is another.
    assert np.quantile(np.abs(np.log(down) + log_derivative), 0.97) < 2e-3


@pytest.mark.parametrize("variant", [VARIANTS[name] for name in ("quantile", "histogram", "kernel")])
def test_inverse_is_exact_in_double_precision(x64, variant):
    y = np.float64(rows())
    fitted = fit(variant, y)
    z, _ = forward(variant, fitted, y)
    np.testing.assert_allclose(inverse(variant, fitted, z), y, rtol=1e-10, atol=1e-10)
    wide = y.mean() + 10 * (y - y.mean())
    z, _ = forward(variant, fitted, wide)
    np.testing.assert_allclose(inverse(variant, fitted, z), wide, rtol=1e-8, atol=1e-8)


@EACH
def test_density_of_a_normal_sample_is_near_the_normal_one(variant):
    y = np.float32(np.random.default_rng(1).normal(2.0, 3.0, size=(3, N)))
    fresh = np.float32(np.random.default_rng(2).normal(2.0, 3.0, size=(3, 5 * N)))
    lost = scipy.stats.norm.logpdf(fresh, 2, 3) - log_density(variant, fit(variant, y), fresh)
    # KL(normal to fitted) is not negative, and a fit with some 15 free heights loses 15 / (2 n) or so.
    assert -0.01 < np.mean(lost) < 0.08


def test_pareto_tails_follow_a_student_law_that_normal_ones_lose():
    y = np.float32(np.random.default_rng(0).standard_t(3, size=50000))
    far = np.float32([-200.0, -60.0, 60.0, 200.0])
    want = scipy.stats.t.logpdf(far, 3)

    def at_far(rule):
        variant = marginal.quantile(tails=rule)
        _, z, log_derivative = fit_and_forward(variant, y, far)
        return scipy.stats.norm.logpdf(np.float64(z)) + np.float64(log_derivative)

    # Four times beyond the largest sample; an index known to 0.05 leaves 2 nats of 20.
    np.testing.assert_allclose(at_far("pareto"), want, atol=2.5)
    assert (at_far("gaussian")[[0, 3]] < want[[0, 3]] - 20).all()


def test_the_gaussian_tail_goes_on_as_the_normal_law_does():
    y = np.float32(np.random.default_rng(0).normal(size=50_000))
    _, z, _ = fit_and_forward(marginal.quantile(), y, np.float32([-20, -6, 6, 20]))
    # The line goes through the extreme of the sample, which scatters by 7 % around its own median.
    np.testing.assert_allclose(z, [-20, -6, 6, 20], rtol=0.15)


@pytest.mark.parametrize("make", [marginal.quantile, marginal.histogram, marginal.kernel_density])
def test_clipping_says_that_there_is_nothing_beyond(make):
    variant = make(tails="clip")
    far = np.float32(np.broadcast_to([-1e4, 1e4], (3, 2)))
    fitted, z, log_derivative = fit_and_forward(variant, rows(200), far)
    assert np.isneginf(log_derivative).all()
    assert (np.abs(z) < 5).all()
    assert (np.abs(inverse(variant, fitted, z)) < 1e3).all()


@EACH
def test_float32_holds_in_the_far_tails(variant):
    fitted = fit(variant, rows())
    far = np.float32(np.tile([-1e6, -1e3, 1e3, 1e6], (3, N // 4)))
    z, log_derivative = forward(variant, fitted, far)
    assert np.isfinite(z).all() and np.isfinite(log_derivative).all()
    np.testing.assert_allclose(inverse(variant, fitted, z), far, rtol=2e-4)


@EACH
def test_ties_and_outliers_have_a_finite_map(variant):
    rng = np.random.default_rng(0)
    constant, integers = np.full(N, 7.3), np.floor(rng.gamma(2.0, 2.0, size=N))
    outliers = np.concatenate([rng.normal(size=N - 2), [1e4, -1e4]])
    zeros, two_values, two_tied = np.zeros(N), np.repeat([0.0, 1.0], [N // 4, N - N // 4]), np.arange(N) // 2
    for y in (np.float32([constant, integers, outliers]), np.float32([zeros, two_values, two_tied])):
        fitted = fit(variant, y)
        z, log_derivative = forward(variant, fitted, y)
        assert np.isfinite(z).all() and np.isfinite(log_derivative).all()
        # In units of the range: a histogram with outliers 1e4 away has all the others in one bin.
        lost = np.abs(inverse(variant, fitted, z) - y)
        assert (lost <= 1e-4 + 1e-6 * np.ptp(y, axis=-1, keepdims=True)).all()
        # Constant rows, up to the rounding of knots a few roundings apart, and one bin more on one side than the other.
        np.testing.assert_allclose(z[0], 0, atol=0.1)


def test_two_samples_are_enough():
    for tails in ("gaussian", "linear", "pareto", "clip"):
        variant, y, at = marginal.quantile(tails=tails), np.float32([1.0, 2.0]), np.float32([1.0, 1.5, 2.0])
        _, z, log_derivative = fit_and_forward(variant, y, at)
        np.testing.assert_allclose(z, [-0.6745, 0, 0.6745], atol=2e-2 if tails != "pareto" else 0.7)
        assert np.isfinite(log_derivative).all()


@pytest.mark.fast
def test_a_tied_value_goes_to_the_middle_of_its_share():
    y = np.float32(np.repeat([0.0, 1.0, 5.0], [100, 200, 700]))
    variant = marginal.quantile(num_knots=101)
    z = forward(variant, fit(variant, y), np.float32([0, 1, 5]))[0]
    share = scipy.stats.norm.cdf(z)
    assert 0.005 < share[0] < 0.1 and 0.1 < share[1] < 0.3 and 0.3 < share[2] < 0.99


@pytest.mark.fast
@EACH
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_row_that_is_not_finite_becomes_nan_and_no_other(variant, bad):
    y = rows()
    y[1, 5] = bad
    z = np.asarray(forward(variant, fit(variant, y), rows())[0])
    assert np.isnan(z[1]).all() and np.isfinite(z[[0, 2]]).all()
    asked = rows()
    asked[0, 3] = np.nan
    z, log_derivative = forward(variant, fit(variant, rows()), asked)
    assert np.isnan(z[0, 3]) and np.isnan(log_derivative[0, 3]) and np.isfinite(z).sum() == z.size - 1


@EACH
def test_leading_axes_are_rows_and_dtypes_are_wide(variant):
    y = np.stack([rows(), rows(seed=1)])
    _, z, log_derivative = fit_and_forward(variant, y, y)
    other = y[0].copy()
    other[:2] = y[1, :2]  # each row among others than before
    for problem, place, own in ((other, (0, 2), 2), (other, (1, 0), 0), (other, (1, 1), 1), (y[0], (0, 0), 0)):
        alone, of_alone = forward(variant, fit(variant, problem), problem)
        np.testing.assert_allclose(alone[own], z[place], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(of_alone[own], log_derivative[place], rtol=1e-4, atol=1e-3)
    narrow = jax.eval_shape(variant.fit, jax.ShapeDtypeStruct((3, 50), jnp.bfloat16))
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(narrow))


def test_the_order_of_the_sample_does_not_matter():
    y = rows(200)
    shuffled = np.random.default_rng(0).permuted(y, axis=-1)
    variant = marginal.quantile()  # all the variants sort in the same place; outside jit
    same = variant.fit(np.sort(y, axis=-1), is_sorted=True)
    for a, b, c in zip(*(jax.tree.leaves(t) for t in (variant.fit(y), variant.fit(shuffled), same)), strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(a, c)


def test_dithering_spreads_over_the_smallest_gap(x64):
    y = np.float64([[0.0, 2.0, 2.0, 6.0, 6.0, 6.0], [5.0] * 6])
    got = marginal.dither(jax.random.key(0), y)
    assert (np.abs(got - y) <= np.array([[1.0], [0.5]])).all() and len(np.unique(got)) == 12
    assert np.abs(marginal.dither(jax.random.key(0), y, width=0.1) - y).max() <= 0.05
    many = marginal.dither(jax.random.key(1), np.repeat([0.0, 1.0], 5000))
    assert scipy.stats.kstest(np.asarray(many), scipy.stats.uniform(-0.5, 2).cdf).pvalue > 0.01


@pytest.mark.fast
@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: marginal.quantile(tails="none"), "tails"),
        (lambda: marginal.quantile(num_knots=2), "num_knots = 2"),
        (lambda: marginal.histogram(num_bins=1), "num_bins = 1"),
        (lambda: marginal.histogram(extension=0.0), "extension"),
        (lambda: marginal.kernel_density(bandwidth=-1.0), "bandwidth"),
        (lambda: marginal.kernel_density(num_points=4), "num_points = 4"),
        (lambda: marginal.mixture(num_components=0), "num_components"),
        (lambda: marginal.mixture(num_steps=-1), "num_steps = -1"),
        (lambda: marginal.dither(jax.random.key(0), jnp.ones(3), width=0.0), "width"),
        (lambda: marginal.quantile().fit(jnp.ones((3, 1))), r"y\.shape = \(3, 1\)"),
        (lambda: marginal.quantile().fit(jnp.float32(1)), r"y\.shape"),
    ],
)
def test_bad_options_are_refused_by_name(make, told):
    with pytest.raises(ValueError, match=told):
        make()


@pytest.mark.fast
def test_the_same_options_are_the_same_variant():
    assert marginal.quantile(tails="pareto") is marginal.quantile(num_knots=None, tails="pareto")
    assert marginal.quantile(tails="pareto") != marginal.quantile(tails="linear")
