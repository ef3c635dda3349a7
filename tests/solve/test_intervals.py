"""Intervals of plans over resampled laws."""

import jax
import numpy as np
import pytest
from numpy.testing import assert_allclose

import jaxscale as js
from jaxscale._numerics.interpreted import interpreted

COUNT = 50
LAWS = js.laws.Chinchilla(
    1.7, 400.0, np.geomspace(380.0, 420.0, COUNT), np.linspace(0.33, 0.35, COUNT)[::-1], 0.28
)


def plans_of(target, demand=None):
    laws = jax.tree.map(lambda x: np.broadcast_to(np.reshape(x, (-1, 1)), (COUNT, 1)), LAWS)
    with jax.enable_x64(True):
        return interpreted(js.minimize_cost, laws, np.asarray(target), demand)


@pytest.mark.parametrize("level", [0.5, 0.95])
def test_ends_are_quantiles_of_one_number_at_a_time(level):
    plans = plans_of([2.0, 2.1], js.Demand(1e12))
    found = js.plan_intervals(plans, level=level)
    tails = [(1 - level) / 2, (1 + level) / 2]
    for name in ("params", "tokens", "tokens_per_param", "loss", "total_cost", "marginal_cost"):
        expected = np.quantile(getattr(plans, name), tails, axis=0)
        assert_allclose(found[name], expected, rtol=1e-12)
        assert found[name][0].shape == (2,)


def test_they_are_those_of_compute_optimal_sizes():
    with jax.enable_x64(True):
        plans = interpreted(js.minimize_loss, LAWS, 1e22)
    low, high = js.plan_intervals(plans)["params"]
    expected = js.size_intervals(jax.tree.map(lambda x: np.broadcast_to(x, COUNT), LAWS), 1e22)
    assert_allclose([low, high], expected["params"], rtol=1e-9)


def test_a_resample_without_a_plan_in_fifty_leaves_nothing_known():
    E = np.full(COUNT, 1.7)
    E[0] = 2.05
    laws = js.laws.Chinchilla(E, 400.0, 410.0, 0.34, 0.28)
    with jax.enable_x64(True):
        plans = interpreted(js.minimize_cost, jax.tree.map(column, laws), np.array([2.0, 2.1]))
    low, high = js.plan_intervals(plans)["params"]
    assert np.isnan([low[0], high[0]]).all()
    assert np.isfinite([low[1], high[1]]).all()


def column(x):
    return np.reshape(x, (-1, 1))


def test_what_has_no_resamples_is_refused():
    with jax.enable_x64(True):
        plan = interpreted(js.minimize_cost, js.laws.published("sardana2024"), 2.0)
    for wrong in (plan, LAWS, 3.0):
        with pytest.raises(ValueError, match="plans must be a Plan with an axis of resamples"):
            js.plan_intervals(wrong)
    with pytest.raises(ValueError, match="level must be between 0 and 1"):
        js.plan_intervals(plans_of([2.0]), level=1.0)
