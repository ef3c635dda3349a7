"""Scaling laws: loss as a function of params and tokens, by family, and published fits."""

from jaxscale.laws import kaplan as kaplan
from jaxscale.laws import vocabulary as vocabulary
from jaxscale.laws._catalog import catalog as catalog
from jaxscale.laws._catalog import entry as entry
from jaxscale.laws._catalog import published as published
from jaxscale.laws._downstream import Downstream as Downstream
from jaxscale.laws._downstream import downstream as downstream
from jaxscale.laws._downstream import from_flops_form as from_flops_form
from jaxscale.laws._downstream import loss_at_ratio as loss_at_ratio
from jaxscale.laws.chinchilla import Chinchilla as Chinchilla
from jaxscale.laws.experts import Abnar as Abnar
from jaxscale.laws.experts import Clark as Clark
from jaxscale.laws.experts import Krajewski as Krajewski
from jaxscale.laws.fitted import Coefficient as Coefficient
from jaxscale.laws.inverse import params_for as params_for
from jaxscale.laws.inverse import tokens_for as tokens_for
from jaxscale.laws.kaplan import Kaplan as Kaplan
from jaxscale.laws.other_forms import BrokenPowerLaw as BrokenPowerLaw
from jaxscale.laws.other_forms import ComputeOnly as ComputeOnly
from jaxscale.laws.other_forms import Farseer as Farseer
from jaxscale.laws.other_forms import Frantar as Frantar
from jaxscale.laws.precision import Kumar as Kumar
from jaxscale.laws.protocol import Flops as Flops
from jaxscale.laws.protocol import Law as Law
from jaxscale.laws.repeated_data import Muennighoff as Muennighoff
from jaxscale.laws.vocabulary import Tao as Tao
