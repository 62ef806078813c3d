"""Pickled lists of names and numbers, such as those that come beside data sets, read without running anything.

Python's own unpickler calls what a file tells it to call. This reader knows numbers, strings, lists, tuples and
dictionaries, and the numbers of NumPy (a published `class_info.pickle` of birds holds such); of everything else that a
file asks for, it says the name and refuses. Protocols 0 to 5, and strings of Python 2.
"""

import codecs
import os
import pathlib
import struct
from typing import Any

_LARGEST = 1 << 30  # bytes of a file
_SCALARS = {(f"numpy.{core}.multiarray", "scalar") for core in ("core", "_core")}
_DTYPE, _ENCODE = ("numpy", "dtype"), ("_codecs", "encode")
# Operations with a value of fixed size behind them, as struct writes it.
_FIXED = {b"J": "<i", b"K": "<B", b"M": "<H", b"G": ">d"}
# Operations with a length, so many bytes, and what these are.
_COUNTED = {
    b"T": ("<i", "old"),
    b"U": ("<B", "old"),
    b"X": ("<I", "text"),
    b"\x8c": ("<B", "text"),
    b"\x8d": ("<Q", "text"),
    b"B": ("<I", "bytes"),
    b"C": ("<B", "bytes"),
    b"\x8e": ("<Q", "bytes"),
    b"\x8a": ("<B", "long"),
    b"\x8b": ("<i", "long"),
}
_CONSTANTS = {b"N": None, b"\x88": True, b"\x89": False}


class _Dtype:
    """A NumPy type that is mentioned: the letters of its name, and little or big."""

    def __init__(self, letters: str):
        self.letters = letters
        self.order = "<"


def read(path: str | os.PathLike[str]) -> Any:
    """Reads a pickle.

    Args:
      path: the file.

    Returns:
      Lists, tuples, dictionaries, strings, bytes, numbers. Strings of Python 2 are read as Latin-1.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: it is damaged, or asks for anything else; the message names it.
    """
    path = pathlib.Path(path)
    if path.stat().st_size > _LARGEST:
        raise ValueError(f"{str(path)!r} is larger than {_LARGEST:,} bytes: no list of names or numbers.")
    try:
        return _Reading(path.read_bytes()).value()
    except _Refused as error:
        raise ValueError(f"{str(path)!r}: {error}") from None
    except (IndexError, KeyError, TypeError, ValueError, AttributeError, OverflowError, struct.error) as error:
        raise ValueError(
            f"{str(path)!r} is damaged: no pickle of names or numbers ({type(error).__name__}: {str(error)[:100]})."
        ) from None


class _Refused(Exception):
    """The file asks for something else."""


class _Reading:
    """The bytes of a pickle, its stack and its memory. What lies above a mark is a list of its own."""

    def __init__(self, held: bytes):
        self.held, self.at = held, 0
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []
        self.memory: dict[int, Any] = {}

    def value(self) -> Any:
        while (operation := self.take(1)) != b".":
            self.step(operation)
        return self.stack.pop()

    def take(self, count: int) -> bytes:
        if count < 0 or self.at + count > len(self.held):
            raise ValueError("cut off")
        self.at += count
        return self.held[self.at - count : self.at]

    def number(self, form: str) -> Any:
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def line(self) -> bytes:
        end = self.held.index(b"\n", self.at)
        found, self.at = self.held[self.at : end], end + 1
        # Files of protocol 0 look like text, and some have travelled as such.
        return found.removesuffix(b"\r")

    def to_mark(self) -> list[Any]:
        values, self.stack = self.stack, self.below.pop()
        return values

    def step(self, operation: bytes) -> None:
        push = self.stack.append
        if operation in _FIXED:
            push(self.number(_FIXED[operation]))
        elif operation in _COUNTED:
            form, kind = _COUNTED[operation]
            push(_counted(self.take(self.number(form)), kind))
        elif operation in _CONSTANTS:
            push(_CONSTANTS[operation])
        else:
            self.other(operation, push)

    def other(self, operation: bytes, push: Any) -> None:
        match operation:
            case b"\x80":  # the protocol
                self.take(1)
            case b"\x95":  # the length of a frame
                self.take(8)
            case b"I":
                line = self.line()
                push({b"00": False, b"01": True}[line] if line in (b"00", b"01") else int(line))
            case b"L":
                push(int(self.line().removesuffix(b"L")))
            case b"F":
                push(float(self.line()))
            case b"S":
                line = self.line()
                if len(line) < 2 or line[:1] != line[-1:] or line[:1] not in b"'\"":
                    raise ValueError("a string without quotes")
                push(codecs.escape_decode(line[1:-1])[0].decode("latin-1"))
            case b"V":
                push(self.line().decode("raw-unicode-escape"))
            case b"]" | b")" | b"}":
                push({b"]": list, b")": tuple, b"}": dict}[operation]())
            case b"(":
                self.below.append(self.stack)
                self.stack = []
            case b"l" | b"t" | b"d":
                values = self.to_mark()
                if operation == b"d":
                    self.stack.append(_filled({}, values))
                else:
                    self.stack.append(values if operation == b"l" else tuple(values))
            case b"\x85" | b"\x86" | b"\x87":
                count = operation[0] - 0x84
                values = self.stack[-count:]
                if len(values) != count:
                    raise ValueError("too few values for a tuple")
                self.stack[-count:] = [tuple(values)]
            case b"a" | b"e":
                values = [self.stack.pop()] if operation == b"a" else self.to_mark()
                _a(list, self.stack[-1]).extend(values)
            case b"s" | b"u":
                values = [self.stack.pop() for _ in range(2)][::-1] if operation == b"s" else self.to_mark()
                _filled(_a(dict, self.stack[-1]), values)
            case b"p":
                self.memory[int(self.line())] = self.stack[-1]
            case b"q" | b"r":
                self.memory[self.number("<B" if operation == b"q" else "<I")] = self.stack[-1]
            case b"\x94":
                self.memory[len(self.memory)] = self.stack[-1]
            case b"g":
                push(self.memory[int(self.line())])
            case b"h" | b"j":
                push(self.memory[self.number("<B" if operation == b"h" else "<I")])
            case b"c":
                push(_known(self.line().decode(), self.line().decode()))
            case b"\x93":
                name, module = self.stack.pop(), self.stack.pop()
                push(_known(_a(str, module), _a(str, name)))
            case b"R":
                args, name = self.stack.pop(), self.stack.pop()
                push(_called(_a(_Name, name), _a(tuple, args)))
            case b"b":
                state = _a(tuple, self.stack.pop())
                _a(_Dtype, self.stack[-1]).order = {"<": "<", ">": ">", "|": "<", "=": "<"}[state[1]]
            case _:
                raise _Refused(f"it uses the operation {operation!r}, which no pickle of names or numbers needs.")


class _Name(tuple):
    """Module and name of what a file would have called."""


def _known(module: str, name: str) -> _Name:
    if (module, name) not in {*_SCALARS, _DTYPE, _ENCODE}:
        raise _Refused(
            f"it asks for {module[:60]}.{name[:60]}, and a file that may call what it names could run any code. Only "
            "lists of names and of numbers are read."
        )
    return _Name((module, name))


def _called(name: _Name, args: tuple) -> Any:
    if name == _DTYPE:
        return _Dtype(_a(str, args[0]))
    if name == _ENCODE:  # so Python 3 writes bytes for Python 2
        return _a(str, args[0]).encode("latin-1")
    dtype, held = _a(_Dtype, args[0]), args[1]
    held = held.encode("latin-1") if isinstance(held, str) else _a(bytes, held)
    kind, size = dtype.letters[:1], int(dtype.letters[1:])
    if kind not in ("i", "u", "f") or len(held) != size:
        raise ValueError(f"a number of type {dtype.letters[:20]!r} in {len(held)} bytes")
    if kind == "f":
        return struct.unpack(dtype.order + {2: "e", 4: "f", 8: "d"}[size], held)[0]
    return int.from_bytes(held, "little" if dtype.order == "<" else "big", signed=kind == "i")


def _counted(held: bytes, kind: str) -> Any:
    match kind:
        case "old":
            return held.decode("latin-1")
        case "text":
            return held.decode("utf-8", "surrogatepass")
        case "long":
            return int.from_bytes(held, "little", signed=True)
    return held


def _a(kind: type, value: Any) -> Any:
    if not isinstance(value, kind):
        raise ValueError(f"{kind.__name__} expected, {type(value).__name__} found")
    return value


def _filled(target: dict[Any, Any], values: list[Any]) -> dict[Any, Any]:
    if len(values) % 2:
        raise ValueError("a key without a value")
    for key, value in zip(values[::2], values[1::2], strict=True):
        # Keys are simple: hashing nested tuples may take for ever.
        target[key if isinstance(key, bytes | float | int | type(None)) else _a(str, key)] = value
    return target
