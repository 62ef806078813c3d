"""The suite `distances`: its cases, and its figures to reach, each checked against the rows of the same run."""

import itertools
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence

from benchmarks import (
    cramer_wold_bench,
    harness,
    mmd_bench,
    report,
    sigreg_bench,
    sliced_bench,
    sorting_bench,
    targets,
)
from benchmarks.harness import OURS, Row

_GIBIBYTE = 2**30
# What "little longer than `import jax`" is taken to mean.
_IMPORT_RATIO = 1.25
_HEAVY = ("flax", "tensorflow_datasets", "matplotlib")
_ONE_SAMPLE = ("wasserstein", "cramer_von_mises", "kolmogorov_smirnov")
_TWO_SAMPLE = "two_sample_wasserstein"


def cases(*, quick: bool = False) -> list[harness.Case]:
    """Returns the cases; quick: small sizes, for a smoke test."""
    return [
        sorting_bench.case(quick=quick),
        sigreg_bench.case(quick=quick),
        # Each begins with the sizes that figures are asked of; what a spent budget cuts is at the end of the last.
        *reversed(cramer_wold_bench.cases(quick=quick)),
        mmd_bench.case(quick=quick),
        sliced_bench.case(quick=quick),
    ]


def figures(rows: Sequence[Row], *, quick: bool = False) -> list[str]:
    """Returns a line for each target: what was asked, what this run measured, and whether it is met.

    A target whose timings are not in the rows (left out, skipped or failed) is called not measured.
    """
    if quick:
        return ["the targets on time and memory need the full sizes: not measured in this run", _import_line(repeats=1)]
    table = targets.Table(rows)
    lines = [*_sorting(table), *_sigreg(table), *_sliced(table), *_cramer_wold(table), *_pairwise(table)]
    return lines + [_import_line(repeats=5)]


def _sorting(table: targets.Table) -> Iterator[str]:
    ours, xla, numpy = ((name, "sort", "value") for name in (OURS, "jax.numpy", "NumPy/SciPy"))
    for n, factor in ((256, 10), (1024, 10), (4096, 10), (65536, 3)):
        target = f"sorting.sort, 1024 rows, n = {n}, at least {factor}× faster than jnp.sort under jit"
        yield table.at_least(target, xla, ours, factor, {"rows": 1024, "n": n})
    for n in (1024, 4096):
        yield table.at_most(
            f"sorting.sort, 1024 rows, n = {n}, within 2.5× of np.sort", ours, numpy, 2.5, {"rows": 1024, "n": n}
        )
    ours, numpy = ((name, "ranks", "value") for name in (OURS, "NumPy/SciPy"))
    for n in (256, 1024, 4096):
        target = f"sorting.ranks, 1024 rows, n = {n}, within 3× of np.argsort"
        yield table.at_most(target, ours, numpy, 3, {"rows": 1024, "n": n})


def _sigreg(table: targets.Table) -> Iterator[str]:
    ours = (OURS, sigreg_bench.TASK, "value_and_grad")
    peer = (sigreg_bench.PEER, sigreg_bench.TASK, "value_and_grad")
    products = ("jax.numpy", sigreg_bench.PROJECTION, "value_and_grad")
    for slices, n in itertools.product((256, 1024), (256, 1024, 4096)):
        size = {"n": n, "d": 512, "slices": slices}
        start = f"Epps-Pulley by 17 nodes, n = {n}, d = 512, {slices} slices, value and gradient,"
        yield table.at_least(f"{start} at least 12× LeJEPA's class", peer, ours, 12, size)
        yield table.at_most(f"{start} within 3× of the two projections", ours, products, 3, size)


def _sliced(table: targets.Table) -> Iterator[str]:
    for task in _ONE_SAMPLE:
        ours = (OURS, task, "value_and_grad")
        for n in (256, 1024, 4096):
            size = {"n": n, "d": 64, "slices": 1024}
            start = f"sliced {task}, n = {n}, d = 64, 1024 slices, value and gradient,"
            pot, torch = ("POT (NumPy)", _TWO_SAMPLE, "value"), ("PyTorch", task, "value_and_grad")
            yield table.at_least(f"{start} at least 8× faster than POT's value alone", pot, ours, 8, size)
            yield table.at_least(f"{start} faster than plain PyTorch's", torch, ours, 1, size)


def _cramer_wold(table: targets.Table) -> Iterator[str]:
    ours, pairwise = ((name, "cramer_wold", "value_and_grad") for name in (OURS, "jax.numpy"))
    for n, factor in ((256, 3), (1024, 20)):
        target = f"1-D Cramer-Wold, n = {n}, 1024 slices, value and gradient, at least {factor}× the pairwise form"
        yield table.at_least(target, pairwise, ours, factor, {"n": n, "d": 64, "slices": 1024})


def _pairwise(table: targets.Table) -> Iterator[str]:
    for task, name in (
        ("mmd_inverse_multiquadric", "MMD (seven inverse multiquadrics)"),
        ("cramer_wold_multivariate", "d-dimensional Cramer-Wold"),
    ):
        ours = (OURS, task, "value_and_grad")
        target = f"{name}, n = 16384, d = 64, value and gradient, peak memory under 1 GiB above the inputs"
        row = table.find(*ours, {"n": 16384, "d": 64})
        if row is None:
            yield f"{target}: not measured in this run"
        else:
            counts = [row["compiled_bytes"], row["process_bytes"]]
            met = all(count is None or count < _GIBIBYTE for count in counts)
            compiled, process = (report.format_bytes(count) for count in counts)
            yield f"{target}: {compiled} by the compiler's count, {process} by the process's: {targets.verdict(met)}"
        target = f"{name}, n = 4096, d = 64, value and gradient, at most 1.3× the dense form's time"
        yield table.at_most(target, ours, ("jax.numpy", task, "value_and_grad"), 1.3, {"n": 4096, "d": 64})


def _import_line(repeats: int) -> str:
    """Times imports in fresh processes, in turn, and looks at what they loaded."""
    everything = (
        "import importlib, pkgutil, gentoolkit.distances as d\n"
        "for m in pkgutil.walk_packages(d.__path__, d.__name__ + '.'): importlib.import_module(m.name)"
    )
    programs = {"jax": "import jax", "distances": "import gentoolkit.distances", "everything": everything}
    target = f"import gentoolkit.distances loads no Flax, tfds or matplotlib, at most {_IMPORT_RATIO}× import jax"
    seconds: dict[str, list[float]] = {name: [] for name in programs}
    try:
        for _ in range(repeats):
            for name, program in programs.items():
                start = time.perf_counter()
                _run(program)
                seconds[name].append(time.perf_counter() - start)
        probe = f"{everything}\nimport sys\nprint(*[m for m in {_HEAVY} if m in sys.modules])"
        loaded = _run(probe).split()
    except subprocess.CalledProcessError as error:
        last = (error.stderr or "").strip().splitlines()[-1:]
        return f"{target}: not measured, the import failed: {' '.join(last)}"
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    ratio = medians["everything"] / medians["jax"]
    return (
        f"{target}: {medians['distances']:.2f} s, with all its modules {medians['everything']:.2f} s, "
        f"jax {medians['jax']:.2f} s ({ratio:.2f}×, whole process); loads "
        f"{', '.join(loaded) or 'none of the three'}: {targets.verdict(ratio <= _IMPORT_RATIO and not loaded)}"
    )


def _run(program: str) -> str:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
