"""The benchmark of profits notices one that is not the greatest."""

import jax
import pytest

from benchmarks import economics
from benchmarks.harness import Disagreement

if not jax.config.jax_enable_x64:
    pytest.skip("the benchmark turns float64 on", allow_module_level=True)


def test_a_profit_that_is_not_the_greatest_is_no_agreement():
    kind = economics.KINDS[0]
    best = economics.solve(kind, economics.CHECKED)
    assert economics.checked(kind, economics.CHECKED, best)["solved"] == 1
    worse = type(best)(best.plan, best.value * (1 - 1e-6), best.price, best.demand)
    with pytest.raises(Disagreement, match=kind):
        economics.checked(kind, economics.CHECKED, worse)
