"""Programs that run without jaxrnn: a sequence, a step or a start, for any batch and time, by jax.export."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
from jax import export as jax_export

from jaxrnn._core import checks
from jaxrnn._core.cell import Cell, Engine, Params
from jaxrnn._core.files import replacing
from jaxrnn._core.optional import optional
from jaxrnn.interop._names import named
from jaxrnn.run import unroll

WHAT = "sequence", "step", "start"
ROWS = {"lengths": "int32", "mask": "bool", "reset": "bool"}


def export(
    record: Any,
    params: Params,
    what: str = "sequence",
    *,
    path: str | Path | None = None,
    x: Any = None,
    batch: str | int | None = "B",
    time: str | int = "T",
    rows: Sequence[str] = (),
    carry: bool = True,
    constants: bool = True,
    platforms: Sequence[str] = ("cpu", "cuda", "tpu"),
    engine: Engine | None = None,
) -> bytes:
    """A cell or model as a program in bytes, which needs JAX and flatbuffers, and no jaxrnn.

        data = jaxrnn.interop.export(cell, params, "step")
        step = jax.export.deserialize(bytearray(data)).call      # elsewhere
        carry, y = step(carry, x)

    what: "sequence": (carry, xs [T, B, ...]) -> (carry, ys [T, B, ...]), as `unroll`, or the `apply` of a model.
        "step": (carry, x [B, ...]) -> (carry, y). "start": x [B, ...] -> the initial carry of its rows.
    path: a file that the bytes are put in as well. x: one input without time and batch, or its jax.ShapeDtypeStruct;
        None: what the record reads.
    batch, time: "B" and "T": any size from 1 on; a number: that size; batch=None: no such axis.
    rows: of a sequence, names among "lengths", "mask" and "reset": the program takes these, by name, as `unroll` does.
    carry: False: a sequence takes no carry and begins at the initial one.
    constants: False: params are the first argument of the program, and not within it.
    platforms: those it runs on; they need not be here. engine: of a sequence, as for `unroll`.

    What goes in and out is plain: arrays, or dicts of arrays by path. The carry of an LSTM is {"h": ..., "c": ...},
    that of a stack {"layer_0/h": ..., ...}; params have the names that they have in a file of `jaxrnn.save`, so that
    `safetensors.numpy.load_file` gives that argument. There is no noise. JAX reads a program for at least six months
    of its versions (https://docs.jax.dev/en/latest/export/export.html).
    Raises TypeError or ValueError for arguments that do not fit, and for a step of what needs the whole sequence.
    """
    _fit(record, params, what, rows, carry)
    x = jax.eval_shape(lambda: _input(record, params) if x is None else x)
    lead = () if batch is None else (batch,)
    lead = jax_export.symbolic_shape(", ".join(map(str, (time, *lead))))
    lead = lead if what == "sequence" else lead[1:]
    axes = lead[what == "sequence" :]
    initial = jax.eval_shape(lambda p: record.initial_carry(p, axes), params)
    structures = [jax.tree.structure(tree) for tree in (params, initial)]
    names = [list(named(tree)) for tree in (params, initial)]

    def whole(i, given):
        """The params (0) or the carry (1) from their arrays by name."""
        return jax.tree.unflatten(structures[i], [given[name] for name in names[i]])

    def program(given, *args, **options):
        params = whole(0, given)
        if what == "start":
            return _plain(record.initial_carry(params, jax.tree.leaves(args[0])[0].shape[: len(axes)]))
        begin = whole(1, args[0]) if len(args) == 2 else None
        if what == "step":
            new, y = record.step(params, begin, args[-1])
        elif isinstance(record, Cell):
            new, y = unroll(record, params, begin, args[-1], engine=engine, **options)
        else:
            new, y = record.apply(params, begin, args[-1], engine=engine, **options)
        return named(new), _plain(y)

    inputs = [_after(lead, x)]
    if what != "start" and carry:
        inputs.insert(0, named(initial))
    options = {name: jax.ShapeDtypeStruct(axes if name == "lengths" else lead, ROWS[name]) for name in rows}
    given = named(params)
    f = functools.partial(program, given) if constants else program
    inputs = inputs if constants else [_after((), given), *inputs]
    optional("flatbuffers", "files", "a program in bytes")  # JAX's own writer asks for it
    data = bytes(jax_export.export(jax.jit(f), platforms=tuple(platforms))(*inputs, **options).serialize())
    if path is not None:
        with replacing(path) as file:
            file.write(data)
    return data


def _fit(record: Any, params: Params, what: str, rows: Sequence[str], carry: bool) -> None:
    if not hasattr(record, "initial_carry") or not (isinstance(record, Cell) or hasattr(record, "apply")):
        raise TypeError(
            "record: expected a cell, or a model with initial_carry(params, batch_shape), step and "
            f"apply(params, carry, xs), got {checks.describe(record)}; jax.export takes functions of any other form"
        )
    if what not in WHAT:
        raise ValueError(f"what: expected one of {', '.join(map(repr, WHAT))}, got {what!r}")
    if isinstance(rows, str) or not set(rows) <= set(ROWS):
        raise ValueError(f"rows: expected names among {', '.join(ROWS)}, in a tuple, got {rows!r}")
    if what != "sequence" and (rows or not carry):
        raise ValueError(f"rows, carry: expected none of them for what={what!r}; a sequence takes them")
    if isinstance(record, Cell):
        checks.params(record, params)


def _input(record: Any, params: Params) -> Any:
    """One input of a cell or a model, without axes of time and batch."""
    if getattr(record, "vocabulary_size", None) is not None:
        return jax.ShapeDtypeStruct((), "int32")
    cell, params = (record, params) if isinstance(record, Cell) else (record.cell, params["cell"])
    if cell.input is None:
        raise ValueError(
            "x: expected one input, such as jax.ShapeDtypeStruct((3,), 'float32'), got None, and "
            f"{record!r} does not say what it takes"
        )
    return cell.input(params)


def _after(axes: Any, tree: Any) -> Any:
    """The shapes and types of a pytree, with these axes before."""
    return jax.tree.map(lambda a: jax.ShapeDtypeStruct((*axes, *a.shape), a.dtype), tree)


def _plain(tree: Any) -> Any:
    """One array as it is, several by name."""
    return tree if hasattr(tree, "dtype") else named(tree)
