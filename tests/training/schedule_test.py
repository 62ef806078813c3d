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


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "exactly one"),
        ({"steps": 1, "epochs": 1}, "exactly one"),
        ({"epochs": 1}, "steps_per_epoch"),
        ({"steps": 0}, "steps must be a positive number of steps, got 0"),
        ({"steps": 1.5, "name": "config.num_steps"}, "config.num_steps must be a whole number"),
        ({"epochs": 0, "steps_per_epoch": 3, "name": "config.evaluate_epochs"}, "config.evaluate_epochs .* got 0"),
        ({"epochs": float("nan"), "steps_per_epoch": 3}, "epochs must be a positive number of epochs, got nan"),
        ({"epochs": float("inf"), "steps_per_epoch": 3}, "got inf"),
    ],
)
def test_num_steps_refuses(options, words):
    with pytest.raises(training.OptionError, match=words):
        training.num_steps(**options)


@pytest.mark.parametrize("decay", ["constant", "linear", "cosine", "exponential"])
def test_learning_rate(decay):
    """Rises from 0 to the peak, then never rises, and ends where it was told to."""
    rate = training.learning_rate(2.0, num_steps=100, decay=decay, warmup_steps=10, final_fraction=0.1)
    values = np.array([float(rate(step)) for step in range(101)])
    np.testing.assert_allclose(values[:11], np.linspace(0, 2, 11), rtol=1e-6)
    assert np.all(np.diff(values[10:]) <= 1e-6)
    np.testing.assert_allclose(values[100], 2.0 if decay == "constant" else 0.2, rtol=1e-4)


@pytest.mark.parametrize(
    ("peak", "options", "words"),
    [
        (1.0, {"warmup_steps": 5}, "warmup_steps"),
        (1.0, {"decay": "cosinus"}, "decay"),
        (-1.0, {}, "peak must be a finite number >= 0"),
        (float("nan"), {}, "peak .* got nan"),
        (float("inf"), {}, "peak .* got inf"),
        (1.0, {"final_fraction": float("nan")}, "final_fraction .* got nan"),
        (1.0, {"final_fraction": 0.0, "decay": "exponential"}, "final_fraction must be a finite number > 0"),
    ],
)
def test_learning_rate_refuses(peak, options, words):
    with pytest.raises(training.OptionError, match=words):
        training.learning_rate(peak, num_steps=5, **options)


def test_decays():
    names = ["a/kernel", "a/bias", "b/kernel"]
    assert ema.decays(None, names) == {}
    assert ema.decays(0.9, names) == dict.fromkeys(names, 0.9)
    assert ema.decays({"b": 0.5}, names) == {"b/kernel": 0.5}


def test_a_held_peak_decays_to_zero_at_the_end():
    # As CycleGAN trains: half at the peak, half down to 0.
    rate = training.learning_rate(2.0, num_steps=200, decay="linear", hold_steps=100, final_fraction=0.0)
    assert [float(rate(step)) for step in (0, 99, 100, 150, 200)] == [2.0, 2.0, 2.0, 1.0, 0.0]
    warm = training.learning_rate(2.0, num_steps=40, decay="linear", warmup_steps=10, hold_steps=10, final_fraction=0.0)
    assert [float(warm(step)) for step in (0, 5, 10, 19, 20, 30, 40)] == [0.0, 1.0, 2.0, 2.0, 2.0, 1.0, 0.0]
    with pytest.raises(training.OptionError, match=r"hold_steps must be in \[0, 30\)"):
        training.learning_rate(2.0, num_steps=40, warmup_steps=10, hold_steps=30)
