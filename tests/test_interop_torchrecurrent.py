"""torchrecurrent's weights without it: each kind against a loop, and errors. tests/full/parity has the library."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import assert_close, tolerance

import jaxrnn
from jaxrnn.interop import from_config, from_torchrecurrent, to_config

T, B, D, H = 3, 2, 5, 4
LOGISTIC = {"nonlinearity": "tanh", "gate_nonlinearity": "sigmoid"}
DT, GAMMA, EPSILON, BETA = 0.3, 1.7, 0.6, 0.5
# The blocks of H rows of weight_ih and bias_ih, of weight_hh and bias_hh, and the other arrays; then the options.
KINDS = {
    "IndRNN": (1, None, {"vector_u": (H,), "bias_hh": (H,)}, {"nonlinearity": "relu"}),
    "JANET": (2, 2, {}, {}),
    "LiGRU": (2, 2, {}, LOGISTIC),
    "MGU": (2, 2, {}, LOGISTIC),
    "MUT2": (3, 3, {}, {}),
    "MultiplicativeLSTM": (5, 1, {"weight_mh": (4 * H, H), "bias_mh": (4 * H,)}, {}),
    "PeepholeLSTM": (4, 4, {"weight_ph": (3 * H,)}, LOGISTIC),
    "UGRNN": (2, 2, {}, {}),
    "coRNN": (1, 1, {"weight_ch": (H, H), "bias_ch": (H,)}, {"dt": DT, "gamma": GAMMA, "epsilon": EPSILON}),
}
every_kind = pytest.mark.parametrize("kind", KINDS)


def weights(kind, rng, at="", size=D):
    """A state dict, with a zero only where it must be."""
    of_x, of_h, more, _ = KINDS[kind]
    shapes = {"weight_ih": (of_x * H, size), "bias_ih": (of_x * H,), **more}
    if of_h:
        shapes |= {"weight_hh": (of_h * H, H), "bias_hh": (of_h * H,)}
    made = {at + name: rng.standard_normal(shape) for name, shape in shapes.items()}
    if kind == "MultiplicativeLSTM":
        made[f"{at}bias_hh"][:] = 0
    return made | ({f"{at}beta": np.array(BETA)} if kind == "JANET" else {})


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def step(kind, w, x, h, c):
    """(h', c') as torchrecurrent computes it, c unused where there is none."""
    of_x = x @ w["weight_ih"].T + w["bias_ih"]
    if kind == "IndRNN":
        return np.maximum(of_x + w["vector_u"] * h + w["bias_hh"], 0), c
    blocks = [a.T for a in np.split(w["weight_hh"], len(w["weight_hh"]) // H)]
    biases = np.split(w["bias_hh"], len(w["bias_hh"]) // H)
    xs = np.split(of_x, of_x.shape[-1] // H, axis=-1)
    if kind == "coRNN":
        new = c + DT * np.tanh(of_x + h @ blocks[0] + biases[0] + c @ w["weight_ch"].T + w["bias_ch"])
        new = new - DT * GAMMA * h - DT * EPSILON * c
        return h + DT * new, new
    if kind == "MultiplicativeLSTM":
        of_m = (xs[0] * (h @ blocks[0] + biases[0])) @ w["weight_mh"].T + w["bias_mh"]
        i, f, g, o = (a + b for a, b in zip(xs[1:], np.split(of_m, 4, axis=-1), strict=True))
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        return sigmoid(o) * np.tanh(c), c
    if kind in ("MGU", "MUT2"):
        *gates, n = range(len(xs))
        gates = [sigmoid(xs[k] + h @ blocks[k] + biases[k]) for k in gates]  # f, or z and r
        n = np.tanh(xs[n] + (gates[-1] * h) @ blocks[n] + biases[n])
        return n * gates[0] + (1 - gates[0]) * h, c
    sums = [a + h @ u + b for a, u, b in zip(xs, blocks, biases, strict=True)]
    if kind == "JANET":
        h = sigmoid(sums[0]) * h + (1 - sigmoid(sums[0] - BETA)) * np.tanh(sums[1])
        return h, c
    if kind == "PeepholeLSTM":
        p_i, p_f, p_o = np.split(w["weight_ph"], 3)
        c, old = sigmoid(sums[1] + c * p_f) * c, c
        c = c + sigmoid(sums[0] + old * p_i) * np.tanh(sums[2])
        return sigmoid(sums[3] + c * p_o) * np.tanh(c), c
    keep, n = sums if kind == "LiGRU" else sums[::-1]
    return sigmoid(keep) * h + (1 - sigmoid(keep)) * np.tanh(n), c


@every_kind
def test_steps_are_theirs(kind, rng):
    w = weights(kind, rng)
    cell, params = from_torchrecurrent(w, kind=kind, **KINDS[kind][3])
    assert from_config(to_config(cell)) == cell
    carry = cell.initial_carry(params, (B,))
    states = [rng.standard_normal((B, H)) for _ in range(2)]
    xs, expected, last = rng.standard_normal((T, B, D)), [], states
    for x in xs:
        last = step(kind, w, x, *last)
        expected.append(last[0])
    carry, ys = jaxrnn.unroll(cell, params, type(carry)(*map(jnp.asarray, states[: len(carry)])), jnp.asarray(xs))
    # a relu without a bound passes on what came in, and coRNN adds: hence twice
    assert_close([*carry, ys], [*last[: len(carry)], np.stack(expected)], tolerance("float64", 2 * T))


@every_kind
def test_layers_within_a_model(kind, rng):
    rows = [weights(kind, rng, "a.cells.0."), weights(kind, rng, "a.cells.1.", size=H)]
    cell, params = from_torchrecurrent(
        {**rows[0], **rows[1], "b": np.ones(2)}, kind=kind, prefix="a.", **KINDS[kind][3]
    )
    for n, row in enumerate(rows):
        other, layer = from_torchrecurrent({k[10:]: v for k, v in row.items()}, kind=kind, **KINDS[kind][3])
        assert cell.options["cells"][n] == other
        assert all(jax.tree.leaves(jax.tree.map(np.array_equal, params[f"layer_{n}"], layer)))


@every_kind
def test_traced(kind, rng):
    w = weights(kind, rng)
    known = {"JANET": ["beta"], "MultiplicativeLSTM": ["bias_hh"]}.get(kind, [])
    fixed = {name: w.pop(name) for name in known}

    def converted(w):
        return from_torchrecurrent({**w, **fixed}, kind=kind, **KINDS[kind][3])[1]

    params = converted(w)
    assert_close(jax.jit(converted)(w), params, 1e-15)
    for a in w.values():
        a[:] = 7  # no memory is shared
    assert not any(np.any(a == 7) for a in jax.tree.leaves(params))
    for name in fixed:
        with pytest.raises(TypeError, match=rf"weights\['{name}'\]: expected values, got some that JAX traces"):
            jax.eval_shape(lambda a, name=name: from_torchrecurrent({**w, name: a}, kind=kind)[1], fixed[name])


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_types(dtype, rng):
    w = {name: jnp.asarray(a, dtype) for name, a in weights("JANET", rng).items()}
    cell, params = from_torchrecurrent(w, kind="JANET")
    assert cell == jaxrnn.janet(H, beta=BETA, param_dtype=dtype)
    assert {a.dtype.name for a in params.values()} == {dtype}
    w["beta"] = np.array(0.1)  # an option has no type
    assert from_torchrecurrent(w, kind="JANET", dtype="float32")[0] == jaxrnn.janet(H, beta=0.1)


def without(w, name):
    return {key: a for key, a in w.items() if key != name}


UGRNN, JANET = {"kind": "UGRNN"}, {"kind": "JANET"}
ONE_OF = "kind: expected one of IndRNN, JANET, LiGRU, MGU, MUT2, MultiplicativeLSTM, PeepholeLSTM, UGRNN, coRNN, got "


@pytest.mark.parametrize(
    ("options", "change", "error", "message"),
    [
        ({}, None, TypeError, f"{ONE_OF}None: a state dict does not say which cell it is of"),
        (
            {"kind": "LEM"},
            None,
            TypeError,
            f"{ONE_OF}'LEM': its h' reads the old c, where lem and the paper read the new",
        ),
        ({"kind": "ATR"}, None, TypeError, f"{ONE_OF}'ATR': jaxrnn has no such cell"),
        ({"kind": "MGU"}, None, TypeError, "options: expected nonlinearity, gate_nonlinearity for MGU, got none"),
        ({"kind": "UGRNN", "dt": 1.0}, None, TypeError, "options: expected none for UGRNN, got dt"),
        ({"kind": "MGU", "nonlinearity": "tanh", "gate_nonlinearity": "no"}, None, ValueError, "gate_activation"),
        (
            {"kind": "LiGRU", "nonlinearity": "relu", "gate_nonlinearity": "tanh"},
            None,
            ValueError,
            "gate_nonlinearity: expected 'sigmoid' or 'hard_sigmoid', got 'tanh'",
        ),
        (UGRNN, lambda w: 3, TypeError, "weights: expected a mapping of arrays by name, got int 3"),
        (UGRNN, lambda w: {}, KeyError, "weights['weight_ih'] is missing: expected [G·H, D]"),
        (UGRNN, lambda w: without(w, "bias_hh"), KeyError, "weights['bias_hh'] is missing: expected [2·H=8]"),
        (UGRNN, lambda w: {**w, "beta": np.array(1.0)}, ValueError, "expected no more arrays than the cell has"),
        (UGRNN, lambda w: {**w, "weight_ih": np.ones((9, D))}, ValueError, "expected [2·H, D], got (9, 5)"),
        (
            UGRNN,
            lambda w: {**w, "weight_hh": w["weight_ih"]},
            ValueError,
            "weights['weight_hh']: expected [2·H=8, H=4], got float64(8, 5)",
        ),
        (UGRNN, lambda w: {**w, "bias_ih": w["bias_ih"] * np.nan}, ValueError, "weights['bias_ih']: expected finite"),
        (
            UGRNN,
            lambda w: {**{f"cells.0.{k}": v for k, v in w.items()}, "cells.1.weight_ih": w["weight_ih"]},
            ValueError,
            "weights['cells.1.weight_ih']: expected [G·H, D=4], got float64(8, 5)",
        ),
        (JANET, None, KeyError, "weights['beta'] is missing: expected []"),
        (JANET, lambda w: {**w, "beta": np.ones(1)}, ValueError, "weights['beta']: expected [], got float64(1,)"),
    ],
)
def test_malformed(options, change, error, message, rng):
    w = weights("UGRNN", rng)
    with pytest.raises(error) as raised:
        from_torchrecurrent(change(w) if change else w, **options)
    assert type(raised.value) is error
    assert message in raised.value.args[0]


def test_a_bias_within_the_product(rng):
    w = weights("MultiplicativeLSTM", rng)
    w["bias_hh"][1] = 1e-30
    with pytest.raises(
        ValueError, match=r"weights\['bias_hh'\]: expected zeros, as of recurrent_bias=False: their m is"
    ):
        from_torchrecurrent(w, kind="MultiplicativeLSTM")
