"""Statuses explained: why a scenario has no plan, or which bound decides, with its numbers."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax.typing import ArrayLike

from jaxscale._numerics import arrays
from jaxscale._numerics.interpreted import interpreted
from jaxscale._numerics.quantities import count
from jaxscale._schema import BOUNDS
from jaxscale.costs import Costs, Demand
from jaxscale.laws.inverse import far
from jaxscale.laws.protocol import (
    NO_LENGTH,
    Law,
    check_law,
    depends_on_tokens,
    least_loss_from_logs,
    levers_of,
    log_tokens_ceiling,
)
from jaxscale.plan import Bounds, Plan, in_memory
from jaxscale.status import Status

SOLVED_EXPONENTS = (0.01, 3.0)  # that `Status.NOT_CONVERGED` speaks of


class Asked(NamedTuple):
    """The scenario of one plan: some of these, in the order of `js.minimize_cost`."""

    law: Any
    loss: float | None = None  # nats per token
    demand: Demand | None = None
    costs: Costs | None = None
    bounds: Bounds | None = None
    budget: float | None = None
    params: float | None = None
    tokens: float | None = None
    levers: Mapping[str, Any] | None = None


def explain(
    plan: Plan | Status,
    law: Law,
    *,
    loss: float | None = None,
    budget: float | None = None,
    params: float | None = None,
    tokens: float | None = None,
    demand: Demand | None = None,
    costs: Costs | None = None,
    bounds: Bounds | None = None,
    levers: Mapping[str, ArrayLike] | None = None,
) -> str:
    """The reason for a plan's status: its sentence, with the numbers of the scenario.

    Pass what the plan was solved for: `loss`, `budget`, or sizes. A number that is left out is
    left out of the sentence. With costs of `Costs.served` it names the limit of the devices that
    bounds a plan, or what the best plan without limits would take where none keeps them.

    Raises ValueError for plans of several scenarios and for both a loss and a budget, and
    TypeError for what is no plan or no law.

    Examples:
        >>> law = js.laws.published("sardana2024")
        >>> plan = js.minimize_cost(law, 1.5)
        >>> print(js.explain(plan, law, loss=1.5))
        The loss 1.5 is not above the law's E, 1.69, so no model reaches it; raise it.
        >>> bounds = js.Bounds(max_params=1e9)
        >>> plan = js.minimize_cost(law, 2.3, bounds=bounds)
        >>> print(js.explain(plan, law, loss=2.3, bounds=bounds))
        The bound max_params, 1.00B, decides; raise it for a cheaper or better plan.
    """
    check_law(law)
    status = plan.status if isinstance(plan, Plan) else plan
    if not hasattr(status, "dtype") and not isinstance(status, int):
        raise TypeError(f"plan must be a Plan or a Status; got {plan!r} ({type(plan).__name__})")
    if loss is not None and budget is not None:
        raise ValueError("give loss or budget, not both: a plan is solved for one of them")
    if jnp.ndim(status):
        raise ValueError(
            "plan must be of one scenario; take one of several by "
            "jax.tree.map(lambda x: x[0], plan)"
        )
    asked = Asked(law, loss, demand, costs, bounds, budget, params, tokens, levers)
    if isinstance(plan, Plan):
        return sentence_of_plan(plan, asked)
    return sentence_of(Status(int(status)), asked)


def sentence_of_plan(plan: Plan, asked: Asked) -> str:
    """The sentence of a plan's status; of the devices that serve it, where they bound it."""
    bounded = ""
    if plan.serving:
        from jaxscale._explain_served import of_limit

        bounded = of_limit(plan, asked)
    return bounded or sentence_of(Status(int(plan.status)), _with_levers(plan, asked))


def is_of_memory(plan: Plan, asked: Asked) -> bool:
    """Whether what bounds the params of a plan is a bound on memory."""
    if int(plan.status) != Status.AT_MAX_PARAMS:
        return False
    return bool(_without_memory(_with_levers(plan, asked))[1])


def _with_levers(plan: Plan, asked: Asked) -> Asked:
    """The scenario with the levers of the plan, which share memory with params."""
    if asked.bounds is None or not asked.bounds.of_memory:
        return asked
    return asked._replace(levers={**(asked.levers or {}), **plan.levers})


def sentence_of(status: Status, asked: Asked) -> str:
    """The sentence of a status, with the numbers of the scenario."""
    served = asked.costs is not None and asked.costs.serving
    if served and status in (Status.INFEASIBLE_BOUNDS, Status.INFEASIBLE_BUDGET):
        from jaxscale._explain_served import of_none

        sentence = of_none(asked)
        if sentence:
            return sentence
    asked, memory = _without_memory(asked)
    if memory and status == Status.AT_MAX_PARAMS:
        return status.sentence.replace("The bound max_params", f"The bound max_memory, {memory},")
    write = _SENTENCES.get(status)
    return (write(asked) if write else "") or status.sentence


def _without_memory(asked: Asked) -> tuple[Asked, str]:
    """The scenario with a bound on memory as one on params, and that in words if it is narrower.

    Where not all levers are known it is left out: how many params it bounds is not known.
    """
    bounds = asked.bounds
    if bounds is None or not bounds.of_memory:
        return asked, ""
    levers = {name: float(x) for name, x in (asked.levers or {}).items()}
    rest = replace(bounds, **dict.fromkeys(bounds.of_memory, arrays.NOTHING))
    words = f"{float(bounds.max_memory) / 1e9:.4g} GB"
    if set(levers) != set(levers_of(asked.law)):
        return asked._replace(bounds=rest), words if rest.max_params == math.inf else ""
    whole = interpreted(in_memory, asked.law, bounds, levers)
    most = float(whole.max_params)
    if not most < float(bounds.max_params):
        return asked._replace(bounds=whole), ""
    return asked._replace(bounds=whole), f"{words}, which {count(most)} params fill"


def _of_loss(asked: Asked) -> str:
    if asked.loss is None:
        return ""
    E = float(getattr(asked.law, "E", -math.inf))
    name, least = "the law's E", E
    if asked.loss > E:
        name, least = "the least of the law", _least_loss(asked, math.inf, math.inf)
    if math.isnan(least):
        return ""
    return (
        f"The loss {asked.loss:.6g} is not above {name}, {least:.6g}, so no model reaches it; "
        "raise it."
    )


def _of_budget(asked: Asked) -> str:
    if asked.budget is None:
        return ""
    return f"The budget {count(asked.budget)} does not pay for the least plan; raise it."


def _of_bounds(asked: Asked) -> str:
    limits = _limits(asked)
    if not limits or asked.loss is None:
        return ""
    params = limits.get("max_params", math.inf)
    ratio = limits.get("max_tokens_per_param", math.inf)
    least = _least_loss(asked, params, min(limits.get("max_tokens", math.inf), ratio * params))
    known = f"; the least there is {least:.5g}" if least > asked.loss else ""
    return f"No plan of {_in_words(limits)} reaches the loss {asked.loss:.5g}{known}: widen bounds."


def _of_input(asked: Asked) -> str:
    wrong = {name: x for name, x in _numbers(asked).items() if not math.isfinite(x) or x < 0}
    wrong |= {name: x for name, x in (("params", asked.params), ("tokens", asked.tokens)) if x == 0}
    if not wrong:
        return ""
    named = " and ".join(f"{name} {value:g}" for name, value in wrong.items())
    return f"Not a number to compute with: {named}; correct what it comes from."


def _of_range(asked: Asked) -> str:
    telling = {name: value for name, value in _numbers(asked).items() if value not in (0, 1)}
    given = ", ".join(f"{name} {value:.5g}" for name, value in telling.items())
    return f"A result over- or underflows float64 ({given}); use other units."


def _of_optimum(asked: Asked) -> str:
    if not depends_on_tokens(asked.law):
        return f"The loss of this law {NO_LENGTH}."
    if _target(asked):
        return f"The law has no optimum at {_target(asked)}; add bounds."
    sizes = {"params": asked.params, "tokens": asked.tokens}
    given = [f"{count(size)} {name}" for name, size in sizes.items() if size is not None]
    return f"The law has no compute-optimal plan of {given[0]}." if len(given) == 1 else ""


def _of_optima(asked: Asked) -> str:
    if not _target(asked):
        return ""
    return f"The law has more than one optimum at {_target(asked)}; bound params to one of them."


def _of_solver(asked: Asked) -> str:
    low, high = SOLVED_EXPONENTS
    exponents = {name: float(getattr(asked.law, name, 1.0)) for name in ("alpha", "beta")}
    named = [f"{name} is {x:g}" for name, x in exponents.items() if not low <= x <= high]
    if named:
        return f"The solver takes exponents from {low:g} to {high:g}; {' and '.join(named)}."
    target = _target(asked)
    return f"No plan passes the solver's checks at {target}; add bounds." if target else ""


def _at(bound: str) -> Callable[[Asked], str]:
    def sentence(asked: Asked) -> str:
        limit = _limits(asked).get(bound)
        status = getattr(Status, f"AT_{bound.upper()}".replace("TOKENS_PER_PARAM", "RATIO"))
        named = f"The bound {bound}"
        return status.sentence.replace(named, f"{named}, {count(limit)},") if limit else ""

    return sentence


def _of_corner(asked: Asked) -> str:
    limits = _limits(asked)
    return f"{Status.AT_CORNER.sentence[:-1]} ({_in_words(limits)})." if limits else ""


def _of_ceiling(asked: Asked) -> str:
    values = _lever_values(asked)
    if asked.params is None or values is None:
        return ""
    log_params = jnp.asarray(math.log(asked.params))
    most = math.exp(float(interpreted(log_tokens_ceiling, asked.law, log_params, **values)))
    named = f"ceiling, {count(most)} for {count(asked.params)} params"
    return Status.AT_CEILING.sentence.replace("ceiling", named)


_SENTENCES = {
    Status.INFEASIBLE_LOSS: _of_loss,
    Status.INFEASIBLE_BUDGET: _of_budget,
    Status.INFEASIBLE_BOUNDS: _of_bounds,
    Status.INVALID_INPUT: _of_input,
    Status.OUT_OF_RANGE: _of_range,
    Status.NO_INTERIOR_OPTIMUM: _of_optimum,
    Status.SEVERAL_OPTIMA: _of_optima,
    Status.NOT_CONVERGED: _of_solver,
    Status.AT_MAX_PARAMS: _at("max_params"),
    Status.AT_MAX_TOKENS: _at("max_tokens"),
    Status.AT_MAX_RATIO: _at("max_tokens_per_param"),
    Status.AT_CORNER: _of_corner,
    Status.AT_CEILING: _of_ceiling,
}


def _limits(asked: Asked) -> dict[str, float]:
    """The finite upper bounds, by name."""
    names = (name for name in BOUNDS if name != "max_memory")  # by now a bound on params
    given = {name: float(getattr(asked.bounds, name, math.inf)) for name in names}
    return {name: limit for name, limit in given.items() if limit < math.inf}


def _in_words(limits: Mapping[str, float]) -> str:
    return " and ".join(
        f"at most {count(limit)} {name.removeprefix('max_').replace('_', ' ')}"
        for name, limit in limits.items()
    )


def _target(asked: Asked) -> str:
    """The loss or the budget in words; empty for a plan of given sizes."""
    if asked.loss is not None:
        return f"the loss {asked.loss:.5g}"
    return "" if asked.budget is None else f"the budget {count(asked.budget)}"


def _numbers(asked: Asked) -> dict[str, float]:
    """All numbers of the scenario, by name."""
    demand = {} if asked.demand is None else vars(asked.demand)
    phases = () if asked.costs is None or asked.costs.serving else ("train", "prefill", "decode")
    prices = {phase: getattr(asked.costs, phase) for phase in phases}
    given = {name: getattr(asked, name) for name in ("loss", "budget", "params", "tokens")}
    given |= {name.replace("_", " "): x for name, x in demand.items()}
    given |= {f"{phase} cost per FLOP": x for phase, x in prices.items()}
    return {name: float(x) for name, x in given.items() if x is not None}


def _least_loss(asked: Asked, params: float, tokens: float) -> float:
    """The loss at the largest sizes, as the solver looks at them."""
    values = _lever_values(asked)
    if values is None:
        return math.nan
    top = far(jnp.float64)
    logs = (jnp.asarray(min(math.log(size), top)) for size in (params, tokens))
    return float(interpreted(least_loss_from_logs, asked.law, *logs, **values))


def _lever_values(asked: Asked) -> dict[str, jnp.ndarray] | None:
    """A value for each lever of the law; None where one is chosen."""
    known, levers = levers_of(asked.law), asked.levers or {}
    if not set(known) <= set(levers):
        return None
    return {name: jnp.asarray(levers[name], float) for name in known}
