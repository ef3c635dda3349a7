"""Energy and carbon: the power of a device at the meter, kWh of a plan, and tonnes of CO2.

Three numbers are easily mistaken for each other: the TDP of a device, the power of its share of a
server (half as much again, or twice as much), and the average that a training draws of that (three
quarters). Power usage effectiveness, which adds cooling, is counted once: in `kilowatts`.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from jaxscale._numerics import arrays
from jaxscale._numerics.typed import jit
from jaxscale._numerics.values import all_positive, is_finite, is_nonnegative, where_safe
from jaxscale.costs import chosen_price
from jaxscale.economics.facts import fact_of, machine_facts
from jaxscale.hardware import SECONDS_PER_HOUR, Accelerator
from jaxscale.laws.protocol import TRAIN_FLOPS
from jaxscale.plan import Plan

# A plan below this share of the peak was priced in something else than dollars, such as FLOPs.
LEAST_MFU = 1e-6


class Energy(NamedTuple):
    """Energy of plans by phase, in kWh at the meter; all fields have the full shape.

    NaN with zero derivatives where the plan is not ok, where a number of the phase is bad, and
    where the plan was not priced in dollars: its training would run at a millionth of the peak.
    """

    train_kwh: Array
    prefill_kwh: Array
    decode_kwh: Array

    @property
    def inference_kwh(self) -> Array:
        """Of prefill and decode together."""
        return self.prefill_kwh + self.decode_kwh

    @property
    def total_kwh(self) -> Array:
        """Of training and inference together."""
        return self.train_kwh + self.inference_kwh

    def tonnes(self, kg_per_kwh: ArrayLike) -> Array:
        """Tonnes of CO2 in all, at the carbon intensity of the electricity; as `carbon`."""
        return carbon(self.total_kwh, kg_per_kwh)


def kilowatts(
    device: Accelerator | ArrayLike,
    *,
    server_power: ArrayLike | None = None,
    average_power: ArrayLike | None = None,
    pue: ArrayLike | None = None,
) -> Array:
    """Average power of a device in kW, with its share of the server and of the data centre.

    `TDP x server_power x average_power x pue / 1000`. Factors that are not given are published
    ones, by device. NaN with zero derivatives where a number is not positive or `pue` is below 1.

    Args:
        device: an accelerator whose `watts` are known, or TDP in watts.
        server_power: power of a server over that of its accelerators, both at TDP: 1.8 or less.
        average_power: average power over that at TDP, 0.75 for GPUs. Pass 1 for power at TDP.
        pue: power of the data centre over that of its servers: 1.1, that of hyperscalers, by
            default. Pass 1 where another factor has it.

    Raises:
        ValueError: no source gives the power of the accelerator, or shapes do not broadcast.
        TypeError: an argument is of the wrong type.

    Source: epoch-research/training-cost-trends, code of Cottier et al. 2024, arXiv 2405.21015.

    Examples:
        >>> h100 = js.accelerator("H100-SXM")
        >>> print(f"{js.economics.kilowatts(h100):.2f} kW for a device of {h100.watts:.0f} W")
        1.05 kW for a device of 700 W
        >>> at_peak = js.economics.kilowatts(h100, average_power=1)
        >>> print(f"{1e3 * at_peak / 1850:.2f} J per token at 1850 tokens/s a device")
        0.76 J per token at 1850 tokens/s a device
    """
    factors = {
        "server_power": fact_of("server_power", device) if server_power is None else server_power,
        "average_power": (
            fact_of("average_power", device) if average_power is None else average_power
        ),
        "pue": machine_facts("pue").values["hyperscalers"] if pue is None else pue,
    }
    return _kilowatts(*arrays.enter(watts=_watts(device), **factors))


def energy(
    plan: Plan,
    train: Accelerator,
    serve: Accelerator,
    *,
    train_kilowatts: ArrayLike | None = None,
    serve_kilowatts: ArrayLike | None = None,
    goodput: ArrayLike = 1.0,
) -> Energy:
    """Energy to train and serve a plan that was priced in dollars on `train` and `serve`.

    A plan's dollars over the price of an hour are its device-hours, so utilisation, precision and
    demand are those of its costs: `js.Costs.on` with the same two accelerators, or
    `js.Costs.served` with one device that serves, whose idle hours draw as much as others.

    Args:
        plan: a plan whose costs are dollars on these accelerators.
        train: the accelerator that trains, with the price that the plan was counted with.
        serve: the accelerator that serves, likewise.
        train_kilowatts: power of a training device; that of `js.economics.kilowatts` by default.
        serve_kilowatts: power of a serving device, likewise.
        goodput: share of the training time that is useful work, where the price carries what is
            lost, as that of `rental` or `spot` does: lost time takes energy too.

    Raises:
        ValueError: an accelerator has no price, no source gives its power, or shapes do not
            broadcast.
        TypeError: an argument is of the wrong type.

    Examples:
        >>> law, demand = js.laws.published("sardana2024"), js.Demand(1e12, 2e11)
        >>> h100 = js.accelerator("H100-SXM", price=2.00)
        >>> plan = js.minimize_cost(law, 2.0, demand, js.Costs.on(train=h100, serve=h100))
        >>> energy = js.economics.energy(plan, h100, h100)
        >>> print(f"{energy.train_kwh:.3g} kWh to train, {energy.inference_kwh:.3g} to serve")
        9.61e+04 kWh to train, 9.78e+04 to serve
        >>> print(f"{energy.tonnes(0.4):.0f} t of CO2 at 0.4 kg/kWh")
        78 t of CO2 at 0.4 kg/kWh
    """
    if not isinstance(plan, Plan):
        raise TypeError(f"plan must be a jaxscale Plan; got {plan!r} ({type(plan).__name__})")
    roles = {"train": (train, train_kilowatts), "serve": (serve, serve_kilowatts)}
    numbers: dict[str, Any] = {}
    for role, (device, power) in roles.items():
        numbers[f"{role}_price"] = chosen_price(role, device)
        numbers[f"{role}_kilowatts"] = kilowatts(device) if power is None else power
    costs = {name: getattr(plan, name) for name in ("train_cost", "prefill_cost", "decode_cost")}
    sizes = {"params": plan.params, "tokens": plan.tokens, "peak": _a_peak(train)}
    return _energy(*arrays.enter(**costs, **sizes, **numbers, goodput=goodput))


def carbon(kwh: ArrayLike, kg_per_kwh: ArrayLike) -> Array:
    """Tonnes of CO2 of an energy, at the carbon intensity of its electricity.

    The intensity of a grid gives location-based emissions; contracts for clean power make the
    market-based ones lower, down to 0. NaN with zero derivatives where a number is negative or not
    finite.

    Examples:
        >>> print(f"{js.economics.carbon(1.287e6, 0.429):.0f} t")  # of GPT-3
        552 t
    """
    return _carbon(*arrays.enter(kwh=kwh, kg_per_kwh=kg_per_kwh))


@jit
def _kilowatts(watts, *factors):
    watts, *factors = arrays.align(watts, *factors)
    good = all_positive(watts, *factors) & (factors[-1] >= 1)
    product = where_safe(good, watts) / 1000
    for factor in factors:
        product = product * where_safe(good, factor)
    return jnp.where(good & is_finite(product), product, jnp.nan)


@jit
def _energy(train_cost, prefill_cost, decode_cost, params, tokens, peak, *numbers):
    costs, sizes, numbers = arrays.align(
        [train_cost, prefill_cost, decode_cost], (params, tokens, peak), numbers
    )
    params, tokens, peak = sizes
    train_price, train_kilowatts, serve_price, serve_kilowatts, goodput = numbers
    seconds = costs[0] / train_price * SECONDS_PER_HOUR
    good = TRAIN_FLOPS * params * (tokens / peak) > LEAST_MFU * seconds
    shares = good & all_positive(train_price, goodput) & (goodput <= 1)
    train = _kwh(shares, costs[0], train_kilowatts, train_price * goodput)
    return Energy(train, *(_kwh(good, x, serve_kilowatts, serve_price) for x in costs[1:]))


def _kwh(good: Array, cost: Array, kilowatts: Array, price: Array) -> Array:
    """Power times the hours that a cost buys, NaN with zero derivatives where not good."""
    good &= is_nonnegative(cost) & all_positive(kilowatts, price, kilowatts / price)
    good &= is_finite(cost * (kilowatts / price))
    cost, kilowatts, price = (where_safe(good, x) for x in (cost, kilowatts, price))
    return jnp.where(good, cost * (kilowatts / price), jnp.nan)


@jit
def _carbon(kwh, kg_per_kwh):
    kwh, kg_per_kwh = arrays.align(kwh, kg_per_kwh)
    good = is_nonnegative(kwh) & is_nonnegative(kg_per_kwh) & is_finite(kwh * kg_per_kwh)
    tonnes = where_safe(good, kwh) * where_safe(good, kg_per_kwh) / 1000
    return jnp.where(good, tonnes, jnp.nan)


def _a_peak(device: Accelerator) -> ArrayLike:
    """FLOP/s at one of its precisions, whichever comes first."""
    return next(iter(device.peak_flops.values()))


def _watts(device: Accelerator | ArrayLike) -> ArrayLike:
    if not isinstance(device, Accelerator):
        return device
    if device.watts is None:
        raise ValueError(
            f"no source gives the power of {device.name}: pass "
            f"accelerator({device.name!r}, watts=...), its TDP"
        )
    return device.watts
