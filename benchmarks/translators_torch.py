"""The networks and steps of image translation in PyTorch, written plainly: the peers of `translators_bench`."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

CODE_DIM = 8


def translator(channels: int, width: int, num_blocks: int) -> Any:
    """CycleGAN's translator."""
    from torch import nn

    return nn.Sequential(content(channels, width, num_blocks), upward(channels, width))


def content(channels: int, width: int, num_blocks: int) -> Any:
    """A stem of 7 x 7, two halvings, residual blocks; a norm without parameters behind each convolution."""
    from torch import nn

    layers = [nn.ReflectionPad2d(3), nn.Conv2d(channels, width, 7), nn.InstanceNorm2d(width), nn.ReLU()]
    for a in (width, 2 * width):
        layers += [nn.Conv2d(a, 2 * a, 3, stride=2, padding=1), nn.InstanceNorm2d(2 * a), nn.ReLU()]
    return nn.Sequential(*layers, *(residual(4 * width) for _ in range(num_blocks)))


def residual(features: int) -> Any:
    """Two convolutions of 3 x 3 added to what came in."""
    from torch import nn

    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            half = [nn.ReflectionPad2d(1), nn.Conv2d(features, features, 3), nn.InstanceNorm2d(features)]
            again = [nn.ReflectionPad2d(1), nn.Conv2d(features, features, 3), nn.InstanceNorm2d(features)]
            self.inner = nn.Sequential(*half, nn.ReLU(), *again)

        def forward(self, x):
            return x + self.inner(x)

    return Residual()


def upward(channels: int, width: int) -> Any:
    """Two doublings by transposed convolutions, and a last layer of 7 x 7."""
    from torch import nn

    layers: list[Any] = []
    for a in (4 * width, 2 * width):
        layers += [nn.ConvTranspose2d(a, a // 2, 3, 2, 1, 1), nn.InstanceNorm2d(a // 2), nn.ReLU()]
    return nn.Sequential(*layers, nn.ReflectionPad2d(3), nn.Conv2d(width, channels, 7), nn.Tanh())


def patches(channels: int, width: int) -> Any:
    """The PatchGAN of two layers of stride 2."""
    from torch import nn

    layers: list[Any] = [nn.Conv2d(channels, width, 4, 2, 1), nn.LeakyReLU(0.2)]
    for a, stride in ((width, 2), (2 * width, 1)):
        layers += [nn.Conv2d(a, 2 * a, 4, stride, 1), nn.InstanceNorm2d(2 * a), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Conv2d(4 * width, 1, 4, 1, 1))


def content_and_style(channels: int, width: int, num_blocks: int, halvings: int) -> Any:
    """Images to content, and to mean and log-variance of a style whose first layers have the same kernels, no norm."""
    from torch import nn

    class Encoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.content = content(channels, width, num_blocks)
            layers: list[Any] = []
            for _ in range(halvings):
                layers += [nn.Conv2d(4 * width, 4 * width, 4, 2, 1), nn.LeakyReLU(0.2)]
            self.style = nn.Sequential(*layers)
            self.mean, self.log_variance = nn.Linear(4 * width, CODE_DIM), nn.Linear(4 * width, CODE_DIM)

        def forward(self, images):
            x = images
            for layer in self.content:
                if isinstance(layer, nn.Conv2d | nn.ReflectionPad2d | nn.ReLU):
                    x = layer(x)
            x = self.style(x).mean((2, 3))
            return self.content(images), self.mean(x), self.log_variance(x).clamp(-10, 10)

    return Encoder()


def styled(channels: int, width: int, num_blocks: int) -> Any:
    """Content and a repeated code, through one convolution without norm, to images."""
    import torch
    from torch import nn

    class Painter(nn.Module):
        def __init__(self):
            super().__init__()
            self.fuse = nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(4 * width + CODE_DIM, 4 * width, 3), nn.ReLU())
            self.rest = nn.Sequential(*(residual(4 * width) for _ in range(num_blocks)), upward(channels, width))

        def forward(self, x, code):
            tiled = code[:, :, None, None].expand(-1, -1, *x.shape[2:])
            return self.rest(self.fuse(torch.cat([x, tiled], dim=1)))

    return Painter()


Losses = Callable[[Any, Any], tuple[Any, Any, Any]]


def cyclegan(width: int, num_blocks: int) -> tuple[dict[str, Any], tuple[str, ...], Losses]:
    """Networks, the names of those that paint, and their loss, which hands the painted images on."""
    networks = {name: translator(3, width, num_blocks) for name in ("to_x", "to_y")}
    networks |= {name: patches(3, width) for name in ("judge_x", "judge_y")}

    def losses(x, y):
        to_x, to_y = networks["to_x"], networks["to_y"]
        painted_x, painted_y = to_x(y), to_y(x)
        fooling = _squares(networks["judge_x"](painted_x), 1) + _squares(networks["judge_y"](painted_y), 1)
        returned = (to_x(painted_y) - x).abs().mean() + (to_y(painted_x) - y).abs().mean()
        return fooling + 10 * returned, painted_x, painted_y

    return networks, ("to_x", "to_y"), losses


def dsvib(width: int, num_blocks: int, halvings: int) -> tuple[dict[str, Any], tuple[str, ...], Losses]:
    """The same for the domain-specific information bound, every term with its weight in the configuration."""
    import torch

    networks: dict[str, Any] = {}
    for domain in "xy":
        networks[f"encode_{domain}"] = content_and_style(3, width, num_blocks, halvings)
        networks[f"paint_{domain}"] = styled(3, width, num_blocks)
        networks[f"judge_{domain}"] = patches(3, width)

    def cycle(images, source, target):
        kept, mean, log_variance = networks[f"encode_{source}"](images)
        own = mean + torch.exp(log_variance / 2) * torch.randn_like(mean)
        drawn = torch.randn_like(mean)
        painted = networks[f"paint_{target}"](kept, drawn)
        again, mean_again, log_variance_again = networks[f"encode_{target}"](painted)
        returned = networks[f"paint_{source}"](again, own)
        error = (returned - images).abs().mean()
        information = 0.5 * (mean_again**2 + log_variance_again.exp() - 1 - log_variance_again).sum(1).mean()
        terms = _squares(networks[f"judge_{target}"](painted), 1) + 11 * error + information
        terms = terms + CODE_DIM * ((mean_again - drawn) ** 2).mean() + ((again - kept) ** 2).mean() + _mmd(own)
        return terms, painted

    def losses(x, y):
        (one, painted_y), (two, painted_x) = cycle(x, "x", "y"), cycle(y, "y", "x")
        return one + two, painted_x, painted_y

    return networks, ("encode_x", "encode_y", "paint_x", "paint_y"), losses


def step(system: tuple[dict[str, Any], tuple[str, ...], Losses], layout: Any) -> Callable[[np.ndarray], float]:
    """A whole step: the painters, then the discriminators on the images that were painted; Adam for both."""
    import torch

    networks, painting, losses = system
    for network in networks.values():
        network.to(memory_format=layout)
    judges = [network for name, network in networks.items() if name not in painting]
    of_painters = [parameter for name in painting for parameter in networks[name].parameters()]
    of_judges = [parameter for judge in judges for parameter in judge.parameters()]
    optimizers = [torch.optim.Adam(own, lr=2e-4, betas=(0.5, 0.999)) for own in (of_painters, of_judges)]
    turn = itertools.count()

    def run(batches: np.ndarray) -> float:
        both = torch.from_numpy(batches[next(turn) % len(batches)]).permute(0, 1, 4, 2, 3)
        x, y = (one.contiguous(memory_format=layout) for one in both)
        for parameter in of_judges:
            parameter.requires_grad_(False)
        loss, painted_x, painted_y = losses(x, y)
        optimizers[0].zero_grad(set_to_none=True)
        loss.backward()
        optimizers[0].step()
        for parameter in of_judges:
            parameter.requires_grad_(True)
        judging = _judging(networks["judge_x"], x, painted_x) + _judging(networks["judge_y"], y, painted_y)
        optimizers[1].zero_grad(set_to_none=True)
        judging.backward()
        optimizers[1].step()
        return loss.item()

    return run


def parameters(modules: Sequence[Any]) -> int:
    """How many numbers are trained."""
    return sum(parameter.numel() for module in modules for parameter in module.parameters())


def _judging(judge: Any, real: Any, painted: Any) -> Any:
    return 0.5 * (_squares(judge(real), 1) + _squares(judge(painted.detach()), 0))


def _squares(logits: Any, goal: float) -> Any:
    return ((logits - goal) ** 2).mean()


def _mmd(codes: Any) -> Any:
    """The squared discrepancy of codes and N(0, I), with a Gaussian kernel of variance dim / 2."""
    d, s = codes.shape[1], codes.shape[1] / 2
    within = (-((codes[:, None] - codes[None]) ** 2).sum(-1) / (2 * s)).exp().mean()
    across = (1 + 1 / s) ** (-d / 2) * (-(codes**2).sum(1) / (2 * (s + 1))).exp().mean()
    return within - 2 * across + (1 + 2 / s) ** (-d / 2)
