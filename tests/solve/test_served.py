"""Plans whose serving is priced by size: nothing in a grid by hand is better."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from jaxscale import Status
from jaxscale._numerics.interpreted import interpreted
from jaxscale.plan import REASONS
from solve import served_lanes as served
from solve.lanes import TARGETS, needs_x64
from solve.served_lanes import FREE, LANES, drawn, lanes, searched, solve

NUMBERS = ("params", "tokens", "loss", "train_cost", "prefill_cost", "decode_cost", "total_cost")


def on_host(plan):
    return jax.tree.map(np.asarray, plan)


def describe(draws, plan, lane):
    scenario = {name: float(x[lane]) for name, x in draws.items()}
    how = {name: float(x[lane]) for name, x in plan.serving.items()}
    numbers = {name: float(getattr(plan, name)[lane]) for name in NUMBERS}
    return f"{scenario}: {Status(int(plan.status[lane])).name} {numbers} {how}"


def check(draws, target, plan):
    """Each plan is as good as the grid's best, says what it costs, and keeps all limits."""
    with np.errstate(over="ignore"):
        best = searched(draws, target)
    value = plan.total_cost if target == "loss" else plan.loss
    worse = plan.ok & (value > best * (1 + (1e-6 if target == "loss" else 1e-7)))
    assert not worse.any(), (
        f"{worse.sum()}, the first by {(value / best)[worse][0] - 1:.2g}: "
        f"{describe(draws, plan, np.flatnonzero(worse)[0])}"
    )
    refused = np.flatnonzero(~plan.ok & np.isfinite(best))
    assert not len(refused), describe(draws, plan, refused[0])
    ok = plan.ok
    kept = {name: x[ok] for name, x in draws.items()}
    params, tokens, batch = plan.params[ok], plan.tokens[ok], plan.serving["batch"][ok]
    for count in served.COUNTS:
        mine = plan.serving["devices"][ok] == count
        row = {name: x[mine] for name, x in kept.items()}
        by_hand = served.priced(row, count, np.log(params[mine]), batch[mine])
        # Infinite by hand, where a limit is not kept.
        assert_allclose(plan.inference_cost[ok][mine], by_hand, rtol=1e-9)
    assert_allclose(plan.train_cost[ok], 6 * params * tokens * served.TRAIN, rtol=1e-12)
    law = served.LAW
    loss = law.E + law.A / params**law.alpha + law.B / tokens**law.beta
    assert_allclose(plan.loss[ok], loss, rtol=1e-12)
    within = 1 + 1e-9
    assert np.all(plan.serving["token_seconds"][ok] <= kept["token"] * within)
    assert np.all(plan.serving["first_token_seconds"][ok] <= kept["first"] * within)
    assert np.all((batch >= 1) & (batch <= kept["max_batch"] * within))
    assert np.all((params >= kept["min_params"] / within) & (params <= kept["max_params"] * within))
    assert np.all((tokens >= kept["min_tokens"] / within) & (tokens <= kept["max_tokens"] * within))
    assert np.all(tokens / params <= kept["max_tokens_per_param"] * within)
    if target == "loss":
        assert np.all(plan.loss[ok] <= kept["loss"] * (1 + 1e-12))
    else:
        assert np.all(plan.total_cost[ok] <= kept["budget"] * (1 + 1e-12))
    return best


@needs_x64
@pytest.mark.parametrize("target", TARGETS)
def test_no_size_machine_and_batch_is_better(rng, target):
    draws = drawn(rng)
    plan = on_host(solve(draws, target))
    best = check(draws, target, plan)
    assert np.isfinite(best).mean() > 0.5
    # Where a narrow range of sizes serves at all, the grid may miss it.
    value = plan.total_cost if target == "loss" else plan.loss
    near = value[np.isfinite(best)] > best[np.isfinite(best)] * (1 - 1e-4)
    assert near.mean() > 0.98


@needs_x64
@pytest.mark.parametrize("target", TARGETS)
def test_bounds_are_kept_and_nothing_within_them_is_better(rng, target):
    draws = drawn(rng)
    free = on_host(solve(draws, target))
    assert free.ok.mean() > 0.9

    def near(x):
        moved = np.where(free.ok, x, 1e10) * 10 ** rng.uniform(-0.5, 0.5, LANES)
        return np.where(rng.random(LANES) < 0.3, moved, np.nan)

    for name, number in zip(
        FREE,
        (free.params, free.params, free.tokens, free.tokens, free.tokens_per_param),
        strict=True,
    ):
        bound = near(number)
        draws[name] = np.where(np.isnan(bound), FREE[name], bound)
    plan = on_host(solve(draws, target))
    check(draws, target, plan)
    found = {Status(int(x)).name for x in plan.status}
    assert {"OK", "AT_MAX_PARAMS", "AT_MIN_PARAMS"} <= found
    assert {"AT_MIN_TOKENS" if target == "loss" else "AT_MAX_TOKENS"} <= found
    for name, number in (("AT_MAX_PARAMS", plan.params), ("AT_MIN_PARAMS", plan.params)):
        at = (plan.status == Status[name]) & (plan.serving["reason"] == 0)
        assert_allclose(number[at], draws[name.removeprefix("AT_").lower()][at], rtol=1e-9)


LIMITED = {
    # All but the limit would have it larger: a loss near the law's E, or a great budget.
    "memory": {"token": np.inf, "first": np.inf, "prompt": 1000.0, "max_batch": np.inf},
    "time of a token": {"token": 0.004, "first": np.inf},
    "time of the first token": {"token": np.inf, "first": 0.05, "prompt": 4000.0},
}


@needs_x64
@pytest.mark.parametrize("target", TARGETS)
def test_a_limit_that_bounds_the_size_is_named(target):

    wanted = {"loss": 1.7 if target == "budget" else 1.80, "budget": 1e15, "read": 1e6}
    draws = lanes(*({**wanted, "written": 1e6, **each} for each in LIMITED.values()))
    if target == "loss":
        # The loss that this limit's largest model would reach with a trillion tokens a param.
        largest_of = on_host(solve({**draws, "loss": draws["loss"] * 0 + 2.0}, target))
        assert largest_of.ok.all()
    plan = on_host(solve(draws, "budget"))
    if target == "loss":
        law, params = served.LAW, plan.params
        draws["loss"] = law.E + law.A / params**law.alpha * 1.0001
        plan = on_host(solve(draws, "loss"))
    for lane, reason in enumerate(LIMITED):
        assert Status(int(plan.status[lane])) is Status.AT_MAX_PARAMS, reason
        assert REASONS[int(plan.serving["reason"][lane])] == reason
        row = {name: x[lane : lane + 1] for name, x in draws.items()}
        params, batch = np.log(plan.params[lane : lane + 1]), plan.serving["batch"][lane]
        assert batch == pytest.approx(1, rel=1e-6) or reason == "time of the first token"
        keeps, breaks = (
            served.priced(row, int(plan.serving["devices"][lane]), params + nudge, 1.0)[0]
            for nudge in (-1e-6, 1e-6)
        )
        assert np.isfinite(keeps)
        assert np.isinf(breaks)


@needs_x64
def test_what_has_no_plan_has_a_status_and_leaves_its_neighbours_alone():
    statuses = {
        Status.OK: {},
        Status.INFEASIBLE_LOSS: {"loss": 1.0},
        Status.INFEASIBLE_BOUNDS: {"first": 1e-12},
        Status.INVALID_INPUT: {"read": np.inf},
    }
    more = [
        ({"token": 1e-12}, Status.INFEASIBLE_BOUNDS),
        ({"min_params": 1e14}, Status.INFEASIBLE_BOUNDS),  # 64 devices hold 2.9e12
        ({"min_params": 2e10, "max_params": 1e10}, Status.INFEASIBLE_BOUNDS),
        ({"read": np.nan}, Status.INVALID_INPUT),
        ({"written": -1.0}, Status.INVALID_INPUT),
        ({"prompt": 0.0}, Status.INVALID_INPUT),
        ({"output": np.inf}, Status.INVALID_INPUT),
        ({"token": 0.0}, Status.INVALID_INPUT),
        ({"max_batch": 0.5}, Status.INVALID_INPUT),
        ({"loss": np.nan}, Status.INVALID_INPUT),
        ({"max_tokens": -1.0}, Status.INVALID_INPUT),
    ]
    cases = [(each, status) for status, each in statuses.items()] + more
    plan = on_host(solve(lanes(*(x for each, _ in cases for x in (each, {}))), "loss"))
    for lane, (each, status) in enumerate(cases):
        assert Status(int(plan.status[2 * lane])) is status, each
        assert np.isfinite(plan.total_cost[2 * lane]) == status.ok, each
        assert plan.total_cost[2 * lane + 1] == plan.total_cost[0]
    budgets = lanes({"budget": 1e-3, "min_params": 1e9}, {}, {"budget": -1.0}, {"first": 1e-12})
    plan = on_host(solve(budgets, "budget"))
    assert [Status(int(x)).name for x in plan.status[:3]] == [
        "INFEASIBLE_BUDGET",
        "OK",
        "INVALID_INPUT",
    ]
    assert not plan.ok[3]


# --- Derivatives ----------------------------------------------------------------------------

INPUTS = ("read", "written", "prompt", "output", "token", "first", "max_batch", "price")
BY = {target: (target, *INPUTS) for target in TARGETS}
STEP = 1e-5


def log_numbers(logs, draws, target):
    def moved_by(name, x):
        # Infinity moves nowhere.
        limited = draws[name] < np.inf
        return jnp.where(limited, jnp.where(limited, draws[name], 1) * jnp.exp(x), np.inf)

    moved = {name: moved_by(name, x) for name, x in logs.items()}
    plan = solve({**draws, **moved}, target)
    return jnp.stack([jnp.log(getattr(plan, name)) for name in ("params", "tokens", "total_cost")])


def pulled(logs, draws, weights):
    return jax.grad(lambda x: jnp.nansum(weights * log_numbers(x, draws, "loss")))(logs)


def pushed(logs, draws, tangents):
    return jax.jvp(lambda x: log_numbers(x, draws, "budget"), (logs,), (tangents,))[1]


def slopes_of(draws, target):
    """Derivatives of logarithms by logarithms: numbers, inputs, lanes; and central differences.

    All rows, or all columns, in one run of NumPy: to compile takes far longer.
    """
    zeros = {name: np.zeros(LANES) for name in BY[target]}
    if target == "loss":
        weights = np.eye(3)[:, :, None] * np.ones(LANES)
        rows = interpreted(jax.vmap(lambda x: pulled(zeros, draws, x)), weights)
        exact = np.stack([rows[name] for name in zeros], axis=1)
    else:
        along = np.eye(len(zeros))[:, :, None] * np.ones(LANES)
        along = dict(zip(zeros, along.swapaxes(0, 1), strict=True))
        columns = interpreted(jax.vmap(lambda x: pushed(zeros, draws, x)), along)
        exact = columns.swapaxes(0, 1)
    sides = []
    for sign in (1, -1):
        moved = [{**draws, name: draws[name] * np.exp(sign * STEP)} for name in zeros]
        sides.append(np.stack([log_numbers({}, each, target) for each in moved], axis=1))
    return exact, sides


@needs_x64
@pytest.mark.parametrize("target", ["loss", pytest.param("budget", marks=pytest.mark.thorough)])
def test_derivatives_are_those_of_differences(rng, target):
    draws = drawn(rng)
    pinned = lanes(*({"budget": 1e15, "read": 1e6, "written": 1e6, **x} for x in LIMITED.values()))
    for name in draws:
        draws[name][: len(LIMITED)] = pinned[name][: len(LIMITED)]
    if target == "loss":
        plan = on_host(solve(draws, "budget"))
        law = served.LAW
        near = law.E + law.A / plan.params**law.alpha * 1.0001
        draws["loss"][: len(LIMITED)] = near[: len(LIMITED)]
    plan = on_host(solve(draws, target))
    assert set(plan.serving["reason"][: len(LIMITED)]) == {1, 2, 3}
    exact, (up, down) = slopes_of(draws, target)
    exact, up, down = (x[..., plan.ok] for x in (exact, up, down))
    assert np.isfinite(exact).all()
    middle = np.asarray(log_numbers({}, draws, target))[:, None, plan.ok]
    right, left = (up - middle) / STEP, (middle - down) / STEP
    # Where another equation decides on one side, there is no derivative.
    smooth = np.abs(right - left) < 1e-3 * (1 + np.abs(right))
    assert smooth.mean() > 0.9
    wrong = smooth & ~(np.abs(exact - (up - down) / (2 * STEP)) < 1e-4 * (1 + np.abs(exact)))
    at = np.argwhere(wrong)
    assert not len(at), (
        f"{len(at)}: number {at[0][0]} by {BY[target][at[0][1]]}: {exact[tuple(at[0])]}, "
        f"{right[tuple(at[0])]}, {left[tuple(at[0])]}: "
        f"{describe(draws, plan, np.flatnonzero(plan.ok)[at[0][2]])}"
    )
