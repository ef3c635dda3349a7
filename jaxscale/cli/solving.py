"""Solving one scenario: its plan on the host, and the plan's record as JSON."""

import math
from collections.abc import Mapping
from typing import Any

import jaxscale as js
from jaxscale._explain import Asked, sentence_of
from jaxscale._numerics.interpreted import interpreted
from jaxscale.cli.mistakes import Mistake
from jaxscale.plan import NUMBERS


def solved(plan: js.Plan, asked: Asked) -> js.Plan:
    """The plan; a mistake with the sentence of its status where there is none."""
    status = status_of(plan)
    if not status.ok:
        raise Mistake(sentence_of(status, asked))
    return plan


def compute_optimal_plans(
    option: str, laws: Any, law: Any, levers: Mapping[str, float], **given: float
) -> js.Plan:
    """Plans of the frontier from one of FLOPs, params and tokens; Mistake where `law` has none.

    `laws` has it first on a leading axis.
    """
    plans = interpreted(js.compute_optimal, laws, **given, levers=levers)
    status = js.Status(int(plans.status[0]))
    if not status.ok:
        asked = Asked(law, levers=levers, budget=given.get("flops"))
        asked = asked._replace(params=given.get("params"), tokens=given.get("tokens"))
        raise Mistake(f"{option}: {sentence_of(status, asked)}")
    return plans


def status_of(plan: js.Plan) -> js.Status:
    return js.Status(int(plan.status))


def loss_text(loss: float) -> str:
    return "not known" if math.isnan(loss) else f"{loss:.4f}"


def record_of_plan(plan: js.Plan) -> dict[str, float | None]:
    """Numbers and levers of one plan for machines; null for a loss that is not known."""
    numbers = {name: float(getattr(plan, name)) for name in NUMBERS} | levers_of_plan(plan)
    return {name: None if math.isnan(x) else x for name, x in numbers.items()}


def levers_of_plan(plan: js.Plan) -> dict[str, float]:
    """The levers of one plan by name."""
    return {name: float(value) for name, value in plan.levers.items()}
