"""The study of replays: its result is shown, and its figure has a panel for each set of runs."""

import json

import pytest

import jaxscale as js
from benchmarks import replay
from benchmarks.report import RESULTS

pytest.importorskip("matplotlib")


def test_the_result_is_shown_and_drawn(capsys):
    result = json.loads((RESULTS / "replay-cpu-2-cores.json").read_text())
    assert set(result["sets"]) == set(replay.SETS)
    replay.show(result)
    assert "published" in capsys.readouterr().out
    figure = replay.picture(result)
    titles = [panel.get_title() for panel in figure.axes]
    assert titles == [each.title for each in replay.SETS.values()]


def test_a_set_is_measured_by_all_rules():
    law = js.laws.published("besiroglu2024")
    runs = js.fitting.simulate(law, 30, key=1)
    pool, target = runs.select(slice(20)), runs.select(slice(20, 30))
    kind = replay.Set("made", "", js.laws.Chinchilla, lambda: (pool, target, pool.flops), {}, None)
    made = replay.measured(kind._replace(shares=(0.5,)), seeds=2)
    assert [len(made["rules"][rule]) for rule in ("V", "D", "random")] == [1, 1, 2]
    assert made["all"]["r2"] > 0.5
