"""Some pages at once: each gets the answers to its own questions."""

import asyncio
import html

import pytest

pytest.importorskip("panel_material_ui")

from exploring.load import load, question_of
from exploring.running import served
from jaxscale.exploring import FIRST, answer, page, read
from jaxscale.exploring.report import table_of


def test_pages_that_are_used_at_once_get_their_own_answers(monkeypatch):
    for picture in ("loss_map", "demand_curve"):  # which take a minute to compile
        monkeypatch.setattr(page, picture, lambda _: None)
    monkeypatch.setattr(page, "effects", lambda _: ())
    monkeypatch.setattr(page, "laws_alike", lambda *_: ([], []))
    with served(lambda: page.session(FIRST, {})) as url:
        found = asyncio.run(load(url, 5, 3))
    assert found.errors == []
    assert len(found.moves) >= 5
    for move in found.moves:
        table = table_of(answer(read(question_of(move.command))))
        assert table in html.unescape(move.text) or html.escape(table) in move.text
