"""Modules as functions and as constants inside a loss."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from gentoolkit import training

X = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)


class Critic(nnx.Module):
    """Batch norm, spectral norm and dropout: everything that a call changes."""

    def __init__(self, rngs):
        self.layer = nnx.SpectralNorm(nnx.Linear(3, 4, rngs=rngs), rngs=rngs)
        self.norm = nnx.BatchNorm(4, rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)
        self.head = nnx.Linear(4, 1, rngs=rngs)

    def features(self, x, *, scale=1.0):
        return scale * self.dropout(jnp.tanh(self.norm(self.layer(x))))

    def __call__(self, x):
        return self.head(self.features(x))


@pytest.fixture(scope="module")
def split():
    """A critic as its structure and its arrays."""
    graph, params, rest = nnx.split(nnx.jit(Critic)(nnx.Rngs(0)), nnx.Param, ...)
    return graph, nnx.as_pure(params), nnx.as_pure(rest)


def arrays(module):
    """All variables of a module, keys as integers."""
    keys = jax.dtypes.prng_key
    leaves = jax.tree.leaves(nnx.as_pure(nnx.state(module)))
    return [jax.random.key_data(leaf) if jnp.issubdtype(leaf.dtype, keys) else leaf for leaf in leaves]


def test_a_pure_module_changes_nothing_and_can_be_differentiated(split):
    """The slopes are those of finite differences; a call of the module itself gives the same, and changes it."""
    graph, *parts = split

    @jax.jit
    def run(parts, x):
        critic = nnx.merge(graph, *parts, copy=True)
        before, function = arrays(critic), training.pure(critic)
        features = training.pure(critic.features)
        out = {
            "first": function(x),
            "again": function(x),
            "slope": jax.grad(lambda x: jnp.sum(jnp.square(function(x))))(x),
            "mapped": jax.vmap(function)(jnp.stack([2 * x, x]))[1],
            "features": features(x, scale=2.0),
            "half": features(x),
        }
        after = arrays(critic)
        own = critic(x)
        return out, own, before, after, arrays(critic)

    out, own, before, after, moved = run(parts, X)
    step = np.zeros_like(X)
    step[2, 1] = 1e-2
    change = np.diff([np.sum(np.square(run(parts, x)[0]["first"])) for x in (X - step, X + step)])[0]
    np.testing.assert_allclose(out["slope"][2, 1], change / 2e-2, rtol=1e-2, atol=1e-3)
    for name in ("again", "mapped"):  # The same draw of dropout at every call.
        np.testing.assert_allclose(out[name], out["first"], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(own, out["first"], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(out["features"], 2 * out["half"], rtol=1e-6)
    jax.tree.map(np.testing.assert_array_equal, after, before)
    assert sum(bool(np.any(old != new)) for old, new in zip(before, moved, strict=True)) >= 4


def test_only_modules_and_their_methods_can_be_pure():
    """Anything else is named."""
    for wrong in (lambda x: x, "critic", [].append):
        with pytest.raises(TypeError, match="a module or a method of one"):
            training.pure(wrong)


def test_a_constant_module_passes_slopes_to_its_inputs_only(split):
    """Zero for its parameters, the module's own for its input; what it changes is forgotten."""
    graph, params, rest = split

    def loss(params, x, constant):
        module = nnx.merge(graph, params, rest, copy=True)
        before = nnx.state(module, nnx.BatchStat)
        out = jnp.sum(jnp.square((training.constant(module) if constant else module)(x)))
        after = nnx.state(module, nnx.BatchStat)
        moved = sum(jnp.sum(jnp.abs(a - b)) for a, b in zip(*map(jax.tree.leaves, (before, after)), strict=True))
        return out, moved

    slopes = jax.jit(jax.grad(loss, argnums=(0, 1), has_aux=True), static_argnums=2)
    (own, of_x), _ = slopes(params, X, False)
    (none, same), unmoved = slopes(params, X, True)
    np.testing.assert_allclose(same, of_x, rtol=1e-5, atol=1e-6)
    assert all(np.abs(leaf).max() == 0 for leaf in jax.tree.leaves(none)) and float(unmoved) == 0
    assert any(np.abs(leaf).max() > 1e-3 for leaf in jax.tree.leaves(own))


def test_a_penalty_of_slopes_moves_the_parameters():
    """The squared slope of w x is w^2, whose slope is 2 w; it can come at some steps only."""

    def objective(models, batch, turn):
        critic = training.pure(models["critic"])

        def penalty():
            slope = jax.vmap(jax.grad(lambda x: critic(x)[0]))(batch["x"])
            return jnp.mean(jnp.sum(jnp.square(slope), axis=-1))

        due = jax.lax.cond(turn.step % 2 == 1, penalty, lambda: jnp.float32(0))
        return due, {}

    def models(rngs):
        return {"critic": nnx.Linear(3, 1, rngs=rngs)}

    program = training.program(models, {"p": training.Player(objective, optax.sgd(0.1))}, {"x": X})
    state = program.init(0)
    weight = np.asarray(state.params["critic/kernel"])
    state = program.step(state, {"x": X})
    np.testing.assert_array_equal(state.params["critic/kernel"], weight)
    state = program.step(state, {"x": X})
    np.testing.assert_allclose(state.params["critic/kernel"], 0.8 * weight, rtol=1e-5)
    np.testing.assert_allclose(state.meters.sums["p/loss"], np.sum(weight**2), rtol=1e-5)


def test_jit_inside_a_larger_program():
    """It is compiled alone with options of its own, and traced into what is compiled around it."""
    apply = training.jit(lambda models, x, y: models["critic"](x) + y)
    models = {"critic": nnx.Linear(3, 1, rngs=nnx.Rngs(0))}
    outer = jax.jit(lambda x: 2 * apply(models, x, 1.0))
    np.testing.assert_allclose(outer(X), 2 * apply(models, X, 1.0), rtol=1e-5)
