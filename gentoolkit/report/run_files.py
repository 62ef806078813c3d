"""What a run folder holds, read and written: configuration, metrics, summary, and where it all came from."""

import contextlib
import importlib.metadata
import json
import os
import pathlib
import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from gentoolkit.report import files
from gentoolkit.report.tables import Table


class Run(NamedTuple):
    """The files of a run, read.

    Attributes:
      workdir: the folder.
      config: from config.json.
      metrics: by name, the steps and values at which it was logged; None where the value was not finite.
      summary: from summary.json, or empty.
    """

    workdir: pathlib.Path
    config: dict[str, Any]
    metrics: dict[str, list[tuple[int, float | None]]]
    summary: dict[str, Any]


def read(workdir: str | pathlib.Path) -> Run:
    """Reads a run folder, also of a run that is not finished.

    Raises:
      FileNotFoundError: it is not a run folder; names the missing file.
      ValueError: a file cannot be understood; names it and the line.
    """
    workdir = pathlib.Path(workdir)
    for name in ("config.json", "metrics.jsonl"):
        if not (workdir / name).is_file():
            raise FileNotFoundError(f"{workdir} is not the folder of a run: it has no {name}.")
    metrics: dict[str, list[tuple[int, float | None]]] = {}
    # What follows the last line's end is empty, or a line that is being written, or one that a kill cut off.
    for number, text in enumerate((workdir / "metrics.jsonl").read_text().split("\n")[:-1], 1):
        try:
            line = json.loads(text)
            step = line.pop("step")
        except (ValueError, AttributeError, KeyError) as error:
            raise ValueError(f"{workdir / 'metrics.jsonl'}, line {number}, cannot be read: {text[:80]!r}") from error
        for name, value in line.items():
            metrics.setdefault(name, []).append((step, value))
    summary = workdir / "summary.json"
    return Run(workdir, _load(workdir / "config.json"), metrics, _load(summary) if summary.is_file() else {})


def write_summary(
    workdir: str | pathlib.Path,
    *,
    title: str,
    command: str,
    table: Table | None = None,
    pictures: Sequence[tuple[str, str]] = (),
    notes: Sequence[str] = (),
) -> pathlib.Path:
    """Writes summary.json: what a page should say beyond curves and configuration.

    Args:
      workdir: folder of the run.
      title: heading of the page.
      command: what to type to get the run again.
      table: shown below the final metrics.
      pictures: file names in `pictures/`, with captions.
      notes: sentences shown under the metrics: what a figure means, what differs from the paper.

    Returns:
      The path of the file.
    """
    content = {
        "title": title,
        "command": command,
        "commit": commit(),
        "environment": environment(),
        "table": table and table._asdict(),
        "pictures": [list(p) for p in pictures],
        "notes": list(notes),
    }
    return files.write_text(pathlib.Path(workdir) / "summary.json", json.dumps(content, indent=2) + "\n")


def commit() -> str | None:
    """Returns the short hash of the checkout this code lies in, with "+changes" if it was edited; None outside one."""

    def git(*args: str) -> str:
        here = pathlib.Path(__file__).parent
        return subprocess.run(["git", *args], cwd=here, capture_output=True, text=True, check=True, timeout=10).stdout

    try:
        return git("rev-parse", "--short", "HEAD").strip() + (
            "+changes" if git("status", "--porcelain", "-uno") else ""
        )
    except (OSError, subprocess.SubprocessError):
        return None


def command() -> str:
    """Returns what was typed to start this process, as one would type it again."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    program = ["-m", spec.name.removesuffix(".__main__")] if spec else sys.argv[:1]
    return " ".join(["python", *map(shlex.quote, [*program, *sys.argv[1:]])])


def environment() -> dict[str, str]:
    """Returns versions, device and cores, as text by name."""
    import jax  # Here, so that a page can be written where there is no jax.

    versions = {}
    for name in ("jax", "flax", "optax", "numpy"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    device = jax.devices()[0]
    return {
        "python": platform.python_version(),
        **versions,
        "device": f"{jax.device_count()} x {device.device_kind} ({device.platform})",
        "cores": str(os.cpu_count()),
    }


def _load(path: pathlib.Path) -> Any:
    try:
        return json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} cannot be read: {error}") from error


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Turns nested sections into `section.key`."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat
