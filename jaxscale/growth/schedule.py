"""The best schedule of shapes in training: at each loss, the shape that learns fastest.

A nat of loss costs -dC/dE FLOPs, which a shape's law gives at each loss in closed form. The
schedule is the lowest of these curves. Two of them, powers of the loss above two floors, cross at
most twice: once on each side of the loss where their ratio turns. Bisection on either side finds
all crossings. Given the number of shapes everything has a fixed size, so that it can be traced.
"""

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.typing import ArrayLike

from jaxscale._numerics import arrays
from jaxscale._numerics.arrays import Real
from jaxscale._numerics.values import (
    exp_where,
    is_finite,
    is_nonnegative,
    is_positive,
    where_safe,
)

BISECTIONS = 64  # of a range of losses, to the last digit


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class ShapeLaw:
    """Loss by training FLOPs of one shape, Anagnostidis et al. 2023, arXiv 2311.03233.

    a and b are positive, c and d not negative. Fields may be arrays, with an entry for each
    shape; they broadcast with the arguments of the methods. Where a number is bad, the methods
    return NaN with zero derivatives.

    Examples:
        >>> law = js.growth.ShapeLaw(a=50.0, b=0.1, c=0.5, d=0.0)
        >>> print(f"{law.loss(1e18):.2f}")
        1.29
    """

    a: Real
    b: Real
    c: Real  # loss that no compute takes away, nats per token
    d: Real  # FLOPs

    equation: ClassVar[str] = "E(C) = a (C + d)^-b + c"

    def loss(self, flops: ArrayLike) -> Array:
        """Loss in nats per token after `flops` training FLOPs."""
        return _loss(*arrays.enter(law=self, flops=flops))

    def slope(self, flops: ArrayLike) -> Array:
        """Change of the loss by FLOPs, in nats per token and FLOP: negative."""
        return _slope(*arrays.enter(law=self, flops=flops))

    def flops_for(self, loss: ArrayLike) -> Array:
        """FLOPs that reach a loss; NaN for one at or below c, or above that of no FLOPs."""
        return _flops_for(*arrays.enter(law=self, loss=loss))

    def is_valid(self) -> Array:
        """Whether every coefficient is finite and of the sign that the law needs."""
        fall = is_positive(self.a) & is_positive(self.b)
        return fall & is_nonnegative(self.c) & is_nonnegative(self.d)


@jax.jit
def _loss(law, flops):
    law, log_sum, answer = _entered(law, flops)
    log_above = jnp.log(law.a) - law.b * log_sum
    return jnp.where(answer, jnp.exp(log_above) + law.c, jnp.nan)


@jax.jit
def _slope(law, flops):
    law, log_sum, answer = _entered(law, flops)
    log_steep = jnp.log(law.a) + jnp.log(law.b) - (law.b + 1) * log_sum
    return -exp_where(answer, log_steep)


def _entered(law, flops):
    """A safe law, the logarithm of C + d, and whether both are valid."""
    law, flops = arrays.align(law, flops)
    answer = law.is_valid() & is_nonnegative(flops) & is_positive(flops + law.d)
    law, flops = jax.tree.map(lambda x: where_safe(answer, x), (law, flops))
    return law, jnp.log(flops + law.d), answer


@jax.jit
def _flops_for(law, loss):
    law, loss = arrays.align(law, loss)
    above = loss - law.c
    answer = law.is_valid() & is_positive(above)
    law, above = jax.tree.map(lambda x: where_safe(answer, x), (law, above))
    log_sum = (jnp.log(law.a) - jnp.log(above)) / law.b
    flops = exp_where(answer, log_sum) - law.d
    return jnp.where(flops >= 0, flops, jnp.nan)


# --- Schedules ------------------------------------------------------------------------------


class Schedule(NamedTuple):
    """Segments of training, each in one shape, and what they save over the best single shape.

    The first three have 2 n - 1 entries for n shapes, as many as there can be segments; those not
    needed come last, with shape -1, loss NaN and 0 FLOPs.
    """

    shapes: Array  # of each segment, an index into the laws
    losses: Array  # at which each segment begins, nats per token: the first is the start
    flops: Array  # of each segment
    total_flops: Array
    best_shape: Array  # the one that alone takes the fewest FLOPs
    best_flops: Array
    saved: Array  # share of `best_flops` that the schedule does without


def shape_schedule(laws: ShapeLaw, start_loss: ArrayLike, target_loss: ArrayLike) -> Schedule:
    """The schedule from one loss to a lower one that takes the fewest training FLOPs.

    `laws` has arrays with an entry for each shape; the losses are scalars, in nats per token.
    A change of shape is free and keeps the loss, and the new shape's law holds from there on,
    as in Anagnostidis et al. 2023, arXiv 2311.03233. A start above a shape's loss at 0 FLOPs lies
    on the same curve. For many pairs of losses or sets of laws, use vmap.

    Every number is NaN, and every shape -1, where no shape reaches the target, the start is
    not above it, or a coefficient is bad. Derivatives are then zero; those of switches and
    FLOPs hold to first order. Raises ValueError for other shapes of arrays.

    Examples:
        >>> a, b = np.array([1e18, 4e18]), np.array([1.0, 1.0])
        >>> c, d = np.array([1.5, 1.0]), np.array([1e18, 1e17])
        >>> laws = js.growth.ShapeLaw(a, b, c, d)
        >>> schedule = js.growth.shape_schedule(laws, start_loss=4.0, target_loss=1.2)
        >>> print(f"grow at loss {schedule.losses[1]:.2f} to save {schedule.saved:.0%}")
        grow at loss 2.00 to save 6%
    """
    entered = arrays.enter(law=laws, start_loss=start_loss, target_loss=target_loss)
    laws, start_loss, target_loss = entered
    sizes = {jnp.shape(leaf) for leaf in jax.tree.leaves(laws)}
    if len(sizes) != 1 or len(next(iter(sizes))) != 1 or sizes == {(0,)}:
        raise ValueError(f"laws must have fields of one shape (n,), n > 0; got {sorted(sizes)}")
    for name, value in (("start_loss", start_loss), ("target_loss", target_loss)):
        if jnp.ndim(value):
            raise ValueError(f"{name} must be a scalar; got shape {jnp.shape(value)}")
    return _schedule(laws, start_loss, target_loss)


@jax.jit
def _schedule(laws, start, target):
    answer = jnp.all(laws.is_valid()) & (start > target) & is_finite(start)
    answer &= jnp.min(laws.c) < target
    laws, start, target = _made_safe(answer, laws, start, target)
    edges = jnp.sort(jnp.concatenate([_switches(laws, start, target), start[None], target[None]]))
    edges = edges[::-1]
    high, low = edges[:-1], edges[1:]
    prices = _log_price(jax.tree.map(lambda x: x[None], laws), (high + low)[:, None] / 2)
    shapes = _filled(jnp.argmin(prices, axis=1), high > low)
    changes = (shapes[1:] != shapes[:-1]).astype(int)
    segments = jnp.concatenate([jnp.zeros(1, int), jnp.cumsum(changes)])
    chosen = jax.tree.map(lambda x: x[shapes], laws)
    flops = _flops_between(chosen, high, low)
    alone = _flops_between(laws, start, target)
    total, best = flops.sum(), jnp.argmin(alone)

    def masked(x, otherwise=jnp.nan):
        return jnp.where(answer, x, otherwise)

    size = 2 * len(laws.a) - 1
    used = answer & (jnp.arange(size) <= segments[-1])
    first = jnp.searchsorted(segments, jnp.arange(size)).clip(0, len(segments) - 1)
    by_segment = jnp.zeros(size, flops.dtype).at[segments].add(flops, mode="drop")
    return Schedule(
        shapes=jnp.where(used, shapes[first], -1),
        losses=jnp.where(used, high[first], jnp.nan),
        flops=masked(by_segment),
        total_flops=masked(total),
        best_shape=masked(best, -1),
        best_flops=masked(alone[best]),
        saved=masked(1 - total / alone[best]),
    )


def _made_safe(answer, laws, start, target):
    """The numbers, replaced by safe ones where there is no answer."""
    laws = jax.tree.map(lambda x: jnp.where(answer, x, 1), laws)
    return laws, jnp.where(answer, start, 3), jnp.where(answer, target, 2)


def _log_price(laws: ShapeLaw, loss: Array) -> Array:
    """Log of the FLOPs of a nat at a loss; infinite where a shape does not reach it."""
    above = loss - laws.c
    reached = above > 0
    log_above = jnp.log(jnp.where(reached, above, 1))
    price = (jnp.log(laws.a) - log_above) / laws.b - jnp.log(laws.b) - log_above
    return jnp.where(reached, price, jnp.inf)


def _flops_between(laws: ShapeLaw, high: Array, low: Array) -> Array:
    """FLOPs from one loss to a lower one; infinite where a shape does not reach it."""
    reached = low > laws.c
    above_high, above_low = (jnp.where(reached, x - laws.c, 1) for x in (high, low))
    # A difference of the two ends would cancel in a short segment.
    growth = jnp.expm1((jnp.log(above_high) - jnp.log(above_low)) / laws.b)
    begin = jnp.exp((jnp.log(laws.a) - jnp.log(above_high)) / laws.b)
    return jnp.where(reached, begin * growth, jnp.inf)


def _switches(laws: ShapeLaw, start: Array, target: Array) -> Array:
    """Losses at which a nat costs the same in two shapes; the target where there is none."""
    one, other = np.triu_indices(len(laws.a), 1)
    first, second = (jax.tree.map(lambda x, i=i: x[i][None], laws) for i in (one, other))

    def difference(loss):
        return _log_price(first, loss) - _log_price(second, loss)

    turn = _turn(first, second)
    # Just above the higher floor, below which one of the two shapes cannot go.
    floor = jnp.maximum(first.c, second.c)
    floor += 4 * float(jnp.finfo(floor.dtype).eps) * (floor + target)
    low, high = jnp.minimum(jnp.maximum(floor, target), start), jnp.zeros_like(floor) + start
    middle = jnp.clip(jnp.where(jnp.isnan(turn), low, turn), low, high)
    low, high = lax.stop_gradient((jnp.concatenate([low, middle]), jnp.concatenate([middle, high])))
    crosses = (difference(low) > 0) != (difference(high) > 0)
    root = jnp.where(crosses, _bisected(difference, low, high), start)
    # One step of Newton's method, for its derivatives.
    value, slope = jax.jvp(difference, (root,), (jnp.ones_like(root),))
    good = crosses & is_finite(value) & is_finite(1 / slope)
    moved = root - jnp.where(good, value, 0) / jnp.where(good, slope, 1)
    return jnp.where(crosses, jnp.clip(moved, low, high), target).ravel()


def _turn(first: ShapeLaw, second: ShapeLaw) -> Array:
    """The loss at which the ratio of two prices turns: the slopes of their logarithms agree."""
    steep, other = 1 + 1 / first.b, 1 + 1 / second.b
    apart = other - steep
    differs = apart != 0
    turn = (other * first.c - steep * second.c) / jnp.where(differs, apart, 1)
    return jnp.where(differs, turn, jnp.nan)


def _bisected(difference, low, high):
    begin = difference(low) > 0

    def halve(_, ends):
        low, high = ends
        middle = (low + high) / 2
        same = (difference(middle) > 0) == begin
        return jnp.where(same, middle, low), jnp.where(same, high, middle)

    low, high = lax.fori_loop(0, BISECTIONS, halve, (low, high))
    return lax.stop_gradient((low + high) / 2)


def _filled(shapes: Array, is_long: Array) -> Array:
    """The shapes of intervals; one without length takes that of the interval before it."""
    indices = jnp.arange(len(shapes))
    return shapes[lax.cummax(jnp.where(is_long, indices, 0))]
