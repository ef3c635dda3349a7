"""Fair clocks: everything compiled first, every row once a round, in an order that changes."""

import random
import statistics
import sys
import time
from collections.abc import Callable

import jax

ROUNDS = 7
# Rows slower than this join only so many rounds: one already is more than enough work.
SLOW_SECONDS, SLOW_ROUNDS = 2.0, 2
# Lets the threads of the row before go to sleep.
PAUSE_SECONDS = 0.01
# A batch size is timed for at least so many rounds and seconds, but for no more seconds than this.
BATCH_ROUNDS, BATCH_SECONDS, BATCH_MOST_SECONDS = 5, 0.1, 1.5


def progress(message: str) -> None:
    """One line for whoever waits; results go to the standard output."""
    print(message, file=sys.stderr, flush=True)


def seconds(call: Callable) -> float:
    """Time of one call until its result is there."""
    start = time.perf_counter()
    jax.block_until_ready(call())
    return time.perf_counter() - start


def interleaved(
    calls: dict[str, Callable], rounds: int = ROUNDS, between: Callable[[], None] = lambda: None
) -> dict[str, list[float]]:
    """All times of each call, none of which is its first; `between` runs outside the clock."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    order, shuffle = list(calls), random.Random(0).shuffle
    for done in range(rounds):
        progress(f"timing: round {done + 1} of {rounds}")
        shuffle(order)
        for name in order:
            if done >= SLOW_ROUNDS and min(times[name]) > SLOW_SECONDS:
                continue
            time.sleep(PAUSE_SECONDS)
            times[name].append(seconds(calls[name]))
            between()
    return times


def repeated(call: Callable) -> list[float]:
    """Times of one call after a first."""
    seconds(call)
    times = [seconds(call)]
    while len(times) < BATCH_ROUNDS or sum(times) < BATCH_SECONDS:
        if sum(times) > BATCH_MOST_SECONDS:
            break
        times.append(seconds(call))
    return times


def compile_seconds(jitted, *arguments) -> dict[str, float]:
    """Time to lower and compile, and time of a first call, each from nothing."""
    jax.clear_caches()
    first = seconds(lambda: jitted(*arguments))
    jax.clear_caches()
    start = time.perf_counter()
    lowered = jitted.lower(*arguments)
    lowering = time.perf_counter() - start
    lowered.compile()
    compiling = time.perf_counter() - start - lowering
    return {"lower": lowering, "compile": compiling, "first_call": first}


def summary(times: list[float]) -> dict:
    """Median, least and number of `times`, and the times themselves."""
    return {
        "median": statistics.median(times),
        "min": min(times),
        "rounds": len(times),
        "times": times,
    }
