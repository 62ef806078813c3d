"""The sliced auto-encoders on the embedded digits, shortened: every method, the page, resuming, bad input."""

import json
import pathlib
import sys
import types

import jax
import numpy as np
import pytest
from flax import nnx
from PIL import Image

from experiments.sliced_autoencoders import experiment, objectives, paper, runs, table1
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


@pytest.fixture(scope="module")
def models():
    """The modules of every method: those that have the same ones share them."""
    made = {name: experiment.make_models(_config(name), nnx.Rngs(0)) for name in ("ae", "vae", "wae_gan")}
    return {method: made.get(method, made["ae"]) for method in objectives.METHODS}


# What a method adds to the reconstruction error, from its metrics.
_ADDED = {
    "ae": lambda metrics: 0.0,
    "vae": lambda metrics: metrics["kl_divergence"],
    "wae_gan": lambda metrics: 10.0 * metrics["adversarial"],
}


@pytest.mark.parametrize("method", [*objectives.METHODS, "scfwae, weighted"])
def test_every_objective_adds_its_terms_and_has_a_slope(method, models):
    method, _, weighted = method.partition(", ")
    options = {"cost": "weighted", "weight": 3.0} if weighted else {}
    batch = {"image": jax.random.uniform(jax.random.key(0), (32, 8, 8, 1))}
    players = objectives.players(learning_rate=1e-3, **_config(method, **options).objective)
    for name, player in players.items():

        def loss(batch, player=player):
            return player.objective(models[method], batch, training.Turn(jax.random.key(1)))[:2]

        (value, metrics), gradient = jax.jit(jax.value_and_grad(loss, has_aux=True))(batch)
        assert np.isfinite(gradient["image"]).all() and np.abs(gradient["image"]).max() > 0
        if name == "critic":
            np.testing.assert_allclose(value, 2 * np.log(2), rtol=0.2)  # it cannot tell codes from draws yet
            continue
        distance = _ADDED.get(method, lambda m: 3 * m["distance"] if weighted else np.log(max(m["distance"], 0) + 1e-7))
        np.testing.assert_allclose(value, metrics["reconstruction"] + distance(metrics), rtol=1e-5)


def _lines(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("method", ["vae", "wae_gan"])
def test_a_run_learns(method, tmp_path, mesh):
    metrics = experiment.run(_config(method), tmp_path / "run", mesh)
    assert all(np.isfinite(v) for v in metrics.values())
    errors = [line["autoencoder/reconstruction"] for line in _lines(tmp_path / "run") if "autoencoder/loss" in line]
    assert errors[-1] < errors[0]
    page = (tmp_path / "run" / "report.html").read_text()
    assert "No Fréchet distance: config.features.num_epochs is 0" in page and "labels" not in page


def test_a_longer_run_goes_on_and_equals_one_that_was_never_cut(tmp_path, mesh):
    """Runs that share the features they are measured by; the second one in two parts."""
    config = _config("sksae")
    config.features.num_epochs = 1.0
    config.features_workdir = str(tmp_path / "features")
    config.num_epochs = 2.5
    whole = experiment.run(config, tmp_path / "whole", mesh)
    features = (tmp_path / "features" / "metrics.jsonl").read_text()
    config.num_epochs = 1.5
    experiment.run(config, tmp_path / "parts", mesh)
    assert _lines(tmp_path / "parts")[-1]["step"] == 17  # an epoch and a half of eleven steps
    config.num_epochs = 2.5
    parts = experiment.run(config, tmp_path / "parts", mesh)
    assert _lines(tmp_path / "whole")[-1]["step"] == 28
    losses = [
        {line["step"]: line["autoencoder/loss"] for line in _lines(tmp_path / run) if line["step"] % 4 == 0}
        for run in ("whole", "parts")
    ]
    assert losses[0] == losses[1] and losses[0][28] < losses[0][4]
    assert parts["test/frechet_digits_classifier"] == whole["test/frechet_digits_classifier"] > 0
    assert (tmp_path / "features" / "metrics.jsonl").read_text() == features  # trained once
    for name in ("config.json", "report.html", "checkpoints", "pictures/samples.png"):
        assert (tmp_path / "whole" / name).exists()


@pytest.mark.fast
def test_broken_pictures_of_a_folder_of_ones_own_are_told_or_left_out(tmp_path):
    for index in range(12):
        pixels = np.random.default_rng(index).integers(0, 256, (70, 64, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{index}.png")
    (tmp_path / "5.png").write_bytes((tmp_path / "5.png").read_bytes()[:-3000])
    config = get_config("folder")
    config.data_dir, config.check = str(tmp_path), "all"
    with pytest.raises(ValueError, match=r"1 of 12 images .*5.png"):
        experiment.load(config)
    config.check = "skip"
    train, test = experiment.load(config)
    assert (len(train), len(test)) == (10, 1) and train.fields["image"].shape == (64, 64, 3)


@pytest.mark.fast
@pytest.mark.parametrize(("epochs", "steps"), [(0.5, 6), (1.5, 17), (2.0, 22), (None, 1650)])
def test_parts_of_an_epoch_are_honoured(epochs, steps, monkeypatch):
    given = types.SimpleNamespace(dataset="digits", data_dir="", workdir="w", epochs=epochs)
    monkeypatch.setattr(runs.flags, "FLAGS", given)
    config = runs.configure("swae", 2)
    assert training.num_steps(epochs=config.num_epochs, steps_per_epoch=11) == steps
    assert (config.seed, config.objective.method) == (2, "swae")


def test_the_log_cost_does_not_care_for_a_constant_factor(models):
    images = jax.random.uniform(jax.random.key(0), (32, 8, 8, 1))

    @jax.jit
    def gradient(factor):
        def penalty(key, z):
            return factor * objectives.multivariate_cramer_wold(key, z)

        def loss(x):
            return objectives._penalized(
                models["cwae"], {"image": x}, training.Turn(jax.random.key(1)), penalty=penalty, cost="log", weight=1.0
            )[0]

        return jax.grad(loss)(images)

    np.testing.assert_allclose(gradient(1.0), gradient(1e3), rtol=1e-3, atol=1e-6)


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
    ("options", "message"),
    [
        ({"batch_size": 5000}, "batch_size = 5000 is larger than the data: 1500"),
        ({"dataset": "mnist", "data_dir": "no-such"}, "MNIST: data_dir = 'no-such' is not a folder"),
        ({"dataset": "folder"}, "config.data_dir must name the folder of images"),
        ({"model.latent_dim": 0}, "config.model.latent_dim must be at least 1, got 0"),
        ({"evaluation.num_directions": 0}, "config.evaluation.num_directions must be at least 1, got 0"),
    ],
)
def test_what_cannot_be_had_is_named(options, message, tmp_path, mesh):
    config = _config()
    config.update_from_flattened_dict(options)
    with pytest.raises((ValueError, OSError), match=message):
        experiment.run(config, tmp_path, mesh)


def test_an_empty_list_of_methods_is_refused_before_any_is_trained(tmp_path, monkeypatch):
    monkeypatch.setattr(runs.flags, "FLAGS", types.SimpleNamespace(methods=[], workdir=tmp_path / "w", seeds=1))
    with pytest.raises(ValueError, match="--methods is empty; name some of ae, "):
        runs.make()
    assert not (tmp_path / "w").exists()


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


@pytest.mark.slow
def test_kills_leave_the_same_run_bit_for_bit(tmp_path, monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_force_host_platform_device_count=1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert interruption.check(_SHORT, tmp_path, kills=1, seed=0) == 0


@pytest.mark.slow
def test_devices_and_processes_do_not_change_the_metrics(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    command = [*_SHORT, "--config.objective.method=scvmae"]  # sorts the global batch
    assert scale.check(command, tmp_path, tolerance=1e-5) == 0
