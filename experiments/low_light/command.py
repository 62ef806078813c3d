"""The command `enhance`: flags, the files that they name, and one after another enhanced."""

import contextlib
import functools
import os
import pathlib
import signal
import sys
import time
from collections.abc import Iterator
from typing import NamedTuple

from absl import app, flags

from experiments.low_light import before_after, methods, options
from gentoolkit import study
from gentoolkit.data import pictures
from gentoolkit.data.pictures import files, folders
from gentoolkit.training import launch

# They belong to the program, and show up in its --help.
flags.disclaim_key_flags()


class Job(NamedTuple):
    """A file to read and one to write."""

    source: pathlib.Path
    target: pathlib.Path


class Jobs(NamedTuple):
    """What is to be done, where the page goes, and a line about what a folder holds besides."""

    jobs: list[Job]
    page: pathlib.Path
    passed_over: str


def run() -> None:
    """Runs the program; does not return."""
    define_flags()
    launch.start(main, expected=(OSError, ValueError))


def define_flags() -> None:
    """Defines the flags of the command."""
    flags.DEFINE_string("input", None, "Photograph, or folder of photographs.")
    flags.DEFINE_string("output", None, "File to write, or folder.")
    flags.DEFINE_enum("method", "improved", list(options.METHODS), "How to enhance.")
    flags.DEFINE_integer("num_clusters", 30, "Centres of the Gaussian process.", lower_bound=1)
    launch.define_float(
        "strength", 0.0, "How far the improved form shrinks noise; 0: not at all, 1: fully.", lower_bound=0
    )
    launch.define_float(
        "white_balance",
        0.0,
        "Share of the estimated colour cast that is undone first; 0.6 where there is one.",
        lower_bound=0,
        upper_bound=1,
    )
    flags.DEFINE_string("weights", "", "weights.npz of an RGB reference network; empty for the one that ships.")
    flags.DEFINE_bool("page", True, "Write a page of before and after.")
    flags.mark_flags_as_required(["input", "output"])


def main(argv: list[str]) -> int:
    """Enhances what the flags name; returns the exit status. Whatever can be refused is refused before the work."""
    values = flags.FLAGS
    if len(argv) > 1:
        raise app.UsageError(f"Did not understand {argv[1]!r}: flags begin with -- and take their value after =.")
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError):
            stream.reconfigure(errors="backslashreplace")
    for name in ("input", "output"):
        if not values[name].value:  # as from a variable of the shell that is not set: not the folder one is in
            raise app.UsageError(f"--{name} is empty.")
    chosen = _options(values)
    found = find(pathlib.Path(values.input), pathlib.Path(values.output))
    references = methods.References(values.weights)
    _check_places(found, values.page)
    if found.passed_over:
        _say(found.passed_over)
    failed: dict[str, str] = {}
    shown: list[before_after.Pair] = []
    done, page_failed = 0, ""
    with _interruptible() as interrupted:
        try:
            for number, job in enumerate(found.jobs, 1):
                try:
                    pair = _enhance(job, references, chosen, f"{number}/{len(found.jobs)}")
                except Exception as error:  # one file, for whatever reason, does not stop the rest
                    if interrupted:  # inside of a callback Ctrl-C comes out as another error
                        raise KeyboardInterrupt from error
                    failed[files.shown(job.source)] = files.reason(error)
                    continue
                done += 1
                if values.page:
                    shown.append(pair)
            if shown:
                names = ("input", "output", "method", "num_clusters", "strength", "white_balance", "weights")
                settings = {name: files.shown(str(values[name].value)) for name in names}
                _say(f"Page: {files.shown(before_after.write(found.page, settings, shown, failed))}")
        except KeyboardInterrupt:
            print(f"\nInterrupted: {done} of {len(found.jobs)} are done and stay.", file=sys.stderr)
            return 130
        except OSError as error:
            page_failed = f"The page {files.shown(found.page)} could not be written: {files.reason(error)}."
    _say(_peak_memory())
    if failed:
        print(f"\n{len(failed)} of {len(found.jobs)} could not be enhanced:", file=sys.stderr)
        for name, why in failed.items():
            print(f"  {name}: {why}", file=sys.stderr)
    if page_failed:
        print(page_failed, file=sys.stderr)
    return 1 if failed or page_failed else 0


def find(source: pathlib.Path, target: pathlib.Path) -> Jobs:
    """Finds the files to read and to write.

    Raises:
      UsageError: there is nothing to read, or what is written would overwrite it.
    """
    if source.is_dir():
        named, passed_over = folders.listed(source, pictures.SUFFIXES)
        if not named:
            raise app.UsageError(
                f"{files.shown(source)} holds no image ({', '.join(pictures.SUFFIXES)}). {passed_over}".strip()
            )
        if target.exists() and (not target.is_dir() or target.samefile(source)):
            raise app.UsageError("--output must be another folder than --input.")
        return Jobs([Job(path, target / path.name) for path in named], target / before_after.FOLDER, passed_over)
    if source.exists() and not source.is_file():
        raise app.UsageError(f"{files.shown(source)} is neither a file nor a folder.")
    if not source.is_file():
        raise app.UsageError(f"There is no file or folder {files.shown(source)}.")
    try:
        if target.is_dir() or not target.suffix:
            target = target / source.name
        pictures.check_suffix(target)
        if target.exists() and os.path.samefile(source, target):
            raise ValueError("--output would overwrite --input.")
    except OSError as error:
        raise app.UsageError(f"{files.shown(target)} cannot be written: {files.reason(error)}.") from error
    except ValueError as error:
        raise app.UsageError(str(error)) from error
    return Jobs([Job(source, target)], target.parent / f"{target.stem}_{before_after.FOLDER}", "")


def _options(values: flags.FlagValues) -> options.Options:
    names = ("method", "num_clusters", "strength", "white_balance")
    try:
        chosen = options.Options(**{name: values[name].value for name in names})
        if values["num_clusters"].present:
            options.check_known("num_clusters", chosen.method)
    except ValueError as error:
        raise app.UsageError(f"--{error}") from error
    return chosen


def _check_places(found: Jobs, page: bool) -> None:
    """Refuses places that cannot be written to."""
    first = found.jobs[0].target
    for path in (first, found.page / before_after.NAME) if page else (first,):
        try:
            files.check_writable(path)
        except OSError as error:
            raise app.UsageError(f"{files.shown(path)} cannot be written: {files.reason(error)}.") from error


def _enhance(job: Job, references: methods.References, chosen: options.Options, position: str) -> before_after.Pair:
    """Enhances a file and says so in a line; returns both pictures, small."""
    start = time.perf_counter()
    name = files.shown(job.source.name)
    tell = functools.partial(_tell, f"{position}  {name}")
    tell(0.0)
    if job.target.exists() and job.target.samefile(job.source):
        raise ValueError("its output would overwrite it")
    picture = pictures.read(job.source)
    pictures.check(job.target, picture)
    made = methods.enhance(
        picture.pixels, references, chosen, visible=picture.visible, num_bits=None, progress=tell
    ).image
    lost = pictures.write(job.target, picture._replace(pixels=made))
    notes = list(picture.notes)
    if made is picture.pixels:
        notes.append("black throughout, written as it is")
    if lost:
        notes.append(f"without {', '.join(lost)}, which {job.target.suffix} has no place for")
    height, width = made.shape[:2]
    size = f"{width} x {height}, {picture.depth}, {time.perf_counter() - start:.1f} s"
    # Over the line of progress.
    _say(f"\r{files.shown(job.source)} -> {files.shown(job.target)}  {'; '.join([size, *notes])}")
    return before_after.pair(name, picture.pixels, made, notes, alpha=picture.alpha)


def _say(line: str) -> None:
    # The photographs are what counts: they are made also where nobody listens any more (`... | head -1`).
    with contextlib.suppress(OSError):
        print(line, flush=True)


def _tell(what: str, share: float) -> None:
    if sys.stderr.isatty():
        print(f"\r{what}  {share:4.0%}", end="", file=sys.stderr, flush=True)


@contextlib.contextmanager
def _interruptible() -> Iterator[list[bool]]:
    """Yields a list that is not empty once Ctrl-C was pressed, whatever error that became on its way out."""
    pressed: list[bool] = []
    before = signal.getsignal(signal.SIGINT)

    def press(number, frame):
        pressed.append(True)
        raise KeyboardInterrupt

    if before is signal.default_int_handler:  # not where the program was started so that it ignores it
        signal.signal(signal.SIGINT, press)
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, before)


def _peak_memory() -> str:
    peak = study.peak_memory()
    return "" if peak is None else f"Peak memory: {peak / 2**20:.0f} MiB"
