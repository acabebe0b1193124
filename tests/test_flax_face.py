"""jaxrnn.nnx.RNN and jaxrnn.linen.RNN beside flax's own RNN with the same weights, and beside the NumPy reference."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn
from flax import nnx, serialization
from flax_sides import LENGTHS, PEERS, VALID, B, D, H, T, draw, drawn, filled, lstm, modules, optimized_lstm
from sequences import CASES, by_reference, rows
from support import adam, assert_close, noisy_params, table, tolerance

import jaxrnn

# What is given when the module is made, and whether its rows are ragged.
RUNS = {
    "plain": ({}, False),
    "time_major": ({"time_major": True}, False),
    "lengths": ({}, True),
    "reverse": ({"reverse": True, "keep_order": True}, False),
    "reverse_in_order_of_computation": ({"reverse": True, "keep_order": False}, False),
    "reverse_lengths_time_major": ({"reverse": True, "keep_order": True, "time_major": True}, True),
    "reverse_lengths_in_order_of_computation": ({"reverse": True, "keep_order": False}, True),
}
ALL = ["nnx_optimized_lstm", "linen_gru"]
PAIRS = [(p, r) for p in PEERS for r in RUNS if p in ALL or r == "reverse_lengths_time_major"]


def with_gradients(run):
    def both(params, carry, xs, cotangents):
        out, pull = jax.vjp(run, params, carry, xs)
        return out, pull(cotangents)

    return jax.jit(both)


@pytest.mark.parametrize(("name", "run"), table(PAIRS, PAIRS[1::5], "-".join))
def test_as_flax_with_the_same_weights(name, run, key, rng):
    """Outputs, last carry, and the gradients of weights, carry and inputs."""
    cell, make = PEERS[name]
    options, ragged = RUNS[run]
    call, time_first = {"seq_lengths": LENGTHS} if ragged else {}, options.get("time_major", False)
    ours, theirs = make(**options)
    valid = (VALID.T if time_first else VALID) if ragged else np.ones((T, B) if time_first else (B, T), bool)

    def peer(params, carry, xs):
        last, ys = theirs(params, carry, xs, **call)
        last = type(carry)(h=last[1], c=last[0]) if len(carry) == 2 else type(carry)(last)
        return last, jnp.where(valid[..., None], ys, 0)  # what flax leaves past a row's end is not defined

    params, carry = drawn(cell, key, rng)
    xs, cotangents = draw(rng, *valid.shape, D), (carry, draw(rng, *valid.shape, H))
    actual = with_gradients(lambda *args: ours(*args, **call))(params, carry, xs, cotangents)
    expected = with_gradients(peer)(params, carry, xs, cotangents)
    assert_close(actual[0], expected[0], tolerance("float64", T))
    assert_close(actual[1], expected[1], tolerance("float64", 2 * T))


@pytest.mark.parametrize("batch", [(), (2, 3)])
@pytest.mark.parametrize("name", ALL)
def test_any_number_of_batch_axes(name, batch, key, rng):
    cell, make = PEERS[name]
    ours, theirs = make()
    params, carry = drawn(cell, key, rng, batch)
    xs = draw(rng, *batch, T, D)
    assert_close(ours(params, carry, xs)[1], jax.jit(theirs)(params, carry, xs)[1], tolerance("float64", T))


def test_both_directions_as_nnx_bidirectional(key, rng):
    """A stack of one bidirectional layer; rows end early."""
    cell = jaxrnn.stack(jaxrnn.bidirectional(jaxrnn.lstm(H), jaxrnn.lstm(H)))
    params, xs = noisy_params(cell, key, D, "float64"), draw(rng, B, T, D)
    model = filled(jaxrnn.nnx.RNN(cell, D, rngs=nnx.Rngs(0)), {"cell": params})
    members = [
        nnx.RNN(nnx.OptimizedLSTMCell(D, H, dtype="float64", param_dtype="float64", rngs=nnx.Rngs(0))) for _ in range(2)
    ]
    peer = nnx.Bidirectional(*members, rngs=nnx.Rngs(0))
    theirs = {f"{name}_rnn": {"cell": optimized_lstm(params["layer_0"][name])} for name in ("forward", "backward")}
    expected = jnp.where(VALID[..., None], filled(peer, theirs)(xs, seq_lengths=LENGTHS), 0)
    assert_close(model(xs, seq_lengths=LENGTHS), expected, tolerance("float64", T))


@pytest.mark.parametrize("time_major", [False, True])
@pytest.mark.parametrize("name", ["stack", "stack_learned_carry"])
def test_lengths_masks_and_resets_as_the_reference(name, time_major, key, rng):
    """Batch-major, the flags are [..., T] as the inputs are; what is given in the call stands in for the attribute."""
    case = CASES[name]
    batch, time = (2, 3), 7
    params = noisy_params(case.cell, key, D, "float64")
    xs, some = draw(rng, time, *batch, D), rows(rng, "lengths", "mask", "reset")
    mask = some.valid  # what is looked at (lengths are, here) may only take steps away
    *carry, ys = by_reference(case, params, None, xs, some._replace(mask=mask), True)

    def there(a):
        return a if time_major else np.moveaxis(a, 0, len(batch))

    for run in modules(case.cell, params, D, reverse=False, time_major=not time_major):
        actual = run(
            there(xs),
            seq_lengths=some.lengths,
            mask=there(mask),
            reset=there(some.reset),
            reverse=True,
            return_carry=True,
            time_major=time_major,
        )
        assert_close(jax.tree.leaves(actual[0]), carry, tolerance("float64", time))
        assert_close(actual[1], there(ys), tolerance("float64", time))


@pytest.mark.parametrize("name", ALL)
def test_step_by_step(name, key, rng):
    """`initialize_carry` and `step`, T times, give what flax gives for the sequence."""
    cell, make = PEERS[name]
    params, xs = noisy_params(cell, key, D, "float64"), draw(rng, B, T, D)
    model = filled(jaxrnn.nnx.RNN(cell, D, rngs=nnx.Rngs(0)), {"cell": params})
    module, variables = jaxrnn.linen.RNN(cell), {"params": {"cell": params}}
    zeros = jax.tree.map(jnp.zeros_like, drawn(cell, key, rng)[1])
    expected = make()[1](params, zeros, xs)[1]

    carry, ys = model.initialize_carry((B, D)), []
    for t in range(T):
        carry, y = nnx.jit(lambda model, *args: model.step(*args))(model, carry, xs[:, t])
        ys.append(y)
    assert_close(jnp.stack(ys, 1), expected, tolerance("float64", T))

    carry, ys = module.apply(variables, (B, D), method="initialize_carry"), []
    for t in range(T):
        carry, y = module.apply(variables, carry, xs[:, t], method="step")
        ys.append(y)
    assert_close(jnp.stack(ys, 1), expected, tolerance("float64", T))


STEPS = 5
OPTIMIZER = adam(0.05)


def trained(loss, params):
    """The losses of STEPS steps of OPTIMIZER on a pytree of params, by optax alone."""

    @jax.jit
    def update(params, state):
        value, grads = jax.value_and_grad(loss)(params)
        updates, state = OPTIMIZER.update(grads, state, params)
        return optax.apply_updates(params, updates), state, value

    state, losses = OPTIMIZER.init(params), []
    for _ in range(STEPS):
        params, state, value = update(params, state)
        losses.append(value)
    return jnp.stack(losses)


def nnx_trained(model, loss):
    """The same of an nnx model, by nnx.Optimizer."""
    optimizer = nnx.Optimizer(model, OPTIMIZER, wrt=nnx.Param)

    @nnx.jit
    def update(model, optimizer):
        value, grads = nnx.value_and_grad(loss)(model)
        optimizer.update(model, grads)
        return value

    return jnp.stack([update(model, optimizer) for _ in range(STEPS)])


def test_training_is_that_of_pure_jaxrnn_and_of_flax(key, rng):
    """Loss for loss: nnx.Optimizer on our module and on flax's, linen with optax on both, and `unroll` by itself."""
    cell = jaxrnn.lstm(H)
    params, xs, target = noisy_params(cell, key, D, "float64"), draw(rng, B, T, D), draw(rng, B, T, H)

    def error(ys):
        return ((ys - target) ** 2).mean()

    expected = trained(lambda p: error(jaxrnn.unroll(cell, p, None, xs.swapaxes(0, 1))[1].swapaxes(0, 1)), params)
    assert expected[-1] < 0.98 * expected[0]

    ours = filled(jaxrnn.nnx.RNN(cell, D, rngs=nnx.Rngs(0)), {"cell": params})
    peer = nnx.RNN(nnx.OptimizedLSTMCell(D, H, dtype="float64", param_dtype="float64", rngs=nnx.Rngs(0)))
    theirs = filled(peer, {"cell": optimized_lstm(params)})
    module, flax_module = jaxrnn.linen.RNN(cell), nn.RNN(nn.LSTMCell(H, param_dtype="float64"))
    for losses in (
        nnx_trained(ours, lambda model: error(model(xs))),
        nnx_trained(theirs, lambda model: error(model(xs))),
        trained(lambda v: error(module.apply(v, xs)), {"params": {"cell": params}}),
        trained(lambda v: error(flax_module.apply(v, xs)), {"params": {"cell": lstm(params)}}),
    ):
        assert_close(losses, expected, tolerance("float64", 2 * T * STEPS))


@pytest.mark.full
def test_vmap_over_rows_and_over_models(key, rng):
    """One row at a time gives flax's batch; an ensemble made by nnx.vmap has members with parameters of their own."""
    cell, make = PEERS["nnx_optimized_lstm"]
    ours, theirs = make()
    params, carry = drawn(cell, key, rng)
    xs = draw(rng, B, T, D)
    expected = theirs(params, carry, xs)[1]
    assert_close(jax.vmap(ours, (None, 0, 0))(params, carry, xs)[1], expected, tolerance("float64", T))

    @nnx.split_rngs(splits=2)
    @nnx.vmap
    def ensemble(rngs):
        return jaxrnn.nnx.RNN(cell, D, rngs=rngs)

    models = ensemble(nnx.Rngs(0))
    both = nnx.vmap(lambda model, xs: model(xs), in_axes=(0, None))(models, xs)
    held = models.params
    assert np.abs(held["kernel"][0] - held["kernel"][1]).max() > 0.01
    for i in range(2):
        member = jax.tree.map(lambda a, i=i: jnp.asarray(a[i], "float64"), held)
        zeros = jax.tree.map(jnp.zeros_like, carry)
        assert_close(both[i], theirs(member, zeros, xs)[1], tolerance("float32", T))


@pytest.mark.parametrize("name", ["linen_lstm", "linen_gru"])
def test_a_checkpoint_of_linen(name, key, rng):
    """The variables of flax's own RNN, read from its bytes, in jaxrnn.linen.RNN; and back."""
    peer = {"linen_lstm": nn.OptimizedLSTMCell(H), "linen_gru": nn.GRUCell(H)}[name]
    theirs, xs = nn.RNN(peer), draw(rng, B, T, D).astype("float32")
    variables = jax.tree.map(lambda a: a + 0.1, theirs.init(key, xs))
    read = serialization.msgpack_restore(serialization.to_bytes(variables))
    cell, params = jaxrnn.interop.from_flax(read)
    ours = {"params": {"cell": params}}
    model = jaxrnn.linen.RNN(cell)
    assert jax.tree.map(jnp.shape, model.init(key, xs)) == jax.tree.map(jnp.shape, ours)
    assert_close(model.apply(ours, xs), theirs.apply(variables, xs), tolerance("float32", T))
    back = {"params": jaxrnn.interop.to_flax(cell, ours["params"]["cell"], api="linen")}
    assert_close(back, variables, 0)


def test_both_directions_of_nnx(rng):
    """The weights of flax's own Bidirectional in jaxrnn.nnx.RNN; and back."""
    cells = [nnx.OptimizedLSTMCell(D, H, rngs=nnx.Rngs(seed)) for seed in (0, 1)]
    theirs, xs = nnx.Bidirectional(*map(nnx.RNN, cells)), draw(rng, B, T, D).astype("float32")
    cell, params = jaxrnn.interop.from_flax(theirs)
    model = jaxrnn.nnx.RNN(cell, D, rngs=nnx.Rngs(2))
    nnx.update(model, {"cell": params})
    expected = theirs(xs)
    assert_close(model(xs), expected, tolerance("float32", 2 * T))
    for module in cells:
        module.dense_i.kernel[...] = jnp.zeros((D, 4 * H), "float32")
    assert_close(jaxrnn.interop.to_flax(cell, model.params, into=theirs)(xs), expected, 0)
