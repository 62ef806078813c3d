"""Which law each sliced statistic sees, and how it pulls where codes collapse: `python -m benchmarks.normality_power`.

Codes of 16 features, 64 random slices, the mean over slices. Two Markdown tables. The first has the share of samples
whose calibrated p-value is at most 5 %: the p-value is the rank of the value among those of samples of N(0, I) of the
same size, with directions of their own. The departures are of a size that tells the statistics apart:

- shift: one feature by 0.5;
- scale: one feature times 1.5;
- heavy tail: all features divided by one chi variable, a Student law of fifteen degrees of freedom, of variance 1;
- two heaps: the first four features at -0.6 or at 0.6 together, with the spread that leaves their variances 1;
- low rank: sixteen features of fourteen, mixed by an orthogonal matrix, the mean square kept;
- quantized: all features rounded to -2.5, 0 or 2.5, rarely beyond, then scaled to variance 1.

The second has the root mean square over the codes of n times the gradient, over that at a sample of N(0, I): of codes
that all but collapsed to a point (spread 0.01 about 0) and to a line (spread 0.01 about it; the part of the gradient
across the line). Below 1 the pull apart is weaker than what a normal sample feels from chance alone.
"""

import functools
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from absl import app

from gentoolkit.distances import cramer_wold, directions, multivariate_normality, normality, sliced

# Numbers of codes; of samples of each departure; of samples of N(0, I) that p-values are ranks among.
_SIZES, _SAMPLES, _NULL = (256, 1024), 200, 500
_LEVEL, _DIM, _SLICES, _RANK, _COLLAPSED = 0.05, 16, 64, 14, 0.01


def statistics(n: int) -> dict[str, Callable[[jax.Array, jax.Array], jax.Array]]:
    """Returns functions of samples `[n, d]` and directions `[k, d]`, by name."""
    names = (
        "epps_pulley_quadrature",
        "epps_pulley",
        "cramer_wold",
        "wasserstein",
        "cramer_von_mises",
        "watson",
        "kolmogorov_smirnov",
        "anderson_darling",
        "likelihood",
        "mean_and_variance",
        "jarque_bera",
        "extended_jarque_bera",
        "moments",
        "shapiro_wilk",
        "normal_score_cosine",
    )
    plain = {name: getattr(normality, name) for name in names}
    plain["negentropy"] = functools.partial(normality.negentropy, window=int(n**0.5))
    found = {name: functools.partial(_sliced, statistic) for name, statistic in plain.items()}
    found["henze_zirkler, no slices"] = lambda x, v: multivariate_normality.henze_zirkler(x)
    found["cramer_wold.to_normal, no slices"] = lambda x, v: cramer_wold.to_normal(x)
    return found


def _sliced(statistic: Callable, x: jax.Array, v: jax.Array) -> jax.Array:
    return sliced.distance(statistic, x, directions=v)


def draw(law: str, n: int, rng: np.random.Generator) -> np.ndarray:
    """Returns codes `[n, 16]` of a law by its name in the table."""
    x = rng.standard_normal((n, _DIM))
    if law == "shift":
        x[:, 0] += 0.5
    elif law == "scale":
        x[:, 0] *= 1.5
    elif law == "heavy tail":
        x *= np.sqrt(13 / rng.chisquare(15, (n, 1)))
    elif law == "two heaps":
        x[:, :4] = rng.choice([-0.6, 0.6], (n, 1)) + 0.8 * x[:, :4]
    elif law == "low rank":
        mixing = np.linalg.qr(rng.standard_normal((_DIM, _RANK)))[0]
        x = x[:, :_RANK] @ mixing.T * np.sqrt(_DIM / _RANK)
    elif law == "quantized":
        x = np.round(x / 2.5) * 2.5
        x /= np.sqrt(np.mean(x * x))
    elif law != "normal":
        raise ValueError(f"law must be normal or a departure of the table, got {law!r}.")
    return x.astype(np.float32)


DEPARTURES = ("shift", "scale", "heavy tail", "two heaps", "low rank", "quantized")


def main(argv: list[str]) -> None:
    """Prints the tables."""
    if len(argv) > 1:
        raise app.UsageError(f"no arguments are taken, got {argv[1:]}.")
    for n in _SIZES:
        start = time.perf_counter()
        rates, pulls = rejections(n, _NULL, _SAMPLES), gradients(n)
        print(f"n = {n}: rejected at 5 % (of {_SAMPLES} samples), and the gradient of collapsed codes\n")
        print(f"| statistic | {' | '.join(DEPARTURES)} | normal | point | line |")
        print("|---" * (len(DEPARTURES) + 4) + "|")
        for name, row in rates.items():
            cells = [f"{rate:.2f}" for rate in row] + [f"{pull:.{0 if pull >= 10 else 1}f}" for pull in pulls[name]]
            print(f"| {name} | {' | '.join(cells)} |")
        print(f"\n{time.perf_counter() - start:.0f} s\n", flush=True)


def rejections(n: int, num_null: int, num_samples: int) -> dict[str, list[float]]:
    """Returns the share of samples of each departure, and of the null at last, that are rejected, by statistic."""
    found = statistics(n)
    key = jax.random.key(n)

    @jax.jit
    def evaluate(x, trial):
        v = directions.at_step(key, trial, _SLICES, _DIM)
        return jnp.stack([statistic(x, v) for statistic in found.values()])

    rng = np.random.default_rng(n)
    trials = iter(range(10**9))

    def values(law, num):
        return np.stack([evaluate(draw(law, n, rng), next(trials)) for _ in range(num)])

    null = np.sort(values("normal", num_null), axis=0)
    shares = []
    for law in (*DEPARTURES, "normal"):
        seen = values(law, num_samples)
        above = (null[None] >= seen[:, None]).sum(axis=1)
        shares.append(np.mean((1 + above) / (1 + num_null) <= _LEVEL, axis=0))
    return {name: list(row) for name, row in zip(found, np.transpose(shares), strict=True)}


def gradients(n: int) -> dict[str, tuple[float, float]]:
    """Returns the gradient where codes collapse to a point and to a line, over that of normal ones, by statistic."""
    normal = draw("normal", n, np.random.default_rng(0))
    line = normal.copy()
    line[:, 1:] *= _COLLAPSED
    v = directions.at_step(jax.random.key(0), 0, _SLICES, _DIM)
    found = {}
    for name, statistic in statistics(n).items():
        gradient = jax.jit(jax.grad(statistic))
        sizes = [
            float(jnp.sqrt(jnp.mean(gradient(x, v)[:, skip:] ** 2)))
            for x, skip in ((normal, 0), (_COLLAPSED * normal, 0), (line, 1))
        ]
        found[name] = (sizes[1] / sizes[0], sizes[2] / sizes[0])
    return found


if __name__ == "__main__":
    app.run(main)
