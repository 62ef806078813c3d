"""What devices exchange for one sliced loss of a batch that is spread over them: `python -m benchmarks.exchange`.

Eight simulated devices, value and gradient, inside `jax.shard_map` with `axis_name` and under plain `jit` with sharded
samples. The bytes that each device hands over are counted from the compiled program: operands of every collective,
times the turns of the loop that it stands in. A Markdown table beside the projections and the samples themselves, and
the largest relative difference from the loss and gradient of the gathered batch on one device.
"""

import functools
import os
import re
import sys
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from absl import app
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from benchmarks import targets
from gentoolkit.distances import normality, sliced

_DEVICES = 8
_SIZES, _SLICES, _DIM = (1024, 8192), 256, 128
_STATISTICS = ("epps_pulley_quadrature", "extended_jarque_bera", "wasserstein", "anderson_darling")
_LIMIT = 1e-5

_COLLECTIVES = ("all-reduce", "all-gather", "all-to-all", "reduce-scatter", "collective-permute")
_BYTES = {"pred": 1, "bf16": 2, "f16": 2, "s32": 4, "u32": 4, "f32": 4, "f64": 8, "s64": 8, "c64": 8}


def main(argv: list[str]) -> None:
    """Prints the table."""
    if len(argv) > 1:
        raise app.UsageError(f"no arguments are taken, got {argv[1:]}.")
    # Before jax looks for devices, which it does once.
    flag = f"--xla_force_host_platform_device_count={_DEVICES}"
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {flag}".strip()
    mesh = jax.make_mesh((_DEVICES,), ("data",), axis_types=(AxisType.Auto,))
    print(f"{_SLICES} slices of {_DIM} features, value and gradient, bytes that each device hands over\n")
    print("| statistic | n | shard_map | jit | its projections | its samples | largest difference | |")
    print("|---|---|---|---|---|---|---|---|")
    missed = 0
    for name in _STATISTICS:
        for n in _SIZES:
            spread, plain, difference = measure(mesh, getattr(normality, name), n, _SLICES, _DIM)
            missed += not difference <= _LIMIT
            own = n // _DEVICES
            numbers = (n, spread, plain, 4 * own * _SLICES, 4 * own * _DIM)
            cells = " | ".join(f"{number:,}" for number in numbers)
            print(f"| {name} | {cells} | {difference:.0e} | {targets.verdict(difference <= _LIMIT)} |", flush=True)
    sys.exit(1 if missed else 0)


def measure(mesh: jax.sharding.Mesh, statistic: Callable, n: int, slices: int, dim: int) -> tuple[int, int, float]:
    """Returns bytes handed over inside `shard_map` and under `jit`, and the difference of both from one device's."""
    x = np.random.default_rng(0).standard_normal((n, dim)).astype(np.float32) * 1.1
    key = jax.random.key(0)

    def loss(x, **options):
        return sliced.to_normal(key, 0, x, statistic=statistic, num_slices=slices, **options)

    step = jax.value_and_grad(loss)
    inside = functools.partial(jax.value_and_grad(functools.partial(loss, axis_name="data")))
    spread = jax.jit(jax.shard_map(inside, mesh=mesh, in_specs=P("data"), out_specs=(P(), P("data"))))
    placed = jax.device_put(x, NamedSharding(mesh, P("data")))
    expected = jax.device_get(jax.jit(step)(jnp.asarray(x)))
    counts, differences = [], []
    for function in (spread, jax.jit(step)):
        compiled = function.lower(placed).compile()
        counts.append(handed_over(compiled.as_text()))
        for found, exact in zip(jax.device_get(compiled(placed)), expected, strict=True):
            differences.append(float(np.max(np.abs(found - exact)) / np.max(np.abs(exact))))
    return counts[0], counts[1], max(differences)


def handed_over(program: str) -> int:
    """Returns the bytes of the operands of all collectives of a compiled program, times the turns of their loops.

    Args:
      program: text of the compiled program of one device.

    Raises:
      ValueError: a collective in a loop whose number of turns the program does not tell.
    """
    bodies = {}
    for match in re.finditer(r"^(?:ENTRY )?%?([\w.\-]+) \([^\n]*\{\n(.*?)^\}", program, re.M | re.S):
        bodies[match.group(1)] = match.group(2)
    entry = re.search(r"^ENTRY %?([\w.\-]+)", program, re.M)
    assert entry is not None
    return _bytes_of(entry.group(1), bodies)


def _bytes_of(name: str, bodies: dict[str, str]) -> int:
    total = 0
    for line in bodies.get(name, "").splitlines():
        found = re.match(r"\s*(?:ROOT )?%?[\w.\-]+ = (.*?) ([\w\-]+)\(", line)
        if not found:
            continue
        result, operation = found.groups()
        if operation.removesuffix("-start") in _COLLECTIVES:
            size = _size(result)
            total += size // _DEVICES if operation.startswith("all-gather") else size
            continue
        called = re.findall(r"(?:body|to_apply|calls|true_computation|false_computation)=%?([\w.\-]+)", line)
        branches = re.search(r"branch_computations=\{([^}]*)\}", line)
        called += [each.strip(" %") for each in branches.group(1).split(",")] if branches else []
        inner = sum(_bytes_of(each, bodies) for each in called)
        if operation == "while" and inner:
            turns = re.search(r'known_trip_count"?:\{"?n"?:"?(\d+)', line)
            if turns is None:
                raise ValueError(f"A collective in a loop of an unknown number of turns: {line.strip()[:200]}")
            inner *= int(turns.group(1))
        total += inner
    return total


def _size(shape: str) -> int:
    return sum(
        _BYTES[kind] * int(np.prod([int(side) for side in sides.split(",") if side]))
        for kind, sides in re.findall(r"(\w+)\[([\d,]*)\]", shape)
        if kind in _BYTES
    )


if __name__ == "__main__":
    app.run(main)
