"""Nonsense of every kind: it gets a status or a named mistake, and never a wrong number."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

import jaxscale as js
from solve import slopes
from solve.lanes import DTYPE, EPS, LAW, NUMBERS, TYPICAL, inputs, solve, solve_on_host

LANES = 64
LIMITS = np.finfo(DTYPE)
TINY, MAX = float(LIMITS.tiny), float(LIMITS.max)
NONSENSE = [
    np.nan, np.inf, -np.inf, 0.0, -0.0, -1.0, 1.0, TINY, TINY / 8, -TINY, MAX, -MAX,
    1e-30, 1e30, MAX**0.5, TINY**0.5, 1 + EPS, 0.5, 3.0,
]  # fmt: skip
SANE_BOUNDS = {
    "min_params": 1e8,
    "max_params": 1e12,
    "min_tokens": 1e9,
    "max_tokens": 1e14,
    "max_tokens_per_param": 300.0,
}
BATCHES = settings(max_examples=60, deadline=None, print_blob=True)


def nonsense_batch(seed, names, share):
    """Lanes around a plausible scenario, a share of whose values is nonsense or far off."""
    rng = np.random.default_rng(seed)
    draws = {}
    for name in names:
        value = (TYPICAL | SANE_BOUNDS | {"params": 1e9, "tokens": 1e12})[name]
        exponents = rng.uniform(-0.1, 0.1, LANES) * rng.choice([1, 30, 300], LANES)
        with np.errstate(all="ignore"):
            values = (value * 10.0**exponents).astype(DTYPE)
            odd = rng.choice(NONSENSE, LANES).astype(DTYPE)
        plain = rng.uniform(size=LANES) > share
        draws[name] = np.where(
            plain, DTYPE.type(value), np.where(rng.uniform(size=LANES) < 0.5, odd, values)
        )
    return draws


batches = {"seed": st.integers(0, 2**32 - 1), "share": st.sampled_from([0.03, 0.1, 0.3, 1.0])}


def check_numbers(plan):
    ok = np.asarray(plan.ok)
    for name in NUMBERS:
        values = np.asarray(getattr(plan, name))
        assert np.isfinite(values[ok]).all(), name
        assert np.isnan(values[~ok]).all(), name
        low = 0 if name in ("prefill_cost", "decode_cost", "loss") else np.nextafter(0, 1)
        assert (values[ok] >= low).all(), name
    assert np.isfinite(np.asarray(jax.tree.map(jnp.asarray, plan).total_cost)[ok]).all()


def tolerance(draws):
    """Relative error of a power law at logarithms rounded to the dtype."""
    logs = sum(np.abs(np.log(np.where(draws[x] > 0, draws[x], 1))) for x in ("A", "B"))
    return 64 * EPS * (1 + logs.astype(float)) * 100


def check_bounds(plan, draws):
    ok = np.asarray(plan.ok)
    params, tokens = (np.asarray(x, float)[ok] for x in (plan.params, plan.tokens))
    bounds = {name: np.asarray(draws[name], float)[ok] for name in SANE_BOUNDS}
    tol = tolerance(draws)[ok] / np.minimum(draws["alpha"], draws["beta"])[ok]
    with np.errstate(over="ignore"):
        assert (params >= bounds["min_params"] * (1 - tol)).all()
        assert (params <= bounds["max_params"] * (1 + tol)).all()
        assert (tokens >= bounds["min_tokens"] * (1 - tol)).all()
        assert (tokens <= bounds["max_tokens"] * (1 + tol)).all()
        assert (tokens / params <= bounds["max_tokens_per_param"] * (1 + 2 * tol)).all()


def check_target(plan, draws, target):
    ok = np.asarray(plan.ok)
    costs = plan.train_cost, plan.prefill_cost, plan.decode_cost
    spent = sum(np.asarray(x, float)[ok] for x in costs)
    found = np.asarray(plan.loss, float)[ok] if target == "loss" else spent
    allowed = np.asarray(draws[target], float)[ok]
    tol = tolerance(draws)[ok]
    if target == "budget":
        tol = tol / np.minimum(draws["alpha"], draws["beta"])[ok]
    with np.errstate(over="ignore"):
        kept = found <= allowed * (1 + tol)
    worst = np.flatnonzero(~kept)
    assert not worst.size, [
        {name: values[ok][worst[0]] for name, values in draws.items()},
        found[worst[0]],
    ]


@BATCHES
@given(**batches, bounded=st.booleans(), target=st.sampled_from(["loss", "budget"]))
def test_solvers(seed, share, bounded, target):
    draws = nonsense_batch(seed, inputs(target, bounded=bounded), share)
    plan = solve_on_host(draws, target)
    check_numbers(plan)
    check_target(plan, draws, target)
    if bounded:
        check_bounds(plan, draws)


@settings(BATCHES, max_examples=30)
@given(**batches, target=st.sampled_from(["loss", "budget"]))
# Once NaN in float32: a cost times half of a power that overflows, and the square of a ratio that
# underflows, each beside a derivative of 0.
@example(seed=6622, share=0.1, target="budget")
@example(seed=1887996994, share=0.3, target="loss")
def test_gradients_are_never_nan(seed, share, target):
    draws = nonsense_batch(seed, inputs(target, bounded=True), share)
    for name, slope in slopes.of_logarithms(draws, target).items():
        bad = np.flatnonzero(np.isnan(slope))
        assert not bad.size, [name, {leaf: float(x[bad[0]]) for leaf, x in draws.items()}]


@BATCHES
@given(**batches)
def test_evaluate_and_law_methods(seed, share):
    names = [name for name in inputs("loss") if name != "loss"]
    draws = nonsense_batch(seed, [*names, "params", "tokens", "loss"], share)
    law = js.laws.Chinchilla(**{name: draws[name] for name in LAW})
    demand = js.Demand(draws["input_tokens"], draws["output_tokens"])
    costs = js.Costs(draws["train"], draws["prefill"], draws["decode"])
    check_numbers(js.evaluate(law, draws["params"], draws["tokens"], demand, costs))
    for found in (
        law.tokens_for(draws["loss"], draws["params"]),
        law.params_for(draws["loss"], draws["tokens"]),
    ):
        assert (np.isnan(found) | ((found > 0) & np.isfinite(found))).all()
    loss = np.asarray(law.loss(draws["params"], draws["tokens"]))
    # A subnormal E counts as 0.
    lowest = np.where(draws["E"] >= np.finfo(loss.dtype).tiny, draws["E"], 0)
    assert (np.isnan(loss) | (loss >= lowest)).all()


scalars = st.one_of(
    st.floats(),
    st.integers(),
    st.sampled_from([10**400, -(10**400), 0, -0.0, 5e-324, True, None, "7e9", 2j, [1.0], {}]),
    st.builds(object),
    st.builds(js.Demand),
)
MISTAKES = (TypeError, ValueError)


def named(names, function):
    """Whatever `function` raises is a TypeError or ValueError that names an argument."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            return function()
        except MISTAKES as error:
            if not any(name in str(error) for name in names):
                raise AssertionError(f"no argument is named by {error!r}") from error
    return None


@BATCHES
@given(
    name=st.sampled_from([*inputs("loss"), "budget", "min_params", "max_tokens_per_param"]),
    value=scalars,
    data=st.data(),
)
def test_single_values_of_any_type(name, value, data):
    target = "budget" if name == "budget" else data.draw(st.sampled_from(["loss", "budget"]))
    names = inputs(target)
    bounds = SANE_BOUNDS if name in SANE_BOUNDS else {}
    draws = {leaf: TYPICAL[leaf] for leaf in names} | bounds
    if name in draws:
        draws[name] = value
    plan = named([name], lambda: solve(draws, target))
    if plan is not None:
        check_numbers(jax.tree.map(np.atleast_1d, plan))


@BATCHES
@given(value=scalars, name=st.sampled_from(["requests", "input_tokens", "output_tokens"]))
def test_from_requests(value, name):
    counts = {"requests": 1e9, "input_tokens": 70, "output_tokens": 215} | {name: value}
    named([name], lambda: js.Demand.from_requests(**counts))


@BATCHES
@given(
    value=scalars,
    name=st.sampled_from(
        ["train", "serve", "train_precision", "train_mfu", "prefill_mfu", "decode_mfu"]
    ),
)
def test_costs_on(value, name):
    device = js.accelerator("L4", price=0.5)
    # A precision is a word: what is none is said to be no precision.
    named(
        [name, "precision"], lambda: js.Costs.on(**{"train": device, "serve": device, name: value})
    )


@BATCHES
@given(
    value=scalars,
    name=st.sampled_from(
        ["price", "peak_flops", "memory_bytes", "memory_bandwidth", "quotes", "note", "prize"]
    ),
)
def test_accelerator_overrides(value, name):
    named([name], lambda: js.accelerator("L4", **{name: value}))
