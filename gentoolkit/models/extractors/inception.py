"""Inception v3 as FID, KID and the Inception score use it: the network of 2015-12-05, which is not torchvision's."""

import os
from collections.abc import Iterator, Sequence
from typing import Self

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from gentoolkit.models import weights
from gentoolkit.models.extractors import _layers
from gentoolkit.models.extractors._layers import Convolution

TAPS = ("64", "192", "768", "2048", "logits", "logits_unbiased")
FILE = "pt_inception-2015-12-05-6726825d.pth"
# pytorch-fid's file, and NVIDIA's `inception-2015-12-05.pt` (StyleGAN2-ADA and later, clean-fid).
PUBLISHED = ("6726825d", "f58cb9b6ec323ed6")
_LEAST = 75  # pixels; the last pool of strided layers has nothing to do below


class Trunk(nnx.Module):
    """The convolutions of Inception v3: as the Fréchet Inception distance has it, of 2015, or as torchvision has it.

    References:
      Szegedy et al. (2016), "Rethinking the Inception architecture for computer vision".
    """

    def __init__(self, *, torchvision: bool = False):
        """Makes the layers, with zeros for weights.

        Args:
          torchvision: whether mean pools count what lies outside the image as zeros, and the last block pools by means.
        """
        outside = {"outside": torchvision}
        self.conv2d_1a_3x3 = Convolution(3, 32, 3, stride=2)
        self.conv2d_2a_3x3 = Convolution(32, 32, 3)
        self.conv2d_2b_3x3 = Convolution(32, 64, 3, padding=1)
        self.conv2d_3b_1x1 = Convolution(64, 80, 1)
        self.conv2d_4a_3x3 = Convolution(80, 192, 3)
        self.mixed_5b = _BlockA(192, 32, **outside)
        self.mixed_5c = _BlockA(256, 64, **outside)
        self.mixed_5d = _BlockA(288, 64, **outside)
        self.mixed_6a = _BlockB(288)
        self.mixed_6b = _BlockC(768, 128, **outside)
        self.mixed_6c = _BlockC(768, 160, **outside)
        self.mixed_6d = _BlockC(768, 160, **outside)
        self.mixed_6e = _BlockC(768, 192, **outside)
        self.mixed_7a = _BlockD(768)
        self.mixed_7b = _BlockE(1280, **outside)
        self.mixed_7c = _BlockE(2048, by_maxima=not torchvision, **outside)

    def stages(self, images: jax.Array) -> Iterator[tuple[str, jax.Array]]:
        """Maps images to feature maps, one after the other, so that layers behind the last one wanted are not run.

        Args:
          images: `[b, h, w, 3]`, float32 RGB in [-1, 1].

        Yields:
          "64", "192", "768" and "2048", each with its map `[b, h', w', d]`: 73, 35, 17 and 8 pixels wide of 299.
        """
        x = images
        for layer in (self.conv2d_1a_3x3, self.conv2d_2a_3x3, self.conv2d_2b_3x3):
            x = nnx.relu(layer(x))
        yield "64", (x := _layers.max_pool(x, 3, 2))
        x = nnx.relu(self.conv2d_4a_3x3(nnx.relu(self.conv2d_3b_1x1(x))))
        yield "192", (x := _layers.max_pool(x, 3, 2))
        x = self.mixed_5d(self.mixed_5c(self.mixed_5b(x)))
        x = self.mixed_6e(self.mixed_6d(self.mixed_6c(self.mixed_6b(self.mixed_6a(x)))))
        yield "768", x
        yield "2048", self.mixed_7c(self.mixed_7b(self.mixed_7a(x)))


class InceptionV3(Trunk):
    """Inception v3 with the weights of the original Fréchet Inception distance, for images in [-1, 1], 299x299.

    It departs from torchvision's network in three ways: its mean pools leave what lies outside the image out of the
    count, the last block pools by maxima, and it has 1,008 classes and no auxiliary head. The batch normalizations
    (epsilon 1e-3) are multiplied into the convolutions when the weights are read.

    Attributes:
      origin: which weights it has.

    References:
      Szegedy et al. (2016), "Rethinking the Inception architecture for computer vision".
      Heusel et al. (2017), "GANs trained by a two time-scale update rule converge to a local Nash equilibrium".
    """

    def __init__(self, *, origin: weights.Origin = weights.UNFILLED):
        """Makes the layers, with zeros for weights; `load` and `random` are what fills them.

        Args:
          origin: which weights it will have.
        """
        super().__init__()
        self.origin = origin
        self.fc = _layers.Linear(2048, 1008)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Reads the weights.

        Args:
          path: of `pt_inception-2015-12-05-6726825d.pth` (pytorch-fid), which torch-fidelity hosts as
            `weights-inception-2015-12-05-6726825d.pth`, of NVIDIA's `inception-2015-12-05.pt`, or of a conversion of
            one of them that keeps the names.

        Returns:
          The network.

        Raises:
          FileNotFoundError: there is no such file.
          weights.WeightsError: the file cannot be read, or holds another network; torchvision's is told apart.
        """
        file = weights.read(path)
        if any(name.startswith("AuxLogits.") for name in file) or _classes(file) == 1000:
            raise weights.WeightsError(
                f"{file.path!r} holds torchvision's Inception v3 (1,000 classes), from another training run: "
                f"figures by it are not FID, KID or IS as published. They need {FILE} (SHA-256 {PUBLISHED[0]}...)."
            )
        origin = weights.of_file("inception-v3-fid", file, published=PUBLISHED)
        return weights.assign(nnx.eval_shape(lambda: cls(origin=origin)), table_of(file), file, ignore=IGNORED)

    @classmethod
    def random(cls, rngs: nnx.Rngs) -> Self:
        """The network with random weights, for smoke tests.

        Args:
          rngs: of the weights.
        """
        origin = weights.of_random("inception-v3-fid")
        return weights.random(nnx.eval_shape(lambda: cls(origin=origin)), rngs)

    def __call__(self, images: jax.Array, taps: Sequence[str] = ("2048",)) -> dict[str, jax.Array]:
        """Maps images to features.

        Args:
          images: `[b, h, w, 3]`, RGB in [-1, 1], at least 75x75; meant for 299x299.
          taps: which: "64" (behind the first pool), "192" (behind the second), "768" (before the last strided block),
            "2048" (the last features), "logits" and "logits_unbiased" (without the bias, as the Inception score
            takes them). The layers behind the last one are not run.

        Returns:
          For each tap `[b, d]` in float32, the mean over pixels: d is the tap's name, and 1,008 for logits.

        Raises:
          ValueError: images of another shape, or another tap.
          TypeError: images of integers.
        """
        wanted = _layers.check_taps(taps, TAPS)
        x = _layers.as_images(images, least=_LEAST, says="in [-1, 1]")
        means: dict[str, jax.Array] = {}
        for tap, maps in self.stages(x):
            means[tap] = jnp.mean(maps, (1, 2))
            if means.keys() >= set(wanted):
                break
        if "2048" in means:
            means["logits_unbiased"] = self.fc.without_bias(means["2048"])
            means["logits"] = means["logits_unbiased"] + self.fc.bias[...]
        return {tap: means[tap] for tap in wanted}


class _Block(nnx.Module):
    """Convolutions with a ReLU each, by the names of published files; without a stride the size stays."""

    def __init__(self, layers: dict[str, tuple]):
        for name, (inputs, outputs, size, *stride) in layers.items():
            height, width = (size, size) if isinstance(size, int) else size
            padding = 0 if stride else ((height // 2,) * 2, (width // 2,) * 2)
            setattr(self, name, Convolution(inputs, outputs, size, stride=stride[0] if stride else 1, padding=padding))

    def run(self, x: jax.Array, *names: str) -> jax.Array:
        for name in names:
            x = nnx.relu(getattr(self, name)(x))
        return x


class _BlockA(_Block):
    def __init__(self, inputs: int, pooled: int, *, outside: bool):
        self.outside = outside
        super().__init__(
            {
                "branch1x1": (inputs, 64, 1),
                "branch5x5_1": (inputs, 48, 1),
                "branch5x5_2": (48, 64, 5),
                "branch3x3dbl_1": (inputs, 64, 1),
                "branch3x3dbl_2": (64, 96, 3),
                "branch3x3dbl_3": (96, 96, 3),
                "branch_pool": (inputs, pooled, 1),
            }
        )

    def __call__(self, x: jax.Array) -> jax.Array:
        parts = [
            self.run(x, "branch1x1"),
            self.run(x, "branch5x5_1", "branch5x5_2"),
            self.run(x, "branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3"),
            self.run(_layers.mean_pool(x, outside=self.outside), "branch_pool"),
        ]
        return jnp.concatenate(parts, -1)


class _BlockB(_Block):
    def __init__(self, inputs: int):
        super().__init__(
            {
                "branch3x3": (inputs, 384, 3, 2),
                "branch3x3dbl_1": (inputs, 64, 1),
                "branch3x3dbl_2": (64, 96, 3),
                "branch3x3dbl_3": (96, 96, 3, 2),
            }
        )

    def __call__(self, x: jax.Array) -> jax.Array:
        parts = [
            self.run(x, "branch3x3"),
            self.run(x, "branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3"),
            _layers.max_pool(x, 3, 2),
        ]
        return jnp.concatenate(parts, -1)


class _BlockC(_Block):
    def __init__(self, inputs: int, inner: int, *, outside: bool):
        self.outside = outside
        super().__init__(
            {
                "branch1x1": (inputs, 192, 1),
                "branch7x7_1": (inputs, inner, 1),
                "branch7x7_2": (inner, inner, (1, 7)),
                "branch7x7_3": (inner, 192, (7, 1)),
                "branch7x7dbl_1": (inputs, inner, 1),
                "branch7x7dbl_2": (inner, inner, (7, 1)),
                "branch7x7dbl_3": (inner, inner, (1, 7)),
                "branch7x7dbl_4": (inner, inner, (7, 1)),
                "branch7x7dbl_5": (inner, 192, (1, 7)),
                "branch_pool": (inputs, 192, 1),
            }
        )

    def __call__(self, x: jax.Array) -> jax.Array:
        parts = [
            self.run(x, "branch1x1"),
            self.run(x, *(f"branch7x7_{i}" for i in (1, 2, 3))),
            self.run(x, *(f"branch7x7dbl_{i}" for i in (1, 2, 3, 4, 5))),
            self.run(_layers.mean_pool(x, outside=self.outside), "branch_pool"),
        ]
        return jnp.concatenate(parts, -1)


class _BlockD(_Block):
    def __init__(self, inputs: int):
        super().__init__(
            {
                "branch3x3_1": (inputs, 192, 1),
                "branch3x3_2": (192, 320, 3, 2),
                "branch7x7x3_1": (inputs, 192, 1),
                "branch7x7x3_2": (192, 192, (1, 7)),
                "branch7x7x3_3": (192, 192, (7, 1)),
                "branch7x7x3_4": (192, 192, 3, 2),
            }
        )

    def __call__(self, x: jax.Array) -> jax.Array:
        parts = [
            self.run(x, "branch3x3_1", "branch3x3_2"),
            self.run(x, *(f"branch7x7x3_{i}" for i in (1, 2, 3, 4))),
            _layers.max_pool(x, 3, 2),
        ]
        return jnp.concatenate(parts, -1)


class _BlockE(_Block):
    def __init__(self, inputs: int, *, by_maxima: bool = False, outside: bool):
        self.by_maxima, self.outside = by_maxima, outside
        super().__init__(
            {
                "branch1x1": (inputs, 320, 1),
                "branch3x3_1": (inputs, 384, 1),
                "branch3x3_2a": (384, 384, (1, 3)),
                "branch3x3_2b": (384, 384, (3, 1)),
                "branch3x3dbl_1": (inputs, 448, 1),
                "branch3x3dbl_2": (448, 384, 3),
                "branch3x3dbl_3a": (384, 384, (1, 3)),
                "branch3x3dbl_3b": (384, 384, (3, 1)),
                "branch_pool": (inputs, 192, 1),
            }
        )

    def __call__(self, x: jax.Array) -> jax.Array:
        short = self.run(x, "branch3x3_1")
        long = self.run(x, "branch3x3dbl_1", "branch3x3dbl_2")
        if self.by_maxima:
            pooled = _layers.max_pool(x, 3, 1, padding=1)
        else:
            pooled = _layers.mean_pool(x, outside=self.outside)
        parts = [
            self.run(x, "branch1x1"),
            self.run(short, "branch3x3_2a"),
            self.run(short, "branch3x3_2b"),
            self.run(long, "branch3x3dbl_3a"),
            self.run(long, "branch3x3dbl_3b"),
            self.run(pooled, "branch_pool"),
        ]
        return jnp.concatenate(parts, -1)


def _classes(file: weights.Weights) -> int:
    return file["fc.weight"].shape[0] if "fc.weight" in file and file["fc.weight"].ndim else 0


IGNORED = ("*.num_batches_tracked",)
# NVIDIA's names: layers are numbered as in the graph of 2015, branches are towers.
_NVIDIAS = {
    "conv2d_1a_3x3": "conv",
    "conv2d_2a_3x3": "conv_1",
    "conv2d_2b_3x3": "conv_2",
    "conv2d_3b_1x1": "conv_3",
    "conv2d_4a_3x3": "conv_4",
    "mixed_5b": "mixed",
    **{f"mixed_{block}": f"mixed_{i}" for i, block in enumerate("5c 5d 6a 6b 6c 6d 6e 7a 7b 7c".split(), 1)},
}
_TOWERS: dict[type[_Block], dict[str, str]] = {
    _BlockA: {"branch1x1": "conv", "branch5x5": "tower", "branch3x3dbl": "tower_1", "branch_pool": "tower_2.conv"},
    _BlockB: {"branch3x3": "conv", "branch3x3dbl": "tower"},
    _BlockC: {"branch1x1": "conv", "branch7x7": "tower", "branch7x7dbl": "tower_1", "branch_pool": "tower_2.conv"},
    _BlockD: {"branch3x3": "tower", "branch7x7x3": "tower_1"},
    _BlockE: {
        "branch1x1": "conv",
        "branch3x3_1": "tower_conv",
        "branch3x3_2a": "tower_mixed_conv",
        "branch3x3_2b": "tower_mixed_conv_1",
        "branch3x3dbl_1": "tower_1_conv",
        "branch3x3dbl_2": "tower_1_conv_1",
        "branch3x3dbl_3a": "tower_1_mixed_conv",
        "branch3x3dbl_3b": "tower_1_mixed_conv_1",
        "branch_pool": "tower_2_conv",
    },
}


def table_of(file: weights.Weights) -> weights.Table:
    """Which tensors of a file the network is made of, by the names that the file has.

    Args:
      file: pytorch-fid's or NVIDIA's, or a conversion.
    """
    return nvidia_table() if "layers.conv.weight" in file else table()


def table() -> weights.Table:
    """Which tensors of pytorch-fid's file the network is made of."""
    return trunk_table() | weights.with_bias(weights.linear, "fc", "fc")


def trunk_table() -> dict[str, weights.Entry]:
    """Which tensors of torchvision's file, or of another with its names, a `Trunk` is made of."""
    entries: dict[str, weights.Entry] = {}
    for path, _ in _convolutions():
        # The file begins the names of its layers with a capital: Mixed_5b.branch1x1.
        name = ".".join([path[0].capitalize(), *path[1:]])
        kernel, bias = weights.normalized_convolution(f"{name}.conv.weight", f"{name}.bn.", epsilon=_EPSILON)
        entries |= {f"{'/'.join(path)}/kernel": kernel, f"{'/'.join(path)}/bias": bias}
    return entries


def nvidia_table() -> weights.Table:
    """Which tensors of NVIDIA's TorchScript file the network is made of; its norms have no scale of their own."""
    entries = {"fc/kernel": weights.linear("output.weight"), "fc/bias": weights.same("output.bias")}
    for path, block in _convolutions():
        name = f"layers.{_NVIDIAS[path[0]]}"
        if len(path) > 1:
            name = f"{name}.{_tower(_TOWERS[block], path[1])}"
        kernel, bias = _centred_convolution(name)
        entries |= {f"{'/'.join(path)}/kernel": kernel, f"{'/'.join(path)}/bias": bias}
    return entries


_EPSILON = 1e-3


def _convolutions() -> Iterator[tuple[tuple[str, ...], type[_Block]]]:
    """The path of each convolution, and the kind of its block (for those in none it does not matter)."""
    network = nnx.eval_shape(Trunk)
    for path, layer in nnx.iter_graph(network):
        if isinstance(layer, Convolution):
            yield tuple(map(str, path)), type(getattr(network, str(path[0])))


def _tower(towers: dict[str, str], branch: str) -> str:
    """NVIDIA's name of a branch's convolution: `tower.conv`, `tower.conv_1`, ... for `branch5x5_1`, `branch5x5_2`."""
    if branch in towers:
        return towers[branch]
    whole, number = branch.rsplit("_", 1)
    return f"{towers[whole]}.conv" + (f"_{int(number) - 1}" if number != "1" else "")


def _centred_convolution(name: str) -> tuple[weights.Entry, weights.Entry]:
    """Kernel and bias of a convolution `weight` with a norm behind it that has `beta`, `mean` and `var`."""

    def make_kernel(tensor: np.ndarray, variance: np.ndarray) -> np.ndarray:
        return tensor.astype(np.float64).transpose(2, 3, 1, 0) / np.sqrt(np.float64(variance) + _EPSILON)

    def make_bias(beta: np.ndarray, mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
        return np.float64(beta) - np.float64(mean) / np.sqrt(np.float64(variance) + _EPSILON)

    def kernel_shapes(shape: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
        return (shape[3], shape[2], *shape[:2]), shape[3:]

    return (
        weights.Entry((f"{name}.weight", f"{name}.var"), kernel_shapes, make_kernel),
        weights.Entry((f"{name}.beta", f"{name}.mean", f"{name}.var"), lambda shape: (shape,) * 3, make_bias),
    )
