"""What the networks of ImageNet take off an image before they look at it."""

import jax
import jax.numpy as jnp

MEAN = (0.485, 0.456, 0.406)
DEVIATION = (0.229, 0.224, 0.225)


def imagenet(images: jax.Array) -> jax.Array:
    """Takes off the mean colour of ImageNet and divides by its standard deviation, as torchvision's networks want it.

    Args:
      images: `[..., 3]`, RGB in [0, 1].

    Returns:
      `[..., 3]` in float32: from -2.12 (black in red) to 2.64 (white in blue).
    """
    return (jnp.asarray(images, jnp.float32) - jnp.asarray(MEAN)) / jnp.asarray(DEVIATION)
