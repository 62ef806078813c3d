"""Files of weights from the command line; nothing of a file is run.

    python -m experiments.weights.main show FILE
    python -m experiments.weights.main convert FILE OUT.safetensors|OUT.npz
    python -m experiments.weights.main classify FILE [FOLDER]

`show` says what a file holds and which network of the toolkit it is, `convert` writes its arrays in another format
under the same names, `classify` has MobileNetV2 look at known photographs, or at the pictures of a folder.
"""

import os
import pathlib
import sys
import tempfile

import numpy as np
from absl import app, flags

from experiments.weights import classify, networks
from gentoolkit.models import weights
from gentoolkit.models.extractors import mobilenet

_WITHIN = flags.DEFINE_string("within", None, "Key of the file under which its arrays lie, such as ema.")
_NUM = flags.DEFINE_integer("num", 12, "How many arrays `show` lists from the start; 0 for all.", lower_bound=0)
_LABELS = flags.DEFINE_string("labels", None, "File with the names of ImageNet's 1,000 classes, one on a line.")
_COMMANDS = {"show": (1, 1), "convert": (2, 2), "classify": (1, 2)}  # how many names each takes


def main(argv: list[str]) -> int:
    """Runs one command and returns the exit status."""
    command, *names = argv[1:] or [""]
    least, most = _COMMANDS.get(command, (0, -1))
    if not least <= len(names) <= most:
        raise app.UsageError("give `show FILE`, `convert FILE OUT` or `classify FILE [FOLDER]`.")
    try:
        {"show": show, "convert": convert, "classify": look}[command](*names)
    except (OSError, ValueError, ImportError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def show(path: str) -> None:
    """Prints what a file holds and which network it is."""
    file = weights.read(path, within=_WITHIN.value)
    total = sum(x.size for x in file.values())
    inside = f", under {file.within!r}" if file.within else ""
    print(
        f"{path}: {file.format}{inside}, {len(file)} arrays, {total:,} numbers\nSHA-256 {file.sha256}{_hash_note(file)}"
    )
    listed = list(file)[: _NUM.value or None]
    for name in listed:
        print(f"  {name}  {file[name].dtype.name}{list(file[name].shape)}")
    if len(listed) < len(file):
        print(f"  ... and {len(file) - len(listed)} more (--num=0 lists all)")
    found = networks.compared(file)
    fits = [network for network, problems in found if not problems]
    for network in fits:
        same = weights.of_file(network.name, file, published=network.published).published
        known = "its hash begins as the published one's" if same else "not a file whose hash is known"
        print(f"Fits {network.name}: {known}.")
    if not fits:
        network, problems = found[0]
        print(f"Fits none of our networks; the nearest is {network.name}, with {len(problems)} differences:")
        for line in problems[:3]:
            print(f"  {line}")


def _hash_note(file: weights.Weights) -> str:
    if not file.named_hash:
        return ""
    return ", as its name says" if file.sha256.startswith(file.named_hash) else f", and its name says {file.named_hash}"


def convert(path: str, out: str) -> None:
    """Writes the arrays of a file as safetensors or `.npz`, under the same names and in the same types."""
    target = pathlib.Path(out)
    if target.suffix not in (".safetensors", ".npz"):
        raise ValueError(f"OUT must end in .safetensors or .npz, got {out}.")
    if target.exists():
        raise ValueError(f"{out} is there already; it is not written over.")
    file = weights.read(path, within=_WITHIN.value)
    arrays = {name: np.ascontiguousarray(x) for name, x in file.items()}
    # Written beside and moved: a conversion that is interrupted leaves no half file under the name.
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        part = pathlib.Path(folder) / target.name
        if target.suffix == ".npz":
            if odd := [name for name, x in arrays.items() if x.dtype.kind == "V"]:
                raise ValueError(f"{odd[0]} is bfloat16, which .npz does not know; write .safetensors.")
            np.savez(part, **arrays)
        else:
            try:
                from safetensors import numpy as safetensors
            except ImportError:
                raise ImportError("To write safetensors files, install .[experiments].") from None
            safetensors.save_file(arrays, part)
        again = weights.read(part)
        if again.keys() != arrays.keys() or any(not _equal(again[name], x) for name, x in arrays.items()):
            raise ValueError(f"{out} would not hold what {path} does; nothing was written.")
        os.replace(part, target)
    print(f"{out}: {len(arrays)} arrays, SHA-256 {weights.read(out).sha256}")


def _equal(a: np.ndarray, b: np.ndarray) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def look(path: str, directory: str = "") -> None:
    """Prints the likeliest classes of photographs by MobileNetV2."""
    names = classify.labels(_LABELS.value) if _LABELS.value else None
    network = mobilenet.MobileNetV2.load(path)
    images = classify.pictures(directory) if directory else classify.photographs()
    print(f"{network.origin}; classes of ImageNet counted from 0")
    right = [0, 0]
    for name, found in classify.top(network, images).items():
        said = ", ".join(f"{i}{f' {names[i]}' if names else ''} {share:.0%}" for i, share in found)
        if directory:
            print(f"{name}: {said}")
            continue
        classes, what = classify.KNOWN[name]
        places = [i in classes for i, _ in found]
        right = [right[0] + places[0], right[1] + any(places)]
        verdict = "right" if places[0] else ("right among the five" if any(places) else "not recognized")
        print(f"{name} ({what}): {said}: {verdict}")
    if not directory:
        print(f"Top 1: {right[0]} of {len(images)}; top 5: {right[1]} of {len(images)}")


if __name__ == "__main__":
    app.run(main)
