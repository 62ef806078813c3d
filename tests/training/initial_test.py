"""Weights to begin with, by name; and frozen models over a pause."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from gentoolkit import training
from tests.training import toy

X = {"x": np.ones((8, 2), np.float32)}


class Net(nnx.Module):
    """An encoder with statistics and dropout, a head, and a pool that is no weight."""

    def __init__(self, rngs):
        self.encoder = nnx.List([nnx.Linear(2, 3, rngs=rngs), nnx.BatchNorm(3, rngs=rngs), nnx.Dropout(0.5, rngs=rngs)])
        self.head = nnx.Linear(3, 1, rngs=rngs)
        self.pool = nnx.Variable(jnp.zeros((4, 2)))

    def __call__(self, x):
        for layer in self.encoder:
            x = layer(x)
        self.pool[...] = self.pool[...] + 1
        return self.head(x)


def objective(models, batch, turn):
    """Any loss, of any model."""
    return sum(jnp.mean(jnp.square(model(batch["x"]) - 1)) for model in models.values()), {}


PLAYERS = {"p": training.Player(objective, optax.adam(0.1))}


def one(rngs):
    return {"net": Net(rngs)}


def two(rngs):
    return {"first": Net(rngs), "second": Net(rngs)}


class Ones(toy.Stream):
    """Two features of ones."""

    def __next__(self):
        super().__next__()
        return X


def train(workdir, num_steps=2, models=one, **options):
    return training.train(
        models, PLAYERS, Ones(), workdir=workdir, num_steps=num_steps, tensorboard=False, progress_seconds=0, **options
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of two steps with averages: its folder and its last state."""
    workdir = tmp_path_factory.mktemp("run")
    return workdir, train(workdir, ema_decay=0.5).state


@pytest.fixture(scope="module")
def programs():
    """Programs of one and of two nets."""
    return {models: training.program(models, PLAYERS, X) for models in (one, two)}


def weights(state):
    """Parameters and statistics as NumPy arrays."""
    return {k: np.asarray(v) for k, v in (state.params | state.rest).items() if "rngs" not in k and "pool" not in k}


def test_from_a_run(run, programs):
    """Its averages, or what it stood at; counts, keys and pools begin anew, and so do optimizers."""
    workdir, state = run
    raw = programs[one].init(7, training.Initial(workdir, averaged=False))
    jax.tree.map(np.testing.assert_array_equal, weights(raw), weights(state))
    assert float(raw.rest["net/pool"].max()) == 0 and int(raw.rest["net/encoder/2/rngs/count"]) == 0
    smooth = weights(programs[one].init(7, workdir))
    assert set(state.average) == set(smooth)
    for name, value in state.average.items():
        np.testing.assert_array_equal(smooth[name], value)
    assert np.abs(smooth["net/head/kernel"] - weights(state)["net/head/kernel"]).max() > 1e-4


def test_from_a_file_by_other_names(run, programs, tmp_path):
    """Names in the way of PyTorch, half precision, two models from one, the second's head as it is built."""
    _, state = run
    arrays = {k.removeprefix("net/").replace("/", "."): v.astype(np.float16) for k, v in weights(state).items()}
    np.savez(tmp_path / "weights.npz", **arrays, extra=np.zeros(3))
    names = {f"{k}": f"first/{k.replace('.', '/')}" for k in arrays} | {"extra": None}
    initial = training.Initial(tmp_path / "weights.npz", into=("first",), rename=names)
    plain, made = (weights(programs[two].init(0, source)) for source in (None, initial))
    for name, value in made.items():
        model, rest = name.split("/", 1)
        want = arrays[rest.replace("/", ".")].astype(np.float32) if model == "first" else plain[name]
        np.testing.assert_array_equal(value, want)
        assert value.dtype == np.float32
    rename = lambda name: None if name == "extra" else f"first/{name.replace('.', '/')}"  # noqa: E731
    again = programs[two].init(0, initial._replace(rename=rename))
    jax.tree.map(np.testing.assert_array_equal, weights(again), made)


def test_the_longest_name_decides(run, programs):
    """A mapping may move a whole and its parts, and leave some out."""
    _, state = run
    nested = {"old": {k.removeprefix("net/"): v for k, v in weights(state).items()}}
    rename = {"old": "lost", "old/encoder": "net/encoder", "old/head": "net/head"}
    made = weights(programs[one].init(3, training.Initial(nested, rename=rename)))
    jax.tree.map(np.testing.assert_array_equal, made, weights(state))
    part = training.Initial(nested, into=("net/encoder",), rename=rename | {"old/head": None})
    plain, made = (weights(programs[one].init(3, source)) for source in (None, part))
    np.testing.assert_array_equal(made["net/encoder/0/kernel"], weights(state)["net/encoder/0/kernel"])
    np.testing.assert_array_equal(made["net/head/kernel"], plain["net/head/kernel"])


def test_counts_and_keys_that_the_models_lack_are_left_behind(run, programs):
    """As those of a dropout that these models do not have."""
    _, state = run
    source = weights(state) | {"net/dropout/rngs/count": np.zeros((), np.uint32)}
    made = weights(programs[one].init(3, source))
    jax.tree.map(np.testing.assert_array_equal, made, weights(state))


def test_refuses_by_name(run, programs, tmp_path):
    """What is missing, not known, of another shape or kind, or meant for the same place."""
    _, state = run
    good = weights(state)
    kernel = good["net/head/kernel"]
    less = {k: v for k, v in good.items() if k != "net/encoder/1/mean"}
    init = programs[one].init
    cases = [
        (less, "net/encoder/1/mean is not in it"),
        (good | {"net/heads/kernel": kernel}, "net/heads/kernel, which the models have not.*'net/head/kernel'"),
        (good | {"net/head/kernel": kernel.T}, r"net/head/kernel is float32\[1, 3\] in it and float32\[3, 1\] in"),
        (good | {"net/head/kernel": kernel.astype(int)}, r"int64\[3, 1\] in it"),
        (training.Initial(good | {"x": kernel}, rename={"x": "net/head/kernel"}), "are both meant for net/head/kernel"),
        (training.Initial(good, into=("net/body",)), "into names 'net/body'"),
        (tmp_path / "none.npz", "no run and no file"),
        (tmp_path, "no checkpoints"),
    ]
    for initial, words in cases:
        with pytest.raises(training.TrainingError, match=words):
            init(0, initial)
    (tmp_path / "text.npz").write_text("no")
    np.save(tmp_path / "one.npy", kernel)
    (tmp_path / "torn.npz").write_bytes(b"PK\x03\x04 and no more")
    for name, words in {"text.npz": "Cannot read", "torn.npz": "Cannot read", "one.npy": "without a name"}.items():
        with pytest.raises(training.CheckpointError, match=words):
            init(0, tmp_path / name)


def test_used_at_the_first_step_only(run, tmp_path):
    """A run that goes on does not look for it; the whole is the run without a pause."""
    workdir, state = run
    arrays = weights(state)
    whole = train(tmp_path / "whole", 4, initial=arrays)
    train(tmp_path / "parts", 2, initial=arrays)
    parts = train(tmp_path / "parts", 4, initial="there/is/nothing.npz")
    jax.tree.map(np.testing.assert_array_equal, whole.state.params, parts.state.params)
    other = train(tmp_path / "other", 4)
    assert np.abs(other.state.params["net/head/kernel"] - whole.state.params["net/head/kernel"]).max() > 1e-4


def test_frozen_models_are_checked_by_fingerprint(run, tmp_path):
    """The same weights go on, whoever built the module; one changed bit is refused by name, and so is its absence."""
    workdir, _ = run
    frozen = {"text": training.load(workdir, one)["net"]}
    train(tmp_path, 2, frozen=frozen)
    train(tmp_path, 4, frozen={"text": training.load(workdir, one)["net"]})
    stored = {p.name for p in (tmp_path / "checkpoints" / "4").rglob("*")}
    assert not any("text" in name for name in stored)
    changed = training.load(workdir, one)["net"]
    kernel = np.array(changed.head.kernel[...])
    kernel.view(np.uint32)[0, 0] ^= 1
    changed.head.kernel[...] = jnp.asarray(kernel)
    for other in ({"text": changed}, {}, frozen | {"more": changed}):
        with pytest.raises(training.ConfigChangedError, match="frozen model '(text|more)': the fingerprint"):
            train(tmp_path, 6, frozen=other)
    # What is loaded for use is asked too, of those that one has at hand.
    training.load(tmp_path, one, frozen=frozen)
    for other in ({"text": changed}, frozen | {"more": changed}):
        with pytest.raises(training.ConfigChangedError, match="frozen model '(text|more)': the fingerprint"):
            training.load(tmp_path, one, frozen=other)
