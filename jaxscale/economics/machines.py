"""The price of a device-hour, whether a machine is rented, rented as spot, or owned.

`rental` and `spot` return dollars per hour of useful work of one device, the number that
`js.accelerator(name, price=...)` and so `js.Costs.on` take. `owned` returns dollars per hour on the
clock, useful or not: pass it to `rental`, with the goodput. What is lost to failures is in that
price, and must then not be in the MFU too; `js.training_time` takes it as `goodput`, because a
price has no days.
"""

import math
from typing import NamedTuple

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from jaxscale._numerics import arrays
from jaxscale._numerics.typed import jit
from jaxscale._numerics.values import (
    all_positive,
    exp_where,
    is_finite,
    is_nonnegative,
    where_safe,
)
from jaxscale.economics.facts import OTHERS, machine_facts
from jaxscale.economics.failures import best_log_slowdown, in_failure_times
from jaxscale.hardware import SECONDS_PER_HOUR

HOURS_PER_YEAR = 365.25 * 24
# Price-performance of machine-learning hardware grows by 0.14 orders of magnitude a year: Cottier
# et al. 2024, arXiv 2405.21015; a continuous rate.
PRICE_PERFORMANCE_GROWTH = 0.14 * math.log(10)
INTERCONNECT = 0.19  # of the price of a cluster, the same source


class Spot(NamedTuple):
    """A spot machine: its effective price, and how its checkpoints are set; all of full shape.

    All are NaN with zero derivatives where an argument is bad, and the price and the goodput also
    where preemptions leave so little useful work that they are beyond the range of their dtype.
    """

    price: Array  # dollars per hour of useful work of a device
    goodput: Array  # share of the time that is useful work
    interval: Array  # seconds of work between checkpoints


def rental(price: ArrayLike, goodput: ArrayLike = 1.0, *, discount: ArrayLike = 0.0) -> Array:
    """Dollars per hour of useful work on a rented device: `price (1 - discount) / goodput`.

    NaN with zero derivatives where the price is not positive, `goodput` is not in (0, 1] or
    `discount` not in [0, 1).

    Args:
        price: dollars per device-hour, as rented or as it costs to own.
        goodput: share of the time that is useful work, such as `js.economics.goodput(...)`.
        discount: share off the price for committed use; `js.economics.machine_facts` has some.

    Examples:
        >>> share = js.economics.goodput(16384, js.economics.LLAMA_3_FAILURE_SECONDS, 60, 600)
        >>> price = js.economics.rental(2.00, share)
        >>> print(f"${price:.2f} an hour of useful work")
        $2.35 an hour of useful work
        >>> h100 = js.accelerator("H100-SXM", price=price)
        >>> costs = js.Costs.on(train=h100, serve=js.accelerator("H100-SXM", price=2.00))
    """
    return _rental(*arrays.enter(price=price, goodput=goodput, discount=discount))


def spot(
    price: ArrayLike,
    preemptions_per_hour: ArrayLike,
    checkpoint_seconds: ArrayLike,
    restart_seconds: ArrayLike = 0.0,
    *,
    instances: ArrayLike = 1,
) -> Spot:
    """Spot machines, which may be taken away at any time: their price for an hour of useful work.

    The price over the goodput, with checkpoints at the best interval, as `checkpoint_interval` has
    it with failures once in `1 / (preemptions_per_hour x instances)` hours. Spot pays where
    `spot(...).price` is below the `rental(...)` of the same device on demand.

    Args:
        price: dollars per device-hour on the spot market.
        preemptions_per_hour: of one instance, however many devices it has.
        checkpoint_seconds: time that a checkpoint stops the training for.
        restart_seconds: time until training goes on from the last checkpoint, with the wait for
            new instances: the others are paid meanwhile.
        instances: instances of the job, which stops when any of them is taken away.

    Raises:
        TypeError: an argument is not a number.
        ValueError: shapes do not broadcast.

    Examples:
        >>> machine = js.economics.spot(1.00, 0.05, 120, 600, instances=np.array([1, 8, 64]))
        >>> print(", ".join(f"${price:.2f}" for price in machine.price), "per hour of useful work")
        $1.07, $1.26, $2.81 per hour of useful work
        >>> print(machine.price < js.economics.rental(2.00))
        [ True  True False]
    """
    return _spot(
        *arrays.enter(
            price=price,
            preemptions_per_hour=preemptions_per_hour,
            instances=instances,
            hour=SECONDS_PER_HOUR,
            checkpoint_seconds=checkpoint_seconds,
            restart_seconds=restart_seconds,
        )
    )


def owned(
    purchase: ArrayLike,
    kilowatts: ArrayLike,
    energy_price: ArrayLike,
    *,
    server_overhead: ArrayLike | None = None,
    interconnect: ArrayLike = INTERCONNECT,
    decline: ArrayLike = PRICE_PERFORMANCE_GROWTH,
) -> Array:
    """Dollars per hour on the clock of an owned device: its loss of value, and its energy.

    `purchase x server_overhead x decline / 8766 / (1 - interconnect) + kilowatts x energy_price`.
    Hardware is worth as much as new hardware of the same performance, so its price falls by
    `decline` a year while that of performance does; a device that is written off in equal parts
    over some years has a `decline` of 1 over the years. Pass the result to `rental` to count
    failures. Staff, buildings and the cost of capital are not counted.

    NaN with zero derivatives where `purchase`, `server_overhead` or `decline` is not positive,
    power or its price is negative, or `interconnect` is not in [0, 1).

    Args:
        purchase: dollars for one device.
        kilowatts: average power of a device with its server and cooling, from
            `js.economics.kilowatts`.
        energy_price: dollars per kWh; `js.economics.machine_facts("energy_price")` has some.
        server_overhead: price of a server over that of its accelerators: 1.64 by default;
            `js.economics.machine_facts("server_overhead")` has it by device.
        interconnect: share of the price of a cluster that joins its servers.
        decline: continuous rate per year at which the device loses value: 0.32 by default, as
            price-performance grows.

    Source: Cottier et al. 2024, arXiv 2405.21015, and epoch-research/training-cost-trends.

    Examples:
        >>> power = js.economics.kilowatts(js.accelerator("H100-SXM"))
        >>> price = js.economics.owned(30_000, power, energy_price=0.0771)
        >>> print(f"${price:.2f} an hour")
        $2.31 an hour
    """
    if server_overhead is None:
        server_overhead = machine_facts("server_overhead").values[OTHERS]
    return _owned(
        *arrays.enter(
            purchase=purchase,
            kilowatts=kilowatts,
            energy_price=energy_price,
            server_overhead=server_overhead,
            interconnect=interconnect,
            decline=decline,
        )
    )


@jit
def _rental(price, goodput, discount):
    price, goodput, discount = arrays.align(price, goodput, discount)
    good = all_positive(price, goodput, price / goodput) & (goodput <= 1) & is_share(discount)
    price, goodput, paid = (where_safe(good, x) for x in (price, goodput, 1 - discount))
    return jnp.where(good, price * paid / goodput, jnp.nan)


@jit
def _spot(price, preemptions, instances, hour, checkpoint, restart):
    price, preemptions, instances, hour, checkpoint, restart = arrays.align(
        price, preemptions, instances, hour, checkpoint, restart
    )
    rate = preemptions * instances
    good, delta, rest = in_failure_times(rate, hour, checkpoint, restart)
    good &= all_positive(price, preemptions, instances)
    lost = best_log_slowdown(delta)
    log_price = jnp.log(where_safe(good, price)) + (lost + rest)
    interval = hour / where_safe(good, rate) * -jnp.expm1(-lost)
    return Spot(
        exp_where(good, log_price),
        exp_where(good, -lost - rest),
        jnp.where(good, interval, jnp.nan),
    )


@jit
def _owned(purchase, kilowatts, energy_price, overhead, interconnect, decline):
    numbers = arrays.align(purchase, kilowatts, energy_price, overhead, interconnect, decline)
    purchase, kilowatts, energy_price, overhead, interconnect, decline = numbers
    good = all_positive(purchase, overhead, decline) & is_share(interconnect)
    good &= is_nonnegative(kilowatts) & is_nonnegative(energy_price)
    hardware = purchase * overhead * decline / HOURS_PER_YEAR
    good &= is_finite(hardware / (1 - interconnect) + kilowatts * energy_price)
    purchase, kilowatts, energy_price, overhead, rest, decline = (
        where_safe(good, x)
        for x in (purchase, kilowatts, energy_price, overhead, 1 - interconnect, decline)
    )
    hardware = purchase * overhead * decline / HOURS_PER_YEAR
    return jnp.where(good, hardware / rest + kilowatts * energy_price, jnp.nan)


def is_share(x: Array) -> Array:
    """Whether x is at least 0 and below 1; no for NaN."""
    return (x >= 0) & (x < 1)
