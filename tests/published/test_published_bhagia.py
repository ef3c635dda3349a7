"""Accuracy on tasks by model size in two steps: Bhagia et al. 2024, arXiv 2412.04403.

The coefficients and the sizes are those of their code, allenai/OLMo-ladder; what it predicted for
the model of 13B params on 5T tokens, and what was measured, is in its `src/scripts/paper/figures`.
"""

import csv
import os
from pathlib import Path

import jax
import numpy as np
import pytest
from mpmath import mp
from numpy.testing import assert_allclose

import jaxscale as js
from published.numbers import assert_printed

pytestmark = pytest.mark.skipif(
    not jax.config.read("jax_enable_x64"), reason="printed digits are compared in float64"
)

CODE = "Bhagia et al. 2024, allenai/OLMo-ladder"
DATA = Path(os.environ.get("JAXSCALE_DATA", "data")) / "ladder"
SIZES = ("190354176", "371262464", "758220288", "1279395840")
MULTIPLES = (1, 10)  # of 20 tokens per param
LARGE = 13_202_396_160, 5_000_088_518_656  # params and tokens

NAMES = ("a", "b", "alpha", "beta", "E", "p", "x0", "k", "q")
TABLE = """
mmlu 3.6394272 4.6060908 .22621645 .23607558 .45409305 -.74206424 .61595265 4.8333923 1
hellaswag 2.4187035 4.1004701 .19553941 .25649818 .50191115 -.73011144 .76673526 12.741707 .99210354
arc_challenge 13.463076 3.6492473 .78771535 .19697608 .65464315 -.7776727 .70864074 5.9106074 1
arc_easy 11.282406 8.2833713 .66104436 .41945342 .55824332 -.64627163 .7407136 4.12985 1
piqa 6.0055148 2.3183656 .39783808 .1532771 .72170097 -.45856295 .96302285 5.0329569 1
csqa 4.0405101 2.3893665 .23499138 .11107672 0 -.8555545 1.1313071 2.2085184 1
socialiqa 7.0908559 8.9742627 .44730993 .47675884 .94892329 -.59852566 .89380701 7.1643703 .99946778
openbookqa 11.366121 4.9225324 .68653628 .26069432 1.1980922 -.79060202 1.0812906 4.3097437 1
"""
COEFFICIENTS = {name: numbers for name, *numbers in map(str.split, TABLE.strip().splitlines())}
# fmt: off
# At the large model: accuracy by both steps and as measured, in per cent.
ACCURACIES = {
    "mmlu": ("51.3", "51.6"), "hellaswag": ("85.3", "83.2"), "arc_challenge": ("52.7", "63.8"),
    "arc_easy": ("77.2", "87.2"), "piqa": ("82.1", "83.0"), "csqa": ("77.6", "74.1"),
    "socialiqa": ("59.9", "61.6"), "openbookqa": ("44.9", "48.6"),
}
# fmt: on
each_task = pytest.mark.parametrize("name", COEFFICIENTS)


def entry(name):
    return js.laws.task_entry(name)


def large_model(task):
    return task.law.loss(*map(float, LARGE))


@each_task
def test_coefficients_of_bhagia(name):
    task = entry(name).law
    law, curve = task.law, task.curve
    # They fit the logarithms of A and B; the last of eight digits is that of single precision.
    logs = {"a": np.log(law.A), "b": np.log(law.B)}
    for field, printed in zip(NAMES, COEFFICIENTS[name], strict=True):
        found = logs[field] if field in logs else vars(law).get(field, vars(curve).get(field))
        assert_printed(found, printed, source=CODE, what=f"{name}: {field}")


@pytest.mark.parametrize("index", range(len(SIZES)))
def test_sizes_of_the_ladder(index):
    smallest, largest = SIZES[0], SIZES[-1]
    what = f"params of rung {index + 1}"
    if index in (0, len(SIZES) - 1):
        found = entry("mmlu").params_range[0 if index == 0 else 1]
        assert_printed(found, SIZES[index], source=CODE, what=what)
    for each in js.laws.tasks():
        if each.name.startswith("bhagia2024"):
            assert each.params_range == (int(smallest), int(largest))
            assert each.tokens_range == (20 * int(smallest), 20 * MULTIPLES[-1] * int(largest))
            assert each.tokens_per_param_range == tuple(20 * x for x in MULTIPLES)
            inside = each.in_range(js.evaluate(each.law.law, float(SIZES[index]), 4e10))
            assert inside == (20 <= 4e10 / int(SIZES[index]) <= 200)


@each_task
def test_accuracies_of_the_large_model(name):
    task, check = entry(name).law, entry(name).check
    predicted, measured = ACCURACIES[name]
    assert (check.params, check.tokens) == LARGE
    found = task.accuracy(large_model(task))
    assert_printed(100 * found, predicted, source=CODE, what=f"{name}: predicted accuracy, %")
    what = f"{name}: measured accuracy, %"
    assert_printed(100 * check.measured, measured, source=CODE, what=what)


def test_both_steps_of_mmlu():
    task = js.task("mmlu")
    loss = large_model(task)
    # Eight digits of a coefficient are half a unit of the seventh of a loss.
    what = "mmlu: loss of the large model, bits per byte"
    assert_printed(loss, ".75015623", source=CODE, what=what, within=3e-8)
    what = "mmlu: predicted accuracy"
    assert_printed(task.accuracy(loss), ".51268040", source=CODE, what=what, within=3e-8)


@each_task
def test_the_chain_is_that_of_mpmath_and_is_inverted_by_the_solver(name):
    task = entry(name).law
    with mp.workdps(40):
        a, b, alpha, beta, E, p, x0, k, q = (mp.mpf(x) for x in COEFFICIENTS[name])
        loss = mp.e**a / mp.mpf(LARGE[0]) ** alpha + mp.e**b / mp.mpf(LARGE[1]) ** beta + E
        accuracy = p / (1 + mp.exp(-k * (loss - x0))) + q
    assert_allclose(large_model(task), float(loss), rtol=1e-14)
    assert_allclose(task.accuracy(float(loss)), float(accuracy), rtol=1e-14)
    plan = js.minimize_cost(task.law, task.loss(float(accuracy)))
    assert plan.ok
    assert_allclose(task.accuracy(task.law.loss(plan.params, plan.tokens)), float(accuracy), 1e-12)
    # The large model has the accuracy too, so nothing that has it is cheaper to train.
    assert plan.train_cost <= 6.0 * LARGE[0] * LARGE[1] * (1 + 1e-12)


def test_badly_determined_term_of_arc_challenge():
    """In params alone the term is next to nothing: a hundred times more of them change no loss."""
    assert "badly determined" in entry("arc_challenge").warning
    law = entry("arc_challenge").law.law
    assert law.loss(1e10, 5e12) - law.loss(1e12, 5e12) < 0.01
    assert not any(entry(name).warning for name in COEFFICIENTS if name != "arc_challenge")


# --- Against the rows of the repository, where they are at hand -----------------------------------

needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the rows of the repository are absent")


def rows(file):
    with (DATA / file).open() as lines:
        table = {row["Task"]: row for row in csv.DictReader(lines)}
    return {
        name: next(x for task, x in table.items() if task.startswith(name)) for name in ACCURACIES
    }


@needs_data
@each_task
def test_every_step_is_that_of_the_rows(name):
    first, second, chain = (
        rows(f"{step}_main.csv")[name] for step in ("step1", "step2", "chained")
    )
    task = entry(name).law
    found = (
        large_model(task),
        task.accuracy(float(first["Actual"])),
        task.accuracy(large_model(task)),
    )
    # Eight digits of the coefficients.
    for x, row in zip(found, (first, second, chain), strict=True):
        assert_allclose(x, float(row["Pred"]), rtol=1.5e-6)
    assert entry(name).check.measured == float(chain["Actual"])
