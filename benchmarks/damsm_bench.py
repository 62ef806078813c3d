"""Word scores of all pictures of a batch with all its texts (DAMSM), with their gradient, beside a loop over texts.

The loss is that of matching by words, of 10 times the scores, with its gradient in the regions and in the words. Ours
takes blocks of texts, padded to one length; PyTorch's loop cuts each text to its own, as the public code does. Lengths
are those of scenes' texts (`words` 36, of which a third is there), or anything from 8 to 18 as in captions of birds.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks import backends, harness, limits, painters_torch, report, targets
from benchmarks.backends import JAX_AS_TRAINING, TORCH
from benchmarks.harness import OURS, Implementation, Row, Size

LOOP = "PyTorch"
_TASK, _GIBIBYTE = "word_scores", 2**30
_BLOCK = 8  # texts
_GAMMAS = (4.0, 5.0, 10.0)
_SCENES = {"batch": 256, "regions": 64, "words": 36, "features": 128}
_PUBLISHED = {"batch": 48, "regions": 289, "words": 18, "features": 256}


def case(*, quick: bool = False) -> harness.Case:
    """Returns the case: the sizes of the public code, and of the experiment with more texts; quick: few texts."""
    small = {"batch": 8, "regions": 16, "words": 36, "features": 16}
    return harness.Case(
        name=_TASK,
        sizes=[small] if quick else [_PUBLISHED, _SCENES],
        make_inputs=make_inputs,
        implementations=[
            Implementation(OURS, _TASK, JAX_AS_TRAINING, ("regions", "words", "lengths"), _ours, _operations),
            Implementation(
                LOOP, _TASK, TORCH, ("regions", "words", "lengths"), _loop, _operations, requires=("torch",),
                memory=_memory, note="the published loop over texts, written anew",
            ),
        ],
        least_work=lambda task, mode, size: limits.Work(flops=_operations(size)),
        formula=(
            "four operations for each picture, region, word that is there and feature (two products), three times: "
            "value, gradient in the regions, gradient in the words."
        ),
        weight=lambda size: 20.0 + 5e-10 * _operations(size),
        call_limit=60.0,
        sweep="batch",
        clock=backends.clock_of_work,
    )  # fmt: skip


def figures(rows: Sequence[Row]) -> list[str]:
    """Returns lines of time and of memory."""
    table, lines = targets.Table(rows), []
    for size in case().sizes:
        start = f"word scores, batch {size['batch']}, {size['regions']} regions, {size['words']} words, with gradient"
        ours, loop = (table.find(name, _TASK, "value_and_grad", size) for name in (OURS, LOOP))
        if ours is None:
            lines.append(f"{start}: not measured in this run")
            continue
        limit = f"{ours['times_limit']:.1f} times the least time by {ours['limit_from']}"
        beside = f"{report.format_seconds(ours['seconds'])}, {limit}; {LOOP} not measured"
        if loop is not None:
            ratio = loop["seconds"] / ours["seconds"]
            beside = f"{ratio:.2f}× {LOOP}'s speed ({report.format_seconds(ours['seconds'])}, {limit}, against "
            beside += f"{report.format_seconds(loop['seconds'])})"
        lines.append(f"{start}: {beside}")
        theirs = loop["process_bytes"] if loop else None
        told = f", the loop {theirs / _GIBIBYTE:.2f} GiB" if theirs is not None else ""
        used = ours["compiled_bytes"] or ours["process_bytes"]
        if used is None:
            lines.append(f"{start}, memory within 1 GiB: not measured in this run")
            continue
        lines.append(
            f"{start}, memory within 1 GiB: {used / _GIBIBYTE:.2f} GiB{told}: {targets.verdict(used <= _GIBIBYTE)}"
        )
    return lines


def make_inputs(size: Size) -> dict[str, np.ndarray]:
    """Returns features of regions and words, and lengths of texts."""
    rng = np.random.default_rng(0)
    regions = rng.standard_normal((size["batch"], size["regions"], size["features"]), np.float32)
    words = rng.standard_normal((size["batch"], size["words"], size["features"]), np.float32)
    # Products of a word and a region of the order of 1.
    scale = np.float32(size["features"] ** -0.25)
    return {"regions": scale * regions, "words": scale * words, "lengths": _lengths(size)}


def _lengths(size: Size) -> np.ndarray:
    if size["words"] == _PUBLISHED["words"]:
        return np.random.default_rng(1).integers(8, 18, size["batch"], endpoint=True, dtype=np.int32)
    from gentoolkit.data import scenes

    tokens = scenes.load("train", size["batch"]).select("captions").take(np.arange(size["batch"]))["captions"]
    return (np.asarray(tokens)[:, 0] != 0).sum(1, dtype=np.int32)


def _operations(size: Size) -> float:
    return 3 * 4.0 * size["batch"] * float(_lengths(size).sum()) * size["regions"] * size["features"]


def _memory(mode: str, size: Size) -> float:
    """What the graph of all texts keeps: products and weights of every picture, region and word that is there."""
    del mode
    return 4.0 * 5 * size["batch"] * float(_lengths(size).sum()) * size["regions"]


def _ours(size: Size) -> dict[str, Callable[..., Any]]:
    import jax
    import jax.numpy as jnp

    from gentoolkit.objectives import contrastive, damsm

    gamma_1, gamma_2, gamma_3 = _GAMMAS

    def loss(regions, words, lengths):
        valid = jnp.arange(size["words"]) < lengths[:, None]
        scores = damsm.word_scores(
            regions, words, valid=valid, gamma_1=gamma_1, gamma_2=gamma_2, block_size=min(_BLOCK, size["batch"])
        )
        both = contrastive.matching(gamma_3 * scores)
        return jnp.mean(both.rows) + jnp.mean(both.columns)

    def value_and_grad(*arrays):
        value, slopes = jax.value_and_grad(loss, (0, 1))(*arrays)
        return value, *slopes

    return {"value_and_grad": value_and_grad}


def _loop(size: Size) -> dict[str, Callable[..., Any]]:
    import torch

    gamma_1, gamma_2, gamma_3 = _GAMMAS
    cross_entropy, pairs = torch.nn.functional.cross_entropy, torch.arange(size["batch"])

    def value_and_grad(regions, words, lengths):
        given = [array.detach().requires_grad_() for array in (regions, words)]
        scores = gamma_3 * painters_torch.word_scores(*given, lengths, gamma_1, gamma_2)
        loss = cross_entropy(scores, pairs.to(scores.device)) + cross_entropy(scores.T, pairs.to(scores.device))
        return loss.detach(), *torch.autograd.grad(loss, given)

    return {"value_and_grad": value_and_grad}
