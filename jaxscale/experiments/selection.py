"""Gains of further runs, and the choice of several, by rank-one updates of a covariance.

A run whose loss has the derivatives j and the variance s2 changes the covariance S of the
coordinates to `S - S j j^T S / (s2 + j^T S j)`. Its gain is what that takes from a variance:

| method | gain |
| --- | --- |
| `"V"` | `sum_t (g_t^T S j)^2 / (s2 + j^T S j)`: from the variances of all goals together |
| `"c"` | the same of one goal |
| `"D"` | `ln(1 + j^T S j / s2)`: from ln det S, of all coefficients alike |

All goals enter as one matrix `K = sum_t g_t g_t^T`, so a hundred cost what one does. Arrays are
those of one law, or of several with a leading axis: gains are then averaged over the laws.

Sources: Chaloner and Verdinelli 1995, for the criteria; Li et al. 2026, arXiv 2604.22753, for the
cost to a power.
"""

from typing import Any, Literal, NamedTuple

import numpy as np

Method = Literal["V", "c", "D"]
METHODS = ("V", "c", "D")
MOST_PICKS = 1000
MOST_SWAPS = 3  # passes over all chosen runs
CHEAPEST_FIRST = 1.0  # the power
BETTER = 1e-9  # by this share, or a swap is not worth its rounding


class Selection(NamedTuple):
    """Chosen runs in their order: numbers of candidates, and the gain of each when chosen."""

    indices: np.ndarray
    gains: np.ndarray


def gains(
    covariance: np.ndarray,
    jacobian: np.ndarray,
    variance: Any,
    goals: np.ndarray | None = None,
    method: Method = "V",
) -> np.ndarray:
    """The gain of each candidate as the next run, in the squared unit of the goals.

    Args:
        covariance: of the coordinates, of shape (..., coordinates, coordinates).
        jacobian: derivatives of each candidate's ln loss: (..., candidates, coordinates).
        variance: of the ln loss of one run; of each candidate where they differ.
        goals: derivatives of each goal: (..., goals, coordinates); "D" needs none.
        method: "V", "c" or "D".

    Examples:
        >>> law = js.laws.published("besiroglu2024")
        >>> slopes = js.fitting.jacobian(law, [1e9, 1e10], [2e10, 2e11])
        >>> js.experiments.gains(0.01 * np.eye(5), slopes, 0.005**2, method="D").round(2)
        array([9.  , 7.97])
    """
    _check(method, goals)
    return _gains(covariance, jacobian, variance, _kernel(goals, method))


def updated(covariance: np.ndarray, slopes: np.ndarray, variance: Any) -> np.ndarray:
    """The covariance after one more run, whose derivatives are `slopes`.

    Examples:
        >>> after = js.experiments.updated(np.eye(2), np.array([1.0, 0.0]), variance=1.0)
        >>> print(after)
        [[0.5 0. ]
         [0.  1. ]]
    """
    moved = np.einsum("...ij,...j->...i", covariance, slopes)
    spread = variance + np.einsum("...i,...i->...", slopes, moved)
    return (
        covariance - moved[..., :, None] * moved[..., None, :] / np.asarray(spread)[..., None, None]
    )


def greedy(
    covariance: np.ndarray,
    jacobian: np.ndarray,
    variance: Any,
    goals: np.ndarray | None,
    costs: np.ndarray,
    *,
    power: float = 0.4,
    count: int | None = None,
    budget: float | None = None,
    cap: int = 2,
    method: Method = "V",
) -> Selection:
    """Runs chosen one after another by the largest `gain / cost^power`.

    It ends after `count` runs, and where no candidate is left that the rest of the budget allows
    and that gains anything. Candidates whose numbers are not finite are never chosen.

    Args:
        covariance: of the coordinates, as of `gains`.
        jacobian: of the candidates, as of `gains`.
        variance: of one run, as of `gains`.
        goals: derivatives of each goal, as of `gains`.
        costs: of each candidate, above 0.
        power: of the cost in the score: 0 for the most information, 1 for the most per cost.
        count: the most runs to choose; without, as many as the budget allows.
        budget: what all chosen runs may cost together; no limit by default.
        cap: how often one candidate may be chosen.
        method: "V", "c" or "D".

    Raises:
        ValueError: there is neither a count nor a budget, or an argument is out of range.

    Examples:
        >>> law = js.laws.published("besiroglu2024")
        >>> slopes = js.fitting.jacobian(law, [1e9, 1e10], [2e10, 2e11])
        >>> covariance, costs = 0.01 * np.eye(5), np.array([1.2e20, 1.2e22])
        >>> chosen = js.experiments.greedy(
        ...     covariance, slopes, 0.005**2, None, costs, count=3, method="D"
        ... )
        >>> print(chosen.indices)
        [0 0 1]
    """
    if count is None and budget is None:
        raise ValueError("give a count of runs, a budget, or both")
    problem = _problem(covariance, jacobian, variance, goals, costs, power, budget, cap, method)
    return _ordered(problem, _extended(problem, [], power, _most(count)), power)


def within_budget(
    covariance: np.ndarray,
    jacobian: np.ndarray,
    variance: Any,
    goals: np.ndarray | None,
    costs: np.ndarray,
    *,
    budget: float,
    power: float = 0.4,
    count: int | None = None,
    cap: int = 2,
    method: Method = "V",
) -> Selection:
    """The set of runs of the largest gain for a budget, whatever part of it they cost.

    Of the runs of `greedy`, of those chosen by gain over cost, and of those that begin with the
    most telling run that the budget allows, each improved by swaps of one run for another, the set
    of the largest gain, in the order of `greedy`. Arguments and errors are those of `greedy`.

    Examples:
        >>> law = js.laws.published("besiroglu2024")
        >>> slopes = js.fitting.jacobian(law, [1e9, 1e10], [2e10, 2e11])
        >>> covariance, costs = 0.01 * np.eye(5), np.array([1.2e20, 1.2e22])
        >>> chosen = js.experiments.within_budget(
        ...     covariance, slopes, 0.005**2, None, costs, budget=1.3e22, method="D"
        ... )
        >>> print(chosen.indices)
        [0 0 1]
    """
    problem = _problem(covariance, jacobian, variance, goals, costs, power, budget, cap, method)
    most = _most(count)
    starts = ([], power), ([], CHEAPEST_FIRST), (_most_telling(problem), power)
    sets = [_extended(problem, start, exponent, most) for start, exponent in starts]
    improved = [_extended(problem, _swapped(problem, each), power, most) for each in sets]
    selections = [_ordered(problem, each, power) for each in improved]
    return max(selections, key=lambda each: float(each.gains.sum()))


def _most(count: int | None) -> int:
    return min(MOST_PICKS if count is None else count, MOST_PICKS)


def _problem(
    covariance: np.ndarray,
    jacobian: np.ndarray,
    variance: Any,
    goals: np.ndarray | None,
    costs: np.ndarray,
    power: float,
    budget: float | None,
    cap: int,
    method: Method,
) -> "_Problem":
    _check(method, goals)
    if not power >= 0:
        raise ValueError(f"power must be 0 or more; got {power!r}")
    if isinstance(cap, bool) or not isinstance(cap, int) or cap < 1:
        raise ValueError(f"cap must be a whole number, at least 1; got {cap!r}")
    if budget is not None and not budget > 0:
        raise ValueError(f"budget must be above 0; got {budget!r}")
    return _Problem(covariance, jacobian, variance, _kernel(goals, method), costs, cap, budget)


class _Problem(NamedTuple):
    covariance: np.ndarray
    jacobian: np.ndarray
    variance: Any
    kernel: np.ndarray | None
    costs: np.ndarray
    cap: int
    budget: float | None

    def after(self, chosen: list[int]) -> np.ndarray:
        covariance = self.covariance
        for index in chosen:
            variance = self.variance_of(index)
            covariance = updated(covariance, self.jacobian[..., index, :], variance)
        return covariance

    def variance_of(self, index: int) -> Any:
        return np.broadcast_to(self.variance, self.costs.shape)[index]

    def gains(self, covariance: np.ndarray) -> np.ndarray:
        """Gains averaged over the laws; less than nothing where a number is not finite."""
        found = _gains(covariance, self.jacobian, self.variance, self.kernel)
        if found.ndim > 1:
            found = found.mean(axis=0)
        return np.where(np.isfinite(found) & (self.costs > 0), found, -np.inf)

    def allowed(self, chosen: list[int], spent: float) -> np.ndarray:
        counts = np.bincount(chosen, minlength=len(self.costs)) if chosen else 0
        inside = np.full(len(self.costs), True) & (counts < self.cap)
        # The last digit of a sum may not cost a run that exactly fits.
        return (
            inside
            if self.budget is None
            else inside & (spent + self.costs <= self.budget * (1 + BETTER))
        )


def _extended(problem: _Problem, chosen: list[int], power: float, most: int) -> list[int]:
    """The chosen runs, and further ones while they gain."""
    chosen = list(chosen)
    covariance, spent = problem.after(chosen), float(problem.costs[chosen].sum())
    while len(chosen) < most:
        found = problem.gains(covariance)
        open_ = problem.allowed(chosen, spent) & (found > 0)
        if not open_.any():
            break
        score = np.where(open_, found / _powers(problem.costs, power), -np.inf)
        best = int(np.argmax(score))
        chosen.append(best)
        covariance = updated(covariance, problem.jacobian[..., best, :], problem.variance_of(best))
        spent += float(problem.costs[best])
    return chosen


def _most_telling(problem: _Problem) -> list[int]:
    """The run of the largest gain that the budget allows; none where it allows none."""
    found = problem.gains(problem.covariance)
    found = np.where(problem.allowed([], 0.0), found, -np.inf)
    best = int(np.argmax(found))
    return [best] if found[best] > 0 else []


def _powers(costs: np.ndarray, power: float) -> np.ndarray:
    largest = costs.max()
    with np.errstate(divide="ignore", invalid="ignore"):
        return (costs / largest) ** power  # of 1e24 FLOPs to any power


def _swapped(problem: _Problem, chosen: list[int]) -> list[int]:
    """The chosen runs after swaps of one for another that gain more within the budget."""
    chosen = list(chosen)
    for _ in range(MOST_SWAPS):
        before = list(chosen)
        for at in range(len(chosen)):
            others = chosen[:at] + chosen[at + 1 :]
            found = problem.gains(problem.after(others))
            allowed = problem.allowed(others, float(problem.costs[others].sum()))
            found = np.where(allowed, found, -np.inf)
            best = int(np.argmax(found))
            if found[best] > found[chosen[at]] * (1 + BETTER):
                chosen[at] = best
        if chosen == before:
            break
    return chosen


def _ordered(problem: _Problem, chosen: list[int], power: float) -> Selection:
    """The same runs, the best score first, with the gain of each after those before it."""
    left, order, found = list(chosen), [], []
    covariance = problem.covariance
    powers = _powers(problem.costs, power)
    while left:
        gain = problem.gains(covariance)
        best = max(left, key=lambda index: gain[index] / powers[index])
        left.remove(best)
        order.append(best)
        found.append(gain[best])
        covariance = updated(covariance, problem.jacobian[..., best, :], problem.variance_of(best))
    return Selection(np.array(order, int), np.array(found, float))


def _gains(
    covariance: np.ndarray, jacobian: np.ndarray, variance: Any, kernel: np.ndarray | None
) -> np.ndarray:
    moved = jacobian @ covariance
    spread = np.sum(moved * jacobian, axis=-1)
    if kernel is None:
        return np.log1p(spread / variance)
    return np.sum((moved @ kernel) * moved, axis=-1) / (variance + spread)


def _kernel(goals: np.ndarray | None, method: Method) -> np.ndarray | None:
    if method == "D" or goals is None:
        return None
    return np.swapaxes(goals, -1, -2) @ goals


def _check(method: Any, goals: np.ndarray | None) -> None:
    if method not in METHODS:
        raise ValueError(f"method must be 'V', 'c' or 'D'; got {method!r}")
    if method != "D" and goals is None:
        raise ValueError(f"method {method!r} needs goals")
    if method == "c" and goals is not None and goals.shape[-2] != 1:
        raise ValueError(f"method 'c' takes one goal; got {goals.shape[-2]}: use 'V' for several")
