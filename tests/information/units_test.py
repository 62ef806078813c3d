"""Origin, unit and kind of the input: timestamps, 1e-30, 1e30, outliers, lists; every public function of two rooms."""

import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gentoolkit import information
from gentoolkit.gaussianization import criterion, marginal, rbig, rotation, univariate_entropy
from gentoolkit.information import (
    elliptical,
    estimate,
    exponential_family,
    gaussian,
    mixture,
    nearest_neighbors,
    student_t,
    von_mises,
)

KEY = jax.random.key(0)
QUICK = {"num_folds": 2, "num_layers": 0, "max_components": 1}
SCATTER = [[1.0, 0.4], [0.4, 2.0]]


def draws(n=120, d=3, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_t(4, size=(n, d)) @ (np.eye(d) + 0.4 * np.triu(np.ones((d, d)), 1))


# Measures of one sample, by how often the logarithm of the unit of a feature is in them.
ENTROPIES = {
    "neighbours": functools.partial(nearest_neighbors.entropy),
    "neighbours, max norm": functools.partial(nearest_neighbors.entropy, metric="chebyshev"),
    "neighbours, tree": functools.partial(nearest_neighbors.entropy, method="tree"),
    "exponential family": exponential_family.entropy,
    "von Mises": von_mises.entropy,
}
UNIT_FREE = {
    "KSG": nearest_neighbors.total_correlation,
    "KSG, tree": functools.partial(nearest_neighbors.total_correlation, method="tree"),
    "KSG 2": lambda x: nearest_neighbors.mutual_information(x[:, :1], x[:, 1:], algorithm=2),
    "conditional": lambda x: nearest_neighbors.conditional_mutual_information(x[:, :1], x[:, 1:2], x[:, 2:]),
    "nonuniformity": lambda x: nearest_neighbors.local_nonuniformity(x, k=5),
    "neighbours, KL": lambda x: nearest_neighbors.kl_divergence(x[:60], x[60:]),
    "neighbours, KL, tree": lambda x: nearest_neighbors.kl_divergence(x[:60], x[60:], method="tree"),
    "normal, T": exponential_family.total_correlation,
    "normal, I": lambda x: exponential_family.mutual_information(x[:, :1], x[:, 1:]),
    "normal, conditional": lambda x: exponential_family.conditional_mutual_information(x[:, :1], x[:, 1:2], x[:, 2:]),
    "normal, KL": lambda x: exponential_family.kl_divergence(x[:60], x[60:]),
    "von Mises, T": von_mises.total_correlation,
    "von Mises, I": lambda x: von_mises.mutual_information(x[:, :1], x[:, 1:]),
    "von Mises, KL": lambda x: von_mises.kl_divergence(x[:60], x[60:]),
    "bandwidth": lambda x: von_mises.likeliest_bandwidth(x, [0.2, 0.4, 0.8]),
}
ALL = [(name, ask, 3) for name, ask in ENTROPIES.items()] + [(name, ask, 0) for name, ask in UNIT_FREE.items()]
EACH = pytest.mark.parametrize(("ask", "times"), [pair[1:] for pair in ALL], ids=[pair[0] for pair in ALL])


@pytest.mark.fast
@EACH
def test_comparison_estimators_know_no_origin_and_follow_the_unit(ask, times):
    x = draws()
    want = np.float64(ask(np.float32(x)))
    assert np.isfinite(want)
    for exponent in (-100, 97):
        got = np.float64(ask(np.float32(x) * np.float32(2.0**exponent)))
        np.testing.assert_allclose(got - times * exponent * np.log(2), want, rtol=1e-4, atol=3e-5)
    # As float64 they need not be numbers of float32 at all.
    for scale, origin in ((1e39, 0), (1e-60, 0), (1, [1.7e9, -3e8, 4e6])):
        got = np.float64(ask(x * scale + origin)) - times * np.log(scale)
        np.testing.assert_allclose(got, want, rtol=1e-3, atol=2e-3)


@pytest.mark.fast
@pytest.mark.parametrize("method", ["blocks", "tree"])
def test_neighbours_near_and_far_from_outliers(method):
    """Squares of what lies between the sample must not vanish for an outlier, nor those of the outlier overflow."""
    x = draws(200)
    bulk = nearest_neighbors.entropy(np.float32(x), method=method)
    for scale, outlier in ((1.0, 1e8), (1e-12, 1e25), (1e-25, 1e6)):
        y = np.float32(x * scale)
        y[7] = outlier
        got = float(nearest_neighbors.entropy(y, method=method)) - 3 * np.log(scale)
        far = 3 * np.log(np.sqrt(3) * outlier / scale) / 200
        np.testing.assert_allclose(got, bulk + far, atol=0.05)
    tiny = np.float32(draws(300, 2)) * np.float32(1e-19)
    want = nearest_neighbors.entropy(tiny * np.float32(1e19), method=method)
    np.testing.assert_allclose(nearest_neighbors.entropy(tiny, method=method), want + 2 * np.log(1e-19), rtol=1e-5)


def test_destructors_know_no_origin_and_follow_the_unit():
    x = draws(300)
    measures = {
        "total correlation": (lambda x: information.total_correlation(KEY, x, **QUICK), 0),
        "mutual information": (lambda x: information.mutual_information(KEY, x[:, :1], x[:, 1:], **QUICK), 0),
        "conditional": (
            lambda x: information.conditional_mutual_information(KEY, x[:, :1], x[:, 1:2], x[:, 2:], **QUICK),
            0,
        ),
        "entropy": (lambda x: information.entropy(KEY, x, **QUICK), 3),
        "negentropy": (lambda x: information.negentropy(KEY, x, **QUICK), 0),
        "divergence": (lambda x: information.kl_divergence(KEY, x[:150], x[150:], **QUICK), 0),
    }
    for name, (ask, times) in measures.items():
        want = ask(np.float32(x))
        for wide in (x + 1.7e9, x * 1e-30, x * 1e30, x * 1e39):
            got = ask(wide)
            shift = times * np.log(abs(np.diff(wide[:2, 0]) / np.diff(x[:2, 0])))
            np.testing.assert_allclose(got.value - shift, want.value, rtol=1e-3, atol=5e-3, err_msg=name)
            np.testing.assert_allclose(got.trace - shift, want.trace, rtol=1e-3, atol=5e-3, err_msg=name)


def test_doubt_of_wide_data_and_progress():
    x = draws(60, 2)
    ask = functools.partial(nearest_neighbors.total_correlation, k=3)
    want, got = (
        estimate.with_doubt(KEY, ask, data, num_permutations=9, num_groups=5) for data in (np.float32(x), x + 1.7e9)
    )
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-3)
    told = []
    got = information.total_correlation(
        KEY, x, **QUICK, num_permutations=3, progress=lambda done, num, value: told.append((done, num, value))
    )
    assert [entry[:2] for entry in told] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert told[0][2].value == got.value and told[0][2].p_value is None
    # The copies one by one are what they are in one traced batch.
    batch = jax.jit(functools.partial(information.total_correlation, **QUICK, num_permutations=3))(KEY, np.float32(x))
    for field in ("value", "standard_error", "null_mean", "null_std", "p_value"):
        np.testing.assert_allclose(getattr(got, field), getattr(batch, field), rtol=1e-3, atol=1e-4)


X, Y = draws(120).round(3).tolist(), draws(120, seed=1).round(3).tolist()
ROW = draws(120)[:, 0].round(3).tolist()


@functools.cache
def _destructor():
    """One of the right shapes; only types are looked at here."""
    shapes = jax.eval_shape(lambda: rbig.fit(KEY, X, num_layers=1))
    return jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)


def _marginal(variant):
    fitted = variant.fit(ROW)
    return variant.forward(fitted, ROW), variant.inverse(fitted, ROW)


LISTS = {
    **{
        f"nearest_neighbors.{name}": functools.partial(getattr(nearest_neighbors, name), X)
        for name in ("entropy", "total_correlation", "local_nonuniformity")
    },
    "nearest_neighbors.mutual_information": lambda: nearest_neighbors.mutual_information(X, Y),
    "nearest_neighbors.conditional_mutual_information": lambda: nearest_neighbors.conditional_mutual_information(
        X, Y, X
    ),
    "nearest_neighbors.kl_divergence": lambda: nearest_neighbors.kl_divergence(X, Y, method="tree"),
    "exponential_family.entropy": lambda: exponential_family.entropy(X),
    "exponential_family.total_correlation": lambda: exponential_family.total_correlation(X),
    "exponential_family.mutual_information": lambda: exponential_family.mutual_information(X, Y),
    "exponential_family.conditional_mutual_information": lambda: exponential_family.conditional_mutual_information(
        [row[:1] for row in X], [row[1:2] for row in X], Y
    ),
    "exponential_family.kl_divergence": lambda: exponential_family.kl_divergence(X, Y),
    "von_mises.entropy": lambda: von_mises.entropy(X, form="split"),
    "von_mises.total_correlation": lambda: von_mises.total_correlation(X),
    "von_mises.mutual_information": lambda: von_mises.mutual_information(X, Y),
    "von_mises.kl_divergence": lambda: von_mises.kl_divergence(X, Y),
    "von_mises.likeliest_bandwidth": lambda: von_mises.likeliest_bandwidth(X, [0.3, 0.5]),
    "gaussian.entropy": lambda: gaussian.entropy(SCATTER),
    "gaussian.total_correlation": lambda: gaussian.total_correlation(SCATTER),
    "gaussian.mutual_information": lambda: gaussian.mutual_information(SCATTER, split=1),
    "gaussian.conditional_mutual_information": lambda: gaussian.conditional_mutual_information(
        np.eye(3).tolist(), split=(1, 1)
    ),
    "student_t.entropy": lambda: student_t.entropy(SCATTER, dof=3.0),
    "student_t.total_correlation": lambda: student_t.total_correlation(SCATTER, dof=[2.0, 3.0]),
    "student_t.mutual_information": lambda: student_t.mutual_information(SCATTER, dof=3.0, split=1),
    "student_t.sample": lambda: student_t.sample(KEY, SCATTER, dof=3.0, num=4),
    "elliptical.fit": lambda: elliptical.fit(X),
    "mixture.fit": lambda: mixture.fit(KEY, X, 2),
    "estimate.permuted": lambda: estimate.permuted(KEY, X, num=2),
    "estimate.permuted_columns": lambda: estimate.permuted_columns(KEY, X, num=2),
    "estimate.independent": lambda: estimate.independent(KEY, X, Y, num=2),
    "estimate.concatenated": lambda: estimate.concatenated(X, Y),
    "estimate.p_value": lambda: estimate.p_value([1.0], [[0.0], [2.0]]),
    "estimate.null_summary": lambda: estimate.null_summary([1.0], [[0.0], [2.0]]),
    "estimate.jackknife": lambda: estimate.jackknife(lambda x: x.mean(axis=(-2, -1)), X),
    "estimate.jackknife_error": lambda: estimate.jackknife_error([1.0, 2.0]),
    "estimate.with_doubt": lambda: estimate.with_doubt(KEY, exponential_family.mutual_information, X, Y, num_groups=3),
    "rbig.fit": lambda: rbig.fit(KEY, X, num_layers=1),
    "rbig.forward": lambda: rbig.forward(_destructor(), X),
    "rbig.inverse": lambda: rbig.inverse(_destructor(), X),
    "rbig.log_prob": lambda: rbig.log_prob(_destructor(), X),
    "rbig.to_uniform": lambda: rbig.to_uniform(_destructor(), X),
    "rbig.from_uniform": lambda: rbig.from_uniform(_destructor(), [[0.2, 0.5, 0.7]]),
    "rbig.layers": lambda: rbig.layers(_destructor(), X),
    "rbig.apply_layer": lambda: rbig.apply_layer(
        _destructor().marginal, jax.tree.map(lambda leaf: leaf[0], _destructor().layers), X
    ),
    "rotation.rotate": lambda: rotation.rotate(np.eye(3).tolist(), X),
    "rotation.rotate_back": lambda: rotation.rotate_back(np.eye(3).tolist(), X),
    **{f"rotation.{v}": (lambda v=v: getattr(rotation, v)().fit(KEY, X)) for v in ("pca", "random", "ica")},
    "rotation.max_sliced": lambda: rotation.max_sliced(num_steps=1).fit(KEY, X),
    **{
        f"marginal.{v.name}": (lambda v=v: _marginal(v))
        for v in (
            marginal.quantile(),
            marginal.histogram(),
            marginal.kernel_density(num_points=16),
            marginal.mixture(num_steps=1),
        )
    },
    "marginal.dither": lambda: marginal.dither(KEY, ROW),
    "univariate_entropy.spacing": lambda: univariate_entropy.spacing(ROW),
    "univariate_entropy.histogram": lambda: univariate_entropy.histogram(ROW),
    "criterion.total_correlation_removed": lambda: criterion.total_correlation_removed(X, Y, ROW),
}
LISTS |= {
    f"information.{name}": functools.partial(getattr(information, name), KEY, *samples, **QUICK)
    for name, samples in {
        "total_correlation": [X],
        "mutual_information": [X, Y],
        "conditional_mutual_information": [X, Y, X],
        "entropy": [X],
        "negentropy": [X],
        "kl_divergence": [X, Y],
    }.items()
}


@pytest.mark.fast
@pytest.mark.parametrize("make", LISTS.values(), ids=LISTS.keys())
def test_lists_are_samples_too(make):
    found = jax.eval_shape(
        lambda: jax.tree.map(jnp.asarray, [a for a in jax.tree.leaves(make()) if hasattr(a, "dtype")])
    )
    assert found and all(a.dtype in (jnp.float32, jnp.int32) for a in found)


@pytest.mark.fast
def test_no_public_function_of_samples_is_left_out():
    rooms = [nearest_neighbors, exponential_family, von_mises, gaussian, student_t, estimate, rbig, univariate_entropy]
    taking = {
        f"{module.__name__.rpartition('.')[2]}.{name}"
        for module in rooms
        for name, function in vars(module).items()
        if inspect.isfunction(inspect.unwrap(function) if callable(function) else function)
        and not name.startswith("_")
        and inspect.unwrap(function).__module__ == module.__name__
    }
    host_side = {
        "nearest_neighbors.nonuniformity_threshold",
        "estimate.jackknife_rows",
        "rbig.sample",
        "univariate_entropy.spacing_plan",
        "univariate_entropy.spacing_of_order_statistics",
    }
    assert taking - host_side <= set(LISTS)
