"""Pictures of laws: what is drawn where, and that what they are handed is right."""

import io
import itertools
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pytest

pytest.importorskip("matplotlib")

import jaxscale as js
from jaxscale import plots
from jaxscale._numerics.interpreted import interpreted
from jaxscale.cli.figures import figures
from jaxscale.cli.mistakes import Mistake
from jaxscale.plots import _iso_loss, papers
from jaxscale.plots.law_maps import LawPanel, OptimalPath, laws_compared

PARAMS, TOKENS = np.geomspace(1e8, 1e12, 41), np.geomspace(1e9, 1e13, 51)
FLOPS = np.geomspace(1e19, 1e24, 60)


def loss(params, tokens, scale=1.0):
    return 1.8 + scale * (480 / params**0.35 + 2100 / tokens**0.37)


def png(figure):
    stream = io.BytesIO()
    figure.savefig(stream, dpi=30)
    return stream.getvalue()


def shown(figure):
    return [panel for panel in figure.axes if panel.get_visible()]


# --- Laws beside each other ------------------------------------------------------------------


def law_panel(name="one", scale=1.0, fitted=True):
    path = OptimalPath(FLOPS, 0.1 * scale * FLOPS**0.5, FLOPS**0.5 / 0.6 / scale)
    inside = (FLOPS >= 1e20) & (FLOPS <= 1e22)
    ends = PARAMS, np.full(41, 2e9), np.full(41, 4e11)
    field = loss(PARAMS, TOKENS[:, None], scale)
    return LawPanel(name, field, path, inside, ends if fitted else None, "" if fitted else "what")


def drawn_laws(*laws):
    return laws_compared(PARAMS, TOKENS, laws, title="all", subtitle="of them")


def test_every_law_has_a_panel_with_its_path_and_the_paths_of_the_others():
    first, second = law_panel(), law_panel("two", 1.5, fitted=False)
    figure = drawn_laws(first, second)
    left, right = shown(figure)
    assert [panel.get_title() for panel in (left, right)] == ["one", "two"]
    assert left.get_xlim() == right.get_xlim() == pytest.approx((1e8, 1e12))
    assert left.get_ylim() == right.get_ylim() == pytest.approx((1e9, 1e13))
    dashed, solid = left.lines[:2]
    assert dashed.is_dashed()
    np.testing.assert_allclose(dashed.get_xdata(), first.path.params)
    np.testing.assert_array_equal(np.isfinite(solid.get_xdata()), first.inside)
    whole = [line.get_xdata() for line in left.lines if np.size(line.get_xdata()) == FLOPS.size]
    np.testing.assert_allclose(whole[-1], second.path.params)
    assert [text.get_text() for text in right.texts if text.get_text() == "what"]
    assert png(figure)


def test_a_contour_is_named_where_the_law_has_that_loss():
    (panel,) = shown(drawn_laws(law_panel()))
    named = [(text.get_position(), float(text.get_text())) for text in panel.texts[:-3]]
    assert len(named) > 3
    for place, level in named:
        # Linear between grid points in the logarithms: 1e-3 is far below a step of 0.1.
        assert loss(*place) == pytest.approx(level, abs=1e-3)


@pytest.mark.parametrize(("count", "rows"), [(1, 1), (3, 1), (5, 2)])
def test_panels_legend_and_texts_stay_in_the_picture(count, rows):
    laws = [law_panel(f"E={number},A=406.4,B=410.7,alpha=.34,beta=.28") for number in range(count)]
    figure = drawn_laws(*laws)
    figure.draw_without_rendering()
    panels = shown(figure)
    assert len(panels) == count
    assert len({round(panel.get_position().y0, 3) for panel in panels}) == rows
    width, height = figure.get_size_inches() * figure.dpi
    titles = [panel.title for panel in panels]
    for box in (each.get_window_extent() for each in (figure.legends[0], *titles)):
        assert 0 <= box.x0 < box.x1 <= width
        assert 0 <= box.y0 < box.y1 <= height
    boxes = [title.get_window_extent() for title in titles]
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))


def test_a_flat_law_and_one_without_a_number_are_drawn_and_none_is_refused():
    flat, unknown = (law_panel()._replace(loss=np.full((51, 41), value)) for value in (2.0, np.nan))
    assert png(drawn_laws(flat))
    assert png(drawn_laws(unknown))
    with pytest.raises(ValueError, match="laws must hold at least one"):
        drawn_laws()
    with pytest.raises(ValueError, match=r"loss of one must have shape \(51, 41\)"):
        drawn_laws(law_panel()._replace(loss=np.ones((41, 51))))


# --- Data that run out -----------------------------------------------------------------------


class Best(NamedTuple):
    """The fields of a plan that are drawn."""

    params: Any
    tokens: Any
    loss: Any


UNIQUE, BUDGETS = np.geomspace(1e9, 1e13, 200), np.array([1e21, 1e23])
COSTLY = np.array([2e10, 3e11])  # unique tokens at which the loss is 1 % higher


def limited():
    free = Best(np.array([3e9, 3e10]), np.array([6e10, 6e11]), np.array([2.4, 2.1]))
    rise = 1 + 0.01 * (COSTLY[:, None] / UNIQUE) ** 2
    tokens = np.maximum(free.tokens[:, None], 3 * (free.tokens[:, None] / UNIQUE) ** 0.1)
    params = np.broadcast_to(free.params[:, None], tokens.shape)
    return Best(params, tokens, free.loss[:, None] * rise), free


def drawn_limited(best, free):
    return plots.data_constrained(UNIQUE, BUDGETS, best, free, title="all", subtitle="of it")


def test_marks_stand_where_repetition_begins_and_where_it_costs():
    best, free = limited()
    figure = drawn_limited(best, free)
    params, tokens, losses = shown(figure)
    assert [panel.get_yscale() for panel in (params, tokens, losses)] == ["log", "log", "linear"]
    marks = {
        shape: [line.get_xydata()[0] for line in losses.lines if line.get_marker() == shape]
        for shape in "oD"
    }
    np.testing.assert_allclose(marks["o"], np.stack([free.tokens, free.loss], axis=1))
    # The loss falls with the square of unique tokens, and points lie 5 % apart.
    np.testing.assert_allclose(marks["D"], np.stack([COSTLY, 1.01 * free.loss], axis=1), rtol=2e-3)
    labels = [text.get_text() for text in losses.texts]
    assert labels == ["1e21", "1e23"]
    assert png(figure)


def test_lines_end_at_the_most_epochs():
    best, free = limited()
    figure = plots.data_constrained(UNIQUE, BUDGETS, best, free, max_epochs=4.0)
    for panel in shown(figure):
        lines = [line for line in panel.lines if np.size(line.get_xdata()) == UNIQUE.size]
        for line, tokens in zip(lines, best.tokens, strict=True):
            np.testing.assert_array_equal(np.isfinite(line.get_ydata()), tokens <= 4 * UNIQUE)


def test_lines_of_equal_epochs_cross_the_panel_of_tokens():
    panel = shown(drawn_limited(*limited()))[1]
    dotted = [line.get_xydata() for line in panel.lines if line.get_linestyle() == ":"]
    ratios = [set(np.round(each[:, 1] / each[:, 0], 6)) for each in dotted]
    assert ratios == [{1.0}, {4.0}, {16.0}, {64.0}]


def test_plans_that_are_missing_or_never_limited_are_drawn():
    best, free = limited()
    for plans in (
        best._replace(loss=np.where(UNIQUE < 1e11, np.nan, best.loss)),
        best._replace(loss=np.full_like(best.loss, np.nan)),
        best._replace(loss=np.broadcast_to(free.loss[:, None], best.loss.shape)),
    ):
        assert png(drawn_limited(plans, free))
    with pytest.raises(ValueError, match=r"best.params must have shape \(2, 200\)"):
        drawn_limited(best._replace(params=best.params.T), free)


# --- Over-training ---------------------------------------------------------------------------


def test_the_best_of_each_budget_is_marked_and_lines_are_solid_where_fitted():
    ratio = np.geomspace(1, 1000, 50)
    of, best = loss(1e9, ratio * 1e9)[None], js.Runs(np.array([1e9]), np.array([4e9]), [2.5])
    options = {"error": lambda loss: loss / 10 + 0.05, "fitted": (20, 320)}
    figure = plots.overtraining(ratio, ([1e21], of), ([1e9], of), best, **options)
    left, right = shown(figure)
    (best,) = [line for line in right.lines if line.get_marker() == "o" and line.get_xdata().size]
    np.testing.assert_allclose(best.get_xydata(), [[4.0, 30.0]])  # in percent
    solid = left.lines[1]
    np.testing.assert_array_equal(np.isfinite(solid.get_ydata()), (ratio >= 20) & (ratio <= 320))
    assert [text.get_text() for text in left.texts] == ["1e21", "1B"]
    assert png(figure)
    with pytest.raises(ValueError, match=r"loss of by_size must have shape \(2, 50\)"):
        plots.overtraining(ratio, ([1e21], of), ([1e9, 1e10], of), best, **options)


# --- From published laws ---------------------------------------------------------------------


DRAWN = (
    "laws_compared",
    "data_constrained",
    "overtraining",
    "allocation_chain",
    "flops_by_size",
)


@pytest.fixture(scope="module")
def handed(tmp_path_factory):
    """What the command hands to each picture, by its name, and what it wrote."""
    folder, found = tmp_path_factory.mktemp("pictures"), {}
    with pytest.MonkeyPatch.context() as patch:
        for name in DRAWN:
            home = _iso_loss if name == "laws_compared" else papers
            draw = getattr(home, name)

            def keeping(*arguments, _name=name, _draw=draw, **options):
                found[_name] = arguments, options
                return _draw(*arguments, **options)

            patch.setattr(home, name, keeping)
        # By NumPy, to spare compiling.
        patch.setattr(papers, "minimize_loss", partial(interpreted, js.minimize_loss))
        folder = folder / "made" / "by the command"
        figures(str(folder))
    return {**found, "files": sorted(folder.iterdir())}


def test_the_command_writes_six_pictures(handed):
    files = handed["files"]
    names = ("allocations", "flops", "laws", "overtraining", "ratios", "repeated")
    assert [path.name for path in files] == [f"{name}.png" for name in names]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in files)


def test_paths_follow_hoffmann_equation_4_and_are_inside_where_shaded(handed):
    (_, _, panels), _ = handed["laws_compared"]
    for panel in panels[:2]:
        law = js.laws.published(panel.name)
        total = law.alpha + law.beta
        G = (law.alpha * law.A / (law.beta * law.B)) ** (1 / total)
        expected = G * (panel.path.flops / 6) ** (law.beta / total)
        rtol = 1e-4 if panel.path.params.dtype == np.float32 else 1e-10
        np.testing.assert_allclose(panel.path.params, expected, rtol=rtol)
        params, fewest, most = panel.fitted
        low, high = (np.interp(panel.path.params, params, end) for end in (fewest, most))
        shaded = (panel.path.params >= params[0]) & (panel.path.params <= params[-1])
        shaded &= (panel.path.tokens >= low) & (panel.path.tokens <= high)
        # A straight line between grid points is above a bent one: only ends may differ.
        assert np.count_nonzero(shaded != panel.inside) <= 2
        assert 0 < np.count_nonzero(panel.inside) < panel.inside.size


def test_plans_of_short_data_are_the_best_of_muennighoff_equations_5_and_6(handed):
    (unique, flops, plan, free), options = handed["data_constrained"]
    seen = np.asarray(plan.tokens) <= options["max_epochs"] * unique
    best = Best(*(np.where(seen, x, np.nan) for x in (plan.params, plan.tokens, plan.loss)))
    E, A, B = np.exp([0.6254804, 6.255414, 7.3049974])  # as in the paper's repository
    a, R_D, R_N = 0.3526596, 15.387756, 5.309743
    G = (A / B) ** (1 / (2 * a))

    def paper(params, tokens):
        U_D = np.minimum(unique, tokens)
        U_N = np.minimum(G * G * U_D, params)  # alpha = beta
        N = U_N + U_N * R_N * -np.expm1(-(params / U_N - 1) / R_N)
        D = U_D + U_D * R_D * -np.expm1(-(tokens / U_D - 1) / R_D)
        return E + A / N**a + B / D**a

    # The plans at hand spend the budget, and none near them does better.
    known = np.isfinite(best.params)
    assert known.mean() > 0.8
    tight = 1e-5 if best.loss.dtype == np.float32 else 1e-11
    np.testing.assert_allclose(
        best.loss, np.where(known, paper(best.params, best.tokens), np.nan), rtol=tight
    )
    np.testing.assert_allclose(
        (6 * best.params * best.tokens / flops[:, None])[known], 1, rtol=1e-4
    )
    for factor in (0.97, 1.03):
        assert (paper(best.params * factor, best.tokens / factor) >= best.loss * (1 - tight))[
            known
        ].all()
    assert free.tokens / free.params == pytest.approx(1 / (G * G), rel=1e-3)


def test_the_best_ratio_and_error_are_those_of_gadre_s_form(handed):
    (ratio, (flops, by_budget), _, best), options = handed["overtraining"]
    # L = E + (a M^eta + b M^-eta) C^-eta has its minimum over M at (b / a)^(1 / (2 eta)).
    E, a, b, eta = 1.5082606, 141.27726, 189.51553, 0.12123612
    np.testing.assert_allclose(best.tokens_per_param, (b / a) ** (1 / (2 * eta)), rtol=1e-4)
    expected = E + (a * ratio**eta + b * ratio**-eta) * flops[:, None] ** -eta
    np.testing.assert_allclose(by_budget, expected, rtol=1e-5)
    error = 0.8497 - 2.0789 * np.exp(-0.7561 * expected)
    np.testing.assert_allclose(options["error"](by_budget), error, rtol=1e-4)
    assert options["fitted"] == (20, 320)


def test_the_chain_ends_at_the_sizes_that_porian_prints(handed):
    (flops, steps), options = handed["allocation_chain"]
    assert flops[-1] == pytest.approx(5.88e23)
    ends = [float(step.allocation.params(flops[-1])) for step in steps.values()]
    np.testing.assert_allclose(ends, [3e12, 787e9, 292e9, 183e9, 77e9], rtol=0.011)
    exponents = {name: entry.exponents[0] for name, entry in options["others"].items()}
    assert exponents == {"Kaplan et al. 2020": 0.73, "Hoffmann et al. 2022": 0.5}


def test_flops_by_size_are_those_of_the_shapes(handed):
    """The count of kipply is 6 of the matrices alone; PaLM's adds the scores to 6 N."""
    (params, ratios), _ = handed["flops_by_size"]
    shape = js.architectures.CHINCHILLA.architecture(params)
    matrices = np.asarray(shape.layers * shape.width**2 * 12)
    np.testing.assert_allclose(ratios["kipply"], matrices / params, rtol=1e-4)
    scores = np.asarray(12 * shape.layers * shape.width * 2048)
    np.testing.assert_allclose(ratios["palm"], 1 + scores / (6 * params), rtol=1e-4)


def test_what_cannot_be_drawn_is_said(tmp_path):
    with pytest.raises(ValueError, match="also depends on unique_tokens"):
        plots.published_laws(["muennighoff2023_repeated"])
    with pytest.raises(ValueError, match="unknown law"):
        plots.published_laws(["sardana"])
    (tmp_path / "file").write_text("")
    with pytest.raises(Mistake, match=r"FOLDER: cannot make '.*file': File exists"):
        figures(str(tmp_path / "file"))


# --- Any laws ------------------------------------------------------------------------------------

OURS = js.laws.Chinchilla(E=1.8, A=480.0, B=2100.0, alpha=0.35, beta=0.37)


def test_best_ratios_are_those_of_the_law_solid_inside_its_runs():
    figure = plots.best_ratios({"ours": OURS, "theirs": "besiroglu2024", "Kaplan": "kaplan2020"})
    (panel,) = shown(figure)
    lines = [line for line in panel.lines if np.size(line.get_xdata()) > 2]
    assert len(lines) == 6
    law = js.laws.published("besiroglu2024")
    total = law.alpha + law.beta
    G = (law.alpha * law.A / (law.beta * law.B)) ** (1 / total)
    for line in lines[2:4]:
        flops, ratio = line.get_xdata(), line.get_ydata()
        best = (flops / 6) ** ((law.alpha - law.beta) / total) / G**2
        known = np.isfinite(ratio)
        np.testing.assert_allclose(ratio[known], best[known], rtol=1e-4)
    plan = js.compute_optimal(law, flops=flops)
    inside = np.asarray(js.laws.entry("besiroglu2024").in_range(plan))
    np.testing.assert_array_equal(known, inside)
    assert lines[2].is_dashed()
    assert 0 < inside.sum() < inside.size
    # A law without an entry is taken as it is.
    assert np.isfinite(lines[1].get_ydata()).all()
    assert [text.get_text().split()[0] for text in panel.texts] == ["ours", "theirs", "Kaplan"]
    assert png(figure)


def contours(panel):
    """The written losses of a panel, by their positions."""
    return [
        (text.get_position(), float(text.get_text()))
        for text in panel.texts
        if text.get_text().replace(".", "").isdigit()
    ]


@pytest.mark.parametrize(
    ("laws", "titles"),
    [
        (OURS, ["Chinchilla"]),
        ("besiroglu2024", ["besiroglu2024"]),
        (js.laws.entry("besiroglu2024"), ["besiroglu2024"]),
        ([OURS, OURS, "kaplan2020"], ["Chinchilla", "Chinchilla (2)", "kaplan2020"]),
        ({"ours": OURS, "theirs": "besiroglu2024"}, ["ours", "theirs"]),
    ],
)
def test_laws_are_drawn_by_name_entry_or_themselves(laws, titles):
    figure = plots.iso_loss(laws)
    assert [panel.get_title() for panel in shown(figure)] == titles
    assert png(figure)


def test_contours_of_iso_loss_are_those_of_the_law_between_the_ends_given():
    figure = plots.iso_loss({"ours": OURS}, params=(1e9, 1e11), tokens=(1e10, 1e12))
    (panel,) = shown(figure)
    assert panel.get_xlim() == pytest.approx((1e9, 1e11))
    assert panel.get_ylim() == pytest.approx((1e10, 1e12))
    assert len(contours(panel)) > 3
    for (params, tokens), level in contours(panel):
        assert loss(params, tokens) == pytest.approx(level, abs=1e-3)


def test_levers_move_the_contours_and_are_named():
    full, half = (plots.iso_loss("kumar2024", levers={"bits": bits}) for bits in (16, 4))
    for figure, bits in ((full, 16), (half, 4)):
        assert any(
            text.get_text() == f"bits\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}{bits}"
            for text in figure.texts
        )
        law = js.laws.published("kumar2024")
        (panel,) = shown(figure)
        for (params, tokens), level in contours(panel):
            assert float(law.loss(params, tokens, bits=bits)) == pytest.approx(level, abs=2e-3)


def test_laws_of_another_scale_have_contours_of_their_own():
    figure = plots.iso_loss(["tao2024", OURS], levers={"vocabulary_params": 1e8})
    alone = plots.iso_loss(
        OURS, params=shown(figure)[1].get_xlim(), tokens=shown(figure)[1].get_ylim()
    )
    assert [x for _, x in contours(shown(figure)[1])] == [x for _, x in contours(shown(alone)[0])]


def test_a_law_without_a_compute_optimal_path_is_drawn_without_one():
    figure = plots.iso_loss("clark2022_sbase", levers={"experts": 8})
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["equal loss (nats per token)"]
    assert png(figure)
    boxes = [text.get_window_extent() for text in shown(figure)[0].texts]
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))


@pytest.mark.parametrize(
    ("laws", "options", "message"),
    [
        ([], {}, "laws must hold at least one law; got none"),
        (3, {}, r"laws must be laws, .*; got 3 \(int\)"),
        ([OURS, 3], {}, r"laws must be laws, .*; got 3 \(int\)"),
        ("kumar", {}, "unknown law 'kumar'"),
        ("kumar2024", {}, "kumar2024 also depends on bits: give a value, levers={'bits': ...}"),
        ("kumar2024", {"levers": {"bit": 8}}, r"no law here has 'bit' \(did you mean bits\?\)"),
        ("kumar2024", {"levers": {"bits": "best"}}, "lever bits must be one number; got 'best'"),
        (js.laws.Chinchilla(1.8, np.ones(3), 1.0, 0.3, 0.3), {}, r"one value .* got shape \(3,\)"),
        (OURS, {"params": (1e9, 1e8)}, r"params must be \(lowest, highest\), both above zero"),
        (OURS, {"tokens": 1e9}, r"tokens must be \(lowest, highest\), both above zero"),
    ],
)
def test_iso_loss_names_what_is_wrong(laws, options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        plots.iso_loss(laws, **options)
