"""The command line of every program: flags, configuration, workdir, devices, processes and the compilation cache.

An experiment that trains calls `run`; a program with flags of its own calls `start`. Both tell a mistake in one line.
"""

import functools
import hashlib
import math
import os
import pathlib
import re
import sys
from collections.abc import Callable
from typing import Any

import jax
from absl import app, flags
from ml_collections import config_flags

from gentoolkit.training import _command_line, errors
from gentoolkit.training import mesh as mesh_lib
from gentoolkit.training._command_line import fail

Main = Callable[[Any, str, jax.sharding.Mesh], Any]

# The flags belong to the binary that calls `run`, and show up in its --help.
flags.disclaim_key_flags()


def run(main: Main, *, config: str | None = None, expected: tuple[type[Exception], ...] = ()) -> None:
    """Parses flags, sets up processes and devices, and calls `main(config, workdir, mesh)`; does not return.

    The exit status is 0 after success, 1 with a message after a mistake that a person can put right, and 128 plus the
    signal's number after SIGTERM or SIGINT. Write it as the last line of the experiment::

        if __name__ == "__main__":
            launch.run(main, config="experiments/sliced_autoencoders/config.py:digits")

    Flags: `--config=file.py:preset` and `--config.section.key=value`, `--workdir`, `--num_devices`, `--fsdp`,
    `--coordinator_address`, `--num_processes`, `--process_id`, `--distributed`, `--compilation_cache`.

    Args:
      main: the experiment; gets the locked config, the workdir and the mesh.
      config: the config used where `--config` is not given; None makes the flag required.
      expected: further errors whose message says all there is to know (missing data, say), printed without a traceback.
    """
    with _command_line.explained(sys.argv, has_config=True, config=config):
        define_flags(config)  # Loads the default configuration, and overrides it from the command line.
    app.run(functools.partial(_enter, main, expected), flags_parser=functools.partial(_parse, config=config))


def start(
    main: Callable[[list[str]], int | None],
    *,
    expected: tuple[type[Exception], ...] = (),
    compilation_cache: str = "auto",
) -> None:
    """Calls `main(argv)` of a program that defined its flags by absl; does not return.

    A wrong flag, an `absl.app.UsageError`, an expected error and Ctrl-C are one line each, without the list of flags
    and without a traceback; the exit status is then 1 (130 for Ctrl-C), else what `main` returns::

        _STRENGTH = launch.define_float("strength", 0.0, "How far noise is shrunk.", lower_bound=0.0, upper_bound=1.0)

        if __name__ == "__main__":
            launch.start(main, expected=(OSError, ValueError))

    Args:
      main: gets the program's name and what stands on the command line beside flags; returns the exit status or None.
      expected: errors whose message says all there is to know.
      compilation_cache: as in `set_compilation_cache`.
    """

    def parse(argv: list[str]) -> list[str]:
        with _command_line.explained(argv):
            return flags.FLAGS(argv)

    def enter(argv: list[str]) -> None:
        _command_line.quiet()
        with _command_line.one_line((errors.TrainingError, *expected)):
            set_compilation_cache(compilation_cache)
            sys.exit(main(argv))

    app.run(enter, flags_parser=parse)


def define_float(
    name: str,
    default: float | None,
    help: str,
    *,
    lower_bound: float | None = None,
    upper_bound: float | None = None,
    flag_values: flags.FlagValues = flags.FLAGS,
) -> flags.FlagHolder:
    """Defines a flag for a finite number within bounds; `absl.flags.DEFINE_float` lets NaN pass any bound.

    Args:
      name: of the flag.
      default: its value where it is not given.
      help: what it is.
      lower_bound: the least value, or None.
      upper_bound: the largest value, or None.
      flag_values: where it is defined.

    Returns:
      The holder of the flag, with its `value`.
    """
    parser = _command_line.FiniteFloat(lower_bound, upper_bound)
    return flags.DEFINE(parser, name, default, help, flag_values, serializer=flags.ArgumentSerializer())


def define_flags(config: str | None = None, *, flag_values: flags.FlagValues = flags.FLAGS) -> None:
    """Defines the flags that `run` reads, for binaries that want to read them themselves."""
    here: dict[str, Any] = {"flag_values": flag_values}
    config_flags.DEFINE_config_file("config", config, "Configuration, as file.py or file.py:preset.", **here)
    flags.DEFINE_string("workdir", None, "Folder for everything this run writes; also where it resumes from.", **here)
    flags.DEFINE_integer("num_devices", None, "Number of devices to use; default all.", lower_bound=1, **here)
    flags.DEFINE_integer("fsdp", 1, "Devices over which each parameter is cut; -1 for all, 1 for copies.", **here)
    flags.DEFINE_string("coordinator_address", None, "host:port of process 0, the same for all processes.", **here)
    flags.DEFINE_integer("num_processes", None, "Number of processes.", lower_bound=1, **here)
    flags.DEFINE_integer("process_id", None, "Number of this process, from 0.", lower_bound=0, **here)
    flags.DEFINE_bool("distributed", False, "Several processes, found out from the cluster (Slurm, TPU, ...).", **here)
    flags.DEFINE_string(
        "compilation_cache", "auto", "Folder for compiled programs; 'auto' is in the user's cache, '' is none.", **here
    )
    required = ["workdir"] if config else ["config", "workdir"]
    flags.mark_flags_as_required(required, flag_values=flag_values)


def set_compilation_cache(folder: str = "auto", *, min_compile_seconds: float = 0.5) -> None:
    """Keeps compiled programs between processes, so that a restart, or the next run, does not compile again.

    Args:
      folder: where; "auto" is the folder named by the environment variable `JAX_COMPILATION_CACHE_DIR`, else one in the
        user's cache for this kind of processor; "" leaves things as they are.
      min_compile_seconds: programs that compile faster are not kept.
    """
    if folder == "auto":
        if os.environ.get("JAX_COMPILATION_CACHE_DIR"):
            return
        base = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
        folder = str(base / "gentoolkit" / f"xla-{_processor()}")
    if folder:
        jax.config.update("jax_compilation_cache_dir", folder)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", min_compile_seconds)


def _enter(main: Main, expected: tuple[type[Exception], ...], argv: list[str]) -> None:
    values = flags.FLAGS
    if len(argv) > 1:
        fail(f"Did not understand {argv[1]!r}: flags begin with -- and take their value after =.")
    _command_line.quiet()
    with _command_line.one_line((errors.TrainingError, *expected)):
        _initialize_processes(values)
        set_compilation_cache(values.compilation_cache)
        mesh = mesh_lib.make_mesh(num_devices=values.num_devices, fsdp=values.fsdp)
        main(values.config, values.workdir, mesh)


def _initialize_processes(values: flags.FlagValues) -> None:
    """Joins the other processes, if the flags say that there are some. Must come before any use of a device."""
    address, count, index = values.coordinator_address, values.num_processes, values.process_id
    if address is None and count is None and index is None:
        if values.distributed:
            jax.distributed.initialize()
    elif address is None or count is None or index is None:
        fail("Several processes need all of --coordinator_address, --num_processes and --process_id.")
    elif index >= count:
        fail(f"--process_id must be below --num_processes, got {index} of {count}.")
    else:
        jax.distributed.initialize(coordinator_address=address, num_processes=count, process_id=index)


def _processor() -> str:
    """A short name for the kind of processor: programs compiled for one must not run on another with fewer features."""
    try:
        found = re.search(r"^(flags|Features)\s*:.*$", pathlib.Path("/proc/cpuinfo").read_text(), re.MULTILINE)
        text = found.group(0) if found else ""
    except OSError:
        text = ""
    return hashlib.sha256(f"{os.uname().machine} {text}".encode()).hexdigest()[:8]


def _parse(argv: list[str], *, config: str | None) -> list[str]:
    with _command_line.explained(argv, has_config=True, config=config):
        rest = flags.FLAGS(argv)
        # A file that could not be read is told of only at the first use.
        for name, value in _command_line.walk(flags.FLAGS.config, "config"):
            if isinstance(value, float) and math.isnan(value):
                fail(f"--{name} must be a number, got {value}.")
        return rest
