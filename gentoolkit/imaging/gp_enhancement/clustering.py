"""Pairs of dark and bright patches at the same place, clustered: what a tone map is learnt from."""

import dataclasses

import jax
import jax.numpy as jnp

from gentoolkit import _pytree
from gentoolkit.gaussian_process import kmeans
from gentoolkit.imaging import _images, patches
from gentoolkit.imaging.gp_enhancement import _encoding

# Lloyd ends where a step gains less than a thousandth: on pairs of photographs after a quarter of the steps to
# convergence, with 0.5 to 2 % more objective in the mean, where another seed gives from 5 % less to 8 % more.
MIN_DECREASE = 1e-3
# Clusters do not mix channels whose one-hot features lie this far apart, in units of a pixel.
_APART = 100.0


@_pytree.register
@dataclasses.dataclass(frozen=True)
class Pairs:
    """Clustered pairs of patches.

    Attributes:
      x: `[k, d]`, dark halves of the centres, warped, the channel's columns appended.
      y: `[k]`, middle pixel of the bright halves.
      counts: `[k]`, pairs of each cluster.
      variances: `[k]`, variance of the middle bright pixel inside each cluster.
      all_x: `[n, d]`, every pair as `x` has it, and `all_y` `[n]`.
      all_y: `[n]`.
      inertia: `[]`.
    """

    x: jax.Array
    y: jax.Array
    counts: jax.Array
    variances: jax.Array
    all_x: jax.Array
    all_y: jax.Array
    inertia: jax.Array


def cluster(
    key: jax.Array,
    image: jax.Array,
    reference: jax.Array,
    *,
    num_clusters: int = 30,
    patch_size: int = 3,
    warp: str = "none",
    channels: str = "pooled",
    init: str | jax.Array = "parallel",
    min_decrease: float = MIN_DECREASE,
) -> Pairs:
    """The first half of `tone_map.fit`: pairs of patches and their clusters.

    Args:
      key: PRNG key of the seeding.
      image: `[h, w, c]` dark, in [0, 1].
      reference: `[h, w, c]` roughly bright.
      num_clusters: k (static).
      patch_size: see `tone_map.fit` (static).
      warp: see `tone_map.fit` (static).
      channels: see `tone_map.fit` (static).
      init: see `tone_map.fit`.
      min_decrease: see `tone_map.fit` (static).

    Returns:
      `Pairs`.

    Raises:
      ValueError: shapes disagree, an option is unknown, or there are fewer patches than clusters.
      TypeError: an image holds integers.
    """
    image, reference = _images.as_pair(image, reference)
    num_channels = image.shape[-1]
    encoding = _encoding.Encoding(patch_size, warp, channels, num_channels)
    x = encoding.points(encoding.warped(patches.extract(image, patch_size)))
    num, size = x.shape[0], patch_size**2
    bright = patches.extract(reference, patch_size).reshape(num, size)
    _images.check_whole(least=1, num_clusters=num_clusters)
    if num_clusters > num:
        raise ValueError(
            f"num_clusters must be at most the number of patches: num_clusters = {num_clusters}, but an image of shape "
            f"{image.shape} has {num} patches of {patch_size} x {patch_size}."
        )
    channel = x[:, size:]
    if channels == "coregionalized":
        channel = _encoding.one_hot(channel[:, 0].astype(jnp.int32), num_channels, _APART, x.dtype)
    joint = jnp.concatenate([x[:, :size], bright, channel], axis=-1)
    found = kmeans.kmeans(key, joint, num_clusters, init=init, min_decrease=min_decrease)
    middle = size + encoding.middle
    labels = jnp.maximum(found.labels, 0)
    squares = jax.ops.segment_sum((joint[:, middle] - found.centers[labels, middle]) ** 2, labels, num_clusters)
    channel = found.centers[:, 2 * size :]
    if channels == "coregionalized":
        channel = jnp.argmax(jnp.round(channel / _APART), axis=-1, keepdims=True).astype(x.dtype)
    return Pairs(
        x=jnp.concatenate([found.centers[:, :size], channel], axis=-1),
        y=found.centers[:, middle],
        counts=found.counts,
        variances=squares / jnp.maximum(found.counts, 1.0),
        all_x=x,
        all_y=bright[:, encoding.middle],
        inertia=found.inertia,
    )
