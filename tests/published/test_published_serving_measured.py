"""What `js.serving` predicts beside what was measured: whole servers, kernels, links and traffic.

None of these is fitted here but where a test says so. Bands are wide where the reason is known to
be outside the model, which then is said.
"""

import statistics

import jax
import numpy as np
import pytest
from numpy.testing import assert_allclose

import jaxscale as js
from benchmarks import serving_kernels, serving_measured
from benchmarks.serving_measured import (
    DEEPSEEK,
    KIPPLY,
    NODES,
    OLD_KERNELS,
    ONE_DEVICE,
    ONE_NODE,
    POPE,
    SLICE,
    TENSORRT,
)

if not jax.config.jax_enable_x64:
    pytest.skip("bands are held in float64", allow_module_level=True)


@pytest.fixture(scope="module")
def servers():
    return serving_measured.rows()


@pytest.fixture
def folder():
    if not serving_kernels.FOLDER.is_dir():
        pytest.skip(f"{serving_kernels.FOLDER} is absent; JAXSCALE_DATA names its parent")
    return serving_kernels.FOLDER


# --- Whole servers ----------------------------------------------------------------------------


def within(speeds, allowed):
    """Whether measured and predicted speeds are apart by that share of the prediction, at most."""
    return all(1 - allowed <= speed <= 1 + allowed for speed in speeds)


def test_one_node_is_within_30_percent(servers):
    # Of the prediction. Seen from what was measured, one row of 13 is further off: Llama 7B in FP8,
    # 768 at once, is predicted 36 % too fast.
    throughput = serving_measured.of(servers, TENSORRT, ONE_DEVICE)
    assert len(throughput) == 13
    assert within(throughput, 0.3)
    assert 0.9 <= statistics.median(throughput) <= 1
    assert within(serving_measured.of(servers, TENSORRT, ONE_NODE), 0.1)
    assert within(serving_measured.of(servers, KIPPLY, ONE_DEVICE, ONE_NODE), 0.3)


def test_a_slice_of_64_chips_is_within_a_factor_of_3(servers):
    speeds = serving_measured.of(servers, POPE, SLICE)
    assert all(1 / 3 <= speed <= 3 for speed in speeds)
    # Decoding is within 20 %. Their prompts are read with matrices gathered instead of activations
    # reduced, and attention beside the feed-forward part: at a batch of 512, 2.4 times as fast.
    decoding = [row.speed for row in servers if row.case.source == POPE and not row.case.reads]
    assert within(decoding, 0.2)


def test_nodes_are_within_a_factor_of_3(servers):
    (speed,) = serving_measured.of(servers, DEEPSEEK, NODES)
    assert 1 / 3 <= speed <= 3


def test_old_kernels_are_slower_but_not_faster(servers):
    # Keys and values that heads share had slow kernels in these versions: rows reach 0.36 to 1.12
    # of the prediction. So it is held as a bound that none beats by more than that.
    speeds = serving_measured.of(servers, TENSORRT, OLD_KERNELS)
    assert all(1 / 3 <= speed <= 1.12 for speed in speeds)


def test_first_tokens_of_long_prompts_on_an_a100_are_within_30_percent(servers):
    first = [row for row in servers if row.case.source == f"{TENSORRT}, first token"]
    long = [row for row in first if row.case.prompt == 2048]
    a100 = [row.speed for row in long if row.case.setup.device == "A100-80GB"]
    assert len(a100) == 4
    assert within(a100, 0.3)
    # An H100 read prompts in FP8 at 23 to 43 % of its peak in that version, not at 70 %, and
    # 128 tokens take some 4 ms more than arithmetic, bytes and launches, on either device.
    assert all(1 / 3 <= row.speed <= 1.12 for row in first)
    short = [row for row in first if row.case.prompt == 128 and row.case.kind == ONE_DEVICE]
    assert all(0.004 <= row.case.measured - row.predicted <= 0.008 for row in short)


# --- Kernels ----------------------------------------------------------------------------------

# microsoft/vidur, data/profiling: the matrices of a layer of Llama 2 70B, median milliseconds.
# Fits to all 1,044 points: e_m, e_f, microseconds, rms in per cent.
FITS = {"H100-SXM": ("0.98", "0.68", "62", "12.6"), "A100-80GB": ("0.85", "0.71", "89", "9.2")}
# The least squares of the A100 have a flat valley: its bottom is at 0.857 and 90.1 us, and what
# the reference has is as good to four digits of the rms.
VALLEY = {"A100-80GB": {"e_m": 0.008, "t0": 1.2}}


@pytest.mark.parametrize("device", FITS)
def test_a_layer_takes_what_its_kernels_do(device, folder):
    kernels = serving_kernels.kernels(device)
    assert len(kernels.seconds) == 1044
    assert np.median(np.abs(kernels.predicted() / kernels.seconds - 1)) <= 0.15


@pytest.mark.parametrize("device", FITS)
def test_fitted_efficiencies_are_those_of_the_reference(device, folder):
    fit = serving_kernels.kernels(device).fit()
    found = fit.bandwidth_efficiency, fit.compute_efficiency, fit.fixed_seconds * 1e6, fit.rms * 100
    for name, value, printed in zip(("e_m", "e_f", "t0", "rms"), found, FITS[device], strict=True):
        half = 0.5 * 10.0 ** -len(printed.partition(".")[2])
        assert_allclose(value, float(printed), atol=VALLEY.get(device, {}).get(name, half))


def test_a_fit_finds_the_efficiencies_that_made_the_times():
    device = js.accelerator("H100-SXM")
    tokens = np.repeat(2.0 ** np.arange(13), 4)
    flops, bytes = 2e9 * tokens / np.tile([1, 2, 4, 8], 13), np.tile([2e9, 1e9, 5e8, 2.5e8], 13)
    seconds = np.maximum(flops / (0.6 * 989e12), bytes / (0.8 * 3.35e12)) + 40e-6
    fit = js.serving.fit_efficiencies(seconds, flops, bytes, device)
    assert_allclose(fit[:3], (0.6, 0.8, 40e-6), rtol=1e-6)
    assert fit.rms < 1e-6


def test_an_efficiency_that_no_kernel_tells_is_nan():
    device, bytes = js.accelerator("H100-SXM"), np.array([1e9, 2e9, 3e9, 4e9])
    fit = js.serving.fit_efficiencies(bytes / 3e12 + 1e-5, np.ones(4), bytes, device)
    assert np.isnan(fit.compute_efficiency)
    assert_allclose(fit.bandwidth_efficiency, 3 / 3.35, rtol=1e-6)


@pytest.mark.parametrize(
    ("seconds", "told"),
    [([1, 2, 3], "at least four"), ([1, 2, 3, 0], "above 0; got 0"), ([[1]], "lists")],
)
def test_kernels_that_cannot_be_fitted_raise(seconds, told):
    with pytest.raises(ValueError, match=told):
        js.serving.fit_efficiencies(seconds, seconds, seconds, js.accelerator("H100-SXM"))


# --- Links and traffic ------------------------------------------------------------------------


def test_reductions_in_a_node_take_what_was_measured(folder):
    # The default link is that of eight H100. A100 take longer than it says by half as much again,
    # and by a quarter with the numbers of their own that `Deployment` names.
    for count, allowed in ((2, 0.15), (4, 0.1), (8, 0.1)):
        reductions = serving_kernels.reductions("H100-SXM", count)
        assert reductions.median_error() <= allowed, count
    usual = serving_kernels.reductions("A100-80GB", 8)
    named = serving_kernels.reductions("A100-80GB", 8, link_efficiency=0.73, reduce_seconds=40e-6)
    assert 0.55 <= np.median(usual.predicted / usual.seconds) <= 0.65
    assert 0.7 <= np.median(named.predicted / named.seconds) <= 0.8


# Requests, mean prompt and output: Splitwise (Patel et al. 2024), traces of one hour each.
TRACES = {"conv": (19366, 1154.7, 211.1), "code": (8819, 2047.8, 27.9)}


@pytest.mark.parametrize("name", TRACES)
def test_traffic_of_azure_has_the_means_that_were_found(name, folder):
    count, prompt, output = TRACES[name]
    read, written = serving_kernels.traffic(name)
    assert len(read) == count
    requests = js.serving.Requests.from_lengths(read, written)
    assert_allclose((requests.prompt, requests.output), (prompt, output), atol=0.05)
    # By hand, step by step: what a token of an answer sees, of a few requests.
    some = js.serving.Requests.from_lengths(read[:20], written[:20])
    seen = [
        r + i + 0.5 for r, w in zip(read[:20], written[:20], strict=True) for i in range(int(w))
    ]
    assert_allclose(some.output_context, np.mean(seen), rtol=1e-12)
