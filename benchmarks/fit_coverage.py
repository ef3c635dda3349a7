"""Coverage of bootstrap intervals: `python -m benchmarks.fit_coverage`.

Runs are simulated at the sizes of the 240, from the law fitted to them, with noise drawn with
replacement from that fit's residuals. These need no centring: because A, B and E together
scale the loss, the slopes of Huber's function sum to 0 over the residuals of any fit, and the
law that the losses were made from is what fits of ever more runs would tend to.

Each simulated table is fitted and resampled anew; an interval holds a coefficient or not.
"""

import argparse
import math
import sys
import time
from typing import NamedTuple

import jax
import numpy as np

import jaxscale as js
from benchmarks import fit_problem
from benchmarks.harness import Options, header, progress
from benchmarks.problem import SEED
from benchmarks.report import Cell, add_output, number, of_records, save_and_show, table, text

REPLICATIONS, RESAMPLES = 500, 500
LEVEL, LEAST, MOST = 0.95, 0.92, 0.98
METHODS = "percentile", "basic"
JUDGED = METHODS[0]
NAMES = "ln E", "ln A", "ln B", "alpha", "beta"


class Replication(NamedTuple):
    """A simulated table's fit, and the ends of its intervals: methods, 2, coefficients."""

    coefficients: np.ndarray
    intervals: np.ndarray
    ok: bool
    resamples_ok: float


def run(replications: int, resamples: int) -> dict:
    """Everything found, as one JSON object."""
    start = time.perf_counter()
    truth = fit_problem.fit()
    made = []
    for index in range(replications):
        made.append(_replication(truth, index, resamples))
        if (index + 1) % 50 == 0:
            progress(f"coverage: {index + 1} of {replications} replications")
    found = Replication(*map(np.array, zip(*made, strict=True)))
    facts = {
        "runs": fit_problem.source(),
        "noise": "residuals of the fit, drawn with replacement, not centred: see fit_coverage.py",
        "sum_of_slopes": _sum_of_slopes(truth),
        "replications": replications,
        "resamples": resamples,
        "level": LEVEL,
        "seconds": time.perf_counter() - start,
        "fits_ok": float(found.ok.mean()),
        "resamples_ok": float(found.resamples_ok.mean()),
        "methods": {name: _covered(truth, found, at) for at, name in enumerate(METHODS)},
    }
    return header("fit coverage", Options(), **facts)


def _replication(truth: js.fitting.Fit, index: int, resamples: int) -> Replication:
    runs = _simulated(truth, np.random.default_rng([SEED, index]))
    fit = fit_problem.fit(runs)
    boot = fit_problem.bootstrap(fit, resamples=resamples, key=index)
    low, high = np.quantile(boot.coordinates, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=1)
    centre = fit.coordinates
    ends = np.array([[low, high], [2 * centre - high, 2 * centre - low]])
    return Replication(centre, ends, fit.ok, float(boot.ok.mean()))


def _simulated(truth: js.fitting.Fit, random: np.random.Generator) -> js.Runs:
    """Runs at the sizes of the true ones, each loss off by one of their residuals."""
    runs = truth.runs
    with jax.enable_x64(True):
        exact = np.asarray(truth.law.loss(runs.params, runs.tokens))
    # A residual is ln of the law's loss over the observed one.
    noise = random.choice(truth.residuals, size=len(runs))
    return js.Runs(runs.params, runs.tokens, exact * np.exp(-noise))


def _sum_of_slopes(truth):
    """Of Huber's function at the residuals, in units of its bound: 0 where they are centred."""
    bound = fit_problem.DELTA
    return float(np.clip(truth.residuals, -bound, bound).sum() / bound)


def _covered(truth, found, method):
    low, high = np.moveaxis(found.intervals[:, method], 1, 0)
    columns = zip(truth.coordinates, found.coefficients.T, low.T, high.T, strict=True)
    return {name: _coefficient(*each) for name, each in zip(NAMES, columns, strict=True)}


def _coefficient(truth, fitted, low, high):
    count = len(low)
    coverage = float(np.mean((low <= truth) & (truth <= high)))
    return {
        "truth": float(truth),
        "mean_of_fits": float(fitted.mean()),
        "deviation_of_fits": float(fitted.std(ddof=1)) if count > 1 else None,
        "mean_width": float(np.mean(high - low)),
        "interval_too_low": float(np.mean(high < truth)),
        "interval_too_high": float(np.mean(low > truth)),
        "coverage": coverage,
        "standard_error": math.sqrt(coverage * (1 - coverage) / count),
        "met": LEAST <= coverage <= MOST,
    }


CELLS: dict[str, Cell] = {
    "": text("name"),
    "truth": number("truth", ".5g"),
    "deviation": lambda row: format(row["deviation_of_fits"] or math.nan, ".3g"),
    "mean width": number("mean_width"),
    "too low": number("interval_too_low", ".1%"),
    "too high": number("interval_too_high", ".1%"),
    "coverage": number("coverage", ".1%"),
    "standard error": number("standard_error", ".1%"),
    " ": lambda row: ("met" if row["met"] else "not met") if row["method"] == JUDGED else "",
}


def show(result: dict) -> None:
    """Print everything that a person wants to see of `result`."""
    print(f"\n{result['runs']}: {result['replications']} replications of them, each resampled")
    print(f"{result['resamples']} times; {result['fits_ok']:.1%} of fits and ", end="")
    print(f"{result['resamples_ok']:.2%} of resamples ok; {result['seconds']:.0f} s")
    for method, rows in result["methods"].items():
        records = [{"name": name, "method": method} | rows[name] for name in NAMES]
        title = f"Coverage of {result['level']:.0%} intervals, {method}"
        table(*of_records(title, CELLS, records))


def main(arguments: list[str] | None = None) -> int:
    """Run the study, save it and show it."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.fit_coverage",
        description="How often bootstrap intervals of a fitted law hold the truth.",
    )
    for name, default in (("replications", REPLICATIONS), ("resamples", RESAMPLES)):
        parser.add_argument(
            f"--{name}", type=int, default=default, metavar="N", help="(default: %(default)s)"
        )
    add_output(parser, "fit-coverage")
    options = parser.parse_args(arguments)
    result = run(options.replications, options.resamples)
    save_and_show(result, "fit-coverage", options.output, show)
    return 0


if __name__ == "__main__":
    sys.exit(main())
