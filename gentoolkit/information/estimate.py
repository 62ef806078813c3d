"""An information measure with its doubt: standard error by the jackknife, null law and p-value by permutation.

    value = functools.partial(nearest_neighbors.total_correlation, k=3)     # any [..., n, d] -> [...]
    got = estimate.with_doubt(key, value, x, num_permutations=99, num_groups=10)
    got.value, got.standard_error, got.p_value, got.debiased

A permutation breaks the dependence that is measured and nothing else, so the same estimator on permuted data says what
it gives when there is nothing to find: its bias (`null_mean`), its spread (`null_std`) and the p-value.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gentoolkit._array import as_array, as_floating, check_samples
from gentoolkit.distances import sorting
from gentoolkit.information._checks import check_count, paired_rows
from gentoolkit.information._samples import centered

Statistic = Callable[..., jax.Array]


class Estimate(NamedTuple):
    """A measure in nats, and how far to trust it. What was not asked for is None.

    Attributes:
      value: `[...]` the estimate.
      standard_error: `[...]` of `value`: chance, and half of `shortfall` where there is one. Other bias is not in it.
      null_mean: `[...]` mean of the estimator over permuted data, where the truth is 0.
      null_std: `[...]` its standard deviation there.
      p_value: `[...]` permutation p-value of "no dependence", `(1 + #{null >= value}) / (1 + B)`.
      trace: `[..., layers]` the estimate after each layer of the destructor, where one was fitted.
      shortfall: `[...]` how much of `value` is a correction for what was learnt wrong from few rows; without it
        (`value - shortfall`) stands what rows left out of the fit say.
    """

    value: jax.Array
    standard_error: jax.Array | None = None
    null_mean: jax.Array | None = None
    null_std: jax.Array | None = None
    p_value: jax.Array | None = None
    trace: jax.Array | None = None
    shortfall: jax.Array | None = None

    @property
    def debiased(self) -> jax.Array:
        """`value - null_mean`: without the bias that the estimator has under independence."""
        if self.null_mean is None:
            raise ValueError("The null was not asked for: set num_permutations > 0.")
        return self.value - self.null_mean


def permuted(key: jax.Array, x: jax.Array, *, num: int) -> jax.Array:
    """Copies of a sample in which the rows were shuffled, all features together.

    Args:
      key: PRNG key.
      x: `[..., n, d]` samples. Every problem and every copy has its own permutation.
      num: copies (static).

    Returns:
      `[num, ..., n, d]`.

    Raises:
      ValueError: `x` is not `[..., n, d]`, or `num` is not a positive integer.
    """
    x = as_array(x)
    check_samples(x=x)
    check_count(1, num=num)
    x = jnp.asarray(x)
    # Ranks of uniform numbers: a sort that is fast on CPU too. Equal numbers go by place, at a chance of 2^-24 a pair.
    order = sorting.ranks(jax.random.uniform(key, (num, *x.shape[:-1])))
    copies = jnp.broadcast_to(x[None], (num, *x.shape))
    return jnp.take_along_axis(copies, order[..., None], axis=-2, mode="promise_in_bounds")


def permuted_columns(key: jax.Array, x: jax.Array, *, num: int) -> jax.Array:
    """Copies of a sample in which every feature was shuffled by itself: same marginals, no dependence.

    Args:
      key: PRNG key.
      x: `[..., n, d]` samples.
      num: copies (static).

    Returns:
      `[num, ..., n, d]`.

    Raises:
      ValueError: `x` is not `[..., n, d]`, or `num` is not a positive integer.
    """
    check_samples(x=x)
    columns = jnp.swapaxes(jnp.asarray(x), -1, -2)[..., None]
    return jnp.swapaxes(permuted(key, columns, num=num)[..., 0], -1, -2)


def p_value(value: jax.Array, null: jax.Array) -> jax.Array:
    """The share of a null sample that is at least as large as the value, the value itself counted in.

    Args:
      value: `[...]` the statistic on the data.
      null: `[B, ...]` the statistic on permuted data.

    Returns:
      `[...]`, `(1 + #{null >= value}) / (1 + B)`: never below `1 / (1 + B)`, and uniform on its steps under the null.
      NaN if the value or a null value is NaN.

    Raises:
      ValueError: `null` has no leading axis of draws.

    References:
      Phipson and Smyth (2010), "Permutation p-values should never be zero".
    """
    value, null = as_floating(value=value, null=null)
    if null.ndim != value.ndim + 1 or null.shape[0] == 0:
        raise ValueError(f"null must be [B, ...] of value [...], got {null.shape} and {value.shape}.")
    count = jnp.sum((null >= value[None]).astype(value.dtype), axis=0)
    p = (1 + count) / (1 + null.shape[0])
    return jnp.where(jnp.isnan(value) | jnp.isnan(null).any(axis=0), jnp.nan, p)


def jackknife(statistic: Statistic, *samples: jax.Array, num_groups: int = 10) -> jax.Array:
    """Standard error of a statistic by the delete-a-group jackknife, the groups in one vmapped batch.

    Rows are taken as exchangeable: groups are every `num_groups`-th row. A remainder that fills no group always stays.

    Args:
      statistic: function of the samples, each `[..., n, d]`, that returns `[...]` and can be vmapped.
      *samples: `[..., n, d]` arrays; the rows of all of them are deleted together, as pairs.
      num_groups: groups (static), at least 2.

    Returns:
      `[...]` standard error, in the units of the statistic.

    Raises:
      ValueError: fewer rows than `num_groups`, rows that do not agree, or `num_groups < 2`.

    References:
      Efron and Tibshirani (1993), "An introduction to the bootstrap", sections 11.2 and 11.5.
    """
    keep = jackknife_rows(paired_rows(*samples), num_groups=num_groups)
    arrays = [jnp.asarray(as_array(x)) for x in samples]
    values = jax.vmap(lambda rows: statistic(*(x[..., rows, :] for x in arrays)))(jnp.asarray(keep))
    return jackknife_error(values)


def jackknife_rows(n: int, *, num_groups: int) -> np.ndarray:
    """The rows that stay as each group in turn is left out.

    Args:
      n: sample size.
      num_groups: groups (static), at least 2.

    Returns:
      `[num_groups, n - n // num_groups]` indices.

    Raises:
      ValueError: `n < num_groups` or `num_groups < 2`.
    """
    check_count(2, num_groups=num_groups)
    if n < num_groups:
        raise ValueError(f"num_groups must be at most the number of rows, got num_groups = {num_groups} and n = {n}.")
    size = n // num_groups
    rows = np.arange(n)
    group = np.where(rows < size * num_groups, rows % num_groups, -1)
    return np.stack([rows[group != g] for g in range(num_groups)]).astype(np.int32)


def jackknife_error(values: jax.Array) -> jax.Array:
    """Standard error from the values with each group left out.

    Args:
      values: `[num_groups, ...]`.

    Returns:
      `[...]`.
    """
    (values,) = as_floating(values=values)
    num = values.shape[0]
    return jnp.sqrt((num - 1) / num * jnp.sum((values - values.mean(axis=0, keepdims=True)) ** 2, axis=0))


def with_doubt(
    key: jax.Array,
    statistic: Statistic,
    *samples: jax.Array,
    num_permutations: int = 0,
    num_groups: int = 0,
) -> Estimate:
    """Any estimator of a dependence, with standard error, null and p-value.

    One sample is taken as asking for the dependence among its features (total correlation): each feature is permuted
    by itself. Of several samples (mutual information), each but the first has its rows permuted, whole.

    Args:
      key: PRNG key of the permutations.
      statistic: function of the samples, each `[..., n, d]`, that returns `[...]` and can be vmapped.
      *samples: `[..., n, d]` arrays with the same n. Wide ones have a center of each feature taken off on the host: a
        dependence does not change by it.
      num_permutations: B (static); 0 leaves out null and p-value. All B run in one vmapped batch: memory grows with B.
      num_groups: groups of the jackknife (static); 0 leaves out the standard error.

    Returns:
      `Estimate`, nats if the statistic is in nats; `trace` is None.

    Raises:
      ValueError: shapes or counts, as in `permuted` and `jackknife`.
    """
    paired_rows(*samples)
    check_count(0, num_permutations=num_permutations, num_groups=num_groups)
    samples = tuple(centered(**{f"samples[{i}]": x for i, x in enumerate(samples)}))
    value = statistic(*samples)
    error = jackknife(statistic, *samples, num_groups=num_groups) if num_groups else None
    if not num_permutations:
        return Estimate(value, error)
    null = jax.vmap(statistic)(*independent(key, *samples, num=num_permutations))
    return Estimate(value, error, *null_summary(value, null))


def independent(key: jax.Array, *samples: jax.Array, num: int) -> list[jax.Array]:
    """Permuted copies without the dependence that is asked for: of features (one sample) or of samples (several).

    Args:
      key: PRNG key.
      *samples: `[..., n, d]` arrays with the same n.
      num: copies (static).

    Returns:
      A list of `[num, ..., n, d]`.

    Raises:
      ValueError: shapes or counts, as in `permuted`.
    """
    paired_rows(*samples)
    samples = tuple(as_array(x) for x in samples)
    if len(samples) == 1:
        return [permuted_columns(key, samples[0], num=num)]
    first = jnp.broadcast_to(samples[0], (num, *jnp.shape(samples[0])))
    keys = jax.random.split(key, len(samples) - 1)
    return [first, *(permuted(k, x, num=num) for k, x in zip(keys, samples[1:], strict=True))]


def null_summary(value: jax.Array, null: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Mean, standard deviation and p-value of a null sample, in the order of `Estimate`.

    Args:
      value: `[...]` the statistic on the data.
      null: `[B, ...]` the statistic on permuted data.

    Returns:
      `null_mean`, `null_std` (divisor B - 1, or NaN for B = 1), `p_value`, each `[...]`.
    """
    value, null = as_floating(value=value, null=null)
    num = null.shape[0]
    spread = jnp.std(null, axis=0, ddof=1) if num > 1 else jnp.full_like(value, jnp.nan)
    return null.mean(axis=0), spread, p_value(value, null)


def concatenated(*samples: jax.Array) -> jax.Array:
    """Paired samples side by side.

    Args:
      *samples: `[..., n, d_i]` arrays with the same n.

    Returns:
      `[..., n, sum d_i]`, float32 or wider.

    Raises:
      ValueError: samples that are not paired row by row.
    """
    paired_rows(*samples)
    arrays = as_floating(**{f"sample_{i}": x for i, x in enumerate(samples)})
    return jnp.concatenate(arrays, axis=-1)
