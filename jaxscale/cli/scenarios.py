"""From a specification to what a sweep takes: a space, a scenario function, labelled fields."""

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import jaxscale as js
from jaxscale.cli.conditions import conditions_of
from jaxscale.cli.mistakes import blamed_on
from jaxscale.cli.spec import Spec
from jaxscale.cli.vocabulary import (
    BOUNDS,
    COST,
    DEMANDS,
    FIELDS,
    LAW,
    MFU_KEYS,
    NAMED,
    PRECISION_KEYS,
    QUANTITIES,
    ROLES,
)
from jaxscale.hardware import comparable
from jaxscale.laws import Chinchilla
from jaxscale.sweeping.axes import Axis, as_axis

SPECIFICATION = "specification"  # attribute of a stored sweep: the text that it was made from
CONDITIONS = "conditions"


@dataclass(frozen=True, eq=False)
class PlanScenario:
    """The scenario function of a specification: named values in, fields of plans out.

    The cheapest plan of each scenario stands beside the Chinchilla plan: the one of equal
    loss that is cheapest to train, priced with the same demand.
    """

    fixed: Mapping[str, Any]  # by the names of arguments: numbers, names, a law, accelerators
    fields: tuple[str, ...]
    attributes: Mapping[str, str]

    def __call__(self, **varied: Any) -> dict[str, Any]:
        given = {**self.fixed, **varied}
        law, loss, demand = given[LAW], given["loss"], _demand(given)
        costs = _dollars(given) if "train_on" in given else js.Costs.flops()
        best = js.minimize_cost(law, loss, demand, costs, _bounds(given))
        size = js.minimize_cost(law, loss)
        chinchilla = js.evaluate(law, size.params, size.tokens, demand, costs)
        results = {
            "plan_loss": best.loss,
            "cost_ratio": best.total_cost / chinchilla.total_cost,
            "params_ratio": best.params / chinchilla.params,
            "tokens_ratio": best.tokens / chinchilla.tokens,
        }
        return {
            name: results[name] if name in results else getattr(best, name) for name in self.fields
        }


def space_of(spec: Spec) -> js.Grid:
    """The grid of a specification's axes, with units and long names."""
    with blamed_on("the axes"):  # too many combinations
        return js.Grid(**{_name(key): _axis(spec, key) for key in spec.axes})


def scenario_of(spec: Spec) -> PlanScenario:
    """The scenario function that belongs to `space_of`."""
    fixed = {_name(key): value for key, value in spec.fixed.items()}
    for key in NAMED:
        if key in spec.fixed:
            (fixed[key],) = _entries(spec, key).values()
    return PlanScenario(fixed, spec.fields, _attributes(spec))


def labels_of(spec: Spec) -> dict[str, dict[str, str]]:
    """Units and long name of every field that is kept, in the order of the specification."""
    cost = "dollars" if in_dollars(spec) else "FLOPs"
    return {
        name: {"units": cost if units == COST else units, "long_name": long_name}
        for name, (units, long_name) in ((name, FIELDS[name]) for name in spec.fields)
    }


def in_dollars(spec: Spec) -> bool:
    return bool(spec.names("train_on"))


def in_flops(spec: Spec) -> Spec:
    """The same plans with every FLOP costing one: no accelerator, no price, no utilisation."""
    kept = {LAW, "loss_nats_per_token", *BOUNDS, *(key for way in DEMANDS for key in way)}
    axes = {key: values for key, values in spec.axes.items() if key in kept}
    fixed = {key: value for key, value in spec.fixed.items() if key in kept}
    return dataclasses.replace(spec, axes=axes, fixed=fixed)


def at_middle(spec: Spec, keep: Iterable[str]) -> Spec:
    """The same with all axes but these, named as in the results, fixed at their middle."""
    axes, fixed = dict(spec.axes), dict(spec.fixed)
    for key, values in spec.axes.items():
        if _name(key) not in keep:
            middle = axes.pop(key)[len(values) // 2]
            fixed[key] = middle if isinstance(middle, str) else float(middle)
    return dataclasses.replace(spec, axes=axes, fixed=fixed)


def _name(key: str) -> str:
    return QUANTITIES[key].name if key in QUANTITIES else key


def _axis(spec: Spec, key: str) -> Axis:
    if key not in QUANTITIES:
        return as_axis(key, _entries(spec, key))
    _, units, long_name, _ = QUANTITIES[key]
    axis = as_axis(key, spec.axes[key])
    return dataclasses.replace(axis, attributes={"units": units, "long_name": long_name})


def _entries(spec: Spec, key: str) -> dict[str, Any]:
    """What a scenario is given for each name: a law, or an accelerator."""
    if key == LAW:
        own = spec.fixed.get(LAW)
        if isinstance(own, Chinchilla):
            return {"own": own}
        return {name: js.laws.published(name) for name in spec.names(LAW)}
    price = f"{key.removesuffix('_on')}_price_dollars_per_hour"
    # A price of its own would be one more number to choose from where one is given for all.
    own = {"price": None} if price in (*spec.axes, *spec.fixed) else {}
    return comparable(*(js.accelerator(name, **own) for name in spec.names(key)))


def _demand(given: Mapping[str, Any]) -> js.Demand:
    if "requests" in given:
        return js.Demand.from_requests(
            given["requests"],
            input_tokens=given["input_per_request"],
            output_tokens=given["output_per_request"],
        )
    return js.Demand(
        given.get("inference_tokens", given.get("input_tokens")), given.get("output_tokens", 0.0)
    )


def _dollars(given: Mapping[str, Any]) -> js.Costs:
    devices = {role: given[f"{role}_on"] for role in ROLES}
    for role in ROLES:
        if f"{role}_price" in given:
            devices[role] = dataclasses.replace(devices[role], price=given[f"{role}_price"])
    options = {name: given[name] for name in (*PRECISION_KEYS, *MFU_KEYS) if name in given}
    return js.Costs.on(**devices, **options)


def _bounds(given: Mapping[str, Any]) -> js.Bounds | None:
    """The bounds that were given; None for none, because solving without is faster."""
    bounds = {name: given[name] for name in BOUNDS if name in given}
    return js.Bounds(**bounds) if bounds else None


def _attributes(spec: Spec) -> dict[str, str]:
    laws = spec.names(LAW) if not isinstance(spec.fixed.get(LAW), Chinchilla) else ()
    sources = {f"law {name}": js.laws.entry(name).source for name in laws}
    return {CONDITIONS: conditions_of(spec), SPECIFICATION: spec.text, **sources}
