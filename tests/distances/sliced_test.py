import functools

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies

from gentoolkit.distances import directions, normality, sliced, sorting, two_sample

ONE = [normality.wasserstein, normality.cramer_von_mises]
TWO = [functools.partial(two_sample.wasserstein, order=1), two_sample.energy, two_sample.kolmogorov_smirnov]


def samples(*sizes, dim=4, seed=0, lead=()):
    rng = np.random.default_rng(seed)
    return [(rng.normal(size=(*lead, n, dim)) * np.linspace(0.5, 1.5, dim) + 0.2 * i) for i, n in enumerate(sizes)]


def unit(num, dim, seed=0):
    v = np.random.default_rng(seed).normal(size=(num, dim))
    return v / np.linalg.norm(v, axis=-1, keepdims=True)


@functools.partial(jax.jit, static_argnames="reduction")
def distances(x, z, v, reduction="mean"):
    """All statistics in one compiled function; the last axis runs over them."""
    values = [sliced.distance(statistic, x, directions=v, reduction=reduction) for statistic in ONE]
    values += [sliced.distance(statistic, x, z, directions=v, reduction=reduction) for statistic in TWO]
    return jnp.stack(values, axis=-1)


@pytest.mark.fast
def test_projection_lays_slices_out_as_rows(x64):
    (x,) = samples(7, lead=(2, 3))
    v = unit(5, 4)
    y = sliced.project(x, v)
    assert y.shape == (2, 3, 5, 7)
    np.testing.assert_allclose(y, np.einsum("kd,abnd->abkn", v, x), rtol=1e-13)
    own = unit(30, 4).reshape(2, 3, 5, 4)
    np.testing.assert_allclose(sliced.project(x, own), np.einsum("abkd,abnd->abkn", own, x), rtol=1e-13)


@pytest.mark.fast
def test_projection_is_float32_whatever_comes_in():
    (x,) = (jnp.asarray(a, jnp.bfloat16) for a in samples(64, dim=256))
    v = jnp.asarray(unit(3, 256), jnp.float32)
    y = sliced.project(x, v)
    assert y.dtype == jnp.float32
    np.testing.assert_allclose(y, np.float64(v) @ np.float64(x).T, rtol=1e-6, atol=2e-6)
    assert sliced.project(x, v.astype(jnp.bfloat16)).dtype == jnp.float32
    jaxpr = str(jax.make_jaxpr(sliced.project)(x, v))
    assert "HIGHEST" in jaxpr  # an accelerator would otherwise round the inputs to TF32 or bfloat16


def test_a_slice_is_a_one_dimensional_problem(x64):
    x, z = samples(7, 5)
    v = unit(3, 4)
    each = distances(x, z, v, reduction=None)
    assert each.shape == (3, 5)
    one = jax.jit(lambda y, w: [statistic(y) for statistic in ONE] + [statistic(y, w) for statistic in TWO])
    for j in range(3):
        np.testing.assert_allclose(each[j], one(x @ v[j], z @ v[j]), rtol=1e-12)
    np.testing.assert_allclose(distances(x, z, v), np.mean(each, axis=0), rtol=1e-12)
    np.testing.assert_allclose(distances(x, z, v, reduction="max"), np.max(each, axis=0), rtol=1e-12)


def test_leading_axes_and_vmap_are_a_loop(x64):
    x, z = samples(7, 5, lead=(2,))
    v = unit(3, 4)
    loop = np.stack([distances(*pair, v, reduction=None) for pair in zip(x, z, strict=True)])
    np.testing.assert_allclose(distances(x, z, v, reduction=None), loop, rtol=1e-12)
    mapped = jax.vmap(lambda x, z: distances(x, z, v, reduction=None))(x, z)
    np.testing.assert_allclose(mapped, loop, rtol=1e-12)
    own = np.stack([v, v[::-1]])
    loop[1] = loop[1, ::-1]
    np.testing.assert_allclose(distances(x, z, own, reduction=None), loop, rtol=1e-12)


def test_rotation_and_sign_of_the_directions(x64):
    x, z = samples(7, 5)
    v = unit(3, 4)
    q, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(4, 4)))
    np.testing.assert_allclose(distances(x @ q, z @ q, v), distances(x, z, v @ q.T), rtol=1e-11)
    np.testing.assert_allclose(distances(x, z, -v), distances(x, z, v), rtol=1e-11)
    np.testing.assert_allclose(distances(x[::-1], z[::-1], v), distances(x, z, v), rtol=1e-11)


@pytest.mark.parametrize(
    ("statistic", "reduction"),
    [(normality.wasserstein, "max"), (two_sample.wasserstein, "mean"), (two_sample.energy, "max")],
)
def test_gradient_against_central_differences(statistic, reduction, x64):
    x, z = samples(5, 5, dim=3)
    sample = (x,) if statistic is normality.wasserstein else (x, z)
    loss = jax.jit(lambda v, *sample: sliced.distance(statistic, *sample, directions=v, reduction=reduction))
    arguments = [unit(4, 3), *sample]
    for place, gradient in enumerate(jax.grad(loss, range(len(arguments)))(*arguments)):
        for index in np.ndindex(gradient.shape):
            up, down = list(arguments), list(arguments)
            up[place], down[place] = up[place].copy(), down[place].copy()
            up[place][index] += 1e-6
            down[place][index] -= 1e-6
            np.testing.assert_allclose(gradient[index], (loss(*up) - loss(*down)) / 2e-6, atol=1e-7)


@functools.partial(jax.jit, static_argnames=("reduction", "block_size"))
def _slopes(x, z, v, reduction, block_size=None):
    def loss(x, z, v):
        options = {"directions": v, "reduction": reduction, "block_size": block_size}
        return jnp.sum(sliced.distance(two_sample.wasserstein, x, z, **options))

    return jax.value_and_grad(loss, (0, 1, 2))(x, z, v)


@pytest.mark.parametrize(("block_size", "reduction"), [(1, "mean"), (3, "mean"), (3, None), (20, "mean")])
def test_blocks_change_nothing(block_size, reduction, x64):
    x, z = samples(5, 6)
    v = unit(8, 4)
    whole, blocks = _slopes(x, z, v, reduction), _slopes(x, z, v, reduction, block_size)
    for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(blocks), strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-12, atol=1e-15)


def test_blocks_of_own_directions(x64):
    (x,) = samples(5, lead=(2,))
    v = unit(14, 4).reshape(2, 7, 4)
    whole, blocks = (
        sliced.distance(normality.wasserstein, x, directions=v, reduction=None, block_size=b) for b in (None, 3)
    )
    np.testing.assert_allclose(blocks, whole, rtol=1e-12)


def test_blocks_bound_the_memory_of_value_and_gradient():
    x, v = jnp.ones((512, 8)), jnp.ones((256, 8))

    def memory(block_size):
        loss = functools.partial(sliced.distance, centred, directions=v, block_size=block_size)
        return jax.jit(jax.value_and_grad(loss)).lower(x).compile().memory_analysis().temp_size_in_bytes

    def centred(y):  # no sort: on a CPU its memory is NumPy's, out of the compiler's sight
        return jnp.mean(jnp.cos(y) * jnp.sin(y) ** 2, axis=-1)

    assert memory(16) < memory(None) / 4


@pytest.mark.parametrize("draw", [directions.orthogonal, directions.sobol])
def test_even_directions_cut_the_scatter_of_the_average(draw):
    x = np.float32(np.random.default_rng(0).normal(size=(128, 8)) * np.linspace(0.3, 2, 8))

    def variance(draw):
        def average(key):
            return sliced.distance(normality.wasserstein, x, directions=draw(key, 64, 8))

        return np.var(jax.lax.map(jax.jit(average), jax.random.split(jax.random.key(0), 100)))

    # 6.2 and 5.8 times by 600 draws; a ratio of two variances from 100 draws is known to about 20 %.
    assert variance(draw) * 3 < variance(directions.random)


def stretched(dim, n=256, seed=0):
    """A normal sample with one axis, of a random basis, three times as wide."""
    rng = np.random.default_rng(seed)
    q, _ = np.linalg.qr(rng.normal(size=(dim, dim)))
    return jnp.float32(rng.normal(size=(n, dim)) * np.r_[3, np.ones(dim - 1)] @ q), q[0]


@pytest.mark.parametrize(
    "statistic",
    [normality.wasserstein, two_sample.wasserstein, pytest.param(two_sample.energy, marks=pytest.mark.slow)],
)
def test_maximal_finds_the_stretched_axis(statistic):
    x, axis = stretched(8)
    sample = (x,) if statistic is normality.wasserstein else (x, stretched(8, seed=3)[0] * np.float32(0.3))
    worst = jax.jit(lambda key: sliced.maximal(key, statistic, *sample))(jax.random.key(0))
    assert worst.value.shape == ()
    np.testing.assert_allclose(np.linalg.norm(worst.direction), 1, atol=1e-6)
    assert abs(worst.direction @ axis) > 0.97
    many = directions.random(jax.random.key(1), 2048, 8)
    assert worst.value > sliced.distance(statistic, *sample, directions=many, reduction="max")


@pytest.mark.parametrize(
    ("statistic", "num_steps"),
    [(normality.cramer_von_mises, 0), (normality.cramer_von_mises, 7), (normality.kolmogorov_smirnov, 7)],
)
def test_maximal_never_falls_below_its_starts(num_steps, statistic):
    (x,) = map(jnp.float32, samples(32, dim=5))
    worst = jax.jit(lambda key: sliced.maximal(key, statistic, x, num_steps=num_steps, num_starts=4))
    for seed in range(3):
        key = jax.random.key(seed)
        values = sliced.distance(statistic, x, directions=directions.orthogonal(key, 4, 5), reduction=None)
        rounding = 2e-6  # the same slice, projected alone and among others
        assert worst(key).value >= jnp.max(values) * (1 - rounding)
        if num_steps == 0:
            np.testing.assert_allclose(worst(key).value, jnp.max(values), rtol=rounding)


def test_the_first_step_is_along_the_slope_by_the_angle_asked_for(x64):
    x, _ = stretched(3, n=32)
    (start,) = directions.orthogonal(jax.random.key(0), 1, 3, dtype=jnp.float64)

    @jax.jit
    def run(x, start):
        found = sliced.maximal(
            jax.random.key(0), normality.wasserstein, x, num_steps=1, num_starts=1, learning_rate=0.2
        )
        return found, jax.value_and_grad(lambda v: sliced.distance(normality.wasserstein, x, directions=v[None]))(start)

    found, (value, slope) = run(jnp.float64(x), start)
    assert found.value > value
    tangent = slope - (slope @ start) * start
    expected = np.cos(0.2) * start + np.sin(0.2) * tangent / np.linalg.norm(tangent)
    np.testing.assert_allclose(found.direction, expected, atol=1e-9)


def test_maximal_of_a_step_function_is_its_best_start():
    x, z = map(jnp.float32, samples(16, 12))
    key = jax.random.key(0)
    worst = jax.jit(lambda key: sliced.maximal(key, two_sample.kolmogorov_smirnov, x, z, num_steps=3))(key)
    starts = directions.orthogonal(key, 8, 4)
    best = sliced.distance(two_sample.kolmogorov_smirnov, x, z, directions=starts, reduction="max")
    np.testing.assert_allclose(worst.value, best, rtol=1e-6)


def test_maximal_takes_leading_axes_jit_and_vmap(x64):
    x, z = samples(24, 16, lead=(2,))
    key = jax.random.key(0)
    search = jax.jit(lambda key, x, z: sliced.maximal(key, two_sample.wasserstein, x, z, num_steps=15))
    together = search(key, x, z)
    assert together.value.shape == (2,)
    assert together.direction.shape == (2, 4)
    mapped = jax.vmap(search, (None, 0, 0))(key, x, z)
    for i in range(2):
        alone = search(key, x[i], z[i])
        for result in (together, mapped):
            np.testing.assert_allclose(result.value[i], alone.value, rtol=1e-9)
            np.testing.assert_allclose(result.direction[i], alone.direction, atol=1e-6)


def test_gradient_of_the_maximum_is_the_envelope(x64):
    x, z = samples(6, 6, dim=2)
    search = jax.jit(lambda x, z: sliced.maximal(jax.random.key(0), two_sample.wasserstein, x, z, num_steps=200).value)
    gradients = jax.grad(search, (0, 1))(x, z)
    for place, gradient in enumerate(gradients):
        for index in [(0, 0), (3, 1), (5, 0)]:
            up, down = [x.copy(), z.copy()], [x.copy(), z.copy()]
            up[place][index] += 1e-5
            down[place][index] -= 1e-5
            # Here the direction is searched anew at each end; what is left of the search error is second order.
            np.testing.assert_allclose(gradient[index], (search(*up) - search(*down)) / 2e-5, atol=1e-5)


def test_maximal_passes_nan_on():
    (x,) = map(jnp.float32, samples(8, lead=(2,)))
    x = x.at[0, 3, 1].set(jnp.nan)
    worst = jax.jit(lambda x: sliced.maximal(jax.random.key(0), normality.wasserstein, x, num_steps=2))(x)
    np.testing.assert_array_equal(np.isnan(worst.value), [True, False])


@pytest.mark.fast
@pytest.mark.parametrize("reduction", ["mean", "max"])
def test_nan_is_never_hidden(reduction):
    x, z = map(np.float32, samples(7, 5, lead=(2,)))
    x[0, 3, 1] = np.nan
    value = distances(x, z, np.float32(unit(3, 4)), reduction=reduction)
    np.testing.assert_array_equal(np.isnan(value), [[True] * 5, [False] * 5])


entries = strategies.one_of(strategies.floats(-5, 5, width=32), strategies.sampled_from([0.0, 1.0, 1e4, -1e4]))


@hypothesis.given(strategies.data())
@hypothesis.settings(max_examples=15)
def test_any_finite_samples_have_a_finite_value_and_gradient(data):
    n, dim = data.draw(strategies.sampled_from([(1, 1), (3, 2), (17, 64)]))
    pool = np.float32(data.draw(strategies.lists(entries, min_size=1, max_size=20)))
    x = np.resize(pool, (n, dim))
    z = np.resize(pool[::-1], (n + 1, dim))
    value, gradient = finite(x, z)
    assert np.isfinite(value)
    assert all(np.isfinite(g).all() for g in gradient)


@jax.jit
def finite(x, z):
    v = directions.orthogonal(jax.random.key(0), 3, x.shape[-1])

    def loss(x, z, v):
        return sum(
            sliced.distance(statistic, *sample, directions=v, reduction=reduction)
            for statistic, sample in ((normality.wasserstein, (x,)), (two_sample.energy, (x, z)))
            for reduction in ("mean", "max")
        )

    return jax.value_and_grad(loss, (0, 1, 2))(x, z, v)


@pytest.mark.fast
def test_bad_arguments_are_named():
    x, v = jnp.ones((5, 3)), jnp.ones((2, 3))
    distance = functools.partial(sliced.distance, normality.wasserstein)
    with pytest.raises(ValueError, match='reduction must be "mean", "sum", "max" or None, got \'min\''):
        distance(x, directions=v, reduction="min")
    with pytest.raises(ValueError, match=r"features.*directions.shape = \(2, 4\)"):
        distance(x, directions=jnp.ones((2, 4)))
    with pytest.raises(ValueError, match=r"directions must be non-empty.*\(0, 3\)"):
        distance(x, directions=jnp.ones((0, 3)))
    with pytest.raises(ValueError, match=r"samples\[0\] must be non-empty.*\(0, 3\)"):
        distance(jnp.ones((0, 3)), directions=v)
    with pytest.raises(ValueError, match="at least one sample"):
        distance(directions=v)
    with pytest.raises(ValueError, match=r"leading axes of the samples.*\(5, 3\), \(2, 5, 3\)"):
        sliced.distance(two_sample.energy, x, jnp.ones((2, 5, 3)), directions=v)
    with pytest.raises(ValueError, match=r"leading axes of x.*\(4, 2, 3\)"):
        distance(x, directions=jnp.ones((4, 2, 3)))
    with pytest.raises(ValueError, match="block_size = 0"):
        distance(x, directions=v, block_size=0)
    with pytest.raises(ValueError, match=r"statistic must return one value a slice, of shape \(2,\); got shape \(\)"):
        sliced.distance(jnp.mean, x, directions=v)
    with pytest.raises(ValueError, match=r"got shape \(2, 5\)"):
        sliced.maximal(jax.random.key(0), sorting.sort, x, num_starts=2)
    with pytest.raises(ValueError, match="num_starts = 0"):
        sliced.maximal(jax.random.key(0), normality.wasserstein, x, num_starts=0)
    with pytest.raises(ValueError, match="num_steps = -1"):
        sliced.maximal(jax.random.key(0), normality.wasserstein, x, num_steps=-1)
    with pytest.raises(ValueError, match="learning_rate = 0"):
        sliced.maximal(jax.random.key(0), normality.wasserstein, x, learning_rate=0)
    with pytest.raises(TypeError, match="x must be a real array"):
        sliced.project(jnp.ones((5, 3), jnp.complex64), v)


VIEWS = np.random.default_rng(20).standard_normal((2, 40, 5)).astype(np.float32)
KEY = jax.random.key(3)


@pytest.mark.fast
def test_to_normal_is_the_mean_over_views_and_directions_of_the_step():
    v = directions.random(jax.random.fold_in(KEY, 7), 16, 5)
    values = [sliced.distance(normality.epps_pulley_quadrature, view, directions=v) for view in VIEWS]
    found = jax.jit(lambda step: sliced.to_normal(KEY, step, *VIEWS, num_slices=16))(7)
    np.testing.assert_allclose(found, np.mean(values), rtol=1e-5)
    assert not np.allclose(sliced.to_normal(KEY, 8, *VIEWS, num_slices=16), found, rtol=1e-3)


@pytest.mark.fast
def test_to_normal_of_views_pooled_and_of_unequal_size():
    whole = sliced.to_normal(KEY, 0, VIEWS.reshape(80, 5), num_slices=4)
    np.testing.assert_allclose(sliced.to_normal(KEY, 0, *VIEWS, num_slices=4, pooled=True), whole, rtol=1e-5)
    parts = VIEWS[0, :30], VIEWS.reshape(80, 5)[30:]
    np.testing.assert_allclose(sliced.to_normal(KEY, 0, *parts, num_slices=4, pooled=True), whole, rtol=1e-5)
    each = [sliced.to_normal(KEY, 0, part, num_slices=4) for part in parts]
    np.testing.assert_allclose(sliced.to_normal(KEY, 0, *parts, num_slices=4), np.mean(each), rtol=1e-5)


@pytest.mark.fast
def test_to_normal_with_another_statistic_directions_and_leading_axes():
    statistic = functools.partial(normality.cramer_wold, bandwidth=0.3)
    options = {"statistic": statistic, "num_slices": 5, "draw": directions.orthogonal, "block_size": 2}
    found = sliced.to_normal(KEY, 0, VIEWS, **options)
    assert found.shape == (2,)
    v = directions.orthogonal(jax.random.fold_in(KEY, 0), 5, 5)
    np.testing.assert_allclose(found, sliced.distance(statistic, VIEWS, directions=v), rtol=1e-5)
    # Over a whole basis the mean square is the same in all directions, so that one slice of one feature is known.
    one = sliced.to_normal(KEY, 0, VIEWS[0, :, :1], num_slices=1)
    by_sign = [normality.epps_pulley_quadrature(sign * VIEWS[0, :, 0]) for sign in (1, -1)]
    np.testing.assert_allclose(one, by_sign[0], rtol=1e-5)
    np.testing.assert_allclose(*by_sign, rtol=1e-5)


@pytest.mark.fast
def test_a_collapse_to_a_line_is_far_from_normal_and_is_pulled_apart():
    line = VIEWS[0] * np.float32([1, 0, 0, 0, 0])
    value, gradient = jax.value_and_grad(lambda x: sliced.to_normal(KEY, 0, x, num_slices=64))(line)
    assert value > 3 * sliced.to_normal(KEY, 0, VIEWS[0], num_slices=64)
    assert np.isfinite(gradient).all() and np.abs(gradient[:, 1:]).max() > 0


@pytest.mark.fast
def test_sums_and_clipping():
    v = directions.random(KEY, 6, 5)
    each = sliced.distance(normality.epps_pulley_quadrature, VIEWS[0], directions=v, reduction=None)
    total = sliced.distance(normality.epps_pulley_quadrature, VIEWS[0], directions=v, reduction="sum")
    np.testing.assert_allclose(total, np.sum(each), rtol=1e-5)
    bound = float(np.median(each))

    def clipped(x, v):
        return sliced.distance(normality.epps_pulley_quadrature, x, directions=v, reduction="sum", clip=bound)

    value, gradient = jax.value_and_grad(clipped)(VIEWS[0], v)
    np.testing.assert_allclose(value, np.sum(each[each >= bound]), rtol=1e-5)
    left = jax.grad(clipped)(VIEWS[0], v[np.asarray(each) >= bound])
    np.testing.assert_allclose(gradient, left, atol=1e-6)
    assert jnp.isnan(clipped(VIEWS[0] * np.nan, v))


@pytest.mark.fast
def test_directions_of_another_length_are_slices_of_scaled_samples():
    v = directions.random(KEY, 6, 5)
    longer = sliced.distance(normality.wasserstein, VIEWS[0], directions=2 * v)
    np.testing.assert_allclose(longer, sliced.distance(normality.wasserstein, 2 * VIEWS[0], directions=v), rtol=1e-5)


@pytest.mark.fast
@pytest.mark.parametrize(
    ("views", "options", "told"),
    [
        ((), {}, "views must hold at least one"),
        ((VIEWS[0], VIEWS[0, :, :3]), {}, "last axis"),
        ((VIEWS, VIEWS[0]), {}, "leading axes of the views"),
        ((VIEWS[0, 0],), {}, r"views\[0\] must be"),
        ((VIEWS[0],), {"num_slices": 0}, "num_slices"),
        ((VIEWS[0],), {"block_size": 0}, "block_size"),
    ],
)
def test_bad_views_are_named(views, options, told):
    with pytest.raises(ValueError, match=told):
        sliced.to_normal(KEY, 0, *views, **options)
