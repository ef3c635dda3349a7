"""Published architectures by name, and others from files.

A file is TOML or JSON with these names, or a `config.json` of Hugging Face:

layers = 32
width = 4096
heads = 32
kv_heads = 8          # as many as heads where left out
head_size = 128       # width / heads where left out
ff_width = 14336
vocabulary = 128256
context = 8192
gated = true
tied = false
"""

import json
import os
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxscale._numerics.names import unknown
from jaxscale.architectures.architecture import NUMBERS, Architecture
from jaxscale.published import Catalog, Entry, find, shipped

FLAGS = ("gated", "tied", "learned_positions")
LARGEST = sys.float_info.max
# Hugging Face Transformers' name of each field.
OTHER_NAMES = {
    "num_hidden_layers": "layers",
    "hidden_size": "width",
    "num_attention_heads": "heads",
    "num_key_value_heads": "kv_heads",
    "head_dim": "head_size",
    "intermediate_size": "ff_width",
    "vocab_size": "vocabulary",
    "max_position_embeddings": "context",
    "tie_word_embeddings": "tied",
    "num_local_experts": "experts",
    "num_experts_per_tok": "active_experts",
}
# Of a `model_type`, (gated, tied where the file does not say): the modelling code of each, and its
# configuration's default, in Transformers.
MODEL_TYPES = {
    "llama": (True, False),
    "mistral": (True, False),
    "mixtral": (True, False),
    "qwen2": (True, False),
    "gemma": (True, True),
}
# Fields of layers of another kind: shared experts, or compressed keys and values.
OTHER_BUILDS = ("num_experts", "n_routed_experts", "moe_intermediate_size", "kv_lora_rank")


def read(path: str | Path) -> Architecture:
    """The architecture in a file: TOML where its name ends in `.toml`, else JSON.

    Fields go by their names here or by those of a Hugging Face `config.json`, in which others are
    passed over. Raises ValueError that names the file, the field, the value and what is allowed.

    Examples:
        >>> import json
        >>> from pathlib import Path
        >>> llama = {"layers": 32, "width": 4096, "heads": 32, "kv_heads": 8, "head_size": 128}
        >>> llama |= {"ff_width": 14336, "vocabulary": 128256, "context": 8192}
        >>> llama |= {"gated": True, "tied": False}
        >>> _ = Path("shape.json").write_text(json.dumps(llama))
        >>> js.architectures.read("shape.json").kv_heads
        8
    """
    file = str(path)
    try:
        return from_fields(**_table(file))
    except OSError as error:
        raise ValueError(f"cannot read {file!r}: {error.strerror}") from None
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from None


def from_fields(**fields: Any) -> Architecture:
    """The architecture of the fields of a file; raises ValueError as `read`, without the file."""
    given = {name: value for name, value in fields.items() if value is not None}
    named = _by_our_names(given)
    _add_defaults(named)
    numbers = {name: _number(name, named) for name in NUMBERS}
    flags = {name: _flag(name, named) for name in FLAGS}
    for part, whole in (("kv_heads", "heads"), ("active_experts", "experts")):
        if numbers[part] > numbers[whole]:
            raise ValueError(
                f"{part} must be at most {whole}, {numbers[whole]}; got {numbers[part]}"
            )
    return Architecture(**numbers, **flags)


def _table(file: str) -> Mapping[str, Any]:
    load = tomllib.loads if file.lower().endswith(".toml") else json.loads
    try:
        table = load(Path(os.path.expanduser(file)).read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"neither TOML nor JSON as its name says: {error}") from None
    if not isinstance(table, dict):
        raise ValueError(f"must hold fields by name; got {type(table).__name__}")
    return table


def _by_our_names(given: Mapping[str, Any]) -> dict[str, tuple[str, Any]]:
    """Each field with the name that it has in the file."""
    ours = (*NUMBERS, *FLAGS)
    is_config = any(name in OTHER_NAMES for name in given)
    for name in OTHER_BUILDS:
        if name in given:
            raise ValueError(f"{name} is of a build that an Architecture cannot describe")
    named: dict[str, tuple[str, Any]] = {}
    for name, value in given.items():
        field = OTHER_NAMES.get(name, name)
        if field not in ours:
            if is_config:
                continue
            raise unknown("field", name, ours)
        if field in named:
            raise ValueError(f"{named[field][0]} and {name} are one field: give it once")
        named[field] = name, value
    kind = MODEL_TYPES.get(str(given.get("model_type"))) if is_config else None
    for field, value in zip(("gated", "tied"), kind or (), strict=False):
        named.setdefault(field, (field, value))
    return named


def _add_defaults(named: dict[str, tuple[str, Any]]) -> None:
    """Add the fields that a file may leave out, where the others imply them."""
    if "heads" in named:
        named.setdefault("kv_heads", ("kv_heads", named["heads"][1]))
    numbers = [named.get(name, ("", None))[1] for name in ("width", "heads")]
    if all(_is_positive(each) for each in numbers):
        width, heads = numbers
        named.setdefault(
            "head_size", ("head_size", width // heads if width % heads == 0 else width / heads)
        )
    if "experts" not in named:
        named.setdefault("experts", ("experts", 1))
        named.setdefault("active_experts", ("active_experts", 1))
    named.setdefault("learned_positions", ("learned_positions", False))


def _number(field: str, named: Mapping[str, tuple[str, Any]]) -> float:
    name, value = _given(field, named)
    if not _is_positive(value):
        shown = f"{value!r:.40}" if isinstance(value, bool | float | str) else f"{value!s:.40}"
        raise ValueError(f"{name} must be a finite number above 0; got {shown}")
    return value


def _flag(field: str, named: Mapping[str, tuple[str, Any]]) -> bool:
    name, value = _given(field, named)
    if not isinstance(value, bool):
        raise ValueError(f"{name} must be true or false; got {value!r:.40}")
    return value


def _given(field: str, named: Mapping[str, tuple[str, Any]]) -> tuple[str, Any]:
    if field not in named:
        others = [name for name, meant in OTHER_NAMES.items() if meant == field]
        also = f" (or {others[0]})" if others else ""
        raise ValueError(f"{field}{also} is missing")
    return named[field]


def _is_positive(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and 0 < value <= LARGEST


# --- Published ------------------------------------------------------------------------------

FORMS = {"Architecture": from_fields}


def catalog() -> Catalog[Entry]:
    """All published architectures, by model.

    Examples:
        >>> [entry.name for entry in js.architectures.catalog()][:3]
        ['gpt2', 'gpt2-medium', 'gpt2-large']
    """
    return shipped("architectures")


def entry(name: str) -> Entry:
    """The published architecture of that name, case aside.

    Raises ValueError for an unknown name, with the nearest one and all names.

    Examples:
        >>> print(js.architectures.entry("llama-3-8b").source)
        Grattafiori et al. 2024, arXiv 2407.21783, Table 3; vocabulary in the model files
    """
    return find("architecture", catalog(), name)


def published(name: str) -> Architecture:
    """The architecture of that name, as Python integers: `entry(name).architecture`.

    Examples:
        >>> js.architectures.published("llama-3-8b").layers
        32
    """
    return entry(name).architecture
