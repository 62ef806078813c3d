"""Contrast-limited adaptive histogram equalisation, differentiable, many images at once."""

import math

import jax
import jax.numpy as jnp
import numpy as np

from gentoolkit.imaging import _images


def clahe(
    image: jax.Array,
    *,
    num_tiles: tuple[int, int] = (8, 8),
    clip_limit: float = 3.0,
    num_bins: int = 256,
    whole_counts: bool = False,
) -> jax.Array:
    """Equalises the histogram of every tile, clipped, and blends the maps of the four nearest tiles.

    A tile's map is interpolated between histogram bins: for 8-bit values it is the usual table, and the gradient of
    an output with respect to its own pixel is the slope of the table (the table itself is held fixed).

    Args:
      image: `[..., h, w, c]` in [0, 1], values outside are clipped. Channels and leading axes are independent.
      num_tiles: rows and columns of tiles, no more than there are pixels are used (static). An image that they do not
        divide is continued by reflection below and to the right.
      clip_limit: in units of OpenCV: a bin holds at most max(1, floor(clip_limit * pixels / num_bins)) of the tile's
        pixels, the excess is spread evenly over all bins, once. `math.inf` clips nothing: with one tile that is
        plain histogram equalisation (static).
      num_bins: bins over [0, 1], bin centres at the ends (static).
      whole_counts: hand out the excess in whole pixels, the rest of the division to every k-th bin from the darkest
        on, as OpenCV does: with small tiles that is visibly uneven (static).

    Returns:
      `[..., h, w, c]` in [0, 1], float32 or wider. NaN spreads over the tile that holds it and its neighbours.

    Raises:
      ValueError: the image is empty or an option out of range.
      TypeError: the image holds integers, or a count is not one.

    References:
      Zuiderveld, Contrast limited adaptive histogram equalization, Graphics Gems IV, 1994.
    """
    image = _images.as_image(image)
    _images.check_whole(least=1, tile_rows=num_tiles[0], tile_columns=num_tiles[1])
    _images.check_whole(least=2, num_bins=num_bins)
    if not clip_limit > 0:
        raise ValueError(f"clip_limit must be > 0, got clip_limit = {clip_limit}.")
    h, w = image.shape[-3:-1]
    tiles = min(num_tiles[0], h), min(num_tiles[1], w)
    planes = jnp.moveaxis(image, -1, -3).reshape(-1, h, w)
    result = jax.vmap(lambda plane: _one(plane, tiles, clip_limit, num_bins, whole_counts))(planes)
    shape = (*image.shape[:-3], image.shape[-1], h, w)
    return jnp.moveaxis(result.reshape(shape), -3, -1)


def _one(plane: jax.Array, tiles: tuple[int, int], clip_limit: float, num_bins: int, whole_counts: bool) -> jax.Array:
    h, w = plane.shape
    position = jnp.clip(plane, 0.0, 1.0) * (num_bins - 1)
    tables = jax.lax.stop_gradient(_tables(position, tiles, clip_limit, num_bins, whole_counts))
    size = -(-h // tiles[0]), -(-w // tiles[1])
    low = jnp.clip(jnp.floor(jax.lax.stop_gradient(position)).astype(jnp.int32), 0, num_bins - 2)
    share = position - low.astype(position.dtype)
    rows, columns = (_neighbors(*args) for args in zip((h, w), size, tiles, strict=True))
    result = jnp.zeros_like(plane)
    for tile_row, weight_row in rows:
        for tile_column, weight_column in columns:
            table = jnp.asarray(tile_row[:, None] * tiles[1] + tile_column[None, :], jnp.int32) * num_bins + low
            value = (1.0 - share) * tables[table] + share * tables[table + 1]
            result = result + jnp.asarray(weight_row[:, None] * weight_column[None, :], plane.dtype) * value
    return result


def _tables(
    position: jax.Array, tiles: tuple[int, int], clip_limit: float, num_bins: int, whole_counts: bool
) -> jax.Array:
    """The maps of all tiles one after another, `[tiles * num_bins]`."""
    h, w = position.shape
    size = -(-h // tiles[0]), -(-w // tiles[1])
    padded = jnp.pad(position, [(0, size[0] * tiles[0] - h), (0, size[1] * tiles[1] - w)], mode="reflect")
    tile = (np.arange(padded.shape[0]) // size[0])[:, None] * tiles[1] + (np.arange(padded.shape[1]) // size[1])[None]
    bins = jnp.clip(jnp.round(padded).astype(jnp.int32), 0, num_bins - 1)
    places = jnp.asarray(tile * num_bins, jnp.int32) + bins
    # Counted in integers: float32 stands still at 2^24.
    counts = jnp.zeros(tiles[0] * tiles[1] * num_bins, jnp.int32).at[places.reshape(-1)].add(1)
    counts = counts.reshape(-1, num_bins).astype(position.dtype)
    # The map of a tile that holds a NaN is NaN, never a silent number.
    broken = jnp.isnan(padded).reshape(tiles[0], size[0], tiles[1], size[1]).any(axis=(1, 3)).reshape(-1, 1)
    counts = jnp.where(broken, jnp.nan, counts)
    pixels = size[0] * size[1]
    if math.isfinite(clip_limit):
        clipped = jnp.minimum(counts, float(max(1, math.floor(clip_limit * pixels / num_bins))))
        excess = jnp.sum(counts - clipped, axis=-1, keepdims=True)
        share = excess / num_bins
        if whole_counts:
            share = jnp.floor(share)
            rest = excess - num_bins * share
            step = jnp.maximum(jnp.floor(num_bins / jnp.maximum(rest, 1.0)), 1.0)
            place = jnp.arange(num_bins, dtype=counts.dtype)[None, :]
            turn = jnp.floor(place / step)
            share = share + jnp.where((turn * step == place) & (turn < rest), 1.0, 0.0)
        counts = clipped + share
    return (jnp.cumsum(counts, axis=-1) / pixels).reshape(-1)


def _neighbors(n: int, size: int, num: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """For every place of an axis the two tiles whose centres surround it, with their weights."""
    place = (np.arange(n) + 0.0) / size - 0.5
    before = np.floor(place)
    share = place - before
    first, second = (np.clip(before + i, 0, num - 1).astype(int) for i in (0, 1))
    return [(first, 1.0 - share), (second, share)]
