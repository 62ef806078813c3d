"""Terms of variational bounds for normal codes with a diagonal covariance, and how near codes are to N(0, I)."""

import math
from typing import Literal

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from gentoolkit import _array
from gentoolkit.distances import mmd
from gentoolkit.objectives import _rows


def sample(key: jax.Array, mean: jax.Array, log_variance: jax.Array) -> jax.Array:
    """Draws from N(mean, exp(log_variance)) by shifting and scaling, so that gradients reach both.

    Args:
      key: draws the noise.
      mean: `[..., d]`.
      log_variance: `[..., d]`.

    Returns:
      `[..., d]`.

    Raises:
      ValueError: shapes differ.
    """
    mean, log_variance = _codes(mean=mean, log_variance=log_variance)
    return mean + jnp.exp(log_variance / 2.0) * jax.random.normal(key, mean.shape, mean.dtype)


def kl_to_standard(mean: jax.Array, log_variance: jax.Array) -> jax.Array:
    """Kullback-Leibler divergence of N(mean, exp(log_variance)) from N(0, I), summed over the features of a code.

    Args:
      mean: `[..., d]`.
      log_variance: `[..., d]`.

    Returns:
      `[...]` nats.

    Raises:
      ValueError: shapes differ.

    References:
      Kingma and Welling, Auto-encoding variational Bayes, ICLR 2014, appendix B.

    Examples:
      >>> import jax.numpy as jnp
      >>> from gentoolkit.objectives import variational
      >>> print(f"{variational.kl_to_standard(jnp.float32([1, -2]), jnp.log(jnp.float32([1, 4]))):.6f}")
      3.306853
    """
    mean, log_variance = _codes(mean=mean, log_variance=log_variance)
    # expm1(v) - v has no cancellation near v = 0, where a posterior that has collapsed lies.
    return jnp.sum(jnp.square(mean) + (jnp.expm1(log_variance) - log_variance), axis=-1) / 2.0


def kl_between(mean_a: jax.Array, log_variance_a: jax.Array, mean_b: jax.Array, log_variance_b: jax.Array) -> jax.Array:
    """Kullback-Leibler divergence of one normal law with a diagonal covariance from another.

    Args:
      mean_a: `[..., d]` of the first law.
      log_variance_a: `[..., d]`.
      mean_b: `[..., d]` of the second law.
      log_variance_b: `[..., d]`.

    Returns:
      `[...]` nats.

    Raises:
      ValueError: shapes differ.
    """
    mean_a, log_variance_a, mean_b, log_variance_b = _codes(
        mean_a=mean_a, log_variance_a=log_variance_a, mean_b=mean_b, log_variance_b=log_variance_b
    )
    # In units of the second law it is the divergence from N(0, I).
    return kl_to_standard((mean_a - mean_b) * jnp.exp(-log_variance_b / 2.0), log_variance_a - log_variance_b)


def kl_of_mixture(key: jax.Array, mean: jax.Array, log_variance: jax.Array, *, num_samples: int = 1) -> jax.Array:
    """Kullback-Leibler divergence from N(0, I) of the mixture of K normal laws with equal weights, from draws.

    With the laws of a code given K renderings of one input, this bounds the information between input and code without
    counting what the code says of the rendering: it is at most the mean of the K divergences `kl_to_standard`.

    Args:
      key: draws from the mixture.
      mean: `[..., k, d]` of the K laws.
      log_variance: `[..., k, d]`.
      num_samples: draws from each of the K laws.

    Returns:
      `[...]` nats, without bias, and so at times below 0.

    Raises:
      ValueError: shapes differ or lack an axis, or `num_samples` < 1.
    """
    mean, log_variance = _mixture(mean, log_variance)
    if num_samples < 1:
        raise ValueError(f"num_samples must be at least 1, got num_samples = {num_samples}.")
    wide = (*mean.shape[:-2], num_samples, *mean.shape[-2:])
    many = (jnp.broadcast_to(jnp.expand_dims(values, -3), wide) for values in (mean, log_variance))
    z = sample(key, *many).reshape(*mean.shape[:-2], -1, 1, mean.shape[-1])
    of_laws = (jnp.expand_dims(values, -3) for values in (mean, log_variance))
    whole = (*z.shape[:-2], *mean.shape[-2:])
    z, center, spread = (jnp.broadcast_to(values, whole) for values in (z, *of_laws))
    # Both log densities without log(2 pi) / 2 a feature.
    log_laws = -jnp.sum(jnp.square(z - center) * jnp.exp(-spread) + spread, axis=-1) / 2.0
    log_mixture = jax.nn.logsumexp(log_laws, axis=-1) - math.log(mean.shape[-2])
    log_prior = -jnp.sum(jnp.square(z[..., 0, :]), axis=-1) / 2.0
    return jnp.mean(log_mixture - log_prior, axis=-1)


def kl_of_matched_normal(mean: jax.Array, log_variance: jax.Array) -> jax.Array:
    """Divergence from N(0, I) of the normal law with the means and variances of a mixture of K with equal weights.

    Cheap and without draws. It is at most the mixture's own divergence, since of all laws with these moments the normal
    one has the most entropy: an approximation of that, not a bound on information.

    Args:
      mean: `[..., k, d]` of the K laws.
      log_variance: `[..., k, d]`.

    Returns:
      `[...]` nats.

    Raises:
      ValueError: shapes differ or lack an axis.
    """
    mean, log_variance = _mixture(mean, log_variance)
    center = jnp.mean(mean, axis=-2, keepdims=True)
    apart = jnp.mean(jnp.square(mean - jnp.broadcast_to(center, mean.shape)), axis=-2)
    variance = jnp.mean(jnp.exp(log_variance), axis=-2) + apart
    return kl_to_standard(center[..., 0, :], jnp.log(variance))


def laplace_nll(x: jax.Array, mean: jax.Array, *, scale: ArrayLike = 1.0) -> jax.Array:
    """Negative log-likelihood of a Laplace law, |x - mean| / scale + log(2 scale), the mean over the entries of a row.

    Args:
      x: `[n, ...]` rows.
      mean: `[n, ...]` of the same shape.
      scale: of the law; may be traced and learned.

    Returns:
      `[n]` nats an entry.

    Raises:
      ValueError: shapes differ, or `scale` is not positive.
    """
    _array.check_positive(scale=scale)
    _rows.check(x=x, mean=mean)
    _rows.check_equal(x=x, mean=mean)
    x, mean = _array.as_floating(x=x, mean=mean)
    scale = jnp.asarray(scale, x.dtype)
    return _rows.mean(_rows.absolute(x - mean)) / scale + jnp.log(2.0 * scale)


def prior_bandwidth(
    num_features: int, *, reading: Literal["dim", "infovae", "literal", "literal_squared"] = "dim"
) -> float:
    """Bandwidth of a Gaussian kernel that compares codes of so many features with N(0, I).

    Kernel and bandwidth are exp(-r^2 / (2 bandwidth^2)). A published width of "2 / dim" has several readings. In 8
    dimensions the kernel of two draws of N(0, I) is 0.198 on average for `"dim"` (bandwidth^2 = dim / 2) and 0.785 for
    `"infovae"` (2 bandwidth^2 = dim^2, the public code of InfoVAE), but 1.5e-4 for `"literal_squared"` (bandwidth^2 =
    2 / dim) and 8e-7 for `"literal"` (bandwidth = 2 / dim), which see hardly any pair.

    Args:
      num_features: of a code.
      reading: which.

    Returns:
      The bandwidth, for `mmd.gaussian` and `gaussian_mmd_to_standard`.

    Raises:
      ValueError: another reading, or no features.

    References:
      Kazemi et al., Unsupervised image-to-image translation using domain-specific variational information bound,
      NeurIPS 2018, section 5; Zhao, Song, Ermon, InfoVAE, AAAI 2019.
    """
    _array.check_positive(num_features=num_features)
    found = {
        "dim": math.sqrt(num_features / 2.0),
        "infovae": num_features / math.sqrt(2.0),
        "literal": 2.0 / num_features,
        "literal_squared": math.sqrt(2.0 / num_features),
    }
    if reading not in found:
        raise ValueError(f"reading must be one of {tuple(found)}, got reading = {reading!r}.")
    return found[reading]


def mmd_to_standard(
    key: jax.Array, z: jax.Array, kernel: mmd.Kernel, *, num_draws: int | None = None, estimator: str = "biased"
) -> jax.Array:
    """Squared maximum mean discrepancy of codes and as many draws of N(0, I), for any kernel of `distances.mmd`.

    Args:
      key: draws from N(0, I).
      z: `[..., n, d]` codes; eight and more, or those of a bank: one code is merely pulled to the origin.
      kernel: as `mmd.gaussian(prior_bandwidth(d))`, `mmd.laplacian(...)`,
        `mmd.inverse_multiquadric(mmd.wae_scales(d))`, or with the bandwidth `mmd.median_bandwidth(z, draws)`.
      num_draws: of N(0, I), n if None.
      estimator: `"biased"`, never negative, or `"unbiased"`.

    Returns:
      `[...]`.

    Raises:
      ValueError: as `mmd.squared` does.
    """
    _array.check_samples(z=z)
    (z,) = _array.as_floating(z=z)
    draws = jax.random.normal(key, (*z.shape[:-2], num_draws or z.shape[-2], z.shape[-1]), z.dtype)
    return mmd.squared(z, draws, kernel, estimator=estimator)


def gaussian_mmd_to_standard(z: jax.Array, *, bandwidth: ArrayLike) -> jax.Array:
    """Squared maximum mean discrepancy of codes and N(0, I) itself, with a Gaussian kernel: no draws of the prior.

    mean k(z, z') - 2 mean E k(z, p) + E k(p, p') with both expectations in closed form, which takes the prior's share
    of the noise off; all pairs of codes count, those of a code with itself too.

    Args:
      z: `[..., n, d]` codes, a few hundred: memory is O(n^2 d).
      bandwidth: of the kernel exp(-r^2 / (2 bandwidth^2)), as `prior_bandwidth(d)`; may be traced.

    Returns:
      `[...]`, at least 0 but for rounding.

    Raises:
      ValueError: `z` is not of that shape, or a bandwidth that is not positive.

    References:
      Gretton et al., A kernel two-sample test, JMLR 2012, lemma 6.
    """
    _array.check_positive(bandwidth=bandwidth)
    _array.check_samples(z=z)
    (z,) = _array.as_floating(z=z)
    d, s = z.shape[-1], jnp.square(jnp.asarray(bandwidth, z.dtype))
    within = jnp.exp(-_pairwise_squares(z) / (2.0 * s))
    across = (1.0 + 1.0 / s) ** (-d / 2.0) * jnp.exp(-jnp.sum(jnp.square(z), axis=-1) / (2.0 * (s + 1.0)))
    prior = (1.0 + 2.0 / s) ** (-d / 2.0)
    return jnp.mean(within, axis=(-2, -1)) - 2.0 * jnp.mean(across, axis=-1) + prior


def _pairwise_squares(z: jax.Array) -> jax.Array:
    differences = z[..., :, None, :] - z[..., None, :, :]
    return jnp.sum(jnp.square(differences), axis=-1)


def _codes(**arrays) -> list[jax.Array]:
    _rows.check_equal(**arrays)
    for name, array in arrays.items():
        if not _array.shape(array):
            raise ValueError(f"{name} must be codes of shape [..., d], got {name}.shape = ().")
    return _array.as_floating(**arrays)


def _mixture(mean: jax.Array, log_variance: jax.Array) -> list[jax.Array]:
    found = _codes(mean=mean, log_variance=log_variance)
    if found[0].ndim < 2 or 0 in found[0].shape[-2:]:
        raise ValueError(f"mean must be of shape [..., k, d] with k, d >= 1, got mean.shape = {found[0].shape}.")
    return found
