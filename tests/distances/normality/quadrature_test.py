"""Epps-Pulley by fixed nodes: the sum as it is written, the integral, gradients, far samples, bad input."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate

from gentoolkit.distances import normality
from gentoolkit.distances.normality import quadrature

pytestmark = pytest.mark.fast


@jax.jit
def value_and_gradient(y):
    value, back = jax.vjp(normality.epps_pulley_quadrature, y)
    return value, back(jnp.ones_like(value))[0]


def written_out(y, nodes, weights):
    """The statistic and its gradient, every node and entry at once, in float64."""
    y = np.asarray(y, np.float64)
    angle = y[..., None] * nodes
    real, imag = np.cos(angle).mean(-2) - np.exp(-nodes * nodes / 2), np.sin(angle).mean(-2)
    value = y.shape[-1] * ((real**2 + imag**2) @ weights)
    slope = 2 * ((imag[..., None, :] * np.cos(angle) - real[..., None, :] * np.sin(angle)) * nodes) @ weights
    return value, slope


def trapezoid(num=17, last=3.0, weight=lambda t: np.exp(-t * t / 2)):
    nodes = np.linspace(0, last, num)
    weights = np.full(num, 2 * last / (num - 1))
    weights[[0, -1]] /= 2
    return nodes, weights * weight(nodes)


@pytest.mark.parametrize("shape", [(3, 1), (2, 3, 64), (40, 1000)])  # the last one runs in blocks of rows
def test_it_is_the_sum_as_written_with_its_gradient(shape):
    y = (1.1 * np.random.default_rng(0).standard_normal(shape)).astype(np.float32)
    value, gradient = value_and_gradient(y)
    expected, slope = written_out(y, *trapezoid())
    np.testing.assert_allclose(value, expected, rtol=4e-6)
    np.testing.assert_allclose(gradient, slope, atol=2e-6 * np.abs(slope).max())


def test_both_ways_of_summing_agree():
    rows = np.random.default_rng(1).standard_normal((40, 1000)).astype(np.float32)
    sums = [
        jax.jit(functools.partial(each, 0.2, 9))(rows) for each in (quadrature._by_rotation, quadrature._by_direct_sums)
    ]
    np.testing.assert_allclose(*sums, atol=1e-3)  # of 1000 entries


def test_nodes_and_weight_are_options():
    y = np.random.default_rng(2).standard_normal((4, 50)).astype(np.float32)

    def flat(nodes):
        return np.ones_like(nodes)

    statistic = functools.partial(normality.epps_pulley_quadrature, num_nodes=40, last_node=2.0, weight=flat)
    value, back = jax.vjp(statistic, y)
    expected, slope = written_out(y, *trapezoid(40, 2.0, flat))
    np.testing.assert_allclose(value, expected, rtol=4e-6)
    np.testing.assert_allclose(back(jnp.ones_like(value))[0], slope, atol=2e-6 * np.abs(slope).max())


def test_many_nodes_give_the_whole_integral():
    y = np.random.default_rng(3).standard_normal((4, 50)).astype(np.float32)
    whole = 50 * np.sqrt(2 * np.pi) * normality.epps_pulley(y)
    np.testing.assert_allclose(normality.epps_pulley_quadrature(y, num_nodes=129, last_node=8.0), whole, rtol=1e-5)
    np.testing.assert_allclose(normality.epps_pulley_quadrature(y), whole, rtol=0.05)


def test_a_point_mass_far_from_the_origin_is_the_integral_of_the_squared_difference():
    def gap(t):
        return abs(np.exp(2j * t) - np.exp(-t * t / 2)) ** 2 * np.exp(-t * t / 2)

    expected = 7 * 2 * integrate.quad(gap, 0, 3)[0]
    value = normality.epps_pulley_quadrature(jnp.full(7, 2.0), num_nodes=301)
    assert value == pytest.approx(expected, rel=1e-4)


def test_copies_a_period_away_look_the_same():
    y = np.random.default_rng(4).standard_normal(30).astype(np.float32)
    period = 2 * np.pi * 16 / 3
    np.testing.assert_allclose(*(normality.epps_pulley_quadrature(y + s) for s in (0.0, period)), rtol=1e-3)


def test_a_lone_entry_is_pulled_towards_the_rest_by_as_much_for_every_n():
    y = np.random.default_rng(5).standard_normal(4096).astype(np.float32)
    pulls = []
    for n in (64, 4096):
        _, gradient = value_and_gradient(np.append(y[: n - 1], np.float32(2.0)))
        pulls.append(float(gradient[-1]))
    assert pulls[0] == pytest.approx(pulls[1], abs=0.5)


def test_derivatives_of_the_gradient_and_vmap():
    y = np.random.default_rng(6).standard_normal((3, 20)).astype(np.float32)
    mapped = jax.vmap(normality.epps_pulley_quadrature)(y)
    np.testing.assert_allclose(mapped, normality.epps_pulley_quadrature(y), rtol=1e-6)
    row = y[0]
    slope = jax.jit(jax.grad(normality.epps_pulley_quadrature))
    step = np.float32(1e-2) * np.random.default_rng(7).standard_normal(20).astype(np.float32)
    product = (slope(row + step) - slope(row - step)) / 2
    hessian = np.asarray(jax.jit(jax.jacrev(slope))(row))
    np.testing.assert_allclose(hessian @ step, product, atol=1e-4)


def test_nan_and_infinity_give_nan_in_their_row_alone():
    y = np.zeros((3, 8), np.float32)
    y[0, 2], y[1, 3] = np.nan, np.inf
    value, gradient = value_and_gradient(y)
    assert np.isnan(value).tolist() == [True, True, False]
    assert np.isnan(gradient).any(axis=1).tolist() == [True, True, False]


def test_bfloat16_and_integers_are_taken_as_float32():
    y = np.arange(-3, 4)
    expected = normality.epps_pulley_quadrature(y.astype(np.float32))
    for each in (y, jnp.asarray(y, jnp.bfloat16)):
        value = normality.epps_pulley_quadrature(each)
        assert value.dtype == jnp.float32
        np.testing.assert_array_equal(value, expected)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"num_nodes": 1}, "num_nodes"),
        ({"last_node": 0.0}, "last_node"),
        ({"last_node": np.inf}, "last_node"),
        ({"weight": lambda t: t[1:]}, "weight"),
        ({"weight": lambda t: -t}, "weight"),
        ({"weight": lambda t: np.full_like(t, np.nan)}, "weight"),
    ],
)
def test_bad_options_are_named(options, told):
    with pytest.raises(ValueError, match=told):
        normality.epps_pulley_quadrature(jnp.zeros(4), **options)


def test_an_empty_sample_is_refused():
    with pytest.raises(ValueError, match="y must be"):
        normality.epps_pulley_quadrature(jnp.zeros((3, 0)))
    with pytest.raises(TypeError, match="y must be"):
        normality.epps_pulley_quadrature(jnp.zeros(3, jnp.complex64))
