import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gentoolkit.imaging import color, degradation, patches
from gentoolkit.imaging.gp_enhancement import improved, published, tone_map

KEY = jax.random.key(0)
# Compiled once for each set of options, which the tests share as far as they can.
fit = jax.jit(
    tone_map.fit,
    static_argnames=(
        "num_clusters",
        "patch_size",
        "warp",
        "channels",
        "noise",
        "mean",
        "departure",
        "num_bits",
        "all_pairs",
    ),
)
apply = jax.jit(tone_map.apply)


def photograph(height=48, width=36, channels=3, seed=0):
    """A smooth random image that spans [0, 1]."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:height, 0:width] / max(height, width)
    waves = [np.sin(2 * np.pi * (a * rows + b * columns + p)) for a, b, p in rng.uniform(-2, 2, (4 * channels, 3))]
    image = np.stack(waves, -1).reshape(height, width, channels, 4).sum(-1)
    image = (image - image.min((0, 1))) / np.ptp(image, (0, 1))
    return jnp.asarray(image, jnp.float32)


@pytest.mark.fast
def test_an_identical_reference_gives_the_image_back():
    image = photograph()
    found = fit(KEY, image, image, num_clusters=40, patch_size=1)
    np.testing.assert_allclose(apply(found, image), image, atol=5e-3)


@pytest.mark.fast
def test_a_shifted_reference_gives_the_shifted_image():
    image = 0.6 * photograph()
    found = fit(KEY, image, image + 0.3, num_clusters=40, patch_size=1)
    np.testing.assert_allclose(apply(found, image), image + 0.3, atol=5e-3)


def test_a_power_is_found_within_a_level_with_the_warp_and_not_without(x64):
    # In 64 bits: the least noise that float32 allows is an error of 1.6 levels at the steep end.
    bright = jnp.asarray(photograph(), jnp.float64)
    dark = degradation.darken(bright, 4.0)
    error = {}
    for warp in ("cbrt", "none"):
        found = fit(KEY, dark, bright, num_clusters=100, patch_size=1, warp=warp)
        error[warp] = float(jnp.max(jnp.abs(apply(found, dark) - bright)))
    assert error["cbrt"] < 1 / 255 < error["none"] < 0.2, error


@pytest.mark.parametrize("channels", ["feature", "coregionalized"])
def test_pooled_channels_cannot_undo_a_cast_and_others_can(channels):
    bright = photograph()
    dark = degradation.color_cast(bright, jnp.asarray([2.2, 3.0, 4.2]))

    def error(channels):
        found = fit(KEY, dark, bright, num_clusters=60, patch_size=1, warp="cbrt", channels=channels)
        return float(jnp.mean((apply(found, dark) - bright) ** 2))

    assert error(channels) < 0.1 * error("pooled")


@pytest.mark.parametrize("channels", ["pooled", "feature", "coregionalized"])
def test_departures_from_a_power_law_are_believed_by_their_share(channels):
    bright = photograph()
    gammas = [2.2, 3.0, 4.2] if channels != "pooled" else [3.0] * 3
    dark = degradation.color_cast(bright, jnp.asarray(gammas))
    wave = 0.05 * jnp.sin(6.0 * bright)
    options = {"num_clusters": 60, "patch_size": 1, "warp": "cbrt", "channels": channels, "mean": "power"}
    found = {d: fit(KEY, dark, bright + wave, departure=d, num_bits=None, **options) for d in (0.0, 0.5, 1.0)}
    made = {d: apply(one, dark) for d, one in found.items()}
    np.testing.assert_allclose(2 * made[0.5], made[0.0] + made[1.0], atol=2e-3)
    error = {d: float(jnp.mean((one - jnp.clip(bright + wave, 0, 1)) ** 2)) ** 0.5 for d, one in made.items()}
    assert error[1.0] < 0.02 < error[0.0]
    if channels != "feature":  # whose clusters mix channels
        np.testing.assert_allclose(found[0.0].gammas, gammas, rtol=0.15)
    law = apply(fit(KEY, dark, bright, departure=0.0, num_bits=None, **options), dark)
    np.testing.assert_allclose(law, bright, atol=0.05 if channels == "feature" else 0.02)


@pytest.mark.fast
def test_all_pairs_depart_from_the_same_law():
    bright = photograph()
    dark = degradation.darken(bright, 3.0)
    options = {"num_clusters": 30, "patch_size": 1, "warp": "cbrt", "mean": "power", "num_bits": None}
    few, every = (apply(fit(KEY, dark, bright, all_pairs=a, **options), dark) for a in (False, True))
    np.testing.assert_allclose(every, few, atol=1e-2)
    np.testing.assert_allclose(every, bright, atol=1e-2)


def test_pooled_maps_commute_with_permutations_of_channels_and_others_do_not():
    bright = photograph()
    dark = degradation.color_cast(bright, jnp.asarray([2.2, 3.0, 4.2]))
    order = jnp.asarray([2, 0, 1])
    centers = jnp.asarray(np.random.default_rng(0).uniform(size=(20, 2)), jnp.float32)
    options = {"num_clusters": 20, "patch_size": 1, "init": centers}
    straight = apply(fit(KEY, dark, bright, **options), dark)[..., order]
    turned = apply(fit(KEY, dark[..., order], bright[..., order], **options), dark[..., order])
    np.testing.assert_allclose(turned, straight, atol=2e-3)
    own = fit(KEY, dark, bright, num_clusters=20, patch_size=1, channels="coregionalized")
    moved = apply(own, dark[..., order]) - apply(own, dark)[..., order]
    assert float(jnp.max(jnp.abs(moved))) > 0.05


@pytest.mark.fast
def test_strips_change_nothing_and_the_jitted_is_the_eager():
    image, reference = photograph(), photograph(seed=1)
    found = fit(KEY, image, reference, num_clusters=12)
    whole = tone_map.apply(found, image, block_size=48)
    for block_size in (1, 7, None):
        np.testing.assert_allclose(tone_map.apply(found, image, block_size=block_size), whole, atol=1e-5)
    np.testing.assert_allclose(apply(found, image), whole, atol=1e-5)
    assert whole.shape == image.shape and whole.min() >= 0 and whole.max() <= 1


@pytest.mark.fast
def test_pairs_are_the_patches_of_all_channels():
    image, reference = photograph(47, 36), photograph(47, 36, seed=1)
    pairs = tone_map.cluster(KEY, image, reference, num_clusters=12, min_decrease=0.0)
    assert pairs.all_x.shape == (16 * 12 * 3, 9) and pairs.x.shape == (12, 9)
    assert int(jnp.sum(pairs.counts)) == 16 * 12 * 3
    np.testing.assert_array_equal(pairs.all_x.reshape(16, 12, 3, 9), patches.extract(image, 3))
    np.testing.assert_array_equal(pairs.all_y.reshape(16, 12, 3), patches.extract(reference, 3)[..., 4])
    np.testing.assert_allclose(
        jnp.sum(pairs.counts * pairs.y) / jnp.sum(pairs.counts), jnp.mean(pairs.all_y), rtol=1e-4
    )


def test_centres_with_the_noise_of_their_clusters_stand_for_all_pairs():
    # As many clusters as distinct dark values: then the cluster means are a sufficient statistic.
    rng = np.random.default_rng(0)
    image = jnp.asarray(rng.integers(0, 4, (20, 20, 1)) / 4, jnp.float32)
    reference = image**0.5
    options = {"num_clusters": 4, "patch_size": 1, "noise": "cluster"}
    few = apply(fit(KEY, image, reference, **options), image)
    every = apply(fit(KEY, image, reference, all_pairs=True, **options), image)
    np.testing.assert_allclose(few, every, atol=2e-3)


@pytest.mark.parametrize("noise", ["cluster", "heteroscedastic"])
@pytest.mark.parametrize("mean", ["zero", "centre", "power"])
def test_every_switch_works_on_an_ordinary_image(noise, mean):
    bright = photograph()
    dark = degradation.darken(bright, 3.0, num_bits=8)
    found = fit(KEY, dark, bright, num_clusters=30, patch_size=1, warp="cbrt", noise=noise, mean=mean)
    assert float(jnp.mean((apply(found, dark) - bright) ** 2)) < 2e-3


@pytest.mark.fast
@pytest.mark.parametrize("mean", ["zero", "centre", "power"])
def test_a_black_image_becomes_a_constant(mean):
    black = jnp.zeros((12, 12, 3))
    found = fit(KEY, black, photograph(12, 12), num_clusters=5, mean=mean)
    made = apply(found, black)
    assert np.ptp(np.asarray(made)) < 1e-5 and 0 <= float(made[0, 0, 0]) <= 1


@pytest.mark.fast
def test_more_clusters_than_distinct_pairs_leave_the_rest_out():
    image = jnp.asarray(np.indices((12, 12)).sum(0)[..., None] % 2, jnp.float32) * 0.5
    found = fit(KEY, image, image + 0.25, num_clusters=9, patch_size=1, mean="centre")
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
        fit(KEY, photograph(12, 12), photograph(12, 12), **{"num_clusters": 3, **options})


@pytest.mark.fast
def test_wrong_images_are_named():
    with pytest.raises(ValueError, match="must agree"):
        fit(KEY, photograph(12, 12), photograph(12, 15), num_clusters=3)
    with pytest.raises(TypeError, match="divide 8-bit"):
        fit(KEY, jnp.zeros((12, 12, 3), jnp.uint8), photograph(12, 12), num_clusters=3)
    found = fit(KEY, photograph(12, 12), photograph(12, 12), num_clusters=3)
    with pytest.raises(ValueError, match="channel"):
        apply(found, photograph(12, 12, 1))
    with pytest.raises(ValueError, match="patch_size"):
        improved.curves(found)


def test_many_images_through_vmap():
    bright = jnp.stack([photograph(18, 18, seed=s) for s in range(2)])
    dark = degradation.darken(bright, 3.0)

    def run(dark, bright):
        return apply(fit(KEY, dark, bright, num_clusters=8), dark)

    alone = jnp.stack([run(d, b) for d, b in zip(dark, bright, strict=True)])
    # The search for hyper-parameters ends a rounding error apart.
    np.testing.assert_allclose(jax.vmap(run)(dark, bright), alone, atol=5e-3)


class TestPublished:
    def test_the_luminance_form_leaves_the_chroma_alone(self):
        bright = 0.35 + 0.3 * photograph()
        dark = bright - 0.1
        y = color.luma(dark)
        made = published.luminance(KEY, dark, y + 0.1, num_clusters=20)
        np.testing.assert_allclose(color.rgb_to_ycbcr(made)[..., 1:], color.rgb_to_ycbcr(dark)[..., 1:], atol=1e-5)
        np.testing.assert_allclose(color.luma(made), y + 0.1, atol=2e-2)

    def test_the_rgb_form_is_the_default_tone_map(self):
        dark, bright = photograph(), photograph() ** 0.5
        found = fit(KEY, dark, bright, num_clusters=12)
        made = published.rgb(KEY, dark, bright, num_clusters=12)
        # The search for hyper-parameters ends a rounding error apart in two programs: 2e-3 in the image.
        np.testing.assert_allclose(made, apply(found, dark), atol=5e-3)

    @pytest.mark.fast
    def test_unique_pairs_are_as_many_as_there_are(self):
        image = jnp.asarray(np.arange(144).reshape(12, 12, 1) % 7, jnp.float32) / 10
        found = published.fit_unique_pairs(KEY, image, image**0.5, max_pairs=32, patch_size=1)
        assert int(jnp.sum(found.counts > 0)) == 7 and int(jnp.sum(found.counts)) == 144
        # Noise of the rounding, at least, rounds off the root's corner at 0: 2.6e-2 there.
        np.testing.assert_allclose(apply(found, image), image**0.5, atol=4e-2)

    @pytest.mark.fast
    def test_too_many_unique_pairs_are_thinned_evenly(self):
        image = jnp.asarray(np.arange(100).reshape(10, 10, 1), jnp.float32) / 255
        found = published.fit_unique_pairs(KEY, image, image, max_pairs=20, patch_size=1)
        np.testing.assert_allclose(found.posterior.points[:, 0] * 255, np.arange(0, 100, 5), atol=1e-3)
