"""Layer and weight normalisation against loops in NumPy, and their pieces against PyTorch's."""

from __future__ import annotations

import importlib.util
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from observed import multiplier, observed, run
from reference import sigmoid
from support import assert_close, double, leaves_close, noisy_params, problem, tolerance, variant, weighed

import jaxrnn
from jaxrnn import layer_norm, weight_norm

T, B, D, H = 6, 3, 3, 5
TOL = tolerance("float64", T)


def by_numpy(a, gain, bias, blocks, epsilon):
    """Ba, Kiros and Hinton 2016, equation 4, over each of so many blocks of columns."""
    normal = [(z - z.mean(-1, keepdims=True)) / np.sqrt(z.var(-1, keepdims=True) + epsilon) for z in split(a, blocks)]
    return gain * np.concatenate(normal, -1) + bias


def by_torch(a, gain, bias, blocks, epsilon):
    import torch

    parts = zip(*([torch.tensor(np.array(part)) for part in split(whole, blocks)] for whole in (a, gain)), strict=True)
    normed = [torch.nn.functional.layer_norm(part, part.shape[-1:], weight, eps=epsilon) for part, weight in parts]
    return torch.cat(normed, -1).numpy() + bias


def split(a, blocks):
    return np.split(a, blocks, -1)


def magnified(a, blocks, epsilon):
    """By how much a normalisation at most enlarges the errors of what it is given."""
    return max(1 / np.sqrt(z.var(-1).min() + epsilon) for z in split(a, blocks))


with_torch = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="PyTorch is not installed")


class Norms(NamedTuple):
    """The three normalisations of a step, none of which has a bias but c's."""

    x: Any  # (x W) -> normalised
    h: Any  # (k, h U) -> normalised, of the k-th product
    c: Any


# The steps, as haste's LayerNormLSTM and LayerNormGRU have them (biases are added to what is normalised), and alike.


def lstm(p, s, x, norm):
    h, c = s
    i, f, g, o = split(norm.x(x @ p["kernel"]) + norm.h(0, h @ p["recurrent_kernel"]) + p["bias"], 4)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    h = sigmoid(o) * np.tanh(norm.c(c))
    return (h @ p["projection"] if "projection" in p else h, c)


def multiplicative_lstm(p, s, x, norm):
    h, c = s
    U, U_gates = np.split(p["recurrent_kernel"], [H], -1)
    m, u = np.split(norm.x(x @ p["kernel"]) + p["bias"], [H], -1)
    m = m * norm.h(0, h @ U)
    i, f, g, o = split(u + norm.h(1, m @ U_gates), 4)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return (sigmoid(o) * np.tanh(norm.c(c)), c)


def gru(p, s, x, norm):
    (h,) = s
    x_r, x_z, x_n = split(norm.x(x @ p["kernel"]) + p["bias"], 3)
    h_r, h_z, h_n = split(norm.h(0, h @ p["recurrent_kernel"]) + p["recurrent_bias"], 3)
    z, n = sigmoid(x_z + h_z), np.tanh(x_n + sigmoid(x_r + h_r) * h_n)
    return (z * h + (1 - z) * n,)


def gru_reset_before(p, s, x, norm):
    (h,) = s
    x_r, x_z, x_n = split(norm.x(x @ p["kernel"]) + p["bias"], 3)
    U, U_n = np.split(p["recurrent_kernel"], [2 * H], -1)
    h_r, h_z = split(norm.h(0, h @ U), 2)
    z = sigmoid(x_z + h_z)
    n = np.tanh(x_n + norm.h(1, (sigmoid(x_r + h_r) * h) @ U_n))
    return (z * h + (1 - z) * n,)


def recurrent_highway(p, s, x, norm):
    (h,) = s
    for k, (U, b) in enumerate(zip(p["recurrent_kernel"], p["bias"], strict=True)):
        t, n = split(norm.h(k, h @ U) + b + (norm.x(x @ p["kernel"]) if k == 0 else 0), 2)
        h = (1 - sigmoid(t)) * h + sigmoid(t) * np.tanh(n)
    return (h,)


def elman(p, s, x, norm):
    return (np.tanh(norm.x(x @ p["kernel"]) + norm.h(0, s[0] @ p["recurrent_kernel"]) + p["bias"]),)


# row of VARIANTS -> (step, sizes of its recurrent products in units of H)
NORMED = {
    "lstm": (lstm, [4]),
    "lstm_projection": (lstm, [4]),
    "multiplicative_lstm": (multiplicative_lstm, [1, 4]),
    "gru": (gru, [3]),
    "gru_reset_before": (gru_reset_before, [2, 1]),
    "recurrent_highway": (recurrent_highway, [2, 2, 2]),
    "elman": (elman, [1]),
}


@pytest.mark.parametrize("normed", [by_numpy, pytest.param(by_torch, marks=with_torch)])
@pytest.mark.parametrize(("per_gate", "epsilon"), [(True, 1e-5), (False, 0.1)])
@pytest.mark.parametrize("name", NORMED)
def test_layer_norm(name, per_gate, epsilon, normed, key):
    """Every gain and bias at random: LN(x W) and LN(h U) before the biases, LN(c') with both on its way to h'."""
    step, sizes = NORMED[name]
    cell = layer_norm(variant(name), per_gate=per_gate, epsilon=epsilon)
    params, carry, xs = problem(cell, key, T, (B,), D, dtype="float64")
    actual = run(cell, params, carry, xs)
    p = double(params)
    assert [gain.shape for gain in p["recurrent_gain"]] == [(size * H,) for size in sizes]
    gates, enlarged = len(p["input_gain"]) // H, [1.0]

    def noted(a, gain, bias, blocks):
        enlarged.append(magnified(a, blocks, epsilon))
        return normed(a, gain, bias, blocks, epsilon)

    norm = Norms(
        lambda a: noted(a, p["input_gain"], 0, gates if per_gate else 1),
        lambda k, a: noted(a, p["recurrent_gain"][k], 0, sizes[k] if per_gate else 1),
        lambda c: noted(c, p["cell_gain"], p["cell_bias"], 1),
    )
    s, ys = tuple(double(carry)), []
    for x in double(xs):
        s = step(p["cell"], s, x, norm)
        ys.append(s[0])
    leaves_close(actual, [*s, np.stack(ys)], max(enlarged) * TOL)


def test_layer_norm_begins_with_unit_gains(key):
    """And around a cell without a c there is nothing of c."""
    params = layer_norm(jaxrnn.lstm(H)).init(key, D)
    expected = {"cell": jaxrnn.lstm(H).init(key, D), "input_gain": np.ones(4 * H), "recurrent_gain": [np.ones(4 * H)]}
    assert_close(params, expected | {"cell_gain": np.ones(H), "cell_bias": np.zeros(H)}, 0.0)
    assert sorted(layer_norm(jaxrnn.gru(H)).init(key, D)) == ["cell", "input_gain", "recurrent_gain"]


def row_and_rows(carry):
    """A carry for the reference to measure, and that of all rows."""
    return jax.tree.map(lambda a: np.asarray(a)[0], carry), double(carry)


WEIGHTS = ["lstm_projection_peepholes", "gru", "recurrent_highway"]


def long(params):
    """Kernels by Salimans and Kingma 2016, equation 2: W = g V / |V|, a length for each column."""
    cell = dict(params["cell"])
    scales = {path.removeprefix("cell."): g for path, g in params["scale"].items()}
    assert set(scales) == set(cell) & {"kernel", "recurrent_kernel", "projection"}
    for name, g in scales.items():
        cell[name] = g[..., None, :] * cell[name] / np.linalg.norm(cell[name], axis=-2, keepdims=True)
    return cell


@pytest.mark.parametrize("name", WEIGHTS)
def test_weight_norm(name, key):
    """The bare cell, in the reference, with kernels made by the formula."""
    cell = weight_norm(variant(name))
    params, carry, xs = problem(cell, key, T, (B,), D, dtype="float64")
    options = {"projection": 2, "peepholes": True} if name.startswith("lstm") else {}

    def step(p, s, x):
        return reference.STEPS[name.split("_projection")[0]](p, s, x, **options)

    expected = reference.run(step, long(double(params)), *row_and_rows(carry), double(xs))
    leaves_close(run(cell, params, carry, xs), expected, 2 * TOL)


@pytest.mark.parametrize("name", WEIGHTS)
def test_weight_norm_begins_as_the_cell(name, key):
    """What `init` makes is the same function as the cell's own `init`: scale is the length."""
    cell, bare = weight_norm(variant(name, param_dtype="float64")), variant(name, param_dtype="float64")
    params = cell.init(key, D)
    assert_close(params["cell"], bare.init(key, D), 0.0)
    for kernel, scale in params["scale"].items():
        assert_close(scale, np.linalg.norm(params["cell"][kernel.removeprefix("cell.")], axis=-2), TOL)
    xs = jnp.asarray(np.random.default_rng(0).standard_normal((T, B, D)))
    assert_close(run(cell, params, None, xs), run(bare, params["cell"], None, xs), TOL)


def test_weight_norm_of_each_layer_of_a_stack(key):
    cell = weight_norm(jaxrnn.stack(variant("lstm"), variant("gru")))
    params, carry, xs = problem(cell, key, T, (B,), D, dtype="float64")
    p = double(params)
    made = {}
    for layer in "layer_0", "layer_1":
        scale = {k: p["scale"][f"cell.{layer}.{k}"] for k in ("kernel", "recurrent_kernel")}
        made[layer] = long({"cell": p["cell"][layer], "scale": scale})
    step = reference.stack(reference.lstm, reference.gru)
    expected = reference.run(step, made, *row_and_rows(carry), double(xs))
    leaves_close(run(cell, params, carry, xs), expected, 3 * TOL)


def test_weight_norm_gradient(key):
    """Of a scale it is the slope of values by differences; of V it is orthogonal to V, whose length does not count."""
    cell = weight_norm(variant("lstm"))
    params, carry, xs = problem(cell, key, T, (B,), D, dtype="float64")

    @jax.jit
    @jax.value_and_grad
    def loss(params):
        return weighed(jnp.sin(run(cell, params, carry, xs)[1]))

    params, line = double((params, noisy_params(cell, key, D, "float64")["scale"]))
    grads = jax.device_get(loss(params)[1])

    def moved(by):
        return float(loss({**params, "scale": jax.tree.map(lambda a, d: a + by * d, params["scale"], line)})[0])

    slope = sum(np.vdot(grads["scale"][name], line[name]) for name in line)
    eps = float(jnp.finfo("float64").eps)
    step = eps ** (1 / 5)  # of a rule of fourth order, as in test_noise.py
    differences = (8 * (moved(step) - moved(-step)) - (moved(2 * step) - moved(-2 * step))) / (12 * step)
    assert abs(slope) > 0.1
    assert_close(differences, slope, 1000 * eps ** (4 / 5))
    for path in line:
        name = path.removeprefix("cell.")
        along = (grads["cell"][name] * params["cell"][name]).sum(-2)
        assert np.abs(grads["cell"][name]).max() > 0.01
        assert_close(along, np.zeros_like(along), 10 * TOL)


def test_the_scales_are_no_kernels(key):
    """What looks for a recurrent_kernel by its name finds V, not the scale that belongs to it."""
    cell = jaxrnn.weight_drop(weight_norm(variant("lstm")), 0.5)
    params, carry, xs = problem(cell, key, T, (B,), D, dtype="float64")
    _, (call,) = observed(cell, params, carry, xs, key)
    v, scale = double(params["cell"]["recurrent_kernel"]), double(params["scale"]["cell.recurrent_kernel"])
    seen = double(call.params["recurrent_kernel"])
    assert (seen == 0).any() and (seen != 0).any(axis=0).all()
    assert_close(np.linalg.norm(seen, axis=-2), np.abs(scale), TOL)
    multiplier(np.where(seen == 0, 0, v / 0.5), v, 0.5)


@with_torch
def test_weight_norm_as_torch(key):
    """torch's weight_norm of a Linear, whose weight is the transpose of a kernel: a length for each output."""
    import torch

    cell = weight_norm(variant("elman"))
    params, carry, xs = problem(cell, key, 1, (B,), D, dtype="float64")
    parts = []
    for name in "kernel", "recurrent_kernel":
        linear = torch.nn.Linear(*params["cell"][name].shape, bias=False, dtype=torch.float64)
        linear = torch.nn.utils.parametrizations.weight_norm(linear)
        weight = linear.parametrizations.weight
        with torch.no_grad():
            weight.original0.copy_(torch.tensor(np.asarray(params["scale"][f"cell.{name}"])[:, None]))
            weight.original1.copy_(torch.tensor(np.asarray(params["cell"][name]).T))
        parts.append(linear)
    x, h = (torch.tensor(np.asarray(a)) for a in (xs[0], carry.h))
    expected = torch.tanh(parts[0](x) + parts[1](h) + torch.tensor(np.asarray(params["cell"]["bias"])))
    leaves_close(run(cell, params, carry, xs)[0], [expected.detach().numpy()], TOL)


def test_weight_norm_of_short_columns_in_float16(key):
    """Lengths are of float32: the squares of small numbers are 0 in float16."""
    cell = jaxrnn.weight_norm(variant("gru"))
    params, carry, xs = problem(cell, key, T, (B,), D, dtype="float32")
    params["cell"]["kernel"] *= 1e-4
    half = jaxrnn.precision(cell, compute_dtype="float16", carry_dtype="float32", output_dtype="float32")
    leaves_close(run(half, params, carry, xs), run(cell, params, carry, xs), tolerance("float16", T))


@pytest.mark.parametrize(("name", "per_gate"), [("lstm_projection", True), ("gru_reset_before", False)])
def test_layer_norm_derivatives(name, per_gate, key, rng):
    """Along a random direction: central differences of values and of gradients, beside both modes."""
    cell = layer_norm(variant(name), per_gate=per_gate, epsilon=1e-3)
    arguments = problem(cell, key, 3, (B,), D, dtype="float64")
    direction = jax.tree.map(lambda a: rng.standard_normal(a.shape), arguments)

    def total(arguments):
        return weighed(jaxrnn.unroll(cell, *arguments))

    def slope(f):
        """Of f along the direction, by f alone."""
        at = [f(jax.tree.map(lambda a, d, by=by: a + by * d, arguments, direction)) for by in (1e-5, -1e-5)]
        return jax.tree.map(lambda a, b: (a - b) / 2e-5, *at)

    gradient = jax.jit(jax.grad(total))
    tangents = jax.jit(lambda a, d: (jax.jvp(total, (a,), (d,))[1], jax.jvp(jax.grad(total), (a,), (d,))[1]))
    along = sum(jax.tree.leaves(jax.tree.map(lambda a, d: (a * d).sum(), gradient(arguments), direction)))
    expected, (forward, turned) = slope(jax.jit(total)), tangents(arguments, direction)
    assert_close((along, forward), (expected, expected), 1e-7 * abs(expected))
    expected = slope(gradient)
    leaves_close(turned, expected, 1e-6 * max(float(jnp.abs(a).max()) for a in jax.tree.leaves(expected)))
