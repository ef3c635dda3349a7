"""Stored sweeps as Python users see them: estimated, opened, verified, resumed, summed up."""

import jax
import numpy as np
import pytest

import jaxscale as js

for extra in ("zarr", "tensorstore", "xarray", "pandas"):
    pytest.importorskip(extra)

SPEC = """fields = ["params", "total_cost", "cost_ratio", "params_ratio", "tokens_ratio"]
axes.loss_nats_per_token = [1.6, 2.0, 2.1]
axes.requests = {from = 1e6, to = 1e10, count = 5, spacing = "log"}
fixed.input_tokens_per_request = 70
fixed.output_tokens_per_request = 215
"""
SCENARIOS, BAD = 15, 5  # no model reaches a loss of 1.6


@pytest.fixture(scope="module")
def spec():
    return js.sweeping.spec.read(SPEC)


@pytest.fixture
def path(spec, tmp_path):
    """A store of three chunks, in float32."""
    path = tmp_path / "a.zarr"
    js.sweep(spec.scenario, spec.space, fields=spec.labels, store=path, dtype="float32", chunk=5)
    return path


def first_chunk(path, field="params"):
    return path / field / "c.0.0"


def test_an_estimate_is_of_the_whole_sweep_and_leaves_nothing(spec, tmp_path):
    path = tmp_path / "a.zarr"
    options = {"fields": spec.labels, "dtype": "float32", "chunk": 5}
    found = js.sweeping.estimate(spec.scenario, spec.space, store=path, **options)
    assert (found.scenarios, found.chunks, found.chunk_scenarios) == (SCENARIOS, 3, 5)
    assert found.field_bytes == SCENARIOS * (5 * 4 + 1)
    assert found.disk_bytes > 0
    assert 0 < found.seconds < 60
    assert list(tmp_path.iterdir()) == []
    in_memory = js.sweeping.estimate(spec.scenario, spec.space, **options)
    assert in_memory.disk_bytes is None
    assert repr(in_memory).splitlines()[0].split() == ["scenarios", "15"]
    assert found.to_dataframe()["chunks"].item() == 3


def test_resume_computes_a_bad_chunk_in_the_dtype_of_the_store(path):
    before = js.sweeping.open_store(path).load()
    file = first_chunk(path)
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    found = js.sweeping.verify(path)
    assert (found.checked, found.bad, found.missing) == (3, (0,), ())
    assert not found.is_whole
    assert repr(found) == "3 chunks read, 1 bad: 0."
    assert js.sweeping.progress_of(path) == js.sweeping.Progress(2, 3, SCENARIOS)
    with jax.enable_x64(True):  # which would make a sweep of the same call another one
        after = js.sweeping.resume(path, progress=False).load()
    assert after.identical(before)
    assert js.sweeping.verify(path).is_whole


def test_reading_a_damaged_chunk_says_what_to_do(path):
    file = first_chunk(path)
    file.write_bytes(file.read_bytes()[:-1])
    data = js.sweeping.open_store(path)
    message = r"1 chunk damaged; jaxscale verify .*a\.zarr computes it again"
    damaged = js.sweeping.stored.explained_damage(path)
    with pytest.raises(js.sweeping.StoreError, match=message), damaged:
        js.sweeping.summarize(data)


def test_a_sweep_of_a_python_function_is_opened_and_verified_but_not_resumed(tmp_path):
    path = tmp_path / "mine.zarr"
    js.sweep(lambda x: {"y": 2 * x}, js.Grid(x=[1.0, 2.0]), store=path)
    assert js.sweeping.open_store(path)["y"].values.tolist() == [2.0, 4.0]
    assert js.sweeping.verify(path).is_whole
    with pytest.raises(js.sweeping.StoreError, match="was not begun from a specification: make"):
        js.sweeping.resume(path)


@pytest.mark.parametrize(
    "read",
    [js.sweeping.open_store, js.sweeping.verify, js.sweeping.resume, js.sweeping.progress_of],
    ids=lambda f: f.__name__,
)
def test_where_there_is_no_sweep_that_is_said(read, tmp_path):
    with pytest.raises(js.sweeping.StoreError, match="there is no sweep at"):
        read(tmp_path / "none.zarr")
    with pytest.raises(TypeError, match=r"path must be a path; got 3 \(int\)"):
        read(3)


@pytest.mark.parametrize(
    "take",
    [
        js.sweeping.summarize,
        lambda data: js.sweeping.write_csv(data, "x.csv"),
        lambda data: js.sweeping.write_parquet(data, "x.parquet"),
    ],
    ids=["summarize", "write_csv", "write_parquet"],
)
@pytest.mark.parametrize("given", [3, "s.zarr", {"y": np.ones(2)}])
def test_what_is_no_data_set_is_refused_by_name(take, given):
    kind = type(given).__name__
    with pytest.raises(TypeError, match=rf"data must be an xarray.Dataset, .* \({kind}\)"):
        take(given)


def test_tables_are_written_to_a_path_as_text(path, tmp_path):
    data = js.sweeping.open_store(path)
    js.sweeping.write_csv(data, str(tmp_path / "a.csv"))
    assert len((tmp_path / "a.csv").read_text().splitlines()) == SCENARIOS + 1
    with pytest.raises(TypeError, match=r"path must be a path; got 3 \(int\)"):
        js.sweeping.write_csv(data, 3)


def test_progress_and_verification_are_short_in_text_and_in_html(path):
    progress = js.sweeping.progress_of(path)
    assert repr(progress) == "3 of 3 chunks done; 15 scenarios in all"
    assert "<td>15</td>" in progress._repr_html_()
    first_chunk(path).write_bytes(b"no chunk")
    found = js.sweeping.verify(path)
    assert repr(found) == "3 chunks read, 1 bad: 0."
    assert "<tr><td>bad</td><td>1: 0</td></tr>" in found._repr_html_()


def test_a_summary_has_the_quantiles_of_numpy(path):
    data = js.sweeping.open_store(path)
    found = js.sweeping.summarize(data)
    assert (found.scenarios, found.summarized) == (SCENARIOS, SCENARIOS)
    assert found.statuses.counts == {"OK": SCENARIOS - BAD, "INFEASIBLE_LOSS": BAD}
    assert [axis.name for axis in found.axes] == ["loss", "requests"]
    values = data["params"].values[np.isfinite(data["params"].values)].astype(float)
    by_name = {field.name: field.quantiles for field in found.fields}
    assert by_name["params"] == pytest.approx(np.quantile(values, (0.05, 0.5, 0.95)).tolist())
    assert [ratio.demand for ratio in found.ratios] == [
        (10.0**power, 10.0 ** (power + 1)) for power in range(6, 10)
    ]
    assert len(repr(found).splitlines()) <= 30
    assert repr(found).startswith("15 scenarios, 10 of them ok\nlaw sardana2024; each request")
    assert found._repr_html_().count("<table>") == 3
    frame = found.to_dataframe().set_index("field")
    assert frame.loc["params", "0.5"] == by_name["params"][1]


def test_results_without_xarray_show_themselves_too(monkeypatch):
    monkeypatch.setattr("jaxscale.sweeping.results.importlib.util.find_spec", lambda name: None)
    space = js.Grid(x=[1.0, 2.0], y=js.linspace(0, 1, 200))
    found = js.sweep(lambda x, y: {"sum": x + y}, space, dtype="float32", progress=False)
    assert isinstance(found, dict)
    assert found["sum"].shape == (2, 200)
    assert repr(found).splitlines()[-1].split() == ["sum", "2", "x", "200", "float32"]
    frame = found.to_dataframe()
    assert len(frame) == 400
    np.testing.assert_allclose(frame["sum"], frame["x"] + frame["y"], rtol=1e-6)
