"""Adversarial losses of the logits of a discriminator, both sides, in the forms that are in use.

A form is made once (`hinge()`, `average_relativistic(logistic())`, ...) and handed to `discriminator` and `generator`,
so that a system does not depend on which it is. Logits may have any shape `[n, ...]` (a map of patches, for instance)
and count equally within a row; several scales are several calls, added up.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from gentoolkit import _array
from gentoolkit.objectives import _rows

Curve = Callable[[jax.Array], jax.Array]


class Form(NamedTuple):
    """What is asked of the logits, entry by entry.

    Attributes:
      real: the loss of a logit that should say "real", least where it is large.
      fake: the loss of a logit that should say "generated".
      fooling: the generator's loss of a logit of its own.
      relative_to: what is taken off a logit first: nothing, the logit of its counterpart in the same row, or the mean
        of the counterparts' logits over all rows.
    """

    real: Curve
    fake: Curve
    fooling: Curve
    relative_to: Literal["nothing", "pairs", "means"] = "nothing"


def logistic(*, saturating: bool = False) -> Form:
    """Binary cross-entropy of sigmoid(logit).

    Args:
      saturating: whether the generator minimises log(1 - sigmoid(logit)), as in the minimax game, whose slope vanishes
        where the discriminator is sure, instead of -log sigmoid(logit).

    Returns:
      The form. At logits of 0 the discriminator has 2 log 2, the generator log 2 (-log 2 if saturating).

    References:
      Goodfellow et al., Generative adversarial nets, NeurIPS 2014, section 3.
    """
    return Form(_softplus_of_minus, jax.nn.softplus, _minus_softplus if saturating else _softplus_of_minus)


def least_squares(*, real: float = 1.0, fake: float = 0.0, fooling: float | None = None) -> Form:
    """Squared distance of a logit from a target.

    Args:
      real: the discriminator's target for real rows.
      fake: its target for generated ones; -1 below `average_relativistic`, where logits are differences.
      fooling: the generator's target, that of real rows if None.

    Returns:
      The form. Public code of image translation halves the discriminator's loss: that is left to the caller.

    References:
      Mao et al., Least squares generative adversarial networks, ICCV 2017, eq. (2), with a = fake, b = real and
      c = fooling.
    """
    of_real, of_fake, of_fooling = (
        functools.partial(_squared_distance, target) for target in (real, fake, real if fooling is None else fooling)
    )
    return Form(of_real, of_fake, of_fooling)


def hinge() -> Form:
    """max(0, 1 - logit) for real rows, max(0, 1 + logit) for others, and -logit for the generator.

    Returns:
      The form. At logits of 0 the discriminator has 2.

    References:
      Lim and Ye, Geometric GAN, 2017, eq. (12)-(13); Miyato et al., Spectral normalization for generative adversarial
      networks, ICLR 2018, eq. (16)-(17).
    """
    return Form(_hinge_below, _hinge_above, jnp.negative)


def wasserstein() -> Form:
    """The critic's difference of means, for critics kept 1-Lipschitz by a penalty or a norm.

    Returns:
      The form.

    References:
      Arjovsky, Chintala, Bottou, Wasserstein generative adversarial networks, ICML 2017, algorithm 1.
    """
    return Form(jnp.negative, jnp.positive, jnp.negative)


def relativistic(form: Form) -> Form:
    """Judges the difference of a real logit and that of its counterpart in the same row.

    The discriminator's loss is real(real - negative), the generator's real(fake - real); the parts `fake` and `fooling`
    of the given form are not used.

    Args:
      form: what is asked of a difference.

    Returns:
      The form. `generator` then needs the real rows' logits.

    References:
      Jolicoeur-Martineau, The relativistic discriminator, ICLR 2019, eq. (5)-(8).
    """
    return form._replace(relative_to="pairs")


def average_relativistic(form: Form) -> Form:
    """Judges the difference of each logit and the mean of its counterparts, over all rows and entries.

    The discriminator's loss is real(real - mean negative) + fake(negative - mean real); the generator's is the same
    with both changed over. With several devices under one `jit` the means are those of the whole batch.

    Args:
      form: what is asked of a difference; its part `fooling` is not used.

    Returns:
      The form. `generator` then needs the real rows' logits.

    References:
      Jolicoeur-Martineau, The relativistic discriminator, ICLR 2019, eq. (9)-(12).
    """
    return form._replace(relative_to="means")


def discriminator(
    form: Form, real: jax.Array, *negatives: jax.Array, weights: Sequence[float] | None = None
) -> jax.Array:
    """The discriminator's loss: what real rows lose, plus a weighted sum of what each kind of other rows loses.

    Args:
      form: of this file.
      real: `[n, ...]` logits of real rows.
      *negatives: `[n, ...]` logits of rows that should be told apart from them: generated, or real with a text that
        belongs to another, ... Below `relativistic` their entries must match those of `real` or be broadcast to them.
      weights: one for each kind of negatives; equal ones that sum to 1 if None.

    Returns:
      `[n]`, float32 or wider: the mean over the entries of each row.

    Raises:
      ValueError: no negatives, a number of weights that is not that of the negatives, unequal numbers of rows, or
        shapes that cannot be compared entry by entry.

    Examples:
      >>> import jax.numpy as jnp
      >>> from gentoolkit.objectives import adversarial
      >>> real, fake, mismatched = jnp.float32([2]), jnp.float32([-0.5]), jnp.float32([0.5])
      >>> float(adversarial.discriminator(adversarial.hinge(), real, fake, mismatched)[0])
      1.0
    """
    if not negatives:
        raise ValueError("negatives must be given: the logits of generated rows at least.")
    if weights is None:
        weights = [1.0 / len(negatives)] * len(negatives)
    if len(weights) != len(negatives):
        raise ValueError(f"weights must be one for each of {len(negatives)} kinds of negatives, got {len(weights)}.")
    names = ["real", *(f"negatives[{place}]" for place in range(len(negatives)))]
    named = dict(zip(names, (real, *negatives), strict=True))
    _rows.check(**named)
    real, *others = _array.as_floating(**named)
    if form.relative_to == "nothing":
        terms = [_rows.mean(form.fake(other)) for other in others]
        return _rows.mean(form.real(real)) + _weighted(weights, terms)
    terms = [_relative(form, form.real, form.fake, real, *pair) for pair in zip(others, names[1:], strict=True)]
    return _weighted(weights, terms)


def generator(form: Form, fake: jax.Array, *, real: jax.Array | None = None) -> jax.Array:
    """The generator's loss of the logits of its rows.

    Args:
      form: of this file.
      fake: `[n, ...]` logits of generated rows.
      real: `[n, ...]` logits of real rows, for relativistic forms, and for these alone.

    Returns:
      `[n]`, float32 or wider: the mean over the entries of each row.

    Raises:
      ValueError: `real` is missing or not used, unequal numbers of rows, or shapes that cannot be compared entry by
        entry.
    """
    if (real is None) != (form.relative_to == "nothing"):
        said = "must be given to" if real is None else "is not used by"
        raise ValueError(f"real {said} the generator's loss of a form that is relative to {form.relative_to}.")
    if real is None:
        _rows.check(fake=fake)
        (fake,) = _array.as_floating(fake=fake)
        return _rows.mean(form.fooling(fake))
    _rows.check(fake=fake, real=real)
    fake, real = _array.as_floating(fake=fake, real=real)
    return _relative(form, form.real, form.fake, fake, real, "real")


def _relative(form: Form, up: Curve, down: Curve, first: jax.Array, second: jax.Array, name: str) -> jax.Array:
    """The loss where `first` should be larger than `second`."""
    if form.relative_to == "means":
        return _rows.mean(up(first - jnp.mean(second))) + _rows.mean(down(second - jnp.mean(first)))
    # [n] less [n, 1] would be [n, n], every row against every other.
    if first.ndim != second.ndim:
        raise ValueError(
            f"{name} must have as many axes as its counterpart to be compared entry by entry, got shapes "
            f"{first.shape} and {second.shape}."
        )
    return _rows.mean(up(first - second))


def _weighted(weights: Sequence[float], terms: list[jax.Array]) -> jax.Array:
    return sum((weight * term for weight, term in zip(weights, terms, strict=True)), jnp.zeros_like(terms[0]))


def _softplus_of_minus(x):
    return jax.nn.softplus(-x)


def _minus_softplus(x):
    return -jax.nn.softplus(x)


def _squared_distance(target, x):
    return jnp.square(x - target)


def _hinge_below(x):
    return jax.nn.relu(1.0 - x)


def _hinge_above(x):
    return jax.nn.relu(1.0 + x)
