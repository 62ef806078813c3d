"""Where the weights of a network come from: a name that goes with every number measured by it."""

from typing import NamedTuple

from gentoolkit.models.weights.reading import Weights


class Origin(NamedTuple):
    """Where the weights of a network come from.

    Attributes:
      name: of the network and its weights, such as "inception-v3 (FID)"; says so if they are random.
      sha256: of the file; empty without one.
      published: whether its SHA-256 begins with the known digits of the published file's, eight or more of them.
    """

    name: str
    sha256: str = ""
    published: bool = False

    def __str__(self) -> str:
        """The name, and what is known of the file."""
        if not self.sha256:
            return self.name
        known = "its hash begins as the published one's" if self.published else "not a known file"
        return f"{self.name}, {known}: {self.sha256[:16]}"


UNFILLED = Origin("no weights")


def of_file(name: str, weights: Weights, *, published: tuple[str, ...] = ()) -> Origin:
    """The origin of weights that were read from a file. Other bytes than the published ones are said, not refused.

    Args:
      name: of the network.
      weights: of the file.
      published: the first digits of the SHA-256 of the published files, eight or more.
    """
    return Origin(name, weights.sha256, any(len(p) >= 8 and weights.sha256.startswith(p) for p in published))


def of_random(name: str) -> Origin:
    """The origin of random weights.

    Args:
      name: of the network.
    """
    return Origin(f"random {name}, for smoke tests")
