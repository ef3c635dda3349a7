"""Repeated sampling: the coverage that Brown et al. 2024 print, from the power they fit it with."""

import jax
import pytest
from numpy.testing import assert_allclose

from jaxscale.repeated_sampling import power_coverage
from published.numbers import assert_printed

if not jax.config.jax_enable_x64:
    pytest.skip("printed digits are held to in float64", allow_module_level=True)

# Attempts, coverage in percent as printed; and a and b of the power through both, computed apart.
POINTS = {
    "SWE-bench Lite, DeepSeek-Coder-V2-Instruct": ((1, "15.9"), (250, "56"), (-1.839, -0.209)),
    "CodeContests, Gemma-2B": ((1, "0.02"), (10_000, "7.1"), (-8.517, -0.127)),
}


@pytest.mark.parametrize("task", POINTS)
def test_coverage(task):
    *points, (a, b) = POINTS[task]
    (few, low), (many, high) = points
    law = power_coverage(few, float(low) / 100, many, float(high) / 100)
    assert_allclose([law.a, law.b], [a, b], atol=5.1e-4)
    for attempts, printed in points:
        found = 100 * law.coverage(attempts)
        source = "Brown et al. 2024, arXiv 2407.21787"
        assert_printed(found, printed, source=source, what=f"% of {task} in {attempts} attempts")
