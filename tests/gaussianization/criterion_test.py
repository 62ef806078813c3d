"""What a bijection removes of total correlation: closed forms, and the maximum that is reached."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gentoolkit.gaussianization import criterion, univariate_entropy


def correlated(n, rho):
    x = np.random.default_rng(0).normal(size=(n, 2)).astype(np.float32)
    return jnp.asarray(x @ np.linalg.cholesky([[1, rho], [rho, 1]]).T.astype(np.float32))


def test_whitening_removes_all_that_a_gaussian_has():
    rho = 0.8
    x = correlated(20_000, rho)
    whiten = jnp.asarray(np.linalg.inv(np.linalg.cholesky([[1, rho], [rho, 1]])), jnp.float32)
    log_det = jnp.full(x.shape[:1], np.log(np.abs(np.linalg.det(whiten))), jnp.float32)
    removed = criterion.total_correlation_removed(x, x @ whiten.T, log_det)
    np.testing.assert_allclose(removed, -0.5 * np.log(1 - rho**2), atol=0.02)  # two entropies of sd 0.005 each


def test_marginal_maps_remove_nothing():
    x = correlated(20_000, 0.5)
    z = jnp.sinh(x)
    log_det = jnp.sum(jnp.log(jnp.cosh(x)), axis=-1)
    # Few spacings: the default, made for slopes, smooths the tails of sinh by 0.01 a feature.
    removed = criterion.total_correlation_removed(x, z, log_det, entropy=univariate_entropy.spacing)
    np.testing.assert_allclose(removed, 0, atol=0.01)


def test_it_telescopes():
    x = correlated(500, 0.5)
    first, second = jnp.array([[1.0, 0.3], [-0.2, 2.0]]), jnp.array([[0.5, -1.0], [1.0, 0.1]])
    y, z = x @ first.T, x @ first.T @ second.T
    one, two = (jnp.full(500, np.log(np.abs(np.linalg.det(m))), jnp.float32) for m in (first, second))
    removed = criterion.total_correlation_removed
    np.testing.assert_allclose(removed(x, z, one + two), removed(x, y, one) + removed(y, z, two), atol=1e-5)


def test_its_slope_leads_to_independence():
    x = correlated(2000, 0.6)

    def loss(angle):
        c, s = jnp.cos(angle), jnp.sin(angle)
        z = x @ jnp.stack([jnp.stack([c, s]), jnp.stack([-s, c])]).T
        return -criterion.total_correlation_removed(x, z, jnp.zeros(2000))

    slope = jax.jit(jax.value_and_grad(loss))
    angle = jnp.float32(0.2)
    for _ in range(60):
        angle = angle - 0.2 * slope(angle)[1]
    np.testing.assert_allclose(angle, np.pi / 4, atol=0.05)  # the principal axes
    np.testing.assert_allclose(-loss(angle), -0.5 * np.log(1 - 0.6**2), atol=0.05)


@pytest.mark.fast
def test_shapes_that_disagree_are_named():
    x = jnp.zeros((5, 2))
    with pytest.raises(ValueError, match=r"log_det.shape = \(4,\)"):
        criterion.total_correlation_removed(x, x, jnp.zeros(4))
    with pytest.raises(ValueError, match=r"z.shape = \(5, 3\)"):
        criterion.total_correlation_removed(x, jnp.zeros((5, 3)), jnp.zeros(5))
