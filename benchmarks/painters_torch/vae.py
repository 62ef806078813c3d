"""The variational auto-encoder and its flow in PyTorch."""

import itertools
from typing import Any

import numpy as np

from benchmarks.painters_torch.encoders import text_encoder
from benchmarks.painters_torch.layers import maps, tiled
from benchmarks.painters_torch.twin import Turn, Twin

_MEETINGS = 4  # of a code and noises in a step of the flow


def vae(config: Any, num_words: int) -> Twin:
    """The variational auto-encoder, with the flow of its codes; what reads texts is not trained."""
    import torch

    options, told = config.vae, config.text.features
    networks = {
        "encoder": _encoder(config.image_size, options.width, options.noise_dim, told),
        "generator": _generator(config.image_size, options.width, options.noise_dim, told),
        "flow": _flow(options.noise_dim, told, options.flow_width),
    }

    def draw(batch):
        sentence = batch["sentence"]
        return networks["generator"](networks["flow"].carry(batch["noise"], sentence), sentence)

    def bound(batch):
        sentence, generator = batch["sentence"], networks["generator"]
        mean, log_variance = networks["encoder"](batch["image"], sentence)
        prior_mean, prior_log_variance = generator.prior(sentence)
        code = mean + (log_variance / 2).exp() * batch["noise"]
        painted = generator.paint(code, sentence)
        misfit = (batch["image"] - painted).abs().flatten(1) / options.scale + np.log(2 * options.scale)
        shrink = (-prior_log_variance / 2).exp()
        apart, log_ratio = (mean - prior_mean) * shrink, log_variance - prior_log_variance
        divergence = 0.5 * (apart.square() + log_ratio.expm1() - log_ratio).sum(1).mean()
        return (misfit.sum(1).mean() + divergence) / 1000 + carrying((code - prior_mean) * shrink, batch), {}

    def carrying(codes, batch):
        codes, sentence = (x.detach().repeat_interleave(_MEETINGS, 0) for x in (codes, batch["sentence"]))
        lines = codes - batch["flow_noise"]
        between = batch["flow_noise"] + batch["times"][:, None] * lines
        return (networks["flow"](between, batch["times"], sentence) - lines).square().mean()

    def random(size):
        found = {"noise": size, "flow_noise": _MEETINGS * size}
        drawn = {name: torch.randn(rows, options.noise_dim) for name, rows in found.items()}
        return drawn | {"times": torch.rand(_MEETINGS * size)}

    turns = (Turn(("encoder", "generator", "flow"), bound, {"lr": options.peak}),)
    frozen = {"text": text_encoder(config, num_words)}
    return Twin(networks, frozen, turns, ("generator", "flow"), draw, options.noise_dim, random)


def _widths(image_size: int, width: int) -> list[int]:
    return [width * min(1 << level, 8) for level in range((image_size // 4).bit_length() - 1)]


def _encoder(image_size: int, width: int, noise_dim: int, told: int) -> Any:
    from torch import nn
    from torch.nn import functional

    class Encoder(nn.Module):
        def __init__(self):
            super().__init__()
            widths = _widths(image_size, width)
            self.first = nn.Conv2d(3, widths[0], 4, 2, 1)
            self.halve = nn.ModuleList(nn.Conv2d(a, b, 4, 2, 1, bias=False) for a, b in itertools.pairwise(widths))
            self.joint = nn.Conv2d(widths[-1] + told, widths[-1], 3, padding=1, bias=False)
            self.norms = nn.ModuleList(nn.BatchNorm2d(features) for features in (*widths[1:], widths[-1]))
            self.law = nn.Linear(16 * widths[-1], 2 * noise_dim)

        def forward(self, images, sentence):
            *norms, last = self.norms
            x = functional.leaky_relu(self.first(images), 0.2)
            for layer, norm in zip(self.halve, norms, strict=True):
                x = functional.leaky_relu(norm(layer(x)), 0.2)
            x = functional.leaky_relu(last(self.joint(tiled(x, sentence))), 0.2)
            return self.law(x.permute(0, 2, 3, 1).flatten(1)).chunk(2, 1)

    return Encoder()


def _generator(image_size: int, width: int, noise_dim: int, told: int) -> Any:
    import torch
    from torch import nn
    from torch.nn import functional

    class Conditional(nn.Module):
        def __init__(self, features):
            super().__init__()
            self.norm = nn.BatchNorm2d(features, affine=False)
            self.project = nn.Linear(noise_dim + told, 2 * features)

        def forward(self, x, condition):
            scale, shift = self.project(condition)[:, :, None, None].chunk(2, 1)
            return self.norm(x) * (1 + scale) + shift

    class Generator(nn.Module):
        def __init__(self):
            super().__init__()
            widths = [*_widths(image_size, width)[::-1], width]
            self.prior_hidden = nn.Linear(told, 2 * noise_dim)
            self.prior_law = nn.Linear(2 * noise_dim, 2 * noise_dim)
            self.begin = nn.Linear(noise_dim + told, 16 * widths[0], bias=False)
            # Ours is `double`, which is a method of every module here.
            self.doublings = nn.ModuleList(
                nn.Conv2d(a, b, 3, padding=1, bias=False) for a, b in itertools.pairwise(widths)
            )
            self.norms = nn.ModuleList(Conditional(features) for features in widths)
            self.last = nn.Conv2d(width, 3, 3, padding=1)

        def prior(self, sentence):
            return self.prior_law(functional.leaky_relu(self.prior_hidden(sentence), 0.2)).chunk(2, 1)

        def forward(self, noise, sentence):
            mean, log_variance = self.prior(sentence)
            return self.paint(mean + (log_variance / 2).exp() * noise, sentence)

        def paint(self, code, sentence):
            condition = torch.cat([code, sentence], 1)
            first, *norms = self.norms
            x = first(maps(self.begin(condition), first.norm.num_features), condition).relu()
            for layer, norm in zip(self.doublings, norms, strict=True):
                x = norm(layer(functional.interpolate(x, scale_factor=2)), condition).relu()
            return self.last(x).tanh()

    return Generator()


def _flow(noise_dim: int, told: int, width: int) -> Any:
    import torch
    from torch import nn
    from torch.nn import functional

    class Flow(nn.Module):
        def __init__(self, depth=4, frequencies=5):
            super().__init__()
            self.frequencies = [np.pi * 2**level for level in range(frequencies)]
            self.begin = nn.Linear(noise_dim + told + 2 * frequencies, width)
            self.time = nn.ModuleList(nn.Linear(2 * frequencies, width) for _ in range(depth))
            self.norms = nn.ModuleList(nn.LayerNorm(width, eps=1e-6) for _ in range(depth))
            self.hidden = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
            self.back = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
            self.end = nn.Linear(width, noise_dim)

        def forward(self, codes, times, sentence):
            angles = times[:, None] * torch.tensor(self.frequencies, dtype=times.dtype)
            when = torch.cat([angles.cos(), angles.sin()], 1)
            x = self.begin(torch.cat([codes, sentence, when], 1))
            for norm, hidden, time, back in zip(self.norms, self.hidden, self.time, self.back, strict=True):
                x = x + back(functional.silu(hidden(norm(x)) + time(when)))
            return self.end(functional.silu(x))

        def carry(self, noise, sentence, num_steps=24):
            codes, width = noise, 1 / num_steps
            for step in range(num_steps):
                times = torch.full((len(codes),), step * width)
                half = codes + width / 2 * self(codes, times, sentence)
                codes = codes + width * self(half, times + width / 2, sentence)
            return codes

    return Flow()
