"""The images of a folder or a zip file: found, read as published tools read them, and what is unusual about them."""

import io
import lzma
import os
import pathlib
import struct
import threading
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError

EXTENSIONS = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
TRANSPARENCY = ("drop", "white")
# What a damaged image, or member of a zip file, raises besides OSError and ValueError; RuntimeError: an encrypted one.
_DAMAGED = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, RuntimeError, NotImplementedError, EOFError),
    *(SyntaxError, Image.DecompressionBombError, struct.error, LookupError, TypeError, ArithmeticError, AttributeError),
)


class Pixels(NamedTuple):
    """An image.

    Attributes:
      levels: `[h, w, 3]` uint8.
      unusual: what was done to make it so, in words: "grey", "transparent", ...
      codec: of the file, as Pillow calls it: "PNG", "JPEG", ...
    """

    levels: np.ndarray
    unusual: tuple[str, ...]
    codec: str


class Source:
    """The images below a folder, or inside of a zip file, in order of their names.

    Attributes:
      path: of the folder or file.
      names: of the images, relative to it.
      passed_over: what else there is, in words; "" for nothing.
    """

    def __init__(self, path: str | os.PathLike[str]):
        """Looks for the images; reads none.

        Raises:
          FileNotFoundError: there is no such folder or file, or no image in it.
          OSError: a folder in it cannot be read.
          ValueError: a file that is no zip.
        """
        self.path = pathlib.Path(path).expanduser()
        self._zip: zipfile.ZipFile | None = None
        self._lock = threading.Lock()  # several threads read one zip file
        if self.path.is_dir():
            everything = list(_files(self.path))
        elif self.path.is_file():
            try:
                self._zip = zipfile.ZipFile(self.path)
            except zipfile.BadZipFile as error:
                raise ValueError(f"{shown(self.path)} is neither a folder nor a zip file of images.") from error
            everything = [entry.filename for entry in self._zip.infolist() if not entry.is_dir()]
        else:
            raise FileNotFoundError(f"There is no folder or file {shown(self.path)}.")
        plain = [name for name in everything if not any(part.startswith(".") for part in pathlib.PurePath(name).parts)]
        self.names = sorted(name for name in plain if name.lower().endswith(EXTENSIONS))
        others = Counter(os.path.splitext(name)[1].lower() or "no suffix" for name in set(plain) - set(self.names))
        told = ", ".join(f"{number} {kind}" for kind, number in others.most_common(5))
        self.passed_over = f"{sum(others.values())} files of other kinds ({told})" if others else ""
        if not self.names:
            beside = f" There are {self.passed_over}." if others else ""
            raise FileNotFoundError(
                f"No image in {shown(self.path)} or below; they end in {', '.join(EXTENSIONS)}.{beside}"
            )

    def read(self, name: str, *, transparency: str = "drop") -> Pixels:
        """Reads an image as RGB of 8 bits, as pytorch-fid and torch-fidelity do: not turned by its EXIF orientation.

        Args:
          name: one of `names`.
          transparency: "drop" leaves transparent pixels the colour that the file has there, as the published tools do;
            "white" lays the image over white.

        Returns:
          The pixels. Of a file of several pictures the first.

        Raises:
          OSError, ValueError: it cannot be read as an image, or has values that are no grey levels.
        """
        try:
            content = self._content(name)
            if not content:
                raise ValueError("an empty file")
            with Image.open(io.BytesIO(content)) as opened_image:
                return _pixels(opened_image, transparency)
        except UnidentifiedImageError as error:
            raise ValueError("no image of a known kind") from error
        except _DAMAGED as error:
            raise ValueError(str(error) or type(error).__name__) from error

    def _content(self, name: str) -> bytes:
        if self._zip is None:
            return (self.path / name).read_bytes()
        with self._lock:
            return self._zip.read(name)


def nested(a: pathlib.Path, b: pathlib.Path) -> bool:
    """Whether one folder is, or lies in, the other, links followed; of a file whether it is the other."""
    a, b = a.resolve(), b.resolve()
    return a == b or (a.is_dir() and b.is_dir() and (a in b.parents or b in a.parents))


def shown(name: str | os.PathLike[str]) -> str:
    """Returns a file's name as text that every terminal and page takes: bytes that are no text as escapes."""
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _files(folder: pathlib.Path) -> Iterator[str]:
    """Yields all files below a folder, relative to it; links to folders are followed, each folder is seen once."""
    seen = {os.path.realpath(folder)}

    def refuse(error: OSError) -> None:
        raise error

    for parent, folders, names in os.walk(folder, followlinks=True, onerror=refuse):
        places = {name: os.path.join(parent, name) for name in folders}
        folders[:] = []
        for name in sorted(places, key=lambda name: (os.path.islink(places[name]), name)):
            real = os.path.realpath(places[name])
            if real not in seen:
                seen.add(real)
                folders.append(name)
        for name in names:
            yield os.path.relpath(os.path.join(parent, name), folder)


def _pixels(image: Image.Image, transparency: str) -> Pixels:
    codec = image.format or "unknown"
    unusual = ["the first of several pictures"] if getattr(image, "n_frames", 1) > 1 else []
    image.load()
    if image.mode == "F":
        raise ValueError("floats, of which nobody knows what is white")
    if image.mode.startswith("I"):
        levels = np.asarray(image)
        if levels.min() < 0 or levels.max() > 65535:
            raise ValueError("integers of 32 bits, of which nobody knows what is white")
        # Pillow's own conversion would cut at 255.
        image = Image.fromarray(np.round(levels / 257.0).astype(np.uint8))
        unusual.append("16 bits, reduced to 8")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        alpha = image.convert("RGBA")
        if alpha.getextrema()[3][0] < 255:
            unusual.append("transparent")
            if transparency == "white":
                white = Image.new("RGBA", image.size, (255, 255, 255, 255))
                image = Image.alpha_composite(white, alpha)
    if image.mode in ("1", "L", "LA"):
        unusual.append("grey")
    elif image.mode not in ("RGB", "RGBA", "P", "PA"):
        unusual.append(f"{image.mode}, converted to RGB")
    return Pixels(np.asarray(image.convert("RGB")), tuple(unusual), codec)
