"""Factorizations of many matrices, and solves: as one by one, with derivatives, and they end on two cores."""

import functools
import math
import os
import re
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gentoolkit import _lapack
from gentoolkit.imaging import _multigrid
from gentoolkit.nn.bijections.divisive_normalization import DivisiveNormalization

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

# Laws compared, six pairs at a time: decompositions and solves of which each would be shared out.
MANY_LAWS = """
import os
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
import jax, jax.numpy as jnp, numpy as np
from gentoolkit.distances import gaussian
x = np.random.default_rng(0).normal(size=(6, 20, 100, 100)).astype(np.float32)
x = x @ np.swapaxes(x, -1, -2) + np.eye(100, dtype=np.float32)
mean = np.zeros((20, 100), np.float32)
for compare in (gaussian.frechet, gaussian.kl_divergence):
    found = jax.jit(lambda x: [compare(mean, one, mean, one + 1) for one in x])(x)
    assert np.isfinite(jax.block_until_ready(found)).all()
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


SOLVES = {
    "lower": (
        _lapack.triangular_solve,
        functools.partial(jax.lax.linalg.triangular_solve, left_side=True, lower=True),
    ),
    "transposed": (
        functools.partial(_lapack.triangular_solve, transposed=True),
        functools.partial(jax.lax.linalg.triangular_solve, left_side=True, lower=True, transpose_a=True),
    ),
    "general": (_lapack.solve, jnp.linalg.solve),
}


def matrices(name):
    """What is factored, and the matrix of the equations."""
    lower = factors()
    turned = np.swapaxes(lower, -1, -2)
    return {"lower": (lower, lower), "transposed": (lower, turned), "general": (lower - turned, lower - turned)}[name]


@pytest.mark.fast
@pytest.mark.parametrize("name", SOLVES)
def test_many_solves_solve(x64, name):
    given, matrix = matrices(name)
    solve, _ = SOLVES[name]
    b = np.random.default_rng(1).normal(size=(*SHAPE[:2], 9))
    for got in (solve(jnp.asarray(given), jnp.asarray(b)), jax.jit(jax.vmap(solve))(given, b)):
        np.testing.assert_allclose(matrix @ got, b, atol=1e-10)
    np.testing.assert_allclose(matrix[3] @ jax.vmap(solve, in_axes=(None, 0))(given[3], b), b, atol=1e-10)
    np.testing.assert_allclose(matrix @ jax.vmap(solve, in_axes=(0, None))(given, b[2]), b[2][None] + 0 * b, atol=1e-10)


@pytest.mark.fast
@pytest.mark.parametrize("name", SOLVES)
def test_derivatives_of_solves_are_those_of_jax(x64, name):
    given = matrices(name)[0][:3]
    b, weights = np.random.default_rng(2).normal(size=(2, 3, SHAPE[1], 4))

    def derivatives(solve):
        loss = jax.vmap(lambda given, b, weights: jnp.sum(jnp.sin(solve(given, b)) * weights))
        first = jax.grad(lambda given, b: jnp.sum(loss(given, b, weights)), argnums=(0, 1))
        return *first(given, b), jax.jvp(lambda t: first(given * t, b)[0], (1.0,), (1.0,))[1]

    for got, expected in zip(*map(derivatives, SOLVES[name]), strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-10)


DECOMPOSITIONS = {
    "eigh": (_lapack.eigh, functools.partial(jnp.linalg.eigh, symmetrize_input=False)),
    "qr": (_lapack.qr, jnp.linalg.qr),
    "cholesky": (lambda x: (_lapack.cholesky(x, symmetrize=True),), lambda x: (jnp.linalg.cholesky(x),)),
    "nearest_orthogonal": (lambda x: (_lapack.nearest_orthogonal(x),), lambda x: (_polar(x),)),
}


def _polar(x):
    u, _, vt = jnp.linalg.svd(x, full_matrices=False)
    return u @ vt


@pytest.mark.fast
@pytest.mark.parametrize("name", DECOMPOSITIONS)
@pytest.mark.parametrize("shape", [(5, 9, 9), (1000, 3, 3)])
def test_decompositions_and_their_derivatives_are_those_of_jax(x64, name, shape):
    rng = np.random.default_rng(3)
    x, x_dot = rng.normal(size=(2, *shape))
    if name in ("eigh", "cholesky"):
        x, x_dot = x @ np.swapaxes(x, -1, -2) + np.eye(shape[-1]), x_dot + np.swapaxes(x_dot, -1, -2)
    ours, theirs = DECOMPOSITIONS[name]
    few = slice(0, 5)

    @jax.jit
    def compared(x, x_dot):
        bars = [jnp.cos(jnp.arange(leaf[few].size, dtype=x.dtype)).reshape(leaf[few].shape) for leaf in theirs(x)]
        answers = []
        for decompose in (ours, theirs):
            for each in (decompose, jax.vmap(decompose)):
                loss = lambda x, f=each: sum(jnp.vdot(a, bar) for a, bar in zip(f(x), bars, strict=True))  # noqa: E731
                slopes = tuple(jax.jvp(each, (x[few],), (x_dot[few],))[1]), jax.grad(loss)(x[few])
                answers.append((tuple(each(x)), *slopes))
        return answers

    *got, expected, _ = compared(x, x_dot)
    for one in got:
        for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(expected), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-8, rtol=1e-7)


@pytest.mark.fast
def test_a_decomposition_of_one_of_many_matrices_is_the_same_and_none_is_shared_out():
    x = np.random.default_rng(4).normal(size=(3, 7, 12, 10)).astype(np.float32)
    u, singular, vt = jax.jit(jax.vmap(_lapack.svd))(x)
    np.testing.assert_allclose((u * singular[..., None, :]) @ vt, x, atol=1e-5)
    assert most_at_a_time(jax.vmap(_lapack.svd), x) == 1


@pytest.mark.fast
def test_no_room_gives_many_systems_at_a_time():
    def preconditioned(diagonal, links):
        return _multigrid.preconditioner(diagonal, links[:-1], links[:, :-1])(diagonal)

    x = jnp.ones((21, 12, 12))
    assert most_at_a_time(DivisiveNormalization(12).inverse, x / 40) == 1
    assert most_at_a_time(jax.vmap(preconditioned), x, x) == 1
    assert most_at_a_time(jnp.linalg.solve, x, x) == 21


def most_at_a_time(function, *arguments):
    """How many matrices a call of LAPACK is given, at most."""
    calls = re.findall(
        r"custom_call @lapack_.*num_batch_dims = \"(\d+)\".*: \(tensor<([\dx]+)x\w+>",
        jax.jit(function).lower(*arguments).as_text(),
    )
    assert calls
    return max(math.prod(map(int, sizes.split("x")[: int(dims)])) for dims, sizes in calls)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the two cores are set by a call that only Linux has")
@pytest.mark.parametrize("program", [MANY_PROBLEMS, MANY_LAWS], ids=["problems", "laws"])
def test_many_problems_on_two_cores_come_to_an_end(program):
    # They hung in jaxlib 0.10.2; the whole takes some seconds.
    alone = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-c", program], check=True, timeout=180, env=alone)
