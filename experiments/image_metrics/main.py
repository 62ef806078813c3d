r"""FID, KID, Inception score, precision, recall, density and coverage of a folder of images, without PyTorch.

    python -m experiments.image_metrics.main --real=FOLDER --generated=FOLDER --metrics=fid,kid --weights=DIR \
        --workdir=runs/metrics

`--real` may be a file of statistics: of `--save_real`, of pytorch-fid or of clean-fid. Written into the workdir:
`metrics.json` and `report.html`. The exit status is 1 where an image could not be read; figures are then without it.
"""

import json
import pathlib
import sys

from absl import app, flags

from experiments.image_metrics import command, measures, networks, page, pictures
from gentoolkit import report, study
from gentoolkit.training import launch

_REAL = flags.DEFINE_string("real", None, "Folder or zip file of real images, or an .npz of statistics; not for is.")
_GENERATED = flags.DEFINE_string("generated", None, "Folder or zip file of generated images.")
_METRICS = flags.DEFINE_list(
    "metrics", ["fid", "kid"], "Of fid, kid, is (Inception score), pr (precision, recall), dc (density, coverage)."
)
_PREPROCESSING = flags.DEFINE_string(
    "preprocessing", "legacy_pytorch", f"Whose figures to agree with: {', '.join(networks.PREPROCESSINGS)}."
)
_WEIGHTS = flags.DEFINE_string("weights", "", "Folder with the networks' files, or 'random' for a smoke test.")
_WORKDIR = flags.DEFINE_string("workdir", "runs/image_metrics", "Where metrics.json and the page go.")
_NETWORK = flags.DEFINE_enum(
    "network", "inception", ["inception", "mobilenet", "keras_squeezenet"], "Whose features fid, kid and is take."
)
_NEIGHBORS_NETWORK = flags.DEFINE_enum(
    "neighbors_network", "vgg16", list(networks.KINDS), "Whose features pr and dc take; vgg16 as published."
)
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 32, "Images at a time.", lower_bound=1)
_TRANSPARENCY = flags.DEFINE_enum(
    "transparency",
    "drop",
    list(pictures.TRANSPARENCY),
    "Transparent pixels: as their colour is, like other tools, or white.",
)
_NEIGHBORS = flags.DEFINE_integer("num_neighbors", 3, "k of precision and recall.", lower_bound=1)
_NEIGHBORS_DENSITY = flags.DEFINE_integer("num_neighbors_density", 5, "k of density and coverage.", lower_bound=1)
_SUBSETS = flags.DEFINE_integer("num_subsets", 100, "Subsets of KID.", lower_bound=1)
_SUBSET_SIZE = flags.DEFINE_integer("subset_size", 1000, "Images of each side in a subset of KID.", lower_bound=2)
_SPLITS = flags.DEFINE_integer("num_splits", 10, "Splits of the Inception score.", lower_bound=1)
_SEED = flags.DEFINE_integer("seed", 2020, "Seed of subsets and splits; 2020 is torch-fidelity's.", lower_bound=0)
_SAVE_REAL = flags.DEFINE_string("save_real", "", "Also write the real images' statistics to this .npz, for --real.")

FILE = "metrics.json"


def main() -> int:
    """Does what the flags say; whatever can be refused is refused before the work."""
    metrics = tuple(study.chosen("--metrics", _METRICS.value, list(measures.METRICS)))
    compares = any(measures.METRICS[name].compares for name in metrics)
    for name in ("real", "generated") if compares else ("generated",):
        if not flags.FLAGS[name].value:
            raise app.UsageError(f"--{name} {'must be given' if flags.FLAGS[name].value is None else 'is empty'}.")
    options = measures.Options(
        metrics=metrics,
        network=_NETWORK.value,
        neighbors_network=_NEIGHBORS_NETWORK.value,
        preprocessing=study.choose("--preprocessing", _PREPROCESSING.value, list(networks.PREPROCESSINGS)),
        num_neighbors=_NEIGHBORS.value,
        num_neighbors_density=_NEIGHBORS_DENSITY.value,
        num_subsets=_SUBSETS.value,
        subset_size=_SUBSET_SIZE.value,
        num_splits=_SPLITS.value,
        seed=_SEED.value,
    )
    networks.check(options.network, options.metrics)
    sources = command.find(_REAL.value or None, _GENERATED.value, options)
    workdir = pathlib.Path(_WORKDIR.value).expanduser()
    command.check_outputs(workdir, _SAVE_REAL.value, sources, options)
    places = {kind: networks.find(kind, _WEIGHTS.value) for kind in measures.networks_of(options)}
    extractors = {kind: networks.load(kind, path, prepare=options.preprocessing) for kind, path in places.items()}
    notes = [extractor.note for extractor in extractors.values() if extractor.note]
    for line in (*notes, *sources.passed_over):
        print(line, file=sys.stderr, flush=True)
    found = command.measure(
        sources, extractors, options, batch_size=_BATCH_SIZE.value, transparency=_TRANSPARENCY.value
    )
    said = [*notes, *sources.passed_over, *found.said]
    print("\n".join(found.said), file=sys.stderr, flush=True, end="\n" if found.said else "")
    print(page.table(found.results).markdown())
    content = {name: result.as_json() | found.left_out for name, result in found.results.items()}
    report.write_text(workdir / FILE, json.dumps(content, indent=2) + "\n")
    if _SAVE_REAL.value:
        print(f"Statistics: {command.save_real(_SAVE_REAL.value, found)}")
    settings = {"real": pictures.shown(_REAL.value or "no real images"), "generated": pictures.shown(_GENERATED.value)}
    settings |= {name: value for name, value in vars(options).items()}
    settings |= {"transparency": _TRANSPARENCY.value, "weights": pictures.shown(_WEIGHTS.value)}
    written = page.write(
        workdir,
        found.results,
        real=found.real,
        generated=found.generated,
        said=said,
        settings=settings,
        random=_WEIGHTS.value == networks.RANDOM,
    )
    print(f"Figures: {workdir / FILE}\nPage: {written}")
    return 1 if any(found.left_out.values()) else 0


if __name__ == "__main__":
    launch.start(study.script(main), expected=(OSError, ValueError))
