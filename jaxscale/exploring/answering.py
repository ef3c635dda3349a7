"""The answer to a question: the best plan beside the Chinchilla plan of equal loss."""

from dataclasses import replace
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxscale._explain import Asked as Scenario
from jaxscale._explain import sentence_of_plan
from jaxscale._numerics.compiled import compiled
from jaxscale.costs import Costs, Demand
from jaxscale.exploring.reading import Asked
from jaxscale.exploring.uncertainty import draws_of
from jaxscale.plan import Bounds, Plan, evaluate
from jaxscale.solve import compute_optimal, minimize_cost, minimize_loss
from jaxscale.solve.intervals import plan_intervals
from jaxscale.status import Status


class Answer(NamedTuple):
    """The plans of a question, on the host; numbers are NaN where there is none."""

    asked: Asked
    target: float  # loss, nats per token
    optimum: Plan
    chinchilla: Plan  # of equal loss, cheapest to train
    resampled: Plan | None  # the optimum of each law that the runs allow
    sentence: str  # what binds, or why there is no plan
    notes: tuple[str, ...]  # what to know before using it

    @property
    def status(self) -> Status:
        return Status(int(self.optimum.status))

    @property
    def saving(self) -> float:
        """The share of the Chinchilla plan's cost that the optimum saves."""
        return 1 - float(self.optimum.total_cost) / float(self.chinchilla.total_cost)

    @property
    def intervals(self) -> dict[str, tuple[float, float]]:
        """95 % intervals of the optimum's numbers, by name; empty where none are known."""
        if self.resampled is None:
            return {}
        ends = plan_intervals(self.resampled)
        return {name: (float(low), float(high)) for name, (low, high) in ends.items()}


def answer(asked: Asked) -> Answer:
    """The answer in float64, by programs compiled once for a family of law and shape of question.

    The first answer of a family waits for the compiler, for seconds; others take milliseconds.
    """
    draws = draws_of(asked.entry)
    one = jax.tree.map(lambda x: np.array([float(x)]), asked.law)
    both = one if draws is None else jax.tree.map(np.append, one, draws)
    quality = asked.quality
    with jax.enable_x64(True):
        found = _plans(
            both,
            (quality.loss, quality.params, quality.tokens, quality.budget),
            asked.demand,
            asked.costs,
            asked.bounds,
            asked.levers,
        )
    targets, optima, chinchillas = jax.tree.map(np.asarray, found)
    optimum = jax.tree.map(lambda x: x[0], optima)
    scenario = Scenario(
        asked.law,
        None if quality.budget is not None else float(targets[0]),
        asked.demand,
        asked.costs,
        asked.bounds,
        budget=quality.budget,
        levers=asked.levers,
    )
    with jax.enable_x64(True):
        sentence = sentence_of_plan(optimum, scenario)
        note = asked.entry.range_note(optimum) if asked.entry and optimum.ok else ""
    warning = asked.entry.warning if asked.entry else ""
    return Answer(
        asked,
        float(targets[0]),
        optimum,
        jax.tree.map(lambda x: x[0], chinchillas),
        None if draws is None else jax.tree.map(lambda x: x[1:], optima),
        sentence,
        tuple(filter(None, (warning, note))),
    )


@compiled
def _plans(
    laws: Any,
    quality: tuple[Any, ...],
    demand: Demand,
    costs: Costs,
    bounds: Bounds | None,
    levers: dict[str, Any],
) -> tuple[Any, Plan, Plan]:
    """Targets, the best plans and the Chinchilla plans by laws on a leading axis."""
    targets, optima = best_plans(laws, quality, demand, costs, bounds, levers)
    size = minimize_cost(laws, targets, levers=levers)
    sizes = size.params, size.tokens
    chinchillas = evaluate(laws, *sizes, demand, costs, levers=levers)
    if costs.serving is not None:  # which may forbid to serve it, but not to train it
        trained = evaluate(
            laws, *sizes, None, Costs(costs.train, prefill=0.0, decode=0.0), levers=levers
        )
        chinchillas = replace(
            trained, prefill_cost=chinchillas.prefill_cost, decode_cost=chinchillas.decode_cost
        )
    return targets, optima, chinchillas


def best_plans(
    laws: Any,
    quality: tuple[Any, ...],
    demand: Demand,
    costs: Costs,
    bounds: Bounds | None,
    levers: dict[str, Any],
) -> tuple[Any, Plan]:
    """Target losses and the best plans, for a loss, a model's params and tokens, or a budget."""
    loss, params, tokens, budget = quality
    shape = jax.numpy.shape(jax.tree.leaves(laws)[0])
    if budget is not None:
        optima = minimize_loss(laws, budget, demand, costs, bounds, levers=levers)
        targets = optima.loss
    else:
        if loss is not None:
            targets = jax.numpy.broadcast_to(loss, shape)
        else:
            if tokens is None:
                tokens = compute_optimal(laws, params=params, levers=levers).tokens
            targets = evaluate(laws, params, tokens, levers=levers).loss
        optima = minimize_cost(laws, targets, demand, costs, bounds, levers=levers)
    return targets, optima
