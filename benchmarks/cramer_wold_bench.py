"""The Cramer-Wold distance to N(0, I): sliced in one dimension, and exact in d dimensions.

Task `cramer_wold` is the mean over slices of the one-dimensional distance. The published form is a double sum over
pairs; "(nodes)" is the same number as an integral of characteristic functions, written plainly with sines and cosines.
Task `cramer_wold_multivariate` is the distance in d dimensions, a double sum with the kernel of Kummer's function.
"""

import functools
import itertools
import math

import numpy as np
import scipy.special

from benchmarks import backends, harness, limits
from benchmarks.backends import JAX, NUMPY, TORCH
from benchmarks.harness import OURS, Implementation, Size

_SLICED, _MULTIVARIATE = "cramer_wold", "cramer_wold_multivariate"
# Pairs held at once by the pairwise peers: these fit in a core's cache, and more make them slower.
_PAIRS_AT_ONCE = 2**18


def make_inputs(size: Size) -> dict[str, np.ndarray]:
    """Returns a sample a little off N(0, I) and, for the sliced case, unit directions."""
    rng = np.random.default_rng(0)
    inputs = {"x": (1.2 * rng.standard_normal((size["n"], size["d"])) + 0.1).astype(np.float32)}
    if "slices" in size:
        directions = rng.standard_normal((size["slices"], size["d"]))
        inputs["directions"] = (directions / np.linalg.norm(directions, axis=1, keepdims=True)).astype(np.float32)
    return inputs


def cases(*, quick: bool = False) -> list[harness.Case]:
    """Returns the sliced and the multivariate case; quick: small sizes."""
    # The sizes that figures are asked of come first: a budget that runs out then leaves out the others.
    sweep = itertools.product((1024, 64), (64, 8), (256, 1024, 4096, 16384))
    small = [(1024, 64, n) for n in (64, 128, 512)] + [(1024, 512, n) for n in (64, 256, 1024)]
    sliced_sizes = [{"n": n, "d": d, "slices": slices} for slices, d, n in (*sweep, *small)]
    sizes = [{"n": n, "d": d} for d in (64, 8) for n in (256, 1024, 4096, 16384)]
    sizes += [{"n": n, "d": d} for d in (64, 512) for n in (64, 128, 512)]
    if quick:
        sliced_sizes = [{"n": 128, "d": 8, "slices": 64}]
        sizes = [{"n": 256, "d": 8}]
    return [
        harness.Case(
            name="cramer_wold",
            sizes=sliced_sizes,
            make_inputs=make_inputs,
            implementations=_sliced(),
            least_work=_sliced_work,
            formula=(
                "sample and directions read, gradient written, once each; 2·n·d·slices operations for the projection "
                "and as many for its adjoint; two special functions (a phase and an exponential) for each projected "
                "value, as an O(n) method must."
            ),
            call_limit=8.0,  # the pairwise form is a target's yardstick up to n = 1024, and takes its time
            weight=lambda size: 4 + 1.5e-6 * size["n"] * size["slices"],
        ),
        harness.Case(
            name="cramer_wold_multivariate",
            sizes=sizes,
            make_inputs=make_inputs,
            implementations=_multivariate(),
            least_work=_multivariate_work,
            formula=(
                "sample read, gradient written, once each; for each of the n²/2 pairs 2·d operations for the distance, "
                "one special function for the kernel and, for the gradient, 4·d operations."
            ),
            weight=lambda size: 3 + 1e-5 * size["n"] ** 1.5,
        ),
    ]


def _sliced_work(task: str, mode: str, size: Size) -> limits.Work:
    del task
    n, d, slices = size["n"], size["d"], size["slices"]
    products = 1 if mode == "value" else 2
    return limits.Work(
        bytes=4 * (products * n * d + slices * d), flops=products * 2 * n * d * slices, exponentials=2 * n * slices
    )


def _multivariate_work(task: str, mode: str, size: Size) -> limits.Work:
    del task
    n, d = size["n"], size["d"]
    pairs = n * (n - 1) / 2
    if mode == "value":
        return limits.Work(bytes=4 * n * d, flops=2 * d * pairs, exponentials=pairs)
    return limits.Work(bytes=8 * n * d, flops=6 * d * pairs, exponentials=pairs)


def _gamma(n: int) -> float:
    """Silverman's variance for a sample of n."""
    return (4 / (3 * n)) ** 0.4


def pairwise(n: int, exp):
    """Returns the double sum for one slice (or a block of slices) [..., n] → [...], for arrays of any library."""
    gamma = _gamma(n)
    constant = (4 * math.pi * (1 + gamma)) ** -0.5
    within, cross = (4 * math.pi * gamma) ** -0.5, 2 * (2 * math.pi * (1 + 2 * gamma)) ** -0.5

    def value(y):
        pairs = exp((y[..., :, None] - y[..., None, :]) ** 2 * (-1 / (4 * gamma)))
        single = exp(y**2 * (-1 / (2 * (1 + 2 * gamma))))
        return within * pairs.mean((-2, -1)) + constant - cross * single.mean(-1)

    return value


def _num_nodes(n: int) -> int:
    # The integrand's period in y must exceed the range of a normal sample, about 12 with room.
    return max(32, math.ceil(math.sqrt(18 / _gamma(n)) * 12 / (2 * math.pi)))


def torch_at_nodes(n: int):
    """Returns slices [..., n] → distances [...] in PyTorch: a quadrature over the characteristic function."""
    import torch

    gamma, num = _gamma(n), _num_nodes(n)
    step = math.sqrt(18 / gamma) / num

    def value(y):
        nodes = (torch.arange(num, device=y.device, dtype=y.dtype) + 0.5) * step
        phase = y[..., None] * nodes
        target, weights = torch.exp(-(nodes**2) / 2), torch.exp(-gamma * nodes**2) * (step / math.pi)
        real, imaginary = torch.cos(phase).mean(-2) - target, torch.sin(phase).mean(-2)
        return ((real**2 + imaginary**2) * weights).sum(-1)

    return value


def _sliced() -> list[Implementation]:
    arguments = ("x", "directions")

    def ours(size: Size):
        from gentoolkit.distances import normality, sliced

        return backends.jax_modes(
            lambda x, directions: sliced.distance(normality.cramer_wold, x, directions=directions)
        )

    def xla(size: Size):
        import jax
        import jax.numpy as jnp

        form = pairwise(size["n"], jnp.exp)
        matmul = functools.partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST)
        map_slices = functools.partial(jax.lax.map, batch_size=_slices_at_once(size))

        def value(x, directions):
            return map_slices(form, matmul(directions, x.T)).mean()

        def value_and_grad(x, directions):
            # The derivative of each slice is taken inside the loop: nothing of the pairs is kept or done twice.
            values, gradients = map_slices(jax.value_and_grad(form), matmul(directions, x.T))
            return values.mean(), matmul(gradients.T, directions) / size["slices"]

        return {"value": value, "value_and_grad": value_and_grad}

    def numpy(size: Size):
        form = pairwise(size["n"], np.exp)
        return {"value": lambda x, directions: np.mean([form(y) for y in directions @ x.T])}

    def torch(size: Size):
        import torch

        form = pairwise(size["n"], torch.exp)

        def value(x, directions):
            with torch.no_grad():
                blocks = (directions @ x.T).split(_slices_at_once(size))
                return torch.cat([form(block) for block in blocks]).mean()

        def value_and_grad(x, directions):
            values, gradients = [], []
            for block in (directions @ x.T).split(_slices_at_once(size)):
                block.requires_grad_(True)
                loss = form(block).sum()
                gradients.append(torch.autograd.grad(loss, block)[0])
                values.append(loss.detach())
            return torch.stack(values).sum() / size["slices"], torch.cat(gradients).T @ directions / size["slices"]

        return {"value": value, "value_and_grad": value_and_grad}

    def torch_nodes(size: Size):
        form = torch_at_nodes(size["n"])
        return backends.torch_modes(lambda x, directions: form(directions @ x.T).mean())

    def pairs(size: Size) -> float:
        return size["slices"] * size["n"] ** 2

    def nodes(size: Size) -> float:
        return size["slices"] * size["n"] * _num_nodes(size["n"])

    return [
        Implementation(OURS, _SLICED, JAX, arguments, ours, nodes),
        Implementation("jax.numpy", _SLICED, JAX, arguments, xla, pairs, note="pairwise, in blocks of slices"),
        Implementation("NumPy/SciPy", _SLICED, NUMPY, arguments, numpy, pairs, note="pairwise, slice by slice"),
        Implementation(
            "PyTorch",
            _SLICED,
            TORCH,
            arguments,
            torch,
            pairs,
            requires=("torch",),
            note="pairwise, in blocks of slices",
        ),
        Implementation(
            "PyTorch (nodes)",
            _SLICED,
            TORCH,
            arguments,
            torch_nodes,
            nodes,
            requires=("torch",),
            memory=lambda mode, size: 4 * nodes(size) * (3 if mode == "value" else 6),
            note="characteristic function at nodes, all sines and cosines at once",
        ),
    ]


def _multivariate() -> list[Implementation]:
    def dense(size: Size, kernel, matmul, clamp):
        """The double sum over all pairs at once, for arrays of any library; kernel: F of d dimensions."""
        gamma = _gamma(size["n"])
        within, cross = (4 * math.pi * gamma) ** -0.5, 2 * (2 * math.pi * (1 + 2 * gamma)) ** -0.5
        constant = (4 * math.pi * (1 + gamma)) ** -0.5

        def value(x):
            lengths = (x**2).sum(-1)
            pairs = clamp(lengths[:, None] + lengths[None, :] - 2 * matmul(x, x.T))
            single = kernel(lengths * (1 / (2 + 4 * gamma)))
            return within * kernel(pairs * (1 / (4 * gamma))).mean() + constant - cross * single.mean()

        return value

    def ours(size: Size):
        from gentoolkit.distances import cramer_wold

        return backends.jax_modes(cramer_wold.to_normal)

    def xla(size: Size):
        import jax
        import jax.numpy as jnp

        from gentoolkit.distances import cramer_wold

        kernel = functools.partial(cramer_wold.sphere_average, dim=size["d"])
        matmul = functools.partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST)
        return backends.jax_modes(dense(size, kernel, matmul, lambda s: jnp.maximum(s, 0)))

    def numpy(size: Size):
        def kernel(s):
            return scipy.special.hyp1f1(0.5, size["d"] / 2, -s.astype(np.float64))

        return {"value": dense(size, kernel, np.matmul, lambda s: np.maximum(s, 0))}

    def torch(size: Size):
        import torch

        def asymptotic(s):
            return torch.rsqrt(1 + s * (4 / (2 * size["d"] - 3)))

        return backends.torch_modes(dense(size, asymptotic, torch.matmul, lambda s: torch.clamp(s, min=0)))

    def pairs(size: Size) -> float:
        return size["n"] ** 2 * (30 + size["d"])

    def matrices(value: float, value_and_grad: float):
        return lambda mode, size: 4 * size["n"] ** 2 * (value if mode == "value" else value_and_grad)

    return [
        Implementation(OURS, _MULTIVARIATE, JAX, ("x",), ours, pairs),
        Implementation(
            "jax.numpy",
            _MULTIVARIATE,
            JAX,
            ("x",),
            xla,
            pairs,
            memory=matrices(2, 6),
            note="dense, with the toolkit's function of Kummer",
        ),
        Implementation(
            "NumPy/SciPy",
            _MULTIVARIATE,
            NUMPY,
            ("x",),
            numpy,
            pairs,
            memory=matrices(8, 8),
            note="dense, with SciPy's function of Kummer",
        ),
        Implementation(
            "PyTorch",
            _MULTIVARIATE,
            TORCH,
            ("x",),
            torch,
            pairs,
            requires=("torch",),
            memory=matrices(4, 8),
            note="dense, with the asymptotic kernel of the published code: cheaper, and another number",
            comparable=False,
        ),
    ]


def _slices_at_once(size: Size) -> int:
    return max(1, min(size["slices"], _PAIRS_AT_ONCE // size["n"] ** 2))
