"""Specifications: what is understood, and how each mistake is pointed at."""

import pickle
import re
import textwrap

import jax
import numpy as np
import pytest

import jaxscale as js
from jaxscale.laws import saved
from jaxscale.sweeping import spec

LOSS = "loss_nats_per_token = [1.9, 2.0, 2.1]"
DEMAND = "inference_tokens = 1e12"
DEVICES = 'train_on = "A100-40GB"\nserve_on = "A100-40GB"'


def written(axes=LOSS, fixed=DEMAND, top=""):
    """A specification whose axes begin on line 3."""
    return f"{top}\n[axes]\n{axes}\n[fixed]\n{fixed}\n"


def read(axes=LOSS, fixed=DEMAND, top=""):
    return spec.read(written(axes, fixed, top), name="a.toml")


def one(specification, **varied):
    return {name: float(x) for name, x in specification.scenario(**varied).items()}


def expected(law, loss, demand, costs=None, bounds=None):
    """Fields of one scenario by the public functions alone."""
    best = js.minimize_cost(law, loss, demand, costs, bounds)
    size = js.minimize_cost(law, loss)
    chinchilla = js.evaluate(law, size.params, size.tokens, demand, costs)
    return {
        "params": float(best.params),
        "total_cost": float(best.total_cost),
        "cost_ratio": float(best.total_cost / chinchilla.total_cost),
        "tokens_ratio": float(best.tokens / chinchilla.tokens),
    }


def assert_agrees(found, reference):
    assert {name: found[name] for name in reference} == pytest.approx(reference, rel=1e-5)


def test_ranges_and_lists_become_axes_with_units_in_the_order_written():
    axes = """requests = {from = 1e6, to = 1e8, count = 3, spacing = "log"}
loss_nats_per_token = {from = 2.2, to = 1.8, count = 5}
decode_mfu = [0.01, 0.05]"""
    fixed = f"input_tokens_per_request = 70\noutput_tokens_per_request = 215\n{DEVICES}"
    space = read(axes, fixed).space
    assert space.names == ("requests", "loss", "decode_mfu")
    requests, loss, mfu = space.coordinates()
    np.testing.assert_allclose(requests.values, [1e6, 1e7, 1e8])
    np.testing.assert_allclose(loss.values, [2.2, 2.1, 2.0, 1.9, 1.8])
    assert mfu.values.tolist() == [0.01, 0.05]
    assert loss.attributes == {"units": "nats/token", "long_name": "loss to reach"}


def test_the_default_is_a_million_scenarios_around_the_setting_of_sardana_et_al():
    found = spec.read()
    assert found.space.size == 1_000_000
    assert found.axes["decode_mfu"][2] == pytest.approx(0.01)
    assert found.axes["serve_price"][2] == pytest.approx(1.10)


def test_flops_where_no_accelerator_is_named():
    found = read("loss_nats_per_token = [1.9, 2.0]", "input_tokens = 2e12\noutput_tokens = 6e12")
    law = js.laws.published("sardana2024")
    reference = expected(law, 2.0, js.Demand(2e12, 6e12))
    assert_agrees(one(found, loss=2.0), reference)
    assert found.labels["total_cost"]["units"] == "FLOPs"


def test_dollars_where_accelerators_are_named():
    fixed = """requests = 1.5e9
input_tokens_per_request = 70
output_tokens_per_request = 215
train_on = "a100 80gb"
train_price_dollars_per_hour = 1.50
serve_on = "A100-40GB"
serve_precision = "int8"
max_params = 15e9"""
    found = read(fixed=fixed)
    costs = js.Costs.on(
        train=js.accelerator("A100-80GB", price=1.50),
        serve=js.accelerator("A100-40GB"),
        serve_precision="int8",
    )
    demand = js.Demand.from_requests(1.5e9, input_tokens=70, output_tokens=215)
    law = js.laws.published("sardana2024")
    reference = expected(law, 1.9583, demand, costs, js.Bounds(max_params=15e9))
    assert_agrees(one(found, loss=1.9583), reference)
    assert found.labels["total_cost"]["units"] == "dollars"


def test_accelerators_and_laws_may_be_axes():
    axes = f"""{LOSS}
law = ["sardana2024", "besiroglu2024"]
serve_on = ["A100-40GB", "H100-SXM"]"""
    fixed = f'{DEMAND}\ntrain_on = "A100-40GB"\nserve_price_dollars_per_hour = 2'
    found = read(axes, fixed)
    space = found.space
    assert space.sizes == (3, 2, 2)
    law, device = space.axes["law"], space.axes["serve_on"]
    assert (law.labels, device.labels) == (found.axes["law"], found.axes["serve_on"])
    h100 = jax.tree.map(lambda values: values[1], device.values)
    costs = js.Costs.on(
        train=js.accelerator("A100-40GB"), serve=js.accelerator("H100-SXM", price=2.0)
    )
    besiroglu = js.laws.published("besiroglu2024")
    reference = expected(besiroglu, 2.1, js.Demand(1e12), costs)
    assert_agrees(one(found, loss=2.1, law=besiroglu, serve_on=h100), reference)


PAIRED = {
    "table": (f"{LOSS}\nserve_on = {{A100-40GB = 1.5, H100-SXM = 2.5}}", ""),
    "lists": (
        f'{LOSS}\nserve_on = ["a100 40gb", "H100-SXM"]',
        "\nserve_price_dollars_per_hour = [1.5, 2.5]",
    ),
}


@pytest.mark.parametrize("way", PAIRED)
def test_prices_pair_with_the_accelerators_of_an_axis(way):
    axes, prices = PAIRED[way]
    found = read(axes, f'{DEMAND}\ntrain_on = "A100-40GB"{prices}')
    assert found.space.sizes == (3, 2)
    device = found.space.axes["serve_on"]
    assert device.labels == ("A100-40GB", "H100-SXM")
    train = js.accelerator("A100-40GB")
    for at, (name, price) in enumerate([("A100-40GB", 1.5), ("H100-SXM", 2.5)]):
        own = jax.tree.map(lambda values, at=at: values[at], device.values)
        costs = js.Costs.on(train=train, serve=js.accelerator(name, price=price))
        reference = expected(js.laws.published("sardana2024"), 2.1, js.Demand(1e12), costs)
        assert_agrees(one(found, loss=2.1, serve_on=own), reference)
    conditions = found.scenario.attributes["conditions"]
    assert "served on A100-40GB at $1.50 an hour, H100-SXM at $2.50 an hour (bf16" in conditions
    middle = found.at_middle(keep=("loss",))
    assert (middle.fixed["serve_on"], middle.fixed["serve_price"]) == ("H100-SXM", 2.5)
    assert_agrees(one(middle, loss=2.1), reference)
    assert found.in_flops().paired == {}


def test_an_accelerator_may_be_in_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.toml").write_text(
        "[accelerators.ours]\npeak_flops = { bf16 = 312e12 }\nmemory_bytes = 40e9\n"
        "memory_bandwidth = 1.555e12\nprice = 1.1\nsource = 'ours'\n"
    )
    same = one(read(LOSS, f"{DEMAND}\n{DEVICES}"), loss=2.1)
    own = read(LOSS, f"{DEMAND}\n{DEVICES}".replace("A100-40GB", "own.toml"))
    assert one(own, loss=2.1) == same
    axis = read(
        f"{LOSS}\nserve_on = {{ 'own.toml:ours' = 2, H100-SXM = 2 }}",
        f"{DEMAND}\ntrain_on = 'own.toml'",
    )
    axis.space.axes["serve_on"].check("serve_on", "float32")
    assert axis.space.axes["serve_on"].labels == ("ours", "H100-SXM")


def test_a_law_may_be_of_any_family_without_levers():
    found = read(fixed=f"law = 'kaplan2020'\n{DEMAND}")
    law = js.laws.published("kaplan2020")
    assert_agrees(one(found, loss=2.5), expected(law, 2.5, js.Demand(1e12)))


def test_a_law_may_be_given_by_its_coefficients():
    law = "law = {E = 1.7, A = 400, B = 410, alpha = 0.34, beta = 0.28}"
    found = read(fixed=f"{law}\n{DEMAND}")
    own = js.laws.Chinchilla(E=1.7, A=400.0, B=410.0, alpha=0.34, beta=0.28)
    assert_agrees(one(found, loss=2.1), expected(own, 2.1, js.Demand(1e12)))


def test_a_law_of_any_family_may_be_given_by_its_coefficients():
    law = "law = {family = 'Kaplan', N_c = 8.8e13, D_c = 5.4e13, alpha_N = 0.076, alpha_D = 0.095}"
    found = read(fixed=f"{law}\n{DEMAND}")
    own = js.laws.Kaplan(N_c=8.8e13, D_c=5.4e13, alpha_N=0.076, alpha_D=0.095)
    assert_agrees(one(found, loss=2.5), expected(own, 2.5, js.Demand(1e12)))
    assert found.scenario.attributes["conditions"].startswith("Kaplan law N_c 8.8e+13, D_c 5.4e+13")


def test_levers_of_a_law_are_fixed_values_or_axes():
    law, demand = js.laws.published("kumar2024"), js.Demand(1e12)

    def solved(bits):
        best = js.minimize_cost(law, 3.0, demand, levers={"bits": bits})
        size = js.minimize_cost(law, 3.0, levers={"bits": bits})
        plain = js.evaluate(law, size.params, size.tokens, demand, levers={"bits": bits})
        return {
            "params": float(best.params),
            "cost_ratio": float(best.total_cost / plain.total_cost),
        }

    loss = "loss_nats_per_token = [3.0]"
    fixed = read(loss, f"{DEMAND}\nlaw = 'kumar2024'\nlevers.bits = 8")
    assert_agrees(one(fixed, loss=3.0), solved(8.0))
    assert "law kumar2024; bits 8; " in fixed.scenario.attributes["conditions"]
    axis = read(f"{loss}\nlevers.bits = [4, 8, 16]", f"{DEMAND}\nlaw = 'kumar2024'")
    assert axis.space.names == ("loss", "bits")
    for bits in (4.0, 16.0):
        assert_agrees(one(axis, loss=3.0, bits=bits), solved(bits))


def test_memory_is_a_bound_by_number_of_experts():
    law, demand = js.laws.published("ludziejewski2025"), js.Demand(1e12)
    axes = "loss_nats_per_token = [2.2]\nmax_memory_bytes = [24e9, 80e9]\nlevers.experts = [1, 8]"
    found = read(axes, f"{DEMAND}\nlaw = 'ludziejewski2025'")
    assert found.space.axes["max_memory"].attributes["units"] == "bytes"
    for experts, memory in ((1.0, 80e9), (8.0, 24e9)):
        levers = {"levers": {"experts": experts}}
        best = js.minimize_cost(law, 2.2, demand, bounds=js.Bounds(max_memory=memory), **levers)
        wanted = {"params": float(best.params)}
        assert_agrees(one(found, loss=2.2, max_memory=memory, experts=experts), wanted)


def test_the_example_of_the_module_is_a_specification():
    (example,) = re.findall(r"\n\n((?: {4}.*\n|\n)+)", spec.__doc__)
    found = spec.read(textwrap.dedent(example))
    assert found.space.sizes == (101, 101, 2)
    assert found.fields == ("params", "total_cost", "status")


def test_a_law_in_a_file_has_its_levers_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    law = js.laws.published("kumar2024")
    saved.write("mine.json", law, {"ranges": {}})
    found = read("loss_nats_per_token = [3.0]", f"{DEMAND}\nlaw = 'mine.json'\nlevers.bits = 8")
    best = js.minimize_cost(law, 3.0, js.Demand(1e12), levers={"bits": 8.0})
    assert one(found, loss=3.0)["params"] == pytest.approx(float(best.params), rel=1e-5)


def test_the_default_of_read_and_what_it_shows():
    assert repr(spec.read()).startswith(
        "Specification of 1,000,000 scenarios: loss (200), requests (200), decode_mfu (5), "
    )
    with pytest.raises(FileNotFoundError, match="cannot read the specification 'no such file"):
        spec.read("no such file.toml")


def test_fields_are_those_asked_for_and_the_status():
    found = read(top='fields = ["params", "plan_loss"]')
    assert found.fields == ("params", "plan_loss", "status")
    assert list(one(found, loss=2.0)) == list(found.fields)
    assert list(found.labels) == list(found.fields)


def test_costs_in_flops_need_nothing_of_the_dollars():
    whole = spec.read()
    bare = whole.in_flops()
    assert list(bare.axes) == ["loss", "requests"]
    demand = js.Demand.from_requests(1e9, input_tokens=70, output_tokens=215)
    reference = expected(js.laws.published("sardana2024"), 2.0, demand)
    assert_agrees(one(bare, loss=2.0, requests=1e9), reference)


def test_the_scenario_function_can_be_sent_to_another_process():
    found = read()
    sent = pickle.loads(pickle.dumps(found.scenario))
    assert {name: float(x) for name, x in sent(loss=2.0).items()} == one(found, loss=2.0)


def test_conditions_are_stated_in_words():
    default = spec.read()
    assert default.scenario.attributes["conditions"] == (
        "law sardana2024; each request reads 70 tokens and writes 215 tokens; "
        "trained on A100-80GB (bf16, $1.50 an hour, 50 % MFU); "
        "served on A100-40GB (int8, 50 % prefill MFU)"
    )


# What is written, and what must be answered.
MISTAKES = [
    # keys and units
    (dict(axes="loss_bits = [2, 3]"), "line 3: loss_bits: unknown key (did you mean loss_nats_per"),
    (dict(axes="loss_bits = [2, 3]"), "loss_nats_per_token, in nats/token?)"),
    (
        dict(fixed=f"{DEMAND}\n{DEVICES}\nserve_price_dollars = 2"),
        "line 8: serve_price_dollars: unknown key (did you mean serve_price_dollars_per_hour,",
    ),
    (dict(fixed=f"{DEMAND}\nprice_dollars_per_hour = 2"), "did you mean train_price_dollars_per"),
    (dict(fixed=f"{DEMAND}\ndecode_mfu_percent = 1"), "did you mean decode_mfu?)"),
    (
        dict(fixed="requests_millions = 3"),
        "line 5: requests_millions: unknown key (did you mean re",
    ),
    (dict(fixed=f"{DEMAND}\nlaww = 'x'"), "laww: unknown key (did you mean law?)"),
    (dict(top="fixd = 1"), "line 1: fixd: unknown key (did you mean fixed?)"),
    (dict(top="law = 'sardana2024'"), "line 1: law: belongs under [axes] or [fixed]"),
    (dict(fixed=f"{DEMAND}\nfields = ['params']"), "line 6: fields: belongs at the top, above"),
    (
        dict(top="fields = ['parms']"),
        "line 1: fields: unknown field 'parms' (did you mean params?)",
    ),
    (dict(top="fields = []"), "line 1: fields: must be a list of names"),
    (dict(top="fields = [['params']]"), "line 1: fields: unknown field ['params']"),
    (dict(top="fields = 'params'"), "line 1: fields: must be a list of names"),
    # axes
    (dict(axes="loss_nats_per_token = []"), "line 3: loss_nats_per_token: the list is empty"),
    (dict(axes="loss_nats_per_token = [2, 1.9, 2.1]"), "must rise or fall throughout; 1.9 is foll"),
    (dict(axes="loss_nats_per_token = [2, 2]"), "must rise or fall throughout; 2 is followed by 2"),
    (dict(axes="loss_nats_per_token = 2"), "line 3: loss_nats_per_token: an axis is a list or {f"),
    (dict(axes="loss_nats_per_token = [2, '3']"), "must be a number, without quotes"),
    (dict(axes="loss_nats_per_token = [2, nan]"), "must be above 0 and finite; got nan"),
    (dict(axes="loss_nats_per_token = [-2, 2]"), "must be above 0 and finite; got -2"),
    (
        dict(axes="loss_nats_per_token = {from = 1, to = 2}"),
        "line 3: loss_nats_per_token: count mi",
    ),
    (
        dict(axes="loss_nats_per_token = {from = 2, to = 2, count = 9}"),
        "from and to must differ for 9 values; both are 2.0",
    ),
    (dict(axes="loss_nats_per_token = {from = 1, to = 2, count = 0}"), "count must be 1 to 16,777"),
    (
        dict(axes="loss_nats_per_token = {from = 1, to = 2, count = 9.5}"),
        "line 3: count: must be a",
    ),
    (
        dict(axes="loss_nats_per_token = {from = 1, to = 2, count = 9, step = 1}"),
        "line 3: step: unknown key; write loss_nats_per_token = {from",
    ),
    (
        dict(axes="loss_nats_per_token = {from = 1, to = 2, count = 9, spacing = 'ln'}"),
        'line 3: spacing: must be "linear" or "log"; got \'ln\'',
    ),
    (
        dict(
            axes=f"{LOSS}\nrequests = {{from = 0, to = 9, count = 3, spacing = 'log'}}",
            fixed="input_tokens_per_request = 70\noutput_tokens_per_request = 215",
        ),
        "line 4: requests: from must be above 0 on a geometric axis; got 0.0",
    ),
    (
        dict(axes=f"{LOSS}\ntrain_precision = ['bf16']"),
        "line 4: train_precision: cannot be an axis",
    ),
    (dict(axes=f"{LOSS}\nlaw = 'sardana2024'"), "must be a list of names; a single one belongs un"),
    (dict(axes=f"{LOSS}\nlaw = []"), "line 4: law: the list is empty"),
    (
        dict(axes=f"{LOSS}\nlaw = ['sardana2024', 'devries2023']"),
        "'devries2023' is given twice, on",
    ),
    (
        dict(axes=f"{LOSS}\nlaw = ['sardana2O24']"),
        "unknown law 'sardana2O24' (did you mean sardana",
    ),
    (
        dict(axes=f"{LOSS}\nlaw = ['sardana2024', 'kaplan2020']"),
        "line 4: law: the laws of an axis must be of one family; sardana2024 is of Chinchilla and",
    ),
    (
        dict(fixed=f"{DEMAND}\nlaw = 'kumar2024'"),
        "line 6: law: kumar2024 needs levers.bits, 3 to 16, under [axes] or [fixed]",
    ),
    (
        dict(fixed=f"{DEMAND}\nlaw = 'kumar2024'\nlevers.bits = 2"),
        "line 7: bits: must be 3 to 16 and finite; got 2",
    ),
    (
        dict(fixed=f"{DEMAND}\nlaw = 'kumar2024'\nlevers.bit = 8"),
        "line 7: bit: is not a lever of kumar2024 (did you mean bits?); its levers: bits",
    ),
    (dict(fixed=f"{DEMAND}\nlevers.bits = 8"), "is not a lever of sardana2024; its levers: none"),
    (dict(fixed=f"{DEMAND}\nlevers = 8"), "line 6: levers: must be a table; write levers.NAME"),
    (
        dict(axes=f"{LOSS}\nlevers.bits = 8", fixed=f"{DEMAND}\nlaw = 'kumar2024'"),
        "line 4: bits: an axis is a list or {from",
    ),
    (
        dict(
            axes=f"{LOSS}\nlevers.bits = [4, 8]",
            fixed=f"{DEMAND}\nlaw = 'kumar2024'\nlevers.bits = 8",
        ),
        "line 8: bits: is an axis too; give it once",
    ),
    (
        dict(fixed=f"{DEMAND}\nlaw = {{family = 'Kaplen'}}"),
        "line 6: family: unknown family 'Kaplen' (did you mean Kaplan?); known: Chinchilla, Kap",
    ),
    (
        dict(fixed=f"{DEMAND}\nlaw = {{family = 'Kaplan', E = 1}}"),
        "line 6: E: is not a coefficient of a Kaplan law; they are N_c, D_c, alpha_N, alpha_D",
    ),
    (
        dict(fixed=f"{DEMAND}\nlaw = {{family = 'Kaplan', N_c = 1e13}}"),
        "line 6: law: D_c, alpha_N, alpha_D missing",
    ),
    (dict(axes=f"{LOSS}\nlaw = [3]"), "line 4: law: must be the name of a law; got 3"),
    (dict(axes=""), "a.toml: give at least one axis under [axes]"),
    # fixed values
    (dict(fixed="inference_tokens = -1"), "line 5: inference_tokens: must be 0 or more and finite"),
    (dict(fixed="inference_tokens = true"), "inference_tokens: must be a number; got True"),
    (dict(fixed="inference_tokens = [1, 2]"), "must be a number; a list belongs under [axes]"),
    (dict(fixed=f"{DEMAND}\nlaw = ['sardana2024']"), "line 6: law: a list belongs under [axes]"),
    (dict(fixed=f"{DEMAND}\nlaw = {{E = 1}}"), "line 6: law: A, B, alpha, beta missing"),
    (
        dict(fixed=f"{DEMAND}\nlaw = {{e = 1}}"),
        "line 6: e: is not a coefficient of a Chinchilla law",
    ),
    (
        dict(fixed=f"{DEMAND}\n{DEVICES}\ntrain_mfu = 50"),
        "above 0 and at most 1 and finite; got 50",
    ),
    (dict(fixed=f"{DEMAND}\n{DEVICES}\nserve_precision = 'fp61'"), "unknown precision 'fp61' (did"),
    (dict(fixed=f"{DEMAND}\n{DEVICES}\nserve_precision = 'fp8'"), "A100-40GB has no peak for prec"),
    (dict(fixed=f"{DEMAND}\ntrain_on = 'A100-41GB'"), "did you mean A100-40GB?"),
    # prices of an axis of accelerators
    (
        dict(
            axes=f"{LOSS}\nserve_on = ['A100-40GB', 'H100-SXM', 'L4']",
            fixed=f"{DEMAND}\ntrain_on = 'A100-40GB'\nserve_price_dollars_per_hour = [1, 2]",
        ),
        "line 8: serve_price_dollars_per_hour: must have a price for each of the 3 accelerators of "
        "serve_on; got 2",
    ),
    (
        dict(
            axes=f"{LOSS}\nserve_on = {{A100-40GB = 1, H100-SXM = 2}}",
            fixed=f"{DEMAND}\ntrain_on = 'A100-40GB'\nserve_price_dollars_per_hour = 1",
        ),
        "line 8: serve_price_dollars_per_hour: serve_on has a price for each accelerator already",
    ),
    (
        dict(axes=f"{LOSS}\nserve_on = {{A100-40GB = 1, H100-SXM = -2}}"),
        "line 4: H100-SXM: must be above 0 and finite; got -2",
    ),
    (
        dict(
            axes=f"{LOSS}\nserve_on = {{A100-40GB = 1}}",
            fixed=f"{DEMAND}\ntrain_on = 'A100-40GB'\nserve_precision = 'fp8'",
        ),
        "line 8: serve_precision: A100-40GB has no peak for precision 'fp8'",
    ),
    (
        dict(fixed=f"{DEMAND}\n{DEVICES}\nserve_price_dollars_per_hour = [1, 2]"),
        "must be a number; a list belongs under [axes]",
    ),
    # together
    (dict(axes="decode_mfu = [0.1]"), "a.toml: loss_nats_per_token is missing"),
    (dict(fixed=""), "a.toml: the demand is missing: use inference_tokens; or input_tokens with"),
    (dict(fixed=f"{DEMAND}\nrequests = 1"), "the demand is given in more than one way"),
    (dict(fixed="input_tokens = 1"), "give output_tokens too, or 0 where there is none"),
    (
        dict(fixed=f"{DEMAND}\ntrain_on = 'L4'"),
        "give serve_on too: dollars need train_on and serve",
    ),
    (dict(fixed=f"{DEMAND}\ntrain_mfu = 0.4"), "line 6: train_mfu: needs train_on and serve_on: w"),
    (
        dict(fixed=f"{DEMAND}\ntrain_on = 'A100-40GB'\nserve_on = 'L4'"),
        "line 7: serve_on: L4 has no default price: give serve_price_dollars_per_hour; q",
    ),
    (
        dict(fixed=f"{DEMAND}\nloss_nats_per_token = 2"),
        "line 6: loss_nats_per_token: is an axis too",
    ),
    (
        dict(fixed=f"{DEMAND}\nmax_memory_bytes = 80e9"),
        "line 6: max_memory_bytes: sardana2024 does not say what its models take in memory",
    ),
    # the text itself
    (dict(top="fields ="), "a.toml: not TOML: Invalid value (at line 1"),
    (dict(top="axes = 3\n#"), "not TOML"),
]


@pytest.mark.parametrize(("parts", "answer"), MISTAKES, ids=[answer for _, answer in MISTAKES])
def test_a_mistake_names_line_key_and_what_was_meant(parts, answer):
    with pytest.raises(ValueError) as caught:
        read(**parts)
    message = str(caught.value)
    assert message.startswith("a.toml")
    assert answer in message


def test_a_section_that_is_none_is_told_how_to_be_one():
    with pytest.raises(
        ValueError, match="line 1: axes: must be a section; write \\[axes\\] on a line"
    ):
        spec.read("axes = 3\n", name="a.toml")


def test_lines_are_found_for_dotted_keys_and_tables_of_their_own():
    table = '[axes.loss_nats_per_token]\nfrom = 1.8\nto = "x"\ncount = 3'
    text = f"fixed.inference_tokens = 1e12\n\n{table}"
    with pytest.raises(ValueError, match="line 5: to: must be a number"):
        spec.read(text, name="a.toml")
    with pytest.raises(ValueError, match="line 1: inference_tokens: must be 0 or more"):
        spec.read(text.replace("1e12", "-1").replace('"x"', "2"), name="a.toml")


def test_read_takes_a_name_with_a_tilde_that_has_no_home_as_it_stands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError):
        spec.read("~nosuch.toml")


def test_what_cannot_be_read_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OSError, match=r"'x = = 1': No such file .*; a text has more than one line"):
        spec.read("x = = 1")
    with pytest.raises(OSError, match=r"cannot read the specification '.*': Is a directory"):
        spec.read(tmp_path)
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x80")
    with pytest.raises(ValueError, match=r"cannot read the .* 'binary.toml': it is not text"):
        spec.read("binary.toml")
    with pytest.raises(TypeError, match=r"source must be a path or a text in TOML; got 3 \(int\)"):
        spec.read(3)
