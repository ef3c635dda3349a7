"""A fit on the terminal: the runs, the coefficients beside published laws, and what to think."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from jaxscale.cli import tables
from jaxscale.cli.fit_advice import advice, suspicions
from jaxscale.cli.fit_outcome import NAMES, Optimum, Outcome, exponent_of
from jaxscale.cli.named_law import COEFFICIENTS
from jaxscale.cli.quantities import count, scientific
from jaxscale.fitting.report import largest_of, spread_of
from jaxscale.laws import Chinchilla

DIGITS = 4
NOTHING = 1e-6  # no coefficient so small differs from 0: it is an E at its bound
BARELY = 1.05  # a factor that is not worth a word


def show(outcome: Outcome, written: Sequence[Path]) -> None:
    """Print everything about a fit."""
    tables.note(outcome.title, style="bold")
    tables.print_columns(("", "least", "median", "most"), _range_rows(outcome))
    for about, sentence in suspicions(outcome).items():
        tables.note(f"Check the table ({about}): {sentence}.", style="bold yellow")
    if not outcome.fit.ok:
        status = outcome.fit.status
        tables.note(f"{status.name}: {status.sentence}", style="bold yellow")
    tables.note(outcome.fit.claims.sentence, style="bold yellow")
    _show_coefficients(outcome)
    tables.print_facts(_quality(outcome))
    _show_optima(outcome)
    tables.note("Worth knowing", style="bold")
    tables.print_facts(advice(outcome).items())
    tables.note(f"\nWrote {', '.join(map(str, written))}." if written else "")


def _range_rows(outcome: Outcome) -> Iterator[tuple[str, ...]]:
    for name, values in outcome.ranges.items():
        numbers = [float(f(values)) for f in (np.min, np.median, np.max)]
        write = {"loss": "{:.4g}".format, "flops": scientific}.get(name, count)
        yield NAMES.get(name, name), *map(write, numbers)


# --- Coefficients ----------------------------------------------------------------------------


def _show_coefficients(outcome: Outcome) -> None:
    tables.note("L(N, D) = E + A / N^alpha + B / D^beta, in nats per token", style="bold")
    beside = [named.law for named in outcome.beside]
    names = [named.name for named in outcome.beside]
    header = ("", "fit", "95 % interval", "std. error", *names)
    rows = [_coefficient_row(outcome, name, beside) for name in COEFFICIENTS]
    tables.print_columns(header, [*rows, _exponent_row(outcome, beside)])
    for name, (value, error) in outcome.fit.claims.combinations.items():
        tables.note(f"Known instead: {name} = {value:.7g}, std. error {_number(error, 2)}.")
    tables.note(f"Intervals and errors from {outcome.errors_from}.", style="dim")
    if beside:
        tables.note(
            "Published laws rest on other data and tokenizers: compare exponents, not losses.",
            style="dim",
        )


def _coefficient_row(outcome: Outcome, name: str, beside: Sequence[Chinchilla]) -> tuple[str, ...]:
    low, high = outcome.intervals[name]
    error = float(getattr(outcome.errors, name))
    fitted = float(getattr(outcome.fit.law, name))
    claims = outcome.fit.claims
    is_open = name in claims.unidentified
    return (
        name,
        "not known" if is_open else _number(fitted),
        "" if is_open or name in claims.held else interval_text(low, high),
        claims.error_text(name, error, lambda x: _number(x, 2)),
        *(_number(float(getattr(law, name))) for law in beside),
    )


def _exponent_row(outcome: Outcome, beside: Sequence[Chinchilla]) -> tuple[str, ...]:
    """The power of the budget that the best size grows with."""
    others = tuple(_number(exponent_of(law)) for law in beside)
    if not outcome.has_sizes:
        return "N* ~ C^", "not known", "", "", *others
    interval = error = ""
    if outcome.bootstrap is not None:
        drawn = outcome.bootstrap.law
        powers = drawn.beta / (drawn.alpha + drawn.beta)
        interval = interval_text(*np.quantile(powers, [0.025, 0.975]))
        error = _number(float(np.std(powers, ddof=1)), 2)
    return "N* ~ C^", _number(exponent_of(outcome.fit.law)), interval, error, *others


def interval_text(low: float, high: float) -> str:
    return f"{_number(low, 3)} to {_number(high, 3)}" if math.isfinite(low + high) else "not known"


def _number(x: float, digits: int = DIGITS) -> str:
    """A few digits, trailing zeros too; a power of ten where many zeros would stand."""
    if abs(x) < NOTHING:
        return "0"
    if not 1e-3 <= abs(x) < 1e5:
        return scientific(x, digits)
    power = int(f"{x:.{digits - 1}e}".partition("e")[2])
    return f"{x:.{max(0, digits - 1 - power)}f}"


# --- Quality ---------------------------------------------------------------------------------


def _quality(outcome: Outcome) -> Iterator[tuple[str, str]]:
    fit = outcome.fit
    half = 100 * np.median(np.abs(fit.residuals))
    # Of the run from the law, as a reader thinks of it: the law less the run is the residual.
    largest = -100 * largest_of(fit.residuals)
    yield (
        "residuals",
        f"spread {100 * spread_of(fit.residuals):.2g} %, half within {half:.2g} %, "
        f"largest {largest:+.2g} % of the loss",
    )
    within = f", {fit.certificate.quadratic_runs} runs within delta" * (
        "delta" in outcome.objective
    )
    yield "objective", f"{fit.objective:.7g} ({outcome.objective}{within})"
    search = fit.search
    agreed = f"{search.reached} of {search.kept} followed to the end agree"
    yield "search", f"best of {search.starts:,} starts; {agreed}"
    if fit.search.next_best:
        next_best = ", ".join(f"{each:.6g}" for each in search.next_best)
        yield "", f"next local minima at {next_best}"
    found = fit.certificate
    yield "minimum", f"gradient {found.gradient:.0e}, condition {found.condition:.0e}"
    if outcome.bootstrap is not None:
        yield "resamples", _resamples(outcome)


def _resamples(outcome: Outcome) -> str:
    """How many were made, and of which the numbers are doubtful."""
    assert outcome.bootstrap is not None
    size, bad = outcome.bootstrap.objective.size, outcome.bad_resamples
    text = f"{size:,}, seed {outcome.request.seed}"
    if not bad:
        return f"{text}: all ended at a minimum inside all bounds"
    total = sum(bad.values())
    kinds = ", ".join(f"{name} {number:,}" for name, number in bad.items())
    return f"{text}: {total:,} ended at a bound or short of a minimum, and count too ({kinds})"


# --- Optima ----------------------------------------------------------------------------------


def _show_optima(outcome: Outcome) -> None:
    if not outcome.has_sizes:
        tables.note("\nNo compute-optimal sizes: they rest on what these runs do not identify.")
        return
    tables.note("\nCompute-optimal sizes, no serving counted", style="bold")
    interval = ("95 % interval",) if outcome.bootstrap is not None else ()
    header = ("FLOPs", "params", *interval, "tokens", *interval, "per param", "loss", "beyond")
    tables.print_columns(header, map(_optimum_row, outcome.optima))


def _optimum_row(each: Optimum) -> tuple[str, ...]:
    intervals = each.intervals or {}
    return (
        scientific(each.flops, 1),
        count(each.params),
        *("-".join(map(count, intervals[name])) for name in ("params",) if intervals),
        count(each.tokens),
        *("-".join(map(count, intervals[name])) for name in ("tokens",) if intervals),
        count(each.tokens_per_param),
        "not known" if math.isnan(each.loss) else f"{each.loss:.3f}",
        f"{count(each.beyond, 2)}x" if each.beyond > BARELY else "",
    )
