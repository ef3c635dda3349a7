"""What all scenarios of a specification have in common, in one line for titles."""

import jaxscale as js
from jaxscale.cli.quantities import count
from jaxscale.cli.spec import Spec
from jaxscale.cli.vocabulary import DEVICES, LAW, QUANTITIES, ROLES
from jaxscale.costs import DEFAULT_MFU, DEFAULT_PRECISION
from jaxscale.laws import Chinchilla

VERBS = {"train": "trained", "serve": "served"}
PHASES = {"train": ("train",), "serve": ("prefill", "decode")}


def conditions_of(spec: Spec) -> str:
    """Everything that is fixed, and what an axis leaves open not at all."""
    parts = [_law(spec), _fixed(spec, "loss_nats_per_token", "loss {}"), *_demand(spec)]
    if any(spec.names(key) for key in DEVICES):
        parts += [_device(spec, role) for role in ROLES]
    bounds = ("max_params", "max_tokens", "max_tokens_per_param")
    parts += [_fixed(spec, key, f"at most {{}} {key[4:].replace('_', ' ')}") for key in bounds]
    return "; ".join(filter(None, parts))


def _law(spec: Spec) -> str:
    law = spec.fixed.get(LAW, "")
    if not isinstance(law, Chinchilla):
        return law and f"law {law}"
    coefficients = {"E": law.E, "A": law.A, "B": law.B, "alpha": law.alpha, "beta": law.beta}
    return "law " + ", ".join(f"{name} {float(x):g}" for name, x in coefficients.items())


def _demand(spec: Spec) -> list[str]:
    return [
        _fixed(spec, "inference_tokens", "{} tokens served"),
        _fixed(spec, "input_tokens", "{} tokens read"),
        _fixed(spec, "output_tokens", "{} tokens written"),
        _fixed(spec, "requests", "{} requests"),
        _each_request(spec),
    ]


def _each_request(spec: Spec) -> str:
    read = _fixed(spec, "input_tokens_per_request", "reads {} tokens")
    written = _fixed(spec, "output_tokens_per_request", "writes {} tokens")
    both = " and ".join(filter(None, (read, written)))
    return both and f"each request {both}"


def _device(spec: Spec, role: str) -> str:
    """How an accelerator is used: `served on A100-40GB (int8, 50 % prefill MFU)`."""
    name = spec.fixed.get(f"{role}_on", "")
    details = [spec.fixed.get(f"{role}_precision", DEFAULT_PRECISION)]
    key = f"{role}_price_dollars_per_hour"
    if key in spec.fixed:
        details.append(f"${spec.fixed[key]:.2f} an hour")
    elif key not in spec.axes and name:
        details.append(f"${js.accelerator(name).price:.2f} an hour")
    for phase in PHASES[role]:
        key = f"{phase}_mfu"
        if key not in spec.axes:
            share = spec.fixed.get(key, DEFAULT_MFU[phase])
            details.append(f"{100 * share:g} %" + (f" {phase}" * (role == "serve")) + " MFU")
    where = f" on {name}" if name else ""
    return f"{VERBS[role]}{where} ({', '.join(details)})"


def _fixed(spec: Spec, key: str, words: str) -> str:
    if key not in spec.fixed:
        return ""
    value = spec.fixed[key]
    shown = f"{value:g}" if value < 1000 or QUANTITIES[key].name == "loss" else count(value)
    return words.format(shown)
