"""Money, time and risk: what quality is worth, what machines cost, and what doubt costs."""

from jaxscale.economics.deadline import PricedTraining as PricedTraining
from jaxscale.economics.deadline import best_devices as best_devices
from jaxscale.economics.deadline import deadlines as deadlines
