"""Runs in processes of their own: kills, signals, full disks, several processes, and mistakes on the command line."""

import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from tests.training import interruption

ROOT = pathlib.Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "tests.training.toy"]
# One local device: those that the other tests simulate would only slow a run down.
ENVIRONMENT = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=1", "JAX_PLATFORMS": "cpu"}
LIMIT = 120.0  # Seconds until a process that hangs is killed.


def start(*arguments, wrapper=()):
    """Starts the toy."""
    return subprocess.Popen(
        [*wrapper, *COMMAND, *arguments],
        cwd=ROOT,
        env=ENVIRONMENT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def finish(process):
    """Waits with a limit; returns (exit status, output)."""
    try:
        output, _ = process.communicate(timeout=LIMIT)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    return process.returncode, output


def wait_for_step(process, workdir, step):
    """Waits until the metrics of a step are written."""
    until = time.monotonic() + LIMIT
    while time.monotonic() < until and process.poll() is None:
        path = workdir / "metrics.jsonl"
        if path.exists() and any(f'"step": {step},' in line for line in path.read_text().splitlines()):
            return
        time.sleep(0.02)
    raise AssertionError(f"did not reach step {step}: {finish(process)}")


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    """Compiled programs are shared by the runs of this file, which is what a restart finds too."""
    ENVIRONMENT["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that nothing disturbed."""
    workdir = tmp_path_factory.mktemp("runs") / "whole"
    status, output = finish(start(f"--workdir={workdir}"))
    assert status == 0, output
    return workdir


def test_killed_at_any_moment(whole, tmp_path):
    """Two kills, one shortly after a checkpoint was begun, one between two: the same run bit for bit."""
    slow = f"--config.data.seconds={0.05}"
    for step in (12, 24):
        process = start(f"--workdir={tmp_path}", slow)
        wait_for_step(process, tmp_path, step)
        process.kill()
        process.wait()
    status, output = finish(start(f"--workdir={tmp_path}", slow))
    assert status == 0 and "Resuming" in output, output
    assert interruption.differences(whole, tmp_path) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_asked_to_stop(whole, tmp_path, number):
    """It saves, says so, leaves with the shell's status, and goes on later as if nothing had been."""
    slow = f"--config.data.seconds={0.1}"
    process = start(f"--workdir={tmp_path}", slow)
    wait_for_step(process, tmp_path, 4)
    process.send_signal(number)
    status, output = finish(process)
    assert status == 128 + number, output
    assert f"{number.name}: saved step" in output and "Traceback" not in output
    saved = interruption.newest(tmp_path)
    assert saved is not None and saved % 10  # not one of those that were due
    if number is signal.SIGTERM:
        assert finish(start(f"--workdir={tmp_path}", slow))[0] == 0
        assert interruption.differences(whole, tmp_path) == []


def test_disk_full(tmp_path):
    """A limit on file sizes makes writing fail half-way: a message, status 1, and the earlier checkpoint intact."""
    flags = [f"--workdir={tmp_path}", "--config.model.width=4096"]  # half a megabyte of arrays
    status, output = finish(start(*flags, "--config.train.num_steps=10"))
    assert status == 0, output
    before = interruption.last_state(tmp_path)
    status, output = finish(
        start(*flags, "--config.train.num_steps=30", wrapper=["bash", "-c", 'ulimit -f 128; "$@"', ""])
    )
    assert status == 1 and "Traceback" not in output, output
    assert "Nothing earlier is lost: the checkpoint of step 10 is intact" in output, output
    after = interruption.last_state(tmp_path)
    assert all(before[k].tobytes() == after[k].tobytes() for k in before)
    status, output = finish(start(*flags, "--config.train.num_steps=30"))
    assert status == 0 and interruption.newest(tmp_path) == 30, output


def test_two_processes(whole, tmp_path):
    """Two processes of one device: the metrics and parameters of one process, and the same after a pause."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{server.getsockname()[1]}"
    flags = [f"--workdir={tmp_path}", f"--coordinator_address={address}", "--num_processes=2", "--fsdp=2"]
    processes = [start(*flags, f"--process_id={index}") for index in range(2)]
    outcomes = [finish(process) for process in processes]
    assert [status for status, _ in outcomes] == [0, 0], outcomes
    one, two = ([json.loads(x) for x in (d / "metrics.jsonl").read_text().splitlines()] for d in (whole, tmp_path))
    assert [line.keys() for line in one] == [line.keys() for line in two]
    for a, b in zip(one, two, strict=True):
        np.testing.assert_allclose(list(a.values()), list(b.values()), rtol=1e-5, atol=1e-5)
    states = interruption.last_state(whole), interruption.last_state(tmp_path)
    assert states[0].keys() == states[1].keys()
    for key, value in states[0].items():
        if "params" in key:
            np.testing.assert_allclose(states[1][key], value, rtol=1e-5, atol=1e-5)


def test_mistakes_of_a_run(whole, tmp_path):
    """Each gives status 1 and a line without a traceback."""
    cases = {
        "model.dropout was 0.1 and is now 0.5": [f"--workdir={whole}", "--config.model.dropout=0.5"],
        "is not finite since step 3 (seen at step 4)": [f"--workdir={tmp_path}", "--config.data.poison=3"],
    }
    for words, arguments in cases.items():
        status, output = finish(start(*arguments))
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


def test_mistakes_on_the_command_line(tmp_path):
    """Flags, keys and presets that do not exist are named with the nearest that does."""
    workdir = f"--workdir={tmp_path}"
    cases = {
        "--wrkdir=x": "Unknown flag --wrkdir. Did you mean --workdir?",
        "--config.rate=1": "Flag --workdir must have a value",
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
        env=ENVIRONMENT,
        text=True,
        timeout=LIMIT,
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
