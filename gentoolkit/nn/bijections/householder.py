"""Rotations that are trained: products of Householder reflections."""

import jax
import jax.numpy as jnp
from flax import nnx

from gentoolkit.nn.bijections import bijection


class Householder(nnx.Module):
    """An orthogonal map, as a product of reflections `x - 2 v (v . x) / |v|^2`; its log-determinant is zero.

    As many reflections as features reach every orthogonal matrix (of one sign of determinant).

    References:
      Tomczak and Welling (2016), "Improving variational auto-encoders using Householder flow".
      Meng, Song, Song, Ermon (2020), "Gaussianization flows", section 3.2.
    """

    def __init__(self, num_features: int, *, num_reflections: int | None = None, rngs: nnx.Rngs):
        """Draws the reflections.

        Args:
          num_features: d.
          num_reflections: >= 1; None takes d.
          rngs: of the initial vectors, normal, so that the rotation begins at random.

        Raises:
          ValueError: a number below 1.
        """
        num_reflections = num_features if num_reflections is None else num_reflections
        if num_features < 1 or num_reflections < 1:
            raise ValueError(
                f"num_features and num_reflections must be >= 1, got {num_features} and {num_reflections}."
            )
        self.num_features = num_features
        self.vectors = nnx.Param(jax.random.normal(rngs.params(), (num_reflections, num_features)))

    def matrix(self) -> jax.Array:
        """The orthogonal matrix `[d, d]`; z is `matrix @ x`."""

        def reflect(matrix, v):
            v = v / jnp.linalg.norm(v)
            along = jnp.einsum("i,ij->j", v, matrix, precision="highest")
            return matrix - 2 * v[:, None] * along[None, :], None

        vectors = self.vectors[...]
        return jax.lax.scan(reflect, jnp.eye(self.num_features, dtype=vectors.dtype), vectors)[0]

    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Maps samples `[..., d]`; returns them with the log-determinant, zero, `[...]`."""
        x = bijection.check_features(x, self.num_features)
        z = jnp.einsum("ij,...j->...i", self.matrix(), x, precision="highest")
        return z, jnp.zeros(x.shape[:-1], z.dtype)

    def inverse(self, z: jax.Array) -> jax.Array:
        """Maps back, by the transpose."""
        z = bijection.check_features(z, self.num_features)
        return jnp.einsum("ij,...i->...j", self.matrix(), z, precision="highest")
