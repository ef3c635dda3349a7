"""Axes of labels, in memory and in a store, answer as pandas and xarray have them."""

import numpy as np
import pytest

import jaxscale as js

pytest.importorskip("tensorstore")
xarray = pytest.importorskip("xarray")

# zarr 3.1 warns of labels of a fixed length where xarray alone opens a store.
pytestmark = pytest.mark.filterwarnings("ignore:The data type .FixedLengthUTF32")

NAMES = ("sardana2024", "besiroglu2024", "hoffmann2022_unrounded")
LOSSES = [2.3, 2.2]


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """The same sweep in memory, in a store, and as xarray alone opens that store."""
    laws = {name: js.laws.published(name) for name in NAMES}
    space = js.Grid(law=laws, loss=LOSSES)

    def scenario(law, loss):
        return {"tokens": law.tokens_for(loss, 1e10), "params": loss * 1e9}

    path = tmp_path_factory.mktemp("labels") / "grid.zarr"
    in_memory = js.sweep(scenario, space)
    stored = js.sweep(scenario, space, store=path)
    return {
        "memory": in_memory,
        "store": stored,
        "xarray": xarray.open_zarr(path, consolidated=False),
    }


@pytest.fixture(params=["memory", "store", "xarray"])
def data(swept, request):
    return swept[request.param]


def test_labels_are_selected_compared_and_converted(data):
    assert data["law"].dtype.kind == "U"
    assert data["law"].astype(str).values.tolist() == list(NAMES)
    chosen = data["tokens"].sel(law="besiroglu2024", loss=2.2)
    law = js.laws.published("besiroglu2024")
    assert float(chosen) == pytest.approx(float(law.tokens_for(2.2, 1e10)), rel=1e-5)
    assert data.where(data.law == NAMES[0], drop=True).sizes["law"] == 1
    assert data.sel(law=[NAMES[2], NAMES[0]]).law.values.tolist() == [NAMES[2], NAMES[0]]


def test_the_label_of_the_least_is_named(data):
    least = data["tokens"].idxmin("law").sel(loss=2.3).values.item()
    tokens = {name: float(js.laws.published(name).tokens_for(2.3, 1e10)) for name in NAMES}
    assert least == min(tokens, key=tokens.__getitem__)
    assert data["tokens"].idxmax("law").dtype.kind in "UO"


def test_labels_go_to_pandas_and_to_netcdf(data, tmp_path):
    frame = data.to_dataframe()
    assert frame.loc["sardana2024"].index.tolist() == LOSSES
    assert frame["tokens"].unstack("law").columns.tolist() == list(NAMES)
    data.to_netcdf(tmp_path / "grid.nc")
    with xarray.open_dataset(tmp_path / "grid.nc") as again:
        assert again["law"].values.tolist() == list(NAMES)
        np.testing.assert_array_equal(again["tokens"], data["tokens"])
