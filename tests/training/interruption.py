"""Kills a training command at random moments and compares what is left with a run that was never killed.

    python -m tests.training.interruption --kills=20 --folder=/tmp/interruption -- \
        python -m tests.training.toy --config.data.seconds=0.05 --config.train.num_steps=200

`--workdir` is added to the command. First it runs undisturbed; then it is started again and again in another workdir
and killed (SIGKILL) after a time drawn between 0 and the undisturbed run's, until so many kills have landed. Whenever
it reaches its end, `metrics.jsonl` must be the same bytes and the last checkpoint the same arrays, bit for bit, and it
begins anew. Exit status 1 where they differ.
"""

import argparse
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
from orbax.checkpoint import v1 as ocp


def newest(workdir: pathlib.Path) -> int | None:
    """The step of the newest complete checkpoint."""
    return max((int(p.name) for p in workdir.glob("checkpoints/*") if p.name.isdigit()), default=None)


def last_state(workdir: pathlib.Path) -> dict[str, np.ndarray]:
    """The arrays of the newest checkpoint by path, as the bytes of the host."""
    import jax

    directory = (workdir / "checkpoints" / str(newest(workdir))).absolute()
    stored = ocp.checkpointables_metadata(directory).metadata["state"]

    def host(leaf):
        is_key = jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        return np.asarray(jax.random.key_data(leaf) if is_key else leaf)

    sharding = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    target = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=sharding), stored)
    tree = ocp.load_checkpointables(directory, {"state": target})["state"]
    return {jax.tree_util.keystr(k): host(v) for k, v in jax.tree_util.tree_flatten_with_path(tree)[0]}


def differences(one: pathlib.Path, other: pathlib.Path) -> list[str]:
    """What differs between two finished runs; empty where they are the same bit for bit."""
    found = []
    if (one / "metrics.jsonl").read_bytes() != (other / "metrics.jsonl").read_bytes():
        found.append("metrics.jsonl differs")
    a, b = last_state(one), last_state(other)
    if a.keys() != b.keys():
        found.append(f"other arrays: {sorted(a.keys() ^ b.keys())}")
    found += [f"{k} differs" for k in sorted(a.keys() & b.keys()) if a[k].tobytes() != b[k].tobytes()]
    return found


def run(command: list[str], workdir: pathlib.Path, *, kill_after: float | None = None, log=subprocess.DEVNULL) -> int:
    """Runs the command in the workdir; returns its exit status, -9 where the kill came first."""
    process = subprocess.Popen([*command, f"--workdir={workdir}"], stdout=log, stderr=log)
    try:
        return process.wait(timeout=kill_after)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        return process.wait()
    finally:
        if process.poll() is None:
            process.kill()


def check(command: list[str], folder: pathlib.Path, *, kills: int, seed: int) -> int:
    """Does what the module says; returns the exit status."""
    rng = random.Random(seed)
    whole, cut = folder / "whole", folder / "cut"
    shutil.rmtree(whole, ignore_errors=True)
    shutil.rmtree(cut, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "log.txt", "w") as log:
        begin = time.monotonic()
        if status := run(command, whole, log=log):
            print(f"The command itself fails with status {status}; see {folder / 'log.txt'}.")
            return 1
        seconds = time.monotonic() - begin
        print(f"undisturbed: {seconds:.1f} s", flush=True)
        landed = finished = 0
        while landed < kills or not finished:
            # A run whose last checkpoint stands has nothing left that a kill could disturb.
            harmless = landed == kills or newest(cut) == newest(whole)
            status = run(command, cut, kill_after=None if harmless else rng.uniform(0, seconds), log=log)
            if status == -signal.SIGKILL:
                landed += 1
                print(f"kill {landed}: newest checkpoint {newest(cut)}", flush=True)
                finished = 0
            elif status:
                print(f"After {landed} kills the command fails with status {status}; see {folder / 'log.txt'}.")
                return 1
            else:
                finished += 1
                if found := differences(whole, cut):
                    print(f"After {landed} kills the run is another one: {'; '.join(found[:10])}")
                    return 1
                print(f"run complete after {landed} kills: the same, bit for bit", flush=True)
                if landed < kills:
                    shutil.rmtree(cut)
    print(f"{kills} kills, every completed run equal to the undisturbed one bit for bit.")
    return 0


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--folder", type=pathlib.Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()
    return check(options.command, options.folder, kills=options.kills, seed=options.seed)


if __name__ == "__main__":
    sys.exit(main())
