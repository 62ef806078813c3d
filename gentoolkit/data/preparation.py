"""Reads a data set once and writes it as array_record, by a tfds builder of ours and without tensorflow."""

import contextlib
import fcntl
import json
import os
import pathlib
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping

from gentoolkit.data.columns import Columns

_VERSION = "1.0.0"


def prepare(
    sources: Mapping[str, Callable[[], Columns]], directory: str | os.PathLike[str], *, name: str
) -> pathlib.Path:
    """Writes data sets as one with a split each, unless that has been done before.

    Every column is stored exactly (pictures as PNG), with its field, in the order of the examples. A line on stderr
    tells how far it is. Files are written beside their place and moved there when complete: a preparation that is
    killed leaves nothing that looks finished, and the next call begins again. Processes that share the folder wait for
    the first of them.

    Args:
      sources: for each split a function that opens it; not called if the data set is there already.
      directory: folder to write below, made if needed.
      name: name of the data set, a word.

    Returns:
      The folder for `prepared.load`.

    Raises:
      ValueError: splits differ in their fields; a data set of this name and other splits is
        there already; or an image cannot be read.
    """
    if not sources or "all" in sources or not name.isidentifier():
        raise ValueError(
            "sources must name at least one split and none of them 'all', and name be a word, "
            f"got sources = {list(sources)}, name = {name!r}."
        )
    root = pathlib.Path(directory).expanduser()
    place = root / name / _VERSION
    place.parent.mkdir(parents=True, exist_ok=True)
    with _lock(place.parent / "lock"):
        if not place.is_dir():
            for leftover in place.parent.glob("incomplete.*"):
                shutil.rmtree(leftover)
            opened = {split: open_source() for split, open_source in sources.items()}
            # A second to import, so only after the files have been found.
            from gentoolkit.data import _builder

            _builder.write(opened, root, name=name, version=_VERSION)
    splits = {split["name"] for split in json.loads((place / "dataset_info.json").read_text())["splits"]}
    if splits != set(sources):
        raise ValueError(
            f"{str(place)!r} holds the splits {sorted(splits)}, wanted {sorted(sources)}. Remove that folder or give "
            "another name."
        )
    return place


@contextlib.contextmanager
def _lock(path: pathlib.Path) -> Iterator[None]:
    """Holds an advisory lock; the system drops it when the process ends, however it ends."""
    with open(path, "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"Waiting for another process that prepares {path.parent}", file=sys.stderr, flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
