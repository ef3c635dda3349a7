"""Our side of `solve` and `sweep`: arrays in and out, scenarios from their index, sweeps."""

import os
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

import jaxscale as js
from benchmarks import machine
from benchmarks.problem import COLUMNS, LAW, Grid, grid_axes

ON_CPU = jax.default_backend() == "cpu"
# Scenarios solved at a time in a loop: on a CPU few enough for the cache and
# enough to pay for handing them to threads; on an accelerator as many as 2^26, if they fit.
CHUNK = 2**16 if ON_CPU else machine.power_of_two_that_fits(2**26)
FIELDS = "params", "tokens"
MOMENTS = [js.Moments(field) for field in FIELDS]
MOST_LOSSES = 2**17  # of losses, which must differ in float32 too


def plans(loss, demand):
    """The whole Plan, with costs and status, by a plain call."""
    return js.minimize_cost(js.laws.Chinchilla(*LAW), loss, js.Demand(input_tokens=demand))


@jax.jit
def params_and_tokens(loss, demand):
    """N and D alone: XLA drops the work for everything else."""
    plan = plans(loss, demand)
    return plan.params, plan.tokens


def whole_rows(scenarios: int) -> int:
    """Rows of the grid nearest to so many scenarios that `grid_sums` cuts into equal chunks."""
    rows, chunk_rows = max(1, round(scenarios / COLUMNS)), CHUNK // COLUMNS
    return rows if rows <= chunk_rows else round(rows / chunk_rows) * chunk_rows


@partial(jax.jit, static_argnames=("rows", "dtype"))
def grid_sums(rows: int, dtype: str):
    """Sums of N and of D over a grid whose scenarios exist for one chunk at a time."""
    chunk_rows = min(rows, CHUNK // COLUMNS)

    def chunk_sums(first_row):
        plan = plans(*_decoded(first_row, chunk_rows, Grid(rows), dtype))
        # Along rows, so that a vector of columns is added at once.
        return tuple(jnp.sum(x.reshape(-1, COLUMNS), axis=0) for x in (plan.params, plan.tokens))

    first_rows = jnp.arange(0, rows, chunk_rows, dtype=jnp.int32)
    sums = jax.lax.map(chunk_sums, first_rows)
    return tuple(jnp.sum(x.astype(jnp.float64)) for x in sums)


def _decoded(first_row, chunk_rows: int, grid: Grid, dtype: str):
    """Losses and demands of the scenarios in consecutive rows of the grid."""
    index = jax.lax.iota(jnp.int32, chunk_rows * COLUMNS)
    row, column = first_row + index // COLUMNS, index % COLUMNS
    loss, loss_step = (jnp.asarray(x, dtype) for x in grid.loss_axis)
    log_demand, log_step = (jnp.asarray(x, dtype) for x in grid.log_demand_axis)
    return (
        loss + loss_step * row.astype(dtype),
        jnp.exp(log_demand + log_step * column.astype(dtype)),
    )


def scenario(loss, demand):
    """The scenario that is swept: N and D of the cheapest plan."""
    plan = plans(loss, demand)
    return {"params": plan.params, "tokens": plan.tokens}


def scenario_with_status(loss, demand):
    """The same with the status of each plan."""
    plan = plans(loss, demand)
    return {"params": plan.params, "tokens": plan.tokens, "status": plan.status}


def grid_shape(rows: int) -> tuple[int, int]:
    """Rows and columns of as many scenarios, such that losses are not too near each other."""
    columns = COLUMNS
    while rows > MOST_LOSSES:
        rows, columns = rows // 2, columns * 2
    return rows, columns


def space(rows: int, columns: int = COLUMNS) -> js.Grid:
    """The grid of `problem.grid_axes` as a sweep takes it."""
    loss, demand = grid_axes(rows, columns)
    return js.Grid(loss=loss, demand=demand)


def swept(reducers: list, rows: int, columns: int, dtype: str, scenario: Any = scenario) -> Any:
    """Statistics of N and D over the grid."""
    return js.sweep(scenario, space(rows, columns), reduce=reducers, dtype=dtype, progress=False)


def swept_store(path: str | os.PathLike, rows: int, dtype: str) -> Any:
    """N and D in a new store, opened lazily."""
    return js.sweep(scenario, space(rows), store=path, dtype=dtype, progress=False)
