import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from gentoolkit.models.discriminator import LatentDiscriminator


@pytest.mark.fast
def test_parameters_are_those_counted_by_hand():
    model = nnx.eval_shape(lambda: LatentDiscriminator(20, rngs=nnx.Rngs(0)))
    count = sum(leaf.size for leaf in jax.tree.leaves(nnx.state(model, nnx.Param)))
    assert count == (20 * 512 + 512) + 3 * (512 * 512 + 512) + (512 + 1)


def test_the_prior_adds_its_log_density_to_the_logit(filled):
    z = jax.random.normal(jax.random.key(0), (5, 3))
    plain = filled(lambda: LatentDiscriminator(3, widths=(8, 8), rngs=nnx.Rngs(0)))
    with_prior = filled(lambda: LatentDiscriminator(3, widths=(8, 8), add_log_prior=True, rngs=nnx.Rngs(0)))
    log_prior = jax.scipy.stats.norm.logpdf(z).sum(axis=-1)
    assert plain(z).shape == (5,) and plain(z).dtype == jnp.float32
    np.testing.assert_allclose(with_prior(z), plain(z) + log_prior, rtol=1e-5)


@pytest.mark.fast
def test_wrong_codes_are_refused_by_name():
    model = nnx.eval_shape(lambda: LatentDiscriminator(3, widths=(8,), rngs=nnx.Rngs(0)))
    with pytest.raises(ValueError, match=r"z must be \[b, 3\]"):
        model(jnp.zeros((2, 4)))
