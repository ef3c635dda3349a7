"""What runs do not identify a fit does not claim: one size, one length, one ratio, one lever."""

import functools
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import jax
import numpy as np
import pytest
from scipy.optimize import least_squares

import jaxscale as js
from fitting.runs_at_hand import SEED, fitted_simulation
from fitting.test_any_law import Plain
from jaxscale.fitting import FitStatus
from jaxscale.fitting.certificate import judge
from jaxscale.laws import Chinchilla
from jaxscale.laws.fitted import Coefficient

SQUARES = js.fitting.SquaredError()
NAMES = ("E", "A", "B", "alpha", "beta")


def random_law(rng):
    return Chinchilla(
        E=rng.uniform(1.2, 2.5),
        A=10 ** rng.uniform(2, 3),
        B=10 ** rng.uniform(2.5, 3.5),
        alpha=rng.uniform(0.28, 0.42),
        beta=rng.uniform(0.28, 0.42),
    )


def runs_of(law, params, tokens, rng, noise=0.003):
    with jax.enable_x64(True):
        loss = np.asarray(law.loss(params, tokens), float)
    return js.Runs(params, tokens, loss * np.exp(noise * rng.standard_normal(loss.size)))


def sizes(rng, count=30):
    params = np.exp(rng.permutation(np.linspace(np.log(3e7), np.log(3e10), count)))
    tokens = np.exp(rng.permutation(np.linspace(np.log(1e9), np.log(1e12), count)))
    return params, tokens


def one_size(rng):
    params, tokens = sizes(rng)
    return np.full_like(params, params[0]), tokens


def one_length(rng):
    params, tokens = sizes(rng)
    return params, np.full_like(tokens, tokens[0])


def two_sizes(rng):
    params, tokens = sizes(rng)
    return np.where(np.arange(len(params)) % 2, params[0], params[1]), tokens


def one_ratio(rng):
    params, _ = sizes(rng)
    return params, params * rng.uniform(5, 200)


def one_line(rng):
    params, _ = sizes(rng)
    return params, 1e3 * params ** rng.uniform(0.6, 0.9)


def four_runs(rng):
    params, tokens = sizes(rng)
    return np.tile(params[:4], 5), np.tile(tokens[:4], 5)


@functools.cache
def runs_at(design):
    rng = np.random.default_rng(SEED)
    return runs_of(random_law(rng), *design(rng), rng)


@functools.cache
def fitted_at(design, family):
    return js.fit(family, runs_at(design), objective=SQUARES)


OPEN = {
    one_size: {"E", "A", "alpha"},
    one_length: {"E", "B", "beta"},
    two_sizes: {"E", "A", "alpha"},
    one_ratio: {"A", "B", "alpha", "beta"},
    one_line: {"A", "B", "alpha", "beta"},
    four_runs: set(NAMES),
}
# Of one variable, a power whose exponent noise takes for almost 0 is a second constant.
PERHAPS_OPEN = {one_ratio: {"E"}, one_line: {"E"}}
SIMILAR = (one_length, two_sizes, one_line, four_runs)


CASES = [
    # Each of any other family searches for seconds.
    pytest.param(
        design,
        family,
        id=f"{design.__name__}-{family.__name__}",
        marks=pytest.mark.thorough if family is Plain and design in SIMILAR else (),
    )
    for design in OPEN
    for family in (Chinchilla, Plain)
]


@pytest.mark.parametrize(("design", "family"), CASES)
@pytest.mark.usefixtures("rng")
def test_what_a_design_leaves_open_is_named_and_has_no_error(design, family):
    found = fitted_at(design, family)
    unidentified = {*found.claims.unidentified}
    assert unidentified - PERHAPS_OPEN.get(design, set()) == OPEN[design]
    assert not found.ok
    for name in found.claims.unidentified:
        assert np.isnan(getattr(found.standard_errors, name))
        line = next(x for x in str(found).splitlines() if x.split()[:1] == [name])
        assert line.split() == [name, "not", "known"]
    assert "held" not in str(found)
    assert "do not identify" in str(found)


@pytest.mark.parametrize("unidentified", [True, False])
def test_a_slope_that_is_left_is_told_before_what_is_open(unidentified):
    def status(**given):
        return judge(FitStatus.OK, 9, 5, unidentified=unidentified, **given)

    level = FitStatus.FLAT_VALLEY if unidentified else FitStatus.NOT_STATIONARY
    assert status(steep=True, converged=False) is FitStatus.NOT_STATIONARY
    assert status(steep=False, converged=False) is level
    assert status(steep=False, converged=True) is (level if unidentified else FitStatus.OK)


def one_power(logs, loss):
    """Constant, scale and exponent of least squares in ln loss, by SciPy from many starts."""

    def residuals(x):
        return np.log(np.exp(x[0]) + np.exp(x[1] - x[2] * logs)) - np.log(loss)

    starts = [
        (np.log(share * loss.min()), np.log(loss.max()), exponent)
        for share in (0.3, 0.9)
        for exponent in (0.1, 0.3, 0.6)
    ]
    tight = {"xtol": 1e-15, "ftol": 1e-15, "gtol": 1e-15}
    ends = [least_squares(residuals, start, x_scale="jac", **tight) for start in starts]
    return min(ends, key=lambda end: end.cost)


@pytest.mark.parametrize("design", [one_size, one_length], ids=lambda design: design.__name__)
@pytest.mark.usefixtures("rng")
def test_a_constant_and_one_power_are_what_is_left(design):
    runs, found = runs_at(design), fitted_at(design, Chinchilla)
    varied = runs.tokens if design is one_size else runs.params
    logs = np.log(varied) - np.log(varied).mean()
    best = one_power(logs, runs.loss)
    assert found.objective == pytest.approx(best.cost, rel=1e-8)
    name, exponent = ("E + A/N^alpha", "beta") if design is one_size else ("E + B/D^beta", "alpha")
    constant, error = found.claims.combinations[name]
    assert constant == pytest.approx(np.exp(best.x[0]), rel=1e-5)
    assert getattr(found.law, exponent) == pytest.approx(best.x[2], rel=1e-4)
    # The sandwich of least squares, White 1980: what SciPy's derivatives make of it.
    bread = np.linalg.inv(best.jac.T @ best.jac)
    spread = bread @ (best.jac.T * best.fun**2 @ best.jac) @ bread
    assert error == pytest.approx(constant * np.sqrt(spread[0, 0]), rel=1e-3)
    own = getattr(found.standard_errors, exponent)
    assert own == pytest.approx(np.sqrt(spread[2, 2]), rel=1e-3)
    if design is one_size:
        plain = fitted_at(design, Plain)
        assert plain.objective == pytest.approx(best.cost, rel=1e-6)


@pytest.mark.usefixtures("rng")
def test_what_is_held_beside_what_is_open_is_no_loss():
    runs = runs_at(one_size)
    some = js.fit(Chinchilla, runs, objective=SQUARES, fixed={"E": 1.2})
    assert some.claims.unidentified == ("A", "alpha")
    assert some.objective == pytest.approx(fitted_at(one_size, Chinchilla).objective)
    assert str(some).count("held") == 1


@pytest.mark.parametrize("family", [Chinchilla, pytest.param(Plain, marks=pytest.mark.thorough)])
@pytest.mark.usefixtures("rng")
def test_what_is_held_makes_the_rest_known_again(family):
    held = {"E": 1.2, "alpha": 0.3}
    found = js.fit(family, runs_at(one_size), objective=SQUARES, fixed=held)
    assert found.claims.unidentified == ()
    assert found.ok
    assert 0 < found.standard_errors.A < np.inf


def test_tied_exponents_are_known_at_one_ratio(rng):
    law = replace(random_law(rng), alpha=0.35, beta=0.35)
    runs = runs_of(law, *one_ratio(rng), rng, noise=1e-4)
    found = js.fit(Chinchilla, runs, objective=SQUARES, tie=(("alpha", "beta"),))
    assert found.claims.unidentified == ("A", "B")
    assert abs(found.law.alpha - 0.35) < 6 * found.standard_errors.alpha


def test_larger_models_that_are_not_better_have_no_exponent(rng):
    params, tokens = sizes(rng)
    loss = 2 + 300 * tokens**-0.3 + 0.02 * np.log(params / params.min())
    found = js.fit(Chinchilla, js.Runs(params, tokens, loss))
    assert {"A", "alpha", "E"} <= {*found.claims.unidentified}
    assert "larger models are not better in these runs" in str(found)
    assert np.isnan(found.standard_errors.alpha)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Levered:
    """`L = A N^-alpha x^-c`, where c and A are one number if x is."""

    A: Any
    alpha: Any
    c: Any

    levers: ClassVar[dict[str, tuple[float, float]]] = {"x": (0.5, 100.0)}
    fitted: ClassVar[dict[str, Coefficient]] = {
        "A": Coefficient((1.0, 100.0)),
        "alpha": Coefficient((0.0, 0.1), positive=False),
        "c": Coefficient((0.0, 0.1), positive=False),
    }

    def loss(self, params, tokens, *, x):
        del tokens
        return self.A * params**-self.alpha * x**-self.c


def test_a_lever_of_one_value_has_no_exponent(rng):
    params, tokens = sizes(rng)
    x = np.full_like(params, 8.0)
    loss = 30 * params**-0.1 * np.exp(0.01 * rng.standard_normal(params.size))
    found = js.fit(Levered, js.Runs(params, tokens, loss, levers={"x": x}), objective=SQUARES)
    assert found.claims.unidentified == ("A", "c")
    assert "x is 8 in all runs" in str(found)
    columns = np.stack([np.ones_like(x), -np.log(params)], axis=1)
    expected = np.linalg.lstsq(columns, np.log(loss), rcond=None)[0]
    assert found.law.alpha == pytest.approx(expected[1], rel=1e-8)
    assert found.standard_errors.alpha > 0


@pytest.mark.parametrize("family", [Chinchilla, Plain])
def test_exact_and_nearly_exact_runs_are_ok(family, rng):
    law = random_law(rng)
    params, tokens = (
        x.ravel() for x in np.meshgrid(np.geomspace(3e7, 3e9, 6), np.geomspace(1e9, 1e11, 6))
    )
    with jax.enable_x64(True):
        exact = np.asarray(law.loss(params, tokens), float)
    for digits in (4, 5, 6, 8, 11, 17) if family is Chinchilla else (6,):
        loss = np.array([float(f"{x:.{digits}g}") for x in exact * 10 ** rng.uniform(-1, 1)])
        found = js.fit(family, js.Runs(params, tokens, loss))
        assert found.status is FitStatus.OK, digits
        assert found.law.alpha == pytest.approx(law.alpha, rel=10.0 ** (3 - min(digits, 12)))
        if family is Chinchilla:
            assert js.bootstrap(found, resamples=50, key=int(rng.integers(1000))).ok.all()


class TestBootstrap:
    @pytest.fixture
    def boot(self):
        return js.bootstrap(fitted_at(one_size, Chinchilla), resamples=100, key=1)

    @pytest.mark.usefixtures("rng")
    def test_what_does_not_move_is_no_interval(self, boot):
        size = float(boot.fit.runs.params[0])
        for name in ("E", "A", "alpha"):
            assert np.isnan(boot.intervals()[name]).all()
            assert np.isnan(getattr(boot.standard_errors, name))
        assert np.isnan(boot.covariance[3]).all()
        low, high = boot.intervals()["beta"]
        assert low < high
        assert boot.standard_errors.beta > 0
        for method in ("percentile", "basic", "bca"):
            low, high = boot.interval(lambda law: law.E + law.A / size**law.alpha, method=method)
            assert low < high
            assert np.isnan(boot.interval(lambda law: law.beta / (law.alpha + law.beta))).all()

    @pytest.mark.usefixtures("rng")
    def test_neither_profile_nor_influence_is_made_of_it(self):
        fit = fitted_at(one_size, Chinchilla)
        with pytest.raises(ValueError, match="alpha has no profile: These runs do not identify"):
            js.profile_likelihood(fit, "alpha")
        assert np.isnan(fit.influence(lambda law: law.alpha)).all()
        assert np.isfinite(fit.influence(lambda law: law.beta)).all()


def test_an_error_of_far_more_than_the_coefficient_is_not_known():
    boot = js.bootstrap(fitted_simulation(), resamples=50, key=0)
    draws = np.array(boot.law.A)
    draws[0] = 1e53
    wild = replace(boot, law=replace(boot.law, A=draws))
    assert np.isnan(wild.standard_errors.A)
    assert wild.standard_errors.beta == boot.standard_errors.beta
