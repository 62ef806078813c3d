"""Dataclasses as pytrees: two classes are never taken for one another."""

import dataclasses
import itertools
import pathlib

import jax
import jax.numpy as jnp
import pytest

import gentoolkit
from gentoolkit import _pytree
from gentoolkit.gaussian_process import covariance

pytestmark = pytest.mark.fast


@_pytree.register
@dataclasses.dataclass(frozen=True)
class Pair:
    first: jax.Array
    second: jax.Array
    name: str = dataclasses.field(default="", metadata={"static": True})


def test_fields_are_children_and_static_ones_structure():
    pair = Pair(jnp.zeros(2), jnp.ones(3), "a")
    paths = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(pair)]
    assert paths == [".first", ".second"]
    doubled = jax.tree.map(lambda leaf: 2 * leaf, pair)
    assert doubled.name == "a" and (doubled.second == 2).all()
    assert jax.tree.structure(pair) != jax.tree.structure(dataclasses.replace(pair, name="b"))


def test_structures_of_covariances_differ_by_class():
    se, other = covariance.squared_exponential(1.0, 1.0), covariance.matern32(1.0, 1.0)
    all_of_them = [se, other, covariance.matern52(1.0, 1.0), se + other, se * other]
    for a, b in itertools.combinations(all_of_them, 2):
        assert jax.tree.structure(a) != jax.tree.structure(b), (a, b)


def test_a_compiled_function_is_found_for_its_own_class():
    # Under jax's own registration some of so many classes are given a function that was compiled for another.
    def made(number):
        cls = dataclasses.make_dataclass("Own", [("x", jax.Array)], frozen=True, namespace={"number": number})
        return _pytree.register(cls)(jnp.ones(()))

    multiplied = jax.jit(lambda own: own.number * own.x)
    all_of_them = [made(number) for number in range(64)]
    assert [int(multiplied(own)) for own in all_of_them] == list(range(64))


def test_nothing_is_registered_the_other_way():
    root = pathlib.Path(gentoolkit.__file__).parent
    others = [path for path in root.rglob("*.py") if path.name not in ("_pytree.py", "covariance.py")]
    assert not [path for path in others if "register_dataclass" in path.read_text()]
