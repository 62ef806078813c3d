"""What the measures by destructors have in common: their options, their estimate, problems on leading axes."""

import functools
from collections.abc import Callable
from typing import Literal, get_args

import jax
import jax.numpy as jnp

from gentoolkit._array import as_floating
from gentoolkit.information import _flow, _forms
from gentoolkit.information._checks import check_count
from gentoolkit.information.estimate import Estimate, null_summary

# Called with how many estimates are done, how many there will be, and the estimate on the data.
Progress = Callable[[int, int, Estimate], None]
Form = Literal["likelihood", "telescoped", "classical", "unstopped"]


@functools.partial(jax.jit, inline=True)
def mean_of(terms: jax.Array, trace: jax.Array, *samples: jax.Array, shortfall: jax.Array | None = None) -> Estimate:
    """Estimate from one term a row.

    Args:
      terms: `[rows]`.
      trace: `[layers]`.
      *samples: `[n, d]` arrays, for NaN.
      shortfall: `[]`, what of the mean is a correction; None if nothing is.

    Returns:
      `Estimate` with the mean and its standard error.
    """
    bad = jnp.any(jnp.stack([jnp.isnan(x).any() for x in samples]))
    error = jnp.std(terms, ddof=1) / terms.size**0.5
    if shortfall is not None:
        error = with_shortfall(error, shortfall)
    found = Estimate(terms.mean(), error, trace=trace, shortfall=shortfall)
    return jax.tree.map(lambda a: jnp.where(bad, jnp.nan, a), found)


def with_shortfall(error: jax.Array, shortfall: jax.Array) -> jax.Array:
    """Standard error that also has half of a correction in it.

    Args:
      error: `[]` standard error by chance.
      shortfall: `[]` the correction.

    Returns:
      `[]`.
    """
    return jnp.sqrt(error * error + 0.25 * shortfall * shortfall)


def null_key(key: jax.Array) -> jax.Array:
    """The key that draws the null, so that `key` itself gives the data the same value with a null and without.

    Args:
      key: PRNG key of the estimate.

    Returns:
      Another PRNG key.
    """
    return jax.random.fold_in(key, 1)


def with_null(
    estimate: Callable[[jax.Array], Estimate],
    data: jax.Array,
    copies: Callable[[], jax.Array],
    num: int,
    progress: Progress | None,
    *,
    traced: bool,
) -> Estimate:
    """Estimates on the data, and on copies in which there is nothing to find.

    Data and copies go through the same program. Traced, or off the CPU, this is one batch; on a CPU, where a batch
    takes as long as its parts, they come one after another, and `progress` hears of each.

    Args:
      estimate: function of one array.
      data: what is asked about.
      copies: gives `[B, ...]`, each of the shape of the data; called after the estimate on the data.
      num: B; 0 for no null.
      progress: called with how many estimates are done, how many there will be, and that of the data.
      traced: whether the estimate is under a transformation.

    Returns:
      `Estimate` of the data with the law of the value under the null.
    """
    if not num or not (traced or jax.default_backend() != "cpu"):
        value = estimate(data)
        if progress is not None and not traced:
            jax.block_until_ready(value.value)
            progress(1, 1 + num, value)
        if not num:
            return value
        found = []
        for copy in copies():
            found.append(estimate(copy).value)
            if progress is not None:
                jax.block_until_ready(found[-1])
                progress(1 + len(found), 1 + num, value)
        null = jnp.stack(found)
    else:
        every = jax.vmap(estimate)(jnp.concatenate([data[None], copies()]))
        value, null = jax.tree.map(lambda field: field[0], every), every.value[1:]
    null_mean, null_std, p = null_summary(value.value, null)
    return value._replace(null_mean=null_mean, null_std=null_std, p_value=p)


def check_options(
    form: str, num_layers: int | None, num_folds: int, num_permutations: int, n: int, max_components: int
) -> int:
    """Checks the options that the measures share.

    Args:
      form: one of `Form`.
      num_layers: or None for the default of the form.
      num_folds: at least 2.
      num_permutations: at least 0.
      n: rows.
      max_components: at least 1; more than a mixture has are as many as it has.

    Returns:
      The number of layers.

    Raises:
      ValueError: an unknown form, a bad count, or too few rows.
    """
    if form not in get_args(Form):
        raise ValueError(f"form must be one of {get_args(Form)}, got {form!r}.")
    if num_layers is None:
        num_layers = _flow.NUM_LAYERS if form == "likelihood" else _forms.NUM_LAYERS
    check_count(0 if form == "likelihood" else 1, num_layers=num_layers)
    check_count(2, num_folds=num_folds)
    check_count(1, max_components=max_components)
    check_count(0, num_permutations=num_permutations)
    least = 10 * num_folds if form == "likelihood" else 20
    if n < least:
        raise ValueError(f"The {form} form needs at least {least} rows, got n = {n}.")
    return num_layers


def over_problems(one: Callable[..., Estimate], key: jax.Array, *samples: jax.Array) -> Estimate:
    """`one(key, *samples [n, d])` on every leading problem, each with its own key.

    Args:
      one: function of one problem.
      key: PRNG key.
      *samples: `[..., n, d]` arrays with the same leading axes.

    Returns:
      `Estimate` with the leading axes in front.

    Raises:
      ValueError: leading axes differ.
    """
    batch = samples[0].shape[:-2]
    if any(x.shape[:-2] != batch for x in samples):
        raise ValueError(f"Leading axes must agree, got {[x.shape for x in samples]}.")
    arrays = as_floating(**{f"sample_{i}": x for i, x in enumerate(samples)})
    if not batch:
        return one(key, *arrays)
    flat = [x.reshape(-1, *x.shape[-2:]) for x in arrays]
    out = jax.vmap(one)(jax.random.split(key, flat[0].shape[0]), *flat)
    return jax.tree.map(lambda a: a.reshape(batch + a.shape[1:]), out)
