"""Breaks the code in one place at a time, runs the tests of that room, and counts the breaks that they see.

    python -m tests.breaks                     all breaks, in a copy of this checkout
    python -m tests.breaks --rooms=distances,imaging --tree=OTHER_CHECKOUT

A break is a line that says something wrong: a sign, an off-by-one, a dropped term. It names text that stands in exactly
one place of its room, so that files may be moved, and the tests that should notice. A break whose text is gone says so:
it wants a new line. Tests run without most optimizations, which changes no result beyond rounding.
"""

import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
from typing import NamedTuple

ROOT = pathlib.Path(__file__).parents[1]
LIMIT = 900.0  # seconds; a test that hangs has seen the break


class Break(NamedTuple):
    """One wrong line.

    Attributes:
      room: folder below gentoolkit, or a folder at the top.
      right: text that stands once in the room.
      wrong: what is put there.
      tests: files or folders below tests, space-separated.
    """

    room: str
    right: str
    wrong: str
    tests: str


BREAKS = [
    # distances
    Break(
        "distances",
        "jnp.take_along_axis(g, rank, axis=-1",
        "jnp.take_along_axis(-g, rank, axis=-1",
        "distances/sorting_test.py",
    ),
    Break("distances", "np.add(y, _BELOW_FLOAT32,", "np.add(y, 0.0,", "distances/sorting_test.py"),
    Break("distances", "    turned ^= places\n", "    turned = places.copy()\n", "distances/sorting_test.py"),
    Break(
        "distances",
        "+ _constants.transport_floor(n)",
        "- _constants.transport_floor(n)",
        "distances/normality/order_statistics_test.py",
    ),
    Break(
        "distances",
        "residual = _residuals(y)\n    n = residual.shape[-1]\n    return jnp.mean(residual * residual",
        "residual = _residuals(y)\n    n = residual.shape[-1]\n    return jnp.mean(1.01 * residual * residual",
        "distances/normality/ecdf_test.py",
    ),
    Break(
        "distances",
        "residual = residual - jnp.mean(residual, axis=-1, keepdims=True)",
        "residual = residual + 0",
        "distances/normality/ecdf_test.py",
    ),
    Break(
        "distances",
        "weights[[0, -1]] /= 2",
        "weights[[0]] /= 2",
        "distances/normality/quadrature_test.py",
    ),
    Break(
        "distances",
        "(real * cos - imag * sin, real * sin + imag * cos), None",
        "(real * cos + imag * sin, real * sin + imag * cos), None",
        "distances/normality/quadrature_test.py",
    ),
    Break(
        "distances",
        "blocks - inner * target",
        "blocks - target",
        "distances/normality/quadrature_test.py distances/normality/characteristic_test.py",
    ),
    Break(
        "distances",
        "(kurtosis - 3) ** 2 / 4)\n",
        "(kurtosis - 3) ** 2)\n",
        "distances/normality/moment_statistics_test.py",
    ),
    Break(
        "distances",
        "last - ordered[..., n - reach : n - window]",
        "last - ordered[..., n - reach + 1 : n - window + 1]",
        "distances/normality/spacings_test.py",
    ),
    Break(
        "distances",
        "total * (1 / (4 * gamma**2) - 1 / (2 * gamma))",
        "total * (1 / (4 * gamma**2) + 1 / (2 * gamma))",
        "distances/multivariate_normality_test.py",
    ),
    Break(
        "distances",
        "float(np.mean(variances))",
        "float(np.sum(variances))",
        "distances/laws_test.py",
    ),
    Break(
        "distances",
        "statistic, axis_name = functools.partial(statistic, axis_name=axis_name), None",
        "axis_name = None",
        "distances/sharding_test.py",
    ),
    Break(
        "distances",
        "maximum_along_last(size) + 1 / (2 * n)",
        "maximum_along_last(size) - 1 / (2 * n)",
        "distances/normality/ecdf_test.py",
    ),
    Break("distances", "+ far * minus_log1p", "- far * minus_log1p", "distances/normality/ecdf_test.py"),
    Break(
        "distances",
        "(node.astype(y.dtype) + 0.5) * step",
        "(node.astype(y.dtype) + 0.45) * step",
        "distances/normality/characteristic_test.py",
    ),
    Break(
        "distances",
        "slope = 2 / n * weight * t",
        "slope = 1 / n * weight * t",
        "distances/normality/characteristic_test.py",
    ),
    Break(
        "distances",
        "counts & (index < n - lag)",
        "counts & (index < n - lag - 1)",
        "distances/normality/characteristic_test.py",
    ),
    Break("distances", "(value <= at), next_found", "(value < at), next_found", "distances/two_sample_test.py"),
    Break("distances", "return 2 * jnp.sum(gap * gap *", "return jnp.sum(gap * gap *", "distances/two_sample_test.py"),
    Break(
        "distances",
        "((half_a, tangents[0]), (half_b, tangents[1]))",
        "((half_a, tangents[1]), (half_b, tangents[0]))",
        "distances/gaussian_test.py",
    ),
    Break(
        "distances",
        "sum(solved * solved, axis=(-2, -1)) / 2",
        "sum(solved * solved, axis=(-2, -1))",
        "distances/gaussian_test.py",
    ),
    Break(
        "distances",
        "mean * ((size - 1) / size) + at_zero / size",
        "mean * ((size - 1) / size)",
        "distances/mmd_test.py",
    ),
    Break(
        "distances",
        "return sum(c / (c + r2) for c in scales)",
        "return sum(c / (c - r2) for c in scales)",
        "distances/mmd_test.py",
    ),
    Break("distances", "(2.0 * dim - 3.0) / 4.0", "(2.0 * dim - 1.0) / 4.0", "distances/cramer_wold_test.py"),
    Break("distances", "slope -= jnp.sum(slope * v", "slope += jnp.sum(slope * v", "distances/sliced_test.py"),
    Break("distances", "second**3 / third**2", "second**2 / third**2", "distances/mardia_test.py"),
    Break(
        "distances", "(twelfth - sixth**2 + 30 * (n - 1) * sixth)", "(twelfth - sixth**2)", "distances/mardia_test.py"
    ),
    Break("distances", "- 2.0 * cross + normal", "- cross + normal", "distances/cramer_wold_test.py"),
    Break("distances", "column < m)[None, :]", "column <= m)[None, :]", "distances/pairwise_test.py"),
    Break(
        "distances",
        "np.arange(share * devices) % num",
        "np.arange(share * devices) % (num - 1)",
        "distances/sharding_test.py",
    ),
    # gaussianization
    Break("gaussianization", "return one(keys, x)", "return one(keys[::-1], x)", "gaussianization/rbig_test.py"),
    Break(
        "gaussianization", "(first + last - 2) * mixed", "(first + last - 1) * mixed", "gaussianization/spline_test.py"
    ),
    Break(
        "gaussianization",
        "digamma(high - low) - digamma(n + 1)",
        "digamma(high - low) - digamma(n)",
        "gaussianization/univariate_entropy_test.py",
    ),
    Break(
        "gaussianization",
        "+ (occupied - 1) / (2 * n)",
        "- (occupied - 1) / (2 * n)",
        "gaussianization/univariate_entropy_test.py",
    ),
    Break(
        "gaussianization",
        "slope = 1 - jnp.mean(bent * bent",
        "slope = 1 + jnp.mean(bent * bent",
        "gaussianization/rotation_test.py",
    ),
    Break(
        "gaussianization",
        "better = new_value > value",
        "better = new_value < value",
        "gaussianization/rotation_test.py",
    ),
    # information
    Break(
        "information",
        "dim * _excess(1, dof) - _excess(dim, dof)",
        "dim * _excess(1, dof) + _excess(dim, dof)",
        "information/student_t_test.py",
    ),
    Break(
        "information",
        "slope = slope - power * coefficient",
        "slope = slope + power * coefficient",
        "information/student_t_test.py",
    ),
    Break("information", "log_sum - math.log(num) -", "log_sum - math.log(m) -", "information/von_mises_test.py"),
    Break(
        "information",
        "return entropies[0] + entropies[1] - entropies[2]",
        "return entropies[0] + entropies[1]",
        "information/von_mises_test.py",
    ),
    Break(
        "information",
        "_psi(n) - _psi(k) + volume",
        "_psi(n) - _psi(k + 1) + volume",
        "information/nearest_neighbors_test.py",
    ),
    Break(
        "information",
        "inside(given) - inside(x, given)",
        "inside(given) + inside(x, given)",
        "information/nearest_neighbors_test.py",
    ),
    # gaussian_process
    Break(
        "gaussian_process",
        "(1.0 + a) * decay, -1.5 * decay * r2_dot",
        "(1.0 + a) * decay, -1.0 * decay * r2_dot",
        "gaussian_process/covariance_test.py",
    ),
    Break(
        "gaussian_process",
        "half = jnp.tril(inner, -1) + 0.5 * inner",
        "half = jnp.tril(inner, -1) + inner",
        "gaussian_process/cholesky_test.py",
    ),
    Break(
        "gaussian_process",
        "product = -_blocks.matmul(last",
        "product = _blocks.matmul(last",
        "gaussian_process/cholesky_test.py",
    ),
    Break(
        "gaussian_process",
        "jnp.log(2.0 * jnp.pi / precision)",
        "jnp.log(2.0 * jnp.pi * precision)",
        "gaussian_process/evidence_test.py",
    ),
    Break(
        "gaussian_process",
        "covariance.diagonal(x) - jnp.sum(explained",
        "covariance.diagonal(x) + jnp.sum(explained",
        "gaussian_process/sparse_test.py",
    ),
    Break(
        "gaussian_process",
        "jnp.sum(misses) + jnp.sum(values * values)",
        "jnp.sum(misses)",
        "gaussian_process/evidence_test.py gaussian_process/sparse_test.py",
    ),
    Break(
        "gaussian_process",
        "(centers + total / jnp.where(counts > 0, counts, 1.0)",
        "(centers + total / jnp.where(counts > 0, added, 1.0)",
        "gaussian_process/kmeans_test.py",
    ),
    Break("gaussian_process", "points.low - low[None]", "points.low", "gaussian_process/origin_test.py"),
    # imaging
    Break(
        "imaging",
        "cr = (image[..., 0:1] - y) / _SPAN_CR",
        "cr = (image[..., 1:2] - y) / _SPAN_CR",
        "imaging/color_test.py",
    ),
    Break(
        "imaging",
        "_power((image + 0.055) / 1.055, 2.4, low)",
        "_power((image + 0.055) / 1.055, 2.2, low)",
        "imaging/color_test.py",
    ),
    Break("imaging", "4.0 + (red - green) / safe", "4.0 + (green - red) / safe", "imaging/color_test.py"),
    Break(
        "imaging", "covariance = mean(x * y) - mean_x * mean_y", "covariance = mean(x * y)", "imaging/quality_test.py"
    ),
    Break(
        "imaging",
        "better = other.log_marginal_likelihood > best",
        "better = other.log_marginal_likelihood < best",
        "imaging/gp_enhancement/tone_map_test.py",
    ),
    Break(
        "imaging",
        "places = [i * row + j * channels",
        "places = [j * row + i * channels",
        "imaging/gp_enhancement/tone_map_test.py",
    ),
    Break(
        "imaging",
        "y=found.centers[:, middle]",
        "y=found.centers[:, middle - 1]",
        "imaging/gp_enhancement/tone_map_test.py",
    ),
    Break(
        "imaging",
        "best.noise * _mean_over(used, weights * pairs.counts)",
        "best.noise * _mean_over(used, weights)",
        "imaging/gp_enhancement/tone_map_test.py",
    ),
    Break(
        "imaging",
        "jnp.where(used, best.noise * weights, jnp.inf)",
        "jnp.where(used, best.noise, jnp.inf)",
        "imaging/gp_enhancement/tone_map_test.py",
    ),
    Break(
        "imaging",
        "noise_weights=jnp.where(used, weights, jnp.inf)",
        "noise_weights=jnp.where(used, 1.0, jnp.inf)",
        "imaging/gp_enhancement/tone_map_test.py",
    ),
    Break("imaging", "dark = middle**3 if", "dark = middle**2 if", "imaging/gp_enhancement/tone_map_test.py"),
    # nn
    Break("nn", "matrix - 2 * v[:, None]", "matrix - v[:, None]", "nn"),
    Break("nn", "z.dtype) * -jnp.sum(self.log_scale", "z.dtype) * jnp.sum(self.log_scale", "nn"),
    Break("nn", "(2 * self.bound / self.num_bins) - self.bound", "(2 * self.bound / self.num_bins)", "nn"),
    # data
    Break("data", "SeedSequence([seed, 0, epoch])", "SeedSequence([seed, 0, 0])", "data"),
    # training
    Break("training", "(1.0 + count) / (10.0 + count)", "(2.0 + count) / (10.0 + count)", "training/step_test.py"),
    # objectives
    Break(
        "objectives",
        "return _rows.mean(up(first - second))",
        "return _rows.mean(up(second - first))",
        "objectives/adversarial_test.py",
    ),
    Break(
        "objectives",
        "[1.0 / len(negatives)] * len(negatives)",
        "[1.0] * len(negatives)",
        "objectives/adversarial_test.py",
    ),
    Break(
        "objectives",
        "share * real + (1.0 - share) * fake",
        "share * real + share * fake",
        "objectives/penalties_test.py",
    ),
    Break("objectives", "- math.log(mean.shape[-2])", "", "objectives/variational_test.py"),
    Break("objectives", "axis=-2) + apart", "axis=-2)", "objectives/variational_test.py"),
    Break("objectives", "& ~jnp.eye(shape[0], dtype=bool)", "", "objectives/pairs_test.py"),
    # nn
    Break("nn", "- 1 - above) + above", "- 1 - above)", "nn/convolution_test.py"),
    Break("nn", "count >= self.size", "count > self.size", "nn/pools_test.py"),
    Break("nn", "max(1, x[0].size - 1)", "x[0].size", "nn/normalization_test.py"),
    Break("nn", "(0.5 + contrast)", "(1.0 + contrast)", "nn/augmentation_test.py"),
    Break("nn", "self.up(nnx.relu(y))", "self.up(nnx.relu(y) * 0)", "nn/residual_test.py"),
    Break("nn", "[..., : kernel.shape[1]]", "[..., _MORE:]", "nn/attention_test.py"),
    # image metrics
    Break("experiments", "step = 2 if pairing", "step = 1 if pairing", "experiments/image_pairs_test.py"),
    Break("models", 'f"_{int(number) - 1}"', 'f"_{int(number)}"', "models/extractors/networks_test.py"),
    Break(
        "evaluation",
        "top, left = (height - side) // 2",
        "top, left = (height - side)",
        "experiments/image_metrics_test.py",
    ),
    # text to picture
    Break("data", "0 if across < 0 else 1", "1 if across < 0 else 0", "data/scenes_test.py"),
    Break("data", "far >= own + radius[:, before, None] + _MARGIN", "far >= own + _MARGIN", "data/scenes_test.py"),
    Break("data", "np.argsort(keys, axis=1, kind", "np.argsort(-keys, axis=1, kind", "data/captions_test.py"),
    Break(
        "data",
        "centre = around[:, :2] + around[:, 2:] // 2",
        "centre = around[:, :2] + around[:, 2:]",
        "data/cub_test.py",
    ),
    Break(
        "data",
        "(lengths[-2] if len(lengths) > 2 else 0)",
        "(lengths[-1] if len(lengths) > 2 else 0)",
        "data/coco_test.py",
    ),
    Break("data", "several.sort(key=lambda one: (", "several.sort(key=lambda one: -(", "data/visual_genome_test.py"),
    Break("objectives", "jnp.where(there, products, -jnp.inf)", "products", "objectives/damsm_test.py"),
    Break("nn", "nnx.sigmoid(forget) * cell", "nnx.sigmoid(enter) * cell", "models/text_test.py"),
    Break("models", "around = convolution.halve(x)", "around = x[:, ::2, ::2]", "models/text_to_image/dfgan_test.py"),
    Break(
        "models",
        "seen = jnp.broadcast_to(valid[:, None], scores.shape)",
        "seen = jnp.ones(scores.shape, bool)",
        "models/text_to_image/attngan_test.py",
    ),
    Break("models", "np.moveaxis(apart, 1, 3)", "apart", "models/text_to_image/attngan_test.py"),
    Break(
        "models",
        "(x, x * edge, x * edge[:, None])",
        "(x, x * edge[:, None], x * edge)",
        "models/text_to_image/damsm_test.py",
    ),
    Break(
        "models",
        "self.joint(tile(x, sentence))",
        "self.joint(tile(x, 0 * sentence))",
        "models/text_to_image/vae_test.py",
    ),
    Break("models", "half = codes + width / 2.0 *", "half = codes + width *", "models/text_to_image/vae_test.py"),
    Break("models", "jnp.exp(law.log_variance / 2.0) * noise", "noise", "models/text_to_image/vae_test.py"),
    Break("benchmarks", "met = gap <= LIMIT and", "met =", "benchmarks/parity_test.py"),
    # image translation
    Break("experiments", "within / len(colours)", "within", "experiments/image_translation_test.py"),
    # pictures of texts
    Break("evaluation", "along >= _CLEAR * across", "along >= across / _CLEAR", "evaluation/objects_test.py"),
    Break("evaluation", "missing=0.0, broken=-1e-9", "missing=0.0, broken=0.0", "evaluation/objects_test.py"),
    Break("evaluation", "max(best.get(value, 0.0), ", "max(0.0, ", "evaluation/objects_test.py"),
    Break("evaluation", "np.flatnonzero(alike != alike[row])", "np.arange(num)", "evaluation/retrieval_test.py"),
    Break(
        "data",
        "found.append((i, value, j))",
        "found.append((j, value, i))",
        "data/scenes_reading_test.py",
    ),
    Break(
        "objectives",
        "cell = place[..., 1] * side + place[..., 0]",
        "cell = place[..., 0] * side + place[..., 1]",
        "objectives/detection_test.py",
    ),
    Break(
        "experiments",
        "for logits in negative) / 3",
        "for logits in negative) / 2",
        "experiments/text_to_image_systems_test.py",
    ),
    Break(
        "experiments",
        "(j, kind - 1, i) if kind % 2",
        "(i, kind, j) if kind % 2",
        "experiments/text_to_image_measures_test.py",
    ),
    Break("experiments", "if other == recipe and all(", "if all(", "experiments/text_to_image_compare_test.py"),
    Break("evaluation", "apart[first] - apart[second]", "apart[first] + apart[second]", "evaluation/layout_test.py"),
    Break("models", "np.insert(rows, 1, 0, axis=0)", "np.insert(rows, 0, 0, axis=0)", "models/text_test.py"),
    Break("data", "name)) not in named", "name)) in named", "data/captioned_folder_test.py"),
    Break("experiments", '"stays" if name', '"learns" if name', "experiments/text_to_image_data_test.py"),
    Break(
        "experiments", 'f"{found.within}.netG"', 'f"{found.within}.netD"', "experiments/text_to_image_published_test.py"
    ),
]


def main() -> int:
    """Counts the breaks seen; exit status 1 where one was not, or no longer applies."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tree", type=pathlib.Path, default=ROOT, help="checkout to break")
    parser.add_argument("--rooms", default="", help="rooms, by comma; all by default")
    args = parser.parse_args()
    rooms = set(filter(None, args.rooms.split(",")))
    chosen = [one for one in BREAKS if not rooms or one.room in rooms]
    with tempfile.TemporaryDirectory(prefix="breaks-") as folder:
        tree = pathlib.Path(folder) / "tree"
        ignore = shutil.ignore_patterns(".git", "runs", "__pycache__", ".*_cache", ".venv*")
        shutil.copytree(args.tree, tree, ignore=ignore)
        outcomes = [_outcome(tree, number, one) for number, one in enumerate(chosen, 1)]
    print(f"{outcomes.count('seen')} of {len(chosen)} breaks seen, {outcomes.count('gone')} no longer apply")
    return int(set(outcomes) != {"seen"})


def _outcome(tree: pathlib.Path, number: int, one: Break) -> str:
    folder = tree / "gentoolkit" / one.room
    places = [path for path in sorted((folder if folder.is_dir() else tree / one.room).rglob("*.py"))]
    places = [path for path in places if one.right in path.read_text()]
    start = time.monotonic()
    if len(places) != 1 or places[0].read_text().count(one.right) != 1:
        outcome, where = "gone", one.room
    else:
        text, where = places[0].read_text(), str(places[0].relative_to(tree))
        places[0].write_text(text.replace(one.right, one.wrong))
        try:
            outcome = "seen" if _fails(tree, one.tests) else "NOT SEEN"
        finally:
            places[0].write_text(text)
    print(f"{number:3d}  {outcome:8s} {time.monotonic() - start:4.0f} s  {where}: {one.wrong}", flush=True)
    return outcome


def _fails(tree: pathlib.Path, tests: str) -> bool:
    """Whether a test fails; an error of the runner itself (no test found, say) is told."""
    command = [sys.executable, "-m", "pytest", "-n0", "-x", "-q", "-p", "no:cacheprovider"]
    command += [f"tests/{name}" for name in tests.split()]
    environment = os.environ | {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, timeout=LIMIT)
    except subprocess.TimeoutExpired:
        return True
    if done.returncode not in (0, 1):
        raise RuntimeError(f"{' '.join(command)} ended with status {done.returncode}:\n{done.stdout[-2000:]}")
    return done.returncode == 1


if __name__ == "__main__":
    sys.exit(main())
