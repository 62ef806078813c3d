"""The pool of past images by its rule, and the bank of codes with gradients for the current ones alone, as for all."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from gentoolkit.nn import pools
from gentoolkit.objectives import variational

pytestmark = pytest.mark.fast


def numbered(first, num):
    """Images that tell who they are."""
    return np.arange(first, first + num, dtype=np.float32)[:, None, None]


@nnx.jit
def show(pool, key, images):
    return pool(key, images)


def test_a_pool_fills_first_and_then_exchanges_half():
    pool = pools.ImagePool(6, (1, 1))
    seen, inside = [], []
    for step in range(60):
        given = numbered(4 * step, 4)
        stored = np.asarray(pool.images[...]).ravel()
        shown = np.asarray(show(pool, jax.random.key(step), given)).ravel()
        kept = np.asarray(pool.images[...]).ravel()
        if step == 0:
            np.testing.assert_array_equal(shown, given.ravel())
            continue
        # What was there and what came is shown or kept, each once (while it fills: shown and kept).
        if step > 1:
            both = np.sort(np.concatenate([stored, given.ravel()]))
            np.testing.assert_array_equal(np.sort(np.concatenate([shown, kept])), both)
            seen.extend(shown != given.ravel())
            inside.extend(np.isin(shown, stored))
    share, error = np.mean(seen), 0.5 / np.sqrt(len(seen))
    assert abs(share - 0.5) < 3 * error, share
    # Mostly of earlier batches: of six stored at most three are of this one.
    assert np.mean(inside) > 0.3
    again = pools.ImagePool(6, (1, 1))
    twice = [show(again, jax.random.key(step), numbered(4 * step, 4)) for step in range(60)][-1]
    np.testing.assert_array_equal(np.asarray(twice).ravel(), shown)  # the key decides


def test_a_pool_in_the_middle_of_a_batch_fills_and_one_of_no_size_is_the_identity():
    pool = pools.ImagePool(3, (1, 1))
    show(pool, jax.random.key(0), numbered(0, 2))
    shown = np.asarray(show(pool, jax.random.key(1), numbered(2, 2))).ravel()
    assert shown[0] == 2  # the third is stored and returned, the fourth may be exchanged
    assert pool.count[...] == 3
    none = pools.ImagePool(0, (1, 1))
    np.testing.assert_array_equal(none(jax.random.key(0), numbered(5, 2)), numbered(5, 2))
    with pytest.raises(ValueError, match="images must be"):
        pool(jax.random.key(0), np.zeros((2, 1)))


def test_a_bank_returns_the_newest_codes_and_gradients_of_the_current():
    bank = pools.CodeBank(5, 1)
    graph, rest = nnx.split(bank)

    @jax.jit
    def step(rest, codes):
        def loss(codes):
            module = nnx.merge(graph, rest, copy=True)
            found = module(codes)
            return jnp.sum(found**2), (found, nnx.state(module))

        return jax.grad(loss, has_aux=True)(codes)

    found = []
    for first in (1.0, 3.0, 5.0, 7.0):
        codes = jnp.array([[first], [first + 1]])
        slope, (all_codes, rest) = step(rest, codes)
        np.testing.assert_allclose(slope, 5 / 2 * 2 * codes, rtol=1e-6)
        found.append(np.asarray(all_codes).ravel().tolist())
    assert found == [[1, 2, 1, 2, 1], [3, 4, 1, 2, 1], [5, 6, 3, 4, 1], [7, 8, 5, 6, 3]]
    with pytest.raises(ValueError, match="b <= 5"):
        bank(np.zeros((6, 1)))


@pytest.mark.parametrize("copies", [1, 2, 8])
def test_a_larger_bank_is_no_weaker_loss(copies):
    """Filled by copies of the current codes, it has their discrepancy and the gradient of that, whatever its size."""
    codes = jax.random.normal(jax.random.key(1), (3, 2)) + 1.0

    def alone(codes):
        return variational.gaussian_mmd_to_standard(codes, bandwidth=1.5)

    def banked(codes):
        return alone(pools.CodeBank(3 * copies, 2)(codes))

    for found, expected in zip(jax.value_and_grad(banked)(codes), jax.value_and_grad(alone)(codes), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5)
