"""The looks of all figures, light and dark.

Categories have Okabe and Ito's colours, distinct to colour-blind readers, and dashes, hatches or
marks of their own. Text is never in a colour that fades into its background.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

from bokeh.models import Axis, Grid, HoverTool, Legend, LegendItem, SaveTool
from bokeh.plotting import figure as Figure

BLUE, VERMILLION, GREEN, PURPLE, SKY, ORANGE = (
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#cc79a7",
    "#56b4e9",
    "#e69f00",
)
FONT = "13px"
SMALL = "12px"
# Behind text on a picture, so that it is readable on any colour.
PLATE: dict[str, Any] = {
    "text_font_size": SMALL,
    "background_fill_alpha": 0.75,
    "padding": 2,
    "border_radius": 3,
}
# Two columns of a legend fit a phone where they end at the right edge of the frame. Marks are drawn
# at two fifths of their room, which is too small to tell them apart.
LEGEND = """
:host { left: 100% !important; transform: translate(-100%, -100%) !important; }
.bk-item .bk-label { font-size: 13px !important; }
.bk-glyph { transform: scale(1.5); margin: 0 4px; }
"""


class Look(NamedTuple):
    """The colours of a light or a dark page."""

    dark: bool = False

    @property
    def ink(self) -> str:
        return "#f1f3f5" if self.dark else "#22262b"

    @property
    def quiet(self) -> str:
        """Text and lines of second rank; still 4.5 times as dark or light as the ground."""
        return "#b4bac1" if self.dark else "#565d66"

    @property
    def ground(self) -> str:
        return "#121212" if self.dark else "#ffffff"

    @property
    def faint(self) -> str:
        return "#3a3f45" if self.dark else "#dfe2e6"

    @property
    def blue(self) -> str:
        """The blue of categories; the paler of the two where the ground is dark."""
        return SKY if self.dark else BLUE

    @property
    def red(self) -> str:
        return "#ff8a3d" if self.dark else VERMILLION


def empty_figure(name: str, height: int, **options: Any) -> Figure:
    """A figure as wide as its column, with a tool that saves it under a name.

    The page has a button for it that keys reach, which a toolbar has not. Nothing zooms or pans:
    a finger on a phone scrolls the page, not the picture.
    """
    return Figure(
        height=height,
        sizing_mode="stretch_width",
        tools=[SaveTool(filename=name)],
        toolbar_location=None,
        min_border_right=16,
        outline_line_color=None,  # any colour the page would replace by that of its text
        **options,
    )


def add_legend(figure: Figure, items: Mapping[str, Any]) -> Legend:
    """A legend under the figure, where it hides no data."""
    legend = Legend(
        items=[LegendItem(label=name, renderers=[item]) for name, item in items.items()],
        orientation="horizontal",
        ncols=2,
        border_line_alpha=0,
        background_fill_alpha=0,
        label_text_font_size=SMALL,
        margin=0,
        location="bottom_left",
        stylesheets=[LEGEND],
    )
    figure.add_layout(legend, "below")
    return legend


def add_hover(figure: Figure, renderers: Sequence[Any], **options: Any) -> HoverTool:
    """Tooltips with the column `text` of what is under the pointer, a line of it each."""
    hover = HoverTool(
        renderers=list(renderers),
        tooltips="<div style='white-space: pre; font-size: 12px'>@text</div>",
        visible=False,  # no button: there is nothing to turn off
        **options,
    )
    figure.add_tools(hover)
    return hover


def dress(figure: Figure, look: Look) -> None:
    """Give the frame, the axes and the legend of a figure the colours of a look."""
    figure.update(
        background_fill_color=look.ground,
        border_fill_color=look.ground,
    )
    # Not by `select`, for which Bokeh goes through all that a figure has, in some 10 ms.
    for axis in cast(list[Axis], figure.axis):
        axis.update(
            axis_line_color=look.quiet,
            major_tick_line_color=look.quiet,
            minor_tick_line_color=None,
            major_label_text_color=look.ink,
            major_label_text_font_size=SMALL,
            axis_label_text_color=look.ink,
            axis_label_text_font_size=FONT,
            axis_label_text_font_style="normal",
        )
    for grid in cast(list[Grid], figure.grid):
        grid.grid_line_color = look.faint
    for legend in cast(list[Legend], figure.legend):
        legend.label_text_color = look.ink
