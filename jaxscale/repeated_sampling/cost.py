"""Model size, training tokens and number of attempts, chosen together, and the loss that they need.

A weak model that tries often may succeed as often as a strong one, at a lower cost. A number of
attempts fixes the loss that is needed and multiplies the demand, so `minimize_cost` finds its best
plan, for every law; the rest is a search over whole numbers.
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
from jaxscale._numerics.values import is_finite, is_positive, where_safe
from jaxscale.costs import Costs, Demand
from jaxscale.laws.protocol import Law
from jaxscale.plan import Bounds, Plan, lever_values, plan_arguments
from jaxscale.repeated_sampling.coverage import log_failure_of_mean
from jaxscale.solve import minimize_cost
from jaxscale.status import Status

# Nats per token, beyond any language model: a success rate that is reached here needs no model.
WORST = 1024.0
NEAR_WORST = 0.99 * WORST
MORE_HALVINGS = 12  # than a number has binary digits: from WORST down to a loss of 1

Success = Callable[[Array], Array]  # from a loss to a chance of success of one attempt


def loss_for_success(
    success: Success,
    target: ArrayLike,
    attempts: ArrayLike,
    *,
    concentration: ArrayLike = np.inf,
) -> Array:
    """The highest loss, in nats per token, at which `attempts` attempts succeed at rate `target`.

    `success` is the chance of one attempt, a function of loss that falls with it: a pytree
    with `__call__`, or a plain function (the same object at each call, for a new one compiles
    again). It takes and returns arrays of one shape. Problems are spread about it as
    `failure_rate` says. Other arguments broadcast, and so does what `success` is made of.

    0 where no positive loss is low enough, infinite where every loss is, and NaN for a target
    outside (0, 1) and other bad numbers, with zero derivatives.

    Examples:
        >>> def success(loss):  # the chance that one attempt succeeds
        ...     return jax.nn.sigmoid((2.1 - loss) / 0.1)
        ...
        >>> print(f"{js.repeated_sampling.loss_for_success(success, 0.8, attempts=10):.3f}")
        2.275
    """
    arguments = {"target": target, "attempts": attempts, **spread_of(concentration)}
    return _loss_for_success(Needs(*arrays.enter_function("success", success, **arguments)))


def spread_of(concentration: ArrayLike) -> dict[str, ArrayLike]:
    """The argument by name; nothing if it is infinite in all lanes, which takes far less work."""
    if type(concentration) is float and concentration == np.inf:
        return {}
    return {"concentration": concentration}


class Needs(NamedTuple):
    """The inputs of `loss_for_success`; arrays of one rank and dtype, or scalars."""

    success: Success
    target: Array
    attempts: Array
    concentration: Array | None = None  # infinite

    def are_valid(self) -> Array:
        """Whether the target lies in (0, 1), and the other two are above 0."""
        good = (self.target > 0) & (self.target < 1) & is_positive(self.attempts)
        return good if self.concentration is None else good & (self.concentration > 0)


@compiled
def _loss_for_success(needs):
    needs = arrays.align(needs)[0]
    return with_derivatives(needs, bisected_loss(needs))


def bisected_loss(needs: Needs) -> Array:
    """`loss_for_success`, not to be differentiated."""
    needs = lax.stop_gradient(needs)
    leaves = jax.tree.leaves(needs)
    low = jnp.zeros(jnp.broadcast_shapes(*map(jnp.shape, leaves)), leaves[0].dtype)

    def halve(_, ends):
        low, high = ends
        middle = (low + high) / 2
        enough = _excess(middle, needs) >= 0
        return jnp.where(enough, middle, low), jnp.where(enough, high, middle)

    halvings = int(jnp.finfo(low.dtype).nmant) + MORE_HALVINGS
    low, _ = lax.fori_loop(0, halvings, halve, (low, low + WORST))
    return jnp.where(needs.are_valid(), jnp.where(low > NEAR_WORST, jnp.inf, low), jnp.nan)


@jax.custom_jvp
def with_derivatives(needs: Needs, loss: Array) -> Array:
    """The bisected loss, with implicit derivatives of any order by `needs`."""
    del needs
    return loss


@with_derivatives.defjvp
def _with_derivatives_jvp(primals, tangents):
    (needs, _), (needs_dot, _) = primals, tangents
    loss = with_derivatives(*primals)
    inside = (loss > 0) & (loss < jnp.inf)
    safe = jnp.where(inside, loss, 1)
    needs = needs._replace(target=jnp.where(inside, needs.target, 0.5))
    needs = jax.tree.map(lambda x: where_safe(inside, x), needs)
    slope = jax.jvp(lambda x: _excess(x, needs), (safe,), (jnp.ones_like(safe),))[1]
    change = jax.jvp(lambda needs: _excess(safe, needs), (needs,), (needs_dot,))[1]
    falls = inside & is_finite(1 / slope)
    return loss, jnp.where(falls, -change, 0) / jnp.where(falls, slope, 1)


def _excess(loss: Array, needs: Needs) -> Array:
    """Above 0 where a loss is lower than needed.

    In log(-log(failure)), which is nearly linear even where failure is close to 1.
    """
    p = needs.success(loss)
    limits = jnp.finfo(p.dtype)
    p = jnp.clip(p, float(limits.tiny), 1 - float(limits.eps))
    log_failure = log_failure_of_mean(p, needs.attempts, needs.concentration)
    return jnp.log(-log_failure) - jnp.log(jnp.log1p(needs.target / (1 - needs.target)))


POINTS = 16  # numbers of attempts that are tried together, at equal ratios


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

    The search narrows around the cheapest number of attempts, which is exact where cost has one
    minimum. The status is AT_LEVER_END where they are 1 or `max_attempts`, and NO_INTERIOR_OPTIMUM
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
    success, *values = arrays.enter_function("success", success, **numbers)
    problem = _Problem(success, **dict(zip(numbers, values, strict=True)))
    return _cheapest(max_attempts, bool(shared_prompt), problem)


class _Problem(NamedTuple):
    """A scenario without its attempts."""

    success: Success
    target: Array
    law: Law
    demand: Demand
    costs: Costs
    levers: dict[str, Array]
    bounds: Bounds | None = None
    concentration: Array | None = None

    def needs(self, attempts: Array) -> Needs:
        """The numbers that fix the loss at a number of attempts."""
        return Needs(self.success, self.target, attempts, self.concentration)


@partial(compiled, static=2)
def _cheapest(max_attempts, shared_prompt, problem):
    problem = arrays.align(problem)[0]
    leaves = jax.tree.leaves(problem)
    like = jnp.zeros(jnp.broadcast_shapes(*map(jnp.shape, leaves)), leaves[0].dtype)

    def cost(attempts):
        fixed, attempts = arrays.align(lax.stop_gradient(problem), attempts)
        return _cost(_plan(shared_prompt, fixed, attempts, bisected_loss(fixed.needs(attempts))))

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
    # Only bounds on both sizes have a smallest model; a law has none.
    runs_off = needs_none & (plan.status != int(Status.AT_CORNER))
    status = jnp.where(runs_off, jnp.int8(Status.NO_INTERIOR_OPTIMUM), plan.status)
    chosen = {**plan.levers, "attempts": attempts + jnp.zeros_like(plan.params)}
    plan = replace(plan, status=status, levers=chosen)
    numbers = {name: value for name, value in vars(plan).items() if name != "status"}
    masked = jax.tree.map(lambda x: jnp.where(plan.ok, x, jnp.nan), numbers)
    return Plan(**masked, status=status)


def _cost(plan: Plan) -> Array:
    """Cost of a plan: infinite where there is none, minus infinity where no model is needed."""
    cost = jnp.where(plan.ok, plan.total_cost, jnp.inf)
    return jnp.where(plan.status == int(Status.NO_INTERIOR_OPTIMUM), -jnp.inf, cost)


def _least(cost: Callable[[Array], Array], most: int, like: Array) -> Array:
    """The whole number from 1 to `most` of the lowest cost; `most` where all are infinite.

    For a cost with one minimum: the lowest of a few points, in ever narrower ranges.
    """
    along = jnp.linspace(0, 1, POINTS, dtype=like.dtype).reshape(POINTS, *(1,) * like.ndim)

    def look(_, seen):
        low, high, best, least = seen
        ratio = jnp.log(high / low)[None]
        tries = jnp.clip(jnp.round(low[None] * jnp.exp(along * ratio)), low[None], high[None])
        costs = cost(tries)
        index = jnp.argmin(costs, axis=0)
        at = partial(_taken, tries)
        lowest = _taken(costs, index)
        best, least = jnp.where(lowest < least, at(index), best), jnp.minimum(lowest, least)
        return at(index - 1), at(index + 1), best, least

    begin = like + 1, like + most, like + most, like + jnp.inf
    return lax.fori_loop(0, _rounds(most), look, begin)[2]


def _rounds(most: int) -> int:
    """Rounds until the points are consecutive whole numbers, and one more."""
    gap = most * math.log(most) / (POINTS - 1)
    return 1 + max(0, math.ceil(math.log(max(gap, 1.0)) / math.log((POINTS - 1) / 2)))


def _taken(values: Array, index: Array) -> Array:
    """Each lane's value at its index along the first axis, clipped to the ends."""
    inside = jnp.clip(index, 0, POINTS - 1)[None]
    return jnp.take_along_axis(values, inside, axis=0)[0]


def demand_of_attempts(
    requests: ArrayLike,
    *,
    input_tokens: ArrayLike,
    output_tokens: ArrayLike,
    attempts: ArrayLike,
    shared_prompt: bool = True,
) -> Demand:
    """Demand of `requests` requests that are each answered `attempts` times.

    Tokens are those of one attempt: T_in + k T_out are served for a request whose prompt is
    read once, else k (T_in + T_out). Priced at 2 N FLOPs a token, as every demand is.
    Raises ValueError for a concrete count that is negative or not finite, or attempts below 1.

    Examples:
        >>> tokens = {"input_tokens": 70, "output_tokens": 215}  # of one attempt
        >>> js.repeated_sampling.demand_of_attempts(1e9, **tokens, attempts=10)
        Demand(input_tokens=70000000000.0, output_tokens=2150000000000.0)
    """
    arrays.enter(
        requests=requests, input_tokens=input_tokens, output_tokens=output_tokens, attempts=attempts
    )
    if arrays.is_concrete(attempts):
        host = np.asarray(attempts, np.float64)
        if not ((host >= 1) & (host < np.inf)).all():
            raise ValueError(f"attempts must be finite and at least 1; got {attempts!r}")
    once = Demand.from_requests(requests, input_tokens=input_tokens, output_tokens=output_tokens)
    often = Demand.from_requests(
        attempts, input_tokens=once.input_tokens, output_tokens=once.output_tokens
    )
    return Demand(once.input_tokens, often.output_tokens) if shared_prompt else often
