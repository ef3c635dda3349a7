"""`jaxscale compare --hardware`: what serving a model costs on each accelerator, cheapest first."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import jaxscale as js
from jaxscale.cli import tables
from jaxscale.cli.devices import read_device
from jaxscale.cli.mistakes import Mistake, blamed_on
from jaxscale.cli.quantities import count, dollars, elapsed
from jaxscale.cli.serving import (
    Workload,
    limits_in_words,
    read_device_prices,
    read_workload,
    record_of_deployment,
    record_of_service,
    record_of_workload,
    templates,
)
from jaxscale.serving import DeviceComparison, DeviceRow
from jaxscale.serving.comparison import priced

HEADER = ("deployment", "$ an\nhour", "batch", "tokens/s\na user", "first\ntoken")
QUOTED = "Prices that are not given are the lowest quotes: jaxscale hardware NAME."
PRICES = ("a million\nwritten", "a thousand\nrequests")


def compare_hardware(
    models: Sequence[str], on: Sequence[str] | None, given: Mapping[str, Any], *, as_json: bool
) -> None:
    """Print a table for each model, or JSON."""
    if not models:
        raise Mistake("give a model to serve, such as jaxscale compare --hardware llama-3-70b")
    devices = read_devices(on, given)
    answers = [(workload, ask(workload, devices)) for workload in _workloads(models, given)]
    if not any(row.service for _, comparison in answers for row in comparison.rows):
        kinds = (row.sentence for _, comparison in answers for row in comparison.rows)
        reason, _ = Counter(kinds).most_common(1)[0]
        raise Mistake(f"no accelerator serves {', '.join(models)}, most for this reason: {reason}")
    if as_json:
        records = [_record(workload, comparison) for workload, comparison in answers]
        tables.print_json("compare", {"models": records})
        return
    for workload, comparison in answers:
        show(workload, comparison)
    tables.note(QUOTED, style="dim")


def _workloads(models: Sequence[str], given: Mapping[str, Any]) -> list[Workload]:
    return [read_workload(model, given) for model in models]


def read_devices(on: Sequence[str] | None, given: Mapping[str, Any]) -> list[js.serving.Deployment]:
    """The accelerators of the options with prices; those of the catalogue where none is named."""
    with blamed_on("--on"):
        devices = [read_device(text) for text in on] if on else list(js.hardware.catalog())
    prices = read_device_prices(given["price"], [each.name for each in devices])
    rented = [priced(each, prices.get(each.name))[0] for each in devices]
    known = [each for each in rented if on or each.price is not None]
    return templates(known, given["weights"], given["activations"])


def ask(workload: Workload, devices: Sequence[js.serving.Deployment]) -> DeviceComparison:
    """The comparison of the devices for a model."""
    shape, requests, limits, counts, utilisation = workload
    return js.serving.compare(
        shape.architecture,
        requests,
        limits,
        devices=devices,
        counts=counts,
        utilisation=utilisation,
    )


def show(workload: Workload, comparison: DeviceComparison) -> None:
    """Print those that can serve as a table, and under it why the others cannot."""
    tables.note(workload.title, style="bold")
    tables.note(limits_in_words(workload.limits), style="bold")
    for line in workload.shape.remarks:
        tables.note(line, style="dim")
    has_rate = workload.requests.rate is not None
    header = (*HEADER, *PRICES, *["devices"] * has_rate, "limit")
    rows = [_cells(row, has_rate) for row in comparison.rows if row.service is not None]
    tables.print_columns(header, rows, words=("limit",))
    missing: dict[tuple[str, str], list[str]] = {}
    for row in comparison.rows:
        if row.service is None:
            missing.setdefault((row.reason, row.sentence), []).append(row.name)
    if missing:
        tables.note("Accelerators that cannot, and why", style="bold")
        reasons = missing.items()
        tables.print_facts((word, f"{', '.join(names)}: {why}") for (word, why), names in reasons)
        tables.console().print()


def _cells(row: DeviceRow, has_rate: bool) -> tuple[str, ...]:
    assert row.service is not None
    assert row.deployment is not None
    service = row.service
    return (
        js.serving.name_of(row.deployment),
        f"{row.price:.2f}",
        f"{float(service.batch):,.0f}",
        count(1 / float(service.token_seconds)),
        elapsed(float(service.first_token_seconds)),
        dollars(float(service.dollars_per_million_output_tokens)),
        dollars(1e3 * float(service.dollars_per_request)),
        *[f"{float(service.devices):,.1f}"] * has_rate,
        js.serving.Limit(int(service.limit)).name.lower(),
    )


def _record(workload: Workload, comparison: DeviceComparison) -> dict[str, Any]:
    return {
        **record_of_workload(workload),
        "accelerators": [_record_of_row(row) for row in comparison.rows],
    }


def _record_of_row(row: DeviceRow) -> dict[str, Any]:
    """One accelerator for machines; null for the deployment of one that cannot serve."""
    best = None
    if row.deployment is not None and row.service is not None:
        best = {**record_of_deployment(row.deployment), **record_of_service(row.service)}
    return {
        "accelerator": row.name,
        "price": row.price,
        "best": best,
        "reason": row.reason,
        "sentence": row.sentence,
    }
