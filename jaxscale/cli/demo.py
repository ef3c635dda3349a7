"""`jaxscale demo`: a million scenarios solved at once, summed up in a table and a picture.

The scenarios spread over loss, requests, decode utilisation and price, around the setting of
Sardana et al. 2024, Section 6 and Appendix B.3. Each is made on the device from its index.
"""

import importlib.util
import os
import time
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

import jaxscale as js
from jaxscale.cli import options, tables
from jaxscale.cli.mistakes import Mistake
from jaxscale.cli.quantities import count
from jaxscale.laws import Chinchilla

MAX_SCENARIOS = 10_000_000  # all results are held at once
RUNS = 3  # the best of so many is reported

INPUT_TOKENS, OUTPUT_TOKENS = 70, 215  # per request
TRAIN_PRICE = 1.50  # dollars per device-hour
LOSSES = (1.9, 2.5)  # nats per token
REQUESTS = (1e6, 1e12)
DECODE_MFU = (0.002, 0.05)
SERVE_PRICE = (0.55, 2.20)  # dollars per device-hour

# Multiples of the powers of 1 / ROOT, the root of x^5 = x + 1, leave remainders that fill four
# dimensions evenly (Roberts 2018, "The unreasonable effectiveness of quasirandom sequences").
ROOT = 1.1673039782614187

PICTURE_FORMATS = (".pdf", ".png", ".svg")
PICTURE_LOSSES = np.linspace(1.8, 2.6, 101)
PICTURE_DEMAND = np.geomspace(1e9, 1e14, 161)  # tokens


class Outcome(NamedTuple):
    """What serving changes in each scenario: the cheapest plan over the Chinchilla plan."""

    requests: Array
    params: Array  # ratio
    tokens: Array  # ratio
    saving: Array  # share of the Chinchilla plan's total cost
    tokens_per_param: Array  # of the cheapest plan


def demo(
    scenarios: options.Scenarios = "1M",
    picture: options.Picture = "jaxscale-demo.png",
) -> None:
    """Solve a million scenarios at once and draw how serving moves the optimum."""
    total, path = read_total(scenarios), read_path(picture)
    law = js.laws.published(options.DEFAULT_LAW)
    show(solve_timed(law, total))
    with tables.progress("drawing"):
        draw(law, path)
    tables.note(f"Wrote {path}: the same ratios over demand and loss, costs in FLOPs.")


EXAMPLES = """\
jaxscale demo
jaxscale demo --scenarios 10M --picture figure.svg
"""


def read_total(scenarios: float) -> int:
    if scenarios > MAX_SCENARIOS or scenarios != int(scenarios):
        raise Mistake(f"--scenarios must be a whole number up to {MAX_SCENARIOS:,}")
    return int(scenarios)


def read_path(text: str) -> Path:
    """Where the picture goes, checked before any work is done."""
    path = Path(text).expanduser()
    if path.suffix.lower() not in PICTURE_FORMATS:
        raise Mistake(f"--picture: {text!r} must end in {', '.join(PICTURE_FORMATS)}")
    if path.is_dir() or not path.parent.is_dir():
        problem = "is a folder" if path.is_dir() else "lies in a folder that does not exist"
        raise Mistake(f"--picture: {text!r} {problem}")
    if importlib.util.find_spec("matplotlib") is None:
        raise Mistake("the picture needs matplotlib: pip install 'jaxscale[all]'")
    return path


def spread(total: int) -> tuple[Array, Array, Array, Array]:
    """Losses, requests, decode utilisations and serving prices of `total` scenarios."""
    index = jnp.arange(1, total + 1, dtype=float)
    loss, requests, mfu, price = (index * ROOT**-power % 1 for power in (1, 2, 3, 4))
    low, high = LOSSES
    return (
        low + (high - low) * loss,
        _geometric(requests, REQUESTS),
        _geometric(mfu, DECODE_MFU),
        _geometric(price, SERVE_PRICE),
    )


def solve(law: Chinchilla, total: int) -> Outcome:
    """Both plans of `total` scenarios, in dollars."""
    loss, requests, decode_mfu, serve_price = spread(total)
    demand = js.Demand.from_requests(
        requests, input_tokens=INPUT_TOKENS, output_tokens=OUTPUT_TOKENS
    )
    costs = js.Costs.on(
        train=js.accelerator("A100-80GB", price=TRAIN_PRICE),
        serve=js.accelerator("A100-40GB", price=serve_price),
        serve_precision="int8",
        decode_mfu=decode_mfu,
    )
    best = js.minimize_cost(law, loss, demand, costs)
    size = js.minimize_cost(law, loss)
    chinchilla = js.evaluate(law, size.params, size.tokens, demand, costs)
    return Outcome(
        requests,
        best.params / chinchilla.params,
        best.tokens / chinchilla.tokens,
        1 - best.total_cost / chinchilla.total_cost,
        best.tokens_per_param,
    )


def solve_timed(law: Chinchilla, total: int) -> Outcome:
    """Solve, and print how long it took: compiling apart, running as the best of a few."""
    start = time.perf_counter()
    with tables.progress("compiling"):
        run = jax.jit(solve, static_argnames="total").lower(law, total).compile()
    tables.note(f"compiled in {time.perf_counter() - start:.2f} s", style="dim")
    with tables.progress(f"solving {total:,} scenarios"):
        outcome = jax.block_until_ready(run(law))  # the first run also touches fresh memory
        seconds = min(_seconds(run, law) for _ in range(RUNS))
    tables.note(
        f"{total:,} scenarios in {seconds * 1e3:.3g} ms on {_device()}: "
        f"{count(total / seconds)} a second",
        style="bold",
    )
    return outcome


def _seconds(run, law) -> float:
    start = time.perf_counter()
    jax.block_until_ready(run(law))
    return time.perf_counter() - start


def _device() -> str:
    device = jax.devices()[0]
    return f"{os.cpu_count()} CPU cores" if device.platform == "cpu" else device.device_kind


def show(outcome: Outcome) -> None:
    """Print how the optimum moves with demand: the median, and where 90 % of scenarios lie."""
    tables.note(
        "The cheapest plan over the Chinchilla plan of equal loss, in dollars.\n"
        "Median (5-95 %) of scenarios that differ in\n"
        f"  loss          {LOSSES[0]:g} to {LOSSES[1]:g} nats per token\n"
        f"  decode MFU    {100 * DECODE_MFU[0]:g} to {100 * DECODE_MFU[1]:g} %\n"
        f"  serving price {SERVE_PRICE[0]:.2f} to {SERVE_PRICE[1]:.2f} dollars an hour\n"
        f"  requests      as below, of {INPUT_TOKENS} tokens in and {OUTPUT_TOKENS} out",
        style="dim",
    )
    header = ("requests", "params ratio", "tokens ratio", "saving", "tokens/param")
    tables.print_columns(header, summary(outcome))


def summary(outcome: Outcome) -> list[tuple[str, ...]]:
    """One row for each decade of requests that has a scenario."""
    host = jax.device_get(outcome)
    decades = np.floor(np.log10(host.requests))
    rows = []
    for decade in np.unique(decades):
        inside = Outcome(*(field[decades == decade] for field in host))
        rows.append(
            (
                f"{count(10**decade, 1)}-{count(10 ** (decade + 1), 1)}",
                _range(inside.params, "{:.2f}".format),
                _range(inside.tokens, _two_digits),
                _range(100 * inside.saving, "{:.0f}".format) + " %",
                _range(inside.tokens_per_param, _two_digits),
            )
        )
    return rows


def _range(values, write) -> str:
    low, median, high = (write(float(x)) for x in np.percentile(values, (5, 50, 95)))
    return f"{median} ({low}-{high})"


def _two_digits(x: float) -> str:
    return count(x, 2)


def draw(law: Chinchilla, path: Path) -> None:
    """The picture of Figure 2 of Sardana et al. 2024, for this law."""
    from jaxscale.plots import ratio_panels

    # One call for all plans compiles once: the first column, without demand, is Chinchilla's.
    demand = np.concatenate([[0.0], PICTURE_DEMAND])[None, :]
    plans = jax.device_get(js.minimize_cost(law, PICTURE_LOSSES[:, None], js.Demand(demand)))
    size, best = (
        jax.tree.map(itemgetter(columns), plans) for columns in (np.s_[:, :1], np.s_[:, 1:])
    )
    chinchilla = js.evaluate(law, size.params, size.tokens, js.Demand(PICTURE_DEMAND[None, :]))
    figure = ratio_panels(
        PICTURE_DEMAND,
        PICTURE_LOSSES,
        best.total_cost / chinchilla.total_cost,
        best.params / chinchilla.params,
        best.tokens / chinchilla.tokens,
        chinchilla_params=chinchilla.params[:, 0],
        title="The cheapest plan over the Chinchilla plan of equal loss, costs in FLOPs",
        panel_titles=("total FLOPs", "params", "training tokens"),
    )
    try:
        figure.savefig(path)
    except OSError as error:
        raise Mistake(f"--picture: cannot write {str(path)!r}: {error.strerror}") from None


def _geometric(place: Array, limits: tuple[float, float]) -> Array:
    low, high = limits
    return low * jnp.exp(place * float(np.log(high / low)))
