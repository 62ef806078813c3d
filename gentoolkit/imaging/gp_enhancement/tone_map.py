"""A tone map learnt from one dark image and its rough bright reference: fitted on few pairs, applied in strips."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp

from gentoolkit import _pytree
from gentoolkit.gaussian_process import coregionalization, covariance, evidence, posterior, sparse
from gentoolkit.imaging import _images
from gentoolkit.imaging.gp_enhancement import _encoding, power_law
from gentoolkit.imaging.gp_enhancement._encoding import CHANNELS, WARPS
from gentoolkit.imaging.gp_enhancement.clustering import MIN_DECREASE, Pairs, cluster

__all__ = ["CHANNELS", "MEANS", "NOISES", "WARPS", "Pairs", "ToneMap", "apply", "cluster", "condition", "fit"]

NOISES = ("uniform", "cluster", "heteroscedastic")
MEANS = ("zero", "centre", "power")

# Correlations of two channels' maps that the evidence chooses from.
_CORRELATIONS = (0.3, 0.9, 0.99)
# Steps of the refinement, and points of the grid before it: on clusters of photographs more of either, or a second
# start, raise the evidence by less than 0.1 nats, but for 2 in 160.
_NUM_STEPS, _GRID_POINTS = 16, 64
# Variance of the rounding to 8 bits, which no cluster is more exact than.
_ROUNDING = 1.0 / 12.0 / 255.0**2
# Pixels of a strip, over all channels: 9 features of each take 9 MiB.
_STRIP = 1 << 18


@_pytree.register
@dataclasses.dataclass(frozen=True)
class ToneMap:
    """What a pixel becomes, given the patch around it; a pytree.

    Attributes:
      posterior: Gaussian process over warped dark patches (and the channel).
      counts: `[n]`, how many pairs each of its data stands for; 0 for one that is left out.
      inertia: `[]`, the objective of the clustering.
      patch_size: side of the patches (static).
      warp: see `fit` (static).
      channels: see `fit` (static).
      num_channels: of the images that it is for (static).
      gammas: `[c]`, of the power law that the process departs from; None if its mean is a constant.
      departure: what the process is multiplied by, see `fit` (static).
      num_bits: see `fit` (static).
    """

    posterior: posterior.Posterior
    counts: jax.Array
    inertia: jax.Array
    patch_size: int = dataclasses.field(metadata={"static": True})
    warp: str = dataclasses.field(metadata={"static": True})
    channels: str = dataclasses.field(metadata={"static": True})
    num_channels: int = dataclasses.field(metadata={"static": True})
    gammas: jax.Array | None = None
    departure: float = dataclasses.field(default=1.0, metadata={"static": True})
    num_bits: int | None = dataclasses.field(default=8, metadata={"static": True})


def fit(
    key: jax.Array,
    image: jax.Array,
    reference: jax.Array,
    *,
    num_clusters: int = 30,
    patch_size: int = 3,
    warp: str = "none",
    channels: str = "pooled",
    noise: str = "uniform",
    mean: str = "zero",
    departure: float = 1.0,
    num_bits: int | None = 8,
    all_pairs: bool = False,
    init: str | jax.Array = "parallel",
    min_decrease: float = MIN_DECREASE,
) -> ToneMap:
    """Learns a tone map: k-means on pairs of patches at the same place, a Gaussian process from centre to centre.

    The defaults are the published form; every other option is a remedy for one of its weaknesses.

    Args:
      key: PRNG key of the seeding.
      image: `[h, w, c]` dark, in [0, 1].
      reference: `[h, w, c]` roughly bright, in [0, 1], of the same content.
      num_clusters: k (static). Where there are fewer distinct pairs the rest of the clusters is left out.
      patch_size: side of the square patches, which do not overlap; the process predicts their middle pixel (static).
      warp: `"cbrt"` takes cube roots of dark values first: a brightening curve is steep at 0, where no stationary
        covariance follows it; `"none"` does not (static).
      channels: `"pooled"` has one map for all channels, which cannot undo a colour cast; `"feature"` appends the
        channel, one-hot, to a patch; `"coregionalized"` has a map for each channel, correlated as much as the evidence
        says (static).
      noise: of a centre: `"uniform"`, `"cluster"` for one over the size of the cluster, `"heteroscedastic"` for the
        variance of the bright pixels inside the cluster over its size (static).
      mean: of the process: `"zero"`, `"centre"` for the mean of the targets, or `"power"` for the power law
        x^(1 / gamma) nearest to the targets, of each channel alone unless they are pooled: it holds the whole image to
        one law of darkening, and black to black as far as rounding tells it from grey (static).
      departure: share of the reference's departure from the power law that is believed, in [0, 1]. The errors of a
        reference are smooth in the dark value, as the departure is, so that no evidence tells one from the other: this
        is the share of the departure in the variance of both (static).
      num_bits: of the image as it was stored. The power law of a rounded value is the middle of what rounds to it;
        None for no rounding (static).
      all_pairs: condition a sparse posterior on every pair, the centres being its inducing points, instead of an exact
        one on the centres (static).
      init: as in `kmeans.kmeans`: `"parallel"` for k-means||, `"greedy"` or `"plain"` for k-means++ (static), or the
        first centres `[k, 2 * patch_size**2]` of pooled pairs.
      min_decrease: as in `kmeans.kmeans`; 0 to end by its `tolerance` alone (static).

    Returns:
      A `ToneMap`. An image of one value (all black, say) becomes the mean of its reference, or for a zero mean a value
      between that and 0.

    Raises:
      ValueError: shapes disagree, an option is unknown, or there are fewer patches than clusters.
      TypeError: an image holds integers.

    References:
      Loh, A new framework for efficient low-light image enhancement using approximated Gaussian process (the paper
      leaves open patch size, hyper-parameters and noise; they are 3, the largest evidence, and fitted).
    """
    found = cluster(
        key,
        image,
        reference,
        num_clusters=num_clusters,
        patch_size=patch_size,
        warp=warp,
        channels=channels,
        init=init,
        min_decrease=min_decrease,
    )
    return condition(
        key,
        found,
        patch_size=patch_size,
        warp=warp,
        channels=channels,
        noise=noise,
        mean=mean,
        departure=departure,
        num_bits=num_bits,
        all_pairs=all_pairs,
        num_channels=jnp.shape(image)[-1],
    )


def condition(
    key: jax.Array,
    pairs: Pairs,
    *,
    patch_size: int = 3,
    warp: str = "none",
    channels: str = "pooled",
    noise: str = "uniform",
    mean: str = "zero",
    departure: float = 1.0,
    num_bits: int | None = 8,
    all_pairs: bool = False,
    num_channels: int = 3,
) -> ToneMap:
    """The second half of `fit`: hyper-parameters of largest evidence, and the posterior.

    Args:
      key: PRNG key, of the data that enter the first search if there are many.
      pairs: from `cluster`.
      patch_size: as given to `cluster` (static).
      warp: as given to `cluster` (static).
      channels: as given to `cluster` (static).
      noise: see `fit` (static).
      mean: see `fit` (static).
      departure: see `fit` (static).
      num_bits: see `fit` (static).
      all_pairs: see `fit` (static).
      num_channels: of the image (static).

    Returns:
      A `ToneMap`.

    Raises:
      ValueError: an option is unknown or out of its range.
    """
    encoding = _encoding.Encoding(patch_size, warp, channels, num_channels)
    _encoding.check_choices(noise=(noise, NOISES), mean=(mean, MEANS))
    if not 0 <= departure <= 1 or (mean != "power" and departure != 1):
        raise ValueError(
            f"departure must be in [0, 1], and 1 unless mean is 'power', got departure = {departure} and mean = "
            f"{mean!r}."
        )
    used = pairs.counts > 0
    weights = _noise_weights(pairs, noise)
    prior = jnp.sum(pairs.counts * pairs.y) / jnp.sum(pairs.counts) if mean == "centre" else 0.0
    y, all_y, gammas = pairs.y, pairs.all_y, None
    if mean == "power":
        dark, share = encoding.dark_values(pairs.x)
        gammas = jax.vmap(lambda weights: power_law.fit(dark, y, weights=weights, num_bits=num_bits))(
            pairs.counts[None, :] * share.T
        )
        law = functools.partial(_law, gammas, num_bits)
        y, all_y = y - law(dark, share), all_y - law(*encoding.dark_values(pairs.all_x))
    fits = [
        evidence.fit(
            key,
            pairs.x,
            y,
            family=family,
            noise_weights=jnp.where(used, weights, jnp.inf),
            mean=prior,
            num_starts=1,
            num_steps=_NUM_STEPS,
            max_grid_points=_GRID_POINTS,
        )
        for family in _families(channels, num_channels, pairs.x.dtype)
    ]
    best = _best(fits)
    if all_pairs:
        # The noise of one pair: that of a centre is of a mean over its cluster.
        level = best.noise * _mean_over(used, weights * pairs.counts)
        found = sparse.condition(
            best.covariance, pairs.all_x, all_y, inducing=pairs.x, noise=level, mean=prior, method="vfe"
        )
    else:
        level = jnp.where(used, best.noise * weights, jnp.inf)
        found = posterior.condition(best.covariance, pairs.x, y, noise=level, mean=prior)
    return ToneMap(
        found, pairs.counts, pairs.inertia, patch_size, warp, channels, num_channels, gammas, departure, num_bits
    )


def apply(tone_map: ToneMap, image: jax.Array, *, block_size: int | None = None) -> jax.Array:
    """Applies a tone map to every pixel of an image, that it was learnt from or another.

    Args:
      tone_map: from `fit`.
      image: `[h, w, c]` dark, in [0, 1], of any size; its border is continued by reflection.
      block_size: rows of the image at a time (static), None to choose: memory beyond input and output is that of a
        strip of some 260,000 values.

    Returns:
      `[h, w, c]`, the posterior mean clipped to [0, 1].

    Raises:
      ValueError: the image is empty or has another number of channels, or `block_size` < 1.
      TypeError: the image holds integers.
    """
    image = _images.as_single(image, channels=tone_map.num_channels)
    height, width, channels = image.shape
    if block_size is None:
        block_size = max(1, min(height, _STRIP // (width * channels)))
    _images.check_whole(least=1, block_size=block_size)
    size = tone_map.patch_size
    encoding = _encoding.Encoding(size, tone_map.warp, tone_map.channels, channels)
    before, after = size // 2, (size - 1) // 2
    num = -(-height // block_size)
    padded = jnp.pad(image, ((before, after), (before, after), (0, 0)), mode="reflect")
    # What fills the last strip is not used.
    padded = jnp.pad(padded, ((0, num * block_size - height), (0, 0), (0, 0)))
    row = padded[0].size
    length = block_size * row
    # In the values row after row, those at one place of all patches are one slice, if the border is computed too.
    places = [i * row + j * channels for i in range(size) for j in range(size)]
    values = jnp.pad(padded.reshape(-1), (0, (size - 1) * channels))

    def strip(index):
        dark = jax.lax.dynamic_slice(values, (index * length,), (length + places[-1],))
        warped = encoding.warped(dark)
        patches = jnp.stack([warped[place : place + length] for place in places], axis=-1)
        mean = posterior.mean(tone_map.posterior, encoding.points(patches.reshape(-1, channels, size * size)))
        bright = tone_map.departure * mean
        if tone_map.gammas is not None:
            middle = dark[places[encoding.middle] :][:length].reshape(-1, channels)
            law = power_law.brighten(middle, tone_map.gammas[None, :], num_bits=tone_map.num_bits)
            bright = bright + law.reshape(-1)
        return bright.reshape(block_size, -1, channels)[:, :width]

    result = jax.lax.map(strip, jnp.arange(num)).reshape(num * block_size, width, channels)
    return jnp.clip(result[:height], 0.0, 1.0)


def _law(gammas, num_bits, dark, share):
    every = jnp.broadcast_to(dark[:, None], (dark.size, gammas.size))
    return jnp.sum(share * power_law.brighten(every, gammas[None, :], num_bits=num_bits), axis=1)


# Kept: a search outside `jit` is compiled once for each family, which is told from others by its identity.
@functools.cache
def _families(channels: str, num_channels: int, dtype: Any) -> list[evidence.Family]:
    if channels != "coregionalized" or num_channels == 1:
        return [covariance.squared_exponential]

    def family(correlation, lengthscale, variance):
        eye = jnp.eye(num_channels, dtype=dtype)
        outputs = correlation * jnp.ones_like(eye) + (1.0 - correlation) * eye
        return coregionalization.coregionalized(covariance.squared_exponential(lengthscale, variance), outputs)

    return [functools.partial(family, correlation) for correlation in _CORRELATIONS]


def _best(fits: list[evidence.Fit]) -> evidence.Fit:
    best = fits[0]
    for other in fits[1:]:
        better = other.log_marginal_likelihood > best.log_marginal_likelihood
        best = jax.tree.map(functools.partial(_chosen, better), other, best)
    return best


def _chosen(better, new, old):
    return jnp.where(better, new, old)


def _noise_weights(pairs: Pairs, noise: str) -> jax.Array:
    if noise == "uniform":
        return jnp.ones_like(pairs.counts)
    weights = 1.0 / jnp.maximum(pairs.counts, 1.0)
    if noise == "heteroscedastic":
        weights = weights * (pairs.variances + _ROUNDING)
    return weights / _mean_over(pairs.counts > 0, weights)


def _mean_over(used: jax.Array, values: jax.Array) -> jax.Array:
    num = jnp.maximum(jnp.sum(used.astype(values.dtype)), 1.0)
    return jnp.sum(jnp.where(used, values, 0.0)) / num
