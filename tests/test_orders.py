"""Every order of transformations gives what one row after another gives: values and gradients, on the right axes.

A custom rule that lays a batch axis otherwise than its function gives a transposed outcome under `grad` of `vmap`, and
no error where a batch is as long as the sequence. So here B is smaller than T, equal to it and larger, each entry of an
outcome has its own weight, and what is right is put together by NumPy from one row at a time, run by `engines.scan`.
"""

from __future__ import annotations

import functools

import compositions
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax import nnx
from flax_sides import filled
from orders import ORDERS, by_vjp, hessian_along, inner, row_after_row, vmapped
from support import CORE, assert_close, noisy_params, normal_like, table, tolerance, variant

import jaxrnn
from jaxrnn import engines
from jaxrnn._core import custom_rules as rules

D = 3
BEYOND = 1100  # two default chunks of one row of WIDE units; for few units a chunk is longer
WIDE = 128
TIMES = (1, 2, 7, 11, 12, 13, 40, BEYOND)
PIECES = 13  # a prime above 12: one piece for the gradient, several without
ENGINES = {
    "default": None,
    "deferred, chunk=5": functools.partial(engines.deferred, chunk=5),
    "checkpointed": engines.checkpointed,
    "checkpointed, segment=5": functools.partial(engines.checkpointed, segment=5),
    "scan, unroll=4": functools.partial(engines.scan, unroll=4),
}
full = functools.partial(pytest.param, marks=pytest.mark.full)


def of_a_row(cell, engine=None):
    """What a user writes for one sequence. A row is real, its flags and seed too, so that all of it has a gradient."""

    def f(params, row):
        how = {"lengths": row["lengths"].astype(int)} if "lengths" in row else {}
        how |= {name: row[name] > 0 for name in ("mask", "reset") if name in row}
        if "seed" in row:
            how["key"] = jax.random.key((1000 * row["seed"]).astype("uint32"))
        return jaxrnn.unroll(cell, params, row.get("carry"), row["xs"], engine=engine, **how)

    return f


def drawn(cell, key, rng, T, B, *kinds, batch=(), scale=0.3):
    """(params, rows, weights), nothing zero in them; kinds: of "carry", "lengths", "mask", "reset", "seed"."""
    params = noisy_params(cell, key, D, "float64", scale)
    rows = {"xs": rng.standard_normal((B, T, *batch, D))}
    if "carry" in kinds:
        begin = jax.eval_shape(lambda p: cell.initial_carry(p, (B, *batch)), params)
        rows["carry"] = jax.tree.map(lambda a: 0.5 * rng.standard_normal(a.shape), begin)
    if "lengths" in kinds:
        rows["lengths"] = rng.integers(0, T + 1, (B, *batch)).astype(float)
    for name in set(kinds) & {"mask", "reset"}:
        rows[name] = rng.standard_normal((B, T, *batch)) + (0.5 if name == "mask" else -0.5)
    if {"mask", "lengths"} <= set(kinds):  # which must agree where they can be looked at
        ends = rows["lengths"].reshape(B, 1, *batch)
        rows["mask"] = np.where(np.arange(T).reshape(-1, *[1] * len(batch)) < ends, rows["mask"], -1.0)
    if "seed" in kinds:
        rows["seed"] = rng.random(B)
    rows = jax.tree.map(jnp.asarray, rows)
    shapes = jax.eval_shape(vmapped(of_a_row(cell, engines.scan)), params, rows)
    return params, rows, normal_like(key, shapes)


def agree(actual, expected, T):
    assert_close(jax.tree.leaves(actual), jax.tree.leaves(expected), tolerance("float64", 4 * T))


def sizes():
    """T and B: in the quick half, B = T, where a transposition is silent, and the first T in two pieces."""
    for T in TIMES:
        for B in sorted({3, T, T + 2}) if T < BEYOND else (2,):
            yield (pytest.param if B == T in (2, 12, 13) or T == BEYOND else full)(T, B, id=f"T={T}, B={B}")


@pytest.mark.parametrize(("T", "B"), list(sizes()))
@pytest.mark.optimized
def test_sizes(T, B, key, rng):
    """The default engine cuts time into pieces by T: alone and beside the other."""
    # Small weights for the long one: two roundings drift apart in a network that is chaotic.
    cell, scale = (jaxrnn.gru(WIDE), 0.02) if T == BEYOND else (jaxrnn.gru(4), 0.3)
    given = drawn(cell, key, rng, T, B, scale=scale)
    agree(by_vjp(vmapped(of_a_row(cell)), *given), row_after_row(of_a_row(cell, engines.scan), *given), T)


TWICE = "vjp of vmap of vmap"
QUICK_ORDERS = {
    TWICE, "grad of vmap of jit", "grad of vmap of remat", "grad of scan of vmap", "jit of vmap of grad",
    "vjp of vmap over params", "jacrev of vmap",
}  # fmt: skip


def engines_and_orders():
    for engine in ENGINES:
        for order in ORDERS:
            quick = (engine == "default" and order in QUICK_ORDERS) or (engine, order) == (
                "checkpointed, segment=5",
                TWICE,
            )
            yield (pytest.param if quick else full)(engine, order, id=f"{engine}: {order}")


@pytest.fixture(scope="module")
def ragged():
    """A GRU with rows of every kind, B = T, and what is right."""
    rng, cell = np.random.default_rng(18), jaxrnn.gru(4)
    given = drawn(cell, jax.random.key(18), rng, PIECES, PIECES, "carry", "lengths", "mask", "reset")
    return cell, given, row_after_row(of_a_row(cell, engines.scan), *given)


@pytest.mark.parametrize(("engine", "order"), list(engines_and_orders()))
@pytest.mark.optimized
def test_orders(engine, order, ragged):
    cell, given, expected = ragged
    agree(ORDERS[order](of_a_row(cell, ENGINES[engine]), *given), expected, PIECES)


@pytest.mark.parametrize("engine", ["default", "checkpointed, segment=5"])
@pytest.mark.full
def test_second_derivatives(engine, ragged, rng):
    """The Hessian times a direction, of a loss of vmapped rows: grad of grad, jvp of grad, and vmap of both."""
    cell, (params, rows, weights), _ = ragged
    direction = jax.tree.map(lambda a: jnp.asarray(rng.standard_normal(a.shape)), params)

    def loss(f, p, row, w):
        return inner(w, jax.tree.map(jnp.sin, f(p, row)))

    def of_a_batch(p, f=of_a_row(cell, ENGINES[engine])):
        return jax.grad(lambda p: loss(vmapped(f), p, rows, weights))(p)

    def of_each(row, w, f=of_a_row(cell, ENGINES[engine])):
        return hessian_along(jax.grad(lambda p: loss(f, p, row, w)), params, direction)

    @jax.jit
    def by_scan(row, w):
        return hessian_along(jax.grad(lambda p: loss(of_a_row(cell, engines.scan), p, row, w)), params, direction)

    each = [by_scan(*jax.tree.map(lambda a: a[i], (rows, weights))) for i in range(PIECES)]  # noqa: B023
    expected = jax.tree.map(lambda *a: sum(map(np.asarray, a)), *each)
    found = jax.jit(
        lambda: [hessian_along(of_a_batch, params, direction, forward=forward) for forward in (False, True)]
    )()
    found.append(jax.tree.map(lambda a: a.sum(0), jax.jit(jax.vmap(of_each))(rows, weights)))
    for hessian in found:
        agree(hessian, expected, 4 * PIECES)


CELLS = {name: functools.partial(variant, name) for name in (*CORE, "lstm_projection_peepholes")}
MADE = CELLS | {name: functools.partial(compositions.made, name) for name in compositions.ROWS}
QUICK = {"lstm_projection_peepholes", "bidirectional", "zoneout"}


@pytest.mark.parametrize("name", table([name for i, name in enumerate(MADE) if i % 2 or name in QUICK], QUICK))
def test_every_cell_and_wrapper(name, rng, key):
    """Those with noise by a key of each row's own."""
    cell, row = MADE[name](), compositions.ROWS.get(name)
    params = noisy_params(cell, key, compositions.D, "float64")

    def draw(a):
        return jnp.asarray(rng.standard_normal((PIECES, PIECES, *a.shape)))

    like = jax.ShapeDtypeStruct((compositions.D,), "float64") if cell.input is None else cell.input(params)
    rows = {"xs": jax.tree.map(draw, like)}
    if row is not None and row.noise:
        rows["seed"] = jnp.asarray(rng.random(PIECES))
    ours, by_scan = (_flags_made_of_reals(cell, like, engine) for engine in (None, engines.scan))
    weights = normal_like(key, jax.eval_shape(vmapped(by_scan), params, rows))
    given = params, rows, weights
    agree(by_vjp(vmapped(ours), *given), row_after_row(by_scan, *given), PIECES)


def _flags_made_of_reals(cell, like, engine):
    """`of_a_row` for a cell whose inputs may hold flags, as those of with_mask do."""
    inner = of_a_row(cell, engine)

    def f(params, row):
        xs = jax.tree.map(lambda a, to: a > 0 if to.dtype == bool else a, row["xs"], like)
        return inner(params, {**row, "xs": xs})

    return f


def axes_drawn():
    return [seed if seed < 2 else full(seed) for seed in range(12)]


@pytest.mark.parametrize("seed", axes_drawn())
def test_axes(seed):
    """in_axes and out_axes anywhere, each argument mapped or not, around a batch of another length."""
    rng, key = np.random.default_rng(seed), jax.random.key(seed)
    cell, B, b = jaxrnn.lstm(4), PIECES, 5
    kinds = ("carry", "lengths", "mask", "reset")
    params, rows, _ = drawn(cell, key, rng, PIECES, B, *kinds, batch=(b,))
    mapped = {name: bool(rng.integers(2)) for name in rows}
    mapped[rng.choice(list(rows))] = True
    own_params = bool(rng.integers(2))
    every = [jax.tree.map(lambda a: a + 0.1 * i, params) if own_params else params for i in range(B)]  # noqa: B023

    def moved(name, a):
        """The axis of the rows put anywhere in `a`, or one row for all."""
        if not mapped[name]:
            return a[0], None
        at = int(rng.integers(min(a.ndim, 3)))
        return jnp.moveaxis(a, 0, at), at

    given, places = {}, {}
    for name, tree in rows.items():
        leaves, structure = jax.tree.flatten(tree)
        some, at = zip(*(moved(name, a) for a in leaves), strict=True)
        given[name] = jax.tree.unflatten(structure, some)
        places[name] = jax.tree.unflatten(structure, [-1 if i is None else i for i in at])
    in_axes = jax.tree.map(lambda i: None if i < 0 else i, places)
    f, by_scan = of_a_row(cell), of_a_row(cell, engines.scan)
    one = jax.eval_shape(by_scan, params, jax.tree.map(lambda a: a[0], rows))
    out_axes = jax.tree.map(lambda a: int(rng.integers(a.ndim + 1)), one)
    over = jax.vmap(f, in_axes=(0 if own_params else None, in_axes), out_axes=out_axes)
    p = jax.tree.map(lambda *a: jnp.stack(a), *every) if own_params else params
    outcome, back = jax.vjp(over, p, given)
    weights = normal_like(key, outcome)
    d_params, d_rows = back(weights)

    one = jax.jit(functools.partial(by_vjp, by_scan))
    total = jax.tree.map(lambda a: np.zeros(a.shape), (p, rows))
    for i in range(B):
        row = {name: jax.tree.map(lambda a: a[i if mapped[name] else 0], tree) for name, tree in rows.items()}  # noqa: B023
        w = jax.tree.map(lambda a, at: jnp.moveaxis(a, at, 0)[i], weights, out_axes)  # noqa: B023
        found, d_p, d_row = one(every[i], row, w)
        agree(jax.tree.map(lambda a, at: jnp.moveaxis(a, at, 0)[i], outcome, out_axes), found, PIECES)  # noqa: B023
        for sums, some in zip(jax.tree.leaves(total[0]), jax.tree.leaves(d_p), strict=True):
            sums[i if own_params else ...] += some
        for name, tree in d_row.items():
            for sums, some in zip(jax.tree.leaves(total[1][name]), jax.tree.leaves(tree), strict=True):
                sums[i if mapped[name] else 0] += some
    agree(d_params, total[0], B * PIECES)
    for name, tree in d_rows.items():
        for d, sums, at in zip(*map(jax.tree.leaves, (tree, total[1][name], places[name])), strict=True):
            agree(d, sums[0] if at < 0 else np.moveaxis(sums, 0, at), B * PIECES)


def models():
    """Of each model: it, one row of what its loss takes, and that loss. T = 13 for all, and as many rows."""
    V, M = 6, jaxrnn.models
    language, classes = M.language_model(jaxrnn.gru(4), V), M.classifier(jaxrnn.gru(4), 3, pooling="mean")
    tags, pairs = M.tagger(jaxrnn.lstm(4), 3), M.encoder_decoder(jaxrnn.gru(4), jaxrnn.gru(4), V, V)
    series = M.forecaster(jaxrnn.gru(4), 3)
    draws = {
        "tokens": lambda rng: rng.integers(0, V, PIECES),
        "labels": lambda rng: rng.integers(0, 3, PIECES),
        "label": lambda rng: rng.integers(0, 3),
        "xs": lambda rng: rng.standard_normal((PIECES, D)),
        "series": lambda rng: 3 + rng.standard_normal((PIECES, 1)),
    }
    return draws, {
        "language_model": (language, (), ("tokens", "labels"), lambda p, a, b: language.loss(p, None, a, b)[0]),
        "classifier": (classes, (D,), ("xs", "label"), lambda p, a, b: classes.loss(p, None, a, b)[0]),
        "tagger": (tags, (D,), ("xs", "labels"), lambda p, a, b: tags.loss(p, None, a, b)[0]),
        "encoder_decoder": (pairs, (), ("tokens", "labels"), pairs.loss),
        "forecaster": (series, (), ("series",), lambda p, a: series.loss(p, None, a, context=2)[0]),
    }


DRAWS, MODELS = models()


@pytest.mark.parametrize("name", table(MODELS, {"language_model"}))
def test_losses_of_models(name, rng, key):
    """The loss of one sequence, a weight for each: `vmap` inside `grad`, and one after another."""
    model, sizes, kinds, loss = MODELS[name]
    init = model.init(key, *sizes)
    params = jax.tree.map(lambda a, n: a.astype("float64") + 0.1 * n.astype("float64"), init, normal_like(key, init))
    rows = [tuple(DRAWS[kind](rng) for kind in kinds) for _ in range(PIECES)]
    weights = rng.standard_normal(PIECES)
    many = [jnp.asarray(np.stack(some)) for some in zip(*rows, strict=True)]
    together = jax.value_and_grad(lambda p: jnp.vdot(weights, jax.vmap(loss, (None, *[0] * len(kinds)))(p, *many)))
    alone = jax.jit(jax.value_and_grad(loss))
    each = [jax.device_get(alone(params, *row)) for row in rows]
    expected = jax.tree.map(lambda *a: np.tensordot(weights, np.stack(a), 1), *each)
    agree(together(params), expected, 4 * PIECES)


@pytest.mark.parametrize("face", ["nnx", "linen"])
def test_flax(face, rng, key):
    """nnx.vmap and nn.vmap over rows, `grad` outside."""
    cell = jaxrnn.lstm(4)
    params, rows, weights = drawn(cell, key, rng, PIECES, PIECES)
    if face == "nnx":
        graph, state = nnx.split(filled(jaxrnn.nnx.RNN(cell, D, return_carry=True, rngs=nnx.Rngs(0)), {"cell": params}))
        leaves, structure = jax.tree.flatten(state)
        by_shape = {a.shape: a for a in leaves}
        assert len(by_shape) == len(leaves)

        def over(params, rows):
            mine = {a.shape: a for a in jax.tree.leaves(params)}
            model = nnx.merge(graph, jax.tree.unflatten(structure, [mine[a.shape] for a in leaves]))
            return nnx.vmap(lambda model, xs: model(xs), in_axes=(None, 0))(model, rows["xs"])
    else:
        over_rows = nn.vmap(jaxrnn.linen.RNN, in_axes=0, variable_axes={"params": None}, split_rngs={"params": False})
        module = over_rows(cell, return_carry=True)

        def over(params, rows):
            return module.apply({"params": {"cell": params}}, rows["xs"])

    given = params, rows, weights
    agree(by_vjp(over, *given), row_after_row(of_a_row(cell, engines.scan), *given), PIECES)


def test_own_reverse_places_the_axes():
    """A rule that lays its outcome otherwise than its function, an outcome that no argument of the function reaches.

    And the derivative in forward mode, which does not know of the reverse.
    """

    def f(x, n):
        return jnp.sin(x) * 1.0, 2.0 * n

    def forward(x, n):
        return (jax.lax.scan(lambda c, x: (c, jnp.sin(x)), 0.0, x)[1], 2.0 * n + 0 * x[0]), x

    def backward(args, x, ct):
        return jnp.cos(x) * ct[0], 2.0 * ct[1]

    rows = jnp.arange(15.0).reshape(3, 5) / 7
    g = rules.own_reverse(f, forward, backward, axes=(0, 0))
    (ys, doubled), back = jax.vjp(jax.vmap(jax.jit(g), (0, None)), rows, 2.0)
    np.testing.assert_allclose(ys, np.sin(rows), atol=1e-12)
    np.testing.assert_allclose(doubled, [4.0] * 3, atol=1e-12)
    weights = np.random.default_rng(0).standard_normal((3, 5))
    d_rows, d_n = back((weights, jnp.ones(3)))
    np.testing.assert_allclose(d_rows, weights * np.cos(rows), atol=1e-12)
    np.testing.assert_allclose(d_n, 6.0, atol=1e-12)
    tangents = jax.jvp(jax.vmap(jax.jit(g), (0, None)), (rows, 2.0), (weights, 3.0))[1]
    np.testing.assert_allclose(tangents[0], weights * np.cos(rows), atol=1e-12)
    np.testing.assert_allclose(tangents[1], [6.0] * 3, atol=1e-12)
