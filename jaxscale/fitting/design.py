"""What the sizes of the runs alone cannot tell apart, in sentences that name the cause."""

import numpy as np

from jaxscale.fitting.runs import Runs

# Of logarithms: sizes that a table writes with nine digits or more are the same.
SAME = 1e-8
FEWEST = 3  # sizes that tell a constant, a scale and an exponent


class Design:
    """How many different sizes the runs have, and whether these lie on one line."""

    def __init__(self, runs: Runs) -> None:
        self.log_params = np.log(np.asarray(runs.params, float))
        self.log_tokens = np.log(np.asarray(runs.tokens, float))
        self.params = distinct(self.log_params)
        self.tokens = distinct(self.log_tokens)
        self.ratios = distinct(self.log_tokens - self.log_params)
        self.levers = {
            name: float(values[0])
            for name, values in (runs.levers or {}).items()
            if np.ptp(np.asarray(values, float)) == 0
        }

    @property
    def is_one_ratio(self) -> bool:
        """Whether tokens are one multiple of params, over several sizes."""
        return self.ratios == 1 and self.params > 1

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


def reason_of(design: Design) -> str:
    """Why the runs leave coefficients open, as a sentence; empty where their sizes do not say."""
    said = []
    for name, count in (("params", design.params), ("tokens", design.tokens)):
        if count == 1:
            said.append(f"all runs have the same {name}")
        elif count < FEWEST:
            said.append(f"the runs have {count} different {name}")
    if not said and design.is_one_ratio:
        ratio = float(np.exp(np.median(design.log_tokens - design.log_params)))
        said.append(f"all runs have {ratio:.4g} tokens per param")
    elif not said and design.is_line:
        said.append("ln tokens is a straight line in ln params over the runs")
    said += [f"{name} is {value:g} in all runs" for name, value in design.levers.items()]
    return " and ".join(said)
