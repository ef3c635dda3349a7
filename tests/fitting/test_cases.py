"""Tables of the kinds that people have: each gives the right numbers, or says what is wrong.

Tables of each kind are made here. Where single ones with their right values are at hand, in a
folder `cases` beside the public data, those are read too.
"""

import warnings

import numpy as np
import pandas as pd
import pytest

import jaxscale as js
from fitting.runs_at_hand import FOLDER
from jaxscale.fitting import Suspicion

TRUTH = js.laws.Chinchilla(E=1.8, A=480.0, B=2100.0, alpha=0.35, beta=0.37)


def read(frame, **how):
    """The runs of a frame, and the sentences that reading it warns of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        runs = js.Runs.from_dataframe(frame, **how)
    assert all(isinstance(each.message, Suspicion) for each in caught)
    return runs, [each.message.sentence for each in caught]


def fit(runs, **how):
    return js.fit(js.laws.Chinchilla, runs, **how)


def grid(rng, sizes=6, lengths=6, noise=0.001):
    """Runs of several sizes, each trained for several lengths."""
    params, ratio = (
        x.ravel() for x in np.meshgrid(np.geomspace(3e7, 3e9, sizes), np.geomspace(5, 400, lengths))
    )
    tokens = params * ratio
    loss = np.asarray(TRUTH.loss(params, tokens)) * np.exp(rng.normal(0, noise, params.size))
    return pd.DataFrame({"params": params, "tokens": tokens, "loss": loss})


def assert_true(law, exponent=0.03):
    """The exponents of the truth, to a few standard errors of such a table."""
    assert float(law.alpha) == pytest.approx(0.35, abs=exponent)
    assert float(law.beta) == pytest.approx(0.37, abs=exponent)


def case(name):
    """A table at hand; skips the test where it is absent."""
    path = FOLDER.parent / "cases" / f"{name}.csv"
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    return pd.read_csv(path)


# --- What runs do not identify ----------------------------------------------------------------


def test_one_size_tells_a_constant_and_no_size(rng):
    runs, said = read(grid(rng, lengths=36).query("params < 3.1e7"))
    assert not said
    free, held = fit(runs), fit(runs, fixed={"E": 1.9})
    for found, unidentified in ((free, {"E", "A", "alpha"}), (held, {"A", "alpha"})):
        assert set(found.claims.unidentified) == unidentified
        assert not found.claims.has_sizes
        assert not np.isfinite(found.intervals(0.95)["alpha"]).any()
        assert "all runs have the same params" in found.claims.sentence
    # A coefficient that is held within what is open costs nothing.
    assert held.objective == pytest.approx(free.objective, rel=1e-9)


@pytest.mark.thorough
def test_one_size_at_hand():
    runs, _ = read(case("one_size"))
    for fixed in ({}, {"E": 1.9}):
        found = fit(runs, fixed=fixed)
        constant, _ = found.claims.combinations["E + A/N^alpha"]
        assert float(found.law.beta) == pytest.approx(0.338142, abs=1e-6)
        assert constant == pytest.approx(2.924417, abs=1e-6)
        assert found.objective == pytest.approx(2.999257e-5, rel=1e-6)


def test_larger_models_that_are_not_better_have_no_best_size(rng):
    frame = grid(rng)
    frame["loss"] = np.asarray(TRUTH.loss(1e9, frame.tokens.to_numpy())) * np.exp(
        0.004 * np.log(frame.params / 1e9) + rng.normal(0, 0.002, len(frame))
    )
    found = fit(read(frame)[0])
    assert "alpha" in found.claims.unidentified
    assert not found.claims.has_sizes
    assert "larger models are not better in these runs" in found.claims.sentence


@pytest.mark.thorough
def test_larger_models_that_are_not_better_at_hand():
    found = fit(read(case("loss_rises_with_params"))[0])
    assert "larger models are not better in these runs" in found.claims.sentence


@pytest.mark.thorough  # `test_identified` asks the like without weights
def test_at_one_ratio_exponents_are_not_known_with_weights_either():
    runs = js.fitting.simulate(TRUTH, 200, key=0, tokens_per_param=(20, 20))
    weighed = js.Runs(runs.params, runs.tokens, runs.loss, weights=runs.loss)
    assert {"alpha", "beta"} <= set(fit(weighed).claims.unidentified)


# --- Rounded losses ---------------------------------------------------------------------------


def test_losses_of_six_digits_are_no_outliers(rng):
    frame = grid(rng, noise=0)
    frame["loss"] = [float(f"{loss:.6g}") for loss in frame.loss]
    found = fit(read(frame)[0])
    boot = js.bootstrap(found, resamples=50, key=1)
    assert found.ok
    assert_true(found.law, exponent=1e-4)
    assert not boot.not_ok
    assert not {"outliers", "checkpoints"} & {each.about for each in found.diagnose(boot)}


def test_losses_of_six_digits_at_hand():
    found = fit(read(case("exact_to_6_digits"))[0])
    assert found.ok
    # SciPy and mpmath.
    assert float(found.law.E) == pytest.approx(1.90000250029679, rel=1e-10)
    assert float(found.law.alpha) == pytest.approx(0.360000239689716, rel=1e-10)


# --- Columns in another unit ------------------------------------------------------------------


@pytest.mark.parametrize("unit", [1e3, 1e6])
def test_half_of_a_column_in_another_unit_is_named_and_its_fit_is_right_when_mended(rng, unit):
    frame = grid(rng)
    mixed = frame.assign(params=np.where(np.arange(36) % 2, frame.params / unit, frame.params))
    _, (said,) = read(mixed)
    assert "18 of 36 cells of column 'params' seem to count" in said
    assert "(row 2, 4, 6, 8, 10 and 13 more)" in said
    runs, said = read(frame)
    assert not said
    assert_true(fit(runs).law)


def test_a_column_of_millions_among_counts_at_hand():
    frame = case("mixed_units_params")
    assert "20 of 40 cells of column 'params' seem to count millions" in read(frame)[1][0]
    frame["params"] = frame.params.where(frame.params > 1e5, frame.params * 1e6)
    law = fit(read(frame)[0]).law
    assert float(law.alpha) == pytest.approx(0.346, abs=5e-4)
    assert float(law.E) == pytest.approx(1.786, abs=5e-4)


def test_thousands_and_units_applied_twice_at_hand():
    (said,) = read(case("kparams"))[1]
    assert "over 6.0e+04 tokens per param: column 'params' seems to count thousands" in said
    (said,) = read(case("clean_base"), tokens_unit=1e9)[1]
    assert "over 6.0e+10 tokens per param: the tokens unit of 1e+09 was applied" in said


@pytest.mark.parametrize("how", [{}, {"loss": "perplexity"}])
def test_perplexities_below_twelve_are_refused_or_said(rng, how):
    frame = grid(rng)
    frame = frame[np.exp(frame.loss) < 12].assign(loss=np.exp(frame.loss))
    if how:
        with pytest.raises(ValueError, match="named for perplexities"):
            read(frame.rename(columns={"loss": "perplexity"}), **how)
    else:
        assert "give the loss unit 'perplexity'" in read(frame)[1][0]


def test_perplexities_at_hand():
    frame = case("perplexity_below_12")
    runs, said = read(frame, loss="perplexity", loss_unit="perplexity")
    assert not said
    assert float(fit(runs).law.E) == pytest.approx(1.535, abs=1e-3)
    assert "perplexity" in read(frame.rename(columns={"perplexity": "loss"}))[1][0]


# --- Rows that are not one training each ------------------------------------------------------


def test_checkpoints_grouped_by_the_column_that_is_named_have_wide_intervals(rng):
    frame = grid(rng, noise=0, sizes=5)
    steps = np.arange(1, 16)
    frame = pd.concat(
        [frame[:5].assign(tokens=2e9 * step, step=100 * step) for step in steps], ignore_index=True
    )
    frame["model"] = [f"m{size:.3g}" for size in frame.params]
    error = dict(zip(frame.model.unique(), rng.normal(0, 0.01, 5), strict=True))
    loss = np.asarray(TRUTH.loss(frame.params.to_numpy(), frame.tokens.to_numpy()))
    frame["loss"] = loss * np.exp(frame.model.map(error) + rng.normal(0, 1e-4, len(frame)))
    alone, (said,) = read(frame)
    assert "15 checkpoints of each of 5 trainings" in said
    assert "group them by column 'model'" in said
    grouped, said = read(frame, group="model")
    assert not said

    def width(runs):
        boot = js.bootstrap(fit(runs), resamples=50, key=1)
        return float(np.ptp(boot.intervals(0.95)["alpha"]))

    assert width(grouped) > 2 * width(alone)


def test_checkpoints_at_hand():
    (said,) = read(case("checkpoints_of_six_models"))[1]
    assert "62 checkpoints of each of 6 trainings" in said
    assert "group them by column 'model'" in said


def test_small_grids_are_not_taken_for_checkpoints_by_correlation(rng):
    frame = grid(rng)
    frame["loss"] += 0.3 * (frame.tokens / frame.params / 400) ** 2  # a form that does not suit
    found = fit(read(frame)[0])
    assert "checkpoints" not in {each.about for each in found.diagnose()}


def test_a_sweep_of_learning_rates_is_named_and_the_best_of_each_cell_is_right(rng):
    frame, rates = grid(rng, noise=0), 1e-3 * 2.0 ** np.arange(-3, 4)
    swept = pd.concat(
        [frame.assign(lr=rate, loss=frame.loss + 0.1 * np.log(rate / 1e-3) ** 2) for rate in rates]
    )
    (said,) = read(swept)[1]
    assert "36 pairs of params and tokens have 7 runs each" in said
    assert "--best-of-cell" in said
    runs, said = read(swept, best_of_cell=True)
    assert (len(runs), said) == (36, [])
    assert_true(fit(runs).law, exponent=1e-5)


def test_a_sweep_at_hand():
    frame = case("lr_sweep")
    assert "25 pairs of params and tokens have 7 runs each" in read(frame)[1][0]
    law = fit(read(frame, best_of_cell=True)[0]).law
    assert float(js.compute_optimal(law, flops=1e20).loss) == pytest.approx(2.533, abs=5e-4)


def test_tokens_that_disagree_with_flops_are_named_and_mended(rng):
    frame = grid(rng).assign(name=[f"r{row}" for row in range(36)])
    frame["flops"] = 6 * frame.params * frame.tokens
    wrong = frame.assign(tokens=np.where(np.arange(36) < 18, 2, 1) * frame.tokens)
    (said,) = read(wrong)[1]
    assert "is 2 times column 'flops' in 18 of 36 rows" in said
    assert "(row 1 to 18; run 'r0', 'r1', 'r2' and 15 more)" in said
    mended, said = read(wrong.assign(tokens=wrong.flops / (6 * wrong.params)))
    assert not said
    assert_true(fit(mended).law)


def test_tokens_that_disagree_with_flops_at_hand():
    frame = case("tokens_disagree_with_flops")
    assert "in 12 of 24 rows (row 1 to 12)" in read(frame)[1][0]
    frame["tokens"] = frame.flops / (6 * frame.params)
    assert float(fit(read(frame)[0]).law.beta) == pytest.approx(0.37, abs=0.005)
