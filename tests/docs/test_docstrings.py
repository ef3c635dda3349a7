"""The examples of docstrings run and print what they say, and what a user calls has one."""

import doctest
import inspect

import jax
import numpy as np
import pytest

import jaxscale as js
from public_names import documented_objects, public_names

# What a page of the reference says of all its examples.
ASSUMED = {"jax": jax, "np": np, "js": js}

# These are made by the functions that return them, or are taken by them as records.
RECORDS = {
    "architectures": ["ExactFlops"],
    "allocations": ["Step"],
    "economics": ["Checkpointing", "Energy", "MachineFacts", "Profit", "ProfitCurve", "Spot"],
    "experiments": ["Accuracy", "Replay", "Score", "Selection"],
    "exploring": ["Answer", "Asked"],
    "fitting": [
        "OptimalSizes",
        "Bootstrap",
        "Claims",
        "FitStatus",
        "GridBias",
        "Holdout",
        "Remark",
        "PowerLaw",
        "Profile",
        "Subset",
        "Suspicion",
    ],
    "laws": ["Law"],
    "published": ["Entry", "Interval"],
    "recipes": ["Recipe", "TimeAndCompute"],
    "reinforcement": ["Stop"],
    "growth": ["Schedule"],
    "training": ["DataParallelTraining"],
    "trajectories": ["Extrapolation"],
    "sweeping": ["Estimate", "StoreError", "Summary", "Verification"],
    "sweeping.spec": ["PlanScenario"],
}


def examples_of(name, value):
    """The examples in the docstring of an object, one test however many there are."""
    value = getattr(value, "__func__", value)
    docstring = inspect.getdoc(value) if callable(value) or isinstance(value, property) else None
    return doctest.DocTestParser().get_doctest(docstring or "", dict(ASSUMED), name, None, None)


PUBLIC = public_names()
TESTS = [examples_of(name, value) for name, value in documented_objects(PUBLIC)]


@pytest.mark.parametrize(
    "example", [pytest.param(test, id=test.name) for test in TESTS if test.examples]
)
@pytest.mark.usefixtures("solved_by_numpy")
def test_an_example_prints_what_it_says(example, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # some write files
    printed = []
    doctest.DocTestRunner().run(example, out=printed.append)
    assert not printed, "".join(printed)


def test_what_a_user_calls_has_an_example():
    without = {test.name for test in TESTS if test.name in PUBLIC and not test.examples}
    called = {name for name in without if callable(PUBLIC[name])}
    records = {f"jaxscale.{module}.{name}" for module, names in RECORDS.items() for name in names}
    assert called == records
