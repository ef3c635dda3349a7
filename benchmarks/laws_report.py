"""Tables of what `python -m benchmarks laws` measured."""

from benchmarks.report import AIM_COLUMNS, MILLION, aim_row, duration, table

COLUMNS = (
    "row", "M/s", "time", "to closed", "solved", "off size", "off cost", "off lever",
    "off ours", "first call", "note",
)  # fmt: skip


def show(result: dict) -> None:
    """Print everything that a person wants to see of `result`."""
    machine = result["machine"]
    print(f"\n{machine['cpu']}, {machine['cores']} cores; JAX on {machine['device']}")
    print(f"{result['scenarios']:,} scenarios a call, medians of interleaved rounds")
    table("Cheapest plan for a loss, by any law", COLUMNS, [_row(row) for row in result["rows"]])
    for name, reason in result["omitted"].items():
        print(f"  {name}: {reason}")
    table("Aims", AIM_COLUMNS, [aim_row(aim) for aim in result["aims"]])


def _row(record):
    off = record["agreement"]
    return (
        record["name"],
        f"{record['scenarios_per_second'] / MILLION:.3g}",
        duration(record["seconds"]["median"]),
        f"{record['ratio']:.2g}" if "ratio" in record else "",
        f"{record['solved']:.2%}",
        f"{off['sizes']:.0e}",
        f"{off['cost']:.0e}",
        *(f"{off[kind]:.0e}" if kind in off else "" for kind in ("levers", "jaxscale")),
        duration(record["first_call"]),
        record["note"],
    )
