"""One run: domains, system, training, measurements, pictures, page."""

import pathlib
import sys

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from experiments.image_translation import collapse, data, hidden, judgement
from experiments.image_translation.systems import build
from experiments.image_translation.systems.system import System
from gentoolkit import report, study, training
from gentoolkit.data import pipeline

_CODES, _ROWS = 6, 8  # codes and contents of a sheet
_DTYPES = {"float32": None, "bfloat16": jnp.bfloat16}
_FEW = 16  # images of y that are taken to x
_DECIDED = 24  # codes in each of which all contents are painted, to see how far the code decides the colour
_TEST = "test"  # what metrics of held-out images begin with
_COVERED, _SAMPLES = 48, 16  # outlines of several true colourings, and samples of each


def run(config: ConfigDict, workdir: str | pathlib.Path, mesh: jax.sharding.Mesh) -> dict[str, float]:
    """Trains a system (or goes on with it), measures it, and writes the page of the run.

    Args:
      config: as from `config.get_config`.
      workdir: folder of the run.
      mesh: devices, from `training.make_mesh`.

    Returns:
      The latest metrics by name; those of held-out images begin with `test/`.
    """
    workdir, config = pathlib.Path(workdir), build.resolved(config)
    system = build.build(config, build.optimizer(config))
    dtype = study.choose("config.compute_dtype", config.compute_dtype, _DTYPES)
    painting = dict.fromkeys(_painting(system), config.ema_decay)
    domains = data.load(config)
    part = {"process_index": jax.process_index(), "process_count": jax.process_count()}
    stream = data.stream(config, domains, **part)
    fields = stream.fields
    result = training.train(
        system.models,
        system.players,
        iter(stream),
        workdir=workdir,
        num_steps=config.num_steps,
        seed=config.seed,
        config=config,
        prepare=lambda batch: pipeline.scale(fields, batch, (-1.0, 1.0)),
        evaluators={_TEST: _measurements(system, domains, workdir)},
        compute_dtype=dtype,
        ema_decay=painting if config.ema_decay else None,
        mesh=mesh,
        best=f"{_TEST}/{collapse.SOUND}",  # so that others do not push it out
        best_mode="max",
        **config.train,
    )
    if jax.process_index() == 0:
        report.write_summary(
            workdir,
            title=f"{config.method} on {config.dataset}",
            command=report.command(),
            pictures=[("samples.png", f"Held-out x, images of y painted from it, and {domains.beside}")],
            notes=_notes(domains),
        )
        report.write_run(workdir)
    return result.metrics


def _painting(system: System) -> tuple[str, ...]:
    """The networks of the first player, which encodes and paints."""
    return tuple(next(iter(system.players.values())).trains or ())


def _measurements(system: System, domains: data.Domains, workdir: pathlib.Path):
    """Held-out measurements and a sheet of pictures, at every evaluation."""
    test = data.spread(domains.test, 64)
    x, y = (_signed(test[name]) for name in "xy")
    ways = data.ways(domains.test, _COVERED)
    codes = np.random.default_rng(0).standard_normal((_CODES, max(1, system.code_dim)), np.float32)
    translate = training.jit(
        lambda models, x, code: system.translate(models, x, code if system.code_dim else None, "y")
    )
    style = training.jit(lambda models, y: system.style(models, y, "y")) if system.style else None
    watch = collapse.Watch(next(iter(system.players)), workdir, evaluator=_TEST)
    both_ways = set(system.directions) == {"x", "y"}
    cycles = hidden.cycling(system) if both_ways else None
    back = training.jit(lambda models, y, code: system.translate(models, y, code if system.code_dim else None, "x"))

    def measure(models, step: int) -> dict[str, float]:
        used = codes if system.code_dim else codes[:1]
        painted = np.stack([_unit(translate(models, x, np.tile(code, (len(x), 1)))) for code in used], axis=1)
        values = judgement.of_codes(painted)
        if "inside" in test:
            inside = np.asarray(test["inside"])
            values |= judgement.of_content(painted[:, 0], inside)
            if system.code_dim:
                drawn = np.random.default_rng(1).standard_normal((_DECIDED, system.code_dim), np.float32)
                fitted = [_unit(translate(models, x, np.tile(code, (len(x), 1)))) for code in drawn]
                values |= judgement.of_colours(np.stack(fitted, axis=1), inside)
        if style is not None:
            # The style of each image for the content of the next.
            referred = _unit(translate(models, np.roll(x, -1, axis=0), np.asarray(style(models, y))))
            if "inside" in test:
                values |= judgement.of_references(referred, test["colour"], np.roll(inside, -1, axis=0))
                values["true_reference_error"] = judgement.colour_error(_unit(y), test["colour"], inside)
        if ways:
            many = _SAMPLES if system.code_dim else 1
            drawn = np.random.default_rng(2).standard_normal((len(ways), many, max(1, system.code_dim)), np.float32)
            samples = [
                _unit(translate(models, np.repeat(_signed(way.x)[None], many, axis=0), code))
                for way, code in zip(ways, drawn, strict=True)
            ]
            values |= judgement.of_coverage(samples, [way.y / 255 for way in ways])
        if both_ways:
            few = y[:_FEW]
            sketched = _unit(back(models, few, np.tile(codes[0], (len(few), 1))))
            values |= {f"x_{name}": value for name, value in judgement.of_codes(sketched[:, None]).items()}
        if cycles is not None:
            # From y and back: what an outline hides of its colouring. Few images are enough.
            times, _ = cycles(models, y[:_FEW])
            values |= {f"hidden_{name.replace(' ', '_')}": value for name, value in times.items()}
        told = judgement.alarm(values)
        if told and jax.process_index() == 0:
            print(f"Step {step}: {told}.", file=sys.stderr, flush=True)
        values[collapse.SOUND] = watch.check(values, step)
        if jax.process_index() == 0:
            shown = [_rgb(images) for images in (_unit(x), *np.moveaxis(painted, 1, 0), _unit(y))]
            places = data.spread_places(len(x), _ROWS)
            rows = np.stack([column[places] for column in shown], axis=1)
            report.save_grid(
                workdir / "pictures" / "samples.png", rows.reshape(-1, *rows.shape[2:]), columns=len(shown)
            )
        return values

    return measure


def _signed(pixels) -> np.ndarray:
    """Bytes to [-1, 1]."""
    return np.asarray(pixels, np.float32) / 127.5 - 1


def _unit(images) -> np.ndarray:
    """[-1, 1] to [0, 1]."""
    return np.clip((np.asarray(images, np.float32) + 1) / 2, 0, 1)


def _rgb(images: np.ndarray) -> np.ndarray:
    return np.repeat(images, 3, axis=-1) if images.shape[-1] == 1 else images


def _notes(domains: data.Domains) -> list[str]:
    """What a reader of the page must know of its numbers."""
    relation = data.RELATIONS[domains.relation]
    notes = [
        f"Training images: {domains.x.description} and {domains.y.description}; the two domains {relation}.",
        "diversity: mean absolute difference of two images of one content with two codes; contents: with one code.",
    ]
    return notes + ([domains.credit] if domains.credit else [])
