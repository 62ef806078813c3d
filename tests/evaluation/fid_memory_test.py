"""The memory of a Fréchet distance of 2,048 features, whatever the number of images."""

import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]


@pytest.mark.slow
def test_a_fid_of_a_stream_stays_below_a_gibibyte():
    # In a process of its own: the peak of this one is that of all tests before.
    program = """
import resource, numpy as np
from gentoolkit import evaluation
from gentoolkit.evaluation import features, fid, statistics
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
def side(seed):
    rng = np.random.default_rng(seed)
    batches = ({"f": rng.standard_normal((500, 2048), np.float32)} for _ in range(6))
    found = evaluation.measure(batches, statistics={"f": statistics.blocks("f")})["f"]
    return features.of(found, network="toy", preprocessing="clean")
before = peak()
found = fid.fid(side(0), side(1))
print(peak() - before, found.num_generated, found.standard_error > 0)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    grown, num, has_error = done.stdout.split()
    # The state does not grow: after six batches it is what it is after a hundred.
    assert int(grown) < 2**30 and (num, has_error) == ("3000", "True"), done.stdout
