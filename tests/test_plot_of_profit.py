"""The picture of profit over loss: three lines, and the best plan at the top of one."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

pytest.importorskip("matplotlib")

import jaxscale as js
from jaxscale._numerics.interpreted import interpreted
from jaxscale.plots import profit_over_loss

LAW = js.laws.published("besiroglu2024")
H100 = js.accelerator("H100-SXM", price=2.0)
COSTS = js.Costs.on(train=H100, serve=H100, decode_mfu=0.1)
MARKET = js.economics.Market(8e12, 2e12, at_loss=2.0, at_price=1e-6, per_nat=2.0)
VALUE = js.economics.ValuePerNat(1e8, worthless_at=2.2)


def curve_of(value=VALUE, demand=MARKET, **options):
    return interpreted(js.economics.profit_curve, LAW, value, demand, COSTS, **options)


def line_of(panel, label):
    (line,) = (line for line in panel.lines if line.get_label() == label)
    return np.array(line.get_data())


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"demand": js.Demand(1e12, 1e11)}, "value"),
        ({"value": None, "price": 1e-6}, "revenue"),
        ({}, "value and revenue"),
    ],
)
def test_profit_is_what_is_earned_less_what_is_paid(options, name):
    curve = curve_of(**options)
    figure = curve.plot()
    (panel,) = figure.axes
    earned, cost, profit = (line_of(panel, x) for x in (name, "training and serving", "profit"))
    assert_allclose(earned[1] - cost[1], profit[1])
    assert_allclose(np.sort(curve.points.profit), np.sort(profit[1]))
    assert np.all(np.diff(profit[0]) > 0)
    (dot,) = (line for line in panel.lines if line.get_marker() == "o")
    assert_allclose(dot.get_data(), [[curve.best.plan.loss], [curve.best.profit]])
    (text,) = panel.texts
    assert "params" in text.get_text()
    assert ("per million tokens" in text.get_text()) == ("revenue" in name)
    figure.draw_without_rendering()
    box, inside = panel.get_window_extent(), text.get_window_extent()
    assert box.x0 <= inside.x0
    assert inside.x1 <= box.x1


def test_where_no_plan_pays_nothing_is_marked():
    value, losses = js.economics.ValuePerNat(1e3, 2.2), np.linspace(2, 2.3, 9)
    (panel,) = curve_of(value, js.Demand(1e12), losses=losses).plot().axes
    assert not panel.texts


def test_what_is_no_curve_is_refused():
    with pytest.raises(TypeError, match="curve must come from js"):
        profit_over_loss(3)
    with pytest.raises(ValueError, match=r"at least two losses that have plans; got shape \(1,\)"):
        profit_over_loss(curve_of(losses=np.array([2.0])))
