import jax
import numpy as np
import pytest
from scipy import stats

from gentoolkit import evaluation
from gentoolkit.distances import directions as directions_lib
from gentoolkit.evaluation import latent

N, D = 400, 5


@pytest.fixture(scope="module")
def z():
    return np.random.default_rng(0).standard_normal((N, D)).astype(np.float32)


@pytest.fixture(scope="module")
def directions():
    return np.asarray(directions_lib.orthogonal(jax.random.key(0), 20, D))


@pytest.mark.fast
def test_codes_are_collected_in_order_without_the_filling(make):
    x = make.images(11)
    whole = make.flatten(x)
    np.testing.assert_array_equal(evaluation.codes(make.flatten, make.padded(x, 4)), whole)
    np.testing.assert_array_equal(evaluation.codes(make.flatten, make.plain(x), limit=6), whole[:6])
    seen = []
    evaluation.codes(lambda x: seen.append(len(x)) or make.flatten(x), make.padded(x, 4), limit=5)
    assert seen == [4, 4]  # no batch more than needed, each of full size


@pytest.mark.fast
def test_wrong_codes_are_refused_by_name(make):
    with pytest.raises(ValueError, match="encode must return codes"):
        evaluation.codes(lambda x: x, make.plain(make.images(3)))
    with pytest.raises(ValueError, match="limit must be >= 1"):
        evaluation.codes(make.flatten, make.plain(make.images(3)), limit=0)
    with pytest.raises(ValueError, match="z must be non-empty codes"):
        evaluation.mardia(np.zeros(3))
    for wrong in (np.zeros((4, 3)), np.zeros(2), np.zeros((0, 2))):
        with pytest.raises(ValueError, match=r"directions must be \[k, 2\]"):
            evaluation.sliced_wasserstein(np.zeros((5, 2)), wrong)


def test_normal_codes_look_normal(z, directions):
    result = evaluation.normality(z, directions)
    assert all(isinstance(value, float) for value in result.values())
    expected = D * (D + 2) * (D + 4) / N
    np.testing.assert_allclose(result["skewness_null"], expected, rtol=1e-6)
    np.testing.assert_allclose(result["skewness"], expected, rtol=0.5)  # five of its own deviations
    assert abs(result["normalized_kurtosis"]) < 3 * result["normalized_kurtosis_null_std"]
    assert min(result["skewness_p_value"], result["kurtosis_p_value"], result["ks_p_value"]) > 0.01
    assert result["ks_rejected"] < 0.3
    assert 0.5 < result["sliced_w2_squared"] / result["sliced_w2_squared_null"] < 2


def test_other_codes_are_told_apart_and_signed(z, directions):
    wide, narrow = evaluation.normality(1.3 * z, directions), evaluation.normality(0.7 * z, directions)
    assert wide["normalized_kurtosis"] > 0 > narrow["normalized_kurtosis"]
    for result in (wide, narrow):
        assert result["kurtosis_p_value"] < 1e-3 and result["ks_p_value"] < 1e-3
        # W2 of N(0, s^2) to N(0, 1) is |s - 1|; the sample adds a little.
        np.testing.assert_allclose(result["sliced_w2_squared"], 0.09, rtol=0.35)
    assert evaluation.mardia(z + np.float32(1))["skewness_p_value"] < 1e-3


def test_slices_agree_with_scipy(z, directions):
    tests = [stats.kstest((z @ v).astype(np.float64), "norm") for v in directions]
    result = evaluation.kolmogorov_smirnov(z, directions)
    np.testing.assert_allclose(result["ks_mean"], np.mean([t.statistic for t in tests]), rtol=1e-5)
    np.testing.assert_allclose(result["ks_rejected"], np.mean([t.pvalue < 0.05 for t in tests]))


def test_slices_are_projected_and_sorted_once_for_all_statistics(z, directions):
    """On a CPU the sort is a call of its own in the compiled program: there is one."""
    program = latent._slices.lower(z, directions).compile().as_text()
    assert program.count("custom_call_target=") == 1


def test_nothing_compiles_twice(z, directions):
    evaluation.normality(z, directions)
    sizes = latent._mardia._cache_size(), latent._slices._cache_size()
    evaluation.normality(z + np.float32(1), directions)
    assert (latent._mardia._cache_size(), latent._slices._cache_size()) == sizes


def test_not_a_number_is_not_hidden(z, directions):
    bad = z.copy()
    bad[3, 0] = np.nan
    result = evaluation.normality(bad, directions)
    null = {"skewness_null", "normalized_kurtosis_null_std", "sliced_w2_squared_null"}
    assert all(np.isnan(value) for name, value in result.items() if name not in null)
