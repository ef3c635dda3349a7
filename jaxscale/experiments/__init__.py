"""Which runs to train next: designs of first runs, and the runs that tell a plan the most."""

from jaxscale.experiments._design import Design as Design
from jaxscale.experiments._design import design as design
from jaxscale.experiments._score import Accuracy as Accuracy
from jaxscale.experiments._score import Score as Score
from jaxscale.experiments._score import score_design as score_design
