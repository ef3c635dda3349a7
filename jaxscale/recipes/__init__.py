"""Training recipes: learning rate, batch and steps of a plan, and what a larger batch buys."""

from jaxscale.recipes.critical_batch import CriticalBatchRecipe as CriticalBatchRecipe
from jaxscale.recipes.critical_batch import critical_batch_of_tokens as critical_batch_of_tokens
from jaxscale.recipes.recipe import ExpertsRecipe as ExpertsRecipe
from jaxscale.recipes.recipe import KaplanRecipe as KaplanRecipe
from jaxscale.recipes.recipe import PowerRecipe as PowerRecipe
from jaxscale.recipes.recipe import Recipe as Recipe
from jaxscale.recipes.recipe import catalog as catalog
from jaxscale.recipes.recipe import entry as entry
from jaxscale.recipes.recipe import training_recipe as training_recipe
from jaxscale.recipes.tradeoff import TimeAndCompute as TimeAndCompute
from jaxscale.recipes.tradeoff import batch_tradeoff as batch_tradeoff
from jaxscale.recipes.tradeoff import critical_tradeoff as critical_tradeoff
from jaxscale.recipes.tradeoff import steps_for as steps_for
from jaxscale.recipes.tradeoff import time_and_compute as time_and_compute
