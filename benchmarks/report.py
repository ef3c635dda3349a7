"""Tables of what was measured: by rich where it is installed, else in plain text."""

MILLION = 1e6
PIPED_WIDTH = 150  # characters, where no terminal says how wide it is
COLUMNS = "row", "M/s", "time", "speed to ours", "off truth", "off ours", "peak MiB", "note"
COMPILE_COLUMNS = "row", "lower", "compile", "first call"
AIM_COLUMNS = "aim", "measured", ""


def show(result: dict) -> None:
    """Print everything that a person wants to see of `result`."""
    machine = result["machine"]
    print(f"\n{machine['cpu']}, {machine['cores']} cores; JAX on {machine['device']}")
    print(f"{result['scenarios']:,} scenarios, medians of interleaved rounds")
    rows = result["rows"]
    table("Cheapest plan for a loss", COLUMNS, [_row(record) for record in rows])
    for name, reason in result["omitted"].items():
        print(f"  {name}: {reason}")
    compiled = [record for record in rows if record["compile_seconds"]]
    table("Compiling", COMPILE_COLUMNS, [_compile_row(record) for record in compiled])
    _batch_table(result["batches"])
    table("Aims", AIM_COLUMNS, [aim_row(aim) for aim in result["aims"]])


def _row(record):
    agreement, memory = record["agreement"], record.get("memory_mib")
    return (
        record["name"],
        f"{record['scenarios_per_second'] / MILLION:.4g}",
        duration(record["seconds"]["median"]),
        f"{record['ratio']:.3g}",
        f"{agreement['truth']:.0e}" if "truth" in agreement else "",
        f"{agreement['jaxscale']:.0e}",
        f"{memory['peak']:.0f} (+{memory['peak'] - memory['ready']:.0f})" if memory else "",
        record["note"],
    )


def _compile_row(record):
    times = record["compile_seconds"]
    return record["name"], *(duration(times[key]) for key in ("lower", "compile", "first_call"))


def _batch_table(batches):
    each = {
        name: {entry["scenarios"]: entry["median"] / entry["scenarios"] * 1e9 for entry in batch}
        for name, batch in batches.items()
    }
    sizes = sorted(set().union(*each.values()))
    lines = [
        (f"{size:,}", *(f"{times[size]:.3g}" if size in times else "" for times in each.values()))
        for size in sizes
    ]
    table("Nanoseconds a scenario, by batch size", ("scenarios", *each), lines)


def aim_row(aim: dict) -> tuple[str, str, str]:
    """An aim in words, what was measured, and whether it is met."""
    bound = f"{aim['at_least']:,g}" if "at_least" in aim else f"at most {aim['at_most']:g}"
    text = f"{aim['row']}: {bound} x {aim['against']}"
    if aim["value"] is None:
        return text, "", "not measured"
    verdict = "met" if aim["met"] else "not met"
    return f"stretch, {text}" if aim["stretch"] else text, f"{aim['value']:,.3g}", verdict


def duration(seconds: float) -> str:
    """Seconds to three digits in the unit that suits."""
    for unit, name in ((1, "s"), (1e-3, "ms")):
        if seconds >= unit:
            return f"{seconds / unit:.3g} {name}"
    return f"{seconds / 1e-6:.3g} us"


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
