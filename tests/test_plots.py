"""Pictures: what is drawn where, and that nothing global is touched."""

import io
import itertools
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from matplotlib.figure import Figure

from jaxscale.plots import field_histograms, field_line, field_map, ratio_panels, sweep_figure

DEMAND = np.geomspace(1e9, 1e14, 31)
LOSS = np.linspace(1.8, 2.6, 21)
PARAMS = np.geomspace(4e11, 8e8, 21)


def ratios(loss=LOSS, demand=DEMAND):
    """Three smooth maps that start at 1 and move away from it, like those of a law."""
    reach = np.log10(demand / 1e9)[None, :] * (loss[:, None] - 1.7) / 4.5
    return 1 - 0.9 * reach**2, 1 - 0.95 * reach, 1 + 99 * reach**3


def drawn(**options):
    figure = ratio_panels(DEMAND, LOSS, *ratios(), chinchilla_params=PARAMS, **options)
    figure.draw_without_rendering()
    return figure


def shown(panel):
    """The labels of the ticks of x that lie in view."""
    low, high = panel.get_xlim()
    ticks = zip(panel.get_xticks(), panel.get_xticklabels(), strict=True)
    return [label for x, label in ticks if low / 1.01 < x < high * 1.01]


def png(figure):
    stream = io.BytesIO()
    figure.savefig(stream)
    return stream.getvalue()


def test_the_picture_is_1500_pixels_wide_png():
    image = png(drawn())
    assert image.startswith(b"\x89PNG")
    width, height = np.frombuffer(image[16:24], ">u4")
    assert (width, height) == (1500, 525)


def test_there_are_three_panels_with_the_titles_and_labels_given():
    figure = drawn(
        title="all",
        panel_titles=("one", "two", "three"),
        demand_label="demand here",
        loss_label="loss here",
    )
    assert isinstance(figure, Figure)
    assert figure.get_suptitle() == "all"
    assert [panel.get_title() for panel in figure.axes[:3]] == ["one", "two", "three"]
    assert figure.axes[0].get_ylabel() == "loss here"
    assert figure.axes[1].get_xlabel() == "demand here"


def test_axes_span_the_data_and_demand_reads_as_counts():
    for panel in drawn().axes[:3]:
        assert panel.get_xlim() == pytest.approx((1e9, 1e14))
        assert panel.get_ylim() == pytest.approx((1.8, 2.6))
        assert [label.get_text() for label in shown(panel)] == [
            "1B",
            "10B",
            "100B",
            "1T",
            "10T",
            "100T",
        ]


def test_tick_labels_of_the_figure_do_not_overlap():
    figure = drawn()
    boxes = [label.get_window_extent() for panel in figure.axes for label in shown(panel)]
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))


def test_contour_labels_name_their_levels_and_lie_on_the_diagonal():
    figure = drawn()
    for panel in figure.axes[:3]:
        labels = [
            text for text in panel.texts if text.get_text().endswith("\N{MULTIPLICATION SIGN}")
        ]
        assert len(labels) >= 5
        for label in labels:
            x, y = panel.transAxes.inverted().transform(
                panel.transData.transform(label.get_position())
            )
            assert abs(x - y) < 0.08  # nearest point of the line, not the crossing itself


def test_the_model_axis_puts_each_size_at_its_loss():
    figure = ratio_panels(DEMAND, LOSS, *ratios(), chinchilla_params=PARAMS)
    figure.draw_without_rendering()
    (axis,) = figure.axes[2].child_axes
    ticks = dict(
        zip((t.get_text() for t in axis.get_yticklabels()), axis.get_yticks(), strict=True)
    )
    slope = 0.8 / np.log(4e11 / 8e8)
    assert ticks["10B"] == pytest.approx(1.8 + slope * np.log(4e11 / 1e10))
    assert "1B" in ticks
    assert "500M" not in ticks


def test_without_model_sizes_there_is_no_second_axis():
    figure = ratio_panels(DEMAND, LOSS, *ratios())
    assert not figure.axes[2].child_axes


def test_scenarios_without_a_plan_are_left_out():
    cost, params, tokens = ratios()
    for each in (cost, params, tokens):
        each[:5] = np.nan
    assert png(ratio_panels(DEMAND, LOSS, cost, params, tokens))


@pytest.mark.parametrize("value", [1.0, 0.5, 3.0, np.nan])
def test_maps_without_any_contour_are_drawn(value):
    flat = np.full((LOSS.size, DEMAND.size), value)
    assert png(ratio_panels(DEMAND, LOSS, flat, flat, flat))


def test_a_plan_dearer_than_chinchilla_is_drawn():
    cost, params, tokens = ratios()
    assert png(ratio_panels(DEMAND, LOSS, 3 * cost, 1 / params, 1 / tokens))


def test_arrays_that_do_not_fit_are_named():
    cost, params, tokens = ratios()
    with pytest.raises(ValueError, match=r"params_ratio must have shape \(21, 31\)"):
        ratio_panels(DEMAND, LOSS, cost, params.T, tokens)
    with pytest.raises(ValueError, match="chinchilla_params must have shape"):
        ratio_panels(DEMAND, LOSS, cost, params, tokens, chinchilla_params=PARAMS[1:])
    with pytest.raises(ValueError, match="demand_tokens must be above zero"):
        ratio_panels(0 * DEMAND, LOSS, cost, params, tokens)


def test_a_subtitle_stands_whole_below_the_title_and_above_the_panels():
    parts = [f"condition {number} at $1.50 an hour" for number in range(12)]
    figure = drawn(title="all", subtitle="; ".join(parts))
    subtitle = figure.texts[-1]
    lines = subtitle.get_text().replace("\N{NO-BREAK SPACE}", " ").split("\n")
    assert [part for line in lines for part in line.strip("; ").split("; ")] == parts
    title, below = figure._suptitle.get_window_extent(), subtitle.get_window_extent()
    panels = max(panel.get_tightbbox().y1 for panel in figure.axes)
    assert title.y0 >= below.y1
    assert below.y0 >= panels


def test_a_field_over_two_axes_gets_round_levels_and_log_axes_where_it_spans_decades():
    figure = field_map(DEMAND, LOSS, LOSS[:, None] * DEMAND, title="all", x_label="x")
    panel, bar = figure.axes
    assert (panel.get_xscale(), panel.get_yscale()) == ("log", "linear")
    figure.draw_without_rendering()
    labels = [label.get_text() for label in bar.get_yticklabels()]
    assert labels == ["1B", "10B", "100B", "1T", "10T", "100T", "1Q"]
    assert (panel.get_xlabel(), figure.get_suptitle()) == ("x", "all")


def test_a_map_that_does_not_fit_is_named_and_an_empty_one_is_drawn():
    with pytest.raises(ValueError, match=r"values must have shape \(21, 31\)"):
        field_map(DEMAND, LOSS, np.ones((31, 21)))
    assert png(field_map(DEMAND, LOSS, np.full((21, 31), np.nan)))


def test_a_field_along_one_axis_is_a_line_through_its_values():
    figure = field_line(DEMAND, np.sqrt(DEMAND), x_label="demand")
    (line,) = figure.axes[0].lines
    np.testing.assert_array_equal(line.get_xydata(), np.stack([DEMAND, np.sqrt(DEMAND)], axis=1))
    assert figure.axes[0].get_yscale() == "log"
    assert png(figure)


def test_histograms_count_every_finite_value_once():
    values = {"a": np.append(DEMAND, np.nan), "b": LOSS, "c": LOSS, "d": np.full(3, np.nan)}
    figure = field_histograms(values, title="all")
    counts = [sum(bar.get_height() for bar in panel.patches) for panel in figure.axes[:4]]
    assert counts == [31, 21, 21, 0]
    assert [panel.get_visible() for panel in figure.axes] == [True] * 4 + [False] * 2
    assert [panel.get_xscale() for panel in figure.axes[:2]] == ["log", "linear"]
    assert png(figure)


def test_matplotlib_is_imported_late_and_pyplot_never():
    script = (
        "import sys, numpy as np; from jaxscale.plots import ratio_panels;"
        "assert 'matplotlib' not in sys.modules; one = np.ones((2, 2));"
        "ratio_panels([1e9, 1e10], [2, 3], one, one, one).savefig(sys.stdout.buffer);"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert done.stdout.startswith(b"\x89PNG")


def test_what_is_no_data_set_is_refused_by_name():
    with pytest.raises(TypeError, match=r"data must be an xarray.Dataset, .* got 3 \(int\)"):
        sweep_figure(3)
