"""Linear systems on the grid of pixels: differences, cosine and Fourier solves, conjugate gradients."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import jax.scipy.fft
import numpy as np
from jax.typing import ArrayLike

from gentoolkit import _array, _scale
from gentoolkit.imaging import _images, _multigrid

_PRECONDITIONERS = ("jacobi", "cosine", "multigrid")
Linear = Callable[[jax.Array], jax.Array]


class Solution(NamedTuple):
    """Solution of a linear system and how good it is.

    Attributes:
      value: `[..., h, w]`.
      residual: `[...]`, the reached |b - A value| / |b|, computed from `value` itself; 0 for b = 0. In float32 it
        stops falling near 6e-8 times the largest entry of A, when `value` has long been right.
      num_iterations: `[...]` int32.
    """

    value: jax.Array
    residual: jax.Array
    num_iterations: jax.Array


def differences(u: jax.Array, *, periodic: bool = False) -> jax.Array:
    """Forward differences downwards and to the right.

    Args:
      u: `[..., h, w]`.
      periodic: False for zero differences in the last row and column, True to go on at the other side (static).

    Returns:
      `[..., 2, h, w]`: vertical, horizontal.

    Raises:
      ValueError: the field is empty.
      TypeError: the field holds integers.
    """
    u = _images.as_plane(u, name="u")
    parts = []
    for axis in (-2, -1):
        if periodic:
            parts.append(jnp.roll(u, -1, axis) - u)
        else:
            parts.append(jnp.diff(u, axis=axis, append=jax.lax.slice_in_dim(u, u.shape[axis] - 1, None, axis=axis)))
    return jnp.stack(parts, axis=-3)


def adjoint_differences(field: jax.Array, *, periodic: bool = False) -> jax.Array:
    """The exact adjoint of the differences, for which <D u, field> = <u, D^T field>.

    Args:
      field: `[..., 2, h, w]`: vertical, horizontal.
      periodic: as in `differences` (static).

    Returns:
      `[..., h, w]`, minus the divergence.

    Raises:
      ValueError: the field is empty or has not two components.
      TypeError: the field holds integers.
    """
    field = _images.as_plane(field, name="field")
    if field.ndim < 3 or field.shape[-3] != 2:
        raise ValueError(f"field must be [..., 2, h, w], got field.shape = {field.shape}.")
    total = jnp.zeros((), field.dtype)
    for place, axis in enumerate((-2, -1)):
        part = field[..., place, :, :]
        if periodic:
            total = total + (jnp.roll(part, 1, axis) - part)
        else:
            n = part.shape[axis]
            inner = jax.lax.slice_in_dim(part, 0, n - 1, axis=axis)  # the last difference is always zero
            pads = [(0, 0)] * (part.ndim + axis)
            rest = [(0, 0)] * (-1 - axis)
            total = total + (jnp.pad(inner, [*pads, (1, 0), *rest]) - jnp.pad(inner, [*pads, (0, 1), *rest]))
    return total


def shrink(x: jax.Array, threshold: ArrayLike) -> jax.Array:
    """Moves every entry towards zero by the threshold, and stops there: the proximal map of the absolute value.

    Args:
      x: `[...]` real numbers.
      threshold: `[...]` >= 0, a number or of the shape of `x`.

    Returns:
      `[...]`, float32 or wider.

    Raises:
      TypeError: an argument is not a real array.
    """
    x, threshold = _array.as_floating(x=x, threshold=threshold)
    return jnp.maximum(x - threshold, 0.0) - jnp.maximum(-x - threshold, 0.0)


def solve_neumann(b: jax.Array, *, identity: ArrayLike, laplacian: ArrayLike) -> jax.Array:
    """Solves (identity I + laplacian D^T D) u = b with free borders, exactly, by the cosine transform.

    Args:
      b: `[..., h, w]`.
      identity: factor of the identity, > 0.
      laplacian: factor of D^T D, D the `differences`, >= 0.

    Returns:
      `[..., h, w]`. One NaN makes the whole field NaN.

    Raises:
      ValueError: the field is empty or `identity` <= 0.
      TypeError: the field holds integers.

    References:
      Strang, The discrete cosine transform, SIAM Review 1999 (DCT-2 diagonalises the free-border Laplacian).
    """
    b = _images.as_plane(b, name="b")
    _array.check_positive(identity=identity)
    h, w = b.shape[-2:]
    spectrum = _spectrum(np.pi * np.arange(h) / h, np.pi * np.arange(w) / w, b, identity, laplacian)
    transformed = jax.scipy.fft.dctn(b, axes=(-2, -1), norm="ortho")
    return jax.scipy.fft.idctn(transformed / spectrum, axes=(-2, -1), norm="ortho").astype(b.dtype)


def solve_periodic(b: jax.Array, *, identity: ArrayLike, laplacian: ArrayLike) -> jax.Array:
    """Solves (identity I + laplacian D^T D) u = b on a torus, exactly, by the Fourier transform.

    Args:
      b: `[..., h, w]`.
      identity: factor of the identity, > 0.
      laplacian: factor of D^T D, D the periodic `differences`, >= 0.

    Returns:
      `[..., h, w]`. One NaN makes the whole field NaN.

    Raises:
      ValueError: the field is empty or `identity` <= 0.
      TypeError: the field holds integers.
    """
    b = _images.as_plane(b, name="b")
    _array.check_positive(identity=identity)
    h, w = b.shape[-2:]
    rows, columns = 2 * np.pi * np.arange(h) / h, 2 * np.pi * np.arange(w // 2 + 1) / w
    spectrum = _spectrum(rows, columns, b, identity, laplacian)
    return jnp.fft.irfft2(jnp.fft.rfft2(b) / spectrum.astype(_complex(b.dtype)), s=(h, w)).astype(b.dtype)


def solve_weighted(
    b: jax.Array,
    *,
    diagonal: ArrayLike,
    weights: ArrayLike,
    preconditioner: str = "multigrid",
    tolerance: float | None = None,
    max_iterations: int = 200,
    initial: jax.Array | None = None,
) -> Solution:
    """Solves (diag(diagonal) + D^T diag(weights) D) u = b by preconditioned conjugate gradients.

    D are the `differences` with free borders. Gradients with respect to `b`, `diagonal` and `weights` come from the
    adjoint system, solved in the same way; `initial` has none.

    Args:
      b: `[..., h, w]`. Leading axes are independent systems; each stops when it is done.
      diagonal: `[..., h, w]` or a number, > 0.
      weights: `[..., 2, h, w]` or a number, >= 0, of the vertical and the horizontal differences.
      preconditioner: `"multigrid"` where weights span decades (some ten iterations), `"cosine"` (the exact solve with
        mean diagonal and weight) where they hardly vary, `"jacobi"` where the diagonal decides (static).
      tolerance: stop when the residual, measured in the preconditioner's norm (which is about the energy norm of the
        error), has fallen by this factor; None for 1e-6 in float32 and 1e-11 in float64 (static).
      max_iterations: stop after so many at the latest (static).
      initial: `[..., h, w]` where to start, None for zero. An exact solution is returned as it is.

    Returns:
      The solution, the residual reached and the iterations taken. NaN in an input makes its whole field NaN.

    Raises:
      ValueError: shapes do not broadcast to that of `b`, an option is unknown or out of range.
      TypeError: the field holds integers.

    References:
      Hestenes, Stiefel, Methods of conjugate gradients for solving linear systems, 1952.
      Braess, Towards algebraic multigrid for elliptic problems of second order, Computing 1995 (the preconditioner).
    """
    b = _images.as_plane(b, name="b")
    if preconditioner not in _PRECONDITIONERS:
        raise ValueError(f"preconditioner must be one of {_PRECONDITIONERS}, got {preconditioner!r}.")
    _images.check_whole(max_iterations=max_iterations)
    _array.check_positive(diagonal=diagonal, **({} if tolerance is None else {"tolerance": tolerance}))
    initial = jnp.zeros_like(b) if initial is None else _images.as_plane(initial, name="initial")
    diagonal, weights = _array.as_floating(diagonal=diagonal, weights=weights)
    b, initial, diagonal, weights = _images.same_dtype(b, initial, diagonal, weights)
    batch, (h, w) = b.shape[:-2], b.shape[-2:]
    initial = _broadcast(jax.lax.stop_gradient(initial), b.shape, "initial")
    diagonal = _broadcast(diagonal, b.shape, "diagonal")
    weights = _broadcast(weights, (*batch, 2, h, w), "weights")
    if tolerance is None:
        tolerance = 1e-6 if b.dtype == jnp.float32 else 1e-11

    def solve(b, initial, diagonal, weights):
        return _solve_one(b, initial, diagonal, weights, preconditioner, tolerance, max_iterations)

    for _ in batch:
        solve = jax.vmap(solve)
    return solve(b, initial, diagonal, weights)


def conjugate_gradients(
    operator: Linear,
    b: jax.Array,
    *,
    preconditioner: Linear | None = None,
    tolerance: float = 1e-6,
    max_iterations: int = 200,
) -> tuple[jax.Array, jax.Array]:
    """Solves A u = b for a symmetric positive definite A, from zero; forward differentiation only.

    Args:
      operator: u -> A u.
      b: `[...]` one right hand side of any shape.
      preconditioner: symmetric positive definite approximation of the inverse of A, None for the identity.
      tolerance: stop when sqrt(r . M r) has fallen by this factor, r the residual and M the preconditioner (static).
      max_iterations: stop after so many at the latest (static).

    Returns:
      The solution and the number of iterations, int32. b = 0 gives 0 after no iteration; NaN in `b` gives NaN. A
      solution follows the unit of `b`: its squares are taken in a unit in which they neither overflow nor vanish.

    Raises:
      ValueError: an option is out of range.
      TypeError: `b` is not a real array.

    References:
      Hestenes, Stiefel, Methods of conjugate gradients for solving linear systems, 1952.
    """
    (b,) = _array.as_floating(b=b)
    unit = _scale.unit(b)
    b = b / unit
    _array.check_positive(tolerance=tolerance)
    _images.check_whole(max_iterations=max_iterations)
    apply_m = preconditioner if preconditioner is not None else lambda r: r

    def unfinished(state):
        _, _, _, energy, goal, count = state
        return (energy > goal) & (count < max_iterations)

    def step(state):
        # The preconditioner stands here alone, not before the loop as well: it is most of what there is to compile.
        u, r, p, before, goal, count = state
        z = apply_m(r)
        energy = jnp.sum(r * z)
        goal = jnp.where(goal < 0, tolerance**2 * energy, goal)
        p = z + (energy / before) * p  # before is infinite at first
        ap = operator(p)
        curvature = jnp.sum(p * ap)
        # Not positive only once rounding has eaten everything: then stop where we are.
        going = (energy > goal) & (curvature > 0)
        length = jnp.where(going, energy / jnp.where(going, curvature, 1.0), 0.0)
        energy = jnp.where(going | jnp.isnan(energy), energy, 0.0)
        return u + length * p, r - length * ap, p, energy, goal, count + going.astype(jnp.int32)

    nothing, size = jnp.zeros_like(b), jnp.sum(b * b)
    # An infinite energy lets the loop begin, unless b is zero already.
    energy = jnp.where(size == 0, -1.0, jnp.where(jnp.isnan(size), jnp.nan, jnp.inf)).astype(b.dtype)
    start = nothing, b, nothing, energy, jnp.asarray(-1.0, b.dtype), jnp.zeros((), jnp.int32)
    u, _, _, energy, _, count = jax.lax.while_loop(unfinished, step, start)
    return jnp.where(jnp.isnan(energy), jnp.nan, u * unit), count


def _solve_one(b, initial, diagonal, weights, preconditioner, tolerance, max_iterations):
    def operator(u):
        return diagonal * u + adjoint_differences(weights * differences(u))

    apply_m = _preconditioner(preconditioner, *(jax.lax.stop_gradient(x) for x in (diagonal, weights)))

    def solve(linear, right):
        return conjugate_gradients(
            linear, right, preconditioner=apply_m, tolerance=tolerance, max_iterations=max_iterations
        )

    # Solving for the correction keeps the start out of the derivative and an exact start exact.
    correction, count = jax.lax.custom_linear_solve(
        operator, b - operator(initial), solve, symmetric=True, has_aux=True
    )
    value = initial + correction
    unit = _scale.unit(b)
    left = jnp.sqrt(jnp.sum(jax.lax.stop_gradient((b - operator(value)) / unit) ** 2))
    size = jnp.sqrt(jnp.sum(jax.lax.stop_gradient(b / unit) ** 2))
    residual = jnp.where(size == 0, left, left / jnp.where(size == 0, 1.0, size))
    return Solution(value, residual, count)


def _preconditioner(name: str, diagonal: jax.Array, weights: jax.Array) -> Linear:
    if name == "multigrid":
        return _multigrid.preconditioner(*_links(diagonal, weights))
    if name == "cosine":
        identity = jnp.mean(diagonal)
        # The geometric mean, with a floor under weights of zero.
        floor = jnp.finfo(weights.dtype).tiny ** 0.5
        laplacian = jnp.exp(jnp.mean(jnp.log(jnp.maximum(weights, floor))))
        return lambda r: solve_neumann(r, identity=identity, laplacian=laplacian)
    whole = _multigrid.center(*_links(diagonal, weights))
    return lambda r: r / whole


def _links(diagonal: jax.Array, weights: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    return diagonal, weights[0, :-1, :], weights[1, :, :-1]


def _spectrum(rows: np.ndarray, columns: np.ndarray, b: jax.Array, identity: ArrayLike, laplacian: ArrayLike):
    eigenvalues = 4.0 - 2.0 * np.cos(rows)[:, None] - 2.0 * np.cos(columns)[None, :]
    eigenvalues = np.reshape(eigenvalues, (1,) * (b.ndim - 2) + eigenvalues.shape)
    identity, laplacian = (jnp.asarray(x, b.dtype) for x in (identity, laplacian))
    return identity + laplacian * jnp.asarray(eigenvalues, b.dtype)


def _complex(dtype: jnp.dtype) -> jnp.dtype:
    return jnp.dtype(jnp.complex64 if dtype == jnp.float32 else jnp.complex128)


def _broadcast(x: jax.Array, shape: tuple[int, ...], name: str) -> jax.Array:
    if x.ndim and x.shape[-2:] != shape[-2:]:
        raise ValueError(f"{name} must be a number or have shape {shape}, got {name}.shape = {x.shape}.")
    try:
        return jnp.broadcast_to(x, shape)
    except ValueError as error:
        raise ValueError(f"{name} must broadcast to {shape}, got {name}.shape = {x.shape}.") from error
