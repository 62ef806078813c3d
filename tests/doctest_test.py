"""The examples in docstrings, run as they stand."""

import doctest
import importlib
import pkgutil

import pytest

import gentoolkit

_MODULES = [name for _, name, _ in pkgutil.walk_packages(gentoolkit.__path__, "gentoolkit.")]


def _examples():
    finder = doctest.DocTestFinder()
    for name in _MODULES:
        yield from (test for test in finder.find(importlib.import_module(name), name) if test.examples)


EXAMPLES = {test.name: test for test in _examples()}


def test_there_are_some_twenty():
    assert len(EXAMPLES) >= 20


@pytest.mark.fast
@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_gives_what_it_says(name):
    output = []
    failed = doctest.DocTestRunner(verbose=False).run(EXAMPLES[name], out=output.append).failed
    assert not failed, "".join(output)
