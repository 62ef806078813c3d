"""Arrays by name from files of weights, without the framework that wrote them; no code of a file runs."""

import hashlib
import os
import pathlib
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from gentoolkit.models.weights import _torch_files
from gentoolkit.models.weights._pickle_machine import PickleError, said, shortened
from gentoolkit.models.weights.errors import WeightsError

# What training scripts call the state_dict that they save among other things.
WRAPPERS = ("state_dict", "model_state_dict", "model")
_SAFETENSORS = {
    **{"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": jnp.bfloat16, "BOOL": "?"},
    **{f"{sign}{bits}": f"<{sign.lower()}{bits // 8}" for sign in "IU" for bits in (8, 16, 32, 64)},
}
_COMPRESSED = 100  # times; weights come down to a half, and to less where most are zeros
_MANY = 100_000  # tensors; the largest networks have thousands
_VALUES = 10_000_000  # of all dictionaries and lists, arrays or not, as often as they are met
_LETTERS = 64 << 20  # of all names together
# Tensors may share a storage (tied layers) or repeat it (strides of 0), but not without end.
_TIMES, _SLACK = 8, 64 << 20  # bytes of the tensors: so many times those of the file, and so many more
_NOT_WEIGHTS = {
    b"\x89HDF": "an HDF5 file (Keras); save its arrays with numpy.savez",
    b"\x93NUMPY": "one array without a name; several arrays are saved with numpy.savez",
    b"version https://git-lfs": "a pointer of Git LFS, and not the file itself (git lfs pull)",
    b"<": "a web page, as comes of a failed download",
    b"\x1f\x8b": "a gzip archive; unpack it first",
}


class Weights(Mapping[str, np.ndarray]):
    """Arrays by name, and where they come from. The arrays are not to be written to.

    Attributes:
      path: the file.
      format: "safetensors", "npz", "flax msgpack", "torch zip", "torch legacy" or "torch script".
      sha256: of the file's bytes, in hexadecimal digits.
      within: under which key of the file the arrays lay, such as "state_dict"; empty for the file as a whole.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray], *, path: str, format: str, sha256: str, within: str = ""):
        """Takes arrays and their origin; `read` is what makes it."""
        self._arrays = dict(arrays)
        self.path, self.format, self.sha256, self.within = path, format, sha256, within

    def __getitem__(self, name: str) -> np.ndarray:
        """The array of a name."""
        return self._arrays[name]

    def __iter__(self) -> Iterator[str]:
        """Names, in the order of the file; sorted for safetensors, which have none."""
        return iter(self._arrays)

    def __len__(self) -> int:
        """How many arrays."""
        return len(self._arrays)

    def __repr__(self) -> str:
        """The file and its format, without the numbers."""
        return f"Weights({self.path!r}, {self.format}, {len(self)} arrays)"

    @property
    def named_hash(self) -> str:
        """The digits of SHA-256 that the file's own name gives, as in `vgg16-397923af.pth`; empty if it gives none."""
        found = re.search(r"-([0-9a-f]{8,64})\.\w+$", pathlib.Path(self.path).name)
        return found.group(1) if found else ""


def read(path: str | os.PathLike[str], *, within: str | None = None) -> Weights:
    """Reads a file of weights; what it is follows from its content, not from its name.

    Read are safetensors, `.npz`, msgpack of Flax (nested names joined by slashes), and what `torch.save` and
    `torch.jit.save` write (nested names joined by dots): tensors, dictionaries and numbers. A name that a pickle wants
    called is never looked up, so nothing in a file runs. Values that are not arrays are left out. A prefix `module.`
    that all names share (a model saved while it was distributed) is taken off.

    Args:
      path: the file.
      within: under which key of a torch or Flax file the arrays are, with dots for more than one level; None takes
        "state_dict", "model_state_dict" or "model", if it has one of these, and else the whole file.

    Returns:
      The arrays by name, with the file's format and SHA-256.

    Raises:
      FileNotFoundError: there is no such file.
      WeightsError: it is of another kind, damaged, asks for something that could run code, or for far more time or
        memory than its size: members that are compressed, names or tensors that are repeated without end.
    """
    where = pathlib.Path(path)
    if not where.is_file():
        raise FileNotFoundError(f"There are no weights at {os.fspath(path)!r}.")
    try:
        tree, format = _tree(where)
        chosen, arrays = _flat(tree, within, "/" if format == "flax msgpack" else ".")
        size, held = sum(array.nbytes for array in arrays.values()), where.stat().st_size
        if format.startswith("torch") and size > _TIMES * held + _SLACK:
            raise PickleError(f"its tensors lie over one another: {size:,} bytes of them in a file of {held:,}")
    except PickleError as error:
        raise WeightsError(f"{os.fspath(path)!r} cannot be read as weights: {error}.") from None
    except (OSError, ImportError):
        raise
    except Exception as error:  # whatever else a damaged file leads to is a fault of the file
        raise WeightsError(f"{os.fspath(path)!r} cannot be read as weights: it is damaged ({said(error)}).") from None
    with where.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    if arrays and format.startswith("torch") and all(name.startswith("module.") for name in arrays):
        arrays = {name.removeprefix("module."): array for name, array in arrays.items()}
    if not arrays:
        raise WeightsError(f"{os.fspath(path)!r} ({format}) holds no arrays.")
    return Weights(arrays, path=os.fspath(path), format=format, sha256=sha256, within=chosen)


def _tree(path: pathlib.Path) -> tuple[Any, str]:
    with path.open("rb") as file:
        start = file.read(32)
    if start.startswith(b"PK\x03\x04"):
        return _from_zip(path)
    if start.startswith(_torch_files.LEGACY_START):
        return _torch_files.read_legacy(path)
    if start[4:9] == b"\0\0\0\0{":
        return _from_safetensors(path), "safetensors"
    for beginning, what in _NOT_WEIGHTS.items():
        if start.startswith(beginning):
            raise PickleError(f"it is {what}")
    if start[:1] == b"\x80" and start[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        raise PickleError(
            "it is a Python pickle, which could run any code, so it is not read; save its arrays with numpy.savez"
        )
    if start and (0x80 <= start[0] <= 0x8F or start[0] in (0xDE, 0xDF)):
        return _from_msgpack(path), "flax msgpack"
    raise PickleError(
        f"it begins with {start[:8]!r}, and is no safetensors, .npz, Flax msgpack or PyTorch file, or is cut off"
    )


def _from_zip(path: pathlib.Path) -> tuple[Any, str]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            promised, held = sum(member.file_size for member in archive.infolist()), path.stat().st_size
        if any(map(_torch_files.is_tree, names)):
            return _torch_files.read_zip(path)
        if not names or not all(name.endswith(".npy") for name in names):
            raise PickleError(f"it is an archive of other files, such as {names[0] if names else 'none'!r}")
        if promised > _COMPRESSED * held + _SLACK:
            raise PickleError(
                f"it promises {promised:,} bytes in a file of {held:,}, which no weights are compressed to"
            )
        arrays = {}
        with np.load(path, allow_pickle=False) as file:
            for name in file.files:
                try:
                    arrays[name] = file[name]
                except (ValueError, OSError, EOFError, zlib.error, zipfile.BadZipFile, MemoryError) as error:
                    # NumPy advises to load what it does not know as a pickle.
                    why = "it is not an array of numbers" if "pickle" in str(error) else str(error)
                    raise PickleError(f"its array {name!r} cannot be read ({why})") from None
        return arrays, "npz"
    except (zipfile.BadZipFile, EOFError, OSError, ValueError) as error:
        if isinstance(error, PickleError):
            raise
        raise PickleError(f"its archive is cut off or damaged ({error})") from None


def _from_safetensors(path: pathlib.Path) -> dict[str, np.ndarray]:
    try:
        import safetensors
    except ImportError:
        raise ImportError("To read safetensors files, install the extra: pip install gentoolkit[weights].") from None
    try:
        entries = safetensors.deserialize(path.read_bytes())
    except safetensors.SafetensorError as error:
        raise PickleError(f"it is a damaged safetensors file, or one that is cut off ({error})") from None
    arrays = {}
    for name, entry in sorted(entries):
        if entry["dtype"] not in _SAFETENSORS:
            raise PickleError(f"its tensor {name!r} is of type {entry['dtype']}, which is not read")
        dtype = np.dtype(_SAFETENSORS[entry["dtype"]])
        arrays[name] = np.frombuffer(bytes(entry["data"]), dtype).reshape(entry["shape"])
    return arrays


def _from_msgpack(path: pathlib.Path) -> dict[str, Any]:
    from flax import serialization  # it reads names of types and bytes, never a pickle

    try:
        tree = serialization.msgpack_restore(path.read_bytes())
    except Exception as error:  # msgpack, NumPy and Flax each have their own for bytes that mean nothing
        raise PickleError(f"it is a damaged msgpack file, or one that is cut off ({error})") from None
    if not isinstance(tree, dict):
        raise PickleError("it holds no names")
    return tree


def _flat(tree: Any, within: str | None, joint: str) -> tuple[str, dict[str, np.ndarray]]:
    """Arrays by joined names, of the whole tree or of what lies under a key; and that key."""
    if not isinstance(tree, dict):
        raise PickleError("it holds one value, and not arrays by name")
    if within is None:
        bare = not any(isinstance(value, np.ndarray) for value in tree.values())
        within = next((key for key in WRAPPERS if bare and isinstance(tree.get(key), dict)), "")
    for key in within.split(".") if within else ():
        if not isinstance(tree, dict) or not isinstance(tree.get(key), dict):
            keys = sorted(key for key in tree if isinstance(key, str))[:10] if isinstance(tree, dict) else []
            raise PickleError(f"it has nothing under {within!r}; there are {', '.join(map(shortened, keys))}")
        tree = tree[key]
    arrays: dict[str, np.ndarray] = {}
    _gather(tree, "", joint, arrays, [3 * _MANY, _LETTERS, _VALUES])
    return within, arrays


def _gather(tree: dict, prefix: str, joint: str, arrays: dict[str, np.ndarray], left: list[int]) -> None:
    left[2] -= len(tree)
    if left[2] < 0:
        raise PickleError(f"its dictionaries hold one another, or more than {_VALUES:,} values")
    for key, value in tree.items():
        if not isinstance(value, np.ndarray | jnp.ndarray | dict):
            continue
        left[0] -= 1  # dictionaries that hold one another would never end
        left[1] -= len(prefix) + (len(key) if isinstance(key, str | bytes) else 20)  # before a name is made
        if left[1] < 0:
            raise PickleError(f"the names of its tensors have more than {_LETTERS:,} letters together")
        if left[0] < 0 or len(arrays) > _MANY or prefix.count(joint) > 200:
            raise PickleError("its dictionaries hold one another, or more arrays than a network has")
        if isinstance(value, np.ndarray | jnp.ndarray):
            if (name := f"{prefix}{key}") in arrays:
                raise PickleError(f"it has two tensors {shortened(name)!r}")
            array = np.asarray(value).view()
            array.flags.writeable = False
            arrays[name] = array
        elif isinstance(value, dict):
            _gather(value, f"{prefix}{key}{joint}", joint, arrays, left)
