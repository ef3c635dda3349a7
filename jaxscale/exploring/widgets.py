"""A field on the page: a text, its slider, and what is wrong with it, said beside it."""

import math
from collections.abc import Callable
from typing import Any

import panel as pn
import panel_material_ui as pmui

from jaxscale._written import count, share
from jaxscale.exploring.fields import Field
from jaxscale.exploring.question import LONGEST

SOON = 5  # ms; Panel waits ten times as long for further changes before it speaks of one
STEPS = 1000  # of a slider


class FieldView:
    """The widgets of a field. `on_text(name, text)` is called when a person changes it."""

    def __init__(self, field: Field, on_text: Callable[[str, str], None]) -> None:
        self.field = field
        self._on_text = on_text
        self._is_shown = False  # while the page itself changes the widgets
        self._choices = [] if field.choices is None else list(field.choices())
        self.input = _input_of(field)
        self.input.param.watch(self._typed, "value")
        self.slider = None if field.slider is None else _slider_of(field)
        if self.slider is not None:
            self.slider.param.watch(self._slid, "value")
        parts = [self.input] if self.slider is None else [self.input, self.slider]
        self.view = pn.Column(*parts, sizing_mode="stretch_width", margin=0)

    def say(self, unit: str) -> None:
        """Say this unit under the field, in place of its own where there is one."""
        _change(self.input, {"helper_text": unit or _unit(self.field)})

    def show(self, text: str, mistake: str = "", holds: str = "") -> None:
        """Show a text, and what is wrong with it; the slider shows what holds."""
        helper = _sentence(mistake) if mistake else _unit(self.field)
        self._is_shown = True
        try:
            changes = {"error_state": bool(mistake), "helper_text": helper}
            if (self.input.value or "") != text:
                changes["value"] = text
            if self._choices:
                # The library empties a field of a text that it does not offer.
                changes["options"] = [*[text] * (text not in ("", *self._choices)), *self._choices]
            _change(self.input, changes)
            number = _number(self.field, holds)
            if self.slider is not None and number is not None:
                position = min(
                    max(_position(self.field, number), self.slider.start), self.slider.end
                )
                _change(self.slider, {"value": position, "value_label": holds})
        finally:
            self._is_shown = False

    def _typed(self, event: Any) -> None:
        if not self._is_shown:
            self._on_text(self.field.name, (event.new or "")[:LONGEST])

    def _slid(self, event: Any) -> None:
        if not self._is_shown:
            self._on_text(self.field.name, text_at(self.field, event.new))


def text_at(field: Field, position: float) -> str:
    """The text of a slider's position: three digits, as people write them."""
    assert field.slider is not None
    value = 10.0**position if field.slider.is_log else position
    if field.read is share:
        return f"{100 * value:.3g}%"
    if not field.slider.is_log:
        return f"{value:.4g}"
    return count(value) if value >= 1000 else f"{value:.3g}"


def _position(field: Field, number: float) -> float:
    is_log = field.slider is not None and field.slider.is_log
    return math.log10(number) if is_log else number


def _number(field: Field, text: str) -> float | None:
    """The number of a text that a slider can show."""
    if field.slider is None:
        return None
    try:
        number = float(field.read(text))
    except (TypeError, ValueError):
        return None
    return number if number > 0 else None


def _input_of(field: Field) -> Any:
    options = {
        "label": field.label,
        "placeholder": field.default or (f"such as {field.example}" if field.example else ""),
        "size": "small",
        "sizing_mode": "stretch_width",
        "margin": (14, 0, 0, 0),
    }
    if field.choices is None:
        return pmui.TextInput(max_length=LONGEST, helper_text=_unit(field), **options)
    return pmui.AutocompleteInput(
        options=list(field.choices()),
        restrict=False,
        min_characters=0,
        case_sensitive=False,
        search_strategy="includes",
        **options,
    )


def _unit(field: Field) -> str:
    """The unit under the field, where its label does not say it."""
    return "" if field.unit.lower() in field.label.lower() else field.unit


def _slider_of(field: Field) -> Any:
    assert field.slider is not None
    low, high = (_position(field, x) for x in (field.slider.low, field.slider.high))
    slider = pmui.FloatSlider(
        label=f"{field.label}, slider",
        start=low,
        end=high,
        step=(high - low) / STEPS,
        value=low,
        show_value=False,
        size="small",
        sizing_mode="stretch_width",
        margin=(0, 0, 2, 0),
        sx={"& .MuiFormLabel-root": {"display": "none"}},
    )
    vars(slider)["_debounce"] = SOON  # which has no public name
    return slider


def _change(widget: Any, values: dict[str, Any]) -> None:
    """Set what differs, so that nothing is sent that the page has already."""
    differing = {name: x for name, x in values.items() if getattr(widget, name) != x}
    if differing:
        widget.param.update(**differing)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
