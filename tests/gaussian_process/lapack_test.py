"""Factors and solves of many matrices: the same as one by one, with derivatives, and an end to them on two cores."""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gentoolkit.gaussian_process import _lapack

# 40 matrices of 30 rows are more than jaxlib does without sharing out, one is less.
SHAPE = (40, 30, 30)

# The evidence of 64 problems and its slope: solves that do not wait for one another.
MANY_PROBLEMS = """
import os
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
import jax, jax.numpy as jnp, numpy as np
from gentoolkit.gaussian_process import covariance, evidence
x = np.random.default_rng(0).normal(size=(64, 60, 9)).astype(np.float32)
def loss(theta, x):
    kernel = covariance.squared_exponential(theta[0], theta[1])
    return evidence.log_marginal_likelihood(kernel, x, x[:, 0], noise=theta[2])
slope = jax.jit(jax.vmap(jax.grad(loss), in_axes=(None, 0)))
for _ in range(30):
    found = jax.block_until_ready(slope(jnp.array([1.0, 1.0, 0.1]), x))
assert np.isfinite(found).all()
"""


def factors():
    rng = np.random.default_rng(0)
    return np.tril(rng.normal(size=SHAPE)) / SHAPE[-1] + np.eye(SHAPE[-1])


@pytest.mark.fast
def test_many_factors_are_those_of_each(x64):
    lower = factors()
    matrices = lower @ np.swapaxes(lower, -1, -2)
    for got in (_lapack.cholesky(jnp.asarray(matrices)), jax.jit(jax.vmap(_lapack.cholesky))(matrices)):
        np.testing.assert_allclose(got @ np.swapaxes(got, -1, -2), matrices, rtol=1e-12, atol=1e-12)
    broken = matrices.copy()
    broken[7] *= -1
    failed = np.isnan(jax.vmap(_lapack.cholesky)(broken)).any(axis=(-2, -1))
    np.testing.assert_array_equal(failed, np.arange(SHAPE[0]) == 7)


@pytest.mark.fast
@pytest.mark.parametrize("transposed", [False, True])
def test_many_solves_solve(x64, transposed):
    lower = factors()
    matrix = np.swapaxes(lower, -1, -2) if transposed else lower
    b = np.random.default_rng(1).normal(size=(*SHAPE[:2], 9))

    def solve(lower, b):
        return _lapack.triangular_solve(lower, b, transposed=transposed)

    for got in (solve(jnp.asarray(lower), jnp.asarray(b)), jax.jit(jax.vmap(solve))(lower, b)):
        np.testing.assert_allclose(matrix @ got, b, atol=1e-12)
    np.testing.assert_allclose(matrix[3] @ jax.vmap(solve, in_axes=(None, 0))(lower[3], b), b, atol=1e-12)
    np.testing.assert_allclose(matrix @ jax.vmap(solve, in_axes=(0, None))(lower, b[2]), b[2][None] + 0 * b, atol=1e-12)


@pytest.mark.fast
@pytest.mark.parametrize("transposed", [False, True])
def test_derivatives_of_solves_are_those_of_jax(x64, transposed):
    lower = factors()[:3]
    b, weights = np.random.default_rng(2).normal(size=(2, 3, SHAPE[1], 4))

    def ours(lower, b):
        return _lapack.triangular_solve(lower, b, transposed=transposed)

    def theirs(lower, b):
        return jax.lax.linalg.triangular_solve(lower, b, left_side=True, lower=True, transpose_a=transposed)

    def derivatives(solve):
        loss = jax.vmap(lambda lower, b, weights: jnp.sum(jnp.sin(solve(lower, b)) * weights))
        first = jax.grad(lambda lower, b: jnp.sum(loss(lower, b, weights)), argnums=(0, 1))
        return *first(lower, b), jax.jvp(lambda t: first(lower * t, b)[0], (1.0,), (1.0,))[1]

    for got, expected in zip(derivatives(ours), derivatives(theirs), strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-10)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the two cores are set by a call that only Linux has")
def test_many_problems_on_two_cores_come_to_an_end():
    # They hung in jaxlib 0.10.2; the whole takes some seconds.
    subprocess.run([sys.executable, "-c", MANY_PROBLEMS], check=True, timeout=180)
