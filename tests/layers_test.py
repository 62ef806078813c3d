"""Reads every import of the tree and fails on an arrow that runs the wrong way."""

import ast
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
KERNELS = {"distances", "gaussianization", "information", "gaussian_process", "imaging", "objectives"}

# What a room of gentoolkit may import from gentoolkit, besides itself. `_array` (dtype rules and checks), `_scale`
# (origin and unit of data), `_sums` (products summed over many rows), `_lapack` (factorizations of many matrices) and
# `_pytree` (dataclasses as pytrees) are the ground that kernels and everything on top of kernels stand on.
MAY_IMPORT = {
    "_array": set(),
    "_lapack": set(),
    "_pytree": set(),
    "_scale": set(),
    "_sums": set(),
    "distances": {"_array", "_lapack", "_scale", "_sums"},
    "gaussianization": {"_array", "_lapack", "_pytree", "_scale", "_sums", "distances"},
    "information": {"_array", "_lapack", "_scale", "_sums", "distances", "gaussianization"},
    "gaussian_process": {"_array", "_lapack", "_pytree", "_scale", "_sums"},
    "imaging": {"_array", "_lapack", "_pytree", "_scale", "_sums", "gaussian_process"},
    "objectives": {"_array", "_lapack", "_scale", "_sums", "distances"},
    "nn": {"_array", "_lapack", *KERNELS},
    "data": {"_array", *KERNELS},
    "models": {"_array", *KERNELS, "nn"},
    "evaluation": {"_array", *KERNELS},
    "training": set(),
    "report": set(),
    "study": {"report"},
}
# Kernels know jax and numpy; SciPy and OpenCV only inside a function that runs on the host.
KERNEL_LIBRARIES = {"jax", "numpy"}
HOST_LIBRARIES = {"scipy", "cv2"}
# Other rooms: what they must not know.
FORBIDDEN_LIBRARIES = {
    "nn": {"optax", "orbax", "grain", "tensorflow_datasets", "absl", "ml_collections", "matplotlib"},
    "models": {"optax", "orbax", "grain", "tensorflow_datasets", "absl", "ml_collections", "matplotlib"},
    "data": {"flax", "optax", "orbax", "matplotlib"},
}
FORBIDDEN_EVERYWHERE = {"tensorflow", "torch", "clu"}
# Trees beside the package. An experiment is alone; only tests may look at experiments and benchmarks.
BESIDE = {"experiments", "benchmarks", "tests"}


def imports(path: pathlib.Path, root: pathlib.Path):
    """Yields `(line, dotted name, at module level)`; `from a import b` yields both `a` and `a.b`."""
    tree = ast.parse(path.read_text(), str(path))
    inside = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for node in ast.walk(function)
    }
    package = path.relative_to(root).with_suffix("").parts[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*above, *([node.module] if node.module else [])])
            names = [module, *(f"{module}.{alias.name}" for alias in node.names)]
        elif (
            isinstance(node, ast.Call)
            and ast.unparse(node.func).split(".")[-1] in {"import_module", "__import__"}
            and node.args
            and isinstance(node.args[0], ast.Constant)
        ):
            names = [str(node.args[0].value)]
        else:
            continue
        for name in names:
            yield node.lineno, name, id(node) not in inside


def _library_fault(room: str, library: str, at_module_level: bool) -> str | None:
    if library in FORBIDDEN_EVERYWHERE and (at_module_level or room in KERNELS):
        return f"{library} is not for gentoolkit"
    if room in KERNELS | {"_array", "_lapack", "_pytree", "_scale", "_sums"}:
        if library in HOST_LIBRARIES:
            return f"{library} belongs inside the host-side function that needs it" if at_module_level else None
        return None if library in KERNEL_LIBRARIES else f"a kernel knows jax and numpy, not {library}"
    return f"{room} must not know {library}" if library in FORBIDDEN_LIBRARIES.get(room, ()) else None


def _fault(here: tuple[str, ...], name: str, at_module_level: bool) -> str | None:
    """Why the module with dotted parts `here` must not import `name`; None if it may."""
    target = tuple(name.split("."))
    if target[0] in sys.stdlib_module_names:
        return None
    if here[0] == "gentoolkit":
        room = here[1]
        if target[0] in BESIDE:
            return "the package does not know the trees beside it"
        if room == "__init__":
            return "importing gentoolkit loads nothing"
        if target[0] != "gentoolkit":
            return _library_fault(room, target[0], at_module_level)
        if len(target) == 1 or target[1] in {room, "__version__"}:
            return None
        if any(part.startswith("_") for part in target[2:]):
            return f"{'.'.join(target[:2])} keeps what begins with _ to itself: what others need becomes public"
        return None if target[1] in MAY_IMPORT[room] else f"{room} may import {sorted(MAY_IMPORT[room]) or 'nothing'}"
    if here[0] == "tests":
        return None
    if target[0] == "gentoolkit" and any(part.startswith("_") and part != "__version__" for part in target[1:]):
        return "what begins with _ is gentoolkit's own"
    if target[0] not in BESIDE:
        return None
    if (here[0], target[0]) == ("benchmarks", "experiments"):
        return None  # a whole step is timed as the experiment builds it, not as a copy of it
    if target[0] != here[0]:
        return f"{here[0]} and {target[0]} do not know each other"
    other_experiment = here[0] == "experiments" and len(target) > 1 and target[1] != here[1]
    return "an experiment does not know another" if other_experiment else None


def violations(root: pathlib.Path) -> list[str]:
    """Every import under `root` that breaks the direction, as `path:line: imports name: reason`."""
    found = []
    for path in sorted(path for tree in ("gentoolkit", *sorted(BESIDE)) for path in (root / tree).rglob("*.py")):
        here = path.relative_to(root).with_suffix("").parts
        where = path.relative_to(root)
        if here[0] == "gentoolkit" and here[1] != "__init__" and here[1] not in MAY_IMPORT:
            found.append(f"{where}:1: room {here[1]} is not in the table of layers")
            continue
        for line, name, at_module_level in imports(path, root):
            reason = _fault(here, name, at_module_level)
            if reason:
                found.append(f"{where}:{line}: imports {name}: {reason}")
    return found


@pytest.mark.fast
def test_every_import_runs_one_way():
    assert not violations(ROOT), "\n" + "\n".join(violations(ROOT))


@pytest.mark.fast
def test_tables_name_the_rooms_that_stand():
    rooms = {path.name for path in (ROOT / "gentoolkit").iterdir() if (path / "__init__.py").exists()}
    assert "distances" in rooms and rooms <= set(MAY_IMPORT)


@pytest.mark.fast
@pytest.mark.parametrize(
    ("path", "source", "name"),
    [
        ("gentoolkit/distances/bad.py", "import flax", "flax"),
        ("gentoolkit/distances/bad.py", "import scipy.stats", "scipy.stats"),
        ("gentoolkit/distances/bad.py", "def f():\n    import optax", "optax"),
        ("gentoolkit/distances/bad.py", "from gentoolkit import gaussianization", "gentoolkit.gaussianization"),
        ("gentoolkit/distances/bad.py", "from ..information import entropy", "gentoolkit.information"),
        ("gentoolkit/distances/bad/deep.py", "from ...models import autoencoder", "gentoolkit.models"),
        (
            "gentoolkit/gaussianization/bad.py",
            "import gentoolkit.information.entropy",
            "gentoolkit.information.entropy",
        ),
        ("gentoolkit/gaussian_process/bad.py", "from gentoolkit.distances import mmd", "gentoolkit.distances"),
        ("gentoolkit/objectives/bad.py", "from gentoolkit.imaging import color", "gentoolkit.imaging"),
        ("gentoolkit/nn/bad.py", "from gentoolkit.data import images", "gentoolkit.data"),
        ("gentoolkit/data/bad.py", "from gentoolkit import nn", "gentoolkit.nn"),
        ("gentoolkit/models/bad.py", "def f():\n    from gentoolkit.training import loop", "gentoolkit.training"),
        ("gentoolkit/models/bad.py", "import optax", "optax"),
        (
            "gentoolkit/gaussianization/bad.py",
            "from gentoolkit.distances import _kernels",
            "gentoolkit.distances._kernels",
        ),
        (
            "gentoolkit/nn/bad.py",
            "from gentoolkit.gaussianization.splines import _segment",
            "gentoolkit.gaussianization.splines._segment",
        ),
        ("experiments/a/bad.py", "from gentoolkit.training import _command_line", "gentoolkit.training._command_line"),
        ("gentoolkit/evaluation/bad.py", "import gentoolkit.models", "gentoolkit.models"),
        ("gentoolkit/training/bad.py", "from gentoolkit.distances import sliced", "gentoolkit.distances"),
        ("gentoolkit/report/bad.py", "import importlib\nimportlib.import_module('gentoolkit.data')", "gentoolkit.data"),
        ("gentoolkit/report/bad.py", "from gentoolkit import study", "gentoolkit.study"),
        ("gentoolkit/study/bad.py", "from gentoolkit import training", "gentoolkit.training"),
        ("gentoolkit/training/bad.py", "from experiments.a import main", "experiments.a"),
        ("gentoolkit/__init__.py", "from gentoolkit import distances", "gentoolkit.distances"),
        ("gentoolkit/__init__.py", "import jax", "jax"),
        ("gentoolkit/stray/bad.py", "", "stray"),
        ("experiments/a/bad.py", "from experiments.b import main", "experiments.b"),
        ("experiments/a/bad.py", "from benchmarks import harness", "benchmarks"),
        ("benchmarks/bad.py", "import tests.conftest", "tests.conftest"),
    ],
)
def test_a_planted_violation_is_found(tmp_path, path, source, name):
    file = tmp_path / path
    file.parent.mkdir(parents=True)
    file.write_text(source)
    found = violations(tmp_path)
    assert found and any(name in line and line.startswith(path) for line in found), found


@pytest.mark.fast
@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("gentoolkit/distances/good.py", "import jax\ndef f():\n    import scipy.stats"),
        ("gentoolkit/distances/good.py", "from gentoolkit import _array\nfrom gentoolkit.distances import sorting"),
        ("gentoolkit/information/good.py", "from gentoolkit.gaussianization import rbig"),
        ("gentoolkit/imaging/good.py", "from gentoolkit.gaussian_process import posterior"),
        ("gentoolkit/models/good.py", "from flax import nnx\nfrom gentoolkit.nn import blocks"),
        ("experiments/a/good.py", "from experiments.a import config\nfrom gentoolkit.training import loop"),
        ("tests/good.py", "from benchmarks import harness\nfrom experiments.a import main"),
    ],
)
def test_a_right_arrow_is_let_through(tmp_path, path, source):
    file = tmp_path / path
    file.parent.mkdir(parents=True)
    file.write_text(source)
    assert violations(tmp_path) == []


def _loaded_after(statement: str) -> set[str]:
    """Top-level modules in a fresh interpreter after `statement`."""
    program = f"import sys\n{statement}\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


@pytest.mark.fast
def test_importing_the_package_loads_nothing_heavy():
    assert not _loaded_after("import gentoolkit") & {"jax", "numpy", "scipy", "flax"}


@pytest.mark.fast
def test_importing_kernels_loads_jax_and_numpy_only():
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for room in sorted(KERNELS)
        for path in sorted((ROOT / "gentoolkit" / room).rglob("*.py"))
    ]
    statement = "from gentoolkit.distances import normality\n" + "\n".join(f"import {name}" for name in modules)
    heavy = {"scipy", "flax", "optax", "orbax", "chex", "grain", "tensorflow_datasets", "tensorflow", "matplotlib"}
    assert not _loaded_after(statement) & heavy
