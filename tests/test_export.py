"""Programs of jax.export: those that a process without jaxrnn reads give what jaxrnn gives."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import assert_close, noisy_params, table, tolerance

import jaxrnn
from jaxrnn import models
from jaxrnn.interop import export
from jaxrnn.interop._names import named

pytest.importorskip("flatbuffers", reason='the extra "files" is not installed')

T, B, D = 9, 5, 3
STACK = jaxrnn.stack(jaxrnn.lstm(5, peepholes=True), jaxrnn.learned_carry(jaxrnn.gru(4)))
BOTH = jaxrnn.bidirectional(jaxrnn.gru(4), jaxrnn.lstm(3, projection=2))
MODEL = models.language_model(STACK, 7, 3)
FEW = {"platforms": ("cpu",)}  # each platform lowers it once more
# name: (record, what, options of `export`); "rows" are told by keyword.
PROGRAMS = {
    "sequence": (STACK, "sequence", {}),
    "rows": (STACK, "sequence", {"rows": ("lengths", "mask", "reset"), **FEW}),
    "step": (STACK, "step", FEW),
    "start": (STACK, "start", FEW),
    "params": (STACK, "sequence", {"constants": False, **FEW}),
    "both": (BOTH, "sequence", {"carry": False, "rows": ("lengths",), **FEW}),
    "sizes": (jaxrnn.gru(4), "sequence", {"batch": B, "time": T, **FEW}),
    "one row": (jaxrnn.emit_carry(jaxrnn.lstm(4)), "sequence", {"batch": None, "engine": jaxrnn.engines.scan, **FEW}),
    "half": (jaxrnn.gru(4, dtype="bfloat16"), "step", FEW),
    "model": (MODEL, "sequence", FEW),
    "model step": (MODEL, "step", FEW),
    "classifier": (models.classifier(jaxrnn.gru(4), 3, pooling="mean"), "sequence", {"rows": ("mask",), **FEW}),
}
# Reads programs and arguments, calls, and writes what comes out; nothing of jaxrnn can be imported.
READER = """
import json, sys
sys.modules["jaxrnn"] = None
import jax, numpy as np
import jax.numpy as jnp
folder = sys.argv[1]
for name, axes in json.load(open(folder + "/names.json")).items():
    with open(f"{folder}/{name}", "rb") as file:
        program = jax.export.deserialize(bytearray(file.read()))
    given = np.load(f"{folder}/{name}.npz")
    args, options = jax.tree.unflatten(program.in_tree, [
        jnp.asarray(given[f"{i}"]).astype(a.dtype) for i, a in enumerate(program.in_avals)])
    out = jax.tree.leaves(program.call(*args, **options))
    np.savez(f"{folder}/{name}-out.npz", **{str(i): np.asarray(a, "float64") for i, a in enumerate(out)})
assert not any(m.startswith("jaxrnn.") for m in sys.modules)
"""


def params_of(record, key):
    if isinstance(record, jaxrnn.Cell):
        return noisy_params(record, key, D)
    params = record.init(key) if getattr(record, "vocabulary_size", None) else record.init(key, D)
    return jax.tree.map(lambda a: a + jnp.asarray(0.1, a.dtype), params)


def called(name, key, rng):
    """(the program, its arguments and options, what jaxrnn gives for these)."""
    record, what, options = PROGRAMS[name]
    params = params_of(record, key)
    data = export(record, params, what, **options)
    axes = () if options.get("batch", B) is None else (B,)
    lead = (T, *axes) if what == "sequence" else axes
    if getattr(record, "vocabulary_size", None):
        x = jnp.asarray(rng.integers(0, 7, lead), "int32")
    else:
        x = jnp.asarray(rng.standard_normal((*lead, D)), "float32")
    lengths = np.append(rng.integers(1, T, B - 1), 0)
    rows = {
        "lengths": jnp.asarray(lengths, "int32"),
        "mask": jnp.asarray((rng.random((T, B)) < 0.8) & (np.arange(T)[:, None] < lengths)),
        "reset": jnp.asarray(rng.random((T, B)) < 0.3),
    }
    rows = {row: rows[row] for row in options.get("rows", ())}
    carry = record.initial_carry(params, axes)
    carry = jax.tree.map(lambda a: jnp.asarray(0.3 * rng.standard_normal(a.shape), a.dtype), carry)
    begin = carry if options.get("carry", True) else None
    if what == "start":
        expected = named(record.initial_carry(params, axes))
    else:
        if what == "step":
            carry, y = record.step(params, begin, x)
        elif isinstance(record, jaxrnn.Cell):
            carry, y = jaxrnn.unroll(record, params, begin, x, **rows)
        else:
            carry, y = record.apply(params, begin, x, **rows)
        expected = named(carry), y if hasattr(y, "dtype") else named(y)
    args = [x] if what == "start" or begin is None else [named(begin), x]
    args = args if options.get("constants", True) else [named(params), *args]
    return data, args, rows, expected


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    """For each program, what jaxrnn gives, and what the process without it gives."""
    folder, wanted = tmp_path_factory.mktemp("programs"), {}
    for i, name in enumerate(PROGRAMS):
        data, args, rows, wanted[name] = called(name, jax.random.key(i), np.random.default_rng(i))
        (folder / name).write_bytes(data)
        given = {str(i): np.asarray(a, "float64") for i, a in enumerate(jax.tree.leaves((args, rows)))}
        np.savez(folder / f"{name}.npz", **given)
    (folder / "names.json").write_text(json.dumps(dict.fromkeys(PROGRAMS)))
    command = [sys.executable, "-c", READER, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return {name: (wanted[name], np.load(folder / f"{name}-out.npz")) for name in PROGRAMS}


@pytest.mark.parametrize("name", table(PROGRAMS, list(PROGRAMS)[::3]))
@pytest.mark.full
def test_without_jaxrnn(name, elsewhere):
    expected, found = elsewhere[name]
    leaves = jax.tree.leaves(expected)
    assert len(found) == len(leaves)
    tol = tolerance("bfloat16", 1) if name == "half" else tolerance("float32", T)
    assert_close([found[str(i)] for i in range(len(leaves))], leaves, tol)


def test_of_any_size_from_one(key, rng):
    """One program for all batches and times."""
    params = noisy_params(STACK, key, D)
    program = jax.export.deserialize(bytearray(export(STACK, params, carry=False, **FEW)))
    for time, batch in (1, 1), (2, 7), (13, 2):
        xs = jnp.asarray(rng.standard_normal((time, batch, D)), "float32")
        carry, ys = jaxrnn.unroll(STACK, params, None, xs)
        assert_close(program.call(xs), (named(carry), ys), tolerance("float32", time))


def test_steps_after_a_start_are_the_sequence(key, rng):
    params = noisy_params(STACK, key, D)
    begin, step, sequence = (
        jax.export.deserialize(bytearray(export(STACK, params, what, **FEW))).call
        for what in ("start", "step", "sequence")
    )
    xs = jnp.asarray(rng.standard_normal((T, B, D)), "float32")
    carry, ys = begin(xs[0]), []
    for x in xs:
        carry, y = step(carry, x)
        ys.append(y)
    assert_close((carry, jnp.stack(ys)), sequence(begin(xs[0]), xs), tolerance("float32", T))
    assert sorted(carry) == ["layer_0/c", "layer_0/h", "layer_1/h"]


def test_for_platforms_that_are_not_here(key):
    """Each has its own program in it; a program for another machine alone says so when it is called."""
    params = noisy_params(jaxrnn.lstm(4), key, D)
    for what in "sequence", "step", "start":
        program = jax.export.deserialize(bytearray(export(jaxrnn.lstm(4), params, what)))
        assert program.platforms == ("cpu", "cuda", "tpu")
    alone = jax.export.deserialize(bytearray(export(jaxrnn.lstm(4), params, "start", platforms=["tpu"])))
    with pytest.raises(ValueError, match=r"platforms.*tpu.*cpu"):
        alone.call(jnp.ones((2, D), "float32"))


def test_params_from_a_file(key, tmp_path, rng):
    """Of other params than those that it was exported with, in a file of `save`."""
    files = pytest.importorskip("safetensors.numpy", reason='the extra "files" is not installed')
    cell, xs = jaxrnn.stack(jaxrnn.lstm(4), jaxrnn.gru(3)), jnp.asarray(rng.standard_normal((T, B, D)), "float32")
    path = tmp_path / "program"
    assert export(cell, noisy_params(cell, key, D), path=path, constants=False, carry=False, **FEW) == path.read_bytes()
    params = noisy_params(cell, jax.random.fold_in(key, 1), D)
    jaxrnn.save(tmp_path / "model", cell, params)
    program = jax.export.deserialize(bytearray(path.read_bytes()))
    carry, ys = program.call(files.load_file(tmp_path / "model"), xs)
    assert_close(ys, jaxrnn.unroll(cell, params, None, xs)[1], tolerance("float32", T))
    assert_close(carry, named(jaxrnn.unroll(cell, params, None, xs)[0]), tolerance("float32", T))


GRU = jaxrnn.gru(4)
WRONG = {
    "record": (("gru", {}), {}, TypeError, "record: expected a cell, or a model with initial_carry"),
    "pairs": (
        (models.encoder_decoder(GRU, GRU, 5, 6), {}),
        {},
        TypeError,
        "jax.export takes functions of any other form",
    ),
    "params": ((GRU, {"kernel": np.ones((3, 12))}), {}, ValueError, "params: expected those of gru(4)"),
    "what": ((GRU, None), {"what": "steps"}, ValueError, "what: expected one of 'sequence', 'step', 'start', got 'st"),
    "rows": ((GRU, None), {"rows": ("length",)}, ValueError, "rows: expected names among lengths, mask, reset"),
    "text": ((GRU, None), {"rows": "lengths"}, ValueError, "rows: expected names among lengths, mask, reset, in a tu"),
    "of a step": ((GRU, None), {"what": "step", "rows": ("mask",)}, ValueError, "rows, carry: expected none of them"),
    "no carry": ((GRU, None), {"what": "step", "carry": False}, ValueError, "rows, carry: expected none of them"),
    "both": ((jaxrnn.bidirectional(GRU, GRU), None), {"what": "step"}, TypeError, "needs the whole sequence"),
    "x": (
        (jaxrnn.stack(jaxrnn.time_distributed("tanh"), GRU), None),
        {},
        ValueError,
        "x: expected one input, such as jax.ShapeDtypeStruct((3,), 'float32'), got None",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_arguments(name, key):
    (record, params), options, error, message = WRONG[name]
    params = record.init(key, D) if params is None else params
    with pytest.raises(error, match=re.escape(message)):
        export(record, params, **options)


def test_what_it_reads_can_be_told(key):
    cell = jaxrnn.stack(jaxrnn.time_distributed("tanh"), GRU)
    params = cell.init(key, D)
    data = export(cell, params, "step", x=jax.ShapeDtypeStruct((D,), "float32"), **FEW)
    x = jnp.ones((2, D), "float32")
    carry = cell.initial_carry(params, (2,))
    found = jax.export.deserialize(bytearray(data)).call(named(carry), x)
    assert_close(found[1], cell.step(params, carry, x)[1], tolerance("float32", 1))
