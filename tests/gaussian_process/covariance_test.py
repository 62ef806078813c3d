import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sklearn.gaussian_process.kernels as reference

from gentoolkit.gaussian_process import coregionalization, covariance

ARD = np.array([0.8, 1.5, 0.6])
RATIONAL = functools.partial(covariance.rational_quadratic, alpha=0.7)
CASES = {
    "squared_exponential": (covariance.squared_exponential, reference.RBF),
    "matern32": (covariance.matern32, functools.partial(reference.Matern, nu=1.5)),
    "matern52": (covariance.matern52, functools.partial(reference.Matern, nu=2.5)),
    "rational_quadratic": (RATIONAL, functools.partial(reference.RationalQuadratic, alpha=0.7)),
}


def draw(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def combined():
    smooth = covariance.squared_exponential([0.9, 1.1], 0.7)
    rough = covariance.matern32(1.3, 1.2)
    return covariance.on_features(smooth, (0, 2)) * covariance.matern52(2.0, 1.0) + rough


ALL = {name: family(0.9, 1.3) for name, (family, _) in CASES.items()} | {"combined": combined()}


# Compiled whole: untraced, each operation is a program of its own. Tests of widths and of errors go without.
gram_of = jax.jit(lambda model, x, z: model.gram(x, z))
diagonal_of = jax.jit(lambda model, x: model.diagonal(x))


@pytest.mark.fast
@pytest.mark.parametrize("name", CASES)
def test_equals_scikit_learn(x64, name):
    family, profile = CASES[name]
    x, z = draw(0, 9, 3), draw(1, 7, 3)
    # scikit-learn has no rational quadratic with one lengthscale for each feature.
    for lengthscale in (0.8,) if name == "rational_quadratic" else (0.8, ARD):
        ours = family(lengthscale, 1.7)
        np.testing.assert_allclose(gram_of(ours, x, z), 1.7 * profile(length_scale=lengthscale)(x, z), rtol=1e-12)
        np.testing.assert_allclose(diagonal_of(ours, x), np.full(9, 1.7), rtol=1e-12)


@pytest.mark.fast
@pytest.mark.parametrize("name", ALL)
def test_is_symmetric_positive_and_shift_invariant(x64, name):
    x = draw(2, 12, 3)
    gram = np.asarray(gram_of(ALL[name], x, x))
    np.testing.assert_allclose(gram, gram.T, atol=1e-15)
    assert np.linalg.eigvalsh(gram).min() >= -1e-12
    np.testing.assert_allclose(np.diag(gram), diagonal_of(ALL[name], x), rtol=1e-12)
    np.testing.assert_allclose(gram_of(ALL[name], x + 5.0, x + 5.0), gram, atol=1e-12)


@pytest.mark.fast
def test_sums_and_products_are_those_of_the_matrices(x64):
    x, z = draw(3, 5, 3), draw(4, 6, 3)
    smooth = gram_of(covariance.squared_exponential([0.9, 1.1], 0.7), x[:, [0, 2]], z[:, [0, 2]])
    rest = [gram_of(one, x, z) for one in (covariance.matern52(2.0, 1.0), covariance.matern32(1.3, 1.2))]
    np.testing.assert_allclose(gram_of(combined(), x, z), smooth * rest[0] + rest[1], rtol=1e-13)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("dim", [3, 20])
def test_gradients_are_those_of_finite_differences(x64, name, dim):
    model = ALL[name]
    x, z = draw(5, 4, dim), draw(6, 3, dim)
    weights = draw(7, 4, 3)
    leaves, tree = jax.tree.flatten(model)

    def total(leaves, x):
        return jnp.sum(jax.tree.unflatten(tree, leaves).gram(x, jnp.asarray(z)) * weights)

    both = jax.jit(jax.value_and_grad(total, argnums=(0, 1)))  # one program for all
    leaves = [jnp.asarray(leaf) for leaf in leaves]

    def loss(leaves, x):
        return both(leaves, jnp.asarray(x))[0]

    of_leaves, of_x = both(leaves, jnp.asarray(x))[1]
    step = 1e-6
    for place, leaf in enumerate(leaves):
        ways = [[*leaves[:place], leaf + sign * step, *leaves[place + 1 :]] for sign in (1.0, -1.0)]
        expected = (loss(ways[0], x) - loss(ways[1], x)) / (2 * step)
        np.testing.assert_allclose(np.sum(of_leaves[place]), expected, rtol=1e-6, atol=1e-8)
    bump = np.zeros_like(x)
    bump[1, 2] = step
    expected = (loss(leaves, x + bump) - loss(leaves, x - bump)) / (2 * step)
    np.testing.assert_allclose(of_x[1, 2], expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", ALL)
def test_the_gradient_is_finite_where_points_coincide(name):
    x = jnp.asarray(draw(8, 4, 3), jnp.float32).at[1].set(0.0).at[2].set(0.0)

    def loss(model, x):
        return jnp.sum(model.gram(x, x) * jnp.arange(16.0).reshape(4, 4))

    gradient = jax.jit(jax.grad(loss, argnums=(0, 1)))(ALL[name], x)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


@pytest.mark.fast
@pytest.mark.parametrize("name", ALL)
def test_the_diagonal_survives_compilation_beside_a_reduction(x64, name):
    x = draw(13, 8, 3)
    _, gram = jax.jit(lambda x: (jnp.isfinite(ALL[name].gram(x, x)).all(), ALL[name].gram(x, x)))(x)
    np.testing.assert_allclose(np.diag(gram), diagonal_of(ALL[name], x), rtol=1e-12)


@pytest.mark.fast
def test_close_points_far_from_the_origin_keep_their_distance_in_float32():
    x = jnp.asarray([[1000.0, 0.0], [1000.001, 0.0]], jnp.float32)
    exact = (np.float64(np.float32(1000.001)) - 1000.0) ** 2
    np.testing.assert_allclose(covariance.squared_distance(x, x)[0, 1], exact, rtol=1e-6)
    many = 30.0 + draw(9, 50, 40).astype(np.float32)
    exact = ((many[:, None].astype(np.float64) - many[None]) ** 2).sum(-1)
    # Beyond 16 features: eps times the squared diameter (about 160 here) after centring.
    np.testing.assert_allclose(covariance.squared_distance(many, many), exact, atol=1e-4)


@pytest.mark.parametrize("name", ALL)
def test_the_spectrum_gives_the_covariance_back(x64, name):
    x = 0.6 * draw(10, 6, 3)
    frequencies, power = ALL[name].spectrum(jax.random.key(0), 200_000, 3)
    waves = np.cos(np.einsum("fd,ijd->fij", frequencies, x[:, None] - x[None]))
    # Monte-Carlo error of 200,000 waves: 5 sigma of at most variance / sqrt(200,000), twice for a product of a sum.
    bound = 5 * float(diagonal_of(ALL[name], x).max()) * 200_000**-0.5 * 2
    np.testing.assert_allclose(np.einsum("f,fij->ij", power, waves), gram_of(ALL[name], x, x), atol=bound)


@pytest.mark.fast
def test_the_spectrum_of_a_product_of_sums_pairs_at_random(x64):
    slow, fast = covariance.squared_exponential(3.0, 1.0), covariance.squared_exponential(0.3, 1.0)
    model = (slow + fast) * (slow + fast)
    x = np.linspace(0, 2, 5)[:, None]
    frequencies, power = model.spectrum(jax.random.key(1), 200_000, 1)
    waves = np.cos(np.einsum("fd,ijd->fij", frequencies, x[:, None] - x[None]))
    np.testing.assert_allclose(np.einsum("f,fij->ij", power, waves), model.gram(x, x), atol=0.05)


@pytest.mark.parametrize("dim", [3, 20])
def test_covariances_from_one_point_are_a_row_of_the_matrix(x64, dim):
    from_one = jax.jit(lambda model, x, z: jax.vmap(model._from_one(x))(z))
    x, z = draw(0, 7, dim), draw(1, 5, dim)
    one = covariance.squared_exponential(0.7, 1.3)
    every = covariance.rational_quadratic(np.linspace(0.5, 2.0, dim), 0.4, alpha=1.5)
    model = (one + every) * covariance.on_features(covariance.matern52(0.6, 2.0), (2, 0))
    np.testing.assert_allclose(from_one(model, x, z), gram_of(model, z, x), rtol=1e-12)
    model = coregionalization.coregionalized(model, np.array([[2.0, 0.5], [0.5, 1.0]]))
    x, z = (np.column_stack([points, np.arange(len(points)) % 2]) for points in (x, z))
    np.testing.assert_allclose(from_one(model, x, z), gram_of(model, z, x), rtol=1e-12)


@pytest.mark.fast
def test_hyper_parameters_batch(x64):
    x = draw(11, 5, 2)
    scales = jnp.asarray([0.5, 1.0, 2.0])
    batched = jax.jit(jax.vmap(lambda scale: covariance.matern52(scale, 1.5).gram(x, x)))(scales)
    loop = jnp.stack([gram_of(covariance.matern52(scale, 1.5), x, x) for scale in scales])
    np.testing.assert_allclose(batched, loop, rtol=1e-12)


@pytest.mark.fast
def test_widths():
    x = draw(12, 4, 2)
    for given, result in ((jnp.bfloat16, jnp.float32), (jnp.float32, jnp.float32), (jnp.int32, jnp.float32)):
        points = jax.ShapeDtypeStruct(x.shape, given)
        assert jax.eval_shape(covariance.matern32(1.0, 1.0).gram, points, points).dtype == result


@pytest.mark.fast
@pytest.mark.parametrize("family", [covariance.squared_exponential, covariance.matern32, RATIONAL])
def test_bad_hyper_parameters_are_refused_or_nan(family):
    for lengthscale, variance, told in ((-1.0, 1.0, "lengthscale"), ([1.0, 0.0], 1.0, "lengthscale"), (1, -2, "vari")):
        with pytest.raises(ValueError, match=told):
            family(lengthscale, variance)
    x = jnp.ones((2, 2))
    assert np.isnan(jax.jit(lambda scale: family(scale, 1.0).gram(x, x))(-1.0)).all()
    assert np.isnan(jax.jit(lambda scale: family(scale, 1.0).diagonal(x))(-1.0)).all()


@pytest.mark.fast
def test_bad_shapes_are_named():
    model = covariance.squared_exponential([1.0, 1.0, 1.0], 1.0)
    for x, z, told in (
        (np.ones((3, 2)), np.ones((3, 2)), "lengthscale"),
        (np.ones(3), np.ones((3, 3)), "x.shape"),
        (np.ones((3, 3)), np.ones((3, 4)), "z.shape"),
        (np.ones((2, 3, 3)), np.ones((3, 3)), "vmap"),
    ):
        with pytest.raises(ValueError, match=told):
            model.gram(x, z)
    with pytest.raises(ValueError, match="features"):
        covariance.on_features(model, ())
    with pytest.raises(ValueError, match="stationary"):
        coregionalization.coregionalized(model, jnp.eye(2)).spectrum(jax.random.key(0), 4, 4)


@pytest.mark.parametrize("dim", [3, 20])
@pytest.mark.parametrize("name", CASES)
def test_one_lengthscale_is_the_same_for_every_feature(x64, name, dim):
    # Its distances are scaled after they are taken, those of several lengthscales before.
    family, _ = CASES[name]
    x, z = draw(20, 5, dim), draw(21, 4, dim)

    def results(shape):
        def total(lengthscale, x, z):
            return jnp.sum(jnp.sin(1.0 + family(jnp.broadcast_to(lengthscale, shape), 1.3).gram(x, z)))

        def all_of(*at):
            return jax.value_and_grad(total, argnums=(0, 1, 2))(*at), jax.grad(jax.grad(total))(*at)

        return jax.jit(all_of)(1.7, x, z)

    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-9, atol=1e-12), results(()), results((dim,)))


@pytest.mark.fast
@pytest.mark.parametrize("unit", [1e-15, 1.0, 1e15])
def test_units_do_not_matter_in_float32(unit):
    x = jnp.asarray(draw(22, 5, 3), jnp.float32)

    @jax.jit
    def slope_and_gram(scale, unit):
        def total(scale):
            gram = covariance.squared_exponential(scale * unit, 1.0).gram(unit * x, unit * x)
            return jnp.sum(gram), gram

        return jax.grad(total, has_aux=True)(scale)

    (slope, gram), (expected_slope, expected) = slope_and_gram(0.9, unit), slope_and_gram(0.9, 1.0)
    np.testing.assert_allclose(gram, expected, rtol=1e-5)
    np.testing.assert_allclose(slope, expected_slope, rtol=1e-4)


@pytest.mark.fast
def test_a_lengthscale_out_of_all_proportion():
    x = jnp.asarray(draw(23, 4, 2), jnp.float32)
    for lengthscale, expected in ((jnp.inf, np.ones((4, 4))), (1e30, np.ones((4, 4))), (1e-30, np.eye(4))):
        np.testing.assert_array_equal(covariance.squared_exponential(lengthscale, 1.0).gram(x, x), expected)
    for at in (np.nan, np.inf):
        gram = np.asarray(covariance.squared_exponential(1.0, 1.0).gram(x.at[0, 0].set(at), x))
        np.testing.assert_array_equal(np.isfinite(gram[1:]), True)
        gram = np.asarray(covariance.squared_exponential(1.0, 1.0).gram(x, x.at[0, 0].set(at)))
        np.testing.assert_array_equal(np.isfinite(gram[:, 1:]), True)
