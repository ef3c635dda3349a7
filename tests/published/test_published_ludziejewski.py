"""Numbers of the joint law of Ludziejewski et al. 2025, arXiv 2502.05172, and of its tables.

"Computed apart" says that the paper does not print the number: it was worked out from the printed
coefficients by code that shares nothing with this library.
"""

import functools

import jax
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import jaxscale as js
from jaxscale._numerics.interpreted import interpreted
from published.numbers import assert_printed, listed

pytestmark = pytest.mark.skipif(
    not jax.config.read("jax_enable_x64"), reason="printed digits are compared in float64"
)

PAPER = "Ludziejewski et al. 2025"
LAW = js.laws.published("ludziejewski2025")
EXPERTS = (1, 2, 4, 8, 16, 32)
CHOSEN = ("params", "tokens", "experts")
UNITS = {"M": 1e6, "B": 1e9}

COEFFICIENTS = {
    **{"a": "35.91", "alpha": "-0.1889", "delta": "-0.2285", "gamma": "0.0098"},
    **{"b": "35.98", "beta": "-0.1775", "omega": "0.5529", "zeta": "-0.0259"},
    **{"E_start": "2.0732", "E_max": "290.4521", "c": "1.3637"},
}
# Of m N^mu + n D^nu + c, by the number of experts.
REDUCED = {
    1: ("30.3640", "-0.1817", "53.9838", "-0.1965"),
    2: ("27.7982", "-0.1780", "66.8401", "-0.2065"),
    4: ("24.8462", "-0.1731", "87.7022", "-0.2192"),
    8: ("21.8330", "-0.1676", "119.9126", "-0.2338"),
    16: ("19.0159", "-0.1617", "167.5073", "-0.2494"),
    32: ("16.5424", "-0.1557", "234.6726", "-0.2652"),
}
# Best active params and tokens of a budget, by the number of experts.
OPTIMA = {
    1e20: ("1.7B 9.7B", "1.5B 11.4B", "1.2B 13.9B", "990M 17B", "810M 20.7B", "669M 24.9B"),
    1e21: ("5.7B 29.3B", "5B 33B", "4.4B 38B", "3.8B 44.3B", "3.3B 51.2B", "2.85B 58.4B"),
    1e22: (
        *("18.8B 88.6B", "17.4B 96B", "15.8B 105.4B"),
        *("14.4B 115.8B", "13.2B 126.5B", "12.2B 136.9B"),
    ),
}
# Best number of experts by budget and memory of the devices; 32 is printed as "at least 32".
MEMORY = {24e9: "24GB", 80e9: "80GB", 640e9: "640GB"}
BEST = {1e21: (16, 32, 32), 1e22: (4, 16, 32), 1e23: (1, 8, 32), 1e24: (1, 1, 16)}


@pytest.mark.parametrize(("name", "printed"), COEFFICIENTS.items())
def test_coefficients_are_those_of_table_3(name, printed):
    assert_printed(getattr(LAW, name), printed, source=f"{PAPER}, Table 3", what=name)


@pytest.mark.parametrize("experts", EXPERTS)
def test_reduced_to_chinchilla_it_has_the_coefficients_of_table_4(experts):
    found = LAW.two_powers(experts=float(experts))
    m, mu, n, nu = REDUCED[experts]
    listing = {"source": f"{PAPER}, Table 4"}
    # The coefficients of Table 3 are rounded: a and b to four digits, exponents to four decimals,
    # which ln Ê of up to 3.4 multiplies.
    for what, value, printed, share in (("m", found.A, m, 0.0015), ("n", found.B, n, 0.003)):
        within = share * float(printed)
        assert_printed(value, printed, what=f"E {experts}: {what}", within=within, **listing)
    for what, value, printed in (("mu", -found.alpha, mu), ("nu", -found.beta, nu)):
        assert_printed(value, printed, what=f"E {experts}: {what}", within=2e-4, **listing)
    assert_printed(found.E, "1.3637", what=f"E {experts}: c", **listing)


@functools.cache
def all_optima():
    levers = {"experts": np.array(EXPERTS, float)}
    return interpreted(js.minimize_loss, LAW, np.array([*OPTIMA])[:, None], levers=levers)


def optima(budget):
    return jax.tree.map(lambda x: x[[*OPTIMA].index(budget)], all_optima())


@pytest.mark.parametrize("budget", OPTIMA)
@pytest.mark.parametrize("index", range(len(EXPERTS)), ids=EXPERTS)
def test_best_sizes_of_a_budget_are_those_of_table_1(budget, index):
    plan = optima(budget)
    assert_array_equal(plan.status, js.Status.OK)
    printed = OPTIMA[budget][index].split()
    for size, found, text in zip(
        ("params", "tokens"), (plan.params, plan.tokens), printed, strict=True
    ):
        unit, digits = UNITS[text[-1]], text[:-1]
        half = 0.5 * 10.0 ** -len(digits.partition(".")[2])
        assert_printed(
            found[index] / unit,
            digits,
            source=f"{PAPER}, Table 1",
            what=f"{budget:.0e}, E {EXPERTS[index]}: {size}, 1e{np.log10(unit):.0f}",
            # Beyond its rounding within 1 %: the coefficients are rounded too.
            within=half + 0.01 * float(digits),
        )


@pytest.mark.parametrize(
    ("budget", "experts", "params", "tokens", "loss"),
    [
        (1e20, 1, 1.72691e9, 9.65117e9, 2.589698),
        (1e20, 32, 6.74171e8, 2.47217e10, 2.472443),
        (1e22, 1, 1.88780e10, 8.82864e10, 2.157486),
        (1e22, 32, 1.22819e10, 1.35701e11, 2.069392),
    ],
)
def test_optima_in_more_digits(budget, experts, params, tokens, loss):
    """Computed apart."""
    plan = optima(budget)
    index = EXPERTS.index(experts)
    assert_allclose(plan.params[index], params, rtol=3e-6)
    assert_allclose(plan.tokens[index], tokens, rtol=3e-6)
    assert_allclose(plan.loss[index], loss, atol=5e-7)


@functools.cache
def within_memory():
    """By tokens per param, without a limit and up to 400; by memory; and by budget."""
    most = np.array([np.inf, 400])[:, None, None]
    bounds = js.Bounds(max_memory=np.array([*MEMORY])[:, None], max_tokens_per_param=most)
    return interpreted(js.minimize_loss, LAW, np.array([*BEST]), over=CHOSEN, bounds=bounds)


@pytest.mark.parametrize("column", range(len(MEMORY)), ids=MEMORY.values())
@pytest.mark.parametrize("row", range(len(BEST)), ids=[f"{budget:.0e}" for budget in BEST])
def test_best_experts_within_memory_are_those_of_table_2(row, column):
    """To one doubling: where they are not the same, the two losses differ by 0.0067 at the most."""
    plan = within_memory()
    found = float(plan.levers["experts"][0, column, row])
    budget, memory = [*BEST][row], [*MEMORY][column]
    printed = BEST[budget][column]
    assert abs(np.log2(found / printed)) <= 1
    what = f"{budget:.0e}, {MEMORY[memory]}: best experts"
    off = 100 * abs(found / printed - 1)
    listed(f"{PAPER}, Table 2", what, str(printed), reproduced=True, percent=off)
    if found != printed:
        largest = LAW.params_in_memory(memory, experts=printed)
        loss = LAW.loss(largest, budget / 6 / largest, experts=printed)
        assert loss - plan.loss[0, column, row] < 0.007


def test_best_experts_within_memory_computed_apart():
    """Computed apart, with continuous widths: nine of the twelve are those of Table 2."""
    expected = [[32, 4, 1, 1], [32, 16, 4, 1], [32, 32, 32, 8]]
    assert_array_equal(within_memory().levers["experts"][0], expected)


def test_a_limit_on_tokens_per_param_explains_a_number_of_table_2():
    """Beyond 400 tokens per param the authors do not trust the law: then it is 16, as printed."""
    assert within_memory().levers["experts"][1, 0, 0] == 16


# --- The rule of thumb, Section 4.5 ----------------------------------------------------------


def params_of_total(total, experts):
    """Active params of so many in all, by bisection of the width: eq. 9 and 10."""
    low, high = np.full(np.shape(total), 1.0), np.full(np.shape(total), 1e7)
    for _ in range(200):
        width = np.sqrt(low * high)
        short = 2 * 50257 * width + (4 + 9 * experts) * width**3 / 64 < total
        low, high = np.where(short, width, low), np.where(short, high, width)
    return 2 * 50257 * low + 13 * low**3 / 64


@pytest.mark.parametrize("experts", [2, 4, 8])
def test_as_large_a_mixture_on_experts_times_the_tokens_beats_the_best_dense_model(experts):
    log_scale, exponent, _ = LAW.two_powers(experts=1.0).frontier_powers()
    flops = np.geomspace(1e19, 1e24, 11)
    dense = np.exp(float(log_scale)) * (flops / 6) ** float(exponent)
    params, tokens = params_of_total(dense, experts), flops / 6 / dense
    assert_allclose(LAW.total_params(params, experts=experts), dense, rtol=1e-12)
    mixture = LAW.loss(params, experts * tokens, experts=experts)
    assert np.all(mixture < LAW.loss(dense, tokens, experts=1))


def test_the_mixtures_of_the_rule_of_thumb_beat_a_dense_model_of_its_size():
    """The paper's own case: 1.1e9 params in all; 8e9, 16e9 and 32e9 tokens of 1, 2 and 4."""
    experts = np.array([1, 2, 4])
    params = np.array([params_of_total(1.1e9, each) for each in experts])
    losses = LAW.loss(params, np.array([8e9, 16e9, 32e9]), experts=experts)
    assert losses[0] > losses[1] > losses[2]


def test_two_and_four_experts_in_as_many_params_take_36_and_61_percent_fewer_flops():
    """Section 4.4: those of Figure 1, of 1.1e9 params; computed to two digits by the shapes."""
    for experts, printed in ((2, "36"), (4, "61")):
        found = 100 * (1 - params_of_total(1.103e9, experts) / 1.103e9)
        what = f"fewer FLOPs per token of {experts} experts, percent"
        # Their shapes are whole numbers of blocks.
        assert_printed(found, printed, source=f"{PAPER}, Section 4.4", what=what, within=1)


def test_a_matched_mixture_of_16_has_the_size_and_ratio_of_figure_6():
    """16 experts in the memory and FLOPs of 1e9 dense params on 10e9 tokens."""
    params = params_of_total(1e9, 16)
    tokens = 1e9 * 10e9 / params
    source = f"{PAPER}, Figure 6"
    # Whole blocks again.
    for found, printed, what in (
        (params / 1e6, "155", "active params of 16 experts as 1B dense, 1e6"),
        (tokens / 1e9, "64", "their tokens at the FLOPs of 10B, 1e9"),
        (tokens / params, "414", "their tokens per param"),
    ):
        assert_printed(found, printed, source=source, what=what, within=0.05 * float(printed))


# --- Shapes and ranges, Appendix E, and the learning rate, eq. 8 -----------------------------

# d_model with as many blocks as a 64th of it, experts, active and all params.
MODELS = [
    (1024, 32, "321M", "5.0B"),
    (1792, 4, "1.3B", "3.8B"),
    (2304, 1, "2.7B", "2.7B"),
    (768, 32, "169M", "2.1B"),
    (1408, 4, "709M", "1.9B"),
    (1152, 4, "426M", "1.1B"),
    (512, 32, "79M", "664M"),
    (512, 16, "79M", "362M"),
    (640, 8, "118M", "376M"),
]


@pytest.mark.parametrize(("width", "experts", "active", "total"), MODELS)
def test_all_params_of_the_models_of_appendix_e(width, experts, active, total):
    params = 2 * 50257 * width + 13 * (width / 64) * width**2
    numbers = {"active": (params, active)}
    numbers["all"] = LAW.total_params(params, experts=experts), total
    for which, (found, text) in numbers.items():
        what = f"width {width}, {experts} experts: {which} params, 1{text[-1]}"
        unit = UNITS[text[-1]]
        assert_printed(found / unit, text[:-1], source=f"{PAPER}, Appendix E", what=what)


def test_the_entry_has_the_range_of_the_runs():
    entry = js.laws.entry("ludziejewski2025")
    smallest, largest = (2 * 50257 * w + 13 * (w / 64) * w**2 for w in (512, 2304))
    assert_allclose(entry.params_range, [smallest, largest], rtol=2e-3)
    params_of_31B = 2 * 50257 * 1152 + 13 * 18 * 1152**2
    ratios = [980e6 / largest, 31e9 / params_of_31B]
    assert_allclose(entry.tokens_per_param_range, ratios, rtol=5e-3)


@pytest.mark.parametrize(
    ("params", "experts", "rate"),
    [(1e8, 1, 1.4579e-3), (1e9, 1, 2.2580e-4), (1e9, 8, 1.3426e-4)],
)
def test_learning_rates(params, experts, rate):
    """Computed apart."""
    recipe = js.recipes.entry("ludziejewski2025").law
    assert_allclose(recipe.learning_rate(params, 1e11, 2.0, experts=experts), rate, rtol=5e-5)


@pytest.mark.parametrize(
    ("name", "printed"),
    [("log_rate_at_one", "8.39"), ("rate_by_params", "-0.81"), ("rate_by_experts", "-0.25")],
)
def test_coefficients_of_the_learning_rate(name, printed):
    law = js.recipes.entry("ludziejewski2025").law
    assert_printed(getattr(law, name), printed, source=f"{PAPER}, eq. 8", what=name)
