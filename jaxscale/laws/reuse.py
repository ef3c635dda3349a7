"""Published constants of data reuse, which turn a Chinchilla law into one of repeated tokens."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax

from jaxscale._numerics.arrays import Real
from jaxscale.laws.chinchilla import Chinchilla
from jaxscale.laws.protocol import short_repr, two_powers
from jaxscale.laws.repeated_data import Muennighoff
from jaxscale.published import find, shipped


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Reuse:
    """How many repeats of data, and how many times more params than fit them, are worth having.

    Both are positive. `js.published.shipped("reuse")` lists published ones.

    Examples:
        >>> js.laws.repeated("besiroglu2024", js.laws.Reuse(R_D=15.4, R_N=5.3)).R_D
        15.4
    """

    R_D: Real  # the R_D* of Muennighoff et al. 2023
    R_N: Real  # their R_N*

    __repr__ = short_repr


# Classes by the name that a file of published facts gives as `form`.
FORMS: Mapping[str, Callable[..., Reuse]] = {"Reuse": Reuse}


def repeated(law: Any, reuse: str | Reuse) -> Muennighoff:
    """The law of repeated tokens with the losses of a Chinchilla law and other reuse constants.

    `law` is a name in the catalogue or a law that is Chinchilla's; of a `Muennighoff` the constants
    are replaced. `reuse` is a name in `js.published.shipped("reuse")`, or constants of your own. In
    a name of a law, a plus does the same: `js.laws.published("besiroglu2024+muennighoff2023")`.

    Constants of one paper and losses of another are your assumption: no run has tested the two
    together. Losses of a diffusion model are not those of an autoregressive one, so plans with
    different `reuse` compare how data wear out, and nothing else.

    Raises TypeError for a law that is not Chinchilla's, and ValueError for an unknown name.

    Examples:
        >>> for reuse in ("prabhudesai2025_autoregressive", "prabhudesai2025_diffusion"):
        ...     law = js.laws.repeated("besiroglu2024", reuse)
        ...     worth = law.effective_tokens(50e9, unique_tokens=1e9) / 50e9
        ...     print(f"{reuse}: 50 epochs are worth {100 * worth:.0f} % of fresh tokens")
        prabhudesai2025_autoregressive: 50 epochs are worth 51 % of fresh tokens
        prabhudesai2025_diffusion: 50 epochs are worth 95 % of fresh tokens
    """
    if isinstance(law, str):
        law = find("law", shipped("laws"), law).law
    base = law.base() if isinstance(law, Muennighoff) else two_powers(law)
    if not isinstance(base, Chinchilla):
        raise TypeError(f"law must be a Chinchilla law, or one of repeated data; got {law!r}")
    if isinstance(reuse, str):
        reuse = find("reuse", shipped("reuse"), reuse).law
    if not isinstance(reuse, Reuse):
        raise TypeError(f"reuse must be a name or js.laws.Reuse(R_D, R_N); got {reuse!r}")
    return Muennighoff(base.E, base.A, base.B, base.alpha, base.beta, reuse.R_D, reuse.R_N)
