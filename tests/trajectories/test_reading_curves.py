"""Curves from tables of many kinds, with what trackers leave out, and rows that are refused."""

import gzip

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import jaxscale as js

pandas = pytest.importorskip("pandas")
Curve, Curves = js.trajectories.Curve, js.trajectories.Curves
STEPS, RATES, LOSSES = [10, 20, 30, 40], [1e-3, 2e-3, 2e-3, 1e-3], [5.25, 4.5, 4.125, 4.0]
TABLE = pandas.DataFrame({"step": STEPS, "lr": RATES, "loss": LOSSES})


def frame(**columns):
    return TABLE.assign(**columns)


def text(separator, decimal=".", encoding="utf-8"):
    return TABLE.to_csv(index=False, sep=separator, decimal=decimal).encode(encoding)


FILES = {
    "commas": text(","),
    "semicolons and decimal commas": text(";", ","),
    "tabs": text("\t"),
    "UTF-16": text(",", encoding="utf-16"),
    "gzip": gzip.compress(text(",")),
    "JSON lines": TABLE.to_json(orient="records", lines=True).encode(),
    "JSON": TABLE.to_json().encode(),
}


@pytest.mark.parametrize("kind", FILES)
def test_a_file_is_what_it_holds(kind, tmp_path):
    path = tmp_path / "curve.txt"
    path.write_bytes(FILES[kind])
    curve = Curve.read(path)
    assert_array_equal(curve.steps, STEPS)
    assert_array_equal(curve.loss, LOSSES)
    assert_array_equal(curve.schedule.rates[STEPS], RATES)


def test_numbers_are_read_as_those_of_runs():
    written = frame(step=["1,000", "2 K", "3_000", "4e3"], lr=["1e-3", "2e-3", "2e-3", ".001"])
    curve = Curve.from_dataframe(written, loss="log(exp(loss))")
    assert_array_equal(curve.steps, [1000, 2000, 3000, 4000])
    assert curve.loss == pytest.approx(LOSSES)
    bits = Curve.from_dataframe(TABLE, loss_unit="bits", where="step > 10")
    assert bits.loss == pytest.approx(np.log(2) * np.array(LOSSES[1:]))


def test_losses_and_rates_may_be_logged_at_different_steps():
    """Rates are known before the first loss, between losses, and of the steps to come."""
    rows = pandas.DataFrame(
        {
            "step": [0, 0, 10, 15, 20, 60],
            "loss": [9.0, None, 5.0, None, 4.5, None],
            "lr": [None, 0.0, None, 3e-3, None, 0.0],
        }
    )
    curve = Curve.from_dataframe(rows)
    assert_array_equal(curve.steps, [10, 20])
    expected = np.interp(np.arange(61), [0, 15, 60], [0, 3e-3, 0])
    assert_array_equal(curve.schedule.rates, expected)
    assert Curve.from_dataframe(rows, lr=None, steps=50).schedule.steps == 50


def test_a_column_for_each_run_makes_a_curve_each(tmp_path):
    path = tmp_path / "export.csv"
    path.write_text("step,a - loss,b - loss\n10,5,4\n20,4.5,3.5\n30,4.25,\n")
    how = {"lr": None}
    with pytest.warns(UserWarning, match="2 runs"):
        curves = Curves.read(path, name="run", **how)
    assert [(each.name, len(each)) for each in curves] == [("a", 3), ("b", 2)]
    with pytest.warns(UserWarning, match="2 runs"):
        assert_array_equal(Curve.read(path, where="run == 'b'", **how).loss, [4, 3.5])
    with pytest.raises(ValueError, match=r"2 trainings \('a', 'b'\), where one is expected"):
        Curve.read(path, **how)


def test_rates_are_read_only_where_no_schedule_is_given():
    schedule = js.trajectories.Schedule.constant(40, 1e-3)
    bare = TABLE.drop(columns="lr")
    assert Curve.from_dataframe(bare, schedule=schedule).schedule is schedule
    named = bare.assign(name=["a", "a", "b", "b"])
    schedules = dict.fromkeys("ab", schedule)
    assert len(Curves.from_dataframe(named, schedules=schedules)) == 2
    with pytest.raises(ValueError, match="no column 'lr' for lr"):
        Curves.from_dataframe(named, schedules={"a": schedule})
    with pytest.raises(ValueError, match="schedules: no curve 'c'; there are a, b"):
        Curves.from_dataframe(named, schedules=schedules | {"c": schedule})


def test_unknown_keywords_are_named_with_the_nearest():
    for each in (Curve, Curves):
        with pytest.raises(
            TypeError, match=rf"{each.__name__}.read\(\) .* 'stp' \(did you mean step\?"
        ):
            each.read("curve.csv", stp="Step")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (frame(step=[10, 20, 20, 40]), "rows 2 and 3 both have step 20: keep the rows of one"),
        (frame(step=[10, 20.5, 30, 40]), r"row 2: step is 20\.5, not a whole number"),
        (frame(step=[10, -20, 30, 40]), "row 2: step is -20, below 0"),
        (frame(step=[10, 20, 30, 4e9]), "from 1 to 20,000,000; got 4000000000"),
        (frame(loss=[5, 4, -3, "x"]), "row 3: loss is -3, not above 0; row 4: loss is 'x'"),
        (frame(lr=[1, 1, 1, -1]), "row 4: lr is -1, below 0"),
        (frame(lr=None), "curve: no row has a rate in 'lr'"),
        (frame(loss=None), "no row has both a step above 0 and a loss"),
        (TABLE.rename(columns={"step": "Step"}), "no column 'step' for step"),
    ],
)
def test_rows_that_make_no_curve_are_named(rows, message):
    with pytest.raises(ValueError, match=message):
        Curve.from_dataframe(rows)
