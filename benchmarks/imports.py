"""The cost of imports beyond JAX and optax: `python -m benchmarks.imports`.

The aim: `import jaxscale` and the solvers in at most 0.15 s of processor time. Least of some new
processes, with bytecode: other work on the machine only ever adds, and to compile takes longer
than to import. Which modules are loaded is held by a test, which asserts no time. Last printed,
on two cores with other work, Python 3.11 and JAX 0.10.2:

    from nothing of jaxscale to   processor time   modules of ours
    import jaxscale                       229 us                 1   met
    a published law                      24.9 ms                25
    the solvers                          34.3 ms                42   met
    a sweep                              23.8 ms                41
    a fit                                53.5 ms                71
    every public name                     178 ms               164
"""

import json
import os
import subprocess
import sys
import tempfile

from benchmarks.report import duration, table

ROUNDS = 7
AIM_SECONDS = 0.15
COLUMNS = "from nothing of jaxscale to", "processor time", "modules of ours", ""
STAGES = {
    "import jaxscale": "",
    "a published law": "js.laws.published",
    "the solvers": "js.laws.published, js.minimize_cost",
    "a sweep": "js.sweep",
    "a fit": "js.fit",
    "every public name": "[getattr(js, name) for name in dir(js)]",
}
JUDGED = "import jaxscale", "the solvers"
CODE = """
import json, sys, time
import jax, optax
start = time.process_time()
import jaxscale as js
{stage}
seconds = time.process_time() - start
print(json.dumps([seconds, sum(name.split(".")[0] == "jaxscale" for name in sys.modules)]))
"""


def measured(rounds: int = ROUNDS) -> dict[str, tuple[float, int]]:
    """Seconds of the processor and modules of ours, by what was imported."""
    with tempfile.TemporaryDirectory() as bytecode:
        _once(STAGES["every public name"], bytecode)  # writes the bytecode
        return {
            name: min(_once(stage, bytecode) for _ in range(rounds))
            for name, stage in STAGES.items()
        }


def _once(stage, bytecode):
    env = {name: x for name, x in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-c", CODE.format(stage=stage)]
    done = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, env=env | {"PYTHONPYCACHEPREFIX": bytecode}
    )
    seconds, modules = json.loads(done.stdout)
    return seconds, modules


def main() -> None:
    """Measure and show."""
    lines = []
    for name, (seconds, modules) in measured().items():
        verdict = ("met" if seconds <= AIM_SECONDS else "not met") if name in JUDGED else ""
        lines.append((name, duration(seconds), str(modules), verdict))
    table(f"Imports beyond JAX and optax; aim: {AIM_SECONDS} s", COLUMNS, lines)


if __name__ == "__main__":
    main()
