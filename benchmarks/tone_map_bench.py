"""What enhancing one dark image costs: clustering, fit and prediction, beside the same chain in scikit-learn.

Tasks: `luminance` (LM: one channel), `rgb` (CM: three channels through one map) and `unique_pairs` (GPE, the forerunner
that LM and CM are measured by; it has no clusters and is timed again at every k, in turns with the others). The image
has 256 x 256 pixels; its rough bright reference is given and not timed. How many steps k-means takes depends on its
seed, by a factor of two and more: every call of every implementation takes the next of 8. scikit-learn runs twice:
k-means to its own tolerance, in tens of steps, and ended after 12; ours takes 5 to 15. What comes of each, and in how
many steps: `python -m benchmarks.tone_map_outcomes`.
"""

import functools
import warnings

import numpy as np

from benchmarks import harness, limits
from benchmarks.backends import JAX_IN_TURN, NUMPY_IN_TURN
from benchmarks.harness import OURS, Implementation, Size

CLUSTERS = (10, 20, 30, 40, 50, 100, 200)
SIDE, PATCH = 256, 3
_GAMMA = 4.0
_BLOCK = 4096
_PAIRS = 256  # the most that GPE uses
# Steps of Lloyd in scikit-learn: to its tolerance, and about as many as ours takes.
MOST_STEPS, EARLY_STEPS = 100, 12
_SEEDS = 8
ENDED_EARLY = "scikit-learn, ended early"


def case(*, quick: bool = False) -> harness.Case:
    """Returns the case; quick: one size."""
    return harness.Case(
        name="tone_map",
        sizes=[{"k": k} for k in (CLUSTERS[:1] if quick else CLUSTERS)],
        make_inputs=make_inputs,
        implementations=[*_ours(), *_scikit_learn()],
        least_work=least_work,
        formula=(
            "one pass of k-means over N pairs of 18 features, 36Nk operations; one evaluation of the evidence, k³; for "
            "each pixel and channel 20k operations and k exponentials (20 and 256 in place of k for unique pairs)."
        ),
        weight=lambda size: 10 + 0.1 * size["k"],
        call_limit=30.0,
        sweep="k",
    )


@functools.cache
def photograph() -> np.ndarray:
    """The middle of a photograph that ships with scikit-learn, `[256, 256, 3]` in [0, 1]."""
    from sklearn.datasets import load_sample_image

    image = load_sample_image("china.jpg").astype(np.float32) / 255.0
    top, left = ((have - SIDE) // 2 for have in image.shape[:2])
    return image[top : top + SIDE, left : left + SIDE]


def make_inputs(size: Size) -> dict[str, np.ndarray]:
    """Returns a photograph darkened to 8 bits, in luma and RGB, the references of the networks that ship, and seeds."""
    del size
    import jax.numpy as jnp

    from gentoolkit.imaging import color
    from gentoolkit.models import low_light

    dark = np.round(255.0 * photograph() ** _GAMMA).astype(np.float32) / 255.0
    luma = np.asarray(color.luma(jnp.asarray(dark)))
    arrays = {"rgb": dark, "luma": luma}
    for name, image in tuple(arrays.items()):
        network = low_light.pretrained(image.shape[-1])
        arrays[f"{name}_reference"] = np.asarray(network(jnp.asarray(image)[None])[0])
    return {**arrays, "seeds": np.arange(_SEEDS)}


def least_work(task: str, mode: str, size: Size) -> limits.Work:
    """Returns the least work; see the case's formula."""
    del mode
    channels = 3 if task == "rgb" else 1
    k, features = (_PAIRS, 1) if task == "unique_pairs" else (size["k"], PATCH * PATCH)
    pairs = channels * (-(-SIDE // PATCH)) ** 2
    values = channels * SIDE * SIDE
    clustering = 0.0 if task == "unique_pairs" else 2.0 * pairs * k * 2 * features
    return limits.Work(
        bytes=4.0 * 3 * values,
        flops=clustering + k**3 + values * k * (2.0 * features + 2),
        exponentials=values * k,
    )


def _ours() -> list[Implementation]:
    def clustered(size: Size):
        import jax

        from gentoolkit.imaging.gp_enhancement import tone_map

        def run(image, reference, seed):
            found = tone_map.fit(jax.random.key(seed), image, reference, num_clusters=size["k"], patch_size=PATCH)
            return tone_map.apply(found, image)

        return {"value": run}

    def unique_pairs(size: Size):
        import jax

        from gentoolkit.imaging.gp_enhancement import published, tone_map

        del size

        def run(image, reference, seed):
            found = published.fit_unique_pairs(
                jax.random.key(seed), image, reference, max_pairs=_PAIRS, patch_size=PATCH
            )
            return tone_map.apply(found, image)

        return {"value": run}

    luma, rgb = ("luma", "luma_reference", "seeds"), ("rgb", "rgb_reference", "seeds")
    note = (
        "k-means|| and Lloyd until a step gains less than 0.1 %; hyper-parameters by 70 cells of a grid of at most 64 "
        "clusters and at most 16 evaluations more (20 for unique pairs)"
    )
    return [
        Implementation(OURS, "luminance", JAX_IN_TURN, luma, clustered, _work, note=note),
        Implementation(OURS, "rgb", JAX_IN_TURN, rgb, clustered, lambda size: 3 * _work(size), note=note),
        Implementation(OURS, "unique_pairs", JAX_IN_TURN, luma, unique_pairs, lambda size: 1.0, note=note),
    ]


def _work(size: Size) -> float:
    return float(size["k"])


def chain(
    image: np.ndarray, reference: np.ndarray, num_clusters: int, num_steps: int, *, seed: int = 0
) -> tuple[np.ndarray, float, int]:
    """The chain in scikit-learn.

    Args:
      image: `[256, 256, c]` dark.
      reference: `[256, 256, c]` rough bright.
      num_clusters: k.
      num_steps: the most steps of Lloyd.
      seed: of k-means.

    Returns:
      The bright image, the objective of the clustering (sum of squared distances of the pairs), its steps.
    """
    from sklearn.cluster import KMeans
    from sklearn.gaussian_process import GaussianProcessRegressor, kernels

    middle = PATCH * PATCH + PATCH * PATCH // 2
    pairs = np.concatenate([_patches(image), _patches(reference)], axis=1)
    found = KMeans(num_clusters, n_init=1, max_iter=num_steps, tol=1e-4, random_state=seed)
    kernel = kernels.ConstantKernel() * kernels.RBF() + kernels.WhiteKernel()
    process = GaussianProcessRegressor(kernel, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # hyper-parameters at their bounds, steps at their limit
        found.fit(pairs)
        process.fit(found.cluster_centers_[:, : PATCH * PATCH], found.cluster_centers_[:, middle])
    rows = _neighborhoods(image)
    parts = [process.predict(rows[i : i + _BLOCK]) for i in range(0, len(rows), _BLOCK)]
    return (
        np.clip(np.concatenate(parts), 0, 1).reshape(image.shape).astype(np.float32),
        float(found.inertia_),
        found.n_iter_,
    )


def _patches(image: np.ndarray) -> np.ndarray:
    missing = -SIDE % PATCH
    image = np.pad(image, ((0, missing), (0, missing), (0, 0)), mode="reflect")
    rows = image.shape[0] // PATCH
    grid = image.reshape(rows, PATCH, rows, PATCH, -1).transpose(0, 2, 4, 1, 3)
    return grid.reshape(-1, PATCH * PATCH)


def _neighborhoods(image: np.ndarray) -> np.ndarray:
    image = np.pad(image, ((1, 1), (1, 1), (0, 0)), mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(image, (PATCH, PATCH), axis=(0, 1))
    return windows.reshape(-1, PATCH * PATCH)


def _scikit_learn() -> list[Implementation]:
    def builder(num_steps: int):
        def build(size: Size):
            return {
                "value": lambda image, reference, seed: chain(image, reference, size["k"], num_steps, seed=int(seed))[0]
            }

        return build

    note = (
        "KMeans (one greedy k-means++, scikit-learn's tolerance, at most {} iterations) and GaussianProcessRegressor "
        "(the same covariance, float64, one descent by L-BFGS-B from one start, no grid before it), "
        "predicted in blocks of 4096 points; other random numbers, so other clusters"
    )
    return [
        Implementation(
            name,
            task,
            NUMPY_IN_TURN,
            arguments,
            builder(num_steps),
            work,
            requires=("sklearn",),
            note=note.format(num_steps),
            comparable=False,
        )
        for name, num_steps in (("scikit-learn", MOST_STEPS), (ENDED_EARLY, EARLY_STEPS))
        for task, arguments, work in (
            ("luminance", ("luma", "luma_reference", "seeds"), _work),
            ("rgb", ("rgb", "rgb_reference", "seeds"), lambda size: 3 * _work(size)),
        )
    ]
