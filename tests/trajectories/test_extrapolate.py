"""Predictions of the rest of a curve, and how often their intervals hold."""

import jax
import numpy as np
import pytest

import jaxscale as js

Schedule, Curve = js.trajectories.Schedule, js.trajectories.Curve
LAW = js.trajectories.Momentum(2.4, 0.6, 0.5, 0.5)
STEPS = np.arange(320, 3001, 20)


@pytest.fixture(autouse=True)
def _fewer_resamples(monkeypatch):
    monkeypatch.setattr("jaxscale.trajectories._extrapolate.RESAMPLES", 50)


def start(schedule, until, noise=0.001, key=0, law=LAW):
    steps = STEPS[until >= STEPS]
    with jax.enable_x64(True):
        exact = np.asarray(law.loss(schedule, steps), float)
    random = np.random.default_rng(key)
    return Curve(steps, exact * np.exp(noise * random.standard_normal(steps.size)), schedule)


def test_intervals_hold_where_the_law_is_true():
    schedule = Schedule.constant(3000, 3e-4)
    truth = float(LAW.loss(schedule, 3000))
    for key in range(2):
        answer = js.trajectories.extrapolate(start(schedule, 1500, noise=5e-4, key=key))
        _, low, high = answer.end
        assert low < truth < high
        assert type(answer.fit.law) is js.trajectories.EarlyPower
        assert high / low - 1 < 0.02


def test_a_drifting_law_widens_the_interval():
    schedule = Schedule.constant(3000, 3e-4)
    honest = start(schedule, 1500, noise=2e-4)
    bent = Curve(honest.steps, honest.loss * (1 - 2e-9 * (honest.steps - 320.0) ** 2), schedule)
    widths = []
    for curve in (honest, bent):
        answer = js.trajectories.extrapolate(curve)
        _, low, high = answer.end
        widths.append((answer.drift, high / low - 1))
    assert widths[1][0] > widths[0][0]
    assert widths[1][1] > widths[0][1]


def test_what_a_fall_gains_must_be_known_before_the_rate_falls():
    schedule = Schedule.wsd(3000, 3e-4, 3e-5, decay_steps=600)
    curve = start(schedule, 2000)
    with pytest.raises(ValueError, match=r"not fallen up to step 2,000.*hold C"):
        js.trajectories.extrapolate(curve)
    answer = js.trajectories.extrapolate(curve, fixed={"C": 0.45})
    _, low, high = answer.end
    assert low < float(LAW.loss(schedule, 3000)) < high
    # Before the fall there is nothing to hold.
    assert js.trajectories.extrapolate(curve, 2400).ok


@pytest.mark.thorough
def test_a_cosine_is_foretold_by_the_momentum_law():
    schedule = Schedule.cosine(3000, 3e-4, 3e-5)
    answer = js.trajectories.extrapolate(start(schedule, 2200, key=1))
    assert type(answer.fit.law) is js.trajectories.Momentum
    assert answer.ok
    loss, low, high = answer.end
    assert abs(loss / float(LAW.loss(schedule, 3000)) - 1) < 0.05
    assert low < loss < high
    assert list(answer.to_dataframe().columns) == ["steps", "loss", "low", "high"]


def test_refusals_say_what_is_missing():
    schedule = Schedule.constant(3000, 3e-4)
    with pytest.raises(ValueError, match="5 losses are too few to fit 3 coefficients"):
        js.trajectories.extrapolate(start(schedule, 400))
    with pytest.raises(ValueError, match="at or after the last loss, at 1,000"):
        js.trajectories.extrapolate(start(schedule, 1000), 900)
    with pytest.raises(ValueError, match="L0 is held at 9, which is not below the least loss"):
        js.trajectories.extrapolate(start(schedule, 1000), fixed={"L0": 9.0})
    with pytest.raises(TypeError, match=r"extrapolate needs a js\.trajectories\.Curve"):
        js.trajectories.extrapolate([1, 2, 3])
