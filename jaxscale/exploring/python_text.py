"""The question as a Python script in the public API, which prints the same answer."""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import fields
from typing import Any

import numpy as np

from jaxscale._written_law import law_of_coefficients
from jaxscale.exploring.fields import FIELDS
from jaxscale.exploring.reading import Asked
from jaxscale.hardware import Accelerator, custom
from jaxscale.laws._leverage import Leverage
from jaxscale.laws.composed import parts, split_part
from jaxscale.laws.reuse import Reuse
from jaxscale.published import find, shipped
from jaxscale.serving import COUNTS, Deployment

# Of an accelerator.
NUMBERS = ("memory_bytes", "memory_bandwidth", "link_bandwidth", "domain", "network_bandwidth")
NUMBERS += ("watts",)
WIDE = 88  # characters of a line, past which arguments have lines of their own
INDENT = "    "


def as_python(asked: Asked) -> str:
    """A script that runs as it is and prints params, tokens and total cost.

    Examples:
        >>> from jaxscale.exploring import Question, as_python, read
        >>> print(as_python(read(Question({"loss": "2", "inference_tokens": "1T"}))))
        import jax
        import jaxscale as js
        <BLANKLINE>
        jax.config.update("jax_enable_x64", True)
        <BLANKLINE>
        law = js.laws.published("sardana2024")
        demand = js.Demand(input_tokens=1e12)
        plan = js.minimize_cost(law, 2.0, demand)
        print(f"{plan.params:.4g} params, {plan.tokens:.4g} tokens, {plan.total_cost:.4g} FLOPs")
        <BLANKLINE>
    """
    body = list(_body(asked))
    imports = ["import jax", "import jaxscale as js"]
    if any("replace(" in line for line in body):
        imports = ["from dataclasses import replace", "", *imports]
    return "\n".join([*imports, "", 'jax.config.update("jax_enable_x64", True)', "", *body, ""])


def _body(asked: Asked) -> Iterator[str]:
    quality = asked.quality
    yield from _law(asked)
    given = {"demand": _demand(asked), "costs": _costs(asked), "bounds": _bounds(asked)}
    given = {name: text for name, text in {**given, **_choice(asked)}.items() if text}
    for name, text in given.items():
        yield f"{name} = {text}"
    if quality.params is not None:
        yield _model(asked)
    yield _call(f"plan = js.{_solver(asked)}", ["law", _target(asked), *_in_order(given)])
    sizes = "{plan.params:.4g} params, {plan.tokens:.4g} tokens"
    yield f'print(f"{sizes}, {{plan.total_cost:.4g}} {asked.unit}")'


def _solver(asked: Asked) -> str:
    return "minimize_cost" if asked.quality.budget is None else "minimize_loss"


def _target(asked: Asked) -> str:
    quality = asked.quality
    if asked.score is not None:
        return f"task.loss({number(asked.score.share)})"
    if quality.params is not None:
        return "model.loss"
    return number(quality.loss if quality.budget is None else quality.budget)


def _in_order(given: Collection[str]) -> Iterator[str]:
    """The names as arguments: by position as far as none is left out."""
    for name, first in zip(given, ("demand", "costs", "bounds", "", ""), strict=False):
        yield name if name == first else f"{name}={name}"


def _law(asked: Asked) -> Iterator[str]:
    if asked.score is not None:
        yield f'task = js.task("{asked.score.scored.entry.name}")'
        yield "law = task.law"
    elif asked.entry is not None:
        yield _call("law = js.laws.published", [repr(asked.name)])
    else:
        yield from _own_law(asked.name)


def _own_law(text: str) -> Iterator[str]:
    """A law of coefficients, with the parts after it."""
    base, name = split_part(text)
    if not name:
        yield f"law = {_of_coefficients(law_of_coefficients(text))}"
        return
    yield from _own_law(base)
    part = find("part", parts(), name)
    if isinstance(part.law, Leverage):
        yield f'law = js.laws.sparse(law, js.laws.leverage("{part.name}"))'
    elif isinstance(part.law, Reuse):
        yield f'law = js.laws.repeated(law, "{part.name}")'
    else:
        yield f"law = js.laws.with_streams(law, {number(part.law.k)})"


def _of_coefficients(law: Any) -> str:
    pairs = {each.name: getattr(law, each.name) for each in fields(law)}
    listed = [f"{name}={number(x)}" for name, x in pairs.items() if np.ndim(x) == 0]
    return _call(f"js.laws.{type(law).__name__}", listed)


def _demand(asked: Asked) -> str:
    given = {
        name: FIELDS[name].read(text)
        for name, text in asked.question.texts.items()
        if name in FIELDS and FIELDS[name].group == "Demand"
    }
    if not given:
        return ""
    if "requests" in given:
        read, written = given["input_per_request"], given["output_per_request"]
        each = [f"input_tokens={number(read)}", f"output_tokens={number(written)}"]
        return _call("js.Demand.from_requests", [number(given["requests"]), *each])
    read = given.get("inference_tokens", given.get("input_tokens"))
    tokens = {"input_tokens": read, "output_tokens": given.get("output_tokens")}
    return _call("js.Demand", [f"{x}={number(n)}" for x, n in tokens.items() if n is not None])


def _costs(asked: Asked) -> str:
    if not asked.uses:
        return ""
    train, serve = asked.uses["train"], asked.uses["serve"]
    texts = asked.question.texts
    if asked.deployment is not None:
        return _served(asked)
    arguments = [
        f"train={_device(train.device, train.price)}",
        f"serve={_device(serve.device, serve.price)}",
    ]
    for role, use in asked.uses.items():
        if f"{role}_precision" in texts:
            arguments.append(f"{role}_precision={use.precision!r}")
        for phase, mfu in use.mfu.items():
            if f"{phase}_mfu" in texts:
                arguments.append(f"{phase}_mfu={number(mfu)}")
    return _call("js.Costs.on", arguments)


def _served(asked: Asked) -> str:
    """Costs with serving timed."""
    served, train, texts = asked.costs.serving, asked.uses["train"], asked.question.texts
    assert asked.deployment is not None
    family = f"js.architectures.{texts.get('family', 'llama').upper()}"
    asks = served.requests
    requests = [number(asks.prompt), number(asks.output)]
    requests += [f"cached={number(asks.cached)}"] * bool(float(asks.cached))
    requests += [f"kept={number(asks.kept)}"] if "context" in texts else []
    limits = [
        f"{name}={number(x)}" for name, x in vars(served.limits).items() if np.isfinite(float(x))
    ]
    arguments = [
        f"replace({family}, context={number(served.family.context)})",
        _deployment(asked.deployment),
        _call("js.serving.Requests", requests),
        *([_call("js.serving.Limits", limits)] if limits else []),
        f"train={_device(train.device, train.price)}",
    ]
    if "train_precision" in texts:
        arguments.append(f"train_precision={train.precision!r}")
    if "train_mfu" in texts:
        arguments.append(f"train_mfu={number(train.mfu['train'])}")
    counts = tuple(dict.fromkeys(int(each.count) for each in served.options))
    if "serve_count" in texts or counts != tuple(COUNTS):
        arguments.append(f"counts={list(counts)}")
    arguments.append("every_split=True")
    if float(served.utilisation) != 1:
        arguments.append(f"utilisation={number(served.utilisation)}")
    return _call("js.Costs.served", arguments)


def _deployment(deployment: Deployment) -> str:
    device = _device(deployment.accelerator, deployment.accelerator.price)
    if deployment.weights == deployment.activations == "bf16":
        return device
    return _call(
        "js.serving.Deployment",
        [device, f"weights={deployment.weights!r}", f"activations={deployment.activations!r}"],
    )


def _device(device: Accelerator, price: Any) -> str:
    if any(each.name == device.name for each in shipped("accelerators")):
        return _call("js.accelerator", [repr(device.name), f"price={number(price)}"])
    peaks = ", ".join(f"{name!r}: {number(x)}" for name, x in device.peak_flops.items())
    numbers = {name: getattr(device, name) for name in NUMBERS}
    plain = custom(dict(device.peak_flops))
    known = [
        f"{name}={number(x)}"
        for name, x in numbers.items()
        if x not in (None, getattr(plain, name))
    ]
    return _call("js.hardware.custom", [f"{{{peaks}}}", *known, f"price={number(price)}"])


def _bounds(asked: Asked) -> str:
    names = ("max_params", "max_tokens", "max_tokens_per_param", "max_memory")
    given = {name: asked.question.texts[name] for name in names if name in asked.question.texts}
    listed = [f"{name}={number(FIELDS[name].read(text))}" for name, text in given.items()]
    return _call("js.Bounds", listed) if listed else ""


def _choice(asked: Asked) -> dict[str, str]:
    """Levers that have a value, and those that are chosen."""
    rows = [f"{key!r}: {_rows(values)}" for key, values in asked.given.over.items()]
    levers = _dict(asked.given.values) if asked.given.values else ""
    return {"levers": levers, "over": f"{{{', '.join(rows)}}}".replace("'", '"') if rows else ""}


def _model(asked: Asked) -> str:
    """The model to match."""
    params, tokens = asked.quality.params, asked.quality.tokens
    assert params is not None
    values, size = asked.given.of_model(params), number(params)
    levers = (
        [f"levers={_dict(values)}" if asked.given.chosen else "levers=levers"] if values else []
    )
    if tokens is None:
        return _call("model = js.compute_optimal", ["law", f"params={size}", *levers])
    return _call("model = js.evaluate", ["law", size, number(tokens), *levers])


def _dict(values: Mapping[str, Any]) -> str:
    return f"{{{', '.join(f'{name!r}: {number(x)}' for name, x in values.items())}}}".replace(
        "'", '"'
    )


def _rows(values: Any) -> str:
    if values is None:
        return "None"
    rows = (
        f"({', '.join(map(number, row))})" if isinstance(row, tuple) else number(row)
        for row in values
    )
    return f"[{', '.join(rows)}]"


def _call(name: str, arguments: list[str]) -> str:
    """A call in a line, or with a line for each argument where that is too long."""
    text = f"{name}({', '.join(arguments)})"
    if len(text) <= WIDE and "\n" not in text:
        return text.replace("'", '"')
    lines = "".join(f"\n{INDENT}{each.replace(chr(10), chr(10) + INDENT)}," for each in arguments)
    return f"{name}({lines}\n)".replace("'", '"')


def number(x: Any) -> str:
    """The shortest text of a number that Python reads back as the same float."""
    value = float(np.asarray(x))
    texts = (repr(value), f"{value:g}", f"{value:.17g}")
    text = min((text for text in texts if float(text) == value), key=len)
    text = re.sub(r"e\+?(-?)0*", r"e\1", text)
    return text if "e" in text or "." in text else f"{text}.0"
