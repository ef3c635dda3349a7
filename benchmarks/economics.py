"""`python -m benchmarks economics`: the greatest profit, beside the cheapest plan.

A million scenarios in one call, with a fixed demand, a given price and the best price. The aim is
a tenth of the rate of `minimize_cost`.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from scipy.optimize import minimize

import jaxscale as js
from benchmarks import harness, report
from benchmarks.harness import Aim, Options, Row, Suite, require_agreement

SCENARIOS, QUICK_SCENARIOS, QUICK_ROUNDS = 10**6, 10**5, 2
CHECKED = 8  # scenarios that scipy solves too
PLANS = "cheapest plans"
KINDS = "fixed demand", "given price", "best price"
AIMS = [Aim(kind, 0.1, (PLANS,)) for kind in KINDS]
TOLERANCE = 1e-9  # of the profit
LAW = js.laws.published("besiroglu2024")
H100 = js.accelerator("H100-SXM", price=2.0)
COSTS = js.Costs.on(train=H100, serve=H100, decode_mfu=0.1)
PRICE, LOSS, PER_NAT, ELASTICITY = 1e-6, 2.0, 2.0, 2.0


def run(options: Options) -> dict:
    """Everything measured, as one JSON object."""
    size = options.scenarios or (QUICK_SCENARIOS if options.quick else SCENARIOS)
    rows: dict[str, Callable[[str], Row]] = {PLANS: partial(_plans, size)}
    rows |= {kind: partial(_profits, size) for kind in KINDS}
    suite = Suite(rows, AIMS, options.rounds(QUICK_ROUNDS), until=options.until)
    return harness.header("economics", options, scenarios=size) | harness.measured(suite)


def scenarios(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Tokens read, and dollars per nat: log-uniform."""
    uniform = np.random.default_rng(0).uniform(size=(2, size))
    return 10 ** (11 + 3 * uniform[0]), 10 ** (7 + 3 * uniform[1])


def solve(kind: str, size: int) -> Any:
    """All scenarios in one call."""
    tokens, per_nat = scenarios(size)
    demand = js.Demand(tokens, tokens / 5)
    if kind == PLANS:
        return js.minimize_cost(LAW, LOSS, demand, COSTS)
    if kind == "fixed demand":
        value = js.economics.ValuePerNat(per_nat, worthless_at=2.5)
        return js.maximize_profit(LAW, value, demand, COSTS)
    market = js.economics.Market(tokens, tokens / 5, LOSS, PRICE, PER_NAT, ELASTICITY)
    return js.maximize_profit(LAW, None, market, COSTS, price=PRICE if kind == KINDS[1] else None)


def checked(kind: str, size: int, best: js.economics.Profit) -> dict:
    """The largest error of a few profits; Disagreement where scipy finds other ones."""
    few = range(0, size, max(1, size // CHECKED))
    expected = np.array([_greatest(kind, size, index) for index in few])
    profit = np.asarray(best.profit)[list(few)]
    off = require_agreement(kind, (profit,), (expected,), TOLERANCE)
    return {"agreement": {"truth": off}, "solved": float(np.mean(np.asarray(best.ok)))}


def _greatest(kind: str, size: int, index: int) -> float:
    """The greatest profit of one scenario, by the simplex method in logarithms."""
    tokens, per_nat = (float(x[index]) for x in scenarios(size))
    law = {name: float(getattr(LAW, name)) for name in ("E", "A", "B", "alpha", "beta")}
    served = 2 * (float(COSTS.prefill) + float(COSTS.decode) / 5) * tokens  # of each param
    total = tokens * 1.2

    def loss_of_profit(logs: np.ndarray) -> float:
        params, data = np.exp(logs[:2])
        loss = law["E"] + law["A"] / params ** law["alpha"] + law["B"] / data ** law["beta"]
        train = 6 * float(COSTS.train) * params * data
        if kind == KINDS[0]:
            return train + served * params - per_nat * (2.5 - loss)
        price = PRICE if kind == KINDS[1] else np.exp(logs[2])
        scale = np.exp(PER_NAT * (LOSS - loss)) * (price / PRICE) ** -ELASTICITY
        return train - scale * (price * total - served * params)

    start = np.log([1e9, 3e10, PRICE][: 3 if kind == KINDS[2] else 2])
    options = {"xatol": 1e-9, "fatol": 0, "maxiter": 4000, "maxfev": 4000}
    for _ in range(3):  # from where it ended: a simplex may collapse
        start = minimize(loss_of_profit, start, method="Nelder-Mead", options=options).x
    return -loss_of_profit(start)


def _plans(size: int, name: str) -> Row:
    def check(plan: js.Plan) -> dict:
        off = require_agreement(name, (plan.loss,), (np.full(size, LOSS),), TOLERANCE)
        return {"agreement": {"truth": off}, "solved": float(np.mean(np.asarray(plan.ok)))}

    facts = {"dtype": "float64", "scenarios": size}
    return Row(name, partial(solve, name, size), check, size, facts)


def _profits(size: int, name: str) -> Row:
    check, facts = partial(checked, name, size), {"dtype": "float64", "scenarios": size}
    return Row(name, partial(solve, name, size), check, size, facts, against=PLANS)


CELLS: dict[str, report.Cell] = {
    "profits": report.text("name"),
    "scenarios": report.number("scenarios", ",.0f"),
    "M/s": report.number("scenarios_per_second", ".3g", unit=report.MILLION),
    "of the plans": report.number("ratio", ".3g"),
    "time": report.median,
    "off": report.off("truth"),
    "first call": report.time("first_call"),
}


def show(result: dict) -> None:
    """Print everything that a person wants to see of `result`."""
    tables = [report.of_records("Profits, in one call", CELLS, result["rows"])]
    report.show(result, "profits checked against scipy.optimize", tables)
