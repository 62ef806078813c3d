"""Grids whose cells are training runs: a folder for each, trained once, gone on with where it was stopped."""

import json
import pathlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from gentoolkit.study import grid


class Run(NamedTuple):
    """A finished run of a grid.

    Attributes:
      key: what tells it from the others: method and seed, say.
      workdir: its folder.
      config: its configuration.
      metrics: what came out, by name.
    """

    key: grid.Row
    workdir: pathlib.Path
    config: Any
    metrics: dict[str, float | None]


def complete_runs(
    folder: str | pathlib.Path,
    keys: Iterable[grid.Key],
    configure: Callable[[grid.Row], Any],
    train: Callable[[Any, pathlib.Path], Mapping[str, float]],
) -> list[Run]:
    """Trains the runs of a grid that are not finished yet, and returns all of them.

    A run is finished when its metrics are in `results.jsonl` of the folder under the same configuration, and its own
    folder (named by its key: `swae-0`) still holds that configuration. Anything else is for `train` to go on with, or
    to refuse.

    Args:
      folder: of all runs.
      keys: of the runs, in the order in which they are trained and returned.
      configure: returns the configuration of a run, an `ml_collections.ConfigDict` or a mapping, from its key.
      train: gets configuration and folder, trains to the end, and returns the metrics.

    Returns:
      A run for each key.

    Raises:
      OSError, ValueError: as `complete`.
    """
    folder = pathlib.Path(folder)
    wanted: list[grid.Row] = [dict(key) for key in keys]

    def place(key: grid.Row) -> pathlib.Path:
        return folder / "-".join(map(str, key.values()))

    def settings(key: grid.Row) -> Mapping[str, Any]:
        config = configure(key)
        return config.to_dict() if hasattr(config, "to_dict") else config

    def is_there(key: grid.Row) -> bool:
        stored = place(key) / "config.json"
        return stored.is_file() and grid.same(json.loads(stored.read_text()), settings(key))

    rows = grid.complete(
        folder / "results.jsonl",
        wanted,
        lambda key: {"metrics": train(configure(key), place(key))},
        config=settings,
        still_valid=lambda row: is_there({name: value for name, value in row.items() if name != "metrics"}),
    )
    return [Run(key, place(key), configure(key), row["metrics"]) for key, row in zip(wanted, rows, strict=True)]
