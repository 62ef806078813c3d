"""The folder of a run: that it can be written, that only one run writes to it, and that it is still the same run."""

import contextlib
import fcntl
import json
import os
import pathlib
import tempfile
import time
from collections.abc import Iterator, Mapping
from typing import IO, Any

from gentoolkit.training import errors

# A run may be made longer, and looked at and saved at other steps, which it does not depend on; everything else is
# another run, which needs another folder.
_LENGTH_KEYS = ("num_steps", "num_epochs")
_LOOKING_KEYS = ("log_every", "evaluate_every", "checkpoint_every")

# Seconds to wait for the lock: children of a killed run may hold it a moment longer than the run itself.
PATIENCE = 5.0


@contextlib.contextmanager
def claim(workdir: pathlib.Path, *, alone: bool = True) -> Iterator[None]:
    """Creates the workdir, checks that it can be written, and holds its lock for as long as the block runs.

    Args:
      workdir: the folder.
      alone: whether to take the lock; one of several processes does.

    Raises:
      WorkdirError: it cannot be created or written, or another live run holds the lock.
    """
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=workdir) as probe:
            probe.write(b"\0" * 4096)
            probe.flush()
        lock = open(workdir / ".lock", "w")
    except OSError as error:
        raise errors.WorkdirError(f"Cannot write to the workdir {workdir}: {error.strerror}.") from error
    with lock:
        if alone and not _lock(lock):
            raise errors.WorkdirError(
                f"Another run is writing to the workdir {workdir}. Wait for it, stop it, or choose another workdir."
            )
        yield


def _lock(file: IO[str]) -> bool:
    """Takes the lock of an open file, which the kernel lets go of when the process dies, however it dies."""
    give_up = time.monotonic() + PATIENCE
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() > give_up:
                return False
            time.sleep(0.1)
        except OSError:
            return True  # A file system without locks: go on without.


def plain(config: Any) -> dict[str, Any]:
    """Turns a config (an `ml_collections.ConfigDict`, a mapping or None) into what JSON gives back when read."""
    if config is None:
        return {}
    mapping = config.to_dict() if hasattr(config, "to_dict") else dict(config)
    return json.loads(json.dumps(mapping, default=str))


def check_config(workdir: pathlib.Path, config: Mapping[str, Any], *, write: bool, binding: bool = True) -> None:
    """Writes `config.json`, or compares it with the one that stands there.

    Args:
      workdir: the folder.
      config: from `plain`.
      binding: whether there is something to go on from; else whatever stands there is written over.
      write: whether this process writes.

    Raises:
      ConfigChangedError: the run in the workdir had another config; names the first keys that differ.
      WorkdirError: the file cannot be written or read.
    """
    path = workdir / "config.json"
    old = None
    try:
        if path.exists():
            old = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        if binding:
            raise errors.WorkdirError(f"Cannot read {path}: {error}. Remove it to write it anew.") from error
    if old is not None and binding:
        before, now = _flatten(old), _flatten(config)
        differing = [
            f"{key} was {before.get(key, 'absent')!r} and is now {now.get(key, 'absent')!r}"
            for key in sorted(before.keys() | now.keys())
            if before.get(key) != now.get(key) or (key in before) != (key in now)
            if not _may_change(key.rsplit(".", 1)[-1], before.get(key), now.get(key))
        ]
        if differing:
            more = f" (and {len(differing) - 5} more)" if len(differing) > 5 else ""
            raise errors.ConfigChangedError(
                f"The workdir {workdir} holds a run of another configuration: {'; '.join(differing[:5])}{more}. "
                "Use another workdir, or the old configuration to go on."
            )
    if write and old != config:
        write_atomically(path, json.dumps(config, indent=2) + "\n")


def write_atomically(path: pathlib.Path, text: str) -> None:
    """Writes a file such that a kill leaves the old or the new content, never a part (`WorkdirError` if it fails)."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with open(temporary, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise errors.WorkdirError(f"Cannot write {path}: {error.strerror}.") from error


def _flatten(tree: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(tree, Mapping) or not tree:
        return {prefix: tree} if prefix else {}
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat |= _flatten(value, f"{prefix}.{key}" if prefix else str(key))
    return flat


def _may_change(key: str, before: Any, now: Any) -> bool:
    numbers = isinstance(before, int | float) and isinstance(now, int | float)
    return numbers and (key in _LOOKING_KEYS or (key in _LENGTH_KEYS and now >= before))
