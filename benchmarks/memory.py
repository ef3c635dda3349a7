"""Peak memory of a row, in a process of its own: `python -m benchmarks.memory ROW COUNT`."""

import json
import resource
import subprocess
import sys
from pathlib import Path

import jax

MIB = 2**20
# getrusage counts in kilobytes, but for macOS.
UNIT = 1 if sys.platform == "darwin" else 1024


def peak(name: str, count: int) -> dict[str, float]:
    """MiB at the most, in a fresh process: of it when ready to run, and after one run.

    Where JAX's device keeps a count of its own, that too, for the run alone.
    """
    command = [sys.executable, "-m", "benchmarks.memory", name, str(count)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def _measure(name: str, count: int) -> dict[str, float]:
    from benchmarks import rows

    row = rows.build(name, count)
    if row.compiled:
        jitted, *arguments = row.compiled
        jitted.lower(*arguments).compile()
    ready = so_far()
    answer = jax.block_until_ready(row.call())
    measured = {"ready": ready, "peak": so_far()}
    device_stats = jax.devices()[0].memory_stats()
    if device_stats:
        measured["device_peak"] = device_stats["peak_bytes_in_use"] / MIB
    del answer
    return measured


def so_far() -> float:
    """MiB that this process has held at the most."""
    # On Linux ru_maxrss starts at what the parent held, which may be more than the row needs.
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = (x for x in status.read_text().splitlines() if x.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024 / MIB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * UNIT / MIB


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    print(json.dumps(_measure(sys.argv[1], int(sys.argv[2]))))
