"""Published facts, in TOML files, and the reader of such files.

Files list laws, allocations, recipes, accelerators, architectures, tasks, contexts, trajectories
and released models, each with its source. A file of your own has the same format:

    [laws.ours2026]
    form = "Chinchilla"
    E = 1.69
    A = 406.4
    B = 410.7
    alpha = 0.336
    beta = 0.283
    source = "our runs of 2026, table.csv"
    params_range = [70e6, 16e9]

`read("ours.toml")` returns its entries, as `js.laws.catalog()` returns the shipped ones:
`entry.law`, `entry.source`, `entry.in_range(plan)`.

The heading names the kind and the entry. `form` is a class or constructor of that
kind, as in `jaxscale.laws`; a kind that has only one needs none. Keys that are fields of `Entry`
describe the entry, and all others are the form's numbers. `source` is the only key that every
entry needs. Paper, table and year belong in it.

`machines.toml` has other facts, tables of constants: `js.economics.machine_facts` reads them.
"""

from jaxscale._display import Catalog as Catalog
from jaxscale.published.entry import Check as Check
from jaxscale.published.entry import Entry as Entry
from jaxscale.published.entry import Interval as Interval
from jaxscale.published.entry import find as find
from jaxscale.published.load import read as read
from jaxscale.published.load import shipped as shipped
