import jax
import numpy as np
import pytest
import scipy.linalg

from gentoolkit import evaluation
from gentoolkit.evaluation import frechet


def test_moments_are_those_of_the_whole_set_however_it_is_cut(make):
    x = make.images(23)
    features = make.flatten(x).astype(np.float64)
    for batches in (make.plain(x), make.padded(x, 5), make.padded(x, 32), make.padded(x, 1)):
        num, mean, cov = evaluation.feature_moments(make.flatten, batches)
        assert num == 23
        np.testing.assert_allclose(mean, features.mean(axis=0), rtol=1e-12)
        np.testing.assert_allclose(cov, np.cov(features, rowvar=False), rtol=1e-10, atol=1e-14)


def test_the_same_set_is_at_distance_zero_and_a_shifted_one_at_its_square(make):
    x = make.images(60)
    here = evaluation.feature_moments(make.flatten, make.plain(x))
    result = evaluation.frechet_distance(here, here, features_name="pixels")
    assert result.keys() == {"frechet_pixels", "frechet_pixels_num_samples", "frechet_pixels_num_images"}
    assert 0 <= result["frechet_pixels"] < 1e-6 * np.trace(here.cov)
    assert result["frechet_pixels_num_samples"] == result["frechet_pixels_num_images"] == 60
    there = evaluation.feature_moments(lambda x: make.flatten(x) + np.float32(2), make.padded(x, 32))
    shifted = evaluation.frechet_distance(there, here, features_name="pixels")["frechet_pixels"]
    np.testing.assert_allclose(shifted, 24 * 4, rtol=1e-5)


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_two_sets_agree_with_the_textbook_formula(make, scale):
    # Few features, so that both covariances have full rank.
    def features(x):
        return make.flatten(x)[:, :6] * np.float32(scale)

    first = evaluation.feature_moments(features, make.plain(make.images(50)))
    second = evaluation.feature_moments(features, make.plain(make.images(40, seed=1) ** 2))
    root = scipy.linalg.sqrtm(first.cov @ second.cov).real
    expected = np.sum((first.mean - second.mean) ** 2) + np.trace(first.cov + second.cov - 2 * root)
    result = evaluation.frechet_distance(first, second, features_name="pixels")
    np.testing.assert_allclose(result["frechet_pixels"], expected, rtol=1e-4)
    assert (result["frechet_pixels_num_samples"], result["frechet_pixels_num_images"]) == (50, 40)


def test_decoded_draws_are_as_many_as_asked_for_and_the_same_each_time(make):
    shapes = set()

    def decode(z):
        shapes.add(z.shape)
        return z.reshape(-1, 2, 2, 1)

    batches = evaluation.decoded_prior(jax.random.key(0), decode, num=1000, latent_dim=4, batch_size=300)
    num, mean, cov = evaluation.feature_moments(make.flatten, batches)
    assert num == 1000 and shapes == {(300, 4)}
    np.testing.assert_allclose(mean, np.zeros(4), atol=5 / 1000**0.5)
    np.testing.assert_allclose(cov, np.eye(4), atol=7 / 1000**0.5)
    np.testing.assert_array_equal(evaluation.feature_moments(make.flatten, batches).mean, mean)
    first, second = [np.asarray(batch["image"]) for batch in batches][:2]
    assert not np.any(first == second)


@pytest.mark.fast
def test_parts_of_the_prior_make_up_the_whole_and_decode_to_its_images():
    options = {"num": 7, "latent_dim": 3, "batch_size": 4}
    whole = list(evaluation.prior(jax.random.key(0), **options))
    parts = [evaluation.prior(jax.random.key(0), process_index=p, process_count=2, **options) for p in (0, 1)]
    for batch, pieces in zip(whole, zip(*parts, strict=True), strict=True):
        for name in ("code", "counts"):
            np.testing.assert_array_equal(np.concatenate([piece[name] for piece in pieces]), batch[name])
    assert sum(batch["counts"].sum() for batch in whole) == 7
    decoded = list(evaluation.decoded_prior(jax.random.key(0), lambda z: 2 * z, **options))
    np.testing.assert_array_equal(decoded[1]["image"], 2 * whole[1]["code"])
    with pytest.raises(ValueError, match="must divide batch_size = 4, got process_count = 3"):
        evaluation.prior(jax.random.key(0), process_count=3, **options)


def test_nothing_compiles_twice(make):
    here = evaluation.feature_moments(make.flatten, make.plain(make.images(9)))
    evaluation.frechet_distance(here, here, features_name="pixels")
    size = frechet._frechet._cache_size()
    evaluation.frechet_distance(here, here._replace(num=5), features_name="pixels")
    assert frechet._frechet._cache_size() == size


@pytest.mark.fast
def test_what_does_not_fit_is_refused_by_name(make):
    here = evaluation.feature_moments(make.flatten, make.plain(make.images(9)))
    with pytest.raises(ValueError, match="features_name"):
        evaluation.frechet_distance(here, here, features_name="FID")
    other = evaluation.feature_moments(lambda x: make.flatten(x)[:, :1], make.plain(make.images(9)))
    with pytest.raises(ValueError, match="same features"):
        evaluation.frechet_distance(here, other, features_name="pixels")
    with pytest.raises(ValueError, match="at least two images"):
        evaluation.feature_moments(make.flatten, make.padded(make.images(1), 4))
    with pytest.raises(ValueError, match="features must be"):
        evaluation.feature_moments(lambda x: x, make.plain(make.images(2)))
    with pytest.raises(ValueError, match="num must be >= 1"):
        evaluation.decoded_prior(jax.random.key(0), lambda z: z, num=0, latent_dim=2, batch_size=2)


def test_not_a_number_is_not_hidden(make):
    x = make.images(9)
    x[1, 0, 0, 0] = np.nan
    bad = evaluation.feature_moments(make.flatten, make.plain(x))
    assert np.isnan(evaluation.frechet_distance(bad, bad, features_name="pixels")["frechet_pixels"])
