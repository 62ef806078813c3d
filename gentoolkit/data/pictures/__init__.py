"""Photographs from and to files, with everything that the files say about them.

What a file is its content decides, whatever its name. Reading keeps depth, transparency, colour profile, EXIF, XMP,
comments, text, gamma, resolution and tags; pixels are turned upright. What is not understood is refused by name.
Writing takes the format of the suffix, and tells what that cannot keep.
"""

import pathlib

import numpy as np

from gentoolkit.data.pictures import files, general, png, tiff
from gentoolkit.data.pictures.picture import Metadata as Metadata
from gentoolkit.data.pictures.picture import Picture as Picture
from gentoolkit.data.pictures.picture import Unreadable as Unreadable

_FORMATS = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".png": "PNG",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".bmp": "BMP",
    ".webp": "WebP",
}
SUFFIXES = tuple(_FORMATS)
_WRITERS = {
    "JPEG": general.write_jpeg,
    "PNG": png.write,
    "TIFF": tiff.write,
    "BMP": general.write_bmp,
    "WebP": general.write_webp,
}
_DEPTHS = {"uint8": set(_WRITERS), "uint16": {"PNG", "TIFF"}, "float32": {"TIFF"}}
# Which formats keep what; EXIF and tags are told from one another below.
_KEEPS = {
    "transparency": {"PNG", "TIFF", "WebP"},
    "colour profile": {"JPEG", "PNG", "TIFF", "WebP"},
    "XMP": {"JPEG", "PNG", "TIFF", "WebP"},
    "resolution": {"JPEG", "PNG", "TIFF", "BMP"},
    "comment": {"JPEG"},
    "Photoshop resources": {"JPEG"},
    "EXIF": {"JPEG", "PNG", "TIFF", "WebP"},
}
# How other formats begin, to call them by name.
_OTHERS = {
    b"%PDF": "a PDF document",
    b"8BPS": "a Photoshop document",
    b"\x00\x00\x00\x0cjP  ": "a JPEG 2000 file",
    b"\xffO\xffQ": "a JPEG 2000 file",
    b"\xff\n": "a JPEG XL file",
    b"\x00\x00\x00\x0cJXL ": "a JPEG XL file",
    b"v/1\x01": "an OpenEXR file",
    b"#?": "a Radiance file",
    b"<svg": "an SVG drawing",
    b"<?xml": "an XML document",
}
_HEIF, _AVIF = "a HEIF file (.heic)", "an AVIF file"
# Photographs all the same, which other programs turn into what is understood.
_CONVERTIBLE = {_HEIF, _AVIF, "a JPEG 2000 file", "a JPEG XL file", "an OpenEXR file", "a Radiance file"}


def read(path: pathlib.Path) -> Picture:
    """Reads a photograph and turns it upright.

    CMYK and LAB become sRGB, a palette is looked up, fewer than 8 bits become 8, and 9 to 15 become 16.

    Raises:
      FileNotFoundError: there is no such file.
      Unreadable: it is not a photograph of a kind that is understood, or broken.
      OSError: the system does not let it be read.
    """
    if path.is_dir():
        raise Unreadable("It is a folder.")
    if not path.is_file():
        raise FileNotFoundError("There is no such file.")
    data = path.read_bytes()
    if not data:
        raise Unreadable("It is empty.")
    try:
        if tiff.is_tiff(data):
            return tiff.read(data)
        if png.is_png(data):
            return png.read(data)
        return general.read(data)
    except Unreadable as error:
        raise Unreadable(f"It cannot be read: {error}.") from error
    except MemoryError:
        raise
    except Exception as error:  # decoders raise all kinds of errors at broken files
        other = _name(data)
        if other or isinstance(error, general.UNKNOWN):
            known = "and only JPEG, PNG, TIFF, WebP, BMP and GIF files are understood"
            known += "; convert it first, to PNG or TIFF if it has more than 8 bits" if other in _CONVERTIBLE else ""
            raise Unreadable(f"It cannot be read: it is {other or 'of an unknown kind'}, {known}.") from error
        raise Unreadable(f"It cannot be read: {files.reason(error).rstrip('.')}.") from error


def check_suffix(path: pathlib.Path) -> None:
    """Refuses a name whose suffix is not that of a format that can be written.

    Raises:
      ValueError: so.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"{files.shown(path.name)} must end in one of {', '.join(SUFFIXES)}.")


def check(path: pathlib.Path, picture: Picture) -> None:
    """Refuses a name whose format cannot hold a picture as fine as this.

    Raises:
      ValueError: so.
    """
    check_suffix(path)
    fit = _DEPTHS[picture.pixels.dtype.name]
    if _FORMATS[path.suffix.lower()] not in fit:
        endings = " or ".join(suffix for suffix in SUFFIXES if _FORMATS[suffix] in fit)
        raise ValueError(f"{files.shown(path.name)} cannot hold {picture.depth}; write a {endings} file.")


def write(path: pathlib.Path, picture: Picture) -> list[str]:
    """Writes a photograph in the format of the suffix, as fine as it is; a file that is there is replaced at the end.

    Returns:
      What the format cannot keep, in words.

    Raises:
      ValueError: `check` says why.
      OSError: the file cannot be written; one that was there before stays.
    """
    check(path, picture)
    kind = _FORMATS[path.suffix.lower()]
    lost = _lost(picture, kind)
    said = picture.metadata
    if kind != "PNG":
        picture = png.with_usual_gamma(picture)
    if kind not in ("TIFF", "BMP") and said.exif is None and said.tags is not None:
        picture = picture._replace(metadata=Metadata(**{**vars(said), "exif": tiff.exif_block(said.tags)}))
    files.write(path, _WRITERS[kind](picture))
    return lost


def _lost(picture: Picture, kind: str) -> list[str]:
    said = picture.metadata
    there = {
        "transparency": picture.alpha is not None and (picture.alpha != _most(picture.alpha)).any(),
        "colour profile": said.icc_profile,
        "XMP": said.xmp,
        "resolution": said.dpi,
        "comment": said.comment,
        "Photoshop resources": said.photoshop,
        "EXIF": said.exif or (said.tags and (said.tags.values or said.tags.below)),
    }
    lost = [name for name, value in there.items() if value and kind not in _KEEPS[name]]
    if kind == "JPEG":
        lost += general.too_long(said)
    if kind != "PNG":
        lost += png.only_here(said)
    if kind != "TIFF" and said.tags:
        lost += [f"TIFF tag {tag}" for tag in tiff.only_here(said.tags)]
    return lost


def _most(values: np.ndarray) -> float:
    return np.iinfo(values.dtype).max if np.issubdtype(values.dtype, np.integer) else 1.0


def _name(data: bytes) -> str | None:
    if data[4:8] == b"ftyp":
        brand = data[8:12]
        kinds = {b"avif": _AVIF, b"avis": "an AVIF animation"}
        heif = (b"heic", b"heix", b"mif1", b"hevc", b"msf1", b"heim")
        return kinds.get(brand) or (_HEIF if brand in heif else "a film or a file of its kind")
    return next((name for start, name in _OTHERS.items() if data.startswith(start)), None)
