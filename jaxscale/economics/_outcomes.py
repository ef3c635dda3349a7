"""What a size comes to in each resample of a law, and its regret there: in cost and in loss.

A regret is the small difference of two large numbers. Near the best size it is the integral of a
slope instead, which has more digits by far: in float32, all that there are.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from jaxscale._numerics.merged import merged
from jaxscale._numerics.typed import epsilon
from jaxscale._numerics.values import is_finite
from jaxscale.economics._least_expected import Resamples, along, log_tokens_at, log_where
from jaxscale.plan import Bounds, Plan
from jaxscale.solve import minimize_cost, minimize_loss
from jaxscale.solve.newton import cost_value, floor_of

AT_BOUND = 1e3  # epsilons of a logarithm by which a plan may miss its own bound
# In log params and in log cost, where the error of an integral by two points equals that of a
# difference: (epsilons, power). Errors are h^5 / 720 of a slope with its curvature, and about
# q^3 / 500 without.
NEAR_SIZE, NEAR_COST = (2880.0, 1 / 5), (1e4, 1 / 3)
BENT = 2.0  # relative change of a curvature, over a distance in log params


class Own(NamedTuple):
    """Each resample's own best plan."""

    log_params: Array
    log_tokens: Array
    cost: Array
    loss: Array
    nats: Array  # how much lower the loss is for a slightly larger log cost; not differentiated


class Outcomes(NamedTuple):
    """Of each size, in each resample."""

    tokens: Array
    cost: Array
    loss: Array
    regret_cost: Array
    regret_loss: Array


def outcomes(
    at_loss: bool,
    resamples: Resamples,
    bounds: Bounds | None,
    own: Own,
    looks: Array,
    log_params: Array,
) -> tuple[Array, Outcomes]:
    """The mean objective at the log params `looks`, and what comes of some other `log_params`."""
    # One loop, for its body is a long program.
    sizes = jnp.concatenate([looks, log_params])
    shape = len(sizes), *own.log_params.shape
    sizes = jnp.broadcast_to(sizes[:, None], shape)
    rows = lax.map(
        partial(_row, at_loss, resamples), jnp.concatenate([sizes, own.log_params[None]])
    )
    count = len(looks)
    means = jnp.mean(rows.value[:count], axis=1)
    at_own = jax.tree.map(lambda x: x[-1], rows)
    at_sizes = jax.tree.map(lambda x: x[count:-1], rows)
    outcome_of = partial(_outcome, at_loss, resamples, bounds, own, at_own)
    return means, lax.map(outcome_of, at_sizes)


class _Row(NamedTuple):
    """A size in each resample, with its tokens, its objective, and derivatives of that."""

    log_params: Array
    log_tokens: Array
    value: Array
    slope: Array
    curvature: Array


def _row(at_loss: bool, resamples: Resamples, x: Array) -> _Row:
    y = log_tokens_at(at_loss, resamples, x)
    fixed = lax.stop_gradient((resamples, x, y))
    change = merged(partial(along, at_loss))(*fixed)
    value = fixed[0].objective(at_loss, *fixed[1:])
    return _Row(x, y, value, change.rise - change.fall, change.rise_x - change.fall_x)


def _outcome(
    at_loss: bool, resamples: Resamples, bounds: Bounds | None, own: Own, at_own: _Row, at: _Row
) -> Outcomes:
    """What comes of one size; an infinite cost where it cannot reach the loss."""
    inputs = resamples.inputs
    x, y = at.log_params, at.log_tokens
    most = _most_tokens(x, bounds)
    within = (y <= most + AT_BOUND * epsilon(y) * (1 + jnp.abs(x))) & is_finite(y)
    # Where bounds leave some of a budget over, they leave it over in every resample.
    y = jnp.where(within, y, jnp.where(is_finite(most), most, 0))
    loss, cost = inputs.loss(x, y), cost_value(x, y, inputs)
    by_slopes = _integral(at_own, at)
    if at_loss:
        regret = _nearer(cost - own.cost, *by_slopes, resamples.unit)
        lost = _loss_for_cost(resamples, bounds, own, cost, regret)
        unreached = inputs.target - floor_of(inputs, y)  # whatever is spent
        return Outcomes(
            tokens=jnp.where(within, jnp.exp(y), jnp.inf),
            cost=jnp.where(within, cost, jnp.inf),
            loss=inputs.target + jnp.zeros_like(y),
            regret_cost=jnp.where(within, regret, jnp.inf),
            regret_loss=jnp.where(within, lost, unreached),
        )
    cost = jnp.where(within, inputs.target, cost)
    regret = _nearer(loss - own.loss, *by_slopes)
    saved = _share_for_loss(resamples, bounds, own, loss, regret)
    return Outcomes(jnp.exp(y), cost, loss, cost * saved, regret)


def _most_tokens(log_params: Array, bounds: Bounds | None) -> Array:
    """Logarithm of the most tokens that the bounds allow."""
    most = jnp.full_like(log_params, jnp.inf)
    if bounds is None:
        return most
    by_ratio = log_params + log_where(bounds.max_tokens_per_param, jnp.inf)
    return jnp.minimum(log_where(bounds.max_tokens, jnp.inf), by_ratio)


# --- Differences of nearly equal numbers -----------------------------------------------------


def _integral(own: _Row, at: _Row) -> tuple[Array, Array]:
    """The objective at a size less that at each resample's own, and whether the two are near.

    By the corrected trapezoid rule: slopes and curvatures at both ends. Where a model is hardly
    large enough for the loss, the curvature is another one a thousandth of an e-fold away.
    """
    apart = at.log_params - own.log_params
    bent = own.curvature - at.curvature
    value = (at.slope + own.slope) / 2 + apart * bent / 12
    limit = _near(NEAR_SIZE, apart)
    is_smooth = jnp.abs(bent) <= BENT * limit * jnp.minimum(own.curvature, at.curvature)
    return value * apart, (jnp.abs(apart) < limit) & is_smooth


def _near(limit: tuple[float, float], like: Array) -> float:
    return (limit[0] * epsilon(like)) ** limit[1]


def _nearer(difference: Array, integral: Array, is_near: Array, unit: Array | float = 1.0) -> Array:
    """The integral where it has more digits, with the derivatives of the difference."""
    better = is_near & is_finite(integral)
    correction = jnp.where(better, unit * integral - difference, 0)
    return difference + lax.stop_gradient(correction)


# --- The other regret: what the money would have bought, what the loss would have cost -----------


def _loss_for_cost(
    resamples: Resamples, bounds: Bounds | None, own: Own, cost: Array, regret: Array
) -> Array:
    """Loss that `cost` would have bought beyond the target, with the law known."""
    law, levers, target, demand, costs = resamples.inputs
    plan = minimize_loss(law, cost, demand, costs, bounds, levers=levers)
    apart = jnp.log1p(regret / own.cost)
    is_near = jnp.abs(apart) < _near(NEAR_COST, apart)
    nats = (own.nats + best_of(plan).nats) / 2
    return _nearer(target - plan.loss, nats * apart, is_near)


def _share_for_loss(
    resamples: Resamples, bounds: Bounds | None, own: Own, loss: Array, regret: Array
) -> Array:
    """Share of the cost that would have been saved at the same `loss`, with the law known."""
    law, levers, _, demand, costs = resamples.inputs
    plan = best_of(minimize_cost(law, loss, demand, costs, bounds, levers=levers))
    integral = (1 / own.nats + 1 / plan.nats) / 2 * regret  # of log cost
    is_near = jnp.abs(integral) < _near(NEAR_COST, integral)
    difference = jnp.log(own.cost) - jnp.log(plan.cost)
    return -jnp.expm1(-_nearer(difference, integral, is_near))


def best_of(plan: Plan) -> Own:
    """What is needed of best plans; of those that are not ok, numbers of no meaning."""
    safe = (jnp.where(plan.ok, x, 1) for x in (plan.params, plan.tokens, plan.total_cost))
    log_params, log_tokens, cost = jnp.log(next(safe)), jnp.log(next(safe)), next(safe)
    nats = lax.stop_gradient(plan.total_cost / plan.marginal_cost)
    return Own(log_params, log_tokens, cost, jnp.where(plan.ok, plan.loss, 1), nats)
