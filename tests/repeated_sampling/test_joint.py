"""Plans with attempts: against a grid of sizes and attempts, and losses against closed forms."""

import functools
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import jaxscale as js
from jaxscale import Status
from jaxscale.repeated_sampling import loss_for_success, minimize_cost_for_success

X64 = jax.config.read("jax_enable_x64")
DTYPE = np.float64 if X64 else np.float32
EPS = np.finfo(DTYPE).eps
LAW = js.laws.Chinchilla(E=1.69, A=406.4, B=410.7, alpha=0.336, beta=0.283)
TASKS = js.task("gadre2024_c4")
CURVE = TASKS.curve
MIDDLE, WIDTH = 2.1, 0.1  # of the sigmoid
MOST = 300


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Mixed:
    """Success as a sigmoid of loss, or Gadre et al.'s on tasks: one program for both."""

    is_sigmoid: object  # above 0 where it is

    def __call__(self, loss):
        tasks = TASKS.accuracy(loss)
        return jnp.where(self.is_sigmoid > 0, jax.nn.sigmoid((MIDDLE - loss) / WIDTH), tasks)


# A row a case: is it the sigmoid; the target; the concentration of problems.
CASES = {
    "sigmoid": (1, 0.7, np.inf),
    "sigmoid, spread": (1, 0.3, 2.0),
    "tasks, spread": (0, 0.9, 2.0),
    "bad target": (1, 1.0, 2.0),
    "bad concentration": (1, 0.7, 0.0),
    "out of reach": (1, 0.999999, 0.01),
    "no skill needed": (0, 0.9, np.inf),
}
GOOD = 3
DEMAND = np.array([0, 1e9, 1e11, 1e13, 1e16])  # tokens, read and written alike


@functools.cache
def plans():
    kind, target, concentration = np.array(list(CASES.values()), DTYPE).T[:, :, None]
    demand = js.Demand(DEMAND.astype(DTYPE), DEMAND.astype(DTYPE))
    return minimize_cost_for_success(
        LAW, Mixed(kind), target, demand, concentration=concentration, max_attempts=MOST
    )


def rate_needed(target, concentration, attempts):
    """Mean chance of one attempt with which k reach the target, by bisection of the product."""
    if np.isinf(concentration):
        return 1 - (1 - target) ** (1 / attempts)
    low, high = np.zeros(2)
    high = 1.0
    steps = np.arange(attempts)
    for _ in range(60):
        p = (low + high) / 2
        failure = np.prod(((1 - p) * concentration + steps) / (concentration + steps))
        low, high = (p, high) if failure > 1 - target else (low, p)
    return low


def loss_needed(is_sigmoid, target, concentration, attempts):
    p = rate_needed(target, concentration, attempts)
    if is_sigmoid:
        return MIDDLE - WIDTH * np.log(p / (1 - p))
    return np.log(CURVE.k / (CURVE.epsilon - (1 - p))) / CURVE.gamma


@functools.cache
def grid(case):
    """Least bills by attempts and demand, over a grid of params: rows from one attempt on."""
    losses = np.array([loss_needed(*CASES[case], k) for k in range(1, MOST + 1)])
    params = np.geomspace(1e5, 1e12, 8000)
    with np.errstate(invalid="ignore", divide="ignore"):
        left = losses[:, None] - LAW.E - LAW.A * params**-LAW.alpha
        tokens = np.where(left > 0, (LAW.B / left) ** (1 / LAW.beta), np.inf)
    served = DEMAND * (1 + np.arange(1, MOST + 1)[:, None])
    bills = 6 * params * tokens
    return np.stack([(bills + 2 * params * each[:, None]).min(axis=1) for each in served.T], axis=1)


@pytest.mark.parametrize("case", list(CASES)[:GOOD])
def test_no_size_and_no_number_of_attempts_is_cheaper(case):
    found = np.asarray(plans().total_cost)[list(CASES).index(case)]
    best = grid(case).min(axis=0)
    assert np.all(found <= best * (1 + (1e-12 if X64 else 1e-4)))
    assert_allclose(found, best, rtol=3e-5 if X64 else 1e-4)  # params are 0.2 % apart


@pytest.mark.parametrize("case", list(CASES)[:GOOD])
def test_attempts_are_those_of_the_grid(case):
    found = np.asarray(plans().levers["attempts"])[list(CASES).index(case)]
    best = 1 + grid(case).argmin(axis=0)
    # Where bills differ by less than the grid, or rounding, is out by.
    assert_allclose(found, best, rtol=0.02)
    assert_array_equal(found, np.round(found))
    assert np.all(np.diff(found) <= 0)  # more demand, fewer attempts
    assert found[0] == MOST  # asking costs nothing
    assert found[0] > found[2] > found[4]


def test_the_loss_of_a_plan_is_what_its_attempts_need():
    plan = plans()
    for row, case in enumerate(list(CASES)[:GOOD]):
        for column, attempts in enumerate(np.asarray(plan.levers["attempts"])[row]):
            needed = loss_needed(*CASES[case], int(attempts))
            assert_allclose(plan.loss[row, column], needed, rtol=1e-12 if X64 else 1e-5)


def test_statuses():
    status = np.asarray(plans().status)
    attempts = np.asarray(plans().levers["attempts"])[:GOOD]
    at_end = (attempts == 1) | (attempts == MOST)
    assert_array_equal(status[:GOOD], np.where(at_end, Status.AT_LEVER_END, Status.OK))
    assert attempts[1, -1] == 1
    expected = [Status.INVALID_INPUT] * 2 + [Status.INFEASIBLE_LOSS, Status.NO_INTERIOR_OPTIMUM]
    assert_array_equal(status[GOOD:], np.repeat(np.array(expected)[:, None], 5, axis=1))
    assert np.isnan(plans().params[GOOD:]).all()
    assert np.isnan(plans().levers["attempts"][GOOD:]).all()


def sigmoid(loss):
    return jax.nn.sigmoid((MIDDLE - loss) / WIDTH)


def test_derivatives_are_those_of_the_plan_at_its_attempts():
    def bill(price, target):
        costs = js.Costs(1.0, 1.0, price)
        plan = minimize_cost_for_success(
            LAW, sigmoid, target, js.Demand(1e11, 1e11), costs, max_attempts=100
        )
        return plan.total_cost, plan

    slopes = jax.jit(jax.grad(bill, argnums=(0, 1), has_aux=True))
    (by_price, by_target), plan = slopes(2.0, 0.7)
    assert plan.status == Status.OK
    assert_allclose(by_price, plan.decode_cost / 2, rtol=1e-9 if X64 else 1e-3)  # the envelope
    attempts = float(plan.levers["attempts"])

    def bill_of_closed_form(target):
        p = 1 - (1 - target) ** (1 / attempts)
        loss = MIDDLE - WIDTH * jnp.log(p / (1 - p))
        demand = js.Demand(1e11, 1e11 * attempts)
        return js.minimize_cost(LAW, loss, demand, js.Costs(1.0, 1.0, 2.0)).total_cost

    assert_allclose(by_target, jax.grad(bill_of_closed_form)(0.7), rtol=1e-9 if X64 else 1e-3)


# --- The loss that is needed ----------------------------------------------------------------


def test_the_loss_needed_and_its_derivatives_have_a_closed_form():
    def closed(target, attempts):
        p = 1 - (1 - target) ** (1 / attempts)
        return MIDDLE - WIDTH * jnp.log(p / (1 - p))

    def found(target, attempts):
        return loss_for_success(sigmoid, target, attempts)

    def three(f):
        slope = jax.jacfwd(f)
        return jax.jit(jax.vmap(lambda *x: (f(*x), slope(*x), jax.jacfwd(slope)(*x))))

    target, attempts = jnp.array([1e-3, 0.2, 0.9, 0.9999]), jnp.array([1.0, 7.0, 30.0, 2.0])
    pairs = zip(three(found)(target, attempts), three(closed)(target, attempts), strict=True)
    for (here, expected), tolerance in zip(pairs, (100, 1e3, 1e5), strict=True):
        assert_allclose(here, expected, rtol=tolerance * EPS)


def test_losses_that_no_model_or_every_model_has():
    def tasks(loss):
        return TASKS.accuracy(loss)

    # Their chance level is 1 - epsilon = 0.1503; more than all comes at a loss below 1.
    target = jnp.array([0.1, 0.5, 0.9, 2.0])
    both = jax.jit(jax.vmap(jax.value_and_grad(lambda x: loss_for_success(tasks, x, 1.0))))
    losses, slopes = both(target)
    assert losses[0] == np.inf
    assert np.isnan(losses[3])
    assert_allclose(losses[1:3], TASKS.loss(target[1:3]), rtol=100 * EPS)
    assert_array_equal(slopes[jnp.array([0, 3])], 0)
    never = loss_for_success(lambda loss: 0.5 * jnp.exp(-loss), 0.9, 1.0)
    assert never == 0


def test_what_is_wrong_by_structure_is_named():
    with pytest.raises(TypeError, match=r"success must be a function of loss; got 0\.5"):
        minimize_cost_for_success(LAW, 0.5, 0.9)
    with pytest.raises(ValueError, match=r"max_attempts must be a whole number above 0; got 2\.5"):
        minimize_cost_for_success(LAW, sigmoid, 0.9, max_attempts=2.5)
    with pytest.raises(ValueError, match="Chinchilla has no lever 'bits'"):
        minimize_cost_for_success(LAW, sigmoid, 0.9, levers={"bits": 8})
    with pytest.raises(ValueError, match="shapes do not broadcast"):
        loss_for_success(Mixed(np.ones(3)), np.ones(2), 1.0)
