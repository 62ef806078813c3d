"""The suite `information`: neighbour estimators beside infomeasure and scikit-learn, and what an estimate costs.

Tasks: `mutual_information` (KSG 1 between two features, k = 3), `entropy` (Kozachenko-Leonenko of d features, k = 3,
Euclidean) and `total_correlation` (the recommended estimate, for its cost; the peers have none). The numbers of a task
agree between implementations up to ties, small noise that a peer adds, and the algorithm of a bound.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from benchmarks import harness, limits, targets
from benchmarks.backends import JAX, NUMPY
from benchmarks.harness import OURS, Implementation, Row, Size

_NEIGHBORS = 3
_SIZES = (1000, 10_000, 100_000, 1_000_000)
# Beyond this a search that looks at every pair takes minutes.
_MOST_BLOCKS = 30_000
# Values in all beyond which the recommended estimate takes minutes on two cores.
_MOST_RECOMMENDED = 10_000_000
_TREE, _BLOCKS = OURS, f"{OURS} (blocks)"


def cases(*, quick: bool = False) -> list[harness.Case]:
    """Returns the cases; quick: small sizes."""
    return [
        harness.Case(
            name="pair",
            sizes=[{"n": n} for n in (_SIZES[:1] if quick else _SIZES)],
            make_inputs=_pair,
            implementations=_mutual_information(),
            least_work=_least_work,
            formula="every value read once; n log2 n comparisons for each feature (a search tree's least).",
            weight=lambda size: 1 + 1e-5 * size["n"],
            call_limit=60.0,
        ),
        harness.Case(
            name="features",
            sizes=[
                {"n": n, "d": d} for n in (_SIZES[:1] if quick else _SIZES) for d in ((2,) if quick else (2, 10, 50))
            ],
            make_inputs=_features,
            implementations=[*_entropy(), *_total_correlation()],
            least_work=_least_work,
            formula="every value read once; n log2 n comparisons for each feature (a search tree's least).",
            weight=lambda size: 1 + 4e-6 * size["n"] * size["d"],
            call_limit=60.0,
        ),
    ]


def figures(rows: Sequence[Row], *, quick: bool = False) -> list[str]:
    """Returns a line for each comparison that this run made."""
    del quick
    return list(_lines(targets.Table(rows)))


def _lines(table: targets.Table) -> Iterator[str]:
    for task, sizes, words in (
        ("mutual_information", [{"n": n} for n in _SIZES], "KSG mutual information"),
        ("entropy", [{"n": n, "d": d} for n in _SIZES for d in (2, 10, 50)], "Kozachenko-Leonenko entropy"),
    ):
        for size in sizes:
            for peer in ("infomeasure", "scikit-learn"):
                if table.find(peer, task, "value", size):
                    start = f"{words}, {harness.label(size)}, level with {peer} or faster"
                    yield table.at_least(start, (peer, task, "value"), (OURS, task, "value"), 1, size)


def _pair(size: Size) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((size["n"], 1))
    return {"x": x.astype(np.float32), "y": (0.6 * x + 0.8 * rng.standard_normal(x.shape)).astype(np.float32)}


def _features(size: Size) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    scale = np.sqrt(3 / rng.chisquare(3, size=(size["n"], 1)))
    return {"x": (rng.standard_normal((size["n"], size["d"])) * scale).astype(np.float32)}


def _least_work(task: str, mode: str, size: Size) -> limits.Work:
    del mode
    values = size["n"] * size.get("d", 2)
    return limits.Work(bytes=4 * values, comparisons=values * np.log2(size["n"]))


def _tree_work(size: Size) -> float:
    return size["n"] * size.get("d", 1)


def _pairs_work(size: Size) -> float:
    return size["n"] ** 2 * size.get("d", 1)


def _mutual_information() -> list[Implementation]:
    def ours(method):
        def build(size: Size):
            from gentoolkit.information import nearest_neighbors

            if method == "blocks" and size["n"] > _MOST_BLOCKS:
                return {}
            return {"value": lambda x, y: nearest_neighbors.mutual_information(x, y, k=_NEIGHBORS, method=method)}

        return build

    def infomeasure(size: Size):
        import infomeasure

        def estimate(x, y):
            return infomeasure.mutual_information(x, y, approach="ksg", k=_NEIGHBORS, noise_level=0, ksg_id=1)

        return {"value": estimate}

    def sklearn(size: Size):
        from sklearn.feature_selection import mutual_info_regression

        def estimate(x, y):
            return mutual_info_regression(x, y[:, 0], n_neighbors=_NEIGHBORS, random_state=0)[0]

        return {"value": estimate}

    task, arguments = "mutual_information", ("x", "y")
    return [
        Implementation(_TREE, task, NUMPY, arguments, ours("tree"), _tree_work, note="method tree, on the host"),
        Implementation(
            _BLOCKS, task, JAX, arguments, ours("blocks"), _pairs_work, note="method blocks: all pairs, with gradients"
        ),
        Implementation("infomeasure", task, NUMPY, arguments, infomeasure, _tree_work, requires=("infomeasure",)),
        Implementation(
            "scikit-learn",
            task,
            NUMPY,
            arguments,
            sklearn,
            _tree_work,
            requires=("sklearn",),
            note="scales the features and adds a little noise",
            comparable=False,
        ),
    ]


def _entropy() -> list[Implementation]:
    def ours(method):
        def build(size: Size):
            from gentoolkit.information import nearest_neighbors

            if method == "blocks" and size["n"] > _MOST_BLOCKS:
                return {}
            return {"value": lambda x: nearest_neighbors.entropy(x, k=_NEIGHBORS, method=method)}

        return build

    def infomeasure(size: Size):
        import infomeasure

        def estimate(x):
            return infomeasure.entropy(x, approach="metric", k=_NEIGHBORS, noise_level=0, minkowski_p=2, base="e")

        return {"value": estimate}

    def tree_work(size: Size) -> float:
        # Beyond a few features a search tree looks at nearly all points.
        return _tree_work(size) if size["d"] <= 3 else _pairs_work(size)

    return [
        Implementation(_TREE, "entropy", NUMPY, ("x",), _not_too_slow(ours("tree")), tree_work, note="method tree"),
        Implementation(_BLOCKS, "entropy", JAX, ("x",), ours("blocks"), _pairs_work, note="method blocks: all pairs"),
        Implementation(
            "infomeasure", "entropy", NUMPY, ("x",), _not_too_slow(infomeasure), tree_work, requires=("infomeasure",)
        ),
    ]


def _not_too_slow(build):
    """Leaves out what would take many minutes: a tree of many features and rows (ours is never skipped otherwise)."""
    return lambda size: build(size) if size["d"] <= 3 or size["n"] * size["d"] <= 1_000_000 else {}


def _total_correlation() -> list[Implementation]:
    def build(size: Size):
        import jax

        from gentoolkit import information

        if size["n"] * size["d"] > _MOST_RECOMMENDED:
            return {}
        return {"value": lambda x: information.total_correlation(jax.random.key(0), x).value}

    return [Implementation(OURS, "total_correlation", JAX, ("x",), build, _tree_work, note="5 folds, on rows left out")]
