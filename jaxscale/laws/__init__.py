"""Laws: loss as a function of params and tokens, one file per family, and published fits."""

from jaxscale.laws.catalog import catalog as catalog
from jaxscale.laws.catalog import entry as entry
from jaxscale.laws.catalog import published as published
from jaxscale.laws.chinchilla import Chinchilla as Chinchilla
from jaxscale.laws.entries import Entry as Entry
