"""Tables of what `python -m benchmarks sweep` measured."""

from benchmarks.report import AIM_COLUMNS, MILLION, aim_row, duration, table

COLUMNS = (
    "row", "M/s", "at best", "MB/s", "time", "ratio", "to", "off truth", "off ours", "note",
)  # fmt: skip
MEMORY_COLUMNS = "scenarios", "M/s", "time", "before, MiB", "peak, MiB"
FIRST_COLUMNS = "first chunk", "total", "import", "first call", "of it XLA", "call again"
FIRST_PARTS = "total", "import", "first_call", "compile", "call_again"


def show(result: dict) -> None:
    """Print everything that a person wants to see of `result`."""
    machine = result["machine"]
    print(f"\n{machine['cpu']}, {machine['cores']} cores; JAX on {machine['device']}")
    print(f"{result['scenarios']:,} scenarios, a quarter of them where they are written")
    print("medians of interleaved rounds")
    table("N and D over a grid of losses and demands", COLUMNS, list(map(_row, result["rows"])))
    for name, reason in result["omitted"].items():
        print(f"  {name}: {reason}")
    table("A sweep that is reduced, float64", MEMORY_COLUMNS, list(map(_size, result["memory"])))
    first = [
        (kind.removeprefix("first_"), *(duration(times[part]) for part in FIRST_PARTS))
        for kind, times in result["first_chunk"].items()
    ]
    table("From the start of a process, float64", FIRST_COLUMNS, first)
    table("Aims", AIM_COLUMNS, [aim_row(aim) for aim in result["aims"]])


def _row(record):
    agreement = record["agreement"]
    speed = record.get("bytes_per_second")
    return (
        record["name"],
        f"{record['scenarios_per_second'] / MILLION:.4g}",
        f"{record['scenarios'] / record['seconds']['min'] / MILLION:.4g}",
        f"{speed / MILLION:.4g}" if speed else "",
        duration(record["seconds"]["median"]),
        f"{record['ratio']:.3g}" if "ratio" in record else "",
        record.get("against", ""),
        f"{agreement['truth']:.0e}",
        f"{agreement['jaxscale']:.0e}" if "jaxscale" in agreement else "",
        record["note"],
    )


def _size(entry):
    return (
        f"{entry['scenarios']:,}",
        f"{entry['scenarios'] / entry['seconds'] / MILLION:.4g}",
        duration(entry["seconds"]),
        f"{entry['ready']:.0f}",
        f"{entry['peak']:.0f}",
    )
