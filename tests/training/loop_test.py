"""The loop in this process: what it writes, when it measures, how it goes on and how it stops."""

import json
import pathlib
import shutil
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from gentoolkit import training
from gentoolkit.training import checkpoint, metrics, pace
from gentoolkit.training import workdir as workdir_lib
from tests.training import interruption, toy


def scale(rngs):
    """One weight."""
    return {"scale": nnx.Linear(1, 1, use_bias=False, rngs=rngs)}


def objective(models, batch, turn):
    """Brings the weight to the mean of the batch."""
    error = jnp.mean(jnp.square(models["scale"](jnp.ones((1, 1))) - batch["x"]))
    return error, {"weight": models["scale"].kernel[0, 0]}


PLAYERS = {"p": training.Player(objective, optax.adam(0.05))}


def train(workdir, num_steps, *, stream=None, models=scale, players=PLAYERS, **options):
    """A run of a second."""
    options = {"log_every": 2, "checkpoint_every": 4, "progress_seconds": 0.0, "tensorboard": False} | options
    return training.train(models, players, stream or toy.Stream(), workdir=workdir, num_steps=num_steps, **options)


def lines(workdir):
    """The metrics of a run."""
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


class Stop(Exception):
    """Something that breaks out of a run."""


def stop_at(step):
    """An evaluator that fails at a step, as a crash would."""

    def evaluate(models, now):
        if now == step:
            raise Stop
        return {"weight": models["scale"].kernel[0, 0]}

    return training.Evaluator(evaluate, every=1)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An undisturbed run of eight steps."""
    workdir = tmp_path_factory.mktemp("whole")
    train(workdir, 8, evaluators={"e": stop_at(None)}, ema_decay=0.5)
    return workdir


@pytest.mark.parametrize("crash", [3, 4, 7])
def test_resumes_after_a_crash(whole, tmp_path, crash, capfd):
    """Lines after the restored step are dropped, the rest follows, and all is equal bit for bit."""
    with pytest.raises(Stop):
        train(tmp_path, 8, evaluators={"e": stop_at(crash)}, ema_decay=0.5)
    assert max(line["step"] for line in lines(tmp_path)) == crash - 1
    with open(tmp_path / "metrics.jsonl", "a") as file:
        file.write('{"step": 1')  # torn by the crash
    train(tmp_path, 8, evaluators={"e": stop_at(None)}, ema_decay=0.5)
    assert interruption.differences(whole, tmp_path) == []
    assert ("Resuming" in capfd.readouterr().err) == (crash > 4)


def test_four_and_four_are_eight(whole, tmp_path):
    """A run that was made longer is the long run."""
    evaluators = {"e": stop_at(None)}
    config = {"train": {"num_steps": 4}, "rate": 1}
    train(tmp_path, 4, evaluators=evaluators, ema_decay=0.5, config=config)
    train(tmp_path, 8, evaluators=evaluators, ema_decay=0.5, config={"train": {"num_steps": 8}, "rate": 1})
    assert interruption.differences(whole, tmp_path) == []
    assert json.loads((tmp_path / "config.json").read_text())["train"]["num_steps"] == 8


def test_complete_run_does_nothing(whole, tmp_path, capfd):
    """It says so, changes no file of the run, and returns the same result."""
    workdir = tmp_path / "copy"
    shutil.copytree(whole, workdir)
    before = {p: p.read_bytes() for p in workdir.rglob("*") if p.is_file()}
    result = train(workdir, 8, evaluators={"e": stop_at(8)}, ema_decay=0.5)
    assert "Already complete" in capfd.readouterr().err
    assert {p: p.read_bytes() for p in workdir.rglob("*") if p.is_file()} == before
    assert result.step == 8 and result.metrics["e/weight"] == lines(workdir)[-1]["e/weight"]
    np.testing.assert_allclose(result.models["scale"].kernel[0, 0], result.metrics["e/weight"])


def test_what_is_written(whole):
    """A line where something is to be said: means over two steps, evaluations each step, the clock elsewhere."""
    found = lines(whole)
    assert [line["step"] for line in found] == list(range(1, 9))
    assert all(("p/loss" in line) == (line["step"] % 2 == 0) for line in found)
    assert {key for line in found for key in line} == {"step", "p/loss", "p/grad_norm", "p/weight", "e/weight"}
    assert json.loads((whole / "timing.jsonl").read_text().splitlines()[-1])["steps_per_second"] > 0


def test_loss_is_the_mean_over_the_interval(tmp_path):
    """Logging every four steps gives the means of logging every step."""
    train(tmp_path / "one", 8, log_every=1)
    train(tmp_path / "four", 8, log_every=4)
    losses = [line["p/loss"] for line in lines(tmp_path / "one")]
    np.testing.assert_allclose([x["p/loss"] for x in lines(tmp_path / "four")], np.mean([losses[:4], losses[4:]], 1))


def test_evaluators_are_called_when_due(tmp_path):
    """Every so many steps and at the end; averaged or not as they ask for."""
    seen = []

    def note(name):
        def evaluate(models, step):
            seen.append((name, step, float(models["scale"].kernel[0, 0])))
            return {}

        return evaluate

    evaluators = {
        "a": training.Evaluator(note("a"), every=3),
        "b": note("b"),
        "raw": training.Evaluator(note("raw"), every=3, averaged=False),
    }
    train(tmp_path, 7, evaluators=evaluators, evaluate_every=5, ema_decay=0.5)
    assert [(n, s) for n, s, _ in seen if n != "raw"] == [("a", 3), ("b", 5), ("a", 6), ("a", 7), ("b", 7)]
    assert [v for n, s, v in seen if (n, s) == ("a", 7)] != [v for n, s, v in seen if (n, s) == ("raw", 7)]


def test_newest_and_best_are_kept(tmp_path):
    """The best by a metric survives, and `load` finds it."""
    score = {2: 5.0, 4: 1.0, 6: 3.0, 8: float("nan"), 10: 9.0}
    seen = {}

    def evaluate(models, step):
        seen[step] = float(models["scale"].kernel[0, 0])
        return {"score": score[step]}

    options = {"evaluators": {"e": evaluate}, "evaluate_every": 2, "checkpoint_every": 2, "best": "e/score"}
    train(tmp_path, 10, **options)
    assert sorted(int(p.name) for p in (tmp_path / "checkpoints").iterdir()) == [4, 8, 10]
    assert lines(tmp_path)[3]["e/score"] is None
    for step, want in {"best": 4, "latest": 10, 8: 8}.items():
        assert float(training.load(tmp_path, scale, step=step)["scale"].kernel[0, 0]) == seen[want]
    with pytest.raises(training.CheckpointError, match="only .4, 8, 10."):
        training.load(tmp_path, scale, step=6)
    with pytest.raises(training.CheckpointError, match="no checkpoints"):
        training.load(tmp_path / "elsewhere", scale)


@pytest.mark.parametrize(("mode", "kept"), [("min", [3, 5, 6]), ("max", [5, 6])])
def test_an_evaluation_that_beats_all_others_is_saved(tmp_path, mode, kept):
    """Even where no checkpoint is due at its step, and not saved again after a restart."""
    score = [5.0, 4.0, 3.0, 4.0, 5.5, 5.0]
    evaluators = {"e": training.Evaluator(lambda models, step: {"score": score[step - 1]}, every=1)}
    options = {"evaluators": evaluators, "checkpoint_every": 5, "keep": 2, "best": "e/score", "best_mode": mode}
    train(tmp_path, 5, **options)
    train(tmp_path, 6, **options)
    assert sorted(int(p.name) for p in (tmp_path / "checkpoints").iterdir()) == kept


def test_best_must_exist(tmp_path):
    """Its name is checked at once, its key when it is first measured."""
    evaluators = {"held": lambda models, step: {"a": 1.0}}
    with pytest.raises(ValueError, match="did you mean 'held/"):
        train(tmp_path, 2, evaluators=evaluators, best="hold/a")
    with pytest.raises(ValueError, match="held/b"):
        train(tmp_path, 2, evaluators=evaluators, best="held/b")


@pytest.mark.parametrize("poison", [3, 6])
def test_not_finite_stops(tmp_path, poison):
    """It names the step, writes nothing of it, and the last good checkpoint stands."""
    with pytest.raises(training.NonFiniteError, match=f"since step {poison} ") as info:
        train(tmp_path, 20, stream=toy.Stream(poison=poison), log_every=5)
    assert info.value.step == poison
    kept = [int(p.name) for p in (tmp_path / "checkpoints").iterdir()]
    assert kept == ([4] if poison == 6 else [])
    assert ("is that of step 4" in str(info.value)) == (poison == 6)
    assert all(np.isfinite(list(line.values())).all() for line in lines(tmp_path))


def test_checkpoint_of_another_model(tmp_path, whole):
    """The arrays that differ are named, and nothing is changed."""
    before = checkpoint.Checkpoints(whole / "checkpoints", read_only=True).steps
    with pytest.raises(training.CheckpointMismatchError, match="average/scale/kernel"):
        train(whole, 12)
    wide = lambda rngs: {"scale": nnx.Linear(1, 4, use_bias=False, rngs=rngs)}  # noqa: E731
    with pytest.raises(training.CheckpointMismatchError, match=r"float32\[1, 1\] in it and float32\[1, 4\] now"):
        train(whole, 12, models=wide, ema_decay=0.5)
    with pytest.raises(training.CheckpointMismatchError, match="params/scale/bias"):
        training.load(whole, lambda rngs: {"scale": nnx.Linear(1, 1, rngs=rngs)})
    with pytest.raises(training.CheckpointMismatchError, match="opt_states/p"):
        train(whole, 12, players={"p": training.Player(objective, optax.sgd(0.1))}, ema_decay=0.5)
    assert checkpoint.Checkpoints(whole / "checkpoints", read_only=True).steps == before


def test_another_config_or_seed(tmp_path):
    """The key that differs is named with both values; only lengths may grow, and when to look may change."""
    config = {"train": {"num_steps": 4, "log_every": 2}, "model": {"latent": 8}, "optimizer": {"rate": 0.1, "steps": 1}}
    train(tmp_path, 4, config=config)
    for section, key, value in [("model", "latent", 9), ("optimizer", "steps", 2), ("train", "num_steps", 2)]:
        changed = config | {section: config[section] | {key: value}}
        with pytest.raises(
            training.ConfigChangedError, match=rf"{section}.{key} was {config[section][key]} .* {value}"
        ):
            train(tmp_path, 4, config=changed)
    with pytest.raises(training.ConfigChangedError, match="model.width was 'absent'"):
        train(tmp_path, 4, config=config | {"model": {"latent": 8, "width": 1}})
    with pytest.raises(training.ConfigChangedError, match="seed"):
        train(tmp_path, 4, config=config, seed=1)
    train(tmp_path, 4, config=config | {"train": {"num_steps": 4, "log_every": 1}})


def test_a_start_that_failed_binds_nothing(tmp_path):
    """Without a checkpoint there is nothing to go on from: another configuration and seed may take its place."""
    with pytest.raises(training.NonFiniteError):
        train(tmp_path, 4, stream=toy.Stream(poison=3), config={"rate": 1}, log_every=1)
    assert len(lines(tmp_path)) == 2
    train(tmp_path, 4, config={"rate": 2}, seed=1)
    assert json.loads((tmp_path / "config.json").read_text()) == {"rate": 2}
    assert [line["step"] for line in lines(tmp_path)] == [2, 4]
    assert len((tmp_path / "timing.jsonl").read_text().splitlines()) == 2
    with pytest.raises(training.ConfigChangedError, match="rate was 2 and is now 1"):
        train(tmp_path, 4, config={"rate": 1}, seed=1)


def test_workdir_that_cannot_be_written(tmp_path):
    """It is said at once, before anything is compiled."""
    (tmp_path / "file").write_text("")
    with pytest.raises(training.WorkdirError, match="Not a directory"):
        train(tmp_path / "file" / "run", 2, models=None)


def test_workdir_in_use(tmp_path, monkeypatch):
    """A second run in the same workdir is refused."""
    monkeypatch.setattr(workdir_lib, "PATIENCE", 0.5)
    code = (
        "import sys, time, pathlib; from gentoolkit.training import workdir\n"
        "with workdir.claim(pathlib.Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE)
    try:
        assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
        with pytest.raises(training.WorkdirError, match="Another run"):
            train(tmp_path, 2, models=None)
    finally:
        holder.kill()
        holder.wait()
    train(tmp_path, 2)


def test_streams_that_end_and_options_out_of_range(tmp_path):
    """An empty stream and a short one are told apart from an error of ours."""

    class Short(toy.Stream):
        def __next__(self):
            if self.index == 3:
                raise StopIteration
            return super().__next__()

    with pytest.raises(ValueError, match="after 3 of 5 steps"):
        train(tmp_path, 5, stream=Short())
    for options in ({"log_every": 0}, {"log_every": float("nan")}, {"keep": 1.5}, {"checkpoint_every": float("inf")}):
        (name,) = options
        with pytest.raises(training.OptionError, match=f"{name} must be a whole number"):
            train(tmp_path, 5, **options)
    with pytest.raises(training.OptionError, match="progress_seconds"):
        train(tmp_path, 5, progress_seconds=float("nan"))
    with pytest.raises(ValueError, match="every"):
        train(tmp_path, 5, evaluators={"e": training.Evaluator(stop_at(None).function, every=0)})


def test_tensorboard(tmp_path):
    """Where tensorboardX is installed there are files of events."""
    pytest.importorskip("tensorboardX")
    train(tmp_path, 2, tensorboard=True)
    assert list((tmp_path / "tensorboard").glob("events*"))


@pytest.mark.fast
def test_the_loop_waits_where_it_should_and_tells_of_steps_that_are_done(tmp_path, monkeypatch):
    """Not of those that only stand in line."""
    asked, told = [], []

    class EverySecond:
        def __init__(self, seconds):
            assert seconds == 0.5

        def due(self):
            asked.append("due")
            return len(asked) % 2 == 0

        def waited(self):
            asked[-1] = "waited"

    monkeypatch.setattr(pace, "Pace", EverySecond)
    monkeypatch.setattr(metrics.Progress, "tick", lambda self, step, latest: told.append(step))
    waits = []
    block = jax.block_until_ready
    monkeypatch.setattr(jax, "block_until_ready", lambda x: waits.append(int(x)) or block(x))
    train(tmp_path, 5, log_every=1, progress_seconds=0.5)
    assert asked == ["due", "waited"] * 2 + ["due"] and told == waits == [2, 4]
    # Until a step has been waited for nothing is known of the rate.
    assert json.loads((tmp_path / "timing.jsonl").read_text().splitlines()[0])["steps_per_second"] == 0


def test_progress_line(capfd, monkeypatch):
    """Step, rate, time left and losses; compilation is not part of the rate."""
    clock = iter([0.0, 100.0, 101.0, 105.0, 106.0])
    monkeypatch.setattr(metrics.time, "monotonic", lambda: next(clock))
    progress = metrics.Progress(first_step=0, num_steps=10010, seconds=5.0)
    for step in (1, 2, 6, 11):
        progress.tick(step, {"p/loss": 0.25, "e/x": 1.0})
    assert capfd.readouterr().err == "step 6/10010  1 steps/s  left 2:46:44  p/loss 0.25\n"


@pytest.mark.fast
def test_resumed_state_is_on_its_devices(tmp_path):
    """What is restored has the shardings that a new state has."""
    mesh = training.make_mesh(num_devices=2, fsdp=2)
    one = train(tmp_path, 4, mesh=mesh)
    two = train(tmp_path, 6, mesh=mesh)
    same = jax.tree.map(lambda a, b: a.sharding.is_equivalent_to(b.sharding, a.ndim), one.state, two.state)
    assert all(jax.tree.leaves(same))
    assert pathlib.Path(tmp_path / "checkpoints" / "6").is_dir()
