"""Failures, owned machines and energy: published numbers. "Computed apart" as elsewhere."""

import jax
import numpy as np
import pytest
from numpy.testing import assert_allclose

import jaxscale as js
from jaxscale import economics, training
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
    assert_allclose(found[1::2], slowdowns, rtol=0, atol=5.1e-7)


def test_interruptions_of_llama_3():
    """The mean times are computed apart from the paper's counts."""
    of_device = economics.LLAMA_3_FAILURE_SECONDS
    assert_allclose(of_device / HOUR, 50_677, atol=0.5)
    assert_allclose(of_device / HOUR / 8766, 5.8, atol=0.05)
    of_job = of_device / 16384
    assert_allclose(of_job / HOUR, 3.093, atol=5e-4)
    unexpected, planned = 54 * 24 * HOUR / of_job, 47
    assert_printed(unexpected, "419", source=LLAMA_3, what="unexpected interruptions in 54 days")
    total = unexpected + planned
    assert_printed(total, "466", source=LLAMA_3, what="job interruptions in 54 days")


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


@pytest.mark.parametrize(
    ("table", "name", "printed", "file"),
    [
        *(("server_overhead", *x, "hardware.py") for x in (("A100", "1.66"), ("V100", "1.69"))),
        *(("server_overhead", *x, "hardware.py") for x in (("P100", "1.54"), ("others", "1.64"))),
        *(("server_power", *x, "hardware.py") for x in (("TPU-v2", "1.64"), ("TPU-v3", "1.47"))),
        *(("server_power", *x, "hardware.py") for x in (("TPU", "1.56"), ("others", "1.8"))),
        *(("average_power", *x, "hardware.py") for x in (("TPU", "0.43"), ("others", "0.75"))),
        *(("pue", *x, "hardware.py") for x in (("hyperscalers", "1.1"), ("others", "1.25"))),
        *(("energy_price", *x, "hardware.py") for x in (("2020", "0.0667"), ("2021", "0.0718"))),
        *(("energy_price", *x, "hardware.py") for x in (("2022", "0.0832"), ("2023", "0.0806"))),
        *(("energy_price", *x, "hardware.py") for x in (("2024", "0.0771"), ("2025", "0.0826"))),
        *(("discount_for_1_year", *x, "constants.py") for x in (("Amazon", "0.41"),)),
        *(("discount_for_1_year", *x, "constants.py") for x in (("Google", "0.37"),)),
        *(("discount_for_1_year", *x, "constants.py") for x in (("Microsoft", "0.25"),)),
        *(("discount_for_3_years", *x, "constants.py") for x in (("Amazon", "0.64"),)),
        *(("discount_for_3_years", *x, "constants.py") for x in (("Google", "0.56"),)),
        *(("discount_for_3_years", *x, "constants.py") for x in (("Microsoft", "0.49"),)),
    ],
)
def test_constants(table, name, printed, file):
    found = economics.machine_facts(table).values[name]
    assert_printed(found, printed, source=f"{EPOCH}/{file}", what=f"{table} of {name}")
