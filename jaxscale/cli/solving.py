"""Plans whose numbers are on the host, and what it takes to ask for one."""

from contextlib import AbstractContextManager

import jax

import jaxscale as js
from jaxscale.cli.mistakes import Mistake

NUMBERS = (
    "params",
    "tokens",
    "tokens_per_param",
    "loss",
    "train_cost",
    "prefill_cost",
    "decode_cost",
    "total_cost",
)


def one_scenario() -> AbstractContextManager[None]:
    """Operations run one by one inside the block.

    Each is small and compiled once. Whole programs run faster and take a second longer to
    compile, which a single scenario does not earn back.
    """
    return jax.disable_jit()


def solved(plan: js.Plan) -> js.Plan:
    """The plan on the host; where there is none, the sentence of its status as a mistake."""
    plan = jax.device_get(plan)
    status = status_of(plan)
    if not status.ok:
        raise Mistake(status.sentence)
    return plan


def status_of(plan: js.Plan) -> js.Status:
    return js.Status(int(plan.status))


def numbers_of(plan: js.Plan) -> dict[str, float]:
    """The numbers of one plan by name."""
    return {name: float(getattr(plan, name)) for name in NUMBERS}


def levers_of_plan(plan: js.Plan) -> dict[str, float]:
    """The levers of one plan by name."""
    return {name: float(value) for name, value in plan.levers.items()}
