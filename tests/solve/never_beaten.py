"""Known plans to beat: draw a plan, ask for a better one, and see whether the answer is.

A drawn plan is a witness. The cheapest plan of its loss costs at most what it costs, and the best
plan of its cost has at most its loss, within any bounds that it keeps. Nothing else need be known
of a law, so this sees what equations of an optimum cannot.
"""

from typing import NamedTuple

import numpy as np

import jaxscale as js
from jaxscale import Status
from solve.lanes import DTYPE, EPS, SOLVERS, X64
from solve.law_samples import random_demand

# A law's sizes where its source states no range.
USUAL_RANGES = {"params": (1e7, 1e10), "tokens": (1e9, 1e12)}
# Levers where the range of the class is that of all that can be computed.
LEVERS = {"unique_tokens": (1e8, 1e12), "vocabulary_params": (1e6, 1e10)}
DECADES_BEYOND = 2.0

BOUND_KEPT = 1e-9 if X64 else 1e-3
# Rounding of a loss, in epsilons of it, and what it may make of a cost at most: beyond that a
# cheaper plan of the same loss, to the last digit, is a better plan.
ROUNDING, MOST_ROUNDING = 256.0, 1e-3 if X64 else 0.03


class Draws(NamedTuple):
    """Scenarios of one law, each with a plan that answers it."""

    law: object
    levers: dict
    demand: js.Demand
    costs: js.Costs
    bounds: js.Bounds | None
    known: js.Plan
    in_range: np.ndarray  # whether the known plan lies in the law's fitted range


class Outcome(NamedTuple):
    """What became of the scenarios: masks of one shape."""

    wrong: np.ndarray
    refused: np.ndarray
    status: np.ndarray
    excess: np.ndarray  # of the cost as a share, or of the loss in nats


def draw(entry, count, rng, *, bounded) -> Draws:
    """Scenarios over a law's fitted range and two decades beyond."""
    law = entry.law
    ranges = [
        entry.params_range or USUAL_RANGES["params"],
        entry.tokens_range or USUAL_RANGES["tokens"],
    ]
    params, tokens = (
        _log_uniform(rng, low / 10**DECADES_BEYOND, high * 10**DECADES_BEYOND, count)
        for low, high in ranges
    )
    levers = {
        name: _between(rng, *LEVERS.get(name, limits), count)
        for name, limits in getattr(law, "levers", {}).items()
    }
    if hasattr(law, "holds"):  # it has no loss at other sizes
        held = np.asarray(law.holds(np.log(params), np.log(tokens), **levers))
        params = np.where(held, params, _log_uniform(rng, *ranges[0], count))
    demand = random_demand(count, rng)
    prices = [_log_uniform(rng, 1e-1, 1e2, count) for _ in range(2)]
    costs = js.Costs(np.ones(count, DTYPE), *prices)
    known = js.evaluate(law, params, tokens, demand, costs, levers=levers)
    bounds = random_bounds(rng, params, tokens) if bounded else None
    inside = [
        (size >= low) & (size <= high)
        for size, (low, high) in zip((params, tokens), ranges, strict=True)
    ]
    return Draws(law, levers, demand, costs, bounds, known, inside[0] & inside[1])


def random_bounds(rng, params, tokens) -> js.Bounds:
    """Bounds that each plan keeps: each is there or not, far, near or at the plan itself."""

    def beside(size, side):
        far = np.exp(side * rng.choice([0.0, 0.1, 1.0, 5.0, 12.0], len(size)))
        none = rng.random(len(size)) < 0.6
        return np.where(none, {-1: 0.0, 1: np.inf}[side], size * far).astype(DTYPE)

    ratio = beside(tokens / params, 1)
    ratio *= 1 + DTYPE.type(2 * EPS)  # a quotient may be rounded down
    return js.Bounds(
        beside(params, -1), beside(params, 1), beside(tokens, -1), beside(tokens, 1), ratio
    )


def answer(draws: Draws, target: str) -> js.Plan:
    value = draws.known.loss if target == "loss" else draws.known.total_cost
    return SOLVERS[target](
        draws.law, value, draws.demand, draws.costs, draws.bounds, levers=draws.levers
    )


def judge(draws: Draws, target: str, plan: js.Plan) -> Outcome:
    """Which answers are worse than the known plan, or no answers."""
    known = draws.known
    usable = np.asarray(known.ok)
    ok = np.asarray(plan.ok) & usable
    loss, cost = np.asarray(plan.loss), np.asarray(plan.total_cost)
    known_loss, known_cost = np.asarray(known.loss), np.asarray(known.total_cost)
    nats = ROUNDING * EPS * (1 + np.abs(known_loss))
    slack = (
        nats * _share_of_cost_per_nat(draws)
        if target == "loss"
        else ROUNDING * EPS * _nats_per_share(draws)
    )
    # Where serving takes all but the last digits of a budget, a number cannot even ask: a budget of
    # 1e29 whose training is 5e-11 of it, in float64, is one of a loss known to 1e-3.
    if not X64 or target == "budget":
        usable = usable & (slack < MOST_ROUNDING)
        ok = ok & usable
    slack = np.minimum(slack, MOST_ROUNDING)
    with np.errstate(all="ignore"):
        if target == "loss":
            missed = ~(loss <= known_loss + nats)
            excess = cost / known_cost - 1
            slack = BOUND_KEPT + slack
        else:
            missed = ~(cost <= known_cost * (1 + BOUND_KEPT))
            excess = loss - known_loss
            slack = nats + slack
        wrong = ok & (missed | ~(excess <= slack) | ~_keeps(draws.bounds, plan))
    return Outcome(wrong, usable & ~ok, np.asarray(plan.status), excess)


def _exchanges(draws):
    """What a little more of each size gains, in nats, and costs, as a share of the cost."""
    known, step = draws.known, 1e-4 if X64 else 1e-2
    for params, tokens in ((1 + step, 1), (1, 1 + step)):
        more = js.evaluate(
            draws.law,
            known.params * params,
            known.tokens * tokens,
            draws.demand,
            draws.costs,
            levers=draws.levers,
        )
        gain = np.asarray(known.loss - more.loss)
        yield gain, np.asarray(more.total_cost / known.total_cost) - 1


def _share_of_cost_per_nat(draws):
    """Of the cheaper size; of the dearer where a bound may hold the other."""
    with np.errstate(all="ignore"):
        prices = [np.where(gain > 0, price / gain, np.inf) for gain, price in _exchanges(draws)]
    return np.minimum(*prices) if draws.bounds is None else np.maximum(*prices)


def _nats_per_share(draws):
    """What a share of the cost buys; of the size that it buys most of where bounds may hold one."""
    with np.errstate(all="ignore"):
        nats = [np.where(price > 0, gain / price, np.inf) for gain, price in _exchanges(draws)]
    return np.minimum(*nats) if draws.bounds is None else np.maximum(*nats)


def _keeps(bounds, plan):
    if bounds is None:
        return np.True_
    params, tokens = np.asarray(plan.params), np.asarray(plan.tokens)
    more, less = 1 + BOUND_KEPT, 1 - BOUND_KEPT
    kept = (params >= bounds.min_params * less) & (params <= bounds.max_params * more)
    kept &= (tokens >= bounds.min_tokens * less) & (tokens <= bounds.max_tokens * more)
    return kept & (tokens / params <= bounds.max_tokens_per_param * more)


def describe(draws: Draws, target: str, plan: js.Plan, outcome: Outcome, index: int) -> str:
    """One scenario with its answer, for the message of a failed test."""
    sizes = ("params", "tokens", "loss", "total_cost")
    known, found = (
        {name: float(getattr(plan, name)[index]) for name in sizes} for plan in (draws.known, plan)
    )
    inputs = draws.levers, draws.demand, draws.costs, draws.bounds
    given = [
        {k: float(v[index]) for k, v in _named(each).items() if np.ndim(v) and np.size(v)}
        for each in inputs
    ]
    status = Status(int(outcome.status[index])).name
    excess = outcome.excess[index]
    return f"{target}: {given}, known {known}, found {found}, {status}, worse by {excess:.3g}"


def _named(numbers):
    return numbers if isinstance(numbers, dict) else {} if numbers is None else vars(numbers)


def _log_uniform(rng, low, high, count):
    return np.exp(rng.uniform(np.log(low), np.log(high), count)).astype(DTYPE)


def _between(rng, low, high, count):
    if low > 0:
        return _log_uniform(rng, low, high, count)
    return rng.uniform(low, high, count).astype(DTYPE)
