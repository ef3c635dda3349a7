"""Units and long names of the words that scenario functions usually return."""

from collections.abc import Mapping
from typing import Any

from jaxscale.status import Status

ATTRIBUTES: Mapping[str, tuple[str, str]] = {
    "params": ("model parameters", "1"),
    "tokens": ("training tokens", "tokens"),
    "loss": ("pre-training loss", "nats/token"),
    "tokens_per_param": ("training tokens per parameter", "tokens"),
    "requests": ("requests over the model's life", "1"),
    "input_tokens": ("tokens read over the model's life", "tokens"),
    "output_tokens": ("tokens written over the model's life", "tokens"),
}


def attributes_of(name: str) -> dict[str, Any]:
    """`long_name` of a field and, where the name decides them, its `units` and legend."""
    if name == "status":
        return {"long_name": "what became of the scenario", **legend()}
    if name not in ATTRIBUTES:
        return {"long_name": name.replace("_", " ")}
    long_name, units = ATTRIBUTES[name]
    return {"long_name": long_name, "units": units}


def legend() -> dict[str, Any]:
    """What each status means, in the attributes that the CF conventions have for flags."""
    return {
        "flag_values": [int(status) for status in Status],
        "flag_meanings": " ".join(status.name for status in Status),
        "flag_sentences": "\n".join(f"{status.name}: {status.sentence}" for status in Status),
    }
