"""What a command line needs to be told of a mistake in one line, and to be quiet otherwise."""

import contextlib
import difflib
import logging as python_logging
import math
import os
import re
import sys
from collections.abc import Iterator
from typing import Any, NoReturn

from absl import app, flags, logging
from ml_collections import config_flags


def fail(message: str, status: int = 1) -> NoReturn:
    """Says what is wrong on stderr and leaves with a status."""
    print(f"error: {message}", file=sys.stderr, flush=True)
    sys.exit(status)


@contextlib.contextmanager
def one_line(expected: tuple[type[BaseException], ...]) -> Iterator[None]:
    """Turns expected errors, usage errors and Ctrl-C into a line and a status (1, 1 and 130)."""
    try:
        yield
    except expected as error:
        fail(str(error) or type(error).__name__)
    except app.UsageError as error:
        fail(str(error))
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr, flush=True)
        sys.exit(130)


def quiet() -> None:
    """Leaves out what other libraries log and nobody at the keyboard can act on; `--verbosity` brings it back."""
    # Whether a machine without a TPU has the TPU's library is noise at any verbosity.
    python_logging.getLogger("jax._src.xla_bridge").addFilter(lambda record: "libtpu" not in record.getMessage())
    if "verbosity" in flags.FLAGS and flags.FLAGS["verbosity"].present:
        return
    logging.set_verbosity(logging.WARNING)
    # Orbax logs dozens of lines for every checkpoint, and every failure several times; the one that it raises in the
    # end becomes a message of ours.
    logging.get_absl_logger().addFilter(lambda record: f"{os.sep}orbax{os.sep}" not in record.pathname)


@contextlib.contextmanager
def explained(argv: list[str], *, has_config: bool = False, config: str | None = None) -> Iterator[None]:
    """Says what is wrong with a flag in a line instead of a traceback.

    Args:
      argv: the command line.
      has_config: whether there is a flag `--config` with keys below it.
      config: its default.
    """
    try:
        yield
    except flags.UnrecognizedFlagError as error:
        near = difflib.get_close_matches(error.flagname, list(flags.FLAGS), n=1)
        fail(f"Unknown flag --{error.flagname}.{f' Did you mean --{near[0]}?' if near else ''}")
    except (AttributeError, KeyError) as error:
        unknown = _unknown_key(argv, config) if has_config else None
        fail(unknown or f"Could not read the {'configuration' if has_config else 'flags'}: {error}")
    except (flags.Error, TypeError, ValueError, OSError) as error:
        lines = [line.strip() for line in str(error).strip().splitlines()]
        if len(lines) > 1:  # Somebody else's traceback: its last line says what was wrong.
            lines = ["Could not read the configuration: " + re.sub(r"^\w*(Error|Exception): ", "", lines[-1])]
        missing = re.fullmatch(r"flag --(\w+)=None: Flag --\1 must have a value other than None\.", " ".join(lines))
        fail(f"--{missing[1]} must be given." if missing else lines[0] if lines else type(error).__name__)


def walk(section: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    """Every key of a configuration by its whole name, with its value; sections too."""
    for key in section:
        value = section[key]
        yield f"{prefix}.{key}", value
        if hasattr(value, "keys"):
            yield from walk(value, f"{prefix}.{key}")


def _unknown_key(argv: list[str], config: str | None) -> str | None:
    """Finds the `--config.key` that the configuration does not have, and the nearest one that it has."""
    overrides = [arg.lstrip("-").split("=", 1)[0] for arg in argv if re.match(r"--?(no)?config\.", arg)]
    given = [arg for arg in argv if re.match(r"--?config=", arg)]
    given += [f"--config={argv[i + 1]}" for i, arg in enumerate(argv[:-1]) if re.match(r"--?config$", arg)]
    values = flags.FlagValues()
    config_flags.DEFINE_config_file("config", config, flag_values=values, sys_argv=[argv[0], *given])
    values([argv[0], *given])
    known = {name for name, _ in walk(values.config, "config")}
    for name in overrides:
        if name not in known and name.removeprefix("no") not in known:
            near = difflib.get_close_matches(name, known, n=1)
            return f"Unknown configuration key --{name}.{f' Did you mean --{near[0]}?' if near else ''}"
    return None


class FiniteFloat(flags.FloatParser):
    """Parses a finite number within bounds; absl's own lets NaN pass any bound."""

    def convert(self, argument: Any) -> float:
        """Reads the number (`ValueError` where it is none, or not finite)."""
        value = super().convert(argument)
        if not math.isfinite(value):
            raise ValueError(f"{argument} is not a finite number")
        return value
