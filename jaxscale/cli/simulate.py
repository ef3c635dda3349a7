"""`jaxscale simulate`: a table of runs from a law with noise, so that all can be tried."""

from pathlib import Path
from typing import Any

import numpy as np

import jaxscale as js
from jaxscale.cli import fit_options, options, tables
from jaxscale.cli.export import replacing
from jaxscale.cli.levers import without_levers
from jaxscale.cli.mistakes import Mistake, check_file, path_of
from jaxscale.cli.named_law import read_law
from jaxscale.cli.quantities import count, counted, percent, scientific
from jaxscale.fitting import simulate as simulated

RUNS, MOST_RUNS, NOISE = 200, 10_000_000, 0.005
FLOPS, RATIO = (1e19, 1e22), (5.0, 500.0)
DIGITS = 12  # of what is written: no count of tokens is known better


def simulate(
    path: fit_options.Table = "runs.csv",
    runs: fit_options.Count = None,
    noise: fit_options.Noise = None,
    min_flops: fit_options.MinFlops = None,
    max_flops: fit_options.MaxFlops = None,
    min_ratio: fit_options.MinRatio = None,
    max_ratio: fit_options.MaxRatio = None,
    seed: fit_options.SimulationSeed = None,
    law: options.Law = options.DEFAULT_LAW,
    overwrite: fit_options.Overwrite = False,
    as_json: options.Json = False,
) -> None:
    """Make a table of runs from a law with noise, to try jaxscale fit without data.

    Budgets and tokens per param are drawn evenly in their logarithms, and each loss is that of
    the law times a normal error. The same seed gives the same table.
    """
    target = checked_target(path, overwrite)
    named = without_levers(read_law(law), "--law")
    named.need_all()
    flops = read_limits("flops", min_flops, max_flops, FLOPS)
    ratio = read_limits("tokens-per-param", min_ratio, max_ratio, RATIO)
    number = RUNS if runs is None else runs
    if not 0 < number <= MOST_RUNS:
        raise Mistake(f"--runs must be from 1 to {MOST_RUNS:,}; got {number:,}")
    found = simulated(
        named.law,
        number,
        key=seed or 0,
        noise=NOISE if noise is None else noise,
        flops=flops,
        tokens_per_param=ratio,
    )
    if not np.isfinite(found.loss).all():
        raise Mistake(f"--law: {named.name} has no loss at some of these sizes")
    write(found, target)
    record = {
        "path": str(target),
        "runs": len(found),
        "law": {"name": named.name, **tables.plain(named.law)},
        "law_status": named.warning,
        "noise": NOISE if noise is None else noise,
        "flops": list(flops),
        "tokens_per_param": list(ratio),
        "seed": seed or 0,
    }
    tables.print_json("simulate", record) if as_json else show(record)


EXAMPLES = """\
jaxscale simulate
jaxscale simulate small.csv --runs 40 --noise 1% --law besiroglu2024 --seed 7
jaxscale simulate one-ratio.csv --min-tokens-per-param 20 --max-tokens-per-param 20
"""


def checked_target(text: str, overwrite: bool) -> Path:
    """Where the table goes: never over one that is there, which may be real runs."""
    path = path_of(text)
    if text and path.suffix.lower() != ".csv":
        raise Mistake(f"PATH: {text!r} must end in .csv")
    check_file("PATH", text, path)
    if path.exists() and not overwrite:
        raise Mistake(f"PATH: {text!r} is there; choose another name, or --overwrite it")
    return path


def read_limits(
    what: str, low: float | None, high: float | None, usual: tuple[float, float]
) -> tuple[float, float]:
    """The ends of a range, of which either may be left out."""
    limits = usual[0] if low is None else low, usual[1] if high is None else high
    if limits[0] > limits[1]:
        raise Mistake(f"--min-{what} is {count(limits[0])}, above --max-{what}, {count(limits[1])}")
    return limits


def write(runs: js.Runs, path: Path) -> None:
    """Write a header and one line for each run, in the columns that `jaxscale fit` expects."""
    rows = zip(runs.params, runs.tokens, runs.loss, strict=True)
    lines = ["params,tokens,loss", *(",".join(f"{x:.{DIGITS}g}" for x in row) for row in rows)]
    with replacing(path) as partial:
        partial.write_text("\n".join(lines) + "\n", "utf-8")


def show(record: dict[str, Any]) -> None:
    """Print what was made, and what to do with it."""
    path, (low, high) = record["path"], record["flops"]
    tables.note(record["law_status"], style="bold yellow")
    tables.note(
        f"{counted(record['runs'], 'run')} in {path}: law {record['law']['name']}, noise "
        f"{percent(record['noise'])}, seed {record['seed']}",
        style="bold",
    )
    ratio = " to ".join(dict.fromkeys(map(count, record["tokens_per_param"])))
    budgets = " to ".join(dict.fromkeys((scientific(low), scientific(high))))
    tables.note(f"{budgets} FLOPs, {ratio} tokens per param", style="dim")
    tables.note(f"Try: jaxscale fit {path}")
