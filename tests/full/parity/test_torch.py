"""Parity with PyTorch.

Weights are [G·H, D], used as W x, with two biases. LSTM gates are i, f, g, o; GRU gates r, z, n, with b_hn inside the
reset. Also packed rows, both directions, layers.
"""

import jax
import jax.numpy as jnp
import pytest
from sides import LENGTHS, B, D, H, T, assert_same, both_dtypes
from support import assert_close

import jaxrnn
from jaxrnn import ElmanCarry, GRUCarry, LSTMCarry, decode, models

torch = pytest.importorskip("torch", reason="torch is not installed")

P = 3  # projected units
row = jax.ShapeDtypeStruct((B, H), float)


def one_bias(w, suffix):
    """RNN and LSTM: the two biases only ever stand as their sum."""
    return {
        "kernel": w[f"weight_ih_{suffix}"].T,
        "recurrent_kernel": w[f"weight_hh_{suffix}"].T,
        "bias": w[f"bias_ih_{suffix}"] + w[f"bias_hh_{suffix}"],
    }


def projected(w, suffix):
    return {**one_bias(w, suffix), "projection": w[f"weight_hr_{suffix}"].T}


def gru(w, suffix):
    return {
        "kernel": w[f"weight_ih_{suffix}"].T,
        "recurrent_kernel": w[f"weight_hh_{suffix}"].T,
        "bias": w[f"bias_ih_{suffix}"],
        "recurrent_bias": w[f"bias_hh_{suffix}"],
    }


PAIRS = {
    "tanh": (torch.nn.RNN, {}, jaxrnn.elman(H), one_bias, ElmanCarry(row)),
    "relu": (torch.nn.RNN, {"nonlinearity": "relu"}, jaxrnn.elman(H, activation="relu"), one_bias, ElmanCarry(row)),
    "lstm": (torch.nn.LSTM, {}, jaxrnn.lstm(H), one_bias, LSTMCarry(row, row)),
    "projected_lstm": (
        torch.nn.LSTM,
        {"proj_size": P},
        jaxrnn.lstm(H, projection=P),
        projected,
        LSTMCarry(h=jax.ShapeDtypeStruct((B, P), float), c=row),
    ),
    "gru": (torch.nn.GRU, {}, jaxrnn.gru(H), gru, GRUCarry(row)),
}


def side(module, lengths=None):
    """The module over a sequence, with gradients; its carry is a list: a carry of ours for each layer and direction."""

    def run(weights, carry, xs):
        initial = [torch.stack(leaves) for leaves in zip(*carry, strict=True)]  # h, and c for an LSTM: [layers, B, H]
        if lengths is not None:
            xs = torch.nn.utils.rnn.pack_padded_sequence(xs, lengths, enforce_sorted=False)
        ys, last = torch.func.functional_call(module, weights, (xs, tuple(initial) if len(initial) > 1 else initial[0]))
        if lengths is not None:
            ys, _ = torch.nn.utils.rnn.pad_packed_sequence(ys, total_length=T)
        last = last if len(initial) > 1 else (last,)
        return [type(carry[0])(*leaves) for leaves in zip(*last, strict=True)], ys

    def with_gradients(weights, carry, xs, cotangents):
        tensors = jax.tree.map(lambda a: torch.tensor(a, requires_grad=True), (weights, carry, xs))
        out = run(*tensors)
        torch.autograd.backward(jax.tree.leaves(out), [torch.tensor(a) for a in jax.tree.leaves(cotangents)])
        return jax.tree.map(lambda a: a.detach().numpy(), out), jax.tree.map(lambda a: a.grad.numpy(), tensors)

    return with_gradients


def check(ours, module, carry, rng, dtype, lengths=None, layers=1):
    assert_same(rng, ours, side(module, lengths), dict(module.named_parameters()), carry, dtype, layers)


@both_dtypes
@pytest.mark.parametrize("name", PAIRS)
def test_sequence(name, rng, dtype):
    make, options, cell, params, carry = PAIRS[name]

    def ours(weights, carry, xs):
        last, ys = jaxrnn.unroll(cell, params(weights, "l0"), carry[0], xs)
        return [last], ys

    check(ours, make(D, H, **options), [carry], rng, dtype)


@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["full", "ragged"])
@pytest.mark.parametrize("name", PAIRS)
def test_both_directions(name, lengths, rng):
    """Two unrolls: the backward one begins each row at its end, and its outputs stand where its inputs do."""
    make, options, cell, params, carry = PAIRS[name]

    def ours(weights, carry, xs):
        forward, ys = jaxrnn.unroll(cell, params(weights, "l0"), carry[0], xs, lengths=lengths)
        backward, zs = jaxrnn.unroll(cell, params(weights, "l0_reverse"), carry[1], xs, lengths=lengths, reverse=True)
        return [forward, backward], jnp.concatenate([ys, zs], axis=-1)

    check(ours, make(D, H, bidirectional=True, **options), [carry, carry], rng, "float64", lengths)


def check_layers(name, layers, both, lengths, rng):
    """torch's weights and carries come as l0, l0_reverse, l1, l1_reverse and so on."""
    make, options, cell, params, carry = PAIRS[name]
    layer, sides = (jaxrnn.bidirectional(cell, cell), ["", "_reverse"]) if both else (cell, [""])
    stack = jaxrnn.stack(*[layer] * layers)

    def by_layer(values):
        values = [values[n : n + len(sides)] for n in range(0, len(values), len(sides))]
        ours = [dict(zip(("forward", "backward"), v, strict=True)) if both else v[0] for v in values]
        return {f"layer_{n}": v for n, v in enumerate(ours)}

    def ours(weights, carry, xs):
        made = by_layer([params(weights, f"l{n}{side}") for n in range(layers) for side in sides])
        last, ys = jaxrnn.unroll(stack, made, by_layer(carry), xs, lengths=lengths)
        last = [last[f"layer_{n}"] for n in range(layers)]
        return [c for pair in last for c in (pair["forward"], pair["backward"])] if both else last, ys

    module = make(D, H, num_layers=layers, bidirectional=both, **options)
    check(ours, module, [carry] * layers * len(sides), rng, "float64", lengths, layers)


@pytest.mark.parametrize("name", PAIRS)
def test_layers_in_both_directions(name, rng):
    """num_layers=2, bidirectional=True, packed rows: every carry, and gradients to every weight."""
    check_layers(name, 2, True, LENGTHS, rng)


@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["full", "ragged"])
@pytest.mark.parametrize(("layers", "both"), [(1, True), (3, False), (3, True)], ids=["1_both", "3", "3_both"])
@pytest.mark.parametrize("name", ["projected_lstm", "gru"])
def test_layers(name, layers, both, lengths, rng):
    check_layers(name, layers, both, lengths, rng)


def test_tensors_are_read_as_arrays():
    """As symbols, labels, weights, series, features, carries and primes; one that requires a gradient is named."""
    tokens, features = torch.tensor([[3, 299], [7, 0]]), torch.ones(2, 2, 3)
    model, tag = models.language_model(jaxrnn.gru(H), 300), models.tagger(jaxrnn.gru(H), 5)
    params = model.init(jax.random.key(0))
    for dtype in (torch.int16, torch.int32, torch.int64):
        some = tokens.to(dtype)
        ours = model.loss(params, None, some, some, weights=torch.ones(2, 2))[0]
        assert_close(ours, model.loss(params, None, some.numpy(), some.numpy())[0], 1e-6)
    _, written = decode.generate(
        model.step, params, model.initial_carry(params, (2,)), tokens, 3, choose=decode.greedy()
    )
    assert written.shape == (3, 2)
    params = tag.init(jax.random.key(0), 3)
    labels = torch.tensor([[1, 0], [4, 2]], dtype=torch.uint8)
    ours = tag.loss(params, None, features, labels)[0]
    assert_close(ours, tag.loss(params, None, features.numpy(), labels.numpy())[0], 1e-6)
    cell = params["cell"]
    carry = GRUCarry(torch.full((2, H), 0.5))
    for dtype in (torch.float32, torch.bfloat16):
        _, y = jaxrnn.gru(H).step(cell, carry, features[0].to(dtype))
        assert_close(y, jaxrnn.gru(H).step(cell, GRUCarry(jnp.full((2, H), 0.5, "float32")), jnp.ones((2, 3)))[1], 1e-6)
    forecast = models.forecaster(jaxrnn.gru(H), 2)
    ys = torch.arange(10.0)[:, None, None] + 1
    assert jnp.isfinite(forecast.loss(forecast.init(jax.random.key(0)), None, ys, context=torch.tensor(4))[0])
    with pytest.raises(TypeError, match=r"x: expected an array of numbers, got torch.Tensor.*detach"):
        jaxrnn.gru(H).step(cell, carry, torch.ones(2, 3, requires_grad=True))
