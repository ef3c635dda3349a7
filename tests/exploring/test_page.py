"""The page without a browser: its fields and the ways to ask."""

import asyncio
import builtins
import gc
import weakref
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest

import jaxscale
from jaxscale import hardware, laws
from jaxscale.exploring import FIRST, Mistakes, Question, read
from jaxscale.exploring.answering import answer_at_once
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
from jaxscale.published import Entry

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


def test_no_text_of_a_question_opens_a_file(tmp_path):
    from jaxscale.exploring.form import prices_of

    file = tmp_path / "devices.toml"
    file.write_text(Path(jaxscale.published.__path__[0], "accelerators.toml").read_text())
    for text in (str(file), f"{file}:L4", f" {file} "):
        assert "Quotes" not in prices_of(FIRST.with_texts({"train_on": text, "serve_on": text}))
    with pytest.raises(Mistakes, match="name of an accelerator"):
        read(FIRST.with_texts({"train_on": str(file)}))


def test_a_fault_is_said_and_the_next_question_is_answered(monkeypatch, caplog):
    from jaxscale.exploring import page

    explorer = page.Explorer(FIRST, {})
    monkeypatch.setattr(page, "knows", lambda key: False)  # whatever tests have compiled before
    monkeypatch.setattr(page, "answer_at_once", lambda asked: 1 / 0)
    asyncio.run(explorer._work())
    assert "division by zero" in caplog.text
    assert FIRST.command() in caplog.text
    assert explorer._status.severity == "error"
    explorer.question = FIRST.with_texts({"like_params": "banana"})
    asyncio.run(explorer._work())
    assert explorer._status.object.endswith("wrong beside Params of a model to match.")


def test_a_mistake_without_a_field_is_said_where_the_answer_would_be():
    from jaxscale.exploring.page import Explorer

    explorer = Explorer(FIRST.with_texts({"loss": "2"}), {})
    asyncio.run(explorer._work())
    assert explorer._status.object.startswith("Not answered: give one quality or budget")


def test_the_address_follows_before_the_pictures(monkeypatch):
    from jaxscale.exploring import page

    explorer = page.Explorer(FIRST, {})
    explorer.follow(location := SimpleNamespace(search=""))
    monkeypatch.setattr(page, "CALM", 0)
    asyncio.run(explorer._settle())
    assert Question.of_query(location.search) == FIRST


def test_a_notebook_gets_the_scripts_once_and_from_no_other_host(monkeypatch):
    class Extension:
        _loaded, asked = False, []

        def __call__(self, **options):
            self._loaded = True
            self.asked.append(options)

    import panel

    monkeypatch.setattr(panel, "extension", extension := Extension())
    jaxscale.explore(loss="2", inference_tokens="1T")
    assert extension.asked == []
    monkeypatch.setattr(builtins, "__IPYTHON__", True, raising=False)
    for _ in range(2):
        jaxscale.explore(loss="2", inference_tokens="1T")
    assert extension.asked == [{"inline": True}]


def test_what_takes_its_time_fades_what_is_of_another_question():
    from jaxscale.exploring.page import Explorer

    page = Explorer(FIRST, {})
    page._show(answer_at_once(read(FIRST)))
    page._mark_old(FIRST)
    assert page._plans.styles.get("opacity", "1") == "1"
    assert page._laws._figure.styles["opacity"] != "1"  # its picture has not come
    page._mark_old(FIRST.with_texts({"train_price": "3"}))
    assert page._plans.styles["opacity"] != "1"
    assert page._status.object == "Computing."


def test_a_page_at_rest_has_the_intervals_of_all_resamples(monkeypatch):
    from jaxscale.exploring import page

    question = FIRST.with_texts({"law": "ours"})
    entry = laws.entry("besiroglu2024")
    draws = jax.tree.map(lambda x: np.linspace(0.99, 1.01, 250) * float(x), entry.law)
    own = {"ours": Entry("ours", entry.law, dataset="runs", draws=draws)}
    monkeypatch.setattr(page, "REST", 0)
    explorer = page.Explorer(question, own)
    whole = asyncio.run(explorer._of_all_resamples(question, read(question, own)))
    assert len(whole.resampled.status) == 250
    # The pictures are of the same question, and do not fade while laws wait for the compiler.
    explorer._laws.picture.answer = answer_at_once(read(question, own))
    explorer._show(whole)
    explorer._mark_old(question)
    assert explorer._laws._figure.styles.get("opacity", "1") == "1"


@pytest.mark.parametrize("law", ["E=1.7,A=406,B=411,alpha=0.34,beta=0.28", "no such law"])
def test_a_law_that_is_not_in_the_list_stays_in_the_question(law):
    from jaxscale.exploring.page import Explorer

    question = Question({"law": law, "loss": "2", "inference_tokens": "1T"})
    page = Explorer(question, {})
    page._form.view.get_root()  # as a browser asks for it
    assert page.question == question


def test_an_empty_price_stands_on_its_slider_at_the_quote():
    from jaxscale.exploring.form import default_of

    quoted = hardware.accelerator("H100-SXM").price
    assert quoted is None  # two quotes: none of them holds by itself
    assert default_of("serve_price", Question({"serve_on": "H100-SXM"})) == ""
    one = next(x for x in hardware.catalog() if hardware.accelerator(x.name).price is not None)
    price = hardware.accelerator(one.name).price
    assert float(default_of("serve_price", Question({"serve_on": one.name}))) == price


def test_a_group_unfolds_for_a_mistake_in_it_and_for_timed_serving():
    from jaxscale.exploring.page import Explorer

    form = Explorer(FIRST, {})._form
    names = list(form._groups)

    def unfolded():
        return {names[i] for i in form._accordion.active}

    assert not unfolded() & {"Serving", "Bounds"}
    form.show(FIRST.with_texts({"max_params": "x"}), None, {"max_params": "not a number"})
    assert "Bounds" in unfolded()
    form.show(FIRST.with_texts({"max_latency": "50ms"}), None)
    assert "Serving" in unfolded()


def test_nothing_holds_a_page_that_is_closed():
    from jaxscale.exploring.page import Explorer

    page = weakref.ref(Explorer(FIRST, {}).page())
    gc.collect()
    assert page() is None
