"""Serving a model: seconds and dollars of a token, from a chip's bandwidth and a model's shape."""

from jaxscale.serving import erdil as erdil
from jaxscale.serving._best import Best as Best
from jaxscale.serving._best import Front as Front
from jaxscale.serving._best import best as best
from jaxscale.serving._best import front as front
from jaxscale.serving._options import COUNTS as COUNTS
from jaxscale.serving._options import name_of as name_of
from jaxscale.serving._options import options as options
from jaxscale.serving.comparison import DeviceComparison as DeviceComparison
from jaxscale.serving.comparison import DeviceRow as DeviceRow
from jaxscale.serving.comparison import compare as compare
from jaxscale.serving.deployment import Deployment as Deployment
from jaxscale.serving.kernels import Efficiencies as Efficiencies
from jaxscale.serving.kernels import fit_efficiencies as fit_efficiencies
from jaxscale.serving.longer_prompts import LongerPrompt as LongerPrompt
from jaxscale.serving.longer_prompts import longer_prompt as longer_prompt
from jaxscale.serving.passes import Limit as Limit
from jaxscale.serving.passes import Pass as Pass
from jaxscale.serving.passes import prefill as prefill
from jaxscale.serving.passes import step as step
from jaxscale.serving.requests import Limits as Limits
from jaxscale.serving.requests import Requests as Requests
from jaxscale.serving.service import Service as Service
from jaxscale.serving.service import Speculation as Speculation
from jaxscale.serving.service import serve as serve
