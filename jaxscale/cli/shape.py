"""`jaxscale estimate --architecture`: params, FLOPs and bytes of a shape."""

import os
from collections.abc import Iterator
from typing import Any, NamedTuple

import jaxscale as js
from jaxscale import architectures
from jaxscale.cli import tables
from jaxscale.cli.mistakes import Mistake, blamed_on
from jaxscale.cli.named_law import NamedLaw
from jaxscale.cli.quantities import count, data_size
from jaxscale.laws.protocol import has_own_flops

PRICED = "operations"  # the count by which a training is priced


class Shape(NamedTuple):
    """An architecture with its name, and what it has beside the fields, in sentences."""

    name: str
    architecture: js.Architecture
    remarks: tuple[str, ...]

    def params_of(self, law: Any) -> float:
        """Params as the law counts them."""
        return float(architectures.params_of(self.architecture, law))

    def flops_over_rule(self, named: NamedLaw) -> float:
        """FLOPs of a training over those of 6 N D; Mistake for a law that counts its own."""
        if has_own_flops(named.law):
            raise Mistake(
                f"--architecture: {named.name} counts its own FLOPs; choose another --law"
            )
        return float(architectures.flops_over_rule(self.architecture, named.law, PRICED))

    @property
    def is_sparse(self) -> bool:
        return bool(self.architecture.active_experts < self.architecture.experts)


def read_shape(text: str) -> Shape:
    """The architecture that `--architecture` names, or the one in that file."""
    with blamed_on("--architecture"):
        if text.lower().endswith((".toml", ".json")) or os.sep in text:
            return Shape(text, architectures.read(text), ())
        entry = architectures.entry(text)
    return Shape(entry.name, entry.architecture, entry.remarks)


def show_shape(shape: Shape) -> None:
    """Print the shape with its params, FLOPs and bytes as tables."""
    record = record_of_shape(shape)
    tables.note(f"{shape.name}: {shape.architecture.summary()}", style="bold")
    tables.print_facts(_sizes(shape, record))
    header = ("FLOPs per token", "forward", "training", "over 6 N", "what is counted")
    rows = [
        (name, count(x["forward"]), count(x["train"]), f"{x['over_6n']:.3f}", meaning)
        for (name, x), meaning in zip(
            record["flops_per_token"].items(), architectures.COUNTS.values(), strict=True
        )
    ]
    tables.print_columns(header, rows, words=("what is counted",), emphasis=(PRICED,))
    context = shape.architecture.context
    tables.note(f"N is the params that a token runs through; context {context:,}.")
    for remark in shape.remarks:
        tables.note(remark, style="dim")


def record_of_shape(shape: Shape) -> dict[str, Any]:
    """The shape for machines."""
    return {"name": shape.name, **architectures.report(shape.architecture)}


def _sizes(shape: Shape, record: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield "params", f"{count(record['params'], 4)} in all"
    if shape.is_sparse:
        yield "params", f"{count(record['active_params'], 4)} that a token runs through"
    yield "params", f"{count(record['non_embedding_params'], 4)} in matrices of layers"
    for name, size in record["bytes"].items():
        state = "of weights, gradients and Adam in mixed precision"
        meaning = state if name == "training_state" else "in bf16"
        yield name.replace("_", " ").replace("kv", "KV"), f"{data_size(size)} {meaning}"
