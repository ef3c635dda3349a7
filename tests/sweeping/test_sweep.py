"""Sweeps in memory: every scenario is the scenario function's, whatever the chunks and dtype."""

from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxscale as js
from jaxscale.sweeping import results
from jaxscale.sweeping.job import prepare
from sweeping.test_spaces import DEFAULTS, NUMBERS, chunks_of

LAW = js.laws.published("sardana2024")


def plans(loss, requests):
    demand = js.Demand.from_requests(requests, input_tokens=70, output_tokens=215)
    plan = js.minimize_cost(LAW, loss, demand)
    return {"params": plan.params, "total_cost": plan.total_cost, "status": plan.status}


def plain(a, b):
    return {"total": a + 10 * b, "whole": jnp.int32(7), "flag": a > b}


SPACE = js.Grid(loss=js.linspace(1.6, 2.6, 21), requests=js.geomspace(1e6, 1e12, 13))
SMALL = js.Grid(a=js.linspace(0, 1, 7), b=js.linspace(2, 3, 5))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_sweep_is_one_big_solve(dtype):
    data = js.sweep(plans, SPACE, dtype=dtype, chunk=40)
    with jax.enable_x64(dtype == "float64"):
        loss, requests = (data[name].values.astype(dtype) for name in ("loss", "requests"))
        expected = plans(loss[:, None], requests[None, :])
        tolerance = 1e-12 if dtype == "float64" else 1e-5
        for name in ("params", "total_cost"):
            assert data[name].dtype == dtype
            np.testing.assert_allclose(data[name], expected[name], rtol=tolerance)
        np.testing.assert_array_equal(data["status"], expected["status"])
    assert data["status"].dtype == np.int8


def test_scenarios_without_a_plan_leave_their_neighbours_alone_and_are_counted():
    data = js.sweep(plans, SPACE, dtype="float64")
    infeasible = data["loss"].values <= LAW.E
    assert 0 < infeasible.sum() < len(infeasible)
    assert np.isnan(data["params"].values[infeasible]).all()
    assert np.isfinite(data["params"].values[~infeasible]).all()
    counts = js.sweep(plans, SPACE, dtype="float64", reduce=[js.Moments("params")])
    statuses = counts[js.StatusCounts()]
    assert statuses.not_ok == infeasible.sum() * 13
    assert statuses.counts["INFEASIBLE_LOSS"] == statuses.not_ok
    moments = counts[js.Moments("params")]
    assert moments.count == (~infeasible).sum() * 13
    np.testing.assert_allclose(moments.mean, np.nanmean(data["params"]), rtol=1e-12)


def test_one_nan_is_skipped_without_a_status_field():
    def broken(a, b):
        return {"total": jnp.where((a == 0) & (b == 2), jnp.nan, a + b)}

    found = js.sweep(broken, SMALL, reduce=[js.Moments("total")], chunk=8)
    assert found[js.StatusCounts()].not_ok == 1
    assert (found[js.Moments("total")].count, found[js.Moments("total")].skipped) == (34, 1)


@pytest.mark.parametrize("chunk", [1, 4, 5, 34, 1000])
def test_any_chunk_gives_the_same_bytes(chunk):
    expected = js.sweep(plain, SMALL, dtype="float32")
    found = js.sweep(plain, SMALL, dtype="float32", chunk=chunk)
    for name in expected:
        assert found[name].values.tobytes() == expected[name].values.tobytes()


def test_dtype_is_the_sweeps_own_whatever_the_callers_switch():
    before = jax.config.jax_enable_x64
    for switch in (False, True):
        with jax.enable_x64(switch):
            wide = js.sweep(plain, SMALL, dtype="float64")["total"]
            narrow = js.sweep(plain, SMALL, dtype=np.float32)["total"]
            default = js.sweep(plain, SMALL)["total"]
        assert (wide.dtype, narrow.dtype) == (np.float64, np.float32)
        assert default.dtype == (np.float64 if switch else np.float32)
        np.testing.assert_array_equal(wide, wide["a"] + 10 * wide["b"])
    assert jax.config.jax_enable_x64 == before


def test_fields_are_chosen_and_labelled():
    asked = {"total": {"units": "dollars", "long_name": "the total"}}
    data = js.sweep(plain, SMALL, fields=asked)
    assert list(data.data_vars) == ["total"]
    assert data["total"].attrs == asked["total"]
    assert data["total"].dims == ("a", "b")
    data = js.sweep(plans, SPACE)
    assert data["params"].attrs == {"long_name": "model parameters", "units": "1"}
    assert data["status"].attrs["flag_meanings"].split()[7] == "INFEASIBLE_LOSS"


def test_axes_carry_their_units():
    space = js.Grid(a=js.linspace(0, 1, 3, units="nats/token", long_name="loss"), b=[1.0])
    assert js.sweep(plain, space)["a"].attrs == {"units": "nats/token", "long_name": "loss"}


def test_without_xarray_results_are_arrays_by_name(monkeypatch):
    monkeypatch.setattr(results.importlib.util, "find_spec", lambda name: None)
    data = js.sweep(plain, SMALL)
    assert isinstance(data, dict)
    assert {name: array.shape for name, array in data.items()} == {
        "a": (7,), "b": (5,), "total": (7, 5), "whole": (7, 5), "flag": (7, 5)
    }  # fmt: skip


def test_a_sample_is_the_same_whatever_the_chunk_and_what_else_is_drawn():
    draws = {"a": js.uniform(0, 1), "b": js.lognormal(2.0, 0.5)}
    key = jax.random.key(3)
    one = js.sweep(plain, js.Sample(1000, key, **draws), dtype="float64")
    other = js.sweep(plain, js.Sample(1000, key, **draws), dtype="float64", chunk=64)
    for name in ("a", "b", "total"):
        assert one[name].values.tobytes() == other[name].values.tobytes()
    np.testing.assert_allclose(one["total"], one["a"] + 10 * one["b"], rtol=1e-15)
    swapped = js.Sample(1000, key, c=js.uniform(1, 2), b=draws["b"], a=draws["a"])
    third = js.sweep(lambda a, b, c: plain(a, b), swapped, dtype="float64")
    np.testing.assert_array_equal(third["a"], one["a"])


def test_scenarios_of_a_huge_sample_are_those_of_their_number():
    space = js.Sample(10**17, jax.random.key(0), a=js.uniform(0, 1))
    for chunk in (1000, 4096):
        job = prepare(lambda a: {"x": a}, space, **DEFAULTS | {"chunk": chunk, "dtype": "float64"})
        chunks = [number // job.chunks.length for number in NUMBERS]
        found, _ = chunks_of(space, chunks, lambda a: {"x": a}, chunk=chunk, dtype="float64")
        for number, done in zip(NUMBERS, found, strict=True):
            drawn = done.fields[0]["x"][number % job.chunks.length]
            assert drawn == space.locator("float64")(number)["a"], number


def test_bootstrapped_laws_are_drawn_in_whole_rows():
    E = np.linspace(1.5, 1.8, 50)
    laws = js.laws.Chinchilla(E=E, A=400 * E, B=410 * E, alpha=0.3 * E, beta=0.2 * E)
    space = js.Sample(500, jax.random.key(1), law=js.rows(laws))
    data = js.sweep(lambda law: {"E": law.E, "A": law.A, "beta": law.beta}, space, dtype="float64")
    np.testing.assert_allclose(data["A"], 400 * data["E"], rtol=1e-14)
    np.testing.assert_allclose(data["beta"], 0.2 * data["E"], rtol=1e-14)
    np.testing.assert_array_equal(E[data["law"].values], data["E"])
    assert len(np.unique(data["law"])) > 40


def test_an_executor_gives_the_same_bytes_and_statistics():
    reducers = [js.Moments("total"), js.TopK("total", k=3)]
    alone = js.sweep(plain, SMALL, dtype="float32", chunk=5)
    statistics = js.sweep(plain, SMALL, dtype="float32", chunk=5, reduce=reducers)
    with ThreadPoolExecutor(2) as executor:
        shared = js.sweep(plain, SMALL, dtype="float32", chunk=5, executor=executor)
        found = js.sweep(plain, SMALL, dtype="float32", chunk=5, reduce=reducers, executor=executor)
    assert alone["total"].values.tobytes() == shared["total"].values.tobytes()
    assert found[reducers[1]].at == statistics[reducers[1]].at
    np.testing.assert_allclose(found[reducers[0]].mean, statistics[reducers[0]].mean, rtol=1e-6)


def test_what_would_not_fit_in_memory_is_refused_before_computing(monkeypatch):
    def never(**inputs):
        assert all(isinstance(value, jax.core.Tracer) for value in inputs.values())
        return {"total": inputs["a"]}

    huge = js.Grid(**{name: range(100_000) for name in "abc"})
    with pytest.raises(MemoryError, match=r"1,000,000,000,000,000 scenarios.*store=.*reduce="):
        js.sweep(never, huge)
    monkeypatch.setattr(results, "free_memory", lambda: 100)
    with pytest.raises(MemoryError, match="fewer fields"):
        js.sweep(plain, SMALL)


def ok(a, b):
    return {"total": a + b}


REDUCE = [js.Moments("total")]
WIDE, NEAR = js.Grid(a=[1, 1e39], b=[1]), js.Grid(a=[1, 1 + 1e-12], b=[1])
MISTAKES = {
    "space": ((ok, [1, 2]), {}, TypeError, "space must be js.Grid"),
    "no function": (("total", SMALL), {}, TypeError, "scenario must be a function of a, b"),
    "missing": ((lambda a: {"t": a}, SMALL), {}, ValueError, "takes no 'b'"),
    "misspelt": ((lambda a, bb: {"t": a}, SMALL), {}, ValueError, "takes no 'b'.*takes a, bb"),
    "needs": ((lambda a, b, aa: {"t": a}, SMALL), {}, ValueError, "needs 'aa'.*gives a, b"),
    "no dict": ((lambda a, b: a, SMALL), {}, TypeError, "must return a dict of scalars"),
    "array": ((lambda a, b: {"t": jnp.ones(3)}, SMALL), {}, ValueError, r"'t' must be a scalar.*3"),
    "plan": ((lambda a, b: {"t": js.Demand(a)}, SMALL), {}, TypeError, "'t' must be a scalar"),
    "name": ((lambda a, b: {"a": a}, SMALL), {}, ValueError, "'a' has the name of an argument"),
    "complex": ((lambda a, b: {"t": jnp.complex64(1)}, SMALL), {}, TypeError, "a real number"),
    "field": ((ok, SMALL), {"fields": ["totl"]}, ValueError, "no 'totl'.*did you mean 'total'"),
    "one field": ((ok, SMALL), {"fields": "total"}, TypeError, "fields must be names"),
    "no field": ((ok, SMALL), {"fields": []}, ValueError, "at least one of total"),
    "dtype": ((ok, SMALL), {"dtype": "float16"}, ValueError, "dtype must be 'float32' or"),
    "no dtype": ((ok, SMALL), {"dtype": "wide"}, ValueError, "dtype must be 'float32' or"),
    "labels": ((ok, SMALL), {"fields": {"total": "USD"}}, TypeError, "must be a dict of strings"),
    "unhashable": ((ok, SMALL), {"fields": [["total"]]}, ValueError, "gives no"),
    "useless": ((ok, SMALL), {"fields": ["total"], "reduce": REDUCE}, ValueError, "are kept"),
    "store": ((ok, SMALL), {"store": 5}, TypeError, "store must be the path"),
    "no store": ((ok, SMALL), {"store": ""}, TypeError, "store must be the path"),
    "class": ((ok, SMALL), {"reduce": [js.Moments]}, TypeError, "reduce must hold reducers"),
    "overflow": ((ok, WIDE), {"dtype": "float32"}, ValueError, "does not hold 1e"),
    "merge": ((ok, NEAR), {"dtype": "float32"}, ValueError, "axis 'a': float32 does not tell"),
    "chunk": ((ok, SMALL), {"chunk": 0}, ValueError, "chunk must be 1 to"),
    "chunk type": ((ok, SMALL), {"chunk": 1.5}, TypeError, "chunk must be a whole number"),
    "reduce": ((ok, SMALL), {"reduce": js.Moments("total")}, TypeError, "reduce must be a list"),
    "no reducer": ((ok, SMALL), {"reduce": ["total"]}, TypeError, "reduce must hold reducers"),
    "its field": ((ok, SMALL), {"reduce": [js.Moments("x")]}, ValueError, "reduce: .* no 'x'"),
    "process": ((ok, SMALL), {"process": (0, 2)}, ValueError, "needs a store to share"),
    "process size": ((ok, SMALL), {"process": (2, 2)}, ValueError, "0 <= rank < count"),
    "process type": ((ok, SMALL), {"process": 3}, TypeError, r"process must be \(rank, count\)"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", list(MISTAKES))
def test_structure_is_refused_by_name(mistake):
    given, options, error, message = MISTAKES[mistake]
    with pytest.raises(error, match=message):
        js.sweep(*given, **options)


def test_the_order_of_axes_and_of_draws_is_part_of_the_call():
    def tens(a, b):
        return {"y": a * 10 + b}

    axes = {"a": [1.0, 2.0], "b": [3.0, 4.0]}
    assert js.sweep(tens, js.Grid(**axes))["y"].values.tolist() == [[13, 14], [23, 24]]
    swapped = js.Grid(**dict(reversed(axes.items())))
    assert js.sweep(tens, swapped)["y"].values.tolist() == [[13, 23], [14, 24]]
    key, draws = jax.random.key(0), {"a": js.uniform(0, 1), "b": js.uniform(0, 1)}
    one, other = (
        js.sweep(tens, js.Sobol(4, key, **dict(each)))["a"].values
        for each in (draws.items(), reversed(draws.items()))
    )
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_coordinates_of_an_extreme_draw_give_it_again(dtype):
    space = js.Sample(200_000, jax.random.key(2), x=js.normal(0, 1), n=js.choice({"p": 1, "q": 0}))
    found = js.sweep(lambda x, n: {"y": x - n}, space, dtype=dtype, reduce=[js.Extremes("y")])
    lowest = found[js.Extremes("y")]
    assert lowest.min_at["n"] == "p"
    assert lowest.max_at["n"] == "q"
    assert lowest.max == lowest.max_at["x"]


def test_whole_numbers_do_not_wrap():
    space = js.Grid(requests=[1_000_000, 10_000_000])
    found = js.sweep(lambda requests: {"tokens": requests * 1000}, space)["tokens"]
    assert found.values.tolist() == [1e9, 1e10]


def test_a_callback_to_python_is_refused():
    def back(a, b):
        shape = jax.ShapeDtypeStruct((), jnp.float32)
        return {"y": jax.pure_callback(lambda a: a, shape, a, vmap_method="sequential")}

    with pytest.raises(ValueError, match="called back to"):
        js.sweep(back, SMALL, dtype="float32")


def test_main_effects_on_a_sample_are_means_in_bins():
    """Of x + y^2, whose terms have the variances 1/12 and 4/45."""
    space = js.Sample(100_000, 1, x=js.uniform(0, 1), y=js.uniform(0, 1), z=js.choice([1.0, 2.0]))
    effects = js.MainEffects("sum")
    found = js.sweep(lambda x, y, z: {"sum": x + y * y + 0 * z}, space, reduce=[effects])[effects]
    parts = np.array([1 / 12, 4 / 45, 0])
    np.testing.assert_allclose(list(found.indices.values()), parts / parts.sum(), atol=0.01)
    middles = (np.arange(64) + 0.5) / 64
    np.testing.assert_allclose(found.effects["x"], middles + 1 / 3, atol=0.05)
    assert [len(means) for means in found.effects.values()] == [64, 64, 2]
    assert all(counts.sum() == 100_000 for counts in found.counts.values())


def test_a_status_is_a_whole_number():
    with pytest.raises(TypeError, match="'status' must be a whole number; got dtype float32"):
        js.sweep(lambda a, b: {"status": 0 * a}, SMALL, dtype="float32")


def test_main_effects_are_not_of_a_saltelli_design():
    space = js.Saltelli(64, 0, x=js.uniform(0, 1))
    with pytest.raises(ValueError, match=r"of a js\.Saltelli take js\.SobolIndices"):
        js.sweep(lambda x: {"y": x}, space, reduce=[js.MainEffects("y")])


def test_the_best_whole_numbers_are_ranked_as_they_are_reduced():
    best, ends = js.TopK("y", k=1), js.Extremes("y")
    found = js.sweep(
        lambda x: {"y": jax.numpy.int32(2**30) + x.astype(jax.numpy.int32)},
        js.Grid(x=js.linspace(0, 100, 101)),
        reduce=[best, ends],
        dtype="float32",
        chunk=20,
    )
    assert found[best].at[0] == found[ends].max_at
    assert found[best].values[0] == found[ends].max
