"""Loss over params and tokens, with the plan, its curves of equal loss and equal cost, its path."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from bokeh.models import Range1d
from bokeh.palettes import Cividis256
from bokeh.plotting import figure as Figure
from bokeh.plotting.contour import contour_data

from jaxscale._numerics.quantities import count, short
from jaxscale.exploring.figures.look import PLATE, Look, add_hover, add_legend, empty_figure
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
from jaxscale.laws.protocol import loss_scale
from jaxscale.plots.law_maps import label_points, round_losses

if TYPE_CHECKING:
    from jaxscale.exploring.surfaces import Line, LossMap

HEIGHT = 500
SHADE = 0.42  # of the map's colours over the ground, so that lines and text stand out


class LossPicture(Picture["LossMap"]):
    """The map of losses; low losses are bright on a light page and on a dark one."""

    name = "loss-map"
    title = "Loss over params and training tokens"
    nothing = "No plan to show"

    def build(self) -> Figure:
        figure = empty_figure(
            self.name,
            HEIGHT,
            x_axis_type="log",
            y_axis_type="log",
            x_range=Range1d(start=1e8, end=1e12),
            y_range=Range1d(start=1e9, end=1e14),
        )
        figure.grid.visible = False
        figure.xaxis.axis_label, figure.yaxis.axis_label = "params", "training tokens"
        self.fills = columns_of("xs", "ys", "color")
        self.lines = columns_of("xs", "ys")
        self.losses = columns_of("x", "y", "text")
        self.runs = columns_of("left", "right", "bottom", "top")
        self.band = columns_of("xs", "ys")
        self.path = columns_of("x", "y", "text")
        self.equal_loss = columns_of("x", "y")
        self.costs = columns_of("xs", "ys")
        self.cost_names = columns_of("x", "y", "text")
        self.best = columns_of("x", "y", "text", "name")
        self.chinchilla = columns_of("x", "y", "text", "name")

        figure.multi_polygons("xs", "ys", source=self.fills, fill_color="color", line_width=0)
        self._contours = figure.multi_line("xs", "ys", source=self.lines, line_width=0.7)
        self._runs = figure.quad(
            "left", "right", "top", "bottom", source=self.runs, fill_alpha=0, line_width=1.5
        )
        self._runs.glyph.line_dash = "dotted"
        self._band = figure.patches("xs", "ys", source=self.band, fill_alpha=0.35, line_width=0)
        self._path = figure.line("x", "y", source=self.path, line_width=2, line_dash="dotdash")
        self._costs = figure.multi_line(
            "xs", "ys", source=self.costs, line_width=1.8, line_dash="dashed"
        )
        self._equal = figure.line("x", "y", source=self.equal_loss, line_width=2.2)
        self._losses, self._cost_names = (
            figure.text(
                "x",
                "y",
                "text",
                source=source,
                text_align="center",
                text_baseline="middle",
                **PLATE,
            )
            for source in (self.losses, self.cost_names)
        )
        self._chinchilla = figure.scatter(
            "x", "y", source=self.chinchilla, marker="diamond", size=15, line_width=2
        )
        self._best = figure.scatter("x", "y", source=self.best, marker="star", size=22)
        self._names = [
            figure.text(
                "x",
                "y",
                "name",
                source=marks,
                text_align=align,
                text_font_style="bold",
                text_baseline=baseline,
                x_offset=offset[0],
                y_offset=offset[1],
                **PLATE,
            )
            for marks, align, baseline, offset in (
                (self.best, "right", "top", (-8, 8)),
                (self.chinchilla, "left", "bottom", (9, -6)),
            )
        ]
        # The path runs through the plan: what is said of both stands on two sides.
        add_hover(figure, [self._best, self._chinchilla], attachment="left")
        add_hover(figure, [self._path], line_policy="nearest", attachment="right")
        items = {
            "equal loss": self._equal,
            "equal cost": self._costs,
            "path of best plans": self._path,
            "its 95 % interval": self._band,
            "runs behind the law": self._runs,
        }
        add_legend(figure, items)
        return figure

    def paint(self) -> None:
        look = self.look
        self._contours.glyph.line_color = look.quiet
        self._runs.glyph.line_color = look.ink
        self._band.glyph.fill_color = look.blue
        self._path.glyph.line_color = look.blue
        self._equal.glyph.line_color = look.ink
        self._costs.glyph.line_color = look.red
        self._best.glyph.update(fill_color=look.red, line_color=look.ground)
        self._chinchilla.glyph.update(fill_color=look.ground, line_color=look.ink)
        for text in (self._losses, self._cost_names, *self._names):
            text.glyph.update(text_color=look.ink, background_fill_color=look.ground)

    def draw(self) -> None:
        loss_map, answer = self.data, self.answer
        assert answer is not None
        if loss_map is None:
            self._clear()
            return
        self.show(HEIGHT)
        self._limit(loss_map)
        self._draw_losses(loss_map)
        self._draw_lines(loss_map)
        self._draw_marks()

    def _clear(self) -> None:
        clear(*{cast(Any, each).data_source for each in self.figure.renderers})
        self.say_nothing()

    def _limit(self, loss_map: "LossMap") -> None:
        for axis, axis_range, sizes in (
            (self.below, self.x, loss_map.params),
            (self.left, self.y, loss_map.tokens),
        ):
            low, high = float(sizes[0]), float(sizes[-1])
            limit(axis_range, low, high)
            write_ticks(axis, ticks(low, high))

    def _draw_losses(self, loss_map: "LossMap") -> None:
        field = loss_map.loss
        known = field[np.isfinite(field)]
        levels = round_losses(float(known.min()), float(known.max())) if known.size else []
        # In logarithms, so that the bands between points of the grid are straight on the page.
        x, y = np.log(loss_map.params), np.log(loss_map.tokens)
        if len(levels) < 2:
            clear(self.fills, self.lines, self.losses)
            return
        edges = [float(known.min()) - 1e-9, *levels, float(known.max()) + 1e-9]
        fills = contour_data(x, y, field, edges, want_line=False).fill_data
        assert fills is not None
        lines = contour_data(x, y, field, levels, want_fill=False).line_data
        assert lines is not None
        replace(
            self.fills,
            {
                "xs": [[[np.exp(ring) for ring in shape] for shape in band] for band in fills.xs],
                "ys": [[[np.exp(ring) for ring in shape] for shape in band] for band in fills.ys],
                "color": shades(len(edges) - 1, self.look),
            },
        )
        replace(
            self.lines,
            {
                "xs": [np.exp(line) for line in lines.xs],
                "ys": [np.exp(line) for line in lines.ys],
            },
        )
        points = label_points(loss_map.params, loss_map.tokens, field, levels)
        replace(
            self.losses,
            {
                "x": [point[0] for point in points.values()],
                "y": [point[1] for point in points.values()],
                "text": [f"{level:.8g}" for level in points],
            },
        )

    def _draw_lines(self, loss_map: "LossMap") -> None:
        path, equal = loss_map.path, loss_map.equal_loss
        sizes = zip(path.params, path.tokens, strict=True)
        words = [f"best plan of another target\n{_size(*size)}" for size in sizes]
        replace(self.path, {"x": path.params, "y": path.tokens, "text": words})
        replace(self.equal_loss, {"x": equal.params, "y": equal.tokens})
        costs = loss_map.equal_costs
        replace(
            self.costs,
            {
                "xs": [line.params for _, line in costs],
                "ys": [line.tokens for _, line in costs],
            },
        )
        ends = [(times, *_end(line, loss_map, i)) for i, (times, line) in enumerate(costs)]
        ends = [end for end in ends if np.isfinite(end[1])]
        replace(
            self.cost_names,
            {
                "x": [x for _, x, _ in ends],
                "y": [y for _, _, y in ends],
                "text": [_times(times) for times, _, _ in ends],
            },
        )
        shapes = _band(loss_map.band)
        replace(
            self.band,
            {
                "xs": [x for x, _ in shapes],
                "ys": [y for _, y in shapes],
            },
        )
        box = [] if loss_map.range is None else [loss_map.range]
        replace(
            self.runs,
            {
                "left": [params[0] for params, _ in box],
                "right": [params[1] for params, _ in box],
                "bottom": [tokens[0] for _, tokens in box],
                "top": [tokens[1] for _, tokens in box],
            },
        )

    def _draw_marks(self) -> None:
        answer = self.answer
        assert answer is not None
        for source, name, plan in (
            (self.best, "best plan", answer.optimum),
            (self.chinchilla, "Chinchilla plan", answer.chinchilla),
        ):
            params, tokens = float(plan.params), float(plan.tokens)
            known = np.isfinite(params) and np.isfinite(tokens)
            cost = written_cost(float(plan.total_cost), answer.asked.unit)
            text = f"{name}\n{_size(params, tokens)}\nloss {float(plan.loss):.4g}, cost {cost}"
            replace(
                source,
                {
                    "x": [params] if known else [],
                    "y": [tokens] if known else [],
                    "text": [text] if known else [],
                    "name": [name] if known else [],
                },
            )

    def describe(self) -> str:
        answer = self.answer
        if answer is None:
            return ""
        if self.data is None:
            return "No plan to show on a map of losses."
        best, other = answer.optimum, answer.chinchilla
        unit = answer.asked.unit
        words = (
            f"The best plan has {count(float(best.params))} params and "
            f"{count(float(best.tokens))} tokens and costs "
            f"{written_cost(float(best.total_cost), unit)}."
        )
        if np.isfinite(float(other.params)):
            words += (
                f" The Chinchilla plan of equal loss has {count(float(other.params))} params and "
                f"{count(float(other.tokens))} tokens"
            )
            if np.isfinite(answer.saving):
                words += f"; the best plan costs {beside_chinchilla(answer.saving)}"
            words += "."
        return words

    def table(self) -> tuple[Sequence[str], Iterable[Sequence[Any]]]:
        answer = self.answer
        scale = loss_scale(answer.asked.law, answer.asked.entry) if answer else ""
        header = ("what", "params", "tokens", f"loss ({scale or 'nats per token'})")
        return header, self._rows()

    def _rows(self) -> Iterable[Sequence[Any]]:
        loss_map, answer = self.data, self.answer
        if loss_map is None or answer is None:
            return
        for name, plan in (("best plan", answer.optimum), ("Chinchilla plan", answer.chinchilla)):
            yield name, *(number(float(x)) for x in (plan.params, plan.tokens, plan.loss))
        lines = {"equal loss": loss_map.equal_loss, "path of best plans": loss_map.path}
        lines |= {f"equal cost, {_times(times)}": line for times, line in loss_map.equal_costs}
        if loss_map.band is not None:
            lower, upper = loss_map.band
            lines |= {"path, low end of 95 %": lower, "path, high end of 95 %": upper}
        for name, line in lines.items():
            for params, tokens in zip(line.params, line.tokens, strict=True):
                yield name, number(params), number(tokens), ""
        for tokens, row in zip(loss_map.tokens, loss_map.loss, strict=True):
            for params, loss in zip(loss_map.params, row, strict=True):
                yield "loss", number(params), number(tokens), number(loss)


def shades(bands: int, look: Look) -> list[str]:
    """Colours of bands of rising loss: cividis mixed with the ground."""
    ground = _rgb(look.ground)
    picks = np.linspace(255, 30, bands).astype(int)
    mixed = [
        tuple(SHADE * c + (1 - SHADE) * g for c, g in zip(_rgb(Cividis256[i]), ground, strict=True))
        for i in picks
    ]
    return ["#" + "".join(f"{round(channel):02x}" for channel in color) for color in mixed]


def _rgb(color: str) -> tuple[int, int, int]:
    red, green, blue = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    return red, green, blue


def _size(params: float, tokens: float) -> str:
    return f"{count(params)} params, {count(tokens)} tokens"


def _times(times: float) -> str:
    return f"{short(times)}\N{MULTIPLICATION SIGN}"


def _end(line: "Line", loss_map: "LossMap", nth: int) -> tuple[float, float]:
    """Where the name of a curve of equal cost stands: at its lower end, each higher than the last.

    There curves of equal cost are far apart, and no loss is written.
    """
    low, high = np.log(loss_map.tokens[[0, -1]])
    bottom = np.exp(low + (0.05 + 0.06 * nth) * (high - low))
    seen = (line.tokens >= bottom) & (line.params < 0.9 * loss_map.params[-1])
    if not seen.any():
        return np.nan, np.nan
    lowest = np.nanargmin(np.where(seen, line.tokens, np.nan))
    return float(line.params[lowest]), float(line.tokens[lowest])


def _band(band: "tuple[Line, Line] | None") -> list[tuple[np.ndarray, np.ndarray]]:
    """The outline between two curves, where both are known."""
    if band is None:
        return []
    ends = [[x[np.isfinite(line.params)] for x in line] for line in band]
    if not all(len(params) for params, _ in ends):
        return []
    (low, low_tokens), (high, high_tokens) = ends
    return [(np.append(low, high[::-1]), np.append(low_tokens, high_tokens[::-1]))]
