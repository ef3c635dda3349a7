"""Kim et al. 2025 against the law of repeated data: what params add where data is short.

Their line is of 2e8 unique tokens, with weight decay 0.8 to 3.2 and tuned epochs. It is no law of
the library, and its numbers are not reproduced here: levels of the two do not compare, since data
and tokenizers differ, but falls do.
"""

import jax
import numpy as np
import pytest

import jaxscale as js

if not jax.config.jax_enable_x64:
    pytest.skip("losses are compared to a thousandth of a nat", allow_module_level=True)

ENTRY = js.laws.entry("muennighoff2023_repeated")
UNIQUE = 2e8


def measured(params):
    """ArXiv 2509.14786: params in 1e9."""
    return 0.05 / (params / 1e9) ** 1.02 + 3.43


def promised(params, tokens):
    return ENTRY.law.loss(params, tokens, unique_tokens=UNIQUE)


def test_the_line_is_as_it_is_quoted():
    """3.48 at 1e9 params; and 7 params a token, 140 times Chinchilla's, are 1.4e9."""
    assert measured(1e9) == pytest.approx(3.48)
    assert pytest.approx(1.4e9) == 140 / 20 * UNIQUE


def test_regularised_models_go_on_gaining_from_params_where_the_law_stops():
    fall = measured(3e8) - measured(1.4e9)
    assert fall == pytest.approx(0.135, abs=0.002)
    for epochs in (1, 4, 16, 64, 1e6):
        falls = promised(3e8, epochs * UNIQUE) - promised(1.4e9, epochs * UNIQUE)
        assert falls == pytest.approx(0.0013, abs=2e-4)


def test_the_law_takes_all_excess_params_for_six_times_the_best():
    best = ENTRY.law.best_params_for(UNIQUE)
    assert best == pytest.approx(1.02e7, rel=0.01)
    base = ENTRY.law.base()
    # Of effective params, at most 1 + R_N times those: 6e7, a fifth of the smallest measured.
    tokens = UNIQUE * (1 + ENTRY.law.R_D)
    limit = base.loss(best * (1 + ENTRY.law.R_N), tokens)
    assert promised(1e15, 1e15) == pytest.approx(float(limit), rel=1e-9)
    assert limit == pytest.approx(3.4432, abs=5.1e-5)


def test_the_entry_says_so():
    told = [text for text in ENTRY.errata if "Kim et al. 2025" in text]
    assert len(told) == 1
    assert np.isfinite(promised(1.4e9, 100 * UNIQUE))
