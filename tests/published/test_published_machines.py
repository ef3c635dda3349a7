"""Failures, owned machines and energy: published numbers. "Computed apart" as elsewhere."""

import jax
import numpy as np
import pytest
from numpy.testing import assert_allclose

import jaxscale as js
from jaxscale import economics
from published.numbers import assert_printed

if not jax.config.jax_enable_x64:
    pytest.skip("printed digits are held to in float64", allow_module_level=True)

HOUR = 3600
H100 = js.accelerator("H100-SXM")
LLAMA_3 = "Dubey et al. 2024, arXiv 2407.21783, Section 3.3.4"
LLAMA_3_1 = "meta-llama/llama-models, MODEL_CARD.md of Llama 3.1"
EPOCH = "epoch-research/training-cost-trends, training_cost_trends"

# Seconds: checkpoint, mean time between failures, restart; interval and slowdown, exact, by Young
# and by Daly. Computed apart from the formulas of Daly 2006.
INTERVALS = [
    (30, 10800, 600, (785.110, 1.140000), (804.984, 1.140026), (785.109, 1.140000)),
    (60, 86400, 1800, (3180.063, 1.060069), (3219.938, 1.060072), (3180.062, 1.060069)),
    (120, 11135.0835, 900, (1555.752, 1.260261), (1634.754, 1.260477), (1555.733, 1.260261)),
]


@pytest.mark.parametrize(("checkpoint", "failure", "restart", "exact", "young", "daly"), INTERVALS)
def test_checkpoint_intervals(checkpoint, failure, restart, exact, young, daly):
    found = economics.checkpoint_interval(failure, checkpoint, restart)
    intervals, slowdowns = np.transpose([exact, young, daly])
    assert_allclose(found[::2], intervals, rtol=0, atol=5.1e-4)
    assert_allclose(found[1::2], slowdowns, rtol=0, atol=5.1e-7)  # one is 1.1400005


def test_interruptions_of_llama_3():
    """The mean times are computed apart from the paper's counts."""
    of_device = economics.LLAMA_3_FAILURE_SECONDS
    assert_allclose(of_device / HOUR, 50_677, atol=0.5)
    assert_allclose(of_device / HOUR / 8766, 5.8, atol=0.05)
    of_job = of_device / 16384
    assert_allclose(of_job / HOUR, 3.093, atol=5e-4)
    found = 54 * 24 * HOUR / of_job
    assert_printed(found, "419", source=LLAMA_3, what="unexpected interruptions in 54 days")


def test_llama_3_trained_for_nine_tenths_of_the_time():
    """With checkpoints of half a minute and restarts of five, which the paper does not print."""
    found = economics.goodput(16384, economics.LLAMA_3_FAILURE_SECONDS, 30, 300)
    assert found > 0.90


def test_cost_of_an_owned_h100():
    """$30,000 each: computed apart from the constants of Cottier et al. 2024."""
    alone = economics.owned(30_000, 0, 0, interconnect=0)
    assert_allclose(alone, 1.8093, atol=5e-5)
    assert_allclose(economics.owned(30_000, 0, 0), 2.2337, atol=5e-5)
    price = economics.machine_facts("energy_price").values["2024"]
    assert_allclose(economics.kilowatts(H100, average_power=1, pue=1), 1.275, rtol=1e-12)
    energy = economics.kilowatts(H100) * price
    assert_allclose(energy, 0.0811, atol=5e-5)
    found = economics.owned(30_000, economics.kilowatts(H100), price)
    assert_allclose(found, 2.2337 + 0.0811, atol=1e-4)
    assert_allclose(economics.machines.PRICE_PERFORMANCE_GROWTH, 0.322362, atol=5e-7)


CONSTANTS = {
    "server_overhead": {"A100": "1.66", "V100": "1.69", "P100": "1.54", "others": "1.64"},
    "server_power": {"TPU-v2": "1.64", "TPU-v3": "1.47", "TPU": "1.56", "others": "1.8"},
    "average_power": {"TPU": "0.43", "others": "0.75"},
    "pue": {"hyperscalers": "1.1", "others": "1.25"},
    "energy_price": {
        **{"2020": "0.0667", "2021": "0.0718", "2022": "0.0832"},
        **{"2023": "0.0806", "2024": "0.0771", "2025": "0.0826"},
    },
    "discount_for_1_year": {"Amazon": "0.41", "Google": "0.37", "Microsoft": "0.25"},
    "discount_for_3_years": {"Amazon": "0.64", "Google": "0.56", "Microsoft": "0.49"},
}


@pytest.mark.parametrize("table", CONSTANTS)
def test_constants_of_cottier_et_al(table):
    file = "constants.py" if table.startswith("discount") else "hardware.py"
    values = economics.machine_facts(table).values
    for name, printed in CONSTANTS[table].items():
        what = f"{table.replace('_', ' ')}: {name}"
        assert_printed(values[name], printed, source=f"{EPOCH}/{file}", what=what)
    if table == "server_power":  # as fractions there
        servers = [10.2 / 8 / 0.7, 6.5 / 8 / 0.4, (10 / 16 + 1.5 / 4) / 0.3 / 2]
        assert_allclose([values[name] for name in ("H100", "A100", "V100")], servers, rtol=1e-15)


@pytest.mark.parametrize(
    ("model", "hours", "tonnes"),
    [
        ("8B", 1.46e6, "420"),
        ("70B", 7.0e6, "2040"),
        ("405B", 30.84e6, "8930"),
        ("all", 39.3e6, "11390"),
    ],
)
def test_carbon_of_llama_3_1(model, hours, tonnes):
    """At 700 W and 0.414 kg/kWh, within 1 %; the intensity is computed apart from all of them."""
    power = economics.kilowatts(H100, server_power=1, average_power=1, pue=1)
    found = economics.carbon(hours * power, 0.414)
    what = f"tonnes of CO2, {model}"
    assert_printed(found, tonnes, source=LLAMA_3_1, what=what, within=0.01 * float(tonnes))


def test_carbon_of_a_megawatt_hour():
    """Of Llama 3.1 at 700 W a device, without cooling and with it, and of GPT-3: computed apart."""
    device = economics.kilowatts(H100, server_power=1, average_power=1, pue=np.array([1, 1.08]))
    assert_allclose(39.3e6 * device[0] / 1000, 27_510, rtol=1e-12)
    for kwh, tonnes, intensity, digits in (
        (39.3e6 * device[0], 11_390, 0.41403, 5),
        (39.3e6 * device[1], 11_390, 0.383, 3),
        (1287e3, 552, 0.4289, 4),
    ):
        # Half a unit in the last digit of the intensity.
        half = 0.5 * 10.0**-digits * kwh / 1000
        assert_allclose(economics.carbon(kwh, intensity), tonnes, rtol=0, atol=1.001 * half)


WATTS = {
    **{"GB300": "1400", "MI355X": "1400", "GB200": "1200", "MI325X": "1000", "B200": "1000"},
    **{"B300": "1000", "Gaudi3": "900", "MI300X": "750", "H100-SXM": "700", "H200": "700"},
    **{
        "Gaudi2": "600",
        "MI250X": "500",
        "A100-80GB": "400",
        "L40S": "350",
        "A100-80GB-PCIe": "300",
    },
}


@pytest.mark.parametrize("name", WATTS)
def test_power_of_accelerators(name):
    """TDP, or the total power of the board where the table has that alone."""
    source = "stas00/ml-engineering, compute/accelerator (2026-08-22)"
    assert_printed(js.accelerator(name).watts, WATTS[name], source=source, what=f"watts of {name}")


def test_carbon_of_gpt_3():
    """1287 MWh at the average of the United States, which is printed in Section 2.4."""
    source = "Patterson et al. 2021, arXiv 2104.10350, Section 3"
    found = economics.carbon(1287e3, 0.429)
    assert_printed(found, "552", source=source, what="tonnes of CO2 for GPT-3")


def test_energy_of_an_output_token():
    """Of DeepSeek-V3 on eight H800, 14.8e3 tokens/s: computed apart at TDP and a PUE of 1.1."""
    power = economics.kilowatts(H100, average_power=1, pue=1.1)
    assert_allclose(1000 * power / (14.8e3 / 8), 0.758, atol=5e-4)


def test_tokens_per_device_where_a_replica_spans_eight_nodes():
    found = js.training.tokens_per_device(H100, 400e9) / 8
    what = "tokens per H100, eight stages of a pipeline across nodes"
    assert_printed(found, "309", source="jax-ml/scaling-book, gpus.md", what=what)
