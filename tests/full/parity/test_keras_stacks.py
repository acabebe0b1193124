"""Parity with Keras on JAX: Bidirectional, with masks and one above the other, and StackedRNNCells.

Bidirectional holds the forward layer's weights and states, then the backward layer's; masked outputs are 0 in it.
"""

import jax
import jax.numpy as jnp
import pytest
from sides import B, D, H, T, assert_same, with_gradients
from test_keras import PAIRS, TANH, keras

import jaxrnn

MERGES = {"concat": "concat", "sum": "sum", "ave": "mean", "mul": jnp.multiply}


def both_ways(name, merge, input_size):
    make, options, *_ = PAIRS[name]
    layer = keras.layers.Bidirectional(
        make(H, return_sequences=True, return_state=True, dtype="float64", **options), merge_mode=merge, dtype="float64"
    )
    for side in layer.forward_layer, layer.backward_layer:
        if side.cell.activation is keras.activations.tanh:
            side.cell.activation = TANH["activation"]  # not as an option: the layers are made from what can be saved
    layer.build((B, T, input_size))
    return layer


def pair(values):
    """{"forward": the first half, "backward": the second}."""
    half = len(values) // 2
    return {"forward": values[:half], "backward": values[half:]}


def gaps(rng):
    """A mask of any pattern; one row is masked throughout."""
    mask = rng.random((T, B)) < 0.6
    mask[:, 1] = False
    return mask


def check(names, merge, mask, rng):
    """Layers in both directions, one above the other; jaxrnn's carry and Keras's weights are lists over them."""
    above = 2 * H if merge == "concat" else H
    peers = [both_ways(name, merge, above if n else D) for n, name in enumerate(names)]
    cells = [jaxrnn.bidirectional(PAIRS[name][2], PAIRS[name][2], merge=MERGES[merge]) for name in names]
    cell = cells[0] if len(cells) == 1 else jaxrnn.stack(*cells)
    kinds = [type(PAIRS[name][4]) for name in names]

    def theirs(weights, carry, xs):
        ys, last = xs.swapaxes(0, 1), []
        for peer, w, c, kind in zip(peers, weights, carry, kinds, strict=True):
            fixed = [v.value for v in peer.non_trainable_variables]
            (ys, *states), _ = peer.stateless_call(
                w, fixed, ys, initial_state=[*c["forward"], *c["backward"]], mask=None if mask is None else mask.T
            )
            last.append({way: kind(*states) for way, states in pair(states).items()})
        return last, ys.swapaxes(0, 1)

    def ours(weights, carry, xs):
        params = [
            {way: PAIRS[name][3](half) for way, half in pair(w).items()} for name, w in zip(names, weights, strict=True)
        ]
        if len(names) == 1:
            last, ys = jaxrnn.unroll(cell, params[0], carry[0], xs, mask=mask)
            return [last], ys
        layered = ({f"layer_{n}": a for n, a in enumerate(tree)} for tree in (params, carry))
        last, ys = jaxrnn.unroll(cell, *layered, xs, mask=mask)
        return [last[f"layer_{n}"] for n in range(len(names))], ys

    weights = [[jax.ShapeDtypeStruct(v.shape, "float64") for v in peer.trainable_variables] for peer in peers]
    carry = [{"forward": PAIRS[name][4], "backward": PAIRS[name][4]} for name in names]
    assert_same(rng, ours, with_gradients(theirs), weights, carry, "float64", layers=len(names))


@pytest.mark.parametrize("name", ["lstm", "gru", "relu"])
def test_bidirectional(name, rng):
    check([name], "concat", None, rng)


@pytest.mark.parametrize("merge", MERGES)
def test_bidirectional_with_a_mask(merge, rng):
    check(["gru"], merge, gaps(rng), rng)


@pytest.mark.parametrize("names", [("lstm", "gru"), ("gru_reset_before", "tanh", "lstm")], ids="_".join)
def test_layers_in_both_directions(names, rng):
    """Above, too, a masked step is 0 and holds the states."""
    check(names, "concat", gaps(rng), rng)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("names", [("lstm", "lstm"), ("lstm", "gru", "gru_reset_before", "tanh")], ids="_".join)
def test_stacked_cells(names, masked, rng):
    """StackedRNNCells runs all its cells in one step: a stack, which runs them layer by layer."""
    mask = gaps(rng) if masked else None
    kinds = [type(PAIRS[name][4]) for name in names]
    cells = [
        getattr(keras.layers, PAIRS[name][0].__name__ + "Cell")(H, dtype="float64", **{**TANH, **PAIRS[name][1]})
        for name in names
    ]
    stacked = keras.layers.StackedRNNCells(cells, dtype="float64")
    options = {"return_sequences": True, "return_state": True, "zero_output_for_mask": True}
    peer = keras.layers.RNN(stacked, dtype="float64", **options)
    peer.build((B, T, D))

    def theirs(weights, carry, xs):
        fixed = [v.value for v in peer.non_trainable_variables]
        initial = [list(c) if len(c) > 1 else c[0] for c in carry]
        flat = [a for w in weights for a in w]
        rows = None if mask is None else mask.T
        (ys, *last), _ = peer.stateless_call(flat, fixed, xs.swapaxes(0, 1), initial_state=initial, mask=rows)
        last = [kind(*(a if isinstance(a, list | tuple) else [a])) for kind, a in zip(kinds, last, strict=True)]
        return last, ys.swapaxes(0, 1)

    def ours(weights, carry, xs):
        params = {f"layer_{n}": PAIRS[name][3](w) for n, (name, w) in enumerate(zip(names, weights, strict=True))}
        stack = jaxrnn.stack(*(PAIRS[name][2] for name in names))
        carry = {f"layer_{n}": c for n, c in enumerate(carry)}
        last, ys = jaxrnn.unroll(stack, params, carry, xs, mask=mask)
        return list(last.values()), ys

    weights = [[jax.ShapeDtypeStruct(v.shape, "float64") for v in cell.trainable_variables] for cell in cells]
    carry = [PAIRS[name][4] for name in names]
    assert_same(rng, ours, with_gradients(theirs), weights, carry, "float64", layers=len(names))
