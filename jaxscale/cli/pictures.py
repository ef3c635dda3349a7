"""The picture of a data set: what to draw of it, at the middle of the axes that are too many."""

import importlib.util
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import jaxscale as js
from jaxscale import plots
from jaxscale.cli.export import replacing
from jaxscale.cli.mistakes import Mistake, check_file, path_of
from jaxscale.cli.quantities import count
from jaxscale.cli.scenarios import at_middle, in_dollars, in_flops, labels_of, scenario_of, space_of
from jaxscale.cli.spec import Spec
from jaxscale.cli.visible import visible
from jaxscale.cli.vocabulary import FIELDS, STATUS
from jaxscale.plots.fields import MOST_LINES

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from xarray import DataArray, Dataset

FORMATS = (".pdf", ".png", ".svg")
RATIOS = ("cost_ratio", "params_ratio", "tokens_ratio")
LOSS = "loss"
DEMANDS = ("requests", "inference_tokens", "output_tokens", "input_tokens")
FAVOURITES = ("total_cost", "params", "cost_ratio")  # drawn where one field must do
SPREADS = 6  # fields of a sample that are drawn


def checked_path(option: str, text: str) -> Path:
    """Where a picture goes, checked before any work is done."""
    path = path_of(text)
    if text and path.suffix.lower() not in FORMATS:
        raise Mistake(f"{option}: {text!r} must end in {', '.join(FORMATS)}")
    check_file(option, text, path)
    if importlib.util.find_spec("matplotlib") is None:
        raise Mistake("the picture needs matplotlib: pip install 'jaxscale[all]'")
    return path


def draw(data: "Dataset", path: Path) -> list[Path]:
    """Write the picture of a data set, if it has one; the paths written."""
    figure = picture_of(data)
    if figure is None:
        return []
    save(figure, path)
    return [path]


def save(figure: "Figure", path: Path) -> None:
    """Write a picture in which names from files are no formulas; Mistake where that cannot be."""
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        if text.get_text():  # that of a tick comes later, and may be a formula of matplotlib's
            text.set(text=visible(text.get_text(), kept="\n\N{NO-BREAK SPACE}"), parse_math=False)
    with replacing(path) as partial, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of characters that the font has not
        figure.savefig(partial, format=path.suffix.lower().removeprefix("."))


def picture_of(data: "Dataset") -> "Figure | None":
    """Ratios over demand and loss where there are such, else one field over two axes or one.

    Axes that a picture has no room for are taken at their middle, as its title says; of a
    sample, the spread of each field is drawn. None for a single scenario, and for no field
    of numbers.
    """
    demand = demand_axis(data)
    if demand and LOSS in data.dims and _has_ratios(data):
        return _ratios(data, demand)
    fields = field_names(data)
    if not fields or max(data.sizes.values()) == 1:
        return None
    field = next(name for name in (*FAVOURITES, *fields) if name in fields)
    axes, catalogues = _axes(data, "iuf"), _axes(data, "U")
    if len(axes) > 1:
        return _map(data, field, axes)
    if axes or catalogues:
        return _line(data, field, *[*axes, *catalogues][:2])
    return _spreads(data)


def draw_in_flops(spec: Spec, data: "Dataset", path: Path) -> list[Path]:
    """Of ratios in dollars, write the picture with every FLOP costing one.

    The path written; none where the picture is not one of ratios, or its costs are FLOPs.
    """
    demand = demand_axis(data)
    if not (in_dollars(spec) and demand and LOSS in data.dims and _has_ratios(data)):
        return []
    bare = at_middle(in_flops(spec), keep=(LOSS, demand))
    found = js.sweep(scenario_of(bare), space_of(bare), fields=labels_of(bare), progress=False)
    return draw(found, path)


def demand_axis(data: "Dataset") -> str | None:
    """The axis along which demand grows, if the data set has one."""
    return next((name for name in DEMANDS if name in data.dims and (data[name] > 0).all()), None)


def _has_ratios(data: "Dataset") -> bool:
    return all(name in data for name in RATIOS)


def _ratios(data: "Dataset", demand: str) -> "Figure":
    here, where = _middle(data, (LOSS, demand))
    losses = here[LOSS].values
    sizes = None
    if "params" in here:
        # The Chinchilla plan has no demand: any column gives its size.
        sizes = _at_first_number((here["params"] / here["params_ratio"]).transpose(LOSS, demand))
    known = sizes is not None and np.isfinite(sizes).all()
    return plots.ratio_panels(
        here[demand].values,
        losses,
        *(here[name].transpose(LOSS, demand).values for name in RATIOS),
        chinchilla_params=sizes if known else None,
        title=f"The cheapest plan over the Chinchilla plan of equal loss, {_currency(data)}",
        subtitle=_subtitle(data, where),
        demand_label=_label(data[demand]),
    )


def _map(data: "Dataset", field: str, axes: list[str]) -> "Figure":
    longest = sorted(axes, key=lambda name: -data.sizes[name])[:2]
    x, y = sorted(longest, key=lambda name: name == LOSS)  # loss upwards, as is the custom
    here, where = _middle(data, (x, y))
    return plots.field_map(
        here[x].values,
        here[y].values,
        here[field].transpose(y, x).values,
        title=_label(data[field]),
        subtitle=_subtitle(data, where),
        x_label=_label(data[x]),
        y_label=_label(data[y]),
    )


def _line(data: "Dataset", field: str, axis: str, each: str | None = None) -> "Figure":
    """A field along an axis, a line for each entry of a catalogue unless these are many."""
    lines = each if each and data.sizes[each] <= MOST_LINES else None
    kept = (axis,) if lines is None else (axis, lines)
    here, where = _middle(data, kept)
    return plots.field_line(
        here[axis].values,
        here[field].transpose(*reversed(kept)).values,
        names=() if lines is None else here[lines].values,
        title=_label(data[field]),
        subtitle=_subtitle(data, where),
        x_label=_label(data[axis]),
    )


def _spreads(data: "Dataset") -> "Figure":
    names = field_names(data)[:SPREADS]
    return plots.field_histograms(
        {_label(data[name]): data[name].values.ravel() for name in names},
        title="How the fields spread over all scenarios",
        subtitle=_subtitle(data, ""),
    )


def _middle(data: "Dataset", kept: tuple[str, ...]) -> tuple["Dataset", str]:
    """The data set along the axes kept, loaded, and in words where on the others."""
    others = {str(name): size // 2 for name, size in data.sizes.items() if name not in kept}
    here = data.isel(others).load()
    return here, "; ".join(_place(here[name]) for name in others if name in here.coords)


def _place(coordinate: "DataArray") -> str:
    value = coordinate.values.item()
    if isinstance(value, str):
        return f"{coordinate.name} {value}"
    shown = f"{value:.4g}" if value == 0 or 1e-3 <= abs(value) < 1e4 else count(value)
    units = unit_of(coordinate)
    if units.startswith("dollars/"):
        shown, units = f"${value:.2f}", f"an {units[8:]}"
    return f"{_long_name(coordinate)} {shown}{units and f' {units}'}"


def conditions_in(data: "Dataset") -> str:
    """What all scenarios of a data set have in common."""
    return str(data.attrs.get("conditions", ""))


def _subtitle(data: "Dataset", where: str) -> str:
    return "; ".join(filter(None, (conditions_in(data), where)))


def _currency(data: "Dataset") -> str:
    units = unit_of(data["total_cost"]) if "total_cost" in data else ""
    return f"costs in {units}" if units else "costs as given"


def _label(array: "DataArray") -> str:
    units = unit_of(array)
    return _long_name(array) + (f" ({units})" if units else "")


def _long_name(array: "DataArray") -> str:
    return str(array.attrs.get("long_name", str(array.name).replace("_", " ")))


def unit_of(array: "DataArray") -> str:
    """Unit of an array, empty where there is none or its name says it."""
    units = str(array.attrs.get("units", ""))  # a store of somebody's may hold anything
    return "" if units in ("1", str(array.name)) else units


def _axes(data: "Dataset", kinds: str) -> list[str]:
    """Axes longer than one value whose coordinates are of these kinds."""
    return [
        str(name)
        for name, size in data.sizes.items()
        if size > 1 and name in data.coords and _kind(data[name]) in kinds
    ]


def _kind(array: "DataArray") -> str:
    """NumPy's letter for a type of numbers; "U" for names, however they are kept."""
    return "U" if array.dtype.kind in "OTSU" else array.dtype.kind


def field_names(data: "Dataset") -> list[str]:
    """Fields that are numbers, in the order of the vocabulary, which a store does not keep."""
    known = list(FIELDS)
    names = [
        str(name)
        for name, array in data.data_vars.items()
        if array.dtype.kind in "iufb" and name != STATUS and array.ndim
    ]
    return sorted(names, key=lambda name: (known.index(name) if name in known else -1, name))


def _at_first_number(sizes: "DataArray") -> Any:
    values = sizes.values
    place = np.isfinite(values).argmax(axis=1)
    return np.take_along_axis(values, place[:, None], axis=1)[:, 0]
