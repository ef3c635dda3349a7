"""Failures of a training: the best interval between checkpoints, and the time that is lost.

Failures come at random at a constant rate (exponential times), and a job stops when any of its
devices does. With mean time M between failures of the job, an interval tau of work, a checkpoint
delta and a restart R, an hour of useful work takes `w = M e^(R/M) (e^((tau + delta)/M) - 1) / tau`
hours (Daly 2006, doi:10.1016/j.future.2004.11.016). Everything here is computed in units of M.
"""

import math
from typing import NamedTuple

import jax
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
    is_normal,
    where_safe,
)
from jaxscale.hardware import SECONDS_PER_DAY

# Of one device: 419 unexpected interruptions in 54 days on 16,384 H100, Dubey et al. 2024,
# arXiv 2407.21783, Section 3.3.4. Planned ones, 47 more, are not counted.
LLAMA_3_FAILURE_SECONDS = 54 * SECONDS_PER_DAY * 16384 / 419

STEPS = 3  # of Halley: to the last digit for any checkpoint from 1e-14 to 300 M, in tests
# v + expm1(-v) = v^2 (1/2 - v/6 + v^2/24 - ...), to below the rounding of float64 for v < 1.
SERIES = tuple((-1) ** k / math.factorial(k) for k in range(19, 1, -1))


class Checkpointing(NamedTuple):
    """Intervals between checkpoints, and what they cost; all fields have the full shape.

    An interval is the work between the end of a checkpoint and the start of the next, in seconds.
    A slowdown is the expected time over the time of useful work, at least 1: goodput is 1 over it.
    All are NaN with zero derivatives where an argument is bad, and a slowdown also where it is
    beyond the range of its dtype.
    """

    interval: Array  # that costs the least time
    slowdown: Array  # at this interval
    young_interval: Array  # sqrt(2 delta M)
    young_slowdown: Array
    daly_interval: Array  # Young's with two more terms, for delta below 2 M; M from there on
    daly_slowdown: Array

    @property
    def goodput(self) -> Array:
        """Share of the time that is useful work, at the best interval."""
        return 1 / self.slowdown


def checkpoint_interval(
    failure_seconds: ArrayLike,
    checkpoint_seconds: ArrayLike,
    restart_seconds: ArrayLike = 0.0,
) -> Checkpointing:
    """The interval between checkpoints that loses the least time, beside Young's and Daly's.

    `tau = M (1 + W(-e^(-1 - delta/M)))` with the principal branch of Lambert's W, accurate to the
    last digits however short the checkpoint; there an hour of work takes `e^((R + delta + tau)/M)`.

    Args:
        failure_seconds: mean time M between failures of the whole job: that of a device over the
            number of devices. Above 0.
        checkpoint_seconds: time delta that a checkpoint stops the training for. Above 0.
        restart_seconds: time R from a failure until training goes on from the last checkpoint.

    Raises:
        TypeError: an argument is not a number.
        ValueError: shapes do not broadcast.

    Source: Young 1974, doi:10.1145/361147.361115; Daly 2006, doi:10.1016/j.future.2004.11.016.

    Examples:
        >>> failure = js.economics.LLAMA_3_FAILURE_SECONDS / 16384  # every 3.1 hours
        >>> best = js.economics.checkpoint_interval(failure, 120, 900)
        >>> print(f"every {best.interval / 60:.1f} min: {best.slowdown:.3f} hours an hour")
        every 25.9 min: 1.260 hours an hour
    """
    return _checkpointing(
        *arrays.enter(
            failure_seconds=failure_seconds,
            checkpoint_seconds=checkpoint_seconds,
            restart_seconds=restart_seconds,
        )
    )


def goodput(
    devices: ArrayLike,
    device_failure_seconds: ArrayLike,
    checkpoint_seconds: ArrayLike,
    restart_seconds: ArrayLike = 0.0,
) -> Array:
    """Share of the time in which a cluster does useful work, with checkpoints at the best interval.

    For the `goodput` of `js.training_time`. The job stops when any of its `devices` fails, each
    once in `device_failure_seconds` on average. Other arguments, and errors, are those of
    `checkpoint_interval`. NaN with zero derivatives where an argument is bad.

    Examples:
        >>> failure = js.economics.LLAMA_3_FAILURE_SECONDS
        >>> share = js.economics.goodput(np.array([1024, 16384]), failure, 60, 600)
        >>> print(", ".join(f"{x:.1%}" for x in share))
        97.1%, 85.3%
    """
    return _goodput(
        *arrays.enter(
            devices=devices,
            device_failure_seconds=device_failure_seconds,
            checkpoint_seconds=checkpoint_seconds,
            restart_seconds=restart_seconds,
        )
    )


@jit
def _checkpointing(failure, checkpoint, restart):
    failure, checkpoint, restart = arrays.align(failure, checkpoint, restart)
    good, delta, rest = in_failure_times(jnp.ones_like(failure), failure, checkpoint, restart)
    failure = where_safe(good, failure)
    log_slowdown = best_log_slowdown(delta)
    best = -jnp.expm1(-log_slowdown)
    young = jnp.sqrt(2 * delta)
    # Daly's young (1 + young / 6 + young^2 / 36) - delta, without the cancellation.
    daly = jnp.where(delta < 2, young * (1 - young / 3 + young**2 / 36), 1)

    def lengths(*intervals: Array) -> list[Array]:
        return [jnp.where(good, failure * each, jnp.nan) for each in intervals]

    intervals = lengths(best, young, daly)
    logs = (log_slowdown, _log_slowdown(young, delta), _log_slowdown(daly, delta))
    slowdowns = [exp_where(good, log + rest) for log in logs]
    return Checkpointing(*(x for pair in zip(intervals, slowdowns, strict=True) for x in pair))


@jit
def _goodput(devices, failure, checkpoint, restart):
    numbers = arrays.align(devices, failure, checkpoint, restart)
    good, delta, rest = in_failure_times(*numbers)
    return exp_where(good, -best_log_slowdown(delta) - rest)


def in_failure_times(
    devices: Array, failure: Array, checkpoint: Array, restart: Array
) -> tuple[Array, Array, Array]:
    """Whether all is valid; then checkpoint and restart over the mean time between failures."""
    rate = devices / failure
    good = all_positive(devices, failure, checkpoint) & is_nonnegative(restart)
    good &= is_normal(checkpoint * rate) & is_finite(restart * rate)
    devices, failure, checkpoint, restart = (
        where_safe(good, x) for x in (devices, failure, checkpoint, restart)
    )
    rate = devices / failure
    return good, checkpoint * rate, restart * rate


@jax.custom_jvp
def best_log_slowdown(delta: Array) -> Array:
    """The root v > 0 of `v + expm1(-v) = delta`: log slowdown at the best interval, but for R / M.

    There `tau / M = 1 - e^-v`, so `-v = log(-W(-e^(-1 - delta)))`. Near delta = 0, where v is about
    sqrt(2 delta), a difference of W from -1 would keep half of the digits.
    """
    root = jnp.sqrt(2 * delta)
    v = root + delta / 3
    for _ in range(STEPS):
        slope = -jnp.expm1(-v)
        step = (_difference(v) - delta) / slope
        v = v - step / (1 - step * (1 - slope) / (2 * slope))
    return v


@best_log_slowdown.defjvp
def _best_log_slowdown_jvp(primals, tangents):
    (delta,), (delta_dot,) = primals, tangents
    v = best_log_slowdown(delta)
    return v, delta_dot / -jnp.expm1(-v)


def _difference(v: Array) -> Array:
    """`v + expm1(-v)` to the last digits, for v > 0."""
    series = jnp.zeros_like(v)
    for coefficient in SERIES:
        series = series * v + coefficient
    return jnp.where(v < 1, series * v * v, v + jnp.expm1(-v))


def _log_slowdown(interval: Array, delta: Array) -> Array:
    """Log of `(e^(tau + delta) - 1) / tau`, without overflow; times are in units of M."""
    both = interval + delta
    return both + jnp.log(-jnp.expm1(-both) / interval)
