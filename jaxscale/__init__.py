"""How large a language model should be, and how long to train it, once serving is counted."""

import importlib
from typing import TYPE_CHECKING

from jaxscale._version import __version__ as __version__

if TYPE_CHECKING:  # the names that `__getattr__` below loads, for type checkers and editors
    from jaxscale import allocations as allocations
    from jaxscale import architectures as architectures
    from jaxscale import economics as economics
    from jaxscale import experiments as experiments
    from jaxscale import exploring as exploring
    from jaxscale import fitting as fitting
    from jaxscale import growth as growth
    from jaxscale import hardware as hardware
    from jaxscale import laws as laws
    from jaxscale import plots as plots
    from jaxscale import published as published
    from jaxscale import recipes as recipes
    from jaxscale import reinforcement as reinforcement
    from jaxscale import repeated_sampling as repeated_sampling
    from jaxscale import serving as serving
    from jaxscale import training as training
    from jaxscale import trajectories as trajectories
    from jaxscale._compare import LawComparison as LawComparison
    from jaxscale._compare import LawRow as LawRow
    from jaxscale._compare import compare_laws as compare_laws
    from jaxscale._explain import explain as explain
    from jaxscale._numerics.padded import padded as padded
    from jaxscale.architectures import Architecture as Architecture
    from jaxscale.costs import Costs as Costs
    from jaxscale.costs import Demand as Demand
    from jaxscale.economics import expected_regret as expected_regret
    from jaxscale.economics import implied_demand as implied_demand
    from jaxscale.economics import maximize_profit as maximize_profit
    from jaxscale.experiments import design as design
    from jaxscale.experiments import suggest as suggest
    from jaxscale.exploring.notebook import explore as explore
    from jaxscale.fitting import Runs as Runs
    from jaxscale.fitting import bootstrap as bootstrap
    from jaxscale.fitting import compare as compare
    from jaxscale.fitting import fit as fit
    from jaxscale.fitting import holdout as holdout
    from jaxscale.fitting import profile_likelihood as profile_likelihood
    from jaxscale.hardware import accelerator as accelerator
    from jaxscale.laws import task as task
    from jaxscale.plan import Bounds as Bounds
    from jaxscale.plan import Plan as Plan
    from jaxscale.plan import evaluate as evaluate
    from jaxscale.recipes import training_recipe as training_recipe
    from jaxscale.solve import compute_optimal as compute_optimal
    from jaxscale.solve import minimize_cost as minimize_cost
    from jaxscale.solve import minimize_loss as minimize_loss
    from jaxscale.solve import overhead as overhead
    from jaxscale.solve import plan_intervals as plan_intervals
    from jaxscale.solve import size_intervals as size_intervals
    from jaxscale.status import Status as Status
    from jaxscale.sweeping import Extremes as Extremes
    from jaxscale.sweeping import Grid as Grid
    from jaxscale.sweeping import Histogram as Histogram
    from jaxscale.sweeping import MainEffects as MainEffects
    from jaxscale.sweeping import Moments as Moments
    from jaxscale.sweeping import Quantiles as Quantiles
    from jaxscale.sweeping import Saltelli as Saltelli
    from jaxscale.sweeping import Sample as Sample
    from jaxscale.sweeping import Sobol as Sobol
    from jaxscale.sweeping import SobolIndices as SobolIndices
    from jaxscale.sweeping import StatusCounts as StatusCounts
    from jaxscale.sweeping import TopK as TopK
    from jaxscale.sweeping import choice as choice
    from jaxscale.sweeping import geomspace as geomspace
    from jaxscale.sweeping import linspace as linspace
    from jaxscale.sweeping import lognormal as lognormal
    from jaxscale.sweeping import loguniform as loguniform
    from jaxscale.sweeping import normal as normal
    from jaxscale.sweeping import rows as rows
    from jaxscale.sweeping import sweep as sweep
    from jaxscale.sweeping import triangular as triangular
    from jaxscale.sweeping import uniform as uniform
    from jaxscale.training import devices_for as devices_for
    from jaxscale.training import training_time as training_time

# All modules together take longer to import than JAX lets a person notice, and most calls need few:
# each is loaded when one of its names is first asked for.
_MODULES = {
    *(
        "allocations",
        "architectures",
        "costs",
        "economics",
        "experiments",
        "exploring",
        "fitting",
        "growth",
        "hardware",
        "laws",
    ),
    *("plan", "plots", "published", "recipes", "reinforcement", "repeated_sampling", "serving"),
    *("solve", "status", "sweeping", "training", "trajectories"),
}
_NAMES = {
    "_compare": ("LawComparison", "LawRow", "compare_laws"),
    "_explain": ("explain",),
    "_numerics.padded": ("padded",),
    "architectures": ("Architecture",),
    "costs": ("Costs", "Demand"),
    "economics": ("expected_regret", "implied_demand", "maximize_profit"),
    "experiments": ("design", "suggest"),
    "exploring.notebook": ("explore",),
    "fitting": ("Runs", "bootstrap", "compare", "fit", "holdout", "profile_likelihood"),
    "hardware": ("accelerator",),
    "laws": ("task",),
    "plan": ("Bounds", "Plan", "evaluate"),
    "recipes": ("training_recipe",),
    "solve": (
        *("compute_optimal", "minimize_cost", "minimize_loss", "overhead", "plan_intervals"),
        "size_intervals",
    ),
    "status": ("Status",),
    "sweeping": (
        *("Extremes", "Grid", "Histogram", "MainEffects", "Moments", "Quantiles", "Saltelli"),
        *("Sample", "Sobol", "SobolIndices", "StatusCounts", "TopK", "choice", "geomspace"),
        *("linspace", "lognormal", "loguniform", "normal", "rows", "sweep", "triangular"),
        *("uniform",),
    ),
    "training": ("devices_for", "training_time"),
}
_HOMES = {name: module for module, names in _NAMES.items() for name in names}


if not TYPE_CHECKING:  # a type checker that sees `__getattr__` accepts any name
    __all__ = sorted({*_MODULES, *_HOMES})

    def __getattr__(name):
        if name in _MODULES:
            return importlib.import_module(f"jaxscale.{name}")
        if name not in _HOMES:
            raise AttributeError(f"module 'jaxscale' has no attribute {name!r}")
        globals()[name] = getattr(importlib.import_module(f"jaxscale.{_HOMES[name]}"), name)
        return globals()[name]

    def __dir__():
        return sorted([*__all__, *(name for name in globals() if name.startswith("__"))])
