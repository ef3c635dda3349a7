"""Whatever the user gets wrong in `jaxscale fit` is one line, and leaves no file behind."""

import pytest

from cli.tables_of_runs import columns_of, simulated, write_table

pytest.importorskip("typer")
pytest.importorskip("pandas")

NAMES = ("E", "A", "B", "alpha", "beta")


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    """A folder of its own with a table of 60 runs."""
    monkeypatch.chdir(tmp_path)
    write_table("runs.csv", columns_of(simulated()))


@pytest.mark.parametrize(
    ("typed", "answer"),
    [
        (("nowhere.csv",), "cannot read the runs 'nowhere.csv': No such file or directory"),
        (("runs.xlsx",), "runs.xlsx: a spreadsheet or an archive, not a table in text or Parquet"),
        (("broken.jsonl",), "broken.jsonl: line 2: not JSON: "),
        (("folder.csv",), "cannot read the runs 'folder.csv'"),
        (("empty.csv",), "empty.csv: empty; a header line and rows are expected"),
        (("broken.csv",), "broken.csv: bad rows: 1 of 2 (line 3: loss is missing"),
        (("broken.parquet",), "broken.parquet: no Parquet file"),
        (("few.csv",), "few.csv: 2 runs of different sizes cannot tell 5 coefficients"),
        (("runs.csv", "--params", "N"), "no column 'N' for params"),
        (("runs.csv", "--tokens", "token"), "did you mean 'tokens'?"),
        (("runs.csv", "--group", "run"), "no column 'run' for group"),
        (("runs.csv", "--weights", "w"), "no column 'w' for weights"),
        (("zero.csv", "--weights", "w"), "--weights: the weight of every run is 0"),
        (("zero.csv", "--group", "g"), "--group: all runs are of one group"),
        (("runs.csv", "--where", "loss >"), "where='loss >' fails"),
        (("runs.csv", "--where", "loss < 0"), "holds for none of 60 rows"),
        (("runs.csv", "--params-unit", "0"), "--params-unit: '0' must be greater than zero"),
        (("runs.csv", "--tokens-unit", "x"), "--tokens-unit: 'x' is not a number"),
        (
            ("runs.csv", "--loss-unit", "bit"),
            "--loss-unit: 'bit' is unknown (did you mean bits or bits-per-byte?)",
        ),
        (("runs.csv", "--loss-unit", "bits-per-byte"), "--bytes-per-token goes with --loss-unit"),
        (("runs.csv", "--bytes-per-token", "4"), "--bytes-per-token goes with --loss-unit"),
        (("runs.csv", "--tokens", "params / (6 * N)"), "fails: no column 'N'"),
        (("runs.csv", "--objective", "hubr"), "did you mean huber?"),
        (("runs.csv", "--objective", "squared", "--delta", "1"), "--delta belongs to huber and"),
        (("runs.csv", "--delta", "-1"), "--delta: '-1' must not be negative"),
        (("runs.csv", "--fix", "E"), "--fix: 'E' is not NAME=VALUE of a coefficient"),
        (("runs.csv", "--fix", "gamma=1"), "--fix: 'gamma=1' is not NAME=VALUE"),
        (("runs.csv", "--fix", "E=x"), "--fix: E: 'x' is not a number"),
        (("runs.csv", "--fix", "E=0"), "--fix: E: '0' must be greater than zero"),
        (("runs.csv", "--fix", "E=1", "--fix", "e=2"), "--fix: 'e=2' is given twice"),
        (
            ("runs.csv", "--fix", "beta=.3", "--tie", "alpha=beta"),
            "--fix can hold none of what --tie",
        ),
        (
            ("runs.csv", "--tie", "alpha=gamma"),
            "--tie: 'alpha=gamma' is not a pair of coefficients",
        ),
        (("runs.csv", "--tie", "A=alpha"), "are not all positive"),
        (
            ("runs.csv", *(f"--fix={name}=1" for name in NAMES)),
            "--fix: all coefficients are held",
        ),
        (("runs.csv", "--fix", "E=3.9"), "--fix: E=3.9 is not below the least loss"),
        (("runs.csv", "--fix", "alpha=1e9"), "--fix: no law with these values comes near"),
        (("runs.csv", "--params-unit", "1e99"), "are not counts: see --params-unit"),
        (("runs.csv", "--starts", "hofmann"), "--starts: 'hofmann' is unknown (did you mean hoff"),
        (("runs.csv", "--bootstrap", "1"), "--bootstrap: one resample has no spread"),
        (("runs.csv", "--bootstrap", "1T"), "--bootstrap: at most 1,000,000"),
        (("runs.csv", "--bootstrap", "some"), "--bootstrap: 'some' is not a number"),
        (("runs.csv", "--seed", "-1"), "--seed: '-1' must not be negative"),
        (
            ("runs.csv", "--law", "chinchila"),
            "no family 'chinchila' (did you mean Chinchilla?)",
        ),
        (("runs.csv", "--law", "Kaplann"), "no family 'Kaplann' (did you mean Kaplan?)"),
        (("runs.csv", "--law", "besiroglu2024"), "--beside puts a published law next to the fit"),
        (("runs.csv", "--law", "no.py:Own"), "--law: no Python file 'no.py'"),
        (("runs.csv", "--law", "Kumar"), "no column 'bits' for bits"),
        (("runs.csv", "--beside", "besiroglu"), "--beside: unknown law 'besiroglu' (did you mean"),
        (("runs.csv", "--beside", "kaplan2020"), "--beside: kaplan2020 has no E, A, B, alpha"),
        (("runs.csv", "--beside", "other.json"), "--beside: other.json: no fit that can be read"),
        (("runs.csv", "--output", "fit.txt"), "--output: 'fit.txt' must end in .json"),
        (("runs.csv", "--output", ""), "--output: '' is empty"),
        (("runs.csv", "--output", "no/fit.json"), "lies in a folder that does not exist"),
        (("runs.csv", "--output", "other.json"), "--output: 'other.json' exists and is not a fit"),
        (("runs.csv", "--pictures", ""), "--pictures: '' is empty"),
        (("runs.csv", "--pictures", "no/"), "--pictures: 'no/' is no folder"),
        (("runs.csv", "--pictures", "no/a"), "lies in a folder that does not exist"),
        (("runs.csv", "--pictures", "a.gif"), "must end in .pdf, .png, .svg"),
        (("runs.csv", "--pictures", "a", "--no-pictures"), "either --pictures or --no-pictures"),
        ((), "missing argument"),
    ],
    ids=lambda value: ascii(" ".join(value)) if isinstance(value, tuple) else "",
)
def test_a_mistake_is_one_line_and_exit_code_2(command, tmp_path, typed, answer):
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "broken.csv").write_text("params,tokens,loss\n1e9,2e10,2.5\n1e9,2e10,nan\n")
    (tmp_path / "broken.parquet").write_text("PAR1")
    (tmp_path / "broken.jsonl").write_text('{"params": 1e9}\n{"params": 1e9\n')
    (tmp_path / "runs.xlsx").write_bytes(b"PK\x03\x04")
    (tmp_path / "few.csv").write_text("params,tokens,loss\n1e9,2e10,2.5\n1e9,3e10,2.4\n")
    (tmp_path / "other.json").write_text('{"name": "a package"}')
    write_table("zero.csv", {**columns_of(simulated()), "w": [0] * 60, "g": ["a"] * 60})
    before = sorted(path.name for path in tmp_path.iterdir())
    code, out, err = command("fit", *typed)
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert answer.lower() in err.lower()
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_malformed_files_are_one_line_from_every_command(command, tmp_path):
    (tmp_path / "bad.json").write_text('{"format": "jaxscale fit 1", "law": {"E": "x"}}')
    (tmp_path / "spec.toml").write_text(
        "[axes]\nloss_nats_per_token = [2.2, 2.3]\n"
        "[fixed]\nlaw = 'bad.json'\ninference_tokens = 1e12\n"
    )
    for arguments in (
        ("plan", "--loss", "2", "--inference-tokens", "1T", "--law", "bad.json"),
        ("estimate", "--params", "1B", "--compute-optimal", "--law", "bad.json"),
        ("laws", "bad.json"),
        ("sweep", "spec.toml"),
    ):
        code, out, err = command(*arguments)
        assert (code, out) == (2, "")
        assert len(err.splitlines()) == 1
        assert "bad.json: ranges is missing" in err
