"""Sobol' indices from Saltelli's design: published values, and estimates made another way."""

import dataclasses
import itertools

import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import jaxscale as js
from jaxscale.sweeping.job import prepare
from jaxscale.sweeping.program import Form

UNIT, ANGLE = js.uniform(0, 1), js.uniform(-np.pi, np.pi)
A = np.array([0.0, 1.0, 4.5, 9.0, 99.0])  # of the g-function
INDICES = js.SobolIndices("y")


def ishigami(second, first, third):  # names that are not in alphabetical order
    return {"y": jnp.sin(second) + 7 * jnp.sin(first) ** 2 + 0.1 * third**4 * jnp.sin(second)}


def g_function(**x):
    factors = [(abs(4 * u - 2) + a) / (1 + a) for u, a in zip(x.values(), A, strict=True)]
    return {"y": jnp.prod(jnp.stack(factors))}


def ishigami_design(points, **options):
    return js.Saltelli(points, 3, second=ANGLE, first=ANGLE, third=ANGLE, **options)


def indices_of(scenario, space, **options):
    return js.sweep(scenario, space, reduce=[INDICES], **options)[INDICES]


def values_of(indices):
    return np.array([index.value for index in indices.values()])


def by_the_papers(runs):
    """First, total and second order by their papers' formulas; runs are (runs, points), float64."""
    many = len(runs) // 2 - 1
    runs = runs - runs[:2].mean()
    a, b, mixed = runs[0], runs[1], (runs[2 : 2 + many], runs[2 + many :])
    variance = np.var(runs[:2])
    with_a, with_b = ((b * (mixed[0] - a)).mean(1), (a * (mixed[1] - b)).mean(1))
    first = (with_a + with_b) / 2 / variance
    total = (((mixed[0] - a) ** 2).mean(1) + ((mixed[1] - b) ** 2).mean(1)) / 4 / variance
    second = []
    for i, j in itertools.combinations(range(many), 2):
        # Saltelli 2002: the variance that two arguments explain together, less that of each.
        both = [(mixed[1][p] * mixed[0][q] - a * b).mean() for p, q in ((i, j), (j, i))]
        second.append(np.mean(both) / variance - first[i] - first[j])
    return first, total, np.array(second)


def assert_same(one, other, rtol):
    assert (one.count, one.skipped) == (other.count, other.skipped)
    assert_allclose([one.mean, one.variance], [other.mean, other.variance], rtol=rtol)
    for order in ("first", "total", "second"):
        indices, again = getattr(one, order), getattr(other, order)
        assert list(indices) == list(again)
        assert_allclose(list(indices.values()), list(again.values()), rtol=0, atol=rtol)


# --- Published values ------------------------------------------------------------------------


def test_ishigami_s_indices_are_found():
    """Ishigami and Homma 1990, with a = 7 and b = 0.1."""
    found = indices_of(ishigami, ishigami_design(2**13), dtype="float64")
    of_second, of_both = 0.1 * np.pi**4 / 5 + np.pi**8 / 5000 + 0.5, 8 * np.pi**8 / 22500
    parts = {"second": of_second, "first": 49 / 8, "third": 0.0}
    variance = sum(parts.values()) + of_both
    shares = {"second": of_both, "first": 0.0, "third": of_both}
    pairs = {("second", "first"): 0, ("second", "third"): of_both, ("first", "third"): 0}
    assert_allclose(found.variance, variance, rtol=5e-3)
    assert_allclose(found.mean, 3.5, rtol=1e-3)
    for name, part in parts.items():
        assert_inside(found.first[name], part / variance)
        assert_inside(found.total[name], (part + shares[name]) / variance)
    assert list(found.second) == list(pairs)
    for pair, part in pairs.items():
        assert_inside(found.second[pair], part / variance)


def test_the_g_function_s_indices_are_found():
    """Saltelli and Sobol' 1995."""
    names = ("e", "d", "c", "b", "a")
    space = js.Saltelli(2**13, 5, **dict.fromkeys(names, UNIT))
    stats = js.sweep(g_function, space, reduce=[INDICES], dtype="float64")
    parts = 1 / 3 / (1 + A) ** 2
    variance = np.prod(1 + parts) - 1
    for at, name in enumerate(names):
        rest = np.prod(np.delete(1 + parts, at))
        assert_inside(stats[INDICES].first[name], parts[at] / variance)
        assert_inside(stats[INDICES].total[name], parts[at] * rest / variance)
    for (i, one), (j, other) in itertools.combinations(enumerate(names), 2):
        assert_inside(stats[INDICES].second[one, other], parts[i] * parts[j] / variance)


def assert_inside(index, exact):
    assert_allclose(index.value, exact, rtol=0, atol=5e-3)
    assert index.low - 1e-6 <= exact <= index.high + 1e-6  # an index of 1e-9 has no width
    assert index.high - index.low < 0.08


# --- The same estimates, made another way ----------------------------------------------------


def test_estimates_are_those_of_scipy_from_the_same_runs():
    stats = pytest.importorskip("scipy.stats")
    space = ishigami_design(512, second_order=False)
    runs = np.asarray(js.sweep(ishigami, space, dtype="float64")["y"])
    given = {"f_A": runs[:1], "f_B": runs[1:2], "f_AB": runs[2:, None]}
    exact = stats.sobol_indices(func=given, n=512, method="saltelli_2010")
    found = indices_of(ishigami, space, dtype="float64")
    assert_allclose(values_of(found.first), exact.first_order, rtol=0, atol=1e-12)
    assert_allclose(values_of(found.total), exact.total_order, rtol=0, atol=1e-12)
    assert found.second == {}


def test_points_with_a_bad_run_are_skipped_and_float32_keeps_its_digits():
    """A deviation of 4 from 40,000 has ten bits in float32; sums of squares would have none."""

    def scenario(second, first, third):
        y = 40_000 + ishigami(second, first, third)["y"]
        return {"y": jnp.where(abs(third - 1) < 0.01, jnp.nan, y), "status": jnp.int8(0)}

    space = ishigami_design(1024)
    runs = np.asarray(js.sweep(scenario, space, dtype="float32")["y"]).astype(np.float64)
    good = np.isfinite(runs).all(axis=0)
    assert 4 <= (~good).sum() < 40
    found = indices_of(scenario, space, dtype="float32")
    assert (found.count, found.skipped) == (8 * good.sum(), 8 * (~good).sum())
    first, total, second = by_the_papers(runs[:, good])
    assert_allclose(values_of(found.first), first, rtol=0, atol=1e-5)
    assert_allclose(values_of(found.total), total, rtol=0, atol=1e-5)
    assert_allclose(values_of(found.second), second, rtol=0, atol=1e-5)
    assert_allclose(found.mean, runs[:2, good].mean(), rtol=1e-7)


def test_totals_merge_in_any_order_whatever_they_know_and_whatever_the_chunks(rng):
    space = ishigami_design(256)
    job = prepare(ishigami, space, reduce=[INDICES], dtype="float32", chunk=16)
    job = dataclasses.replace(job, form=Form.AT_ONCE)  # as on accelerators
    assert job.chunks.shape == (8, 2)
    reducer, program = job.reducers[0], job.program()
    totals = [reducer.total(*empty) for empty in [_nothing(job)]]
    for number in range(job.chunks.count):
        shift, scale = rng.uniform(-2, 2), 2.0 ** rng.integers(-3, 4)
        known = [{"shift": np.float32(shift), "scale": np.float32(scale)}, {}]
        (done,) = program.fetch(program.launch([np.array([number])], known))
        totals.append(done.totals[0])
    whole = indices_of(ishigami, space, dtype="float32")
    for _ in range(3):
        rng.shuffle(totals)
        total = totals[0]
        for other in totals[1:]:
            total = reducer.merge(total, other)
        assert_same(reducer.result(total, lambda number: {}), whole, rtol=1e-5)


def _nothing(job):
    (total,) = [job.program().empty_totals()[0]]
    name = next(name for name in total if name.startswith("products"))
    parts = {name: total[name][:0], **{each: np.zeros(0) for each in ("count", "skipped")}}
    parts |= {"min": np.zeros(0), "max": np.zeros(0)}
    return parts, {"shift": 5.0, "scale": 4.0}, np.zeros((0, 2), np.int64), job.group


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_squares_of_float32_neither_overflow_nor_vanish(scale):
    def scenario(a, b):
        return {"y": jnp.float32(scale) * (a + 2 * b)}

    found = indices_of(scenario, js.Saltelli(256, 0, a=UNIT, b=UNIT), dtype="float32")
    assert_allclose(values_of(found.first), [0.2, 0.8], atol=1e-3)
    assert_allclose(found.variance, scale**2 * 5 / 12, rtol=1e-2)


def test_what_does_not_vary_has_no_indices():
    found = indices_of(lambda x: {"y": 0 * x + 3}, js.Saltelli(64, 0, x=UNIT), dtype="float32")
    assert (found.mean, found.variance) == (3, 0)
    assert np.isnan(found.first["x"]).all()
    found = indices_of(lambda x: {"y": jnp.inf * x}, js.Saltelli(64, 0, x=UNIT), dtype="float32")
    assert (found.count, found.skipped) == (0, 256)
    assert np.isnan([found.mean, found.variance, *found.total["x"]]).all()
    # Too few blocks for an interval.
    few = lambda x: {"y": jnp.where(x < 0.02, x, jnp.nan)}  # noqa: E731
    found = indices_of(few, js.Saltelli(64, 0, second_order=False, x=UNIT), dtype="float32")
    assert np.isnan(found.total["x"].low)


# --- The design ------------------------------------------------------------------------------


def test_runs_mix_the_draws_of_two_points():
    draws = {"b": js.normal(0, 1), "a": js.choice({"one": 1.0, "two": 2.0}), "c": UNIT}
    space = js.Saltelli(64, 7, **draws)
    top = js.TopK("sum", 2)

    def scenario(b, a, c):
        return {"sum": b + a + c}

    data = js.sweep(scenario, space, dtype="float32")
    assert dict(data.sizes) == {"run": 8, "point": 64}
    for name in draws:
        of_a, of_b = (data[name].sel(run=run).values for run in "AB")
        assert (of_a != of_b).mean() > 0.3
        for run in data["run"].values[2:]:
            base, _, mixed, *_ = run.split()
            is_b = (base == "B") != (mixed == name)
            assert_array_equal(data[name].sel(run=run), of_b if is_b else of_a)
    # A is the sample of the same key.
    sample = js.sweep(scenario, js.Sobol(64, 7, **draws), dtype="float32")
    assert_array_equal(data["c"].sel(run="A"), sample["c"])
    best = js.sweep(scenario, space, dtype="float32", reduce=[top])[top]
    assert best.values[0] == data["sum"].max()
    at = best.at[0]
    assert list(at) == ["run", "point", "b", "a", "c"]
    assert at["b"] == data["b"].sel(run=at["run"])[at["point"]]
    assert at["a"] in ("one", "two")


def test_processes_that_share_a_store_have_one_result(tmp_path):
    space, path = ishigami_design(128), tmp_path / "runs.zarr"
    call = {"store": path, "reduce": [INDICES], "dtype": "float32"}
    js.sweep(ishigami, space, process=(0, 2), **call)
    found = js.sweep(ishigami, space, process=(1, 2), **call)[INDICES]
    assert_same(found, indices_of(ishigami, space, dtype="float32"), rtol=1e-6)
    stored = js.sweeping.open_store(path)["y"]
    # Two programs, in which XLA may take another form of a sine.
    assert_allclose(stored, js.sweep(ishigami, space, dtype="float32")["y"], rtol=0, atol=1e-4)


def test_a_design_and_its_indices_show_themselves():
    pytest.importorskip("pandas")
    space = ishigami_design(64)
    title = "Saltelli design of 64 points of 8 runs, 512 scenarios"
    assert repr(space).splitlines()[0] == title
    assert title in space._repr_html_()
    found = indices_of(ishigami, space, dtype="float32")
    lines = repr(found).splitlines()
    assert lines[0] == "SobolIndices of 512 scenarios"
    assert lines[1].split("  ")[0:1] == [""]
    assert [line.split("  ")[0] for line in lines[3:6]] == ["second", "first", "third"]
    assert "second and third" in repr(found)
    frame = found.to_dataframe()
    assert frame["value"].tolist()[:3] == values_of(found.first).tolist()
    assert frame["order"].tolist() == ["first"] * 3 + ["total"] * 3 + ["second"] * 3


def test_a_kernel_refuses_the_runs_of_a_point():
    space = js.Saltelli(64, 0, x=UNIT)  # of no other test: programs are kept
    job = prepare(lambda x: {"y": x + 1}, space, reduce=[INDICES], dtype="float32")
    assert "js.Saltelli" in dataclasses.replace(job, form=Form.KERNEL).obstacle()


def test_a_chunk_holds_whole_points_of_one_block():
    for points, chunk, length in ((2**20, 2**16, 2**13), (1024, 2**16, 16), (1024, 20, 2)):
        chunks = ishigami_design(points).cut(chunk)
        assert chunks.shape == (8, length)
        assert points // 64 % length == 0


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: js.Saltelli(100, 0, x=UNIT), ValueError, "points must be a power of two.*got 100"),
        (lambda: js.Saltelli(32, 0, x=UNIT), ValueError, "64 to 4,294,967,296; got 32"),
        (lambda: js.Saltelli(64.0, 0, x=UNIT), TypeError, "points must be a whole number"),
        (lambda: js.Saltelli(64, 0, x=3), TypeError, "x must be a distribution such as"),
        (lambda: js.Saltelli(64, 0), ValueError, "at least one distribution"),
        (lambda: js.Saltelli(64, 0, point=UNIT), ValueError, "'point' is an axis of the results"),
        (lambda: js.Saltelli(64, 0, second_order=1, x=UNIT), TypeError, "second_order must be"),
        (
            lambda: js.Saltelli(64, 0, **{f"x{i}": UNIT for i in range(33)}),
            ValueError,
            "at most 32 arguments, because each takes two of the 64 dimensions.*got 33",
        ),
        (lambda: js.SobolIndices("y", 95), ValueError, "confidence must be 0 to 1; got 95"),
        (lambda: js.SobolIndices(3), TypeError, "field must be the name of a field; got 3"),
        (
            lambda: js.sweep(ishigami, ishigami_design(64), reduce=[INDICES], chunk=7),
            ValueError,
            "chunk must hold the 8 runs of a point; got 7",
        ),
        (
            lambda: js.sweep(lambda x: {"y": x}, js.Sobol(64, 0, x=UNIT), reduce=[INDICES]),
            ValueError,
            "reduce: SobolIndices needs a js.Saltelli; the space is a js.Sobol",
        ),
    ],
)
def test_a_wrong_argument_is_named(make, error, message):
    with pytest.raises(error, match=message):
        make()
