"""The published forms by name: LM on luma, CM on RGB, and their forerunner GPE on unique pairs of mean intensities.

The paper seeds k-means by k-means++ and repeats until the set of centres is stable. Here it is seeded by k-means|| and
ends where a step gains less than 0.1 %, for half to a fifth of the time. `tone_map.fit(init="greedy",
min_decrease=0.0)` is nearer to the paper: it ends where centres have all but stopped (`kmeans.kmeans`, `tolerance`).
"""

import jax
import jax.numpy as jnp

from gentoolkit.gaussian_process import evidence, posterior
from gentoolkit.imaging import _images, color, patches
from gentoolkit.imaging.gp_enhancement import tone_map

_LEVELS = 256
# Pairs are rounded to 8 bits; below this ratio of noise to signal the factorization retries, at many times the cost.
_LEAST_NOISE = 1e-4


def luminance(
    key: jax.Array,
    image: jax.Array,
    reference: jax.Array,
    *,
    num_clusters: int = 200,
    patch_size: int = 3,
    maximum_chroma_gain: float | None = None,
) -> jax.Array:
    """LM: the luma brightened by a Gaussian process on k-means centres, the chroma left as it was.

    Args:
      key: PRNG key of the seeding.
      image: `[h, w, 3]` dark RGB in [0, 1].
      reference: `[h, w, 1]` rough bright luma.
      num_clusters: k (static).
      patch_size: see `tone_map.fit` (static).
      maximum_chroma_gain: None for the published form, whose colours are pale; a number amplifies the chroma as much
        as the luma, at most so many times (static).

    Returns:
      `[h, w, 3]` in [0, 1].

    Raises:
      ValueError: shapes disagree, or there are fewer patches than clusters.
      TypeError: an image holds integers.

    References:
      Loh, A new framework for efficient low-light image enhancement using approximated Gaussian process, table I.
    """
    y = color.luma(image)
    found = tone_map.fit(key, y, reference, num_clusters=num_clusters, patch_size=patch_size)
    return _with_luma(image, tone_map.apply(found, y), maximum_chroma_gain)


def rgb(
    key: jax.Array, image: jax.Array, reference: jax.Array, *, num_clusters: int = 30, patch_size: int = 3
) -> jax.Array:
    """CM: one Gaussian process on k-means centres for all three channels.

    Args:
      key: PRNG key of the seeding.
      image: `[h, w, 3]` dark RGB in [0, 1].
      reference: `[h, w, 3]` rough bright RGB.
      num_clusters: k (static).
      patch_size: see `tone_map.fit` (static).

    Returns:
      `[h, w, 3]` in [0, 1].

    Raises:
      ValueError: shapes disagree, or there are fewer patches than clusters.
      TypeError: an image holds integers.

    References:
      Loh, A new framework for efficient low-light image enhancement using approximated Gaussian process, table II.
    """
    found = tone_map.fit(key, image, reference, num_clusters=num_clusters, patch_size=patch_size)
    return tone_map.apply(found, image)


def unique_pairs(
    key: jax.Array,
    image: jax.Array,
    reference: jax.Array,
    *,
    max_pairs: int = 256,
    patch_size: int = 3,
    maximum_chroma_gain: float | None = None,
) -> jax.Array:
    """GPE, the forerunner: a Gaussian process on the distinct pairs of mean intensities, the chroma left as it was.

    Args:
      key: PRNG key of the hyper-parameters' search.
      image: `[h, w, 3]` dark RGB in [0, 1].
      reference: `[h, w, 1]` rough bright luma.
      max_pairs: if there are more distinct pairs, so many of them, evenly spread over their order (static).
      patch_size: side of the patches whose means are paired (static).
      maximum_chroma_gain: as in `luminance` (static).

    Returns:
      `[h, w, 3]` in [0, 1].

    Raises:
      ValueError: shapes disagree or `max_pairs` < 1.
      TypeError: an image holds integers.

    References:
      Loh, Liang, Chan, Low-light image enhancement using Gaussian process for features retrieval, Signal Processing:
      Image Communication 2019, as the paper above sums it up.
    """
    y = color.luma(image)
    found = fit_unique_pairs(key, y, reference, max_pairs=max_pairs, patch_size=patch_size)
    return _with_luma(image, tone_map.apply(found, y), maximum_chroma_gain)


def fit_unique_pairs(
    key: jax.Array, image: jax.Array, reference: jax.Array, *, max_pairs: int = 256, patch_size: int = 3
) -> tone_map.ToneMap:
    """The tone map of GPE, from a pixel to a pixel.

    Args:
      key: PRNG key of the hyper-parameters' search.
      image: `[h, w, 1]` dark luma in [0, 1].
      reference: `[h, w, 1]` rough bright luma.
      max_pairs: as in `unique_pairs` (static).
      patch_size: side of the patches, as there (static).

    Returns:
      A `tone_map.ToneMap`; its `counts` are how many patches each pair stands for, 0 beyond the distinct pairs.

    Raises:
      ValueError: shapes disagree or `max_pairs` < 1.
      TypeError: an image holds integers.
    """
    image, reference = _images.as_pair(image, reference, channels=1)
    _images.check_whole(least=1, max_pairs=max_pairs)
    dark, bright = (_mean_levels(one, patch_size) for one in (image, reference))
    occupied = jnp.zeros((_LEVELS * _LEVELS,), image.dtype).at[dark * _LEVELS + bright].add(1.0)
    num = jnp.sum((occupied > 0).astype(jnp.int32))
    # The rank of a cell among the occupied ones; of too many, some evenly spread ones are taken.
    cells = jnp.nonzero(occupied > 0, size=_LEVELS * _LEVELS, fill_value=0)[0]
    step = jnp.maximum(num.astype(image.dtype) / max_pairs, 1.0)
    rank = jnp.floor(jnp.arange(max_pairs, dtype=image.dtype) * step).astype(jnp.int32)
    used = rank < num
    cell = cells[jnp.minimum(rank, _LEVELS * _LEVELS - 1)]
    x = (cell // _LEVELS).astype(image.dtype)[:, None] / (_LEVELS - 1)
    y = (cell % _LEVELS).astype(image.dtype) / (_LEVELS - 1)
    fitted = evidence.fit(
        key,
        x,
        y,
        noise_weights=jnp.where(used, 1.0, jnp.inf),
        min_noise_ratio=_LEAST_NOISE,
        num_starts=1,
        num_steps=20,
    )
    found = posterior.condition(fitted.covariance, x, y, noise=jnp.where(used, fitted.noise, jnp.inf))
    counts = jnp.where(used, occupied[cell], 0.0)
    return tone_map.ToneMap(found, counts, jnp.zeros((), image.dtype), 1, "none", "pooled", 1)


def _mean_levels(image: jax.Array, patch_size: int) -> jax.Array:
    means = jnp.mean(patches.extract(image, patch_size), axis=-1).reshape(-1)
    return jnp.round(jnp.clip(means, 0.0, 1.0) * (_LEVELS - 1)).astype(jnp.int32)


def _with_luma(image: jax.Array, y: jax.Array, maximum_chroma_gain: float | None) -> jax.Array:
    return jnp.clip(color.replace_luma(image, y, maximum_chroma_gain=maximum_chroma_gain), 0.0, 1.0)
