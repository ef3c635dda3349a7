"""The version, where modules can ask for it without importing the whole package.

pyproject.toml reads it here too. Metadata is missing where the package is on the path without
being installed.
"""

__version__ = "0.8.0"
