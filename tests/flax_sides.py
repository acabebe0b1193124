"""What the tests of the modules for flax share: flax's RNN and ours with the same weights, in nnx and in linen.

Weights are drawn in our layout, no bias zero, and turned into flax's in the open. Comparisons are in float64.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax import nnx, serialization
from support import noisy_params

import jaxrnn

T, B, D, H = 6, 3, 5, 4  # all different, so that no two axes can be taken for one another
LENGTHS = np.array([4, 6, 1])
VALID = np.arange(T) < LENGTHS[:, None]  # [B, T]


def gates(array, count):
    return jnp.split(array, count, axis=-1)


def optimized_lstm(p):  # nnx's: i, f, g, o side by side
    return {"dense_i": {"kernel": p["kernel"]}, "dense_h": {"kernel": p["recurrent_kernel"], "bias": p["bias"]}}


def lstm(p, f="f"):  # a Dense for each gate; the bias on the recurrent side
    w, u, b = (gates(p[name], 4) for name in ("kernel", "recurrent_kernel", "bias"))
    inputs = {f"i{g}": {"kernel": w[i]} for i, g in enumerate(["i", f, "g", "o"])}
    return inputs | {f"h{g}": {"kernel": u[i], "bias": b[i]} for i, g in enumerate(["i", f, "g", "o"])}


def nnx_lstm(p):
    dense = lstm(p)
    return {("if_" if name == "if" else name): value for name, value in dense.items()}


def gru(p):  # linen's: only the candidate has a recurrent bias of its own
    w, u, b, d = (gates(p[name], 3) for name in ("kernel", "recurrent_kernel", "bias", "recurrent_bias"))
    inputs = {f"i{g}": {"kernel": w[i], "bias": b[i] + d[i] if g != "n" else b[i]} for i, g in enumerate("rzn")}
    return inputs | {f"h{g}": {"kernel": u[i]} | ({"bias": d[i]} if g == "n" else {}) for i, g in enumerate("rzn")}


def their_carry(carry):
    return (carry.c, carry.h) if len(carry) == 2 else carry.h


def filled(model, params):
    """The nnx model with these arrays in its nnx.Params, given by name."""
    graph, state, rest = nnx.split(model, nnx.Param, ...)
    state = jax.tree.map(lambda a: a, state)  # a copy
    nnx.replace_by_pure_dict(state, serialization.to_state_dict(params))  # a carry becomes a dict
    return nnx.merge(graph, state, rest)


def in_nnx(peer, convert, cell):
    """Functions of (params, carry, inputs), and more for the call: jaxrnn.nnx.RNN and flax.nnx.RNN."""
    dtypes = {"dtype": "float64", "param_dtype": "float64"}

    def make(**options):
        ours = jaxrnn.nnx.RNN(cell, D, return_carry=True, rngs=nnx.Rngs(0), **options)
        theirs = nnx.RNN(peer(D, H, **dtypes, rngs=nnx.Rngs(0)), return_carry=True, **options)
        return (
            lambda params, carry, xs, **call: filled(ours, {"cell": params})(xs, initial_carry=carry, **call),
            lambda params, carry, xs, **call: filled(theirs, {"cell": convert(params)})(
                xs, initial_carry=their_carry(carry), **call
            ),
        )

    return cell, make


def in_linen(peer, convert, cell):
    """The same for jaxrnn.linen.RNN and flax.linen.RNN."""

    def make(**options):
        ours = jaxrnn.linen.RNN(cell, return_carry=True, **options)
        theirs = nn.RNN(peer(H, param_dtype="float64"), return_carry=True, **options)
        return (
            lambda params, carry, xs, **call: ours.apply({"params": {"cell": params}}, xs, initial_carry=carry, **call),
            lambda params, carry, xs, **call: theirs.apply(
                {"params": {"cell": convert(params)}}, xs, initial_carry=their_carry(carry), **call
            ),
        )

    return cell, make


PEERS = {
    "nnx_optimized_lstm": in_nnx(nnx.OptimizedLSTMCell, optimized_lstm, jaxrnn.lstm(H)),
    "nnx_lstm": in_nnx(nnx.LSTMCell, nnx_lstm, jaxrnn.lstm(H)),
    "linen_gru": in_linen(nn.GRUCell, gru, jaxrnn.gru(H)),
    "linen_lstm": in_linen(nn.LSTMCell, lstm, jaxrnn.lstm(H)),
    "linen_optimized_lstm": in_linen(nn.OptimizedLSTMCell, lstm, jaxrnn.lstm(H)),
}


def draw(rng, *shape):
    return rng.standard_normal(shape)


def drawn(cell, key, rng, batch=(B,)):
    """(params, carry), float64, without a zero."""
    params = noisy_params(cell, key, D, "float64")
    return params, jax.tree.map(lambda a: 0.5 * draw(rng, *a.shape), cell.initial_carry(params, batch))


def modules(cell, params, input_size, **options):
    """The nnx and the linen module around a cell, holding these params, as functions of inputs."""
    model = filled(jaxrnn.nnx.RNN(cell, input_size, rngs=nnx.Rngs(0), **options), {"cell": params})
    module = jaxrnn.linen.RNN(cell, **options)
    yield model
    yield lambda *args, **call: module.apply({"params": {"cell": params}}, *args, **call)
