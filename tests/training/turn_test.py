"""What an objective sees and hands on: the turn, arrays for later players, frozen models, batches as trees."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from gentoolkit import training

X = np.arange(8, dtype=np.uint8).reshape(8, 1)
BATCH = {"x": X, "more": {"weights": np.ones((8, 2), np.float32), "pair": (X, np.float32(3))}}


def weights(rngs):
    """Two models of one weight 1 each, and one with statistics."""
    ones = {"use_bias": False, "kernel_init": nnx.initializers.ones, "rngs": rngs}
    return {"a": nnx.Linear(1, 1, **ones), "b": nnx.Linear(1, 1, **ones), "norm": nnx.BatchNorm(1, rngs=rngs)}


class Encoder(nnx.Module):
    """Batch norm and dropout, to see in which mode it is called."""

    def __init__(self, rngs):
        self.linear = nnx.Linear(1, 64, rngs=rngs)
        self.wide = nnx.Linear(64, 64, rngs=rngs)
        self.norm = nnx.BatchNorm(64, rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)

    def __call__(self, x):
        return self.dropout(self.norm(self.wide(self.linear(x))))


def prepare(batch):
    """Bytes to floats in a tree."""
    return jax.tree.map(lambda leaf: leaf.astype(jnp.float32) if leaf.dtype == jnp.uint8 else leaf, batch)


def maker(models, batch, turn):
    """Moves b by two updates, and hands on what it made in the last of them."""
    weight = models["b"].kernel[0, 0]
    penalty = jax.lax.cond(turn.step % 3 == 0, lambda w: 10 * w, lambda w: 0.0 * w, weight)
    made = models["b"](batch["x"]) + batch["more"]["pair"][0]
    handed = {"made": made, "tree": {"key": turn.key, "weight": weight}}
    return weight + penalty, {"penalty": penalty, "step": turn.step}, handed


def taker(models, batch, turn):
    """Moves a by what it was handed."""
    models["norm"](batch["x"] + models["a"](batch["x"]))
    code = models["encoder"](batch["x"])
    same = jnp.mean(batch["maker/made"])
    metrics = {
        "handed": same,
        "weight": batch["maker/tree"]["weight"],
        "average": turn.averages["b"].kernel[0, 0],
        "average_of_mean": turn.averages["norm"].mean[0],
        "code": jnp.mean(code),
        "dtype": jnp.float32(batch["x"].dtype == jnp.float32),
    }
    return models["a"].kernel[0, 0] * same, metrics


PLAYERS = {
    "maker": training.Player(maker, optax.sgd(0.1), trains=("b",), steps=2),
    "taker": training.Player(taker, optax.sgd(0.1), trains=("a",)),
}
OPTIONS = {"prepare": prepare, "ema_decay": {"b": 0.5, "norm": 0.25}}


@pytest.fixture(scope="module")
def encoder():
    """A module in training mode, of another process perhaps."""
    return Encoder(nnx.Rngs(5))


@pytest.fixture(scope="module")
def states(encoder):
    """The program and its states from step 0 to 7."""
    program = training.program(weights, PLAYERS, BATCH, frozen={"encoder": encoder}, **OPTIONS)
    copy, states = jax.jit(lambda s: jax.tree.map(lambda x: x, s)), [program.init(0)]
    for _ in range(7):
        states.append(program.step(copy(states[-1]), BATCH))
    return program, states


def metric(state, name):
    return float(state.meters.sums[name])


def test_step_index_under_one_optimizer(states):
    """The penalty comes at steps 0, 3 and 6 and moves the weight by eleven times as much."""
    _, states = states
    weight = [float(state.params["b/kernel"][0, 0]) for state in states]
    np.testing.assert_allclose(np.diff(weight), [-2.2, -0.2, -0.2] * 2 + [-2.2], rtol=1e-4)
    assert [metric(state, "maker/step") for state in states[1:]] == list(range(7))


def test_handed_arrays_are_those_of_the_last_update(states):
    """Constants for the player that gets them, and nowhere in the state."""
    _, states = states
    for before, after in zip(states, states[1:], strict=False):
        moved = (before.params["b/kernel"] - after.params["b/kernel"])[0, 0] / 2
        weight = float(before.params["b/kernel"][0, 0] - moved)  # between the two updates
        np.testing.assert_allclose(metric(after, "taker/weight"), weight, rtol=1e-5)
        np.testing.assert_allclose(metric(after, "taker/handed"), X.mean() * (weight + 1), rtol=1e-5, atol=1e-6)
        slope = (before.params["a/kernel"] - after.params["a/kernel"])[0, 0] / 0.1
        np.testing.assert_allclose(slope, X.mean() * (weight + 1), rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(metric(after, "taker/grad_norm"), abs(slope), rtol=1e-3, atol=1e-5)
    assert not any("made" in str(path) for path, _ in jax.tree_util.tree_leaves_with_path(states[0]))


def test_averages_are_seen_and_hold_statistics(states):
    """An objective sees them as they were before the step; statistics follow the same recursion as parameters."""
    program, states = states
    assert set(states[0].average) == {"b/kernel", "norm/scale", "norm/bias", "norm/mean", "norm/var"}
    want = 0.0
    for step, (before, after) in enumerate(zip(states, states[1:], strict=False)):
        np.testing.assert_allclose(metric(after, "taker/average"), before.average["b/kernel"][0, 0], rtol=1e-6)
        np.testing.assert_allclose(metric(after, "taker/average_of_mean"), before.average["norm/mean"][0], rtol=1e-6)
        decay = min(0.25, (1 + step) / (10 + step))
        want = decay * want + (1 - decay) * float(after.rest["norm/mean"][0])
        np.testing.assert_allclose(after.average["norm/mean"][0], want, rtol=1e-5)
    np.testing.assert_allclose(program.models(states[-1])["norm"].mean[0], want, rtol=1e-5)
    raw = program.models(states[-1], averaged=False)["norm"].mean[0]
    np.testing.assert_array_equal(raw, states[-1].rest["norm/mean"][0])
    assert abs(raw - want) > 1e-2


def test_frozen_models_are_in_evaluation_mode_and_in_no_state(states, encoder):
    """The same code at every step, the running statistics as they were, and the caller's module as it was."""
    program, states = states
    still = Encoder(nnx.Rngs(5))
    still.eval()
    code = float(jnp.mean(still(X.astype(np.float32))))
    for state in states[1:]:
        np.testing.assert_allclose(metric(state, "taker/code"), code, rtol=1e-5)
    assert not any("encoder" in str(path) for path, _ in jax.tree_util.tree_leaves_with_path(states[-1]))
    assert set(states[-1].params) == {"a/kernel", "b/kernel", "norm/scale", "norm/bias"}
    seen = program.models(states[-1])["encoder"]
    np.testing.assert_allclose(jnp.mean(seen(X.astype(np.float32))), code, rtol=1e-5)
    assert not encoder.dropout.deterministic and not encoder.norm.use_running_average


def test_bytes_are_prepared_once_in_the_step_and_in_evaluators(states):
    """The step and `training.jit` apply the same function."""
    program, states = states
    assert metric(states[1], "taker/dtype") == 1
    total = training.jit(lambda models, batch: jnp.sum(100 * batch["x"]), prepare=prepare)
    assert float(total(program.models(states[0]), BATCH)) == 2800  # which bytes cannot hold


@pytest.mark.parametrize("fsdp", [1, -1])
def test_frozen_models_over_devices(states, encoder, fsdp):
    """Copied or cut like parameters; eight devices give the metrics of one."""
    mesh = training.make_mesh(fsdp=fsdp)
    batch = BATCH | {"more": BATCH["more"] | {"pair": (X, np.float32(3))}}
    program = training.program(weights, PLAYERS, batch, frozen={"encoder": encoder}, mesh=mesh, **OPTIONS)
    state = program.step(program.init(0), batch)
    kernel = program.models(state)["encoder"].wide.kernel[...]
    assert kernel.addressable_shards[0].data.shape == (64 // (8 if fsdp == -1 else 1), 64)
    for name, value in states[1][1].meters.sums.items():
        np.testing.assert_allclose(state.meters.sums[name], value, rtol=1e-5, atol=1e-6)


def objective(**parts):
    """An objective that returns these things."""

    def made(models, batch, turn):
        return (models["a"].kernel[0, 0], {}, {k: v(models, turn) for k, v in parts.items()})

    return made


ARRAY = {"fake": lambda models, turn: jnp.zeros(3)}


@pytest.mark.fast
@pytest.mark.parametrize(
    ("player", "batch", "options", "error", "words"),
    [
        ({"objective": objective(**ARRAY), "every": 2}, {}, {}, ValueError, r"hands on \['fake'\].*every=2"),
        ({"objective": objective(**ARRAY)}, {"p/fake": X}, {}, ValueError, r"\['p/fake'\], which the batch holds"),
        ({"objective": objective(**{"a/b": ARRAY["fake"]})}, {}, {}, ValueError, "handed array.*'a/b'"),
        ({"objective": objective(x=lambda m, t: t.averages["a"].kernel[0, 0])}, {}, {}, KeyError, "averages of .*'a'"),
        ({"objective": lambda m, b, t: (jnp.float32(0), {}, 0)}, {}, {}, TypeError, "arrays handed on"),
        (
            {"trains": ("f/linear",)},
            {},
            {"frozen": {"f": Encoder(nnx.Rngs(0))}},
            ValueError,
            "'f/linear', which is frozen",
        ),
        ({}, {}, {"frozen": {"a": Encoder(nnx.Rngs(0))}}, ValueError, r"\['a'\] are names of frozen and of trained"),
        ({}, {}, {"frozen": {"f": Encoder}}, TypeError, r"frozen\['f'\] must be an nnx.Module"),
        ({}, {}, {"prepare": lambda batch: batch["x"]}, TypeError, "prepare must return a batch"),
        ({}, {"deep": {"name": np.array(["a"] * 8)}}, {}, TypeError, "'deep/name'"),
        ({}, {"deep": [X[:7]]}, {"mesh": 8}, ValueError, "'deep/0' has 7 examples"),
    ],
)
def test_refuses(player, batch, options, error, words):
    """Named before anything is compiled."""
    settings = {"objective": objective(), "optimizer": optax.sgd(0.1)} | player
    mesh = {"mesh": training.make_mesh()} if "mesh" in options else {}
    with pytest.raises(error, match=words):
        training.program(weights, {"p": training.Player(**settings)}, {"x": X} | batch, **options | mesh)


@pytest.mark.fast
def test_batches_are_dicts():
    """And seeds are numbers of 32 bits."""
    player = {"p": training.Player(objective(), optax.sgd(0.1))}
    with pytest.raises(TypeError, match="must be a dict"):
        training.program(weights, player, X)
    for seed in (-1, 2**32):
        with pytest.raises(training.OptionError, match=f"seed .* got {seed}"):
            training.program(weights, player, {"x": X}).init(seed)
