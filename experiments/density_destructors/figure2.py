"""Figure 2 of the paper: total correlation of Student t samples by every estimator, against the closed form.

    python -m experiments.density_destructors.figure2 --workdir=runs/destructors/figure2

Goes on where it was stopped. Writes `figure2.svg`, `figure2.md` (bias and spread, and the targets) and a page of both.
"""

from experiments.density_destructors import study

if __name__ == "__main__":
    study.start("total_correlation", "figure2")
