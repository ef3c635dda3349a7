"""Runs with levers: how they are read, selected and refused."""

from dataclasses import replace

import jax
import numpy as np
import pandas as pd
import pytest

import jaxscale as js
from jaxscale.fitting.runs import checked

TEXT = """params,tokens,loss,unique_tokens,sparsity
1e9,2e10,2.5,1B,0
2e9,4e10,2.25,2.5e10,0.5
3e9,8e10,2.125,40000000000,-1
"""
UNIQUE, SPARSITY = [1e9, 2.5e10, 4e10], [0.0, 0.5, -1.0]
BOTH = ("unique_tokens", "sparsity")


@pytest.fixture
def read(tmp_path):
    """Reads runs from the text of a CSV file."""

    def from_text(text, **how):
        path = tmp_path / "runs.csv"
        path.write_text(text)
        return js.Runs.read(path, **how)

    return from_text


def runs(**levers):
    return js.Runs(np.ones(3), np.ones(3), np.ones(3), levers=levers)


def test_levers_are_columns_by_their_names(read):
    found = read(TEXT, levers=BOTH)
    assert list(found.levers) == list(BOTH)
    np.testing.assert_array_equal(found.levers["unique_tokens"], UNIQUE)
    np.testing.assert_array_equal(found.levers["sparsity"], SPARSITY)
    assert read(TEXT).levers is None


def test_levers_of_frames_and_of_parquet_files_are_read_alike(tmp_path):
    columns = {name: [1.0, 2.0, 3.0] for name in ("params", "tokens", "loss")}
    frame = pd.DataFrame(columns | {"unique_tokens": UNIQUE, "sparsity": SPARSITY})
    frame.to_parquet(tmp_path / "runs.parquet")
    for found in (
        js.Runs.from_dataframe(frame, levers=BOTH),
        js.Runs.read(tmp_path / "runs.parquet", levers=BOTH),
    ):
        np.testing.assert_array_equal(found.levers["unique_tokens"], UNIQUE)
        np.testing.assert_array_equal(found.levers["sparsity"], SPARSITY)


def test_units_of_params_and_tokens_are_not_those_of_levers(read):
    found = read(TEXT.replace("1B", "1e9"), levers=BOTH, tokens_unit=1e9, loss_unit="bits")
    np.testing.assert_array_equal(found.levers["unique_tokens"], UNIQUE)


def test_rows_are_selected_with_their_levers(read):
    found = read(TEXT, levers=BOTH, where="loss < 2.4").select(np.array([False, True]))
    np.testing.assert_array_equal(found.levers["unique_tokens"], UNIQUE[2:])
    assert len(found) == 1


def test_runs_with_levers_are_a_pytree():
    doubled = jax.tree.map(lambda x: 2 * x, runs(x=np.arange(3.0)))
    np.testing.assert_array_equal(doubled.levers["x"], [0, 2, 4])


@pytest.mark.parametrize(
    ("text", "levers", "message"),
    [
        (
            TEXT,
            ("unique_token",),
            r"no column 'unique_token' .*mean 'unique_tokens'\?",
        ),
        (TEXT.replace("1B", "many"), BOTH, "line 2: unique_tokens is 'many', not a plain number"),
        (TEXT.replace("1B", ""), BOTH, "line 2: unique_tokens is missing"),
        (TEXT.replace("1B", "1e400"), BOTH, "line 2: unique_tokens is '1e400', not finite"),
        (TEXT, "sparsity", "levers must be different names of levers; got 'sparsity'"),
        (TEXT, ("sparsity", "sparsity"), "levers must be different names"),
        (TEXT, ("tokens",), "levers must be different names"),
    ],
)
def test_bad_levers_of_a_table_are_named(read, text, levers, message):
    with pytest.raises(ValueError, match=message):
        read(text, levers=levers)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"x": np.ones(2)}, r"one length, .* levers\['x'\] 2"),
        ({"x": np.ones((3, 1))}, r"levers\['x'\] must have one dimension"),
        ({"x": ["a", "b", "c"]}, r"levers\['x'\] must be numbers"),
        ({"x": [0.0, np.inf, np.nan]}, r"levers\['x'\] must be finite; got inf in row 2, nan in"),
        ([1.0, 2.0, 3.0], "levers must be a dict of columns by name"),
    ],
)
def test_bad_levers_of_runs_are_named(given, message):
    with pytest.raises((TypeError, ValueError), match=message):
        checked(replace(runs(), levers=given))


def test_good_levers_become_float64_columns():
    found = checked(runs(x=[0, -1, 2]), levers=("x",))
    assert found.levers["x"].dtype == np.float64
    np.testing.assert_array_equal(found.levers["x"], [0, -1, 2])


def test_rules_for_a_loss_are_its_own():
    below = replace(runs(), loss=np.array([-1.0, 0.0, 2.0]))
    np.testing.assert_array_equal(checked(below, positive_loss=False).loss, [-1, 0, 2])
    with pytest.raises(ValueError, match=r"runs.loss must be finite and above 0; got -1 in row 1"):
        checked(below)
    with pytest.raises(ValueError, match=r"runs.loss must be finite; got nan in row 1"):
        checked(replace(below, loss=np.array([np.nan, 1, 1])), positive_loss=False)
