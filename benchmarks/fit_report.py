"""Tables of what `python -m benchmarks fit` measured."""

from benchmarks.fit_rows import RESAMPLES, STARTS
from benchmarks.report import AIM_COLUMNS, aim_row, duration, table

COLUMNS = (
    "row", "time", "timed", "all, once", "reached", "nearest", "success", "each minimum", "note",
)  # fmt: skip
COMPILE_COLUMNS = "row", "first call", "of it XLA"
FIRST_PARTS = "total", "import", "first_call", "compile", "call_again"
FIRST_COLUMNS = "", "total", "import", "first call", "of it XLA", "call again"
BOOTSTRAP_PARTS = "first_bootstrap", "bootstrap_again"
MEMORY_COLUMNS = "", "time", "before, MiB", "peak, MiB"


def show(result: dict) -> None:
    """Print everything that a person wants to see of `result`."""
    machine, problem = result["machine"], result["problem"]
    print(f"\n{machine['cpu']}, {machine['cores']} cores; JAX on {machine['device']}")
    print(f"{problem['runs']}; medians of interleaved rounds, of a sample scaled to all")
    print(f"minimum {problem['minimum']!r}; sum of minima {problem['sum_of_minima']}")
    rows = result["rows"]
    for task in (STARTS, RESAMPLES):
        lines = [_row(record) for record in rows if record["task"] == task]
        table(f"A fit from {problem['starts']:,} starts" if task == STARTS
              else f"{problem['resamples']:,} resamples", COLUMNS, lines)  # fmt: skip
    for name, reason in result["omitted"].items():
        print(f"  {name}: {reason}")
    compiled = [_compile_row(record) for record in rows if record["compile_seconds"]]
    table("Compiling", COMPILE_COLUMNS, compiled)
    _new_processes(result["first_fit"], result["memory"])
    table("Aims", AIM_COLUMNS, [aim_row(aim) for aim in result["aims"]])


def _row(record):
    agreement, whole = record["agreement"], record.get("whole")
    reached, followed = agreement["reached"], agreement["followed"]
    return (
        record["name"],
        duration(record["task_seconds"]),
        f"{record['timed']:,} of {record['total']:,}",
        duration(whole["seconds"]) if whole else "",
        f"{reached:,} of {followed:,}",
        f"{agreement['nearest']:.0e}",
        f"{agreement['success']:.0%}",
        duration(_each(record)) if reached else "",
        record["note"],
    )


def _compile_row(record):
    times = record["compile_seconds"]
    return record["name"], duration(times["first_call"]), duration(times["compile"])


def _each(record):
    """Seconds for each start or resample that reached its minimum."""
    return record["seconds"]["median"] / record["agreement"]["reached"]


def _new_processes(first, memory):
    fit = ("fit", *(duration(first[part]) for part in FIRST_PARTS))
    start, again = (duration(first[part]) for part in BOOTSTRAP_PARTS)
    lines = [fit, ("bootstrap after it", "", "", start, "", again)]
    table("From the start of a process", FIRST_COLUMNS, lines)
    sizes = [
        (
            f"{entry['count']:,} {entry['kind']}",
            duration(entry["seconds"]),
            f"{entry['ready']:.0f}",
            f"{entry['peak']:.0f}",
        )
        for entry in memory
    ]
    if sizes:
        table("Peak memory", MEMORY_COLUMNS, sizes)
