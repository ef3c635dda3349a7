"""The limit that the batch sets on data parallelism: more devices need a larger batch.

Each device must take enough tokens in a step to hide the communication of gradients behind its
compute, so devices and batch grow together. A batch above the critical one takes fewer steps but
more tokens (McCandlish et al. 2018, arXiv 1812.06162), so no number of devices trains faster than
the fewest steps allow.
"""

import math
import operator
from collections.abc import Mapping
from functools import reduce
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from jaxscale._numerics import arrays
from jaxscale._numerics.values import all_positive, exp_where, has_normal_exp, where_safe
from jaxscale.costs import DEFAULT_PRECISION
from jaxscale.hardware import Accelerator
from jaxscale.laws.protocol import exp_of
from jaxscale.published.entry import Sized
from jaxscale.status import Status, first_status, is_ok
from jaxscale.training.time import flops_of, is_rate, log_seconds, peak_of

# Fewest tokens of a dense model that a device must take in a step, in bf16: its peak over the
# bandwidth of its collectives (jax-ml/scaling-book, gpus.md).
TOKENS_PER_DEVICE: Mapping[str, float] = {
    "H100 in a node": 2200.0,  # 990e12 FLOP/s over 450e9 bytes/s
    "H100 across nodes": 2475.0,  # over 400e9
    "B200 across nodes": 5625.0,  # 2250e12 over 400e9
    "TPU-v5p on 3 axes": 850.0,  # 459e12 over 540e9
}


class DataParallelTraining(NamedTuple):
    """Devices, batch and time of data-parallel trainings; all fields have the full shape.

    Where `status` is not ok all numbers are NaN, and their derivatives are zero; but
    INFEASIBLE_BOUNDS comes with the least time, which a deadline must exceed.
    """

    count: Array  # devices, not rounded
    batch_tokens: Array
    seconds: Array
    least_seconds: Array  # that more and more devices approach
    relative_compute: Array  # tokens, and so FLOPs, over the fewest, of a batch far below critical
    status: Array  # int8, a member of Status


def tokens_per_device(
    accelerator: Accelerator, bandwidth: ArrayLike, *, precision: str = DEFAULT_PRECISION
) -> Array:
    """Fewest tokens in a step that hide data-parallel communication: peak over `bandwidth`.

    `bandwidth` is that of the collectives, in bytes/s for each device. `TOKENS_PER_DEVICE` has
    published ones. For a model of experts multiply by all experts over the active ones. Where the
    devices of one replica lie in several nodes, divide by the number of nodes.

    Source: jax-ml/scaling-book, gpus.md.

    Examples:
        >>> print(f"{js.training.tokens_per_device(js.accelerator('B200'), bandwidth=400e9):.0f}")
        5625
    """
    peak = peak_of(accelerator, precision)
    return exp_of(_log_ratio, None, peak=peak, bandwidth=bandwidth)


def most_devices(batch: ArrayLike, tokens_per_device: ArrayLike) -> Array:
    """Most devices that a batch keeps busy, both in tokens: `batch / tokens_per_device`.

    A batch is at most the critical one, or training wastes tokens:
    `recipes.critical_batch_of_tokens`, or that of `training_recipe(plan, "kaplan2020")`. NaN where
    a number is not positive.

    Examples:
        >>> batch = js.recipes.critical_batch_of_tokens(15e12)
        >>> tokens = js.training.TOKENS_PER_DEVICE["H100 across nodes"]
        >>> print(f"{js.training.most_devices(batch, tokens):.0f} devices")
        435 devices
    """
    return exp_of(_log_ratio, None, batch=batch, tokens_per_device=tokens_per_device)


def _log_ratio(_: None, log_x: Array, log_y: Array) -> Array:
    return log_x - log_y


def data_parallel_time(
    plan: Sized | ArrayLike,
    accelerator: Accelerator,
    count: ArrayLike,
    mfu: ArrayLike,
    *,
    critical_batch: ArrayLike,
    tokens_per_device: ArrayLike,
    precision: str = DEFAULT_PRECISION,
    goodput: ArrayLike = 1.0,
) -> DataParallelTraining:
    """Time of `count` devices that each take `tokens_per_device` b of a step's batch.

    `t = S_min x 6 N (b + B_crit / count) / (peak x MFU x goodput)`, which falls to
    `S_min x 6 N b / (peak x MFU x goodput)` with more devices, while FLOPs grow by
    `1 + count x b / B_crit`. The plan's tokens are taken to reach its loss at the critical batch,
    as in `recipes.critical_tradeoff`: they are `2 S_min B_crit`.

    `critical_batch` is one at which training takes twice the fewest steps, as Kaplan's does.
    Other arguments, and errors, are those of `js.training_time`. A bad value gives NaN and
    the status INVALID_INPUT or OUT_OF_RANGE; a plan that is not ok keeps its status.

    Source: Kaplan et al. 2020, eq. 5.1 and 5.4, after McCandlish et al. 2018, at `count x b`.

    Examples:
        >>> plan = js.evaluate(js.laws.published("sardana2024"), params=70e9, tokens=15e12)
        >>> batch = js.training_recipe(plan, "kaplan2020").batch_tokens
        >>> training = js.training.data_parallel_time(
        ...     plan,
        ...     js.accelerator("H100-SXM"),
        ...     count=np.array([1024, 4096, 16384]),
        ...     mfu=0.4,
        ...     critical_batch=batch,
        ...     tokens_per_device=js.training.TOKENS_PER_DEVICE["H100 across nodes"],
        ... )
        >>> print(np.round(training.seconds / 86400), "days")
        [111.  43.  26.] days
        >>> print(np.round(training.relative_compute * 100), "% of the fewest FLOPs")
        [123. 192. 470.] % of the fewest FLOPs
    """
    work = _work(plan, accelerator, precision)
    batches = {"critical_batch": critical_batch, "tokens_per_device": tokens_per_device}
    return _at_count(
        plan_status(plan), *arrays.enter(**work, **batches, mfu=mfu, goodput=goodput, count=count)
    )


def data_parallel_devices(
    plan: Sized | ArrayLike,
    accelerator: Accelerator,
    seconds: ArrayLike,
    mfu: ArrayLike,
    *,
    critical_batch: ArrayLike,
    tokens_per_device: ArrayLike,
    precision: str = DEFAULT_PRECISION,
    goodput: ArrayLike = 1.0,
) -> DataParallelTraining:
    """Devices for a deadline, the inverse of `data_parallel_time`, with its other arguments.

    `count = B_crit / (seconds x peak x MFU x goodput / (6 N S_min) - b)`. INFEASIBLE_BOUNDS where
    the deadline is not above the least time: no number of devices is enough.

    Examples:
        >>> plan = js.evaluate(js.laws.published("sardana2024"), params=70e9, tokens=15e12)
        >>> training = js.training.data_parallel_devices(
        ...     plan,
        ...     js.accelerator("H100-SXM"),
        ...     seconds=60 * 86400,
        ...     mfu=0.4,
        ...     critical_batch=js.training_recipe(plan, "kaplan2020").batch_tokens,
        ...     tokens_per_device=js.training.TOKENS_PER_DEVICE["H100 across nodes"],
        ... )
        >>> print(f"{training.count:.0f} devices, a batch of {training.batch_tokens:.2g} tokens")
        2351 devices, a batch of 5.8e+06 tokens
    """
    work = _work(plan, accelerator, precision)
    batches = {"critical_batch": critical_batch, "tokens_per_device": tokens_per_device}
    return _by_deadline(
        plan_status(plan),
        *arrays.enter(**work, **batches, mfu=mfu, goodput=goodput, seconds=seconds),
    )


def _work(plan, accelerator, precision):
    return {"flops": flops_of(plan), "peak": peak_of(accelerator, precision)}


def plan_status(plan: Sized | ArrayLike) -> ArrayLike:
    """The status of a plan; OK for what has none."""
    return getattr(plan, "status", np.int8(Status.OK))


class _Logs(NamedTuple):
    """Logarithms of what does not depend on the number of devices."""

    critical_batch: Array
    tokens_per_device: Array
    fewest: Array  # seconds of one device for the fewest tokens

    @property
    def least_seconds(self) -> Array:
        return self.fewest + self.tokens_per_device - self.critical_batch


@jax.jit
def _at_count(status, *numbers):
    status, numbers = arrays.align(status, numbers)
    valid, logs, log_count = _logs(status, *numbers)
    return _training(status, valid, jnp.asarray(True), logs, log_count)


@jax.jit
def _by_deadline(status, *numbers):
    status, numbers = arrays.align(status, numbers)
    valid, logs, log_seconds = _logs(status, *numbers)
    spare = jnp.expm1(log_seconds - logs.least_seconds)  # over the least time, in its units
    feasible = spare > 0
    log_spare = jnp.log(where_safe(valid & feasible, spare))
    log_count = logs.critical_batch - logs.tokens_per_device - log_spare
    return _training(status, valid, feasible, logs, log_count)


def _logs(status, flops, peak, critical_batch, tokens_per_device, mfu, goodput, given):
    valid = all_positive(flops, critical_batch, tokens_per_device, given)
    valid &= is_rate(peak, mfu, goodput)
    good = valid & is_ok(status)
    log_critical, log_tokens = (
        jnp.log(where_safe(good, x)) for x in (critical_batch, tokens_per_device)
    )
    # At the critical batch training takes twice the fewest tokens.
    fewest = log_seconds(good, flops, peak, mfu, goodput) - math.log(2)
    return valid, _Logs(log_critical, log_tokens, fewest), jnp.log(where_safe(good, given))


def _training(status, valid, feasible, logs, log_count):
    log_batch = log_count + logs.tokens_per_device
    log_compute = jnp.logaddexp(0, log_batch - logs.critical_batch)
    log_time = logs.fewest + log_compute - log_count
    answers = log_count, log_batch, log_time, logs.least_seconds, log_compute
    in_range = reduce(operator.and_, map(has_normal_exp, answers))
    own = first_status(
        (~valid, Status.INVALID_INPUT),
        (~feasible, Status.INFEASIBLE_BOUNDS),
        (~in_range, Status.OUT_OF_RANGE),
    )
    status = jnp.where(is_ok(status), own, status)
    ok = is_ok(status)
    has_least = ok | (valid & (status == jnp.int8(Status.INFEASIBLE_BOUNDS)))
    has_answer = ok, ok, ok, has_least, ok
    numbers = [exp_where(has, x) for has, x in zip(has_answer, answers, strict=True)]
    return DataParallelTraining(*numbers, status=status)
