"""Tables from the parameters of a network to the tensors of a file, and networks that are filled by them."""

import difflib
import fnmatch
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from gentoolkit.models.weights.errors import WeightsError
from gentoolkit.models.weights.reading import Weights

Shape = tuple[int, ...]
Module = TypeVar("Module", bound=nnx.Module)


class Entry(NamedTuple):
    """How one parameter is made of tensors of a file.

    Attributes:
      names: of the tensors.
      shapes: from the parameter's shape to those that the tensors must have.
      make: from the tensors, in their order, to the parameter.
      quantized: whether tensors may be whole numbers, which `make` turns into floats by a scale of the file.
    """

    names: tuple[str, ...]
    shapes: Callable[[Shape], tuple[Shape, ...]]
    make: Callable[..., np.ndarray]
    quantized: bool = False


Table = Mapping[str, Entry]


def same(name: str) -> Entry:
    """A tensor as it stands in the file.

    Args:
      name: of the tensor.
    """
    return Entry((name,), lambda shape: (shape,), lambda tensor: tensor)


def permuted(name: str, axes: tuple[int, ...]) -> Entry:
    """A tensor whose axes stand in another order: `tensor.transpose(axes)` is the parameter.

    Args:
      name: of the tensor.
      axes: which axis of the tensor each axis of the parameter is.
    """

    def shapes(shape: Shape) -> tuple[Shape, ...]:
        return (tuple(shape[i] for i in np.argsort(axes)),) if len(shape) == len(axes) else ((),)

    return Entry((name,), shapes, lambda tensor: tensor.transpose(axes))


def convolution(name: str) -> Entry:
    """The kernel of a convolution, `[out, in, height, width]` in the file and `[height, width, in, out]` here.

    Args:
      name: of the tensor.
    """
    return permuted(name, (2, 3, 1, 0))


def transposed_convolution(name: str) -> Entry:
    """The kernel of a transposed convolution, `[in, out, height, width]` in the file, turned around here.

    Args:
      name: of the tensor.
    """

    def shapes(shape: Shape) -> tuple[Shape, ...]:
        return ((*shape[2:], *shape[:2]),)

    return Entry((name,), shapes, lambda tensor: tensor.transpose(2, 3, 0, 1)[::-1, ::-1])


def with_bias(layer: Callable[[str], Entry], path: str, name: str) -> dict[str, Entry]:
    """The two entries of a layer: `path/kernel` and `path/bias` here, `name.weight` and `name.bias` in the file.

    Args:
      layer: of this file, such as `convolution`: makes the entry of the kernel.
      path: of the layer.
      name: of the layer in the file.
    """
    return {f"{path}/kernel": layer(f"{name}.weight"), f"{path}/bias": same(f"{name}.bias")}


def linear(name: str) -> Entry:
    """The kernel of a linear map, `[out, in]` in the file and `[in, out]` here.

    Args:
      name: of the tensor.
    """
    return permuted(name, (1, 0))


def pixelwise(name: str) -> Entry:
    """The kernel of a linear map that stands in the file as a convolution of 1 x 1, `[out, in, 1, 1]`.

    Args:
      name: of the tensor.
    """
    return Entry((name,), lambda shape: ((*shape[::-1], 1, 1),), lambda tensor: tensor[:, :, 0, 0].T)


def linear_of_image(name: str, image_shape: tuple[int, int, int]) -> Entry:
    """The kernel of a linear map of a flattened image: channels first in the file, last here.

    Args:
      name: of the tensor, `[out, c * h * w]`.
      image_shape: `(h, w, c)` of what is flattened.
    """
    height, width, channels = image_shape

    def make(tensor: np.ndarray) -> np.ndarray:
        apart = tensor.reshape(-1, channels, height, width).transpose(2, 3, 1, 0)
        return apart.reshape(height * width * channels, -1)

    return Entry((name,), lambda shape: (shape[::-1],), make)


def normalized_convolution(kernel: str, norm: str, *, epsilon: float) -> tuple[Entry, Entry]:
    """Kernel and bias of a convolution with the batch normalization behind it multiplied into it (in float64).

    Args:
      kernel: name of the convolution's kernel, `[out, in, height, width]`; it has no bias of its own.
      norm: the beginning of the names of the normalization, to which PyTorch's `weight`, `bias`, `running_mean` and
        `running_var` are added.
      epsilon: what it adds to the variance.

    Returns:
      The entries of the kernel `[height, width, in, out]` and of the bias.
    """
    scale = (f"{norm}weight", f"{norm}running_var")

    def factor(weight: np.ndarray, variance: np.ndarray) -> np.ndarray:
        return np.float64(weight) / np.sqrt(np.float64(variance) + epsilon)

    def make_kernel(tensor, weight, variance):
        return np.float64(tensor).transpose(2, 3, 1, 0) * factor(weight, variance)

    def make_bias(bias, mean, weight, variance):
        return np.float64(bias) - np.float64(mean) * factor(weight, variance)

    def kernel_shapes(shape: Shape) -> tuple[Shape, ...]:
        return (shape[3], shape[2], *shape[:2]), shape[3:], shape[3:]

    return (
        Entry((kernel, *scale), kernel_shapes, make_kernel),
        Entry((f"{norm}bias", f"{norm}running_mean", *scale), lambda shape: (shape,) * 4, make_bias),
    )


def batch_norm(path: str, name: str) -> dict[str, Entry]:
    """The four entries of a batch norm with its running statistics, `scale`, `bias`, `mean` and `var` here.

    Args:
      path: of the norm.
      name: of the norm in the file, to which PyTorch's `weight`, `bias`, `running_mean` and `running_var` are added.
    """
    names = {"scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}
    return {f"{path}/{ours}": same(f"{name}.{theirs}") for ours, theirs in names.items()}


def under(prefix: str, table: Table) -> dict[str, Entry]:
    """The table of a part as a part of the whole's: paths begin with `prefix`, names in the file stay.

    Args:
      prefix: of the paths, without the slash.
      table: of the part.
    """
    return {f"{prefix}/{path}": entry for path, entry in table.items()}


def problems(module: nnx.Module, table: Table, weights: Weights, *, ignore: Iterable[str] = ()) -> list[str]:
    """Says why a file is not that of a network, by names and shapes; an empty list if it is.

    Args:
      module: the network; shapes without numbers (`nnx.eval_shape`) are enough.
      table: an entry for each of its parameters, by path.
      weights: of a file.
      ignore: tensors of the file that are not wanted, as patterns of `fnmatch`.

    Returns:
      A sentence for each tensor that is missing, surplus, of another shape, or of whole numbers where a parameter has
      floats and the table no scale for them.

    Raises:
      ValueError: the table is not that of the module: it has other paths.
    """
    shapes, floats = _shapes(module)
    near = _near(weights)
    if shapes.keys() != table.keys():
        raise ValueError(f"The table and the module differ in {sorted(shapes.keys() ^ table.keys())[:5]}.")
    found = []
    used: set[str] = set()
    for path, entry in table.items():
        for name, shape in zip(entry.names, entry.shapes(shapes[path]), strict=True):
            first, used = name not in used, used | {name}
            if name not in weights:
                if first:
                    found.append(f"{name} {list(shape)} is missing{near(name)}")
            elif weights[name].shape != shape and first:
                found.append(f"{name} has the shape {list(weights[name].shape)} and should have {list(shape)}")
            elif first and path in floats and not entry.quantized and not _is_float(weights[name].dtype):
                found.append(f"{name} is of type {weights[name].dtype}, without the scale that makes floats of it")
    patterns = tuple(ignore)
    surplus = [name for name in weights if name not in used and not any(fnmatch.fnmatch(name, p) for p in patterns)]
    return found + [f"{name} {list(weights[name].shape)} belongs to no part of the network" for name in surplus]


def assign(module: Module, table: Table, weights: Weights, *, ignore: Iterable[str] = ()) -> Module:
    """Fills a network with the weights of a file.

    Args:
      module: the network; shapes without numbers (`nnx.eval_shape`) are enough, and it is left as it is.
      table: an entry for each of its parameters, by path ("block/conv/kernel").
      weights: of a file; widened or narrowed to the dtypes of the module.
      ignore: tensors of the file that are not wanted, as patterns of `fnmatch`.

    Returns:
      A network like `module` with these weights.

    Raises:
      WeightsError: tensors are missing, surplus, of another shape, of whole numbers without a scale, or hold
        numbers that are not finite; each by name.
      ValueError: the table is not that of the module.
    """
    found = problems(module, table, weights, ignore=ignore)
    what = f"{weights.path!r} does not hold the weights of {type(module).__name__}"
    if found:
        more = f"; and {len(found) - 5} more" if len(found) > 5 else ""
        raise WeightsError(f"{what}: {'; '.join(found[:5])}{more}.")
    graphdef, state = nnx.split(module)
    flat = []
    for path, leaf in nnx.to_flat_state(nnx.as_pure(state)):
        entry = table["/".join(map(str, path))]
        array = np.asarray(entry.make(*(weights[name] for name in entry.names)))
        if array.shape != leaf.shape:
            raise ValueError(f"The table makes {array.shape} for {'/'.join(map(str, path))}, which has {leaf.shape}.")
        array = array.astype(leaf.dtype)
        if jnp.issubdtype(leaf.dtype, jnp.floating) and not np.isfinite(array.astype(np.float32)).all():
            raise WeightsError(f"{what}: {', '.join(entry.names)} hold numbers that are not finite.")
        flat.append((path, jnp.asarray(array)))
    return nnx.merge(graphdef, nnx.from_flat_state(flat))


def random(module: Module, rngs: nnx.Rngs) -> Module:
    """Fills a network with random weights that keep the size of what passes through it: a stand-in for smoke tests.

    Kernels are normal with variance 2 / fan-in (He), which suits ReLU; what ends in "bias" is small and normal; a
    parameter of one axis that is no bias is one.

    Args:
      module: the network; shapes without numbers (`nnx.eval_shape`) are enough, and it is left as it is.
      rngs: a key is taken of it.

    Returns:
      A network like `module` with these weights.
    """
    # Drawn by NumPy: compiling an initializer for each shape would take longer than everything else.
    rng = np.random.default_rng(np.asarray(jax.random.key_data(rngs.params())).tolist())
    graphdef, state = nnx.split(module)
    flat = []
    for path, leaf in nnx.to_flat_state(nnx.as_pure(state)):
        drawn = rng.standard_normal(leaf.shape, np.float32)
        if str(path[-1]).endswith("bias"):
            drawn *= 0.1
        elif len(leaf.shape) < 2:
            drawn = np.ones_like(drawn)
        else:
            drawn *= np.sqrt(2 / np.prod(leaf.shape[:-1])).astype(np.float32)
        flat.append((path, jnp.asarray(drawn, leaf.dtype)))
    return nnx.merge(graphdef, nnx.from_flat_state(flat))


def _shapes(module: nnx.Module) -> tuple[dict[str, Shape], set[str]]:
    """The shape of each parameter by its path, and the paths of those that are floats."""
    flat = {"/".join(map(str, path)): leaf for path, leaf in nnx.to_flat_state(nnx.as_pure(nnx.split(module)[1]))}
    floats = {path for path, leaf in flat.items() if _is_float(leaf.dtype)}
    return {path: tuple(leaf.shape) for path, leaf in flat.items()}, floats


def _is_float(dtype: jax.typing.DTypeLike) -> bool:
    return bool(jnp.issubdtype(dtype, jnp.floating))


def _near(weights: Weights) -> Callable[[str], str]:
    """Says which name of a file is most like one that is missing; a few times, since it is compared with all."""
    candidates = [name for name in weights if len(name) < 200][:2000]
    left = [5]

    def near(name: str) -> str:
        left[0] -= 1
        found = difflib.get_close_matches(name, candidates, n=1) if left[0] >= 0 else []
        return f" (there is {found[0]})" if found else ""

    return near
