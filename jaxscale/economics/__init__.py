"""Money, time and risk: what quality is worth, what machines cost, and what doubt costs."""

from jaxscale.economics.regret import ExpectedRegret as ExpectedRegret
from jaxscale.economics.regret import expected_regret as expected_regret
