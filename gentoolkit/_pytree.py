"""Frozen dataclasses as pytrees whose structures differ where their classes do."""

import dataclasses
from collections.abc import Iterable
from typing import Any, TypeVar

import jax

_T = TypeVar("_T")


def register(cls: type[_T]) -> type[_T]:
    """Class decorator: the fields of a frozen dataclass are children, those with metadata `static` are structure.

    It stands for `jax.tree_util.register_dataclass`, under which two structures are equal whenever they have as many
    fields, whatever their classes (jax 0.10.2). Only their hashes differ, of which a table of compiled functions
    compares a few bits first: in one process of some ten to fifty, a function that was compiled for one class is called
    with the other. Structures of nodes with functions of their own are compared by class.
    """
    fields = dataclasses.fields(cls)  # type: ignore[arg-type]
    children = tuple(field.name for field in fields if not field.metadata.get("static"))
    static = tuple(field.name for field in fields if field.metadata.get("static"))

    def flatten(node: Any) -> tuple[tuple, tuple]:
        return tuple(getattr(node, name) for name in children), tuple(getattr(node, name) for name in static)

    def flatten_with_keys(node: Any) -> tuple[tuple, tuple]:
        values, structure = flatten(node)
        keys = (jax.tree_util.GetAttrKey(name) for name in children)
        return tuple(zip(keys, values, strict=True)), structure

    def unflatten(structure: tuple, values: Iterable) -> Any:
        return cls(**dict(zip(children, values, strict=True)), **dict(zip(static, structure, strict=True)))

    jax.tree_util.register_pytree_with_keys(cls, flatten_with_keys, unflatten, flatten)
    return cls
