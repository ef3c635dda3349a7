"""Pictures of a fit: what is drawn where, and that odd data are drawn too."""

import io
import itertools

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from jaxscale import plots
from jaxscale.plots._coefficient_pairs import pair_panels
from jaxscale.plots.fit_panels import (
    BudgetCurve,
    iso_flop_curves,
    observed_and_predicted,
    optimal_size_panels,
)
from jaxscale.plots.law_maps import OptimalPath, iso_loss_map, round_losses

RANDOM = np.random.default_rng(0)
PARAMS, TOKENS = np.geomspace(1e8, 1e11, 40), np.geomspace(1e9, 1e13, 50)
RUN_PARAMS, RUN_TOKENS = RANDOM.choice(PARAMS, 60), RANDOM.choice(TOKENS, 60)


def loss(params, tokens):
    return 1.8 + 480 / params**0.35 + 2100 / tokens**0.37


RUN_LOSS = loss(RUN_PARAMS, RUN_TOKENS)
FLOPS = np.geomspace(1e18, 1e25, 80)
PATH = OptimalPath(FLOPS, 0.1 * FLOPS**0.5, FLOPS**0.5 / 0.6)


def png(figure):
    stream = io.BytesIO()
    figure.savefig(stream)
    return stream.getvalue()


def offsets(panel):
    return [np.asarray(each.get_offsets()) for each in panel.collections if len(each.get_offsets())]


# --- Observed against predicted --------------------------------------------------------------


def test_runs_lie_at_their_losses_and_residuals_below_them():
    predicted = RUN_LOSS * 1.01
    figure = observed_and_predicted(RUN_LOSS, predicted, RUN_TOKENS / RUN_PARAMS, title="all")
    above, below, bar = figure.axes
    (dots,) = offsets(above)
    np.testing.assert_allclose(dots, np.stack([predicted, RUN_LOSS], axis=1))
    shown = np.concatenate(offsets(below))
    np.testing.assert_allclose(shown[:, 1], 100 * (1 / 1.01 - 1))
    assert bar.get_ylabel() == "tokens per param"
    assert figure.get_suptitle() == "all"
    assert png(figure)


def test_a_run_that_is_far_off_is_drawn_at_the_edge_and_counted():
    observed = RUN_LOSS * np.exp(0.005 * RANDOM.standard_normal(60))
    observed[0] *= 2
    figure = observed_and_predicted(observed, RUN_LOSS, RUN_TOKENS / RUN_PARAMS)
    below = figure.axes[1]
    assert below.get_ylim()[1] < 10
    assert "1 beyond the frame, up to " in below.get_title(loc="right")
    assert png(figure)


@pytest.mark.parametrize("count", [1, 2, 60])
def test_one_ratio_and_a_perfect_fit_are_drawn(count):
    assert png(observed_and_predicted(RUN_LOSS[:count], RUN_LOSS[:count], np.full(count, 20.0)))


# --- The map ---------------------------------------------------------------------------------


def drawn_map(path=PATH, runs=(RUN_PARAMS, RUN_TOKENS, RUN_LOSS)):
    field = loss(PARAMS[None], TOKENS[:, None])
    return iso_loss_map(PARAMS, TOKENS, field, runs=runs, path=path, title="all")


def test_the_map_has_runs_contours_and_the_path_with_its_budgets():
    figure = drawn_map()
    panel = figure.axes[0]
    (dots,) = [each for each in offsets(panel) if len(each) == 60]
    np.testing.assert_allclose(dots, np.stack([RUN_PARAMS, RUN_TOKENS], axis=1))
    assert panel.get_xlim() == pytest.approx((1e8, 1e11))
    assert panel.get_ylim() == pytest.approx((1e9, 1e13))
    marks = {text.get_text(): text.xy for text in panel.texts if "FLOPs" in text.get_text()}
    assert marks["1e21 FLOPs"] == pytest.approx((0.1 * 10**10.5, 10**10.5 / 0.6), rel=1e-6)
    solid, dashed = panel.lines[:2]
    # The path is solid as far as the budget of the largest run.
    largest = 6 * (RUN_PARAMS * RUN_TOKENS).max()
    assert 6 * (solid.get_xdata() * solid.get_ydata()).max() <= largest
    assert dashed.get_linestyle() == "--"
    assert png(figure)


def test_the_band_is_drawn_where_there_is_one():
    few, many = 0.8 * PATH.params, 1.3 * PATH.params
    banded = PATH._replace(low=(few, FLOPS / 6 / few), high=(many, FLOPS / 6 / many))
    labels = [
        [text.get_text() for text in drawn_map(path).legends[0].get_texts()]
        for path in (PATH, banded)
    ]
    assert labels == [
        ["runs", "compute-optimal"],
        ["runs", "95 % interval", "compute-optimal"],
    ]
    assert png(drawn_map(banded))


@pytest.mark.parametrize(("low", "high"), [(1.9, 4.2), (2.0, 2.1), (0.1, 80.0), (2.0, 2.00001)])
def test_levels_are_round_inside_and_closer_where_the_law_is_flat(low, high):
    levels = np.array(round_losses(low, high))
    assert 4 <= levels.size <= 25
    assert low < levels.min()
    assert levels.max() < high
    steps = np.diff(levels)
    assert steps[-1] >= steps[0] * 0.999
    assert all(len(f"{level:.8g}") <= 9 for level in levels)


def test_a_flat_law_has_no_levels():
    assert round_losses(2.0, 2.0) == []
    assert round_losses(2.0, 2.0 + 1e-12) == []


# --- IsoFLOP curves --------------------------------------------------------------------------


def curve(flops, runs=3, interval=(3e9, 5e9)):
    field = loss(PARAMS, flops / 6 / PARAMS)
    best = int(field.argmin())
    near = np.linspace(best - 5, best + 5, runs).astype(int).clip(0, 39)
    return BudgetCurve(
        flops, PARAMS, field, PARAMS[best], field[best], interval, PARAMS[near], field[near]
    )


def test_every_budget_has_its_curve_its_runs_and_its_name():
    budgets = [curve(1e21), curve(1e20), curve(3.14e22)]
    figure = iso_flop_curves(budgets, title="all")
    (panel,) = figure.axes
    assert [text.get_text() for text in panel.texts] == [
        "1e20 FLOPs",
        "1e21 FLOPs",
        "3.1e22 FLOPs",
    ]
    assert sum(map(len, offsets(panel))) == 9
    low, high = panel.get_ylim()
    assert all(low < budget.best_loss < high for budget in budgets)
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in panel.texts]
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))


def test_a_minimum_far_from_all_runs_leaves_the_frame_to_them():
    far = curve(1e21)._replace(best_params=1e15, best_loss=0.1, interval=None)
    figure = iso_flop_curves([far])
    assert figure.axes[0].get_xlim()[1] < 1e12
    assert [text.get_text() for text in figure.axes[0].texts] == ["1e21 FLOPs"]
    assert png(figure)


def test_budgets_without_runs_are_drawn_and_none_is_refused():
    assert png(iso_flop_curves([curve(1e21, runs=0), curve(1e22, runs=0, interval=None)]))
    with pytest.raises(ValueError, match="budgets must hold at least one"):
        iso_flop_curves([])


# --- Pairs -----------------------------------------------------------------------------------


def draws(count=500):
    alpha = 0.35 + 0.02 * RANDOM.standard_normal(count)
    return {
        "E": 1.8 + 0.03 * RANDOM.standard_normal(count),
        "ln A": 6 + 17 * (alpha - 0.35) + 0.2 * RANDOM.standard_normal(count),
        "alpha": alpha,
    }


BEST = {"E": 1.8, "ln A": 6.0, "alpha": 0.35}


def test_pairs_stand_below_spreads_and_correlations_above():
    columns = draws()
    figure = pair_panels(columns, BEST, title="all")
    panels = np.array(figure.axes).reshape(3, 3)
    assert [panel.get_xlabel() for panel in panels[2]] == list(columns)
    assert [panel.get_ylabel() for panel in panels[:, 0]] == list(columns)
    low, high = np.quantile(columns["alpha"], [0.025, 0.975])
    assert panels[2, 2].get_title() == f"0.350 ({low:.3f} to {high:.3f})"
    (text,) = panels[1, 2].texts
    expected = np.corrcoef(columns["ln A"], columns["alpha"])[0, 1]
    assert text.get_text() == f"{expected:+.2f}"
    np.testing.assert_array_equal(panels[2, 1].lines[0].get_xdata(), columns["ln A"])
    assert png(figure)


def test_contours_hold_about_the_share_of_draws_that_they_say():
    from matplotlib.path import Path

    columns = draws(4000)
    figure = pair_panels(columns, BEST)
    panel = np.array(figure.axes).reshape(3, 3)[2, 1]
    contours = panel.collections[0].get_paths()
    pairs = np.stack([columns["ln A"], columns["alpha"]], axis=1)
    shares = [Path(each.vertices).contains_points(pairs).mean() for each in contours]
    # Smoothing and a grid of 0.2 standard deviations leave a few percent.
    np.testing.assert_allclose(shares, [0.95, 0.5], atol=0.05)


def test_few_equal_and_one_sided_draws_are_drawn():
    assert png(pair_panels(draws(2), BEST))
    assert png(pair_panels({**draws(), "E": np.full(500, 0.5)}, {**BEST, "E": 0.5}))
    heavy = np.exp(20 * RANDOM.random(500) ** 9)
    assert png(pair_panels({**draws(), "E": heavy}, BEST))
    with pytest.raises(ValueError, match="the same labels"):
        pair_panels(draws(), {"E": 1.0})


# --- Optimal sizes ---------------------------------------------------------------------------


def test_each_size_has_a_panel_with_the_fit_its_band_and_published_laws():
    sizes = {"params": PATH.params, "tokens per param": PATH.tokens / PATH.params}
    bands = {name: (0.8 * curve, 1.2 * curve) for name, curve in sizes.items()}
    others = {name: 1.5 * curve for name, curve in sizes.items()}
    figure = optimal_size_panels(
        FLOPS,
        sizes,
        bands=bands,
        published={"theirs": others},
        runs_flops=(1e19, 1e22),
        name="ours",
        title="all",
    )
    assert [panel.get_title() for panel in figure.axes] == list(sizes)
    left, right = figure.axes
    np.testing.assert_allclose(left.lines[0].get_ydata(), PATH.params)
    np.testing.assert_allclose(left.lines[1].get_ydata(), 1.5 * PATH.params)
    assert left.get_xlim() == pytest.approx((1e18, 1e25))
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["budgets of the runs", "ours", "95 % interval", "theirs"]
    low, high = right.get_ylim()  # a level line leaves room around it
    assert high / low > 4
    assert png(figure)


def test_sizes_without_bands_and_published_laws_are_drawn():
    assert png(optimal_size_panels(FLOPS, {"params": PATH.params}, runs_flops=(1e19, 1e19)))


def test_columns_of_two_lengths_are_named():
    with pytest.raises(ValueError, match=r"observed \(60,\), predicted \(59,\)"):
        observed_and_predicted(RUN_LOSS, RUN_LOSS[1:], RUN_LOSS)
    with pytest.raises(ValueError, match=r"params \(60,\), tokens \(60,\), loss \(59,\)"):
        drawn_map(runs=(RUN_PARAMS, RUN_TOKENS, RUN_LOSS[1:]))
    with pytest.raises(ValueError, match=r"loss must have shape \(50, 40\); got \(40, 50\)"):
        iso_loss_map(PARAMS, TOKENS, np.ones((40, 50)), runs=((), (), ()), path=PATH)


def test_what_is_no_fit_is_refused_by_name():
    for draw in (plots.fit_quality, plots.fit_surface, plots.fit_isoflops, plots.fit_sizes):
        with pytest.raises(TypeError, match=r"fit must be a fit of js\.fit; got 3 \(int\)"):
            draw(3)
    with pytest.raises(TypeError, match=r"bootstrap must be a bootstrap of js\.bootstrap; got 3"):
        plots.coefficient_pairs(3)
