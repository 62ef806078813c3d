"""The networks of image metrics in PyTorch, with random weights that are written to files and read by both sides."""

import contextlib
import pathlib
import zlib
from typing import Any

import numpy as np
from flax import nnx

from gentoolkit.models import weights
from gentoolkit.models.extractors import inception


def inception_state() -> dict[str, np.ndarray]:
    """Random weights under the names of pytorch-fid's file."""
    return random_state(nnx.eval_shape(inception.InceptionV3), inception.table())


def random_state(network: nnx.Module, table: weights.Table, seed: int = 0) -> dict[str, np.ndarray]:
    """Random tensors for each name of a table, the same on every machine; what passes through keeps its size."""
    shapes = {"/".join(map(str, p)): v.shape for p, v in nnx.to_flat_state(nnx.as_pure(nnx.state(network)))}
    state: dict[str, np.ndarray] = {}
    for path, entry in table.items():
        for name, shape in zip(entry.names, entry.shapes(shapes[path]), strict=True):
            rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
            if len(shape) > 1:
                x = rng.standard_normal(shape, np.float32) * np.sqrt(2 / np.prod(shape[1:]))
            elif name.endswith(("bn.weight", "running_var")):
                x = rng.uniform(0.5, 1.5, shape)
            else:
                x = 0.1 * rng.standard_normal(shape, np.float32)
            state[name] = x.astype(np.float32)
    return state


def pytorch_fid(state: dict[str, np.ndarray]) -> Any:
    """pytorch-fid's network with these weights, all four of its blocks as outputs."""
    import torch
    from pytorch_fid import inception as theirs

    tensors = {name: torch.from_numpy(x) for name, x in state.items()}
    # It fetches its weights; here they are handed to it.
    with _replaced(theirs, "load_state_dict_from_url", lambda *args, **kwargs: tensors):
        return theirs.InceptionV3((0, 1, 2, 3), resize_input=False, normalize_input=False).eval()


def torch_fidelity(path: pathlib.Path) -> Any:
    """torch-fidelity's network with the weights of a file, all of its features; it takes uint8 of 299x299."""
    from torch_fidelity import feature_extractor_inceptionv3 as theirs

    taps = list(inception.TAPS)
    return theirs.FeatureExtractorInceptionV3("inception", taps, feature_extractor_weights_path=str(path)).eval()


def torchvision(name: str, seed: int = 0) -> Any:
    """A classifier of torchvision with random weights, biases too."""
    from torchvision import models

    return _randomized(getattr(models, name)(weights=None).eval(), seed)


def lpips(name: str, version: str, seed: int = 0, *, spatial: bool = False) -> Any:
    """The distance of the package lpips, with its published heads on a random trunk."""
    import lpips as theirs

    made = theirs.LPIPS(net=name, version=version, pnet_rand=True, spatial=spatial, verbose=False)
    _randomized(made.net, seed)
    return made.eval()


def lpips_trunk(made: Any) -> dict[str, Any]:
    """The weights of lpips' trunk under the names of torchvision's file."""
    state = made.net.state_dict()
    return {f"features.{name.split('.', 1)[1]}": x for name, x in state.items()}


def lpips_heads(name: str, version: str) -> pathlib.Path:
    """The file of published heads that comes with lpips."""
    import lpips as theirs

    return pathlib.Path(theirs.__file__).parent / "weights" / f"v{version}" / f"{name}.pth"


def _randomized(module: Any, seed: int) -> Any:
    import torch

    rng = np.random.default_rng(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            shape = tuple(parameter.shape)
            scale = np.sqrt(2 / np.prod(shape[1:])) if len(shape) > 1 else 0.1
            parameter.copy_(torch.from_numpy(np.float32(scale * rng.standard_normal(shape))))
    return module


@contextlib.contextmanager
def _replaced(module: Any, name: str, value: Any):
    before = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, before)
