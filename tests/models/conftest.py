"""Networks with weights from NumPy: compiling the initializers of each layer would take most of the time."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx


@pytest.fixture
def filled():
    """Takes a function that makes a module; returns the module with random weights and batch statistics of one."""

    def fill(make, *, seed=0):
        rng = np.random.default_rng(seed)
        graphdef, params, rest = nnx.split(nnx.eval_shape(make), nnx.Param, ...)
        params = jax.tree.map(lambda p: jnp.asarray(rng.normal(scale=0.2, size=p.shape), p.dtype), params)
        return nnx.merge(graphdef, params, jax.tree.map(lambda p: jnp.ones(p.shape, p.dtype), rest))

    return fill
