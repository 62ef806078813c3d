"""What AttnGAN and Reed keep beside pictures: the names of a split as pickles, and the texts of a picture as a file."""

import os
import pathlib
from collections.abc import Callable

from gentoolkit.data import _captioned, _locate, _pickled


def names(
    root: str | os.PathLike[str],
    split: str,
    *,
    group: Callable[[str], object],
    dataset: str,
    subfolders: tuple[str, ...],
    remedy: str,
) -> list[str]:
    """The names in `SPLIT/filenames.pickle`, and whether `SPLIT/class_info.pickle` agrees with their classes.

    Args:
      root: the folder that holds both splits, or one above it.
      split: the name of the folder.
      group: the class that a name tells otherwise; pictures of one class must have one number.
      dataset: for errors.
      subfolders: names that the folder may have.
      remedy: what to put there.

    Returns:
      The names, in the order of the file.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: it holds something else, one name twice, or classes that do not agree.
    """
    places = _locate.candidates(_locate.root(root, dataset=dataset, argument="root"), *subfolders)
    place = next((place / split for place in places if (place / split / "filenames.pickle").is_file()), None)
    if place is None:
        raise _locate.missing(dataset, f"{split}/filenames.pickle", places, remedy)
    found = _pickled.read(place / "filenames.pickle")
    if not isinstance(found, list) or not found or not all(isinstance(name, str) for name in found):
        raise ValueError(f"{str(place / 'filenames.pickle')!r} holds no list of names.")
    if len(set(found)) != len(found):
        raise ValueError(f"{str(place / 'filenames.pickle')!r} holds a name twice.")
    if (place / "class_info.pickle").is_file():
        numbers = _pickled.read(place / "class_info.pickle")
        if not isinstance(numbers, list) or len(numbers) != len(found):
            raise ValueError(f"{str(place / 'class_info.pickle')!r} holds no list of {len(found)} numbers.")
        of_group: dict[object, int] = {}
        for entry, (name, number) in enumerate(zip(found, numbers, strict=True)):
            if of_group.setdefault(group(name), number) != number:
                raise ValueError(
                    f"{str(place / 'class_info.pickle')!r}, entry {entry}: class {number} for {name!r}, but "
                    f"{of_group[group(name)]} for others of {group(name)!r}."
                )
    return found


def texts(path: pathlib.Path, *, dataset: str, remedy: str) -> list[str]:
    """The texts of a picture, one a line (`FileNotFoundError` or `ValueError` where there are none)."""
    try:
        found = _captioned.lines(path)
    except FileNotFoundError:
        raise _locate.missing(dataset, f"the texts {path.name}", [path.parent], remedy) from None
    if not found:
        raise ValueError(f"{str(path)!r} holds no text.")
    return found
