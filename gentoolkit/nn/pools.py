"""What players remember of past steps: images for a critic, codes for a comparison of laws. Variables of the state."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import nnx


class History(nnx.Variable):
    """What a pool remembers: no parameter, part of the state (checkpoints, resume), and never averaged."""


class ImagePool(nnx.Module):
    """Shows a critic past images for about half of those it would get, so that it does not forget them.

    Image by image: until the pool is full it is stored and returned; from then on, with probability 1/2, a stored image
    is drawn, returned, and replaced by the new one, and else the new one is returned. No gradient passes. Over several
    devices the pool is one for all of them, in the order of the batch.

    References:
      Shrivastava et al., "Learning from simulated and unsupervised images through adversarial training", CVPR 2017,
      section 2.3; the rule is that of the public code of Zhu et al., "Unpaired image-to-image translation", ICCV 2017.
    """

    def __init__(self, size: int, shape: Sequence[int]):
        """Makes an empty pool.

        Args:
          size: images that it holds; with 0 every image is returned as it is.
          shape: of one image.
        """
        if size < 0:
            raise ValueError(f"size must be at least 0, got size = {size}.")
        self.size = size
        self.images = History(jnp.zeros((size, *shape)))
        self.count = History(jnp.int32(0))

    def __call__(self, key: jax.Array, images: jax.Array) -> jax.Array:
        """Stores and returns.

        Args:
          key: draws which are exchanged.
          images: `[b, *shape]`.

        Returns:
          `[b, *shape]`, in place of each image itself or a past one.

        Raises:
          ValueError: images of another shape.
        """
        if images.shape[1:] != self.images.shape[1:]:
            raise ValueError(f"images must be [b, *{self.images.shape[1:]}], got images.shape = {images.shape}.")
        images = jax.lax.stop_gradient(images)
        if self.size == 0:
            return images

        def one(carry, given):
            stored, count = carry
            image, key = given
            coin, place = jax.random.split(key)
            full = count >= self.size
            slot = jnp.where(full, jax.random.randint(place, (), 0, self.size), count)
            past = jax.lax.dynamic_index_in_dim(stored, slot, keepdims=False)
            exchange = full & jax.random.bernoulli(coin)
            kept = jnp.where(full & ~exchange, past, image)
            stored = jax.lax.dynamic_update_index_in_dim(stored, kept, slot, 0)
            return (stored, jnp.minimum(count + 1, self.size)), jnp.where(exchange, past, image)

        start = self.images[...], self.count[...]
        given = images.astype(start[0].dtype), jax.random.split(key, images.shape[0])
        (stored, count), shown = jax.lax.scan(one, start, given)
        self.images[...], self.count[...] = stored, count
        return shown.astype(images.dtype)


class CodeBank(nnx.Module):
    """The last N codes, the current ones with their gradient: enough of them to compare their law with a prior.

    A discrepancy of eight codes is mostly noise, and of one a pull to the origin. Until N codes have come, those of the
    first call stand in for the missing ones.

    Past codes are constants: of a mean over all N, the b current ones would have b / N of the gradient, and a larger
    bank would mean a weaker loss. So their gradient is taken N / b times: that of a mean over codes, or over pairs of
    them, is then what it would be if all N came of the network as it is now, but for chance.
    """

    def __init__(self, size: int, num_features: int):
        """Makes an empty bank.

        Args:
          size: N.
          num_features: of a code.
        """
        if size < 1:
            raise ValueError(f"size must be at least 1, got size = {size}.")
        self.codes = History(jnp.zeros((size, num_features)))
        self.begun = History(jnp.array(False))

    def __call__(self, codes: jax.Array) -> jax.Array:
        """Stores the current codes and returns them, their gradient to be taken N / b times, before the past ones.

        Args:
          codes: `[b, num_features]`, b at most N.

        Returns:
          `[N, num_features]`, newest call first.

        Raises:
          ValueError: codes of another shape, or more than N.
        """
        size, num_features = self.codes.shape
        if codes.ndim != 2 or codes.shape[1] != num_features or not 0 < codes.shape[0] <= size:
            raise ValueError(f"codes must be [b, {num_features}] with b <= {size}, got codes.shape = {codes.shape}.")
        now = jax.lax.stop_gradient(codes).astype(self.codes[...].dtype)
        first = jnp.tile(now, (-(-size // len(now)), 1))[: size - len(now)]
        past = jnp.where(self.begun[...], self.codes[...][: size - len(now)], first)
        self.codes[...] = jnp.concatenate([now, past])
        self.begun[...] = jnp.array(True)
        codes = codes.astype(past.dtype)
        # The same number, with N / b times the gradient.
        codes = now + size / len(now) * (codes - jax.lax.stop_gradient(codes))
        return jnp.concatenate([codes, past])
