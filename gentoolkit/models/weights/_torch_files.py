"""PyTorch's files without PyTorch: zip archives, TorchScript archives, and the legacy format before version 1.6."""

import io
import math
import pathlib
import zipfile
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from gentoolkit.models.weights import _pickle_machine as machine
from gentoolkit.models.weights._pickle_machine import Instance, Name, PickleError

LEGACY_START = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
_DTYPES = {
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "HalfStorage": "<f2",
    "BFloat16Storage": jnp.bfloat16,
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}
_LONGEST = 1000  # letters of a storage's name
_LARGEST = 2**48  # of all numbers that say where a tensor lies; their products with a size in bytes are whole numbers
_MANY = 1_000_000  # pairs of ordered dictionaries, however often one list of them is used
_REBUILD = {"_rebuild_tensor", "_rebuild_tensor_v2"}
_PARAMETER = {"_rebuild_parameter", "_rebuild_parameter_with_state"}
_DICTIONARIES = {("collections", "OrderedDict"), ("collections", "defaultdict"), ("builtins", "dict")}
# What stands beside tensors in training checkpoints and says nothing about them.
_BYSTANDERS = {
    ("torch.nn.parameter", "Parameter"),
    ("argparse", "Namespace"),
    ("_codecs", "encode"),
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    *((f"numpy.{core}.multiarray", name) for core in ("core", "_core") for name in ("scalar", "_reconstruct")),
    ("torch", "device"),
    ("torch.serialization", "_get_layout"),
    *(("torch", name) for name in "float32 float64 float16 bfloat16 int64 int32 int16 int8 uint8 bool".split()),
}


class Storage(NamedTuple):
    """A run of numbers outside the pickle; several tensors may lie in it."""

    key: str
    dtype: np.dtype
    size: int


class Tensor(NamedTuple):
    """Where in a storage a tensor lies; offset and strides in entries."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def within(self, flat: np.ndarray) -> np.ndarray:
        """The tensor in its storage's numbers: a view that cannot be written, however it overlaps itself."""
        strides = [stride * flat.dtype.itemsize for stride in self.strides]
        return np.lib.stride_tricks.as_strided(flat[self.offset :], self.shape, strides, writeable=False)


def is_tree(name: str) -> bool:
    """Whether a member of an archive is the pickle of a torch file: `data.pkl`, at most one folder deep."""
    return name.split("/")[-1] == "data.pkl" and name.count("/") < 2


def read_zip(path: pathlib.Path) -> tuple[Any, str]:
    """Reads an archive of `torch.save` or `torch.jit.save`.

    Args:
      path: the file.

    Returns:
      What it holds, as nested dicts, lists and numbers with arrays among them, and the name of the format.

    Raises:
      PickleError: it asks for something that is not read, or is damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = {member.filename: member for member in archive.infolist()}
            root = next(name for name in members if is_tree(name)).removesuffix("data.pkl")
            script = f"{root}constants.pkl" in members or any(name.startswith(f"{root}code/") for name in members)

            def content(name: str) -> bytes:
                _check_stored(members[name])
                return archive.read(members[name])

            tree = machine.run(io.BytesIO(content(f"{root}data.pkl")), _meaning(script=script))
            big = f"{root}byteorder" in members and content(f"{root}byteorder").strip() == b"big"

            def numbers(storage: Storage) -> np.ndarray:
                record = f"{root}data/{storage.key}"
                if record not in members and storage.size:
                    raise PickleError(f"its storage {record} is missing")
                size = storage.size * storage.dtype.itemsize
                if storage.size and members[record].file_size != size:
                    held = members[record].file_size
                    raise PickleError(f"its storage {record} has {held} bytes, and its pickle says {size}")
                return _numbers(content(record) if storage.size else b"", storage, big=big)

            return _materialized(tree, numbers), "torch script" if script else "torch zip"
    except PickleError:
        raise
    except Exception as error:  # zipfile, zlib and the operating system each have their own
        raise PickleError(f"its archive is cut off or damaged ({machine.said(error)})") from None


def _check_stored(member: zipfile.ZipInfo) -> None:
    """Refuses a member that is compressed, before it is read: a small archive may promise a lot."""
    name = machine.shortened(member.filename)
    if member.compress_type != zipfile.ZIP_STORED:
        raise PickleError(f"its member {name} is compressed, which torch.save never does; it is not unpacked")
    if member.file_size != member.compress_size:
        raise PickleError(f"its member {name} has two sizes")


def read_legacy(path: pathlib.Path) -> tuple[Any, str]:
    """Reads what `torch.save` wrote before version 1.6; as `read_zip`."""
    stream = io.BytesIO(path.read_bytes())
    for _ in range(3):  # magic number, version of the protocol, properties of the machine
        properties = machine.run(stream, _meaning())
    big = isinstance(properties, dict) and properties.get("little_endian") is False
    storages: dict[str, Storage] = {}
    tree = machine.run(stream, _meaning(storages))
    order = machine.run(stream, _meaning())
    if not isinstance(order, list):
        raise PickleError("its list of storages is damaged")
    parts: dict[str, np.ndarray] = {}
    for key in order:
        if not isinstance(key, str) or key not in storages:
            raise PickleError("its list of storages names one that belongs to no tensor")
        storage, count = storages[key], stream.read(8)
        if len(count) < 8 or int.from_bytes(count, "big" if big else "little") != storage.size:
            raise PickleError(f"its storage {key!r} is cut off or has another size than its pickle says")
        parts[key] = _numbers(stream.read(storage.size * storage.dtype.itemsize), storage, big=big)
    if missing := storages.keys() - parts.keys():
        raise PickleError(f"its storage {min(missing)!r} is missing")
    return _materialized(tree, lambda storage: parts[storage.key]), "torch legacy"


def _meaning(storages: dict[str, Storage] | None = None, *, script: bool = False) -> machine.Meaning:
    left = [_MANY]

    def known(name: Name) -> bool:
        in_script = script and (name.module.startswith("__torch__") or name.module == "torch.jit._pickle")
        return in_script or name.module == "torch._utils" or name in _BYSTANDERS or _is_plain(name)

    def persistent(identity: Any) -> Storage:
        if not isinstance(identity, tuple) or len(identity) < 5 or identity[0] != "storage":
            raise PickleError("its pickle names something outside that is not a storage")
        kind, key, size = identity[1], identity[2], identity[4]
        # Neither written out nor compared before its type is known: nested tuples may take for ever.
        if not isinstance(key, str) or len(key) > _LONGEST:
            raise PickleError(f"its pickle names a storage by something else than a text of up to {_LONGEST} letters")
        if not isinstance(kind, Name):
            raise PickleError(f"its storage {key!r} has no type")
        if kind.name not in _DTYPES:
            raise PickleError(f"its storage {key!r} is of type {machine.shortened(str(kind))}, which is not read")
        if type(size) is not int or not 0 <= size < _LARGEST:
            raise PickleError(f"its storage {key!r} has no proper size")
        if len(identity) > 5 and identity[5] is not None:
            raise PickleError(f"its storage {key!r} is a part of another (PyTorch before 0.4), which is not read")
        storage = Storage(key, np.dtype(_DTYPES[kind.name]), size)
        if storages is not None and storages.setdefault(key, storage) != storage:
            raise PickleError(f"its storage {key!r} is described in two ways")
        return storage

    return machine.Meaning(known, lambda name, args: _call(name, args, left), persistent)


def _is_plain(name: Name) -> bool:
    if name.module in ("torch", "torch.cuda"):
        return name.name in _DTYPES or name.name == "Size"
    return name in _DICTIONARIES or name == ("torch._tensor", "_rebuild_from_type_v2")


def _call(name: Name, args: tuple, left: list[int]) -> Any:
    if name in _DICTIONARIES:
        return {} if name.name == "defaultdict" else _pairs(args, left)
    if name.module == "torch._utils":
        return _rebuilt(name, args)
    if name == ("torch._tensor", "_rebuild_from_type_v2"):
        if len(args) < 3 or not isinstance(args[0], Name) or args[0].module != "torch._utils":
            raise PickleError("it rebuilds a tensor in a way that is not read")
        return _rebuilt(args[0], args[2])
    if name.module == "torch.jit._pickle" or name == ("torch", "Size"):
        # Lists of numbers, strings or tensors, and a value with its type.
        return args[0] if args else ()
    return Instance(name)


def _pairs(args: tuple, left: list[int]) -> dict:
    pairs = args[0] if args else []
    left[0] -= len(pairs) if isinstance(pairs, list) else 0
    if left[0] < 0:
        raise PickleError(f"its pickle has ordered dictionaries of more than {_MANY:,} pairs")
    if not isinstance(pairs, list) or not all(map(_is_pair, pairs)):
        raise PickleError("its pickle has an ordered dictionary of something else than pairs")
    return {pair[0]: pair[1] for pair in pairs}


def _is_pair(pair: Any) -> bool:
    return isinstance(pair, list | tuple) and len(pair) == 2 and isinstance(pair[0], str | int)


def _rebuilt(name: Name, args: Any) -> Tensor:
    if name.name in _PARAMETER and args and isinstance(args[0], Tensor):
        return args[0]
    if name.name not in _REBUILD:
        asked = machine.shortened(str(name))
        raise PickleError(f"it asks for {asked}: of tensors, the dense ones without quantization are read")
    if not isinstance(args, tuple) or len(args) < 4 or not isinstance(args[0], Storage):
        raise PickleError("its pickle is damaged: a tensor without a storage")
    storage, offset, shape, strides = args[:4]
    if not (_are_sizes(shape) and _are_sizes(strides) and _are_sizes((offset,))) or len(shape) != len(strides):
        raise PickleError("its pickle is damaged: a tensor without a proper shape")
    shape, strides = tuple(shape), tuple(strides)
    if math.prod(max(size, 1) for size in shape) >= _LARGEST:
        raise PickleError(f"a tensor of shape {shape} is larger than any memory")
    last = offset + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
    if 0 not in shape and last >= storage.size:
        raise PickleError(f"a tensor of shape {shape} reaches beyond its storage {storage.key!r} of {storage.size}")
    return Tensor(storage, min(offset, storage.size), shape, strides)


def _are_sizes(values: Any) -> bool:
    short = isinstance(values, list | tuple) and len(values) <= 32  # asked first: one long list may be used many times
    return short and all(type(n) is int and 0 <= n < _LARGEST for n in values)


def _numbers(content: bytes, storage: Storage, *, big: bool) -> np.ndarray:
    if len(content) != storage.size * storage.dtype.itemsize:
        raise PickleError(f"its storage {storage.key!r} is cut off")
    flat = np.frombuffer(content, storage.dtype)
    return flat.byteswap() if big else flat


def _materialized(tree: Any, numbers) -> Any:
    """The tree with arrays for tensors, and dicts for instances; each storage is read once."""
    storages: dict[str, tuple[Storage, np.ndarray]] = {}
    done: dict[int, Any] = {}

    def array(tensor: Tensor) -> np.ndarray:
        key = tensor.storage.key
        if key not in storages:
            storages[key] = tensor.storage, numbers(tensor.storage)
        if storages[key][0] != tensor.storage:
            raise PickleError(f"its storage {key!r} is described in two ways")
        return tensor.within(storages[key][1])

    def walk(node: Any, depth: int) -> Any:
        if depth > 100:
            raise PickleError("it is nested more than 100 deep")
        if isinstance(node, Tensor):
            return array(node)
        if isinstance(node, Instance):
            node = node.state if isinstance(node.state, dict) else {}
        if not isinstance(node, dict | list | tuple):
            return node
        if id(node) not in done:  # one that holds itself, or is held in many places, is walked once
            done[id(node)] = made = {}
            pairs = node.items() if isinstance(node, dict) else enumerate(node)
            made.update({key: walk(value, depth + 1) for key, value in pairs})
        return done[id(node)]

    return walk(tree, 0)
