"""Measurements that need a new process: peak memory, and the time to a first result.

    python -m benchmarks.fresh KIND ARGUMENTS...

Nothing is imported above that a user would not import.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

MIB = 2**20
# getrusage counts in kilobytes, but for macOS.
UNIT = 1 if sys.platform == "darwin" else 1024
FIRST_ROWS = {"reduced": 2**6, "stored": 2**8}  # of the grid: one block of a CPU


def measured(kind: str, *arguments: Any) -> dict[str, float]:
    """One of KINDS, measured in a new process: MiB or seconds by name."""
    command = [sys.executable, "-m", "benchmarks.fresh", kind, str(time.time())]
    command += map(str, arguments)
    # On a GPU the process that asks holds most of the memory already.
    env = os.environ | {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=env)
    return json.loads(done.stdout.splitlines()[-1])


def memory_so_far() -> float:
    """MiB that this process has held at the most."""
    # On Linux ru_maxrss starts at what the parent held, which may be more than the row needs.
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = (x for x in status.read_text().splitlines() if x.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024 / MIB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * UNIT / MIB


def _memory_of(call):
    """Peaks before and after a call, and its seconds."""
    ready, start = memory_so_far(), time.perf_counter()
    call()
    return {"ready": ready, "peak": memory_so_far(), "seconds": time.perf_counter() - start}


def _row(_, name, count):
    """Memory of a row of `solve`, and the device's own count of it where there is one."""
    import jax

    from benchmarks import solve

    jax.config.update("jax_enable_x64", True)
    row = solve.build(name, int(count))
    if hasattr(row.call, "func") and hasattr(row.call.func, "lower"):
        row.call.func.lower(*row.call.args, **row.call.keywords).compile()
    peaks = _memory_of(lambda: jax.block_until_ready(row.call()))
    stats = jax.devices()[0].memory_stats()
    return peaks | ({"device_peak": stats["peak_bytes_in_use"] / MIB} if stats else {})


def _sweep(_, side, dtype):
    """Memory of a square grid that is reduced."""
    from benchmarks import ours

    return _memory_of(lambda: ours.swept(ours.MOMENTS, int(side), int(side), dtype))


def _first_chunk(started, kind, dtype):
    """Seconds from the start of the process to a first chunk, reduced or stored."""
    from benchmarks import ours

    rows = FIRST_ROWS[kind]
    with tempfile.TemporaryDirectory() as folder:

        def call(name):
            if kind == "reduced":
                return ours.swept(ours.MOMENTS, *ours.grid_shape(rows), dtype)
            return ours.swept_store(f"{folder}/{name}", rows, dtype)

        return _first_call(started, call)


def _first_fit(started):
    """Seconds from the start of the process to a first fit, and of bootstraps after it."""
    from benchmarks import fit_problem

    fits = []
    times = _first_call(started, lambda _: fits.append(fit_problem.fit()))
    indices = fit_problem.published_resamples()
    for part in ("first_bootstrap", "bootstrap_again"):
        start = time.perf_counter()
        fit_problem.bootstrap(fits[0], indices=indices)
        times[part] = time.perf_counter() - start
    return times


def _first_call(started, call):
    from benchmarks import harness

    imported = time.time()
    _, first = harness.first_call(lambda: call("first"))
    done = time.time()
    call("again")
    return {
        "total": done - float(started),
        "import": imported - float(started),
        "first_call": first["first_call"],
        "compile": first["compile"],
        "call_again": time.time() - done,
    }


def _resamples(_, count):
    """Memory of a bootstrap."""
    from benchmarks import fit_problem

    fit = fit_problem.fit()
    return _memory_of(lambda: fit_problem.bootstrap(fit, resamples=int(count), key=0))


def _runs(_, count):
    """Memory of a first fit to so many runs, compiling and all: few will fit so many twice."""
    from benchmarks import fit_problem

    runs = fit_problem.simulated(int(count), key=0)
    return _memory_of(lambda: fit_problem.fit(runs))


KINDS = {
    "row": _row,
    "sweep": _sweep,
    "first chunk": _first_chunk,
    "first fit": _first_fit,
    "resamples": _resamples,
    "runs": _runs,
}

if __name__ == "__main__":
    kind, started, *arguments = sys.argv[1:]
    print(json.dumps(KINDS[kind](started, *arguments)))
