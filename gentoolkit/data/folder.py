"""Any folder of images."""

import dataclasses
import os
import pathlib
import stat
import sys
from collections.abc import Sequence
from concurrent import futures
from typing import Literal, get_args

import numpy as np

from gentoolkit.data import columns
from gentoolkit.data._decode import Fit, Reader
from gentoolkit.data._progress import Progress
from gentoolkit.data.columns import Columns

EXTENSIONS = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
Check = Literal["headers", "all", "skip"]
_MAX_CHECKED = 2048
_NAMED = 5  # files named in a message; the others are counted


def load(
    directory: str | os.PathLike[str],
    *,
    image_shape: tuple[int, int, int],
    center_crop: int | None = None,
    fit: Fit = "exact",
    convert_channels: bool = False,
    first_frame: bool = False,
    label_by_folder: bool = False,
    class_names: Sequence[str] | None = None,
    check: Check = "headers",
) -> Columns:
    """Lists the images below a folder, in order of path; each is decoded when asked for.

    Hidden files and folders, links to folders and files of other kinds are passed over: a line on stderr counts them.
    Photographs are turned upright.

    Args:
      directory: the folder.
      image_shape: `(h, w, c)` wanted, c = 1 (grey) or 3 (RGB).
      center_crop: side in pixels of the central square to cut out first, or None.
      fit: "exact" (refuse another size), "stretch" (resize to h x w) or "cover" (resize and cut off the overhang).
      convert_channels: turn grey and colour into each other and 16 bits into 8, and lay transparent pixels over white;
        otherwise refuse.
      first_frame: take the first picture of an animation or of a file of several pages; otherwise refuse.
      label_by_folder: number the folders right below `directory` that hold an image, in order of name; otherwise there
        are no labels.
      class_names: the folders in order of their numbers, where these are to be those of another split; None takes what
        is there.
      check: "headers" reads those of up to 2,048 files, evenly spaced, and what is damaged beyond is found when it is
        read. "all" decodes every file now, and refuses the folder if one is broken or does not fit. "skip" does the
        same, and leaves such files out: a line on stderr counts and names them.

    Returns:
      A data set of images `[h, w, c]`, and labels if asked for; its `names` are the paths.

    Raises:
      FileNotFoundError: no such folder, or no image in it.
      NotADirectoryError: `directory` is a file.
      ValueError: an image is damaged, or needs a conversion that was not asked for; an image lies outside every class
        folder, or in one that is not among `class_names`; or an option is none of these.
    """
    if check not in get_args(Check):
        raise ValueError(f"check must be one of {', '.join(get_args(Check))}, got check = {check!r}.")
    reader = Reader(image_shape, center_crop, fit, convert_channels, first_frame)
    root = _root(directory)
    found, passed_over = _list(root)
    labels = None
    if class_names is not None and not label_by_folder:
        raise ValueError("class_names needs label_by_folder=True.")
    if label_by_folder:
        loose = next((name for name in found if os.sep not in name), None)
        if loose is not None:
            raise ValueError(f"{str(root / loose)!r} lies outside every class folder; label_by_folder=True needs one.")
        folders = [name.split(os.sep, 1)[0] for name in found]
        numbers = {
            name: number for number, name in enumerate(sorted(set(folders)) if class_names is None else class_names)
        }
        if unknown := sorted(set(folders) - set(numbers)):
            raise ValueError(f"{str(root / unknown[0])!r} is none of class_names = {list(numbers)}.")
        labels, class_names = np.array([numbers[name] for name in folders], np.int32), tuple(numbers)
    files = [os.fspath(root / name) for name in found]
    if check == "headers":
        for index in np.unique(np.linspace(0, len(files) - 1, _MAX_CHECKED).astype(int)):
            reader.check(pathlib.Path(files[index]))
    else:
        broken = _broken(files, reader, root.name)
        if broken and (check == "all" or len(broken) == len(files)):
            told = "; ".join(list(broken.values())[:_NAMED])
            raise ValueError(f"{len(broken)} of {len(files)} images in {str(root)!r} cannot be used: {told}")
        if broken:
            passed_over.append(_counted(len(broken), "image that cannot be used", [files[i] for i in broken]))
            kept = [index for index in range(len(files)) if index not in broken]
            files, labels = [files[index] for index in kept], None if labels is None else labels[kept]
    _tell(root, len(files), passed_over)
    return columns.images(
        decoded(files, reader),
        labels,
        class_names=class_names or (),
        image_shape=reader.image_shape,
        # A name that is no UTF-8 could not be printed.
        description=f"{os.fsencode(root.name).decode(errors='replace')} ({len(files)} images)",
        names=files,
    )


def paths(directory: str | os.PathLike[str]) -> list[str]:
    """Lists the images below a folder, in order of path; a line on stderr counts what was passed over.

    Args:
      directory: the folder.

    Returns:
      The paths, each beginning with `directory`.

    Raises:
      FileNotFoundError: no such folder, or no image in it.
      NotADirectoryError: `directory` is a file.
      ValueError: `directory` is an empty string.
    """
    root = _root(directory)
    found, passed_over = _list(root)
    _tell(root, len(found), passed_over)
    return [os.fspath(root / name) for name in found]


@dataclasses.dataclass(frozen=True, eq=False)
class decoded:  # noqa: N801 (called like a function)
    """The picture of a file, by the index of an example: what `columns.from_values` takes for a column.

    Attributes:
      paths: a file for each example.
      reader: decodes one file into `[h, w, c]` uint8.
    """

    paths: Sequence[str | os.PathLike[str]] = dataclasses.field(repr=False)
    reader: Reader

    def __call__(self, index: int) -> np.ndarray:
        """Decodes the file of one example."""
        return self.reader(pathlib.Path(self.paths[index]))


def _root(directory: str | os.PathLike[str]) -> pathlib.Path:
    if not os.fspath(directory):
        raise ValueError("directory must name a folder, got an empty string.")
    return pathlib.Path(directory).expanduser()


def _tell(root: pathlib.Path, num: int, passed_over: Sequence[str]) -> None:
    if passed_over:
        print(f"{root}: {num} images; passed over {', '.join(passed_over)}.", file=sys.stderr, flush=True)


def _list(root: pathlib.Path) -> tuple[list[str], list[str]]:
    """Returns the images below a folder, relative to it and in order, and what else there is, in words."""
    if not root.is_dir():
        if root.exists():
            raise NotADirectoryError(f"{str(root)!r} is a file. Give the folder that holds the images.")
        raise FileNotFoundError(f"{str(root)!r} is not there. Give the folder that holds the images.")
    found: list[str] = []
    others: dict[str, list[str]] = {}
    unreadable: list[str] = []
    for parent, folders, names in os.walk(root, onerror=lambda error: unreadable.append(str(error.filename))):
        for name in (*folders, *names):
            path = os.path.join(parent, name)
            kind = "hidden file or folder" if name.startswith(".") else _kind(path, is_folder=name in folders)
            if kind == "image":
                found.append(os.path.relpath(path, root))
            elif kind != "folder":
                others.setdefault(kind, []).append(os.path.relpath(path, root))
        folders[:] = [name for name in folders if not name.startswith(".")]
    if unreadable:
        others["folder that cannot be opened"] = unreadable
    passed_over = [_counted(len(names), kind, sorted(names)) for kind, names in sorted(others.items())]
    if not found:
        beside = f" There are {', '.join(passed_over)}." if passed_over else ""
        raise FileNotFoundError(
            f"No image in {str(root)!r} or below. Files must end in one of {', '.join(EXTENSIONS)}.{beside}"
        )
    return sorted(found), passed_over


def _kind(path: str, *, is_folder: bool) -> str:
    if is_folder:
        return "link to a folder" if os.path.islink(path) else "folder"
    if not path.lower().endswith(EXTENSIONS):
        return "file of another kind"
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return "link to nothing"
    # Opening a pipe would wait for ever.
    return "image" if stat.S_ISREG(mode) else "thing that is no file"


def _counted(number: int, kind: str, names: Sequence[str]) -> str:
    first, _, rest = kind.partition(" ")
    plural = {"hidden": "hidden files or folders"}.get(first, f"{first}s {rest}".strip())
    plural = plural.replace("of another kind", "of other kinds").replace("that is no file", "that are no files")
    shown = ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")
    return f"{number} {kind if number == 1 else plural} ({shown})"


def _broken(paths: Sequence[str], reader: Reader, what: str) -> dict[int, str]:
    """Decodes every file; returns what is wrong with those that cannot be used, by their place."""

    def fault(path: str) -> str | None:
        try:
            reader(pathlib.Path(path))
        except (ValueError, OSError) as error:
            return str(error)
        return None

    progress, broken = Progress(f"Checking {what}", len(paths)), {}
    with futures.ThreadPoolExecutor(4) as pool:
        for index, told in enumerate(pool.map(fault, paths)):
            if told is not None:
                broken[index] = told
            progress.update(index + 1)
    return broken
