"""What only a new process can show of a fit: the time to a first one, and peak memory.

    python -m benchmarks.fit_fresh first STARTED
    python -m benchmarks.fit_fresh resamples|runs COUNT

Nothing is imported above that a user of a fit would not import.
"""

import json
import sys
import time
import warnings

from benchmarks.fresh import in_new_process, listen

MODULE = "benchmarks.fit_fresh"


def first() -> dict[str, float]:
    """Seconds from the start of a process to a first fit, and parts of them; a bootstrap's."""
    return in_new_process(MODULE, "first", time.time())


def memory(kind: str, count: int) -> dict[str, float]:
    """MiB at the most of so many resamples, or of a fit to so many runs; before them; seconds."""
    return in_new_process(MODULE, kind, count)


def _measure_first(started):
    from benchmarks import fit_problem

    imported, compiling = time.time(), []
    listen(compiling)
    fit = _fit(fit_problem.runs())
    fitted, compiled = time.time(), sum(compiling)
    _fit(fit_problem.runs())
    again = time.time() - fitted
    places = fit_problem.published_resamples()
    bootstrap = _seconds(lambda: _bootstrap(fit, indices=places))
    return {
        "total": fitted - float(started),
        "import": imported - float(started),
        "first_call": fitted - imported,
        "compile": compiled,
        "call_again": again,
        "first_bootstrap": bootstrap,
        "bootstrap_again": _seconds(lambda: _bootstrap(fit, indices=places)),
    }


def _measure_resamples(count):
    from benchmarks import fit_problem
    from benchmarks.memory import so_far

    fit = _fit(fit_problem.runs())
    ready = so_far()
    taken = _seconds(lambda: _bootstrap(fit, resamples=int(count), key=0))
    return {"ready": ready, "peak": so_far(), "seconds": taken}


def _measure_runs(count):
    import jaxscale as js
    from benchmarks import fit_problem
    from benchmarks.memory import so_far
    from benchmarks.problem import LAW

    law = js.laws.Chinchilla(*LAW)
    runs = js.fitting.simulate(law, int(count), key=0, noise=fit_problem.NOISE)
    ready = so_far()
    # The first fit counts, compiling and all: few will fit so many runs twice.
    taken = _seconds(lambda: _fit(runs))
    return {"ready": ready, "peak": so_far(), "seconds": taken}


def _fit(runs):
    import jaxscale as js

    return js.fit(js.laws.Chinchilla, runs)


def _bootstrap(fit, **how):
    import jaxscale as js

    with warnings.catch_warnings(action="ignore", category=UserWarning):
        return js.bootstrap(fit, **how)


def _seconds(call):
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


MEASURES = {"first": _measure_first, "resamples": _measure_resamples, "runs": _measure_runs}

if __name__ == "__main__":
    kind, given = sys.argv[1:]
    print(json.dumps(MEASURES[kind](given)))
