"""Losses that pull pairs together and everything else in the batch apart."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from gentoolkit import _array
from gentoolkit.objectives import _rows


class Matching(NamedTuple):
    """Cross-entropies of a square matrix of logits whose diagonal holds the pairs.

    Attributes:
      rows: `[n]` among the columns of each row.
      columns: `[n]` among the rows of each column.
    """

    rows: jax.Array
    columns: jax.Array


def matching(logits: jax.Array, *, groups: jax.Array | None = None) -> Matching:
    """How badly each row picks its column out of all, and each column its row.

    Args:
      logits: `[n, n]`, entry (i, j) how well row i (an image) goes with column j (a text).
      groups: `[n]` integers; pairs of different rows of one group are neither right nor wrong and are left out.

    Returns:
      Both cross-entropies; log n where all logits are equal and no pair is left out.

    Raises:
      ValueError: the matrix is not square, or `groups` is not one integer a row.

    References:
      Xu et al., AttnGAN, CVPR 2018, eq. (11)-(12); Radford et al., Learning transferable visual models from natural
      language supervision, ICML 2021, figure 3.
    """
    shape = _array.shape(logits)
    if len(shape) != 2 or shape[0] != shape[1] or shape[0] == 0:
        raise ValueError(f"logits must be a square matrix of shape [n, n], got logits.shape = {shape}.")
    (logits,) = _array.as_floating(logits=logits)
    if groups is not None:
        if _array.shape(groups) != shape[:1]:
            raise ValueError(f"groups must be of shape [{shape[0]}], got groups.shape = {_array.shape(groups)}.")
        groups = jnp.asarray(groups)
        alike = (groups[:, None] == groups[None, :]) & ~jnp.eye(shape[0], dtype=bool)
        logits = jnp.where(alike, -jnp.inf, logits)
    pairs = jnp.diagonal(logits)
    return Matching(*(jax.nn.logsumexp(logits, axis=axis) - pairs for axis in (1, 0)))


def cosines(a: jax.Array, b: jax.Array) -> jax.Array:
    """Cosine of the angle between every row of one array and every row of another.

    Args:
      a: `[n, d]`.
      b: `[m, d]`.

    Returns:
      `[n, m]`, 0 for a row of zeros.

    Raises:
      ValueError: not two arrays of rows of the same length.
    """
    _array.check_samples(a=a, b=b)
    if len(_array.shape(a)) != 2 or len(_array.shape(b)) != 2:
        raise ValueError(f"a and b must have two axes, got shapes {_array.shape(a)} and {_array.shape(b)}.")
    a, b = (_unit(rows) for rows in _array.as_floating(a=a, b=b))
    return jnp.matmul(a, b.T, precision=jax.lax.Precision.HIGHEST)


def info_nce(
    a: jax.Array, b: jax.Array, *, temperature: ArrayLike = 0.07, groups: jax.Array | None = None
) -> jax.Array:
    """Symmetric cross-entropy of cosines over a temperature, the mean of both directions (CLIP's loss).

    Args:
      a: `[n, d]` codes, row i belonging to row i of `b`.
      b: `[n, d]`.
      temperature: may be traced and learned.
      groups: `[n]` integers; pairs of different rows of one group are left out.

    Returns:
      `[n]`.

    Raises:
      ValueError: shapes disagree, or a temperature that is not positive.

    References:
      van den Oord, Li, Vinyals, Representation learning with contrastive predictive coding, 2018, eq. (4); Radford et
      al., Learning transferable visual models from natural language supervision, ICML 2021, figure 3.
    """
    _array.check_positive(temperature=temperature)
    _rows.check(a=a, b=b)
    scores = cosines(a, b)
    found = matching(scores / jnp.asarray(temperature, scores.dtype), groups=groups)
    return (found.rows + found.columns) / 2.0


def _unit(rows: jax.Array) -> jax.Array:
    norm = _rows.root(_rows.sum_of_squares(rows))[:, None]
    return rows / jnp.where(norm == 0.0, 1.0, norm)
