"""The best size by each law, with its interval, grouped by what the losses are of."""

import re
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

import numpy as np
from bokeh.models import Range1d
from bokeh.plotting import figure as Figure

from jaxscale._numerics.quantities import count
from jaxscale.exploring.figures.look import PLATE, add_hover, add_legend, empty_figure
from jaxscale.exploring.figures.picture import (
    Picture,
    clear,
    columns_of,
    number,
    replace,
    written_cost,
)
from jaxscale.exploring.figures.ticks import around, finite, limit, ticks, write_ticks
from jaxscale.exploring.laws_compared import Compared, LawSize

ROW, REST = 23, 190  # pixels
LONGEST, LONGEST_NAME = 36, 26  # characters of a heading and of the name of a law
KINDS = {  # whether the plan lies in the range of the runs: words and mark
    True: ("inside the runs", "circle"),
    False: ("beyond the runs", "circle"),
    None: ("runs not known", "diamond"),
}


class LawsPicture(Picture[Compared]):
    """A row for each law that answers; the others are counted in the description."""

    name = "size-by-law"
    title = "Best size by law"
    nothing = "No law has an answer"

    def build(self) -> Figure:
        figure = empty_figure(
            self.name,
            REST + 5 * ROW,
            x_axis_type="log",
            x_range=Range1d(start=1e9, end=1e12),
            y_range=Range1d(start=0, end=1),
        )
        figure.xaxis.axis_label = "params of the best plan"
        figure.ygrid.visible = False
        figure.yaxis.update(major_tick_line_color=None, axis_line_color=None)
        self.headings = columns_of("x", "y", "text")
        self.ranges = columns_of("low", "high", "y")
        self.best = columns_of("x", "y")
        self._best = figure.line("x", "y", source=self.best, line_width=1.5, line_dash="dashed")
        self._ranges = figure.segment(
            "low", "y", "high", "y", source=self.ranges, line_width=5, line_alpha=0.45
        )
        self.sizes = {kind: columns_of("x", "y", "text", "size") for kind in KINDS}
        self._sizes = {
            kind: figure.scatter("x", "y", source=source, size="size", marker=mark, line_width=2)
            for (kind, source), (_, mark) in zip(self.sizes.items(), KINDS.values(), strict=True)
        }
        self._headings = figure.text(
            "x",
            "y",
            "text",
            source=self.headings,
            text_font_style="italic",
            text_baseline="middle",
            x_offset=4,
            **PLATE,
        )
        add_hover(figure, list(self._sizes.values()))
        items: dict[str, Any] = {KINDS[kind][0]: renderer for kind, renderer in self._sizes.items()}
        items |= {"95 % interval": self._ranges, "your answer": self._best}
        add_legend(figure, items)
        return figure

    def paint(self) -> None:
        look = self.look
        self._best.glyph.line_color = look.red
        self._ranges.glyph.line_color = look.blue
        for kind, renderer in self._sizes.items():
            renderer.glyph.update(
                line_color=look.blue, fill_color=look.blue if kind else look.ground
            )
        self._headings.glyph.update(text_color=look.quiet, background_fill_color=look.ground)
        self.figure.yaxis.update(major_tick_line_color=None, axis_line_color=None)

    def draw(self) -> None:
        answer = self.answer
        assert answer is not None
        sizes = self._answering()
        best = float(answer.optimum.params)
        if not sizes:
            clear(self.best, self.headings, self.ranges, *self.sizes.values())
            self.say_nothing()
            if self._waiting():
                self.say("Computing.")
            return
        low, high = around(
            min(finite(*(x for size in sizes for x in (size.params, size.low)), best)),
            max(finite(*(x for size in sizes for x in (size.params, size.high)), best)),
        )
        limit(self.x, low, high)
        write_ticks(self.below, ticks(low, high, most=5))
        rows = _rows(sizes)
        limit(self.y, -len(rows) + 0.4, 0.6)
        self.show(REST + ROW * len(rows))
        edges = [self.y.start, self.y.end] if np.isfinite(best) else []
        replace(self.best, {"x": [best] * len(edges), "y": edges})
        headings = {-i: row for i, row in enumerate(rows) if isinstance(row, str)}
        at = {-i: row for i, row in enumerate(rows) if not isinstance(row, str)}
        write_ticks(self.left, list(at), lambda y: _label(at[int(y)].name))
        replace(
            self.headings,
            {
                "x": [low] * len(headings),
                "y": list(headings),
                "text": [_brief(group) for group in headings.values()],
            },
        )
        ranged = {y: size for y, size in at.items() if size.low < size.high}
        replace(
            self.ranges,
            {
                "low": [size.low for size in ranged.values()],
                "high": [size.high for size in ranged.values()],
                "y": list(ranged),
            },
        )
        for kind, source in self.sizes.items():
            these = {y: size for y, size in at.items() if size.in_range is kind}
            replace(
                source,
                {
                    "x": [size.params for size in these.values()],
                    "y": list(these),
                    "text": [self._text(size) for size in these.values()],
                    "size": [
                        14 if size.name == answer.asked.name else 10 for size in these.values()
                    ],
                },
            )

    def _sizes_known(self) -> Sequence[LawSize]:
        return () if self.data is None else self.data.sizes

    def _waiting(self) -> int:
        """How many laws are still computed."""
        return 0 if self.data is None else sum(len(each.names) for each in self.data.waiting)

    def _answering(self) -> list[LawSize]:
        """Laws with a size, those of a group together, the question's group first."""
        known = [size for size in self._sizes_known() if np.isfinite(size.params)]
        name = self.answer.asked.name if self.answer else ""
        first = {size.group for size in known if size.name == name}
        return sorted(known, key=lambda x: (x.group not in first, x.group, -x.params))

    def _text(self, size: LawSize) -> str:
        assert self.answer is not None
        text = f"{size.name}, losses of {size.group}"
        text += f"\n{count(size.params)} params, {count(size.tokens)} tokens"
        if np.isfinite(size.cost):
            text += f"\ncost {written_cost(size.cost, self.answer.asked.unit)}"
        if size.low < size.high:
            text += f"\n95 % interval: {count(size.low)} to {count(size.high)} params"
        return text + f"\n{KINDS[size.in_range][0]}" + (f"\n{size.note}" if size.note else "")

    def describe(self) -> str:
        if self.answer is None:
            return ""
        sizes, missing = self._answering(), len(self._sizes_known()) - len(self._answering())
        waiting = self._waiting()
        computed = f" {waiting} more {'is' if waiting == 1 else 'are'} being computed."
        if not sizes:
            return computed.strip() if waiting else "No law has an answer to this question."
        smallest, largest = (pick(sizes, key=lambda size: size.params) for pick in (min, max))
        words = "One law has an answer"
        if len(sizes) > 1:
            words = (
                f"{len(sizes)} laws have an answer, from {count(smallest.params)} params "
                f"({smallest.name}) to {count(largest.params)} ({largest.name})"
            )
        beyond = sum(size.in_range is False for size in sizes)
        words += f"; {beyond} of them beyond the runs behind the law." if beyond else "."
        if missing:
            words += f" {missing} {'has' if missing == 1 else 'have'} none: the CSV says why."
        return words + computed if waiting else words

    def table(self) -> tuple[Sequence[str], Iterable[Sequence[Any]]]:
        unit = self.answer.asked.unit if self.answer else ""
        ends = ("params, low end of 95 %", "params, high end of 95 %")
        header = ("law", "params", "tokens", f"cost ({unit})", *ends, "in range", "group", "note")
        return header, (
            [
                size.name,
                *map(number, (size.params, size.tokens, size.cost, size.low, size.high)),
                {True: "yes", False: "no", None: ""}[size.in_range],
                size.group,
                size.note,
            ]
            for size in self._sizes_known()
        )


def _rows(sizes: Sequence[LawSize]) -> list[str | LawSize]:
    """The heading of each group, and under it its laws."""
    rows: list[str | LawSize] = []
    for group, members in groupby(sizes, key=lambda size: size.group):
        rows += [group, *members]
    return rows


def _brief(group: str) -> str:
    """The name of a group as long as a phone has room for.

    Without what stands in brackets, the paper, which the names of its laws say, and the scale.
    """
    words = re.sub(r" \(.*?\)|^.* et al\. \d{4}: |;.*", "", group)
    return _cut(words, LONGEST)


def _label(name: str) -> str:
    """The name of a law; of a file without its folder."""
    return _cut(name.rpartition("/")[2], LONGEST_NAME)


def _cut(words: str, longest: int) -> str:
    return (
        words
        if len(words) <= longest
        else f"{words[: longest - 1].rstrip()}\N{HORIZONTAL ELLIPSIS}"
    )
