"""What a paper says, or what was asked for, and whether it holds."""

from typing import NamedTuple


class Claim(NamedTuple):
    """A statement with its verdict.

    Attributes:
      name: the statement.
      holds: whether it does; None where it could not be decided.
      detail: the figures that it was decided by.
    """

    name: str
    holds: bool | None
    detail: str = ""

    def __str__(self) -> str:
        """The verdict, the statement and, in brackets, the figures."""
        verdict = "not decided" if self.holds is None else "holds" if self.holds else "DOES NOT HOLD"
        return f"{verdict}: {self.name}" + (f" ({self.detail})" if self.detail else "")
