"""A destructor of elliptical dependence: Student margins, a linear map, a radial map; log-determinant in closed form.

The law it destroys exactly is one whose normal scores z, each feature carried to the quantiles of a Student t, have
elliptical contours: Gaussian copulas, t copulas, and every radial law between, whatever the marginals were. In order:

    y_j = t_nu^-1(Phi(z_j))          margins on the scale on which the contours are elliptical
    w   = L^-1 y                     L L' the scatter matrix
    v   = h(log |w|)                 the radius to N(0, 1), by any marginal map
    out = w chi_d^-1(Phi(v)) / |w|   N(0, I) if the contours were spheres

nu and how far the scatter matrix is shrunk to its diagonal are chosen by the likelihood of each row under the t copula
fitted to the others, by rank-one downdates: O(n d^2) for each candidate, nothing is fitted n times. The radii that h is
fitted to are those of rows left out, in the same way, so that they are as large as those of new rows.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gentoolkit import _lapack
from gentoolkit._array import as_floating
from gentoolkit.distances import products, sorting
from gentoolkit.gaussianization import marginal
from gentoolkit.information._checks import gram

# Degrees of freedom that are tried; infinity is the Gaussian copula.
_DOFS = (1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 7.0, 10.0, 15.0, 25.0, 50.0, np.inf)
_SHRINKAGES = (0.0, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 0.85, 1.0)
_LARGEST_SCORE, _NODES = 8.0, 513
_ITERATIONS = 12
_SELECTION_ROWS = 1 << 12  # enough to tell the candidates apart; the chosen one is fitted to all rows
_FEW_ROWS = 1 << 13
_MARGINAL = marginal.quantile(tails="pareto")


class Elliptical(NamedTuple):
    """A fitted destructor, a pytree of arrays.

    Attributes:
      margin: `[nodes, 2]` the Student margin as a table.
      whitening: `[d, d]` lower triangular L^-1.
      radial: the fitted map of log |w|.
      dof: `[]` degrees of freedom of the margins.
      shrinkage: `[]` share of the diagonal in the scatter matrix.
    """

    margin: jax.Array
    whitening: jax.Array
    radial: Any
    dof: jax.Array
    shrinkage: jax.Array


def fit(z: jax.Array) -> tuple[Elliptical, jax.Array, jax.Array]:
    """Fits the destructor to normal scores.

    Args:
      z: `[n, d]` scores with N(0, 1) margins, d >= 2, the rows in random order.

    Returns:
      The destructor; `[n, d]` the scores as it maps them, each with the radius it has as a row left out; and `[n]` the
      log of the density over that of N(0, I), each row again left out of the scatter matrix.
    """
    (z,) = as_floating(z=z)
    few = z[:_SELECTION_ROWS]
    tables = jnp.asarray(_margin_tables(), z.dtype)
    dofs = jnp.asarray(np.array(_DOFS), z.dtype)
    score = jax.vmap(lambda table, dof: _candidate_likelihoods(table, dof, few))(tables, dofs)
    best = jnp.argmax(jnp.where(jnp.isnan(score), -jnp.inf, score).reshape(-1))
    at_dof, at_share = best // len(_SHRINKAGES), best % len(_SHRINKAGES)
    table, dof, share = tables[at_dof], dofs[at_dof], jnp.asarray(_SHRINKAGES, z.dtype)[at_share]
    # The best share falls as 1 / n; what was found on few rows is carried over to all.
    share = share * (few.shape[0] / z.shape[0]) / (share * (few.shape[0] / z.shape[0]) + 1 - share)
    y, log_slope = _student_margin(table, z)
    scatter, weight = _scatter(y, dof)
    diagonal = jnp.diag(jnp.diagonal(scatter))
    whitening = _whitening((1 - share) * scatter + share * diagonal)
    w = _whiten(whitening, y)
    inside = jnp.sum(w * w, axis=-1)
    own = _own_part(inside, weight, share)
    square = inside / (1 - own)
    log_radius = 0.5 * jnp.log(square)
    # By XLA's own sort where it costs no time: a program without calls to the host can be kept for the next process.
    ordered = sorting.sort(log_radius[None, :], method="xla" if z.shape[0] <= _FEW_ROWS else None)
    radial = _MARGINAL.fit(ordered, is_sorted=True)
    # The direction of the row, the radius of the row left out.
    w = w * jnp.sqrt(square / inside)[:, None]
    fitted = Elliptical(table, whitening, radial, dof, share)
    out, log_det = _to_chi(fitted, w)
    log_det += log_slope.sum(axis=-1) + jnp.log(jnp.diagonal(whitening)).sum() - 0.5 * jnp.log1p(-own)
    return fitted, out, log_det + 0.5 * jnp.sum(z * z - out * out, axis=-1)


def forward(fitted: Elliptical, z: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Maps normal scores to (nearly) independent ones.

    Args:
      fitted: from `fit`.
      z: `[m, d]` scores.

    Returns:
      `[m, d]`, and `[m]` the log-determinant of the map.
    """
    (z,) = as_floating(z=z)
    y, log_slope = _student_margin(fitted.margin, z)
    w = _whiten(fitted.whitening, y)
    out, log_det = _to_chi(fitted, w)
    return out, log_det + log_slope.sum(axis=-1) + jnp.log(jnp.diagonal(fitted.whitening)).sum()


def _to_chi(fitted: Elliptical, w: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Moves every row along its ray so that the radius has the law of |N(0, I)|; log-determinant."""
    dim = w.shape[-1]
    square = jnp.sum(w * w, axis=-1)
    log_radius = 0.5 * jnp.log(jnp.maximum(square, jnp.finfo(w.dtype).tiny))
    v, log_slope = (a[0] for a in _MARGINAL.forward(fitted.radial, log_radius[None, :]))
    table = jnp.asarray(_chi_table(dim), w.dtype)
    # log radius -> v -> log of the chi quantile, whose slope in v the table has too.
    new, log_chi_slope = _hermite(table, v)
    return w * jnp.exp(new - log_radius)[:, None], dim * (new - log_radius) + log_slope + log_chi_slope


def _whitening(scatter: jax.Array) -> jax.Array:
    """The inverse of the Cholesky factor, by a solve as small as the matrix; the samples then need a product only."""
    identity = jnp.eye(scatter.shape[-1], dtype=scatter.dtype)
    return _lapack.triangular_solve(_lapack.cholesky(scatter), identity)


def _whiten(whitening: jax.Array, y: jax.Array) -> jax.Array:
    return products.matmul(y, whitening.T)


def _weight(y, whitening, dof):
    """Weights of the t likelihood, `(nu + d) / (nu + r^2)`; 1 for the Gaussian."""
    square = jnp.sum(_whiten(whitening, y) ** 2, axis=-1)
    finite = jnp.where(jnp.isfinite(dof), dof, 1.0)
    return jnp.where(jnp.isfinite(dof), (finite + y.shape[-1]) / (finite + square), 1.0)


def _scatter(y, dof):
    """Maximum likelihood scatter of a t law of known margins, mean 0, by reweighting; and the last weights."""
    n, dim = y.shape
    ridge = 1e-6 * jnp.eye(dim, dtype=y.dtype)

    def step(scatter, _):
        weight = _weight(y, _whitening(scatter), dof)
        weighted = gram(y * weight[:, None], y) / n
        return weighted + ridge * jnp.trace(weighted) / dim, None

    start = jnp.eye(dim, dtype=y.dtype)
    scatter = jax.lax.scan(step, start, None, length=_ITERATIONS)[0]
    return scatter, _weight(y, _whitening(scatter), dof)


def _own_part(square, weight, share):
    """What of a squared radius each row owes to its own part of the scatter: S - c y y', by Sherman and Morrison.

    Its part of the diagonal stays: it is one of n in each single variance, not one of n in d (d + 1) / 2 entries.
    """
    return jnp.minimum((1 - share) * weight * square / square.shape[-1], 0.95)


def _candidate_likelihoods(table, dof, z):
    """Mean log-density ratio of rows left out of the t copula of `dof`, for every shrinkage, `[shares]`."""
    dim = z.shape[1]
    y, log_slope = _student_margin(table, z)
    scatter, weight = _scatter(y, dof)
    root = jnp.sqrt(jnp.diagonal(scatter))
    # In the basis of the correlation matrix every shrinkage is diagonal.
    value, vectors = _lapack.eigh(scatter / root[:, None] / root[None, :])
    shares = jnp.asarray(_SHRINKAGES, z.dtype)
    values = (1 - shares)[:, None] * value[None, :] + shares[:, None]
    component = products.matmul(y / root[None, :], vectors)
    square = products.matmul(component * component, 1 / values.T).T  # [shares, n]
    own = _own_part(square, weight[None, :], shares[:, None])
    log_det = (jnp.log(values).sum(axis=-1) + 2 * jnp.log(root).sum())[:, None] + jnp.log1p(-own)
    square = square / (1 - own)
    finite = jnp.where(jnp.isfinite(dof), dof, 1.0)
    constant = (
        jax.scipy.special.gammaln((finite + dim) / 2)
        - jax.scipy.special.gammaln(finite / 2)
        - 0.5 * dim * jnp.log(finite * np.pi)
    )
    student = constant - 0.5 * (finite + dim) * jnp.log1p(square / finite)
    normal = -0.5 * square - 0.5 * dim * np.log(2 * np.pi)
    log_density = jnp.where(jnp.isfinite(dof), student, normal) - 0.5 * log_det
    return log_density.mean(axis=-1) + log_slope.sum(axis=-1).mean()


def _student_margin(table: jax.Array, z: jax.Array) -> tuple[jax.Array, jax.Array]:
    """`t_nu^-1(Phi(z))` and the log of its slope; the table holds asinh of it."""
    value, log_slope = _hermite(table, z)
    # log cosh without overflow.
    size = jnp.abs(value)
    return jnp.sinh(value), log_slope + size + jnp.log1p(jnp.exp(-2 * size)) - np.log(2)


def _hermite(table: jax.Array, z: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Cubic interpolation of values and slopes `[nodes, 2]` on even nodes, lines outside; and the log of its slope."""
    num = table.shape[0]
    width = 2 * _LARGEST_SCORE / (num - 1)
    inside = jnp.clip(z, -_LARGEST_SCORE, _LARGEST_SCORE)
    place = (inside + _LARGEST_SCORE) / width
    left = jnp.clip(jnp.where(jnp.isnan(place), 0.0, place).astype(jnp.int32), 0, num - 2)
    t = place - left.astype(z.dtype)
    low, high = table[left], table[left + 1]
    rise = high[..., 0] - low[..., 0]
    a = width * low[..., 1] - rise
    b = -width * high[..., 1] + rise
    value = low[..., 0] + t * rise + t * (1 - t) * (a * (1 - t) + b * t)
    slope = (rise + (1 - 2 * t) * (a * (1 - t) + b * t) + t * (1 - t) * (b - a)) / width
    return value + slope * (z - inside), jnp.log(slope)


@functools.lru_cache
def _margin_tables() -> np.ndarray:
    """`[dofs, nodes, 2]`: asinh of the Student quantile of Phi(z), and its slope, at even z."""
    from scipy import special

    z = np.linspace(-_LARGEST_SCORE, _LARGEST_SCORE, _NODES)
    tables = []
    for dof in _DOFS:
        if np.isinf(dof):
            y, log_slope = z, np.zeros_like(z)
        else:
            y = np.sign(z) * -special.stdtrit(dof, special.ndtr(-np.abs(z)))
            log_density = (
                special.gammaln((dof + 1) / 2)
                - special.gammaln(dof / 2)
                - 0.5 * np.log(dof * np.pi)
                - (dof + 1) / 2 * np.log1p(y * y / dof)
            )
            log_slope = -0.5 * z * z - 0.5 * np.log(2 * np.pi) - log_density
        tables.append(np.stack([np.arcsinh(y), np.exp(log_slope) / np.sqrt(1 + y * y)], axis=-1))
    return np.stack(tables)


@functools.lru_cache
def _chi_table(dim: int) -> np.ndarray:
    """`[nodes, 2]`: log of the chi quantile of Phi(v) with `dim` degrees of freedom, and its slope, at even v."""
    from scipy import special

    v = np.linspace(-_LARGEST_SCORE, _LARGEST_SCORE, _NODES)
    half = np.where(
        v < 0, special.gammaincinv(dim / 2, special.ndtr(v)), special.gammainccinv(dim / 2, special.ndtr(-v))
    )
    log_radius = 0.5 * np.log(2 * half)
    log_density = dim * log_radius - half - (dim / 2 - 1) * np.log(2) - special.gammaln(dim / 2)  # of log radius
    return np.stack([log_radius, np.exp(-0.5 * v * v - 0.5 * np.log(2 * np.pi) - log_density)], axis=-1)
