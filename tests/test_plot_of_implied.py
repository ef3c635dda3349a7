"""The picture of released models: a number for each, and a cross where none explains the size."""

import numpy as np
import pytest

pytest.importorskip("matplotlib")

import jaxscale as js
from jaxscale.plots import implied_demand


@pytest.fixture(scope="module")
def explained():
    return js.economics.implied_by_releases(js.laws.published("besiroglu2024"))


def points(panel, label):
    (line,) = (line for line in panel.lines if line.get_label() == label)
    return np.array(line.get_data())


def test_every_model_has_its_numbers_in_its_row(explained):
    (panel,) = implied_demand(explained, title="a title").axes
    titles = [text.get_text() for text in panel.get_yticklabels()]
    models = {entry.release.title: i for i, entry in enumerate(explained.releases)}
    assert sorted(titles) == sorted(models)
    demand, rows = points(panel, "demand that explains the size")
    for x, row in zip(demand, rows, strict=True):
        assert x == explained.implied.tokens[models[titles[int(row)]]]
    _, crossed = points(panel, "too large for any demand")
    too_large = {titles[int(row)] for row in crossed}
    assert too_large == {
        each.release.title
        for each, over_sized in zip(explained.releases, explained.implied.over_sized, strict=True)
        if over_sized
    }
    assert panel.get_xscale() == "log"


def test_words_lie_inside_the_panel_and_the_oldest_model_is_on_top(explained):
    figure = explained.plot()
    figure.draw_without_rendering()
    (panel,) = figure.axes
    box = panel.get_window_extent()
    for text in panel.texts:
        inside = text.get_window_extent()
        assert box.x0 <= inside.x0
        assert inside.x1 <= box.x1
    assert panel.get_ylim()[0] > panel.get_ylim()[1]


def test_models_of_which_none_is_explained_are_drawn(explained):
    law, old = js.laws.published("besiroglu2024"), js.economics.release("gopher-280b")
    only = js.economics.implied_by_releases(law, models=(old,))
    figure = implied_demand(only)
    figure.draw_without_rendering()
    (legend,) = figure.legends
    assert [x.get_text() for x in legend.texts] == ["training tokens", "too large for any demand"]


def test_a_model_that_comes_twice_has_a_number_each_time():
    law, model = js.laws.published("kumar2024"), js.economics.release("llama-3-8b")
    levers = {"bits": np.array([16.0, 4.0])}
    twice = js.economics.implied_by_releases(law, levers=levers, models=(model, model))
    (panel,) = implied_demand(twice).axes
    demand, _ = points(panel, "demand that explains the size")
    assert demand.tolist() == twice.implied.tokens.tolist()
    assert demand[0] != demand[1]


def test_what_is_no_table_is_refused():
    with pytest.raises(TypeError, match="explained must come from js"):
        implied_demand(3)
