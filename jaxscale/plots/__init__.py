"""Pictures of what they are handed: nothing here solves, and no global state is touched.

Matplotlib is imported on the first call. Figures belong to no window and not to `pyplot`:
save one with `figure.savefig(path)`, or return it from a notebook cell.
"""

from jaxscale.plots.fields import field_histograms as field_histograms
from jaxscale.plots.fields import field_line as field_line
from jaxscale.plots.fields import field_map as field_map
from jaxscale.plots.ratios import ratio_panels as ratio_panels
