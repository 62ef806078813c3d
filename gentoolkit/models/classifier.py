"""A small image classifier whose last hidden layer serves as features, where no trained network may be assumed."""

from collections.abc import Sequence

import jax
from flax import nnx

from gentoolkit.models import _images


class Classifier(nnx.Module):
    """Three 3x3 convolutions, two of them with stride 2, a dense layer of features, and logits.

    A Fréchet distance on its features is to be called by the classifier's name: it is no FID, which means the features
    of one Inception network.

    Attributes:
      image_shape: `(h, w, c)` of the images that it was made for.
    """

    def __init__(
        self,
        *,
        image_shape: Sequence[int],
        num_classes: int = 10,
        num_features: int = 64,
        width: int = 16,
        rngs: nnx.Rngs,
    ):
        """Makes the layers.

        Args:
          image_shape: `(h, w, c)`, of any size; meant for 8x8 to 64x64.
          num_classes: number of logits.
          num_features: units of the layer of features. A covariance of features needs more images than this.
          width: channels of the first convolution; the others have twice as many.
          rngs: of the initial weights.
        """
        self.image_shape = _images.as_image_shape(image_shape)
        height, wide, channels = self.image_shape
        sizes, strides = [channels, width, 2 * width, 2 * width], [1, 2, 2]
        self.convolutions = nnx.List(
            nnx.Conv(a, b, (3, 3), strides=stride, padding="SAME", rngs=rngs)
            for a, b, stride in zip(sizes[:-1], sizes[1:], strides, strict=True)
        )
        self.hidden = nnx.Linear(-(-height // 4) * -(-wide // 4) * 2 * width, num_features, rngs=rngs)
        self.out = nnx.Linear(num_features, num_classes, rngs=rngs)

    def features(self, images: jax.Array) -> jax.Array:
        """Maps images to features.

        Args:
          images: `[b, h, w, c]` in [0, 1].

        Returns:
          `[b, num_features]`, at least 0 (after the ReLU), float32 or wider.

        Raises:
          ValueError: the images have another size or number of channels.
        """
        _images.check_images(images, self.image_shape)
        x = images
        for layer in self.convolutions:
            x = nnx.relu(layer(x))
        return _images.at_least_float32(nnx.relu(self.hidden(x.reshape(x.shape[0], -1))))

    def __call__(self, images: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Returns logits and features, `[b, num_classes]` and `[b, num_features]`."""
        features = self.features(images)
        return _images.at_least_float32(self.out(features)), features
