"""The other side of every system: discriminators of real and translated images, the latter out of a pool."""

import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import optax

from experiments.image_translation.systems.system import Models, mean
from gentoolkit.objectives import adversarial
from gentoolkit.training import Player

FORMS: dict[str, Callable[[], adversarial.Form]] = {
    "least_squares": adversarial.least_squares,
    "logistic": adversarial.logistic,
    "hinge": adversarial.hinge,
}


def least(num_scales: int) -> int:
    """Pixels of a side that UNIT's and MUNIT's discriminators need: 16 at the smallest scale, halved four times."""
    return 16 << num_scales - 1


def least_of_patches(num_layers: int) -> int:
    """Pixels of a side that a PatchGAN needs: one logit is left of three where all layers of stride 2 have halved."""
    return 3 << num_layers


def fooling(form: adversarial.Form, judge: Callable[[jax.Array], jax.Array | list], fake: jax.Array) -> jax.Array:
    """The painter's loss of its images, summed over the scales of the discriminator."""
    return sum(mean(adversarial.generator(form, logits)) for logits in _scales(judge(fake)))


Pairs = Sequence[tuple[str, str, str]]  # a discriminator, where real images lie in the batch, where translated ones


def judging(models: Models, batch, turn, *, form: adversarial.Form, pairs: Pairs, weight: float):
    """Objective: every discriminator on real images and on translated ones.

    Args:
      models: discriminators, and pools as `pool_NAME` beside them where past images are to be shown.
      batch: real images under `"x"` and `"y"`, translated ones as the painters handed them on, as many or a multiple.
      turn: the key draws from the pools.
      form: what is asked of logits.
      pairs: `(discriminator, real, fake)` names.
      weight: of the loss: one half in public code of least squares.
    """
    total, metrics = 0.0, {}
    for place, (name, real, fake) in enumerate(pairs):
        images = batch[fake]
        if f"pool_{name}" in models:
            images = models[f"pool_{name}"](jax.random.fold_in(turn.key, place), images)
        judge = models[name]
        scales = zip(_scales(judge(batch[real]["image"])), _scales(judge(images)), strict=True)
        loss = sum(
            # Of several kinds of translated images each counts the same, and all of them as much as the real ones.
            mean(adversarial.discriminator(form, true, *jnp.split(painted, len(painted) // len(true))))
            for true, painted in scales
        )
        total, metrics[name] = total + weight * loss, loss
    return total, metrics


def player(
    optimizer: optax.GradientTransformation,
    *,
    form: adversarial.Form,
    pairs: Pairs,
    weight: float = 1.0,
) -> Player:
    """The discriminators as one player; see `judging`."""
    objective = functools.partial(judging, form=form, pairs=tuple(pairs), weight=weight)
    return Player(objective, optimizer, tuple(name for name, _, _ in pairs))


def _scales(logits: jax.Array | list) -> list:
    return logits if isinstance(logits, list) else [logits]
