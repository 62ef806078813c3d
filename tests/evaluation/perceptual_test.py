import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gentoolkit.evaluation import clip_score, features, perceptual

pytestmark = pytest.mark.fast


def distance(first, second, *, image_range):
    black, white = image_range
    return np.square((np.asarray(first) - np.asarray(second)) / (white - black)).mean(axis=(1, 2, 3))


def pictures(num, seed=0):
    return np.random.default_rng(seed).random((num, 4, 3, 3), np.float32)


def test_the_mean_of_pairs_leaves_out_rows_that_fill_up_and_knows_its_error():
    a, b = pictures(7), pictures(7, 1)
    filler = np.full((1, 4, 3, 3), 1e3, np.float32)
    batches = [
        {"first": a[:4], "second": b[:4]},
        {
            "first": np.concatenate([a[4:], filler]),
            "second": np.concatenate([b[4:], filler]),
            "counts": np.arange(4) < 3,
        },
    ]
    found = perceptual.lpips(batches, distance=distance, image_range=(0, 1), network="toy")
    each = np.square(a - b).mean(axis=(1, 2, 3))
    np.testing.assert_allclose([found.value, found.standard_error], [each.mean(), each.std(ddof=1) / 7**0.5], rtol=1e-6)
    assert (found.num_generated, found.network) == (7, "toy") and found.as_json()["image_range"] == [0, 1]
    scaled = [{"first": 2 * a - 1, "second": 2 * b - 1}]
    np.testing.assert_allclose(
        perceptual.lpips(scaled, distance=distance, image_range=(-1, 1), network="toy").value, found.value, rtol=1e-5
    )


def test_images_in_another_range_are_refused_or_said():
    def run(x, image_range):
        perceptual.lpips([{"first": x, "second": x}], distance=distance, image_range=image_range, network="toy")

    x = pictures(3)
    for wrong, image_range, told in (
        (255 * x, (0, 1), r"first must lie in image_range = \(0, 1\), got values from .* to 25"),
        (2 * x - 1, (0, 1), "got values from -"),
        (np.where(x > 0.5, np.nan, x), (0, 1), "not finite"),
        (x, (1, 0), "white > black"),
    ):
        with pytest.raises(ValueError, match=told):
            run(wrong, image_range)
    for image_range in ((-1, 1), (0, 255)):
        with pytest.warns(UserWarning, match=r"is it \[0, 1\]"):
            run(x, image_range)
    with pytest.raises(ValueError, match="of one shape"):
        perceptual.lpips([{"first": x, "second": x[:2]}], distance=distance, image_range=(0, 1), network="toy")
    with pytest.raises(ValueError, match="no 'second'; it has first"):
        perceptual.lpips([{"first": x}], distance=distance, image_range=(0, 1), network="toy")


def test_diversity_is_over_fresh_codes_of_one_input_and_its_interval_over_inputs():
    seen = []

    def generate(inputs, codes):
        seen.append((np.asarray(inputs[:, 0, 0, 0]), np.asarray(codes)))
        return inputs * 0.5 + 0.25 * jnp.tanh(codes)[:, :, None, None]

    def draw(key, num):
        return jax.random.normal(key, (num, 4))

    run = functools.partial(
        perceptual.diversity,
        jax.random.key(0),
        pictures(5),
        distance=distance,
        image_range=(-1, 1),
        network="toy v0.0",
        num_pairs=3,
        batch_size=4,
        num_resamples=2000,
    )
    found = run(generate=generate, draw=draw)
    for (first, a), (second, b) in zip(seen[::2], seen[1::2], strict=True):
        np.testing.assert_array_equal(first, second)
        assert (np.abs(a - b) > 0).all()
    codes = np.concatenate([a for _, a in seen])
    assert len(np.unique(codes[:, 0])) == len(codes) == 2 * 16  # 15 pairs and one that fills up
    pairs = [
        np.square((np.tanh(a) - np.tanh(b)) / 8).mean(axis=1)
        for (_, a), (_, b) in zip(seen[::2], seen[1::2], strict=True)
    ]
    means = np.concatenate(pairs)[:15].reshape(5, 3).mean(axis=1)
    np.testing.assert_allclose(found.extra["per_input"], means, rtol=1e-4)
    np.testing.assert_allclose(found.value, means.mean(), rtol=1e-4)
    np.testing.assert_allclose(found.standard_error, means.std() / 5**0.5, rtol=0.1)
    low, high = found.extra["interval"]
    assert low < found.value < high and found.num_generated == 15
    with pytest.warns(UserWarning, match="does not heed its codes"):
        assert run(generate=lambda x, z: jnp.asarray(x - 0.5), draw=draw).value == 0
    with pytest.raises(ValueError, match="num_pairs must be at least 1"):
        perceptual.diversity(
            jax.random.key(0), pictures(1), generate=generate, draw=draw, distance=distance, image_range=(0, 1),
            network="toy", num_pairs=0,
        )  # fmt: skip


def test_clip_scores_of_equal_orthogonal_and_opposite_embeddings():
    def score(images, texts, **options):
        return clip_score(
            features.of(np.float32(images), network="clip", preprocessing="clip"), np.float32(texts), **options
        )

    rows = np.eye(3)[:2]
    for form, best, opposite in (("cosine", 1, -1), ("times_100", 100, 0), ("hessel", 2.5, 0)):
        for images, value in ((rows, best), (rows[::-1], 0), (-7 * rows, opposite)):
            np.testing.assert_allclose(score(images, rows, form=form).value, value, atol=1e-12)
    rng = np.random.default_rng(0)
    texts = rng.normal(size=(40, 8))
    images = texts + rng.normal(size=(40, 8))
    found = score(images, texts)
    assert found.value > score(np.roll(images, 1, axis=0), texts).value + 5 * found.standard_error
    assert found.num_generated == 40 and found.as_json()["form"] == "cosine"
    with pytest.raises(ValueError, match=r"one shape, got \(2, 3\) and \(1, 3\)"):
        score(rows, rows[:1])
    with pytest.raises(ValueError, match="longer than 0"):
        score(0 * rows, rows)
    with pytest.raises(ValueError, match="form must be one of"):
        score(rows, rows, form="percent")
