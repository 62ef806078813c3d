"""CelebA faces, cropped and reduced as the published auto-encoder comparisons do."""

import os
import pathlib

from gentoolkit.data import _locate, columns, folder
from gentoolkit.data._decode import Reader
from gentoolkit.data.columns import Columns

SPLITS = ("train", "validation", "test")
_IMAGES, _PARTITION = "img_align_celeba", "list_eval_partition.txt"
_ALIGNED_SHAPE = (218, 178)
_REMEDY = (
    f"Put the unpacked folder {_IMAGES} (000001.jpg and so on, the aligned and cropped images) and the file "
    f"{_PARTITION} there, from the authors' page of CelebA."
)


def load(
    split: str, *, data_dir: str | os.PathLike[str] | None = None, size: int = 64, center_crop: int = 140
) -> Columns:
    """Lists 162,770 training, 19,867 validation or 19,962 test faces, decoded when asked for.

    Each 218 x 178 image loses all but its central square of `center_crop` pixels, which is then resized (bilinear,
    antialiased) to `size`. Decoding takes about a millisecond an image: `prepare` does it once.

    Args:
      split: "train", "validation" or "test", by `list_eval_partition.txt`.
      data_dir: folder with `img_align_celeba` and `list_eval_partition.txt`, directly or in a subfolder `celeb_a`;
        the environment variable `GENTOOLKIT_DATA` if None.
      size: side of the result in pixels.
      center_crop: side of the central square in pixels, at most 178.

    Returns:
      A data set of `[size, size, 3]` images, without labels.

    Raises:
      FileNotFoundError: a file is missing; says what to put where.
      ValueError: the partition is damaged, or the images are not the aligned ones; or another split.

    References:
      Liu, Luo, Wang and Tang, Deep learning face attributes in the wild, 2015. The crop of 140 pixels to 64 is that of
      Knop, Mazur, Spurek, Tabor and Podolak, Cramer-Wold auto-encoder, 2020 (authors' code).
    """
    _locate.check_split("CelebA", split, SPLITS)
    places = _locate.candidates(_locate.root(data_dir, dataset="CelebA"), "celeb_a", "celeba")
    place = next((place for place in places if (place / _IMAGES).is_dir()), None)
    if place is None:
        raise _locate.missing("CelebA", f"the folder {_IMAGES}", places, _REMEDY)
    if not (place / _PARTITION).is_file():
        raise _locate.missing("CelebA", _PARTITION, [place], _REMEDY)

    wanted, names = str(SPLITS.index(split)), []
    for number, line in enumerate((place / _PARTITION).read_text("ascii", "replace").splitlines(), 1):
        match line.split():
            case []:
                continue
            case [name, "0" | "1" | "2" as part]:
                if part == wanted:
                    names.append(name)
            case _:
                raise ValueError(
                    f"{str(place / _PARTITION)!r}, line {number}: expected a file name and 0, 1 or 2, got {line!r}."
                )
    if not names:
        raise ValueError(f"{str(place / _PARTITION)!r} lists no image of the split {split!r} ({wanted}).")
    absent = sorted(set(names) - set(os.listdir(place / _IMAGES)))
    if absent:
        what = f"{absent[0]} and {len(absent) - 1} more of {len(names)} images" if absent[1:] else absent[0]
        raise _locate.missing("CelebA", what, [place / _IMAGES], _REMEDY)

    paths = [os.fspath(place / _IMAGES / name) for name in names]
    Reader((*_ALIGNED_SHAPE, 3)).check(pathlib.Path(paths[0]))
    reader = Reader((size, size, 3), center_crop=center_crop, fit="stretch")
    reader.check(pathlib.Path(paths[0]))
    description = f"CelebA, {split} ({len(paths)} images, central {center_crop} resized to {size} x {size})"
    return columns.images(
        folder.decoded(paths, reader), image_shape=reader.image_shape, description=description, names=paths
    )


def prepare(
    *,
    data_dir: str | os.PathLike[str] | None = None,
    output_dir: str | os.PathLike[str] | None = None,
    size: int = 64,
    center_crop: int = 140,
) -> pathlib.Path:
    """Decodes, crops and packs the three splits into array_record files, once; later calls return at once.

    Args:
      data_dir: as in `load`.
      output_dir: where to write; `prepared` inside the data folder if None.
      size: as in `load`.
      center_crop: as in `load`.

    Returns:
      The folder for `prepared.load`.

    Raises:
      FileNotFoundError: as in `load`.
      ValueError: as in `load`; or another data set lies there already.
    """
    from gentoolkit.data import preparation

    output = _locate.output(data_dir, output_dir, dataset="CelebA")
    sources = {
        split: (lambda split=split: load(split, data_dir=data_dir, size=size, center_crop=center_crop))
        for split in SPLITS
    }
    return preparation.prepare(sources, output, name=f"celeb_a_{center_crop}_to_{size}")
