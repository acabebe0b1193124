"""One file for a cell or model: it comes back to the bit, or is refused with the name of what is wrong."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import re
import sys
import tempfile

import compositions
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import CORE, noisy_params, problem, table, variant

import jaxrnn
from jaxrnn import models
from jaxrnn.interop import _container as container
from jaxrnn.train import Damaged

numpy_files = pytest.importorskip("safetensors.numpy", reason='the extra "files" is not installed')

D = 5
MODEL = models.language_model(jaxrnn.stack(jaxrnn.lstm(4, peepholes=True), jaxrnn.gru(3)), 6, 3)
VOCABULARY = jaxrnn.data.Vocabulary("characters", ("a", "\n", "é", "\U0001f600", '"'))


def bits(tree):
    """The type, shape and bytes of each leaf."""
    return [(a.dtype.name, a.shape, np.asarray(a).tobytes()) for a in jax.tree.leaves(tree)]


def there_and_back(path, record, params, **options):
    jaxrnn.save(path, record, params, **options)
    saved = jaxrnn.load(path)
    assert saved.record == record and repr(saved.record) == repr(record)
    assert jax.tree.structure(saved.params) == jax.tree.structure(params)
    assert bits(saved.params) == bits(params)
    return saved


UNNAMED = {"bidirectional, own merge", "time_distributed"}  # of functions that no file can name


QUICK = [
    "lstm",
    "cornn",
    "learned_carry",
    "weight_norm",
    "with_reset",
    "bidirectional",
    "fast_slow",
    "stack of a stack",
]


@pytest.mark.parametrize("name", table([*CORE, *sorted(set(compositions.ROWS) - UNNAMED)], QUICK))
def test_every_cell_and_composition(name, tmp_path, key):
    """The names and the structure are those that `init` makes."""
    cell = variant(name) if name in CORE else compositions.made(name)
    params = problem(cell, key, D=D)[0]
    there_and_back(tmp_path / "cell", cell, params)


@pytest.mark.parametrize("name", sorted(UNNAMED))
def test_functions_without_a_name(name, tmp_path, key):
    cell = compositions.made(name)
    with pytest.raises(TypeError, match="cannot be saved as an option"):
        jaxrnn.save(tmp_path / "cell", cell, cell.init(key, D))
    assert os.listdir(tmp_path) == []


MODELS = {
    "language_model": (models.language_model(jaxrnn.gru(3), 6, 3, tied=True), None),
    "one_hot": (models.language_model(jaxrnn.indrnn(3), 6), None),
    "classifier": (models.classifier(jaxrnn.bidirectional(jaxrnn.gru(3), jaxrnn.gru(3)), 2), 7),
    "attention": (models.classifier(jaxrnn.lstm(3), 2, pooling="attention", vocabulary_size=6), None),
    "tagger": (models.tagger(jaxrnn.gru(3), 2), 4),
    "forecaster": (models.forecaster(jaxrnn.gru(3), 2), None),
    "quantiles": (models.forecaster(jaxrnn.gru(3), 2, head="quantile", strategy="direct", future_size=2), None),
    "translator": (models.encoder_decoder(jaxrnn.gru(3), jaxrnn.lstm(3), 5, 6, attention="bahdanau"), None),
    "captions": (models.encoder_decoder(None, jaxrnn.lstm(3), None, 6), 9),
}


@pytest.mark.parametrize("name", table(MODELS, {"language_model", "captions", "forecaster", "classifier"}))
def test_every_model(name, tmp_path, key):
    model, size = MODELS[name]
    params = model.init(key) if size is None else model.init(key, size)
    there_and_back(tmp_path / "model", model, params)


def test_all_that_goes_in_comes_out(tmp_path, key):
    extra = {"steps": 300, "lines": [1.5, None, True, "é\ud800"], "sha256": "0" * 64, "jaxrnn format 2": '{"sha256":"'}
    params = MODEL.init(key)
    saved = there_and_back(tmp_path / "model", MODEL, params, vocabulary=VOCABULARY, extra=extra)
    assert saved.vocabulary == VOCABULARY and saved.extra == extra
    assert isinstance(saved, jaxrnn.interop.Saved)
    tokens = jnp.asarray([[0, 1], [2, 5]], "int32")
    assert bits(saved.record.apply(saved.params, None, tokens)) == bits(MODEL.apply(params, None, tokens))


def test_others_open_it(tmp_path, key):
    """By names that say what it is."""
    params = MODEL.init(key)
    jaxrnn.save(tmp_path / "model", MODEL, params)
    plain = numpy_files.load_file(tmp_path / "model")
    assert sorted(plain) == [
        "bias",
        "cell/layer_0/bias",
        "cell/layer_0/kernel",
        "cell/layer_0/peephole",
        "cell/layer_0/recurrent_kernel",
        "cell/layer_1/bias",
        "cell/layer_1/kernel",
        "cell/layer_1/recurrent_bias",
        "cell/layer_1/recurrent_kernel",
        "embedding",
        "readout",
    ]
    np.testing.assert_array_equal(plain["cell/layer_1/kernel"], params["cell"]["layer_1"]["kernel"])


def test_the_same_arguments_give_the_same_bytes(tmp_path, key):
    params = MODEL.init(key)
    for name in "ab":
        jaxrnn.save(tmp_path / name, MODEL, params, vocabulary=VOCABULARY, extra={"b": 1, "a": 2})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_the_structure_is_that_of_the_record(tmp_path, key):
    """NamedTuples come back as such; a mapping of another kind as a dict. Axes may lie in memory in any order."""
    cell = jaxrnn.learned_carry(jaxrnn.lstm(3))
    params = jax.tree.map(np.asarray, noisy_params(cell, key, D))
    params["cell"] = {name: np.asfortranarray(a) for name, a in params["cell"].items()}
    carry = there_and_back(tmp_path / "cell", cell, params).params["initial_carry"]
    assert isinstance(carry, jaxrnn.cells.LSTMCarry)
    big = jax.tree.map(lambda a: a.astype(a.dtype.newbyteorder(">")), params)
    jaxrnn.save(tmp_path / "big", cell, big)
    assert (tmp_path / "big").read_bytes() == (tmp_path / "cell").read_bytes()


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
def test_types_keep_their_bits(dtype, tmp_path, key):
    """Also NaN with all it may hold, infinities, -0 and what is below the least normal number."""
    cell = jaxrnn.gru(4)
    params = noisy_params(cell, key, D, dtype)
    whole = np.asarray(params["kernel"]).copy()
    raw = whole.view(f"u{whole.dtype.itemsize}")
    raw[0, :6] = [0, 1, 1 << (8 * whole.dtype.itemsize - 1), np.iinfo(raw.dtype).max, *_infinities(whole.dtype)]
    params["kernel"] = whole
    there_and_back(tmp_path / "cell", cell, params)
    assert jaxrnn.load(tmp_path / "cell", dtype="float32").params["kernel"].dtype == "float32"


def _infinities(dtype):
    return np.array([np.inf, -np.inf]).astype(dtype).view(f"u{dtype.itemsize}")


def test_float64_where_there_is_none(tmp_path, key):
    jaxrnn.save(tmp_path / "cell", jaxrnn.gru(4), noisy_params(jaxrnn.gru(4), key, D, "float64"))
    with jax.enable_x64(False):
        with pytest.raises(TypeError, match=r"'bias': float64 while JAX has no float64 here: pass dtype='float32'"):
            jaxrnn.load(tmp_path / "cell")
        assert jaxrnn.load(tmp_path / "cell", dtype="float32").params["bias"].dtype == "float32"


def test_arrays_on_devices(tmp_path, key):
    params = jaxrnn.gru(4).init(key, D)
    mesh = jax.make_mesh((1,), ("x",), axis_types=(jax.sharding.AxisType.Auto,))
    placed = jax.device_put(params, jax.NamedSharding(mesh, jax.P("x")))
    there_and_back(tmp_path / "cell", jaxrnn.gru(4), jax.jit(lambda p: p)(placed))
    assert bits(jaxrnn.load(tmp_path / "cell").params) == bits(params)


def test_arrays_are_not_shared(tmp_path, key):
    params = jax.tree.map(np.array, jaxrnn.gru(4).init(key, D))
    jaxrnn.save(tmp_path / "cell", jaxrnn.gru(4), params)
    first = jaxrnn.load(tmp_path / "cell").params
    (tmp_path / "cell").write_bytes(b"")
    assert bits(first) == bits(params)


# Wrong arguments


def test_a_cell_made_by_hand(tmp_path, key):
    cell = dataclasses.replace(jaxrnn.gru(4), gates="abc")
    with pytest.raises(TypeError, match=r"only what a factory made can be saved; decorate yours with jaxrnn.factory"):
        jaxrnn.save(tmp_path / "cell", cell, cell.init(key, D))


def test_a_factory_of_ones_own(tmp_path, key):
    """It is asked for by name, also where it has the name of one of ours."""

    @jaxrnn.factory
    def gru(size: int):
        return jaxrnn.lstm(size)

    cell = jaxrnn.stack(jaxrnn.gru(3), gru(4))
    with pytest.raises(TypeError, match=r"a name of its own for each factory, got two of one among \[.*'gru', 'gru'"):
        jaxrnn.save(tmp_path / "cell", cell, cell.init(key, D))
    cell = jaxrnn.stack(gru(3), gru(4))
    jaxrnn.save(tmp_path / "cell", cell, cell.init(key, D))
    with pytest.raises(KeyError, match=r"made by factories of your own, \['gru'\]; give them in factories="):
        jaxrnn.load(tmp_path / "cell")
    assert jaxrnn.load(tmp_path / "cell", {"gru": gru, "lstm": None}).record == cell
    jaxrnn.save(tmp_path / "cell", jaxrnn.gru(3), jaxrnn.gru(3).init(key, D))
    assert jaxrnn.load(tmp_path / "cell", {"gru": gru}).record == jaxrnn.gru(3)


def test_tracers_are_refused_by_name(tmp_path, key):
    cell = jaxrnn.gru(4)
    saving = functools.partial(jaxrnn.save, tmp_path / "cell", cell)
    with pytest.raises(TypeError, match=r"params\['bias'\]: expected an array, got a traced one.*outside of jit"):
        jax.jit(saving)(cell.init(key, D))
    with pytest.raises(TypeError, match=r"params\['bias'\]: expected an array, got a traced one"):
        saving(jax.eval_shape(lambda: cell.init(key, D)))
    assert os.listdir(tmp_path) == []


WRONG = {
    "no cell": ("gru", {}, {}, TypeError, "record: expected a cell or a model of jaxrnn, got str 'gru'"),
    "no init": (jaxrnn.initializers.zeros(), {}, {}, TypeError, "record: expected a cell or a model"),
    "params": (jaxrnn.gru(4), {"kernel": np.ones((3, 12))}, {}, ValueError, "params: expected those of gru(4)"),
    "of a model": (MODEL, {"kernel": np.ones((3, 12))}, {}, ValueError, "params: expected those that init of"),
    "text": (jaxrnn.gru(4), {"kernel": np.array("a")}, {}, TypeError, "params['kernel']: expected an array of"),
    "key": (jaxrnn.gru(4), {"kernel": jax.random.key(0)}, {}, TypeError, "params['kernel']: expected an array of"),
    "complex": (jaxrnn.gru(4), {"kernel": np.ones(3, complex)}, {}, TypeError, "got complex128(3,)"),
    "twice": (jaxrnn.gru(4), {"a/b": np.ones(2), "a": {"b": np.ones(2)}}, {}, ValueError, "one twice among ['a/b']"),
    "vocabulary": (None, None, {"vocabulary": "abc"}, TypeError, "vocabulary: expected a jaxrnn.data.Vocabulary"),
    "symbols": (
        None,
        None,
        {"vocabulary": jaxrnn.data.Vocabulary("characters", tuple("abcdef"))},
        ValueError,
        "vocabulary: expected at most V=6 symbols",
    ),
    "of no kind": (
        None,
        None,
        {"vocabulary": jaxrnn.data.Vocabulary("words", ("a", "a"))},
        ValueError,
        "vocabulary: expected different symbols",
    ),
    "tuple": (None, None, {"extra": {"a": (1, 2)}}, TypeError, "extra: expected plain JSON, got a tuple"),
    "int key": (None, None, {"extra": {1: 2}}, TypeError, "extra: expected plain JSON, got a tuple, NaN, or a key"),
    "nan": (None, None, {"extra": float("nan")}, TypeError, "extra: expected plain JSON, got a tuple, NaN"),
    "array": (None, None, {"extra": np.ones(2)}, TypeError, "extra: expected plain JSON, got"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_arguments(name, tmp_path, key):
    record, params, options, error, message = WRONG[name]
    record, params = (MODEL, MODEL.init(key)) if record is None else (record, params)
    (tmp_path / "model").write_bytes(b"before")
    with pytest.raises(error, match=re.escape(message)):
        jaxrnn.save(tmp_path / "model", record, params, **options)
    assert (tmp_path / "model").read_bytes() == b"before" and os.listdir(tmp_path) == ["model"]


# Wrong files


@pytest.fixture(scope="module")
def whole():
    """The bytes of a file, and how to load such."""
    return _bytes(MODEL.init(jax.random.key(0)), extra={"steps": 3})


def _bytes(params, **options):
    with tempfile.TemporaryDirectory() as folder:
        jaxrnn.save(f"{folder}/model", MODEL, params, vocabulary=VOCABULARY, **options)
        with open(f"{folder}/model", "rb") as file:
            return file.read()


def refused(tmp_path, data, message=None, error=Damaged):
    path = tmp_path / "model"
    path.write_bytes(data)
    with pytest.raises(error, match=message) as caught:
        jaxrnn.load(path)
    assert "model" in str(caught.value)
    return str(caught.value)


def test_no_flipped_byte_is_taken(whole, tmp_path, rng):
    """200 in the header, 50 in the arrays, whose names are told."""
    end = 8 + int.from_bytes(whole[:8], "little")
    header = json.loads(whole[8:end])
    places = {name: entry["data_offsets"] for name, entry in header.items() if name != "__metadata__"}
    for at in [*range(8), *rng.integers(8, end, 192), *rng.integers(end, len(whole), 50)]:
        flipped = bytearray(whole)
        flipped[at] ^= int(rng.integers(1, 256))
        said = refused(tmp_path, bytes(flipped), error=ValueError)
        if at >= end:
            name = next(name for name, (a, b) in places.items() if a <= at - end < b)
            assert f"is damaged: its array {name!r} has another digest" in said


def test_no_cut_file_is_taken(whole, tmp_path, rng):
    for size in [0, 1, 7, 8, 9, len(whole) - 1, *rng.integers(0, len(whole), 20)]:
        refused(tmp_path, whole[:size], r"is damaged, cut short, or no safetensors file: .*\([\d,]+ bytes\)$")
    refused(tmp_path, whole + b"\0", "is damaged, cut short")


def test_the_header_by_its_parts(whole, tmp_path):
    refused(tmp_path, whole.replace(b'\\"steps\\":3', b'\\"steps\\":4'), "is damaged: its header has another digest")
    refused(
        tmp_path, whole.replace(b"jaxrnn format 1", b"jaxrnn_format 1"), "of jaxrnn.save, got one without", ValueError
    )
    refused(tmp_path, whole.replace(b"}}  ", b"}} \n", 1) if b"}}  " in whole else whole[:-1], "damaged")


def test_a_file_of_a_newer_format(whole, tmp_path):
    data = whole.replace(b"jaxrnn format 1", b"jaxrnn format 7")
    refused(tmp_path, data, "expected a format up to 1, the newest that this jaxrnn reads, got 7; install", ValueError)


def test_a_file_of_another_program(tmp_path):
    data = numpy_files.save({"kernel": np.ones((3, 4))}, {"format": "pt"})
    refused(tmp_path, data, "another program wrote it, and safetensors.numpy.load_file gives its arrays", ValueError)
    refused(tmp_path, b"PK\3\4" * 100, "no safetensors file")
    with pytest.raises(FileNotFoundError):
        jaxrnn.load(tmp_path / "nowhere")


def edited(whole, arrays=None, **content):
    """A file with other arrays or metadata and right digests, as a careful forger writes it."""
    end = 8 + int.from_bytes(whole[:8], "little")
    kept = json.loads(json.loads(whole[8:end])["__metadata__"]["jaxrnn format 1"])
    for name in ("sha256", "arrays"):
        del kept[name]
    return container.written(numpy_files.load(whole) | (arrays or {}) if arrays != {} else {}, {**kept, **content})


def test_arrays_changed_by_another_program(whole, tmp_path):
    """Without new digests: what is missing, one too many, or of another shape is named."""
    end = 8 + int.from_bytes(whole[:8], "little")
    metadata, held = json.loads(whole[8:end])["__metadata__"], numpy_files.load(whole)
    less = {name: a for name, a in held.items() if name != "readout"}
    for arrays, message in (
        (less, r"expected the array 'readout' \['F32', 3, 6\], got none of that name"),
        (held | {"more": np.ones(2)}, r"got \['more'\] as well"),
        (held | {"readout": np.ones((6, 3), "float32")}, r"'readout' \['F32', 3, 6\], got \['F32', 6, 3\]"),
        (held | {"readout": np.ones((3, 6), "int32")}, r"'readout' \['F32', 3, 6\], got \['I32', 3, 6\]"),
        (held | {"readout": np.ones((3, 6), "float32")}, r"its array 'readout' has another digest"),
    ):
        refused(tmp_path, numpy_files.save(arrays, metadata), "is damaged: .*" + message)


FORGED = {
    "more": ({"arrays": {"more": np.ones(2)}}, ValueError, r"expected no arrays but .*, got \['more'\] as well"),
    "shape": ({"arrays": {"bias": np.ones(7)}}, ValueError, r"expected the array 'bias' \[6\], got \[7\]"),
    "missing": ({"arrays": {}}, ValueError, r"expected the array 'bias' \[6\], got none of that name"),
    "size": ({"input_size": 3}, ValueError, "has no params of input_size 3"),
    "no size": ({"input_size": "3"}, ValueError, "has no params of input_size '3': input_size: expected an int"),
    "unknown": ({"record": {"call": "exec", "options": {}}}, KeyError, "'exec' is not a factory of jaxrnn"),
    "newer": ({"record": {"call": "gru", "options": {"new": 1}}}, TypeError, r"gru has no options \['new'\]; was"),
    "no model": ({"record": 3}, ValueError, "expected a cell or a model, got 3"),
    "initializer": ({"record": {"call": "zeros", "options": {}}}, ValueError, r"a cell or a model, got zeros\(\)"),
    "own": ({"factories": ["lstm"]}, KeyError, r"made by factories of your own, \['lstm'\]"),
    "factories": (
        {"factories": 3},
        ValueError,
        "model: expected the metadata of jaxrnn.save, got ValueError: factories 3",
    ),
    "parts": ({"another": 3}, ValueError, r"model: expected the metadata of jaxrnn.save, got ValueError: the names"),
    "vocabulary": ({"vocabulary": []}, ValueError, "vocabulary: expected a kind of"),
    "large": (
        {"record": {"call": "lstm", "options": {"hidden_size": 2**31 - 1}}, "input_size": 2**31 - 1},
        ValueError,
        r"lstm\(2147483647\) has no params of|expected the array",
    ),
}


@pytest.mark.parametrize("name", FORGED)
def test_forged_files(name, whole, tmp_path):
    """With right digests, which anybody can write: nothing is called that is not a factory, no array made."""
    changes, error, message = FORGED[name]
    (tmp_path / "model").write_bytes(edited(whole, **changes))
    with pytest.raises(error, match=message):
        jaxrnn.load(tmp_path / "model")


def test_metadata_deeper_than_python_reads(whole, tmp_path):
    """As the safetensors package itself would not write it."""
    data, deep = edited(whole, extra="X"), b"[" * 100_000 + b"]" * 100_000
    header = int.from_bytes(data[:8], "little") - len(b'\\"X\\"') + len(deep)
    data = header.to_bytes(8, "little") + data[8:].replace(b'\\"X\\"', deep)
    at = container._digest_at(data)
    data = data[: at.start(1)] + container._digest(data, at).encode() + data[at.end(1) :]
    refused(tmp_path, data, "expected the metadata of jaxrnn.save, got RecursionError", ValueError)


def test_a_save_that_fails_leaves_the_old_file(whole, tmp_path, key, monkeypatch):
    (tmp_path / "model").write_bytes(whole)

    def full(number):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        jaxrnn.save(tmp_path / "model", MODEL, MODEL.init(key))
    assert (tmp_path / "model").read_bytes() == whole and os.listdir(tmp_path) == ["model"]


def test_without_the_package(tmp_path, key, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    with pytest.raises(ImportError, match=r'pip install "jaxrnn\[files\]"'):
        jaxrnn.save(tmp_path / "model", MODEL, MODEL.init(key))
