"""FID from two sets of moments and KID of two sets of features, beside SciPy's matrix root and the published tools.

Tasks: `frechet` (means and covariances in float64, as tools keep them) and `kid` (100 subsets of 1,000 images each, or
of all images where there are fewer; the kernel's third power). Features are random, with a falling spectrum.
"""

import contextlib
import io

import numpy as np

from benchmarks import harness, limits
from benchmarks.backends import NUMPY
from benchmarks.harness import OURS, Implementation, Size

SUBSETS, SUBSET_SIZE = 100, 1000
_MOMENTS = ("mean_a", "cov_a", "mean_b", "cov_b")


def cases(*, quick: bool = False) -> list[harness.Case]:
    """Returns the cases; quick: small sizes, for a smoke test."""
    return [frechet_case(quick=quick), kid_case(quick=quick)]


def frechet_case(*, quick: bool = False) -> harness.Case:
    """Returns the case of Fréchet distances; quick: one size."""
    return harness.Case(
        name="image_metrics_frechet",
        sizes=[{"d": 64}] if quick else [{"d": 192}, {"d": 768}, {"d": 2048}],
        make_inputs=make_moments,
        implementations=_frechet(),
        least_work=frechet_work,
        formula=(
            "d^3 / 3 for a Cholesky factor, d^3 for each product with a triangle, 4/3 d^3 for a tridiagonal matrix of "
            "the same eigenvalues; the rate is that of float32, these are in float64: nobody gets nearer than twice"
        ),
        weight=lambda size: 1 + 6e-9 * size["d"] ** 3,
        call_limit=300.0,
        sweep="d",
    )


def kid_case(*, quick: bool = False) -> harness.Case:
    """Returns the case of kernel distances; quick: one size."""
    return harness.Case(
        name="image_metrics_kid",
        sizes=[{"n": 60, "d": 16}] if quick else [{"n": n, "d": 2048} for n in (1000, 3000, 10_000)],
        make_inputs=make_features,
        implementations=_kid(),
        least_work=kid_work,
        formula=(
            "the kernel of pairs, d multiplications and additions each: of all, or of those in 100 subsets of 1,000, "
            "whichever are fewer; those of a side with itself are counted half"
        ),
        weight=lambda size: 1 + 2e-3 * size["n"],
        call_limit=300.0,
    )


def make_features(size: Size) -> dict[str, np.ndarray]:
    """Returns features of two sets that are at least 0, as those behind a ReLU are."""
    rng = np.random.default_rng(0)
    spectrum = np.linspace(1.0, 0.05, size["d"])
    x, y = (np.maximum(rng.standard_normal((size["n"], size["d"])) * spectrum + shift, 0) for shift in (0.3, 0.4))
    return {"x": x.astype(np.float32), "y": y.astype(np.float32)}


def make_moments(size: Size) -> dict[str, np.ndarray]:
    """Returns mean and covariance of two sets of 1.5 d images each."""
    features = make_features({"n": size["d"] + size["d"] // 2, "d": size["d"]})
    mixing = np.random.default_rng(1).standard_normal((size["d"], size["d"])) / np.sqrt(size["d"]) + np.eye(size["d"])
    found = {}
    for name, rows in (("a", features["x"].astype(float)), ("b", features["y"] @ mixing)):
        found |= {f"mean_{name}": rows.mean(axis=0), f"cov_{name}": np.cov(rows, rowvar=False)}
    return found


def frechet_work(task: str, mode: str, size: Size) -> limits.Work:
    """Returns the least work; see the case's formula."""
    del task, mode
    return limits.Work(bytes=16.0 * size["d"] ** 2, flops=(1 / 3 + 2 + 4 / 3) * size["d"] ** 3)


def kid_work(task: str, mode: str, size: Size) -> limits.Work:
    """Returns the least work; see the case's formula."""
    del task, mode
    n, d = size["n"], size["d"]
    subset = min(n, SUBSET_SIZE)
    pairs = 2.0 * min(n * n, SUBSETS * subset * subset)  # two halves and a whole
    return limits.Work(bytes=8.0 * n * d, flops=2.0 * pairs * d)


def _frechet() -> list[Implementation]:
    def ours(size: Size):
        from gentoolkit.evaluation import laws

        return {
            "value": lambda mean_a, cov_a, mean_b, cov_b: laws.squared_distance(
                laws.Law(mean_a, cov=cov_a), laws.Law(mean_b, cov=cov_b)
            )
        }

    def scipy_root(size: Size):
        import scipy.linalg

        def run(mean_a, cov_a, mean_b, cov_b):
            root = scipy.linalg.sqrtm(cov_a @ cov_b)
            return np.square(mean_a - mean_b).sum() + np.trace(cov_a) + np.trace(cov_b) - 2 * np.trace(root).real

        return {"value": run}

    def pytorch_fid(size: Size):
        from pytorch_fid import fid_score

        return {"value": _quietly(fid_score.calculate_frechet_distance)}

    def clean_fid(size: Size):
        from cleanfid import fid

        return {"value": _quietly(fid.frechet_distance)}

    def torch_fidelity(size: Size):
        from torch_fidelity import metric_fid

        def run(mean_a, cov_a, mean_b, cov_b):
            sides = [{"mu": mean, "sigma": cov} for mean, cov in ((mean_a, cov_a), (mean_b, cov_b))]
            return metric_fid.fid_statistics_to_metric(*sides, False)[metric_fid.KEY_METRIC_FID]

        return {"value": run}

    peers = {
        OURS: (ours, ()),
        "NumPy/SciPy": (scipy_root, ("scipy",)),
        "pytorch-fid": (pytorch_fid, ("torch", "pytorch_fid")),
        "clean-fid": (clean_fid, ("torch", "cleanfid")),
        "torch-fidelity": (torch_fidelity, ("torch", "torch_fidelity")),
    }
    return [
        Implementation(name, "frechet", NUMPY, _MOMENTS, build, lambda size: size["d"] ** 3, requires=requires)
        for name, (build, requires) in peers.items()
    ]


def _kid() -> list[Implementation]:
    def ours(size: Size):
        from gentoolkit.evaluation import features, kid

        names = {"network": "random", "preprocessing": "none"}

        def run(x, y):
            sides = [features.of(rows, **names) for rows in (x, y)]
            return kid(*sides, num_subsets=SUBSETS, subset_size=min(size["n"], SUBSET_SIZE)).value

        return {"value": run}

    def torch_fidelity(size: Size):
        import torch
        from torch_fidelity import metric_kid

        def run(x, y):
            found = metric_kid.kid_features_to_metric(
                torch.from_numpy(x),
                torch.from_numpy(y),
                kid_subsets=SUBSETS,
                kid_subset_size=min(size["n"], SUBSET_SIZE),
                kid_degree=3,
                kid_gamma=None,
                kid_coef0=1,
                rng_seed=2020,
                verbose=False,
            )
            return found[metric_kid.KEY_METRIC_KID_MEAN]

        return {"value": run}

    def clean_fid(size: Size):
        from cleanfid import fid

        return {"value": lambda x, y: fid.kernel_distance(x, y, SUBSETS, SUBSET_SIZE)}

    def work(size: Size) -> float:
        return min(size["n"], SUBSET_SIZE) ** 2 * size["d"]

    options = {"task": "kid", "backend": NUMPY, "arguments": ("x", "y"), "work": work}
    return [
        Implementation(OURS, build=ours, **options),
        Implementation("torch-fidelity", build=torch_fidelity, requires=("torch", "torch_fidelity"), **options),
        # Its subsets are drawn by a generator without a seed.
        Implementation("clean-fid", build=clean_fid, requires=("torch", "cleanfid"), comparable=False, **options),
    ]


def _quietly(function):
    """A peer's function without what it prints."""

    def run(*arrays):
        with contextlib.redirect_stdout(io.StringIO()):
            return function(*arrays)

    return run
