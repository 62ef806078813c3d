"""The borders of a doubled image that is reflected by two pixels, apart from its inside.

Reflection continues the rows 0 0 1 1 ... of a doubled image by 1 0, repetition of its first pixel by 0 0: they differ
in the outermost ring alone. So a convolution of the reflection is that of the repetition, whose pixels come in pairs,
plus four convolutions of single rows and columns.
"""

import jax
import jax.numpy as jnp

from gentoolkit.nn import _closed
from gentoolkit.nn._closed import Geometry


def reflect(y: jax.Array, x: jax.Array, w: jax.Array) -> jax.Array:
    """Makes the convolution of the reflection from that of the repetition.

    Args:
      y: `[b, 2 h, 2 w, co]`, the convolution of the repetition.
      x: `[b, h, w, ci]` images before they are doubled, h and w at least 2.
      w: `[5, 5, ci, co]` kernel.
    """
    rows = [_reflected(x[:, near]) - _repeated(x[:, edge]) for near, edge in ((1, 0), (-2, -1))]
    # The corners belong to the rows.
    columns = [_repeated(x[:, :, near] - x[:, :, edge])[:, 1:-1] for near, edge in ((1, 0), (-2, -1))]
    columns = [jnp.pad(column, ((0, 0), (1, 1), (0, 0))) for column in columns]
    top, bottom = (_along(row, taps)[:, None] for row, taps in zip(rows, (w[0], w[-1]), strict=True))
    left, right = (_along(column, taps)[:, :, None] for column, taps in zip(columns, (w[:, 0], w[:, -1]), strict=True))
    # In place, line by line: a sum with lines that are padded to the whole image takes half as long as the convolution.
    y = _added(y, top, row=0, column=0)
    y = _added(y, bottom, row=y.shape[1] - 1, column=0)
    y = _added(y, left, row=0, column=0)
    return _added(y, right, row=0, column=y.shape[2] - 1)


def _added(y: jax.Array, line: jax.Array, *, row: int, column: int) -> jax.Array:
    start = (0, row, column, 0)
    there = jax.lax.slice(y, start, [first + length for first, length in zip(start, line.shape, strict=True)])
    return jax.lax.dynamic_update_slice(y, there + line, start)


def _repeated(line: jax.Array) -> jax.Array:
    """`[b, n, c]` doubled, with its first and last pixel two more times: `[b, 2 n + 4, c]`."""
    return jnp.repeat(jnp.pad(line, ((0, 0), (1, 1), (0, 0)), mode="edge"), 2, axis=1)


def _reflected(line: jax.Array) -> jax.Array:
    return jnp.pad(jnp.repeat(line, 2, axis=1), ((0, 0), (2, 2), (0, 0)), mode="reflect")


def _along(line: jax.Array, taps: jax.Array) -> jax.Array:
    """`[b, n + 4, ci]` and `[5, ci, co]` to `[b, n, co]`."""
    geometry = Geometry((1, line.shape[1]), (1, taps.shape[0]), (1, 1), ((0, 0), (0, 0)))
    return _closed.plain(geometry, line[:, None], taps[None])[:, 0]
