"""Summaries of results on the terminal, and results as JSON."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxscale.cli import tables
from jaxscale.cli.reductions import show_statuses
from jaxscale.sweeping.summary import RATIO_TITLE, Summary


def show_summary(summary: Summary) -> None:
    """Print as tables the axes, the fields and how the optimum moves with demand."""
    tables.note(summary.conditions, style="dim")
    tables.print_columns(*summary.axis_table())
    tables.note(summary.note, style="bold")
    if summary.statuses:
        show_statuses(summary.statuses)
    if summary.fields:
        tables.print_columns(*summary.field_table())
    if summary.ratios:
        tables.note(RATIO_TITLE, style="bold")
        tables.print_columns(*summary.ratio_table())


def record_of(value: Any) -> Any:
    """A result as JSON holds it: records by name, lists, and null for what is not finite."""
    if isinstance(value, Mapping):
        return {str(name): record_of(each) for name, each in value.items()}
    if hasattr(value, "_asdict"):
        return record_of(value._asdict())
    if isinstance(value, np.ndarray | np.generic):
        return record_of(value.tolist())
    if isinstance(value, list | tuple):
        return [record_of(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return record_of(vars(value))
