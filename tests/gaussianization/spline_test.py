"""The monotone spline: which segment, its lines beyond the knots, its inverse and derivative."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gentoolkit.gaussianization import splines


@pytest.mark.fast
@pytest.mark.parametrize("num", [1, 2, 63, 64, 65, 128, 129, 1000])
def test_counts_as_a_binary_search_does(num):
    rng = np.random.default_rng(num)
    knots = np.sort(rng.integers(0, max(num // 2, 1), size=(3, num)), axis=1).astype(np.float32)  # with ties
    at = np.concatenate([knots, knots + 0.5, np.full((3, 3), [-np.inf, np.inf, -1.0])], axis=1).astype(np.float32)
    want = [np.searchsorted(row, entries, side="right") for row, entries in zip(knots, at, strict=True)]
    np.testing.assert_array_equal(splines.count_not_above(jnp.asarray(knots), jnp.asarray(at)), want)


@pytest.fixture(params=[False, True], ids=["anyhow", "evenly"])
def spline(request):
    rng = np.random.default_rng(0)
    steps = np.ones((2, 9)) if request.param else rng.uniform(0.2, 2.0, size=(2, 9))
    x, z = np.cumsum(steps, axis=1), np.cumsum(rng.uniform(0.2, 2.0, size=(2, 9)), axis=1)
    log_slope = rng.normal(size=(2, 9))
    knots = [jnp.asarray(a, jnp.float32) for a in (x, z, log_slope)]
    return splines.through(*knots), knots, request.param


@pytest.mark.fast
def test_goes_through_its_knots_with_their_slopes(spline):
    made, (x, z, log_slope), evenly = spline
    value, log_derivative = splines.forward(made, x, evenly=evenly)
    np.testing.assert_allclose(value, z, rtol=1e-6)
    np.testing.assert_allclose(log_derivative, log_slope, atol=1e-5)


@pytest.mark.fast
def test_beyond_the_knots_lines_go_on(spline):
    made, (x, z, log_slope), evenly = spline
    for side, sign in ((0, -1), (-1, 1)):
        # As far as 1e6 times the knots' extent: nothing of the segment's bend may be left there.
        away = sign * jnp.asarray([[0.0, 0.1, 30.0, 1e7]], jnp.float32)
        at = x[:, side, None] + away
        value, log_derivative = splines.forward(made, at, evenly=evenly)
        line = z[:, side, None] + jnp.exp(log_slope[:, side, None]) * (at - x[:, side, None])
        np.testing.assert_allclose(value, line, rtol=2e-6)
        np.testing.assert_allclose(log_derivative, jnp.broadcast_to(log_slope[:, side, None], at.shape), atol=1e-5)
        np.testing.assert_allclose(splines.inverse(made, line, evenly=False), at, rtol=2e-6)
        infinite = jnp.full((2, 1), sign * jnp.inf)
        np.testing.assert_array_equal(splines.forward(made, infinite, evenly=evenly)[0], infinite)


@pytest.mark.fast
def test_inverse_and_derivative_everywhere(spline):
    made, (x, _, _), evenly = spline
    at = jnp.linspace(x[:, 0] - 2, x[:, -1] + 2, 400, axis=-1)
    value, log_derivative = splines.forward(made, at, evenly=evenly)
    assert (jnp.diff(value, axis=-1) > 0).all()
    np.testing.assert_allclose(splines.inverse(made, value, evenly=False), at, atol=2e-5)

    def total(at):
        return splines.forward(made, at, evenly=evenly)[0].sum()

    np.testing.assert_allclose(jnp.log(jax.grad(total)(at)), log_derivative, atol=1e-4)
    assert jnp.isnan(splines.forward(made, jnp.full((2, 1), jnp.nan), evenly=evenly)[0]).all()


@pytest.mark.fast
def test_slopes_at_the_knots_themselves_on_either_side_of_zero():
    """Where rounding may put an entry a little beyond the end of its segment."""
    rng = np.random.default_rng(1)
    x = np.sort(np.float32(3 * rng.standard_cauchy((20, 9))), axis=1)
    z, log_slope = np.sort(np.float32(rng.normal(size=(20, 9))), axis=1), np.float32(rng.normal(size=(20, 9)))
    made = splines.through(*(jnp.asarray(a) for a in (x, z, log_slope)))
    value, told = splines.forward(made, jnp.asarray(x), evenly=False)
    slope = jax.grad(lambda at: splines.forward(made, at, evenly=False)[0].sum())(jnp.asarray(x))
    back = jax.grad(lambda at: splines.inverse(made, at, evenly=False).sum())(value)
    np.testing.assert_allclose(jnp.log(slope), told, atol=1e-3)
    np.testing.assert_allclose(jnp.log(back), -told, atol=1e-3)
