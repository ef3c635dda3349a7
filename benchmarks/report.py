"""Results as JSON and as tables: by rich where it is installed, else in plain text."""

import argparse
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from benchmarks.harness import PEER

MILLION = 1e6
RESULTS = Path(__file__).parent / "results"
PIPED_WIDTH = 150  # characters, where no terminal says how wide it is
AIM_COLUMNS = "aim", "measured", ""

Cell = Callable[[dict], str]  # of a record


class Table(NamedTuple):
    """A title, and lines of cells under their headings."""

    title: str
    columns: tuple[str, ...]
    lines: list[tuple[str, ...]]


def of_records(title: str, cells: dict[str, Cell], records: Iterable[dict]) -> Table:
    """A line for each record, a cell for each heading."""
    lines = [tuple(cell(record) for cell in cells.values()) for record in records]
    return Table(title, tuple(cells), lines)


def add_output(parser: argparse.ArgumentParser, name: str) -> None:
    """The option of where a result goes."""
    parser.add_argument(
        "--output", type=Path, metavar="PATH",
        help=f"where the JSON goes (default: benchmarks/results/{name}-<machine>.json, or "
        f"{name}-device-<machine>.json)",
    )  # fmt: skip


def save_and_show(
    result: dict, name: str, output: Path | None, show: Callable[[dict], None]
) -> None:
    """Write the JSON, a quick one only to `output`, print the tables, and say where the JSON is."""
    if output is None and not result["quick"]:
        kind = "-device" if result["device_only"] else ""
        output = RESULTS / f"{name}{kind}-{result['machine']['name']}.json"
    if output:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(json.dumps(result, indent=1) + "\n")
    show(result)
    if output:
        print(f"\nresults: {output}")


def show(result: dict, caption: str, tables: Iterable[Table]) -> None:
    """Print everything that a person wants to see of `result`."""
    machine = result["machine"]
    print(f"\n{machine['cpu']}, {machine['cores']} cores; JAX on {machine['device']}")
    print(caption)
    for each in tables:
        table(*each)
    omitted, aims = result["omitted"], result["aims"]
    if result.get("device_only"):  # what needs a peer goes without saying
        omitted = {name: reason for name, reason in omitted.items() if reason != PEER}
        aims = [aim for aim in aims if aim["value"] is not None]
    for name, reason in omitted.items():
        print(f"  {name}: {reason}")
    table("Aims", AIM_COLUMNS, [aim_row(aim) for aim in aims])


# --- Cells -----------------------------------------------------------------------------------


def duration(seconds: float) -> str:
    """Seconds to three digits in the unit that suits."""
    for unit, name in ((1, "s"), (1e-3, "ms")):
        if seconds >= unit:
            return f"{seconds / unit:.3g} {name}"
    return f"{seconds / 1e-6:.3g} us"


def text(key: str) -> Cell:
    """A field as it is; empty where a record lacks it."""
    return lambda record: str(record.get(key, ""))


def number(key: str, form: str = ".3g", unit: float = 1.0) -> Cell:
    """A field in units; empty where a record lacks it."""
    return lambda record: format(record[key] / unit, form) if key in record else ""


def time(key: str) -> Cell:
    """A field in seconds."""
    return lambda record: duration(record[key])


def off(key: str) -> Cell:
    """A field of the agreement, as an error."""
    return lambda record: f"{record['agreement'][key]:.0e}" if key in record["agreement"] else ""


def median(record: dict) -> str:
    """The median of the times."""
    return duration(record["seconds"]["median"])


def aim_row(aim: dict) -> tuple[str, str, str]:
    """An aim in words, what was measured, and whether it is met."""
    bound = (
        f"{round(aim['at_least'], 2):,g}" if "at_least" in aim else f"at most {aim['at_most']:g}"
    )
    words = f"{aim['row']}: {bound} x {aim['against']}"
    if aim["value"] is None:
        return words, "", "not measured"
    verdict = "met" if aim["met"] else "not met"
    return f"stretch, {words}" if aim["stretch"] else words, f"{aim['value']:,.3g}", verdict


COMPILING: dict[str, Cell] = {
    "row": text("name"),
    **{
        heading: lambda record, part=part: duration(record["compile_seconds"].get(part, 0))
        for heading, part in (
            ("lower", "lower"), ("compile", "compile"), ("first call", "first_call"),
        )
    },
}  # fmt: skip


def compiling(result: dict) -> Table:
    """Compiling, of the rows that do."""
    compiled = [record for record in result["rows"] if record.get("compile_seconds")]
    return of_records("Compiling", COMPILING, compiled)


# --- Printing --------------------------------------------------------------------------------


def table(title: str, columns: tuple[str, ...], lines: list[tuple[str, ...]]) -> None:
    """Print one table, the first column to the left and all others to the right."""
    try:
        from rich.console import Console
        from rich.table import Table
    except ImportError:
        _plain_table(title, columns, lines)
        return
    made = Table(title=title, title_justify="left")
    for at, column in enumerate(columns):
        made.add_column(column, justify="left" if at == 0 else "right")
    for line in lines:
        made.add_row(*line)
    console = Console()
    if not console.is_terminal:
        console = Console(width=PIPED_WIDTH)
    console.print(made)


def _plain_table(title, columns, lines):
    widths = [max(map(len, cells)) for cells in zip(columns, *lines, strict=True)]
    print(f"\n{title}")
    for line in (columns, *lines):
        padded = (cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True))
        print("  ".join((line[0].ljust(widths[0]), *padded)).rstrip())
