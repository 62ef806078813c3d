"""One run: pictures with texts, system, training, measurements, a sheet, a page."""

import contextlib
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from experiments.text_to_image import attributes, beginning, data, encoders, measures
from experiments.text_to_image import config as config_lib
from experiments.text_to_image.data import Captioned
from experiments.text_to_image.encoders import Pretrained
from experiments.text_to_image.systems import build, clip, opposites
from experiments.text_to_image.systems.system import System
from gentoolkit import report, study, training
from gentoolkit.data import pipeline

_MEASURED, _TWICE = 1000, 200  # texts that are painted to be measured, and how many of them twice
_MEASURED_LARGE, _LARGE = 200, 128  # of pictures with more pixels a side than that
_SAME = 1e-5  # difference of two pictures, of 1, that no picture of 8 bits could show and no sound painter is below
_BEGUN = 100  # steps before which a painter of the same grey has not collapsed, but not begun
_ROWS, _NOISES = 8, 4  # texts and pictures of each on a sheet
_ROW = "samples/{}.png"  # of such a sheet, among the pictures of a run
_DTYPES = {"float32": None, "bfloat16": jnp.bfloat16}


def run(config: ConfigDict, workdir: str | pathlib.Path, mesh: jax.sharding.Mesh) -> dict[str, float]:
    """Trains a system (or goes on with it), measures it, and writes the page of the run.

    Args:
      config: as from `config.get_config`.
      workdir: folder of the run.
      mesh: devices, from `training.make_mesh`.

    Returns:
      The latest metrics by name; those of held-out texts begin with `test/`.

    Raises:
      ValueError: options that cannot be, or an encoder that does not fit.
    """
    workdir = pathlib.Path(workdir)
    dtype = study.choose("config.compute_dtype", config.compute_dtype, _DTYPES)
    told = encoder_of(config, mesh) if config.system in config_lib.PAINTERS else None
    # Numbers of words are those of an encoder by others, else of the data.
    by_others = told is not None and encoders.are_published(config.encoder)
    captioned = data.load(config, vocabulary=told.vocabulary if by_others else None)
    if told is not None:
        encoders.check(
            told, captioned.vocabulary, image_size=config.image_size, source=config.encoder,
            max_objects=config.max_objects if config.dataset == "scenes" else 0,
        )  # fmt: skip
    system = build.build(config, captioned, told)
    part = {"process_index": jax.process_index(), "process_count": jax.process_count()}
    stream = data.stream(config, captioned.train, *system.columns, **part)
    fields = stream.fields
    # Of a folder with checkpoints of another run training refuses to take notice, and its words must stay; what cannot
    # be written it says better.
    if not any((workdir / "checkpoints").glob("*")):
        with contextlib.suppress(OSError):
            _keep(captioned, workdir)
    result = training.train(
        system.models,
        system.players,
        iter(stream),
        workdir=workdir,
        num_steps=config.num_steps,
        seed=config.seed,
        config=config,
        frozen=system.frozen or None,
        initial=beginning.initial(config, system),
        prepare=lambda batch: pipeline.scale(fields, batch, (-1.0, 1.0)),
        evaluators={"test": _kept(_measurements(config, system, captioned, told, workdir), captioned, workdir)},
        compute_dtype=dtype,
        ema_decay=dict.fromkeys(system.averaged, config.ema_decay) if config.ema_decay and system.averaged else None,
        mesh=mesh,
        **config.train,
    )
    if jax.process_index() == 0:
        report.write_summary(
            workdir,
            title=f"{config.system} on {captioned.train.description}",
            command=report.command(),
            pictures=_pictures(config, captioned, workdir) if system.draw else [],
            notes=[captioned.credit] if captioned.credit else [],
        )
        report.write_run(workdir)
    return result.metrics


def _kept(measure, captioned: Captioned, workdir: pathlib.Path):
    """An evaluator that also keeps words and attributes, should another start in the folder have written others."""

    def kept(models, step: int) -> dict[str, float]:
        _keep(captioned, workdir)
        return measure(models, step)

    return kept


def _keep(captioned: Captioned, workdir: pathlib.Path) -> None:
    """Keeps words and attributes of the run in its folder, without which its checkpoints cannot be used."""
    if jax.process_index() == 0:
        encoders.save_vocabulary(workdir, captioned.vocabulary, captioned.max_words)
        if captioned.attributes:
            attributes.save(workdir, captioned.attributes)


def encoder_of(config: ConfigDict, mesh: jax.sharding.Mesh) -> Pretrained:
    """The frozen encoder that a painter is told by.

    Raises:
      FileNotFoundError: there is no such folder.
      ValueError: none is named, or the folder holds none.
    """
    if not config.encoder:
        name = encoders.shipped(config)
        known = f", or give config.encoder={name}, which is shipped, with config.max_objects=2" if name else ""
        raise ValueError(f"config.encoder must be the folder of a damsm run; {encoders.HOW}{known}.")
    return encoders.find(config.encoder, mesh=mesh)


def _measurements(
    config: ConfigDict, system: System, captioned: Captioned, told: Pretrained | None, workdir: pathlib.Path
):
    """Held-out measurements at every evaluation."""
    test = captioned.test
    num = min(_MEASURED if config.image_size <= _LARGE else _MEASURED_LARGE, len(test))
    if config.system == "detector":
        return lambda models, step: measures.of_detector(models, test, num)
    if config.system == "probe":
        pictures = measures.signed(test.select("image").take(np.arange(num))["image"])
        asked = attributes.asked(test, captioned.attributes, num)
        return lambda models, step: measures.of_probe(models, pictures, asked)
    tokens, lengths = data.first_texts(test, num)
    images = measures.signed(test.select("image").take(np.arange(num))["image"])
    if config.system == "damsm":

        def of_damsm(models, step: int) -> dict[str, float]:
            texts = encoders.encode_texts(models["text"], tokens, lengths)
            seen = encoders.encode_images(models["images"], images)
            found = measures.of_embeddings(seen.picture, texts.sentence, measures.groups_of(tokens))
            if config.opposites:
                known = opposites.table(config.opposites, captioned.vocabulary)
                turned, has = opposites.exchange(known, tokens, jax.random.key(0))
                wrong = encoders.encode_texts(models["text"], np.asarray(turned), lengths)
                found |= measures.of_opposites(*(rows[has] for rows in (seen.picture, texts.sentence, wrong.sentence)))
            return found

        return of_damsm
    if config.system == "clip":
        return lambda models, step: measures.of_embeddings(
            *clip.embed(models, images, tokens, lengths), measures.groups_of(tokens)
        )
    judges = measures.Judges(told)
    encoded = encoders.encode_texts(told.text, tokens, lengths)
    written = data.written(config, test, captioned.vocabulary, num, split="test")
    alike = measures.groups_of_scenes(written) if config.dataset == "scenes" else measures.groups_of(tokens)

    def of_painter(models, step: int) -> dict[str, float]:
        # A painter may have trained what reads its texts; measured is by the encoder all the same.
        own = encoders.encode_texts(models["text"], tokens, lengths) if "text" in system.averaged else encoded
        painted = measures.paint(system, models, own, seed=0)
        first = type(own)(*(column[:_TWICE] for column in own))
        again = measures.paint(system, models, first, seed=1)
        apart = _apart(painted, config.system, step)
        if jax.process_index() == 0:
            _save_sheet(system, models, own, images, workdir)
        values = measures.of_pictures(
            painted, again, images, judges, texts=(), tokens=tokens, lengths=lengths, encoded=encoded, groups=alike
        )
        values.pop("num")
        return values | apart

    return of_painter


def _apart(painted: np.ndarray, system: str, step: int) -> dict[str, float]:
    """How far pictures of different texts and noise are apart: the mean difference of each to the next, of 1 at most.

    Nothing of a single picture.

    Raises:
      TrainingError: they are all the same. A painter whose colours are all at their ends has no gradient any more.
    """
    if len(painted) < 2:
        return {}
    apart = float(np.abs(measures.unit(painted) - measures.unit(np.roll(painted, 1, axis=0))).mean())
    grey = np.abs(measures.unit(painted) - 0.5).max() < 0.49  # no colour at its end
    if not apart >= _SAME and not (step < _BEGUN and grey):
        free = ", config.dfgan.bounded=False" if system == "dfgan" else ""
        raise training.TrainingError(
            f"Step {step}: the painter of {system} has collapsed: all of its {len(painted)} pictures, of different "
            f"texts and noise, are the same (mean level {measures.unit(painted).mean():.3f} of 1). Checkpoints and "
            "pictures of earlier evaluations stay. The same command would end here again: in another workdir, try "
            f"lower learning rates (config.{system}.peak…){free} or larger batches."
        )
    return {"apart": apart}


def _pictures(config: ConfigDict, captioned: Captioned, workdir: pathlib.Path) -> list[tuple[str, str]]:
    """Pictures of each text with the text under them; the whole sheet of a run that was measured before they were."""
    texts = data.written(config, captioned.test, captioned.vocabulary, _ROWS, split="test")
    rows = [(_ROW.format(row), f"{text} (on the right the real picture)") for row, text in enumerate(texts)]
    if all((workdir / "pictures" / name).is_file() for name, _ in rows):
        return rows
    return [("samples.png", "Painted pictures of each text, and the real one on the right")]


def _save_sheet(system: System, models, encoded, images: np.ndarray, workdir: pathlib.Path) -> None:
    rows = [np.repeat(column[:_ROWS], _NOISES, axis=0) for column in encoded]
    painted = measures.paint(system, models, type(encoded)(*rows), seed=2)
    painted = painted.reshape(-1, _NOISES, *painted.shape[1:])
    shown = np.concatenate([painted, images[:_ROWS, None]], axis=1)
    shown = measures.unit(shown)
    folder = workdir / "pictures"
    report.save_grid(folder / "samples.png", shown.reshape(-1, *shown.shape[2:]), columns=_NOISES + 1)
    for row, strip in enumerate(shown):
        report.save_grid(folder / _ROW.format(row), strip, columns=_NOISES + 1)
