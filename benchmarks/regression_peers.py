"""The peers of the regression benchmark: GPJax, tinygp, GPyTorch and scikit-learn."""

import contextlib
import functools
import warnings

import numpy as np

from benchmarks.backends import JAX, NUMPY, TORCH, torch_device
from benchmarks.harness import Implementation, Size
from benchmarks.regression_tasks import (
    FITTED,
    LEARNING_RATE,
    NUM_STEPS,
    START,
    Functions,
    always,
    implementation,
    jax_tasks,
)

# Points at a time where a library holds the covariance of all of them with the data.
_BLOCK = 4096
# Beyond this GPJax's line search, which does not meet its tolerance in float32, takes minutes.
_MOST_GPJAX_SEARCHES = 100


def implementations() -> list[Implementation]:
    """Returns every task of every peer."""
    return [*_gpjax(), *_tinygp(), *_gpytorch(), *_scikit_learn()]


def _blocks(function):
    """Function of points in blocks, one after the other, for a library in JAX."""

    def run(rows):
        import jax

        if rows.shape[0] <= _BLOCK:
            return function(rows)
        parts = jax.lax.map(function, rows.reshape(-1, _BLOCK, rows.shape[1]))
        return jax.tree.map(lambda part: part.reshape(-1), parts)

    return run


def _gpjax() -> list[Implementation]:
    def condition(theta, x, y):
        import gpjax
        import jax.numpy as jnp

        kernel = gpjax.kernels.RBF(lengthscale=jnp.exp(theta[0]), variance=jnp.exp(theta[1]))
        prior = gpjax.gps.Prior(mean_function=gpjax.mean_functions.Zero(), kernel=kernel)
        model = prior * gpjax.likelihoods.Gaussian(obs_stddev=jnp.exp(0.5 * theta[2]))
        return model.condition(gpjax.Dataset(X=x, y=y[:, None]))

    def evidence(theta, x, y):
        return condition(theta, x, y).log_marginal_likelihood

    def mean(theta, x, y, rows):
        found = condition(theta, x, y)
        return _blocks(lambda part: found(part, covariance="diagonal").loc)(rows)

    def moments(theta, x, y, rows):
        found = condition(theta, x, y)

        def both(part):
            predicted = found(part, covariance="diagonal")
            return predicted.loc, predicted.variance

        return _blocks(both)(rows)

    def search(size: Size) -> Functions:
        import gpjax
        import jax.numpy as jnp

        if size["n"] > _MOST_GPJAX_SEARCHES:
            return {}
        lengthscale, variance, noise = np.exp(START)

        def fit(x, y):
            kernel = gpjax.kernels.RBF(lengthscale=jnp.asarray(lengthscale), variance=jnp.asarray(variance))
            prior = gpjax.gps.Prior(mean_function=gpjax.mean_functions.Zero(), kernel=kernel)
            model = prior * gpjax.likelihoods.Gaussian(obs_stddev=jnp.asarray(noise**0.5))
            data = gpjax.Dataset(X=x, y=y[:, None])

            def objective(model, data):
                return -gpjax.objectives.conjugate_mll(model, data)

            return -gpjax.fit_lbfgs(model=model, objective=objective, train_data=data, safe=False)[1]

        return {"value": fit}

    note = "fit_lbfgs, at most 100 iterations of up to 32 evaluations, from one start"
    return [
        *jax_tasks("GPJax", evidence, mean, moments, requires=("gpjax",), note="points in blocks of 4096"),
        implementation("GPJax", "search", JAX, search, requires=("gpjax",), note=note, comparable=False),
    ]


def _tinygp() -> list[Implementation]:
    def process(theta, x):
        import jax.numpy as jnp
        import tinygp

        kernel = jnp.exp(theta[1]) * tinygp.kernels.ExpSquared(scale=jnp.exp(theta[0]))
        return tinygp.GaussianProcess(kernel, x, diag=jnp.exp(theta[2]))

    def evidence(theta, x, y):
        return process(theta, x).log_probability(y)

    def mean(theta, x, y, rows):
        found = process(theta, x)
        return _blocks(lambda part: found.predict(y, part))(rows)

    def moments(theta, x, y, rows):
        found = process(theta, x)

        def both(part):
            # Without a diagonal of its own the variance would hold the root of eps.
            predicted = found.condition(y, part, diag=0.0).gp
            return predicted.loc, predicted.variance

        return _blocks(both)(rows)

    return jax_tasks("tinygp", evidence, mean, moments, requires=("tinygp",), note="points in blocks of 4096")


def _gpytorch() -> list[Implementation]:
    def process(theta, x, y):
        import gpytorch
        import torch

        batch = torch.Size(x.shape[:-2])
        # Logarithmic hyper-parameters, as everywhere here.
        positive = gpytorch.constraints.Positive(transform=torch.exp, inv_transform=torch.log)
        likelihood = gpytorch.likelihoods.GaussianLikelihood(noise_constraint=positive, batch_shape=batch)
        base = gpytorch.kernels.RBFKernel(lengthscale_constraint=positive, batch_shape=batch)
        kernel = gpytorch.kernels.ScaleKernel(base, outputscale_constraint=positive, batch_shape=batch)

        class Process(gpytorch.models.ExactGP):
            def __init__(self):
                super().__init__(x, y, likelihood)
                self.mean_module, self.covar_module = gpytorch.means.ZeroMean(batch_shape=batch), kernel

            def forward(self, x):
                return gpytorch.distributions.MultivariateNormal(self.mean_module(x), self.covar_module(x))

        model = Process().to(x)
        lengthscale, variance, noise = (float(value) for value in np.exp(theta))
        base.lengthscale, kernel.outputscale, likelihood.noise = lengthscale, variance, noise
        return model, likelihood

    @contextlib.contextmanager
    def exact():
        import gpytorch

        with (
            gpytorch.settings.max_cholesky_size(1 << 20),
            gpytorch.settings.fast_computations(covar_root_decomposition=False, log_prob=False, solves=False),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            yield

    def descend(x, y):
        import gpytorch
        import torch

        with exact():
            model, likelihood = process(START, x, y)
            model.train()
            evidence = gpytorch.mlls.ExactMarginalLogLikelihood(likelihood, model)
            optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
            for _ in range(NUM_STEPS):
                optimizer.zero_grad()
                loss = -evidence(model(x), y).sum()
                loss.backward()
                optimizer.step()
            base, scale = model.covar_module.base_kernel, model.covar_module
            ends = (base.raw_lengthscale, scale.raw_outputscale, likelihood.noise_covar.raw_noise)
            return torch.stack([end.detach().reshape(x.shape[:-2]) for end in ends], dim=-1)

    def predict(x, y, rows, variance=False):
        import gpytorch
        import torch

        with exact(), torch.no_grad(), gpytorch.settings.skip_posterior_variances(not variance):
            model, _ = process(FITTED, x, y)
            model.eval()
            if rows.ndim == 3:
                return model(rows).mean
            parts = [model(part) for part in rows.split(_BLOCK)]
            if not variance:
                return torch.cat([part.mean for part in parts])
            return torch.cat([part.mean for part in parts]), torch.cat([part.variance for part in parts])

    def build(function):
        def warmed(size: Size) -> Functions:
            # Its first calls load code, which is nobody's timing.
            import torch

            device = torch_device()
            x = torch.linspace(0, 1, 8, device=device)[:, None]
            descend(x, x[:, 0])
            predict(x, x[:, 0], x, variance=True)
            return {"value": function}

        return warmed

    functions = {
        "fit": (descend, ""),
        "predict": (predict, "points in blocks of 4096"),
        "predict_variance": (functools.partial(predict, variance=True), "points in blocks of 4096"),
        "batched": (predict, "batch_shape 64"),
        "batched_fit": (descend, "batch_shape 64"),
    }
    return [
        implementation(
            "GPyTorch",
            task,
            TORCH,
            build(function),
            requires=("gpytorch",),
            note=note,
        )
        for task, (function, note) in functions.items()
    ]


def _scikit_learn() -> list[Implementation]:
    def process(theta, optimizer=None):
        from sklearn.gaussian_process import GaussianProcessRegressor, kernels

        lengthscale, variance, noise = np.exp(theta)
        kernel = kernels.ConstantKernel(variance) * kernels.RBF(lengthscale) + kernels.WhiteKernel(noise)
        return GaussianProcessRegressor(kernel, optimizer=optimizer, alpha=0.0)

    def adam(objective, theta, bounds):
        del bounds
        first, second = np.zeros_like(theta), np.zeros_like(theta)
        for step in range(1, NUM_STEPS + 1):
            value, gradient = objective(theta)
            first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
            rate = LEARNING_RATE / (1 - 0.9**step)
            theta = theta - rate * first / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
        return theta, value

    def descend(x, y):
        # Its hyper-parameters come in the order variance, lengthscale, noise.
        return process(START, adam).fit(x, y).kernel_.theta[[1, 0, 2]]

    def search(x, y):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # hyper-parameters at their bounds
            return process(START, "fmin_l_bfgs_b").fit(x, y).log_marginal_likelihood_value_

    def predict(x, y, rows, return_std=False):
        found = process(FITTED).fit(x, y)
        parts = [found.predict(rows[i : i + _BLOCK], return_std=return_std) for i in range(0, len(rows), _BLOCK)]
        if not return_std:
            return np.concatenate(parts)
        means, deviations = (np.concatenate(part) for part in zip(*parts, strict=True))
        # Its variance is that of a measurement, noise included.
        return means, deviations**2 - np.exp(FITTED[2])

    def loop(function):
        return lambda *arrays: np.stack([function(*one) for one in zip(*arrays, strict=True)])

    functions = {
        "fit": (descend, "float64"),
        "search": (search, "float64; one descent by L-BFGS-B from one start: less work than ours"),
        "predict": (predict, "float64, in blocks of 4096 points"),
        "predict_variance": (functools.partial(predict, return_std=True), "float64, in blocks of 4096 points"),
        "batched": (loop(predict), "float64, a loop"),
        "batched_fit": (loop(descend), "float64, a loop"),
    }
    return [
        implementation(
            "scikit-learn",
            task,
            NUMPY,
            always(function),
            requires=("sklearn",),
            note=note,
            comparable=task != "search",
        )
        for task, (function, note) in functions.items()
    ]
