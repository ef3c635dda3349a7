"""The interface between fits and families: coordinates, residuals, objective and derivatives.

There are two kernels: `model` differentiates any law automatically, and `chinchilla_kernel` has the
derivatives of the Chinchilla law by hand. `model.kernel_of` chooses; nothing else asks which it is.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol, TypeAlias

import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxscale.fitting.turns import Turn

# Arrays of JAX inside a compiled program and of NumPy outside, which share no type.
Numbers: TypeAlias = Any


class Prior(NamedTuple):
    """A quadratic added to the objective: half of `precision (coordinate - mean)^2`."""

    mean: Numbers  # coordinates
    precision: Numbers


class Point(NamedTuple):
    """The objective about one point in each lane; lanes are the last axis of all fields."""

    value: Numbers
    gradient: Numbers  # coordinates
    hessian: Numbers  # coordinates, coordinates
    diagonal: Numbers  # of the Gauss-Newton matrix: what a step is measured by
    energy: Numbers  # sum of weight, slope and residual: no gradient is larger than its root allows


class Columns(NamedTuple):
    """The runs as columns of one length, padded."""

    log_params: np.ndarray
    log_tokens: np.ndarray
    target: np.ndarray  # the loss, or its logarithm
    levers: dict[str, np.ndarray]


class Centred(NamedTuple):
    """The columns as a search reads them, its kernel, and the turn to the law's coordinates."""

    kernel: "Kernel"
    columns: Columns
    turn: Turn | None  # None where they are the search's


class Kernel(Protocol):
    """One family as a fit sees it. Hashable: programs are compiled for each.

    A coordinate is the logarithm of a coefficient that is `positive`, and any other coefficient as
    it is. `target` is a field of the rows of every kernel; where a kernel is called with lanes, it
    may have a row for each of them.
    """

    @property
    def law(self) -> type: ...

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the coordinates, in the order of the law's fields."""
        ...

    @property
    def positive(self) -> tuple[bool, ...]: ...

    @property
    def logarithm(self) -> bool:
        """Whether residuals are of logarithms of losses."""
        ...

    @property
    def ends(self) -> tuple[float, float]:
        """Least and largest value of a positive coefficient that nothing else bounds."""
        ...

    @property
    def has_cheap_value(self) -> bool:
        """Whether the objective alone costs a fraction of a point, so that steps may be tried."""
        ...

    @property
    def named_starts(self) -> Mapping[str, Callable[[], np.ndarray]]:
        """Starts that a user asks for by name, besides the grid."""
        ...

    @property
    def grid_name(self) -> str:
        """The grid's name in a report."""
        ...

    def grid(self, rows: Any, weights: np.ndarray, *, few: bool) -> np.ndarray:
        """Coordinates to start from; `few` of them where many resamples each get their own."""
        ...

    def claims(self, ending: Any, rows: Any, asked: Any, design: Any) -> Any:
        """The `Claims` of a fit: its `Ending`, what was `Asked` and the `Design` of the runs."""
        ...

    def centred(self, columns: Columns, constraints: Any) -> "Centred":
        """The columns as the search reads them, in coordinates that are less correlated."""
        ...

    def rows(self, columns: Columns, held: dict[str, float]) -> Any:
        """The runs, and coefficients that are held, as the other methods read them."""
        ...

    def residuals(self, coordinates: Array, rows: Any) -> Array:
        """Residuals of all runs in one lane."""
        ...

    def slopes(self, coordinates: Array, rows: Any) -> tuple[Array, Array]:
        """Derivatives of residuals in one lane, of shape (runs, coordinates), and the residuals."""
        ...

    def __call__(
        self,
        coordinates: Array,
        rows: Any,
        weights: Array,
        delta: Array,
        newton: Array,
        prior: Prior,
        scaled: Array | None = None,
    ) -> Point:
        """The objective at coordinates with lanes last; `weights` has one row for each lane.

        Without `newton` the Hessian is that of iteratively reweighted least squares, which is
        positive definite. Where `scaled` is given and holds, the objective is the likelihood with
        a free scale, in whose units `delta` then is.
        """
        ...

    def value(
        self,
        coordinates: Array,
        rows: Any,
        weights: Array,
        delta: Array,
        prior: Prior,
        scaled: Array | None = None,
    ) -> Array:
        """The objective alone, in each lane; arguments as of a call."""
        ...


def coordinates_of(kernel: Kernel, values: np.ndarray) -> np.ndarray:
    """Coordinates of coefficients along the first axis; NaN where a logarithm does not exist."""
    with np.errstate(invalid="ignore", divide="ignore"):
        rows = zip(values, kernel.positive, strict=True)
        return np.stack([np.log(x) if positive else x for x, positive in rows])


def values_of(kernel: Kernel, coordinates: Numbers, numpy: Any = jnp) -> dict[str, Any]:
    """Coefficients by name, computed by `numpy`, which is traceable by default."""
    named = zip(kernel.names, kernel.positive, coordinates, strict=True)
    return {name: numpy.exp(x) if positive else x for name, positive, x in named}


def with_prior(point: Point, coordinates: Array, prior: Prior) -> Point:
    """The point with the prior's quadratic; lanes are the last axis."""
    precision = prior.precision[:, None]
    off = coordinates - prior.mean[:, None]
    return Point(
        point.value + jnp.sum(precision * off * off, axis=0) / 2,
        point.gradient + precision * off,
        point.hessian + jnp.diag(prior.precision)[:, :, None],
        point.diagonal + precision,
        point.energy + jnp.sum(precision * off * off, axis=0),
    )
