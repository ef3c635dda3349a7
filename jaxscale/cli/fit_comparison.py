"""The report of `jaxscale fit` with several families: which of them to believe."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

import jaxscale as js
from jaxscale._written import count, scientific
from jaxscale.cli import tables
from jaxscale.cli.tables import Begin
from jaxscale.fitting import ComparedFit, Comparison
from jaxscale.fitting.report import numbers_of
from jaxscale.laws.fitted import fits_logarithm
from jaxscale.laws.protocol import levers_of
from jaxscale.solve.frontier import sizes_at

SIZES = ("params", "tokens", "loss")  # of the best plan for a budget
ERRORS = ("spread", "held_out", "by_size", "by_budget")
CRITERIA = ("aicc", "bic")


def compared(fits: Sequence[js.fitting.Fit], flops: float | None, begin: Begin) -> Comparison:
    """The comparison, with each law's best plan for a budget of FLOPs, if there is one."""
    budgets = np.array([math.nan if flops is None else flops])

    def best_size(law: Any) -> dict[str, Any]:
        if levers_of(law):  # which a budget alone does not decide
            return dict.fromkeys(SIZES, math.nan)
        sizes = sizes_at(law, budgets)
        return {name: sizes[name][0] for name in SIZES}

    begin("predicting runs held out", None)
    return js.compare(fits, question=None if flops is None else best_size)


def record_of(
    comparison: Comparison, flops: float | None, odd: Mapping[str, str], written: Sequence[str]
) -> dict[str, Any]:
    """The comparison in Python types."""
    best = comparison.best
    return {
        "runs": len(comparison.runs),
        "held_out_runs": len(comparison.held),
        "noise": comparison.noise,
        "flops": flops,
        "fits": [_record(row, path) for row, path in zip(comparison.rows, written, strict=True)],
        "best": None if best is None else best.name,
        "advice": comparison.advice,
        "remarks": dict(odd),
        "written": list(written),
    }


def _record(row: ComparedFit, path: str) -> dict[str, Any]:
    numbers = (*ERRORS, "log_likelihood", "aic", *CRITERIA, "weight")
    status = row.fit.status
    return {
        "family": row.name,
        "law": numbers_of(row.fit.law),
        "status": {"name": status.name, "sentence": status.sentence},
        "coefficients": row.coefficients,
        "objective": row.fit.objective,
        **{name: getattr(row, name) for name in numbers},
        "optimum": dict(row.answer) or None,
        "file": path,
    }


def show(
    title: str,
    comparison: Comparison,
    flops: float | None,
    odd: Mapping[str, str],
    written: Sequence[str],
) -> None:
    """Print the comparison."""
    tables.note(title, style="bold")
    for about, said in odd.items():
        tables.note(f"Check the table ({about}): {said}.", style="bold yellow")
    header = ("", "coefficients", "spread", "held out", "by size", "by budget", "AICc", "BIC")
    best = comparison.best
    tables.print_columns(
        (*header, "weight"),
        _rows(comparison),
        emphasis=() if best is None else (best.name,),
    )
    if flops is not None:  # beside the errors they would be wider than most terminals
        tables.note(f"The best sizes for {scientific(flops)} FLOPs")
        tables.print_columns(
            ("", *SIZES),
            [(x.name, *(_size(name, x.answer[name]) for name in SIZES)) for x in comparison.rows],
            emphasis=() if best is None else (best.name,),
        )
    for row in comparison.rows:
        if not row.fit.ok:
            status = row.fit.status
            tables.note(f"{row.name}: {status.name}: {status.sentence}", style="bold yellow")
        tables.note(row.fit.claims.sentence and f"{row.name}: {row.fit.claims.sentence}")
    facts = {
        "held out": f"the {len(comparison.held)} largest runs, by a fit to the others",
        "by size": "runs left out with others of their params",
        "by budget": "runs left out with others of their FLOPs",
        "AICc, BIC": f"above the least, for {comparison.noise}",
    }
    tables.print_facts(facts.items())
    tables.note(f"\n{comparison.advice}", style="bold")
    tables.note(f"Wrote {', '.join(written)}.")


def _rows(comparison: Comparison) -> Iterator[tuple[str, ...]]:
    above = {name: _above(comparison, name) for name in CRITERIA}
    for at, row in enumerate(comparison.rows):
        percent = fits_logarithm(row.fit.law)
        yield (
            row.name,
            str(row.coefficients),
            *(_error(getattr(row, name), percent) for name in ERRORS),
            *(_known(above[name][at], "{:.1f}") for name in CRITERIA),
            _known(row.weight, "{:.2f}"),
        )


def _above(comparison: Comparison, name: str) -> np.ndarray:
    values = np.array([getattr(row, name) for row in comparison.rows])
    return values - np.min(values[np.isfinite(values)], initial=np.inf)


def _error(error: float, percent: bool) -> str:
    return _known(100 * error, "{:.2f} %") if percent else _known(error, "{:.3g}")


def _size(name: str, value: float) -> str:
    return _known(value, "{:.3f}") if name == "loss" or not math.isfinite(value) else count(value)


def _known(value: float, form: str) -> str:
    return form.format(value) if math.isfinite(value) else "not known"
