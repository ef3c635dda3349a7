"""The rows of the tables of fits: what each is called, what it runs, and on how many starts."""

import importlib.util
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np

import jaxscale as js
from benchmarks import fit_peers, fit_problem
from benchmarks.fit_peers import Ended
from benchmarks.fit_problem import Logs, hoffmann_starts, logs, published_resamples, runs
from benchmarks.floor import Unavailable

STARTS, RESAMPLES = "starts", "resamples"
# One start in so many, evenly. No side of Hoffmann's grid, of 5 or 6 values, divides them, or a
# sample would lack most values of an exponent.
STRIDE, STRIDE_OF_SLOW = 31, 131
RESAMPLE_STRIDE = 20
QUICK_FACTOR, QUICK_RESAMPLES = 7, 400


class Setting(NamedTuple):
    """What rows are built for: the runs, all starts and resamples, and our fit."""

    logs: Logs
    starts: np.ndarray
    resamples: np.ndarray  # places among the runs
    fit: js.fitting.Fit
    quick: bool


def setting(quick: bool) -> Setting:
    """The problem of `fit_problem`, with a tenth of its resamples where `quick`."""
    resamples = published_resamples(QUICK_RESAMPLES if quick else fit_problem.RESAMPLES)
    found = js.fit(js.laws.Chinchilla, runs())
    return Setting(logs(), hoffmann_starts(), resamples, found, quick)


@dataclass(frozen=True)
class Row:
    """One way to do all of a task, or a sample of it."""

    name: str
    task: str  # STARTS or RESAMPLES
    total: int  # of the whole task
    places: np.ndarray  # of the starts or resamples that `call` takes, among all of them
    call: Callable[[], Any]  # a Fit, a Bootstrap or an Ended
    compiles: bool = False  # with its first call
    whole: Callable[[], Ended] | None = None  # all of the task, for what is timed on a sample
    note: str = ""


# --- Ours ------------------------------------------------------------------------------------


def default_fit(name: str, given: Setting) -> Row:
    starts = np.arange(given.fit.search.starts)
    call = partial(js.fit, js.laws.Chinchilla, runs())
    return Row(name, STARTS, len(starts), starts, call, note="its own starts")


def hoffmann_fit(name: str, given: Setting) -> Row:
    call = partial(js.fit, js.laws.Chinchilla, runs(), starts="hoffmann2022")
    total = len(given.starts)
    return Row(name, STARTS, total, np.arange(total), call, note="the best go to the end")


def bootstrap(name: str, given: Setting) -> Row:
    total = len(given.resamples)
    call = partial(_bootstrap, given.fit, given.resamples)
    return Row(name, RESAMPLES, total, np.arange(total), call)


def _bootstrap(fit, places):
    with warnings.catch_warnings(action="ignore", category=UserWarning):
        return js.bootstrap(fit, indices=places)


# --- Peers -----------------------------------------------------------------------------------


def scipy_starts(solver: fit_peers.Solver, name: str, given: Setting, note: str = "") -> Row:
    _require("scipy")
    total = len(given.starts)
    places = _sample(total, STRIDE, given)
    solve = partial(fit_peers.each_start, solver, given.logs)
    call, whole = partial(solve, given.starts[places]), partial(solve, given.starts)
    return Row(name, STARTS, total, places, call, whole=whole, note=note)


def scipy_resamples(solver: fit_peers.Solver, name: str, given: Setting, note: str = "") -> Row:
    _require("scipy")
    total = len(given.resamples)
    places = _sample(total, RESAMPLE_STRIDE, given)
    start = fit_problem.in_peers_order(given.fit.coordinates)
    solve = partial(fit_peers.each_resample, solver, given.logs, start)
    call, whole = partial(solve, given.resamples[places]), partial(solve, given.resamples)
    return Row(name, RESAMPLES, total, places, call, whole=whole, note=note)


def optax_starts(batched: Callable, stride: int, name: str, given: Setting) -> Row:
    solver = fit_peers.optax_lbfgs(given.logs, batched)
    return _jitted_starts(solver, stride, name, given)


def optimistix_starts(batched: Callable, stride: int, name: str, given: Setting) -> Row:
    _require("optimistix")
    solver = fit_peers.optimistix_starts(given.logs, batched)
    return _jitted_starts(solver, stride, name, given)


def _jitted_starts(solver, stride, name, given):
    total = len(given.starts)
    places = _sample(total, stride, given)
    starts = given.starts[places]
    return Row(name, STARTS, total, places, partial(solver, starts), compiles=True)


def optimistix_resamples(batched: Callable, name: str, given: Setting) -> Row:
    _require("optimistix")
    total = len(given.resamples)
    places = _sample(total, RESAMPLE_STRIDE, given)
    weights = _weights(given.resamples[places])
    start = fit_problem.in_peers_order(given.fit.coordinates)
    solver = fit_peers.optimistix_resamples(given.logs, start, batched)
    return Row(name, RESAMPLES, total, places, partial(solver, weights), compiles=True)


def _weights(places):
    return np.array([np.bincount(row, minlength=row.size) for row in places], float)


def _sample(total, stride, given):
    return np.arange(0, total, stride * (QUICK_FACTOR if given.quick else 1))


def _require(package):
    if importlib.util.find_spec(package) is None:
        raise Unavailable(f"{package} is not installed")


OURS, OURS_HOFFMANN = "js.fit", "js.fit, Hoffmann's starts"
LEAST_SQUARES = "scipy least_squares"
MINPACK = "scipy MINPACK"
LBFGSB, LBFGSB_TIGHT = "scipy L-BFGS-B", "scipy L-BFGS-B, tight"
DIFFERENCES = "scipy L-BFGS-B, differences"
OPTAX_MAP, OPTAX_VMAP = "optax L-BFGS, lax.map", "optax L-BFGS, vmap"
OPTIMISTIX_MAP, OPTIMISTIX_VMAP = "optimistix LM, lax.map", "optimistix LM, vmap"
OURS_BOOTSTRAP = "js.bootstrap"
LEAST_SQUARES_AGAIN = "resamples, scipy least_squares"
MINPACK_AGAIN = "resamples, scipy MINPACK"
LBFGSB_AGAIN = "resamples, scipy L-BFGS-B, tight"
OPTIMISTIX_AGAIN = "resamples, optimistix LM, lax.map"

MAP, VMAP = fit_peers.mapped, fit_peers.vmapped
BUILDERS: dict[str, Callable[[str, Setting], Row]] = {
    OURS: default_fit,
    OURS_HOFFMANN: hoffmann_fit,
    LEAST_SQUARES: partial(scipy_starts, fit_peers.least_squares, note="one thread"),
    MINPACK: partial(scipy_starts, fit_peers.minpack, note="roots, centred"),
    LBFGSB: partial(scipy_starts, fit_peers.lbfgsb, note="SciPy's tolerances"),
    LBFGSB_TIGHT: partial(scipy_starts, fit_peers.lbfgsb_tight),
    DIFFERENCES: partial(scipy_starts, fit_peers.lbfgsb_differences, note="as published"),
    OPTAX_MAP: partial(optax_starts, MAP, STRIDE),
    OPTAX_VMAP: partial(optax_starts, VMAP, STRIDE_OF_SLOW),
    OPTIMISTIX_MAP: partial(optimistix_starts, MAP, STRIDE),
    OPTIMISTIX_VMAP: partial(optimistix_starts, VMAP, STRIDE),
    OURS_BOOTSTRAP: bootstrap,
    LEAST_SQUARES_AGAIN: partial(scipy_resamples, fit_peers.least_squares),
    MINPACK_AGAIN: partial(scipy_resamples, fit_peers.minpack),
    LBFGSB_AGAIN: partial(scipy_resamples, fit_peers.lbfgsb_tight),
    OPTIMISTIX_AGAIN: partial(optimistix_resamples, MAP),
}
# Of the peers that are timed on a sample, those that the aims name also do all of it, once.
DONE_WHOLE = LEAST_SQUARES, LEAST_SQUARES_AGAIN


def build(name: str, given: Setting) -> Row:
    """The row of that name, inputs in place; may raise Unavailable."""
    return BUILDERS[name](name, given)
