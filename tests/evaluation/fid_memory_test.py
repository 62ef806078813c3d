"""The memory of a Fréchet distance of 2,048 features, whatever the number of images."""

import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]


@pytest.mark.slow
def test_a_fid_of_a_stream_stays_below_a_gibibyte():
    # In a process of its own: the peak of this one is that of all tests before. The state does not grow: after six
    # batches it is what it is after a hundred.
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.fid_memory", "--num=3000"], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0 and "FID of 3,000 and 3,000 images" in done.stdout, done.stdout + done.stderr
