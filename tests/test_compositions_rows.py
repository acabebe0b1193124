"""Compositions in both directions, in half types, under transformations, on devices: what the table does not ask."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from compositions import ROWS, D, H, made
from sequences import normal_like, weights_for
from support import assert_close, double, leaves_close, loop, table, tolerance, variant, weighed
from test_compositions import LENGTHS, MASK, RAGGED, RESET, TOL, B, T, given, with_grads

import jaxrnn

SEGMENTED = {"forward": False, "reverse": True}


def parts_of_row(row):
    """The segments of a row, [first, end): each begins at a reset, as it is met from left to right."""
    starts = sorted({0, *np.flatnonzero(RESET[: LENGTHS[row], row])})
    return [(a, b) for a, b in zip(starts, [*starts[1:], LENGTHS[row]], strict=True) if a < b]


def parts_from_behind(row):
    """The same where unroll goes from right to left: a reset parts the row to the right of its step."""
    ends = sorted({LENGTHS[row], *(1 + np.flatnonzero(RESET[: LENGTHS[row], row]))})
    return [(a, b) for a, b in zip([0, *ends[:-1]], ends, strict=True) if a < b]


def both_ways(steps, params, start, carry, xs, reverse):
    """Each row's segments one by one, each once in either direction; the first one met begins with the row's carry."""
    ys = [np.zeros((T, B, H)), np.zeros((T, B, H))]
    for row in range(B):
        segments = parts_from_behind(row) if reverse else parts_of_row(row)
        for way, (step, name) in enumerate(zip(steps, ("forward", "backward"), strict=True)):
            leftwards = reverse != (way == 1)
            for first, end in segments:
                met_first = end == LENGTHS[row] if leftwards else first == 0
                met_first &= not (way == 0 and RESET[end - 1 if leftwards else first, row])  # restarts at once
                state = reference.each(lambda a: a[row], carry[name]) if met_first else start[name]  # noqa: B023
                some = xs[first:end, row : row + 1], MASK[first:end, row : row + 1]
                one = reference.each(lambda a: a[None], state)
                _, y = reference.run(step, params[name], start[name], one, some[0], mask=some[1], reverse=leftwards)
                ys[way][first:end, row] = y[:, 0]
    return ys


@pytest.mark.parametrize("reverse", SEGMENTED.values(), ids=SEGMENTED)
def test_bidirectional_is_its_segments_one_by_one(reverse, key):
    """Both halves restart where a reset parts a row, whichever way unroll goes; they start from learned carries."""
    cell = jaxrnn.bidirectional(jaxrnn.learned_carry(variant("lstm")), jaxrnn.learned_carry(variant("gru")))
    params, carry, xs = given(cell, key)
    _, ys = jax.jit(functools.partial(jaxrnn.unroll, cell, **RAGGED, reverse=reverse))(params, carry, xs)
    steps = loop("lstm"), loop("gru")
    inner = {name: double(p["cell"]) for name, p in params.items()}
    start = {name: double(tuple(p["initial_carry"])) for name, p in params.items()}
    carries = {name: tuple(double(c)) for name, c in carry.items()}
    expected = np.concatenate(both_ways(steps, inner, start, carries, double(xs), reverse), axis=-1)
    assert_close(ys, expected, TOL)


@pytest.mark.parametrize("merge", ["concat", "sum", "mean"])
def test_bidirectional_value(merge, key):
    """Two loops, one from each row's own last step; the carries are those that they end with."""
    cell = jaxrnn.bidirectional(variant("lstm"), variant("gru"), merge=merge)
    params, carry, xs = given(cell, key)
    options = {"lengths": LENGTHS, "mask": MASK}
    after, ys = jax.jit(functools.partial(jaxrnn.unroll, cell, **options))(params, carry, xs)
    ends, both = {}, []
    for name, inner, reverse in ("forward", "lstm", False), ("backward", "gru", True):
        arrays = double((params[name], variant(inner).start(params[name]), carry[name], xs))
        ends[name], y = reference.run(loop(inner), *arrays, **options, reverse=reverse)
        both.append(y)
    a, b = both
    merged = {"concat": np.concatenate(both, axis=-1), "sum": a + b, "mean": (a + b) / 2}[merge]
    leaves_close((after["forward"], after["backward"], ys), (ends["forward"], ends["backward"], merged), TOL)


def test_reverse_of_bidirectional_is_the_two_exchanged(key):
    """From right to left its forward goes as its backward did."""
    a, b = variant("lstm"), variant("gru")
    cell, other = jaxrnn.bidirectional(a, b, merge="sum"), jaxrnn.bidirectional(b, a, merge="sum")
    params, carry, xs = given(cell, key)
    turned = [{"forward": each["backward"], "backward": each["forward"]} for each in (params, carry)]
    options = {"lengths": LENGTHS, "mask": MASK}
    after, ys = jax.jit(functools.partial(jaxrnn.unroll, cell, **options, reverse=True))(params, carry, xs)
    expected, zs = jax.jit(functools.partial(jaxrnn.unroll, other, **options))(*turned, xs)
    assert_close((after["forward"], after["backward"], ys), (expected["backward"], expected["forward"], zs), TOL)


def clipped_lstm_grads(params, xs, weights, bound):
    """Backpropagation through an LSTM by hand: what comes back through h U is clipped, along c it is not."""
    U, states, h, c = params["recurrent_kernel"], [], np.zeros((B, H)), np.zeros((B, H))
    for x in xs:
        z = x @ params["kernel"] + h @ U + params["bias"]
        i, f, g, o = (
            f(a)
            for f, a in zip([reference.sigmoid] * 2 + [np.tanh, reference.sigmoid], np.split(z, 4, -1), strict=True)
        )
        old_h, old_c, c = h, c, i * g + f * c
        h = o * np.tanh(c)
        states.append((x, old_h, old_c, i, f, g, o, c))
    grads = {name: np.zeros_like(a) for name, a in params.items()}
    dh, dc = np.zeros((B, H)), np.zeros((B, H))
    for (x, old_h, old_c, i, f, g, o, c), w in zip(states[::-1], weights[::-1], strict=True):
        dh = dh + w
        dc = dc + dh * o * (1 - np.tanh(c) ** 2)
        dz = [dc * g * i * (1 - i), dc * old_c * f * (1 - f), dc * i * (1 - g**2), dh * np.tanh(c) * o * (1 - o)]
        dz = np.concatenate(dz, -1)
        grads["kernel"] += x.T @ dz
        grads["recurrent_kernel"] += old_h.T @ dz
        grads["bias"] += dz.sum(0)
        dh, dc = np.clip(dz @ U.T, -bound, bound), dc * f
    return grads


@pytest.mark.parametrize("bound", [0.0, 0.02, np.inf], ids=["cut", "clipped", "wide"])
def test_clipped_gradients(bound, key, rng):
    """Of clip_gradient and cut_gradient, against backpropagation by hand."""
    inner = variant("lstm")
    cell = jaxrnn.clip_gradient(inner, float(bound)) if bound else jaxrnn.cut_gradient(inner)
    params, _, xs = given(cell, key)
    weights = rng.standard_normal((T, B, H))
    grads = jax.jit(jax.grad(lambda p: jnp.sum(weights * jaxrnn.unroll(cell, p, None, xs)[1])))(params)
    assert_close(grads, clipped_lstm_grads(double(params), double(xs), weights, bound), tolerance("float64", 2 * T))


def test_a_projection_is_not_cut(key):
    """It leads to no other step: of one step nothing is cut."""
    inner = variant("lstm_projection")
    params, _, xs = given(inner, key)

    def grads(cell):
        return jax.jit(jax.grad(lambda p: weighed(jaxrnn.unroll(cell, p, None, xs[:1])[1])))(params)

    assert_close(grads(jaxrnn.cut_gradient(inner)), grads(inner), TOL)


def test_emit_carry(key):
    """The carries of all steps beside y, with rows of every kind; where no step is taken 0, as y."""
    cell = jaxrnn.emit_carry(variant("lstm"))
    params, carry, xs = given(cell, key)

    def step(params, carry, x):
        carry, y = loop("lstm")(params, carry, x)
        return carry, np.concatenate([y, *carry])

    actual, (ys, carries) = jax.jit(functools.partial(jaxrnn.unroll, cell, **RAGGED))(params, carry, xs)
    expected = reference.run(step, *double((params, cell.start(params), carry, xs)), **RAGGED)
    leaves_close((actual, jnp.concatenate([ys, *carries], -1)), expected, TOL)


@pytest.mark.parametrize("name", table(ROWS, {"weight_norm", "layer_norm", "bidirectional", "with_mask"}))
def test_shapes_will_do(name):
    """What a composition reads and gives is told by the shapes of its params alone, as the modules for flax ask it."""
    cell = made(name)
    params = cell.init(jax.random.key(0), D)
    shapes = jax.eval_shape(lambda: params)
    x = jax.ShapeDtypeStruct((D,), "float32") if cell.input is None else cell.input(shapes)
    real = jax.tree.map(lambda a: jnp.ones((1, *a.shape), a.dtype), x)
    y = jax.tree.map(
        lambda a: (a.shape[1:], a.dtype), jax.eval_shape(lambda: jaxrnn.unroll(cell, params, None, real)[1])
    )
    assert jax.tree.map(lambda a: (a.shape, a.dtype), cell.outputs(shapes, x)) == y


EXPLAINED = {
    "deep_transition": ["deep_transition(lstm(5), lstm(5), lstm(5))"],
    "highway of bidirectional": ["forward", "backward"],
    "stack of bidirectional": ["layer_0.forward", "layer_0.backward", "layer_1.forward", "layer_1.backward"],
    "zoneout": ["zoneout(lstm(5), h=0.2, c=0.3)"],
    "zoneout of a stack": ["layer_0", "layer_1"],
}


@pytest.mark.parametrize("name", EXPLAINED)
def test_explain(name):
    """Every member is run by deferred, by its own name."""
    cell = made(name)
    params = jax.eval_shape(lambda key: cell.init(key, D), jax.random.key(0))
    said = jaxrnn.explain(cell, params, None, jax.ShapeDtypeStruct((T, B, D), "float32"))
    assert [(layer.name, layer.engine) for layer in said.layers] == [(member, "deferred") for member in EXPLAINED[name]]


HALVES = [(name, cell, "bfloat16") for name, row in ROWS.items() for cell in row.cells[::2]]
HALVES += [(name, row.cells[0], "float16") for name, row in list(ROWS.items())[::3]]


@pytest.mark.parametrize(("name", "inner", "dtype"), table(HALVES, HALVES[::8], "-".join))
@pytest.mark.full
def test_half_types_are_closed(name, inner, dtype, key):
    """With cells that compute in them the carry keeps its types and gradients are as the params; traced, not run."""
    cell = made(name, inner, dtype=dtype)
    params, carry, xs = jax.eval_shape(lambda: problem_as_made(cell, key))
    weights = jax.eval_shape(functools.partial(jaxrnn.unroll, cell), params, carry, xs)
    (after, _), grads = jax.eval_shape(
        functools.partial(with_grads, cell, **RAGGED), weights, params, carry, xs, key=key
    )
    assert jax.tree.leaves(after) == jax.tree.leaves(carry)
    assert jax.tree.leaves(grads[:2]) == jax.tree.leaves((params, carry))


def problem_as_made(cell, key):
    """Params as `init` makes them, float32, the initial carry, and inputs of the params' type."""
    params = cell.init(key, D)
    x = jax.ShapeDtypeStruct((D,), "float32") if cell.input is None else jax.eval_shape(cell.input, params)
    return params, cell.initial_carry(params, (B,)), jax.tree.map(lambda a: jnp.zeros((T, B, *a.shape), a.dtype), x)


TRANSFORMED = ("learned_carry of a stack of zoneout", "stack of bidirectional", "layer_norm")


@pytest.mark.parametrize("name", table(TRANSFORMED, {"stack of bidirectional"}))
def test_vmap(name, key, rng):
    """Over params, carries, inputs and keys: each as by itself."""
    cell = made(name)
    members = [given(cell, k) for k in jax.random.split(key, 2)]
    noise = jax.random.split(key, 2)
    run = functools.partial(jaxrnn.unroll, cell, **RAGGED)
    every = jax.tree.map(lambda *leaves: jnp.stack(leaves), *members)
    outcome = jax.jit(jax.vmap(lambda arguments, key: run(*arguments, key=key)))(every, noise)
    alone = jax.jit(run)
    for i, (member, k) in enumerate(zip(members, noise, strict=True)):
        assert_close(jax.tree.map(lambda a: a[i], outcome), alone(*member, key=k), TOL)  # noqa: B023 - used at once


@pytest.mark.parametrize("name", table(TRANSFORMED, {"layer_norm"}))
def test_grad_of_grad(name, key, rng):
    """The Hessian times a direction is the difference of gradients along it."""
    cell = made(name)
    arguments = given(cell, key)
    weights, direction = weights_for(rng, cell, *arguments), normal_like(rng, arguments)

    @jax.jit
    def slopes(arguments):
        def grads(arguments):
            return with_grads(cell, weights, *arguments, **RAGGED, key=key)[1]

        def along(arguments):
            pairs = zip(jax.tree.leaves(grads(arguments)), jax.tree.leaves(direction), strict=True)
            return sum(jnp.sum(a * b) for a, b in pairs)

        return grads(arguments), jax.grad(along)(arguments)

    h = float(jnp.finfo("float64").eps) ** (1 / 3)  # where truncation h² and rounding eps/h meet
    ends = [slopes(jax.tree.map(lambda a, d: a + sign * h * d, arguments, direction))[0] for sign in (1, -1)]  # noqa: B023
    differences = jax.tree.map(lambda a, b: (a - b) / (2 * h), *ends)
    assert_close(slopes(arguments)[1], differences, 1000 * h**2)


@pytest.mark.parametrize("name", ["stack, skip", "clip_carry", "deep_transition", "highway"])
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_types_value(name, dtype, key):
    """Near the loops in float64, with params in the half type itself."""
    cell = made(name, dtype=dtype)
    params, carry, xs = given(cell, key, dtype)
    carry = jax.tree.map(lambda a, like: a.astype(like.dtype), carry, cell.initial_carry(params, (B,)))
    actual = jax.jit(functools.partial(jaxrnn.unroll, cell, lengths=LENGTHS))(params, carry, xs)
    step = ROWS[name].loop(loop(ROWS[name].cells[0]))
    expected = reference.run(step, *double((params, cell.start(params), carry, xs)), lengths=LENGTHS)
    leaves_close(actual, expected, tolerance(dtype, 4 * T))


@pytest.mark.full
def test_rows_over_two_devices():
    """A batch spread over two devices, with noise and in both directions, gives what one gives, and stays spread."""
    code = """
        import os
        import jax, jax.numpy as jnp, numpy as np
        from jax.sharding import AxisType, NamedSharding, PartitionSpec as P
        import jaxrnn
        inner = jaxrnn.bidirectional(jaxrnn.zoneout(jaxrnn.gru(4), h=0.2), jaxrnn.elman(4), merge="sum")
        cell = jaxrnn.learned_carry(jaxrnn.stack(jaxrnn.residual(inner), jaxrnn.layer_norm(jaxrnn.elman(3))))
        key = jax.random.key(0)
        params, xs, lengths = cell.init(key, 4), jax.random.normal(key, (5, 4, 4)), jnp.array([5, 0, 3, 2])
        weights = np.random.default_rng(0).standard_normal((5, 4, 3))

        @jax.jit
        def run(params, xs, lengths):
            def loss(params):
                ys = jaxrnn.unroll(cell, params, None, xs, lengths=lengths, key=key)[1]
                return jnp.vdot(weights, ys), ys
            return jax.value_and_grad(loss, has_aux=True)(params)

        expected = run(params, xs, lengths)
        mesh = jax.make_mesh((2,), ("rows",), axis_types=(AxisType.Auto,))
        put = lambda a, *spec: jax.device_put(a, NamedSharding(mesh, P(*spec)))
        with jax.set_mesh(mesh):
            actual = run(put(params), put(xs, None, "rows"), put(lengths, "rows"))
        ys = actual[0][1]
        assert len(ys.sharding.device_set) == 2 and ys.sharding.shard_shape(ys.shape)[1] == 2, ys.sharding
        for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=80 * np.finfo("float32").eps * max(1, np.abs(b).max()))
        print("compared", len(jax.tree.leaves(actual)))
    """
    root = Path(__file__).parents[1]
    env = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=2", "PYTHONPATH": str(root)}
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[0] == "compared"
