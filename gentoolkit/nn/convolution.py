"""Convolutions in the form that is fast on CPU and XLA's own elsewhere; derivatives of every order are fast too.

Functions on arrays (`convolve`, `transposed`, `resized`), and modules of Flax around them. The functions have no
forward-mode derivative where a form of ours is used, the modules none where they add a bias (`jax.jvp` says so).
"""

import math
from collections.abc import Sequence
from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx
from flax.typing import Initializer

from gentoolkit.nn import _borders, _closed, _columns, _few_channels, _winograd
from gentoolkit.nn._closed import Geometry, Pair

Padding = int | Sequence[Sequence[int]]

# How kernels begin: as in image-to-image networks, and as in Flax.
NORMAL, LECUN = nnx.initializers.normal(0.02), nnx.initializers.lecun_normal()

# The fewest channels (on the narrower side) from which fewer multiplications pay for their transforms inside a network,
# by the size of the kernel; the most channels on one side whose kernel rows are made channels, and the fewest on the
# other.
_FEWEST_CHANNELS = {3: 128, 4: 64}
_MOST_FOR_ROWS, _LEAST_BESIDE_ROWS = 4, 16


def convolve(
    x: jax.Array, w: jax.Array, *, strides: Pair = (1, 1), padding: Padding = 0, precision: jax.lax.PrecisionLike = None
) -> jax.Array:
    """The convolution of networks (a correlation), zeros around the image.

    Args:
      x: `[b, h, w, ci]` images.
      w: `[kh, kw, ci, co]` kernel.
      strides: vertical and horizontal.
      padding: rows and columns of zeros, alike on all sides or ((above, below), (left, right)).
      precision: of the products, as `jax.lax` takes it.

    Returns:
      `[b, h', w', co]`, h' = (h + padding - kh) // stride + 1.

    Raises:
      ValueError: shapes that do not belong together, or a kernel larger than the padded image.
    """
    _check(x, w, w.shape[2])
    geometry = Geometry(_two(size=x.shape[1:3]), _two(kernel=w.shape[:2]), strides, _pairs(padding), precision)
    if min(geometry.output) < 1:
        raise ValueError(
            f"The kernel must fit the padded image, got w.shape = {w.shape}, x.shape = {x.shape}, padding = {padding}."
        )
    form = _form(geometry, x, w)
    return _closed.plain(geometry, x, w) if form is None else _closed.forward(form, geometry, x, w)


def transposed(
    x: jax.Array, w: jax.Array, size: Pair, *, strides: Pair, padding: Padding, precision: jax.lax.PrecisionLike = None
) -> jax.Array:
    """The transpose of `convolve` in its image: each entry of `x` adds a multiple of the kernel to the output.

    Args:
      x: `[b, h, w, ci]`.
      w: `[kh, kw, co, ci]`, the kernel of the convolution whose transpose this is.
      size: height and width of the output: the image that `convolve` maps to one of h x w.
      strides: of that convolution.
      padding: of that convolution.
      precision: of the products, as `jax.lax` takes it.

    Returns:
      `[b, *size, co]`.

    Raises:
      ValueError: shapes that do not belong together.
    """
    _check(x, w, w.shape[3])
    geometry = Geometry(size, _two(kernel=w.shape[:2]), strides, _pairs(padding), precision)
    if geometry.output != x.shape[1:3]:
        raise ValueError(f"size = {size} belongs to an input of {geometry.output}, got x.shape = {x.shape}.")
    return _closed.to_input(_closed.PLAIN, geometry, x, w)


def resized(x: jax.Array, w: jax.Array, *, reflect: bool = False) -> jax.Array:
    """Doubles an image, each pixel four times, and convolves it at that size; no checkerboards, unlike `transposed`.

    Equal to `convolve(enlarge(x), w, padding=k // 2)`. Taps that meet the same pixel are added first, which leaves a
    transposed convolution of stride 2 with k + 1 taps: 16 products instead of 36 for k = 3.

    Args:
      x: `[b, h, w, ci]` images.
      w: `[k, k, ci, co]` kernel, k odd.
      reflect: whether the enlarged image is reflected at its borders instead of surrounded by zeros.

    Returns:
      `[b, 2 h, 2 w, co]`.

    Raises:
      ValueError: shapes that do not belong together, or an even k.
    """
    _check(x, w, w.shape[2])
    k, half = w.shape[0], w.shape[0] // 2
    if w.shape[1] != k or k % 2 == 0:
        raise ValueError(f"w must be square with an odd number of taps, got w.shape = {w.shape}.")
    if reflect and half > 2:  # reflected pixels do not come in pairs
        return convolve(pad_reflect(enlarge(x), half), w)
    # One pixel of reflection is the border once more; of two the outer one is another.
    border = reflect and half > 0
    double = (2 * x.shape[1], 2 * x.shape[2])
    wide = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge") if border else x
    sums = _neighbour_sums(_neighbour_sums(w, 0), 1).swapaxes(2, 3)
    outer = k - 1 - half + 2 * border
    y = transposed(wide, sums, double, strides=(2, 2), padding=((outer, outer), (outer, outer)))
    return _borders.reflect(y, x, w) if reflect and half == 2 else y


def enlarge(x: jax.Array) -> jax.Array:
    """Doubles height and width of `[b, h, w, c]`, each pixel four times (nearest neighbour)."""
    b, h, w, c = x.shape
    return jnp.broadcast_to(x[:, :, None, :, None], (b, h, 2, w, 2, c)).reshape(b, 2 * h, 2 * w, c)


def halve(x: jax.Array) -> jax.Array:
    """Means over blocks of 2 x 2 of `[b, h, w, c]`, h and w even."""
    b, h, w, c = x.shape
    if h % 2 or w % 2:
        raise ValueError(f"x must have an even height and width, got x.shape = {x.shape}.")
    return x.reshape(b, h // 2, 2, w // 2, 2, c).mean((2, 4))


def pad_reflect(x: jax.Array, width: int) -> jax.Array:
    """Surrounds `[b, h, w, c]` by its reflection at the border pixels, which are not repeated."""
    if width >= min(x.shape[1:3]):
        raise ValueError(f"The reflection must be smaller than the image, got width = {width}, x.shape = {x.shape}.")
    return jnp.pad(x, ((0, 0), (width, width), (width, width), (0, 0)), mode="reflect")


class Convolution(nnx.Conv):
    """A convolution with the parameters of Flax's and of PyTorch's padding, zeros or a reflection."""

    def __init__(
        self,
        in_features: int,
        out_features: int,
        kernel_size: int | Sequence[int],
        *,
        strides: int | Sequence[int] = 1,
        padding: Padding | None = None,
        reflect: bool = False,
        use_bias: bool = True,
        kernel_init: Initializer = NORMAL,
        rngs: nnx.Rngs,
    ):
        """Makes the parameters: N(0, 0.02) and a bias of 0, as image-to-image networks begin.

        Args:
          in_features: channels of the input.
          out_features: channels of the output.
          kernel_size: one number, or height and width.
          strides: one number, or vertical and horizontal.
          padding: on all sides, or ((above, below), (left, right)); if None half the kernel, which keeps the size of
            odd kernels at stride 1.
          reflect: whether the image is reflected at its borders instead of surrounded by zeros; then one number.
          use_bias: whether a bias is added.
          kernel_init: of the kernel.
          rngs: of the initial weights.

        Raises:
          ValueError: a reflection with unequal sides, or sizes that are not of two axes.
        """
        kernel_size, strides = _two(kernel_size=kernel_size), _two(strides=strides)
        if padding is None:
            padding = [((k - 1) // 2, (k - 1) // 2) for k in kernel_size]
        pairs = _pairs(padding)
        if reflect and len({*pairs[0], *pairs[1]}) > 1:
            raise ValueError(f"padding must be one number where it reflects, got padding = {padding}.")
        self.reflect = pairs[0][0] if reflect else 0
        self.zeros = ((0, 0), (0, 0)) if reflect else pairs
        self.steps = strides
        super().__init__(
            in_features,
            out_features,
            kernel_size,
            strides,
            padding=self.zeros,
            use_bias=use_bias,
            kernel_init=kernel_init,
            rngs=rngs,
        )

    def __call__(self, inputs: jax.Array) -> jax.Array:  # type: ignore[override]
        """Maps `[b, h, w, in_features]` to `[b, h', w', out_features]`."""
        bias = None if self.bias is None else self.bias[...]
        inputs, kernel, bias = self.promote_dtype((inputs, self.kernel[...], bias), dtype=self.dtype)
        if self.reflect:
            inputs = pad_reflect(inputs, self.reflect)
        y = convolve(inputs, kernel, strides=self.steps, padding=self.zeros, precision=self.precision)
        return y if bias is None else _columns.add_bias(y, bias)


class TransposedConvolution(nnx.ConvTranspose):
    """The transposed convolution of Flax, with the same parameters and values, and fast derivatives of every order.

    It is computed as what it is, the transpose of a strided convolution, for which XLA has a fast path on CPU. As a
    convolution of a dilated input, which is how Flax writes it, its derivative is a naive loop: fifteen times as long.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        kernel_size: Sequence[int],
        *,
        strides: Sequence[int] = (1, 1),
        padding: Literal["SAME", "VALID"] | int = "SAME",
        output_padding: int = 0,
        use_bias: bool = True,
        kernel_init: Initializer = LECUN,
        rngs: nnx.Rngs,
    ):
        """Makes the parameters, as `nnx.ConvTranspose` does.

        Args:
          in_features: channels of the input.
          out_features: channels of the output.
          kernel_size: height and width of the kernel.
          strides: vertical and horizontal; no larger than the kernel.
          padding: "SAME" gives strides times the input's size, "VALID" all that the kernel reaches; a number takes so
            many rows and columns off on each side, as in PyTorch.
          output_padding: of rows below and columns on the right that are then kept, as in PyTorch; less than the
            strides, and 0 unless `padding` is a number.
          use_bias: whether a bias is added.
          kernel_init: of the kernel.
          rngs: of the initial weights.

        Raises:
          ValueError: another padding, sizes that are not of two axes, or a stride larger than the kernel.
        """
        kernel_size, strides = tuple(kernel_size), tuple(strides)
        if len(kernel_size) != 2 or len(strides) != 2 or any(s > k for s, k in zip(strides, kernel_size, strict=True)):
            raise ValueError(
                f"kernel_size and strides must be of two axes, strides no larger, got {kernel_size} and {strides}."
            )
        if padding not in ("SAME", "VALID") and not (isinstance(padding, int) and 0 <= padding < min(kernel_size)):
            raise ValueError(
                f'padding must be "SAME", "VALID" or a number below the size of the kernel, got {padding!r}.'
            )
        if not 0 <= output_padding < min(strides) or (output_padding and not isinstance(padding, int)):
            raise ValueError(
                f"output_padding must be less than the strides, and 0 unless padding is a number, got {output_padding}."
            )
        self.steps = _two(strides=strides)
        self.around = _around(_two(kernel_size=kernel_size), self.steps, padding, output_padding)
        super().__init__(
            in_features,
            out_features,
            kernel_size,
            strides,
            padding=self.around,
            use_bias=use_bias,
            kernel_init=kernel_init,
            rngs=rngs,
        )

    def __call__(self, inputs: jax.Array) -> jax.Array:
        """Maps `[b, h, w, in_features]` to `[b, h', w', out_features]`."""
        bias = None if self.bias is None else self.bias[...]
        inputs, kernel, bias = self.promote_dtype((inputs, self.kernel[...], bias), dtype=self.dtype)
        if self.steps == (1, 1):
            y = convolve(inputs, kernel, padding=self.around, precision=self.precision)
        else:
            sides = list(zip(kernel.shape[:2], self.around, strict=True))
            height, width = (
                (length - 1) * step + before + after + 2 - k
                for length, step, (k, (before, after)) in zip(inputs.shape[1:3], self.steps, sides, strict=True)
            )
            padding = [(k - 1 - before, max(0, k - 1 - after)) for k, (before, after) in sides]
            kernel = jnp.flip(kernel, (0, 1)).swapaxes(2, 3)
            y = transposed(
                inputs, kernel, (height, width), strides=self.steps, padding=padding, precision=self.precision
            )
        return y if bias is None else _columns.add_bias(y, bias)


class ResizedConvolution(nnx.Conv):
    """An image doubled by its nearest neighbours, then a convolution of an odd kernel at that size (`resized`)."""

    def __init__(
        self,
        in_features: int,
        out_features: int,
        kernel_size: int = 3,
        *,
        reflect: bool = False,
        use_bias: bool = True,
        kernel_init: Initializer = NORMAL,
        rngs: nnx.Rngs,
    ):
        """Makes the parameters.

        Args:
          in_features: channels of the input.
          out_features: channels of the output.
          kernel_size: an odd number.
          reflect: whether the enlarged image is reflected at its borders instead of surrounded by zeros.
          use_bias: whether a bias is added.
          kernel_init: of the kernel.
          rngs: of the initial weights.

        Raises:
          ValueError: an even kernel.
        """
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd, got kernel_size = {kernel_size}.")
        self.reflect = reflect
        super().__init__(
            in_features,
            out_features,
            _two(kernel_size=kernel_size),
            use_bias=use_bias,
            kernel_init=kernel_init,
            rngs=rngs,
        )

    def __call__(self, inputs: jax.Array) -> jax.Array:  # type: ignore[override]
        """Maps `[b, h, w, in_features]` to `[b, 2 h, 2 w, out_features]`."""
        bias = None if self.bias is None else self.bias[...]
        inputs, kernel, bias = self.promote_dtype((inputs, self.kernel[...], bias), dtype=self.dtype)
        y = resized(inputs, kernel, reflect=self.reflect)
        return y if bias is None else _columns.add_bias(y, bias)


def _form(geometry: Geometry, x: jax.Array, w: jax.Array) -> _closed.Form | None:
    """Which form a convolution takes; None for XLA's own with XLA's own derivatives."""
    if geometry.strides != (1, 1):
        return _closed.PLAIN
    kernel, (ci, co) = geometry.kernel, w.shape[2:]
    inside = all(max(pad) < k for pad, k in zip(geometry.padding, kernel, strict=True))
    if x.dtype != jnp.float32 or not inside:
        return None
    if min(ci, co) <= _MOST_FOR_ROWS and max(ci, co) >= _LEAST_BESIDE_ROWS and kernel[0] >= 3:
        return _few_channels.ONTO_FEW if co < ci else _few_channels.FROM_FEW
    fewest = _FEWEST_CHANNELS.get(kernel[0], math.inf)
    if kernel[0] == kernel[1] and min(ci, co) >= fewest and min(geometry.output) >= 4:
        return _winograd.FORM
    return None


def _check(x: jax.Array, w: jax.Array, channels: int) -> None:
    if x.ndim != 4 or w.ndim != 4 or x.shape[3] != channels:
        raise ValueError(
            f"x must be [b, h, w, c] with the channels of the kernel, got x.shape = {x.shape} and w.shape = {w.shape}."
        )


def _two(**sizes: int | Sequence[int]) -> Pair:
    ((name, size),) = sizes.items()
    pair = (size, size) if isinstance(size, int) else tuple(size)
    if len(pair) != 2:
        raise ValueError(f"{name} must be one number or one for each of two axes, got {name} = {size}.")
    return pair[0], pair[1]


def _pairs(padding: Padding) -> tuple[Pair, Pair]:
    if isinstance(padding, int):
        return (padding, padding), (padding, padding)
    (above, below), (left, right) = padding
    return (above, below), (left, right)


def _neighbour_sums(w: jax.Array, axis: int) -> jax.Array:
    """Taps of `w`, last to first, each with its neighbour, as they meet the two copies of one pixel: k to k + 1."""
    w = jnp.flip(w, axis)
    before, after = ([(0, 0)] * axis + [pad] + [(0, 0)] * (3 - axis) for pad in ((0, 1), (1, 0)))
    return jnp.pad(w, before) + jnp.pad(w, after)


def _around(kernel: Pair, strides: Pair, padding: str | int, output_padding: int) -> tuple[Pair, Pair]:
    """Zeros around the dilated input of each axis, as `jax.lax.conv_transpose` splits them."""
    pairs = []
    for k, s in zip(kernel, strides, strict=True):
        if isinstance(padding, int):
            pairs.append((k - 1 - padding, k - 1 - padding + output_padding))
        elif padding == "VALID":
            pairs.append((k - 1, k - 1 + max(0, s - k)))
        else:
            before = k - 1 if s > k - 1 else -(-(k + s - 2) // 2)
            pairs.append((before, k + s - 2 - before))
    return pairs[0], pairs[1]
