"""How large, how long trained and how often asked: a model and its attempts chosen together.

A weak model that is asked often may succeed as often as a strong one, for less. A number of
attempts fixes the loss that is needed and multiplies what is served, so the best plan of it
is that of `minimize_cost`, for every law; what is left is a search over whole numbers.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.typing import ArrayLike

from jaxscale._numerics import arrays
from jaxscale._numerics.compiled import compiled
from jaxscale.costs import Costs, Demand
from jaxscale.laws.protocol import Law
from jaxscale.plan import Bounds, Plan, lever_values, plan_arguments
from jaxscale.repeated_sampling.required import (
    WORST,
    Needs,
    Success,
    bisected_loss,
    entered,
    spread_of,
    with_derivatives,
)
from jaxscale.solve import minimize_cost
from jaxscale.status import Status

PLACES = 16  # that are looked at together, at equal ratios


def minimize_cost_for_success(
    law: Law,
    success: Success,
    target: ArrayLike,
    demand: Demand | None = None,
    costs: Costs | None = None,
    *,
    max_attempts: int = 10_000,
    shared_prompt: bool = True,
    concentration: ArrayLike = np.inf,
    bounds: Bounds | None = None,
    levers: Mapping[str, ArrayLike] | None = None,
) -> Plan:
    """Cheapest plan that solves a share `target` of problems in a whole number of attempts.

    `success` is the chance of one attempt by loss, and `concentration` how alike problems are:
    see `loss_for_success`. `demand` is that of one attempt each, over the model's life; k of
    them write k times as much, and read as often unless the prompt is shared. An attempt is
    taken to be checked at no cost. Everything else is as for `minimize_cost`. The plan's
    `levers` say the `attempts`, and its loss is the model's, in nats per token.

    Attempts are looked at ever closer together around the cheapest: exact where cost has one
    valley. The status is AT_LEVER_END where they are 1 or `max_attempts`, and NO_INTERIOR_OPTIMUM
    where a model without any skill is enough. Derivatives are those of the plan at its attempts.
    Usable under jit, vmap and grad.

    The setting is that of Roberts et al. 2026, arXiv 2604.01411; the failure of k attempts that
    of Schaeffer et al. 2025, arXiv 2502.17578.

    Examples:
        >>> def success(loss):  # the chance that one attempt succeeds
        ...     return jax.nn.sigmoid((2.1 - loss) / 0.1)
        ...
        >>> law = js.laws.published("sardana2024")
        >>> demand = js.Demand(1e11, 1e11)
        >>> plan = js.repeated_sampling.minimize_cost_for_success(law, success, 0.8, demand)
        >>> print(f"{plan.params:.2g} params, {plan.levers['attempts']:.0f} attempts")
        4.9e+08 params, 27 attempts
    """
    if type(max_attempts) is not int or max_attempts < 1:
        raise ValueError(f"max_attempts must be a whole number above 0; got {max_attempts!r}")
    arguments = plan_arguments(law, demand, costs, bounds)
    arguments["levers"] = lever_values(law, levers or {})
    numbers = {"target": target, **spread_of(concentration), **arguments}
    success, *values = entered(success, **numbers)
    problem = _Problem(success, **dict(zip(numbers, values, strict=True)))
    return _cheapest(max_attempts, bool(shared_prompt), problem)


class _Problem(NamedTuple):
    """All numbers of a scenario but its attempts."""

    success: Success
    target: Array
    law: Law
    demand: Demand
    costs: Costs
    levers: dict[str, Array]
    bounds: Bounds | None = None
    concentration: Array | None = None

    def needs(self, attempts: Array) -> Needs:
        """What the loss depends on, at a number of attempts."""
        return Needs(self.success, self.target, attempts, self.concentration)


@partial(compiled, static=2)
def _cheapest(max_attempts, shared_prompt, problem):
    problem = arrays.align(problem)[0]
    leaves = jax.tree.leaves(problem)
    like = jnp.zeros(jnp.broadcast_shapes(*map(jnp.shape, leaves)), leaves[0].dtype)

    def cost(attempts):
        given, attempts = arrays.align(lax.stop_gradient(problem), attempts)
        return _cost(_plan(shared_prompt, given, attempts, bisected_loss(given.needs(attempts))))

    attempts = _least(cost, max_attempts, like)
    needs = problem.needs(attempts)
    loss = with_derivatives(needs, bisected_loss(needs))
    plan = _plan(shared_prompt, problem, attempts, loss)
    at_end = (attempts == 1) | (attempts == max_attempts)
    ended = at_end & (plan.status == int(Status.OK))
    return replace(plan, status=jnp.where(ended, jnp.int8(Status.AT_LEVER_END), plan.status))


def _plan(shared_prompt: bool, problem: _Problem, attempts: Array, loss: Array) -> Plan:
    """The cheapest plan at a number of attempts and the loss that they need."""
    _, _, law, demand, costs, levers, bounds, _ = problem
    read = demand.input_tokens if shared_prompt else demand.input_tokens * attempts
    served = Demand(read, demand.output_tokens * attempts)
    needs_none = loss == jnp.inf
    loss = jnp.where(needs_none, WORST, loss)
    plan = minimize_cost(law, loss, served, costs, bounds, levers=levers)
    # Bounds of both sizes still say what the least model is; a law never does.
    runs_off = needs_none & (plan.status != int(Status.AT_CORNER))
    status = jnp.where(runs_off, jnp.int8(Status.NO_INTERIOR_OPTIMUM), plan.status)
    chosen = {**plan.levers, "attempts": attempts + jnp.zeros_like(plan.params)}
    plan = replace(plan, status=status, levers=chosen)
    numbers = {name: value for name, value in vars(plan).items() if name != "status"}
    masked = jax.tree.map(lambda x: jnp.where(plan.ok, x, jnp.nan), numbers)
    return Plan(**masked, status=status)


def _cost(plan: Plan) -> Array:
    """What a plan costs: everything where there is none, and nothing where none is needed."""
    cost = jnp.where(plan.ok, plan.total_cost, jnp.inf)
    return jnp.where(plan.status == int(Status.NO_INTERIOR_OPTIMUM), -jnp.inf, cost)


def _least(cost: Callable[[Array], Array], most: int, like: Array) -> Array:
    """The whole number from 1 to `most` of the least cost; `most` where all are infinite.

    Of a cost with one valley: where it is the least of a few places, ever closer together.
    """
    along = jnp.linspace(0, 1, PLACES, dtype=like.dtype).reshape(PLACES, *(1,) * like.ndim)

    def look(_, seen):
        low, high, best, least = seen
        ratio = jnp.log(high / low)[None]
        tries = jnp.clip(jnp.round(low[None] * jnp.exp(along * ratio)), low[None], high[None])
        costs = cost(tries)
        place = jnp.argmin(costs, axis=0)
        at = partial(_taken, tries)
        found = _taken(costs, place)
        best, least = jnp.where(found < least, at(place), best), jnp.minimum(found, least)
        return at(place - 1), at(place + 1), best, least

    begin = like + 1, like + most, like + most, like + jnp.inf
    return lax.fori_loop(0, _rounds(most), look, begin)[2]


def _rounds(most: int) -> int:
    """How often it takes to look until places are whole numbers in a row, and once more."""
    gap = most * math.log(most) / (PLACES - 1)
    return 1 + max(0, math.ceil(math.log(max(gap, 1.0)) / math.log((PLACES - 1) / 2)))


def _taken(values: Array, place: Array) -> Array:
    """Each lane's value at its place along the first axis, or at the end next to it."""
    inside = jnp.clip(place, 0, PLACES - 1)[None]
    return jnp.take_along_axis(values, inside, axis=0)[0]
