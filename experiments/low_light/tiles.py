"""Images of any size in pieces of one size, on the host: tiles, patches, reductions, and invisible pixels filled."""

from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np

_SIDE = 256
_STRIP_PIXELS = 1 << 19  # of which floats are made at a time

Brighten = Callable[[jax.Array, jax.Array], jax.Array]


def over(
    function: Brighten,
    pixels: np.ndarray,
    *,
    border: int,
    visible: np.ndarray | None = None,
    side: int = _SIDE,
    channels: int | None = None,
    progress: Callable[[float], None] = lambda share: None,
) -> np.ndarray:
    """Applies a function of local reach to an image, tile by tile.

    Args:
      function: of a tile `[side + 2 border, side + 2 border, c]` in [0, 1] and of weights `[.., .., 1]`, 1 for visible
        pixels of the image and 0 for others; returns a tile of the same size.
      pixels: `[h, w, c]`, integers of full range or floats in [0, 1]; the image is continued by reflection.
      border: how far a pixel's result depends on others.
      visible: `[h, w]` bool, None for all.
      side: of the tiles without their border.
      channels: of the result, None for those of the image.
      progress: told the share that is done.

    Returns:
      `[h, w, channels]` of the type of `pixels`.
    """
    height, width = pixels.shape[:2]
    result = np.empty((height, width, channels or pixels.shape[-1]), pixels.dtype)
    reach = np.arange(-border, side + border)
    for top in range(0, height, side):
        for left in range(0, width, side):
            rows, columns = top + reach, left + reach
            places = np.ix_(_reflected(rows, height), _reflected(columns, width))
            inside = np.outer((rows >= 0) & (rows < height), (columns >= 0) & (columns < width))
            weights = inside if visible is None else inside & visible[places]
            made = np.asarray(function(floats(pixels[places]), jnp.asarray(weights[..., None], jnp.float32)))
            down, across = min(side, height - top), min(side, width - left)
            made = made[border : border + down, border : border + across]
            result[top : top + down, left : left + across] = stored(made, pixels.dtype)
        progress(min(top + side, height) / height)
    return result


def by_level(function: Brighten, pixels: np.ndarray) -> np.ndarray:
    """Applies a function of single pixels to an image of integers, by a table of all values that they can have.

    Args:
      function: as in `over`, each channel of a pixel apart.
      pixels: `[h, w, c]` uint8 or uint16.

    Returns:
      As `pixels`.
    """
    channels = pixels.shape[-1]
    levels = np.arange(np.iinfo(pixels.dtype).max + 1, dtype=pixels.dtype)
    every = np.repeat(levels[:, None, None], channels, axis=2)
    table = stored(np.asarray(function(floats(every), jnp.ones((len(levels), 1, 1)))), pixels.dtype)[:, 0]
    result = np.empty_like(pixels)
    for channel in range(channels):
        result[..., channel] = table[:, channel][pixels[..., channel]]
    return result


def floats(pixels: np.ndarray) -> jax.Array:
    """Returns integers of full range as numbers in [0, 1], and such numbers as they are."""
    return jnp.asarray(_on_host(pixels))


def stored(image: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Returns numbers in [0, 1] as a type stores them: rounded to integers of full range, or as they are."""
    if not np.issubdtype(dtype, np.integer):
        return np.asarray(image, dtype)
    return np.round(np.clip(image, 0, 1) * np.iinfo(dtype).max).astype(dtype)


def filled(pixels: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """Returns an image in which invisible pixels have the colour of the nearest visible one.

    Args:
      pixels: `[h, w, c]`.
      visible: `[h, w]` bool, at least one of them True.

    Returns:
      As `pixels`.
    """
    import cv2

    hidden = (~visible).astype(np.uint8)
    _, nearest = cv2.distanceTransformWithLabels(hidden, cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_PIXEL)
    places = np.zeros(int(nearest.max()) + 1, np.intp)
    places[nearest[visible]] = np.flatnonzero(visible)
    return pixels.reshape(-1, pixels.shape[-1])[places[nearest]]


def reduced(pixels: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Returns an image of another size, each pixel the mean of what it covers, without a copy of all of it as floats.

    Args:
      pixels: `[h, w, c]` integers of full range, bool, or floats in [0, 1].
      shape: height and width.

    Returns:
      `[*shape, c]` float32 in [0, 1].
    """
    strips = list(_strips(pixels))
    if len(strips) == 1:
        return _resized(_on_host(pixels), shape)
    return _resized(np.concatenate([_resized(_on_host(one), (len(one), shape[1])) for one in strips]), shape)


def patches(image: np.ndarray, *, size: int, num: int, visible: np.ndarray | None = None) -> np.ndarray:
    """Returns a fixed number of patches of an image, evenly spread over it.

    Args:
      image: `[h, w, c]`; it is continued by reflection until whole patches, which do not overlap, cover it.
      size: side of the patches.
      num: how many, a square number. If there are more than that some are left out, if there are fewer they come
        several times, as often as each other or once more.
      visible: `[h, w]`, share of each pixel that is visible, None for all. Patches with a pixel below one half are left
        out, if there are others.

    Returns:
      `[sqrt(num) size, sqrt(num) size, c]`, the patches side by side.
    """
    side = round(num**0.5)
    blocks = _blocks(image, size)
    places = np.arange(len(blocks))
    if visible is not None:
        shares = _blocks(visible[..., None], size).min((1, 2, 3))
        places = np.flatnonzero(shares >= min(0.5, shares.max()))
    chosen = blocks[places[np.arange(num) * len(places) // num]]
    return chosen.reshape(side, side, size, size, -1).swapaxes(1, 2).reshape(side * size, side * size, -1)


def _on_host(pixels: np.ndarray) -> np.ndarray:
    made = pixels.astype(np.float32)
    return made / np.iinfo(pixels.dtype).max if np.issubdtype(pixels.dtype, np.integer) else made


def _blocks(image: np.ndarray, size: int) -> np.ndarray:
    height, width, channels = image.shape
    image = np.pad(image, ((0, -height % size), (0, -width % size), (0, 0)), mode="reflect")
    rows, columns = image.shape[0] // size, image.shape[1] // size
    return image.reshape(rows, size, columns, size, channels).swapaxes(1, 2).reshape(-1, size, size, channels)


def _strips(pixels: np.ndarray) -> Iterator[np.ndarray]:
    rows = max(1, _STRIP_PIXELS // pixels.shape[1])
    for start in range(0, len(pixels), rows):
        yield pixels[start : start + rows]


def _resized(image: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    import cv2

    if image.shape[:2] == shape:
        return image
    return cv2.resize(image, shape[::-1], interpolation=cv2.INTER_AREA).reshape(*shape, -1)


def _reflected(places: np.ndarray, length: int) -> np.ndarray:
    """Places inside an axis for such as lie beyond its ends, the end itself not repeated."""
    places = np.abs(places)
    return np.clip(np.where(places >= length, 2 * (length - 1) - places, places), 0, length - 1)
