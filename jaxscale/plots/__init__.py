"""Matplotlib figures of results as the library returns them, and of published laws.

Matplotlib is imported on the first call, and no global state of it is touched. Each function
returns a figure that belongs to no window: a notebook shows it as the value of a cell, and
`figure.savefig(path)` saves it.
"""

from jaxscale.plots._allocation_chain import allocation_chain as allocation_chain
from jaxscale.plots._best_ratios import best_ratios as best_ratios
from jaxscale.plots._deadline import deadlines as deadlines
from jaxscale.plots._extrapolation import extrapolation as extrapolation
from jaxscale.plots._implied import implied_demand as implied_demand
from jaxscale.plots._iso_loss import iso_loss as iso_loss
from jaxscale.plots._profit import profit_over_loss as profit_over_loss
from jaxscale.plots._replays import replays as replays
from jaxscale.plots._serving_front import serving_front as serving_front
from jaxscale.plots._serving_prices import serving_prices as serving_prices
from jaxscale.plots.budgets import data_constrained as data_constrained
from jaxscale.plots.budgets import overtraining as overtraining
from jaxscale.plots.fields import field_histograms as field_histograms
from jaxscale.plots.fields import field_line as field_line
from jaxscale.plots.fields import field_map as field_map
from jaxscale.plots.fits import coefficient_pairs as coefficient_pairs
from jaxscale.plots.fits import fit_isoflops as fit_isoflops
from jaxscale.plots.fits import fit_quality as fit_quality
from jaxscale.plots.fits import fit_sizes as fit_sizes
from jaxscale.plots.fits import fit_surface as fit_surface
from jaxscale.plots.papers import flops_by_size as flops_by_size
from jaxscale.plots.papers import published_allocations as published_allocations
from jaxscale.plots.papers import published_flops as published_flops
from jaxscale.plots.papers import published_laws as published_laws
from jaxscale.plots.papers import published_overtraining as published_overtraining
from jaxscale.plots.papers import published_ratios as published_ratios
from jaxscale.plots.papers import published_repeats as published_repeats
from jaxscale.plots.sweep_results import ratio_panels as ratio_panels
from jaxscale.plots.sweep_results import sweep_figure as sweep_figure
