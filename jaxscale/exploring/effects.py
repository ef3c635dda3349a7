"""What matters: how much a small change of each input changes the answer."""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxscale._numerics.compiled import compiled
from jaxscale._numerics.quantities import count, elapsed, number, percent
from jaxscale._schema import BOUNDS
from jaxscale.costs import DEFAULT_MFU
from jaxscale.exploring.answering import Answer, targets_of
from jaxscale.exploring.fields import FIELDS, LEVER
from jaxscale.exploring.reading import Asked
from jaxscale.laws.protocol import levers_of
from jaxscale.serving.deployment import bytes_of
from jaxscale.serving.requests import OUTPUT, PROMPT, Requests, lengths_within
from jaxscale.solve import minimize_cost, minimize_loss

MORE, NAT, POINT = "1 % more", "0.01 nat more", "1 point more"
STEP = 1e-6  # of a logarithm, where what an input moves is found by differences
NEGLIGIBLE = 1e-10  # an effect that is rounding alone: a bound that does not bind, say
Powers = Mapping[str, float]
_MACHINE = "costs.serving.device"
BITS = "bits"  # the lever that sets the precision of serving


class Effect(NamedTuple):
    """What a step of one input does to the answer.

    A step is 1 % of the input, but 0.01 nat of a loss and a point of an accuracy. All are
    derivatives, so they hold for small changes, and each holds all other inputs fixed.
    """

    name: (
        str  # of a field ("train_price"), a coefficient ("law.alpha") or a device ("device.price")
    )
    label: str
    value: str
    step: str  # in words: "1 % more"
    cost: float  # percent of the total cost; for a budget, of what is spent
    loss: float  # hundredths of a nat: what a budget changes
    params: float  # percent
    tokens: float  # percent


class Input(NamedTuple):
    """A number that people give, by the solver's numbers that it moves, each to a power."""

    name: str
    label: str
    value: str
    powers: Powers
    step: str = MORE


def effects(answer: Answer) -> tuple[Effect, ...]:
    """The effect of each input that has one, the largest on the cost (of a budget: loss) first.

    Bounds that do not bind are left out, and so are inputs whose effect is not known or that stand
    where the answer jumps. Empty without a plan. The first of a family of law and shape of question
    waits for the compiler.
    """
    if not answer.optimum.ok:
        return ()
    asked = _on_its_devices(answer)
    slopes = _slopes_of(asked)
    of_budget = asked.quality.budget is not None
    every = (_effect(item, slopes) for item in inputs_of(asked))
    felt = [each for each in every if _is_felt(each, of_budget)]
    return tuple(sorted(felt, key=lambda x: -abs(x.loss if of_budget else x.cost)))


def _on_its_devices(answer: Answer) -> Asked:
    """The question with the devices that serve its plan alone: small changes change none.

    A program for one machine compiles in a fraction of the time of one for all.
    """
    asked, serving = answer.asked, answer.asked.costs.serving
    if not serving:
        return asked
    chosen = serving.options[int(answer.optimum.serving["choice"])]
    return asked._replace(costs=replace(asked.costs, serving=replace(serving, options=(chosen,))))


def _effect(item: Input, slopes: Mapping[str, np.ndarray]) -> Effect:
    total = np.asarray(sum(power * slopes[name] for name, power in item.powers.items()))
    felt = np.where(np.abs(total) > NEGLIGIBLE, total, np.where(np.isnan(total), np.nan, 0.0))
    return Effect(item.name, item.label, item.value, item.step, *map(float, felt))


def _is_felt(effect: Effect, of_budget: bool) -> bool:
    # Of a budget the cost is that of what bounds leave over: the budget alone moves it elsewhere.
    numbers = [effect.cost, effect.params, effect.tokens, *[effect.loss] * of_budget]
    return math.isfinite(sum(numbers)) and any(numbers)


# --- Derivatives by the solver's numbers ------------------------------------------------------


def _slopes_of(asked: Asked) -> dict[str, np.ndarray]:
    """Slopes of log cost, loss, log params and log tokens, by the name of each number moved."""
    quality = {name: x for name, x in asked.quality._asdict().items() if isinstance(x, float)}
    task = asked.quality.task
    if task is not None:
        quality.pop("loss", None)  # follows from the accuracy
    numbers = {
        "law": asked.law,
        "task": None if task is None else task.law,
        "quality": quality,
        "demand": asked.demand,
        "costs": asked.costs,
        "bounds": asked.bounds,
        "lever": {name: x for name, x in asked.levers.items() if name not in asked.given.best},
        "of_model": _levers_of_model(asked),
    }
    paths = jax.tree_util.tree_flatten_with_path(numbers)[0]
    names = sorted({name for path, _ in paths if _may_move(name := _name_of(path))})
    with jax.enable_x64(True):
        slopes = np.asarray(_slopes(dict.fromkeys(names, 0.0), numbers))
    return dict(zip(names, slopes, strict=True))


def _levers_of_model(asked: Asked) -> dict[str, float]:
    params = asked.quality.params
    return {} if params is None else asked.given.of_model(params)


@compiled
def _slopes(unmoved: dict[str, Array], numbers: dict[str, Any]) -> Array:
    """A row of slopes for each move, by their names in order."""
    names = sorted(unmoved)

    def by_moves(moves: Array) -> Array:
        return _moved_answer(dict(zip(names, moves, strict=True)), numbers)

    _, slope = jax.linearize(by_moves, jnp.zeros(len(names)))
    # One after the other: all at once, as jacfwd has them, compile for more than twice as long.
    return jax.lax.map(slope, jnp.eye(len(names)))


def _moved_answer(moves: dict[str, Array], numbers: dict[str, Any]) -> Array:
    """Log cost, loss, log params and log tokens with numbers moved by these logarithms."""

    def moved(path: Any, x: Any) -> Any:
        name = _name_of(path)
        return _moved(name, x, moves[name]) if name in moves else x

    now = jax.tree_util.tree_map_with_path(moved, numbers)
    if now["task"] is not None:
        now["quality"]["loss"] = now["task"].loss(now["quality"]["accuracy"])
    quality = tuple(now["quality"].get(name) for name in ("loss", "params", "tokens", "budget"))
    served = now["demand"], now["costs"], now["bounds"]
    over = {name: None for name in levers_of(now["law"]) if name not in now["lever"]}
    choice = {"levers": now["lever"], "over": over}
    if quality[-1] is not None:
        plan = minimize_loss(now["law"], quality[-1], *served, **choice)
    else:
        targets, *_ = targets_of(now["law"], quality, now["of_model"])
        plan = minimize_cost(now["law"], targets, *served, **choice)
    cost, params, tokens = map(jnp.log, (plan.total_cost, plan.params, plan.tokens))
    return jnp.stack([cost, plan.loss, params, tokens])


def _moved(name: str, x: Any, move: Array) -> Array:
    if name in ("quality.loss", "quality.accuracy"):
        return x + move
    unlimited = jnp.isinf(x)  # whose derivative is no number
    return jnp.where(unlimited, x, jnp.where(unlimited, 1, x) * jnp.exp(move))


def _name_of(path: Any) -> str:
    """The name of a number; the options of a serving share theirs."""
    return re.sub(r"options\.\d+", "device", jax.tree_util.keystr(path, simple=True, separator="."))


_FIXED = re.compile(
    r"costs\.serving\.(family\.(?!context)|device\.(count|tensor_parallel|accelerator\.(domain|watts)))"
    r"|costs\.serving\.requests\.(rate|streams)|bounds\.min_"
)


def _may_move(name: str) -> bool:
    """Whether it is a number that an input may move, and not one of devices, say."""
    return not _FIXED.match(name)


# --- Inputs as people give them ---------------------------------------------------------------


def inputs_of(asked: Asked) -> Iterator[Input]:
    """The numbers of a question that its answer rests on, those that it has by default too."""
    yield from _of_quality(asked)
    yield from _of_demand(asked)
    if asked.unit == "dollars":
        yield from _of_prices(asked)
    if asked.is_timed:
        yield from _of_serving(asked)
        yield from _of_device(asked)
    for name in (name for name in asked.question.texts if name in BOUNDS):
        yield _given(asked, name, {f"bounds.{name}": 1})
    of_model = _levers_of_model(asked)
    for name, value in asked.given.values.items():
        if name == BITS and _fill_their_precision(asked, value):
            continue
        moved = [f"{LEVER}{name}", *[f"of_model.{name}"] * (name in of_model)]
        yield Input(
            f"{LEVER}{name}", name.replace("_", " "), number(value), dict.fromkeys(moved, 1)
        )
    yield from _of_coefficients("law", "of the law", asked.law)
    if asked.quality.task is not None:
        yield from _of_coefficients("task", "of the task", asked.quality.task.law)


def _fill_their_precision(asked: Asked, bits: float) -> bool:
    """Whether more bits are served in a wider precision, so that costs jump there."""
    if asked.deployment is None or "serve_precision" in asked.question.texts:
        return False
    more = bits * math.exp(STEP)
    return more <= levers_of(asked.law)[BITS][1] and more > 8 * bytes_of(
        "weights", asked.deployment.weights
    )


def _given(asked: Asked, name: str, powers: Powers, default: str = "", step: str = MORE) -> Input:
    field = FIELDS[name]
    value = asked.question.texts.get(name, default or field.default)
    if field.unit.startswith("dollars") and value[:1].isdigit() and "$" not in value:
        value = f"${value}"
    return Input(name, field.label, value, powers, step)


_QUALITY = {
    "like_params": "quality.params",
    "like_tokens": "quality.tokens",
    "loss": "quality.loss",
    "accuracy": "quality.accuracy",
    "budget": "quality.budget",
    "flops": "quality.budget",
}
_STEPS = {"loss": NAT, "accuracy": POINT}


def _of_quality(asked: Asked) -> Iterator[Input]:
    for name, moved in _QUALITY.items():
        if name in asked.question.texts:
            powers = {moved: 1.0}
            if name == "like_params":
                powers |= _powers_of_levers(asked)
            yield _given(asked, name, powers, step=_STEPS.get(name, MORE))


def _powers_of_levers(asked: Asked) -> Powers:
    """How levers of a model to match follow its params, where they do."""
    params = asked.quality.params
    assert params is not None
    more, less = (asked.given.of_model(params * math.exp(x)) for x in (STEP, -STEP))
    return {
        f"of_model.{name}": math.log(more[name] / less[name]) / (2 * STEP)
        for name in more
        if more[name] != less[name]
    }


_READ, _WRITTEN = "demand.input_tokens", "demand.output_tokens"
_DEMAND: Mapping[str, Powers] = {
    "inference_tokens": {_READ: 1},
    "input_tokens": {_READ: 1},
    "output_tokens": {_WRITTEN: 1},
    "requests": {_READ: 1, _WRITTEN: 1},
    "input_per_request": {_READ: 1},
    "output_per_request": {_WRITTEN: 1},
}


def _of_demand(asked: Asked) -> Iterator[Input]:
    lengths = _lengths(asked) if asked.is_timed else {}
    for name, powers in _DEMAND.items():
        if name in asked.question.texts:
            yield _given(asked, name, {**powers, **lengths.get(name, {})})


def _of_prices(asked: Asked) -> Iterator[Input]:
    served = f"{_MACHINE}.accelerator.price"
    serve = {served: 1} if asked.is_timed else {"costs.prefill": 1, "costs.decode": 1}
    for role, powers in (("train", {"costs.train": 1}), ("serve", serve)):
        price = f"{asked.uses[role].price:g}"
        yield _given(asked, f"{role}_price", powers, price)
    for phase in ("train",) if asked.is_timed else DEFAULT_MFU:
        yield _given(asked, f"{phase}_mfu", {f"costs.{phase}": -1})


_LIMITS = {
    "max_latency": "limits.token_seconds",
    "max_first_token": "limits.first_token_seconds",
    "batch": "limits.max_batch",
    "cached": "requests.cached",
    "utilisation": "utilisation",
}


def _of_serving(asked: Asked) -> Iterator[Input]:
    for name, powers in _lengths(asked).items():
        if name not in _DEMAND:
            yield _given(asked, name, powers)
    for name, number_of in _LIMITS.items():
        if name == "utilisation" and _is_never_idle(asked):
            continue
        if name in asked.question.texts or FIELDS[name].default:
            yield _given(asked, name, {f"costs.serving.{number_of}": 1})


def _is_never_idle(asked: Asked) -> bool:
    """Whether serving has no queue, while just below full use its queue has no end: see `serve`."""
    served = asked.costs.serving
    return served.utilisation == 1 and math.isfinite(served.limits.first_token_seconds)


def _lengths(asked: Asked) -> dict[str, Powers]:
    """What the lengths of a request move, by the field that states each."""
    texts = asked.question.texts
    served = asked.costs.serving
    stated = {"context": "context"} if "context" in texts else {}
    values = {"context": float(served.family.context)} if stated else {}
    usual = {"prompt": (PROMPT, "input_per_request"), "output": (OUTPUT, "output_per_request")}
    for length, (trace, in_demand) in usual.items():
        field = in_demand if length not in texts and in_demand in texts else length
        value = float(getattr(served.requests, length))
        if field in texts or value == trace:  # else it follows from the others
            stated[length], values[length] = field, value
    found = {}
    for length, field in stated.items():
        ends = [_room(**{**values, length: values[length] * math.exp(x)}) for x in (STEP, -STEP)]
        if None not in ends:
            up, down = (np.log(list(end.values())) for end in ends if end is not None)
            slopes = (up - down) / (2 * STEP)
            found[field] = {
                f"costs.serving.{name}": float(slope)
                for name, slope in zip(ends[0] or (), slopes, strict=True)
            }
    return found


def _room(
    context: float | None = None, prompt: float | None = None, output: float | None = None
) -> dict[str, float] | None:
    """The lengths that serving takes, as the page reads them; None where they do not fit."""
    lengths = lengths_within(math.inf if context is None else context, prompt, output)
    if lengths is None:
        return None
    filled = Requests(*lengths, kept=context).filled()
    names = ("prompt", "output", "prompt_context", "output_context", "kept", "longest")
    numbers = {f"requests.{name}": float(getattr(filled, name)) for name in names}
    return {**numbers, "family.context": context or sum(lengths)}


# What devices reach of what they are sold with: by both alike.
_REACHED = {
    "memory_bandwidth": ("bandwidth_efficiency", "Memory bandwidth reached", "bytes/s"),
    "link_bandwidth": ("link_efficiency", "Bandwidth of links reached", "bytes/s"),
    "memory_bytes": ("usable_memory", "Memory that is free", "bytes"),
}
_DEVICE = {
    "accelerator.network_bandwidth": ("Bandwidth of the network", lambda x: f"{count(x)} bytes/s"),
    "eight_way_efficiency": ("Share of it that eight devices reach", percent),
    "reduce_seconds": ("Time of a short all-reduce", elapsed),
    "launch_seconds": ("Time to launch a kernel", elapsed),
}


def _of_device(asked: Asked) -> Iterator[Input]:
    """The numbers of the devices that serve, and what their timing takes for granted."""
    one = asked.costs.serving.options[0]
    device = one.accelerator
    share = "compute_efficiency"
    reached = [
        (f"peak_flops.{precision}", peak, share, f"Peak reached in {precision}", "FLOP/s")
        for precision, peak in device.peak_flops.items()
    ]
    reached += [(name, getattr(device, name), *words) for name, words in _REACHED.items()]
    for name, most, share, label, unit in reached:
        if most is not None:
            value = f"{percent(getattr(one, share))} of {count(most)} {unit}"
            yield Input(f"device.{name}", label, value, {f"{_MACHINE}.accelerator.{name}": 1})
    for path, (label, write) in _DEVICE.items():
        part, _, field = path.rpartition(".")
        if (value := getattr(device if part else one, field)) is not None:
            yield Input(f"device.{field}", label, write(value), {f"{_MACHINE}.{path}": 1})


def _of_coefficients(kind: str, of: str, law: Any) -> Iterator[Input]:
    for path, value in jax.tree_util.tree_flatten_with_path(law)[0]:
        name = f"{kind}.{jax.tree_util.keystr(path, simple=True, separator='.')}"
        label = f"{name.removeprefix(f'{kind}.')} {of}"
        yield Input(name, label, number(float(value)), {name: 1})
