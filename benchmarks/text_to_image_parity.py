r"""Networks that paint from texts beside their public code, on the same random weights.

    python -m benchmarks.text_to_image_parity --peers=FOLDER

The folder holds checkouts of the public repositories, under their own names; none of them is part of this project:

| folder | networks |
|---|---|
| DF-GAN | generator and discriminator of 256 pixels, the text encoder and the image encoder of DAMSM |
| AttnGAN | generators and discriminators of 64, 128 and 256 pixels in both published sizes, the text encoder |

Both are compared once more from their published files on, as `experiments.text_to_image.published` takes them: the
public code writes a generator, the text encoder and the pickle of words, and texts become pictures on both sides.

Random weights are written by PyTorch into files, which ours reads. A Markdown table of the largest difference of the
outputs over their largest value, and the number of parameters on both sides; where ours has no use for some of theirs,
their number is taken off and the line says which. What is missing is named as absent. Ends with status 1 where a
difference is larger than 1e-4 or numbers of parameters differ.

A generator of AttnGAN is compared with its batch's masks as its public code lays them, and with our own masks one text
at a time, where both are the same; once in training mode, with statistics of the batch.
"""

import functools
import pathlib
import pickle
import re
import sys
import tempfile
import types
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from absl import app
from flax import nnx

from benchmarks import public_code
from benchmarks.public_code import Check, Found
from experiments.text_to_image import measures, painters
from gentoolkit.models.text import recurrent
from gentoolkit.models.text_to_image import attngan, damsm, dfgan

_WORDS, _NUM_WORDS = 18, 1000
_SAID = ["This bird is zebra red, with a short beak.", "small blue wings"]  # with a word that is not known
_KNOWN = "this bird is red with a short beak small blue wings belly".split()
_LENGTHS = np.array([18, 9, 3])  # the longest first, as the public code wants them


def main(argv: list[str]) -> None:
    """Prints the table."""
    if len(argv) > 1:
        raise app.UsageError(f"no arguments are taken, got {argv[1:]}.")
    both = ("torch", "torchvision")
    checks = [
        Check("DF-GAN", "code/models/GAN.py", _dfgan),
        Check("DF-GAN", "code/models/DAMSM.py", _damsm, both),
        Check("AttnGAN", "code/model.py", _attngan, both),
        Check("DF-GAN", "code/models/GAN.py", _dfgan_files, both),
        Check("AttnGAN", "code/model.py", _attngan_files, both),
    ]
    sys.exit(1 if public_code.compare(checks) else 0)


def _dfgan(path: pathlib.Path) -> Iterator[Found]:
    theirs = public_code.imported(path)
    noise, sentence = _normal(3, 100), _normal(3, 256, seed=1)
    peer = _dfgan_painter(theirs)
    ours, *counts = public_code.moved(peer, dfgan.Generator, dfgan.generator_table())
    yield Found("generator, 256", public_code.run(ours, noise, sentence), _called(peer, noise, sentence), *counts)
    peer = _both(theirs.NetD(32, 256), theirs.NetC(32, 256))
    images = public_code.images(256, 256, 3)
    ours, *counts = public_code.moved(peer, dfgan.Discriminator, dfgan.discriminator_table(), ignore=dfgan.UNUSED)
    yield Found(
        "discriminator, 256 (without shortcuts that stand there unused)",
        public_code.run(ours, images, sentence),
        [_called(peer, images, sentence).flatten()],
        *counts,
        without=sum(p.numel() for b in peer.DBlocks if not b.learned_shortcut for p in b.conv_s.parameters()),
    )


def _dfgan_painter(theirs: Any) -> Any:
    smaller = {"linear2.weight": 0.1, "to_rgb.1.weight": 0.01}
    return _calmed(theirs.NetG(32, 100, 256, 256, 3), smaller, around_one="fc_gamma.linear2.bias")


def _calmed(peer: Any, factors: dict[str, float], *, around_one: str = "") -> Any:
    """Random weights, those whose names end so made smaller or one larger.

    With all of one size the last tanh would be 1 or -1 nearly everywhere (where nothing shows) and attention all of one
    word; both magnify rounding, to differences of 1e-3 between PyTorch's own float32 and float64 too.
    """
    import torch

    public_code.restless(peer)
    with torch.no_grad():
        for name, parameter in peer.named_parameters():
            for end, factor in factors.items():
                if name.endswith(end):
                    parameter.mul_(factor)
            if around_one and name.endswith(around_one):
                parameter.add_(1.0)
    return peer


def _both(look: Any, judge: Any) -> Any:
    """Their two halves of a discriminator as one network with the names of both."""
    import torch

    class Whole(torch.nn.Module):
        def __init__(self):
            super().__init__()
            for part in (look, judge):
                for name, child in part.named_children():
                    self.add_module(name, child)

        def forward(self, images, sentence):
            return judge(look(images), sentence)

    return public_code.restless(Whole())


def _damsm(path: pathlib.Path) -> Iterator[Found]:
    theirs = public_code.imported(path)
    yield _text_encoder(theirs)
    peer = public_code.restless(theirs.CNN_ENCODER(256))
    make = damsm.InceptionEncoder
    ours, *counts = public_code.moved(peer, make, damsm.inception_table(), ignore=("*.num_batches_tracked",))
    images = public_code.images(64, 64)
    regions, picture = _called(peer, images)
    yield Found(
        "image encoder (of each norm that is in a kernel here ours has the bias)",
        public_code.run(ours, images),
        [regions.flatten(2).transpose(1, 2), picture],
        *counts,
        without=sum(p.numel() for name, p in peer.named_parameters() if name.endswith("bn.weight")),
    )


def _attngan(path: pathlib.Path) -> Iterator[Found]:
    theirs, cfg = _attngan_code(path)
    yield _text_encoder(theirs)
    for name, sizes in (("CUB", attngan.CUB), ("COCO", attngan.COCO)):
        cfg.GAN.GF_DIM, cfg.GAN.DF_DIM, cfg.GAN.R_NUM = sizes["width"], sizes["judge_width"], sizes["num_residual"]
        yield from _painters(theirs, name, sizes)
        for size, judge in ((64, theirs.D_NET64), (128, theirs.D_NET128), (256, theirs.D_NET256)):
            yield _judged(judge(), name, sizes, size)


def _attngan_code(path: pathlib.Path) -> tuple[Any, Any]:
    cfg = types.SimpleNamespace(
        CUDA=False,
        RNN_TYPE="LSTM",
        TEXT=types.SimpleNamespace(WORDS_NUM=_WORDS, EMBEDDING_DIM=256),
        GAN=types.SimpleNamespace(Z_DIM=100, CONDITION_DIM=100),
        TREE=types.SimpleNamespace(BRANCH_NUM=3),
    )
    beside = public_code.imported(path.with_name("GlobalAttention.py"))
    stand_ins = {
        "miscc": public_code.module_of("miscc", __path__=[]),
        "miscc.config": public_code.module_of("miscc.config", cfg=cfg),
        "GlobalAttention": beside,
    }
    return public_code.imported(path, stand_ins), cfg


def _dfgan_files(path: pathlib.Path) -> Iterator[Found]:
    peer, encoder = _dfgan_painter(public_code.imported(path)), public_code.imported(path.with_name("DAMSM.py"))
    held = {"model": {"netG": peer.state_dict()}, "optimizers": {}, "epoch": 1220}

    def paint(noise: Any, sentence: Any, words: Any) -> Any:
        return peer(noise, sentence)

    yield _of_files(encoder, held, paint, peer, "state_epoch_1220.pth", "captions_DAMSM.pickle")


def _attngan_files(path: pathlib.Path) -> Iterator[Found]:
    import torch

    theirs, cfg = _attngan_code(path)
    cfg.GAN.GF_DIM, cfg.GAN.DF_DIM, cfg.GAN.R_NUM = 32, 64, 2
    peer = _calmed(theirs.G_NET(), {"conv_context.weight": 0.1, "img.0.weight": 0.3})

    def paint(noise: Any, sentence: Any, words: Any) -> Any:
        # Theirs draws the jitter of the code of a sentence inside; it is given here.
        peer.ca_net.reparametrize = lambda mean, log_variance: mean + torch.exp(log_variance / 2) * noise[:, 100:]
        return peer(noise[:, :100], sentence, words, torch.zeros(1, words.shape[2], dtype=torch.bool))[0][-1]

    yield _of_files(theirs, peer.state_dict(), paint, peer, "bird_AttnGAN2.pth", "captions.pickle")


def _of_files(theirs: Any, held: Any, paint: Callable[..., Any], peer: Any, file: str, of_words: str) -> Found:
    """Texts to pictures, by files that the public code writes."""
    import torch

    encoder = public_code.restless(theirs.RNN_ENCODER(len(_KNOWN) + 1, nhidden=256))
    by_number = {0: "<end>"} | dict(enumerate(_KNOWN, 1))
    numbers = {word: number for number, word in by_number.items()}
    with tempfile.TemporaryDirectory() as folder:
        place = pathlib.Path(folder)
        torch.save(held, place / file)
        torch.save(encoder.state_dict(), place / "text_encoder200.pth")
        (place / of_words).write_bytes(pickle.dumps([[], [], by_number, numbers], 2))
        painter = painters.load(place)
    encoded, _ = painter.read(_SAID)
    noise = painters.noise(painter, len(_SAID), seed=0)
    ours = measures.paint(painter.system, painter.models, encoded, noise=noise)
    painted = []
    for row, text in enumerate(_SAID):
        tokens = [numbers[word] for word in re.findall(r"\w+", text.lower()) if word in numbers]
        with torch.no_grad():
            given = torch.tensor([tokens]), torch.tensor([len(tokens)]), encoder.init_hidden(1)
            words, sentence = encoder(*given)
            painted.append(paint(public_code.tensor(noise[row : row + 1]), sentence, words))
    (network,) = painter.models.values()
    count = sum(x.size for x in jax.tree.leaves(nnx.state(network, nnx.Param)))
    what = f"from {file} and a text to a picture"
    return Found(what, ours, torch.cat(painted), count, sum(p.numel() for p in peer.parameters()))


def _painters(theirs: Any, name: str, sizes: dict[str, int]) -> Iterator[Found]:
    import torch

    smaller = {"conv_context.weight": 0.1, "img.0.weight": 0.3}
    peer = _calmed(theirs.G_NET(), smaller)
    options = {"width": sizes["width"], "num_residual": sizes["num_residual"]}
    table = attngan.generator_table(num_residual=sizes["num_residual"])

    def moved(**more: bool) -> tuple[nnx.Module, int, int]:
        make = functools.partial(attngan.Generator, **options, **more)
        return public_code.moved(peer, make, table, ignore=attngan.IGNORED)

    noise, sentence, words = _normal(3, 100), _normal(3, 256, seed=1), _normal(3, _WORDS, 256, seed=2)
    valid = np.arange(_WORDS) < _LENGTHS[:, None]
    words = np.where(valid[..., None], words, 0).astype(np.float32)

    def paint(rows: slice) -> tuple[np.ndarray, Any]:
        """Their jitter, which comes from PyTorch's generator, and what they paint with it."""
        torch.manual_seed(1)
        jitter = torch.FloatTensor(len(noise[rows]), 100).normal_().numpy()
        torch.manual_seed(1)
        given = (noise[rows], sentence[rows], words[rows].transpose(0, 2, 1), ~valid[rows])
        return jitter, _called(peer, *given)

    ours, *counts = moved(legacy_mask=True)
    jitter, painted = paint(slice(None))
    found = public_code.run(ours, noise, jitter, sentence, words, valid)
    yield Found(f"generator of {name}, 3 texts with their mask", found, painted, *counts)
    if sizes == attngan.CUB:
        peer.train()
        ours.train()
        jitter, painted = paint(slice(None))
        found = public_code.run(ours, noise, jitter, sentence, words, valid)
        yield Found(f"generator of {name}, training mode", found, painted, *counts)
        _calmed(peer, smaller)  # what training mode has moved too
        ours, *counts = moved()
        alone = [paint(slice(row, row + 1)) for row in range(3)]
        painted = jax.tree.map(lambda *rows: torch.cat(rows), *(painted for _, painted in alone))
        jitter = np.concatenate([jitter for jitter, _ in alone])
        found = public_code.run(ours, noise, jitter, sentence, words, valid)
        yield Found(f"generator of {name}, 3 texts with our mask, theirs one by one", found, painted, *counts)


def _judged(peer: Any, name: str, sizes: dict[str, int], size: int) -> Found:
    import torch

    public_code.restless(peer)
    for head in (peer.UNCOND_DNET, peer.COND_DNET):
        head.outlogits = head.outlogits[:1]  # logits, before the sigmoid
    make = functools.partial(attngan.Discriminator, image_size=size, width=sizes["judge_width"])
    ours, *counts = public_code.moved(peer, make, attngan.discriminator_table(size), ignore=attngan.IGNORED)
    images, sentence = public_code.images(size, size, 3), _normal(3, 256)
    with torch.no_grad():
        features = peer(public_code.tensor(images))
        logits = peer.UNCOND_DNET(features), peer.COND_DNET(features, public_code.tensor(sentence))
    return Found(f"discriminator of {name}, {size}", public_code.run(ours, images, sentence), logits, *counts)


def _text_encoder(theirs: Any) -> Found:
    import torch

    peer = public_code.restless(theirs.RNN_ENCODER(_NUM_WORDS, nhidden=256))
    make: Callable[..., nnx.Module] = functools.partial(recurrent.Encoder, _NUM_WORDS, dropout=0.0)
    ours, *counts = public_code.moved(peer, make, recurrent.table())
    tokens = np.random.default_rng(0).integers(1, _NUM_WORDS, (3, _WORDS))
    tokens = np.where(np.arange(_WORDS) < _LENGTHS[:, None], tokens, 0)
    with torch.no_grad():
        words, sentence = peer(torch.from_numpy(tokens), torch.from_numpy(_LENGTHS), peer.init_hidden(3))
    return Found(
        "text encoder (of two biases that are added ours has the sum)",
        public_code.run(ours, tokens, _LENGTHS, call=lambda ours, *given: ours(*given)[:2]),
        [words.transpose(1, 2), sentence],
        *counts,
        without=sum(p.numel() for name, p in peer.named_parameters() if "bias_ih" in name),
    )


def _called(peer: Any, *inputs: np.ndarray) -> Any:
    import torch

    with torch.no_grad():
        return peer(*map(public_code.tensor, inputs))


def _normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


if __name__ == "__main__":
    app.run(main)
