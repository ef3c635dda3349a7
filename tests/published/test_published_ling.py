"""Numbers of Tian et al. 2025 (Ling Team): efficiency leverage, allocations and recipes.

"Computed apart" says that no paper prints the number: it was worked out from the printed
coefficients, by code that shares nothing with this library.
"""

import jax
import numpy as np
import pytest
from numpy.testing import assert_allclose

from jaxscale import allocations, laws, recipes
from published.numbers import assert_printed

if not jax.config.jax_enable_x64:
    pytest.skip("printed digits are compared in float64", allow_module_level=True)

PAPER = "Tian et al. 2025"
LEVERAGE = laws.leverage("ling2025")
LAW = laws.published("ling2025_on_besiroglu2024")
LING_MINI = {"activation": 13 / 385, "granularity": 12.0}  # 12 of 384 experts, and one shared


# --- Leverage ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "printed"),
    [
        ("a", "1.23"),
        ("d", "-7.61e-2"),
        ("gamma", "1.67e-2"),
        ("beta", "-1.17e-1"),
        ("A_start", "1.63e-2"),
        ("A_max", "5.28e16"),
    ],
)
def test_coefficients(name, printed):
    assert_printed(getattr(LEVERAGE, name), printed, source=f"{PAPER}, Table 2", what=name)


@pytest.mark.parametrize(
    ("activation", "granularity", "flops", "rounded"),
    [
        (0.008, 12, (1e18, 1e20, 1e22, 1e24), (3.6003, 6.3395, 11.1625, 19.655)),
        (0.031, 12, (1e18, 1e20, 1e22, 1e24), (2.8619, 4.5535, 7.2449, 11.5271)),
        (0.125, 12, (1e18, 1e20, 1e22, 1e24), (1.9628, 2.6437, 3.561, 4.7964)),
        (0.034, 12, (1e22,), (6.9614,)),
        (0.078, 2, (1e22,), (3.6172,)),
        (1.0, 12, (1e18, 1e22), (0.9944, 0.9896)),
    ],
)
def test_leverage(activation, granularity, flops, rounded):
    """Computed apart."""
    found = LEVERAGE.leverage(np.array(flops), activation, granularity)
    digits = [3 if x == 19.655 else 4 for x in rounded]
    assert np.all(np.abs(found - np.array(rounded)) <= 0.51 * 10.0 ** -np.array(digits))


def test_bases_of_the_logarithms_give_the_printed_leverage_and_granularity():
    found = LEVERAGE.leverage(1e22, 0.031, 12)
    assert found > 7
    what = "leverage at A 3.1 %, G 12, 1e22 FLOPs (above it)"
    assert_printed(found, "7", source=f"{PAPER}, Section 4.2", what=what)
    grid = np.linspace(2, 16, 2801)
    best = grid[np.argmax(LEVERAGE.leverage(1e20, 0.031, grid))]
    assert_allclose(best, 11.34, atol=0.005)
    assert 8 < best < 12  # as the introduction says
    # "Around 12"; from the rounded coefficients.
    assert_printed(best, "12", source=f"{PAPER}, Section 4.1", what="best granularity", within=0.7)


def test_the_leverage_turns_the_best_dense_sizes_into_those_of_sparse_models():
    """Equal tokens, EL times the compute, and C that of the sparse model: Table 1 agrees."""
    dense, moe = (allocations.published(f"ling2025_{kind}") for kind in ("dense", "moe"))
    for flops in (1e20, 1e22):
        gain = LEVERAGE.leverage(flops, 5 / 64, 2)
        # At fixed compute the dense optimum of A / (EL N)^alpha is that of a smaller A: N* falls
        # by EL^(-alpha / (alpha + beta)), which exponent Table 1 has as that of the best tokens.
        expected = dense.params(flops) * gain**-dense.tokens_exponent
        assert_allclose(moe.params(flops), expected, rtol=0.01)


def test_ling_mini_beta_is_worth_the_dense_model_that_it_was_compared_with():
    active, dense = 0.855e9, 6.1e9
    worth = active * LEVERAGE.leverage(1e22, 0.034, 12)
    source, what = f"{PAPER}, Section 5", "dense params of equal loss, 1e9"
    # The losses differ by nearly 0.01, which is a few per cent of params.
    assert_printed(worth / 1e9, "6.1", source=source, what=what, within=0.16)
    assert_printed(100 * 13 / 385, "3.4", source=source, what="activation ratio, %")
    # 6 N D without attention is half of those 1e22 FLOPs.
    found = LAW.loss(active, 1e12, **LING_MINI)
    assert_allclose(found, LAW.dense.loss(dense, 1e12), rtol=0, atol=0.01)
    ratio = LEVERAGE.leverage(6 * active * 1e12, **LING_MINI) * active / dense
    assert 0.9 < ratio < 1


def test_only_flops_of_training_are_three_times_the_best_tokens():
    """Table 7 and 8's smallest and largest models, whose FLOPs of training are printed.

    They had "over three times" the best tokens, which tells what M is.
    """
    length, shared = 4096, 3  # experts at work: two and a shared one
    moe = allocations.published("ling2025_moe")
    for layers, width, expert, heads_per_group, flops in (
        (8, 384, 384, 4, 2e18),
        (22, 1280, 1280, 5, 6e20),
    ):
        # Eq. 14 and 15 for a token, without logits.
        attention = width**2 * (2 + 2 / heads_per_group) + 4 * length * width
        forward = layers * (attention + 6 * width * shared * expert)
        for per_token, least, most in ((3 * forward, 2.5, 5), (forward, 9, 30)):
            budgets = np.geomspace(1e16, 1e23, 7001)
            best = np.interp(per_token, 6 * np.asarray(moe.params(budgets)), budgets)
            multiple = flops / (3 * forward) / (best / per_token)
            assert least < multiple < most


# --- Allocations and recipes -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "printed"),
    [
        ("dense", ("0.0655", "0.5422", "15.2582", "0.4578")),
        ("moe", ("0.1915", "0.5095", "5.2232", "0.4905")),
    ],
)
def test_allocation(kind, printed):
    found = allocations.published(f"ling2025_{kind}")
    numbers = 6 * found.params_scale, found.params_exponent
    numbers += found.tokens_scale, found.tokens_exponent
    names = "scale of M", "exponent of M", "scale of tokens", "exponent of tokens"
    for number, text, name in zip(numbers, printed, names, strict=True):
        assert_printed(number, text, source=f"{PAPER}, Table 1", what=f"{kind}: {name}")


@pytest.mark.parametrize(
    ("kind", "flops", "size", "tokens"),
    [
        ("dense", 1e20, 4.57342e9, 2.18526e10),
        ("dense", 1e22, 5.55445e10, 1.79930e11),
        ("moe", 1e20, 2.96598e9, 3.37238e10),
        ("moe", 1e22, 3.09862e10, 3.22802e11),
    ],
)
def test_sizes(kind, flops, size, tokens):
    """Computed apart."""
    found = allocations.published(f"ling2025_{kind}")
    assert_allclose(6 * found.params(flops), size, rtol=2e-6)
    assert_allclose(found.tokens(flops), tokens, rtol=2e-6)
    product = {"dense": 0.99941, "moe": 1.00024}[kind]
    assert_allclose(6 * found.params_scale * found.tokens_scale, product, rtol=0, atol=0.6e-5)


RECIPE = recipes.entry("ling2025_moe").law


@pytest.mark.parametrize(
    ("flops", "rate", "batch"),
    [
        (1e20, 1.0129e-3, 1.34697e6),
        (3e20, 8.5626e-4, 2.01012e6),
        (1e22, 5.0091e-4, 7.21372e6),
        (1e24, 2.4772e-4, 3.86331e7),
    ],
)
def test_recipe(flops, rate, batch):
    """Computed apart."""
    sizes = 1e9, flops / 6e9, 2.0
    assert_allclose(RECIPE.learning_rate(*sizes), rate, rtol=5e-5)
    assert_allclose(RECIPE.batch_tokens(*sizes), batch, rtol=5e-6)


@pytest.mark.parametrize(
    ("name", "printed"),
    [
        ("rate_scale", "1.1576"),
        ("rate_by_flops", "-0.1529"),
        ("batch_scale", "0.0694"),
        ("batch_by_flops", "0.3644"),
    ],
)
def test_coefficients_of_the_recipe(name, printed):
    assert_printed(getattr(RECIPE, name), printed, source=f"{PAPER}, eq. 3", what=name)
