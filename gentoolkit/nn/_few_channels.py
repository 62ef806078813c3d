"""Kernels of several rows onto few channels (pictures, logits) or from few, for CPUs: rows of the kernel as channels.

XLA's product for one output channel after another leaves most of a vector unit idle. Here a kernel of one row makes all
rows' outputs as channels, and shifted rows of these are added up.
"""

import jax
import jax.numpy as jnp

from gentoolkit.nn import _closed
from gentoolkit.nn._closed import Geometry


def _forward(geometry: Geometry, x: jax.Array, w: jax.Array) -> jax.Array:
    kernel, width = w.shape[0], w.shape[3]
    x = jnp.pad(x, ((0, 0), geometry.padding[0], (0, 0), (0, 0)))  # here, since a negative padding going back is slow
    lines = _closed.plain(_line(geometry), x, _wide(w))
    height = geometry.output[0]
    return sum(
        (lines[:, row : row + height, :, row * width : (row + 1) * width] for row in range(1, kernel)),
        lines[:, :height, :, :width],
    )


def _to_input(geometry: Geometry, g: jax.Array, w: jax.Array) -> jax.Array:
    return _closed.plain_to_input(_line(geometry, padded=False), _lines(geometry, g), _wide(w))


def _to_kernel(geometry: Geometry, x: jax.Array, g: jax.Array) -> jax.Array:
    slope = _closed.plain_to_kernel(_line(geometry, padded=False), x, _lines(geometry, g))
    return slope.reshape(geometry.kernel[1], x.shape[3], geometry.kernel[0], g.shape[3]).transpose(2, 0, 1, 3)


def _line(geometry: Geometry, *, padded: bool = True) -> Geometry:
    """The convolution of one row, over the padded rows or those of the input alone."""
    height, width = geometry.size
    rows = height + sum(geometry.padding[0]) if padded else height
    return Geometry((rows, width), (1, geometry.kernel[1]), (1, 1), ((0, 0), geometry.padding[1]), geometry.precision)


def _wide(w: jax.Array) -> jax.Array:
    """`[kh, kw, ci, co]` to `[1, kw, ci, kh * co]`."""
    return w.transpose(1, 2, 0, 3).reshape(1, w.shape[1], w.shape[2], -1)


def _lines(geometry: Geometry, g: jax.Array) -> jax.Array:
    """The transpose of the sum of shifted rows, at the rows of the input that are not padding."""
    kernel, height, (above, below) = geometry.kernel[0], geometry.size[0], geometry.padding[0]
    g = jnp.pad(g, ((0, 0), (max(0, kernel - 1 - above), max(0, kernel - 1 - below)), (0, 0), (0, 0)))
    first = max(0, kernel - 1 - above) + above
    return jnp.concatenate([g[:, first - row : first - row + height] for row in range(kernel)], axis=3)


def _from_few(geometry: Geometry, g: jax.Array, w: jax.Array) -> jax.Array:
    """The transpose in an input of few channels: a convolution onto few, with the kernel turned around."""
    vertical, horizontal = (
        (k - 1 - before, k - 1 - after) for k, (before, after) in zip(geometry.kernel, geometry.padding, strict=True)
    )
    turned = Geometry(geometry.output, geometry.kernel, (1, 1), (vertical, horizontal), geometry.precision)
    return _forward(turned, g, jnp.flip(w, (0, 1)).swapaxes(2, 3))


ONTO_FEW = _closed.on_cpu(_closed.Form(_forward, _to_input, _to_kernel))
FROM_FEW = _closed.on_cpu(_closed.Form(_closed.plain, _from_few, _closed.plain_to_kernel))
