"""What no unit and no origin may change, in value and gradient, and what follows the unit; lists as inputs."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gentoolkit.distances import (
    cramer_wold,
    directions,
    gaussian,
    mmd,
    normality,
    products,
    sliced,
    sorting,
    two_sample,
)
from gentoolkit.distances.normality import tails

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 3)).astype(np.float32)
Z = (0.5 + 1.5 * RNG.exponential(size=(30, 3))).astype(np.float32)
V = np.asarray(directions.orthogonal(jax.random.key(0), 3, 3))
ROWS = X[:, 0], Z[:, 1]
UNITS = (2.0**-100, 2.0**100)  # 8e-31 and 1e30, exactly
SQUARE_UNITS = (2.0**-55, 2.0**55)  # their squares, and a factor of 10,000 to each side, fit float32


def _laws(x, z):
    return *gaussian.moments(x), *gaussian.moments(z)


def _affine_mardia(x, z):
    found = gaussian.mardia(jnp.concatenate([x, z], axis=-2) if isinstance(x, jax.Array) else x, affine_invariant=True)
    return found.skewness + found.kurtosis + found.skewness_p_value


def _mmd(kernel, x, z, u):
    return mmd.squared(x, z, kernel(u))


# name: (function of two samples and of the unit, samples, power of the unit that the value follows, units)
QUANTITIES = {
    "energy": (lambda y, w, u: two_sample.energy(y, w), ROWS, 1, UNITS),
    "wasserstein 1": (lambda y, w, u: two_sample.wasserstein(y, w, order=1), ROWS, 1, UNITS),
    "wasserstein 2": (lambda y, w, u: two_sample.wasserstein(y, w), ROWS, 2, SQUARE_UNITS),
    "wasserstein 2, equal sizes": (lambda y, w, u: two_sample.wasserstein(y[:30], w), ROWS, 2, SQUARE_UNITS),
    "cramer_von_mises": (lambda y, w, u: two_sample.cramer_von_mises(y, w), ROWS, 0, UNITS),
    "kolmogorov_smirnov": (lambda y, w, u: two_sample.kolmogorov_smirnov(y, w), ROWS, 0, UNITS),
    "shapiro_francia": (lambda y, w, u: normality.shapiro_francia(w), ROWS, 0, UNITS),
    "affine mardia": (lambda x, z, u: _affine_mardia(x, z), (X, Z), 0, UNITS),
    "frechet": (lambda x, z, u: gaussian.frechet(*_laws(x, z)), (X, Z), 2, SQUARE_UNITS),
    "kl_divergence": (lambda x, z, u: gaussian.kl_divergence(*_laws(x, z)), (X, Z), 0, SQUARE_UNITS),
    "covariance": (lambda x, z, u: jnp.sum(gaussian.moments(z).cov), (X, Z), 2, SQUARE_UNITS),
    "median_bandwidth": (lambda x, z, u: mmd.median_bandwidth(x, z), (X, Z), 1, UNITS),
    "cramer_wold.between": (lambda x, z, u: cramer_wold.between(x, z, bandwidth=0.3 * u**2), (X, Z), -1, UNITS),
    "mmd gaussian": (functools.partial(_mmd, lambda u: mmd.gaussian([0.7 * u, 2.0 * u])), (X, Z), 0, UNITS),
    "mmd laplacian": (functools.partial(_mmd, lambda u: mmd.laplacian(0.7 * u)), (X, Z), 0, UNITS),
    "mmd imq": (functools.partial(_mmd, lambda u: mmd.inverse_multiquadric([u**2, 4 * u**2])), (X, Z), 0, UNITS),
    "mmd rq": (functools.partial(_mmd, lambda u: mmd.rational_quadratic(0.7 * u, 1.5)), (X, Z), 0, UNITS),
    "mmd energy": (functools.partial(_mmd, lambda u: mmd.energy()), (X, Z), 1, UNITS),
    "mmd mixture of energies": (
        functools.partial(_mmd, lambda u: mmd.mixture(mmd.energy(), mmd.energy())),
        (X, Z),
        1,
        UNITS,
    ),
    "mmd mixture": (
        functools.partial(_mmd, lambda u: mmd.mixture(mmd.gaussian(u), mmd.energy(), weights=[1.0, 1 / u])),
        (X, Z),
        0,
        UNITS,
    ),
    "sliced": (lambda x, z, u: sliced.distance(two_sample.energy, x, z, directions=V), (X, Z), 1, UNITS),
}
ON_HOST = {"cramer_wold.between", "mmd imq"}  # whose parameter is in squared units, which float64 holds
STEPS = {"cramer_von_mises", "kolmogorov_smirnov", "median_bandwidth"}  # gradient zero by nature
ALL = pytest.mark.parametrize("name", list(QUANTITIES))


@ALL
def test_value_and_gradient_follow_the_unit(name):
    function, (a, b), power, units = QUANTITIES[name]
    evaluate = jax.jit(jax.value_and_grad(function, argnums=(0, 1)), static_argnums=2 if name in ON_HOST else ())

    def at(unit):
        return evaluate(jnp.asarray(a * np.float32(unit)), jnp.asarray(b * np.float32(unit)), unit)

    value, gradients = at(1.0)
    assert value != 0
    for unit in units:
        found, found_gradients = at(unit)
        np.testing.assert_allclose(np.float64(found) / unit**power, value, rtol=1e-5, err_msg=str(unit))
        if abs(np.log2(unit) * (power - 1)) > 120:
            continue  # a gradient that does not fit float32
        for scaled, plain in zip(found_gradients, gradients, strict=True):
            largest = np.abs(plain).max()
            assert largest > 0 or name in STEPS or not np.any(scaled)
            np.testing.assert_allclose(
                np.float64(scaled) / unit ** (power - 1), plain, rtol=1e-3, atol=1e-5 * largest, err_msg=str(unit)
            )


# Multiples of 1e9 / 2^20, so that moved samples are the same samples to the last bit of float64.
FAR = 1.7e9
FINE = 2.0**-20


# Kernels lose the origin in one place; two of them stand for all.
@pytest.mark.parametrize("name", [name for name in QUANTITIES if name[:3] != "mmd" or name in ("mmd rq", "mmd energy")])
def test_float64_samples_far_from_zero_are_those_next_to_it(name):
    function, samples, _, _ = QUANTITIES[name]
    near = [np.round(np.float64(sample) / FINE) * FINE for sample in samples]
    far = [sample + FAR for sample in near]

    def evaluate():
        return [function(*given, 1.0) for given in (near, far)]

    # Data of the host are data of the host within jit too, where all is one program; but there a mean is of float32.
    here, there = evaluate() if name in ("frechet", "kl_divergence") else jax.jit(evaluate)()
    np.testing.assert_allclose(there, here, rtol=1e-5)


def test_one_sample_far_away_in_float64_the_other_in_float32_with_a_gradient():
    y, w = (np.round(np.float64(sample) * 2.0**13) / 2.0**13 for sample in ROWS)
    far = np.float32(2.0**10)  # float32 holds such numbers there
    y32 = jnp.asarray(y + far, jnp.float32)
    gradient = jax.grad(lambda y: two_sample.energy(y, w + 2.0**-14 + np.float64(far)))(y32)
    np.testing.assert_allclose(
        gradient, jax.grad(lambda y: two_sample.energy(y, w + 2.0**-14))(jnp.float32(y)), rtol=1e-5
    )


@pytest.mark.fast
def test_moments_of_far_float64_samples():
    x = np.round(np.float64(X) / FINE) * FINE
    mean, cov = gaussian.moments(x + FAR)
    np.testing.assert_allclose(mean - FAR, x.mean(0), atol=3e-7)
    assert mean.dtype == np.float64
    np.testing.assert_allclose(cov, np.cov(x.T), rtol=1e-5)
    np.testing.assert_allclose(jax.jit(lambda: gaussian.moments(x + 100.0).mean)(), x.mean(0) + 100.0, rtol=1e-6)


def test_divergence_of_float64_laws_whose_variances_float32_does_not_hold():
    mean, cov = np.ones(2), np.array([[2.0, 0.5], [0.5, 1.0]])
    here = gaussian.kl_divergence(mean, cov, 2 * mean, np.eye(2))
    for unit in (np.array([1e-30, 1e30]), np.array([1e30, 1e25])):
        square = np.outer(unit, unit)
        there = gaussian.kl_divergence(mean * unit, cov * square, 2 * mean * unit, np.eye(2) * square)
        np.testing.assert_allclose(there, here, rtol=1e-6)


@pytest.mark.fast
def test_ranks_of_timestamps():
    y = FAR + np.random.default_rng(1).permutation(50) * 1e-3
    np.testing.assert_array_equal(sorting.ranks(y), np.argsort(np.argsort(y)))


def test_the_worst_slice_does_not_depend_on_the_unit():
    x = X.copy()
    x[:, 0] *= 3
    search = jax.jit(functools.partial(sliced.maximal, jax.random.key(0), two_sample.wasserstein, num_steps=20))
    here = search(jnp.asarray(x), jnp.asarray(Z))
    for unit in UNITS:
        there = search(jnp.asarray(x * np.float32(unit)), jnp.asarray(Z * np.float32(unit)))
        np.testing.assert_allclose(there.direction, here.direction, atol=1e-5)


@pytest.mark.parametrize(
    "kernel",
    [mmd.gaussian(1.0), mmd.laplacian(0.1), mmd.inverse_multiquadric(1.0)],
    ids=["gaussian", "laplacian", "imq"],
)
def test_one_far_sample_leaves_a_kernel_of_the_others(kernel):
    evaluate = jax.jit(jax.value_and_grad(lambda x: mmd.squared(x, jnp.asarray(Z), kernel)))
    value, gradient = evaluate(jnp.asarray(X).at[0].set(1e4))
    for far in (1e20, 1e38):
        there, its_gradient = evaluate(jnp.asarray(X).at[0].set(far))
        np.testing.assert_allclose(there, value, rtol=1e-5)
        np.testing.assert_allclose(its_gradient, gradient, rtol=1e-5, atol=1e-7)


def test_many_tiles_lose_nothing():
    # Half a million tiles whose sums are added one after the other: to one float32 number that is 1e-3 off.
    x = jnp.zeros((2048, 1))
    value = cramer_wold.to_normal(x, bandwidth=1.0, block_size=2)
    np.testing.assert_allclose(value, cramer_wold.to_normal(x, bandwidth=1.0, block_size=2048), rtol=1e-6)


OF_ONE_ROW = [
    *(getattr(normality, name) for name in ("wasserstein", "cramer_wold", "cramer_von_mises", "kolmogorov_smirnov")),
    *(getattr(normality, name) for name in ("anderson_darling", "epps_pulley", "shapiro_francia")),
    *(getattr(tails, name) for name in ("tail", "density", "hazard", "log_tail")),
    sorting.sort,
    sorting.ranks,
    functools.partial(normality.p_value, normality.kolmogorov_smirnov, n=20),
    mmd.gaussian,
    mmd.inverse_multiquadric,
    mmd.laplacian,
]
OF_ONE_SAMPLE = [
    gaussian.mardia,
    gaussian.moments,
    cramer_wold.to_normal,
    lambda x: sliced.project(x, V.tolist()),
    lambda x: sliced.distance(normality.wasserstein, x, directions=V.tolist()),
    lambda x: sliced.maximal(jax.random.key(0), normality.wasserstein, x, num_steps=1),
    lambda x: gaussian.frechet(x[0], np.eye(3).tolist(), x[1], np.eye(3).tolist()),
    lambda x: gaussian.kl_divergence(x[0], np.eye(3).tolist(), x[1], np.eye(3).tolist()),
    lambda x: products.matmul(x, products.transpose(x)),
]


@pytest.mark.parametrize("function", OF_ONE_ROW + OF_ONE_SAMPLE)
def test_a_list_is_an_array(function):
    array = np.float64(np.abs(ROWS[0][:20]) / 4) if function in OF_ONE_ROW else np.float64(X[:8])
    listed, plain = (jax.tree.leaves(found) for found in jax.jit(lambda: (function(array.tolist()), function(array)))())
    assert len(listed) == len(plain) > 0
    for one, other in zip(listed, plain, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.fast
def test_a_list_of_jax_arrays_is_one_under_jit():
    rows = [jnp.asarray(row) for row in X[:4]]
    value = jax.jit(lambda *rows: gaussian.moments(list(rows)).cov)(*rows)
    np.testing.assert_allclose(value, gaussian.moments(X[:4]).cov, rtol=1e-5)


def test_frechet_and_divergence_over_all_variances_that_float32_holds():
    rng = np.random.default_rng(3)
    a, b = (np.float32(root @ root.T + np.eye(3)) for root in rng.normal(size=(2, 3, 3)))
    mean = np.float32([1.0, 2.0, 3.0])
    evaluate = jax.jit(jax.value_and_grad(gaussian.frechet, argnums=(0, 1, 3)))
    divergence = jax.jit(gaussian.kl_divergence)
    value, gradients = evaluate(mean, a, 2 * mean, b)
    for root in (2.0**-60, 2.0**58):
        law = [np.float32(root) * mean, np.float32(root**2) * a, np.float32(2 * root) * mean, np.float32(root**2) * b]
        there, its_gradients = evaluate(*law)
        np.testing.assert_allclose(float(there) / root**2, value, rtol=1e-5)
        for one, other, power in zip(its_gradients, gradients, (1, 0, 0), strict=True):
            np.testing.assert_allclose(np.float64(one) / root**power, other, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(divergence(*law), divergence(mean, a, 2 * mean, b), rtol=1e-5)


@pytest.mark.fast
def test_raw_skewness_beyond_float32_is_infinite():
    found = gaussian.mardia(X * np.float32(1e30))
    assert found.skewness == np.inf and found.skewness_p_value == 0
