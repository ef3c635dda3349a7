"""Fitting: from runs to a law, and how far to trust it."""

from jaxscale.fitting._bootstrap import Bootstrap as Bootstrap
from jaxscale.fitting._bootstrap import bootstrap as bootstrap
from jaxscale.fitting._envelope import envelope as envelope
from jaxscale.fitting._fit import Fit as Fit
from jaxscale.fitting._fit import fit as fit
from jaxscale.fitting._isoflop import isoflop as isoflop
from jaxscale.fitting._subsets import Holdout as Holdout
from jaxscale.fitting._subsets import Subset as Subset
from jaxscale.fitting._subsets import fit_by_ratio as fit_by_ratio
from jaxscale.fitting._subsets import holdout as holdout
from jaxscale.fitting._suspicions import Suspicion as Suspicion
from jaxscale.fitting._suspicions import suspicions as suspicions
from jaxscale.fitting.certificate import FitStatus as FitStatus
from jaxscale.fitting.claims import Claims as Claims
from jaxscale.fitting.diagnostics import Remark as Remark
from jaxscale.fitting.grid_bias import GridBias as GridBias
from jaxscale.fitting.objectives import AbsoluteError as AbsoluteError
from jaxscale.fitting.objectives import Huber as Huber
from jaxscale.fitting.objectives import HuberLikelihood as HuberLikelihood
from jaxscale.fitting.objectives import SquaredError as SquaredError
from jaxscale.fitting.power_law import OptimalSizes as OptimalSizes
from jaxscale.fitting.power_law import PowerLaw as PowerLaw
from jaxscale.fitting.profile import Profile as Profile
from jaxscale.fitting.profile import profile_likelihood as profile_likelihood
from jaxscale.fitting.resampling import simulate as simulate
from jaxscale.fitting.runs import Runs as Runs
