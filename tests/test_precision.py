"""Mixed precision: which type each thing has, and that it computes what float32 does, as far as its types can tell."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from observed import run
from support import assert_close, problem, tolerance, variant, weighed

import jaxrnn
from jaxrnn import precision

T, B, D = 6, 3, 3


def types(tree):
    return {leaf.dtype.name for leaf in jax.tree.leaves(tree)}


@pytest.mark.parametrize("carry_dtype", [None, "float32"])
@pytest.mark.parametrize("output_dtype", [None, "float32"])
@pytest.mark.parametrize("compute_dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("name", ["lstm_projection", "gru_reset_before"])
def test_types(name, compute_dtype, output_dtype, carry_dtype, key):
    """Each thing in its type, what is not given in that of computing; gradients in those of params and xs."""
    cell = precision(variant(name), compute_dtype=compute_dtype, carry_dtype=carry_dtype, output_dtype=output_dtype)
    params = jax.eval_shape(lambda: cell.init(key, D))
    xs = jax.ShapeDtypeStruct((T, B, D), "float32")

    def loss(params, xs):
        carry, ys = run(cell, params, None, xs)
        return weighed(ys), (carry, ys)

    grads, (carry, ys) = jax.eval_shape(jax.grad(loss, argnums=(0, 1), has_aux=True), params, xs)
    assert types(params) == types(grads) == {"float32"}
    assert types(carry) == {carry_dtype or compute_dtype}
    assert types(ys) == {output_dtype or compute_dtype}
    start = jax.eval_shape(lambda p: cell.initial_carry(p, (B,)), params)
    assert types(start) == types(carry)
    after, y = jax.eval_shape(cell.step, params, start, jax.ShapeDtypeStruct((B, D), "float32"))
    assert (types(after), types(y)) == (types(carry), types(ys))


@pytest.mark.parametrize(("name", "carry_dtype"), [("lstm", "float32"), ("recurrent_highway", None)])
def test_half_type_against_float32(name, carry_dtype, key):
    """Values and gradients in bfloat16, with params in float32, are those of float32 to bfloat16's rounding."""
    params, carry, xs = problem(variant(name), key, T, (B,), D, dtype="float32")
    cell = precision(variant(name), carry_dtype=carry_dtype, output_dtype="float32")

    def out(cell):
        def loss(params, xs):
            start = jax.tree.map(lambda a, b: a.astype(b.dtype), carry, cell.initial_carry(params, (B,)))
            after, ys = run(cell, params, start, xs)
            return weighed(jnp.sin(ys)), (after, ys)

        (_, out), grads = jax.jit(jax.value_and_grad(loss, argnums=(0, 1), has_aux=True))(params, xs)
        return out, grads

    (half, half_grads), (whole, grads) = out(cell), out(variant(name))
    assert types(half_grads) == {"float32"}
    assert_close(half, whole, tolerance("bfloat16", T))
    assert_close(half_grads, grads, tolerance("bfloat16", 2 * T))  # as many steps forth as back
    assert np.abs(half[1] - whole[1]).max() > float(jnp.finfo("float32").eps) * 100, "it was computed in float32"


def test_a_carry_in_float32_keeps_what_bfloat16_loses():
    """c = 1 + a sum of numbers that are each below half of bfloat16's eps: one keeps them all, the other none."""
    params = {  # f = i = 1 to float32's rounding, g = tanh(2^-9); no parameter is 0, but the kernels count for nothing
        "kernel": jnp.full((1, 4), 1e-8),
        "recurrent_kernel": jnp.full((1, 4), 1e-10),
        "bias": jnp.array([30.0, 30.0, 2**-9, 0.5]),
    }
    params = jax.tree.map(lambda a: a.astype("float32"), params)
    steps = 256
    xs = jnp.ones((steps, 1), "float32")
    kept = {}
    for carried in "bfloat16", "float32":
        cell = precision(jaxrnn.lstm(1), carry_dtype=carried)
        one = jnp.ones(1, carried)
        (_, c), _ = run(cell, params, jaxrnn.LSTMCarry(one, one), xs)
        kept[carried] = float(c[0])
    assert kept["bfloat16"] == 1.0
    # tanh(2^-9) and each of `steps` sums in float32 are rounded; the recurrent kernel adds less than 1e-10 each.
    expected = 1 + steps * np.tanh(2**-9)
    assert abs(kept["float32"] - expected) <= 2 * steps * float(jnp.finfo("float32").eps)
