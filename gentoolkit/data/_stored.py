"""How columns are kept in prepared files: as PNG, as a class or as plain bytes; and their fields as JSON."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from gentoolkit.data import fields as fields_lib
from gentoolkit.data.fields import Field, Image, Label, Mask


def is_png(field: Field) -> bool:
    """Whether values are kept as PNG files: pictures and masks of bytes, one in each example."""
    grey_or_colour = isinstance(field, Mask) or (isinstance(field, Image) and field.shape[2] in (1, 3))
    return grey_or_colour and field.dtype == np.uint8 and field.max_length is None


def is_class(field: Field) -> bool:
    """Whether values are kept as one integer."""
    return isinstance(field, Label) and field.shape == () and field.max_length is None


def to_json(fields: Mapping[str, Field]) -> dict[str, Any]:
    """The fields as what JSON can hold."""
    return {
        name: {"kind": type(field).__name__, **dataclasses.asdict(field), "dtype": field.dtype.name}
        for name, field in fields.items()
    }


def from_json(stored: Mapping[str, Any]) -> dict[str, Field]:
    """The fields that `to_json` was given; `KeyError` for a kind that is not of `fields`."""
    made = {}
    for name, options in stored.items():
        options = {key: tuple(value) if isinstance(value, list) else value for key, value in options.items()}
        kind = getattr(fields_lib, options.pop("kind"), None)
        if not (isinstance(kind, type) and issubclass(kind, Field)):
            raise KeyError(name)
        made[name] = kind(**options)
    return made


def decode(field: Field, value: Any) -> Any:
    """The value of an example, from what its record holds."""
    if is_png(field):
        return value[..., 0] if isinstance(field, Mask) else value
    if not isinstance(value, bytes):
        return value
    return np.frombuffer(value, field.dtype).reshape((*(() if field.max_length is None else (-1,)), *field.shape))
