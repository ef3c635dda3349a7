"""Numbers of published recipes: learning rates, batches, and time against compute.

Coefficients are recovered from answers: a scale at size 1, an exponent from two sizes. "Computed
apart" says that no paper prints the number: it was worked out from the paper's formula and
coefficients, by code that shares nothing with this library.
"""

import jax
import numpy as np
import pytest
from numpy.testing import assert_allclose

from jaxscale import recipes
from jaxscale.laws.kaplan import CRITICAL_BATCH
from published.numbers import assert_printed

if not jax.config.jax_enable_x64:
    pytest.skip("printed digits are held to in float64", allow_module_level=True)

STEP_LAW, MEDIANS, DEEPSEEK, PORIAN, KAPLAN = (
    recipes.entry(name).law
    for name in ("steplaw2025", "steplaw2025_medians", "deepseek2024", "porian2024", "kaplan2020")
)
ZHANG = recipes.entry("zhang2024")
ONE = (1.0, 1.0, 1.0)  # params, tokens, loss


def exponent(answer, of):
    """Exponent of params (0), tokens (1) or loss (2), from the sizes 1 and e^10."""
    sizes = np.ones(3)
    sizes[of] = np.exp(10)
    return np.log(answer(*sizes) / answer(*ONE)) / 10


# --- Li et al. 2025, arXiv 2503.04715: Step Law -----------------------------------------------


@pytest.mark.parametrize(
    ("what", "printed", "found"),
    [
        ("scale of the learning rate", "1.79", STEP_LAW.learning_rate(*ONE)),
        ("exponent of N in the learning rate", "-0.713", exponent(STEP_LAW.learning_rate, 0)),
        ("exponent of D in the learning rate", "0.307", exponent(STEP_LAW.learning_rate, 1)),
        ("scale of the batch in tokens", "0.58", STEP_LAW.batch_tokens(*ONE)),
        ("exponent of D in the batch", "0.571", exponent(STEP_LAW.batch_tokens, 1)),
    ],
)
def test_step_law(what, printed, found):
    assert_printed(found, printed, source="Li et al. 2025, Table 1", what=what)


@pytest.mark.parametrize(
    ("params", "tokens", "rate", "batch"),
    [(1e9, 1e11, 1.632e-3, 1.108e6), (7e9, 1.4e12, 9.166e-4, 4.999e6)],
)
def test_values_of_step_law(params, tokens, rate, batch):
    """Computed apart."""
    assert_allclose(STEP_LAW.learning_rate(params, tokens, 2.0), rate, rtol=5e-4)
    assert_allclose(STEP_LAW.batch_tokens(params, tokens, 2.0), batch, rtol=5e-4)


def test_medians_of_step_law():
    """Medians of the 1000 fits in step-law/steplaw, computed apart to four digits."""
    found = [
        np.log(MEDIANS.learning_rate(*ONE)),
        exponent(MEDIANS.learning_rate, 0),
        exponent(MEDIANS.learning_rate, 1),
        np.log(MEDIANS.batch_tokens(*ONE)),
        exponent(MEDIANS.batch_tokens, 1),
    ]
    assert_allclose(found, [0.5780, -0.7122, 0.3070, -0.5563, 0.5713], rtol=1e-12)


def test_medians_of_step_law_are_near_its_printed_form():
    """Within the standard deviations of the fits: 0.62, 0.030 and 0.019; 0.44 and 0.019."""
    size = 1e9, 1e11, 2.0
    assert_allclose(MEDIANS.learning_rate(*size), STEP_LAW.learning_rate(*size), rtol=0.02)
    assert_allclose(MEDIANS.batch_tokens(*size), STEP_LAW.batch_tokens(*size), rtol=0.02)


# --- DeepSeek-AI 2024, arXiv 2401.02954 -------------------------------------------------------


@pytest.mark.parametrize(
    ("what", "printed", "found"),
    [  # at C = 1, so at params of 1 / 6
        ("scale of the learning rate", "0.3118", DEEPSEEK.learning_rate(1 / 6, 1.0, 1.0)),
        ("exponent of the learning rate", "-0.1250", exponent(DEEPSEEK.learning_rate, 0)),
        ("scale of the batch in tokens", "0.2920", DEEPSEEK.batch_tokens(1 / 6, 1.0, 1.0)),
        ("exponent of the batch", "0.3271", exponent(DEEPSEEK.batch_tokens, 1)),
    ],
)
def test_deepseek(what, printed, found):
    assert_printed(found, printed, source="DeepSeek-AI 2024, eq. 1", what=what)


@pytest.mark.parametrize(("place", "printed"), [(0, "1e17"), (1, "2e19")])
def test_range_of_deepseek(place, printed):
    source, what = "DeepSeek-AI 2024, Section 3.1", "FLOPs of the runs, least and most"
    assert_printed(
        recipes.entry("deepseek2024").flops_range[place], printed, source=source, what=what
    )


@pytest.mark.parametrize(
    ("params", "rate", "sequences"), [(7e9, "4.2e-4", "2304"), (67e9, "3.2e-4", "4608")]
)
def test_models_of_deepseek(params, rate, sequences):
    """Both were trained on 2e12 tokens as the formulas say, in sequences of 4096."""
    source, model = "DeepSeek-AI 2024, Table 2", f"{params / 1e9:.0f}B"
    size = params, 2e12, 2.0
    found = DEEPSEEK.learning_rate(*size)
    assert_printed(found, rate, source=source, what=f"learning rate of {model}")
    # The nearest multiple of 256.
    found = DEEPSEEK.batch_tokens(*size) / 4096
    assert_printed(found, sequences, source=source, what=f"batch of {model}", within=128)


@pytest.mark.parametrize(
    ("flops", "rate", "batch"),
    [(1e17, 2.338e-3, 1.062e5), (3e20, 8.595e-4, 1.457e6), (1e24, 3.118e-4, 2.069e7)],
)
def test_values_of_deepseek(flops, rate, batch):
    """Computed apart."""
    params = tokens = np.sqrt(flops / 6)
    assert_allclose(DEEPSEEK.learning_rate(params, tokens, 2.0), rate, rtol=5e-4)
    assert_allclose(DEEPSEEK.batch_tokens(params, tokens, 2.0), batch, rtol=5e-4)


# --- Porian et al. 2024, arXiv 2406.19146 -----------------------------------------------------


@pytest.mark.parametrize(
    ("what", "printed", "found"),
    [
        ("scale of the learning rate", "3.7", PORIAN.learning_rate(*ONE)),
        ("exponent of the learning rate", "-0.36", exponent(PORIAN.learning_rate, 0)),
        ("scale of the batch in tokens", "0.7576", PORIAN.batch_tokens(*ONE)),
        ("scale of the batch in sequences", "3.7e-4", PORIAN.batch_tokens(*ONE) / 2048),
        ("exponent of the batch", "0.703", exponent(PORIAN.batch_tokens, 0)),
    ],
)
def test_porian(what, printed, found):
    source = "Porian et al. 2024, laws of learning rate and batch"
    assert_printed(found, printed, source=source, what=what)


def test_values_of_porian():
    """Computed apart."""
    assert_allclose(PORIAN.learning_rate(1e8, 2e9, 3.0), 4.88e-3, rtol=1e-3)
    assert_allclose(PORIAN.batch_tokens(1e8, 2e9, 3.0) / 2048, 155.6, rtol=5e-4)


# --- Kaplan et al. 2020, arXiv 2001.08361 -----------------------------------------------------

RATES = KAPLAN.learning_rate(np.array([1.0, np.e]), 1.0, 1.0)


@pytest.mark.parametrize(
    ("source", "what", "printed", "found"),
    [
        ("Appendix D.6", "learning rate of 1 param", "0.003239", RATES[0]),
        ("Appendix D.6", "learning rate by ln N", "-0.0001395", RATES[1] - RATES[0]),
        ("Table 5", "B_* in tokens", "2.1e8", KAPLAN.batch_tokens(*ONE)),
        ("Table 5", "alpha_B", "0.21", -1 / exponent(KAPLAN.batch_tokens, 2)),
        ("Section 6.1", "exponent of L in B_crit", "-4.8", exponent(KAPLAN.batch_tokens, 2)),
    ],
)
def test_kaplan(source, what, printed, found):
    assert_printed(found, printed, source=f"Kaplan et al. 2020, {source}", what=what)


def test_critical_batch_of_kaplan():
    """Computed apart."""
    assert_allclose(KAPLAN.batch_tokens(1e9, 1e11, 3.0), 1.123e6, rtol=5e-4)


def test_critical_batch_takes_twice_the_least():
    source = "Kaplan et al. 2020, Section 5.1"
    critical = CRITICAL_BATCH.tokens(3.0)
    found = recipes.time_and_compute(1e4, critical, critical)
    least_steps = found.steps / 1e4
    assert_printed(least_steps, "2", source=source, what="S / S_min at B_crit", within=1e-12)
    least_tokens = found.tokens / (1e4 * critical)
    assert_printed(least_tokens, "2", source=source, what="E / E_min at B_crit", within=1e-12)


def test_steps_by_loss_of_kaplan():
    """Table 3, from the steps that reach three losses at three sizes."""

    def missing(loss, params):  # the second term of eq. 1.6
        return (S_c / recipes.steps_for(loss, params)) ** alpha_S

    S_c = recipes.steps_for(2.0, 6.5e13)
    doubled = recipes.steps_for(3.0, 6.5e13)
    alpha_S = np.log(2) / np.log(S_c / doubled)
    small, large = (3.0 - missing(3.0, params) for params in (1e9, 1e11))
    alpha_N = np.log(small / large) / np.log(100)
    N_c = 1e9 * small ** (1 / alpha_N)
    for what, printed, found in [
        ("S_c of L(N, S)", "2.1e3", S_c),
        ("alpha_S of L(N, S)", "0.76", alpha_S),
        ("alpha_N of L(N, S)", "0.077", alpha_N),
        ("N_c of L(N, S)", "6.5e13", N_c),
    ]:
        assert_printed(found, printed, source="Kaplan et al. 2020, Table 3", what=what)


# --- Zhang et al. 2024, arXiv 2410.21676 ------------------------------------------------------


@pytest.mark.parametrize(
    ("what", "printed", "found"),
    [
        ("critical batch of 1e9 tokens, sequences", "22.91", 1e9),
        ("exponent of D in the critical batch", "0.47", None),
        ("smallest model", "85e6", ZHANG.params_range[0]),
        ("largest model", "1.2e9", ZHANG.params_range[1]),
    ],
)
def test_critical_batch_of_zhang(what, printed, found):
    if found is None:
        found = exponent(ZHANG.law.batch_tokens, 1)
    elif found == 1e9:  # in their sequences of 512 tokens
        found = ZHANG.law.batch_tokens(1.0, found, 1.0) / 512
    assert_printed(found, printed, source="Zhang et al. 2024", what=what)


def test_the_critical_batch_of_zhang_is_far_below_that_of_kaplan():
    """At 1e12 tokens, computed apart: 301,505 tokens, and more than ten times as many by Kaplan."""
    size = 7e9, 1e12, 2.04
    assert_allclose(ZHANG.law.batch_tokens(*size), 301_505, rtol=0, atol=0.5)
    assert KAPLAN.batch_tokens(*size) > 10 * 301_505
    assert np.isnan(ZHANG.law.learning_rate(*size))
