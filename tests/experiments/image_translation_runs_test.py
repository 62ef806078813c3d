"""Runs of image translation read back: which networks, whose weights, and what is refused."""

import json
import pathlib

import jax
import numpy as np
import optax
import pytest

from experiments.image_translation import config as config_lib
from experiments.image_translation import runs
from experiments.image_translation.systems import build
from gentoolkit import training
from gentoolkit.training import checkpoint
from gentoolkit.training import step as step_lib


def written(folder: pathlib.Path, method: str = "dsvib", *, average: bool = False, **options) -> pathlib.Path:
    """The folder of a run without the training: a configuration, and a checkpoint of drawn weights."""
    config = config_lib.get_config("polygons")
    config.update(method=method, image_size=16, width=2, pool=2, **options)
    config.dsvib.update(num_blocks=1, bank=2)
    config.munit.num_blocks = config.cyclegan.num_blocks = 1
    folder.mkdir()
    (folder / "config.json").write_text(config.to_json())
    # Drawn by NumPy: to make the networks would take longer than to use them.
    rng = np.random.default_rng(0)
    _, params, rest = step_lib.abstract_models(build.build(config, optax.identity()).models)
    params = {k: jax.numpy.asarray(rng.normal(0, 0.2, v.shape), v.dtype) for k, v in params.items()}
    rest = {k: jax.numpy.zeros(v.shape, v.dtype) for k, v in rest.items() if v.dtype != "key<fry>"}
    state = {"params": params, "rest": rest, "average": {k: v + 1 for k, v in params.items()} if average else {}}
    checkpoints = checkpoint.Checkpoints(folder / "checkpoints")
    checkpoints.save(3, state, extra={}, metrics={})
    checkpoints.close()
    return folder


@pytest.mark.fast
def test_the_networks_that_translate_come_back_averaged_where_asked_for(tmp_path):
    run = written(tmp_path / "run", average=True)
    trained = runs.load(run)
    assert trained.step == 3 and trained.config.dsvib.num_blocks == 1
    assert set(trained.models) == {"encode_x", "encode_y", "paint_x", "paint_y"}
    plain = runs.load(run, averaged=False, everything=True)
    assert {"judge_x", "pool_judge_x", "bank_y"} < set(plain.models)
    one, other = (t.models["paint_y"].fuse.kernel[...] for t in (trained, plain))
    np.testing.assert_array_equal(one, other + 1)
    images, codes = np.zeros((1, 16, 16, 3), np.float32), np.zeros((1, 8), np.float32)
    painted = training.jit(lambda m, x, code: trained.system.translate(m, x, code, "y"))(trained.models, images, codes)
    assert painted.shape == images.shape and bool(jax.numpy.isfinite(painted).all())


@pytest.mark.fast
def test_folders_that_are_not_such_runs_are_refused(tmp_path, capsys):
    with pytest.raises(FileNotFoundError, match="There is no folder"):
        runs.load(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="it has no config.json"):
        runs.load(tmp_path)
    path = tmp_path / "config.json"
    for text, said in (
        ("{", "cannot be read"),
        ('{"dataset": "digits", "objective": {"method": "swae"}}', "not the folder of a run of image translation"),
        ('{"dataset": "polygons", "method": "munit", "munit": {"new": 1}}', "does not know: config.munit.new"),
    ):
        path.write_text(text)
        with pytest.raises(ValueError, match=said):
            runs.load(tmp_path)
    config = config_lib.get_config("polygons")
    stored = json.loads(config.to_json())
    del stored["dsvib"]["beta"], stored["pool"]
    path.write_text(json.dumps(stored))
    with pytest.raises(training.CheckpointError, match="There are no checkpoints"):
        runs.load(tmp_path)
    assert "is older than config.dsvib.beta, config.pool: the defaults are taken" in capsys.readouterr().err
    stored["image_size"] = 18
    path.write_text(json.dumps(stored))
    with pytest.raises(ValueError, match="image_size must divide by 4 for dsvib, got 18"):
        runs.load(tmp_path)


def test_a_checkpoint_of_other_networks_is_refused(tmp_path):
    run = written(tmp_path / "run", "cyclegan")
    stored = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps(stored | {"width": 3}))
    with pytest.raises(training.CheckpointMismatchError, match="to_x/encoder"):
        runs.load(run)
