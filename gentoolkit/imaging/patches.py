"""Patches of images with static shapes: extraction, neighbourhoods of every pixel, and folding back."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np

from gentoolkit.imaging import _images

Size = int | tuple[int, int]


def extract(image: jax.Array, size: Size, *, stride: Size | None = None) -> jax.Array:
    """Patches on a regular grid that covers the whole image.

    The image is continued by reflection below and to the right until the grid fits: there are
    ceil((h - p) / s) + 1 rows of patches, ceil(h / p) where they do not overlap.

    Args:
      image: `[..., h, w, c]`. Leading axes are independent images.
      size: height and width of a patch, or one integer for both (static).
      stride: step between patches, at most their size so that every pixel is in one; None for patches that do not
        overlap (static).

    Returns:
      `[..., rows, columns, c, p * q]`: the patches of each channel apart, each flattened row by row.

    Raises:
      ValueError: the image is empty, a size or stride is < 1, or a stride exceeds the size.
      TypeError: the image holds integers, or a size is not one.
    """
    image = _images.as_image(image)
    size, stride = _grid_options(size, stride)
    (height, rows), (width, columns) = (
        _covering(n, p, s) for n, p, s in zip(image.shape[-3:-1], size, stride, strict=True)
    )
    image = _continued(image, (0, height - image.shape[-3]), (0, width - image.shape[-2]))
    return _windows(image, size, stride, (rows, columns))


def neighborhoods(image: jax.Array, size: Size) -> jax.Array:
    """The patch around every pixel, the image continued by reflection.

    Args:
      image: `[..., h, w, c]`. Leading axes are independent images.
      size: height and width of a patch, or one integer for both; for an even size the pixel is the one below and to
        the right of the middle (static).

    Returns:
      `[..., h, w, c, p * q]`; entry `(p // 2) * q + q // 2` of a patch is the pixel itself.

    Raises:
      ValueError: the image is empty or a size is < 1.
      TypeError: the image holds integers, or a size is not one.
    """
    image = _images.as_image(image)
    (p, q), _ = _grid_options(size, None)
    h, w = image.shape[-3:-1]
    image = _continued(image, (p // 2, (p - 1) // 2), (q // 2, (q - 1) // 2))
    return _windows(image, (p, q), (1, 1), (h, w))


def fold(patches: jax.Array, shape: tuple[int, int], size: Size, *, stride: Size | None = None) -> jax.Array:
    """The image whose patches these are; where patches overlap, their average.

    `fold(extract(image, size, stride=stride), (h, w), size, stride=stride)` is `image`.

    Args:
      patches: `[..., rows, columns, c, p * q]`, as `extract` gives them for an image of that shape.
      shape: height and width of the image (static).
      size: height and width of a patch, or one integer for both (static).
      stride: step between patches, None where they do not overlap (static).

    Returns:
      `[..., h, w, c]`.

    Raises:
      ValueError: the grid or the patch size is not that of an image of this shape, or the patches are empty.
      TypeError: the patches hold integers, or a size is not one.
    """
    size, stride = _grid_options(size, stride)
    _images.check_whole(least=1, height=shape[0], width=shape[1])
    (height, rows), (width, columns) = (_covering(n, p, s) for n, p, s in zip(shape, size, stride, strict=True))
    if jnp.ndim(patches) < 4:
        raise ValueError(f"patches must be [..., rows, columns, c, p * q], got patches.shape = {jnp.shape(patches)}.")
    patches = _images.as_image(patches, name="patches")
    if patches.shape[-4:-2] != (rows, columns) or patches.shape[-1] != size[0] * size[1]:
        raise ValueError(
            f"An image of shape {tuple(shape)} has patches [..., {rows}, {columns}, c, {size[0] * size[1]}] of size "
            f"{size} at stride {stride}, got patches.shape = {patches.shape}."
        )
    counts = np.outer(_coverage(height, rows, size[0], stride[0]), _coverage(width, columns, size[1], stride[1]))
    total = jnp.zeros((*patches.shape[:-4], height, width, patches.shape[-2]), patches.dtype)
    batch = [(0, 0, 0)] * (patches.ndim - 4)
    zero = jnp.zeros((), patches.dtype)
    for place, (i, j) in enumerate(itertools.product(range(size[0]), range(size[1]))):
        # Entry `place` of every patch, spread out over the pixels that it covers.
        spread = [
            (start, full - start - (1 + (num - 1) * step), step - 1)
            for start, full, num, step in ((i, height, rows, stride[0]), (j, width, columns, stride[1]))
        ]
        total = total + jax.lax.pad(patches[..., place], zero, [*batch, *spread, (0, 0, 0)])
    average = total / jnp.asarray(counts, patches.dtype).reshape((1,) * (total.ndim - 3) + (height, width, 1))
    return average[..., : shape[0], : shape[1], :]


def _windows(image: jax.Array, size: tuple[int, int], stride: tuple[int, int], grid: tuple[int, int]) -> jax.Array:
    # Strided slices, not lax.conv_general_dilated_patches: that is a convolution with an identity, which rounds
    # pixels on accelerators whose matrix units work below float32, and is slower on CPU.
    (p, q), (rows, columns) = size, grid
    if stride == size:
        blocks = image.reshape(*image.shape[:-3], rows, p, columns, q, image.shape[-1])
        blocks = jnp.moveaxis(blocks, (-4, -2), (-2, -1))
        return blocks.reshape(*blocks.shape[:-2], p * q)
    return jnp.stack(
        [
            image[
                ...,
                i : i + (rows - 1) * stride[0] + 1 : stride[0],
                j : j + (columns - 1) * stride[1] + 1 : stride[1],
                :,
            ]
            for i, j in itertools.product(range(p), range(q))
        ],
        axis=-1,
    )


def _continued(image: jax.Array, rows: tuple[int, int], columns: tuple[int, int]) -> jax.Array:
    return jnp.pad(image, [(0, 0)] * (image.ndim - 3) + [rows, columns, (0, 0)], mode="reflect")


def _covering(length: int, size: int, stride: int) -> tuple[int, int]:
    """Length after continuation and number of patches along one axis."""
    num = max(0, -(-(length - size) // stride)) + 1
    return size + (num - 1) * stride, num


def _coverage(length: int, num: int, size: int, stride: int) -> np.ndarray:
    """How many patches cover each place of one axis."""
    counts = np.zeros(length)
    for start in range(0, num * stride, stride):
        counts[start : start + size] += 1
    return counts


def _grid_options(size: Size, stride: Size | None) -> tuple[tuple[int, int], tuple[int, int]]:
    p, q = size if isinstance(size, tuple) else (size, size)
    _images.check_whole(least=1, size_rows=p, size_columns=q)
    if stride is None:
        return (p, q), (p, q)
    s, t = stride if isinstance(stride, tuple) else (stride, stride)
    _images.check_whole(least=1, stride_rows=s, stride_columns=t)
    if s > p or t > q:
        raise ValueError(f"stride must not exceed size, or pixels are left out, got stride = {stride}, size = {size}.")
    return (p, q), (s, t)
