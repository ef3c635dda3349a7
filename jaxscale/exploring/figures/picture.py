"""What all pictures of the page can do."""

import csv
import io
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Generic, TypeVar, cast

from bokeh.models import (
    Axis,
    ColumnDataSource,
    FixedTicker,
    GlyphRenderer,
    Legend,
    LegendItem,
    Range1d,
    SaveTool,
    Title,
)
from bokeh.plotting import figure as Figure

from jaxscale._numerics.quantities import dollars, percent, scientific
from jaxscale.exploring.answering import Answer
from jaxscale.exploring.figures.look import FONT, Look, dress

Data = TypeVar("Data")
EMPTY = 90  # pixels of a figure that has nothing to show


class Picture(ABC, Generic[Data]):
    """A figure that is built once and shows arrays as they come.

    `figure` is Bokeh's. `update` changes its data in place, and `describe` says in words what it
    shows then; `table` is what `csv` writes.
    """

    name: str  # of files, without an ending
    title: str  # of the section that shows it
    nothing: str  # written where there is nothing to show

    def __init__(self, look: Look = Look()) -> None:  # noqa: B008
        self.look = look
        self.data: Data | None = None
        self.answer: Answer | None = None
        self.figure = figure = self.build()
        _drop_what_is_never_shown(figure)
        self.save = next(x for x in figure.tools if isinstance(x, SaveTool))  # writes a PNG
        self.x, self.y = cast(Range1d, figure.x_range), cast(Range1d, figure.y_range)
        self.below, self.left = cast(Axis, figure.below[0]), cast(Axis, figure.left[0])
        for axis in (*figure.xaxis, *figure.yaxis):
            axis.ticker = FixedTicker(ticks=[])
        self._axes = [axis for axis in figure.axis if axis.visible]
        self.message = Title(text=self.nothing, visible=False, text_font_size=FONT)
        figure.add_layout(self.message, "above")
        self.figure.html_attributes = {"role": "figure", "aria-label": self.title}
        dress(self.figure, look)
        legends = cast(list[Legend], figure.legend)
        self._items = [item for each in legends for item in cast(list[LegendItem], each.items)]
        self.message.text_color = look.ink
        self.restyle(look)
        # A law that is new to the server keeps its first picture waiting for the compiler.
        self._hide_what_is_not_there()
        self.say("Computing.")

    def update(self, data: Data | None, answer: Answer) -> None:
        """Show the arrays of an answer; None where there are none, which `describe` explains."""
        self.data, self.answer = data, answer
        with self._at_once():
            self.draw()
            self._hide_what_is_not_there()

    def restyle(self, look: Look) -> None:
        """Change what is drawn to the colours of a light or a dark page.

        The page itself changes the frame, axes and legend of all figures on it.
        """
        self.look = look
        with self._at_once():
            self.paint()
            if self.answer is not None:
                self.draw()

    def csv(self) -> str:
        """What is shown, as CSV with the units in its header."""
        header, rows = self.table()
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
        return stream.getvalue()

    def show(self, height: int) -> None:
        """Make room for data."""
        self.figure.height = height
        self.message.visible = False
        for axis in self._axes:
            axis.visible = True

    def say_nothing(self) -> None:
        """A line that says that there is nothing to show, without an empty frame under it."""
        self.figure.height = EMPTY
        self.say(self.nothing)

    def say(self, text: str) -> None:
        """A line in place of a picture."""
        self.message.update(text=text, visible=True)
        for axis in self._axes:
            axis.visible = False

    def _hide_what_is_not_there(self) -> None:
        """Hide what has no data: the legend would name it, and Bokeh fails to paint it.

        A glyph that loses the last of many lines is painted once more as if they were there.
        """
        for each in self.figure.renderers:
            if isinstance(each, GlyphRenderer):
                each.visible = _has_data(each)
        for item in self._items:
            item.visible = _has_data(item.renderers[0])

    @contextmanager
    def _at_once(self) -> Iterator[None]:
        """Paint once, after all changes; Bokeh's own `hold` stays on after an exception."""
        self.figure.hold_render = True
        try:
            yield
        finally:
            self.figure.hold_render = False

    @abstractmethod
    def build(self) -> Figure:
        """The figure without data."""

    @abstractmethod
    def paint(self) -> None:
        """Give what is drawn the colours of `look`."""

    @abstractmethod
    def draw(self) -> None:
        """Put the data into the figure."""

    @abstractmethod
    def describe(self) -> str:
        """One or two sentences with the numbers that a reader takes from the picture."""

    @abstractmethod
    def table(self) -> tuple[Sequence[str], Iterable[Sequence[Any]]]:
        """A header, and rows of what is shown."""


def written_cost(cost: Any, unit: str) -> str:
    """`$1.29M` or `4.86e23 FLOPs`."""
    return dollars(cost) if unit == "dollars" else f"{scientific(cost)} FLOPs"


def beside_chinchilla(saving: float) -> str:
    """What the best plan costs beside the Chinchilla plan: `62 % less than the Chinchilla plan`."""
    if abs(saving) < 5e-4:
        return "as much as the Chinchilla plan"
    return f"{percent(abs(saving))} {'less' if saving > 0 else 'more'} than the Chinchilla plan"


def number(x: float) -> str:
    """A number in a CSV, all its digits; empty where none is known."""
    return "" if x != x else repr(float(x))


def columns_of(*names: str) -> ColumnDataSource:
    """A data source with columns of these names, still empty."""
    return ColumnDataSource({name: [] for name in names})


def clear(*sources: ColumnDataSource) -> None:
    """Empty all columns."""
    for source in sources:
        replace(source, {str(name): [] for name in source.data})


def _drop_what_is_never_shown(figure: Figure) -> None:
    """Drop what Bokeh gives each glyph for selecting and muting: a tenth of all that a page has."""
    for each in figure.renderers:
        if isinstance(each, GlyphRenderer):
            each.update(selection_glyph=None, nonselection_glyph=None, muted_glyph=None)


def _has_data(renderer: GlyphRenderer) -> bool:
    source = cast(ColumnDataSource, renderer.data_source)
    return any(len(column) for column in dict(source.data).values())


def replace(source: ColumnDataSource, columns: Mapping[str, Any]) -> None:
    """New values of all columns, in one message.

    Lines and shapes, in columns `xs` and `ys`, become no fewer until there are none: the last ones
    are empty. When the page is laid out meanwhile, Bokeh looks for as many as it had, and fails.
    """
    shapes = len(columns.get("xs", ()))
    spare = len(dict(source.data)["xs"]) - shapes if shapes else 0
    source.data = {  # pyright: ignore[reportAttributeAccessIssue]
        name: [*column, *[[] if name in ("xs", "ys") else column[-1]] * spare] if shapes else column
        for name, column in columns.items()
    }
