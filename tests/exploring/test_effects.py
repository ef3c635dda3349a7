"""What matters: derivatives against answers to questions whose texts were changed."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from jax import tree_util

from jaxscale.exploring import FIRST, Question, read
from jaxscale.exploring.answering import answer_at_once
from jaxscale.exploring.effects import MORE, Effect, effects, inputs_of
from jaxscale.exploring.fields import FIELDS
from jaxscale.exploring.reading import Asked

STEP = 1e-4
# Of central differences, whose third derivatives the exponents of a law make large.
TOLERANCE = 2e-5
TOKENS = {"input_tokens": "1e12", "output_tokens": "2e11"}
WORDS = {"law", "train_on", "serve_on"}  # texts that are no numbers
UNSPENT = {"flops"}  # of which more changes nothing
CORNER = "a budget that bounds leave unspent"
QUESTIONS: Mapping[str, Question] = {
    "a model to match on hardware": FIRST,
    "a loss in FLOPs": Question(
        {"loss": "2.0", "requests": "1e9", "input_per_request": "700", "output_per_request": "300"}
    ),
    "a budget": FIRST.with_texts({"like_params": "", "budget": "5M$"}),
    "an accuracy": Question({"accuracy": "mmlu=0.55", **TOKENS}),
    CORNER: Question(
        {"law": "ludziejewski2025", "flops": "1e25", **TOKENS}
        | {"lever.experts": "8", "max_memory": "1e10", "max_tokens": "1e12"}
    ),
}


def _numbers(asked: Asked) -> np.ndarray:
    plan = answer_at_once(asked._replace(entry=None)).optimum  # by one law, not its resamples too
    logs = np.log([float(plan.total_cost), float(plan.params), float(plan.tokens)])
    return np.array([logs[0], float(plan.loss), logs[1], logs[2]])


def _changed(asked: Asked, effect: Effect, change: float) -> Asked:
    """The question with one input changed: its text, or a coefficient of the law or the task."""
    kind, _, path = effect.name.partition(".")
    if kind == "law":
        return asked._replace(law=_with_coefficient(asked.law, path, change))
    if kind == "task":
        return _with_task(asked, path, change)
    defaults = {"train_mfu": "0.5", "prefill_mfu": "0.5", "decode_mfu": "0.01"}
    text = asked.question.texts.get(effect.name) or defaults[effect.name]
    before, equals, number = text.rpartition("=")
    is_plain = effect.name == "accuracy" or kind == "lever"
    value = float(number if is_plain else FIELDS[effect.name].read(number))
    value = value * math.exp(change) if effect.step == MORE else value + change
    unit = "$" if effect.name == "budget" else ""
    return read(asked.question.with_texts({effect.name: f"{before}{equals}{value!r}{unit}"}))


def _with_coefficient(law: Any, path: str, change: float) -> Any:
    def moved(at, x):
        named = tree_util.keystr(at, simple=True, separator=".")
        return x * math.exp(change) if named == path else x

    return tree_util.tree_map_with_path(moved, law)


def _with_task(asked: Asked, path: str, change: float) -> Asked:
    score = asked.score
    assert score is not None
    entry = replace(score.scored.entry, law=_with_coefficient(score.scored.task, path, change))
    score = score._replace(scored=score.scored._replace(entry=entry))
    return asked._replace(score=score, quality=asked.quality._replace(loss=score.loss))


@pytest.mark.parametrize("name", QUESTIONS)
def test_effects_are_what_changed_texts_do(name):
    asked = read(QUESTIONS[name])
    listed = {each.name: each for each in effects(answer_at_once(asked))}
    assert len(listed) > 6
    without = WORDS | UNSPENT if name == CORNER else WORDS
    assert set(asked.question.texts) - without == listed.keys() & asked.question.texts.keys()
    for each in listed.values():
        up, down = (_numbers(_changed(asked, each, sign * STEP)) for sign in (1, -1))
        slopes = (up - down) / (2 * STEP)
        stated = [each.cost, each.loss, each.params, each.tokens]
        np.testing.assert_allclose(stated, slopes, rtol=TOLERANCE, atol=1e-7, err_msg=each.name)


def test_the_largest_effect_comes_first():
    costs = [abs(each.cost) for each in effects(answer_at_once(read(FIRST)))]
    assert costs == sorted(costs, reverse=True)


SERVED = FIRST.with_texts({"context": "4096"})


@pytest.mark.parametrize(
    ("name", "text", "others", "is_smooth"),
    [
        ("utilisation", "1", {"max_first_token": "100ms"}, False),  # below it there is a queue
        ("utilisation", "0.9", {"max_first_token": "100ms"}, True),
        ("utilisation", "1", {}, True),
        ("lever.bits", "8", {"law": "kumar2024"}, False),  # more are served in bf16
        ("lever.bits", "7.5", {"law": "kumar2024"}, True),
        ("lever.bits", "16", {"law": "kumar2024"}, True),
        ("lever.bits", "8", {"law": "kumar2024", "serve_precision": "fp8"}, True),
    ],
)
def test_inputs_at_a_jump_have_no_effect(name, text, others, is_smooth):
    asked = read(SERVED.with_texts({**others, name: text}))
    assert (name in {each.name for each in inputs_of(asked)}) == is_smooth
