"""The estimators of the figures: ours in its forms, and the paper's comparisons; (key, samples) -> (value, error)."""

import functools
from collections.abc import Callable
from typing import Literal

import jax

from gentoolkit import information
from gentoolkit.information import exponential_family, nearest_neighbors, von_mises

Measure = Literal["total_correlation", "mutual_information"]
Estimator = Callable[[jax.Array, jax.Array], tuple[float, float | None]]

RECOMMENDED = "likelihood"
_FORMS = ("likelihood", "telescoped", "classical", "unstopped")
# Copies with permuted features, whose mean estimate is taken off that of the form without a rule.
_PERMUTATIONS = 9
# n^2 distances in d dimensions: beyond this von Mises takes minutes for one estimate on two cores.
_LARGEST_VON_MISES = 5000
# With more features a search tree looks at nearly all rows, at ten times the cost of comparing all in blocks.
_MOST_FEATURES_FOR_A_TREE = 5


def estimators(measure: Measure, dim: int) -> dict[str, Estimator]:
    """Returns the estimators of a measure by name; mutual information: of the first d // 2 features and the rest."""
    split = dim // 2

    def blocks(x):
        return (x,) if measure == "total_correlation" else (x[:, :split], x[:, split:])

    def ours(form):
        function = getattr(information, measure)
        compiled = jax.jit(lambda key, x: function(key, *blocks(x), form=form))

        def estimate(key, x):
            got = compiled(key, x)
            return float(got.value), None if got.standard_error is None else float(got.standard_error)

        return estimate

    def debiased():
        function = getattr(information, measure)
        compiled = jax.jit(lambda key, x: function(key, *blocks(x), form="unstopped", num_permutations=_PERMUTATIONS))
        return lambda key, x: (float(compiled(key, x).debiased), None)

    def theirs(function, *, compile_it):
        function = jax.jit(function) if compile_it else function
        return lambda key, x: (float(function(*blocks(x))), None)

    def neighbors(function, features):
        if features <= _MOST_FEATURES_FOR_A_TREE:
            return functools.partial(function, k=3, method="tree")
        return jax.jit(functools.partial(function, k=3, method="blocks"))

    def entropy_sum(*samples):
        joint = jax.numpy.concatenate(samples, axis=1)
        parts = [joint[:, j : j + 1] for j in range(dim)] if measure == "total_correlation" else samples
        return sum(float(entropy[part.shape[1]](part)) for part in parts) - float(entropy[dim](joint))

    entropy = {features: neighbors(nearest_neighbors.entropy, features) for features in {1, split, dim - split, dim}}
    ksg = neighbors(getattr(nearest_neighbors, measure), dim)
    return {
        **{form: ours(form) for form in _FORMS},
        "debiased": debiased(),
        "kozachenko_leonenko": theirs(entropy_sum, compile_it=False),
        "ksg": theirs(ksg, compile_it=False),
        "exponential_family": theirs(getattr(exponential_family, measure), compile_it=True),
        "von_mises": theirs(getattr(von_mises, measure), compile_it=True),
    }


def too_slow(estimator: str, n: int) -> bool:
    """Whether an estimator is left out at a sample size."""
    return estimator == "von_mises" and n > _LARGEST_VON_MISES
