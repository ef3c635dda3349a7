"""Starts for fits of the Chinchilla law: a grid over its exponents, and Hoffmann's grid.

Coordinates are (ln E, ln A, ln B, alpha, beta), along the first axis.
"""

import itertools

import numpy as np

# Of each exponent: all published ones lie well inside. Nearer to 0 a term is a constant like E.
LEAST_EXPONENT, MOST_EXPONENT, EXPONENTS = 0.06, 1.5, 16
LEAST_SHARE = 1e-3  # of the loss that each term begins with

# Which of three terms are present, the fullest first.
SUBSETS = np.array([s for s in itertools.product([1.0, 0.0], repeat=3) if any(s)])


def hoffmann_starts() -> np.ndarray:
    """The 4,500 starts of Hoffmann et al. 2022, D.2."""
    scales, rest, exponents = (
        np.arange(0, 26, 5.0),
        np.arange(-1, 1.25, 0.5),
        np.arange(0, 2.25, 0.5),
    )
    grid = itertools.product(rest, scales, scales, exponents, exponents)
    return np.array(list(grid)).T


def linear_starts(
    log_params: np.ndarray,
    log_tokens: np.ndarray,
    log_loss: np.ndarray,
    weights: np.ndarray,
    exponents: int = EXPONENTS,
) -> np.ndarray:
    """For each pair of exponents the E, A and B that fit best, by non-negative least squares.

    For given exponents the law is linear in the three; relative errors are squared, which is
    near enough to residuals of logarithms.
    """
    each = np.geomspace(LEAST_EXPONENT, MOST_EXPONENT, exponents)
    alpha, beta = (x.ravel() for x in np.meshgrid(each, each))
    loss = np.exp(log_loss)
    terms = np.stack(
        [
            np.ones((alpha.size, loss.size)),
            np.exp(-alpha[:, None] * log_params),
            np.exp(-beta[:, None] * log_tokens),
        ],
        axis=1,
    )
    scale = terms.max(axis=2)  # uncentred sizes make terms of 1e-12
    relative = terms / scale[:, :, None] / loss
    gram = np.einsum("sin,sjn,n->sij", relative, relative, weights)
    found = np.maximum(_nonnegative(gram, relative @ weights), LEAST_SHARE * loss.min())
    logs = np.log(found / scale)
    return np.stack([*logs.T, alpha, beta])


def _nonnegative(gram: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Least squares with each unknown 0 or more: of all subsets of three, the best allowed."""
    ridge = 1e-12 * np.trace(gram, axis1=1, axis2=2)[:, None, None] * np.eye(3)
    best, least = np.zeros_like(target), np.full(len(target), np.inf)
    for subset in SUBSETS:
        chosen = (gram + ridge) * subset[:, None] * subset + np.diag(1 - subset)
        found = np.linalg.solve(chosen, (target * subset)[..., None])[..., 0]
        error = np.einsum("si,sij,sj->s", found, gram, found) - 2 * (found * target).sum(axis=1)
        better = (found >= 0).all(axis=1) & (error < least)
        best, least = np.where(better[:, None], found, best), np.where(better, error, least)
    return best
