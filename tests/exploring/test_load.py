"""Some pages at once: each gets the answers to its own questions."""

import asyncio

import pytest

pytest.importorskip("panel_material_ui")

from exploring.load import has_answer, load, opened
from exploring.running import served
from jaxscale.exploring import FIRST, page
from jaxscale.exploring.laws_compared import Compared


def test_pages_that_are_used_at_once_get_their_own_answers(monkeypatch):
    for picture in ("loss_map", "demand_curve"):  # which take a minute to compile
        monkeypatch.setattr(page, picture, lambda _: None)
    monkeypatch.setattr(page, "effects", lambda _: ())
    monkeypatch.setattr(page, "compared", lambda *_, **__: Compared([]))

    async def used(url):
        return await load(await opened(url, 3), 2, pause=(0, 0))

    with served(lambda: page.session(FIRST, {})) as url:
        found = asyncio.run(used(url))
    assert found.errors == []
    assert len(found.moves) == 6
    assert len({move.question.command() for move in found.moves}) == 6
    assert all(map(has_answer, found.moves))
