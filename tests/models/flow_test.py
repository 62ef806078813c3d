"""Flows: the density of a fitted one integrates to one, samples follow it, and training raises the likelihood."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from scipy import stats

from gentoolkit.models import flow

KINDS = {
    "gaussianization": lambda data, rngs: flow.gaussianization(2, num_layers=2, num_components=4, data=data, rngs=rngs),
    "divisive_normalization": lambda data, rngs: flow.divisive_normalization(2, num_components=4, data=data, rngs=rngs),
    "spline_coupling": lambda data, rngs: flow.spline_coupling(
        2, num_layers=2, widths=(16,), num_bins=5, data=data, rngs=rngs
    ),
}


def banana(n, seed=0):
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, n))
    return np.stack([a, 0.5 * a * a + 0.4 * b], axis=1).astype(np.float32)


@pytest.fixture(scope="module", params=list(KINDS))
def trained(request):
    """The flow after some steps of maximum likelihood, and the loss before and after."""
    x = banana(1000)
    graph, params = nnx.split(KINDS[request.param](x, nnx.Rngs(0)))
    optimizer = optax.adam(1e-2)

    def loss(params):
        return -jnp.mean(nnx.merge(graph, params, copy=True).log_prob(x))

    @jax.jit
    def train(params, state):
        def step(carry, _):
            params, state = carry
            value, slope = jax.value_and_grad(loss)(params)
            changes, state = optimizer.update(slope, state)
            return (optax.apply_updates(params, changes), state), value

        return jax.lax.scan(step, (params, state), length=150)

    (params, _), losses = train(params, jax.jit(optimizer.init)(params))
    log_prob = jax.jit(lambda x: nnx.merge(graph, params, copy=True).log_prob(x))
    sample = jax.jit(lambda key: nnx.merge(graph, params, copy=True).sample(key, 1000))
    return losses, log_prob, sample


def test_training_raises_the_likelihood(trained):
    losses = trained[0]
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0] - 0.1


def test_the_density_integrates_to_one(trained):
    log_prob = trained[1]
    # Wide enough for the tails of what was learned.
    a, b = np.linspace(-8, 8, 321, dtype=np.float32), np.linspace(-8, 16, 481, dtype=np.float32)
    grid = np.stack(np.meshgrid(a, b, indexing="ij"), axis=-1)
    total = np.exp(log_prob(grid)).sum() * (a[1] - a[0]) * (b[1] - b[0])
    np.testing.assert_allclose(total, 1.0, atol=2e-2)


def test_samples_come_from_where_the_data_are(trained):
    draws = np.asarray(trained[2](jax.random.key(0)))
    draws = draws[np.isfinite(draws).all(axis=1)]  # divisive normalization: no preimage for a few
    assert len(draws) > 950
    fresh, other = banana(1000, 1), banana(1000, 2)

    def distance(x, y):
        return np.mean([stats.wasserstein_distance(*columns) for columns in zip(x.T, y.T, strict=True)])

    assert distance(draws, fresh) < 0.3 * distance(draws + 1.0, fresh)
    assert distance(other, fresh) < 0.3 * distance(draws + 1.0, fresh)
