"""The guide to the laws names every one of them, with the sizes that each finds best."""

import re
from pathlib import Path

import jax
import numpy as np
import pytest

import jaxscale as js
from jaxscale._compare import CHOSEN, lever_text
from jaxscale._numerics.interpreted import interpreted
from jaxscale._numerics.quantities import count
from jaxscale.laws.protocol import choices_of, depends_on_tokens, levers_of

GUIDE = (Path(__file__).parents[2] / "docs" / "guides" / "which-law.md").read_text()
BUDGETS = (1e22, 1e24)
# Levers that are no choice, or that would be chosen at an end of their range; those that `compare`
# chooses are chosen here too.
GIVEN = {"unique_tokens": 1e12, "activation": 1 / 32}
GIVEN |= {"exponent_bits": 4, "mantissa_bits": 3, "scaling_block": 128}
ROW = re.compile(r"^\| `(\w+)` \| (.+?) \| (.+?) \| (.*?) ?\|$", re.MULTILINE)
ROWS = {name: cells for name, *cells in ROW.findall(GUIDE)}


def best_sizes(entry):
    """The cells of an entry's row: the best sizes of each budget, and the levers of the last."""
    if not depends_on_tokens(entry.law):
        return ["no training length in the law"] * len(BUDGETS) + [""]
    names = levers_of(entry.law)
    values = {name: x for name, x in GIVEN.items() if name in names}
    chosen = [name for name in (*CHOSEN, *choices_of(entry.law)) if name in {*names} - {*values}]
    if missing := sorted({*names} - {*values, *chosen}):
        words = " and ".join(missing).replace("_", " ")
        return [f"needs {words}"] * len(BUDGETS) + [""]
    over = ("params", "tokens", *chosen)
    cells = []
    with jax.enable_x64(True):
        for budget in BUDGETS:
            plan = interpreted(js.minimize_loss, entry.law, budget, levers=values, over=over)
            if not js.Status(int(plan.status)).ok:
                cells.append("none")
                continue
            sizes = (plan.params, plan.tokens, plan.tokens_per_param)
            params, tokens, ratio = (count(float(np.asarray(x))) for x in sizes)
            text = f"{params}, {tokens}, {ratio}"
            cells.append(f"**{text}**" if interpreted(entry.in_range, plan) else text)
        levers = [lever_text(entry.law, name, x) for name, x in plan.levers.items()]
    return [*cells, ", ".join(levers)]


def test_every_law_is_in_the_table_of_sizes_and_described_above_it():
    names = [entry.name for entry in js.laws.catalog()]
    assert {*names} <= {*ROWS}
    described = GUIDE[: GUIDE.index("## Where they disagree")]
    for name in names:
        stem, underscore, rest = name.partition("_")
        short = underscore and f"`{stem}" in described and f"`_{rest}`" in described
        assert f"`{name}`" in described or short, f"{name} is not described in the guide"


@pytest.mark.parametrize("entry", js.laws.catalog(), ids=lambda entry: entry.name)
def test_sizes_in_the_table_are_those_of_the_law(entry):
    assert ROWS[entry.name] == best_sizes(entry)


if __name__ == "__main__":  # the rows to paste into the guide
    for each in js.laws.catalog():
        print(f"| `{each.name}` | {' | '.join(best_sizes(each))} |")
