"""A network and the file that it wants, as an inspected file is compared with it."""

from collections.abc import Callable
from typing import NamedTuple

from flax import nnx

from gentoolkit.models import weights


class Network(NamedTuple):
    """A network and the file that it wants.

    Attributes:
      name: of the class, with what loads it.
      make: an empty one.
      table: from a file to the table of its tensors.
      ignored: tensors of the file that are not wanted.
      published: first digits of the SHA-256 of the published files.
    """

    name: str
    make: Callable[[], nnx.Module]
    table: Callable[[weights.Weights], weights.Table]
    ignored: tuple[str, ...] = ()
    published: tuple[str, ...] = ()
