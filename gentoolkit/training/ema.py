"""Exponential moving average of parameters, kept beside them and shown to the evaluators."""

import difflib
from collections.abc import Iterable, Mapping

import jax
import jax.numpy as jnp

from gentoolkit.training import errors

Decay = float | Mapping[str, float] | None


def decays(decay: Decay, names: Iterable[str]) -> dict[str, float]:
    """Spells out the decay of every averaged parameter.

    Args:
      decay: one number in [0, 1) for all models, a number for each of some models (by name), or None.
      names: parameter names, each beginning with its model's name and a slash.

    Returns:
      Parameter name to decay; parameters that are not averaged are left out.

    Raises:
      OptionError: a decay outside [0, 1), or the name of a model that does not exist.
    """
    models = list(dict.fromkeys(name.split("/", 1)[0] for name in names))
    if decay is None:
        return {}
    by_model = dict(decay) if isinstance(decay, Mapping) else dict.fromkeys(models, decay)
    for model, value in by_model.items():
        if model not in models:
            near = difflib.get_close_matches(model, models, n=1) or models
            raise errors.OptionError(
                f"ema_decay names the model {model!r}, which does not exist; did you mean {near[0]!r}?"
            )
        if not 0.0 <= value < 1.0:
            raise errors.OptionError(f"ema_decay must be in [0, 1), got {value} for {model!r}.")
    return {name: by_model[name.split("/", 1)[0]] for name in names if name.split("/", 1)[0] in by_model}


def update(
    average: Mapping[str, jax.Array], params: Mapping[str, jax.Array], step: jax.Array, decay: Mapping[str, float]
) -> dict[str, jax.Array]:
    """Moves the average towards the parameters.

    The decay is `min(decay, (1 + step) / (10 + step))`, so that the first steps, still near the random start, are
    forgotten quickly.

    Args:
      average: the averaged parameters by name, in float32 or wider.
      params: all parameters by name.
      step: number of the step just made, counted from 0.
      decay: the decay of each averaged parameter, from `decays`.

    Returns:
      The new average, of the same names and dtypes.
    """
    count = step.astype(jnp.float32)
    limit = (1.0 + count) / (10.0 + count)

    def move(name, old):
        weight = (1.0 - jnp.minimum(jnp.float32(decay[name]), limit)).astype(old.dtype)
        return old + weight * (params[name].astype(old.dtype) - old)

    return {name: move(name, old) for name, old in average.items()}
