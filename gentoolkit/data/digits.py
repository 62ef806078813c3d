"""The handwritten digits shipped inside scikit-learn: real images that need no file of the user's."""

import numpy as np

from gentoolkit.data import _locate, columns
from gentoolkit.data.columns import Columns

SPLITS = ("train", "test")
NUM_TEST = 297


def load(split: str) -> Columns:
    """Loads 1,500 training or 297 test images of digits, 8 x 8, grey.

    scikit-learn holds 17 grey levels, 0 to 16; here level v is the byte round(255 v / 16), so that 0 and 16 become 0
    and 255 and no level moves by more than 0.002 of the range. The split is ours (there is no published one): drawn
    once, always the same.

    Args:
      split: "train" or "test".

    Returns:
      A data set of `[8, 8, 1]` images, labels 0 to 9.

    Raises:
      ValueError: another split.

    References:
      Alpaydin and Kaynak, Optical recognition of handwritten digits, UCI Machine Learning Repository, 1998.
    """
    _locate.check_split("Digits", split, SPLITS)
    # A second to import, so only when asked for.
    from sklearn import datasets

    bunch = datasets.load_digits()
    images = np.rint(bunch.images * (255 / 16)).astype(np.uint8)[..., None]
    order = columns.permutation(0, 0, len(images))
    indices = np.sort(order[:NUM_TEST] if split == "test" else order[NUM_TEST:])
    return columns.images(
        images[indices],
        bunch.target[indices],
        class_names=[str(digit) for digit in range(10)],
        description=f"Digits, {split} ({len(indices)} images of 8 x 8, from scikit-learn)",
    )
