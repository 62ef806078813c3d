"""Runs in processes of their own: kills, signals, full disks, several processes, and mistakes on the command line."""

import os
import pathlib
import re
import signal
import socket
import subprocess
import sys

import numpy as np
import pytest

from tests.training import adversarial, interruption, processes, scale

ROOT = pathlib.Path(__file__).parents[2]
SYSTEMS = ("cycle", "frozen")


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """One local device, and compiled programs that the runs of this file share, which is what a restart finds too.

    Compiled in a hurry: this file is about what surrounds the step; `loop_test.py` resumes programs as users have them.
    """
    plain = {"XLA_FLAGS": "", "JAX_PLATFORMS": "cpu", "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
    return os.environ | plain | {"XDG_CACHE_HOME": str(tmp_path_factory.mktemp("cache"))}


@pytest.fixture(scope="module")
def start(tmp_path_factory, environment):
    """Starts one of the two adversarial systems, or the small regression (`"toy"`)."""
    folder = tmp_path_factory.mktemp("logs")
    server = processes.Server(folder, environment)
    weights = adversarial.write_encoder(folder / "encoder.npz")

    def begin(system, *arguments, **options):
        if system == "toy":
            return server.start("tests.training.toy", *arguments, **options)
        flags = [f"--config=tests/training/adversarial.py:{system}", f"--config.encoder={weights}"]
        return server.start("tests.training.adversarial", *flags, *arguments, **options)

    begin.weights = weights
    yield begin
    server.close()


@pytest.fixture(scope="module")
def whole(tmp_path_factory, start):
    """Runs that nothing disturbed, by system."""
    folder = tmp_path_factory.mktemp("runs")
    started = {system: start(system, f"--workdir={folder / system}") for system in SYSTEMS}
    for process in started.values():
        status, output = process.finish()
        assert status == 0, output
    return {system: folder / system for system in SYSTEMS}


@pytest.mark.parametrize(("system", "steps"), [("cycle", [12]), ("frozen", [9, 15])])
def test_killed_at_any_moment(whole, start, tmp_path, system, steps):
    """Kills shortly after a checkpoint was begun, and between two: the same run bit for bit, pools and norms too."""
    flags = (f"--workdir={tmp_path}", "--config.seconds=0.2")
    for step in steps:
        process = start(system, *flags)
        process.wait_for(lambda step=step: processes.logged(tmp_path, step))
        if step > 9:
            process.wait_for((tmp_path / "checkpoints" / "8").exists)
        process.kill()
        assert process.finish()[0] == -signal.SIGKILL
    status, output = start(system, *flags).finish()
    assert status == 0 and "Resuming" in output, output
    assert interruption.differences(whole[system], tmp_path) == []
    names = set(interruption.last_state(tmp_path))
    assert not any("encoder" in name for name in names)
    kept = {"cycle": "pool_a/images", "frozen": "critic/first/vector"}[system]
    assert any(kept in name for name in names)


@pytest.mark.parametrize("system", SYSTEMS)
def test_devices_and_processes(whole, start, tmp_path, system):
    """Eight devices, and two processes that cut parameters, have the metrics and parameters of one device."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        address = f"--coordinator_address=127.0.0.1:{server.getsockname()[1]}"
    eight, two = tmp_path / "eight", tmp_path / "two"
    flags = [f"--workdir={two}", address, "--num_processes=2", "--fsdp=2"]
    started = [start(system, *flags, f"--process_id={index}") for index in range(2)]
    started.append(start(system, f"--workdir={eight}", devices=8))
    outcomes = [process.finish() for process in started]
    assert [status for status, _ in outcomes] == [0, 0, 0], outcomes
    want = interruption.last_state(whole[system])
    for other in (eight, two):
        found = scale.differences(whole[system], other)
        assert max(found.values()) < 1e-5, found
        state = interruption.last_state(other)
        assert state.keys() == want.keys()
        for key, value in want.items():
            if any(part in key for part in ("params", "rest", "average")):
                np.testing.assert_allclose(state[key], value, rtol=1e-5, atol=1e-5, err_msg=key)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_asked_to_stop(whole, start, tmp_path, number):
    """It saves, says so, leaves with the shell's status, and goes on later as if nothing had been."""
    slow = "--config.seconds=0.1"
    process = start("frozen", f"--workdir={tmp_path}", slow)
    process.wait_for(lambda: processes.logged(tmp_path, 3))
    process.kill(number)
    status, output = process.finish()
    assert status == 128 + number, output
    assert f"{number.name}: saved step" in output and "Traceback" not in output
    saved = interruption.newest(tmp_path)
    assert saved is not None and saved % 8  # not one of those that were due
    if number is signal.SIGTERM:
        assert start("frozen", f"--workdir={tmp_path}", slow).finish()[0] == 0
        assert interruption.differences(whole["frozen"], tmp_path) == []


def test_disk_full(start, tmp_path):
    """A limit on file sizes makes writing fail half-way: a message, status 1, and the earlier checkpoint intact."""
    flags = [f"--workdir={tmp_path}", "--config.model.width=4096"]  # half a megabyte of arrays
    status, output = start("toy", *flags, "--config.train.num_steps=10").finish()
    assert status == 0, output
    before = interruption.last_state(tmp_path)
    status, output = start("toy", *flags, "--config.train.num_steps=30", file_limit=128 * 1024).finish()
    assert status == 1 and "Traceback" not in output, output
    assert "Nothing earlier is lost: the checkpoint of step 10 is intact" in output, output
    after = interruption.last_state(tmp_path)
    assert all(before[k].tobytes() == after[k].tobytes() for k in before)
    status, output = start("toy", *flags, "--config.train.num_steps=30").finish()
    assert status == 0 and interruption.newest(tmp_path) == 30, output


def test_mistakes_of_a_run(whole, start, tmp_path):
    """Each gives status 1 and a line without a traceback."""
    changed = adversarial.write_encoder(tmp_path / "changed.npz", seed=8)
    start.weights.rename(kept := start.weights.with_suffix(".kept"))
    try:
        changed.rename(start.weights)
        process = start("frozen", f"--workdir={whole['frozen']}")
        status, output = process.finish()
    finally:
        kept.rename(start.weights)
    assert status == 1 and "another frozen model 'encoder': the fingerprint" in output, output
    cases = {
        "system was 'cycle' and is now 'frozen'": start("frozen", f"--workdir={whole['cycle']}"),
        "is not finite since step 3 (seen at step 4)": start("toy", f"--workdir={tmp_path}", "--config.data.poison=3"),
    }
    for words, process in cases.items():
        status, output = process.finish()
        assert status == 1 and words in output and "Traceback" not in output, (words, status, output)


# Imports once and forks for each command line: none of these mistakes gets as far as a device.
FORK = """
import os, sys
from absl import app, flags
from gentoolkit.training import launch

def start():
    flags.DEFINE_bool("program", True, "")
    strength = launch.define_float("strength", 0.5, "", lower_bound=0.0, upper_bound=1.0)
    what = flags.DEFINE_string("what", "", "")

    def main(argv):
        if what.value == "interrupt":
            raise KeyboardInterrupt
        if what.value == "missing":
            raise FileNotFoundError("nothing there")
        if len(argv) > 1:
            raise app.UsageError(f"Did not understand {argv[1]!r}.")
        print("strength", strength.value)

    launch.start(main, expected=(OSError,))

for line in sys.stdin.read().splitlines():
    if (child := os.fork()) == 0:
        sys.argv = ["toy", *line.split()]
        try:
            if "--program" in line:
                start()
            launch.run(lambda *_: print("ran"), config="tests/training/toy.py:small")
        except SystemExit as end:
            sys.stdout.flush()
            os._exit(end.code or 0)  # Taking the interpreter down in an orderly way costs more than the test.
    print("status", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


def test_mistakes_on_the_command_line(tmp_path, environment):
    """Flags, keys and presets that do not exist are named with the nearest that does."""
    workdir = f"--workdir={tmp_path}"
    cases = {
        "--wrkdir=x": "Unknown flag --wrkdir. Did you mean --workdir?",
        "--config.rate=1": "--workdir must be given.",
        f"{workdir} --config.train.num_step=3": "--config.train.num_step. Did you mean --config.train.num_steps?",
        f"--config tests/training/toy.py {workdir} --config.rat 4": "--config.rat. Did you mean --config.rate?",
        f"{workdir} --config.rate=fast": "could not convert string to float",
        f"{workdir} --config.rate=nan": "--config.rate must be a number, got nan",
        f"{workdir} --config=tests/training/toy.py:smal": "There is no preset 'smal'",
        f"{workdir} --config=tests/training/nowhere.py": "No such file",
        f"{workdir} extra": "Did not understand 'extra'",
        f"{workdir} --num_processes=2": "need all of --coordinator_address",
        f"{workdir} --coordinator_address=a:1 --num_processes=2 --process_id=2": "--process_id must be below",
        f"{workdir} --num_devices=2": "num_devices must be in 1..1",
        f"{workdir} --fsdp=2": "fsdp must divide the 1 devices",
        "--program": "strength 0.5",
        "--program --strength=0.25": "strength 0.25",
        "--program --strength=nan": "nan is not a finite number",
        "--program --strength=2": "2.0 is not a number in the range [0.0, 1.0]",
        "--program --strength=much": "could not convert",
        "--program --stength=1": "Unknown flag --stength. Did you mean --strength?",
        "--program extra": "Did not understand 'extra'",
        "--program --what=missing": "nothing there",
        "--program --what=interrupt": "interrupted",
    }
    output = subprocess.run(
        [sys.executable, "-c", FORK],
        input="\n".join(cases),
        cwd=ROOT,
        env=environment,
        text=True,
        timeout=processes.LIMIT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ).stdout
    assert "Traceback" not in output, output
    parts = re.split(r"status (\d+)\n", output)
    for words, said, status in zip(cases.values(), parts[:-1:2], parts[1::2], strict=True):
        good = words.startswith(("strength", "interrupted"))
        assert words in said and (good or said.startswith("error: ")) and said.strip().count("\n") == 0, (words, said)
        assert status == ("0" if words.startswith("strength") else "130" if words == "interrupted" else "1"), (
            words,
            said,
        )
