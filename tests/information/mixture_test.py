"""The destructor of clusters: its density against SciPy, log-determinant against autodiff, what it finds."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from jax.scipy.stats import norm

from gentoolkit.information import mixture

KEY = jax.random.key(0)
MEANS = np.array([[-1.5, -1.0, 0.0], [1.5, 1.0, 0.0]])
COVARIANCES = np.array([np.eye(3) + 0.5 * np.ones((3, 3)), np.array([[1, -0.4, 0], [-0.4, 1, 0.3], [0, 0.3, 0.5]])])
WEIGHTS = np.array([0.3, 0.7])

fit = jax.jit(mixture.fit)
forward = jax.jit(mixture.forward)


def draw(n, seed):
    rng = np.random.default_rng(seed)
    which = rng.random(n) < WEIGHTS[0]
    both = [rng.multivariate_normal(m, c, size=n) for m, c in zip(MEANS, COVARIANCES, strict=True)]
    return np.where(which[:, None], *both)


def scores(x):
    """Exact normal scores of the law, each feature through its own distribution function."""
    u = sum(
        w * scipy.stats.norm(m, np.sqrt(np.diag(c))).cdf(x) for w, m, c in zip(WEIGHTS, MEANS, COVARIANCES, strict=True)
    )
    return scipy.stats.norm.ppf(u)


def total_log_ratio(x):
    """log of the density over the product of its margins."""
    parts = list(zip(WEIGHTS, MEANS, COVARIANCES, strict=True))
    joint = sum(w * scipy.stats.multivariate_normal(m, c).pdf(x) for w, m, c in parts)
    single = sum(w * scipy.stats.norm(m, np.sqrt(np.diag(c))).pdf(x) for w, m, c in parts)
    return np.log(joint) - np.log(single).sum(axis=-1)


def of_law():
    """The law itself as a mixture of float32."""
    more = mixture.MOST_COMPONENTS - 2
    mean = np.concatenate([MEANS, np.zeros((more, 3))])
    cov = np.concatenate([COVARIANCES, np.tile(np.eye(3), (more, 1, 1))])
    whitening = np.linalg.inv(np.linalg.cholesky(cov))
    spread = np.sqrt(np.diagonal(cov, axis1=1, axis2=2))
    weight = np.concatenate([np.log(WEIGHTS), np.full(more, -np.inf)])
    bare = mixture.Mixture(None, *map(jnp.float32, (weight, mean, spread, whitening)))
    return bare._replace(margin=mixture._margins(bare))


def log_ratio(z, out, log_det):
    return np.float64(log_det + norm.logpdf(out).sum(-1) - norm.logpdf(z).sum(-1))


@pytest.mark.fast
def test_density_is_that_of_the_copula_and_what_comes_out_is_normal():
    x = draw(4000, seed=1)
    z = np.float32(scores(x))
    out, log_det = forward(of_law(), z)
    # 3e-3: the margins are splines of 97 nodes.
    np.testing.assert_allclose(log_ratio(z, out, log_det), total_log_ratio(x), atol=3e-3)
    np.testing.assert_allclose(mixture.log_ratio(of_law(), z), log_ratio(z, out, log_det), atol=2e-5)
    out = np.asarray(out)
    assert all(scipy.stats.kstest(column, "norm").pvalue > 1e-3 for column in out.T)
    np.testing.assert_allclose(np.corrcoef(out.T), np.eye(3), atol=0.05)
    np.testing.assert_allclose(np.corrcoef(out.T**2), np.eye(3), atol=0.07)


def test_fit_finds_the_law():
    n = 6000
    x = draw(n, seed=2)
    fitted = fit(KEY, np.float32(scores(x)), 2)
    assert np.isneginf(fitted.log_weight[2:]).all()
    np.testing.assert_allclose(np.sort(np.exp(fitted.log_weight[:2])), WEIGHTS, atol=0.04)
    new = draw(n, seed=3)
    z = np.float32(scores(new))
    lost = total_log_ratio(new) - log_ratio(z, *forward(fitted, z))
    # 19 parameters from 6000 rows cost 19 / 12000 = 0.0016 nats, and steps that stop short of the optimum some more:
    # of the 0.45 nats that there are.
    assert -3 * scipy.stats.sem(lost) < lost.mean() < 0.015 < 0.04 * total_log_ratio(new).mean()


def test_log_determinant_is_that_of_autodiff(x64):
    fitted = fit(KEY, scores(draw(400, seed=4)), 4)
    points = np.random.default_rng(3).normal(size=(6, 3)) * 1.5

    def one(z):
        image, log_det = mixture.forward(fitted, z[None])
        return image[0], log_det[0]

    jacobian, log_det = jax.jit(jax.vmap(jax.jacfwd(one, has_aux=True)))(points)
    np.testing.assert_allclose(log_det, np.linalg.slogdet(jacobian)[1], atol=1e-8)


@pytest.mark.fast
def test_far_rows_and_few_rows_stay_finite():
    few = np.float32(np.random.default_rng(0).normal(size=(12, 5)))
    fitted = fit(KEY, few, 8)
    far = np.float32(np.concatenate([few, 30 * few, np.full((1, 5), 12.0)]))
    for leaf in (*forward(fitted, far), *fit(KEY, np.zeros((20, 3), np.float32), 4)[1:3]):
        assert np.isfinite(np.asarray(leaf)[: len(far)]).all() or np.isneginf(np.asarray(leaf)).any()
