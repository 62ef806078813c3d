"""Whole training steps of the systems of text to picture, and sampling from them, beside the same in PyTorch.

Float32, batches of 64 captioned scenes of 32 pixels, the sizes of the experiment's presets. A step goes from bytes and
numbers of words to new parameters and their moving average: the frozen text encoder, the generator, the discriminators
on the pictures that were painted. Ours is built by `experiments.text_to_image` and compiled by `training.program`, with
its metrics and its checks. Sampling paints pictures of encoded texts by the generator alone. Weights and noise are each
side's own; that both sides have the same losses on the same weights is tested in `tests/benchmarks/painters_test.py`.
On CPUs the time is that of all threads: `--cores=1` leaves one, so that none waits for another.
"""

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks import backends, harness, limits, painters_torch, report, targets
from benchmarks.backends import JAX_STEP, TORCH_STEP
from benchmarks.harness import OURS, Implementation, Row, Size
from benchmarks.layers_bench import CHANNELS_FIRST, CHANNELS_LAST

_WIDTHS = {"dfgan": 16, "attngan": 24, "vae": 24}
_NAMES = {"dfgan": "DF-GAN", "attngan": "AttnGAN", "vae": "VAE"}


def cases(*, quick: bool = False) -> list[harness.Case]:
    """Returns two cases for each system, its step and sampling; quick: narrow networks and few small pictures."""
    found = []
    for kind, system in itertools.product(("step", "sample"), _WIDTHS):
        size = {"batch": 64, "pixels": 32, "width": _WIDTHS[system]}
        found.append(_case(kind, system, {"batch": 4, "pixels": 16, "width": 4} if quick else size))
    return found


def figures(rows: Sequence[Row]) -> list[str]:
    """Returns a line for each step and each sampling: what was asked, what was measured, and whether it is met."""
    table, lines = targets.Table(rows), []
    for case in cases():
        kind, system = case.name.split("_")
        (size,), task, mode = case.sizes, case.implementations[0].task, "step" if kind == "step" else "value"
        start = f"{_NAMES[system]}, {kind}, batch {size['batch']}, {size['pixels']} px, at least as fast as PyTorch"
        ours, peer = table.find(OURS, task, mode, size), table.best_peer(task, mode, size)
        if ours is None or peer is None:
            lines.append(f"{start}: not measured in this run")
            continue
        ratio = peer["seconds"] / ours["seconds"]
        rates = [f"{size['batch'] / row['seconds']:,.0f} images/s" for row in (ours, peer)]
        times = f"{report.format_seconds(ours['seconds'])} against {report.format_seconds(peer['seconds'])}"
        limit = f"{ours['times_limit']:.1f} times the least time by {ours['limit_from']}"
        lines.append(
            f"{start}: {ratio:.2f}× ({times}, {rates[0]} against {rates[1]}, {peer['implementation']}; {limit}): "
            f"{targets.verdict(ratio >= 1)}"
        )
    return lines


def configuration(system: str, size: Size) -> Any:
    """The experiment's preset, with the width and the pictures of a size."""
    from experiments.text_to_image import config as config_lib

    config = config_lib.get_config(f"{system}_scenes32")
    config.image_size, config.batch_size, config[system].width = size["pixels"], size["batch"], size["width"]
    config.attngan.judge_width = size["width"]
    config.vae.trains_text = False  # as in the others: PyTorch's LSTM has twice our biases, and would train both
    return config


def make_inputs(size: Size) -> dict[str, np.ndarray]:
    """Returns three batches of scenes as bytes with one text each, and noise."""
    from gentoolkit.data import scenes

    batch, num = size["batch"], 3 * size["batch"]
    columns = scenes.load("train", num, image_size=size["pixels"]).select("image", "captions").take(np.arange(num))
    tokens = np.asarray(columns["captions"])[:, 0]
    found = {"images": np.asarray(columns["image"]), "tokens": tokens, "lengths": (tokens != 0).sum(1, dtype=np.int32)}
    batches = {name: array.reshape(3, batch, *array.shape[1:]) for name, array in found.items()}
    return batches | {"noise": np.random.default_rng(0).standard_normal((batch, 128), np.float32)}


def program(config: Any) -> tuple[Any, Any, dict[str, Any]]:
    """The experiment's system of a configuration with random encoders, its compiled step, and the encoders."""
    from flax import nnx

    from experiments.text_to_image import encoders
    from experiments.text_to_image.systems import build
    from gentoolkit import training
    from gentoolkit.data import pipeline, scenes
    from gentoolkit.data.fields import Ragged

    made = encoders.networks(config, scenes.VOCABULARY, nnx.Rngs(0))
    for network in made.values():
        network.eval()
    told = encoders.Pretrained(
        made["text"], made["images"], scenes.VOCABULARY, scenes.MAX_WORDS, config.text.features, config.image_size
    )
    system = build.painter(config, told)
    fields = scenes.load("train", 1, image_size=config.image_size).fields
    batch = {
        "image": np.zeros((config.batch_size, config.image_size, config.image_size, 3), np.uint8),
        "caption": Ragged(
            np.zeros((config.batch_size, scenes.MAX_WORDS), np.int32), np.ones(config.batch_size, np.int32)
        ),
    }
    compiled = training.program(
        system.models,
        system.players,
        batch,
        frozen=system.frozen,
        prepare=lambda batch: pipeline.scale(fields, batch, (-1.0, 1.0)),
        ema_decay=dict.fromkeys(system.averaged, config.ema_decay),
    )
    return system, compiled, made


def _case(kind: str, system: str, size: Size) -> harness.Case:
    arguments = ("images", "tokens", "lengths") if kind == "step" else ("tokens", "lengths", "noise")
    task, ours, peer = f"{kind}_{system}", *((_ours_step, _torch_step) if kind == "step" else (_ours_draw, _torch_draw))
    work = functools.partial(operations, kind, system)

    def made(name: str, backend: backends.Backend, build: Callable[[Size], Any], **options: Any) -> Implementation:
        return Implementation(name, task, backend, arguments, build, work, **options)

    options: dict[str, Any] = {"requires": ("torch",), "comparable": False, "note": "eager; its own weights and noise"}
    return harness.Case(
        name=task,
        sizes=[size],
        make_inputs=make_inputs,
        implementations=[
            made(OURS, JAX_STEP, functools.partial(ours, system)),
            *(
                made(name, TORCH_STEP, functools.partial(peer, system, name), **options)
                for name in (CHANNELS_FIRST, CHANNELS_LAST)
            ),
        ],
        least_work=lambda _, mode, size: limits.Work(flops=work(size)),
        formula=(
            "two operations for each product of the direct sums of all convolutions, linear maps and attentions, each "
            "network as often as it runs: once for its value, once more for the gradient in its input, once more for "
            "that in its parameters; a gradient penalty's value and its gradient three times. Forms with fewer "
            "products may pass this limit."
        ),
        weight=lambda size: (10.0 if kind == "step" else 5.0) + 1e-9 * work(size),
        call_limit=30.0,
        sweep="width",
        clock=backends.clock_of_work,
    )


def operations(kind: str, system: str, size: Size) -> float:
    """Operations of one call, backward passes among them."""
    from gentoolkit.data import scenes

    config = configuration(system, size)
    text, vae, side, batch = config.text, config.vae, size["pixels"], size["batch"]
    told, words = text.features, scenes.MAX_WORDS
    reading = words * 4 * told * (text.embedding + told // 2)

    def doubling(side: int, widths: Sequence[int], out: int = 1) -> int:
        """Convolutions of 3 x 3 after doublings from 4 x 4 to a side, between widths."""
        return sum(
            side**2 * 9 * out * a * b // 4**n for n, (a, b) in enumerate(reversed([*itertools.pairwise(widths)]))
        )

    if system == "dfgan":
        w, condition = size["width"], config.dfgan.noise_dim + told
        widths = [w * min(1 << n, 8) for n in range((side // 4).bit_length())]
        paint = 16 * widths[-1] * config.dfgan.noise_dim + side**2 * 27 * w
        judge, joint = side**2 * 27 * w, 16 * 9 * (widths[-1] + told) * 2 * w + 16 * 2 * w
        for level, (b, a) in enumerate(itertools.pairwise(widths)):
            large, small = (side >> level) ** 2, (side >> level) ** 2 // 4
            affine = sum(4 * features * (condition + features) for features in (a, b))
            paint += large * 9 * (a * b + b * b) + (small * a * b if a != b else 0) + affine
            judge += small * (16 * a * b + 9 * a * a) + (small * a * b if a != b else 0)
        if kind == "sample":
            return 2.0 * batch * paint
        return 2.0 * batch * (reading + 3 * paint + 2 * (judge + joint) + 9 * judge + 12 * joint)
    if system == "attngan":
        options = config.attngan
        w, v, small = options.width, options.judge_width, side // 2
        widths = [w << level for level in range((small // 4).bit_length() - 1, -1, -1)]
        paint = told * 4 * options.condition_dim + 2 * 16 * widths[0] * (options.condition_dim + options.noise_dim)
        paint += doubling(small, widths, 2) + (small**2 + side**2) * 27 * w
        paint += words * told * w + 2 * small**2 * words * w
        paint += small**2 * 9 * 12 * w * w * options.num_residual + side**2 * 9 * 4 * w * w
        if kind == "sample":
            return 2.0 * batch * paint
        looks, joints = 0, 0
        for one in (small, side):
            down = [v << level for level in range((one // 4).bit_length() - 1)]
            looks += (one // 2) ** 2 * 48 * v + 16 * 9 * down[-1] * 8 * v
            looks += sum(((one // 4) >> n) ** 2 * 16 * a * b for n, (a, b) in enumerate(itertools.pairwise(down)))
            joints += 16 * 9 * (8 * v + told) * 8 * v + 16 * 8 * v
        seen = _seeing(config)
        scores = 3 * 2 * batch * words * 64 * told
        return 2.0 * batch * (reading + 3 * paint + 2 * (looks + joints + seen) + scores + 6 * looks + 9 * joints)
    w, condition = size["width"], vae.noise_dim + told
    widths = [w * min(1 << level, 8) for level in range((side // 4).bit_length() - 1)]
    look = (side // 2) ** 2 * 48 * w + 16 * 9 * (widths[-1] + told) * widths[-1] + 32 * widths[-1] * vae.noise_dim
    look += sum(((side // 4) >> n) ** 2 * 16 * a * b for n, (a, b) in enumerate(itertools.pairwise(widths)))
    paint = 16 * widths[-1] * condition + doubling(side, [*widths[::-1], w]) + side**2 * 27 * w
    paint += 2 * (sum(widths) + w) * condition + 2 * vae.noise_dim * (told + 2 * vae.noise_dim)
    times = 10  # angles of a time, each as cosine and sine
    move = vae.flow_width * (condition + times + 4 * (times + 2 * vae.flow_width) + vae.noise_dim)
    if kind == "sample":
        return 2.0 * batch * (paint + 48 * move)  # 24 steps of two
    return 2.0 * batch * (reading + 3 * (look + paint) + 4 * 3 * move)  # the flow meets each code four times


def _seeing(config: Any) -> int:
    """Products of DAMSM's image encoder."""
    side, found = config.image_size, 0
    for a, b in itertools.pairwise((3, *(config.damsm.width << level for level in range(4)))):
        kernel = 9
        if side > 8:
            side, kernel = side // 2, 16
        found += side**2 * kernel * a * b
    return found + 65 * 8 * config.damsm.width * config.text.features


def _ours_step(system: str, size: Size) -> dict[str, Callable[..., Any]]:
    import jax

    from gentoolkit.data.fields import Ragged

    made, compiled, _ = program(configuration(system, size))
    state, turn = compiled.init(0), itertools.count()
    first = next(iter(made.players))

    def step(images, tokens, lengths):
        nonlocal state
        n = next(turn) % len(images)
        state = compiled.step(state, {"image": images[n], "caption": Ragged(tokens[n], lengths[n])})
        jax.block_until_ready(state.params)
        return state.meters.sums[f"{first}/loss"]

    return {"step": step}


def _ours_draw(system: str, size: Size) -> dict[str, Callable[..., Any]]:
    import jax

    from gentoolkit import training

    made, compiled, encoders = program(configuration(system, size))
    models = compiled.models(compiled.init(0))
    read = training.jit(lambda models, tokens, lengths: models["text"](tokens, lengths))
    paint = training.jit(lambda models, texts, noise: made.draw(models, texts, noise))
    models = {name: model for name, model in models.items() if name in made.averaged}
    kept: list[Any] = []

    def draw(tokens, lengths, noise):
        kept[:] = kept or [read({"text": encoders["text"]}, tokens[0], lengths[0]), noise[:, : made.noise_dim]]
        return np.asarray(jax.block_until_ready(paint(models, *kept)))

    return {"value": draw}


def _torch(system: str, name: str, size: Size) -> tuple[painters_torch.Twin, Any]:
    import torch

    from gentoolkit.data import scenes

    torch.manual_seed(0)
    twin = painters_torch.SYSTEMS[system](configuration(system, size), len(scenes.VOCABULARY))
    return twin, torch.channels_last if name == CHANNELS_LAST else torch.contiguous_format


def _torch_step(system: str, name: str, size: Size) -> dict[str, Callable[..., Any]]:
    twin, layout = _torch(system, name, size)
    run, turn = painters_torch.step(twin, layout, ema_decay=0.999), itertools.count()

    def step(images, tokens, lengths):
        n = next(turn) % len(images)
        return run(images[n], tokens[n], lengths[n])[0].item()

    return {"step": step}


def _torch_draw(system: str, name: str, size: Size) -> dict[str, Callable[..., Any]]:
    import torch

    twin, layout = _torch(system, name, size)
    for part in twin.averaged:
        twin.networks[part].to(memory_format=layout).eval()
    kept: dict[str, Any] = {}

    def draw(tokens, lengths, noise):
        with torch.inference_mode():
            if not kept:
                kept.update(twin.frozen["text"].eval()(torch.from_numpy(tokens[0]), torch.from_numpy(lengths[0])))
                kept["noise"] = torch.from_numpy(noise[:, : twin.noise_dim])
            return twin.draw(kept).permute(0, 2, 3, 1).numpy()

    return {"value": draw}
