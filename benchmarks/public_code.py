"""Networks beside checkouts of their public code, on the same random weights: what the commands of parity share.

A command names checks by the folder of their repository (`compare`). A check imports a file of it (`imported`), makes
its network restless, moves the weights over by our table (`moved`) and hands both outputs back. Weights go through a
file, as published ones do.
"""

import contextlib
import importlib.util
import pathlib
import sys
import tempfile
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from flax import nnx

from benchmarks import machine, targets
from gentoolkit.models import weights

PEERS = flags.DEFINE_string("peers", "", "Folder with checkouts of the public repositories.")
LIMIT = 1e-4


class Found(NamedTuple):
    """One comparison.

    Attributes:
      what: was compared.
      ours: our outputs, a pytree.
      theirs: the peer's, tensors in lists and tuples, in the same order; images with the channels first.
      count: our number of parameters.
      their_count: theirs.
      without: those of theirs that ours has no use for, as the name of the comparison says.
    """

    what: str
    ours: Any
    theirs: Any
    count: int
    their_count: int
    without: int = 0


class Check(NamedTuple):
    """Comparisons with one file of public code.

    Attributes:
      folder: of the repository, below `--peers`.
      file: inside it.
      run: from its path to comparisons.
      needs: modules that the file imports.
    """

    folder: str
    file: str
    run: Callable[[pathlib.Path], Iterator[Found]]
    needs: tuple[str, ...] = ("torch",)


def compare(checks: Iterable[Check]) -> int:
    """Prints a Markdown table of comparisons, and what is absent.

    Args:
      checks: to run.

    Returns:
      How many differ by more than `LIMIT`, relative to the largest value, or in their number of parameters.
    """
    print("| public code | what | parameters | theirs | largest difference, relative | |\n|---|---|---|---|---|---|")
    missed = 0
    for folder, file, run, needs in checks:
        path = pathlib.Path(PEERS.value).expanduser() / folder / file
        missing = [module for module in needs if not machine.installed(module)]
        if missing:
            print(f"| {folder} | absent: {', '.join(missing)} is not installed | | | | |")
            continue
        if not PEERS.value or not path.is_file():
            print(f"| {folder} | absent: {folder}/{file} is not below --peers | | | | |")
            continue
        for found in run(path):
            gap = difference(found.ours, found.theirs)
            met = gap <= LIMIT and found.count == found.their_count - found.without
            missed += not met
            theirs = f"{found.their_count:,}" + (f" - {found.without:,}" if found.without else "")
            line = (folder, found.what, f"{found.count:,}", theirs, f"{gap:.1e}", targets.verdict(met))
            print(f"| {' | '.join(line)} |", flush=True)
    return missed


def restless(peer: Any) -> Any:
    """Gives a PyTorch module random weights that keep the size of what passes, and switches it to evaluation.

    Biases and running statistics too: what begins at 0 or 1 would hide what is left out.
    """
    import torch

    torch.manual_seed(0)
    peer.eval()
    norms = {n for n, module in peer.named_modules() if isinstance(module, torch.nn.modules.batchnorm._BatchNorm)}
    with torch.no_grad():
        for name, parameter in peer.named_parameters():
            scale = 0.1 if parameter.ndim < 2 else np.sqrt(2 / np.prod(parameter.shape[1:]))
            owner, _, last = name.rpartition(".")
            factor = last == "gamma" or (last == "weight" and owner in norms)
            parameter.copy_(torch.randn_like(parameter) * scale + (1.0 if factor else 0.0))
        for name, buffer in peer.named_buffers():
            if name.endswith("running_mean"):
                buffer.copy_(torch.randn_like(buffer) * 0.1)
            elif name.endswith("running_var"):
                buffer.copy_(torch.rand_like(buffer) + 0.5)
    return peer


def moved(
    peer: Any,
    make: Callable[..., nnx.Module],
    table: weights.Table,
    *,
    parts: tuple[str, ...] = ("",),
    ignore: tuple[str, ...] = (),
) -> tuple[nnx.Module, int, int]:
    """Moves the weights of a peer into our network, through a file.

    Args:
      peer: a PyTorch module.
      make: our network, by its `rngs`.
      table: from our parameters to the names of theirs.
      parts: beginnings of the names that are meant.
      ignore: tensors that are not wanted, as patterns of `fnmatch`.

    Returns:
      Our network in evaluation mode, its number of parameters, and theirs.
    """
    import torch

    state = {n: p for n, p in peer.state_dict().items() if n.startswith(parts)}
    with tempfile.TemporaryDirectory() as folder:
        torch.save(state, path := pathlib.Path(folder) / "weights.pth")
        shapes = nnx.eval_shape(lambda: make(rngs=nnx.Rngs(0)))
        module = weights.assign(shapes, table, weights.read(path), ignore=ignore)
    module.eval()
    count = sum(x.size for x in jax.tree.leaves(nnx.state(module, nnx.Param)))
    return module, count, sum(p.numel() for n, p in peer.named_parameters() if n.startswith(parts))


def run(module: nnx.Module, *inputs: np.ndarray, call: Callable[..., Any] | None = None) -> Any:
    """Runs our network (or a function of it and the inputs) in one compiled program."""
    graphdef, state = nnx.split(module)
    call = call or (lambda module, *inputs: module(*inputs))
    return jax.jit(lambda state, *inputs: call(nnx.merge(graphdef, state), *inputs))(state, *map(jnp.asarray, inputs))


def difference(ours: Any, theirs: Any) -> float:
    """The largest difference of any output over the largest value of the peer's.

    Args:
      ours: a pytree.
      theirs: tensors in lists and tuples, images with the channels first.

    Returns:
      The number.

    Raises:
      AssertionError: another number of outputs, or other shapes.
    """
    largest = 0.0
    for one, other in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        other = other.detach().numpy()
        other = other.transpose(0, 2, 3, 1) if other.ndim == 4 else other
        if one.shape != other.shape:
            raise AssertionError(f"shapes {one.shape} and {other.shape}")
        largest = max(largest, float(np.abs(np.asarray(one) - other).max() / np.abs(other).max()))
    return largest


def images(height: int, width: int, num: int = 2) -> np.ndarray:
    """Random pictures `[num, height, width, 3]` in [-1, 1]."""
    return np.random.default_rng(0).uniform(-1, 1, (num, height, width, 3)).astype(np.float32)


def tensor(x: np.ndarray) -> Any:
    """An array as the peer takes it, images with the channels first."""
    import torch

    return torch.from_numpy(np.ascontiguousarray(x.transpose(0, 3, 1, 2) if x.ndim == 4 else x))


def imported(path: pathlib.Path, stand_ins: Mapping[str, types.ModuleType] | None = None) -> types.ModuleType:
    """Imports a file of public code by its path.

    Args:
      path: of the file.
      stand_ins: modules that it asks for, by the names it has for them; "peer.NAME" for a neighbour (`from .NAME`).

    Returns:
      The module, which is in no table of modules afterwards.
    """
    package = types.ModuleType("peer")
    package.__path__ = []
    with _present({"peer": package, **(stand_ins or {})}):
        spec = importlib.util.spec_from_file_location(f"peer.{path.stem}", path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return module


def module_of(name: str, **attributes: Any) -> types.ModuleType:
    """A stand-in for a module."""
    made = types.ModuleType(name)
    vars(made).update(attributes)
    return made


@contextlib.contextmanager
def _present(modules: Mapping[str, types.ModuleType]) -> Iterator[None]:
    before = {name: sys.modules.get(name) for name in modules}
    sys.modules |= modules
    try:
        yield
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module
