"""The learning rates at which a law over steps expects the least final loss."""

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array, lax

from jaxscale.trajectories.falls import LEAST_RATE
from jaxscale.trajectories.momentum import Momentum
from jaxscale.trajectories.multi_power import MultiPower
from jaxscale.trajectories.schedules import Schedule

KNOTS = 200  # half of them even, half ever closer to the end
MEMORY, MOST_ITERATIONS = 30, 2000
GRADIENT = 1e-8  # nats, where the search ends
LEAST_FALL = 1e-4  # of a logarithm, at the start: one of 0 has no derivative
STARTS = (1.0, 4.0)  # powers of the share of steps: an even fall, and a late one
NEIGHBOURS = (-0.05, 0.05)  # changes of the logarithm of one knot and all later ones
MOST_SEARCHES = 20
TOLERANCE = 1e-6  # nats that no neighbour may gain


def optimal_schedule(
    law: Any, steps: int, peak: float, least: float = 0.0, *, warmup: int = 0
) -> Schedule:
    """The schedule of least final loss by a law, of those that never rise after the warm-up.

    Rates fall from `peak` towards `least`, linearly between some 200 knots. It is a local optimum,
    the better of two starts: neither another rate at a knot nor all later rates a twentieth higher
    or lower gain 1e-6 nats. A law is only as good there as the curves behind it: such
    schedules end at rates far below those that curves mostly have.

    Args:
        law: a `Momentum` or `MultiPower` with a number for each coefficient.
        steps: of the training.
        peak: the largest rate, with which the warm-up ends.
        least: a rate that none is below after the warm-up.
        warmup: steps of the warm-up.

    Raises:
        TypeError: the law is neither; by laws that read no fall of the rate a constant is best.
        ValueError: the numbers make no schedule, or no optimum is found.

    Examples:
        >>> law = js.trajectories.published("luo2025_400m")
        >>> best = js.trajectories.optimal_schedule(law, 1200, 3e-4, warmup=100)
        >>> cosine = js.trajectories.Schedule.cosine(1200, 3e-4, 3e-5, warmup=100)
        >>> print(law.loss(best, 1200) < law.loss(cosine, 1200))
        True
    """
    if type(law) not in FINAL_LOSS:
        known = " or ".join(each.__name__ for each in FINAL_LOSS)
        raise TypeError(f"law must be a {known}, which read the falls of a rate; got {law!r}")
    plain = Schedule.cosine(steps, peak, least, warmup=warmup)  # checks the numbers
    if not (least < peak and warmup < steps):
        raise ValueError(
            f"least must be below the peak, {peak:g}, and warmup below the {steps:,} steps; "
            f"got {least:g} and {warmup}"
        )
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):  # of optax's L-BFGS
        if any(jnp.ndim(x) for x in jax.tree.leaves(law)) or not law.is_valid():
            raise ValueError(f"law must have one positive number for each coefficient; got {law!r}")
        law = jax.tree.map(lambda x: jnp.asarray(x, jnp.float64), law)
        knots = _knots(warmup, steps)
        family = _Family(jnp.asarray(plain.rates[:warmup]), knots, float(peak), float(least), steps)
        return Schedule(np.asarray(family.rates(_least_falls(law, family))))


class _Family(NamedTuple):
    """Schedules by how much the logarithm of the rate above `least` falls up to each knot."""

    warmup: Array
    knots: np.ndarray
    peak: float
    least: float
    steps: int

    def rates(self, falls: Array) -> Array:
        at_knots = self.least + (self.peak - self.least) * jnp.exp(-jnp.cumsum(falls))
        every = jnp.arange(len(self.warmup), self.steps + 1, dtype=jnp.float64)
        return jnp.concatenate([self.warmup, jnp.interp(every, self.knots, at_knots)])

    @property
    def share(self) -> np.ndarray:
        """Share of the steps that has passed at each knot."""
        return (self.knots - self.knots[0]) / (self.knots[-1] - self.knots[0])


def _knots(first: int, last: int) -> np.ndarray:
    even = np.linspace(first, last, KNOTS // 2)
    late = last - np.geomspace(1, last - first, KNOTS // 2)
    return np.unique(np.concatenate([even, late]).round())


def _least_falls(law: Any, family: _Family) -> Array:
    """The falls of least final loss, searched anew for as long as a neighbour is better."""

    def final(falls: Array) -> Array:
        return FINAL_LOSS[type(law)](law, family.rates(falls))

    # Falls are squares, so that none is negative, and those at the end, where few steps feel them,
    # are in units of their own, without which the search takes ten times as long.
    share = family.share
    units = jnp.asarray(1 / np.sqrt(1 - share + 1 / KNOTS))

    @jax.jit
    def search(falls: Array) -> Array:
        roots = jnp.sqrt(jnp.maximum(falls, LEAST_FALL)) / units
        return (units * _minimized(lambda x: final((units * x) ** 2), roots)) ** 2

    @jax.jit
    def neighbour(falls: Array) -> tuple[Array, Array]:
        others = _neighbours(falls)
        losses = lax.map(final, others)
        best = jnp.argmin(losses)
        return others[best], final(falls) - losses[best]

    starts = [np.diff(-np.log(1 - 0.99 * share**power), prepend=0.0) for power in STARTS]
    ends: list[Array] = [search(jnp.asarray(start)) for start in starts]
    falls = min(ends, key=final)
    other, gain = neighbour(falls)
    for _ in range(MOST_SEARCHES):
        if gain <= TOLERANCE:
            return falls
        falls = min((other, search(other)), key=final)
        other, gain = neighbour(falls)
    raise ValueError(
        f"no optimal schedule was found: a neighbour is still better by {float(gain):.1e} nats; "
        "check the law's coefficients and the peak"
    )


def _neighbours(falls: Array) -> Array:
    """Other rates at one knot, and at one and all later ones."""
    later = jnp.eye(len(falls))
    alone = later - jnp.eye(len(falls), k=1)
    return jnp.concatenate(
        [
            jnp.maximum(falls[None] + change * x, 0.0)
            for change in NEIGHBOURS
            for x in (later, alone)
        ]
    )


def _minimized(loss: Callable[[Array], Array], start: Array) -> Array:
    method = optax.lbfgs(memory_size=MEMORY)
    slope_at = optax.value_and_grad_from_state(loss)

    def step(carry: Any) -> Any:
        at, state, count, _ = carry
        value, slope = cast(tuple[Array, Array], slope_at(at, state=state))
        change, state = method.update(slope, state, at, value=value, grad=slope, value_fn=loss)
        return optax.apply_updates(at, change), state, count + 1, jnp.abs(slope).max()

    def goes_on(carry: Any) -> Array:
        _, _, count, slope = carry
        return (count < MOST_ITERATIONS) & (slope > GRADIENT)

    return lax.while_loop(goes_on, step, (start, method.init(start), 0, jnp.inf))[0]


# --- Final losses, as the laws say, of rates that are traced -----------------------------------


def _momentum(law: Any, rates: Array) -> Array:
    falls = rates[:-1] - rates[1:]
    ahead = jnp.arange(len(falls), 0, -1, dtype=falls.dtype)  # steps that feel a fall
    felt = -jnp.expm1(ahead * jnp.log(law.decay)) / (1 - law.decay)
    return law.loss_from_logs(None, None, jnp.sum(rates[1:]), jnp.sum(falls * felt))


def _multi_power(law: Any, rates: Array) -> Array:
    falls, logs = rates[:-1] - rates[1:], jnp.log(jnp.maximum(rates[1:], LEAST_RATE))
    since = jnp.cumsum(rates[:0:-1])[::-1]
    # Not `loss_from_logs`, which has no derivatives by the rates.
    width = jax.nn.softplus(jnp.log(law.C) - law.gamma * logs + jnp.log(since))
    gained = jnp.sum(-falls * jnp.expm1(-law.beta * width))
    return law.L0 + law.A * since[0] ** -law.alpha - law.B * gained


FINAL_LOSS: dict[type, Callable[[Any, Array], Array]] = {
    Momentum: _momentum,
    MultiPower: _multi_power,
}
