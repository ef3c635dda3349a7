"""The harness of all suites: rows are built, checked, timed in turns, and set against aims.

A suite lists its rows and its aims. Every row is checked before any is timed, by a first call
that compiles it. Then rows take turns, in an order that changes, and the median counts.
"""

import importlib.util
import math
import random
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import numpy as np

from benchmarks import machine

ROUNDS = 7
# Rows slower than this join only so many rounds: one already is more than enough work.
SLOW_SECONDS, SLOW_ROUNDS = 2.0, 2
# Lets the threads of the row before go to sleep.
PAUSE_SECONDS = 0.01
# A batch size is timed for at least so many rounds and seconds, but for no more seconds than this.
BATCH_ROUNDS, BATCH_SECONDS, BATCH_MOST_SECONDS = 5, 0.1, 1.5
# Of a run of the device alone, and the share of its rows' time in which they may be checked.
DEVICE_SECONDS, CHECKING_SHARE = 105.0, 0.7
# First words of the names of peers, which a run of the device leaves out.
PEERS = "scipy", "NumPy", "optax", "optimistix", "resamples,"
WRONG, PEER = "wrong: ", "a peer, left out of a run of the device"
COMPILE_EVENTS = {
    "/jax/core/compile/jaxpr_trace_duration": "lower",
    "/jax/core/compile/jaxpr_to_mlir_module_duration": "lower",
    "/jax/core/compile/backend_compile_duration": "compile",
}


class Unavailable(RuntimeError):
    """This row cannot run here; the message says why."""


class Disagreement(ArithmeticError):
    """A row gave an answer further from the truth than its precision allows."""


class Options(NamedTuple):
    """What the command line asks of a suite."""

    quick: bool = False
    device: bool = False  # our rows and the floor alone
    trillion: bool = False
    scenarios: int | None = None
    largest: int | None = None
    until: float = math.inf  # of time.perf_counter, when to begin nothing more

    @property
    def is_over(self) -> bool:
        return time.perf_counter() > self.until

    def left_out(self, names: Iterable[str], slow: Iterable[str] = ()) -> dict[str, str]:
        """Rows that are not run, and why; a quick run does without those that compile slowly."""
        reasons = {}
        if self.quick:
            reasons |= dict.fromkeys(slow, "left out of a quick run: it compiles for long")
        if self.device:
            peers = (name for name in names if name.startswith(PEERS))
            reasons |= dict.fromkeys(peers, PEER)
        return reasons

    def rounds(self, quick: int) -> int:
        return quick if self.quick else ROUNDS


@dataclass(frozen=True)
class Row:
    """One way to do the work of a suite."""

    name: str
    call: Callable[[], Any]  # runs it to the end, or to a JAX array
    check: Callable[[Any], dict]  # of what `call` returned: `agreement` and more of the record
    work: float  # of one call, in scenarios or tasks
    facts: dict = field(default_factory=dict)  # of the record, as they are
    against: str = ""  # the row whose speed is the unit of `ratio`
    floor: str = ""  # the row whose speed is the unit of `of_floor`: nothing does less work
    whole: Callable[[], dict] | None = None  # a longer measurement, made once


class Aim(NamedTuple):
    """`row` has `factor` times the speed that the fastest of `others` has."""

    row: str
    factor: float
    others: tuple[str, ...]
    stretch: bool = False


class Suite(NamedTuple):
    """Rows of one kind of work."""

    rows: Mapping[str, Callable[[str], Row]]  # by name, of which each is made; may be Unavailable
    aims: list[Aim]
    rounds: int
    speed: str = "scenarios_per_second"  # of a record, which aims compare
    left_out: Mapping[str, str] = {}  # names of rows, and why they are not run
    until: float = math.inf  # of time.perf_counter, when to begin nothing more
    between: Callable[[], None] = lambda: None  # after each call, outside the clock


def measured(suite: Suite) -> dict:
    """Records of all rows, what was omitted and why, and the aims with what came of them.

    A row whose answer is wrong is not timed; `has_wrong` finds it in the result.
    """
    built, omitted = _built(suite)
    records, rows = {}, []
    start = time.perf_counter()
    last_check = start + CHECKING_SHARE * (suite.until - start)
    for row in built:
        try:
            if time.perf_counter() > last_check:
                raise Unavailable("no time was left")
            records[row.name] = _checked(row, suite)
            rows.append(row)
        except Disagreement as wrong:
            progress(f"not timed: {wrong}")
            omitted[row.name] = f"{WRONG}{wrong}"
        except Unavailable as reason:
            omitted[row.name] = str(reason)
        except Exception as error:
            if suite.until == math.inf:
                raise
            # A device is lent by the minute: the other rows are worth having.
            omitted[row.name] = f"{WRONG}{type(error).__name__}: {error}"
    calls = {row.name: row.call for row in rows}
    times = interleaved(calls, suite.rounds, suite.between, suite.until)
    for row in rows:
        timed = summary(times[row.name])
        records[row.name] |= {"seconds": timed, suite.speed: row.work / timed["median"]}
    for row in rows:
        speed = records[row.name][suite.speed]
        if row.against in records:
            ratio = speed / records[row.against][suite.speed]
            records[row.name] |= {"against": row.against, "ratio": ratio}
        if row.floor in records and row.floor != row.name:
            ratio = speed / records[row.floor][suite.speed]
            records[row.name] |= {"floor": row.floor, "of_floor": ratio}
    aims = [_judged(aim, records, suite.speed) for aim in suite.aims]
    return {"rows": list(records.values()), "omitted": omitted, "aims": aims}


def has_wrong(result: dict) -> bool:
    """Whether the answer of any row was wrong, or none came."""
    return any(reason.startswith(WRONG) for reason in result["omitted"].values())


def _built(suite):
    built, omitted = [], {}
    for name, build in suite.rows.items():
        try:
            if name in suite.left_out:
                raise Unavailable(suite.left_out[name])
            built.append(build(name))
        except Unavailable as reason:
            omitted[name] = str(reason)
    return built, omitted


def _checked(row, suite):
    progress(f"checking: {row.name}")
    answer, compiled = first_call(row.call)
    record = {"name": row.name, **row.facts, **row.check(answer)}
    record |= {
        "first_call": compiled["first_call"],
        "compile_seconds": compiled if compiled["compile"] else None,
    }
    if row.whole:
        record["whole"] = row.whole()
    suite.between()
    return record


def _judged(aim, records, speed):
    """An aim with its value and whether it is met; None for both where a row is missing."""
    present = [name for name in aim.others if name in records]
    fastest = max(present, key=lambda name: records[name][speed], default=None)
    value = met = None
    if fastest and aim.row in records:
        value = records[aim.row][speed] / records[fastest][speed]
        met = value >= aim.factor
    return {
        "row": aim.row,
        "against": fastest or aim.others[0],
        "at_least": aim.factor,
        "stretch": aim.stretch,
        "value": value,
        "met": met,
    }


def at_most(row: str, against: str, most: float, value: float | None) -> dict:
    """An aim that a value is at most `most`, as `measured` records others."""
    met = None if value is None else value <= most
    return {
        "row": row, "against": against, "at_most": most, "stretch": False, "value": value,
        "met": met,
    }  # fmt: skip


def header(benchmark: str, options: Options, **facts: Any) -> dict:
    """The beginning of a result: what was run, with what, and on what."""
    return {
        "benchmark": benchmark,
        "quick": options.quick,
        "device_only": options.device,
        **facts,
        "versions": machine.versions(),
        "machine": machine.machine(),
        "commit": machine.commit(),
    }


def need(*packages: str) -> None:
    """Unavailable unless all of these are installed."""
    for package in packages:
        if importlib.util.find_spec(package) is None:
            raise Unavailable(f"{package} is not installed")


# --- Agreement -------------------------------------------------------------------------------


def require_agreement(name: str, found: tuple, expected: tuple, tolerance: float) -> float:
    """Largest relative difference of two answers, over the scenarios that `found` solved.

    Disagreement, naming the row, where it is above the tolerance or nothing was solved.
    """
    off = max(_off(*pair) for pair in zip(found, expected, strict=True))
    if not off <= tolerance:
        raise Disagreement(f"{name}: off by {off:.1e}, relative; {tolerance:.0e} is allowed")
    return off


def _off(found, expected):
    off = np.abs(np.asarray(found, np.longdouble) / np.asarray(expected, np.longdouble) - 1)
    solved = np.isfinite(off)
    return float(off[solved].max()) if solved.any() else math.inf


# --- Clocks ----------------------------------------------------------------------------------


def progress(message: str) -> None:
    """One line for whoever waits; results go to the standard output."""
    print(message, file=sys.stderr, flush=True)


def seconds(call: Callable) -> float:
    """Time of one call until its result is there."""
    start = time.perf_counter()
    jax.block_until_ready(call())
    return time.perf_counter() - start


def first_call(call: Callable) -> tuple[Any, dict[str, float]]:
    """The answer of a call, its seconds, and the parts of them in which JAX compiled."""
    before, answers = _compiling().copy(), []
    taken = seconds(lambda: answers.append(call()) or answers)
    parts = {part: _compiling()[part] - before[part] for part in ("lower", "compile")}
    return answers[0], parts | {"first_call": taken}


_COMPILED: list[Counter] = []  # seconds by part, from the first time that they are asked for


def _compiling():
    if not _COMPILED:
        total = Counter()

        def heard(event, duration_secs, **_):
            if event in COMPILE_EVENTS:
                total[COMPILE_EVENTS[event]] += duration_secs

        jax.monitoring.register_event_duration_secs_listener(heard)
        _COMPILED.append(total)
    return _COMPILED[0]


def interleaved(
    calls: dict[str, Callable],
    rounds: int = ROUNDS,
    between: Callable[[], None] = lambda: None,
    until: float = math.inf,
) -> dict[str, list[float]]:
    """All times of each call, none of which is its first; `between` runs outside the clock.

    No round but the first begins after `until`, of time.perf_counter.
    """
    times: dict[str, list[float]] = {name: [] for name in calls}
    order, shuffle = list(calls), random.Random(0).shuffle
    for done in range(rounds):
        if done and time.perf_counter() > until:
            break
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


def summary(times: list[float]) -> dict:
    """Median, least and number of `times`, and the times themselves."""
    return {
        "median": statistics.median(times),
        "min": min(times),
        "rounds": len(times),
        "times": times,
    }


def medians(label: str, rounds: int, measure: Callable[[], dict[str, float]]) -> dict:
    """Medians of each part over measurements in new processes, and these themselves."""
    found = []
    for done in range(rounds):
        progress(f"{label}: round {done + 1} of {rounds}")
        found.append(measure())
    parts = {part: statistics.median(each[part] for each in found) for part in found[0]}
    return parts | {"rounds": found}
