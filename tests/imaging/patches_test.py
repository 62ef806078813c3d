import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gentoolkit.imaging import patches

pytestmark = pytest.mark.fast


def photo(shape):
    return jnp.asarray(np.random.default_rng(0).uniform(size=shape), jnp.float32)


@pytest.mark.parametrize(
    ("h", "w", "p", "q", "s"),
    [(6, 8, 3, 2, 3), (7, 5, 3, 3, 1), (1, 1, 4, 4, 2), (9, 4, 2, 4, 1), (8, 9, 4, 3, 3), (1, 9, 3, 2, 2)],
)
def test_fold_undoes_extract(h, w, p, q, s):
    x, stride = photo((2, h, w, 2)), (min(s, p), min(s, q))
    out = patches.extract(x, (p, q), stride=stride)
    assert out.shape == (
        2,
        *(max(0, -(-(n - m) // t)) + 1 for n, m, t in zip((h, w), (p, q), stride, strict=True)),
        2,
        p * q,
    )
    np.testing.assert_allclose(patches.fold(out, (h, w), (p, q), stride=stride), x, atol=1e-6)


def test_patches_that_do_not_overlap_are_the_blocks():
    x = photo((6, 8, 3))
    out = patches.extract(x, (3, 2))
    assert out.shape == (2, 4, 3, 6)
    np.testing.assert_array_equal(out[1, 2, 1], x[3:6, 4:6, 1].reshape(-1))
    np.testing.assert_array_equal(patches.extract(x, 3, stride=2)[1, 1, 2], x[2:5, 2:5, 2].reshape(-1))
    assert patches.extract(photo((7, 8, 1)), 3).shape[:2] == (3, 3)


def test_overlaps_are_averaged():
    ones = jnp.ones((4, 4, 1, 9))
    np.testing.assert_allclose(patches.fold(ones, (6, 6), 3, stride=1), 1.0, rtol=1e-6)
    two = jnp.stack([jnp.zeros((1, 1, 2)), jnp.ones((1, 1, 2))], axis=1)
    np.testing.assert_allclose(patches.fold(two, (1, 3), (1, 2), stride=(1, 1))[0, :, 0], [0, 0.5, 1])


def test_neighborhoods_hold_the_pixel_and_reflect():
    x = photo((5, 4, 2))
    out = patches.neighborhoods(x, 3)
    assert out.shape == (5, 4, 2, 9)
    np.testing.assert_array_equal(out[..., 4], x)
    padded = np.pad(x, [(1, 1), (1, 1), (0, 0)], mode="reflect")
    np.testing.assert_array_equal(out[0, 3, 1], padded[0:3, 3:6, 1].reshape(-1))


def test_gradient_jit_and_vmap():
    x = photo((3, 5, 5, 1))

    def loss(x):
        return jnp.sum(patches.extract(x, 3, stride=2) ** 2)

    # Each pixel counts as often as patches hold it: 5 = 3 + 2, so rows and columns 2 twice.
    times = np.outer([1, 1, 2, 1, 1], [1, 1, 2, 1, 1])
    np.testing.assert_allclose(
        jax.grad(loss)(x)[0, :, :, 0], 2 * jnp.asarray(times, jnp.float32) * x[0, :, :, 0], rtol=1e-6
    )
    np.testing.assert_array_equal(jax.jit(jax.vmap(lambda x: patches.extract(x, 2)))(x), patches.extract(x, 2))


def test_bad_options_are_refused():
    x = photo((4, 4, 1))
    with pytest.raises(ValueError, match="stride"):
        patches.extract(x, 2, stride=3)
    with pytest.raises(ValueError, match="size_rows"):
        patches.extract(x, 0)
    with pytest.raises(TypeError, match="integer"):
        patches.extract(x, 2.0)
    with pytest.raises(ValueError, match="has patches"):
        patches.fold(patches.extract(x, 2), (5, 4), 2)
    assert patches.extract(photo((1, 1, 3)), 3).shape == (1, 1, 3, 9)
