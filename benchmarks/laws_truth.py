"""The error of a plan, against a search that shares nothing with the solver that is timed.

At given levers the cheapest plan comes from golden section along ln(D / N), with the size that
reaches the loss by bisection: slow, but it needs nothing of a law except that its loss falls.
Chosen levers are judged by the costs of such plans: a parabola through the costs at the levers and
just beside them has its minimum at the best, and nothing on a coarse grid over the ranges may be
cheaper.
"""

import itertools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from benchmarks.harness import Disagreement, require_agreement
from benchmarks.laws_problem import Case, cases
from jaxscale.laws import protocol

CHECKED = 200  # scenarios whose true answer is computed
RATIOS, SIZES = (-10.0, 25.0), (0.0, 80.0)  # of the search, in ln(D / N) and ln N
SHRINKS = 0.5 * (5**0.5 - 1)
# To 2e-8 of ln(D / N): nearer, rounding moves the lowest cost about. Halved to the last bit.
STEPS, HALVINGS = 45, 53
BESIDE = 1e-3  # of a lever, relative
POINTS = 7  # of the coarse grid, along each lever
# A cost has no slope at its minimum, so a search that compares costs finds sizes only to a root of
# an epsilon, and one that stops at a cost within 1e-10, to a root of that. In float32 it is our own
# rounding that counts.
SIZE_TOLERANCE = {"float64": 2e-6, "float32": 1e-4}
LOOSE_SIZES = 2e-5
COST_TOLERANCE = {"float64": 1e-9, "float32": 2e-5}
LEVER_TOLERANCE = {"float64": 1e-5, "float32": 1e-2}


class Answer(NamedTuple):
    """Plans as every row gives them; NaN where it found none."""

    params: Any
    tokens: Any
    levers: dict[str, Any]


class Cheapest(NamedTuple):
    """The cheapest plans at given levers."""

    params: Any
    tokens: Any
    cost: Any


@jax.jit
def cheapest(law: Any, levers: dict, loss: Any, demand: Any) -> Cheapest:
    """Golden section and bisection, in the dtype that is given."""

    def log_params(ratio):
        def halve(_, ends):
            low, high = ends
            middle = (low + high) / 2
            above = protocol.loss_from_logs(law, middle, middle + ratio, **levers) > loss
            return jnp.where(above, middle, low), jnp.where(above, high, middle)

        low, high = (jnp.full_like(ratio, end) for end in SIZES)
        return lax.fori_loop(0, HALVINGS, halve, (low, high))[1]

    def cost_at(ratio):
        size = log_params(ratio)
        return cost(law, levers, jnp.exp(size), jnp.exp(size + ratio), demand)

    ratio = _golden_section(cost_at, *(jnp.full_like(loss, end) for end in RATIOS))
    size = log_params(ratio)
    params, tokens = jnp.exp(size), jnp.exp(size + ratio)
    return Cheapest(params, tokens, cost(law, levers, params, tokens, demand))


def cost(law: Any, levers: dict, params: Any, tokens: Any, demand: Any) -> Any:
    """FLOPs of training and of reading `demand` tokens."""
    flops = protocol.flops_of(law, params, tokens, **levers)
    return flops.train + demand * flops.prefill


def _golden_section(value, low, high):
    def step(_, state):
        low, high, best, least = state
        # The mirror image of a golden cut is the other golden cut.
        other = low + high - best
        found = value(other)
        better = found < least
        worse = jnp.where(better, best, other)
        best, least = jnp.where(better, other, best), jnp.minimum(found, least)
        above = worse > best
        return jnp.where(above, low, worse), jnp.where(above, worse, high), best, least

    best = low + SHRINKS * (high - low)
    return lax.fori_loop(0, STEPS, step, (low, high, best, jnp.full_like(best, jnp.inf)))[2]


def agreement(
    name: str, case: str, answer: Answer, loss: np.ndarray, demand: np.ndarray, sizes: float
) -> dict[str, float]:
    """Errors of the answers to the first scenarios; Disagreement where one is too large.

    `sizes` is what params and tokens may be off by, relative. All inputs count as the numbers that
    they are in their dtype.
    """
    asked, dtype = cases()[case], loss.dtype.name
    answer = jax.tree.map(lambda x: np.asarray(x)[:CHECKED].astype(float), answer)
    loss, demand = (x[: len(answer.params)].astype(float) for x in (loss, demand))
    law, fixed = jax.tree.map(lambda x: float(np.dtype(dtype).type(x)), (asked.law, asked.fixed))
    levers = _levers_about(asked, fixed, answer)
    count = len(next(iter(levers.values()))) if levers else 1
    many = [np.tile(x, (count, 1)) for x in (loss, demand)]
    found = cheapest(law, levers, *map(jnp.asarray, many))
    here = {key: value[0] for key, value in levers.items()}
    paid = cost(law, here, answer.params, answer.tokens, demand)
    reached = protocol.loss_from_logs(law, np.log(answer.params), np.log(answer.tokens), **here)
    known = (found.params[0], found.tokens[0])
    off = {
        "sizes": require_agreement(f"{name}: sizes", (answer.params, answer.tokens), known, sizes),
        "cost": require_agreement(
            f"{name}: cost", (paid,), (found.cost[0],), COST_TOLERANCE[dtype]
        ),
        "loss": require_agreement(f"{name}: loss", (reached,), (loss,), COST_TOLERANCE[dtype]),
    }
    if _searched(asked):
        off["levers"] = _off_best(name, asked, np.asarray(found.cost), LEVER_TOLERANCE[dtype])
    if asked.chosen:
        _require_lowest(name, np.asarray(found.cost), COST_TOLERANCE[dtype])
    return off


def _searched(asked: Case) -> tuple[str, ...]:
    """The levers that were chosen over a whole range, and not from a list."""
    return tuple(name for name in asked.chosen if name not in protocol.choices_of(asked.law))


def _levers_about(asked: Case, fixed: dict, answer: Answer) -> dict[str, np.ndarray]:
    """The levers of the answer, of either side of each, and of a grid of all, in rows."""
    lanes = np.ones_like(answer.params)
    given = {name: value * lanes for name, value in fixed.items()}
    here = given | {name: answer.levers[name] for name in asked.chosen}
    rows = [here]
    for name in _searched(asked):
        rows += [here | {name: here[name] * (1 + step)} for step in (-BESIDE, BESIDE)]
    grid = (_points(asked, name) for name in asked.chosen)
    for point in itertools.product(*grid) if asked.chosen else ():
        rows.append(given | {n: x * lanes for n, x in zip(asked.chosen, point, strict=True)})
    return {name: np.stack([row[name] for row in rows]) for name in here}


def _points(asked, name):
    if name in protocol.choices_of(asked.law):
        return protocol.choices_of(asked.law)[name]
    low, high = asked.law.levers[name]
    spaced = np.geomspace if low > 0 and high > 100 * low else np.linspace
    return spaced(low, high, POINTS)


def _off_best(name, asked, costs, tolerance):
    """Largest distance of a lever from the minimum of a parabola, relative to its value."""
    worst = 0.0
    for at in range(len(_searched(asked))):
        middle, less, more = costs[0], costs[1 + 2 * at], costs[2 + 2 * at]
        with np.errstate(invalid="ignore"):
            bend = (less - middle) + (more - middle)
            off = np.abs(BESIDE / 2 * (less - more) / bend)
            off = np.where(bend > 0, off, np.where(np.isnan(bend), np.nan, np.inf))
        worst = max(worst, float(np.nanmax(off)))
    if not worst <= tolerance:
        raise Disagreement(
            f"{name}: a lever is off by {worst:.1e}, relative; {tolerance:.0e} is allowed"
        )
    return worst


def _require_lowest(name, costs, tolerance):
    """Disagreement where a plan of other levers is cheaper."""
    with np.errstate(invalid="ignore"):
        least = np.nanmin(costs / costs[0])
    if not least >= 1 - tolerance:
        raise Disagreement(f"{name}: other levers are cheaper by {1 - least:.1e}, relative")
