"""DAMSM in PyTorch: what reads texts, what looks at pictures, and how well the two match."""

import itertools
from typing import Any

from benchmarks.painters_torch.twin import Batch


def text_encoder(config: Any, num_words: int) -> Any:
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


def image_encoder(config: Any) -> Any:
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
