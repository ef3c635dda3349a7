"""Which runs to train next: designs of first runs, and the runs that tell a plan the most."""

from jaxscale.experiments._design import Design as Design
from jaxscale.experiments._design import design as design
from jaxscale.experiments._information import Information as Information
from jaxscale.experiments._information import information as information
from jaxscale.experiments._information import information_matrix as information_matrix
from jaxscale.experiments._information import read_information as read_information
from jaxscale.experiments._replay import Replay as Replay
from jaxscale.experiments._replay import replay as replay
from jaxscale.experiments._score import Accuracy as Accuracy
from jaxscale.experiments._score import Score as Score
from jaxscale.experiments._score import score_design as score_design
from jaxscale.experiments._suggest import Suggestion as Suggestion
from jaxscale.experiments._suggest import suggest as suggest
from jaxscale.experiments.selection import Selection as Selection
from jaxscale.experiments.selection import gains as gains
from jaxscale.experiments.selection import greedy as greedy
from jaxscale.experiments.selection import updated as updated
from jaxscale.experiments.selection import within_budget as within_budget
