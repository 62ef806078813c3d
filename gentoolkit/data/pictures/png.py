"""PNG files of 8 and 16 bits, with the chunks that hold whatever the pixels are."""

import struct
import zlib

import numpy as np

from gentoolkit.data.pictures import exif, picture
from gentoolkit.data.pictures.picture import Metadata, Picture, Unreadable

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Besides those that may be copied whatever the pixels are (the fourth letter is small): colour, which a program that
# changes brightness does not change.
_COLOR = (b"gAMA", b"cHRM", b"sRGB", b"cICP", b"mDCV", b"cLLI")
_XMP = b"XML:com.adobe.xmp\x00"
_USUAL_GAMMA = 0.45455
_INCHES = 39.3701  # of a metre
_OLD_EXIF = (b"Raw profile type exif\x00", b"Raw profile type APP1\x00")


def is_png(data: bytes) -> bool:
    """Whether a file begins as one."""
    return data.startswith(_SIGNATURE)


def read(data: bytes) -> Picture:
    """Reads a file of one photograph.

    Raises:
      Unreadable: it is broken, or an animation.
    """
    import imagecodecs

    chunks = _chunks(data)
    header = chunks[0][1]
    if chunks[0][0] != b"IHDR" or len(header) != 13:
        raise Unreadable("its header is broken")
    bits, kind = header[8], header[9]
    frames = next((content[:4] for name, content in chunks if name == b"acTL"), b"")
    if int.from_bytes(frames) > 1:
        raise Unreadable(f"it is an animation of {int.from_bytes(frames)} frames, and one photograph a file is read")
    transparent = next((content for name, content in chunks if name == b"tRNS"), None)
    if bits == 16:
        channels = imagecodecs.png_decode(data)
        channels = channels.reshape(*channels.shape[:2], -1)
        channels = _with_alpha(channels, 1 if kind in (0, 4) else 3, transparent)
        pixels, alpha, grey = picture.from_channels(channels, num_colors=1 if kind in (0, 4) else 3)
    else:
        from gentoolkit.data.pictures import general

        pixels, alpha, grey = general.decoded(data, "PNG")
    said = _metadata(chunks)
    return picture.turned(Picture(pixels, alpha, grey, metadata=said), exif.orientation(said.exif))


def write(shown: Picture) -> bytes:
    """Returns a file."""
    import imagecodecs

    channels = picture.to_channels(shown)
    # The encoder's own guess of the size is too small for thin images, which a byte for each row makes longer.
    room = 2 * channels.nbytes + len(channels) + 4096
    encoded = imagecodecs.png_encode(channels[..., 0] if channels.shape[-1] == 1 else channels, level=6, out=room)
    chunks = [(name, content) for name, content in _chunks(bytes(encoded)) if name in (b"IHDR", b"IDAT", b"IEND")]
    said = shown.metadata
    kept = list(said.chunks)
    if said.icc_profile:
        kept.append((b"iCCP", b"ICC profile\x00\x00" + zlib.compress(said.icc_profile)))
    if said.dpi:
        kept.append((b"pHYs", struct.pack(">IIB", *(round(side * _INCHES) for side in said.dpi), 1)))
    if said.exif:
        kept.append((b"eXIf", said.exif.removeprefix(exif.PREFIX)))
    if said.xmp:
        kept.append((b"iTXt", _XMP + b"\x00\x00\x00\x00" + said.xmp))
    parts = [chunks[0], *kept, *chunks[1:]]
    return _SIGNATURE + b"".join(
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        for name, content in parts
    )


def gamma(said: Metadata) -> float | None:
    """Returns the exponent of the file's encoding, None where it is the usual one or a better account is there."""
    content = said.chunk(b"gAMA")
    if content is None or said.icc_profile or said.chunk(b"sRGB") or said.chunk(b"cICP"):
        return None
    value = struct.unpack(">I", content)[0] / 100000
    return value if value > 0 and abs(value - _USUAL_GAMMA) > 0.005 else None


def with_usual_gamma(shown: Picture) -> Picture:
    """Applies the gamma of a PNG file, for a format that cannot say it."""
    value = gamma(shown.metadata)
    if value is None:
        return shown
    exponent = _USUAL_GAMMA / value
    if not np.issubdtype(shown.pixels.dtype, np.integer):
        return shown._replace(pixels=shown.pixels**exponent)
    most = np.iinfo(shown.pixels.dtype).max
    table = np.round(most * (np.arange(most + 1) / most) ** exponent).astype(shown.pixels.dtype)
    return shown._replace(pixels=table[shown.pixels])


def only_here(said: Metadata) -> list[str]:
    """Returns the chunks that other formats cannot have; gamma is applied for them."""
    return sorted({name.decode("latin-1") for name, _ in said.chunks if name not in (b"gAMA", b"sRGB", b"cHRM")})


def _chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    chunks, place = [], len(_SIGNATURE)
    while True:
        if place + 12 > len(data):
            raise Unreadable("it is cut off")
        (length,) = struct.unpack_from(">I", data, place)
        name, content = data[place + 4 : place + 8], data[place + 8 : place + 8 + length]
        place += 12 + length
        if place > len(data):
            raise Unreadable("it is cut off")
        if zlib.crc32(name + content) != struct.unpack_from(">I", data, place - 4)[0]:
            raise Unreadable(f"its part {name.decode('latin-1')} is broken")
        chunks.append((name, content))
        if name == b"IEND":
            return chunks


def _with_alpha(channels: np.ndarray, colors: int, transparent: bytes | None) -> np.ndarray:
    """Adds the alpha of a file of 16 bits that names one colour as transparent."""
    if transparent is None or channels.shape[-1] != colors:
        return channels
    color = np.frombuffer(transparent, ">u2").astype(np.uint16)
    alpha = np.where((channels == color).all(-1, keepdims=True), 0, 65535).astype(np.uint16)
    return np.concatenate([channels, alpha], axis=-1)


def _metadata(chunks: list[tuple[bytes, bytes]]) -> Metadata:
    kept, exif_block, profile, packet, dpi = [], None, None, None, None
    for name, content in chunks:
        if name == b"eXIf":
            exif_block = exif.PREFIX + content.removeprefix(exif.PREFIX)
        elif name == b"iCCP":
            profile = _inflated(content.split(b"\x00", 1)[-1][1:])
        elif name == b"pHYs" and len(content) == 9 and content[8] == 1:
            across, down = struct.unpack_from(">II", content)
            dpi = (across / _INCHES, down / _INCHES)
        elif name == b"iTXt" and content.startswith(_XMP):
            compressed, *_ = content.removeprefix(_XMP)
            text = content.removeprefix(_XMP)[2:].split(b"\x00", 2)[-1]
            packet = _inflated(text) if compressed else text
        elif name in (b"zTXt", b"tEXt") and content.startswith(_OLD_EXIF):
            exif_block = exif_block or _old_exif(name, content)
        elif name in _COLOR or (name[0:1].islower() and name[3:4].islower() and name != b"tIME"):
            kept.append((name, content))
    return Metadata(exif=exif_block, icc_profile=profile, xmp=packet, dpi=dpi, chunks=tuple(kept))


def _old_exif(name: bytes, content: bytes) -> bytes | None:
    """The EXIF block that ImageMagick wrote as text, in hexadecimal digits after a name and a length."""
    text: bytes | None = content.split(b"\x00", 1)[1]
    text = _inflated(text[1:]) if text is not None and name == b"zTXt" else text
    lines = (text or b"").split()
    try:
        return exif.PREFIX + bytes.fromhex(b"".join(lines[2:]).decode("ascii")).removeprefix(exif.PREFIX)
    except ValueError:
        return None


def _inflated(data: bytes) -> bytes | None:
    try:
        return zlib.decompress(data)
    except zlib.error:
        return None
