"""The question on the page: its fields in groups, with what is known of a law and of prices."""

from collections.abc import Callable, Iterable, Mapping
from html import escape
from typing import Any

import panel as pn
import panel_material_ui as pmui

from jaxscale import _schema, hardware
from jaxscale._written import count, nonnegative
from jaxscale.exploring.fields import DEMAND, FIELDS, HARDWARE, LAW, LEVER, Field, Slider, label_of
from jaxscale.exploring.question import Question
from jaxscale.exploring.read_costs import device_of_text
from jaxscale.exploring.theme import STYLES
from jaxscale.exploring.ways import (
    COSTS,
    DEMAND_FIELDS,
    QUALITY_FIELDS,
    Ways,
    fields_of,
    ways_of,
)
from jaxscale.exploring.widgets import FieldView
from jaxscale.laws.protocol import levers_of, loss_scale
from jaxscale.published import Entry

OPEN = ("Quality", LAW, DEMAND, HARDWARE)


class Form:
    """The widgets of the question. `on_text` and `on_ways` are called when a person changes it."""

    def __init__(
        self,
        on_text: Callable[[str, str], None],
        on_ways: Callable[[Ways], None],
        own: Mapping[str, Entry],
    ) -> None:
        self._on_text, self._on_ways, self._own = on_text, on_ways, own
        self._views: dict[str, FieldView] = {}
        self._shown: dict[str, tuple[str, ...]] = {}
        self._is_shown = False
        self.quality = _buttons("Target given as", tuple(QUALITY_FIELDS), self._chosen)
        self.demand = _buttons("Demand given as", tuple(DEMAND_FIELDS), self._chosen)
        self.costs = _buttons("Costs in", COSTS, self._chosen)
        self.mistakes = pmui.Alert(
            severity="error", title="", object="", visible=False, margin=(8, 0)
        )
        self.law_facts = _text()
        self.prices = _text()
        names = ("Quality", LAW, DEMAND, HARDWARE, "Serving", "Bounds")
        self._groups = {name: pn.Column(sizing_mode="stretch_width", margin=0) for name in names}
        self._accordion = pmui.Accordion(
            *((name, group) for name, group in self._groups.items()),
            active=[names.index(name) for name in OPEN],
            title_variant="h6",
            disable_gutters=True,
            elevation=0,
            square=True,
            sizing_mode="stretch_width",
            margin=0,
            sx={"& .title": {"fontSize": "15px", "fontWeight": 500}},
        )
        self.view = pn.Column(
            self.mistakes, self._accordion, sizing_mode="stretch_width", margin=(0, 4)
        )

    def show(
        self, question: Question, entry: Entry | None, mistakes: Mapping[str, str] = {}
    ) -> None:
        """Show a question, the law that answers it, and what is wrong by field."""
        ways = ways_of(question)
        levers = levers_of(entry.law) if entry is not None else {}
        self._is_shown = True
        try:
            for widget, way in zip((self.quality, self.demand, self.costs), ways, strict=True):
                if widget.value != way:
                    widget.value = way
        finally:
            self._is_shown = False
        shown = fields_of(ways, tuple(levers))
        for names in shown.values():
            for name in names:
                view, text = self._view(name, levers), question.texts.get(name, "")
                view.show(text, mistakes.get(name, ""), text or default_of(name, question))
        if entry is not None and "loss" in shown["Quality"] and "loss" not in mistakes:
            self._views["loss"].say(loss_scale(entry.law, entry))
        self._arrange(shown)
        # What is wrong with a field is said beside it, where it must be seen.
        self._open(name for name, names in shown.items() if not mistakes.keys().isdisjoint(names))
        self._say(mistakes, {name for names in shown.values() for name in names})
        law, prices = facts_of(entry), prices_of(question)
        if self.law_facts.object != law:
            self.law_facts.object = law
        if self.prices.object != prices:
            self.prices.object = prices

    def _arrange(self, shown: dict[str, tuple[str, ...]]) -> None:
        before: dict[str, list[Any]] = {
            "Quality": [self.quality],
            DEMAND: [self.demand],
            HARDWARE: [self.costs],
        }
        after: dict[str, list[Any]] = {LAW: [self.law_facts], HARDWARE: [self.prices]}
        for name, group in self._groups.items():
            if self._shown.get(name) == shown[name]:
                continue
            fields = [self._views[x].view for x in shown[name]]
            empty = [] if fields or name != "Serving" else [_serving_hint()]
            group.objects = [*before.get(name, []), *fields, *empty, *after.get(name, [])]
        if shown["Serving"] and not self._shown.get("Serving"):
            self._open(["Serving"])
        self._shown = shown

    def _open(self, names: Iterable[str]) -> None:
        """Unfold groups, and leave the others as they are."""
        active = [*self._accordion.active, *(list(self._groups).index(name) for name in names)]
        if len(set(active)) > len(self._accordion.active):
            self._accordion.active = [*dict.fromkeys(active)]

    def _view(self, name: str, levers: Mapping[str, tuple[float, float]]) -> FieldView:
        if name not in self._views:
            field = FIELDS[name] if name in FIELDS else _lever_field(name, levers)
            if name == "law" and self._own:
                listed = (*self._own, *(field.choices or tuple)())
                field = field._replace(choices=lambda: listed)
            self._views[name] = FieldView(field, self._on_text)
        return self._views[name]

    def _say(self, mistakes: Mapping[str, str], shown: set[str]) -> None:
        """Say beside no field what has none on the page."""
        texts = [
            text if name not in FIELDS else f"{FIELDS[name].label}: {text}"
            for name, text in mistakes.items()
            if name not in shown
        ]
        text = escape("; ".join(x[:1].upper() + x[1:] for x in texts))
        if self.mistakes.object != text:
            self.mistakes.param.update(object=text, visible=bool(text))

    def _chosen(self, _: Any) -> None:
        if not self._is_shown:
            self._on_ways(Ways(self.quality.value, self.demand.value, self.costs.value))


def facts_of(entry: Entry | None) -> str:
    """What to know of a law: its source, data, runs and faults, as HTML."""
    if entry is None:
        return ""
    facts = entry.facts()
    lines = [entry.warning] if entry.warning else []
    by_name = dict(facts)
    lines.append(f"Source: {by_name.get('source', '')}")
    lines.append(f"Data: {by_name.get('data', 'not stated')}")
    lines.append(
        f"Runs: {by_name.get('params', 'not stated')} params, "
        f"{by_name.get('tokens', 'not stated')} tokens"
    )
    notes = [text for name, text in facts if name == "note"]
    html = "".join(f"<p>{escape(line)}</p>" for line in lines)
    if notes:
        listed = "".join(f"<p>{escape(note)}</p>" for note in notes)
        html += f"<details><summary>Limits of this law ({len(notes)})</summary>{listed}</details>"
    return f"<div class='aside'>{html}</div>"


def prices_of(question: Question) -> str:
    """The published quotes of the devices, each with its date and source, as HTML."""
    lines = []
    for name in dict.fromkeys(question.texts.get(f"{role}_on", "") for role in _schema.ROLES):
        try:
            device = device_of_text(name)
        except ValueError:
            continue
        lines.append(f"Quotes of {device.name} an hour: {_schema.quotes_of(device)}.")
    return "<div class='aside'>" + "".join(f"<p>{escape(x)}</p>" for x in lines) + "</div>"


def default_of(name: str, question: Question) -> str:
    """What holds where a field is empty, as a text that it reads; empty where nothing does."""
    role, _, what = name.partition("_")
    if what != "price":
        return FIELDS[name].default if name in FIELDS else ""
    try:
        price: Any = hardware.accelerator(question.texts.get(f"{role}_on", "")).price
    except ValueError:
        return ""
    return "" if price is None else str(float(price))


def _lever_field(name: str, levers: Mapping[str, tuple[float, float]]) -> Field:
    lever = name.removeprefix(LEVER)
    low, high = levers[lever]
    is_log = low > 0 and high / low > 20
    return Field(
        name,
        label_of(name),
        LAW,
        nonnegative,
        f"from {count(low)} to {count(high)}",
        slider=Slider(low, high, is_log),
    )


def _serving_hint() -> Any:
    return pn.pane.HTML(
        "<div class='aside'><p>Choose “Timed serving” above to price each token by the "
        "time that devices take for it, within limits on latency.</p></div>",
        stylesheets=[STYLES],
        sizing_mode="stretch_width",
        margin=0,
    )


def _buttons(label: str, options: tuple[str, ...], on_choice: Callable[[Any], None]) -> Any:
    widget = pmui.RadioButtonGroup(
        label=label,
        options=list(options),
        value=options[0],
        size="small",
        color="primary",
        sizing_mode="stretch_width",
        margin=(0, 0, 4, 0),
        sx={"& .MuiToggleButton-root": {"textTransform": "none", "padding": "4px 8px"}},
    )
    widget.param.watch(on_choice, "value")
    return widget


def _text() -> Any:
    return pn.pane.HTML("", stylesheets=[STYLES], sizing_mode="stretch_width", margin=(4, 0, 0, 0))
