"""The shell of a script: names and a folder that are checked before the work, and results that are published."""

import difflib
import math
import pathlib
import tempfile
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from absl import app, flags

from gentoolkit import report
from gentoolkit.study.claims import Claim


def script(main: Callable[[], int | None], *, folder: str = "workdir") -> Callable[[list[str]], int | None]:
    """Returns the main function of a script as `training.launch.start` calls it; it checks before there is any work.

    Words beside the flags, and a folder that cannot be written, end in one line::

        if __name__ == "__main__":
            launch.start(study.script(main), expected=(OSError, ValueError))

    Args:
      main: does the work, and reads the flags itself.
      folder: name of the flag with the folder of the results.
    """

    def checked(argv: list[str]) -> int | None:
        if len(argv) > 1:
            raise app.UsageError(f"Did not understand {argv[1]!r}: flags begin with -- and take their value after =.")
        path = flags.FLAGS[folder].value if folder in flags.FLAGS else None
        if path == "":  # as from a variable of the shell that is not set: not the folder one is in
            raise app.UsageError(f"--{folder} is empty.")
        if path is not None:
            check_folder(path, name=f"--{folder}")
        return main()

    return checked


def check_folder(path: str | pathlib.Path, *, name: str = "the folder") -> pathlib.Path:
    """Makes a folder and writes to it, to find out before the work what would be found out after it.

    Args:
      path: the folder.
      name: what the message calls it.

    Returns:
      The folder.

    Raises:
      app.UsageError: it cannot be made or written.
    """
    path = pathlib.Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path) as probe:
            probe.write(b"\0" * 4096)
            probe.flush()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise app.UsageError(f"{name}: cannot write to {str(path)!r}: {reason}.") from error
    return path


def nearest(name: str, known: Iterable[str]) -> str:
    """Returns " Did you mean 'x'?" with the known name that is most like another, or "" where none is."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f" Did you mean {near[0]!r}?" if near else ""


def choose(what: str, name: str, known: Collection[str] | Mapping[str, Any]) -> Any:
    """Returns a name that is known, or what a mapping has under it.

    Args:
      what: the option that was given, for the message: `config.objective.method`.
      name: its value.
      known: the values there are.

    Raises:
      ValueError: it is none of them; names them, and the nearest.
    """
    if name not in known:
        raise ValueError(f"{what} must be one of {', '.join(known)}; got {name!r}.{nearest(name, known)}")
    return known[name] if isinstance(known, Mapping) else name


def chosen(what: str, names: Sequence[str], known: Collection[str]) -> list[str]:
    """Returns the names of a list that was given, each once, or all that are known where the list is empty.

    Raises:
      ValueError: as `choose`.
    """
    return [choose(what, name, list(known)) for name in dict.fromkeys(names)] or list(known)


def numbers(what: str, texts: Sequence[str], *, least: float | None = None, of: type = int) -> list[Any]:
    """Returns the numbers of a list that was given as text, each once.

    Args:
      what: the option, for the message: `--sizes`.
      texts: as typed.
      least: the smallest that is allowed.
      of: int for whole numbers, or float.

    Raises:
      ValueError: one of them is no such number, or there are none.
    """
    try:
        found = [of(text) for text in dict.fromkeys(texts)]
        wrong = [number for number in found if not math.isfinite(number) or (least is not None and number < least)]
    except (ValueError, OverflowError):
        found, wrong = [], list(texts)
    if not found or wrong:
        kind = "whole numbers" if of is int else "finite numbers"
        bound = "" if least is None else f" of at least {least}"
        raise ValueError(f"{what} must be {kind}{bound}, with commas between them; got {','.join(texts)!r}.")
    return found


def publish(
    folder: str | pathlib.Path,
    name: str,
    *content: report.Block,
    title: str,
    table: report.Table | None = None,
    claims: Sequence[Claim | str] = (),
    config: Mapping[str, Any] | None = None,
) -> pathlib.Path:
    """Prints a table and what holds, and writes both as Markdown and, with more, as a page.

    Args:
      folder: where to.
      name: of the files `NAME.md` (where there is a table or a claim) and `NAME.html`.
      *content: further blocks of the page: charts, pictures, notes.
      title: of the page.
      table: the results.
      claims: what was claimed and whether it holds.
      config: settings that the page shows, folded.

    Returns:
      The path of the page.

    Raises:
      OSError: the files cannot be written.
    """
    folder = pathlib.Path(folder)
    listed = "".join(f"- {claim}\n" for claim in claims)
    text = "\n".join(filter(None, [table.markdown() if table else "", listed]))
    if text:
        print(f"\n{text}")
        report.write_text(folder / f"{name}.md", text)
    page = report.write_page(
        folder / f"{name}.html",
        *([table] if table else []),
        report.bullets(claims),
        *content,
        report.provenance(report.command()),
        report.configuration(config or {}),
        title=title,
    )
    print(f"Page: {page}")
    return page
