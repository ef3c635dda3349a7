"""The picture of speed against price: every point of a front, in its deployment's colour."""

from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("matplotlib")

import jaxscale as js
from jaxscale.plots import serving_front, serving_prices


@pytest.fixture(scope="module")
def front():
    device = js.accelerator("H100-SXM", price=2.0)
    shape = js.architectures.published("llama-3-8b")
    return js.serving.front(shape, device, js.serving.Requests(1155, 211))


def test_each_deployment_has_its_points_and_its_name_in_the_legend(front):
    figure = serving_front(front)
    marked = [line for line in figure.axes[0].lines if line.get_marker() != "None"]
    names = [js.serving.name_of(front.options[i]) for i in dict.fromkeys(front.choice.tolist())]
    assert [line.get_label() for line in marked] == names[::-1]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == names[::-1]
    drawn = np.concatenate([np.array(line.get_data()).T for line in marked])
    points = np.stack(
        [front.tokens_per_second_per_user, front.dollars_per_million_output_tokens], axis=1
    )
    assert sorted(map(tuple, drawn)) == sorted(map(tuple, points))


def test_both_axes_are_logarithmic_and_hold_all_points_and_words(front):
    figure = serving_front(front, title="a title", subtitle="a subtitle")
    figure.draw_without_rendering()
    (panel,) = figure.axes
    assert (panel.get_xscale(), panel.get_yscale()) == ("log", "log")
    assert figure.get_suptitle() == "a title"
    box = panel.get_window_extent()
    for text in panel.texts:
        inside = text.get_window_extent()
        assert box.x0 <= inside.x0
        assert inside.x1 <= box.x1
        assert box.y0 <= inside.y0
        assert inside.y1 <= box.y1


def test_a_front_without_points_is_refused_with_its_reason():
    device = js.accelerator("L4", price=0.5)
    shape = js.architectures.published("llama-3-70b")
    empty = js.serving.front(shape, device, js.serving.Requests(1155, 211), counts=[1])
    with pytest.raises(ValueError, match="no points: Weights and cache do not"):
        serving_front(empty)
    with pytest.raises(TypeError, match=r"must come from js\.serving\.front"):
        serving_front(None)


def plans(params, costs):
    return SimpleNamespace(params=np.array(params), total_cost=np.array(costs))


def test_both_ways_of_pricing_are_drawn_and_what_the_first_costs_more():
    tokens = np.array([1e10, 1e11, 1e12])
    assumed, served = (
        plans([7e9, 5e9, 3e9], [2e4, 4e4, 9e4]),
        plans([8e9, 7e9, 4e9], [2e4, 2e4, 4e4]),
    )
    repriced = plans(assumed.params, [2e4, 2.1e4, np.nan])
    figure = serving_prices(tokens, assumed, served, repriced, subtitle="a subtitle")
    figure.draw_without_rendering()
    sizes, prices, excess = figure.axes
    for panel, name in ((sizes, "params"), (prices, "total_cost")):
        for line, plan in zip(panel.lines, (assumed, served), strict=True):
            np.testing.assert_array_equal(line.get_ydata(), getattr(plan, name))
            np.testing.assert_array_equal(line.get_xdata(), tokens)
    np.testing.assert_allclose(excess.lines[-1].get_ydata(), [0, 5, np.nan], atol=1e-12)
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["utilisation assumed", "priced by size"]


def test_plans_of_another_shape_than_their_tokens_are_refused():
    one = plans([7e9], [2e4])
    with pytest.raises(ValueError, match=r"assumed must have one plan for each of tokens"):
        serving_prices([1e10, 1e11], one, one, one)
