"""The picture of FLOPs by size: what is drawn where."""

import io
import itertools

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from matplotlib.text import Text

from jaxscale.plots import flops_by_size

PARAMS = np.geomspace(1e7, 1e12, 31)
FALL = 1 + (PARAMS / 1e7) ** -0.3
RATIOS = {"many": FALL, "same": FALL * 1.0005, "few": 2 - FALL, "fewer": 1.95 - FALL}


def drawn(ratios=RATIOS, params=PARAMS):
    figure = flops_by_size(params, ratios, title="all", subtitle="context of 2048 tokens")
    figure.draw_without_rendering()
    return figure


def lines_by_name(figure):
    """Each line by the name that stands where it begins."""
    (panel,) = figure.axes
    begins = {line.get_ydata()[0]: line for line in panel.lines}
    return {text.get_text(): begins[text.xy[1]] for text in panel.texts}


def test_every_line_has_its_name_where_it_begins():
    lines = lines_by_name(drawn())
    assert set(lines) == {"6 N", *RATIOS}
    for name, ratios in {"6 N": np.ones_like(PARAMS), **RATIOS}.items():
        np.testing.assert_allclose(lines[name].get_xydata(), np.stack([PARAMS, ratios], axis=1))
    for text in drawn().axes[0].texts:
        assert text.get_color() == lines[text.get_text()].get_color()


def test_a_line_on_another_is_dashed():
    lines = lines_by_name(drawn())
    assert [name for name, line in lines.items() if line.is_dashed()] == ["same"]


@pytest.mark.parametrize("spread", [1e-3, 0.3])
def test_names_stay_apart_and_in_the_panel(spread):
    figure = drawn({f"count_{k}": 1 + (FALL - 1) * spread * k for k in range(1, 8)})
    (panel,) = figure.axes
    inside = panel.get_window_extent()
    boxes = [Text.get_window_extent(text) for text in panel.texts]  # without their leaders
    for box in boxes:
        assert inside.y0 <= box.y0 + 1
        assert box.y1 <= inside.y1 + 1
        assert inside.x0 <= box.x0 < box.x1 < panel.transData.transform((1e7, 1))[0]
    for one, other in itertools.combinations(boxes, 2):
        # Descenders of one line may reach into the leading of the next.
        assert min(one.y1, other.y1) - max(one.y0, other.y0) < 0.2 * one.height


def test_no_tick_stands_below_the_smallest_size():
    (panel,) = drawn().axes
    labels = [label.get_text() for label in panel.get_xticklabels()]
    assert labels == ["10M", "100M", "1B", "10B", "100B", "1T"]


def test_what_is_missing_is_left_out_and_the_picture_is_one():
    figure = drawn({"none": np.full(31, np.nan), "late": np.where(PARAMS > 1e9, FALL, np.nan)})
    assert [text.get_text() for text in figure.axes[0].texts] == ["6 N", "late"]
    stream = io.BytesIO()
    figure.savefig(stream, dpi=30)
    assert stream.getvalue().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("params", "ratios", "message"),
    [
        (PARAMS, {}, "over_six_n must hold at least one count"),
        (PARAMS, {"one": FALL[1:]}, r"one length.*params \(31,\), one \(30,\)"),
        (PARAMS[:1], {"one": FALL[:1]}, "params must hold at least two sizes; got 1"),
    ],
)
def test_columns_that_do_not_fit_are_refused(params, ratios, message):
    with pytest.raises(ValueError, match=message):
        flops_by_size(params, ratios)
