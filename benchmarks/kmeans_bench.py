"""k-means beside scikit-learn and faiss, at the sizes of an image's patches.

Tasks: `lloyd` (ten iterations from the same first centres and the last assignment, one initialization) and `seeding`
(greedy k-means++; faiss has none). Nothing ends early: tolerances are off.
"""

import numpy as np

from benchmarks import harness, limits
from benchmarks.backends import JAX, NUMPY
from benchmarks.harness import OURS, Implementation, Size

ITERATIONS = 10
CLUSTERS = (10, 30, 100, 200)
# Patches of 3 x 3 pixels that do not overlap in an image of 256 x 256, and one for each pixel; pairs have 18 features.
SHAPES = ((7396, 18), (65_536, 9), (65_536, 18))


def case(*, quick: bool = False) -> harness.Case:
    """Returns the case; quick: one size."""
    sizes = [{"n": n, "d": d, "k": k} for n, d in SHAPES for k in CLUSTERS]
    return harness.Case(
        name="kmeans",
        sizes=[{"n": 7396, "d": 18, "k": 30}] if quick else sizes,
        make_inputs=make_inputs,
        implementations=[*_ours(), *_scikit_learn(), *_faiss()],
        least_work=least_work,
        formula=(
            f"an assignment takes 2nkd operations and nk comparisons and reads every point, an update n(d + 1); "
            f"{ITERATIONS} iterations and the last assignment. A seeding compares every point with 2 + log k "
            "candidates for each centre."
        ),
        weight=lambda size: 4 + 1e-6 * size["n"] * size["k"],
        sweep="k",
    )


def make_inputs(size: Size) -> dict[str, np.ndarray]:
    """Returns patches of growing brightness, dark halves and bright ones, and the points that are the first centres."""
    rng = np.random.default_rng(0)
    brightness = rng.uniform(size=(size["n"], 1)) ** 2
    x = brightness ** np.linspace(1, 0.3, size["d"]) + 0.05 * rng.standard_normal((size["n"], size["d"]))
    chosen = rng.choice(size["n"], size["k"], replace=False)
    return {"x": x.astype(np.float32), "centers": x[chosen].astype(np.float32)}


def least_work(task: str, mode: str, size: Size) -> limits.Work:
    """Returns the least work; see the case's formula."""
    del mode
    n, d, k = size["n"], size["d"], size["k"]
    if task == "seeding":
        candidates = 1 + (k - 1) * (2 + int(np.log(k)))
        return limits.Work(bytes=4.0 * n * d * k, flops=3.0 * n * d * candidates, comparisons=n * candidates)
    passes = ITERATIONS + 1
    return limits.Work(
        bytes=4.0 * n * d * passes,
        flops=2.0 * n * k * d * passes + n * (d + 1.0) * ITERATIONS,
        comparisons=n * k * passes,
    )


def _work(size: Size) -> float:
    return size["n"] * size["k"] * size["d"]


def _ours() -> list[Implementation]:
    def lloyd(size: Size):
        import jax

        from gentoolkit.gaussian_process import kmeans

        def run(x, centers):
            found = kmeans.kmeans(
                jax.random.key(0), x, size["k"], init=centers, max_iterations=ITERATIONS, tolerance=-1.0
            )
            return found.inertia, found.centers, found.labels

        return {"value": run}

    def seeding(size: Size):
        import jax

        from gentoolkit.gaussian_process import kmeans

        return {"value": lambda x, centers: kmeans.kmeans_plus_plus(jax.random.key(0), x, size["k"])}

    return [
        Implementation(OURS, task, JAX, ("x", "centers"), build, _work)
        for task, build in (("lloyd", lloyd), ("seeding", seeding))
    ]


def _scikit_learn() -> list[Implementation]:
    def lloyd(size: Size):
        from sklearn.cluster import KMeans

        def run(x, centers):
            found = KMeans(size["k"], init=centers, n_init=1, max_iter=ITERATIONS, tol=0.0, algorithm="lloyd").fit(x)
            return found.inertia_, found.cluster_centers_, found.labels_

        return {"value": run}

    def seeding(size: Size):
        from sklearn.cluster import kmeans_plusplus

        return {"value": lambda x, centers: kmeans_plusplus(x, size["k"], random_state=0)[0]}

    # The seeds are drawn with another generator.
    return [
        Implementation(
            "scikit-learn", task, NUMPY, ("x", "centers"), build, _work, requires=("sklearn",), comparable=comparable
        )
        for task, build, comparable in (("lloyd", lloyd, True), ("seeding", seeding, False))
    ]


def _faiss() -> list[Implementation]:
    def lloyd(size: Size):
        import faiss

        def run(x, centers):
            found = faiss.Kmeans(
                size["d"],
                size["k"],
                niter=ITERATIONS,
                nredo=1,
                max_points_per_centroid=len(x),
                min_points_per_centroid=1,
            )
            found.train(x, init_centroids=centers)
            distance, labels = found.index.search(x, 1)
            return distance.sum(dtype=np.float64), found.centroids, labels[:, 0].astype(np.int32)

        return {"value": run}

    return [Implementation("faiss", "lloyd", NUMPY, ("x", "centers"), lloyd, _work, requires=("faiss",))]
