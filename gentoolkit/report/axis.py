"""Axes of a chart: where a value lies between the ends, and what is written where."""

import math
from collections.abc import Sequence

# A logarithmic axis chosen by the values themselves spans at least this factor.
_LARGE_FACTOR = 30.0
_MARGIN = 0.04
# Values outside the axis keep their place, and lines to them their slope, as far as numbers in SVG are safe.
_FAR = 1e4


class Axis:
    """An axis.

    Attributes:
      log: whether it is logarithmic.
      ticks: `(share, label)`: how far along the axis, from 0 to 1, and what stands there.
    """

    def __init__(
        self,
        values: Sequence[float],
        log: bool | None,
        *,
        most: int,
        reach: Sequence[float] = (),
        limits: tuple[float, float] | None = None,
    ):
        """Lays out an axis.

        Args:
          values: finite numbers to show, at least one.
          log: whether it is logarithmic; None: where all values are positive and span a large factor. A logarithmic
            axis without a positive value to show is linear.
          most: ticks.
          reach: further numbers that the axis must reach.
          limits: the ends; by default a little beyond the numbers.
        """
        shown = [*values, *(v for v in reach if math.isfinite(v))]
        positive = [value for value in shown if value > 0]
        if log is None:
            log = min(values) > 0 and max(values) / _LARGE_FACTOR > min(values)
        if limits is not None:
            shown = positive = [min(limits), max(limits)]
            log = log and min(limits) > 0
        self.log = bool(log and positive)
        ends = (min(positive), max(positive)) if self.log else (min(shown), max(shown))
        self._low, self._high = (math.log10(end) for end in ends) if self.log else ends
        if limits is None:
            self._widen()
        elif self._low == self._high:
            self._widen()
        places = self._log_ticks(most) if self.log else _linear_ticks(self._low, self._high, most)
        shares = [(self.share(place), label) for place, label in places]
        self.ticks = [(share, label) for share, label in shares if share is not None and -1e-6 <= share <= 1 + 1e-6]

    def share(self, value: float) -> float | None:
        """Returns how far along the axis a value lies, 0 to 1 between its ends; None for one that it cannot show."""
        if self.log:
            if value <= 0:
                return None
            value = math.log10(value)
        # Shares of the larger end: the width of an axis from -1e308 to 1e308 is more than a float holds.
        unit = max(abs(self._low), abs(self._high)) or 1.0
        low, high = self._low / unit, self._high / unit
        return min(_FAR, max(-_FAR, (value / unit - low) / (high - low)))

    def _widen(self) -> None:
        unit = max(abs(self._low), abs(self._high))
        width = self._high / 2 - self._low / 2  # half of it, which a float holds
        if width <= unit * 1e-12:
            width = (abs(self._low) or 1.0) * (0.05 if not self.log else 0.0) + (0.3 if self.log else 0.0)
        margin = 2 * _MARGIN * width
        largest = 1.7e308
        self._low, self._high = max(-largest, self._low - margin), min(largest, self._high + margin)

    def _log_ticks(self, most: int) -> list[tuple[float, str]]:
        first, last = math.floor(self._low), math.ceil(self._high)
        step = max(1, math.ceil((self._high - self._low) / most - 0.3))
        factors = (1,) if self._high - self._low > 2.2 else (1, 2, 5)
        exponents = range(first - first % step, last + 1, step)
        places = [(f"{factor}e{exponent}") for exponent in exponents for factor in factors]
        inside = [text for text in places if 0 < float(text) and self._low <= _log10(text) <= self._high]
        if len(inside) < 2:
            low, high = 10**self._low, 10**self._high
            return _linear_ticks(low, high, most)
        return [(float(text), _plain(text)) for text in inside]


def _log10(text: str) -> float:
    return math.log10(float(text))


def _plain(text: str) -> str:
    """`2e3` as 2000, `1e-09` as 1e-9."""
    digits, exponent = text.split("e")
    return f"{float(text):.10g}" if -4 <= int(exponent) <= 5 else f"{digits}e{int(exponent)}"


def _linear_ticks(low: float, high: float, most: int) -> list[tuple[float, str]]:
    """Multiples of 1, 2 or 5 times a power of ten, with as many digits as tell them apart."""
    rough = 0.8 * (high / most - low / most)
    if not rough > 0:
        return [(low, f"{low:.6g}")]
    exponent = math.floor(math.log10(rough))
    step = next((f"{f}e{exponent}" for f in (1, 2, 5) if float(f"{f}e{exponent}") >= rough), f"1e{exponent + 1}")
    width = float(step)
    if width == 0 or not math.isfinite(width):
        return [(low, f"{low:.3g}"), (high, f"{high:.3g}")]
    first, last = math.ceil(low / width - 1e-9), math.floor(high / width + 1e-9)
    if last - first > 2 * most:
        return [(low, f"{low:.6g}"), (high, f"{high:.6g}")]
    exponent = int(step.split("e")[1])
    largest = max(abs(first), abs(last)) * width
    if largest < 1e6 and exponent >= -5:
        return [(i * width, f"{i * width:.{max(0, -exponent)}f}") for i in range(first, last + 1)]
    digits = max(0, math.floor(math.log10(largest)) - exponent)
    return [(i * width, _scientific(i * width, digits) if i else "0") for i in range(first, last + 1)]


def _scientific(value: float, digits: int) -> str:
    mantissa, exponent = f"{value:.{min(digits, 16)}e}".split("e")
    if "." in mantissa:
        mantissa = mantissa.rstrip("0").rstrip(".")
    return f"{mantissa}e{int(exponent)}"
