"""Peers of `fit`: SciPy, one start after the other, and batched solvers of JAX.

All minimise the sum of Huber's function of `ln L(N, D) - ln loss` over (ln A, ln B, ln E, alpha,
beta), the three terms added as logarithms, as published. A solver takes runs and gives a
function from a start to (objective where it ended, whether it reports success).
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from benchmarks.fit_problem import DELTA, Logs

# With SciPy's default of 1e-8 less than half as many starts reach the minimum within 1e-9, with
# 1e-15 a fifth more of them, in twice the time.
LEAST_SQUARES = {"ftol": 1e-12, "xtol": 1e-12, "gtol": 1e-12, "x_scale": "jac"}
# Not scaled by the Jacobian, which would lose two starts of three.
MINPACK = {"ftol": 1e-12, "xtol": 1e-12, "gtol": 1e-12, "x_scale": 1.0, "max_nfev": 2000}
# Relative to 1 as SciPy counts, not to an objective of 1e-3.
TIGHT = {"ftol": 1e-15, "gtol": 1e-12}
OPTAX_STEPS, OPTAX_GRADIENT = 200, 1e-12
OPTIMISTIX_STEPS, OPTIMISTIX_TOLERANCE = 256, 1e-8

Solve = Callable[[np.ndarray], tuple[float, bool]]
Solver = Callable[[Logs], Solve]


class Ended(NamedTuple):
    """Where each start or resample ended."""

    objective: np.ndarray
    success: np.ndarray  # as the solver reports it


def each_start(solver: Solver, logs: Logs, starts: np.ndarray) -> Ended:
    """One start after the other."""
    solve = solver(logs)
    return _ended(solve(start) for start in starts)


def each_resample(solver: Solver, logs: Logs, start: np.ndarray, indices: np.ndarray) -> Ended:
    """One resample after the other, each from the same start."""
    return _ended(solver(logs.rows(here))(start) for here in indices)


def _ended(pairs: Iterable[tuple[float, bool]]) -> Ended:
    return Ended(*map(np.array, zip(*pairs, strict=True)))


# --- SciPy -----------------------------------------------------------------------------------


class Residuals:
    """Residuals of the law, with derivatives from the last coefficients that they were taken at."""

    def __init__(self, logs: Logs):
        self._logs, self._at, self._shares = logs, None, None

    def __call__(self, coefficients: np.ndarray) -> np.ndarray:
        ln_a, ln_b, ln_e, alpha, beta = coefficients
        params, tokens, loss = self._logs
        terms = np.stack([ln_a - alpha * params, ln_b - beta * tokens, np.full_like(loss, ln_e)])
        # Starts reach exp(-2000): without the largest term there would be nothing to divide by.
        largest = terms.max(axis=0)
        parts = np.exp(terms - largest)
        total = parts.sum(axis=0)
        self._at, self._shares = coefficients.copy(), parts / total
        return np.log(total) + largest - loss

    def jacobian(self, coefficients: np.ndarray) -> np.ndarray:
        if not np.array_equal(self._at, coefficients):
            self(coefficients)
        size, data, rest = self._shares
        params, tokens, _ = self._logs
        return np.stack([size, data, rest, -params * size, -tokens * data], axis=1)

    def value(self, coefficients: np.ndarray) -> float:
        return _huber(self(coefficients))[0]

    def value_and_gradient(self, coefficients: np.ndarray) -> tuple[float, np.ndarray]:
        value, slope = _huber(self(coefficients))
        size, data, rest = self._shares * slope
        params, tokens, _ = self._logs
        sums = size.sum(), data.sum(), rest.sum(), -(size @ params), -(data @ tokens)
        return value, np.array(sums)


class Roots(Residuals):
    """Numbers whose squares are twice Huber's function, for solvers that know squares alone."""

    def __call__(self, coefficients: np.ndarray) -> np.ndarray:
        residuals = super().__call__(coefficients)
        size = np.abs(residuals)
        roots = np.sqrt(np.maximum(2 * DELTA * size - DELTA**2, DELTA**2))
        self._slopes = np.where(size > DELTA, DELTA / roots, 1)
        return np.where(size > DELTA, np.sign(residuals) * roots, residuals)

    def jacobian(self, coefficients: np.ndarray) -> np.ndarray:
        slopes = super().jacobian(coefficients)
        return slopes * self._slopes[:, None]


def _huber(residuals):
    slope = np.clip(residuals, -DELTA, DELTA)
    return float(np.sum(slope * (residuals - slope / 2))), slope


def least_squares(logs: Logs) -> Solve:
    """`scipy.optimize.least_squares` with Huber's loss and an analytic Jacobian."""
    from scipy.optimize import least_squares

    known = Residuals(logs)

    def solve(start):
        found = least_squares(
            known, start, jac=known.jacobian, loss="huber", f_scale=DELTA, **LEAST_SQUARES
        )
        return found.cost, found.success

    return solve


def minpack(logs: Logs) -> Solve:
    """The same through MINPACK's Levenberg-Marquardt in C, sizes centred: faster, and surer."""
    from scipy.optimize import least_squares

    centre = logs.params.mean(), logs.tokens.mean()
    known = Roots(Logs(logs.params - centre[0], logs.tokens - centre[1], logs.loss))

    def solve(start):
        ln_a, ln_b, ln_e, alpha, beta = start
        centred = ln_a - centre[0] * alpha, ln_b - centre[1] * beta, ln_e, alpha, beta
        found = least_squares(known, np.array(centred), jac=known.jacobian, method="lm", **MINPACK)
        return found.cost, found.success

    return solve


def lbfgsb(logs: Logs) -> Solve:
    """`scipy.optimize.minimize` by L-BFGS-B with analytic gradients, at its own tolerances."""
    return _minimized(Residuals(logs).value_and_gradient, jac=True)


def lbfgsb_tight(logs: Logs) -> Solve:
    """The same, at tolerances for an objective of 1e-3."""
    return _minimized(Residuals(logs).value_and_gradient, jac=True, options=TIGHT)


def lbfgsb_differences(logs: Logs) -> Solve:
    """The same by finite differences, at its own tolerances: as published."""
    return _minimized(Residuals(logs).value)


def _minimized(function, **options) -> Solve:
    from scipy.optimize import minimize

    def solve(start):
        found = minimize(function, start, method="L-BFGS-B", **options)
        return found.fun, found.success

    return solve


# --- JAX -------------------------------------------------------------------------------------


def mapped(solve: Callable) -> Callable:
    """`solve` for each of its inputs, a start after the other inside one program."""
    import jax

    return lambda inputs: jax.lax.map(solve, inputs)


def vmapped(solve: Callable) -> Callable:
    """`solve` for all of its inputs at once."""
    import jax

    return jax.vmap(solve)


def optax_lbfgs(logs: Logs, batched: Callable) -> Any:
    """A jitted `optax.lbfgs` from starts, `batched` being `mapped` or `vmapped`."""
    import jax
    import jax.numpy as jnp
    import optax

    weights = np.ones_like(logs.loss)
    method = optax.lbfgs()

    def value(coefficients):
        return _value(logs, coefficients, weights)

    def goes_on(carry):
        step, _, state = carry
        steepest = jnp.max(jnp.abs(optax.tree.get(state, "grad")))
        return (step < OPTAX_STEPS) & ((step == 0) | (steepest > OPTAX_GRADIENT))

    def advance(carry):
        step, point, state = carry
        here, slope = optax.value_and_grad_from_state(value)(point, state=state)
        change, state = method.update(
            slope, state, point, value=here, grad=slope, value_fn=value
        )  # fmt: skip
        return step + 1, optax.apply_updates(point, change), state

    def solve(start):
        begun = 0, start, method.init(start)
        step, point, _ = jax.lax.while_loop(goes_on, advance, begun)
        return Ended(value(point), step < OPTAX_STEPS)

    return jax.jit(batched(solve))


def optimistix_starts(logs: Logs, batched: Callable) -> Any:
    """A jitted `optimistix.LevenbergMarquardt` from starts."""
    import jax

    weights = np.ones_like(logs.loss)
    return jax.jit(batched(lambda start: _levenberg_marquardt(logs, start, weights)))


def optimistix_resamples(logs: Logs, start: np.ndarray, batched: Callable) -> Any:
    """The same for rows of weights of the runs, from one start."""
    import jax

    return jax.jit(batched(lambda weights: _levenberg_marquardt(logs, start, weights)))


def _levenberg_marquardt(logs, start, weights):
    import jax.numpy as jnp
    import optimistix

    method = optimistix.LevenbergMarquardt(OPTIMISTIX_TOLERANCE, OPTIMISTIX_TOLERANCE)

    def roots(coefficients, _):
        residuals = _residuals(logs, coefficients)
        size = jnp.abs(residuals)
        large = jnp.sqrt(jnp.maximum(2 * DELTA * size - DELTA**2, DELTA**2))
        return jnp.sqrt(weights) * jnp.where(
            size > DELTA, jnp.sign(residuals) * large, residuals
        )  # fmt: skip

    found = optimistix.least_squares(
        roots, method, jnp.asarray(start), max_steps=OPTIMISTIX_STEPS, throw=False
    )
    success = found.result == optimistix.RESULTS.successful
    return Ended(_value(logs, found.value, weights), success)


def _value(logs, coefficients, weights):
    import jax.numpy as jnp

    residuals = _residuals(logs, coefficients)
    slope = jnp.clip(residuals, -DELTA, DELTA)
    return jnp.sum(weights * slope * (residuals - slope / 2))


def _residuals(logs, coefficients):
    import jax
    import jax.numpy as jnp

    ln_a, ln_b, ln_e, alpha, beta = coefficients
    rest = jnp.full_like(logs.loss, ln_e)
    terms = jnp.stack([ln_a - alpha * logs.params, ln_b - beta * logs.tokens, rest])
    return jax.nn.logsumexp(terms, axis=0) - logs.loss
