"""Labels of a data set of plans: units, names, and the axis of demand."""

import reprlib
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xarray import DataArray, Dataset

LOSS, STATUS = "loss", "status"
RATIOS = ("cost_ratio", "params_ratio", "tokens_ratio")  # to the Chinchilla plan
DEMANDS = ("requests", "inference_tokens", "output_tokens", "input_tokens")


def check_data(data: Any) -> None:
    """Raises TypeError for what is no labelled data set."""
    # What has never been imported is the class of nothing.
    dataset = getattr(sys.modules.get("xarray"), "Dataset", ())
    if not isinstance(data, dataset):
        raise TypeError(
            "data must be an xarray.Dataset, such as js.sweep returns or js.sweeping.open_store "
            f"reads from a path; got {reprlib.repr(data)} ({type(data).__name__})"
        )


def conditions_of(data: "Dataset") -> str:
    """The common conditions of all scenarios, in words."""
    return str(data.attrs.get("conditions", ""))


def demand_axis(data: "Dataset") -> str | None:
    """The axis along which demand grows, if there is one."""
    return next((name for name in DEMANDS if name in data.dims and (data[name] > 0).all()), None)


def has_ratios(data: "Dataset") -> bool:
    """Whether the data set has every ratio to the Chinchilla plan."""
    return all(name in data for name in RATIOS)


def field_names(data: "Dataset") -> list[str]:
    """Fields that are numbers, except the status."""
    return [
        str(name)
        for name, array in data.data_vars.items()
        if array.dtype.kind in "iufb" and name != STATUS and array.ndim
    ]


def unit_of(array: "DataArray") -> str:
    """Unit of an array; empty where it is 1, or the name says it."""
    units = str(array.attrs.get("units", ""))  # a store made by others may hold anything
    return "" if units in ("1", str(array.name)) else units


def long_name_of(array: "DataArray") -> str:
    """The name of an array in words."""
    return str(array.attrs.get("long_name", str(array.name).replace("_", " ")))


def label_of(array: "DataArray") -> str:
    """The name of an array in words, with its unit."""
    units = unit_of(array)
    return long_name_of(array) + (f" ({units})" if units else "")
