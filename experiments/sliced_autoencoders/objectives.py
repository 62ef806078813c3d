"""The losses of the auto-encoders: reconstruction error plus a distance of the codes from the normal law.

The reconstruction error is the sum of squared pixel errors of an image, averaged over the batch. That fixes the balance
with `log d` (paper, eq. 2): per pixel it would be hundreds of times weaker.
"""

import difflib
import functools
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import optax

from gentoolkit.distances import cramer_wold, directions, mmd, normality, sliced, two_sample
from gentoolkit.training import Player, Turn

# log(d + epsilon): only estimates that can reach zero or fall below it (MMD) need it; the sorted losses have a floor.
_EPSILON = 1e-7

Penalty = Callable[[jax.Array, jax.Array], jax.Array]  # (key, codes [b, d]) -> distance


def normal_slices(statistic: Callable, draw: Callable) -> Penalty:
    """Mean over slices of a distance between a one-dimensional sample and N(0, 1); paper, eq. 3."""
    return lambda key, z: sliced.distance(statistic, z, directions=draw(key, z.shape[-1]))


def prior_slices(draw: Callable) -> Penalty:
    """SWAE: the sliced squared Wasserstein distance to as many draws from the prior."""

    def penalty(key, z):
        prior_key, key = jax.random.split(key)
        prior = jax.random.normal(prior_key, z.shape)
        return sliced.distance(two_sample.wasserstein, z, prior, directions=draw(key, z.shape[-1]))

    return penalty


def multiquadric_mmd(key: jax.Array, z: jax.Array) -> jax.Array:
    """WAE-MMD: seven inverse multiquadrics with constants 2 d s (Tolstikhin et al. 2018), unbiased."""
    scales = [2.0 * z.shape[-1] * s for s in (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)]
    return mmd.squared(z, jax.random.normal(key, z.shape), mmd.inverse_multiquadric(scales), estimator="unbiased")


def multivariate_cramer_wold(key: jax.Array, z: jax.Array) -> jax.Array:
    """CWAE: the Cramer-Wold distance in all dimensions at once (Knop et al. 2020), with the exact kernel."""
    del key
    return cramer_wold.to_normal(z)


def players(
    *,
    method: str,
    cost: str,
    weight: float | None,
    directions: str,
    num_directions: int,
    learning_rate: optax.ScalarOrSchedule,
) -> dict[str, Player]:
    """Returns the players of a method, for `training.train`.

    Args:
      method: one of `METHODS`.
      cost: "log", the paper's eq. 2, or "weighted", its eq. 1; vae and wae_gan are weighted only and ignore it.
      weight: of the distance under "weighted", of the Kullback-Leibler term, or of the adversarial term; None: 10 for
        wae_gan (as in Tolstikhin et al. 2018), 1 for the others.
      directions: "orthogonal", "random" or "sobol".
      num_directions: slices in each step.
      learning_rate: of every player.

    Raises:
      ValueError: an unknown name (the nearest known one is suggested) or an option out of range.
    """
    _known("objective.method", method, METHODS)
    _known("objective.cost", cost, ("log", "weighted"))
    _known("objective.directions", directions, _DIRECTIONS)
    if num_directions < 1:
        raise ValueError(f"objective.num_directions must be >= 1, got {num_directions}.")
    if weight is None:
        weight = 10.0 if method == "wae_gan" else 1.0
    optimizer = optax.adam(learning_rate)
    if method == "vae":
        return {"autoencoder": Player(functools.partial(_variational, weight=weight), optimizer)}
    if method == "wae_gan":
        return {
            "critic": Player(_critic, optimizer, trains=("critic",)),
            "autoencoder": Player(functools.partial(_adversarial, weight=weight), optimizer, trains=("autoencoder",)),
        }
    draw = functools.partial(_draw, _DIRECTIONS[directions], num_directions)
    penalty = {
        "ae": None,
        "wae_mmd": multiquadric_mmd,
        "cwae": multivariate_cramer_wold,
        "swae": prior_slices(draw),
        "scfwae": normal_slices(normality.wasserstein, draw),
        "scwae": normal_slices(normality.cramer_wold, draw),
        "scvmae": normal_slices(normality.cramer_von_mises, draw),
        "sksae": normal_slices(normality.kolmogorov_smirnov, draw),
        "anderson_darling": normal_slices(normality.anderson_darling, draw),
        "epps_pulley": normal_slices(normality.epps_pulley, draw),
    }[method]
    objective = functools.partial(_penalized, penalty=penalty, cost=cost, weight=weight)
    return {"autoencoder": Player(objective, optimizer)}


METHODS = (
    "ae",
    "vae",
    "wae_mmd",
    "wae_gan",
    "cwae",
    "swae",
    "scfwae",
    "scwae",
    "scvmae",
    "sksae",
    "anderson_darling",
    "epps_pulley",
)

_DIRECTIONS = {"orthogonal": directions.orthogonal, "random": directions.random, "sobol": directions.sobol}


def _draw(kind: Callable, num: int, key: jax.Array, dim: int) -> jax.Array:
    return kind(key, num, dim)


def _error(images: jax.Array, rebuilt: jax.Array) -> jax.Array:
    difference = rebuilt.astype(jnp.float32) - images.astype(jnp.float32)
    return jnp.mean(jnp.sum(jnp.square(difference), axis=(-3, -2, -1)))


def _penalized(models: Mapping, batch: Mapping, turn: Turn, *, penalty: Penalty | None, cost: str, weight: float):
    z, rebuilt = models["autoencoder"](batch["image"])
    error = _error(batch["image"], rebuilt)
    if penalty is None:
        return error, {"reconstruction": error}
    distance = penalty(turn.key, z.astype(jnp.float32))
    term = jnp.log(jnp.maximum(distance, 0) + _EPSILON) if cost == "log" else weight * distance
    return error + term, {"reconstruction": error, "distance": distance}


def _variational(models: Mapping, batch: Mapping, turn: Turn, *, weight: float):
    z, (mean, log_variance) = models["autoencoder"].sample(turn.key, batch["image"])
    error = _error(batch["image"], models["autoencoder"].decode(z))
    mean, log_variance = mean.astype(jnp.float32), log_variance.astype(jnp.float32)
    divergence = 0.5 * jnp.sum(jnp.square(mean) + jnp.exp(log_variance) - 1 - log_variance, axis=-1)
    divergence = jnp.mean(divergence)
    return error + weight * divergence, {"reconstruction": error, "kl_divergence": divergence}


def _critic(models: Mapping, batch: Mapping, turn: Turn):
    z = models["autoencoder"].encode(batch["image"])
    real = models["critic"](jax.random.normal(turn.key, z.shape)).astype(jnp.float32)
    fake = models["critic"](z).astype(jnp.float32)
    loss = jnp.mean(jax.nn.softplus(-real)) + jnp.mean(jax.nn.softplus(fake))
    return loss, {}


def _adversarial(models: Mapping, batch: Mapping, turn: Turn, *, weight: float):
    del turn
    z, rebuilt = models["autoencoder"](batch["image"])
    error = _error(batch["image"], rebuilt)
    fooling = jnp.mean(jax.nn.softplus(-models["critic"](z).astype(jnp.float32)))
    return error + weight * fooling, {"reconstruction": error, "adversarial": fooling}


def _known(name: str, value: str, values) -> None:
    if value not in values:
        near = difflib.get_close_matches(value, values, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"{name} must be one of {', '.join(values)}; got {value!r}.{hint}")
