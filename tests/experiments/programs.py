"""Programs whose flags stand in place of those of other programs for a while, so that tests can call their `main`."""

import contextlib
import importlib

from absl import flags
from absl.testing import flagsaver

_COMPARE = set("runs detector clip probe inception encoder data_dir texts best_of judge workdir".split())


@contextlib.contextmanager
def compare():
    """The program that compares systems of text to picture."""
    before = {name: flags.FLAGS[name] for name in flags.FLAGS}
    for name in _COMPARE & before.keys():
        delattr(flags.FLAGS, name)
    left = set(flags.FLAGS)
    script = importlib.import_module("experiments.text_to_image.compare")
    if not set(flags.FLAGS) >= _COMPARE:
        script = importlib.reload(script)  # another test file had it already, whose flags are gone
    with flagsaver.flagsaver():
        flags.FLAGS.mark_as_parsed()
        yield script
    for name in set(flags.FLAGS) - left:
        delattr(flags.FLAGS, name)
    for name in before.keys() - left:
        flags.FLAGS[name] = before[name]
