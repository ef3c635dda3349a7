"""`jaxscale simulate`: a table of runs drawn from a law with noise, to try `jaxscale fit` on."""

from pathlib import Path

import numpy as np

from jaxscale import _schema
from jaxscale._written import count, counted, percent, scientific
from jaxscale.cli import fit_options, options, tables
from jaxscale.cli.mistakes import Mistake, check_file, path_of
from jaxscale.cli.named_law import read_law, without_levers
from jaxscale.fitting import simulate as simulated

RUNS, MOST_RUNS, NOISE = 200, 10_000_000, 0.005
FLOPS, RATIO = (1e19, 1e22), (5.0, 500.0)
EXAMPLES = """\
jaxscale simulate
jaxscale simulate small.csv --runs 40 --noise 1% --law besiroglu2024 --seed 7
jaxscale simulate one-ratio.csv --min-tokens-per-param 20 --max-tokens-per-param 20
"""


def simulate(
    path: fit_options.Table = "runs.csv",
    runs: fit_options.Count = None,
    noise: fit_options.Noise = None,
    min_flops: fit_options.MinFlops = None,
    max_flops: fit_options.MaxFlops = None,
    min_ratio: fit_options.MinRatio = None,
    max_ratio: fit_options.MaxRatio = None,
    seed: fit_options.SimulationSeed = None,
    law: options.Law = _schema.DEFAULT_LAW,
    anyway: options.Anyway = False,
    overwrite: fit_options.Overwrite = False,
    as_json: options.Json = False,
) -> None:
    """Make a table of runs from a law with noise, to try jaxscale fit without data.

    Budgets and tokens per param are drawn evenly in their logarithms, and each loss is that of
    the law times a normal error. The same seed gives the same table.
    """
    target = _target(path, overwrite)
    named = without_levers(read_law(law, anyway=anyway), "--law")
    named.need_all()
    flops = _limits("flops", min_flops, max_flops, FLOPS)
    ratio = _limits("tokens-per-param", min_ratio, max_ratio, RATIO)
    number, noise = RUNS if runs is None else runs, NOISE if noise is None else noise
    if not 0 < number <= MOST_RUNS:
        raise Mistake(f"--runs must be from 1 to {MOST_RUNS:,}; got {number:,}")
    limits = {"flops": flops, "tokens_per_param": ratio}
    table = simulated(named.law, number, key=seed or 0, noise=noise, **limits)
    if not np.isfinite(table.loss).all():
        raise Mistake(f"--law: {named.name} has no loss at some of these sizes")
    try:
        table.to_csv(target)
    except OSError as error:
        raise Mistake(f"cannot write {str(target)!r}: {error.strerror or error}") from None
    if as_json:
        record = {"path": str(target), "runs": len(table)}
        record |= {"law": {"name": named.name, **tables.plain(named.law)}}
        record |= {"law_status": named.warning, "noise": noise}
        record |= {name: list(ends) for name, ends in limits.items()}
        tables.print_json("simulate", {**record, "seed": seed or 0})
        return
    made = f"law {named.name}, noise {percent(noise)}, seed {seed or 0}"
    budgets, ratios = (
        " to ".join(dict.fromkeys(map(written, ends)))
        for written, ends in ((scientific, flops), (count, ratio))
    )
    tables.note(named.warning, style="bold yellow")
    tables.note(f"{counted(len(table), 'run')} in {target}: {made}", style="bold")
    tables.note(f"{budgets} FLOPs, {ratios} tokens per param", style="dim")
    tables.note(f"Try: jaxscale fit {target}")


def _target(text: str, overwrite: bool) -> Path:
    """The path of the table: never of one that is there, which may be real runs."""
    path = path_of(text)
    if text and path.suffix.lower() != ".csv":
        raise Mistake(f"PATH: {text!r} must end in .csv")
    check_file("PATH", text, path)
    if path.exists() and not overwrite:
        raise Mistake(f"PATH: {text!r} exists; choose another name, or --overwrite it")
    return path


def _limits(
    name: str, low: float | None, high: float | None, usual: tuple[float, float]
) -> tuple[float, float]:
    """The ends of a range, of which either may be left out."""
    limits = usual[0] if low is None else low, usual[1] if high is None else high
    if limits[0] > limits[1]:
        raise Mistake(f"--min-{name} is {count(limits[0])}, above --max-{name}, {count(limits[1])}")
    return limits
