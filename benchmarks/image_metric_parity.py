"""Image metrics beside those of published tools, on the same features: `python -m benchmarks.image_metric_parity`.

Random features, the same on both sides: FID, KID and Inception score of pytorch-fid, clean-fid and torch-fidelity,
precision and recall of torch-fidelity, density and coverage of prdc; and what each tool makes of the same bytes before
its network. A Markdown table of relative differences (of grey levels for
images). Peers that are not installed are named as absent. Ends with status 1 where a difference is larger than asked.
"""

import contextlib
import io
import sys
import warnings
from collections.abc import Callable, Iterator

import numpy as np
from absl import app

from benchmarks import image_metrics_bench, machine, targets
from gentoolkit.evaluation import features, fid, inception_score, kid, laws, neighbors, preprocessing
from gentoolkit.evaluation.statistics import FeatureMoments

_FIGURES, _LEVELS = 1e-5, 5e-3  # relative, and grey levels
_NAMES = {"network": "random", "preprocessing": "none"}
_SHAPES = ((200, 300), (299, 299), (64, 40))

Found = tuple[str, float, float, str]  # what, difference, limit, unit


def main(argv: list[str]) -> None:
    """Prints the table."""
    if len(argv) > 1:
        raise app.UsageError(f"no arguments are taken, got {argv[1:]}.")
    checks: dict[str, tuple[tuple[str, ...], Callable[[], Iterator[Found]]]] = {
        "scipy": (("scipy",), _scipy),
        "pytorch-fid": (("torch", "torchvision", "pytorch_fid"), _pytorch_fid),
        "clean-fid": (("torch", "cleanfid"), _clean_fid),
        "torch-fidelity": (("torch", "torch_fidelity"), _torch_fidelity),
        "prdc": (("prdc", "sklearn"), _prdc),
    }
    print("| peer | what | largest difference | asked | |\n| --- | --- | --- | --- | --- |")
    missed = 0
    for name, (modules, check) in checks.items():
        missing = [module for module in modules if not machine.installed(module)]
        if missing:
            print(f"| {name} | absent: {', '.join(missing)} is not installed | | | |")
            continue
        for what, difference, limit, unit in check():
            missed += not difference <= limit
            verdict = targets.verdict(difference <= limit)
            print(f"| {name} | {what} | {difference:.1e} {unit} | {limit:.0e} | {verdict} |", flush=True)
    sys.exit(1 if missed else 0)


def _relative(ours: float, theirs: float) -> float:
    return abs(ours - theirs) / abs(theirs)


def _sets(n: int, d: int) -> tuple[np.ndarray, np.ndarray]:
    found = image_metrics_bench.make_features({"n": n, "d": d})
    return found["x"], found["y"]


def _ours_fid(x: np.ndarray, y: np.ndarray) -> float:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # fewer images than features, on purpose
        return fid(features.of(x, **_NAMES), features.of(y, **_NAMES), num_blocks=2).value


def _moments(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return rows.mean(axis=0, dtype=np.float64), np.cov(rows.astype(np.float64), rowvar=False)


def _frechet(theirs: Callable[..., float]) -> Iterator[Found]:
    for n, d in ((700, 192), (300, 192)):
        x, y = _sets(n, d)
        (mean_x, cov_x), (mean_y, cov_y) = _moments(x), _moments(y)
        found = theirs(mean_x, cov_x, mean_y, cov_y)
        yield f"FID from {n} rows of {d} features", _relative(_ours_fid(x, y), found), _FIGURES, "relative"
        sides = (laws.of_moments(FeatureMoments(n, *_moments(rows))) for rows in (x, y))
        yield f"FID from moments, {d} features", _relative(laws.squared_distance(*sides), found), _FIGURES, "relative"


def _scipy() -> Iterator[Found]:
    import scipy.linalg

    def root(mean_a, cov_a, mean_b, cov_b):
        trace = np.trace(scipy.linalg.sqrtm(cov_a @ cov_b)).real
        return np.square(mean_a - mean_b).sum() + np.trace(cov_a) + np.trace(cov_b) - 2 * trace

    yield from _frechet(root)
    found = image_metrics_bench.make_moments({"d": 2048})
    sides = [(found[f"mean_{name}"], found[f"cov_{name}"]) for name in "ab"]
    ours = laws.squared_distance(*(laws.of_moments(FeatureMoments(3072, *side)) for side in sides))
    yield "FID from moments, 2048 features", _relative(ours, root(*sides[0], *sides[1])), _FIGURES, "relative"


def _neighbours() -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yields sets that share part of their space, the last one in narrow clusters far apart."""
    rng = np.random.default_rng(0)
    for n, m, d in ((1500, 1200, 16), (600, 800, 192)):
        x, y = rng.standard_normal((n, d), np.float32), 0.97 * rng.standard_normal((m, d), np.float32) + 0.1
        yield f"{n} and {m} images of {d} features", x, y
        far = [np.float32(10 * rng.choice([-1, 1], (len(side), 1))) for side in (x, y)]
        yield f"{n} and {m} images in two clusters", x + far[0], y + far[1]


def _ours_neighbours(x: np.ndarray, y: np.ndarray, k: int) -> dict[str, float]:
    sides = [features.of(rows, **_NAMES) for rows in (x, y)]
    found = neighbors.precision_recall(*sides, num_neighbors=k)
    more = neighbors.density_coverage(*sides, num_neighbors=k)
    return {name: result.value for name, result in (found._asdict() | more._asdict()).items()}


def _prdc() -> Iterator[Found]:
    from prdc import compute_prdc

    for what, x, y in _neighbours():
        ours = _ours_neighbours(x, y, 5)
        with contextlib.redirect_stdout(io.StringIO()):
            # In float64: in float32 its distances take the wrong side of a ball here and there.
            theirs = compute_prdc(x.astype(float), y.astype(float), nearest_k=5)
        for name, value in ours.items():
            yield f"{name}, {what}", _relative(value, theirs[name]), _FIGURES, "relative"


def _images(shape: tuple[int, int]) -> np.ndarray:
    rng = np.random.default_rng(0)
    smooth = 127 + 100 * np.sin(np.arange(shape[1])[None, :, None] / 5 + np.arange(shape[0])[:, None, None] / 9)
    return np.clip(smooth + rng.normal(0, 30, (*shape, 3)), 0, 255).astype(np.uint8)


def _levels(made: np.ndarray, theirs: np.ndarray) -> float:
    """The largest difference of network inputs, in grey levels."""
    return float(np.abs(made - theirs).max() * 128)


def _pytorch_fid() -> Iterator[Found]:
    import torch
    from pytorch_fid import fid_score

    def quiet(*arrays):
        with contextlib.redirect_stdout(io.StringIO()):
            return fid_score.calculate_frechet_distance(*arrays)

    yield from _frechet(quiet)
    for shape in _SHAPES:
        image = _images(shape)
        tensor = torch.from_numpy(image.transpose(2, 0, 1)[None]).float() / 255
        tensor = torch.nn.functional.interpolate(tensor, size=(299, 299), mode="bilinear", align_corners=False)
        theirs = (2 * tensor - 1).numpy().transpose(0, 2, 3, 1)  # as its network begins
        difference = _levels(preprocessing.legacy_pytorch()(image[None]), theirs)
        yield f"legacy_pytorch, {shape[0]} x {shape[1]}", difference, _LEVELS, "grey levels"


def _clean_fid() -> Iterator[Found]:
    from cleanfid import fid as theirs
    from cleanfid import resize

    def quiet(mean_a, cov_a, mean_b, cov_b):
        with contextlib.redirect_stdout(io.StringIO()):
            return theirs.frechet_distance(mean_a, cov_a, mean_b, cov_b)

    yield from _frechet(quiet)
    x, y = _sets(400, 192)  # below 1,000 images all of its subsets are the whole sets
    ours = kid(features.of(x, **_NAMES), features.of(y, **_NAMES), subset_size=400, num_subsets=2).value
    # It sums in the width of the features, in an order that it draws: in float32 that alone may be 1e-5.
    wide = (rows.astype(np.float64) for rows in (x, y))
    yield "KID of 400 images", _relative(ours, theirs.kernel_distance(*wide, 2)), _FIGURES, "relative"
    resizer = resize.build_resizer("clean")
    for shape in _SHAPES:
        image = _images(shape)
        made = (resizer(image) - 128) / 128
        difference = _levels(preprocessing.clean()(image[None])[0], made)
        yield f"clean, {shape[0]} x {shape[1]}", difference, _LEVELS, "grey levels"


def _torch_fidelity() -> Iterator[Found]:
    import torch
    from torch_fidelity import interpolate_compat_tensorflow, metric_fid, metric_isc, metric_kid, metric_prc

    def quiet(mean_a, cov_a, mean_b, cov_b):
        sides = [{"mu": mean, "sigma": cov} for mean, cov in ((mean_a, cov_a), (mean_b, cov_b))]
        return metric_fid.fid_statistics_to_metric(*sides, False)[metric_fid.KEY_METRIC_FID]

    yield from _frechet(quiet)
    # All pairs at once, the whole sets, and subset by subset; at last Inception's number of features.
    for n, size, d in ((400, 100, 192), (400, 400, 192), (2500, 50, 192), (1200, 400, 2048)):
        x, y = _sets(n, d)
        theirs = metric_kid.kid_features_to_metric(
            torch.from_numpy(x), torch.from_numpy(y), kid_subsets=20, kid_subset_size=size, kid_degree=3,
            kid_gamma=None, kid_coef0=1, rng_seed=2020, verbose=False,
        )  # fmt: skip
        sides = (features.of(rows, **_NAMES) for rows in (x, y))
        found = kid(*sides, num_subsets=20, subset_size=size)
        what = f"KID of {n} images, subsets of {size}, {d} features"
        yield what, _relative(found.value, theirs[metric_kid.KEY_METRIC_KID_MEAN]), _FIGURES, "relative"
    for what, x, y in _neighbours():
        ours = _ours_neighbours(x, y, 3)
        shares = metric_prc.prc_features_to_metric(
            torch.from_numpy(y.astype(float)), torch.from_numpy(x.astype(float)), prc_neighborhood=3,
            prc_batch_size=1000, save_cpu_ram=False, verbose=False,
        )  # fmt: skip
        for name in ("precision", "recall"):
            yield f"{name}, {what}", _relative(ours[name], shares[name]), _FIGURES, "relative"
    logits = 3 * np.random.default_rng(0).standard_normal((523, 1008), np.float32)
    scores = metric_isc.isc_features_to_metric(torch.from_numpy(logits), splits=10, shuffle=True, rng_seed=2020)
    mine = inception_score(features.of(logits, **_NAMES))
    for what, value, key in (
        ("Inception score, mean", mine.value, metric_isc.KEY_METRIC_ISC_MEAN),
        ("Inception score, deviation", mine.extra["split_std"], metric_isc.KEY_METRIC_ISC_STD),
    ):
        yield what, _relative(value, scores[key]), _FIGURES, "relative"
    for shape in _SHAPES:
        image = _images(shape)
        tensor = torch.from_numpy(image.transpose(2, 0, 1)[None]).float()
        tensor = interpolate_compat_tensorflow.interpolate_bilinear_2d_like_tensorflow1x(
            tensor, size=(299, 299), align_corners=False
        )
        made = ((tensor - 128) / 128).numpy().transpose(0, 2, 3, 1)
        difference = _levels(preprocessing.legacy_tensorflow()(image[None]), made)
        yield f"legacy_tensorflow, {shape[0]} x {shape[1]}", difference, _LEVELS, "grey levels"


if __name__ == "__main__":
    app.run(main)
