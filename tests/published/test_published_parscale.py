"""Numbers of Chen et al. 2025, whose 48 runs are here, and its law fitted to them again.

The coefficients that ship have more digits than the paper prints: they are held to this fit.
"""

import functools

import jax
import numpy as np
import pytest
from numpy.testing import assert_allclose

import jaxscale as js
from published.numbers import assert_printed

pytestmark = pytest.mark.skipif(
    not jax.config.read("jax_enable_x64"), reason="printed digits are compared in float64"
)

PAPER = "Chen et al. 2025, eq. 5"
TOKENS = 42e9
STREAMS = np.array([1.0, 2.0, 4.0, 8.0])[:, None]
# Params outside embeddings, with those that streams add, and losses: QwenLM/ParScale,
# parametric_fit.py. A row for each number of streams.
PARAMS = np.array([
    [535813376, 693753856, 1088376320, 1571472384, 2774773760, 4353203200],
    [538195842, 696738818, 1092762882, 1577522690, 2784937986, 4368529922],
    [540577412, 699722756, 1097148164, 1583571460, 2795100164, 4383854084],
    [545340552, 705690632, 1105918728, 1595669000, 2815424520, 4414502408],
], float)  # fmt: skip
LOSSES = {
    "chen2025_stack": [
        [1.1722, 1.1496, 1.1131, 1.0817, 1.0451, 1.0213],
        [1.1507, 1.1262, 1.0940, 1.0623, 1.0244, 1.0025],
        [1.1354, 1.1124, 1.0808, 1.0490, 1.0126, 0.9906],
        [1.1231, 1.0997, 1.0688, 1.0383, 1.0016, 0.9794],
    ],
    "chen2025_pile": [
        [2.1113, 2.0671, 2.0027, 1.9539, 1.8876, 1.8451],
        [2.0772, 2.0363, 1.9730, 1.9266, 1.8610, 1.8137],
        [2.0544, 2.0128, 1.9509, 1.9040, 1.8394, 1.7938],
        [2.0364, 1.9933, 1.9318, 1.8856, 1.8218, 1.7772],
    ],
}
# The objective at the minimum, and what eight streams multiply params by, computed apart.
MINIMA = {"chen2025_stack": (3.67674055e-5, 1.82), "chen2025_pile": (1.81393159e-5, 1.70)}
PRINTED = {"chen2025_stack": (".39", ".9978"), "chen2025_pile": (".33", ".9987")}  # k, R2
SHARES = {"chen2025_stack": 0.99783, "chen2025_pile": 0.99868}  # R2, computed apart


@functools.cache
def fit(name):
    shape = PARAMS.shape
    runs = js.Runs(
        PARAMS.ravel(),
        np.full(PARAMS.size, TOKENS),
        np.ravel(LOSSES[name]),
        levers={"streams": np.broadcast_to(STREAMS, shape).ravel()},
    )
    return js.fit(js.laws.ParScale, runs)


@pytest.mark.parametrize("name", LOSSES)
def test_the_law_is_the_minimum_of_the_objective_of_its_paper(name):
    found, law, (objective, effective) = fit(name), js.laws.published(name), MINIMA[name]
    assert found.ok
    assert_allclose(found.objective, objective, rtol=1e-8)
    for field in ("E", "A", "alpha", "k"):
        assert_allclose(getattr(law, field), getattr(found.law, field), rtol=0, atol=1e-6)
    assert_allclose(law.effective_params(1.0, 8.0), effective, rtol=0, atol=0.005)
    entry = js.laws.entry(name)
    assert entry.params_range == (PARAMS.min(), PARAMS.max())


@pytest.mark.parametrize("name", LOSSES)
def test_k_and_the_share_of_variance_are_printed(name):
    law, loss, (k, share) = js.laws.published(name), np.array(LOSSES[name]), PRINTED[name]
    data = {"chen2025_stack": "Stack-V2-Python", "chen2025_pile": "Pile"}[name]
    assert_printed(law.k, k, source=PAPER, what=f"{data}, k")
    residuals = law.loss(PARAMS, TOKENS, streams=STREAMS) - loss
    explained = 1 - (residuals**2).sum() / ((loss - loss.mean()) ** 2).sum()
    assert_printed(explained, share, source=PAPER, what=f"{data}, R2")
    assert_allclose(explained, SHARES[name], rtol=0, atol=5e-6)


def test_losses_computed_apart():
    law = js.laws.published("chen2025_pile")
    found = law.loss(1.6e9, TOKENS, streams=STREAMS[:, 0])
    assert_allclose(found, [1.951836, 1.925242, 1.904054, 1.886547], rtol=0, atol=5e-7)
