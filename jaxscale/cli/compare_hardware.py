"""`jaxscale compare --hardware`: what serving a model costs on each accelerator, cheapest first."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import jaxscale as js
from jaxscale._sentences import limits_in_words
from jaxscale._written import count, dollars, elapsed, sequences
from jaxscale.cli import tables
from jaxscale.cli.mistakes import Mistake
from jaxscale.cli.serving import (
    Workload,
    quote_record,
    read_device_prices,
    read_devices,
    read_workload,
    record_of_deployment,
    record_of_service,
    record_of_workload,
    templates,
    whole_copies,
)
from jaxscale.hardware import Accelerator
from jaxscale.serving import DeviceComparison, DeviceRow
from jaxscale.serving.comparison import priced

HEADER = ("deployment", "$ an\nhour", "batch", "tokens/s\na user", "first\ntoken")
QUOTED = "Prices that are not given are the lowest quotes: jaxscale hardware NAME."
PRICES = ("a million\nwritten", "a thousand\nrequests")
AT_RATE = ("devices", "all,\n$ an hour")


def compare_hardware(
    models: Sequence[str],
    on: Sequence[str] | None,
    given: Mapping[str, Any],
    numbers: Mapping[str, float | None],
    *,
    as_json: bool,
) -> None:
    """Print a table for each model, or JSON.

    `given` are the options of ASKED, and `numbers` those of a device of one's own.
    """
    if not models:
        raise Mistake("give a model to serve, such as jaxscale compare --hardware llama-3-70b")
    devices, prices = read_priced(read_devices(on, numbers), given)
    answers = [(workload, ask(workload, devices, prices)) for workload in _workloads(models, given)]
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


def read_priced(
    chosen: Sequence[Accelerator], given: Mapping[str, Any]
) -> tuple[list[js.serving.Deployment], dict[str, float]]:
    """The chosen accelerators, or those of the catalogue that have a price; and prices by name."""
    devices = list(chosen or js.hardware.catalog())
    prices = read_device_prices(given["price"], [each.name for each in devices])
    known = [
        each
        for each in devices
        if chosen or priced(each, prices.get(each.name))[0].price is not None
    ]
    return templates(known, given["weights"], given["activations"]), prices


def ask(
    workload: Workload, devices: Sequence[js.serving.Deployment], prices: Mapping[str, float]
) -> DeviceComparison:
    """The comparison of the devices for a model."""
    shape, requests, limits, counts, utilisation = workload
    return js.serving.compare(
        shape.architecture,
        requests,
        limits,
        devices=devices,
        prices=prices,
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
    header = (*HEADER, *PRICES, *AT_RATE * has_rate, "limit")
    rows = [_cells(row, has_rate) for row in comparison.rows if row.service is not None]
    tables.print_columns(header, rows, words=("limit",))
    missing: dict[tuple[str, str], list[str]] = {}
    for row in comparison.rows:
        if row.service is None:
            missing.setdefault((row.reason, row.sentence), []).append(row.name)
    if missing:
        tables.note("Accelerators that cannot, and why", style="bold")
        reasons = missing.items()
        tables.print_facts((word, _reason(names, why)) for (word, why), names in reasons)
        tables.console().print()


def _reason(names: Sequence[str], sentence: str) -> str:
    """Who cannot, and why: a sentence on a single device has its name already."""
    return sentence if names[0] in sentence else f"{', '.join(names)}: {sentence}"


def _cells(row: DeviceRow, has_rate: bool) -> tuple[str, ...]:
    assert row.service is not None
    assert row.deployment is not None
    service = row.service
    return (
        js.serving.name_of(row.deployment),
        f"{row.price:.2f}",
        sequences(float(service.batch)),
        count(1 / float(service.token_seconds)),
        elapsed(float(service.first_token_seconds)),
        dollars(float(service.dollars_per_million_output_tokens)),
        dollars(1e3 * float(service.dollars_per_request)),
        *(_at_rate(row.deployment, service) if has_rate else ()),
        js.serving.Limit(int(service.limit)).name.lower(),
    )


def _at_rate(deployment: js.serving.Deployment, service: js.serving.Service) -> tuple[str, str]:
    _, devices = whole_copies(deployment, service)
    return f"{devices:,}", f"{float(service.dollars_per_hour):,.2f}"


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
        "quote": quote_record(row.quote),
        "best": best,
        "reason": row.reason,
        "sentence": row.sentence,
    }
