"""The page without a browser: its fields and the ways to ask."""

import pytest

from jaxscale.exploring import FIRST, Mistakes, Question, read
from jaxscale.exploring.fields import FIELDS
from jaxscale.exploring.ways import (
    COSTS,
    DEMAND_FIELDS,
    FLOPS,
    QUALITY_FIELDS,
    Ways,
    asked_by,
    fields_of,
    ways_of,
)

pytest.importorskip("panel_material_ui")


@pytest.mark.parametrize("costs", COSTS)
@pytest.mark.parametrize("demand", DEMAND_FIELDS)
@pytest.mark.parametrize("quality", QUALITY_FIELDS)
def test_every_way_to_ask_begins_with_a_question_that_has_an_answer(quality, demand, costs):
    ways = Ways(quality, demand, costs)
    question = asked_by(FIRST, ways, dict(FIRST.texts))
    assert ways_of(question) == ways
    shown = {name for names in fields_of(ways).values() for name in names}
    assert set(question.texts) <= shown
    assert read(question).unit == ("FLOPs" if costs == FLOPS else "dollars")
    back = asked_by(question, ways_of(FIRST), dict(FIRST.texts))
    assert back == FIRST


def test_a_slider_writes_what_its_field_reads():
    from jaxscale.exploring.widgets import text_at

    texts = {"like_params": (10.619, "41.6B"), "train_mfu": (-0.398, "40%"), "loss": (2.1, "2.1")}
    for name, (position, text) in texts.items():
        field = FIELDS[name]
        written = text_at(field, position)
        assert written == text
        number = field.read(written)
        position = 10**position if field.slider.is_log else position
        assert number == pytest.approx(position, rel=5e-3)


def test_a_mistake_is_said_beside_its_field_and_goes_when_it_is_put_right():
    from jaxscale.exploring.page import Explorer

    page = Explorer(FIRST, {})
    view = page._form._views["train_price"]
    wrong = FIRST.with_texts({"train_price": "banana"})
    with pytest.raises(Mistakes) as mistakes:
        read(wrong)
    page._form.show(wrong, None, mistakes.value.by_field)
    assert view.input.error_state
    assert "banana" in view.input.helper_text
    page._form.show(FIRST, None)
    assert not view.input.error_state
    assert view.input.value == "2"


def test_the_levers_of_a_law_become_fields():
    from jaxscale.exploring.page import Explorer

    page = Explorer(Question({"law": "kumar2024", "lever.bits": "8", "loss": "3"}), {})
    assert page._form._views["lever.bits"].input.value == "8"
