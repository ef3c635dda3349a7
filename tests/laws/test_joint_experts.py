"""Sizes and memory of mixtures of experts by the shapes of Ludziejewski et al. 2025."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from mpmath import mp, mpf
from numpy.testing import assert_allclose, assert_array_equal

import jaxscale as js
from jaxscale.laws.protocol import two_powers

X64 = jax.config.read("jax_enable_x64")
DTYPES = [np.float32, np.float64] if X64 else [np.float32]
LAW = js.laws.published("ludziejewski2025")
EXPERTS = np.array([1.0, 3.5, 32.0])


def weights(width, experts):
    """All parameters of a width: eq. 9, with as many blocks as a 64th of it."""
    return 2 * 50257 * width + (4 + 9 * experts) * width**3 / 64


def exact_total(params, experts):
    width = mp.findroot(lambda w: mp.log(weights(mp.exp(w), 1) / params), 8)
    return weights(mp.exp(width), experts)


def exact_in_memory(memory, experts, weight_bytes, cached_tokens):
    """Section 4.3: keys and values are 2 tokens blocks width numbers of two bytes."""

    def held(log_width):
        width = mp.exp(log_width)
        cache = 2 * 2 * cached_tokens * (width / 64) * width
        return mp.log((weight_bytes * weights(width, experts) + cache) / memory)

    return weights(mp.exp(mp.findroot(held, 8)), 1)


@pytest.mark.parametrize("dtype", DTYPES)
def test_all_params_at_fifty_digits(dtype):
    params = np.geomspace(1e5, 1e13, 5).astype(dtype)[:, None]
    found = LAW.total_params(params, experts=EXPERTS.astype(dtype))
    assert found.dtype == dtype
    with mp.workdps(50):
        expected = [
            [float(exact_total(mpf(float(n)), mpf(float(e)))) for e in EXPERTS.astype(dtype)]
            for n in params[:, 0]
        ]
    # Exponentials of logarithms of up to 30.
    assert_allclose(found, expected, rtol=100 * np.finfo(dtype).eps)
    assert_allclose(found[:, 0], params[:, 0], rtol=100 * np.finfo(dtype).eps)  # dense


@pytest.mark.parametrize("dtype", DTYPES)
def test_largest_model_in_memory_at_fifty_digits(dtype):
    numbers = [(1e7, 1, 2, 16384), (24e9, 4, 2, 16384), (80e9, 32, 1, 1e6), (640e9, 8, 4, 0)]
    columns = np.array(numbers, dtype).T
    found = LAW.params_in_memory(
        columns[0], experts=columns[1], weight_bytes=columns[2], cached_tokens=columns[3]
    )
    assert found.dtype == dtype
    with mp.workdps(50):
        expected = [float(exact_in_memory(*map(mpf, map(float, row)))) for row in columns.T]
    assert_allclose(found, expected, rtol=100 * np.finfo(dtype).eps)
    usual = LAW.params_in_memory(columns[0], experts=columns[1])
    given = LAW.params_in_memory(
        columns[0], experts=columns[1], weight_bytes=2.0, cached_tokens=16384.0
    )
    assert_array_equal(usual, given)


@pytest.mark.parametrize("row", [(24e9, 4.0, 2.0, 16384.0), (80e9, 1.0, 2.0, 0.0)])
def test_derivatives_of_sizes_are_those_at_fifty_digits(row):
    def in_memory(memory, experts, weight_bytes, cached_tokens):
        uses = {"weight_bytes": weight_bytes, "cached_tokens": cached_tokens}
        return LAW.params_in_memory(memory, experts=experts, **uses)

    def total(params, experts):
        return LAW.total_params(params, experts=experts)

    for function, exact, point in (
        (in_memory, exact_in_memory, row),
        (total, exact_total, (1e9, row[1])),
    ):
        order = tuple(range(len(point)))
        found = jax.grad(function, order)(*point)
        with mp.workdps(50):
            for at, slope in enumerate(found):
                # One-sided at no tokens; a step that is far above 50 digits' noise.
                orders = tuple(int(each == at) for each in order)
                options = {"h": mpf(10) ** -15, "direction": 1} if point[at] == 0 else {}
                expected = float(mp.diff(exact, tuple(map(mpf, point)), orders, **options))
                assert_allclose(slope, expected, rtol=1e-11 if X64 else 1e-4)


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        (name, bad)
        for name in ("memory", "experts", "weight_bytes", "cached_tokens")
        for bad in (np.nan, -1.0, 0.0, np.inf)
        if (name, bad) != ("cached_tokens", 0.0)  # no cache is a cache
    ],
)
def test_bad_numbers_are_nan_with_zero_derivatives_beside_good_neighbours(name, bad):
    good = {"memory": 80e9, "experts": 8.0, "weight_bytes": 2.0, "cached_tokens": 16384.0}
    pairs = {key: jnp.array([good[key], (good | {name: bad})[key]]) for key in good}

    def total(pairs):
        params = LAW.params_in_memory(**pairs)
        return jnp.nansum(params), params

    slopes, params = jax.grad(total, has_aux=True)(pairs)
    assert_array_equal(np.isnan(params), [False, True])
    for slope in slopes.values():
        assert np.isfinite(slope).all()
        assert slope[1] == 0
    assert_array_equal(np.isnan(LAW.total_params(jnp.array([1e9, bad]), experts=8)), [False, True])
    few = jnp.array([1.0, 0.5])
    assert_array_equal(np.isnan(LAW.total_params(1e9, experts=few)), [False, True])


def test_at_a_number_of_experts_it_is_the_chinchilla_law_that_it_says_it_is():
    params, tokens = np.geomspace(1e7, 1e12, 4), np.geomspace(1e9, 1e14, 3)[:, None]
    for experts in EXPERTS:
        law = two_powers(LAW, {"experts": experts})
        assert_allclose(
            law.loss(params, tokens),
            LAW.loss(params, tokens, experts=experts),
            rtol=100 * np.finfo(DTYPES[-1]).eps,
        )


def test_plans_of_bad_laws_and_experts_are_invalid_beside_good_neighbours():
    """The closed optimum may not see a coefficient or a lever that the loss refuses."""
    bad = [
        ("E_max", 2.0),  # below E_start
        ("gamma", 0.2),  # so that loss rises with params
        *((name, np.nan) for name in ("alpha", "delta", "gamma", "zeta", "c", "experts")),
        *((name, np.inf) for name in ("omega", "E_max", "experts")),
        *((name, -1.0) for name in ("a", "b", "E_start", "c", "experts")),
        ("experts", 0.99),
        *((name, sign) for name in ("alpha", "beta") for sign in (0.0, 1.0)),  # no fall of the loss
    ]
    good = dataclasses.asdict(LAW) | {"experts": 8.0}
    columns = {
        name: np.array([value, *(to if each == name else value for each, to in bad)])
        for name, value in good.items()
    }
    levers = {"experts": columns.pop("experts")}
    plan = js.minimize_loss(js.laws.Ludziejewski(**columns), 1e21, levers=levers)
    expected = [js.Status.OK] + [js.Status.INVALID_INPUT] * len(bad)
    losses = js.laws.Ludziejewski(**columns).loss(1e9, 2e10, experts=levers["experts"])
    # With that gamma, fewer experts have a loss that falls.
    assert_array_equal(np.isfinite(losses), [True, False, True] + [False] * (len(bad) - 2))
    assert_array_equal(plan.status, expected)
    assert_array_equal(np.isnan(plan.loss), ~np.asarray(plan.ok))


def test_more_experts_are_better_throughout_the_range_at_equal_compute():
    losses = []
    for experts in np.linspace(1, 32, 32):
        law = LAW.two_powers(experts=experts)
        log_scale, exponent, _ = law.frontier_powers()
        params = np.exp(float(log_scale)) * (1e21 / 6) ** float(exponent)
        losses.append(
            float(law.E + law.A / params**law.alpha + law.B * (6 * params / 1e21) ** law.beta)
        )
    assert np.all(np.diff(losses) < 0)


@pytest.mark.thorough
@pytest.mark.parametrize("target", ["loss", "budget"])
def test_its_closed_plans_are_those_of_the_general_solver(target):
    @jax.tree_util.register_dataclass
    @dataclasses.dataclass(frozen=True)
    class OnlyLoss:
        law: js.laws.Ludziejewski
        experts: float

        def loss(self, params, tokens):
            return self.law.loss(params, tokens, experts=self.experts)

    demand = js.Demand(1e12)
    solve, value = {"loss": (js.minimize_cost, 2.2), "budget": (js.minimize_loss, 1e22)}[target]
    closed = solve(LAW, value, demand, levers={"experts": 8.0})
    general = solve(OnlyLoss(LAW, 8.0), value, demand)
    for name in ("params", "tokens", "loss", "total_cost", "marginal_cost"):
        found, expected = getattr(closed, name), getattr(general, name)
        assert_allclose(found, expected, rtol=1e-9 if X64 else 1e-3)
