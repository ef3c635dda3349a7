"""The price of a deadline: its formula, the best number of devices, and statuses."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import minimize_scalar

import jaxscale as js
from jaxscale import economics

X64 = jax.config.read("jax_enable_x64")
CLOSE = 1e-12 if X64 else 2e-5
DAY, HOUR = 86400.0, 3600.0
PARAMS, STEPS, CRITICAL, EACH, MFU, PRICE = 70e9, 1e6, 8e6, 2475.0, 0.4, 2.0
H100 = js.accelerator("H100-SXM", price=PRICE)
PLAN = js.evaluate(js.laws.published("sardana2024"), PARAMS, 2 * STEPS * CRITICAL)
BATCHES = {"critical_batch": CRITICAL, "tokens_per_device": EACH}
# With ever more devices, and with ever fewer: seconds of a step's share, and of all FLOPs.
LEAST = STEPS * 6 * PARAMS * EACH / (989e12 * MFU)
FEWEST_DOLLARS = STEPS * 6 * PARAMS * CRITICAL / (989e12 * MFU) / HOUR * PRICE


def test_dollars_rise_as_the_batch_over_the_critical_one():
    seconds = LEAST * np.array([1.1, 2.0, 11.0])
    priced = economics.deadlines(PLAN, H100, seconds, MFU, **BATCHES)
    over = np.array([10.0, 1.0, 0.1])  # seconds are LEAST (1 + 1 / z)
    assert_allclose(priced.dollars, FEWEST_DOLLARS * (1 + over), rtol=10 * CLOSE)
    assert_allclose(priced.devices, over * CRITICAL / EACH, rtol=10 * CLOSE)
    assert_allclose(priced.batch_tokens, over * CRITICAL, rtol=10 * CLOSE)
    assert_allclose(priced.days * DAY, seconds, rtol=CLOSE)


def test_at_the_critical_batch_a_training_costs_what_the_plan_does():
    costs = js.Costs.on(train=H100, serve=H100, train_mfu=MFU)
    plan = js.evaluate(js.laws.published("sardana2024"), PLAN.params, PLAN.tokens, costs=costs)
    priced = economics.deadlines(PLAN, H100, 2 * LEAST, MFU, **BATCHES)
    assert_allclose(priced.dollars, plan.train_cost, rtol=CLOSE)


@pytest.mark.parametrize("value", [1e3, 1e6, 1e9])
def test_no_number_of_devices_is_better(value):
    best = economics.best_devices(PLAN, H100, value, MFU, **BATCHES)

    def total(log_over):
        over = np.exp(log_over)
        return FEWEST_DOLLARS * (1 + over) + value / DAY * LEAST * (1 + 1 / over)

    found = minimize_scalar(total, bounds=(-15, 15), method="bounded", options={"xatol": 1e-12})
    assert_allclose(best.batch_tokens / CRITICAL, np.exp(found.x), rtol=1e-6 if X64 else 1e-3)
    assert_allclose(best.dollars + value * best.days, found.fun, rtol=CLOSE)
    # Half of all that is above the least is paid in dollars, and half in time.
    waited = value * (best.days - best.least_seconds / DAY)
    assert_allclose(best.dollars - FEWEST_DOLLARS, waited, rtol=1e-9 if X64 else 1e-2)


def test_devices_do_not_depend_on_the_size_of_the_plan():
    flops = np.array([1e21, 1e24, 1e26])
    best = economics.best_devices(flops, H100, 1e6, MFU, **BATCHES)
    expected = np.sqrt(1e6 / DAY * CRITICAL / (PRICE / HOUR * EACH))
    assert_allclose(best.devices, np.full(3, expected), rtol=CLOSE)


def test_a_bad_scenario_has_a_status_and_leaves_its_neighbours_alone():
    seconds = np.array([2 * LEAST, LEAST / 2, -1.0, np.nan])
    priced = economics.deadlines(PLAN, H100, seconds, MFU, **BATCHES)
    status = js.Status
    expected = [status.OK, status.INFEASIBLE_BOUNDS, status.INVALID_INPUT, status.INVALID_INPUT]
    assert_array_equal(priced.status, expected)
    assert_array_equal(np.isfinite(priced.dollars), priced.ok)
    assert_array_equal(np.isfinite(priced.least_seconds), [True, True, False, False])
    values = np.array([1e6, 0.0, -1.0])
    best = economics.best_devices(PLAN, H100, values, MFU, **BATCHES)
    assert_array_equal(best.status, [status.OK, status.INVALID_INPUT, status.INVALID_INPUT])
    device = replace(H100, price=np.array([2.0, -1.0]))
    priced = economics.deadlines(PLAN, device, LEAST * 2, MFU, **BATCHES)
    assert_array_equal(priced.status, [status.OK, status.INVALID_INPUT])

    def total(values):
        best = economics.best_devices(PLAN, H100, values, MFU, **BATCHES)
        return jnp.nansum(best.dollars)

    slopes = np.asarray(jax.grad(total)(values))
    assert_array_equal(slopes != 0, [True, False, False])
    assert np.all(np.isfinite(slopes))


def test_derivatives_are_those_of_the_formula():
    def dollars(value):
        return economics.best_devices(PLAN, H100, value, MFU, **BATCHES).dollars

    # What is above the fewest dollars grows as the root of the value of a day.
    assert_allclose(jax.grad(dollars)(1e6), (dollars(1e6) - FEWEST_DOLLARS) / 2e6, rtol=100 * CLOSE)
    slope = jax.grad(lambda t: economics.deadlines(PLAN, H100, t, MFU, **BATCHES).dollars)
    # c0 (1 + 1 / (t / t_min - 1)), at twice the least time.
    assert_allclose(slope(2 * LEAST), -FEWEST_DOLLARS / LEAST, rtol=100 * CLOSE)


def test_a_name_is_no_accelerator():
    for function, number in ((economics.deadlines, 1e7), (economics.best_devices, 1e6)):
        with pytest.raises(TypeError, match="accelerator must be an Accelerator, such as"):
            function(PLAN, "H100-SXM", number, MFU, **BATCHES)


def test_ever_fewer_devices_cost_half_of_what_the_plan_does():
    costs = js.Costs.on(train=H100, serve=H100, train_mfu=MFU)
    plan = js.evaluate(js.laws.published("sardana2024"), PLAN.params, PLAN.tokens, costs=costs)
    priced = economics.deadlines(PLAN, H100, LEAST * np.array([3.0, 1e6]), MFU, **BATCHES)
    shares = priced.relative_compute / 2
    assert_allclose(priced.dollars, shares * plan.train_cost, rtol=10 * CLOSE)
    assert_allclose(priced.dollars[1], plan.train_cost / 2, rtol=1e-5)


def test_an_accelerator_without_a_price_is_refused():
    device = js.accelerator("H100-SXM", price=None)
    for call in (economics.deadlines, economics.best_devices):
        with pytest.raises(ValueError, match="no price was chosen for H100-SXM"):
            call(PLAN, device, 1e7, MFU, **BATCHES)


def test_a_deadline_shows_itself_and_plots_itself():
    seconds = LEAST * np.array([0.5, 1.001, 1.1, 2.0, 11.0])
    priced = economics.deadlines(PLAN, H100, seconds, MFU, **BATCHES)
    assert "INFEASIBLE_BOUNDS" in repr(priced)
    pytest.importorskip("pandas")
    assert priced.to_dataframe()["status"].tolist().count("OK") == 4
    pytest.importorskip("matplotlib")
    figure = priced.plot()
    figure.draw_without_rendering()
    (panel,) = figure.axes
    line = panel.lines[0]
    # Neither what is infeasible nor what costs a thousand times the fewest dollars.
    assert_allclose(line.get_xdata(), seconds[2:] / DAY, rtol=CLOSE)
    assert_allclose(line.get_ydata(), priced.dollars[2:], rtol=CLOSE)
    box = panel.get_window_extent()
    assert panel.texts
    for text in panel.texts:
        inside = text.get_window_extent()
        assert box.x0 <= inside.x0
        assert inside.x1 <= box.x1
        assert inside.y1 <= box.y1


def test_a_plot_of_something_else_is_refused():
    pytest.importorskip("matplotlib")
    one = economics.deadlines(PLAN, H100, 2 * LEAST, MFU, **BATCHES)
    with pytest.raises(ValueError, match="priced must have one axis"):
        one.plot()
    with pytest.raises(TypeError, match=r"must come from js\.economics\.deadlines"):
        js.plots.deadlines(None)
