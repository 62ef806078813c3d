"""Every method by name, as a chain of compiled stages that can be timed apart."""

import functools
import inspect
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from gentoolkit.imaging import color
from gentoolkit.imaging.gp_enhancement import improved, published, shrinkage, tone_map, white_balance
from gentoolkit.imaging.retinex import fbe, gradient_based, lime, srrm, wvm
from gentoolkit.models import low_light

BASELINES = {
    "fbe": fbe.enhance,
    "wvm": wvm.enhance,
    "lime": lime.enhance,
    "srrm": srrm.enhance,
    "gble_like": gradient_based.enhance,  # a reconstruction, not the published method
}
LEARNT = ("improved", "cm", "lm", "gpe")
NAMES = (*LEARNT, *BASELINES)
STAGES = ("reference", "cluster", "fit", "predict")

# The side that the improved form reduces an image to, for the reference and the fit: the scale of the photographs that
# the network was trained on.
REDUCED = 64
_KEY = 0


class Outcome(NamedTuple):
    """An enhanced image `[h, w, 3]` in [0, 1], and the seconds of each stage."""

    image: np.ndarray
    seconds: dict[str, float]


class References:
    """Reference networks, compiled; the same for every method, so that methods differ in nothing else."""

    def __init__(self, weights: str = ""):
        """Reads the weights: those that ship, or an RGB network of one's own."""
        self._networks = {
            1: low_light.pretrained(1),
            3: low_light.load(weights) if weights else low_light.pretrained(3),
        }

    @functools.cached_property
    def _apply(self):
        compiled = {}
        for channels, network in self._networks.items():
            graphdef, state = nnx.split(network)
            run = jax.jit(lambda state, image, graphdef=graphdef: nnx.merge(graphdef, state, copy=True)(image[None])[0])
            compiled[channels] = functools.partial(run, state)
        return compiled

    def __call__(self, image: jax.Array) -> jax.Array:
        """Returns the rough bright form of an image `[h, w, 1 or 3]`."""
        return self._apply[image.shape[-1]](image)


def reduced_shape(height: int, width: int, shorter: int = REDUCED) -> tuple[int, int]:
    """Returns the size of an image whose shorter side is reduced.

    Sides are multiples of 16 once they are reduced, up to four times the shorter one: few sizes, so that the
    photographs of a folder seldom compile a program anew.
    """
    scale = shorter / min(height, width)
    if scale >= 1 and min(height, width) >= 16 and max(height, width) <= 4 * shorter:
        return height, width
    sides = [16 * max(1, round(min(side * min(scale, 1.0), 4 * shorter) / 16)) for side in (height, width)]
    return sides[0], sides[1]


def reduce(image: Any, shape: tuple[int, int]) -> jax.Array:
    """Returns an image of another size, each pixel the mean of what it covers."""
    import cv2

    made = cv2.resize(np.asarray(image, np.float32), shape[::-1], interpolation=cv2.INTER_AREA)
    return jnp.asarray(made.reshape(*shape, -1))


@jax.jit
def balance(image: jax.Array, strength: float) -> tuple[jax.Array, jax.Array]:
    """Returns an image whose colour cast is undone by a share, and the powers `[c]` of its channels."""
    exponents = white_balance.exponents(image, strength=strength)
    return white_balance.apply(image, exponents), exponents


def enhance(name: str, image: jax.Array, references: References, *, num_clusters: int = 30, **switches: Any) -> Outcome:
    """Enhances a dark image by the method of a name, each stage waited for.

    Args:
      name: one of `NAMES`.
      image: `[h, w, 3]` dark RGB in [0, 1].
      references: the networks.
      num_clusters: of the learnt methods.
      **switches: of `improved.fit`; `shrink=True` to shrink noise; `white_balance`, share of the estimated colour cast
        that is undone first (also of the baselines).

    Returns:
      An `Outcome`.
    """
    watch = _Watch()
    key = jax.random.key(_KEY)
    if name in BASELINES:
        if switches.get("white_balance"):
            image = watch("predict", balance, image, switches["white_balance"])[0]
        return Outcome(np.asarray(watch("predict", _baseline(name), image)), watch.seconds)
    if name == "improved":
        shrink = switches.pop("shrink", False)
        strength = switches.pop("white_balance", 0.0)
        small = watch("reference", reduce, image, reduced_shape(*image.shape[:2]))
        small, exponents = watch("reference", balance, small, strength)
        reference = watch("reference", references, small)
        options = _improved_options(**switches)
        pairs = watch("cluster", _cluster(num_clusters, 1, options["warp"], options["channels"]), key, small, reference)
        found = watch("fit", _condition(1, 3, tuple(sorted(options.items()))), key, pairs)
        return Outcome(np.asarray(watch("predict", _finish(shrink), found, exponents, image)), watch.seconds)
    if name == "cm":
        reference = watch("reference", references, image)
        pairs = watch("cluster", _cluster(num_clusters), key, image, reference)
        found = watch("fit", _condition(3, 3), key, pairs)
        return Outcome(np.asarray(watch("predict", _apply, found, image)), watch.seconds)
    if name not in ("lm", "gpe"):
        raise ValueError(f"There is no method {name!r}; there are: {', '.join(NAMES)}.")
    y = watch("reference", _luma, image)
    reference = watch("reference", references, y)
    if name == "lm":
        pairs = watch("cluster", _cluster(num_clusters), key, y, reference)
        found = watch("fit", _condition(3, 1), key, pairs)
    else:
        found = watch("fit", _unique_pairs, key, y, reference)
    return Outcome(np.asarray(watch("predict", brighten_luma, found, image)), watch.seconds)


class _Watch:
    def __init__(self):
        self.seconds: dict[str, float] = {}

    def __call__(self, stage: str, function: Callable, *arguments: Any) -> Any:
        start = time.perf_counter()
        result = jax.block_until_ready(function(*arguments))
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - start
        return result


def _improved_options(**switches: Any) -> dict[str, Any]:
    """All options of `improved.fit` but the number of clusters; those not given are its defaults."""
    bound = inspect.signature(improved.fit).bind_partial(**switches)
    bound.apply_defaults()
    options = dict(bound.arguments)
    del options["num_clusters"]
    if options["departure"] is None:
        options["departure"] = improved.default_departure(options["mean"])
    return options


@functools.cache
def _baseline(name: str) -> Callable:
    return jax.jit(BASELINES[name])


@functools.cache
def _cluster(num_clusters: int, patch_size: int = 3, warp: str = "none", channels: str = "pooled") -> Callable:
    options = {"num_clusters": num_clusters, "patch_size": patch_size, "warp": warp, "channels": channels}
    return jax.jit(functools.partial(tone_map.cluster, **options))


@functools.cache
def _condition(patch_size: int, num_channels: int, options: tuple[tuple[str, Any], ...] = ()) -> Callable:
    options = {"patch_size": patch_size, "num_channels": num_channels, **dict(options)}
    return jax.jit(functools.partial(tone_map.condition, **options))


@functools.cache
def _finish(shrink: bool) -> Callable:
    def finish(found, exponents, image):
        level = shrinkage.noise_level(image)
        table = improved.rebalance(improved.curves(found), exponents)
        return improved.apply(table, image, noise_level=level, strength=1.0 if shrink else 0.0)

    return jax.jit(finish)


_apply = jax.jit(tone_map.apply)
_luma = jax.jit(color.luma)
_unique_pairs = jax.jit(published.fit_unique_pairs)


@jax.jit
def brighten_luma(found: tone_map.ToneMap, image: jax.Array) -> jax.Array:
    """Returns an image `[h, w, 3]` whose luma went through a tone map, the chroma as it was."""
    y = tone_map.apply(found, color.luma(image))
    return jnp.clip(color.replace_luma(image, y), 0.0, 1.0)
