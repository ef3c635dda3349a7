"""Outcome of a solver: a code with a message that says what to do about it."""

import enum

import jax.numpy as jnp
from jax import Array


class Status(enum.IntEnum):
    """Outcome of a solver: a code with a message, its `sentence`, that says what to do.

    Members up to AT_CORNER, AT_LEVER_END and BEST_OF_SEVERAL are `ok`: the plan has numbers. With
    all others they are NaN. Stores keep the codes, so a new status comes last.

    Examples:
        >>> plan = js.minimize_cost(js.laws.published("sardana2024"), 1.5)
        >>> status = js.Status(int(plan.status))
        >>> status.ok
        False
        >>> print(status.sentence)
        The loss is not above the law's E, so no model reaches it; raise it.
    """

    sentence: str

    def __new__(cls, value: int, sentence: str) -> "Status":
        member = int.__new__(cls, value)
        member._value_ = value
        member.sentence = sentence
        return member

    OK = 0, "The optimum lies inside the bounds."
    AT_MIN_PARAMS = 1, "The bound min_params decides; lower it for a cheaper or better plan."
    AT_MAX_PARAMS = 2, "The bound max_params decides; raise it for a cheaper or better plan."
    AT_MIN_TOKENS = 3, "The bound min_tokens decides; lower it for a cheaper or better plan."
    AT_MAX_TOKENS = 4, "The bound max_tokens decides; raise it for a cheaper or better plan."
    AT_MAX_RATIO = 5, "The bound max_tokens_per_param decides; raise it for a better plan."
    AT_CORNER = 6, "Bounds fix params and tokens: the loss is beaten or budget is left over."
    INFEASIBLE_LOSS = 7, "The loss is not above the law's E, so no model reaches it; raise it."
    INFEASIBLE_BUDGET = 8, "The budget does not pay for the lower bounds; raise it or lower them."
    INFEASIBLE_BOUNDS = 9, "No plan meets the bounds and the target together; widen the bounds."
    INVALID_INPUT = 10, "An input is NaN, infinite or of the wrong sign; correct it."
    OUT_OF_RANGE = 11, "A result over- or underflows its dtype; use float64 or other units."
    NO_INTERIOR_OPTIMUM = 12, "The law has no optimum for this scenario; add bounds."
    NOT_CONVERGED = (
        13,
        "No plan passes the solver's checks; add bounds, or use exponents of 0.01 to 3.",
    )
    SEVERAL_OPTIMA = 14, "The law has more than one optimum here; bound params to one of them."
    AT_LEVER_END = 15, "A lever is at an end of its range: beyond it the law may do better."
    OUT_OF_MEMORY = (
        16,
        "Weights and cache do not fit the memory; use more devices, or fewer bytes a number.",
    )
    CONTEXT_TOO_LONG = 17, "The context is longer than the model's own; shorten it."
    TOO_SLOW = 18, "No batch answers within the limits; use more or faster devices, or wait longer."
    DO_NOT_TRAIN = 19, "No plan earns more than it costs; raise the value, or lower the costs."
    NO_FINITE_PRICE = 20, "Profit rises with the price without end; use an elasticity above 1."
    BEST_OF_SEVERAL = 21, "Profit has several optima; this is the best. Bound params for another."
    BEYOND_LAW = 22, "The law says nothing of a model of this size; bound params to where it does."

    @property
    def ok(self) -> bool:
        """Whether the plan's numbers are given."""
        return self <= Status.AT_CORNER or self in (Status.AT_LEVER_END, Status.BEST_OF_SEVERAL)


def is_ok(status: Array) -> Array:
    """Whether each status is one that comes with numbers; no for a number that is no status."""
    inside = (status >= int(Status.OK)) & (status <= int(Status.AT_CORNER))
    at_end = status == int(Status.AT_LEVER_END)
    return inside | at_end | (status == int(Status.BEST_OF_SEVERAL))


def first_status(*cases: tuple[Array, Status]) -> Array:
    """Status of the first condition that holds in each lane; OK where none does."""
    result = jnp.int8(Status.OK)
    for condition, status in reversed(cases):
        result = jnp.where(condition, jnp.int8(status), result)
    return result
