"""Laws of every family in `jaxscale plan` and `jaxscale estimate`, with and without levers."""

import json
import math

import numpy as np
import pytest

import jaxscale as js
from jaxscale._compare import BEST, plain_levers, remarks
from jaxscale._numerics.interpreted import interpreted
from jaxscale.cli.named_law import read_levers
from jaxscale.laws.protocol import levers_of

pytest.importorskip("typer")

DEMAND = ("--inference-tokens", "2T")
SIZES = np.geomspace(1e7, 1e10, 4001)  # so near each other that a bill is within 1e-6 of its least


@pytest.fixture
def record(command):
    def run(*arguments):
        code, out, err = command(*arguments, "--json")
        assert (code, err) == (0, "")
        return json.loads(out)

    return run


def cheapest_by_hand(tokens, flops_per_token=2.0):
    """The least FLOPs of training and of serving 2e12 tokens, and whose params those are.

    `tokens` are those that each of `SIZES` needs, NaN where none are enough.
    """
    bills = flops_per_token * SIZES * (3 * tokens + 2e12)
    return np.nanmin(bills), SIZES[np.nanargmin(bills)]


# --- Laws without levers ---------------------------------------------------------------------


def test_a_plan_by_the_law_of_kaplan_et_al(record):
    found = record("plan", "--loss", "2.5", *DEMAND, "--law", "kaplan2020")
    law = js.laws.published("kaplan2020")
    size = (law.N_c / SIZES) ** (law.alpha_N / law.alpha_D)
    data = 2.5 ** (1 / law.alpha_D) - size
    cost, params = cheapest_by_hand(np.where(data > 0, law.D_c / data, np.nan))
    assert found["optimum"]["total_cost"] == pytest.approx(cost, rel=1e-5)
    assert found["optimum"]["params"] == pytest.approx(params, rel=2e-3)
    assert found["law"] == {"name": "kaplan2020", **vars(law)}
    assert found["chinchilla"]["loss"] == pytest.approx(2.5, rel=1e-9)


def test_an_estimate_by_the_law_of_kaplan_et_al(record):
    found = record("estimate", "--params", "1e9", "--tokens", "2.29e10", "--law", "kaplan2020")
    assert found["loss"] == pytest.approx(2.3675, abs=5e-5)  # tests/published
    assert found["flops"] == pytest.approx(6 * 2.29e19)


# --- Levers ----------------------------------------------------------------------------------


def kumar_by_hand(loss, bits):
    """Kumar et al. 2024, eq. 3 and 4 with the offsets of Table 2, solved for tokens."""
    law = js.laws.published("kumar2024")
    kinds = (law.gamma_w, law.n_w), (law.gamma_a, law.n_a), (law.gamma_kv, law.n_kv)
    shares = [1 - math.exp(n - bits / gamma) for gamma, n in kinds]
    data = loss - law.E - law.A / (SIZES * math.prod(shares)) ** law.alpha
    with np.errstate(invalid="ignore"):
        tokens = (law.B / np.where(data > 0, data, np.nan)) ** (1 / law.beta)
    return cheapest_by_hand(tokens, 2 * bits / 16)


def test_a_lever_of_given_value(record):
    model = ("--like-params", "1e9", "--like-tokens", "2e11")
    found = record("plan", *model, *DEMAND, "--law", "kumar2024", "--lever", "bits=8")
    target = float(js.laws.published("kumar2024").loss(1e9, 2e11, bits=8))
    assert found["target_loss"] == pytest.approx(target, rel=1e-6)
    assert found["optimum"]["bits"] == found["chinchilla"]["bits"] == 8
    cost, params = kumar_by_hand(found["target_loss"], 8.0)
    assert found["optimum"]["total_cost"] == pytest.approx(cost, rel=1e-5)
    assert found["optimum"]["params"] == pytest.approx(params, rel=2e-3)


@pytest.mark.thorough
def test_bits_are_chosen_where_kumar_et_al_find_them(record):
    question = ("plan", "--loss", "3.2", *DEMAND, "--law", "kumar2024", "--lever", "bits=best")
    found = record(*question)["optimum"]
    assert 7 <= found["bits"] <= 8  # Kumar et al. 2024, Section 4.3
    costs = [kumar_by_hand(3.2, bits)[0] for bits in np.linspace(3.5, 16, 626)]
    assert found["total_cost"] == pytest.approx(min(costs), rel=1e-5)


def test_flops_and_tokens_give_the_params_that_take_them(record):
    law = ("--law", "krajewski2024", "--lever", "granularity=8")
    flops = record("estimate", "--params", "3e9", "--tokens", "1e11", *law)["flops"]
    # Of one part in 64 of the experts: far fewer than 6 N D.
    assert flops < 0.1 * 6 * 3e20
    params = record("estimate", "--flops", repr(flops), "--tokens", "1e11", *law)["params"]
    tokens = record("estimate", "--flops", repr(flops), "--params", "3e9", *law)["tokens"]
    assert (params, tokens) == pytest.approx((3e9, 1e11), rel=1e-9)


def test_a_sparse_training_costs_its_active_params(record):
    sizes = ("--params", "8e9", "--tokens", "1e12", "--law", "abnar2025")
    found = record("estimate", *sizes, "--lever", "sparsity=0.75")
    assert found["flops"] == pytest.approx(6 * 8e21 / 4)
    assert found["sparsity"] == 0.75


def test_repeated_tokens_are_worth_less(command):
    sizes = ("--params", "1B", "--tokens", "400B", "--law", "muennighoff2023_repeated")
    code, out, err = command("estimate", *sizes, "--lever", "unique_tokens=10B")
    assert (code, err) == (0, "")
    law = js.laws.published("muennighoff2023")
    (printed,) = [float(line.split()[1]) for line in out.splitlines() if "loss" in line]
    assert printed > float(law.loss(1e9, 4e11)) + 0.01
    assert "unique tokens" in out
    assert "10.0B" in out


def test_every_lever_of_the_catalogue_has_a_plain_value_inside_its_range():
    for entry in js.laws.catalog():
        for name, (low, high) in levers_of(entry.law).items():
            if name.startswith("teacher_"):  # no teacher is an ordinary one
                continue
            (value,) = plain_levers([name], 1e9).values()
            assert low <= value <= high
            assert math.isfinite(value)


def test_levers_are_read_with_suffixes_and_spaces():
    assert read_levers(["unique_tokens = 25B", "bits=Best"]) == {
        "unique_tokens": 25e9,
        "bits": BEST,
    }


def test_a_dense_law_is_made_sparse_by_its_name(record):
    shape = ("--lever", "activation=0.05", "--lever", "granularity=8")
    asked = ("--loss", "2.4", "--inference-tokens", "1T", *shape)
    published = record("plan", "--law", "ling2025_on_besiroglu2024", *asked)
    named = record("plan", "--law", "besiroglu2024+ling2025", *asked)
    assert named["optimum"] == published["optimum"]
    law = js.laws.published("besiroglu2024")
    coefficients = ",".join(f"{name}={value!r}" for name, value in vars(law).items())
    given = record("plan", "--law", f"{coefficients} + Ling2025", *asked)
    assert given["optimum"]["params"] == pytest.approx(named["optimum"]["params"], rel=1e-12)
    found = js.laws.sparse(law).loss(
        named["optimum"]["params"], named["optimum"]["tokens"], activation=0.05, granularity=8
    )
    assert float(found) == pytest.approx(2.4, rel=1e-5)


def test_a_law_that_cannot_be_made_sparse_is_named(command):
    code, _, err = command(
        "plan", "--law", "kumar2024+ling2025", "--loss", "3", "--inference-tokens", "1T"
    )
    assert code == 2
    assert err == "error: --law: law must count 6 N D FLOPs, as the leverage does; Kumar does not\n"


def test_only_the_lever_at_an_end_is_said_to_be_there():
    (row,) = js.compare_laws(["ling2025_on_besiroglu2024"], loss=2.5).rows
    said = list(remarks(row))
    assert said[:2] == ["activation 0.00800 (best, end of its range)", "granularity 11.3 (best)"]


def test_a_list_of_values_is_chosen_from_and_the_second_best_is_said(command, record):
    asked = ("plan", "--flops", "1e20", "--law", "kumar2024")
    found = record(*asked, "--lever", "bits=4,6,8")
    alone = {bits: record(*asked, "--lever", f"bits={bits}")["optimum"]["loss"] for bits in (6, 8)}
    assert found["optimum"]["bits"] == 8
    second = found["runner_up"]
    assert second["bits"] == 6
    assert second["excess"] == pytest.approx(alone[6] - alone[8], abs=1e-9)
    _, out, _ = command(*asked, "--lever", "bits=4,6,8")
    assert "Second best: bits 6.00, 0.00101 nats worse." in out


def test_a_value_of_a_list_outside_the_range_is_named(command):
    code, _, err = command("plan", "--flops", "1e20", "--law", "kumar2024", "--lever", "bits=4,99")
    assert code
    assert "--lever bits: 99 is outside its range, 3.00 to 16.0" in err


JOINT = ("--law", "ludziejewski2025")
SERVED = (*JOINT, "--inference-tokens", "1T")
RENTED = ("--train-on", "H100-SXM", "--train-price", "2", "--serve-on", "H100-SXM")
RENTED += ("--serve-price", "2", "--context", "4k")


def test_experts_are_chosen_within_memory(command, record):
    """Ludziejewski et al. 2025, Table 2: 16 experts for 1e22 FLOPs in 80 GB."""
    asked = ("plan", "--flops", "1e22", *JOINT, "--lever", "experts=best", "--max-memory", "80GB")
    found = record(*asked)
    assert found["optimum"]["experts"] == 16
    assert found["status"] == "AT_MAX_PARAMS"
    law = js.laws.published("ludziejewski2025")
    params = float(law.params_in_memory(80e9, experts=16))
    assert found["optimum"]["params"] == pytest.approx(params, rel=1e-6)
    decides = "The bound max_memory, 80 GB, which 3.46B params fill, decides"
    assert found["status_sentence"].startswith(decides)
    assert "The Chinchilla plan is not held to the bounds." in command(*asked).out
    narrower = record(*asked, "--max-params", "1B")
    assert narrower["optimum"]["params"] == pytest.approx(1e9)
    assert narrower["status_sentence"].startswith("The bound max_params, 1.00B, decides")
    several = record(
        *("plan", "--flops", "1e21,1e22", *JOINT, "--lever", "experts=best"),
        *("--max-memory", "80GB"),
    )
    assert [each["optimum"]["experts"] for each in several["budgets"]] == [32, 16]
    sentence = several["budgets"][1]["status_sentence"]
    assert sentence.startswith("The bound max_memory, 80 GB, decides")


def test_laws_are_compared_within_memory(record):
    """Experts are chosen, as memory is the price of them; other laws say that they do not know."""
    asked = ("compare", "--loss", "2.2", "--inference-tokens", "1T", "--max-memory", "24GB")
    found = record(*asked, *JOINT, "--law", "sardana2024")
    rows = {row["law"]: row for row in found["laws"]}
    assert rows["ludziejewski2025"]["optimum"]["experts"] == 16
    assert rows["ludziejewski2025"]["status"] == "AT_MAX_PARAMS"
    assert "does not say what its models take in memory" in rows["sardana2024"]["note"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("--flops", "1e22", "--max-memory", "80GB"),
            "--max-memory: sardana2024 does not say what its models take in memory",
        ),
        (
            (*SERVED, "--loss", "2", "--lever", "experts=16", "--max-memory", "24GB"),
            "No plan of at most 1.08B params reaches the loss 2; the least there is 2.0226",
        ),
        (
            (*SERVED, "--loss", "2.2", "--lever", "experts=8", "--max-memory", "80GB", *RENTED),
            "--max-memory: where serving is timed its devices have their own memory",
        ),
        (("--flops", "1e22", *JOINT, "--max-memory", "80"), "--max-memory: '80' "),
    ],
)
def test_what_cannot_keep_to_memory_says_so(command, arguments, message):
    code, out, err = command("plan", *arguments)
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {message}")


def test_a_plan_stands_alone_where_the_law_says_nothing_of_chinchillas(record):
    # The cheapest student to train has fewer than the two tokens a param of which the law speaks.
    law = js.laws.published("busbridge2025_teacher_exists")
    levers = {"teacher_params": 7e9, "teacher_tokens": 2e12}
    alone = interpreted(js.minimize_cost, law, 2.2, levers=levers)
    assert int(alone.status) == js.Status.BEYOND_LAW
    asked = ("plan", "--loss", "2.2", *DEMAND, "--law", "busbridge2025_teacher_exists")
    asked += ("--lever", "teacher_params=7B", "--lever", "teacher_tokens=2T")
    found = record(*asked)
    sizes = found["optimum"]["params"], found["optimum"]["tokens"]
    assert float(law.loss(*sizes, **levers)) == pytest.approx(2.2, rel=1e-6)
    assert found["saving"] is None
    assert set(found["chinchilla"].values()) == {None}


@pytest.mark.thorough
def test_a_table_says_that_there_is_no_chinchilla_plan(command):
    asked = ("plan", "--loss", "2.2", *DEMAND, "--law", "busbridge2025_teacher_exists")
    code, out, _ = command(*asked, "--lever", "teacher_params=7B", "--lever", "teacher_tokens=2T")
    assert code == 0
    assert "The law says nothing of the Chinchilla plan of this loss." in out
    assert "saving" not in out


def test_memory_bounds_several_budgets(command):
    asked = ("plan", "--flops", "1e22,1e23", "--law", "ludziejewski2025", "--max-memory", "80GB")
    out = command(*asked, "--lever", "experts=best").out
    assert out.count("at max memory") == 2
    assert "at max params" not in out


# --- Number formats ----------------------------------------------------------------------------

FORMATS = ("--law", "sun2025", "--lever", "scaling_block=128")


def test_a_format_sets_its_bits(record):
    asked = ("estimate", "--params", "7B", "--tokens", "1T", *FORMATS)
    named = record(*asked, "--lever", "format=e4m3")
    bits = record(*asked, "--lever", "exponent_bits=4", "--lever", "mantissa_bits=3")
    assert named == bits


@pytest.mark.parametrize(
    "words", [pytest.param("best", marks=pytest.mark.thorough), "E4M3, bf16, E2M1"]
)
def test_the_best_format_is_taken(record, words):
    asked = ("plan", "--loss", "2.5", *DEMAND, *FORMATS)
    found = record(*asked, "--lever", f"format={words}")
    names = js.laws.FORMATS if words == "best" else [word.strip() for word in words.split(",")]
    costs = {
        js.laws.FORMATS[name]: record(*asked, "--lever", f"format={name}")["optimum"]["total_cost"]
        for name in names
    }
    best, second, *_ = sorted(costs, key=lambda bits: costs[bits])
    bits = tuple(found["optimum"][name] for name in ("exponent_bits", "mantissa_bits"))
    assert bits == best
    # Both are solves of the same scenario, to the accuracy of the solver.
    assert found["optimum"]["total_cost"] == pytest.approx(costs[best], rel=1e-9)
    assert found["runner_up"]["excess"] == pytest.approx(costs[second] / costs[best] - 1, rel=1e-6)


@pytest.mark.parametrize(
    ("levers", "message"),
    [
        (["format=fp99"], "format 'fp99' is not known; known: E2M1, E2M3, E3M2, E4M3, E5M2, bf16"),
        (["format=E4M3", "mantissa_bits=2"], "give format or mantissa_bits, not both"),
        ([], "bits also as --lever format=NAME: E2M1"),
    ],
)
def test_a_wrong_format_is_named(command, levers, message):
    given = [word for lever in levers for word in ("--lever", lever)]
    code, _, err = command("plan", "--loss", "2.5", *DEMAND, *FORMATS, *given)
    assert code == 2
    assert message in err


def test_compare_chooses_a_format(command, record):
    asked = ("compare", "--loss", "2.5", *DEMAND, "--law", "sun2025")
    (row,) = record(*asked)["laws"]
    assert row["chosen"] == ["exponent_bits", "mantissa_bits"]
    plan = record("plan", *asked[1:], *FORMATS[2:], "--lever", "format=best")
    assert row["optimum"] == plan["optimum"]
    out = command(*asked, "--lever", "format=E4M3,bf16").out
    assert "format E4M3 (best), scaling block 128" in out
    assert "dearer with format bf16" in out


@pytest.mark.parametrize(
    "asked",
    [("estimate", "--params", "7B", "--tokens", "1T"), ("plan", "--like-params", "7B", *DEMAND)],
)
def test_a_loss_on_another_scale_is_said_to_be(command, asked):
    out = command(*asked, "--law", "li2025").out
    assert "The loss is on a scale of its own, as of nats per character." in out
    assert "The loss is" not in command(*asked).out
