"""Envelopes of training curves against laws whose optimum is known, and published exponents."""

import numpy as np
import pytest

from fitting.public_runs import PORIAN, porian, table
from jaxscale.fitting._envelope import envelope
from jaxscale.fitting.optimal_sizes import draws
from jaxscale.fitting.resampling import generator
from jaxscale.fitting.runs import Runs

SEED = 20260731
EVEN = (1.7, 400.0, 1500.0, 0.34, 0.34)  # E, A, B, alpha, beta
LAWS = {
    "even": EVEN,
    "Hoffmann": (1.69, 406.4, 410.7, 0.336, 0.283),
    "steep in data": (1.8, 400.0, 5000.0, 0.28, 0.37),
}
SIZES = np.geomspace(1e7, 1e10, 10)


def best_params(law, flops):
    """The minimum of A N^-alpha + B (6 N / C)^beta over N, Hoffmann et al. 2022, eq. 4."""
    _, A, B, alpha, beta = law
    return (alpha * A / (beta * B)) ** (1 / (alpha + beta)) * (flops / 6) ** (beta / (alpha + beta))


def curves(law=EVEN, sizes=SIZES, first=1.0, last=1000.0, checkpoints=80, noise=None):
    """Curves from `first` to `last` tokens per param, which may differ by curve."""
    E, A, B, alpha, beta = law
    ratios = np.geomspace(first, last, checkpoints).T * np.ones((len(sizes), 1))
    params = np.repeat(sizes, checkpoints)
    tokens = (np.asarray(sizes)[:, None] * ratios).ravel()
    loss = E + A / params**alpha + B / tokens**beta
    error = 0 if noise is None else noise(loss.shape)
    group = np.repeat(np.arange(len(sizes)), checkpoints)
    return Runs(params, tokens, loss + error, group=group)


# --- Laws with a known optimum ---------------------------------------------------------------


@pytest.mark.parametrize("law", list(LAWS))
def test_the_exponents_of_a_law_are_found(law):
    found = envelope(curves(LAWS[law]))
    *_, alpha, beta = LAWS[law]
    # Straight lines between checkpoints move a place by a share of the distance of two.
    assert found.params.exponent == pytest.approx(beta / (alpha + beta), abs=2e-4)
    assert found.tokens.exponent == pytest.approx(alpha / (alpha + beta), abs=2e-4)
    np.testing.assert_allclose(found.params(1e21) * found.tokens(1e21), 1e21 / 6, rtol=1e-9)
    assert found.method == "envelope"


def test_places_lie_on_the_optimum_of_an_even_law():
    # Two sizes are equally good at the FLOPs whose best size is their geometric mean.
    found = envelope(curves(EVEN))
    np.testing.assert_allclose(found.points.params, np.sqrt(SIZES[1:] * SIZES[:-1]), rtol=1e-12)
    np.testing.assert_allclose(
        found.points.params, best_params(EVEN, found.points.flops), rtol=1e-3
    )
    np.testing.assert_allclose(found.points.flops, 6 * found.points.params * found.points.tokens)
    E, A, B, alpha, beta = EVEN
    of_smaller = E + A / SIZES[:-1] ** alpha + B / (found.points.flops / 6 / SIZES[:-1]) ** beta
    np.testing.assert_allclose(found.points.loss, of_smaller, atol=1e-3)


def test_few_and_uneven_sizes_do_not_flatten_the_line():
    # Over four steps a line through the staircase itself would be too flat by 1 in 16.
    sizes = 1e7 * np.array([1, 3, 20, 60, 500])
    found = envelope(curves(EVEN, sizes=sizes, last=4000.0, checkpoints=150))
    assert found.params.exponent == pytest.approx(0.5, abs=2e-4)


def test_where_curves_begin_and_end_moves_no_place():
    print("seed", SEED)
    rng = np.random.default_rng(SEED)
    whole = envelope(curves(EVEN))
    first, last = 10 ** rng.uniform(0, 1, len(SIZES)), 10 ** rng.uniform(2.2, 3, len(SIZES))
    cut = envelope(curves(EVEN, first=first, last=last))
    places = dict(zip(whole.points.params.round(), whole.points.flops, strict=True))
    assert len(cut.points.params) >= 5
    for params, flops in zip(cut.points.params.round(), cut.points.flops, strict=True):
        assert flops == pytest.approx(places[params], rel=2e-3)


def test_trainings_of_one_length_for_their_size_are_no_evidence():
    # Each curve ends where it is still the best: the winner changes with the lengths alone.
    short = curves(EVEN, last=20.0)
    with pytest.raises(ValueError, match=r"where a larger size overtakes .* got 0 among 10 sizes"):
        envelope(short)


def test_rows_may_come_in_any_order():
    print("seed", SEED)
    runs = curves(EVEN)
    shuffled = runs.select(np.random.default_rng(SEED).permutation(len(runs)))
    one, other = envelope(runs), envelope(shuffled)
    np.testing.assert_array_equal(one.points.flops, other.points.flops)
    np.testing.assert_array_equal(one.resampled_params.exponent, other.resampled_params.exponent)


def test_runs_of_no_weight_are_left_out():
    runs = curves(EVEN)
    spoiled = np.where(np.arange(len(runs)) % 7 == 3, 0.01, runs.loss)
    weighted = Runs(runs.params, runs.tokens, spoiled, spoiled > 1, runs.group)
    assert envelope(weighted).params.exponent == pytest.approx(0.5, abs=1e-3)
    assert len(envelope(weighted).points.flops) == len(SIZES) - 1


# --- Resamples -------------------------------------------------------------------------------


# Sizes alike between sizes apart: with one of the outermost missing, too few are apart.
CROWDED = 1e9 * np.array([0.75, 1, 1.02, 1.04, 1.06, 1.35, 1.8])


@pytest.mark.parametrize("sizes", [SIZES, CROWDED], ids=["apart", "crowded"])
def test_a_resample_is_the_method_run_on_its_curves(sizes):
    print("seed", SEED)
    rng = np.random.default_rng(SEED)
    noise = 0.002 if sizes is SIZES else 0  # would make sizes alike change places often
    runs = curves(EVEN, sizes=sizes, noise=lambda shape: noise * rng.standard_normal(shape))
    found = envelope(runs, resamples=12, key=SEED)
    drawn = draws(np.zeros(len(sizes)), 12, generator(SEED)) > 0
    failed = 0
    for row, present in enumerate(drawn):
        exponent = found.resampled_params.exponent[row]
        chosen = runs.select(present[runs.group])
        if np.isnan(exponent):
            with pytest.raises(ValueError, match="an envelope needs"):
                envelope(chosen, resamples=0)
            failed += 1
            continue
        alone = envelope(chosen, resamples=0)
        # The values at which winners are compared lie elsewhere, where fewer FLOPs are seen.
        assert exponent == pytest.approx(alone.params.exponent, abs=2e-3)
    assert failed == 0 if sizes is SIZES else 0 < failed < 12


def test_intervals_hold_the_truth_and_narrow_with_less_noise():
    print("seed", SEED)
    rng = np.random.default_rng(SEED)
    widths = {}
    for size in (0.001, 0.01):
        held = 0
        for _ in range(10):
            offsets = size * rng.standard_normal(len(SIZES))  # a training that goes well or badly
            runs = curves(EVEN, noise=lambda shape, o=offsets: np.repeat(o, shape[0] // len(o)))
            found = envelope(runs, resamples=200)
            low, high = found.params_exponent_interval
            held += low <= 0.5 <= high
            widths[size] = high - low
        assert held >= 6, size
    assert widths[0.01] > 2 * widths[0.001]


# --- Refusals --------------------------------------------------------------------------------


def test_groups_that_are_no_curves_are_left_out_with_the_reason():
    runs = curves(EVEN)
    group = runs.group.astype(object)
    group[(runs.group == 0) & (np.arange(len(runs)) >= 2)] = "rest"  # leaves two checkpoints
    group[runs.group == 9] = "rest"
    tokens = np.where(np.arange(len(runs)) == 5 * 80 + 1, runs.tokens[5 * 80], runs.tokens)
    found = envelope(Runs(runs.params, tokens, runs.loss, group=group.astype(str)))
    assert found.refused[:3] == (
        "group 0: checkpoints: 2, and a curve needs 3",
        "group 5: two checkpoints at the same tokens",
        "group rest: its sizes differ, 1e+07 to 1e+10 params",
    )
    assert found.params.exponent == pytest.approx(0.5, abs=1e-3)


def alike():
    """Sizes within ten percent: shapes of one size, as it were."""
    return curves(EVEN, sizes=np.linspace(1e9, 1.1e9, 12))


REFUSED = {
    "no groups": (
        lambda: Runs(*(getattr(curves(), name) for name in ("params", "tokens", "loss"))),
        "^an envelope needs a group for each run",
    ),
    "two curves": (lambda: curves(sizes=SIZES[:2]), "^an envelope needs 3 curves, one .*; got 2$"),
    "a checkpoint each": (
        lambda: curves(checkpoints=1, first=20.0),
        "got 0; group 0: checkpoints: 1, and a curve needs 3; group 1: ",
    ),
    "three sizes": (lambda: curves(sizes=SIZES[:3]), "got 2 among 3 sizes$"),
    "sizes alike": (alike, "a factor of 1.25 apart in size, .* got 0 among 12 sizes$"),
    "sizes hardly apart": (lambda: curves(sizes=CROWDED[:-1]), "got 2 among 6 sizes$"),
    "a bad loss": (
        lambda: Runs(np.ones(2), np.ones(2), np.array([1, -1]), group=np.ones(2)),
        "^runs.loss must be finite and above 0; got -1 in row 2",
    ),
}


@pytest.mark.parametrize("name", list(REFUSED))
def test_what_cannot_be_answered_is_refused(name):
    runs, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        envelope(runs())


def test_a_level_outside_its_range_is_refused():
    with pytest.raises(ValueError, match=r"^level must lie between 0 and 1"):
        envelope(curves(), level=1)


# --- Published exponents ---------------------------------------------------------------------


@pytest.mark.parametrize("experiment", list(PORIAN))
def test_exponents_of_porian_et_al_are_approached(experiment):
    path = table("porian_2024/isoflop_points.csv")
    found = envelope(Runs.read(path, where=porian(experiment), group="params"))
    # One curve a size, known at a dozen budgets; the authors take the minimum over sizes at each
    # budget. Sizes half as large again as each other leave the largest exponents least certain.
    assert found.params.exponent == pytest.approx(PORIAN[experiment], abs=0.03)


def test_longer_trainings_do_not_change_the_envelope_of_gemstones():
    paths = [table(f"gemstones_2025/points_{name}.csv") for name in ("hot", "hot_100b_plus")]
    runs = [Runs.read(path, group="run") for path in paths]
    short, long = map(envelope, runs)
    assert len(runs[1]) > 3 * len(runs[0])
    # Only the grid of FLOP values differs.
    np.testing.assert_allclose(short.points.flops, long.points.flops, rtol=1e-4)
    assert short.params.exponent == pytest.approx(long.params.exponent, abs=1e-4)
    # Twenty-two curves of five kinds of size: four sizes win, and half the resamples lose one.
    assert len(short.points.flops) == 3
    assert np.isnan(short.params_exponent_interval).all()
    assert short.refused[-1].endswith("and so there are no intervals")
