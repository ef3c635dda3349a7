"""The share of a process: as given, else as a batch system says in the environment."""

import pytest

from jaxscale.sweeping.processes import share

SYSTEMS = {
    "nothing": ({}, (0, 1)),
    "JAX": ({"JAX_PROCESS_ID": "2", "JAX_NUM_PROCESSES": "4"}, (2, 4)),
    "SLURM array": (
        {
            "SLURM_ARRAY_TASK_ID": "7",
            "SLURM_ARRAY_TASK_MIN": "1",
            "SLURM_ARRAY_TASK_STEP": "2",
            "SLURM_ARRAY_TASK_COUNT": "5",
            "SLURM_PROCID": "0",
            "SLURM_NTASKS": "1",
        },
        (3, 5),
    ),
    "SLURM tasks": ({"SLURM_PROCID": "3", "SLURM_STEP_NUM_TASKS": "8"}, (3, 8)),
    "SLURM batch script": ({"SLURM_PROCID": "0", "SLURM_NTASKS": "8"}, (0, 1)),
    "Kubernetes": ({"JOB_COMPLETION_INDEX": "1", "JOB_COMPLETIONS": "3"}, (1, 3)),
}


@pytest.mark.parametrize("system", list(SYSTEMS))
def test_batch_systems_say_rank_and_count(system):
    environment, expected = SYSTEMS[system]
    assert share(None, environment) == expected


def test_what_is_given_goes_before_the_environment():
    assert share((1, 2), SYSTEMS["JAX"][0]) == (1, 2)


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"JOB_COMPLETION_INDEX": "1"}, "JOB_COMPLETIONS"),
        ({"SLURM_PROCID": "x", "SLURM_STEP_NUM_TASKS": "8"}, "SLURM_PROCID must be a whole number"),
        ({"SLURM_PROCID": "9", "SLURM_STEP_NUM_TASKS": "8"}, "say process 9 of 8"),
    ],
)
def test_an_environment_that_makes_no_sense_is_named(environment, message):
    with pytest.raises(ValueError, match=message):
        share(None, environment)
