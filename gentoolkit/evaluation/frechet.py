"""Fréchet distance between images and samples of a model, on features of the caller's choice."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gentoolkit.distances import gaussian
from gentoolkit.evaluation import _rows

_frechet = jax.jit(gaussian.frechet)


class FeatureMoments(NamedTuple):
    """Moments of features over a set of images, float64 NumPy.

    Attributes:
      num: how many images.
      mean: `[d]`.
      cov: `[d, d]`, divided by `num - 1`.
    """

    num: int
    mean: np.ndarray
    cov: np.ndarray


def feature_moments(features: Callable[[jax.Array | np.ndarray], jax.Array], batches: _rows.Batches) -> FeatureMoments:
    """Mean and covariance of features over a stream of images; those of held-out images need computing once only.

    Args:
      features: images `[b, h, w, c]` to features `[b, d]`.
      batches: dicts with `image` `[b, h, w, c]` and optional `counts` `[b]`.

    Returns:
      `FeatureMoments`. Memory is that of a batch and two d x d matrices, whatever the number of images.

    Raises:
      ValueError: there are fewer than two images, or features are not `[b, d]`.
    """
    num, mean, scatter = 0, np.zeros(1), np.zeros((1, 1))
    for _, x in _rows.rows(features, batches, name="features"):
        if x.ndim != 2:
            raise ValueError(f"features must return [b, d], got shape {x.shape}.")
        if not len(x):
            continue
        x = x.astype(np.float64)
        if not num:
            mean, scatter = np.zeros(x.shape[1]), np.zeros((x.shape[1], x.shape[1]))
        # Means and scatters of two groups put together: nothing that would cancel.
        own = x.mean(axis=0)
        step, total = own - mean, num + len(x)
        scatter = scatter + (x - own).T @ (x - own) + np.outer(step, step) * (num * len(x) / total)
        mean, num = mean + step * (len(x) / total), total
    if num < 2:
        raise ValueError(f"A covariance needs at least two images, got {num}.")
    return FeatureMoments(num, mean, scatter / (num - 1))


@dataclasses.dataclass(frozen=True)
class _DecodedPrior:
    """Batches of images decoded from draws of N(0, I), the same each time they are iterated."""

    key: jax.Array
    decode: Callable[[jax.Array], jax.Array]
    num: int
    latent_dim: int
    batch_size: int

    def __iter__(self) -> Iterator[dict[str, jax.Array | np.ndarray]]:
        """Decodes batch by batch."""
        for index in range(-(-self.num // self.batch_size)):
            z = jax.random.normal(jax.random.fold_in(self.key, index), (self.batch_size, self.latent_dim))
            rows = index * self.batch_size + np.arange(self.batch_size)
            yield {"image": self.decode(z), "counts": rows < self.num}


def decoded_prior(
    key: jax.Array, decode: Callable[[jax.Array], jax.Array], *, num: int, latent_dim: int, batch_size: int
) -> _rows.Batches:
    """Samples of a model in the form of a stream: images decoded from draws of N(0, I).

    Args:
      key: random key of the draws; batch i uses `fold_in(key, i)`.
      decode: codes `[b, latent_dim]` to images `[b, h, w, c]`.
      num: how many images in all.
      latent_dim: features of a code.
      batch_size: images in a batch; the last one is filled up and masked.

    Returns:
      Batches that can be iterated anew and are then the same, decoded when asked for.

    Raises:
      ValueError: a size below 1.
    """
    for name, size in {"num": num, "latent_dim": latent_dim, "batch_size": batch_size}.items():
        if size < 1:
            raise ValueError(f"{name} must be >= 1, got {name} = {size}.")
    return _DecodedPrior(key, decode, num, latent_dim, batch_size)


def frechet_distance(samples: FeatureMoments, images: FeatureMoments, *, features_name: str) -> dict[str, float]:
    """Squared Fréchet distance between normal laws fitted to the features of samples and of images.

    It is biased upward, the more so the fewer images: compare at equal numbers only, which are returned beside it. The
    name "FID" belongs to the features of one Inception network and is refused.

    Args:
      samples: moments of features of the model's samples.
      images: those of held-out images.
      features_name: what the features are called, for instance "digits_classifier".

    Returns:
      `frechet_{features_name}`, `frechet_{features_name}_num_samples`, `frechet_{features_name}_num_images`.

    Raises:
      ValueError: features of different dimension, or a name that claims to be FID.

    References:
      Heusel, Ramsauer, Unterthiner, Nessler, Hochreiter, "GANs trained by a two time-scale update rule", 2017, eq. (6).
    """
    if features_name.lower() in ("", "fid"):
        raise ValueError(f"features_name must say which features they are, got features_name = {features_name!r}.")
    if samples.mean.shape != images.mean.shape:
        raise ValueError(
            f"samples and images must have the same features, got {samples.mean.shape} and {images.mean.shape}."
        )
    offset = samples.mean - images.mean
    # A common scale, so that float32 neither overflows nor loses small features.
    scale = float(np.sqrt(max(np.trace(samples.cov) + np.trace(images.cov) + offset @ offset, 1e-30)))
    values = (offset, samples.cov, np.zeros_like(offset), images.cov)
    powers = (1, 2, 1, 2)
    arguments = [jnp.asarray(v / scale**power, jnp.float32) for v, power in zip(values, powers, strict=True)]
    distance = float(_frechet(*arguments)) * scale**2
    name = f"frechet_{features_name}"
    return {name: distance, f"{name}_num_samples": float(samples.num), f"{name}_num_images": float(images.num)}
