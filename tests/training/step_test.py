"""The step alone: who moves, how often, and what is carried from step to step."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from gentoolkit import training
from tests.training import toy


def run(program, batches, state=None):
    """Trains on a list of batches."""
    state = program.init(0) if state is None else state
    for batch in batches:
        state = program.step(state, batch)
    return state


def is_key(leaf):
    """Whether a leaf is a PRNG key."""
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def host(state):
    """A state as NumPy arrays, keys as their integers."""
    return jax.tree.map(lambda x: np.array(jax.random.key_data(x) if is_key(x) else x), state)


def batches(n):
    """The first n batches."""
    stream = toy.Stream()
    return [next(stream) for _ in range(n)]


def linear(rngs):
    """Two models of one weight each."""
    return {
        "a": nnx.Linear(1, 1, use_bias=False, kernel_init=nnx.initializers.ones, rngs=rngs),
        "b": nnx.Linear(1, 1, use_bias=False, kernel_init=nnx.initializers.ones, rngs=rngs),
    }


def descend(models, batch, turn):
    """A loss whose gradient with respect to either weight is 1."""
    x = jnp.ones((1, 1))
    return jnp.sum(models["a"](x) + models["b"](x)), {}


BATCH = {"x": np.zeros((8, 1), np.float32)}


@pytest.fixture(scope="module")
def program():
    """The regression with dropout, batch norm, noise and averages, compiled once."""
    return training.program(toy.models, toy.players(clip_norm=1.0), batches(1)[0], ema_decay=0.9, log_every=3)


def test_a_pause_changes_nothing(program):
    """Four steps and four steps are eight steps, bit for bit, whatever happened in between."""
    data = batches(8)
    half = run(program, data[:4])
    saved = host(half)
    whole = host(run(program, data))
    keyed = jax.tree.map(lambda x, like: jax.random.wrap_key_data(x) if is_key(like) else x, saved, program.abstract)
    placed = jax.tree.map(lambda x, like: jax.device_put(x, like.sharding), keyed, program.abstract)
    jax.tree.map(np.testing.assert_array_equal, host(run(program, data[4:], placed)), whole)


def test_one_compilation():
    """Neither weak types nor shardings make a later step another program."""
    traces = []

    def objective(models, batch, turn):
        traces.append(0)
        return toy.objective(models, batch, turn)

    player = {"net": training.Player(objective, optax.adam(1e-2), steps=2, every=2)}
    program = training.program(toy.models, player, batches(1)[0], ema_decay=0.9)
    state = run(program, batches(1))
    before = len(traces)
    run(program, batches(3), state)
    assert len(traces) == before > 0


@pytest.mark.fast
def test_two_players_each_own_their_model():
    """Each player moves its own weight only, as often as it was told to."""
    players = {
        "critic": training.Player(descend, optax.sgd(0.01), trains=("a",), steps=3),
        "generator": training.Player(descend, optax.sgd(0.01), trains=("b/kernel",), every=2),
    }
    program = training.program(linear, players, BATCH)
    state = run(program, [BATCH] * 5)
    np.testing.assert_allclose(state.params["a/kernel"], 1 - 0.01 * 3 * 5, rtol=1e-6)
    np.testing.assert_allclose(state.params["b/kernel"], 1 - 0.01 * 3, rtol=1e-6)  # at steps 0, 2 and 4


def test_gan_alternates():
    """A critic and a generator on a shift in one dimension: the generator finds it, and sees the moved critic."""

    def critic_loss(models, batch, turn):
        fake = models["b"](jax.random.normal(turn.key, (8, 1)))
        scores = models["a"](batch["x"]), models["a"](fake)
        weight = models["a"].kernel[...]
        return jnp.mean(scores[1] - scores[0]) + jnp.sum(weight**2), {"gap": jnp.mean(scores[0] - scores[1])}

    def generator_loss(models, batch, turn):
        return -jnp.mean(models["a"](models["b"](jnp.ones((8, 1))))), {}

    players = {
        "critic": training.Player(critic_loss, optax.sgd(0.1), trains=("a",), steps=2),
        "generator": training.Player(generator_loss, optax.sgd(0.0), trains=("b",)),
    }
    program = training.program(linear, players, BATCH)
    state = run(program, [{"x": np.full((8, 1), 5, np.float32)}])
    # The generator's loss is minus the critic's weight after its two updates, since its own weight is 1.
    np.testing.assert_allclose(-state.meters.sums["generator/loss"], state.params["a/kernel"][0, 0], rtol=1e-6)
    assert state.params["a/kernel"][0, 0] > 1.0
    assert set(state.meters.sums) == {f"{p}/{m}" for p in players for m in ("loss", "grad_norm")} | {"critic/gap"}


def test_every_update_has_its_own_key():
    """No two steps, players or updates of a step draw the same number."""

    def draw(models, batch, turn):
        number = jax.random.uniform(turn.key)
        return descend(models, batch, turn)[0], {"mean": number, "square": jnp.square(number)}

    players = {
        name: training.Player(draw, optax.sgd(0.1), steps=steps) for name, steps in [("a", 1), ("b", 1), ("c", 2)]
    }
    program = training.program(linear, players, BATCH)
    state, drawn = program.init(0), []
    for _ in range(3):
        state = program.step(state, BATCH)
        sums = {k: float(v) for k, v in state.meters.sums.items()}
        spread = {name: sums[f"{name}/square"] - sums[f"{name}/mean"] ** 2 for name in players}
        assert spread["c"] > 1e-4 > abs(spread["a"])  # the mean of two different numbers, and of one
        drawn += [sums[f"{name}/mean"] for name in players]
    assert len(set(drawn)) == 9


@pytest.mark.fast
def test_clipping_and_gradient_norm():
    """The global norm of (1, 1) is scaled to what was asked; the norm that is logged is the one before."""
    program = training.program(linear, {"p": training.Player(descend, optax.sgd(1.0), clip_norm=0.1)}, BATCH)
    state = run(program, [BATCH])
    np.testing.assert_allclose(state.params["a/kernel"], 1 - 0.1 / np.sqrt(2), rtol=1e-6)
    np.testing.assert_allclose(state.meters.sums["p/grad_norm"], np.sqrt(2), rtol=1e-6)


def test_average_of_parameters():
    """The average follows the recursion of its definition, for the models named, and is what evaluators see."""
    player = {"p": training.Player(descend, optax.sgd(0.1))}
    program = training.program(linear, player, BATCH, ema_decay={"b": 0.5})
    state = run(program, [BATCH] * 9)
    want, weight = 1.0, 1.0
    for step in range(9):
        weight -= 0.1
        decay = min(0.5, (1 + step) / (10 + step))
        want = decay * want + (1 - decay) * weight
    assert set(state.average) == {"b/kernel"}
    np.testing.assert_allclose(state.average["b/kernel"], want, rtol=1e-5)
    np.testing.assert_allclose(program.models(state)["b"].kernel[...], want, rtol=1e-5)
    np.testing.assert_allclose(program.models(state)["a"].kernel[...], weight, rtol=1e-5)
    np.testing.assert_allclose(program.models(state, averaged=False)["b"].kernel[...], weight, rtol=1e-5)


def test_statistics_are_carried(program):
    """Batch statistics follow the data; dropout counts its calls; evaluation mode changes neither."""
    state = run(program, batches(3))
    assert np.abs(state.rest["net/norm/mean"]).max() > 1e-3
    assert int(state.rest["net/dropout/rngs/count"]) == 3
    models, x = program.models(state, averaged=False), batches(1)[0]["x"]

    @training.jit
    def twice(models, x):
        return models["net"](x), models["net"](x), models["net"].norm.mean[...]

    one, two, mean = twice(models, x)
    np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(mean, state.rest["net/norm/mean"])
    np.testing.assert_allclose(training.jit(lambda m, x: m["net"](x))(models, x), one, rtol=1e-5, atol=1e-6)


def test_statistics_of_the_first_update(program):
    """The first batch moves the running mean by (1 - momentum) times its mean."""
    state = program.init(0)
    kernel = np.asarray(state.params["net/layers/0/kernel"])
    (batch,) = batches(1)
    state = program.step(state, batch)
    np.testing.assert_allclose(state.rest["net/norm/mean"], 0.01 * (batch["x"] @ kernel).mean(0), rtol=1e-3, atol=1e-6)


def test_mixed_precision():
    """Models compute in bfloat16; parameters, statistics, averages and losses stay float32, and it still learns."""
    seen = []

    def objective(models, batch, turn):
        out = models["net"](batch["x"])
        seen.append(out.dtype)
        return toy.objective(models, batch, turn)

    player = {"net": training.Player(objective, optax.adam(1e-2))}
    program = training.program(toy.models, player, batches(1)[0], ema_decay=0.9, compute_dtype=jnp.bfloat16)
    state = run(program, batches(1))
    first = float(state.meters.sums["net/error"])
    state = run(program, batches(60), state)
    assert set(seen) == {jnp.dtype(jnp.bfloat16)}
    kinds = {leaf.dtype for leaf in jax.tree.leaves((state.params, state.average, state.opt_states, state.meters.sums))}
    assert kinds == {jnp.dtype(jnp.float32), jnp.dtype(jnp.int32)}
    assert state.rest["net/norm/mean"].dtype == jnp.float32
    assert float(state.meters.sums["net/error"]) < 0.5 * first


def test_meters_average_over_the_interval():
    """Sums restart at each interval and hold one value a step."""
    program = training.program(linear, {"p": training.Player(descend, optax.sgd(0.1))}, BATCH, log_every=3)
    one = training.program(linear, {"p": training.Player(descend, optax.sgd(0.1))}, BATCH)
    state, single, losses = program.init(0), one.init(0), []
    for _ in range(5):
        state, single = program.step(state, BATCH), one.step(single, BATCH)
        losses.append(float(single.meters.sums["p/loss"]))
    np.testing.assert_allclose(state.meters.sums["p/loss"], sum(losses[3:]), rtol=1e-6)
    assert int(state.meters.counts["p"]) == 2


@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_first_bad_step(where):
    """A loss or gradient that is not finite is remembered with its step, even if later ones are finite again."""

    def objective(models, batch, turn):
        loss, metrics = descend(models, batch, turn)
        x = batch["x"][0, 0]  # 1 is good, 0 is bad
        # The square root has an infinite slope at 0, and a value of 0.
        bad = jnp.where(x > 0, 0.0, jnp.nan) if where == "loss" else jnp.sqrt(x * jnp.abs(loss))
        return (bad if where == "gradient" else loss + bad), metrics

    program = training.program(linear, {"p": training.Player(objective, optax.sgd(0.0))}, BATCH)
    good, bad = {"x": np.ones((8, 1), np.float32)}, BATCH
    state = run(program, [good, good, bad, good])
    assert int(state.meters.first_bad["p"]) == 3


def test_shared_parameter_and_unchanged_rest():
    """Models that no player trains stay as they were."""
    program = training.program(linear, {"p": training.Player(descend, optax.adam(0.1), trains=("a",))}, BATCH)
    state = run(program, [BATCH] * 2)
    assert float(state.params["b/kernel"][0, 0]) == 1.0
    assert set(state.opt_states["p"][0].mu) == {"a/kernel"}


def returns(value):
    """A player whose objective returns this."""
    return {"p": training.Player(lambda models, batch, turn: value(models), optax.sgd(0.1))}


@pytest.mark.fast
@pytest.mark.parametrize(
    ("players", "options", "error", "words"),
    [
        ({}, {}, ValueError, "no players"),
        ({"p/q": training.Player(descend, optax.sgd(0.1))}, {}, ValueError, "p/q"),
        ({"p": training.Player(descend, optax.sgd(0.1), trains=("aa",))}, {}, ValueError, "did you mean 'a'"),
        ({"p": training.Player(descend, optax.sgd(0.1), trains="a")}, {}, TypeError, "sequence"),
        ({"p": training.Player(descend, optax.sgd(0.1), steps=0)}, {}, ValueError, "steps"),
        ({"p": training.Player(descend, optax.sgd(0.1), clip_norm=0.0)}, {}, ValueError, "clip_norm"),
        (returns(lambda m: jnp.float32(0)), {}, TypeError, "metrics"),
        (returns(lambda m: (jnp.zeros(3), {})), {}, TypeError, r"float32\[3\]"),
        (returns(lambda m: (jnp.bfloat16(0), {})), {}, TypeError, "bfloat16"),
        (returns(lambda m: (jnp.float32(0), {"m": jnp.zeros(2)})), {}, TypeError, "p/m"),
        (returns(lambda m: (jnp.float32(0), {"loss": 0.0})), {}, ValueError, "p/loss"),
        ({"p": training.Player(descend, optax.sgd(0.1))}, {"ema_decay": 1.0}, ValueError, "ema_decay"),
        ({"p": training.Player(descend, optax.sgd(0.1))}, {"ema_decay": {"bb": 0.5}}, ValueError, "did you mean 'b'"),
    ],
)
def test_refuses(players, options, error, words):
    """Mistakes are named before anything is compiled."""
    with pytest.raises(error, match=words):
        training.program(linear, players, BATCH, **options)


@pytest.mark.fast
def test_refuses_batches_and_models():
    """So are things that are not batches or models."""
    player = {"p": training.Player(descend, optax.sgd(0.1))}
    with pytest.raises(TypeError, match="'name'"):
        training.program(linear, player, {"name": np.array(["a", "b"])})
    with pytest.raises(TypeError, match="nnx.Module"):
        training.program(lambda rngs: linear(rngs)["a"], player, BATCH)
