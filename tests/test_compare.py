"""Laws compared in the library: each answer is that of the solver, and says why there is none."""

import numpy as np
import pytest

import jaxscale as js
from jaxscale import Status

DEMAND = js.Demand(input_tokens=2e12)


def test_each_row_is_the_cheapest_plan_by_its_law():
    names = ["sardana2024", "besiroglu2024", "kaplan2020"]
    comparison = js.compare_laws(names, loss=2.3, demand=DEMAND)
    assert [row.name for row in comparison.rows] == names
    for row in comparison.rows:
        plan = js.minimize_cost(js.laws.published(row.name), 2.3, DEMAND)
        np.testing.assert_allclose(row.plan.total_cost, plan.total_cost, rtol=1e-5)
        assert row.status is Status.OK
        assert row.in_range == bool(row.entry.in_range(plan))
        assert (row.note == "") == row.in_range


def test_laws_of_ones_own_stand_beside_published_ones():
    own = js.laws.Chinchilla(1.7, 400.0, 410.0, 0.34, 0.28)
    comparison = js.compare_laws({"ours": own, "theirs": js.laws.entry("sardana2024")}, loss=2.1)
    ours, theirs = comparison.rows
    assert (ours.name, ours.entry, ours.in_range) == ("ours", None, None)
    assert theirs.entry is js.laws.entry("sardana2024")


def test_a_model_to_match_has_the_loss_of_each_law():
    comparison = js.compare_laws(["sardana2024", "gadre2024_c4"], params=7e9, tokens=2e12)
    for row in comparison.rows:
        loss = js.laws.published(row.name).loss(7e9, 2e12)
        assert row.target == pytest.approx(float(loss), rel=1e-6)


def test_a_law_without_a_plan_says_why():
    names = ["clark2022_rlr", "tao2024", "muennighoff2023_repeated", "sardana2024"]
    reasons = [row.reason for row in js.compare_laws(names, loss=1.6).rows]
    assert reasons == [
        "its loss does not depend on tokens, so no training length is better than another",
        "its loss is normalised by that of unigrams: use params instead of loss",
        "needs levers={'unique_tokens': ...}, 1.00 to 1.00e30",
        "The loss 1.6 is not above the law's E, 1.69, so no model reaches it; raise it.",
    ]


def test_levers_are_chosen_or_given():
    chosen, given = (
        js.compare_laws(["kumar2024"], loss=3.2, demand=DEMAND, levers=levers).rows[0]
        for levers in (None, {"bits": 8})
    )
    assert chosen.chosen == ("bits",)
    assert given.chosen == ()
    assert 7 <= chosen.plan.levers["bits"] <= 8  # Kumar et al. 2024, Section 4.3
    assert given.plan.levers["bits"] == 8
    assert chosen.plan.total_cost < given.plan.total_cost


def test_a_comparison_shows_itself_in_few_lines():
    comparison = js.compare_laws(["sardana2024", "clark2022_rlr"], loss=2.0)
    lines = repr(comparison).splitlines()
    assert lines[0] == "Loss 2: the cheapest plan by 2 laws"
    assert lines[3].startswith("sardana2024")
    assert "does not depend on tokens" in lines[4]
    assert comparison._repr_html_().count("<tr>") == 3


def test_a_dataframe_has_a_row_for_each_law():
    pytest.importorskip("pandas")
    frame = js.compare_laws(["sardana2024", "clark2022_rlr"], loss=2.0).to_dataframe()
    assert frame["law"].tolist() == ["sardana2024", "clark2022_rlr"]
    assert frame["status"].tolist() == ["OK", ""]
    assert np.isnan(frame["params"][1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "give either loss, or params"),
        ({"loss": 2.0, "params": 7e9}, "give either loss, or params"),
        ({"loss": 2.0, "tokens": 7e9}, "tokens belong to a model to match"),
        ({"loss": 2.0, "levers": {"bit": 8}}, r"no law has 'bit' \(did you mean bits\?\)"),
        ({"loss": 2.0, "levers": {"bits": "least"}}, "lever bits must be a number or 'best'"),
    ],
)
def test_questions_that_make_no_sense_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        js.compare_laws(["kumar2024"], **arguments)


LAW = js.laws.Chinchilla(1.7, 400.0, 410.0, 0.34, 0.28)


def test_laws_without_a_name_are_called_by_their_class():
    rows = js.compare_laws([LAW, "sardana2024", LAW], loss=2.5).rows
    assert [row.name for row in rows] == ["Chinchilla", "sardana2024", "Chinchilla 2"]
    assert rows[0].plan.params == rows[2].plan.params
    named = js.compare_laws({"theirs": "sardana2024"}, loss=2.5)
    assert named.rows[0].entry.name == "sardana2024"
    assert repr(named).startswith("Loss 2.5: the cheapest plan by 1 law\n")


@pytest.mark.parametrize(
    ("laws", "error", "message"),
    [
        ("besiroglu2024", TypeError, "laws must be a list of laws, or a dict by name; got 'besir"),
        (LAW, TypeError, "laws must be a list of laws, or a dict by name; got Chinchilla"),
        ([], ValueError, "laws is empty"),
        ({}, ValueError, "laws is empty"),
        ([7], TypeError, "law must be a jaxscale law, .*; got 7"),
        (["besiroglu"], ValueError, "unknown law 'besiroglu'"),
        ([js.laws.Chinchilla(np.ones(3), 1.0, 1.0, 1.0, 1.0)], ValueError, "law must be of one"),
    ],
)
def test_what_is_no_list_of_laws_is_refused(laws, error, message):
    with pytest.raises(error, match=message):
        js.compare_laws(laws, loss=2.5)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"loss": np.array([2.0, 2.1])}, ValueError, r"loss must be of one .* shape \(2,\)"),
        ({"loss": "2"}, TypeError, "loss must be a real number"),
        ({"params": [7e9]}, TypeError, "params must be a real number"),
        ({"loss": 2.0, "demand": js.Demand(np.ones(2))}, ValueError, "demand must be of one"),
        ({"loss": 2.0, "levers": {"bits": np.ones(2)}}, ValueError, "levers must be of one"),
    ],
)
def test_a_comparison_is_of_one_scenario(arguments, error, message, monkeypatch):
    monkeypatch.setattr("jaxscale._compare.compare", lambda *_: pytest.fail("computed"))
    with pytest.raises(error, match=message):
        js.compare_laws(["kumar2024"], **arguments)


# --- Explanations ----------------------------------------------------------------------------


def test_an_explanation_has_the_numbers_of_the_scenario():
    law = js.laws.published("sardana2024")
    plan = js.minimize_cost(law, 1.5)
    assert "The loss 1.5 is not above the law's E, 1.69" in js.explain(plan, law, loss=1.5)
    assert js.explain(plan, law) == Status.INFEASIBLE_LOSS.sentence
    assert js.explain(Status.OK, law) == Status.OK.sentence
    budget = js.minimize_loss(law, -1.0)
    assert "budget -1" in js.explain(budget, law, budget=-1.0)


def test_an_explanation_is_of_one_scenario():
    law = js.laws.published("sardana2024")
    with pytest.raises(ValueError, match="plan must be of one scenario"):
        js.explain(js.minimize_cost(law, np.array([1.5, 2.0])), law)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((Status.OK, "sardana2024"), TypeError, "law must be a jaxscale law, .*'sardana2024'"),
        (("OK", LAW), TypeError, "plan must be a Plan or a Status; got 'OK'"),
        ((Status.OK, LAW, 2.0, 1e21), ValueError, "give loss or budget, not both"),
    ],
)
def test_an_explanation_of_nothing_is_refused(arguments, error, message):
    named = dict(zip(("plan", "law", "loss", "budget"), arguments, strict=False))
    with pytest.raises(error, match=message):
        js.explain(**named)


# --- Catalogues ------------------------------------------------------------------------------


@pytest.mark.parametrize("module", ["laws", "hardware", "allocations", "recipes", "architectures"])
def test_catalogues_are_tuples_that_show_themselves(module):
    pytest.importorskip("pandas")
    catalog = getattr(js, module).catalog()
    assert isinstance(catalog, tuple)
    assert catalog[0] in catalog
    lines = repr(catalog).splitlines()
    assert len(lines) <= 30
    assert catalog[0].name in lines[2]
    assert catalog._repr_html_().startswith("<table>")
    frame = catalog.to_dataframe()
    assert frame.iloc[:, 0].tolist() == [item.name for item in catalog]


def test_an_entry_shows_itself_in_one_line_and_its_facts_as_a_table():
    pytest.importorskip("pandas")
    entry = js.laws.entry("hoffmann2022")
    assert repr(entry).startswith("Entry('hoffmann2022', Chinchilla(E=1.69, ")
    assert "\n" not in repr(entry)
    assert "Hoffmann et al. 2022" in entry._repr_html_()
    frame = entry.to_dataframe()
    assert frame["value"][frame["fact"].tolist().index("alpha")] == "0.34"
