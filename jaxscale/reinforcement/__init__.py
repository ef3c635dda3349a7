"""Reinforcement learning: pass rate by compute, and the compute at which to stop."""

from jaxscale.reinforcement.sigmoid import A_ERROR as A_ERROR
from jaxscale.reinforcement.sigmoid import FEWEST_HOURS as FEWEST_HOURS
from jaxscale.reinforcement.sigmoid import Sigmoid as Sigmoid
from jaxscale.reinforcement.sigmoid import Stop as Stop
from jaxscale.reinforcement.sigmoid import catalog as catalog
from jaxscale.reinforcement.sigmoid import entry as entry
from jaxscale.reinforcement.sigmoid import interval as interval
from jaxscale.reinforcement.sigmoid import published as published
