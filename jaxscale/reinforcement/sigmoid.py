"""Pass rate as a sigmoid in the logarithm of compute, and the compute at which to stop.

With `y = B ln(C / C_mid)` and s its logistic function, the pass rate is `R0 + (A - R0) s`, and a
further hour earns `v (A - R0) B s (1 - s) / C`. Set equal to the price of an hour that is

    softplus(y) + softplus(-y) + y / B + k = 0,    k = ln(C_mid p / (v (A - R0) B)),

which is convex in y: of two roots the larger is where profit is at a maximum. Profit there is
`v (A - R0) s (1 - B (1 - s))`, so training pays if and only if s is at least 1 - 1 / B.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from jaxscale._numerics import arrays
from jaxscale._numerics.arrays import Real
from jaxscale._numerics.compiled import compiled
from jaxscale._numerics.typed import custom_jvp, fori_loop
from jaxscale._numerics.values import all_positive, exp_where, is_nonnegative, where_safe
from jaxscale.laws.protocol import made_safe, short_repr
from jaxscale.published import Catalog, Entry, find, shipped

# Of Khatri et al. 2025: from where on the curves were fitted, and by how much A varies.
FEWEST_HOURS = 1500.0
A_ERROR = 0.02
POINTS = 100  # percentage points in a pass rate of 1
# Newton's method comes down from the right of a convex function, by at least one in y where it is
# an exponential; only B within 1e-20 of 1 would need more steps.
STEPS = 60


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Stop:
    """Where to stop a training by reinforcement, and what it earns; all fields of one shape.

    Where no training pays, `pays` is false, hours, cost, value and profit are 0, and the pass rate
    is that of the start: do not train.
    """

    hours: Array  # GPU-hours
    pass_rate: Array
    cost: Array
    value: Array  # of the points gained over the start
    profit: Array
    pays: Array  # whether any training does
    in_range: Array  # whether the hours lie where the curve was fitted


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Sigmoid:
    """Pass rate by hours of reinforcement learning, Khatri et al. 2025, arXiv 2510.13786, eq. 1.

    `start` is the pass rate R0 before any training, a share: it belongs to your model and your
    prompts, and the paper does not tabulate it. All coefficients are positive. Fields broadcast
    with each other and with the arguments of the methods. Where a number is bad, or no answer
    exists, the methods return NaN with zero derivatives.

    Examples:
        >>> law = js.reinforcement.published("khatri2025_8b")
        >>> print(f"{law.pass_rate(hours=5000, start=0.3):.3f}")
        0.544
    """

    A: Real  # pass rate of endless training
    B: Real  # steepness
    C_mid: Real  # GPU-hours to half of what can be gained

    equation: ClassVar[str] = "R(C) = R0 + (A - R0) / (1 + (C_mid / C)^B)"

    __repr__ = short_repr

    def pass_rate(self, hours: ArrayLike, start: ArrayLike) -> Array:
        """Pass rate after `hours` GPU-hours; the curve was fitted from `FEWEST_HOURS` on."""
        return _pass_rate(*arrays.enter(law=self, hours=hours, start=start))

    def hours_for(self, pass_rate: ArrayLike, start: ArrayLike) -> Array:
        """GPU-hours to this pass rate; NaN below `start` and from A on.

        Examples:
            >>> law = js.reinforcement.published("khatri2025_8b")
            >>> print(f"{law.hours_for(0.5, start=0.3):.0f}")
            3471
        """
        return _hours_for(*arrays.enter(law=self, pass_rate=pass_rate, start=start))

    def best_stop(self, point_value: ArrayLike, price: ArrayLike, start: ArrayLike) -> Stop:
        """Where a further GPU-hour costs what it earns, if training to there pays at all.

        `price` is that of a GPU-hour, and `point_value` what a percentage point of pass rate is
        worth, in the same money. Hours already spent are no reason to stop earlier or later. The
        profit beyond the inflection has one maximum, which is compared with not training.

        Examples:
            >>> law = js.reinforcement.published("khatri2025_8b")
            >>> stop = law.best_stop(point_value=1000, price=2.0, start=0.3)
            >>> print(f"{stop.hours:.0f} hours to {stop.pass_rate:.3f}, profit ${stop.profit:.0f}")
            5006 hours to 0.544, profit $14355
        """
        named = {"point_value": point_value, "price": price, "start": start}
        return _best_stop(*arrays.enter(law=self, **named))

    def least_point_value(self, price: ArrayLike, start: ArrayLike) -> Array:
        """What a percentage point must be worth for any training to pay.

        With B of at most 1 the first hours earn most, and the answer is 0 (with B of 1, that of
        the first hour).

        Examples:
            >>> law = js.reinforcement.published("khatri2025_8b")
            >>> print(f"${law.least_point_value(price=2.0, start=0.3):.0f}")
            $328
        """
        return _least_point_value(*arrays.enter(law=self, price=price, start=start))

    def is_valid(self) -> Array:
        """Whether all coefficients are positive and finite."""
        return all_positive(self.A, self.B, self.C_mid)


def interval(law: Sigmoid, error: ArrayLike = A_ERROR) -> tuple[Sigmoid, Sigmoid]:
    """The law with A lower and higher by its error, between which answers lie: all rise with A.

    Examples:
        >>> law = js.reinforcement.published("khatri2025_8b")
        >>> low, high = js.reinforcement.interval(law)
        >>> ends = (each.best_stop(1000, 2.0, start=0.3).pass_rate for each in (low, high))
        >>> print(", ".join(f"{end:.3f}" for end in ends))
        0.525, 0.562
    """
    return replace(law, A=law.A - error), replace(law, A=law.A + error)


# --- Published curves ------------------------------------------------------------------------

# Classes by the name that a file of published facts gives as `form`.
FORMS: Mapping[str, Callable[..., Sigmoid]] = {"Sigmoid": Sigmoid}


def catalog() -> Catalog[Entry]:
    """All published curves.

    Examples:
        >>> [entry.name for entry in js.reinforcement.catalog()][:3]
        ['khatri2025_8b', 'khatri2025_8b_32k', 'khatri2025_scout']
    """
    return shipped("reinforcement")


def entry(name: str) -> Entry:
    """The published curve of that name, case aside; its `law` is a `Sigmoid`.

    Raises ValueError for an unknown name, with the nearest one and all names.

    Examples:
        >>> js.reinforcement.entry("khatri2025_scout").law.A
        0.71
    """
    return find("curve", catalog(), name)


def published(name: str) -> Sigmoid:
    """The curve of that name: `entry(name).law`; raises as `entry`.

    Examples:
        >>> js.reinforcement.published("khatri2025_8b")
        Sigmoid(A=0.61, B=1.92, C_mid=2542.0)
    """
    return entry(name).law


# --- The curve and its inverse ---------------------------------------------------------------


def _is_share(x: Array) -> Array:
    return (x >= 0) & (x <= 1)


@compiled
def _pass_rate(law: Sigmoid, hours: Array, start: Array) -> Array:
    law, hours, start = arrays.align(law, hours, start)
    answer = law.is_valid() & is_nonnegative(hours) & _is_share(start)
    trained = answer & (hours > 0)
    law, hours, start = made_safe((law, hours, start), trained)
    gained = (law.A - start) * jax.nn.sigmoid(law.B * (jnp.log(hours) - jnp.log(law.C_mid)))
    return jnp.where(answer, start + jnp.where(trained, gained, 0), jnp.nan)


@compiled
def _hours_for(law: Sigmoid, pass_rate: Array, start: Array) -> Array:
    law, pass_rate, start = arrays.align(law, pass_rate, start)
    known = law.is_valid() & _is_share(start) & (pass_rate >= start) & (pass_rate < law.A)
    trained = known & (pass_rate > start)
    gained, left = (where_safe(trained, x) for x in (pass_rate - start, law.A - pass_rate))
    law = made_safe(law, trained)
    logit = jnp.log(gained) - jnp.log(left)
    hours = exp_where(trained, jnp.log(law.C_mid) + logit / law.B)
    return jnp.where(known & ~trained, 0, hours)


# --- The best stop ---------------------------------------------------------------------------


@compiled
def _best_stop(law: Sigmoid, point_value: Array, price: Array, start: Array) -> Stop:
    law, point_value, price, start = arrays.align(law, point_value, price, start)
    good = law.is_valid() & all_positive(point_value, price) & _is_share(start)
    gains = good & (start < law.A)
    law, point_value, price, gain = made_safe((law, point_value, price, law.A - start), gains)
    log_worth = jnp.log(POINTS * point_value) + jnp.log(gain)
    log_mid, log_price = jnp.log(law.C_mid), jnp.log(price)
    k = log_mid + log_price - log_worth - jnp.log(law.B)
    pays = gains & _pays(k, law.B)
    k, B = jnp.where(pays, k, -1), where_safe(pays, law.B)
    y = _root(k, B)
    share, rest = jax.nn.sigmoid(y), jax.nn.sigmoid(-y)
    hours = exp_where(pays, log_mid + y / B)
    worth = jnp.exp(where_safe(pays, log_worth))
    value = worth * share

    def told(x: Array, otherwise: Array | float = 0.0) -> Array:
        return jnp.where(pays, x, jnp.where(good, otherwise, jnp.nan))

    return Stop(
        hours=told(hours),
        pass_rate=told(start + gain * share, start),
        cost=told(price * where_safe(pays, hours)),
        value=told(value),
        # Not the difference of the two, of which little may be left.
        profit=told(value * (1 - B * rest)),
        pays=pays,
        in_range=jnp.where(pays, hours >= FEWEST_HOURS, good),
    )


def _excess(y: Array, k: Array, B: Array) -> Array:
    """By how much the logarithm of an hour's price is above that of what it earns."""
    return jax.nn.softplus(y) + jax.nn.softplus(-y) + y / B + k


def _pays(k: Array, B: Array) -> Array:
    """Whether the larger root exists, and profit there is not below 0."""
    steep = B > 1
    # There profit is 0 where it has its maximum.
    edge = jnp.log(jnp.where(steep, B - 1, 1))
    return jnp.where(steep, _excess(edge, k, B) <= 0, (B < 1) | (k < 0))


@custom_jvp()
def _root(k: Array, B: Array) -> Array:
    """The larger root of `_excess`, where there is one, from a bound above it."""
    # softplus(y) + softplus(-y) is more than |y|.
    slope = jnp.where(k <= 0, 1 / B + 1, jnp.where(B < 1, 1 / B - 1, 1))
    bound = -k / slope

    def step(_: Array, y: Array) -> Array:
        return y - _excess(y, k, B) / (jnp.tanh(y / 2) + 1 / B)

    return fori_loop(STEPS, step, bound)


def _root_jvp(primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple[Array, Array]:
    k, B = primals
    y = _root(k, B)
    k_dot, B_dot = tangents
    return y, -(k_dot - y / (B * B) * B_dot) / (jnp.tanh(y / 2) + 1 / B)


_root.defjvp(_root_jvp)


@compiled
def _least_point_value(law: Sigmoid, price: Array, start: Array) -> Array:
    law, price, start = arrays.align(law, price, start)
    good = law.is_valid() & all_positive(price, law.A - start) & _is_share(start)
    law, price, gain = made_safe((law, price, law.A - start), good)
    steep = law.B > 1
    # `_excess` is 0 at the edge of `_pays`.
    B, logs = where_safe(steep, law.B), jnp.where(steep, law.B - 1, 1)
    factor = jnp.exp(jnp.log(logs) * (1 / B - 1) + jnp.log(B))
    factor = jnp.where(steep, factor, jnp.where(law.B < 1, 0.0, 1.0))
    value = price * law.C_mid / (POINTS * gain) * factor
    return jnp.where(good, value, jnp.nan)
