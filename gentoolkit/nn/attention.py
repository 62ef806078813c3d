"""Multi-head attention and the transformer block: of one sequence, or of one sequence that looks at another.

    block = TransformerBlock(512, 8, rngs=nnx.Rngs(0))
    y = block(x)                                     # [..., n, 512]: every token looks at every token
    y = block(x, causal=True)                        # at itself and at what stands before it
    y = block(x, keys_valid=words_valid)             # [..., n] bool: not at padding

Flax's own `nnx.MultiHeadAttention` forgets its `precision` as soon as nothing is dropped out, so that on a GPU its
products would be those of TF32; here the products are full unless told otherwise.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx

from gentoolkit.nn import _products

Activation = Callable[[jax.Array], jax.Array]
_LECUN = nnx.initializers.lecun_normal()


def gelu(x: jax.Array) -> jax.Array:
    """The Gaussian error linear unit, `x Phi(x)`, without the tanh approximation that JAX takes unasked.

    Args:
      x: `[...]`.

    Returns:
      `[...]`.
    """
    return jax.nn.gelu(x, approximate=False)


def quick_gelu(x: jax.Array) -> jax.Array:
    """The unit of OpenAI's CLIP, `x sigmoid(1.702 x)`: within 0.021 of `gelu`, and not the same network.

    Args:
      x: `[...]`.

    Returns:
      `[...]`.
    """
    return x * jax.nn.sigmoid(1.702 * x)


def attend(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    *,
    mask: jax.Array | None = None,
    causal: bool = False,
    precision: str | None = "highest",
) -> jax.Array:
    """Means of values, weighted by the softmax (in float32) of scaled products of queries and keys.

    Args:
      query: `[..., q, h, d]`, h heads of d features.
      key: `[..., k, h, d]`.
      value: `[..., k, h, d]`.
      mask: which keys a query may look at, bool, `[..., q, k]` or a shape that broadcasts to it; None for all.
      causal: whether query i may look at keys 0 to i only.
      precision: of the products, "highest", "high" or "default"; None leaves it to `jax.default_matmul_precision`.

    Returns:
      `[..., q, h, d]`; zeros for a query that may look at nothing.

    Raises:
      ValueError: shapes that do not fit each other.
    """
    lead, (q, h, d) = query.shape[:-3], query.shape[-3:]
    k = key.shape[-3] if key.ndim >= 3 else 0
    if key.shape != (*lead, k, h, d) or value.shape != key.shape:
        raise ValueError(
            "query, key and value must be [..., q, h, d], [..., k, h, d] and [..., k, h, d], got "
            f"{query.shape}, {key.shape} and {value.shape}."
        )
    # Heads before tokens: products of matrices are faster on a CPU than those over axes as they come.
    query, key, value = (jnp.swapaxes(tokens, -2, -3) for tokens in (query, key, value))
    wide = jnp.promote_types(query.dtype, jnp.float32)
    scores = d**-0.5 * jnp.einsum("...qd,...kd->...qk", query, key, precision=precision, preferred_element_type=wide)
    seen = None
    if mask is not None:
        if jnp.asarray(mask).dtype != jnp.bool_:
            raise ValueError(f"mask must be of type bool, True where a query may look, got {jnp.asarray(mask).dtype}.")
        seen = jnp.broadcast_to(mask, (*lead, q, k))[..., None, :, :]
    if causal:
        past = jnp.tril(jnp.ones((q, k), bool))
        seen = past if seen is None else seen & past
    if seen is None:
        weights = jax.nn.softmax(scores)
    else:  # zero twice over: a softmax of nothing is the mean of all that is masked
        weights = jnp.where(seen, jax.nn.softmax(jnp.where(seen, scores, jnp.finfo(wide).min)), 0)
    return jnp.swapaxes(jnp.matmul(weights.astype(value.dtype), value, precision=precision), -2, -3)


class MultiHeadAttention(nnx.Module):
    """Attention of a sequence to itself, or to another one, in several subspaces at a time.

    Attributes:
      num_heads: each of `num_features / num_heads` features.

    References:
      Vaswani et al. (2017), "Attention is all you need", section 3.2.
    """

    def __init__(
        self,
        num_features: int,
        num_heads: int,
        *,
        context_features: int | None = None,
        kernel_init: nnx.Initializer = _LECUN,
        out_init: nnx.Initializer | None = None,
        dtype: jax.typing.DTypeLike | None = None,
        precision: str | None = "highest",
        rngs: nnx.Rngs,
    ):
        """Makes the four linear maps.

        Args:
          num_features: of a token, in and out.
          num_heads: a divisor of `num_features`.
          context_features: of a token of the other sequence, where there is one; `num_features` if None.
          kernel_init: of queries, keys and values.
          out_init: of the last map; as the others if None.
          dtype: to compute in; None leaves it to inputs and parameters.
          precision: of the products, as in `attend`.
          rngs: of the initial weights.

        Raises:
          ValueError: heads that do not divide the features.
        """
        if num_heads < 1 or num_features % num_heads:
            raise ValueError(f"num_heads must divide num_features = {num_features}, got num_heads = {num_heads}.")
        self.num_heads, self.precision = num_heads, precision
        inputs = num_features if context_features is None else context_features

        def linear(features: int, init: nnx.Initializer) -> nnx.Linear:
            return _linear(features, num_features, init, dtype, precision, rngs)

        self.query = linear(num_features, kernel_init)
        self.key = linear(inputs, kernel_init)
        self.value = linear(inputs, kernel_init)
        self.out = linear(num_features, kernel_init if out_init is None else out_init)

    def __call__(
        self,
        x: jax.Array,
        context: jax.Array | None = None,
        *,
        keys_valid: jax.Array | None = None,
        mask: jax.Array | None = None,
        causal: bool = False,
    ) -> jax.Array:
        """Lets each token of `x` look at those of `context`.

        Args:
          x: `[..., n, num_features]`.
          context: `[..., m, context_features]`; `x` itself if None.
          keys_valid: which tokens of the context are no padding, bool `[..., m]`; None for all.
          mask: which of them each token may look at, bool, `[..., n, m]` or a shape that broadcasts to it.
          causal: whether token i may look at tokens 0 to i only.

        Returns:
          `[..., n, num_features]`; a token that may look at nothing gets the bias of the last map.

        Raises:
          ValueError: shapes that do not fit each other.
        """
        context = x if context is None else context
        if keys_valid is not None:
            if keys_valid.shape[-1:] != context.shape[-2:-1]:
                raise ValueError(f"keys_valid must be [..., {context.shape[-2]}], got {keys_valid.shape}.")
            keys_valid = keys_valid[..., None, :]
            mask = keys_valid if mask is None else mask & keys_valid
        heads = [
            tokens.reshape(*tokens.shape[:-1], self.num_heads, -1)
            for tokens in (self.query(x), self.key(context), self.value(context))
        ]
        found = attend(*heads, mask=mask, causal=causal, precision=self.precision)
        return self.out(found.reshape(*found.shape[:-2], -1))


class TransformerBlock(nnx.Module):
    """Attention and a network of one hidden layer, each of normalized tokens and added to them.

    Where there is a context, attention to it stands between the two.

    References:
      Xiong et al. (2020), "On layer normalization in the transformer architecture" (the form with norms in front).
    """

    def __init__(
        self,
        num_features: int,
        num_heads: int,
        *,
        hidden_features: int | None = None,
        context_features: int | None = None,
        activation: Activation = gelu,
        epsilon: float = 1e-5,
        kernel_init: nnx.Initializer = _LECUN,
        out_init: nnx.Initializer | None = None,
        dtype: jax.typing.DTypeLike | None = None,
        precision: str | None = "highest",
        rngs: nnx.Rngs,
    ):
        """Makes the layers.

        Args:
          num_features: of a token.
          num_heads: a divisor of `num_features`.
          hidden_features: of the hidden layer; four times `num_features` if None.
          context_features: of a token of another sequence that is looked at; None where there is none.
          activation: behind the hidden layer.
          epsilon: added to variances by the norms.
          kernel_init: of all maps but those whose output is added to the tokens.
          out_init: of those; as the others if None. Deep stacks want it smaller: nothing shrinks what is added.
          dtype: to compute in; None leaves it to inputs and parameters.
          precision: of the products, as in `attend`.
          rngs: of the initial weights.

        Raises:
          ValueError: heads that do not divide the features.
        """
        hidden_features = 4 * num_features if hidden_features is None else hidden_features
        out_init = kernel_init if out_init is None else out_init
        self.activation = activation

        def norm() -> nnx.LayerNorm:
            # The variance as a difference of two means is rounding alone where a token has one huge feature.
            return nnx.LayerNorm(num_features, epsilon=epsilon, use_fast_variance=False, dtype=dtype, rngs=rngs)

        def attention(features: int | None) -> MultiHeadAttention:
            return MultiHeadAttention(
                num_features,
                num_heads,
                context_features=features,
                kernel_init=kernel_init,
                out_init=out_init,
                dtype=dtype,
                precision=precision,
                rngs=rngs,
            )

        def linear(inputs: int, outputs: int, init: nnx.Initializer) -> nnx.Linear:
            return _linear(inputs, outputs, init, dtype, precision, rngs)

        self.attention_norm, self.attention = norm(), attention(None)
        if context_features is not None:
            self.context_norm, self.context_attention = norm(), attention(context_features)
        self.has_context = context_features is not None
        self.hidden_norm = norm()
        self.hidden = linear(num_features, hidden_features, kernel_init)
        self.out = linear(hidden_features, num_features, out_init)

    def __call__(
        self,
        x: jax.Array,
        context: jax.Array | None = None,
        *,
        keys_valid: jax.Array | None = None,
        context_valid: jax.Array | None = None,
        mask: jax.Array | None = None,
        causal: bool = False,
    ) -> jax.Array:
        """Maps tokens to tokens.

        Args:
          x: `[..., n, num_features]`.
          context: `[..., m, context_features]`, given exactly where the block was made for one.
          keys_valid: which tokens of `x` are no padding, bool `[..., n]`; None for all.
          context_valid: which tokens of the context are no padding, bool `[..., m]`; None for all.
          mask: which tokens of `x` each of them may look at, bool, `[..., n, n]` or a shape that broadcasts to it.
          causal: whether token i may look at tokens 0 to i of `x` only.

        Returns:
          `[..., n, num_features]`.

        Raises:
          ValueError: a context where the block has none, or the reverse; shapes that do not fit each other.
        """
        if (context is not None) != self.has_context:
            raise ValueError(
                f"context must {'be given: this block' if self.has_context else 'be None: this block'} was made "
                f"{'with' if self.has_context else 'without'} context_features."
            )
        x = x + self.attention(self.attention_norm(x), keys_valid=keys_valid, mask=mask, causal=causal)
        if context is not None:
            x = x + self.context_attention(self.context_norm(x), context, keys_valid=context_valid)
        return x + self.out(self.activation(self.hidden(self.hidden_norm(x))))


def _linear(
    inputs: int,
    outputs: int,
    init: nnx.Initializer,
    dtype: jax.typing.DTypeLike | None,
    precision: str | None,
    rngs: nnx.Rngs,
) -> nnx.Linear:
    return nnx.Linear(
        inputs,
        outputs,
        kernel_init=init,
        dtype=dtype,
        precision=precision,
        dot_general=_products.dot_general,
        rngs=rngs,
    )
