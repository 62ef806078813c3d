r"""Table I of the paper beside ours: LM, the luminance form, for k = 10 ... 200, and its forerunner GPE.

    python -m experiments.low_light.table1 --workdir=runs/low_light

Measures what is missing in `results.jsonl` of the workdir, so an interrupted table goes on where it stopped.
"""

from experiments.low_light import measure, paper


def trends(results: measure.Results) -> list[str]:
    """Returns which trends of the paper hold."""
    lm = {k: measure.means(results, ("lm", k)) for k in paper.CLUSTERS}
    gpe = measure.means(results, ("gpe", 0))

    def own(found):
        return found["cluster"] + found["fit"] + found["predict"]

    return [
        measure.rises(lm, "psnr"),
        measure.held(
            "and flattens by k = 50",
            lm[200]["psnr"] - lm[50]["psnr"] < max(lm[50]["psnr"] - lm[10]["psnr"], 0.2),
            f"{lm[50]['psnr'] - lm[10]['psnr']:+.2f} dB to k = 50, {lm[200]['psnr'] - lm[50]['psnr']:+.2f} dB after it",
        ),
        measure.rises(lm, "precision"),
        measure.held(
            "recall is nearly flat in k",
            abs(lm[200]["recall"] - lm[10]["recall"]) < 0.03,
            measure.from_to(lm, "recall"),
        ),
        measure.held(
            "k = 10 takes 75 % less time than GPE",
            lm[10]["seconds"] < 0.25 * gpe["seconds"],
            f"{1 - lm[10]['seconds'] / gpe['seconds']:.0%} less: {lm[10]['seconds']:.2f}, GPE {gpe['seconds']:.2f} s",
        ),
        measure.held(
            "so it does without the reference network: clustering, fit and prediction",
            own(lm[10]) < 0.25 * own(gpe),
            f"{1 - own(lm[10]) / own(gpe):.0%} less: {own(lm[10]):.3f}, GPE {own(gpe):.3f} s",
        ),
        measure.held(
            "time grows with k, most of all to 200",
            lm[200]["seconds"] - lm[100]["seconds"] > lm[100]["seconds"] - lm[50]["seconds"],
            f"{lm[50]['seconds']:.2f}, {lm[100]['seconds']:.2f}, {lm[200]['seconds']:.2f} s at k = 50, 100, 200",
        ),
    ]


def main() -> None:
    """Measures, and prints the table."""
    cases = [("dark", 0), ("gpe", 0), *[("lm", k) for k in reversed(paper.CLUSTERS)]]
    results = measure.measure(cases)
    measure.finish("table1", measure.table(results, cases, measure.caption(results)), trends(results), results)


if __name__ == "__main__":
    measure.run(main)
