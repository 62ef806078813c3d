r"""Table III of the paper beside ours: other methods, GPE, LM at k = 200, CM at k = 30; and the improved form, k = 30.

    python -m experiments.low_light.table3 --workdir=runs/low_light

Measures what is missing in `results.jsonl` of the workdir, so an interrupted table goes on where it stopped.
"""

from experiments.low_light import measure, options
from experiments.low_light.measure import DARK, GPE, Case
from gentoolkit.study import Claim

_OURS, _CM = Case("improved", 30), Case("cm", 30)


def claims(found: measure.Means) -> list[Claim]:
    """Returns which trends of the paper hold, and where the improved form stands."""
    ours, cm = found[_OURS], found[_CM]
    baselines = {name: found[Case(name)] for name in options.BASELINES}

    def order(name, first, second):
        one = baselines[name]
        return Claim(
            f"{name.upper() if name == 'lime' else name} has a higher {first} than {second}",
            one[first] > one[second],
            f"{one[first]:.4f} and {one[second]:.4f}",
        )

    def beats(name, title):
        best = max(baselines, key=lambda case: baselines[case][name])
        return Claim(
            f"ours: the improved form beats every baseline in {title}",
            ours[name] > baselines[best][name],
            f"best baseline {best} {baselines[best][name]:.4g}, ours {ours[name]:.4g}",
        )

    beaten = [name for name, one in baselines.items() if cm["psnr"] > one["psnr"]]
    lead = {name: ours[name] - cm[name] for name in measure.FIGURES}
    return [
        order("lime", "recall", "precision"),
        *[order(name, "precision", "recall") for name in ("wvm", "srrm", "fbe")],
        Claim(
            "CM at k = 30 beats every other method in PSNR",
            len(beaten) == len(baselines),
            f"it beats {', '.join(beaten) or 'none'}",
        ),
        Claim(
            "ours: the improved form beats published CM by 2 dB and 0.03 F1 at k = 30",
            lead["psnr"] >= 2 and lead["f1"] >= 0.03,
            f"{lead['psnr']:+.2f} dB, {lead['f1']:+.4f} F1, by descriptors {lead['descriptor_f1']:+.4f}",
        ),
        beats("psnr", "PSNR"),
        beats("f1", "F1"),
    ]


def main() -> None:
    """Measures, and prints the table."""
    shown = [DARK, *map(Case, options.BASELINES), GPE, Case("lm", 200), _CM, _OURS]
    measure.table("table3", shown, claims)


if __name__ == "__main__":
    measure.start(main)
