"""The borders of a doubled image that is reflected by two pixels, apart from its inside.

Reflection continues the rows 0 0 1 1 ... of a doubled image by 1 0, repetition of its first pixel by 0 0: they differ
in the outermost ring alone. So a convolution of the reflection is that of the repetition, whose pixels come in pairs,
plus four convolutions of single rows and columns.
"""

import jax
import jax.numpy as jnp

from gentoolkit.nn import _closed
from gentoolkit.nn._closed import Geometry


def reflected_less_repeated(x: jax.Array, w: jax.Array) -> jax.Array:
    """The difference of both convolutions, `[b, 2 h, 2 w, co]`, 0 but for the first and last row and column.

    Args:
      x: `[b, h, w, ci]` images before they are doubled, h and w at least 2.
      w: `[5, 5, ci, co]` kernel.
    """
    height, width = 2 * x.shape[1], 2 * x.shape[2]
    rows = [_reflected(x[:, near]) - _repeated(x[:, edge]) for near, edge in ((1, 0), (-2, -1))]
    # The corners belong to the rows.
    columns = [_repeated(x[:, :, near] - x[:, :, edge])[:, 1:-1] for near, edge in ((1, 0), (-2, -1))]
    columns = [jnp.pad(column, ((0, 0), (1, 1), (0, 0))) for column in columns]
    top, bottom = (_along(row, taps)[:, None] for row, taps in zip(rows, (w[0], w[-1]), strict=True))
    left, right = (_along(column, taps)[:, :, None] for column, taps in zip(columns, (w[:, 0], w[:, -1]), strict=True))
    nothing, below, beside = (0, 0), (0, height - 1), (0, width - 1)
    return (
        jnp.pad(top, (nothing, below, nothing, nothing))
        + jnp.pad(bottom, (nothing, below[::-1], nothing, nothing))
        + jnp.pad(left, (nothing, nothing, beside, nothing))
        + jnp.pad(right, (nothing, nothing, beside[::-1], nothing))
    )


def _repeated(line: jax.Array) -> jax.Array:
    """`[b, n, c]` doubled, with its first and last pixel two more times: `[b, 2 n + 4, c]`."""
    return jnp.repeat(jnp.pad(line, ((0, 0), (1, 1), (0, 0)), mode="edge"), 2, axis=1)


def _reflected(line: jax.Array) -> jax.Array:
    return jnp.pad(jnp.repeat(line, 2, axis=1), ((0, 0), (2, 2), (0, 0)), mode="reflect")


def _along(line: jax.Array, taps: jax.Array) -> jax.Array:
    """`[b, n + 4, ci]` and `[5, ci, co]` to `[b, n, co]`."""
    geometry = Geometry((1, line.shape[1]), (1, taps.shape[0]), (1, 1), ((0, 0), (0, 0)))
    return _closed.plain(geometry, line[:, None], taps[None])[:, 0]
