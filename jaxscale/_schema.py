"""The numbers that describe a scenario, and readers of its law, demand, costs and bounds.

The command line and the specification of a sweep read the same names. An option is the name with
dashes, `--serve-price`; a key in a file carries the unit too, `serve_price_dollars_per_hour`. A
reader is told how names are spelled, so that its errors say what the user wrote.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import MISSING, fields, replace
from typing import Any, NamedTuple

from jaxscale._numerics.names import unknown
from jaxscale._numerics.quantities import cents
from jaxscale.costs import DEFAULT_MFU, DEFAULT_PRECISION, Costs, Demand
from jaxscale.hardware import Accelerator, accelerator
from jaxscale.laws._catalog import FAMILIES
from jaxscale.laws.fitted import Coefficient, coefficients_of
from jaxscale.laws.protocol import is_valid
from jaxscale.plan import Bounds

Spelling = Callable[[str], str]  # of a name, in a message


class Rule(NamedTuple):
    """The finite numbers that a quantity may take."""

    words: str
    holds: Callable[[float], bool]


POSITIVE = Rule("above 0", lambda x: x > 0)
NONNEGATIVE = Rule("0 or more", lambda x: x >= 0)
SHARE = Rule("above 0 and at most 1", lambda x: 0 < x <= 1)
FINITE = Rule("a number", lambda x: True)


class Quantity(NamedTuple):
    """A number of a scenario."""

    key: str  # in a file
    units: str
    long_name: str
    rule: Rule


QUANTITIES: Mapping[str, Quantity] = {
    "loss": Quantity("loss_nats_per_token", "nats/token", "loss to reach", POSITIVE),
    "accuracy": Quantity("accuracy", "1", "accuracy to reach on a task", SHARE),
    "inference_tokens": Quantity(
        "inference_tokens", "tokens", "tokens served, every one priced as prefill", NONNEGATIVE
    ),
    "input_tokens": Quantity("input_tokens", "tokens", "tokens read in all", NONNEGATIVE),
    "output_tokens": Quantity("output_tokens", "tokens", "tokens written in all", NONNEGATIVE),
    "requests": Quantity("requests", "requests", "requests in all", NONNEGATIVE),
    "input_per_request": Quantity(
        "input_tokens_per_request", "tokens/request", "tokens read in each request", NONNEGATIVE
    ),
    "output_per_request": Quantity(
        "output_tokens_per_request", "tokens/request", "tokens written in each request", NONNEGATIVE
    ),
    "train_mfu": Quantity("train_mfu", "1", "MFU in training", SHARE),
    "prefill_mfu": Quantity("prefill_mfu", "1", "MFU in prefill", SHARE),
    "decode_mfu": Quantity("decode_mfu", "1", "MFU in decode", SHARE),
    "train_price": Quantity(
        "train_price_dollars_per_hour", "dollars/hour", "price of a training device", POSITIVE
    ),
    "serve_price": Quantity(
        "serve_price_dollars_per_hour", "dollars/hour", "price of a serving device", POSITIVE
    ),
    "max_params": Quantity("max_params", "1", "largest model allowed", POSITIVE),
    "max_tokens": Quantity("max_tokens", "tokens", "most training tokens", POSITIVE),
    "max_tokens_per_param": Quantity(
        "max_tokens_per_param", "tokens", "most training tokens per param", POSITIVE
    ),
    "max_memory": Quantity(
        "max_memory_bytes", "bytes", "memory for bf16 weights and 16,384 cached tokens", POSITIVE
    ),
}

# Each way to state the demand; exactly one of them is used, with all its names.
DEMANDS = (
    ("inference_tokens",),
    ("input_tokens", "output_tokens"),
    ("requests", "input_per_request", "output_per_request"),
)
BOUNDS = ("max_params", "max_tokens", "max_tokens_per_param", "max_memory")
ROLES: Mapping[str, tuple[str, ...]] = {"train": ("train",), "serve": ("prefill", "decode")}
DEVICES = tuple(f"{role}_on" for role in ROLES)
PRECISIONS_OF = tuple(f"{role}_precision" for role in ROLES)
MFUS = tuple(f"{phase}_mfu" for phases in ROLES.values() for phase in phases)


def option_of(name: str) -> str:
    """The option of a name: `--serve-price`."""
    return f"--{name.replace('_', '-')}"


def key_of(name: str) -> str:
    """The key of a name in a file: `serve_price_dollars_per_hour`."""
    return QUANTITIES[name].key if name in QUANTITIES else name


class Refused(ValueError):
    """A value that cannot be used; `name` is the one to blame, empty where none is."""

    def __init__(self, problem: str, name: str = "") -> None:
        super().__init__(problem)
        self.name = name


DEFAULT_LAW = "sardana2024"
FAMILY, DEFAULT_FAMILY = "family", "Chinchilla"


def read_law(given: Mapping[str, Any], read: Callable[[str, Any, Rule], float]) -> Any:
    """The law of a `family`, Chinchilla by default, with the given coefficients.

    `read` turns the value of a coefficient into a number that keeps a rule.
    """
    name = given.get(FAMILY, DEFAULT_FAMILY)
    if not isinstance(name, str) or name not in FAMILIES:
        raise Refused(str(unknown("family", name, FAMILIES)), FAMILY)
    form = FAMILIES[name]
    known = coefficients_of(form)
    for each in given:
        if each not in known and each != FAMILY:
            listed = ", ".join(known)
            raise Refused(f"is not a coefficient of a {name} law; they are {listed}", each)
    needed = [each.name for each in fields(form) if each.default is MISSING]
    missing = [each for each in needed if each not in given]
    if missing:
        raise Refused(f"{', '.join(missing)} missing")
    law = form(**{x: read(x, given[x], _rule_of(x, known[x])) for x in known if x in given})
    if not is_valid(law):
        raise Refused(f"these coefficients are no {name} law")
    return law


def _rule_of(name: str, coefficient: Coefficient) -> Rule:
    if not coefficient.positive and coefficient.low < 0:
        return FINITE
    return NONNEGATIVE if name == "E" else POSITIVE


def check_demand(given: Collection[str], spelled: Spelling = str) -> None:
    """Refuse names that state no demand, a part of one, or more than one."""
    used = [way for way in DEMANDS if any(name in given for name in way)]
    if len(used) != 1:
        problem = "given in more than one way" if used else "missing"
        choices = "; or ".join(" with ".join(map(spelled, way)) for way in DEMANDS)
        raise Refused(f"the demand is {problem}: use {choices}")
    missing = [spelled(name) for name in used[0] if name not in given]
    if missing:
        raise Refused(f"give {' and '.join(missing)} too, or 0 where there is none")


def read_demand(given: Mapping[str, Any], spelled: Spelling = str) -> Demand:
    """The demand that the given numbers state; other names are ignored."""
    check_demand(given, spelled)
    if "requests" in given:
        return Demand.from_requests(
            given["requests"],
            input_tokens=given["input_per_request"],
            output_tokens=given["output_per_request"],
        )
    return Demand(
        given.get("inference_tokens", given.get("input_tokens")), given.get("output_tokens", 0.0)
    )


def read_bounds(given: Mapping[str, Any]) -> Bounds | None:
    """The given bounds; None without any, because solving without bounds is faster."""
    bounds = {name: given[name] for name in BOUNDS if name in given}
    return Bounds(**bounds) if bounds else None


def in_dollars(
    given: Collection[str], spelled: Spelling = str, roles: Collection[str] = tuple(ROLES)
) -> bool:
    """Whether accelerators are named, so that costs are dollars; refuses all in between."""
    devices = [f"{role}_on" for role in roles]
    needed = " and ".join(map(spelled, devices))
    unnamed = [name for name in devices if name not in given]
    if len(unnamed) == len(devices):
        for name in (name for role in roles for name in _details(role) if name in given):
            raise Refused(f"needs {needed}: without them costs are FLOPs", name)
        return False
    if unnamed:
        raise Refused(f"give {spelled(unnamed[0])} too: dollars need {needed}")
    return True


class Rented(NamedTuple):
    """An accelerator in one role, and how it is used."""

    device: Accelerator
    precision: str
    price: Any  # dollars per device-hour
    mfu: Mapping[str, Any]  # by phase


def rented(role: str, given: Mapping[str, Any], spelled: Spelling = str) -> Rented:
    """The accelerator given for a role; refused without that precision, or without a price."""
    on, priced = f"{role}_on", f"{role}_price"
    precision = given.get(f"{role}_precision", DEFAULT_PRECISION)
    with _blaming(on):
        device = given[on] if isinstance(given[on], Accelerator) else accelerator(given[on])
    with _blaming(f"{role}_precision" if f"{role}_precision" in given else on):
        device.peak(precision)
    price = given.get(priced, device.price)
    if price is None:
        wanted = spelled(priced)
        unit = "" if "dollars" in wanted else " in dollars per device-hour"
        problem = f"{device.name} has no default price: give {wanted}{unit}"
        raise Refused(f"{problem}; quotes: {quotes_of(device)}", on)
    mfu = {phase: given.get(f"{phase}_mfu", DEFAULT_MFU[phase]) for phase in ROLES[role]}
    return Rented(device, precision, price, mfu)


def read_costs(given: Mapping[str, Any]) -> Costs:
    """Dollars per FLOP on the given accelerators, which are objects here; else `Costs.flops()`.

    Where no accelerator serves, the one that trains does.
    """
    if "train_on" not in given:
        return Costs.flops()
    train = _priced("train", given)
    serve = _priced("serve", given) if "serve_on" in given else train
    options = {name: given[name] for name in (*PRECISIONS_OF, *MFUS) if name in given}
    if "serve_on" not in given:
        options["serve_precision"] = given.get("train_precision", DEFAULT_PRECISION)
    return Costs.on(train=train, serve=serve, **options)


def quotes_of(device: Accelerator) -> str:
    """Every rental price of a device that is known, with its date and source."""
    quotes = [
        f"{cents(each.dollars_per_hour)} ({each.date}, {each.source})" for each in device.quotes
    ]
    return "; ".join(quotes) or "none known"


def _priced(role: str, given: Mapping[str, Any]) -> Accelerator:
    device, price = given[f"{role}_on"], f"{role}_price"
    return replace(device, price=given[price]) if price in given else device


def _details(role: str) -> tuple[str, ...]:
    return f"{role}_precision", f"{role}_price", *(f"{phase}_mfu" for phase in ROLES[role])


@contextmanager
def _blaming(name: str) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise Refused(str(error), name) from None
