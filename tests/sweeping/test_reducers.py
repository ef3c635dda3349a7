"""Statistics of a sweep against NumPy, whatever the chunks, the merges and the lanes to skip."""

import jax
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from jaxscale.sweeping.reducers import (
    Extremes,
    Histogram,
    MainEffects,
    Moments,
    Quantiles,
    StatusCounts,
    TopK,
)
from jaxscale.sweeping.reducers.counts import StatusCountsResult
from jaxscale.sweeping.reducers.results import LINES, Statistics
from sweeping.reduce_harness import (
    SIZES,
    lognormal,
    merged,
    reduced,
    result_of,
    totals_of,
    with_bad_lanes,
)

EVERY = [
    Moments("x"),
    Quantiles("x"),
    Histogram("x", (0.1, 1.0, 10.0, 1e3)),
    Extremes("x"),
    TopK("x", 5),
    TopK("x", 70, lowest=True),
    StatusCounts(),
    MainEffects("x"),
]
EACH = pytest.mark.parametrize("reducer", EVERY, ids=lambda each: type(each).__name__)


def assert_same(one, other, rtol=1e-13):
    """Exactly the same, but for the rounding of means."""
    for name, value in vars(one).items():
        again = getattr(other, name)
        if isinstance(value, dict) and any(isinstance(each, np.ndarray) for each in value.values()):
            for axis, array in value.items():
                assert_allclose(again[axis], array, rtol=rtol)
        elif name in ("mean", "std", "variance"):
            assert_allclose(again, value, rtol=rtol)
        elif name == "indices":
            assert_allclose(list(again.values()), list(value.values()), rtol=1e-9)
        else:
            assert_array_equal(again, value)


@EACH
def test_totals_merge_in_any_order(rng, reducer):
    fields, _ = with_bad_lanes(rng, lognormal(rng, np.float32))
    totals = totals_of(reducer, fields)
    one = result_of(reducer, merged(reducer, totals), fields)
    for _ in range(5):
        assert_same(one, result_of(reducer, merged(reducer, totals, rng), fields))


@EACH
def test_totals_are_dicts_of_arrays_and_merging_keeps_them_so(rng, reducer):
    totals = totals_of(reducer, with_bad_lanes(rng, lognormal(rng, np.float32))[0])
    for total in (totals[0], merged(reducer, totals)):
        assert all(type(array) is np.ndarray for array in total.values())
        assert all(array.dtype.kind in "if" for array in total.values())


@EACH
def test_a_reducer_is_a_key(reducer):
    assert {reducer: 1}[reducer] == 1
    assert reducer.needs == ""


@EACH
def test_nothing_that_counts_is_not_an_error(reducer):
    nothing, failed = np.full(SIZES, np.nan, np.float32), np.full(SIZES, 7, np.int8)
    found = reduced(reducer, {"x": nothing, "status": failed})
    if isinstance(reducer, StatusCounts):
        counts = {"INFEASIBLE_LOSS": nothing.size}
        assert found == StatusCountsResult(nothing.size, 0, nothing.size, counts)
        return
    assert (found.count, found.skipped) == (0, nothing.size)
    rest = {name: value for name, value in vars(found).items() if name not in ("edges", "levels")}
    for name in ("mean", "std", "min", "max", "variance"):
        assert np.isnan(rest.get(name, np.nan))
    if isinstance(reducer, Quantiles):
        assert np.isnan(rest["values"]).all()
    if isinstance(reducer, MainEffects):
        assert all(np.isnan(each).all() for each in rest["effects"].values())
        assert all(np.isnan(each) for each in rest["indices"].values())
    if isinstance(reducer, Extremes):
        assert rest["min_at"] == rest["max_at"] == {}
    if isinstance(reducer, TopK):
        assert rest["at"] == ()


@EACH
def test_a_result_shows_itself_in_a_short_table_and_in_full_as_a_dataframe(rng, reducer):
    pytest.importorskip("pandas")
    fields, good = with_bad_lanes(rng, lognormal(rng, np.float32))
    found = reduced(reducer, fields)
    assert len(repr(found).splitlines()) < LINES
    assert repr(found).startswith(found.title)
    assert found._repr_html_().startswith(f"<table><caption>{found.title}</caption>")
    frame = found.to_dataframe()
    if isinstance(reducer, Moments):
        assert frame["mean"].item() == found.mean == pytest.approx(good.mean(), rel=1e-6)
        assert f"of {good.size} scenarios, {found.skipped} skipped" in repr(found)
    if isinstance(reducer, TopK):
        assert frame["value"].tolist() == found.values.tolist()
        assert frame["scenario"].tolist() == [at["scenario"] for at in found.at]
    if isinstance(reducer, (StatusCounts, Histogram)):
        assert frame["count"].sum() == (found.total if reducer == StatusCounts() else good.size)


def test_statistics_are_a_dict_that_shows_itself(rng):
    pytest.importorskip("pandas")
    fields, good = with_bad_lanes(rng, lognormal(rng, np.float32))
    found = Statistics((each, reduced(each, fields)) for each in EVERY)
    lines = repr(found).splitlines()
    assert lines[0] == found[StatusCounts()].title
    assert len(lines) == LINES
    assert lines[-1].endswith("more lines")
    assert found._repr_html_().count("<table>") == len(EVERY)
    frame = found.to_dataframe()
    mean = frame[(frame.statistic == "Moments") & (frame.quantity == "mean")]["value"].item()
    assert mean == pytest.approx(good.mean(), rel=1e-6)
    assert repr(Statistics({"mine": 3})) == "'mine': 3"


# --- Statuses --------------------------------------------------------------------------------


def test_statuses_are_counted_by_name(rng):
    status = rng.choice([0, 1, 7, 13, 14, 100], SIZES).astype(np.int8)
    found = reduced(StatusCounts(), {"status": status})
    names = {0: "OK", 1: "AT_MIN_PARAMS", 7: "INFEASIBLE_LOSS", 13: "NOT_CONVERGED"}
    names |= {14: "SEVERAL_OPTIMA"}
    exact = {name: int((status == code).sum()) for code, name in names.items()}
    assert found.counts == exact | {"other": int((status == 100).sum())}
    assert found.total == status.size
    assert found.ok == exact["OK"] + exact["AT_MIN_PARAMS"]
    assert found.not_ok == status.size - found.ok


@pytest.mark.parametrize("dtype", [np.int8, np.int32])
def test_a_number_that_is_no_status_is_not_ok(dtype):
    fields = {
        "x": np.arange(5, dtype=np.float32),
        "status": np.array([-1, 0, -128, 100, 15], dtype),
    }
    assert reduced(StatusCounts(), fields) == StatusCountsResult(
        5, 2, 3, {"OK": 1, "AT_LEVER_END": 1, "other": 3}
    )
    assert reduced(Moments("x"), fields).mean == (1 + 4) / 2


def test_without_a_status_what_is_not_finite_is_not_ok():
    fields = {"x": np.array([1, np.nan, 2], np.float32), "y": np.array([1, 2, np.inf], np.float32)}
    assert reduced(StatusCounts(), fields) == StatusCountsResult(3, 1, 2, {})


# --- Fields of other dtypes, and mistakes ----------------------------------------------------


@pytest.mark.parametrize("reducer", [Moments("x"), TopK("x", 5)])
def test_whole_numbers_are_reduced_as_reals(rng, reducer):
    whole = rng.integers(-9, 99, SIZES).astype(np.int32)
    dtype = jax.dtypes.canonicalize_dtype(np.float64)
    assert_same(reduced(reducer, {"x": whole}), reduced(reducer, {"x": whole.astype(dtype)}))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Moments(3), TypeError, "field must be the name of a field; got 3"),
        (lambda: Quantiles("x", levels=0.5), TypeError, "levels must be a sequence.*got 0.5"),
        (lambda: Quantiles("x", levels=()), ValueError, "levels must hold at least one"),
        (lambda: Quantiles("x", levels=(0.5, 50)), ValueError, "levels must be 0.0 to 1.0; got 50"),
        (lambda: Quantiles("x", relative_error=0), ValueError, "relative_error must be 0.001 to"),
        (lambda: Histogram("x", 5), TypeError, "edges must be a sequence of numbers; got 5"),
        (lambda: Histogram("x", (1,)), ValueError, "edges must be at least 2 numbers; got 1"),
        (lambda: Histogram("x", (1, 3, 3)), ValueError, "edges must increase; got 3.0 after 3.0"),
        (lambda: Histogram("x", (1, np.inf)), ValueError, "edges must be finite; got inf"),
        (lambda: TopK("x", 0), ValueError, "k must be 1 to 100,000; got 0"),
        (lambda: TopK("x", 2.5), TypeError, "k must be a whole number; got 2.5"),
        (lambda: TopK("x", lowest="no"), TypeError, "lowest must be True or False; got 'no'"),
    ],
)
def test_a_wrong_argument_is_named(make, error, message):
    with pytest.raises(error, match=message):
        make()
