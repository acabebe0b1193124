"""JAX's primitives as ONNX nodes, each by a function that uses it, in ONNX Runtime beside JAX."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from onnx_sides import D, runner
from support import assert_close, tolerance

import jaxrnn
from jaxrnn.interop import to_onnx

A = np.random.default_rng(0).standard_normal((D, 3)).astype(np.float32)
Q = np.random.default_rng(1).standard_normal((2, D, 3)).astype(np.float32)
POSITIVE = ("log", "sqrt", "lax.rsqrt", "log1p", "acosh")

ELEMENTWISE = [
    *(
        [
            "abs",
            "arctan",
            "arcsinh",
            "ceil",
            "cos",
            "cosh",
            "exp",
            "exp2",
            "expm1",
            "floor",
            "negative",
            "round",
            "sign",
            "sin",
            "sinh",
            "square",
            "tan",
            "tanh",
        ]
    ),
    *(["log", "log1p", "sqrt", "lax.rsqrt", "lax.erf", "lax.logistic"]),
]
FUNCTIONS = {
    **{name: getattr(lax, name[4:]) if name.startswith("lax.") else getattr(jnp, name) for name in ELEMENTWISE},
    "arccos": lambda x: jnp.arccos(jnp.tanh(x)) + jnp.arcsin(jnp.tanh(x)) + jnp.arctanh(jnp.tanh(x) / 2),
    "arccosh": lambda x: jnp.arccosh(1.5 + x**2),
    "integer_pow": lambda x: x**2 + x**3 + (2 + x**2) ** -1,
    "power": lambda x: jnp.power(1 + x**2, 1.7),
    "arithmetic": lambda x: (x - 2) / (3 + x * x) + jnp.maximum(x, 0.5) - jnp.minimum(-x, 0.1),
    "rem": lambda x: lax.rem(5 * x, jnp.full_like(x, 1.7)),
    "clamp": lambda x: lax.clamp(jnp.float32(-0.3), x, jnp.float32(0.4)),
    "select": lambda x: jnp.where((x > 0.5) | ~(x >= -0.5) & (x != 0) ^ (x <= -1), x, -x),
    "compared": lambda x: ((x == x) & (x < 1) & jnp.isfinite(x)).astype(x.dtype),
    "matmul": lambda x: x @ A,
    "matmul_vector": lambda x: (x @ A[:, 0])[..., None],
    "einsum": lambda x: jnp.einsum("...d,gdk->...gk", x, Q).sum(-2),
    "einsum_two": lambda x: jnp.einsum("...d,...e->...de", x, x)[..., 1],
    "outer": lambda x: jnp.einsum("...d,...d->...", x, jnp.tanh(x))[..., None],
    "transpose": lambda x: jnp.swapaxes(jnp.stack([x, 2 * x], -1), -1, -2).reshape(*x.shape[:-1], 2 * D),
    "slices": lambda x: jnp.concatenate([x[..., 1:4], x[..., ::2], x[..., -1:], x[..., :1]], -1),
    "flip": lambda x: jnp.flip(x, -1),
    "split": lambda x: jnp.multiply(*jnp.split(x[..., :4], 2, -1)),
    "expand": lambda x: (x[..., None, :] * A[:, 0]).sum(-2),
    "sums": lambda x: jnp.stack([x.sum(-1), x.mean(-1), x.prod(-1), x.max(-1), x.min(-1)], -1),
    "softmax": lambda x: jax.nn.softmax(x, -1),
    "any": lambda x: jnp.where((x > 1).any(-1, keepdims=True) & (x < 2).all(-1, keepdims=True), x, 0),
    "argmax": lambda x: jnp.stack([jnp.argmax(x, -1), jnp.argmin(x, -1)], -1).astype(x.dtype),
    "cumsum": lambda x: jnp.cumsum(x, -1) + lax.cumsum(x, x.ndim - 1, reverse=True),
    "iota": lambda x: x * jnp.arange(D) + lax.broadcasted_iota(x.dtype, x.shape, x.ndim - 1),
    "table": lambda x: jnp.asarray(A)[jnp.clip(jnp.floor(x[..., 0]).astype(int), -2, 2) + 2],
    "one_hot": lambda x: jax.nn.one_hot(jnp.clip(x[..., 0].astype(int), 0, 2), 3),
    "cast": lambda x: (3 * x).astype(jnp.int32).astype(x.dtype),
    "checkpoint": jax.checkpoint(lambda x: jnp.tanh(x) * 2),
    "custom": jax.nn.silu,
    "gelu": jax.nn.gelu,
    "mish": jax.nn.mish,
    "standardize": jax.nn.standardize,
    "zeros": lambda x: jnp.zeros_like(x) + 1,
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function(name, rng):
    """Over all of [T, B, D], at sizes that the graph does not know."""
    f = FUNCTIONS[name]
    run = runner(to_onnx(jaxrnn.time_distributed(f), (), input_size=D, lengths=False))
    for lead in [(6, 3), (4, 7)]:
        xs = rng.standard_normal((*lead, D)).astype(np.float32)
        xs = np.abs(xs) + 0.1 if name in POSITIVE else xs
        expected = f(jnp.asarray(xs))
        assert_close(run({"xs": xs})["ys"], expected, tolerance("float32", 4))


def test_within_a_scan(rng):
    """The body reads what stands outside, and its constants."""

    def step(params, h, x):
        return jnp.tanh(x @ A @ params["u"].T + FUNCTIONS["sums"](h)), FUNCTIONS["slices"](h)

    params = {"u": jnp.asarray(rng.standard_normal((D, 3)), jnp.float32)}
    cell = jaxrnn.Cell(lambda key, size: params, lambda p: jnp.zeros(D, jnp.float32), plain_step=step)
    run = runner(to_onnx(cell, params, input_size=D))
    xs, h = rng.standard_normal((6, 3, D)).astype(np.float32), rng.standard_normal((3, D)).astype(np.float32)
    lengths = np.array([4, 0, 6], np.int32)
    final, ys = jaxrnn.unroll(cell, params, jnp.asarray(h), xs, lengths=lengths)
    actual = run({"xs": xs, "carry": h, "sequence_lens": lengths})
    assert_close(actual, {"ys": ys, "new_carry": final}, tolerance("float32", 12))
