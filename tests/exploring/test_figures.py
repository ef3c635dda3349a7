"""Figures of the page change in place, and their CSV has the arrays."""

import csv
import io
import math

import numpy as np
import pytest

pytest.importorskip("bokeh", reason="the page comes with jaxscale[explore]")

from jaxscale.costs import Costs, Demand
from jaxscale.exploring.answering import Answer
from jaxscale.exploring.demand import DemandCurve
from jaxscale.exploring.effects import Effect
from jaxscale.exploring.figures import (
    DemandPicture,
    EffectsPicture,
    LawsPicture,
    Look,
    LossPicture,
)
from jaxscale.exploring.figures.effects import signed
from jaxscale.exploring.figures.picture import beside_chinchilla, columns_of, replace
from jaxscale.exploring.figures.ticks import ticks
from jaxscale.exploring.laws_compared import Compared, LawsAlike, LawSize
from jaxscale.exploring.question import FIRST
from jaxscale.exploring.reading import Asked, Quality
from jaxscale.exploring.surfaces import Line, LossMap
from jaxscale.laws import published
from jaxscale.plan import Plan
from jaxscale.status import Status

LAW = published("besiroglu2024")


def plan(params, tokens, cost):
    status = Status.OK if math.isfinite(params) else Status.INFEASIBLE_LOSS
    loss = float(LAW.loss(params, tokens))
    return Plan(params, tokens, loss, *(cost * part for part in (0.5, 0.2, 0.3)), 1e8, status)


def answer_of(params=2e10):
    asked = Asked(
        *(FIRST, "besiroglu2024", None, LAW, {}, Quality(loss=2.0), Demand(1e12, 1e12)),
        *(Costs.flops(), None, "dollars", False),
    )
    other = plan(7e10 * params / 2e10, 1.3e12, 1.8e7)
    return Answer(asked, 2.0, plan(params, 1.4e13, 6.7e6), other, None, "", ())


def loss_map(params=2e10):
    across, up = params * np.geomspace(0.1, 10, 40), np.geomspace(1e11, 1e14, 30)
    loss = np.asarray(LAW.loss(across, up[:, None]))
    slope = Line(across, 1.4e13 * (across / params) ** 0.5)
    bound = Line(across, np.where(across < 3 * params, 1.4e13 * params / across, np.nan))
    band = Line(across / 1.2, slope.tokens), Line(across * 1.2, slope.tokens)
    box = (1e8, 2 * params), (1e9, 5e12)
    return LossMap(across, up, loss, bound, ((1.0, bound), (2.0, slope)), slope, band, box)


def demand_curve(params=2e10):
    multiples = np.geomspace(0.01, 100, 21)
    total = 6.7e6 * multiples**0.8
    parts = [part * total for part in (0.5, 0.2, 0.3)]
    sizes = params * multiples**-0.1
    return DemandCurve(multiples, 2e12 * multiples, *parts, 2 * 6.7e6 * multiples, sizes)


def sizes(params=2e10):
    nothing = [math.nan] * 5
    rows = [
        LawSize("sardana2024", 2 * params, 1e13, 7e6, math.nan, math.nan, None, "MassiveText", ""),
        LawSize("besiroglu2024", params, 1.4e13, 6.7e6, 1.8e10, 2.3e10, False, "MassiveText", ""),
        LawSize("kaplan2020", *nothing, None, "WebText2", "no model reaches this loss"),
    ]
    return Compared(rows)


def effects(params=2e10):
    return (
        Effect("loss", "Loss", "2.00", "0.01 nat more", -9.1, 1.0, -12.0, -10.0),
        Effect("train_price", "Price", "$2", "1 % more", params / 1e11, 0.0, -0.2, 0.1),
        Effect("output_tokens", "Tokens written", "2T", "1 % more", *[math.nan] * 4),
    )


PICTURES = {
    "loss map": (LossPicture, loss_map),
    "demand": (DemandPicture, demand_curve),
    "laws": (LawsPicture, sizes),
    "effects": (EffectsPicture, effects),
}


@pytest.fixture(params=PICTURES.values(), ids=PICTURES)
def shown(request):
    kind, data = request.param
    picture = kind()
    picture.update(data(), answer_of())
    return picture, data


def texts(picture):
    """All that a person reads beside the bars."""
    return [x for source in picture.values.values() for x in dict(source.data)["value"]]


def test_changes_of_the_cost_are_in_percent_and_of_a_budget_in_nats():
    picture = EffectsPicture()
    picture.update(effects(), answer_of())
    assert texts(picture) == ["+0.20 %", "\N{MINUS SIGN}9.10 %"]
    asked = answer_of().asked._replace(quality=Quality(budget=5e6))
    picture.update(effects(), answer_of()._replace(asked=asked))
    assert texts(picture) == ["+0.010"]
    assert "0.01 nat more of loss by +0.010 nats" in picture.describe()


def test_a_dearer_plan_is_not_said_to_cost_less():
    words = [beside_chinchilla(x).split(" than")[0] for x in (0.5, -0.25, 1e-4)]
    assert words == ["50 % less", "25 % more", "as much as the Chinchilla plan"]
    dearer = answer_of()._replace(chinchilla=plan(7e10, 1.3e12, 5.36e6))
    curve = demand_curve()._replace(chinchilla=0.8 * sum(demand_curve()[2:5]))
    for picture, data in ((LossPicture(), loss_map()), (DemandPicture(), curve)):
        picture.update(data, dearer)
        assert "25 % more than the Chinchilla plan" in picture.describe()


def columns(picture):
    sources = {each.id: each for each in (r.data_source for r in picture.figure.renderers)}
    return {id: dict(source.data) for id, source in sources.items()}


def test_an_update_changes_data_and_no_model(shown):
    picture, data = shown
    models, before = {each.id for each in picture.figure.references()}, columns(picture)
    picture.update(data(3e10), answer_of(3e10))
    assert {each.id for each in picture.figure.references()} == models
    assert columns(picture).keys() == before.keys()
    assert repr(columns(picture)) != repr(before)
    picture.restyle(Look(dark=True))
    assert {each.id for each in picture.figure.references()} == models


def test_without_data_it_says_so_and_comes_back(shown):
    picture, data = shown
    before = columns(picture)
    picture.update(None, answer_of())
    assert picture.message.visible
    assert picture.describe()
    assert all(not len(values) for each in columns(picture).values() for values in each.values())
    assert len(rows_of(picture)) in (0, 1)
    picture.update(data(), answer_of())
    assert not picture.message.visible
    assert repr(columns(picture)) == repr(before)


def rows_of(picture):
    return list(csv.DictReader(io.StringIO(picture.csv())))


def test_the_csv_of_the_loss_map_has_its_arrays():
    data, picture = loss_map(), LossPicture()
    picture.update(data, answer_of())
    rows = rows_of(picture)
    losses = [row for row in rows if row["what"] == "loss"]
    read = [float(row["loss (nats per token)"]) for row in losses]
    assert np.array_equal(np.reshape(read, data.loss.shape), data.loss)
    assert [float(row["params"]) for row in losses[:40]] == list(data.params)
    line = [float(row["tokens"] or "nan") for row in rows if row["what"] == "equal loss"]
    assert np.array_equal(line, data.equal_loss.tokens, equal_nan=True)
    assert rows[0]["what"] == "best plan"
    assert float(rows[0]["params"]) == 2e10


def test_the_csv_of_demand_has_its_arrays():
    data, picture = demand_curve(), DemandPicture()
    picture.update(data, answer_of())
    read = np.array([[float(x) for x in row.values()] for row in rows_of(picture)]).T
    assert np.array_equal(read, [data.tokens, *data[2:6], data.params])


def test_laws_without_an_answer_are_in_the_csv_alone():
    picture = LawsPicture()
    picture.update(sizes(), answer_of())
    rows = {row["law"]: row for row in rows_of(picture)}
    assert rows["kaplan2020"]["note"] == "no model reaches this loss"
    assert rows["kaplan2020"]["params"] == ""
    assert float(rows["besiroglu2024"]["params, low end of 95 %"]) == 1.8e10
    assert sum(len(each["x"]) for each in (dict(s.data) for s in picture.sizes.values())) == 2
    assert "1 has none" in picture.describe()


def test_laws_that_are_still_computed_are_not_said_to_have_no_answer():
    picture, later = LawsPicture(), LawsAlike("key", ("li2025", "sun2025"), list, None)
    picture.update(Compared([], [later]), answer_of())
    assert picture.message.text == "Computing."
    assert picture.describe() == "2 more are being computed."
    picture.update(Compared(sizes().sizes, [later]), answer_of())
    assert picture.describe().endswith("the CSV says why. 2 more are being computed.")
    picture.update(Compared(sizes().sizes, [later]).with_next([]), answer_of())
    assert picture.describe().endswith("the CSV says why.")


@pytest.mark.parametrize("params", [1e7, 1e9, 3e13])
def test_limits_hold_the_plans(params):
    for kind, data in PICTURES.values():
        picture = kind()
        picture.update(data(params), answer_of(params))
        ticks_shown = picture.below.ticker.ticks
        assert len(ticks_shown) > 1
        assert all(picture.x.start <= x <= picture.x.end for x in ticks_shown)
        if kind in (LossPicture, LawsPicture):
            assert picture.x.start < params < picture.x.end


@pytest.mark.parametrize(("low", "high"), [(1e9, 1e12), (1.2e9, 3e9), (1.1e9, 1.9e9), (1e3, 1e30)])
def test_ticks_are_round_and_few_enough_for_a_phone(low, high):
    found = ticks(low, high)
    assert 2 <= len(found) <= 6
    assert low <= found[0] < found[-1] <= high


@pytest.mark.parametrize(
    ("x", "text"),
    [(-9.1, "-9.10"), (0.614, "+0.61"), (0.0311, "+0.031"), (12.34, "+12.3"), (-1e-4, "-0.00010")],
)
def test_changes_have_a_sign_and_two_or_three_digits(x, text):
    assert signed(x) == text.replace("-", "\N{MINUS SIGN}")


def test_lines_and_shapes_become_no_fewer_until_there_are_none():
    """Bokeh's script reads beyond the end of its arrays, where a page is laid out meanwhile."""
    source = columns_of("xs", "ys", "color")
    for count, kept in ((3, 3), (1, 3), (4, 4), (0, 0), (2, 2)):
        columns = {"xs": [[1.0, 2.0]] * count, "ys": [[3.0, 4.0]] * count, "color": ["red"] * count}
        replace(source, columns)
        assert [len(column) for column in source.data.values()] == [kept] * 3
        assert sum(map(bool, source.data["xs"])) == count
