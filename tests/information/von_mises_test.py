"""First-order von Mises estimates against SciPy's kernel density, closed forms and exact invariances."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from gentoolkit.information import _neighbors, gaussian, von_mises


def sample(n=60, seed=0):
    mix = np.array([[1, 0.5, 0.2], [0, 1, 0.7], [0, 0, 1]])
    return np.random.default_rng(seed).normal(size=(n, 3)) @ mix


def kernel_log_density(x, z, bandwidth):
    """Product kernel with bandwidths in standard deviations of each feature of z, by SciPy."""
    scale = z.std(axis=0, ddof=1)
    log_kernel = scipy.stats.norm.logpdf(x[:, None], z[None], bandwidth * scale).sum(axis=-1)
    return scipy.special.logsumexp(log_kernel, axis=1) - np.log(len(z))


def test_split_and_divergence_are_their_definitions(x64):
    x, z = sample(), sample(50, seed=1)
    a, b = x[:30], x[30:]
    want = -(kernel_log_density(a, b, 0.4).mean() + kernel_log_density(b, a, 0.4).mean()) / 2
    np.testing.assert_allclose(von_mises.entropy(x, bandwidth=0.4, form="split"), want, rtol=1e-11)
    scott = 50 ** (-1 / 7)
    want = -kernel_log_density(x, z, scott).mean() - von_mises.entropy(x)
    np.testing.assert_allclose(von_mises.kl_divergence(x, z), want, rtol=1e-11)


def test_leave_one_out_is_its_definition(x64):
    x = sample(30)
    scale = 0.5 * x.std(axis=0, ddof=1)
    kernel = np.exp(scipy.stats.norm.logpdf(x[:, None], x[None], scale).sum(axis=-1))
    np.fill_diagonal(kernel, 0)
    want = -np.log(kernel.sum(axis=1) / 29).mean()
    np.testing.assert_allclose(von_mises.entropy(x, bandwidth=0.5), want, rtol=1e-11)


def test_dependence_is_a_difference_of_entropies(x64):
    x = sample()
    single = sum(von_mises.entropy(x[:, j : j + 1]) for j in range(3))
    np.testing.assert_allclose(von_mises.total_correlation(x), single - von_mises.entropy(x), rtol=1e-11)
    a, b = x[:, :1], x[:, 1:]
    want = von_mises.entropy(a) + von_mises.entropy(b) - von_mises.entropy(x)
    np.testing.assert_allclose(von_mises.mutual_information(a, b), want, rtol=1e-11)
    np.testing.assert_allclose(von_mises.mutual_information(b, a), want, rtol=1e-11)


@pytest.mark.parametrize("form", ["leave_one_out", "split"])
def test_scales_shifts_and_gaussian_values(form):
    x = np.float32(sample(2000))
    ask = jax.jit(functools.partial(von_mises.entropy, form=form))
    value = ask(x)
    cov = np.cov(x.T)
    assert 0 < value - gaussian.entropy(cov) < 0.2  # too high, by the smoothing
    scaled = ask(x * np.float32([1e-3, 1, 1e3]) + np.float32(5))
    np.testing.assert_allclose(scaled, value, atol=2e-3)  # features of size 1e-3 about 5: 1e-4 of them is rounding


def test_likeliest_bandwidth_has_the_lowest_entropy():
    x = np.float32(np.stack([sample(200, seed) for seed in range(2)]))
    candidates = jnp.geomspace(0.05, 2, 9)
    best = von_mises.likeliest_bandwidth(x, candidates)
    values = jnp.stack([jax.jit(von_mises.entropy)(x, bandwidth=b) for b in candidates])
    np.testing.assert_array_equal(best, candidates[np.argmin(values, axis=0)])
    assert best.shape == (2,) and 0.05 < best[0] < 2


@pytest.mark.fast
def test_blocks_batches_dtype(monkeypatch):
    x = np.float32(np.stack([sample(47, seed) for seed in range(2)]))
    whole = jax.jit(von_mises.entropy)(x)
    assert jax.eval_shape(von_mises.entropy, jnp.bfloat16(x)).dtype == jnp.float32
    monkeypatch.setattr(_neighbors, "_BLOCK_ENTRIES", 10 * 47)
    np.testing.assert_allclose(jax.jit(jax.vmap(von_mises.entropy))(x), whole, rtol=1e-5)


@pytest.mark.fast
def test_bad_samples_and_options():
    x = np.float32(np.stack([sample(20)] * 3))
    x[1, 2, 0] = np.nan
    x[2, :, 1] = 4.0
    value = np.asarray(jax.jit(von_mises.entropy)(x))
    assert np.isfinite(value[0]) and np.isnan(value[1:]).all()
    for ask, told in [
        (lambda x: von_mises.entropy(x, form="fold"), "form"),
        (lambda x: von_mises.entropy(x, bandwidth=0.0), "bandwidth"),
        (lambda x: von_mises.entropy(x[:, :1]), "rows"),
        (lambda x: von_mises.entropy(x[:, :3], form="split"), "rows"),
        (lambda x: von_mises.kl_divergence(x, x[..., :1]), "features"),
        (lambda x: von_mises.mutual_information(x, x[:, :5]), "row by row"),
        (lambda x: von_mises.likeliest_bandwidth(x, jnp.ones((2, 2))), "candidates"),
    ]:
        with pytest.raises(ValueError, match=told):
            ask(x)
