"""The monotone spline: which segment, its lines beyond the knots, its inverse and derivative."""

import jax
import numpy as np
import pytest

from gentoolkit.gaussianization import splines

through, count_not_above = jax.jit(splines.through), jax.jit(splines.count_not_above)
forward, inverse = (jax.jit(function, static_argnames="evenly") for function in (splines.forward, splines.inverse))


@pytest.mark.fast
@pytest.mark.parametrize("num", [1, 2, 63, 64, 65, 1000])
def test_counts_as_a_binary_search_does(num):
    rng = np.random.default_rng(num)
    knots = np.sort(rng.integers(0, max(num // 2, 1), size=(3, num)), axis=1).astype(np.float32)  # with ties
    at = np.concatenate([knots, knots + 0.5, np.full((3, 3), [-np.inf, np.inf, -1.0])], axis=1).astype(np.float32)
    want = [np.searchsorted(row, entries, side="right") for row, entries in zip(knots, at, strict=True)]
    np.testing.assert_array_equal(count_not_above(knots, at), want)


@pytest.fixture(params=[False, True], ids=["anyhow", "evenly"])
def spline(request):
    rng = np.random.default_rng(0)
    steps = np.ones((2, 9)) if request.param else rng.uniform(0.2, 2.0, size=(2, 9))
    x, z = np.cumsum(steps, axis=1), np.cumsum(rng.uniform(0.2, 2.0, size=(2, 9)), axis=1)
    log_slope = rng.normal(size=(2, 9))
    knots = [np.float32(a) for a in (x, z, log_slope)]
    return through(*knots), knots, request.param


@pytest.mark.fast
def test_goes_through_its_knots_with_their_slopes(spline):
    made, (x, z, log_slope), evenly = spline
    value, log_derivative = forward(made, x, evenly=evenly)
    np.testing.assert_allclose(value, z, rtol=1e-6)
    np.testing.assert_allclose(log_derivative, log_slope, atol=1e-5)


@pytest.mark.fast
def test_beyond_the_knots_lines_go_on(spline):
    made, (x, z, log_slope), evenly = spline
    for side, sign in ((0, -1), (-1, 1)):
        # As far as 1e6 times the knots' extent: nothing of the segment's bend may be left there.
        away = sign * np.float32([[0.0, 0.1, 30.0, 1e7]])
        at = x[:, side, None] + away
        value, log_derivative = forward(made, at, evenly=evenly)
        line = z[:, side, None] + np.exp(log_slope[:, side, None]) * (at - x[:, side, None])
        np.testing.assert_allclose(value, line, rtol=2e-6)
        np.testing.assert_allclose(log_derivative, np.broadcast_to(log_slope[:, side, None], at.shape), atol=1e-5)
        np.testing.assert_allclose(inverse(made, line, evenly=False), at, rtol=2e-6)
        infinite = np.full((2, 1), sign * np.inf, np.float32)
        np.testing.assert_array_equal(forward(made, infinite, evenly=evenly)[0], infinite)


@pytest.mark.fast
def test_inverse_and_derivative_everywhere(spline):
    made, (x, _, _), evenly = spline
    at = np.linspace(x[:, 0] - 2, x[:, -1] + 2, 400, axis=-1, dtype=np.float32)
    value, log_derivative = forward(made, at, evenly=evenly)
    assert (np.diff(value, axis=-1) > 0).all()
    np.testing.assert_allclose(inverse(made, value, evenly=False), at, atol=2e-5)

    def total(at):
        return forward(made, at, evenly=evenly)[0].sum()

    np.testing.assert_allclose(np.log(jax.jit(jax.grad(total))(at)), log_derivative, atol=1e-4)
    assert np.isnan(forward(made, np.full((2, 1), np.nan, np.float32), evenly=evenly)[0]).all()


@pytest.mark.fast
def test_slopes_at_the_knots_themselves_on_either_side_of_zero():
    """Where rounding may put an entry a little beyond the end of its segment."""
    rng = np.random.default_rng(1)
    x = np.sort(np.float32(3 * rng.standard_cauchy((20, 9))), axis=1)
    z, log_slope = np.sort(np.float32(rng.normal(size=(20, 9))), axis=1), np.float32(rng.normal(size=(20, 9)))
    made = through(x, z, log_slope)
    value, told = forward(made, x, evenly=False)
    slope = jax.jit(jax.grad(lambda at: forward(made, at, evenly=False)[0].sum()))(x)
    back = jax.jit(jax.grad(lambda at: inverse(made, at, evenly=False).sum()))(value)
    np.testing.assert_allclose(np.log(slope), told, atol=1e-3)
    np.testing.assert_allclose(np.log(back), -told, atol=1e-3)
