"""The report of a fit: runs, coefficients beside published laws, quality, sizes and advice."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxscale._written import count, scientific
from jaxscale.cli import fit_parabolas, tables
from jaxscale.fitting.report import LEVEL, errors_from, largest_of, ranges_of, spread_of
from jaxscale.laws.fitted import fits_logarithm
from jaxscale.laws.protocol import levers_of
from jaxscale.solve.frontier import sizes_at

DIGITS = 4
NOTHING = 1e-6  # a coefficient this small is an E at its bound
BARELY = 1.05  # a factor too small to mention
WIDE = 4.0  # upper over lower end of the interval of compute-optimal params
SIZES = ("params", "tokens", "tokens_per_param", "loss")  # at an optimum
NAMES = {"tokens_per_param": "tokens per param", "flops": "training FLOPs"}
DECADE = np.array([1e22, 1e23])  # FLOPs between which the exponent of best sizes is taken


class Optimum(NamedTuple):
    """Compute-optimal sizes at a budget, with ends of their intervals where there are any."""

    flops: float
    params: float
    tokens: float
    tokens_per_param: float
    loss: float
    intervals: Mapping[str, tuple[float, float]]  # by the names of the fields above
    beyond: float  # the largest factor by which budget, params or tokens leave those of the runs

    def record(self) -> dict[str, Any]:
        ends = {f"{name}_interval": list(pair) for name, pair in self.intervals.items()}
        sizes = {name: getattr(self, name) for name in SIZES}
        return {"flops": self.flops, **sizes, "beyond_runs": self.beyond, **ends}


def exponent_of(law: Any) -> Any:
    """The power of the budget that compute-optimal params grow with, about 1e22 FLOPs."""
    params = sizes_at(law, DECADE)["params"]
    power = np.log(params[..., 1] / params[..., 0]) / np.log(DECADE[1] / DECADE[0])
    return float(power) if power.ndim == 0 else power


def show(result: Any, written: Sequence[str]) -> None:
    """Print everything about a fit."""
    tables.note(result.title, style="bold")
    tables.print_columns(("", "least", "median", "most"), _range_rows(result))
    for about in result.odd:
        tables.note(f"Check the table ({about}): {result.remarks[about]}.", style="bold yellow")
    if not result.fit.ok:
        status = result.fit.status
        tables.note(f"{status.name}: {status.sentence}", style="bold yellow")
    tables.note(result.fit.claims.sentence, style="bold yellow")
    _show_coefficients(result)
    tables.print_facts(_quality(result))
    _show_optima(result)
    fit_parabolas.show(result.parabolas)
    tables.note("Worth knowing", style="bold")
    first = {*result.odd, "status", "not identified"}
    tables.print_facts(
        (about, said) for about, said in result.remarks.items() if about not in first
    )
    tables.note(f"\nWrote {', '.join(written)}." if written else "")


def _range_rows(result: Any) -> Iterator[tuple[str, ...]]:
    for name, values in ranges_of(result.fit.runs).items():
        numbers = [float(f(values)) for f in (np.min, np.median, np.max)]
        write = {"loss": "{:.4g}".format, "flops": scientific}.get(name, count)
        yield NAMES.get(name, name), *map(write, numbers)


# --- Coefficients ----------------------------------------------------------------------------


def _show_coefficients(result: Any) -> None:
    law = type(result.fit.law)
    equation = getattr(law, "equation", law.__name__)
    tables.note(f"{equation}, in nats per token", style="bold")
    beside = list(result.beside.values())
    header = ("", "fit", "95 % interval", "std. error", *result.beside)
    intervals, errors = best(result).intervals(LEVEL), best(result).standard_errors
    rows = [
        _coefficient_row(result, name, intervals[name], float(getattr(errors, name)), beside)
        for name in result.fit.names
    ]
    if not levers_of(law):
        rows.append(_exponent_row(result, beside))
    tables.print_columns(header, rows)
    for name, (value, error) in result.fit.claims.combinations.items():
        tables.note(f"Known instead: {name} = {value:.7g}, std. error {_number(error, 2)}.")
    tables.note(
        f"Intervals and errors from {errors_from(result.fit, result.bootstrap)}.", style="dim"
    )
    if beside:
        tables.note(
            "Published laws rest on other data and tokenizers: compare exponents, not losses.",
            style="dim",
        )


def best(result: Any) -> Any:
    """The source of errors and intervals: the resamples where there are any, else the fit."""
    return result.fit if result.bootstrap is None else result.bootstrap


def _coefficient_row(
    result: Any, name: str, interval: tuple[float, float], error: float, beside: Sequence[Any]
) -> tuple[str, ...]:
    low, high = interval
    fitted = float(getattr(result.fit.law, name))
    claims = result.fit.claims
    is_open = name in claims.unidentified
    return (
        name,
        "not known" if is_open else _number(fitted),
        "" if is_open or name in claims.held else interval_text(low, high),
        claims.error_text(name, error, _error),
        *(_number(float(getattr(law, name))) for law in beside),
    )


def _exponent_row(result: Any, beside: Sequence[Any]) -> tuple[str, ...]:
    """The power of the budget that the best size grows with."""
    others = tuple(_number(exponent_of(law)) for law in beside)
    if not result.optima:
        return "N* ~ C^", "not known", "", "", *others
    interval = error = ""
    if result.bootstrap is not None:
        laws = jax.tree.map(lambda x: np.ravel(x)[:, None], result.bootstrap.law)
        powers = exponent_of(laws)
        powers = powers[np.isfinite(powers)]
        interval = interval_text(*np.quantile(powers, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]))
        error = _error(float(np.std(powers, ddof=1)))
    return "N* ~ C^", _number(exponent_of(result.fit.law)), interval, error, *others


def _error(x: float) -> str:
    """Two digits, and never 0 for an error that is only small."""
    return scientific(x, 2) if 0 < x < NOTHING else _number(x, 2)


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


def _quality(result: Any) -> Iterator[tuple[str, str]]:
    fit = result.fit
    # The deviation of the run from the law, as a reader thinks of it; the residual is the opposite.
    spread, half = spread_of(fit.residuals), float(np.median(np.abs(fit.residuals)))
    largest = -largest_of(fit.residuals)
    if fits_logarithm(fit.law):
        spread, half, largest = 100 * spread, 100 * half, 100 * largest
        unit, of = " %", " of the loss"
    else:
        unit, of = " nats", ""
    yield (
        "residuals",
        f"spread {spread:.2g}{unit}, half within {half:.2g}{unit}, "
        f"largest {largest:+.2g}{unit}{of}",
    )
    delta = getattr(fit.loss_function, "delta", None)
    words = type(fit.loss_function).__name__
    if delta:
        words += f", delta {delta:g}, {fit.certificate.quadratic_runs} runs within delta"
    yield "objective", f"{fit.objective:.7g} ({words})"
    search = fit.search
    agreed = f"{search.reached} of {search.kept} followed to the end agree"
    yield "search", f"best of {search.starts:,} starts; {agreed}"
    if fit.search.next_best:
        next_best = ", ".join(f"{each:.6g}" for each in search.next_best)
        yield "", f"next local minima at {next_best}"
    seen = fit.certificate
    yield "minimum", f"gradient {seen.gradient:.0e}, condition {seen.condition:.0e}"
    if result.bootstrap is not None:
        yield "resamples", _resamples(result)


def _resamples(result: Any) -> str:
    """The number of resamples, and of those that are doubtful."""
    assert result.bootstrap is not None
    size, bad = result.bootstrap.objective.size, result.bootstrap.not_ok
    text = f"{size:,}, seed {result.request.seed}"
    if not bad:
        return f"{text}: all ended at a minimum inside all bounds"
    total = sum(bad.values())
    kinds = ", ".join(f"{name} {number:,}" for name, number in bad.items())
    return f"{text}: {total:,} ended at a bound or short of a minimum, and count too ({kinds})"


# --- Optima ----------------------------------------------------------------------------------


def _show_optima(result: Any) -> None:
    if levers_of(result.fit.law):
        levers = ", ".join(levers_of(result.fit.law))
        tables.note(f"\nSizes depend on {levers}: ask jaxscale plan --law with --lever.")
        return
    if not result.optima:
        tables.note("\nNo compute-optimal sizes: they rest on what these runs do not identify.")
        return
    tables.note("\nCompute-optimal sizes, no serving counted", style="bold")
    interval = ("95 % interval",) if result.bootstrap is not None else ()
    header = ("FLOPs", "params", *interval, "tokens", *interval, "per param", "loss", "beyond")
    tables.print_columns(header, map(_optimum_row, result.optima))
    tables.note(_width(result.optima[-1]), style="dim")


def _width(last: Optimum) -> str:
    """A warning where the interval of params at the largest budget is wide; else empty."""
    if "params" not in last.intervals:
        return ""
    low, high = last.intervals["params"]
    if not high > WIDE * low:
        return ""
    factor = f"a factor of {high / low:.2g}" if high < 100 * low else "over a factor of 100"
    budget = scientific(last.flops, 1)
    return f"At {budget} FLOPs the interval of params spans {factor}: too wide to choose a size by."


def _optimum_row(each: Optimum) -> tuple[str, ...]:
    intervals = each.intervals
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
