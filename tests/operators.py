"""The ONNX operators RNN, LSTM and GRU, by jaxrnn and by ONNX Runtime.

A case is a dictionary of an operator's inputs in ONNX's layout: X [T, B, D], W [dirs, G·H, D], R [dirs, G·H, H],
B = [Wb | Rb], P, h0, c0, lens (those it lacks are None), and of its attributes; its gates stand in the order i, o, f, c
(LSTM) and z, r, h (GRU). Both directions are one `bidirectional`, and several cases, one above the other, one `stack`.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxrnn

unroll = jax.jit(jaxrnn.unroll, static_argnums=0, static_argnames="reverse")

# Those of ONNX's activations that take numbers: (name, alpha) or (name, alpha, beta). The others have jax.nn's names.
WITH_NUMBERS = {
    "Affine": lambda z, alpha, beta: alpha * z + beta,
    "Elu": lambda z, alpha: jnp.where(z < 0, alpha * jnp.expm1(z), z),
    "HardSigmoid": lambda z, alpha, beta: jnp.clip(alpha * z + beta, 0, 1),
    "LeakyRelu": lambda z, alpha: jnp.where(z < 0, alpha * z, z),
    "ScaledTanh": lambda z, alpha, beta: alpha * jnp.tanh(beta * z),
    "ThresholdedRelu": lambda z, alpha: jnp.where(z > alpha, z, 0),
}

ACTIVATIONS = {"LSTM": 3, "GRU": 2, "RNN": 1}  # for each direction


def gates(rows, theirs, ours):
    """[G·H, N] or [G·H], gates by rows in the order `theirs` -> [N, G·H] or [G·H], by columns in the order `ours`."""
    named = dict(zip(theirs, np.split(rows, len(theirs)), strict=True))
    return np.concatenate([named[gate].T for gate in ours], -1)


def split(activation):
    """(name, *numbers) of an activation."""
    return (activation,) if isinstance(activation, str) else activation


@functools.cache
def function(activation, clip):
    """An activation as a function, of what is clipped first if `clip` is a number."""
    name, *numbers = split(activation)
    f = WITH_NUMBERS[name] if numbers else getattr(jax.nn, name)
    return lambda z: f(jnp.clip(z, -clip, clip) if clip else z, *numbers)


def directions(case):
    """The activations of all directions: a case gives them once, or for each direction."""
    count = ACTIVATIONS[case["op"]] * (1 + (case["direction"] == "bidirectional"))
    return (list(case["activations"]) * 2)[:count]


def convert(case, d):
    """(cell, params, carry) for the direction d of a case."""
    H, count = case["hidden"], ACTIVATIONS[case["op"]]
    W, R = (np.array(case[name][d]) for name in ("W", "R"))
    Wb, Rb = np.split(np.array(case["B"][d]), 2) if case["B"] is not None else np.zeros((2, len(W)))
    h, c = (
        np.array(case[name][d]) if case.get(name) is not None else np.zeros((len(case["X"][0]), H))
        for name in ("h0", "c0")
    )
    # ONNX clips what goes into the activations of the gates, and not c on its way to h.
    names = directions(case)[d * count :][:count]
    names = [function(name, None if n == 2 else case.get("clip")) for n, name in enumerate(names)]

    if case["op"] == "RNN":
        params = {"kernel": W.T, "recurrent_kernel": R.T, "bias": Wb + Rb}
        return jaxrnn.elman(H, activation=names[0]), params, jaxrnn.ElmanCarry(h)

    if case["op"] == "GRU":
        W, R, Wb, Rb = (gates(a, "zrh", "rzh") for a in (W, R, Wb, Rb))
        after = case["linear_before_reset"]
        factory, biases = (jaxrnn.gru, (Wb, Rb)) if after else (jaxrnn.gru_reset_before, (Wb + Rb,))
        params = {"kernel": W, "recurrent_kernel": R, **dict(zip(("bias", "recurrent_bias"), biases, strict=False))}
        return factory(H, gate_activation=names[0], activation=names[1]), params, jaxrnn.GRUCarry(h)

    coupled, ours, peeps = case["input_forget"], "ifco", "ifo"
    P = np.array(case["P"][d]) if case["P"] is not None else None
    if coupled:
        # Their f is 1 - i and ours i is 1 - f: with sigmoid(-z) = 1 - sigmoid(z), our f is their i of -z.
        assert case["activations"][0] == "sigmoid"
        ours, peeps = "-co", "-o"
    negated = functools.partial(with_negated_input_gate, H=H)
    params = {
        "kernel": gates(*negated(W, "iofc"), ours),
        "recurrent_kernel": gates(*negated(R, "iofc"), ours),
        "bias": gates(*negated(Wb + Rb, "iofc"), ours),
    }
    if P is not None:
        params["peephole"] = gates(*negated(P, "iof"), peeps)
    cell = jaxrnn.lstm(
        H,
        peepholes=P is not None,
        coupled=coupled,
        gate_activation=names[0],
        activation=names[1],
        output_activation=names[2],
    )
    return cell, params, jaxrnn.LSTMCarry(h, c)


def with_negated_input_gate(rows, order, H):
    """The rows with those of -i after them, as a gate named '-'."""
    return np.concatenate([rows, -rows[:H]]), order + "-"


def whole(case):
    """(cell, params, carry) of a case: a `bidirectional` where it has both directions."""
    if case["direction"] != "bidirectional":
        return convert(case, 0)
    (forward, *there), (backward, *back) = convert(case, 0), convert(case, 1)
    return jaxrnn.bidirectional(forward, backward), *(
        {"forward": a, "backward": b} for a, b in zip(there, back, strict=True)
    )


def finals(carry, lengths):
    """{"Y_h": [dirs, B, H], "Y_c": the same for an LSTM} of a layer's final carry: theirs of an empty row is 0."""
    carries = [carry["forward"], carry["backward"]] if isinstance(carry, dict) else [carry]
    states = [np.stack(leaves) for leaves in zip(*carries, strict=True)]
    for state in states if lengths is not None else ():
        state[:, lengths == 0] = 0  # ours is the carry that the row began with
    return dict(zip(("Y_h", "Y_c"), states, strict=False))


def ours(*layers, read=None):
    """The outputs of one case, or of a stack of them: Y_h [dirs, B, H] and Y_c of each, Y [T, dirs, B, H] of the last.

    Names of the lower layers' have their number before them: 0.Y_h. read: how to get (cell, params) of all layers from
    a model, whose bytes it is given, in place of `whole`.
    """
    first, last = layers[0], layers[-1]
    xs, lengths = np.array(first["X"], np.float64), None if first["lens"] is None else np.array(first["lens"])
    cell, params, carry = whole(first)
    if len(layers) > 1:
        cells, *trees = zip(*map(whole, layers), strict=True)
        cell = jaxrnn.stack(*cells)
        params, carry = ({f"layer_{n}": a for n, a in enumerate(tree)} for tree in trees)
    if read is not None:
        cell, params = read(built(*layers, fixed=True)[0])
    params, carry = jax.tree.map(lambda a: jnp.asarray(a, jnp.float64), (params, carry))
    carry, ys = unroll(cell, params, carry, xs, lengths=lengths, reverse=first["direction"] == "reverse")
    Y = np.asarray(ys).reshape(*ys.shape[:2], -1, last["hidden"]).swapaxes(1, 2)  # from directions side by side
    if len(layers) == 1:
        return {"Y": Y, **finals(carry, lengths)}
    return {"Y": Y} | {
        f"{n}.{k}": a for n in range(len(layers)) for k, a in finals(carry[f"layer_{n}"], lengths).items()
    }


def runtime(*layers):
    """What `ours` gives, by ONNX Runtime: a model with a node for each layer."""
    onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    model, feeds, outputs = built(*layers)
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return dict(zip(outputs, session.run(outputs, feeds), strict=True))


def built(*layers, fixed=False):
    """(a model with a node for each layer, as bytes; what to feed it; the names of its outputs).

    fixed: weights and shapes are in the model, and are not fed.
    """
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    helper = onnx.helper
    nodes, feeds, outputs, xs = [], {"X": np.array(layers[0]["X"], np.float32)}, [], "X"
    for n, case in enumerate(layers):
        top, at = n + 1 == len(layers), f"{n}." if len(layers) > 1 else ""
        inputs = ["W", "R", "B", "lens", "h0"] + ["c0", "P"] * (case["op"] == "LSTM")
        given = {k: np.array(case[k], np.int32 if k == "lens" else np.float32) for k in inputs if case[k] is not None}
        feeds |= {at + k: a for k, a in given.items()}
        Y, *states = "Y" if top else f"{at}Y", *(at + k for k in ["Y_h"] + ["Y_c"] * (case["op"] == "LSTM"))
        outputs += [Y] * top + states
        named = [xs, *(at + k if k in given else "" for k in inputs)]
        nodes.append(helper.make_node(case["op"], named, [Y, *states], **attributes(case)))
        if not top:  # directions side by side: [T, dirs, B, H] -> [T, B, dirs·H]
            xs, turned, shape = f"{n + 1}.X", f"{at}turned", f"{at}shape"
            nodes.append(helper.make_node("Transpose", [Y], [turned], perm=[0, 2, 1, 3]))
            nodes.append(helper.make_node("Reshape", [turned, shape], [xs]))
            feeds[shape] = np.array([0, 0, -1])
    kind = {np.dtype(np.float32): 1, np.dtype(np.int32): 6, np.dtype(np.int64): 7}  # as TensorProto numbers them
    constant = [k for k in feeds if fixed and k.rpartition(".")[2] in ("W", "R", "B", "P", "shape")]
    graph = helper.make_graph(
        nodes,
        "operators",
        [
            helper.make_tensor_value_info(name, kind[a.dtype], a.shape)
            for name, a in feeds.items()
            if name not in constant
        ],
        [helper.make_tensor_value_info(name, 1, None) for name in outputs],
        initializer=[onnx.numpy_helper.from_array(feeds.pop(name), name) for name in constant],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    return model.SerializeToString(), feeds, outputs


def attributes(case):
    """A node's attributes. Each activation takes as many of the alphas and betas as it has numbers, in their order."""
    names, *numbers = zip(*((*split(a), None, None)[:3] for a in directions(case)), strict=True)
    numbers = {k: [a for a in values if a is not None] for k, values in zip(("alpha", "beta"), numbers, strict=True)}
    return {
        "hidden_size": case["hidden"],
        "direction": case["direction"],
        "activations": [{"soft_sign": "Softsign"}.get(a, a[0].upper() + a[1:]) for a in names],
        **{f"activation_{k}": values for k, values in numbers.items() if values},
        **({"clip": case["clip"]} if case.get("clip") else {}),
        **{k: int(case[k]) for k in {"LSTM": ["input_forget"], "GRU": ["linear_before_reset"]}.get(case["op"], [])},
    }
