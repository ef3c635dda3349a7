"""Accelerators side by side: each row is what `best` finds for its device, or why it has none."""

import numpy as np
import pytest

import jaxscale as js
from jaxscale.serving import compare
from jaxscale.serving.comparison import priced

SHAPE = js.architectures.published("llama-3-8b")
REQUESTS = js.serving.Requests(1024, 256)
LIMITS = js.serving.Limits(token_seconds=0.2)


def test_each_row_is_the_best_of_its_device_and_the_cheapest_comes_first():
    names = ("A10G", "L4", "H100-SXM", "L40S")
    compared = compare(SHAPE, REQUESTS, LIMITS, devices=names, prices={"a10g": 0.8})
    costs = [float(row.service.dollars_per_request) for row in compared.rows]
    assert costs == sorted(costs)
    row = next(row for row in compared.rows if row.name == "H100-SXM")
    assert row.price == min(each.dollars_per_hour for each in js.accelerator("H100-SXM").quotes)
    assert row.quote.dollars_per_hour == row.price
    best = js.serving.best(SHAPE, js.accelerator("H100-SXM", price=row.price), REQUESTS, LIMITS)
    assert js.serving.name_of(row.deployment) == js.serving.name_of(best.deployment)
    for name in ("batch", "dollars_per_request", "first_token_seconds"):
        # float32: of the order of its rounding, times the sums
        assert float(getattr(row.service, name)) == pytest.approx(
            float(getattr(best.service, name)), rel=2e-5
        )
    assert next(row for row in compared.rows if row.name == "A10G").quote is None


def test_those_that_cannot_say_why_in_a_word_and_a_sentence():
    large = js.architectures.published("llama-3-70b")
    names = ("A10G", "V100", "MI250X", "H200")
    compared = compare(large, REQUESTS, LIMITS, devices=names, prices={"V100": 1.0, "A10G": 1.0})
    assert [(row.name, row.reason) for row in compared.rows] == [
        ("H200", ""),
        ("A10G", "memory"),
        ("V100", "precision"),
        ("MI250X", "price"),
    ]
    assert compared.rows[1].sentence.endswith("no source gives the link between several.")
    frame = compared.to_dataframe()
    assert frame["reason"].tolist() == ["", "memory", "precision", "price"]
    assert np.isnan(frame["dollars_per_request"]).tolist() == [False, True, True, True]
    limits = js.serving.Limits(token_seconds=1e-4)
    (row,) = compare(large, REQUESTS, limits, devices=["H200"]).rows
    assert row.reason == "time"
    (row,) = compare(large, REQUESTS, devices=["A10G"], prices={"A10G": 1.0}, counts=[8]).rows
    assert row.reason == "link"


def test_the_catalogue_is_compared_where_it_has_prices():
    compared = compare(SHAPE, REQUESTS, prices={"MI300X": 2.5})
    priced_names = {each.name for each in js.hardware.catalog() if each.quotes}
    assert {row.name for row in compared.rows} == priced_names | {"MI300X"}
    assert len(repr(compared).splitlines()) == 3 + len(compared)


@pytest.mark.parametrize(
    ("changes", "answer"),
    [
        ({"prices": {"MI300X": 0.0}}, "the price of MI300X must be above 0"),
        ({"prices": {"L4": 1.0}, "devices": ["L40S"]}, "unknown device in prices 'L4'"),
        ({"prices": {"L5": 1.0}}, "unknown accelerator 'L5'"),
        ({"requests": js.serving.Requests(np.array([1.0, 2.0]), 5.0)}, "requests must be single"),
    ],
)
def test_bad_arguments_are_named(changes, answer):
    with pytest.raises(ValueError, match=answer):
        compare(**{"architecture": SHAPE, "requests": REQUESTS, **changes})


def test_a_price_is_that_given_then_the_devices_own_then_its_lowest_quote():
    device = js.accelerator("A100-80GB")
    lowest = min(device.quotes, key=lambda each: each.dollars_per_hour)
    assert priced(device, 3.0)[0].price == 3.0
    assert priced(device)[0].price == lowest.dollars_per_hour
    assert priced(device)[1] == lowest
    assert priced(js.accelerator("A100-80GB", price=7.0)) == (
        js.accelerator("A100-80GB", price=7.0),
        None,
    )


def test_room_for_more_than_the_models_context_is_too_long():
    device = js.accelerator("H100-SXM", price=2.0)
    deployment = js.serving.Deployment(device)
    for kept, status in ((8192, js.Status.OK), (8193, js.Status.CONTEXT_TOO_LONG)):
        requests = js.serving.Requests(1024, 256, kept=kept)
        assert int(js.serving.serve(SHAPE, deployment, requests).status) == status
