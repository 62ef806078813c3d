"""What normal scores say of a table within a second: a first number, and a test of independence by permutation.

The first number is the measure of the normal law that has the correlations of the scores. The test asks whether scores
and their squares are correlated across features, which sees what a normal law shows and what a common scale does.
"""

import numpy as np

_MOST_WORK = 1e11  # multiplications of the test; beyond, it looks at fewer rows
_FEWEST_ROWS = 500


def normal_scores(values: np.ndarray) -> np.ndarray:
    """Quantiles of N(0, 1) at the ranks of each column of `[rows, columns]`; ties share one."""
    from scipy import special, stats

    return special.ndtri((stats.rankdata(values, axis=0) - 0.5) / len(values))


def first_look(scores: np.ndarray, split: int | None = None) -> float | None:
    """Total correlation of the normal law with the correlations of the scores, or mutual information of its blocks.

    Args:
      scores: `[rows, columns]`, as from `normal_scores`.
      split: columns of the first block; None for the total correlation.

    Returns:
      Nats; None where the correlations are singular (equal or constant columns, few rows).
    """
    if len(scores) <= scores.shape[1] + 1 or np.any(scores.std(axis=0) == 0):
        return None
    correlation = np.corrcoef(scores, rowvar=False)
    blocks = [correlation] if split is None else [correlation, correlation[:split, :split], correlation[split:, split:]]
    if any(np.linalg.eigvalsh(block)[0] < 1e-8 for block in blocks):
        return None
    whole, *parts = (np.linalg.slogdet(block)[1] + _shrinkage(len(scores), len(block)) for block in blocks)
    return float(0.5 * (sum(parts) - whole))


def _shrinkage(rows: int, columns: int) -> float:
    """How much lower the mean log-determinant of sample correlations of a normal law is than the true one."""
    from scipy import special

    return float(np.sum(special.digamma((rows - 1) / 2) - special.digamma((rows - np.arange(1, columns + 1)) / 2)))


def independence_p_value(rng: np.random.Generator, scores: np.ndarray, num: int, split: int | None = None) -> float:
    """P-value of independence, of the columns or of two blocks of them, by permuted copies.

    The statistic is the sum of squared correlations, across columns (blocks), of scores and of their squares. Under
    independence all orders of the rows are equally likely, whatever the statistic: the p-value is exact.

    Args:
      rng: random numbers.
      scores: `[rows, columns]`, as from `normal_scores`.
      num: permuted copies.
      split: columns of the first block; None where every column stands for itself.

    Returns:
      `(1 + #{copies as large}) / (1 + num)`.
    """
    rows, columns = scores.shape
    most = int(max(_FEWEST_ROWS, _MOST_WORK / (2 * columns) ** 2 / (num + 1)))
    if rows > most:
        scores = scores[np.linspace(0, rows - 1, most).astype(int)]
    features = np.stack([scores, scores**2], axis=1)
    features -= features.mean(axis=0)
    length = np.sqrt((features**2).sum(axis=0))
    features = (features / np.where(length == 0, 1, length)).astype(np.float32)
    value = _statistic(features, split)
    larger = 0
    for _ in range(num):
        if split is None:
            copy = np.stack([rng.permutation(features[..., j]) for j in range(columns)], axis=-1)
        else:
            copy = np.concatenate([features[..., :split], rng.permutation(features[..., split:])], axis=-1)
        larger += _statistic(copy, split) >= value
    return (1 + larger) / (1 + num)


def _statistic(features: np.ndarray, split: int | None) -> float:
    """Sum of squared correlations across columns of `[rows, 2, columns]`, or across two blocks of columns."""
    if split is not None:
        a, b = (part.reshape(len(part), -1) for part in (features[..., :split], features[..., split:]))
        return float(np.sum((a.T @ b) ** 2, dtype=np.float64))
    flat = features.reshape(len(features), -1)
    products = (flat.T @ flat).reshape(2, features.shape[2], 2, features.shape[2]) ** 2
    return float(products.sum(dtype=np.float64) - np.einsum("iaja->", products, dtype=np.float64))
