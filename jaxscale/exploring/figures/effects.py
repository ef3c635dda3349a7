"""What matters: how much the cost, or the loss of a budget, changes with each input."""

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from bokeh.models import Range1d, Span
from bokeh.plotting import figure as Figure

from jaxscale.exploring.figures.look import PLATE, add_hover, add_legend, empty_figure
from jaxscale.exploring.figures.picture import Picture, clear, columns_of, number, replace
from jaxscale.exploring.figures.ticks import limit, write_ticks

if TYPE_CHECKING:
    from jaxscale.exploring.effects import Effect

ROW, REST = 44, 150  # pixels
MOST = 16  # rows; the others are in the CSV
SIGNS = {"less": ".", "more": " "}  # with hatches
USUAL = "1 % more"  # the step of an input, which is said where it is another


class EffectsPicture(Picture["Sequence[Effect]"]):
    """A bar for each input, the largest first, under its name."""

    name = "what-matters"
    title = "What 1 % more of each input changes"
    nothing = "No plan, and so no derivatives"

    def build(self) -> Figure:
        figure = empty_figure(
            self.name,
            REST + 5 * ROW,
            x_range=Range1d(start=-1, end=1),
            y_range=Range1d(start=0, end=1),
        )
        figure.yaxis.visible = False
        figure.ygrid.visible = False
        self._zero = Span(location=0, dimension="height", line_width=1.5, visible=False)
        figure.add_layout(self._zero)
        self.bars = {sign: columns_of("y", "left", "right", "text") for sign in SIGNS}
        self._bars = {
            sign: figure.hbar(
                y="y",
                left="left",
                right="right",
                height=0.36,
                source=self.bars[sign],
                hatch_pattern=hatch,
                hatch_scale=8,
                hatch_alpha=0.6,
                line_width=0,
            )
            for sign, hatch in SIGNS.items()
        }
        self.names = columns_of("x", "y", "name")
        self.values = {align: columns_of("x", "y", "value") for align in ("left", "right")}
        self._texts = [
            figure.text(
                "x",
                "y",
                "name",
                source=self.names,
                text_baseline="bottom",
                **PLATE,
                x_offset=4,
            )
        ]
        self._texts += [
            figure.text(
                "x",
                "y",
                "value",
                source=source,
                text_align=align,
                text_baseline="middle",
                **PLATE,
                x_offset=5 if align == "left" else -5,
            )
            for align, source in self.values.items()
        ]
        add_hover(figure, list(self._bars.values()))
        add_legend(figure, self._bars)
        return figure

    def paint(self) -> None:
        look = self.look
        for renderer, color in zip(self._bars.values(), (look.blue, look.red), strict=True):
            renderer.glyph.update(fill_color=color, hatch_color=look.ground)
        for text in self._texts:
            text.glyph.update(text_color=look.ink, background_fill_color=look.ground)
        self._zero.line_color = look.ink

    def draw(self) -> None:
        shown = self._shown()
        if not shown:
            clear(self.names, *self.bars.values(), *self.values.values())
            self._zero.visible = False
            self.say_nothing()
            return
        self._zero.visible = True
        changes = [self._change(effect) for effect in shown]
        largest = max(map(abs, changes))
        self.below.axis_label = f"change of the {'loss (nats)' if self._of_budget else 'cost'}"
        reach = 1.5 * largest  # with room for the numbers at the ends of bars
        limit(self.x, -reach, reach)
        # Beside the bars of a phone there is no room for the word.
        unit = "" if self._of_budget else " %"
        step = _step(largest)
        most = math.floor(reach / step)
        write_ticks(
            self.below,
            [step * i for i in range(-most, most + 1)],
            lambda x: _tick(x, step) + unit,
        )
        limit(self.y, -len(shown) + 0.3, 0.75)
        self.show(REST + ROW * len(shown))
        rows = [
            (-float(i), effect, change)
            for i, (effect, change) in enumerate(zip(shown, changes, strict=True))
        ]
        replace(
            self.names,
            {
                "x": [-reach] * len(rows),
                "y": [y + 0.2 for y, _, _ in rows],
                "name": [_name(effect) for _, effect, _ in rows],
            },
        )
        for sign, source in self.bars.items():
            these = [row for row in rows if (row[2] < 0) == (sign == "less")]
            replace(
                source,
                {
                    "y": [y for y, _, _ in these],
                    "left": [min(0.0, change) for _, _, change in these],
                    "right": [max(0.0, change) for _, _, change in these],
                    "text": [self._text(effect) for _, effect, _ in these],
                },
            )
            replace(
                self.values["right" if sign == "less" else "left"],
                {
                    "x": [change for _, _, change in these],
                    "y": [y for y, _, _ in these],
                    "value": [signed(change) + unit for _, _, change in these],
                },
            )

    @property
    def _of_budget(self) -> bool:
        return self.answer is not None and self.answer.asked.quality.budget is not None

    @property
    def _unit(self) -> str:
        return " nats" if self._of_budget else " %"

    def _change(self, effect: "Effect") -> float:
        """Of what the question looks for: percent of the cost, or nats at a budget."""
        return effect.loss / 100 if self._of_budget else effect.cost

    def _shown(self) -> "list[Effect]":
        known = [effect for effect in self.data or () if math.isfinite(self._change(effect))]
        return [effect for effect in known if self._change(effect) != 0][:MOST]

    def _text(self, effect: "Effect") -> str:
        sizes = [
            f"{name} {signed(change)} %"
            for name, change in (
                ("cost", math.nan if self._of_budget else effect.cost),
                ("params", effect.params),
                ("tokens", effect.tokens),
            )
            if math.isfinite(change) and change
        ]
        if self._of_budget:
            sizes.insert(0, f"loss {signed(self._change(effect))} nats")
        return "\n".join([_name(effect), f"{effect.step} changes", *sizes])

    def describe(self) -> str:
        if self.answer is None:
            return ""
        shown = self._shown()
        if not shown:
            return "No derivatives: the question has no plan."
        parts = [
            f"{effect.step} of {_inside(effect.label)} by "
            f"{signed(self._change(effect))}{self._unit}"
            for effect in shown[:3]
        ]
        words = f"What changes the {'loss' if self._of_budget else 'cost'} most: "
        hidden = len(self.data or ()) - len(shown)
        return f"{words}{'; '.join(parts)}." + (f" The CSV has {hidden} more." if hidden else "")

    def table(self) -> tuple[Sequence[str], Iterable[Sequence[Any]]]:
        changes = ("cost (%)", "loss (nats)", "params (%)", "tokens (%)")
        return ("input", "label", "value", "step", *changes), (
            [
                *(effect.name, effect.label, effect.value, effect.step),
                *(number(effect.cost), number(effect.loss / 100)),
                *(number(effect.params), number(effect.tokens)),
            ]
            for effect in self.data or ()
        )


def signed(x: float) -> str:
    """A change with its sign and two or three digits: `+0.38`."""
    decimals = min(8, max(0, (2 if abs(x) >= 1 else 1) - math.floor(math.log10(abs(x)))))
    return f"{_sign(x)}{abs(x):.{decimals}f}"


def _sign(x: float) -> str:
    return "\N{MINUS SIGN}" if x < 0 else "+"


def _tick(x: float, step: float) -> str:
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    return ("" if abs(x) < step / 2 else _sign(x)) + f"{abs(x):.{decimals}f}"


def _step(largest: float) -> float:
    """1, 2 or 5 times a power of ten: one or two ticks on each side."""
    power = 10.0 ** math.floor(math.log10(largest))
    return next(digit * power for digit in (5.0, 2.0, 1.0, 0.5) if 1.3 * largest >= digit * power)


def _name(effect: "Effect") -> str:
    value = f" ({effect.value})" if effect.value else ""
    step = "" if effect.step == USUAL else f", {effect.step}"
    return f"{effect.label}{value}{step}"


def _inside(label: str) -> str:
    """A label as it stands inside a sentence: `params of a model`, but `A of the law`."""
    return label[:1].lower() + label[1:] if label[1:2].islower() else label
