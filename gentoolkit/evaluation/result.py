"""A figure with its doubt, and with all that one must know to compare it with another."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from gentoolkit.evaluation.features import Features


class Result(NamedTuple):
    """A figure about a set of generated images.

    Attributes:
      value: the figure.
      standard_error: of the value, by resampling; NaN where there is too little to tell.
      num_real: how many real images; None where a file of statistics does not say, 0 where none are used.
      num_generated: how many generated ones (or pairs, where the figure is of pairs).
      network: whose features.
      preprocessing: what was done to the images before.
      sha256: of the file with the network's weights, or "".
      extra: further figures by name, and settings that the value hangs on.
    """

    value: float
    standard_error: float
    num_real: int | None
    num_generated: int | None
    network: str
    preprocessing: str
    sha256: str = ""
    extra: Mapping[str, Any] = {}

    def as_json(self) -> dict[str, Any]:
        """The fields as JSON has them: what is not finite is None."""
        fields = {name: value for name, value in self._asdict().items() if name != "extra"} | dict(self.extra)
        return {name: _plain(value) for name, value in fields.items()}


def of(
    value: float,
    standard_error: float,
    *,
    real: Features | None,
    generated: Features,
    extra: Mapping[str, Any] | None = None,
) -> Result:
    """A figure of two sets of features, or of one; says in `extra` what a file of statistics did not say of itself."""
    assumed = {} if real is None or not real.assumed else {"assumed_real": list(real.assumed)}
    return Result(
        float(value),
        float(standard_error),
        0 if real is None else real.num,
        generated.num,
        generated.network,
        generated.preprocessing,
        generated.sha256 or (real.sha256 if real is not None else ""),
        {**(extra or {}), **assumed},
    )


def jackknife_error(values: np.ndarray) -> float:
    """Standard error from values that were found with one of several equal parts left out.

    Args:
      values: `[g]`, g >= 2; NaN for fewer.

    Returns:
      The square root of (g - 1) / g times the sum of squares about their mean.
    """
    num = len(values)
    if num < 2:
        return float("nan")
    return float(np.sqrt((num - 1) / num * np.sum(np.square(values - values.mean()))))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, np.ndarray | list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not np.isfinite(value) else value
