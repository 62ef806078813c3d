"""Points and values far from 0, as float64 or integers of the host: the same answers as for data around 0."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gentoolkit.gaussian_process import (
    conjugate_gradients,
    coregionalization,
    covariance,
    evidence,
    posterior,
    sparse,
)

MODEL = covariance.squared_exponential(1.0, 1.3)
SECONDS = 1.7e9  # float32 would round them to 128 s


def data(n=20):
    # Whole 64ths: the sum with an offset is exact in float64.
    rng = np.random.default_rng(0)
    x = np.round(64 * rng.uniform(0, 8, (n, 1))) / 64
    return x, np.sin(x[:, 0]) + 0.1 * rng.normal(size=n), np.round(64 * rng.uniform(0, 8, (7, 1))) / 64


def close(ours, expected, atol=2e-6):
    np.testing.assert_allclose(ours, expected, atol=atol)


@pytest.mark.fast
def test_a_posterior_of_timestamps_is_that_of_their_differences():
    x, y, new = data()
    p = posterior.condition(MODEL, x, y, noise=0.01)
    expected = np.stack(posterior.mean_and_variance(p, new))
    late = posterior.condition(MODEL, x + SECONDS, y, noise=0.01)
    close(late.points[:, 0], x[:, 0] + SECONDS, atol=64)
    close(np.stack(posterior.mean_and_variance(late, new + SECONDS)), expected)
    close(posterior.covariance(late, new + SECONDS), posterior.covariance(p, new))
    close(posterior.mean(late, (new + SECONDS).tolist()), expected[0])
    key = jax.random.key(0)
    draws = [posterior.sample(key, a, b, num_features=32) for a, b in ((p, new), (late, new + SECONDS))]
    close(draws[1], draws[0], atol=2e-5)
    # A posterior that is traced has its origin with it.
    close(jax.jit(lambda p: posterior.mean(p, new + SECONDS))(late), expected[0])


@pytest.mark.fast
def test_nanoseconds_are_integers():
    x, y, new = data()
    start = 1_700_000_000_000_000_000
    times, later = (start + np.round(a * 1e9).astype(np.int64) for a in (x, new))
    expected = posterior.mean(posterior.condition(MODEL, x, y, noise=0.01), new)
    p = posterior.condition(covariance.squared_exponential(1e9, 1.3), times, y, noise=0.01)
    close(posterior.mean(p, later), expected, atol=1e-5)


@pytest.mark.fast
def test_a_constant_mean_is_taken_off_before_rounding():
    x, y, new = data()
    shift = 1e9 + 0.3
    expected = posterior.condition(MODEL, x, y, noise=0.01)
    p = posterior.condition(MODEL, x, y + shift, noise=0.01, mean=shift)
    # 1e9 + 0.3 has 7 digits behind the point in float64.
    close(p.weights, expected.weights, atol=2e-4)
    value = evidence.log_marginal_likelihood(MODEL, x, y, noise=0.01)
    close(evidence.log_marginal_likelihood(MODEL, x, y + shift, noise=0.01, mean=shift), value, atol=2e-5)
    two = evidence.log_marginal_likelihood(MODEL, x, np.stack([y, y + shift], 1), noise=0.01, mean=np.array([0, shift]))
    close(two, 2 * value, atol=5e-5)
    close(posterior.mean(p, new), shift + np.asarray(posterior.mean(expected, new), np.float64), atol=64)


@pytest.mark.fast
def test_everything_else_of_timestamps():
    x, y, new = data()
    late = x + SECONDS
    for function in (evidence.log_marginal_likelihood, evidence.leave_one_out):
        jax.tree.map(close, function(MODEL, late, y, noise=0.01), function(MODEL, x, y, noise=0.01))
    for inducing in (new, np.arange(5)):
        there = inducing + SECONDS if inducing.ndim == 2 else inducing
        a, b = (sparse.condition(MODEL, at, y, inducing=z, noise=0.01) for at, z in ((late, there), (x, inducing)))
        close(posterior.mean(a, new + SECONDS), posterior.mean(b, new), atol=1e-4)
    value = evidence.elbo(MODEL, x, y, inducing=new, noise=0.01)
    close(evidence.elbo(MODEL, late, y, inducing=new + SECONDS, noise=0.01), value, atol=1e-3)
    kept = sparse.condition(MODEL, late, y, inducing=np.arange(5), noise=0.01, method="subset")
    close(posterior.mean(kept, late[:5]), posterior.mean(posterior.condition(MODEL, x[:5], y[:5], noise=0.01), x[:5]))
    found = [conjugate_gradients.solve(MODEL, at, y, noise=0.01, rank=20).value for at in (late, x)]
    close(found[0], found[1], atol=1e-3)
    factors = [conjugate_gradients.pivoted_cholesky(MODEL, at, rank=4).factor for at in (late, x)]
    close(factors[0], factors[1])


@pytest.mark.fast
def test_outputs_share_timestamps_but_keep_their_numbers():
    x, y, new = data()
    outputs, both = np.array([[1.0, 0.5], [0.5, 2.0]]), np.stack([y, -y], axis=1)
    a, b = (coregionalization.condition(MODEL, at, both, outputs=outputs, noise=0.01) for at in (x + SECONDS, x))
    close(a.points[:, 0], x[:, 0] + SECONDS, atol=64)
    close(coregionalization.mean(a, new + SECONDS), coregionalization.mean(b, new), atol=1e-5)
    close(coregionalization.variance(a, new + SECONDS), coregionalization.variance(b, new), atol=1e-5)
    model = coregionalization.coregionalized(MODEL, outputs)
    number = np.arange(20)[:, None] % 2
    grams = [model.gram(points, points) for points in (np.hstack([x + SECONDS, number]), np.hstack([x, number]))]
    close(grams[0], grams[1])


@pytest.mark.fast
def test_covariances_of_timestamps():
    x, _, new = data()
    sum_of_parts = MODEL + covariance.on_features(MODEL, (0,)) * covariance.matern32([2.0], 0.5)
    close(sum_of_parts.gram(x + SECONDS, new + SECONDS), sum_of_parts.gram(x, new))
    close(covariance.squared_distance(x + SECONDS, new + SECONDS), covariance.squared_distance(x, new), atol=1e-5)


@covariance.register
@dataclasses.dataclass(frozen=True)
class _Line(covariance.Covariance):
    slope: jax.Array

    def _gram(self, x, z):
        return self.slope * (x @ z.T)

    def _diagonal(self, x):
        return self.slope * jnp.sum(x * x, axis=1)


@covariance.register
@dataclasses.dataclass(frozen=True)
class _Warped(covariance.SquaredExponential):
    def _gram(self, x, z):
        return super()._gram(x**2, z**2)


@pytest.mark.fast
@pytest.mark.parametrize("model", [_Line(2.0), _Warped(1.0, 1.0), MODEL + _Line(1.0)])
def test_a_covariance_that_knows_the_origin_keeps_it(model):
    x, y, new = data()
    p = posterior.condition(model, x + 3.0, y, noise=0.5)
    assert p.origin is None
    gram = np.asarray(model.gram(x + 3.0, x + 3.0), np.float64)
    cross = np.asarray(model.gram(new + 3.0, x + 3.0), np.float64)
    # The rounding of a matrix with entries of up to 250 for noise of 0.5.
    close(posterior.mean(p, new + 3.0), cross @ np.linalg.solve(gram + 0.5 * np.eye(20), y), atol=4e-4)


@pytest.mark.fast
def test_lists_are_arrays_or_named():
    x, y, new = data()
    p = posterior.condition(MODEL, x.tolist(), y.tolist(), noise=[0.01] * 20, mean=[0.1])
    expected = posterior.condition(MODEL, x, y, noise=0.01, mean=0.1)
    close(posterior.variance(p, new.tolist()), posterior.variance(expected, new))
    close(MODEL.gram(x.tolist(), new.tolist()), MODEL.gram(x, new))
    for call, error, told in (
        (lambda: posterior.condition(MODEL, [[0.0], [1.0, 2.0]], [1.0, 2.0], noise=0.1), ValueError, "x must be"),
        (lambda: posterior.condition(MODEL, [[0.0], [1.0]], ["a", "b"], noise=0.1), TypeError, "y must be"),
        (lambda: MODEL.gram([["a"]], [[0.0]]), TypeError, "x must be"),
        (lambda: evidence.elbo(MODEL, x, y, inducing=[[None]], noise=0.1), TypeError, "inducing must be"),
    ):
        with pytest.raises(error, match=told):
            call()


@pytest.mark.fast
def test_what_is_not_finite_stays_so_and_moves_nothing_else():
    x, y, new = data()
    x[3], y[3] = np.inf, np.nan
    noise = np.where(np.arange(20) == 3, np.inf, 0.01)
    keep = np.arange(20) != 3
    late = posterior.condition(MODEL, np.where(keep[:, None], x + SECONDS, SECONDS), y, noise=noise)
    expected = posterior.mean(posterior.condition(MODEL, x[keep], y[keep], noise=0.01), new)
    close(posterior.mean(late, new + SECONDS), expected)
    assert np.isnan(posterior.mean(late, np.array([[np.nan]]))).all()
    np.testing.assert_allclose(posterior.mean(late, np.array([[np.inf], [1e300]])), 0.0, atol=1e-6)
