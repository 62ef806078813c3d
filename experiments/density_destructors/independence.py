"""What the recommended estimator says where there is nothing to find: p-values and debiased values over many seeds.

    python -m experiments.density_destructors.independence --workdir=runs/destructors/independence

Goes on where it was stopped. Writes `independence.md` and a page.
"""

import functools
import math
import pathlib

import jax
import numpy as np
from absl import flags

from gentoolkit import information, study
from gentoolkit.training import launch

_WORKDIR = flags.DEFINE_string(
    "workdir", "runs/destructors/independence", "Folder of the results; what it holds stays."
)
_DIMS = flags.DEFINE_list("dims", ["3", "10"], "Numbers of features.")
_NUM = flags.DEFINE_integer("num", 500, "Samples, independent and normal.", lower_bound=50)
_SEEDS = flags.DEFINE_integer("seeds", 200, "Samples drawn for each number of features.", lower_bound=10)
_PERMUTATIONS = flags.DEFINE_integer(
    "permutations", 19, "Of each sample; p-values are multiples of 1 / (1 + this).", lower_bound=1
)


def main() -> None:
    """Computes what is missing, and says whether the targets are met."""

    @functools.partial(jax.jit, static_argnums=0)
    def estimate(dim, seed):
        draw_key, key = jax.random.split(jax.random.fold_in(jax.random.key(dim), seed))
        x = jax.random.normal(draw_key, (_NUM.value, dim))
        got = information.total_correlation(key, x, num_permutations=_PERMUTATIONS.value)
        return {"p_value": got.p_value, "debiased": got.debiased}

    dims = study.numbers("--dims", _DIMS.value, least=2)
    rows = study.complete(
        pathlib.Path(_WORKDIR.value) / "results.jsonl",
        [{"dim": dim, "seed": seed} for dim in dims for seed in range(_SEEDS.value)],
        lambda cell: estimate(cell["dim"], cell["seed"]),
        config={"num": _NUM.value, "permutations": _PERMUTATIONS.value},
    )
    claims = [claim for (dim,), found in study.group(rows, "dim").items() for claim in _claims(dim, found)]
    study.publish(_WORKDIR.value, "independence", title="Where there is nothing to find", claims=claims)


def _claims(dim: int, rows: list[study.Row]) -> list[study.Claim]:
    from scipy import stats

    p_values = np.array([row["p_value"] for row in rows])
    # A permutation p-value is uniform on multiples of 1 / (B + 1); spread over its cell it is uniform on [0, 1].
    spread = p_values - np.random.default_rng(0).uniform(size=p_values.shape) / (1 + _PERMUTATIONS.value)
    uniform = stats.kstest(spread, "uniform").pvalue
    debiased = study.summary([row["debiased"] for row in rows])
    error = debiased.spread / math.sqrt(debiased.num)
    under = f"d = {dim}, n = {_NUM.value}, {debiased.num} seeds"
    small = f"KS p = {uniform:.3f}; at most 0.05 in {np.mean(p_values < 0.05 + 1e-6):.1%}"
    return [
        study.Claim(f"{under}: p-values are uniform", uniform > 0.01, small),
        study.Claim(
            f"{under}: the debiased mean is within three standard errors of 0",
            abs(debiased.mean) <= 3 * error,
            f"{debiased.mean:+.5f} nats, standard error {error:.5f}",
        ),
    ]


if __name__ == "__main__":
    launch.start(study.script(main), expected=(OSError, ValueError))
