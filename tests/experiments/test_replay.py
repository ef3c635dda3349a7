"""Replays of selection: targeted choice learns more for its cost than chance."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from numpy.testing import assert_allclose

import jaxscale as js

LAW = js.laws.published("besiroglu2024")
CHINCHILLA = js.laws.Chinchilla


def pool(key):
    return js.fitting.simulate(
        LAW, 100, key=key, noise=0.01, flops=(1e18, 1e21), tokens_per_param=(1, 1000)
    )


def targets():
    """Compute-optimal trainings ten times and more beyond the pool, without noise."""
    plan = js.compute_optimal(LAW, flops=np.geomspace(1e22, 1e24, 4))
    params = np.asarray(plan.params, float)
    tokens = np.asarray(plan.tokens, float)
    return js.Runs(params, tokens, np.asarray(LAW.loss(params, tokens), float))


def deviation(runs, chosen):
    """What the chosen runs leave open of the ln losses of the targets, by the true law."""
    known = js.experiments.information(LAW, runs.select(chosen), noise=0.01)
    slopes = known.jacobian(targets().params, targets().tokens)
    return np.sqrt(np.einsum("ti,ij,tj->t", slopes, known.covariance, slopes).mean())


@pytest.mark.parametrize("key", [1, 2])
def test_targeted_choice_tells_more_of_the_targets_than_chance_for_the_same_cost(key):
    runs, law = pool(key), CHINCHILLA
    left = [
        deviation(
            runs,
            js.experiments.replay(
                runs, targets(), law, method=method, shares=[0.04], key=key
            ).chosen,
        )
        for method in ("V", "random")
    ]
    # Of six keys the ratio was 0.74 to 0.92.
    assert left[0] < 0.95 * left[1]


def test_budgets_are_kept_and_choices_only_grow():
    runs = pool(1)
    made = js.experiments.replay(
        runs, targets(), CHINCHILLA, method="D", shares=[0.002, 0.01], cost=runs.params
    )
    assert (made.spent <= made.shares + 1e-12).all()
    assert made.count[0] <= made.count[1] == len(made.chosen) == len(set(made.chosen))
    spent = runs.params[made.chosen].sum() / runs.params.sum()
    assert_allclose(made.spent[1], spent, rtol=1e-12)
    cheapest = np.argsort(runs.params)[:12]  # 2.5 runs for each of five coefficients
    allowed = np.cumsum(runs.params[cheapest]) <= 0.002 * runs.params.sum()
    assert_allclose(made.chosen[: allowed.sum()], cheapest[allowed])
    assert len(made.to_dataframe()) == 2
    assert "R2" in repr(made)


def test_the_whole_cost_buys_all_runs():
    # Shares of ten runs sum to a rounding error above or below 1.
    runs = pool(1).select(np.arange(10))
    made = js.experiments.replay(
        runs, targets(), CHINCHILLA, method="random", shares=[1.0], cost=1 / np.arange(1, 11)
    )
    assert sorted(made.chosen) == list(range(10))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"method": "A"}, "method must be"),
        ({"shares": [0.1, 0.05]}, "shares must rise"),
        ({"cost": [1.0]}, "cost must have 100 values"),
        ({"cost": "flops"}, "cost must have 100 values"),
        ({"shares": "all"}, "shares must rise"),
        ({"shares": [1e-9, 0.1]}, "shares must buy a run: 1e-09 of the cost does not"),
    ],
)
def test_a_wrong_argument_is_named(changed, message):
    with pytest.raises(ValueError, match=message):
        js.experiments.replay(pool(1), targets(), CHINCHILLA, **changed)


def test_a_picture_has_a_panel_for_each_set():
    def made(method, r2):
        ones = np.ones(2)
        shares = np.array([0.01, 0.1])
        return js.experiments.Replay(method, shares, shares, ones, np.array(r2), ones, ones)

    sets = {
        "first": [made("V", [0.5, 0.9]), *(made("random", [x, 0.7]) for x in (-0.9, 0.1, 0.3))],
        "second": [made("V", [0.2, 0.3])],
    }
    figure = js.plots.replays(
        sets, published={"first": {"V": [(0.01, 0.67)]}}, whole={"second": 0.95}
    )
    first, second = figure.axes
    assert (first.get_title(), second.get_title()) == ("first", "second")
    median = next(line for line in first.lines if line.get_label() == "random")
    assert_allclose(median.get_ydata(), [0.1, 0.7])
    assert second.lines[-2].get_ydata()[0] == 0.95
    plt.close(figure)
    with pytest.raises(TypeError, match="replays"):
        js.plots.replays({"first": [1]})
