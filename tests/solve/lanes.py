"""Scenarios as dicts of arrays by name, and what the solvers and the reference make of them.

A dict has the fields of a law, a demand and costs, and a target: `loss` or `budget`. The
library takes all lanes at once, the reference one row of Python floats after another.
"""

import functools
import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from mpmath import mpf

import jaxscale as js
from conftest import AS_USERS_DO
from reference import best, best_bounded, cheapest, cheapest_bounded, rows, solve_row

SEED = int(os.environ.get("JAXSCALE_TEST_SEED") or np.random.SeedSequence().entropy % 2**32)

X64 = jax.config.jax_enable_x64
DTYPE = np.dtype(np.float64 if X64 else np.float32)  # of a Python number
EPS = float(np.finfo(DTYPE).eps)
needs_x64 = pytest.mark.skipif(not X64, reason="float64 needs x64")
DTYPES = [pytest.param(np.float64, marks=needs_x64, id="float64"), pytest.param(np.float32)]
# The dtype of a run alone, where each compiles for seconds: the gate runs this folder in both.
ITS_DTYPE = [
    DTYPES[0],
    pytest.param(np.float32, marks=pytest.mark.thorough if X64 else ()),
]

LANES = 4096  # of every batch that is solved on the host
TARGETS = ["loss", "budget"]
# Where one target holds for the other, save for a compilation.
LOSS_FIRST = ["loss", pytest.param("budget", marks=pytest.mark.thorough)]
SOLVERS = {"loss": js.minimize_cost, "budget": js.minimize_loss}
REFERENCES = {"loss": cheapest, "budget": best}
BOUNDED_REFERENCES = {"loss": cheapest_bounded, "budget": best_bounded}

LAW = ("E", "A", "B", "alpha", "beta")
DEMAND = ("input_tokens", "output_tokens")
COSTS = ("train", "prefill", "decode")
BOUNDS = ("min_params", "max_params", "min_tokens", "max_tokens", "max_tokens_per_param")
NUMBERS = ("params", "tokens", "loss", "train_cost", "prefill_cost", "decode_cost")

# Sardana et al. 2024, Table 1 ff.: 5e9 params and 3e11 tokens or so, in FLOPs.
TYPICAL = {"E": 1.69, "A": 406.4, "B": 410.7, "alpha": 0.336, "beta": 0.283}
TYPICAL |= {"loss": 2.13, "budget": 2e22, "input_tokens": 1e11, "output_tokens": 1e11}
TYPICAL |= {"train": 1.0, "prefill": 1.0, "decode": 1.0}


def inputs(target: str, *, bounded: bool = False) -> tuple[str, ...]:
    """Names of all that a plan depends on."""
    return (*LAW, target, *DEMAND, *COSTS, *(BOUNDS if bounded else ()))


def scenario(draws: dict, target: str) -> tuple:
    """The arguments of a solver; bounds where `draws` has them."""
    law, demand, costs = (
        kind(**{name: draws[name] for name in names})
        for kind, names in ((js.laws.Chinchilla, LAW), (js.Demand, DEMAND), (js.Costs, COSTS))
    )
    present = {name: draws[name] for name in BOUNDS if name in draws}
    bounds = (js.Bounds(**present),) if present else ()
    return law, draws[target], demand, costs, *bounds


def solve(draws: dict, target: str) -> js.Plan:
    return SOLVERS[target](*scenario(draws, target))


_solve_as_users_do = functools.partial(
    jax.jit, static_argnames="target", compiler_options=AS_USERS_DO
)(solve)


def repeated(draws: dict, lanes: int) -> dict[str, np.ndarray]:
    """The lanes over and over, until there are `lanes` of them."""
    count = len(next(iter(draws.values())))
    assert count <= lanes, (count, lanes)
    return {name: np.resize(values, lanes) for name, values in draws.items()}


def solve_on_host(draws: dict, target: str) -> js.Plan:
    """The plan of a batch, with NumPy arrays in it.

    All batches are solved in one shape, because to compile for a shape takes a second or two.
    """
    count = len(draws["A"])
    quickly_compiled = jax.config.read("jax_disable_most_optimizations")
    solver = solve if quickly_compiled else _solve_as_users_do
    plan = solver(repeated(draws, LANES), target)
    return jax.tree.map(lambda x: np.asarray(x)[:count], plan)


def numbers(plan: js.Plan) -> jax.Array:
    """The plan's numbers, in the order of NUMBERS."""
    return jnp.stack([getattr(plan, name) for name in NUMBERS])


def stacked(scenarios: list[dict], dtype=DTYPE) -> dict[str, np.ndarray]:
    """Scenarios of one number a name as one of arrays, rounded to `dtype`."""
    return {name: np.array([s[name] for s in scenarios]).astype(dtype) for name in scenarios[0]}


def solved_by_reference(draws: dict, target: str) -> list:
    return [solve_row(REFERENCES[target], row, target) for row in rows(draws)]


def relative_error(found, expected) -> float:
    """Of a float against an mpf."""
    return abs(float(mpf(found.item() if hasattr(found, "item") else found) / expected - 1))


def is_empty(bounds) -> bool:
    """Whether no plan at all is within a row's bounds, taken exactly."""
    low, high = mpf(bounds["min_params"]), mpf(bounds["max_params"])
    empty = low > high or bounds["min_tokens"] > bounds["max_tokens"]
    ratio = bounds["max_tokens_per_param"]
    if high < mpf("inf") and ratio < float("inf"):
        empty |= bounds["min_tokens"] > mpf(ratio) * high
    return bool(empty)
