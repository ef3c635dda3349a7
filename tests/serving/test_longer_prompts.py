"""A longer prompt: the loss that it saves, and what it adds to the price."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import jaxscale as js
from jaxscale import Status
from serving import by_hand
from solve.lanes import X64

LAW = js.laws.ContextLength(alpha=20.0, beta=0.5, gamma=1.5)
FAMILY = replace(js.architectures.LLAMA, context=65536.0)
ALONE = js.serving.Deployment(js.accelerator("H100-SXM", price=2.0))
DIGITS = 1e-8 if X64 else 1e-3


def test_it_is_worth_what_it_gains_by_hand_and_costs_by_hand():
    params, prompt = np.float64(7e9), np.array([1024.0, 4096.0, 16384.0])
    model, a = FAMILY.architecture(params), by_hand.shape_of(FAMILY, params)
    requests = js.serving.Requests(prompt, 512.0)
    longer = js.serving.longer_prompt(LAW, model, ALONE, requests, batch=2.0, times=2.0)
    gain = (20 / prompt) ** 0.5 - (20 / (2 * prompt)) ** 0.5
    assert_allclose(longer.loss, 1.5 + (20 / prompt) ** 0.5, rtol=DIGITS)
    assert_allclose(longer.gain, gain, rtol=DIGITS * 100)
    r, spent = by_hand.rates_of(ALONE.accelerator, 1), []
    for length in (prompt, 2 * prompt):
        read, written = by_hand.price(a, r, length, 512.0, 2.0)
        spent.append(read * length / 512 + written)  # dollars for a token written
    added = 1e6 * (spent[1] - spent[0])
    assert_allclose(longer.dollars, added, rtol=DIGITS)
    assert_allclose(longer.dollars_per_nat, added / gain, rtol=DIGITS * 100)
    assert (np.diff(longer.dollars_per_nat) > 0).all()  # each doubling is worth less


def test_what_has_no_answer_has_a_status():
    model = FAMILY.architecture(7e9)
    prompt = np.array([4096.0, 40000.0, 70000.0, -1.0, 4096.0])
    law = replace(LAW, beta=np.array([0.5, 0.5, 0.5, 0.5, -1.0]))
    longer = js.serving.longer_prompt(law, model, ALONE, js.serving.Requests(prompt, 512))
    names = ["OK", *["CONTEXT_TOO_LONG"] * 2, *["INVALID_INPUT"] * 2]
    assert [Status(int(x)).name for x in longer.status] == names
    for number in (longer.loss, longer.gain, longer.dollars, longer.dollars_per_nat):
        assert_array_equal(np.isnan(number), ~longer.ok)


def test_what_is_wrong_by_structure_is_refused():
    model = FAMILY.architecture(7e9)
    with pytest.raises(TypeError, match="law must be a ContextLength"):
        js.serving.longer_prompt(3.0, model, ALONE, js.serving.Requests(4096, 512))
    with pytest.raises(TypeError, match=r"requests must be js\.serving\.Requests"):
        js.serving.longer_prompt(LAW, model, ALONE, 512)
    log = js.serving.Requests.from_lengths([100, 2000], [400, 20])
    with pytest.raises(ValueError, match="requests must be all alike: leave out prompt_context"):
        js.serving.longer_prompt(LAW, model, ALONE, log)
