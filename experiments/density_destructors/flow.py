r"""A trained destructor: a flow fitted by likelihood, or by the paper's criterion, to a law of the study or to circles.

    python -m experiments.density_destructors.flow --config=experiments/density_destructors/config.py:circles \
        --workdir=runs/destructors/flow

Prints the total correlation that the flow removes from held-out samples beside the truth. Resumes where it was stopped.
"""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from ml_collections import ConfigDict

from experiments.density_destructors import laws
from gentoolkit import report, training
from gentoolkit.gaussianization import criterion, univariate_entropy
from gentoolkit.models import flow
from gentoolkit.training import launch

_KINDS = {
    "gaussianization": flow.gaussianization,
    "divisive_normalization": flow.divisive_normalization,
    "spline_coupling": flow.spline_coupling,
}


class Draws:
    """An endless stream of batches from a sample held in memory; its position is a number."""

    def __init__(self, x: np.ndarray, batch_size: int, seed: int):
        """Keeps the sample."""
        if batch_size > len(x):
            raise ValueError(f"config.batch_size = {batch_size} is larger than config.num = {len(x)}.")
        self._x, self._size, self._seed, self._position = x, batch_size, seed, 0

    def __next__(self) -> dict[str, np.ndarray]:
        """Returns the next batch, drawn without putting back."""
        rng = np.random.default_rng((self._seed, self._position))
        self._position += 1
        return {"x": self._x[rng.choice(len(self._x), self._size, replace=False)]}

    def get_state(self) -> int:
        """Returns the position after the last batch."""
        return self._position

    def set_state(self, state: int, /) -> None:
        """Goes to a position."""
        self._position = state


def sample(config: ConfigDict) -> tuple[np.ndarray, np.ndarray, float | None]:
    """Returns training and held-out samples, and their total correlation where it is known."""
    if config.law == "circles":
        rng = np.random.default_rng(config.seed)
        return laws.circles(rng, config.num), laws.circles(rng, config.num), None
    makers = {
        "student": lambda: laws.student(config.dim, config.dof),
        "skewed_copula": lambda: laws.skewed_copula(config.dim),
        "two_normals": lambda: laws.two_normals(config.dim),
    }
    if config.law not in makers:
        raise ValueError(f"config.law must be one of circles, {', '.join(makers)}; got {config.law!r}.")
    law = makers[config.law]()
    keys = jax.random.split(jax.random.key(config.seed))
    return np.asarray(law.draw(keys[0], config.num)), np.asarray(law.draw(keys[1], config.num)), law.total_correlation


def run(config: ConfigDict, workdir: str | pathlib.Path, mesh: jax.sharding.Mesh) -> dict[str, float]:
    """Trains the flow, or goes on with it, and writes the page.

    Args:
      config: as from `config.get_config`.
      workdir: folder of the run.
      mesh: devices.

    Returns:
      The latest metrics; `test/` of the held-out samples, in nats.
    """
    if config.model.kind not in _KINDS:
        raise ValueError(f"config.model.kind must be one of {', '.join(_KINDS)}; got {config.model.kind!r}.")
    if config.criterion not in ("likelihood", "total_correlation"):
        raise ValueError(f"config.criterion must be likelihood or total_correlation, got {config.criterion!r}.")
    x, held_out, truth = sample(config)

    def models(rngs: nnx.Rngs) -> dict[str, nnx.Module]:
        options = {} if config.model.num_layers is None else {"num_layers": config.model.num_layers}
        return {"flow": _KINDS[config.model.kind](x.shape[1], data=x, rngs=rngs, **options)}

    def objective(models, batch, turn):
        del turn
        z, log_det = models["flow"](batch["x"])
        if config.criterion == "total_correlation":
            removed = criterion.total_correlation_removed(batch["x"], z, log_det)
            return -removed, {"removed": removed}
        log_prob = jnp.mean(jnp.sum(jax.scipy.stats.norm.logpdf(z), axis=-1) + log_det)
        return -log_prob, {"log_prob": log_prob}

    @training.jit
    def measured(models, x):
        z, log_det = models["flow"](x)
        log_prob = jnp.mean(jnp.sum(jax.scipy.stats.norm.logpdf(z), axis=-1) + log_det)
        # Few spacings: here the value counts, not its slope.
        removed = criterion.total_correlation_removed(x, z, log_det, entropy=univariate_entropy.spacing)
        return {"log_prob": log_prob, "total_correlation_removed": removed}

    result = training.train(
        models,
        {"flow": training.Player(objective, optax.adam(config.learning_rate), clip_norm=config.clip_norm)},
        Draws(x, config.batch_size, config.seed),
        workdir=workdir,
        num_steps=config.num_steps,
        seed=config.seed,
        config=config,
        evaluators={"test": lambda models, step: {k: float(v) for k, v in measured(models, held_out).items()}},
        evaluate_every=config.evaluate_every,
        mesh=mesh,
        **config.train,
    )
    if jax.process_index() == 0:
        known = [] if truth is None else [f"True total correlation: {truth:.4f} nats."]
        report.write_summary(
            workdir,
            title=f"{config.model.kind} on {config.law}, trained by {config.criterion}",
            command=report.command(),
            notes=["Total correlation removed: of held-out samples, less that of their images, in nats.", *known],
        )
        report.write_run(workdir)
        removed = result.metrics["test/total_correlation_removed"]
        print(f"\ntotal correlation removed from held-out samples: {removed:.4f} nats", *known, sep="\n")
        print(f"\nReport: {pathlib.Path(workdir) / 'report.html'}")
    return result.metrics


if __name__ == "__main__":
    launch.run(run, expected=(ValueError,))
