"""Sparse approximations with m inducing points, streamed over n data in blocks: O(n m^2) time, O(m^2) memory."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from gentoolkit.gaussian_process import _data, _inducing, _origin, cholesky, posterior
from gentoolkit.gaussian_process.covariance import Covariance

METHODS = ("subset", "sor", "dtc", "fitc", "vfe")


def condition(
    covariance: Covariance,
    x: jax.Array,
    y: jax.Array,
    *,
    inducing: jax.Array,
    noise: ArrayLike,
    method: str = "vfe",
    mean: posterior.Mean = 0.0,
    block_size: int | None = None,
) -> posterior.Posterior:
    """Sparse posterior: n data through m inducing points Z, with Q = K_xZ K_ZZ^-1 K_Zx in place of K.

    | method | covariance of the data | prior at new points |
    |---|---|---|
    | `"subset"` | K on the chosen data, the others are discarded | exact |
    | `"sor"` | Q + noise | Q, so the variance vanishes far from Z |
    | `"dtc"` | Q + noise | exact; same mean as SoR |
    | `"fitc"` | Q + diag(K - Q) + noise | exact |
    | `"vfe"` | Q + noise, with Titsias' bound as its evidence (`evidence.elbo`) | exact; same posterior as DTC |

    Errors of float32 against float64, for targets of unit size, noise of 1e-2 and more of the prior variance: 5e-3 of
    the prior's standard deviation in the mean. They grow as the noise shrinks.

    Args:
      covariance: prior covariance, see `covariance`.
      x: `[n, d]` points.
      y: `[n]` or `[n, p]` values.
      inducing: `[m, d]` inducing points, or `[m]` integers: which of the data they are (`"subset"` takes only these).
      noise: noise variance, scalar or `[n]`, > 0 (>= 0 for `"subset"`); infinite for data to leave out.
      method: one of the above (static).
      mean: prior mean as in `posterior.condition`.
      block_size: data at a time (static), None to choose.

    Returns:
      A `posterior.Posterior`; NaN where an input is NaN or the covariance of the inducing points is indefinite.

    Raises:
      ValueError: shapes disagree, the method is unknown, noise is not positive, or `"subset"` has no integers.
      TypeError: an argument is not a real array.

    References:
      Quiñonero-Candela, Rasmussen, A unifying view of sparse approximate Gaussian process regression, JMLR 2005,
      sections 4 to 6.
      Titsias, Variational learning of inducing variables in sparse Gaussian processes, AISTATS 2009, eq. (10).
    """
    if method not in METHODS:
        raise ValueError(f"method must be one of {METHODS}, got method = {method!r}.")
    x, y, inducing, noise = _origin.arrays(x=x, y=y, inducing=inducing, noise=noise)
    if method == "subset":
        if jnp.ndim(inducing) != 1 or not jnp.issubdtype(jnp.result_type(inducing), jnp.integer):
            raise ValueError(
                "method 'subset' discards data: inducing must be [m] integers that say which to keep, "
                f"got shape {jnp.shape(inducing)} and dtype {jnp.result_type(inducing)}."
            )
        given = _data.prepare(covariance, x, y, noise, mean)
        return posterior._condition(covariance, _chosen(given, jnp.asarray(inducing)))
    given = _data.prepare(covariance, x, y, noise, mean, divides=True)
    places = _inducing.points(given, inducing)
    return _condition(covariance, given, places, method, _inducing.block(given, places, block_size))


def _chosen(given, chosen):
    noise = jnp.asarray(given.noise)[chosen] if jnp.ndim(given.noise) else given.noise
    x, y = (jax.tree.map(lambda leaf: jnp.asarray(leaf)[chosen], leaves) for leaves in (given.x, given.y))
    return dataclasses.replace(given, x=x, y=y, noise=noise)


# An untraced caller would otherwise compile the loop at every call; to a traced one this is no boundary.
@functools.partial(jax.jit, static_argnums=(3, 4), inline=True)
def _condition(covariance, given, inducing, method, size):
    data = _data.ready(given)
    inducing = _inducing.located(data, inducing)
    found = _inducing.statistics(covariance, data, inducing, size, fitc=method == "fitc")
    values = cholesky.transposed_half_solve(found.reduced, found.whitened)
    return posterior.Posterior(
        covariance=covariance,
        prior_mean=data.prior_mean,
        centered=found.inducing,
        origin=data.origin,
        lower=found.lower,
        reduced=found.reduced,
        whitened=found.whitened,
        weights=cholesky.transposed_half_solve(found.lower, values),
        noise=None,
        used=jnp.ones_like(found.inducing, shape=found.inducing.shape[:1]),
        jitter=found.jitter,
        single=data.single,
        degenerate=method == "sor",
    )
