"""Norms whose statistics are those of several maps together, or handed in: for pictures that are taken in windows.

Instance and layer norms look at all of an image, so that a window of it comes out otherwise than the whole does. Here
the norms of a network are replaced by ones that take mean and variance over a batch of windows of one picture, or use
the ones that they are given, and that note down what they saw::

    def paint(models, windows, weights, given):  # inside of jit, where the modules are its own
        seen = shared_statistics.replace(models, weights, given=given)
        return models["painter"](windows), seen

With the statistics of the whole picture given, a network makes of a pixel what it makes of it in the whole picture, if
the borders of the window lie further away than the pixel sees.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from gentoolkit.nn.normalization import LayerNorm

Array = jax.Array | np.ndarray
_LEAST = 1e-5  # added to variances as the norms do, so that a channel without any spread has a unit too


class Statistics(NamedTuple):
    """What a norm sees.

    Attributes:
      mean: `[c]` of each channel, or `[1]` where all channels are taken together.
      variance: the same shape, divided by the count.
    """

    mean: Array
    variance: Array


class Correction(NamedTuple):
    """How the statistics that are to be used differ from those of the maps.

    Attributes:
      shift: added to the mean, in standard deviations; `[c]` or `[1]`.
      ratio: of the standard deviations; the same shape.
    """

    shift: Array
    ratio: Array

    @classmethod
    def between(cls, one: Statistics, other: Statistics) -> "Correction":
        """What makes `other` of `one`; both in NumPy, in 64 bits where they are."""
        deviation = np.sqrt(np.asarray(one.variance) + _LEAST)
        ratio = np.sqrt(np.asarray(other.variance) + _LEAST) / deviation
        return cls((np.asarray(other.mean) - np.asarray(one.mean)) / deviation, ratio)

    def after(self, before: "Correction") -> "Correction":
        """What `before` and then this one come to."""
        return Correction(before.shift + self.shift * before.ratio, before.ratio * self.ratio)

    def of(self, law: Statistics) -> Statistics:
        """Statistics so corrected."""
        square = law.variance + _LEAST
        return Statistics(
            law.mean + self.shift * jnp.sqrt(square), jnp.maximum(square * jnp.square(self.ratio) - _LEAST, 0)
        )


def replace(
    models: Mapping[str, nnx.Module],
    weights: jax.Array,
    *,
    given: Mapping[str, Statistics] | None = None,
    corrections: Mapping[str, Correction] | None = None,
) -> dict[str, Statistics]:
    """Replaces the instance and layer norms of networks, in place.

    Args:
      models: networks by name; every norm of them may be called once.
      weights: `[b, h, w]`, how much each pixel of the images counts; maps that are 2^k times smaller take every 2^k-th.
      given: statistics to use by the names of the norms; None to use those of all maps of the batch together.
      corrections: by the names of the norms, applied to the statistics of the maps.

    Returns:
      A dict which is filled while the networks are called: what each norm saw, before any correction.

    Raises:
      ValueError: while a network is called: a norm that is called twice, or has no statistics among the given ones.
    """
    tape = _Tape(weights, given, corrections)
    for model_name, model in models.items():
        nodes = {path: node for path, node in nnx.iter_graph(model) if isinstance(node, nnx.Pytree)}
        for path, node in nodes.items():
            if isinstance(node, nnx.InstanceNorm | LayerNorm):
                site = _Site(node, "/".join(map(str, (model_name, *path))), tape)
                parent = nodes[path[:-1]]
                if isinstance(parent, nnx.List):
                    parent[int(str(path[-1]))] = site
                else:
                    setattr(parent, str(path[-1]), site)
    return tape.seen


class _Tape:
    """What the norms of one call share."""

    def __init__(
        self,
        weights: jax.Array,
        given: Mapping[str, Statistics] | None,
        corrections: Mapping[str, Correction] | None,
    ):
        self.weights, self.given, self.corrections = weights, given, corrections
        self.seen: dict[str, Statistics] = {}


class _Site(nnx.Module):
    """A norm with the statistics of a tape."""

    def __init__(self, norm: Any, name: str, tape: _Tape):
        self.norm, self.name, self.tape = norm, name, tape

    def __call__(self, x: jax.Array) -> jax.Array:
        norm, name, tape = self.norm, self.name, self.tape
        if name in tape.seen:
            raise ValueError(f"The norm {name} is called twice; its statistics would be mixed.")
        together = isinstance(norm, LayerNorm)
        wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
        step = tape.weights.shape[1] // x.shape[1]
        weights = tape.weights[:, ::step, ::step, None]
        axes = (0, 1, 2, 3) if together else (0, 1, 2)
        total = jnp.sum(weights) * (x.shape[-1] if together else 1)
        mean = jnp.atleast_1d(jnp.sum(weights * wide, axis=axes) / total)
        variance = jnp.atleast_1d(jnp.sum(weights * jnp.square(wide - mean), axis=axes) / total)
        tape.seen[name] = Statistics(mean, variance)
        if tape.given is not None:
            if name not in tape.given:
                raise ValueError(f"There are no statistics for the norm {name}.")
            mean, variance = map(jnp.asarray, tape.given[name])
        elif tape.corrections is not None:
            mean, variance = map(jnp.asarray, tape.corrections[name].of(tape.seen[name]))
        if together:
            # The unbiased variance of so many pixels is the same.
            y = (wide - mean) / (jnp.sqrt(variance) + norm.epsilon)
        else:
            y = (wide - mean) * jax.lax.rsqrt(variance + norm.epsilon)
        if norm.scale is not None:
            y = y * norm.scale[...]
        if norm.bias is not None:
            y = y + norm.bias[...]
        return y.astype(x.dtype)
