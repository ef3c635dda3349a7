"""Makes accuracy_sample.csv: `python -m solve.accuracy_sample`, run in the folder of the tests.

Inputs are written so that they read back exactly; answers are mpmath's, from the papers' raw
equations, to 25 digits. Rows of float32 hold inputs that both dtypes represent.
"""

import csv
from pathlib import Path

import numpy as np
from mpmath import mp, mpf

from reference import best, cheapest, random_budgets, random_scenarios, rows, solve_row

PATH = Path(__file__).with_suffix(".csv")
DIGITS = 25
SEED = 20240103  # of the first version of Sardana et al.
COUNTS = {np.float64: 15, np.float32: 15}  # for each of the two problems
PROBLEMS = {"loss": cheapest, "budget": best}
PREFIX = "answer_"
TEXTS = ("dtype", "target")
NOT_GIVEN = ("loss", "budget", "reducible")  # the target goes by the name of `given`


def _draws(rng: np.random.Generator, dtype: type, count: int) -> dict:
    if dtype is np.float64:
        return random_scenarios(rng, count)
    # Where float32 holds plans and costs of every kind, from demand that does not matter to
    # demand that decides.
    narrow = {"exponents": (0.15, 1.5), "coefficients": (1e0, 1e4), "reducible": (1e-2, 1e1)}
    narrow |= {"demand": (1e6, 1e16), "prices": (1e-20, 1e-12)}
    return random_scenarios(rng, count, dtype, **narrow)


def sample() -> list[dict[str, str]]:
    """All rows as text, answers included."""
    rng, table = np.random.default_rng(SEED), []
    for dtype, count in COUNTS.items():
        draws = _draws(rng, dtype, count)
        draws["budget"] = random_budgets(draws)
        limits = np.finfo(dtype)
        for target in PROBLEMS:
            for row in rows(draws):
                if not 0 < row["budget"] < limits.max:
                    continue
                given = {name: repr(x) for name, x in row.items() if name not in NOT_GIVEN}
                given |= {"dtype": np.dtype(dtype).name, "target": target}
                given["given"] = repr(row[target])
                table.append(given | solved(given))
    return table


def solved(row: dict[str, str]) -> dict[str, str]:
    """The answer to the inputs of a row, as text."""
    target = row["target"]
    names = (name for name in row if name not in TEXTS and not name.startswith(PREFIX))
    inputs = {target if name == "given" else name: float(row[name]) for name in names}
    plan = solve_row(PROBLEMS[target], inputs, target)
    return {f"{PREFIX}{name}": mp.nstr(x, DIGITS) for name, x in plan._asdict().items()}


def read() -> list[dict[str, str]]:
    """The committed rows."""
    with PATH.open(newline="") as file:
        return list(csv.DictReader(file))


def answers(row: dict[str, str]) -> dict[str, mpf]:
    """The plan of a committed row, by the names of its numbers."""
    return {name[len(PREFIX) :]: mpf(x) for name, x in row.items() if name.startswith(PREFIX)}


def main() -> None:
    table = sample()
    with PATH.open("w", newline="") as file:
        writer = csv.DictWriter(file, table[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(table)


if __name__ == "__main__":
    main()
