"""conv_lstm beside flax's ConvLSTMCell and Haiku's Conv1DLSTM, Conv2DLSTM, Conv3DLSTM, with their weights."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import assert_close, generator, lenient, normal_like, tolerance

import jaxrnn

linen = pytest.importorskip("flax.linen")
hk = pytest.importorskip("haiku")

T, B, D, H = 5, 2, 3, 4
GRIDS = {(5,): (3,), (4, 5): (3, 2), (3, 2, 4): (2, 3, 3)}


def ours(shape, window, of_x, of_h, xs):
    """Their weights in ours: gates i, g, f, o to i, f, g, o; two biases to one; 1 more for f."""

    def ordered(a):
        i, g, f, o = np.split(np.asarray(a), 4, -1)
        return i, f, g, o

    i, f, g, o = ordered(of_x["bias"] + of_h["bias"])
    params = {
        "kernel": jnp.concatenate(ordered(of_x["kernel"]), -1),
        "recurrent_kernel": jnp.concatenate(ordered(of_h["kernel"]), -1),
        "bias": jnp.concatenate([i, f + 1, g, o], -1),
    }
    cell = jaxrnn.conv_lstm(H, shape=shape, kernel_size=window)
    return jaxrnn.unroll(cell, params, None, xs)


@pytest.mark.parametrize("shape", GRIDS, ids=len)
def test_flax(shape, key):
    window, xs = GRIDS[shape], jnp.asarray(generator(key).standard_normal((T, B, *shape, D)), "float32")
    with lenient():
        cell = linen.ConvLSTMCell(H, window)
        carry = cell.initialize_carry(key, (B, *shape, D))
        params = normal_like(key, cell.init(key, carry, xs[0]), 0.5)
        ys = []
        for x in xs:
            carry, y = cell.apply(params, carry, x)
            ys.append(y)
    (h, c), out = ours(shape, window, params["params"]["ih"], params["params"]["hh"], xs)
    assert_close((c, h, out), (*carry, jnp.stack(ys)), tolerance("float32", T))


@pytest.mark.parametrize("shape", GRIDS, ids=len)
def test_haiku(shape, key):
    window, xs = GRIDS[shape], jnp.asarray(generator(key).standard_normal((T, B, *shape, D)), "float32")
    make = [hk.Conv1DLSTM, hk.Conv2DLSTM, hk.Conv3DLSTM][len(shape) - 1]

    def run(xs):
        cell = make(input_shape=shape, output_channels=H, kernel_shape=window)
        state = jax.tree.map(lambda a: a.astype("float32"), cell.initial_state(B))
        return hk.dynamic_unroll(cell, xs, state)

    with lenient():
        theirs = hk.without_apply_rng(hk.transform(run))
        params = normal_like(key, theirs.init(key, xs), 0.5)
        ys, state = theirs.apply(params, xs)
    layers = {name.rpartition("/")[2]: {"kernel": p["w"], "bias": p["b"]} for name, p in params.items()}
    (h, c), out = ours(shape, window, layers["input_to_hidden"], layers["hidden_to_hidden"], xs)
    assert_close((h, c, out), (state.hidden, state.cell, ys), tolerance("float32", T))
