"""The rows of the table: what each is called, what it runs, and on which scenarios."""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import jax

from benchmarks import floor, ours, peers
from benchmarks.floor import Unavailable
from benchmarks.problem import COLUMNS, random_scenarios

LOOP_SAMPLE = 2000  # scenarios of the Python loop, which needs a minute for a million


@dataclass(frozen=True)
class Row:
    """One way to solve the scenarios; `call` runs it to the end, or to a JAX array."""

    name: str
    dtype: str
    reduced: bool  # sums over a grid leave, and not N and D of given arrays
    scenarios: int
    call: Callable[[], Any]  # (N, D) or (sum of N, sum of D)
    compiled: tuple | None = None  # a jitted function and its arguments
    note: str = ""
    details: dict = field(default_factory=dict)


def jaxscale_arrays(name: str, count: int, dtype: str) -> Row:
    return _jitted_row(ours.params_and_tokens, name, count, dtype)


def jaxscale_blocks(name: str, count: int, dtype: str) -> Row:
    note = f"lax.map, blocks of {min(count, ours.CHUNK):,}"
    return _jitted_row(ours.params_and_tokens_in_blocks, name, count, dtype, note)


def _jitted_row(jitted, name, count, dtype, note=""):
    arguments = jax.device_put(random_scenarios(count, dtype))
    call = partial(jitted, *arguments)
    return Row(name, dtype, False, count, call, (jitted, *arguments), note)


def jaxscale_plan(name: str, count: int, dtype: str) -> Row:
    arguments = jax.device_put(random_scenarios(count, dtype))
    return Row(name, dtype, False, count, partial(_every_field, *arguments), note="7 fields")


def _every_field(loss, demand):
    plan = jax.block_until_ready(ours.plans(loss, demand))
    return plan.params, plan.tokens


def jaxscale_reduced(name: str, count: int, dtype: str) -> Row:
    arguments = count // COLUMNS, dtype
    note = f"chunks of {min(count, ours.CHUNK):,}"
    call = partial(ours.grid_sums, *arguments)
    return Row(name, dtype, True, count, call, (ours.grid_sums, *arguments), note)


def host_peer(solve: Callable, package: str, note: str, name: str, count: int, dtype: str) -> Row:
    _require(package)
    call = partial(solve, *random_scenarios(count, dtype))
    return Row(name, dtype, False, count, call, note=note)


def loop_peer(name: str, count: int, dtype: str) -> Row:
    sample = min(count, LOOP_SAMPLE)
    # The first of the scenarios that the others solve.
    loss, demand = (x[:sample] for x in random_scenarios(count, dtype))
    _require("scipy")
    call = partial(peers.scipy_loop, loss, demand)
    return Row(name, dtype, False, sample, call, note=f"a sample of {sample:,}")


def optimistix_peer(name: str, count: int, dtype: str) -> Row:
    _require("optimistix")
    arguments = jax.device_put(random_scenarios(count, dtype))
    solver = peers.optimistix_solver()
    return Row(name, dtype, False, count, partial(solver, *arguments), (solver, *arguments))


def floor_arrays(name: str, count: int, dtype: str) -> Row:
    built = floor.load(dtype)
    call = partial(built.materialised, *random_scenarios(count, dtype))
    return _floor_row(built, name, dtype, False, count, call)


def floor_reduced(name: str, count: int, dtype: str) -> Row:
    built = floor.load(dtype)
    return _floor_row(built, name, dtype, True, count, partial(built.reduced, count // COLUMNS))


def _floor_row(built, name, dtype, reduced, count, call):
    details = {"vector_calls": built.vector_calls, "flags": built.flags, "threads": built.threads}
    note = f"{built.threads} threads"
    return Row(name, dtype, reduced, count, call, note=note, details=details)


def _require(package):
    if importlib.util.find_spec(package) is None:
        raise Unavailable(f"{package} is not installed")


def _peer(solve, package, note=""):
    return partial(host_peer, solve, package, note), "float64"


OURS, OURS32 = "jaxscale float64", "jaxscale float32"
OURS_BLOCKS, OURS32_BLOCKS = "jaxscale float64, in blocks", "jaxscale float32, in blocks"
OURS_REDUCED, OURS32_REDUCED = "jaxscale float64, reduced", "jaxscale float32, reduced"
OURS_PLAN = "jaxscale float64, whole plan"
LOOP, ARRAY, FIND_ROOT = "scipy newton, loop", "scipy newton, array", "scipy find_root, array"
NUMPY, NUMPY_WHOLE = "NumPy by hand, in blocks", "NumPy by hand, whole arrays"
OPTIMISTIX = "optimistix, vmapped"
FLOOR, FLOOR32 = "C floor float64", "C floor float32"
FLOOR_REDUCED, FLOOR32_REDUCED = "C floor float64, reduced", "C floor float32, reduced"

BUILDERS: dict[str, tuple[Callable[[str, int, str], Row], str]] = {
    OURS: (jaxscale_arrays, "float64"),
    OURS32: (jaxscale_arrays, "float32"),
    OURS_BLOCKS: (jaxscale_blocks, "float64"),
    OURS32_BLOCKS: (jaxscale_blocks, "float32"),
    OURS_PLAN: (jaxscale_plan, "float64"),
    LOOP: (loop_peer, "float64"),
    ARRAY: _peer(peers.scipy_array, "scipy"),
    FIND_ROOT: _peer(peers.scipy_find_root, "scipy"),
    NUMPY_WHOLE: _peer(peers.numpy_whole, "numpy", "one thread"),
    NUMPY: _peer(peers.numpy_blocks, "numpy", f"one thread, blocks of {peers.NUMPY_BLOCK:,}"),
    OPTIMISTIX: (optimistix_peer, "float64"),
    FLOOR: (floor_arrays, "float64"),
    FLOOR32: (floor_arrays, "float32"),
    OURS_REDUCED: (jaxscale_reduced, "float64"),
    OURS32_REDUCED: (jaxscale_reduced, "float32"),
    FLOOR_REDUCED: (floor_reduced, "float64"),
    FLOOR32_REDUCED: (floor_reduced, "float32"),
}


def build(name: str, count: int) -> Row:
    """The row of that name for `count` scenarios, inputs in place; may raise Unavailable."""
    builder, dtype = BUILDERS[name]
    return builder(name, count, dtype)
