"""Laws made of other laws: their names, and what they take from the law that they are made of."""

import dataclasses
import math
import re
from typing import ClassVar

import jax
import pytest

import jaxscale as js
from jaxscale.architectures import LLAMA, with_exact_flops
from jaxscale.laws import protocol, sparse, with_streams
from jaxscale.laws.composed import split_part, with_part

BASE = js.laws.published("besiroglu2024")
MADE = {
    "sparse": sparse,
    "streams": lambda law: with_streams(law, 0.3),
    "exact": lambda law: with_exact_flops(law, LLAMA),
}
# Members that a law made of another cannot take from it as they are, besides FACTS.
FORMULAS = {
    *("loss", "loss_from_logs", "flops", "holds", "log_tokens_ceiling", "is_valid"),
    *("params_in_memory", "tokens_for", "params_for", "two_powers", "frontier_powers"),
    *("log_optimal_tokens", "log_optimal_params"),
}


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Odd:
    """A law that says of itself whatever a law may say."""

    E: float = 1.7

    levers: ClassVar[dict] = {"bits": (2.0, 8.0)}
    choices: ClassVar[dict] = {"bits": (2.0, 4.0, 8.0)}
    loss_scale, caution = "in bits per byte", "odd"
    depends_on_tokens, of_steps, counts_idle_experts = False, True, False

    def loss(self, params, tokens, bits):
        return self.E + bits / params + 0 * tokens


def test_every_member_of_a_law_is_a_fact_or_a_formula():
    rows = re.findall(r"^\| (`.*?) \|", protocol.__doc__ or "", re.MULTILINE)
    members = {name for row in rows for name in re.findall(r"`(\w+)", row)}
    assert members == {*protocol.FACTS, *FORMULAS}


@pytest.mark.parametrize("kind", MADE)
def test_facts_are_those_of_the_law_that_it_is_made_of(kind):
    made, plain = MADE[kind](Odd()), MADE[kind](BASE)
    assert protocol.loss_scale(made) == "in bits per byte"
    assert "odd" in protocol.caution_of(made)
    assert not protocol.depends_on_tokens(made)
    assert protocol.is_of_steps(made)
    assert not protocol.counts_idle_experts(made)
    assert protocol.levers_of(made)["bits"] == (2.0, 8.0)
    assert protocol.choices_of(made)["bits"] == (2.0, 4.0, 8.0)
    assert not protocol.loss_scale(plain)
    assert protocol.depends_on_tokens(plain)
    assert not protocol.is_of_steps(plain)
    assert protocol.has_experts(plain) == (kind == "sparse")


def test_flops_of_shapes_leave_the_end_of_a_law_and_its_experts():
    @jax.tree_util.register_dataclass
    @dataclasses.dataclass(frozen=True)
    class Ending(Odd):
        def holds(self, log_params, log_tokens, bits):
            return log_params < math.log(1e11)

    ending = with_exact_flops(Ending(), LLAMA)
    assert js.evaluate(ending, 1e10, 1e12, levers={"bits": 4}).ok
    assert js.evaluate(ending, 2e11, 1e12, levers={"bits": 4}).status == js.Status.BEYOND_LAW
    experts = with_exact_flops(js.laws.published("ludziejewski2025"), LLAMA)
    assert protocol.has_experts(experts)
    assert protocol.choices_of(experts)["experts"] == (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)


def test_a_law_with_a_ceiling_is_not_made_sparse():
    @jax.tree_util.register_dataclass
    @dataclasses.dataclass(frozen=True)
    class Ending(Odd):
        def log_tokens_ceiling(self, log_params, bits):
            return log_params + bits

    with pytest.raises(ValueError, match="no ceiling in tokens; Ending has one"):
        sparse(Ending())


# --- Names ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("besiroglu2024+ling2025", ("besiroglu2024", "ling2025")),
        (" a + b_1 ", ("a", "b_1")),
        ("a+b+c", ("a+b", "c")),
        ("E=1,A=1e+3", ("E=1,A=1e+3", "")),
        ("runs+more/fit.json", ("runs+more/fit.json", "")),
        ("fit.json:own.py:Blend+ling2025", ("fit.json:own.py:Blend", "ling2025")),
        ("+ling2025", ("+ling2025", "")),
    ],
)
def test_a_name_is_split_at_its_last_part(name, split):
    assert split_part(name) == split


def test_parts_are_added_in_turn():
    entry = js.laws.entry("besiroglu2024+ling2025+Chen2025_Pile")
    k = js.laws.published("chen2025_pile").k
    assert entry.name == "besiroglu2024+ling2025+chen2025_pile"
    assert entry.law == with_streams(sparse(BASE), k)
    assert "Besiroglu" in entry.source
    assert "Chen" in entry.source
    # Losses are those of the law, not of the code that streams were fitted to.
    assert not js.laws.entry("besiroglu2024+chen2025_stack").loss_scale


def test_mistakes_name_the_part():
    with pytest.raises(ValueError, match=r"unknown part 'ling2024' \(did you mean ling2025\?\)"):
        js.laws.entry("besiroglu2024+ling2024")
    with pytest.raises(ValueError, match="law must have no streams of its own"):
        js.laws.entry("chen2025_pile+chen2025_pile")


def test_a_fit_that_leaves_coefficients_open_still_does_with_a_part():
    entry = dataclasses.replace(
        js.laws.entry("besiroglu2024"), unidentified=("A",), directions=((0.0, 1.0, 0, 0, 0),)
    )
    for part in ("muennighoff2023", "ling2025"):
        made = with_part(entry, part)
        assert not made.tells_loss(1e9, 1e11, unique_tokens=1e11)
        assert not made.tells_sizes
