import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gentoolkit.gaussian_process import covariance, evidence, posterior
from gentoolkit.imaging import color, degradation, patches
from gentoolkit.imaging.gp_enhancement import improved, published, tone_map

KEY = jax.random.key(0)
apply = jax.jit(tone_map.apply)


def fit(key, image, reference, **options):
    """One image size, patches of one pixel, 30 clusters: k-means, the search and the posterior are compiled once.

    Untraced, these are programs of their own, and all options that do not change a shape share them.
    """
    return tone_map.fit(key, image, reference, **{"num_clusters": 30, "patch_size": 1, **options})


@functools.cache
def photograph(height=24, width=18, channels=3, seed=0):
    """A smooth random image that spans [0, 1]."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:height, 0:width] / max(height, width)
    waves = [np.sin(2 * np.pi * (a * rows + b * columns + p)) for a, b, p in rng.uniform(-2, 2, (4 * channels, 3))]
    image = np.stack(waves, -1).reshape(height, width, channels, 4).sum(-1)
    image = (image - image.min((0, 1))) / np.ptp(image, (0, 1))
    return jnp.asarray(image, jnp.float32)


@functools.cache
def darkened(gamma, num_bits=None):
    """Of `photograph()`; one exponent, or one for each channel."""
    gammas = jnp.broadcast_to(jnp.asarray(gamma), (3,))
    return degradation.color_cast(photograph(), gammas, num_bits=num_bits)


@pytest.mark.parametrize("shift", [0.0, 0.3])
def test_a_shifted_reference_gives_the_shifted_image(shift):
    image = 0.6 * photograph()
    found = fit(KEY, image, image + shift)
    np.testing.assert_allclose(apply(found, image), image + shift, atol=5e-3)


def test_a_power_is_found_to_a_tenth_of_a_level_with_the_warp_and_not_without():
    bright, dark = photograph(), darkened(4.0)
    mean, largest = {}, {}
    for warp in ("cbrt", "none"):
        error = 255 * jnp.abs(apply(fit(KEY, dark, bright, warp=warp), dark) - bright)
        mean[warp], largest[warp] = float(jnp.mean(error)), float(jnp.max(error))
    # The least noise that float32 allows is an error of 1.6 levels at the steep end.
    assert mean["cbrt"] < 0.1 < 5 < mean["none"] and largest["cbrt"] < 2.5 < 25 < largest["none"] < 51, (mean, largest)


def test_wide_images_are_computed_in_64_bits(x64):
    def run(image):
        return tone_map.apply(tone_map.fit(KEY, image, image, mean="power", num_clusters=5), image)

    made = jax.eval_shape(run, jax.ShapeDtypeStruct((12, 12, 3), jnp.float64))
    assert made.dtype == jnp.float64 and made.shape == (12, 12, 3)


@functools.cache
def undone(channels):
    """What undoes a colour cast, and what comes of it."""
    dark = darkened((2.2, 3.0, 4.2))
    found = fit(KEY, dark, photograph(), warp="cbrt", channels=channels)
    return found, apply(found, dark)


@pytest.mark.parametrize("channels", [pytest.param("feature", marks=pytest.mark.slow), "coregionalized"])
def test_pooled_channels_cannot_undo_a_cast_and_others_can(channels):
    error = {c: float(jnp.mean((undone(c)[1] - photograph()) ** 2)) for c in ("pooled", channels)}
    assert error[channels] < 0.1 * error["pooled"]


@pytest.mark.parametrize("channels", ["pooled", "feature", pytest.param("coregionalized", marks=pytest.mark.slow)])
def test_departures_from_a_power_law_are_believed_by_their_share(channels):
    bright = photograph()
    gammas = (2.2, 3.0, 4.2) if channels != "pooled" else (3.0,) * 3
    dark = darkened(gammas)
    wave = 0.05 * jnp.sin(6.0 * bright)
    options = {"warp": "cbrt", "channels": channels, "mean": "power", "num_bits": None}
    found = fit(KEY, dark, bright + wave, departure=0.5, **options)
    assert found.departure == 0.5
    # The share is of what is applied, not of what is fitted.
    made = {d: apply(dataclasses.replace(found, departure=d), dark) for d in (0.0, 0.5, 1.0)}
    inside = np.logical_and.reduce([(one > 0) & (one < 1) for one in made.values()])  # where nothing is clipped
    assert inside.mean() > 0.9
    np.testing.assert_allclose(2 * made[0.5][inside], (made[0.0] + made[1.0])[inside], atol=2e-3)
    error = {d: float(jnp.mean((one - jnp.clip(bright + wave, 0, 1)) ** 2)) ** 0.5 for d, one in made.items()}
    assert error[1.0] < 0.02 < error[0.0]
    if channels != "feature":  # whose clusters mix channels
        np.testing.assert_allclose(found.gammas, gammas, rtol=0.15)
    law = apply(fit(KEY, dark, bright, departure=0.0, **options), dark)
    np.testing.assert_allclose(law, bright, atol=0.05 if channels == "feature" else 0.02)


@pytest.mark.parametrize("mean", ["zero", "power"])
def test_centres_with_the_noise_of_their_clusters_stand_for_all_pairs(mean):
    # No more distinct dark values than clusters: then the cluster means are a sufficient statistic.
    image = jnp.round(19 * photograph()) / 19
    reference = jnp.cbrt(image)
    options = {"warp": "cbrt", "noise": "cluster", "mean": mean, "num_bits": None}
    few, every = (fit(KEY, image, reference, all_pairs=a, **options) for a in (False, True))
    assert int(jnp.sum(few.counts > 0)) == 20
    np.testing.assert_allclose(apply(few, image), apply(every, image), atol=2e-3)
    np.testing.assert_allclose(apply(every, image), reference, atol=1e-2)


def test_noisy_centres_have_the_noise_of_largest_evidence_over_the_size_of_their_clusters():
    image = jnp.round(19 * photograph()) / 19
    pairs = tone_map.cluster(KEY, image, jnp.cbrt(image), num_clusters=30, patch_size=1, warp="cbrt")
    used = np.asarray(pairs.counts) > 0
    x, counts = np.float64(pairs.x)[used], np.float64(pairs.counts)[used]
    which = np.abs(np.asarray(pairs.all_x) - x[:, 0]).argmin(1)
    np.testing.assert_array_equal(np.bincount(which), counts)
    all_y = np.asarray(pairs.all_y) + np.float32(0.3) * np.random.default_rng(0).normal(size=which.size).astype(
        np.float32
    )
    means = np.bincount(which, all_y) / counts
    noisy = dataclasses.replace(pairs, y=pairs.y.at[used].set(np.float32(means)), all_y=all_y)
    few, every = (
        tone_map.condition(KEY, noisy, patch_size=1, warp="cbrt", noise="cluster", all_pairs=a) for a in (False, True)
    )
    # Here another level would move the map.
    np.testing.assert_allclose(apply(few, image), apply(every, image), atol=2e-3)
    # And sizes that do not go with the noise, so that evidence without them would choose another level.
    counts = counts * np.where(np.arange(20) % 2, 10, 1)
    noisy = dataclasses.replace(noisy, counts=pairs.counts.at[used].set(np.float32(counts)))
    found = tone_map.condition(KEY, noisy, patch_size=1, warp="cbrt", noise="cluster").posterior
    level = np.float64(found.noise)[used] * counts
    np.testing.assert_allclose(level, level[0], rtol=1e-5)
    lengthscale, variance = np.float64(found.covariance.lengthscale), np.float64(found.covariance.variance)
    prior = variance * np.exp(-(((x - x.T) / lengthscale) ** 2) / 2)

    def log_evidence(level):
        spread = prior + np.diag(level / counts)
        return -(means @ np.linalg.solve(spread, means) + np.linalg.slogdet(spread)[1]) / 2

    assert log_evidence(level) > max(log_evidence(0.9 * level), log_evidence(1.1 * level))


def test_pooled_maps_commute_with_permutations_of_channels_and_others_do_not():
    bright, dark = photograph(), darkened((2.2, 3.0, 4.2))
    order = jnp.asarray([2, 0, 1])
    centers = jnp.asarray(np.random.default_rng(0).uniform(size=(30, 2)), jnp.float32)
    straight = apply(fit(KEY, dark, bright, init=centers), dark)[..., order]
    turned = apply(fit(KEY, dark[..., order], bright[..., order], init=centers), dark[..., order])
    np.testing.assert_allclose(turned, straight, atol=2e-3)
    own, made = undone("coregionalized")
    moved = apply(own, dark[..., order]) - made[..., order]
    assert float(jnp.max(jnp.abs(moved))) > 0.05


@pytest.mark.fast
def test_the_correlation_of_channels_is_that_of_largest_evidence():
    fits = [evidence.Fit({"scale": jnp.float32(i)}, jnp.float32(i), jnp.float32(v)) for i, v in enumerate((1, 3, 2))]
    best = tone_map._best(fits)
    assert best.covariance["scale"] == 1 and best.noise == 1 and best.log_marginal_likelihood == 3


def test_a_second_call_outside_jit_searches_with_the_same_program():
    undone("coregionalized")
    before = evidence._fit._cache_size()
    fit(jax.random.key(1), darkened(3.0), photograph(), warp="cbrt", channels="coregionalized")
    assert evidence._fit._cache_size() == before


@functools.cache
def of_nine_pixels():
    """A map of patches of the published size, not fitted to anything."""
    points = np.random.default_rng(0).uniform(size=(12, 9)).astype(np.float32)
    process = posterior.condition(covariance.squared_exponential(1.0, 1.0), points, np.sqrt(points.mean(1)), noise=0.01)
    return tone_map.ToneMap(process, jnp.ones(12), jnp.zeros(()), 3, "none", "pooled", 3)


def test_strips_change_nothing():
    image, found = photograph(48, 36), of_nine_pixels()
    whole = apply(found, image)
    apply_in = jax.jit(tone_map.apply, static_argnames="block_size")
    for block_size in (1, 7):
        np.testing.assert_allclose(apply_in(found, image, block_size=block_size), whole, atol=1e-5)
    windows = np.lib.stride_tricks.sliding_window_view(
        np.pad(image, ((1, 1), (1, 1), (0, 0)), mode="reflect"), (3, 3), (0, 1)
    )
    expected = posterior.mean(found.posterior, windows.reshape(-1, 9)).reshape(image.shape)
    np.testing.assert_allclose(whole, jnp.clip(expected, 0, 1), atol=1e-5)


def test_pairs_are_the_patches_of_all_channels():
    # Eight distinct ones: the rest of twelve clusters is left out.
    rng = np.random.default_rng(0)
    dark, bright = rng.uniform(size=(2, 8, 3, 3)).astype(np.float32)
    which = rng.integers(0, 8, (16, 12, 3))
    image, reference = (one[which].transpose(0, 3, 1, 4, 2).reshape(48, 36, 3) for one in (dark, bright))
    pairs = tone_map.cluster(KEY, image, reference, num_clusters=12)
    assert pairs.all_x.shape == (16 * 12 * 3, 9) and pairs.x.shape == (12, 9)
    np.testing.assert_array_equal(pairs.all_x.reshape(16, 12, 3, 9), patches.extract(image, 3))
    np.testing.assert_array_equal(pairs.all_y.reshape(16, 12, 3), patches.extract(reference, 3)[..., 4])
    used = np.flatnonzero(pairs.counts)
    nearest = ((np.asarray(pairs.x)[used, None] - dark.reshape(8, 9)) ** 2).sum(-1).argmin(1)
    assert sorted(nearest) == list(range(8))
    np.testing.assert_allclose(pairs.x[used], dark.reshape(8, 9)[nearest], atol=1e-6)
    np.testing.assert_allclose(pairs.y[used], bright[nearest, 1, 1], atol=1e-6)
    np.testing.assert_array_equal(pairs.counts[used], np.bincount(which.ravel())[nearest])
    np.testing.assert_allclose(pairs.variances, 0.0, atol=1e-10)


def test_patches_are_cut_from_images_of_any_size():
    image, reference = photograph(47, 36), photograph(47, 36, seed=1)
    pairs = tone_map.cluster(KEY, image, reference, num_clusters=12)
    np.testing.assert_array_equal(pairs.all_x.reshape(16, 12, 3, 9), patches.extract(image, 3))
    assert int(jnp.sum(pairs.counts)) == 16 * 12 * 3


@pytest.mark.fast
def test_the_noise_of_a_centre_is_that_of_the_mean_over_its_cluster():
    counts, variances = jnp.asarray([4.0, 1.0, 0.0, 2.0]), jnp.asarray([0.3, 0.0, 0.0, 0.1])
    none = jnp.zeros((4, 1))
    pairs = tone_map.Pairs(none, none[:, 0], counts, variances, none, none[:, 0], counts[0])
    used = np.asarray([True, True, False, True])
    np.testing.assert_array_equal(tone_map._noise_weights(pairs, "uniform")[used], 1.0)
    found = {noise: np.asarray(tone_map._noise_weights(pairs, noise))[used] for noise in tone_map.NOISES[1:]}
    # Up to a common factor, so that the mean over clusters is 1.
    np.testing.assert_allclose(found["cluster"], np.asarray([1 / 4, 1, 1 / 2]) * 3 / (7 / 4), rtol=1e-6)
    expected = (np.asarray([0.3, 0.0, 0.1]) + 1 / 12 / 255**2) / np.asarray([4, 1, 2])
    np.testing.assert_allclose(found["heteroscedastic"], expected / expected.mean(), rtol=1e-5)


@pytest.mark.parametrize(("noise", "mean"), [("cluster", "zero"), ("heteroscedastic", "centre"), ("cluster", "power")])
def test_every_switch_works_on_an_ordinary_image(noise, mean):
    bright, dark = photograph(), darkened(3.0, num_bits=8)
    found = fit(KEY, dark, bright, warp="cbrt", noise=noise, mean=mean)
    assert float(jnp.mean((apply(found, dark) - bright) ** 2)) < 2e-3


@pytest.mark.parametrize("mean", ["zero", "centre", "power"])
def test_a_black_image_becomes_a_constant(mean):
    black = jnp.zeros((24, 18, 3))
    made = apply(fit(KEY, black, photograph(), mean=mean), black)
    assert np.ptp(np.asarray(made)) < 1e-5 and 0 <= float(made[0, 0, 0]) <= 1
    if mean != "zero":
        np.testing.assert_allclose(made, jnp.mean(photograph()), atol=2e-2)


def test_more_clusters_than_distinct_pairs_leave_the_rest_out():
    checks = np.indices((24, 18)).sum(0)[..., None] % 2
    image = jnp.asarray(np.repeat(checks, 3, axis=-1), jnp.float32) * 0.5
    found = fit(KEY, image, image + 0.25, mean="centre")
    assert int(jnp.sum(found.counts > 0)) == 2
    np.testing.assert_allclose(apply(found, image), image + 0.25, atol=1e-2)


@pytest.mark.fast
@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"num_clusters": 500}, "num_clusters = 500"),
        ({"warp": "log"}, "warp must be one of"),
        ({"channels": "both"}, "channels must be one of"),
        ({"noise": "none"}, "noise must be one of"),
        ({"mean": "median"}, "mean must be one of"),
        ({"mean": "power", "departure": 1.5}, "departure = 1.5"),
        ({"departure": 0.5}, "departure = 0.5"),
    ],
)
def test_a_wrong_option_is_named(options, says):
    with pytest.raises(ValueError, match=says):
        jax.eval_shape(lambda x: fit(KEY, x, x, **{"num_clusters": 3, **options}), photograph(12, 12))


@pytest.mark.fast
def test_wrong_images_are_named():
    with pytest.raises(ValueError, match="must agree"):
        fit(KEY, photograph(12, 12), photograph(12, 15))
    with pytest.raises(TypeError, match="divide 8-bit"):
        fit(KEY, jnp.zeros((12, 12, 3), jnp.uint8), photograph(12, 12))
    found = of_nine_pixels()
    with pytest.raises(ValueError, match="channel"):
        apply(found, photograph(12, 12, 1))
    with pytest.raises(ValueError, match="patch_size"):
        improved.curves(found)


@pytest.mark.slow  # half a minute to compile; that k-means, the search and the posterior map is tested by themselves
def test_under_jit_and_many_images_through_vmap():
    bright = jnp.stack([photograph(), photograph(seed=1)])
    dark = degradation.darken(bright, 3.0)

    def run(dark, bright):
        return apply(fit(KEY, dark, bright), dark)

    alone = jnp.stack([run(d, b) for d, b in zip(dark, bright, strict=True)])
    # The search for hyper-parameters ends a rounding error apart.
    np.testing.assert_allclose(jax.jit(jax.vmap(run))(dark, bright), alone, atol=5e-3)


class TestPublished:
    def test_the_luminance_form_leaves_the_chroma_alone(self):
        bright = 0.35 + 0.3 * photograph(36, 36)
        dark = bright - 0.1
        y = color.luma(dark)
        made = published.luminance(KEY, dark, y + 0.1, num_clusters=30, patch_size=1)
        np.testing.assert_allclose(color.rgb_to_ycbcr(made)[..., 1:], color.rgb_to_ycbcr(dark)[..., 1:], atol=1e-5)
        np.testing.assert_allclose(color.luma(made), y + 0.1, atol=2e-2)

    def test_the_rgb_form_is_the_default_tone_map(self):
        dark, bright = darkened(3.0), photograph()
        made = published.rgb(KEY, dark, bright, patch_size=1)
        np.testing.assert_allclose(made, apply(fit(KEY, dark, bright), dark), atol=1e-4)
        shape = jax.eval_shape(lambda x: published.rgb(KEY, x, x), photograph(16, 18)).shape
        assert shape == (16, 18, 3)

    def test_unique_pairs_are_as_many_as_there_are(self):
        image = jnp.asarray(np.arange(100).reshape(10, 10, 1) % 7, jnp.float32) / 10
        found = published.fit_unique_pairs(KEY, image, image**0.5, max_pairs=20, patch_size=1)
        assert int(jnp.sum(found.counts > 0)) == 7 and int(jnp.sum(found.counts)) == 100
        # Noise of the rounding, at least, rounds off the root's corner at 0: 2.6e-2 there.
        np.testing.assert_allclose(apply(found, image), image**0.5, atol=4e-2)

    def test_too_many_unique_pairs_are_thinned_evenly(self):
        image = jnp.asarray(np.arange(100).reshape(10, 10, 1), jnp.float32) / 255
        found = published.fit_unique_pairs(KEY, image, image, max_pairs=20, patch_size=1)
        np.testing.assert_allclose(found.posterior.points[:, 0] * 255, np.arange(0, 100, 5), atol=1e-3)
