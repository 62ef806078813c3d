"""The command line of every experiment: configuration, workdir, devices and processes, defined when `run` is called."""

import contextlib
import difflib
import functools
import hashlib
import os
import pathlib
import re
import sys
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import jax
from absl import app, flags, logging
from ml_collections import config_flags

from gentoolkit.training import errors
from gentoolkit.training import mesh as mesh_lib

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
    with _explained(sys.argv, config):
        define_flags(config)  # Loads the default configuration, and overrides it from the command line.
    app.run(functools.partial(_enter, main, expected), flags_parser=functools.partial(_parse, config=config))


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


def _enter(main: Main, expected: tuple[type[Exception], ...], argv: list[str]) -> None:
    values = flags.FLAGS
    told: tuple[type[Exception], ...] = (errors.TrainingError, *expected)
    if len(argv) > 1:
        _fail(f"Did not understand {argv[1]!r}: flags begin with -- and take their value after =.")
    if not values["verbosity"].present:
        logging.set_verbosity(logging.WARNING)
        # Orbax logs dozens of lines for every checkpoint, and every failure several times; the one that it raises
        # in the end becomes a message of ours.
        logging.get_absl_logger().addFilter(lambda record: f"{os.sep}orbax{os.sep}" not in record.pathname)
    try:
        _initialize_processes(values)
        _set_compilation_cache(values.compilation_cache)
        try:
            mesh = mesh_lib.make_mesh(num_devices=values.num_devices, fsdp=values.fsdp)
        except ValueError as error:
            _fail(str(error))
        main(values.config, values.workdir, mesh)
    except told as error:
        _fail(str(error))


def _initialize_processes(values: flags.FlagValues) -> None:
    """Joins the other processes, if the flags say that there are some. Must come before any use of a device."""
    address, count, index = values.coordinator_address, values.num_processes, values.process_id
    if address is None and count is None and index is None:
        if values.distributed:
            jax.distributed.initialize()
    elif address is None or count is None or index is None:
        _fail("Several processes need all of --coordinator_address, --num_processes and --process_id.")
    elif index >= count:
        _fail(f"--process_id must be below --num_processes, got {index} of {count}.")
    else:
        jax.distributed.initialize(coordinator_address=address, num_processes=count, process_id=index)


def _set_compilation_cache(folder: str) -> None:
    """Keeps compiled programs between runs, so that a restart does not compile again."""
    if folder == "auto":
        if os.environ.get("JAX_COMPILATION_CACHE_DIR"):
            return
        base = pathlib.Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser()
        folder = str(base / "gentoolkit" / f"xla-{_processor()}")
    if folder:
        jax.config.update("jax_compilation_cache_dir", folder)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)


def _processor() -> str:
    """A short name for the kind of processor: programs compiled for one must not run on another with fewer features."""
    try:
        found = re.search(r"^(flags|Features)\s*:.*$", pathlib.Path("/proc/cpuinfo").read_text(), re.MULTILINE)
        text = found.group(0) if found else ""
    except OSError:
        text = ""
    return hashlib.sha256(f"{os.uname().machine} {text}".encode()).hexdigest()[:8]


def _parse(argv: list[str], *, config: str | None) -> list[str]:
    with _explained(argv, config):
        rest = flags.FLAGS(argv)
        flags.FLAGS.config.keys()  # A file that could not be read is told of only at the first use.
        return rest


@contextlib.contextmanager
def _explained(argv: list[str], config: str | None) -> Iterator[None]:
    """Says what is wrong with a flag in a line instead of a traceback."""
    try:
        yield
    except flags.UnrecognizedFlagError as error:
        near = difflib.get_close_matches(error.flagname, list(flags.FLAGS), n=1)
        _fail(f"Unknown flag --{error.flagname}.{f' Did you mean --{near[0]}?' if near else ''}")
    except (AttributeError, KeyError) as error:
        _fail(_unknown_key(argv, config) or f"Could not read the configuration: {error}")
    except (flags.Error, TypeError, ValueError, OSError) as error:
        lines = [line.strip() for line in str(error).strip().splitlines()]
        if len(lines) > 1:  # Somebody else's traceback: its last line says what was wrong.
            lines = ["Could not read the configuration: " + re.sub(r"^\w*(Error|Exception): ", "", lines[-1])]
        _fail(lines[0] if lines else type(error).__name__)


def _unknown_key(argv: list[str], config: str | None) -> str | None:
    """Finds the `--config.key` that the configuration does not have, and the nearest one that it has."""
    overrides = [arg.lstrip("-").split("=", 1)[0] for arg in argv if re.match(r"--?(no)?config\.", arg)]
    given = [arg for arg in argv if re.match(r"--?config=", arg)]
    given += [f"--config={argv[i + 1]}" for i, arg in enumerate(argv[:-1]) if re.match(r"--?config$", arg)]
    values = flags.FlagValues()
    config_flags.DEFINE_config_file("config", config, flag_values=values, sys_argv=[argv[0], *given])
    values([argv[0], *given])
    known = set()

    def walk(section, prefix):
        for key in section:
            known.add(f"{prefix}.{key}")
            if hasattr(section[key], "keys"):
                walk(section[key], f"{prefix}.{key}")

    walk(values.config, "config")
    for name in overrides:
        if name not in known and name.removeprefix("no") not in known:
            near = difflib.get_close_matches(name, known, n=1)
            return f"Unknown configuration key --{name}.{f' Did you mean --{near[0]}?' if near else ''}"
    return None


def _fail(message: str) -> NoReturn:
    print(f"error: {message}", file=sys.stderr, flush=True)
    sys.exit(1)
