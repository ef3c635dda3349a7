"""The size that is best on average over resamples of a law, with the target met in each of them.

With a loss to reach, training stops when it is reached, so a size has its own tokens and its own
cost in each resample; with a budget, tokens are what it still pays for, and the loss differs. The
mean of either falls before the smallest of the resamples' own best sizes and rises after the
largest, so that its minimum is bracketed. For a sum of two powers it is convex in log params, and
has no other.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from jaxscale._numerics.typed import epsilon
from jaxscale._numerics.values import any_of, is_finite, is_positive
from jaxscale.laws.protocol import two_powers
from jaxscale.plan import Bounds
from jaxscale.solve.bounds import Curve
from jaxscale.solve.closed import budget_curve, iso_loss_curve
from jaxscale.solve.general import Free, constraint_curve, zeros_of_full_shape
from jaxscale.solve.newton import Inputs, cost_over_budget
from jaxscale.status import Status, first_status

# Newton's method needs five steps where resamples are alike; halving a bracket takes the others.
STEPS, MORE_STEPS = 6, 48
CONVERGED = 1e2  # in roots of an epsilon: a step this small leaves an error of its square
LOOKS = 8  # intervals of the bracket, at whose ends the mean is compared
SAME = 64.0  # epsilons: means closer than this count as equal


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
    """The best log params of a scenario, and the status of the search."""

    log_params: Array
    status: Array


def curve_of(at_loss: bool, inputs: Inputs) -> Curve:
    """The plans of each resample that just meet the target."""
    law, _, target, demand, costs = inputs
    closed_law = two_powers(law)
    if closed_law is None:
        like = zeros_of_full_shape(inputs)
        return constraint_curve(at_loss, inputs, Free(like, like, jnp.zeros_like(like, jnp.int8)))
    served = costs.effective_demand(demand)
    if at_loss:
        return iso_loss_curve(closed_law, target - closed_law.E, served)
    return budget_curve(closed_law, target, served, demand, costs)


def log_tokens_at(at_loss: bool, resamples: Resamples, x: Array) -> Array:
    """Log tokens with which log params x meet the target in each resample; infinite if none do."""
    lanes = x + zeros_of_full_shape(resamples.inputs)
    return curve_of(at_loss, resamples.inputs).tokens_at(lanes) + jnp.zeros_like(lanes)


def slopes(at_loss: bool, resamples: Resamples, x: Array) -> tuple[Array, Array]:
    """By log params, in each resample: what the objective rises by, and what it falls by.

    A larger model costs more by itself and less for the shorter training; or it lowers the loss by
    itself and raises it for the shorter training.
    """
    y = log_tokens_at(at_loss, resamples, x)
    x = x + jnp.zeros_like(y)
    one, zero = jnp.ones_like(y), jnp.zeros_like(y)

    def both(x: Array, y: Array) -> tuple[Array, Array]:
        return resamples.constraint(at_loss, x, y), resamples.objective(at_loss, x, y)

    _, (held_x, size) = jax.jvp(both, (x, y), (one, zero))
    _, (held_y, data) = jax.jvp(both, (x, y), (zero, one))
    shorter = held_x / held_y * data
    return (size, shorter) if at_loss else (-shorter, -size)


def log_ratio(at_loss: bool, resamples: Resamples, x: Array) -> Array:
    """Log of the mean rise over the mean fall: 0 at the minimum, and close to a straight line."""
    rise, fall = slopes(at_loss, resamples, x)
    return jnp.log(jnp.mean(rise)) - jnp.log(jnp.mean(fall))


def mean_objective(at_loss: bool, resamples: Resamples, x: Array) -> Array:
    """The mean over resamples; infinite where one of them cannot meet the target."""
    y = log_tokens_at(at_loss, resamples, x)
    value = jnp.mean(resamples.objective(at_loss, x + jnp.zeros_like(y), y))
    return jnp.where(jnp.isnan(value), jnp.inf, value)


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
    status = first_status(
        (~(step < _converged(step)), Status.NOT_CONVERGED),
        (_is_beaten(at_loss, fixed, point, low, high), Status.SEVERAL_OPTIMA),
    )
    if end is None:
        return Best(root, status)
    return Best(jnp.where(is_free, root, end.log_params), jnp.where(is_free, status, end.status))


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
        one = jnp.ones_like(at)
        value, slope = jax.jvp(partial(log_ratio, at_loss, resamples), (at,), (one,))
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


def _is_beaten(at_loss: bool, resamples: Resamples, at: Array, low: Array, high: Array) -> Array:
    """Whether a size elsewhere in the bracket has a lower mean, which a convex one cannot have."""
    here = mean_objective(at_loss, resamples, at)
    least = here * (1 - SAME * epsilon(at))

    def compare(beaten: Array, share: Array) -> tuple[Array, None]:
        there = mean_objective(at_loss, resamples, low + share * (high - low))
        return beaten | (there < least), None

    shares = jnp.linspace(0, 1, LOOKS + 1, dtype=at.dtype)
    return lax.scan(compare, ~is_finite(here), shares)[0]
