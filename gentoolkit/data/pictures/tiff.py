"""TIFF files: of 1 to 16 bits and of floats, in strips, tiles and planes, with all their tags."""

import io
import logging
import struct
import zlib

import numpy as np

from gentoolkit.data.pictures import exif, picture
from gentoolkit.data.pictures.picture import Metadata, Picture, Unreadable

# Tags that say how pixels are stored, or would be wrong of other pixels: size, bits, strips, tiles, colour maps,
# smaller copies, ranges; orientation, as the pixels are written upright; and those that `Metadata` has by name.
_STORAGE = frozenset(
    [254, 255, 256, 257, 258, 259, 262, 263, 264, 265, 266, 273, 274, 277, 278, 279, 280, 281, 284, 288, 289, 290, 291]
    + [292, 293, 301, 317, 320, 321, 322, 323, 324, 325, 330, 332, 333, 334, 336, 337, 338, 339, 340, 341, 347]
    + [*range(512, 522), 529, 530, 531, 532, 559, 34675, 700]
)
_ICC_PROFILE, _XMP = 34675, 700
# Tags that an EXIF block may have too.
_ALSO_EXIF = frozenset([269, 270, 271, 272, 282, 283, 296, 305, 306, 315, 316, 318, 319, 33432, 18246, 18249])
_STRIP_BYTES = 1 << 18
_REDUCED, _MASK = 1, 4  # bits of NewSubfileType
_PHOTOMETRIC = {0: "white is zero", 1: "grey", 2: "RGB", 3: "palette", 5: "CMYK", 6: "YCbCr", 8: "LAB", 9: "ICC LAB"}


def is_tiff(data: bytes) -> bool:
    """Whether a file begins as one."""
    return data[:4] in (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")


def read(data: bytes) -> Picture:
    """Reads a file of one photograph; what it does not understand it refuses by name.

    Raises:
      Unreadable: so.
    """
    import tifffile

    # It logs without the file's name; what matters of it is refused by name below.
    tifffile.logger().setLevel(logging.CRITICAL)
    if data[8:10] == b"CR":
        raise Unreadable("it is a raw photograph (CR2)")
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        pages = [page.aspage() for page in file.pages]
        kinds = [int(page.subfiletype) for page in pages]
        if not pages:
            raise Unreadable("it holds no picture, or is broken")
        if kinds[0] & (_REDUCED | _MASK):
            raise Unreadable("its first page is a small copy, as of raw photographs")
        whole = [page for page, kind in zip(pages, kinds, strict=True) if not kind & (_REDUCED | _MASK)]
        if len(whole) > 1:
            raise Unreadable(f"it holds {len(whole)} pages, and one photograph a file is read")
        page = pages[0]
        notes: tuple[str, ...] = ()
        notes += () if len(pages) == 1 else (f"{len(pages) - 1} small copies or masks left out",)
        below = sum(len(page.subifds or ()) for page in pages)
        notes += (f"{below} picture(s) below it (SubIFDs, as small copies are kept) left out",) if below else ()
        _check(page, len(data))
        channels = page.asarray()
        if page.axes.startswith("S"):
            channels = np.moveaxis(channels, 0, -1)
        channels = channels.reshape(page.imagelength, page.imagewidth, -1)
        found = _colors(page, channels)
    directory = exif.read(data)
    tags = {tag: value for tag, value in directory.values.items() if tag not in _STORAGE}
    units = {2: 1.0, 3: 2.54}
    scale = units.get(int(exif.number(directory, exif.RESOLUTION_UNIT) or 2))
    across, down = (exif.number(directory, tag) for tag in (exif.X_RESOLUTION, exif.Y_RESOLUTION))
    profile = directory.values.get(_ICC_PROFILE)
    packet = directory.values.get(_XMP)
    said = Metadata(
        icc_profile=profile.data if profile and int(page.photometric) in (0, 1, 2, 3, 6) else None,
        xmp=packet.data if packet else None,
        dpi=(across * scale, down * scale) if scale and across and down else None,
        tags=exif.Directory(tags, directory.below),
    )
    if int(page.photometric) == 5 and profile:
        found = found._replace(pixels=_from_cmyk(channels, profile.data))
    orientation = int(exif.number(directory, exif.ORIENTATION) or 1)
    if orientation in (5, 6, 7, 8) and {exif.X_RESOLUTION, exif.Y_RESOLUTION} <= set(tags):
        x, y = exif.X_RESOLUTION, exif.Y_RESOLUTION
        tags[x], tags[y] = tags[y], tags[x]
    return picture.turned(found._replace(metadata=said, notes=(*found.notes, *notes)), orientation)


def exif_block(tags: exif.Directory) -> bytes:
    """Returns an EXIF block of what a file's tags have in common with one."""
    return exif.block(exif.Directory({t: v for t, v in tags.values.items() if t in _ALSO_EXIF}, tags.below))


def only_here(tags: exif.Directory) -> list[int]:
    """Returns the tags that an EXIF block cannot have."""
    return [tag for tag in tags.values if tag not in _ALSO_EXIF]


def write(shown: Picture) -> bytes:
    """Returns a file, in strips that are deflated without loss, the least significant byte first."""
    channels = picture.to_channels(shown)
    height, width, count = channels.shape
    whole = np.issubdtype(channels.dtype, np.integer)
    said = shown.metadata
    tags = said.tags or (exif.read(said.exif) if said.exif else exif.Directory({}))
    values = {tag: value for tag, value in tags.values.items() if tag not in _STORAGE}
    if said.dpi and exif.X_RESOLUTION not in values:
        for tag, value in zip((exif.X_RESOLUTION, exif.Y_RESOLUTION), said.dpi, strict=True):
            values[tag] = exif.rational(value)
        values[exif.RESOLUTION_UNIT] = exif.short(2)
    if said.icc_profile:
        values[_ICC_PROFILE] = exif.Value(7, said.icc_profile)
    if said.xmp:
        values[_XMP] = exif.Value(1, said.xmp)
    rows = max(1, _STRIP_BYTES // (width * count * channels.itemsize))
    strips = [_deflated(channels[top : top + rows], whole) for top in range(0, height, rows)]
    places = np.cumsum([8, *map(len, strips)])
    end = int(places[-1]) + int(places[-1]) % 2
    if end > 0xF0000000:
        raise ValueError("the picture is too large for a TIFF file")
    values |= {
        256: exif.long(width),
        257: exif.long(height),
        258: exif.short(*[8 * channels.itemsize] * count),
        259: exif.short(8),
        262: exif.short(1 if shown.grey else 2),
        273: exif.long(*places[:-1].tolist()),
        277: exif.short(count),
        278: exif.long(rows),
        279: exif.long(*map(len, strips)),
        284: exif.short(1),
        317: exif.short(2 if whole else 1),
        339: exif.short(*[1 if whole else 3] * count),
    }
    if shown.alpha is not None:
        values[338] = exif.short(2)
    body = b"".join(strips).ljust(end - 8, b"\x00")
    return struct.pack("<2sHI", b"II", 42, end) + body + exif.written(exif.Directory(values, tags.below), end)


def _deflated(strip: np.ndarray, whole: bool) -> bytes:
    strip = strip.astype(strip.dtype.newbyteorder("<"))
    if whole:
        strip = np.concatenate([strip[:, :1], np.diff(strip, axis=1)], axis=1)  # wraps around, as TIFF wants it
    return zlib.compress(strip.tobytes(), 6)


def _check(page, size: int) -> None:
    """Refuses pages that cannot be understood, or are cut off."""
    kind = int(page.photometric)
    if kind not in _PHOTOMETRIC:
        raise Unreadable(f"its pixels are {getattr(page.photometric, 'name', kind)}, which is not understood")
    if len(set(np.atleast_1d(page.bitspersample).tolist())) > 1:
        raise Unreadable(f"its channels differ in depth: {page.bitspersample}")
    bits, form = int(np.atleast_1d(page.bitspersample)[0]), int(page.sampleformat or 1)
    name = {1: "integers", 2: "signed integers", 3: "floats", 5: "complex integers", 6: "complex numbers"}.get(
        form, "?"
    )
    if not ((form == 1 and 1 <= bits <= 16) or (form == 3 and bits in (16, 32, 64) and kind in (1, 2))):
        least = "floats from 0 to 1" if form == 3 else "integers of 8 or 16 bits"
        raise Unreadable(
            f"it holds {bits}-bit {name} ({_PHOTOMETRIC[kind]}), which are not understood; save it as RGB of {least}"
        )
    if kind in (5, 6, 9) and bits != 8 or kind == 8 and bits not in (8, 16):
        eight = "" if kind == 8 else f", or as 8-bit {_PHOTOMETRIC[kind]}"
        raise Unreadable(
            f"it holds {bits}-bit {_PHOTOMETRIC[kind]}, which is not understood; save it as 16-bit RGB{eight}"
        )
    if kind == 6 and int(page.compression) != 7:
        raise Unreadable("it holds YCbCr that is not JPEG, which is not understood; save it as RGB")
    if kind == 5 and page.tags.valueof(332, 1) != 1:
        raise Unreadable("its inks are not CMYK")
    colors = _num_colors(kind)
    if page.samplesperpixel not in (colors, colors + 1) or (kind in (5, 8, 9) and page.samplesperpixel != colors):
        raise Unreadable(f"it has {page.samplesperpixel} channels of {_PHOTOMETRIC[kind]}, which is not understood")
    if getattr(page, "imagedepth", 1) > 1:
        raise Unreadable("it is a volume")
    for start, length in zip(page.dataoffsets, page.databytecounts, strict=True):
        if start + length > size or not length:
            raise Unreadable("it is cut off: pixels are missing")


def _num_colors(kind: int) -> int:
    return {0: 1, 1: 1, 2: 3, 3: 1, 5: 4}.get(kind, 3)


def _colors(page, channels: np.ndarray) -> Picture:
    """The picture that channels as stored stand for."""
    kind, bits = int(page.photometric), int(np.atleast_1d(page.bitspersample)[0])
    if np.issubdtype(channels.dtype, np.floating):
        channels = channels.astype(np.float32)
        if not np.isfinite(channels).all() or channels.min() < 0 or channels.max() > 1:
            if not np.isfinite(channels).all():
                raise Unreadable("some of its floats are NaN or infinite; they must be between 0 and 1")
            raise Unreadable(f"its floats go from {channels.min():g} to {channels.max():g}, not between 0 and 1")
    elif kind == 3:
        return Picture(_palette(page, channels[..., 0]))
    else:
        channels = _full_range(channels, bits)
    if kind == 5:
        return Picture(_from_cmyk(channels, None), notes=("CMYK, written as RGB",))
    if kind in (8, 9):
        return Picture(_from_lab(channels, offset=kind == 9), notes=("LAB, written as sRGB",))
    if kind == 0:
        channels = np.concatenate([np.iinfo(channels.dtype).max - channels[..., :1], channels[..., 1:]], axis=-1)
    colors = _num_colors(kind)
    notes: tuple[str, ...] = ()
    if channels.shape[-1] > colors:
        extra = int(page.extrasamples[0]) if page.extrasamples else 2
        if extra == 0 and not channels[..., colors].any():
            channels = channels[..., :colors]
            notes = ("an extra channel, empty and without a meaning, left out",)
        elif extra == 1:
            channels = _unpremultiplied(channels)
    pixels, alpha, grey = picture.from_channels(channels, num_colors=colors)
    return Picture(pixels, alpha, grey, lossless=int(page.compression) not in (6, 7), notes=notes)


def _full_range(channels: np.ndarray, bits: int) -> np.ndarray:
    """Integers of 1 to 16 bits as ones of 8 or 16 bits."""
    if bits in (8, 16):
        return channels
    most = 255 if bits < 8 else 65535
    scaled = (channels.astype(np.uint32) * most + (2**bits - 1) // 2) // (2**bits - 1)
    return scaled.astype(np.uint8 if bits < 8 else np.uint16)


def _palette(page, indices: np.ndarray) -> np.ndarray:
    colormap = np.asarray(page.colormap).T
    # Of 8 bits programs make 16 by 256 or by 257, and some leave them as they are.
    colors = colormap if colormap.max() < 256 else colormap >> 8
    return colors.astype(np.uint8)[indices.astype(np.intp)]


def _unpremultiplied(channels: np.ndarray) -> np.ndarray:
    """Colours that were multiplied by alpha as they were before."""
    whole = np.issubdtype(channels.dtype, np.integer)
    most = float(np.iinfo(channels.dtype).max) if whole else 1.0
    alpha = channels[..., -1:].astype(np.float64) / most
    colors = np.minimum(channels[..., :-1] / np.where(alpha > 0, alpha, 1.0), most)
    colors = (np.round(colors) if whole else colors).astype(channels.dtype)
    return np.concatenate([colors, channels[..., -1:]], axis=-1)


def _from_cmyk(channels: np.ndarray, profile: bytes | None) -> np.ndarray:
    from PIL import Image

    from gentoolkit.data.pictures import general

    return np.asarray(general.rgb_of_cmyk(Image.fromarray(np.ascontiguousarray(channels), "CMYK"), profile))


def _from_lab(channels: np.ndarray, *, offset: bool) -> np.ndarray:
    """CIE LAB under D50 as sRGB: lightness of full range, a and b in units of 1, or of 1/256 at 16 bits."""
    bits = 8 * channels.dtype.itemsize
    unit = 1 << (bits - 8)
    light = channels[..., 0].astype(np.float64) * 100 / np.iinfo(channels.dtype).max
    signed = channels[..., 1:].astype(np.float64)
    signed = signed - 128 * unit if offset else np.where(signed < 128 * unit, signed, signed - 256 * unit)
    a, b = signed[..., 0] / unit, signed[..., 1] / unit
    y = (light + 16) / 116
    ratios = np.stack([y + a / 500, y, y - b / 200], axis=-1)
    xyz = np.where(ratios > 6 / 29, ratios**3, 3 * (6 / 29) ** 2 * (ratios - 4 / 29))
    xyz *= (0.96422, 1.0, 0.82521)
    # D50 to linear sRGB, Bradford's adaptation included.
    matrix = [
        [3.1338561, -1.6168667, -0.4906146],
        [-0.9787684, 1.9161415, 0.0334540],
        [0.0719453, -0.2289914, 1.4052427],
    ]
    linear = np.clip(xyz @ np.asarray(matrix).T, 0, 1)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.round(encoded * np.iinfo(channels.dtype).max).astype(channels.dtype)
