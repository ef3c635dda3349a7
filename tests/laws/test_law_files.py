"""Fits in files: read as entries, and every fault of a file named in one line."""

import json
import math
from dataclasses import dataclass

import numpy as np
import pytest

import jaxscale as js

LAW = {"E": 1.8, "A": 480, "B": 2100.0, "alpha": 0.35, "beta": 0.37}
RECORD = {
    "format": "jaxscale fit 2",
    "family": "Chinchilla",
    "dataset": "240 runs of runs.csv",
    "law": LAW,
    "standard_errors": dict.fromkeys(LAW, 0.1),
    "covariance": [[0.1] * 5] * 5,
    "ranges": {"params": [1e8, 1e10], "tokens": [1e9, 1e12], "loss": [2, 3]},
    "remarks": {"one ratio": "all runs have 20 tokens per param"},
}


@pytest.fixture
def write(tmp_path):
    def write(record, name="fit.json"):
        path = tmp_path / name
        path.write_text(record if isinstance(record, str) else json.dumps(record))
        return str(path)

    return write


def test_a_file_is_an_entry_with_its_ranges_and_remarks(write):
    path = write(RECORD)
    entry = js.laws.entry(path)
    assert (entry.name, entry.dataset) == (path, "240 runs of runs.csv")
    assert entry.law == js.laws.Chinchilla(**{name: float(x) for name, x in LAW.items()})
    assert entry.params_range == (1e8, 1e10)
    assert entry.tokens_per_param_range is None
    assert entry.standard_errors == js.laws.Chinchilla(*[0.1] * 5)
    assert entry.covariance == ((0.1,) * 5,) * 5
    assert entry.errata == ("one ratio: all runs have 20 tokens per param",)
    assert js.laws.published(path) == entry.law


def test_what_is_not_known_may_be_left_out(write):
    entry = js.laws.entry(write({"format": RECORD["format"], "law": LAW, "ranges": {}}, "A.JSON"))
    assert (entry.params_range, entry.standard_errors, entry.covariance) == (None, None, None)
    assert (entry.source, entry.errata) == ("not stated", ())


FLAT = {"name": "FLAT_VALLEY", "sentence": "Coefficients trade off."}
OPEN = {
    "names": ["E", "A", "alpha"],
    "reason": "all runs have the same params",
    # Runs of 1e9 params: E may take what A / N^alpha leaves, and alpha pivots about them.
    "directions": [
        [-480.0 / 1e9**0.35 / 1.8, 1.0, 0, 0, 0],
        [0, math.log(1e9), 0, 1.0, 0],
    ],
}


def test_what_the_runs_leave_open_travels_with_the_law(write):
    errors = {**dict.fromkeys(LAW, 0.1), "E": None, "A": None, "alpha": None}
    record = changed(status=FLAT, unidentified=OPEN, standard_errors=errors, covariance=None)
    entry = js.laws.entry(write(record))
    assert entry.unidentified == ("E", "A", "alpha")
    assert "FLAT_VALLEY: Coefficients trade off." in entry.warning
    assert "do not identify E, A, alpha: all runs have the same params" in entry.warning
    assert math.isnan(entry.standard_errors.alpha)
    assert entry.standard_errors.beta == 0.1
    for tokens in (1e9, 1e13):
        assert entry.tells_loss(1e9, tokens)
        assert not entry.tells_loss(1.01e9, tokens)


def test_a_status_that_is_not_ok_is_a_warning(write):
    calm = js.laws.entry(write(changed(status={"name": "OK", "sentence": "A minimum."})))
    assert (calm.warning, calm.unidentified) == ("", ())
    assert calm.tells_loss(1.0, 1.0)
    kin = js.laws.entry(write(changed(status={"name": "E_AT_ZERO", "sentence": "No E."})))
    assert (kin.warning, kin.unidentified) == ("E_AT_ZERO: No E.", ())
    # A file that was written before open coefficients were named.
    old = js.laws.entry(write(changed(status=FLAT)))
    assert {*old.unidentified} == {*LAW}
    assert not old.tells_loss(1e9, 1e10)


def test_a_file_of_the_first_format_is_read_in_the_order_of_today(write):
    given = [[float(10 * min(i, j) + max(i, j)) for j in range(5)] for i in range(5)]
    # Of (ln A, ln B, ln E, alpha, beta), and now of (ln E, ln A, ln B, alpha, beta).
    order = [2, 0, 1, 3, 4]
    old = {name: each for name, each in changed(covariance=given).items() if name != "family"}
    entry = js.laws.entry(write({**old, "format": "jaxscale fit 1"}))
    assert entry.law == js.laws.Chinchilla(**{name: float(x) for name, x in LAW.items()})
    assert entry.covariance == tuple(tuple(given[i][j] for j in order) for i in order)


def test_a_family_of_ones_own_is_handed_in(write):
    record = {"format": RECORD["format"], "family": "Own", "law": {"A": 3.0}, "ranges": {}}
    assert js.laws.load(write(record), family=Own) == Own(3.0)


def test_the_law_of_each_resample_is_read_back(write):
    drawn = {name: [x, 1.1 * x, None] for name, x in LAW.items()}
    for kind in ("jaxscale fit 1", "jaxscale fit 2"):
        draws = js.laws.entry(write(changed(draws=drawn, format=kind))).draws
        for name, x in LAW.items():
            np.testing.assert_array_equal(getattr(draws, name), [x, 1.1 * x, np.nan])
    assert js.laws.entry(write(RECORD)).draws is None
    assert js.laws.entry(write(changed(draws=None))).draws is None
    own = {"format": RECORD["format"], "family": "Own", "law": {"A": 3.0}, "ranges": {}}
    entry = js.laws.entry(write({**own, "draws": {"A": [1.0, 2.0]}}), family=Own)
    assert entry.draws.A.tolist() == [1.0, 2.0]
    assert entry == js.laws.entry(entry.name, family=Own)  # draws are no part of what it is
    assert hash(entry)


def test_a_saved_bootstrap_is_read_back(tmp_path):
    runs = js.fitting.simulate(js.laws.published("besiroglu2024"), 30, key=1)
    fit = js.fit(js.laws.Chinchilla, runs)
    boot = js.bootstrap(fit, resamples=20, key=1)
    fit.save(tmp_path / "fit.json", boot)
    draws = js.laws.entry(tmp_path / "fit.json").draws
    for name in LAW:
        # Nine digits are kept.
        np.testing.assert_allclose(getattr(draws, name), getattr(boot.law, name), rtol=1e-8)


@dataclass(frozen=True)
class Own:
    A: float

    def loss(self, params, tokens):
        return self.A / params + 0 * tokens


def changed(**parts):
    return {**RECORD, **parts}


@pytest.mark.parametrize(
    ("record", "problem"),
    [
        ("", "not JSON"),
        ("[1, 2", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "not written by jaxscale fit"),
        ({"law": LAW}, "not written by jaxscale fit"),
        (changed(format=3), "not written by jaxscale fit"),
        (changed(format="jaxscale fit 3"), "its format is 'jaxscale fit 3'"),
        (changed(family="Kaplan"), "law.N_c is missing"),
        (changed(family="Kaplam"), "did you mean Kaplan?"),
        (changed(family="Blend"), "a class of your own, read it by js.laws.load with family="),
        (changed(law=None), "law is missing"),
        (changed(law=[1]), "law must be an object"),
        (changed(law={**LAW, "beta": None}), "law.beta is missing"),
        (changed(law={**LAW, "beta": "0.3"}), "law.beta must be a finite number; got 0.3"),
        (changed(law={**LAW, "beta": True}), "law.beta must be a finite number; got bool"),
        (changed(law={**LAW, "beta": float("nan")}), "law.beta must be a finite number; got nan"),
        (changed(law={**LAW, "A": 10**400}), "law.A must be a finite number; got int"),
        (changed(law={**LAW, "A": 0}), "law has no loss with these coefficients"),
        (changed(law={**LAW, "E": -1}), "law.E must be 0 or more; got -1.0"),
        (changed(ranges=None), "ranges is missing"),
        (changed(ranges={"tokens": 3}), "ranges.tokens must be two numbers; got 3"),
        (changed(ranges={"tokens": [2, 1]}), "ranges.tokens must be above 0 and ascending"),
        (changed(covariance=[[1] * 5] * 4), "covariance must have 5 rows of 5 numbers"),
        (changed(unidentified={"names": ["gamma"]}), "unidentified.names must be of E, A, B"),
        (
            changed(unidentified={"names": ["E"], "directions": [[1.0]]}),
            "unidentified.directions must have rows of 5 numbers",
        ),
        (changed(covariance=[[None] * 5] * 5), "covariance is missing"),
        (changed(draws=[1.0]), "draws must be an object"),
        (changed(draws={"E": [1.0]}), "draws.A is missing"),
        (changed(draws={key: ["x"] for key in LAW}), "draws must be lists of numbers"),
        (changed(draws={key: [[1.0]] for key in LAW}), "draws must be lists of one length"),
        (
            changed(draws={**{key: [1.0] for key in LAW}, "A": [1.0, 2.0]}),
            "draws must be lists of one length",
        ),
        (changed(standard_errors={"E": 1}), "standard_errors.A is missing"),
        (changed(remarks=["a"]), "remarks must be an object"),
    ],
)
def test_every_fault_of_a_file_is_named(write, record, problem):
    path = write(record)
    with pytest.raises(ValueError) as raised:
        js.laws.entry(path)
    message = str(raised.value)
    assert problem in message
    assert message.startswith(path)
    assert "\n" not in message


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"cannot read 'nowhere\.json': No such file"):
        js.laws.entry("nowhere.json")
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"binary\.json: no fit: not text"):
        js.laws.entry(str(tmp_path / "binary.json"))
