"""Programs whose flags stand in place of those of other programs for a while, so that tests can call their `main`."""

import contextlib
import importlib

from absl import flags
from absl.testing import flagsaver

_COMPARE = "runs detector clip probe inception encoder data_dir texts best_of judge workdir"


@contextlib.contextmanager
def program(name: str, flags_of_it: str):
    """A program of `experiments.text_to_image`.

    Args:
      name: of its module.
      flags_of_it: those that it defines.
    """
    own = set(flags_of_it.split())
    before = {name: flags.FLAGS[name] for name in flags.FLAGS}
    for flag in own & before.keys():
        delattr(flags.FLAGS, flag)
    left = set(flags.FLAGS)
    script = importlib.import_module(f"experiments.text_to_image.{name}")
    if not set(flags.FLAGS) >= own:
        script = importlib.reload(script)  # another test file had it already, whose flags are gone
    with flagsaver.flagsaver():
        flags.FLAGS.mark_as_parsed()
        yield script
    for flag in set(flags.FLAGS) - left:
        delattr(flags.FLAGS, flag)
    for flag in before.keys() - left:
        flags.FLAGS[flag] = before[flag]


def compare():
    """The program that compares systems of text to picture."""
    return program("compare", _COMPARE)
