"""Plans whose serving is priced by size: nothing in a grid by hand is better."""

import jax
import numpy as np
import pytest
from numpy.testing import assert_allclose

from jaxscale import Status
from solve import served_lanes as served
from solve.lanes import TARGETS, needs_x64
from solve.served_lanes import drawn, searched, solve

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
    assert plan.ok.mean() > 0.5
