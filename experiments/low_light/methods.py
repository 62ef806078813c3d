"""Every method as one chain of compiled stages, which the command and the tables both run.

All stages work on arrays of fixed shapes, so that an image of another size takes no program of its own: the reference
network and the tone map go over square tiles, and the fit sees a fixed number of patches, evenly spread over the
visible part of the reduced image. Excepted are the baselines, which solve for the whole image at once.
"""

import functools
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from experiments.low_light import tiles
from experiments.low_light.options import Options, num_pairs
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
STAGES = ("reference", "cluster", "fit", "predict")

# The shorter side that an image is reduced to for the reference and the fit. Improved form: the scale of the
# photographs that the network was trained on. Published forms: the size of the images of the paper.
REDUCED, PUBLISHED = 64, 256
_NOISE_SIDE = 1024  # the noise is estimated in the middle of the image
_RADIUS = 2  # of the squares in which noise is shrunk
_KEY = 0
_PLAIN = np.ones(3, np.float32)  # powers that change nothing


class Outcome(NamedTuple):
    """An enhanced image `[h, w, 3]` of the type that came in, and the seconds of each stage."""

    image: np.ndarray
    seconds: dict[str, float]


class References:
    """Reference networks, compiled; the same for every method, so that methods differ in nothing else."""

    def __init__(self, weights: str = ""):
        """Reads the weights: those that ship, or an RGB network of one's own.

        Raises:
          FileNotFoundError: there is no such file.
          ValueError: it holds something else.
        """
        self._networks = {
            1: low_light.pretrained(1),
            3: low_light.load(weights) if weights else low_light.pretrained(3),
        }
        if self._networks[3].channels != 3:
            raise ValueError(f"{weights!r} holds a network of luminance; one of RGB is needed.")

    @functools.cached_property
    def _apply(self):
        compiled = {}
        for channels, network in self._networks.items():
            graphdef, state = nnx.split(network)
            run = jax.jit(functools.partial(_reference, graphdef, channels))
            compiled[channels] = functools.partial(run, state)
        return compiled

    def __call__(
        self, image: np.ndarray, exponents: np.ndarray = _PLAIN, *, channels: int = 3, side: int = PUBLISHED
    ) -> np.ndarray:
        """Returns the rough bright form of an image, made tile by tile.

        Args:
          image: `[h, w, 3]` in [0, 1], with sides of at least 9 pixels.
          exponents: `[3]`, powers that the channels are raised to first.
          channels: 3, or 1 for the form of its luma.
          side: of the tiles.

        Returns:
          `[h, w, channels]`.
        """
        run = functools.partial(self._apply[channels], exponents)
        return tiles.over(run, image, border=low_light.BORDER, side=side, channels=channels)


class _Watch:
    def __init__(self):
        self.seconds: dict[str, float] = {}

    def __call__(self, stage: str, function: Callable, *arguments: Any, **options: Any) -> Any:
        start = time.perf_counter()
        result = jax.block_until_ready(function(*arguments, **options))
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - start
        return result


def enhance(
    pixels: np.ndarray,
    references: References,
    options: Options | None = None,
    *,
    visible: np.ndarray | None = None,
    num_bits: int | None = 8,
    progress: Callable[[float], None] = lambda share: None,
) -> Outcome:
    """Enhances a dark image of any size, each stage waited for.

    Args:
      pixels: `[h, w, 3]` RGB: uint8 or uint16 of full range, or float32 in [0, 1].
      references: the networks.
      options: method and more; None for the defaults.
      visible: `[h, w]` bool, None for all. Pixels that are not have no influence on others, and stay as they are.
      num_bits: that floats were rounded to before, None for not at all. Integers say it themselves.
      progress: told the share that is done.

    Returns:
      An `Outcome`. An image that is black wherever it is visible holds nothing to brighten, and comes back as it is.
    """
    options = Options() if options is None else options
    watch = _Watch()
    if visible is not None and visible.all():
        visible = None
    if not (pixels if visible is None else pixels[visible]).any():
        return Outcome(pixels, watch.seconds)
    whole = np.issubdtype(pixels.dtype, np.integer)
    num_bits = 8 * pixels.dtype.itemsize if whole else num_bits
    seen = pixels if visible is None else tiles.filled(pixels, visible)
    if options.method in BASELINES:
        image = tiles.floats(seen)
        if options.white_balance:
            image = watch("predict", _balance, image, options.white_balance)[0]
        made = tiles.stored(np.asarray(watch("predict", _compiled(BASELINES[options.method]), image)), pixels.dtype)
    else:
        brighten, border = _learn(seen, visible, references, options, num_bits, watch)
        if border == 0 and whole:
            made = watch("predict", tiles.by_level, brighten, seen)
        else:
            made = watch("predict", tiles.over, brighten, seen, border=border, visible=visible, progress=progress)
    progress(1.0)
    return Outcome(made if visible is None else np.where(visible[..., None], made, pixels), watch.seconds)


def reduced_shape(height: int, width: int, shorter: int = REDUCED) -> tuple[int, int]:
    """Returns the size of an image whose shorter side is reduced; sides are multiples of 16 once they are reduced.

    The longer side is at most four times the shorter one.
    """
    scale = shorter / min(height, width)
    if scale >= 1 and min(height, width) >= 16 and max(height, width) <= 4 * shorter:
        return height, width
    sides = [16 * max(1, round(min(side * min(scale, 1.0), 4 * shorter) / 16)) for side in (height, width)]
    return sides[0], sides[1]


def _learn(
    pixels: np.ndarray,
    visible: np.ndarray | None,
    references: References,
    options: Options,
    num_bits: int | None,
    watch: _Watch,
) -> tuple[tiles.Brighten, int]:
    """Fits on a reduced image; returns what brightens a tile, and how far a pixel's result depends on others."""
    key = jax.random.key(_KEY)
    improve = options.method == "improved"
    shape = reduced_shape(*pixels.shape[:2], shorter=REDUCED if improve else PUBLISHED)
    small = watch("reference", tiles.reduced, pixels, shape)
    shown = None if visible is None else tiles.reduced(visible[..., None], shape)[..., 0]
    choose = functools.partial(tiles.patches, size=1 if improve else 3, num=num_pairs(options.method), visible=shown)
    if improve:
        dark, exponents = watch("reference", _balance, choose(small), options.white_balance)
        reference = choose(watch("reference", references, small, exponents, side=REDUCED))
        pairs = watch("cluster", _cluster(options, patch_size=1), key, dark, reference)
        found = watch("fit", _condition(options, num_bits), key, pairs)
        table = watch("predict", _curves, found, exponents)
        if not options.strength:
            apply = _compiled(improved.apply)
            return lambda tile, weights: apply(table, tile), 0
        level = watch("predict", _noise_level, _middle(pixels))
        shrink = _compiled(improved.apply, num_bits=num_bits, strength=options.strength, radius=_RADIUS)
        return lambda tile, weights: shrink(table, tile, noise_level=level, weights=weights), 3 * _RADIUS
    channels = 3 if options.method == "cm" else 1
    dark = choose(small) if channels == 3 else _luma(choose(small))
    side = PUBLISHED if max(shape) > 2 * REDUCED else REDUCED
    reference = choose(watch("reference", references, small, channels=channels, side=side))
    if options.method == "gpe":
        found = watch("fit", _compiled(published.fit_unique_pairs), key, dark, reference)
    else:
        pairs = watch("cluster", _cluster(options), key, dark, reference)
        found = watch("fit", _compiled(tone_map.condition, num_channels=channels), key, pairs)
    brighten = _compiled(tone_map.apply) if channels == 3 else _brighten_luma
    return lambda tile, weights: brighten(found, tile), 1


def _cluster(options: Options, patch_size: int = 3) -> Callable:
    encoding = {"warp": options.warp, "channels": options.channels} if options.method == "improved" else {}
    return _compiled(tone_map.cluster, num_clusters=options.num_clusters, patch_size=patch_size, **encoding)


def _condition(options: Options, num_bits: int | None) -> Callable:
    names = ("warp", "channels", "noise", "mean", "all_pairs")
    departure = improved.default_departure(options.mean) if options.departure is None else options.departure
    return _compiled(
        tone_map.condition,
        patch_size=1,
        num_channels=3,
        num_bits=num_bits,
        departure=departure,
        **{name: getattr(options, name) for name in names},
    )


@functools.cache
def _compiled(function: Callable, **options: Any) -> Callable:
    return jax.jit(functools.partial(function, **options))


def _reference(graphdef, channels, state, exponents, tile, weights):
    del weights
    tile = white_balance.apply(tile, exponents)
    tile = color.luma(tile) if channels == 1 else tile
    made = nnx.merge(graphdef, state, copy=True)(tile[None], padded=False)[0]
    border = low_light.BORDER
    return jnp.pad(made, ((border, border), (border, border), (0, 0)))


@jax.jit
def _balance(image: jax.Array, strength: float) -> tuple[jax.Array, jax.Array]:
    """An image whose colour cast is undone by a share, and the powers of its channels."""
    exponents = white_balance.exponents(image, strength=strength)
    return white_balance.apply(image, exponents), exponents


@jax.jit
def _curves(found: tone_map.ToneMap, exponents: jax.Array) -> jax.Array:
    return improved.rebalance(improved.curves(found), exponents)


@jax.jit
def _brighten_luma(found: tone_map.ToneMap, image: jax.Array) -> jax.Array:
    y = tone_map.apply(found, color.luma(image))
    return jnp.clip(color.replace_luma(image, y), 0.0, 1.0)


def _middle(pixels: np.ndarray) -> jax.Array:
    """The middle of an image, with sides that are powers of two, so that few programs serve all sizes."""
    sides = [min(_NOISE_SIDE, 1 << (n.bit_length() - 1)) for n in pixels.shape[:2]]
    top, left = ((n - side) // 2 for n, side in zip(pixels.shape[:2], sides, strict=True))
    return tiles.floats(pixels[top : top + sides[0], left : left + sides[1]])


_luma = jax.jit(color.luma)
_noise_level = jax.jit(shrinkage.noise_level)
