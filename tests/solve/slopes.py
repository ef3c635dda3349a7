"""Derivatives of plans by all that they depend on, in one shape, compiled once for each mode.

Compiling takes seconds and running takes milliseconds. So the direction in which to
differentiate is an input like any other, and a matrix of derivatives is a loop over directions.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from conftest import QUICK_XLA
from solve.lanes import BOUNDS, NUMBERS, inputs, numbers, repeated, solve, solve_on_host

LANES = 512


@functools.partial(jax.jit, static_argnames="target")
def _pulled(draws, weights, target):
    """What a user would differentiate: a sum over a batch that skips lanes without a plan."""
    return jax.grad(lambda x: jnp.nansum(weights * numbers(solve(x, target))))(draws)


def _jvp(draws, tangents, target):
    return jax.jvp(lambda x: numbers(solve(x, target)), (draws,), (tangents,))[1]


_pushed_free = jax.jit(_jvp, static_argnames="target")
# Newer XLA fuses so much of the bounded problem, over and over, that it takes three times as long
# to compile. Reverse mode, which more people use, is compiled as they compile it.
_pushed_bounded = jax.jit(
    _jvp,
    static_argnames="target",
    compiler_options=None if QUICK_XLA else {"xla_disable_hlo_passes": "fusion"},
)


def _pushed(draws, tangents, target):
    pushed = _pushed_bounded if BOUNDS[0] in draws else _pushed_free
    return pushed(draws, tangents, target)


@functools.partial(jax.jit, static_argnames="target")
def _pushed_and_pulled(draws, weights, tangents, target):
    return jax.jvp(lambda x: _pulled(x, weights, target), (draws,), (tangents,))[1]


def _given(draws, target) -> tuple[dict, int]:
    """The inputs alone, repeated to LANES, and how many lanes there were."""
    names = inputs(target, bounded=BOUNDS[0] in draws)
    count = len(draws["A"])
    return repeated({name: draws[name] for name in names}, LANES), count


def _along(draws, names) -> dict:
    """The direction in which the inputs called `names` all move alike."""
    return {name: np.full_like(x, float(name in names)) for name, x in draws.items()}


def _weights_of(number, draws):
    weights = np.zeros((len(NUMBERS), LANES), draws["A"].dtype)
    weights[NUMBERS.index(number)] = 1
    return weights


def _weights_of_logarithms(draws, target):
    """Weights that differentiate the sum of the numbers' logarithms, where there are any.

    Logarithms, so that no number's derivative drowns another's.
    """
    plan = solve_on_host(draws, target)
    values = np.stack([getattr(plan, name) for name in NUMBERS])
    normal = values >= np.finfo(values.dtype).tiny
    return np.where(normal, 1 / np.where(normal, values, 1), 0).astype(values.dtype)


def _cut(slopes, count) -> dict[str, np.ndarray]:
    return {name: np.asarray(slope)[..., :count] for name, slope in slopes.items()}


def of_logarithms(draws, target) -> dict[str, np.ndarray]:
    """By reverse mode, the gradient of the nansum of the logarithms of all numbers."""
    given, count = _given(draws, target)
    return _cut(_pulled(given, _weights_of_logarithms(given, target), target), count)


def of_logarithms_twice(draws, target) -> dict[str, np.ndarray]:
    """The derivative of such a gradient, its weights kept, along the sum of all inputs.

    Not of what serving costs, which may be so small that its logarithm's derivatives overflow.
    """
    given, count = _given(draws, target)
    weights = _weights_of_logarithms(given, target)
    weights[NUMBERS.index("prefill_cost") :] = 0
    return _cut(_pushed_and_pulled(given, weights, _along(given, given), target), count)


def along_all(draws, target) -> np.ndarray:
    """By forward mode, derivatives of the numbers along the sum of all inputs."""
    given, count = _given(draws, target)
    return np.asarray(_pushed(given, _along(given, given), target))[:, :count]


def forward(draws, target) -> np.ndarray:
    """First derivatives by forward mode: lanes, numbers, inputs."""
    given, count = _given(draws, target)
    columns = [_pushed(given, _along(given, [name]), target) for name in given]
    return np.stack(columns, axis=-1).swapaxes(0, 1)[:count]


def reverse(draws, target) -> np.ndarray:
    """First derivatives by reverse mode: lanes, numbers, inputs."""
    given, count = _given(draws, target)
    rows = [_pulled(given, _weights_of(number, given), target) for number in NUMBERS]
    return np.stack([_matrix(row, given) for row in rows], axis=1)[:count]


def second(draws, target) -> np.ndarray:
    """Second derivatives, forward over reverse: lanes, numbers, inputs, inputs."""
    given, count = _given(draws, target)
    blocks = [
        [
            _matrix(_pushed_and_pulled(given, weights, _along(given, [name]), target), given)
            for name in given
        ]
        for weights in (_weights_of(number, given) for number in NUMBERS)
    ]
    return np.stack([np.stack(block, axis=-1) for block in blocks], axis=1)[:count]


def _matrix(slopes, names) -> np.ndarray:
    # What comes out of jit is sorted by name.
    return np.stack([slopes[name] for name in names], axis=-1)
