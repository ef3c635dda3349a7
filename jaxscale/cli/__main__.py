"""`python -m jaxscale.cli`: the command `jaxscale`, where it is not on the path."""

from jaxscale.cli import main

main()
