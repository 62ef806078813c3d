"""Where data files lie: the folder given, or the one the environment names; never a network."""

import os
import pathlib
from collections.abc import Sequence

ENVIRONMENT = "GENTOOLKIT_DATA"


def root(data_dir: str | os.PathLike[str] | None, *, dataset: str, argument: str = "data_dir") -> pathlib.Path:
    """Returns the data folder: `data_dir`, or else the one that `GENTOOLKIT_DATA` names.

    Args:
      data_dir: folder, or None.
      dataset: the data set's name, for the error.
      argument: what the caller calls `data_dir`, for the error.

    Returns:
      An existing folder.

    Raises:
      FileNotFoundError: neither is given, or the folder is not there.
    """
    given, origin = (data_dir, argument) if data_dir is not None else (os.environ.get(ENVIRONMENT), ENVIRONMENT)
    if not given:
        raise FileNotFoundError(
            f"{dataset}: no data folder is known. Give {argument}=..., or set the environment variable {ENVIRONMENT} "
            "to the folder that holds the data. Nothing is downloaded."
        )
    folder = pathlib.Path(given).expanduser()
    if not folder.is_dir():
        raise FileNotFoundError(f"{dataset}: {origin} = {str(folder)!r} is not a folder.")
    return folder


def candidates(folder: pathlib.Path, *names: str) -> list[pathlib.Path]:
    """Lists the places to look: each subfolder of the given names, then the folder itself."""
    return [*(folder / name for name in names), folder]


def missing(dataset: str, what: str, looked_in: Sequence[pathlib.Path], remedy: str) -> FileNotFoundError:
    """Words the error for files that are not there.

    Args:
      dataset: the data set's name.
      what: the file or files that are missing.
      looked_in: the folders that were searched.
      remedy: what to put where.

    Returns:
      The error, to be raised by the caller.
    """
    places = ", ".join(repr(str(place)) for place in looked_in)
    return FileNotFoundError(f"{dataset}: {what} not found. Looked in {places}. {remedy} Nothing is downloaded.")


def check_split(dataset: str, split: str, splits: Sequence[str]) -> None:
    """Refuses a split that the data set does not have (`ValueError`)."""
    if split not in splits:
        raise ValueError(f"{dataset}: split must be one of {', '.join(splits)}, got split = {split!r}.")


def output(
    data_dir: str | os.PathLike[str] | None, output_dir: str | os.PathLike[str] | None, *, dataset: str
) -> pathlib.Path:
    """Returns where prepared files go: `output_dir`, or else the folder `prepared` inside the data folder."""
    if output_dir is not None:
        return pathlib.Path(output_dir).expanduser()
    return root(data_dir, dataset=dataset) / "prepared"
