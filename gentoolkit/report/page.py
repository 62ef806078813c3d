"""Self-contained HTML pages: of one run, and of several side by side."""

import base64
import html
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from gentoolkit.report import charts, run_files
from gentoolkit.report.run_files import Run, Table

_STYLE = """
:root { color-scheme: light; --ink: #1d2430; --soft: #5b6675; --line: #dfe3e8; --wash: #f6f7f9; }
body { margin: 0 auto; max-width: 68rem; padding: 1.5rem 1rem 4rem; color: var(--ink); background: #fff;
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", sans-serif; }
h1 { font-size: 1.6rem; margin: 0 0 .25rem; } h2 { font-size: 1.1rem; margin: 2.2rem 0 .6rem; }
.soft { color: var(--soft); font-size: .9rem; }
svg { width: 100%; height: auto; }
figure { margin: 0; } figure img { max-width: 100%; height: auto; display: block; }
figcaption { color: var(--soft); font-size: .9rem; margin-top: .4rem; }
.pictures { display: grid; gap: 1.5rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; }
caption { caption-side: bottom; text-align: left; color: var(--soft); padding-top: .4rem; }
th, td { text-align: left; padding: .3rem .9rem .3rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
td { font-variant-numeric: tabular-nums; }
pre { background: var(--wash); border: 1px solid var(--line); border-radius: 6px; padding: .7rem .9rem;
  font-size: .85rem; white-space: pre-wrap; overflow-wrap: anywhere; }
details summary { cursor: pointer; color: var(--soft); }
"""


def write_run(workdir: str | pathlib.Path) -> pathlib.Path:
    """Writes `report.html` into the folder of a run: metrics, curves, pictures, configuration, how to get it again.

    Args:
      workdir: the folder.

    Returns:
      The path of the page.

    Raises:
      FileNotFoundError: it is not a run folder, or a picture named in its summary is missing.
    """
    run = run_files.read(workdir)
    summary = run.summary
    body = [_metrics_table(run)]
    body += [_notes(summary.get("notes", ()))]
    if summary.get("table"):
        body.append(_section("Results", _table(Table(**summary["table"]))))
    body.append(_pictures(run))
    body.append(_curves({"": run}))
    if summary.get("command"):
        body.append(_section("To get it again", f"<pre>{html.escape(summary['command'])}</pre>" + _provenance(run)))
    body.append(_configuration(run.config))
    return _write(run.workdir / "report.html", summary.get("title", run.workdir.name), str(run.workdir.name), body)


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
      ValueError: no runs.
    """
    if not runs:
        raise ValueError("runs must name at least one run folder.")
    read = {name: run_files.read(workdir) for name, workdir in runs.items()}
    table = table or _final_metrics(read)
    body = [_section("Results", _table(table)), _notes(notes), _curves(read)]
    for name, run in read.items():
        shown = _pictures(run, heading=name)
        if shown:
            body.append(shown)
    first = next(iter(read.values()))
    body.append(_section("Made by", _provenance(first)))
    for name, run in read.items():
        body.append(_configuration(run.config, heading=f"Configuration of {name}"))
    return _write(pathlib.Path(path), title, f"{len(read)} runs", body)


def _write(path: pathlib.Path, title: str, subtitle: str, body: Sequence[str]) -> pathlib.Path:
    content = "\n".join(part for part in body if part)
    page = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<link rel="icon" href="data:,"><title>{html.escape(title)}</title><style>{_STYLE}</style></head><body>'
        f'<h1>{html.escape(title)}</h1><p class="soft">{html.escape(subtitle)}</p>\n{content}\n</body></html>\n'
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")
    return path


def _section(heading: str, content: str) -> str:
    return f"<section><h2>{html.escape(heading)}</h2>{content}</section>" if content else ""


def _table(table: Table) -> str:
    head = "".join(f"<th>{html.escape(str(c))}</th>" for c in table.columns)
    rows = "".join("<tr>" + "".join(f"<td>{html.escape(str(c))}</td>" for c in row) + "</tr>" for row in table.rows)
    caption = f"<caption>{html.escape(table.caption)}</caption>" if table.caption else ""
    return f'<div class="scroll"><table>{caption}<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'


def _number(value: float | None) -> str:
    return "not finite" if value is None else f"{value:.5g}"


def _metrics_table(run: Run) -> str:
    rows = [[name, _number(points[-1][1]), str(points[-1][0])] for name, points in sorted(run.metrics.items())]
    return _section("Final metrics", _table(Table(["metric", "value", "at step"], rows)) if rows else "")


def _final_metrics(runs: Mapping[str, Run]) -> Table:
    names = sorted({name for run in runs.values() for name in run.metrics})
    rows = [
        [name, *(_number(run.metrics[name][-1][1]) if name in run.metrics else "" for run in runs.values())]
        for name in names
    ]
    return Table(["metric", *runs], rows, "Last logged value of each run.")


def _notes(notes: Sequence[str]) -> str:
    return "".join(f'<p class="soft">{html.escape(note)}</p>' for note in notes)


def _curves(runs: Mapping[str, Run]) -> str:
    # A metric that never changes (a count of images, say) stands in the table; a flat line tells nothing more.
    names = sorted({name for run in runs.values() for name, p in run.metrics.items() if len({v for _, v in p}) > 1})
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(name.rsplit("/", 1)[0] if "/" in name else "", []).append(name)
    parts = []
    for group, members in groups.items():
        panels = {
            name.removeprefix(f"{group}/"): {
                label: run.metrics[name] for label, run in runs.items() if name in run.metrics
            }
            for name in members
        }
        parts.append(_section(f"Curves: {group}" if group else "Curves", charts.curves(panels)))
    return "\n".join(parts)


def _pictures(run: Run, heading: str = "Pictures") -> str:
    figures = []
    for name, caption in run.summary.get("pictures", ()):
        file = run.workdir / "pictures" / name
        if not file.is_file():
            raise FileNotFoundError(f"{run.workdir / 'summary.json'} names a picture that is not there: {file}.")
        data = base64.b64encode(file.read_bytes()).decode()
        alt = html.escape(caption, quote=True)
        figures.append(
            f'<figure><img alt="{alt}" src="data:image/png;base64,{data}"><figcaption>{alt}</figcaption></figure>'
        )
    return _section(heading, f'<div class="pictures">{"".join(figures)}</div>' if figures else "")


def _provenance(run: Run) -> str:
    facts: dict[str, Any] = {"commit": run.summary.get("commit")} | run.summary.get("environment", {})
    text = ", ".join(f"{name} {value}" for name, value in facts.items() if value)
    return f'<p class="soft">{html.escape(text)}</p>' if text else ""


def _configuration(config: Mapping[str, Any], heading: str = "Configuration") -> str:
    flat = run_files.flatten(config)
    if not flat:
        return ""
    rows = [[name, json.dumps(value)] for name, value in flat.items()]
    table = _table(Table(["setting", "value"], rows))
    return _section(heading, f"<details><summary>{len(rows)} settings</summary>{table}</details>")
