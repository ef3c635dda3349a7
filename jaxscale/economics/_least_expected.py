"""The size that is best on average over resamples of a law, with the target met in each of them.

With a loss to reach, training stops when it is reached, so a size has its own tokens and its own
cost in each resample; with a budget, tokens are what it still pays for, and the loss differs. The
mean of either falls before the smallest of the resamples' own best sizes and rises after the
largest, so that its minimum is bracketed. For a sum of two powers it is convex in log params, and
has no other.
"""

import math
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from jaxscale._numerics.merged import merged
from jaxscale._numerics.typed import epsilon
from jaxscale._numerics.values import any_of, is_finite, is_positive, where_safe
from jaxscale.laws.chinchilla import Chinchilla, log_other
from jaxscale.laws.protocol import INFERENCE_FLOPS, TRAIN_FLOPS, two_powers
from jaxscale.plan import Bounds
from jaxscale.solve.bounds import Curve
from jaxscale.solve.closed import budget_curve, iso_loss_curve
from jaxscale.solve.general import Free, constraint_curve, zeros_of_full_shape
from jaxscale.solve.newton import Inputs, cost_over_budget, partials
from jaxscale.status import Status, first_status

# Newton's method needs five steps where resamples are alike; halving a bracket takes the others.
STEPS, MORE_STEPS = 6, 48
CONVERGED = 1e2  # in roots of an epsilon: a step this small leaves an error of its square


class Resamples(NamedTuple):
    """The inputs of one scenario: coefficients have an axis of resamples, the rest is scalar."""

    inputs: Inputs
    unit: Array  # of cost: the largest of the resamples' own costs

    def constraint(self, at_loss: bool, x: Array, y: Array) -> Array:
        """Loss or relative cost, whichever is the target, at log params x and log tokens y."""
        return self.inputs.loss(x, y) if at_loss else cost_over_budget(x, y, self.inputs)

    def objective(self, at_loss: bool, x: Array, y: Array) -> Array:
        """Cost in units of `unit`, or loss, whichever is to be small."""
        if at_loss:
            return cost_over_budget(x, y, self.inputs._replace(target=self.unit))
        return self.inputs.loss(x, y)


class Best(NamedTuple):
    """The log params of the least mean, and the bracket in which they were searched."""

    log_params: Array
    low: Array
    high: Array
    status: Array


class Along(NamedTuple):
    """The objective's change with log params in each resample, the target being met."""

    rise: Array  # what a larger model costs, or the loss of its shorter training
    fall: Array  # what its shorter training saves, or what loss the model takes off
    rise_x: Array  # their derivatives
    fall_x: Array


def curve_of(at_loss: bool, inputs: Inputs) -> Curve:
    """The plans of each resample that just meet the target."""
    law, levers, target, demand, costs = inputs
    closed_law = two_powers(law, levers)
    if closed_law is None:
        like = zeros_of_full_shape(inputs)
        return constraint_curve(at_loss, inputs, Free(like, like, jnp.zeros_like(like, jnp.int8)))
    served = costs.effective_demand(demand)
    if at_loss:
        return iso_loss_curve(closed_law, target - closed_law.E, served)
    return budget_curve(closed_law, target, served, demand, costs)


def log_tokens_at(at_loss: bool, resamples: Resamples, x: Array) -> Array:
    """Log tokens with which log params x meet the target in each resample; infinite if none do."""
    inputs = resamples.inputs
    lanes = x + zeros_of_full_shape(inputs)
    closed_law = two_powers(inputs.law, inputs.levers)
    if closed_law is None:
        return curve_of(at_loss, inputs).tokens_at(lanes)
    return (_tokens_of_loss if at_loss else _tokens_of_budget)(closed_law, inputs, lanes)


def _tokens_of_loss(law: Chinchilla, inputs: Inputs, x: Array) -> Array:
    log_reducible = jnp.log(inputs.target - law.E)
    excess = law.alpha * x - (jnp.log(law.A) - log_reducible)
    reachable = excess > 0
    log_tokens = log_other(where_safe(reachable, excess), jnp.log(law.B) - log_reducible, law.beta)
    return jnp.where(reachable, log_tokens, jnp.inf)


def _tokens_of_budget(law: Chinchilla, inputs: Inputs, x: Array) -> Array:
    """The same in all resamples: D is F / (6 N) less Q / 3, F the FLOPs that training could buy."""
    del law
    _, _, budget, demand, costs = inputs
    affordable = jnp.log(budget) - jnp.log(costs.train) - x
    served = INFERENCE_FLOPS * costs.effective_demand(demand) * jnp.exp(-affordable)
    some_left = served < 1
    log_tokens = affordable - math.log(TRAIN_FLOPS) + jnp.log1p(-jnp.where(some_left, served, 0))
    return jnp.where(some_left, log_tokens, -jnp.inf)


def along(at_loss: bool, resamples: Resamples, x: Array, y: Array) -> Along:
    """The change with log params x, where log tokens y meet the target. Not for differentiation."""
    x = x + jnp.zeros_like(y)
    held = partials(lambda x, y: resamples.constraint(at_loss, x, y), x, y)
    goal = partials(lambda x, y: resamples.objective(at_loss, x, y), x, y)
    y_x = -held.x / held.y
    y_xx = -(held.xx + (2 * held.xy + held.yy * y_x) * y_x) / held.y
    size, size_x = goal.x, goal.xx + goal.xy * y_x
    data, data_x = goal.y * y_x, (goal.xy + goal.yy * y_x) * y_x + goal.y * y_xx
    return Along(size, -data, size_x, -data_x) if at_loss else Along(data, -size, data_x, -size_x)


def _with_slope(at_loss: bool, resamples: Resamples, x: Array) -> tuple[Array, Array]:
    """`log_ratio` and its derivative by x. Not for differentiation."""
    y = log_tokens_at(at_loss, resamples, x)
    means = Along(*map(jnp.mean, merged(partial(along, at_loss))(resamples, x, y)))
    value = jnp.log(means.rise) - jnp.log(means.fall)
    return value, means.rise_x / means.rise - means.fall_x / means.fall


def log_ratio(at_loss: bool, resamples: Resamples, x: Array) -> Array:
    """Log of the mean rise over the mean fall: 0 at the minimum, and close to a straight line."""
    y = log_tokens_at(at_loss, resamples, x)
    x = x + jnp.zeros_like(y)
    one, zero = jnp.ones_like(y), jnp.zeros_like(y)

    def both(x: Array, y: Array) -> tuple[Array, Array]:
        return resamples.constraint(at_loss, x, y), resamples.objective(at_loss, x, y)

    _, (held_x, size) = jax.jvp(both, (x, y), (one, zero))
    _, (held_y, data) = jax.jvp(both, (x, y), (zero, one))
    shorter = held_x / held_y * data
    rise, fall = (size, shorter) if at_loss else (-shorter, -size)
    return jnp.log(jnp.mean(rise)) - jnp.log(jnp.mean(fall))


def best_on_average(
    at_loss: bool, resamples: Resamples, bounds: Bounds | None, sizes: Array
) -> Best:
    """The log params of the least mean, with implicit derivatives, within the bounds.

    `sizes` are the log params that are best for each resample.
    """
    fixed, sizes = lax.stop_gradient((resamples, sizes))
    low, high, start = jnp.min(sizes), jnp.max(sizes), jnp.mean(sizes)
    end = None if bounds is None else _end(at_loss, resamples, bounds)
    is_free = jnp.asarray(True)
    if end is not None:
        is_free = end.status == int(Status.OK)
        low, high, start = (jnp.clip(x, end.low, end.high) for x in (low, high, start))
    point, step = _search(at_loss, fixed, low, high, start, is_free)
    root = lax.custom_root(
        partial(log_ratio, at_loss, resamples),
        point,
        lambda _, start: start,
        lambda tangent, y: y / _safe(tangent(jnp.ones_like(y))),
    )
    status = first_status((~(step < _converged(step)), Status.NOT_CONVERGED))
    if end is None:
        return Best(root, low, high, status)
    root, status = (
        jnp.where(is_free, free, at_end)
        for free, at_end in ((root, end.log_params), (status, end.status))
    )
    return Best(root, low, high, status)


class _End(NamedTuple):
    """The interval of log params within the bounds, and the end of it that is the answer."""

    low: Array
    high: Array
    log_params: Array
    status: Array  # OK where neither end is


def _end(at_loss: bool, resamples: Resamples, bounds: Bounds) -> _End:
    ends = _lower_ends(at_loss, resamples, bounds)
    lowest, highest = jnp.max(ends), log_where(bounds.max_params, jnp.inf)
    low, high = lax.stop_gradient((jnp.minimum(lowest, highest), highest))
    fixed = lax.stop_gradient(resamples)
    at_low, at_high = lax.map(partial(log_ratio, at_loss, fixed), jnp.stack([low, high]))
    by_params, _, by_ratio = ends >= lowest
    status = first_status(
        (lowest > highest, Status.AT_CORNER),
        (at_high <= 0, Status.AT_MAX_PARAMS),
        (~(at_low >= 0), Status.OK),
        (by_params, Status.AT_MIN_PARAMS),
        (by_ratio, Status.AT_MAX_RATIO),
        (jnp.asarray(True), Status.AT_MAX_TOKENS),
    )
    at_highest = (lowest > highest) | (at_high <= 0)
    return _End(low, high, jnp.where(at_highest, highest, lowest), status)


def _safe(slope: Array) -> Array:
    return jnp.where(is_finite(slope) & (slope != 0), slope, 1)


def _converged(like: Array) -> float:
    return (CONVERGED * epsilon(like)) ** 0.5


def log_where(size: Array, otherwise: float) -> Array:
    """Logarithm of a size that is finite and above 0, and `otherwise` that of a limit that is not.

    A bound that limits nothing has no derivative.
    """
    limits = is_positive(size)
    return jnp.where(limits, jnp.log(jnp.where(limits, size, 1)), otherwise)


def _lower_ends(at_loss: bool, resamples: Resamples, bounds: Bounds) -> Array:
    """The least log params by min_params, max_tokens and max_tokens_per_param.

    A smaller model would have to be trained for longer than the bounds allow in some resample.
    """
    curve = curve_of(at_loss, resamples.inputs)
    lanes = zeros_of_full_shape(resamples.inputs)
    ends = [log_where(bounds.min_params, -jnp.inf)]
    for bound, params_at in (
        (bounds.max_tokens, curve.params_at),
        (bounds.max_tokens_per_param, lambda ratio: curve.at_ratio(ratio)[0]),
    ):
        least = jnp.max(params_at(log_where(bound, 0.0) + lanes))
        ends.append(jnp.where(bound < jnp.inf, least, -jnp.inf))
    return jnp.stack(ends)


def _search(
    at_loss: bool, resamples: Resamples, low: Array, high: Array, start: Array, wanted: Array
) -> tuple[Array, Array]:
    """The root of `log_ratio` in a bracket by Newton's method, and its last step.

    A step that leaves the bracket halves it instead, as where a resample cannot meet the target.
    """

    def goes_on(carry: tuple[Array, Array, Array, Array, Array]) -> Array:
        count, *_, step = carry
        lost = any_of(wanted & ~(step < _converged(step)))
        return (count < STEPS) | ((count < STEPS + MORE_STEPS) & lost)

    def body(
        carry: tuple[Array, Array, Array, Array, Array],
    ) -> tuple[Array, Array, Array, Array, Array]:
        count, at, low, high, _ = carry
        value, slope = _with_slope(at_loss, resamples, at)
        # Where it is no number, a model is too small for the loss, or too large for the budget.
        rises = value > 0 if at_loss else ~(value < 0)
        low, high = jnp.where(rises, low, at), jnp.where(rises, at, high)
        newton = at - value / slope
        slack = _converged(at)  # at the answer, rounding may point either way
        inside = (newton > low - slack) & (newton < high + slack)
        new = jnp.where(inside, newton, (low + high) / 2)
        return count + 1, new, low, high, jnp.abs(new - at)

    begin = jnp.int32(0), jnp.clip(start, low, high), low, high, jnp.full_like(low, jnp.inf)
    _, at, _, _, step = lax.while_loop(goes_on, body, begin)
    return at, step
