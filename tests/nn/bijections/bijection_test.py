"""Every bijection: its inverse, its log-determinant against autodiff, its derivatives, and what it refuses."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from gentoolkit.nn.bijections.affine import Affine
from gentoolkit.nn.bijections.bijection import Chain
from gentoolkit.nn.bijections.divisive_normalization import DivisiveNormalization
from gentoolkit.nn.bijections.householder import Householder
from gentoolkit.nn.bijections.mixture_marginal import MixtureMarginal
from gentoolkit.nn.bijections.spline_coupling import SplineCoupling

D = 3
DATA = np.random.default_rng(0).normal(size=(50, D)) * [1.0, 2.0, 0.5] + [0.0, 3.0, -1.0]


def chain(rngs):
    return Chain(
        [Affine(D, data=DATA), MixtureMarginal(D, rngs=rngs), Householder(D, rngs=rngs), DivisiveNormalization(D)]
    )


LAYERS = {
    "affine": lambda rngs: Affine(D, data=DATA),
    "mixture": lambda rngs: MixtureMarginal(D, num_components=4, rngs=rngs),
    "householder": lambda rngs: Householder(D, rngs=rngs),
    "divisive": lambda rngs: DivisiveNormalization(D),
    "coupling": lambda rngs: SplineCoupling(D, widths=(8,), num_bins=4, rngs=rngs),
    "coupling_odd": lambda rngs: SplineCoupling(D, widths=(8,), num_bins=4, odd=True, rngs=rngs),
    "chain": chain,
}


@pytest.fixture(scope="module", params=list(LAYERS))
def layer(request):
    """A layer away from where it begins (where some are the identity), and its compiled functions of [6, d]."""
    graph, params = nnx.split(LAYERS[request.param](nnx.Rngs(0)))
    rng = np.random.default_rng(1)
    params = jax.tree.map(lambda leaf: leaf + 0.3 * rng.normal(size=leaf.shape).astype(np.float32), params)

    def loss(params, x):
        z, log_det = nnx.merge(graph, params, copy=True)(x)
        return jnp.sum(jnp.square(z)) - jnp.sum(log_det)

    @jax.jit
    def everything(x):
        made = nnx.merge(graph, params, copy=True)
        z, log_det = made(x)
        jacobian = jax.vmap(jax.jacfwd(lambda row: made(row)[0]))(x)
        return z, log_det, made.inverse(z), jacobian, jax.grad(loss, (0, 1))(params, x)

    return types.SimpleNamespace(name=request.param, everything=everything, module=nnx.merge(graph, params))


def samples():
    return (np.random.default_rng(1).normal(size=(6, D)) * 1.5).astype(np.float32)


def test_the_inverse_undoes_the_map_and_the_log_determinant_is_that_of_the_jacobian(layer):
    x = samples()
    z, log_det, back, jacobian, _ = layer.everything(x)
    assert z.shape == x.shape and log_det.shape == x.shape[:-1]
    np.testing.assert_allclose(back, x, rtol=2e-4, atol=2e-4)
    np.testing.assert_allclose(log_det, np.linalg.slogdet(jacobian)[1], rtol=1e-4, atol=1e-4)


def test_parameters_and_samples_have_finite_slopes_far_out_too(layer):
    # Zeros, the middle, the edge of the splines, and outliers.
    x = np.concatenate([np.zeros((1, D)), samples()[:3], np.full((1, D), 5.0), np.full((1, D), -30.0)])
    leaves = jax.tree.leaves(layer.everything(x.astype(np.float32))[-1])
    assert all(np.isfinite(leaf).all() for leaf in leaves)
    assert sum(float(np.abs(leaf).sum()) for leaf in leaves) > 0


def test_leading_axes_are_samples_and_it_runs_without_jit(layer):
    if layer.name not in ("chain", "coupling"):
        return  # the chain holds all others; each operation compiled alone takes long
    x = samples()
    z, log_det = layer.module(jnp.asarray(x.reshape(2, 3, D)))
    expected = layer.everything(x)
    np.testing.assert_allclose(np.reshape(z, (-1, D)), expected[0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(np.reshape(log_det, -1), expected[1], rtol=1e-4, atol=1e-5)


@pytest.mark.fast
def test_wrong_features_are_refused_by_number():
    for make in LAYERS.values():
        made = make(nnx.Rngs(0))
        if not isinstance(made, Chain):
            with pytest.raises(ValueError, match=r"samples \[..., 3\], got shape \(2, 4\)"):
                made(jnp.zeros((2, 4)))


@pytest.mark.fast
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Affine(2, data=np.zeros((5, 3))), r"data must be \[n >= 2, 2\], got data.shape = \(5, 3\)"),
        (lambda: MixtureMarginal(2, num_components=0, rngs=nnx.Rngs(0)), "num_components must be >= 1"),
        (lambda: Householder(2, num_reflections=0, rngs=nnx.Rngs(0)), "num_reflections must be >= 1"),
        (lambda: DivisiveNormalization(2, coupling=0.0), "coupling > 0"),
        (lambda: SplineCoupling(1, rngs=nnx.Rngs(0)), "num_features and num_bins must be >= 2"),
    ],
)
def test_options_out_of_range_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_rotation_is_orthogonal():
    matrix = Householder(5, rngs=nnx.Rngs(0)).matrix()
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(5), atol=1e-6)
    assert np.abs(np.asarray(matrix) - np.eye(5)).max() > 0.1


def test_affine_begins_by_standardizing_its_data():
    z, _ = Affine(D, data=DATA)(jnp.asarray(DATA, jnp.float32))
    np.testing.assert_allclose(z.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(z.std(0), 1, rtol=1e-5)


@pytest.mark.fast
@pytest.mark.parametrize("scale", [1e-30, 30.0, 1e5, 1e14, 3e37])
def test_division_has_a_limit_far_out_and_no_overflow(scale):
    """Behind a division by large energies only the direction of a sample is left: z = x / sqrt(gamma x^2)."""
    layer = DivisiveNormalization(2, coupling=0.5)
    x = np.array([[1.0, -2.0], [3.0, 0.5]]) * scale

    @jax.jit
    def run(x):
        return *layer(x), jax.grad(lambda x: jnp.sum(layer(x)[0]))(x)

    z, log_det, slope = run(x.astype(np.float32))
    energy = 1.000001 + 0.5 * np.square(x).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(z, x / np.sqrt(energy), rtol=1e-5)
    assert np.isfinite(slope).all()
    assert np.isfinite(log_det).all()
    if scale < 1e15:  # with equal couplings |dz/dx| = beta / energy^(d / 2 + 1)
        np.testing.assert_allclose(log_det, np.log(1.000001) - 2 * np.log(energy[:, 0]), rtol=1e-4, atol=1e-5)


def test_what_division_cannot_reach_has_no_preimage():
    layer = DivisiveNormalization(2, coupling=1.0)
    reachable = layer(jnp.array([[100.0, 0.0]]))[0]
    assert np.isfinite(layer.inverse(0.99 * reachable)).all()
    assert np.isnan(layer.inverse(1.1 * reachable)).all()


def test_division_takes_the_dependence_out_of_a_student_t():
    """Squares of two features of a Student t rise together; behind a division by their energy they hardly do."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4000, 2)) / np.sqrt(rng.chisquare(3, size=(4000, 1)) / 3)
    z, _ = DivisiveNormalization(2)(jnp.asarray(x, jnp.float32))

    def rank_correlation(a):
        ranks = np.abs(np.asarray(a)).argsort(0).argsort(0)
        return np.corrcoef(ranks.T)[0, 1]

    assert rank_correlation(x) > 0.05  # 4000 pairs: a standard error of 0.016
    assert abs(rank_correlation(z)) < rank_correlation(x) / 2


def test_a_coupling_leaves_the_deciding_half_alone_and_what_lies_outside():
    layer = SplineCoupling(4, widths=(8,), bound=2.0, rngs=nnx.Rngs(0))
    x = jnp.array([[0.5, -0.3, 7.0, 1.0]])
    z, _ = jax.jit(lambda x: layer(x))(x)
    np.testing.assert_array_equal(z[:, 1::2], x[:, 1::2])
    assert z[0, 2] == 7.0
