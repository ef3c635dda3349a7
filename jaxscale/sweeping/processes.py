"""Which share of a sweep is this process's, as a batch system says.

No process waits for another: each takes every count-th chunk. Nothing of `jax.distributed`
is needed, which would end all processes with the first that dies.
"""

import os
from collections.abc import Mapping
from numbers import Integral
from typing import Any

ALONE = 0, 1

# Rank and count, as each system says them; the first that says both is believed.
SYSTEMS = (
    ("JAX_PROCESS_ID", "JAX_NUM_PROCESSES"),
    ("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT"),
    # Of a step, which srun starts: a batch script alone has a SLURM_PROCID too.
    ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS"),
    # Kubernetes gives an indexed job its index alone: the manifest repeats `completions`.
    ("JOB_COMPLETION_INDEX", "JOB_COMPLETIONS"),
)
FIRST = {"SLURM_ARRAY_TASK_ID": "SLURM_ARRAY_TASK_MIN"}
STEP = {"SLURM_ARRAY_TASK_ID": "SLURM_ARRAY_TASK_STEP"}


def share(process: Any, environment: Mapping[str, str] = os.environ) -> tuple[int, int]:
    """Rank and count of this process: as given, else as a batch system says, else (0, 1).

    Raises TypeError or ValueError naming `process`, or the variable that makes no sense.
    """
    if process is None:
        return _from_environment(environment)
    try:
        rank, count = process
    except (TypeError, ValueError):
        raise TypeError(f"process must be (rank, count); got {process!r}") from None
    if not all(isinstance(x, Integral) and not isinstance(x, bool) for x in (rank, count)):
        raise TypeError(f"process must be two whole numbers; got {process!r}")
    if not 0 <= rank < count:
        raise ValueError(f"process must be (rank, count) with 0 <= rank < count; got {process!r}")
    return int(rank), int(count)


def _from_environment(environment: Mapping[str, str]) -> tuple[int, int]:
    for rank_name, count_name in SYSTEMS:
        if rank_name not in environment:
            continue
        if count_name not in environment:
            if rank_name == "JOB_COMPLETION_INDEX":
                raise ValueError(
                    "JOB_COMPLETION_INDEX is set without JOB_COMPLETIONS: set it in the manifest "
                    "to the job's completions, or give process=(rank, count)"
                )
            continue
        rank = _number(environment, rank_name)
        first = _number(environment, FIRST.get(rank_name, ""), 0)
        step = _number(environment, STEP.get(rank_name, ""), 1)
        rank, count = (rank - first) // max(1, step), _number(environment, count_name)
        if not 0 <= rank < count:
            raise ValueError(f"{rank_name} and {count_name} say process {rank} of {count}")
        return rank, count
    return ALONE


def _number(environment: Mapping[str, str], name: str, default: int | None = None) -> int:
    text = environment.get(name)
    if text is None and default is not None:
        return default
    try:
        return int(text or "")
    except ValueError:
        raise ValueError(f"{name} must be a whole number; it is {text!r}") from None
