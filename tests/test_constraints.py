"""Projections of recurrent kernels against SciPy's polar factor and NumPy's SVD, and what they leave alone."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import linalg
from support import VARIANTS, adam, assert_close, noisy_params, normal_like, table, variant
from wrong import refuses

import jaxrnn
from jaxrnn import constraints

D, H = 3, 5
WITH_KERNEL = [name for name in VARIANTS if not name.startswith("indrnn")]  # the recurrence of that one is a vector


def eps(dtype) -> float:
    return float(jnp.finfo(dtype).eps)


def wide(dtype) -> np.dtype:
    return max(jnp.dtype(dtype), jnp.dtype("float32"), key=lambda d: d.itemsize)


def blocks(kernel, gates):
    """The matrices, one for each gate and leading index, in float64: [..., N, G·H] -> a list of [N, H]."""
    side_by_side = np.split(np.asarray(kernel, np.float64), gates, -1)
    return [m for block in side_by_side for m in block.reshape(-1, *block.shape[-2:])]


def off_orthogonal(matrix) -> float:
    small = matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T
    return float(np.abs(small.T @ small - np.eye(small.shape[1])).max())


def orthogonal_slack(dtype, rows=2 * H, change=0.0) -> float:
    """How far rounding each entry of an orthogonal matrix to `dtype` moves a product of two of its unit vectors.

    By eps/2 of each entry of both, eps in all (Cauchy-Schwarz), and its square, as much again times the norm of the
    change that led there, which is rounded too; and some eps of the wider type for each row of both factors of the
    decomposition, whose product it is.
    """
    once = eps(dtype) / 2 * (1 + change)
    return 2 * once + once**2 + 2 * 4 * rows * eps(wide(dtype))


def clipped(matrix, bound):
    u, s, vt = np.linalg.svd(matrix, full_matrices=False)
    return (u * np.minimum(s, bound)) @ vt


def applied(optimizer, grads, params):
    """The params after one update."""

    @jax.jit
    def one(grads, params):
        updates, _ = optimizer.update(grads, optimizer.init(params), params)
        return optax.apply_updates(params, updates)

    return one(grads, params)


@pytest.fixture
def every_cell(key):
    """Params of all variants in one pytree, which is one program, and gradients for them."""

    def make(dtype):
        keys = dict(zip(WITH_KERNEL, jax.random.split(key, len(WITH_KERNEL)), strict=True))
        params = {name: noisy_params(variant(name), k, D, dtype) for name, k in keys.items()}
        return params, normal_like(jax.random.fold_in(key, 1), params)

    return make


DTYPES = ["float64", "float32", "bfloat16", "float16"]


def each_block(params, grads, new, rate):
    """(name, block as SGD alone would have it, change of the whole update, block after), in float64."""
    for name in params:
        gates = len(variant(name).gates)
        before, by, after = (tree[name]["recurrent_kernel"] for tree in (params, grads, new))
        assert after.dtype == before.dtype
        sums = np.asarray(before, np.float64) - rate * np.asarray(by, np.float64)  # exact: rate is a power of two
        for b, w, a in zip(blocks(before, gates), blocks(sums, gates), blocks(after, gates), strict=True):
            yield name, w, np.linalg.norm(a - b, 2), a


@pytest.mark.parametrize("dtype", table(DTYPES, {"float32"}))
def test_orthogonal(dtype, every_cell):
    """After an update each gate's block, of every cell, is the polar factor of what SGD alone would have made of it."""
    params, grads = every_cell(dtype)
    new = applied(optax.chain(optax.sgd(0.25), constraints.orthogonal()), grads, params)
    seen = 0
    for name, before, change, after in each_block(params, grads, new, 0.25):
        assert off_orthogonal(after) <= orthogonal_slack(dtype, change=change), name
        s = np.linalg.svd(before, compute_uv=False)
        # Higham 2008, Functions of Matrices, th. 8.9: the polar factor moves by 2 / (two least s) of its matrix;
        # which the sum and the SVD move by a few eps of its norm for each row.
        moved = 4 * len(before) * eps(wide(dtype)) * s[0] * 2 / (2 * s[-1]) + eps(dtype) / 2 * (1 + change)
        assert np.abs(after - linalg.polar(before)[0]).max() <= moved, name
        seen += 1
    assert seen == sum(
        len(variant(name).gates) * (VARIANTS[name][1].get("depth", 3) if "highway" in name else 1) for name in params
    )


@pytest.mark.parametrize("dtype", table(DTYPES, {"float32"}))
def test_spectral(dtype, every_cell):
    """The singular values of each block are clipped, the others and the singular vectors stay."""
    params, grads = every_cell(dtype)
    new = applied(optax.chain(optax.sgd(0.25), constraints.spectral(1.1)), grads, params)
    some_inside = some_outside = False
    for name, before, change, after in each_block(params, grads, new, 0.25):
        s = np.linalg.svd(before, compute_uv=False)
        some_inside, some_outside = some_inside | (s[-1] < 1.0), some_outside | (s[0] > 1.2)
        # The projection on a convex set brings no two matrices further apart; rounding is by eps/2 of each entry.
        moved = 8 * len(before) * eps(wide(dtype)) * s[0] + eps(dtype) / 2 * (1.1 + change)
        assert np.abs(after - clipped(before, 1.1)).max() <= moved, name
        rounded = eps(dtype) / 2 * (1.1 + change) * np.sqrt(min(after.shape))  # in Frobenius norm, so in the other
        assert np.linalg.norm(after, 2) <= 1.1 + rounded + 8 * len(before) * eps(wide(dtype)) * s[0], name
    assert some_inside and some_outside


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_spectral_leaves_what_is_inside(dtype, key):
    """To the bit: the params are those of the optimizer alone."""
    params = noisy_params(jaxrnn.gru(H), key, D, dtype)
    grads = normal_like(key, params, 0.01)
    alone = applied(optax.sgd(0.5), grads, params)
    largest = max(np.linalg.norm(m, 2) for m in blocks(alone["recurrent_kernel"], 3))
    within = applied(optax.chain(optax.sgd(0.5), constraints.spectral(1.01 * largest)), grads, params)
    jax.tree.map(np.testing.assert_array_equal, within, alone)
    beyond = applied(optax.chain(optax.sgd(0.5), constraints.spectral(0.9 * largest)), grads, params)
    assert (beyond["recurrent_kernel"] != alone["recurrent_kernel"]).any()


def test_orthogonal_leaves_what_init_draws(key):
    """Its blocks are those of the initializers: with no gradient, what starts orthogonal stays, each cell's kernel."""
    params = {name: variant(name).init(key, D) for name in WITH_KERNEL}
    new = applied(constraints.orthogonal(), jax.tree.map(jnp.zeros_like, params), params)
    assert_close(new, params, orthogonal_slack("float32"))


def test_scale(key):
    """The polar factor times `scale`, as initializers.orthogonal(scale) draws."""
    params = noisy_params(jaxrnn.elman(H), key, D)
    new = applied(constraints.orthogonal(0.5), jax.tree.map(jnp.zeros_like, params), params)
    assert off_orthogonal(np.asarray(new["recurrent_kernel"], np.float64) / 0.5) <= orthogonal_slack("float32")


def test_a_singular_matrix_has_an_orthogonal_one(key):
    """Where the update takes a kernel to 0 the nearest is not unique, and is orthogonal."""
    params = {"recurrent_kernel": jnp.asarray(np.random.default_rng(0).standard_normal((H, 2 * H)))}
    new = applied(optax.chain(optax.sgd(1.0), constraints.orthogonal()), params, params)
    for block in blocks(new["recurrent_kernel"], 2):
        assert off_orthogonal(block) <= orthogonal_slack("float64")


class Model(NamedTuple):
    """Params whose keys are attributes."""

    recurrent_kernel: jax.Array
    recurrent_kernel_2: jax.Array
    layers: list


def test_only_what_has_the_name(key):
    """By the last key alone, dict's or attribute's, however deep; nothing else is touched."""
    cell = jaxrnn.stack(jaxrnn.gru(H), jaxrnn.indrnn(H), jaxrnn.learned_carry(jaxrnn.lstm(H)))
    square = jnp.asarray(np.random.default_rng(0).standard_normal((H, H)), jnp.float32)
    params = Model(square, square, [{"recurrent_kernel": {"other": square}}, noisy_params(cell, key, D)])
    grads = normal_like(key, params)
    alone = applied(optax.sgd(0.25), grads, params)
    new = applied(optax.chain(optax.sgd(0.25), constraints.orthogonal()), grads, params)
    changed = [
        jax.tree_util.keystr(path, simple=True, separator=".")
        for (path, a), b in zip(jax.tree_util.tree_leaves_with_path(new), jax.tree.leaves(alone), strict=True)
        if (a != b).any()
    ]
    layers = "layers.1.layer_"
    assert changed == ["recurrent_kernel", f"{layers}0.recurrent_kernel", f"{layers}2.cell.recurrent_kernel"]
    for kernel, gates in (
        (new.recurrent_kernel, 1),
        (new.layers[1]["layer_0"]["recurrent_kernel"], 3),
        (new.layers[1]["layer_2"]["cell"]["recurrent_kernel"], 4),
    ):
        assert all(off_orthogonal(block) <= orthogonal_slack("float32") for block in blocks(kernel, gates))
    named = applied(constraints.orthogonal(name="recurrent_kernel_2"), grads, params)
    assert off_orthogonal(np.asarray(named.recurrent_kernel_2, np.float64)) <= orthogonal_slack("float32")
    assert off_orthogonal(np.asarray(named.recurrent_kernel, np.float64)) > 0.1


def test_gates_says_how_many_blocks(key):
    """[4, 16] is four of [4, 4] unless it is said that it is two of [4, 8]."""
    params = {"recurrent_kernel": jnp.asarray(np.random.default_rng(0).standard_normal((4, 16)))}
    zero = jax.tree.map(jnp.zeros_like, params)
    for gates, number in (None, 4), (2, 2), (1, 1):
        new = applied(constraints.orthogonal(gates=gates), zero, params)["recurrent_kernel"]
        assert max(map(off_orthogonal, blocks(new, number))) <= orthogonal_slack("float64", 16)
        assert max(map(off_orthogonal, blocks(new, 8 // number))) > 0.1


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_every(dtype, key):
    """With every=3 the third and the sixth update end on the set; the others are the optimizer's own, to the bit."""
    params = noisy_params(jaxrnn.gru(H), key, D, dtype)
    optimizer = optax.chain(optax.sgd(0.25), constraints.orthogonal(every=3))
    grads = jax.tree.map(lambda p: normal_like(key, jax.ShapeDtypeStruct((6, *p.shape), p.dtype)), params)

    def body(state, grad):
        params, opt_state = state
        alone = optax.apply_updates(params, optax.sgd(0.25).update(grad, optax.sgd(0.25).init(params), params)[0])
        updates, opt_state = optimizer.update(grad, opt_state, params)
        params = optax.apply_updates(params, updates)
        return (params, opt_state), (params["recurrent_kernel"], alone["recurrent_kernel"])

    _, (kernels, alone) = jax.jit(lambda: jax.lax.scan(body, (params, optimizer.init(params)), grads))()
    before = [params["recurrent_kernel"], *kernels[:-1]]
    changes = [
        np.linalg.norm(np.asarray(k, float) - np.asarray(b, float), 2) for k, b in zip(kernels, before, strict=True)
    ]
    on = [
        max(map(off_orthogonal, blocks(kernel, 3))) <= orthogonal_slack(dtype, change=change)
        for kernel, change in zip(kernels, changes, strict=True)
    ]
    assert on == [False, False, True] * 2
    own = [bool((a == b).all()) for a, b in zip(kernels, alone, strict=True)]
    assert own == [True, True, False] * 2


def test_training_stays_on_the_set(key):
    """Adam on a small task in bfloat16 params: after each step of a scan all blocks are orthogonal, and it learns."""
    cell = jaxrnn.lstm(H, param_dtype="bfloat16")
    k_params, k_xs = jax.random.split(key)
    params = cell.init(k_params, D)
    xs = normal_like(k_xs, jax.ShapeDtypeStruct((6, 8, D), jnp.bfloat16))
    target = jnp.tanh(xs.astype(jnp.float32)[..., :1].cumsum(0))
    optimizer = optax.apply_if_finite(optax.chain(adam(0.03), constraints.orthogonal()), 3)

    def loss(params):
        ys = jaxrnn.unroll(cell, params, None, xs)[1]
        return ((ys[..., :1].astype(jnp.float32) - target) ** 2).mean()

    def body(state, _):
        params, opt_state = state
        value, grads = jax.value_and_grad(loss)(params)
        updates, opt_state = optimizer.update(grads, opt_state, params)
        params = optax.apply_updates(params, updates)
        return (params, opt_state), (value, params["recurrent_kernel"])

    train = jax.jit(lambda state: jax.lax.scan(body, state, None, 40))
    _, (values, kernels) = train((params, optimizer.init(params)))
    assert kernels.dtype == jnp.bfloat16
    assert values[-1] < 0.7 * values[0]
    assert (kernels[-1] != kernels[0]).any()
    for kernel in kernels:
        assert max(map(off_orthogonal, blocks(kernel, 4))) <= orthogonal_slack("bfloat16", change=0.1)


def test_vmap(key):
    """An ensemble of three gives what each member gives by itself."""
    members = [noisy_params(jaxrnn.gru(H), k, D) for k in jax.random.split(key, 3)]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *members)
    optimizer = optax.chain(optax.sgd(0.25), constraints.spectral(0.8))

    def one(params):
        return optax.apply_updates(params, optimizer.update(params, optimizer.init(params), params)[0])

    together = jax.jit(jax.vmap(one))(stacked)
    for i, member in enumerate(members):
        assert_close(jax.tree.map(lambda a, i=i: a[i], together), one(member), 40 * eps("float32"))


def test_among_other_transformations(key):
    """optax's own tools for states and parts take it: a map over what is like params, a mask, parts by label."""
    params = {"a": noisy_params(jaxrnn.elman(H), key, D), "b": jnp.ones(3)}
    optimizer = optax.chain(adam(0.1), constraints.orthogonal(every=2))
    state = optimizer.init(params)
    mapped = optax.tree.map_params(optimizer, lambda leaf: leaf + 1, state)
    assert jax.tree.structure(mapped) == jax.tree.structure(state)
    grads = jax.tree.map(jnp.ones_like, params)
    for optimizer in (
        optax.masked(constraints.orthogonal(), {"a": True, "b": False}),
        optax.partition({"on": constraints.orthogonal(), "off": optax.sgd(0.1)}, {"a": "on", "b": "off"}),
    ):
        new = applied(optimizer, grads, params)
        assert off_orthogonal(np.asarray(new["a"]["recurrent_kernel"], np.float64)) <= orthogonal_slack("float32")


SQUARE, ZERO = {"recurrent_kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}, {"bias": jnp.ones(2)}
WRONG = {
    "no such name": (
        lambda: constraints.orthogonal(name="weight").init({"cell": SQUARE}),
        "name: expected that of a parameter for orthogonal, got 'weight'; there are bias, recurrent_kernel",
    ),
    "no such name in update": (
        lambda: constraints.spectral().update(ZERO, optax.EmptyState(), ZERO),
        "name: expected that of a parameter for spectral, got 'recurrent_kernel'; there are bias",
    ),
    "a vector": (
        lambda: constraints.spectral(name="recurrent_weight").init(jaxrnn.indrnn(4).init(jax.random.key(0), 3)),
        "recurrent_weight: expected a matrix [..., H, G·H], got (4,): a vector has no singular values",
    ),
    "no blocks": (
        lambda: constraints.orthogonal().init({"cell": {"recurrent_kernel": jnp.ones((3, 8))}}),
        "cell.recurrent_kernel: expected [..., H, G·H], with H=3 a divisor of its width, got (3, 8); "
        "`gates` says how many blocks stand side by side",
    ),
    "another projection": (
        lambda: constraints.orthogonal().init({"recurrent_kernel": jnp.ones((2, 8)), "projection": jnp.ones((3, 2))}),
        "recurrent_kernel: expected [..., H, G·H], with H=3 a divisor of its width, got (2, 8); "
        "`gates` says how many blocks stand side by side",
    ),
    "gates that do not fit": (
        lambda: constraints.orthogonal(gates=3).init({"recurrent_kernel": jnp.ones((4, 8))}),
        "gates: expected a number of equal blocks for recurrent_kernel (4, 8), got 3",
    ),
    "gates 0": (lambda: constraints.orthogonal(gates=0), "gates: expected an int of at least 1, got 0"),
    "every 0": (lambda: constraints.spectral(every=0), "every: expected an int of at least 1, got 0"),
    "max_norm 0": (lambda: constraints.spectral(0.0), "max_norm: expected a number above 0, got 0.0"),
    "scale nan": (lambda: constraints.orthogonal(float("nan")), "scale: expected a number above 0, got nan"),
    "no params": (
        lambda: constraints.orthogonal().update(SQUARE, constraints.orthogonal().init(SQUARE)),
        "params: orthogonal needs them; write optimizer.update(grads, state, params)",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_calls(case):
    call, message = WRONG[case]
    refuses(ValueError, message, call)
