"""`to_onnx` against ONNX Runtime, on ragged rows and sizes that nobody named, and back by `from_onnx`, to the bit."""

from __future__ import annotations

import io

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st
from onnx_sides import D, assert_cell, drawn_carry, drawn_lengths, kinds, named, runner
from support import VARIANTS, assert_close, noisy_params, tolerance, variant

import jaxrnn
from jaxrnn import models
from jaxrnn.interop import from_onnx, onnx_activation, to_onnx

NATIVE = {"RNN", "LSTM", "GRU"}
LOOPS = {"Loop", "Scan", "If", *NATIVE}
OPTIONS = {"ragged": {}, "reverse": {"reverse": True}, "full_rows": {"lengths": False}}
each_option = pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)

clipped = {
    "gate_activation": onnx_activation("Sigmoid", clip=0.8),
    "activation": onnx_activation("Tanh", clip=0.8),
    "output_activation": "tanh",
}
PLAIN = {
    "elman": jaxrnn.elman(4),
    "elman_relu": jaxrnn.elman(4, activation="relu"),
    "lstm": jaxrnn.lstm(4),
    "lstm_peepholes": jaxrnn.lstm(4, peepholes=True),
    "lstm_coupled_peepholes": jaxrnn.lstm(4, coupled=True, peepholes=True),
    "lstm_coupled_hard": jaxrnn.lstm(4, coupled=True, gate_activation="hard_sigmoid"),
    "lstm_output": jaxrnn.lstm(4, activation="soft_sign", output_activation="identity"),
    "lstm_clip": jaxrnn.lstm(4, **clipped),
    "gru": jaxrnn.gru(4),
    "gru_reset_before": jaxrnn.gru_reset_before(4, activation="elu"),
    "stack": jaxrnn.stack(jaxrnn.lstm(4), jaxrnn.gru(3), jaxrnn.elman(6)),
}
WAYS = {
    "lstm": jaxrnn.bidirectional(jaxrnn.lstm(4), jaxrnn.lstm(4)),
    "activations": jaxrnn.bidirectional(jaxrnn.lstm(4, activation="leaky_relu"), jaxrnn.lstm(4)),
    "two_cells": jaxrnn.bidirectional(jaxrnn.gru(4), jaxrnn.lstm(3)),
    "stack": jaxrnn.stack(*[jaxrnn.bidirectional(jaxrnn.gru(4), jaxrnn.gru(4)) for _ in range(2)]),
}


@each_option
@pytest.mark.parametrize("name", PLAIN)
def test_native_nodes(name, options, key, rng):
    """No loop of the graph's own; the values of unroll; and back, the same cell and params to the bit."""
    layers = 3 if name == "stack" else 1
    proto = assert_cell(PLAIN[name], key, rng, layers=layers, **options)
    assert LOOPS & set(kinds(proto)) <= NATIVE
    assert sum(kind in NATIVE for kind in kinds(proto)) == layers
    assert_back(PLAIN[name], noisy_params(PLAIN[name], key, D), proto, reverse=options.get("reverse", False))


@each_option
@pytest.mark.parametrize("name", WAYS)
def test_both_directions(name, options, key, rng):
    """One node for two that are alike, and two with outputs side by side for others, or from right to left."""
    proto = assert_cell(WAYS[name], key, rng, layers=2 if name == "stack" else 1, **options)
    assert LOOPS & set(kinds(proto)) <= NATIVE
    if not options.get("reverse"):
        nodes = sum(kind in NATIVE for kind in kinds(proto))
        assert nodes == (1 if name in ("lstm", "activations") else 2)
        assert_back(WAYS[name], noisy_params(WAYS[name], key, D), proto)


def assert_back(cell, params, proto, **options):
    again, same = from_onnx(proto, **options)
    assert again == cell
    assert jax.tree.structure(same) == jax.tree.structure(params)
    for a, b in zip(jax.tree.leaves(same), jax.tree.leaves(params), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
    twice = to_onnx(again, same, lengths="sequence_lens" in [i.name for i in proto.graph.input], **options)
    assert twice.graph == proto.graph


AROUND = {
    "sum": jaxrnn.bidirectional(jaxrnn.gru(4), jaxrnn.gru(4), merge="sum"),
    "product": jaxrnn.bidirectional(jaxrnn.gru(4), jaxrnn.lstm(4), merge=jnp.multiply),
    "skip": jaxrnn.stack(jaxrnn.gru(4), jaxrnn.gru(3), skip=True),
    "projection": jaxrnn.stack(jaxrnn.projection(jaxrnn.lstm(4), 2), jaxrnn.gru(3)),
    "residual": jaxrnn.residual(jaxrnn.gru(D)),
    "highway": jaxrnn.highway(jaxrnn.lstm(D)),
    "bottleneck": jaxrnn.bottleneck(jaxrnn.gru(4), 2),
    "weight_norm": jaxrnn.weight_norm(jaxrnn.gru(4)),
    "learned_carry": jaxrnn.learned_carry(jaxrnn.lstm(4)),
    "dropout": jaxrnn.dropout(jaxrnn.lstm(4), output=0.5),
    "between": jaxrnn.stack(jaxrnn.gru(4), jaxrnn.time_distributed("softplus"), jaxrnn.gru(3)),
}


@pytest.mark.parametrize("name", AROUND)
def test_what_compositions_compute(name, key, rng):
    """Nodes of ONNX's own with those of the composition around them; outputs past the end of a row are 0 again."""
    proto = assert_cell(AROUND[name], key, rng, layers=2)
    assert LOOPS & set(kinds(proto)) <= NATIVE


def own_step(params, carry, x):
    z = x @ params["w"] + carry @ params["u"]
    return jnp.where(z > 0, jnp.log1p(jnp.exp(z)), z**2) / 4, jnp.concatenate([jnp.cumsum(z, -1), z[..., :1]], -1) / 4


OWN = jaxrnn.Cell(
    init=lambda key, size: {"w": jax.random.normal(key, (size, 4)), "u": jnp.eye(4)},
    start=lambda params: jnp.zeros(4, params["w"].dtype),
    input=lambda params: jax.ShapeDtypeStruct(params["w"].shape[:1], params["w"].dtype),
    plain_step=own_step,
)
OTHERS = {
    **{name: variant(name) for name in VARIANTS},
    "lstm_own_activation": jaxrnn.lstm(4, activation=lambda z: jnp.sin(z) / 2),
    "layer_norm": jaxrnn.layer_norm(jaxrnn.lstm(4)),
    "zoneout": jaxrnn.zoneout(jaxrnn.gru(4), h=0.2),
    "gated_both": jaxrnn.bidirectional(jaxrnn.mgu(4), jaxrnn.gru(4)),
    "stacked": jaxrnn.stack(jaxrnn.lem(4), jaxrnn.lstm(4, projection=2), jaxrnn.gru(3)),
    "own": OWN,
}


@each_option
@pytest.mark.parametrize("name", OTHERS)
def test_scan(name, options, key, rng):
    """Every cell and variant: where there is no node for it, one Scan."""
    proto = assert_cell(OTHERS[name], key, rng, layers=3, **options)
    assert "Loop" not in kinds(proto)
    assert sum(kind in LOOPS for kind in kinds(proto)) == {"gated_both": 2, "stacked": 3}.get(name, 1)


LSTM, GRU = jaxrnn.lstm(4), jaxrnn.gru(5)
MODELS = {
    "language_model": models.language_model(jaxrnn.stack(LSTM, GRU), 7, 5),
    "language_model_tied": models.language_model(jaxrnn.stack(LSTM, GRU), 7, 5, tied=True),
    "language_model_one_hot": models.language_model(jaxrnn.mgu(4), 7),
    "tagger": models.tagger(jaxrnn.bidirectional(LSTM, GRU), 3),
    "tagger_symbols": models.tagger(LSTM, 3, vocabulary_size=7, embedding_size=5),
    **{f"classifier_{p}": models.classifier(LSTM, 3, pooling=p) for p in ("last", "ends", "mean", "max", "attention")},
    "classifier_symbols": models.classifier(jaxrnn.bidirectional(LSTM, GRU), 3, vocabulary_size=7),
}


def drawn_model(name, rng):
    model = MODELS[name]
    size = () if getattr(model, "vocabulary_size", None) else (D,)
    shapes = jax.eval_shape(lambda k: model.init(k, *size), jax.random.key(0))
    return model, jax.tree.map(lambda a: jnp.asarray(0.5 * rng.standard_normal(a.shape), a.dtype), shapes)


def model_inputs(model, rng, lead):
    if getattr(model, "vocabulary_size", None):
        return rng.integers(0, model.vocabulary_size, lead).astype(np.int32)
    return rng.standard_normal((*lead, D)).astype(np.float32)


@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
@pytest.mark.parametrize("name", MODELS)
def test_models(name, reverse, rng):
    """Embedding, cell, pooling and readout: logits of apply. Symbols in the padding may be any number."""
    model, params = drawn_model(name, rng)
    run = runner(to_onnx(model, params, reverse=reverse))
    for T, B in [(6, 3), (4, 7)]:
        xs, lengths = model_inputs(model, rng, (T, B)), drawn_lengths(rng, T, B)
        carry = drawn_carry(rng, model.initial_carry(params, (B,)))
        symbols = xs.dtype == np.int32
        padded = np.where(np.arange(T)[:, None] < lengths, xs, -99) if symbols else xs
        feeds = {"tokens" if symbols else "xs": padded.astype(xs.dtype), "sequence_lens": lengths}
        actual = run(feeds | {k: np.asarray(a) for k, a in named(carry, "carry").items()})
        final, logits = model.apply(params, carry, xs, lengths=lengths, reverse=reverse)
        assert_close(actual, {"logits": logits, **named(final, "new_carry")}, tolerance("float32", 4 * T))


def test_one_step_of_models(rng):
    """The state goes in and comes out: T calls are apply."""
    model, params = drawn_model("language_model", rng)
    run, tokens = runner(to_onnx(model, params, step=True)), model_inputs(model, rng, (6, 3))
    carry = drawn_carry(rng, model.initial_carry(params, (3,)))
    state, logits = {k: np.asarray(a) for k, a in named(carry, "carry").items()}, []
    for token in tokens:
        out = run({"token": token, **state})
        logits.append(out.pop("logits"))
        state = {k.removeprefix("new_"): a for k, a in out.items()}
    final, expected = model.apply(params, carry, tokens)
    assert_close(np.stack(logits), expected, tolerance("float32", 12))
    assert_close(state, named(final, "carry"), tolerance("float32", 12))


@pytest.mark.parametrize("name", ["lstm", "gru", "mgu", "recurrent_highway", "lstm_projection", "indrnn"])
def test_one_step_of_cells(name, key, rng):
    """x [B, D], the carry leaf by leaf -> y, the new carry; no loop in it."""
    cell = variant(name)
    params = noisy_params(cell, key, D, "float32")
    proto = to_onnx(cell, params, step=True)
    assert not LOOPS & set(kinds(proto))
    run = runner(proto)
    for B in (1, 4):
        x, carry = rng.standard_normal((B, D)).astype(np.float32), drawn_carry(rng, cell.initial_carry(params, (B,)))
        actual = run({"x": x, **{k: np.asarray(a) for k, a in named(carry, "carry").items()}})
        final, y = cell.step(params, carry, jnp.asarray(x))
        assert_close(actual, {"y": y, **named(final, "new_carry")}, tolerance("float32", 2))


@pytest.mark.parametrize("opset", [14, 17, 18, 21, 22])
@pytest.mark.parametrize(
    "cell", [PLAIN["stack"], WAYS["two_cells"], OTHERS["layer_norm"]], ids=["nodes", "ways", "scan"]
)
def test_opsets(cell, opset, key, rng):
    """What is stated is what is used."""
    proto = assert_cell(cell, key, rng, layers=3, opset=opset)
    assert [o.version for o in proto.opset_import] == [opset]


def test_float64(key, rng):
    """A Scan runs; of nodes the runtime has kernels in float32 alone, and what is written of them comes back."""
    assert_cell(jaxrnn.mgu(4), key, rng, dtype="float64")
    cell = jaxrnn.lstm(4, peepholes=True, param_dtype="float64")
    params = noisy_params(cell, key, D, "float64")
    assert_back(cell, params, to_onnx(cell, params))


ACTIVATIONS = ["tanh", "sigmoid", "relu", "soft_sign", "softplus", "elu", "leaky_relu", "hard_sigmoid", "identity"]
RECORDS = [
    onnx_activation("Affine", alpha=0.4, beta=0.3),
    onnx_activation("Elu", alpha=0.7),
    onnx_activation("HardSigmoid"),
    onnx_activation("LeakyRelu", alpha=0.2),
    onnx_activation("ScaledTanh", alpha=0.8, beta=1.3),
    onnx_activation("ThresholdedRelu", alpha=0.3),
    onnx_activation("Softplus", clip=0.5),
]


@pytest.mark.parametrize("activation", ACTIVATIONS + RECORDS, ids=str)
def test_activations(activation, key, rng):
    """Each as ONNX Runtime has it, in the nodes that take it and beside others that take numbers as well."""
    cell = jaxrnn.elman(4, activation=activation)
    proto = assert_cell(cell, key, rng)
    assert kinds(proto).count("RNN") == 1
    assert_back(cell, noisy_params(cell, key, D), proto)
    if getattr(activation, "spec", None) is None or activation.spec.clip is None:
        mixed = jaxrnn.lstm(4, activation="elu", gate_activation=activation, output_activation="hard_sigmoid")
        assert kinds(assert_cell(mixed, key, rng)).count("LSTM") == 1


@st.composite
def networks(draw):
    """(a network of plain cells, options of to_onnx)."""
    hidden = st.integers(1, 5)

    def cell(kind):
        shared = {"activation": draw(st.sampled_from(["tanh", "soft_sign", "elu"]))}
        if kind == "elman":
            return jaxrnn.elman(draw(hidden), **shared)
        shared["gate_activation"] = draw(st.sampled_from(["sigmoid", "hard_sigmoid"]))
        if kind == "lstm":
            shared |= {"peepholes": draw(st.booleans()), "coupled": draw(st.booleans())}
        return jaxrnn.CELLS[kind](draw(hidden), **shared)

    kinds = st.sampled_from(["elman", "lstm", "gru", "gru_reset_before"])
    both, layers = draw(st.booleans()), draw(st.integers(1, 3))
    made = [
        jaxrnn.bidirectional(cell(draw(kinds)), cell(draw(kinds))) if both else cell(draw(kinds)) for _ in range(layers)
    ]
    options = {"lengths": draw(st.booleans()), "reverse": not both and draw(st.booleans())}
    return (jaxrnn.stack(*made) if layers > 1 else made[0]), options


@hypothesis.given(networks(), st.integers(0, 2**31 - 1))
@hypothesis.settings(max_examples=12, derandomize=True, deadline=None)
def test_random_networks(network, seed):
    """Layers, directions, sizes and options: values, and back to the bit."""
    cell, options = network
    key = jax.random.key(seed)
    proto = assert_cell(cell, key, np.random.default_rng(seed), layers=3, **options)
    assert_back(cell, noisy_params(cell, key, D, "float32"), proto, reverse=options["reverse"])


TORCH = {
    f"{kind}_{layers}_{'both' if both else 'one'}_{'batch' if batch_first else 'time'}": (
        kind,
        layers,
        both,
        batch_first,
    )
    for kind in ("LSTM", "GRU", "RNN")
    for layers in (1, 2)
    for both in (False, True)
    for batch_first in (False, True)
}


@pytest.mark.parametrize("name", TORCH)
def test_pytorchs_own_export(name, rng):
    """What PyTorch's exporter writes is read, and gives PyTorch's outputs."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    pytest.importorskip("onnx", reason="onnx is not installed")
    kind, layers, both, batch_first = TORCH[name]
    module = getattr(torch.nn, kind)(D, 4, num_layers=layers, bidirectional=both, batch_first=batch_first)
    xs, written = torch.tensor(rng.standard_normal((6, 3, D)), dtype=torch.float32), io.BytesIO()
    given = xs.swapaxes(0, 1).contiguous() if batch_first else xs
    axes = {"xs": {0: "a", 1: "b"}} if layers == 2 else None
    with pytest.warns():  # that this exporter is the older one
        torch.onnx.export(module, (given,), written, dynamo=False, input_names=["xs"], dynamic_axes=axes)
    cell, params = from_onnx(written.getvalue())
    _, ys = jaxrnn.unroll(cell, params, None, jnp.asarray(xs.numpy()))
    expected = module(given)[0].detach().numpy()
    assert_close(ys, expected.swapaxes(0, 1) if batch_first else expected, tolerance("float32", 6 * layers))
