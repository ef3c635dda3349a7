"""The cost of the best plan by phase against demand, beside the Chinchilla plan's."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from bokeh.models import LogAxis, Range1d, Span
from bokeh.plotting import figure as Figure

from jaxscale._numerics.quantities import count, percent, short, short_scientific
from jaxscale.exploring.figures.look import (
    GREEN,
    ORANGE,
    PLATE,
    SKY,
    add_hover,
    add_legend,
    empty_figure,
)
from jaxscale.exploring.figures.picture import (
    Picture,
    beside_chinchilla,
    clear,
    columns_of,
    number,
    replace,
    written_cost,
)
from jaxscale.exploring.figures.ticks import limit, ticks, write_ticks

if TYPE_CHECKING:
    from jaxscale.exploring.demand import DemandCurve

HEIGHT = 500
# Each with a hatch of its own, readable without colours.
PHASES = (("train", SKY, " "), ("prefill", ORANGE, "/"), ("decode", GREEN, "."))


class DemandPicture(Picture["DemandCurve"]):
    """Shares of the Chinchilla plan's cost, so that savings are seen at any demand.

    Costs themselves span as many powers of ten as demands do: they are written over the picture.
    """

    name = "cost-by-demand"
    title = "Cost by phase against demand"
    nothing = "No demand, or no plan, to show"

    def build(self) -> Figure:
        figure = empty_figure(
            self.name,
            HEIGHT,
            x_axis_type="log",
            x_range=Range1d(start=1e9, end=1e13),
            y_range=Range1d(start=0, end=1),
        )
        figure.xaxis.axis_label, figure.yaxis.axis_label = "tokens served", ""
        figure.xgrid.visible = False
        over = LogAxis(axis_label="cost of the best plan")
        figure.add_layout(over, "above")
        self._over = over
        columns = ("x", "bottom", *(phase for phase, _, _ in PHASES), "chinchilla", "text")
        self.shares = columns_of(*columns)
        under = "bottom"
        self._areas = []
        for phase, color, hatch in PHASES:
            self._areas.append(
                figure.varea(
                    "x",
                    under,
                    phase,
                    source=self.shares,
                    fill_color=color,
                    fill_alpha=0.75,
                    hatch_pattern=hatch,
                    hatch_alpha=0.45,
                    hatch_scale=8,
                    hatch_weight=1,
                )
            )
            under = phase
        self._total = figure.line("x", PHASES[-1][0], source=self.shares, line_width=2.4)
        self._chinchilla = figure.line(
            "x", "chinchilla", source=self.shares, line_width=2.2, line_dash="dashed"
        )
        self._asked = Span(dimension="height", line_width=1.5, line_dash="dotted", visible=False)
        figure.add_layout(self._asked)
        self.mark = columns_of("x", "y", "name")
        self._mark = figure.scatter("x", "y", source=self.mark, size=12, line_width=2)
        self._mark_name = figure.text(
            "x",
            "y",
            "name",
            source=self.mark,
            text_font_style="bold",
            **PLATE,
            x_offset=8,
            y_offset=-8,
        )
        add_hover(figure, [self._total], mode="vline")
        phases = zip((name for name, _, _ in PHASES), self._areas, strict=True)
        items = {**dict(phases), "best plan": self._total, "Chinchilla plan": self._chinchilla}
        add_legend(figure, items)
        return figure

    def paint(self) -> None:
        look = self.look
        for area in self._areas:
            area.glyph.hatch_color = look.ink
        self._total.glyph.line_color = look.ink
        self._chinchilla.glyph.line_color = look.red
        self._asked.line_color = look.ink
        self._mark.glyph.update(fill_color=look.ground, line_color=look.ink)
        self._mark_name.glyph.update(text_color=look.ink, background_fill_color=look.ground)

    def draw(self) -> None:
        curve, answer = self.data, self.answer
        assert answer is not None
        known = None if curve is None else np.isfinite(_total(curve))
        if curve is None or known is None or not known.any():
            clear(self.shares, self.mark)
            self._asked.visible = False
            self.say_nothing()
            return
        self.show(HEIGHT)
        reference, name = _reference(curve)
        tops = np.cumsum([curve.train, curve.prefill, curve.decode], 0) / reference
        replace(
            self.shares,
            {
                "x": curve.tokens[known],
                "bottom": np.zeros(known.sum()),
                **{phase: top[known] for (phase, _, _), top in zip(PHASES, tops, strict=True)},
                "chinchilla": (curve.chinchilla / reference)[known],
                "text": [
                    text for text, is_known in zip(self._texts(), known, strict=True) if is_known
                ],
            },
        )
        self._limit(curve, float(np.nanmax(tops)), name)
        at = _asked_index(curve)
        x, y = float(curve.tokens[at]), float(tops[-1, at])
        self._asked.update(location=x, visible=True)
        replace(self.mark, {"x": [x], "y": [y], "name": ["your demand"]})

    def _limit(self, curve: "DemandCurve", highest: float, name: str) -> None:
        assert self.answer is not None
        unit = self.answer.asked.unit
        low, high = float(curve.tokens[0]), float(curve.tokens[-1])
        limit(self.x, low, high)
        at = ticks(low, high, most=5)
        write_ticks(self.below, at)
        # At a budget all plans cost the same, and what differs is their size.
        over = curve.params if self._of_budget else _total(curve)
        values = np.exp(np.interp(np.log(at), np.log(curve.tokens), np.log(over)))
        texts = {
            x: _brief(value, "params" if self._of_budget else unit)
            for x, value in zip(at, values, strict=True)
        }
        write_ticks(self._over, at, texts.__getitem__)
        self._over.axis_label = f"{'params' if self._of_budget else 'cost'} of the best plan" + (
            " (FLOPs)" if unit == "FLOPs" and not self._of_budget else ""
        )
        top = max(1.0, highest)
        step = 0.25 if top <= 1.5 else 0.5
        shares = [step * i for i in range(int(top / step + 1e-9) + 1)]
        limit(self.y, 0, 1.06 * top)
        write_ticks(self.left, shares, lambda x: f"{100 * x:.0f} %")
        self.figure.yaxis.axis_label = f"share of the {name}'s cost"

    @property
    def _of_budget(self) -> bool:
        return self.answer is not None and self.answer.asked.quality.budget is not None

    def _texts(self) -> list[str]:
        curve, answer = self.data, self.answer
        assert curve is not None
        assert answer is not None
        unit = answer.asked.unit
        columns = (curve.tokens, _total(curve), curve.train, curve.prefill, curve.decode)
        return [
            f"{count(tokens)} tokens served\n"
            f"best plan: {written_cost(total, unit)}, {count(params)} params\n"
            + "\n".join(
                f"{phase}: {written_cost(cost, unit)}"
                for (phase, _, _), cost in zip(PHASES, phases, strict=True)
            )
            + f"\nChinchilla plan: {written_cost(other, unit)}"
            for tokens, total, *phases, params, other in zip(
                *columns, curve.params, curve.chinchilla, strict=True
            )
        ]

    def describe(self) -> str:
        curve, answer = self.data, self.answer
        if answer is None:
            return ""
        if curve is None or not np.isfinite(_total(curve)).any():
            return "No costs to show against demand: the question has no demand or no plan."
        unit, at = answer.asked.unit, _asked_index(curve)
        total = _total(curve)
        phases = zip(PHASES, (curve.train, curve.prefill, curve.decode), strict=True)
        shares = ", ".join(
            f"{name} {percent(float(cost[at] / total[at]))}"
            for (name, _, _), cost in phases
            if cost[at] > 0
        )
        words = (
            f"At {count(curve.tokens[at])} tokens served the best plan costs "
            f"{written_cost(total[at], unit)}: {shares}."
        )
        last = np.flatnonzero(np.isfinite(total) & np.isfinite(curve.chinchilla))
        if last.size:
            end = last[-1]
            times = short(round_to(curve.multiples[end] / curve.multiples[at]))
            saving = float(1 - total[end] / curve.chinchilla[end])
            words += (
                f" At {times} times as many it has {count(float(curve.params[end]))} params and "
                f"costs {written_cost(total[end], unit)}, {beside_chinchilla(saving)}."
            )
        return words

    def table(self) -> tuple[Sequence[str], Iterable[Sequence[Any]]]:
        unit = self.answer.asked.unit if self.answer else ""
        names = ("train", "prefill", "decode", "Chinchilla plan")
        header = ("tokens served", *(f"{name} ({unit})" for name in names), "params")
        curve = self.data
        if curve is None:
            return header, ()
        columns = (curve.tokens, curve.train, curve.prefill, curve.decode, curve.chinchilla)
        rows = zip(*columns, curve.params, strict=True)
        return header, ([number(x) for x in row] for row in rows)


def _total(curve: "DemandCurve") -> np.ndarray:
    return curve.train + curve.prefill + curve.decode


def _reference(curve: "DemandCurve") -> tuple[np.ndarray, str]:
    """The cost that the others are a share of; where no Chinchilla plan has one, the best's own."""
    if np.isfinite(curve.chinchilla).any():
        return curve.chinchilla, "Chinchilla plan"
    return _total(curve), "best plan"


def _asked_index(curve: "DemandCurve") -> int:
    """The point of the demand that was asked about."""
    return int(np.argmin(abs(np.log(curve.multiples))))


def _brief(x: float, unit: str) -> str:
    """Two digits, which a phone has room for; empty where nothing is known."""
    if not np.isfinite(x):
        return ""
    text = short_scientific(x) if unit == "FLOPs" else count(x, 2)
    return f"${text}" if unit == "dollars" else text


def round_to(x: float, digits: int = 2) -> float:
    """The number rounded to a few digits."""
    return float(f"{x:.{digits}g}")
