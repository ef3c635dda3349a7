"""Schedules: training that changes its model's shape on the way (Anagnostidis et al. 2023)."""

from jaxscale.growth.fit import fit_shapes as fit_shapes
from jaxscale.growth.schedule import Schedule as Schedule
from jaxscale.growth.schedule import shape_schedule as shape_schedule
from jaxscale.growth.shape_law import ShapeLaw as ShapeLaw
