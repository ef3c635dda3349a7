"""Laws: loss as a function of params and tokens, one file per family, and published fits."""

from jaxscale.laws import kaplan as kaplan
from jaxscale.laws import tao as tao
from jaxscale.laws.catalog import catalog as catalog
from jaxscale.laws.catalog import entry as entry
from jaxscale.laws.catalog import published as published
from jaxscale.laws.chinchilla import Chinchilla as Chinchilla
from jaxscale.laws.entries import Entry as Entry
from jaxscale.laws.experts import Abnar as Abnar
from jaxscale.laws.experts import Clark as Clark
from jaxscale.laws.experts import Krajewski as Krajewski
from jaxscale.laws.fitted import Coefficient as Coefficient
from jaxscale.laws.forms import BrokenPowerLaw as BrokenPowerLaw
from jaxscale.laws.forms import Farseer as Farseer
from jaxscale.laws.forms import Frantar as Frantar
from jaxscale.laws.gadre import Downstream as Downstream
from jaxscale.laws.gadre import downstream as downstream
from jaxscale.laws.gadre import from_flops_form as from_flops_form
from jaxscale.laws.gadre import loss_at_ratio as loss_at_ratio
from jaxscale.laws.guo import ComputeOnly as ComputeOnly
from jaxscale.laws.kaplan import Kaplan as Kaplan
from jaxscale.laws.kumar import Kumar as Kumar
from jaxscale.laws.muennighoff import Muennighoff as Muennighoff
from jaxscale.laws.protocol import Flops as Flops
from jaxscale.laws.protocol import Law as Law
from jaxscale.laws.tao import Tao as Tao
