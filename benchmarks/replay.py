"""Runs chosen from finished ones: `python -m benchmarks.replay`.

On each set of runs a law is fitted to what a rule of selection has chosen so far, and its error on
target runs, which no rule sees, is set against the share of the cost of all runs that was spent.
Four sets are of ScaleBench (Li et al. 2026, arXiv 2604.22753), with its split and its costs; of the
isoFLOP sets the two largest budgets are the targets. Published figures stand beside them.

They are not of the same law: the paper fits five to ten laws of its own making to most sets, bounds
their coefficients around known answers, and averages. Ours is one family of the package, with no
bounds. Its random choice begins with nothing, ours with the cheapest runs, as every rule does.
"""

import argparse
import json
import math
import os
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import numpy as np

import jaxscale as js
from benchmarks.harness import Options, header, progress
from benchmarks.report import Cell, add_output, number, of_records, save_and_show, table, text

FOLDER = Path(os.environ.get("JAXSCALE_DATA") or Path(__file__).parents[2] / "shared" / "data")
SHARES = (0.01, 0.02, 0.05, 0.1)
PUBLISHED_SHARES = (0.01, 0.05, 0.1)
# Of isoFLOP sets, whose few runs of the largest budgets are nearly all of the cost.
ISOFLOP_SHARES = (0.02, 0.05, 0.1, 0.2, 0.5)
SEEDS = 5
POWER = 0.4
# Quadratic for residuals as runs have them, linear for outliers beyond.
OBJECTIVE = js.fitting.Huber(1e-2)
TARGET_BUDGETS = 2
EVERY_TOKENS = 130e9  # of Clark et al. 2022, all runs


class Set(NamedTuple):
    """A set of finished runs, and the law that is fitted to them."""

    title: str
    source: str
    law: type
    read: Callable[[], tuple[js.Runs, js.Runs, np.ndarray]]  # pool, targets, cost of the pool
    # R2 of the paper at 1, 5 and 10 % of the cost, by rule; and with all runs.
    published: Mapping[str, tuple[float, ...]] = MappingProxyType({})
    published_all: float | None = None
    shares: tuple[float, ...] = SHARES


def _scalebench(
    name: str, runs: Callable[[dict[str, np.ndarray]], js.Runs], cost: Callable[[js.Runs], object]
) -> Callable[[], tuple[js.Runs, js.Runs, np.ndarray]]:
    def read() -> tuple[js.Runs, js.Runs, np.ndarray]:
        columns, split = _columns(FOLDER / "scalebench" / f"{name}.csv", "split")
        pool, target = (
            runs({key: x[split == part] for key, x in columns.items()})
            for part in ("train", "test")
        )
        return pool, target, np.asarray(cost(pool))

    return read


def _isoflops(name: str, experiment: str) -> Callable[[], tuple[js.Runs, js.Runs, np.ndarray]]:
    def read() -> tuple[js.Runs, js.Runs, np.ndarray]:
        path = FOLDER / "isoflops_open_athena" / f"{name}.csv"
        columns, label = _columns(path, "experiment")
        kept = (label == experiment) & (columns["outlier"] == 0)
        runs = js.Runs(*(columns[key][kept] for key in ("params", "tokens", "loss")))
        budget = columns["isoflop_budget"][kept]
        held = budget >= np.unique(budget)[-TARGET_BUDGETS]
        pool = runs.select(~held)
        return pool, runs.select(held), pool.flops

    return read


def _columns(path: Path, label: str) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Columns of numbers, and one of text."""
    import pandas as pd

    frame = pd.read_csv(path)
    numbers = frame.select_dtypes("number")
    return {name: numbers[name].to_numpy(float) for name in numbers}, frame[label].to_numpy(str)


def _flops(pool: js.Runs) -> object:
    return pool.flops


SETS = {
    "farseer": Set(
        "Farseer",
        "Li et al. 2025",
        js.laws.Farseer,
        _scalebench("farseer", lambda x: js.Runs(x["N"], x["D"], x["loss"]), _flops),
        {"V": (0.67, 0.87, 0.92), "D": (-0.11, 0.49, 0.87), "random": (-0.77, 0.78, 0.79)},
        0.91,
    ),
    "data_constrained": Set(
        "Repeated data",
        "Muennighoff et al. 2023",
        js.laws.Muennighoff,
        _scalebench(
            "data_constrained",
            lambda x: js.Runs(
                x["params"], x["tokens"], x["loss"], levers={"unique_tokens": x["unique_tokens"]}
            ),
            _flops,
        ),
        {"V": (0.58, 0.83, 0.85), "D": (0.71, 0.80, 0.77)},
        0.79,
    ),
    "moe": Set(
        "Experts",
        "Clark et al. 2022",
        js.laws.Clark,
        _scalebench(
            "moe",
            lambda x: js.Runs(
                x["dense_parameter_count"],
                np.full_like(x["num_experts"], EVERY_TOKENS),
                x["loss_validation"],
                levers={"experts": x["num_experts"]},
            ),
            lambda pool: pool.params * pool.levers["experts"],
        ),
        {"V": (0.67, 0.80, 0.80)},
    ),
    # Its columns are of characters, and of entries of the vocabulary: both only scale coefficients.
    "vocab": Set(
        "Vocabulary",
        "Tao et al. 2024",
        js.laws.Tao,
        _scalebench(
            "vocab",
            lambda x: js.Runs(
                x["non_vocab_parameters"],
                x["num_characters"],
                x["unigram_normalized_loss"],
                levers={"vocabulary_params": x["vocab_size"]},
            ),
            lambda pool: pool.params * pool.tokens,
        ),
        {"V": (0.96, 0.97, 0.98)},
    ),
    "chinchilla": Set(
        "Chinchilla",
        "Hoffmann et al. 2022",
        js.laws.Chinchilla,
        _isoflops("ml_scalefit", "ml_scalefit__massivetext__chinchilla"),
        shares=ISOFLOP_SHARES,
    ),
    "llama_3": Set(
        "Llama 3",
        "Grattafiori et al. 2024",
        js.laws.Chinchilla,
        _isoflops("llama_3", "llama_3__exp_loss"),
        shares=ISOFLOP_SHARES,
    ),
    "marin": Set(
        "Marin",
        "Open Athena 2026",
        js.laws.Chinchilla,
        _isoflops("marin_202603", "marin_202603__nemotron__llama_2"),
        shares=ISOFLOP_SHARES,
    ),
    "misfitting": Set(
        "Misfitting",
        "Li et al. 2025",
        js.laws.Chinchilla,
        _isoflops("misfitting", "misfitting__fineweb_c4__transformer"),
        shares=ISOFLOP_SHARES,
    ),
}


def measured(each: Set, seeds: int) -> dict:
    """Errors of all rules on one set."""
    start = time.perf_counter()
    pool, target, cost = each.read()
    options = {"cost": cost, "power": POWER, "shares": each.shares, "objective": OBJECTIVE}

    def one(method: str, key: int = 0) -> dict:
        made = js.experiments.replay(pool, target, each.law, method=method, key=key, **options)
        names = "spent", "count", "r2", "rmse"
        return {name: getattr(made, name).tolist() for name in names}

    rules = {"V": [one("V")], "D": [one("D")]}
    rules["random"] = [one("random", key) for key in range(seeds)]
    fitted = js.fit(each.law, pool, objective=OBJECTIVE)
    predicted = np.asarray(fitted.law.loss(target.params, target.tokens, **(target.levers or {})))
    square = float(np.mean((predicted - target.loss) ** 2))
    return {
        "title": each.title,
        "source": each.source,
        "law": each.law.__name__,
        "runs": len(pool),
        "targets": len(target),
        "shares": list(each.shares),
        "rules": rules,
        "all": {"r2": max(-1.0, 1 - square / np.var(target.loss)), "rmse": math.sqrt(square)},
        "published": {name: list(x) for name, x in each.published.items()},
        "published_all": each.published_all,
        "seconds": time.perf_counter() - start,
    }


def run(names: list[str], seeds: int, before: dict) -> dict:
    """Everything found, as one JSON object; sets that are not asked for are taken from before."""
    sets = dict(before.get("sets", {}))
    for name in names:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            sets[name] = measured(SETS[name], seeds)
        progress(f"replay: {name}, {sets[name]['seconds']:.0f} s")
    sets = {name: sets[name] for name in SETS if name in sets}
    facts = {"power": POWER, "delta": float(OBJECTIVE.delta), "seeds": seeds, "sets": sets}
    return header("replay", Options(), **facts)


def picture(result: dict) -> Any:
    """The figure of the documentation."""
    sets, published, whole = {}, {}, {}
    for name, each in result["sets"].items():
        shares = np.array(each["shares"])
        title = SETS[name].title
        sets[title] = [
            js.experiments.Replay(
                rule,
                shares,
                *(np.array(made[key]) for key in ("spent", "count", "r2", "rmse")),
                chosen=np.array([], int),
            )
            for rule, replays in each["rules"].items()
            for made in replays
        ]
        published[title] = {
            rule: list(zip(PUBLISHED_SHARES, figures, strict=True))
            for rule, figures in each["published"].items()
        }
        whole[title] = each["all"]["r2"]
    seeds = result["seeds"]
    return js.plots.replays(
        sets,
        published=published,
        whole=whole,
        title="What a law predicts, fitted to chosen runs",
        subtitle=f"V and D choose for their cost to the power {result['power']:g}; random: median "
        f"and range of {seeds} seeds; published: Li et al. 2026, by other laws; "
        "what is below the panel is on its edge",
    )


CELLS: dict[str, Cell] = {
    "": text("rule"),
    **{f"{x:.0%}": number(f"{x:.0%}", ".2f") for x in sorted({*SHARES, *ISOFLOP_SHARES})},
    "all": number("all", ".2f"),
}


def show(result: dict) -> None:
    """Print everything that a person wants to see of `result`."""
    for each in result["sets"].values():
        title = f"{each['title']} ({each['source']}): R2 of {each['law']} on {each['targets']} "
        title += f"targets, from {each['runs']} runs"
        records = []
        for rule, made in each["rules"].items():
            middle = np.median([x["r2"] for x in made], axis=0)
            record = {f"{s:.0%}": x for s, x in zip(each["shares"], middle, strict=True)}
            records.append({"rule": rule, **record, "all": each["all"]["r2"]})
        for rule, figures in each["published"].items():
            known = {f"{share:.0%}": x for share, x in zip(PUBLISHED_SHARES, figures, strict=True)}
            more = {} if each["published_all"] is None else {"all": each["published_all"]}
            records.append({"rule": f"{rule}, published", **known, **more})
        table(*of_records(title, CELLS, records))


def main(arguments: list[str] | None = None) -> int:
    """Run the study, save it and show it."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.replay",
        description="What rules of selection would have learned from finished runs.",
    )
    parser.add_argument(
        "--sets", nargs="*", choices=list(SETS), default=list(SETS), metavar="NAME",
        help="sets of runs; the result keeps what was known of others (default: all)",
    )  # fmt: skip
    parser.add_argument(
        "--seeds", type=int, default=SEEDS, metavar="N", help="of random (default: %(default)s)"
    )
    parser.add_argument("--picture", type=Path, metavar="PATH", help="draw the figure, too")
    add_output(parser, "replay")
    options = parser.parse_args(arguments)
    jax.config.update("jax_enable_x64", True)
    before = options.output and options.output.is_file()
    known = json.loads(options.output.read_text()) if before else {}
    result = run(options.sets, options.seeds, known)
    save_and_show(result, "replay", options.output, show)
    if options.picture:
        picture(result).savefig(options.picture)
    return 0


if __name__ == "__main__":
    sys.exit(main())
