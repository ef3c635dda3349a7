"""The words of a sweep's specification: what may be given, in which unit, and what comes out.

The unit stands in the key, so that no reader and no writer can mistake it. In the results,
where each coordinate carries its unit beside it, names are short.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from jaxscale._numerics.names import hint, nearest, question


class Rule(NamedTuple):
    """Which finite numbers a quantity may take."""

    words: str
    holds: Callable[[float], bool]


POSITIVE = Rule("above 0", lambda x: x > 0)
NONNEGATIVE = Rule("0 or more", lambda x: x >= 0)
SHARE = Rule("above 0 and at most 1", lambda x: 0 < x <= 1)


class Quantity(NamedTuple):
    """A number that a scenario is given."""

    name: str  # of the argument, and of the axis in the results
    units: str
    long_name: str
    rule: Rule


QUANTITIES: Mapping[str, Quantity] = {
    "loss_nats_per_token": Quantity("loss", "nats/token", "loss to reach", POSITIVE),
    "inference_tokens": Quantity(
        "inference_tokens", "tokens", "tokens served, every one priced as prefill", NONNEGATIVE
    ),
    "input_tokens": Quantity("input_tokens", "tokens", "tokens read in all", NONNEGATIVE),
    "output_tokens": Quantity("output_tokens", "tokens", "tokens written in all", NONNEGATIVE),
    "requests": Quantity("requests", "requests", "requests in all", NONNEGATIVE),
    "input_tokens_per_request": Quantity(
        "input_per_request", "tokens/request", "tokens read in each request", NONNEGATIVE
    ),
    "output_tokens_per_request": Quantity(
        "output_per_request", "tokens/request", "tokens written in each request", NONNEGATIVE
    ),
    "train_mfu": Quantity("train_mfu", "1", "MFU in training", SHARE),
    "prefill_mfu": Quantity("prefill_mfu", "1", "MFU in prefill", SHARE),
    "decode_mfu": Quantity("decode_mfu", "1", "MFU in decode", SHARE),
    "train_price_dollars_per_hour": Quantity(
        "train_price", "dollars/hour", "price of a training device", POSITIVE
    ),
    "serve_price_dollars_per_hour": Quantity(
        "serve_price", "dollars/hour", "price of a serving device", POSITIVE
    ),
    "max_params": Quantity("max_params", "1", "largest model allowed", POSITIVE),
    "max_tokens": Quantity("max_tokens", "tokens", "most training tokens", POSITIVE),
    "max_tokens_per_param": Quantity(
        "max_tokens_per_param", "tokens", "most training tokens per param", POSITIVE
    ),
}

# Each way to say the demand; one of them is given whole.
DEMANDS = (
    ("inference_tokens",),
    ("input_tokens", "output_tokens"),
    ("requests", "input_tokens_per_request", "output_tokens_per_request"),
)
BOUNDS = ("max_params", "max_tokens", "max_tokens_per_param")
MFU_KEYS = ("train_mfu", "prefill_mfu", "decode_mfu")
ROLES = ("train", "serve")
DEVICES = tuple(f"{role}_on" for role in ROLES)
PRICES = tuple(f"{role}_price_dollars_per_hour" for role in ROLES)
PRECISION_KEYS = tuple(f"{role}_precision" for role in ROLES)

LAW = "law"
NAMED = {LAW: "law", "train_on": "accelerator that trains", "serve_on": "accelerator that serves"}
KEYS = (LAW, *QUANTITIES, *DEVICES, *PRECISION_KEYS)

COST = "cost"  # stands for dollars, or for FLOPs where no accelerator is named
STATUS = "status"
FIELDS: Mapping[str, tuple[str, str]] = {  # units and long name
    "params": ("1", "params of the cheapest plan"),
    "tokens": ("tokens", "training tokens of the cheapest plan"),
    "tokens_per_param": ("tokens", "training tokens per param"),
    "plan_loss": ("nats/token", "loss of the cheapest plan"),
    "train_cost": (COST, "cost of training"),
    "prefill_cost": (COST, "cost of prefill"),
    "decode_cost": (COST, "cost of decode"),
    "inference_cost": (COST, "cost of prefill and decode"),
    "total_cost": (COST, "cost of training and inference"),
    "cost_ratio": ("1", "total cost over that of the Chinchilla plan"),
    "params_ratio": ("1", "params over those of the Chinchilla plan"),
    "tokens_ratio": ("1", "training tokens over those of the Chinchilla plan"),
    STATUS: ("1", "what became of the scenario"),
}
DEFAULT_FIELDS = (
    "params",
    "tokens",
    "tokens_per_param",
    "total_cost",
    "cost_ratio",
    "params_ratio",
    "tokens_ratio",
    STATUS,
)


def described(key: str) -> str:
    """A key with its unit, where that is one."""
    units = QUANTITIES[key].units if key in QUANTITIES else "1"
    return key if units == "1" else f"{key}, in {units}"


def meant(word: str, choices: Iterable[str]) -> str:
    """A question after an unknown word: the valid ones that share most of its parts.

    A key with another unit shares its first parts with the right one, however far apart
    the two are letter by letter.
    """
    choices = list(choices)
    parts = set(word.lower().split("_"))
    shared = {each: len(parts & set(each.split("_"))) for each in choices}
    most = max(shared.values(), default=0)
    likely = [each for each in choices if most and shared[each] == most]
    if len(likely) > 2:
        likely = [nearest(word, likely, cutoff=0.0) or likely[0]]
    return question(map(described, likely)) if likely else hint(word, choices, written=described)
