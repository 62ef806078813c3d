"""The systems of text to picture in PyTorch, written plainly: the peers of `painters_bench`.

Layers have the names of ours, so that `load` can give both sides the same weights. What an affine map, a leaky ReLU or
a convolution of 1 x 1 does to a pixel it does to its copies: as in ours, and unlike the public code, they stand before
the doubling, at a quarter of the work. Pictures are `[b, channels, h, w]` here.
"""

from benchmarks.painters_torch.attngan import attngan
from benchmarks.painters_torch.dfgan import dfgan
from benchmarks.painters_torch.encoders import word_scores
from benchmarks.painters_torch.twin import Twin, load, parameters, step
from benchmarks.painters_torch.vae import vae

SYSTEMS = {"dfgan": dfgan, "attngan": attngan, "vae": vae}

__all__ = ["SYSTEMS", "Twin", "load", "parameters", "step", "word_scores"]
