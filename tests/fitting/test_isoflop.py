"""IsoFLOP profiles against laws whose optimum is known, and against published exponents."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxscale as js
from fitting.public_runs import PORIAN, column, porian, table
from jaxscale.fitting._isoflop import isoflop
from jaxscale.fitting._small_samples import student
from jaxscale.fitting.grid_bias import grid_bias
from jaxscale.fitting.optimal_sizes import draws
from jaxscale.fitting.power_law import PowerLaw
from jaxscale.fitting.resampling import generator
from jaxscale.fitting.runs import Runs

SEED = 20260731
BUDGETS = np.geomspace(1e18, 1e22, 5)
STEPS = np.geomspace(0.2, 5, 9)  # sizes, in optima
EVEN = (1.7, 400.0, 1500.0, 0.34, 0.34)  # E, A, B, alpha, beta
UNEVEN = (1.69, 406.4, 410.7, 0.336, 0.283)


def loss_of(law, params, tokens):
    E, A, B, alpha, beta = law
    return E + A / params**alpha + B / tokens**beta


def best_params(law, flops):
    """The minimum of A N^-alpha + B (6 N / C)^beta over N, Hoffmann et al. 2022, eq. 4."""
    _, A, B, alpha, beta = law
    return (alpha * A / (beta * B)) ** (1 / (alpha + beta)) * (flops / 6) ** (beta / (alpha + beta))


def profiles(law, budgets=BUDGETS, steps=STEPS, noise=0.0, rng=None):
    """Runs of sizes `steps` times the best one at each budget, and the budget of each."""
    flops = np.repeat(budgets, len(steps))
    params = best_params(law, flops) * np.tile(steps, len(budgets))
    tokens = flops / 6 / params
    error = noise * rng.standard_normal(flops.size) if noise else 0
    return Runs(params, tokens, loss_of(law, params, tokens) + error), flops


# --- Laws with a known optimum ---------------------------------------------------------------


def test_the_optimum_of_an_even_law_is_found_to_rounding():
    # With alpha = beta the loss is even in log params about its minimum, and so is a parabola.
    found = isoflop(profiles(EVEN)[0], reach=np.inf)
    exact = best_params(EVEN, BUDGETS)
    np.testing.assert_allclose(found.points.flops, BUDGETS, rtol=1e-13)
    np.testing.assert_allclose(found.points.params, exact, rtol=1e-9)
    np.testing.assert_allclose(found.points.tokens, BUDGETS / 6 / exact, rtol=1e-9)
    assert found.params.exponent == pytest.approx(0.5, abs=1e-10)
    assert found.tokens.exponent == pytest.approx(0.5, abs=1e-10)
    at = np.array([[1e17, 1e20], [1e23, 1e26]])
    np.testing.assert_allclose(found.params(at), best_params(EVEN, at), rtol=1e-8)
    np.testing.assert_allclose(found.params(at) * found.tokens(at), at / 6, rtol=1e-8)
    assert (found.method, found.refused) == ("isoflop", ())


def test_exponents_are_exact_where_sizes_lie_alike_about_each_optimum():
    # Reducible loss at one budget is that at another, scaled: parabolas err by one factor.
    lopsided = np.geomspace(0.1, 3, 8)
    found = isoflop(profiles(UNEVEN, steps=lopsided)[0])
    assert found.params.exponent == pytest.approx(0.283 / (0.336 + 0.283), abs=1e-10)
    assert found.tokens.exponent == pytest.approx(0.336 / (0.336 + 0.283), abs=1e-10)
    assert abs(found.points.params[0] / best_params(UNEVEN, BUDGETS[0]) - 1) > 1e-3


def test_a_short_reach_finds_the_optimum_of_one_set_of_sizes_for_all_budgets():
    sizes, flops = (x.ravel() for x in np.meshgrid(np.geomspace(1e8, 1e12, 41), BUDGETS))
    runs = Runs(sizes, flops / 6 / sizes, loss_of(UNEVEN, sizes, flops / 6 / sizes))
    exact = 0.283 / (0.336 + 0.283)
    near, far = (isoflop(runs, reach=reach).params.exponent for reach in (3, np.inf))
    # Three sizes either side: the cubic term and the grid's offset leave less than a thousandth.
    assert near == pytest.approx(exact, abs=1e-3)
    assert abs(far - exact) > 10 * abs(near - exact)


def test_tokens_need_not_be_flops_over_six_params():
    runs, flops = profiles(EVEN)
    attention = 1.3 * runs.params**0.01  # FLOPs that 6 N D does not count
    less = Runs(runs.params, runs.tokens / attention, runs.loss)
    found = isoflop(less, budgets=flops)
    exact = BUDGETS / 6 / best_params(EVEN, BUDGETS) / (1.3 * best_params(EVEN, BUDGETS) ** 0.01)
    np.testing.assert_allclose(found.points.tokens, exact, rtol=1e-9)
    np.testing.assert_allclose(found.points.flops, BUDGETS, rtol=1e-13)


def test_budgets_are_found_where_flops_lie_close_together():
    print("seed", SEED)
    rng = np.random.default_rng(SEED)
    runs, flops = profiles(EVEN)
    shuffled = rng.permutation(len(runs))
    jitter = 1 + 0.03 * rng.uniform(-1, 1, len(runs))
    uneven = Runs(runs.params, runs.tokens * jitter, runs.loss).select(shuffled)
    found, told = isoflop(uneven), isoflop(uneven, budgets=flops[shuffled])
    np.testing.assert_allclose(found.points.flops, BUDGETS, rtol=0.03)
    np.testing.assert_allclose(found.points.params, told.points.params, rtol=1e-12)


def test_every_kind_of_number_is_taken_in_float64():
    runs, flops = profiles(EVEN)
    whole = Runs(np.rint(runs.params).astype(np.int64), list(runs.tokens), jnp.asarray(runs.loss))
    exact = isoflop(runs, budgets=flops, resamples=0).params.exponent
    # Rounding to float32, as JAX may be set to, moves losses by one part in 1e7.
    allowed = 1e-8 if jax.config.read("jax_enable_x64") else 1e-5
    found = isoflop(whole, budgets=jnp.asarray(flops), resamples=0)
    assert found.params.exponent == pytest.approx(exact, abs=allowed)
    assert isinstance(found.params.exponent, float)


def test_a_weight_of_two_is_a_run_twice_and_a_weight_of_zero_none():
    print("seed", SEED)
    rng = np.random.default_rng(SEED)
    runs, _ = profiles(UNEVEN, noise=0.01, rng=rng)
    weights = rng.integers(0, 3, len(runs))
    repeated = runs.select(np.repeat(np.arange(len(runs)), weights))
    weighted = Runs(runs.params, runs.tokens, runs.loss, weights=weights)
    one, other = isoflop(weighted, resamples=0), isoflop(repeated, resamples=0)
    np.testing.assert_allclose(one.points.params, other.points.params, rtol=1e-9)
    assert one.params.exponent == pytest.approx(other.params.exponent, abs=1e-9)


def test_runs_of_no_weight_are_not_drawn():
    runs, flops = profiles(UNEVEN)
    spoiled = Runs(runs.params, runs.tokens, np.where(flops > 1e21, 9.0, runs.loss))
    weighted = Runs(spoiled.params, spoiled.tokens, spoiled.loss, weights=flops <= 1e21)
    one, other = isoflop(weighted), isoflop(runs.select(flops <= 1e21))
    np.testing.assert_array_equal(one.resampled_params.exponent, other.resampled_params.exponent)
    assert one.refused == other.refused


# --- Resamples -------------------------------------------------------------------------------


def test_a_resample_is_the_method_run_on_its_draws():
    print("seed", SEED)
    runs, flops = profiles(UNEVEN, noise=0.01, rng=np.random.default_rng(SEED))
    found = isoflop(runs, budgets=flops, resample="runs", resamples=20, key=SEED)
    counts = draws(flops, 20, generator(SEED))
    assert (counts.sum(axis=1) == len(runs)).all()
    for row, drawn in enumerate(counts):
        chosen = np.repeat(np.arange(len(runs)), drawn)
        alone = isoflop(runs.select(chosen), budgets=flops[chosen], resamples=0)
        assert found.resampled_params.exponent[row] == pytest.approx(
            alone.params.exponent, rel=1e-9
        )
        assert found.resampled_tokens.coefficient[row] == pytest.approx(
            alone.tokens.coefficient, rel=1e-6
        )


def test_a_draw_of_budgets_is_a_line_through_their_optima_spread_as_few_deserve():
    print("seed", SEED)
    runs, flops = profiles(UNEVEN, noise=0.01, rng=np.random.default_rng(SEED))
    found = isoflop(runs, budgets=flops, resamples=30, key=SEED)
    counts = draws(np.zeros(5), 30, generator(SEED))
    assert ((counts > 0).sum(axis=1) > 1).all()  # none is drawn again
    logs = np.log(found.points.flops), np.log(found.points.params)
    at = np.log(1e24)
    fitted = np.polyval(np.polyfit(*logs, 1), at)
    assert np.log(found.params(1e24)) == pytest.approx(fitted, rel=1e-12)
    # Of five budgets three degrees of freedom are left: t 3.182446, normal 1.959964.
    factor = np.sqrt(5 / 3) * 3.182446305 / 1.959963985
    for row, drawn in enumerate(counts):
        alone = np.polyval(np.polyfit(*(np.repeat(x, drawn) for x in logs), 1), at)
        one = PowerLaw(*(getattr(found.resampled_params, x)[row] for x in FIELDS))
        assert np.log(one(1e24)) - fitted == pytest.approx(factor * (alone - fitted), abs=1e-8)


FIELDS = ("coefficient", "exponent")


@pytest.mark.parametrize("freedom", [1, 2, 3, 7, 30])
def test_quantiles_of_students_t_are_scipys(freedom):
    stats = pytest.importorskip("scipy.stats")
    for tail in (0.6, 0.9, 0.975, 0.9995):
        assert student(tail, freedom) == pytest.approx(stats.t.ppf(tail, freedom), rel=1e-9)


def test_a_draw_of_one_budget_alone_is_drawn_again():
    runs, _ = profiles(UNEVEN, budgets=BUDGETS[:3])
    found = isoflop(runs, resamples=300)
    assert np.isfinite(found.resampled_params.exponent).all()  # 1 in 9 would have no line
    assert found.refused == ()


def test_draws_stay_within_their_stratum():
    strata = np.array([3.0, 1.0, 3.0, 1.0, 1.0])
    counts = draws(strata, 500, generator(SEED))
    np.testing.assert_array_equal(counts[:, strata == 1].sum(axis=1), 3)
    np.testing.assert_array_equal(counts[:, strata == 3].sum(axis=1), 2)
    # Each is drawn once on average; the standard error is below 0.04.
    np.testing.assert_allclose(counts.mean(axis=0), 1, atol=0.15)


def test_groups_are_drawn_whole():
    print("seed", SEED)
    runs, flops = profiles(UNEVEN, noise=0.01, rng=np.random.default_rng(SEED))
    one = Runs(runs.params, runs.tokens, runs.loss, group=np.full(len(runs), "all"))
    together = isoflop(one, budgets=flops, resamples=50)
    low, high = together.params_exponent_interval
    assert low == high == pytest.approx(together.params.exponent, rel=1e-12)
    low, high = isoflop(runs, budgets=flops, resamples=50).params_exponent_interval
    assert high - low > 1e-3


def test_intervals_are_percentiles_of_the_resampled_laws():
    print("seed", SEED)
    runs, _ = profiles(UNEVEN, noise=0.01, rng=np.random.default_rng(SEED))
    found = isoflop(runs, resamples=200, level=0.8)
    at = np.array([[1e20, 1e21], [1e22, 1e24]])
    law = found.resampled_params
    for level, ends in ((None, [10, 90]), (0.5, [25, 75])):
        low, high = found.params_interval(at, level)
        sizes = law.coefficient * at[..., None] ** law.exponent
        np.testing.assert_allclose([low, high], np.percentile(sizes, ends, axis=-1), rtol=1e-10)
    np.testing.assert_allclose(
        found.tokens_exponent_interval, np.percentile(found.resampled_tokens.exponent, [10, 90])
    )
    low, high = found.tokens_interval(1e21)
    assert low < found.tokens(1e21) < high
    again = isoflop(runs, resamples=200, level=0.8)
    np.testing.assert_array_equal(again.resampled_params.exponent, law.exponent)
    other = isoflop(runs, resamples=200, key=1).resampled_params.exponent
    assert (other != law.exponent).any()


@pytest.mark.parametrize("resample", ["budgets", "runs"])
def test_intervals_hold_the_truth_about_as_often_as_they_say(resample):
    print("seed", SEED)
    rng = np.random.default_rng(SEED)
    steps = np.geomspace(0.2, 5, 15)
    held, sizes = 0, 0
    for _ in range(200):
        runs, flops = profiles(EVEN, steps=steps, noise=0.003, rng=rng)
        found = isoflop(runs, budgets=flops, resample=resample, resamples=200, level=0.8)
        low, high = found.params_exponent_interval
        held += low <= 0.5 <= high
        low, high = found.params_interval(1e24)
        sizes += low <= best_params(EVEN, 1e24) <= high
    # 80% of 200 with four standard errors; resampling few loses or gains a little.
    assert 120 <= held <= 183
    assert 120 <= sizes <= 183


def test_without_enough_resamples_that_work_there_is_no_interval():
    # Of three sizes, a resample keeps all three in two cases of nine.
    runs, _ = profiles(EVEN, steps=np.array([0.5, 1, 2]))
    found = isoflop(runs, resample="runs", resamples=100)
    assert found.params.exponent == pytest.approx(0.5, abs=1e-9)
    assert np.isnan(found.params_exponent_interval).all()
    low, high = found.tokens_interval([1e20, 1e21])
    assert np.isnan(low).all()
    assert high.shape == (2,)
    (sentence,) = found.refused
    assert sentence.endswith(
        "of 100 resamples have fewer than 3 optima, and so there are no intervals"
    )


def test_a_power_law_is_evaluated_in_logarithms():
    law = PowerLaw(np.array([1e-300, 2.0]), np.array([16.0, 0.5]))
    np.testing.assert_allclose(law(1e20), [1e20, 2e10], rtol=1e-12)


# --- Refusals --------------------------------------------------------------------------------


# Sizes in optima, their losses if not those of the law, and what is said.
NO_MINIMUM = {
    "two sizes": ([1, 2, 2], None, "2 distinct sizes, and a parabola needs 3"),
    "all but two sizes": ([1, 1.005, 2], None, "2 distinct sizes, and a parabola needs 3"),
    "a ridge": ([0.5, 1, 2], [3, 3.1, 3], "loss over log params does not curve upwards"),
    "a plain": ([0.3, 0.5, 1, 2, 2.5, 3], [2.7] * 6, "loss over log params does not curve upwards"),
    "one side": ([1.2, 1.5, 1.6], None, r"the minimum, \S+ params, lies outside the sizes tried, "),
    "far off": ([0.01, 1, 2], None, "2 distinct sizes, and a parabola needs 3"),
}


@pytest.mark.parametrize("name", list(NO_MINIMUM))
def test_a_budget_without_a_minimum_is_left_out_with_the_reason(name):
    steps, losses, reason = NO_MINIMUM[name]
    bad, _ = profiles(EVEN, budgets=[1e17], steps=np.array(steps))
    loss = bad.loss if losses is None else losses
    good, _ = profiles(EVEN)
    columns = zip(
        (good.params, good.tokens, good.loss), (bad.params, bad.tokens, loss), strict=True
    )
    found = isoflop(Runs(*map(np.concatenate, columns)), resamples=0)
    (sentence,) = found.refused
    assert re.match(r"1e\+17 FLOPs: " + reason, sentence), sentence
    np.testing.assert_allclose(found.points.flops, BUDGETS, rtol=1e-12)
    assert found.params.exponent == pytest.approx(0.5, abs=1e-9)


def few_budgets():
    return isoflop(profiles(EVEN, budgets=BUDGETS[:2])[0])


def no_budgets():
    runs, _ = profiles(EVEN, budgets=np.geomspace(1e18, 1e20, 40))
    jitter = 1 + 0.2 * np.random.default_rng(SEED).uniform(-1, 1, len(runs))
    return isoflop(Runs(runs.params, runs.tokens * jitter, runs.loss))


def with_options(**options):
    return isoflop(profiles(EVEN)[0], **options)


REFUSED = {
    "two budgets": (few_budgets, "^isoFLOP profiles need 3 budgets with a minimum; got 2 of 2"),
    "no budgets": (
        no_budgets,
        "^the FLOPs of these runs do not part into budgets: .* give budgets",
    ),
    "too many budgets": (
        lambda: with_options(tolerance=1e-17, budgets=np.arange(1.0, 46.0)),
        r"got 0 of 45 \(1 FLOPs: 1 distinct sizes, and a parabola needs 3; 2 FLOPs: 1 dist",
    ),
    "a budget short": (
        lambda: with_options(budgets=np.ones(44)),
        r"^budgets must be one for each of 45 runs; got shape \(44,\)",
    ),
    "a budget of 0": (lambda: with_options(budgets=np.zeros(45)), "^budgets must be finite and ab"),
    "tolerance": (lambda: with_options(tolerance=0), "^tolerance must be a finite number above 0"),
    "reach": (lambda: with_options(reach=1), "^reach must be a factor above 1, as 10 is; got 1"),
    "resample": (
        lambda: with_options(resample="groups"),
        "^resample must be 'budgets' or 'runs'; got 'groups'",
    ),
    "level": (
        lambda: with_options(level=95),
        "^level must lie between 0 and 1, as 0.95 does; got 95",
    ),
    "a later level": (
        lambda: with_options().params_interval(1e20, level=0),
        "^level must lie betw",
    ),
    "a part of a resample": (
        lambda: with_options(resamples=2.5),
        "^resamples must be a whole number, at least 0; got 2.5",
    ),
    "a law with levers": (
        lambda: with_options(law=js.laws.published("kumar2024")),
        "^law must have no levers; got one with bits",
    ),
    "a bad loss": (
        lambda: isoflop(Runs(np.ones(3), np.ones(3), np.array([1, np.nan, 2]))),
        "runs.loss must be finite and above 0; got nan in row 2",
    ),
}


@pytest.mark.parametrize("name", list(REFUSED))
def test_what_cannot_be_answered_is_refused(name):
    call, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        call()


# --- Bias ------------------------------------------------------------------------------------

HOFFMANN = (1.69, 406.4, 410.7, 0.34, 0.28)  # E, A, B, alpha, beta
LAW = js.laws.Chinchilla(*HOFFMANN)


def grid(reach, centre=1.0):
    """Fifteen sizes at each budget, up to a factor of `reach` from `centre` optima."""
    return profiles(HOFFMANN, steps=centre * np.geomspace(1 / reach, reach, 15))[0]


def test_the_bias_of_a_centred_grid_is_that_of_czech_et_al():
    # arXiv 2603.22339: the logarithm of k in tokens = k C^b is -0.578092, and in truth -0.555357.
    found = isoflop(grid(16), reach=np.inf, law=LAW)
    assert np.log10(found.tokens.coefficient) == pytest.approx(-0.578092, abs=5e-7)
    bias = found.bias
    assert np.log10(bias.tokens.coefficient) == pytest.approx(-0.578092 + 0.555357, abs=1e-6)
    assert bias.tokens.exponent == pytest.approx(0, abs=1e-7)
    assert not bias.is_off_centre
    assert not bias.is_narrow
    assert "-5.1 % in tokens at 1.00e22 FLOPs" in bias.sentence


# Of the same paper: sizes three times below the optimum, and how far tokens are off.
OFF = {2: 7.11, 4: 5.69, 8: 3.38}


@pytest.mark.parametrize("reach", OFF)
def test_the_bias_of_a_grid_off_the_centre_is_that_of_czech_et_al(reach):
    runs = grid(reach, centre=1 / 3)
    every = np.ones(len(runs), bool)
    bias = grid_bias(runs, np.repeat(BUDGETS, 15), every, np.inf, LAW)
    at = 3.8e25  # whose best tokens are 2.966650e13
    assert 100 * (bias.tokens(at) - 1) == pytest.approx(OFF[reach], abs=0.005)
    assert at / 6 / best_params(HOFFMANN, at) == pytest.approx(2.966650e13, rel=5e-7)
    assert bias.params(at) * bias.tokens(at) == pytest.approx(1, abs=1e-9)
    assert bias.is_off_centre
    assert bias.centre == pytest.approx(1 / 3, rel=1e-6)
    assert bias.reach == pytest.approx(reach, rel=1e-9)
    assert bias.sentence.startswith("The sizes are centred 3x below the optimum")
    assert ("reach only 2x to either side" in bias.sentence) == (reach == 2)


def test_a_minimum_outside_the_sizes_is_refused_however_sure_the_parabola():
    with pytest.raises(ValueError, match="lies outside the sizes tried"):
        isoflop(grid(2, centre=1 / 3), reach=np.inf)


def test_the_bias_is_by_a_law_fitted_to_the_runs_unless_one_is_given():
    found = isoflop(grid(8, centre=1 / 3), reach=np.inf)
    assert 100 * (found.bias.tokens(1e24) - 1) == pytest.approx(3.38, abs=0.005)
    assert found.bias.law.alpha == pytest.approx(0.34, rel=1e-5)
    assert repr(found).splitlines()[-1] == found.bias.sentence


def test_without_a_law_there_is_no_bias():
    runs, _ = profiles(EVEN, budgets=BUDGETS[:3], steps=np.array([0.5, 1, 2]))
    constant = Runs(runs.params, runs.tokens, 2 + 1e-3 * np.tile([1, 0, 1], 3))
    found = isoflop(constant)
    assert found.bias is None
    assert "noise" not in repr(found)


# --- Published exponents ---------------------------------------------------------------------


@pytest.mark.parametrize("experiment", list(PORIAN))
def test_exponents_of_porian_et_al_are_approached(experiment):
    path = table("porian_2024/isoflop_points.csv")
    found = isoflop(Runs.read(path, where=porian(experiment)))
    # They interpolate the loss over sizes and weight budgets by the noise of many seeds, here
    # parabolas take part of the loss's skewness for a shift of the minimum.
    assert found.params.exponent == pytest.approx(PORIAN[experiment], abs=0.035)


def test_the_exponent_of_hoffmann_et_al_is_found_on_their_points():
    path = table("isoflops_open_athena/epochai_chinchilla.csv")
    found = isoflop(Runs.read(path), resample="runs", level=0.8)
    # Hoffmann et al. 2022, Table 2, approach 2: 0.49, and 80% of the resamples in these ends.
    # The points were read off their figure, and resamples were drawn in another way.
    assert found.params.exponent == pytest.approx(0.49, abs=0.01)
    np.testing.assert_allclose(found.params_exponent_interval, (0.462, 0.534), atol=0.02)
    np.testing.assert_allclose(found.points.flops[[0, -1]], [6e18, 3e21], rtol=1e-6)


def test_budgets_that_are_not_six_params_tokens_must_be_given():
    path = table("isoflops_open_athena/marin_202603.csv")
    where = "experiment == 'marin_202603__nemotron__llama_2'"
    runs = Runs.read(path, where=where)
    with pytest.raises(ValueError, match="do not part into budgets"):
        isoflop(runs)
    labels = column(path, "experiment", str)
    budgets = column(path, "isoflop_budget")[labels == "marin_202603__nemotron__llama_2"]
    found = isoflop(runs, budgets=budgets)
    np.testing.assert_allclose(found.points.flops, np.unique(budgets)[1:], rtol=1e-13)
    assert found.refused == ("1.8e+18 FLOPs: loss over log params does not curve upwards",)
    # Their FLOPs count more than 6 N D, and the less so the larger the model.
    assert found.params.exponent + found.tokens.exponent < 1


def test_a_result_shows_itself_and_becomes_a_data_frame():
    found = isoflop(profiles(EVEN)[0], reach=np.inf)
    lines = repr(found).splitlines()
    assert lines[0] == "isoflop: 5 optima, 1,000 resamples"
    assert lines[3].split()[2] == "0.5"
    assert len(lines) <= 30
    assert found._repr_html_().startswith("<table>")
    pytest.importorskip("pandas")
    np.testing.assert_allclose(found.to_dataframe()["params"], found.points.params)
