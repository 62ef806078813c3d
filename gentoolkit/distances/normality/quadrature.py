r"""Epps-Pulley by a fixed quadrature: what SIGReg of LeJEPA is, a term of a few sums that devices add up.

`epps_pulley` of `characteristic.py` takes the whole integral, with nodes that follow the sample. Here the nodes are
fixed, few and the same for every sample, so that all that is ever needed of a batch is one complex number a slice and
node: devices that hold parts of it exchange these and nothing else.
"""

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from gentoolkit._array import as_floating, check_positive, check_univariate
from gentoolkit.distances.normality import _constants, _sums

AxisName = str | tuple[str, ...]
Weight = Callable[[np.ndarray], np.ndarray]

# Elements of a block of rows that stays in a core's cache, as in `characteristic.py`.
_BLOCK_ELEMENTS = 2**14
# Nodes whose turns are written out in one kernel, where nothing between two of them goes through memory.
_UNROLLED = 32


def epps_pulley_quadrature(
    y: jax.Array,
    *,
    num_nodes: int = 17,
    last_node: float = 3.0,
    weight: Weight | None = None,
    axis_name: AxisName | None = None,
) -> jax.Array:
    r"""Epps-Pulley statistic of a sample against N(0, 1), n times an integral by the trapezoid rule (SIGReg's).

        T = n Σ_k w_k |mean_j exp(i t_k y_j) - exp(-t_k²/2)|²,    t_k = k h,  h = last_node / (num_nodes - 1),

    with w_k = 2 h weight(t_k), half of it at both ends: n times the integral over [-last_node, last_node]. With the
    default options it is the value of `EppsPulley` of lejepa 0.1, by which LeJEPA is weighted: 17 nodes on [0, 3] and
    the weight exp(-t²/2), not the density of N(0, 1). So T is near sqrt(2 π) n times `epps_pulley`, which takes the
    whole integral: 0.7 % below it for a normal sample, and blind to what lies beyond `last_node` and to copies of the
    sample at multiples of 2 π / h (33.5 by default): a slice further out than that is pulled to the nearest multiple.

    The factor n makes the mean under N(0, 1), Σ_k w_k (1 - exp(-t_k²)), the same for all n; a gradient with respect to
    one entry of y does not shrink with n either.

    Time is O(n) a node, most of it one complex product; value and gradient take O(n) memory, and the gradient goes over
    y once more instead of keeping n numbers a node.

    Args:
      y: samples `[..., n]`, in units of the standard deviation of the target law; leading axes are independent.
      num_nodes: static, >= 2, both ends counted. The trapezoid rule takes even numbers too, which lejepa refuses.
      last_node: static, > 0.
      weight: static, a function of the nodes, a NumPy array `[num_nodes]`, that returns as many weights, none below
        zero; None for exp(-t²/2).
      axis_name: static, inside `jax.shard_map` only: the mesh axis (or axes) over which the samples are spread along n,
        equally. Two numbers a row and node are then exchanged, whatever n, and the value is that of the gathered
        sample. Under plain `jit` a sharded y needs nothing.

    Returns:
      Values `[...]`, >= 0, float32 or wider. A row with a NaN or an infinite entry gives NaN, in value and gradient.
      Derivatives are for reverse mode. One entry (n = 1) is a sample like any other.

    Raises:
      ValueError: `y` is empty or a scalar, fewer than two nodes, a `last_node` that is not positive and finite, or
        weights that are not one a node, finite and >= 0.
      TypeError: `y` is not real.

    References:
      Epps and Pulley, "A test for normality based on the empirical characteristic function", Biometrika 70 (1983).
      Balestriero and LeCun, "LeJEPA: provable and scalable self-supervised learning without the heuristics",
      arXiv:2511.08544, section 4 (SIGReg).

    Examples:
      >>> import jax.numpy as jnp
      >>> from gentoolkit.distances import normality
      >>> round(float(normality.epps_pulley_quadrature(jnp.zeros(64))), 2)  # 64 codes that collapsed to a point
      25.73
    """
    check_univariate(y=y)
    (y,) = as_floating(y=y)
    nodes, weights = nodes_and_weights(num_nodes, last_node, weight)
    residual = _residuals(float(nodes[1]), num_nodes, y)
    n = y.shape[-1]
    if axis_name is not None:
        residual = lax.pmean(residual, axis_name)
        n *= lax.axis_size(axis_name)
    # The first node is 0, where both characteristic functions are 1.
    squares = jnp.sum(residual * residual, axis=-2)
    scaled = jnp.asarray(n * weights[1:], y.dtype)
    return jnp.einsum("...k,k->...", squares, scaled, precision=lax.Precision.HIGHEST)


def nodes_and_weights(num_nodes: int, last_node: float, weight: Weight | None) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights of the rule that `epps_pulley_quadrature` goes by.

    Args:
      num_nodes: as there.
      last_node: as there.
      weight: as there.

    Returns:
      `(nodes, weights)`, `[num_nodes]` each, NumPy float64; the weights are those of the integral over both signs.

    Raises:
      ValueError: as there.
    """
    if num_nodes < 2:
        raise ValueError(f"num_nodes must be >= 2, got num_nodes = {num_nodes}.")
    check_positive(last_node=last_node)
    if not math.isfinite(last_node):
        raise ValueError(f"last_node must be finite, got last_node = {last_node}.")
    nodes = np.arange(num_nodes) * (last_node / (num_nodes - 1))
    values = np.exp(-nodes * nodes / 2) if weight is None else np.asarray(weight(nodes), np.float64)
    if values.shape != nodes.shape or not np.all(np.isfinite(values) & (values >= 0)):
        raise ValueError(
            f"weight must return {num_nodes} finite numbers >= 0 for as many nodes, got shape {values.shape}: {values}."
        )
    weights = 2 * nodes[1] * values
    weights[[0, -1]] /= 2
    return nodes, weights


# Its own derivative: autodiff would keep n numbers a node. The derivative is a trigonometric polynomial at the entries
# of y, whose coefficients are all that has to come back.
@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _residuals(step: float, num_nodes: int, y: jax.Array) -> jax.Array:
    """Mean over y `[..., n]` of exp(i t y) less exp(-t²/2) at all nodes but 0: `[..., 2, num_nodes - 1]`."""
    rows = y.reshape(math.prod(y.shape[:-1]), y.shape[-1])
    evaluate = functools.partial(_by_direct_sums, step, num_nodes)
    on_cpu = functools.partial(_by_rotation, step, num_nodes)
    sums = lax.platform_dependent(rows, cpu=on_cpu, default=evaluate)
    return (sums / y.shape[-1]).reshape(*y.shape[:-1], 2, num_nodes - 1)


def _residuals_forward(step, num_nodes, y):
    return _residuals(step, num_nodes, y), y


def _residuals_backward(step, num_nodes, y, cotangent):
    n = y.shape[-1]
    slopes = np.arange(1, num_nodes) * (step / n)
    by_cos, by_sin = (cotangent[..., part, :] * _constants.along_last(slopes, y) for part in (1, 0))
    angle = y * step
    cos, sin = jnp.cos(angle), jnp.sin(angle)

    # Horner's rule for the real part of Σ_k (by_cos_k + i by_sin_k) exp(i k angle); i sin a i sin b is the minus sign.
    def take_node(sums, coefficients):
        real, imag = sums
        a, b = (jnp.expand_dims(each, -1) for each in coefficients)
        real, imag = real + a, imag + b
        return (real * cos - imag * sin, real * sin + imag * cos), None

    coefficients = tuple(jnp.moveaxis(each, -1, 0) for each in (by_cos, by_sin))
    start = (jnp.zeros_like(y), jnp.zeros_like(y))
    (real, _), _ = lax.scan(take_node, start, coefficients, reverse=True, unroll=min(num_nodes - 1, _UNROLLED))
    return (real,)


_residuals.defvjp(_residuals_forward, _residuals_backward)


def _targets(step: float, num_nodes: int, dtype) -> tuple[jax.Array, jax.Array]:
    """exp(-t²/2) at all nodes but 0, in two: rounded to the dtype, and what that has lost."""
    exact = np.exp(-((step * np.arange(1, num_nodes)) ** 2) / 2)
    rounded = exact.astype(dtype)
    return jnp.asarray(rounded), jnp.asarray((exact - rounded).astype(dtype))


def _by_direct_sums(step: float, num_nodes: int, rows: jax.Array) -> jax.Array:
    """Sums over rows `[rows, n]`, `[rows, 2, num_nodes - 1]`: one sum of all nodes, which accelerators fuse."""
    target, rest = _targets(step, num_nodes, rows.dtype)
    nodes = jnp.asarray(step * np.arange(1, num_nodes), rows.dtype)
    angle = rows[:, None, :] * nodes[None, :, None]
    real = jnp.sum(jnp.cos(angle) - target[None, :, None], axis=-1) - rows.shape[-1] * rest[None, :]
    return jnp.stack([real, jnp.sum(jnp.sin(angle), axis=-1)], axis=1)


def _by_rotation(step: float, num_nodes: int, rows: jax.Array) -> jax.Array:
    """The same from one complex number an entry that turns from node to node, in blocks of rows that fit in cache."""
    num_rows, n = rows.shape
    block = max(1, _BLOCK_ELEMENTS // n)
    if num_rows <= block:
        return _rotate(step, num_nodes, rows)
    # The axis that is looped over is the minor one of the rows: rows sharded over devices stay where they are.
    num_blocks = -(-num_rows // block)
    padded = jnp.pad(rows, ((0, num_blocks * block - num_rows), (0, 0))).reshape(block, num_blocks, n)
    sums = lax.map(functools.partial(_rotate, step, num_nodes), padded.swapaxes(0, 1))
    return sums.swapaxes(0, 1).reshape(num_blocks * block, 2, num_nodes - 1)[:num_rows]


def _rotate(step: float, num_nodes: int, rows: jax.Array) -> jax.Array:
    target, rest = _targets(step, num_nodes, rows.dtype)
    half = rows * (step / 2)
    sin = jnp.sin(half)
    # exp(i angle) - 1: added as an increment, whose rounding error shrinks with the angle. As complex numbers, because
    # two outputs of one map would be two loops that both do what they share.
    turn = lax.complex(-2 * sin * sin, 2 * sin * jnp.cos(half))

    def take_node(phasor, target):
        phasor = phasor + turn * phasor
        return phasor, _sums.sum_less(phasor, target)[:, 0]

    start = lax.complex(jnp.ones_like(rows), jnp.zeros_like(rows))
    _, sums = lax.scan(take_node, start, target.astype(start.dtype)[:, None, None])
    real, imag = jnp.real(sums), jnp.imag(sums)
    real = real - rows.shape[-1] * jnp.expand_dims(rest, -1)
    return jnp.stack([real.T, imag.T], axis=1)
