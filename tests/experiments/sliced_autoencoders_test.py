"""The sliced auto-encoders on the embedded digits, shortened: every method, the page, resuming, bad input."""

import json
import pathlib
import subprocess
import sys

import jax
import numpy as np
import pytest
from flax import nnx

from experiments.sliced_autoencoders import experiment, objectives, paper, table1
from experiments.sliced_autoencoders.config import get_config
from gentoolkit import training
from tests.training import interruption, scale

ROOT = pathlib.Path(__file__).parents[2]


def _config(method="scwae", **objective):
    config = get_config("digits")
    config.num_epochs = 2
    config.evaluate_epochs = 1.0
    config.features.num_epochs = 0.0
    config.evaluation.num_samples = 50
    config.train.log_every = 4
    config.train.checkpoint_every = 10
    config.objective.update(method=method, **objective)
    return config


@pytest.fixture(scope="module")
def mesh():
    return training.make_mesh(num_devices=1)


@pytest.mark.parametrize("method", objectives.METHODS)
def test_every_objective_has_a_finite_loss_and_a_slope(method):
    config = _config(method)
    batch = {"image": jax.random.uniform(jax.random.key(0), (32, 8, 8, 1))}
    for player in objectives.players(learning_rate=1e-3, **config.objective).values():

        def loss(batch, player=player):
            models = experiment.make_models(config, nnx.Rngs(0))
            return player.objective(models, batch, training.Turn(jax.random.key(1)))[0]

        value, gradient = jax.jit(jax.value_and_grad(loss))(batch)
        assert np.isfinite(value)
        assert np.isfinite(gradient["image"]).all() and np.abs(gradient["image"]).max() > 0


@pytest.mark.parametrize("method", ["vae", "wae_gan", "scwae"])
def test_a_run_learns_and_leaves_its_files(method, tmp_path, mesh):
    metrics = experiment.run(_config(method), tmp_path / "run", mesh)
    assert all(np.isfinite(v) for v in metrics.values())
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    errors = [line["autoencoder/reconstruction"] for line in lines if "autoencoder/reconstruction" in line]
    assert errors[-1] < errors[0]
    assert lines[-1]["step"] == 22
    for name in ("config.json", "report.html", "checkpoints", "pictures/samples.png"):
        assert (tmp_path / "run" / name).exists()


def test_the_weighted_cost_is_the_error_plus_the_weighted_distance(tmp_path, mesh):
    metrics = experiment.run(_config("scfwae", cost="weighted", weight=3.0), tmp_path / "run", mesh)
    expected = metrics["autoencoder/reconstruction"] + 3 * metrics["autoencoder/distance"]
    np.testing.assert_allclose(metrics["autoencoder/loss"], expected, rtol=1e-5)


def test_the_log_cost_does_not_care_for_a_constant_factor():
    images = jax.random.uniform(jax.random.key(0), (32, 8, 8, 1))
    models = experiment.make_models(_config(), nnx.Rngs(0))

    def gradient(factor):
        def penalty(key, z):
            return factor * objectives.multivariate_cramer_wold(key, z)

        def loss(x):
            return objectives._penalized(
                models, {"image": x}, training.Turn(jax.random.key(1)), penalty=penalty, cost="log", weight=1.0
            )[0]

        return jax.grad(loss)(images)

    np.testing.assert_allclose(gradient(1.0), gradient(1e3), rtol=1e-3, atol=1e-6)


def test_features_are_trained_once_and_shared(tmp_path, mesh):
    config = _config()
    config.features.num_epochs = 1.0
    config.features_workdir = str(tmp_path / "features")
    first = experiment.run(config, tmp_path / "a", mesh)
    before = (tmp_path / "features" / "metrics.jsonl").read_text()
    second = experiment.run(config, tmp_path / "b", mesh)
    assert (tmp_path / "features" / "metrics.jsonl").read_text() == before
    name = "test/frechet_digits_classifier"
    assert first[name] == second[name] > 0


def test_a_longer_run_goes_on_and_equals_one_that_was_never_cut(tmp_path, mesh):
    whole = _config("sksae")
    whole.num_epochs = 3
    experiment.run(whole, tmp_path / "whole", mesh)
    experiment.run(_config("sksae"), tmp_path / "parts", mesh)
    experiment.run(whole, tmp_path / "parts", mesh)

    def losses(run):
        lines = [json.loads(line) for line in (tmp_path / run / "metrics.jsonl").read_text().splitlines()]
        return {line["step"]: line["autoencoder/loss"] for line in lines if line["step"] % 4 == 0}

    assert losses("parts") == losses("whole")


@pytest.mark.fast
def test_the_table_sets_the_paper_beside_mean_and_spread():
    results = {
        m: [
            {f"test/{n}": v for n, v in zip(table1._LABELS, (s, 2 * s, 3 * s, 4 * s, 5 * s), strict=True)}
            for s in (1.0, 3.0)
        ]
        for m in ("swae", "ae")
    }
    made = table1.table("mnist", results, 10)
    rows = {row[0]: list(row[1:]) for row in made.rows}
    assert rows["skewness (raw Mardia), ours"] == ["2 ± 1.4"] * 2
    assert rows["skewness (raw Mardia), paper"] == ["35.86", "-"]
    assert "2 seed(s)" in made.caption
    assert all(set(row) == set(paper.METHODS) for row in paper.TABLE_1.values())
    assert "| swae | ae |" in made.markdown()


@pytest.mark.fast
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "scvma"}, "objective.method must be one of .*Did you mean 'scvmae'"),
        ({"cost": "logs"}, "objective.cost must be one of log, weighted; got 'logs'"),
        ({"directions": "orthagonal"}, "Did you mean 'orthogonal'"),
        ({"num_directions": 0}, "objective.num_directions must be >= 1, got 0"),
    ],
)
def test_unknown_options_are_named_with_the_nearest(options, message):
    settings = get_config().objective.to_dict() | options
    with pytest.raises(ValueError, match=message):
        objectives.players(learning_rate=1e-3, **settings)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--config.objectve.method=ae"], "Did you mean --config.objective"),
        (["--confg=x"], "Did you mean --config"),
        (["--config.batch_size=5000"], "batch_size = 5000 is larger than the data: 1500"),
        (["--config.dataset=mnist", "--config.data_dir=no-such"], "MNIST: data_dir = 'no-such' is not a folder"),
    ],
)
def test_mistakes_on_the_command_line_end_in_one_line(arguments, message, tmp_path):
    config = "--config=experiments/sliced_autoencoders/config.py:digits"
    command = [sys.executable, "-m", "experiments.sliced_autoencoders.main", config, f"--workdir={tmp_path}/run"]
    done = subprocess.run([*command, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode != 0
    assert message in done.stderr
    assert "Traceback" not in done.stderr


# The smallest run that logs, evaluates and saves more than once.
_SHORT = [
    sys.executable,
    "-m",
    "experiments.sliced_autoencoders.main",
    "--config=experiments/sliced_autoencoders/config.py:digits",
    "--config.num_epochs=2",
    "--config.evaluate_epochs=1",
    "--config.features.num_epochs=0",
    "--config.train.log_every=4",
    "--config.train.checkpoint_every=5",
]


def test_kills_leave_the_same_run_bit_for_bit(tmp_path, monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_force_host_platform_device_count=1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert interruption.check(_SHORT, tmp_path, kills=1, seed=0) == 0


def test_devices_and_processes_do_not_change_the_metrics(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    command = [*_SHORT, "--config.objective.method=scvmae"]  # sorts the global batch
    assert scale.check(command, tmp_path, tolerance=1e-5) == 0
