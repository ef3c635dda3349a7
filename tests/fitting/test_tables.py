"""Tables of runs: what is read exactly, and which rows are refused by their lines."""

import inspect
import math
import sys
import warnings

import numpy as np
import pandas as pd
import pytest

from fitting.public_runs import column, table
from jaxscale.fitting import Suspicion
from jaxscale.fitting.runs import Runs
from jaxscale.fitting.tables import Reading

SEED = 20260731
PLAIN = "params,tokens,loss\n1e9,2e10,2.5\n2e9,4e10,2.25\n"
MESSY = (
    "\ufeffsize ,name, seen,nats,weight,run\r\n"
    '7B,"first,\r\nas it was",1.5T,3.5,1,a\r\n'
    "\r\n"
    "  \r\n"
    '"4.35M",second,20000000000, 2.75 ,0,b\r\n'
    ".5k,third,1E+9,2.,1e-3,NA \r\n"
)
NAMES = {"params": "size", "tokens": "seen", "loss": "nats"}


@pytest.fixture
def read(tmp_path):
    """Reads runs from the text of a CSV file."""

    def from_text(text, **how):
        path = tmp_path / "runs.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return Runs.read(path, **how)

    return from_text


# --- What is read ----------------------------------------------------------------------------


def test_columns_are_found_by_name_and_read_to_the_last_digit(read):
    runs = read(MESSY, **NAMES, weights="weight")
    np.testing.assert_array_equal(runs.params, [7_000_000_000, 4_350_000, 500])
    np.testing.assert_array_equal(runs.tokens, [1.5e12, 2e10, 1e9])
    np.testing.assert_array_equal(runs.loss, [3.5, 2.75, 2.0])
    np.testing.assert_array_equal(runs.weights, [1, 0, 0.001])
    assert runs.group is None
    assert {runs.params.dtype, runs.loss.dtype, runs.weights.dtype} == {np.dtype(np.float64)}


def test_any_float_that_is_written_in_full_is_read_back(read):
    print("seed", SEED)
    rng = np.random.default_rng(SEED)
    sizes = np.exp(rng.uniform(-200, 200, (300, 3)))
    text = "\n".join(",".join(map(repr, row)) for row in sizes.tolist())
    with pytest.warns(Suspicion):  # nobody's sizes
        runs = read("params,tokens,loss\n" + text)
    np.testing.assert_array_equal(np.stack([runs.params, runs.tokens, runs.loss], axis=1), sizes)


def test_units_multiply(read):
    runs = read(PLAIN, params_unit=1e6, tokens_unit=1e9, loss_unit="bits")
    np.testing.assert_array_equal(runs.params, [1e15, 2e15])
    np.testing.assert_array_equal(runs.tokens, [2e19, 4e19])
    np.testing.assert_allclose(runs.loss, [2.5 * math.log(2), 2.25 * math.log(2)], rtol=1e-15)


@pytest.mark.parametrize(
    ("where", "kept"),
    [
        ("nats > 2", [0, 1]),
        ("run == 'b'", [1]),
        ("weight == 1 or name == 'third'", [0, 2]),
        ("run != run", [2]),  # missing
        ("nats < 3 and not run == 'b'", [2]),
    ],
)
def test_where_keeps_the_rows_that_pandas_would(read, where, kept):
    runs = read(MESSY, **NAMES, where=where)
    np.testing.assert_array_equal(runs.loss, np.array([3.5, 2.75, 2.0])[kept])


def test_rows_that_where_drops_may_be_bad(read):
    runs = read("params,tokens,loss,ok\nx,1,2,0\n1,,2,0\n1,1,2,1\n", where="ok == 1")
    np.testing.assert_array_equal(runs.params, [1])


def test_labels_of_groups_stay_text_in_a_file_and_numbers_in_a_frame(read):
    text = "params,tokens,loss,run\n1,2,3,007\n1,2,4,7\n"
    np.testing.assert_array_equal(read(text, group="run").group, ["007", "7"])
    frame = pd.DataFrame({"params": [1, 1], "tokens": [2, 2], "loss": [3, 4], "run": [7, 8]})
    labels = Runs.from_dataframe(frame, group="run").group
    assert labels.dtype == np.int64
    np.testing.assert_array_equal(labels, [7, 8])


@pytest.mark.parametrize("convert", [lambda frame: frame, pd.DataFrame.convert_dtypes])
def test_frames_of_any_index_and_dtype_are_read_alike(convert):
    frame = pd.DataFrame(
        {"params": [10**18, 1, 5], "tokens": [2.0, None, 3.0], "loss": np.float32([0.1, 1, 2])},
        index=[4, 4, 4],
    ).assign(kept=pd.array([True, None, True], dtype="boolean"))
    runs = Runs.from_dataframe(convert(frame), where="kept")
    np.testing.assert_array_equal(runs.params, [1e18, 5])
    np.testing.assert_array_equal(runs.tokens, [2, 3])
    np.testing.assert_array_equal(runs.loss, np.float32([0.1, 2]).astype(np.float64))


def test_a_parquet_file_is_read_like_the_frame_in_it(tmp_path):
    frame = pd.DataFrame({"N": [7.0, 8.0], "D": [70, 80], "loss": [3.5, 3.0], "run": ["a", "b"]})
    frame.to_parquet(tmp_path / "runs.parquet")
    how = {"params": "N", "tokens": "D", "group": "run", "params_unit": 1e9}
    found = Runs.read(tmp_path / "runs.parquet", **how)
    expected = Runs.from_dataframe(frame, **how)
    for one, other in zip(vars(found).values(), vars(expected).values(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_one_set_of_defaults_serves_files_and_frames():
    keywords = inspect.signature(Runs.from_dataframe).parameters
    defaults = {name: each.default for name, each in keywords.items() if name != "frame"}
    assert defaults == vars(Reading())


def test_the_published_points_are_read_as_they_stand():
    path = table("besiroglu_2024/points.csv")
    runs = Runs.read(path, where="outlier == 0", weights="outlier", group="row")
    kept = column(path, "outlier") == 0
    assert kept.sum() == 240
    for name in ("params", "tokens", "loss"):
        np.testing.assert_array_equal(getattr(runs, name), column(path, name)[kept])


# --- Lines -----------------------------------------------------------------------------------

BAD = (
    "note,params,tokens,loss\n"
    '"two\nlines",1,2,3\n'
    "\n"
    '"a\n\nb",seven,2,3\n'
    ",1,-2,3\n"
    ",1,2,\n"
    ",0,2,x\n"
    ',"1,0,0",2,3\n'
    ",1,2,1e400\n"
    ",1__0,2,3\n"
)


def test_bad_rows_are_counted_and_the_first_named_by_line_column_and_value(read):
    with pytest.raises(ValueError) as caught:
        read(BAD)
    message = str(caught.value)
    assert message.endswith(
        "runs.csv: bad rows: 7 of 8 (line 5: params is 'seven', not a plain number; "
        "line 8: tokens is '-2', not above 0; line 9: loss is missing; "
        "line 10: params is '0', not above 0; line 11: params is '1,0,0', not a plain number; "
        "and 2 more)"
    )


def test_lines_are_those_of_the_file_after_where(read):
    text = "params,tokens,loss,kept\n1,1,1,1\n\n1,1,oops,0\n2,2,oops,1\n"
    with pytest.raises(ValueError, match=r"bad rows: 1 of 2 \(line 5: loss is 'oops'"):
        read(text, where="kept == 1")


def test_rows_of_a_frame_are_counted_from_one():
    frame = pd.DataFrame({"params": [1, 2, 3], "tokens": [1, 2, 3], "loss": [1, np.nan, -1.5]})
    message = r"bad rows: 2 of 3 \(row 2: loss is missing; row 3: loss is -1.5, not above 0\)"
    with pytest.raises(ValueError, match=message):
        Runs.from_dataframe(frame)


def test_repeated_rows_are_kept_with_a_warning_at_the_line_of_the_call(read):
    text = "params,tokens,loss\n1,2,3\n1,2,3\n1,2,4\n\n1.0,2,3\n"
    message = r"the params, tokens and loss of an earlier one: 2 \(line 3, 6\)"
    with pytest.warns(UserWarning, match=message):
        assert len(read(text)) == 4
    frame = pd.DataFrame({"params": [1, 1], "tokens": [2, 2], "loss": [3, 3]})
    with pytest.warns(UserWarning, match=r"1 \(row 2\)") as caught:
        Runs.from_dataframe(frame)
    assert caught[0].filename == __file__


def test_rows_that_differ_in_one_number_are_no_repeats(read):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read("params,tokens,loss\n1,2,3\n2,2,3\n1,3,3\n1,2,4\n")


# --- Refusals --------------------------------------------------------------------------------

# Text, keywords, and what the message says.
REFUSED = {
    "nothing": ("", {}, "runs.csv: empty; a header line and rows are expected"),
    "blank lines": ("\n \n", {}, "runs.csv: empty; a header"),
    "a header alone": ("params,tokens,loss\n", {}, "runs.csv: no rows"),
    "cells too many": (PLAIN + "1,2,3,4\n", {}, r"line 4: has 4 cells where the header has 3"),
    "cells too few": (PLAIN + "1\n", {}, "line 4: has 1 cells where the header has 3"),
    "an open quote": (PLAIN + '1,2,"3\n1,2,3\n', {}, "runs.csv: line 4: unexpected end"),
    "another encoding": (b"params,tokens,loss\n1,2,\xff\n", {}, "runs.csv: line 2: not UTF-8 text"),
    "an unknown column": (
        PLAIN,
        {"params": "param"},
        r"no column 'param' for params \(did you mean 'params'\?\); "
        "the columns are params, tokens, loss$",
    ),
    "case": (PLAIN, {"loss": "Loss"}, r"no column 'Loss' for loss \(did you mean 'loss'\?\)"),
    "unlike any": (PLAIN, {"group": "xyz"}, "no column 'xyz' for group; the columns are"),
    "no name": (PLAIN, {"params": None}, "no column None for params"),
    "a column twice": ("params,tokens,loss,loss\n1,2,3,4\n", {}, "loss needs one column 'loss'"),
    "a unit of 0": (
        PLAIN,
        {"params_unit": 0},
        "^params_unit must be a finite number above 0; got 0",
    ),
    "a unit in words": (PLAIN, {"tokens_unit": "B"}, "^tokens_unit must be .*; got 'B'"),
    "an infinite unit": (PLAIN, {"tokens_unit": math.inf}, "^tokens_unit must be .*; got inf"),
    "unit of loss": (
        PLAIN,
        {"loss_unit": "bit"},
        "^loss_unit must be one of 'nats', .*; got 'bit'",
    ),
    "too large for a unit": (PLAIN, {"params_unit": 1e300}, "params is '1e9', not finite"),
    "where of nothing": (PLAIN, {"where": "loss > 9"}, "where='loss > 9' holds for none of 2 rows"),
    "where unfinished": (PLAIN, {"where": "loss >"}, "where='loss >' fails: invalid syntax"),
    "where empty": (PLAIN, {"where": ""}, "where='' fails"),
    "where of a number": (PLAIN, {"where": "loss"}, "where='loss' must be true or false of each"),
    "where of all": (PLAIN, {"where": "loss.max() > 1"}, "must be true or false of each row"),
    "where unknown": (PLAIN, {"where": "los > 1"}, r"no column 'los' \(did you mean loss\?\); the"),
    "where of a column twice": (
        "params,tokens,loss,step,step\n1,2,3,4,5\n",
        {"where": "step > 4"},
        "where='step > 4' fails: column 'step' is there more than once",
    ),
    "where of a local": (PLAIN, {"where": "loss > @count"}, "'@' has no meaning here"),
    "where of a global": (PLAIN, {"where": "loss > LISTED"}, "no column 'LISTED'; the columns"),
    "where of words": (
        "params,tokens,loss,run\n7B,1,2,a\n",
        {"where": "run > 1"},
        "where='run > 1' fails: a column of words such as 'a' and 1 cannot be compared",
    ),
    "text for a loss": (PLAIN.replace("2.25", "2.25K"), {}, "loss is '2.25K', not a plain number"),
    "suffix and unit": (PLAIN.replace("2e9", "2B"), {"params_unit": 1e6}, "'2B', not a plain"),
    "suffix and power": (PLAIN.replace("2e9", "2e3M"), {}, "params is '2e3M', not a plain number"),
    "unknown suffix": (
        PLAIN.replace("2e9", "2bn"),
        {},
        r"line 3: params is '2bn', not a plain number; known suffixes: K, M, B, T, Q\)$",
    ),
    "infinity": (PLAIN.replace("2e9", "inf"), {}, "line 3: params is 'inf', not a plain number"),
    "no number": (PLAIN.replace("2e9", "nan"), {}, "line 3: params is missing"),
    "a negative weight": (
        "params,tokens,loss,w\n1,2,3,0\n1,2,4,-1\n",
        {"weights": "w"},
        "line 3: w is '-1', below 0",
    ),
    "no group": (
        "params,tokens,loss,run\n1,2,3,a\n1,2,4,\n",
        {"group": "run"},
        r"\(line 3: run is missing\)",
    ),
}


@pytest.mark.parametrize("cell", ["$2", "2 %", "two", "inf", "True", "2e", "1,00", "0x10"])
def test_what_is_no_number_is_refused_with_its_line(read, cell):
    with pytest.raises(ValueError, match=r"line 3: params is .*, not a plain number") as caught:
        read(PLAIN.replace("2e9", f'"{cell}"'))
    assert ("a currency or a percent sign" in str(caught.value)) == (cell[0] == "$" or "%" in cell)


@pytest.mark.parametrize("cell", ["", "-", "\u2014", "---", "NA", "#N/A", "null"])
def test_missing_cells_are_named_and_may_be_left_out(read, cell):
    text = PLAIN.replace("2.25", cell)
    advice = r"line 3: loss is missing\); leave them out by where=\"notna\(loss\)\"$"
    with pytest.raises(ValueError, match=advice):
        read(text)
    assert read(text, where="notna(loss)").loss == [2.5]


@pytest.mark.parametrize("column", ["perplexity", "val_ppl", "eval/PPL", "c4 perplexity"])
def test_perplexities_are_no_losses_until_their_unit_is_named(read, column):
    text = PLAIN.replace("loss", column)
    with pytest.raises(ValueError, match=f"column '{column}' is named for perplexities"):
        read(text, loss=column)
    runs = read(text, loss=column, loss_unit="perplexity")
    np.testing.assert_allclose(runs.loss, [math.log(2.5), math.log(2.25)], rtol=1e-15)
    with pytest.raises(ValueError, match=r"line 3: .* is '1.0', no perplexity above 1"):
        read(text.replace("2.25", "1.0"), loss=column, loss_unit="perplexity")
    read(PLAIN.replace("loss", "log_" + "ppl"), loss="log_ppl")


def test_the_best_of_each_cell_is_kept(read):
    text = (
        "params,tokens,loss,lr,bits\n"
        "1e9,2e10,2.5,1,8\n1e9,2.001e10,2.4,2,8\n1e9,2e10,2.6,3,8\n1e9,2e10,2.7,1,4\n2e9,2e10,2.3,1,8\n"
    )
    np.testing.assert_array_equal(read(text, best_of_cell=True).loss, [2.4, 2.3])
    runs = read(text, best_of_cell=True, levers=("bits",), group="lr")
    np.testing.assert_array_equal(runs.loss, [2.4, 2.7, 2.3])
    np.testing.assert_array_equal(runs.group, ["2", "1", "1"])


@pytest.mark.parametrize("name", list(REFUSED))
def test_bad_tables_are_refused_in_one_line(read, name):
    text, how, message = REFUSED[name]
    with pytest.raises(ValueError, match=message) as caught:
        read(text, **how)
    assert "\n" not in str(caught.value)


def test_what_is_no_table_is_refused(tmp_path):
    with pytest.raises(TypeError, match=r"^frame must be a pandas.DataFrame; got dict"):
        Runs.from_dataframe({"params": [1]})
    message = r"^Runs.read\(\) got an unexpected keyword argument 'param' \(did you mean params\?\)"
    with pytest.raises(TypeError, match=message):
        Runs.read(tmp_path / "runs.csv", param="N")
    with pytest.raises(FileNotFoundError):
        Runs.read(tmp_path / "none.csv")
    (tmp_path / "runs.parquet").write_text("PAR1" + PLAIN)
    with pytest.raises(ValueError, match=r"runs.parquet: no Parquet file: [^\n]+$"):
        Runs.read(tmp_path / "runs.parquet")


def test_without_pandas_a_line_says_what_to_install(monkeypatch, read):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(
        ImportError, match=r"^tables of runs need pandas: pip install 'jaxscale\[all\]'$"
    ):
        read(PLAIN)


def test_a_table_that_was_written_is_read_back(tmp_path):
    runs = Runs(
        params=np.array([1e8, 1.234567e9]),
        tokens=np.array([2e9, 3e10]),
        loss=np.array([3.2, 2.71828182845]),
        weights=np.array([1.0, 0.5]),
        group=np.array(["a", "b, c"]),
        levers={"unique_tokens": np.array([1e9, 2e9])},
    )
    runs.to_csv(tmp_path / "runs.csv")
    found = Runs.read(
        tmp_path / "runs.csv", weights="weights", group="group", levers=("unique_tokens",)
    )
    for name in ("params", "tokens", "loss", "weights"):
        np.testing.assert_allclose(getattr(found, name), getattr(runs, name), rtol=1e-11)
    assert list(found.group) == ["a", "b, c"]
    np.testing.assert_array_equal(found.levers["unique_tokens"], [1e9, 2e9])
    assert list(tmp_path.iterdir()) == [tmp_path / "runs.csv"]
