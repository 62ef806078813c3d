"""Normal laws of features on the host, in float64: four forms of the squared Fréchet distance between two of them."""

from typing import NamedTuple

import numpy as np

from gentoolkit.evaluation.statistics import FeatureMoments


class Law(NamedTuple):
    """A normal law by its mean, and by its covariance or a factor of it, or both.

    Attributes:
      mean: `[d]`.
      cov: `[d, d]`, or None.
      factor: `[n, d]` with `factor^T factor` the covariance, or None.
    """

    mean: np.ndarray
    cov: np.ndarray | None = None
    factor: np.ndarray | None = None


def of_moments(moments: FeatureMoments) -> Law:
    """The law of a mean and a covariance.

    Args:
      moments: of features.

    Returns:
      The law.
    """
    return Law(np.asarray(moments.mean, np.float64), cov=np.asarray(moments.cov, np.float64))


def of_rows(rows: np.ndarray) -> Law:
    """The law of features, by the features themselves: exact, and small where there are fewer of them than dimensions.

    Args:
      rows: `[n, d]`, n >= 2.

    Returns:
      The law, whose covariance is divided by n - 1.
    """
    mean = rows.mean(axis=0, dtype=np.float64)
    return Law(mean, factor=(rows - mean) / np.sqrt(len(rows) - 1))


def squared_distance(a: Law, b: Law) -> float:
    """Squared Fréchet distance |m_a - m_b|^2 + tr A + tr B - 2 tr (A B)^1/2, in the form that costs least.

    By factors of few rows where there are such; else by a pivoted Cholesky factor of one covariance, of as many columns
    as its rank. No root of a matrix is taken, so that nothing fails where one is singular.

    Args:
      a: one law.
      b: the other.

    Returns:
      The distance; NaN if an entry is not finite. Rounding may take it below 0 by some 1e-9 of the traces.

    Raises:
      ValueError: laws of different dimension.

    References:
      Dowson and Landau, The Fréchet distance between multivariate normal distributions, 1982, eq. (4).
    """
    if a.mean.shape != b.mean.shape:
        raise ValueError(f"Both laws must have the same features, got {a.mean.shape} and {b.mean.shape}.")
    if not all(np.isfinite(array).all() for law in (a, b) for array in law if array is not None):
        return float("nan")
    offset = a.mean - b.mean
    return float(offset @ offset + _trace(a) + _trace(b) - 2.0 * trace_of_root(a, b))


def trace_of_root(a: Law, b: Law) -> float:
    """Finds tr (A^1/2 B A^1/2)^1/2, the sum of the singular values of a product of factors.

    Args:
      a: one law.
      b: the other.

    Returns:
      The trace.
    """
    if b.factor is not None and (a.factor is None or len(b.factor) < len(a.factor)):
        a, b = b, a
    if a.factor is not None and len(a.factor) <= a.factor.shape[1]:
        if b.factor is not None:
            product = a.factor @ b.factor.T
            return sum_of_roots(product @ product.T)
        return sum_of_roots(a.factor @ _cov(b) @ a.factor.T)
    return by_cholesky(_cov(a), _cov(b))


def by_cholesky(cov_a: np.ndarray, cov_b: np.ndarray) -> float:
    """Finds tr (A B)^1/2 from A = L L^T, pivoted, so that L has as many columns as A has rank: the roots of L^T B L.

    Args:
      cov_a: `[d, d]`, symmetric and positive semi-definite.
      cov_b: `[d, d]`, likewise.

    Returns:
      The trace.
    """
    import scipy.linalg

    factor, pivots, rank, _ = scipy.linalg.lapack.dpstrf(cov_a, lower=1)
    places = pivots - 1
    factor = np.tril(factor)[:, :rank]
    cov_b = cov_b[np.ix_(places, places)]
    if rank < len(cov_b):
        return sum_of_roots(factor.T @ (cov_b @ factor))
    # The same product in a quarter of the operations, since factor and product are triangles.
    product, _ = scipy.linalg.lapack.dsygst(cov_b.T, factor, itype=2, lower=1, overwrite_a=1)
    return sum_of_roots(product)


def by_eigenvectors(cov_a: np.ndarray, cov_b: np.ndarray) -> float:
    """Finds tr (A B)^1/2 from the symmetric root of A by its eigenvectors: the roots of A^1/2 B A^1/2.

    Args:
      cov_a: `[d, d]`, symmetric and positive semi-definite.
      cov_b: `[d, d]`, likewise.

    Returns:
      The trace.
    """
    values, vectors = np.linalg.eigh(cov_a)
    root = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    return sum_of_roots(root @ cov_b @ root)


def by_product(cov_a: np.ndarray, cov_b: np.ndarray) -> float:
    """Finds tr (A B)^1/2 from the eigenvalues of the product itself, which is not symmetric; to compare with.

    Args:
      cov_a: `[d, d]`, symmetric and positive semi-definite.
      cov_b: `[d, d]`, likewise.

    Returns:
      The trace.
    """
    return float(np.sqrt(np.maximum(np.linalg.eigvals(cov_a @ cov_b).real, 0.0)).sum())


def transport_root(a: Law, b: Law) -> np.ndarray:
    """A root of the linear map that carries N(0, B) onto N(0, A), within the directions that both have.

    The derivative of the squared distance by B is I less that map.

    Args:
      a: the law that is reached.
      b: the law that is carried.

    Returns:
      `[d, r]`, whose product with its transpose is the map; r is the rank of both.

    References:
      Bhatia, Jain, Lim, On the Bures-Wasserstein distance between positive definite matrices, 2019, section 3.
    """
    import scipy.linalg

    if a.factor is not None and len(a.factor) <= a.factor.shape[1]:
        factor = a.factor.T
    else:
        triangle, pivots, rank, _ = scipy.linalg.lapack.dpstrf(_cov(a), lower=1)
        factor = np.empty((len(triangle), rank))
        factor[pivots - 1] = np.tril(triangle)[:, :rank]
    carried = _cov(b) @ factor if b.factor is None else b.factor.T @ (b.factor @ factor)
    inner, directions = np.linalg.eigh(factor.T @ carried)
    kept = inner > inner[-1] * len(inner) * np.finfo(float).eps
    return factor @ (directions[:, kept] / np.sqrt(np.sqrt(inner[kept])))


def _cov(law: Law) -> np.ndarray:
    if law.cov is not None:
        return law.cov
    assert law.factor is not None, "a law has one of the two"
    return law.factor.T @ law.factor


def _trace(law: Law) -> float:
    return float(np.trace(_cov(law))) if law.factor is None else float(np.vdot(law.factor, law.factor))


def sum_of_roots(matrix: np.ndarray) -> float:
    """Sum of the roots of the eigenvalues of a matrix that is symmetric and semi-definite but for rounding.

    Args:
      matrix: `[n, n]`, of which the lower triangle is read; n may be 0.

    Returns:
      The sum; eigenvalues below 0 count as 0.
    """
    import scipy.linalg

    if not matrix.size:
        return 0.0
    values = scipy.linalg.eigvalsh(matrix, lower=True, driver="evr", check_finite=False)
    return float(np.sqrt(np.maximum(values, 0.0)).sum())
