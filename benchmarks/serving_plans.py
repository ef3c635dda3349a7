"""Joint plans, whose serving is priced by size, beside plans of one price for all sizes."""

import jax
import numpy as np

import jaxscale as js
from benchmarks.harness import require_agreement

LAW = js.laws.published("sardana2024")
H100 = js.accelerator("H100-SXM", price=2.0)
REQUESTS = js.serving.Requests(prompt=1000, output=200)
# Sizes that no plan may lose to, and along each axis every how manieth scenario is held to them.
SIZES, SAMPLED = np.geomspace(1e6, 1e13, 1000), 8
TOLERANCE = 1e-9


def costs() -> js.Costs:
    """Served by the cheapest of 1, 2, 4, ..., 64 devices."""
    return js.Costs.served(js.architectures.LLAMA, H100, REQUESTS, train=H100)


def fixed() -> js.Costs:
    """The same device, with utilisation assumed."""
    return js.Costs.on(train=H100, serve=H100)


def scenarios(size: int) -> tuple[np.ndarray, js.Demand]:
    """About so many losses by demands: as many of both."""
    side = max(SAMPLED, round(size**0.5))
    tokens = np.geomspace(1e9, 1e15, side)
    return np.linspace(1.9, 2.6, side)[:, None], js.Demand(tokens * 5 / 6, tokens / 6)


def solve(size: int, prices: js.Costs) -> js.Plan:
    """All plans in one call."""
    loss, demand = scenarios(size)
    return js.minimize_cost(LAW, loss, demand, prices)


def checked(name: str, size: int, prices: js.Costs, plan: js.Plan) -> dict:
    """The largest error of a sample of costs; Disagreement where a size of a grid is cheaper."""
    loss, demand = scenarios(size)
    step = len(loss) // SAMPLED
    few = jax.tree.map(lambda x: np.asarray(x)[::step, ::step], plan)
    loss = loss[::step]
    demand = jax.tree.map(lambda x: x[::step], demand)
    priced = js.evaluate(LAW, few.params, few.tokens, demand, prices)
    tokens = js.laws.tokens_for(LAW, loss[..., None], SIZES)
    others = js.evaluate(LAW, SIZES, tokens, jax.tree.map(lambda x: x[:, None], demand), prices)
    least = np.minimum(np.nanmin(np.asarray(others.total_cost), axis=-1), few.total_cost)
    off = require_agreement(
        name, (few.total_cost, few.total_cost), (priced.total_cost, least), TOLERANCE
    )
    return {"agreement": {"truth": off}, "solved": float(np.mean(np.asarray(plan.ok)))}
