"""`jaxscale rl`: where to stop, by every curve, and what is missing."""

import json

import pytest

from jaxscale import reinforcement

pytest.importorskip("typer")

ASKED = ("--start", "30%", "--price", "2", "--point-value", "1000")


@pytest.fixture
def rl(command):
    def run(*arguments):
        code, out, err = command("rl", *arguments, "--json")
        assert (code, err) == (0, "")
        return json.loads(out)

    return run


def test_every_curve_tells_its_best_stop_with_an_interval(rl):
    found = rl(*ASKED)
    assert [each["name"] for each in found["curves"]] == [x.name for x in reinforcement.catalog()]
    first = found["curves"][0]
    law = reinforcement.published(first["name"])
    stop = law.best_stop(1000.0, 2.0, 0.3)
    for name in ("hours", "pass_rate", "profit"):
        low, high = first["intervals"][name]
        assert low < first["stop"][name] < high
        assert first["stop"][name] == pytest.approx(float(getattr(stop, name)), rel=1e-5)
    assert first["stop"]["pays"] is True
    assert [each["note"] for each in found["curves"]].count("do not train") == 2


def test_a_curve_is_read_at_hours_and_for_a_pass_rate(rl):
    (curve,) = rl("khatri2025_8b", "--start", "0.3", "--hours", "1000", "--pass-rate", "70%")[
        "curves"
    ]
    law = reinforcement.published("khatri2025_8b")
    assert curve["pass_rate"] == pytest.approx(float(law.pass_rate(1000.0, 0.3)), rel=1e-6)
    assert curve["hours"] is None
    assert curve["note"] == "out of reach, extrapolated"
    assert curve["stop"] is None


def test_tables_print_stops_intervals_and_notes(command):
    code, out, err = command("rl", *ASKED)
    assert (code, err) == (0, "")
    for printed in ("5.01K", "54.4 %", "$14.4K", "do not train: all training costs more", "A 0.02"):
        assert printed in out
    out = command("rl", "khatri2025_8b", "--start", "30%", "--hours", "900").out
    assert "extrapolated: the curves were fitted from 1,500 GPU-hours on" in out
    assert "Table 1" in out
    assert "not stated" not in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "give --start, the pass rate before training"),
        (("--start", "30%"), "give --price and --point-value, or --hours, or --pass-rate"),
        (("--start", "30%", "--price", "2"), "give --price and --point-value together"),
        (("--start", "130%", "--hours", "1K"), "--start: '130%' must be a share"),
        (("khatri", "--start", "30%", "--hours", "1K"), "NAME: unknown curve 'khatri'"),
    ],
)
def test_mistakes_are_named(command, arguments, said):
    code, out, err = command("rl", *arguments)
    assert (code, out) == (2, "")
    assert said in err


def test_a_pass_rate_that_no_training_has_is_said_to_be_out_of_reach(command):
    out = command("rl", "khatri2025_scout", "--start", "30%", "--pass-rate", "95%").out
    assert "out of reach: the curve has no such pass rate" in out
    assert "Intervals:" not in out
