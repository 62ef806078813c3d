"""Benchmark suites: ours and each installed peer on the same arrays, in one process, beside the machine's own limit."""

import os

# Read when NumPy and SciPy load OpenBLAS: its idle threads sleep after 2^4 cycles. By default they spin for a while, on
# the cores where the next implementation is being timed; on two cores that doubled times below 1 ms.
os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")
