"""Optimal schedules against every shape of a grid, brute force, and the published optimum."""

import jax
import numpy as np
import pytest

import jaxscale as js

pytestmark = pytest.mark.skipif(not jax.config.jax_enable_x64, reason="1e-6 nats need float64")
Schedule = js.trajectories.Schedule
LAW = js.trajectories.published("luo2025_400m")
PEAK = 3e-4


def final_loss(law, rates, first=1):
    """The multi-power law as it is written, of the falls from step `first` on."""
    since = np.cumsum(rates[:0:-1])[::-1]
    gains = 1 - (1 + law.C * rates[1:] ** -law.gamma * since) ** -law.beta
    falls = (rates[:-1] - rates[1:]) * gains
    return law.L0 + law.A * since[0] ** -law.alpha - law.B * falls[first - 1 :].sum()


def usual(steps, warmup):
    for end in (1e-6, 3e-6, 1e-5, 3e-5):
        yield Schedule.cosine(steps, PEAK, end, warmup=warmup)
        for share in (8, 4, 2):
            for decay in ("linear", "exponential"):
                how = dict(decay_steps=steps // share, warmup=warmup, decay=decay)
                yield Schedule.wsd(steps, PEAK, end, **how)


def test_no_usual_schedule_is_better():
    steps, warmup = 400, 30
    best = js.trajectories.optimal_schedule(LAW, steps, PEAK, warmup=warmup)
    assert best.steps == steps
    np.testing.assert_array_equal(
        best.rates[: warmup + 1], np.r_[np.linspace(0, PEAK, warmup), PEAK]
    )
    assert (np.diff(best.rates[warmup:]) <= 0).all()
    loss = final_loss(LAW, best.rates)
    assert float(LAW.loss(best, steps)) == pytest.approx(loss, rel=1e-8)
    assert loss < min(final_loss(LAW, each.rates) for each in usual(steps, warmup)) - 0.004


@pytest.mark.thorough
def test_the_optimum_of_24000_steps_is_the_published_one():
    """Luo et al. 2025 at 400M: 2.5332, without the rises of the warm-up, ending near 1.4e-6."""
    best = js.trajectories.optimal_schedule(LAW, 24_000, PEAK, warmup=2160)
    assert final_loss(LAW, best.rates, first=2160) == pytest.approx(2.5332, abs=5e-5)
    assert best.rates[20_000] > 0.999 * PEAK
    assert 1.1e-6 < best.rates[-1] < 1.5e-6
    bounded = js.trajectories.optimal_schedule(LAW, 2400, PEAK, 3e-5, warmup=200)
    assert bounded.rates[-1] >= 3e-5


@pytest.mark.thorough
def test_by_the_momentum_law_it_is_best_to_stop_at_once():
    """Its loss is concave in when a fall happens: a step to 0, which brute force finds."""
    law = js.trajectories.Momentum(2.35, 0.666, 0.411, 5.44, decay=0.99)
    best = js.trajectories.optimal_schedule(law, 1000, PEAK)
    losses = []
    for stop in range(1, 1000):
        rates = np.where(np.arange(1, 1001) <= stop, PEAK, 0.0)
        losses.append(float(law.loss(Schedule.table(rates), 1000)))
    assert float(law.loss(best, 1000)) == pytest.approx(min(losses), abs=2e-4)


@pytest.mark.parametrize(
    ("law", "numbers", "error", "message"),
    [
        (js.trajectories.EarlyPower(3, 1, 1), (100, PEAK), TypeError, "law must be a Momentum or"),
        (LAW, (0, PEAK), ValueError, "steps must be a whole number from 1"),
        (LAW, (100, PEAK, PEAK), ValueError, r"least must be below the peak, 0\.0003"),
        (js.trajectories.Momentum(1, -1, 1, 1), (9, PEAK), ValueError, "one positive number"),
    ],
)
def test_what_has_no_optimum_is_refused(law, numbers, error, message):
    with pytest.raises(error, match=message):
        js.trajectories.optimal_schedule(law, *numbers)
