"""The best loss for a budget: Sardana et al. 2024, eq. 6, turned around, in closed reduction."""

import math
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.typing import ArrayLike

from jaxscale._numerics import arrays
from jaxscale._numerics.logarithm import exponent, log, split_log, weight, weighted_sum
from jaxscale._numerics.values import is_finite, is_normal, is_positive, where_safe
from jaxscale.costs import Costs, Demand
from jaxscale.laws.chinchilla import Chinchilla
from jaxscale.laws.protocol import INFERENCE_FLOPS, TRAIN_FLOPS, Law
from jaxscale.plan import Bounds, Plan, lever_values, plan_arguments, priced, with_finite_loss
from jaxscale.solve import general
from jaxscale.solve.bounds import Curve, optimum
from jaxscale.solve.levers import SIZES, chosen_levers, joint
from jaxscale.solve.root import root_above
from jaxscale.solve.validate import judged
from jaxscale.status import Status


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
    arguments = plan_arguments(law, demand, costs, bounds)
    chosen = chosen_levers(over)
    values = lever_values(law, levers or {}, chosen)
    if isinstance(law, Chinchilla):
        return _minimize_loss(*arrays.enter(budget=budget, **arguments))
    entered = arrays.enter(budget=budget, levers=values, **arguments)
    return joint(False, chosen, *entered) if chosen else general.best(*entered)


@jax.jit
def _minimize_loss(budget, law, demand, costs, bounds=None):
    budget, law, demand, costs, bounds = arrays.align(budget, law, demand, costs, bounds)
    budget_is_valid = is_positive(budget)
    share = _serving_share_per_param(_serving_cost(demand.made_safe(), costs.made_safe()), budget)
    in_range = is_normal(4 / budget) & is_finite(share)
    scenario = judged(law, demand, costs, bounds, budget_is_valid, (~in_range, Status.OUT_OF_RANGE))
    law, demand, costs = scenario.law, scenario.demand, scenario.costs
    budget = where_safe(scenario.ok, budget)
    inputs = law, budget, scenario.effective_demand, demand, costs
    place = optimum(budget_curve, inputs, scenario.bounds, scenario.status, scenario.ok)
    return priced(law, with_finite_loss(law, place), demand, costs)


def budget_curve(
    law: Chinchilla, budget: Array, effective_demand: Array, demand: Demand, costs: Costs
) -> Curve:
    """All plans whose lifetime cost is `budget`, and the best of them.

    With D = D0 exp(c u), D0 the optimum at no demand and c = (1 - alpha) / (alpha + beta),
    the stationarity condition of the loss along the line is `u = softplus(k - c u)`.
    """
    alpha, beta = law.alpha, law.beta
    # Without demand the product N D is a sixth of the budget in FLOPs, and how it is shared
    # out depends on which of the law's two terms is the steeper.
    log_flops = split_log(budget).minus(split_log(TRAIN_FLOPS * costs.train))
    log_steepness = split_log(law.B * beta).minus(split_log(law.A * alpha))
    tokens = (weight(alpha, alpha, beta), log_flops), (weight(1, alpha, beta), log_steepness)
    params = (weight(beta, alpha, beta), log_flops), (weight(-1, alpha, beta), log_steepness)
    log_product = log_flops.value()
    serving_cost = _serving_cost(demand, costs)
    inverse_limit = _serving_share_per_param(serving_cost, budget)

    def free():
        c = (1 - alpha) / (alpha + beta)
        log_base, u = root_above(c, -math.log(3), tokens, effective_demand)
        log_training = c * u - weighted_sum(*params)
        return _log_params(log_training, serving_cost, budget), log_base + c * u

    def params_at(log_tokens):
        return _log_params(log_tokens - log_product, serving_cost, budget)

    def tokens_at(log_params):
        # 1 / N less the part of it that serving takes; none is left for training above the limit.
        # In units of a power of two near it: of the largest N it is subnormal, and what a
        # derivative by it is multiplied by on its way to the budget overflows float32.
        power, log_scale = _power_near(log_params)
        left = jnp.exp(log_scale - log_params) - _serving_share_per_param(
            serving_cost, budget, power
        )
        affordable = left > 0
        log_left = jnp.log(where_safe(affordable, left)) - log_scale
        return jnp.where(affordable, log_product + log_left, -jnp.inf)

    def at_ratio(log_limit):
        # (ratio / product) N^2 + inverse_limit N = 1, by the root formula that does not cancel.
        log_root = (log_limit - log_product) / 2 + math.log(2)
        power, log_scale = _power_near(-log_root)
        share = jnp.exp(-log_root - log_scale) * _serving_share_per_param(
            serving_cost, budget, power
        )
        log_params = math.log(2) - log_root - jnp.arcsinh(share)
        return log_params, log_params + log_limit

    def use(log_params, log_tokens):
        training = jnp.exp(log_params + log_tokens - log_product)
        return training + jnp.exp(log_params) * inverse_limit

    return Curve(
        free=free,
        tokens_at=tokens_at,
        params_at=params_at,
        at_ratio=at_ratio,
        use=use,
        rounding=jnp.abs(log_product),
        slack_is_low=False,
        infeasible=Status.INFEASIBLE_BUDGET,
    )


def _log_params(log_training, serving_cost, budget):
    """Logarithm of N, where 1 / N is `exp(log_training)` and what serving adds to it.

    N is not taken from N0 as D is from D0: where serving dominates it would be the small
    difference of large logarithms, and the second term alone has it to the last digit.
    """
    # In units of a power of two near N: 1 / N itself is subnormal for the largest N, and its
    # derivative by a budget of 1e27 FLOPs underflows float32.
    limits = jnp.finfo(budget.dtype)
    inverse = jnp.exp(log_training) + _serving_share_per_param(serving_cost, budget)
    power = jnp.clip(-exponent(inverse), limits.minexp, limits.maxexp - 1).astype(jnp.int32)
    log_scale = power.astype(budget.dtype) * math.log(2)
    log_scaled = log_training + log_scale
    in_range = log_scaled < (limits.maxexp - 1) * math.log(2)
    scaled = jnp.exp(where_safe(in_range, log_scaled))
    scaled += _serving_share_per_param(serving_cost, budget, power)
    in_range &= is_normal(scaled)
    out_of_range = jnp.where(log_training > 0, -jnp.inf, jnp.inf)
    return jnp.where(in_range, log_scale - log(where_safe(in_range, scaled)), out_of_range)


def _power_near(log_size):
    """A power of two near exp(log_size), whose reciprocal is normal too, and its logarithm."""
    limits = jnp.finfo(log_size.dtype)
    power = jnp.round(lax.stop_gradient(log_size) / math.log(2))
    power = jnp.clip(power, limits.minexp, limits.maxexp - 1).astype(jnp.int32)
    return power, power.astype(log_size.dtype) * math.log(2)


def _serving_cost(demand, costs):
    """What serving costs for each parameter, before the factor of two FLOPs."""
    return costs.prefill * demand.input_tokens + costs.decode * demand.output_tokens


def _serving_share_per_param(serving_cost: Array, budget: Array, power: Array | int = 0) -> Array:
    """Share of the budget that serving takes for each parameter, times two to a power."""
    # In units of the budget: its square, in the derivative, underflows float32. The 4 keeps
    # the reciprocal of the largest budget normal. Half of the power at a time, because the cost
    # is less than the budget over N, but nothing is known of either alone; and after the unit
    # where a serving cost that is not less, off the curve, would overflow by half of it.
    unit = lax.stop_gradient(4 / budget)
    half = jnp.asarray(power, jnp.int32) // 2
    one = jnp.ones_like(budget)
    half_power = jnp.ldexp(one, half)
    large = (
        exponent(serving_cost) + half.astype(serving_cost.dtype)
        > jnp.finfo(serving_cost.dtype).maxexp - 2
    )
    first, second = jnp.where(large, unit, half_power), jnp.where(large, half_power, unit)
    scaled = (serving_cost * first * second) * jnp.ldexp(one, power - half)
    return INFERENCE_FLOPS * scaled / (budget * unit)
