"""DF-GAN in PyTorch."""

import itertools
from typing import Any

from benchmarks.painters_torch.encoders import text_encoder
from benchmarks.painters_torch.layers import maps, tiled
from benchmarks.painters_torch.twin import Turn, Twin, noise


def dfgan(config: Any, num_words: int) -> Twin:
    """DF-GAN, of a configuration of `experiments.text_to_image`."""
    import torch

    options, told = config.dfgan, config.text.features
    networks = {
        "generator": _generator(config.image_size, options.width, options.noise_dim, told),
        "discriminator": _discriminator(config.image_size, options.width, told),
    }
    judge = networks["discriminator"]

    def draw(batch):
        return networks["generator"](batch["noise"], batch["sentence"])

    def painting(batch):
        fake = draw(batch)
        return -judge.judge(judge.look(fake), batch["sentence"]).mean(), {"fake": fake}

    def judging(batch):
        sentence = batch["sentence"].detach().requires_grad_()
        image = batch["image"].detach().requires_grad_()
        seen = judge.look(image)
        real, other = judge.judge(seen, sentence), judge.judge(seen, sentence.detach().roll(-1, 0))
        fake = judge.judge(judge.look(batch["fake"]), sentence.detach())
        told_apart = (1 - real).relu().mean()
        told_apart = told_apart + options.mismatched * ((1 + fake).relu().mean() + (1 + other).relu().mean())
        # The graph of the real pictures serves the penalty too.
        slopes = torch.autograd.grad(real.sum(), (image, sentence), create_graph=True)
        squares = sum(slope.flatten(1).square().sum(1) for slope in slopes)
        return told_apart + options.gradient_penalty * (squares ** (options.power / 2)).mean(), {}

    betas = (options.b1, options.b2)
    turns = (
        Turn(("generator",), painting, {"lr": options.peak_generator, "betas": betas}),
        Turn(("discriminator",), judging, {"lr": options.peak_discriminator, "betas": betas}),
    )
    frozen, noise_dim = {"text": text_encoder(config, num_words)}, options.noise_dim
    return Twin(networks, frozen, turns, ("generator",), draw, noise_dim, noise(noise_dim))


def _widths(image_size: int, width: int) -> list[int]:
    return [width * min(1 << level, 8) for level in range((image_size // 4).bit_length())]


def _generator(image_size: int, width: int, noise_dim: int, told: int) -> Any:
    import torch
    from torch import nn
    from torch.nn import functional

    condition = noise_dim + told

    class Affine(nn.Module):
        def __init__(self, features):
            super().__init__()
            self.scale_hidden, self.shift_hidden = (nn.Linear(condition, features) for _ in range(2))
            self.scale, self.shift = (nn.Linear(features, features) for _ in range(2))

        def forward(self, x, code):
            scale = self.scale(self.scale_hidden(code).relu())[:, :, None, None]
            return torch.addcmul(self.shift(self.shift_hidden(code).relu())[:, :, None, None], scale, x)

    class Fusion(nn.Module):
        def __init__(self, features):
            super().__init__()
            self.first, self.second = Affine(features), Affine(features)

        def forward(self, x, code):
            x = functional.leaky_relu(self.first(x, code), 0.2)
            return functional.leaky_relu(self.second(x, code), 0.2)

    class Up(nn.Module):
        def __init__(self, a, b):
            super().__init__()
            self.fuse_1, self.fuse_2 = Fusion(a), Fusion(b)
            self.conv_1, self.conv_2 = nn.Conv2d(a, b, 3, padding=1), nn.Conv2d(b, b, 3, padding=1)
            self.shortcut = nn.Conv2d(a, b, 1) if a != b else nn.Identity()

        def forward(self, x, code):
            y = self.conv_1(functional.interpolate(self.fuse_1(x, code), scale_factor=2))
            y = self.conv_2(self.fuse_2(y, code))
            return y + functional.interpolate(self.shortcut(x), scale_factor=2)

    class Generator(nn.Module):
        def __init__(self):
            super().__init__()
            widths = _widths(image_size, width)[::-1]
            self.channels = widths[0]
            self.begin = nn.Linear(noise_dim, 16 * widths[0])
            self.blocks = nn.ModuleList(Up(a, b) for a, b in itertools.pairwise(widths))
            self.last = nn.Conv2d(widths[-1], 3, 3, padding=1)

        def forward(self, noise, sentence):
            code = torch.cat([noise, sentence], 1)
            x = maps(self.begin(noise), self.channels)
            for block in self.blocks:
                x = block(x, code)
            return self.last(functional.leaky_relu(x, 0.2)).tanh()

    return Generator()


def _discriminator(image_size: int, width: int, told: int) -> Any:
    import torch
    from torch import nn
    from torch.nn import functional

    class Down(nn.Module):
        def __init__(self, a, b):
            super().__init__()
            self.conv_1 = nn.Conv2d(a, b, 4, 2, 1, bias=False)
            self.conv_2 = nn.Conv2d(b, b, 3, padding=1, bias=False)
            self.shortcut = nn.Conv2d(a, b, 1) if a != b else nn.Identity()
            self.gamma = nn.Parameter(torch.zeros(1))

        def forward(self, x):
            y = functional.leaky_relu(self.conv_1(x), 0.2)
            y = functional.leaky_relu(self.conv_2(y), 0.2)
            return self.shortcut(functional.avg_pool2d(x, 2)) + self.gamma * y

    class Discriminator(nn.Module):
        def __init__(self):
            super().__init__()
            widths = _widths(image_size, width)
            self.first = nn.Conv2d(3, widths[0], 3, padding=1)
            self.blocks = nn.ModuleList(Down(a, b) for a, b in itertools.pairwise(widths))
            self.joint = nn.Conv2d(widths[-1] + told, 2 * width, 3, padding=1, bias=False)
            self.last = nn.Conv2d(2 * width, 1, 4, bias=False)

        def look(self, x):
            x = self.first(x)
            for block in self.blocks:
                x = block(x)
            return x

        def judge(self, seen, sentence):
            return self.last(functional.leaky_relu(self.joint(tiled(seen, sentence)), 0.2)).flatten()

    return Discriminator()
