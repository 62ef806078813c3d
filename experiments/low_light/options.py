"""What can be chosen about enhancing: one frozen value, known without jax, so that a mistake is told of at once."""

import dataclasses
import math

LEARNT = ("improved", "cm", "lm", "gpe")
BASELINES = ("fbe", "wvm", "lime", "srrm", "gble_like")
METHODS = (*LEARNT, *BASELINES)

# Which methods know an option at all; given to another it would be without effect.
_KNOWN_BY = {
    "num_clusters": ("improved", "cm", "lm"),
    "white_balance": ("improved", *BASELINES),
    "strength": ("improved",),
    "warp": ("improved",),
    "channels": ("improved",),
    "noise": ("improved",),
    "mean": ("improved",),
    "departure": ("improved",),
    "all_pairs": ("improved",),
}
_MOST_STRENGTH = 100.0


@dataclasses.dataclass(frozen=True)
class Options:
    """How an image is enhanced.

    Attributes:
      method: one of `METHODS`.
      num_clusters: k of the methods that cluster.
      white_balance: share of the estimated colour cast that is undone first, 0 for none.
      strength: what the variance of the noise is multiplied by before the improved form shrinks it, 0 for not at all.
      warp: of the improved form, as all that follow; see `gp_enhancement.tone_map.fit`.
      channels: see there.
      noise: see there.
      mean: see there.
      departure: see there; None for the default of `gp_enhancement.improved.fit`.
      all_pairs: see there.
    """

    method: str = "improved"
    num_clusters: int = 30
    white_balance: float = 0.0
    strength: float = 0.0
    warp: str = "cbrt"
    channels: str = "pooled"
    noise: str = "cluster"
    mean: str = "power"
    departure: float | None = None
    all_pairs: bool = False

    def __post_init__(self):
        """Refuses what is out of range, or without effect on the method.

        Raises:
          ValueError: so.
        """
        if self.method not in METHODS:
            raise ValueError(f"method must be one of {', '.join(METHODS)}, got {self.method!r}.")
        if not isinstance(self.num_clusters, int) or self.num_clusters < 1:
            raise ValueError(f"num_clusters must be a whole number of at least 1, got {self.num_clusters}.")
        most = num_pairs(self.method)
        if self.num_clusters > most and self.method in _KNOWN_BY["num_clusters"]:
            raise ValueError(f"num_clusters must be at most {most} with {self.method}, got {self.num_clusters}.")
        if not 0 <= self.white_balance <= 1:  # so written that NaN is refused
            raise ValueError(f"white_balance must be a share between 0 and 1, got {self.white_balance}.")
        if not 0 <= self.strength <= _MOST_STRENGTH or not math.isfinite(self.strength):
            raise ValueError(f"strength must be between 0 and {_MOST_STRENGTH:g}, got {self.strength}.")
        for field in dataclasses.fields(self):
            if getattr(self, field.name) != field.default:
                check_known(field.name, self.method)


def check_known(option: str, method: str) -> None:
    """Refuses an option that a method does not know.

    Raises:
      ValueError: so.
    """
    known = _KNOWN_BY.get(option, METHODS)
    if method not in known:
        raise ValueError(f"{option} has no effect with {method}: it is for {', '.join(known)}.")


def num_pairs(method: str) -> int:
    """Returns how many pairs of a dark and a bright patch a method learns from, whatever the size of the image."""
    return 64 * 64 if method == "improved" else 86 * 86
