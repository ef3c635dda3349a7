"""Levers with listed values: the best of them, against a plan for each."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxscale as js
from jaxscale import Status
from solve.lanes import EPS


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Parted:
    """A Chinchilla law at each number of parts: more help small models and cost quality."""

    steeper: float = 0.0  # by each further part, the exponent of tokens

    levers: ClassVar[Mapping[str, tuple[float, float]]] = {"parts": (1.0, 8.0)}
    choices: ClassVar[Mapping[str, tuple[float, ...]]] = {"parts": (1, 2, 4, 8)}

    def two_powers(self, *, parts):
        beta = 0.3 + self.steeper * (parts - 1)
        E, A = 1.6 + 0.01 * parts, 400 / jnp.sqrt(parts)
        return js.laws.Chinchilla(E, A, 410 + 0 * E, 0.34 + 0 * E, beta)

    def loss_from_logs(self, log_params, log_tokens, *, parts):
        return self.two_powers(parts=parts).loss_from_logs(log_params, log_tokens)

    def loss(self, params, tokens, *, parts):
        return self.loss_from_logs(jnp.log(params), jnp.log(tokens), parts=parts)


LAW = Parted()
KUMAR = js.laws.published("kumar2024")
SIZES = ("params", "tokens")
SIZES_PARTS = (*SIZES, "parts")


def each_alone(solve, law, target, lever, values, *arguments):
    return [solve(law, target, *arguments, levers={lever: value}) for value in values]


@pytest.mark.parametrize(
    ("solve", "number", "targets"),
    [(js.minimize_cost, "total_cost", [1.9, 2.1, 3.0]), (js.minimize_loss, "loss", [1e18, 1e24])],
)
@pytest.mark.parametrize(("law", "lever"), [(LAW, "parts"), (KUMAR, "bits")])
def test_the_best_of_listed_values_is_the_best_of_their_plans(solve, number, targets, law, lever):
    values = [1, 2, 4, 8] if lever == "parts" else [4, 6, 8, 16]
    targets = np.array(targets) + (law is KUMAR and number == "total_cost")
    demand = js.Demand(input_tokens=1e11)
    plan = solve(law, targets, demand, over={lever: values})
    alone = each_alone(solve, law, targets, lever, values, demand)
    answers = np.array([np.where(each.ok, getattr(each, number), np.inf) for each in alone])
    order = np.argsort(answers, axis=0)
    assert np.array_equal(plan.levers[lever], np.array(values, float)[order[0]])
    assert np.array_equal(plan.runner_up[lever], np.array(values, float)[order[1]])
    best, second = np.sort(answers, axis=0)[:2]
    np.testing.assert_allclose(getattr(plan, number), best, rtol=1e-6)
    excess = second / best - 1 if number == "total_cost" else second - best
    np.testing.assert_allclose(plan.runner_up["excess"], excess, rtol=1e-3, atol=3e-6)


def test_levers_with_choices_are_chosen_among_them():
    named = js.minimize_loss(LAW, 1e21, over=SIZES_PARTS)
    listed = js.minimize_loss(LAW, 1e21, over={"parts": [1, 2, 4, 8]})
    assert named.levers["parts"] == listed.levers["parts"]
    assert named.loss == listed.loss


def test_a_law_of_two_powers_at_a_lever_has_the_closed_plan_of_those_powers():
    parts = np.array([1.0, 4.0])
    plan = js.minimize_cost(LAW, 2.0, levers={"parts": parts})
    closed = js.minimize_cost(LAW.two_powers(parts=parts), 2.0)
    assert np.array_equal(plan.params, closed.params)
    assert np.array_equal(plan.levers["parts"], parts)


def test_values_of_several_levers_go_together_or_are_combined():
    pairs = js.minimize_loss(LAW, 1e20, over={("parts",): [(1,), (2,)]})
    alone = js.minimize_loss(LAW, 1e20, over={"parts": [1, 2]})
    assert pairs.levers["parts"] == alone.levers["parts"]


def test_derivatives_are_those_of_the_chosen_value():
    def cost(loss, **choice):
        return js.minimize_cost(LAW, loss, **choice).total_cost

    best = float(js.minimize_cost(LAW, 2.0, over={"parts": [1, 4]}).levers["parts"])
    slope = jax.grad(lambda loss: cost(loss, over={"parts": [1, 4]}))(2.0)
    alone = jax.grad(lambda loss: cost(loss, levers={"parts": best}))(2.0)
    np.testing.assert_allclose(slope, alone, rtol=64 * EPS)


def test_a_scenario_without_a_plan_leaves_others_untouched():
    plan = js.minimize_cost(LAW, np.array([1.5, 2.0, np.nan]), over=SIZES_PARTS)
    alone = js.minimize_cost(LAW, 2.0, over=SIZES_PARTS)
    statuses = [Status(int(each)) for each in plan.status]
    assert statuses[0] is Status.INFEASIBLE_LOSS
    assert statuses[2] is Status.INVALID_INPUT
    assert plan.total_cost[1] == alone.total_cost
    assert np.isnan(plan.runner_up["excess"][::2]).all()


def test_the_only_value_that_has_a_plan_has_no_runner_up():
    # The least loss of eight parts is 1.68 nats.
    plan = js.minimize_cost(LAW, 1.65, over={"parts": [1, 8]})
    assert plan.levers["parts"] == 1
    assert np.isnan(plan.runner_up["excess"])


def test_where_a_value_was_not_solved_for_no_other_is_called_the_best():
    # Exponents above 3 are not solved for.
    law = Parted(steeper=1.0)
    two, four, either = (
        Status(int(js.minimize_cost(law, 2.0, **choice).status))
        for choice in (
            {"levers": {"parts": 2}},
            {"levers": {"parts": 4}},
            {"over": {"parts": [2, 4]}},
        )
    )
    assert (two, four, either) == (Status.OK, Status.NOT_CONVERGED, Status.NOT_CONVERGED)


def test_nor_where_the_best_plan_of_a_value_is_beyond_the_law():
    # Its best plan has too few tokens a param for the law, but others still are far cheaper.
    law = js.laws.published("busbridge2025_student")
    teachers = [1.85, 2.0]
    plan = js.minimize_cost(law, 2.05, levers={"teacher_loss": np.array(teachers)})
    assert [Status(int(x)) for x in plan.status] == [Status.BEYOND_LAW, Status.OK]
    cheaper = js.evaluate(law, 9.3e9, 1.87e10, levers={"teacher_loss": teachers[0]})
    assert cheaper.loss < 2.05
    assert cheaper.total_cost < plan.total_cost[1] / 2
    both = js.minimize_cost(law, 2.05, over={"teacher_loss": teachers})
    assert Status(int(both.status)) is Status.BEYOND_LAW


@pytest.mark.parametrize(("budget", "parts"), [(1e17, 8), (1e24, 4)])
def test_the_highest_value_that_the_law_allows_is_said(budget, parts):
    plan = js.minimize_loss(LAW, budget, over=SIZES_PARTS)
    assert plan.levers["parts"] == parts
    assert Status(int(plan.status)) is (Status.AT_LEVER_END if parts == 8 else Status.OK)


def test_float32_stays():
    plan = js.minimize_loss(LAW, np.float32(1e20), over={"parts": [1, 2.5]})
    assert plan.params.dtype == np.float32


def test_a_table_says_which_was_second():
    pytest.importorskip("pandas")
    frame = js.minimize_loss(LAW, np.array([1e17, 1e24]), over=SIZES_PARTS).to_dataframe()
    assert frame["parts"].tolist() == [8, 4]
    assert frame["runner_up_parts"].tolist() == [4, 2]
    assert (frame["runner_up_excess"] > 0).all()


@pytest.mark.parametrize(
    ("over", "error", "message"),
    [
        ({"bits": [40]}, ValueError, "over: bits 40 is outside its range, 3 to 16"),
        ({"bit": [4]}, ValueError, r"Kumar has no lever 'bit'; known: bits \(3 to 16\)"),
        ({"bits": 4}, ValueError, "'bits' must have a list of values, .*; got 4"),
        ({"bits": []}, ValueError, "'bits' must have a list of values"),
        ({"bits": ["a"]}, TypeError, "values of 'bits' must be numbers; got 'a'"),
        ({"bits": [None, 4]}, TypeError, "values of 'bits' must be numbers; got None"),
        ({3: [4]}, TypeError, r"levers must be names, or tuples of names; got \{3: \[4\]\}"),
        (3, ValueError, "over must hold 'params' and 'tokens', and names of levers; got 3"),
        ({("bits",): [(4, 5)]}, ValueError, r"needs 1 numbers a value; got \(4, 5\)"),
        ({"params": [1e9]}, ValueError, "params takes no list of values; use bounds"),
        ({"bits": [4], ("bits",): [(4,)]}, ValueError, "over holds a lever twice"),
        ({("bits",): None}, ValueError, "levers that go together need a list of values"),
        ({"bits": np.linspace(3, 16, 1001)}, ValueError, "1001 combinations .* more than 1000"),
    ],
)
def test_a_wrong_list_is_refused(over, error, message):
    with pytest.raises(error, match=message):
        js.minimize_loss(KUMAR, 1e20, over=over)
