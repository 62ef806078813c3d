"""The elliptical destructor: log-determinant against autodiff, what it destroys, what it chooses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from jax.scipy.stats import norm

from gentoolkit.information import elliptical, gaussian, student_t

SCATTER = np.array([[1, 0.6, 0.3], [0.6, 1, 0.4], [0.3, 0.4, 1]])


def scores(x):
    return np.float32(scipy.stats.norm.ppf((scipy.stats.rankdata(x, axis=0) - 0.5) / len(x)))


def student(n, dof, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 3)) @ np.linalg.cholesky(SCATTER).T
    return x / np.sqrt(rng.chisquare(dof, size=(n, 1)) / dof) if np.isfinite(dof) else x


fit = jax.jit(elliptical.fit)
forward = jax.jit(elliptical.forward)


@pytest.mark.parametrize("dof", [3.0, np.inf])
def test_an_elliptical_copula_is_destroyed(dof):
    fitted, own, _ = fit(scores(student(4000, dof)))
    new = scores(student(4000, dof, seed=1))
    z, log_det = forward(fitted, new)
    # nu is told from its neighbours on the grid only roughly; 25 and more stand for the Gaussian.
    assert 2.0 <= fitted.dof <= 4.0 if dof == 3 else fitted.dof >= 25
    ratio = np.float64(log_det + norm.logpdf(z).sum(-1) - norm.logpdf(new).sum(-1))
    truth = float(student_t.total_correlation(np.float32(SCATTER), dof=dof))
    assert abs(ratio.mean() - truth) < 4 * scipy.stats.sem(ratio)
    for image in (own, z):
        image = np.asarray(image)
        np.testing.assert_allclose(np.corrcoef(image.T), np.eye(3), atol=0.08)
        assert scipy.stats.kstest((image**2).sum(axis=1), scipy.stats.chi2(3).cdf).pvalue > 1e-3
        np.testing.assert_allclose(scipy.stats.kurtosis(image), 0, atol=0.5)


def test_log_determinant_is_that_of_autodiff(x64):
    fitted, *_ = fit(np.float64(scores(student(300, 3.0))))
    points = np.random.default_rng(3).normal(size=(6, 3)) * 1.3

    def one(z):
        image, log_det = elliptical.forward(fitted, z[None])
        return image[0], log_det[0]

    jacobian, log_det = jax.jit(jax.vmap(jax.jacfwd(one, has_aux=True)))(points)
    np.testing.assert_allclose(log_det, np.linalg.slogdet(jacobian)[1], atol=1e-9)


def test_rows_left_out_are_as_far_as_new_rows():
    """The radius of a row in a scatter that it took part in is too small; the downdate must undo that."""
    rng = np.random.default_rng(0)
    x, new = rng.normal(size=(2, 120, 20))  # 20 features of 120 rows
    x = np.float32(x)
    scatter, weight = elliptical._scatter(x, jnp.float32(np.inf))
    whitening = np.asarray(elliptical._whitening(scatter))
    inside, outside = (np.sum((rows @ whitening.T) ** 2, axis=1) for rows in (x, np.float32(new)))
    own = elliptical._own_part(jnp.asarray(inside), weight, 0.0)
    square = inside / (1 - np.asarray(own))
    assert inside.mean() < 0.9 * outside.mean()
    np.testing.assert_allclose(square.mean(), outside.mean(), rtol=0.1)
    # Against the scatter computed again without the row.
    without = np.delete(x, 7, axis=0).astype(np.float64)
    np.testing.assert_allclose(square[7], x[7] @ np.linalg.solve(without.T @ without / 120, x[7]), rtol=1e-3)


def test_choice_is_that_of_the_likelihood_refitted_without_each_row():
    x = scores(student(40, 3.0))
    table, dof = (jnp.asarray(a, jnp.float32) for a in (elliptical._margin_tables()[-1], np.inf))
    got = np.asarray(elliptical._candidate_likelihoods(table, dof, x))
    y = np.float64(x)
    for share, value in zip(elliptical._SHRINKAGES, got, strict=True):
        terms = []
        for i in range(40):
            scatter = y.T @ y / 40
            shrunk = (1 - share) * (scatter - np.outer(y[i], y[i]) / 40) + share * np.diag(np.diag(scatter))
            terms.append(scipy.stats.multivariate_normal(np.zeros(3), shrunk).logpdf(y[i]))
        np.testing.assert_allclose(value, np.mean(terms), atol=1e-4)  # the Gaussian margin leaves scores as they are


def test_independent_features_shrink_the_scatter():
    x = np.random.default_rng(0).normal(size=(200, 3))
    assert fit(scores(x))[0].shrinkage >= 0.5
    strong = x @ np.linalg.cholesky(SCATTER).T
    assert fit(scores(strong))[0].shrinkage <= 0.2


@pytest.mark.fast
def test_tables_are_accurate(x64):
    z = np.linspace(-7.5, 7.5, 41)
    for table, dof in zip(elliptical._margin_tables(), elliptical._DOFS, strict=True):
        y, log_slope = elliptical._student_margin(jnp.asarray(table), jnp.asarray(z))
        law = scipy.stats.t(dof) if np.isfinite(dof) else scipy.stats.norm
        want = np.where(z < 0, law.ppf(scipy.stats.norm.cdf(z)), law.isf(scipy.stats.norm.sf(z)))
        np.testing.assert_allclose(y, want, rtol=1e-7, atol=1e-9)
        np.testing.assert_allclose(log_slope, scipy.stats.norm.logpdf(z) - law.logpdf(want), atol=1e-6)
    for dim in (1, 3, 100):
        value, log_slope = elliptical._hermite(jnp.asarray(elliptical._chi_table(dim)), jnp.asarray(z))
        law = scipy.stats.chi(dim)
        want = np.where(z < 0, law.ppf(scipy.stats.norm.cdf(z)), law.isf(scipy.stats.norm.sf(z)))
        np.testing.assert_allclose(np.exp(value), want, rtol=1e-6)
        slope = scipy.stats.norm.logpdf(z) - law.logpdf(want) - np.log(want)
        np.testing.assert_allclose(log_slope, slope, atol=1e-5)


def test_far_scores_and_gaussian_copula_value():
    fitted, *_ = fit(scores(student(300, 3.0)))
    far, log_det = forward(fitted, np.float32([[12, -12, 12], [0, 0, 0], [1e-20, 0, 0]]))
    assert np.isfinite(far).all() and np.isfinite(log_det).all()
    assert abs(gaussian.total_correlation(SCATTER) - 0.31) < 0.01  # what the second case of the first test has to find
