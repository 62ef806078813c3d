"""One run: data, model, objective, training, measurements, pictures, page. `main.py` and the tables all call `run`."""

import functools
import itertools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from ml_collections import ConfigDict

from experiments.sliced_autoencoders import objectives
from gentoolkit import evaluation, report, training
from gentoolkit.data import celeb_a, cifar10, columns, digits, folder, mnist, pipeline
from gentoolkit.distances import directions
from gentoolkit.evaluation import statistics
from gentoolkit.models import autoencoder, classifier, discriminator

_PICTURES = 64
_NETWORKS = {
    "digits": functools.partial(autoencoder.dense, widths=(128, 128)),
    "mnist": autoencoder.dense,
    "cifar10": autoencoder.shallow,
    "celeb_a": autoencoder.strided,
    "folder": autoencoder.strided,
}


def run(config: ConfigDict, workdir: str | pathlib.Path, mesh: jax.sharding.Mesh) -> dict[str, float]:
    """Trains an auto-encoder (or goes on with it), measures it, and writes the page of the run.

    Args:
      config: as from `config.get_config`.
      workdir: folder of the run.
      mesh: devices, from `training.make_mesh`.

    Returns:
      The latest metrics by name; those of the held-out data begin with `test/`.
    """
    workdir = pathlib.Path(workdir)
    for name, value in {
        "model.latent_dim": config.model.latent_dim,
        **{f"evaluation.{key}": value for key, value in config.evaluation.items()},
    }.items():
        if value < 1:
            raise ValueError(f"config.{name} must be at least 1, got {value}.")
    train_data, test_data = load(config)
    stream = pipeline.Stream(train_data, seed=config.seed, batch_size=config.batch_size, **_part())
    steps = training.num_steps(
        epochs=config.num_epochs, steps_per_epoch=stream.steps_per_epoch, name="config.num_epochs"
    )
    rate = training.learning_rate(num_steps=steps, **config.optimizer)
    players = objectives.players(learning_rate=rate, **config.objective)
    test = _held_out(test_data, config.evaluation.batch_size, mesh)

    features = None
    if config.features.num_epochs:
        features = _features(config, config.features_workdir or workdir / "features", train_data, test_data, mesh)
    result = training.train(
        functools.partial(make_models, config),
        players,
        iter(stream),
        workdir=workdir,
        num_steps=steps,
        seed=config.seed,
        config=config,
        evaluators={"test": _measurements(config, test, features, mesh)},
        evaluate_every=training.num_steps(
            epochs=config.evaluate_epochs, steps_per_epoch=stream.steps_per_epoch, name="config.evaluate_epochs"
        ),
        mesh=mesh,
        **config.train,
    )
    if jax.process_index() == 0:
        _write_page(config, workdir, result, test_data, features is not None)
    return result.metrics


def load(config: ConfigDict) -> tuple[columns.Columns, ...]:
    """Returns the training and the held-out examples of the data set of a configuration."""
    dataset, where = config.dataset, {"data_dir": config.data_dir or None}
    if dataset == "digits":
        return digits.load("train"), digits.load("test")
    if dataset == "mnist":
        return mnist.load("train", **where), mnist.load("test", **where)
    if dataset == "cifar10":
        # Decoded once: 150 MB of memory, and batches at the speed of indexing.
        return tuple(columns.in_memory(cifar10.load(split, **where)) for split in ("train", "test"))
    if dataset == "celeb_a":
        return celeb_a.load("train", **where), celeb_a.load("validation", **where)
    if dataset == "folder":
        if not config.data_dir:
            raise ValueError("config.data_dir must name the folder of images.")
        options = {"fit": "cover", "convert_channels": True, "first_frame": True, "check": config.check}
        images = folder.load(config.data_dir, image_shape=tuple(config.model.image_shape), **options)
        return columns.split(images, num_test=max(1, len(images) // 10))
    raise ValueError(f"There is no data set {dataset!r}.")


def make_models(config: ConfigDict, rngs: nnx.Rngs) -> dict[str, nnx.Module]:
    """Builds the modules that the method of the configuration needs."""
    method = config.objective.method
    models: dict[str, nnx.Module] = {
        "autoencoder": _NETWORKS[config.dataset](
            image_shape=tuple(config.model.image_shape),
            latent_dim=config.model.latent_dim,
            variational=method == "vae",
            rngs=rngs,
        )
    }
    if method == "wae_gan":
        models["critic"] = discriminator.LatentDiscriminator(config.model.latent_dim, rngs=rngs)
    return models


def _features(config: ConfigDict, workdir, train_data, test_data, mesh):
    """Trains the classifier, or gets it back, and returns its features as a function of images."""
    if "label" not in train_data.fields:
        raise ValueError(f"config.features.num_epochs must be 0: {config.dataset} has no labels to train features on.")

    def models(rngs):
        return {
            "classifier": classifier.Classifier(
                image_shape=tuple(config.model.image_shape),
                num_classes=len(train_data.fields["label"].class_names),
                num_features=config.features.num_features,
                rngs=rngs,
            )
        }

    def objective(models, batch, turn):
        del turn
        logits, _ = models["classifier"](batch["image"])
        loss = jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits.astype(jnp.float32), batch["label"]))
        return loss, {"cross_entropy": loss}

    test = _held_out(test_data, 500, mesh)
    right = training.jit(lambda m, images, labels: jnp.argmax(m["classifier"](images)[0], axis=-1) == labels)

    def held_out(models, step):
        del step
        found = evaluation.measure(
            test,
            extract=lambda batch: {"right": right(models, batch["image"], batch["label"])},
            statistics={"accuracy": statistics.mean("right")},
            mesh=mesh,
        )
        return {"accuracy": float(found["accuracy"].value)}

    stream = pipeline.Stream(train_data, seed=1, batch_size=config.batch_size, **_part())
    steps = training.num_steps(
        epochs=config.features.num_epochs, steps_per_epoch=stream.steps_per_epoch, name="config.features.num_epochs"
    )
    result = training.train(
        models,
        {"classifier": training.Player(objective, optax.adam(training.learning_rate(1e-3, num_steps=steps)))},
        iter(stream),
        workdir=workdir,
        num_steps=steps,
        seed=1,  # the same features for all runs, whatever their seed
        config={"dataset": config.dataset, "batch_size": config.batch_size, **config.features},
        evaluators={"test": held_out},
        mesh=mesh,
        tensorboard=False,
    )
    extract = training.jit(lambda m, images: m["classifier"].features(images))
    return functools.partial(extract, result.models)


def _held_out(source: columns.Columns, batch_size: int, mesh: jax.sharding.Mesh) -> pipeline.EvaluationPass:
    """This process's part of one pass, in batches that the devices divide."""
    size = -(-min(batch_size, len(source)) // mesh.size) * mesh.size
    return pipeline.EvaluationPass(source, batch_size=size, **_part())


def _part() -> dict[str, int]:
    return {"process_index": jax.process_index(), "process_count": jax.process_count()}


def _measurements(config: ConfigDict, test: pipeline.EvaluationPass, features, mesh: jax.sharding.Mesh):
    options, latent_dim = config.evaluation, config.model.latent_dim
    variational = config.objective.method == "vae"

    @training.jit
    def look(models, key, images):
        model = models["autoencoder"]
        mean = model.encode(images)
        # What must follow N(0, I) in a VAE is a code as the decoder sees it: a draw, not the mean of its law.
        return {"codes": model.sample(key, images)[0] if variational else mean, "rebuilt": model.decode(mean)}

    decode = training.jit(lambda m, z: m["autoencoder"].decode(z))
    slices = directions.orthogonal(jax.random.key(0), options.num_directions, latent_dim)
    prior = evaluation.prior(
        jax.random.key(1),
        num=options.num_samples,
        latent_dim=latent_dim,
        batch_size=-(-min(options.batch_size, options.num_samples) // mesh.size) * mesh.size,
        **_part(),
    )
    look_at = {
        "error": evaluation.squared_error("image", "rebuilt"),
        "law": statistics.rows("codes", finish=lambda z: evaluation.normality(z, slices)),
    }

    def moments(batches, function):
        def extract(batch):
            return {"features": function(batch)}

        kept = {"moments": statistics.moments("features")}
        return evaluation.measure(batches, extract=extract, statistics=kept, mesh=mesh)["moments"]

    real = None if features is None else moments(test, lambda batch: features(batch["image"]))

    def measure(models, step):
        del step
        keys = (jax.random.fold_in(jax.random.key(3), batch) for batch in itertools.count())
        found = evaluation.measure(
            test, extract=lambda batch: look(models, next(keys), batch["image"]), statistics=look_at, mesh=mesh
        )
        values = found["error"] | found["law"]
        if features is not None:
            drawn = moments(prior, lambda batch: features(decode(models, batch["code"])))
            values |= evaluation.frechet_distance(drawn, real, features_name=f"{config.dataset}_classifier")
        return values

    return measure


def _write_page(config: ConfigDict, workdir: pathlib.Path, result: training.Result, test_data, measured: bool) -> None:
    pictures = workdir / "pictures"
    images = test_data.take(np.arange(min(_PICTURES // 2, len(test_data))))["image"] / np.float32(255)
    decode = training.jit(lambda m, z: m["autoencoder"].decode(z))
    rebuild = training.jit(lambda m, x: m["autoencoder"].decode(m["autoencoder"].encode(x)))
    prior = jax.random.normal(jax.random.key(2), (_PICTURES, config.model.latent_dim))
    report.save_pairs(pictures / "reconstructions.png", images, np.asarray(rebuild(result.models, images)))
    report.save_grid(pictures / "samples.png", np.asarray(decode(result.models, prior)))
    report.write_summary(
        workdir,
        title=f"{config.objective.method} on {config.dataset}",
        command=report.command(),
        pictures=[
            ("samples.png", f"{_PICTURES} codes drawn from N(0, I), decoded"),
            ("reconstructions.png", "Held-out images, and their reconstructions"),
        ],
        notes=_notes(config, measured),
    )
    report.write_run(workdir)


def _notes(config: ConfigDict, measured: bool) -> list[str]:
    """What a reader of the page must know of its numbers."""
    notes = [
        "Reconstruction error: squared error summed over the pixels of an image, mean over held-out images.",
        "Normalised kurtosis: mean |z|^4 - d (d + 2), signed, as in the paper's table; skewness: mean (z . z')^3.",
    ]
    if config.objective.method == "vae":
        notes.append("Codes are drawn from their laws before they are measured; images are rebuilt from the means.")
    if measured:
        notes.append(
            "The Fréchet distance is taken on the features of a small classifier trained on the same data. "
            "It is not FID, and compares only with other runs on the same features."
        )
    else:
        notes.append(
            "No Fréchet distance: config.features.num_epochs is 0, so no classifier gives features to take it on."
        )
    return notes
