"""How much further resamples of few units must spread than they do."""

import math
from statistics import NormalDist


def widening(units: int, coefficients: int, level: float) -> float:
    """`sqrt(n / (n - p))`, times Student's t over a normal quantile with n - p degrees of freedom.

    Residuals about p fitted coefficients are too small by the root, and an error that is estimated
    by few of them has the tails of t. Infinite unless n is above p.

    Source: Cameron and Miller 2015, "A practitioner's guide to cluster-robust inference", VI.
    """
    freedom = units - coefficients
    if freedom < 1:
        return math.inf
    tail = (1 + level) / 2
    return math.sqrt(units / freedom) * student(tail, freedom) / NormalDist().inv_cdf(tail)


def student(tail: float, freedom: int) -> float:
    """The quantile of Student's t, within 1e-9 of it: bisection of its distribution."""
    low, high = 0.0, 1.0
    while _below(high, freedom) < tail:
        high *= 2
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if _below(middle, freedom) < tail else (low, middle)
    return (low + high) / 2


def _below(t: float, freedom: int) -> float:
    """The distribution of Student's t at t >= 0, of whole degrees of freedom.

    Source: Abramowitz and Stegun 1964, 26.7.3 and 26.7.4.
    """
    angle = math.atan2(t, math.sqrt(freedom))
    cosine = math.cos(angle)
    odd = freedom % 2
    term, total = (cosine, 0.0) if odd else (1.0, 0.0)
    for j in range(2 + odd, freedom + 1, 2):
        total += term
        term *= cosine**2 * (j - 1) / j
    if odd:
        return 0.5 + (angle + math.sin(angle) * total) / math.pi
    return 0.5 + math.sin(angle) * total / 2
