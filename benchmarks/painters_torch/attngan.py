"""AttnGAN in PyTorch."""

import itertools
from collections.abc import Sequence
from typing import Any

from benchmarks.painters_torch.encoders import image_encoder, matching, text_encoder
from benchmarks.painters_torch.layers import maps, tiled
from benchmarks.painters_torch.twin import Turn, Twin, noise


def attngan(config: Any, num_words: int) -> Twin:
    """AttnGAN."""
    from torch.nn import functional

    options, told = config.attngan, config.text.features
    sizes = [config.image_size >> level for level in range(options.num_stages)][::-1]
    networks: dict[str, Any] = {"paint": _generator(sizes, options, told)}
    networks |= {f"judge_{size}": _discriminator(size, options.judge_width, told) for size in sizes}
    frozen = {"text": text_encoder(config, num_words), "images": image_encoder(config)}

    def painted(batch):
        z, jitter = batch["noise"][:, : options.noise_dim], batch["noise"][:, options.noise_dim :]
        return networks["paint"](z, jitter, batch["sentence"], batch["words"], batch["valid"])

    def painting(batch):
        images, mean, log_variance = painted(batch)
        loss = 0.5 * (mean.square() + log_variance.expm1() - log_variance).mean() * options.divergence
        for size, fake in zip(sizes, images, strict=True):
            judge = networks[f"judge_{size}"]
            seen = judge.look(fake)
            loss = loss + functional.softplus(-judge.judge_alone(seen)).mean()
            loss = loss + functional.softplus(-judge.judge(seen, batch["sentence"])).mean()
        loss = loss + options.damsm * matching(*frozen["images"](images[-1]), batch, config.damsm)
        return loss, {f"fake_{size}": fake for size, fake in zip(sizes, images, strict=True)}

    def judging(batch):
        loss, sentence = 0.0, batch["sentence"]
        for size in sizes:
            judge = networks[f"judge_{size}"]
            factor = config.image_size // size
            real = functional.avg_pool2d(batch["image"], factor) if factor > 1 else batch["image"]
            seen, fake = judge.look(real), judge.look(batch[f"fake_{size}"])
            right = [judge.judge_alone(seen), judge.judge(seen, sentence)]
            wrong = [judge.judge_alone(fake), judge.judge(fake, sentence), judge.judge(seen, sentence.roll(-1, 0))]
            loss = loss + sum(functional.softplus(-logits).mean() for logits in right) / 2
            loss = loss + sum(functional.softplus(logits).mean() for logits in wrong) / 3
        return loss, {}

    adam = {"lr": options.peak, "betas": (options.b1, options.b2)}
    turns = (
        Turn(("paint",), painting, adam),
        Turn(tuple(f"judge_{size}" for size in sizes), judging, adam),
    )
    noise_dim = options.noise_dim + options.condition_dim
    return Twin(networks, frozen, turns, ("paint",), lambda batch: painted(batch)[0][-1], noise_dim, noise(noise_dim))


def _generator(sizes: Sequence[int], options: Any, told: int) -> Any:
    import torch
    from torch import nn
    from torch.nn import functional

    width, condition_dim = options.width, options.condition_dim
    doublings = (sizes[0] // 4).bit_length() - 1

    def plain(a, b):
        return nn.Conv2d(a, b, 3, padding=1, bias=False)

    class Augmentation(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(told, 4 * condition_dim)

        def forward(self, sentence):
            return functional.glu(self.linear(sentence), 1).chunk(2, 1)

    class Up(nn.Module):
        def __init__(self, a, b):
            super().__init__()
            self.conv, self.norm = plain(a, 2 * b), nn.BatchNorm2d(2 * b)

        def forward(self, x):
            return functional.glu(self.norm(self.conv(functional.interpolate(x, scale_factor=2))), 1)

    class Residual(nn.Module):
        def __init__(self, features):
            super().__init__()
            self.conv_1, self.norm_1 = plain(features, 2 * features), nn.BatchNorm2d(2 * features)
            self.conv_2, self.norm_2 = plain(features, features), nn.BatchNorm2d(features)

        def forward(self, x):
            return x + self.norm_2(self.conv_2(functional.glu(self.norm_1(self.conv_1(x)), 1)))

    class First(nn.Module):
        def __init__(self):
            super().__init__()
            self.channels = width << doublings
            self.linear = nn.Linear(condition_dim + options.noise_dim, 32 * self.channels, bias=False)
            self.norm = nn.BatchNorm1d(32 * self.channels)
            widths = [width << level for level in range(doublings, -1, -1)]
            self.blocks = nn.ModuleList(Up(a, b) for a, b in itertools.pairwise(widths))

        def forward(self, code):
            x = maps(functional.glu(self.norm(self.linear(code)), 1), self.channels)
            for block in self.blocks:
                x = block(x)
            return x

    class Look(nn.Module):
        def __init__(self):
            super().__init__()
            self.project = nn.Linear(told, width, bias=False)

        def forward(self, x, words, valid):
            words = self.project(words)
            scores = words @ x.flatten(2)
            shares = scores.masked_fill(~valid[:, :, None], -torch.inf).softmax(1)
            return (words.transpose(1, 2) @ shares).view_as(x)

    class Next(nn.Module):
        def __init__(self):
            super().__init__()
            self.look, self.up = Look(), Up(2 * width, width)
            self.blocks = nn.ModuleList(Residual(2 * width) for _ in range(options.num_residual))

        def forward(self, x, words, valid):
            x = torch.cat([x, self.look(x, words, valid)], 1)
            for block in self.blocks:
                x = block(x)
            return self.up(x)

    class Generator(nn.Module):
        def __init__(self):
            super().__init__()
            self.augment, self.first = Augmentation(), First()
            self.next = nn.ModuleList(Next() for _ in sizes[1:])
            self.paint = nn.ModuleList(plain(width, 3) for _ in sizes)

        def forward(self, noise, jitter, sentence, words, valid):
            mean, log_variance = self.augment(sentence)
            x = self.first(torch.cat([mean + (log_variance / 2).exp() * jitter, noise], 1))
            images = [self.paint[0](x).tanh()]
            for stage, paint in zip(self.next, self.paint[1:], strict=True):
                x = stage(x, words, valid)
                images.append(paint(x).tanh())
            return images, mean, log_variance

    return Generator()


def _discriminator(image_size: int, width: int, told: int) -> Any:
    from torch import nn
    from torch.nn import functional

    class Normed(nn.Module):
        def __init__(self, a, b, size, stride=1):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(a, b, size, stride, 1, bias=False), nn.BatchNorm2d(b)

        def forward(self, x):
            return functional.leaky_relu(self.norm(self.conv(x)), 0.2)

    class Discriminator(nn.Module):
        def __init__(self):
            super().__init__()
            down = [width << level for level in range((image_size // 4).bit_length() - 1)]
            trunk = 8 * width
            level = [down[-1], trunk] if down[-1] < trunk else [trunk << n for n in range(len(down) - 4, -1, -1)]
            self.first = nn.Conv2d(3, width, 4, 2, 1, bias=False)
            self.halve = nn.ModuleList(Normed(a, b, 4, 2) for a, b in itertools.pairwise(down))
            self.even = nn.ModuleList(Normed(a, b, 3) for a, b in itertools.pairwise(level))
            self.alone, self.matched = (nn.Conv2d(trunk, 1, 4) for _ in range(2))
            self.joint = Normed(trunk + told, trunk, 3)

        def look(self, x):
            x = functional.leaky_relu(self.first(x), 0.2)
            for block in (*self.halve, *self.even):
                x = block(x)
            return x

        def judge_alone(self, seen):
            return self.alone(seen).flatten()

        def judge(self, seen, sentence):
            return self.matched(self.joint(tiled(seen, sentence))).flatten()

    return Discriminator()
