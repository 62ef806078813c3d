"""Pictures that come in pairs: two halves of one file, two folders with the same names, or a list of both.

    halves("edges2shoes/train", left="edges", right="photo", image_shape=(256, 256, 3))
    folders(edges="edges2shoes/edges", photo="edges2shoes/photo", image_shape=(128, 128, 3))

For training without pairs, `columns.deal` and `pairs.Together` part them; `looks_swapped` tells drawings and
photographs that stand on each other's side.
"""

import dataclasses
import os
import pathlib
import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from gentoolkit.data import columns, folder
from gentoolkit.data._decode import DAMAGED, Fit, Reader
from gentoolkit.data.columns import Columns
from gentoolkit.data.fields import Image

# Of all columns, or of each.
Shapes = tuple[int, int, int] | Mapping[str, tuple[int, int, int]]

_NAMED = 5  # files named in a message; the others are counted
_LOOKED_AT = 24
_CLEARLY = 1.5  # times as many levels: one in ten pairs of photographs differs by more


def halves(
    directory: str | os.PathLike[str],
    *,
    image_shape: Shapes,
    left: str = "left",
    right: str = "right",
    fit: Fit = "stretch",
    convert_channels: bool = False,
) -> Columns:
    """Reads files that hold two pictures side by side, as those of pix2pix do.

    A file of w pixels is cut after `w // 2`. In the published edges2shoes and edges2handbags the left half is the
    edges, in facades the photograph.

    Args:
      directory: the folder.
      image_shape: `(h, w, c)` of each half, or the one of each by name.
      left: name of the column of the left half.
      right: name of the column of the right half.
      fit: as in `folder.load`, for each half.
      convert_channels: as in `folder.load`.

    Returns:
      A data set with two columns of pictures `[h, w, c]`; its `names` are the paths.

    Raises:
      FileNotFoundError: no such folder, or no image in it.
      ValueError: equal names; a file that cannot be read, or is not wider than high.
    """
    if left == right:
        raise ValueError(f"left and right must be two names, got {left!r} twice.")
    paths = folder.paths(directory)
    readers = _readers((left, right), image_shape, fit, convert_channels)
    read = {name: _Half(paths, readers[name], first=name == left) for name in (left, right)}
    for index in np.unique(np.linspace(0, len(paths) - 1, _LOOKED_AT).astype(int)):
        read[left].check(int(index))
    return _columns(read, readers, names=paths, description=_described(directory, len(paths)))


def folders(
    *,
    image_shape: Shapes,
    fit: Fit = "stretch",
    convert_channels: bool = False,
    key: Callable[[str], str] | None = None,
    **directories: str | os.PathLike[str],
) -> Columns:
    """Reads folders in which pictures that belong together have the same name.

    Args:
      image_shape: `(h, w, c)` of all, or the one of each column by name.
      fit: as in `folder.load`.
      convert_channels: as in `folder.load`.
      key: what two names must have in common, as a function of a file's path below its folder, without suffix; None:
        all of it. `cufs_key` is that of the CUFS photographs and sketches.
      **directories: the folder of each column.

    Returns:
      A data set with one column for each folder, in order of key; its `names` are the keys.

    Raises:
      FileNotFoundError: no such folder, or no image in it.
      ValueError: a picture without a partner, two with one key, or fewer than two folders.
    """
    if len(directories) < 2:
        raise ValueError(f"folders needs two folders or more, got {list(directories)}.")
    found: dict[str, dict[str, str]] = {}
    for name, directory in directories.items():
        keyed = found[name] = dict[str, str]()
        for path in folder.paths(directory):
            stem = os.path.splitext(os.path.relpath(path, pathlib.Path(directory).expanduser()))[0]
            own = stem if key is None else key(stem)
            if own in keyed:
                raise ValueError(f"{keyed[own]!r} and {path!r} have the same name {own!r}: which belongs to the pair?")
            keyed[own] = path
    first, *others = found
    for other in others:
        lonely = sorted(found[first].keys() ^ found[other].keys())
        if lonely:
            shown = ", ".join(lonely[:_NAMED]) + (", ..." if len(lonely) > _NAMED else "")
            raise ValueError(
                f"{len(lonely)} pictures of {str(directories[first])!r} and {str(directories[other])!r} "
                f"have no partner in the other folder: {shown}."
            )
    keys = sorted(found[first])
    files = {name: [keyed[own] for own in keys] for name, keyed in found.items()}
    readers = _readers(tuple(files), image_shape, fit, convert_channels)
    return _read(files, readers, names=keys, description=_described(directories[first], len(keys)))


def listed(
    path: str | os.PathLike[str],
    *,
    names: Sequence[str],
    image_shape: Shapes,
    fit: Fit = "stretch",
    convert_channels: bool = False,
) -> Columns:
    """Reads the pictures that a text file lists, a line for each pair.

    Args:
      path: a UTF-8 text file. A line holds one file for each column, apart by tabs, or by spaces where there is no tab;
        relative ones are looked for beside the list. Empty lines and those that begin with # say nothing.
      names: of the columns, in the order of the line.
      image_shape: `(h, w, c)` of all, or the one of each column by name.
      fit: as in `folder.load`.
      convert_channels: as in `folder.load`.

    Returns:
      A data set with one column for each name; its `names` are the lines' first files.

    Raises:
      FileNotFoundError: the list, or a file that it names, is not there.
      ValueError: a line with another number of files, or no line at all.
    """
    if len(set(names)) != len(names) or not names:
        raise ValueError(f"names must name each column once, got {list(names)}.")
    root = pathlib.Path(path).expanduser()
    chosen: dict[str, list[str]] = {name: [] for name in names}
    try:
        text = root.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{str(root)!r} is no list of files: it must be a text in UTF-8, a pair a line.") from error
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        parts = [part.strip() for part in line.split("\t")] if "\t" in line else line.split()
        if len(parts) != len(names):
            raise ValueError(
                f"{str(root)!r}, line {number}: {len(parts)} files, but there are {len(names)} columns "
                f"({', '.join(names)}). Names with spaces need tabs between them."
            )
        for name, part in zip(names, parts, strict=True):
            file = root.parent / pathlib.Path(part).expanduser()
            if not file.is_file():
                raise FileNotFoundError(f"{str(root)!r}, line {number}: {str(file)!r} is not there.")
            chosen[name].append(os.fspath(file))
    if not chosen[names[0]]:
        raise ValueError(f"{str(root)!r} lists no picture.")
    first = chosen[names[0]]
    readers = _readers(names, image_shape, fit, convert_channels)
    return _read(chosen, readers, names=first, description=_described(root, len(first)))


def cufs_key(stem: str) -> str:
    """What a photograph and a sketch of one person have in common in CUFS, for `folders(key=...)`.

    The photograph "f-005-01" and the sketch "F2-005-01-sz1" become "f-005-01": sex, person and picture.

    Args:
      stem: a path without suffix.

    Returns:
      The key.

    Raises:
      ValueError: a name of another form.
    """
    match = re.fullmatch(r"([fmFM])\d?-(\d+)-(\d+)(-sz\d+)?", pathlib.PurePath(stem).name)
    if match is None:
        raise ValueError(f"{stem!r} is no name of CUFS, such as 'f-005-01' or 'F2-005-01-sz1'.")
    return f"{match[1].lower()}-{match[2]}-{match[3]}"


def looks_swapped(source: Columns, *, drawing: str, photograph: str) -> bool:
    """Whether the column that should hold drawings clearly holds more levels of grey than that of photographs.

    Most of an edge map, outline, sketch or label map is of few levels; photographs have many. Colours say less: resized
    label maps mix new ones along every border. Two dozen examples are looked at. Two columns of photographs differ by
    less than what counts here, so that neither is called swapped.

    Args:
      source: pictures as bytes, grey or in colour.
      drawing: the column that should hold drawings.
      photograph: the column that should hold photographs.

    Returns:
      True where most of the examples seem to stand on the wrong side.
    """
    chosen = source.select(drawing=drawing, photograph=photograph)
    batch = chosen.take(np.unique(np.linspace(0, len(source) - 1, _LOOKED_AT).astype(int)))
    more = _num_levels(batch["drawing"]) > _CLEARLY * _num_levels(batch["photograph"])
    return bool(np.mean(more) > 0.5)


def _num_levels(images: np.ndarray) -> np.ndarray:
    """How many of sixteen levels of grey hold 95 % of the pixels of each picture: JPEG's noise is not counted."""
    grey = images.mean(-1) * (255 / max(1, images.max()))  # a dark domain has no fewer
    counts = np.stack([np.bincount(level.ravel(), minlength=16) for level in (grey // 16).astype(int)])
    covered = np.cumsum(np.sort(counts, axis=1)[:, ::-1], axis=1)
    return 1 + (covered < 0.95 * covered[:, -1:]).sum(axis=1)


@dataclasses.dataclass(frozen=True, eq=False)
class _Half:
    paths: Sequence[str]
    reader: Reader
    first: bool

    def __call__(self, index: int) -> np.ndarray:
        from PIL import Image as pillow
        from PIL import ImageOps

        path = self.paths[index]
        try:
            with pillow.open(path) as both:
                ImageOps.exif_transpose(both, in_place=True)
                middle = self._middle(both, path)
                box = (0, 0, middle, both.height) if self.first else (middle, 0, both.width, both.height)
                return self.reader.convert(both.crop(box), path)
        except FileNotFoundError:
            raise
        except DAMAGED as error:
            raise ValueError(f"{path!r} cannot be read as an image: {error}") from error

    def check(self, index: int) -> None:
        """Refuses a file whose header shows that it holds no two halves."""
        from PIL import Image as pillow

        try:
            with pillow.open(self.paths[index]) as both:
                self._middle(both, self.paths[index])
        except DAMAGED as error:
            raise ValueError(f"{self.paths[index]!r} cannot be read as an image: {error}") from error

    @staticmethod
    def _middle(both, path: str) -> int:
        if both.width <= both.height:
            raise ValueError(
                f"{path!r} is {both.height} x {both.width} (height x width):"
                " two pictures side by side are wider than high."
            )
        return both.width // 2


def _readers(names: Sequence[str], shapes: Shapes, fit: Fit, convert_channels: bool) -> dict[str, Reader]:
    """How each column is read."""
    each = shapes if isinstance(shapes, Mapping) else dict.fromkeys(names, shapes)
    if each.keys() != set(names):
        raise ValueError(f"image_shape must name the columns {', '.join(names)}, got {', '.join(each)}.")
    return {name: Reader(each[name], None, fit, convert_channels) for name in names}


def _read(
    files: Mapping[str, Sequence[str]], readers: Mapping[str, Reader], *, names: Sequence[str], description: str
) -> Columns:
    for name, paths in files.items():
        for index in np.unique(np.linspace(0, len(paths) - 1, _LOOKED_AT).astype(int)):
            readers[name].check(pathlib.Path(paths[index]))
    read = {name: folder.decoded(paths, readers[name]) for name, paths in files.items()}
    return _columns(read, readers, names=names, description=description)


def _columns(
    read: Mapping[str, Callable[[int], np.ndarray]],
    readers: Mapping[str, Reader],
    *,
    names: Sequence[str],
    description: str,
) -> Columns:
    fields = {name: Image(shape=readers[name].image_shape) for name in read}
    return columns.from_values(fields, read, description=description, names=names)


def _described(directory: str | os.PathLike[str], num: int) -> str:
    name = os.fsencode(pathlib.Path(directory).name).decode(errors="replace")
    return f"{name} ({num} pairs)"
