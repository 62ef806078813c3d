r"""Brightens photographs: one file or all of a folder, of any size, and a page of before and after.

    python -m experiments.low_light.enhance --input=dark.jpg --output=bright.jpg
    python -m experiments.low_light.enhance --input=FOLDER --output=OTHER_FOLDER --method=improved

Methods: improved (the default), cm, lm, gpe (the published forms, their tone learnt from the image reduced to 256
pixels), and fbe, wvm, lime, srrm, gble_like, which need memory for some 30 copies of the image; the others take strips.
A file that fails does not stop the rest: it is listed at the end, and the exit status is 1.
"""

import functools
import json
import os
import pathlib
import sys
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags

from experiments.low_light import methods, pictures
from gentoolkit import report
from gentoolkit.imaging import color
from gentoolkit.imaging.gp_enhancement import improved, published, shrinkage, tone_map

_STRIP_PIXELS = 1 << 19
_FIT_SIDE = 256  # the published forms learn from images of this side, as in the paper
_NOISE_SIDE = 1024  # the noise is estimated in the middle of the photograph
_THUMBNAIL = 480
_REPORT = "report"

_Brighten = Callable[[jax.Array], jax.Array]


def enhance(
    pixels: np.ndarray,
    references: methods.References,
    *,
    method: str = "improved",
    num_clusters: int = 30,
    strength: float = 0.0,
    white_balance: float = 0.0,
    progress: Callable[[float], None] = lambda share: None,
) -> np.ndarray:
    """Brightens a photograph of any size.

    Args:
      pixels: `[h, w, 3]` uint8 or uint16 RGB.
      references: the networks.
      method: one of `methods.NAMES`.
      num_clusters: k of the learnt methods, at most the number of patches.
      strength: how far the improved form shrinks noise, 0 for not at all.
      white_balance: share of the estimated colour cast that the improved form undoes first, 0 for none.
      progress: told the share that is done.

    Returns:
      As `pixels`. A photograph that is black throughout holds nothing to brighten, and comes back as it is.

    Raises:
      ValueError: an option is out of range.
    """
    if method not in methods.NAMES:
        raise ValueError(f"method must be one of {', '.join(methods.NAMES)}, got method = {method!r}.")
    if not pixels.any():
        return pixels
    most = np.iinfo(pixels.dtype).max
    if method in methods.BASELINES:
        made = np.asarray(methods.enhance(method, _floats(pixels), references).image)
        return _whole(made, pixels.dtype)
    brighten, border = _learn(pixels, references, method, num_clusters, strength, white_balance)
    height, width = pixels.shape[:2]
    rows = max(1, min(height, _STRIP_PIXELS // width))
    result = np.empty_like(pixels)
    for start in range(0, height, rows):
        places = np.abs(np.arange(start - border, start + rows + border))
        places = np.clip(np.where(places >= height, 2 * (height - 1) - places, places), 0, height - 1)
        strip = np.asarray(brighten(jnp.asarray(pixels[places].astype(np.float32) / most)))
        count = min(rows, height - start)
        result[start : start + count] = _whole(strip[border : border + count], pixels.dtype)
        progress((start + count) / height)
    return result


def main(argv: list[str]) -> None:
    """Enhances what the flags name."""
    if len(argv) > 1:
        raise app.UsageError(f"Did not understand {argv[1]!r}.")
    values = flags.FLAGS
    jobs, page = _jobs(pathlib.Path(values.input), pathlib.Path(values.output))
    references = methods.References(values.weights)
    failed: dict[str, str] = {}
    shown = []
    for number, (source, target) in enumerate(jobs, 1):
        start = time.perf_counter()
        tell = functools.partial(_tell, f"{number}/{len(jobs)}  {source.name}")
        tell(0.0)
        try:
            picture = pictures.read(source)
            names = ("method", "num_clusters", "strength", "white_balance")
            options = {name: values[name].value for name in names}
            made = enhance(picture.pixels, references, progress=tell, **options)
            pictures.write(target, picture._replace(pixels=made))
        except (OSError, ValueError, MemoryError) as error:
            failed[str(source)] = str(error)
            continue
        seconds = time.perf_counter() - start
        note = "" if picture.pixels.any() else ": black throughout, written as it is"
        height, width = made.shape[:2]
        print(f"\r{source} -> {target}  {width} x {height}, {picture.num_bits} bits, {seconds:.1f} s{note}")
        if values.page:
            shown.append(_thumbnails(page, number, source.name, picture.pixels, made))
    if shown:
        print(f"Page: {_write_page(page, values, shown, failed)}")
    print(_peak_memory())
    if failed:
        print(f"\n{len(failed)} of {len(jobs)} could not be enhanced:", file=sys.stderr)
        for name, reason in failed.items():
            print(f"  {name}: {reason}", file=sys.stderr)
        sys.exit(1)


def _learn(
    pixels: np.ndarray,
    references: methods.References,
    method: str,
    num_clusters: int,
    strength: float,
    white_balance: float,
) -> tuple[_Brighten, int]:
    """Fits on a reduced photograph; returns what brightens a strip, and the border that it needs."""
    key = jax.random.key(0)
    if method == "improved":
        num_bits = 8 * pixels.dtype.itemsize
        small = _reduced(pixels, methods.reduced_shape(*pixels.shape[:2]))
        small, exponents = methods.balance(small, white_balance)
        fit = _compiled(improved.fit, num_clusters=num_clusters, num_bits=num_bits)
        table = _compiled(improved.rebalance)(fit(key, small, references(small)), exponents)
        height, width = (max(0, (side - _NOISE_SIDE) // 2) for side in pixels.shape[:2])
        level = _noise_level(_floats(pixels[height : height + _NOISE_SIDE, width : width + _NOISE_SIDE]))
        run = _compiled(improved.apply, num_bits=num_bits, strength=strength)
        return lambda strip: run(table, strip, noise_level=level), 4
    small = _reduced(pixels, methods.reduced_shape(*pixels.shape[:2], shorter=_FIT_SIDE))
    if method == "cm":
        found = _compiled(tone_map.fit, num_clusters=num_clusters)(key, small, references(small))
        return functools.partial(_compiled(tone_map.apply), found), 1
    y = color.luma(small)
    if method == "lm":
        found = _compiled(tone_map.fit, num_clusters=num_clusters)(key, y, references(y))
    else:
        found = _compiled(published.fit_unique_pairs)(key, y, references(y))
    return functools.partial(methods.brighten_luma, found), 1


@functools.cache
def _compiled(function: Callable, **options) -> Callable:
    return jax.jit(functools.partial(function, **options))


_noise_level = jax.jit(shrinkage.noise_level)


def _floats(pixels: np.ndarray) -> jax.Array:
    return jnp.asarray(pixels.astype(np.float32) / np.iinfo(pixels.dtype).max)


def _reduced(pixels: np.ndarray, shape: tuple[int, int]) -> jax.Array:
    """The photograph at another size, as `methods.reduce` has it, without a copy of all of it as floats."""
    rows = max(1, _STRIP_PIXELS // pixels.shape[1])
    narrow = [
        methods.reduce(_floats(pixels[start : start + rows]), (len(pixels[start : start + rows]), shape[1]))
        for start in range(0, len(pixels), rows)
    ]
    return methods.reduce(np.concatenate(narrow), shape)


def _peak_memory() -> str:
    """The most memory that the process has held, where the system says so."""
    # Of Linux's two counts the one that begins with this program: that of getrusage begins with its parent's memory.
    status = pathlib.Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    kibibytes = [int(line.split()[1]) for line in lines if line.startswith("VmHWM:")]
    if not kibibytes:
        try:
            import resource
        except ImportError:
            return ""
        unit = 1024 if sys.platform == "darwin" else 1
        kibibytes = [resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // unit]
    return f"Peak memory: {kibibytes[0] / 1024:.0f} MiB"


def _whole(image: np.ndarray, dtype) -> np.ndarray:
    return np.round(np.clip(image, 0, 1) * np.iinfo(dtype).max).astype(dtype)


def _jobs(source: pathlib.Path, target: pathlib.Path) -> tuple[list[tuple[pathlib.Path, pathlib.Path]], pathlib.Path]:
    """Files to read and to write, and the folder of the page."""
    if source.is_dir():
        files = sorted(p for p in source.iterdir() if p.suffix.lower() in pictures.SUFFIXES and p.name[0] != ".")
        if not files:
            raise app.UsageError(f"{str(source)!r} holds no image ({', '.join(pictures.SUFFIXES)}).")
        if target.exists() and (not target.is_dir() or target.samefile(source)):
            raise app.UsageError("--output must be another folder than --input.")
        target.mkdir(parents=True, exist_ok=True)
        return [(file, target / file.name) for file in files], target / _REPORT
    if not source.is_file():
        raise app.UsageError(f"There is no file or folder {str(source)!r}.")
    if target.is_dir() or not target.suffix:
        target = target / source.name
    if target.exists() and os.path.samefile(source, target):
        raise app.UsageError("--output would overwrite --input.")
    target.parent.mkdir(parents=True, exist_ok=True)
    return [(source, target)], target.parent / f"{target.stem}_{_REPORT}"


def _thumbnails(page: pathlib.Path, number: int, name: str, before: np.ndarray, after: np.ndarray) -> dict:
    import cv2

    scale = min(1.0, _THUMBNAIL / max(before.shape[:2]))
    size = tuple(max(1, round(side * scale)) for side in before.shape[1::-1])
    pair = [cv2.resize(x, size, interpolation=cv2.INTER_AREA) / np.iinfo(x.dtype).max for x in (before, after)]
    file = f"{number:04d}.png"
    report.save_grid(page / "pictures" / file, np.stack(pair), columns=2)
    means = [float(np.mean(x)) for x in pair]
    return {"file": file, "name": name, "before": means[0], "after": means[1]}


def _write_page(page: pathlib.Path, values, shown: list[dict], failed: dict[str, str]) -> pathlib.Path:
    options = ("input", "output", "method", "num_clusters", "strength", "white_balance", "weights")
    (page / "config.json").write_text(json.dumps({name: values[name].value for name in options}))
    with (page / "metrics.jsonl").open("w") as file:
        for step, one in enumerate(shown, 1):
            file.write(json.dumps({"step": step, "mean/before": one["before"], "mean/after": one["after"]}) + "\n")
    report.write_summary(
        page,
        title=f"Before and after: {values.method}",
        command="python -m experiments.low_light.enhance " + " ".join(sys.argv[1:]),
        pictures=[
            (one["file"], f"{one['name']}: mean brightness {one['before']:.3f}, then {one['after']:.3f}")
            for one in shown
        ],
        notes=["Left as it was, right enhanced.", *[f"Failed: {name}: {why}" for name, why in failed.items()]],
    )
    return report.write_run(page)


def _tell(what: str, share: float) -> None:
    if sys.stderr.isatty():
        print(f"\r{what}  {share:4.0%}", end="", file=sys.stderr, flush=True)


def define_flags() -> None:
    """Defines the flags of the command."""
    flags.DEFINE_string("input", None, "Photograph, or folder of photographs.")
    flags.DEFINE_string("output", None, "File to write, or folder.")
    flags.DEFINE_enum("method", "improved", list(methods.NAMES), "How to enhance.")
    flags.DEFINE_integer("num_clusters", 30, "Centres of the Gaussian process.", lower_bound=1)
    flags.DEFINE_float(
        "strength", 0.0, "How far the improved form shrinks noise; 0: not at all, 1: fully.", lower_bound=0
    )
    flags.DEFINE_float(
        "white_balance",
        0.0,
        "Share of the estimated colour cast that the improved form undoes first; 0.6 where there is one.",
        lower_bound=0,
    )
    flags.DEFINE_string("weights", "", "weights.npz of an RGB reference network; empty for the one that ships.")
    flags.DEFINE_bool("page", True, "Write a page of before and after.")
    flags.mark_flags_as_required(["input", "output"])


if __name__ == "__main__":
    define_flags()
    app.run(main)
