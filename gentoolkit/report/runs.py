"""Pages about the folders of training runs: of one, and of several side by side."""

import pathlib
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from gentoolkit.report import blocks, page, run_files
from gentoolkit.report.chart import Line
from gentoolkit.report.run_files import Run
from gentoolkit.report.tables import Table


def write_run(workdir: str | pathlib.Path) -> pathlib.Path:
    """Writes `report.html` into the folder of a run: metrics, curves, pictures, configuration, how to get it again.

    Args:
      workdir: the folder.

    Returns:
      The path of the page.

    Raises:
      FileNotFoundError: it is not a run folder, or a picture named in its summary is missing.
      ValueError: a file of it cannot be understood.
    """
    run = run_files.read(workdir)
    summary = run.summary
    return page.write_page(
        run.workdir / "report.html",
        blocks.section("Final metrics", _latest(run)),
        blocks.notes(*summary.get("notes", ())),
        blocks.section("Results", *([Table(**summary["table"])] if summary.get("table") else [])),
        blocks.section("Pictures", _pictures(run)),
        *_curves({"": run}),
        blocks.provenance(summary.get("command", ""), facts=_facts(run)),
        blocks.configuration(run.config),
        title=summary.get("title", run.workdir.name),
        subtitle=run.workdir.name,
    )


def write_comparison(
    path: str | pathlib.Path,
    runs: Mapping[str, str | pathlib.Path],
    *,
    title: str,
    table: Table | None = None,
    notes: Sequence[str] = (),
) -> pathlib.Path:
    """Writes one page about several runs: a table, their curves in the same axes, their pictures side by side.

    Args:
      path: the page.
      runs: folders by the name to show.
      title: heading.
      table: shown first; by default the final metrics of all runs.
      notes: sentences under the table.

    Returns:
      The path of the page.

    Raises:
      FileNotFoundError: one of them is not a run folder, or a picture named in its summary is missing.
      ValueError: no runs, or a file of one that cannot be understood.
    """
    if not runs:
        raise ValueError("runs must name at least one run folder.")
    read = {name: run_files.read(workdir) for name, workdir in runs.items()}
    return page.write_page(
        path,
        blocks.section("Results", table or _final_metrics(read), blocks.notes(*notes)),
        *comparison(read),
        title=title,
        subtitle=f"{len(read)} runs",
    )


def comparison(runs: Mapping[str, Run]) -> list[blocks.Html]:
    """Returns what a page says of several runs: curves in the same axes, pictures, where they come from, settings."""
    return [
        *_curves(runs),
        *[blocks.section(name, _pictures(run)) for name, run in runs.items()],
        blocks.provenance(facts=_facts(next(iter(runs.values())))),
        *[blocks.configuration(run.config, heading=f"Configuration of {name}") for name, run in runs.items()],
    ]


def averages(runs: Mapping[str, Sequence[Run]]) -> dict[str, dict[str, Line]]:
    """Returns the curves of groups of runs (seeds of a method, say), for `curves`.

    Args:
      runs: runs by the name of their group.

    Returns:
      Metric to group to points `(step, mean, standard deviation)`; None where a run was not finite, and no deviation
      where there is one run alone.
    """
    found: dict[str, dict[str, dict[int, list[float | None]]]] = {}
    for group, members in runs.items():
        for run in members:
            for name, points in run.metrics.items():
                for step, value in points:
                    found.setdefault(name, {}).setdefault(group, {}).setdefault(step, []).append(value)
    return {
        name: {
            group: [(step, *_moments(by_step[step])) for step in sorted(by_step)] for group, by_step in lines.items()
        }
        for name, lines in sorted(found.items())
    }


def _moments(values: Sequence[float | None]) -> tuple[float | None, float]:
    numbers = [value for value in values if value is not None]
    if len(numbers) < len(values):
        return None, 0.0
    return statistics.fmean(numbers), statistics.stdev(numbers) if len(numbers) > 1 else 0.0


def _number(value: float | None) -> str:
    return "not finite" if value is None else f"{value:.5g}"


def _latest(run: Run) -> blocks.Block:
    rows = [[name, _number(points[-1][1]), points[-1][0]] for name, points in sorted(run.metrics.items())]
    return Table(["metric", "value", "at step"], rows) if rows else ""


def _final_metrics(runs: Mapping[str, Run]) -> Table:
    names = sorted({name for run in runs.values() for name in run.metrics})
    rows = [
        [name, *(_number(run.metrics[name][-1][1]) if name in run.metrics else "" for run in runs.values())]
        for name in names
    ]
    return Table(["metric", *runs], rows, "Last logged value of each run.")


def _curves(runs: Mapping[str, Run]) -> list[blocks.Html]:
    # A metric that never changes (a count of images, say) stands in the table; a flat line tells nothing more.
    names = sorted({name for run in runs.values() for name, p in run.metrics.items() if len({v for _, v in p}) > 1})
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(name.rsplit("/", 1)[0] if "/" in name else "", []).append(name)
    return [
        blocks.section(
            f"Curves: {group}" if group else "Curves",
            blocks.curves(
                {
                    name.removeprefix(f"{group}/"): {
                        label: run.metrics[name] for label, run in runs.items() if name in run.metrics
                    }
                    for name in members
                }
            ),
        )
        for group, members in groups.items()
    ]


def _pictures(run: Run) -> blocks.Html:
    shown = []
    for name, caption in run.summary.get("pictures", ()):
        file = run.workdir / "pictures" / name
        if not file.is_file():
            raise FileNotFoundError(f"{run.workdir / 'summary.json'} names a picture that is not there: {file}.")
        shown.append(blocks.Picture(file, caption))
    return blocks.pictures(shown, longest=None)


def _facts(run: Run) -> dict[str, Any]:
    return {"commit": run.summary.get("commit")} | run.summary.get("environment", {})
