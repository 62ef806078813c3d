"""Convolutions and pools of frozen networks: float32 at full precision, whatever comes in and the default is."""

from collections.abc import Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from gentoolkit.nn import convolution

HIGHEST = jax.lax.Precision.HIGHEST
Padding = Sequence[tuple[int, int]]


class Convolution(nnx.Module):
    """A convolution `[b, h, w, in]` to `[b, h', w', out]`, zeros around.

    Its weights come from a file; until then they are zero.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        size: int | tuple[int, int],
        *,
        stride: int = 1,
        padding: int | Padding = 0,
        groups: int = 1,
    ):
        height, width = (size, size) if isinstance(size, int) else size
        self.stride, self.groups = stride, groups
        self.padding = ((padding, padding),) * 2 if isinstance(padding, int) else tuple(padding)
        self.kernel = nnx.Param(jnp.zeros((height, width, inputs // groups, outputs)))
        self.bias = nnx.Param(jnp.zeros(outputs))

    def __call__(self, x: jax.Array) -> jax.Array:
        if self.groups == 1 and self.stride == 1:
            # In the form that is fast on a CPU, where there is one.
            y = convolution.convolve(x, self.kernel[...], padding=self.padding, precision=HIGHEST)
        elif self.groups == x.shape[-1] == self.bias.shape[0]:
            y = jax.lax.platform_dependent(x, self.kernel[...], cpu=self._by_shifts, default=self._by_groups)
        else:
            y = self._by_groups(x, self.kernel[...])
        return y + self.bias[...]

    def _by_groups(self, x: jax.Array, kernel: jax.Array) -> jax.Array:
        return jax.lax.conv_general_dilated(
            x,
            kernel,
            (self.stride, self.stride),
            self.padding,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=self.groups,
            precision=HIGHEST,
        )

    def _by_shifts(self, x: jax.Array, kernel: jax.Array) -> jax.Array:
        """Each channel for itself: the image moved and weighted, one loop where groups are naive ones on a CPU."""
        padded = jnp.pad(x, ((0, 0), *self.padding, (0, 0)))
        (rows, columns), stride = kernel.shape[:2], self.stride
        height, width = (1 + (n - k) // stride for n, k in zip(padded.shape[1:3], kernel.shape[:2], strict=True))
        total: Any = 0.0
        for i in range(rows):
            for j in range(columns):
                ends = i + stride * (height - 1) + 1, j + stride * (width - 1) + 1
                total = total + kernel[i, j, 0] * padded[:, i : ends[0] : stride, j : ends[1] : stride]
        return total


class Linear(nnx.Module):
    """A linear map of the last axis; its weights come from a file."""

    def __init__(self, inputs: int, outputs: int):
        self.kernel = nnx.Param(jnp.zeros((inputs, outputs)))
        self.bias = nnx.Param(jnp.zeros(outputs))

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.without_bias(x) + self.bias[...]

    def without_bias(self, x: jax.Array) -> jax.Array:
        return jnp.matmul(x, self.kernel[...], precision=HIGHEST)


def max_pool(x: jax.Array, size: int, stride: int, *, padding: int = 0, ceil: bool = False) -> jax.Array:
    """The largest of each window; with `ceil`, windows that reach over the far edge count too."""
    after = [padding + (-(n + 2 * padding - size) % stride if ceil else 0) for n in x.shape[1:3]]
    pads = ((0, 0), (padding, after[0]), (padding, after[1]), (0, 0))
    return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, size, size, 1), (1, stride, stride, 1), pads)


def mean_pool(x: jax.Array, *, outside: bool = False) -> jax.Array:
    """The mean of each 3x3 neighbourhood: of those pixels that are there, or with zeros for those outside the image."""
    height, width = x.shape[1:3]
    around = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    rows = around[:, :height] + around[:, 1 : height + 1] + around[:, 2:]
    total = rows[:, :, :width] + rows[:, :, 1 : width + 1] + rows[:, :, 2:]
    if outside:
        return total / 9
    there = [np.minimum(np.arange(n), 1) + 1 + np.minimum(np.arange(n)[::-1], 1) for n in (height, width)]
    return total * jnp.asarray(1 / np.outer(*there), jnp.float32)[:, :, None]


def as_images(images: jax.Array, *, least: int, says: str) -> jax.Array:
    """Widens images to float32; refuses what is not `[b, h, w, 3]` of floats, or too small (`ValueError`)."""
    shape = jnp.shape(images)
    if len(shape) != 4 or shape[3] != 3 or min(shape[1:3]) < least:
        raise ValueError(f"images must be [b, h >= {least}, w >= {least}, 3], got images.shape = {shape}.")
    if not jnp.issubdtype(jnp.result_type(images), jnp.floating):
        raise TypeError(f"images must be floats, {says}, got images.dtype = {jnp.result_type(images)}.")
    return jnp.asarray(images, jnp.float32)


def check_taps(taps: Iterable[str], known: Sequence[str]) -> tuple[str, ...]:
    """The taps as a tuple; refuses those that a network lacks (`ValueError`)."""
    wanted = (taps,) if isinstance(taps, str) else tuple(taps)
    if not wanted or not set(wanted) <= set(known):
        raise ValueError(f"taps must be some of {', '.join(known)}, got taps = {wanted}.")
    return wanted
