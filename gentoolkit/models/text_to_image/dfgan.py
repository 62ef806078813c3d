"""DF-GAN: one stage, no norms; a sentence decides scale and shift of every channel, twice before each convolution.

Blocks double the image by nearest neighbours. What a scale, a shift and a leaky ReLU do to a pixel they do to its four
copies, so they work at the smaller size, and doubling and convolution are one (`nn.ResizedConvolution`): the values of
the public code, at a fraction of the products.

References:
  Tao, Tang, Wu, Jing, Bao, Xu, DF-GAN: a simple and effective baseline for text-to-image synthesis, CVPR 2022; sizes as
  in the authors' public code.
"""

import functools

import jax
import jax.numpy as jnp
from flax import nnx

from gentoolkit.models import _images, weights
from gentoolkit.nn import convolution, normalization
from gentoolkit.nn.convolution import Convolution, ResizedConvolution
from gentoolkit.nn.residual import leaky_relu, tile

# PyTorch's own choice of initial weights, which the authors leave as it is.
_UNIFORM = nnx.initializers.variance_scaling(1 / 3, "fan_in", "uniform")
# Shortcuts of blocks that keep their channels stand in the files, and nothing there uses them: `ignore=` of
# `weights.assign`. The public count of parameters has them too.
UNUSED = ("DBlocks.*.conv_s.*",)
_SMALLEST = 4  # height and width at which painting begins and judging ends


class Affine(nnx.Module):
    """A scale and a shift of each channel, each by a network with one hidden layer; at first the identity."""

    def __init__(self, condition: int, features: int, *, rngs: nnx.Rngs):
        """Makes the layers.

        Args:
          condition: features of what decides.
          features: channels.
          rngs: of the initial weights.
        """
        zeros, ones = nnx.initializers.zeros_init(), nnx.initializers.ones_init()
        self.scale_hidden, self.shift_hidden = (
            nnx.Linear(condition, features, kernel_init=_UNIFORM, rngs=rngs) for _ in range(2)
        )
        self.scale = nnx.Linear(features, features, kernel_init=zeros, bias_init=ones, rngs=rngs)
        self.shift = nnx.Linear(features, features, kernel_init=zeros, rngs=rngs)

    def __call__(self, x: jax.Array, condition: jax.Array) -> jax.Array:
        """Maps `[b, h, w, features]` and conditions `[b, condition]` to the same shape as `x`."""
        scale = self.scale(nnx.relu(self.scale_hidden(condition)))
        shift = self.shift(nnx.relu(self.shift_hidden(condition)))
        return normalization.modulate(x, scale, shift)


class Fusion(nnx.Module):
    """Two affine maps by the condition with a leaky ReLU behind each (the authors' DFBLK)."""

    def __init__(self, condition: int, features: int, *, rngs: nnx.Rngs):
        """Makes the layers; arguments as those of `Affine`."""
        self.first, self.second = (Affine(condition, features, rngs=rngs) for _ in range(2))

    def __call__(self, x: jax.Array, condition: jax.Array) -> jax.Array:
        """Maps `[b, h, w, features]` to the same shape."""
        return leaky_relu(self.second(leaky_relu(self.first(x, condition)), condition))


class Up(nnx.Module):
    """Doubles an image: a shortcut, and two fusions with a convolution behind each."""

    def __init__(self, condition: int, in_features: int, out_features: int, *, rngs: nnx.Rngs):
        """Makes the layers.

        Args:
          condition: features of the condition.
          in_features: channels in.
          out_features: channels out.
          rngs: of the initial weights.
        """
        self.fuse_1 = Fusion(condition, in_features, rngs=rngs)
        self.conv_1 = ResizedConvolution(in_features, out_features, kernel_init=_UNIFORM, rngs=rngs)
        self.fuse_2 = Fusion(condition, out_features, rngs=rngs)
        self.conv_2 = Convolution(out_features, out_features, 3, kernel_init=_UNIFORM, rngs=rngs)
        changes = in_features != out_features
        self.shortcut = Convolution(in_features, out_features, 1, kernel_init=_UNIFORM, rngs=rngs) if changes else None

    def __call__(self, x: jax.Array, condition: jax.Array) -> jax.Array:
        """Maps `[b, h, w, in_features]` to `[b, 2 h, 2 w, out_features]`."""
        y = self.conv_1(self.fuse_1(x, condition))
        y = self.conv_2(self.fuse_2(y, condition))
        around = x if self.shortcut is None else self.shortcut(x)
        return y + convolution.enlarge(around)


class Generator(nnx.Module):
    """Noise and a sentence to a picture."""

    def __init__(
        self,
        *,
        image_size: int = 256,
        width: int = 32,
        noise_dim: int = 100,
        sentence_dim: int = 256,
        channels: int = 3,
        bounded: bool = True,
        rngs: nnx.Rngs,
    ):
        """Makes the layers.

        Args:
          image_size: a power of two, 8 or more.
          width: channels before the last layer; eight times as many at first.
          noise_dim: features of the noise.
          sentence_dim: features of a sentence.
          channels: of the pictures.
          bounded: colours by tanh, as published. Where most of a picture is white, a painter may be driven to white so
            fast that tanh has no slope left; without it colours are free, to be clipped by who shows them.
          rngs: of the initial weights.

        Raises:
          ValueError: another size.
        """
        self.noise_dim, self.sentence_dim, self.bounded = noise_dim, sentence_dim, bounded
        features = _widths(image_size, width)[::-1]
        self.features = features[0]
        self.begin = nnx.Linear(noise_dim, features[0] * _SMALLEST**2, kernel_init=_UNIFORM, rngs=rngs)
        self.blocks = nnx.List(
            Up(noise_dim + sentence_dim, a, b, rngs=rngs) for a, b in zip(features[:-1], features[1:], strict=True)
        )
        self.last = Convolution(features[-1], channels, 3, kernel_init=_UNIFORM, rngs=rngs)

    def __call__(self, noise: jax.Array, sentence: jax.Array) -> jax.Array:
        """Paints pictures.

        Args:
          noise: `[b, noise_dim]`, N(0, I) in training; the authors sample from its part within two deviations, times
            0.88.
          sentence: `[b, sentence_dim]`.

        Returns:
          `[b, image_size, image_size, channels]` in [-1, 1] if `bounded`.
        """
        if noise.shape[1:] != (self.noise_dim,) or sentence.shape[1:] != (self.sentence_dim,):
            raise ValueError(
                f"noise and sentence must be [b, {self.noise_dim}] and [b, {self.sentence_dim}], "
                f"got {noise.shape} and {sentence.shape}."
            )
        condition = jnp.concatenate([noise, sentence], axis=1)
        x = self.begin(noise).reshape(-1, _SMALLEST, _SMALLEST, self.features)
        for block in self.blocks:
            x = block(x, condition)
        painted = self.last(leaky_relu(x))
        return jnp.tanh(painted) if self.bounded else painted


class Down(nnx.Module):
    """Halves an image: the mean of four pixels, plus two convolutions times a number that begins at 0."""

    def __init__(self, in_features: int, out_features: int, *, rngs: nnx.Rngs):
        """Makes the layers.

        Args:
          in_features: channels in.
          out_features: channels out.
          rngs: of the initial weights.
        """
        without = functools.partial(Convolution, use_bias=False, kernel_init=_UNIFORM, rngs=rngs)
        self.conv_1 = without(in_features, out_features, 4, strides=2, padding=1)
        self.conv_2 = without(out_features, out_features, 3)
        changes = in_features != out_features
        self.shortcut = Convolution(in_features, out_features, 1, kernel_init=_UNIFORM, rngs=rngs) if changes else None
        self.gamma = nnx.Param(jnp.zeros(1))

    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps `[b, 2 h, 2 w, in_features]` to `[b, h, w, out_features]`."""
        y = leaky_relu(self.conv_2(leaky_relu(self.conv_1(x))))
        around = convolution.halve(x)  # before the convolution of 1 x 1, with which it commutes
        # As one number for each channel of each picture, whose derivatives are fast sums over pixels.
        gains = jnp.broadcast_to(self.gamma[...], (y.shape[0], y.shape[-1]))
        y = normalization.modulate(y, gains)
        return (around if self.shortcut is None else self.shortcut(around)) + y


class Discriminator(nnx.Module):
    """Pictures to a map of features, and this with a sentence to one logit: whether both are real and match.

    The two parts are methods, since a picture is judged with several sentences.
    """

    def __init__(
        self, *, image_size: int = 256, width: int = 32, sentence_dim: int = 256, channels: int = 3, rngs: nnx.Rngs
    ):
        """Makes the layers; arguments as those of `Generator`."""
        self.image_shape, self.sentence_dim = (image_size, image_size, channels), sentence_dim
        features = _widths(image_size, width)
        without = functools.partial(Convolution, use_bias=False, kernel_init=_UNIFORM, rngs=rngs)
        self.first = Convolution(channels, features[0], 3, kernel_init=_UNIFORM, rngs=rngs)
        self.blocks = nnx.List(Down(a, b, rngs=rngs) for a, b in zip(features[:-1], features[1:], strict=True))
        self.joint = without(features[-1] + sentence_dim, 2 * width, 3)
        self.last = without(2 * width, 1, _SMALLEST, padding=0)

    def __call__(self, images: jax.Array, sentence: jax.Array) -> jax.Array:
        """Maps pictures `[b, h, w, c]` in [-1, 1] and sentences `[b, sentence_dim]` to logits `[b]`."""
        return self.judge(self.look(images), sentence)

    def look(self, images: jax.Array) -> jax.Array:
        """Maps pictures to features `[b, 4, 4, 8 width]`; refuses those of another size (`ValueError`)."""
        _images.check_images(images, self.image_shape)
        x = self.first(images)
        for block in self.blocks:
            x = block(x)
        return x

    def judge(self, features: jax.Array, sentence: jax.Array) -> jax.Array:
        """Maps features and sentences to logits `[b]`."""
        _images.check_features(sentence, self.sentence_dim, "sentence")
        return self.last(leaky_relu(self.joint(tile(features, sentence))))[:, 0, 0, 0]


def generator_table(image_size: int = 256, width: int = 32) -> weights.Table:
    """Where the parameters of a `Generator` stand in the authors' files (`netG`, or `model/netG` of a state).

    Args:
      image_size: of the generator.
      width: of the generator.

    Returns:
      The table.
    """
    features = _widths(image_size, width)[::-1]
    # Numbers of the first layer stand channel by channel there, pixel by pixel here.
    entries = dict(_of_first_layer(features[0]))
    for block, (a, b) in enumerate(zip(features[:-1], features[1:], strict=True)):
        here, there = f"blocks/{block}", f"GBlocks.{block}"
        for number in (1, 2):
            entries |= weights.with_bias(weights.convolution, f"{here}/conv_{number}", f"{there}.c{number}")
            for place, affine in enumerate(("first", "second")):
                for ours, theirs in (("scale", "gamma"), ("shift", "beta")):
                    start, name = f"{here}/fuse_{number}/{affine}/{ours}", f"{there}.fuse{number}.affine{place}"
                    entries |= weights.with_bias(weights.linear, f"{start}_hidden", f"{name}.fc_{theirs}.linear1")
                    entries |= weights.with_bias(weights.linear, start, f"{name}.fc_{theirs}.linear2")
        if a != b:
            entries |= weights.with_bias(weights.convolution, f"{here}/shortcut", f"{there}.c_sc")
    return entries | weights.with_bias(weights.convolution, "last", "to_rgb.1")


def discriminator_table(image_size: int = 256, width: int = 32) -> weights.Table:
    """Where the parameters of a `Discriminator` stand in the authors' files, netD's and netC's in one.

    Args:
      image_size: of the discriminator.
      width: of the discriminator.

    Returns:
      The table.
    """
    features = _widths(image_size, width)
    entries = dict(weights.with_bias(weights.convolution, "first", "conv_img"))
    for block, (a, b) in enumerate(zip(features[:-1], features[1:], strict=True)):
        here, there = f"blocks/{block}", f"DBlocks.{block}"
        entries[f"{here}/conv_1/kernel"] = weights.convolution(f"{there}.conv_r.0.weight")
        entries[f"{here}/conv_2/kernel"] = weights.convolution(f"{there}.conv_r.2.weight")
        entries[f"{here}/gamma"] = weights.same(f"{there}.gamma")
        if a != b:
            entries |= weights.with_bias(weights.convolution, f"{here}/shortcut", f"{there}.conv_s")
    entries["joint/kernel"] = weights.convolution("joint_conv.0.weight")
    return entries | {"last/kernel": weights.convolution("joint_conv.2.weight")}


def _of_first_layer(features: int) -> weights.Table:
    shape = (features, _SMALLEST, _SMALLEST)

    def kernel(tensor):
        return tensor.reshape(*shape, -1).transpose(3, 1, 2, 0).reshape(tensor.shape[::-1])

    def bias(tensor):
        return tensor.reshape(shape).transpose(1, 2, 0).reshape(-1)

    return {
        "begin/kernel": weights.Entry(("fc.weight",), lambda shape: (shape[::-1],), kernel),
        "begin/bias": weights.Entry(("fc.bias",), lambda shape: (shape,), bias),
    }


def _widths(image_size: int, width: int) -> list[int]:
    """Channels from the full size down to 4 x 4."""
    return [width * min(2**level, 8) for level in range(_images.num_halvings(image_size, to=_SMALLEST) + 1)]
