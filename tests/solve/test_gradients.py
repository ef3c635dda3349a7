"""Derivatives of plans are those of the exact optimum, and no bad neighbour spoils them.

The reference is differences of the mpmath solution, good to 20 digits. All derivatives of a
plan by all that it depends on are compared: six numbers by eleven inputs, or by twelve where
a bound decides, and the 121 second derivatives of each.
"""

import functools

import jax
import numpy as np
import pytest
from mpmath import mpf

from jaxscale import Status
from reference import Bounds, derivative, gradient_by_name, moderate_scenario, rows, solve_row
from solve import slopes
from solve.lanes import (
    BOUNDED_REFERENCES,
    BOUNDS,
    COSTS,
    DTYPE,
    LAW,
    LOSS_FIRST,
    NUMBERS,
    REFERENCES,
    TARGETS,
    TYPICAL,
    X64,
    inputs,
    needs_x64,
    solve_on_host,
    solved_by_reference,
    stacked,
)

# Relative tolerances of first and second derivatives, and of what should be zero: parts of the
# value over what its input can change by.
FIRST, SECOND, ZERO = (1e-7, 1e-5, 1e-9) if X64 else (2e-3, 2e-2, 2e-3)

SPECIAL = {
    "no demand": {"input_tokens": 0.0, "output_tokens": 0.0},
    "demand of 1e-300": {"input_tokens": 1e-300, "output_tokens": 1e-300},  # 0 in float32
    "only input": {"output_tokens": 0.0},
    "free serving": {"prefill": 0.0, "decode": 0.0},
    "alpha of 0.99": {"alpha": 0.99, "A": 4e8},
    "alpha of 1": {"alpha": 1.0, "A": 5e8},
    "alpha of 1.5": {"alpha": 1.5, "A": 1e12},
    "alpha of 1, no demand": {"alpha": 1.0, "A": 5e8, "input_tokens": 0.0, "output_tokens": 0.0},
    "alpha equals beta": {"alpha": 0.3, "beta": 0.3},
    "E of 0": {"E": 0.0, "loss": 0.5},
}
RANDOM = 6  # anew in every run; the reference takes a tenth of a second for each
MODES = [slopes.forward, slopes.reverse]


@functools.cache
def draws_of(seed):
    rng = np.random.default_rng(seed)
    random = [{"budget": 1.0} | moderate_scenario(rng) for _ in range(RANDOM)]
    if not X64:
        # In dollars a second derivative by two prices is beyond float32: they are near 1e-18.
        random = [row | {price: row[price] * 1e18 for price in COSTS} for row in random]
    draws = stacked(random + [TYPICAL | change for change in SPECIAL.values()])
    cheapest = solved_by_reference(draws, "loss")
    draws["budget"] = np.array([plan.total_cost for plan in cheapest], np.float64).astype(DTYPE)
    return draws


def natural_scale(row, plan, name) -> float:
    """The change of an input that changes the plan, also where the input is 0."""
    partner = {"input_tokens": "prefill", "output_tokens": "decode"}
    partner |= {price: tokens for tokens, price in partner.items()}
    if name == "E":
        return float(plan.loss) - row["E"]
    if name in partner and row[partner[name]] > 0:
        # Where serving costs what training does.
        even = plan.tokens * mpf(row["train"]) / mpf(row[partner[name]])
        return max(row[name], float(even)) if even < 1e100 else row[name]
    return row[name] or 1.0


def scales_of(draws, target):
    """Values by lane and number, and natural scales by lane and input."""
    plans = solved_by_reference(draws, target)
    scales = [
        [natural_scale(row, plan, name) for name in inputs(target)]
        for row, plan in zip(rows(draws), plans, strict=True)
    ]
    values = np.array([list(map(float, plan)) for plan in plans])
    values[:, 3:] = values[:, 3:].sum(axis=1, keepdims=True)  # a cost may itself be 0
    return values, np.array(scales)


def assert_close(found, expected, rtol, floor):
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    excess = np.abs(found - expected) / (rtol * np.abs(expected) + floor)
    worst = np.unravel_index(np.argmax(np.nan_to_num(excess, nan=np.inf)), excess.shape)
    assert excess[worst] <= 1, (worst, found[worst], expected[worst], floor[worst], excess[worst])


def second_floor(draws, target):
    """Tolerances, absolute, of all second derivatives of all numbers."""
    values, scales = scales_of(draws, target)
    pairs = scales[:, :, None] * scales[:, None, :]
    # By a demand and its price the derivative is one by their product, next to what that is.
    for phase in (("input_tokens", "prefill"), ("output_tokens", "decode")):
        tokens, price = map(inputs(target).index, phase)
        product = scales[:, tokens] * np.where(draws[phase[1]] > 0, draws[phase[1]], 1)
        pairs[:, tokens, price] = pairs[:, price, tokens] = product
    return ZERO * values[:, :, None, None] / pairs[:, None]


def twice_differentiable(target) -> np.ndarray:
    """Which inputs to compare second derivatives by.

    By a budget of 1e27 FLOPs, or two prices of 1e-18, they are outside of float32.
    """
    return np.flatnonzero([X64 or name in (*LAW, "loss") for name in inputs(target)])


@pytest.mark.parametrize("target", TARGETS)
class TestFreeOptimum:
    @pytest.mark.parametrize("mode", MODES, ids=["forward", "reverse"])
    def test_first_derivatives(self, seed, target, mode):
        draws = draws_of(seed)
        found = mode(draws, target)
        assert found.dtype == DTYPE
        expected = exact_gradients(seed, target)
        values, scales = scales_of(draws, target)
        assert_close(found, expected, FIRST, ZERO * values[:, :, None] / scales[:, None, :])

    def test_second_derivatives(self, seed, target):
        draws = draws_of(seed)
        second = slopes.second(draws, target)
        assert second.dtype == DTYPE
        compared = twice_differentiable(target)
        expected = np.array(
            [
                exact_hessian(row, target, scale, compared)
                for row, scale in zip(rows(draws), scales_of(draws, target)[1], strict=True)
            ]
        )
        every = np.ix_(range(len(expected)), range(len(NUMBERS)), compared, compared)
        assert_close(second[every], expected, SECOND, second_floor(draws, target)[every])


@functools.cache
def exact_gradients(seed, target):
    """First derivatives of all numbers by all inputs, of all lanes."""
    gradients = [
        [gradient_by_name(REFERENCES[target], row, name, target) for name in inputs(target)]
        for row in rows(draws_of(seed))
    ]
    return np.array(gradients, np.float64).swapaxes(1, 2)


def exact_hessian(row, target, scales, compared):
    """Second derivatives of all numbers by the inputs `compared`, along sums of two inputs."""
    names = inputs(target)

    def along(*direction):
        # A step must not make a demand or a price of 0 negative: from 0 on, `derivative` is
        # one-sided.
        start = 0 if any(row[names[i]] < 1e-9 * step for i, step in direction) else 1

        def plan(t):
            moved = {names[i]: row[names[i]] + (t - start) * step for i, step in direction}
            return solve_row(REFERENCES[target], row | moved, target)

        return np.array(list(derivative(plan, start, order=2, scale=1)))

    scale = {i: mpf(scales[i]) for i in compared}
    pure = {
        i: np.array(list(gradient_by_name(REFERENCES[target], row, names[i], target, order=2)))
        for i in compared
    }
    hessian = np.empty((len(NUMBERS), len(compared), len(compared)))
    for m, i in enumerate(compared):
        hessian[:, m, m] = pure[i]
        for n, j in enumerate(compared[:m]):
            both = along((i, scale[i]), (j, scale[j]))
            both = both - pure[i] * scale[i] ** 2 - pure[j] * scale[j] ** 2
            hessian[:, m, n] = hessian[:, n, m] = both / (2 * scale[i] * scale[j])
    return hessian


# --- Where a bound decides -------------------------------------------------------------------

LOWER, HIGHER = 0.97, 1.03
# Factors on what the free optimum has, by the bounds that take them.
BINDING = {
    Status.AT_MIN_PARAMS: {"min_params": HIGHER},
    Status.AT_MAX_PARAMS: {"max_params": LOWER},
    Status.AT_MIN_TOKENS: {"min_tokens": HIGHER},
    Status.AT_MAX_TOKENS: {"max_tokens": LOWER},
    Status.AT_MAX_RATIO: {"max_tokens_per_param": LOWER},
}
CORNERS = {
    "loss": {"min_params": HIGHER, "min_tokens": HIGHER},
    "budget": {"max_params": LOWER, "max_tokens": LOWER},
}


def bounded_row(row, plan, factors):
    optimum = dict(min_params=plan.params, min_tokens=plan.tokens)
    optimum |= dict(max_params=plan.params, max_tokens=plan.tokens)
    optimum |= {"max_tokens_per_param": plan.tokens / plan.params}
    return (
        row | Bounds()._asdict() | {name: float(optimum[name] * f) for name, f in factors.items()}
    )


def bounded_plan(row, target):
    bounds = Bounds(*(row[name] for name in BOUNDS))
    return solve_row(
        lambda *scenario: BOUNDED_REFERENCES[target](*scenario, bounds)[0], row, target
    )


@functools.cache
def bounded_draws(seed, target):
    """Three scenarios, or fewer where no plan is left, for each way in which bounds decide."""
    kept, statuses = [], []
    for status, factors in (*BINDING.items(), (Status.AT_CORNER, CORNERS[target])):
        for row in list(rows(draws_of(seed)))[:3]:
            row = bounded_row(row, solve_row(REFERENCES[target], row, target), factors)
            row |= {name: DTYPE.type(row[name]).item() for name in BOUNDS}
            if bounded_plan(row, target) is not None:
                kept.append(row)
                statuses.append(status)
    return stacked(kept), statuses


def exact_bounded_gradient(row, target, name, scale):
    return derivative(lambda x: bounded_plan(row | {name: x}, target), row[name], scale=scale)


@pytest.mark.parametrize("target", LOSS_FIRST)
@needs_x64
def test_derivatives_where_a_bound_decides_are_those_of_the_bounded_problem(seed, target):
    draws, statuses = bounded_draws(seed, target)
    assert len(set(statuses)) == 6
    assert solve_on_host(draws, target).status.tolist() == statuses
    names = inputs(target, bounded=True)
    shape = len(statuses), len(NUMBERS), len(names)
    # By a bound that is not there, which is 0 or infinite, derivatives are exactly 0.
    expected, floor = np.zeros(shape), np.full(shape, 1e-300)
    for lane, row in enumerate(rows(draws)):
        plan = bounded_plan(row, target)
        values = np.array([*map(float, plan[:3]), *[float(plan.total_cost)] * 3])
        for i, name in enumerate(names):
            if name not in BOUNDS or 0 < row[name] < np.inf:
                scale = natural_scale(row, plan, name)
                expected[lane, :, i] = exact_bounded_gradient(row, target, name, scale)
                floor[lane, :, i] = ZERO * values / scale
    for mode in MODES:
        assert_close(mode(draws, target), expected, FIRST, floor)


# --- Beside lanes without a plan -------------------------------------------------------------

TINY, HUGE = float(np.finfo(DTYPE).tiny), float(np.finfo(DTYPE).max)
GOOD = {
    "typical": {},
    "no demand": {"input_tokens": 0.0, "output_tokens": 0.0},
    "alpha of 1": {"alpha": 1.0, "A": 5e8},
}
BAD = {
    "NaN A": {"A": np.nan},
    "B of 0": {"B": 0.0},
    "B beyond products": {"B": HUGE / 10},
    "alpha of 0": {"alpha": 0.0},
    "negative beta": {"beta": -0.3},
    "infinite E": {"E": np.inf},
    "alpha too large to be solved": {"alpha": 3.5},
    "beta too small to be solved": {"beta": 0.001},
    "negative demand": {"input_tokens": -1.0},
    "infinite demand": {"output_tokens": np.inf},
    "demand and price that overflow together": {"output_tokens": HUGE / 10, "decode": 1e9},
    "free training": {"train": 0.0},
    "training for next to nothing": {"train": TINY},
    "NaN price": {"prefill": np.nan},
    "infinite price": {"decode": np.inf},
}
BAD_TARGETS = {
    "loss": {
        "loss of E": {"loss": 1.69},
        "loss below E": {"loss": 1.5},
        "NaN loss": {"loss": np.nan},
        "infinite loss": {"loss": np.inf},
        "more tokens than numbers": {"E": 0.0, "loss": 1e-8, "alpha": 0.0101, "beta": 0.0101},
    },
    "budget": {
        "budget of 0": {"budget": 0.0},
        "negative budget": {"budget": -1.0},
        "NaN budget": {"budget": np.nan},
        "infinite budget": {"budget": np.inf},
        "subnormal budget": {"budget": TINY / 8},
    },
}
BAD_BOUNDS = {
    "params the wrong way round": {"min_params": 2e9, "max_params": 1e9},
    "nothing may be trained": {"max_params": 0.0},
    "infinite minimum": {"min_tokens": np.inf},
    "NaN bound": {"max_tokens": np.nan},
    "negative bound": {"min_params": -1.0},
    "too little for the loss, too much for the budget": {
        "min_params": 1e12,
        "min_tokens": 1e15,
        "max_params": 1e13,
        "max_tokens": 1e15,
        "loss": 1.7,
    },
}
LARGE, SMALL = HUGE**0.25, HUGE**-0.25  # derivatives are within range, too
# Scenarios that may or may not have a plan in this dtype.
EDGES = {
    "loss next to E": {"loss": float(np.nextafter(DTYPE.type(1.69), DTYPE.type(2)))},
    "small budget": {"budget": SMALL},
    "large budget": {"budget": LARGE},
    "smallest demand": {"input_tokens": TINY, "output_tokens": 0.0},
    "large demand": {"input_tokens": LARGE, "output_tokens": 0.0},
    "low price of training": {"train": SMALL},
    "high price of training": {"train": LARGE},
    "extreme exponents": {"alpha": 0.01, "beta": 3.0},
    "extreme exponents the other way": {"alpha": 3.0, "beta": 0.01},
    "large A": {"A": LARGE},
    "small B": {"B": SMALL},
}
BOUNDED_EDGES = {
    "budget far above the highest corner": {"max_params": 1e3, "max_tokens": 1e3},
    "small budget and bounds far above": {"budget": SMALL, "max_params": 1e3},
    "large bounds": {"max_params": LARGE, "max_tokens": LARGE, "max_tokens_per_param": LARGE},
    "small bounds": {"min_params": SMALL, "min_tokens": SMALL, "max_tokens_per_param": SMALL},
    "no tokens for any params": {"max_tokens_per_param": 0.0},
}
UNLIMITED = Bounds()._asdict() | {"max_params": 1e30}


def tables(target, bounded):
    """Scenarios with a plan, without one, and those in doubt, by name; all bounded or none."""
    base = TYPICAL | (UNLIMITED if bounded else {})
    bad = BAD | BAD_TARGETS[target] | (BAD_BOUNDS if bounded else {})
    edges = EDGES | (BOUNDED_EDGES if bounded else {})
    return [{name: base | change for name, change in table.items()} for table in (GOOD, bad, edges)]


@pytest.mark.parametrize(
    ("target", "bounded"),
    [
        ("loss", False),
        ("budget", False),
        ("loss", True),
        pytest.param("budget", True, marks=pytest.mark.thorough),
    ],
    ids=["loss-free", "budget-free", "loss-bounded", "budget-bounded"],
)
class TestLanesWithoutPlan:
    def test_gradients_are_undisturbed_beside_them(self, target, bounded):
        good, bad, edges = tables(target, bounded)
        mixed = stacked([*good.values(), *bad.values(), *edges.values()])
        ok = solve_on_host(mixed, target).ok[: len(good) + len(bad)]
        assert ok[: len(good)].all()
        assert not ok[len(good) :].any(), list(np.array(list(bad))[ok[len(good) :]])
        typical = [good["typical"]] * (len(bad) + len(edges))
        found = slopes.of_logarithms(mixed, target)
        alone = slopes.of_logarithms(stacked([*good.values(), *typical]), target)
        for name in inputs(target, bounded=bounded):
            np.testing.assert_array_equal(found[name][: len(good)], alone[name][: len(good)], name)
            assert np.isfinite(alone[name]).all(), name
        assert all((np.asarray(alone[name]) != 0).any() for name in ("A", "alpha", target))

    def test_derivatives_are_zero_in_them_and_never_nan(self, target, bounded):
        scenarios = {name: row for table in tables(target, bounded) for name, row in table.items()}
        draws = stacked(list(scenarios.values()))
        ok = solve_on_host(draws, target).ok
        found = {
            "forward": slopes.along_all(draws, target),
            "reverse": slopes.of_logarithms(draws, target),
        }
        # Where compiling is short, and not in float32: what squares an edge overflows there.
        if X64 and not bounded:
            found["second"] = slopes.of_logarithms_twice(draws, target)
        wrong = {}
        for order, derivatives_ in found.items():
            for value in jax.tree.leaves(derivatives_):
                value = np.asarray(value).reshape(-1, len(ok))
                lanes = (np.isnan(value) | ((value != 0) & ~ok)).any(axis=0)
                wrong |= {(order, list(scenarios)[i]): bool(ok[i]) for i in np.flatnonzero(lanes)}
        assert not wrong, "by mode and scenario, and whether that has a plan"


# In a run in float32 the tests above ask the like, for other units.
@pytest.mark.parametrize(
    "target",
    [
        pytest.param("loss", marks=pytest.mark.thorough if X64 else ()),
        pytest.param("budget", marks=pytest.mark.thorough),
    ],
)
def test_float32_gradients_are_right_in_any_unit(target):
    """In dollars a FLOP costs 1e-20, and in FLOPs a budget is 1e22 and more."""
    size, price = np.meshgrid([1.0, 1e2, 1e4, 1e6], [1e-20, 1e-18, 1.0])
    draws = TYPICAL | {name: price for name in COSTS}
    draws |= {"loss": 1.69 + 0.44 * size**-0.15, "budget": 2e22 * price * size}
    names = inputs(target)
    draws = {name: np.broadcast_to(draws[name], size.shape).ravel() for name in names}
    draws = {name: values.astype(np.float32) for name, values in draws.items()}
    plan = solve_on_host(draws, target)
    assert plan.ok.all()
    values = np.stack([getattr(plan, name) for name in NUMBERS], axis=-1).astype(np.float64)
    expected = [
        [gradient_by_name(REFERENCES[target], row, name, target) for name in names]
        for row in rows(draws)
    ]
    # Derivatives of logarithms by logarithms know no units.
    given = np.stack([draws[name] for name in names], axis=-1).astype(np.float64)
    unit = given[:, None, :] / values[:, :, None]
    expected = np.array(expected, np.float64).swapaxes(1, 2) * unit
    for mode in MODES:
        found = mode(draws, target).astype(np.float64)
        assert_close(found * unit, expected, 1e-3, np.full(unit.shape, 1e-4))
