"""The examples in docstrings give what they say, and what users call has one."""

import doctest
import importlib
import inspect
import pkgutil

import pytest

import HiggsML
from tests.doctest_names import doctest_names

MODULES = ["HiggsML"] + [
    module.name for module in pkgutil.walk_packages(HiggsML.__path__, "HiggsML.")
]

PUBLIC = [
    *("HiggsML.datasets", "HiggsML.derived_quantities", "HiggsML.systematics"),
    *("HiggsML.ingestion", "HiggsML.score", "HiggsML.visualization", "HiggsML.four_lepton"),
    "HiggsML.pseudo_experiments",
    *(name for name in MODULES if name.startswith(("HiggsML.statistics.", "HiggsML.studies."))),
]

NOT_RUN = {
    "download_dataset": "fetches gigabytes",
    "Neurips2024_public_dataset": "fetches gigabytes",
    "BlackSwan_public_dataset": "fetches gigabytes",
    "Judge": "trains two hundred trees",
    "run_study_in_processes": "starts processes that read a submission's folder",
    "library_counts": "generates two datasets and trains two hundred trees",
}
"""Whose example is only shown, and why."""


@pytest.fixture(scope="module")
def names(tmp_path_factory, make_events):
    return doctest_names(tmp_path_factory.mktemp("examples"), make_events(600))


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_a_module(name, names):
    result = doctest.testmod(importlib.import_module(name), extraglobs=names)
    assert result.failed == 0


def public_objects():
    """Functions and classes of the drop-in API and of the library, with the methods of V4."""
    for module in map(importlib.import_module, PUBLIC):
        for name in module.__all__:
            thing = getattr(module, name)
            if inspect.isfunction(thing) or inspect.isclass(thing):
                yield name, thing
            if name == "V4":
                for method, function in inspect.getmembers(thing, inspect.isfunction):
                    if not method.startswith("_"):
                        yield f"V4.{method}", function


def examples_of(thing):
    return doctest.DocTestParser().get_examples(thing.__doc__ or "")


def test_what_users_call_has_an_example():
    without = sorted(name for name, thing in public_objects() if not examples_of(thing))
    assert without == []


@pytest.mark.parametrize("name", MODULES)
def test_examples_have_a_heading(name):
    """Pages show one without as a quotation."""
    tests = doctest.DocTestFinder().find(importlib.import_module(name))
    assert [t.name for t in tests if t.examples and "Examples\n" not in t.docstring] == []


def test_examples_are_run_but_for_those_with_a_reason():
    shown = {
        name
        for name, thing in public_objects()
        if all(doctest.SKIP in example.options for example in examples_of(thing))
    }
    assert shown == set(NOT_RUN)
