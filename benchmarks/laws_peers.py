"""Peers of `laws`: what a user would otherwise write for a law without a closed solution.

A loop over SciPy's SLSQP, in logarithms of sizes and of the cost, where the problem is nearly a
straight one. And golden section in NumPy, over all scenarios at once: along a curve of equal
loss all three laws here give both sizes in closed form, by the logit of the share that the
term of size has in the reducible loss. A chosen lever is another golden section around it.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from benchmarks.laws_problem import MUENNIGHOFF, ONLY_LOSS, OVER_VOCABULARY, cases
from benchmarks.laws_truth import Answer
from benchmarks.peers import NUMPY_BLOCK

# --- SLSQP -----------------------------------------------------------------------------------

# Of the logarithm of the cost. With the default, 1e-6, sizes are off by 1e-3; with 1e-12 it takes a
# fifth longer, and at last says of some scenarios that it found no way down.
PRECISION = 1e-10


class Scalars(NamedTuple):
    """A problem in logarithms of params, tokens and any lever."""

    log_cost: Callable  # of the logarithms and a demand
    log_reducible: Callable  # of the logarithms: of the loss above `floor`
    floor: float
    start: tuple[float, ...]
    lever: str = ""


def slsqp(given: Scalars, loss: np.ndarray, demand: np.ndarray) -> Answer:
    """A Python loop over `scipy.optimize.minimize`, derivatives by its own differences."""
    from scipy.optimize import minimize

    found = [
        _one(minimize, given, *each) for each in zip(loss.tolist(), demand.tolist(), strict=True)
    ]
    columns = np.exp(np.transpose(found))
    levers = {given.lever: columns[2]} if given.lever else {}
    return Answer(columns[0], columns[1], levers)


def _one(minimize, given, loss, demand):
    log_target = math.log(loss - given.floor)
    met = {"type": "ineq", "fun": lambda logs: log_target - given.log_reducible(*logs)}
    done = minimize(
        lambda logs: given.log_cost(*logs, demand), given.start, method="SLSQP", constraints=met,
        options={"ftol": PRECISION, "maxiter": 200},
    )  # fmt: skip
    return done.x if done.success else np.full(len(given.start), np.nan)


def chinchilla_scalars() -> Scalars:
    E, A, B, alpha, beta = _coefficients(ONLY_LOSS, "E", "A", "B", "alpha", "beta")

    def log_reducible(x, y):
        return math.log(A * math.exp(-alpha * x) + B * math.exp(-beta * y))

    return Scalars(_log_cost, log_reducible, E, (math.log(1e9), math.log(1e11)))


def muennighoff_scalars() -> Scalars:
    E, A, B, alpha, beta, R_D, R_N = _coefficients(
        MUENNIGHOFF, "E", "A", "B", "alpha", "beta", "R_D", "R_N"
    )
    unique = cases()[MUENNIGHOFF].fixed["unique_tokens"]
    G = (alpha * A / (beta * B)) ** (1 / (alpha + beta))

    def effective(seen, first, scale):
        return first * (1 - scale * math.expm1((1 - seen / first) / scale))

    def log_reducible(x, y):
        params, tokens = math.exp(x), math.exp(y)
        new = min(unique, tokens)
        fitting = min(G * (G * new) ** (beta / alpha), params)
        size = A * effective(params, fitting, R_N) ** -alpha
        return math.log(size + B * effective(tokens, new, R_D) ** -beta)

    return Scalars(_log_cost, log_reducible, E, (math.log(1e9), math.log(unique)))


def vocabulary_scalars() -> Scalars:
    E, A1, A2, B, alpha1, alpha2, beta = _vocabulary_coefficients()

    def log_cost(x, y, v, demand):
        return math.log(6 * (math.exp(x) + math.exp(v))) + math.log(math.exp(y) + demand / 3)

    def log_reducible(x, y, v):
        size = A1 * math.exp(-alpha1 * x) + A2 * math.exp(-alpha2 * v)
        return math.log(size + B * math.exp(-beta * y))

    start = math.log(1e8), math.log(1e10), math.log(1e7)
    return Scalars(log_cost, log_reducible, -E, start, "vocabulary_params")


def _log_cost(x, y, demand):
    return x + math.log(6 * math.exp(y) + 2 * demand)


def _coefficients(case, *names):
    law = cases()[case].law
    return tuple(float(getattr(law, name)) for name in names)


def _vocabulary_coefficients():
    """Of Tao et al. 2024, for plain counts: the paper's are of millions and of 1e9 tokens."""
    E, A1, A2, B, alpha1, alpha2, beta = _coefficients(
        OVER_VOCABULARY, "E", "A1", "A2", "B", "alpha1", "alpha2", "beta"
    )
    return E, A1 * 1e6**alpha1, A2 * 1e6**alpha2, B * 1e9**beta, alpha1, alpha2, beta


# --- Golden section --------------------------------------------------------------------------

# Closer than this to the minimum the cost differs by 1e-14, which is rounding.
WIDTH = 1e-7
LOGITS = -4.0, 8.0  # a share of 2 % of the reducible loss to all but 0.03 %
CUT = 0.5 * (5**0.5 - 1)


def golden_section(value: Callable, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Where `value` is lowest between two ends, in each lane."""
    low, high = low.copy(), high.copy()
    steps = math.ceil(math.log(WIDTH / float(np.max(high - low))) / math.log(CUT))
    best = low + CUT * (high - low)
    least = value(best)
    for _ in range(steps):
        # The mirror image of a golden cut is the other golden cut.
        other = low + high - best
        found = value(other)
        better = found < least
        worse = np.where(better, best, other)
        np.copyto(best, other, where=better)
        np.copyto(least, found, where=better)
        above = worse > best
        np.copyto(high, worse, where=above)
        np.copyto(low, worse, where=~above)
    return best


def in_blocks(solve: Callable, loss: np.ndarray, demand: np.ndarray) -> Answer:
    """A solver of arrays on as many scenarios at a time as stay in the cache, one thread."""
    parts = []
    with np.errstate(over="ignore", divide="ignore"):
        for at in range(0, len(loss), NUMPY_BLOCK):
            here = slice(at, at + NUMPY_BLOCK)
            parts.append(solve(loss[here], demand[here]))
    params, tokens = (np.concatenate([part[i] for part in parts]) for i in (0, 1))
    levers = {name: np.concatenate([p.levers[name] for p in parts]) for name in parts[0].levers}
    return Answer(params, tokens, levers)


def chinchilla_golden(loss: np.ndarray, demand: np.ndarray) -> Answer:
    E, A, B, alpha, beta = _coefficients(ONLY_LOSS, "E", "A", "B", "alpha", "beta")
    sizes = _two_powers(loss - E, A, B, alpha, beta)
    served = demand / 3

    def cost(logit):
        params, tokens = sizes(logit)
        return params * (tokens + served)

    return Answer(*sizes(golden_section(cost, *_ends(loss))), {})


def muennighoff_golden(loss: np.ndarray, demand: np.ndarray) -> Answer:
    E, A, B, alpha, beta, R_D, R_N = _coefficients(
        MUENNIGHOFF, "E", "A", "B", "alpha", "beta", "R_D", "R_N"
    )
    unique = cases()[MUENNIGHOFF].fixed["unique_tokens"]
    G = (alpha * A / (beta * B)) ** (1 / (alpha + beta))
    effective = _two_powers(loss - E, A, B, alpha, beta)
    served = demand / 3

    def fitting(new):
        return G * (G * new) ** (beta / alpha)

    def sizes(logit):
        params, tokens = effective(logit)
        new = np.minimum(tokens, unique)
        first = np.minimum(params, fitting(new))
        return _seen(params, first, R_N), _seen(tokens, new, R_D)

    def cost(logit):
        params, tokens = sizes(logit)
        return params * (tokens + served)

    # Where all repeats, or all excess params, would be spent: neither size is finite beyond.
    low, high = _ends(loss)
    data = B * (unique * (1 + R_D)) ** -beta / (loss - E)
    size = A * (fitting(unique) * (1 + R_N)) ** -alpha / (loss - E)
    low = np.maximum(low, -np.log(1 / size - 1))
    low = np.maximum(low, math.log(beta / alpha) - alpha * math.log(1 + R_N))
    return Answer(*sizes(golden_section(cost, low, np.minimum(high, np.log(1 / data - 1)))), {})


def _seen(effective, first, scale):
    """The size that is worth `effective`, of which `first` counts in full."""
    spent = np.minimum((effective / first - 1) / scale, 1)
    return first * (1 - scale * np.log(1 - spent))


def vocabulary_golden(loss: np.ndarray, demand: np.ndarray) -> Answer:
    E, A1, A2, B, alpha1, alpha2, beta = _vocabulary_coefficients()
    served, (low, high) = demand / 3, _ends(loss)

    def at_best(log_vocabulary):
        words = np.exp(log_vocabulary)
        reducible = loss + E - A2 * np.exp(-alpha2 * log_vocabulary)
        sizes = _two_powers(reducible, A1, B, alpha1, beta)

        def cost(logit):
            params, tokens = sizes(logit)
            return (params + words) * (tokens + served)

        logit = golden_section(cost, low, high)
        return (*sizes(logit), cost(logit))

    # The vocabulary whose term alone is the whole reducible loss.
    least = np.log(A2 / (loss + E)) / alpha2
    top = math.log(cases()[OVER_VOCABULARY].law.levers["vocabulary_params"][1])
    best = golden_section(lambda v: at_best(v)[2], least, np.full_like(loss, top))
    params, tokens, _ = at_best(best)
    return Answer(params, tokens, {"vocabulary_params": np.exp(best)})


def _ends(like):
    return tuple(np.full_like(like, end) for end in LOGITS)


def _two_powers(reducible, A, B, alpha, beta):
    """Both sizes at a logit of the share `A / N^alpha` of the reducible loss."""
    log_params = np.log(A / reducible) / alpha
    log_tokens = np.log(B / reducible) / beta

    def sizes(logit):
        rest = np.log(1 + np.exp(-logit))
        return np.exp(log_params + rest / alpha), np.exp(log_tokens + (rest + logit) / beta)

    return sizes
