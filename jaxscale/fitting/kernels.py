"""Which kernel fits a family: the one that was written for it by hand, or the one for any law."""

from collections.abc import Mapping

from jaxscale.fitting.chinchilla_kernel import ChinchillaKernel
from jaxscale.fitting.kernel import Kernel
from jaxscale.fitting.model import AnyLaw
from jaxscale.laws.chinchilla import Chinchilla
from jaxscale.laws.fitted import coefficients_of, fits_logarithm

BY_HAND: Mapping[type, Kernel] = {Chinchilla: ChinchillaKernel()}


def kernel_of(law: type, fixed: Mapping[str, float]) -> Kernel:
    """The kernel that fits a family with some coefficients held.

    What was written by hand needs the logarithm of every positive coefficient, so that a term
    which is held at 0 takes the kernel for any law.
    """
    if law in BY_HAND and all(value > 0 for value in fixed.values()):
        return BY_HAND[law]
    known = coefficients_of(law)
    names = tuple(name for name in known if name not in fixed)
    positive = tuple(known[name].positive for name in names)
    return AnyLaw(law, names, positive, fits_logarithm(law))
