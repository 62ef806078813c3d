"""Rotation-based iterative Gaussianization: layers of marginal maps and rotations, fitted in one compiled scan.

::

    d = rbig.fit(key, x)                            # x [n, d]
    z, log_det = rbig.forward(d, x)                 # z is close to N(0, I)
    x = rbig.inverse(d, z)
    rbig.log_prob(d, x)                             # of the fitted density, anywhere
    rbig.sample(key, d, 1000)
    d.trace.delta                                   # nats of total correlation removed by each layer

A layer is a marginal Gaussianization, which leaves total correlation as it is, and a rotation, which leaves the joint
entropy as it is: what the rotation takes off the sum of the marginal entropies is total correlation removed. After the
last layer one more marginal map makes every marginal Gaussian; it removes nothing.

Fitting is a pure function with static shapes: it runs as one compiled program, under the caller's `jit` or by itself,
and over many problems at once by leading axes of `x` or `jax.vmap`. The destructor is a pytree, and has the leading
axes of the data it was fitted to.
"""

import dataclasses
import functools
import operator
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gentoolkit import _pytree, _scale
from gentoolkit._array import as_array, as_floating, check_samples
from gentoolkit.distances import sorting
from gentoolkit.gaussianization import _compensated, normal_law, univariate_entropy
from gentoolkit.gaussianization import marginal as _marginal
from gentoolkit.gaussianization import rotation as _rotation
from gentoolkit.gaussianization.marginal.variant import Compensated, Marginal
from gentoolkit.gaussianization.rotation import Rotation


class Layer(NamedTuple):
    """One layer, or all of them stacked on a first axis.

    Attributes:
      marginal: what the marginal variant fitted, one map a feature.
      rotation: `[d, d]`, orthogonal; rows are the new axes.
    """

    marginal: Any
    rotation: jax.Array


class Trace(NamedTuple):
    """What fitting saw, layer by layer, on the sample it was given; L layers.

    Attributes:
      entropy_before: `[..., L, d]`, marginal entropies of what enters a layer, in nats.
      entropy_gaussianized: `[..., L, d]`, after its marginal maps.
      entropy_rotated: `[..., L, d]`, after its rotation.
      delta: `[..., L]`, total correlation removed: the sum of `entropy_gaussianized - entropy_rotated` over features.
    """

    entropy_before: jax.Array
    entropy_gaussianized: jax.Array
    entropy_rotated: jax.Array
    delta: jax.Array


@_pytree.register
@dataclasses.dataclass(frozen=True)
class Destructor:
    """A fitted destructor: a pytree, to be passed through `jit`, mapped over, saved.

    Attributes:
      layers: `Layer`, the layers stacked on an axis in front (behind the axes of problems).
      last: marginal maps after the last rotation.
      trace: `Trace` of the fit.
      marginal: static, the variant whose functions read the maps.
    """

    layers: Layer
    last: Any
    trace: Trace
    marginal: Marginal = dataclasses.field(metadata={"static": True})


class LayerValues(NamedTuple):
    """What `layers` tells of each layer; L layers.

    Attributes:
      gaussianized: after the marginal maps: `[L, ..., n, d]` samples, or what `summary` made of them with L in front.
      rotated: after the rotation, which is what the next layer takes in, likewise.
      log_det: `[L, ..., n]`, of the layer's marginal maps (the rotation adds nothing).
    """

    gaussianized: Any
    rotated: Any
    log_det: jax.Array


def fit(
    key: jax.Array,
    x: jax.Array,
    *,
    marginal: Marginal | None = None,
    rotation: Rotation | None = None,
    num_layers: int = 40,
    dither: bool | float = False,
    entropy: Callable[[jax.Array], jax.Array] | None = None,
) -> Destructor:
    """Fits marginal maps and rotations, layer upon layer, until `num_layers` are there.

    No rule stops the fit: shapes stay static, every layer leaves its mark in the trace, and a rule can be applied to
    the trace afterwards. The cost is that of one sort a feature and layer, O(n log n).

    Args:
      key: random key, for rotations that draw something and for dithering; split over leading axes.
      x: `[..., n, d]` samples, n >= 2. Leading axes are independent problems.
      marginal: static, a variant of `gaussianization.marginal` (or your own); `None` takes `marginal.quantile()`.
      rotation: static, a variant of `gaussianization.rotation` (or your own); `None` takes `rotation.pca()`.
      num_layers: static, >= 0.
      dither: static; True spreads each feature over its smallest gap between distinct values before the fit, a number
        over that width (`marginal.dither`). For integers and rounded measurements.
      entropy: static, entropy of rows that ascend already, `[d, n]` to `[d]`, for the trace; `None` takes
        `univariate_entropy.spacing`.

    Returns:
      A `Destructor`, float32 or wider. A constant column is sent to z = 0 by its marginal maps as long as no rotation
      mixes others in; duplicated columns and n < d are no obstacle (the density is then one on all of R^d, narrow
      across the span). A NaN or infinity in a problem makes that whole problem NaN.

    Raises:
      ValueError: shapes that are not samples, fewer than 2 of them, a negative number of layers, or wide data far from
        0 of which float32 keeps too few digits (timestamps, say): a destructor takes in and gives back float32, so that
        such an origin has to be taken off by the caller, and put back in float64.
      TypeError: `x` is not real.

    References:
      Laparra, Camps-Valls, Malo (2011), "Iterative Gaussianization: from ICA to random rotations".
      Johnson, Laparra, Camps-Valls, Santos-Rodriguez, Malo, "Information theory in density destructors", eqs. 6 and 7.
      Eq. 6 as printed is T after less T before; the trace has T removed, its negative, as eq. 7 and the text need.
    """
    x = as_array(x)
    check_samples(x=x)
    _scale.refuse_rounding(axis=-2, x=x)
    if jnp.shape(x)[-2] < 2:
        raise ValueError(f"x must hold at least 2 samples, got x.shape = {jnp.shape(x)}.")
    if num_layers < 0:
        raise ValueError(f"num_layers must be >= 0, got num_layers = {num_layers}.")
    (x,) = as_floating(x=x)
    marginal = _marginal.quantile() if marginal is None else marginal
    rotation = _rotation.pca() if rotation is None else rotation
    one = functools.partial(
        _fit, marginal=marginal, rotation=rotation, num_layers=num_layers, dither=dither, entropy=entropy
    )
    leading = x.shape[:-2]
    if not leading:
        return one(key, x)
    keys = jax.random.split(key, leading)
    for _ in leading:
        one = jax.vmap(one)
    return one(keys, x)


def forward(d: Destructor, x: jax.Array, *, compensated: bool = False) -> tuple[jax.Array, jax.Array]:
    """Sends samples to the latent space, where they are nearly N(0, I).

    Args:
      d: a destructor; with axes of problems, those of `x` must begin with them.
      x: `[..., n, d]` samples, or any others of the same law.
      compensated: static; hands on what each layer rounds off and mends the rounding of the rotations: errors several
        times smaller, for half as much time again. For `quantile` and `kernel_density`, tails "gaussian" or "linear".

    Returns:
      z, `[..., n, d]`, and the log-determinant of the Jacobian at each sample, `[..., n]`. NaN in a sample gives NaN
      for that sample.

    Raises:
      ValueError: shapes that do not fit the destructor, or marginals that `compensated` is not for.
    """
    return _over_problems(_compensated_forward if compensated else _forward, d, x)


def inverse(d: Destructor, z: jax.Array, *, compensated: bool = False) -> jax.Array:
    """Sends latent points back: the inverse of `forward`, exact up to rounding.

    Args:
      d: a destructor; with axes of problems, those of `z` must begin with them.
      z: `[..., n, d]` latent points.
      compensated: static; as in `forward`. Where both are, the rounding of z itself is most of what a round trip loses.

    Returns:
      `[..., n, d]`.

    Raises:
      ValueError: shapes that do not fit the destructor, or marginals that `compensated` is not for.
    """
    return _over_problems(_compensated_inverse if compensated else _inverse, d, z)


def log_prob(d: Destructor, x: jax.Array) -> jax.Array:
    """Log-density of the fitted law, in nats per sample.

    Args:
      d: a destructor.
      x: `[..., n, d]`, anywhere: outside the range of the fit the tails of the marginal maps hold.

    Returns:
      `[..., n]`.

    Raises:
      ValueError: shapes that do not fit the destructor.

    References:
      Johnson et al., "Information theory in density destructors", eq. 3 (with the determinant of the Jacobian).
    """
    return _over_problems(_log_prob, d, x)


def sample(key: jax.Array, d: Destructor, num: int) -> jax.Array:
    """Draws from the fitted law: N(0, I) sent back through the layers.

    Args:
      key: random key.
      d: a destructor.
      num: how many, static, >= 1.

    Returns:
      `[..., num, d]`, the leading axes those of the destructor's problems.

    Raises:
      ValueError: `num` below 1.
    """
    if num < 1:
        raise ValueError(f"num must be >= 1, got num = {num}.")
    matrices = d.layers.rotation
    return inverse(d, jax.random.normal(key, (*matrices.shape[:-3], num, matrices.shape[-1]), matrices.dtype))


def to_uniform(d: Destructor, x: jax.Array) -> jax.Array:
    """Sends samples to the unit cube: the normal cdf of each latent coordinate.

    Args:
      d: a destructor.
      x: `[..., n, d]` samples.

    Returns:
      `[..., n, d]` in [0, 1]; in float32 it is 1 from z = 5.4 on.

    Raises:
      ValueError: shapes that do not fit the destructor.
    """
    return 0.5 * jax.lax.erfc(forward(d, x)[0] * -(0.5**0.5))


def from_uniform(d: Destructor, u: jax.Array) -> jax.Array:
    """Sends points of the unit cube back: the inverse of `to_uniform`, so that uniform noise becomes samples.

    Args:
      d: a destructor.
      u: `[..., n, d]` in (0, 1); 0 and 1 themselves go to infinity or NaN.

    Returns:
      `[..., n, d]`.

    Raises:
      ValueError: shapes that do not fit the destructor.
    """
    (u,) = as_floating(u=u)
    return inverse(d, jax.scipy.special.ndtri(u))


def apply_layer(marginal: Marginal, layer: Layer, x: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Applies one layer, as the body of a scan over `d.layers` does.

    Args:
      marginal: the variant that fitted the layer (`d.marginal`).
      layer: one layer, without an axis of layers.
      x: `[n, d]` samples.

    Returns:
      After the marginal maps `[n, d]`, after the rotation `[n, d]`, and the log-determinant `[n]`.

    Raises:
      ValueError: shapes that do not fit the layer.
    """
    _check_fits(layer.rotation, x)
    (x,) = as_floating(x=x)
    psi, rows, log_det = _apply(marginal, layer, x.T)
    return psi.T, rows.T, log_det


def layers(d: Destructor, x: jax.Array, *, summary: Callable[[jax.Array], Any] | None = None) -> LayerValues:
    """Follows samples through the layers, held-out ones for instance.

    Args:
      d: a destructor, of one problem (`jax.vmap` for more).
      x: `[n, d]` samples.
      summary: static, what to keep of the samples at each place: a function of the rows `[d, n]`, such as
        `univariate_entropy.spacing`; `None` keeps the samples, L n d numbers at either place.

    Returns:
      `LayerValues`. With marginal entropies as summary, `sum(gaussianized - rotated)` over features is what each layer
      removes of the total correlation of these samples; nothing of it was fitted to them.

    Raises:
      ValueError: shapes that do not fit the destructor, or a destructor of several problems.
    """
    if d.layers.rotation.ndim != 3:
        raise ValueError(
            f"layers follows one problem, got d.layers.rotation.shape = {d.layers.rotation.shape}; use jax.vmap."
        )
    _check_fits(d.layers.rotation, x)
    return _layers(*_common_dtype(d, x), summary)


@functools.partial(jax.jit, inline=True, static_argnames=("marginal", "rotation", "num_layers", "dither", "entropy"))
def _fit(key, x, *, marginal, rotation, num_layers, dither, entropy) -> Destructor:
    rows = jax.lax.stop_gradient(x).T  # one contiguous row a feature: that is how they are sorted
    dithering, drawing = jax.random.split(key)
    if dither is not False:
        rows = _marginal.dither(dithering, rows, width=None if dither is True else dither)
    plan = univariate_entropy.spacing_plan(rows.shape[-1])

    def entropies(ordered, fitted):
        """Of the rows, and of their images: an increasing map keeps the order, so one sort does for both."""
        if entropy is not None:
            return entropy(ordered), entropy(marginal.forward(fitted, ordered)[0])
        few = jnp.take(ordered, plan.positions, axis=-1)
        images = marginal.forward(fitted, few)[0]
        of = functools.partial(univariate_entropy.spacing_of_order_statistics, plan=plan)
        return of(few), of(images)

    def layer(rows, key):
        ordered = sorting.sort(rows)
        fitted = marginal.fit(ordered, is_sorted=True)
        psi = marginal.forward(fitted, rows)[0]
        matrix = rotation.fit(key, psi.T)
        return _rotate(matrix, psi), (Layer(fitted, matrix), *entropies(ordered, fitted))

    rows, (stacked, before, gaussianized) = jax.lax.scan(layer, rows, jax.random.split(drawing, num_layers))
    ordered = sorting.sort(rows)
    last = marginal.fit(ordered, is_sorted=True)
    rotated = jnp.concatenate([before[1:], entropies(ordered, last)[0][None]])[:num_layers]
    trace = Trace(before, gaussianized, rotated, jnp.sum(gaussianized - rotated, axis=-1))
    return Destructor(stacked, last, trace, marginal)


def _apply(marginal: Marginal, layer: Layer, rows: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    psi, log_derivative = marginal.forward(layer.marginal, rows)
    return psi, _rotate(layer.rotation, psi), _total(log_derivative)


def _rotate(matrix: jax.Array, rows: jax.Array) -> jax.Array:
    return jnp.matmul(matrix, rows, precision=jax.lax.Precision.HIGHEST)


def _total(rows: jax.Array) -> jax.Array:
    # XLA on CPU takes a sum over the first axis entry by entry; a product with ones takes a quarter of that.
    return jnp.matmul(jnp.ones_like(rows[:, 0]), rows, precision=jax.lax.Precision.HIGHEST)


@functools.partial(jax.jit, inline=True)
def _forward(d: Destructor, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    def step(carry, layer):
        _, rows, log_det = _apply(d.marginal, layer, carry[0])
        return (rows, carry[1] + log_det), None

    rows = x.T
    (rows, log_det), _ = jax.lax.scan(step, (rows, jnp.zeros_like(rows[0])), d.layers)
    z, log_derivative = d.marginal.forward(d.last, rows)
    return z.T, log_det + _total(log_derivative)


@functools.partial(jax.jit, inline=True)
def _log_prob(d: Destructor, x: jax.Array) -> jax.Array:
    """As `_forward`, with both outputs of a map in one complex number from layer to layer.

    XLA on CPU computes one array at a time, and finds the segment of each sample once for its image and once more for
    its derivative; the parts of a complex number it computes together, in two thirds to half of the time. In `_forward`
    they are apart, so that a caller who leaves the log-determinant aside does not pay for it.
    """
    every = jax.tree.map(lambda stacked, last: jnp.concatenate([stacked, last[None]]), d.layers.marginal, d.last)
    first, later = (jax.tree.map(operator.itemgetter(which), every) for which in (0, slice(1, None)))

    def step(both, layer):
        matrix, fitted = layer
        psi, log_derivative = d.marginal.forward(fitted, _rotate(matrix, both.real))
        return jax.lax.complex(psi, both.imag + log_derivative), None

    both = jax.lax.complex(*d.marginal.forward(first, x.T))
    both, _ = jax.lax.scan(step, both, (d.layers.rotation, later))
    return _total(normal_law.log_density(both.real) + both.imag)


@functools.partial(jax.jit, inline=True)
def _inverse(d: Destructor, z: jax.Array) -> jax.Array:
    def step(rows, layer):
        return d.marginal.inverse(layer.marginal, _rotate(layer.rotation.T, rows)), None

    rows = d.marginal.inverse(d.last, z.T)
    return jax.lax.scan(step, rows, d.layers, reverse=True)[0].T


@functools.partial(jax.jit, inline=True)
def _compensated_forward(d: Destructor, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    through = _compensated_map(d.marginal).forward

    def step(carry, layer):
        rows, rest, log_det = carry
        psi, rest, log_derivative = through(layer.marginal, rows, rest)
        beyond = _compensated.beyond_rounding(layer.rotation)
        return (*_compensated.rotate(layer.rotation, beyond, psi, rest), log_det + _total(log_derivative)), None

    rows = x.T
    (rows, rest, log_det), _ = jax.lax.scan(step, (rows, jnp.zeros_like(rows), jnp.zeros_like(rows[0])), d.layers)
    z, rest, log_derivative = through(d.last, rows, rest)
    return (z + rest).T, log_det + _total(log_derivative)


@functools.partial(jax.jit, inline=True)
def _compensated_inverse(d: Destructor, z: jax.Array) -> jax.Array:
    back = _compensated_map(d.marginal).inverse

    def step(carry, layer):
        beyond = _compensated.beyond_rounding(layer.rotation)
        return back(layer.marginal, *_compensated.rotate(layer.rotation.T, beyond.T, *carry)), None

    rows = z.T
    carry = back(d.last, rows, jnp.zeros_like(rows))
    rows, rest = jax.lax.scan(step, carry, d.layers, reverse=True)[0]
    return (rows + rest).T


@functools.partial(jax.jit, inline=True, static_argnames=("summary",))
def _layers(d: Destructor, x: jax.Array, summary: Callable | None) -> LayerValues:
    def step(rows, layer):
        psi, rows, log_det = _apply(d.marginal, layer, rows)
        kept = (psi.T, rows.T) if summary is None else (summary(psi), summary(rows))
        return rows, LayerValues(*kept, log_det)

    return jax.lax.scan(step, x.T, d.layers)[1]


def _compensated_map(marginal: Marginal) -> Compensated:
    if marginal.compensated is None:
        raise ValueError(
            "compensated=True takes marginals quantile and kernel_density with tails 'gaussian' or 'linear', got "
            f"{marginal.name or 'a variant without compensated maps'!r} with options {dict(marginal.options)}."
        )
    return marginal.compensated


def _over_problems(function: Callable, d: Destructor, x: jax.Array):
    """Maps `function(d, x [n, d])` over the destructor's problems, and lays out further axes of x along n."""
    problems, x = d.layers.rotation.shape[:-3], as_array(x)
    _check_fits(d.layers.rotation, x)
    shape = jnp.shape(x)
    if shape[: len(problems)] != problems or len(shape) < len(problems) + 2:
        raise ValueError(f"The destructor has problems of shape {problems}; samples must begin so, got shape {shape}.")
    d, x = _common_dtype(d, x)
    rest = shape[len(problems) : -1]
    for _ in problems:
        function = jax.vmap(function)
    out = function(d, x.reshape(*problems, -1, shape[-1]))
    return jax.tree.map(lambda leaf: leaf.reshape(*problems, *rest, *leaf.shape[len(problems) + 1 :]), out)


def _common_dtype(d: Destructor, x: jax.Array) -> tuple[Destructor, jax.Array]:
    x, matrix = as_floating(x=x, rotation=d.layers.rotation)
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, matrix.dtype), d), x


def _check_fits(matrix: jax.Array, x: jax.Array) -> None:
    x = as_array(x)
    check_samples(x=x)
    if jnp.shape(x)[-1] != matrix.shape[-1]:
        raise ValueError(f"The destructor takes {matrix.shape[-1]} features, got samples of shape {jnp.shape(x)}.")
