"""Directories of tags, as TIFF files and the EXIF blocks of other formats hold them, byte for byte."""

import dataclasses
import struct
from collections.abc import Iterator
from typing import NamedTuple

PREFIX = b"Exif\x00\x00"
ORIENTATION, X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT = 274, 282, 283, 296
_SUBDIRECTORIES = (34665, 34853, 40965)  # EXIF, GPS, interoperability
_WIDTH, _HEIGHT = 40962, 40963  # in the EXIF directory
# Bytes of a value of each type, and of the numbers in it, whose order depends on the machine.
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_WORDS = {**_SIZES, 5: 4, 10: 4}


class Value(NamedTuple):
    """The value of a tag: its type, and its bytes with the least significant first."""

    type: int
    data: bytes


@dataclasses.dataclass(frozen=True)
class Directory:
    """Tags with their values, and the directories that tags point to."""

    values: dict[int, Value]
    below: dict[int, "Directory"] = dataclasses.field(default_factory=dict)


class _Entry(NamedTuple):
    tag: int
    type: int
    place: int  # of the value
    size: int  # of the value in bytes


class _Layout(NamedTuple):
    """How numbers are written: byte order, and the sizes of BigTIFF or of classic TIFF."""

    order: str
    big: bool

    @property
    def offset(self) -> str:
        return self.order + ("Q" if self.big else "I")

    @property
    def number(self) -> str:
        return self.order + ("Q" if self.big else "H")


def read(data: bytes) -> Directory:
    """Reads the first directory of a TIFF file or of an EXIF block.

    Raises:
      ValueError: it is broken.
    """
    data = data.removeprefix(PREFIX)
    try:
        layout, start = _header(data)
        return _directory(data, layout, start, depth=0)
    except (struct.error, IndexError) as error:
        raise ValueError(f"The tags are broken: {error}.") from error


def block(directory: Directory) -> bytes:
    """Returns an EXIF block that holds a directory."""
    return PREFIX + struct.pack("<2sHI", b"II", 42, 8) + written(directory, 8)


def written(directory: Directory, offset: int) -> bytes:
    """Returns the bytes of a directory that will stand at an offset, the least significant byte first."""
    values = dict(directory.values)
    entries = sorted([*values, *directory.below])
    length = 2 + 12 * len(entries) + 4
    table, rest = struct.pack("<H", len(entries)), b""
    for tag in entries:
        if tag in directory.below:
            place = offset + length + len(rest)
            rest += written(directory.below[tag], place)
            table += struct.pack("<HHII", tag, 4, 1, place)
            continue
        kind, data = values[tag]
        table += struct.pack("<HHI", tag, kind, len(data) // _SIZES[kind])
        if len(data) <= 4:
            table += data.ljust(4, b"\x00")
        else:
            table += struct.pack("<I", offset + length + len(rest))
            rest += data + b"\x00" * (len(data) % 2)
    return table + struct.pack("<I", 0) + rest


def upright(data: bytes, *, width: int, height: int, turned: bool) -> bytes:
    """Returns an EXIF block for pixels that were turned upright: in place, so that makers' notes stay readable.

    Args:
      data: the block.
      width: of the pixels now.
      height: of the pixels now.
      turned: whether width and height changed places.

    Returns:
      The block with orientation 1 and the new size. Its thumbnail, which shows the picture as it was, is cut off.

    Raises:
      ValueError: it is broken.
    """
    body = bytearray(data.removeprefix(PREFIX))
    try:
        layout, start = _header(body)
        entries = {entry.tag: entry for entry in _entries(body, layout, start)}
        if ORIENTATION in entries:
            _put(body, layout, entries[ORIENTATION], 1)
        if turned and X_RESOLUTION in entries and Y_RESOLUTION in entries:
            x, y = (entries[tag].place for tag in (X_RESOLUTION, Y_RESOLUTION))
            body[x : x + 8], body[y : y + 8] = body[y : y + 8], body[x : x + 8]
        if _SUBDIRECTORIES[0] in entries:
            (place,) = struct.unpack_from(layout.order + "I", body, entries[_SUBDIRECTORIES[0]].place)
            below = {entry.tag: entry for entry in _entries(body, layout, place)}
            for tag, value in ((_WIDTH, width), (_HEIGHT, height)):
                if tag in below:
                    _put(body, layout, below[tag], value)
        (count,) = struct.unpack_from(layout.number, body, start)
        struct.pack_into(layout.offset, body, start + struct.calcsize(layout.number) + count * _entry_size(layout), 0)
    except (struct.error, IndexError) as error:
        raise ValueError(f"The tags are broken: {error}.") from error
    return PREFIX + bytes(body)


def orientation(data: bytes | None) -> int:
    """Returns the orientation that an EXIF block names, 1 where it names none or is broken."""
    try:
        return int(number(read(data), ORIENTATION) or 1) if data else 1
    except ValueError:
        return 1


def number(directory: Directory, tag: int) -> float | None:
    """Returns the first number of a tag, None if there is none."""
    value = directory.values.get(tag)
    if value is None:
        return None
    if value.type in (5, 10) and len(value.data) >= 8:
        numerator, denominator = struct.unpack_from("<II" if value.type == 5 else "<ii", value.data)
        return numerator / denominator if denominator else None
    code = {1: "B", 3: "H", 4: "I", 8: "h", 9: "i", 11: "f", 12: "d", 16: "Q"}.get(value.type)
    return struct.unpack_from("<" + code, value.data)[0] if code and len(value.data) >= _SIZES[value.type] else None


def short(*values: int) -> Value:
    """Returns 16-bit numbers as a value."""
    return Value(3, struct.pack(f"<{len(values)}H", *values))


def long(*values: int) -> Value:
    """Returns 32-bit numbers as a value."""
    return Value(4, struct.pack(f"<{len(values)}I", *values))


def rational(value: float) -> Value:
    """Returns a fraction as a value."""
    return Value(5, struct.pack("<II", round(value * 10000), 10000))


def _header(data: bytes | bytearray) -> tuple[_Layout, int]:
    order = {b"II": "<", b"MM": ">"}.get(bytes(data[:2]))
    if order is None:
        raise ValueError("The tags are broken: they do not begin with a byte order.")
    (version,) = struct.unpack_from(order + "H", data, 2)
    if version not in (42, 43):
        raise ValueError(f"The tags are broken: there is no version {version}.")
    layout = _Layout(order, version == 43)
    return layout, struct.unpack_from(layout.offset, data, 8 if layout.big else 4)[0]


def _entry_size(layout: _Layout) -> int:
    return 20 if layout.big else 12


def _entries(data: bytes | bytearray, layout: _Layout, start: int) -> Iterator[_Entry]:
    (count,) = struct.unpack_from(layout.number, data, start)
    inline = 8 if layout.big else 4
    first = start + struct.calcsize(layout.number)
    for at in range(first, first + count * _entry_size(layout), _entry_size(layout)):
        tag, kind = struct.unpack_from(layout.order + "HH", data, at)
        (number,) = struct.unpack_from(layout.offset, data, at + 4)
        if kind not in _SIZES:
            continue
        place, size = at + 4 + inline, number * _SIZES[kind]
        if size > inline:
            (place,) = struct.unpack_from(layout.offset, data, place)
        if place + size <= len(data):
            yield _Entry(tag, kind, place, size)


def _directory(data: bytes, layout: _Layout, start: int, depth: int) -> Directory:
    values, below = {}, {}
    for entry in _entries(data, layout, start):
        raw = bytes(data[entry.place : entry.place + entry.size])
        if layout.order == ">" and _WORDS[entry.type] > 1:
            word = _WORDS[entry.type]
            raw = b"".join(raw[i : i + word][::-1] for i in range(0, len(raw), word))
        if entry.tag in _SUBDIRECTORIES:
            if depth < 2:
                below[entry.tag] = _directory(data, layout, int.from_bytes(raw, "little"), depth + 1)
        elif entry.type in (16, 17, 18):  # of BigTIFF alone; 32 bits hold what is kept of them
            numbers = [int.from_bytes(raw[i : i + 8], "little") for i in range(0, len(raw), 8)]
            if max(numbers, default=0) < 1 << 32:
                values[entry.tag] = long(*numbers)
        else:
            values[entry.tag] = Value(entry.type, raw)
    return Directory(values, below)


def _put(data: bytearray, layout: _Layout, entry: _Entry, value: int) -> None:
    code = {3: "H", 4: "I"}.get(entry.type)
    if code:
        struct.pack_into(layout.order + code, data, entry.place, value)
