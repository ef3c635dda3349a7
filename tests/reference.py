"""Reference plans at 50 digits, solved from the papers' raw equations.

The law is Hoffmann et al. 2022, eq. 2, `L(N, D) = E + A N^-alpha + B D^-beta`; the lifetime
cost is Sardana et al. 2024, eq. 6, `6 N D c_train + 2 N (c_prefill D_in + c_decode D_out)`,
with prices per model FLOP. Nothing here shares a formula with the solvers under test: the
cheapest plan is the root of Sardana's eq. 12, the best plan is the root of dL/dD = 0 on the
budget line, bounds are handled by listing every point that can be optimal, and a float64
search that knows only L and the cost checks them all.

Inputs are numbers or strings that `mpf` takes exactly; results are `mpf`. Every function
works at 50 digits, or at the caller's `mp.dps` where that is higher.
"""

import functools
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from mpmath import mp, mpf

DIGITS = 50


class Law(NamedTuple):
    E: Any  # nats per token
    A: Any
    B: Any
    alpha: Any
    beta: Any


class Demand(NamedTuple):
    input_tokens: Any = 0  # over the model's life
    output_tokens: Any = 0


class Costs(NamedTuple):
    train: Any = 1  # price of one model FLOP
    prefill: Any = 1
    decode: Any = 1


class Bounds(NamedTuple):
    """A minimum of 0 and a maximum of infinity do not bound."""

    min_params: Any = 0
    max_params: Any = math.inf
    min_tokens: Any = 0
    max_tokens: Any = math.inf
    max_tokens_per_param: Any = math.inf


class Solution(NamedTuple):
    """A priced plan; also its derivatives, field by field (`gradient_by_name`)."""

    params: Any
    tokens: Any
    loss: Any
    train_cost: Any
    prefill_cost: Any
    decode_cost: Any

    @property
    def total_cost(self):
        with _working():
            return self.train_cost + self.prefill_cost + self.decode_cost


NO_DEMAND, FLOPS, UNBOUNDED = Demand(), Costs(), Bounds()


# --- Precision and reading ---------------------------------------------------------------


def _working():
    return mp.workdps(max(DIGITS, mp.dps))


def _precise(function: Callable) -> Callable:
    @functools.wraps(function)
    def precise(*args, **kwargs):
        with _working():
            return function(*args, **kwargs)

    return precise


def _exact(value: Any):
    # Zero-dimensional arrays of any library become the Python number they hold.
    return mpf(value.item() if hasattr(value, "item") else value)


def _read(kind: type, source: Any):
    return kind(*(_exact(getattr(source, name)) for name in kind._fields))


def _serving(demand: Demand, costs: Costs):
    """Twice this is the price of serving one parameter for life."""
    return costs.prefill * demand.input_tokens + costs.decode * demand.output_tokens


# --- Roots: a float64 bracket and bisection, then Newton at full precision ----------------


def _bisect(increasing: Callable[[float], float], low: float, high: float) -> float:
    for _ in range(64):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if increasing(middle) < 0 else (low, middle)
    return low


def _newton(step: Callable, start: float):
    """Newton from a float64 root, in a logarithm: the error is squared by each step."""
    u = mpf(start)
    for _ in range(30):
        correction = step(u)
        u -= correction
        if abs(correction) < mpf(10) ** (-0.6 * mp.dps):
            return u
    raise ArithmeticError(f"Newton did not settle from {start}")


def _log_sum(a: float, b: float) -> float:
    return max(a, b) + math.log1p(math.exp(-abs(a - b)))


def _log_power_sum_root(terms: list[tuple], total):
    """Log x where the sum of `coefficient x^-power` equals `total`; all are positive."""
    logs = [(mp.log(coefficient), power) for coefficient, power in terms if coefficient > 0]
    rough = [(float(log), float(power)) for log, power in logs]
    target = float(mp.log(total))

    def shortfall(u: float) -> float:
        values = [log - power * u for log, power in rough]
        return target - functools.reduce(_log_sum, values)

    # Where each term alone makes the total the sum is too large; where none makes more than
    # its equal part of it the sum is too small.
    low = max((log - target) / power for log, power in rough)
    high = max((log - target + math.log(len(rough))) / power for log, power in rough)

    def step(u):
        values = [mp.exp(log - power * u) for log, power in logs]
        slope = sum(power * value for value, (_, power) in zip(values, logs, strict=True))
        return (total - sum(values)) / slope

    return _newton(step, _bisect(shortfall, low, high))


# --- Free problems -----------------------------------------------------------------------


@_precise
def priced(law, params, tokens, demand=NO_DEMAND, costs=FLOPS) -> Solution:
    """Any (N, D) with its loss and its costs."""
    law, demand, costs = _read(Law, law), _read(Demand, demand), _read(Costs, costs)
    params, tokens = _exact(params), _exact(tokens)
    return Solution(
        params,
        tokens,
        law.E + law.A * params**-law.alpha + law.B * tokens**-law.beta,
        6 * params * tokens * costs.train,
        2 * params * demand.input_tokens * costs.prefill,
        2 * params * demand.output_tokens * costs.decode,
    )


@_precise
def cheapest(law, loss, demand=NO_DEMAND, costs=FLOPS) -> Solution:
    """The cheapest plan at `loss`: Sardana et al. 2024, eq. 12, with the prices of eq. 6.

    `0 = (E - l) + (beta B / alpha + B) x^-beta + (Q beta B / (3 alpha)) x^(-beta - 1)`, where
    x = D and Q is the demand with each token weighted by its price over the training price.
    """
    law, demand, costs = _read(Law, law), _read(Demand, demand), _read(Costs, costs)
    reducible = _exact(loss) - law.E
    if not reducible > 0:
        raise ValueError(f"loss must exceed E; got loss={loss}, E={law.E}")
    weighted = _serving(demand, costs) / costs.train
    terms = [
        (law.beta * law.B / law.alpha + law.B, law.beta),
        (weighted * law.beta * law.B / (3 * law.alpha), law.beta + 1),
    ]
    tokens = mp.exp(_log_power_sum_root(terms, reducible))
    # At the root the size term is at least beta / (alpha + beta) of the whole, so this
    # difference loses two digits at most.
    params = (law.A / (reducible - law.B * tokens**-law.beta)) ** (1 / law.alpha)
    return priced(law, params, tokens, demand, costs)


@_precise
def best(law, budget, demand=NO_DEMAND, costs=FLOPS) -> Solution:
    """The plan of least loss among those that cost `budget`.

    On the budget line `N = C / (6 D c + 2 K)`, so dN/dD = -6 c N / (6 D c + 2 K) and dL/dD = 0
    reads `alpha A N^-alpha 6 c / (6 D c + 2 K) = beta B D^(-beta - 1)`. Let w be
    6 c D / (6 c D + 2 K), in (0, 1]. Then d log N / d log D = -w, d log w / d log D = 1 - w,
    and the log of the left side over the right has slope `alpha w + (1 - w) + beta` in
    log D: never below min(1, alpha) + beta, hence one root, also for alpha > 1.
    """
    law, demand, costs = _read(Law, law), _read(Demand, demand), _read(Costs, costs)
    budget, serving = _exact(budget), 2 * _serving(demand, costs)
    training = 6 * costs.train
    constant = mp.log(law.alpha * law.A / (law.beta * law.B)) - law.alpha * mp.log(budget)
    alpha, beta = float(law.alpha), float(law.beta)
    rough = float(constant), float(mp.log(training))
    log_serving = float(mp.log(serving)) if serving > 0 else -math.inf

    def rough_log_ratio(u: float) -> float:
        log_price = _log_sum(rough[1] + u, log_serving)  # of one parameter
        return rough[0] + rough[1] + (alpha - 1) * log_price + (1 + beta) * u

    def step(u):
        training_price = training * mp.exp(u)
        price = training_price + serving
        share = training_price / price
        ratio = constant + law.alpha * mp.log(price) + mp.log(share) + law.beta * u
        return ratio / (law.alpha * share + (1 - share) + law.beta)

    reach = 1 + 1.01 * abs(rough_log_ratio(0.0)) / (min(1.0, alpha) + beta)
    tokens = mp.exp(_newton(step, _bisect(rough_log_ratio, -reach, reach)))
    return priced(law, budget / (training * tokens + serving), tokens, demand, costs)


# --- Bounded problems --------------------------------------------------------------------
#
# Cost and loss are strictly monotone in N and in D. So at an optimum either the target is met
# exactly, and then the plan is the free optimum or lies where the target's curve meets a
# bound; or every way to save (to improve) is blocked by a bound, and then the plan is the
# lowest (highest) corner. All these points are listed, the ones out of bounds are dropped,
# and the best one left wins: no argument about the shape of the objective is needed. Both
# curves go to infinity in the objective at both ends, so no point left means infeasible.


def _slack():
    return mpf(10) ** (-0.8 * mp.dps)


def _within(point: tuple, bounds: Bounds) -> bool:
    params, tokens = point
    more, less = 1 + _slack(), 1 - _slack()
    return (
        bounds.min_params * less <= params <= bounds.max_params * more
        and bounds.min_tokens * less <= tokens <= bounds.max_tokens * more
        and tokens <= bounds.max_tokens_per_param * params * more
    )


def _active(solution: Solution, bounds: Bounds) -> frozenset[str]:
    """The names of the bounds that hold with equality."""
    params, tokens = solution.params, solution.tokens
    values = Bounds(params, params, tokens, tokens, tokens / params)
    pairs = zip(Bounds._fields, values, bounds, strict=True)
    return frozenset(name for name, x, bound in pairs if abs(x - bound) <= _slack() * x)


def _given(*values) -> list:
    return [value for value in values if 0 < value < mp.inf]


def _iso_loss_crossings(law: Law, reducible, bounds: Bounds) -> Iterator[tuple]:
    for params in _given(bounds.min_params, bounds.max_params):
        rest = reducible - law.A * params**-law.alpha
        if rest > 0:
            yield params, (law.B / rest) ** (1 / law.beta)
    for tokens in _given(bounds.min_tokens, bounds.max_tokens):
        rest = reducible - law.B * tokens**-law.beta
        if rest > 0:
            yield (law.A / rest) ** (1 / law.alpha), tokens
    for ratio in _given(bounds.max_tokens_per_param):
        terms = [(law.A, law.alpha), (law.B * ratio**-law.beta, law.beta)]
        params = mp.exp(_log_power_sum_root(terms, reducible))
        yield params, ratio * params


def _budget_crossings(budget, training, serving, bounds: Bounds) -> Iterator[tuple]:
    for params in _given(bounds.min_params, bounds.max_params):
        rest = budget / params - serving
        if rest > 0:
            yield params, rest / training
    for tokens in _given(bounds.min_tokens, bounds.max_tokens):
        yield budget / (training * tokens + serving), tokens
    for ratio in _given(bounds.max_tokens_per_param):
        # training ratio N^2 + serving N = budget, in the form that does not cancel.
        root = mp.sqrt(serving**2 + 4 * training * ratio * budget)
        params = 2 * budget / (serving + root)
        yield params, ratio * params


@_precise
def cheapest_bounded(law, loss, demand=NO_DEMAND, costs=FLOPS, bounds=UNBOUNDED):
    """(the cheapest plan with loss <= `loss`, or None; the names of the active bounds)."""
    law, bounds, loss = _read(Law, law), _read(Bounds, bounds), _exact(loss)
    points = []
    if loss > law.E:
        points = [cheapest(law, loss, demand, costs)[:2]]
        points += _iso_loss_crossings(law, loss - law.E, bounds)
    floor = max(bounds.min_params, bounds.min_tokens / bounds.max_tokens_per_param)
    if floor > 0 and bounds.min_tokens > 0:
        corner = floor, bounds.min_tokens
        points += [corner] if priced(law, *corner).loss <= loss else []
    plans = [priced(law, *p, demand, costs) for p in points if _within(p, bounds)]
    found = min(plans, key=lambda plan: plan.total_cost, default=None)
    return found, _active(found, bounds) if found else frozenset()


@_precise
def best_bounded(law, budget, demand=NO_DEMAND, costs=FLOPS, bounds=UNBOUNDED):
    """(the plan of least loss with cost <= `budget`, or None; the names of the active bounds)."""
    law, bounds, budget = _read(Law, law), _read(Bounds, bounds), _exact(budget)
    demand, costs = _read(Demand, demand), _read(Costs, costs)
    training, serving = 6 * costs.train, 2 * _serving(demand, costs)
    points = [best(law, budget, demand, costs)[:2]]
    points += _budget_crossings(budget, training, serving, bounds)
    ceiling = min(bounds.max_tokens, bounds.max_tokens_per_param * bounds.max_params)
    if bounds.max_params < mp.inf and ceiling < mp.inf:
        corner = bounds.max_params, ceiling
        points += [corner] if priced(law, *corner, demand, costs).total_cost <= budget else []
    plans = [priced(law, *p, demand, costs) for p in points if _within(p, bounds)]
    found = min(plans, key=lambda plan: plan.loss, default=None)
    return found, _active(found, bounds) if found else frozenset()


# --- Brute force: two dimensions, float64, nothing but L and the cost ---------------------

SEARCHED = -25.0, 125.0  # log N and log D: 1e-11 to 2e54
ROUNDING = 1e-12  # of a sum of such logs


def _columns(law, demand, costs):
    """L and the cost of arrays of (log N, log D), in float64."""
    law = Law(*map(float, _read(Law, law)))
    demand, costs = _read(Demand, demand), _read(Costs, costs)
    training, serving = 6 * float(costs.train), 2 * float(_serving(demand, costs))

    def loss(log_params, log_tokens):
        size = law.A * np.exp(-law.alpha * log_params)
        return law.E + size + law.B * np.exp(-law.beta * log_tokens)

    def cost(log_params, log_tokens):
        return np.exp(log_params) * (training * np.exp(log_tokens) + serving)

    return loss, cost


def _log_bounds(bounds) -> Bounds:
    with np.errstate(divide="ignore"):
        return Bounds(*(float(np.log(float(b))) for b in _read(Bounds, bounds)))


def _switch(is_high: Callable, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The two log D, next to each other, between which `is_high` turns true, per column."""
    low, high = np.full_like(columns, SEARCHED[0]), np.full_like(columns, SEARCHED[1])
    for _ in range(60):
        middle = 0.5 * (low + high)
        above = is_high(columns, middle)
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    return low, high


def _zoom(column: Callable, bounds: Bounds) -> tuple[float, float] | None:
    """(N, D) of the least objective; `column` gives each log N its best log D and objective."""
    # If any column is feasible then so is the first of these (for a budget) or the last (for
    # a loss): however narrow, the feasible columns are not missed.
    least = max(bounds.min_params, bounds.min_tokens - bounds.max_tokens_per_param)
    ends = np.clip((least, bounds.max_params), *SEARCHED)
    (low, high), count = ends, 1001
    if low > high:
        return None
    while True:
        log_params = np.linspace(low, high, count)
        log_tokens, objective = column(log_params)
        i = int(np.argmin(objective))
        if not np.isfinite(objective[i]):
            return None
        spacing = (high - low) / (count - 1)
        # Float64 cannot tell neighbours apart below 1e-8: the objective is flat there.
        if spacing < 1e-9:
            return math.exp(log_params[i]), math.exp(log_tokens[i])
        low, high = np.clip((log_params[i] - 2 * spacing, log_params[i] + 2 * spacing), *ends)
        count = 41


def brute_force_cheapest(law, loss, demand=NO_DEMAND, costs=FLOPS, bounds=UNBOUNDED):
    """(N, D) of the cheapest plan with loss <= `loss`, or None; for log N, log D in SEARCHED."""
    loss_at, cost_at = _columns(law, demand, costs)
    limits, loss = _log_bounds(bounds), float(loss)

    def column(n):
        # The least D that will do.
        _, d = _switch(lambda n, d: loss_at(n, d) <= loss, n)
        d = np.maximum(d, limits.min_tokens)
        most = np.minimum(limits.max_tokens, limits.max_tokens_per_param + n)
        allowed = d <= most + ROUNDING
        return d, np.where(allowed & (loss_at(n, d) <= loss), cost_at(n, d), np.inf)

    return _zoom(column, limits)


def brute_force_best(law, budget, demand=NO_DEMAND, costs=FLOPS, bounds=UNBOUNDED):
    """(N, D) of the least loss with cost <= `budget`, or None; for log N, log D in SEARCHED."""
    loss_at, cost_at = _columns(law, demand, costs)
    limits, budget = _log_bounds(bounds), float(budget)

    def column(n):
        # The largest D that can be paid for.
        d, _ = _switch(lambda n, d: cost_at(n, d) > budget, n)
        d = np.minimum(d, np.minimum(limits.max_tokens, limits.max_tokens_per_param + n))
        allowed = d >= limits.min_tokens - ROUNDING
        return d, np.where(allowed & (cost_at(n, d) <= budget), loss_at(n, d), np.inf)

    return _zoom(column, limits)


# --- Derivatives -------------------------------------------------------------------------


def _weights(offsets: range, order: int) -> list:
    """Of the finite difference that is exact for powers below len(offsets)."""
    powers = mp.matrix([[mpf(k) ** i for k in offsets] for i in range(len(offsets))])
    right = mp.matrix([mp.factorial(order) if i == order else 0 for i in range(len(offsets))])
    return list(mp.lu_solve(powers, right))


def derivative(f: Callable, x, order: int = 1, scale=None):
    """The derivative of `f`, which gives an mpf or a Solution, to 20 digits or more.

    `scale` is the change of x that matters to f (default |x|, or 1 at 0). Differences are
    central; from 0 <= x to which a central step would go below 0, they are forward.
    """
    with mp.workdps(2 * DIGITS):
        x = _exact(x)
        scale = abs(x) or mpf(1) if scale is None else _exact(scale)
        half = (order + 1) // 2
        # The error of the formula, step^2, against that of rounding, 10^-dps / step^order.
        offsets, step = range(-half, half + 1), scale * mpf(10) ** (-mp.dps / (order + 2))
        if 0 <= x < half * step:
            # Five more points than needed: step^5.
            offsets, step = range(order + 5), scale * mpf(10) ** (-mp.dps / (order + 5))
        weights = _weights(offsets, order)
        values = [f(x + k * step) for k in offsets]

        def combine(column):
            products = (w * value for w, value in zip(weights, column, strict=True))
            return sum(products) / step**order

        if isinstance(values[0], Solution):
            return Solution(*map(combine, zip(*values, strict=True)))
        return combine(values)


def solve_row(problem: Callable, inputs: dict, target: str = "loss"):
    """`problem(law, target, demand, costs)` at a flat dict of named inputs."""
    law, demand, costs = (
        kind(*(inputs[name] for name in kind._fields)) for kind in (Law, Demand, Costs)
    )
    return problem(law, inputs[target], demand, costs)


_PARTNER = {"input_tokens": "prefill", "output_tokens": "decode"}
_PARTNER |= {price: tokens for tokens, price in _PARTNER.items()}


def _natural_scale(problem, inputs: dict, name: str, target: str):
    with _working():
        value = abs(_exact(inputs[name]))
        if name == "E" and target == "loss":
            return _exact(inputs["loss"]) - value
        if name in _PARTNER and inputs[_PARTNER[name]]:
            # The demand or price at which serving costs what training does.
            training = solve_row(problem, inputs, target).tokens * _exact(inputs["train"])
            return max(value, training / _exact(inputs[_PARTNER[name]]))
        return value or mpf(1)


def gradient_by_name(
    problem: Callable, inputs: dict, name: str, target: str = "loss", order: int = 1
) -> Solution:
    """The derivative of every field of a plan by the input called `name`.

    `problem` is `cheapest` (target "loss"), `best` (target "budget") or alike; `inputs` has
    the fields of Law, Demand and Costs and the target. Holds at demand and prices of 0.
    """
    scale = _natural_scale(problem, inputs, name, target)
    return derivative(
        lambda x: solve_row(problem, inputs | {name: x}, target), inputs[name], order, scale
    )


# --- Random scenarios over the domain for which accuracy is promised ----------------------


def _log_uniform(rng: np.random.Generator, low: float, high: float, count: int) -> np.ndarray:
    return np.exp(rng.uniform(math.log(low), math.log(high), count))


def _draw(rng, count: int, exponents, coefficients, reducible, demand, prices) -> dict:
    train = _log_uniform(rng, *prices, count)
    nothing = rng.random(count) < 0.1
    return {
        "E": rng.uniform(0, 3, count) * (rng.random(count) >= 0.2),
        "A": _log_uniform(rng, *coefficients, count),
        "B": _log_uniform(rng, *coefficients, count),
        "alpha": _log_uniform(rng, *exponents, count),
        "beta": _log_uniform(rng, *exponents, count),
        "reducible": _log_uniform(rng, *reducible, count),
        "input_tokens": np.where(nothing, 0, _log_uniform(rng, *demand, count)),
        "output_tokens": np.where(nothing, 0, _log_uniform(rng, *demand, count)),
        "train": train,
        "prefill": train * _log_uniform(rng, 1e-3, 1e3, count),
        "decode": train * _log_uniform(rng, 1e-3, 1e3, count),
    }


def random_scenarios(
    rng: np.random.Generator,
    count: int,
    dtype: Any = np.float64,
    *,
    exponents=(0.02, 2.0),
    coefficients=(1e-3, 1e6),
    reducible=(1e-9, 1e3),
    demand=(1e0, 1e30),
    prices=(1e-20, 1e2),
) -> dict[str, np.ndarray]:
    """Log-uniform inputs as rounded to `dtype`, with `loss` = E + reducible in that dtype.

    E is 0 in at least a fifth, the demand 0 in a tenth. Rows whose loss rounds to E are
    drawn again; `reducible` is then what `loss - E` is.
    """
    kept: list[dict] = []
    while sum(len(part["E"]) for part in kept) < count:
        raw = _draw(rng, count, exponents, coefficients, reducible, demand, prices)
        part = {name: values.astype(dtype) for name, values in raw.items()}
        part["loss"] = part["E"] + part["reducible"]
        part["reducible"] = part["loss"] - part["E"]
        kept.append({name: values[part["reducible"] > 0] for name, values in part.items()})
    return {name: np.concatenate([part[name] for part in kept])[:count] for name in kept[0]}


def rows(draws: dict[str, np.ndarray]) -> Iterator[dict[str, float]]:
    """One dict of Python floats a scenario, as `solve_row` takes."""
    for values in zip(*draws.values(), strict=True):
        yield {name: value.item() for name, value in zip(draws, values, strict=True)}


def random_budgets(scenarios: dict[str, np.ndarray]) -> np.ndarray:
    """What the cheapest plans cost, in the scenarios' dtype; inf or 0 where it cannot hold that.

    Rounding moves the budget, so the budget problem has to be solved again at it.
    """
    costs = [float(solve_row(cheapest, row).total_cost) for row in rows(scenarios)]
    with np.errstate(over="ignore", under="ignore"):
        return np.array(costs, np.float64).astype(scenarios["E"].dtype)


def in_normal_range(dtype: Any, *values) -> bool:
    """Whether `dtype` holds every value to full precision."""
    info = np.finfo(dtype)
    return all(info.tiny.item() <= abs(value) <= info.max.item() for value in values)


def error_bound(dtype_eps, log_x, coef, reducible, exponent):
    """The relative error that is promised for X: N (coef A, exponent alpha) or D (B, beta).

    `log_x` is log X and `reducible` is the plan's loss less E.
    """
    inherited = (1 + abs(np.log(coef / reducible))) / exponent
    return 2 * dtype_eps * (1 + abs(log_x) + inherited)


# --- Random scenarios of practical size, for the brute force ------------------------------


def _near_a_practical_plan(rng: np.random.Generator) -> dict[str, float]:
    alpha, beta = rng.uniform(0.15, 0.8, 2)
    (params,), (tokens,) = _log_uniform(rng, 1e7, 1e13, 1), _log_uniform(rng, 1e8, 1e15, 1)
    size, data = _log_uniform(rng, 0.02, 2.0, 2)
    demand = _log_uniform(rng, 1e8, 1e14, 2) * (rng.random() >= 0.1)
    prices = 1e-18 * _log_uniform(rng, 0.1, 10.0, 3)
    E = rng.uniform(0, 2)
    law = Law(E, size * params**alpha, data * tokens**beta, alpha, beta)
    row = law._asdict() | {"loss": E + size + data}
    row |= Demand(*demand)._asdict() | Costs(*prices)._asdict()
    return {name: float(value) for name, value in row.items()}


def moderate_scenario(rng: np.random.Generator) -> dict[str, float]:
    """A row, as `solve_row` takes, whose optimum has 1e7..1e13 params and 1e8..1e15 tokens."""
    while True:
        row = _near_a_practical_plan(rng)
        plan = solve_row(cheapest, row)
        if 1e7 <= plan.params <= 1e13 and 1e8 <= plan.tokens <= 1e15:
            return row


def random_bounds(rng: np.random.Generator, near: Solution, chance: float = 0.5) -> Bounds:
    """Bounds within a factor e of a plan, each present with the given chance."""
    params, tokens = float(near.params), float(near.tokens)
    values = np.array([params, params, tokens, tokens, tokens / params])
    values *= np.exp(rng.uniform(-1, 1, 5))
    present = rng.random(5) < chance
    return Bounds(*(float(x) for x in np.where(present, values, UNBOUNDED)))
