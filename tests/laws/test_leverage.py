"""Leverage, and laws made sparse by it: values, derivatives, bad input, names, and fits."""

import dataclasses
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from mpmath import mp, mpf
from numpy.testing import assert_allclose, assert_array_equal

import jaxscale as js
from jaxscale._numerics.interpreted import interpreted
from jaxscale.laws import Leverage, Sparse, saved, sparse

X64 = jax.config.read("jax_enable_x64")
DTYPES = [np.float32, np.float64] if X64 else [np.float32]
LEVERAGE = js.laws.leverage()
DENSE = js.laws.published("besiroglu2024")
LAW = sparse(DENSE)
N, D = np.geomspace(1e6, 1e12, 5), np.geomspace(1e7, 1e14, 4)[:, None]
SHAPE = {"activation": 0.05, "granularity": 12.0}


def exact_gain(leverage, flops, activation, granularity):
    shifted = activation + 1 / (1 / leverage.A_start - 1 / leverage.A_max)
    octaves = mp.log(granularity, 2)
    power = leverage.a + leverage.d * mp.log10(flops)
    power += leverage.gamma * octaves**2 + leverage.beta * octaves
    return min(1 / (1 / shifted + 1 / leverage.A_max), 1) ** power


def exact_loss(law, params, tokens, activation, granularity):
    gain = exact_gain(law.leverage, 6 * params * tokens, activation, granularity)
    dense = law.dense
    size = dense.A / (gain * params) ** dense.alpha
    return dense.E + size + dense.B / tokens**dense.beta


def exactly(tree):
    return jax.tree.map(lambda x: mpf(float(x)), tree)


@pytest.mark.parametrize("dtype", DTYPES)
def test_loss_is_the_law_at_fifty_digits(dtype):
    # Both bounds of the transform matter here; A_max of the published one is infinite in effect.
    leverage = dataclasses.replace(LEVERAGE, A_max=5.0)
    law = jax.tree.map(dtype, Sparse(DENSE, leverage))
    params, tokens = np.geomspace(1e6, 1e12, 3, dtype=dtype), dtype(2e11)
    activations, granularity = np.array([0.008, 0.1, 1.0], dtype), dtype(7.0)
    found = law.loss(params[:, None], tokens, activation=activations, granularity=granularity)
    assert found.dtype == dtype
    for i, size in enumerate(params):
        for j, value in enumerate(activations):
            with mp.workdps(50):
                given = (mpf(float(x)) for x in (size, tokens, value, granularity))
                expected = exact_loss(exactly(law), *given)
            assert_allclose(found[i, j], float(expected), rtol=100 * np.finfo(dtype).eps)


def test_derivatives_hold_to_the_ends_of_the_levers():
    def loss(x):
        return LAW.loss_from_logs(x[0], x[1], activation=x[2], granularity=x[3])

    sizes = np.log([1e9, 2e10])
    points = np.array([[*sizes, 0.008, 1.0], [*sizes, 0.98, 12.0], [*sizes, 1.0, 16.0]])
    slopes = jax.jit(jax.vmap(jax.grad(loss)))(points)
    assert np.isfinite(jax.jit(jax.vmap(jax.hessian(loss)))(points)).all()

    def exact(x, y, activation, granularity):
        return exact_loss(exactly(LAW), mp.exp(x), mp.exp(y), activation, granularity)

    for point, slope in zip(points.tolist(), slopes, strict=True):
        with mp.workdps(50):
            orders = np.eye(4, dtype=int).tolist()
            expected = [float(mp.diff(exact, tuple(point), tuple(order))) for order in orders]
        rtol = 1e-9 if X64 else 1e-3
        assert_allclose(slope, expected, rtol=rtol, atol=rtol * 1e-2)


def test_equal_compute_means_equal_loss():
    """At its own compute times the leverage, on the same tokens, the dense model is as good."""
    gain = LEVERAGE.leverage(6 * 1e9 * 1e11, **SHAPE)
    expected = DENSE.loss(1e9 * gain, 1e11)
    assert_allclose(LAW.loss(1e9, 1e11, **SHAPE), expected, rtol=1e-12 if X64 else 1e-6)


def test_with_all_experts_at_work_it_is_the_dense_law():
    """As the paper has it, though by its coefficients the leverage there is not quite 1."""
    for granularity in (1.0, 12.0):
        found = LAW.loss(N, D, activation=1.0, granularity=granularity)
        assert_allclose(found, DENSE.loss(N, D), rtol=1e-13 if X64 else 1e-6)
    assert 0.98 < LEVERAGE.leverage(1e21, 1.0, 12.0) < 1
    # Nor are more tokens worse, however few params there are.
    losses = LAW.loss(1e5, np.geomspace(1e9, 1e30, 50), activation=0.99, granularity=12.0)
    assert (np.diff(losses) <= 0).all()


@pytest.mark.parametrize(
    "bad",
    [
        *({"activation": x} for x in (0.0, -0.1, 1.01, np.nan, np.inf)),
        *({"granularity": x} for x in (0.0, -1.0, np.nan)),
        {"params": -1.0},
    ],
)
def test_bad_values_are_nan_with_zero_derivatives_beside_good_neighbours(bad):
    good = {"params": 1e9, "tokens": 2e10, **SHAPE}
    pairs = {key: jnp.array([good[key], (good | bad)[key]]) for key in good}

    def total(pairs):
        losses = LAW.loss(**pairs)
        return jnp.where(jnp.isnan(losses), 0, losses).sum(), losses

    gradient, losses = jax.grad(total, has_aux=True)(pairs)
    assert_array_equal(np.isnan(losses), [False, True])
    for slope in gradient.values():
        assert np.isfinite(slope).all()
        assert slope[1] == 0
    if "params" not in bad:
        shape = {name: pairs[name] for name in SHAPE}
        assert_array_equal(np.isnan(LEVERAGE.leverage(1e21, **shape)), [False, True])


def test_a_bad_coefficient_spoils_its_own_lane_alone():
    ends = np.array([5e16, 0.01])  # the second below A_start
    law = Sparse(DENSE, dataclasses.replace(LEVERAGE, A_max=ends))
    assert_array_equal(np.isnan(law.loss(1e9, 2e10, **SHAPE)), [False, True])
    law = Sparse(dataclasses.replace(DENSE, alpha=np.array([0.3, -1.0])), LEVERAGE)
    assert_array_equal(np.isnan(law.loss(1e9, 2e10, **SHAPE)), [False, True])


# --- Any dense law ---------------------------------------------------------------------------


def test_levers_and_conventions_of_the_dense_law_remain():
    repeated = js.laws.published("muennighoff2023_repeated")
    law = sparse(repeated)
    assert list(law.levers) == ["activation", "granularity", "unique_tokens"]
    levers = {**SHAPE, "unique_tokens": 1e10}
    gain = LEVERAGE.leverage(6 * 1e9 * 1e11, **SHAPE)
    expected = repeated.loss(1e9 * gain, 1e11, unique_tokens=1e10)
    assert_allclose(law.loss(1e9, 1e11, **levers), expected, rtol=1e-12 if X64 else 1e-6)
    assert interpreted(js.minimize_loss, law, 1e21, levers=levers).ok
    kaplan = js.laws.published("kaplan2020")
    assert sparse(kaplan).counts_embeddings == kaplan.counts_embeddings is False


def test_where_the_dense_law_ends_so_does_this_one():
    farseer = js.laws.published("li2025")
    law = sparse(farseer)
    for params in (1e9, 1e11, 1e13):
        gain = LEVERAGE.leverage(6 * params * 1e12, **SHAPE)
        expected = np.asarray(farseer.loss(params * gain, 1e12))
        found = law.loss(params, 1e12, **SHAPE)
        assert_allclose(found, expected, rtol=1e-10 if X64 else 1e-4)
    assert np.isnan(found)


def test_what_is_not_dense_or_counts_its_own_flops_is_refused():
    for name in ("krajewski2024", "abnar2025", "clark2022_sbase", "ling2025_on_besiroglu2024"):
        with pytest.raises(ValueError, match="law must be of dense models"):
            sparse(js.laws.published(name))
    for name in ("kumar2024", "tao2024"):
        with pytest.raises(ValueError, match="law must count 6 N D FLOPs"):
            sparse(js.laws.published(name))
    with pytest.raises(TypeError, match="law must be a jaxscale law"):
        sparse(LEVERAGE)
    with pytest.raises(ValueError, match=r"unknown leverage 'ling' .*known: ling2025"):
        sparse(DENSE, "ling")


def test_idle_experts_are_free_and_the_best_granularity_is_the_same_everywhere():
    losses = LAW.loss(1e9, 1e11, activation=np.geomspace(0.008, 1, 9), granularity=12.0)
    assert (np.diff(losses) > 0).all()
    best = 2 ** (-LEVERAGE.beta / (2 * LEVERAGE.gamma))
    for budget, activation in ((1e20, 0.01), (1e23, 0.5)):
        over, levers = ("params", "tokens", "granularity"), {"activation": activation}
        plan = interpreted(js.minimize_loss, LAW, budget, levers=levers, over=over)
        assert plan.ok
        assert_allclose(plan.levers["granularity"], best, rtol=1e-5 if X64 else 2e-2)


# --- Names and ranges ------------------------------------------------------------------------


def test_the_published_law_is_of_the_published_parts():
    entry, made = map(js.laws.entry, ("ling2025_on_besiroglu2024", "besiroglu2024+ling2025"))
    assert entry.law == made.law == Sparse(DENSE, LEVERAGE)
    assert (entry.flops_range, entry.tokens_range) == (made.flops_range, made.tokens_range)
    assert made.name == "besiroglu2024+ling2025"
    dense = js.laws.entry("besiroglu2024")  # whose losses theirs can be compared with
    assert entry.loss_group == made.loss_group == dense.loss_group
    dense = js.laws.entry("krajewski2024_dense")  # whose data are not stated
    assert js.laws.entry(f"{dense.name}+ling2025").loss_group == dense.loss_group


def test_the_range_is_that_of_the_leverage():
    entry = js.laws.entry("Besiroglu2024 + Ling2025")
    plans = js.evaluate(entry.law, np.array([1e7, 1e9, 1e11]), 2e10, levers=SHAPE)
    assert_array_equal(entry.in_range(plans), [False, True, False])
    note = entry.range_note(js.evaluate(entry.law, 1e11, 2e10, levers=SHAPE))
    assert "818M to 318B tokens, 3.00e18 to 3.00e20 FLOPs" in note
    assert entry.params_range is None  # active params are worth more


def test_a_fit_in_a_file_is_made_sparse_with_its_resamples(tmp_path):
    path, exponents = tmp_path / "ours.json", [0.33, 0.34, 0.36]
    draws = {name: [value] * 3 for name, value in vars(DENSE).items()} | {"alpha": exponents}
    saved.write(path, DENSE, {"ranges": {"tokens": [1e9, 1e11]}, "draws": draws})
    entry = js.laws.entry(f"{path}+ling2025")
    assert entry.law == LAW
    assert entry.tokens_range == (1e9, 1e11)
    assert {x.shape for x in jax.tree.leaves(entry.draws)} == {(3,)}
    for row, alpha in enumerate(exponents):
        one = jax.tree.map(lambda x, row=row: float(x[row]), entry.draws)
        assert one == sparse(dataclasses.replace(DENSE, alpha=alpha))


# --- Fits ------------------------------------------------------------------------------------


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class OwnLeverage:
    """A leverage to fit to runs of sparse models, on a dense law that is known."""

    a: Any
    d: Any
    gamma: Any
    beta: Any

    levers: ClassVar[dict] = {"activation": (0.008, 1.0), "granularity": (1.0, 16.0)}
    fitted: ClassVar[dict] = {
        name: js.laws.Coefficient((start,), positive=False)
        for name, start in {"a": 1.0, "d": -0.05, "gamma": 0.01, "beta": -0.1}.items()
    }

    def loss(self, params, tokens, activation, granularity):
        shape = {"activation": activation, "granularity": granularity}
        return self.loss_from_logs(jnp.log(params), jnp.log(tokens), **shape)

    def loss_from_logs(self, x, y, **shape):
        leverage = Leverage(self.a, self.d, self.gamma, self.beta, 0.0163, 5.28e16)
        return Sparse(DENSE, leverage).loss_from_logs(x, y, **shape)


@pytest.mark.skipif(not X64, reason="fits are in float64 whatever the switch: once is enough")
def test_a_fit_to_runs_of_sparse_models_recovers_the_leverage():
    rng = np.random.default_rng(1)
    levers = {
        "activation": rng.choice([0.01, 0.03, 0.1, 0.3], 120),
        "granularity": rng.choice([2.0, 4.0, 8.0, 16.0], 120),
    }
    params, tokens = np.exp(rng.uniform(np.log(1e7), np.log(1e9), (2, 120)))
    tokens *= 100
    loss = np.asarray(LAW.loss(params, tokens, **levers))
    fit = js.fit(OwnLeverage, js.Runs(params, tokens, loss, levers=levers))
    assert fit.status == js.fitting.FitStatus.OK
    found = [getattr(fit.law, name) for name in OwnLeverage.fitted]
    assert_allclose(found, [getattr(LEVERAGE, name) for name in OwnLeverage.fitted], rtol=1e-5)


def test_a_law_made_of_others_is_not_fitted():
    runs = js.fitting.simulate(DENSE, 20, key=1)
    with pytest.raises(TypeError, match="Sparse is made of other laws"):
        js.fit(Sparse, runs)
