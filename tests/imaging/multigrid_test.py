import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gentoolkit.imaging import _multigrid, solvers


def system(shape, decades=4.0):
    rng = np.random.default_rng(0)
    h, w = shape
    diagonal = rng.uniform(0.5, 2.0, shape)
    down, right = (10.0 ** rng.uniform(-decades / 2, decades / 2, s) for s in ((h - 1, w), (h, w - 1)))
    return tuple(jnp.asarray(x) for x in (diagonal, down, right))


def dense(shape, function):
    basis = jnp.asarray(np.eye(shape[0] * shape[1]).reshape(-1, *shape))
    return np.asarray(jax.jit(jax.vmap(function))(basis)).reshape(len(basis), -1)


def operator(diagonal, down, right):
    h, w = diagonal.shape
    weights = jnp.stack([jnp.zeros((h, w)).at[:-1].set(down), jnp.zeros((h, w)).at[:, :-1].set(right)])
    return lambda u: diagonal * u + solvers.adjoint_differences(weights * solvers.differences(u))


@pytest.mark.parametrize("shape", [(6, 8), (7, 5), (1, 9), (2, 1)])
def test_the_coarse_system_is_the_galerkin_one(x64, shape):
    fine = system(shape)
    h, w = ((n + 1) // 2 for n in shape)
    coarse = tuple(
        function(*arguments)
        for function, arguments in (
            (_multigrid._merged, fine[:1]),
            (_multigrid._merged_links, (fine[1], 0)),
            (_multigrid._merged_links, (fine[2], 1)),
        )
    )
    assert [x.shape for x in coarse] == [(h, w), (h - 1, w), (h, w - 1)]
    spread = dense((h, w), lambda u: _multigrid._spread(u, shape))
    expected = spread @ dense(shape, operator(*fine)) @ spread.T
    np.testing.assert_allclose(dense((h, w), operator(*coarse)), expected, atol=1e-9 * np.abs(expected).max())


@pytest.mark.parametrize("shape", [(16, 16), (23, 17)])
def test_a_cycle_is_symmetric_positive_and_near_the_inverse(x64, shape):
    links = system(shape)
    matrix, cycle = (dense(shape, function) for function in (operator(*links), _multigrid.preconditioner(*links)))
    np.testing.assert_allclose(cycle, cycle.T, atol=1e-10 * np.abs(cycle).max())
    spectrum = np.linalg.eigvals(cycle @ matrix).real
    whole = np.linalg.eigvals(matrix / np.diag(matrix)[:, None]).real
    assert spectrum.min() > 0
    # How much faster conjugate gradients are than with the diagonal alone goes with the root of this ratio.
    assert spectrum.max() / spectrum.min() < 0.1 * whole.max() / whole.min()
