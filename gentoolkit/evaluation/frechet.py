"""Fréchet distance between images and samples of a model, on features of the caller's choice."""

import dataclasses
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np

from gentoolkit.distances import gaussian
from gentoolkit.evaluation import statistics
from gentoolkit.evaluation.measure import Batches, measure
from gentoolkit.evaluation.statistics import FeatureMoments

_frechet = jax.jit(gaussian.frechet)


def feature_moments(features: Callable[[jax.Array | np.ndarray], jax.Array], batches: Batches) -> FeatureMoments:
    """Mean and covariance of features over a stream of images; those of held-out images need computing once only.

    Args:
      features: images `[b, h, w, c]` to features `[b, d]`.
      batches: dicts with `image` `[b, h, w, c]` and optional `counts` `[b]`.

    Returns:
      `FeatureMoments`. Memory is that of a batch and two d x d matrices, whatever the number of images.

    Raises:
      ValueError: there are fewer than two images, or features are not `[b, d]`.
    """
    found = measure(
        batches,
        extract=lambda batch: {"features": features(batch["image"])},
        statistics={"moments": statistics.moments("features")},
    )
    return found["moments"]


@dataclasses.dataclass(frozen=True)
class _Prior:
    """Batches of draws of N(0, I), or of images decoded from them, the same each time they are iterated."""

    key: jax.Array
    decode: Callable[[jax.Array], jax.Array] | None
    num: int
    latent_dim: int
    batch_size: int
    process_index: int = 0
    process_count: int = 1

    def __post_init__(self):
        """Checks the sizes."""
        for name in ("num", "latent_dim", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be >= 1, got {name} = {getattr(self, name)}.")
        if self.batch_size % self.process_count:
            raise ValueError(
                f"process_count must divide batch_size = {self.batch_size}, got process_count = {self.process_count}."
            )

    def __iter__(self) -> Iterator[dict[str, jax.Array | np.ndarray]]:
        """Draws batch by batch."""
        size = self.batch_size // self.process_count
        part = slice(self.process_index * size, (self.process_index + 1) * size)
        for index in range(-(-self.num // self.batch_size)):
            z = jax.random.normal(jax.random.fold_in(self.key, index), (self.batch_size, self.latent_dim))[part]
            drawn = {"code": z} if self.decode is None else {"image": self.decode(z)}
            yield drawn | {"counts": (index * self.batch_size + np.arange(self.batch_size))[part] < self.num}


def prior(
    key: jax.Array, *, num: int, latent_dim: int, batch_size: int, process_index: int = 0, process_count: int = 1
) -> Batches:
    """Draws of N(0, I) in the form of a stream, for a model to decode.

    Args:
      key: random key of the draws; batch i uses `fold_in(key, i)`.
      num: how many in all.
      latent_dim: features of a code.
      batch_size: draws in the global batch of all processes; the last one is filled up.
      process_index: which part of each batch to give.
      process_count: number of parts; divides `batch_size`.

    Returns:
      Batches `{"code": [b, latent_dim], "counts": [b]}` that can be iterated anew and are then the same.

    Raises:
      ValueError: a size below 1, or a batch that cannot be divided.
    """
    return _Prior(key, None, num, latent_dim, batch_size, process_index, process_count)


def decoded_prior(
    key: jax.Array, decode: Callable[[jax.Array], jax.Array], *, num: int, latent_dim: int, batch_size: int
) -> Batches:
    """Samples of a model in the form of a stream: images decoded from the draws of `prior`.

    Args:
      key: random key of the draws; batch i uses `fold_in(key, i)`.
      decode: codes `[b, latent_dim]` to images `[b, h, w, c]`.
      num: how many images in all.
      latent_dim: features of a code.
      batch_size: images in a batch; the last one is filled up.

    Returns:
      Batches `{"image": [b, h, w, c], "counts": [b]}` that can be iterated anew and are then the same, decoded when
      asked for.

    Raises:
      ValueError: a size below 1.
    """
    return _Prior(key, decode, num, latent_dim, batch_size)


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
    scale = float(np.sqrt(np.trace(samples.cov) + np.trace(images.cov) + offset @ offset)) or 1.0
    values = (offset, samples.cov, np.zeros_like(offset), images.cov)
    powers = (1, 2, 1, 2)
    arguments = [jnp.asarray(v / scale**power, jnp.float32) for v, power in zip(values, powers, strict=True)]
    distance = float(_frechet(*arguments)) * scale**2
    name = f"frechet_{features_name}"
    return {name: distance, f"{name}_num_samples": float(samples.num), f"{name}_num_images": float(images.num)}
