"""Specifications of sweeps: TOML that names axes, fixed values and fields, for any law.

    fields = ["params", "total_cost"]          # optional: the results to keep

    [axes]                                     # every combination is a scenario
    loss_nats_per_token = {from = 1.8, to = 2.6, count = 101}
    requests = {from = 1e6, to = 1e12, count = 101, spacing = "log"}
    serve_on = ["A100-40GB", "L40S"]

    [fixed]
    law = "besiroglu2024"                      # or "fit.json", or {E = .., A = .., B = .., ...}
    input_tokens_per_request = 70
    output_tokens_per_request = 215
    train_on = "A100-80GB"
    train_price_dollars_per_hour = 1.50
    serve_price_dollars_per_hour = 1.10

A law of another family is a table such as `{family = "Kaplan", N_c = .., ...}`, and each lever of a
law is an axis or a fixed value of its own, `levers.bits = 8`. Instead of a loss, `accuracy` is an
axis or a fixed value, with `task = "mmlu"` under `[fixed]` and no law: a task has its own.
Accelerators of an axis each have a price in a table, `serve_on = {A100-40GB = 1.10, L40S = 0.79}`,
or in a list under `[fixed]`.
"""

import dataclasses
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Self

from jaxscale import laws
from jaxscale._numerics.quantities import count
from jaxscale._schema import (
    BOUNDS,
    DEMANDS,
    DEVICES,
    QUANTITIES,
    ROLES,
    read_bounds,
    read_costs,
    read_demand,
)
from jaxscale.costs import DEFAULT_MFU, DEFAULT_PRECISION
from jaxscale.hardware import accelerator, comparable
from jaxscale.laws.protocol import levers_of
from jaxscale.laws.saved import taken_as_it_is
from jaxscale.plan import evaluate
from jaxscale.solve import minimize_cost
from jaxscale.sweeping._spec_text import (
    ACCURACY,
    COST,
    LAW,
    LOSS,
    RESULTS,
    TASK,
    Values,
    law_of,
    read_text,
)
from jaxscale.sweeping.axes import Axis, as_axis
from jaxscale.sweeping.spaces import Grid

TEXT = "specification"  # attribute of the results: the text that they were made from
CONDITIONS = "conditions"  # attribute of the results: the common conditions of all scenarios
DEFAULT = "default_sweep.toml"
NATS = "nats/token"


@dataclass(frozen=True, eq=False)
class Specification:
    """A sweep of plans as a TOML text describes it: `js.sweep(spec.scenario, spec.space)`.

    Examples:
        >>> spec = js.sweeping.spec.read('''
        ... axes.loss_nats_per_token = [2.0, 2.1]
        ... fixed.inference_tokens = 1e12
        ... ''')
        >>> data = js.sweep(spec.scenario, spec.space, fields=spec.labels)
        >>> print(data["params"].values.round(-8))
        [1.39e+10 4.80e+09]
    """

    text: str
    axes: Mapping[str, Values]  # numbers, or names from a catalogue
    fixed: Mapping[str, Any]  # numbers, names, and a law as a name or as an object
    fields: tuple[str, ...]
    # Prices of the accelerators of an axis, where each has its own: by `serve_price`, say.
    paired: Mapping[str, tuple[float, ...]] = dataclasses.field(default_factory=dict)

    @classmethod
    def of_text(cls, text: str, name: str, *, anyway: bool = False) -> Self:
        """The specification that a text writes; `name` is what errors call it."""
        return cls(text, *read_text(name, text, anyway=anyway))

    @property
    def space(self) -> Grid:
        """The grid of the axes, with units and long names; ValueError where it is too large."""
        return Grid(**{name: self._axis(name) for name in self.axes})

    @property
    def scenario(self) -> "PlanScenario":
        """The scenario function that belongs to `space`."""
        fixed = dict(self.fixed)
        for name in (LAW, *DEVICES):
            if name in fixed:
                (fixed[name],) = self._entries(name).values()
        if TASK in fixed:
            fixed[TASK] = laws.task_entry(fixed[TASK]).law
        return PlanScenario(fixed, self.fields, self._attributes())

    @property
    def labels(self) -> dict[str, dict[str, str]]:
        """Units and long name of every field that is kept, for `fields=` of `js.sweep`."""
        cost = "dollars" if self.in_dollars else "FLOPs"
        scale = laws.task_entry(self.fixed[TASK]).loss_scale if TASK in self.fixed else ""
        units = {COST: cost, NATS: scale.removeprefix("in ") or NATS}
        return {
            name: {"units": units.get(unit, unit), "long_name": long_name}
            for name, (unit, long_name) in ((name, RESULTS[name]) for name in self.fields)
        }

    @property
    def in_dollars(self) -> bool:
        """Whether accelerators are named; without them costs are FLOPs."""
        return bool(self.names("train_on"))

    @property
    def warnings(self) -> tuple[str, ...]:
        """A warning for each law whose fit is not a certified minimum, or leaves a number open."""
        entries = [taken_as_it_is(laws.entry(name)) for name in self.names(LAW)]
        entries += [laws.task_entry(name) for name in self.names(TASK)]
        return tuple(f"{entry.name}: {entry.warning}" for entry in entries if entry.warning)

    def names(self, name: str) -> tuple[str, ...]:
        """The catalogue's names given for a law or an accelerator, fixed or along an axis."""
        given = self.axes.get(name, (self.fixed.get(name),))
        return tuple(each for each in given if isinstance(each, str))

    def in_flops(self) -> "Specification":
        """The same with every FLOP costing one: no accelerator, price or utilisation."""
        law = self.fixed[LAW] if LAW in self.fixed else self.axes[LAW][0]
        demands = (name for way in DEMANDS for name in way)
        kept = {LAW, LOSS, TASK, ACCURACY, *BOUNDS, *demands, *levers_of(law_of(law))}
        return dataclasses.replace(
            self,
            axes={name: values for name, values in self.axes.items() if name in kept},
            fixed={name: value for name, value in self.fixed.items() if name in kept},
            paired={},
        )

    def at_middle(self, keep: Iterable[str]) -> "Specification":
        """The same with all axes but these fixed at the value in their middle."""
        axes, fixed, paired = dict(self.axes), dict(self.fixed), dict(self.paired)
        for name, values in self.axes.items():
            if name not in keep:
                middle = axes.pop(name)[len(values) // 2]
                fixed[name] = middle if isinstance(middle, str) else float(middle)
                if (price := _price_of(name)) in paired:
                    fixed[price] = paired.pop(price)[len(values) // 2]
        return dataclasses.replace(self, axes=axes, fixed=fixed, paired=paired)

    def __repr__(self) -> str:
        axes = ", ".join(f"{name} ({len(values)})" for name, values in self.axes.items())
        size = math.prod(map(len, self.axes.values()))
        return f"Specification of {size:,} scenarios: {axes}; {_conditions(self)}"

    def _axis(self, name: str) -> Axis:
        if name in (LAW, *DEVICES):
            return as_axis(name, self._entries(name))
        axis = as_axis(name, self.axes[name])
        labels = {"units": "1", "long_name": name.replace("_", " ")}  # of a lever
        if name in QUANTITIES:
            _, units, long_name, _ = QUANTITIES[name]
            labels = {"units": units, "long_name": long_name}
        return dataclasses.replace(axis, attributes=labels)

    def _entries(self, name: str) -> dict[str, Any]:
        """The law or the accelerator of each name."""
        if name == LAW:
            given = self.axes.get(LAW, (self.fixed.get(LAW),))
            return {law if isinstance(law, str) else "own": law_of(law) for law in given}
        price = _price_of(name)
        if price in self.paired:
            prices = zip(self.names(name), self.paired[price], strict=True)
            return comparable(*(accelerator(device, price=each) for device, each in prices))
        # A price of its own would be one more number to choose from where one is given for all.
        own = {"price": None} if price in (*self.axes, *self.fixed) else {}
        return comparable(*(accelerator(device, **own) for device in self.names(name)))

    def _attributes(self) -> dict[str, str]:
        sources = {f"law {name}": laws.entry(name).source for name in self.names(LAW)}
        sources |= {f"task {name}": laws.task_entry(name).source for name in self.names(TASK)}
        return {CONDITIONS: _conditions(self), TEXT: self.text, **sources}


@dataclass(frozen=True, eq=False)
class PlanScenario:
    """The scenario function of a specification: named values in, fields of plans out.

    The cheapest plan of each scenario stands beside the Chinchilla plan: the one of equal
    loss that is cheapest to train, priced with the same demand. Made by `Specification.scenario`.
    """

    fixed: Mapping[str, Any]  # numbers, a law, a task, accelerators
    fields: tuple[str, ...]
    attributes: Mapping[str, str]  # of the results

    def __call__(self, **varied: Any) -> dict[str, Any]:
        given = {**self.fixed, **varied}
        law, demand, costs = given[LAW], read_demand(given), read_costs(given)
        loss = given[TASK].loss(given[ACCURACY]) if TASK in given else given[LOSS]
        levers = {name: given[name] for name in levers_of(law)}
        best = minimize_cost(law, loss, demand, costs, read_bounds(given), levers=levers)
        size = minimize_cost(law, loss, levers=levers)
        chinchilla = evaluate(law, size.params, size.tokens, demand, costs, levers=levers)
        results = {
            "plan_loss": best.loss,
            "cost_ratio": best.total_cost / chinchilla.total_cost,
            "params_ratio": best.params / chinchilla.params,
            "tokens_ratio": best.tokens / chinchilla.tokens,
        }
        return {
            name: results[name] if name in results else getattr(best, name) for name in self.fields
        }


def read(
    source: str | os.PathLike | None = None, *, name: str | None = None, anyway: bool = False
) -> Specification:
    """The specification in a file or a text; without either, a million scenarios in dollars.

    A string of more than one line is a text, any other a path. `name` is what errors call it.
    With `anyway` a fit may be its law although its runs leave coefficients open; `warnings` of the
    specification then say so.

    Raises ValueError that names the line, the key and what is wrong, OSError that names a file that
    cannot be read, and TypeError for what is neither a path nor a text.

    Examples:
        >>> spec = js.sweeping.spec.read()
        >>> spec.space.size
        1000000
    """
    if isinstance(source, str) and "\n" in source:
        return Specification.of_text(source, name or "the specification", anyway=anyway)
    if source is None:
        text = resources.files("jaxscale.sweeping").joinpath(DEFAULT).read_text("utf-8")
        return Specification.of_text(text, name or "the default specification")
    if not isinstance(source, str | os.PathLike):
        raise TypeError(
            f"source must be a path or a text in TOML; got {source!r} ({type(source).__name__})"
        )
    name = name or os.fspath(source)
    try:
        text = Path(os.path.expanduser(source)).read_text("utf-8-sig")
    except OSError as error:
        hint = "; a text has more than one line" if isinstance(source, str) else ""
        reason = f"{error.strerror}{hint}"
        raise type(error)(f"cannot read the specification {name!r}: {reason}") from None
    except UnicodeDecodeError:
        raise ValueError(f"cannot read the specification {name!r}: it is not text") from None
    return Specification.of_text(text, name, anyway=anyway)


def _price_of(device: str) -> str:
    """The name of a price, `serve_price`, beside that of its accelerator, `serve_on`."""
    return f"{device.removesuffix('_on')}_price"


# --- Conditions in words -------------------------------------------------------------------------

VERBS = {"train": "trained", "serve": "served"}


def _conditions(spec: Specification) -> str:
    """Everything that is fixed, in one line."""
    parts = [_law(spec.fixed.get(LAW, "")), *_levers(spec), _fixed(spec, LOSS, "loss {}")]
    if TASK in spec.fixed:
        parts[0] = f"task {spec.fixed[TASK]}, by the law of its loss"
        parts.append(_fixed(spec, ACCURACY, "accuracy {}"))
    parts += [
        _fixed(spec, "inference_tokens", "{} tokens served"),
        _fixed(spec, "input_tokens", "{} tokens read"),
        _fixed(spec, "output_tokens", "{} tokens written"),
        _fixed(spec, "requests", "{} requests"),
        _each_request(spec),
    ]
    if spec.in_dollars or spec.names("serve_on"):
        parts += [_device(spec, role) for role in ROLES]
    parts += [_fixed(spec, name, f"at most {{}} {name[4:].replace('_', ' ')}") for name in BOUNDS]
    return "; ".join(filter(None, parts))


def _law(law: Any) -> str:
    if isinstance(law, str):
        return law and f"law {law}"
    numbers = ", ".join(f"{name} {float(x):g}" for name, x in vars(law).items())
    return f"{type(law).__name__} law {numbers}"


def _levers(spec: Specification) -> list[str]:
    law = spec.fixed.get(LAW)
    names = [] if law is None else levers_of(law_of(law))
    return [
        f"{name.replace('_', ' ')} {spec.fixed[name]:g}" for name in names if name in spec.fixed
    ]


def _each_request(spec: Specification) -> str:
    tokens_read = _fixed(spec, "input_per_request", "reads {} tokens")
    written = _fixed(spec, "output_per_request", "writes {} tokens")
    both = " and ".join(filter(None, (tokens_read, written)))
    return both and f"each request {both}"


def _device(spec: Specification, role: str) -> str:
    """The use of an accelerator: `served on A100-40GB (int8, 50 % prefill MFU)`."""
    name = spec.fixed.get(f"{role}_on", "")
    details = [spec.fixed.get(f"{role}_precision", DEFAULT_PRECISION)]
    price = f"{role}_price"
    if price in spec.fixed:
        details.append(f"${spec.fixed[price]:.2f} an hour")
    elif price not in spec.axes and name:
        details.append(f"${accelerator(name).price:.2f} an hour")
    for phase in ROLES[role]:
        mfu = f"{phase}_mfu"
        if mfu not in spec.axes:
            share = spec.fixed.get(mfu, DEFAULT_MFU[phase])
            details.append(f"{100 * share:g} %" + (f" {phase}" * (role == "serve")) + " MFU")
    where = f" on {name}" if name else ""
    if price in spec.paired:
        prices = zip(spec.axes[f"{role}_on"], spec.paired[price], strict=True)
        where = " on " + ", ".join(f"{device} at ${each:.2f} an hour" for device, each in prices)
    return f"{VERBS[role]}{where} ({', '.join(details)})"


def _fixed(spec: Specification, name: str, words: str) -> str:
    if name not in spec.fixed:
        return ""
    value = spec.fixed[name]
    return words.format(f"{value:g}" if value < 1000 or name == "loss" else count(value))
