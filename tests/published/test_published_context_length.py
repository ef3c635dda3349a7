"""Numbers of Xiong et al. 2023: loss by the length of the context."""

import jax
import pytest
from numpy.testing import assert_allclose

import jaxscale as js
from published.numbers import assert_printed

pytestmark = pytest.mark.skipif(
    not jax.config.read("jax_enable_x64"), reason="printed digits are compared in float64"
)

FIGURE = "Xiong et al. 2023, Figure 1"
PRINTED = {  # alpha, beta, gamma
    "7b": ("25.4", "0.45", "1.56"),
    "13b": ("19.5", "0.48", "1.45"),
    "34b": ("17.7", "0.50", "1.41"),
    "70b": ("17.9", "0.51", "1.35"),
}


@pytest.mark.parametrize("size", PRINTED)
def test_coefficients_are_those_printed(size):
    law = js.laws.context_length(f"xiong2023_{size}")
    for name, printed in zip(("alpha", "beta", "gamma"), PRINTED[size], strict=True):
        assert_printed(getattr(law, name), printed, source=FIGURE, what=f"{size.upper()}, {name}")


def test_losses_computed_apart():
    law = js.laws.context_length("xiong2023_7b")
    assert_allclose(law.loss(4096.0), 0.101534 + 1.56, rtol=0, atol=5e-7)
    assert_allclose(law.loss(32768.0), 0.039831 + 1.56, rtol=0, atol=5e-7)
    assert_allclose(law.gain_of_doubling(4096.0), (1 - 2**-0.45) * 0.101534, rtol=0, atol=5e-7)


def test_doubling_cuts_the_excess_by_30_percent_and_not_the_loss():
    """Summaries of the paper say that it cuts the loss by so much."""
    for size in PRINTED:
        law = js.laws.context_length(f"xiong2023_{size}")
        gain, loss = float(law.gain_of_doubling(4096.0)), float(law.loss(4096.0))
        assert 0.26 < gain / (loss - law.gamma) < 0.30
        assert 0.012 < gain / loss < 0.017
