"""The answer in words and as a table: units and what is not known are said as they are."""

import csv
import io
import re

import pytest

from jaxscale.exploring import Question, read
from jaxscale.exploring.answering import answer_at_once
from jaxscale.exploring.report import csv_of, notes_of, rows_of, table_of

TOKENS = {"inference_tokens": "1T"}


def _answer(**texts):
    return answer_at_once(read(Question(texts)))


@pytest.mark.parametrize(
    ("texts", "unit"),
    [
        ({"accuracy": "mmlu=45%"}, "in bits per byte of the right answer"),
        (
            {"law": "tao2024", "like_params": "1B", "lever.vocabulary_params": "100M"},
            "normalised by that of unigrams",
        ),
        ({"loss": "2"}, ""),
    ],
)
def test_the_scale_of_the_loss_is_said(texts, unit):
    found = _answer(**texts, inference_tokens="1T")
    labels = [row.label for row in rows_of(found)]
    assert ("Loss, nats per token" in labels) is (not unit)
    assert (f"The loss is {unit}." in notes_of(found)) is bool(unit)
    assert f"loss,{unit or 'nats/token'}," in csv_of(found)


def test_costs_in_flops_have_their_unit():
    costs = [row for row in rows_of(_answer(loss="2", inference_tokens="1T")) if "ost" in row.label]
    assert len(costs) == 4
    assert all(row.optimum.endswith(" FLOPs") for row in costs)


def test_an_interval_whose_ends_are_written_alike_is_left_out():
    rows = {row.label: row for row in rows_of(_answer(loss="2", **TOKENS, law="besiroglu2024"))}
    assert rows["Loss, nats per token"].interval == rows["Cost of decode"].interval == ""
    assert re.fullmatch(r"[\d.e]+ to [\d.e]+ FLOPs", rows["Cost of training"].interval)


def test_no_table_stands_where_there_is_no_plan():
    assert table_of(_answer(loss="0.1", inference_tokens="1T")) == ""


def test_the_csv_has_all_numbers_of_both_plans():
    question = {"law": "tao2024", "like_params": "1B", "lever.vocabulary_params": "best"}
    found = _answer(**question, inference_tokens="1T")
    rows = {row["name"]: row for row in csv.DictReader(io.StringIO(csv_of(found)))}
    for plan, column in ((found.optimum, "optimum"), (found.chinchilla, "chinchilla")):
        assert float(rows["vocabulary_params"][column]) == plan.levers["vocabulary_params"]
        assert float(rows["total_cost"][column]) == plan.total_cost
    assert float(rows["saving"]["optimum"]) == found.saving
    assert rows["params"]["low"] == ""
