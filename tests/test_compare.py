"""Laws compared in the library: each answer is that of the solver, and says why there is none."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import jax
import numpy as np
import pytest

import jaxscale as js
from jaxscale import Status
from jaxscale._compare import remarks
from jaxscale._numerics.interpreted import interpreted

DEMAND = js.Demand(input_tokens=2e12)
LAW = js.laws.Chinchilla(1.7, 400.0, 410.0, 0.34, 0.28)


def test_each_row_is_the_cheapest_plan_by_its_law():
    names = ["sardana2024", "besiroglu2024", "kaplan2020"]
    comparison = js.compare_laws(names, loss=2.3, demand=DEMAND)
    assert [row.name for row in comparison.rows] == names
    for row in comparison.rows:
        plan = interpreted(js.minimize_cost, js.laws.published(row.name), 2.3, DEMAND)
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
    assert lines[3] == "MassiveText (tokenizer: vocabulary of 32,000)"
    assert lines[4].startswith("  sardana2024")
    assert "clark2022_rlr: its loss does not depend on tokens" in lines[5]
    assert len(lines) == 6
    assert comparison._repr_html_().count("<tr>") == 4


def test_answers_are_in_groups_of_comparable_losses():
    names = [
        "hoffmann2022",
        "krajewski2024",
        "besiroglu2024",
        "gadre2024_c4",
        "krajewski2024_dense",
    ]
    laws = {name: name for name in names} | {
        "ours": LAW,
        "gadre2024_redpajama": "gadre2024_redpajama",
    }
    comparison = js.compare_laws(laws, loss=2.3)
    assert {group: [row.name for row in rows] for group, rows in comparison.groups.items()} == {
        "MassiveText (tokenizer: vocabulary of 32,000)": ["hoffmann2022", "besiroglu2024"],
        "Krajewski et al. 2024: data not stated": ["krajewski2024", "krajewski2024_dense"],
        "Gadre et al. 2024: C4's validation text": ["gadre2024_c4", "gadre2024_redpajama"],
        "your own": ["ours"],
    }
    assert [row.name for row in comparison.rows] == list(laws)


def test_fits_of_ones_own_are_told_apart_by_their_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    law = js.laws.published("besiroglu2024")
    for name, count in (("ours.json", 30), ("theirs.json", 40)):
        js.fit(js.laws.Chinchilla, js.fitting.simulate(law, count, key=1)).save(name)
    laws = ["ours.json", "theirs.json", "besiroglu2024"]
    groups = [row.group for row in js.compare_laws(laws, params=1e9).rows]
    assert groups[:2] == ["your own, 30 runs", "your own, 40 runs"]
    assert groups[2].startswith("MassiveText")


@pytest.mark.parametrize(
    ("about", "group"),
    [
        ({}, "Doe 2026: data not stated"),
        ({"tokenizer": "GPT-2"}, "Doe 2026: data not stated"),
        ({"dataset": "C4: 9 runs"}, "Doe 2026: C4"),
        ({"dataset": "C4: 9 runs", "tokenizer": "GPT-2"}, "C4 (tokenizer: GPT-2)"),
        ({"dataset": "C4", "losses_on": "C4, held out"}, "C4, held out"),
        ({"dataset": "C4", "loss_scale": "in bits"}, "Doe 2026: C4; loss in bits"),
    ],
)
def test_what_losses_are_of_is_what_is_stated(about, group):
    entry = js.published.Entry("doe2026", LAW, source="Doe 2026, Table 1", **about)
    assert entry.loss_group == group


def test_laws_share_the_line_of_a_reason():
    names = ["clark2022_sbase", "clark2022_rlr", "tao2024", "kumar2024", "sardana2024"]
    comparison = js.compare_laws(names, loss=1.6)
    assert {text: [row.name for row in rows] for text, rows in comparison.without_plan.items()} == {
        "no training length in the law": ["clark2022_sbase", "clark2022_rlr"],
        "loss not in nats per token: use params instead of loss": ["tao2024"],
        "no model reaches this loss": ["kumar2024", "sardana2024"],
    }
    assert repr(comparison).splitlines()[3:] == [
        "clark2022_sbase, _rlr: no training length in the law",
        "tao2024: its loss is normalised by that of unigrams: use params instead of loss",
        "kumar2024, sardana2024: no model reaches this loss",
    ]


def test_a_dataframe_has_a_row_for_each_law():
    pytest.importorskip("pandas")
    frame = js.compare_laws(["sardana2024", "clark2022_rlr"], loss=2.0).to_dataframe()
    assert frame["law"].tolist() == ["sardana2024", "clark2022_rlr"]
    assert frame["status"].tolist() == ["OK", ""]
    assert np.isnan(frame["params"][1])


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Parted:
    """A Chinchilla law with a lever that takes three values: more parts are like more params."""

    per_part: float = 0.5

    levers: ClassVar[Mapping[str, tuple[float, float]]] = {"parts": (1.0, 4.0)}
    choices: ClassVar[Mapping[str, tuple[float, ...]]] = {"parts": (1, 2, 4)}

    def loss(self, params, tokens, *, parts):
        return (
            1.7 + 0.02 * parts + 400 / (params * parts**self.per_part) ** 0.34 + 410 / tokens**0.3
        )


def test_a_lever_that_takes_some_values_is_chosen_and_says_the_second_best():
    (row,) = js.compare_laws({"parted": Parted()}, loss=2.4).rows
    levers = {"parts": np.array([1, 2, 4])}
    found = interpreted(js.minimize_cost, Parted(), 2.4, levers=levers)
    costs = dict(zip((1, 2, 4), found.total_cost.tolist(), strict=True))
    best, second, _ = sorted(costs, key=costs.__getitem__)
    assert row.chosen == ("parts",)
    assert row.plan.levers["parts"] == best
    excess = costs[second] / costs[best] - 1
    assert row.plan.runner_up["excess"] == pytest.approx(excess, rel=1e-3)
    text, second_text, *_ = remarks(row)
    assert text.startswith(f"parts {best} (best")
    assert second_text == f"{100 * excess:.2g} % dearer with parts {second}"


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
