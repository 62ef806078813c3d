"""Neighbour estimators against scikit-learn, hand-written formulas, closed forms, and each other."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import digamma, gammaln
from sklearn.feature_selection._mutual_info import _compute_mi_cc

from gentoolkit.gaussianization import marginal
from gentoolkit.information import gaussian, nearest_neighbors

METHODS = pytest.mark.parametrize("method", ["blocks", "tree"])
MEASURES = {
    "entropy": lambda x, **o: nearest_neighbors.entropy(x, **o),
    "total_correlation": lambda x, **o: nearest_neighbors.total_correlation(x, **o),
    "algorithm_2": lambda x, **o: nearest_neighbors.total_correlation(x, algorithm=2, **o),
    "mutual_information": lambda x, **o: nearest_neighbors.mutual_information(x[..., :1], x[..., 1:], **o),
    "conditional": lambda x, **o: nearest_neighbors.conditional_mutual_information(
        x[..., :1], x[..., 1:2], x[..., 2:], **o
    ),
    "kl_divergence": lambda x, **o: nearest_neighbors.kl_divergence(x, 1.5 * x[..., ::-1, :] + 0.3, **o),
    "local_nonuniformity": lambda x, **o: nearest_neighbors.local_nonuniformity(x, **{"k": 5, **o}),
}


def sample(n=80, seed=0):
    mix = np.array([[1, 0.5, 0.2], [0, 1, 0.7], [0, 0, 1]])
    return np.random.default_rng(seed).normal(size=(n, 3)) @ mix


def chebyshev(x):
    distance = np.abs(x[:, None] - x[None]).max(axis=-1)
    np.fill_diagonal(distance, np.inf)
    return distance


def by_definition(blocks, k, algorithm):
    """KSG 1 and 2 for any number of blocks, from matrices of distances."""
    joint = chebyshev(np.concatenate(blocks, axis=1))
    n, more = len(joint), len(blocks) - 1
    order = np.argsort(joint, axis=1)[:, :k]
    total = 0.0
    for block in blocks:
        own = chebyshev(block)
        if algorithm == 1:
            total += digamma((own < np.sort(joint, axis=1)[:, k - 1 : k]).sum(axis=1) + 1)
        else:
            radius = np.take_along_axis(own, order, axis=1).max(axis=1, keepdims=True)
            total += digamma((own <= radius).sum(axis=1))
    return digamma(k) - (more / k if algorithm == 2 else 0) + more * digamma(n) - total.mean()


@METHODS
@pytest.mark.parametrize("k", [1, 6])
def test_ksg_1_is_that_of_scikit_learn(x64, method, k):
    x = sample(200)
    got = nearest_neighbors.mutual_information(x[:, :1], x[:, 1:2], k=k, method=method)
    np.testing.assert_allclose(np.maximum(got, 0), _compute_mi_cc(x[:, 0], x[:, 1], k), rtol=1e-12)  # theirs is clipped


@METHODS
@pytest.mark.parametrize("algorithm", [1, 2])
def test_ksg_is_its_definition(x64, method, algorithm):
    x = sample()
    options = {"k": 4, "algorithm": algorithm, "method": method}
    want = by_definition([x[:, :1], x[:, 1:2], x[:, 2:]], 4, algorithm)
    np.testing.assert_allclose(nearest_neighbors.total_correlation(x, **options), want, rtol=1e-11)
    want = by_definition([x[:, :1], x[:, 1:]], 4, algorithm)
    np.testing.assert_allclose(nearest_neighbors.mutual_information(x[:, :1], x[:, 1:], **options), want, rtol=1e-11)


@pytest.mark.fast
@METHODS
@pytest.mark.parametrize("algorithm", [1, 2])
def test_ksg_is_its_definition_beside_far_rows_and_between_far_clusters(method, algorithm):
    """The neighbours of a row at 1e12 are at distances that float32 rounds alike; their order must not be lost."""
    one_far = sample(60)
    one_far[7] = [1e12, 1e12, -1e12]
    device = jnp.asarray(np.where(np.arange(60)[:, None] == 7, [1e12, 0.5, -1e12], sample(60)), jnp.float32)
    clusters = sample(60) + 1e11 * (np.arange(60) % 3)[:, None]
    for x in (one_far, device, clusters):
        host = np.float64(x)
        options = {"k": 3, "algorithm": algorithm, "method": method}
        want = by_definition([host[:, :1], host[:, 1:]], 3, algorithm)
        np.testing.assert_allclose(nearest_neighbors.mutual_information(x[:, :1], x[:, 1:], **options), want, rtol=1e-5)
        want = by_definition([host[:, :1], host[:, 1:2], host[:, 2:]], 3, algorithm)
        np.testing.assert_allclose(nearest_neighbors.total_correlation(x, **options), want, rtol=1e-5)


@METHODS
def test_entropy_divergence_and_condition_are_their_definitions(x64, method):
    x, z = sample(60), sample(90, seed=1)
    k, n, d = 3, 60, 3
    euclidean = np.linalg.norm(x[:, None] - x[None], axis=-1) + np.diag(np.full(n, np.inf))
    rho = np.sort(euclidean, axis=1)[:, k - 1]
    ball = d / 2 * np.log(np.pi) - gammaln(d / 2 + 1)
    want = digamma(n) - digamma(k) + ball + d * np.log(rho).mean()
    np.testing.assert_allclose(nearest_neighbors.entropy(x, method=method), want, rtol=1e-12)
    joint = np.sort(chebyshev(x), axis=1)[:, k - 1]
    want = digamma(n) - digamma(k) + d * np.log(2 * joint).mean()
    np.testing.assert_allclose(nearest_neighbors.entropy(x, metric="chebyshev", method=method), want, rtol=1e-12)
    nu = np.sort(np.linalg.norm(x[:, None] - z[None], axis=-1), axis=1)[:, k - 1]
    want = d * np.log(nu / rho).mean() + np.log(len(z) / (n - 1))
    np.testing.assert_allclose(nearest_neighbors.kl_divergence(x, z, method=method), want, rtol=1e-12)

    def inside(part):
        return digamma((chebyshev(part) < joint[:, None]).sum(axis=1) + 1)

    want = digamma(k) + (inside(x[:, 2:]) - inside(x[:, [0, 2]]) - inside(x[:, 1:])).mean()
    got = nearest_neighbors.conditional_mutual_information(x[:, :1], x[:, 1:2], x[:, 2:], method=method)
    np.testing.assert_allclose(got, want, rtol=1e-12)


def test_gaussian_values():
    x = np.float32(sample(3000))
    cov = np.cov(x.T)
    options = {"method": "tree"}
    near = functools.partial(np.testing.assert_allclose, atol=0.06)  # two to three chance errors at this n
    near(nearest_neighbors.entropy(x, **options), gaussian.entropy(cov))
    near(nearest_neighbors.total_correlation(x, **options), gaussian.total_correlation(cov))
    near(nearest_neighbors.mutual_information(x[:, :1], x[:, 1:], **options), gaussian.mutual_information(cov, split=1))
    near(MEASURES["conditional"](x, **options), gaussian.conditional_mutual_information(cov, split=(1, 1)))
    zero, unit = np.zeros(3), np.eye(3)
    normal = np.float32(np.random.default_rng(5).normal(size=(3000, 3)))
    np.testing.assert_allclose(
        nearest_neighbors.kl_divergence(normal, 1.5 * normal[::-1], **options),
        gaussian.kl_divergence(zero, unit, zero, 2.25 * unit),
        atol=0.1,
    )


def test_nonuniformity_repairs_strong_dependence():
    rng = np.random.default_rng(0)
    x = rng.normal(size=500)
    x = np.float32(np.stack([x, x + 1e-3 * rng.normal(size=500)], axis=1))
    truth = 0.5 * np.log(1 + 1e6)
    plain = nearest_neighbors.total_correlation(x, k=5)
    repaired = plain + nearest_neighbors.local_nonuniformity(x, k=5)
    assert plain < 0.7 * truth and abs(repaired - truth) < 0.05 * truth
    free = np.float32(rng.normal(size=(500, 2)))
    # Half a percent of the points are corrected for nothing, by about log(1 / alpha) and more each.
    threshold = nearest_neighbors.nonuniformity_threshold(5, 2)
    assert 0 <= nearest_neighbors.local_nonuniformity(free, k=5) < 4 * 5e-3 * np.log(1 / threshold)
    both = nearest_neighbors.local_nonuniformity(x[:, :1], x[:, 1:], k=5)
    np.testing.assert_allclose(both, repaired - plain, rtol=1e-5)


@pytest.mark.parametrize("name", MEASURES)
def test_methods_jit_vmap_dtype_and_order_agree(name):
    measure = MEASURES[name]
    x = np.float32(np.stack([sample(60, seed) for seed in range(2)]))
    compiled = jax.jit(measure)
    want = compiled(x)
    assert want.shape == (2,) and want.dtype == jnp.float32
    for other in (measure(x, method="tree"), jax.jit(jax.vmap(measure))(x)):  # untraced: units_test.py
        np.testing.assert_allclose(other, want, rtol=1e-4, atol=2e-5)
    shuffled = x[:, np.random.default_rng(0).permutation(60)]
    np.testing.assert_allclose(compiled(shuffled), want, rtol=1e-4, atol=2e-5)
    assert jax.eval_shape(measure, jnp.bfloat16(x)).dtype == jnp.float32


def test_blocks_of_rows_change_nothing(monkeypatch):
    from gentoolkit.information import _neighbors

    x = np.float32(sample(47))
    whole = [MEASURES[name](x) for name in ("mutual_information", "algorithm_2", "kl_divergence")]
    monkeypatch.setattr(_neighbors, "_BLOCK_ENTRIES", 10 * 47)  # ten rows a block, and a last one of seven
    blocked = [MEASURES[name](x) for name in ("mutual_information", "algorithm_2", "kl_divergence")]
    np.testing.assert_allclose(blocked, whole, rtol=1e-6)


def test_memory_does_not_grow_with_the_square_of_n():
    x = jax.ShapeDtypeStruct((30_000, 3), jnp.float32)  # a matrix of distances takes 3.4 GiB
    compiled = jax.jit(nearest_neighbors.total_correlation).lower(x).compile()
    assert compiled.memory_analysis().temp_size_in_bytes < 128 * 2**20


def test_mutual_information_is_symmetric_and_blind_to_common_scale_and_shift():
    x = np.float32(sample())
    ask = nearest_neighbors.mutual_information
    a, b = x[:, :1], x[:, 1:]
    np.testing.assert_allclose(ask(a, b), ask(b, a), rtol=1e-5)
    np.testing.assert_allclose(ask(4 * a, 4 * b), ask(a, b), rtol=1e-5)
    np.testing.assert_allclose(
        nearest_neighbors.entropy(4 * x), nearest_neighbors.entropy(x) + 3 * np.log(4), rtol=1e-5
    )


@METHODS
def test_ties_behave_as_documented_and_dithering_undoes_them(method):
    rng = np.random.default_rng(0)
    x = np.float32(rng.integers(0, 4, size=(400, 2)))  # independent
    assert nearest_neighbors.entropy(x, method=method) == -np.inf
    assert nearest_neighbors.total_correlation(x, method=method) > 1.0
    smooth = marginal.dither(jax.random.key(0), x.T).T
    assert abs(nearest_neighbors.total_correlation(smooth, method=method)) < 0.15
    constant = np.concatenate([x, np.ones((400, 1), np.float32)], axis=1)
    smooth = marginal.dither(jax.random.key(0), constant.T).T
    assert np.isfinite(nearest_neighbors.total_correlation(smooth, method=method))


@METHODS
@pytest.mark.parametrize("name", ["total_correlation", "kl_divergence", "local_nonuniformity"])
def test_non_finite_entries_give_nan_in_their_own_problem_only(name, method):
    x = np.float32(np.stack([sample(20)] * 3))
    x[1, 3, 1], x[2, 5, 2] = np.nan, np.inf
    got = np.asarray(MEASURES[name](x, method=method))
    assert np.isfinite(got[0]) and np.isnan(got[1:]).all()


@pytest.mark.fast
@pytest.mark.parametrize(
    ("ask", "told"),
    [
        (lambda x: nearest_neighbors.entropy(x, k=20), "k = 20 and n = 20"),
        (lambda x: nearest_neighbors.entropy(x[:1]), "k = 3 and n = 1"),
        (lambda x: nearest_neighbors.entropy(x, k=0), "k must be"),
        (lambda x: nearest_neighbors.entropy(x, metric="cosine"), "metric"),
        (lambda x: nearest_neighbors.entropy(x, method="ball"), "method"),
        (lambda x: nearest_neighbors.total_correlation(x[:, :1]), "two features"),
        (lambda x: nearest_neighbors.total_correlation(x, algorithm=3), "algorithm"),
        (lambda x: nearest_neighbors.mutual_information(x, x[:5]), "row by row"),
        (lambda x: nearest_neighbors.conditional_mutual_information(x, x, x[0]), "shape"),
        (lambda x: nearest_neighbors.kl_divergence(x, x[:, :2]), "features"),
        (lambda x: nearest_neighbors.kl_divergence(x, x[:2], k=3), "k must be"),
        (lambda x: nearest_neighbors.local_nonuniformity(x, k=3), "span no box"),
        (lambda x: nearest_neighbors.local_nonuniformity(x, k=5, alpha=0.0), "alpha"),
        (lambda x: nearest_neighbors.nonuniformity_threshold(5, 2, level=1.0), "level"),
    ],
)
def test_wrong_arguments_are_refused_by_name(ask, told):
    with pytest.raises(ValueError, match=told):
        ask(jnp.zeros((20, 3)))


@pytest.mark.fast
def test_a_tree_cannot_be_traced():
    with pytest.raises(TypeError, match="tree"):
        jax.jit(functools.partial(nearest_neighbors.entropy, method="tree"))(jnp.zeros((20, 3)))
