"""Figure 1 of the paper: circles destroyed to uniform noise, put together again, sampled from; and Delta T by layer.

    python -m experiments.density_destructors.figure1 --workdir=runs/destructors/figure1

Prints what a destructor must fulfil: round trip, uniform marginals, independence, samples. Writes `figure1.svg`,
`figure1.md` and a page.
"""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags

from experiments.density_destructors import laws
from gentoolkit import information, report, study
from gentoolkit.distances import directions, sliced, two_sample
from gentoolkit.gaussianization import marginal, rbig, rotation
from gentoolkit.training import launch

_WORKDIR = flags.DEFINE_string("workdir", "runs/destructors/figure1", "Where the picture goes.")
_NUM = flags.DEFINE_integer("num", 10_000, "Points.", lower_bound=100)
_LAYERS = flags.DEFINE_integer("num_layers", 60, "Layers of RBIG.", lower_bound=1)
_ROTATION = flags.DEFINE_enum("rotation", "max_sliced", ["pca", "random", "ica", "max_sliced"], "Of every layer.")
# Silverman's bandwidth (0) leaves dependence; a narrow one leaves none.
_BANDWIDTH = launch.define_float("bandwidth", 0.04, "Of the kernel densities; 0 for Silverman's rule.", lower_bound=0.0)
_SEED = flags.DEFINE_integer("seed", 0, "Seed of the points and the fit.")


def main() -> None:
    """Fits, checks and draws."""
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
    claims = [
        study.Claim(
            "the round trip is exact to 1e-5",
            bool(np.max(trip) < 1e-5),
            f"at most {np.max(trip):.1e}, median {np.median(trip):.1e}, below in {np.mean(trip < 1e-5):.2%} of all",
        ),
        study.Claim(
            "marginals are uniform, KS p above 0.01",
            min(marginals) > 0.01,
            " and of fresh points ".join(", ".join(f"{p:.3f}" for p in found) for found in (marginals, held_out)),
        ),
        study.Claim(
            "latent points are independent, p above 0.05",
            float(left.p_value) > 0.05,
            f"T of the data {float(begin.value):.3f} nats, of the latent points {float(left.value):.4f}, null mean "
            f"{float(left.null_mean):.4f}, p = {float(left.p_value):.2f}",
        ),
        study.Claim(
            "samples are at most 1.5 times as far from fresh data as another draw, by sliced W2²",
            ours <= 1.5 * between,
            f"{ours:.2e} and {between:.2e}: {ours / between:.2f}×",
        ),
    ]
    removed = list(enumerate(np.cumsum(destructor.trace.delta).tolist(), 1))
    panels = {"data": x, "destroyed: uniform": uniform, "put together again": back, "samples": drawn}
    dots = {"x": "", "joined": False, "square": True, "log_y": False}
    drawings = [report.Chart(title, {"": np.asarray(at[:4000]).tolist()}, **dots) for title, at in panels.items()]
    drawings.append(report.Chart("total correlation removed", {"": removed}, x="layers", y="nats"))
    report.write_text(pathlib.Path(_WORKDIR.value) / "figure1.svg", report.figure(drawings, columns=len(drawings)))
    title = "Circles destroyed, and put together again"
    study.publish(_WORKDIR.value, "figure1", report.charts(*drawings), title=title, claims=claims)


if __name__ == "__main__":
    launch.start(study.script(main), expected=(OSError, ValueError))
