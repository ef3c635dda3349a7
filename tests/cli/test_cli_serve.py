"""`jaxscale serve` and `compare --hardware`: the library's numbers, and one line for a mistake."""

import json

import pytest

import jaxscale as js
from jaxscale._numerics.interpreted import interpreted

pytest.importorskip("typer")

from jaxscale._written import elapsed

SHAPE = js.architectures.published("llama-3-70b")
ASKED = ("llama-3-70b", "--context", "8k", "--prompt", "1k", "--output", "200", "--max-latency")
REQUESTS = js.serving.Requests(1000, 200, kept=8000)
LIMITS = js.serving.Limits(token_seconds=0.05)


def words(text):
    return " ".join(text.split())


def test_the_cheapest_deployment_and_the_front_are_those_of_the_library(command):
    on = ("--on", "H100-SXM", "--price", "2")
    code, out, err = command("serve", *ASKED, "50ms", *on, "--json")
    assert (code, err) == (0, "")
    record = json.loads(out)
    device = js.accelerator("H100-SXM", price=2.0)
    best = js.serving.best(SHAPE, device, REQUESTS, LIMITS)
    front = js.serving.front(SHAPE, device, REQUESTS, LIMITS)
    assert record["best"]["deployment"] == js.serving.name_of(best.deployment)
    for name in ("batch", "token_seconds", "dollars_per_million_output_tokens", "decode_mfu"):
        assert record["best"][name] == pytest.approx(float(getattr(best.service, name)), rel=1e-4)
    assert len(record["front"]) == len(front)
    for point, price in zip(record["front"], front.dollars_per_request, strict=True):
        assert point["dollars_per_request"] == pytest.approx(float(price), rel=1e-4)
    assert record["devices"] == [{"name": "H100-SXM", "price": 2.0, "quote": None}]
    # The cheapest is on the front, at its cheap end.
    assert record["front"][-1]["deployment"] == record["best"]["deployment"]


def test_the_table_says_what_binds_and_which_quote_is_used(command, tmp_path):
    picture = tmp_path / "front.png"
    on = ("--on", "H100-SXM", "--rate", "100", "--picture", str(picture))
    code, out, err = command("serve", *ASKED, "50ms", *on)
    assert (code, err) == (0, "")
    text = words(out)
    lowest = min(each.dollars_per_hour for each in js.accelerator("H100-SXM").quotes)
    assert f"H100-SXM at ${lowest:.2f} an hour: the lowest of 2 quotes" in text
    assert "as many as 50.0 ms a token allows" in text
    assert "limited by weights: Reading weights takes the most time" in text
    assert "for 100 requests/s" in text
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_number_of_params_is_a_shape_of_a_family(command):
    asked = ("--context", "4k", "--on", "H200", "--count", "1", "--json")
    record = json.loads(command("serve", "13B", *asked).out)
    family = js.architectures.LLAMA
    requests = js.serving.Requests(1155, 211, kept=4000)
    device = js.accelerator("H200", price=record["devices"][0]["price"])
    shape = js.architectures.Family(**{**vars(family), "context": 4000.0}).architecture(13e9)
    served = interpreted(js.serving.serve, shape, js.serving.Deployment(device), requests)
    assert record["best"]["batch"] == pytest.approx(float(served.batch), rel=1e-4)
    assert record["requests"]["context"] == 4000


def test_a_device_of_ones_own_serves(command):
    numbers = ("--peak", "989T", "--bandwidth", "3.35T", "--memory", "80G", "--price", "2")
    own = json.loads(command("serve", "llama-3-8b", *numbers, "--json").out)
    same = ("--on", "H100-SXM", "--price", "2", "--count", "1")
    listed = json.loads(command("serve", "llama-3-8b", *same, "--json").out)
    assert own["best"]["count"] == 1
    for name in ("batch", "dollars_per_request"):
        assert own["best"][name] == pytest.approx(listed["best"][name], rel=1e-3)


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        (
            "llama-3-70b --on H200 --context 16k",
            "--context: 16,000 tokens are more than the 8,192 of llama-3-70b",
        ),
        (
            "llama-3-70b --on H200 --prompt 8k --output 1k",
            "--prompt and --output: what a request reads and writes must fit the 8,192 tokens of",
        ),
        (
            "llama-3-70b --on H200 --context 1k --prompt 1k",
            "--prompt: what a request reads and writes must fit the 1,000 tokens of --context",
        ),
        ("llama-3-70b --on H200 --batch 0", "--batch: '0' must be greater than zero"),
        ("llama-3-70b --on H200 --batch 0.5", "--batch: '0.5' must be at least 1"),
        (
            "llama-3-70b --on V100 --price 1",
            "--activations: V100 has no peak for precision 'bf16'; it has fp32, fp16",
        ),
        ("llama-3-70b --on MI250X", "--price: no quote for MI250X is known; give its price"),
        ("llama-3-70b --on H200 --weights fp9", "--weights: unknown precision of weights 'fp9'"),
        (
            "llama-3-70b --on H100-SXM --count 1",
            "llama-3-70b has weights of 141 GB, and 1 x H100-SXM 72.0 GB that can be used: weights",
        ),
        ("llama-3-70b --on A10G --price 1", "Only one device was tried: no source gives the link"),
        (
            "7B --on A10G --price 1 --count 8",
            "--count: no source gives the link between devices of",
        ),
        ("llama-3-70b --on H200 --max-latency 2ms", "no batch answers within the limits"),
        (
            "llama-3-70b --on H200 --max-latency 50",
            "--max-latency: '50' is not a time; write it like 50ms,",
        ),
        ("llama-3-70b --on H200 --on L4 --price 2", "--price: '2' is of no device: write NAME=2"),
        ("llama-3-70b --on H200 --price L4=2", "--price: unknown device 'L4'; known: H200"),
        ("llama-3-70b", "give --on, such as --on H100-SXM"),
        ("7B --on peak=989T,price=2", "--on: custom device needs its memory and bandwidth too"),
        ("7B --family gpt --on H200", "--family: unknown family 'gpt'; known: llama, chinchilla"),
    ],
)
def test_a_mistake_is_one_line(command, arguments, answer):
    code, out, err = command("serve", *arguments.split())
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert answer in err


def test_times_are_written_with_three_digits():
    assert [elapsed(x) for x in (0.05, 1.0, 12.3456, 2e-6)] == [
        "50.0 ms",
        "1.00 s",
        "12.3 s",
        "0.00200 ms",
    ]


def test_accelerators_are_compared_cheapest_first_with_reasons(command):
    prices = ("--price", "MI300X=2.50", "--price", "V100=1", "--price", "A10G=1")
    asked = ("compare", "--hardware", "llama-3-70b", "--max-latency", "50ms", *prices)
    (record,) = json.loads(command(*asked, "--json").out)["models"]
    able = [each for each in record["accelerators"] if each["best"]]
    others = {each["accelerator"]: each for each in record["accelerators"] if not each["best"]}
    costs = [each["best"]["dollars_per_request"] for each in able]
    assert costs == sorted(costs)
    assert {each["accelerator"]: each["price"] for each in able}["MI300X"] == 2.5
    assert all(each["best"]["token_seconds"] <= 0.05 * (1 + 1e-9) for each in able)
    assert {name: others[name]["reason"] for name in ("V100", "A10G", "L4")} == {
        "V100": "precision",
        "A10G": "memory",
        "L4": "time",
    }
    # Each row is what `best` finds for the device alone.
    device = js.accelerator(able[1]["accelerator"], price=able[1]["price"])
    requests = js.serving.Requests(1155, 211)
    alone = js.serving.best(SHAPE, device, requests, LIMITS).service
    assert costs[1] == pytest.approx(float(alone.dollars_per_request), rel=1e-4)
    text = words(command(*asked).out)
    assert "precision V100 has no peak for precision 'bf16'" in text
    assert text.index("x MI300X") < text.index("x H200") < text.index("x A100-40GB")


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        ("--hardware", "give a model to serve"),
        ("llama-3-8b", "'llama-3-8b' is a model to serve: add --hardware"),
        ("--hardware --loss 2 llama-3-8b", "--loss is an option of jaxscale compare without"),
        ("--loss 2 --max-latency 50ms", "--max-latency is an option of jaxscale compare with"),
        (
            "--hardware llama-3-70b --on A10G --price 1",
            "no accelerator serves llama-3-70b, most for this",
        ),
    ],
)
def test_the_two_comparisons_are_not_mixed(command, arguments, answer):
    code, out, err = command("compare", *arguments.split())
    assert (code, out) == (2, "")
    assert answer in err


def test_whole_copies_at_the_rate_decide(command):
    # At 3 requests a second one L4 is too little and two are not half busy; an H100 costs more.
    prices = ("--on", "H100-SXM", "--on", "L4", "--price", "H100-SXM=2", "--price", "L4=0.4")
    rated = command("serve", "llama-3-8b", *prices, "--rate", "3")
    text = words(rated.out)
    assert "cheapest 2 x L4, 2 stages of 1" in text
    assert "devices 2: 1 copy of 2 x L4, 2 stages of 1 for 3 requests/s" in text
    assert "at that rate $0.800 an hour" in text
    asked = ("compare", "--hardware", "llama-3-8b", *prices, "--rate", "3")
    (record,) = json.loads(command(*asked, "--json").out)["models"]
    hourly = [each["best"]["dollars_per_hour"] for each in record["accelerators"]]
    assert hourly == pytest.approx([0.8, 2.0])
    assert words(command(*asked).out).index("x L4") < words(command(*asked).out).index("x H100")


def test_a_prompt_stretches_a_family_as_the_context_does(command):
    asked = ("serve", "13B", "--prompt", "9k", "--on", "H100-SXM", "--price", "2", "--json")
    alone, with_room = (
        json.loads(command(*asked, *rest).out) for rest in ((), ("--context", "9211"))
    )
    assert alone["requests"]["output"] == 211
    assert alone["best"] == with_room["best"]


def test_batches_of_a_front_are_whole_or_have_a_decimal(command):
    asked = ("serve", "13B", "--prompt", "9k", "--on", "H100-SXM", "--price", "2", "--count", "1")
    rows = [line.split() for line in command(*asked).out.splitlines() if "1 x H100-SXM  " in line]
    batches = [row[3] for row in rows if row[:3] == ["1", "x", "H100-SXM"]]
    assert batches == ["1", "2", "4", "6.0"]


def test_devices_of_ones_own_are_compared_and_quotes_are_told(command):
    numbers = ("--peak", "989T", "--bandwidth", "3.35T", "--memory", "80G", "--price", "2")
    asked = ("compare", "--hardware", "llama-3-8b", "--json")
    (own,) = json.loads(command(*asked, *numbers).out)["models"]
    (row,) = own["accelerators"]
    assert (row["accelerator"], row["price"], row["quote"]) == ("custom device", 2.0, None)
    (listed,) = json.loads(command(*asked, "--on", "H100-SXM").out)["models"]
    (row,) = listed["accelerators"]
    quotes = [vars(each) for each in js.accelerator("H100-SXM").quotes]
    assert row["quote"] == min(quotes, key=lambda each: each["dollars_per_hour"])
    assert row["price"] == row["quote"]["dollars_per_hour"]
    code, _, err = command("compare", "--hardware", "7B", "--on", "peak=989T,price=2")
    assert code == 2
    assert "custom device needs its memory_bytes and memory_bandwidth to serve." in err
