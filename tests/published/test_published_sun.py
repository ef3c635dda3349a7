"""Numbers of Sun et al. 2025 on training in floating-point formats.

"Computed apart" says that no paper prints the number: it was worked out from the printed
coefficients, by plain arithmetic that shares nothing with this library.
"""

import jax
import numpy as np
import pytest
from numpy.testing import assert_allclose

import jaxscale as js
from published.numbers import assert_printed

pytestmark = pytest.mark.skipif(
    not jax.config.read("jax_enable_x64"), reason="printed digits are compared in float64"
)

SUN = js.laws.published("sun2025")
PAPER = "Sun et al. 2025"
BLOCK = 128.0


def format_of(exponent, mantissa):
    return {"exponent_bits": exponent, "mantissa_bits": mantissa, "scaling_block": BLOCK}


FP16 = format_of(5.0, 10.0)  # outside the ranges of the levers, where the law is hardly felt
FORMATS = {name: format_of(*bits) for name, bits in js.laws.FORMATS.items()} | {"fp16": FP16}

TABLE_2 = {
    "n": "69.2343", "alpha": "0.2368", "d": "68973.0621", "beta": "0.5162",
    "e": "1.9061", "gamma": "11334.5197", "delta": "3.1926", "nu": "2.9543",
}  # fmt: skip


@pytest.mark.parametrize("name", TABLE_2)
def test_coefficients_are_those_of_table_2(name):
    assert_printed(getattr(SUN, name), TABLE_2[name], source=f"{PAPER}, Table 2", what=name)


@pytest.mark.parametrize(("end", "printed"), [(0, "40894464"), (1, "679477248")])
def test_params_of_the_runs_are_those_of_matrices_in_blocks(end, printed):
    """Table 1 has the layers, width and inner width of a gated layer; Table 3 has N."""
    layers, width, inner = ((12, 512, 1536), (24, 1536, 4096))[end]
    blocks = layers * (4 * width**2 + 3 * width * inner)
    source, what = f"{PAPER}, Table 3", f"params of {layers} layers"
    assert_printed(blocks, printed, source=source, what=what)
    assert js.laws.entry("sun2025").params_range[end] == blocks
    assert not SUN.counts_embeddings


@pytest.mark.parametrize(
    ("name", "printed"), [("bf16", "1730e12"), ("E4M3", "27e12"), ("E2M1", "0.4e12")]
)
def test_critical_tokens_of_a_billion_params(name, printed):
    tokens = SUN.critical_tokens(1e9, **FORMATS[name])
    source = f"{PAPER}, Section 4.3"
    assert_printed(tokens, printed, source=source, what=f"critical tokens of 1e9 params in {name}")


@pytest.mark.parametrize(("bits", "printed"), [(4, (2, 1)), (8, (4, 3)), (16, (8, 7))])
def test_best_layouts(bits, printed):
    """Of all formats of so many bits, the one of the lowest loss."""
    mantissa = np.arange(0.0, bits)
    losses = SUN.loss(1e9, 1e12, **format_of(bits - 1 - mantissa, mantissa))
    best = int(np.argmin(losses))
    source = f"{PAPER}, Section 4.2"
    assert_printed(bits - 1 - best, str(printed[0]), source=source, what=f"exponent bits of {bits}")
    assert_printed(best, str(printed[1]), source=source, what=f"mantissa bits of {bits}")


def best_bits(flops):
    """The best number of bits of a budget, eq. 54 with k = 6 / 16; by plain arithmetic."""
    total = SUN.delta + SUN.nu
    gamma = SUN.gamma * SUN.delta**SUN.delta * SUN.nu**SUN.nu / total**total
    gamma = (total - SUN.alpha) / (SUN.n * SUN.alpha * gamma)
    share = 1 + SUN.alpha / SUN.beta
    right = (gamma * np.log2(BLOCK)) ** share * (total - SUN.alpha) / (total + SUN.beta)
    right *= SUN.d * SUN.beta / (SUN.n * SUN.alpha) * (flops * 16 / 6) ** SUN.alpha
    return right ** (1 / (total * share + SUN.alpha))


def layout(bits):
    """The real numbers of exponent and mantissa bits that are best: eq. 31."""
    mantissa = SUN.nu * bits / (SUN.delta + SUN.nu) - 0.5
    return format_of(bits - 1 - mantissa, mantissa)


def test_best_numbers_of_bits_are_four_to_eight():
    """Section 4.4: between 4 and 8 bits from 1e21 to 1e31 FLOPs."""
    flops = np.array([[1e21], [1e26], [1e31]])
    bits = best_bits(flops)
    source = f"{PAPER}, Section 4.4"
    # "Between": the ends are whole numbers of bits.
    assert_printed(bits[0, 0], "4", source=source, what="best bits at 1e21 FLOPs, from")
    assert_printed(bits[-1, 0], "8", source=source, what="best bits at 1e31 FLOPs, to")
    # The solver agrees: with no other number of bits is the best plan as good.
    losses = js.minimize_loss(SUN, flops, levers=layout(bits * np.array([0.99, 1, 1.01]))).loss
    assert np.all(np.argmin(losses, axis=1) == 1)


@pytest.mark.thorough
def test_bits_that_the_solver_chooses_are_those_of_eq_54():
    over = ("params", "tokens", "exponent_bits", "mantissa_bits")
    flops = np.array([1e21, 1e24, 1e31])
    plan = js.minimize_loss(SUN, flops, levers={"scaling_block": BLOCK}, over=over)
    bits = 1 + plan.levers["exponent_bits"] + plan.levers["mantissa_bits"]
    assert_allclose(bits, best_bits(flops), rtol=1e-6)
    assert_allclose(plan.levers["mantissa_bits"], layout(bits)["mantissa_bits"], rtol=1e-6)


# --- Computed apart --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "tokens", "losses"),
    [
        (1e9, 2e10, (2.750232, 2.750313, 2.765392, 2.750043)),
        (1e9, 1e12, (2.463458, 2.464072, 2.577674, 2.462038)),
        (7e9, 1e13, (2.245382, 2.246653, 2.481870, 2.242443)),
    ],
)
def test_losses_of_formats(params, tokens, losses):
    for name, loss in zip(("E4M3", "E5M2", "E2M1", "fp16"), losses, strict=True):
        assert_allclose(SUN.loss(params, tokens, **FORMATS[name]), loss, rtol=0, atol=0.5000001e-6)


@pytest.mark.parametrize(
    ("params", "name", "tokens"),
    [
        (1e9, "E4M3", 2.7329e13),
        (1e9, "E5M2", 1.9408e13),
        (1e9, "E2M1", 3.9285e11),
        (7e9, "E2M1", 6.1385e11),
    ],
)
def test_critical_tokens(params, name, tokens):
    assert_allclose(SUN.critical_tokens(params, **FORMATS[name]), tokens, rtol=0.5e-4)
