r"""What the published form fails at, a colour cast and sensor noise, with and without our remedies, and LIME.

    python -m experiments.low_light.figure_failures --workdir=runs/low_light

Prints a Markdown table and writes it, with pictures, to a page.
"""

import statistics
import sys

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags

from experiments.low_light import measure, methods, photographs
from experiments.low_light.options import Options
from gentoolkit import report, study
from gentoolkit.imaging import color, degradation

CAST = (2.2, 3.0, 4.2)
NOISE_GAMMA, PEAK, READ_NOISE = 3.0, 500.0, 0.01

WHITE_BALANCE = 0.6

# What is compared.
VARIANTS = {
    "published CM": Options("cm"),
    "LIME": Options("lime"),
    "LIME, white balance": Options("lime", white_balance=WHITE_BALANCE),
    "improved": Options(),
    "improved, white balance": Options(white_balance=WHITE_BALANCE),
    "improved, no power law": Options(mean="centre"),
    "improved, channels coregionalized": Options(channels="coregionalized"),
    "improved, heteroscedastic noise": Options(noise="heteroscedastic"),
    "improved, all pairs": Options(all_pairs=True),
    "improved, noise shrunk": Options(strength=1.0),
    "improved, white balance, noise shrunk": Options(white_balance=WHITE_BALANCE, strength=1.0),
}
# What the claims are about: the improved form as it is, and with the remedy that is made for the condition.
REMEDIES = {
    "colour cast": "improved, white balance",
    "sensor noise": "improved, noise shrunk",
    "both": "improved, white balance, noise shrunk",
}

_COLUMNS = (("psnr", 2), ("f1", 4), ("skew", 4))


def conditions(bright: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """Returns a photograph under a colour cast, under sensor noise, and under both; 8 bits."""
    key = jax.random.key(seed)
    noise = {"peak": PEAK, "read_noise": READ_NOISE}
    cast = degradation.color_cast(jnp.asarray(bright), jnp.asarray(CAST))
    dark = degradation.darken(bright, NOISE_GAMMA)
    made = {
        "colour cast": cast,
        "sensor noise": degradation.poisson_gaussian(key, dark, **noise),
        "both": degradation.poisson_gaussian(key, cast, **noise),
    }
    return {name: np.asarray(degradation.quantize(image)) for name, image in made.items()}


def skew(image: np.ndarray, bright: np.ndarray) -> float:
    """Returns the distance of the mean chroma (Cb, Cr) from that of the bright image, 0 for no cast."""
    means = [np.asarray(color.rgb_to_ycbcr(jnp.asarray(one)))[..., 1:].mean((0, 1)) for one in (image, bright)]
    return float(np.linalg.norm(means[0] - means[1]))


def main() -> None:
    """Makes the figure."""
    values = flags.FLAGS
    references = methods.References(values.weights)
    figures: dict[tuple[str, str], list[dict[str, float]]] = {}
    sheets = []
    for seed, (name, bright) in enumerate(photographs.load(values.photographs, size=values.size).items()):
        columns = {}
        for condition, dark in conditions(bright, seed).items():
            images = [methods.enhance(dark, references, options).image for options in VARIANTS.values()]
            for label, image in zip(VARIANTS, images, strict=True):
                found = measure.figures(image, bright) | {"skew": skew(image, bright)}
                figures.setdefault((condition, label), []).append(found)
            columns[condition] = [dark, *images, bright]
        rows = list(zip(*columns.values(), strict=True))
        sheets.append(
            report.section(name, report.sheet(rows, columns=list(columns), labels=["dark", *VARIANTS, "truth"]))
        )
        print(f"{name} done", file=sys.stderr)
    table, claims = tabulate(figures)
    config = {"cast": CAST, "gamma": NOISE_GAMMA, "peak": PEAK, "read_noise": READ_NOISE}
    study.publish(
        values.workdir,
        "figure_failures",
        *sheets,
        title="Low light: failures and remedies",
        table=table,
        claims=claims,
        config=config,
    )


def tabulate(figures: dict[tuple[str, str], list[dict[str, float]]]) -> tuple[report.Table, list[study.Claim]]:
    """Returns the table of means and what holds, from the figures of each photograph by condition and variant."""
    names = list(dict.fromkeys(condition for condition, _ in figures))
    labels = list(dict.fromkeys(label for _, label in figures))
    mean = {key: {n: statistics.mean(one[n] for one in found) for n in found[0]} for key, found in figures.items()}
    rows = [[label, *[f"{mean[c, label][n]:.{digits}f}" for c in names for n, digits in _COLUMNS]] for label in labels]
    claims = []
    for condition in names:
        for ours in ("improved", REMEDIES[condition]):
            for other in ("published CM", "LIME"):
                psnr, f1, cast = (mean[condition, ours][n] - mean[condition, other][n] for n, _ in _COLUMNS)
                pairs = list(zip(figures[condition, ours], figures[condition, other], strict=True))
                wins = sum(a["psnr"] > b["psnr"] for a, b in pairs)
                name = f"under {condition} {ours} is better than {other} in PSNR and F1"
                detail = f"{psnr:+.2f} dB, on {wins} of {len(pairs)} photographs; {f1:+.4f} F1"
                claims.append(study.Claim(name, psnr > 0 and f1 > 0, detail))
                if condition != "sensor noise":
                    name = f"under {condition} {ours} has less skew than {other}"
                    claims.append(study.Claim(name, cast < 0, f"{cast:+.4f}"))
    columns = ["", *[f"{c}: {n}" for c in names for n in ("PSNR", "F1", "skew")]]
    caption = (
        f"Means over {len(next(iter(figures.values())))} photographs. Cast: gammas {CAST} of R, G, B. Noise: gamma "
        f"{NOISE_GAMMA:g}, {PEAK:g} photons in a white pixel, read noise {READ_NOISE:g}. k = 30. 8 bits. Skew: "
        "distance of the mean (Cb, Cr) from that of the bright photograph."
    )
    return report.Table(columns, rows, caption), claims


if __name__ == "__main__":
    measure.start(main)
