"""Any folder of images."""

import os
import pathlib

import numpy as np

from gentoolkit.data._decode import Fit, Reader
from gentoolkit.data.source import ImageFiles

EXTENSIONS = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
_MAX_CHECKED = 2048


def load(
    directory: str | os.PathLike[str],
    *,
    image_shape: tuple[int, int, int],
    center_crop: int | None = None,
    fit: Fit = "exact",
    convert_channels: bool = False,
    label_by_folder: bool = False,
) -> ImageFiles:
    """Lists the images below a folder, in order of path; each is decoded when asked for.

    The headers of up to 2,048 files, evenly spaced, are checked at once; a misfit beyond these is named when it is
    read. Hidden files and links to folders are passed over. Photographs are turned upright.

    Args:
      directory: the folder.
      image_shape: `(h, w, c)` wanted, c = 1 (grey) or 3 (RGB).
      center_crop: side in pixels of the central square to cut out first, or None.
      fit: "exact" (refuse another size), "stretch" (resize to h x w) or "cover" (resize and cut off the overhang).
      convert_channels: turn grey and colour into each other, and drop transparency; otherwise refuse.
      label_by_folder: number the folders right below `directory`, in order of name; otherwise every label is 0.

    Returns:
      A source of `[h, w, c]` images.

    Raises:
      FileNotFoundError: no such folder, or no image in it.
      ValueError: an image is damaged, or needs a conversion that was not asked for; or an image lies outside every
        class folder.
    """
    reader = Reader(image_shape, center_crop, fit, convert_channels)
    root = pathlib.Path(directory).expanduser()
    if not root.is_dir():
        raise FileNotFoundError(f"{str(root)!r} is not a folder. Give the folder that holds the images.")
    found = sorted(
        os.path.relpath(os.path.join(parent, name), root)
        for parent, _, names in os.walk(root)
        for name in names
        if name.lower().endswith(EXTENSIONS) and not name.startswith(".")
    )
    if not found:
        raise FileNotFoundError(
            f"No image in {str(root)!r} or below. Files must end in one of {', '.join(EXTENSIONS)}."
        )
    paths = [root / name for name in found]
    labels = np.zeros(len(paths), np.int32)
    class_names: tuple[str, ...] = ()
    if label_by_folder:
        loose = next((name for name in found if os.sep not in name), None)
        if loose is not None:
            raise ValueError(f"{str(root / loose)!r} lies outside every class folder; label_by_folder=True needs one.")
        names, codes = np.unique([name.split(os.sep, 1)[0] for name in found], return_inverse=True)
        labels, class_names = codes.astype(np.int32), tuple(names.tolist())
    for index in np.unique(np.linspace(0, len(paths) - 1, _MAX_CHECKED).astype(int)):
        reader.check(paths[index])
    return ImageFiles(paths, labels, reader, class_names, f"{root.name} ({len(paths)} images)")
