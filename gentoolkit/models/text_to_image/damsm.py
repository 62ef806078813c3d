"""Pictures as AttnGAN's attentional similarity (DAMSM) sees them: features of regions, and of the whole.

Both belong in one space with the words and sentences of `models.text.recurrent`; `objectives.damsm` scores them.

References:
  Xu et al., AttnGAN, CVPR 2018, section 3.2.
"""

import os
from itertools import pairwise
from typing import NamedTuple, Self

import jax
import jax.numpy as jnp
from flax import nnx

from gentoolkit.models import _images, weights
from gentoolkit.models.extractors import inception
from gentoolkit.nn import normalization
from gentoolkit.nn.convolution import Convolution

_SIDE = 8  # regions, in each direction
_BLOCKS = 4
_INCEPTION = 299  # pixels, what Inception is meant for
IGNORED = ("*.num_batches_tracked",)  # of files; counts that nothing uses
_HEADS = ("fc.*", "AuxLogits.*", "emb_*")  # what stands behind the convolutions in one file or another


class Seen(NamedTuple):
    """A batch of pictures.

    Attributes:
      regions: `[b, n, d]`, row by row.
      picture: `[b, d]`.
    """

    regions: jax.Array
    picture: jax.Array


class ImageEncoder(nnx.Module):
    """Four convolutions with batch norm and ReLU to 8 x 8 regions, for small pictures and without other weights.

    As in the published encoder, regions are a linear map of the last features, without a bias, and the picture one of
    their mean. The rest is ours; so is that the picture also knows where each feature is on the whole, by its mean with
    the coordinates as weights: of a mean alone nobody can tell what lies above what.
    """

    def __init__(
        self, *, image_size: int = 64, width: int = 32, features: int = 256, channels: int = 3, rngs: nnx.Rngs
    ):
        """Makes the layers.

        Args:
          image_size: 16, 32, 64 or 128; as many convolutions as it takes have stride 2.
          width: channels after the first convolution, doubled by each other.
          features: of a region and of the picture: those of a word and of a sentence.
          channels: of the pictures.
          rngs: of the initial weights.

        Raises:
          ValueError: another size.
        """
        num_halvings = _images.num_halvings(image_size, to=_SIDE)
        if num_halvings > _BLOCKS:
            raise ValueError(f"image_size must be at most {_SIDE << _BLOCKS}, got image_size = {image_size}.")
        self.image_shape = (image_size, image_size, channels)
        widths = [width << level for level in range(_BLOCKS)]
        strides = [2 if block < num_halvings else 1 for block in range(_BLOCKS)]
        self.layers = nnx.List(
            Convolution(a, b, 4 if stride == 2 else 3, strides=stride, use_bias=False, rngs=rngs)
            for (a, b), stride in zip(pairwise((channels, *widths)), strides, strict=True)
        )
        self.norms = nnx.List(normalization.batch(size, rngs=rngs) for size in widths)
        self.regions = nnx.Linear(widths[-1], features, use_bias=False, kernel_init=_uniform, rngs=rngs)
        self.picture = nnx.Linear(3 * widths[-1], features, kernel_init=_uniform, rngs=rngs)

    def __call__(self, images: jax.Array) -> Seen:
        """Looks at pictures.

        Args:
          images: `[b, image_size, image_size, channels]` in [-1, 1].

        Returns:
          `Seen(regions [b, 64, features], picture [b, features])`.

        Raises:
          ValueError: pictures of another shape.
        """
        _images.check_images(images, self.image_shape)
        x = images
        for layer, norm in zip(self.layers, self.norms, strict=True):
            x = nnx.relu(norm(layer(x)))
        edge = jnp.linspace(-1, 1, _SIDE, dtype=x.dtype)[:, None]
        moments = [jnp.mean(part, (1, 2)) for part in (x, x * edge, x * edge[:, None])]
        return Seen(self.regions(x.reshape(x.shape[0], _SIDE**2, -1)), self.picture(jnp.concatenate(moments, axis=-1)))


class InceptionEncoder(nnx.Module):
    """The published encoder: Inception v3 of torchvision, and a linear map each of its 17 x 17 regions and of the end.

    The authors train the two maps alone (`regions`, `picture`) while the statistics of Inception's norms move with the
    pictures; here they stand in its kernels, as they are in the file. Gradients reach the pictures.
    """

    def __init__(self, *, features: int = 256, rngs: nnx.Rngs):
        """Makes the layers; Inception's are zero until weights are read by `inception_table`.

        Args:
          features: of a region and of the picture.
          rngs: of the initial weights of the two maps.
        """
        self.trunk = inception.Trunk(torchvision=True)
        self.regions = nnx.Linear(768, features, use_bias=False, kernel_init=_uniform, rngs=rngs)
        self.picture = nnx.Linear(2048, features, kernel_init=_uniform, rngs=rngs)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Reads the authors' weights.

        Args:
          path: of `image_encoder200.pth` or its like.

        Returns:
          The network.

        Raises:
          FileNotFoundError: there is no such file.
          weights.WeightsError: the file cannot be read, or holds another network.
        """
        file = weights.read(path)
        shape = file["emb_cnn_code.weight"].shape if "emb_cnn_code.weight" in file else ()
        features = shape[0] if shape else 256
        empty = nnx.eval_shape(lambda: cls(features=features, rngs=nnx.Rngs(0)))
        return weights.assign(empty, inception_table(), file, ignore=IGNORED)

    def __call__(self, images: jax.Array) -> Seen:
        """Looks at pictures.

        Args:
          images: `[b, h, w, 3]` in [-1, 1], without ImageNet's means; scaled to 299 x 299, bilinearly and without a
            filter, as in the authors' code.

        Returns:
          `Seen(regions [b, 289, features], picture [b, features])`.

        Raises:
          ValueError: pictures of another shape.
        """
        if images.ndim != 4 or images.shape[3] != 3:
            raise ValueError(f"images must be [b, h, w, 3], got images.shape = {images.shape}.")
        images = jax.image.resize(images, (images.shape[0], _INCEPTION, _INCEPTION, 3), "bilinear", antialias=False)
        maps = dict(self.trunk.stages(images))
        regions = maps["768"].reshape(images.shape[0], -1, 768)
        return Seen(self.regions(regions), self.picture(jnp.mean(maps["2048"], axis=(1, 2))))


def read_trunk(path: str | os.PathLike[str]) -> inception.Trunk:
    """Reads what an `InceptionEncoder` looks with, to train its two maps for other texts.

    Args:
      path: of torchvision's `inception_v3_google-0cc3c7bd.pth` or another file with its names, such as
        `image_encoder200.pth`.

    Returns:
      The convolutions.

    Raises:
      FileNotFoundError: there is no such file.
      weights.WeightsError: the file cannot be read, or holds another network.
    """
    empty = nnx.eval_shape(lambda: inception.Trunk(torchvision=True))
    return weights.assign(empty, inception.trunk_table(), weights.read(path), ignore=(*IGNORED, *_HEADS))


def inception_table() -> weights.Table:
    """Where the parameters of an `InceptionEncoder` stand in the authors' files (`image_encoder200.pth`)."""
    entries = weights.under("trunk", inception.trunk_table())
    entries["regions/kernel"] = weights.pixelwise("emb_features.weight")
    return entries | weights.with_bias(weights.linear, "picture", "emb_cnn_code")


def _uniform(key: jax.Array, shape: tuple[int, ...], dtype: jax.typing.DTypeLike = jnp.float32) -> jax.Array:
    """As the authors begin their two linear maps."""
    return jax.random.uniform(key, shape, dtype, -0.1, 0.1)
