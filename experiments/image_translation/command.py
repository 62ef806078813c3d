"""The command `translate`: flags, what they ask for, and one picture after another painted."""

import json
import os
import pathlib
import sys
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from absl import app, flags

from experiments.image_translation import codes, painting, pixels, published, runs
from experiments.image_translation.systems.system import Domain, other
from gentoolkit import report, study, training
from gentoolkit.data import pictures
from gentoolkit.data.pictures import files, folders
from gentoolkit.training import launch

# They belong to the program, and show up in its --help.
flags.disclaim_key_flags()

ORIGIN = "translate.json"  # beside the pictures: what they are of
_SHEET = 256  # height of a picture on a sheet at most


class Job(NamedTuple):
    """A file to read, and those to write: the pictures, and where one is asked for, the sheet."""

    source: pathlib.Path
    targets: list[pathlib.Path]
    sheet: pathlib.Path | None


class Task(NamedTuple):
    """What is asked for.

    Attributes:
      trained: the system.
      painter: its way from the domain that is read to the one that is painted.
      source: the domain of the pictures that are read.
      target: the domain that is painted.
      styles: `[k, d]` codes for every picture; None where each has its own.
      num: pictures that are made of each.
    """

    trained: runs.Trained
    painter: painting.Painter
    source: Domain
    target: Domain
    styles: np.ndarray | None
    num: int

    def channels(self, domain: Domain) -> int:
        """Of a domain."""
        return self.trained.config.channels["xy".index(domain)]


class _Pending(NamedTuple):
    """A picture that was read and waits for others of its size."""

    job: Job
    picture: pictures.Picture
    image: np.ndarray
    styles: np.ndarray


class Tally:
    """How many pictures were made in what time."""

    def __init__(self) -> None:
        """Begins at nothing."""
        self.made, self.seconds = 0, 0.0
        self._warm, self._warm_seconds = 0, 0.0
        self._shapes: set[tuple[int, ...]] = set()

    def add(self, shape: tuple[int, ...], count: int, seconds: float) -> None:
        """Notes a call; the first of a shape compiles."""
        self.made, self.seconds = self.made + count, self.seconds + seconds
        if shape in self._shapes:
            self._warm, self._warm_seconds = self._warm + count, self._warm_seconds + seconds
        self._shapes.add(shape)

    def line(self) -> str:
        """Says so."""
        told = f"{self.made} image{'s' * (self.made != 1)} painted in {self.seconds:.1f} s"
        if self._warm:
            told += f", {self._warm / max(self._warm_seconds, 1e-9):.3g} images/s once compiled"
        else:
            told += f", {self.made / max(self.seconds, 1e-9):.3g} images/s, compiling included"
        peak = study.peak_memory()
        return told + (f". Peak memory: {peak / 2**20:.0f} MiB." if peak else ".")


def run() -> None:
    """Runs the program; does not return."""
    define_flags()
    launch.start(main, expected=(OSError, ValueError))


def define_flags(flag_values: flags.FlagValues = flags.FLAGS) -> None:
    """Defines the flags of the command."""
    here: dict[str, Any] = {"flag_values": flag_values}
    flags.DEFINE_string("run", "", "Folder of a run: the --workdir of main.", **here)
    flags.DEFINE_enum(
        "checkpoint",
        "latest",
        ["latest", "best"],
        "Of the run: the latest, or the latest whose images differed from content to content (of one that collapsed).",
        **here,
    )
    flags.DEFINE_list("weights", [], "Instead of a run: published files of one of the methods below.", **here)
    flags.DEFINE_enum("method", "cyclegan", list(published.METHODS), "Whose files --weights names.", **here)
    flags.DEFINE_string("input", None, "Picture, or folder of pictures.", **here)
    flags.DEFINE_string("output", None, "Folder to write to.", **here)
    flags.DEFINE_integer("samples", None, "Pictures of each, in drawn styles; 1 by default.", lower_bound=1, **here)
    flags.DEFINE_string("reference", "", "Picture whose style is used.", **here)
    flags.DEFINE_list("interpolate", [], "Two pictures, or two seeds: styles from one to the other.", **here)
    flags.DEFINE_integer("steps", 8, "Pictures of an interpolation.", lower_bound=2, **here)
    flags.DEFINE_bool("slerp", False, "Interpolate along the arc instead of the straight line.", **here)
    flags.DEFINE_bool("reverse", False, "Paint x instead of y.", **here)
    flags.DEFINE_bool("restyle", False, "Paint pictures of a domain in another style of the same domain.", **here)
    flags.DEFINE_integer("seed", 0, "Of drawn styles.", lower_bound=0, **here)
    flags.DEFINE_bool("sync", True, "The same drawn styles for every picture.", **here)
    flags.DEFINE_bool(
        "alpha", True, "Keep what is transparent so; --noalpha leaves nothing transparent, on white.", **here
    )
    flags.DEFINE_bool("averaged", True, "Take the averaged weights, where the run has some.", **here)
    flags.DEFINE_integer(
        "tile",
        None,
        "Pictures of more than the square of this go in windows; by default what takes 2 GiB.",
        lower_bound=1,
        **here,
    )
    flags.DEFINE_integer(
        "batch", 4, "Pictures of one size that go through at once, where they are small.", lower_bound=1, **here
    )
    flags.mark_flags_as_required(["input", "output"], flag_values=flag_values)


def main(argv: list[str], values: flags.FlagValues = flags.FLAGS) -> int:
    """Paints what the flags ask for; returns the exit status. Whatever can be refused is refused before the work."""
    if len(argv) > 1:
        raise app.UsageError(f"Did not understand {argv[1]!r}: flags begin with -- and take their value after =.")
    for name in ("input", "output"):
        if not values[name].value:  # as from a variable of the shell that is not set: not the folder one is in
            raise app.UsageError(f"--{name} is empty.")
    ways = [name for name in ("samples", "reference", "interpolate") if values[name].value]
    if len(ways) > 1:
        raise app.UsageError(f"--{ways[0]} and --{ways[1]} exclude each other.")
    if bool(values.run) == bool(values.weights):
        raise app.UsageError("Name a trained system: --run=FOLDER, or --weights=FILE of published ones.")
    if values.interpolate and len(values.interpolate) != 2:
        raise app.UsageError(f"--interpolate takes two pictures or two seeds, got {len(values.interpolate)}.")
    num = values.steps if values.interpolate else values.samples or 1
    jobs, passed_over = find(
        pathlib.Path(values.input), pathlib.Path(values.output), num, sheet=bool(values.interpolate)
    )
    task = _task(values, num)
    _claim(pathlib.Path(values.output), jobs, _origin(values, task))
    if passed_over:
        _say(passed_over)
    failed: dict[str, str] = {}
    tally = Tally()
    for batch in _batches(task, jobs, values, failed):
        _finish(task, batch, values.batch, failed, tally)
    _say(tally.line())
    if failed:
        print(f"\n{len(failed)} of {len(jobs)} could not be translated:", file=sys.stderr)
        for name, why in failed.items():
            print(f"  {name}: {why}", file=sys.stderr)
    return 1 if failed else 0


def find(source: pathlib.Path, target: pathlib.Path, num: int, *, sheet: bool) -> tuple[list[Job], str]:
    """Finds the files to read and to write, and says what else a folder holds.

    Args:
      source: picture or folder.
      target: folder to write to.
      num: pictures made of each.
      sheet: whether a sheet of them is made too.

    Raises:
      UsageError: there is nothing to read, or two files would be written over one another or over what is read.
    """
    passed_over = ""
    if source.is_dir():
        named, passed_over = folders.listed(source, pictures.SUFFIXES)
        if not named:
            raise app.UsageError(
                f"{files.shown(source)} holds no image ({', '.join(pictures.SUFFIXES)}). {passed_over}".strip()
            )
    elif source.is_file():
        named = [source]
    else:
        raise app.UsageError(f"There is no file or folder {files.shown(source)}.")
    if target.exists() and not target.is_dir():
        raise app.UsageError(f"--output must be a folder, and {files.shown(target)} is a file.")
    if target.exists() and target.samefile(source if source.is_dir() else source.parent):
        raise app.UsageError("--output must be another folder than that of --input.")
    jobs, owners = [], dict[str, pathlib.Path]()
    for path in named:
        names = [f"{path.stem}_{index}.png" for index in range(num)] + [f"{path.stem}_sheet.png"] * sheet
        for name in names:
            if name in owners:
                raise app.UsageError(
                    f"{files.shown(owners[name].name)} and {files.shown(path.name)} would both be written as "
                    f"{files.shown(name)}; rename one of them."
                )
            owners[name] = path
        jobs.append(Job(path, [target / name for name in names[:num]], target / names[-1] if sheet else None))
    return jobs, passed_over


def _task(values: flags.FlagValues, num: int) -> Task:
    """Loads the system, and refuses what it cannot do."""
    if values.run:
        trained = runs.load(values.run, step=values.checkpoint, averaged=values.averaged)
        if trained.step < trained.config.num_steps:
            _say(f"{files.shown(values.run)} is at step {trained.step} of {trained.config.num_steps}.")
    else:
        trained = published.load(values.method, values.weights)
    system, method = trained.system, trained.config.method
    target: Domain = "x" if values.reverse else "y"
    source = target if values.restyle else other(target)
    if target not in system.directions:
        raise ValueError(f"{method} paints {' and '.join(system.directions)} alone; leave --reverse out.")
    asked = next((name for name in ("reference", "interpolate") if values[name].value), "")
    if values.restyle:
        if system.restyle is None:
            raise ValueError(f"{method} cannot --restyle: it has no code of style for content of the same domain.")
        if not asked and values.samples is None:
            raise ValueError("--restyle needs a style: --reference=FILE, --samples=N or --interpolate=A,B.")
    if not system.code_dim and (asked or num > 1):
        raise ValueError(f"{method} paints one image of each, without a code: leave --{asked or 'samples'} out.")
    side = values.tile or painting.side_of_memory(trained.config.width)
    painter = painting.Painter(system, trained.models, to=target, restyle=values.restyle, side=side)
    task = Task(trained, painter, source, target, None, num)
    if values.reference:
        return task._replace(styles=_style(task, "--reference", values.reference)[None])
    if values.interpolate:
        ends = [_end(task, text) for text in values.interpolate]
        return task._replace(styles=codes.between(*ends, num, spherical=values.slerp))
    if values.sync:
        return task._replace(styles=codes.drawn(values.seed, num, system.code_dim))
    return task


def _end(task: Task, text: str) -> np.ndarray:
    """An end of an interpolation: the style of a picture, or a drawn one."""
    if text.isdecimal() and not os.path.exists(text):
        return codes.drawn(int(text), 1, task.trained.system.code_dim)[0]
    return _style(task, "--interpolate", text)


def _style(task: Task, flag: str, name: str) -> np.ndarray:
    """The code of a reference, which is seen at the size of training as all images of training were: `config.fit`."""
    system, size, channels = task.trained.system, task.trained.config.image_size, task.channels(task.target)
    if system.style is None:
        raise ValueError(f"{flag}: there is no encoder of style; use --samples.")
    try:
        picture = pictures.read(pathlib.Path(name))
    except (OSError, ValueError) as error:
        raise ValueError(f"{flag}={files.shown(name)}: {files.reason(error)}") from error
    shown = f"{flag}={files.shown(name)}"
    if channels != task.channels(other(task.target)):
        if channels == 1 and not pixels.is_grey(picture):
            raise ValueError(
                f"{shown} is in colour, and {task.target}, which is painted, is grey. Is it of the other domain?"
            )
        if channels == 3 and picture.grey:
            raise ValueError(
                f"{shown} is grey, and {task.target}, which is painted, is in colour. Is it of the other domain?"
            )
    if min(picture.pixels.shape[:2]) < size // 4:
        height, width = picture.pixels.shape[:2]
        raise ValueError(f"{shown} is {width} x {height}; a reference must be of {size // 4} x {size // 4} at least.")
    image = pixels.fitted(pixels.to_network(picture, channels), size, task.trained.config.fit)
    encode = training.jit(lambda models, image: system.style(models, image, task.target))
    return np.asarray(encode(task.trained.models, image[None])[0], np.float32)


def _origin(values: flags.FlagValues, task: Task) -> dict[str, str | int]:
    """What the pictures of a folder are of."""
    named = [values.run] if values.run else values.weights
    system = ",".join(files.shown(os.path.realpath(name)) for name in named)
    kind = "restyled" if values.restyle else "painted"
    return {"system": system, "method": task.trained.config.method, "what": f"{task.target} {kind}"}


def _claim(folder: pathlib.Path, jobs: list[Job], origin: dict[str, str | int]) -> None:
    """Refuses a folder that cannot be written or holds what something else has made; says what is written over.

    Raises:
      ValueError: so.
      OSError: the folder cannot be read.
    """
    shown, path = files.shown(folder), folder / ORIGIN
    try:
        for target in (jobs[0].targets[0], path):
            files.check_writable(target)
    except OSError as error:
        raise ValueError(f"{shown} cannot be written: {files.reason(error)}.") from error
    there = [name for job in jobs for name in (*job.targets, *([job.sheet] if job.sheet else [])) if name.exists()]
    before = None
    if path.exists():
        try:
            before = json.loads(path.read_text())
        except ValueError:
            before = {}
    if there and before is None:
        raise ValueError(f"{files.shown(there[0])} is there already, and not of this program; choose another --output.")
    if before is not None and before != origin:
        told = before.get("system", "something else") if isinstance(before, dict) else "something else"
        raise ValueError(f"{shown} holds pictures of another task ({told}); choose another --output, or remove it.")
    if there:
        _say(f"{len(there)} file{'s' * (len(there) > 1)} in {shown} {'are' if len(there) > 1 else 'is'} written over.")
    files.write(path, (json.dumps(origin, indent=2) + "\n").encode())


def _batches(task: Task, jobs: list[Job], values: flags.FlagValues, failed: dict[str, str]) -> Iterator[list[_Pending]]:
    """Reads the pictures; those of one size that follow each other come together, as many as fit at once."""
    waiting: list[_Pending] = []
    channels = task.channels(task.source)
    for number, job in enumerate(jobs, 1):
        _tell(f"{number}/{len(jobs)}  {files.shown(job.source.name)}")
        try:
            picture = pictures.read(job.source)
            if channels == 1 and not pixels.is_grey(picture):
                picture = picture._replace(notes=(*picture.notes, f"in colour, read as grey, as {task.source} is"))
            image = pixels.to_network(picture, channels)
            if not values.alpha:
                picture = picture._replace(alpha=None)
        except Exception as error:  # one file, for whatever reason, does not stop the rest
            failed[files.shown(job.source)] = files.reason(error)
            continue
        styles = task.styles
        if styles is None:
            styles = codes.drawn(values.seed, task.num, task.trained.system.code_dim, name=job.source.name)
        if waiting and waiting[0].image.shape != image.shape:
            yield waiting
            waiting = []
        waiting.append(_Pending(job, picture, image, styles))
        if len(waiting) * task.num >= task.painter.rows(image.shape[:2], values.batch):
            yield waiting
            waiting = []
    if waiting:
        yield waiting


def _finish(task: Task, batch: list[_Pending], most: int, failed: dict[str, str], tally: Tally) -> None:
    """Paints and writes pictures of one size."""
    rows = [(one.image, style) for one in batch for style in one.styles]
    size = rows[0][0].shape[:2]
    at_once = task.painter.rows(size, most)
    made: list[painting.Painted] = []
    try:
        for start in range(0, len(rows), at_once):
            chunk = rows[start : start + at_once]
            # A last one that is not full would be another program to compile.
            full = chunk + chunk[-1:] * (at_once - len(chunk) if len(rows) > at_once else 0)
            images, styles = map(np.stack, zip(*full, strict=True))
            begun = time.perf_counter()
            painted = task.painter(images, styles)
            tally.add(images.shape, len(chunk), time.perf_counter() - begun)
            made += [painted._replace(images=image[None]) for image in painted.images[: len(chunk)]]
    except Exception as error:
        failed.update({files.shown(one.job.source): files.reason(error) for one in batch})
        return
    for index, one in enumerate(batch):
        own = made[index * task.num : (index + 1) * task.num]
        try:
            _write(one, own)
        except Exception as error:
            failed[files.shown(one.job.source)] = files.reason(error)


def _write(one: _Pending, made: list[painting.Painted]) -> None:
    if not all(np.isfinite(painted.images).all() for painted in made):
        raise ValueError("the network makes NaN or infinity of it")
    notes = list(one.picture.notes)
    for target, painted in zip(one.job.targets, made, strict=True):
        picture = pixels.to_picture(painted.images[0], one.picture)
        notes += [note for note in picture.notes if note not in notes]
        lost = pictures.write(target, picture)
        notes += [
            note for note in [f"without {', '.join(lost)}, which .png has no place for"] if lost and note not in notes
        ]
    if one.job.sheet:
        shown = [one.image, *(painted.images[0] for painted in made)]
        height, width = one.image.shape[:2]
        scale = min(1.0, _SHEET / height)
        small = (max(1, round(height * scale)), max(1, round(width * scale)))
        row = [pixels.resized(np.broadcast_to(image, (height, width, 3)), small) for image in shown]
        report.save_grid(one.job.sheet, (np.stack(row) + 1) / 2, columns=len(row))
    if made[0].num_windows > 1:
        off = max(painted.off for painted in made)
        rounds = max(painted.rounds for painted in made)
        notes.insert(
            0, f"{made[0].num_windows} windows, {rounds} times, statistics to {off:.1g} of a standard deviation"
        )
    height, width = one.image.shape[:2]
    first, last = one.job.targets[0].name, one.job.targets[-1].name
    names = first if len(made) == 1 else f"{first} ... {last}"
    said = "; ".join([f"{width} x {height}, {one.picture.depth}", *notes])
    _say(f"\r{files.shown(one.job.source)} -> {files.shown(names)}  {said}")


def _say(line: str) -> None:
    # The pictures are what counts: they are made also where nobody listens any more (`... | head -1`).
    try:
        print(line, flush=True)
    except OSError:
        pass


def _tell(what: str) -> None:
    if sys.stderr.isatty():
        print(f"\r{what}", end="", file=sys.stderr, flush=True)
