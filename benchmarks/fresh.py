"""What only a new process can show: its peak memory, and the time to a first result.

    python -m benchmarks.fresh memory SIDE DTYPE
    python -m benchmarks.fresh first_reduced|first_stored STARTED DTYPE

Nothing is imported above that a user of a sweep would not import.
"""

import json
import subprocess
import sys
import tempfile
import time
from typing import Any

FIRST_ROWS = {"first_reduced": 2**6, "first_stored": 2**8}  # of the grid: one block of a CPU
XLA_COMPILES = "/jax/core/compile/backend_compile_duration"


def memory(side: int, dtype: str) -> dict[str, float]:
    """MiB at the most, before a sweep of a square grid is reduced and after; its seconds."""
    return in_new_process("benchmarks.fresh", "memory", side, dtype)


def first(kind: str, dtype: str) -> dict[str, float]:
    """Seconds from the start of a process to the result of a first chunk, and parts of them."""
    return in_new_process("benchmarks.fresh", kind, time.time(), dtype)


def in_new_process(module: str, *arguments: Any) -> dict[str, float]:
    """What a module, run as a program, prints last, read as JSON."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def _measure_memory(side, dtype):
    from benchmarks import ours
    from benchmarks.memory import so_far

    ready, start = so_far(), time.perf_counter()
    ours.swept_sums(int(side), dtype, int(side))
    return {"ready": ready, "peak": so_far(), "seconds": time.perf_counter() - start}


def _measure_first(kind, started, dtype):
    from benchmarks import ours

    imported, compiling = time.time(), []
    listen(compiling)
    rows = FIRST_ROWS[kind]
    with tempfile.TemporaryDirectory() as folder:

        def call(name):
            if kind == "first_reduced":
                return ours.swept_sums(rows, dtype)
            return ours.swept_store(f"{folder}/{name}", rows, dtype)

        call("first")
        done = time.time()
        call("again")
        again = time.time() - done
    return {
        "total": done - float(started),
        "import": imported - float(started),
        "first_call": done - imported,
        "compile": sum(compiling),
        "call_again": again,
    }


def listen(durations: list[float]) -> None:
    """Append the seconds of each compilation by XLA from now on."""
    import jax

    def heard(event, duration_secs, **_):
        if event == XLA_COMPILES:
            durations.append(duration_secs)

    jax.monitoring.register_event_duration_secs_listener(heard)


if __name__ == "__main__":
    kind, *given = sys.argv[1:]
    found = _measure_memory(*given) if kind == "memory" else _measure_first(kind, *given)
    print(json.dumps(found))
