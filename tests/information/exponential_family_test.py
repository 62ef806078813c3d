"""Gaussian plug-in estimates: the closed forms at the sample's moments, and what they cannot see."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from gentoolkit.information import exponential_family, gaussian

# Compiled whole: untraced, each operation is a program of its own; units_test.py calls them so.
entropy, total_correlation, mutual_information, conditional_mutual_information, kl_divergence = (
    jax.jit(getattr(exponential_family, name))
    for name in (
        "entropy", "total_correlation", "mutual_information", "conditional_mutual_information", "kl_divergence",
    )
)  # fmt: skip


def sample(n=60, seed=0):
    mix = np.array([[1, 0.5, 0.2], [0, 1, 0.7], [0, 0, 1]])
    return np.random.default_rng(seed).normal(size=(n, 3)) @ mix


def test_values_are_the_closed_forms(x64):
    x, z = sample(), sample(seed=1)
    maximum_likelihood = np.cov(x.T, ddof=0)
    want = scipy.stats.multivariate_normal(np.zeros(3), maximum_likelihood).entropy()
    np.testing.assert_allclose(entropy(x), want, rtol=1e-12)
    want = -0.5 * np.linalg.slogdet(np.corrcoef(x.T))[1]
    np.testing.assert_allclose(total_correlation(x), want, rtol=1e-10)
    a, b, g = x[:, :1], x[:, 1:2], x[:, 2:]
    cov = np.cov(x.T)
    got = mutual_information(a, x[:, 1:])
    np.testing.assert_allclose(got, gaussian.mutual_information(cov, split=1), rtol=1e-10)
    partial = np.linalg.inv(cov)[:2, :2]
    want = -0.5 * np.log(1 - partial[0, 1] ** 2 / (partial[0, 0] * partial[1, 1]))
    np.testing.assert_allclose(conditional_mutual_information(a, b, g), want, rtol=1e-9)
    got = kl_divergence(x, z)
    np.testing.assert_allclose(got, gaussian.kl_divergence(x.mean(0), cov, z.mean(0), np.cov(z.T)), rtol=1e-10)
    assert abs(kl_divergence(x, x)) < 1e-10


@pytest.mark.fast
def test_chain_rule_symmetry_and_affine_maps(x64):
    x = sample()
    ask, split = total_correlation, mutual_information
    np.testing.assert_allclose(ask(x), ask(x[:, :2]) + split(x[:, :2], x[:, 2:]), rtol=1e-10)
    np.testing.assert_allclose(split(x[:, :1], x[:, 1:]), split(x[:, 1:], x[:, :1]), rtol=1e-10)
    np.testing.assert_allclose(ask(x * [1e-3, 1, 1e3] + 7), ask(x), rtol=1e-8)


def test_bias_under_independence_is_as_documented():
    x = jax.random.normal(jax.random.key(0), (4000, 100, 4))
    values = np.float64(total_correlation(x))
    assert abs(values.mean() - 4 * 3 / (4 * 100)) < 5 * values.std() / 4000**0.5 + 0.05 * 0.03  # next order in 1 / n


@pytest.mark.fast
def test_bad_samples():
    x = np.float32(sample())
    assert np.isnan(total_correlation(np.concatenate([x, np.ones((60, 1), np.float32)], axis=1)))
    x[3, 1] = np.nan
    assert np.isnan(entropy(x))
    with pytest.raises(ValueError, match=r"x\.shape"):
        exponential_family.entropy(x[:1])
    with pytest.raises(ValueError, match="row by row"):
        exponential_family.mutual_information(x, x[:4])


@pytest.mark.fast
def test_batches_and_dtype():
    x = np.float32(np.stack([sample(seed=s) for s in range(3)]))
    got = total_correlation(x)
    np.testing.assert_allclose(got, [total_correlation(one) for one in x], rtol=1e-4)
    assert jax.eval_shape(exponential_family.entropy, jnp.bfloat16(x)).dtype == jnp.float32
