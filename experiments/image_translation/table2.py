r"""Table 2 of the paper beside ours: diversity with and without the code cycle.

    python -m experiments.image_translation.table2 --config=experiments/image_translation/config.py:polygons \
        --seeds=3 --workdir=runs/polygons_table

Takes the runs of `table1.py` in the same folder, and trains those that are missing.
"""

import jax
from absl import flags
from ml_collections import ConfigDict

from experiments.image_translation import columns, grid, measures, paper
from gentoolkit import report, study

_ROWS = {"dsvib": "with the code cycle", "no_code_cycle": "without it"}


def claims(rows: columns.Rows, dataset: str) -> list[str]:
    """Returns whether the code cycle makes images more diverse."""
    told = ", ".join(
        f"{name} {with_it:g} against {without:g}"
        for name, (with_it, without) in paper.TABLE_2.items()
        if dataset not in paper.TABLE_2 or name == dataset
    )
    return [
        paper.greater(
            f"with the code cycle images are more diverse: {columns.heading(metric)}",
            *[paper.values(rows, name, metric) for name in _ROWS],
            told=told,
        )
        for metric in columns.diversities(rows)
    ]


def main(config: ConfigDict, workdir: str, mesh: jax.sharding.Mesh) -> None:
    """Makes the runs and the table."""
    made = grid.complete(config, list(_ROWS), num_seeds=flags.FLAGS.seeds, workdir=workdir, mesh=mesh)
    rows, notes = measures.rows(config, made, workdir)
    printed = paper.TABLE_2.get(config.dataset)
    study.publish(
        workdir,
        "table2",
        *report.comparison(
            {name: report.read(found[0].workdir) for name, found in made.items() if grid.is_sound(found[0])}
        ),
        title=f"Table 2 on {config.dataset}",
        table=columns.table(
            rows,
            labels=_ROWS,
            printed={name: {"lpips": value} for name, value in zip(_ROWS, printed, strict=True)} if printed else None,
            caption=grid.caption(config, notes),
        ),
        claims=claims(rows, config.dataset),
    )


if __name__ == "__main__":
    grid.start(main)
