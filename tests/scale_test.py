"""Origin and unit of data: what float32 would round away is kept, outliers or not, and units are exact."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gentoolkit import _scale

pytestmark = pytest.mark.fast


def draws():
    return np.random.default_rng(0).normal(size=(1000, 2))


@pytest.mark.parametrize("outlier", [0.0, 1e12, -1e15])
def test_wide_data_keep_their_digits_next_to_an_outlier(outlier):
    x = draws()
    moved = x + np.array([1.7e9, -3e6])
    moved[7, 0] += outlier
    centered, center = _scale.center_on_host(moved)
    assert centered.dtype == np.float64 and center.shape == (1, 2)
    narrow = np.delete(centered.astype(np.float32), 7, axis=0)
    # 1.7e9 has steps of 2.4e-7 in float64.
    np.testing.assert_allclose(narrow - narrow[0], np.delete(x, 7, axis=0) - x[0], atol=2e-6)
    np.testing.assert_allclose(centered + center, moved, rtol=1e-15)


def test_what_loses_nothing_is_left_alone():
    for x in (np.float32(draws()), jnp.asarray(draws()), np.int16([[1], [2]])):
        assert _scale.center_on_host(x)[0] is x and _scale.center_on_host(x)[1] is None
    assert _scale.center_on_host([[3], [10**9]])[1] is not None
    with jax.enable_x64(True):
        assert _scale.center_on_host(draws())[1] is None
    many = np.arange(20_001.0)[:, None]
    assert abs(_scale.center_on_host(many)[1][0, 0] - 10_000) < 10  # of some thousand rows
    bad = np.array([[np.inf, 1.0], [np.inf, np.nan], [np.inf, 2.0]])
    np.testing.assert_array_equal(_scale.center_on_host(bad)[1], [[0, 0]])


@pytest.mark.parametrize("scale", [1e-37, 1e-30, 1.0, 3e38])
def test_the_unit_is_an_exact_power_of_two(scale):
    x = np.float32([[scale, -scale / 3], [0, scale / 7]])
    unit = np.asarray(_scale.unit(x, axes=-1))
    assert unit.shape == (2, 1) and (np.frexp(unit)[0] == 0.5).all()
    assert 0.5 <= np.abs(x[0] / unit[0]).max() < 4
    np.testing.assert_array_equal(_scale.unit(np.zeros((2, 3), np.float32)), [[1]])
    np.testing.assert_array_equal(_scale.unit(np.float32([np.nan, np.inf, 2])), _scale.unit(np.float32([2])))


def test_a_sample_that_float32_would_spoil_is_refused_by_name():
    for fine in (draws(), 1e3 * draws() + 1e5, np.exp(9 * draws()), np.float32(draws() + 1e6), np.ones((9, 2))):
        _scale.refuse_rounding(axis=-2, x=fine)
    moved = draws() + np.array([0, 1.7e9])
    with pytest.raises(ValueError, match=r"x loses its digits .* spreads over 1\.3.*median 1\.7"):
        _scale.refuse_rounding(axis=-2, x=moved)
    with pytest.raises(ValueError, match="y loses"):
        _scale.refuse_rounding(axis=-1, y=moved.T.tolist())
