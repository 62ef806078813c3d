"""Figure 1 of the paper: circles destroyed to uniform noise, put together again, sampled from; and Delta T by layer.

    python -m experiments.density_destructors.figure1 --workdir=runs/destructors/figure1

Writes `figure1.png` and prints what a destructor must fulfil: round trip, uniform marginals, independence, samples.
"""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags

from experiments.density_destructors import laws
from gentoolkit import information
from gentoolkit.distances import directions, sliced, two_sample
from gentoolkit.gaussianization import marginal, rbig, rotation

_WORKDIR = flags.DEFINE_string("workdir", "runs/destructors/figure1", "Where the picture goes.")
_NUM = flags.DEFINE_integer("num", 10_000, "Points.", lower_bound=100)
_LAYERS = flags.DEFINE_integer("num_layers", 60, "Layers of RBIG.", lower_bound=1)
_ROTATION = flags.DEFINE_enum("rotation", "max_sliced", ["pca", "random", "ica", "max_sliced"], "Of every layer.")
# Silverman's bandwidth (0) leaves dependence; a narrow one leaves none.
_BANDWIDTH = flags.DEFINE_float("bandwidth", 0.04, "Of the kernel densities; 0 for Silverman's rule.", lower_bound=0.0)
_SEED = flags.DEFINE_integer("seed", 0, "Seed of the points and the fit.")


def main(argv: list[str]) -> None:
    """Fits, checks and draws."""
    if len(argv) > 1:
        raise app.UsageError(f"Did not understand {argv[1]!r}.")
    from scipy import stats

    rng = np.random.default_rng(_SEED.value)
    x, fresh, other = (jnp.asarray(laws.circles(rng, _NUM.value)) for _ in range(3))
    keys = jax.random.split(jax.random.key(_SEED.value), 5)
    destructor = rbig.fit(
        keys[0],
        x,
        marginal=marginal.kernel_density(bandwidth=_BANDWIDTH.value or None),
        rotation=getattr(rotation, _ROTATION.value)(),
        num_layers=_LAYERS.value,
    )
    uniform = rbig.to_uniform(destructor, x)
    z, _ = rbig.forward(destructor, x, compensated=True)
    back = rbig.inverse(destructor, z, compensated=True)
    # Noise that was never data, through the inverse: new circles.
    drawn = rbig.sample(keys[1], destructor, _NUM.value)
    trip = np.max(np.abs(back - x), axis=-1)
    marginals = [stats.kstest(np.asarray(column, np.float64), "uniform").pvalue for column in uniform.T]
    held_out = [stats.kstest(np.asarray(c, np.float64), "uniform").pvalue for c in rbig.to_uniform(destructor, fresh).T]
    left = information.total_correlation(keys[2], uniform, num_permutations=99)
    begin = information.total_correlation(keys[3], x)
    slices = directions.orthogonal(keys[4], 256, 2)

    def distance(a, b):
        return float(sliced.distance(two_sample.wasserstein, a, b, directions=slices))

    ours, between = distance(drawn, fresh), distance(fresh, other)
    lines = [
        f"round trip: error at most {np.max(trip):.1e}, median {np.median(trip):.1e}, below 1e-5 in "
        f"{np.mean(trip < 1e-5):.2%} of the points, in all: {_verdict(np.max(trip) < 1e-5)}",
        f"uniform marginals: KS p-values {', '.join(f'{p:.3f}' for p in marginals)}, above 0.01: "
        f"{_verdict(min(marginals) > 0.01)} (of fresh points: {', '.join(f'{p:.3f}' for p in held_out)})",
        f"T of the data {float(begin.value):.3f} nats; of the latent points {float(left.value):.4f}, null mean "
        f"{float(left.null_mean):.4f}, p = {float(left.p_value):.2f}: {_verdict(float(left.p_value) > 0.05)}",
        f"Delta T summed over {_LAYERS.value} layers: {float(destructor.trace.delta.sum()):.3f} nats",
        f"sliced W2² of samples to fresh data {ours:.2e}, between two fresh draws {between:.2e}, at most 1.5 times: "
        f"{ours / between:.2f}×: {_verdict(ours <= 1.5 * between)}",
    ]
    print("\n".join(f"- {line}" for line in lines))
    path = pathlib.Path(_WORKDIR.value) / "figure1.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    panels = {"data": x, "destroyed: uniform": uniform, "put together again": back, "samples": drawn}
    _draw(path, panels, np.cumsum(destructor.trace.delta))
    print(f"\nPicture: {path}")


def _verdict(met: bool) -> str:
    return "met" if met else "NOT met"


def _draw(path: pathlib.Path, panels: dict[str, jax.Array], removed: np.ndarray) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(15, 3.3), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, len(panels) + 1)
    for ax, (name, points) in zip(axes, panels.items(), strict=False):
        points = np.asarray(points)[:4000]
        ax.scatter(*points.T, s=1, color="#0072B2", linewidths=0)
        ax.set_title(name, fontsize=10, loc="left")
        ax.set_aspect("equal")
        ax.tick_params(labelsize=7)
        if "uniform" not in name:
            ax.set_xlim(-5, 5)
            ax.set_ylim(-5, 5)
    axes[-1].plot(np.arange(1, len(removed) + 1), removed, color="#D55E00")
    axes[-1].set_title("total correlation removed, nats", fontsize=10, loc="left")
    axes[-1].set_xlabel("layers", fontsize=9)
    axes[-1].tick_params(labelsize=7)
    axes[-1].grid(alpha=0.25, linewidth=0.5)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    app.run(main)
