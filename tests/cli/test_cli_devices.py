"""Accelerators of one's own on the command line."""

import json

import pytest

import jaxscale as js
from jaxscale._written import data_rate, flop_rate, memory

pytest.importorskip("typer")

from jaxscale.cli.devices import device_of, read_device
from jaxscale.cli.mistakes import Mistake

FILE = """
[accelerators.ours]
peak_flops = { bf16 = 989e12 }
memory_bytes = 80e9
memory_bandwidth = 3.35e12
price = 2
source = "our data sheet"
"""


def test_numbers_of_a_device_are_read():
    device = read_device("peak=989T, fp8=1979T, bandwidth=3.35T, memory=80G, price=$2, domain=8")
    assert device.peak_flops == {"bf16": 989e12, "fp16": 989e12, "fp8": 1979e12}
    assert (device.memory_bandwidth, device.memory_bytes) == (3.35e12, 80e9)
    assert (device.price, device.domain) == (2.0, 8.0)
    assert read_device("h100 sxm") == js.accelerator("H100-SXM")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("peek=989T", "unknown key 'peek' .did you mean peak"),
        ("peak=989T,peak=1T", "peak is given twice"),
        ("bandwidth=3T", "no peak in 'bandwidth=3T'; write peak=989T,"),
        ("peak=989", "peak: '989' is too little for a device: write 989T"),
        ("peak=989T,memory=80", "memory: '80' is too little for a device: write 80G"),
        ("peak=989T,bandwidth=fast", "bandwidth: 'fast' is not a number"),
        ("peak=989T,price=0", "price: '0' must be greater than zero"),
        ("none.toml", "cannot read 'none.toml'"),
    ],
)
def test_a_mistake_in_numbers_of_a_device_is_named(text, said):
    with pytest.raises(ValueError, match=said):
        read_device(text)


@pytest.mark.parametrize(
    ("read", "written", "value"),
    [
        (memory, "80G", 80e9),
        (memory, "80 GB", 80e9),
        (memory, "80B", 80e9),
        (memory, "96GiB", 96 * 2**30),
        (memory, "1.5e11", 1.5e11),
        (data_rate, "3.35T", 3.35e12),
        (data_rate, "3.35TB/s", 3.35e12),
        (data_rate, "900 GB/s", 900e9),
        (data_rate, "820 GiB/s", 820 * 2**30),
        (flop_rate, "989T", 989e12),
        (flop_rate, "1.979Q", 1.979e15),
    ],
)
def test_quantities_of_devices_are_written_as_on_data_sheets(read, written, value):
    assert read(written) == value


def test_every_way_to_give_a_device_is_the_same_plan(command, tmp_path):
    path = tmp_path / "device.toml"
    path.write_text(FILE)
    ways = (
        ("peak=989T,price=2",),
        (str(path),),
        (f"{path}:ours",),
        ("H100-SXM", "--serve-price", "2"),
    )
    question = ("--like-params", "7B", "--inference-tokens", "1T")
    train = ("--train-on", "A100-80GB", "--train-price", "1.5")
    found = []
    for device, *price in ways:
        code, out, err = command("plan", *question, *train, "--serve-on", device, *price, "--json")
        assert (code, err) == (0, "")
        found.append(json.loads(out)["optimum"])
    assert all(each == found[0] for each in found)


def test_a_device_of_ones_own_is_printed(command, tmp_path):
    path = tmp_path / "device.toml"
    path.write_text(FILE)
    code, out, err = command("hardware", str(path))
    assert (code, err) == (0, "")
    assert "bf16 989 TFLOP/s" in out
    code, out, err = command("estimate", "--params", "7B", "--tokens", "1T", "--train-on", "peak=9")
    assert (code, out) == (2, "")
    assert "--train-on: peak: '9' is too little" in err


def test_numbers_stand_for_a_device_or_change_one():
    own = {"peak": 989e12, "bandwidth": 3.35e12, "memory": 80e9, "price": None}
    assert device_of("--on", None, own) == js.hardware.custom(989e12, 80e9, 3.35e12)
    assert device_of("--on", None, dict.fromkeys(own)) is None
    changed = device_of("--on", "H100-SXM", {"price": 2.0, "memory": 94e9, "peak": None})
    assert changed == js.accelerator("H100-SXM", price=2.0, memory_bytes=94e9)
    with pytest.raises(Mistake, match="give --on, or --bandwidth and --memory too"):
        device_of("--on", None, {"peak": 989e12})
    with pytest.raises(Mistake, match="give --on or --peak, not both"):
        device_of("--on", "H100-SXM", own)
    with pytest.raises(Mistake, match="--on: unknown accelerator 'H100-SMX'"):
        device_of("--on", "H100-SMX", {})
