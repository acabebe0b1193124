"""Kernels in int8 in ONNX Runtime: weights alone, of any cell; both sides of a product, of an LSTM."""

import jax
import numpy as np
import pytest
from support import noisy_params, variant

import jaxrnn
from jaxrnn import interop, models

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

T, B, D = 6, 3, 5
LENGTHS = np.array([6, 0, 4], np.int32)
CELLS = {
    "elman": jaxrnn.elman(4),
    "lstm_coupled_peepholes": jaxrnn.lstm(4, coupled=True, peepholes=True),
    "gru": jaxrnn.gru(4),
    "gru_reset_before": jaxrnn.gru_reset_before(4),
    "both": jaxrnn.bidirectional(jaxrnn.gru(4), jaxrnn.gru(4)),
    "stack": jaxrnn.stack(jaxrnn.lstm(4), jaxrnn.lstm(3, projection=2)),
    "mgu": jaxrnn.mgu(4),
    "recurrent_highway": jaxrnn.recurrent_highway(4),
}
DYNAMIC = {
    "lstm": jaxrnn.lstm(4),
    "both": jaxrnn.bidirectional(variant("lstm_peepholes"), variant("lstm_peepholes")),
    "stack": jaxrnn.stack(jaxrnn.lstm(4), jaxrnn.lstm(3)),
}


def in_int8(proto):
    """The initializers that are kernels in int8."""
    return [t for t in proto.graph.initializer if t.data_type == onnx.TensorProto.INT8]


def both(cell, key, rng, dynamic):
    """(the params, in int8, ys of ONNX Runtime, the file)."""
    params = noisy_params(cell, key, D)
    small = interop.quantize(params, dynamic=dynamic)
    proto = interop.to_onnx(cell, small)
    onnx.checker.check_model(proto, full_check=not dynamic)
    session = runtime.InferenceSession(proto.SerializeToString())
    xs = rng.standard_normal((T, B, D)).astype(np.float32)
    given = {"xs": xs, "sequence_lens": LENGTHS}
    for i in session.get_inputs():
        if i.name.startswith("carry"):
            given[i.name] = np.zeros((B, *i.shape[1:]), np.float32)
    return params, small, xs, session.run(["ys"], given)[0], proto


@pytest.mark.parametrize("name", CELLS)
def test_weights_alone(name, key, rng):
    """To float32's rounding what jaxrnn gives with the same kernels in int8, and not what those in float32 give."""
    cell = CELLS[name]
    params, small, xs, ys, proto = both(cell, key, rng, False)
    expected = jaxrnn.unroll(cell, small, None, xs, lengths=LENGTHS)[1]
    np.testing.assert_allclose(ys, expected, atol=3e-6)
    assert np.abs(ys - jaxrnn.unroll(cell, params, None, xs, lengths=LENGTHS)[1]).max() > 2e-4
    leaves = jax.tree.leaves(small, is_leaf=lambda a: isinstance(a, interop.Int8))
    kernels = sum(a.values.size for a in leaves if isinstance(a, interop.Int8))
    assert sum(int(np.prod(t.dims)) for t in in_int8(proto)) >= kernels


@pytest.mark.parametrize("name", DYNAMIC)
def test_both_sides_of_an_lstm(name, key, rng):
    """ONNX Runtime rounds what it multiplies in its own way: as near to float32 as int8 is, and not float32."""
    cell = DYNAMIC[name]
    params, small, xs, ys, proto = both(cell, key, rng, True)
    assert "DynamicQuantizeLSTM" in {node.op_type for node in proto.graph.node}
    exact = np.asarray(jaxrnn.unroll(cell, params, None, xs, lengths=LENGTHS)[1])
    ours = np.asarray(jaxrnn.unroll(cell, small, None, xs, lengths=LENGTHS)[1])
    assert 1e-4 < np.abs(ys - exact).max() < 0.04 > np.abs(ys - ours).max()
    assert np.corrcoef(ys.ravel(), exact.ravel())[0, 1] > 0.999


@pytest.mark.parametrize("dynamic", [False, True])
def test_a_language_model(dynamic, key):
    model = models.language_model(jaxrnn.lstm(32), 30, 16)
    params = model.init(key)
    small = interop.quantize(params, dynamic=dynamic)
    proto = interop.to_onnx(model, small, lengths=False).SerializeToString()
    assert len(proto) < 0.5 * len(interop.to_onnx(model, params, lengths=False).SerializeToString())
    tokens, zeros = (np.arange(12, dtype=np.int32) * 5 % 30).reshape(4, 3), np.zeros((3, 32), np.float32)
    [logits] = runtime.InferenceSession(proto).run(["logits"], {"tokens": tokens, "carry.h": zeros, "carry.c": zeros})
    expected = np.asarray(model.apply(small, None, tokens)[1])
    np.testing.assert_allclose(logits, expected, atol=0.03 if dynamic else 1e-5)


@pytest.mark.parametrize("cell", [jaxrnn.gru(4), jaxrnn.mgu(4), jaxrnn.stack(jaxrnn.lstm(4), jaxrnn.elman(3))], ids=str)
def test_others_are_refused(cell, key):
    small = interop.quantize(cell.init(key, D), dynamic=True)
    with pytest.raises(TypeError, match=r"params: ONNX Runtime multiplies int8 in .*LSTM.*without"):
        interop.to_onnx(cell, small)
    with pytest.raises(TypeError, match="and one step has none"):
        interop.to_onnx(jaxrnn.lstm(4), interop.quantize(jaxrnn.lstm(4).init(key, D), dynamic=True), step=True)
