"""Maps as lines of pixels, `[b, h, w * c]`, where CPUs are fast at sums and at a number for each channel.

XLA sums the pixels of `[b, h, w, c]` with vectors of c at most, and goes on so in all that it fuses with the sum. Lines
have the channels of all their pixels side by side. What is done to a map between two such sums must be in lines too, or
they are taken apart again.
"""

import functools

import jax
import jax.numpy as jnp


@jax.custom_vjp
def of(x: jax.Array) -> jax.Array:
    """`[b, h, w, c]` to `[b, h, w * c]`; a gradient with a NaN in its first number goes back as NaN throughout."""
    b, h, w, c = x.shape
    return x.reshape(b, h, w * c)


def _of_back(width, g):
    # What a branch returns is written down once. Else XLA makes it anew for each of those that read it, the convolution
    # before among them, which wants it in another order, where lines are slow. Both branches alike would be one.
    g = jax.lax.cond(jnp.isnan(g[0, 0, 0]), lambda g: jnp.full_like(g, jnp.nan), lambda g: g, g)
    return (g.reshape(*g.shape[:2], len(width), -1),)


of.defvjp(lambda x: (of(x), jnp.zeros((x.shape[2], 0))), _of_back)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def spread(width: int, channels: jax.Array) -> jax.Array:
    """Numbers for each channel of each map `[b, c]` at every pixel of a line, `[b, 1, width * c]`."""
    b, c = channels.shape
    return jnp.broadcast_to(channels[:, None], (b, width, c)).reshape(b, 1, width * c)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def gathered(width: int, line: jax.Array) -> jax.Array:
    """The sum over the pixels of one line of each map, `[b, 1, width * c]` to `[b, c]`."""
    # A product, since of two sums in turn XLA makes a single one over pixels; and one that leaves lines as they lie.
    line = line[:, 0]
    ones = jnp.tile(jnp.eye(line.shape[1] // width, dtype=line.dtype), (width, 1))
    return jnp.matmul(line, ones, precision="highest")


# Each is the other's transpose. Written down, because XLA's own is the slow sum.
spread.defvjp(lambda width, x: (spread(width, x), None), lambda width, _, g: (gathered(width, g),))
gathered.defvjp(lambda width, x: (gathered(width, x), None), lambda width, _, g: (spread(width, g),))


def means(width: int, lines: jax.Array) -> jax.Array:
    """The mean over all pixels of each map, `[b, h, width * c]` to `[b, c]`."""
    return gathered(width, jnp.sum(lines, axis=1, keepdims=True)) / (width * lines.shape[1])
