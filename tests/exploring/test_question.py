"""Questions from texts and addresses: any text is read or refused, field by field."""

import string

import jax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxscale.exploring import FIRST, Mistakes, Question, read
from jaxscale.exploring.answering import answer_at_once
from jaxscale.exploring.fields import FIELDS
from jaxscale.exploring.laws_compared import sizes_by_law

NAMES = [*FIELDS, "lever.bits", "lever.format", "lever.sparsity", "lever.x"]
TELLING = ["70B", "1e400", "-1", "nan", "inf", "1e-320", "0", "99999999999999999999", "best", "4,8"]
TELLING += ["H100-SXM", "peak=1e400", "peak=989T,price=2", "fp8", "llama", "50ms", "1e300s", "100%"]
TELLING += ["kumar2024", "sardana2024+ling2025", "E=1,A=1,B=1,alpha=1,beta=1", "mmlu=50%", "mmlu"]
TELLING += ["/etc/passwd", "fit.json", "fit.json:own.py:Law", "own.toml", "E4M3", "a+b+c", "$5M"]
TEXTS = st.one_of(st.sampled_from(TELLING), st.text(string.printable + "é₂\x00\ud800", max_size=30))


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from(NAMES), TEXTS, max_size=5), st.booleans())
def test_any_texts_are_read_or_refused_by_field(texts, is_first):
    question = FIRST.with_texts(texts) if is_first else Question(texts)
    said = mistakes_of(question)
    assert all(name == "" or name in FIELDS or name.startswith("lever.") for name in said)
    assert all(text and " --" not in text for text in said.values())


def mistakes_of(question):
    try:
        read(question)
    except Mistakes as mistakes:
        return mistakes.by_field
    return {}


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=300))
def test_any_address_is_a_question(query):
    question = Question.of_query(query)
    assert Question.of_query(question.query()) == question


@pytest.mark.parametrize(
    ("texts", "field", "words"),
    [
        ({"like_params": "banana", "inference_tokens": "1T"}, "like_params", "write it like"),
        ({"law": "fit.json", "loss": "2", "inference_tokens": "1"}, "law", "when the page is"),
        ({"loss": "2"}, "", "the demand is missing"),
        ({"loss": "2", "flops": "1e22"}, "", "not several"),
        ({"loss": "2", "inference_tokens": "1T", "train_on": "own.toml"}, "train_on", "name of an"),
        ({"loss": "3", "law": "kumar2024", "flops": ""}, "lever.bits", "3.00 to 16.0"),
        ({"budget": "1M", "inference_tokens": "1T"}, "budget", "FLOPs"),
        ({"loss": "2", "law": "li2025"}, "loss", "model to match"),
        ({"loss": "2", "max_latency": "50ms"}, "max_latency", "served in dollars"),
        ({"accuracy": "mmlu=90%"}, "accuracy", "between 25.8 % and 76.7 %"),
        ({"loss": "2", "law": "sardana2024+nothing"}, "law", "part"),
        ({"loss": "2", "law": "mmlu"}, "law", "task"),
        ({"loss": "2", "max_memory": "80GB"}, "max_memory", "memory"),
    ],
)
def test_a_mistake_is_said_beside_its_field(texts, field, words):
    if field and "inference_tokens" not in texts:
        texts = {**texts, "inference_tokens": "1T"}
    with pytest.raises(Mistakes) as refused:
        read(Question(texts))
    assert list(refused.value.by_field) == [field]
    assert words in refused.value.by_field[field]


def test_a_law_of_ones_own_needs_no_file():
    from jaxscale import laws

    own = {"ours.json": laws.entry("besiroglu2024")}
    asked = read(FIRST.with_texts({"law": "ours.json"}), own)
    assert asked.law == own["ours.json"].law
    assert "--law ours.json" in asked.question.command()


@pytest.mark.parametrize(
    "texts",
    [
        {"accuracy": "hellaswag=0.656"},
        {"law": "tao2024", "lever.vocabulary_params": "26.6M,78.2M", "like_params": "220M"},
    ],
)
def test_answers_are_in_float64_everywhere(texts):
    plans = []
    for is_on in (True, False):
        with jax.enable_x64(is_on):
            told = answer_at_once(read(Question({**texts, "inference_tokens": "1T"})))
            better = told.better and told.better.cost
            sizes = _sizes(told) if "accuracy" in texts else []
            plans.append((float(told.optimum.params), better, told.accuracies, sizes))
    assert plans[0] == plans[1]


def _sizes(told):
    return [size.params for size in sizes_by_law(told, at_once=True) if size.params > 0]
