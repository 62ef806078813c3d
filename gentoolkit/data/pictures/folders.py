"""The photographs of a folder, and what else lies in it."""

import pathlib
from collections import Counter
from collections.abc import Sequence

from gentoolkit.data.pictures import files


def listed(folder: pathlib.Path, suffixes: Sequence[str]) -> tuple[list[pathlib.Path], str]:
    """Returns the files of a folder whose names end as photographs do, sorted, and a line about what is passed over.

    Args:
      folder: of which the folders below it, and files whose names begin with a dot, are passed over.
      suffixes: of photographs, in small letters with their dot.

    Returns:
      The files, of which some may not be readable; and the line, "" where there is nothing else.

    Raises:
      OSError: the folder cannot be read.
    """
    named, others = [], Counter[str]()
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            others["folder"] += 1
        elif path.suffix.lower() in suffixes and path.name[0] != "." and (path.is_file() or path.is_symlink()):
            named.append(path)
        else:
            others[path.suffix.lower() or "no suffix"] += 1
    folders = others.pop("folder", 0)
    rest = [f"{folders} folder{'s' if folders > 1 else ''}"] if folders else []
    if others:
        count = sum(others.values())
        kinds = ", ".join(files.shown(name) for name, _ in others.most_common(5))
        rest.append(f"{count} file{'s' if count > 1 else ''} of other kinds ({kinds})")
    return named, f"Passed over in {files.shown(folder)}: {' and '.join(rest)}." if rest else ""
