"""Perceptual distances of pairs of images: their mean over a stream, and how diverse the outputs for one input are."""

import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

import jax
import numpy as np

from gentoolkit import _array
from gentoolkit.evaluation import statistics
from gentoolkit.evaluation.measure import Batches, measure
from gentoolkit.evaluation.result import Result

Array = jax.Array | np.ndarray


class Distance(Protocol):
    """A distance of pairs, such as `models.extractors.lpips.Lpips`: differentiable, one value for each pair."""

    def __call__(self, first: Any, second: Any, /, *, image_range: tuple[float, float]) -> jax.Array:
        """Maps images `[b, h, w, c]` of one shape to distances `[b]`."""


def lpips(
    pairs: Batches,
    *,
    distance: Distance,
    image_range: tuple[float, float],
    network: str,
    first: str = "first",
    second: str = "second",
    sha256: str = "",
    mesh: jax.sharding.Mesh | None = None,
) -> Result:
    """Mean distance of pairs of images.

    Args:
      pairs: batches with images `[b, h, w, c]` under two names and optional `counts` `[b]`.
      distance: of pairs; compile it (`jax.jit` with `image_range` static).
      image_range: the values of black and white in the images, (0, 1), (-1, 1) or (0, 255); required, since images in
        another range than the network thinks are the commonest fault of such figures.
      network: name of trunk, version and heads, such as "lpips v0.1 on alexnet".
      first: name of the one image of a pair.
      second: name of the other.
      sha256: of the file with the weights.
      mesh: as in `measure`.

    Returns:
      The mean over pairs and its standard error; `num_generated` is the number of pairs.

    Raises:
      ValueError: images that are not finite, outside their range, or of different shapes; no pairs.

    References:
      Zhang, Isola, Efros, Shechtman, Wang, "The unreasonable effectiveness of deep features as a perceptual metric",
      CVPR 2018.
    """

    def extract(batch: Mapping[str, Any]) -> dict[str, Any]:
        return {"distance": distance(batch[first], batch[second], image_range=image_range)}

    found = measure(
        _checked(pairs, (first, second), image_range),
        extract=extract,
        statistics={"distance": statistics.mean("distance")},
        mesh=mesh,
    )["distance"]
    extra = {"image_range": list(image_range), "resampling": "pairs"}
    return Result(float(found.value), float(found.standard_error), 0, found.num, network, "as they are", sha256, extra)


def diversity(
    key: jax.Array,
    inputs: Array,
    *,
    generate: Callable[[Array, jax.Array], Array],
    draw: Callable[[jax.Array, int], jax.Array],
    distance: Distance,
    image_range: tuple[float, float],
    network: str,
    sha256: str = "",
    num_pairs: int = 20,
    batch_size: int = 16,
    seed: int = 0,
    num_resamples: int = 10_000,
) -> Result:
    """How different the outputs for one input are: two fresh codes for each pair, the same input within a pair.

    Args:
      key: of the codes.
      inputs: `[n, ...]`, what outputs hang on besides codes: images of the other domain, say. Protocols take 100.
      generate: inputs `[b, ...]` and codes `[b, ...]` to images `[b, h, w, c]`; compile it.
      draw: a key and a number to so many codes.
      distance: of pairs.
      image_range: the values of black and white in what `generate` gives.
      network: name of trunk, version and heads: versions 0.0 and 0.1 differ by a factor of about two.
      sha256: of the file with the weights.
      num_pairs: pairs for each input.
      batch_size: pairs at a time; the last ones are filled up, so that nothing compiles twice.
      seed: of the resampling.
      num_resamples: how often inputs are drawn anew for error and interval.

    Returns:
      The mean over inputs of the mean over their pairs. Error and `extra["interval"]` (95 %) are by a bootstrap over
      inputs; `extra["per_input"]` has the means. `num_generated` is the number of pairs.

    Raises:
      ValueError: no inputs, a size below 1, or images outside their range. A warning: outputs that do not hang on their
        codes at all.

    References:
      Zhu, Zhang, Pathak, Darrell, Efros, Wang, Shechtman, "Toward multimodal image-to-image translation", 2017,
      section 5 (100 inputs, pairs of outputs). Efron and Tibshirani, An introduction to the bootstrap, 1993.
    """
    num = len(inputs)
    for name, value in (("inputs", num), ("num_pairs", num_pairs), ("batch_size", batch_size)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}.")
    owners = np.repeat(np.arange(num), num_pairs)
    found = np.empty(len(owners))
    for index, start in enumerate(range(0, len(owners), batch_size)):
        own = owners[start : start + batch_size]
        filled = np.resize(own, batch_size)
        codes = draw(jax.random.fold_in(key, index), 2 * batch_size)
        pair = [generate(inputs[filled], codes[half::2]) for half in (0, 1)]
        for name, images in zip(("first", "second"), pair, strict=True):
            check_range(images, image_range, name=f"{name} outputs")
        found[start : start + len(own)] = np.asarray(distance(*pair, image_range=image_range))[: len(own)]
    means = found.reshape(num, num_pairs).mean(axis=1)
    if not found.any():
        warnings.warn("All outputs for one input are equal: the model does not heed its codes.", stacklevel=2)
    error, interval = bootstrap(means, seed=seed, num_resamples=num_resamples)
    extra = {
        "interval": interval,
        "per_input": means,
        "num_inputs": num,
        "num_pairs": num_pairs,
        "image_range": list(image_range),
        "resampling": f"bootstrap of inputs, {num_resamples} times, seed {seed}",
    }
    return Result(float(means.mean()), error, 0, len(found), network, "as they are", sha256, extra)


def bootstrap(values: np.ndarray, *, seed: int = 0, num_resamples: int = 10_000) -> tuple[float, tuple[float, float]]:
    """Standard error and 95 % interval of a mean, by drawing the values anew.

    Args:
      values: `[n]`, independent.
      seed: of the draws.
      num_resamples: how often.

    Returns:
      The deviation of the means, and their 2.5 % and 97.5 % quantiles; NaN for one value.
    """
    values = np.asarray(values, np.float64)
    if len(values) < 2:
        return float("nan"), (float("nan"), float("nan"))
    rng = np.random.default_rng(seed)
    means = np.empty(num_resamples)
    for start in range(0, num_resamples, 100):  # a hundred at a time, for memory
        part = means[start : start + 100]
        part[:] = values[rng.integers(len(values), size=(len(part), len(values)))].mean(axis=1)
    low, high = np.quantile(means, (0.025, 0.975))
    return float(means.std(ddof=1)), (float(low), float(high))


def check_range(images: Array, image_range: tuple[float, float], *, name: str = "images") -> None:
    """Refuses images that are not in the range they are said to be in; nothing is told of traced ones.

    Args:
      images: any shape.
      image_range: the values of black and white.
      name: what a message calls them.

    Raises:
      ValueError: values that are not finite or outside of the range, or a range whose white is not above its black. A
        warning: values that look like those of another range ([0, 1] said to be [-1, 1] or [0, 255]).
    """
    _array.check_image_range(images, image_range, name=name, stacklevel=4)


def _checked(batches: Batches, names: tuple[str, str], image_range: tuple[float, float]) -> Iterator[Mapping[str, Any]]:
    for batch in batches:
        missing = [name for name in names if name not in batch]
        if missing:
            raise ValueError(f"A batch has no {missing[0]!r}; it has {', '.join(batch)}.")
        shapes = [np.shape(batch[name]) for name in names]
        if shapes[0] != shapes[1]:
            raise ValueError(f"Images of a pair must be of one shape, got {shapes[0]} and {shapes[1]}.")
        counts = np.ones(shapes[0][0], bool) if batch.get("counts") is None else np.asarray(batch["counts"], bool)
        if counts.any():
            for name in names:
                check_range(np.asarray(batch[name])[counts], image_range, name=name)
        yield batch
