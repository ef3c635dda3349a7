"""What the sizes of the runs alone cannot tell apart, in sentences that name the cause."""

import numpy as np

from jaxscale.fitting.runs import Runs

# Of logarithms: sizes that a table writes with nine digits or more are the same.
SAME = 1e-8
FEWEST = 3  # sizes that tell a constant, a scale and an exponent


class Design:
    """How many different sizes the runs have, and whether these lie on one line.

    `levers` are those of one value, and `different` counts runs of different sizes and levers.
    """

    def __init__(self, runs: Runs) -> None:
        self.log_params = np.log(np.asarray(runs.params, float))
        self.log_tokens = np.log(np.asarray(runs.tokens, float))
        self.params = distinct(self.log_params)
        self.tokens = distinct(self.log_tokens)
        self.ratios = distinct(self.log_tokens - self.log_params)
        levers = {name: np.asarray(x, float) for name, x in (runs.levers or {}).items()}
        self.levers = {name: float(x[0]) for name, x in levers.items() if np.ptp(x) == 0}
        columns = np.stack([runs.params, runs.tokens, *levers.values()])
        self.different = len(np.unique(columns, axis=1).T)

    @property
    def is_line(self) -> bool:
        """Whether ln tokens is a straight line in ln params, over several sizes of each."""
        if min(self.params, self.tokens) < 2:
            return False
        x, y = (z - z.mean() for z in (self.log_params, self.log_tokens))
        across = y - x * (x @ y) / (x @ x)
        return bool(np.abs(across).max() < SAME)


def distinct(logs: np.ndarray) -> int:
    """How many different values there are."""
    return 1 + int((np.diff(np.sort(logs)) > SAME).sum())


def reason_of(design: Design, free: int) -> str:
    """Why the runs leave some of `free` coefficients open; empty where sizes do not say."""
    said = []
    for name, count in (("params", design.params), ("tokens", design.tokens)):
        if count == 1:
            said.append(f"all runs have the same {name}")
        elif count < FEWEST:
            said.append(f"the runs have {count} different {name}")
    if not said and design.is_line and design.ratios == 1:
        ratio = float(np.exp(np.median(design.log_tokens - design.log_params)))
        said.append(f"all runs have {ratio:.4g} tokens per param")
    elif not said and design.is_line:
        said.append("ln tokens is a straight line in ln params over the runs")
    if not said and design.different <= free:
        runs = "1 run" if design.different == 1 else f"{design.different} different runs"
        said.append(f"{runs} cannot tell {free} coefficients")
    said += [f"{name} is {value:g} in all runs" for name, value in design.levers.items()]
    return " and ".join(said)
