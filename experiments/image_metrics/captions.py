"""The captions of images: read from a table or from text files of one name, and matched to the images by name."""

import csv
import io
import json
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from experiments.image_metrics.pictures import EXTENSIONS, shown

FORMS = (".csv", ".tsv", ".jsonl")
_NAMES = ("file_name", "filename", "file", "image", "name", "path")
_TEXTS = ("caption", "text", "prompt")
_FEW = 5


class Captions(NamedTuple):
    """Captions of a set of images.

    Attributes:
      texts: by the names of the images.
      without_caption: images that have none.
      without_image: names of captions that belong to no image.
    """

    texts: dict[str, str]
    without_caption: list[str]
    without_image: list[str]

    def said(self) -> list[str]:
        """Sentences on what is missing, with the first names."""
        return [
            f"{len(names)} {what}: {', '.join(map(shown, names[:_FEW]))}{', ...' if len(names) > _FEW else ''}."
            for what, names in (
                ("images have no caption and are left out of the CLIP score", self.without_caption),
                ("captions have no image", self.without_image),
            )
            if names
        ]


def find(path: str | os.PathLike[str], names: Sequence[str]) -> Captions:
    """Reads captions and matches them to images.

    An image is named in full ("a/000.png"), without its suffix or with another one, or by its last part alone where no
    other image has that.

    Args:
      path: a table, `.csv` or `.tsv` with the columns `file_name` and `caption` (or two columns without a head) or
        `.jsonl` with these keys, or a folder with a `.txt` beside each image of one name.
      names: of the images.

    Raises:
      FileNotFoundError: there is no such file or folder.
      ValueError: another form, a line that is none, an image with two captions, a name that fits two images, or no
        caption that belongs to an image.
    """
    read = _read(pathlib.Path(path).expanduser())
    known = _index(names)
    texts: dict[str, str] = {}
    without_image, owners = [], dict[str, str]()
    for name, text in read.items():
        plain = _plain(name)
        keys = (
            plain,
            os.path.splitext(plain)[0],
            os.path.basename(plain),
            os.path.splitext(os.path.basename(plain))[0],
        )
        fitting = next((known[key] for key in keys if key in known), [])
        if not fitting:
            without_image.append(name)
            continue
        if len(fitting) > 1:
            raise ValueError(f"{shown(path)}: {name!r} may be {shown(fitting[0])} or {shown(fitting[1])}.")
        if fitting[0] in texts:
            raise ValueError(
                f"{shown(path)}: {owners[fitting[0]]!r} and {name!r} are both captions of {shown(fitting[0])}; "
                "one caption for each image."
            )
        texts[fitting[0]], owners[fitting[0]] = text, name
    if not texts:
        raise ValueError(
            f"{shown(path)}: no caption belongs to an image; it names {', '.join(map(repr, list(read)[:3]))}, "
            f"and there are {', '.join(map(shown, names[:3]))}."
        )
    return Captions(texts, [name for name in names if name not in texts], without_image)


def _index(names: Sequence[str]) -> Mapping[str, list[str]]:
    """Images by every name that they may be called by."""
    found: dict[str, list[str]] = {}
    for name in names:
        plain = _plain(name)
        base = os.path.basename(plain)
        for key in dict.fromkeys((plain, os.path.splitext(plain)[0], base, os.path.splitext(base)[0])):
            found.setdefault(key, []).append(name)
    # A full name is one image's alone, whatever others end in.
    return found | {_plain(name): [name] for name in names}


def _plain(name: str) -> str:
    return pathlib.PurePath(name).as_posix().removeprefix("./")


def _read(path: pathlib.Path) -> dict[str, str]:
    """Captions by the names that they go with."""
    if path.is_dir():
        lines: Iterator[tuple[str, str, str]] = _of_folder(path)
    elif not path.is_file():
        raise FileNotFoundError(f"--captions: there is no file or folder {shown(path)}.")
    elif path.suffix.lower() not in FORMS:
        raise ValueError(f"--captions must end in {', '.join(FORMS)} or be a folder of .txt, got {shown(path)}.")
    elif path.suffix.lower() == ".jsonl":
        lines = _of_lines(path)
    else:
        lines = _of_table(path, "\t" if path.suffix.lower() == ".tsv" else ",")
    found: dict[str, str] = {}
    for place, name, text in lines:
        if not name or not text.strip():
            raise ValueError(f"{place}: {'no name of an image' if not name else f'the caption of {name!r} is empty'}.")
        if name in found:
            raise ValueError(f"{place}: {name!r} has a caption already; one for each image.")
        found[name] = text
    if not found:
        raise ValueError(f"{shown(path)} has no captions.")
    return found


def _of_folder(path: pathlib.Path) -> Iterator[tuple[str, str, str]]:
    for file in sorted(path.rglob("*.txt")):
        yield shown(file), file.relative_to(path).with_suffix("").as_posix(), _text(file)


def _of_lines(path: pathlib.Path) -> Iterator[tuple[str, str, str]]:
    for number, line in enumerate(_text(path).splitlines(), 1):
        if not line.strip():
            continue
        place = f"{shown(path)}, line {number}"
        try:
            row = json.loads(line)
        except ValueError as error:
            raise ValueError(f"{place}: no JSON ({error}).") from None
        if not isinstance(row, dict):
            raise ValueError(f"{place} must be an object with file_name and caption, got {line[:40]!r}.")
        name, text = (_column(list(row), known, place) for known in (_NAMES, _TEXTS))
        if not isinstance(row[name], str) or not isinstance(row[text], str):
            raise ValueError(f"{place}: {name} and {text} must be texts.")
        yield place, row[name], row[text]


def _of_table(path: pathlib.Path, delimiter: str) -> Iterator[tuple[str, str, str]]:
    reader = csv.reader(io.StringIO(_text(path), newline=""), delimiter=delimiter, strict=True)
    columns: tuple[int, int] | None = None
    try:
        for row in reader:
            if not any(cell.strip() for cell in row):
                continue
            place = f"{shown(path)}, line {reader.line_num}"
            if columns is None:
                if len(row) == 2 and row[0].strip().lower().endswith(EXTENSIONS):  # no head
                    columns = 0, 1
                else:
                    head = [cell.strip().lower() for cell in row]
                    names, texts = (_column(head, known, place) for known in (_NAMES, _TEXTS))
                    columns = head.index(names), head.index(texts)
                    continue
            if len(row) <= max(columns):
                raise ValueError(f"{place} has {len(row)} cells, and the caption stands in number {columns[1] + 1}.")
            if columns == (0, 1) and len(row) > 2 and delimiter == ",":
                raise ValueError(f"{place} has {len(row)} cells: quote captions with commas in them, or use .tsv.")
            yield place, row[columns[0]].strip(), row[columns[1]]
    except csv.Error as error:
        raise ValueError(f"{shown(path)}, line {reader.line_num}: {error}.") from None


def _column(names: Sequence[str], known: Sequence[str], place: str) -> str:
    found = next((name for name in known if name in names), None)
    if found is None:
        raise ValueError(f"{place}: one column must be called {' or '.join(known)}; there are {', '.join(names)[:80]}.")
    return found


def _text(path: pathlib.Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{shown(path)} is not UTF-8 text (byte {error.start}).") from None
