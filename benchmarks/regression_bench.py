"""Gaussian process regression beside GPJax, tinygp, GPyTorch and scikit-learn, at the sizes of a clustered image.

Tasks: `fit` (40 steps of Adam on the log evidence, the same start, steps and logarithmic hyper-parameters for all),
`search` (each library's own way to the hyper-parameters), `predict` (condition, and the mean at 65,536 points),
`predict_variance` (with the variance), `batched` (64 problems: condition, and the mean at 1024 points each) and
`batched_fit`. The covariance is the squared exponential, its linear algebra a Cholesky factor, in all of them.
"""

from benchmarks import harness, regression_peers, regression_tasks
from benchmarks.backends import JAX
from benchmarks.harness import OURS, Implementation, Size
from benchmarks.regression_tasks import CENTERS, FEATURES, LARGE, NUM_STEPS, Functions, implementation, jax_tasks


def case(*, quick: bool = False) -> harness.Case:
    """Returns the case; quick: one size."""
    sizes = [{"n": n, "d": d} for n in CENTERS for d in FEATURES] + [{"n": LARGE, "d": FEATURES[0]}]
    return harness.Case(
        name="regression",
        sizes=[{"n": 30, "d": 9}] if quick else sizes,
        make_inputs=regression_tasks.make_inputs,
        implementations=[*_ours(), *regression_peers.implementations()],
        least_work=regression_tasks.least_work,
        formula=(
            "an evaluation of the evidence with its gradient: n³ operations (factor and inverse), 2n²d for distances "
            f"and n² exponentials; a fit makes {NUM_STEPS}, a search is counted as one. A prediction: n³/3 to "
            "condition, and for each point 2nd + 2n operations and n exponentials, n² operations more for a variance."
        ),
        weight=lambda size: 20 + 0.1 * size["n"],
        call_limit=30.0,
    )


def _ours() -> list[Implementation]:
    def covariance(theta):
        import jax.numpy as jnp

        from gentoolkit.gaussian_process import covariance

        return covariance.squared_exponential(jnp.exp(theta[0]), jnp.exp(theta[1]))

    def evidence(theta, x, y):
        import jax.numpy as jnp

        from gentoolkit.gaussian_process import evidence

        return evidence.log_marginal_likelihood(covariance(theta), x, y, noise=jnp.exp(theta[2]))

    def condition(theta, x, y):
        import jax.numpy as jnp

        from gentoolkit.gaussian_process import posterior

        return posterior.condition(covariance(theta), x, y, noise=jnp.exp(theta[2]))

    def mean(theta, x, y, rows):
        from gentoolkit.gaussian_process import posterior

        return posterior.mean(condition(theta, x, y), rows)

    def moments(theta, x, y, rows):
        from gentoolkit.gaussian_process import posterior

        return posterior.mean_and_variance(condition(theta, x, y), rows)

    def search(size: Size) -> Functions:
        import jax

        from gentoolkit.gaussian_process import evidence

        return {"value": lambda x, y: evidence.fit(jax.random.key(0), x, y).log_marginal_likelihood}

    note = "70 cells of a grid and 2 descents of at most 40 evaluations; the result is the log evidence"
    return [
        *jax_tasks(OURS, evidence, mean, moments),
        implementation(OURS, "search", JAX, search, note=note),
    ]
