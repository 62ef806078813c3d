"""Mardia's skewness and kurtosis: definitions, null moments, p-values, derivatives, memory."""

import math

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from gentoolkit.distances import gaussian, mardia

FORMS = pytest.mark.parametrize("affine_invariant", [False, True])
statistics = jax.jit(gaussian.mardia, static_argnames="affine_invariant")


def by_definition(x, affine_invariant):
    """b1 and b2 in float64 by the n x n matrix of products."""
    x = np.float64(x)
    products = x @ x.T
    if affine_invariant:
        x = x - x.mean(axis=0)
        products = x @ np.linalg.pinv(x.T @ x / len(x), rcond=1e-9) @ x.T
    return np.mean(products**3), np.mean(np.diag(products) ** 2)


def sample(n, d, seed=0):
    rng = np.random.default_rng(seed)
    return rng.gamma(3.0, size=(n, d)) @ rng.normal(size=(d, d)) / 3.0


@pytest.mark.parametrize(("n", "d", "affine_invariant"), [(50, 1, False), (60, 4, True), (60, 4, False), (12, 9, True)])
def test_statistics_are_their_definitions(x64, affine_invariant, n, d):  # both sides of d^2 < n
    x = sample(n, d)
    got = statistics(x, affine_invariant=affine_invariant)
    want = by_definition(x, affine_invariant)
    np.testing.assert_allclose([got.skewness, got.kurtosis], want, rtol=1e-10)
    np.testing.assert_allclose(got.normalized_kurtosis, want[1] - d * (d + 2), rtol=1e-9, atol=1e-9)


@FORMS
def test_float32_keeps_five_digits(affine_invariant):
    for n, d in [(300, 4)] if affine_invariant else [(60, 20)]:
        x = np.float32(sample(n, d))
        got = statistics(x, affine_invariant=affine_invariant)
        assert all(value.dtype == jnp.float32 for value in got)
        want = by_definition(x, affine_invariant)
        np.testing.assert_allclose([got.skewness, got.kurtosis], want, rtol=1e-5 if not affine_invariant else 1e-4)


def test_one_dimension_is_the_usual_skewness_and_kurtosis(x64):
    x = sample(50, 1)
    got = statistics(x, affine_invariant=True)
    np.testing.assert_allclose(got.skewness, scipy.stats.skew(x[:, 0]) ** 2, rtol=1e-10)
    np.testing.assert_allclose(got.kurtosis, scipy.stats.kurtosis(x[:, 0], fisher=False), rtol=1e-10)
    # SciPy's tests of the same moments carry the exact null variance in their z (Pearson 1931).
    n = 50
    np.testing.assert_allclose(got.skewness_mean, 6 * (n - 2) / ((n + 1) * (n + 3)), rtol=1e-12)
    np.testing.assert_allclose(got.kurtosis_mean, 3 * (n - 1) / (n + 1), rtol=1e-12)
    variance = 24 * n * (n - 2) * (n - 3) / ((n + 1) ** 2 * (n + 3) * (n + 5))
    np.testing.assert_allclose(got.kurtosis_std, math.sqrt(variance), rtol=1e-12)


def test_affine_form_does_not_change_under_affine_maps(x64):
    x = sample(60, 4)
    moved = x @ np.random.default_rng(1).normal(size=(4, 4)) * 7.0 + 100.0
    for a, b in zip(statistics(x, affine_invariant=True), statistics(moved, affine_invariant=True), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-8)


def test_raw_form_does_not_change_under_rotations(x64):
    x = sample(60, 4)
    rotation, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(4, 4)))
    for a, b in zip(statistics(x), statistics(x @ rotation), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10)


def test_null_means_deviations_and_p_values_hold_under_the_null():
    trials = 3000
    for n, d in [(150, 5)]:
        x = jax.random.normal(jax.random.key(n), (trials, n, d))
        for affine_invariant in (False, True):
            got = statistics(x, affine_invariant=affine_invariant)
            for name in ("skewness", "kurtosis"):
                values = np.float64(getattr(got, name))
                mean, std = (float(getattr(got, f"{name}_{moment}")[0]) for moment in ("mean", "std"))
                # Five standard errors of the mean, of the standard deviation (law taken as heavy as a chi-square's
                # tail makes it), and of the share of p-values below 5 %, which hold only for large n: two thirds to
                # three halves of 5 % is what n = 100 to 200 gives.
                assert abs(values.mean() - mean) < 5 * values.std() / math.sqrt(trials)
                kurtosis = scipy.stats.kurtosis(values, fisher=False)
                leading_order = 0.12 if affine_invariant and name == "skewness" else 0.0
                assert abs(values.std() / std - 1) < 5 * math.sqrt((kurtosis - 1) / (4 * trials)) + leading_order
                share = np.mean(np.asarray(getattr(got, f"{name}_p_value")) < 0.05)
                assert 2 / 3 * 0.05 < share < 3 / 2 * 0.05


@pytest.mark.fast
def test_raw_null_moments_have_the_closed_forms_of_the_literature():
    got = statistics(np.zeros((500, 20), np.float32))
    np.testing.assert_allclose(got.skewness_mean, 20 * 22 * 24 / 500, rtol=1e-6)
    np.testing.assert_allclose(got.kurtosis_mean, 440, rtol=1e-6)
    np.testing.assert_allclose(got.kurtosis_std, math.sqrt(8 * 20 * 22 * 23 / 500), rtol=1e-6)


@pytest.mark.fast
@pytest.mark.parametrize("d", [1, 2, 3])
def test_raw_skewness_has_the_shape_of_its_large_sample_law(d):
    """n b1 tends to the squared norm of a normal tensor, whose covariance E x_i x_j x_k x_l x_m x_o is integrated."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(4)  # exact to degree 7, six are needed
    grid = np.stack(np.meshgrid(*[nodes] * d), axis=-1).reshape(-1, d)
    weight = np.prod(np.meshgrid(*[weights / weights.sum()] * d), axis=0).ravel()
    cubes = np.einsum("ni,nj,nk->nijk", grid, grid, grid).reshape(len(grid), -1)
    eigenvalues = np.linalg.eigvalsh((cubes * weight[:, None]).T @ cubes)
    mean, std, dof, *_ = mardia._null_of_standard_normal(10**9, d)
    np.testing.assert_allclose(dof, np.sum(eigenvalues**2) ** 3 / np.sum(eigenvalues**3) ** 2, rtol=1e-9)
    np.testing.assert_allclose(mean * 10**9, np.sum(eigenvalues), rtol=1e-9)
    np.testing.assert_allclose(std * 10**9, np.sqrt(2 * np.sum(eigenvalues**2)), rtol=1e-6)


def test_p_values_see_what_they_should():
    rng = np.random.default_rng(0)
    normal, skewed = rng.normal(size=(400, 3)), rng.gamma(2.0, size=(400, 3)) - 2.0
    heavy = rng.standard_t(4, size=(400, 3))
    shifted = normal @ [[2.0, 0, 0], [0, 1, 0], [0, 0, 1]] + 1.0
    for affine_invariant in (False, True):
        got = statistics(np.float32(np.stack([normal, skewed, heavy, shifted])), affine_invariant=affine_invariant)
        assert got.skewness_p_value[0] > 0.01 and got.kurtosis_p_value[0] > 0.01
        assert got.skewness_p_value[1] < 1e-6
        assert got.kurtosis_p_value[2] < 1e-6
        # Mean and scale count in the raw form, and not in the other.
        assert got.kurtosis_p_value[3] > 0.01 if affine_invariant else got.kurtosis_p_value[3] < 1e-6


@pytest.mark.parametrize("dof", [1.0, 4.0, 120.0, 1000.0, 1540.0, 45760.0, 1e6])
def test_chi_square_tail_equals_scipy(dof):
    z = np.array([-3.0, -1.0, -0.1, 0.0, 0.05, 0.3, 1.0, 2.0, 4.0, 7.0])
    value = np.float32(np.maximum(dof + z * math.sqrt(2 * dof), 0.0))
    tail = jax.jit(mardia._chi2_upper_tail, static_argnames="max_dof")
    got = tail(value, np.float32([dof]), max_dof=dof)
    np.testing.assert_allclose(got, scipy.stats.chi2.sf(np.float64(value), dof), rtol=5e-4)


@pytest.mark.parametrize(("n", "d", "affine_invariant"), [(9, 2, True), (9, 2, False), (8, 3, False)])
def test_gradient_agrees_with_central_differences(x64, affine_invariant, n, d):
    x = sample(n, d)

    def both(x):
        got = gaussian.mardia(x, affine_invariant=affine_invariant)
        return jnp.stack([got.skewness, got.kurtosis], axis=-1)

    directions = 1e-5 * np.eye(n * d).reshape(-1, n, d)
    up, down = (jax.jit(both)(x + sign * directions) for sign in (1, -1))
    want = np.asarray((up - down) / 2e-5).T.reshape(2, n, d)
    np.testing.assert_allclose(jax.jit(jax.jacrev(both))(x), want, rtol=1e-5, atol=1e-7)


def test_second_derivative_of_the_affine_form(x64):
    x, direction = sample(9, 2), np.random.default_rng(5).normal(size=(9, 2))

    def along(t):
        return gaussian.mardia(x + t * direction, affine_invariant=True).kurtosis

    step = 1e-3
    up, here, down = jax.jit(jax.vmap(along))(jnp.array([step, 0.0, -step]))
    np.testing.assert_allclose(jax.jit(jax.hessian(along))(0.0), (up - 2 * here + down) / step**2, rtol=1e-4)


def test_equal_eigenvalues_and_singular_covariances_have_finite_gradients():
    cross = np.float32(np.concatenate([np.eye(6), -np.eye(6)]))  # covariance a multiple of the identity
    plane = np.float32(sample(12, 2) @ np.random.default_rng(3).normal(size=(2, 6)))  # rank 2 in R^6
    few = np.float32(np.repeat(sample(4, 6), 3, axis=0))
    for x in (cross, plane, few):
        (_, forms), gradients = values_and_gradients(x)
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((forms, gradients)))


def test_a_singular_sample_is_measured_within_its_span():
    flat = sample(30, 2)
    plane = np.float32(flat @ np.random.default_rng(3).normal(size=(2, 5)))
    for a, b in zip(
        statistics(plane, affine_invariant=True), statistics(np.float32(flat), affine_invariant=True), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-4)
    one = statistics(np.ones((1, 3), np.float32), affine_invariant=True)
    assert one.kurtosis == 0 and one.kurtosis_p_value == 1


@FORMS
def test_non_finite_entries_give_nan_in_their_own_problem_only(affine_invariant):
    x = np.float32(np.stack([sample(45, 3)] * 3))
    x[1, 3, 1], x[2, 3, 1] = np.nan, np.inf
    got = statistics(x, affine_invariant=affine_invariant)
    for value in (*got[:3], *got[-2:]):
        assert np.isfinite(value[0]) and np.isnan(value[1]) and np.isnan(value[2])


@FORMS
def test_leading_axes_vmap_and_dtype(affine_invariant):
    x = np.float32(np.stack([sample(45, 3, seed) for seed in range(3)]))
    want = statistics(x, affine_invariant=affine_invariant)
    # Mapped where the form has most to do, untraced where it has least; that is a hundred small programs.
    other = (
        jax.jit(jax.vmap(lambda x: gaussian.mardia(x, affine_invariant=True)))(x)
        if affine_invariant
        else jax.tree.map(lambda value: value[None], gaussian.mardia(x[0]))
    )
    for ours, expected in zip(want, other, strict=True):
        np.testing.assert_allclose(ours[: len(expected)], expected, rtol=1e-4, atol=1e-5)
    narrow = jax.eval_shape(lambda x: gaussian.mardia(x, affine_invariant=affine_invariant), jnp.bfloat16(x))
    assert all(field.dtype == jnp.float32 for field in narrow)


@pytest.mark.fast
@pytest.mark.parametrize("d", [3, 9])  # moment tensor, pairs
def test_blocks_change_neither_value_nor_gradient(monkeypatch, d):
    x = np.float32(sample(47, d))
    whole = jax.jit(jax.value_and_grad(lambda x: gaussian.mardia(x).skewness))(x)
    monkeypatch.setattr(mardia, "_BLOCK_ENTRIES", 10 * max(47, d * d))  # ten rows a block, and a last one of seven
    blocked = jax.jit(jax.value_and_grad(lambda x: gaussian.mardia(x).skewness))(x)
    np.testing.assert_allclose(blocked[0], whole[0], rtol=1e-5)
    np.testing.assert_allclose(blocked[1], whole[1], rtol=1e-4, atol=1e-5 * np.abs(whole[1]).max())


@pytest.mark.parametrize("d", [64, 200])  # moment tensor, pairs
def test_memory_of_value_and_gradient_does_not_grow_with_the_square_of_n(d):
    n = 16384
    x = jax.ShapeDtypeStruct((n, d), jnp.float32)
    compiled = jax.jit(jax.value_and_grad(lambda x: gaussian.mardia(x).skewness)).lower(x).compile()
    temporary = compiled.memory_analysis().temp_size_in_bytes

    assert temporary < 64 * 2**20  # an n x n matrix takes 1 GiB, the products of 64 features 256 MiB


def test_sharded_equals_single():
    mesh = jax.make_mesh((8,), ("samples",), axis_types=(jax.sharding.AxisType.Auto,))
    sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("samples"))
    x = np.float32(sample(64, 3))
    want = statistics(x, affine_invariant=True)  # with the covariance; sums alone are the raw form
    for a, b in zip(statistics(jax.device_put(x, sharding), affine_invariant=True), want, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.fast
@pytest.mark.parametrize("shape", [(3,), (0, 3), (3, 0), ()])
def test_wrong_shapes_are_refused_by_name_while_tracing(shape):
    with pytest.raises(ValueError, match=r"x\.shape"):
        jax.eval_shape(gaussian.mardia, jax.ShapeDtypeStruct(shape, jnp.float32))


@jax.jit
def values_and_gradients(x):
    def total(x):
        raw, affine = gaussian.mardia(x), gaussian.mardia(x, affine_invariant=True)
        return raw.skewness + raw.kurtosis + affine.skewness + affine.kurtosis, (raw, affine)

    return jax.value_and_grad(total, has_aux=True)(x)


@hypothesis.given(
    shape=st.sampled_from([(1, 1), (17, 64), (12, 6)]),
    kind=st.sampled_from(["normal", "ties", "constant", "outliers"]),
    seed=st.integers(0, 1000),
)
def test_any_finite_sample_gives_finite_values_and_gradients(shape, kind, seed):
    x = np.random.default_rng(seed).normal(size=shape)
    x = {"normal": x, "ties": np.round(x), "constant": np.full_like(x, 0.1), "outliers": x + 1e4 * (x > 1)}[kind]
    (_, (raw, affine)), gradient = values_and_gradients(np.float32(x))
    for value in (*raw, *affine):
        assert np.isfinite(value)
    for got in (raw, affine):
        assert got.skewness >= 0 and got.kurtosis >= 0
        assert 0 <= got.skewness_p_value <= 1 and 0 <= got.kurtosis_p_value <= 1
    assert np.isfinite(gradient).all()


def test_many_rows_under_jit():
    period = np.float32(sample(7, 2))
    got = statistics(np.tile(period, (2**19, 1)), affine_invariant=True)
    np.testing.assert_allclose([got.skewness, got.kurtosis], by_definition(period, True), rtol=2e-5)
