"""How far the codes of a data set are from N(0, I), each number beside what N(0, I) itself gives."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from gentoolkit.distances import gaussian, sliced
from gentoolkit.distances import normality as _normality
from gentoolkit.evaluation import _rows

_LEVEL = 0.05  # of the test on each slice
_SLICES_AT_ONCE = 128  # rows of n projections in memory

# Compiled once for each number of codes, however often an evaluator is called.
_mardia = jax.jit(functools.partial(gaussian.mardia, affine_invariant=False))


@functools.partial(jax.jit, static_argnums=0)
def _each_slice(statistic: Callable[[jax.Array], jax.Array], z: jax.Array, directions: jax.Array) -> jax.Array:
    values = sliced.distance(statistic, z, directions=directions, reduction=None, block_size=_SLICES_AT_ONCE)
    # A statistic that takes a maximum may lose NaN: XLA's reduction over several rows does on CPU.
    return jnp.where(jnp.isnan(z).any(), jnp.nan, values)


def codes(
    encode: Callable[[jax.Array | np.ndarray], jax.Array], batches: _rows.Batches, *, limit: int | None = None
) -> np.ndarray:
    """Collects the codes of a stream of images.

    Args:
      encode: images `[b, h, w, c]` to codes `[b, d]`.
      batches: dicts with `image` `[b, h, w, c]` and optional `counts` `[b]`.
      limit: the most codes to collect, from the first image on; None collects all.

    Returns:
      `[n, d]` float32. This is the one thing here that grows with the data (4 n d bytes): a slice is sorted whole.

    Raises:
      ValueError: there are no images, codes are not `[b, d]`, or limit < 1.
    """
    if limit is not None and limit < 1:
        raise ValueError(f"limit must be >= 1 or None, got limit = {limit}.")
    parts: list[np.ndarray] = []
    num = 0
    for _, z in _rows.rows(encode, batches, name="encode"):
        if z.ndim != 2:
            raise ValueError(f"encode must return codes [b, d], got shape {z.shape}.")
        parts.append(z.astype(np.float32))
        num += len(z)
        if limit is not None and num >= limit:
            break
    return np.concatenate(parts)[:limit]


def mardia(z: np.ndarray | jax.Array) -> dict[str, float]:
    """Mardia's skewness and signed normalised kurtosis of codes against N(0, I), uncentred and not whitened.

    Args:
      z: codes `[n, d]`.

    Returns:
      - `skewness`: the mean of (z_j . z_k)^3; `skewness_null`: d (d + 2) (d + 4) / n, its mean under N(0, I);
        `skewness_p_value`: of values this large under N(0, I);
      - `normalized_kurtosis`: the mean of |z|^4 less d (d + 2), negative for lighter tails;
        `normalized_kurtosis_null_std`: its standard deviation under N(0, I), where its mean is 0;
        `kurtosis_p_value`: two-sided.

    Raises:
      ValueError: z is not `[n, d]`.

    References:
      Knop, Mazur, Tabor, Podolak, Spurek, "Sliced generative models", section 6; see `distances.gaussian.mardia` for
      what is corrected there.
    """
    _check(z)
    result = _mardia(jnp.asarray(z))
    return {
        "skewness": float(result.skewness),
        "skewness_null": float(result.skewness_mean),
        "skewness_p_value": float(result.skewness_p_value),
        "normalized_kurtosis": float(result.normalized_kurtosis),
        "normalized_kurtosis_null_std": float(result.kurtosis_std),
        "kurtosis_p_value": float(result.kurtosis_p_value),
    }


def sliced_wasserstein(z: np.ndarray | jax.Array, directions: np.ndarray | jax.Array) -> dict[str, float]:
    """Squared sliced Wasserstein distance of order 2 from codes to N(0, I), exact on each slice.

    Args:
      z: codes `[n, d]`.
      directions: `[k, d]` unit vectors, for instance of `distances.directions.orthogonal`.

    Returns:
      `sliced_w2_squared`, the mean over slices, and `sliced_w2_squared_null`, its mean under N(0, I).

    Raises:
      ValueError: shapes that do not fit.

    References:
      Knop, Mazur, Tabor, Podolak, Spurek, "Sliced generative models", the closed-form distance (SCFWAE).
    """
    _check(z)
    values = np.asarray(_each_slice(_normality.wasserstein, jnp.asarray(z), jnp.asarray(directions)), np.float64)
    null = _normality.null_mean(_normality.wasserstein, len(z))
    return {"sliced_w2_squared": float(values.mean()), "sliced_w2_squared_null": null}


def kolmogorov_smirnov(z: np.ndarray | jax.Array, directions: np.ndarray | jax.Array) -> dict[str, float]:
    """Kolmogorov-Smirnov tests of every slice of the codes against N(0, 1).

    Args:
      z: codes `[n, d]`.
      directions: `[k, d]` unit vectors.

    Returns:
      - `ks_rejected`: share of slices with a p-value below 0.05, which is 0.05 on average under N(0, I);
      - `ks_p_value`: one p-value of all slices, by the Cauchy combination (slices depend on one another); to be trusted
        where it is small;
      - `ks_mean`: mean over slices of the statistic, the largest gap between distribution functions.

    Raises:
      ValueError: shapes that do not fit.

    References:
      Knop, Mazur, Tabor, Podolak, Spurek, "Sliced generative models" (SKSAE, the statistic).
      Liu and Xie, "Cauchy combination test", JASA 2020.
    """
    _check(z)
    statistic = _normality.kolmogorov_smirnov
    values = np.asarray(_each_slice(statistic, jnp.asarray(z), jnp.asarray(directions)), np.float64)
    p = _normality.p_value(statistic, values, len(z))
    return {
        "ks_rejected": float(np.where(np.isnan(p), np.nan, p < _LEVEL).mean()),
        "ks_p_value": float(_normality.cauchy_combination(p)),
        "ks_mean": float(values.mean()),
    }


def normality(z: np.ndarray | jax.Array, directions: np.ndarray | jax.Array) -> dict[str, float]:
    """Everything that this module measures of codes against N(0, I), in one dict.

    Args:
      z: codes `[n, d]`.
      directions: `[k, d]` unit vectors.

    Returns:
      The entries of `mardia`, `sliced_wasserstein` and `kolmogorov_smirnov`.

    Raises:
      ValueError: shapes that do not fit.
    """
    return {**mardia(z), **sliced_wasserstein(z, directions), **kolmogorov_smirnov(z, directions)}


def _check(z: np.ndarray | jax.Array) -> None:
    if np.ndim(z) != 2 or 0 in np.shape(z):
        raise ValueError(f"z must be non-empty codes [n, d], got z.shape = {np.shape(z)}.")
