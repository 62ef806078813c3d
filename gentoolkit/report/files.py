"""Files that are replaced as a whole: after a kill or on a full disk the old one stands."""

import os
import pathlib
import tempfile


def write_text(path: str | pathlib.Path, text: str) -> pathlib.Path:
    """Writes a file of text as `write_bytes` does.

    Args:
      path: where to; folders are made.
      text: the content, in UTF-8; what UTF-8 lacks (a file name's bytes that are no text) as a backslash and a number.

    Returns:
      The path.

    Raises:
      OSError: it cannot be written.
    """
    return write_bytes(path, text.encode("utf-8", errors="backslashreplace"))


def write_bytes(path: str | pathlib.Path, content: bytes) -> pathlib.Path:
    """Writes a file beside its place and then puts it there.

    Args:
      path: where to; folders are made.
      content: all of it.

    Returns:
      The path.

    Raises:
      OSError: it cannot be written.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=".", suffix=".tmp", dir=path.parent)
    try:
        with open(handle, "wb") as file:
            file.write(content)
        os.chmod(temporary, 0o666 & ~_mask())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    return path


def _mask() -> int:
    """The permissions that new files do not get."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
