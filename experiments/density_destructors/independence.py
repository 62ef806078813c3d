"""What the recommended estimator says where there is nothing to find: p-values and debiased values over many seeds.

    python -m experiments.density_destructors.independence --workdir=runs/destructors/independence

Goes on where it was stopped. Writes `independence.md`.
"""

import json
import math
import pathlib
import statistics
import time

import jax
import numpy as np
from absl import app, flags

from gentoolkit import information

_WORKDIR = flags.DEFINE_string(
    "workdir", "runs/destructors/independence", "Folder of the results; what it holds stays."
)
_DIMS = flags.DEFINE_list("dims", ["3", "10"], "Numbers of features.")
_NUM = flags.DEFINE_integer("num", 500, "Samples, independent and normal.", lower_bound=50)
_SEEDS = flags.DEFINE_integer("seeds", 200, "Samples drawn for each number of features.", lower_bound=10)
_PERMUTATIONS = flags.DEFINE_integer("permutations", 19, "Of each sample; p-values are multiples of 1 / (1 + this).")


def main(argv: list[str]) -> None:
    """Computes what is missing, and says whether the targets are met."""
    if len(argv) > 1:
        raise app.UsageError(f"Did not understand {argv[1]!r}.")
    folder = pathlib.Path(_WORKDIR.value)
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for dim in map(int, _DIMS.value):
        p_values, debiased = zip(*_estimates(folder, dim), strict=True)
        lines += _verdicts(dim, np.array(p_values), np.array(debiased))
    text = "\n".join(f"- {line}" for line in lines) + "\n"
    print("\n" + text)
    (folder / "independence.md").write_text(text)


def _estimates(folder: pathlib.Path, dim: int) -> list[tuple[float, float]]:
    """Returns (p-value, debiased value) of every seed, from the file where it has them."""
    path = folder / f"d{dim}_n{_NUM.value}_b{_PERMUTATIONS.value}.jsonl"
    done = [json.loads(line) for line in path.read_text().splitlines() if line.endswith("]")] if path.exists() else []
    path.write_text("".join(json.dumps(row) + "\n" for row in done))

    @jax.jit
    def estimate(seed):
        draw_key, key = jax.random.split(jax.random.fold_in(jax.random.key(dim), seed))
        x = jax.random.normal(draw_key, (_NUM.value, dim))
        got = information.total_correlation(key, x, num_permutations=_PERMUTATIONS.value)
        return got.p_value, got.debiased

    begin, begun = time.monotonic(), len(done)
    with path.open("a") as file:
        for seed in range(begun, _SEEDS.value):
            done.append([float(value) for value in estimate(seed)])
            file.write(json.dumps(done[-1]) + "\n")
            file.flush()
            if (seed + 1) % 20 == 0:
                left = (time.monotonic() - begin) / (seed + 1 - begun) * (_SEEDS.value - seed - 1)
                print(f"  d = {dim}: {seed + 1}/{_SEEDS.value} seeds  left {left:.0f} s", flush=True)
    return [tuple(row) for row in done[: _SEEDS.value]]


def _verdicts(dim: int, p_values: np.ndarray, debiased: np.ndarray) -> list[str]:
    from scipy import stats

    # A permutation p-value is uniform on multiples of 1 / (B + 1); spread over its cell it is uniform on [0, 1].
    spread = p_values - np.random.default_rng(0).uniform(size=p_values.shape) / (1 + _PERMUTATIONS.value)
    uniform = stats.kstest(spread, "uniform").pvalue
    mean, error = statistics.mean(debiased), statistics.stdev(debiased) / math.sqrt(len(debiased))
    return [
        f"d = {dim}, n = {_NUM.value}, {len(p_values)} seeds: p-values uniform, KS p = {uniform:.3f} (at most 0.05 in "
        f"{np.mean(p_values < 0.05 + 1e-6):.1%}): {'met' if uniform > 0.01 else 'NOT met'}",
        f"d = {dim}: debiased mean {mean:+.5f} nats, standard error {error:.5f}, within three of 0: "
        f"{'met' if abs(mean) <= 3 * error else 'NOT met'}",
    ]


if __name__ == "__main__":
    app.run(main)
