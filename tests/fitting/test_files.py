"""Runs from files of every kind, with numbers as people write them: the same runs each time."""

import gzip
import io
import json
import math
import warnings

import numpy as np
import pandas as pd
import pytest

import jaxscale as js
from jaxscale.fitting import Suspicion

COLUMNS = ("params", "tokens", "loss")


def read(source, **how):
    """The runs, whatever is suspected of them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Suspicion)
        return js.Runs.read(source, **how)


def from_frame(frame, **how):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Suspicion)
        return js.Runs.from_dataframe(frame, **how)


def random_frame(rng, rows=12):
    """Sizes of four digits times a power of ten, and losses with five decimals."""
    sizes = rng.integers(1000, 10000, (2, rows)) * 10 ** rng.integers(3, 8, (2, rows))
    losses = rng.integers(150_000, 999_999, rows) / 1e5
    return pd.DataFrame(dict(zip(COLUMNS, (*sizes, losses), strict=True)))


def check_same(runs, frame):
    for name in COLUMNS:
        np.testing.assert_array_equal(getattr(runs, name), frame[name].astype(float))


# --- Formats ---------------------------------------------------------------------------------


def text_of(frame, **how):
    return frame.to_csv(index=False, **how)


def nested(frame):
    """As trackers export runs."""
    return [
        {
            "name": f"run {at}",
            "config": {"params": p, "data": {"tokens": d}},
            "summary": {"loss": x},
        }
        for at, (p, d, x) in enumerate(frame.itertuples(index=False))
    ]


NESTED = {"params": "config.params", "tokens": "config.data.tokens", "loss": "summary.loss"}
FORMATS = {
    "commas": text_of,
    "an index": lambda frame: frame.to_csv(),
    "tabs": lambda frame: text_of(frame, sep="\t"),
    "tabs and decimal commas": lambda frame: text_of(frame, sep="\t", decimal=","),
    "semicolons": lambda frame: text_of(frame, sep=";"),
    "semicolons and decimal commas": lambda frame: text_of(frame, sep=";", decimal=","),
    "bars": lambda frame: text_of(frame, sep="|"),
    "spaces": lambda frame: frame.to_string(index=False),
    "Markdown": lambda frame: markdown(frame),
    "quotes": lambda frame: text_of(frame, quoting=1),
    "line ends of Windows": lambda frame: text_of(frame, lineterminator="\r\n"),
    "comments": lambda frame: "# exported\n" + text_of(frame) + "# the end\n",
    "NumPy": lambda frame: numpy_text(frame),
    "records": lambda frame: frame.to_json(orient="records", double_precision=15),
    "columns": lambda frame: frame.to_json(orient="columns", double_precision=15),
    "index": lambda frame: frame.to_json(orient="index", double_precision=15),
    "split": lambda frame: frame.to_json(orient="split", double_precision=15),
    "table": lambda frame: frame.to_json(orient="table", double_precision=15),
    "lists": lambda frame: json.dumps(frame.to_dict(orient="list")),
    "rows": lambda frame: json.dumps([COLUMNS, *frame.values.tolist()]),
    "JSON lines": lambda frame: frame.to_json(orient="records", lines=True, double_precision=15),
    "a key": lambda frame: json.dumps({"count": 12, "runs": frame.to_dict(orient="records")}),
    "a key in a key": lambda frame: json.dumps({"data": {"runs": frame.to_dict("records")}}),
    "by run": lambda frame: frame.set_index("run " + frame.index.astype(str)).to_json(
        orient="index", double_precision=15
    ),
}


def markdown(frame):
    rows = [COLUMNS, ["---:"] * 3, *frame.astype(str).values]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def numpy_text(frame):
    file = io.StringIO()
    np.savetxt(file, frame, delimiter=",", header=",".join(COLUMNS), fmt="%.17g")
    return file.getvalue()


@pytest.mark.parametrize("form", list(FORMATS))
def test_a_table_in_any_form_is_the_same_runs(form, rng, tmp_path):
    frame = random_frame(rng)
    content = FORMATS[form](frame).encode()
    path = tmp_path / "runs.txt"
    for data in (content, gzip.compress(content), content.decode().encode("utf-16")):
        path.write_bytes(data)
        check_same(read(path), frame)


@pytest.mark.parametrize("compression", [None, "snappy", "gzip"])
def test_parquet_is_known_by_its_content(compression, rng, tmp_path):
    frame, path = random_frame(rng), tmp_path / "runs.csv"
    frame.to_parquet(path, compression=compression)
    check_same(read(path), frame)
    path.write_bytes(gzip.compress(path.read_bytes()))
    check_same(read(path), frame)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_encodings_are_told_from_the_content(encoding, rng, tmp_path):
    frame = random_frame(rng).rename(columns={"loss": "perte à la fin"})
    (tmp_path / "runs.csv").write_bytes(text_of(frame).encode(encoding))
    runs = read(tmp_path / "runs.csv", loss="perte à la fin")
    check_same(runs, frame.rename(columns={"perte à la fin": "loss"}))


@pytest.mark.parametrize("lines", [False, True])
def test_nested_json_has_columns_with_dots(lines, rng, tmp_path):
    frame = random_frame(rng)
    records = nested(frame)
    text = "\n\n".join(map(json.dumps, records)) if lines else json.dumps(records)
    (tmp_path / "runs").write_text(text)
    runs = read(tmp_path / "runs", **NESTED, group="name")
    check_same(runs, frame)
    assert runs.group[3] == "run 3"
    records[4]["summary"]["loss"] = None
    (tmp_path / "runs").write_text("\n\n".join(map(json.dumps, records)))
    with pytest.raises(ValueError, match=r"\(line 9: summary.loss is missing\); leave them out by"):
        read(tmp_path / "runs", **NESTED)


def test_open_files_and_standard_input_are_read(rng, tmp_path, monkeypatch):
    frame = random_frame(rng)
    text = text_of(frame)
    check_same(read(io.StringIO(text)), frame)
    check_same(read(io.BytesIO(text.encode())), frame)
    (tmp_path / "runs.csv").write_text(text)
    with open(tmp_path / "runs.csv") as file:
        check_same(read(file), frame)
    data = io.BytesIO(gzip.compress(text.encode()))
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(data))
    check_same(read("-"), frame)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"a,b\n1\n")))
    with pytest.raises(ValueError, match=r"^standard input: bad rows: 1 of 1"):
        read("-")


def test_comments_do_not_move_the_lines_of_others(tmp_path):
    text = '# one\nparams,tokens,loss,note\n1,2,3,"two\n# lines"\n#\n #x\n1,2,oops,\n'
    (tmp_path / "runs.csv").write_text(text)
    with pytest.raises(ValueError, match=r"bad rows: 1 of 2 \(line 7: loss is 'oops'"):
        read(tmp_path / "runs.csv")
    (tmp_path / "runs.csv").write_text("params,tokens,loss\n1,2,3\n#1,2,4\n#N/A,2,4\n")
    with pytest.raises(ValueError, match=r"bad rows: 1 of 2 \(line 4: params is missing\)"):
        read(tmp_path / "runs.csv")


def test_rows_that_are_commented_out_are_named(tmp_path):
    (tmp_path / "runs.csv").write_text("params,tokens,loss\n1,2,3\n#1,2,4\n2,2,4\n# 2,3,4\n# x\n")
    with pytest.warns(Suspicion, match=r"2 of them may be rows \(line 3, 5\)"):
        assert len(js.Runs.read(tmp_path / "runs.csv")) == 2


NO_TABLE = {
    "a spreadsheet": (b"PK\x03\x04...", "a spreadsheet or an archive, .* save it as CSV, or pass"),
    "broken gzip": (gzip.compress(b"a,b\n1,2\n")[:-9], "broken gzip: "),
    "broken Parquet": (b"PAR1 and no more", "no Parquet file: "),
    "Latin-1": ("params,tokens,größe\n".encode("latin-1"), "line 1: not UTF-8 text"),
    "half of UTF-16": ("params\n".encode("utf-16")[:-1], "line 1: not UTF-16.* text"),
    "binary": (b"par\0ams", "line 1: a null character"),
    "broken JSON": (b'[{"params": 1,\n "tokens"}]', "line 2: not JSON: "),
    "a broken line": (b'{"a": 1}\n\n{"a": 1\n', "line 3: not JSON: "),
    "a line of a list": (b'{"a": 1}\n[1]\n', "line 2: not a JSON object"),
    "columns of different lengths": (b'{"a": [1], "b": [1, 2]}', "no table: a list of objects"),
    "JSON of numbers": (b"[1, 2]", "no table: a list of objects"),
    "an empty list": (b"[]", "no table: a list of objects"),
}


@pytest.mark.parametrize("name", list(NO_TABLE))
def test_what_holds_no_table_is_refused_with_its_line(name, tmp_path):
    content, message = NO_TABLE[name]
    (tmp_path / "runs.csv").write_bytes(content)
    with pytest.raises(ValueError, match=f"runs.csv: {message}") as caught:
        read(tmp_path / "runs.csv")
    assert "\n" not in str(caught.value)


# --- Exports with a column a run ---------------------------------------------------------------


def wide(frame, metric="train/loss"):
    """As Weights & Biases exports a chart."""
    columns = {"tokens": frame["tokens"]}
    for at, row in enumerate(frame.itertuples()):
        name = f"gpt-{row.params // 1000}k - lr 1e-3 - {metric}"
        values = [None] * len(frame)
        values[at] = row.loss
        columns |= {name: values, f"{name}__MIN": 0, f"{name}__MAX": 9}
    return pd.DataFrame(columns)


def test_an_export_with_a_column_a_run_gets_a_row_a_run(rng, tmp_path):
    frame = random_frame(rng).drop_duplicates("params")
    path = tmp_path / "wandb.csv"
    wide(frame).to_csv(path, index=False)
    asked = {"params": "number(run)", "loss": "train/loss", "group": "run"}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        runs = js.Runs.read(path, **asked)
    (remark,) = (each.message for each in caught if each.message.about == "a column a run")
    assert "have a column each: read as a row for each run and tokens; the" in remark.sentence
    check_same(runs, frame)
    assert runs.group[0] == f"gpt-{frame.params.iloc[0] // 1000}k - lr 1e-3"
    with pytest.raises(
        ValueError, match=r"no column 'loss' .*; the columns are tokens, run, train"
    ):
        read(path, params="number(run)")
    check_same(from_frame(frame), frame)
    text = path.read_text().splitlines()
    text[3] = text[3].replace(str(frame.loss.iloc[2]), "oops")
    path.write_text("\n".join(text))
    with pytest.raises(ValueError, match=r"line 4: train/loss is 'oops'"):
        read(path, **asked)


def test_columns_of_runs_that_are_asked_for_stay_as_they_are(tmp_path):
    frame = pd.DataFrame({"a - params": [1e8], "a - tokens": [2e9], "b - loss": [3.0]})
    names = {"params": "a - params", "tokens": "a - tokens", "loss": "b - loss"}
    assert js.Runs.from_dataframe(frame, **names).loss == [3]


# --- Numbers -----------------------------------------------------------------------------------

SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def power_of_ten(n, times, raised):
    digits = str(n)
    return f"{digits[0]}.{digits[1:4]}{times}10{raised(str(len(digits) - 1))}"


STYLES = {
    "plain": str,
    "commas": "{:,}".format,
    "underscores": "{:_}".format,
    "spaces": lambda n: f"{n:,}".replace(",", " "),
    "thin spaces": lambda n: f"{n:,}".replace(",", "\u2009"),
    "no-break spaces": lambda n: f"{n:,}".replace(",", "\u202f"),
    "apostrophes": lambda n: f"{n:,}".replace(",", "'"),
    "exponents": lambda n: f"{n:.3e}",
    "x10^": lambda n: power_of_ten(n, "x", "^{}".format),
    "times": lambda n: power_of_ten(n, " \N{MULTIPLICATION SIGN} ", "^{}".format),
    "superscripts": lambda n: power_of_ten(
        n, "\N{MULTIPLICATION SIGN}", lambda power: power.translate(SUPERSCRIPTS)
    ),
    "dots": lambda n: power_of_ten(n, "\N{MIDDLE DOT}", "^{}".format),
    "LaTeX": lambda n: power_of_ten(n, "*", lambda power: f"^{{{power}}}"),
    "M": lambda n: f"{n / 1e6}M" if n < 1e16 else str(n),
    "b": lambda n: f"{n // 10**3 / 1e6} b",
}


@pytest.mark.parametrize("style", list(STYLES))
def test_numbers_are_read_as_people_write_them(style, rng):
    frame = random_frame(rng)
    said = frame.assign(**{name: frame[name].map(STYLES[style]) for name in ("params", "tokens")})
    check_same(read(io.StringIO(text_of(said))), frame)
    check_same(read(io.StringIO(text_of(said, sep="\t"))), frame)
    check_same(read(io.StringIO(said.to_json(orient="records", double_precision=15))), frame)
    # And where commas are decimal, points separate thousands.
    swapped = said.assign(loss=frame["loss"].map(repr)).map(
        lambda text: text.translate(str.maketrans(".,", ",."))
    )
    check_same(read(io.StringIO(text_of(swapped, sep=";"))), frame)


@pytest.mark.parametrize("style", list(STYLES))
def test_options_read_the_same_numbers(style, rng):
    from jaxscale._written import positive

    for n in random_frame(rng)["params"]:
        assert positive(STYLES[style](int(n))) == n


MARKS = {
    # header;row per line, and the losses or what is wrong
    "the column says comma": ("params;tokens;loss\n1;2;2,345\n1;3;2,5\n", [2.345, 2.5]),
    "the separator says comma": ("params;tokens;loss\n1;2;2,345\n1;3;3,456\n", [2.345, 3.456]),
    "the file says comma": ('params,tokens,loss\n"1,5",2,"2,345"\n1,3,"3,456"\n', [2.345, 3.456]),
    "points are points": ("params,tokens,loss\n1,2,2.345\n1,3,3.456\n", [2.345, 3.456]),
    "points with semicolons": ("params;tokens;loss\n1;2;2.34\n1;3;3.456\n", [2.34, 3.456]),
    "nobody says": (
        'params,tokens,loss\n1,2,"2,345"\n',
        r"line 2: loss is '2,345', which may be 2345 or 2.345: write it without",
    ),
    "thousands of nats": (
        'params,tokens,loss\n1.5,2,"2,345"\n',
        r"line 2: loss is '2,345', which may be 2345 or 2.345",
    ),
    "points among commas": (
        "params;tokens;loss\n1;2;2,34\n1;3;3,45\n1;4;4.56\n",
        r"line 4: loss is '4.56', not a plain number: it has a decimal point, where others have c",
    ),
    "two ways in one file": (
        'params;tokens;loss;a;b\n1;2;2.345;"1,25";2.5\n',
        r"loss is '2.345', which may be 2.345 or 2345",
    ),
    "points in a file of commas": (
        "params;tokens;loss\n1,25;2;2.345\n",
        r"loss is '2.345', which may be 2345 or 2.345",
    ),
    "a comma in a file of points": (
        'params,tokens,loss\n"1,00",2e9,2.5\n200,2e9,2.6\n300,1.5,2.7\n',
        r"line 2: params is '1,00', not a plain number: it has a decimal comma, where others have",
    ),
    "thousands alone": (
        'params,tokens,loss\n"1,000","2,000",3\n',
        r"params is '1,000', which may be 1000 or 1",
    ),
}


@pytest.mark.parametrize("name", list(MARKS))
def test_the_decimal_mark_is_that_of_the_column_or_of_the_file(name):
    text, expected = MARKS[name]
    if isinstance(expected, str):
        with pytest.raises(ValueError, match=expected):
            read(io.StringIO(text))
    else:
        np.testing.assert_array_equal(read(io.StringIO(text)).loss, expected)


def test_a_selection_of_rows_does_not_change_what_a_cell_says():
    text = 'params,tokens,loss\n1,2,"2,345"\n1,3,"2,5"\n'
    assert read(io.StringIO(text)).loss[0] == 2.345
    assert read(io.StringIO(text), where="tokens < 3").loss == [2.345]


def test_thousands_follow_the_rest_of_the_file():
    text = 'params,tokens,loss\n"1,000","2,000",3.5\n'
    assert read(io.StringIO(text)).params == [1000]
    assert read(io.StringIO('params;tokens;loss\n"1.000";2;3,5\n')).params == [1000]


def test_conditions_see_the_numbers_and_names_stay_names():
    text = "params,tokens,loss,model,kept\n30 M,1e9,4,7B,TRUE\n60 M,2e9,3,13B,FALSE\n"
    for where in ("params > 4e7", "model == '13B'", "model > 1e10", "not kept", "30e6 < params"):
        assert read(io.StringIO(text), where=where).loss == [3]
    text = "params,tokens,loss\n30 M,0.15 B,4\n5 B,20 M,3\n"  # as words 30 is above 0.15
    assert read(io.StringIO(text), where="params > tokens").loss == [3]


# --- Expressions -------------------------------------------------------------------------------


def test_columns_are_expressions_of_others(rng):
    frame = random_frame(rng)
    table = pd.DataFrame(
        {
            "embed": frame["params"] // 4,
            "model.body": frame["params"] - frame["params"] // 4,
            "train/C": 6.0 * frame["params"] * frame["tokens"],
            "my perplexity": np.exp(frame["loss"]),
            "split": "train",
            "unique tokens (B)": frame["tokens"] / 2e9,
        }
    )
    asked = {
        "params": "embed + model.body",
        "tokens": "train/C / (6 * (embed + model.body))",
        "loss": "log(`my perplexity`)",
        "weights": "split == 'train'",
        "levers": {"unique_tokens": "1e9 * `unique tokens (B)`"},
    }
    for runs in (
        from_frame(table, **asked),
        read(io.StringIO(table.to_csv(index=False)), **asked),
    ):
        np.testing.assert_array_equal(runs.params, frame["params"])
        np.testing.assert_allclose(runs.tokens, frame["tokens"], rtol=1e-14)
        np.testing.assert_allclose(runs.loss, frame["loss"], rtol=1e-14)
        np.testing.assert_array_equal(runs.weights, 1)
        np.testing.assert_allclose(runs.levers["unique_tokens"], frame["tokens"] / 2, rtol=1e-14)


def test_units_and_numbers_in_words_hold_in_expressions():
    text = "N,C,bpb\n30 M,2.7x10^16,1.25\n60 M,1.08e17,1\n"
    how = {"params": "N", "tokens": "C/N/6", "loss": "bpb"}
    how |= {"loss_unit": "bits-per-byte", "bytes_per_token": 4.5}
    runs = read(io.StringIO(text), **how)
    np.testing.assert_allclose(runs.tokens, [1.5e8, 3e8], rtol=1e-14)
    np.testing.assert_allclose(runs.loss, np.array([1.25, 1]) * 4.5 * math.log(2), rtol=1e-15)


def test_a_column_of_exactly_that_name_comes_first():
    frame = pd.DataFrame({"N": [2.0], "a/b": [1e9], "a": [1], "b": [7], "loss": [3], "log(x)": [4]})
    runs = js.Runs.from_dataframe(frame, params="N", tokens="a/b", loss="log(x)")
    assert (runs.tokens, runs.loss) == ([1e9], [4])


EXPRESSIONS = {
    "missing": ("C / N", r"line 3: C is missing; line 4: C is 'x', not a plain number"),
    "not above 0": ("log(N / 100)", r"line 2: log\(N / 100\) is 0.0, not above 0"),
    "infinite": ("1 / (N - N)", r"line 2: 1 / \(N - N\) is inf, not finite"),
    "unknown": ("C / NN", r"tokens='C / NN' fails: no column 'NN' \(did you mean N\?\)"),
    "unknown and bare": ("C/NN", r"no column 'C/NN' for tokens"),
    "unfinished": ("C / (6 * N", r"tokens='C / \(6 \* N' fails: '\(' was never closed"),
    "words": ("name", r"line 2: name is 'a', not a plain number"),
    "words in a sum": ("name + N", r"fails: a column of words such as 'a' is not a number"),
    "Python": ("__import__('os')", r"fails: .* is not allowed"),
    "usual": ("tokens", r"no column 'tokens' for tokens \(did you mean 'D'\?\)"),
}


@pytest.mark.parametrize("name", list(EXPRESSIONS))
def test_what_is_wrong_with_an_expression_is_said_with_its_rows(name):
    text, message = EXPRESSIONS[name]
    table = "N,C,loss,name,D\n100,1e9,3,a,1\n200,,3,b,1\n300,x,3,c,1\n"
    with pytest.raises(ValueError, match=message) as caught:
        read(io.StringIO(table), params="N", tokens=text)
    assert "\n" not in str(caught.value)


def test_bytes_per_token_go_with_bits_per_byte():
    for how in ({"loss_unit": "bits-per-byte"}, {"bytes_per_token": 4}):
        with pytest.raises(ValueError, match="bytes_per_token belongs to the loss unit 'bits-per"):
            read(io.StringIO("params,tokens,loss\n1,2,3\n"), **how)


def test_flops_inside_an_expression_are_still_checked(rng):
    frame = random_frame(rng)
    flops = 6.0 * frame["params"] * frame["tokens"]
    flops[:4] *= 2
    frame = frame.assign(flops=flops)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        js.Runs.from_dataframe(frame, loss="loss + 0 * flops")
    assert "FLOPs" in [each.message.about for each in caught]


def test_sizes_are_found_in_names():
    words = pd.Series(["gpt-70M-lr1e-3", "1.5b_x", "d12 7K", "70M-20B", "none", "x70M"])
    frame = pd.DataFrame({"run": words, "params": 1.0, "tokens": 1.0, "loss": range(3, 9)})
    for which, kept in {"number(run)": 3, "number(run, 1)": 4, "number(run, 2)": 1}.items():
        found = from_frame(frame, where=f"{which} > 0", params=which)
        assert len(found) == kept
    np.testing.assert_array_equal(found.params, [2e10])


def test_a_row_of_json_that_is_longer_than_its_header_is_refused():
    text = '[["params", "tokens", "loss"], [1e9, 2e10, 3.0], [2e9, 4e10, 2.9, 7]]'
    with pytest.raises(ValueError, match=r"1 of 2 \(row 2: has 4 cells for 3 columns\)"):
        read(io.StringIO(text))
