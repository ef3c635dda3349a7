"""Time of a training on a number of devices, and the number of devices for a time.

A device computes `peak x MFU x goodput` model FLOPs in a second, and devices share the work evenly:
nothing here knows of batches or links, which `data_parallel` adds.
"""

import math

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from jaxscale._numerics import arrays
from jaxscale._numerics.arrays import Real
from jaxscale._numerics.values import all_positive, exp_where, where_safe
from jaxscale.costs import DEFAULT_PRECISION
from jaxscale.hardware import Accelerator
from jaxscale.laws.protocol import TRAIN_FLOPS, exp_of
from jaxscale.published.entry import Sized


def training_time(
    plan: Sized | ArrayLike,
    accelerator: Accelerator,
    count: ArrayLike,
    mfu: ArrayLike,
    *,
    precision: str = DEFAULT_PRECISION,
    goodput: ArrayLike = 1.0,
) -> Array:
    """Seconds that `count` devices take to train a plan: `6 N D / (count x peak x MFU x goodput)`.

    All arguments and the device's peak broadcast. NaN with zero derivatives where a number is not
    positive, where `mfu` or `goodput` is above 1, and where the plan is not ok.

    Args:
        plan: a plan, or anything with `params` and `tokens`, counted as 6 N D; or training FLOPs,
            such as `plan.train_cost / costs.train` for a law that counts its own.
        accelerator: one device, such as `js.accelerator("H100-SXM")`.
        count: devices.
        mfu: model FLOPs utilisation, the share of the peak that is useful work.
        precision: the precision whose peak counts.
        goodput: the share of the time that is not lost to failures and restarts.

    Raises:
        TypeError: an argument is of the wrong type.
        ValueError: shapes do not broadcast, the device lacks the precision, or the plan has levers,
            so that its law may count other FLOPs.

    Examples:
        >>> plan = js.evaluate(js.laws.published("sardana2024"), params=405e9, tokens=15.6e12)
        >>> seconds = js.training_time(plan, js.accelerator("H100-SXM"), count=16384, mfu=0.38)
        >>> print(f"{seconds / 86400:.1f} days")
        71.3 days
    """
    work = {"flops": flops_of(plan), "peak": peak_of(accelerator, precision)}
    return _share(*arrays.enter(**work, mfu=mfu, goodput=goodput, count=count))


def devices_for(
    plan: Sized | ArrayLike,
    accelerator: Accelerator,
    seconds: ArrayLike,
    mfu: ArrayLike,
    *,
    precision: str = DEFAULT_PRECISION,
    goodput: ArrayLike = 1.0,
) -> Array:
    """Devices that train a plan in `seconds`, not rounded: the inverse of `training_time`.

    Round it up. By compute alone: `training.most_devices` is the limit that the batch sets, and
    `training.data_parallel_devices` counts the tokens that a larger batch costs.

    Arguments, errors and NaN are those of `training_time`.

    Examples:
        >>> plan = js.evaluate(js.laws.published("sardana2024"), params=405e9, tokens=15.6e12)
        >>> device = js.accelerator("H100-SXM")
        >>> print(f"{js.devices_for(plan, device, seconds=30 * 86400, mfu=0.38):.0f} devices")
        38915 devices
    """
    work = {"flops": flops_of(plan), "peak": peak_of(accelerator, precision)}
    return _share(*arrays.enter(**work, mfu=mfu, goodput=goodput, seconds=seconds))


@jax.jit
def _share(flops, peak, mfu, goodput, divisor):
    """Seconds by the count of devices, or the count by seconds: each is work over the other."""
    flops, peak, mfu, goodput, divisor = arrays.align(flops, peak, mfu, goodput, divisor)
    answer = all_positive(flops, divisor) & is_rate(peak, mfu, goodput)
    log_work = log_seconds(answer, flops, peak, mfu, goodput)
    return exp_where(answer, log_work - jnp.log(where_safe(answer, divisor)))


def is_rate(peak: Array, mfu: Array, goodput: Array) -> Array:
    """Whether a peak is positive and both shares of it are above 0 and at most 1."""
    return all_positive(peak, mfu, goodput) & (mfu <= 1) & (goodput <= 1)


def log_seconds(answer: Array, flops: Array, peak: Array, mfu: Array, goodput: Array) -> Array:
    """Logarithm of the seconds of one device; all arguments are aligned."""
    flops, peak, mfu, goodput = (
        jnp.log(where_safe(answer, x)) for x in (flops, peak, mfu, goodput)
    )
    return flops - peak - mfu - goodput


def flops_of(plan: Sized | ArrayLike) -> Real:
    """Training FLOPs: 6 N D of what has params and tokens; else they are given."""
    if not (hasattr(plan, "params") and hasattr(plan, "tokens")):
        return plan
    levers = getattr(plan, "levers", None)
    if levers:
        raise ValueError(
            f"plan has levers ({', '.join(levers)}), so its law may count other FLOPs than 6 N D: "
            "pass training FLOPs instead, such as plan.train_cost / costs.train"
        )
    return exp_of(_log_flops, None, params=plan.params, tokens=plan.tokens)  # pyright: ignore[reportAttributeAccessIssue]


def _log_flops(_: None, log_params: Array, log_tokens: Array) -> Array:
    return math.log(TRAIN_FLOPS) + log_params + log_tokens


def peak_of(accelerator: Accelerator, precision: str) -> ArrayLike:
    """Dense FLOP/s of one device; TypeError for what is no accelerator."""
    if not isinstance(accelerator, Accelerator):
        raise TypeError(
            "accelerator must be an Accelerator, such as jaxscale.accelerator('H100-SXM'); "
            f"got {accelerator!r}"
        )
    if not isinstance(precision, str):
        raise TypeError(f"precision must be a string such as 'bf16'; got {precision!r}")
    return accelerator.peak(precision)
