"""Arrays of the pictures, against formulas of the Chinchilla law written out in NumPy."""

from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose

import jaxscale as js
from jaxscale._numerics.interpreted import interpreted
from jaxscale.exploring import FIRST, Question, answer, read, surfaces
from jaxscale.exploring.demand import demand_curve
from jaxscale.exploring.laws_compared import OTHER_LOSS, _in_range, compared, laws_alike
from jaxscale.exploring.surfaces import loss_map
from jaxscale.exploring.uncertainty import draws_of
from jaxscale.published import Entry

LOSS = Question({"law": "besiroglu2024", "loss": "2.1", "inference_tokens": "1T"})
# Quick to trace: two closed laws, one with formats, one without answer.
NAMES = ("sardana2024", "besiroglu2024", "sun2025", "clark2022_rlr")


@pytest.fixture(scope="module")
def first():
    return answer(read(FIRST))


@pytest.fixture(scope="module")
def of_a_loss():
    return answer(read(LOSS))


def loss_at(law, params, tokens):
    return law.E + law.A / params**law.alpha + law.B / tokens**law.beta


def tokens_at(law, loss, params):
    left = loss - law.E - law.A / params**law.alpha
    return np.where(left > 0, (law.B / np.where(left > 0, left, 1)) ** (1 / law.beta), np.inf)


def cost_at(asked, params, tokens, multiple=1.0):
    costs, demand = asked.costs, asked.demand
    served = costs.prefill * demand.input_tokens + costs.decode * demand.output_tokens
    return 6 * params * tokens * costs.train + 2 * params * served * multiple


def least_cost(asked, loss, multiple=1.0):
    """The least cost of a loss, on ever finer grids of params."""
    low, high = np.log(1e6), np.log(1e15)
    for _ in range(8):
        grid = np.linspace(low, high, 401)
        params = np.exp(grid)
        costs = cost_at(asked, params, tokens_at(asked.law, loss, params), multiple)
        best = int(np.argmin(costs))
        low, high = grid[max(best - 1, 0)], grid[min(best + 1, 400)]
    return costs[best]


def test_map_has_the_loss_of_the_law(first):
    drawn, law = loss_map(first), first.asked.law
    assert_allclose(drawn.loss, loss_at(law, drawn.params, drawn.tokens[:, None]), rtol=1e-14)
    same = loss_at(law, *drawn.equal_loss)
    assert_allclose(same, float(first.optimum.loss), rtol=1e-13)
    # It enters at the top of the map and leaves on its right.
    assert 1 <= drawn.equal_loss.tokens[0] / drawn.tokens[-1] < 3
    assert_allclose(drawn.equal_loss.params[-1], drawn.params[-1], rtol=1e-9)
    assert drawn.range == (first.asked.entry.params_range, first.asked.entry.tokens_range)


def test_curves_of_equal_cost_cost_what_they_say(first):
    total = float(first.optimum.total_cost)
    drawn = loss_map(first)
    for multiple, line in drawn.equal_costs:
        assert_allclose(cost_at(first.asked, *line), multiple * total, rtol=1e-12)
        assert (np.diff(line.params) > 0).all()
        # It leaves the map at the bottom: training costs nearly nothing there.
        assert line.tokens[-1] < drawn.tokens[0]


def test_path_is_of_the_cheapest_plans_and_goes_through_the_plan(first, of_a_loss):
    for found in (first, of_a_loss):
        drawn, asked = loss_map(found), found.asked
        middle = len(drawn.path.params) // 2
        assert_allclose(drawn.path.params[middle], float(found.optimum.params), rtol=1e-12)
        for index in (0, 7, 22, -1):
            sizes = drawn.path.params[index], drawn.path.tokens[index]
            loss = loss_at(asked.law, *sizes)
            # A grid is as good as the square of its step.
            assert_allclose(cost_at(asked, *sizes), least_cost(asked, loss), rtol=1e-9)
        low, high = (line.params[3:25] for line in drawn.band)
        assert (low < drawn.path.params[3:25]).all()
        assert (drawn.path.params[3:25] < high).all()


def test_path_of_a_budget_spends_budgets():
    question = Question({"law": "besiroglu2024", "flops": "1e23", "inference_tokens": "1T"})
    found = answer(read(question))
    spent = cost_at(found.asked, *loss_map(found).path) / 1e23
    assert_allclose(spent, np.logspace(-4.5, 4.5, spent.size), rtol=1e-9)
    curve = demand_curve(found)
    assert_allclose(curve.train + curve.prefill + curve.decode, 1e23, rtol=1e-9)
    assert (curve.chinchilla >= 1e23 * (1 - 1e-12)).all()
    # Without demand the best size is a power of compute (Hoffmann et al. 2022, eq. 4).
    found = answer(read(question.with_texts({"inference_tokens": "0"})))
    law = draws_of(found.asked.entry)
    scale = (law.alpha * law.A / (law.beta * law.B)) ** (1 / (law.alpha + law.beta))
    power = law.beta / (law.alpha + law.beta)
    product = 1e23 * np.logspace(-4.5, 4.5, spent.size) / 6
    sizes = scale[:, None] * product ** power[:, None]
    for level, line in zip((0.025, 0.975), loss_map(found).band, strict=True):
        # Rounding may leave the ends of the path outside.
        inside = slice(1, -1)
        assert_allclose(
            np.log(line.params[inside]),
            np.quantile(np.log(sizes), level, axis=0)[inside],
            rtol=1e-9,
        )
        assert_allclose((line.params * line.tokens)[inside], product[inside], rtol=1e-9)


def test_ends_of_the_map_stay_while_a_plan_moves_a_little():
    ends = {tuple(surfaces._axis([size, 2 * size])[[0, -1]]) for size in np.linspace(5e9, 5.3e9)}
    assert len(ends) == 1
    for size in np.geomspace(1e8, 1e12, 300):
        axis = surfaces._axis([size, 3 * size])
        assert axis[0] * 9 < size
        assert 3 * size * 9 < axis[-1]


def test_there_is_no_picture_without_a_plan_or_a_demand(of_a_loss):
    hopeless = answer(read(LOSS.with_texts({"loss": "1.5"})))
    assert loss_map(hopeless) is None
    assert demand_curve(hopeless) is None
    assert demand_curve(answer(read(LOSS.with_texts({"inference_tokens": "0"})))) is None


def test_demand_curve_is_of_the_cheapest_plan_at_each_demand(first):
    curve, asked, loss = demand_curve(first), first.asked, first.target
    assert curve.multiples[15] == 1.0
    assert_allclose(curve.tokens, 12e12 * curve.multiples, rtol=1e-12)
    total = curve.train + curve.prefill + curve.decode
    for index in (0, 9, 15, 30):
        least = least_cost(asked, loss, curve.multiples[index])
        assert_allclose(total[index], least, rtol=1e-9)
    sizes = float(first.chinchilla.params), float(first.chinchilla.tokens)
    assert_allclose(curve.chinchilla, cost_at(asked, *sizes, curve.multiples), rtol=1e-12)
    assert_allclose(
        curve.decode / curve.params, curve.decode[15] / curve.params[15] * curve.multiples
    )


def test_curves_hold_levers_and_count_the_laws_own_flops():
    law, levers = js.laws.published("kumar2024"), {"bits": 8.0}
    across, up = np.geomspace(1e8, 1e10, 5), np.geomspace(1e9, 1e12, 5)
    demand, costs = js.Demand(1e11, 2e11), js.Costs.flops()
    plan = interpreted(js.evaluate, law, 1e9, 1e11, demand, costs, levers=levers)
    asked = 1e9, 1e11, np.array([1.0, 2.0]) * float(plan.total_cost)
    window = across, up, np.log(across[[0, -1]])
    losses, same, lines = interpreted(
        surfaces._curves.__wrapped__, law, window, asked, demand, costs, levers
    )
    assert losses.shape == (5, 5)
    known = np.isfinite(same[1])
    again = interpreted(law.loss, same[0][known], same[1][known], **levers)
    assert_allclose(again, float(plan.loss), rtol=1e-6)  # in float32 too
    for multiple, *line in zip((1, 2), *lines, strict=True):
        cost = interpreted(js.evaluate, law, *line, demand, costs, levers=levers)
        assert_allclose(cost.total_cost, multiple * float(plan.total_cost), rtol=1e-5)


def rows_of(groups, kind):
    return {
        row.name: row
        for group in groups
        if set(group.names) & set(NAMES)
        for row in getattr(group, kind)()
    }


def test_sizes_by_law_are_those_of_compare_laws(first):
    asked = first.asked
    without, groups = laws_alike(first)
    assert groups[0].names[0] == "hoffmann2022"  # the class of the question's law comes first
    rows = rows_of(groups, "at_once") | {row.name: row for row in without}
    known = js.compare_laws(NAMES, params=70e9, demand=asked.demand, costs=asked.costs)
    for row in known.rows:
        found = rows[row.name]
        assert found.group == row.group
        assert found.in_range == row.in_range
        if row.plan is None:
            assert np.isnan(found.params)
            assert found.note == row.short_reason
            continue
        plan = row.plan
        numbers = float(plan.params), float(plan.tokens), float(plan.total_cost)
        assert_allclose(found[1:4], numbers, rtol=1e-9)
    assert "(best)" in rows["sun2025"].note
    assert_allclose(rows["besiroglu2024"][4:6], first.intervals["params"], rtol=1e-9)
    compiled = {row.name: row for row in groups[0].sizes()}
    for name, row in compiled.items():
        assert_allclose(row[1:6], rows[name][1:6], rtol=1e-9)


def test_laws_whose_program_is_not_compiled_wait(first):
    without, (compiled, *others) = laws_alike(first)
    found = compared(first, {}, lambda key: key == compiled.key)
    names = [*(size.name for size in without), *compiled.names]
    assert [size.name for size in found.sizes] == names
    assert [group.key for group in found.waiting] == [group.key for group in others]


def test_a_law_of_ones_own_has_the_interval_of_its_draws(of_a_loss):
    law = js.laws.Chinchilla(E=1.8, A=480.0, B=2100.0, alpha=0.35, beta=0.37)
    scales = np.geomspace(0.8, 1.2, 100)
    draws = js.laws.Chinchilla(
        *(np.full(100, x) for x in (1.8, 480.0)),
        2100 * scales,
        *(np.full(100, x) for x in (0.35, 0.37)),
    )
    entry = Entry("mine", law, dataset="ours", draws=draws)
    # As a model of another law's data it is not asked for a loss of those.
    assert "mine" in {row.name for row in laws_alike(of_a_loss, {"mine": entry})[0]}
    first = answer(read(LOSS.with_texts({"law": "mine"}), {"mine": entry}))
    (group,) = laws_alike(first, {"mine": entry})[1]
    (found,) = group.at_once()
    (row,) = js.compare_laws([entry], loss=2.1, demand=first.asked.demand).rows
    assert_allclose(found.params, float(row.plan.params), rtol=1e-9)
    assert_allclose(found[4:6], js.plan_intervals(row.resampled)["params"], rtol=1e-9)
    assert found.in_range is None


def test_a_loss_is_asked_of_laws_with_the_same_losses_alone(of_a_loss):
    without, groups = laws_alike(of_a_loss)
    notes = {row.name: row.note for row in without}
    assert notes["kaplan2020"] == notes["gadre2024_c4"] == OTHER_LOSS
    rows = rows_of(groups, "at_once")
    known = js.compare_laws(list(rows), loss=2.1, demand=of_a_loss.asked.demand)
    for row in known.rows:
        assert_allclose(rows[row.name].params, float(row.plan.params), rtol=1e-9)


def test_laws_are_compiled_once_for_a_kind_of_question(first):
    def keys_with(**texts):
        moved = first._replace(asked=read(FIRST.with_texts(texts)))
        return {group.key for group in laws_alike(moved)[1]}

    assert keys_with(like_params="1B", train_price="3") == keys_with()
    assert not keys_with(like_params="1B", like_tokens="1T") & keys_with()


def test_ranges_are_judged_as_by_the_entry():
    rng = np.random.default_rng(1)
    for entry in js.laws.catalog():
        if entry.has_range:
            params, tokens = 10.0 ** rng.uniform(5, 12, 40), 10.0 ** rng.uniform(6, 14, 40)
            inside = interpreted(entry.in_range, SimpleNamespace(params=params, tokens=tokens))
            found = [_in_range(entry, *size) for size in zip(params, tokens, strict=True)]
            assert found == inside.tolist()
