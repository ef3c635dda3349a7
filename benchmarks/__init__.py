"""Timings of jaxscale beside what a user would pick instead; `python -m benchmarks --help`."""
