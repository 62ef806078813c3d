"""Streams of random images, padded or not."""

import types

import numpy as np
import pytest


def _images(num, *, shape=(4, 3, 2), seed=0):
    return np.random.default_rng(seed).random((num, *shape), np.float32)


def _padded(x, batch_size):
    batches = []
    for start in range(0, len(x), batch_size):
        part = x[start : start + batch_size]
        filler = np.full((batch_size - len(part), *x.shape[1:]), 1e3, np.float32)
        batches.append({"image": np.concatenate([part, filler]), "counts": np.arange(batch_size) < len(part)})
    return batches


@pytest.fixture
def make():
    """`images(num)`; `plain(x)` is one batch; `padded(x, size)` fills up with rows that would spoil every number."""
    return types.SimpleNamespace(
        images=_images,
        plain=lambda x: [{"image": x}],
        padded=_padded,
        flatten=lambda x: np.asarray(x).reshape(len(x), -1),
    )
