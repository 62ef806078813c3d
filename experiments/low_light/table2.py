r"""Table II of the paper beside ours: CM, the RGB form, for k = 10 ... 200; and the improved form at the same k.

    python -m experiments.low_light.table2 --workdir=runs/low_light

Measures what is missing in `results.jsonl` of the workdir, so an interrupted table goes on where it stopped.
"""

from experiments.low_light import measure, paper


def trends(results: measure.Results) -> list[str]:
    """Returns which trends of the paper hold, and by how much the improved form leads at each k."""
    cm, lm = ({k: measure.means(results, (name, k)) for k in paper.CLUSTERS} for name in ("cm", "lm"))
    ours = {k: measure.means(results, ("improved", k)) for k in paper.CLUSTERS}
    gpe = measure.means(results, ("gpe", 0))
    count = len(paper.CLUSTERS)

    def better(name, others):
        return sum(cm[k][name] > others[k][name] for k in paper.CLUSTERS)

    lead = [(ours[k]["psnr"] - cm[k]["psnr"], ours[k]["f1"] - cm[k]["f1"]) for k in paper.CLUSTERS]
    beaten = sum(cm[k]["psnr"] > gpe["psnr"] for k in paper.CLUSTERS)
    return [
        measure.rises(cm, "psnr"),
        measure.rises(cm, "precision"),
        measure.held(
            "recall falls slightly with k",
            -0.05 < cm[200]["recall"] - cm[10]["recall"] < 0.0,
            measure.from_to(cm, "recall"),
        ),
        measure.held("CM is above LM in PSNR", better("psnr", lm) == count, f"at {better('psnr', lm)} of {count} k"),
        measure.held(
            "CM is above LM in precision",
            better("precision", lm) == count,
            f"at {better('precision', lm)} of {count} k",
        ),
        measure.held(
            "CM is below LM in recall", better("recall", lm) == 0, f"above at {better('recall', lm)} of {count} k"
        ),
        measure.held(
            "every k of CM beats GPE in PSNR", beaten == count, f"{beaten} of {count}, GPE {gpe['psnr']:.2f} dB"
        ),
        measure.held(
            "ours: the improved form beats CM by 2 dB and 0.03 F1 at every k",
            all(psnr >= 2 and f1 >= 0.03 for psnr, f1 in lead),
            ", ".join(f"k={k}: {p:+.2f} dB {f:+.3f}" for k, (p, f) in zip(paper.CLUSTERS, lead, strict=True)),
        ),
    ]


def main() -> None:
    """Measures, and prints the table."""
    clusters = list(reversed(paper.CLUSTERS))
    shown = [("dark", 0), ("gpe", 0), *[(name, k) for k in clusters for name in ("cm", "improved")]]
    results = measure.measure([*shown, *[("lm", k) for k in clusters]])
    measure.finish("table2", measure.table(results, shown, measure.caption(results)), trends(results), results)


if __name__ == "__main__":
    measure.run(main)
