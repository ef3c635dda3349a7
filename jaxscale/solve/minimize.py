"""The cheapest plan for a loss: Sardana et al. 2024, eq. 6, for any demand and prices."""

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from jaxscale._numerics import arrays
from jaxscale._numerics.logarithm import Log, log, split_log, weight, weighted_sum
from jaxscale._numerics.values import is_finite, where_safe
from jaxscale.costs import Costs, Demand
from jaxscale.laws.chinchilla import Chinchilla, log_other
from jaxscale.laws.protocol import Law
from jaxscale.plan import Bounds, Plan, lever_values, plan_arguments, priced
from jaxscale.solve import general
from jaxscale.solve.bounds import Curve, optimum
from jaxscale.solve.levers import SIZES, chosen_levers, joint
from jaxscale.solve.root import root_above, root_sigma, softplus_root
from jaxscale.solve.validate import has_normal_products, judged
from jaxscale.status import Status


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
    arguments = plan_arguments(law, demand, costs, bounds)
    chosen = chosen_levers(over)
    values = lever_values(law, levers or {}, chosen)
    if isinstance(law, Chinchilla):
        return _minimize_cost(*arrays.enter(loss=loss, **arguments))
    entered = arrays.enter(loss=loss, levers=values, **arguments)
    return joint(True, chosen, *entered) if chosen else general.cheapest(*entered)


@jax.jit
def _minimize_cost(loss, law, demand, costs, bounds=None):
    loss, law, demand, costs, bounds = arrays.align(loss, law, demand, costs, bounds)
    reducible = loss - law.E
    in_range = has_normal_products(reducible)
    scenario = judged(
        law,
        demand,
        costs,
        bounds,
        is_finite(loss),
        (loss <= law.E, Status.INFEASIBLE_LOSS),
        (~in_range, Status.OUT_OF_RANGE),
    )
    reducible = where_safe(scenario.ok, reducible)
    law, demand, costs = scenario.law, scenario.demand, scenario.costs
    inputs = law, reducible, scenario.effective_demand
    place = optimum(iso_loss_curve, inputs, scenario.bounds, scenario.status, scenario.ok)
    return priced(law, place, demand, costs)


def iso_loss_curve(law: Chinchilla, reducible: Array, demand: Array) -> Curve:
    """All plans whose loss is `reducible` above the law's E, and the cheapest of them.

    `demand` is the effective one. With D = D0 exp(u / beta), and D0 the optimum at no demand,
    the stationarity condition, Sardana et al. 2024 eq. 12, is `u = softplus(k - u / beta)`.
    """
    alpha, beta = law.alpha, law.beta
    log_reducible = split_log(reducible)

    def free():
        log_data = split_log(law.B * ((alpha + beta) / alpha)).minus(log_reducible)
        base = ((weight(1, beta), log_data),)
        log_shift = log(beta / (3 * (alpha + beta)))
        log_base, u = root_above(1 / beta, log_shift, base, demand)
        # A / N^alpha is the share (beta + alpha sigma) / (alpha + beta) of the reducible loss: a
        # sum of positive terms, where subtracting B / D^beta from it would cancel.
        sigma = root_sigma(u)
        log_size = split_log(law.A * (alpha + beta)).minus(log_reducible)
        log_size = log_size.minus(split_log(beta + alpha * sigma))
        log_tokens = log_base + u / beta
        if log_tokens.dtype == jnp.float32:
            log_tokens = _log_tokens_served(law, demand, sigma, u, log_tokens, log_shift)
        return weighted_sum((weight(1, alpha), log_size)), log_tokens

    # Only bounds need these two; without them XLA drops their computation.
    log_A = split_log(law.A).minus(log_reducible).value()
    log_B = split_log(law.B).minus(log_reducible).value()

    def use(log_params, log_tokens):
        return jnp.exp(log_A - alpha * log_params) + jnp.exp(log_B - beta * log_tokens)

    def tokens_at(log_params):
        return _log_other(alpha * log_params - log_A, log_B, beta)

    def params_at(log_tokens):
        return _log_other(beta * log_tokens - log_B, log_A, alpha)

    def at_ratio(log_limit):
        # With D = ratio N both terms are powers of D: the equation of `softplus_root` again,
        # in u = s log D - log S with S / D^s the term that falls more slowly.
        log_size = log_A + alpha * log_limit
        size_is_slow = alpha < beta
        slow = jnp.where(size_is_slow, alpha, beta)
        fast = jnp.where(size_is_slow, beta, alpha)
        log_slow = jnp.where(size_is_slow, log_size, log_B)
        log_fast = jnp.where(size_is_slow, log_B, log_size)
        k = log_fast - fast / slow * log_slow
        u = softplus_root(fast / slow - 1, k, k, jnp.ones_like(k), steps=3)
        log_tokens = (u + log_slow) / slow
        return log_tokens - log_limit, log_tokens

    return Curve(
        free=free,
        tokens_at=tokens_at,
        params_at=params_at,
        at_ratio=at_ratio,
        use=use,
        rounding=(1 + jnp.abs(log_A)) / alpha + (1 + jnp.abs(log_B)) / beta,
        slack_is_low=True,
        infeasible=Status.INFEASIBLE_BOUNDS,
    )


def _log_tokens_served(law, demand, sigma, u, log_tokens, log_shift):
    """`log_tokens`, or where serving dominates its value from the demand.

    There u / beta is a large part of log D0 taken back, and magnifies what was rounded off u:
    by up to 3e-5 in float32. The equation itself says that D is Q / expm1(u), times a
    constant.
    """
    dominates = sigma > law.beta
    log_demand = split_log(where_safe(dominates, demand))
    log_served = log_demand.minus(split_log(where_safe(dominates, sigma)))
    # The two differ by less than either, so only what is left of them is rounded.
    log_served = Log(log_served.exponent, (log_served.rest + log_shift) - u).value()
    return jnp.where(dominates, log_served, log_tokens)


def _log_other(excess, log_scale, exponent):
    """`log_other`, or infinity where the known term alone exceeds the reducible loss."""
    reachable = excess > 0
    found = log_other(where_safe(reachable, excess), log_scale, exponent)
    return jnp.where(reachable, found, jnp.inf)
