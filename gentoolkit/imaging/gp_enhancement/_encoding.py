"""The points at which the process lives: a dark patch, warped, and the channel that it is of."""

import dataclasses

import jax
import jax.numpy as jnp

WARPS = ("none", "cbrt")
CHANNELS = ("pooled", "feature", "coregionalized")
# Channels as one-hot features lie this far apart, in units of a pixel.
_CHANNEL_DISTANCE = 0.5


@dataclasses.dataclass(frozen=True)
class Encoding:
    """How patches become points; the options are those of `tone_map.fit`."""

    patch_size: int
    warp: str
    channels: str
    num_channels: int

    def __post_init__(self):
        """Refuses options that do not exist."""
        check_choices(warp=(self.warp, WARPS), channels=(self.channels, CHANNELS))

    @property
    def middle(self) -> int:
        """Where the middle pixel of a flattened patch is."""
        return (self.patch_size // 2) * self.patch_size + self.patch_size // 2

    def warped(self, dark: jax.Array) -> jax.Array:
        """Dark values as points have them."""
        if self.warp == "none":
            return dark
        positive = dark > 0
        return jnp.where(positive, jnp.where(positive, dark, 1.0) ** (1.0 / 3.0), 0.0)

    def points(self, patches: jax.Array) -> jax.Array:
        """The points `[n, d]` of warped patches `[..., c, patch_size**2]`, the channel last, one-hot or as a number."""
        x = patches.reshape(-1, self.patch_size**2)
        channel = jnp.broadcast_to(jnp.arange(self.num_channels), patches.shape[:-1]).reshape(-1)
        if self.channels == "feature":
            return jnp.concatenate([x, one_hot(channel, self.num_channels, _CHANNEL_DISTANCE, x.dtype)], axis=-1)
        if self.channels == "coregionalized":
            return jnp.concatenate([x, channel[:, None].astype(x.dtype)], axis=-1)
        return x

    def dark_values(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """The middle dark value of points `[n]`, and how much each belongs to each channel `[n, c]`."""
        middle = x[:, self.middle]
        dark = middle**3 if self.warp == "cbrt" else middle
        if self.channels == "pooled":
            share = jnp.full((x.shape[0], self.num_channels), 1.0 / self.num_channels, x.dtype)
        elif self.channels == "feature":
            share = x[:, -self.num_channels :] * (2**0.5 / _CHANNEL_DISTANCE)
        else:
            share = jax.nn.one_hot(x[:, -1].astype(jnp.int32), self.num_channels, dtype=x.dtype)
        return dark, share


def one_hot(channel: jax.Array, num: int, distance: float, dtype: jnp.dtype) -> jax.Array:
    """Rows `[n, num]` for channels `[n]`, those of two channels so far apart."""
    return (distance / 2**0.5) * jax.nn.one_hot(channel, num, dtype=dtype)


def check_choices(**options: tuple[str, tuple[str, ...]]) -> None:
    """Refuses values that are not among those allowed; an option is its value and these."""
    for name, (value, allowed) in options.items():
        if value not in allowed:
            raise ValueError(f"{name} must be one of {allowed}, got {name} = {value!r}.")
