"""Explanations of plans whose serving is timed: the limit that bounds one, or that forbids all."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxscale._numerics.interpreted import interpreted
from jaxscale._numerics.quantities import count, counted, elapsed
from jaxscale.architectures.family import log_params_of
from jaxscale.costs import Costs
from jaxscale.laws.protocol import levers_of
from jaxscale.laws.streams import STREAMS
from jaxscale.plan import REASONS, Plan
from jaxscale.serving import COUNTS, Deployment, Limits, name_of, options
from jaxscale.solve import minimize_cost, minimize_loss
from jaxscale.solve.served import (
    FIRST_TOKEN,
    MEMORY,
    NARROWEST,
    POINTS,
    TOKEN_TIME,
    WIDEST,
)
from jaxscale.status import Status

# The limits of `Limits` on times, in words after the time.
TIMES = {"token_seconds": "a token", "first_token_seconds": "to the first token"}


def of_limit(plan: Plan, asked: Any) -> str:
    """The limit that keeps a plan from being larger, with its numbers; empty for none.

    `asked` has the fields of `js.explain`.
    """
    reason = int(plan.serving.get("reason", 0))
    if not reason:
        return ""
    if asked.costs is None or not asked.costs.serving:
        devices = counted(int(plan.serving["devices"]), "device")
        return f"{REASONS[reason].capitalize()} on {devices} bounds the size."
    served = asked.costs.serving
    name = name_of(served.options[int(plan.serving["choice"])])
    token, first = (
        elapsed(float(np.asarray(x)))
        for x in (served.limits.token_seconds, served.limits.first_token_seconds)
    )
    problem = {
        MEMORY: f"{name} has no room for a larger model and its cache",
        TOKEN_TIME: f"a larger model takes more than {token} a token on {name}",
        FIRST_TOKEN: f"a larger model takes more than {first} to the first token on {name}",
    }
    return f"The size is bounded: {problem[reason]}{_of_others(asked)}."


def _of_others(asked: Any) -> str:
    tried = asked.costs.serving.options
    if len(tried) == 1:
        return ""
    others = "counts" if len({each.count for each in tried}) == len(tried) else "deployments"
    return f", and other {others} {'cost more' if asked.budget is None else 'reach less'}"


def of_none(asked: Any) -> str:
    """What would make a loss or a budget feasible, by the plan without limits; empty if unknown.

    `asked` has the fields of `js.explain`.
    """
    served = asked.costs.serving
    loose = replace(served, limits=Limits(), options=_in_all_counts(served.options))
    plan = _solved(asked, replace(asked.costs, serving=loose))
    if not Status(int(plan.status)).ok:
        return _of_size(asked) if asked.loss is not None else _of_budget(asked, served)
    quality = "that quality" if asked.loss is not None else "that budget"
    best = "cheapest" if asked.loss is not None else "best"
    token, first = (
        elapsed(float(plan.serving[name])) for name in ("token_seconds", "first_token_seconds")
    )
    return (
        f"No model of {quality} keeps the limits on {_tried(served.options)}; without them the "
        f"{best} has {count(float(plan.params))} params on "
        f"{name_of(loose.options[int(plan.serving['choice'])])}, and takes {token} a token and "
        f"{first} to the first.{_of_first_failure(asked, loose.options)}"
    )


def _of_first_failure(asked: Any, all_counts: tuple[Deployment, ...]) -> str:
    """The limit that fails first, and what would make a plan feasible; empty if unknown.

    Memory comes before the times, and a time that fails alone before both.
    """
    served = asked.costs.serving
    plan = None
    if {each.count for each in all_counts} > {each.count for each in served.options}:
        plan = _freed(asked, options=all_counts)
    devices = "" if plan is None else name_of(all_counts[int(plan.serving["choice"])])
    limits = {name: float(np.asarray(getattr(served.limits, name))) for name in TIMES}
    timeless = _freed(asked, limits=replace(served.limits, **dict.fromkeys(TIMES, math.inf)))
    if timeless is None:
        if asked.loss is None:  # the price of these devices may be what fails
            return f" Use {devices}." if devices else ""
        more = f": use {devices}" if devices else "; with more devices the limits of time fail too"
        return f" Memory fails first{more}."
    instead = f", or use {devices}" if devices else ""
    bounded = [name for name, limit in limits.items() if limit < math.inf]
    for name in bounded:
        plan = timeless
        if len(bounded) > 1:
            plan = _freed(asked, limits=replace(served.limits, **{name: math.inf}))
        if plan is not None:
            allowed = elapsed(float(plan.serving[name]))
            return (
                f" The limit of {elapsed(limits[name])} {TIMES[name]} fails first: "
                f"allow {allowed}{instead}."
            )
    return f" Each limit of time fails by itself: raise both{instead}."


def _freed(asked: Any, **changes: Any) -> Plan | None:
    """The plan with other limits or options of serving; None where there is none."""
    served = replace(asked.costs.serving, **changes)
    plan = _solved(asked, replace(asked.costs, serving=served))
    return plan if Status(int(plan.status)).ok else None


def _of_size(asked: Any) -> str:
    """The sentence where no count has room for the model, if bounds are not the reason."""
    levers = asked.levers or {}
    if asked.bounds is not None or set(levers_of(asked.law)) != set(levers):
        return ""
    plan = interpreted(minimize_cost, asked.law, asked.loss, levers=levers)
    if not Status(int(plan.status)).ok:
        return ""
    return (
        f"No model of that quality fits {max(COUNTS)} x {_names(asked.costs.serving.options)}; the "
        f"one that is cheapest to train has {count(float(plan.params))} params."
    )


def _of_budget(asked: Any, served: Any) -> str:
    """The sentence where serving alone takes more than the budget."""
    demand = asked.demand
    if demand is None:
        return ""
    widths = jnp.linspace(NARROWEST, WIDEST, POINTS)
    sizes = np.asarray(jnp.exp(log_params_of(served.family, widths)), float)
    served = served.of_law(asked.law, asked.levers or {})
    streams = (asked.levers or {}).get(STREAMS)
    offered = interpreted(served.prices, sizes, demand, streams=streams)
    price = offered["read"] * demand.input_tokens + offered["write"] * demand.output_tokens
    least = float(np.nanmin(np.append(np.asarray(price, float), math.inf)))
    if not asked.budget < least < math.inf:
        return ""
    return (
        f"The budget {count(asked.budget)} does not pay for serving the demand, which takes "
        f"{count(least)} even for the smallest models; raise it."
    )


def _solved(asked: Any, costs: Costs) -> Plan:
    law, loss, budget, levers = asked.law, asked.loss, asked.budget, asked.levers or {}
    rest = asked.demand, costs, asked.bounds
    if loss is not None:
        return interpreted(minimize_cost, law, loss, *rest, levers=levers)
    return interpreted(minimize_loss, law, budget, *rest, levers=levers)


def _in_all_counts(tried: Sequence[Deployment]) -> tuple[Deployment, ...]:
    """The same devices and precisions in every count that is tried by default, and in their own."""
    loose = [replace(each, count=1, tensor_parallel=None) for each in tried]
    kinds = [each for i, each in enumerate(loose) if each not in loose[:i]]
    counts = sorted({*COUNTS, *(int(each.count) for each in tried)})
    return options(kinds, counts=counts, every_split=False)


def _tried(tried: Sequence[Deployment]) -> str:
    """The deployments in words: `1 to 64 x H100-SXM`."""
    counts = sorted({int(each.count) for each in tried})
    numbers = " to ".join(dict.fromkeys(str(counts[i]) for i in (0, -1)))
    return f"{numbers} x {_names(tried)}"


def _names(tried: Sequence[Deployment]) -> str:
    return " or ".join(dict.fromkeys(each.accelerator.name for each in tried))
