"""Points and values far from 0, as float64 or integers of the host: the same answers as for data around 0."""

import dataclasses
import functools

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


def at_once(make):
    """What `make()` returns, as one program: within `jit` too, data of the host are data of the host."""
    return jax.jit(make)()


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
    long = covariance.squared_exponential(1e9, 1.3)
    ours, expected = at_once(
        lambda: [
            posterior.mean(posterior.condition(model, points, y, noise=0.01), others)
            for model, points, others in ((long, times, later), (MODEL, x, new))
        ]
    )
    close(ours, expected, atol=1e-5)


@pytest.mark.fast
def test_a_constant_mean_is_taken_off_before_rounding():
    x, y, new = data()
    shift = 1e9 + 0.3

    def everything(y, mean):
        p = posterior.condition(MODEL, x, y, noise=0.01, mean=mean)
        value = evidence.log_marginal_likelihood(MODEL, x, y, noise=0.01, mean=mean)
        return p.weights, value, posterior.mean(p, new)

    (weights, value, mean), (expected, expected_value, expected_mean) = at_once(
        lambda: (everything(y + shift, shift), everything(y, 0.0))
    )
    # 1e9 + 0.3 has 7 digits behind the point in float64.
    close(weights, expected, atol=2e-4)
    close(value, expected_value, atol=2e-5)
    two = at_once(
        lambda: evidence.log_marginal_likelihood(
            MODEL, x, np.stack([y, y + shift], 1), noise=0.01, mean=np.array([0, shift])
        )
    )
    close(two, 2 * expected_value, atol=5e-5)
    close(mean, shift + np.asarray(expected_mean, np.float64), atol=64)


def test_everything_else_of_timestamps():
    x, y, new = data()

    def everything(x, new):
        sparsely = [
            posterior.mean(sparse.condition(MODEL, x, y, inducing=inducing, noise=0.01), new)
            for inducing in (new, np.arange(5))
        ]
        kept = sparse.condition(MODEL, x, y, inducing=np.arange(5), noise=0.01, method="subset")
        exact = [
            function(MODEL, x, y, noise=0.01) for function in (evidence.log_marginal_likelihood, evidence.leave_one_out)
        ]
        exact += [posterior.mean(kept, x[:5]), conjugate_gradients.pivoted_cholesky(MODEL, x, rank=4).factor]
        bound = evidence.elbo(MODEL, x, y, inducing=new, noise=0.01)
        return exact, sparsely, (bound, conjugate_gradients.solve(MODEL, x, y, noise=0.01, rank=20).value)

    late, here = at_once(lambda: (everything(x + SECONDS, new + SECONDS), everything(x, new)))
    for ours, expected, atol in zip(late, here, (2e-6, 1e-4, 1e-3), strict=True):
        jax.tree.map(functools.partial(close, atol=atol), ours, expected)
    few = at_once(lambda: posterior.mean(posterior.condition(MODEL, x[:5], y[:5], noise=0.01), x[:5]))
    close(late[0][2], few)


@pytest.mark.fast
def test_outputs_share_timestamps_but_keep_their_numbers():
    x, y, new = data()
    outputs, both = np.array([[1.0, 0.5], [0.5, 2.0]]), np.stack([y, -y], axis=1)
    model = coregionalization.coregionalized(MODEL, outputs)
    number = np.arange(20)[:, None] % 2

    def everything(x, new):
        p, points = coregionalization.condition(MODEL, x, both, outputs=outputs, noise=0.01), np.hstack([x, number])
        moments = coregionalization.mean(p, new), coregionalization.variance(p, new)
        return p.points, moments, model.gram(points, points)

    late, here = at_once(lambda: (everything(x + SECONDS, new + SECONDS), everything(x, new)))
    close(late[0][:, 0], x[:, 0] + SECONDS, atol=64)
    jax.tree.map(functools.partial(close, atol=1e-5), late[1], here[1])
    close(late[2], here[2])


@pytest.mark.fast
def test_covariances_of_timestamps():
    x, _, new = data()
    sum_of_parts = MODEL + covariance.on_features(MODEL, (0,)) * covariance.matern32([2.0], 0.5)
    late, here = at_once(
        lambda: [
            (sum_of_parts.gram(a, b), covariance.squared_distance(a, b))
            for a, b in ((x + SECONDS, new + SECONDS), (x, new))
        ]
    )
    close(late[0], here[0])
    close(late[1], here[1], atol=1e-5)


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
    x, new = x + 3.0, new + 3.0

    def everything():
        p = posterior.condition(model, x, y, noise=0.5)
        assert p.origin is None
        return posterior.mean(p, new), model.gram(x, x), model.gram(new, x)

    mean, gram, cross = (np.asarray(a, np.float64) for a in at_once(everything))
    # The rounding of a matrix with entries of up to 250 for noise of 0.5.
    close(mean, cross @ np.linalg.solve(gram + 0.5 * np.eye(20), y), atol=4e-4)


@pytest.mark.fast
def test_lists_are_arrays_or_named():
    x, y, new = data()

    def everything(x, y, new, noise, mean):
        return posterior.variance(posterior.condition(MODEL, x, y, noise=noise, mean=mean), new), MODEL.gram(x, new)

    lists, arrays = at_once(
        lambda: (
            everything(x.tolist(), y.tolist(), new.tolist(), [0.01] * 20, [0.1]),
            everything(x, y, new, 0.01, 0.1),
        )
    )
    jax.tree.map(close, lists, arrays)
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

    def everything():
        late = posterior.condition(MODEL, np.where(keep[:, None], x + SECONDS, SECONDS), y, noise=noise)
        asked = (new + SECONDS, np.array([[np.nan]]), np.array([[np.inf], [1e300]]))
        expected = posterior.mean(posterior.condition(MODEL, x[keep], y[keep], noise=0.01), new)
        return *(posterior.mean(late, points) for points in asked), expected

    of_new, of_nan, of_far, expected = at_once(everything)
    close(of_new, expected)
    assert np.isnan(of_nan).all()
    np.testing.assert_allclose(of_far, 0.0, atol=1e-6)
