"""The transformer block is the formula written out in NumPy; masks hide, and products are of full precision."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
from flax import nnx

from gentoolkit.nn import _products, attention
from gentoolkit.nn.attention import MultiHeadAttention, TransformerBlock

RNG = np.random.default_rng(0)
X = RNG.normal(size=(2, 5, 6)).astype(np.float32)
CONTEXT = RNG.normal(size=(2, 4, 3)).astype(np.float32)
VALID = np.array([[1, 1, 1, 1, 1], [1, 1, 0, 1, 0]], bool)
CONTEXT_VALID = np.array([[1, 0, 1, 1], [0, 0, 0, 0]], bool)  # the second text is empty


def filled(make):
    """A module with weights from NumPy: compiling the initializers would take longer than the tests."""
    graphdef, state = nnx.split(nnx.eval_shape(make))
    rng = np.random.default_rng(1)
    return nnx.merge(graphdef, jax.tree.map(lambda p: jnp.asarray(rng.normal(size=p.shape) * 0.7, p.dtype), state))


def weights(layer):
    return np.float64(layer.kernel[...]), np.float64(layer.bias[...])


def linear(layer, x):
    kernel, bias = weights(layer)
    return x @ kernel + bias


def norm(layer, x):
    centred = x - x.mean(-1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
    return scaled * np.float64(layer.scale[...]) + np.float64(layer.bias[...])


def attended(module, x, context, allowed):
    """Head after head and query after query; `allowed [b, n, m]`."""
    query, key, value = linear(module.query, x), linear(module.key, context), linear(module.value, context)
    found, size = np.zeros(query.shape), query.shape[-1] // module.num_heads
    for b, i in np.ndindex(*query.shape[:2]):
        seen = allowed[b, i]
        for head in range(module.num_heads):
            part = slice(head * size, (head + 1) * size)
            weight = np.exp(key[b, seen, part] @ query[b, i, part] / np.sqrt(size))
            found[b, i, part] = (weight / max(weight.sum(), 1e-300)) @ value[b, seen, part]
    return linear(module.out, found)


def test_a_block_is_the_formula():
    block = filled(
        lambda: TransformerBlock(
            6, 2, hidden_features=7, context_features=3, activation=attention.quick_gelu, rngs=nnx.Rngs(0)
        )
    )
    x, context = np.float64(X), np.float64(CONTEXT)
    causal = np.tril(np.ones((5, 5), bool))
    x = x + attended(
        block.attention, norm(block.attention_norm, x), norm(block.attention_norm, x), causal & VALID[:, None]
    )
    there = np.broadcast_to(CONTEXT_VALID[:, None], (2, 5, 4))
    x = x + attended(block.context_attention, norm(block.context_norm, x), context, there)
    hidden = linear(block.hidden, norm(block.hidden_norm, x))
    expected = x + linear(block.out, hidden / (1 + np.exp(-1.702 * hidden)))

    def loss(block, x, context):
        found = block(x, context, keys_valid=VALID, context_valid=CONTEXT_VALID, causal=True)
        return jnp.sum(found[:, 2]), found

    gradient, found = jax.jit(jax.grad(loss, argnums=(1, 2), has_aux=True))(block, X, CONTEXT)
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-5)
    of_x, of_context = map(np.asarray, gradient)
    assert np.isfinite(of_x).all() and np.isfinite(of_context).all()
    assert not of_x[:, 3:].any() and of_x[:, :2].all()  # token 2 looks back only
    assert not of_context[~CONTEXT_VALID].any() and of_context[CONTEXT_VALID].all()


def test_leading_axes_are_independent_and_a_query_that_sees_nothing_gets_zeros():
    query, key = (RNG.normal(size=(2, 3, 5, 2, 4)).astype(np.float32) for _ in range(2))
    mask = np.ones((5, 5), bool)
    mask[1] = False
    attend = jax.jit(lambda query, key: attention.attend(query, key, key, mask=mask))
    found = np.asarray(attend(query, key))
    assert found.shape == (2, 3, 5, 2, 4) and not found[:, :, 1].any() and found[:, :, 0].all()
    one = np.asarray(attend(query[1, 2], key[1, 2]))
    np.testing.assert_allclose(found[1, 2], one, rtol=1e-6)


@pytest.mark.fast
def test_units_are_theirs():
    x = np.linspace(-6, 6, 241, dtype=np.float32)
    np.testing.assert_allclose(attention.gelu(x), x * scipy.special.ndtr(x), rtol=1e-5, atol=1e-6)
    assert 0.0200 < np.abs(attention.quick_gelu(x) - x * scipy.special.ndtr(x)).max() < 0.0210


@pytest.mark.fast
@pytest.mark.parametrize("precision", ["highest", None])
def test_all_products_have_the_precision_asked_for_in_the_derivative_too(precision):
    graphdef, state = nnx.split(nnx.eval_shape(lambda: TransformerBlock(6, 2, precision=precision, rngs=nnx.Rngs(0))))

    def loss(state, x):
        return nnx.merge(graphdef, state)(x, causal=True).sum()

    program = str(jax.make_jaxpr(jax.grad(loss, argnums=(0, 1)))(state, X))
    products = program.count("dot_general[")
    full = program.count("precision=Precision.HIGHEST") + program.count(
        "precision=(Precision.HIGHEST, Precision.HIGHEST)"
    )
    assert products > 3 * 6 and full == (products if precision else 0), program


@pytest.mark.fast
def test_norms_do_not_cancel():
    norms = filled(lambda: TransformerBlock(4, 2, rngs=nnx.Rngs(0))).hidden_norm
    x = np.float32([4096.0, 4097.0, 4096.0, 4097.0])
    np.testing.assert_allclose(jax.jit(lambda norms, x: norms(x))(norms, x), norm(norms, np.float64(x)), rtol=1e-4)


@pytest.mark.fast
def test_what_does_not_fit_is_refused_by_name():
    with pytest.raises(ValueError, match="num_heads must divide num_features = 6, got num_heads = 4"):
        MultiHeadAttention(6, 4, rngs=nnx.Rngs(0))
    block = filled(lambda: TransformerBlock(6, 2, rngs=nnx.Rngs(0)))
    with pytest.raises(ValueError, match="context must be None: this block was made without context_features"):
        block(X, CONTEXT)
    with pytest.raises(ValueError, match=r"keys_valid must be \[..., 5\], got \(2, 4\)"):
        jax.eval_shape(lambda block: block(X, keys_valid=CONTEXT_VALID), block)
    with pytest.raises(ValueError, match="mask must be of type bool"):
        attention.attend(*[jnp.zeros((3, 2, 4))] * 3, mask=jnp.ones((3, 3)))
    with pytest.raises(ValueError, match="got .2, 3, 1, 4., .2, 3, 2, 4. and"):
        attention.attend(jnp.zeros((2, 3, 1, 4)), *[jnp.zeros((2, 3, 2, 4))] * 2)


def test_products_with_wide_kernels_are_the_same_with_their_gradients_and_wider_on_cpus():
    rng = np.random.default_rng(0)
    x, kernel = (jnp.asarray(rng.standard_normal(shape), jnp.float32) for shape in ((4, 160, 3), (3, 512)))
    axes = (((2,), (0,)), ((), ()))

    def total(product, x, kernel):
        return jnp.sum(jnp.sin(product(x, kernel, axes, precision="highest")))

    ours, plain = (
        jax.jit(jax.value_and_grad(lambda x, kernel, product=product: total(product, x, kernel), (0, 1)))
        for product in (_products.dot_general, jax.lax.dot_general)
    )
    for a, b in zip(jax.tree.leaves(ours(x, kernel)), jax.tree.leaves(plain(x, kernel)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)
    if jax.default_backend() == "cpu":
        text = jax.jit(lambda x, kernel: _products.dot_general(x, kernel, axes)).lower(x, kernel).as_text()
        assert "528xf32" in text  # 512 and some more
    few = jax.make_jaxpr(lambda x, kernel: _products.dot_general(x, kernel, axes))(x[:, :9], kernel)
    assert "pad" not in str(few)
