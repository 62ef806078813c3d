"""What a covariance is, and how covariances are combined: sums, products, restrictions to some features."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from gentoolkit import _array, _pytree
from gentoolkit.gaussian_process import _blocks, _origin

FromOne = Callable[[jax.Array], jax.Array]


class Covariance:
    """What every covariance can do; `+` and `*` of two covariances are covariances.

    Hyper-parameters are leaves: differentiate with respect to the covariance, or batch it with `jax.vmap`. One of your
    own is a frozen dataclass under `register` that defines `_gram(x, z)` and `_diagonal(x)`, and
    `_spectrum(key, num, dim)` if it is stationary.
    """

    def gram(self, x: jax.Array, z: jax.Array) -> jax.Array:
        """Covariances `[n, m]` of the values at `x` `[n, d]` and at `z` `[m, d]`, float32 or wider.

        Raises:
          ValueError: shapes disagree.
        """
        return self._gram(*close_points(self._shift_invariant, x=x, z=z))

    def diagonal(self, x: jax.Array) -> jax.Array:
        """Prior variances `[n]` at `x` `[n, d]`.

        Raises:
          ValueError: `x` has another shape.
        """
        return self._diagonal(*points(x=x))

    def spectrum(self, key: jax.Array, num: int, dim: int) -> tuple[jax.Array, jax.Array]:
        """Random frequencies `[num, dim]` and powers `[num]`: `k(x, z) = E sum_j power_j cos(frequency_j . (x - z))`.

        Raises:
          ValueError: the covariance is not stationary.
        """
        return self._spectrum(key, num, dim)

    def __add__(self, other: "Covariance") -> "Covariance":
        """Covariance of the sum of two independent processes."""
        return Sum(self, other)

    def __mul__(self, other: "Covariance") -> "Covariance":
        """Product, entry by entry."""
        return Product(self, other)

    def _gram(self, x: jax.Array, z: jax.Array) -> jax.Array:
        raise NotImplementedError

    def _diagonal(self, x: jax.Array) -> jax.Array:
        raise NotImplementedError

    def _from_one(self, x: jax.Array) -> FromOne:
        """The function of one point `[d]` that returns its covariances `[m]` with the points `x` `[m, d]`.

        For a loop over points: what is of `x` alone is computed before it.
        """
        return lambda z: self.gram(z[None], x)[0]

    def _shift_invariant(self, num: int) -> np.ndarray:
        """Which of `num` features may be shifted, at both points alike, without a change of the covariance, `[num]`."""
        return np.full(num, type(self)._spectrum is not Covariance._spectrum)

    def _spectrum(self, key: jax.Array, num: int, dim: int) -> tuple[jax.Array, jax.Array]:
        raise ValueError(f"{type(self).__name__} is not stationary and has no spectrum: sample with method='joint'.")


@_pytree.register
@dataclasses.dataclass(frozen=True)
class Sum(Covariance):
    """Covariance of the sum of two independent processes."""

    first: Covariance
    second: Covariance

    def _gram(self, x: jax.Array, z: jax.Array) -> jax.Array:
        return self.first.gram(x, z) + self.second.gram(x, z)

    def _diagonal(self, x: jax.Array) -> jax.Array:
        return self.first.diagonal(x) + self.second.diagonal(x)

    def _from_one(self, x: jax.Array) -> FromOne:
        first, second = self.first._from_one(x), self.second._from_one(x)
        return lambda z: first(z) + second(z)

    def _shift_invariant(self, num: int) -> np.ndarray:
        return self.first._shift_invariant(num) & self.second._shift_invariant(num)

    def _spectrum(self, key: jax.Array, num: int, dim: int) -> tuple[jax.Array, jax.Array]:
        if num < 2:
            raise ValueError(f"a sum needs at least two frequencies, got num = {num}.")
        key_first, key_second, key_order = jax.random.split(key, 3)
        first, power_first = self.first.spectrum(key_first, num - num // 2, dim)
        second, power_second = self.second.spectrum(key_second, num // 2, dim)
        # In random order: a product pairs the frequencies of its two factors one by one.
        order = jax.random.permutation(key_order, num)
        return jnp.concatenate([first, second])[order], jnp.concatenate([power_first, power_second])[order]


@_pytree.register
@dataclasses.dataclass(frozen=True)
class Product(Covariance):
    """Entry-wise product of two covariances."""

    first: Covariance
    second: Covariance

    def _gram(self, x: jax.Array, z: jax.Array) -> jax.Array:
        return self.first.gram(x, z) * self.second.gram(x, z)

    def _diagonal(self, x: jax.Array) -> jax.Array:
        return self.first.diagonal(x) * self.second.diagonal(x)

    def _from_one(self, x: jax.Array) -> FromOne:
        first, second = self.first._from_one(x), self.second._from_one(x)
        return lambda z: first(z) * second(z)

    def _shift_invariant(self, num: int) -> np.ndarray:
        return self.first._shift_invariant(num) & self.second._shift_invariant(num)

    def _spectrum(self, key: jax.Array, num: int, dim: int) -> tuple[jax.Array, jax.Array]:
        key_first, key_second = jax.random.split(key)
        first, power_first = self.first.spectrum(key_first, num, dim)
        second, power_second = self.second.spectrum(key_second, num, dim)
        return first + second, num * power_first * power_second


@_pytree.register
@dataclasses.dataclass(frozen=True)
class OnFeatures(Covariance):
    """See `on_features`."""

    covariance: Covariance
    features: tuple[int, ...] = dataclasses.field(metadata={"static": True})

    def _select(self, x):
        if max(self.features) >= x.shape[1]:
            raise ValueError(f"features = {self.features} are not all among the {x.shape[1]} of x.")
        return x[:, np.array(self.features)]

    def _gram(self, x: jax.Array, z: jax.Array) -> jax.Array:
        return self.covariance.gram(self._select(x), self._select(z))

    def _diagonal(self, x: jax.Array) -> jax.Array:
        return self.covariance.diagonal(self._select(x))

    def _from_one(self, x: jax.Array) -> FromOne:
        inner = self.covariance._from_one(self._select(x))
        return lambda z: inner(z[np.array(self.features)])

    def _shift_invariant(self, num: int) -> np.ndarray:
        result = np.ones(num, bool)
        if max(self.features) < num:
            result[np.array(self.features)] = self.covariance._shift_invariant(len(self.features))
        return result

    def _spectrum(self, key: jax.Array, num: int, dim: int) -> tuple[jax.Array, jax.Array]:
        inner, power = self.covariance.spectrum(key, num, len(self.features))
        return jnp.zeros((num, dim), inner.dtype).at[:, np.array(self.features)].set(inner), power


def points(**arrays) -> list[jax.Array]:
    arrays = dict(zip(arrays, _origin.arrays(**arrays), strict=True))
    _blocks.check_points(**arrays)
    return _array.as_floating(**arrays)


def close_points(shift_invariant: Callable[[int], np.ndarray], **arrays) -> list[jax.Array]:
    """`points`, those of the host less an origin where `shift_invariant` of the number of features allows it."""
    arrays = dict(zip(arrays, _origin.arrays(**arrays), strict=True))
    _blocks.check_points(**arrays)
    dtype = _array.floating_dtype(**arrays)
    origin = None
    for array in arrays.values():
        if origin is None:
            origin = _origin.choose(array, dtype, shift_invariant)
    return [jnp.asarray(_origin.less(_origin.split(array, dtype), origin)) for array in arrays.values()]
