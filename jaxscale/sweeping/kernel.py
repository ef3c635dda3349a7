"""A group of chunks as one kernel: scenarios are made, solved and reduced in one place.

Each program of the kernel takes one chunk, a row of scenarios at a time. It decodes them from
their numbers, calls the scenario function as it is, and combines the terms of all reducers with
those of the rows before, in registers; a few numbers a chunk are all that leaves it. Written in
Pallas, for GPUs by Triton. What has no form there, such as a table that a scenario looks
numbers up in, raises when the kernel is built, and the sweep is a program of XLA instead.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from jaxscale.sweeping.gather import (
    FEW_KEYS,
    Name,
    Parts,
    Step,
    as_numbers,
    ok_of,
    step_of,
    terms_of,
)
from jaxscale.sweeping.inlined import inlined
from jaxscale.sweeping.reducers.protocol import Along, Group, Known, Lanes, Reducer, Tally
from jaxscale.sweeping.spaces import Scenario, Space

LANES = 1024  # scenarios in a row: a power of two, as all arrays of a kernel are
CHUNK = 128 * LANES  # scenarios of a program
MOST_ROWS = 255  # because counts by few keys have a byte for each
WARPS = 8  # of a GPU: four took 1.2 times as long


class Recipe(NamedTuple):
    """How rows combine, and into which parts."""

    steps: dict[Name, Step]  # without values
    few: dict[Name, int]  # numbers of keys, at most FEW_KEYS
    many: dict[Name, int]


def of_group(
    scenario: Scenario,
    space: Space,
    group: Group,
    reducers: tuple[Reducer, ...],
    dtypes: Mapping[str, np.dtype],
    tables: Any,
    known: list[Known],
    starts: Array,
    extents: Array,
    *,
    interpret: bool = False,
) -> tuple[dict[str, Array], Parts, Parts]:
    """What `program.of_group` gathers where no fields are kept. Traced.

    `interpret` runs the kernel on any device, slowly. Raises where something has no form.
    """
    # Here, because importing it takes a fifth of what importing jaxscale does.
    from jax.experimental import pallas as pl
    from jax.experimental.pallas import triton

    chunks, count = group.chunks, group.count
    rows = -(-chunks.length // LANES)
    if rows > MOST_ROWS:
        most = MOST_ROWS * LANES
        raise NotImplementedError(f"a kernel's chunks have at most {most:,} scenarios")
    row, consts, recipe = _row(scenario, space, group, reducers, dtypes, tables, known)
    given = tables, known, [starts[:, axis] for axis in range(starts.shape[1])]
    leaves, tree = jax.tree.flatten(
        (*given, [extents[:, axis] for axis in range(len(chunks.shape))])
    )
    # Of the arrays that the scenario closes over, only loops over known numbers have a form.
    inputs_of_consts = [at for at, const in enumerate(consts) if not np.ndim(const)]
    inputs = [
        *leaves,
        *(consts[at] for at in inputs_of_consts),
        *(jnp.zeros(size, jnp.int32) for size in recipe.many.values()),
    ]
    shapes = [jnp.shape(each) for each in inputs]

    def kernel(*refs: Any) -> None:
        program = pl.program_id(0)
        table_refs, known_refs, start_refs, extent_refs = jax.tree.unflatten(
            tree, refs[: len(leaves)]
        )
        scalars = {
            at: ref[0] for at, ref in zip(inputs_of_consts, refs[len(leaves) :], strict=False)
        }
        closed = [scalars.get(at, const) for at, const in enumerate(consts)]
        start, extent = ([ref[program] for ref in each] for each in (start_refs, extent_refs))
        numbers = jax.tree.map(lambda ref: ref[0], known_refs)
        outputs = iter(refs[len(inputs) :])
        step_outputs = {
            name: [next(outputs) for _ in step.empty] for name, step in recipe.steps.items()
        }
        few_outputs = {name: next(outputs) for name in recipe.few}
        many_outputs = {name: next(outputs) for name in recipe.many}

        def body(at: Array, state: Any) -> Any:
            combined, packed = state
            offset = at * LANES + lax.iota(jnp.int32, LANES)
            indices = _indices(offset, chunks.shape)
            inside = offset < chunks.length
            for index, here in zip(indices, extent, strict=True):
                inside &= index < here
            drawn = space.lanes(
                table_refs, start, indices, lambda table, index: triton.load(table.at[index])
            )
            found = row(closed, drawn, inside, offset, numbers)
            combined = {
                name: step.combine(combined[name], found.values[name])
                for name, step in recipe.steps.items()
            }
            packed = {name: _packed(packed[name], *found.keyed[name]) for name in packed}
            for name, output in many_outputs.items():
                mask, keys = found.keyed[name]
                if interpret:  # which takes one of equal keys alone
                    output[...] = output[...].at[keys].add(mask.astype(jnp.int32))
                else:
                    triton.atomic_add(output, keys, jnp.ones(LANES, jnp.int32), mask=mask)
            return combined, packed

        empty = {
            name: [jnp.full(LANES, each, each.dtype) for each in step.empty]
            for name, step in recipe.steps.items()
        }
        zero = jnp.zeros(LANES, jnp.int32)
        none = {name: [zero] * -(-size // KEYS_A_WORD) for name, size in recipe.few.items()}
        combined, packed = lax.cond(
            extent[0] > 0,  # a group may have fewer chunks than it has programs
            lambda: lax.fori_loop(0, rows, body, (empty, none)),
            lambda: (empty, none),
        )
        for name, step in recipe.steps.items():
            for output, number in zip(step_outputs[name], step.finish(combined[name]), strict=True):
                output[program] = number
        for name, size in recipe.few.items():
            for key in range(size):
                few_outputs[name][program * size + key] = _unpacked(packed[name], key)

    dtype_of_steps = [each.dtype for step in recipe.steps.values() for each in step.empty]
    shapes_out = [
        *(jax.ShapeDtypeStruct((count,), dtype) for dtype in dtype_of_steps),
        *(jax.ShapeDtypeStruct((count * size,), jnp.int32) for size in recipe.few.values()),
        *(jax.ShapeDtypeStruct((size,), jnp.int32) for size in recipe.many.values()),
    ]
    many = range(len(recipe.many))
    call = pl.pallas_call(
        kernel,
        out_shape=shapes_out,
        grid=(count,),
        input_output_aliases={
            len(inputs) - len(many) + at: len(shapes_out) - len(many) + at for at in many
        },
        interpret=interpret,
        compiler_params=triton.CompilerParams(num_warps=WARPS, num_stages=1),
    )
    found = iter(
        call(
            *(
                each.reshape(1) if not shape else each
                for each, shape in zip(inputs, shapes, strict=True)
            )
        )
    )
    parts = {
        name: step.part([next(found) for _ in step.empty]) for name, step in recipe.steps.items()
    }
    held = {
        name: next(found).reshape(count, size).sum(axis=0, dtype=jnp.int32)
        for name, size in recipe.few.items()
    }
    held |= {name: next(found) for name in recipe.many}
    return {}, parts, held


class Found(NamedTuple):
    """What a row of scenarios contributes."""

    values: dict[Name, list[Array]]
    keyed: dict[Name, tuple[Array, Array]]  # a mask, and keys


def _row(
    scenario: Scenario,
    space: Space,
    group: Group,
    reducers: tuple[Reducer, ...],
    dtypes: Mapping[str, np.dtype],
    tables: Any,
    known: list[Known],
) -> tuple[Any, list[Any], Recipe]:
    """The function of a row, the arrays that it closes over, and how rows combine.

    A kernel takes no arrays but its inputs, so the function takes them as arguments.
    """
    chunks, recipes = group.chunks, []

    def contribution(drawn: Any, inside: Array, offset: Array, known: list[Known]) -> Found:
        results = space.of_lanes(scenario, drawn)
        fields = {name: jnp.asarray(results[name]).astype(dtypes[name]) for name in dtypes}
        lanes = Lanes(fields, inside, inside & ok_of(fields), False, space.names)
        steps, few, many, keyed = {}, {}, {}, {}
        for name, term in terms_of(reducers, lanes, known).items():
            if isinstance(term, Along):
                raise NotImplementedError(f"sums along {term.argument!r} have no form in a kernel")
            if isinstance(term, Tally):
                (few if term.size <= FEW_KEYS else many)[name] = term.size
                keyed[name] = as_numbers(term.mask, (LANES,)) > 0, term.keys
            else:
                steps[name] = step_of(term, (LANES,), offset, chunks.length)
        recipes.append(Recipe(steps, few, many))
        return Found({name: step.values for name, step in steps.items()}, keyed)

    start_dtype = space.starts(chunks, np.zeros(1, np.int64)).dtype
    scalar, lane = jax.ShapeDtypeStruct((), start_dtype), jax.ShapeDtypeStruct((LANES,), jnp.int32)
    axes = space.starts(chunks, np.zeros(1, np.int64)).shape[1]
    drawn = jax.eval_shape(
        lambda tables, start, indices: space.lanes(
            tables, start, indices, lambda table, index: table[index]
        ),
        tables,
        [scalar] * axes,
        [lane] * len(chunks.shape),
    )
    mask = jax.ShapeDtypeStruct((LANES,), jnp.bool_)
    jaxpr, shape = jax.make_jaxpr(contribution, return_shape=True)(drawn, mask, lane, known)
    tree = jax.tree.structure(shape)

    def row(consts: list[Array], *arguments: Any) -> Found:
        return jax.tree.unflatten(tree, inlined(jaxpr, consts)(*jax.tree.leaves(arguments)))

    recipe = recipes[-1]
    steps = {name: step._replace(values=[]) for name, step in recipe.steps.items()}
    return row, list(jaxpr.consts), recipe._replace(steps=steps)


def _indices(offset: Array, shape: tuple[int, ...]) -> list[Array]:
    """Indices along the axes of a chunk, of scenarios by their offsets in it."""
    indices = []
    for size in reversed(shape):
        indices.append(offset % size)
        offset = offset // size
    return indices[::-1]


# --- Counts by few keys, in bytes of words ---------------------------------------------------

KEYS_A_WORD = 4


def _packed(words: list[Array], mask: Array, keys: Array) -> list[Array]:
    """Words with one more in the byte of each key."""
    one = jnp.where(mask, jnp.int32(1) << (8 * (keys % KEYS_A_WORD)), 0)
    at = keys // KEYS_A_WORD
    return [word + jnp.where(at == number, one, 0) for number, word in enumerate(words)]


def _unpacked(words: list[Array], key: int) -> Array:
    """The count of a key in all lanes."""
    word, shift = words[key // KEYS_A_WORD], 8 * (key % KEYS_A_WORD)
    return ((word >> shift) & 255).sum(dtype=jnp.int32)
