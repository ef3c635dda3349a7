"""Intervals: plans by the laws that the runs allow."""

from dataclasses import replace

import jax
import numpy as np
import pytest

import jaxscale as js
from jaxscale import laws
from jaxscale.exploring import FIRST, answer, read
from jaxscale.exploring.uncertainty import DRAWS, draws_of, interval_note
from jaxscale.published import Entry
from jaxscale.status import Status

ENTRY = laws.entry("besiroglu2024")


def _coordinates(law):
    logs = [np.log(x) for x in (law.E, law.A, law.B)]
    return np.stack([*logs, law.alpha, law.beta], axis=-1)


def test_draws_have_the_mean_and_the_covariance_of_the_source():
    rows = _coordinates(draws_of(ENTRY))
    assert len(rows) == DRAWS
    covariance = np.array(ENTRY.covariance or ())
    scales = np.sqrt(np.diag(covariance))
    center = _coordinates(jax.tree.map(np.float64, ENTRY.law))
    # Strata leave little in the means; correlations of 200 draws are good to 1 / sqrt(200).
    np.testing.assert_allclose((rows.mean(axis=0) - center) / scales, 0, atol=0.01)
    correlations = np.cov(rows.T) / np.outer(scales, scales)
    np.testing.assert_allclose(correlations, covariance / np.outer(scales, scales), atol=0.15)


def test_intervals_are_those_of_independent_draws_and_closed_forms():
    """Of a loss without serving: N = G (C / 6)^a and so on, by NumPy."""
    found = answer(
        read(
            FIRST.with_texts(
                {"like_params": "", "loss": "2", "output_tokens": "0", "input_tokens": "0"}
            )
        )
    )
    rng, size = np.random.default_rng(7), 40_000
    rows = rng.multivariate_normal(
        _coordinates(jax.tree.map(np.float64, ENTRY.law)), np.array(ENTRY.covariance or ()), size
    )
    E, A, B = np.exp(rows[:, :3].T)
    alpha, beta = rows[:, 3:].T
    # At the cheapest plan alpha A / N^alpha = beta B / D^beta, and both add up to 2 - E.
    size_term = (2 - E) * beta / (alpha + beta)
    params = (A / size_term) ** (1 / alpha)
    tokens = (B / (2 - E - size_term)) ** (1 / beta)
    for name, sample in (("params", params), ("tokens", tokens)):
        ends = np.log(np.quantile(sample, [0.025, 0.975]))
        stated = np.log(found.intervals[name])
        # The ends of 200 draws are within a twentieth of the width, root mean square.
        np.testing.assert_allclose(stated, ends, atol=0.15 * (ends[1] - ends[0]))
    low, high = found.intervals["saving"]
    assert low == pytest.approx(0, abs=1e-9)
    assert high == pytest.approx(0, abs=1e-9)


def test_notes_say_what_intervals_rest_on():
    found = answer(read(FIRST))
    note = interval_note("besiroglu2024", ENTRY, found.resampled)
    assert note.startswith("Intervals hold 95 % of 200 draws from the covariance of besiroglu2024")
    assert "not published" in interval_note("kaplan2020", laws.entry("kaplan2020"), None)
    assert "being computed" in interval_note("besiroglu2024", ENTRY, None)
    own = replace(laws.entry("kaplan2020"), source="jaxscale 0.8.0")
    assert "neither resamples" in interval_note("ours.json", own, None)
    assert found.resampled is not None
    status = np.array(found.resampled.status)
    status[:50] = int(Status.INFEASIBLE_LOSS)
    lost = replace(found.resampled, status=status)
    assert interval_note("besiroglu2024", ENTRY, lost).startswith("No intervals: of 200 draws")


def test_intervals_of_a_fit_are_those_of_all_its_resamples():
    rng, law = np.random.default_rng(3), jax.tree.map(np.float64, ENTRY.law)
    draws = jax.tree.map(lambda x: x * np.exp(rng.normal(0, 0.01, 301)), law)
    entry = Entry("ours", law, dataset="runs", draws=draws)
    asked = read(
        FIRST.with_texts({"law": "ours", "loss": "2.1", "like_params": ""}), {"ours": entry}
    )
    found = answer(asked)
    with jax.enable_x64(True):
        plans = js.minimize_cost(entry.draws, 2.1, asked.demand, asked.costs)
    expected = js.plan_intervals(jax.tree.map(np.asarray, plans))
    for name in ("params", "tokens", "total_cost"):
        np.testing.assert_allclose(found.intervals[name], expected[name], rtol=1e-9)
    few = answer(asked, DRAWS).intervals["params"]
    assert few != found.intervals["params"]
