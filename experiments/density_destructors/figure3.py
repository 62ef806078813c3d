"""Figure 3 of the paper: mutual information of Student t samples by every estimator, against the closed form.

    python -m experiments.density_destructors.figure3 --workdir=runs/destructors/figure3

Goes on where it was stopped. Writes `figure3.svg`, `figure3.md` (bias and spread, and the targets) and a page of both.
"""

from experiments.density_destructors import study

if __name__ == "__main__":
    study.start("mutual_information", "figure3")
