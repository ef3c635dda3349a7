"""The two problems: the cheapest plan for a loss, and the best plan for a budget."""

from collections.abc import Mapping, Sequence
from typing import Any

from jax.typing import ArrayLike

from jaxscale._numerics import arrays
from jaxscale.costs import Costs, Demand
from jaxscale.laws.protocol import Law, two_powers
from jaxscale.plan import Bounds, Plan, in_memory, lever_values, plan_arguments
from jaxscale.solve import closed, general
from jaxscale.solve.levers import SIZES, chosen_levers, joint


def minimize_cost(
    law: Law,
    loss: ArrayLike,
    demand: Demand | None = None,
    costs: Costs | None = None,
    bounds: Bounds | None = None,
    *,
    levers: Mapping[str, ArrayLike] | None = None,
    over: Sequence[str] = SIZES,
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
        over: what is chosen: "params", "tokens" and at most three levers, each inside its range.

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
    over: Sequence[str] = SIZES,
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
        over: what is chosen: "params", "tokens" and at most three levers, each inside its range.

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
    over: Sequence[str],
) -> Plan:
    arguments = plan_arguments(
        law, demand, costs, bounds, may_be_served=True, may_limit_memory=True
    )
    chosen = chosen_levers(over)
    if arguments["costs"].serving:
        from jaxscale.solve import served

        return served.best_plan(at_loss, target, arguments, levers or {}, chosen)
    values = lever_values(law, levers or {}, chosen)
    if bounds is not None and bounds.of_memory:
        arguments["bounds"] = _limited(target, values, arguments)
    if (closed_law := two_powers(law, values)) is not None:
        solve = closed.cheapest if at_loss else closed.best
        return solve(*arrays.enter(**target, **arguments | {"law": closed_law}))
    entered = arrays.enter(**target, levers=values, **arguments)
    if chosen:
        return joint(at_loss, chosen, *entered)
    return general.minimize(at_loss, *entered)


def _limited(
    target: Mapping[str, ArrayLike], levers: Mapping[str, ArrayLike], arguments: Mapping[str, Any]
) -> Bounds:
    """The bounds with that on memory as one on params, of the dtype of all arguments together."""
    entered = arrays.enter(**target, levers=levers, **arguments)
    named = dict(zip((*target, "levers", *arguments), entered, strict=True))
    return in_memory(named["law"], named["bounds"], named["levers"])
