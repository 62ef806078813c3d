r"""Table II of the paper beside ours: CM, the RGB form, for k = 10 ... 200; and the improved form at the same k.

    python -m experiments.low_light.table2 --workdir=runs/low_light

Measures what is missing in `results.jsonl` of the workdir, so an interrupted table goes on where it stopped.
"""

from experiments.low_light import measure, paper
from experiments.low_light.measure import DARK, GPE, Case
from gentoolkit.study import Claim


def claims(found: measure.Means) -> list[Claim]:
    """Returns which trends of the paper hold, and by how much the improved form leads at each k."""
    cm, lm, ours = ({k: found[Case(name, k)] for k in paper.CLUSTERS} for name in ("cm", "lm", "improved"))
    gpe, count = found[GPE], len(paper.CLUSTERS)
    above = {name: sum(cm[k][name] > lm[k][name] for k in paper.CLUSTERS) for name in ("psnr", "precision", "recall")}
    beaten = sum(one["psnr"] > gpe["psnr"] for one in cm.values())
    lead = {k: (ours[k]["psnr"] - cm[k]["psnr"], ours[k]["f1"] - cm[k]["f1"]) for k in paper.CLUSTERS}
    return [
        measure.rises(cm, "psnr"),
        measure.rises(cm, "precision"),
        Claim(
            "recall falls slightly with k",
            -0.05 < cm[200]["recall"] - cm[10]["recall"] < 0.0,
            measure.from_to(cm, "recall"),
        ),
        Claim("CM is above LM in PSNR", above["psnr"] == count, f"at {above['psnr']} of {count} k"),
        Claim("CM is above LM in precision", above["precision"] == count, f"at {above['precision']} of {count} k"),
        Claim("CM is below LM in recall", above["recall"] == 0, f"above at {above['recall']} of {count} k"),
        Claim("every k of CM beats GPE in PSNR", beaten == count, f"{beaten} of {count}, GPE {gpe['psnr']:.2f} dB"),
        Claim(
            "ours: the improved form beats CM by 2 dB and 0.03 F1 at every k",
            all(psnr >= 2 and f1 >= 0.03 for psnr, f1 in lead.values()),
            ", ".join(f"k={k}: {psnr:+.2f} dB {f1:+.3f}" for k, (psnr, f1) in lead.items()),
        ),
    ]


def main() -> None:
    """Measures, and prints the table."""
    clusters = list(reversed(paper.CLUSTERS))
    shown = [DARK, GPE, *[Case(name, k) for k in clusters for name in ("cm", "improved")]]
    measure.table("table2", shown, claims, besides=[Case("lm", k) for k in clusters])


if __name__ == "__main__":
    measure.start(main)
