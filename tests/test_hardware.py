"""The catalogue of accelerators: its figures, its names, its errors."""

import dataclasses
import re

import jax
import numpy as np
import pytest

import jaxscale as js
from jaxscale import hardware, published
from jaxscale.hardware import Quote, accelerator, catalog
from jaxscale.published.entry import by_name

ENTRIES = {entry.name: entry for entry in catalog()}

GB, GIB = 1e9, 2**30

# The figures as the sources print them, typed in apart from the module. Peaks are dense, in
# TFLOP/s; a dash in print, or a figure without a source, is None and must be absent.
# fmt: off
PRINTED = {
    #                   fp32   tf32    half    fp8     int8    fp4    bytes    TB/s
    "V100":            ( 15.7, None,   125,    None,   None,   None,   16 * GB, 0.90),
    "V100-PCIe":       ( 14,   None,   112,    None,   None,   None,   16 * GB, 0.90),
    "A100-40GB":       ( 19.5, 156,    312,    None,   624,    None,   40 * GB, 1.555),
    "A100-40GB-PCIe":  ( 19.5, 156,    312,    None,   624,    None,   40 * GB, 1.555),
    "A100-80GB":       ( 19.5, 156,    312,    None,   624,    None,   80 * GB, 2.039),
    "A100-80GB-PCIe":  ( 19.5, 156,    312,    None,   624,    None,   80 * GB, 1.935),
    "A10G":            ( None, None,   70,     None,   140,    None,   24 * GB, 0.60),
    "H100-SXM":        ( 67,   494.5,  989,    1979,   1979,   None,   80 * GB, 3.35),
    "H100-PCIe":       ( 51,   378,    756,    1513,   1513,   None,   80 * GB, 2.0),
    "H200":            ( 67,   494.5,  989,    1979,   1979,   None,  141 * GB, 4.8),
    "L4":              ( None, None,   121,    242,    242,    None,   24 * GB, 0.30),
    "L40S":            ( 91.6, 183,    362,    733,    733,    None,   48 * GB, 0.864),
    "B200":            ( 80,   1125,   2250,   4500,   4500,   9000,  180 * GB, 8.0),
    "GB200":           ( 80,   1250,   2500,   5000,   5000,   10000, 186 * GB, 8.0),
    "B300":            ( 80,   1125,   2250,   4500,   None,   None,  288 * GB, 8.0),
    "GB300":           ( 80,   1250,   2500,   5000,   None,   15000, 288 * GB, 8.0),
    "MI250X":          ( 47.9, None,   383,    None,   383,    None,  128 * GB, 3.28),
    "MI300X":          (163.4, 653.7,  1307.4, 2614.9, 2614.9, None,  192 * GB, 5.3),
    "MI325X":          (163.4, 653.7,  1307.4, 2614.9, 2614.9, None,  256 * GB, 6.0),
    "MI355X":          (157.3, None,   2500,   5000,   5000,   10000, 288 * GB, 8.0),
    "TPU-v3":          ( None, None,   123,    None,   None,   None,   32 * GIB, 0.90),
    "TPU-v4":          ( None, None,   275,    None,   275,    None,   32 * GIB, 1.2),
    "TPU-v5e":         ( None, None,   197,    None,   393,    None,   16 * GIB, 0.819),
    "TPU-v5p":         ( None, None,   459,    459,    918,    None,   95 * GIB, 2.765),
    "TPU-v6e":         ( None, None,   918,    918,    1836,   None,   32 * GIB, 1.64),
    "TPU-v7x":         ( None, None,   2307,   4614,   None,   None,  192 * GIB, 7.38),
    "Trainium1":       ( 47.5, 190,    190,    190,    380,    None,   32 * GIB, 820 * GIB / 1e12),
    "Trainium2":       ( 181,  667,    667,    1299,   None,   None,   96 * GIB, 2.9),
    "Trainium3":       ( 183,  671,    671,    2517,   None,   2517,  144 * GIB, 4.9),
    "Gaudi2":          ( None, None,   432,    865,    None,   None,   96 * GB, 2.46),
    "Gaudi3":          ( None, None,   1677,   1677,   None,   None,  128 * GB, 3.7),
    "RTX-3090":        ( 35.6, None,   71.2,   None,   284,    None,   24 * GB, 0.936),
    "RTX-4090":        ( 82.6, 82.6,   165.2,  330.3,  660.6,  None,   24 * GB, 1.008),
    "RTX-5090":        (104.8, None,   209.5,  419,    None,   1676,   32 * GB, 1.792),
    "RTX-A6000":       ( 38.7, None,   154.8,  None,   309.7,  None,   48 * GB, 0.768),
    "M1-Max":          ( 10.6, None,   10.6,   None,   None,   None,   64 * GB, 0.4),
    "M1-Ultra":        ( 21.2, None,   21.2,   None,   None,   None,  128 * GB, 0.8),
    "M2-Max":          ( 13.6, None,   13.6,   None,   None,   None,   96 * GB, 0.4),
    "M2-Ultra":        ( 27.2, None,   27.2,   None,   None,   None,  192 * GB, 0.8),
    "M3-Max":          ( 14.3, None,   14.3,   None,   None,   None,  128 * GB, 0.4),
    "M4-Max":          ( 13.7, None,   13.7,   None,   None,   None,   36 * GB, 0.41),
}
# fmt: on

# Watts at TDP, of those whose power is printed.
WATTS = {
    **{"V100": 300, "A100-40GB": 400, "A100-80GB": 400, "A100-80GB-PCIe": 300, "H100-SXM": 700},
    **{"H200": 700, "L4": 72, "L40S": 350, "B200": 1000, "GB200": 1200, "B300": 1000},
    **{"GB300": 1400, "MI250X": 500, "MI300X": 750, "MI325X": 1000, "MI355X": 1400},
    **{"Gaudi2": 600, "Gaudi3": 900},
}

# Links as printed, in GB/s: of a device in both directions or in one, the devices that they join,
# and the network outside in one direction. A dash in print is None.
# fmt: off
LINKS = {
    #                   both    one    domain  network
    "V100":            ( 300,   150,   None,   None),
    "A100-80GB":       ( 600,   300,   8,      25),
    "H100-SXM":        ( 900,   450,   8,      400 / 8),
    "H200":            ( 900,   450,   8,      400 / 8),
    "H100-PCIe":       ( 126,   63,    1,      126 / 2),
    "L40S":            ( 64,    32,    1,      64 / 2),
    "A10G":            ( None,  None,  None,   None),
    "B200":            (1800,   900,   8,      400 / 8),
    "GB200":           (1800,   900,   72,     3600 / 72),
    "MI250X":          ( 700,   350,   None,   None),
    "MI300X":          ( 896,   448,   8,      None),
    "MI355X":          (1071,   535.5, 8,      None),
    "TPU-v3":          (4 * 200, 400,  32 * 32, 25 / 8),
    "TPU-v4":          (6 * 90, 270,   16 * 16 * 16, 25 / 4),
    "TPU-v5e":         ( 400,   200,   16 * 16, 25 / 8),
    "TPU-v5p":         (1200,   600,   16 * 20 * 28, 25 / 4),
    "TPU-v6e":         ( 800,   400,   16 * 16, 25 / 8),
    "TPU-v7x":         (1200,   600,   9216,   None),
    "Trainium2":       ( None,  None,  None,   None),
    "Gaudi2":          (2 * 21 * 12.5, 262.5, 8, 3 * 12.5),
    "RTX-5090":        ( 126,   63,    1,      126 / 2),
    "M2-Ultra":        ( None,  None,  None,   None),
    "Gaudi3":          (2 * 21 * 25, 525, 8,   3 * 25),
}
# fmt: on

# Dense bf16 peak over bandwidth, FLOP per byte, as printed (fp16 for the V100).
RIDGES = {
    "V100": 139,
    "A100-40GB": 201,
    "A100-80GB": 153,
    "H100-SXM": 295,
    "H100-PCIe": 378,
    "H200": 206,
    "B200": 281,
    "L4": 403,
    "L40S": 419,
    "MI250X": 117,
    "MI300X": 247,
    "MI325X": 218,
    "TPU-v4": 229,
    "TPU-v5e": 241,
    "TPU-v5p": 166,
    "TPU-v6e": 560,
    "TPU-v7x": 313,
    "Trainium1": 216,
    "Trainium2": 230,
    "Gaudi2": 176,
    "Gaudi3": 453,
}

# What the vendors headline with structured sparsity, in TFLOP/s.
SPARSE = {
    "A100-40GB": {"tf32": 312, "bf16": 624, "int8": 1248},
    "A100-80GB": {"tf32": 312, "bf16": 624, "int8": 1248},
    "H100-SXM": {"tf32": 989, "bf16": 1979, "fp8": 3958, "int8": 3958},
    "H200": {"tf32": 989, "bf16": 1979, "fp8": 3958, "int8": 3958},
    "L4": {"bf16": 242, "fp8": 485, "int8": 485},
    "L40S": {"tf32": 366, "bf16": 733, "fp8": 1466, "int8": 1466},
    "B200": {"bf16": 4500, "fp8": 9000, "fp4": 18000},
    "GB200": {"bf16": 5000, "fp8": 10000, "fp4": 20000},
    "MI355X": {"fp8": 10100},
    "RTX-3090": {"bf16": 142.4, "int8": 568},
    "RTX-4090": {"bf16": 330.4, "fp8": 660.6, "int8": 1321.2},
    "RTX-5090": {"bf16": 419, "fp8": 838, "fp4": 3352},
    "RTX-A6000": {"bf16": 309.6, "int8": 619.4},
    "Trainium2": {"bf16": 2563, "fp8": 2563},
}

every_entry = pytest.mark.parametrize("entry", ENTRIES.values(), ids=ENTRIES)


def ridge(entry):
    half = "bf16" if "bf16" in entry.peak_flops else "fp16"
    return entry.peak(half) / entry.memory_bandwidth


# Figures


@pytest.mark.parametrize("name", PRINTED)
def test_figures_are_those_that_the_sources_print(name):
    entry = ENTRIES[name]
    *rates, memory, terabytes_per_second = PRINTED[name]
    fp32, tf32, half, *narrow = rates
    # What is printed for both halves holds for bf16 alone off GPUs, for fp16 alone on Volta and on
    # the GPUs of Apple.
    bf16 = None if name.startswith("V100") or entry.vendor == "Apple" else half
    fp16 = half if entry.vendor in ("NVIDIA", "AMD", "Apple") else None
    peaks = zip(hardware.PRECISIONS, [fp32, tf32, bf16, fp16, *narrow], strict=True)
    expected = {precision: 1e12 * rate for precision, rate in peaks if rate is not None}
    assert entry.peak_flops == pytest.approx(expected, rel=1e-12)
    assert entry.memory_bytes == pytest.approx(memory, rel=1e-12)
    assert entry.memory_bandwidth == pytest.approx(1e12 * terabytes_per_second, rel=1e-12)


def test_every_entry_is_checked_against_print_and_none_is_missing():
    assert set(ENTRIES) == set(PRINTED)
    assert len(catalog()) == len(ENTRIES)


@pytest.mark.parametrize("name", LINKS)
def test_links_are_those_that_the_sources_print(name):
    entry = ENTRIES[name]
    both, one, domain, network = LINKS[name]
    if one is None:
        assert entry.link_bandwidth is None
    else:
        assert one == both / 2  # what vendors print is twice what goes one way
        assert entry.link_bandwidth == pytest.approx(1e9 * one, rel=1e-12)
    assert entry.domain == domain
    assert entry.network_bandwidth == (network and pytest.approx(1e9 * network, rel=1e-12))


@every_entry
def test_watts_are_those_that_the_sources_print(entry):
    assert entry.watts == WATTS.get(entry.name)


def test_power_is_kept_where_all_that_are_compared_have_it():
    both = hardware.comparable("H100-SXM", "L40S")
    assert [device.watts for device in both.values()] == [700.0, 350.0]
    assert {device.watts for device in hardware.comparable("H100-SXM", "A10G").values()} == {None}


@every_entry
def test_a_link_is_slower_than_memory_and_faster_than_the_network(entry):
    link = entry.link_bandwidth or entry.memory_bandwidth
    assert (entry.network_bandwidth or 0) <= link <= entry.memory_bandwidth
    # A card without links of its own has its bus alone.
    assert (entry.domain == 1) == (entry.network_bandwidth == link)


@pytest.mark.parametrize("name", RIDGES)
def test_ridge_point_rounds_to_the_printed_one(name):
    assert round(ridge(ENTRIES[name])) == RIDGES[name]


@every_entry
def test_ridge_point_is_plausible(entry):
    # An Apple GPU has no matrix units, and a GeForce halves its rate where it sums in FP32.
    least = 20 if entry.vendor == "Apple" else 75 if entry.name.startswith("RTX") else 100
    assert least <= ridge(entry) <= 600


@every_entry
def test_fp8_is_no_slower_than_bf16(entry):
    assert entry.peak_flops.get("fp8", np.inf) >= entry.peak_flops.get("bf16", 0)


@pytest.mark.parametrize("name", [name for name in ENTRIES if "int8" in ENTRIES[name].peak_flops])
def test_int8_is_once_or_twice_bf16(name):
    ratio = ENTRIES[name].peak("int8") / ENTRIES[name].peak("bf16")
    # Vendors round the two rates apart: by 1.2 % on the L40S, 733 for 2 x 362. A GeForce halves its
    # rate at bf16 where it sums in FP32.
    usual = {4} if name in ("RTX-3090", "RTX-4090") else {1, 2}
    assert any(ratio == pytest.approx(each, rel=0.015) for each in usual)


@pytest.mark.parametrize("name", SPARSE)
def test_no_peak_is_a_sparse_one(name):
    for precision, sparse in SPARSE[name].items():
        assert ENTRIES[name].peak(precision) < 0.75 * 1e12 * sparse


@every_entry
def test_catalogue_holds_plain_floats_of_known_precisions(entry):
    assert {type(leaf) for leaf in jax.tree.leaves(entry)} == {float}
    assert set(entry.peak_flops) <= set(hardware.PRECISIONS)


# Sources and prices


@every_entry
def test_every_entry_names_its_source_and_vendor(entry):
    assert entry.vendor in ("NVIDIA", "AMD", "Google", "AWS", "Intel", "Apple")
    # A reader must be able to find each of them: no empty ones and no bare acronyms.
    assert all(len(each) > 10 for each in entry.source.split("; "))


@every_entry
def test_every_quote_has_an_iso_date_and_a_source(entry):
    for quote in entry.quotes:
        assert re.fullmatch(r"20\d\d(-[01]\d(-[0-3]\d)?)?", quote.date)
        assert len(quote.source) > 10
        assert 0.1 < quote.dollars_per_hour < 20


@every_entry
def test_price_is_the_only_quote_or_none(entry):
    only = entry.quotes[0].dollars_per_hour if len(entry.quotes) == 1 else None
    assert entry.price == only


@pytest.mark.parametrize(
    ("name", "dollars"),
    [
        ("A100-40GB", [1.10]),
        ("A100-80GB", [1.39, 1.50, 2.45]),
        ("A100-80GB-PCIe", [1.19, 2.10]),
        ("H100-PCIe", [1.99, 2.79, 3.51]),
        ("H100-SXM", [2.69, 4.76]),
        ("H200", [3.59, 6.35]),
        ("B200", [5.98, 10.57]),
        ("L4", [0.44, 0.78]),
        ("L40S", [0.79, 1.40]),
        ("TPU-v5e", []),
        ("MI300X", []),
    ],
)
def test_quotes_are_those_found(name, dollars):
    assert sorted(quote.dollars_per_hour for quote in ENTRIES[name].quotes) == dollars


def test_the_prices_of_sardana_et_al_are_dated_with_the_paper():
    for name, dollars in [("A100-40GB", 1.10), ("A100-80GB", 1.50)]:
        (quote,) = [each for each in ENTRIES[name].quotes if "Sardana" in each.source]
        assert (quote.dollars_per_hour, quote.date) == (dollars, "2023-10-02")


def test_unit_costs_of_sardana_et_al_follow():
    # Dollars per FLOP at peak, their section on cost: 1.50 for training, 1.10 for int8 serving.
    train, serve = accelerator("A100-80GB", price=1.50), accelerator("A100-40GB")
    assert train.price / 3600 / train.peak("bf16") == pytest.approx(1.3355e-18, rel=5e-5)
    assert serve.price / 3600 / serve.peak("int8") == pytest.approx(4.8967e-19, rel=5e-5)


# Names


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("h100 sxm", "H100-SXM"),
        ("H100_SXM", "H100-SXM"),
        ("  h100-sxm ", "H100-SXM"),
        ("tpu v5e", "TPU-v5e"),
        ("TPUv5P", "TPU-v5p"),
        ("mi300x", "MI300X"),
        ("v100", "V100"),
        ("A100-80", "A100-80GB"),
        ("a100 40", "A100-40GB"),
        ("A100 SXM 80GB", "A100-80GB"),
        ("a100 80gb pcie", "A100-80GB-PCIe"),
        ("trainium 2", "Trainium2"),
        ("Ironwood", "TPU-v7x"),
    ],
)
def test_spelling_of_a_name_is_forgiven(written, meant):
    assert accelerator(written) == ENTRIES[meant]


@every_entry
def test_every_entry_is_found_under_its_own_name(entry):
    assert accelerator(entry.name) == entry


def test_every_alias_leads_to_an_entry_and_hides_none():
    entries = published.shipped("accelerators")
    assert [entry.name for entry in entries] == list(ENTRIES)
    aliases = [alias for entry in entries for alias in entry.aliases]
    spellings = by_name(entries, hardware._key)
    assert len(spellings) == len(ENTRIES) + len(aliases)


@pytest.mark.parametrize(
    ("written", "variants"),
    [
        ("A100", ["A100-40GB", "A100-40GB-PCIe", "A100-80GB", "A100-80GB-PCIe"]),
        ("A100 SXM", ["A100-40GB", "A100-80GB"]),
        ("a100-pcie", ["A100-40GB-PCIe", "A100-80GB-PCIe"]),
        ("h100", ["H100-SXM", "H100-PCIe"]),
        ("TPU", [name for name in PRINTED if name.startswith("TPU")]),
        ("TPU v5", ["TPU-v5e", "TPU-v5p"]),
        ("Gaudi", ["Gaudi2", "Gaudi3"]),
    ],
)
def test_ambiguous_name_lists_exactly_the_variants(written, variants):
    with pytest.raises(ValueError, match="ambiguous") as error:
        accelerator(written)
    assert repr(written) in str(error.value)
    assert str(error.value).split("choose from ")[1].split(", ") == variants


@pytest.mark.parametrize(
    ("written", "nearest"),
    [("H100-SMX", "H100-SXM"), ("H20", "H200"), ("A10", "A10G"), ("MI300", "MI300X")],
)
def test_unknown_name_says_the_nearest_and_all_known(written, nearest):
    with pytest.raises(ValueError, match=f"unknown accelerator '{written}'") as error:
        accelerator(written)
    said, known = str(error.value).split("; known: ")
    assert f"did you mean {nearest}?" in said
    assert known.split(", ") == list(ENTRIES)


@pytest.mark.parametrize("written", ["", "?!", None])
def test_nonsense_is_an_unknown_name_without_a_suggestion(written):
    with pytest.raises(ValueError, match="unknown accelerator") as error:
        accelerator(written)
    assert "did you mean" not in str(error.value)


# Precisions


def test_unsupported_precision_names_the_device_and_what_it_has():
    with pytest.raises(ValueError, match="A100-80GB has no peak for precision 'fp8'") as error:
        accelerator("A100-80GB").peak("fp8")
    assert str(error.value).endswith("it has fp32, tf32, bf16, fp16, int8")
    # fp16 looks like fp8 but is not a misspelling of it.
    assert "did you mean" not in str(error.value)


@pytest.mark.parametrize(
    ("asked", "nearest"), [("BF16", "bf16"), ("bfloat16", "bf16"), ("int_8", "int8")]
)
def test_misspelt_precision_gets_the_nearest(asked, nearest):
    with pytest.raises(ValueError, match=f"{asked}.*did you mean {nearest}"):
        accelerator("H100-SXM").peak(asked)


# Overrides


def test_overrides_replace_fields_and_keep_the_rest():
    found = accelerator("H100-SXM", price=2.0, memory_bytes=94e9, name="H100-mine", note="ours")
    assert found == dataclasses.replace(
        ENTRIES["H100-SXM"], price=2.0, memory_bytes=94e9, name="H100-mine", note="ours"
    )


def test_peak_flops_is_merged_into_the_table():
    found = accelerator("A100-80GB", peak_flops={"bf16": 250e12, "fp8": 1e15})
    expected = {**ENTRIES["A100-80GB"].peak_flops, "bf16": 250e12, "fp8": 1e15}
    assert found.peak_flops == expected


def test_price_can_be_taken_back():
    assert accelerator("A100-40GB", price=None).price is None


def test_links_can_be_given_and_taken_back():
    device = accelerator("L40S", link_bandwidth=56e9, domain=2, network_bandwidth=None)
    assert (device.link_bandwidth, device.domain, device.network_bandwidth) == (56e9, 2.0, None)


def test_links_that_some_lack_are_filled_beside_those_that_are_known():
    devices = hardware.comparable("L40S", "H100-SXM", "MI300X", "V100", "A10G")
    assert {*map(jax.tree.structure, devices.values())} == {jax.tree.structure(devices["L40S"])}
    found = {name: [getattr(one, each) for each in hardware.LINKS] for name, one in devices.items()}
    assert found["L40S"] == [32e9, 1, 32e9]
    assert found["H100-SXM"] == [450e9, 8, 50e9]
    assert found["MI300X"] == [448e9, 8, 50e9]
    assert found["V100"] == [150e9, hardware.UNBOUNDED, 50e9]
    assert found["A10G"] == [0, hardware.UNBOUNDED, 50e9]
    assert all(np.isfinite(jax.tree.leaves(one)).all() for one in devices.values())
    assert hardware.comparable("A10G", "Trainium2")["A10G"].domain is None


def test_new_quotes_set_the_price_by_the_same_rule():
    ours, theirs = Quote(3.0, "2026-11-01", "a contract"), Quote(4.0, "2026-11-02", "an offer")
    assert accelerator("H100-SXM", quotes=[ours]).price == 3.0
    assert accelerator("H100-SXM", quotes=[ours]).quotes == (ours,)
    assert accelerator("A100-40GB", quotes=(ours, theirs)).price is None
    assert accelerator("A100-40GB", quotes=(ours, theirs), price=3.5).price == 3.5


def test_integers_survive_a_32_bit_jit():
    found = accelerator("L4", memory_bytes=24_000_000_000, memory_bandwidth=np.int64(3 * 10**11))
    doubled = jax.jit(lambda each: jax.tree.map(lambda leaf: 2 * leaf, each))(found)
    assert doubled.memory_bytes == pytest.approx(48e9, rel=1e-6)
    assert doubled.memory_bandwidth == pytest.approx(6e11, rel=1e-6)


def test_arrays_may_stand_in_for_numbers():
    prices = np.array([1.0, 2.0])
    assert accelerator("L4", price=prices).price is prices


@pytest.mark.parametrize("value", [0, -1.5, np.nan, np.inf, np.array([1.0, 0.0])], ids=repr)
@pytest.mark.parametrize(
    "field", ["price", "memory_bytes", "memory_bandwidth", "peak_flops", "link_bandwidth", "domain"]
)
def test_number_that_is_not_finite_and_positive_is_refused(field, value):
    given = {"bf16": value} if field == "peak_flops" else value
    with pytest.raises(ValueError, match=f"{field}.*must be finite and greater than 0") as error:
        accelerator("H100-SXM", **{field: given})
    assert repr(value) in str(error.value)


def test_concrete_device_array_is_checked_too():
    with pytest.raises(ValueError, match="price must be finite"):
        accelerator("L4", price=jax.numpy.float32(-1.0))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"prize": 1.0}, "no field 'prize'.*did you mean price.*memory_bandwidth"),
        ({"price": "1.50"}, "price must be a real number"),
        ({"price": True}, "price must be a real number"),
        ({"network_bandwidth": "50e9"}, "network_bandwidth must be a real number"),
        ({"memory_bytes": None}, "memory_bytes must be a real number"),
        ({"peak_flops": 1e15}, "peak_flops must map"),
        ({"peak_flops": {"bf16": None}}, "peak_flops.'bf16'. must be a real number"),
        ({"quotes": (1.5,)}, "quotes must be Quote"),
        ({"note": 3}, "note must be a string"),
    ],
)
def test_override_of_the_wrong_kind_is_a_type_error(overrides, message):
    with pytest.raises(TypeError, match=message):
        accelerator("H100-SXM", **overrides)


def test_override_of_an_unknown_precision_is_refused_not_merged():
    with pytest.raises(ValueError, match=r"no precision 'bf61'.*did you mean bf16.*fp32, tf32"):
        accelerator("H100-SXM", peak_flops={"bf61": 1e15})


def test_what_a_caller_does_to_an_accelerator_leaves_the_catalogue_alone():
    for own in (accelerator("L4"), next(each for each in catalog() if each.name == "L4")):
        own.peak_flops["bf16"] = 1.0
        assert accelerator("L4").peak("bf16") == 121e12


# Accelerators of one's own

OURS = """
[accelerators.ours]
peak_flops = { bf16 = 250e12, fp8 = 500e12 }
memory_bytes = 64e9
memory_bandwidth = 2e12
source = "our data sheet"
"""


def test_a_file_has_accelerators_in_the_format_of_the_catalogue(tmp_path):
    path = tmp_path / "Rack.TOML"
    path.write_text(OURS + "price = 0.9\nlink_bandwidth = 1e11\n" + OURS.replace("ours", "next"))
    ours, following = hardware.read(path)
    assert (ours.name, ours.price, ours.link_bandwidth, ours.domain) == ("ours", 0.9, 1e11, None)
    assert (following.price, following.peak("fp8"), following.vendor) == (None, 500e12, "")
    assert "vendor" not in dict(ours._facts())


def test_a_file_is_a_name_of_its_accelerator(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "one.toml").write_text(OURS)
    (tmp_path / "two.toml").write_text(OURS + OURS.replace("ours", "next"))
    assert accelerator("one.toml", price=2.0).price == 2.0
    assert accelerator("two.toml:next").name == "next"
    assert hardware.comparable("one.toml", "H100-SXM").keys() == {"ours", "H100-SXM"}
    with pytest.raises(ValueError, match=r"several .*choose from two.toml:ours, two.toml:next"):
        accelerator("two.toml")
    with pytest.raises(ValueError, match=r"two.toml: unknown accelerator 'our' .*mean ours"):
        accelerator("two.toml:our")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (OURS.replace("250e12", "-1"), r"accelerators\.ours: peak_flops\['bf16'\] must be finite"),
        (OURS.replace("memory_bytes", "memory"), "unknown key 'memory'"),
        (OURS + "price = 0", "price must be finite and greater than 0"),
        (OURS + "domain = 'all'", "domain must be a real number"),
        ("", r"no table \[accelerators.NAME\]"),
    ],
)
def test_a_mistake_in_a_file_is_named(text, said, tmp_path):
    path = tmp_path / "ours.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=rf"ours\.toml: .*{said}"):
        hardware.read(path)


def test_a_device_is_made_of_numbers():
    device = hardware.custom(250e12, 64e9, 2e12, price=0.9, domain=8, name="ours")
    assert device.peak_flops == {"bf16": 250e12, "fp16": 250e12}
    assert (device.memory_bytes, device.memory_bandwidth, device.price) == (64e9, 2e12, 0.9)
    assert (device.name, device.domain, device.link_bandwidth) == ("ours", 8.0, None)
    assert hardware.custom({"fp8": 1e15}).peak_flops == {"fp8": 1e15}
    assert hardware.custom(250e12).memory_bytes == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (dict(peak_flops=-1.0), "peak_flops.*must be finite"),
        (dict(peak_flops={"bf61": 1e12}), "no precision 'bf61'"),
        (dict(peak_flops=1e12, memory_bytes=np.nan), "memory_bytes must be finite"),
        (dict(peak_flops=1e12, prize=1.0), "no field 'prize'"),
    ],
)
def test_numbers_of_a_device_are_checked(arguments, said):
    with pytest.raises((TypeError, ValueError), match=said):
        hardware.custom(**arguments)


# Under JAX


def test_traced_overrides_pass_unchecked():
    @jax.jit
    def dollars_per_flop(price, peak):
        device = accelerator("H100-SXM", price=price, peak_flops={"bf16": peak})
        return device.price / 3600 / device.peak("bf16")

    assert dollars_per_flop(3.6, 1e3) == pytest.approx(1e-6, rel=1e-6)
    assert dollars_per_flop(-3.6, 1e3) == pytest.approx(-1e-6, rel=1e-6)


def test_price_is_differentiable_through_the_constructor():
    slope = jax.grad(lambda price: accelerator("L4", price=price).price ** 2)(3.0)
    assert slope == pytest.approx(6.0, rel=1e-6)


def test_an_accelerator_is_an_argument_of_a_jitted_function():
    found = jax.jit(ridge)(accelerator("A100-80GB", price=1.5))
    assert found == pytest.approx(312e12 / 2039e9, rel=1e-6)


@every_entry
def test_pytree_round_trip_is_the_identity(entry):
    assert jax.tree.map(lambda leaf: leaf, entry) == entry
    leaves, structure = jax.tree.flatten(entry)
    known = (entry.price, entry.watts, *(getattr(entry, name) for name in hardware.LINKS))
    assert len(leaves) == len(entry.peak_flops) + 2 + sum(each is not None for each in known)
    assert jax.tree.unflatten(structure, leaves) == entry


@every_entry
def test_static_fields_hash_and_are_part_of_the_structure(entry):
    structure = jax.tree.structure(entry)
    assert hash(structure) == hash(jax.tree.structure(accelerator(entry.name)))
    assert structure != jax.tree.structure(dataclasses.replace(entry, name="another"))


# --- How an accelerator shows itself -----------------------------------------------------------


def test_an_accelerator_shows_itself_in_one_short_line():
    assert repr(js.accelerator("H100-SXM", price=2.5)) == (
        "Accelerator('H100-SXM', bf16=989T, fp8=1.98Q, int8=1.98Q, memory_bytes=80.0B, price=2.5)"
    )
    assert all(len(repr(each)) < 100 for each in js.hardware.catalog())
    assert "price=<array of shape (3,)>" in repr(js.accelerator("L4", price=np.ones(3)))
    shown = []
    jax.jit(lambda price: shown.append(repr(js.accelerator("L4", price=price))))(1.0)
    assert "Tracer" in shown[0]
    device = js.accelerator("L4")
    assert "memory_bytes=<object" in repr(jax.tree.map(lambda _: object(), device))


def test_the_facts_of_an_accelerator_are_a_table():
    pytest.importorskip("pandas")
    device = js.accelerator("H100-SXM")
    frame = device.to_dataframe()
    facts = dict(zip(frame["fact"], frame["value"], strict=True))
    assert facts["bf16"] == "989T operations/s"
    assert facts["price"] == "not chosen"
    assert frame["fact"].tolist().count("quote") == len(device.quotes)
    assert facts["link"] == "450B bytes/s in one direction"
    assert facts["domain"] == "8 devices"
    assert "3.35T bytes/s" in device._repr_html_()
