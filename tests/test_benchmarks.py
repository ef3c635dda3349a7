"""The benchmarks run, say what they measured, and notice a wrong answer. Nothing asserts a time."""

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

import reference
from benchmarks import floor, harness, imports, ours, peers, problem, solve
from benchmarks.harness import Disagreement, require_agreement
from processes import HUNG

ROOT = Path(__file__).parent.parent
KEYS = {
    "benchmark", "quick", "device_only", "scenarios", "problem", "tolerance", "chunk", "peak_mib",
    "versions", "machine", "commit", "rows", "omitted", "batches", "aims",
}  # fmt: skip


def run(*arguments):
    command = [sys.executable, "-m", "benchmarks", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=HUNG)


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    if importlib.util.find_spec("scipy") is None:
        pytest.skip("scipy, a peer, is not installed")
    output = tmp_path_factory.mktemp("benchmarks") / "solve.json"
    done = run("solve", "--quick", "--output", str(output))
    assert done.returncode == 0, done.stderr
    return json.loads(output.read_text())


@pytest.fixture(params=floor.C_TYPES)
def built_floor(request):
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed")
    try:
        return floor.load(request.param)
    except harness.Unavailable as reason:
        pytest.skip(str(reason))


def test_result_says_what_was_measured_and_on_what(quick):
    assert set(quick) == KEYS
    assert quick["versions"]["jax"]
    assert quick["versions"]["scipy"]
    assert quick["machine"]["cpu"]
    assert quick["machine"]["cores"] >= 1


def test_every_row_was_measured_or_says_why_not(quick):
    names = [row["name"] for row in quick["rows"]]
    assert sorted([*names, *quick["omitted"]]) == sorted(solve.BUILDERS)
    assert all(quick["omitted"].values())
    assert {"scipy newton, loop", "scipy newton, array"} <= set(names)


def test_every_row_has_its_times_and_agrees(quick):
    for row in quick["rows"]:
        seconds, agreement = row["seconds"], row["agreement"]
        assert seconds["rounds"] == len(seconds["times"]) >= 1
        assert 0 < seconds["min"] <= seconds["median"]
        assert agreement["truth"] <= agreement["tolerance"]
        assert row["reduced"] or agreement["jaxscale"] <= agreement["tolerance"]


def test_every_row_of_ours_says_what_share_of_the_floor_it_is(quick):
    speeds = {row["name"]: row["scenarios_per_second"] for row in quick["rows"]}
    if "C floor float64" not in speeds:
        pytest.skip("no floor was built")
    for row in quick["rows"]:
        if row["name"].startswith("jaxscale"):
            assert row["of_floor"] == row["scenarios_per_second"] / speeds[row["floor"]]
            assert ("reduced" in row["name"]) == ("reduced" in row["floor"])
            assert row["dtype"] in row["floor"]


def test_every_aim_is_judged_by_its_own_value(quick):
    for aim in quick["aims"]:
        assert aim["met"] == (None if aim["value"] is None else aim["value"] >= aim["at_least"])


def test_report_without_rich_is_plain_text(quick, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "rich.console", None)
    solve.show(quick)
    printed = capsys.readouterr().out
    assert "scipy newton, loop" in printed
    assert printed.isascii()


def test_help_has_examples():
    assert "python -m benchmarks solve --quick" in run("--help").stdout


def test_true_plans_match_the_reference_at_50_digits():
    loss, demand = problem.random_scenarios(20, "float64")
    found = np.transpose(problem.true_plans(loss, demand))
    for pair, here, there in zip(found, loss, demand, strict=True):
        plan = reference.cheapest(reference.Law(*problem.LAW), here, reference.Demand(there))
        np.testing.assert_allclose(
            pair.astype(float), [float(plan.params), float(plan.tokens)], 1e-14
        )


@pytest.mark.parametrize("wrong", [1 + 1e-8, np.nan], ids=["a little off", "not solved"])
def test_a_wrong_answer_is_noticed(wrong):
    truth = problem.true_plans(*problem.random_scenarios(5, "float64"))
    assert require_agreement("right", truth, truth, 1e-9) == 0
    params, tokens = truth
    with pytest.raises(Disagreement, match=r"off by"):
        require_agreement("wrong", (params, tokens * wrong), truth, 1e-9)


def test_one_wrong_scenario_among_many_is_noticed():
    params, tokens = problem.true_plans(*problem.random_scenarios(50, "float64"))
    spoilt = np.where(np.arange(50) == 17, 1.001 * params, params)
    with pytest.raises(Disagreement):
        require_agreement("one wrong", (spoilt, tokens), (params, tokens), 1e-9)


def test_floor_agrees_with_the_truth(built_floor):
    scenarios = problem.random_scenarios(1500, built_floor.dtype)  # not a whole block
    found, truth = built_floor.materialised(*scenarios), problem.true_plans(*scenarios)
    tolerance = problem.TOLERANCE[built_floor.dtype]
    require_agreement("floor", found, truth, tolerance)


def test_floor_sums_the_grid_that_it_decodes(built_floor):
    sums = built_floor.reduced(rows=3)
    arrays = built_floor.materialised(*problem.Grid(3).arrays(built_floor.dtype))
    expected = [np.sum(x, dtype=np.float64) for x in arrays]
    np.testing.assert_allclose(sums, expected, rtol=problem.TOLERANCE[built_floor.dtype])


@pytest.fixture(params=floor.C_TYPES)
def cuda_floor(request):
    try:
        return floor.load_cuda(request.param)
    except harness.Unavailable as reason:
        pytest.skip(str(reason))


def test_cuda_floor_agrees_with_the_truth_and_sums_its_grid(cuda_floor):
    dtype = cuda_floor.dtype
    scenarios = problem.random_scenarios(1500, dtype)
    found = cuda_floor.materialised(*jax.device_put(scenarios))
    require_agreement("floor", found, problem.true_plans(*scenarios), problem.TOLERANCE[dtype])
    arrays = cuda_floor.materialised(*jax.device_put(problem.Grid(3).arrays(dtype)))
    expected = [np.sum(np.asarray(x), dtype=np.float64) for x in arrays]
    np.testing.assert_allclose(cuda_floor.reduced(rows=3), expected, rtol=problem.TOLERANCE[dtype])


def test_cuda_floor_builds_where_nvcc_is_and_says_why_it_does_not_run(tmp_path):
    if shutil.which("nvcc") is None:
        pytest.skip("nvcc is not installed")
    flags = [flag.replace("native", "sm_90") for flag in floor.CUDA_FLAGS]
    library = floor._cuda_library("nvcc", flags, "float32", tmp_path)
    if jax.default_backend() != "gpu":
        with pytest.raises(RuntimeError, match="allocate: "):
            floor._memory(floor.CudaFloor(library, "float32", flags), "N", 4)
        with pytest.raises(harness.Unavailable, match="no GPU"):
            floor.load_cuda("float32")


def test_a_loop_that_was_not_vectorised_is_no_floor(monkeypatch):
    monkeypatch.setattr(floor, "_output", lambda *command: " U exp\n U _ZGVeN8v_log\n")
    with pytest.raises(harness.Unavailable, match="no floor"):
        floor._vector_calls(Path("floor.so"))


def test_plain_writes_are_the_bytes_of_the_arrays(tmp_path):
    arrays = np.arange(peers.WRITE_CHUNK + 5.0), np.linspace(0, 1, 7)
    peers.write(arrays, tmp_path / "plain")
    np.testing.assert_array_equal(np.fromfile(tmp_path / "plain"), np.concatenate(arrays))


def test_an_import_is_measured_in_a_process_of_its_own(tmp_path):
    seconds, modules = imports._once(imports.STAGES["the solvers"], str(tmp_path))
    assert seconds > 0
    assert modules > 1


@pytest.mark.parametrize("scenarios", [1, 1000, 40_000, 1_000_000, 100_000_000])
def test_a_grid_is_whole_chunks_or_less_than_one(scenarios):
    found = ours.whole_rows(scenarios) * problem.COLUMNS
    assert found % ours.CHUNK == 0 or problem.COLUMNS <= found < ours.CHUNK
    assert abs(found - scenarios) <= max(problem.COLUMNS, ours.CHUNK / 2)
