"""The benchmark of sweeps knows the truth of a grid, and notices wrong statistics of it."""

import json
import math
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from jax.sharding import AbstractDevice, AbstractMesh

import jaxscale as js
from benchmarks import (
    grid_truth,
    harness,
    machine,
    one_kernel,
    ours,
    peers,
    problem,
    solve,
    sweep,
    sweep_checks,
    sweep_sizes,
)
from benchmarks.harness import Disagreement, Options, Row, Suite, Unavailable

ROOT = Path(__file__).parent.parent
# One at least, and one more from each machine that the benchmark is run on.
SAVED = sorted((ROOT / "benchmarks" / "results").glob("sweep-*.json"))
assert SAVED
FIELDS = "params", "tokens"
SHAPE = 40, 30


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


# --- The truth of a grid ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def plans():
    loss, demand = problem.grid_axes(*SHAPE)
    scenarios = np.repeat(loss, demand.size), np.tile(demand, loss.size)
    arrays = (x.astype(float).reshape(SHAPE) for x in problem.true_plans(*scenarios))
    return dict(zip(FIELDS, arrays, strict=True))


@pytest.mark.parametrize("field", FIELDS)
def test_truth_of_a_grid_is_that_of_all_its_scenarios(field, plans):
    values, rows, columns = plans[field], np.array([0, 7, 39]), np.array([0, 11, 29])
    given = *SHAPE, "float64"
    pairs = [
        (grid_truth.means(*given)[field], values.mean()),
        (grid_truth.least("float64")[field], values.min()),
        (grid_truth.largest(12, *given)[field], np.sort(values.ravel())[::-1][:12]),
        (grid_truth.means_along_loss(rows, *given)[field], values.mean(axis=1)[rows]),
        (grid_truth.means_along_demand(columns, *given)[field], values.mean(axis=0)[columns]),
    ]
    for found, expected in pairs:
        np.testing.assert_allclose(found, expected, rtol=1e-11)
    thresholds = np.quantile(values, [0, 0.1, 0.5, 0.99]) * 1.000001
    shares = grid_truth.shares_at_most(field, (*thresholds, 1.0, 1e30), *SHAPE)
    expected = [*((values <= each).mean() for each in thresholds), 0, 1]
    np.testing.assert_allclose(shares, expected, atol=1e-15)


def test_truth_of_a_large_grid_tends_to_that_of_all_losses_and_demands():
    means = [grid_truth.means(side, 1, "float64")["params"] for side in (10**3, 10**4, 10**5)]
    first, second = np.diff(means)
    assert first / second == pytest.approx(10, rel=0.01)  # the ends weigh 1 / side


# --- Reducers --------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["float64", "float32"])
def statistics(request):
    reducers = [make(field) for make in sweep_checks.REDUCERS.values() for field in FIELDS]
    with jax.enable_x64(True):
        return request.param, ours.swept(reducers, *SHAPE, request.param)


@pytest.mark.parametrize("kind", sweep_checks.REDUCERS)
def test_a_right_statistic_passes(kind, statistics):
    dtype, answer = statistics
    assert sweep_checks.off("row", kind, dtype, SHAPE, answer) < problem.TOLERANCE[dtype]


SPOILT = {
    "Moments": ("mean", lambda x: x * (1 + 1e-4)),
    "Extremes": ("max", lambda x: x * (1 + 1e-4)),
    "TopK": ("values", lambda x: np.append(x[:-1], 0.999 * x[-1])),
    "MainEffects": ("effects", lambda x: x | {"demand": x["demand"][::-1]}),
    "Histogram": ("counts", lambda x: np.roll(x, 1)),
    "Quantiles": ("values", lambda x: x * 1.1),
}


@pytest.mark.parametrize("kind", SPOILT)
@pytest.mark.parametrize("field", FIELDS)
def test_a_wrong_statistic_is_noticed(kind, field, statistics):
    dtype, answer = statistics
    name, spoil = SPOILT[kind]
    reducer = sweep_checks.REDUCERS[kind](field)
    wrong = replace(answer[reducer], **{name: spoil(getattr(answer[reducer], name))})
    with pytest.raises(Disagreement, match=f"row: {field}"):
        sweep_checks.off("row", kind, dtype, SHAPE, answer | {reducer: wrong})


def test_scenarios_that_are_missing_are_noticed(statistics):
    dtype, answer = statistics
    reducer = js.Moments("tokens")
    wrong = replace(answer[reducer], count=answer[reducer].count - 1)
    with pytest.raises(Disagreement, match="scenarios"):
        sweep_checks.off("row", "Moments", dtype, SHAPE, answer | {reducer: wrong})


# --- Kernels and peers -----------------------------------------------------------------------

ROWS = 3


@pytest.fixture(scope="module")
def true_sums():
    means = grid_truth.means(ROWS, problem.COLUMNS, "float64")
    return [ROWS * problem.COLUMNS * mean for mean in means.values()]


@pytest.mark.parametrize("package", ["numpy", "dask"])
def test_a_peer_of_the_sweep_comes_to_the_true_sums(package, true_sums):
    pytest.importorskip(package)
    sums = {"numpy": peers.numpy_sums, "dask": peers.dask_sums}[package](ROWS)
    np.testing.assert_allclose(sums, true_sums, rtol=1e-11)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_bare_kernels_come_to_the_true_sums(dtype, true_sums):
    for sums in (ours.grid_sums(ROWS, dtype), one_kernel.grid_sums(ROWS, dtype)):
        np.testing.assert_allclose(sums, true_sums, rtol=problem.TOLERANCE[dtype])


@pytest.mark.filterwarnings("ignore:The Pallas Triton backend is deprecated")
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_bare_kernel_has_a_form_in_triton(dtype, monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    device = AbstractDevice("NVIDIA H100 80GB HBM3", num_cores=132, platform="cuda")
    with jax.sharding.use_abstract_mesh(AbstractMesh((), (), abstract_device=device)):
        lowered = one_kernel._sums.trace(2**12, dtype).lower(lowering_platforms=("cuda",))
    assert "triton" in lowered.as_text()


def test_a_kernel_that_fails_is_a_row_that_is_unavailable(monkeypatch):
    def fail(*_):
        raise NotImplementedError("no lowering")

    monkeypatch.setattr(one_kernel, "_sums", fail)
    with pytest.raises(Unavailable, match="no lowering"):
        one_kernel.grid_sums(ROWS, "float32")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_compressed_writes_take_the_bytes_of_a_store(tmp_path, dtype):
    pytest.importorskip("numcodecs")
    rows = 2 * peers.WRITE_CHUNK // problem.COLUMNS
    ours.swept_store(tmp_path / "store", rows, dtype)
    peers.write_compressed(sweep.true_arrays(rows, dtype), tmp_path / "plain")
    chunks = sum(each.stat().st_size for each in (tmp_path / "store").glob("*/c.*"))
    plain = (tmp_path / "plain").stat().st_size
    assert chunks == pytest.approx(plain, rel=1e-3)
    assert plain < 0.8 * 2 * rows * problem.COLUMNS * np.dtype(dtype).itemsize


# --- Sizes, memory and energy ----------------------------------------------------------------


def test_a_size_is_measured_with_its_compiling_and_memory():
    entry = sweep_sizes._measured(1000, "float64")
    assert entry["scenarios"] == 32 * 32
    assert entry["first_call"] >= entry["compile"] > 0
    assert entry["agreement"]["truth"] < 1e-9
    assert entry["peak_mib"] > 10
    assert entry["joules"] is None or entry["joules"] >= 0
    assert all(isinstance(cell(entry), str) for cell in sweep_sizes.CELLS.values())


def test_sizes_end_where_patience_does(monkeypatch):
    def measured(size, dtype):
        return {"dtype": dtype, "scenarios": size, "seconds": size / 1e7}

    monkeypatch.setattr(sweep_sizes, "_measured", measured)
    found = sweep_sizes.measured(Options(), 10**11, {})
    # 1e9 would take 100 s at 1e7 a second.
    assert max(entry["scenarios"] for entry in found) == 10**7
    asked = sweep_sizes.measured(Options(trillion=True), 10**11, {})
    aims = sweep_sizes.trillion_aims(asked)
    assert [aim["value"] for aim in aims] == [1e5, 1e5]
    assert [aim["at_most"] for aim in aims] == [12, 50]
    over = sweep_sizes.measured(Options(until=time.perf_counter() - 1), 10**11, {})
    assert over == []


def test_a_wrong_size_is_named(monkeypatch):
    def measured(size, dtype):
        raise Disagreement(f"{size} of {dtype}")

    monkeypatch.setattr(sweep_sizes, "_measured", measured)
    omitted = {}
    assert sweep_sizes.measured(Options(), 10**6, omitted) == []
    assert harness.has_wrong({"omitted": omitted})


def test_memory_may_grow_by_as_much_as_the_aim_says():
    peaks = {"10,000,000": 100.0, "1,000,000,000": 100 * sweep_sizes.MEMORY_RATIO + 1}
    assert sweep_sizes.memory_aim(peaks)["met"] is False
    peaks["1,000,000,000"] -= 2
    assert sweep_sizes.memory_aim(peaks)["met"] is True
    assert sweep_sizes.memory_aim({})["met"] is None


class Management:
    """As the library of NVIDIA behaves, for a machine with two GPUs."""

    def nvmlInit_v2(self):
        return 0

    def nvmlDeviceGetHandleByIndex_v2(self, index, handle):
        handle._obj.value = 100 + index.value
        return 0 if index.value < 2 else 2

    def nvmlDeviceGetHandleByUUID(self, name, handle):
        handle._obj.value = 101
        return 0 if name == b"GPU-b" else 2

    def nvmlDeviceGetTotalEnergyConsumption(self, handle, counter):
        counter._obj.value = handle.value * 1000
        return 0


@pytest.mark.parametrize(
    ("visible", "joules"), [("", 100), ("0", 100), ("1,0", 101), ("GPU-b", 101)]
)
def test_energy_is_read_of_the_first_visible_gpu(visible, joules):
    assert machine._counter_of(Management(), visible)() == joules


def test_energy_of_a_gpu_that_does_not_count_it_is_none():
    assert machine._counter_of(Management(), "5") is None
    silent = Management()
    silent.nvmlDeviceGetTotalEnergyConsumption = lambda handle, counter: 3
    assert machine._counter_of(silent, "")() is None
    if jax.default_backend() == "cpu":
        assert machine.joules() is None


def test_sizes_follow_from_the_memory_of_the_device(monkeypatch):
    def device(size):
        return [SimpleNamespace(memory_stats=lambda: {"bytes_limit": size})]

    for gibibytes, expected in ((60, 2**26), (6, 2**22), (0.5, 2**19)):
        monkeypatch.setattr(jax, "local_devices", lambda size=gibibytes: device(int(size * 2**30)))
        found = machine.power_of_two_that_fits(2**26)
        assert found == expected
        assert found * machine.BYTES_PER_SCENARIO <= gibibytes * 2**30


@pytest.mark.parametrize("rows", [1, 2**16, 2**17, 2**22, 2**26])
def test_float32_tells_all_losses_and_demands_of_a_grid_apart(rows):
    found = ours.grid_shape(rows)
    assert math.prod(found) == rows * problem.COLUMNS
    for axis, size in zip(problem.grid_axes(*found), found, strict=True):
        assert np.unique(axis.astype("float32")).size == size


# --- The harness -----------------------------------------------------------------------------


def row(name, call=lambda: 1, **options):
    return Row(name, call, lambda answer: {"agreement": {}}, 1.0, **options)


def suite(*rows, **options):
    return Suite({each.name: lambda _, each=each: each for each in rows}, [], 1, **options)


def test_a_run_of_the_device_leaves_out_peers_alone():
    for builders in (solve.BUILDERS, sweep.BUILDERS):
        left = set(builders) - set(Options(device=True).left_out(builders))
        ours_or_least = ("jaxscale", "C floor", "CUDA floor", *sweep.KINDS)
        assert left == {name for name in builders if name.startswith(ours_or_least)}
    assert Options().left_out(sweep.BUILDERS) == {}


def test_a_wrong_row_is_named_and_the_others_are_timed():
    def disagree(_):
        raise Disagreement("off by much")

    found = harness.measured(suite(replace(row("bad"), check=disagree), row("good")))
    assert [each["name"] for each in found["rows"]] == ["good"]
    assert found["omitted"] == {"bad": "wrong: off by much"}
    assert harness.has_wrong(found)
    assert not harness.has_wrong({"omitted": {"peer": "not installed"}})


def test_a_row_that_fails_ends_only_a_run_that_is_not_timed():
    def fail():
        raise RuntimeError("out of memory")

    rows = row("bad", fail), row("good")
    with pytest.raises(RuntimeError, match="out of memory"):
        harness.measured(suite(*rows))
    found = harness.measured(suite(*rows, until=time.perf_counter() + 1000))
    assert found["omitted"] == {"bad": "wrong: RuntimeError: out of memory"}


def test_rows_that_time_does_not_allow_are_named():
    found = harness.measured(suite(row("late"), until=time.perf_counter()))
    assert found["omitted"] == {"late": "no time was left"}
    assert not harness.has_wrong(found)


# --- Results ---------------------------------------------------------------------------------


@pytest.mark.parametrize("saved", SAVED, ids=lambda path: path.stem)
def test_saved_sweep_is_whole_and_reports_in_plain_text(saved, monkeypatch, capsys):
    result = json.loads(saved.read_text())
    names = [row["name"] for row in result["rows"]]
    if result["machine"]["platform"] == jax.default_backend():  # whose rows these are
        assert sorted([*names, *result["omitted"]]) == sorted(sweep.BUILDERS)
    monkeypatch.setitem(sys.modules, "rich.console", None)
    sweep.show(result)
    printed = capsys.readouterr().out
    assert all(name in printed for name in names)
