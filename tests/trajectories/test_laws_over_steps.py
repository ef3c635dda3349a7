"""Laws over steps against the sums that define them, and fits to curves simulated from them."""

from dataclasses import replace

import jax
import mpmath
import numpy as np
import pytest
from numpy.testing import assert_allclose

import jaxscale as js
from fitting.runs_at_hand import SEED
from jaxscale.trajectories.falls import POINTS, falls_of

Schedule, Curve, Curves = js.trajectories.Schedule, js.trajectories.Curve, js.trajectories.Curves
PEAK, END = 3e-4, 3e-5
SCHEDULES = {
    "constant": Schedule.constant(3000, PEAK, warmup=300),
    "cosine": Schedule.cosine(3000, PEAK, END, warmup=300),
    "wsd": Schedule.wsd(3000, PEAK, END, decay_steps=600, warmup=300),
    "linear to 0": Schedule.wsd(3000, PEAK, 0.0, decay_steps=600, decay="linear"),
    "two levels": Schedule.table(np.repeat([PEAK, 9e-5], [1000, 2000])),
    "a kink": Schedule.table(np.interp(np.arange(3000), [0, 900, 1700, 3000], [3, 3, 1.2, 0.3])),
    "two cosines": Schedule.table(
        np.concatenate([Schedule.cosine(1500, PEAK, END).rates[1:] for _ in range(2)])
    ),
    "long": Schedule.cosine(9000, PEAK, END, warmup=500),
}
MULTI = js.trajectories.MultiPower(2.4, 0.65, 0.43, 500.0, 2.0, 0.6, 0.63)
TOLERANCE = 1e-8 if jax.config.jax_enable_x64 else 3e-6  # of a loss


def double_sum(law, schedule, step):
    """The multi-power law as it is written, Luo et al. 2025, eq. 5."""
    rates = np.maximum(schedule.rates[: step + 1], 1e-30)  # the limit, of a rate of 0
    since = np.cumsum(rates[:0:-1])[::-1]
    gains = 1 - (1 + law.C * rates[1:] ** -law.gamma * since) ** -law.beta
    fallen = np.sum((rates[:-1] - rates[1:]) * gains)
    return law.L0 + law.A * np.sum(rates[1:]) ** -law.alpha - law.B * fallen


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_few_terms_give_the_double_sum(name):
    schedule = SCHEDULES[name]
    if name == "a kink":  # of rates about 1, for which the law has other units
        schedule = Schedule.table(schedule.rates[1:] * 1e-4)
    steps = np.unique(np.linspace(310, schedule.steps, 9).round().astype(int))
    others = js.trajectories.MultiPower(2.6, 0.63, 0.45, 637.0, 0.002, 0.245, 1.36)
    for law in (MULTI, others):
        exact = [double_sum(law, schedule, step) for step in steps]
        assert_allclose(law.loss(schedule, steps), exact, rtol=TOLERANCE)


def test_where_the_rate_is_constant_there_is_no_term():
    assert not falls_of(Schedule.constant(5000, PEAK), np.array([5000])).falls.any()
    lone = falls_of(SCHEDULES["two levels"], np.array([1500, 3000]))
    assert lone.falls.shape == (2, 1)
    assert_allclose(lone.falls[:, 0], PEAK - 9e-5)
    assert falls_of(SCHEDULES["long"], np.array([9000])).falls.shape[1] <= 3 * POINTS


def test_a_rate_that_jumps_at_every_step_is_refused():
    noisy = Schedule.table(PEAK * (1 + 0.1 * (-1.0) ** np.arange(9000)))
    with pytest.raises(ValueError, match="turns up or down 8,999 times: smooth it"):
        MULTI.loss(noisy, 9000)


def test_the_momentum_law_is_its_recurrence():
    law = js.trajectories.Momentum(2.4, 0.6, 0.5, 0.5, decay=0.99)
    schedule = SCHEDULES["wsd"]
    momentum = total = 0.0
    for before, rate in zip(schedule.rates[:-1], schedule.rates[1:], strict=True):
        momentum = 0.99 * momentum + before - rate
        total += momentum
    expected = 2.4 + 0.6 * np.sum(schedule.rates[1:]) ** -0.5 - 0.5 * total
    assert float(law.loss(schedule, 3000)) == pytest.approx(expected, rel=TOLERANCE)


def test_losses_have_the_shape_of_the_law_and_then_of_the_steps():
    law = js.trajectories.EarlyPower(np.array([3.0, 3.1]), 0.5, np.array([0.5, -1.0]))
    loss = np.asarray(law.loss(SCHEDULES["constant"], [[1000, 2000, 3000]]))
    assert loss.shape == (2, 1, 3)
    assert np.isfinite(loss[0]).all()
    assert np.isnan(loss[1]).all()
    slope = jax.grad(lambda law: law.loss(SCHEDULES["constant"], 3000))(
        js.trajectories.EarlyPower(3.0, 0.5, 0.5)
    )
    assert float(slope.L0) == 1


@pytest.mark.parametrize(
    ("params", "steps", "batch"),
    [(1e9, 1e5, 5e5), (1e6, 1e4, 1e4), (1e11, 1e6, 4e6), (1e8, 1e3, 1e5)],
)
def test_kaplans_curve_solves_its_equation(params, steps, batch):
    def excess(loss):
        critical = mpmath.mpf("2.1e8") / loss ** (1 / mpmath.mpf("0.21"))
        least = steps / (1 + critical / batch)
        size = (mpmath.mpf("6.5e13") / params) ** mpmath.mpf("0.077")
        return size + (mpmath.mpf("2.1e3") / least) ** mpmath.mpf("0.76") - loss

    loss = js.trajectories.KAPLAN_CURVE.loss(params, steps * batch, batch=batch)
    tolerance = 1e-13 if jax.config.jax_enable_x64 else 1e-5
    assert float(loss) == pytest.approx(float(mpmath.findroot(excess, 3)), rel=tolerance)


def test_kaplans_curve_has_the_derivatives_of_its_equation():
    if not jax.config.jax_enable_x64:
        pytest.skip("differences need float64")

    def loss(log_batch):
        return js.trajectories.KAPLAN_CURVE.loss(1e9, 5e10, batch=np.exp(1.0) ** log_batch)

    at, step = 13.0, 1e-3
    slope, bend = jax.grad(loss)(at), jax.grad(jax.grad(loss))(at)
    ahead, here, behind = (float(loss(at + i * step)) for i in (1, 0, -1))
    assert float(slope) == pytest.approx((ahead - behind) / (2 * step), rel=1e-5)
    assert float(bend) == pytest.approx((ahead - 2 * here + behind) / step**2, rel=1e-4)


# --- Fits --------------------------------------------------------------------------------------


def simulated(law, names, noise=0.0, key=0):
    random, steps = np.random.default_rng(key), np.arange(320, 3001, 40)
    made = []
    for name in names:
        with jax.enable_x64(True):
            exact = np.asarray(law.loss(SCHEDULES[name], steps), float)
        loss = exact * np.exp(noise * random.standard_normal(steps.size))
        made.append(Curve(steps, loss, SCHEDULES[name], name))
    return Curves(made)


THREE = ("constant", "cosine", "wsd")


def test_a_fit_gives_the_momentum_law_back():
    law = js.trajectories.Momentum(2.4, 0.6, 0.5, 0.5)
    fit = js.fit(js.trajectories.Momentum, simulated(law, THREE))
    assert fit.ok
    for name in ("L0", "A", "alpha", "C"):
        assert float(getattr(fit.law, name)) == pytest.approx(getattr(law, name), rel=1e-5)
    assert fit.law.decay == 0.999
    assert fit.claims.held == ("decay",)
    assert {each.about for each in fit.diagnose()} <= {"number of curves", "extrapolation"}


def curves_of_sizes(sizes, batches):
    """Curves of the published law of Kaplan et al. 2020, whose equation is tested above."""
    steps, made = np.array([400, 900, 1600, 3000]), []
    for params in sizes:
        for batch in batches:
            with jax.enable_x64(True):
                loss = js.trajectories.KAPLAN_CURVE.loss(params, steps * batch, batch=batch)
            made.append(Curve(steps, loss, SCHEDULES["linear to 0"], "", params, batch))
    return Curves(made)


def test_a_fit_gives_kaplans_law_back_from_curves_of_sizes_and_batches():
    curves = curves_of_sizes((1e7, 1e8, 1e9), (3e4, 2.5e5, 2e6))
    fit = js.fit(js.trajectories.KaplanCurve, curves)
    assert fit.ok
    for name, value in vars(js.trajectories.KAPLAN_CURVE).items():
        assert float(getattr(fit.law, name)) == pytest.approx(value, rel=1e-5)
    assert len(np.unique(fit.runs.group)) == len(curves)
    assert_allclose(fit.runs.tokens[:2], [400 * 3e4, 900 * 3e4])


def test_kaplans_law_needs_the_params_and_the_batch_of_each_curve():
    curve = curves_of_sizes([1e8], [1e5])[0]
    bare = replace(curve, name="b", params=None, batch=None)
    with pytest.raises(ValueError, match="curve 1 of 1, 'b', has no params and no batch: Kapl"):
        js.fit(js.trajectories.KaplanCurve, bare)
    without = Curves([curve, replace(curve, name="c", batch=None)])
    with pytest.raises(ValueError, match="curve 2 of 2, 'c', has no batch: KaplanCurve needs"):
        js.fit(js.trajectories.KaplanCurve, without)
    with pytest.raises(ValueError, match="c: batch must be finite and above 0; got 0"):
        replace(curve, name="c", batch=0)
    with pytest.raises(TypeError, match="KaplanCurve is no law over steps"):
        js.trajectories.extrapolate(curve, law=js.trajectories.KaplanCurve)


def test_errors_cover_the_law_and_are_by_stretches_of_few_curves():
    law = js.trajectories.Momentum(2.4, 0.6, 0.5, 0.5)
    curves = simulated(law, THREE, noise=0.002, key=SEED)
    fit = js.fit(js.trajectories.Momentum, curves)
    assert len(np.unique(fit.runs.group)) == 18
    for name in ("L0", "A", "alpha", "C"):
        error = float(getattr(fit.standard_errors, name))
        assert abs(float(getattr(fit.law, name)) - getattr(law, name)) < 6 * error
    many = Curves([*curves, *curves])
    assert len(np.unique(many.runs_for(js.trajectories.Momentum).group)) == 6


def test_a_constant_rate_alone_does_not_identify_what_a_fall_gains():
    law = js.trajectories.EarlyPower(2.4, 0.6, 0.5)
    no_warmup = Schedule.constant(3000, PEAK)
    steps = np.arange(320, 3001, 40)
    with jax.enable_x64(True):
        curve = Curve(steps, np.asarray(law.loss(no_warmup, steps)), no_warmup)
    fit = js.fit(js.trajectories.Momentum, curve)
    assert not fit.ok
    assert fit.claims.unidentified == ("C",)
    assert "tokens" not in fit.claims.sentence


def test_curves_need_a_law_over_steps_and_such_a_law_curves():
    curves = simulated(js.trajectories.EarlyPower(2.4, 0.6, 0.5), ["constant"])
    with pytest.raises(TypeError, match="Chinchilla is no law over steps"):
        js.fit(js.laws.Chinchilla, curves)
    runs = js.Runs([1e8, 1e9], [2e9, 2e10], [3.6, 2.9])
    with pytest.raises(ValueError, match="levers must be those of the law: rate_sum; got none"):
        js.fit(js.trajectories.EarlyPower, runs)


@pytest.mark.parametrize(
    ("steps", "loss", "message"),
    [
        ([1, 2], [3.0], "columns of one length"),
        ([5, 3], [3.0, 2.9], "steps must ascend; 3 comes after"),
        ([5, 9999], [3.0, 2.9], "got 9999"),
        ([5, 6], [3.0, np.nan], "loss must be finite and above 0; got nan at step 6"),
    ],
)
def test_columns_that_make_no_curve_are_named(steps, loss, message):
    with pytest.raises(ValueError, match=message):
        Curve(steps, loss, SCHEDULES["constant"])


def test_a_saved_fit_is_read_with_its_family(tmp_path):
    law = js.trajectories.Momentum(2.4, 0.6, 0.5, 0.5)
    fit = js.fit(js.trajectories.Momentum, simulated(law, THREE))
    fit.save(tmp_path / "momentum.json")
    assert js.laws.load(tmp_path / "momentum.json", js.trajectories.Momentum) == fit.law
