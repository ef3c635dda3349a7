"""Learning-rate schedules: the rate of each step of a training, and what laws read of it."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
from jax.typing import ArrayLike

from jaxscale._numerics.names import unknown

MOST_STEPS = 20_000_000  # each has a rate in memory


@dataclass(frozen=True, eq=False, repr=False)
class Schedule:
    """The learning rate of every step; step 0 is the state before the first.

    `rates[t]` is the rate of step t, so that a training of T steps has T + 1 of them: the first
    one trains nothing, but a law reads the fall from each rate to the next. Make one with
    `constant`, `cosine`, `wsd` or `table`. A warm-up of W steps rises linearly from 0 at step 0
    to the peak at step W - 1, as in Luo et al. 2025.

    Examples:
        >>> schedule = js.trajectories.Schedule.cosine(24_000, peak=3e-4, end=3e-5, warmup=2160)
        >>> print(schedule.steps, schedule.rates[[0, 2160, 24_000]])
        24000 [0.e+00 3.e-04 3.e-05]
    """

    rates: np.ndarray

    @property
    def steps(self) -> int:
        """Number of steps."""
        return len(self.rates) - 1

    @property
    def drops(self) -> np.ndarray:
        """Fall of the rate from each step to the next; the first is that of step 1."""
        return self.rates[:-1] - self.rates[1:]

    def __repr__(self) -> str:
        low, high = self.rates.min(), self.rates.max()
        return f"Schedule({self.steps:,} steps, rates {low:.3g} to {high:.3g})"

    def sums(self) -> np.ndarray:
        """Sum of the rates of steps 1 to t, for t from 0 on."""
        return np.concatenate([[0.0], np.cumsum(self.rates[1:])])

    def momenta(self, decay: float) -> np.ndarray:
        """Sum over steps 1 to t of `m_t = decay m_(t-1) + drop_t`, for t from 0 on."""

        def carried(momentum: float, drop: float) -> float:
            return decay * momentum + drop

        return np.cumsum(list(accumulate(self.drops.tolist(), carried, initial=0.0)))

    def checked_steps(self, steps: ArrayLike | None) -> np.ndarray:
        """Numbers of steps as whole numbers; all from 1 on for None.

        Raises ValueError for what is not a step of the schedule.
        """
        if steps is None:
            return np.arange(1, self.steps + 1)
        given = np.asarray(steps)
        whole = given.astype(np.int64)
        bad = (whole != given) | (whole < 1) | (whole > self.steps)
        if bad.any():
            raise ValueError(
                f"steps must be whole numbers from 1 to the schedule's {self.steps:,}; "
                f"got {given[bad].flat[0]}"
            )
        return whole

    # --- Forms --------------------------------------------------------------------------------

    @classmethod
    def constant(cls, steps: int, peak: float, *, warmup: int = 0) -> "Schedule":
        """One rate after the warm-up.

        Examples:
            >>> print(js.trajectories.Schedule.constant(1000, 3e-4, warmup=100))
            Schedule(1,000 steps, rates 0 to 0.0003)
        """
        _check(steps, peak, warmup)
        return cls(_with_warmup(peak, warmup, np.full(steps + 1, float(peak))))

    @classmethod
    def cosine(cls, steps: int, peak: float, end: float, *, warmup: int = 0) -> "Schedule":
        """Half a cosine from the peak, where the warm-up ends, to `end` at the last step.

        Examples:
            >>> print(js.trajectories.Schedule.cosine(1000, 3e-4, 3e-5))
            Schedule(1,000 steps, rates 3e-05 to 0.0003)
        """
        _check(steps, peak, warmup, end)
        part = np.clip((np.arange(steps + 1) - warmup) / max(steps - warmup, 1), 0, 1)
        rates = end + (peak - end) * (1 + np.cos(np.pi * part)) / 2
        return cls(_with_warmup(peak, warmup, rates))

    @classmethod
    def wsd(
        cls,
        steps: int,
        peak: float,
        end: float,
        *,
        decay_steps: int,
        warmup: int = 0,
        decay: str = "exponential",
    ) -> "Schedule":
        """Warm-up, stable rate, and decay to `end` over the last `decay_steps` ("WSD").

        `decay` is "exponential", where each step multiplies the rate by one factor, or "linear".
        Raises ValueError for another, and for numbers that make no schedule.

        Examples:
            >>> schedule = js.trajectories.Schedule.wsd(1000, 3e-4, 3e-5, decay_steps=200)
            >>> print(schedule.rates[[800, 900, 1000]])
            [3.00000000e-04 9.48683298e-05 3.00000000e-05]
        """
        _check(steps, peak, warmup, end)
        if not 0 < decay_steps <= steps - warmup:
            raise ValueError(
                f"decay_steps must be from 1 to the {steps - warmup:,} steps after the warm-up; "
                f"got {decay_steps!r}"
            )
        if decay not in DECAYS:
            raise unknown("decay", decay, DECAYS)
        if decay == "exponential" and end <= 0:
            raise ValueError(f"end must be above 0 for an exponential decay; got {end!r}")
        part = np.clip((np.arange(steps + 1) - steps + decay_steps) / decay_steps, 0, 1)
        return cls(_with_warmup(peak, warmup, DECAYS[decay](peak, end, part)))

    @classmethod
    def table(cls, lr: ArrayLike, *, before: float | None = None) -> "Schedule":
        """The rates of steps 1, 2 and so on; `before` is that of step 0, by default the first.

        Examples:
            >>> schedule = js.trajectories.Schedule.table([3e-4] * 800 + [9e-5] * 1600)
            >>> print(schedule)
            Schedule(2,400 steps, rates 9e-05 to 0.0003)
        """
        rates = np.asarray(lr, float)
        if rates.ndim != 1 or not rates.size or not (np.isfinite(rates) & (rates >= 0)).all():
            raise ValueError("lr must be a list of rates, finite and 0 or more, one for each step")
        first = rates[0] if before is None else float(before)
        return cls(np.concatenate([[first], rates]))


def _exponential(peak: float, end: float, part: np.ndarray) -> np.ndarray:
    return peak ** (1 - part) * end**part


def _linear(peak: float, end: float, part: np.ndarray) -> np.ndarray:
    return peak + (end - peak) * part


DECAYS: Mapping[str, Callable[[float, float, np.ndarray], np.ndarray]] = {
    "exponential": _exponential,
    "linear": _linear,
}


def _with_warmup(peak: float, warmup: int, rates: np.ndarray) -> np.ndarray:
    rates[:warmup] = np.linspace(0, peak, warmup)
    return rates


def checked_count(name: str, count: Any, least: int) -> int:
    """A number of steps; ValueError for one that no schedule has."""
    is_whole = isinstance(count, int | np.integer) and not isinstance(count, bool)
    if not is_whole or not least <= count <= MOST_STEPS:
        raise ValueError(
            f"{name} must be a whole number from {least} to {MOST_STEPS:,}; got {count!r}"
        )
    return int(count)


def _check(steps: Any, peak: float, warmup: Any, end: float = 0.0) -> None:
    checked_count("steps", steps, 1)
    checked_count("warmup", warmup, 0)
    if warmup > steps:
        raise ValueError(f"warmup must be at most the {steps:,} steps; got {warmup!r}")
    for name, rate, low in (("peak", peak, peak > 0), ("end", end, end >= 0)):
        if not (math.isfinite(rate) and low):
            least = "above 0" if name == "peak" else "0 or more"
            raise ValueError(f"{name} must be finite and {least}; got {rate!r}")
    if end > peak:
        raise ValueError(f"end must be at most the peak, {peak:g}; got {end!r}")
