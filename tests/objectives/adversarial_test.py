"""Adversarial losses: published values at 0, identities between both sides, and rows that stay apart."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gentoolkit.objectives import adversarial

FORMS = {
    "logistic": adversarial.logistic(),
    "minimax": adversarial.logistic(saturating=True),
    "least_squares": adversarial.least_squares(),
    "hinge": adversarial.hinge(),
    "wasserstein": adversarial.wasserstein(),
}
# Losses of both sides at logits of 0.
AT_ZERO = {
    "logistic": (2 * np.log(2), np.log(2)),
    "minimax": (2 * np.log(2), -np.log(2)),
    "least_squares": (1.0, 1.0),
    "hinge": (2.0, 0.0),
    "wasserstein": (0.0, 0.0),
}
pytestmark = pytest.mark.fast


def logits(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("name", FORMS)
def test_values_at_zero(name):
    zero = np.zeros((2, 3, 3, 1), np.float32)
    expected = AT_ZERO[name]
    found = adversarial.discriminator(FORMS[name], zero, zero), adversarial.generator(FORMS[name], zero)
    np.testing.assert_allclose(found, [[value] * 2 for value in expected], rtol=1e-6)


def test_definitions_entry_by_entry():
    real, fake = logits(0, 4, 3), logits(1, 4, 3)
    sigmoid = lambda x: 1 / (1 + np.exp(-np.float64(x)))  # noqa: E731
    expected = {
        "logistic": (-np.log(sigmoid(real)) - np.log(1 - sigmoid(fake)), -np.log(sigmoid(fake))),
        "minimax": (-np.log(sigmoid(real)) - np.log(1 - sigmoid(fake)), np.log(1 - sigmoid(fake))),
        "least_squares": ((real - 1) ** 2 + fake**2, (fake - 1) ** 2),
        "hinge": (np.maximum(0, 1 - real) + np.maximum(0, 1 + fake), -fake),
        "wasserstein": (fake - real, -fake),
    }
    for name, form in FORMS.items():
        found = adversarial.discriminator(form, real, fake), adversarial.generator(form, fake)
        np.testing.assert_allclose(found, [entries.mean(1) for entries in expected[name]], rtol=2e-5, err_msg=name)


def test_targets_of_least_squares():
    form = adversarial.least_squares(real=0.9, fake=-1.0, fooling=0.0)
    real, fake = logits(0, 5), logits(1, 5)
    np.testing.assert_allclose(adversarial.discriminator(form, real, fake), (real - 0.9) ** 2 + (fake + 1) ** 2, 1e-5)
    np.testing.assert_allclose(adversarial.generator(form, fake), fake**2, rtol=1e-6)


def test_several_negatives_count_alike_or_by_their_weights():
    real, *others = (logits(seed, 4) for seed in range(4))
    for form in (FORMS["hinge"], adversarial.average_relativistic(FORMS["logistic"])):
        each = [np.asarray(adversarial.discriminator(form, real, other)) for other in others]
        alike = adversarial.discriminator(form, real, *others)
        np.testing.assert_allclose(alike, np.mean(each, 0), rtol=2e-6)
    hinge = FORMS["hinge"]
    weighted = adversarial.discriminator(hinge, real, *others, weights=(1.0, 0.5, 0.0))
    by_hand = np.maximum(0, 1 - real) + np.maximum(0, 1 + others[0]) + np.maximum(0, 1 + others[1]) / 2
    np.testing.assert_allclose(weighted, by_hand, rtol=1e-6)
    # DF-GAN with all logits at 0: 1 + 0.5 (1 + 1).
    zero = np.zeros(3, np.float32)
    np.testing.assert_allclose(adversarial.discriminator(hinge, zero, zero, zero), 2.0)


@pytest.mark.parametrize("name", ["pairs", "means"])
def test_relativistic_identities(name):
    relative = {"pairs": adversarial.relativistic, "means": adversarial.average_relativistic}[name]
    form = relative(adversarial.logistic())
    real, fake = logits(0, 6, 2), logits(1, 6, 2) + 0.3

    def sides(real, fake):
        both = adversarial.discriminator(form, real, fake), adversarial.generator(form, fake, real=real)
        return np.mean(both, axis=1)

    critic, maker = sides(real, fake)
    np.testing.assert_allclose(sides(real + 7, fake + 7), (critic, maker), rtol=1e-5)  # a constant changes nothing
    np.testing.assert_allclose(sides(fake, real), (maker, critic), rtol=1e-5)  # the sides change over
    gap = np.mean(real) - np.mean(fake)
    np.testing.assert_allclose(maker - critic, gap if name == "pairs" else 2 * gap, rtol=1e-4)
    both = np.log(2) * (1 if name == "pairs" else 2)
    np.testing.assert_allclose(sides(0 * real, 0 * fake), both, rtol=1e-6)


def test_pairwise_slopes_are_opposite_and_averages_are_over_everything():
    real, fake = logits(0, 5), logits(1, 5)
    form = adversarial.relativistic(adversarial.logistic())
    slopes = jax.grad(lambda r, f: jnp.mean(adversarial.discriminator(form, r, f)), (0, 1))(real, fake)
    np.testing.assert_allclose(slopes[0], -slopes[1], rtol=1e-6)
    average = adversarial.average_relativistic(adversarial.least_squares(fake=-1.0))
    expected = (real - fake.mean() - 1) ** 2 + (fake - real.mean() + 1) ** 2
    np.testing.assert_allclose(adversarial.discriminator(average, real, fake), expected, rtol=1e-5)


def test_a_row_is_of_its_own_logits_in_float32():
    real, fake = logits(0, 3, 4, 4, 1), logits(1, 3, 2)  # other shapes within a row are no obstacle
    found = adversarial.discriminator(FORMS["logistic"], jnp.bfloat16(real), jnp.bfloat16(fake))
    assert found.dtype == jnp.float32 and found.shape == (3,)
    changed = np.array(real)
    changed[1] += 1
    other = adversarial.discriminator(FORMS["logistic"], jnp.bfloat16(changed), jnp.bfloat16(fake))
    assert np.array_equal(np.asarray(found != other), [False, True, False])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda r: adversarial.discriminator(FORMS["hinge"], r), "negatives must be given"),
        (lambda r: adversarial.discriminator(FORMS["hinge"], r, r, weights=[1, 1]), "weights must be one"),
        (lambda r: adversarial.discriminator(FORMS["hinge"], r, r[:2]), "rows.*must agree.*negatives"),
        (lambda r: adversarial.generator(FORMS["hinge"], r, real=r), "real is not used"),
        (lambda r: adversarial.generator(adversarial.relativistic(FORMS["hinge"]), r), "real must be given"),
        (
            lambda r: adversarial.discriminator(adversarial.relativistic(FORMS["hinge"]), r, r[:, None]),
            r"negatives\[0\] must have as many axes",
        ),
        (lambda r: adversarial.generator(FORMS["hinge"], np.float32(0)), "fake must be a non-empty"),
    ],
)
def test_what_is_wrong_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(logits(0, 3))
