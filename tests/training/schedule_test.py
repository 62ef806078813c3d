"""Lengths, learning rates and decays."""

import numpy as np
import pytest

from gentoolkit import training
from gentoolkit.training import ema

pytestmark = pytest.mark.fast


@pytest.mark.parametrize(
    ("options", "want"),
    [
        ({"steps": 7}, 7),
        ({"epochs": 3, "steps_per_epoch": 10}, 30),
        ({"epochs": 0.1, "steps_per_epoch": 30}, 3),
        ({"epochs": 0.01, "steps_per_epoch": 30}, 1),
    ],
)
def test_num_steps(options, want):
    assert training.num_steps(**options) == want


@pytest.mark.parametrize("options", [{}, {"steps": 1, "epochs": 1}, {"epochs": 1}, {"steps": 0}])
def test_num_steps_refuses(options):
    with pytest.raises(ValueError):
        training.num_steps(**options)


@pytest.mark.parametrize("decay", ["constant", "linear", "cosine", "exponential"])
def test_learning_rate(decay):
    """Rises from 0 to the peak, then never rises, and ends where it was told to."""
    rate = training.learning_rate(2.0, num_steps=100, decay=decay, warmup_steps=10, final_fraction=0.1)
    values = np.array([float(rate(step)) for step in range(101)])
    np.testing.assert_allclose(values[:11], np.linspace(0, 2, 11), rtol=1e-6)
    assert np.all(np.diff(values[10:]) <= 1e-6)
    np.testing.assert_allclose(values[100], 2.0 if decay == "constant" else 0.2, rtol=1e-4)


def test_learning_rate_refuses():
    with pytest.raises(ValueError, match="warmup_steps"):
        training.learning_rate(1.0, num_steps=5, warmup_steps=5)
    with pytest.raises(ValueError, match="decay"):
        training.learning_rate(1.0, num_steps=5, decay="cosinus")


def test_decays():
    names = ["a/kernel", "a/bias", "b/kernel"]
    assert ema.decays(None, names) == {}
    assert ema.decays(0.9, names) == dict.fromkeys(names, 0.9)
    assert ema.decays({"b": 0.5}, names) == {"b/kernel": 0.5}
