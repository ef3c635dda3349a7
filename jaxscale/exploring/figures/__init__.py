"""Bokeh figures of the page: built once, then changed in place."""

from jaxscale.exploring.figures.demand import DemandPicture as DemandPicture
from jaxscale.exploring.figures.effects import EffectsPicture as EffectsPicture
from jaxscale.exploring.figures.laws import LawsPicture as LawsPicture
from jaxscale.exploring.figures.look import Look as Look
from jaxscale.exploring.figures.loss_map import LossPicture as LossPicture
from jaxscale.exploring.figures.picture import Picture as Picture
