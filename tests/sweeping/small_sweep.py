"""A sweep of many small chunks, to be run, killed and run again in processes of its own.

    python small_sweep.py STORE [--devices N] [--process RANK/COUNT] [--reduce]
    python small_sweep.py STORE --killed TIMES SEED

The second form forks a child for each attempt, so that JAX is imported once, and kills it with
SIGKILL when it has written a random number of files, and TIMES have passed.
"""

import argparse
import os
import random
import signal
import sys
import time
import warnings
from pathlib import Path

import jax

import jaxscale as js

LAW = js.laws.published("sardana2024")
SPACE = js.Grid(
    loss=js.linspace(1.6, 2.6, 90), requests=js.geomspace(1e6, 1e12, 16), price=[0.5, 1.0, 2.0]
)
CHUNK = 48  # one value of loss
REDUCERS = [js.Moments("total_cost"), js.TopK("params", k=3), js.Quantiles("params")]


def scenario(loss, requests, price):
    """Cheap to compile: the law alone, at a size that depends on all three."""
    tokens = 1e3 * requests * price
    params = LAW.params_for(loss, tokens)
    return {"params": params, "total_cost": 6 * params * tokens}


def run(store, **options):
    return js.sweep(scenario, SPACE, store=store, dtype="float64", chunk=CHUNK, **options)


def files(store):
    """Names of the files with results, without those that only say who writes."""
    found = Path(store).rglob("c.*")
    return {str(path.relative_to(store)) for path in found if not path.name.endswith("__lock")}


def killed(store, times, seed):
    """Kill `times` runs, each after a random part of its work; how many had not finished."""
    draw = random.Random(seed)
    found = 0
    for _ in range(times):
        child = os.fork()
        if not child:
            run(store)
            os._exit(0)
        until, ended = len(files(store)) + draw.randrange(12), (0, 0)
        while not ended[0] and len(files(store)) < until:
            time.sleep(0.01)
            ended = os.waitpid(child, os.WNOHANG)
        if not ended[0]:
            time.sleep(draw.uniform(0, 0.02))  # not always when a file has just been written
            os.kill(child, signal.SIGKILL)
            ended = os.waitpid(child, 0)
        found += os.WIFSIGNALED(ended[1])
    return found


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("store")
    parser.add_argument("--devices", type=int)
    parser.add_argument("--process")
    parser.add_argument("--reduce", action="store_true")
    parser.add_argument("--killed", nargs=2, type=int)
    given = parser.parse_args()
    warnings.simplefilter("error")
    if given.killed:
        # A killed process may leave half a program to the processes that share its cache.
        jax.config.update("jax_enable_compilation_cache", False)
        print(killed(given.store, *given.killed))
        return
    if given.devices:
        jax.config.update("jax_num_cpu_devices", given.devices)
        assert len(jax.devices()) == given.devices
    options = {"reduce": REDUCERS} if given.reduce else {}
    if given.process:
        options["process"] = tuple(map(int, given.process.split("/")))
    found = run(given.store, **options)
    if given.reduce:
        print(*(vars(found[each]) for each in (*REDUCERS, js.StatusCounts())), sep="\n")


if __name__ == "__main__":
    sys.exit(main())
