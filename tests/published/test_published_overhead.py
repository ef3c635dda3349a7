"""De Vries 2023, "Go smol or go home": the overhead of smaller models, to the printed digits."""

import jax
import numpy as np
import pytest
from numpy.testing import assert_allclose

import jaxscale as js

if not jax.config.jax_enable_x64:
    pytest.skip("printed digits are held to in float64", allow_module_level=True)

LAW = js.laws.published("devries2023")

# Size ratio, overhead as printed in the post, and how far a rounded word may be off.
OVERHEADS = [
    (0.75, 0.028, 0.0005),
    (0.60, 0.10, 0.005),
    (0.57, 0.12, 0.006),  # LLaMA-7B, "about"
    (0.50, 0.20, 0.008),  # the formula gives 20.8 %
    (0.40, 0.42, 0.018),  # 43.7 %
    (0.30, 1.00, 0.06),  # "about"; 105.6 %
    (0.25, 1.88, 0.009),
]
# FLOPs; N and D in 1e9 for size ratios 1, 0.5 and 0.3, from the post's table.
TABLE = [
    (2.21e19, (0.40, 9.22), (0.20, 22.28), (0.12, 63.20)),
    (1.62e20, (0.99, 27.20), (0.50, 65.70), (0.30, 186.35)),
    (2.46e22, (9.87, 415.53), (4.93, 1003.77), (2.96, 2847.27)),
    (1e23, (18.73, 889.63), (9.37, 2149.02), (5.62, 6095.86)),
    (1.71e24, (68.60, 4154.24), (34.30, 10035.16), (20.58, 28465.50)),
]


@pytest.mark.parametrize(("size", "printed", "tolerance"), OVERHEADS)
def test_overhead(size, printed, tolerance):
    assert_allclose(js.overhead(LAW, size).extra_cost, printed, rtol=0, atol=tolerance)


@pytest.mark.xfail(strict=True, reason="24 % is printed beside 1.29e9 params of 2.79e9: 27.8 %")
def test_overhead_of_santacoder():
    assert_allclose(js.overhead(LAW, 0.46).extra_cost, 0.24, rtol=0, atol=0.02)


def test_smallest_size():
    assert_allclose(js.overhead(LAW, 0.5).smallest, 0.0974, rtol=0, atol=5e-5)


@pytest.mark.parametrize(("flops", "best", "half", "third"), TABLE)
def test_sizes_of_equal_loss(flops, best, half, third):
    plan = js.minimize_loss(LAW, flops)
    ratios = np.array([1.0, 0.5, 0.3])
    found = js.overhead(LAW, ratios)
    params, tokens = plan.params / 1e9 * ratios, plan.tokens / 1e9 * found.tokens_ratio
    printed_params, printed_tokens = np.array([best, half, third]).T
    assert_allclose(params, printed_params, rtol=0, atol=0.0051)
    assert_allclose(tokens, printed_tokens, rtol=1e-4, atol=0.0051)
