r"""Section 6.3 and figure 7 of the paper beside ours: what becomes of DSVIB without each of its parts.

    python -m experiments.image_translation.ablations --config=experiments/image_translation/config.py:polygons \
        --seeds=3 --workdir=runs/polygons_table

Takes the runs of `table1.py` in the same folder, and trains those that are missing; `--variants` names some of them.
Writes `ablations.md` and, with curves and pictures of seed 0 side by side (figure 7), `ablations.html`.
"""

from typing import NamedTuple

import jax
from absl import flags
from ml_collections import ConfigDict

from experiments.image_translation import columns, grid, measures, paper
from gentoolkit import report, study

LABELS = {
    "no_information": "no information term (alpha_1 = 0)",
    "beta_0.01": "beta = 0.01",
    "beta_0.1": "beta = 0.1",
    "beta_10": "beta = 10",
    "divergence": "divergence (KL) in place of the discrepancy (MMD)",
    "no_content_cycle": "no content cycle (lambda_3 = 0)",
    "no_code_cycle": "no code cycle (lambda_2 = 0)",
}


class Effect(NamedTuple):
    """What the paper says of a variant: one metric is greater or smaller than that of DSVIB whole."""

    variant: str
    statement: str
    metric: str
    greater: bool
    told: str = ""


_TABLE_2 = ", ".join(f"{name} LPIPS {a:g} against {b:g}" for name, (a, b) in paper.TABLE_2.items())
EFFECTS = (
    Effect("no_information", "without the information term codes change the content", "outline F1 of two codes", False),
    Effect("beta_0.01", "with a very small beta the encoded code means nothing", "reference_error", True),
    Effect("beta_0.1", "with a small beta the encoded code means nothing", "reference_error", True),
    Effect("beta_10", "with a large beta a translated image tells the style too", "hidden_another_style", False),
    Effect("divergence", "by the divergence the code says less of its image", "reference_error", True),
    Effect("divergence", "by the divergence fewer features of the code are in use", measures.ACTIVE_UNITS, False),
    Effect("no_content_cycle", "without the content cycle images are worse", "outline_f1", False),
)


def claims(rows: columns.Rows) -> list[str]:
    """Returns which effects of the paper are found."""
    found = []
    effects = list(EFFECTS)
    for metric in columns.distances(rows):
        effects.append(Effect("no_content_cycle", "without the content cycle images are worse", metric, True))
    for metric in columns.diversities(rows):
        effects.append(
            Effect("no_code_cycle", "without the code cycle images are less diverse", metric, False, _TABLE_2)
        )
    for effect in effects:
        if effect.variant not in rows:
            continue
        changed, whole = (paper.values(rows, name, effect.metric) for name in (effect.variant, "dsvib"))
        sides = (changed, whole) if effect.greater else (whole, changed)
        order = "the variant above DSVIB" if effect.greater else "DSVIB above the variant"
        statement = f"{effect.statement}: {columns.heading(effect.metric)}, {order}"
        found.append(paper.greater(statement, *sides, told=effect.told))
    return found


def define_flags() -> None:
    """Defines the flag of these tables alone."""
    flags.DEFINE_list("variants", list(grid.VARIANTS), f"Rows, among {', '.join(grid.VARIANTS)}.")


def main(config: ConfigDict, workdir: str, mesh: jax.sharding.Mesh) -> None:
    """Makes the runs and the table."""
    names = ["dsvib", *study.chosen("--variants", flags.FLAGS.variants, list(grid.VARIANTS))]
    made = grid.complete(config, names, num_seeds=flags.FLAGS.seeds, workdir=workdir, mesh=mesh)
    rows, notes = measures.rows(config, made, workdir)
    study.publish(
        workdir,
        "ablations",
        *report.comparison(
            {name: report.read(found[0].workdir) for name, found in made.items() if grid.is_sound(found[0])}
        ),
        title=f"Ablations of DSVIB on {config.dataset}",
        table=columns.table(rows, labels=LABELS, caption=grid.caption(config, notes)),
        claims=claims(rows),
    )


if __name__ == "__main__":
    define_flags()
    grid.start(main)
