"""Numbers from Kaplan et al. 2020, Muennighoff et al. 2023 and Gadre et al. 2024, recomputed.

"Computed apart" says that no paper prints the number: it was worked out from the paper's
formula and coefficients, by code that shares nothing with this library, and is not on the list of
published numbers.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from jaxscale import allocations
from jaxscale.laws import catalog, kaplan, loss_at_ratio, task
from published.numbers import assert_printed

pytestmark = pytest.mark.skipif(
    not jax.config.read("jax_enable_x64"), reason="printed digits are compared in float64"
)

PAPERS = ("kaplan2020", "muennighoff2023_repeated", "gadre2024")
ENTRIES = [entry for entry in catalog() if entry.name.startswith(PAPERS)]
LAWS: dict[str, Any] = {entry.name: entry.law for entry in ENTRIES}


def rows(*several: tuple[str, Any, float, float]) -> Any:
    """What and where; how it is found; the number; how far off it may be, half its last digit."""
    names = ("find", "number", "within")
    return pytest.mark.parametrize(names, [pytest.param(*x[1:], id=x[0]) for x in several])


def check(find, number, within):
    slack = 1e-9 * abs(number)  # half a digit is not binary
    assert_allclose(find(), number, rtol=0, atol=within + slack)


def printed(*several: tuple) -> Any:
    """Source; what it is; how it is found; the number as printed; why it fails, if it does."""

    def row(source, what, find, number, wrong=None):
        failing = [pytest.mark.xfail(strict=True, reason=wrong)] if wrong else []
        return pytest.param(source, what, find, number, id=f"{source}-{what}", marks=failing)

    names = ("source", "what", "find", "number")
    return pytest.mark.parametrize(names, [row(*each) for each in several])


# --- Kaplan et al. 2020, arXiv 2001.08361 ----------------------------------------------------

KAPLAN, TABLE_5 = LAWS["kaplan2020"], LAWS["kaplan2020_table5"]
PRINTED_BATCH = kaplan.CriticalBatch(2.0e8, 0.21)  # Section 5.1


# Computed apart.
@rows(
    ("L(N=1e8), eq. 1.1", lambda: kaplan.LOSS_OF_PARAMS.loss(1e8), 2.8300, 5e-5),
    ("L(N=1.5e9), eq. 1.1", lambda: kaplan.LOSS_OF_PARAMS.loss(1.5e9), 2.3036, 5e-5),
    ("L(D=2.29e10), eq. 1.2", lambda: kaplan.LOSS_OF_TOKENS.loss(2.29e10), 2.0912, 5e-5),
    ("L(C_min=1), eq. 1.3", lambda: kaplan.LOSS_OF_MINIMUM_PF_DAYS.loss(1), 2.6581, 5e-5),
    ("L(1e9, 2.29e10), Table 2", lambda: KAPLAN.loss(1e9, 2.29e10), 2.3675, 5e-5),
    ("L(1e8, 1e9), Table 2", lambda: KAPLAN.loss(1e8, 1e9), 2.9567, 5e-5),
    ("L(1e8, 1e9), Table 5", lambda: TABLE_5.loss(1e8, 1e9), 3.0150, 5e-5),
    ("L(1e9, 2.29e10), Table 5", lambda: TABLE_5.loss(1e9, 2.29e10), 2.429, 5e-4),
    ("L(1e9, S=1e5), eq. 1.6", lambda: kaplan.LOSS_OF_STEPS.loss(1e9, 1e5), 2.4005, 5e-5),
    ("B_crit(3), Section 5.1", lambda: PRINTED_BATCH.tokens(3), 1.069e6, 5e2),
    ("B_crit(3), Table 5", lambda: kaplan.CRITICAL_BATCH.tokens(3), 1.123e6, 5e2),
)
def test_losses_and_batches_of_kaplan(find, number, within):
    check(find, number, within)


TABLE_6 = allocations.published("kaplan2020")
of_table_6 = {
    "params": lambda pf_days: TABLE_6.params(pf_days * kaplan.PF_DAY),
    "batch": kaplan.best_batch,
    "steps": kaplan.best_steps,
    "tokens": lambda pf_days: TABLE_6.tokens(pf_days * kaplan.PF_DAY),
}
enough = kaplan.tokens_against_overfitting
loss_of_compute = kaplan.LOSS_OF_MINIMUM_PF_DAYS.loss


def grown(name, factor):
    """Growth of a size of Table 6 where compute grows by a factor."""
    return of_table_6[name](factor) / of_table_6[name](1)


def exponent(name):
    return np.log10(grown(name, 10))


@rows(
    ("N of 10 times C_min", lambda: grown("params", 10), 5.37, 5e-3),
    ("D of 10 times C_min", lambda: grown("tokens", 10), 1.86, 5e-3),
    ("D of 8 times N, eq. 4.4", lambda: enough(8) / enough(1), 4.66, 5e-3),
)
def test_growth_of_kaplan(find, number, within):
    check(find, number, within)


def contradiction():
    """PF-days from which on L(C_min) is below L(D_opt(C_min)), which cannot be: Section 6.3."""
    ends = np.array([1e2, 1e8])
    ratio = loss_of_compute(ends) / kaplan.LOSS_OF_TOKENS.loss(of_table_6["tokens"](ends))
    gap = np.log(ratio)  # a line in log C, since both are power laws
    assert gap[0] > 0 > gap[1]
    return np.exp(np.interp(0, -gap, np.log(ends)))


def compute_exponent():
    """1 / (1/alpha_S + 1/alpha_B + 1/alpha_N), of the three as they are printed."""
    alpha_N, alpha_S = kaplan.LOSS_OF_PARAMS.exponent, kaplan.LOSS_OF_STEPS.alpha_S
    return 1 / (1 / alpha_S + 1 / kaplan.CRITICAL_BATCH.alpha_B + 1 / alpha_N)


def params_exponent():
    return compute_exponent() / kaplan.LOSS_OF_PARAMS.exponent


K = "Kaplan et al. 2020, "
ROUNDED = "the exponents that it is made of are printed rounded, and give 0.0520"
UNCERTAIN = "Table 6 gives 2.5e11; the paper calls the point uncertain by an order of magnitude"


@printed(
    (K + "Table 6", "params at 1 PF-day", lambda: of_table_6["params"](1), "1.3e9"),
    (K + "Table 6", "batch at 1 PF-day", lambda: of_table_6["batch"](1), "2.0e6"),
    (K + "Table 6", "steps at 1 PF-day", lambda: of_table_6["steps"](1), "5.4e3"),
    (K + "Table 6", "tokens at 1 PF-day", lambda: of_table_6["tokens"](1), "2e10"),
    (K + "Table 6", "exponent of params", lambda: exponent("params"), "0.73"),
    (K + "Table 6", "exponent of batch", lambda: exponent("batch"), "0.24"),
    (K + "Table 6", "exponent of steps", lambda: exponent("steps"), "0.03"),
    (K + "Table 6", "exponent of tokens", lambda: exponent("tokens"), "0.27"),
    (K + "eq. 4.4", "tokens for 1 param", lambda: enough(1), "5e3"),
    # Of the coefficients of Table 2.
    (K + "eq. 4.4", "exponent of params", lambda: KAPLAN.alpha_N / KAPLAN.alpha_D, "0.74"),
    (K + "Section 1.1", "data for 8 times the params", lambda: enough(8) / enough(1), "5"),
    (K + "eq. B.7", "exponent of compute", compute_exponent, "0.052"),
    (K + "eq. 6.4", "exponent of compute", compute_exponent, "0.054", ROUNDED),
    (K + "eq. 6.5", "exponent of params", params_exponent, "0.71", ROUNDED + ", hence 0.684"),
    (K + "Section 6.3", "PF-days where L(C) and L(D) contradict", contradiction, "1e4"),
    (K + "Section 6.3", "params there", lambda: of_table_6["params"](contradiction()), "1e12"),
    (
        K + "Section 6.3",
        "tokens there",
        lambda: of_table_6["tokens"](contradiction()),
        "1e12",
        UNCERTAIN,
    ),
    (K + "Section 6.3", "loss there", lambda: loss_of_compute(contradiction()), "1.7"),
)
def test_allocation_of_kaplan(source, what, find, number):
    assert_printed(find(), number, source=source, what=what)


def test_exponents_of_compute_follow_from_the_three_others():
    """The first two computed apart; 0.050 is what the paper fits."""
    assert_allclose(compute_exponent(), 0.0520, atol=5e-5)
    assert_allclose(params_exponent(), 0.684, atol=5e-4)
    assert_allclose(compute_exponent(), kaplan.LOSS_OF_MINIMUM_PF_DAYS.exponent, atol=3e-3)


# --- Muennighoff et al. 2023, arXiv 2305.16264 -----------------------------------------------

REPEATED = LAWS["muennighoff2023_repeated"]
CODE_OF_MUENNIGHOFF = "Muennighoff et al. 2023, huggingface/datablations, "


@pytest.mark.parametrize(
    ("params", "tokens", "loss"),
    [("6.34e9", "242e9", "2.2256440889984477"), ("8.67e9", "178e9", "2.2269634075087867")],
)
def test_losses_printed_by_the_code_of_muennighoff(params, tokens, loss):
    assert_printed(
        REPEATED.loss(float(params), float(tokens), unique_tokens=25e9),
        loss,
        source=CODE_OF_MUENNIGHOFF + "README.md",
        what=f"loss of {params} params on {tokens} tokens, 25e9 of them unique",
        within=1e-14 * float(loss),  # the rounding of float64
    )


@functools.cache
def best_of_muennighoff():
    """Tokens and params at 1e22 FLOPs, where 25e9 tokens are unique."""
    tokens = jnp.geomspace(25e9, 1e12, 20_000)
    params = 1e22 / (6 * tokens)
    best = jnp.argmin(REPEATED.loss(params, tokens, unique_tokens=25e9))
    return {"tokens": tokens[best], "params": params[best], "epochs": tokens[best] / 25e9}


@pytest.mark.parametrize(
    ("name", "number"),
    [("tokens", "2.37336955e11"), ("params", "7.022364736e9"), ("epochs", "9.4935")],
)
def test_optimum_on_the_grid_of_muennighoff(name, number):
    assert_printed(
        best_of_muennighoff()[name],
        number,
        source=CODE_OF_MUENNIGHOFF + "plotstables/return_alloc.ipynb",
        what=f"best {name} at 1e22 FLOPs on 25e9 unique tokens",
        within=0.5e-2 * float(number),  # the spacing of their grid of 500
    )


def test_best_params_for_unique_tokens():
    found = REPEATED.best_params_for(1e12) / 1e12
    source = CODE_OF_MUENNIGHOFF + "README.md"
    assert_printed(found, "0.051", source=source, what="U_N / U_D")


def repeated(tokens, unique_tokens):
    return lambda: REPEATED.loss(1e9, tokens, unique_tokens=unique_tokens)


# Computed apart.
@rows(
    ("L(20e9, U=20e9)", repeated(20e9, 20e9), 2.564635, 5e-7),
    ("L(80e9, U=20e9)", repeated(80e9, 20e9), 2.436020, 5e-7),
    ("L(80e9, U=80e9)", repeated(80e9, 80e9), 2.430627, 5e-7),
    ("L(800e9, U=20e9)", repeated(800e9, 20e9), 2.350919, 5e-7),
    ("U_N / U_D", lambda: REPEATED.best_params_for(1e12) / 1e12, 0.050987, 5e-7),
    ("U_D / U_N", lambda: 1e9 / REPEATED.best_params_for(1e9), 19.61, 5e-3),
    ("D' / U_D in the limit", lambda: REPEATED.effective_tokens(1e30, 1), 16.387756, 1e-12),
)
def test_data_constrained_law(find, number, within):
    check(find, number, within)


# --- Gadre et al. 2024, arXiv 2403.08540 -----------------------------------------------------

# The runs of mlfoundations/scaling, exp_data/models: loss on C4's validation text. The first
# five are those that the law is fitted to.
PARAMS = np.array([10569312, 10569312, 78914048, 153677376, 411616256.0])
TOKENS = np.array([20, 320, 20, 20, 20]) * PARAMS
FITTED = {
    "c4": "5.220676313056785 4.506403529656214 3.800284412392762 3.4326457499105776 "
    "3.0417367343404416",
    "redpajama": "5.38702091510821 4.572292613487238 3.899942990231468 3.531147408490181 "
    "3.149769456671634",
    "refinedweb": "5.271892380117802 4.516044718771621 3.8609163607427246 3.517893769129325 "
    "3.1305160505406797",
}


@pytest.mark.parametrize("train_set", FITTED)
def test_law_of_gadre_is_the_least_squares_fit_of_its_runs(train_set):
    law = LAWS[f"gadre2024_{train_set}"]
    missed = law.loss(PARAMS, TOKENS) - np.array(FITTED[train_set].split(), float)
    size, data = law.A * PARAMS**-law.alpha, law.B * TOKENS**-law.alpha
    by_alpha = -size * np.log(PARAMS) - data * np.log(TOKENS)
    by_logs = np.stack([np.full(5, law.E), size, data, law.alpha * by_alpha], axis=1)
    # Zero at the minimum; off it, the relative error of each coefficient. Eight digits are kept.
    step, *_ = np.linalg.lstsq(by_logs, missed)
    assert_allclose(step, 0, atol=1e-6)


# Computed apart, from the same runs: E, a, b, eta; A, B, alpha; the best tokens per param.
COEFFICIENTS = {
    "c4": ((1.5083, 141.28, 189.52, 0.12124), (113.69, 152.51, 0.24247), 3.36),
    "redpajama": ((1.8366, 212.24, 366.69, 0.13643), (166.21, 287.17, 0.27285), 7.42),
    "refinedweb": ((1.7345, 157.12, 246.21, 0.12720), (125.10, 196.03, 0.25439), 5.85),
}
DIGITS = np.array([5e-5, 5e-3, 5e-3, 5e-6])


@pytest.mark.parametrize("train_set", COEFFICIENTS)
def test_coefficients_of_gadre(train_set):
    form, (A, B, alpha), best_ratio = COEFFICIENTS[train_set]
    law = LAWS[f"gadre2024_{train_set}"]
    grow = 6 ** (law.alpha / 2)
    found = np.array([law.E, law.A * grow, law.B * grow, law.alpha / 2])
    assert np.all(np.abs(found - form) <= DIGITS)
    assert_allclose([law.A, law.B], [A, B], rtol=0, atol=5e-3)
    assert_allclose([law.alpha, law.beta], alpha, rtol=0, atol=5e-6)
    ratios = jnp.geomspace(1, 100, 20_001)
    for flops in (1e18, 1e24):
        best = ratios[jnp.argmin(loss_at_ratio(law, flops, ratios))]
        assert_allclose(best, best_ratio, rtol=0, atol=5e-3)


EXPLORER = "Gadre et al. 2024, mlfoundations/scaling, scaling_explorer.ipynb"
# Params, tokens per param; loss and error on 17 tasks of the RedPajama run, from exp_data; the
# law's relative errors in both, in per cent as printed.
LARGE_RUNS = [
    (1439795200, 640, 2.502053562117363, 0.4752152317, "0.7103", "3.6365"),
    (6889410560, 20, 2.424993099368689, 0.4716371806, "0.7320", "0.0464"),
]


@pytest.mark.parametrize(("params", "ratio", "run", "error", "loss_off", "error_off"), LARGE_RUNS)
def test_large_runs_of_gadre(params, ratio, run, error, loss_off, error_off):
    name, model = "gadre2024_redpajama", f"RedPajama, {params} params, {ratio} tokens each"
    loss = loss_at_ratio(LAWS[name], 6 * params**2 * ratio, ratio)
    what = f"{model}: relative error of the loss, %"
    assert_printed(100 * (loss / run - 1), loss_off, source=EXPLORER, what=what)
    # The coefficients are kept to four digits: that is 0.004 % of an error.
    found = 100 * ((1 - task(name).accuracy(loss)) / error - 1)
    what = f"{model}: relative error of the error, %"
    assert_printed(found, error_off, source=EXPLORER, what=what, within=4e-3)


# fmt: off
# Train set, params, tokens per param; loss of the run; the law's loss and its error in per cent,
# computed apart.
EXTRAPOLATED = [
    ("redpajama", 1439795200, 640, 2.502053562117363, 2.5198, 0.7103),
    ("redpajama", 6889410560, 20, 2.424993099368689, 2.4427, 0.7320),
    ("refinedweb", 6889410560, 20, 2.454721561962622, 2.4150, -1.6193),
    ("c4", 6889410560, 20, 2.3822204228774595, 2.2799, -4.2952),
]
# fmt: on


@pytest.mark.parametrize(("train_set", "params", "ratio", "run", "loss", "percent"), EXTRAPOLATED)
def test_extrapolation_of_gadre(train_set, params, ratio, run, loss, percent):
    found = loss_at_ratio(LAWS[f"gadre2024_{train_set}"], 6 * params**2 * ratio, ratio)
    assert_allclose(found, loss, rtol=0, atol=5e-5)
    assert_allclose(100 * (found / run - 1), percent, rtol=0, atol=6e-5)


TASKS = {  # epsilon, k, gamma of 17 and of 46 tasks, computed apart from the released runs
    "c4": ((0.8497, 2.0789, 0.7561), (0.7589, 1.2885, 0.9722)),
    "redpajama": ((0.8570, 2.2065, 0.7146), (0.7608, 1.3229, 0.8907)),
    "refinedweb": ((0.8653, 2.2148, 0.7070), (0.7677, 1.1281, 0.8215)),
}


@pytest.mark.parametrize("train_set", TASKS)
def test_coefficients_of_errors_of_gadre(train_set):
    for suffix, coefficients in zip(("", "_46"), TASKS[train_set], strict=True):
        curve = task(f"gadre2024_{train_set}{suffix}").curve
        assert (curve.epsilon, curve.k, curve.gamma) == coefficients


def test_entries_say_what_each_law_counts():
    for entry in ENTRIES:
        low, high = entry.params_range
        assert low < high
        assert entry.tokens_range[0] < entry.tokens_range[1]
        assert entry.errata
