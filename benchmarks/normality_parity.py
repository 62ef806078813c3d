r"""Normality tests beside those of LeJEPA's library, on the same slices: `python -m benchmarks.normality_parity`.

    python -m benchmarks.normality_parity --peers=FOLDER

The folder holds a checkout of rbalestr-lab/lejepa under the name lejepa; nothing of it is part of this project. A
Markdown table of the largest difference of values and of gradients, over the largest of a sample, with ours in float32
and in float64. Slices are those of a sample a little off N(0, I) without ties (which share a gradient in any order),
n = 64, 512 and 4096.

Theirs run in float64, constants that they ask for in float32 included: rounded to float32 their own `ShapiroWilk` with
Rahman's weights is off by a third at n = 4096. Two classes take an approximation of log Phi beyond |y| = 3; they stand
three times in the table: on samples that end there, on whole ones (which shows how far off it is, and counts as not
met), and on whole ones with that one function replaced by `torch.special.log_ndtr`. Ends with status 1 where another
difference is larger than 1e-5.
"""

import contextlib
import functools
import pathlib
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
from absl import app

from benchmarks import machine, public_code, targets
from gentoolkit.distances import multivariate_normality, normality

_SIZES = (64, 512, 4096)
_SLICES, _LIMIT = 16, 1e-5


class Pair(NamedTuple):
    """A statistic of ours and a class of theirs that say the same.

    Attributes:
      name: of their class, with its options.
      ours: `[k, n] -> [k]`, or of samples `[n, d] -> []`, scaled as theirs is.
      theirs: lejepa's package → its module.
      largest: samples end here, None for normal ones.
      exact: replace its approximate log Phi, by the name of the module that holds it.
      dim: None for slices, else the dimension of the samples.
      expected: whether they should agree.
    """

    name: str
    ours: Callable[[jax.Array], jax.Array]
    theirs: Callable[[Any], Any]
    largest: float | None = None
    exact: str | None = None
    dim: int | None = None
    expected: bool = True


def pairs() -> Iterator[Pair]:
    """Yields what is compared."""
    partial = functools.partial
    forms = (
        {"note": " within 3", "largest": 3.0},
        {"note": " as it is", "expected": False},
        {"note": ", exact log Phi"},
    )
    yield Pair("EppsPulley()", normality.epps_pulley_quadrature, lambda le: le.univariate.EppsPulley())
    yield Pair(
        "EppsPulley(5, 33)",
        partial(normality.epps_pulley_quadrature, num_nodes=33, last_node=5.0),
        lambda le: le.univariate.EppsPulley(t_max=5, n_points=33),
    )
    yield Pair("CramerVonMises()", partial(_less_constant, normality.cramer_von_mises), _class("CramerVonMises"))
    yield Pair("Watson()", partial(_less_constant, normality.watson), _class("Watson"))
    for form in forms:
        yield _with_log_cdf("AndersonDarling", "anderson_darling", _times_n, **form)
    yield Pair("ExtendedJarqueBera()", normality.extended_jarque_bera, _class("ExtendedJarqueBera"))
    yield Pair("VCReg()", normality.mean_and_variance, _class("VCReg"))
    yield Pair("Moments()", normality.moments, _class("Moments"))
    yield Pair("Entropy()", lambda y: jnp.exp(normality.negentropy(y, ends="wide")), _class("Entropy"))
    yield Pair(
        "Entropy(right, 3)",
        partial(normality.negentropy, window=3, ends="right"),
        lambda le: le.univariate.Entropy(m=3, method="right"),
    )
    yield Pair("ShapiroWilk()", normality.normal_score_cosine, _class("ShapiroWilk"))
    yield Pair(
        "ShapiroWilk(blom, rahman)",
        partial(normality.normal_score_cosine, positions="blom", weights="rahman"),
        lambda le: le.univariate.ShapiroWilk("blom", "rahman"),
    )
    for form in forms:
        yield _with_log_cdf("NLL", "likelihood", normality.likelihood, **form)
    multivariate = multivariate_normality
    yield Pair("BHEP(0.1)", partial(multivariate.bhep, beta=0.1), lambda le: le.multivariate.BHEP(0.1), dim=8)
    yield Pair("BHEP(1)", partial(multivariate.bhep, beta=1.0), lambda le: le.multivariate.BHEP(1.0), dim=8)
    yield Pair("HZ()", multivariate.henze_zirkler, lambda le: le.multivariate.HZ(), dim=8)
    yield Pair("HV(5)", multivariate.henze_visagie, lambda le: le.multivariate.HV(5), dim=8)
    yield Pair("COMB(1)", multivariate.combined, lambda le: le.multivariate.COMB(1.0), dim=8)
    yield Pair("BHEP_M(beta=10)", _less_last_term, lambda le: _henze_koch(le), dim=8)


def main(argv: list[str]) -> None:
    """Prints the table."""
    if len(argv) > 1:
        raise app.UsageError(f"no arguments are taken, got {argv[1:]}.")
    folder = pathlib.Path(public_code.PEERS.value).expanduser() / "lejepa"
    print("| lejepa | n | value, float32 | gradient, float32 | value, float64 | gradient, float64 | |")
    print("|---|---|---|---|---|---|---|")
    if not machine.installed("torch"):
        print("| lejepa | absent: torch is not installed | | | | | |")
        sys.exit(0)
    if not public_code.PEERS.value or not (folder / "lejepa").is_dir():
        print("| lejepa | absent: lejepa/lejepa is not below --peers | | | | | |")
        sys.exit(0)
    sys.path.insert(0, str(folder))
    import lejepa

    missed = 0
    for pair in pairs():
        for n in _SIZES:
            found = compare(pair, lejepa, n)
            met = max(found) <= _LIMIT
            missed += pair.expected and not met
            numbers = " | ".join(f"{number:.1e}" for number in found)
            print(
                f"| {pair.name} | {n} | {numbers} | {targets.verdict(met) if pair.expected else 'approximate there'} |",
                flush=True,
            )
    sys.exit(1 if missed else 0)


def compare(pair: Pair, lejepa: Any, n: int) -> list[float]:
    """Returns the largest relative differences of value and gradient, of float32 and of float64."""
    import torch

    x = _sample(n, _SLICES if pair.dim is None else pair.dim, pair.largest)
    module = sys.modules.get(f"lejepa.univariate.{pair.exact}")
    kept = torch.get_default_dtype()
    with contextlib.ExitStack() as stack:
        stack.callback(torch.set_default_dtype, kept)
        torch.set_default_dtype(torch.float64)
        stack.enter_context(mock.patch.object(torch, "float", torch.float64))
        if module is not None:
            stack.enter_context(mock.patch.object(module, "log_norm_cdf", torch.special.log_ndtr))
        tensor = torch.from_numpy(x).double().requires_grad_(True)
        value = pair.theirs(lejepa).double()(tensor)
        value = value.mean(0) if pair.name.startswith("NLL") else value
        (gradient,) = torch.autograd.grad(value.sum(), tensor)
    theirs = value.detach().numpy(), gradient.numpy()
    found = []
    for wide in (False, True):
        with jax.enable_x64(wide):
            y = jnp.asarray(x if pair.dim is not None else x.T, jnp.float64 if wide else jnp.float32)
            ours, pull = jax.vjp(pair.ours, y)
            (slope,) = pull(jnp.ones_like(ours))
            slope = np.asarray(slope, np.float64) if pair.dim is not None else np.asarray(slope, np.float64).T
            for mine, other in zip((np.asarray(ours), slope), theirs, strict=True):
                found.append(float(np.max(np.abs(mine - other)) / np.max(np.abs(other))))
    return found


def _sample(n: int, columns: int, largest: float | None) -> np.ndarray:
    """A little off the null, `[n, columns]` float32, no entry twice in a column."""
    rng = np.random.default_rng(n)
    x = np.full((n, columns), np.nan, np.float32)
    redrawn = np.isnan(x)
    while redrawn.any():
        x[redrawn] = 1.1 * rng.standard_normal(redrawn.sum()) + 0.1
        redrawn = np.abs(x) > (largest or np.inf)
        for column, again in zip(x.T, redrawn.T, strict=True):
            again |= ~np.isin(np.arange(n), np.unique(column, return_index=True)[1])
    return x


def _with_log_cdf(name: str, module: str, ours: Callable, *, note: str, **options: Any) -> Pair:
    exact = module if "exact" in note else None
    return Pair(f"{name}(){note}", ours, _class(name), exact=exact, **options)


def _class(name: str) -> Callable[[Any], Any]:
    return lambda lejepa: getattr(lejepa.univariate, name)()


def _henze_koch(lejepa: Any) -> Any:
    # Its constructor hands its base class an argument that this does not take.
    module = lejepa.multivariate.BHEP_M.__new__(lejepa.multivariate.BHEP_M)
    super(lejepa.multivariate.BHEP_M, module).__init__()
    module.beta = 10
    return module


def _less_constant(statistic: Callable, y: jax.Array) -> jax.Array:
    return statistic(y) - 1 / (12 * y.shape[-1] ** 2)


def _times_n(y: jax.Array) -> jax.Array:
    return y.shape[-1] * normality.anderson_darling(y)


def _less_last_term(x: jax.Array) -> jax.Array:
    return multivariate_normality.henze_koch(x, beta=10.0) - x.shape[0] * 9.0 ** (-x.shape[1] / 2)


if __name__ == "__main__":
    app.run(main)
