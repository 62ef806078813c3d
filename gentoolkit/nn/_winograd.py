"""Square kernels at stride 1 with fewer multiplications, for CPUs (Winograd's minimal filters).

A tile of m x m outputs takes (m + k - 1)^2 products a channel instead of m^2 k^2: 16 instead of 36 for m = 2, k = 3.
The transforms of tiles are products with one constant matrix for both axes together, which a CPU does near its peak;
written as additions they took the time that the products save.

References:
  Lavin and Gray, Fast algorithms for convolutional neural networks, CVPR 2016.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from gentoolkit.nn import _closed
from gentoolkit.nn._closed import Geometry

_TILE = 2  # Larger tiles save more and lose digits: 3 x 3 by tiles of 4 has errors of 1e-5.
_POINTS = (0.0, 1.0, -1.0, 0.5)  # where the polynomials are evaluated, besides infinity


@functools.cache
def _matrices(kernel: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`(A, G, B)` of the filter: outputs are A' ((G w) * (B x)), in float64."""
    points = np.array(_POINTS[: _TILE + kernel - 2])
    others = [np.delete(points, place) for place in range(len(points))]
    b = [np.append(np.poly(rest)[::-1], 0.0) for rest in others] + [np.poly(points)[::-1]]
    g = [point ** np.arange(kernel) / np.prod(point - rest) for point, rest in zip(points, others, strict=True)]
    a = [point ** np.arange(_TILE) for point in points]
    infinity = [np.eye(size)[-1] for size in (_TILE, kernel)]
    return np.array([*a, infinity[0]]), np.array([*g, infinity[1]]), np.array(b)


def _both(matrix: np.ndarray, x: jax.Array, precision: lax.PrecisionLike) -> jax.Array:
    """A matrix along the two axes that the first axis of x holds: `[i * i, ...]` to `[j * j, rest]`."""
    product = jnp.asarray(np.kron(matrix, matrix), x.dtype)
    return jnp.matmul(product, x.reshape(product.shape[1], -1), precision=precision)


def _tiles(x: jax.Array, size: int) -> jax.Array:
    """`[size * size, b * tiles * c]`: entry (i, j) of every tile, tiles `_TILE` apart."""
    down, right = (length - size + 1 for length in x.shape[1:3])
    places = [(i, j) for i in range(size) for j in range(size)]
    return jnp.concatenate([x[:, i : i + down : _TILE, j : j + right : _TILE].reshape(1, -1) for i, j in places])


def _input_tiles(geometry: Geometry, x: jax.Array) -> jax.Array:
    """Transformed tiles of the padded input, `[t * t, b * tiles, ci]`."""
    kernel = geometry.kernel[0]
    needed = [-(-length // _TILE) * _TILE + kernel - 1 for length in geometry.output]
    pads = [
        (before, total - before - length)
        for (before, _), total, length in zip(geometry.padding, needed, x.shape[1:3], strict=True)
    ]
    x = jnp.pad(x, ((0, 0), *pads, (0, 0)))
    size = _TILE + kernel - 1
    return _both(_matrices(kernel)[2], _tiles(x, size), geometry.precision).reshape(size * size, -1, x.shape[3])


def _forward(geometry: Geometry, x: jax.Array, w: jax.Array) -> jax.Array:
    a, g, _ = _matrices(geometry.kernel[0])
    tiles = _input_tiles(geometry, x)
    weights = _both(g, w, geometry.precision).reshape(tiles.shape[0], *w.shape[2:])
    height, width = geometry.output
    rows, columns = -(-height // _TILE), -(-width // _TILE)
    y = _product(tiles, weights, 2, 1, geometry.precision)
    y = _both(a.T, y, geometry.precision).reshape(_TILE, _TILE, x.shape[0], rows, columns, -1)
    y = y.transpose(2, 3, 0, 4, 1, 5).reshape(x.shape[0], _TILE * rows, _TILE * columns, -1)
    return y[:, :height, :width]


def _to_input(geometry: Geometry, g: jax.Array, w: jax.Array) -> jax.Array:
    # The transpose at stride 1 is a convolution with the kernel turned around.
    vertical, horizontal = (
        (k - 1 - before, k - 1 - after) for k, (before, after) in zip(geometry.kernel, geometry.padding, strict=True)
    )
    turned = Geometry(geometry.output, geometry.kernel, (1, 1), (vertical, horizontal), geometry.precision)
    return _forward(turned, g, jnp.flip(w, (0, 1)).swapaxes(2, 3))


def _to_kernel(geometry: Geometry, x: jax.Array, g: jax.Array) -> jax.Array:
    a, to_weights, _ = _matrices(geometry.kernel[0])
    tiles = _input_tiles(geometry, x)
    g = jnp.pad(g, ((0, 0), *((0, -length % _TILE) for length in g.shape[1:3]), (0, 0)))
    slopes = _both(a, _tiles(g, _TILE), geometry.precision).reshape(tiles.shape[0], tiles.shape[1], g.shape[3])
    products = _product(tiles, slopes, 1, 1, geometry.precision)
    return _both(to_weights.T, products, geometry.precision).reshape(*geometry.kernel, x.shape[3], g.shape[3])


def _product(first: jax.Array, second: jax.Array, axis: int, other: int, precision: lax.PrecisionLike) -> jax.Array:
    return lax.dot_general(first, second, (((axis,), (other,)), ((0,), (0,))), precision=precision)


FORM = _closed.on_cpu(_closed.Form(_forward, _to_input, _to_kernel))
