"""Small made-up data sets, and the genuine ones where they are at hand."""

import os
import pathlib
import socket

import numpy as np
import pytest

from gentoolkit.data import columns

_BESIDE = pathlib.Path(__file__).parents[3] / "shared" / "data"


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """No test of data may so much as ask for an address."""

    def refuse(*args, **kwargs):
        raise AssertionError(f"asked for the network: {args}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture
def genuine():
    """The folder with the user's own data sets, or a skip that says what is missing."""

    def find(relative: str) -> pathlib.Path:
        for folder in filter(None, (os.environ.get("GENTOOLKIT_DATA"), str(_BESIDE))):
            if (pathlib.Path(folder) / relative).exists():
                return pathlib.Path(folder)
        pytest.skip(f"{relative} is neither in $GENTOOLKIT_DATA nor in {_BESIDE}")

    return find


@pytest.fixture
def images():
    """Twenty-three small RGB images, all different."""
    return np.random.default_rng(0).integers(0, 256, (23, 6, 5, 3), np.uint8)


@pytest.fixture
def source(images):
    """The same with labels, in memory."""
    return columns.images(images, np.arange(23) % 4, class_names="abcd", description="made up")
