"""A destructor in a single .npz file: arrays and a line of JSON, no pickle."""

import json
import os
import zipfile

import jax
import jax.numpy as jnp
import numpy as np

from gentoolkit.gaussianization import rbig
from gentoolkit.gaussianization.marginal import Marginal, histogram, kernel_density, mixture, quantile

_FORMAT, _VERSION = "gentoolkit.gaussianization.Destructor", 3
_SPLINED = ("kernel_density", "quantile")  # their maps begin with a spline
_MADE_BY = {variant.__name__: variant for variant in (histogram, kernel_density, mixture, quantile)}


def save(path: str | os.PathLike, d: rbig.Destructor) -> None:
    """Writes a destructor to one .npz file, whole or not at all; host side.

    Args:
      path: of the file, its name used as it is; an older one is replaced.
      d: a destructor.

    Returns:
      Nothing.

    Raises:
      OSError: the file cannot be written.
    """
    leaves = jax.tree.leaves(d)
    header = {
        "format": _FORMAT,
        "version": _VERSION,
        "marginal": d.marginal.name,
        "options": dict(d.marginal.options),
        "num_leaves": len(leaves),
    }
    arrays = {f"leaf_{i:03d}": np.asarray(leaf) for i, leaf in enumerate(leaves)}
    arrays["header"] = np.array(json.dumps(header))
    partial = f"{os.fspath(path)}.partial"
    with open(partial, "wb") as file:
        np.savez(file, allow_pickle=False, **arrays)
    os.replace(partial, path)


def load(path: str | os.PathLike, *, marginal: Marginal | None = None) -> rbig.Destructor:
    """Reads a destructor that `save` wrote; host side.

    Args:
      path: of the file.
      marginal: the variant that fitted it; `None` makes it anew from the file, which holds for the variants of this
        package. One of your own has to be handed over.

    Returns:
      The destructor; `forward` and the others give what they gave before, bit for bit.

    Raises:
      FileNotFoundError: no such file.
      ValueError: a file that is not a destructor's, that is damaged, or of another marginal variant than the one given.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            header = json.loads(str(file["header"]))
            leaves = [file[f"leaf_{i:03d}"] for i in range(header["num_leaves"])]
    except FileNotFoundError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{os.fspath(path)} is not a destructor's file, or is damaged: {error}.") from error
    if header.get("format") == _FORMAT and header.get("version") == 2:
        leaves, header = _from_version_2(leaves, header["marginal"]), {**header, "version": _VERSION}
    if header.get("format") != _FORMAT or header.get("version") != _VERSION:
        raise ValueError(
            f"{os.fspath(path)} is of format {header.get('format')!r}, version {header.get('version')!r}; "
            f"expected {_FORMAT!r}, version {_VERSION}."
        )
    made_by, options = header["marginal"], header["options"]
    if marginal is None:
        if made_by not in _MADE_BY:
            raise ValueError(f"{os.fspath(path)} has a marginal variant of your own ({made_by!r}): pass marginal=.")
        marginal = _MADE_BY[made_by](**options)
    elif (marginal.name, dict(marginal.options)) != (made_by, options):
        raise ValueError(
            f"{os.fspath(path)} was fitted with marginal {made_by!r} and {options}, "
            f"got marginal = {marginal.name!r} and {dict(marginal.options)}."
        )
    # The arrays say everything but how they nest, and that does not depend on sizes.
    example = jax.ShapeDtypeStruct((64, 2), jnp.float32)
    like = jax.eval_shape(lambda x: rbig.fit(jax.random.key(0), x, marginal=marginal, num_layers=1), example)
    num = len(jax.tree.leaves(like))
    if num != len(leaves):
        raise ValueError(f"{os.fspath(path)} has {len(leaves)} arrays, a destructor of this marginal {num}.")
    return jax.tree.unflatten(jax.tree.structure(like), [jnp.asarray(leaf) for leaf in leaves])


def _from_version_2(leaves: list[np.ndarray], made_by: str) -> list[np.ndarray]:
    """Puts the knots in front of splines that kept them among their starts and bases alone."""
    if made_by not in _SPLINED:
        return leaves
    # Six arrays of the layers' splines, five of their tails, the rotations; then the last splines.
    first, middle, last, rest = leaves[:6], leaves[6:12], leaves[12:18], leaves[18:]

    def knots(spline):
        return [np.ascontiguousarray(spline[place][..., 1:]) for place in (0, 2)]

    return [*knots(first), *first, *middle, *knots(last), *last, *rest]
