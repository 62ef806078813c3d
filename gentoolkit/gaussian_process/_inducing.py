"""What n data say about m inducing points, gathered in blocks of data: O(n m^2) time, O(m^2) memory."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gentoolkit import _array
from gentoolkit.gaussian_process import _blocks, _data, _origin, cholesky
from gentoolkit.gaussian_process.covariance import Covariance

# Always added to the covariance of the inducing points, in units of eps times each diagonal entry: the data are seen
# through L^-1, which magnifies rounding by the inverse root of the smallest pivot.
_JITTER = 10.0


class Statistics(NamedTuple):
    """What n data say about m inducing points, in coordinates whitened by `lower`.

    Attributes:
      inducing: `[m, d]`.
      lower: `[m, m]` factor of the prior covariance of the inducing values.
      jitter: `[]`, the larger one of those of the two factors.
      reduced: `[m, m]` factor of I + A A^T, A `[m, n]` the whitened covariance with the data over the noise's root.
      whitened: `[m, p]`, the targets seen through A and `reduced`.
      log_noise: `[]`, sum of the logs of the effective noise variances.
      missing: `[]`, sum of the variance that the inducing points do not explain, over the noise variances.
      num: `[]`, how many data are used.
    """

    inducing: jax.Array
    lower: jax.Array
    jitter: jax.Array
    reduced: jax.Array
    whitened: jax.Array
    log_noise: jax.Array
    missing: jax.Array
    num: jax.Array


def points(given: _data.Given, inducing: Any) -> _origin.Wide | jax.Array:
    """Inducing points `[m, d]`, checked, or integers `[m]` that name data."""
    (inducing,) = _origin.arrays(inducing=inducing)
    if jnp.ndim(inducing) == 1 and jnp.issubdtype(jnp.result_type(inducing), jnp.integer) and jnp.size(inducing):
        return jnp.asarray(inducing)
    _blocks.check_points(inducing=inducing)
    _array.check_samples(x=given.x.high, inducing=inducing)
    return _origin.split(inducing, given.x.high.dtype)


def located(data: _data.Data, inducing: _origin.Wide | jax.Array) -> jax.Array:
    """Inducing points `[m, d]` less the origin of the data."""
    return _origin.less(inducing, data.origin) if isinstance(inducing, _origin.Wide) else data.x[inducing]


def block(given: _data.Given, inducing: _origin.Wide | jax.Array, block_size: int | None) -> int:
    """How many data at a time."""
    num = jax.tree.leaves(inducing)[0].shape[0]
    return _blocks.rows_of_block(num, given.x.high.shape[0], block_size)


def statistics(
    covariance: Covariance, data: _data.Data, inducing: jax.Array, size: int, *, fitc: bool = False
) -> Statistics:
    """One pass over the data, `size` at a time; with `fitc` the unexplained variance counts as noise."""
    (n, m), dtype = (data.x.shape[0], inducing.shape[0]), data.x.dtype
    eps = float(jnp.finfo(dtype).eps)
    lower, jitter = cholesky.factorize(covariance.gram(inducing, inducing), min_jitter=_JITTER * eps)
    # What fills the last block is not used.
    rows = [_blocks.split(leaf, size) for leaf in (data.x, data.residual, data.noise)]
    filled = jnp.concatenate([data.used, jnp.zeros((-n % size,), dtype)]).reshape(-1, size)

    @jax.checkpoint
    def add(total, block):
        x, residual, noise, used = block
        explained = cholesky.half_solve(lower, covariance.gram(inducing, x))
        left = jnp.maximum(covariance.diagonal(x) - jnp.sum(explained * explained, axis=0), 0.0)
        if fitc:
            noise = noise + left
        root = used / jnp.sqrt(noise)
        scaled = explained * root[None, :]
        terms = (
            _blocks.matmul(scaled, scaled.T),
            _blocks.matmul(scaled, residual * root[:, None]),
            jnp.sum(used * jnp.log(noise)),
            jnp.sum(used * left / noise),
        )
        return jax.tree.map(jnp.add, total, terms), None

    start = jax.tree.map(
        lambda shape: jnp.zeros(shape, dtype), ((m, m), (m, data.residual.shape[1]), (), ()), is_leaf=_is_shape
    )
    (outer, seen, log_noise, missing), _ = jax.lax.scan(add, start, (*rows, filled))
    # Its pivots are at least 1 whatever the signal.
    reduced, reduced_jitter = cholesky.factorize(outer + jnp.eye(m, dtype=dtype), min_pivot=0.0)
    return Statistics(
        inducing=inducing,
        lower=lower,
        jitter=jnp.maximum(jitter, reduced_jitter),
        reduced=reduced,
        whitened=cholesky.half_solve(reduced, seen),
        log_noise=log_noise,
        missing=missing,
        num=jnp.sum(data.used),
    )


def quadratic(covariance: Covariance, data: _data.Data, found: Statistics, size: int) -> jax.Array:
    """`y^T (Q + noise)^-1 y` summed over targets, from a second pass over the data.

    As the smallest of |y - f|^2 / noise + |f|^2_Q over functions f: two terms that are positive, where the usual
    difference of two large numbers loses all digits of float32 at small noise.
    """
    values = cholesky.transposed_half_solve(found.reduced, found.whitened)

    def miss(block):
        x, residual, noise, used = block
        explained = cholesky.half_solve(found.lower, covariance.gram(found.inducing, x))
        error = residual - _blocks.matmul(explained.T, values)
        return jnp.sum(error * error, axis=1) * used / noise

    misses = _blocks.map_rows(miss, (data.x, data.residual, data.noise, data.used), size)
    return jnp.sum(misses) + jnp.sum(values * values)


def _is_shape(value):
    return isinstance(value, tuple) and all(isinstance(size, int) for size in value)
