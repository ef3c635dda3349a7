"""The two problems: the cheapest plan for a loss, and the best plan for a budget."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from jaxscale._numerics import arrays
from jaxscale.costs import Costs, Demand
from jaxscale.laws.protocol import Law, has_two_powers, two_powers
from jaxscale.plan import Bounds, Plan, in_memory, plan_arguments
from jaxscale.solve import closed, general
from jaxscale.solve.choices import Over, best_of, read_over
from jaxscale.solve.levers import SIZES, joint


def minimize_cost(
    law: Law,
    loss: ArrayLike,
    demand: Demand | None = None,
    costs: Costs | None = None,
    bounds: Bounds | None = None,
    *,
    levers: Mapping[str, ArrayLike] | None = None,
    over: Over = SIZES,
) -> Plan:
    """Cheapest plan whose loss is at most `loss`, with training and serving counted.

    All arguments broadcast as in NumPy, and so do the coefficients of the law: the plan has the
    shape of all of them together. The work is the same for every scenario. Works under jit, vmap,
    grad, jacfwd and hessian, also at a demand of 0.

    A scenario without a plan gets a status and NaN, with derivatives of zero; its neighbours are
    untouched. For a law other than Chinchilla's, a loss within 16,384 epsilons of the lowest that
    the law gives is met to six epsilons more: the last digits cost a good part of the whole.

    Source: Sardana et al. 2024, eq. 6 and Appendix A, reduced to one equation for the Chinchilla
    law and solved by Newton's method for any other.

    Args:
        law: a scaling law, such as `js.laws.published("sardana2024")`.
        loss: the loss to reach, in nats per token.
        demand: tokens to read and to write over the model's life; none by default.
        costs: the price of a FLOP in each phase; 1 by default, so that costs are in FLOPs.
        bounds: limits on params and tokens; none by default.
        levers: a value for each lever of the law that is not chosen.
        over: what is chosen: "params", "tokens" and at most three levers, each inside its range,
            besides those that the law has `choices` of; or a dict of levers to lists of values,
            with None for a whole range, as {"experts": [1, 8]}. A tuple of levers takes a list of
            tuples. The plan's `runner_up` is the second best of the listed values.

    Raises:
        TypeError: an argument is of the wrong type.
        ValueError: shapes do not broadcast, or a lever is unknown or has no value.

    Examples:
        >>> law = js.laws.published("sardana2024")
        >>> plan = js.minimize_cost(law, 2.0, js.Demand(input_tokens=1e12))
        >>> print(f"{plan.params:.3g} params, {plan.tokens:.3g} tokens")
        1.39e+10 params, 1.36e+12 tokens
    """
    return _minimize(True, law, {"loss": loss}, demand, costs, bounds, levers, over)


def minimize_loss(
    law: Law,
    budget: ArrayLike,
    demand: Demand | None = None,
    costs: Costs | None = None,
    bounds: Bounds | None = None,
    *,
    levers: Mapping[str, ArrayLike] | None = None,
    over: Over = SIZES,
) -> Plan:
    """Plan of the lowest loss whose lifetime cost, serving included, is at most `budget`.

    All arguments broadcast as in NumPy, and so do the coefficients of the law: the plan has the
    shape of all of them together. The work is the same for every scenario. Works under jit, vmap,
    grad, jacfwd and hessian, also at a demand of 0.

    A scenario without a plan gets a status and NaN, with derivatives of zero; its neighbours are
    untouched.

    Source: the problem of Hoffmann et al. 2022, eq. 4, with the costs of Sardana et al. 2024,
    eq. 6.

    Args:
        law: a scaling law, such as `js.laws.published("sardana2024")`.
        budget: what may be spent, in the unit of `costs`: FLOPs by default, or dollars.
        demand: tokens to read and to write over the model's life; none by default.
        costs: the price of a FLOP in each phase; 1 by default, so that costs are in FLOPs.
        bounds: limits on params and tokens; none by default.
        levers: a value for each lever of the law that is not chosen.
        over: what is chosen: "params", "tokens" and at most three levers, each inside its range,
            besides those that the law has `choices` of; or a dict of levers to lists of values,
            with None for a whole range, as {"experts": [1, 8]}. A tuple of levers takes a list of
            tuples. The plan's `runner_up` is the second best of the listed values.

    Raises:
        TypeError: an argument is of the wrong type.
        ValueError: shapes do not broadcast, or a lever is unknown or has no value.

    Examples:
        >>> law = js.laws.published("sardana2024")
        >>> plan = js.minimize_loss(law, 1e23, js.Demand(input_tokens=1e12))
        >>> print(f"{plan.params:.3g} params, {plan.tokens:.3g} tokens, loss {plan.loss:.3f}")
        1.11e+10 params, 1.17e+12 tokens, loss 2.019
    """
    return _minimize(False, law, {"budget": budget}, demand, costs, bounds, levers, over)


def _minimize(
    at_loss: bool,
    law: Law,
    target: dict[str, ArrayLike],
    demand: Demand | None,
    costs: Costs | None,
    bounds: Bounds | None,
    levers: Mapping[str, ArrayLike] | None,
    over: Over,
) -> Plan:
    arguments = plan_arguments(
        law, demand, costs, bounds, may_be_served=True, may_limit_memory=True
    )
    # The precision of the weights that are served sets the bits of a law that has them as a lever.
    chosen, values = read_over(law, over, levers, ("bits",) if arguments["costs"].serving else ())
    if chosen.listed:
        numbers = {name: x for name, x in arguments.items() if name != "costs"}
        leaves = jax.tree.leaves(arrays.enter(**target, levers=values, **numbers))
        rank = max(map(jnp.ndim, [*leaves, *jax.tree.leaves(costs)]))
        values |= chosen.columns(rank, leaves[0].dtype)
        rest = *SIZES, *chosen.anywhere
        plans = _minimize(at_loss, law, target, demand, costs, bounds, values, rest)
        return best_of(at_loss, chosen, plans)
    if arguments["costs"].serving:
        from jaxscale.solve import served

        return served.best_plan(at_loss, target, arguments, values, chosen.anywhere)
    in_bytes = bounds is not None and bool(bounds.of_memory)
    if has_two_powers(law) and not in_bytes:
        arguments["law"] = two_powers(law)  # of Python's numbers, before any is rounded
    entered = arrays.enter(**target, levers=values, **arguments)
    if in_bytes:
        if chosen.anywhere:
            names = ", ".join(chosen.anywhere)
            raise ValueError(f"max_memory: give {names} a value, or a list of values in `over`")
        entered = _without_memory(entered)
    if has_two_powers(law, values):
        return closed.minimize(at_loss, *entered)
    if chosen.anywhere:
        return joint(at_loss, chosen.anywhere, *entered)
    return general.minimize(at_loss, *entered)


def _without_memory(entered: tuple[Any, ...]) -> tuple[Any, ...]:
    """The arguments with a bound on memory as one on params, at their levers."""
    target, levers, law, demand, costs, bounds = entered
    return target, levers, law, demand, costs, in_memory(law, bounds, levers)
