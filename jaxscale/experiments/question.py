"""The plan that further runs are for: what it asks of a law, and the price of a wrong size."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxscale._numerics.interpreted import interpreted
from jaxscale.costs import Costs, Demand
from jaxscale.laws.fitted import fits_logarithm
from jaxscale.laws.protocol import flops_of, loss_from_logs
from jaxscale.plan import Plan
from jaxscale.solve import compute_optimal, minimize_cost, minimize_loss
from jaxscale.status import Status

SIZE, LOSS, COST = GOALS = ("N*", "loss", "cost")
REGION = 10.0 ** np.linspace(-0.5, 0.5, 5)  # of the plan's size, at which losses are predicted
STEP = 1e-3  # of ln budget, for the slope of a cost that is not JAX's
MOST_STEPS = 50

CostOf = Callable[[Any, Any], Any]


@dataclass(frozen=True)
class Question:
    """The best plan for a budget of FLOPs, or where a demand is served, of `costs`."""

    budget: float
    demand: Demand | None = None
    costs: Costs | None = None
    levers: Mapping[str, Any] = field(default_factory=dict)

    def plan(self, law: Any, factor: float = 1.0) -> Plan:
        """The plan of the lowest loss by this law, for the budget times a factor. Traceable."""
        budget = self.budget * factor
        if self.demand is None:
            return compute_optimal(law, flops=budget, levers=self.levers or None)
        return minimize_loss(law, budget, self.demand, self.costs, levers=self.levers)

    def checked_plan(self, law: Any) -> Plan:
        """The plan on the host; ValueError where there is none."""
        plan = host(self.plan, law)
        if not plan.ok:
            raise ValueError(
                f"the law has no best plan for the budget: {Status(int(plan.status)).sentence}"
            )
        return plan

    def goal(self, name: str, law: Any, plan: Plan, region: bool) -> Callable[[Any], Any]:
        """The function of a law that a goal names; `plan` is that of `law`, the law as known.

        "loss" is that of the plan, or those of a region of sizes around it.
        """
        if name == SIZE:
            return lambda other: jnp.log(self.plan(other).params)
        if name == COST:
            loss = float(plan.loss)
            return lambda other: jnp.log(
                minimize_cost(other, loss, self.demand, self.costs, levers=self.levers).total_cost
            )
        if name != LOSS:
            listed = ", ".join(map(repr, GOALS))
            raise ValueError(f"goal must be {listed} or a function of a law; got {name!r}")
        scale = jnp.log if fits_logarithm(law) else jnp.asarray  # a loss may be negative
        if not region:
            return lambda other: scale(self.plan(other).loss)
        params = float(plan.params) * REGION
        tokens = self.tokens_at(law, params, float(plan.total_cost))
        inside = np.isfinite(tokens)  # not the models that the budget cannot serve
        logs: Any = np.log(params[inside]), np.log(tokens[inside])
        return lambda other: scale(loss_from_logs(other, *logs, **self.levers))

    def tokens_at(self, law: Any, params: np.ndarray, cost: Any) -> np.ndarray:
        """Training tokens with which models of these sizes have this lifetime cost, or NaN."""
        tokens = np.ones_like(params)
        for _ in range(MOST_STEPS):
            # One step, where FLOPs grow with tokens in proportion.
            train, serving = host(self.phases, law, params, tokens)
            with np.errstate(invalid="ignore", divide="ignore"):
                ratio = (cost - serving) / train
                ratio = np.where(ratio > 0, ratio, np.nan)
                tokens = tokens * ratio
            if not (np.abs(ratio - 1) > 1e-12).any():
                break
        return tokens

    def phases(self, law: Any, params: Any, tokens: Any) -> tuple[Any, Any]:
        """The cost of training, and that of serving the demand. Traceable."""
        flops = flops_of(law, params, tokens, **self.levers)
        if self.demand is None:
            return flops.train, 0.0
        costs = self.costs or Costs.flops()
        read = costs.prefill * self.demand.input_tokens * flops.prefill
        return costs.train * flops.train, read + costs.decode * self.demand.output_tokens * (
            flops.decode
        )

    def curvature(self, law: Any, plan: Plan) -> float:
        """Second derivative of the loss by ln params along the curve of the plan's cost."""

        def loss(*logs: Any) -> Any:
            return loss_from_logs(law, *logs, **self.levers)

        def log_cost(*logs: Any) -> Any:
            train, serving = self.phases(law, *map(jnp.exp, logs))
            return jnp.log(train + serving)

        def bent(*logs: Any) -> Any:
            slopes, rises = (_slopes(fn, logs) for fn in (loss, log_cost))
            # Along the tangent of the curve, of the loss less its multiplier times the ln cost.
            along = np.ones(()), -rises[0] / rises[1]
            multiplier = slopes[1] / rises[1]

            def lagrangian(*at: Any) -> Any:
                return loss(*at) - multiplier * log_cost(*at)

            return jax.jvp(lambda *at: jax.jvp(lagrangian, at, along)[1], logs, along)[1]

        logs = np.log(float(plan.params)), np.log(float(plan.tokens))
        return float(host(bent, *logs))

    def marginal_cost(self, law: Any, plan: Plan, cost: CostOf | None) -> float:
        """What a nat of the plan's loss costs, in the unit of the plan, or of a `cost` of runs."""
        if cost is None:
            return float(plan.marginal_cost)
        ends = [host(self.plan, law, np.exp(step)) for step in (-STEP, STEP)]
        spent = [float(cost(float(each.params), float(each.tokens))) for each in ends]
        return (spent[1] - spent[0]) / (float(ends[0].loss) - float(ends[1].loss))


def _slopes(fn: Callable[..., Any], logs: tuple[Any, Any]) -> list[Any]:
    """Derivatives by two logarithms."""
    one, zero = np.ones(()), np.zeros(())
    return [jax.jvp(fn, logs, way)[1] for way in ((one, zero), (zero, one))]


def host(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """The function in float64 by NumPy: for a few plans, compiling takes far longer."""
    with jax.enable_x64(True):
        return interpreted(function, *args, **kwargs)


def train_flops(law: Any, params: Any, tokens: Any, levers: Any) -> np.ndarray:
    """Training FLOPs by the law's own count, or 6 N D."""
    return host(lambda: flops_of(law, params, tokens, **levers).train)
