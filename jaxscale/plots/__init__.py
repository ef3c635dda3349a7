"""Pictures of what they are handed: nothing here solves, and no global state is touched.

Matplotlib is imported on the first call. Figures belong to no window and not to `pyplot`:
save one with `figure.savefig(path)`, or return it from a notebook cell.
"""

from jaxscale.plots.allocation_chain import ChainStep as ChainStep
from jaxscale.plots.allocation_chain import allocation_chain as allocation_chain
from jaxscale.plots.data_constrained import BestPlans as BestPlans
from jaxscale.plots.data_constrained import data_constrained as data_constrained
from jaxscale.plots.fields import field_histograms as field_histograms
from jaxscale.plots.fields import field_line as field_line
from jaxscale.plots.fields import field_map as field_map
from jaxscale.plots.fits import coefficient_pairs as coefficient_pairs
from jaxscale.plots.fits import fit_isoflops as fit_isoflops
from jaxscale.plots.fits import fit_quality as fit_quality
from jaxscale.plots.fits import fit_sizes as fit_sizes
from jaxscale.plots.fits import fit_surface as fit_surface
from jaxscale.plots.flops_by_size import flops_by_size as flops_by_size
from jaxscale.plots.iso_loss import OptimalPath as OptimalPath
from jaxscale.plots.iso_loss import iso_loss_map as iso_loss_map
from jaxscale.plots.laws_compared import LawPanel as LawPanel
from jaxscale.plots.laws_compared import laws_compared as laws_compared
from jaxscale.plots.overtraining import Optima as Optima
from jaxscale.plots.overtraining import Outcomes as Outcomes
from jaxscale.plots.overtraining import overtraining as overtraining
from jaxscale.plots.ratios import ratio_panels as ratio_panels
from jaxscale.plots.sweep_results import sweep_figure as sweep_figure
