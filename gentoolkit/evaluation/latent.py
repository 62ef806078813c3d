"""How far the codes of a data set are from N(0, I), each number beside what N(0, I) itself gives."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from gentoolkit.distances import gaussian, sliced
from gentoolkit.distances import normality as _normality
from gentoolkit.evaluation import statistics
from gentoolkit.evaluation.measure import Batches, Values, measure

_LEVEL = 0.05  # of the test on each slice
_SLICES_AT_ONCE = 128  # rows of n projections in memory

# Compiled once for each number of codes, however often an evaluator is called.
_mardia = jax.jit(functools.partial(gaussian.mardia, affine_invariant=False))


@jax.jit
def _slices(z: jax.Array, directions: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The Wasserstein and the Kolmogorov-Smirnov statistic of every slice: one projection and one sort for both."""

    def statistics_of(direction):
        y = sliced.project(z, direction[None])[0]
        return _normality.wasserstein(y), _normality.kolmogorov_smirnov(y)

    return jax.lax.map(statistics_of, directions, batch_size=_SLICES_AT_ONCE)


def codes(
    encode: Callable[[jax.Array | np.ndarray], jax.Array], batches: Batches, *, limit: int | None = None
) -> np.ndarray:
    """Collects the codes of a stream of images.

    Args:
      encode: images `[b, h, w, c]` to codes `[b, d]`.
      batches: dicts with `image` `[b, h, w, c]` and optional `counts` `[b]`.
      limit: the most codes to collect, from the first image on; None collects all.

    Returns:
      `[n, d]` float32. This grows with the data (4 n d bytes), since a slice is sorted whole.

    Raises:
      ValueError: there are no images, codes are not `[b, d]`, or limit < 1.
    """

    def rows(values: Values) -> np.ndarray:
        z = values["codes"]
        if z.ndim != 2:
            raise ValueError(f"encode must return codes [b, d], got shape {z.shape}.")
        return z

    found = measure(
        batches,
        extract=lambda batch: {"codes": encode(batch["image"])},
        statistics={"codes": statistics.rows(rows, limit=limit)},
    )
    return found["codes"]


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
    return {name: value for name, value in _of_slices(z, directions).items() if name.startswith("sliced_w2")}


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
    return {name: value for name, value in _of_slices(z, directions).items() if name.startswith("ks_")}


def normality(z: np.ndarray | jax.Array, directions: np.ndarray | jax.Array) -> dict[str, float]:
    """Everything that this module measures of codes against N(0, I): codes are projected and sorted once for all.

    Args:
      z: codes `[n, d]`.
      directions: `[k, d]` unit vectors.

    Returns:
      The entries of `mardia`, `sliced_wasserstein` and `kolmogorov_smirnov`.

    Raises:
      ValueError: shapes that do not fit.
    """
    return mardia(z) | _of_slices(z, directions)


def _of_slices(z: np.ndarray | jax.Array, directions: np.ndarray | jax.Array) -> dict[str, float]:
    _check(z)
    if np.ndim(directions) != 2 or np.shape(directions)[1] != np.shape(z)[1] or not len(directions):
        raise ValueError(
            f"directions must be [k, {np.shape(z)[1]}] for these codes, got directions.shape = {np.shape(directions)}."
        )
    found = _slices(jnp.asarray(z), jnp.asarray(directions))
    wasserstein, smirnov = (np.asarray(values, np.float64) for values in found)
    p = _normality.p_value(_normality.kolmogorov_smirnov, smirnov, len(z))
    return {
        "sliced_w2_squared": float(wasserstein.mean()),
        "sliced_w2_squared_null": _normality.null_mean(_normality.wasserstein, len(z)),
        "ks_rejected": float(np.where(np.isnan(p), np.nan, p < _LEVEL).mean()),
        "ks_p_value": float(_normality.cauchy_combination(p)),
        "ks_mean": float(smirnov.mean()),
    }


def _check(z: np.ndarray | jax.Array) -> None:
    if np.ndim(z) != 2 or 0 in np.shape(z):
        raise ValueError(f"z must be non-empty codes [n, d], got z.shape = {np.shape(z)}.")
