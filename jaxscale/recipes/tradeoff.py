"""Time against compute: a larger batch takes fewer steps and more tokens to the same loss.

A batch far above the critical one needs the fewest steps, one far below it the fewest tokens;
at the critical one both are twice their minimum. McCandlish et al. 2018, arXiv 1812.06162, as
Kaplan et al. 2020, arXiv 2001.08361, Section 5, use it for language models.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from jaxscale._numerics import arrays
from jaxscale._numerics.values import exp_where, is_positive, where_safe
from jaxscale.laws.kaplan import CRITICAL_BATCH, LOSS_OF_STEPS, KaplanSteps
from jaxscale.laws.protocol import exp_of, made_safe
from jaxscale.recipes.recipe import Planned


class TimeAndCompute(NamedTuple):
    """Steps, tokens and time of training to one loss at each batch; fields broadcast."""

    batch_tokens: Array
    steps: Array
    tokens: Array  # batch_tokens times steps: compute is in proportion
    seconds: Array  # NaN where no time for a step was given
    relative_time: Array  # steps over the fewest, of a batch far above the critical one
    relative_compute: Array  # tokens over the fewest, of a batch far below it


def time_and_compute(
    minimum_steps: ArrayLike,
    critical_batch: ArrayLike,
    batch: ArrayLike,
    seconds_per_step: ArrayLike = math.nan,
) -> TimeAndCompute:
    """Steps, tokens and time at each batch, from the fewest steps and the critical batch.

    `S = S_min (1 + B_crit / B)` and `E = B S = E_min (1 + B / B_crit)` with
    `E_min = B_crit S_min`, Kaplan et al. 2020, eq. 5.1, 5.4 and 5.5; batches in tokens.
    `seconds_per_step` is at that batch: machines that do a fixed number of tokens a second take
    `batch / tokens_per_second`. All broadcast; NaN with zero derivatives where a number is not
    positive.

    Examples:
        >>> tradeoff = js.recipes.time_and_compute(1e5, critical_batch=1e6, batch=4e6)
        >>> print(f"{tradeoff.steps:.3g} steps, {tradeoff.tokens:.3g} tokens")
        1.25e+05 steps, 5e+11 tokens
    """
    return _time_and_compute(
        *arrays.enter(
            minimum_steps=minimum_steps,
            critical_batch=critical_batch,
            batch=batch,
            seconds_per_step=seconds_per_step,
        )
    )


@jax.jit
def _time_and_compute(minimum_steps, critical_batch, batch, seconds_per_step):
    batches = {"critical_batch": critical_batch, "batch": batch}
    sizes = {"minimum_steps": minimum_steps, **batches}
    steps = exp_of(_log_steps, None, **sizes)
    tokens = exp_of(_log_tokens, None, **sizes)
    seconds = exp_of(_log_product, None, steps=steps, seconds_per_step=seconds_per_step)
    relative_time = exp_of(_log_relative_time, None, **batches)
    relative_compute = exp_of(_log_relative_compute, None, **batches)
    return TimeAndCompute(batch, steps, tokens, seconds, relative_time, relative_compute)


def batch_tradeoff(
    plan: Planned, batch: ArrayLike, seconds_per_step: ArrayLike = math.nan
) -> TimeAndCompute:
    """Steps, tokens and time to each plan's loss at its size, by batch: Kaplan et al. 2020.

    The fewest steps are those of eq. 1.6 and the critical batch that of eq. 1.4, with the
    coefficients of Tables 3 and 5; the plan's own tokens play no part. `seconds_per_step` as
    in `time_and_compute`. NaN where a model of that size never reaches the loss by eq. 1.6, which
    was fitted to losses on WebText2: those of other data may lie below.

    Examples:
        >>> plan = js.evaluate(js.laws.published("kaplan2020"), 1e9, 1e10)
        >>> tradeoff = js.recipes.batch_tradeoff(plan, batch=1e6)
        >>> print(f"{tradeoff.steps:.2g} steps, {tradeoff.tokens:.2g} tokens")
        2.8e+05 steps, 2.8e+11 tokens
    """
    steps = steps_for(plan.loss, plan.params)
    return time_and_compute(steps, CRITICAL_BATCH.tokens(plan.loss), batch, seconds_per_step)


def critical_tradeoff(plan: Planned, shares: ArrayLike) -> TimeAndCompute:
    """Time against compute at `shares` of the critical batch, for plans that are trained at it.

    Each plan's tokens are taken to reach its loss at Kaplan's critical batch for that loss
    (eq. 1.4), from which the fewest steps follow. Shares broadcast with the plan; NaN with zero
    derivatives where a number is not positive.

    Examples:
        >>> plan = js.evaluate(js.laws.published("sardana2024"), 7e9, 1.4e12)
        >>> tradeoff = js.recipes.critical_tradeoff(plan, shares=4.0)
        >>> print(f"{tradeoff.batch_tokens:.3g} tokens a batch, {tradeoff.tokens:.3g} in all")
        2.82e+07 tokens a batch, 3.5e+12 in all
    """
    tokens, loss, shares = arrays.enter(tokens=plan.tokens, loss=plan.loss, shares=shares)
    critical = CRITICAL_BATCH.tokens(loss)
    # At the critical batch training takes twice its fewest steps.
    fewest = exp_of(_log_half_ratio, None, tokens=tokens, critical_batch=critical)
    batch = exp_of(_log_product, None, shares=shares, critical_batch=critical)
    return time_and_compute(fewest, critical, batch)


def steps_for(loss: ArrayLike, params: ArrayLike, law: KaplanSteps = LOSS_OF_STEPS) -> Array:
    """Fewest steps in which a model of `params` reaches `loss` on unlimited data.

    Kaplan et al. 2020, eq. 1.6 solved for the steps; params exclude embeddings. NaN with zero
    derivatives where a number is not positive and where no number of steps is enough.

    Examples:
        >>> print(f"{js.recipes.steps_for(3.0, params=1e9):.2g}")
        3.7e+03
    """
    return _steps_for(*arrays.enter(law=law, loss=loss, params=params))


@jax.jit
def _steps_for(law, loss, params):
    law, loss, params = arrays.align(law, loss, params)
    answer = law.is_valid() & is_positive(loss) & is_positive(params)
    safe = made_safe(law, answer)
    log_ratio = jnp.log(safe.N_c) - jnp.log(where_safe(answer, params))
    missing = loss - jnp.exp(safe.alpha_N * log_ratio)
    answer &= is_positive(missing)
    log_steps = jnp.log(safe.S_c) - jnp.log(where_safe(answer, missing)) / safe.alpha_S
    return exp_where(answer, log_steps)


def _log_steps(_: None, log_steps: Array, log_critical: Array, log_batch: Array) -> Array:
    return log_steps + jnp.logaddexp(0, log_critical - log_batch)


def _log_tokens(_: None, log_steps: Array, log_critical: Array, log_batch: Array) -> Array:
    return log_steps + jnp.logaddexp(log_critical, log_batch)


def _log_product(_: None, log_x: Array, log_y: Array) -> Array:
    return log_x + log_y


def _log_half_ratio(_: None, log_x: Array, log_y: Array) -> Array:
    return log_x - log_y - math.log(2)


def _log_relative_time(_: None, log_critical: Array, log_batch: Array) -> Array:
    return jnp.logaddexp(0, log_critical - log_batch)


def _log_relative_compute(_: None, log_critical: Array, log_batch: Array) -> Array:
    return jnp.logaddexp(0, log_batch - log_critical)
