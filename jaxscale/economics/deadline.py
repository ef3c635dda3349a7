# pyright: reportUnknownMemberType=false
"""The price of a deadline: training sooner takes more devices, a larger batch and more FLOPs.

Each device needs a share of a step's batch, so devices and batch grow together, and a batch beyond
the critical one takes more tokens (`training.data_parallel`). With z the batch over the critical
one, dollars are `c0 (1 + z)` and seconds `t_min (1 + 1 / z)`: c0 is the cost of a batch far below
the critical one, and t_min the least time, of a batch far above it.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from jaxscale import _display
from jaxscale._numerics import arrays
from jaxscale._numerics.quantities import dollars as in_dollars
from jaxscale._numerics.typed import jit
from jaxscale._numerics.values import (
    all_positive,
    exp_or_nan,
    exp_where,
    has_normal_exp,
    is_positive,
    where_safe,
)
from jaxscale.costs import DEFAULT_PRECISION, chosen_price
from jaxscale.hardware import SECONDS_PER_DAY, SECONDS_PER_HOUR, Accelerator
from jaxscale.published.entry import Sized
from jaxscale.status import Status, first_status, is_ok
from jaxscale.training.data_parallel import (
    DataParallelTraining,
    data_parallel_devices,
    data_parallel_time,
)

if TYPE_CHECKING:
    from pandas import DataFrame

LOG_HOUR = math.log(SECONDS_PER_HOUR)


@jax.tree_util.register_dataclass
@dataclass(frozen=True, repr=False)
class PricedTraining:
    """Time, devices and cost of trainings. Every field has the full shape of all scenarios.

    The plan's tokens are taken to be those of the critical batch, twice the fewest. So dollars are
    `relative_compute / 2` times the plan's own `train_cost`, if that was counted with the same
    price, and go down to half of it, with ever fewer devices.

    Where `ok` is False all numbers are NaN, and their derivatives are zero; but INFEASIBLE_BOUNDS
    comes with the least time, which a deadline must exceed.

    Examples:
        >>> device = js.accelerator("H100-SXM", price=2.0)
        >>> batches = {"critical_batch": 8e6, "tokens_per_device": 2475.0}
        >>> priced = js.economics.deadlines(6e24, device, 60 * 86400.0, mfu=0.4, **batches)
        >>> print(f"{priced.days:.0f} days, {priced.devices:.0f} devices")
        60 days, 2672 devices
    """

    seconds: Array
    devices: Array  # not rounded
    batch_tokens: Array
    dollars: Array  # of the devices for those seconds
    relative_compute: Array  # tokens, and so FLOPs, over the fewest: 2 for the plan's own tokens
    least_seconds: Array  # that more and more devices approach
    status: Array  # int8, a member of Status

    @property
    def days(self) -> Array:
        """The time in days."""
        return self.seconds / SECONDS_PER_DAY

    @property
    def ok(self) -> Array:
        """Whether the scenario has numbers: boolean, of the full shape."""
        return is_ok(self.status)

    def __repr__(self) -> str:
        return _display.scenarios(self, self._columns, _WRITERS)

    def _repr_html_(self) -> str | None:
        return _display.scenarios_html(self, self._columns, _WRITERS)

    def to_dataframe(self) -> "DataFrame":
        """A row for each scenario, in C order.

        Examples:
            >>> device = js.accelerator("H100-SXM", price=2.0)
            >>> batches = {"critical_batch": 8e6, "tokens_per_device": 2475.0}
            >>> days = np.array([30, 90]) * 86400.0
            >>> priced = js.economics.deadlines(6e24, device, seconds=days, mfu=0.4, **batches)
            >>> priced.to_dataframe()["status"].tolist()
            ['OK', 'OK']
        """
        columns = {name: np.ravel(x) for name, x in vars(self).items()}
        names = [Status(code).name for code in columns["status"].tolist()]
        return _display.dataframe({**columns, "status": np.array(names)})

    def plot(self) -> Any:
        """The figure of cost against time, `js.plots.deadlines`."""
        return _display.figure("deadlines", self)

    def _columns(self) -> dict[str, Any]:
        names = ("days", "devices", "batch_tokens", "dollars", "relative_compute", "status")
        return {name: getattr(self, name) for name in names}


_WRITERS: dict[str, Callable[[Any], str]] = {
    "dollars": lambda x: "nan" if math.isnan(x) else in_dollars(x),
    "status": lambda x: Status(int(x)).name,
}


def deadlines(
    plan: Sized | ArrayLike,
    accelerator: Accelerator,
    seconds: ArrayLike,
    mfu: ArrayLike,
    *,
    critical_batch: ArrayLike,
    tokens_per_device: ArrayLike,
    precision: str = DEFAULT_PRECISION,
    goodput: ArrayLike = 1.0,
) -> PricedTraining:
    """What training a plan costs for each deadline, with the devices and the batch that it takes.

    Arguments are those of `js.training.data_parallel_devices`, and broadcast; the accelerator has
    its price, in dollars per device-hour. A deadline that is not above the least time has the
    status INFEASIBLE_BOUNDS, a bad value INVALID_INPUT; a plan that is not ok keeps its status.

    Args:
        plan: a plan, or anything with `params` and `tokens`; or training FLOPs.
        accelerator: one device with a price, such as `js.accelerator("H100-SXM", price=2.0)`.
        seconds: the deadlines.
        mfu: model FLOPs utilisation.
        critical_batch: in tokens, at which training takes twice the fewest steps and tokens. The
            plan's tokens are taken to be those of this batch, so a training with a far smaller one
            costs half of the plan's `train_cost`.
        tokens_per_device: that each device needs in a step, as `js.training.TOKENS_PER_DEVICE`.
        precision: the precision whose peak counts.
        goodput: the share of the time that is not lost to failures and restarts.

    Raises:
        TypeError: an argument is of the wrong type.
        ValueError: shapes do not broadcast, or the device has no price or lacks the precision.

    Source: McCandlish et al. 2018, arXiv 1812.06162, with a batch that grows with the devices.

    Examples:
        >>> plan = js.evaluate(js.laws.published("sardana2024"), params=70e9, tokens=15e12)
        >>> priced = js.economics.deadlines(
        ...     plan,
        ...     js.accelerator("H100-SXM", price=2.0),
        ...     seconds=np.array([120, 60, 30]) * 86400.0,
        ...     mfu=0.4,
        ...     critical_batch=js.training_recipe(plan, "kaplan2020").batch_tokens,
        ...     tokens_per_device=js.training.TOKENS_PER_DEVICE["H100 across nodes"],
        ... )
        >>> print(np.round(priced.devices), np.round(priced.dollars / 1e3), "thousand dollars")
        [  929.  2351. 10020.] [ 5351.  6771. 14429.] thousand dollars
    """
    price = chosen_price("accelerator", accelerator)
    training = data_parallel_devices(
        plan,
        accelerator,
        seconds,
        mfu,
        critical_batch=critical_batch,
        tokens_per_device=tokens_per_device,
        precision=precision,
        goodput=goodput,
    )
    return _priced(training, price)


def best_devices(
    plan: Sized | ArrayLike,
    accelerator: Accelerator,
    day_value: ArrayLike,
    mfu: ArrayLike,
    *,
    critical_batch: ArrayLike,
    tokens_per_device: ArrayLike,
    precision: str = DEFAULT_PRECISION,
    goodput: ArrayLike = 1.0,
) -> PricedTraining:
    """The training that is best where each day sooner is worth `day_value` dollars.

    It minimises `c0 (1 + z) + w t_min (1 + 1 / z)`, w dollars a second, over z, the batch over the
    critical one. So `z = sqrt(w t_min / c0)`: what is paid above the fewest FLOPs is what the time
    above the least is worth. In devices that is `sqrt(w critical_batch / (p tokens_per_device))`
    at p dollars per device-second, whatever the size of the plan.

    Other arguments, statuses and errors are those of `js.economics.deadlines`.

    Args:
        plan: a plan, or anything with `params` and `tokens`; or training FLOPs.
        accelerator: one device with a price.
        day_value: dollars that the model is worth more when it is there a day sooner.
        mfu: model FLOPs utilisation.
        critical_batch: in tokens, at which training takes twice the fewest steps and tokens: those
            of the plan, as in `js.economics.deadlines`.
        tokens_per_device: that each device needs in a step.
        precision: the precision whose peak counts.
        goodput: the share of the time that is not lost to failures and restarts.

    Raises:
        TypeError: an argument is of the wrong type.
        ValueError: shapes do not broadcast, or the device has no price or lacks the precision.

    Examples:
        >>> plan = js.evaluate(js.laws.published("sardana2024"), params=70e9, tokens=15e12)
        >>> best = js.economics.best_devices(
        ...     plan,
        ...     js.accelerator("H100-SXM", price=2.0),
        ...     day_value=1e6,
        ...     mfu=0.4,
        ...     critical_batch=js.training_recipe(plan, "kaplan2020").batch_tokens,
        ...     tokens_per_device=js.training.TOKENS_PER_DEVICE["H100 across nodes"],
        ... )
        >>> print(f"{best.devices:.0f} devices, {best.days:.0f} days, ${best.dollars / 1e6:.2f}M")
        9607 devices, 30 days, $14.02M
    """
    price = chosen_price("accelerator", accelerator)
    batches = {"critical_batch": critical_batch, "tokens_per_device": tokens_per_device}
    count = _best_count(*arrays.enter(day_value=day_value, price=price, **batches))
    training = data_parallel_time(
        plan, accelerator, count, mfu, **batches, precision=precision, goodput=goodput
    )
    return _priced(training, price)


@jit
def _best_count(day_value: Array, price: Array, critical: Array, each: Array) -> Array:
    day_value, price, critical, each = arrays.align(day_value, price, critical, each)
    good = all_positive(day_value, price, critical, each)
    value, price, critical, each = (
        jnp.log(where_safe(good, x)) for x in (day_value, price, critical, each)
    )
    log_hours = math.log(SECONDS_PER_DAY / SECONDS_PER_HOUR)
    return exp_where(good, (value - log_hours - price + critical - each) / 2)


def _priced(training: DataParallelTraining, price: ArrayLike) -> PricedTraining:
    numbers = {name: x for name, x in training._asdict().items() if name != "status"}
    dollars_per_hour, *entered = arrays.enter(price=price, **numbers)
    return _with_dollars(
        training.status, dollars_per_hour, dict(zip(numbers, entered, strict=True))
    )


@jit
def _with_dollars(status: Array, price: Array, numbers: dict[str, Array]) -> PricedTraining:
    status, price, numbers = arrays.align(status, price, numbers)
    good = is_ok(status) & is_positive(price)
    factors = price, numbers["count"], numbers["seconds"]
    log_price, log_count, log_seconds = (jnp.log(where_safe(good, x)) for x in factors)
    log_dollars = log_price - LOG_HOUR + log_count + log_seconds
    bad = first_status(
        (~is_positive(price), Status.INVALID_INPUT),
        (~has_normal_exp(log_dollars), Status.OUT_OF_RANGE),
    )
    status = jnp.where(is_ok(status), bad, status)
    ok = is_ok(status)
    has_least = ok | (status == int(Status.INFEASIBLE_BOUNDS))
    least = numbers.pop("least_seconds")
    masked = {name: jnp.where(ok, x, jnp.nan) for name, x in numbers.items()}
    return PricedTraining(
        seconds=masked["seconds"],
        devices=masked["count"],
        batch_tokens=masked["batch_tokens"],
        dollars=exp_or_nan(ok, log_dollars),
        relative_compute=masked["relative_compute"],
        least_seconds=jnp.where(has_least, least, jnp.nan),
        status=status,
    )
