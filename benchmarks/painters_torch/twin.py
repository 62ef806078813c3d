"""A system in PyTorch: its networks, who trains them, a whole step; and the weights of ours for them."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

Batch = dict[str, Any]
_LEAVES = {
    "kernel": "weight",
    "scale": "weight",
    "embedding": "weight",
    "mean": "running_mean",
    "var": "running_var",
}


class Turn(NamedTuple):
    """Who moves, and by what.

    Attributes:
      trains: names of networks.
      loss: from a batch to the loss and to what later turns find in their batch.
      optimizer: options of Adam.
    """

    trains: tuple[str, ...]
    loss: Callable[[Batch], tuple[Any, Batch]]
    optimizer: dict[str, Any]


class Twin(NamedTuple):
    """A whole system.

    Attributes:
      networks: that are trained, by name.
      frozen: that are not: `text`, and `images` where the system looks at pictures.
      turns: in the order of a step.
      averaged: names of the networks of which a moving average is kept.
      draw: from a batch of encoded texts with noise to pictures.
      noise_dim: features of the noise.
      random: from the size of a batch to all that a step draws: `noise` and what else its losses name.
    """

    networks: dict[str, Any]
    frozen: dict[str, Any]
    turns: tuple[Turn, ...]
    averaged: tuple[str, ...]
    draw: Callable[[Batch], Any]
    noise_dim: int
    random: Callable[[int], Batch]


def step(twin: Twin, layout: Any, *, ema_decay: float) -> Callable[..., list[Any]]:
    """A whole step from bytes: texts once, then each turn with an update, then the moving average.

    Args:
      twin: of `SYSTEMS`.
      layout: of memory, of the networks and pictures.
      ema_decay: of the moving average.

    Returns:
      `(images [b, h, w, 3] bytes, tokens [b, t], lengths [b], random=None) -> losses` of the turns.
    """
    import torch

    for network in (*twin.networks.values(), *twin.frozen.values()):
        network.to(memory_format=layout)
    for network in twin.frozen.values():
        network.eval().requires_grad_(False)
    owned = [[p for name in turn.trains for p in twin.networks[name].parameters()] for turn in twin.turns]
    optimizers = [
        torch.optim.Adam(own, fused=True, **turn.optimizer) for own, turn in zip(owned, twin.turns, strict=True)
    ]
    # Integers are counts of batches, which nothing reads.
    current = [x for name in twin.averaged for x in twin.networks[name].state_dict().values() if x.is_floating_point()]
    average = [x.clone() for x in current]
    steps = itertools.count()

    def run(images: np.ndarray, tokens: np.ndarray, lengths: np.ndarray, random: Batch | None = None) -> list[Any]:
        with torch.no_grad():
            batch = twin.frozen["text"](torch.from_numpy(tokens), torch.from_numpy(lengths))
            pixels = torch.from_numpy(images).permute(0, 3, 1, 2)
            batch["image"] = pixels.to(torch.float32, memory_format=layout).div_(127.5).sub_(1)
            batch |= twin.random(len(images)) if random is None else random
        losses = []
        for turn, own, optimizer in zip(twin.turns, owned, optimizers, strict=True):
            for parameters in owned:
                for parameter in parameters:
                    parameter.requires_grad_(parameters is own)
            loss, handed = turn.loss(batch)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            batch |= {name: array.detach() for name, array in handed.items()}
            losses.append(loss.detach())
        count = next(steps)
        torch._foreach_lerp_(average, current, 1 - min(ema_decay, (1 + count) / (10 + count)))
        return losses

    return run


def load(networks: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Gives networks the weights of ours.

    Args:
      networks: by name.
      arrays: parameters and statistics of ours, by paths that begin with these names.

    Raises:
      KeyError: a network that ours has no array for.
    """
    import torch

    wanted = {f"{name}.{key}": tensor for name, network in networks.items() for key, tensor in _state(network).items()}
    found = {}
    for path, array in arrays.items():
        *owner, leaf = path.split("/")
        name, turned = ".".join(owner).replace(".double.", ".doublings."), np.asarray(array)
        if leaf in ("of_input", "of_state", "bias") and owner[-1] in ("forward", "backward"):
            end = "l0" if owner[-1] == "forward" else "l0_reverse"
            kind = {"of_input": "weight_ih", "of_state": "weight_hh", "bias": "bias_ih"}[leaf]
            found[f"{owner[0]}.lstm.{kind}_{end}"] = turned.T
            if leaf == "bias":  # of two biases that are added ours has the sum
                found[f"{owner[0]}.lstm.bias_hh_{end}"] = np.zeros_like(turned)
            continue
        if leaf == "kernel":
            turned = turned.transpose(3, 2, 0, 1) if turned.ndim == 4 else turned.T
        found[f"{name}.{_LEAVES.get(leaf, leaf)}"] = turned
    with torch.no_grad():
        for name, tensor in wanted.items():
            tensor.copy_(torch.from_numpy(np.array(found[name])))


def _state(network: Any) -> dict[str, Any]:
    return {name: tensor for name, tensor in network.state_dict().items() if tensor.is_floating_point()}


def noise(features: int) -> Callable[[int], Batch]:
    """Draws noise, for systems that draw nothing else."""
    import torch

    return lambda size: {"noise": torch.randn(size, features)}


def parameters(modules: Sequence[Any]) -> int:
    """How many numbers are trained."""
    return sum(parameter.numel() for module in modules for parameter in module.parameters())
