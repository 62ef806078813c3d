"""NaN in, NaN out, at sizes where XLA's CPU maximum over several rows drops NaN."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gentoolkit.distances import normality, sliced

STATISTICS = [
    normality.wasserstein,
    normality.cramer_wold,
    normality.cramer_von_mises,
    normality.kolmogorov_smirnov,
    normality.anderson_darling,
    normality.epps_pulley,
    normality.shapiro_francia,
    normality.epps_pulley_quadrature,
    normality.watson,
    normality.likelihood,
    normality.extended_jarque_bera,
    normality.jarque_bera,
    normality.mean_and_variance,
    normality.moments,
    normality.shapiro_wilk,
    normality.normal_score_cosine,
    normality.negentropy,
]


@pytest.mark.parametrize("shape", [(3, 5), (20, 400), (64, 1000)])
@pytest.mark.parametrize("statistic", STATISTICS)
def test_a_row_with_nan_gives_nan_and_the_others_their_value(statistic, shape):
    y = jax.random.normal(jax.random.key(0), shape)
    spoilt = y.at[1::2, 3].set(jnp.nan)
    run = jax.jit(statistic)  # one program for both, so that the others' values are equal to the last bit
    value = np.asarray(run(spoilt))
    assert np.isnan(value[1::2]).all()
    np.testing.assert_array_equal(value[::2], run(y)[::2])


def test_the_worst_slice_of_a_sample_with_nan_is_nan():
    x = jax.random.normal(jax.random.key(1), (50, 4)).at[7, 2].set(jnp.nan)
    directions = jnp.broadcast_to(jnp.eye(4)[None], (100, 4, 4)).reshape(400, 4)
    assert jnp.isnan(sliced.distance(normality.wasserstein, x, directions=directions, reduction="max"))
