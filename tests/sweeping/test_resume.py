"""Nothing finished is lost, and who computes makes no difference: the bytes on disk agree."""

import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jax
import numpy as np
import pytest

import jaxscale as js
from conftest import THOROUGH
from jaxscale.sweeping import engine
from jaxscale.sweeping.store import store as stores
from sweeping.small_sweep import CHUNK, REDUCERS, SPACE, files, run, scenario

SCRIPT = Path(__file__).parent / "small_sweep.py"


def script(*arguments, **environment):
    process = subprocess.run(
        [sys.executable, SCRIPT, *map(str, arguments)],
        env=os.environ | environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    return process.stdout


def on_cpus(store, devices, *arguments):
    """What a process prints where JAX sees so many CPU devices, whatever else there is."""
    arguments = "--devices", devices, "--reduce", *arguments
    return script(store, *arguments, JAX_PLATFORMS="cpu")


def array_bytes(store):
    """Bytes of every file of every field."""
    return {name: (Path(store) / name).read_bytes() for name in sorted(files(store))}


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    store = tmp_path_factory.mktemp("uninterrupted") / "sweep.zarr"
    run(store)
    return array_bytes(store)


def test_an_uninterrupted_store_holds_what_memory_would(uninterrupted, tmp_path):
    assert len(uninterrupted) == 2 * 90
    data = run(tmp_path / "sweep.zarr")
    expected = js.sweep(scenario, SPACE, dtype="float64")
    for name in ("params", "total_cost"):
        np.testing.assert_allclose(data[name], expected[name], rtol=1e-13)
    assert array_bytes(tmp_path / "sweep.zarr") == uninterrupted


def test_a_run_killed_again_and_again_ends_with_the_same_bytes(uninterrupted, tmp_path):
    seed = int(os.environ.get("JAXSCALE_TEST_SEED") or time.time_ns() % 2**32)
    print(f"JAXSCALE_TEST_SEED={seed}")
    kills, stores, times = 0, 0, 20 if THOROUGH else 3
    while kills < times:
        store = tmp_path / f"{stores}.zarr"
        kills += int(script(store, "--killed", times - kills, seed + stores))
        stores += 1
        assert stores < 10, f"only {kills} runs were killed before they had finished"
        run(store)
        assert array_bytes(store) == uninterrupted


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """What one process on one CPU device prints as statistics, and the bytes that it wrote."""
    store = tmp_path_factory.mktemp("alone") / "sweep.zarr"
    return on_cpus(store, 1), array_bytes(store)


def test_two_processes_share_a_store_and_merge_their_statistics(alone, tmp_path):
    store = tmp_path / "sweep.zarr"
    with ThreadPoolExecutor(2) as both:
        shares = [both.submit(on_cpus, store, 1, "--process", f"{rank}/2") for rank in (0, 1)]
    statistics, arrays = alone
    assert array_bytes(store) == arrays
    # Who ended last has the statistics of both; both may have.
    assert rounded(statistics) in [rounded(share.result()) for share in shares]


def rounded(text):
    """A text with its floats to ten digits."""
    return re.sub(r"\d+\.\d+(e[+-]?\d+)?", lambda found: f"{float(found[0]):.9e}", text)


def test_four_devices_write_the_bytes_and_statistics_of_one(alone, tmp_path):
    store = tmp_path / "sweep.zarr"
    assert (on_cpus(store, 4), array_bytes(store)) == alone


@pytest.mark.filterwarnings("ignore")  # dask's and tornado's own
def test_a_cluster_goes_on_when_a_worker_dies(uninterrupted, tmp_path, monkeypatch):
    distributed = pytest.importorskip("distributed")
    monkeypatch.setattr(engine, "TASK", 2 * CHUNK)  # many tasks, so that some are lost
    with (
        distributed.LocalCluster(2, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
        ThreadPoolExecutor(1) as aside,
    ):
        victim = next(iter(client.run(os.getpid).values()))
        for attempt in range(20):
            store = tmp_path / f"{attempt}.zarr"
            finished = aside.submit(run, store, executor=client.get_executor())
            while not (found := files(store)) and not finished.done():
                time.sleep(0.01)
            if len(found) < len(uninterrupted):
                break
        else:
            pytest.fail("every sweep was over before its worker could be killed")
        os.kill(victim, signal.SIGKILL)
        finished.result()
    assert array_bytes(store) == uninterrupted


def test_a_store_of_another_call_is_refused_and_named(tmp_path):
    store = tmp_path / "sweep.zarr"
    space = js.Grid(a=[1.0, 2.0, 3.0])
    factor = 2.0

    def doubled(a):
        return {"b": factor * a}

    js.sweep(doubled, space, store=store, dtype="float32")
    before = array_bytes(store)
    with pytest.raises(stores.StoreError, match="dtype"):
        js.sweep(doubled, space, store=store, dtype="float64")
    with pytest.raises(stores.StoreError, match=r"axes\.a"):
        js.sweep(doubled, js.Grid(a=[1.0, 2.0, 4.0]), store=store, dtype="float32")
    with pytest.raises(stores.StoreError, match="chunk"):
        js.sweep(doubled, space, store=store, dtype="float32", chunk=2)
    factor = 3.0
    with pytest.raises(stores.StoreError, match="scenario"):
        js.sweep(doubled, space, store=store, dtype="float32")
    assert array_bytes(store) == before


def test_a_damaged_chunk_is_found_and_computed_again(uninterrupted, tmp_path):
    store = tmp_path / "sweep.zarr"
    run(store)
    first, second, *_ = sorted(Path(store).glob("params/c.*"))
    first.write_bytes(first.read_bytes()[:-3])
    second.write_bytes(bytes([second.read_bytes()[0] ^ 1]) + second.read_bytes()[1:])
    verdict = stores.verify(str(store))
    assert len(verdict.bad) == 2
    stores.forget(str(store), [*verdict.bad, *verdict.missing])
    run(store)
    assert array_bytes(store) == uninterrupted


def test_statistics_are_those_of_numpy_on_what_the_store_holds(tmp_path):
    store = tmp_path / "sweep.zarr"
    data = run(store).load()
    params, cost = (data[name].values for name in ("params", "total_cost"))
    finite = params[np.isfinite(params)]
    assert 0 < finite.size < params.size, "some scenarios have no answer"
    # Nothing is left to write, and still every scenario counts.
    found = run(store, reduce=REDUCERS)
    moments, largest, quantiles = (found[each] for each in REDUCERS)
    assert found[js.StatusCounts()].not_ok == params.size - finite.size
    np.testing.assert_allclose(moments.mean, np.nanmean(cost), rtol=1e-12)
    np.testing.assert_allclose(moments.std, np.nanstd(cost), rtol=1e-12)
    assert (moments.min, moments.max) == (np.nanmin(cost), np.nanmax(cost))
    np.testing.assert_array_equal(largest.values, np.sort(finite)[:-4:-1])
    for value, at in zip(largest.values, largest.at, strict=True):
        assert data["params"].sel(at) == value
    exact = np.quantile(finite, quantiles.levels, method="lower")
    np.testing.assert_allclose(quantiles.values, exact, rtol=0.01)


def test_a_store_opens_and_plots_with_xarray_alone(tmp_path):
    store = tmp_path / "sweep.zarr"
    run(store)
    code = f"""
import sys, warnings
warnings.simplefilter("error")
import xarray
data = xarray.open_zarr({str(store)!r}, consolidated=False)
assert not [name for name in sys.modules if name.startswith("jax")], "xarray alone"
assert data["params"].dims == ("loss", "requests", "price")
import matplotlib
matplotlib.use("Agg")
data["params"].sel(price=1.0).plot()
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_sampled_sweeps_are_stored_too(tmp_path):
    space = js.Sample(100, jax.random.key(0), a=js.uniform(0, 1))
    data = js.sweep(lambda a: {"b": 2 * a}, space, store=tmp_path / "s.zarr", chunk=30)
    assert data["b"].dims == ("scenario",)
    np.testing.assert_allclose(data["b"], 2 * data["a"], rtol=1e-6)
