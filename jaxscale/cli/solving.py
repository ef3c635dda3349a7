"""Solving one scenario: its plan on the host, and the plan's record as JSON."""

import math
from collections.abc import Mapping
from typing import Any

import jaxscale as js
from jaxscale._explain import Asked, sentence_of
from jaxscale._numerics.interpreted import interpreted
from jaxscale.cli.mistakes import Mistake

NUMBERS = (
    "params",
    "tokens",
    "tokens_per_param",
    "loss",
    "train_cost",
    "prefill_cost",
    "decode_cost",
    "total_cost",
    "marginal_cost",
)


def solved(plan: js.Plan, asked: Asked) -> js.Plan:
    """The plan; a mistake with the sentence of its status where there is none."""
    status = status_of(plan)
    if not status.ok:
        raise Mistake(sentence_of(status, asked))
    return plan


def compute_optimal_sizes(
    option: str, law: Any, levers: Mapping[str, float], **given: float
) -> tuple[float, float]:
    """Params and tokens of the frontier from one of FLOPs, params and tokens; Mistake without."""
    plan = interpreted(js.compute_optimal, law, **given, levers=levers)
    status = status_of(plan)
    if not status.ok:
        asked = Asked(law, levers=levers, budget=given.get("flops"))
        asked = asked._replace(params=given.get("params"), tokens=given.get("tokens"))
        raise Mistake(f"{option}: {sentence_of(status, asked)}")
    return float(plan.params), float(plan.tokens)


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
