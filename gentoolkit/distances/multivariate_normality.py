r"""Distances of a sample to N(0, I) in d dimensions without slices: by transforms of all pairs, in O(n² d) time.

| function | compares | under N(0, I) |
|---|---|---|
| `bhep` | characteristic functions, weight N(0, beta² I) | 1/n (1 - (1 + 2 beta²)^(-d/2)) |
| `henze_zirkler` | the same with beta of n and d | the same |
| `henze_koch` | moment generating functions | heavy tails: finite for beta > 2 |
| `henze_visagie` | moment generating function and its gradient | finite for gamma > 2 |
| `combined` | product of both transforms with 1; signed, no distance | finite for gamma > 1/2 |

All work on the sample as it stands, so that a wrong mean or scale counts; `affine_invariant=True` centres and whitens
it first by its own covariance, which makes the classical tests of any normal law (but lets a collapse to an ellipsoid
pass). Moment generating functions grow like exp(|x|²): in more than some tens of dimensions they are infinite in
float32 or decided by the farthest pair, where `bhep` sees nothing but the diagonal. There take slices.
`normality.null_mean` and `normality.p_value` take these functions too, with `dim`.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from gentoolkit import _array, _scale
from gentoolkit.distances import _numerics, _pairwise, mardia, products

# Entries of a block of pairs that stays in a core's cache.
_BLOCK_PAIRS = 1 << 18


class Null(NamedTuple):
    """What n times a statistic tends to under the null: its mean and variance."""

    mean: float
    variance: float


def bhep(x: jax.Array, *, beta: float, affine_invariant: bool = False, block_size: int | None = None) -> jax.Array:
    r"""Distance of Baringhaus, Henze, Epps and Pulley to N(0, I): characteristic functions in L2, weight N(0, beta² I).

        mean_ij exp(-beta² |x_i - x_j|²/2) - 2 (1 + beta²)^(-d/2) mean_i exp(-beta² |x_i|²/(2 (1 + beta²)))
          + (1 + 2 beta²)^(-d/2),

    over all n² pairs: `BHEP` of lejepa, and `normality.epps_pulley` for d = 1 and beta = 1; n times it is the published
    statistic. Each term is taken less (1 + 2 beta²)^(-d/2) before it is summed, which keeps float32 to some 1e-5 of the
    value. Far out its gradient vanishes.

    Args:
      x: `[..., n, d]` samples; leading axes are independent problems. For samples spread over devices see
        `mmd.squared`.
      beta: static, > 0. A small beta sees the first moments alone, a large one next neighbours.
      affine_invariant: static, whether to centre and whiten x by its own covariance (divisor n) first.
      block_size: rows and columns of a tile of pairs (static), None to choose.

    Returns:
      `[...]`, >= 0 but for rounding, float32 or wider. NaN and infinite entries give NaN.

    Raises:
      ValueError: `x` is not a non-empty `[..., n, d]`, beta is not positive and finite, or `block_size` < 1.
      TypeError: `x` is not real.

    References:
      Baringhaus and Henze, "A consistent test for multivariate normality based on the empirical characteristic
      function", Metrika 1988.
      Henze and Wagner, "A new approach to the BHEP tests for multivariate normality", JMVA 1997.
    """
    _check_option(beta=beta)
    x = _prepared(x, affine_invariant)
    n, dim = x.shape[-2:]
    square = float(beta) ** 2
    typical = (1 + 2 * square) ** (-dim / 2)
    offset = jnp.full(x.shape[:-2], typical, x.dtype)
    pairs = _pairwise.within(Partial(_gaussian, _in_two(square / 2, x.dtype)), x, offset=offset, block_size=block_size)
    norms = jnp.sum(x * x, axis=-1)
    coarse, fine = _in_two((1 + square) ** (-dim / 2), x.dtype)
    kernel = _gaussian(_in_two(square / (2 + 2 * square), x.dtype), norms)
    cross = jnp.mean(kernel * coarse - offset[..., None] + kernel * fine, axis=-1)
    # What the offset, as a number of that dtype, is off by counts with the weights of the three terms.
    rest = (typical - float(np.asarray(typical, x.dtype))) * (1 + 1 / n)
    value = (1 - 1 / n) * pairs - 2 * cross + ((1 - typical) / n + rest)
    return jnp.where(_numerics.all_finite(x, axes=2), value, jnp.nan)


def henze_zirkler(x: jax.Array, *, affine_invariant: bool = False, block_size: int | None = None) -> jax.Array:
    r"""Henze-Zirkler distance to N(0, I): `bhep` with beta = ((2d + 1) n/4)^(1/(d + 4)) / sqrt(2).

    `HZ` of lejepa. beta is that of the best kernel density estimate of a normal law; in one dimension it is
    `normality.cramer_wold` up to a factor. The published test is n times this with `affine_invariant=True`, and
    `normality.p_value` knows its law then.

    Args:
      x: `[..., n, d]` samples; leading axes are independent problems.
      affine_invariant: static, as in `bhep`.
      block_size: rows and columns of a tile of pairs (static), None to choose.

    Returns:
      `[...]`, >= 0 but for rounding, float32 or wider. NaN and infinite entries give NaN.

    Raises:
      ValueError: `x` is not a non-empty `[..., n, d]`, or `block_size` < 1.
      TypeError: `x` is not real.

    References:
      Henze and Zirkler, "A class of invariant consistent tests for multivariate normality", Communications in
      Statistics 1990.
    """
    _array.check_samples(x=x)
    n, dim = _array.shape(x)[-2:]
    return bhep(x, beta=optimal_beta(n, dim), affine_invariant=affine_invariant, block_size=block_size)


def optimal_beta(n: int, dim: int) -> float:
    """The beta of `henze_zirkler`, ((2 dim + 1) n/4)^(1/(dim + 4)) / sqrt(2).

    Args:
      n: sample size.
      dim: dimension.

    Returns:
      A Python float.
    """
    return ((2 * dim + 1) * n / 4) ** (1 / (dim + 4)) / math.sqrt(2)


def henze_koch(
    x: jax.Array, *, beta: float = 10.0, affine_invariant: bool = False, block_size: int | None = None
) -> jax.Array:
    r"""Henze-Koch statistic: moment generating functions in L2, n times, without the factor pi^(d/2).

        n [beta^(-d/2) mean_ij exp(|x_i + x_j|²/(4 beta)) - 2 (beta - 1/2)^(-d/2) mean_i exp(|x_i|²/(4 beta - 2))
           + (beta - 1)^(-d/2)].

    `BHEP_M` of lejepa is this less its last term, a constant.

    Args:
      x: `[..., n, d]` samples; leading axes are independent problems.
      beta: static, > 1; the null mean is finite from 2 on.
      affine_invariant: static, as in `bhep`.
      block_size: rows of a block of pairs (static), None to choose.

    Returns:
      `[...]`, >= 0 but for rounding, float32 or wider; infinite where an exponential overflows (in float32 about
      |x|² > 88 beta). NaN and infinite entries give NaN.

    Raises:
      ValueError: `x` is not a non-empty `[..., n, d]`, beta is not above 1 and finite, or `block_size` < 1.
      TypeError: `x` is not real.

    References:
      Henze and Koch, "On a test of normality based on the empirical moment generating function", Statistical Papers
      2020.
    """
    _check_option(beta=beta, above=1.0)
    x = _prepared(x, affine_invariant)
    n, dim = x.shape[-2:]
    log_share, log_cross = (dim / 2 * math.log(b / (beta - 1)) for b in (beta, beta - 0.5))

    # Relative to the last term, which both means are equal to under the null.
    def excess(inner, rows, columns):
        return jnp.expm1((rows + columns + 2 * inner) * (1 / (4 * beta)) - log_share)

    norms = jnp.sum(x * x, axis=-1)
    cross = jnp.mean(jnp.expm1(norms * (1 / (4 * beta - 2)) - log_cross), axis=-1)
    value = n * (beta - 1) ** (-dim / 2) * (_mean_over_pairs(excess, x, block_size) - 2 * cross)
    return jnp.where(_numerics.all_finite(x, axes=2), value, jnp.nan)


def henze_visagie(
    x: jax.Array, *, gamma: float = 5.0, affine_invariant: bool = False, block_size: int | None = None
) -> jax.Array:
    r"""Henze-Visagie statistic: how far the moment generating function M is from solving grad M = t M.

        1/n Σ_ij exp(s/(4 gamma)) (x_i . x_j - s/(2 gamma) + d/(2 gamma) + s/(4 gamma²)),    s = |x_i + x_j|²,

    which is n times the integral of |grad M(t) - t M(t)|² exp(-gamma |t|²) without the factor (pi/gamma)^(d/2). `HV` of
    lejepa, whose default gamma = 1 is outside of what the authors study (gamma > 2): its mean under N(0, I) is then
    infinite.

    Args:
      x: `[..., n, d]` samples; leading axes are independent problems.
      gamma: static, > 0.
      affine_invariant: static, as in `bhep`.
      block_size: rows of a block of pairs (static), None to choose.

    Returns:
      `[...]`, >= 0 but for rounding, float32 or wider; infinite or NaN where an exponential overflows (in float32 about
      |x|² > 88 gamma). NaN and infinite entries give NaN.

    Raises:
      ValueError: `x` is not a non-empty `[..., n, d]`, gamma is not positive and finite, or `block_size` < 1.
      TypeError: `x` is not real.

    References:
      Henze and Visagie, "Testing for normality in any dimension based on a partial differential equation involving the
      moment generating function", Annals of the Institute of Statistical Mathematics 2020.
    """
    _check_option(gamma=gamma)
    x = _prepared(x, affine_invariant)
    n, dim = x.shape[-2:]

    def term(inner, rows, columns):
        total = rows + columns + 2 * inner
        factor = inner + total * (1 / (4 * gamma**2) - 1 / (2 * gamma)) + dim / (2 * gamma)
        return jnp.exp(total * (1 / (4 * gamma))) * factor

    value = n * _mean_over_pairs(term, x, block_size)
    return jnp.where(_numerics.all_finite(x, axes=2), value, jnp.nan)


def combined(
    x: jax.Array, *, gamma: float = 1.0, affine_invariant: bool = False, block_size: int | None = None
) -> jax.Array:
    r"""Statistic of both transforms: the real part of the characteristic function times the generating one, less 1.

        sqrt(n) (mean_ij exp((|x_i|² - |x_j|²)/(4 gamma)) cos(x_i . x_j/(2 gamma)) - 1),

    for N(0, I) alone the product is 1 everywhere. It is signed: large values of either sign speak against normality, so
    minimise its absolute value or its square. `COMB` of lejepa, whose default gamma = 0.1 has no mean under N(0, I):
    that is finite for gamma > 1/2.

    Args:
      x: `[..., n, d]` samples; leading axes are independent problems.
      gamma: static, > 0.
      affine_invariant: static, as in `bhep`.
      block_size: rows of a block of pairs (static), None to choose.

    Returns:
      `[...]`, of either sign, float32 or wider; infinite or NaN where an exponential overflows (in float32 about
      |x|² > 350 gamma). NaN and infinite entries give NaN.

    Raises:
      ValueError: `x` is not a non-empty `[..., n, d]`, gamma is not positive and finite, or `block_size` < 1.
      TypeError: `x` is not real.

    References:
      Henze, Jimenez-Gamero and Meintanis, "Characterizations of multinormality and corresponding tests of fit,
      including for GARCH models", Econometric Theory 2019.
    """
    _check_option(gamma=gamma)
    x = _prepared(x, affine_invariant)
    n = x.shape[-2]

    def term(inner, rows, columns):
        return jnp.exp((rows - columns) * (1 / (4 * gamma))) * jnp.cos(inner * (1 / (2 * gamma))) - 1

    value = math.sqrt(n) * _mean_over_pairs(term, x, block_size)
    return jnp.where(_numerics.all_finite(x, axes=2), value, jnp.nan)


def _check_option(*, above: float = 0.0, **options: float) -> None:
    for name, value in options.items():
        if _array.is_traced(value) or not np.isscalar(value) or not (above < value < math.inf):  # type: ignore[operator]
            raise ValueError(f"{name} must be a static number above {above:g} and finite, got {name} = {value}.")


def _prepared(x: jax.Array, affine_invariant: bool) -> jax.Array:
    _array.check_samples(x=x)
    (x,) = _array.as_floating(x=_scale.center_on_host(x)[0] if affine_invariant else x)
    return mardia._whiten(x)[0] if affine_invariant else x


def _in_two(value: float, dtype) -> tuple[jax.Array, jax.Array]:
    """A number as a sum of two of a dtype, the first of so few bits that products by it are rounded either way."""
    mantissa, exponent = math.frexp(value)
    coarse = math.ldexp(round(mantissa * 2**8), exponent - 8)
    return jnp.asarray(coarse, dtype), jnp.asarray(value - coarse, dtype)


def _gaussian(rate, r2):
    coarse, fine = rate
    return jnp.exp(-(coarse * r2 + fine * r2))


def _mean_over_pairs(term: Callable, x: jax.Array, block_size: int | None) -> jax.Array:
    """Mean over all n² pairs of `term(x_i . x_j, |x_i|², |x_j|²)`, in blocks of rows, each computed twice."""
    if block_size is not None and block_size < 1:
        raise ValueError(f"block_size must be >= 1 or None, got block_size = {block_size}.")
    n, dim = x.shape[-2:]
    rows = min(n, max(1, _BLOCK_PAIRS // n) if block_size is None else block_size)
    num = -(-n // rows)

    def of_one(x):
        norms = jnp.sum(x * x, axis=-1)
        blocks = jnp.pad(x, ((0, num * rows - n), (0, 0))).reshape(num, rows, dim)
        real = (np.arange(num * rows) < n).reshape(num, rows)

        @jax.checkpoint
        def block(part):
            some, counts = part
            values = term(products.matmul(some, x.T), jnp.sum(some * some, axis=-1)[:, None], norms[None, :])
            return jnp.sum(jnp.where(counts[:, None], values, 0)) / n

        return jnp.sum(jax.lax.map(block, (blocks, jnp.asarray(real)))) / n

    flat = x.reshape(math.prod(x.shape[:-2]), n, dim)
    return jax.vmap(of_one)(flat).reshape(x.shape[:-2])


def bhep_null(n: int, dim: int, *, beta: float, affine_invariant: bool = False) -> Null:
    """Mean and variance of the law that n times `bhep` tends to under the null.

    Args:
      n: sample size; the limit does not depend on it.
      dim: dimension.
      beta: as in `bhep`.
      affine_invariant: as in `bhep`; the raw form's mean is exact for every n.

    Returns:
      `Null`.

    References:
      Henze and Zirkler 1990, theorem 2.3 (mean and variance of the affine-invariant form).
    """
    del n
    b, fit = beta**2, float(affine_invariant)
    a, w = 1 + 2 * b, (1 + b) * (1 + 3 * b)
    mean = 1 - a ** (-dim / 2) * (1 + fit * (dim * b / a + dim * (dim + 2) * b**2 / (2 * a**2)))
    variance = 2 * (1 + 4 * b) ** (-dim / 2)
    variance += 2 * a**-dim * (1 + fit * (2 * dim * b**2 / a**2 + 3 * dim * (dim + 2) * b**4 / (4 * a**4)))
    variance -= 4 * w ** (-dim / 2) * (1 + fit * (3 * dim * b**2 / (2 * w) + dim * (dim + 2) * b**4 / (2 * w**2)))
    return Null(mean, variance)
