r"""Table I of the paper beside ours: LM, the luminance form, for k = 10 ... 200, and its forerunner GPE.

    python -m experiments.low_light.table1 --workdir=runs/low_light

Measures what is missing in `results.jsonl` of the workdir, so an interrupted table goes on where it stopped.
"""

from experiments.low_light import measure, paper
from experiments.low_light.measure import DARK, GPE, Case
from gentoolkit.study import Claim


def claims(found: measure.Means) -> list[Claim]:
    """Returns which trends of the paper hold."""
    lm, gpe = {k: found[Case("lm", k)] for k in paper.CLUSTERS}, found[GPE]
    psnr, seconds = ({k: one[name] for k, one in lm.items()} for name in ("psnr", "seconds"))

    def own(means):
        return means["cluster"] + means["fit"] + means["predict"]

    def saves(ours, theirs, form):
        return ours < 0.25 * theirs, f"{1 - ours / theirs:.0%} less: {ours:{form}}, GPE {theirs:{form}} s"

    return [
        measure.rises(lm, "psnr"),
        Claim(
            "and flattens by k = 50",
            psnr[200] - psnr[50] < max(psnr[50] - psnr[10], 0.2),
            f"{psnr[50] - psnr[10]:+.2f} dB to k = 50, {psnr[200] - psnr[50]:+.2f} dB after it",
        ),
        measure.rises(lm, "precision"),
        Claim(
            "recall is nearly flat in k",
            abs(lm[200]["recall"] - lm[10]["recall"]) < 0.03,
            measure.from_to(lm, "recall"),
        ),
        Claim("k = 10 takes 75 % less time than GPE", *saves(seconds[10], gpe["seconds"], ".2f")),
        Claim(
            "so it does without the reference network: clustering, fit and prediction",
            *saves(own(lm[10]), own(gpe), ".3f"),
        ),
        Claim(
            "time grows with k, most of all to 200",
            seconds[200] - seconds[100] > seconds[100] - seconds[50],
            f"{seconds[50]:.2f}, {seconds[100]:.2f}, {seconds[200]:.2f} s at k = 50, 100, 200",
        ),
    ]


def main() -> None:
    """Measures, and prints the table."""
    measure.table("table1", [DARK, GPE, *[Case("lm", k) for k in reversed(paper.CLUSTERS)]], claims)


if __name__ == "__main__":
    measure.start(main)
