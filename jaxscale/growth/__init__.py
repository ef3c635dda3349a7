"""Training that changes the shape of its model on the way (Anagnostidis et al. 2023)."""

from jaxscale.growth.fit import fit_shapes as fit_shapes
from jaxscale.growth.schedule import Schedule as Schedule
from jaxscale.growth.schedule import ShapeLaw as ShapeLaw
from jaxscale.growth.schedule import shape_schedule as shape_schedule
