"""Files under names of any bytes, and written whole or not at all."""

import contextlib
import errno
import os
import pathlib
import secrets


def shown(name: str | os.PathLike[str]) -> str:
    """Returns a file's name as text that every terminal and page takes: bytes that are no text as escapes."""
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def reason(error: BaseException) -> str:
    """Returns what an error says in one short line, the system's own words without number and name."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    lines = text.strip().splitlines()
    line = lines[0] if lines else type(error).__name__
    return line if len(line) <= 300 else line[:300] + " ..."


def check_writable(path: pathlib.Path) -> None:
    """Tries whether a file of this name could be written, and leaves nothing behind.

    Raises:
      OSError: it could not.
    """
    for folder in path.parents:
        if folder.exists() and not folder.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, f"{shown(folder)} is not a folder")
    beside = _beside(path)
    made = [folder for folder in path.parents if not folder.exists()]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            os.stat(path)  # a name that is too long
        os.close(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
    finally:
        for remove in (beside.unlink, *[folder.rmdir for folder in made]):
            with contextlib.suppress(OSError):
                remove()


def write(path: pathlib.Path, data: bytes) -> None:
    """Writes a file beside its place and then puts it there, so that a full disk or an end leaves what was there.

    Raises:
      OSError: it could not be written.
    """
    if path.is_symlink():
        path = path.resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = _beside(path)
    try:
        with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            os.chmod(beside, path.stat().st_mode & 0o777)
        os.replace(beside, path)
    finally:
        with contextlib.suppress(OSError):
            beside.unlink()


def _beside(path: pathlib.Path) -> pathlib.Path:
    # A short name: that of the file may be as long as the system allows.
    return path.parent / f".{secrets.token_hex(6)}.part"
