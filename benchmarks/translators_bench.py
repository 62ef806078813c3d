"""Whole networks and whole training steps of image translation: ours beside PyTorch, and the trainer beside no trainer.

Float32, batch 8, 64 x 64, six residual blocks (CycleGAN's translator) or three and three (the encoders and painters of
the domain-specific information bound), discriminators of two layers, no pools. Weights are each side's own; that the
networks compute the same on the same weights is shown by `benchmarks.translation_parity`. Timings are CPU time, with
`--cores=1` that of one pinned core; for two threads on the wall: `--only=wall`.
"""

import functools
import itertools
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks import backends, harness, limits, report, targets, translators_torch
from benchmarks.backends import JAX_AS_TRAINING, JAX_STEP, TORCH, TORCH_STEP
from benchmarks.harness import OURS, Implementation, Row, Size
from benchmarks.layers_bench import CHANNELS_FIRST, CHANNELS_LAST

BY_HAND = "by hand"
_BATCH, _PIXELS = 8, 64
_BLOCKS = {"cyclegan": 6, "dsvib": 3}
_HALVINGS = 4  # of the style encoder, which has one pixel left then
# The most of PyTorch's better layout that is asked for, by width: CPU time of one core, and two threads on the wall.
_GENERATOR = {False: {64: 0.90, 32: 1.00, 16: 0.95}, True: {64: 0.85, 32: 1.00, 16: 0.95}}
_STEP, _OF_BY_HAND = 0.90, 1.05


def cases(*, quick: bool = False) -> list[harness.Case]:
    """Returns a case for the generator and one for the steps, each in CPU time and on the wall; quick: narrow only."""
    widths = (4,) if quick else (16, 32, 64)
    sizes = [{"width": width, "pixels": 16 if quick else _PIXELS} for width in widths]
    found = []
    for wall in (False, True):
        start = "wall_" if wall else ""
        found.append(_case(f"{start}generator", "generator", sizes, _networks(), wall))
        for task in _BLOCKS:
            # The widest networks of two systems would take longer to compile than all the rest.
            found.append(_case(f"{start}step_{task}", task, sizes[:1], _steps(task), wall))
    return found


def figures(rows: Sequence[Row]) -> list[str]:
    """Returns a line for each network and each step: measured, asked, and whether it is met."""
    table = targets.Table(rows)
    lines = []
    for case in cases():
        wall, task = case.name.startswith("wall_"), case.implementations[0].task
        for size in case.sizes:
            mode = "value_and_grad" if task.endswith("generator") else "step"
            ours = table.find(OURS, task, mode, size)
            peer = table.best_peer(task, mode, size, but=(BY_HAND,)) if ours else None
            if ours is None or peer is None:
                continue
            ratio = ours["seconds"] / peer["seconds"]
            most = _GENERATOR[wall][size["width"]] if mode != "step" else _STEP
            times = f"{report.format_seconds(ours['seconds'])} against {report.format_seconds(peer['seconds'])}"
            kind = "wall" if wall else "CPU"
            lines.append(
                f"{task.replace('_', ' ')}, width {size['width']}, {kind}: {ratio:.2f} of {peer['implementation']} "
                f"({times}), at most {most:.2f}: {targets.verdict(ratio <= most)}"
            )
            by_hand = table.find(BY_HAND, task, mode, size)
            if by_hand is not None:
                ratio = ours["seconds"] / by_hand["seconds"]
                lines.append(
                    f"{task.replace('_', ' ')}, width {size['width']}, {kind}: {ratio:.2f} of the same step by hand, "
                    f"at most {_OF_BY_HAND:.2f}: {targets.verdict(ratio <= _OF_BY_HAND)}"
                )
    return lines


def _case(
    name: str, task: str, sizes: list[Size], implementations: Callable[[str], list[Implementation]], wall: bool
) -> harness.Case:
    return harness.Case(
        name=name,
        sizes=sizes,
        make_inputs=_inputs,
        implementations=implementations(name),
        least_work=lambda _, mode, size: limits.Work(flops=_operations(task, size)),
        formula=(
            "two operations for each product of the direct sums of all convolutions, three times: value, gradient in "
            "the input, gradient in the kernels (a step: of every network as often as it runs). Forms with fewer "
            "products may pass this limit."
        ),
        weight=lambda size: 20.0 + 6e-10 * _operations(task, size),
        call_limit=30.0,
        sweep="width",
        clock=None if wall else time.process_time,
    )


def _inputs(size: Size) -> dict[str, np.ndarray]:
    rng, shape = np.random.default_rng(0), (size["pixels"], size["pixels"], 3)
    return {
        "x": rng.uniform(-1, 1, (_BATCH, *shape)).astype(np.float32),
        "batches": rng.uniform(-1, 1, (3, 2, _BATCH, *shape)).astype(np.float32),
    }


def _operations(task: str, size: Size) -> float:
    """Operations of one call, backward passes among them."""
    w, whole = size["width"], size["pixels"] ** 2
    stem = whole * 49 * 3 * w
    halvings = whole * 9 * (w * 2 * w / 4 + 2 * w * 4 * w / 16)
    block = 2 * whole / 16 * 9 * (4 * w) ** 2
    # A transposed convolution multiplies as often as the strided one that it turns around.
    upward = halvings + stem
    translator = stem + halvings + 6 * block + upward
    judge = 16 * (whole / 4 * 3 * w + whole / 16 * (2 * w * w + 8 * w * w + 4 * w))
    style = stem + halvings + sum(whole / 16 / 4**level * 16 * 16 * w * w for level in range(1, _HALVINGS + 1))
    forward = {
        "generator": translator,
        # Four translations; both discriminators on a painted image, and in their own turn on two.
        "cyclegan": 4 * translator + 6 * judge,
        "dsvib": 4 * (stem + halvings + 3 * block + style) + 4 * (3.3 * block + upward) + 6 * judge,
    }
    return 3 * 2 * _BATCH * forward[task]


def _work(task: str) -> Callable[[Size], float]:
    return functools.partial(_operations, task)


def _networks() -> Callable[[str], list[Implementation]]:
    def implementations(name: str) -> list[Implementation]:
        return [
            Implementation(OURS, name, JAX_AS_TRAINING, ("x",), _ours_generator, _work("generator")),
            *(_torch_generator(name, layout) for layout in (CHANNELS_FIRST, CHANNELS_LAST)),
        ]

    return implementations


def _ours_generator(size: Size) -> dict[str, Callable[..., Any]]:
    import jax
    import jax.numpy as jnp
    from flax import nnx

    from gentoolkit.models.translation import blocks, cyclegan

    scheme = blocks.Scheme(width=size["width"])
    graphdef, params = nnx.split(cyclegan.Translator(num_blocks=6, scheme=scheme, rngs=nnx.Rngs(0)))

    def value_and_grad(x):
        loss = lambda params, x: jnp.mean(jnp.square(nnx.merge(graphdef, params)(x)))  # noqa: E731
        value, slopes = jax.value_and_grad(loss, (0, 1))(params, x)
        # All gradients are used, so that none is left out of the program.
        return value, slopes[1], sum(jnp.sum(jnp.square(slope)) for slope in jax.tree.leaves(slopes[0]))

    return {"value_and_grad": value_and_grad}


def _torch_generator(task: str, name: str) -> Implementation:
    def build(size: Size):
        import torch

        layout = torch.channels_last if name == CHANNELS_LAST else torch.contiguous_format
        network = translators_torch.translator(3, size["width"], 6).to(backends.torch_device(), memory_format=layout)
        kept: list[Any] = []

        def run(x):
            if not kept:
                kept.append(x.permute(0, 3, 1, 2).contiguous(memory_format=layout).requires_grad_())
            value = network(kept[0]).square().mean()
            slope, *rest = torch.autograd.grad(value, [kept[0], *network.parameters()])
            return value.detach(), slope.permute(0, 2, 3, 1), sum(one.square().sum() for one in rest)

        return {"value_and_grad": run}

    return Implementation(
        name, task, TORCH, ("x",), build, _work("generator"), requires=("torch",), comparable=False,
        note="its own initial weights",
    )  # fmt: skip


def _steps(system: str) -> Callable[[str], list[Implementation]]:
    def implementations(name: str) -> list[Implementation]:
        return [
            Implementation(OURS, name, JAX_STEP, ("batches",), functools.partial(_by_trainer, system), _work(system)),
            Implementation(
                BY_HAND, name, JAX_STEP, ("batches",), functools.partial(_by_hand, system), _work(system),
                comparable=False, note="the same objectives, one jitted function without checks and metrics",
            ),
            *(_torch_step(system, name, layout) for layout in (CHANNELS_FIRST, CHANNELS_LAST)),
        ]  # fmt: skip

    return implementations


def _system(system: str, width: int):
    """Networks, the painters' names and the two objectives, for the trainer and for the step by hand."""
    import jax
    import jax.numpy as jnp
    from flax import nnx

    from gentoolkit.models.translation import cyclegan, dsvib
    from gentoolkit.objectives import adversarial, reconstruction, variational

    form = adversarial.least_squares()

    def models(rngs: nnx.Rngs):
        if system == "cyclegan":
            return cyclegan.networks(rngs, image_size=_PIXELS, width=width, num_layers=2)
        return dsvib.networks(rngs, image_size=_PIXELS, width=width)

    def of_cyclegan(models, batch, turn):
        x, y, to_x, to_y = batch["x"], batch["y"], models["to_x"], models["to_y"]
        painted = {"x": to_x(y), "y": to_y(x)}
        fooling = sum(adversarial.generator(form, models[f"judge_{d}"](painted[d])).mean() for d in "xy")
        returned = reconstruction.absolute(to_x(painted["y"]), x).mean()
        returned += reconstruction.absolute(to_y(painted["x"]), y).mean()
        return fooling + 10 * returned, {}, painted

    def of_dsvib(models, batch, turn):
        total, painted = 0.0, {}
        for number, (source, target) in enumerate(("xy", "yx")):
            images = batch[source]
            own_key, drawn_key = jax.random.split(jax.random.fold_in(turn.key, number))
            content, own = models[f"encode_{source}"](images)
            code = variational.sample(own_key, *own)
            drawn = jax.random.normal(drawn_key, code.shape)
            painted[target] = fake = models[f"paint_{target}"](content, drawn)
            again, style = models[f"encode_{target}"](fake)
            returned = models[f"paint_{source}"](again, code)
            bandwidth = variational.prior_bandwidth(translators_torch.CODE_DIM)
            total += adversarial.generator(form, models[f"judge_{target}"](fake)).mean()
            total += 11 * reconstruction.absolute(returned, images).mean()
            total += translators_torch.CODE_DIM * reconstruction.squared(style.mean, drawn).mean()
            total += reconstruction.squared(again, content).mean() + variational.kl_to_standard(*style).mean()
            total += variational.gaussian_mmd_to_standard(code, bandwidth=bandwidth)
        return total, {}, painted

    def judging(models, batch, turn):
        total = 0.0
        for domain in "xy":
            judge = models[f"judge_{domain}"]
            real, fake = judge(batch[domain]), judge(jnp.asarray(batch[f"painters/{domain}"]))
            total += 0.5 * adversarial.discriminator(form, real, fake).mean()
        return total, {}

    names = ("to_x", "to_y") if system == "cyclegan" else ("encode_x", "encode_y", "paint_x", "paint_y")
    return models, names, of_cyclegan if system == "cyclegan" else of_dsvib, judging


def _by_trainer(system: str, size: Size) -> dict[str, Callable[..., Any]]:
    import jax
    import optax

    from gentoolkit import training

    models, names, painting, judging = _system(system, size["width"])
    adam = optax.adam(2e-4, b1=0.5)
    players = {
        "painters": training.Player(painting, adam, names),
        "judges": training.Player(judging, adam, ("judge_x", "judge_y")),
    }
    image = np.zeros((_BATCH, size["pixels"], size["pixels"], 3), np.float32)
    program = training.program(models, players, {"x": image, "y": image})
    state, turn = program.init(0), itertools.count()

    def step(batches):
        nonlocal state
        x, y = batches[next(turn) % len(batches)]
        state = program.step(state, {"x": x, "y": y})
        jax.block_until_ready(state.params)
        return state.meters.sums["painters/loss"]

    return {"step": step}


def _by_hand(system: str, size: Size) -> dict[str, Callable[..., Any]]:
    import types

    import jax
    import optax
    from flax import nnx

    from gentoolkit.training import cpu, functional

    models, names, painting, judging = _system(system, size["width"])
    structure, params, rest = functional.split(models(nnx.Rngs(0)))
    painters = {path: array for path, array in params.items() if path.split("/")[0] in names}
    judges = {path: array for path, array in params.items() if path not in painters}
    adam = optax.adam(2e-4, b1=0.5)

    def loss(objective, own, others, batch, key):
        value, _, *handed = objective(structure.merge(own | others, rest), batch, types.SimpleNamespace(key=key))
        return value, handed

    @functools.partial(jax.jit, donate_argnums=0, compiler_options=cpu.compiler_options(jax.default_backend()))
    def updated(state, batch, key):
        painters, judges, of_painters, of_judges = state
        slopes_of = functools.partial(jax.value_and_grad, has_aux=True)
        (value, (painted,)), slopes = slopes_of(functools.partial(loss, painting))(painters, judges, batch, key)
        change, of_painters = adam.update(slopes, of_painters)
        painters = optax.apply_updates(painters, change)
        batch = batch | {f"painters/{domain}": image for domain, image in painted.items()}
        _, slopes = slopes_of(functools.partial(loss, judging))(judges, painters, batch, key)
        change, of_judges = adam.update(slopes, of_judges)
        return (painters, optax.apply_updates(judges, change), of_painters, of_judges), value

    state, turn, key = (painters, judges, adam.init(painters), adam.init(judges)), itertools.count(), jax.random.key(0)

    def step(batches):
        nonlocal state
        number = next(turn)
        x, y = batches[number % len(batches)]
        state, value = updated(state, {"x": x, "y": y}, jax.random.fold_in(key, number))
        jax.block_until_ready(state)
        return value

    return {"step": step}


def _torch_step(system: str, task: str, name: str) -> Implementation:
    def build(size: Size):
        import torch

        torch.manual_seed(0)
        layout = torch.channels_last if name == CHANNELS_LAST else torch.contiguous_format
        made = (
            translators_torch.cyclegan(size["width"], 6)
            if system == "cyclegan"
            else translators_torch.dsvib(size["width"], 3, _HALVINGS)
        )
        return {"step": translators_torch.step(made, layout)}

    return Implementation(
        name, task, TORCH_STEP, ("batches",), build, _work(system), requires=("torch",), comparable=False,
        note="eager; its own initial weights and draws",
    )  # fmt: skip
