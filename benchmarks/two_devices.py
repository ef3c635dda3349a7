"""A process beside this one where JAX sees two CPU devices, which share the cores there are."""

import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import jax

from benchmarks.harness import Unavailable

SETTING = "JAX_NUM_CPU_DEVICES"


class TwoDevices:
    """Started with the first `run`; Unavailable where JAX does not run on a CPU."""

    def __init__(self):
        # Spawned: a fork would inherit the one device.
        self._pool = ProcessPoolExecutor(1, get_context("spawn"))
        self._started = False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._pool.shutdown()

    def run(self, function: Callable, *arguments: Any) -> Any:
        """Result of `function` there."""
        if not self._started:
            self._start()
        return self._pool.submit(function, *arguments).result()

    def _start(self):
        if jax.default_backend() != "cpu":
            raise Unavailable("two virtual devices are a matter of CPUs; see benchmarks/README.md")
        before = os.environ.get(SETTING)
        os.environ[SETTING] = "2"  # which the new process inherits
        try:
            count = self._pool.submit(jax.local_device_count).result()
        finally:
            os.environ.pop(SETTING) if before is None else os.environ.update({SETTING: before})
        if count != 2:
            raise Unavailable(f"JAX shows {count} devices where {SETTING} asks for 2")
        self._started = True
