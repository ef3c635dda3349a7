"""Coverage of the interval of the best size: `python -m benchmarks.size_coverage`.

Tables of runs are simulated from a published law, of designs that people have, and each is fitted
and resampled as `jaxscale fit` does. Its 95 % interval of compute-optimal params at ten times the
largest budget holds those of the law or not. 500 tables each tell the share within 1 %.
"""

import argparse
import math
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

import jaxscale as js
from benchmarks.harness import Options, header, progress
from benchmarks.problem import SEED
from benchmarks.report import Cell, add_output, number, of_records, save_and_show, table, text

TABLES, RESAMPLES = 500, 400
LEAST, MOST = 0.92, 0.98
FARTHER = 10  # than the largest budget
LAW = "besiroglu2024"
Sizes = tuple[np.ndarray, np.ndarray]
Generator = np.random.Generator


class Design(NamedTuple):
    """Runs that someone has, and their noise."""

    sizes: Callable[[Any, Generator], Sizes]  # params and tokens
    noise: float = 0.005  # standard deviation of ln loss
    freedom: float = math.inf  # of Student's t; infinite for a normal
    group: int = 1  # runs in a row that err together
    objective: Any = None


def profiles(budgets: int, sizes: int, decades: float, most: float = 1e20) -> Any:
    """IsoFLOP profiles: sizes even in logarithms about the optimum, from 1e18 FLOPs."""

    def made(law: Any, _: Generator) -> Sizes:
        flops = np.repeat(np.geomspace(1e18, most, budgets), sizes)
        best = np.asarray(js.compute_optimal(law, flops=flops).params)
        params = best * np.tile(10 ** np.linspace(-decades, decades, sizes), budgets)
        return params, flops / 6 / params

    return made


def scattered(count: int) -> Any:
    """Runs as `js.fitting.simulate` draws them: 1e19 to 1e22 FLOPs, 5 to 500 tokens per param."""

    def made(_: Any, random: Generator) -> Sizes:
        flops = np.exp(random.uniform(*np.log([1e19, 1e22]), count))
        params = np.sqrt(flops / 6 / np.exp(random.uniform(*np.log([5, 500]), count)))
        return params, flops / 6 / params

    return made


def trainings(count: int, checkpoints: int) -> Any:
    """Checkpoints of a few trainings, one a size."""

    def made(_: Any, __: Generator) -> Sizes:
        params = np.repeat(np.geomspace(5e7, 2e9, count), checkpoints)
        return params, params * np.tile(np.geomspace(4, 150, checkpoints), count)

    return made


FIVE, SQUARED = profiles(5, 6, 0.6), js.fitting.SquaredError()
DESIGNS = {
    "4 budgets x 5 sizes": Design(profiles(4, 5, 0.8)),
    "5 budgets x 6 sizes": Design(FIVE),
    "the same, noise 0.3 %": Design(FIVE, noise=0.003),
    "the same, noise 1 %": Design(FIVE, noise=0.01),
    "the same, noise of t3": Design(FIVE, freedom=3),
    "the same, least squares": Design(FIVE, objective=SQUARED),
    "6 budgets x 8 sizes": Design(profiles(6, 8, 0.8, 1e21)),
    "16 runs": Design(scattered(16)),
    "30 runs": Design(scattered(30)),
    "30 runs, noise of t3": Design(scattered(30), freedom=3),
    "30 runs, least squares": Design(scattered(30), objective=SQUARED),
    "60 runs": Design(scattered(60)),
    "240 runs": Design(scattered(240)),
    "8 trainings x 8 checkpoints": Design(trainings(8, 8), noise=0.004, group=8),
    "12 trainings x 8 checkpoints": Design(trainings(12, 8), noise=0.004, group=8),
    "20 trainings x 6 checkpoints": Design(trainings(20, 6), noise=0.004, group=6),
}


def replication(design: Design, index: int, resamples: int) -> tuple[float, float, float]:
    """The logarithm of the law's best size, and the ends of the interval of a table's."""
    law, random = js.laws.published(LAW), np.random.default_rng([SEED, index])
    params, tokens = design.sizes(law, random)
    normal = np.isinf(design.freedom)
    draw = random.standard_normal if normal else lambda n: random.standard_t(design.freedom, n)
    one = 1 if normal else math.sqrt(design.freedom / (design.freedom - 2))
    noise = np.repeat(draw(params.size // design.group), design.group) / one
    loss = np.asarray(law.loss(params, tokens)) * np.exp(design.noise * noise)
    group = None if design.group == 1 else np.arange(params.size) // design.group
    runs = js.Runs(params, tokens, loss, group=group)
    fit = js.fit(js.laws.Chinchilla, runs, objective=design.objective)
    flops = FARTHER * runs.flops.max()
    laws = js.bootstrap(fit, resamples=resamples, key=index).law
    low, high = js.size_intervals(laws, flops)["params"]
    true = js.compute_optimal(law, flops=flops).params
    truth, low, high = (math.log(float(x)) for x in (true, low, high))
    return truth, low, high


def run(names: list[str], tables: int, resamples: int) -> dict[str, Any]:
    """Coverage of each design, as one JSON object."""
    start, rows = time.perf_counter(), []
    for name in names:
        truth, low, high = np.array(
            [replication(DESIGNS[name], at, resamples) for at in range(tables)]
        ).T
        share = float(np.mean((low <= truth) & (truth <= high)))
        rows.append(
            {
                "name": name,
                "too_low": float(np.mean(high < truth)),
                "too_high": float(np.mean(low > truth)),
                "factor": float(np.exp(np.median(high - low))),
                "coverage": share,
                "standard_error": math.sqrt(share * (1 - share) / tables),
                "met": LEAST <= share <= MOST,
            }
        )
        progress(f"size coverage: {name}, {share:.1%}")
    seconds = time.perf_counter() - start
    facts = {"law": LAW, "tables": tables, "resamples": resamples, "seconds": seconds, "rows": rows}
    return header("size coverage", Options(), **facts)


CELLS: dict[str, Cell] = {
    "": text("name"),
    "high over low": number("factor", ".2f"),
    "too low": number("too_low", ".1%"),
    "too high": number("too_high", ".1%"),
    "coverage": number("coverage", ".1%"),
    "standard error": number("standard_error", ".1%"),
    " ": lambda row: "met" if row["met"] else "not met",
}


def show(result: dict[str, Any]) -> None:
    """Print everything that a person wants to see of `result`."""
    print(f"\n{result['tables']} tables each, by {result['law']}; {result['seconds']:.0f} s")
    title = "Coverage of 95% intervals of the best size at ten times the largest budget"
    table(*of_records(title, CELLS, result["rows"]))


def main(arguments: list[str] | None = None) -> int:
    """Run the study, save it and show it."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.size_coverage",
        description="How often intervals of the best size hold it.",
    )
    parser.add_argument("designs", nargs="*", default=list(DESIGNS), help="(default: all)")
    for name, default in (("tables", TABLES), ("resamples", RESAMPLES)):
        parser.add_argument(
            f"--{name}", type=int, default=default, metavar="N", help="(default: %(default)s)"
        )
    add_output(parser, "size-coverage")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.designs if name not in DESIGNS]
    if unknown:
        parser.error(f"unknown design {unknown[0]!r}; known: {', '.join(map(repr, DESIGNS))}")
    warnings.simplefilter("ignore", UserWarning)  # each table's own
    with jax.enable_x64(True):
        result = run(options.designs, options.tables, options.resamples)
    save_and_show(result, "size-coverage", options.output, show)
    return 0


if __name__ == "__main__":
    sys.exit(main())
