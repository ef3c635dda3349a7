"""Demand and costs: the tokens that a model serves, and the price of one model FLOP.

FLOPs are counted as 6 N per training token and 2 N per token read or written (Kaplan et
al. 2020, Section 2.1), so dollars enter the mathematics only as a price per model FLOP.
"""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from jaxscale._numerics import arrays
from jaxscale._numerics.arrays import Real
from jaxscale._numerics.exponential import expm1_over
from jaxscale._numerics.values import is_nonnegative, is_positive, where_safe
from jaxscale.hardware import SECONDS_PER_HOUR, Accelerator

DEFAULT_PRECISION = "bf16"
DEFAULT_MFU = {"train": 0.5, "prefill": 0.5, "decode": 0.01}  # Sardana et al. 2024, Section 6


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Demand:
    """Tokens that the model reads and writes over its whole life; none by default.

    Examples:
        >>> js.Demand(input_tokens=2e12, output_tokens=6e12)
        Demand(input_tokens=2000000000000.0, output_tokens=6000000000000.0)
    """

    input_tokens: Real = 0.0  # read in prefill
    output_tokens: Real = 0.0  # written in decode

    @classmethod
    def from_requests(
        cls, requests: ArrayLike, *, input_tokens: ArrayLike, output_tokens: ArrayLike
    ) -> Self:
        """Demand of `requests` requests, with the tokens that each reads and writes.

        Raises ValueError for a concrete value that is negative or not finite.

        Examples:
            >>> js.Demand.from_requests(1e9, input_tokens=70, output_tokens=215)
            Demand(input_tokens=70000000000.0, output_tokens=215000000000.0)
        """
        _check("requests", requests, at_least=0)
        _check("input_tokens", input_tokens, at_least=0)
        _check("output_tokens", output_tokens, at_least=0)
        requests, input_tokens, output_tokens = _ready(
            requests=requests, input_tokens=input_tokens, output_tokens=output_tokens
        )
        return cls(requests * input_tokens, requests * output_tokens)

    @classmethod
    def growing(
        cls,
        rate: "Demand",
        *,
        years: ArrayLike,
        growth: ArrayLike = 0.0,
        price_decline: ArrayLike = 0.0,
        discount: ArrayLike = 0.0,
        delay: ArrayLike = 0.0,
    ) -> Self:
        """Demand of several years, in tokens that cost as much today as all of them in their time.

        Rates are continuous, per year: one of 10 % a year is `np.log1p(0.10)`, and doubling every
        year is `np.log(2)`. With costs at today's prices, solvers take the demand as any other:
        training is paid today, and each token when it is served, with what compute costs then. All
        arguments broadcast and may be traced; derivatives are exact at a net growth of 0 too.

        Args:
            rate: tokens of a year, at the pace of the first day of service.
            years: how long the model serves.
            growth: of the demand; negative where a model goes out of use.
            price_decline: how fast the price of compute falls.
            discount: interest on money.
            delay: years from today, when training is paid, to the first day of service. The pace
                there and the years of service stay the same.

        Raises ValueError for a concrete value that is not finite, for years that are not above 0,
        and for a negative rate or delay.

        Examples:
            >>> year = js.Demand(input_tokens=1e12)
            >>> demand = js.Demand.growing(
            ...     year, years=2, growth=np.log(3), price_decline=0.32, discount=0.10
            ... )
            >>> print(f"{demand.input_tokens:.3g} tokens")
            4.25e+12 tokens
        """
        _check("years", years, above=0)
        _check("delay", delay, at_least=0)
        rates = {"growth": growth, "price_decline": price_decline, "discount": discount}
        for name, value in rates.items():
            _check(name, value)
        _check_tokens("rate", rate)
        values = _ready(
            read=rate.input_tokens, written=rate.output_tokens, years=years, delay=delay, **rates
        )
        functions = np if all(isinstance(value, int | float) for value in values) else jnp
        # The solvers have a status for an infinite demand.
        with np.errstate(over="ignore", invalid="ignore"):
            counts = _counts_over_time(functions, *values)
        return cls(*map(float, counts)) if functions is np else cls(*counts)

    @classmethod
    def monthly(
        cls,
        months: "Demand",
        *,
        price_decline: ArrayLike = 0.0,
        discount: ArrayLike = 0.0,
        delay: ArrayLike = 0.0,
    ) -> Self:
        """Demand of a list of months, in tokens that cost as much today as all of them then.

        A month counts with `exp(-(discount + price_decline) m / 12)`, m months from the first day
        of service to the middle of it: 0.5, 1.5 and so on. Rates and `delay` are those of
        `Demand.growing`, and broadcast with the axes before the last.

        Args:
            months: tokens of each month, along the last axis of its arrays, or in lists.
            price_decline: how fast the price of compute falls, per year.
            discount: interest on money, per year.
            delay: years from today, when training is paid, to the first day of service.

        Raises ValueError for months without an axis and as `Demand.growing`.

        Examples:
            >>> months = js.Demand(input_tokens=np.linspace(1e11, 3e11, 24))
            >>> demand = js.Demand.monthly(months, discount=np.log1p(0.10))
            >>> print(f"{demand.input_tokens:.3g} of {months.input_tokens.sum():.3g} tokens")
            4.3e+12 of 4.8e+12 tokens
        """
        _check("delay", delay, at_least=0)
        rates = {"price_decline": price_decline, "discount": discount}
        for name, value in rates.items():
            _check(name, value)
        if isinstance(months, Demand):
            months = cls(*map(_array_of, (months.input_tokens, months.output_tokens)))
        _check_tokens("months", months)
        # Those of a single scenario stay scalars, and take any dtype.
        columns = {
            name: jnp.expand_dims(x, -1) if np.ndim(x) else x
            for name, x in {"delay": delay, **rates}.items()
        }
        read, written, delay, *rest = arrays.align(
            *arrays.enter(read=months.input_tokens, written=months.output_tokens, **columns)
        )
        count = max((np.shape(x)[-1] for x in (read, written) if np.ndim(x)), default=0)
        if not count:
            raise ValueError("months must have arrays, with the months along their last axis")
        middle = (np.arange(count, dtype=read.dtype) + 0.5) / 12
        middle, delay, *rest = arrays.align(middle, delay, *rest)
        weights = jnp.exp(-sum(rest) * (middle + delay))
        return cls(*(jnp.sum(x * weights, -1) for x in (read, written)))

    def is_valid(self) -> Array:
        """Whether no count is negative, infinite or NaN."""
        return is_nonnegative(self.input_tokens) & is_nonnegative(self.output_tokens)

    def made_safe(self) -> Self:
        """The demand with 1 for each bad count: no NaN may enter a gradient."""
        return jax.tree.map(lambda x: where_safe(is_nonnegative(x), x), self)


@jax.tree_util.register_dataclass
@dataclass(frozen=True, repr=False)
class Costs:
    """Price of one model FLOP by phase: the price at peak over the utilisation.

    The unit is the user's: dollars per FLOP, or FLOP per FLOP (`Costs.flops()`). A budget
    and all costs of a plan are in the same unit.

    Examples:
        >>> costs = js.Costs(train=2e-18, prefill=1e-18, decode=5e-17)  # dollars per FLOP
        >>> law = js.laws.published("sardana2024")
        >>> plan = js.minimize_loss(law, 1e6, js.Demand(1e11, 1e11), costs)
        >>> print(f"{plan.params:.3g} params for ${plan.total_cost:.3g}")
        2.27e+10 params for $1e+06
    """

    train: Real  # of a FLOP in training
    prefill: Real  # of a FLOP while reading tokens
    decode: Real  # of a FLOP while writing tokens
    serving: Any = arrays.NOTHING  # by default; a `Served` prices tokens by the model's size

    def __repr__(self) -> str:
        prices = f"train={self.train!r}, prefill={self.prefill!r}, decode={self.decode!r}"
        return f"Costs({prices})" if not self.serving else f"Costs(train={self.train!r}, served)"

    @classmethod
    def flops(cls) -> Self:
        """Every FLOP costs one: costs are then counted in FLOPs.

        Examples:
            >>> js.Costs.flops()
            Costs(train=1.0, prefill=1.0, decode=1.0)
        """
        return cls(1.0, 1.0, 1.0)

    @classmethod
    def on(
        cls,
        *,
        train: Accelerator,
        serve: Accelerator,
        train_precision: str = DEFAULT_PRECISION,
        serve_precision: str = DEFAULT_PRECISION,
        train_mfu: ArrayLike = DEFAULT_MFU["train"],
        prefill_mfu: ArrayLike = DEFAULT_MFU["prefill"],
        decode_mfu: ArrayLike = DEFAULT_MFU["decode"],
    ) -> Self:
        """Dollars per model FLOP on rented accelerators (Sardana et al. 2024, eq. 6).

        `mfu` is model FLOPs utilisation, the share of the peak that is useful work; the
        defaults are that paper's Section 6. Prices and utilisations may be arrays or traced.

        Raises ValueError for an accelerator without a chosen price (listing its quotes),
        for a precision that it lacks, and for a concrete utilisation outside (0, 1].

        Examples:
            >>> train = js.accelerator("A100-80GB", price=1.50)
            >>> serve = js.accelerator("A100-40GB", price=1.10)
            >>> costs = js.Costs.on(train=train, serve=serve, serve_precision="int8")
            >>> print(f"${costs.train * 1e18:.2f} per 1e18 FLOPs of training")
            $2.67 per 1e18 FLOPs of training
        """
        _check("train_mfu", train_mfu, above=0, at_most=1)
        _check("prefill_mfu", prefill_mfu, above=0, at_most=1)
        _check("decode_mfu", decode_mfu, above=0, at_most=1)
        return cls(
            _price_per_flop("train", train, train_precision, train_mfu),
            _price_per_flop("serve", serve, serve_precision, prefill_mfu),
            _price_per_flop("serve", serve, serve_precision, decode_mfu),
        )

    @classmethod
    def served(
        cls,
        family: Any,
        devices: Any,
        requests: Any,
        limits: Any = None,
        *,
        train: Accelerator,
        train_precision: str = DEFAULT_PRECISION,
        train_mfu: ArrayLike = DEFAULT_MFU["train"],
        counts: Iterable[int] | None = None,
        weights: str | Sequence[str] | None = None,
        every_split: bool = False,
        utilisation: ArrayLike = 1.0,
    ) -> Self:
        """Dollars, with serving priced by the cheapest deployment for each size of model.

        A token's price is that of `js.serving.best` for the shape that `family` has at the plan's
        size, with the largest batch that memory and `limits` allow. So limits on latency and memory
        bound the model's size: the plan is then AT_MAX_PARAMS, and `plan.serving["reason"]` says
        which of them does. For `minimize_cost`, `minimize_loss` and `evaluate`. The requests must
        fit the context of the family: `dataclasses.replace(family, context=8192)`. Of a family with
        experts a training token costs FLOPs of the active params. A law of active params, such as
        `ludziejewski2025`, gives the family its own number of experts, of which one is active.

        Args:
            family: shapes by size, such as `js.architectures.LLAMA`.
            devices: accelerators with prices, or deployments whose count is left open.
            requests: a `js.serving.Requests`; the demand says how many tokens there are in all.
                Where the law has a lever `streams`, its value takes the place of theirs.
            limits: a `js.serving.Limits`; none by default.
            train: the accelerator that trains.
            train_precision: of the arithmetic in training.
            train_mfu: model FLOPs utilisation in training.
            counts: numbers of devices to try; powers of two to 64 by default.
            weights: precisions of the served weights to try. Where the law has a lever `bits` that
                has no value, it follows them in `minimize_cost` and `minimize_loss`; where it has
                one, give the weights that go with it.
            every_split: try every split of a count in tensors and stages, as `js.serving.best`
                does, in nearly three times the time. By default a count is split as a
                `js.serving.Deployment` does by itself, over as many devices as one domain links:
                on H100-SXM plans then cost up to 2 % more than they need to, and up to 60 % more
                where `counts` has only more devices than a small model needs.
            utilisation: share of the time in which serving devices work.

        Raises ValueError for an accelerator without a chosen price or a known memory, for a
        precision that it lacks, and for a concrete utilisation outside (0, 1].

        Examples:
            >>> law, demand = js.laws.published("sardana2024"), js.Demand(1e12, 2e11)
            >>> h100 = js.accelerator("H100-SXM", price=2.0)
            >>> costs = js.Costs.served(
            ...     js.architectures.LLAMA, h100, js.serving.Requests(1000, 200), train=h100
            ... )
            >>> plan = js.minimize_cost(law, 2.1, demand, costs)
            >>> print(f"{plan.params:.3g} params on {plan.serving['devices']:.0f} device")
            3.76e+09 params on 1 device
        """
        from jaxscale.serving._options import COUNTS
        from jaxscale.serving.priced import served_by

        _check("train_mfu", train_mfu, above=0, at_most=1)
        _check("utilisation", utilisation, above=0, at_most=1)
        serving = served_by(
            family,
            devices,
            requests,
            limits,
            counts=COUNTS if counts is None else counts,
            weights=weights,
            every_split=every_split,
            utilisation=utilisation,
        )
        price = _price_per_flop("train", train, train_precision, train_mfu)
        return cls(price, np.nan, np.nan, serving)

    def effective_demand(self, demand: Demand) -> Array:
        """The demand Q, in tokens, that would cost as much at the price of training.

        With it the lifetime cost is `train * (6 N D + 2 N Q)`: the dollar problem of Sardana et al.
        2024, eq. 6, is their FLOP problem, eq. 3. Checks and converts nothing.

        Examples:
            >>> costs = js.Costs(train=2.0, prefill=1.0, decode=10.0)
            >>> print(f"{costs.effective_demand(js.Demand(1e12, 1e12)):.3g} tokens")
            5.5e+12 tokens
        """
        if self.serving:
            raise TypeError("costs of Costs.served price tokens by size: they have no such demand")
        # In units of the training price: its square, in the derivative, underflows float32.
        # The 4 keeps the reciprocal of the largest price normal.
        unit = jax.lax.stop_gradient(4 / self.train)
        read = (self.prefill * unit) * demand.input_tokens
        written = (self.decode * unit) * demand.output_tokens
        return (read + written) / (self.train * unit)

    def is_valid(self) -> Array:
        """Whether training has a price above 0, no price is below 0, and all are finite."""
        return is_positive(self.train) & is_nonnegative(self.prefill) & is_nonnegative(self.decode)

    def made_safe(self) -> Self:
        """The costs with 1 for each bad price: no NaN may enter a gradient."""
        return type(self)(
            train=where_safe(is_positive(self.train), self.train),
            prefill=where_safe(is_nonnegative(self.prefill), self.prefill),
            decode=where_safe(is_nonnegative(self.decode), self.decode),
        )


def _price_per_flop(role: str, device: Accelerator, precision: str, mfu: ArrayLike) -> ArrayLike:
    check_accelerator(role, device)
    if not isinstance(precision, str):
        raise TypeError(f"{role}_precision must be a string such as 'bf16'; got {precision!r}")
    peak, price = device.peak(precision), chosen_price(role, device)
    price, peak, mfu = _ready(price=price, peak=peak, mfu=mfu)
    return price / SECONDS_PER_HOUR / peak / mfu


def check_accelerator(role: str, device: object) -> None:
    """Raise TypeError for anything else, such as a name."""
    if not isinstance(device, Accelerator):
        raise TypeError(
            f"{role} must be an Accelerator, such as jaxscale.accelerator('H100-SXM', price=2.5); "
            f"got {device!r}"
        )


def chosen_price(role: str, device: Accelerator) -> ArrayLike:
    """Dollars per device-hour.

    Raises TypeError for what is no accelerator, and ValueError that lists the quotes where no price
    was chosen.
    """
    check_accelerator(role, device)
    if device.price is None:
        quotes = "; ".join(
            f"${quote.dollars_per_hour:g} ({quote.date}, {quote.source})" for quote in device.quotes
        )
        raise ValueError(
            f"{role}: no price was chosen for {device.name}; pass "
            f"accelerator({device.name!r}, price=...) in dollars per device-hour. "
            f"Quotes: {quotes or 'none known'}"
        )
    return device.price


def _counts_over_time(
    functions: ModuleType,
    read: Real,
    written: Real,
    years: Real,
    delay: Real,
    growth: Real,
    price_decline: Real,
    discount: Real,
) -> tuple[Real, Real]:
    """Tokens of today, from those of a year at first; `functions` is `numpy` or `jax.numpy`."""
    fall = price_decline + discount
    served = years * expm1_over((growth - fall) * years, functions)
    served = served * functions.exp(-fall * delay)
    return _times(read, served, functions), _times(written, served, functions)


def _times(tokens: Real, served: Real, functions: ModuleType) -> Real:
    """A product in which no tokens stay none, however many times they are served."""
    none = (tokens == 0) & ~functions.isfinite(served)
    return tokens * functions.where(none, 1.0, served)


def _ready(**values: Any) -> tuple:
    """Plain numbers as they are, to take any dtype later; else arrays of one dtype and rank."""
    if all(type(value) in (int, float) for value in values.values()):
        return tuple(values.values())
    return arrays.align(*arrays.enter(**values))


def _array_of(tokens: Any) -> Any:
    """An array of a list of months; anything else as it is."""
    return np.asarray(tokens) if isinstance(tokens, list | tuple) else tokens


def _check_tokens(name: str, demand: Demand) -> None:
    """Raise TypeError for what is no demand, ValueError for a concrete count that is not one."""
    if not isinstance(demand, Demand):
        raise TypeError(f"{name} must be a jaxscale Demand; got {demand!r}")
    for count in ("input_tokens", "output_tokens"):
        _check(f"{name}.{count}", getattr(demand, count), at_least=0)


def _check(
    name: str,
    value: ArrayLike,
    *,
    above: float = -np.inf,
    at_least: float = -np.inf,
    at_most: float = np.inf,
) -> None:
    """Raise ValueError for a concrete `value` that is not finite or is out of its range."""
    arrays.enter(**{name: value})
    if not arrays.is_concrete(value):
        return
    huge = type(value) is int and abs(value) > sys.float_info.max
    host = np.asarray(np.inf if huge else value, dtype=np.float64)
    good = np.isfinite(host) & (host > above) & (host >= at_least) & (host <= at_most)
    if not good.all():
        limit = f", above {above:g}" if above > -np.inf else ""
        limit += f", at least {at_least:g}" if at_least > -np.inf else ""
        limit += f" and at most {at_most:g}" if at_most < np.inf else ""
        raise ValueError(f"{name} must be finite{limit}; got {host[~good].flat[0]:g}")
