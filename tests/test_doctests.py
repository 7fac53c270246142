"""The examples in docstrings give what they say."""

import doctest
import importlib
import pkgutil

import pytest

import HiggsML

MODULES = ["HiggsML"] + [
    module.name for module in pkgutil.walk_packages(HiggsML.__path__, "HiggsML.")
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_a_module(name):
    result = doctest.testmod(importlib.import_module(name))
    assert result.failed == 0


def test_there_are_examples():
    finder = doctest.DocTestFinder()
    tests = [t for name in MODULES for t in finder.find(importlib.import_module(name))]
    assert sum(bool(test.examples) for test in tests) >= 10
