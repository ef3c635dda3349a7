"""The page's answer is that of its command and of its Python text."""

import contextlib
import io
import json
import shlex
from functools import partial

import jax
import numpy as np
import pytest
from numpy.testing import assert_allclose

import jaxscale as js
from jaxscale._numerics.interpreted import interpreted
from jaxscale.exploring import FIRST, Question, answer, read
from jaxscale.exploring.answering import answer_at_once
from jaxscale.exploring.python_text import as_python

pytest.importorskip("typer")

SAME = 1e-9  # relative: XLA and NumPy round apart
PHASES = ("train_cost", "prefill_cost", "decode_cost", "total_cost")
NUMBERS = ("params", "tokens", *PHASES)
DEVICES = {"train_on": "H100-SXM", "train_price": "2", "serve_on": "A100-80GB"}
DEVICES |= {"serve_price": "$1.50", "serve_precision": "int8", "decode_mfu": "2%"}
REQUESTS = {"requests": "1.5B", "input_per_request": "70", "output_per_request": "215"}
OWN = "peak=989T,fp8=1979T,bandwidth=3.35T,memory=80G,price=2"
QUESTIONS = {
    "loss": {"loss": "1.9", "input_tokens": "2T", "output_tokens": "6T", "max_params": "34B"},
    "model": {"like_params": "70B", "inference_tokens": "10T"},
    "tokens": {"law": "hoffmann2022", "like_params": "8B", "like_tokens": "15T", **REQUESTS},
    "accuracy": {"accuracy": "mmlu=45%", "inference_tokens": "2T"},
    "flops": {"flops": "2e24", "law": "E=1.69,A=406.4,B=410.7,alpha=.336,beta=.283"},
    "budget": {"budget": "5M$", "inference_tokens": "5T", **DEVICES},
    "own device": {
        "like_params": "7B",
        "inference_tokens": "1T",
        "train_on": OWN,
        "serve_on": OWN,
        "serve_precision": "fp8",
        "max_tokens": "3T",
        "max_tokens_per_param": "500",
    },
    "best": {
        "law": "kumar2024",
        "lever.bits": "8,16",
        "loss": "3",
        "inference_tokens": "1T",
    },
    "part": {
        "law": "besiroglu2024+ling2025",
        "lever.activation": "0.1",
        "lever.granularity": "8",
        "like_params": "3B",
        "inference_tokens": "1T",
    },
    "not in nats": {"law": "kaplan2020", "like_params": "3B", "inference_tokens": "1T"},
    "timed": {
        "loss": "2.1",
        "input_tokens": "800B",
        "output_tokens": "200B",
        **DEVICES,
        "context": "8k",
        "max_latency": "50ms",
        "serve_count": "4",
        "cached": "20%",
    },
}
QUESTIONS["timed"].pop("decode_mfu")


def script(asked, monkeypatch):
    """The plan of the Python text, and what it prints; solvers run by NumPy, to spare compiling."""
    for name in ("minimize_cost", "minimize_loss", "compute_optimal", "evaluate"):
        monkeypatch.setattr(js, name, partial(interpreted, getattr(js, name)))
    names, printed = {}, io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(as_python(asked), names)
    monkeypatch.undo()
    return names["plan"], printed.getvalue()


def numbers_of(plan):
    return [float(getattr(plan, name)) for name in NUMBERS]


def check(question, command, monkeypatch, ours=answer_at_once):
    asked = read(question)
    told = ours(asked)
    outcome = command(*shlex.split(question.command())[1:], "--json")
    assert (outcome.code == 0) == told.status.ok, outcome.err
    if not told.status.ok:
        assert told.sentence in outcome.err
        return
    record = json.loads(outcome.out)
    for plan, name in ((told.optimum, "optimum"), (told.chinchilla, "chinchilla")):
        theirs = [np.nan if record[name][x] is None else record[name][x] for x in NUMBERS]
        assert_allclose(numbers_of(plan), theirs, rtol=SAME)
    assert told.sentence == record["status_sentence"]
    better = record["cost_of_a_hundredth_nat"] or record["cost_of_an_accuracy_point"] or 0
    # A difference of costs: it has fewer digits than they have.
    assert_allclose(told.better.cost or 0 if told.better else 0, better, rtol=1e-5, atol=1e-30)
    plan, printed = script(asked, monkeypatch)
    assert_allclose(numbers_of(plan), numbers_of(told.optimum), rtol=SAME)
    best = told.optimum
    assert printed == (
        f"{best.params:.4g} params, {best.tokens:.4g} tokens, {best.total_cost:.4g} {asked.unit}\n"
    )


@pytest.fixture
def in_float64():
    before = jax.config.jax_enable_x64
    yield
    jax.config.update("jax_enable_x64", before)


@pytest.mark.parametrize("name", QUESTIONS)
def test_the_command_and_the_script_give_the_same_answer(name, command, monkeypatch, in_float64):
    check(Question(QUESTIONS[name]), command, monkeypatch)


@pytest.mark.parametrize("name", ["accuracy", "budget", "best"])
def test_the_command_prints_what_the_page_notes(name, command, in_float64):
    question = Question(QUESTIONS[name])
    told = answer_at_once(read(question))
    written = " ".join(command(*shlex.split(question.command())[1:]).out.split())
    lines = (told.title, *told.prices, *told.notes)
    assert len(lines) > 2
    assert [line for line in lines if line not in written] == []


def test_the_compiled_answer_is_the_same(command, monkeypatch, in_float64):
    check(FIRST, command, monkeypatch, answer)
