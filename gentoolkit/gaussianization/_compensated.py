"""Numbers as a value and the rest that its rounding took off: sums and rotations to half as many digits again.

References:
  Dekker (1971), "A floating-point technique for extending the available precision".
  Ogita, Rump, Oishi (2005), "Accurate sum and dot product", algorithms 3.1 (the sum of two) and 4.3.
"""

import jax
import jax.numpy as jnp

_BITS = {4: jnp.uint32, 8: jnp.uint64}


def two_sum(a: jax.Array, b: jax.Array) -> tuple[jax.Array, jax.Array]:
    """`a + b` rounded, and exactly what the rounding took off; in any order of size."""
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


def halves(a: jax.Array) -> tuple[jax.Array, jax.Array]:
    """`a` as a number of half the digits, so that products of two such are exact, and the rest of it."""
    # By its bits. The usual multiplication and two subtractions fail where a compiler fuses one into the other.
    bits = _BITS[a.dtype.itemsize]
    kept = jnp.array(-1 << ((jnp.finfo(a.dtype).nmant + 2) // 2), f"int{8 * a.dtype.itemsize}").astype(bits)
    raw = jax.lax.bitcast_convert_type(a, bits)
    high = jax.lax.bitcast_convert_type(raw & jnp.broadcast_to(kept, raw.shape), a.dtype)
    return high, a - high


def lack_of_orthogonality(matrix: jax.Array) -> jax.Array:
    """`I - matrix matrix^T` `[..., d, d]` to its own leading digits, though what is subtracted is near I."""
    high, low = halves(matrix)
    cross = _product(low, jnp.swapaxes(high, -1, -2))
    zeros = jnp.zeros_like(matrix)  # vary, in shard_map, as the matrix does
    start = zeros - jnp.broadcast_to(jnp.eye(matrix.shape[-1], dtype=matrix.dtype), matrix.shape)
    total, lost = _add_products(start, high, jnp.swapaxes(high, -1, -2))
    return -(total + (lost + (cross + jnp.swapaxes(cross, -1, -2) + _product(low, jnp.swapaxes(low, -1, -2)))))


def beyond_rounding(matrix: jax.Array) -> jax.Array:
    """What a nearly orthogonal matrix `[..., d, d]` lacks of an orthogonal one: their sum is one to 2^-36 in float32.

    One Newton-Schulz step.
    """
    return 0.5 * _product(lack_of_orthogonality(matrix), matrix)


def rotate(matrix: jax.Array, matrix_rest: jax.Array, rows: jax.Array, rest: jax.Array) -> tuple[jax.Array, jax.Array]:
    """`(matrix + matrix_rest) (rows + rest)`, `[d, n]`, rounded, and what the rounding took off."""
    matrix_high, matrix_low = halves(matrix)
    high, low = halves(rows)
    total, lost = _add_products(jnp.zeros_like(rows), matrix_high, high)
    small = _product(matrix_high, low) + _product(matrix_low, rows) + _product(matrix, rest)
    return two_sum(total, lost + (small + _product(matrix_rest, rows)))


def _add_products(start: jax.Array, a: jax.Array, b: jax.Array) -> tuple[jax.Array, jax.Array]:
    """`start + a b` for factors whose entries have exact products, and the sum of all that rounding took off."""

    def add(state, pair):
        total, lost = state
        column, row = pair
        total, part = two_sum(total, column[..., :, None] * row[..., None, :])
        return (total, lost + part), None

    pairs = (jnp.moveaxis(a, -1, 0), jnp.moveaxis(b, -2, 0))
    return jax.lax.scan(add, (start, jnp.zeros_like(start)), pairs)[0]


def _product(a: jax.Array, b: jax.Array) -> jax.Array:
    return jnp.matmul(a, b, precision=jax.lax.Precision.HIGHEST)
