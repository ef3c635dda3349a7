"""Schedules: training that changes its model's shape on the way (Anagnostidis et al. 2023)."""

from jaxscale.schedules.fit import fit_shapes as fit_shapes
from jaxscale.schedules.schedule import Schedule as Schedule
from jaxscale.schedules.schedule import shape_schedule as shape_schedule
from jaxscale.schedules.shape_law import ShapeLaw as ShapeLaw
