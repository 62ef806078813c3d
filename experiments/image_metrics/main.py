r"""Image metrics of a folder of generated images, without PyTorch.

    python -m experiments.image_metrics.main --real=FOLDER --generated=FOLDER --metrics=fid,kid --weights=DIR \
        --workdir=runs/metrics

| metric | what it is | it needs |
|---|---|---|
| `fid`, `kid` | Fréchet and kernel distance of Inception's features | `--real` |
| `is` | Inception score | |
| `pr`, `dc` | precision and recall, density and coverage | `--real` |
| `clip_score` | how well images fit their captions | `--captions` |
| `lpips` | perceptual distance of files of one name, whatever their endings | `--real` |
| `diversity` | perceptual distance of several outputs for one input: files `NAME_0`, `NAME_1`, ... | |

`--real` may be a file of statistics: of `--save_real`, of pytorch-fid or of clean-fid. Written into the workdir:
`metrics.json`, `report.html`, and of perceptual distances `pairs.json`. The exit status is 1 where an image could not
be read, or has no caption or partner; figures are then without it.
"""

import json
import pathlib
import sys
from typing import get_args

from absl import app, flags

from experiments.image_metrics import (
    captions,
    clip_network,
    command,
    diversity,
    measures,
    networks,
    page,
    pairs,
    pictures,
)
from gentoolkit import report, study
from gentoolkit.evaluation.caption_score import Form
from gentoolkit.training import launch

_REAL = flags.DEFINE_string("real", None, "Folder or zip file of real images, or an .npz of statistics.")
_GENERATED = flags.DEFINE_string("generated", None, "Folder or zip file of generated images.")
_METRICS = flags.DEFINE_list(
    "metrics",
    ["fid", "kid"],
    "Of fid, kid, is (Inception score), pr (precision, recall), dc (density, coverage), clip_score, lpips, diversity.",
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
_CROP = flags.DEFINE_bool("crop", False, "Take the middle square of images, where tools stretch them to a square.")
_CAPTIONS = flags.DEFINE_string(
    "captions", "", "For clip_score: .csv, .tsv or .jsonl of file_name and caption, or a folder of .txt of one name."
)
_CLIP_NETWORK = flags.DEFINE_enum("clip_network", "ViT-B-32", list(clip_network.KINDS), "The CLIP of clip_score.")
_CLIP_FORM = flags.DEFINE_enum(
    "clip_form", "cosine", list(get_args(Form)), "Mean cosine, max(100 cos, 0), or 2.5 max(cos, 0)."
)
_CLIP_PROMPT = flags.DEFINE_string("clip_prompt", "", "What is put before each caption, such as 'A photo depicts '.")
_LPIPS_TRUNK = flags.DEFINE_enum("lpips_trunk", "alex", list(pairs.TRUNKS), "The network of lpips and diversity.")
_LPIPS_VERSIONS = flags.DEFINE_list(
    "lpips_versions", ["0.1"], "Of the heads of lpips and diversity: 0.1, 0.0 (figures about half as large), or both."
)
_PAIRING = flags.DEFINE_enum(
    "pairing",
    "disjoint",
    list(diversity.PAIRINGS),
    "Outputs of an input that diversity compares: 0 with 1, 2 with 3, ..., or 0 with 1, 1 with 2, ...",
)
_NEIGHBORS = flags.DEFINE_integer("num_neighbors", 3, "k of precision and recall.", lower_bound=1)
_NEIGHBORS_DENSITY = flags.DEFINE_integer("num_neighbors_density", 5, "k of density and coverage.", lower_bound=1)
_SUBSETS = flags.DEFINE_integer("num_subsets", 100, "Subsets of KID.", lower_bound=1)
_SUBSET_SIZE = flags.DEFINE_integer("subset_size", 1000, "Images of each side in a subset of KID.", lower_bound=2)
_SPLITS = flags.DEFINE_integer("num_splits", 10, "Splits of the Inception score.", lower_bound=1)
_SEED = flags.DEFINE_integer("seed", 2020, "Seed of subsets and splits; 2020 is torch-fidelity's.", lower_bound=0)
_SAVE_REAL = flags.DEFINE_string("save_real", "", "Also write the real images' statistics to this .npz, for --real.")

FILE = "metrics.json"
PAIRS = "pairs.json"


def main() -> int:
    """Does what the flags say; whatever can be refused is refused before the work."""
    options = _options()
    for name in ("real", "generated") if measures.compares(options) else ("generated",):
        if not flags.FLAGS[name].value:
            raise app.UsageError(f"--{name} {'must be given' if flags.FLAGS[name].value is None else 'is empty'}.")
    if ("clip_score" in options.metrics) != bool(_CAPTIONS.value):
        raise app.UsageError(
            "--metrics=clip_score needs --captions." if not _CAPTIONS.value else "--captions are for clip_score alone."
        )
    networks.check(options.network, options.metrics)
    sources = command.find(_REAL.value if measures.compares(options) else None, _GENERATED.value, options)
    found_captions = captions.find(_CAPTIONS.value, sources.generated.names) if _CAPTIONS.value else None
    if "diversity" in options.paired:
        diversity.outputs(sources.generated)
    workdir = pathlib.Path(_WORKDIR.value).expanduser()
    command.check_outputs(workdir, _SAVE_REAL.value, sources, options)
    extractors, texts = _networks(options, found_captions)
    distances = _distances(options)
    notes = [extractor.note for extractor in extractors.values() if extractor.note]
    notes += [distance.note for distance in distances.values() if distance.note]
    for line in (*notes, *sources.passed_over):
        print(line, file=sys.stderr, flush=True)
    found = command.Found.none(sources)
    if options.metrics:
        found = command.measure(
            sources,
            extractors,
            options,
            batch_size=_BATCH_SIZE.value,
            transparency=_TRANSPARENCY.value,
            texts=texts,
        )
    said = [*notes, *sources.passed_over, *found.said]
    counted = found.left_out | found.codecs
    results = {
        # What compares with no real images says nothing of them.
        name: (result, {key: n for key, n in counted.items() if result.num_real != 0 or not key.endswith("_real")})
        for name, result in found.results.items()
    }
    missing = any(found.left_out.values()) or (
        found_captions is not None and bool(found_captions.without_caption or found_captions.without_image)
    )
    sections, each = [], {}
    for name, taken, section in command.paired(sources, distances, options, batch_size=_BATCH_SIZE.value):
        results[name] = taken.result, {"left_out": taken.left_out}
        each[name] = taken.each
        said += taken.said
        missing = missing or bool(taken.left_out)
        sections.append(section)
    said = list(dict.fromkeys(said))
    shown = [line for line in said if line not in (*notes, *sources.passed_over)]
    print("\n".join(shown), file=sys.stderr, flush=True, end="\n" if shown else "")
    figures = {name: result for name, (result, _) in results.items()}
    print(page.table(figures).markdown())
    content = {name: result.as_json() | about for name, (result, about) in results.items()}
    report.write_text(workdir / FILE, json.dumps(content, indent=2) + "\n")
    if each:
        report.write_text(workdir / PAIRS, json.dumps(each, indent=2) + "\n")
    if _SAVE_REAL.value:
        print(f"Statistics: {command.save_real(_SAVE_REAL.value, found)}")
    settings = {"real": pictures.shown(_REAL.value or "no real images"), "generated": pictures.shown(_GENERATED.value)}
    settings |= {name: value for name, value in vars(options).items()}
    settings |= {"transparency": _TRANSPARENCY.value, "weights": pictures.shown(_WEIGHTS.value)}
    settings |= {"captions": pictures.shown(_CAPTIONS.value)} if _CAPTIONS.value else {}
    written = page.write(
        workdir,
        figures,
        real=found.real,
        generated=found.generated,
        said=said,
        settings=settings,
        random=_WEIGHTS.value == networks.RANDOM,
        captioned=found.captioned,
        sections=sections,
    )
    print(f"Figures: {workdir / FILE}\nPage: {written}")
    return 1 if missing else 0


def _options() -> measures.Options:
    known = [*measures.METRICS, *measures.PAIRED]
    chosen = study.chosen("--metrics", _METRICS.value, known)
    return measures.Options(
        metrics=tuple(name for name in chosen if name in measures.METRICS),
        paired=tuple(name for name in chosen if name in measures.PAIRED),
        network=_NETWORK.value,
        neighbors_network=_NEIGHBORS_NETWORK.value,
        preprocessing=study.choose("--preprocessing", _PREPROCESSING.value, list(networks.PREPROCESSINGS)),
        crop=_CROP.value,
        clip_network=_CLIP_NETWORK.value,
        clip_form=_CLIP_FORM.value,
        clip_prompt=_CLIP_PROMPT.value,
        lpips_trunk=_LPIPS_TRUNK.value,
        lpips_versions=tuple(study.chosen("--lpips_versions", _LPIPS_VERSIONS.value, ["0.1", "0.0"])),
        pairing=_PAIRING.value,
        num_neighbors=_NEIGHBORS.value,
        num_neighbors_density=_NEIGHBORS_DENSITY.value,
        num_subsets=_SUBSETS.value,
        subset_size=_SUBSET_SIZE.value,
        num_splits=_SPLITS.value,
        seed=_SEED.value,
    )


def _networks(
    options: measures.Options, found: captions.Captions | None
) -> tuple[dict[str, networks.Extractor], command.Texts | None]:
    """The networks that features come from; all files are found before one is read."""
    kinds = measures.networks_of(options)
    places = {kind: networks.find(kind, _WEIGHTS.value) for kind in kinds if kind in networks.KINDS}
    files = clip_network.find(options.clip_network, _WEIGHTS.value) if found is not None else None
    if options.paired:
        for version in options.lpips_versions:
            pairs.find(options.lpips_trunk, version, _WEIGHTS.value)
    extractors = {
        kind: networks.load(kind, path, prepare=options.preprocessing, crop=options.crop)
        for kind, path in places.items()
    }
    if found is None:
        return extractors, None
    clip = clip_network.load(options.clip_network, files)
    return extractors | {options.clip_network: clip.extractor}, command.Texts(found, clip.embed, clip.vocabulary)


def _distances(options: measures.Options) -> dict[str, pairs.Measure]:
    """The perceptual distances, by what is behind the names of their figures: nothing for version 0.1."""
    if not options.paired:
        return {}
    return {
        "" if version == "0.1" else f"_v{version}": pairs.load(
            options.lpips_trunk, version, pairs.find(options.lpips_trunk, version, _WEIGHTS.value)
        )
        for version in options.lpips_versions
    }


if __name__ == "__main__":
    launch.start(study.script(main), expected=(OSError, ValueError))
