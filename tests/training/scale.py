"""Runs a training command on one device, on eight simulated ones and in two processes, and compares the metrics.

    python -m tests.training.scale --folder=/tmp/scale -- python -m experiments.sliced_autoencoders.main \
        --config=experiments/sliced_autoencoders/config.py:digits --config.num_epochs=2

`--workdir` and the flags of the processes are added to the command, which must read them by `training.launch`. Prints
for each metric the largest difference at any step, relative to its largest value in the run on one device (p-values:
as it is). Exit status 1 where one is above `--tolerance`: keep runs short, since training amplifies the rounding of the
first step.
"""

import argparse
import json
import math
import os
import pathlib
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping

LIMIT = 900.0  # Seconds until processes that wait for one another are killed.


def run(command: list[str], workdir: pathlib.Path, *, devices: int = 1, processes: int = 1) -> None:
    """Runs the command in the workdir, in so many processes of so many CPU devices each."""
    shutil.rmtree(workdir, ignore_errors=True)
    environment = os.environ | {
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
        "JAX_PLATFORMS": "cpu",
    }
    with socket.socket() as server:  # a port that is free now
        server.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{server.getsockname()[1]}"
    together = [] if processes == 1 else [f"--coordinator_address={address}", f"--num_processes={processes}"]
    started = []
    for index in range(processes):
        flags = [f"--workdir={workdir}", *together, *([f"--process_id={index}"] if together else [])]
        log = open(workdir.with_suffix(f".{index}.log"), "w+")
        started.append((subprocess.Popen([*command, *flags], env=environment, stdout=log, stderr=log), log))
    try:
        for process, log in started:
            if process.wait(timeout=LIMIT):
                log.seek(0)
                raise SystemExit(f"{workdir.name}: status {process.returncode}\n{log.read()[-3000:]}")
    finally:
        for process, log in started:
            process.kill()
            log.close()


def metrics(workdir: pathlib.Path) -> list[dict[str, float]]:
    """The lines of metrics.jsonl."""
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def differences(one: pathlib.Path, other: pathlib.Path) -> dict[str, float]:
    """The largest difference of each metric, relative but for p-values; infinite where one of the two runs lacks it."""
    a, b = metrics(one), metrics(other)
    if [line.keys() for line in a] != [line.keys() for line in b]:
        return {"which metrics there are": math.inf}
    size: dict[str, float] = {}
    largest: dict[str, float] = {}
    for line, same in zip(a, b, strict=True):
        for name in line:
            size[name] = max(size.get(name, 0.0), abs(line[name]))
            largest[name] = max(largest.get(name, 0.0), abs(line[name] - same[name]))
    # A p-value of 1e-30 has an error in its own proportion that says nothing: probabilities are compared as they are.
    return {name: largest[name] / (1.0 if name.endswith("p_value") else size[name] or 1.0) for name in largest}


def check(command: list[str], folder: pathlib.Path, *, tolerance: float, of: Mapping[str, float] | None = None) -> int:
    """Does what the module says, with other tolerances `of` some metrics; returns the exit status."""
    folder.mkdir(parents=True, exist_ok=True)
    ways = {"one": {}, "eight_devices": {"devices": 8}, "two_processes": {"processes": 2}}
    status = 0
    for name, options in ways.items():
        run(command, folder / name, **options)
        if name == "one":
            continue
        found = differences(folder / "one", folder / name)
        worst = max(found, key=lambda metric: found[metric])
        met = all(difference <= (of or {}).get(metric, tolerance) for metric, difference in found.items())
        status |= not met
        print(f"{name}: {len(found)} metrics, {len(metrics(folder / name))} lines; worst {worst}: {found[worst]:.1e}")
        for metric in sorted(found, key=lambda metric: -found[metric]):
            print(f"  {metric:<44} {found[metric]:.1e}")
    return status


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=pathlib.Path, required=True)
    parser.add_argument("--tolerance", type=float, default=1e-5)
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()
    return check(options.command, options.folder, tolerance=options.tolerance)


if __name__ == "__main__":
    sys.exit(main())
