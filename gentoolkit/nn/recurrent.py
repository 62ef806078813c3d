"""A long short-term memory over sequences of unequal length, in either direction."""

import jax
import jax.numpy as jnp
from flax import nnx
from flax.typing import Initializer

_GATES = 4


class LSTM(nnx.Module):
    """One layer; the products with the inputs of all steps are made at once, only those with the state one by one.

    Gates stand in the order input, forget, cell, output, as in PyTorch, whose two biases are one here.

    References:
      Hochreiter, Schmidhuber, Long short-term memory, Neural Computation 1997; Gers, Schmidhuber, Cummins, Learning to
      forget, Neural Computation 2000.
    """

    def __init__(
        self, in_features: int, features: int, *, kernel_init: Initializer | None = None, rngs: nnx.Rngs, dtype=None
    ):
        """Makes the parameters.

        Args:
          in_features: of what comes in.
          features: of the state.
          kernel_init: of both matrices; None is PyTorch's choice for matrices and bias, uniform within the inverse root
            of `features`.
          rngs: of the initial weights.
          dtype: in which products are computed; None takes that of the input.
        """
        bound = features**-0.5
        init = kernel_init or (lambda key, shape: jax.random.uniform(key, shape, minval=-bound, maxval=bound))
        self.in_features, self.features, self.dtype = in_features, features, dtype
        self.of_input = nnx.Param(init(rngs.params(), (in_features, _GATES * features)))
        self.of_state = nnx.Param(init(rngs.params(), (features, _GATES * features)))
        bias = jnp.zeros(_GATES * features) if kernel_init else init(rngs.params(), (_GATES * features,))
        self.bias = nnx.Param(bias)

    def __call__(
        self, x: jax.Array, lengths: jax.Array | None = None, *, reverse: bool = False
    ) -> tuple[jax.Array, jax.Array]:
        """Goes over sequences, from a state of zeros.

        Args:
          x: `[b, t, in_features]`.
          lengths: `[b]`, how many steps of each sequence are there; None for all. Those behind change nothing.
          reverse: from the last step that is there to the first.

        Returns:
          `[b, t, features]`, the state at each step, zeros behind the last; and `[b, features]`, the state at the end,
          which for `reverse` is that at the first step.

        Raises:
          ValueError: shapes that do not fit.
        """
        if x.ndim != 3 or x.shape[-1] != self.in_features:
            raise ValueError(f"x must be [b, t, {self.in_features}], got x.shape = {x.shape}.")
        if lengths is not None and lengths.shape != x.shape[:1]:
            raise ValueError(f"lengths must be of shape {x.shape[:1]}, got lengths.shape = {lengths.shape}.")
        dtype = self.dtype or x.dtype
        x, of_input, of_state, bias = (
            part.astype(dtype) for part in (x, self.of_input[...], self.of_state[...], self.bias[...])
        )
        there = jnp.ones(x.shape[:2], bool) if lengths is None else jnp.arange(x.shape[1]) < lengths[:, None]

        def step(carry, now):
            state, cell = carry
            gates, valid = now
            enter, forget, new, leave = jnp.split(gates + state @ of_state, _GATES, axis=-1)
            moved = nnx.sigmoid(forget) * cell + nnx.sigmoid(enter) * jnp.tanh(new)
            seen = nnx.sigmoid(leave) * jnp.tanh(moved)
            valid = valid[:, None]
            kept = jnp.where(valid, seen, state), jnp.where(valid, moved, cell)
            return kept, jnp.where(valid, seen, 0)

        zeros = jnp.zeros((x.shape[0], self.features), dtype)
        inputs = (x @ of_input + bias).swapaxes(0, 1), there.swapaxes(0, 1)
        (last, _), states = jax.lax.scan(step, (zeros, zeros), inputs, reverse=reverse)
        return states.swapaxes(0, 1), last
