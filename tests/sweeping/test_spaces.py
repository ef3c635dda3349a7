"""Grids: axes are checked when built, and every scenario is decoded from its number alone."""

import numpy as np
import pytest

import jaxscale as js
from jaxscale.sweeping.chunks import cut
from jaxscale.sweeping.job import prepare

DEFAULTS = {"fields": None, "reduce": None, "store": None, "dtype": "float32", "chunk": None}


def chunks_of(space, numbers, scenario, **given):
    """Fields of the chunks of these numbers, as the program gives them."""
    job = prepare(scenario, space, **DEFAULTS | given)
    with job.in_dtype():
        program = job.program()
        return [
            done
            for number in numbers
            for done in program.fetch(program.launch([np.array([number])], program.known(None)))
        ], job


# --- Chunks ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sizes", "target", "shape"),
    [
        ((5, 7), 100, (5, 7)),
        ((5, 7), 14, (2, 7)),
        ((5, 7), 6, (1, 4)),  # two equal parts of 7, not 6 and 1
        ((100, 1000, 3), 65536, (20, 1000, 3)),
        ((10**6,), 65536, (62500,)),
        ((3, 10**6), 65536, (1, 62500)),
        ((10**5,) * 3, 2**16, (1, 1, 50000)),
        ((1,), 1, (1,)),
    ],
)
def test_chunks_take_whole_axes_from_the_right_and_equal_parts_of_the_next(sizes, target, shape):
    assert cut(sizes, target).shape == shape


@pytest.mark.parametrize("sizes", [(5, 7), (7, 5, 3), (13,)])
@pytest.mark.parametrize("target", [1, 4, 6, 1000])
def test_chunks_are_the_numbering_in_order_and_cover_a_space_once(sizes, target):
    chunks = cut(sizes, target)
    numbering = np.arange(np.prod(sizes)).reshape(sizes)
    found = [numbering[chunks.slices(number)].ravel() for number in range(chunks.count)]
    np.testing.assert_array_equal(np.concatenate(found), np.arange(np.prod(sizes)))
    assert all(len(each) <= target for each in found)
    assert chunks.scenarios_in(np.arange(chunks.count)) == np.prod(sizes)


# --- Decoding --------------------------------------------------------------------------------


NUMBERS = [0, 2**31 - 1, 2**31, 2**32 + 1, 10**15 - 1, 2**53 - 1, 2**53 + 1, 10**17 - 1]


def test_a_grid_of_1e17_is_decoded_without_a_wrap():
    space = js.Grid(**{name: np.arange(100_000) for name in "abc"}, d=np.arange(100))
    assert space.size == 10**17

    def inputs(a, b, c, d):
        return {"a_": a, "b_": b, "c_": c, "d_": d}

    chunks = prepare(inputs, space, **DEFAULTS).chunks
    for number in NUMBERS:
        expected = np.array(
            [number // 10**12, number // 10**7 % 10**5, number // 100 % 10**5, number % 100]
        )
        chunk = np.ravel_multi_index(expected // chunks.shape, chunks.grid)
        (done,), _ = chunks_of(space, [chunk], inputs)
        inside = tuple(expected % chunks.shape)
        given = [done.fields[0][f"{name}_"][inside].item() for name in "abcd"]
        assert given == expected.tolist()


def test_axis_values_reach_the_scenario_as_they_label_the_result():
    space = js.Grid(loss=js.linspace(1.8, 2.6, 11), requests=js.geomspace(1e6, 1e12, 13), n=[3, 1])
    data = js.sweep(
        lambda loss, requests, n: {"l": loss, "q": requests, "m": n},
        space,
        dtype="float64",
        chunk=10,
    )
    for name, axis in (("l", "loss"), ("q", "requests"), ("m", "n")):
        expected = np.broadcast_to(data[axis], data[name].shape) if axis == "n" else None
        values = data[name].transpose(axis, ...).values
        expected = data[axis].values.reshape(-1, *[1] * (values.ndim - 1))
        np.testing.assert_array_equal(values, np.broadcast_to(expected, values.shape))
    assert data["m"].dtype == np.float64, "32 bits of an integer would overflow in silence"


def test_a_catalogue_axis_gives_whole_entries_and_labels():
    laws = {name: js.laws.published(name) for name in ("sardana2024", "besiroglu2024")}
    space = js.Grid(law=laws, loss=[2.0, 2.2, 2.4])
    data = js.sweep(
        lambda law, loss: {"params": js.minimize_cost(law, loss).params}, space, dtype="float32"
    )
    assert data["law"].values.tolist() == list(laws)
    for name, law in laws.items():
        expected = js.minimize_cost(law, np.float32([2.0, 2.2, 2.4])).params
        np.testing.assert_allclose(data["params"].sel(law=name), expected, rtol=1e-5)


def test_accelerators_are_an_axis_once_they_are_alike():
    machines = js.hardware.comparable("A100-40GB", js.accelerator("H100-SXM", price=2.5))
    space = js.Grid(serve=machines)
    data = js.sweep(
        lambda serve: {"rate": serve.peak("int8") / serve.price}, space, dtype="float64"
    )
    np.testing.assert_allclose(data["rate"], [624e12 / 1.10, 1979e12 / 2.5], rtol=1e-12)
    assert data["serve"].values.tolist() == ["A100-40GB", "H100-SXM"]


# --- Mistakes --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: js.linspace(1, np.inf, 3), ValueError, "stop must be finite"),
        (lambda: js.linspace(1, 2, 0), ValueError, "num must be 1 to"),
        (lambda: js.linspace(1, 2, 2.5), TypeError, "num must be a whole number"),
        (lambda: js.linspace("1", 2, 2), TypeError, "start must be a number"),
        (lambda: js.linspace(2, 2, 3), ValueError, "start and stop must differ"),
        (lambda: js.geomspace(0, 2, 3), ValueError, "start must be above 0"),
        (lambda: js.Grid(), ValueError, "at least one axis"),
        (lambda: js.Grid(a=[]), ValueError, "axis 'a' must"),
        (lambda: js.Grid(a=[1, 1]), ValueError, "axis 'a' must have distinct values"),
        (lambda: js.Grid(a=[1, np.nan]), ValueError, "axis 'a' must be finite; value 1 is nan"),
        (lambda: js.Grid(a=[[1, 2]]), ValueError, "axis 'a' must be numbers in one dimension"),
        (lambda: js.Grid(a=[[1], [1, 2]]), ValueError, "axis 'a' must have one dimension"),
        (lambda: js.Grid(a=["x"]), ValueError, "entries with labels go in a dict"),
        (lambda: js.Grid(a=3.0), TypeError, "axis 'a' must be js.linspace"),
        (lambda: js.Grid(a="abc"), TypeError, "axis 'a' must be js.linspace"),
        (lambda: js.Grid(a={}), ValueError, "axis 'a' must have at least one entry"),
        (
            # As many numbers each, of two laws.
            lambda: js.Grid(
                law={
                    "x": js.laws.kaplan.CriticalBatch(1.0, 2.0),
                    "y": js.laws.kaplan.KaplanPower(1.0, 2.0),
                }
            ),
            ValueError,
            "entry 'y' must have the structure",
        ),
        (
            lambda: js.Grid(a={"x": 1.0, "y": [1.0]}),
            ValueError,
            "entry 'y' must have the structure",
        ),
        (lambda: js.Grid(a={"x": "word"}), ValueError, "entry 'x' must hold numbers"),
        (lambda: js.Grid(a={1: 1.0}), TypeError, "labels must be strings"),
        (lambda: js.Grid(**dict.fromkeys("abcd", range(100_000))), ValueError, "a space has 1 to"),
    ],
)
def test_axes_are_refused_when_built(build, error, message):
    with pytest.raises(error, match=message):
        build()


def test_spaces_show_themselves_in_a_few_lines():
    law = js.laws.published("sardana2024")
    losses = js.linspace(1.8, 2.6, 200, units="nats/token")
    grid = js.Grid(loss=losses, requests=js.geomspace(1e6, 1e12, 100), law={"own": law})
    assert repr(losses) == "Axis(200 values, 1.8 to 2.6, in nats/token)"
    title, _, _, *rows = repr(grid).splitlines()
    assert title == "Grid of 20,000 scenarios"
    assert [row.split() for row in rows] == [
        ["loss", "200", "1.8", "2.6", "nats/token"],
        ["requests", "100", "1.000M", "1.000T"],
        ["law", "1", "own", "own"],
    ]
    assert grid._repr_html_().startswith(f"<table><caption>{title}</caption>")
    sample = js.Sobol(64, 0, loss=js.normal(2.0, 0.1), price=js.choice(np.arange(1.0, 999.0)))
    assert repr(sample).splitlines()[0] == "Sobol' sample of 64 scenarios"
    assert repr(sample).splitlines()[3:] == [
        "loss      normal(mean=2, std=0.1)",
        "price     one of 998 rows",
    ]


@pytest.mark.parametrize("space", [js.Sample, js.Sobol])
def test_the_key_of_a_sample_goes_by_position_or_by_name(space):
    by_name = space(16, key=3, x=js.uniform(0, 1))
    assert by_name.describe() == space(16, 3, x=js.uniform(0, 1)).describe()
