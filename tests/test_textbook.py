"""Kernels over [x | h], against loops that concatenate as the textbooks do."""

from collections import defaultdict

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import CORE, assert_close, tolerance
from wrong import refuses

import jaxrnn
from jaxrnn.interop import concatenated

T, B, D, H, P = 5, 2, 3, 4, 6
NONE = defaultdict(float)  # for a peephole or a bias that a cell lacks: 0 for every gate

run = jax.jit(jaxrnn.unroll, static_argnums=0)


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def join(x, h):
    return np.concatenate([x, h], axis=-1)


# One step of each cell. W [D+H, H] and b [H] by the letter of the gate; the state is h, or h and c.


def elman(W, b, x, h):
    return (np.tanh(join(x, h) @ W["h"] + b["h"]),)


def gated(W, b, x, h):
    g = sigmoid(join(x, h) @ W["g"] + b["g"])
    return ((1 - g) * h + g * np.tanh(join(x, h) @ W["n"] + b["n"]),)


def lstm(W, b, x, h, c, *, peephole=NONE, projection=None):
    f = sigmoid(join(x, h) @ W["f"] + b["f"] + peephole["f"] * c)
    i = sigmoid(join(x, h) @ W["i"] + b["i"] + peephole["i"] * c) if "i" in W else 1 - f
    c = f * c + i * np.tanh(join(x, h) @ W["g"] + b["g"])
    y = sigmoid(join(x, h) @ W["o"] + b["o"] + peephole["o"] * c) * np.tanh(c)
    return y if projection is None else y @ projection, c


def gru(W, b, x, h, *, recurrent_bias=NONE):
    d = recurrent_bias
    r = sigmoid(join(x, h) @ W["r"] + b["r"] + d["r"])
    z = sigmoid(join(x, h) @ W["z"] + b["z"] + d["z"])
    n = np.tanh(x @ W["n"][:D] + b["n"] + r * (h @ W["n"][D:] + d["n"]))
    return ((1 - z) * n + z * h,)


def gru_reset_before(W, b, x, h):
    r = sigmoid(join(x, h) @ W["r"] + b["r"])
    z = sigmoid(join(x, h) @ W["z"] + b["z"])
    n = np.tanh(join(x, r * h) @ W["n"] + b["n"])
    return ((1 - z) * n + z * h,)


def mgu_reset_after(W, b, x, h, *, recurrent_bias=0.0):
    f = sigmoid(join(x, h) @ W["f"] + b["f"])
    n = np.tanh(x @ W["n"][:D] + b["n"] + f * (h @ W["n"][D:] + recurrent_bias))
    return ((1 - f) * n + f * h,)


# cell, its loop, and what it has beside kernel and bias, with shapes: a string names gates, each with a block [H]
CASES = {
    "elman": ("elman", {}, elman, {}),
    "gated": ("gated", {}, gated, {}),
    "lstm": ("lstm", {}, lstm, {}),
    "lstm_coupled": ("lstm", {"coupled": True}, lstm, {}),
    "lstm_peepholes": ("lstm", {"peepholes": True}, lstm, {"peephole": "ifo"}),
    "lstm_coupled_peepholes": ("lstm", {"peepholes": True, "coupled": True}, lstm, {"peephole": "fo"}),
    "lstm_projection": ("lstm", {"projection": P}, lstm, {"projection": (H, P)}),
    "gru": ("gru", {}, gru, {}),
    "gru_with_recurrent_bias": ("gru", {}, gru, {"recurrent_bias": "rzn"}),
    "gru_reset_before": ("gru_reset_before", {}, gru_reset_before, {}),
    "mgu_reset_after": ("mgu_reset_after", {}, mgu_reset_after, {}),
    "mgu_reset_after_with_recurrent_bias": ("mgu_reset_after", {}, mgu_reset_after, {"recurrent_bias": (H,)}),
}


# Cells that have no kernel over [x | h]: h is beside z, u is a vector, each depth has a kernel.
OTHERWISE = ("cornn", "indrnn", "recurrent_highway")


def blocks_side_by_side(blocks, gates):
    return np.concatenate([blocks[gate] for gate in gates], axis=-1)


def layout(W, b, gates, how):
    """The same kernel and bias as another text would write them: (kernel, bias, keywords that say so)."""
    if how == "hx":
        W = {gate: np.concatenate([w[D:], w[:D]]) for gate, w in W.items()}
        return blocks_side_by_side(W, gates), blocks_side_by_side(b, gates), {"order": "hx"}
    if how == "other order of gates":
        gates = gates[::-1]
        return blocks_side_by_side(W, gates), blocks_side_by_side(b, gates), {"gates": gates}
    if how == "transposed":
        return blocks_side_by_side(W, gates).T, blocks_side_by_side(b, gates), {"transposed": True}
    if how == "by gate":
        return dict(reversed(W.items())), b, {}
    if how == "by gate, hx, transposed":  # as in the drawings: W_i · [h, x] + b_i
        turned = {gate: np.concatenate([w[D:], w[:D]]).T for gate, w in W.items()}
        return turned, b, {"order": "hx", "transposed": True}
    return blocks_side_by_side(W, gates), blocks_side_by_side(b, gates), {}


HOW = ["xh", "hx", "other order of gates", "transposed", "by gate", "by gate, hx, transposed"]


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("case", CASES)
def test_sequence(case, how, rng):
    name, options, step, others = CASES[case]
    cell = jaxrnn.CELLS[name](H, param_dtype="float64", **options)
    width = others.get("projection", (H, H))[1]  # of h
    W = {gate: rng.standard_normal((D + width, H)) for gate in cell.gates}
    b = {gate: rng.standard_normal(H) for gate in cell.gates}
    extra = {
        name: {gate: rng.standard_normal(H) for gate in shape} if isinstance(shape, str) else rng.standard_normal(shape)
        for name, shape in others.items()
    }
    xs = rng.standard_normal((T, B, D))
    state = [rng.standard_normal((B, width)), *([rng.standard_normal((B, H))] if name == "lstm" else [])]

    kernel, bias, said = layout(W, b, cell.gates, how)
    given = dict(extra)
    if "peephole" in extra:
        given["peephole"] = np.concatenate(list(extra["peephole"].values()))
    params = concatenated(cell, kernel, bias, input_size=D, **said, **given)
    carry = type(cell.start(params))(*state)
    last, ys = run(cell, params, carry, xs)

    expected = []
    for x in xs:
        state = step(W, b, x, *state, **extra)
        expected.append(state[0])
    assert_close((list(last), ys), (list(state), np.stack(expected)), tolerance("float64", T))


def test_recurrent_bias_follows_the_order_of_the_kernel(rng):
    """Given as one array, its blocks stand as those of the kernel do."""
    cell = jaxrnn.gru(H, param_dtype="float64")
    kernel, bias, d = rng.standard_normal((D + H, 3 * H)), rng.standard_normal(3 * H), rng.standard_normal(3 * H)
    params = concatenated(cell, kernel, bias, input_size=D, gates="zrn", recurrent_bias=d)
    z, r, n = np.split(d, 3)
    np.testing.assert_array_equal(params["recurrent_bias"], np.concatenate([r, z, n]))


def test_update_gate_that_lets_the_new_in(rng):
    """h' = (1 - z) h + z n, as in many texts: z's block negated, as the docstring says."""
    cell = jaxrnn.gru_reset_before(H, param_dtype="float64")
    W = {gate: rng.standard_normal((D + H, H)) for gate in "rzn"}
    b = {gate: rng.standard_normal(H) for gate in "rzn"}
    x, h = rng.standard_normal((B, D)), rng.standard_normal((B, H))
    r, z = (sigmoid(join(x, h) @ W[gate] + b[gate]) for gate in "rz")
    expected = (1 - z) * h + z * np.tanh(join(x, r * h) @ W["n"] + b["n"])

    params = concatenated(cell, {**W, "z": -W["z"]}, {**b, "z": -b["z"]}, input_size=D)
    _, y = cell.step(params, jaxrnn.GRUCarry(jnp.asarray(h)), jnp.asarray(x))
    assert_close(y, expected, tolerance("float64", 1))


@pytest.mark.parametrize("param_dtype", ["bfloat16", "float32", "float64"])
@pytest.mark.parametrize("name", [name for name in CORE if name not in OTHERWISE])
def test_params_are_those_of_init(name, param_dtype):
    """Names, shapes and types, for every cell of that form: nested lists of numbers are cast to its param_dtype."""
    cell = jaxrnn.CELLS[name](H, param_dtype=param_dtype)
    G = len(cell.gates)
    params = concatenated(cell, np.ones((D + H, G * H)).tolist(), np.ones(G * H).tolist(), input_size=D)
    made = jax.eval_shape(lambda: cell.init(jax.random.key(0), D))
    assert jax.tree.map(lambda a: (a.shape, a.dtype), params) == jax.tree.map(lambda a: (a.shape, a.dtype), made)


def test_gradients_reach_the_kernel(rng):
    """The call is a rearrangement that jit and grad go through: each entry of the kernel stands in one place."""
    cell = jaxrnn.lstm(H)
    kernel, bias = rng.standard_normal((4 * H, D + H)), rng.standard_normal(4 * H)

    @jax.jit
    @jax.grad
    def gradient(weights):
        params = concatenated(cell, *weights, input_size=D, order="hx", gates="ifog", transposed=True)
        return sum(jnp.sum(a.astype("float64") ** 2) for a in jax.tree.leaves(params)) / 2

    assert_close(gradient((kernel, bias)), (kernel, bias), float(jnp.finfo("float32").eps))


LSTM, STACK = jaxrnn.lstm(H), jaxrnn.stack(jaxrnn.lstm(H))
PEEPHOLES, PROJECTED = jaxrnn.lstm(H, peepholes=True), jaxrnn.lstm(H, projection=P)
KERNEL, BIAS, BLOCK = np.ones((D + H, 4 * H)), np.ones(4 * H), np.ones((D + H, H))
EACH = dict.fromkeys("ifgo", BLOCK)

# What differs from concatenated(LSTM, KERNEL, BIAS, input_size=D), and the message it must give.
WRONG = {
    "stack": (
        {"cell": STACK},
        "TypeError: cell: expected one whose params are kernel, recurrent_kernel and bias, such as jaxrnn.lstm(H), "
        "got stack(lstm(4)); a stack takes one call for each layer",
    ),
    "not a cell": (
        {"cell": "lstm"},
        "TypeError: cell: expected one whose params are kernel, recurrent_kernel and bias, such as jaxrnn.lstm(H), "
        "got 'lstm'; a stack takes one call for each layer",
    ),
    "input size": ({"input_size": 0}, "ValueError: input_size: expected an int of at least 1, got 0"),
    "other input size": (
        {"input_size": 5},
        "ValueError: kernel: expected [D+H, G·H] = (9, 16), got float64(7, 16)",
    ),
    "order": (
        {"order": "x|h"},
        "ValueError: order: expected 'xh' (rows of x first) or 'hx' (rows of h first), got 'x|h'",
    ),
    "letter of no gate": (
        {"gates": "icfo"},
        "ValueError: gates: expected the letters of 'ifgo' in the order of the kernel, got 'icfo'",
    ),
    "gate twice": (
        {"gates": "ifgoo"},
        "ValueError: gates: expected the letters of 'ifgo' in the order of the kernel, got 'ifgoo'",
    ),
    "kernel transposed": (
        {"kernel": KERNEL.T},
        "ValueError: kernel: expected [D+H, G·H] = (7, 16), got float64(16, 7); is it for transposed=True?",
    ),
    "kernel not transposed": (
        {"transposed": True},
        "ValueError: kernel: expected [G·H, D+H] = (16, 7), got float64(7, 16); is it for transposed=False?",
    ),
    "kernel of three gates": (
        {"kernel": KERNEL[:, : 3 * H]},
        "ValueError: kernel: expected [D+H, G·H] = (7, 16), got float64(7, 12)",
    ),
    "no kernel": ({"kernel": None}, "ValueError: kernel: expected [D+H, G·H] = (7, 16), got None"),
    "integers": (
        {"kernel": KERNEL.astype(int)},
        "TypeError: kernel: expected real floating-point numbers, got int64(7, 16)",
    ),
    "complex": (
        {"bias": BLOCK[0].astype(complex).repeat(4)},
        "TypeError: bias: expected real floating-point numbers, got complex128(16,)",
    ),
    "bias as a column": (
        {"bias": BIAS[:, None]},
        "ValueError: bias: expected [G·H] = (16,), got float64(16, 1)",
    ),
    "gate missing": (
        {"kernel": {"i": BLOCK, "f": BLOCK, "g": BLOCK}},
        "ValueError: kernel: expected one block for each gate of 'ifgo', got the keys ['i', 'f', 'g']",
    ),
    "block": (
        {"kernel": {**EACH, "g": BLOCK.T}},
        "ValueError: kernel['g']: expected [D+H, H] = (7, 4), got float64(4, 7); is it for transposed=True?",
    ),
    "bias of a gate": (
        {"kernel": EACH, "bias": dict.fromkeys("ifgo", BIAS)},
        "ValueError: bias['i']: expected [H] = (4,), got float64(16,)",
    ),
    "recurrent bias": (
        {"recurrent_bias": BIAS},
        "TypeError: recurrent_bias: expected None, as lstm(4) has no such parameter, got float64(16,)",
    ),
    "no peephole": (
        {"cell": PEEPHOLES},
        "ValueError: peephole: expected [(G-1)·H] = (12,), got None",
    ),
    "no projection": (
        {"cell": PROJECTED, "kernel": np.ones((D + P, 4 * H))},
        "ValueError: projection: expected [H, P] = (4, 6), got None",
    ),
    "kernel without projection": (
        {"cell": PROJECTED, "projection": np.ones((H, P))},
        "ValueError: kernel: expected [D+P, G·H] = (9, 16), got float64(7, 16)",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_refusals(name):
    """A wrong call says which argument, what was expected in the axis letters, and what came."""
    differs, message = WRONG[name]
    arguments = {"cell": LSTM, "kernel": KERNEL, "bias": BIAS, "input_size": D, **differs}
    error, _, text = message.partition(": ")
    refuses({"ValueError": ValueError, "TypeError": TypeError}[error], text, lambda: concatenated(**arguments))
