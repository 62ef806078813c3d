"""A machine for the pickles of weight files, in which no name of a file ever becomes code.

Python's own unpickler calls what a file tells it to call. This one knows a name only as two strings: whether a call of
it means something (a tensor, a dictionary) is decided by the reader of the format, and everything else is refused.
"""

import io
import pickletools
from collections.abc import Callable, Hashable
from typing import Any, NamedTuple

_KEYS = (str, int, float, bytes, bool, type(None))
_MANY = 10_000_000  # operations; a hundred thousand tensors take seven million


class Name(NamedTuple):
    """A class or function that a pickle mentions; never looked up."""

    module: str
    name: str

    def __str__(self):
        """As it is written in Python."""
        return f"{self.module}.{self.name}"


class Instance:
    """What a pickle makes of a name that has no meaning here: its name, and the state that was given to it."""

    def __init__(self, name: Name):
        """An instance without a state."""
        self.name = name
        self.state: Any = None


class PickleError(ValueError):
    """The pickle is cut off, damaged, or asks for something that no file of weights needs."""


class Meaning(NamedTuple):
    """What names and storages of a format mean.

    Attributes:
      known: whether a name may occur at all.
      call: `(name, args) -> value` for a name that is called.
      persistent: `(identity) -> value` for what lies outside the pickle.
    """

    known: Callable[[Name], bool]
    call: Callable[[Name, tuple], Any]
    persistent: Callable[[Any], Any]


def run(stream: io.BytesIO, meaning: Meaning) -> Any:
    """Runs one pickle, from where the stream stands to its end.

    Args:
      stream: of bytes; it stands behind the pickle afterwards.
      meaning: of names and storages.

    Returns:
      Numbers, strings, lists, tuples, dicts, and what `meaning` makes.

    Raises:
      PickleError: see there.
    """
    machine = _Machine(meaning)
    try:
        for number, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
            if opcode.name == "STOP":
                return machine.pop()
            if number >= _MANY:
                raise PickleError(f"its pickle has more than {_MANY:,} operations")
            machine.step(opcode.name, argument)
    except PickleError:
        raise
    except Exception as error:  # bytes that mean nothing have an error of every kind
        raise PickleError(f"its pickle is cut off or damaged ({said(error)})") from None
    raise PickleError("its pickle is cut off")


def said(error: Exception) -> str:
    """An error as a few words; what it says of a hostile file may be long."""
    return shortened(f"{type(error).__name__}: {error}")


def shortened(text: str) -> str:
    """A text that fits into a message."""
    return text if len(text) <= 200 else f"{text[:200]}..."


_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_VALUES = set(
    "INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT STRING BINSTRING SHORT_BINSTRING UNICODE BINUNICODE "
    "SHORT_BINUNICODE BINUNICODE8 BINBYTES SHORT_BINBYTES BINBYTES8".split()
)
_EMPTY: dict[str, Callable[[], Any]] = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}


class _Machine:
    """The stack and the memory of a pickle.

    What lies above a mark is a stack of its own: a scan for the last mark would make a file of marks and values
    take time that grows with its square.
    """

    def __init__(self, meaning: Meaning):
        self.meaning = meaning
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []
        self.memory: dict[int, Any] = {}

    def pop(self) -> Any:
        return self.stack.pop()

    def to_mark(self) -> list[Any]:
        """Takes all above the last mark, and the mark."""
        values, self.stack = self.stack, self.below.pop()
        return values

    def step(self, operation: str, argument: Any) -> None:
        push = self.stack.append
        match operation:
            case "PROTO" | "FRAME":
                pass
            case _ if operation in _CONSTANTS:
                push(_CONSTANTS[operation])
            case _ if operation in _VALUES:
                push(argument)
            case _ if operation in _EMPTY:
                push(_EMPTY[operation]())
            case "MARK":
                self.below.append(self.stack)
                self.stack = []
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                push(tuple([self.pop() for _ in range(int(operation[-1]))][::-1]))
            case "TUPLE":
                values = self.to_mark()
                self.stack.append(tuple(values))
            case "LIST":
                values = self.to_mark()
                self.stack.append(values)
            case "DICT":
                values = self.to_mark()
                self.stack.append(_filled({}, values))
            case "APPEND":
                value = self.pop()
                _a(list, self.stack[-1]).append(value)
            case "APPENDS":
                values = self.to_mark()
                _a(list, self.stack[-1]).extend(values)
            case "SETITEM":
                values = [self.pop() for _ in range(2)][::-1]
                _filled(_a(dict, self.stack[-1]), values)
            case "SETITEMS":
                values = self.to_mark()
                _filled(_a(dict, self.stack[-1]), values)
            case "POP":
                self.stack.pop()
            case "POP_MARK":
                self.to_mark()
            case "DUP":
                push(self.stack[-1])
            case "PUT" | "BINPUT" | "LONG_BINPUT":
                self.memory[int(argument)] = self.stack[-1]
            case "MEMOIZE":
                self.memory[len(self.memory)] = self.stack[-1]
            case "GET" | "BINGET" | "LONG_BINGET":
                push(self.memory[int(argument)])
            case "GLOBAL":
                push(self.name(*argument.split(" ", 1)))
            case "STACK_GLOBAL":
                name, module = self.pop(), self.pop()
                push(self.name(_a(str, module), _a(str, name)))
            case "REDUCE" | "NEWOBJ":
                args, name = self.pop(), self.pop()
                push(self.meaning.call(_a(Name, name), _a(tuple, args)))
            case "BUILD":
                state = self.pop()
                # The state of anything else (the versions in a state_dict, the attributes of a parameter) says nothing.
                if isinstance(self.stack[-1], Instance):
                    self.stack[-1].state = state
            case "BINPERSID":
                push(self.meaning.persistent(self.pop()))
            case _:
                raise PickleError(f"its pickle uses {operation}, which no file of weights needs")

    def name(self, module: str, name: str) -> Name:
        found = Name(module, name)
        if not self.meaning.known(found):
            raise PickleError(
                f"it asks for {shortened(str(found))}, and a file that may call what it names could run any code. Only "
                "tensors, dictionaries and numbers are read: if you trust the file, save its state_dict alone, best as "
                "safetensors"
            )
        return found


def _a(kind: type, value: Any) -> Any:
    """The value, if it is of a kind."""
    if not isinstance(value, kind):
        raise PickleError(f"its pickle is damaged: {kind.__name__} expected, {type(value).__name__} found")
    return value


def _filled(target: dict[Hashable, Any], values: list[Any]) -> dict[Hashable, Any]:
    """Puts keys and values in turn into a dict. Keys are simple: hashing nested tuples may take for ever."""
    if len(values) % 2:
        raise PickleError("its pickle is damaged: a key without a value")
    for key, value in zip(values[::2], values[1::2], strict=True):
        if not isinstance(key, _KEYS):
            raise PickleError(f"its pickle has a key of type {type(key).__name__}")
        target[key] = value
    return target
