"""The demand that explains a model's size: the solver comes back to the model."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

import jaxscale as js
from jaxscale import economics
from jaxscale._numerics.interpreted import interpreted

X64 = jax.config.jax_enable_x64
needs_float64 = pytest.mark.skipif(not X64, reason="a loss in float32 does not tell the size")
COSTS = js.Costs(train=2e-18, prefill=1e-18, decode=5e-17)
MIX = js.Demand(3.0, 1.0)
LEVERS = {
    "muennighoff2023_repeated": {"unique_tokens": 5e13},
    "tao2024": {"vocabulary_params": 2e8},
}


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Blend:
    """A law of a user's own, with no more than a loss."""

    E: float

    def loss(self, params, tokens):
        return self.E + (60 / params**0.3 + 300 / tokens**0.35) ** 0.9


def asked(name):
    """A law and its levers; those that are not listed have none."""
    law = Blend(1.5) if name == "own" else js.laws.published(name)
    return law, LEVERS.get(name, {})


LAWS = ("besiroglu2024", "kaplan2020", "muennighoff2023_repeated", "tao2024", "own")


@needs_float64
@pytest.mark.parametrize("name", LAWS)
def test_the_cheapest_plan_of_its_demand_is_the_model(name):
    law, levers = asked(name)
    params = np.array([1e9, 8e9, 70e9])
    tokens = params * np.array([2000.0, 1900.0, 1500.0])
    size = params, tokens
    implied = interpreted(js.implied_demand, law, *size, COSTS, mix=MIX, levers=levers)
    assert implied.ok.all()
    assert not implied.over_sized.any()
    assert_allclose(implied.demand.input_tokens, 3 * implied.demand.output_tokens, rtol=1e-12)
    loss = interpreted(js.evaluate, law, *size, levers=levers).loss
    plan = interpreted(js.minimize_cost, law, loss, implied.demand, COSTS, levers=levers)
    # A loss of 2 tells a size to an epsilon over its slope, of some 0.01.
    assert_allclose(plan.params, params, rtol=1e-11)
    assert_allclose(plan.tokens, tokens, rtol=1e-11)


def test_at_the_size_that_is_cheapest_to_train_there_is_no_demand():
    law = js.laws.published("besiroglu2024")
    plan = js.compute_optimal(law, flops=1e23)
    implied = js.implied_demand(law, plan.params, plan.tokens)
    assert_allclose(implied.ratio, 1.0, rtol=1e-12 if X64 else 1e-4)
    larger = js.implied_demand(law, 2 * plan.params, plan.tokens)
    assert larger.over_sized
    assert larger.ok
    assert "no demand explains its size" in larger.sentence
    smaller = js.implied_demand(law, plan.params / 2, plan.tokens)
    assert smaller.tokens > 0
    assert smaller.sentence == "The cheapest model of its loss for this demand."


def test_only_the_proportion_of_the_mix_counts_and_prices_set_its_scale():
    law = js.laws.published("besiroglu2024")
    tokens = js.implied_demand(law, 8e9, 2e12).tokens
    for mix in (js.Demand(1.0), js.Demand(0.0, 1e12), js.Demand(7.0, 2.0)):
        assert_allclose(js.implied_demand(law, 8e9, 2e12, mix=mix).tokens, tokens, rtol=1e-5)
    dear = js.Costs(train=1.0, prefill=1.0, decode=9.0)
    # An even mix at prices 1 and 9 costs 5 a token.
    assert_allclose(js.implied_demand(law, 8e9, 2e12, dear).tokens, tokens / 5, rtol=1e-5)


@needs_float64
@pytest.mark.parametrize("name", ["besiroglu2024", "muennighoff2023_repeated", "tao2024"])
def test_derivatives_are_those_of_differences(name):
    law, levers = asked(name)

    def tokens(log_params):
        params = jnp.exp(log_params)
        return js.implied_demand(law, params, 2e12, COSTS, mix=MIX, levers=levers).tokens

    x, step = np.log(8e9), 1e-5
    below, above = interpreted(tokens, np.array([x - step, x + step]))
    assert_allclose(interpreted(jax.grad(tokens), x), (above - below) / (2 * step), rtol=1e-7)


def test_bad_models_have_a_status_and_leave_their_neighbours_alone():
    law = js.laws.published("muennighoff2023_repeated")
    params = jnp.array([8e9, -1.0, jnp.nan, 4e11, 8e9, 8e9])
    tokens = jnp.array([2e11, 1e12, 1e12, 9e13, jnp.inf, 1e12])
    unique = jnp.array([25e9, 1e9, 1e9, 25e9, 1e11, jnp.nan])

    def total(params, tokens, unique):
        implied = js.implied_demand(law, params, tokens, levers={"unique_tokens": unique})
        return jnp.sum(jnp.where(implied.ok, implied.tokens, 0)), implied

    slopes_of = jax.grad(total, (0, 1, 2), has_aux=True)
    slopes, implied = interpreted(slopes_of, params, tokens, unique)
    names = [js.Status(int(x)).name for x in implied.status]
    # The fourth repeats its data 3600 times: more tokens gain nothing that a float could show.
    bad = "INVALID_INPUT"
    assert names == ["OK", bad, bad, "NO_INTERIOR_OPTIMUM", bad, bad]
    assert np.isnan(implied.tokens[1:]).all()
    for slope in slopes:
        assert slope[0] != 0
        assert (slope[1:] == 0).all()


def test_free_serving_and_a_law_without_tokens_have_no_demand():
    law = js.laws.published("besiroglu2024")
    free = js.implied_demand(law, 8e9, 1e12, js.Costs(1.0, 0.0, 0.0))
    assert js.Status(int(free.status)) is js.Status.NO_INTERIOR_OPTIMUM
    assert free.sentence == "By this law and these prices, no demand makes this size the best."
    clark = js.laws.published("clark2022_hash")
    none = js.implied_demand(clark, 8e9, 1e12, levers={"experts": 64.0})
    assert js.Status(int(none.status)) is js.Status.NO_INTERIOR_OPTIMUM
    empty = js.implied_demand(law, 8e9, 1e12, mix=js.Demand())
    assert js.Status(int(empty.status)) is js.Status.INVALID_INPUT


def test_wrong_types_are_refused_by_name():
    law = js.laws.published("besiroglu2024")
    with pytest.raises(TypeError, match="mix must be a jaxscale Demand; got 3"):
        js.implied_demand(law, 8e9, 1e12, mix=3)
    with pytest.raises(TypeError, match=r"mix\.input_tokens must be a real number"):
        js.implied_demand(law, 8e9, 1e12, mix=js.Demand("x"))
    with pytest.raises(ValueError, match="has no lever 'bits'"):
        js.implied_demand(law, 8e9, 1e12, levers={"bits": 8.0})
    with pytest.raises(ValueError, match="sentence is that of one model"):
        _ = js.implied_demand(law, np.array([8e9, 9e9]), 1e12).sentence


# --- Released models -------------------------------------------------------------------------


def test_every_release_has_a_source_a_date_and_plausible_sizes():
    entries = economics.releases()
    assert 15 <= len(entries) <= 40
    for entry in entries:
        assert entry.source
        assert entry.release.maker
        assert 1e9 <= entry.release.params <= 1e12
        assert 1e11 <= entry.release.tokens <= 1e14
    dates = [entry.release.date for entry in entries]
    assert dates == sorted(dates)


def test_sizes_of_releases_are_those_of_the_published_shapes():
    shapes = {entry.name: entry.architecture for entry in js.architectures.catalog()}
    both = [entry for entry in economics.releases() if entry.name in shapes]
    assert len(both) >= 10
    for entry in both:
        if entry.release.maker != "DeepMind":  # whose shapes have params for relative positions
            assert_allclose(entry.release.params, shapes[entry.name].params, rtol=0.03)


def test_the_table_is_a_call_for_each_model():
    law = js.laws.published("besiroglu2024")
    explained = economics.implied_by_releases(law, COSTS, mix=MIX)
    for entry, total in zip(explained.releases, explained.implied.tokens, strict=True):
        size = entry.release.params, entry.release.tokens
        one = js.implied_demand(law, *size, COSTS, mix=MIX)
        assert_allclose(total, one.tokens, rtol=1e-9 if X64 else 1e-3)
    assert "GPT-3 175B" in repr(explained)
    assert "over-sized" in explained._repr_html_()
    pytest.importorskip("pandas")
    frame = explained.to_dataframe()
    assert frame["name"].tolist() == [entry.name for entry in explained.releases]
    assert_allclose(frame["implied_tokens"], explained.implied.tokens)


def test_what_is_no_model_or_no_name_is_refused_by_its_argument():
    model = js.economics.release("llama-3-8b")
    for models in (model, 3):
        with pytest.raises(TypeError, match="models must be a tuple of js"):
            js.economics.implied_by_releases(js.laws.published("besiroglu2024"), models=models)
    for function in (js.economics.release, js.economics.machine_facts):
        with pytest.raises(TypeError, match="name must be a string; got 3"):
            function(3)


def test_models_of_a_file_of_your_own_are_explained_too(tmp_path):
    path = tmp_path / "ours.toml"
    text = '[releases.ours]\ntitle = "Ours"\nmaker = "us"\nparams = 2e9\ntokens = 4e12\n'
    path.write_text(f'{text}date = "2026-01"\nsource = "us"\n')
    law = js.laws.published("besiroglu2024")
    explained = economics.implied_by_releases(law, models=js.published.read(path))
    one = js.implied_demand(law, 2e9, 4e12)
    assert_allclose(explained.implied.tokens, [one.tokens], rtol=1e-5)
    path.write_text(f'{text}date = "soon"\nsource = "us"\n')
    with pytest.raises(ValueError, match=r"releases\.ours: date must be a month, as 2024-04"):
        js.published.read(path)
    with pytest.raises(TypeError, match=r"models must be entries of js\.economics\.releases"):
        economics.implied_by_releases(law, models=(js.laws.entry("sardana2024"),))
    laws = js.laws.Chinchilla(np.array([1.6, 1.7]), 482.0, 2085.0, 0.35, 0.37)
    with pytest.raises(ValueError, match="one number, or one for each model"):
        economics.implied_by_releases(laws, models=(economics.release("llama-3-8b"),))
