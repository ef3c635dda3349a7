"""What matters: derivatives against answers to questions whose texts were changed."""

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from jax import tree_util

from jaxscale.exploring import FIRST, Answer, Question, answer, read
from jaxscale.exploring.effects import MORE, Effect, effects
from jaxscale.exploring.fields import FIELDS
from jaxscale.published import Entry

STEP = 1e-4
# Of central differences, whose third derivatives the exponents of a law make large.
TOLERANCE = 2e-5
QUESTIONS: Mapping[str, Question] = {
    "a model to match on hardware": FIRST,
    "a loss in FLOPs": Question(
        {"loss": "2.0", "requests": "1e9", "input_per_request": "700", "output_per_request": "300"}
    ),
    "a budget": FIRST.with_texts({"like_params": "", "budget": "5M$"}),
}


def _numbers(found: Answer) -> np.ndarray:
    plan = found.optimum
    logs = np.log([float(plan.total_cost), float(plan.params), float(plan.tokens)])
    return np.array([logs[0], float(plan.loss), logs[1], logs[2]])


def _changed(answered: Answer, effect: Effect, change: float) -> np.ndarray:
    """The answer's numbers with one input changed, by its text or in the law."""
    asked = answered.asked
    if effect.name.startswith("law."):
        return _numbers(answer(read(asked.question, _own(asked.entry, effect.name[4:], change))))
    defaults = {"train_mfu": "0.5", "prefill_mfu": "0.5", "decode_mfu": "0.01"}
    text = asked.question.texts.get(effect.name) or defaults[effect.name]
    value = float(FIELDS[effect.name].read(text))
    value = value * math.exp(change) if effect.step == MORE else value + change
    unit = "$" if effect.name == "budget" else ""
    return _numbers(answer(read(asked.question.with_texts({effect.name: f"{value!r}{unit}"}))))


def _own(entry: Entry | None, path: str, change: float) -> dict[str, Entry]:
    assert entry is not None

    def moved(at, x):
        named = tree_util.keystr(at, simple=True, separator=".")
        return x * math.exp(change) if named == path else x

    law = tree_util.tree_map_with_path(moved, entry.law)
    return {entry.name: replace(entry, law=law)}


@pytest.mark.parametrize("name", QUESTIONS)
def test_effects_are_what_changed_texts_do(name):
    found = answer(read(QUESTIONS[name]))
    listed = effects(found)
    assert len(listed) > 6
    for each in listed:
        up, down = (_changed(found, each, sign * STEP) for sign in (1, -1))
        slopes = (up - down) / (2 * STEP)
        stated = [each.cost, each.loss, each.params, each.tokens]
        np.testing.assert_allclose(stated, slopes, rtol=TOLERANCE, atol=1e-7, err_msg=each.name)


def test_the_largest_effect_comes_first():
    costs = [abs(each.cost) for each in effects(answer(read(FIRST)))]
    assert costs == sorted(costs, reverse=True)
