"""AttnGAN: a small picture from a sentence, then larger ones, for which every pixel looks at the words.

The first stage paints from noise and from a code of the sentence that is itself drawn (conditioning augmentation). Each
later stage lets the pixels of the one before look for the words that concern them, and doubles the size. Every size has
a discriminator of its own, which judges pictures alone and together with the sentence.

| sizes | pictures | `width` | `judge_width` | `num_residual` |
|---|---|---|---|---|
| `CUB` | 64, 128, 256 | 32 | 64 | 2 |
| `COCO` | 64, 128, 256 | 48 | 96 | 3 |

Other sizes are the same classes: `image_size=32, num_stages=2` paints 16 and 32 pixels.

Padded words are weighed by exactly 0. The authors' code means that too, but lays its mask over the wrong texts of a
batch (scores stand text by text, the rows of its mask pixel by pixel). `legacy_mask` does as their code does, for their
weights painting what theirs paint.

References:
  Xu, Zhang, Huang, Zhang, Gan, Huang, He, AttnGAN: fine-grained text to image generation with attentional generative
  adversarial networks, CVPR 2018; sizes and initial weights as in the authors' public code.
  Zhang et al., StackGAN, ICCV 2017 (conditioning augmentation).
"""

from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from gentoolkit.models import _images, weights
from gentoolkit.models.autoencoder import Posterior
from gentoolkit.nn import normalization
from gentoolkit.nn.convolution import Convolution, ResizedConvolution
from gentoolkit.nn.residual import leaky_relu, tile

CUB = {"width": 32, "judge_width": 64, "num_residual": 2}
COCO = {"width": 48, "judge_width": 96, "num_residual": 3}
IGNORED = ("*.num_batches_tracked",)  # of files; counts that nothing uses

_ORTHOGONAL = nnx.initializers.orthogonal()
_SMALLEST = 4  # height and width at which painting begins and judging ends
_TRUNK = 8  # channels there, in widths of a discriminator


class Painted(NamedTuple):
    """What a generator makes of a batch of texts.

    Attributes:
      images: of every stage, the smallest first: `[b, s, s, channels]` in [-1, 1].
      attention: of every stage but the first: `[b, s, s, t]`, how much each pixel of the stage before looks at each
        word; 1 in sum, 0 for padding.
      law: of the codes of the sentences, from which one each was drawn.
    """

    images: tuple[jax.Array, ...]
    attention: tuple[jax.Array, ...]
    law: Posterior


class Augmentation(nnx.Module):
    """A normal law of codes for each sentence, so that painting sees more than the few sentences of the data."""

    def __init__(self, text_dim: int, condition_dim: int, *, rngs: nnx.Rngs):
        """Makes the layer.

        Args:
          text_dim: features of a sentence.
          condition_dim: features of a code.
          rngs: of the initial weights.
        """
        self.linear = nnx.Linear(text_dim, 4 * condition_dim, kernel_init=_ORTHOGONAL, rngs=rngs)

    def __call__(self, sentence: jax.Array) -> Posterior:
        """Maps `[b, text_dim]` to laws, `[b, condition_dim]` each."""
        return Posterior(*jnp.split(nnx.glu(self.linear(sentence)), 2, axis=-1))


class WordAttention(nnx.Module):
    """For each pixel the mean of the words (in the pixels' space), weighted by how well they go with it."""

    def __init__(self, features: int, text_dim: int, *, legacy_mask: bool = False, rngs: nnx.Rngs):
        """Makes the layer.

        Args:
          features: channels of the pixels.
          text_dim: features of a word.
          legacy_mask: whether texts of a batch get each other's masks, as in the authors' code.
          rngs: of the initial weights.
        """
        self.features, self.text_dim, self.legacy_mask = features, text_dim, legacy_mask
        self.project = nnx.Linear(text_dim, features, use_bias=False, kernel_init=_ORTHOGONAL, rngs=rngs)

    def __call__(self, x: jax.Array, words: jax.Array, valid: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Looks at words.

        Args:
          x: `[b, h, w, features]`.
          words: `[b, t, text_dim]`.
          valid: `[b, t]` bool, which words are there.

        Returns:
          What each pixel found, `[b, h, w, features]`, and the weights `[b, h, w, t]`.

        Raises:
          ValueError: shapes that do not fit each other, or a mask that is not bool.
        """
        b, h, w, _ = x.shape
        if words.ndim != 3 or (words.shape[0], words.shape[2]) != (b, self.text_dim):
            raise ValueError(f"words must be [{b}, t, {self.text_dim}], got words.shape = {words.shape}.")
        if valid.shape != words.shape[:2] or valid.dtype != jnp.bool_:
            raise ValueError(f"valid must be bool {words.shape[:2]}, got {valid.dtype} {valid.shape}.")
        words, pixels = self.project(words), x.reshape(b, h * w, -1)
        scores = jnp.einsum("bnc,btc->bnt", pixels, words, precision=jax.lax.Precision.HIGHEST)
        seen = jnp.broadcast_to(valid[:, None], scores.shape)
        if self.legacy_mask:
            seen = valid[jnp.arange(b * h * w) % b].reshape(scores.shape)
        # Zero twice over: a softmax of nothing is the mean of all that is masked.
        shares = jnp.where(seen, jax.nn.softmax(jnp.where(seen, scores, jnp.finfo(scores.dtype).min)), 0)
        found = jnp.einsum("bnt,btc->bnc", shares, words, precision=jax.lax.Precision.HIGHEST)
        return found.reshape(x.shape), shares.reshape(b, h, w, -1)


class Up(nnx.Module):
    """Doubles an image by nearest neighbours; a convolution, batch norm and a gate."""

    def __init__(self, in_features: int, out_features: int, *, rngs: nnx.Rngs):
        """Makes the layers.

        Args:
          in_features: channels in.
          out_features: channels out.
          rngs: of the initial weights.
        """
        self.conv = ResizedConvolution(
            in_features, 2 * out_features, use_bias=False, kernel_init=_ORTHOGONAL, rngs=rngs
        )
        self.norm = _norm(2 * out_features, rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps `[b, h, w, in_features]` to `[b, 2 h, 2 w, out_features]`."""
        return nnx.glu(self.norm(self.conv(x)))


class Residual(nnx.Module):
    """An image plus two convolutions of it, each with batch norm, and a gate between them."""

    def __init__(self, features: int, *, rngs: nnx.Rngs):
        """Makes the layers.

        Args:
          features: channels, which stay as they are.
          rngs: of the initial weights.
        """
        self.conv_1 = _convolution(features, 2 * features, 3, rngs)
        self.norm_1 = _norm(2 * features, rngs)
        self.conv_2 = _convolution(features, features, 3, rngs)
        self.norm_2 = _norm(features, rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps `[b, h, w, features]` to the same shape."""
        y = nnx.glu(self.norm_1(self.conv_1(x)))
        return x + self.norm_2(self.conv_2(y))


class First(nnx.Module):
    """The first stage: a code to 4 x 4 pixels, which are doubled again and again while their channels are halved."""

    def __init__(self, in_features: int, features: int, *, num_doublings: int, rngs: nnx.Rngs):
        """Makes the layers.

        Args:
          in_features: of a code.
          features: channels at the end.
          num_doublings: from 4 x 4 pixels.
          rngs: of the initial weights.
        """
        widths = [features << level for level in range(num_doublings, -1, -1)]
        self.channels = widths[0]
        self.linear = nnx.Linear(
            in_features, 2 * self.channels * _SMALLEST**2, use_bias=False, kernel_init=_ORTHOGONAL, rngs=rngs
        )
        self.norm = _norm(2 * self.channels * _SMALLEST**2, rngs)
        self.blocks = nnx.List(Up(a, b, rngs=rngs) for a, b in pairwise(widths))

    def __call__(self, code: jax.Array) -> jax.Array:
        """Maps `[b, in_features]` to `[b, s, s, features]`, s = 4 * 2**num_doublings."""
        x = nnx.glu(self.norm(self.linear(code))).reshape(-1, _SMALLEST, _SMALLEST, self.channels)
        for block in self.blocks:
            x = block(x)
        return x


class Next(nnx.Module):
    """A later stage: pixels look at words, residual blocks take both, and the size is doubled."""

    def __init__(self, features: int, text_dim: int, *, num_residual: int, legacy_mask: bool, rngs: nnx.Rngs):
        """Makes the layers.

        Args:
          features: channels in and out.
          text_dim: features of a word.
          num_residual: residual blocks.
          legacy_mask: as that of `WordAttention`.
          rngs: of the initial weights.
        """
        self.look = WordAttention(features, text_dim, legacy_mask=legacy_mask, rngs=rngs)
        self.blocks = nnx.List(Residual(2 * features, rngs=rngs) for _ in range(num_residual))
        self.up = Up(2 * features, features, rngs=rngs)

    def __call__(self, x: jax.Array, words: jax.Array, valid: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Maps `[b, s, s, features]` and words to `[b, 2 s, 2 s, features]`, and returns the weights beside it."""
        found, shares = self.look(x, words, valid)
        x = jnp.concatenate([x, found], axis=-1)
        for block in self.blocks:
            x = block(x)
        return self.up(x), shares


class Generator(nnx.Module):
    """Noise, a sentence and its words to a picture in several sizes.

    Attributes:
      noise_dim: features of the noise.
      condition_dim: features of the code of a sentence, and of the jitter that it is drawn by.
      sizes: of the pictures, the smallest first.
    """

    def __init__(
        self,
        *,
        image_size: int = 256,
        num_stages: int = 3,
        width: int = 32,
        num_residual: int = 2,
        noise_dim: int = 100,
        condition_dim: int = 100,
        text_dim: int = 256,
        channels: int = 3,
        legacy_mask: bool = False,
        rngs: nnx.Rngs,
    ):
        """Makes the layers.

        Args:
          image_size: of the largest pictures, a power of two.
          num_stages: how many sizes are painted; the smallest is at least 8.
          width: channels of every stage before it paints.
          num_residual: residual blocks of every stage but the first.
          noise_dim: features of the noise.
          condition_dim: features of the code of a sentence.
          text_dim: features of the sentence, and of a word.
          channels: of the pictures.
          legacy_mask: as that of `WordAttention`.
          rngs: of the initial weights.

        Raises:
          ValueError: a size that is no power of two, or too many stages or none.
        """
        self.noise_dim, self.condition_dim, self.text_dim = noise_dim, condition_dim, text_dim
        self.sizes = _sizes(image_size, num_stages)
        self.augment = Augmentation(text_dim, condition_dim, rngs=rngs)
        self.first = First(
            condition_dim + noise_dim, width, num_doublings=_images.num_halvings(self.sizes[0]), rngs=rngs
        )
        self.next = nnx.List(
            Next(width, text_dim, num_residual=num_residual, legacy_mask=legacy_mask, rngs=rngs) for _ in self.sizes[1:]
        )
        self.paint = nnx.List(_convolution(width, channels, 3, rngs) for _ in self.sizes)

    def __call__(
        self, noise: jax.Array, jitter: jax.Array, sentence: jax.Array, words: jax.Array, valid: jax.Array
    ) -> Painted:
        """Paints pictures.

        Args:
          noise: `[b, noise_dim]`, N(0, I).
          jitter: `[b, condition_dim]`, N(0, I); zeros take the mean code of each sentence.
          sentence: `[b, text_dim]`.
          words: `[b, t, text_dim]`.
          valid: `[b, t]` bool, which words are there.

        Returns:
          The pictures, where pixels looked, and the laws of the codes.

        Raises:
          ValueError: shapes that do not fit each other, or a mask that is not bool.
        """
        _images.check_features(noise, self.noise_dim, "noise")
        _images.check_features(jitter, self.condition_dim, "jitter")
        _images.check_features(sentence, self.text_dim, "sentence")
        law = self.augment(sentence)
        code = law.mean + jnp.exp(law.log_variance / 2) * jitter
        x = self.first(jnp.concatenate([code, noise], axis=-1))
        images, attention = [jnp.tanh(self.paint[0](x))], []
        for stage, paint in zip(self.next, list(self.paint)[1:], strict=True):
            x, shares = stage(x, words, valid)
            images.append(jnp.tanh(paint(x)))
            attention.append(shares)
        return Painted(tuple(images), tuple(attention), law)


class Logits(NamedTuple):
    """What a discriminator says of a batch of pictures.

    Attributes:
      alone: `[b]`, whether each is real.
      matched: `[b]`, whether it is real and goes with its sentence.
    """

    alone: jax.Array
    matched: jax.Array


class Normed(nnx.Module):
    """A convolution, batch norm, a leaky ReLU."""

    def __init__(self, in_features: int, out_features: int, size: int, *, strides: int = 1, rngs: nnx.Rngs):
        """Makes the layers.

        Args:
          in_features: channels in.
          out_features: channels out.
          size: of the kernel.
          strides: in both directions.
          rngs: of the initial weights.
        """
        self.conv = _convolution(in_features, out_features, size, rngs, strides=strides)
        self.norm = _norm(out_features, rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps `[b, h, w, in_features]` to `[b, h', w', out_features]`."""
        return leaky_relu(self.norm(self.conv(x)))


class Discriminator(nnx.Module):
    """Pictures of one size to a map of features, and this to two logits: alone, and with a sentence.

    The parts are methods, since a picture is judged with several sentences. Batch norm makes logits depend on the whole
    batch in training mode; real and painted pictures are batches of their own in the authors' code.
    """

    def __init__(
        self, *, image_size: int = 256, width: int = 64, text_dim: int = 256, channels: int = 3, rngs: nnx.Rngs
    ):
        """Makes the layers.

        Args:
          image_size: a power of two, 8 or more. The authors have 64, 128 and 256.
          width: channels after the first layer, doubled at each halving.
          text_dim: features of a sentence.
          channels: of the pictures.
          rngs: of the initial weights.

        Raises:
          ValueError: another size.
        """
        self.image_shape, self.text_dim = (image_size, image_size, channels), text_dim
        down, level = _trunk(image_size)
        trunk = _TRUNK * width
        self.first = _convolution(channels, width, 4, rngs, strides=2)
        self.halve = nnx.List(Normed(width * a, width * b, 4, strides=2, rngs=rngs) for a, b in pairwise(down))
        self.even = nnx.List(Normed(width * a, width * b, 3, rngs=rngs) for a, b in pairwise(level))
        self.alone, self.matched = (
            Convolution(trunk, 1, _SMALLEST, padding=0, kernel_init=_ORTHOGONAL, rngs=rngs) for _ in range(2)
        )
        self.joint = Normed(trunk + text_dim, trunk, 3, rngs=rngs)

    def __call__(self, images: jax.Array, sentence: jax.Array) -> Logits:
        """Maps pictures `[b, image_size, image_size, channels]` in [-1, 1] and sentences `[b, text_dim]` to logits."""
        features = self.look(images)
        return Logits(self.judge_alone(features), self.judge(features, sentence))

    def look(self, images: jax.Array) -> jax.Array:
        """Maps pictures to features `[b, 4, 4, 8 width]`; refuses those of another size (`ValueError`)."""
        _images.check_images(images, self.image_shape)
        x = leaky_relu(self.first(images))
        for block in (*self.halve, *self.even):
            x = block(x)
        return x

    def judge_alone(self, features: jax.Array) -> jax.Array:
        """Maps features to logits `[b]`."""
        return self.alone(features)[:, 0, 0, 0]

    def judge(self, features: jax.Array, sentence: jax.Array) -> jax.Array:
        """Maps features and sentences to logits `[b]`."""
        _images.check_features(sentence, self.text_dim, "sentence")
        return self.matched(self.joint(tile(features, sentence)))[:, 0, 0, 0]


def networks(
    rngs: nnx.Rngs,
    *,
    image_size: int = 256,
    num_stages: int = 3,
    width: int = 32,
    judge_width: int = 64,
    num_residual: int = 2,
    noise_dim: int = 100,
    condition_dim: int = 100,
    text_dim: int = 256,
    channels: int = 3,
) -> dict[str, nnx.Module]:
    """Makes the generator and a discriminator for each of its sizes; `**COCO` are the authors' other sizes.

    Args:
      rngs: of the initial weights.
      image_size: of the largest pictures.
      num_stages: how many sizes are painted.
      width: of the generator.
      judge_width: of the discriminators.
      num_residual: residual blocks of every stage but the first.
      noise_dim: features of the noise.
      condition_dim: features of the code of a sentence.
      text_dim: features of the sentence, and of a word.
      channels: of the pictures.

    Returns:
      `paint`, and `judge_64`, `judge_128`, ... by the sizes of their pictures.

    Raises:
      ValueError: a size that is no power of two, or too many stages or none.
    """
    made: dict[str, nnx.Module] = {
        "paint": Generator(
            image_size=image_size,
            num_stages=num_stages,
            width=width,
            num_residual=num_residual,
            noise_dim=noise_dim,
            condition_dim=condition_dim,
            text_dim=text_dim,
            channels=channels,
            rngs=rngs,
        )
    }
    for size in _sizes(image_size, num_stages):
        made[f"judge_{size}"] = Discriminator(
            image_size=size, width=judge_width, text_dim=text_dim, channels=channels, rngs=rngs
        )
    return made


def generator_table(*, image_size: int = 256, num_stages: int = 3, num_residual: int = 2) -> weights.Table:
    """Where the parameters of a `Generator` stand in the authors' files (`netG`, `bird_AttnGAN2.pth`).

    Args:
      image_size: of the generator.
      num_stages: of the generator.
      num_residual: of the generator.

    Returns:
      The table; `IGNORED` is what newer files have beside it.
    """
    sizes = _sizes(image_size, num_stages)
    entries = {**weights.with_bias(weights.linear, "augment/linear", "ca_net.fc"), **_of_first_layer()}
    for block in range(_images.num_halvings(sizes[0])):
        entries |= _normed(f"first/blocks/{block}", f"h_net1.upsample{block + 1}", 1)
    for stage in range(num_stages):
        entries[f"paint/{stage}/kernel"] = weights.convolution(f"img_net{stage + 1}.img.0.weight")
    for stage in range(num_stages - 1):
        here, there = f"next/{stage}", f"h_net{stage + 2}"
        entries[f"{here}/look/project/kernel"] = weights.pixelwise(f"{there}.att.conv_context.weight")
        for block in range(num_residual):
            for number, place in ((1, 0), (2, 3)):
                entries |= _normed(
                    f"{here}/blocks/{block}", f"{there}.residual.{block}.block", place, ours=f"_{number}"
                )
        entries |= _normed(f"{here}/up", f"{there}.upsample", 1)
    return entries


def discriminator_table(image_size: int = 256) -> weights.Table:
    """Where the parameters of a `Discriminator` stand in the authors' files (`netD0` to `netD2`).

    Args:
      image_size: 64, 128 or 256.

    Returns:
      The table; `IGNORED` is what newer files have beside it.

    Raises:
      ValueError: a size of which the authors have no discriminator.
    """
    down, level = _trunk(image_size)
    if not 4 <= len(down) <= 6:
        raise ValueError(f"image_size must be 64, 128 or 256 for the authors' files, got image_size = {image_size}.")
    entries = {"first/kernel": weights.convolution("img_code_s16.0.weight")}
    for block in range(len(down) - 1):
        name, place = ("img_code_s16", 3 * block + 2) if block < 3 else (f"img_code_s{4 << block}", 0)
        entries |= _normed(f"halve/{block}", name, place)
    for block in range(len(level) - 1):
        entries |= _normed(f"even/{block}", f"img_code_s{1 << len(down)}_{block + 1}", 0)
    entries |= _normed("joint", "COND_DNET.jointConv", 0)
    entries |= weights.with_bias(weights.convolution, "matched", "COND_DNET.outlogits.0")
    return entries | weights.with_bias(weights.convolution, "alone", "UNCOND_DNET.outlogits.0")


def _normed(path: str, name: str, place: int, *, ours: str = "") -> dict[str, weights.Entry]:
    """A convolution, and the batch norm that stands behind it in both."""
    kernel = {f"{path}/conv{ours}/kernel": weights.convolution(f"{name}.{place}.weight")}
    return kernel | weights.batch_norm(f"{path}/norm{ours}", f"{name}.{place + 1}")


def _of_first_layer() -> dict[str, weights.Entry]:
    """Features of the first layer: values, then gates; both channel by channel there and pixel by pixel here."""

    def turned(tensor):
        apart = tensor.reshape(2, -1, _SMALLEST, _SMALLEST, *tensor.shape[1:])
        return np.moveaxis(apart, 1, 3).reshape(tensor.shape)

    def of_norm(name: str) -> weights.Entry:
        return weights.Entry((name,), lambda shape: (shape,), turned)

    kernel = weights.Entry(("h_net1.fc.0.weight",), lambda shape: (shape[::-1],), lambda tensor: turned(tensor).T)
    norm = weights.batch_norm("first/norm", "h_net1.fc.1")
    return {"first/linear/kernel": kernel, **{path: of_norm(*entry.names) for path, entry in norm.items()}}


def _convolution(in_features: int, out_features: int, size: int, rngs: nnx.Rngs, *, strides: int = 1) -> Convolution:
    return Convolution(
        in_features, out_features, size, strides=strides, use_bias=False, kernel_init=_ORTHOGONAL, rngs=rngs
    )


def _norm(features: int, rngs: nnx.Rngs) -> nnx.BatchNorm:
    return normalization.batch(features, scale_init=_around_one, rngs=rngs)


def _around_one(key: jax.Array, shape: Iterable[int], dtype: jax.typing.DTypeLike = jnp.float32) -> jax.Array:
    return 1 + 0.02 * jax.random.normal(key, tuple(shape), dtype)


def _sizes(image_size: int, num_stages: int) -> tuple[int, ...]:
    halvings = _images.num_halvings(image_size)
    if not 1 <= num_stages <= halvings:
        raise ValueError(
            f"num_stages must be 1 to {halvings}, so that the smallest pictures of image_size = {image_size} have at "
            f"least 8 pixels, got num_stages = {num_stages}."
        )
    return tuple(image_size >> level for level in range(num_stages - 1, -1, -1))


def _trunk(image_size: int) -> tuple[list[int], list[int]]:
    """Channels of a discriminator, in widths: while the size is halved, and from there to its end."""
    halvings = _images.num_halvings(image_size)
    down = [1 << level for level in range(halvings)]
    if down[-1] < _TRUNK:
        return down, [down[-1], _TRUNK]
    return down, [_TRUNK << level for level in range(halvings - 4, -1, -1)]
