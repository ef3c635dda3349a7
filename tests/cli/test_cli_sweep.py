"""`jaxscale sweep` and its stores: what lands on disk is computed again by the public functions."""

import io
import json
import os
import shutil
import sys
import warnings
from contextlib import redirect_stdout

import jax
import numpy as np
import pytest

import jaxscale as js

pytest.importorskip("typer")
pytest.importorskip("tensorstore")
pytest.importorskip("matplotlib")
pytest.importorskip("xarray")

import xarray

from jaxscale._written import count
from jaxscale.cli import sweep as sweep_command
from jaxscale.cli.summary import show_statistics
from jaxscale.sweeping import reducers
from jaxscale.sweeping.chunks import cut
from jaxscale.sweeping.reducers import counts, effects, extremes, quantiles
from jaxscale.sweeping.reducers.results import Statistics

SPEC = """fields = ["total_cost", "params", "tokens_ratio", "cost_ratio", "params_ratio"]
[fixed]
train_on = "A100-40GB"
serve_on = "A100-40GB"
[axes]
loss_nats_per_token = {from = 1.6, to = 2.4, count = 9}
law = ["sardana2024", "besiroglu2024"]
inference_tokens = {from = 1e9, to = 1e13, count = 5, spacing = "log"}
"""
SCENARIOS = 9 * 2 * 5
DEVICE = js.accelerator("A100-40GB")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "spec.toml").write_text(SPEC)
    return tmp_path


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """What one sweep of the specification left, for all tests to copy, and what it printed."""
    folder = tmp_path_factory.mktemp("swept")
    (folder / "spec.toml").write_text(SPEC)
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(io.StringIO()) as out:
        patch.chdir(folder)
        patch.setenv("COLUMNS", "100")
        with jax.enable_x64(True):
            sweep_command.sweep("spec.toml", store="a.zarr", csv="a.csv")
    return folder, out.getvalue()


@pytest.fixture
def swept(stored, folder):
    """A folder in which the specification was swept, and what that printed."""
    source, out = stored
    shutil.copytree(source, folder, dirs_exist_ok=True)
    return folder, out


def opened(path="a.zarr"):
    with warnings.catch_warnings():  # zarr 3.1 warns of labels of a fixed length
        warnings.filterwarnings("ignore", "The data type .FixedLengthUTF32")
        return xarray.open_zarr(path, consolidated=False).load()


def expected(name, loss, tokens):
    costs = js.Costs.on(train=DEVICE, serve=DEVICE)
    return js.minimize_cost(js.laws.published(name), loss, js.Demand(tokens), costs)


def words(text):
    return " ".join(text.split())


def test_a_sweep_leaves_a_labelled_store_a_table_and_a_picture(swept):
    folder, out = swept
    data = opened()
    assert dict(data.sizes) == {"loss": 9, "law": 2, "inference_tokens": 5}
    assert data["total_cost"].attrs["units"] == "dollars"
    assert data["loss"].attrs["units"] == "nats/token"
    assert data.attrs["specification"] == SPEC
    place = data.sel(law="besiroglu2024", inference_tokens=1e11).sel(loss=2.1, method="nearest")
    plan = expected("besiroglu2024", 2.1, 1e11)
    assert float(place["params"]) == pytest.approx(float(plan.params), rel=1e-6)
    assert float(place["total_cost"]) == pytest.approx(float(plan.total_cost), rel=1e-6)
    for picture in ("a.png", "a-flops.png"):
        assert (folder / picture).read_bytes().startswith(b"\x89PNG")
    assert "Wrote a.png, a-flops.png, a.csv." in out
    assert f"{SCENARIOS} scenarios in a.zarr" in out

    # The table holds the same, scenario by scenario, and statuses by name.
    rows = np.genfromtxt(folder / "a.csv", delimiter=",", names=True, dtype=None, encoding="utf-8")
    assert rows.shape == (SCENARIOS,)
    fields = ("total_cost", "params", "tokens_ratio", "cost_ratio", "params_ratio", "status")
    assert rows.dtype.names == ("loss", "law", "inference_tokens", *fields)
    np.testing.assert_array_equal(rows["params"], data["params"].values.ravel())
    assert set(rows["status"]) == {"OK", "INFEASIBLE_LOSS"}


def test_the_summary_counts_statuses_and_takes_quantiles(swept):
    _, out = swept
    data = opened()
    bad = int((data["status"] == int(js.Status.INFEASIBLE_LOSS)).sum())
    assert f"{SCENARIOS} scenarios, {SCENARIOS - bad} of them ok." in out
    assert f"{bad} INFEASIBLE_LOSS: {js.Status.INFEASIBLE_LOSS.sentence}" in words(out)
    median = np.nanmedian(data["cost_ratio"].values)
    (line,) = [line for line in out.splitlines() if line.split()[:1] == ["cost_ratio"]]
    assert f"{median:.4g}" in line.split()


def test_a_finished_store_is_not_computed_again(swept, command, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("a chunk was computed")

    monkeypatch.setattr("jaxscale.sweeping.program.Program.launch", refuse)
    for typed in (("sweep", "spec.toml", "--store", "a.zarr"), ("resume", "a.zarr")):
        code, out, _ = command(*typed)
        assert code == 0
        assert "a.zarr was finished already: nothing was computed again." in out


def test_verify_finds_a_bad_chunk_and_computes_it_again(swept, command):
    before = opened()
    code, out, _ = command("verify", "a.zarr")
    assert (code, words(out)) == (0, "1 chunk read, all of them whole.")
    (chunk,) = (swept[0] / "a.zarr" / "params").glob("c*")
    content = bytearray(chunk.read_bytes())
    content[len(content) // 2] ^= 1
    chunk.write_bytes(content)
    code, out, _ = command("verify", "a.zarr")
    assert code == 0
    assert "1 bad: 0" in out
    assert "a.zarr is whole" in out
    assert opened().identical(before)


@pytest.mark.parametrize("name", ["zarr.json", "law/c/0", "loss/zarr.json", "status/zarr.json"])
def test_damaged_metadata_are_said_in_one_line_and_put_back(swept, command, name):
    folder, _ = swept
    before, file = opened(), folder / "a.zarr" / name
    content = file.read_bytes()
    file.write_bytes(content[:20] + bytes([content[20] ^ 1]) + content[21:])
    for typed in (
        ("show", "a.zarr"),
        ("resume", "a.zarr"),
        ("sweep", "spec.toml", "--store", "a.zarr"),
    ):
        code, _, err = command(*typed)
        assert (code, len(err.splitlines())) == (2, 1)
        assert f"a.zarr is damaged, in {name}: jaxscale verify " in err
    code, out, _ = command("verify", "a.zarr")
    assert (code, words(out)) == (
        0,
        f"Put back as written: {name}. 1 chunk read, all of them whole.",
    )
    assert file.read_bytes() == content
    assert opened().identical(before)


def test_a_damaged_chunk_is_said_by_what_reads_it(swept, command):
    (chunk,) = (swept[0] / "a.zarr" / "cost_ratio").glob("c*")
    chunk.write_bytes(chunk.read_bytes()[:-1])
    for name in ("show", "resume"):
        code, _, err = command(name, "a.zarr")
        assert code == 2
        assert err == "error: a.zarr: 1 chunk damaged; jaxscale verify a.zarr computes it again\n"


def test_a_store_without_copies_is_made_whole_by_resume(swept, command):
    store, before = swept[0] / "a.zarr", opened()
    (store / ".journal" / "blocks" / "copies").unlink()
    file = store / "loss" / "c" / "0"
    content = file.read_bytes()
    file.write_bytes(content[:-1])
    code, _, err = command("show", "a.zarr")
    assert (code, len(err.splitlines())) == (2, 1)
    assert "jaxscale resume a.zarr makes metadata and coordinates anew" in err
    _, out, _ = command("verify", "a.zarr")
    assert "Metadata and coordinates have no copy: jaxscale resume a.zarr" in words(out)
    assert command("resume", "a.zarr").code == 0
    assert file.read_bytes() == content
    assert opened().identical(before)
    _, out, _ = command("verify", "a.zarr")
    assert words(out) == "1 chunk read, all of them whole."


@pytest.mark.parametrize("with_copies", [True, False])
def test_a_fault_of_a_picture_is_no_damage_of_a_whole_store(
    swept, command, monkeypatch, with_copies
):
    if not with_copies:
        (swept[0] / "a.zarr" / ".journal" / "blocks" / "copies").unlink()

    def draw(*_):
        raise TypeError("of the picture")

    monkeypatch.setattr("jaxscale.cli.inspect_store.draw", draw)
    with pytest.raises(TypeError, match="of the picture"):
        command("show", "a.zarr")


def test_show_sums_up_and_draws_what_is_stored(swept, command):
    folder, first = swept
    code, out, _ = command("show", "a.zarr", "--picture", "b.svg")
    assert code == 0
    assert "a.zarr: 90 scenarios, 1 of 1 chunk done" in out
    assert "cost_ratio" in out
    assert first.count("cost_ratio") == out.count("cost_ratio")
    assert "<svg" in (folder / "b.svg").read_text()


def test_another_specification_is_refused_with_the_difference(swept, command):
    (swept[0] / "spec.toml").write_text(SPEC.replace("count = 9", "count = 8"))
    code, out, err = command("sweep", "spec.toml", "--store", "a.zarr")
    assert (code, out) == (2, "")
    assert "a.zarr holds another sweep" in err
    assert "space.axes.loss.size: 9 in the store, 8 asked for" in err
    assert len(err.splitlines()) == 1


def test_statistics_are_those_of_the_stored_fields(swept, command):
    data = opened()
    typed = ("--reduce", "moments:cost_ratio", "--reduce", "lowest:params:1")
    code, out, err = command("sweep", "spec.toml", *typed)
    assert (code, err) == (0, "")
    values = data["cost_ratio"].values[np.isfinite(data["cost_ratio"].values)]
    moments = (values.mean(), values.std(), values.min(), values.max())
    assert " ".join(f"{x:.4g}" for x in moments) in words(out)
    least = data["params"].where(data["params"] == data["params"].min(), drop=True).squeeze()
    assert f"{count(float(least), 4)} {float(least.loss):.4g} {least.law.item()}" in words(out)
    assert not (swept[0] / "sweep.zarr").exists()


def test_every_statistic_has_a_table(capsys):
    found = {
        reducers.StatusCounts(): counts.StatusCountsResult(9, 8, 1, {"OK": 8, "other": 1}),
        reducers.Quantiles("a", (0.5,)): quantiles.QuantilesResult(
            8, 1, np.array([0.5]), np.array([2e9])
        ),
        reducers.Histogram("b", (0, 1, 2)): counts.HistogramResult(
            8, 1, 2, 0, np.array([0.0, 1, 2]), np.array([6, 0])
        ),
        reducers.Extremes("c"): extremes.ExtremesResult(8, 1, -3.5, {"x": 1}, 7, {"x": "two"}),
        reducers.TopK("d", 2): extremes.TopKResult(0, 9, np.empty(0), ()),
        reducers.MainEffects("e"): effects.MainEffectsResult(
            8, 1, 2.0, 1.0, {"x": np.array([1.0, 3.0])}, {"x": np.array([4, 4])}, {"x": 0.25}
        ),
    }
    show_statistics(Statistics(found))
    out = words(capsys.readouterr().out)
    for row in (
        "9 scenarios, 8 of them ok. 8 OK 1 other",
        "50 % 2.000B",
        "below 2 25 % 0 to 1 6 75 %",
        "min -3.5 1 max 7 two",
        "The highest d, 0 scenarios",
        "x 0.250 1 3",
    ):
        assert row in out


def test_processes_share_a_store_and_the_last_one_sums_up(folder, command, monkeypatch):
    del folder
    monkeypatch.setattr("jaxscale.sweeping.spaces.cut", lambda sizes, target: cut(sizes, 45))
    written = []
    monkeypatch.setattr(sweep_command, "write", lambda *_, **__: written.append(opened()))
    code, out, _ = command("sweep", "spec.toml", "--store", "a.zarr", "--process", "1/2")
    assert code == 0
    assert "a.zarr holds 1 of 3 chunks until the others have done theirs" in words(out)
    assert not written
    code, out, _ = command("sweep", "spec.toml", "--store", "a.zarr", "--process", "0/2")
    assert code == 0
    assert f"{SCENARIOS} scenarios" in out
    (data,) = written
    last = float(data["params"].sel(law="sardana2024")[-1, -1])
    assert last == pytest.approx(float(expected("sardana2024", 2.4, 1e13).params), rel=1e-6)


def test_a_dry_run_says_what_it_would_take_and_leaves_nothing(folder, command):
    code, out, err = command("sweep", "spec.toml", "--dry-run")
    assert (code, err) == (0, "")
    for fact in ("scenarios 90", "chunks 1 of 90 scenarios", "memory", "time", "disk"):
        assert fact in words(out)
    assert [path.name for path in folder.iterdir()] == ["spec.toml"]


def test_every_command_prints_one_object_as_json(swept, command):
    data = opened()
    code, out, err = command("show", "a.zarr", "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert (found["command"], found["store"]) == ("show", "a.zarr")
    assert (found["scenarios"], found["chunks"], found["chunks_done"]) == (SCENARIOS, 1, 1)
    assert found["written"] == ["a.png"]
    (cost,) = (each for each in found["summary"]["fields"] if each["name"] == "cost_ratio")
    assert cost["quantiles"][1] == pytest.approx(np.nanmedian(data["cost_ratio"].values))
    bad = int((data["status"] == int(js.Status.INFEASIBLE_LOSS)).sum())
    assert found["summary"]["statuses"]["counts"]["INFEASIBLE_LOSS"] == bad

    found = json.loads(command("verify", "a.zarr", "--json").out)
    assert (found["checked"], found["bad"], found["computed_again"]) == (1, [], False)
    found = json.loads(command("resume", "a.zarr", "--json").out)
    assert (found["command"], found["chunks_before"], found["chunks_done"]) == ("resume", 1, 1)
    typed = ("--reduce", "moments:cost_ratio", "--reduce", "lowest:params:1", "--json")
    found = json.loads(command("sweep", "spec.toml", *typed).out)
    moments, lowest, statuses = found["statistics"]
    values = data["cost_ratio"].values[np.isfinite(data["cost_ratio"].values)]
    assert (moments["statistic"], moments["field"]) == ("Moments", "cost_ratio")
    assert moments["mean"] == pytest.approx(values.mean())
    assert lowest["values"] == [pytest.approx(np.nanmin(data["params"].values))]
    assert statuses["not_ok"] == bad
    found = json.loads(command("sweep", "spec.toml", "--dry-run", "--json").out)
    assert found["estimate"]["scenarios"] == SCENARIOS


def test_any_stored_sweep_is_shown_and_one_made_in_python_is_not_resumed(folder, command):
    def scenario(x, y):
        return {"z": x * y}

    js.sweep(scenario, js.Grid(x=[1.0, 2.0, 3.0], y=[1.0, 100.0]), store="mine.zarr")
    code, out, _ = command("show", "mine.zarr")
    assert code == 0
    assert "6 scenarios" in out
    assert (folder / "mine.png").exists()
    code, _, err = command("resume", "mine.zarr")
    assert code == 2
    assert "was not begun from a specification: make the same call of jaxscale.sweep again" in err


def test_what_has_no_axis_of_numbers_is_shown_too(folder, command):
    """One scenario has no picture; names have one, a point for each."""
    del folder
    entries = {"one": np.float64(1), "two": np.float64(2)}
    js.sweep(lambda x: {"z": x}, js.Grid(x=[1.0]), store="single.zarr")
    js.sweep(lambda x: {"z": x, "large": x > 1}, js.Grid(x=entries), store="names.zarr")
    code, out, err = command("show", "single.zarr")
    assert (code, err, "Wrote" in out) == (0, "", False)
    assert "1 scenario, 1 of 1 chunk done" in out
    code, out, err = command("show", "names.zarr")
    assert (code, err, "Wrote names.png." in out) == (0, "", True)


def test_a_table_in_parquet_has_a_row_for_each_scenario(swept):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    js.sweeping.write_parquet(opened(), swept[0] / "a.parquet")
    table = pandas.read_parquet("a.parquet")
    assert len(table) == SCENARIOS
    row = table[(table.law == "sardana2024") & (table.inference_tokens == 1e13)].iloc[-1]
    assert row.status == "OK"
    plan = expected("sardana2024", 2.4, 1e13)
    assert row.total_cost == pytest.approx(float(plan.total_cost), rel=1e-6)


def test_ctrl_c_is_one_line_that_says_how_to_go_on(folder, command, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("jaxscale.sweeping.program.Program.launch", interrupted)
    code, out, err = command("sweep", "spec.toml", "--store", "a.zarr")
    assert (code, out) == (130, "")
    assert err == "stopped: what is done is kept; go on with: jaxscale resume a.zarr\n"
    assert (folder / "a.zarr").is_dir()
    code, out, err = command("sweep", "spec.toml", "--reduce", "moments:params")
    assert (code, out, err) == (130, "", "stopped: nothing is kept\n")


def test_a_cluster_needs_its_extra(folder, command, monkeypatch):
    del folder
    monkeypatch.setitem(sys.modules, "dask.distributed", None)
    code, _, err = command("sweep", "spec.toml", "--scheduler", "tcp://127.0.0.1:8786")
    assert (code, err) == (2, "error: --scheduler needs: pip install 'jaxscale[cluster]'\n")


MISTAKES = [
    (("nothing.toml",), "cannot read the specification 'nothing.toml': No such file"),
    (("spec.toml", "--reduce", "mean:params"), "no statistic 'mean' (did you mean moments?)"),
    (("spec.toml", "--reduce", "moments"), "'moments' needs a field; the fields are total_cost"),
    (("spec.toml", "--reduce", "moments:parms"), "has no 'parms' (did you mean params?)"),
    (("spec.toml", "--reduce", "moments:params:3"), "moments takes a field alone"),
    (("spec.toml", "--reduce", "quantiles:params:3"), "quantiles takes levels from 0 to 1: "),
    (("spec.toml", "--reduce", "histogram:params"), "histogram takes increasing edges: "),
    (("spec.toml", "--reduce", "lowest:params:1.5"), "1.5 is not a whole number"),
    (("spec.toml", "--reduce", "lowest:params:x"), "lowest takes how many: could not convert"),
    (("spec.toml", "--reduce", "moments:params", "--csv", "a.csv"), "--csv needs the results kept"),
    (("spec.toml", "--process", "2/2"), "--process: '2/2' must be RANK/COUNT"),
    (("spec.toml", "--process", "two"), "--process: 'two' must be RANK/COUNT"),
    (("spec.toml", "--picture", "x.gif"), "--picture: 'x.gif' must end in .pdf, .png, .svg"),
    (("spec.toml", "--picture", "no/x.png"), "lies in a folder that does not exist"),
    (("spec.toml", "--csv", "."), "--csv: '.' is a folder"),
    (("spec.toml", "--store", "spec.toml"), "spec.toml is not a sweep of jaxscale"),
    (("spec.toml", "--store", ""), "--store: the path is empty"),
    (("spec.toml", "--store", "/"), "--store: '/' has no name of its own"),
    (("spec.toml", "--store", "no/a.zarr"), "--store: 'no/a.zarr' lies in a folder that does no"),
    (("spec.toml", "--csv", os.devnull), f"--csv: {os.devnull!r} is not a file"),
    (("spec.toml", "--dry"), "no such option: --dry (did you mean --dry-run?)"),
]


@pytest.mark.parametrize(("typed", "answer"), MISTAKES, ids=[answer for _, answer in MISTAKES])
def test_a_mistake_is_one_line_and_computes_nothing(folder, command, typed, answer):
    code, out, err = command("sweep", *typed)
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert answer in err
    assert [path.name for path in folder.iterdir()] == ["spec.toml"]


@pytest.mark.parametrize("name", ["show", "resume", "verify"])
def test_what_is_no_store_is_said_in_one_line(folder, command, name):
    code, _, err = command(name, "none.zarr")
    assert (code, len(err.splitlines())) == (2, 1)
    assert "none.zarr" in err
    (folder / "other").mkdir()
    (folder / "other" / "zarr.json").write_text(json.dumps({"zarr_format": 3}))
    code, _, err = command(name, "other")
    assert (code, len(err.splitlines())) == (2, 1)
