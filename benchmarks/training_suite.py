"""The suite `training`: one training step of the MNIST auto-encoder, whole, from a host batch to new parameters.

Tasks: `scwae` and `swae` are reconstruction error plus the log of a sliced distance; `no_distance` is the error alone,
so that the distance's share of a step is seen. Ours is the step of `gentoolkit.training`, the one that every experiment
runs, with its metrics and its check for numbers that are not finite; PyTorch's is the same network, loss and optimizer
written plainly, eager.
"""

import itertools
from collections.abc import Sequence

import numpy as np

from benchmarks import backends, cramer_wold_bench, harness, limits, targets
from benchmarks.backends import JAX_STEP, TORCH_STEP
from benchmarks.harness import OURS, Implementation, Row, Size
from gentoolkit import data

_PIXELS, _WIDTH, _LATENT = 784, 200, 20
_TASKS = ("scwae", "swae", "no_distance")
_SHARE = 0.3  # of a step at 50 slices, the most that the distance may take
_EPSILON = 1e-7


def cases(*, quick: bool = False) -> list[harness.Case]:
    """Returns the one case; quick: 50 slices only."""
    return [
        harness.Case(
            name="mnist_step",
            sizes=[{"batch": 128, "slices": slices} for slices in ((50,) if quick else (50, 1000))],
            make_inputs=make_inputs,
            implementations=[make(task) for task in _TASKS for make in (_ours, _torch)]
            + [_torch("scwae", name="PyTorch (nodes)", at_nodes=True)],
            least_work=least_work,
            formula=(
                "six operations for each weight and image (four in the first layer, whose inputs need no gradient), "
                "four for each slice, code and feature; every parameter, its gradient and Adam's two moments read and "
                "written once; for SCWAE and SWAE log2(n!) comparisons a slice (and sample)."
            ),
            weight=lambda size: 1.0,
            sweep="slices",
        )
    ]


def figures(rows: Sequence[Row], *, quick: bool = False) -> list[str]:
    """Returns a line for each target: what was asked, what this run measured, and whether it is met."""
    del quick
    table = targets.Table(rows)
    lines = []
    for slices, task in itertools.product((50, 1000), ("scwae", "swae")):
        size = {"batch": 128, "slices": slices}
        start = f"{task.upper()}, batch 128, {slices} slices, one step,"
        ours, bare = (table.find(OURS, name, "step", size) for name in (task, "no_distance"))
        if ours is None or bare is None:
            lines.append(f"{start}: not measured in this run")
            continue
        peer = table.best_peer(task, "step", size)
        if peer is not None:
            ratio = peer["seconds"] / ours["seconds"]
            lines.append(
                f"{start} faster than PyTorch: {ratio:.2f}× ({_rate(ours)} against {_rate(peer)}, "
                f"{peer['implementation']}): {targets.verdict(ratio > 1)}"
            )
        share = 1 - bare["seconds"] / ours["seconds"]
        asked, verdict = "", ""
        if slices == 50:
            asked, verdict = f"at most {_SHARE:.0%}: ", f": {targets.verdict(share <= _SHARE)}"
        rates = f"without it {_rate(bare)}, with it {_rate(ours)}"
        lines.append(f"{start} the distance's share of it, {asked}{share:.0%} ({rates}){verdict}")
    return lines


def _rate(row: Row) -> str:
    return f"{row['batch'] / row['seconds']:,.0f} images/s"


def make_inputs(size: Size) -> dict[str, np.ndarray]:
    """Returns ten batches of real digits, each pixel repeated to make 24x24 of 8x8, with MNIST's margin.

    Not one batch of noise: a network that cannot learn anything from its images dies within a hundred steps, and what
    PyTorch then takes is the time of denormal numbers.
    """
    digits = data.digits.load("train").take(np.arange(1500))["image"].astype(np.float32) / 255
    images = np.pad(digits.repeat(3, axis=1).repeat(3, axis=2), ((0, 0), (2, 2), (2, 2), (0, 0)))
    order = np.random.default_rng(0).integers(len(images), size=(10, size["batch"]))
    return {"batches": images[order]}


def least_work(task: str, mode: str, size: Size) -> limits.Work:
    """Returns the least work; see the case's formula."""
    del mode
    batch, slices = size["batch"], size["slices"]
    inner = 2 * (2 * _WIDTH * _WIDTH + _WIDTH * _LATENT)
    weights = 2 * _PIXELS * _WIDTH + inner
    flops = batch * (6 * weights - 2 * _PIXELS * _WIDTH)
    comparisons = 0.0
    if task != "no_distance":
        flops += 4 * slices * batch * _LATENT
    if task == "swae":
        flops += 2 * slices * batch * _LATENT  # the prior's sample, which needs no gradient
        comparisons = 2 * slices * limits.sort_comparisons(batch)
    return limits.Work(bytes=4 * (8 * weights + batch * _PIXELS), flops=flops, comparisons=comparisons)


def _work(size: Size) -> float:
    return size["batch"] * (1000 + size["slices"])


def _ours(task: str) -> Implementation:
    def build(size: Size):
        import jax
        import jax.numpy as jnp
        import optax

        from gentoolkit import training
        from gentoolkit.distances import directions, normality, sliced, two_sample
        from gentoolkit.models import autoencoder

        def distance(key, z):
            prior_key, key = jax.random.split(key)
            drawn = directions.orthogonal(key, size["slices"], _LATENT)
            if task == "swae":
                prior = jax.random.normal(prior_key, z.shape)
                return sliced.distance(two_sample.wasserstein, z, prior, directions=drawn)
            return sliced.distance(normality.cramer_wold, z, directions=drawn)

        def objective(models, batch, turn):
            z, rebuilt = models["autoencoder"](batch["image"])
            error = jnp.square(rebuilt - batch["image"]).sum(axis=(1, 2, 3)).mean()
            if task == "no_distance":
                return error, {}
            return error + jnp.log(distance(turn.key, z) + _EPSILON), {}

        program = training.program(
            lambda rngs: {"autoencoder": autoencoder.dense(image_shape=(28, 28, 1), latent_dim=_LATENT, rngs=rngs)},
            {"autoencoder": training.Player(objective, optax.adam(1e-3))},
            {"image": np.zeros((size["batch"], 28, 28, 1), np.float32)},
        )
        state, turn = program.init(0), itertools.count()

        def step(batches):
            nonlocal state
            state = program.step(state, {"image": batches[next(turn) % len(batches)]})
            jax.block_until_ready(state.params)
            return state.meters.sums["autoencoder/loss"]

        return {"step": step}

    return Implementation(OURS, task, JAX_STEP, ("batches",), build, _work)


def _torch(task: str, *, name: str = "PyTorch", at_nodes: bool = False) -> Implementation:
    def build(size: Size):
        import torch

        def network(sizes):
            layers = [torch.nn.Linear(a, b) for a, b in itertools.pairwise(sizes)]
            activated = [part for layer in layers[:-1] for part in (layer, torch.nn.ReLU())]
            return torch.nn.Sequential(*activated, layers[-1])

        torch.manual_seed(0)
        device = backends.torch_device()
        hidden = [_WIDTH] * 3
        encoder = network([_PIXELS, *hidden, _LATENT]).to(device)
        decoder = network([_LATENT, *hidden, _PIXELS]).to(device)
        optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=1e-3)
        penalty = _torch_penalty(task, size, device, at_nodes)

        turn = itertools.count()

        def step(batches):
            images = torch.from_numpy(batches[next(turn) % len(batches)]).to(device).flatten(1)
            z = encoder(images)
            loss = ((decoder(z).sigmoid() - images) ** 2).sum(1).mean()
            if penalty is not None:
                loss = loss + torch.log(penalty(z) + _EPSILON)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            return loss.item()

        return {"step": step}

    return Implementation(
        name,
        task,
        TORCH_STEP,
        ("batches",),
        build,
        _work,
        requires=("torch",),
        comparable=False,
        note="eager; its own initial weights and directions"
        + ("; the distance at nodes of the characteristic function" if at_nodes else ""),
    )


def _torch_penalty(task: str, size: Size, device: str, at_nodes: bool):
    """Returns codes [n, d] → the distance, None for no distance."""
    import torch

    def directions():  # orthogonal blocks, as ours
        blocks = torch.randn(-(-size["slices"] // _LATENT), _LATENT, _LATENT, device=device)
        return torch.linalg.qr(blocks).Q.reshape(-1, _LATENT)[: size["slices"]]

    def swae(z):
        drawn, prior = directions(), torch.randn_like(z)
        return (((drawn @ z.T).sort(dim=1).values - (drawn @ prior.T).sort(dim=1).values) ** 2).mean()

    if task == "scwae":
        form = (
            cramer_wold_bench.torch_at_nodes(size["batch"])
            if at_nodes
            else cramer_wold_bench.pairwise(size["batch"], torch.exp)
        )
        return lambda z: form(directions() @ z.T).mean()
    return swae if task == "swae" else None
