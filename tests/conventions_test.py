"""Walks every public function of the kernels and fails where a signature or docstring leaves the house conventions."""

import ast
import importlib
import inspect
import pathlib
import pkgutil
import re
import types

import jax
import pytest

ROOT = pathlib.Path(__file__).parents[1]
KERNELS = ("distances", "gaussianization", "information", "gaussian_process", "imaging", "objectives")

# One word for one thing: what people also call it, and what it is called here.
HOUSE_WORD = {
    "rng": "key",
    "prng": "key",
    "prng_key": "key",
    "random_state": "key",
    "seed": "key",
    "bw": "bandwidth",
    "length_scale": "lengthscale",
    "projections": "directions",
    "thetas": "directions",
    "logdet": "log_det",
    "log_abs_det": "log_det",
    "chunk_size": "block_size",
}
COUNTS = re.compile(r"^n_\w+$")  # num_steps, not n_steps
# Tables of null distributions are simulated on the host, once: they may be seeded and compiled.
HOST_SIDE = {"gentoolkit.distances.normality.null"}


def public_modules(room: str) -> list[types.ModuleType]:
    """Every public module of a kernel package, packages inside it included."""
    package = importlib.import_module(f"gentoolkit.{room}")
    names = [info.name for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")]
    return [importlib.import_module(name) for name in names if not name.rpartition(".")[2].startswith("_")]


def public_functions(room: str) -> list[types.FunctionType]:
    """The public functions written in the public modules of a room; those with a custom derivative too."""
    found = []
    for module in public_modules(room):
        for name, value in vars(module).items():
            function = inspect.unwrap(value) if callable(value) else value
            if not name.startswith("_") and inspect.isfunction(function) and function.__module__ == module.__name__:
                found.append(function)
    return found


def _described(function) -> dict[str, str]:
    """The entries of the docstring's Args section, by parameter."""
    section = re.search(r"\n\s*Args:\n(.*?)(\n\s*\n|\Z)", inspect.getdoc(function) or "", re.S)
    entries = re.split(r"^ {2,4}(?=\*?\w+(?:, \*?\w+)*:)", section.group(1), flags=re.M) if section else []
    described = {}
    for entry in entries:
        names, _, text = entry.partition(":")
        described.update({name.strip(" *"): text for name in names.split(",")})
    return described


def faults(function) -> list[str]:
    """What in the signature and docstring of a public kernel function leaves the conventions."""
    doc = inspect.getdoc(function) or ""
    parameters = list(inspect.signature(function).parameters.values())
    described = _described(function)
    found = []
    for place, parameter in enumerate(parameters):
        name, optional = parameter.name, parameter.default is not parameter.empty
        if parameter.kind is parameter.VAR_KEYWORD:
            found.append(f"**{name} passes options through unseen")
            continue
        if parameter.kind is parameter.VAR_POSITIONAL and name == "args":
            found.append("*args does not say what may vary in number")
        if optional and parameter.kind is not parameter.KEYWORD_ONLY:
            found.append(f"{name} is optional and must be keyword-only")
        if name == "key" and (place != 0 or optional or parameter.kind is not parameter.POSITIONAL_OR_KEYWORD):
            found.append("key must come first, without a default")
        if name in HOUSE_WORD and not (name == "seed" and function.__module__ in HOST_SIDE):
            found.append(f"{name} is called {HOUSE_WORD[name]} here")
        if COUNTS.match(name):
            found.append(f"{name} is called num_{name[2:]} here")
        if parameter.annotation is parameter.empty and name != "dtype":
            found.append(f"{name} has no annotation")
        if name not in described:
            found.append(f"{name} is not described under Args")
        elif parameter.annotation in (jax.Array, "jax.Array") and name != "key" and "[" not in described[name]:
            found.append(f"{name} is an array whose shape is not given in brackets")
    if not re.match(r"\S.*[.](\n|\Z)", doc):
        found.append("the docstring must open with one line that ends in a full stop")
    if "Returns:" not in doc:
        found.append("the docstring has no Returns section")
    return found


def source_faults(path: pathlib.Path) -> list[str]:
    """Calls that a kernel's source must not hold: jit inside, a global switch of widths.

    `jax.jit` with `inline=True` may stand: a traced caller sees no boundary, an untraced one is spared compiling the
    same loop at every call.
    """
    found = []
    tree = ast.parse(path.read_text(), str(path))
    inlined = {
        id(node)
        for call in ast.walk(tree)
        if isinstance(call, ast.Call) and "inline=True" in {ast.unparse(keyword) for keyword in call.keywords}
        for node in ast.walk(call)
    }
    host_side = ".".join(path.with_suffix("").parts).endswith(tuple(HOST_SIDE))
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute | ast.Name) or id(node) in inlined:
            continue
        name = ast.unparse(node)
        if name in {"jax.jit", "jit", "jax.pmap"} and not host_side:
            found.append(f"{path.name}:{node.lineno}: {name}: the caller decides what to compile")
        if name in {"jax.config.update", "jax.enable_x64"}:
            found.append(f"{path.name}:{node.lineno}: {name}: a kernel changes no global setting")
    return found


STANDING = [room for room in KERNELS if (ROOT / "gentoolkit" / room / "__init__.py").exists()]


@pytest.mark.fast
@pytest.mark.parametrize("room", STANDING)
def test_every_public_kernel_keeps_the_conventions(room):
    functions = public_functions(room)
    assert functions
    told = [f"{f.__module__}.{f.__name__}: {fault}" for f in functions for fault in faults(f)]
    assert not told, "\n" + "\n".join(told)


@pytest.mark.fast
@pytest.mark.parametrize("room", STANDING)
def test_no_kernel_compiles_or_switches_anything_by_itself(room):
    told = [fault for path in sorted((ROOT / "gentoolkit" / room).rglob("*.py")) for fault in source_faults(path)]
    assert not told, "\n" + "\n".join(told)


def _good(key: jax.Array, x: jax.Array, *samples: jax.Array, num_steps: int = 3) -> jax.Array:
    """Does one thing.

    Args:
      key: PRNG key.
      x: `[..., n, d]` samples.
      *samples: `[..., n, d]` more of them.
      num_steps: how often,
        static: more is slower.

    Returns:
      `[...]`.
    """
    return x


def _with(*replacements: tuple[str, str]):
    source = inspect.getsource(_good)
    for old, new in replacements:
        assert old in source
        source = source.replace(old, new)
    namespace = {"jax": jax}
    exec(source, namespace)
    return namespace["_good"]


@pytest.mark.fast
def test_a_good_signature_has_no_fault():
    assert faults(_good) == []


@pytest.mark.fast
@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("key: jax.Array, x: jax.Array", "x: jax.Array, key: jax.Array", "first"),
        ("key: jax.Array, x", "x", None),
        ("*samples: jax.Array, num_steps: int = 3", "num_steps: int = 3", "keyword-only"),
        ("num_steps: int = 3", "num_steps: int = 3, **options: int", "passes options"),
        ("num_steps", "n_steps", "num_steps"),
        ("x: jax.Array", "rng: jax.Array", "key"),
        ("num_steps: int", "num_steps", "annotation"),
        ("`[..., n, d]` samples.", "samples.", "brackets"),
        ("      x: `[..., n, d]` samples.\n", "", "not described"),
        ("one thing.", "one thing", "full stop"),
        ("    Returns:\n", "", "Returns"),
        ("*samples", "*args", "vary in number"),
    ],
)
def test_a_planted_fault_is_found(old, new, told):
    if told is None:
        assert faults(_with((old, new))) == []
    else:
        assert any(told in fault for fault in faults(_with((old, new))))


@pytest.mark.fast
@pytest.mark.parametrize("source", ["@jax.jit\ndef f(x):\n    return x", "jax.config.update('jax_enable_x64', True)"])
def test_a_planted_switch_is_found(tmp_path, source):
    file = tmp_path / "bad.py"
    file.write_text(f"import jax\n{source}")
    assert source_faults(file)


@pytest.mark.fast
def test_an_inlined_jit_is_let_through(tmp_path):
    file = tmp_path / "good.py"
    file.write_text("import jax\n@functools.partial(jax.jit, inline=True)\ndef f(x):\n    return x")
    assert source_faults(file) == []
