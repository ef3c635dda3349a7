# pyright: reportUnknownMemberType=false
"""Both problems for the Chinchilla law, whose optimum is the root of one equation.

The cheapest plan for a loss is Sardana et al. 2024, eq. 6; the best loss for a budget is that
problem turned around.
"""

import math
from dataclasses import replace
from functools import partial
from typing import Any

import jax.numpy as jnp
from jax import Array, lax

from jaxscale._numerics import arrays
from jaxscale._numerics.compiled import compiled
from jaxscale._numerics.logarithm import Log, exponent, log, split_log, weight, weighted_sum
from jaxscale._numerics.typed import jit, limits, map_leaves
from jaxscale._numerics.values import is_finite, is_normal, is_positive, where_safe
from jaxscale._numerics.whole import as_a_whole
from jaxscale.costs import Costs, Demand
from jaxscale.laws.chinchilla import Chinchilla, log_other
from jaxscale.laws.protocol import INFERENCE_FLOPS, TRAIN_FLOPS, are_finite, made_safe, two_powers
from jaxscale.laws.protocol import is_valid as law_is_valid
from jaxscale.plan import Bounds, Plan, Sizes, priced, with_finite_loss
from jaxscale.solve.bounds import Curve, optimum
from jaxscale.solve.in_chunks import in_chunks
from jaxscale.solve.marginal import with_marginal_cost
from jaxscale.solve.newton import Inputs
from jaxscale.solve.root import root_above, softplus_root
from jaxscale.solve.validate import Case, costs_fit, is_valid, outcome
from jaxscale.status import Status

# The start of the root is tuned for these exponents; accuracy is promised for 0.02 to 2.
MIN_EXPONENT, MAX_EXPONENT = 0.01, 3.0


def minimize(
    at_loss: bool,
    target: Array,
    levers: dict[str, Array],
    law: Any,
    demand: Demand,
    costs: Costs,
    bounds: Bounds | None = None,
) -> Plan:
    """The cheapest plan of a loss (`at_loss`) or the best of a budget, by a law of two powers."""
    if levers:
        return _at_levers(at_loss, target, levers, law, demand, costs, bounds)
    solve = cheapest if at_loss else best
    return solve(target, two_powers(law), demand, costs, bounds)


@partial(compiled, static=1)
def _at_levers(
    at_loss: bool,
    target: Array,
    levers: dict[str, Array],
    law: Any,
    demand: Demand,
    costs: Costs,
    bounds: Bounds | None,
) -> Plan:
    target, levers, law, demand, costs, bounds = arrays.align(
        target, levers, law, demand, costs, bounds
    )
    good = law_is_valid(law) & are_finite(levers)
    law, safe_levers = made_safe((law, levers), good)

    def or_nan(x: Array) -> Array:
        return jnp.where(good, x, jnp.nan)

    powers = map_leaves(or_nan, two_powers(law, safe_levers))
    plan = (cheapest if at_loss else best)(target, powers, demand, costs, bounds)
    return replace(plan, levers={x: jnp.where(plan.ok, levers[x], jnp.nan) for x in levers})


@jit
def cheapest(
    loss: Array, law: Chinchilla, demand: Demand, costs: Costs, bounds: Bounds | None = None
) -> Plan:
    """Cheapest plan whose loss is at most `loss`."""
    return in_chunks(_cheapest, *arrays.align(loss, law, demand, costs, bounds))


@as_a_whole
def _cheapest(
    loss: Array, law: Chinchilla, demand: Demand, costs: Costs, bounds: Bounds | None
) -> Plan:
    reducible = loss - law.E
    status, ok = _judged(
        Inputs(law, {}, loss, demand, costs),
        bounds,
        is_finite(loss),
        (loss <= law.E, Status.INFEASIBLE_LOSS),
        (~_has_normal_products(reducible), Status.OUT_OF_RANGE),
    )
    law, reducible, demand, costs, bounds = made_safe((law, reducible, demand, costs, bounds), ok)
    inputs = law, reducible, costs.effective_demand(demand)
    sizes = optimum(iso_loss_curve, inputs, bounds, status, ok)
    return _finished(True, Inputs(law, {}, loss, demand, costs), sizes, bounds)


@jit
def best(
    budget: Array, law: Chinchilla, demand: Demand, costs: Costs, bounds: Bounds | None = None
) -> Plan:
    """Plan of the lowest loss whose lifetime cost is at most `budget`."""
    return in_chunks(_best, *arrays.align(budget, law, demand, costs, bounds))


@as_a_whole
def _best(
    budget: Array, law: Chinchilla, demand: Demand, costs: Costs, bounds: Bounds | None
) -> Plan:
    share = _serving_share_per_param(_serving_cost(demand, costs), budget)
    in_range = is_normal(4 / budget) & is_finite(share)
    status, ok = _judged(
        Inputs(law, {}, budget, demand, costs),
        bounds,
        is_positive(budget),
        (~in_range, Status.OUT_OF_RANGE),
    )
    law, budget, demand, costs, bounds = made_safe((law, budget, demand, costs, bounds), ok)
    inputs = law, budget, costs.effective_demand(demand), demand, costs
    sizes = with_finite_loss(law, optimum(budget_curve, inputs, bounds, status, ok))
    return _finished(False, Inputs(law, {}, budget, demand, costs), sizes, bounds)


def _finished(at_loss: bool, inputs: Inputs, sizes: Sizes, bounds: Bounds | None) -> Plan:
    plan = priced(inputs.law, sizes, inputs.demand, inputs.costs)
    return with_marginal_cost(at_loss, inputs, sizes, plan, bounded=bounds is not None)


def _judged(
    inputs: Inputs, bounds: Bounds | None, target_is_valid: Array, *target_cases: Case
) -> tuple[Array, Array]:
    """Status before solving, and whether it is ok; `target_cases` judge the loss or the budget."""
    inputs, bounds = lax.stop_gradient((inputs, bounds))
    law = inputs.law
    fits = _has_normal_products(law.A) & _has_normal_products(law.B)
    covered = _is_covered(law.alpha) & _is_covered(law.beta)
    return outcome(
        (~(is_valid(inputs, bounds) & target_is_valid), Status.INVALID_INPUT),
        *target_cases,
        (~(fits & costs_fit(inputs.demand, inputs.costs)), Status.OUT_OF_RANGE),
        (~covered, Status.NOT_CONVERGED),
    )


def _has_normal_products(x: Array) -> Array:
    """Whether the product or quotient of two such numbers neither over- nor underflows."""
    limit = float(limits(x).max) ** 0.45
    return (x > 1 / limit) & (x < limit)


def _is_covered(power: Array) -> Array:
    return (power >= MIN_EXPONENT) & (power <= MAX_EXPONENT)


# --- The cheapest plan for a loss ------------------------------------------------------------


def iso_loss_curve(law: Chinchilla, reducible: Array, demand: Array) -> Curve:
    """All plans whose loss is `reducible` above the law's E, and the cheapest of them.

    `demand` is the effective one. With D = D0 exp(u / beta), and D0 the optimum at no demand,
    the stationarity condition, Sardana et al. 2024 eq. 12, is `u = softplus(k - u / beta)`.
    """
    alpha, beta = law.alpha, law.beta
    log_reducible = split_log(reducible)

    def free() -> tuple[Array, Array]:
        log_data = split_log(law.B * ((alpha + beta) / alpha)).minus(log_reducible)
        base = ((weight(1, beta), log_data),)
        log_shift = log(beta / (3 * (alpha + beta)))
        log_base, (u, sigma) = root_above(1 / beta, log_shift, base, demand)
        # A / N^alpha is the share (beta + alpha sigma) / (alpha + beta) of the reducible loss: a
        # sum of positive terms, where subtracting B / D^beta from it would cancel.
        log_size = split_log(law.A * (alpha + beta)).minus(log_reducible)
        log_size = log_size.minus(split_log(beta + alpha * sigma))
        log_tokens = log_base + u / beta
        if log_tokens.dtype == jnp.float32:
            log_tokens = _log_tokens_served(law, demand, sigma, u, log_tokens, log_shift)
        return weighted_sum((weight(1, alpha), log_size)), log_tokens

    # Only bounds need these two; without them XLA drops their computation.
    log_A = split_log(law.A).minus(log_reducible).value()
    log_B = split_log(law.B).minus(log_reducible).value()

    def use(log_params: Array, log_tokens: Array) -> Array:
        return jnp.exp(log_A - alpha * log_params) + jnp.exp(log_B - beta * log_tokens)

    def tokens_at(log_params: Array) -> Array:
        return _log_other(alpha * log_params - log_A, log_B, beta)

    def params_at(log_tokens: Array) -> Array:
        return _log_other(beta * log_tokens - log_B, log_A, alpha)

    def at_ratio(log_limit: Array) -> tuple[Array, Array]:
        # With D = ratio N both terms are powers of D: the equation of `softplus_root` again,
        # in u = s log D - log S with S / D^s the term that falls more slowly.
        log_size = log_A + alpha * log_limit
        size_is_slow = alpha < beta
        slow = jnp.where(size_is_slow, alpha, beta)
        fast = jnp.where(size_is_slow, beta, alpha)
        log_slow = jnp.where(size_is_slow, log_size, log_B)
        log_fast = jnp.where(size_is_slow, log_B, log_size)
        k = log_fast - fast / slow * log_slow
        u = softplus_root(fast / slow - 1, k, k, jnp.ones_like(k), steps=3).u
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


def _log_tokens_served(
    law: Chinchilla, demand: Array, sigma: Array, u: Array, log_tokens: Array, log_shift: Array
) -> Array:
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


def _log_other(excess: Array, log_scale: Array, power: Array) -> Array:
    """`log_other`, or infinity where the known term alone exceeds the reducible loss."""
    reachable = excess > 0
    other = log_other(where_safe(reachable, excess), log_scale, power)
    return jnp.where(reachable, other, jnp.inf)


# --- The best loss for a budget --------------------------------------------------------------


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

    def free() -> tuple[Array, Array]:
        c = (1 - alpha) / (alpha + beta)
        log_base, (u, _) = root_above(c, -math.log(3), tokens, effective_demand)
        log_training = c * u - weighted_sum(*params)
        return _log_params(log_training, serving_cost, budget), log_base + c * u

    def params_at(log_tokens: Array) -> Array:
        return _log_params(log_tokens - log_product, serving_cost, budget)

    def tokens_at(log_params: Array) -> Array:
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

    def at_ratio(log_limit: Array) -> tuple[Array, Array]:
        # (ratio / product) N^2 + inverse_limit N = 1, by the root formula that does not cancel.
        log_root = (log_limit - log_product) / 2 + math.log(2)
        power, log_scale = _power_near(-log_root)
        share = jnp.exp(-log_root - log_scale) * _serving_share_per_param(
            serving_cost, budget, power
        )
        log_params = math.log(2) - log_root - jnp.arcsinh(share)
        return log_params, log_params + log_limit

    def use(log_params: Array, log_tokens: Array) -> Array:
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


def _log_params(log_training: Array, serving_cost: Array, budget: Array) -> Array:
    """Logarithm of N, where 1 / N is `exp(log_training)` and what serving adds to it.

    N is not taken from N0 as D is from D0: where serving dominates it would be the small
    difference of large logarithms, and the second term alone has it to the last digit.
    """
    # In units of a power of two near N: 1 / N itself is subnormal for the largest N, and its
    # derivative by a budget of 1e27 FLOPs underflows float32.
    top = limits(budget).maxexp - 1
    inverse = jnp.exp(log_training) + _serving_share_per_param(serving_cost, budget)
    power = jnp.clip(-exponent(inverse), limits(budget).minexp, top).astype(jnp.int32)
    log_scale = power.astype(budget.dtype) * math.log(2)
    log_scaled = log_training + log_scale
    in_range = log_scaled < top * math.log(2)
    scaled = jnp.exp(where_safe(in_range, log_scaled))
    scaled += _serving_share_per_param(serving_cost, budget, power)
    in_range &= is_normal(scaled)
    out_of_range = jnp.where(log_training > 0, -jnp.inf, jnp.inf)
    return jnp.where(in_range, log_scale - log(where_safe(in_range, scaled)), out_of_range)


def _power_near(log_size: Array) -> tuple[Array, Array]:
    """A power of two near exp(log_size), whose reciprocal is normal too, and its logarithm."""
    power = jnp.round(lax.stop_gradient(log_size) / math.log(2))
    power = jnp.clip(power, limits(log_size).minexp, limits(log_size).maxexp - 1).astype(jnp.int32)
    return power, power.astype(log_size.dtype) * math.log(2)


def _serving_cost(demand: Demand, costs: Costs) -> Array:
    """Serving cost of each parameter, before the factor of two FLOPs."""
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
        exponent(serving_cost) + half.astype(serving_cost.dtype) > limits(serving_cost).maxexp - 2
    )
    first, second = jnp.where(large, unit, half_power), jnp.where(large, half_power, unit)
    scaled = (serving_cost * first * second) * jnp.ldexp(one, power - half)
    return INFERENCE_FLOPS * scaled / (budget * unit)
