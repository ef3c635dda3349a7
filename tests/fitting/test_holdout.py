"""Held-out runs are the largest, are not fitted, and are covered as often as is said."""

import numpy as np
import pytest

import jaxscale as js
from fitting.runs_at_hand import TRUTH, simulated
from jaxscale.fitting import simulate


@pytest.mark.parametrize("by", ["params", "tokens", "flops"])
def test_the_largest_runs_are_held_out(by):
    runs = simulated()
    found = js.holdout(runs, by=by, fraction=0.25, resamples=50)
    assert len(found.held) == 25
    assert len(found.fit.runs) == 75
    assert getattr(found.held, by).min() >= getattr(found.fit.runs, by).max()
    alone = js.fit(js.laws.Chinchilla, found.fit.runs)
    predicted = np.asarray(alone.law.loss(found.held.params, found.held.tokens))
    np.testing.assert_allclose(found.predicted, predicted, rtol=1e-6)
    expected = np.sqrt(np.mean(np.log(found.predicted / found.held.loss) ** 2))
    assert found.error == pytest.approx(expected)
    inside = (found.low <= found.held.loss) & (found.held.loss <= found.high)
    assert found.coverage == inside.mean()


def test_intervals_cover_runs_of_the_law_itself():
    runs = simulate(TRUTH, 300, key=5, noise=0.01)
    found = js.holdout(runs, fraction=0.3, resamples=200, level=0.9)
    # 90 runs at 90 %: three standard deviations of that count are 0.095.
    assert 0.8 <= found.coverage <= 1.0
    # A run misses by its own noise, not by the law's alone.
    assert (found.high / found.low > np.exp(2 * 0.01)).all()
    assert found.error < 0.015


def test_it_prints_itself():
    text = str(js.holdout(simulated(), resamples=50))
    assert text.startswith("20 runs held out by flops, 80 fitted")
    assert "inside their 95% intervals" in text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"by": "size"}, "by must be 'params', 'tokens' or 'flops'; got 'size'"),
        ({"fraction": 0.0}, "fraction must leave runs on both sides of 100"),
        ({"fraction": 0.999}, "fraction must leave runs on both sides"),
        ({"fraction": 20}, "between 0 and 1; got 20"),
        ({"level": 95}, "level must be between 0 and 1"),
    ],
)
def test_mistakes_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        js.holdout(simulated(), **options)
