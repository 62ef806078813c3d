"""Benchmark suites: ours and each installed peer on the same arrays, in one process, beside the machine's own limit."""
