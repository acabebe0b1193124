"""jaxrnn.nnx.RNN and jaxrnn.linen.RNN as flax's users handle modules: state, saving, noise, errors, loading."""

from __future__ import annotations

import subprocess
import sys

import flax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax import nnx
from flax_sides import PEERS, B, D, H, T, draw, drawn, filled, modules
from support import assert_close, noisy_params, tolerance

import jaxrnn


def shapes(tree):
    return jax.tree.map(jnp.shape, tree)


@pytest.mark.usefixtures("float32_only")
def test_the_state_and_the_variables():
    """By the cell's own names under 'cell', nnx.Param each, and nothing else."""
    layer = {"kernel": (D, 4 * H), "recurrent_kernel": (H, 4 * H), "bias": (4 * H,)}
    model = jaxrnn.nnx.RNN(jaxrnn.lstm(H), D, rngs=nnx.Rngs(0))
    state = nnx.state(model)
    assert shapes(nnx.to_pure_dict(state)) == {"cell": layer}
    assert {type(v) for v in jax.tree.leaves(state, is_leaf=lambda v: isinstance(v, nnx.Variable))} == {nnx.Param}
    assert isinstance(model.cell["kernel"], nnx.Param)
    variables = jaxrnn.linen.RNN(jaxrnn.lstm(H)).init(jax.random.key(0), jnp.ones((B, T, D)))
    assert shapes(variables) == {"params": {"cell": layer}}

    above = {"kernel": (H, 6), "recurrent_kernel": (2, 6), "bias": (6,), "recurrent_bias": (6,)}
    cell = jaxrnn.stack(jaxrnn.lstm(H), jaxrnn.learned_carry(jaxrnn.gru(2)))
    expected = {"layer_0": layer, "layer_1": {"cell": above, "initial_carry": {"h": (2,)}}}
    assert shapes(nnx.to_pure_dict(nnx.state(jaxrnn.nnx.RNN(cell, D, rngs=nnx.Rngs(0)), nnx.Param)))["cell"] == expected
    variables = jaxrnn.linen.RNN(cell).init(jax.random.key(0), jnp.ones((B, T, D)))
    assert shapes(flax.serialization.to_state_dict(variables)) == {"params": {"cell": expected}}


@pytest.mark.usefixtures("float32_only")
def test_parameters_come_from_the_stream_params():
    one, two, other = (
        jaxrnn.nnx.RNN(jaxrnn.gru(H), D, rngs=rngs) for rngs in (nnx.Rngs(params=0), nnx.Rngs(0, params=0), nnx.Rngs(1))
    )
    assert_close(one.params, two.params, 0.0)
    assert np.abs(one.params["kernel"] - other.params["kernel"]).max() > 0.01
    assert_close(one.params, jaxrnn.gru(H).init(nnx.Rngs(0).params(), D), 0.0)


@pytest.mark.usefixtures("float32_only")
def test_saved_and_restored(key, rng):
    """Through flax's bytes into a module made with another seed (nnx) or from shapes alone: the same bits come out."""
    cell = jaxrnn.stack(jaxrnn.lstm(H), jaxrnn.learned_carry(jaxrnn.gru(2)))
    params, xs = noisy_params(cell, key, D), jnp.asarray(draw(rng, B, T, D), "float32")
    model = filled(jaxrnn.nnx.RNN(cell, D, rngs=nnx.Rngs(0)), {"cell": params})
    saved = flax.serialization.to_bytes(nnx.to_pure_dict(nnx.state(model, nnx.Param)))
    abstract = nnx.eval_shape(lambda: jaxrnn.nnx.RNN(cell, D, rngs=nnx.Rngs(7)))
    other = filled(abstract, flax.serialization.msgpack_restore(saved))
    assert_close(other(xs), model(xs), 0.0)

    module, variables = jaxrnn.linen.RNN(cell), {"params": {"cell": params}}
    fresh = module.init(jax.random.key(7), xs)
    restored = flax.serialization.from_bytes(fresh, flax.serialization.to_bytes(variables))
    assert_close(module.apply(restored, xs), model(xs), 0.0)
    assert_close(module.apply(flax.core.freeze(variables), xs), model(xs), 0.0)
    assert np.abs(module.apply(fresh, xs) - model(xs)).max() > 0.01


def half_dropped(actual, whole):
    """Whether every entry is 0 or twice what it is without noise, and many are either."""
    zero = np.asarray(actual == 0)
    assert_close(jnp.where(zero, 2 * whole, actual), 2 * whole, tolerance("float64", T))
    return 0.3 < zero.mean() < 0.7


def noisy_model(key, rng, **options):
    """An nnx model with dropout of one half on its outputs, inputs, and its outputs without."""
    cell = jaxrnn.dropout(jaxrnn.lstm(H), output=0.5)
    params, xs = noisy_params(cell, key, D, "float64"), draw(rng, B, T, D)
    ours = jaxrnn.nnx.RNN(cell, D, rngs=nnx.Rngs(0, dropout=3), **options)
    zeros = jax.tree.map(jnp.zeros_like, drawn(cell, key, rng)[1])
    return filled(ours, {"cell": params}), xs, PEERS["nnx_optimized_lstm"][1]()[1](params, zeros, xs)[1]


def test_noise_of_nnx(key, rng):
    """On in training, off in evaluation, anew in each call, from the model's own fork of the stream or the caller's."""
    model, xs, whole = noisy_model(key, rng)
    first, second = model(xs), model(xs)
    assert half_dropped(first, whole) and half_dropped(second, whole)
    assert ((first == 0) != (second == 0)).any()
    again = noisy_model(key, rng)[0]
    run = nnx.jit(lambda model, xs: model(xs))
    assert (run(again, xs) == first).all() and (run(again, xs) == second).all(), "jit carries the stream on"

    model.eval()
    assert_close(model(xs), whole, tolerance("float64", T))
    assert half_dropped(model(xs, deterministic=False), whole)
    model.train()
    assert_close(nnx.view(model, deterministic=True)(xs), whole, tolerance("float64", T))
    assert_close(model(xs, deterministic=True), whole, tolerance("float64", T))
    assert_close(noisy_model(key, rng, deterministic=True)[0](xs), whole, tolerance("float64", T))
    stream = nnx.Rngs(dropout=5)
    given = [model(xs, rngs=rngs) for rngs in (stream, nnx.Rngs(5).dropout, nnx.Rngs(dropout=5).dropout())]
    assert half_dropped(given[0], whole) and (given[0] != model(xs, rngs=stream)).any()
    assert (given[0] == given[2]).all() and half_dropped(given[1], whole)


def test_noise_of_linen(key, rng):
    """As nn.Dropout: `deterministic` must be said, here or there, and the key is that of rngs={"dropout": ...}."""
    model, xs, whole = noisy_model(key, rng)
    variables, apply = {"params": {"cell": model.params}}, jaxrnn.linen.RNN(model.definition).apply
    keys = [{"dropout": jax.random.key(i)} for i in range(2)]
    first, second = (apply(variables, xs, deterministic=False, rngs=k) for k in keys)
    assert half_dropped(first, whole) and half_dropped(second, whole)
    assert ((first == 0) != (second == 0)).any()
    module = jaxrnn.linen.RNN(model.definition, deterministic=False)
    assert (module.apply(variables, xs, rngs=keys[0]) == first).all()
    assert_close(apply(variables, xs, deterministic=True), whole, tolerance("float64", T))
    module = jaxrnn.linen.RNN(model.definition, deterministic=True)
    assert_close(module.apply(variables, xs, rngs=keys[0]), whole, tolerance("float64", T))
    assert shapes(jaxrnn.linen.RNN(model.definition).init(jax.random.key(0), xs)) == shapes(variables)
    with pytest.raises(ValueError, match="deterministic"):
        apply(variables, xs)
    with pytest.raises(flax.errors.InvalidRngError, match="dropout"):
        apply(variables, xs, deterministic=False)


NOISE = {
    "lstm": (jaxrnn.lstm(2), False),
    "stack": (jaxrnn.stack(jaxrnn.lstm(2), jaxrnn.gru(2)), False),
    "both_directions": (jaxrnn.stack(jaxrnn.bidirectional(jaxrnn.lstm(2), jaxrnn.gru(2))), False),
    "rate_0": (jaxrnn.dropout(jaxrnn.lstm(2)), False),
    "between_layers": (jaxrnn.stack(jaxrnn.lstm(2), jaxrnn.gru(2), dropout=0.1), True),
    "zoneout_inside": (jaxrnn.stack(jaxrnn.gru(2), jaxrnn.residual(jaxrnn.zoneout(jaxrnn.lstm(2), h=0.1))), True),
    "weight_drop": (jaxrnn.bidirectional(jaxrnn.gru(2), jaxrnn.weight_drop(jaxrnn.lstm(2), 0.1)), True),
    "candidate": (jaxrnn.recurrent_dropout(jaxrnn.lstm(2), 0.1), True),
}


@pytest.mark.usefixtures("float32_only")
@pytest.mark.parametrize("name", NOISE)
def test_only_a_cell_with_noise_keeps_a_stream(name):
    """And only such a cell asks for one: a model without noise is made with Rngs that have no "dropout"."""
    cell, noisy = NOISE[name]
    state = nnx.state(jaxrnn.nnx.RNN(cell, 2, rngs=nnx.Rngs(0)), nnx.RngState)
    assert bool(jax.tree.leaves(state)) == noisy
    if noisy:
        with pytest.raises(AttributeError, match="dropout"):
            jaxrnn.nnx.RNN(cell, 2, rngs=nnx.Rngs(params=0))
    else:
        jaxrnn.nnx.RNN(cell, 2, rngs=nnx.Rngs(params=0))(jnp.ones((3, 2)))


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        (lambda: nnx.OptimizedLSTMCell(3, 7, rngs=nnx.Rngs(0)), r"flax's OptimizedLSTMCell; write jaxrnn.lstm\(7\)"),
        (lambda: nnx.LSTMCell, r"flax's LSTMCell; write jaxrnn.lstm\(hidden_size\)"),
        (lambda: nn.GRUCell(6), r"flax's GRUCell; write jaxrnn.gru\(6\), and jaxrnn.interop.from_flax for its"),
        (lambda: nn.SimpleCell(6), r"flax's SimpleCell; write jaxrnn.elman\(6\)"),
        (lambda: nn.MGUCell(6), r"flax's MGUCell; write jaxrnn.mgu_reset_after\(6\)"),
        (lambda: nn.MGUCell(6, reset_gate=False), r"flax's MGUCell; write jaxrnn.gated\(6\), and"),
        (lambda: nn.ConvLSTMCell(6, (2,)), r"flax's ConvLSTMCell; write jaxrnn.lstm\(6\) or another of jaxrnn.CELLS$"),
        (lambda: jaxrnn.lstm, r"the function lstm; write lstm\(hidden_size\)"),
        (lambda: 64, r"64; write jaxrnn.lstm\(hidden_size\)"),
    ],
    ids=range(9),
)
def test_what_is_not_a_cell_of_jaxrnn(cell, message):
    with pytest.raises(TypeError, match="^cell: expected a Cell of jaxrnn, got " + message):
        jaxrnn.nnx.RNN(cell(), 3, rngs=nnx.Rngs(0))
    with pytest.raises(TypeError, match="^cell: expected a Cell of jaxrnn, got " + message):
        jaxrnn.linen.RNN(cell())


@pytest.mark.parametrize(
    ("inputs", "call", "message"),
    [
        ((D,), {}, r"^inputs: expected \[..., T, D\], got float32\(5,\): no time axis; one step is `step"),
        ((B, T, D), {"mask": np.ones((T, B), bool)}, r"^mask: expected \(3, 6\), .* got \(6, 3\)"),
        ((B, T, D), {"reset": np.ones((T, B), bool)}, r"^reset: expected \(3, 6\), .* got \(6, 3\)"),
        ((B, T, D), {"seq_lengths": np.ones(T, int)}, r"^seq_lengths: expected \(3,\), .* got \(6,\)"),
        ((B, T, D), {"seq_lengths": np.array([1, 7, 2])}, r"^seq_lengths: expected 0 to T=6 steps, got 7 in row 1"),
        ((B, T, D), {"initial_carry": (np.ones((B, H)),) * 2}, r"^carry: .*; write LSTMCarry\(h=..., c=...\)"),
    ],
    ids=range(6),
)
def test_arguments_that_do_not_fit(inputs, call, message):
    """In flax's names and order of axes."""
    cell, xs = jaxrnn.lstm(H), np.ones(inputs, "float32")
    for run in modules(cell, cell.init(jax.random.key(0), D), D):
        with pytest.raises(ValueError, match=message):
            run(xs, **call)


def test_another_number_of_features():
    """Linen finds it first, in its own words: it takes D from the inputs."""
    cell, xs = jaxrnn.lstm(H), np.ones((B, T, 2), "float32")
    ours, of_linen = modules(cell, cell.init(jax.random.key(0), D), D)
    with pytest.raises(ValueError, match=r"^inputs: expected \[..., T, D\] with D=5, got \(3, 6, 2\)"):
        ours(xs)
    with pytest.raises(flax.errors.ScopeParamShapeError, match='parameter "cell"'):
        of_linen(xs)


def test_flax_is_loaded_when_it_is_asked_for():
    code = (
        "import sys, jaxrnn; assert 'flax' not in sys.modules; assert not hasattr(jaxrnn, 'haiku'); "
        "print(jaxrnn.nnx.RNN.__module__, jaxrnn.linen.RNN.__module__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["jaxrnn.nnx", "jaxrnn.linen"]
