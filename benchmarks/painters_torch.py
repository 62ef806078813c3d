"""The systems of text to picture in PyTorch, written plainly: the peers of `painters_bench`.

Layers have the names of ours, so that `load` can give both sides the same weights. What an affine map, a leaky ReLU or
a convolution of 1 x 1 does to a pixel it does to its copies: as in ours, and unlike the public code, they stand before
the doubling, at a quarter of the work. Pictures are `[b, channels, h, w]` here.
"""

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


_MEETINGS = 4  # of a code and noises in a step of the VAE's flow


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


def dfgan(config: Any, num_words: int) -> Twin:
    """DF-GAN, of a configuration of `experiments.text_to_image`."""
    import torch

    options, told = config.dfgan, config.text.features
    networks = {
        "generator": _dfgan_generator(config.image_size, options.width, options.noise_dim, told),
        "discriminator": _dfgan_discriminator(config.image_size, options.width, told),
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
    frozen, noise_dim = {"text": _text(config, num_words)}, options.noise_dim
    return Twin(networks, frozen, turns, ("generator",), draw, noise_dim, _noise(noise_dim))


def attngan(config: Any, num_words: int) -> Twin:
    """AttnGAN."""
    from torch.nn import functional

    options, told = config.attngan, config.text.features
    sizes = [config.image_size >> level for level in range(options.num_stages)][::-1]
    networks: dict[str, Any] = {"paint": _attngan_generator(sizes, options, told)}
    networks |= {f"judge_{size}": _attngan_discriminator(size, options.judge_width, told) for size in sizes}
    frozen = {"text": _text(config, num_words), "images": _images(config)}

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
    return Twin(networks, frozen, turns, ("paint",), lambda batch: painted(batch)[0][-1], noise_dim, _noise(noise_dim))


def vae(config: Any, num_words: int) -> Twin:
    """The variational auto-encoder, with the flow of its codes; what reads texts is not trained."""
    import torch

    options, told = config.vae, config.text.features
    networks = {
        "encoder": _vae_encoder(config.image_size, options.width, options.noise_dim, told),
        "generator": _vae_generator(config.image_size, options.width, options.noise_dim, told),
        "flow": _vae_flow(options.noise_dim, told, options.flow_width),
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
    frozen = {"text": _text(config, num_words)}
    return Twin(networks, frozen, turns, ("generator", "flow"), draw, options.noise_dim, random)


SYSTEMS = {"dfgan": dfgan, "attngan": attngan, "vae": vae}


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


def _noise(features: int) -> Callable[[int], Batch]:
    """Draws noise, for systems that draw nothing else."""
    import torch

    return lambda size: {"noise": torch.randn(size, features)}


def parameters(modules: Sequence[Any]) -> int:
    """How many numbers are trained."""
    return sum(parameter.numel() for module in modules for parameter in module.parameters())


def word_scores(regions: Any, words: Any, lengths: Any, gamma_1: float, gamma_2: float) -> Any:
    """Scores `[m, b]` by a loop over texts, each cut to its length, as in AttnGAN's public code.

    The sums over words are taken in one product for all pictures, instead of with each word repeated for each picture.

    Args:
      regions: `[m, n, d]`.
      words: `[b, t, d]`.
      lengths: `[b]`.
      gamma_1: sharpness of a word's look.
      gamma_2: sharpness of the sum over words.
    """
    import torch

    scores = []
    for text, length in zip(words, lengths.tolist(), strict=True):
        text = text[:length]
        shares = (regions @ text.T).softmax(2)
        weights = (gamma_1 * shares).softmax(1)
        found = weights.transpose(1, 2) @ regions
        cosines = torch.nn.functional.cosine_similarity(found, text[None], dim=2, eps=1e-8)
        scores.append((gamma_2 * cosines).logsumexp(1))
    return torch.stack(scores, 1)


def matching(regions: Any, picture: Any, batch: Batch, options: Any) -> Any:
    """DAMSM's four cross-entropies."""
    import torch
    from torch.nn import functional

    words = word_scores(regions, batch["words"], batch["valid"].sum(1), options.gamma_1, options.gamma_2)
    sentences = functional.normalize(picture, dim=1) @ functional.normalize(batch["sentence"], dim=1).T
    pairs = torch.arange(len(words))
    return sum(
        functional.cross_entropy(options.gamma_3 * scores, pairs)
        for both in (words, sentences)
        for scores in (both, both.T)
    )


def _text(config: Any, num_words: int) -> Any:
    """Word vectors and an LSTM in both directions."""
    import torch
    from torch import nn
    from torch.nn.utils import rnn

    features, embedding = config.text.features, config.text.embedding

    class Encoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(num_words, embedding)
            self.lstm = nn.LSTM(embedding, features // 2, batch_first=True, bidirectional=True)

        def forward(self, tokens, lengths):
            packed = rnn.pack_padded_sequence(
                self.embed(tokens), lengths.long(), batch_first=True, enforce_sorted=False
            )
            states, (ends, _) = self.lstm(packed)
            words, _ = rnn.pad_packed_sequence(states, batch_first=True, total_length=tokens.shape[1])
            valid = torch.arange(tokens.shape[1]) < lengths[:, None]
            return {"words": words, "sentence": torch.cat([ends[0], ends[1]], 1), "valid": valid}

    return Encoder()


def _images(config: Any) -> Any:
    """Four convolutions to 8 x 8 regions."""
    from torch import nn

    widths = [config.damsm.width << level for level in range(4)]
    halvings = (config.image_size // 8).bit_length() - 1
    features = config.text.features

    class Encoder(nn.Module):
        def __init__(self):
            super().__init__()
            kinds = [(4, 2) if block < halvings else (3, 1) for block in range(4)]
            self.layers = nn.ModuleList(
                nn.Conv2d(a, b, size, stride, 1, bias=False)
                for (a, b), (size, stride) in zip(itertools.pairwise((3, *widths)), kinds, strict=True)
            )
            self.norms = nn.ModuleList(nn.BatchNorm2d(width) for width in widths)
            self.regions = nn.Linear(widths[-1], features, bias=False)
            self.picture = nn.Linear(widths[-1], features)

        def forward(self, x):
            for layer, norm in zip(self.layers, self.norms, strict=True):
                x = norm(layer(x)).relu()
            x = x.flatten(2).transpose(1, 2)
            return self.regions(x), self.picture(x.mean(1))

    return Encoder()


def _maps(x: Any, channels: int) -> Any:
    """Numbers of a linear layer, pixel by pixel, as maps of 4 x 4."""
    return x.reshape(len(x), 4, 4, channels).permute(0, 3, 1, 2)


def _tiled(x: Any, code: Any) -> Any:
    import torch

    return torch.cat([x, code[:, :, None, None].expand(-1, -1, *x.shape[2:])], 1)


def _dfgan_widths(image_size: int, width: int) -> list[int]:
    return [width * min(1 << level, 8) for level in range((image_size // 4).bit_length())]


def _dfgan_generator(image_size: int, width: int, noise_dim: int, told: int) -> Any:
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
            widths = _dfgan_widths(image_size, width)[::-1]
            self.channels = widths[0]
            self.begin = nn.Linear(noise_dim, 16 * widths[0])
            self.blocks = nn.ModuleList(Up(a, b) for a, b in itertools.pairwise(widths))
            self.last = nn.Conv2d(widths[-1], 3, 3, padding=1)

        def forward(self, noise, sentence):
            code = torch.cat([noise, sentence], 1)
            x = _maps(self.begin(noise), self.channels)
            for block in self.blocks:
                x = block(x, code)
            return self.last(functional.leaky_relu(x, 0.2)).tanh()

    return Generator()


def _dfgan_discriminator(image_size: int, width: int, told: int) -> Any:
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
            widths = _dfgan_widths(image_size, width)
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
            return self.last(functional.leaky_relu(self.joint(_tiled(seen, sentence)), 0.2)).flatten()

    return Discriminator()


def _attngan_generator(sizes: Sequence[int], options: Any, told: int) -> Any:
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
            x = _maps(functional.glu(self.norm(self.linear(code)), 1), self.channels)
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


def _attngan_discriminator(image_size: int, width: int, told: int) -> Any:
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
            return self.matched(self.joint(_tiled(seen, sentence))).flatten()

    return Discriminator()


def _vae_widths(image_size: int, width: int) -> list[int]:
    return [width * min(1 << level, 8) for level in range((image_size // 4).bit_length() - 1)]


def _vae_encoder(image_size: int, width: int, noise_dim: int, told: int) -> Any:
    from torch import nn
    from torch.nn import functional

    class Encoder(nn.Module):
        def __init__(self):
            super().__init__()
            widths = _vae_widths(image_size, width)
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
            x = functional.leaky_relu(last(self.joint(_tiled(x, sentence))), 0.2)
            return self.law(x.permute(0, 2, 3, 1).flatten(1)).chunk(2, 1)

    return Encoder()


def _vae_generator(image_size: int, width: int, noise_dim: int, told: int) -> Any:
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
            widths = [*_vae_widths(image_size, width)[::-1], width]
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
            x = first(_maps(self.begin(condition), first.norm.num_features), condition).relu()
            for layer, norm in zip(self.doublings, norms, strict=True):
                x = norm(layer(functional.interpolate(x, scale_factor=2)), condition).relu()
            return self.last(x).tanh()

    return Generator()


def _vae_flow(noise_dim: int, told: int, width: int) -> Any:
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
