"""Recipes: learning rate, batch and steps of a plan, and what a larger batch buys."""

from jaxscale.recipes.catalog import catalog as catalog
from jaxscale.recipes.catalog import entry as entry
from jaxscale.recipes.deepseek import DeepSeekRecipe as DeepSeekRecipe
from jaxscale.recipes.kaplan import KaplanRecipe as KaplanRecipe
from jaxscale.recipes.porian import PorianRecipe as PorianRecipe
from jaxscale.recipes.recipe import Recipe as Recipe
from jaxscale.recipes.recipe import training_recipe as training_recipe
from jaxscale.recipes.step_law import StepLaw as StepLaw
from jaxscale.recipes.tradeoff import TimeAndCompute as TimeAndCompute
from jaxscale.recipes.tradeoff import batch_tradeoff as batch_tradeoff
from jaxscale.recipes.tradeoff import steps_for as steps_for
from jaxscale.recipes.tradeoff import time_and_compute as time_and_compute
