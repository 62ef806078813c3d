"""Fréchet distance and Kullback-Leibler divergence of Gaussians: closed forms, hard covariances, derivatives."""

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import ot
import pytest

from gentoolkit.distances import gaussian

BOTH = pytest.mark.parametrize("divergence", [gaussian.frechet, gaussian.kl_divergence])
frechet, kl_divergence = jax.jit(gaussian.frechet), jax.jit(gaussian.kl_divergence)  # one compilation a shape
GRADIENT = {f: jax.jit(jax.grad(f, argnums=(0, 1, 2, 3))) for f in (gaussian.frechet, gaussian.kl_divergence)}


def covariance(rng, d, *, condition=100.0, rank=None):
    """A random covariance with log-spaced eigenvalues from 1 down to 1 / condition, `rank` of them not zero."""
    basis, _ = np.linalg.qr(rng.normal(size=(d, d)))
    values = np.logspace(0.0, -np.log10(condition), d)
    values[d if rank is None else rank :] = 0.0
    cov = (basis * values) @ basis.T
    return (cov + cov.T) / 2


def laws(seed=0, d=5, **options):
    rng = np.random.default_rng(seed)
    return tuple(rng.normal(size=d) if i % 2 == 0 else covariance(rng, d, **options) for i in range(4))


def frechet_by_eigenvalues(mean_a, cov_a, mean_b, cov_b):
    """The textbook formula in float64."""
    values, vectors = np.linalg.eigh(cov_a)
    root = (vectors * np.sqrt(values.clip(0.0))) @ vectors.T
    trace = np.sqrt(np.linalg.eigvalsh(root @ cov_b @ root).clip(0.0)).sum()
    return np.sum((mean_a - mean_b) ** 2) + np.trace(cov_a) + np.trace(cov_b) - 2 * trace


def kl_by_inverse(mean_a, cov_a, mean_b, cov_b):
    inverse, offset = np.linalg.inv(cov_b), mean_b - mean_a
    logs = np.linalg.slogdet(cov_b)[1] - np.linalg.slogdet(cov_a)[1]
    return (np.trace(inverse @ cov_a) + offset @ inverse @ offset - len(mean_a) + logs) / 2


@pytest.mark.fast
def test_unit_covariances_give_the_distance_of_the_means(x64):
    eye, a = np.eye(3), np.array([1.0, -2.0, 0.5])
    np.testing.assert_allclose(frechet(np.zeros(3), eye, a, eye), a @ a, rtol=1e-14)
    np.testing.assert_allclose(kl_divergence(np.zeros(3), eye, a, eye), a @ a / 2, rtol=1e-14)


@pytest.mark.fast
def test_commuting_covariances_have_closed_forms(x64):
    rng = np.random.default_rng(1)
    basis, _ = np.linalg.qr(rng.normal(size=(6, 6)))
    a, b = rng.uniform(0.1, 3.0, (2, 6))
    zero = np.zeros(6)
    args = zero, (basis * a) @ basis.T, zero, (basis * b) @ basis.T
    np.testing.assert_allclose(frechet(*args), np.sum((np.sqrt(a) - np.sqrt(b)) ** 2), rtol=1e-12)
    np.testing.assert_allclose(kl_divergence(*args), np.sum(a / b - 1 - np.log(a / b)) / 2, rtol=1e-12)


@pytest.mark.parametrize("d", [1, 2, 3, 64])
def test_frechet_equals_pot_and_the_textbook_formula(x64, d):
    args = laws(d, d)
    value = frechet(*args)
    np.testing.assert_allclose(value, frechet_by_eigenvalues(*args), rtol=1e-10)
    mean_a, cov_a, mean_b, cov_b = args
    np.testing.assert_allclose(
        value, ot.gaussian.bures_wasserstein_distance(mean_a, mean_b, cov_a, cov_b) ** 2, rtol=1e-8
    )
    np.testing.assert_allclose(frechet(mean_b, cov_b, mean_a, cov_a), value, rtol=1e-12)
    np.testing.assert_allclose(kl_divergence(*args), kl_by_inverse(*args), rtol=1e-9)


@BOTH
def test_float32_agrees_with_float64_near_and_far(divergence):
    reference = {gaussian.frechet: frechet_by_eigenvalues, gaussian.kl_divergence: kl_by_inverse}[divergence]
    for d, condition, tolerance in [(2, 10.0, 3e-6), (20, 100.0, 5e-6), (64, 100.0, 5e-6)]:
        args = [np.float32(a) for a in laws(3, d, condition=condition)]
        wide = [np.float64(a) for a in args]
        value = jax.jit(divergence)(*args)
        assert value.dtype == jnp.float32
        np.testing.assert_allclose(value, reference(*wide), rtol=tolerance)


@pytest.mark.parametrize("d", [2, 20, 64])
def test_close_covariances_keep_their_digits_in_float32(d):
    rng = np.random.default_rng(d)
    cov_a, apart = np.float32([[covariance(rng, d, condition=10.0) for _ in range(16)] for _ in range(2)])
    cov_b = cov_a + np.float32(0.01) * apart
    mean = np.zeros((16, d), np.float32)
    # The covariances are 1 % apart and rounded to 6e-8 of their size: 1e-5 is what the input holds, times a few. One
    # pair is off by up to 1e-4, as the order of sums on a processor has it, so that several are looked at.
    for ours, reference in ((frechet, frechet_by_eigenvalues), (kl_divergence, kl_by_inverse)):
        expected = [reference(*map(np.float64, pair)) for pair in zip(mean, cov_a, mean, cov_b, strict=True)]
        error = ours(mean, cov_a, mean, cov_b) / np.float32(expected) - 1
        assert np.sqrt(np.mean(np.square(error))) < 5e-5, error
    # The difference of traces, for comparison, is off by 1e-7 of the trace or so, a hundred times this.
    assert np.max(frechet(mean, cov_a, mean, cov_a)) < 2e-12 * d


@pytest.mark.parametrize(("rank_a", "rank_b"), [(2, None), (None, 2), (2, 2), (0, None), (0, 0)])
def test_singular_covariances_have_a_distance_and_a_finite_derivative(rank_a, rank_b):
    rng = np.random.default_rng(4)
    cov_a, cov_b = (np.float32(covariance(rng, 6, condition=10.0, rank=rank)) for rank in (rank_a, rank_b))
    mean = np.zeros(6, np.float32)
    args = mean, cov_a, mean, cov_b
    wide = frechet_by_eigenvalues(*(np.float64(a) for a in args))
    np.testing.assert_allclose(frechet(*args), wide, rtol=3e-4, atol=1e-6)  # sqrt(eps), from the rounded input
    gradients = GRADIENT[gaussian.frechet](*args)
    assert all(np.isfinite(g).all() for g in gradients)


def test_derivative_at_equal_and_repeated_eigenvalues_is_zero():
    for cov in (np.eye(4), np.diag([2.0, 2.0, 1.0, 1.0]), covariance(np.random.default_rng(0), 4, condition=10.0)):
        cov = jnp.float32(cov)
        gradient = jax.jit(jax.grad(gaussian.frechet, argnums=(1, 3)))(jnp.zeros(4), cov, jnp.zeros(4), cov)
        np.testing.assert_allclose(gradient, np.zeros((2, 4, 4)), atol=1e-5)
        gradient = jax.jit(jax.grad(gaussian.kl_divergence, argnums=(1, 3)))(jnp.zeros(4), cov, jnp.zeros(4), cov)
        np.testing.assert_allclose(gradient, np.zeros((2, 4, 4)), atol=1e-5)


def finite_difference(function, args, place, step=1e-5):
    """Central differences along symmetric directions for covariances, along axes for means; one batched call."""
    base = args[place]
    directions = np.eye(base.size).reshape(-1, *base.shape)
    if base.ndim == 2:
        directions = (directions + directions.swapaxes(1, 2)) / 2
    up, down = (function(*args[:place], base + s * directions, *args[place + 1 :]) for s in (step, -step))
    return np.asarray((up - down) / (2 * step)).reshape(base.shape)


@BOTH
@pytest.mark.parametrize("equal_eigenvalues", [False, True])
def test_gradient_agrees_with_central_differences(x64, divergence, equal_eigenvalues):
    args = [np.asarray(a) for a in laws(7, 3, condition=10.0)]
    if equal_eigenvalues:
        args[1] = np.eye(3)
    gradients = GRADIENT[divergence](*args)
    for place, gradient in enumerate(gradients):
        want = finite_difference(jax.jit(divergence), args, place)
        np.testing.assert_allclose(gradient, want, rtol=1e-6, atol=1e-8)
        tangent = np.random.default_rng(place).normal(size=args[place].shape)
        _, forward = jax.jvp(
            lambda a, p=place: jax.jit(divergence)(*args[:p], a, *args[p + 1 :]), (args[place],), (tangent,)
        )
        np.testing.assert_allclose(forward, np.sum(want * tangent), rtol=1e-6, atol=1e-8)


def test_gradient_within_a_common_subspace(x64):
    """Two laws on one plane of R^4 have, within the plane, the derivative of the two-dimensional problem."""
    rng = np.random.default_rng(2)
    plane = np.linalg.qr(rng.normal(size=(4, 2)))[0]
    a, b = covariance(rng, 2, condition=4.0), covariance(rng, 2, condition=4.0)

    def lifted(cov):
        return frechet(jnp.zeros(4), plane @ cov @ plane.T, jnp.zeros(4), plane @ b @ plane.T)

    flat = jax.grad(lambda cov: frechet(jnp.zeros(2), cov, jnp.zeros(2), b))(a)
    np.testing.assert_allclose(jax.grad(lifted)(a), flat, rtol=1e-6, atol=1e-7)


@pytest.mark.fast
def test_kl_of_a_singular_law_is_infinite_with_a_zero_derivative():
    args = jnp.zeros(2), jnp.diag(jnp.float32([1.0, 0.0])), jnp.zeros(2), jnp.eye(2)
    for order in (args, args[2:] + args[:2], (args[0], -args[3], args[2], args[3])):
        assert kl_divergence(*order) == jnp.inf
        gradient = GRADIENT[gaussian.kl_divergence](*order)
        assert all(np.all(np.asarray(g) == 0) for g in gradient)


@BOTH
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", range(4))
def test_non_finite_entries_give_nan_in_their_own_problem_only(divergence, bad, place):
    args = [np.stack([np.float32(a)] * 2) for a in laws(5, 3)]
    args[place][1].flat[0] = bad
    value = np.asarray(jax.jit(divergence)(*args))
    assert np.isfinite(value[0]) and np.isnan(value[1])


@BOTH
def test_eager_jit_vmap_broadcasting_and_dtype(divergence):
    compiled = jax.jit(divergence)
    loop = [[np.float32(a) for a in laws(seed, 4)] for seed in (1, 2, 3)]
    stacked = [np.stack(column) for column in zip(*loop, strict=True)]
    want = [compiled(*one) for one in loop]
    np.testing.assert_allclose(divergence(*loop[0]), want[0], rtol=1e-5)
    np.testing.assert_allclose(compiled(*stacked), want, rtol=1e-5)
    np.testing.assert_allclose(jax.jit(jax.vmap(divergence))(*stacked), want, rtol=1e-5)
    one_to_many = compiled(*loop[0][:2], *stacked[2:])
    assert one_to_many.shape == (3,)
    np.testing.assert_allclose(one_to_many[1], compiled(*loop[0][:2], *loop[1][2:]), rtol=1e-5)
    for dtype in (jnp.bfloat16, jnp.int32):
        narrow = jax.eval_shape(divergence, *(jnp.asarray(a, dtype) for a in loop[0]))
        assert narrow.dtype == jnp.float32


def test_sharded_equals_single():
    mesh = jax.make_mesh((8,), ("problems",), axis_types=(jax.sharding.AxisType.Auto,))
    sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("problems"))
    stacked = [np.stack([np.float32(laws(seed, 4)[i]) for seed in range(8)]) for i in range(4)]
    placed = [jax.device_put(a, sharding) for a in stacked]
    for divergence in (gaussian.frechet, gaussian.kl_divergence):
        want = jax.jit(divergence)(*stacked)
        np.testing.assert_allclose(jax.jit(divergence)(*placed), want, rtol=1e-5)
        inside = jax.shard_map(
            divergence, mesh=mesh, in_specs=jax.sharding.PartitionSpec("problems"), out_specs=sharding.spec
        )
        np.testing.assert_allclose(jax.jit(inside)(*placed), want, rtol=1e-5)


@pytest.mark.fast
@pytest.mark.parametrize(
    "shapes",
    [
        [(3,), (3, 3), (2,), (2, 2)],
        [(3,), (3,), (3,), (3, 3)],
        [(3,), (3, 2), (3,), (3, 3)],
        [(), (1, 1), (1,), (1, 1)],
        [(0,), (0, 0), (0,), (0, 0)],
        [(2, 3), (2, 3, 3), (5, 3), (5, 3, 3)],
    ],
)
@BOTH
def test_wrong_shapes_are_refused_by_name_while_tracing(divergence, shapes):
    with pytest.raises(ValueError, match=r"cov_a\.shape"):
        jax.eval_shape(divergence, *(jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes))


@pytest.mark.fast
def test_complex_moments_are_refused():
    with pytest.raises(TypeError, match="cov_b"):
        frechet(np.zeros(2), np.eye(2), np.zeros(2), np.eye(2) * 1j)


@pytest.mark.fast
def test_moments_are_those_of_numpy(x64):
    x = np.random.default_rng(0).normal(size=(2, 50, 3)) + 100.0
    for ddof in (0, 1):
        mean, cov = gaussian.moments(x, ddof=ddof)
        np.testing.assert_allclose(mean, x.mean(axis=1), rtol=1e-13)
        np.testing.assert_allclose(cov, [np.cov(one.T, ddof=ddof) for one in x], rtol=1e-11, atol=1e-13)
    with pytest.raises(ValueError, match="ddof"):
        gaussian.moments(x[:, :1])


@jax.jit
def distance_and_gradient(x, z):
    return jax.value_and_grad(lambda x: gaussian.frechet(*gaussian.moments(x), *gaussian.moments(z)))(x)


@hypothesis.given(
    shape=st.sampled_from([(2, 1), (3, 2), (17, 64)]),
    kind=st.sampled_from(["normal", "ties", "constant", "outliers"]),
    seed=st.integers(0, 1000),
)
def test_moments_of_any_sample_give_a_finite_distance_and_gradient(shape, kind, seed):
    rng = np.random.default_rng(seed)
    x, z = np.float32(rng.normal(size=(2, *shape)))
    x = {"normal": x, "ties": np.round(x), "constant": np.full_like(x, 0.1), "outliers": x + 1e4 * (x > 1)}[kind]
    value, gradient = distance_and_gradient(np.float32(x), z)
    assert np.isfinite(value) and value >= 0
    assert np.isfinite(gradient).all()


def test_moments_of_many_rows_under_jit():
    # Squares of 1.1 no longer fit a sum of millions of them: added in a row, the variance comes out as 1.02.
    x = np.float32(1.1) * np.where(np.arange(2**22)[:, None] >> np.arange(2) & 1, -1, 1).astype(np.float32)
    mean, cov = jax.jit(gaussian.moments)(x)
    np.testing.assert_array_equal(mean, 0)
    np.testing.assert_allclose(cov, np.float32(1.1) ** 2 * np.eye(2), rtol=1e-5, atol=1e-6)
