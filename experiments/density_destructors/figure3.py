"""Figure 3 of the paper: mutual information of Student t samples by every estimator, against the closed form.

    python -m experiments.density_destructors.figure3 --workdir=runs/destructors/figure3

Goes on where it was stopped. Writes `figure3.svg` and `figure3.md` (bias and spread, and the targets).
"""

from absl import app

from experiments.density_destructors import study


def main(argv: list[str]) -> None:
    """Runs the study and draws the figure."""
    if len(argv) > 1:
        raise app.UsageError(f"Did not understand {argv[1]!r}.")
    study.make("mutual_information", "figure3")


if __name__ == "__main__":
    study.define_flags()
    app.run(main)
