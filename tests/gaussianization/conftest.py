"""Samples that the tests of Gaussianization share."""

import numpy as np
import pytest


def draw_circles(n, seed=0):
    """Four concentric circles, radii 1 to 4, radial noise 0.1, as many points as the circumference asks for."""
    rng = np.random.default_rng(seed)
    radius = rng.choice([1, 2, 3, 4], p=[0.1, 0.2, 0.3, 0.4], size=n) + 0.1 * rng.normal(size=n)
    angle = rng.uniform(0, 2 * np.pi, n)
    return np.float32(np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1))


@pytest.fixture
def circles():
    """`circles(n, seed)` draws a sample `[n, 2]`."""
    return draw_circles
