"""The suite `gaussianization`: RBIG of 40 layers fitted, applied, and read for total correlation.

Tasks: `fit` (all layers, from the samples), `forward` (a fitted destructor at n rows: the latent points alone),
`log_density` (the same with the log-determinant, where the implementation has one), `total_correlation` (fit, and the
sum of what the layers removed) and `total_correlation_recommended` (the default estimate of `gentoolkit.information`,
on rows left out; no peer has it).
The samples are Student t: dependent, heavy-tailed.
"""

import itertools
import math
from collections.abc import Iterator, Sequence

import numpy as np

from benchmarks import harness, limits, report, targets
from benchmarks.backends import JAX, NUMPY
from benchmarks.harness import OURS, Implementation, Row, Size

_LAYERS = 40
_GIBIBYTE = 2**30
_RBIG, _CHAIN = "rbig", "scikit-learn"
# A destructor to apply is fitted to no more rows, for the sake of `rbig`, whose fit takes their square. Ours has 23
# knots then; one of 1e5 rows has 97, and takes about a third more time.
_FITTED_ROWS = 1000
# Beyond this the recommended estimate takes minutes on two cores, and says nothing of 40 layers.
_MOST_RECOMMENDED = 10_000_000


def cases(*, quick: bool = False) -> list[harness.Case]:
    """Returns the one case; quick: two small sizes."""
    grid = [(1000, 2), (1000, 10)] if quick else itertools.product((1000, 10_000, 100_000, 1_000_000), (2, 10, 50))
    return [
        harness.Case(
            name="rbig",
            sizes=[{"n": n, "d": d} for n, d in grid],
            make_inputs=make_inputs,
            implementations=[*_ours(), *_rbig(), *_chain()],
            least_work=least_work,
            formula=(
                "40 layers, each of which reads and writes every value once, 8nd bytes, and rotates, 2nd² operations; "
                "a fit also sorts every feature, log2(n!) comparisons each."
            ),
            weight=lambda size: 1 + 2e-6 * size["n"] * size["d"],
            call_limit=60.0,
        )
    ]


def figures(rows: Sequence[Row], *, quick: bool = False) -> list[str]:
    """Returns a line for each target: what was asked, what this run measured, and whether it is met."""
    del quick
    return [*_against_peers(targets.Table(rows)), _memory(targets.Table(rows)), *_growth(targets.Table(rows))]


def _against_peers(table: targets.Table) -> Iterator[str]:
    tasks = ("fit", "forward", "log_density", "total_correlation")
    for (peer, factor), task in itertools.product(((_RBIG, 20), (_CHAIN, 3)), tasks):
        for n, d in itertools.product((1000, 10_000, 100_000, 1_000_000), (2, 10, 50)):
            size = {"n": n, "d": d}
            if table.find(peer, task, "value", size):
                target = f"{task}, n = {n}, d = {d}, at least {factor}× {peer}"
                yield table.at_least(target, (peer, task, "value"), (OURS, task, "value"), factor, size)


def _memory(table: targets.Table) -> str:
    target = "n = 1e6, d = 10, fit within 4 GiB above the samples"
    row = table.find(OURS, "fit", "value", {"n": 1_000_000, "d": 10})
    if row is None:
        return f"{target}: not measured in this run"
    counts = [count for count in (row["compiled_bytes"], row["process_bytes"]) if count is not None]
    met = max(counts) < 4 * _GIBIBYTE
    seconds = report.format_seconds(row["seconds"])
    return f"{target}: {report.format_bytes(max(counts))}, {seconds}: {targets.verdict(met)}"


def _growth(table: targets.Table) -> Iterator[str]:
    for d in (2, 10, 50):
        small, large = (table.find(OURS, "fit", "value", {"n": n, "d": d}) for n in (10_000, 1_000_000))
        if small and large:
            ratio = large["seconds"] / small["seconds"]
            asked = 100 * math.log(1e6) / math.log(1e4)
            yield (
                f"fit, d = {d}, from n = 1e4 to 1e6: {ratio:.0f}× the time, n log n gives {asked:.0f}×, at most 1.5 "
                f"times that: {targets.verdict(ratio <= 1.5 * asked)}"
            )


def make_inputs(size: Size) -> dict[str, np.ndarray]:
    """Returns Student t samples, three degrees of freedom."""
    rng = np.random.default_rng(0)
    n, d = size["n"], size["d"]
    scale = np.sqrt(3 / rng.chisquare(3, size=(n, 1)))
    return {"x": (rng.standard_normal((n, d)) * scale).astype(np.float32)}


def least_work(task: str, mode: str, size: Size) -> limits.Work:
    """Returns the least work; see the case's formula."""
    del mode
    n, d = size["n"], size["d"]
    comparisons = 0.0 if task in ("forward", "log_density") else _LAYERS * d * limits.sort_comparisons(n)
    return limits.Work(bytes=_LAYERS * 8 * n * d, flops=_LAYERS * 2 * n * d * d, comparisons=comparisons)


def _work(size: Size) -> float:
    return size["n"] * size["d"] * math.log2(size["n"])


def _some_rows(size: Size) -> np.ndarray:
    return make_inputs({"n": min(size["n"], _FITTED_ROWS), "d": size["d"]})["x"]


def _ours() -> list[Implementation]:
    def fit(size: Size):
        import jax

        from gentoolkit.gaussianization import rbig

        return {"value": lambda x: tuple(jax.tree.leaves(rbig.fit(jax.random.key(0), x, num_layers=_LAYERS)))}

    def fitted(size: Size):
        import jax

        from gentoolkit.gaussianization import rbig

        return jax.jit(lambda x: rbig.fit(jax.random.key(0), x, num_layers=_LAYERS))(_some_rows(size))

    def forward(size: Size):
        from gentoolkit.gaussianization import rbig

        d = fitted(size)
        return {"value": lambda x: rbig.forward(d, x)[0]}

    def log_density(size: Size):
        from gentoolkit.gaussianization import rbig

        d = fitted(size)
        return {"value": lambda x: rbig.log_prob(d, x)}

    def total_correlation(size: Size):
        import jax

        from gentoolkit import information

        def estimate(x):
            return information.total_correlation(jax.random.key(0), x, form="unstopped", num_layers=_LAYERS).value

        return {"value": estimate}

    def recommended(size: Size):
        import jax

        from gentoolkit import information

        if size["n"] * size["d"] > _MOST_RECOMMENDED:
            return {}
        return {"value": lambda x: information.total_correlation(jax.random.key(0), x).value}

    tasks = {
        "fit": fit,
        "forward": forward,
        "log_density": log_density,
        "total_correlation": total_correlation,
        "total_correlation_recommended": recommended,
    }
    return [Implementation(OURS, task, JAX, ("x",), build, _work) for task, build in tasks.items()]


def _rbig() -> list[Implementation]:
    # Neither patience nor tolerance: forty layers, as ours.
    def new():
        import rbig

        return rbig.AnnealedRBIG(n_layers=_LAYERS, patience=_LAYERS + 1, tol=0.0, random_state=0)

    def fit(size: Size):
        return {"value": lambda x: np.asarray(new().fit(x).tc_per_layer_)}

    def forward(size: Size):
        fitted = new().fit(_some_rows(size))
        return {"value": fitted.transform}

    def log_density(size: Size):
        fitted = new().fit(_some_rows(size))
        return {"value": fitted.score_samples}

    def total_correlation(size: Size):
        return {"value": lambda x: new().fit(x).total_correlation_reduction()}

    note = "kernel densities in O(n²), float64"
    return [
        Implementation(_RBIG, task, NUMPY, ("x",), build, work, requires=("rbig",), note=note, comparable=False)
        for task, build, work in (
            ("fit", fit, lambda size: size["n"] ** 2 * size["d"]),
            ("forward", forward, lambda size: size["n"] * size["d"]),
            ("log_density", log_density, lambda size: size["n"] * size["d"]),
            ("total_correlation", total_correlation, lambda size: size["n"] ** 2 * size["d"]),
        )
    ]


def _chain() -> list[Implementation]:
    def layers(x):
        from sklearn.decomposition import PCA
        from sklearn.preprocessing import QuantileTransformer

        fitted = []
        for _ in range(_LAYERS):
            quantiles = QuantileTransformer(
                output_distribution="normal", n_quantiles=min(1000, len(x)), subsample=None, random_state=0
            )
            x = quantiles.fit_transform(x)
            rotation = PCA(random_state=0)
            x = rotation.fit_transform(x)
            fitted += [quantiles, rotation]
        return x, fitted

    def fit(size: Size):
        return {"value": lambda x: layers(x)[0]}

    def forward(size: Size):
        _, fitted = layers(_some_rows(size))

        def transform(x):
            for part in fitted:
                x = part.transform(x)
            return x

        return {"value": transform}

    note = "QuantileTransformer (at most 1000 quantiles of all rows) and PCA, 40 times; no log-determinant, no trace"
    return [
        Implementation(_CHAIN, task, NUMPY, ("x",), build, _work, requires=("sklearn",), note=note, comparable=False)
        for task, build in (("fit", fit), ("forward", forward))
    ]
