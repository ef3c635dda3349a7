"""`jaxscale compare`: every law says its plan, or why it has none."""

import json
import re

import jax
import pytest

import jaxscale as js
from jaxscale.laws.protocol import depends_on_tokens, levers_of, loss_scale

pytest.importorskip("typer")


QUESTION = ("compare", "--loss", "2.5", "--inference-tokens", "2T")


def words(text):
    """The words of a text, however it was wrapped."""
    return " ".join(text.split())


@pytest.fixture
def only(monkeypatch):
    """`only("sardana2024", ...)`: as if the catalogue held these alone."""

    def run(*names):
        entries = tuple(map(js.laws.entry, names))
        monkeypatch.setattr("jaxscale.laws.catalog", lambda: entries)

    return run


@pytest.mark.thorough
def test_every_law_of_the_catalogue_answers_or_says_why_not(command):
    code, out, err = command(*QUESTION, "--json")
    assert (code, err) == (0, "")
    found = {each["law"]: each for each in json.loads(out)["laws"]}
    assert found["sardana2024"]["status"] == "OK"
    assert list(found) == [entry.name for entry in js.laws.catalog()]
    silent = {name: each["note"] for name, each in found.items() if each["optimum"] is None}
    expected = {
        "muennighoff2023_repeated": "needs --lever unique_tokens=VALUE, 1.00 to 1.00e30",
        "kumar2024": "The loss 2.5 is not above the law's E, 2.7648, so no model reaches it; "
        "raise it.",
    }
    for entry in js.laws.catalog():
        if not depends_on_tokens(entry.law):
            expected[entry.name] = (
                "its loss does not depend on tokens, so no training length is better than another"
            )
        elif scale := loss_scale(entry.law, entry):
            expected[entry.name] = f"its loss is {scale}: use --like-params instead of --loss"
    levers = silent.keys() - expected.keys()
    assert all(silent.pop(name).startswith("needs --lever ") for name in levers)
    assert all(levers_of(js.laws.published(name)) for name in levers)
    assert silent == expected
    assert silent["tao2024"].startswith("its loss is normalised by that of unigrams: use")
    assert "clark2022_sbase" in silent
    for each in found.values():
        if each["optimum"]:
            assert each["optimum"]["loss"] == pytest.approx(2.5, rel=1e-9)
            assert each["target_loss"] == 2.5
    assert found["krajewski2024"]["chosen"] == ["granularity"]
    assert found["abnar2025"]["chosen"] == ["sparsity"]
    assert found["abnar2025"]["status"] == "AT_LEVER_END"


def test_the_table_is_that_of_the_library_with_marks_explained(command, only):
    only("sardana2024", "besiroglu2024", "muennighoff2023", "kaplan2020", "tao2024")
    code, out, err = command(*QUESTION)
    assert (code, err) == (0, "")
    rows = {line.split()[0]: line.split() for line in out.splitlines() if line.strip()}
    best = js.minimize_cost(js.laws.published("sardana2024"), 2.5, js.Demand(2e12))
    assert rows["sardana2024"][1] == f"{float(best.params) / 1e6:.0f}M"
    assert rows["sardana2024"][2] == f"{float(best.tokens) / 1e9:.0f}B"
    assert rows["sardana2024"][4] == f"{float(best.total_cost) / 1e21:.2f}e21"
    # 290M params and 325B tokens are in range; 251B at 301M are more than 342 tokens a param.
    assert len(rows["sardana2024"]) == 5
    assert rows["besiroglu2024"][5:] == ["extrapolated"]
    assert rows["muennighoff2023"][5:] == ["range", "unknown"]
    assert "extrapolated: the plan lies outside" in out
    assert "range unknown: the sizes" in out
    assert "Losses are comparable within a group, not between groups" in words(out)
    assert rows["tao2024:"][1:4] == ["its", "loss", "is"]


def test_answers_are_under_what_their_losses_are_of(command, only):
    only("sardana2024", "kaplan2020", "besiroglu2024", "clark2022_rlr", "clark2022_hash")
    lines = [line.rstrip() for line in command(*QUESTION).out.splitlines()]
    first = lines.index(" MassiveText (tokenizer: vocabulary of 32,000)")
    assert [line.split()[0] for line in lines[first + 1 : first + 5]] == [
        *("sardana2024", "besiroglu2024", "WebText2", "kaplan2020")
    ]
    assert lines[-1] == "  clark2022_rlr, _hash: no training length in the law"
    groups = [each["group"] for each in json.loads(command(*QUESTION, "--json").out)["laws"]]
    assert groups[0] == groups[2] == lines[first].strip()
    assert groups[3] == "Clark et al. 2022: data not stated"


@pytest.mark.thorough
@pytest.mark.parametrize("asked", [QUESTION, ("laws",)], ids=lambda asked: asked[0])
def test_all_laws_fit_a_terminal_of_80_columns(asked, command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("NO_COLOR")
    out = re.sub(r"\x1b\[[0-9;]*m", "", command(*asked).out)
    lines = [line.rstrip() for line in out.splitlines()]
    assert max(map(len, lines)) <= 80
    for entry in js.laws.catalog():
        rest = entry.name.partition("_")[2]
        assert any(entry.name in line or (rest and f"_{rest}" in line) for line in lines)


def test_laws_are_chosen_by_option(command):
    own = "E=1.69,A=406.4,B=410.7,alpha=.336,beta=.283"
    chosen = ("--law", "BESIROGLU2024", "--law", own)
    found = json.loads(command(*QUESTION, *chosen, "--json").out)["laws"]
    assert [each["law"] for each in found] == ["besiroglu2024", own]
    for each, text in zip(found, chosen[1::2], strict=True):
        plan = json.loads(command("plan", *QUESTION[1:], "--law", text, "--json").out)
        assert each["optimum"]["total_cost"] == pytest.approx(plan["optimum"]["total_cost"])
    assert found[1]["note"] == ""
    out = command(*QUESTION, *chosen).out
    assert "2.00T tokens read and 0 written, by 2 laws" in out
    code, out, err = command(*QUESTION, "--law", "besiroglu")
    assert (code, out) == (2, "")
    assert "--law: unknown law 'besiroglu' (did you mean besiroglu2024?)" in err


def test_a_model_to_match_has_the_loss_of_each_law(command, only):
    only("sardana2024", "besiroglu2024")
    model = ("--like-params", "7B", "--like-tokens", "2T", "--inference-tokens", "0")
    out = command("compare", *model, "--json").out
    for each in json.loads(out)["laws"]:
        loss = float(js.laws.published(each["law"]).loss(7e9, 2e12))
        assert each["target_loss"] == pytest.approx(loss, rel=1e-6)
    table = command("compare", *model).out
    assert "The loss of 7.00B params on 2.00T tokens, 0 tokens read and 0 written" in table
    assert f"{loss:.4f}" in table


def test_a_lever_goes_to_the_laws_that_have_it(command, only):
    only("muennighoff2023", "muennighoff2023_repeated")
    out = command(*QUESTION, "--lever", "unique_tokens=20B", "--json").out
    base, repeated = json.loads(out)["laws"]
    assert "unique_tokens" not in base["optimum"]
    assert repeated["optimum"]["unique_tokens"] == 20e9
    assert repeated["chosen"] == []
    assert repeated["optimum"]["total_cost"] > base["optimum"]["total_cost"]


def test_dollars_and_bounds_are_those_of_plan(command, only):
    only("sardana2024")
    options = ("--train-on", "A100-40GB", "--serve-on", "A100-40GB", "--max-params", "200M")
    record = json.loads(command(*QUESTION, *options, "--json").out)
    plan = json.loads(command("plan", *QUESTION[1:], *options, "--json").out)
    assert record["unit"] == "dollars"
    (found,) = record["laws"]
    assert found["optimum"] == plan["optimum"]
    assert found["status"] == "AT_MAX_PARAMS"
    out = command(*QUESTION, *options).out
    assert "at max params" in out
    assert "$" in out


def test_a_lever_that_ends_at_the_end_of_its_range_is_said(command, only):
    only("abnar2025")
    out = words(command(*QUESTION).out)
    assert "sparsity 0.980" in out
    assert "(best, end of its" in out
    assert "best: chosen with the plan" in out


def test_where_no_law_answers_the_reason_is_one_line(command, only):
    only("sardana2024", "besiroglu2024", "clark2022_rlr")
    code, out, err = command("compare", "--loss", "1.5", "--inference-tokens", "2T")
    assert (code, out) == (2, "")
    assert err.strip() == (
        "error: no law has a plan, most for this reason: " + js.Status.INFEASIBLE_LOSS.sentence
    )


def test_a_law_without_a_plan_says_why_with_its_numbers(command, only):
    only("besiroglu2024", "hoffmann2022")
    question = ("--inference-tokens", "2T", "--json")
    above, below = json.loads(command("compare", "--loss", "1.8", *question).out)["laws"]
    assert above["note"] == (
        "The loss 1.8 is not above the law's E, 1.81686, so no model reaches it; raise it."
    )
    assert below["optimum"]["loss"] == pytest.approx(1.8, rel=1e-9)

    # Of 1e8 params, and of tokens without end, E + A / (1e8)^alpha: 2.6122 and 2.4644.
    small = ("--loss", "2.5", "--max-params", "100M")
    bounded, _ = json.loads(command("compare", *small, *question).out)["laws"]
    assert bounded["note"] == (
        "No plan of at most 100M params reaches the loss 2.5; the least there is 2.6122: "
        "widen bounds."
    )


def test_a_lever_is_chosen_among_listed_values(command):
    listed = (*QUESTION, "--law", "ludziejewski2025", "--lever", "experts=1,2,4", "--json")
    (row,) = json.loads(command(*listed).out)["laws"]
    levers = {"experts": [1, 2, 4]}
    demand = js.Demand(input_tokens=2e12)
    (same,) = js.compare_laws(["ludziejewski2025"], loss=2.5, demand=demand, levers=levers).rows
    assert row["optimum"]["total_cost"] == float(same.plan.total_cost)
    law = js.laws.published("ludziejewski2025")
    with jax.enable_x64(True):
        plans = {
            experts: js.minimize_cost(law, 2.5, demand, levers={"experts": experts})
            for experts in levers["experts"]
        }
    costs = {experts: float(plan.total_cost) for experts, plan in plans.items()}
    # Each by a solve of its own, to the accuracy of the solver.
    assert row["optimum"]["experts"] == min(costs, key=lambda experts: costs[experts])
    assert row["optimum"]["total_cost"] == pytest.approx(min(costs.values()), rel=1e-9)
    second = costs[row["runner_up"]["experts"]] / min(costs.values()) - 1
    assert row["runner_up"]["excess"] == pytest.approx(second, rel=1e-6)


def test_listed_values_must_lie_in_the_range_of_the_lever(command):
    listed = (*QUESTION, "--law", "ludziejewski2025", "--lever", "experts=1,64")
    assert "experts 64 is outside its range" in command(*listed).err


def test_a_bound_of_memory_is_called_that(command):
    bounded = (*QUESTION, "--law", "ludziejewski2025", "--max-memory", "2GB")
    assert "at max memory" in command(*bounded).out


def test_very_many_laws_without_a_plan_are_counted(command):
    out = command("compare", "--accuracy", "mmlu=55%", "--inference-tokens", "2T").out
    others = len(js.laws.catalog())
    assert f"  {others} other laws: its loss does not tell the accuracy on MMLU" in out


def test_in_80_columns_what_every_row_says_takes_no_line(command, only, monkeypatch):
    only("hoffmann2022", "muennighoff2023")
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    out = command("compare", "--loss", "2", *QUESTION[3:]).out
    assert re.search(r"hoffmann2022 .* [*] *$", out, re.MULTILINE)
    assert re.search(r"muennighoff2023 .* [?] *$", out, re.MULTILINE)
    assert "* extrapolated: the plan lies outside" in words(out)
    assert "? range unknown: the sizes" in words(out)
