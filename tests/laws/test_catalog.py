"""The catalogue of published fits: its figures, its names, its ranges, its errors."""

import dataclasses
import math
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import jaxscale as js
from jaxscale.laws import Chinchilla, catalog, entry, published
from jaxscale.laws.protocol import counts_embeddings, levers_of

ENTRIES = {each.name: each for each in catalog()}
COEFFICIENTS = tuple(field.name for field in dataclasses.fields(Chinchilla))

# As the papers print them, typed in apart from the module.
# fmt: off
PRINTED = {
    #                               E         A          B           alpha     beta
    "hoffmann2022":           ("1.69",    "406.4",   "410.7",     "0.34",    "0.28"),
    "hoffmann2022_unrounded": ("1.69337", "406.401", "410.723",   "0.33917", "0.28491"),
    "sardana2024":            ("1.69",    "406.4",   "410.7",     "0.336",   "0.283"),
    "sardana2024_le100":      ("0.17",    "7.199",   "25.97",     "0.08",    "0.13"),
    "sardana2024_le250":      ("0.98",    "14.23",   "39.54",     "0.13",    "0.16"),
    "sardana2024_le500":      ("0.95",    "17.07",   "35.80",     "0.13",    "0.16"),
    "sardana2024_all":        ("1.45",    "33.66",   "138.9",     "0.18",    "0.24"),
    "besiroglu2024":          ("1.81686", "482.00572", "2085.43420", "0.34781", "0.36585"),
    "muennighoff2023":        ("1.87",    "521",     "1488",      "0.353",   "0.353"),
}
# fmt: on

# The logarithms that the authors' optimisers printed: ln A, ln B, ln E, alpha, beta.
UNROUNDED = {
    "hoffmann2022_unrounded": (6.0073404, 6.0179186, 0.5267228, 0.33917084, 0.2849083),
    "besiroglu2024": (6.177955976, 7.642732362, 0.597111960, 0.347813029, 0.365854117),
    "muennighoff2023": (6.255414, 7.3049974, 0.6254804, 0.3526596, 0.3526596),
}


class Sizes:
    """Anything with params and tokens will do for `in_range`."""

    def __init__(self, params, tokens):
        self.params, self.tokens = params, tokens


# --- Figures --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PRINTED)
def test_law_rounds_to_the_printed_coefficients(name):
    law = published(name)
    rounded = [
        f"{getattr(law, coefficient):.{len(text.partition('.')[2])}f}"
        for coefficient, text in zip(COEFFICIENTS, PRINTED[name], strict=True)
    ]
    assert rounded == list(PRINTED[name])


def test_every_entry_of_the_chinchilla_law_alone_is_checked_against_print():
    # Losses of the other papers' laws are in tests/published.
    others = ("gadre2024_", "krajewski2024_dense")
    alone = [each.name for each in catalog() if isinstance(each.law, Chinchilla)]
    assert list(PRINTED) == [name for name in alone if not name.startswith(others)]


@pytest.mark.parametrize("name", UNROUNDED)
def test_unrounded_law_keeps_every_digit_of_the_fit(name):
    law = published(name)
    kept = math.log(law.A), math.log(law.B), math.log(law.E), law.alpha, law.beta
    # Taking exp and log again costs a rounding each.
    assert_allclose(kept, UNROUNDED[name], rtol=1e-15, atol=1e-15)


@pytest.mark.parametrize("name", ENTRIES)
def test_law_is_plain_floats(name):
    leaves = jax.tree.leaves(published(name))
    assert all(type(leaf) is float for leaf in leaves)
    assert len(leaves) == len(jax.tree.leaves(dataclasses.asdict(published(name))))


@pytest.mark.parametrize("name", ENTRIES)
def test_law_says_its_equation_and_the_ranges_of_its_levers(name):
    law = published(name)
    assert " = " in law.equation
    assert all(0 <= low < high < math.inf for low, high in levers_of(law).values())


# Losses that are not in nats per token of text, where runs were.
# The loss of Li et al. is of a fifth of a token or so.
OTHER_SCALES = {"tao2024": (-6, 0), "chen2025_stack": (0.9, 1.2), "li2025": (0.43, 0.72)}


@pytest.mark.parametrize("name", ENTRIES)
def test_law_has_a_loss_where_its_runs_were(name):
    found, law = ENTRIES[name], published(name)
    sizes = found.params_range or (1e8, 1e9), found.tokens_range or (1e9, 1e10)
    params, tokens = (math.sqrt(low * high) for low, high in sizes)
    # Inside each range, since at 3 bits there is no model left; unique tokens are all there are.
    levers = {
        each: tokens if each == "unique_tokens" else np.linspace(low, high, 11)[1:-1]
        for each, (low, high) in levers_of(law).items()
    }
    loss = np.asarray(law.loss(params, tokens, **levers))
    # Of unigrams there are about 7 nats; the law of Tao et al. says how far below them it is.
    low, high = OTHER_SCALES.get(name, (1.5, 8))
    assert np.all((loss > low) & (loss < high))


@pytest.mark.parametrize("name", ENTRIES)
def test_entry_says_where_it_comes_from(name):
    found = ENTRIES[name]
    texts = found.source, found.dataset, found.params_convention, found.tokenizer, *found.errata
    assert all(texts)
    assert all(sentence.endswith(".") for sentence in found.errata)
    ranges = found.params_range, found.tokens_range, found.tokens_per_param_range
    assert all(0 < low <= high for low, high in filter(None, ranges))


def test_law_leaves_out_embeddings_where_its_entry_says_so():
    """Else its params are taken for all, which two forms of any runs say in a note."""
    told = {
        each.name
        for each in catalog()
        if any("takes them for all params" in text for text in each.errata)
    }
    assert told == {"krajewski2024_dense", "busbridge2025"}
    omits = {
        each.name
        for each in catalog()
        if "embeddings" in each.params_convention and " not" in each.params_convention
    }
    assert told < omits
    left_out = {each.name for each in catalog() if not counts_embeddings(each.law)}
    assert omits - told == left_out - {"tao2024"}  # of which the vocabulary is a lever


def test_only_besiroglu_publishes_errors_of_all_coefficients():
    given = [name for name, found in ENTRIES.items() if found.standard_errors or found.covariance]
    assert given == ["besiroglu2024"]


def test_standard_errors_lie_beside_the_law():
    found = entry("besiroglu2024")
    printed = Chinchilla(E=0.02566, A=124.52232, B=1293.28410, alpha=0.01540, beta=0.02060)
    assert found.standard_errors == printed
    assert jax.tree.structure(found.standard_errors) == jax.tree.structure(found.law)


def test_covariance_is_symmetric_and_positive_definite():
    covariance = np.array(entry("besiroglu2024").covariance)
    assert covariance.shape == (5, 5)
    assert_array_equal(covariance, covariance.T)
    assert np.linalg.eigvalsh(covariance).min() > 0


def test_covariance_agrees_with_the_published_intervals():
    found = entry("besiroglu2024")
    printed = {  # 2.5 and 97.5 percentiles of 4000 resamples, data_analysis.ipynb
        "E": (1.769, 1.871),
        "A": (285.214, 743.626),
        "B": (1042.357, 5810.344),
        "alpha": (0.317, 0.373),
        "beta": (0.331, 0.415),
    }
    widths = [
        np.log(high / low) if name in "ABE" else high - low for name, (low, high) in printed.items()
    ]
    # A normal one is 3.92 standard deviations wide; these are somewhat skewed.
    assert_allclose(np.sqrt(np.diag(found.covariance)), np.array(widths) / 3.92, rtol=0.1)


def test_covariance_has_the_known_correlations():
    covariance = np.array(entry("besiroglu2024").covariance)
    spread = np.sqrt(np.diag(covariance))
    correlation = covariance / np.outer(spread, spread)
    # A and alpha, and B and beta, all but replace each other over the range of the runs.
    assert correlation[1, 3] > 0.99
    assert correlation[2, 4] > 0.99
    assert_allclose(correlation[0, 3:], [0.60, 0.59], atol=0.005)


def test_besiroglu_ships_the_E_that_belongs_to_its_A_and_B():
    law = published("besiroglu2024")
    assert f"{law.E:.5f}" == "1.81686"
    assert any("1.8172" in sentence for sentence in entry("besiroglu2024").errata)


# --- Names ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ENTRIES)
def test_case_does_not_matter(name):
    assert entry(name.upper()) is ENTRIES[name]
    assert published(name.title()) is ENTRIES[name].law


def test_alias_names_the_same_entry():
    assert entry("devries2023") is ENTRIES["sardana2024"]


def test_no_two_entries_share_a_name():
    names = [name for each in catalog() for name in (each.name, *each.aliases)]
    assert len({name.lower() for name in names}) == len(names)


@pytest.mark.parametrize(
    ("given", "nearest"),
    [
        ("hofmann2022", "hoffmann2022"),
        ("hoffmann", "hoffmann2022"),
        ("Sardana2023", "sardana2024"),
        ("devries", "devries2023"),
        ("besiroglu", "besiroglu2024"),
        ("muenighoff2023", "muennighoff2023"),
        ("kaplan2002", "kaplan2020"),
        ("kumar2025", "kumar2024"),
    ],
)
@pytest.mark.parametrize("look_up", [entry, published])
def test_unknown_name_says_the_nearest_and_all(look_up, given, nearest):
    with pytest.raises(
        ValueError, match=rf"unknown law '{given}' \(did you mean {nearest}\?\)"
    ) as e:
        look_up(given)
    assert all(name in str(e.value) for name in ENTRIES)


@pytest.mark.parametrize("given", ["", "xyz", None, 3])
def test_hopeless_name_is_refused_without_a_guess(given):
    with pytest.raises(ValueError, match=r"unknown law [^(]*; known: hoffmann2022, "):
        entry(given)


# --- Ranges ---------------------------------------------------------------------------------

# name, params, tokens, whether the runs reach there
PLACES = [
    ("hoffmann2022", 1e9, 20e9, True),
    ("hoffmann2022", 70e6, 5e9, True),  # the edge belongs to the range
    ("hoffmann2022", 69e6, 5e9, False),
    ("hoffmann2022", 70e9, 1.4e12, False),  # Chinchilla itself is extrapolation
    ("hoffmann2022", 1e9, 4e9, False),
    ("hoffmann2022", 1e9, 501e9, False),
    ("hoffmann2022_unrounded", 1e9, 20e9, True),
    ("sardana2024", 17e9, 20e9, False),
    ("sardana2024_le100", 1e9, 100e9, True),
    ("sardana2024_le100", 1e9, 101e9, False),  # each alone is inside, their ratio is not
    ("sardana2024_le250", 1e9, 101e9, True),
    ("sardana2024_le500", 1e9, 500e9, True),
    ("sardana2024_all", 151e6, 1.51e12, True),
    ("sardana2024_all", 6e9, 30e9, False),  # 5 tokens per param
    ("besiroglu2024", 1e9, 20e9, True),
    ("besiroglu2024", 10e9, 4e9, False),
    ("muennighoff2023", 1e9, 20e9, False),  # no range is stated
    ("kaplan2020", 1e9, 20e9, True),
    ("kaplan2020", 1e9, 24e9, False),
    ("gadre2024_c4", 1e8, 2.1e9, True),
    ("gadre2024_c4", 1e8, 1e9, False),  # 10 tokens per param
    ("krajewski2024", 1e9, 20e9, True),
    ("clark2022_hash", 1e9, 130e9, False),  # of tokens alone a range is known
    ("kumar2024", 220e6, 26e9, True),
    ("kumar2024", 221e6, 26e9, False),
    ("tao2024", 1e9, 20e9, True),
    ("li2025", 1e9, 100e9, True),
    ("li2025", 26e9, 100e9, False),
]


@pytest.mark.parametrize(("name", "params", "tokens", "inside"), PLACES)
def test_in_range_is_where_the_runs_were(name, params, tokens, inside):
    found = entry(name).in_range(Sizes(params, tokens))
    assert found.dtype == bool
    assert found.shape == ()
    assert bool(found) is inside


def test_in_range_takes_plans_and_keeps_their_shape():
    law = published("hoffmann2022")
    budgets = np.geomspace(1e16, 1e26, 11)[:, None]
    plan = js.minimize_loss(law, budgets, js.Demand(np.array([0.0, 1e12])))
    found = entry("hoffmann2022").in_range(plan)
    assert found.shape == plan.params.shape == (11, 2)
    by_hand = [
        [70e6 <= n <= 16e9 and 5e9 <= d <= 500e9 for n, d in zip(*row, strict=True)]
        for row in zip(np.asarray(plan.params), np.asarray(plan.tokens), strict=True)
    ]
    assert_array_equal(found, by_hand)
    assert 0 < np.sum(found) < found.size


def test_plan_that_is_not_ok_is_not_in_range():
    plan = js.minimize_cost(published("hoffmann2022"), np.array([1.0, 2.5, np.nan]))
    assert_array_equal(plan.ok, [False, True, False])
    assert_array_equal(entry("hoffmann2022").in_range(plan), [False, True, False])


def test_in_range_works_under_jit_and_vmap():
    found = entry("besiroglu2024")

    def scenario(budget):
        return found.in_range(js.minimize_loss(found.law, budget))

    budgets = jnp.geomspace(1e15, 1e27, 7)
    one_by_one = [bool(scenario(budget)) for budget in budgets]
    assert any(one_by_one)
    assert not all(one_by_one)
    assert_array_equal(jax.jit(scenario)(budgets), one_by_one)
    assert_array_equal(jax.vmap(scenario)(budgets), one_by_one)


@pytest.mark.parametrize("name", ["hoffmann2022", "besiroglu2024", "muennighoff2023"])
def test_in_range_broadcasts_and_takes_integers(name):
    params = np.array([[10**9], [10**11]])
    tokens = np.array([20 * 10**9, 10**8, 10**10])
    found = entry(name).in_range(Sizes(params, tokens))
    assert found.shape == (2, 3)
    assert_array_equal(found[1], False)
    assert_array_equal(found, entry(name).in_range(Sizes(params.astype(float), tokens)))


def test_size_without_meaning_is_not_in_range():
    params, tokens = np.array([np.nan, 0.0, -1e9, np.inf]), np.full(4, 20e9)
    assert not entry("besiroglu2024").in_range(Sizes(params, tokens)).any()


def test_in_range_names_what_is_wrong():
    with pytest.raises(TypeError, match="params must be a real number"):
        entry("hoffmann2022").in_range(Sizes("1B", 1e9))
    with pytest.raises(ValueError, match=r"not broadcast.*params \(2,\).*tokens \(3,\)"):
        entry("hoffmann2022").in_range(Sizes(np.ones(2), np.ones(3)))


# --- The entry itself -----------------------------------------------------------------------


def test_entry_is_no_pytree_and_cannot_be_changed():
    found = entry("hoffmann2022")
    assert jax.tree.leaves(found) == [found]
    assert hash(found) == hash(entry("hoffmann2022"))
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.name = "mine"


def test_nothing_is_computed_at_import():
    code = """
import jax
jax.config.update("jax_platforms", "there_is_none")
import jaxscale
for name in dir(jaxscale):
    getattr(jaxscale, name)
jaxscale.laws.published("hoffmann2022")
try:
    jaxscale.laws.published("hoffmann2022").loss(1e9, 20e9)
except RuntimeError:
    raise SystemExit(42)  # so it would have been noticed
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 42
