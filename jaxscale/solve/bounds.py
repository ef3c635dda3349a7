# pyright: reportUnknownMemberType=false
"""The optimum along a constraint curve, within bounds.

Both problems minimise along such a curve, on which params fall as tokens rise: all plans of
one loss, or all plans of one lifetime cost. A bounded optimum is the free one clamped, because
along an iso-loss curve log cost is convex in log tokens, and along a budget line loss has one
minimum.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import Array, lax

from jaxscale._numerics.typed import epsilon
from jaxscale._numerics.values import has_normal_exp, quotient, where_safe
from jaxscale.laws.protocol import made_safe
from jaxscale.plan import Bounds, Sizes
from jaxscale.status import Status, first_status, is_ok

# By how many epsilons, times the logarithms involved, a plan may miss its own sizes as bounds.
TIE = 32
MOST_TIE = 64  # times the root of an epsilon


Pair = tuple[Array, Array]  # of params and of tokens
Logs = Pair  # their logarithms, or a number of each


class Curve(NamedTuple):
    """The plans that just meet a target, by their natural logarithms."""

    free: Callable[[], Logs]  # the optimum without bounds
    tokens_at: Callable[[Array], Array]  # log params -> log tokens; infinite off the curve
    params_at: Callable[[Array], Array]  # log tokens -> log params; infinite off the curve
    at_ratio: Callable[[Array], Logs]  # log ratio -> log params, log tokens
    use: Callable[[Array, Array], Array]  # loss or cost over the target: 1 on the curve
    rounding: Array  # absolute error of `use` near 1, in epsilons
    slack_is_low: bool  # whether the lowest corner is the one that may beat the target
    infeasible: Status  # status where no plan inside the bounds meets the target
    doubt: Array | None = None  # status of `free` itself, where it may be no optimum
    # A function of two bounds. A curve whose functions are long programs runs one twice instead of
    # compiling two.
    of_both: Callable[[Callable[[Array], Array], Array, Array], tuple[Array, Array]] = (
        lambda at, low, high: (at(low), at(high))
    )


def optimum(
    curve_of: Callable[..., Curve],
    inputs: tuple[Any, ...],
    bounds: Bounds | None,
    status: Array,
    ok: Array,
) -> Sizes:
    """The best plan on the curve of `inputs` within `bounds`, for the scenarios that are ok so far.

    Which bound decides is found first, without derivatives; the plan is then computed as
    the problem with that bound in force, so its derivatives are those of that problem.
    """
    if bounds is None:
        curve = curve_of(*inputs)
        if curve.doubt is not None:
            status = jnp.where(ok, curve.doubt, status)
            ok &= is_ok(status)
            curve = curve_of(*made_safe(inputs, ok))
        return Sizes(None, None, *curve.free(), status, ok)
    curve, limits = curve_of(*lax.stop_gradient(inputs)), lax.stop_gradient(bounds)
    decided = _decide(curve, limits)
    if curve.doubt is not None:
        decided = _doubted(decided, curve.doubt)
    status = jnp.where(ok, decided, status)

    # A bound may be there because the free optimum is absurd; so each way to a plan is
    # differentiated only where it is the one taken.
    def curve_where(taken: Array) -> Curve:
        return curve_of(*made_safe(inputs, taken))

    near_minimum = _near_minimum(curve, limits)
    return _sizes(curve_where, made_safe(bounds, is_ok(status)), status, near_minimum)


def _doubted(status: Array, doubt: Array) -> Array:
    """The status within bounds, where the free optimum may be none.

    A search that ran off says on which side bounds decide. One that did not arrive, or that
    arrived at one of several optima, says nothing.
    """
    lost = (doubt == int(Status.NOT_CONVERGED)) | (doubt == int(Status.SEVERAL_OPTIMA))
    at_corner = status == int(Status.AT_CORNER)
    inside = status == int(Status.OK)
    return jnp.where(inside | (lost & is_ok(status) & ~at_corner), doubt, status)


def _near_minimum(curve: Curve, bounds: Bounds) -> Logs:
    """Whether free params, and free tokens, are nearer to their lower bound than to the upper.

    The status says which of the two decides, but a comparison that XLA evaluates again may say
    otherwise at a tie, and the wrong one of the two bounds may be infinite.
    """
    params, tokens = curve.free()
    low, high = jnp.log(bounds.min_params), jnp.log(bounds.max_params)
    low_tokens, high_tokens = jnp.log(bounds.min_tokens), jnp.log(bounds.max_tokens)
    return params - low < high - params, tokens - low_tokens < high_tokens - tokens


def _sizes(
    curve_where: Callable[[Array], Curve], bounds: Bounds, status: Array, near_minimum: Logs
) -> Sizes:
    """The plan that `_decide` found to lie where `status` says."""
    at_params = (status == int(Status.AT_MIN_PARAMS)) | (status == int(Status.AT_MAX_PARAMS))
    at_tokens = (status == int(Status.AT_MIN_TOKENS)) | (status == int(Status.AT_MAX_TOKENS))
    at_corner = status == int(Status.AT_CORNER)
    at_ratio = status == int(Status.AT_MAX_RATIO)

    low_corner, high_corner = _corners(made_safe(bounds, at_corner))
    along_params, along_tokens = curve_where(at_params), curve_where(at_tokens)
    corner_params, corner_tokens = low_corner if along_params.slack_is_low else high_corner
    params = jnp.where(near_minimum[0], bounds.min_params, bounds.max_params)
    tokens = jnp.where(near_minimum[1], bounds.min_tokens, bounds.max_tokens)
    # A bound that is not in force may be 0 or infinite: it goes before its logarithm is taken.
    params = where_safe(at_params | at_corner, jnp.where(at_corner, corner_params, params))
    tokens = where_safe(at_tokens | at_corner, jnp.where(at_corner, corner_tokens, tokens))
    ratio = where_safe(at_ratio, bounds.max_tokens_per_param)

    free_params, free_tokens = curve_where(status == int(Status.OK)).free()
    log_params = jnp.where(at_params | at_corner, jnp.log(params), free_params)
    log_tokens = jnp.where(at_tokens | at_corner, jnp.log(tokens), free_tokens)
    log_params, log_tokens = (
        jnp.where(at_tokens, along_tokens.params_at(where_safe(at_tokens, log_tokens)), log_params),
        jnp.where(at_params, along_params.tokens_at(where_safe(at_params, log_params)), log_tokens),
    )
    ratio_params, ratio_tokens = curve_where(at_ratio).at_ratio(jnp.log(ratio))
    log_params = jnp.where(at_ratio, ratio_params, log_params)
    log_tokens = jnp.where(at_ratio, ratio_tokens, log_tokens)
    # Each is exponentiated once; `priced` judges the result.
    params = jnp.where(at_params | at_corner, params, _normal_exp(log_params))
    tokens = jnp.where(at_tokens | at_corner, tokens, _normal_exp(log_tokens))
    return _within(lax.stop_gradient(bounds), (params, tokens), (log_params, log_tokens), status)


def _normal_exp(x: Array) -> Array:
    return jnp.exp(where_safe(has_normal_exp(x), x))


def _within(bounds: Bounds, sizes: Pair, logs: Logs, status: Array) -> Sizes:
    """The sizes, on each bound that rounding put them beyond; with the derivatives that they had.

    Where two bounds meet the curve in one point, a size that follows from one of them may miss
    the other by far more than an epsilon: what a budget leaves for training may be all rounding.
    """
    params = jnp.clip(lax.stop_gradient(sizes[0]), bounds.min_params, bounds.max_params)
    most_tokens = jnp.minimum(bounds.max_tokens, bounds.max_tokens_per_param * params)
    tokens = jnp.clip(lax.stop_gradient(sizes[1]), bounds.min_tokens, most_tokens)
    moves_params, moves_tokens = params != sizes[0], tokens != sizes[1]
    return Sizes(
        params=_moved(sizes[0], params, moves_params),
        tokens=_moved(sizes[1], tokens, moves_tokens),
        log_params=_moved(logs[0], jnp.log(params), moves_params),
        log_tokens=_moved(logs[1], jnp.log(tokens), moves_tokens),
        status=status,
        ok=is_ok(status),
    )


def _moved(x: Array, to: Array, moves: Array) -> Array:
    """The value `to` where it moves, with the derivatives of x."""
    return jnp.where(moves, to + (x - lax.stop_gradient(x)), x)


def _decide(curve: Curve, bounds: Bounds) -> Array:
    """Status of each scenario within valid bounds. Not for differentiation."""
    (low_params, low_tokens), (high_params, high_tokens) = _corners(bounds)
    empty = (low_params > high_params) | (low_tokens > high_tokens)
    empty |= (high_params == 0) | (high_tokens == 0) | (bounds.max_tokens_per_param == 0)
    empty |= (low_params == jnp.inf) | (low_tokens == jnp.inf)
    low_use = curve.use(jnp.log(low_params), jnp.log(low_tokens))
    high_use = curve.use(jnp.log(high_params), jnp.log(high_tokens))
    slack, strict = (low_use, high_use) if curve.slack_is_low else (high_use, low_use)
    # A tie must be decided once. XLA may evaluate a comparison again for each use of it, in loops
    # that round differently; so nothing is decided by less than rounding can move.
    free_params, free_tokens = curve.free()
    logs = jnp.abs(free_params) + jnp.abs(free_tokens)
    eps = epsilon(strict)
    tie = TIE * eps * (1 + curve.rounding + logs)
    # For sizes it has a limit, so that a plan beyond a bound is not taken to be on it.
    near = jnp.minimum(tie, MOST_TIE * eps**0.5)

    # Compared by tokens per param, which rises along the whole curve: where one term of the law
    # is negligible, tokens alone (or params alone) are the same everywhere on it.
    def at_params(params: Array) -> Array:
        log_params = jnp.log(params)
        ratio = curve.tokens_at(log_params) - log_params
        return jnp.where(params > 0, jnp.where(params < jnp.inf, ratio, -jnp.inf), jnp.inf)

    def at_tokens(tokens: Array) -> Array:
        log_tokens = jnp.log(tokens)
        ratio = log_tokens - curve.params_at(log_tokens)
        return jnp.where(tokens > 0, jnp.where(tokens < jnp.inf, ratio, jnp.inf), -jnp.inf)

    at_min_params, at_max_params = curve.of_both(at_params, bounds.min_params, bounds.max_params)
    at_min_tokens, at_max_tokens = curve.of_both(at_tokens, bounds.min_tokens, bounds.max_tokens)
    at_max_ratio = jnp.log(bounds.max_tokens_per_param)
    free = free_tokens - free_params
    most = jnp.minimum(jnp.minimum(at_max_tokens, at_min_params), at_max_ratio)
    least = jnp.maximum(at_min_tokens, at_max_params)
    above, below = free > most + near, free < least - near
    # Too near to say by the corner alone: then there is a plan if the bound meets the curve.
    nowhere = (above & (most == -jnp.inf)) | (below & (least == jnp.inf))
    # Where the curve passes the bounds by, a corner that meets the target to rounding is the plan.
    misses = (most == -jnp.inf) | (most < least - near)
    beaten = (slack <= 1 - tie) | (misses & (slack <= 1 + tie))
    vanishes = beaten & curve.slack_is_low & ((low_params == 0) | (low_tokens == 0))
    is_optimum = jnp.asarray(True) if curve.doubt is None else is_ok(curve.doubt)
    tokens_first = (at_max_tokens <= at_min_params) & (at_max_tokens <= at_max_ratio)
    return first_status(
        (empty, Status.INFEASIBLE_BOUNDS),
        (strict > 1 + tie, curve.infeasible),
        (vanishes, Status.NO_INTERIOR_OPTIMUM),
        (beaten, Status.AT_CORNER),
        (nowhere & (strict > 1 - tie), curve.infeasible),
        (above & tokens_first, Status.AT_MAX_TOKENS),
        (above & (at_min_params <= at_max_ratio), Status.AT_MIN_PARAMS),
        (above, Status.AT_MAX_RATIO),
        (below & (at_min_tokens >= at_max_params), Status.AT_MIN_TOKENS),
        (below, Status.AT_MAX_PARAMS),
        # Where the last digits of the target hide where a bound meets the curve.
        (is_optimum & (free_params > jnp.log(bounds.max_params) + near), Status.AT_MAX_PARAMS),
        (is_optimum & (free_params < jnp.log(bounds.min_params) - near), Status.AT_MIN_PARAMS),
        (is_optimum & (free_tokens > jnp.log(bounds.max_tokens) + near), Status.AT_MAX_TOKENS),
        (is_optimum & (free_tokens < jnp.log(bounds.min_tokens) - near), Status.AT_MIN_TOKENS),
    )


def _corners(bounds: Bounds) -> tuple[Logs, Logs]:
    """The lowest (params, tokens) that the bounds allow together, and the highest."""
    # An infinite factor has an infinite derivative beside it, so it is replaced beforehand.
    limited = bounds.max_tokens_per_param < jnp.inf
    ratio = where_safe(limited & (bounds.max_tokens_per_param > 0), bounds.max_tokens_per_param)
    capped = limited & (bounds.max_params < jnp.inf)
    needed = jnp.where(limited, quotient(bounds.min_tokens, ratio), 0)
    allowed = jnp.where(capped, where_safe(capped, bounds.max_params) * ratio, jnp.inf)
    low = jnp.maximum(bounds.min_params, needed), bounds.min_tokens
    return low, (bounds.max_params, jnp.minimum(bounds.max_tokens, allowed))
