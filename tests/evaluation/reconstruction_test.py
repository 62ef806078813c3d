import numpy as np
import pytest

from gentoolkit import evaluation

pytestmark = pytest.mark.fast


def test_perfect_reconstruction_is_zero(make):
    result = evaluation.reconstruction_error(lambda x: x, make.padded(make.images(7), 3))
    assert result == {"reconstruction_error": 0.0, "reconstruction_error_standard_error": 0.0}


def test_errors_are_summed_over_pixels_and_averaged_over_images(make):
    x = make.images(11)
    result = evaluation.reconstruction_error(lambda x: 0 * x, make.plain(x))
    each = np.square(x.astype(np.float64)).reshape(11, -1).sum(axis=1)
    np.testing.assert_allclose(result["reconstruction_error"], each.mean(), rtol=1e-12)
    np.testing.assert_allclose(result["reconstruction_error_standard_error"], each.std(ddof=1) / 11**0.5, rtol=1e-12)
    shifted = evaluation.reconstruction_error(lambda x: x + np.float32(0.5), make.plain(x))
    np.testing.assert_allclose(shifted["reconstruction_error"], 24 * 0.25, rtol=1e-6)


@pytest.mark.parametrize("batch_size", [1, 3, 11, 16])
def test_filled_up_batches_equal_whole_ones(make, batch_size):
    x = make.images(11)
    whole = evaluation.reconstruction_error(lambda x: 0.5 * x, make.plain(x))
    parts = evaluation.reconstruction_error(lambda x: 0.5 * x, make.padded(x, batch_size))
    for name, value in whole.items():
        np.testing.assert_allclose(parts[name], value, rtol=1e-12)


def test_one_image_has_no_standard_error(make):
    result = evaluation.reconstruction_error(lambda x: 0 * x, make.plain(make.images(1)))
    assert result["reconstruction_error"] > 0 and np.isnan(result["reconstruction_error_standard_error"])


def test_not_a_number_is_not_hidden(make):
    x = make.images(4)
    x[2, 0, 0, 0] = np.nan
    assert np.isnan(evaluation.reconstruction_error(lambda x: 0 * x, make.padded(x, 3))["reconstruction_error"])


def test_what_does_not_fit_is_refused_by_name(make):
    x = make.images(4)
    with pytest.raises(ValueError, match="no examples"):
        evaluation.reconstruction_error(lambda x: x, iter([]))
    with pytest.raises(ValueError, match="rebuilt must keep the shape"):
        evaluation.reconstruction_error(lambda x: x[..., :1], make.plain(x))
    with pytest.raises(ValueError, match="rebuilt must have one row"):
        evaluation.reconstruction_error(lambda x: x[:2], make.plain(x))
    with pytest.raises(ValueError, match="counts must be"):
        evaluation.reconstruction_error(lambda x: x, [{"image": x, "counts": [True]}])
