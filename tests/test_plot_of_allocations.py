"""The picture of a chain of allocations: what is drawn where, and what is refused."""

import io
import itertools

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from jaxscale import allocations, plots, published
from jaxscale.allocations import Allocation

FLOPS = np.geomspace(1e16, 1e24, 81)
FITTED = (1e17, 1e19)


def entry(a, scale=1e8):
    return published.Entry(
        "test",
        allocation=Allocation(scale, a, 1.0, 1 - a, 1e18),
        exponents=(a, 1 - a),
        params_interval=published.Interval(a - 0.02, a + 0.01, 0.9),
        flops_range=FITTED,
    )


def steps(count=3):
    return {f"step {row}": entry(float(a)) for row, a in enumerate(np.linspace(0.8, 0.5, count))}


def params_of(step):
    return 1e8 * (FLOPS / 1e18) ** step.exponents[0]


def drawn(several, **options):
    return plots.allocation_chain(FLOPS, several, **options)


def png(figure):
    stream = io.BytesIO()
    figure.savefig(stream, dpi=30)
    return stream.getvalue()


def test_lines_are_solid_where_fitted_and_end_in_a_mark_with_their_params():
    several = steps()
    left, _ = drawn(several).axes
    lines = [line for line in left.lines if np.size(line.get_xdata()) == FLOPS.size]
    low, high = FITTED
    inside = (low <= FLOPS) & (high >= FLOPS)
    for step, dashed, solid in zip(several.values(), lines[::2], lines[1::2], strict=True):
        assert dashed.is_dashed()
        np.testing.assert_allclose(dashed.get_ydata(), params_of(step), rtol=1e-4)
        np.testing.assert_array_equal(np.isfinite(solid.get_ydata()), inside)
    marks = [line for line in left.lines if line.get_marker() == "o"]
    np.testing.assert_allclose(
        [line.get_xydata()[0] for line in marks],
        [(1e24, params_of(step)[-1]) for step in several.values()],
        rtol=1e-4,
    )
    texts = [text.get_text() for text in left.texts]
    assert texts == ["6.3T", "step 0", "790B", "step 1", "100B", "step 2", "at 1e24 FLOPs"]


def test_exponents_stand_in_their_intervals_in_the_order_of_the_chain():
    several = steps()
    figure = drawn(several, others={"one paper": entry(0.73), "another": entry(0.5)})
    _, right = figure.axes
    bars = [line for line in right.lines if line.get_linewidth() == 5]
    dots = [line for line in right.lines if line.get_marker() == "o"]
    for row, (step, bar, dot) in enumerate(zip(several.values(), bars, dots, strict=True)):
        ends = step.params_interval[:2]
        np.testing.assert_allclose(bar.get_xydata(), [(end, row) for end in ends])
        assert bar.get_solid_capstyle() == "butt"  # any other would lengthen the interval
        np.testing.assert_allclose(dot.get_xydata(), [(step.exponents[0], row)])
    assert right.get_ylim()[0] > right.get_ylim()[1]  # the first on top
    dotted = [line.get_xdata()[0] for line in right.lines if line.get_linestyle() == ":"]
    assert dotted == [0.73, 0.5]
    texts = [text.get_text() for text in right.texts]
    assert texts[0] == "step 0: 0.800"
    assert texts[-2:] == ["one paper: 0.73", "another: 0.50"]
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["fitted: 1e17 to 1e19 FLOPs", "extrapolated", "90 % interval"]


def chain():
    several = {step.label: allocations.entry(step.name) for step in allocations.PORIAN_CHAIN}
    names = {"Kaplan": "kaplan2020", "Hoffmann": "hoffmann2022_approach1"}
    return plots.allocation_chain(
        np.geomspace(1e16, 5.88e23, 60),
        several,
        others={f"{paper} et al.": allocations.entry(name) for paper, name in names.items()},
        title="all",
        subtitle="of it",
    )


def test_the_published_chain_is_drawn_with_no_text_on_another_or_outside():
    figure = chain()
    figure.draw_without_rendering()
    left, right = figure.axes
    assert [text.get_text() for text in left.texts][:-1:2] == ["3T", "790B", "290B", "180B", "77B"]
    boxes = [text.get_window_extent() for panel in (left, right) for text in panel.texts]
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
    width, height = figure.get_size_inches() * figure.dpi
    assert all(0 <= box.x0 < box.x1 <= width and 0 <= box.y0 < box.y1 <= height for box in boxes)
    frame = right.get_window_extent()
    assert all(text.get_window_extent().x1 <= frame.x1 for text in right.texts)
    assert all(text.get_window_extent().x1 <= frame.x0 for text in left.texts)


@pytest.mark.parametrize("count", [1, 8])
def test_one_step_and_many_that_end_together_are_drawn(count):
    figure = drawn({f"{row}": entry(0.5, 1e9 * (1 + row / 100)) for row in range(count)})
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
    assert png(figure)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="steps must hold at least one"):
        drawn({})
    with pytest.raises(
        ValueError, match=r"one dimension and one length.*; got flops \(1, 81\), step"
    ):
        plots.allocation_chain(FLOPS[None], steps())


def test_a_notebook_shows_the_figure():
    assert drawn(steps(1))._repr_png_().startswith(b"\x89PNG")
