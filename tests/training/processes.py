"""Training commands in processes of their own, as forks of one that has done the imports: no devices, no threads yet.

A start takes a tenth of a second instead of some five. `Server` is the side of the tests.
"""

import importlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
import traceback

LIMIT = 240.0  # Seconds until a process that hangs is killed.
_DEVICES = "--xla_force_host_platform_device_count"


class Process:
    """A command that was started."""

    def __init__(self, server, pid, log):
        self.pid, self._server, self._log = pid, server, log

    def kill(self, number=signal.SIGKILL):
        os.kill(self.pid, number)

    @property
    def output(self):
        return self._log.read_text()

    def finish(self, seconds=LIMIT):
        """Waits with a limit; returns (exit status, output)."""
        status = self._server.ask({"wait": self.pid, "seconds": seconds})
        return status, self.output

    def wait_for(self, condition):
        """Waits until something is so."""
        until = time.monotonic() + LIMIT
        while not condition():
            assert time.monotonic() < until, f"waited too long: {self.finish(0.0)}"
            time.sleep(0.01)


def logged(workdir, step):
    """Whether the metrics of a step are written."""
    path = workdir / "metrics.jsonl"
    return path.exists() and any(f'"step": {step},' in line for line in path.read_text().splitlines())


class Server:
    """The process that is forked from."""

    def __init__(self, folder, environment):
        self._folder, self._count = folder, 0
        command = [sys.executable, "-m", "tests.training.processes"]
        self._process = subprocess.Popen(
            command, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def ask(self, request):
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def start(self, module, *arguments, devices=1, file_limit=None):
        """Starts `python -m module arguments` on so many CPU devices; files may get so many bytes."""
        self._count += 1
        log = self._folder / f"{self._count}.log"
        request = {"module": module, "argv": list(map(str, arguments)), "log": str(log)}
        return Process(self, self.ask(request | {"devices": devices, "file_limit": file_limit}), log)

    def close(self):
        self._process.communicate(timeout=LIMIT)


def _run(request):
    """What a fork does: the command, as if it were alone."""
    log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    for number in (1, 2):
        os.dup2(log, number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ["XLA_FLAGS"] = f"{_DEVICES}={request['devices']}"
    if request["file_limit"]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (request["file_limit"],) * 2)
    status = 1
    try:
        module = importlib.import_module(request["module"])
        sys.argv = [module.__file__, *request["argv"]]
        module.start()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # Taking the interpreter down in an orderly way costs more than the test.


def _serve():
    """Answers requests until there are no more."""
    for name in ("tests.training.toy", "tests.training.adversarial", "gentoolkit.training.launch"):
        importlib.import_module(name)
    answers = os.fdopen(os.dup(1), "w")
    running = set()
    for line in sys.stdin:
        request = json.loads(line)
        if "wait" in request:
            answer, until = None, time.monotonic() + request["seconds"]
            while answer is None:
                pid, status = os.waitpid(request["wait"], os.WNOHANG)
                if pid:
                    answer = os.waitstatus_to_exitcode(status)
                    running.discard(pid)
                elif time.monotonic() > until:
                    os.kill(request["wait"], signal.SIGKILL)
                else:
                    time.sleep(0.01)
        else:
            answer = os.fork()
            if not answer:
                _run(request)
            running.add(answer)
        print(json.dumps(answer), file=answers, flush=True)
    for pid in running:
        os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    _serve()
