"""unroll inside JAX's transformations, on two devices, and with other engines."""

from __future__ import annotations

import dataclasses
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
from jax import lax
from sequences import CASES, D, H, T, by_reference, learned, normal_like, row, rows, run, stacked, weighted
from sequences import weights_for as weights_like
from support import assert_close, problem, table, tolerance, weighed

import jaxrnn
from jaxrnn import engines

BATCH = (3,)
TOL = tolerance("float64", T)
EVERYTHING = ("lengths", "mask", "reset")
EPS = float(jnp.finfo(jnp.float64).eps)

quick_cases = pytest.mark.parametrize(
    "case", [pytest.param(CASES["lstm"], marks=pytest.mark.full), CASES["stack_learned_carry"]], ids=["lstm", "stack"]
)
cases = pytest.mark.parametrize("case", [CASES["lstm"], CASES["stack_learned_carry"]], ids=["lstm", "stack"])


def same(actual, expected, tol=TOL):
    """Leaves only: the reference's carries are plain tuples."""
    assert_close(jax.tree.leaves(actual), jax.tree.leaves(expected), tol)


def inner(a, b):
    """The inner product of two pytrees."""
    return sum(jnp.sum(x * y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


@pytest.fixture
def given(case, key, rng):
    """(params, carry, xs), and a loss of them with lengths, mask and reset, right to left."""
    arguments = problem(case.cell, key, T, BATCH, D, dtype="float64")
    weights, how = weights_like(rng, case.cell, *arguments), rows(rng, *EVERYTHING, batch=BATCH)
    how = how._replace(mask=how.valid)  # a mask and lengths that are looked at must agree

    def loss(params, carry, xs, engine=None):
        outcome = jaxrnn.unroll(case.cell, params, carry, xs, **how._asdict(), reverse=True, engine=engine)
        return weighted(weights, outcome)

    return arguments, loss


@cases
def test_vmap(case, key, rng):
    """Over an axis of everything, params and lengths included; and over params alone."""
    members = [problem(case.cell, k, T, BATCH, D, dtype="float64") for k in jax.random.split(key, 2)]
    how = [rows(rng, *EVERYTHING, batch=BATCH) for _ in members]
    every = jax.tree.map(lambda *leaves: jnp.stack(leaves), *zip(members, how, strict=True))
    run_one = functools.partial(run.__wrapped__, case.cell, reverse=False)

    outcome = jax.jit(jax.vmap(lambda given, how: run_one(*given, how)))(*every)
    for i, (member, its) in enumerate(zip(members, how, strict=True)):
        same(jax.tree.map(lambda a: a[i], outcome), by_reference(case, *member, its, False))  # noqa: B023 - used at once

    _, carry, xs = members[0]
    outcome = jax.jit(jax.vmap(lambda params: run_one(params, carry, xs, how[0]._replace(mask=how[0].valid))))(
        every[0][0]
    )
    for i, (params, *_) in enumerate(members):
        same(jax.tree.map(lambda a: a[i], outcome), by_reference(case, params, carry, xs, how[0], False))  # noqa: B023


@pytest.mark.parametrize("engine", [engines.deferred, engines.checkpointed, engines.scan])
@quick_cases
def test_forward_mode_is_reverse_mode(case, engine, given, rng):
    """The derivative along a direction, by jvp, is the gradient's inner product with it; the value is what it was."""
    arguments, loss = given
    loss = functools.partial(loss, engine=engine)
    direction = normal_like(rng, arguments)
    value, slope = jax.jit(functools.partial(jax.jvp, loss))(arguments, direction)
    assert_close(value, jax.jit(given[1])(*arguments), TOL)
    grads = jax.jit(jax.grad(loss, argnums=(0, 1, 2)))(*arguments)
    assert abs(slope - inner(grads, direction)) <= TOL * inner(*(jax.tree.map(jnp.abs, t) for t in (grads, direction)))


FORWARD = {
    "jvp": lambda f, a: jax.jvp(f, (a,), (a,)),
    "jacfwd": lambda f, a: jax.jacfwd(f)(a),
    "jvp of vmap": lambda f, a: jax.jvp(jax.vmap(f), (a[None],), (a[None],)),
    "jvp of jit": lambda f, a: jax.jvp(jax.jit(f), (a,), (a,)),
    "jit of jvp": lambda f, a: jax.jit(lambda a: jax.jvp(f, (a,), (a,)))(a),
    "vmap of jvp": lambda f, a: jax.vmap(lambda t: jax.jvp(f, (a,), (t,)))(jnp.stack([a, -a])),
    "linearize": lambda f, a: jax.linearize(f, a)[1](a),
    "linearize of vmap": lambda f, a: jax.linearize(jax.vmap(f), a[None])[1](-a[None]),
    "hessian": lambda f, a: jax.hessian(f)(a),
    "jacfwd of jacfwd": lambda f, a: jax.jacfwd(jax.jacfwd(f))(a),
    "jacrev of jacfwd": lambda f, a: jax.jacrev(jax.jacfwd(f))(a),
    "grad of jvp": lambda f, a: jax.grad(lambda a: jax.jvp(f, (a,), (-a,))[1])(a),
    "jvp of checkpoint": lambda f, a: jax.jvp(jax.checkpoint(f), (a,), (a,)),
}


QUICK = "jvp of jit", "vmap of jvp", "linearize of vmap", "grad of jvp"


@pytest.mark.parametrize("name", table(FORWARD, QUICK))
def test_the_default_in_forward_mode(name, key):
    """Alone, under vmap and jit, twice, and with reverse mode on either side: as plain JAX through the scan."""
    params, carry, xs = problem(CASES["gru"].cell, key, 5, (2,), D, dtype="float64")
    reset = np.arange(5)[:, None] % 3 == np.arange(2)

    def of(engine):
        how = {"reset": reset, "engine": engine}
        return FORWARD[name](lambda xs: weighed(jaxrnn.unroll(CASES["gru"].cell, params, carry, xs, **how)[1]), xs)

    same(of(None), of(engines.scan), tolerance("float64", 4 * T))


@pytest.mark.parametrize("engine", [engines.deferred, engines.checkpointed])
@pytest.mark.parametrize("cell", [CASES["lstm_projection_peepholes"].cell, CASES["stack"].cell], ids=["lstm", "stack"])
def test_nan_before_a_reset(cell, engine, key, rng):
    """That a loss leaves out reaches neither its value nor its gradients, which are those of the steps it counts."""
    params, carry, xs = problem(cell, key, T, (4,), D, dtype="float64")
    reset = np.zeros((T, 4), bool)
    reset[4, 0] = reset[T - 1, 1] = reset[3, 2] = True  # the last row has none
    counted = np.cumsum(reset, 0) > 0
    counted[:, 3] = True
    spoilt = np.where((np.arange(T) == 2)[:, None] & ~counted, np.nan, 1.0)[..., None]
    weights = rng.standard_normal((T, 4, 1))

    def loss(params, carry, xs):
        ys = jaxrnn.unroll(cell, params, carry, xs, reset=reset, engine=engine)[1]
        return weighed(jnp.where(counted[..., None], ys * weights, 0.0))

    grad = jax.jit(jax.value_and_grad(loss, (0, 1, 2)))
    assert np.isnan(spoilt).sum() == 3
    same(grad(params, carry, xs * spoilt), grad(params, carry, xs))


@jaxrnn.factory
def with_reset(hidden_size: int) -> jaxrnn.Cell:
    """Somebody's own, of the name of one of ours, whose inputs are not pairs."""
    return dataclasses.replace(jaxrnn.gru(hidden_size))


def test_a_factory_of_the_same_name(key):
    """Is no reset: the default goes by the factory, not by what it is called."""
    params, carry, xs = problem(with_reset(H), key, T, BATCH, D, dtype="float64")
    loss = lambda cell: jax.grad(lambda *a: weighed(jaxrnn.unroll(cell, *a)), (0, 2))  # noqa: E731
    same(loss(with_reset(H))(params, carry, xs), loss(jaxrnn.gru(H))(params, carry, xs), 0.0)


@quick_cases
def test_jvp_of_grad(case, given, rng):
    """Forward over reverse, which the default has: as the scan."""
    arguments, loss = given
    direction = normal_like(rng, arguments)
    along = [
        jax.jit(lambda a, f=f: jax.jvp(lambda a: jax.grad(f, argnums=(0, 1, 2))(*a), (a,), (direction,))[1])(arguments)
        for f in (loss, functools.partial(loss, engine=engines.scan))
    ]
    same(*along, tolerance("float64", 4 * T))


@quick_cases
def test_grad_of_grad(case, given, rng):
    """The Hessian times a direction, reverse over reverse, is the difference of gradients along it."""
    arguments, loss = given
    direction = normal_like(rng, arguments)
    grad = jax.jit(jax.grad(loss, argnums=(0, 1, 2)))
    second = jax.jit(jax.grad(lambda a: inner(jax.grad(loss, argnums=(0, 1, 2))(*a), direction)))(arguments)
    h = EPS ** (1 / 3)  # where truncation h² and rounding eps/h meet: both are then eps^(2/3)
    ends = [grad(*jax.tree.map(lambda a, d: a + sign * h * d, arguments, direction)) for sign in (1, -1)]  # noqa: B023
    same(second, jax.tree.map(lambda a, b: (a - b) / (2 * h), *ends), 100 * EPS ** (2 / 3))


@cases
def test_checkpoint(case, given):
    """jax.checkpoint around it changes memory, not gradients."""
    arguments, loss = given
    grads = [jax.jit(jax.grad(f, argnums=(0, 1, 2)))(*arguments) for f in (loss, jax.checkpoint(loss))]
    same(*grads)


@cases
def test_inside_a_scan(case, key, rng):
    """Windows of a long sequence in a scan, the carry handed on: one long unroll, by value and by gradient."""
    windows, size = 3, 4
    params, carry, xs = problem(case.cell, key, windows * size, BATCH, D, dtype="float64")
    weights = weights_like(rng, case.cell, params, carry, xs)

    def whole(params, carry, xs):
        return jaxrnn.unroll(case.cell, params, carry, xs)

    def by_window(params, carry, xs):
        cut = xs.reshape(windows, size, *xs.shape[1:])
        carry, ys = lax.scan(lambda c, window: jaxrnn.unroll(case.cell, params, c, window), carry, cut)
        return carry, ys.reshape(-1, *ys.shape[2:])

    outcomes = []
    for f in (by_window, whole):
        loss = lambda *a, f=f: (weighted(weights, outcome := f(*a)), outcome)  # noqa: E731
        outcomes.append(jax.jit(jax.value_and_grad(loss, argnums=(0, 1, 2), has_aux=True))(params, carry, xs))
    same(*outcomes, tolerance("float64", windows * size))


@pytest.mark.full
def test_two_devices():
    """Rows spread over two devices stay there and come out as on one, with a carry given and without one."""
    code = """
        import jax, numpy as np
        import jaxrnn
        from jax.sharding import AxisType, NamedSharding, PartitionSpec as P

        cell = jaxrnn.stack(jaxrnn.lstm(5), jaxrnn.gru(4))
        params = cell.init(jax.random.key(0), 3)
        carry = cell.initial_carry(params, (4,))
        xs = jax.random.normal(jax.random.key(1), (6, 4, 3))
        weights = np.random.default_rng(0).standard_normal((6, 4, 4))
        lengths, reset = np.array([6, 0, 3, 5]), np.random.default_rng(0).random((6, 4)) < 0.3

        def loss(params, carry, xs, lengths, reset):
            carry, ys = jaxrnn.unroll(cell, params, carry, xs, lengths=lengths, reset=reset)
            return (weights * ys).sum(), (carry, ys)

        run = jax.jit(jax.value_and_grad(loss, has_aux=True))
        expected = run(params, carry, xs, lengths, reset)
        for axis_type, carry_given in ("Auto", False), ("Explicit", True), ("Explicit", False):
            mesh = jax.make_mesh((2,), ("rows",), axis_types=(AxisType[axis_type],))
            put = lambda a, *spec: jax.device_put(a, NamedSharding(mesh, P(*spec)))
            begin = put(carry, "rows") if carry_given else None
            with jax.set_mesh(mesh):
                actual = run(put(params), begin, put(xs, None, "rows"), put(lengths, "rows"), put(reset, None, "rows"))
            ys = actual[0][1][1]
            assert len(ys.sharding.device_set) == 2 and ys.sharding.shard_shape(ys.shape)[1] == 2, ys.sharding
            for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
                np.testing.assert_allclose(a, b, rtol=0, atol=24 * np.finfo("float32").eps * np.abs(b).max())
        print("compared", len(jax.tree.leaves(actual)))
    """
    root = Path(__file__).parents[1]
    env = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=2", "PYTHONPATH": str(root)}
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["compared", "12"]


def by_hand(cell, params, carry, xs):
    """An engine as someone else might write it: a loop in Python."""
    ys = []
    for t in range(jax.tree.leaves(xs)[0].shape[0]):
        carry, y = cell.step(params, carry, jax.tree.map(lambda a: a[t], xs))  # noqa: B023 - used at once
        ys.append(y)
    return carry, jnp.stack(ys)


ENGINES = {"a user's own": by_hand, "scan, options": functools.partial(engines.scan, unroll=4)}


@pytest.mark.parametrize("engine", ENGINES.values(), ids=ENGINES)
@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
def test_engines(engine, reverse, key, rng):
    """An engine is any function of this signature, with options by functools.partial; each layer is run by it, once."""
    case, calls = CASES["stack"], []

    def counted(*arguments):
        calls.append(arguments)
        return engine(*arguments)

    params, carry, xs = problem(case.cell, key, T, BATCH, D, dtype="float64")
    how = rows(rng, *EVERYTHING, batch=BATCH)
    unroll = jax.jit(functools.partial(jaxrnn.unroll, case.cell, reverse=reverse, engine=counted))
    same(unroll(params, carry, xs, **how._asdict()), by_reference(case, params, carry, xs, how, reverse))
    assert len(calls) == 3


def test_one_trace_for_all_rows(key, rng):
    """Other lengths, masks, resets, numbers and a carry handed on do not trace or compile again."""
    case, traces = CASES["gru"], []

    def engine(*arguments):
        traces.append(arguments)
        return engines.scan(*arguments)

    unroll = jax.jit(jaxrnn.unroll, static_argnames=("cell", "reverse", "engine"))
    params, carry, xs = problem(case.cell, key, T, BATCH, D)
    for scale in (1, 2, 3):
        how = jax.tree.map(jnp.asarray, rows(rng, *EVERYTHING, batch=BATCH))
        cell = jaxrnn.gru(H)  # made anew, equal
        carry, _ = unroll(cell, params, carry, scale * xs, **how._asdict(), engine=engine)
    assert len(traces) == 1


def test_a_learned_carry_learns_from_fresh_rows_and_resets_only(key, rng):
    """Its gradient is that of what follows a start: none where a carry is given and no row restarts."""
    case = CASES["learned_carry"]
    params, carry, xs = problem(case.cell, key, T, BATCH, D, dtype="float64")
    never, once = (
        rows(rng, batch=BATCH)._replace(reset=np.arange(T)[:, None] == np.array([[at] * 3])) for at in (-1, 2)
    )
    grad = jax.jit(jax.grad(lambda p, carry, how: weighed(run.__wrapped__(case.cell, p, carry, xs, how, False)[1])))
    assert all((a == 0).all() for a in grad(params, carry, never)["initial_carry"])
    assert all((a != 0).all() for a in grad(params, carry, once)["initial_carry"])
    grad_fresh = jax.jit(jax.grad(lambda p: weighed(run.__wrapped__(case.cell, p, None, xs, None, False)[1])))(params)
    assert all((a != 0).all() for a in grad_fresh["initial_carry"])


def test_layers_start_apart(key):
    """Two layers of one kind and one size do not begin with the same numbers."""
    params = jaxrnn.stack(jaxrnn.gru(H), jaxrnn.gru(H)).init(key, H)
    for name in ("kernel", "recurrent_kernel"):
        assert (params["layer_0"][name] != params["layer_1"][name]).all(), name


def test_reset_of_a_learned_stack(key, rng):
    """Above a stack too, a reset begins with the learned carry."""
    case = learned(stacked(row("gru"), row("elman")))
    params, carry, xs = problem(case.cell, key, T, BATCH, D, dtype="float64")
    how = rows(rng, "reset", batch=BATCH)
    same(run(case.cell, params, carry, xs, how, False), by_reference(case, params, carry, xs, how, False))


@pytest.mark.parametrize("name", ["gru", "plain", "stack_learned_carry"])
def test_a_held_nan_reaches_no_gradient(name, key, rng):
    """A row whose carry is NaN and whose steps are all skipped is not there, for the gradient of params either."""
    case = CASES[name]
    params, carry, xs = problem(case.cell, key, T, BATCH, D, dtype="float64")
    carry = jax.tree.map(lambda a: a.at[0].set(jnp.nan), carry)
    mask = rows(rng, batch=BATCH).mask & (np.arange(3) > 0)
    grads = jax.grad(lambda p: weighed(jaxrnn.unroll(case.cell, p, carry, xs, mask=mask)[1]))(params)
    assert all(np.isfinite(a).all() for a in jax.tree.leaves(grads))
