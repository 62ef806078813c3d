"""Every bijection: its inverse, its log-determinant against autodiff, its derivatives, and what it refuses."""

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
    """A layer away from where it begins, where some are the identity."""
    made = LAYERS[request.param](nnx.Rngs(0))
    graph, params = nnx.split(made)
    leaves, tree = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(1), len(leaves))
    moved = [leaf + 0.3 * jax.random.normal(key, leaf.shape) for leaf, key in zip(leaves, keys, strict=True)]
    return nnx.merge(graph, jax.tree.unflatten(tree, moved))


def samples(n=20):
    return jnp.asarray(np.random.default_rng(1).normal(size=(n, D)) * 1.5, jnp.float32)


def test_the_inverse_undoes_the_map(layer):
    x = samples()
    z, log_det = layer(x)
    assert z.shape == x.shape and log_det.shape == x.shape[:-1]
    np.testing.assert_allclose(layer.inverse(z), x, rtol=2e-4, atol=2e-4)


def test_the_log_determinant_is_that_of_the_jacobian(layer):
    x = samples(5)
    jacobian = jax.vmap(jax.jacfwd(lambda row: layer(row)[0]))(x)
    np.testing.assert_allclose(layer(x)[1], jnp.linalg.slogdet(jacobian)[1], rtol=1e-4, atol=1e-4)


def test_leading_axes_are_samples(layer):
    x = samples(12)
    z, log_det = layer(x)
    z_grid, log_det_grid = layer(x.reshape(3, 4, D))
    np.testing.assert_allclose(z_grid.reshape(-1, D), z, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(log_det_grid.reshape(-1), log_det, rtol=1e-5, atol=1e-5)


def test_parameters_and_samples_have_finite_slopes_far_out_too(layer):
    graph, params = nnx.split(layer)

    def loss(params, x):
        z, log_det = nnx.merge(graph, params)(x)
        return jnp.sum(jnp.square(z)) - jnp.sum(log_det)

    # Zeros, the middle, the edge of the splines, and outliers.
    x = jnp.concatenate([jnp.zeros((1, D)), samples(4), jnp.full((1, D), 5.0), jnp.full((1, D), -30.0)])
    gradients = jax.grad(loss, (0, 1))(params, x)
    leaves = jax.tree.leaves(gradients)
    assert all(np.isfinite(leaf).all() for leaf in leaves)
    assert sum(float(jnp.abs(leaf).sum()) for leaf in leaves) > 0


def test_it_runs_under_jit(layer):
    graph, params = nnx.split(layer)
    x = samples(7)
    z, log_det = jax.jit(lambda p, x: nnx.merge(graph, p, copy=True)(x))(params, x)
    np.testing.assert_allclose(z, layer(x)[0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(log_det, layer(x)[1], rtol=1e-4, atol=1e-5)


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
    z, _ = layer(x)
    np.testing.assert_array_equal(z[:, 1::2], x[:, 1::2])
    assert z[0, 2] == 7.0
