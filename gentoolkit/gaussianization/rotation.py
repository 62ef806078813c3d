"""Orthogonal maps, fitted to samples: principal axes, random, independent components, directions of largest distance.

All of them are orthogonal matrices and nothing more (no centring, no scaling), so the log-determinant is zero and the
inverse is the transpose, to the rounding of the entries. A variant is a value of `Rotation`; `fit` takes a key, which
only some of them use::

    variant = rotation.pca()
    matrix = variant.fit(key, x)                    # [..., d, d], rows are directions
    z, log_det = variant.forward(matrix, x)         # z = x matrix^T
    x = variant.inverse(matrix, z)

Fitted matrices carry no gradient.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from gentoolkit import _lapack, _scale, _sums
from gentoolkit._array import as_floating, check_positive, check_samples
from gentoolkit.distances import directions, normality, sliced
from gentoolkit.gaussianization import _compensated

_HIGHEST = jax.lax.Precision.HIGHEST


class Rotation(NamedTuple):
    """A way of choosing an orthogonal matrix from samples.

    Attributes:
      fit: `fit(key, x) -> matrix`, x `[..., n, d]`, matrix `[..., d, d]`, orthogonal.
      forward: `forward(matrix, x) -> (z, log_det)`, z `[..., n, d]`, log_det zeros `[..., n]`.
      inverse: `inverse(matrix, z) -> x`.
    """

    fit: Callable[[jax.Array, jax.Array], jax.Array]
    forward: Callable[[jax.Array, jax.Array], tuple[jax.Array, jax.Array]]
    inverse: Callable[[jax.Array, jax.Array], jax.Array]


def rotate(matrix: jax.Array, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Applies an orthogonal matrix to samples.

    Args:
      matrix: `[d, d]`, or `[..., d, d]` with the leading axes of `x`; rows are the new axes.
      x: `[..., n, d]` samples.

    Returns:
      `x matrix^T`, `[..., n, d]`, and the log-determinant, zeros `[..., n]`.

    Raises:
      ValueError: shapes that do not fit together.
    """
    matrix, x = as_floating(matrix=matrix, x=x)
    z = jnp.swapaxes(sliced.project(x, matrix), -1, -2)
    return z, jnp.zeros_like(z[..., 0])


def rotate_back(matrix: jax.Array, z: jax.Array) -> jax.Array:
    """Undoes `rotate`.

    Args:
      matrix: `[d, d]`, or `[..., d, d]` with the leading axes of `z`.
      z: `[..., n, d]` samples.

    Returns:
      `z matrix`, `[..., n, d]`.

    Raises:
      ValueError: shapes that do not fit together.
    """
    matrix, z = as_floating(matrix=matrix, z=z)
    return rotate(jnp.swapaxes(matrix, -1, -2), z)[0]


@functools.lru_cache(maxsize=1)
def pca() -> Rotation:
    """Principal axes, of largest variance first.

    The rotation of the paper. On Gaussianized marginals it removes all linear correlation in one layer; once the data
    are white, the axes follow the noise of the sample covariance. Fewer samples than features are no obstacle: the axes
    without variance complete the basis.

    Returns:
      A `Rotation`; its `fit` does not use the key.

    References:
      Laparra, Camps-Valls, Malo (2011), "Iterative Gaussianization: from ICA to random rotations", section III.
    """

    def fit(key: jax.Array, x: jax.Array) -> jax.Array:
        del key
        x = _prepare(x)
        return _polished(jnp.swapaxes(_lapack.eigh(_covariance(x))[1], -1, -2)[..., ::-1, :])

    return Rotation(fit, rotate, rotate_back)


@functools.lru_cache(maxsize=1)
def random() -> Rotation:
    """A rotation drawn uniformly from the orthogonal group (Haar); the data are not looked at.

    Returns:
      A `Rotation`. With leading axes all problems get the same rotation; for independent ones use `jax.vmap`.

    References:
      Mezzadri (2007), "How to generate random matrices from the classical compact groups", section 5.
    """

    def fit(key: jax.Array, x: jax.Array) -> jax.Array:
        x = _prepare(x)
        dim = x.shape[-1]
        drawn = _polished(directions.orthogonal(key, dim, dim, dtype=x.dtype))
        return jnp.broadcast_to(drawn, (*x.shape[:-2], dim, dim))

    return Rotation(fit, rotate, rotate_back)


def ica(*, num_steps: int = 20, num_samples: int | None = 20000) -> Rotation:
    """Independent components: symmetric FastICA with tanh, and the nearest orthogonal matrix to what it finds.

    FastICA unmixes whitened data; unmixing and whitening together are not orthogonal. What is returned is the
    orthogonal factor of their product, so that no scale is lost from the density. On Gaussianized marginals, white
    already or nearly so, the two agree.

    Args:
      num_steps: static, fixed-point steps, >= 1, all of them taken.
      num_samples: static, how many samples to look at, drawn with the key, with replacement; `None` takes all.

    Returns:
      A `Rotation`. The same options give the same object.

    Raises:
      ValueError: an option below 1.

    References:
      Hyvarinen (1999), "Fast and robust fixed-point algorithms for independent component analysis", eqs. 20, 26.
    """
    check_positive(num_steps=num_steps)
    if num_samples is not None:
        check_positive(num_samples=num_samples)
    return _ica(num_steps, num_samples)


@functools.lru_cache(maxsize=16)
def _ica(num_steps: int, num_samples: int | None) -> Rotation:
    def fit(key: jax.Array, x: jax.Array) -> jax.Array:
        x = _prepare(x)
        n, dim = x.shape[-2:]
        start, thinning = jax.random.split(key)
        unit = _scale.unit(x - jnp.mean(x, axis=-2, keepdims=True), axes=(-2, -1))
        values, vectors = _lapack.eigh(_covariance(x))
        least = 1e-6 * jnp.maximum(values[..., -1:], float(jnp.finfo(x.dtype).tiny))
        root = jax.lax.rsqrt(jnp.maximum(values, least))
        whitening = _product(vectors * root[..., None, :], jnp.swapaxes(vectors, -1, -2))
        y = _thinned(thinning, x, num_samples)
        y = y - jnp.mean(y, axis=-2, keepdims=True)
        y = _product(y / unit, whitening)
        count = y.shape[-2]

        def step(unmixing, _):
            bent = jnp.tanh(_product(y, jnp.swapaxes(unmixing, -1, -2)))
            slope = 1 - jnp.mean(bent * bent, axis=-2)
            new = _sums.gram(bent, y) / count - slope[..., None] * unmixing
            return _lapack.nearest_orthogonal(new), None

        drawn = jnp.broadcast_to(directions.orthogonal(start, dim, dim, dtype=x.dtype), (*x.shape[:-2], dim, dim))
        drawn = jnp.where(jnp.isnan(values[..., None]), values[..., None], drawn)  # takes on the type of the data
        unmixing = jax.lax.scan(step, drawn, length=num_steps)[0]
        return _polished(_lapack.nearest_orthogonal(_product(unmixing, whitening)))

    return Rotation(fit, rotate, rotate_back)


def max_sliced(
    *,
    num_directions: int | None = None,
    num_steps: int = 20,
    num_candidates: int = 8,
    num_samples: int | None = 4096,
) -> Rotation:
    """Directions in which the data are furthest from N(0, 1) in W2, made orthogonal and completed to a basis.

    Out of `num_candidates` random bases the one of largest total distance is taken, its best `num_directions` rows are
    kept and climbed together on the set of orthonormal frames; a step that does not raise the total distance is taken
    back and the next one halved.

    Args:
      num_directions: static, how many rows to climb, from 1 to d; `None` takes all d.
      num_steps: static, how many steps to try, >= 0.
      num_candidates: static, random bases to begin with, >= 1.
      num_samples: static, how many samples to look at, drawn with the key, with replacement; `None` takes all.

    Returns:
      A `Rotation`. The same options give the same object.

    Raises:
      ValueError: an option outside its range; `num_directions` above d when fitting.

    References:
      Dai and Seljak (2021), "Sliced iterative normalizing flows", algorithm 1 (maximum K-sliced Wasserstein distance).
    """
    check_positive(num_candidates=num_candidates)
    if num_steps < 0:
        raise ValueError(f"num_steps must be >= 0, got num_steps = {num_steps}.")
    for name, value in (("num_directions", num_directions), ("num_samples", num_samples)):
        if value is not None:
            check_positive(**{name: value})
    return _max_sliced(num_directions, num_steps, num_candidates, num_samples)


@functools.lru_cache(maxsize=16)
def _max_sliced(num_directions: int | None, num_steps: int, num_candidates: int, num_samples: int | None) -> Rotation:
    def fit_one(key: jax.Array, x: jax.Array) -> jax.Array:
        dim = x.shape[-1]
        rows = dim if num_directions is None else num_directions
        drawing, thinning, completing = jax.random.split(key, 3)
        y = _thinned(thinning, x, num_samples)
        bases = directions.orthogonal(drawing, num_candidates * dim, dim, dtype=x.dtype)
        values = sliced.distance(normality.wasserstein, y, directions=bases, reduction=None)
        values = values.reshape(num_candidates, dim)
        best = jnp.argmax(jnp.sum(values, axis=-1))
        order = jnp.argsort(-values[best])[:rows]
        frame = jnp.take(jnp.take(bases.reshape(num_candidates, dim, dim), best, axis=0), order, axis=0)

        def total(frame):
            return jnp.sum(sliced.distance(normality.wasserstein, y, directions=frame, reduction=None))

        climb = jax.value_and_grad(total)

        def step(state, _):
            frame, value, slope, rate = state
            moved = _orthonormal_rows(frame + rate * slope / (jnp.sqrt(jnp.sum(slope * slope)) + 1e-12))
            new_value, new_slope = climb(moved)
            better = new_value > value
            frame = jnp.where(better, moved, frame)
            slope = jnp.where(better, new_slope, slope)
            return (frame, jnp.where(better, new_value, value), slope, jnp.where(better, 1.5, 0.5) * rate), None

        value, slope = climb(frame)
        frame = jax.lax.scan(step, (frame, value, slope, jnp.full_like(value, 0.5)), length=num_steps)[0][0]
        if rows < dim:
            rest = jax.random.normal(completing, (dim - rows, dim), x.dtype)
            frame = _orthonormal_rows(jnp.concatenate([frame, rest]))
        return _polished(jnp.where(jnp.isnan(value), jnp.nan, frame))

    def fit(key: jax.Array, x: jax.Array) -> jax.Array:
        x = _prepare(x)
        if num_directions is not None and num_directions > x.shape[-1]:
            raise ValueError(f"num_directions must be at most d = {x.shape[-1]}, got {num_directions}.")
        one = functools.partial(fit_one, key)
        for _ in x.shape[:-2]:
            one = jax.vmap(one)
        return one(x)

    return Rotation(fit, rotate, rotate_back)


def _prepare(x: jax.Array) -> jax.Array:
    check_samples(x=x)
    (x,) = as_floating(x=x)
    return jax.lax.stop_gradient(x)


def _product(a: jax.Array, b: jax.Array) -> jax.Array:
    return jnp.matmul(a, b, precision=_HIGHEST)


def _covariance(x: jax.Array) -> jax.Array:
    """Of samples in their unit, the same for all features: what is read of it are directions and ratios."""
    x = x - jnp.mean(x, axis=-2, keepdims=True)
    x = x / _scale.unit(x, axes=(-2, -1))
    return _sums.gram(x, x) / x.shape[-2]


def _thinned(key: jax.Array, x: jax.Array, num: int | None) -> jax.Array:
    n = x.shape[-2]
    return x if num is None or n <= num else jnp.take(x, jax.random.randint(key, (num,), 0, n), axis=-2)


def _orthonormal_rows(a: jax.Array) -> jax.Array:
    """Gram-Schmidt on rows, keeping the direction of the first and the sides of the others."""
    q, r = _lapack.qr(jnp.swapaxes(a, -1, -2))
    sign = jnp.where(jnp.diagonal(r, axis1=-2, axis2=-1) < 0, -1, 1).astype(a.dtype)
    return jnp.swapaxes(q * sign[..., None, :], -1, -2)


def _polished(matrix: jax.Array) -> jax.Array:
    """One Newton-Schulz step: the inverse of a layer is the transpose, and layers add up what is not orthogonal.

    The factorizations leave 1e-6 in float32. That step by plain products would leave 1e-7, their own rounding; with the
    products of rows known to more digits what is left is the rounding of the entries, 3e-8.
    """
    return matrix + _compensated.beyond_rounding(matrix)
