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

# The contract: names that stay, with the positional parameters they begin with.
CONTRACT = {
    "distances": {
        "sorting": {"sort": "y", "ranks": "y"},
        "directions": {"random": "key num dim", "orthogonal": "key num dim", "sobol": "key num dim"},
        "normality": {
            "wasserstein": "y",
            "cramer_wold": "y",
            "cramer_von_mises": "y",
            "kolmogorov_smirnov": "y",
            "anderson_darling": "y",
            "epps_pulley": "y",
            "shapiro_francia": "y",
            "null_mean": "statistic n",
            "p_value": "statistic value n",
        },
        "two_sample": {"wasserstein": "y w", "energy": "y w", "cramer_von_mises": "y w", "kolmogorov_smirnov": "y w"},
        "sliced": {"project": "x directions", "distance": "statistic", "maximal": "key statistic"},
        "cramer_wold": {"to_normal": "x", "between": "x z"},
        "mmd": {
            "squared": "x z kernel",
            "gaussian": "bandwidth",
            "inverse_multiquadric": "scales",
            "laplacian": "",
            "rational_quadratic": "",
            "energy": "",
        },
        "gaussian": {
            "frechet": "mean_a cov_a mean_b cov_b",
            "kl_divergence": "mean_a cov_a mean_b cov_b",
            "mardia": "x",
            "Mardia": "skewness kurtosis",
        },
    },
    "gaussianization": {
        "marginal": {
            "Marginal": "fit forward inverse",
            "quantile": "",
            "histogram": "",
            "kernel_density": "",
            "mixture": "",
            "dither": "key y",
        },
        "rotation": {
            "Rotation": "fit forward inverse",
            "pca": "",
            "random": "",
            "ica": "",
            "max_sliced": "",
        },
        "univariate_entropy": {"spacing": "y", "histogram": "y"},
        "persistence": {"save": "path d", "load": "path"},
        "rbig": {
            "fit": "key x",
            "apply_layer": "marginal layer x",
            "layers": "d x",
            "from_uniform": "d u",
            "forward": "d x",
            "inverse": "d z",
            "log_prob": "d x",
            "sample": "key d num",
            "to_uniform": "d x",
        },
    },
    "information": {
        "total_correlation": {"total_correlation": "key x"},
        "mutual_information": {"mutual_information": "key x z"},
        "conditional": {"conditional_mutual_information": "key x z given"},
        "entropy": {"entropy": "key x", "negentropy": "key x"},
        "divergence": {"kl_divergence": "key x z"},
        "estimate": {
            "Estimate": "value standard_error null_mean null_std p_value trace",
            "with_doubt": "key statistic",
            "permuted": "key x",
            "permuted_columns": "key x",
            "p_value": "value null",
            "jackknife": "statistic",
        },
        "nearest_neighbors": {
            "entropy": "x",
            "total_correlation": "x",
            "mutual_information": "x z",
            "conditional_mutual_information": "x z given",
            "local_nonuniformity": "",
            "kl_divergence": "x z",
        },
        "exponential_family": {
            "entropy": "x",
            "total_correlation": "x",
            "mutual_information": "x z",
            "conditional_mutual_information": "x z given",
            "kl_divergence": "x z",
        },
        "von_mises": {
            "entropy": "x",
            "total_correlation": "x",
            "mutual_information": "x z",
            "kl_divergence": "x z",
            "likeliest_bandwidth": "x candidates",
        },
        "elliptical": {"fit": "z", "forward": "fitted z"},
        "mixture": {"fit": "key z num_components", "refit": "fitted z", "forward": "fitted z", "log_ratio": "fitted z"},
        "student_t": {
            "entropy": "scatter",
            "total_correlation": "scatter",
            "mutual_information": "scatter",
            "sample": "key scatter",
        },
        "gaussian": {
            "entropy": "cov",
            "total_correlation": "cov",
            "mutual_information": "cov",
            "conditional_mutual_information": "cov",
            "kl_divergence": "mean_a cov_a mean_b cov_b",
        },
    },
    "gaussian_process": {
        "covariance": {
            "squared_exponential": "lengthscale variance",
            "matern32": "lengthscale variance",
            "matern52": "lengthscale variance",
            "rational_quadratic": "lengthscale variance",
        },
        "posterior": {"condition": "covariance x y", "mean": "p x", "variance": "p x", "sample": "key p x"},
        "sparse": {"condition": "covariance x y"},
        "evidence": {"log_marginal_likelihood": "", "elbo": "", "leave_one_out": "", "fit": "key"},
        "kmeans": {
            "kmeans": "key x num_clusters",
            "kmeans_plus_plus": "key x num_clusters",
            "minibatch": "key x num_clusters",
            "assign": "x centers",
        },
        "cholesky": {"factorize": "matrix", "solve": "lower b", "inverse": "lower", "log_det": "lower"},
        "coregionalization": {
            "coregionalized": "covariance outputs",
            "condition": "covariance x y",
            "mean": "p x",
            "variance": "p x",
        },
        "conjugate_gradients": {
            "solve": "covariance x b",
            "pivoted_cholesky": "covariance x",
            "log_det": "covariance x probes",
        },
    },
    "imaging": {
        "color": {
            "luma": "image",
            "rgb_to_ycbcr": "image",
            "ycbcr_to_rgb": "image",
            "luma_gain": "old new",
            "replace_luma": "image y",
            "value": "image",
            "scale_value": "image new",
            "rgb_to_hsv": "image",
            "hsv_to_rgb": "image",
            "srgb_to_linear": "image",
            "linear_to_srgb": "image",
        },
        "patches": {"extract": "image size", "neighborhoods": "image size", "fold": "patches shape size"},
        "filters": {
            "box": "image radius",
            "gaussian": "image sigma",
            "guided": "image guide",
            "bilateral": "image",
            "closing": "image radius",
        },
        "clahe": {"clahe": "image"},
        "pyramid": {"laplacian_pyramid": "image num_levels", "collapse": "levels"},
        "solvers": {
            "differences": "u",
            "adjoint_differences": "field",
            "solve_neumann": "b",
            "solve_periodic": "b",
            "solve_weighted": "b",
            "conjugate_gradients": "operator b",
        },
        "quality": {"psnr": "image reference", "ssim": "image reference", "lpips_input": "image"},
        "degradation": {
            "gamma_levels": "",
            "darken": "image gamma",
            "quantize": "image",
            "poisson_gaussian": "key image",
            "color_cast": "image gammas",
        },
        "keypoints": {
            "detect": "image",
            "score_geometry": "detected truth",
            "score_descriptors": "detected truth",
            "compare": "image reference",
        },
        "gp_enhancement.tone_map": {
            "fit": "key image reference",
            "cluster": "key image reference",
            "condition": "key pairs",
            "apply": "tone_map image",
        },
        "gp_enhancement.published": {
            "luminance": "key image reference",
            "rgb": "key image reference",
            "unique_pairs": "key image reference",
            "fit_unique_pairs": "key image reference",
        },
        "gp_enhancement.improved": {
            "fit": "key image reference",
            "default_departure": "mean",
            "curves": "found",
            "rebalance": "table exponents",
            "apply": "table image",
        },
        "gp_enhancement.power_law": {"brighten": "dark gamma", "fit": "dark bright"},
        "gp_enhancement.white_balance": {"exponents": "image", "apply": "image exponents"},
        "gp_enhancement.shrinkage": {"noise_level": "image", "shrink": "image variance"},
        "retinex.fbe": {"enhance": "image"},
        "retinex.wvm": {"enhance": "image"},
        "retinex.lime": {"enhance": "image"},
        "retinex.srrm": {"enhance": "image"},
        "retinex.gradient_based": {"enhance": "image"},
    },
}


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


@pytest.mark.fast
@pytest.mark.parametrize("room", [room for room in STANDING if room in CONTRACT])
def test_the_names_of_the_contract_stand(room):
    told = []
    for module_name, names in CONTRACT[room].items():
        module = importlib.import_module(f"gentoolkit.{room}.{module_name}")
        for name, positional in names.items():
            value = getattr(module, name, None)
            if value is None:
                told.append(f"{module.__name__}.{name} is missing")
                continue
            given = [*inspect.signature(value).parameters][: len(positional.split())]
            if given != positional.split():
                told.append(f"{module.__name__}.{name} begins with {given}, not {positional.split()}")
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
