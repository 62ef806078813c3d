"""Norms of feature maps: with a scale and shift of their own, of a condition or handed in, and of kernels.

Instance and batch norm have the parameters and values of Flax's, under the options of image-to-image networks, and sums
over pixels that are fast on CPUs. All statistics are in float32 or wider, whatever the maps are in. Derivatives are for
reverse mode (`jax.grad`), of any order; `jax.jvp` refuses them.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from flax.typing import Initializer

from gentoolkit.nn import _columns

_EPSILON = 1e-5
_ONES = nnx.initializers.ones_init()


def instance(num_features: int, *, affine: bool = False, rngs: nnx.Rngs) -> nnx.InstanceNorm:
    """Instance norm of `[b, h, w, c]` maps: each channel of each image to mean 0 and variance 1, no more by default.

    A map of one pixel becomes 0, and a constant added to a channel before it is lost.

    Args:
      num_features: channels.
      affine: whether a scale and a shift are learned for each channel.
      rngs: of the initial weights.

    References:
      Ulyanov, Vedaldi, Lempitsky, "Instance normalization: the missing ingredient for fast stylization", 2016.
    """
    return _InstanceNorm(
        num_features, epsilon=_EPSILON, use_bias=affine, use_scale=affine, use_fast_variance=False, rngs=rngs
    )


def batch(num_features: int, *, affine: bool = True, scale_init: Initializer = _ONES, rngs: nnx.Rngs) -> nnx.BatchNorm:
    """Batch norm of `[b, h, w, c]` maps or `[b, c]` features, as PyTorch's: running statistics move by a tenth.

    Args:
      num_features: channels.
      affine: whether a scale and a shift are learned for each channel.
      scale_init: of the scales, where they are learned.
      rngs: of the initial weights.

    References:
      Ioffe and Szegedy, "Batch normalization", ICML 2015.
    """
    return _BatchNorm(
        num_features,
        momentum=0.9,
        epsilon=_EPSILON,
        use_bias=affine,
        use_scale=affine,
        scale_init=scale_init,
        rngs=rngs,
    )


class _InstanceNorm(nnx.InstanceNorm):
    def __call__(self, x: jax.Array, *, mask: jax.Array | None = None) -> jax.Array:
        if x.ndim < 3 or mask is not None:
            return super().__call__(x, mask=mask)
        lines = _wide(jax.lax.collapse(x, 1, x.ndim - 1))
        y, _, _ = _standardized(lines, self.epsilon)
        return _affine(y.reshape(x.shape), self.scale, self.bias).astype(x.dtype)


class _BatchNorm(nnx.BatchNorm):
    def __call__(
        self, x: jax.Array, use_running_average: bool | None = None, *, mask: jax.Array | None = None
    ) -> jax.Array:
        running = self.use_running_average if use_running_average is None else use_running_average
        if running is not False or mask is not None:
            return super().__call__(x, use_running_average, mask=mask)
        y, mean, variance = _standardized(_wide(jax.lax.collapse(x, 0, x.ndim - 1)), self.epsilon)
        for kept, seen in ((self.mean, mean), (self.var, variance)):
            kept[...] = self.momentum * kept[...] + (1 - self.momentum) * jax.lax.stop_gradient(seen[0])
        return _affine(y.reshape(x.shape), self.scale, self.bias).astype(x.dtype)


def _standardized(lines: jax.Array, epsilon: float) -> tuple[jax.Array, jax.Array, jax.Array]:
    """`[..., n, c]` to mean 0 and variance 1 of each column; mean and variance before, `[..., 1, c]`."""
    count = max(1, lines.shape[-2])
    mean = _columns.sums(lines) / count
    apart = lines - mean
    variance = _columns.sums(apart**2) / count
    return apart * jax.lax.rsqrt(variance + epsilon), mean, variance


def _affine(x: jax.Array, scale: nnx.Param | None, bias: nnx.Param | None) -> jax.Array:
    lines = jax.lax.collapse(x, 0, x.ndim - 1)
    if scale is not None:
        lines = _columns.scaled(lines, scale[...][None].astype(x.dtype))
    if bias is not None:
        lines = _columns.shifted(lines, bias[...][None].astype(x.dtype))
    return lines.reshape(x.shape)


def _wide(x: jax.Array) -> jax.Array:
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


class LayerNorm(nnx.Module):
    """All of an image to mean 0 and standard deviation 1, then a scale and a shift for each channel, as UNIT has it.

    The standard deviation is the unbiased one, `epsilon` is added to it and not to the variance, and scales begin
    uniform in [0, 1].

    References:
      Liu, Breuel, Kautz, "Unsupervised image-to-image translation networks", NeurIPS 2017, and its public code.
    """

    def __init__(self, num_features: int, *, epsilon: float = _EPSILON, rngs: nnx.Rngs):
        """Makes the scales and shifts.

        Args:
          num_features: channels.
          epsilon: added to the standard deviation.
          rngs: of the initial scales.
        """
        self.epsilon = epsilon
        self.scale = nnx.Param(jax.random.uniform(rngs.params(), (num_features,)))
        self.bias = nnx.Param(jnp.zeros((num_features,)))

    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps `[b, ..., c]` to the same shape."""
        lines = _wide(jax.lax.collapse(x, 1, x.ndim - 1))
        count = lines.shape[1] * lines.shape[2]
        lines = lines - _sum_of_each(lines) / max(1, count)
        variance = _sum_of_each(lines**2) / max(1, count - 1)
        flat = variance == 0  # where the root has no slope
        deviation = jnp.where(flat, 0.0, jnp.sqrt(jnp.where(flat, 1.0, variance)))
        return _affine((lines / (deviation + self.epsilon)).reshape(x.shape), self.scale, self.bias).astype(x.dtype)


class Conditional(nnx.Module):
    """A norm whose scale and shift depend on a condition: norm(x) (1 + scale(c)) + shift(c).

    References:
      de Vries et al., "Modulating early visual processing by language", NeurIPS 2017 (batch norm); Dumoulin, Shlens,
      Kudlur, "A learned representation for artistic style", ICLR 2017 (instance norm, by labels); Tao et al.,
      "DF-GAN", CVPR 2022 (no norm).
    """

    def __init__(self, norm: Callable[[jax.Array], jax.Array] | None, project: Callable[..., jax.Array]):
        """Keeps both parts; `by_vector` and `by_label` make the second.

        Args:
          norm: a norm of maps without a scale and shift of its own, or None for none.
          project: a module from the condition to `[b, 2 c]`, scales before shifts.
        """
        self.norm = norm
        self.project = project

    @classmethod
    def by_vector(
        cls,
        norm: Callable[[jax.Array], jax.Array] | None,
        num_features: int,
        condition_features: int,
        *,
        rngs: nnx.Rngs,
    ) -> "Conditional":
        """A linear function of `[b, d]` conditions; it begins as the norm alone.

        Args:
          norm: as above.
          num_features: channels of the maps.
          condition_features: d.
          rngs: of the initial weights.
        """
        return cls(
            norm,
            nnx.Linear(condition_features, 2 * num_features, kernel_init=nnx.initializers.zeros_init(), rngs=rngs),
        )

    @classmethod
    def by_label(
        cls, norm: Callable[[jax.Array], jax.Array] | None, num_features: int, num_labels: int, *, rngs: nnx.Rngs
    ) -> "Conditional":
        """A row for each of `[b]` integer labels; it begins as the norm alone.

        Args:
          norm: as above.
          num_features: channels of the maps.
          num_labels: how many labels there are.
          rngs: of the initial weights.
        """
        return cls(
            norm, nnx.Embed(num_labels, 2 * num_features, embedding_init=nnx.initializers.zeros_init(), rngs=rngs)
        )

    def __call__(self, x: jax.Array, condition: jax.Array) -> jax.Array:
        """Maps `[b, h, w, c]` and conditions of `[b, ...]` to `[b, h, w, c]`."""
        scale, shift = jnp.split(self.project(condition), 2, axis=-1)
        return modulate(x if self.norm is None else self.norm(x), 1.0 + scale, shift)


def adaptive(
    x: jax.Array, scale: jax.Array, shift: jax.Array, *, norm: Callable[[jax.Array], jax.Array] | None = None
) -> jax.Array:
    """Adaptive instance norm: each channel of each image to the standard deviation and mean that are handed in.

    What `scale` and `shift` carry is not lost to the norm, unlike a code that is appended to the channels before it.

    Args:
      x: `[b, h, w, c]` maps.
      scale: `[b, c]`.
      shift: `[b, c]`.
      norm: an instance norm without a scale and shift of its own, if it is a module of the network's.

    Returns:
      `[b, h, w, c]`.

    Raises:
      ValueError: shapes that do not belong together.

    References:
      Huang and Belongie, "Arbitrary style transfer in real-time with adaptive instance normalization", ICCV
      2017, eq. (8).
    """
    return modulate((norm or instance(x.shape[-1], rngs=nnx.Rngs(0)))(x), scale, shift)


def _sum_of_each(lines: jax.Array) -> jax.Array:
    """`[b, n, c]` to `[b, 1, 1]`."""
    return jnp.sum(_columns.sums(lines), axis=2, keepdims=True)


def modulate(x: jax.Array, scale: jax.Array, shift: jax.Array | None = None) -> jax.Array:
    """Each channel of each image times a factor, plus a number.

    Args:
      x: `[b, h, w, c]` maps.
      scale: `[b, c]`.
      shift: `[b, c]`; None adds nothing.

    Returns:
      `[b, h, w, c]`, in the type of `x`.

    Raises:
      ValueError: shapes that do not belong together.
    """
    expected = (x.shape[0], x.shape[-1])
    if x.ndim != 4 or scale.shape != expected or (shift is not None and shift.shape != expected):
        added = "" if shift is None else f" and {shift.shape}"
        raise ValueError(
            f"x must be [b, h, w, c] and scale and shift [b, c], got shapes {x.shape} and {scale.shape}{added}."
        )
    wide = jnp.result_type(x, scale) if shift is None else jnp.result_type(x, scale, shift)
    lines = _columns.scaled(jax.lax.collapse(x, 1, 3).astype(wide), scale[:, None].astype(wide))
    if shift is not None:
        lines = _columns.shifted(lines, shift[:, None].astype(wide))
    return lines.reshape(x.shape).astype(x.dtype)


class PowerVector(nnx.Variable):
    """What power iteration remembers: no parameter, part of the state, and never averaged."""


class SpectralNorm(nnx.Module):
    """A layer whose kernel is divided by its largest singular value, as estimated by power iteration.

    The kernel counts as a matrix of inputs (and taps) by outputs. Each call in training mode moves the estimate by one
    step, from where the last left it; the layer's own parameters stay as they are, so that several calls in one loss
    divide by the same norm and not by each other's. In evaluation mode nothing changes. Inside a derivative take
    `training.pure` of the whole network.

    References:
      Miyato et al., "Spectral normalization for generative adversarial networks", ICLR 2018, algorithm 1.
    """

    def __init__(self, layer: nnx.Module, *, num_steps: int = 1, rngs: nnx.Rngs):
        """Wraps a layer.

        Args:
          layer: a module with a `kernel` or an `embedding` whose last axis is that of the outputs.
          num_steps: of power iteration, at each call in training mode.
          rngs: of the vector to begin with.

        Raises:
          ValueError: a layer without such a parameter, or no steps.
        """
        if num_steps < 1:
            raise ValueError(f"num_steps must be at least 1, got num_steps = {num_steps}.")
        names = [name for name in ("kernel", "embedding") if isinstance(getattr(layer, name, None), nnx.Param)]
        if not names:
            raise ValueError(f"layer must have a kernel or an embedding, got {type(layer).__name__}.")
        self.layer = layer
        self.name = names[0]
        self.num_steps = num_steps
        self.use_running_average = False  # what nnx's train() and eval() set
        num_outputs = getattr(layer, self.name).shape[-1]
        self.vector = PowerVector(_unit(jax.random.normal(rngs.params(), (num_outputs,))))

    def __call__(self, *inputs: Any) -> Any:
        """Calls the layer with its kernel divided."""
        kernel = getattr(self.layer, self.name)[...]
        matrix = kernel.reshape(-1, kernel.shape[-1]).astype(jnp.promote_types(kernel.dtype, jnp.float32))
        still, right = jax.lax.stop_gradient(matrix), self.vector[...]
        left = _unit(_times(still, right))
        if not self.use_running_average:
            for step in range(self.num_steps):
                left = _unit(_times(still, right)) if step else left
                right = _unit(_times(still.T, left))
            self.vector[...] = right
        largest = jnp.sum(left * _times(matrix, right))
        layer = nnx.clone(self.layer)
        setattr(layer, self.name, nnx.Param(kernel / jnp.where(largest > 0, largest, 1.0).astype(kernel.dtype)))
        return layer(*inputs)


def _times(matrix: jax.Array, vector: jax.Array) -> jax.Array:
    return jnp.matmul(matrix, vector, precision=jax.lax.Precision.HIGHEST)


def _unit(vector: jax.Array) -> jax.Array:
    return vector / jnp.maximum(jnp.linalg.norm(vector), 1e-12)
