"""Tables that are not what they seem are warned of with their rows, and all others are not."""

import warnings

import numpy as np
import pandas as pd
import pytest

import jaxscale as js
from fitting.public_runs import table
from jaxscale.fitting import Suspicion
from jaxscale.fitting._suspicions._names import stated_unit

TABLES = 12  # random ones of each kind


def suspicions_of(frame, **how):
    """What the reader of a table warns of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if isinstance(frame, pd.DataFrame):
            js.Runs.from_dataframe(frame, **how)
        else:
            js.Runs.read(frame, **how)
    assert all(isinstance(each.message, Suspicion) for each in caught)
    return [each.message for each in caught]


def clean(rng):
    """A ladder of sizes, each trained for several lengths, with the columns that people add."""
    smallest = 10 ** rng.uniform(7, 9)
    sizes = smallest * np.cumprod(rng.uniform(1.5, 4, rng.integers(4, 8)))
    sizes = sizes[sizes < 1e11]
    ratios = np.geomspace(rng.uniform(2, 20), rng.uniform(40, 500), rng.integers(3, 7))
    params, ratio = (x.ravel() for x in np.meshgrid(sizes, ratios, indexing="ij"))
    params, tokens = params.round(), (params * ratio).round()
    law = js.laws.published("besiroglu2024")
    noise = np.exp(rng.normal(0, 0.005, params.size))
    # Attention adds to the FLOPs of small models.
    flops = 6 * params * tokens * (1 + 0.2 * (smallest / params) ** 0.3)
    steps = tokens / 2e6
    return pd.DataFrame(
        {
            "model": [f"{size / 1e6:.0f}M" for size in params],
            "params": params,
            "tokens": tokens,
            "loss": np.asarray(law.loss(params, tokens)) * noise,
            "flops": flops,
            "lr": 1e-3 * (params / 1e8) ** -0.3,
            "total_step_time": steps * rng.uniform(0.9, 1.1, params.size),
            "accuracy": rng.uniform(0.3, 0.6, params.size),
        }
    )


def some(rng, frame):
    """A mask of some rows, not all."""
    return np.isin(
        np.arange(len(frame)), rng.permutation(len(frame))[: rng.integers(2, len(frame))]
    )


def places(mask):
    return tuple((np.flatnonzero(mask) + 1).tolist())


def test_clean_tables_are_left_in_peace(rng):
    for _ in range(TABLES):
        frame = clean(rng)
        assert not suspicions_of(frame)
        again = frame.assign(loss=frame.loss * 0.999, seed=1)
        assert not suspicions_of(pd.concat([frame.assign(seed=0), again], ignore_index=True))


def test_rows_in_another_unit_are_named(rng):
    for _ in range(TABLES):
        frame = clean(rng)
        odd = some(rng, frame)
        columns = [["params"], ["tokens"], ["params", "tokens"]][rng.integers(3)]
        frame.loc[odd, columns] /= rng.choice([1e6, 1e9])
        units = [each for each in suspicions_of(frame) if each.about == "units"]
        assert {each.rows for each in units} == {places(odd)}
        assert "seem to count" in units[0].sentence


@pytest.mark.parametrize(
    ("factors", "how", "words"),
    [
        ({"params": 1e-3}, {}, "column 'params' seems to count thousands"),
        ({"params": 1e-6}, {}, "column 'params' seems to count millions"),
        ({"tokens": 1e-6}, {}, "column 'tokens' seems to count millions"),
        ({"tokens": 1e-9}, {}, "column 'tokens' seems to count billions"),
        ({"params": 1e-6, "tokens": 1e-9}, {}, "tokens"),
        ({}, {"tokens_unit": 1e9}, "the tokens unit of 1e+09 was applied to column 'tokens'"),
        ({}, {"params_unit": 1e6}, "the params unit of 1e+06 was applied to column 'params'"),
        ({}, {"params_unit": 1e6, "tokens_unit": 1e9}, "was applied to column 'tokens'"),
    ],
)
def test_a_column_in_another_unit_is_named(rng, factors, how, words):
    for _ in range(TABLES // 4):
        frame = clean(rng)
        for name, factor in factors.items():
            frame[name] *= factor
        found = [each for each in suspicions_of(frame, **how) if each.about == "units"]
        assert any(words in each.sentence for each in found)
        assert found[0].rows == tuple(range(1, len(frame) + 1))


def test_losses_that_are_no_nats_are_named(rng):
    frame = clean(rng)
    frame["loss"] = np.exp(frame.loss + 1)
    (found,) = suspicions_of(frame)
    assert found.rows == places(frame.loss > 12)
    assert "hardly nats per token" in found.sentence


def trainings(rng):
    """Checkpoints of several trainings, evenly spaced or with a column of steps."""
    parts = []
    for run in range(rng.integers(2, 9)):
        count = rng.integers(9, 40)
        steps = np.arange(1, count + 1) * 100.0
        if rng.random() < 0.5:
            steps = np.geomspace(100, 100 * count, count).round()
        part = pd.DataFrame({"step": steps, "tokens": steps * 2**20})
        params = round(5e7 * 2 ** rng.uniform(0, 5))
        loss = js.laws.published("besiroglu2024").loss(params, part.tokens.to_numpy())
        parts.append(part.assign(run=f"run {run}", params=params, loss=np.asarray(loss)))
    return pd.concat(parts, ignore_index=True)


def test_checkpoints_are_named_with_the_column_to_group_by(rng):
    for _ in range(TABLES):
        frame = trainings(rng)
        (found,) = suspicions_of(frame)
        assert found.rows == tuple(range(1, len(frame) + 1))
        assert f"of {frame.run.nunique()} trainings" in found.sentence
        assert "group them by column 'run'" in found.sentence
        assert not suspicions_of(frame, group="run")


def test_evenly_spaced_checkpoints_need_no_column_of_steps(rng):
    tokens = np.tile(np.arange(1, 13) * 1e9, 4)
    params = np.repeat(np.geomspace(1e8, 1e9, 4), 12)
    loss = np.asarray(js.laws.published("besiroglu2024").loss(params, tokens))
    (found,) = suspicions_of(pd.DataFrame({"params": params, "tokens": tokens, "loss": loss}))
    assert "12 checkpoints of each of 4 trainings" in found.sentence
    assert "group them by column 'params'" in found.sentence


def test_sweeps_of_a_setting_are_counted(rng):
    for _ in range(TABLES):
        frame, rates = clean(rng).drop(columns="lr"), np.geomspace(1e-4, 1e-2, rng.integers(2, 9))
        parts = [frame.assign(lr=x, loss=frame.loss * (1 + 10 * x)) for x in rates]
        swept = pd.concat(parts, ignore_index=True)
        swept["accuracy"] = rng.uniform(0.3, 0.6, len(swept))
        (found,) = suspicions_of(swept)
        assert (
            f"{len(frame)} pairs of params and tokens have {len(rates)} runs each" in found.sentence
        )
        assert "differ in lr:" in found.sentence
        assert not suspicions_of(swept, best_of_cell=True)
        assert not suspicions_of(swept, where=f"lr < {1.01 * rates[0]}")


def test_flops_that_disagree_are_named(rng):
    for _ in range(TABLES):
        frame = clean(rng)
        odd, factor = some(rng, frame), rng.choice([0.5, 2, 3, 10])
        frame.loc[odd, "tokens"] *= factor
        found = [each for each in suspicions_of(frame) if each.about == "FLOPs"]
        assert [each.rows for each in found] == [places(odd)]


@pytest.mark.parametrize(
    ("factor", "said"),
    [
        (1 / 3, "as if it counted 2 N D"),
        (0.5, "as if it counted multiplications alone"),
        (1e-15, "as if it counted PFLOPs"),
        (1 / 8.64e19, "as if it counted PFLOP-days"),
        (1e-3, "in all rows"),  # a unit that was applied to params alone, for one
        (7.0, "in all rows"),
        (1 / 7, "unless it counts active params alone"),
    ],
)
def test_flops_that_disagree_by_one_factor_are_named(rng, factor, said):
    frame = clean(rng)
    frame["flops"] = 6 * frame.params * frame.tokens * factor * rng.uniform(1, 1.1)
    (found,) = suspicions_of(frame)
    assert (found.about, len(found.rows)) == ("FLOPs", len(frame))
    assert said in found.sentence
    assert "check the units" in found.sentence


@pytest.mark.parametrize("budget", [1e21, 1e27])
def test_flops_of_experts_do_not_blame_the_units(budget):
    """Of each block's 8 x 64 + 4 squares of the width 12 are active; a router's share falls."""
    law, levers = js.laws.published("krajewski2024"), {"granularity": 8.0}
    design = js.design(law, budget, levers=levers, replicates=0)
    loss = law.loss(design.params, design.tokens, **design.levers)
    frame = design.to_dataframe().assign(loss=np.asarray(loss))
    (found,) = suspicions_of(frame, levers=tuple(levers))
    factor = float(found.sentence.split(" is ")[1].split(" times column 'flops' in all rows")[0])
    assert 30 < factor < (8 * 64 + 4) / 12
    assert "active params alone" in found.sentence
    assert ("check the units" in found.sentence) == (budget == 1e27)  # nearly constant


@pytest.mark.parametrize("factor", [7.0, 1e-3, 2048.0])
def test_flops_by_a_factor_and_attention_blame_the_units(rng, factor):
    frame = clean(rng)
    frame["flops"] *= factor
    (found,) = suspicions_of(frame)
    assert "in all rows" in found.sentence
    assert "check the units of params and tokens, and do not" in found.sentence


def test_flops_with_attention_or_recomputed_activations_are_left_in_peace(rng):
    for factor in (1, 4 / 3):
        frame = clean(rng)
        frame["flops"] *= factor
        assert not suspicions_of(frame)


def test_runs_without_a_table_are_looked_at_too(rng):
    frame = clean(rng)
    columns = (frame[name].to_numpy() for name in ("params", "tokens", "loss"))
    assert not js.fitting.suspicions(js.Runs(*columns))
    frame.loc[:2, "params"] /= 1e6
    columns = (frame[name].to_numpy() for name in ("params", "tokens", "loss"))
    (found,) = js.fitting.suspicions(js.Runs(*columns))
    assert found.rows == (1, 2, 3)
    assert "(row 1 to 3)" in found.sentence


def test_rows_that_differ_in_a_lever_are_not_repeated(rng):
    frame = clean(rng)
    first = frame.assign(bits=4.0)
    twice = pd.concat([first, frame.assign(bits=8.0), first[:2]], ignore_index=True)
    repeated = (len(twice) - 1, len(twice))
    runs = js.Runs(
        *(twice[name].to_numpy() for name in ("params", "tokens", "loss")),
        levers={"bits": twice.bits.to_numpy()},
    )
    for found in (suspicions_of(twice, levers=("bits",)), js.fitting.suspicions(runs)):
        assert [(each.about, each.rows) for each in found] == [("repeated rows", repeated)]
        assert "the params, tokens, bits and loss of an earlier one: 2" in found[0].sentence


# What the published tables are, as their README says: none is warned of anything else.
PORIAN = "param_count == 'standard' and loss_split == 'val' and train_set == 'rw'"
PUBLIC = {
    "besiroglu_2024/points.csv": ({}, set()),
    "gadre_2024/points.csv": ({"where": "train_set == 'rpj'"}, set()),
    "gemstones_2025/points_hot.csv": ({}, {"checkpoints"}),
    "gemstones_2025/points_hot_100b_plus.csv": ({"group": "run"}, set()),
    "muennighoff_2023/points_c4_constrained_fit.csv": ({"levers": ("unique_tokens",)}, set()),
    "olmo_ladder_2024/points.csv": ({}, set()),
    "porian_2024/isoflop_points.csv": (
        {"where": f"{PORIAN} and hparams == 'base' and warmup == 'short' and decay == 'kaplan'"},
        set(),
    ),
    "sardana_2024/points.csv": ({}, set()),
    "steplaw_2025/points_dense_all.csv": ({}, {"several runs a size"}),
    "steplaw_2025/points_dense_best_per_nd.csv": ({}, set()),
    "isoflops_open_athena/marin_202603.csv": ({"where": "dataset == 'comma'"}, set()),
    "isoflops_open_athena/misfitting.csv": ({}, set()),
    "isoflops_open_athena/ml_scalefit.csv": ({}, set()),
    "isoflops_open_athena/epochai_chinchilla.csv": ({}, set()),
}


@pytest.mark.parametrize("name", list(PUBLIC))
def test_published_tables_are_what_they_seem(name):
    how, about = PUBLIC[name]
    assert {each.about for each in suspicions_of(table(name), **how)} == about


# --- Units by losses and by names ------------------------------------------------------------


def grid(rng, smallest=10**7.5):
    """Six sizes, each trained for six lengths, with names and the losses of a published law."""
    params, ratio = (
        x.ravel() for x in np.meshgrid(smallest * np.geomspace(1, 100, 6), np.geomspace(4, 400, 6))
    )
    tokens = params * ratio
    law = js.laws.published(rng.choice(["besiroglu2024", "gadre2024_c4", "muennighoff2023"]))
    loss = np.asarray(law.loss(params, tokens)) * np.exp(rng.normal(0, 0.005, params.size))
    names = [f"run-{number}" for number in range(params.size)]
    return pd.DataFrame({"run": names, "params": params, "tokens": tokens, "loss": loss})


def units_of(frame, **how):
    return [each for each in suspicions_of(frame, **how) if each.about == "units"]


@pytest.mark.parametrize("column", ["params", "tokens"])
def test_rows_in_thousands_are_named_though_sound_ratios_span_as_much(rng, column):
    for _ in range(TABLES):
        frame = grid(rng)
        odd = rng.permutation(len(frame)) < rng.integers(3, 33)
        frame.loc[odd, column] /= 1e3
        (found,) = units_of(frame)
        assert found.rows == places(odd)
        assert f"cells of column '{column}' seem to count thousands" in found.sentence
        assert f"run {frame.run[odd].iloc[0]!r}" in found.sentence


def test_a_column_in_thousands_is_named_at_usual_ratios(rng):
    frame = grid(rng)
    frame["tokens"] = frame.params * np.tile(np.geomspace(0.5, 2, 6), 6)
    frame["loss"] = np.asarray(
        js.laws.published("besiroglu2024").loss(frame.params.to_numpy(), frame.tokens.to_numpy())
    )
    frame["params"] /= 1e3
    (found,) = units_of(frame)
    assert "column 'params' seems to count thousands" in found.sentence


@pytest.mark.parametrize(
    ("name", "unit", "params_unit"),
    [
        ("params(M)", 1e6, 1),
        ("n_params_millions", 1e6, 1),
        ("params [1e6]", 1e6, 1),
        ("paramsB", 1e9, 1),
        ("kparams", 1e3, 1),
        ("params_bn", 1e9, 1),
        ("N [10^9]", 1e9, 1),
        ("params_M", 1e6, 1e9),
    ],
)
def test_a_unit_that_a_name_states_is_asked_for(rng, name, unit, params_unit):
    frame = grid(rng).rename(columns={"params": name})
    frame[name] /= unit
    (found,) = units_of(frame, params=name, params_unit=params_unit)
    assert f"column {name!r} states a unit of {unit:g}" in found.sentence
    assert f"give the params unit {unit:g}" in found.sentence
    assert not units_of(frame, params=name, params_unit=unit)
    # Counts are counts, whatever the name says.
    frame[name] *= unit
    assert not units_of(frame, params=name)


@pytest.mark.parametrize(
    "name", ["B", "M", "D", "params", "tokens_seen", "k", "n_body", "params_b1"]
)
def test_other_names_state_no_unit(name):
    assert stated_unit(name) is None


def test_perplexities_by_another_name_are_named_by_their_size(rng):
    for _ in range(TABLES):
        frame = grid(rng, smallest=3e8)
        frame["loss"] = np.exp(frame.loss)
        (found,) = units_of(frame)
        assert "give the loss unit 'perplexity'" in found.sentence
        assert not suspicions_of(frame, loss_unit="perplexity")


def test_some_perplexities_are_named_by_row_and_run(rng):
    frame = grid(rng)
    odd = np.arange(len(frame)) % 3 == 1
    frame.loc[odd, "loss"] = np.exp(frame.loss[odd])
    (found,) = units_of(frame)
    assert found.rows == places(odd)
    assert "12 of 36 losses seem to be perplexities" in found.sentence
    assert "run 'run-1', 'run-4', 'run-7' and 9 more" in found.sentence


@pytest.mark.parametrize("name", ["val_bpb", "loss (bits)", "eval/bpb", "bits_per_byte"])
def test_bits_are_known_by_name(rng, name):
    frame = grid(rng).rename(columns={"loss": name})
    frame[name] /= 4.3 * np.log(2)
    (found,) = units_of(frame, loss=name)
    assert f"column {name!r} is named for bits" in found.sentence
    assert not suspicions_of(frame.assign(**{name: frame[name] * 4.3}), loss=name, loss_unit="bits")


def test_bits_per_byte_by_another_name_are_named_by_their_size(rng):
    frame = grid(rng, smallest=2e8)
    frame["loss"] /= 4.3 * np.log(2)
    (found,) = units_of(frame)
    assert "they may be bits per byte" in found.sentence


# --- Single runs ------------------------------------------------------------------------------


def test_diverged_runs_are_named_by_row_and_name(rng):
    for _ in range(TABLES):
        frame = grid(rng)
        odd = rng.permutation(len(frame))[: rng.integers(1, 4)]
        frame.loc[odd, "loss"] *= rng.uniform(1.6, 3, len(odd))
        (found,) = suspicions_of(frame)
        assert found.about == "diverged runs"
        assert found.rows == tuple(np.sort(odd + 1))
        for row in odd:
            assert repr(frame.run[row]) in found.sentence


def test_losses_that_are_no_numbers_are_refused_by_row(rng):
    for value in (np.nan, np.inf):
        frame = grid(rng)
        frame.loc[4, "loss"] = value
        with pytest.raises(ValueError, match=r"bad rows: 1 of 36 \(row 5: loss"):
            suspicions_of(frame)


def test_a_name_that_comes_again_with_other_numbers_is_named(rng):
    frame = grid(rng)
    frame.loc[35, "run"] = "run-7"
    (found,) = suspicions_of(frame)
    assert (found.about, found.rows) == ("repeated names", (36,))
    assert "run 'run-7'" in found.sentence


def test_repeats_are_seen_however_a_number_is_written(rng):
    frame = grid(rng)
    again = frame[3:5].assign(params=frame.params[3:5] * (1 + 1e-13), run=["a", "b"])
    (found,) = suspicions_of(pd.concat([frame, again], ignore_index=True))
    assert (found.about, found.rows) == ("repeated rows", (37, 38))
    assert "(row 37 to 38; run 'a', 'b')" in found.sentence


def test_sweeps_are_seen_without_a_column_of_the_setting(rng):
    frame = grid(rng)
    swept = pd.concat([frame.assign(loss=frame.loss * x) for x in (1, 1.03, 1.2)])
    (found,) = suspicions_of(swept.drop(columns="run"))
    assert "36 pairs of params and tokens have 3 runs each" in found.sentence
    assert "whose losses differ by 20 % or more" in found.sentence
    random_search = swept.assign(lr=rng.uniform(1e-4, 1e-2, len(swept)), run=range(len(swept)))
    (found,) = suspicions_of(random_search)
    assert "which differ in lr:" in found.sentence


def test_rows_of_one_run_are_checkpoints_at_any_distances(rng):
    frame = clean(rng)
    lengths = np.sort(rng.uniform(1, 100, (4, 9)), axis=1)
    params = np.repeat(np.geomspace(1e8, 1e9, 4), 9)
    tokens = params * lengths.ravel()
    loss = np.asarray(js.laws.published("besiroglu2024").loss(params, tokens))
    frame = pd.DataFrame({"params": params, "tokens": tokens, "loss": loss})
    assert not suspicions_of(frame)
    (found,) = suspicions_of(frame.assign(run_id=np.repeat(["a", "b", "c", "d"], 9)))
    assert "group them by column 'run_id'" in found.sentence


def test_simulated_runs_of_every_published_law_are_left_in_peace(rng):
    names = ["besiroglu2024", "hoffmann2022", "kaplan2020", "gadre2024_refinedweb", "sardana2024"]
    for name in names:
        law = js.laws.published(name)
        for ratios, flops in (((5, 500), (1e18, 1e22)), ((20, 20), (1e19, 1e22))):
            runs = js.fitting.simulate(
                law, 60, key=int(rng.integers(2**31)), tokens_per_param=ratios, flops=flops
            )
            assert not js.fitting.suspicions(runs)
