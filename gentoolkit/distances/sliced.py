"""Sliced distances: any one-dimensional statistic, averaged or maximised over projections of the samples.

A slice is the projection of a sample on one direction, and a sliced distance is what a one-dimensional statistic says
of the slices. The statistic is a plain function on the last axis, of one sample (`normality.wasserstein`: a distance to
the normal law) or of two (`two_sample.wasserstein`); options are bound with `functools.partial`::

    v = directions.orthogonal(key, 64, z.shape[-1])
    loss = sliced.distance(normality.wasserstein, z, directions=v)
    loss = sliced.distance(functools.partial(two_sample.wasserstein, order=1), z, prior, directions=v)

Draw fresh directions at every step: a fixed set leaves the directions between them unwatched. Non-linear slices
`theta . phi(x)` need nothing more: pass `phi(x)` as the sample. `to_normal` does all of that for the embeddings of one
or more views, as LeJEPA has it (SIGReg): the term to add to a self-supervised loss::

    loss = invariance + 0.05 * sliced.to_normal(key, step, *views)

**A batch that is spread over devices.** A sorted loss of the whole batch is not the mean of the losses of its parts.
Under plain `jit` there is nothing to do: place the samples (or the directions) with a `NamedSharding`, and the value
and gradient are those of the whole batch. ::

    mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    z = jax.device_put(z, NamedSharding(mesh, P("data")))
    loss = jax.jit(lambda z, v: sliced.distance(normality.wasserstein, z, directions=v))(z, v)

Inside `jax.shard_map`, where each device sees only its part, name the mesh axis that the samples are spread over. Of
statistics that are made of means (`normality.epps_pulley_quadrature` and those of moments) the devices add up these
means: a few numbers a slice, 32 of the former, however large the batch. For all others they trade projections (one
`all_to_all` of k n / p numbers each, and one back in the gradient), so that each holds every sample of its share of the
slices: the work stays spread, and the samples themselves never travel. `python -m benchmarks.exchange` counts bytes. ::

    @jax.jit
    @functools.partial(jax.shard_map, mesh=mesh, in_specs=(P(), P("data"), P()), out_specs=(P(), P()))
    def step(params, x, v):
        def loss(params):
            return sliced.distance(normality.wasserstein, encode(params, x), directions=v, axis_name="data")
        return jax.value_and_grad(loss)(params)           # gradient already summed over devices
"""

import functools
from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gentoolkit import _array, _scale
from gentoolkit._array import as_floating, check_positive, check_samples
from gentoolkit.distances import directions as _directions
from gentoolkit.distances import normality, two_sample
from gentoolkit.distances._numerics import maximum_along_last

AxisName = str | tuple[str, ...]

# Statistics that depend on differences alone, and that a change of unit multiplies by one number for all slices.
_OF_DIFFERENCES = (
    two_sample.wasserstein,
    two_sample.energy,
    two_sample.cramer_von_mises,
    two_sample.kolmogorov_smirnov,
)


# Statistics made of means over the samples, which take `axis_name` themselves.
_OF_MEANS = (
    normality.epps_pulley_quadrature,
    normality.mean_and_variance,
    normality.jarque_bera,
    normality.extended_jarque_bera,
    normality.moments,
)


class Maximal(NamedTuple):
    """The slice that a statistic finds worst.

    Attributes:
      value: `[...]`, the statistic there; differentiable with respect to the samples.
      direction: `[..., d]`, the unit vector of that slice; a constant to derivatives.
    """

    value: jax.Array
    direction: jax.Array


def project(x: jax.Array, directions: jax.Array) -> jax.Array:
    """Projects samples on directions, one contiguous row for each direction.

    The product is taken in full float32 (or float64) on every backend, bfloat16 samples included: the fast modes of an
    accelerator keep 8 to 11 bits, which makes ties among the projections and an error above the floor of the sorted
    losses.

    Args:
      x: `[..., n, d]`, samples.
      directions: `[k, d]`, the directions of all problems, or `[..., k, d]`, with the leading axes of `x`. Nothing is
        rescaled, so pass unit vectors for a distance.

    Returns:
      `[..., k, n]`, float32 or wider.

    Raises:
      ValueError: shapes that do not fit together, an empty sample, or no direction.
      TypeError: an argument is not real.
    """
    check_samples(x=x, directions=directions)
    x, directions = as_floating(x=x, directions=directions)
    if directions.ndim > 2 and directions.shape[:-2] != x.shape[:-2]:
        raise ValueError(
            "directions must be [k, d] or have the leading axes of x, got "
            f"directions.shape = {directions.shape}, x.shape = {x.shape}."
        )
    own = "..." if directions.ndim > 2 else ""
    return jnp.einsum(
        f"{own}kd,...nd->...kn",
        directions,
        x,
        precision=jax.lax.Precision.HIGHEST,
        preferred_element_type=x.dtype,
    )


def distance(
    statistic: Callable[..., jax.Array],
    *samples: jax.Array,
    directions: jax.Array,
    reduction: Literal["mean", "sum", "max"] | None = "mean",
    clip: float | None = None,
    block_size: int | None = None,
    axis_name: AxisName | None = None,
) -> jax.Array:
    """Applies a one-dimensional statistic to every slice of the samples and reduces over the slices.

    Memory is k (n + m + ...) numbers for the projections; `block_size` bounds it to that many slices at a time, in
    value and gradient alike, for one more evaluation of the statistic in the gradient.

    Args:
      statistic: a function of as many arrays as there are samples, `[..., n]` each, that returns `[...]`.
      *samples: `[..., n, d]` each, of any sizes n, with equal d and equal leading axes. For the distances of
        `two_sample`, float64 samples on the host lose a common median before they become float32.
      directions: `[k, d]` or `[..., k, d]`, unit vectors. Others are taken as they are: a direction c v gives the
        slice of the samples c x along v.
      reduction: static. "mean" averages over slices; "sum" adds them up; "max" takes the largest (the gradient is that
        slice's); None returns one value a slice.
      clip: values of slices below this count as 0 and have no gradient, before they are reduced; None takes all.
      block_size: static, how many slices to hold at once; None holds all.
      axis_name: static, inside `jax.shard_map` only: the mesh axis (or axes) over which the samples are spread along n,
        equally. The result is then that of the gathered samples, the same on every device. `directions` must be the
        same on every device; their number need not divide by that of the devices. Gradients are right inside the
        `shard_map` (with `check_vma=True`, its default; without it JAX multiplies them by the number of devices) and
        outside of it.

    Returns:
      `[...]`, or `[..., k]` with `reduction=None`; float32 or wider. NaN in a sample gives NaN.

    Raises:
      ValueError: shapes that do not fit together, an unknown reduction, a block size below 1, no sample, or a statistic
        that does not return one value a slice.
      TypeError: an argument is not real.

    References:
      Knop, Mazur, Tabor, Podolak, Spurek, "Sliced generative models", eq. 3.
      Bonneel, Rabin, Peyre, Pfister (2015), "Sliced and Radon Wasserstein barycenters of measures".

    Examples:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> from gentoolkit.distances import directions, sliced, two_sample
      >>> x = jnp.zeros((4, 2))
      >>> v = directions.orthogonal(jax.random.key(0), 2, 2)
      >>> round(float(sliced.distance(two_sample.wasserstein, x, x + 3, directions=v)), 4)  # 3^2, on average
      9.0
    """
    if reduction not in ("mean", "sum", "max", None):
        raise ValueError(f'reduction must be "mean", "sum", "max" or None, got {reduction!r}.')
    _check(samples, directions)
    samples, directions = _centered(statistic, samples), _array.as_array(directions)
    slices = functools.partial(_slices, statistic, samples, axis_name=axis_name)
    values = slices(directions) if block_size is None else _in_blocks(slices, directions, block_size)
    if clip is not None:
        values = jnp.where(values < clip, 0, values)
    if reduction is None:
        return values
    if reduction == "max":
        return maximum_along_last(values)
    return jnp.mean(values, axis=-1) if reduction == "mean" else jnp.sum(values, axis=-1)


def to_normal(
    key: jax.Array,
    step: int | jax.Array,
    *views: jax.Array,
    statistic: Callable[..., jax.Array] = normality.epps_pulley_quadrature,
    num_slices: int = 256,
    pooled: bool = False,
    draw: Callable[..., jax.Array] = _directions.random,
    clip: float | None = None,
    block_size: int | None = None,
    axis_name: AxisName | None = None,
) -> jax.Array:
    """Distance of embeddings to N(0, I) along directions of this step: it keeps self-supervised codes from collapsing.

    With the default statistic it is SIGReg of LeJEPA: the mean over slices and views of n times the error of the
    characteristic function at 17 nodes, so that its weight means what it means there. `SlicingUnivariateTest` of
    lejepa, except that the directions come from the key and the step instead of a counter in the module.

    Args:
      key: random key, the same for the whole run and on every host.
      step: number of the training step, >= 0; may be traced.
      *views: `[..., n, d]` each, one embedding of every picture a view, say. The numbers n may differ (a statistic
        that is n times something takes that of each view); d and the leading axes may not.
      statistic: static, of `[..., n]`, returning `[...]`: one of `normality`, its options bound by
        `functools.partial`.
      num_slices: static, how many directions, >= 1.
      pooled: static. False takes the mean of the views' distances, each of which is to be normal by itself; True the
        distance of all views together, as one sample.
      draw: static, how directions are drawn: `directions.random` (LeJEPA's), `orthogonal` or `sobol`.
      clip: as in `distance`.
      block_size: static, as in `distance`: how many slices to hold at once.
      axis_name: static, as in `distance`: the mesh axis over which each view is spread, inside `jax.shard_map`.

    Returns:
      `[...]`, float32 or wider.

    Raises:
      ValueError: no view, shapes that do not fit together, `num_slices` or `block_size` below 1.
      TypeError: a view is not real.

    References:
      Balestriero and LeCun, "LeJEPA: provable and scalable self-supervised learning without the heuristics",
      arXiv:2511.08544, algorithm 1.

    Examples:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> from gentoolkit.distances import sliced
      >>> key = jax.random.key(0)
      >>> normal, collapsed = jax.random.normal(key, (256, 8)), jnp.zeros((256, 8))
      >>> [round(float(sliced.to_normal(key, 0, codes)), 1) for codes in (normal, collapsed)]
      [0.7, 102.9]
    """
    if not views:
        raise ValueError("views must hold at least one view, got none.")
    named = {f"views[{i}]": view for i, view in enumerate(views)}
    check_samples(**named)
    shapes = [_array.shape(view) for view in views]
    if len({shape[:-2] for shape in shapes}) > 1:
        raise ValueError(f"The leading axes of the views must be equal, got shapes {', '.join(map(str, shapes))}.")
    if num_slices < 1:
        raise ValueError(f"num_slices must be >= 1, got num_slices = {num_slices}.")
    samples = as_floating(**named)
    v = _directions.at_step(key, step, num_slices, shapes[0][-1], draw=draw, dtype=samples[0].dtype)
    measure = functools.partial(
        distance, statistic, directions=v, clip=clip, block_size=block_size, axis_name=axis_name
    )
    if pooled:
        return measure(jnp.concatenate(samples, axis=-2))
    if len(set(shapes)) == 1:  # one program for all
        return jnp.mean(measure(jnp.stack(samples)), axis=0)
    return functools.reduce(jnp.add, [measure(sample) for sample in samples]) / len(samples)


def maximal(
    key: jax.Array,
    statistic: Callable[..., jax.Array],
    *samples: jax.Array,
    num_steps: int = 50,
    learning_rate: float = 0.5,
    num_starts: int = 8,
    axis_name: AxisName | None = None,
) -> Maximal:
    """Searches for the slice with the largest statistic, by ascent on the sphere from several starts.

    Each start walks along great circles in the direction of its gradient. A step that does not raise the statistic is
    taken back and the next one halved; a step that does is kept and the next one lengthened. So no start ever loses
    ground, the result is at least the largest of the starting slices (to rounding), and the scale of the statistic does
    not matter. The maximum found is a local one.

    By the envelope theorem the derivative of the maximum with respect to the samples is that of the statistic at a
    fixed best direction, which is what differentiating `value` gives.

    A statistic whose gradient is zero almost everywhere (`two_sample.kolmogorov_smirnov`) cannot be climbed: the result
    is then the best of the starts. Call it under `jit`: outside, the search is compiled anew each time.

    Args:
      key: random key of the starting directions (`directions.orthogonal`), shared by all the problems.
      statistic: a differentiable function of as many arrays as there are samples, `[..., n]` each, returning `[...]`.
      *samples: `[..., n, d]` each, of any sizes n, with equal d and equal leading axes.
      num_steps: static, how many steps to try, >= 0; each costs one value and gradient on `num_starts` slices.
      learning_rate: the angle of the first step, in radians, > 0.
      num_starts: static, how many starting directions, >= 1.
      axis_name: static, as for `distance`: the mesh axis over which the samples are spread, inside `jax.shard_map`; the
        key must then be the same on every device.

    Returns:
      `Maximal(value, direction)`, `[...]` and `[..., d]`. NaN in a sample gives a NaN value.

    Raises:
      ValueError: shapes that do not fit together, no sample, no start, a negative number of steps, a learning rate
        <= 0, or a statistic that does not return one value a slice.
      TypeError: an argument is not real.

    References:
      Deshpande, Hu, Sun, Pyrros, Siddiqui, Koyejo, Zhao, Forsyth, Schwing (2019), "Max-sliced Wasserstein distance and
      its use for GANs", section 3.
    """
    if num_starts < 1:
        raise ValueError(f"num_starts must be >= 1, got num_starts = {num_starts}.")
    if num_steps < 0:
        raise ValueError(f"num_steps must be >= 0, got num_steps = {num_steps}.")
    check_positive(learning_rate=learning_rate)
    _check(samples)
    dim = _array.shape(samples[0])[-1]
    samples = _centered(statistic, samples)
    fixed = jax.lax.stop_gradient(as_floating(**{f"samples[{i}]": sample for i, sample in enumerate(samples)}))
    if _is_of_differences(statistic):
        # In a unit in which squares neither overflow nor vanish: the search compares statistics and follows slopes.
        unit = functools.reduce(jnp.maximum, [_scale.unit(sample, axes=(-2, -1)) for sample in fixed])
        if axis_name is not None:
            unit = jax.lax.pmax(unit, axis_name)
        fixed = [sample / unit for sample in fixed]

    def climb(v):
        """The statistic of each start, and the unit tangent along which it rises."""
        values, pullback = jax.vjp(functools.partial(_slices, statistic, fixed, axis_name=axis_name), v)
        (slope,) = pullback(jnp.ones_like(values))
        slope -= jnp.sum(slope * v, axis=-1, keepdims=True) * v
        return values, _unit_or_zero(slope)

    def step(state, _):
        v, values, tangent, angle = state
        moved = _unit_or_zero(jnp.cos(angle)[..., None] * v + jnp.sin(angle)[..., None] * tangent)
        new_values, new_tangent = climb(moved)
        better = new_values > values
        v = jnp.where(better[..., None], moved, v)
        tangent = jnp.where(better[..., None], new_tangent, tangent)
        angle = jnp.minimum(jnp.where(better, 1.5 * angle, 0.5 * angle), np.pi / 4)
        return (v, jnp.where(better, new_values, values), tangent, angle), None

    v = _directions.orthogonal(key, num_starts, dim, dtype=fixed[0].dtype)
    v = jnp.broadcast_to(v, (*fixed[0].shape[:-2], num_starts, dim))
    # Inside shard_map the starts are the same on all devices, but their values, and so where they go, need not be.
    # Selecting by the values gives the starts the type of the values; else their gradient would be summed over devices.
    lost = jnp.isnan(_slices(statistic, fixed, v, axis_name=axis_name))
    v = jnp.where(lost[..., None], v, v)
    values, tangent = climb(v)
    angle = jnp.where(lost, 0, jnp.asarray(learning_rate, values.dtype))
    (v, values, _, _), _ = jax.lax.scan(step, (v, values, tangent, angle), length=num_steps)

    best = jnp.argmax(values, axis=-1)
    direction = jnp.take_along_axis(v, best[..., None, None], axis=-2)
    value = _slices(statistic, samples, direction, axis_name=axis_name)
    return Maximal(value[..., 0], direction[..., 0, :])


def _check(samples: tuple[jax.Array, ...], directions: jax.Array | None = None) -> None:
    """Refuses samples and directions that do not fit together."""
    if not samples:
        raise ValueError("samples must hold at least one sample, got none.")
    named = {f"samples[{i}]": sample for i, sample in enumerate(samples)}
    check_samples(**named, **({} if directions is None else {"directions": directions}))
    shapes = [_array.shape(sample) for sample in samples]
    if len({shape[:-2] for shape in shapes}) > 1:
        raise ValueError(f"The leading axes of the samples must be equal, got shapes {', '.join(map(str, shapes))}.")


def _is_of_differences(statistic: Callable) -> bool:
    function = statistic.func if isinstance(statistic, functools.partial) else statistic
    return any(function is known for known in _OF_DIFFERENCES)


def _is_of_means(statistic: Callable) -> bool:
    function = statistic.func if isinstance(statistic, functools.partial) else statistic
    return any(function is known for known in _OF_MEANS)


def _centered(statistic: Callable, samples: tuple) -> tuple:
    """Two samples of which one is float64 on the host less a common center, for a statistic of their differences."""
    return _scale.center_together(*samples) if _is_of_differences(statistic) and len(samples) == 2 else samples


def _slices(statistic: Callable, samples, directions: jax.Array, *, axis_name: AxisName | None) -> jax.Array:
    """The statistic of every slice, `[..., k]`."""
    num = directions.shape[-2]
    if axis_name is not None and _is_of_means(statistic):
        statistic, axis_name = functools.partial(statistic, axis_name=axis_name), None
    if axis_name is None:
        values = statistic(*[project(x, directions) for x in samples])
        _check_values(values, (*_array.shape(samples[0])[:-2], num))
        return values

    # Directions are repeated up to a multiple of the devices; the surplus is real slices, so it cannot breed NaNs.
    devices = jax.lax.axis_size(axis_name)
    share = -(-num // devices)
    directions = jnp.take(directions, np.arange(share * devices) % num, axis=-2)
    rows = []
    for x in samples:
        y = project(x, directions)
        rows.append(jax.lax.all_to_all(y, axis_name, split_axis=y.ndim - 2, concat_axis=y.ndim - 1, tiled=True))
    values = statistic(*rows)
    _check_values(values, (*_array.shape(samples[0])[:-2], share))
    # A sum of each device's values in its own place, and not all_gather: the type of a psum says that it is the same
    # everywhere, and its transpose hands each device the derivative of the one total.
    mine = jnp.arange(devices) == jax.lax.axis_index(axis_name)
    mine = jnp.broadcast_to(mine[:, None], (*values.shape[:-1], devices, share))
    spread = jnp.broadcast_to(values[..., None, :], mine.shape)
    gathered = jax.lax.psum(jnp.where(mine, spread, 0), axis_name)
    return gathered.reshape(*values.shape[:-1], devices * share)[..., :num]


def _in_blocks(slices: Callable[[jax.Array], jax.Array], directions: jax.Array, block_size: int) -> jax.Array:
    """`slices(directions)` with at most `block_size` slices in memory, recomputed for the gradient."""
    if block_size < 1:
        raise ValueError(f"block_size must be >= 1, got block_size = {block_size}.")
    num, dim = directions.shape[-2:]
    blocks = num // block_size
    slices = jax.checkpoint(slices)
    parts = []
    if blocks:
        whole = directions[..., : blocks * block_size, :].reshape(*directions.shape[:-2], blocks, block_size, dim)
        values = jnp.moveaxis(jax.lax.map(slices, jnp.moveaxis(whole, -3, 0)), 0, -2)
        parts.append(values.reshape(*values.shape[:-2], blocks * block_size))
    if num % block_size:
        parts.append(slices(directions[..., blocks * block_size :, :]))
    return jnp.concatenate(parts, axis=-1)


def _check_values(values: jax.Array, shape: tuple[int, ...]) -> None:
    """Refuses a statistic that does not reduce the last axis and nothing else."""
    if jnp.shape(values) != shape:
        raise ValueError(
            f"statistic must return one value a slice, of shape {shape}; got shape {jnp.shape(values)}. "
            "It has to work on the last axis and keep the others."
        )


def _unit_or_zero(v: jax.Array) -> jax.Array:
    """Rows of unit length; rows that are zero or not finite become zero."""
    largest = jnp.max(jnp.abs(v), axis=-1, keepdims=True)
    usable = (largest > 0) & jnp.isfinite(largest)
    v = jnp.where(usable, v / jnp.where(usable, largest, 1), 0)
    return jnp.where(usable, v / jnp.sqrt(jnp.maximum(jnp.sum(v * v, axis=-1, keepdims=True), 1)), 0)
