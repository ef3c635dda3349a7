"""`jaxscale demo`: what it prints is computed again here, through the public functions."""

import jax
import numpy as np
import pytest

import jaxscale as js
from jaxscale.cli import demo
from jaxscale.cli.quantities import count

pytest.importorskip("typer")
pytest.importorskip("matplotlib")

TOTAL = 3000


@pytest.fixture
def ran(command, tmp_path):
    path = tmp_path / "figure.png"
    code, out, err = command("demo", "--scenarios", str(TOTAL), "--picture", str(path))
    assert (code, err) == (0, "")
    return out, path


def recomputed():
    """Requests and the four columns of the table, scenario by scenario."""
    loss, requests, decode_mfu, price = map(np.asarray, demo.spread(TOTAL))
    law = js.laws.published("sardana2024")
    demand = js.Demand.from_requests(requests, input_tokens=70, output_tokens=215)
    costs = js.Costs.on(
        train=js.accelerator("A100-80GB", price=1.50),
        serve=js.accelerator("A100-40GB", price=price),
        serve_precision="int8",
        decode_mfu=decode_mfu,
    )
    best, size = js.minimize_cost(law, loss, demand, costs), js.minimize_cost(law, loss)
    chinchilla = js.evaluate(law, size.params, size.tokens, demand, costs)
    assert bool(best.ok.all() & chinchilla.ok.all())
    return requests, (
        best.params / chinchilla.params,
        best.tokens / chinchilla.tokens,
        100 * (1 - best.total_cost / chinchilla.total_cost),
        best.tokens / best.params,
    )


def test_the_table_and_the_picture(ran):
    out, path = ran
    requests, columns = recomputed()
    writers = ("{:.2f}".format, lambda x: count(x, 2), "{:.0f}".format, lambda x: count(x, 2))
    for power in range(6, 12):
        label = f"{count(10.0**power, 1)}-{count(10.0 ** (power + 1), 1)}"
        (line,) = [line for line in out.splitlines() if line.split()[:1] == [label]]
        inside = (requests >= 10.0**power) & (requests < 10.0 ** (power + 1))
        for values, write in zip(columns, writers, strict=True):
            low, median, high = np.percentile(np.asarray(values)[inside], (5, 50, 95))
            assert f" {write(median)} ({write(low)}-{write(high)})" in line
    assert "compiled in" in out
    assert f"{TOTAL:,} scenarios in" in out
    assert " a second" in out
    assert path.read_bytes().startswith(b"\x89PNG")
    assert path.stat().st_size > 50_000


def test_scenarios_fill_their_ranges_evenly(command):
    command("--version")  # float64, as in the demonstration
    axes = demo.spread(10_000)
    ranges = (demo.LOSSES, demo.REQUESTS, demo.DECODE_MFU, demo.SERVE_PRICE)
    for index, (values, (low, high)) in enumerate(zip(axes, ranges, strict=True)):
        assert low <= values.min() < values.max() <= high
        scaled = np.asarray(values if index == 0 else np.log(values))
        quartiles = np.quantile(scaled, (0.25, 0.5, 0.75))
        start, stop = (low, high) if index == 0 else np.log((low, high))
        expected = start + (stop - start) * np.array([0.25, 0.5, 0.75])
        np.testing.assert_allclose(quartiles, expected, atol=0.005 * (stop - start))


def test_the_middle_of_the_ranges_is_the_setting_of_sardana_et_al():
    assert np.sqrt(np.prod(demo.DECODE_MFU)) == pytest.approx(0.01)
    assert np.sqrt(np.prod(demo.SERVE_PRICE)) == pytest.approx(1.10)


def test_one_scenario_is_enough(command, tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "draw", lambda law, path: path.write_text("drawn"))
    path = tmp_path / "figure.svg"
    code, out, err = command("demo", "--scenarios", "1", "--picture", str(path))
    assert (code, err) == (0, "")
    assert "1 scenarios in" in out
    assert path.read_text() == "drawn"


def test_a_picture_that_cannot_be_written_is_one_line(command, tmp_path, monkeypatch):
    folder = tmp_path / "figure.png"
    folder.mkdir()
    code, out, err = command("demo", "--scenarios", "10", "--picture", str(folder))
    assert (code, out) == (2, "")
    assert "is a folder" in err


def test_the_device_is_named(command, monkeypatch):
    assert "CPU cores" in demo._device() or jax.devices()[0].platform != "cpu"
