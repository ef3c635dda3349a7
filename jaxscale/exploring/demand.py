"""Costs of the best plan by phase against demand, beside the Chinchilla plan of equal loss."""

import math
from typing import Any, NamedTuple

import jax
import numpy as np
from numpy.typing import NDArray

from jaxscale._numerics.compiled import compiled
from jaxscale.costs import Costs, Demand
from jaxscale.exploring.answering import Answer
from jaxscale.exploring.optima import POINTS, best_plans, law_and_draws, losses_of_models
from jaxscale.plan import evaluate
from jaxscale.solve import minimize_cost

Numbers = NDArray[np.float64]

REACH = 2.0  # decades of demand to both sides of the question's


class DemandCurve(NamedTuple):
    """Costs at multiples of the demand; NaN where there is no plan."""

    multiples: Numbers  # of the question's demand, log-spaced round 1
    tokens: Numbers  # read and written in all
    train: Numbers  # cost of the best plan
    prefill: Numbers
    decode: Numbers
    chinchilla: Numbers  # in all, of the Chinchilla plan of equal loss
    params: Numbers  # of the best plan


def demand_curve(answer: Answer) -> DemandCurve | None:
    """The question at other demands of the same kind; None without a demand, or without a plan.

    Of a loss or a model to match the loss is the same along the curve. A budget is spent at every
    demand: the curve is of what is left for training, and the loss differs. Levers that are chosen
    with a plan keep its values.
    """
    asked, optimum = answer.asked, answer.optimum
    served = float(asked.demand.input_tokens) + float(asked.demand.output_tokens)
    if not (served > 0 and bool(optimum.ok)):
        return None
    multiples = np.logspace(-REACH, REACH, POINTS)
    multiples[POINTS // 2] = 1.0
    demand = jax.tree.map(lambda x: np.float64(x) * multiples, asked.demand)
    budget = asked.quality.budget
    law = law_and_draws(asked.law)
    target = answer.target if budget is None else budget
    if math.isnan(target):  # as a fit whose runs do not tell it has it
        params, tokens = (np.full(POINTS, float(x)) for x in (optimum.params, optimum.tokens))
        target = losses_of_models(law, params, tokens, asked.levers)
    plans = best_plans(asked, law, target, demand)
    plans = jax.tree.map(lambda x: x[0], plans)
    levers = {name: float(x) for name, x in answer.chinchilla.levers.items()}
    with jax.enable_x64(True):
        if budget is None:
            size = float(answer.chinchilla.params), float(answer.chinchilla.tokens)
        else:
            size = _cheapest_to_train(law, plans.loss, levers)
        train, inference = _costs(law, size, demand, asked.costs, levers)
    return DemandCurve(
        multiples,
        served * multiples,
        plans.train_cost,
        plans.prefill_cost,
        plans.decode_cost,
        np.asarray(train + inference)[0],
        plans.params,
    )


@compiled
def _cheapest_to_train(law: Any, loss: Any, levers: dict[str, Any]) -> tuple[Any, Any]:
    plan = minimize_cost(law, loss, levers=levers)
    return plan.params, plan.tokens


@compiled
def _costs(
    law: Any, size: tuple[Any, Any], demand: Demand, costs: Costs, levers: dict[str, Any]
) -> tuple[Any, Any]:
    plan = evaluate(law, *size, demand, costs, levers=levers)
    return plan.train_cost, plan.inference_cost
