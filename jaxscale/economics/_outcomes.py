"""What a size comes to in each resample of a law, and its regret there: in cost and in loss.

A regret is the small difference of two large numbers. Near the best size it is the integral of a
slope instead, which has more digits by far: in float32, all that there are.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from jaxscale._numerics.typed import epsilon
from jaxscale._numerics.values import is_finite
from jaxscale.economics._least_expected import Resamples, log_tokens_at, log_where, slopes
from jaxscale.plan import Bounds
from jaxscale.solve import minimize_cost, minimize_loss
from jaxscale.solve.newton import cost_value, floor_of

AT_BOUND = 1e3  # epsilons of a logarithm by which a plan may miss its own bound
# In log params and in log cost, where the error of an integral by two points equals that of a
# difference: (epsilons, power). Errors are h^5 / 720 of a slope with its curvature, and about
# q^3 / 500 without.
NEAR_SIZE, NEAR_COST = (2880.0, 1 / 5), (1e4, 1 / 3)


class Own(NamedTuple):
    """Each resample's own best plan."""

    log_params: Array
    value: Array  # cost, or loss


class Outcomes(NamedTuple):
    """Of each size, in each resample."""

    tokens: Array
    cost: Array
    loss: Array
    regret_cost: Array
    regret_loss: Array


def outcomes(
    at_loss: bool, resamples: Resamples, bounds: Bounds | None, log_params: Array, own: Own
) -> Outcomes:
    """The outcomes of some sizes; an infinite cost where one cannot reach the loss."""
    inputs = resamples.inputs
    y = jax.vmap(lambda x: log_tokens_at(at_loss, resamples, x))(log_params)
    x = log_params[:, None] + jnp.zeros_like(y)
    most = _most_tokens(x, bounds)
    within = (y <= most + AT_BOUND * epsilon(y) * (1 + jnp.abs(x))) & is_finite(y)
    # Where bounds leave some of a budget over, they leave it over in every resample.
    y = jnp.where(within, y, jnp.where(is_finite(most), most, 0))
    loss, cost = inputs.loss(x, y), cost_value(x, y, inputs)
    by_slopes = _integral(at_loss, resamples, log_params, own.log_params)
    if at_loss:
        regret = _nearer(cost - own.value, *by_slopes, resamples.unit)
        lost = _loss_for_cost(resamples, bounds, cost, regret, own)
        unreached = inputs.target - floor_of(inputs, y)  # whatever is spent
        return Outcomes(
            tokens=jnp.where(within, jnp.exp(y), jnp.inf),
            cost=jnp.where(within, cost, jnp.inf),
            loss=inputs.target + jnp.zeros_like(y),
            regret_cost=jnp.where(within, regret, jnp.inf),
            regret_loss=jnp.where(within, lost, unreached),
        )
    cost = jnp.where(within, inputs.target, cost)
    regret = _nearer(loss - own.value, *by_slopes)
    wasted = _cost_for_loss(resamples, bounds, loss, regret, own)
    return Outcomes(jnp.exp(y), cost, loss, cost * wasted, regret)


def _most_tokens(log_params: Array, bounds: Bounds | None) -> Array:
    """Logarithm of the most tokens that the bounds allow."""
    most = jnp.full_like(log_params, jnp.inf)
    if bounds is None:
        return most
    by_ratio = log_params + log_where(bounds.max_tokens_per_param, jnp.inf)
    return jnp.minimum(log_where(bounds.max_tokens, jnp.inf), by_ratio)


def _integral(
    at_loss: bool, resamples: Resamples, log_params: Array, own: Array
) -> tuple[Array, Array]:
    """The objective at some log params less that at each resample's own, and where it is near.

    By the corrected trapezoid rule: slopes and curvatures at both ends.
    """
    resamples, log_params, own = lax.stop_gradient((resamples, log_params, own))

    def slope(x: Array) -> Array:
        rise, fall = slopes(at_loss, resamples, x)
        return rise - fall

    def with_curvature(x: Array) -> tuple[Array, Array]:
        return jax.jvp(slope, (x,), (jnp.ones_like(x),))

    sizes = jnp.broadcast_to(log_params[:, None], (len(log_params), *own.shape))
    slope_at, curvature = lax.map(with_curvature, jnp.concatenate([sizes, own[None]]))
    apart = log_params[:, None] - own
    value = (slope_at[:-1] + slope_at[-1]) / 2 + apart * (curvature[-1] - curvature[:-1]) / 12
    return value * apart, jnp.abs(apart) < _near(NEAR_SIZE, apart)


def _near(limit: tuple[float, float], like: Array) -> float:
    return (limit[0] * epsilon(like)) ** limit[1]


def _nearer(difference: Array, integral: Array, is_near: Array, unit: Array | float = 1.0) -> Array:
    """The integral where it is the more exact of the two, with the derivatives of the difference."""
    better = is_near & is_finite(integral)
    correction = jnp.where(better, unit * integral - difference, 0)
    return difference + lax.stop_gradient(correction)


def _loss_for_cost(
    resamples: Resamples, bounds: Bounds | None, cost: Array, regret: Array, own: Own
) -> Array:
    """Loss that `cost` would have bought beyond the target, with the law known."""
    law, levers, _, demand, costs = resamples.inputs

    def least_loss(cost: Array) -> Array:
        return minimize_loss(law, cost, demand, costs, bounds, levers=levers).loss

    both = jnp.concatenate([own.value[None], cost])
    loss, slope = jax.jvp(least_loss, (both,), (both,))  # by log cost
    apart = jnp.log1p(regret / own.value)
    integral = -(slope[:1] + slope[1:]) / 2 * apart
    is_near = jnp.abs(apart) < _near(NEAR_COST, apart)
    return _nearer(loss[:1] - loss[1:], integral, is_near)


def _cost_for_loss(
    resamples: Resamples, bounds: Bounds | None, loss: Array, regret: Array, own: Own
) -> Array:
    """Share of the cost that would have been saved at the same `loss`, with the law known."""
    law, levers, _, demand, costs = resamples.inputs

    def least_cost(loss: Array) -> Array:
        return minimize_cost(law, loss, demand, costs, bounds, levers=levers).total_cost

    both = jnp.concatenate([own.value[None], loss])
    cost, slope = jax.jvp(least_cost, (both,), (jnp.ones_like(both),))
    slope = slope / cost
    integral = -(slope[:1] + slope[1:]) / 2 * regret  # of log cost
    is_near = jnp.abs(integral) < _near(NEAR_COST, integral)
    difference = jnp.log(cost[:1]) - jnp.log(cost[1:])
    return -jnp.expm1(-_nearer(difference, integral, is_near))
