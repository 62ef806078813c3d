"""The measures of a table by density destructors: in the numbers as they stand in the file, compiled once and kept."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gentoolkit import information
from gentoolkit.distances import sorting
from gentoolkit.information import estimate

Measure = Literal["total_correlation", "mutual_information", "entropy"]

# Up to this many numbers XLA's own sort costs little, and a program with it can be kept for the next run.
_KEPT = 50_000
# Up to this many numbers a program that LLVM does not optimize, and that does not go by way of MLIR, ends earlier.
_QUICK = 10_000
_QUICKLY = {"xla_backend_optimization_level": 0, "xla_cpu_use_fusion_emitters": False}


class Prepared(NamedTuple):
    """What a measure is taken of.

    Attributes:
      x: `[rows, columns]` float32.
      offset: nats to add to the measure of `x`.
    """

    x: jax.Array
    offset: float


def prepare(values: np.ndarray, measure: Measure) -> Prepared:
    """Brings float64 values into float32 without loss of what the measure depends on.

    Shared information depends on the order of each column alone, so that columns become their ranks, however large or
    close to one another the values are. For an entropy each column loses its median and is divided by a power of two
    next to its typical deviation, whose logarithm is added again.

    Args:
      values: `[rows, columns]` float64, finite.
      measure: which.

    Returns:
      What the estimator takes.
    """
    if measure != "entropy":
        ranks = np.stack([np.unique(column, return_inverse=True)[1] for column in values.T], axis=1)
        return Prepared(jnp.asarray(ranks - ranks.max(axis=0) // 2, jnp.float32), 0.0)
    centered = values - np.median(values, axis=0)
    size = np.abs(centered)
    typical, largest = np.median(size, axis=0), size.max(axis=0)
    typical = np.where(typical > 0, typical, np.where(largest > 0, largest, 1.0))
    exponent = np.round(np.log2(typical))
    return Prepared(
        jnp.asarray(np.ldexp(centered, -exponent.astype(int)), jnp.float32), float(np.log(2) * exponent.sum())
    )


def estimator(measure: Measure, split: int | None, **options: Any) -> Callable[[jax.Array, jax.Array], Any]:
    """The estimator of a measure as a function of a key and a sample.

    Args:
      measure: which.
      split: columns of the first block, for mutual information.
      **options: as in `information.total_correlation` and its sisters.

    Returns:
      `(key, x) -> Estimate`.
    """
    if measure == "entropy":
        return lambda key, x: information.entropy(key, x, **options)
    if measure == "total_correlation":
        return lambda key, x: information.total_correlation(key, x, **options)
    return lambda key, x: information.mutual_information(key, x[:, :split], x[:, split:], **options)


def compiled(function: Callable, x: jax.Array, *, once: bool = False) -> Callable[[jax.Array, jax.Array], Any]:
    """The compiled program of an estimator for samples of the shape of `x`; small ones are kept between runs.

    Args:
      function: the estimator.
      x: a sample.
      once: it will be called once: for small tables a third of the time to compile counts more than twice that to run.
    """
    with _kept(x.size):
        lowered = jax.jit(function).lower(jax.random.key(0), x)
        if once and x.size <= _QUICK and jax.default_backend() == "cpu":
            with contextlib.suppress(jax.errors.JaxRuntimeError):  # another jaxlib may not know the options
                return lowered.compile(compiler_options=_QUICKLY)
        return lowered.compile()


@contextlib.contextmanager
def _kept(size: int) -> Iterator[None]:
    with sorting.prefer("xla") if size <= _KEPT else contextlib.nullcontext():
        yield


def permuted(key: jax.Array, x: jax.Array, measure: Measure, split: int | None) -> jax.Array:
    """A copy in which what is measured is broken: each column shuffled by itself, or the second block as a whole."""
    if measure == "total_correlation":
        return estimate.permuted_columns(key, x, num=1)[0]
    return jnp.concatenate([x[:, :split], estimate.permuted(key, x[:, split:], num=1)[0]], axis=1)
