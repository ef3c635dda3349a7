"""`jaxscale estimate`: two of three give the rest."""

import json

import pytest

import jaxscale as js

pytest.importorskip("typer")


@pytest.fixture
def estimate(command):
    def run(*arguments):
        code, out, err = command("estimate", *arguments, "--json")
        assert (code, err) == (0, "")
        return json.loads(out)

    return run


@pytest.mark.parametrize(
    "arguments",
    [
        ("--params", "70B", "--tokens", "1.4T"),
        ("--params", "70B", "--flops", "5.88e23"),
        ("--tokens", "1.4T", "--flops", "5.88e23"),
    ],
)
def test_two_of_three_give_the_third_and_the_loss(estimate, arguments):
    found = estimate(*arguments)
    assert found["params"] == pytest.approx(70e9)
    assert found["tokens"] == pytest.approx(1.4e12)
    assert found["flops"] == pytest.approx(5.88e23)
    assert found["tokens_per_param"] == pytest.approx(20)
    law = js.laws.published("sardana2024")
    assert found["loss"] == pytest.approx(float(law.loss(70e9, 1.4e12)), rel=1e-9)
    assert found["dollars"] is None
    assert found["device_hours"] is None


@pytest.mark.parametrize("given", ["params", "tokens", "flops"])
def test_one_is_enough_when_training_is_compute_optimal(estimate, given):
    best = js.minimize_loss(js.laws.published("sardana2024"), 5.76e23)
    whole = {"params": float(best.params), "tokens": float(best.tokens), "flops": 5.76e23}
    found = estimate(f"--{given}", repr(whole[given]), "--compute-optimal")
    # The size given in the test may be a float32, where the whole run is.
    assert {name: found[name] for name in whole} == pytest.approx(whole, rel=3e-6)


def test_besiroglu_et_al_find_about_twenty_tokens_per_param_for_chinchilla(estimate):
    found = estimate("--flops", "5.76e23", "--compute-optimal", "--law", "besiroglu2024")
    assert found["tokens_per_param"] == pytest.approx(20, rel=0.1)


def test_dollars_and_device_hours_on_an_accelerator(estimate):
    sizes = ("--params", "70B", "--tokens", "1.4T")
    found = estimate(
        *sizes, "--train-on", "H100-SXM", "--train-price", "2.69", "--train-mfu", "40%"
    )
    hours = 6 * 70e9 * 1.4e12 / (989e12 * 0.4) / 3600
    assert found["device_hours"] == pytest.approx(hours)
    assert found["dollars"] == pytest.approx(2.69 * hours)


def test_precision_sets_the_peak(estimate):
    sizes = ("--params", "70B", "--tokens", "1.4T", "--train-on", "H100-SXM", "--train-price", "2")
    bf16, fp8 = estimate(*sizes), estimate(*sizes, "--train-precision", "fp8")
    assert bf16["dollars"] / fp8["dollars"] == pytest.approx(1979 / 989)


def test_the_table_prints_sizes_loss_and_price(command):
    options = ("--train-on", "A100-40GB")  # one quote: its price is the default
    code, out, err = command("estimate", "--params", "7B", "--tokens", "2T", *options)
    assert (code, err) == (0, "")
    hours = 6 * 7e9 * 2e12 / (312e12 * 0.5) / 3600
    for printed in ("7.00B", "2.00T", "286", "8.40e22 FLOPs", f"{hours / 1e3:.0f}K"):
        assert printed in out
    assert f"${1.1 * hours / 1e3:.0f}K" in out
    assert "Extrapolated" in out


def test_without_an_accelerator_there_is_no_price(command):
    out = command("estimate", "--params", "1B", "--tokens", "20B").out
    assert "1.20e20 FLOPs" in out
    assert "$" not in out
    assert "Extrapolated" not in out
