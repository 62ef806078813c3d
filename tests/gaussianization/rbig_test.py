"""RBIG: a bijection with the right Jacobian and a density, Delta T as the paper has it, problems side by side."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from gentoolkit.distances import directions, sliced, two_sample
from gentoolkit.gaussianization import marginal, rbig, rotation, univariate_entropy

KEY = jax.random.key(0)
# Where nothing else is asked for, samples are 60 or 3,000 by 3 and layers three: a fit, a density, a map back are
# compiled once.


def correlated(n, d, seed=0):
    """Gamma marginals, mixed: skewed and correlated."""
    rng = np.random.default_rng(seed)
    return np.float32(rng.gamma(3.0, size=(n, d)) @ (np.eye(d) + 0.4 * rng.normal(size=(d, d))))


def standardizing():
    """The exact marginal maps of a Gaussian law, as a variant from outside."""

    def fit(y, is_sorted=False):
        return jnp.mean(y, axis=-1, keepdims=True), jnp.std(y, axis=-1, keepdims=True)

    def forward(fitted, y):
        mean, std = fitted
        return (y - mean) / std, jnp.broadcast_to(-jnp.log(std), y.shape)

    return marginal.Marginal(fit, forward, lambda fitted, z: fitted[0] + fitted[1] * z)


def normal_entropy(rows):
    return 0.5 * jnp.log(2 * jnp.pi * jnp.e * jnp.var(rows, axis=-1))


def test_circles_become_normal_and_come_back(circles):
    x, fresh = circles(5000), circles(5000, seed=1)
    d = rbig.fit(KEY, x, marginal=marginal.kernel_density(num_points=256), num_layers=25)
    for points in (x, fresh):
        z, _ = rbig.forward(d, points)
        np.testing.assert_allclose(rbig.inverse(d, z), points, atol=1e-5)
    uniform = np.asarray(rbig.to_uniform(d, x))
    for column in uniform.T:
        assert scipy.stats.kstest(column, "uniform").pvalue > 0.01
    np.testing.assert_allclose(rbig.from_uniform(d, uniform), x, atol=1e-4)  # u has lost digits near one
    # Samples are as near to fresh data as fresh data are to each other, up to what the fit has smoothed away.
    drawn = rbig.sample(jax.random.key(1), d, 5000)
    v = directions.orthogonal(jax.random.key(2), 32, 2)
    between = [float(sliced.distance(two_sample.wasserstein, fresh, other, directions=v)) for other in (drawn, x)]
    assert np.sqrt(between[0]) < np.sqrt(between[1]) + 0.05
    assert 0.4 < d.trace.delta.sum() < 0.9  # 0.6 or so is there to be found in so many layers


@pytest.mark.parametrize(
    "maps", [marginal.kernel_density(bandwidth=0.04), marginal.quantile(tails="linear")], ids=lambda maps: maps.name
)
def test_compensated_round_trip_loses_only_the_rounding_of_z(circles, maps):
    x = circles(5000)
    d = rbig.fit(KEY, x, marginal=maps, rotation=rotation.max_sliced(), num_layers=60)
    z, log_det = rbig.forward(d, x, compensated=True)
    error = np.abs(rbig.inverse(d, z, compensated=True) - x)
    plain = np.abs(rbig.inverse(d, rbig.forward(d, x)[0]) - x)
    # Steps of z are 2.4e-7 at its largest; between the rings x moves tens of times as fast.
    assert np.max(error) < 1e-5 < np.max(plain)
    assert 3 * np.mean(error) < np.mean(plain)
    assert np.quantile(np.abs(log_det - rbig.forward(d, x)[1]), 0.99) < 1e-3  # larger where maps are steep


def test_compensated_latents_are_those_of_twice_the_digits(x64):
    x = correlated(5000, 5)
    d = rbig.fit(KEY, x, num_layers=40)
    double = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), d)
    u, _, vt = np.linalg.svd(np.float64(d.layers.rotation))
    double = dataclasses.replace(double, layers=double.layers._replace(rotation=u @ vt))
    truth = rbig.forward(double, np.float64(x))[0]
    error, plain = (np.abs(np.float64(rbig.forward(d, x, compensated=c)[0]) - truth) for c in (True, False))
    # Half a step of z, which is 1.2e-7 from 2 to 4; where 40 steep maps amplify rounding, more of it.
    assert np.median(error) < 1.2e-7 < 2e-7 < np.median(plain)
    assert 5 * np.quantile(error, 0.99) < np.quantile(plain, 0.99)


@pytest.mark.parametrize("function", [rbig.forward, rbig.inverse])
@pytest.mark.parametrize(
    ("maps", "told"), [(marginal.quantile(tails="pareto"), "'quantile'.*pareto"), (marginal.histogram(), "'histogram'")]
)
def test_compensated_is_refused_where_maps_are_not_known_so_well(function, maps, told):
    d = jax.eval_shape(lambda: rbig.fit(KEY, jnp.ones((50, 2)), marginal=maps, num_layers=1))
    with pytest.raises(ValueError, match=f"compensated=True takes .*{told}"):
        jax.eval_shape(lambda d: function(d, jnp.ones((50, 2)), compensated=True), d)


def test_log_det_is_that_of_the_jacobian(x64):
    x = np.float64(correlated(200, 4))
    fitted = rbig.fit(KEY, x, rotation=rotation.random(), num_layers=3)
    points = np.concatenate([x[:10], x[:3] + 30.0])  # far outside too

    @jax.jit
    @jax.vmap
    def there(p):
        def forward(p):
            z, log_det = rbig.forward(fitted, p[None])
            return z[0], (z[0], log_det[0])

        jacobian, (z, log_det) = jax.jacfwd(forward, has_aux=True)(p)
        return jnp.linalg.slogdet(jacobian)[1], z, log_det

    @jax.jit
    @jax.vmap
    def back(z):
        def inverse(z):
            p = rbig.inverse(fitted, z[None])[0]
            return p, p

        jacobian, p = jax.jacfwd(inverse, has_aux=True)(z)
        return jnp.linalg.slogdet(jacobian)[1], p

    by_autodiff, z, log_det = there(points)
    np.testing.assert_allclose(log_det, by_autodiff, rtol=1e-8, atol=1e-8)
    of_inverse, returned = back(z)
    np.testing.assert_allclose(of_inverse + log_det, 0, atol=1e-6)
    np.testing.assert_allclose(returned, points, rtol=1e-8, atol=1e-8)


def test_density_integrates_to_one():
    line = np.float32(np.random.default_rng(0).gamma(3.0, size=(500, 1)))
    d = rbig.fit(KEY, line, num_layers=2)
    grid = np.linspace(-20, 50, 20001, dtype=np.float32)
    np.testing.assert_allclose(np.trapezoid(np.exp(rbig.log_prob(d, grid[:, None])), grid), 1, atol=1e-3)

    rng = np.random.default_rng(0)
    first = rng.normal(size=2000)
    bent = np.float32(np.stack([first, 0.5 * first**2 + 0.5 * rng.normal(size=2000)], axis=-1))
    d = rbig.fit(KEY, bent, marginal=marginal.kernel_density(num_points=128), num_layers=6)
    a, b = np.linspace(-7, 7, 301, dtype=np.float32), np.linspace(-6, 16, 401, dtype=np.float32)
    points = np.stack(np.meshgrid(a, b, indexing="ij"), axis=-1)
    density = np.exp(np.asarray(rbig.log_prob(d, points)))
    np.testing.assert_allclose(np.trapezoid(np.trapezoid(density, b, axis=-1), a), 1, atol=1e-3)


def test_one_layer_takes_all_correlation_off_a_gaussian():
    rng = np.random.default_rng(0)
    x = np.float32(rng.normal(size=(3000, 3)) @ (np.eye(3) + 0.4 * rng.normal(size=(3, 3))) * [1, 5, 0.1] + 3)
    want = -0.5 * np.linalg.slogdet(np.corrcoef(x.T))[1]
    d = rbig.fit(KEY, x, marginal=standardizing(), num_layers=3, entropy=normal_entropy)
    np.testing.assert_allclose(d.trace.delta, [want, 0, 0], atol=1e-4)
    # And with maps and entropies that do not know the law, up to their own error.
    d = rbig.fit(KEY, x, num_layers=3)
    assert abs(d.trace.delta[0] - want) < 4 * np.sqrt(3 / 3000)


def test_delta_telescopes_to_equation_6_of_the_whole():
    x = correlated(3000, 3)
    d = rbig.fit(KEY, x, num_layers=3)
    values = rbig.layers(d, x, summary=univariate_entropy.spacing)
    start = univariate_entropy.spacing(x.T)
    entering = np.concatenate([start[None], values.rotated[:-1]])
    removed = np.sum(entering - values.rotated, axis=-1) + np.mean(values.log_det, axis=-1)
    z, log_det = rbig.forward(d, x)
    last = univariate_entropy.spacing(z.T)
    _, last_log_derivative = d.marginal.forward(d.last, rbig.layers(d, x).rotated[-1].T)
    last_step = np.sum(values.rotated[-1] - last) + np.mean(np.sum(last_log_derivative, axis=0))
    whole = np.sum(start - last) + np.mean(log_det)
    np.testing.assert_allclose(np.sum(removed) + last_step, whole, atol=1e-4)
    # The trace is that of eq. 7, the rotation's share alone: the same up to the error of the univariate entropies.
    np.testing.assert_allclose(d.trace.delta, np.sum(values.gaussianized - values.rotated, axis=-1), atol=1e-3)
    np.testing.assert_allclose(np.sum(d.trace.delta), np.sum(removed), atol=0.15)


def test_layers_are_the_steps_of_forward():
    x = correlated(60, 3)
    d = rbig.fit(KEY, x, num_layers=3)
    values = rbig.layers(d, x)
    assert values.gaussianized.shape == values.rotated.shape == (3, 60, 3) and values.log_det.shape == (3, 60)
    at = x
    for i in range(3):
        layer = jax.tree.map(lambda leaf, i=i: leaf[i], d.layers)
        psi, at, log_det = rbig.apply_layer(d.marginal, layer, at)
        np.testing.assert_allclose(values.gaussianized[i], psi, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(values.rotated[i], at, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(values.log_det[i], log_det, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(np.asarray(psi) @ np.asarray(layer.rotation).T, at, rtol=1e-4, atol=1e-5)
    z, log_derivative = d.marginal.forward(d.last, at.T)
    got, log_det = rbig.forward(d, x)
    np.testing.assert_allclose(got, z.T, rtol=1e-4, atol=1e-5)
    total = np.sum(values.log_det, axis=0) + np.sum(log_derivative, axis=0)
    np.testing.assert_allclose(log_det, total, rtol=1e-4, atol=1e-4)
    log_prob = scipy.stats.norm.logpdf(got).sum(axis=-1) + log_det
    np.testing.assert_allclose(rbig.log_prob(d, x), log_prob, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("num_layers", "maps"),
    [
        (0, marginal.quantile()),
        (3, marginal.quantile()),
        pytest.param(3, marginal.quantile(tails="clip"), marks=pytest.mark.slow),  # slopes of the maps are tested there
        (3, marginal.mixture(num_steps=20)),
    ],
)
def test_log_density_and_score_are_those_of_forward(num_layers, maps):
    x = correlated(60, 3)
    d = rbig.fit(KEY, x, marginal=maps, num_layers=num_layers)
    # Not the sample itself: its outermost points are the last knots, and rounding puts them inside or outside of these.
    x = np.float32(0.9) * x
    outside = np.concatenate([x, 3 * x[:8]])

    def by_forward(x):
        z, log_det = rbig.forward(d, x)
        return jnp.sum(jax.scipy.stats.norm.logpdf(z), axis=-1) + log_det

    @jax.jit
    def both(x, outside):
        each = [lambda x: rbig.log_prob(d, x), by_forward]
        return [of(outside) for of in each], [jax.grad(lambda x, of=of: jnp.sum(of(x)))(x) for of in each]

    values, scores = both(x, outside)
    np.testing.assert_allclose(*values, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(*scores, rtol=1e-3, atol=1e-3)


def test_problems_side_by_side_are_a_loop():
    x = np.stack([correlated(60, 3, seed) for seed in range(4)]).reshape(2, 2, 60, 3)
    d = rbig.fit(KEY, x, rotation=rotation.random(), num_layers=3)
    keys = jax.random.split(KEY, (2, 2))
    alone = rbig.fit(keys[1, 0], x[1, 0], rotation=rotation.random(), num_layers=3)
    for a, b in zip(jax.tree.leaves(d), jax.tree.leaves(alone), strict=True):
        np.testing.assert_allclose(a[1, 0], b, rtol=1e-3, atol=1e-3)
    z, log_det = rbig.forward(d, x)
    assert z.shape == x.shape and log_det.shape == (2, 2, 60)
    np.testing.assert_allclose(z[1, 0], rbig.forward(alone, x[1, 0])[0], rtol=1e-2, atol=1e-2)
    np.testing.assert_allclose(rbig.inverse(d, z), x, rtol=1e-4, atol=1e-4)
    assert jax.eval_shape(lambda d: rbig.sample(KEY, d, 7), d).shape == (2, 2, 7, 3)


def test_further_axes_of_samples_and_gradients():
    x = correlated(60, 3)
    d = rbig.fit(KEY, x, num_layers=3)
    grid = x.reshape(3, 20, 3)
    np.testing.assert_allclose(rbig.log_prob(d, grid).reshape(60), rbig.log_prob(d, x), rtol=1e-4, atol=1e-5)
    score = jax.jit(jax.grad(lambda x: jnp.sum(rbig.log_prob(d, x))))(x + np.float32(50) * (x > 5))
    assert np.isfinite(score).all()


def test_fit_is_one_loop_and_float32(x64):
    x = jnp.bfloat16(correlated(40, 2))
    with jax.enable_x64(False):
        shapes = jax.eval_shape(lambda x: rbig.fit(KEY, x, num_layers=7), x)
        assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(shapes))
        assert shapes.layers.rotation.shape == (7, 2, 2) and shapes.trace.delta.shape == (7,)
        text = str(jax.make_jaxpr(lambda x: rbig.fit(KEY, x, num_layers=7))(x))
        assert text.count("length=7") == 1
    wide = jax.eval_shape(lambda x: rbig.fit(KEY, x, num_layers=2), jax.ShapeDtypeStruct((40, 2), jnp.float64))
    assert all(leaf.dtype == jnp.float64 for leaf in jax.tree.leaves(wide))


@pytest.mark.parametrize("kind", ["constant", "duplicated", "integers", "outliers", "two samples"])
def test_awkward_samples_give_finite_results(kind):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 3))
    if kind == "constant":
        x[:, 1] = 4.0
    elif kind == "duplicated":
        x[:, 1] = x[:, 0]
    elif kind == "integers":
        x = np.floor(3 * np.abs(x))
    elif kind == "outliers":
        x[0] = 1e4
    else:  # fewer than features
        x = x[:2]
    x = np.float32(x)
    d = rbig.fit(KEY, x, num_layers=3)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(d))
    z, log_det = rbig.forward(d, x)
    assert np.isfinite(z).all() and np.isfinite(log_det).all()
    np.testing.assert_allclose(rbig.inverse(d, z), x, rtol=1e-3, atol=1e-3)
    if len(x) == 60:
        assert np.isfinite(rbig.sample(KEY, d, len(x))).all()


def test_dithering_takes_the_spikes_off_integers():
    x = np.float32(np.random.default_rng(0).poisson(3.0, size=(3000, 3)))
    d = rbig.fit(KEY, x, num_layers=3, dither=True)
    # A dithered count has the density of its probability, at most 0.23 here; undithered it is a spike.
    assert -12 < np.mean(rbig.log_prob(d, x)) < -4.5
    assert np.mean(rbig.log_prob(rbig.fit(KEY, x, num_layers=3), x)) > 0
    assert np.abs(d.trace.delta).sum() < 0.1


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_problem_that_is_not_finite_is_nan_and_no_other(bad):
    x = np.stack([correlated(60, 3, seed) for seed in range(4)]).reshape(2, 2, 60, 3)
    good = x.copy()
    x[0, 1, 7, 0] = bad
    d = rbig.fit(KEY, x, rotation=rotation.random(), num_layers=3)
    known = np.array([[True, False], [True, True]])
    delta = np.asarray(d.trace.delta)
    assert np.isfinite(delta[known]).all() and np.isnan(delta[~known]).all()
    z, log_det = map(np.asarray, rbig.forward(d, good))
    assert np.isnan(z[~known]).all() and np.isnan(log_det[~known]).all() and np.isfinite(z[known]).all()
    point = correlated(60, 3)
    d = rbig.fit(KEY, point, num_layers=3)
    point[3, 1] = np.nan
    asked = np.asarray(rbig.log_prob(d, point))
    assert np.isnan(asked[3]) and np.isfinite(np.delete(asked, 3)).all()


@pytest.mark.fast
@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: rbig.fit(KEY, jnp.ones(5)), r"x\.shape = \(5,\)"),
        (lambda: rbig.fit(KEY, jnp.ones((1, 5))), "at least 2 samples"),
        (lambda: rbig.fit(KEY, jnp.ones((0, 5))), r"x\.shape"),
        (lambda: rbig.fit(KEY, jnp.ones((9, 2)), num_layers=-1), "num_layers = -1"),
        (lambda: rbig.fit(KEY, jnp.ones((9, 2)), dither=-1.0), "width"),
    ],
)
def test_bad_samples_and_options_are_refused_by_name(make, told):
    with pytest.raises(ValueError, match=told):
        jax.eval_shape(make)


@pytest.mark.fast
def test_samples_that_do_not_fit_the_destructor_are_refused():
    one = jax.eval_shape(lambda: rbig.fit(KEY, jnp.ones((9, 2)), num_layers=1))
    two = jax.eval_shape(lambda: rbig.fit(KEY, jnp.ones((2, 9, 2)), num_layers=1))
    cases = [(one, (9, 3), "2 features"), (two, (9, 2), r"problems of shape \(2,\)"), (one, (2,), "shape")]
    for d, shape, told in cases:
        with pytest.raises(ValueError, match=told):
            jax.eval_shape(rbig.forward, d, jax.ShapeDtypeStruct(shape, jnp.float32))
    with pytest.raises(ValueError, match="one problem"):
        jax.eval_shape(rbig.layers, two, jax.ShapeDtypeStruct((2, 9, 2), jnp.float32))
    with pytest.raises(ValueError, match="num = 0"):
        rbig.sample(KEY, one, 0)
