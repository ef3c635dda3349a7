"""Allocations: the best params and tokens as powers of compute, and published ones."""

from jaxscale.allocations.allocation import Allocation as Allocation
from jaxscale.allocations.allocation import from_law as from_law
from jaxscale.allocations.allocation import from_params as from_params
from jaxscale.allocations.allocation import from_tokens as from_tokens
from jaxscale.allocations.catalog import PORIAN_CHAIN as PORIAN_CHAIN
from jaxscale.allocations.catalog import Step as Step
from jaxscale.allocations.catalog import catalog as catalog
from jaxscale.allocations.catalog import entry as entry
from jaxscale.allocations.catalog import published as published
