"""Fits of laws other than Chinchilla: closed forms, known coefficients, a published fit."""

import dataclasses
import functools
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

import jaxscale as js
from fitting.public_runs import table
from fitting.runs_at_hand import simulated
from jaxscale.fitting import Fit, FitStatus
from jaxscale.laws.experts import Abnar, Clark, Krajewski
from jaxscale.laws.farseer import Farseer
from jaxscale.laws.fitted import Coefficient
from jaxscale.laws.joint_experts import Ludziejewski
from jaxscale.laws.kaplan import Kaplan
from jaxscale.laws.other_forms import BrokenPowerLaw, ComputeOnly, Frantar
from jaxscale.laws.precision import Kumar
from jaxscale.laws.repeated_data import Muennighoff
from jaxscale.laws.skaling import Skaling
from jaxscale.laws.streams import ParScale
from jaxscale.laws.vocabulary import Tao

SQUARES = js.fitting.SquaredError()


def coefficients(law):
    return np.array([float(x) for x in dataclasses.astuple(law)])


# --- Every family, back from losses without noise --------------------------------------------

ABNAR = Abnar(
    a=16612.5,
    alpha=0.5962,
    b=5455.67,
    beta=0.3954,
    c=0.4598,
    lambda_=-0.1666,
    d=17.26,
    delta=0.1603,
    gamma=0.1595,
    e=0.94,
)
KUMAR = Kumar(
    A=4299.0,
    B=18060.0,
    E=2.7648,
    alpha=0.4965,
    beta=0.4,
    gamma_w=2.6745,
    n_w=0.3037,
    gamma_a=2.2102,
    n_a=1.4072,
    gamma_kv=0.9578,
    n_kv=2.4185,
    C_T=0.0598,
    gamma_D=0.5068,
    gamma_N=0.3439,
    gamma_post=0.5907,
)
# One number of bits cannot tell three shares apart, so two of them are held.
KUMAR_HELD = {name: getattr(KUMAR, name) for name in ("gamma_a", "n_a", "gamma_kv", "n_kv")}
LUDZIEJEWSKI = Ludziejewski(
    a=35.91,
    alpha=-0.1889,
    delta=-0.2285,
    gamma=0.0098,
    b=35.98,
    beta=-0.1775,
    omega=0.5529,
    zeta=-0.0259,
    E_start=2.0732,
    E_max=290.4521,
    c=1.3637,
)
FAMILIES = {
    "kaplan": (Kaplan(N_c=6.4e13, D_c=1.8e13, alpha_N=0.076, alpha_D=0.103), {}),
    "muennighoff": (Muennighoff(1.87, 521.0, 1488.0, 0.353, 0.353, 15.4, 5.3), {}),
    "guo": (ComputeOnly(intercept=7.0, slope=0.09), {}),
    "clark": (Clark(-0.082, -0.108, 0.009, 1.104, 1.847, 314.478), {}),
    "krajewski": (Krajewski(0.47, 2.1, 0.58, 18.1, 0.115, 30.8, 0.147), {}),
    "abnar": (ABNAR, {}),
    "kumar": (KUMAR, KUMAR_HELD),
    "tao": (Tao(E=5.5, A1=1.8, A2=0.2, B=2.1, alpha1=0.45, alpha2=0.67, beta=0.45), {}),
    "broken": (BrokenPowerLaw(a=1.0, b=300.0, c0=0.12, c=0.06, d=1e20, f=0.4), {}),
    "farseer": (Farseer(-0.2, 0.8, 60.0, 1.5, -0.05, 1.2, 0.1, -0.12, 0.12), {}),
    "frantar": (Frantar(a_S=17.0, b_S=0.7, c_S=45.0, b_N=0.25, a_D=7e8, b_D=0.2, c=0.65), {}),
    "ludziejewski": (LUDZIEJEWSKI, {}),
    "parscale": (ParScale(E=1.3, A=0.2, alpha=0.2, k=0.33), {}),
    "skaling": (Skaling(E=1.22, A=39.2, R=5.42, alpha=0.408, beta=0.431, k=0.452), {}),
}


def chosen_levers(random, law, tokens):
    draws = {
        "unique_tokens": tokens / np.exp(random.uniform(-0.5, 3.5, tokens.size)),
        "experts": 2.0 ** random.integers(0, 10, tokens.size),
        "granularity": 2.0 ** random.integers(0, 5, tokens.size),
        "sparsity": random.choice([0.0, 0.5, 0.75, 0.9, 0.95], tokens.size),
        "bits": random.choice([4.0, 5.0, 6.0, 8.0, 12.0, 16.0], tokens.size),
        "streams": 2.0 ** random.integers(0, 4, tokens.size),
        "vocabulary_params": np.exp(random.uniform(np.log(1e6), np.log(1e9), tokens.size)),
    }
    return {name: draws[name] for name in getattr(law, "levers", {})}


def exact_runs(law, count=80):
    random = np.random.default_rng(0)
    params = np.exp(random.uniform(np.log(3e7), np.log(3e9), count))
    tokens = params * np.exp(random.uniform(np.log(3), np.log(300), count))
    levers = chosen_levers(random, law, tokens)
    with jax.enable_x64(True):
        loss = np.asarray(law.loss(params, tokens, **levers))
    return js.Runs(params, tokens, loss, levers=levers or None)


# Each compiles for four seconds or more. Levers and what is held beside them: Muennighoff, below.
USUAL = ("tao",)


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if name in USUAL else pytest.mark.thorough) for name in FAMILIES],
)
def test_exact_runs_of_every_family_give_it_back(name):
    law, fixed = FAMILIES[name]
    runs = exact_runs(law)
    found = js.fit(type(law), runs, fixed=fixed)
    assert isinstance(found, Fit)
    assert found.ok
    assert found.objective < 1e-15 * len(runs)
    with jax.enable_x64(True):
        again = np.asarray(found.law.loss(runs.params, runs.tokens, **(runs.levers or {})))
    assert_allclose(again, runs.loss, rtol=1e-8)
    # A condition of 1e10 leaves six digits of rounding's sixteen.
    assert_allclose(coefficients(found.law), coefficients(law), rtol=1e-4)


# --- Laws that are linear once their loss is a logarithm: least squares are known ------------


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Product:
    """`L = A N^-alpha D^-beta`: `ln L` is linear in `ln A`, alpha and beta."""

    A: Any
    alpha: Any
    beta: Any

    fitted: ClassVar[dict[str, Coefficient]] = {
        "A": Coefficient((1.0, 100.0)),
        "alpha": Coefficient((0.0, 0.1), positive=False),
        "beta": Coefficient((0.1,), positive=False),
    }

    def loss(self, params, tokens):
        return self.A * params**-self.alpha * tokens**-self.beta


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Line:
    """`L = a + b ln N + c x`: linear in all, of any sign, with a lever."""

    a: Any
    b: Any
    c: Any

    fits_logarithm: ClassVar[bool] = False
    levers: ClassVar[dict[str, tuple[float, float]]] = {"x": (-1.0, 1.0)}
    fitted: ClassVar[dict[str, Coefficient]] = {
        name: Coefficient((0.0, 1.0), positive=False) for name in "abc"
    }

    def loss_from_logs(self, log_params, log_tokens, x):
        del log_tokens
        return self.a + self.b * log_params + self.c * x

    def loss(self, params, tokens, *, x):
        return self.loss_from_logs(jnp.log(params), jnp.log(tokens), x)


@functools.cache
def noisy_runs():
    runs = simulated(100, 0.02, 3)
    return replace(runs, weights=np.random.default_rng(1).uniform(0.5, 2, 100))


def design(runs=None):
    runs = runs or noisy_runs()
    return np.stack([np.ones(len(runs)), -np.log(runs.params), -np.log(runs.tokens)], axis=1)


def least_squares(columns, target, weights, precision=0.0, mean=0.0):
    """Of `sum w r^2 / 2 + precision (x - mean)^2 / 2`, by the normal equations."""
    ridge = np.diag(np.broadcast_to(precision, columns.shape[1]))
    matrix = columns.T @ (weights[:, None] * columns) + ridge
    pull = np.broadcast_to(precision, columns.shape[1]) * mean
    return np.linalg.solve(matrix, columns.T @ (weights * target) + pull)


def logs(law):
    return np.array([np.log(law.A), law.alpha, law.beta])


class TestClosedForms:
    def fit(self, **options):
        return js.fit(Product, noisy_runs(), objective=SQUARES, **options)

    def expected(self, columns, target=None, **prior):
        runs = noisy_runs()
        target = np.log(runs.loss) if target is None else target
        return least_squares(columns, target, runs.weights, **prior)

    def test_squares_are_those_of_the_normal_equations(self):
        runs, found = noisy_runs(), self.fit()
        expected = self.expected(design())
        assert_allclose(logs(found.law), expected, rtol=1e-9)
        residuals = design() @ expected - np.log(runs.loss)
        assert_allclose(found.residuals, residuals, atol=1e-12)
        assert found.objective == pytest.approx(np.sum(runs.weights * residuals**2) / 2, rel=1e-12)
        assert found.ok
        assert found.search[:3] == (4, 4, 4)

    def test_errors_are_those_of_the_sandwich(self):
        # White 1980, eq. 2, with weights; the error of A is A times that of its logarithm.
        runs, found, columns = noisy_runs(), self.fit(), design()
        bread = np.linalg.inv(columns.T @ (runs.weights[:, None] * columns))
        scores = (runs.weights * found.residuals)[:, None] * columns
        expected = bread @ scores.T @ scores @ bread
        assert_allclose(found.covariance, expected, rtol=1e-7)
        errors = np.sqrt(np.diag(expected)) * [found.law.A, 1, 1]
        assert_allclose(coefficients(found.standard_errors), errors, rtol=1e-7)

    @pytest.mark.parametrize("value", [0.1, 0.0])
    def test_what_is_fixed_stays_and_the_rest_is_best_beside_it(self, value):
        found = self.fit(fixed={"alpha": value})
        columns = design()
        target = np.log(noisy_runs().loss) - value * columns[:, 1]
        expected = self.expected(columns[:, [0, 2]], target)
        assert found.law.alpha == value
        assert_allclose(logs(found.law)[[0, 2]], expected, rtol=1e-9)
        assert found.standard_errors.alpha == 0
        assert (found.covariance[1] == 0).all()

    def test_what_is_tied_is_one(self):
        found = self.fit(tie=(("alpha", "beta"),))
        columns = design()
        expected = self.expected(np.stack([columns[:, 0], columns[:, 1] + columns[:, 2]], axis=1))
        assert found.law.alpha == found.law.beta
        assert_allclose(logs(found.law)[:2], expected, rtol=1e-9)

    def test_a_bound_that_binds_is_reported(self):
        free = self.fit().law
        inside = self.fit(bounds={"alpha": (free.alpha / 2, free.alpha * 2)})
        assert inside.ok
        assert inside.law.alpha == pytest.approx(free.alpha, rel=1e-9)
        low = 1.5 * free.alpha
        found = self.fit(bounds={"alpha": (low, 1.0)})
        held = self.fit(fixed={"alpha": low})
        assert found.status is FitStatus.AT_BOUND
        assert found.law.alpha == low
        assert found.objective == pytest.approx(held.objective, rel=1e-12)

    def test_a_prior_is_a_quadratic(self):
        found = self.fit(prior={"alpha": (0.3, 0.001), "A": (2.0, 0.01)})
        # One deviation costs what a residual of 1e-3 does.
        precision = np.array([(1e-3 / 0.01) ** 2, (1e-3 / 0.001) ** 2, 0])
        expected = self.expected(design(), precision=precision, mean=[np.log(2.0), 0.3, 0])
        assert_allclose(logs(found.law), expected, rtol=1e-9)

    def test_a_wide_likelihood_is_that_of_normal_residuals(self):
        runs = replace(noisy_runs(), weights=None)
        found = js.fit(Product, runs, objective=js.fitting.HuberLikelihood(50.0))
        expected = least_squares(design(), np.log(runs.loss), np.ones(100))
        assert_allclose(logs(found.law), expected, rtol=1e-9)
        variance = np.mean((design() @ expected - np.log(runs.loss)) ** 2)
        total = 100 * (np.log(2 * np.pi * variance) + 1) / 2
        assert found.objective == pytest.approx(total, rel=1e-9)
        assert found.ok

    def test_a_narrow_likelihood_is_least_where_it_ends(self):
        runs, objective = noisy_runs(), js.fitting.HuberLikelihood(0.5)
        found = js.fit(Product, runs, objective=objective)
        assert found.ok
        assert 10 < found.certificate.quadratic_runs < 90
        for step in 1e-5 * np.concatenate([np.eye(3), -np.eye(3)]):
            residuals = design() @ (logs(found.law) + step) - np.log(runs.loss)
            with jax.enable_x64(True):
                assert float(objective.value(residuals, runs.weights)) > found.objective

    def test_starts_may_be_given(self):
        found = self.fit(starts=Product(A=[1.0, 2.0, 3.0], alpha=0.1, beta=0.2))
        assert found.search.starts == 3
        assert_allclose(logs(found.law), self.expected(design()), rtol=1e-9)

    def test_a_loss_below_zero_is_fitted_as_it_is(self):
        random = np.random.default_rng(2)
        runs, x = noisy_runs(), random.uniform(-1, 1, 100)
        columns = np.stack([np.ones(100), np.log(runs.params), x], axis=1)
        loss = columns @ [1.0, -0.2, 0.5] + 0.1 * random.standard_normal(100)
        assert loss.max() < 0
        runs = replace(runs, loss=loss, levers={"x": x})
        found = js.fit(Line, runs, objective=SQUARES)
        expected = least_squares(columns, loss, runs.weights)
        assert_allclose(coefficients(found.law), expected, rtol=1e-9)
        assert_allclose(found.residuals, columns @ expected - loss, atol=1e-12)
        assert "nats" in str(found)


# --- A copy of the Chinchilla law, against the kernel that was written for it by hand --------


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Plain:
    """The Chinchilla law with nothing but a loss: no starts, no logarithms."""

    E: Any
    A: Any
    B: Any
    alpha: Any
    beta: Any

    def loss(self, params, tokens):
        return self.E + self.A * params**-self.alpha + self.B * tokens**-self.beta


@pytest.mark.parametrize(
    "objective",
    [
        js.fitting.Huber(),
        SQUARES,
        pytest.param(js.fitting.AbsoluteError(), marks=pytest.mark.thorough),
    ],
    ids=lambda objective: type(objective).__name__,
)
def test_a_plain_copy_of_chinchilla_ends_where_chinchilla_does(objective):
    by_hand = js.fit(js.laws.Chinchilla, simulated(), objective=objective)
    found = js.fit(Plain, simulated(), objective=objective)
    assert found.ok
    assert found.objective == pytest.approx(by_hand.objective, rel=1e-9)
    assert_allclose(coefficients(found.law), coefficients(by_hand.law), rtol=1e-5)
    assert_allclose(
        coefficients(found.standard_errors), coefficients(by_hand.standard_errors), rtol=1e-3
    )
    assert found.certificate.quadratic_runs == by_hand.certificate.quadratic_runs


@pytest.mark.parametrize("family", [Plain, js.laws.Chinchilla])
def test_runs_that_want_no_e_say_so(family):
    runs = simulated()
    loss = 20 * runs.params**-0.12 + 60 * runs.tokens**-0.16 - 0.1
    found = js.fit(family, replace(runs, loss=loss))
    assert found.status is FitStatus.E_AT_ZERO
    assert found.claims.at_bound == ("E",)
    assert found.claims.unidentified == ()
    assert np.isnan(found.standard_errors.E)
    assert found.standard_errors.alpha > 0


def test_too_few_runs_say_so():
    few = simulated().select(np.repeat(np.arange(5), 20))
    assert js.fit(Plain, few).status is FitStatus.TOO_FEW_RUNS


# --- Muennighoff et al. 2023, on the 182 runs of their own fit -------------------------------

# huggingface/datablations, utils/parametric_fit.ipynb: what was held, and where a descent in
# float32 ended from starts near 15 and 5. The same minimum in float64, computed apart.
BASE = {
    "E": np.exp(0.6254804),
    "A": np.exp(6.255414),
    "B": np.exp(7.3049974),
    "alpha": 0.3526596,
    "beta": 0.3526596,
}
THEIRS = {"R_D": 15.371758, "R_N": 5.315126}
THEIR_OBJECTIVE = 0.01582593206911


@functools.cache
def repeated_runs():
    path = table("muennighoff_2023/points_c4_constrained_fit.csv")
    return js.Runs.read(path, levers=("unique_tokens",))


def objective_of_repeats(R_D, R_N):
    """Their README's formula, in plain NumPy."""
    runs = repeated_runs()
    E, A, B, alpha, beta = BASE.values()
    unique = np.minimum(runs.levers["unique_tokens"], runs.tokens)
    G = (alpha * A / (beta * B)) ** (1 / (alpha + beta))
    fitting = np.minimum(runs.params, (unique * G) ** (beta / alpha) * G)
    tokens = unique * (1 + R_D * (1 - np.exp(-(runs.tokens / unique - 1) / R_D)))
    params = fitting * (1 + R_N * (1 - np.exp(-(runs.params / fitting - 1) / R_N)))
    off = np.abs(np.log((E + A / params**alpha + B / tokens**beta) / runs.loss))
    return np.sum(np.where(off <= 1e-3, off**2 / 2, 1e-3 * (off - 1e-3 / 2)))


class TestMuennighoff:
    def test_the_published_minimum_is_one(self):
        runs = repeated_runs()
        assert len(runs) == 182
        # Between neighbouring minima, of which there are many: the objective is nearly that of
        # absolute errors.
        bounds = {name: (value - 0.05, value + 0.05) for name, value in THEIRS.items()}
        found = js.fit(Muennighoff, runs, fixed=BASE, bounds=bounds)
        assert found.ok
        assert found.objective == pytest.approx(THEIR_OBJECTIVE, rel=1e-11)
        assert_allclose([found.law.R_D, found.law.R_N], list(THEIRS.values()), atol=1e-6)
        assert {name: getattr(found.law, name) for name in BASE} == BASE

    def test_a_lower_one_is_found(self):
        found = js.fit(Muennighoff, repeated_runs(), fixed=BASE)
        assert found.ok
        assert found.objective < THEIR_OBJECTIVE
        direct = objective_of_repeats(found.law.R_D, found.law.R_N)
        assert found.objective == pytest.approx(direct, rel=1e-11)
        for far in (0.99, 1.01):
            assert objective_of_repeats(found.law.R_D * far, found.law.R_N) > direct
            assert objective_of_repeats(found.law.R_D, found.law.R_N * far) > direct


# --- What a fit says and refuses -------------------------------------------------------------


def test_it_prints_itself_as_a_small_table():
    found = js.fit(Product, noisy_runs(), objective=SQUARES, fixed={"alpha": 0.1})
    lines = str(found).splitlines()
    assert lines[0] == "Product, fitted to 100 runs"
    assert [line.split()[0] for line in lines[2:5]] == ["A", "alpha", "beta"]
    assert lines[3].split()[1:] == ["0.1", "held"]
    assert max(map(len, lines)) <= 100
    assert lines[-1].strip().startswith("OK: ")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fixed": {"Alpha": 0.3}}, r"fixed names no coefficient 'Alpha' \(did you mean alpha\?\)"),
        ({"fixed": {"A": -1.0}}, r"fixed\['A'\] must be finite, and 0 or more; got -1"),
        ({"fixed": {"A": 1.0}, "bounds": {"A": (1, 2)}}, "A is fixed: it takes no bounds"),
        ({"fixed": {"A": 1.0, "alpha": 1.0, "beta": 1.0}}, "holds every coefficient"),
        ({"tie": (("alpha", "gamma"),)}, "tie names no coefficient 'gamma'"),
        ({"tie": ("alpha",)}, "groups of two names or more; got 'alpha'"),
        ({"tie": (("alpha", "beta"),), "fixed": {"beta": 0.3}}, "beta is tied"),
        ({"tie": (("A", "beta"),)}, "A, beta are not all positive"),
        ({"bounds": {"A": (-1, 1)}}, r"bounds\['A'\] must be 0 or more and ascending"),
        ({"bounds": {"alpha": (1, -1)}}, r"bounds\['alpha'\] must be ascending"),
        ({"prior": {"A": (0.0, 1.0)}}, r"prior\['A'\] must be finite and above 0"),
        ({"prior": {"A": (1.0, 0.0)}}, r"prior\['A'\] must have a deviation above 0"),
        ({"starts": "hoffmann2022"}, "starts must be None, or a law of Product with arrays"),
        ({"starts": Product(-1.0, 1.0, 1.0)}, "starts must be finite, and above 0"),
        ({"starts": Product(1e300, -9e9, 1.0)}, "not finite at any of 1 starts"),
        ({"objective": "huber"}, "objective must be a js.fitting Huber"),
    ],
)
def test_mistakes_are_named(options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        js.fit(Product, noisy_runs(), **options)


def test_what_is_no_class_of_law_is_named():
    with pytest.raises(TypeError, match=r"law must be the class js\.laws\.Chinchilla, or another"):
        js.fit(FAMILIES["guo"][0], noisy_runs())
    with pytest.raises(TypeError, match="law must be the class"):
        js.fit(int, noisy_runs())


def test_levers_have_to_be_those_of_the_law():
    runs = noisy_runs()
    with pytest.raises(ValueError, match="must be those of the law: x; got none"):
        js.fit(Line, runs)
    extra = replace(runs, levers={"y": np.ones(100), "x": np.ones(100)})
    with pytest.raises(ValueError, match="must be those of the law: x; got x, y"):
        js.fit(Line, extra)
    for law in (js.laws.Chinchilla, Product):
        with pytest.raises(ValueError, match="must be those of the law: none; got x, y"):
            js.fit(law, extra)
