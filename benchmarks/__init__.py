"""Timings of jaxscale beside what a user would pick instead; `python -m benchmarks --help`."""

import os

# For matrices of 240 by 5 the threads of OpenBLAS make SciPy's solvers up to ten times slower.
# NumPy looks at this when it is imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
