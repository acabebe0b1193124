"""from_flax and to_flax beside flax itself: values, gradients, training, and what modules say."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sides import B, D, H, T, assert_same, both_dtypes, draw, with_gradients
from support import assert_close, tolerance, weighed
from training import STEPS, least_moved, slack, trained

import jaxrnn
from jaxrnn import LSTMCarry, interop

nn = pytest.importorskip("flax.linen", reason="flax is not installed")
nnx = pytest.importorskip("flax.nnx", reason="flax is not installed")

WAYS = ("forward", "backward")
ODD = {"activation_fn": nn.soft_sign, "gate_fn": nn.hard_sigmoid}
OURS = {"activation": "soft_sign", "gate_activation": "hard_sigmoid"}

# The cell of flax and its options; ours and its options; what flax's arrays do not say.
CELLS = {
    "linen_simple": ("linen", "SimpleCell", {}, jaxrnn.elman, {}, {"activation": "tanh"}),
    "linen_relu": (
        "linen", "SimpleCell", {"activation_fn": nn.relu}, jaxrnn.elman, {"activation": "relu"}, {"activation": "relu"}
    ),
    "linen_residual": (
        "linen", "SimpleCell", {"residual": True}, jaxrnn.elman, {}, {"activation": "tanh", "residual": True}
    ),
    "linen_lstm": ("linen", "LSTMCell", {}, jaxrnn.lstm, {}, {}),
    "linen_optimized": ("linen", "OptimizedLSTMCell", {}, jaxrnn.lstm, {}, {}),
    "linen_optimized_odd": ("linen", "OptimizedLSTMCell", ODD, jaxrnn.lstm, OURS, OURS),
    "linen_gru": ("linen", "GRUCell", {}, jaxrnn.gru, {}, {}),
    "linen_mgu": ("linen", "MGUCell", {}, jaxrnn.mgu_reset_after, {}, {}),
    "linen_mgu_odd": ("linen", "MGUCell", ODD, jaxrnn.mgu_reset_after, OURS, OURS),
    "linen_gated": ("linen", "MGUCell", {"reset_gate": False}, jaxrnn.gated, {}, {}),
    "linen_gated_odd": ("linen", "MGUCell", {"reset_gate": False, **ODD}, jaxrnn.gated, OURS, OURS),
    "nnx_simple": ("nnx", "SimpleCell", {}, jaxrnn.elman, {}, {"activation": "tanh"}),
    "nnx_residual": (
        "nnx", "SimpleCell", {"residual": True}, jaxrnn.elman, {}, {"activation": "tanh", "residual": True}
    ),
    "nnx_lstm": ("nnx", "LSTMCell", {}, jaxrnn.lstm, {}, {}),
    "nnx_optimized": ("nnx", "OptimizedLSTMCell", {}, jaxrnn.lstm, {}, {}),
    "nnx_gru": ("nnx", "GRUCell", {}, jaxrnn.gru, {}, {}),
    "nnx_gru_odd": ("nnx", "GRUCell", ODD, jaxrnn.gru, OURS, OURS),
}  # fmt: skip
ALL = pytest.mark.parametrize("name", CELLS)


def rnn(name, D=D, dtype="float64", reverse=False):
    """flax's RNN of that cell, time first."""
    api, kind, options, *_ = CELLS[name]
    if api == "linen":
        return nn.RNN(getattr(nn, kind)(H, param_dtype=dtype, **options), time_major=True, return_carry=True)
    cell = getattr(nnx, kind)(D, H, dtype=dtype, param_dtype=dtype, rngs=nnx.Rngs(0), **options)
    return nnx.RNN(cell, time_major=True, return_carry=True)


def both(name, D=D, merge=None, dtype="float64"):
    flax = nn if CELLS[name][0] == "linen" else nnx
    options = {} if merge is None else {"merge_fn": merge}
    return flax.Bidirectional(rnn(name, D, dtype), rnn(name, D, dtype), time_major=True, return_carry=True, **options)


def shapes(module, D=D, dtype="float64"):
    """The params of a module, as shapes and types under flax's names."""
    if isinstance(module, nnx.Module):
        return jax.tree.map(
            lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype), nnx.to_pure_dict(nnx.state(module, nnx.Param))
        )
    return jax.eval_shape(module.init, jax.random.key(0), jax.ShapeDtypeStruct((T, B, D), dtype))["params"]


def flax_carry(carry):
    if isinstance(carry, dict):
        return tuple(flax_carry(carry[way]) for way in WAYS)
    return (carry.c, carry.h) if isinstance(carry, LSTMCarry) else carry.h


def our_carry(like, last):
    if isinstance(like, dict):
        return {way: our_carry(like[way], one) for way, one in zip(WAYS, last, strict=True)}
    return LSTMCarry(h=last[1], c=last[0]) if isinstance(like, LSTMCarry) else type(like)(last)


def runner(module):
    """(params, carry, xs) -> (carry, ys) of a module of flax, with our carries."""
    if isinstance(module, nnx.Module):
        graph, state, rest = nnx.split(module, nnx.Param, ...)

        def call(params, xs, initial):
            filled = jax.tree.map(lambda a: a, state)
            nnx.replace_by_pure_dict(filled, params)
            return nnx.merge(graph, filled, rest)(xs, initial_carry=initial)

    else:

        def call(params, xs, initial):
            return module.apply({"params": params}, xs, initial_carry=initial)

    def run(params, carry, xs):
        last, ys = call(params, xs, flax_carry(carry))
        return our_carry(carry, last), ys

    return run


def holding(module, params):
    """The module with these params: of linen, bound to them."""
    if isinstance(module, nnx.Module):
        nnx.update(module, params)
        return module
    return module.bind({"params": params})


def carry_of(cell, params):
    return jax.eval_shape(lambda p: cell.initial_carry(p, (B,)), params)


def expected(name, dtype="float64"):
    *_, make, options, asked = CELLS[name]
    return make(H, param_dtype=dtype, **options), asked


@both_dtypes
@ALL
def test_theirs(name, dtype, rng):
    """Their arrays in ours: outputs, last carry, and gradients to their arrays, through the conversion."""
    module = rnn(name, dtype=dtype)
    cell, asked = expected(name, dtype)
    like = shapes(module, dtype=dtype)

    def ours(weights, carry, xs):
        made, params = interop.from_flax(weights, **asked)
        assert made == cell
        return jaxrnn.unroll(made, params, carry, xs)

    carry = carry_of(cell, jax.eval_shape(lambda w: interop.from_flax(w, **asked)[1], like))
    assert_same(rng, ours, with_gradients(runner(module)), like, carry, dtype)


@ALL
def test_modules_say_the_rest(name, rng):
    """A module gives what its arrays give with what they do not say; arrays come back to the bit."""
    module = rnn(name)
    weights = draw(rng, shapes(module), "float64")
    cell, params = interop.from_flax(holding(module, weights))
    wanted, asked = expected(name)
    assert cell == wanted
    assert_close(params, interop.from_flax(weights, **asked)[1], 0)
    back = interop.to_flax(cell, params, into=holding(rnn(name), draw(rng, shapes(module), "float64")))
    found = nnx.to_pure_dict(nnx.state(back, nnx.Param)) if isinstance(back, nnx.Module) else back.variables["params"]
    residual = name.endswith("residual")  # U + 1 - 1
    jax.tree.map(np.testing.assert_allclose if residual else np.testing.assert_array_equal, found, weights)
    bare = interop.from_flax(holding(module, weights).cell)
    assert bare[0] == cell
    assert_close(bare[1], params, 0)


@ALL
def test_ours(name, rng):
    """Our params in theirs: values, and gradients to ours through the conversion, with a GRU's three biases."""
    module = rnn(name)
    cell, _ = expected(name)
    api, kind, options, *_ = CELLS[name]
    like = jax.eval_shape(lambda k: cell.init(k, D), jax.random.key(0))
    kept = {}
    if name.startswith("nnx_gru"):
        kept = {"recurrent_bias": np.concatenate([rng.standard_normal(2 * H), np.zeros(H)])}
        del like["recurrent_bias"]

    def theirs(params, carry, xs):
        if options.get("residual"):
            params = params | {"recurrent_kernel": params["recurrent_kernel"] - jnp.eye(H)}
        return runner(module)(interop.to_flax(cell, params | kept, api=api, kind=kind), carry, xs)

    def ours(params, carry, xs):
        return jaxrnn.unroll(cell, params | kept, carry, xs)

    assert_same(rng, ours, with_gradients(theirs), like, carry_of(cell, like | kept), "float64")


@ALL
def test_a_module_is_filled(name, rng):
    """into= makes a module that computes the same when called, of one direction and of two."""
    cell, _ = expected(name)
    two = jaxrnn.bidirectional(cell, cell, merge="sum")
    xs = rng.standard_normal((T, B, D))
    for ours, module in (cell, rnn(name)), (two, both(name, merge=jnp.add)):
        params = draw(rng, jax.eval_shape(lambda k, c=ours: c.init(k, D), jax.random.key(0)), "float64")
        if name.startswith("nnx_gru"):
            for one in (params,) if ours is cell else params.values():
                one["recurrent_bias"][2 * H :] = 0
        filled = interop.to_flax(ours, params, into=module)
        assert (filled is module) == name.startswith("nnx")
        carry, ys = jaxrnn.unroll(ours, params, None, xs)
        last, zs = filled(xs)
        assert_close((our_carry(carry, last), zs), (carry, ys), tolerance("float64", 2 * T))


@pytest.mark.parametrize("name", ["linen_lstm", "linen_gru", "nnx_optimized", "nnx_gru"])
def test_a_stack_with_directions(name, rng):
    modules = [both(name), rnn(name, 2 * H)]
    weights = [draw(rng, shapes(m, d), "float64") for m, d in zip(modules, (D, 2 * H), strict=True)]
    cell, params = interop.from_flax(weights)
    one, _ = expected(name)
    assert cell == jaxrnn.stack(jaxrnn.bidirectional(one, one), one)
    again, same = interop.from_flax([holding(m, w) for m, w in zip(modules, weights, strict=True)])
    assert again == cell
    assert_close(same, params, 0)
    xs = rng.standard_normal((T, B, D))
    carry = draw(rng, carry_of(cell, params), "float64")
    last, ys = jaxrnn.unroll(cell, params, carry, xs)
    for i, (module, arrays) in enumerate(zip(modules, weights, strict=True)):
        new, xs = jax.jit(runner(module))(arrays, carry[f"layer_{i}"], xs)
        assert_close(new, last[f"layer_{i}"], tolerance("float64", 2 * T))
    assert_close(ys, xs, tolerance("float64", 2 * T))


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("name", ["linen_simple", "linen_residual", "linen_lstm", "linen_gru", "linen_mgu",
                                  "linen_gated", "nnx_simple", "nnx_lstm", "nnx_optimized", "nnx_gru"])  # fmt: skip
def test_training(name, optimizer, rng):
    """Ten steps on both sides end at the same weights. Of a GRU the biases that flax has not are frozen."""
    module = rnn(name)
    weights = draw(rng, shapes(module), "float64")
    _, asked = expected(name)
    cell, params = interop.from_flax(weights, **asked)
    xs, run = rng.standard_normal((T, B, D)), runner(module)
    carry = draw(rng, carry_of(cell, params), "float64")
    weights = jax.tree.map(jnp.asarray, weights)

    def frozen(updates):
        shared = {"linen_gru": 2 * H, "nnx_gru": 3 * H}.get(name, 0)
        if shared:
            updates["recurrent_bias"] = updates["recurrent_bias"].at[:shared].set(0)
        return updates

    def loss(w):
        return weighed(run(w, carry, xs))

    theirs = trained(optimizer, loss, weights)
    ours = trained(optimizer, lambda p: weighed(jaxrnn.unroll(cell, p, carry, xs)), params, frozen)
    assert least_moved(ours, params) > 1e-2 or name == "nnx_gru", "a parameter did not move"
    assert_close(ours, interop.from_flax(theirs, **asked)[1], slack(optimizer, loss, weights))


def test_their_optimizer(rng):
    """nnx.Optimizer on a module that to_flax filled; back by from_flax."""
    cell = jaxrnn.lstm(H, param_dtype="float64")
    params = draw(rng, jax.eval_shape(lambda k: cell.init(k, D), jax.random.key(0)), "float64")
    xs = rng.standard_normal((T, B, D))
    model = interop.to_flax(cell, params, into=rnn("nnx_optimized"))
    optimizer = nnx.Optimizer(model, optax.adam(0.01), wrt=nnx.Param)
    tx = optax.adam(0.01)
    memory = tx.init(params)
    for _ in range(STEPS):
        optimizer.update(model, nnx.grad(lambda m: weighed(m(xs)[1]))(model))
        updates, memory = tx.update(jax.grad(lambda p: weighed(jaxrnn.unroll(cell, p, None, xs)[1]))(params), memory)
        params = optax.apply_updates(params, updates)
    made, back = interop.from_flax(model)
    assert made == cell
    assert_close(back, params, 100 * tolerance("float64", 2 * T))


@settings(max_examples=12, derandomize=True, deadline=None)
@given(data=st.data())
def test_drawn(data):
    """Random cells, layers, directions, sizes and merges: values and carries; the arrays come back to the bit."""
    api = data.draw(st.sampled_from(["linen", "nnx"]))
    flax = nn if api == "linen" else nnx
    rng = np.random.default_rng(data.draw(st.integers(0, 2**31)))
    batch, width, xs_size = (data.draw(st.integers(1, 4)) for _ in range(3))
    modules, weights, merge = [], [], data.draw(st.sampled_from([None, jnp.add]))
    D = xs_size
    for _ in range(data.draw(st.integers(1, 3))):
        two = data.draw(st.booleans())
        rnns = []
        for _ in range(1 + two):
            kind = data.draw(
                st.sampled_from([c[1] for c in CELLS.values() if c[0] == api and not c[2].get("residual")])
            )
            options = {"activation_fn": data.draw(st.sampled_from([nn.tanh, nn.soft_sign, jnp.sin]))}
            if kind == "MGUCell":
                options["reset_gate"] = data.draw(st.booleans())
            if kind != "SimpleCell":
                options["gate_fn"] = data.draw(st.sampled_from([nn.sigmoid, nn.hard_sigmoid]))
            if api == "linen":
                cell = getattr(nn, kind)(width, param_dtype="float64", **options)
            else:
                kinds = {"dtype": "float64", "param_dtype": "float64", "rngs": nnx.Rngs(0)}
                cell = getattr(nnx, kind)(D, width, **kinds, **options)
            rnns.append(flax.RNN(cell, time_major=True, return_carry=True))
        more = {} if merge is None else {"merge_fn": merge}
        module = flax.Bidirectional(*rnns, **more, time_major=True, return_carry=True) if two else rnns[0]
        weights.append(draw(rng, shapes(module, D), "float64"))
        modules.append(holding(module, weights[-1]))
        D = 2 * width if two and merge is None else width
    cell, params = interop.from_flax(modules)
    xs = rng.standard_normal((T, batch, xs_size))
    carry, ys = jaxrnn.unroll(cell, params, None, xs)
    for i, module in enumerate(modules):
        one = carry if len(modules) == 1 else carry[f"layer_{i}"]
        last, xs = module(xs)
        assert_close(our_carry(one, last), one, tolerance("float64", 2 * T * len(modules)))
    assert_close(ys, xs, tolerance("float64", 2 * T * len(modules)))
    filled = interop.to_flax(cell, params, into=modules)
    for module, arrays in zip(filled, weights, strict=True):
        found = nnx.to_pure_dict(nnx.state(module, nnx.Param)) if api == "nnx" else module.variables["params"]
        jax.tree.map(np.testing.assert_array_equal, found, arrays)
    assert interop.from_flax(filled)[0] == cell


class Mine(nn.GRUCell):
    """A user's own cell, whose step may be another."""


def bound(module, D=D):
    return module.bind({"params": jax.tree.map(lambda a: np.ones(a.shape, a.dtype), shapes(module, D, "float32"))})


nnx_gru = functools.partial(nnx.GRUCell, D, H)
MODULES = {
    "unbound": (lambda: nn.RNN(nn.GRUCell(H)), {}, TypeError, r"a module of linen, which has none: pass module.bind"),
    "reverse": (lambda: bound(nn.RNN(nn.GRUCell(H), reverse=True)), {}, TypeError, r"got RNN\(reverse=True\): a cell"),
    "carry_init": (
        lambda: nnx.RNN(nnx_gru(carry_init=jax.nn.initializers.ones, rngs=nnx.Rngs(0))), {}, TypeError,
        r"expected a carry that starts at 0, got GRUCell\(carry_init=ones\); pass the carry to unroll, or",
    ),
    "conv": (lambda: nn.ConvLSTMCell(3, (2,)), {}, TypeError, "got a ConvLSTMCell, whose arrays are not"),
    "own": (lambda: bound(nn.RNN(Mine(H))), {}, TypeError, "expected an RNN, Bidirectional, .* of flax, got .*Mine"),
    "dense": (lambda: nnx.Linear(3, 4, rngs=nnx.Rngs(0)), {}, TypeError, "expected an RNN, Bidirectional, .*Linear"),
    "activation": (
        lambda: nnx.RNN(nnx_gru(rngs=nnx.Rngs(0))), {"activation": "relu"}, ValueError,
        "activation: expected None or 'tanh', as the module says, got 'relu'",
    ),
    "merge": (
        lambda: nnx.Bidirectional(*(nnx.RNN(nnx_gru(rngs=nnx.Rngs(0))) for _ in range(2))), {"merge": "sum"},
        ValueError,
        "merge: expected None or 'concat', as the module says, got 'sum'",
    ),
    "random state": (
        lambda: nnx.state(nnx.RNN(nnx_gru(rngs=nnx.Rngs(0)))), {}, ValueError, "random state too: pass nnx.state",
    ),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:carry_init is provided")
@pytest.mark.parametrize("fault", MODULES)
def test_modules_that_are_refused(fault):
    make, options, error, message = MODULES[fault]
    with pytest.raises(error, match="weights: .*" + message if error is TypeError else message):
        interop.from_flax(make(), **options)


INTO = {
    "kind": (jaxrnn.gru(H), lambda: nn.RNN(nn.LSTMCell(H)), TypeError, "into: expected kind='GRUCell', as gru"),
    "reset_gate": (jaxrnn.gated(H), lambda: nn.RNN(nn.MGUCell(H)), TypeError, "into: expected cell='gated', as gated"),
    "size": (jaxrnn.gru(H), lambda: nn.RNN(nn.GRUCell(3)), ValueError, r"expected size=4, as gru\(4\) has, got 3"),
    "activation": (
        jaxrnn.elman(H, activation="relu"), lambda: nn.RNN(nn.SimpleCell(H)), TypeError,
        r"into: expected activation='relu', as elman\(4, activation='relu'\) has, got 'tanh' of SimpleCell",
    ),
    "dtype": (
        jaxrnn.gru(H), lambda: nn.RNN(nn.GRUCell(H, dtype="bfloat16")), TypeError, "expected dtype=dtype.'float32'",
    ),
    "input": (
        jaxrnn.gru(H), lambda: nnx.RNN(nnx.GRUCell(3, H, rngs=nnx.Rngs(0))), ValueError,
        r"into: expected a module with cell/dense_i/kernel float32\(5, 12\), got float32\(3, 12\)",
    ),
    "types": (
        jaxrnn.gru(H), lambda: nnx.RNN(nnx_gru(dtype="float32", param_dtype="float64", rngs=nnx.Rngs(0))),
        ValueError,
        r"into: expected a module with .*cell/dense_h/kernel float32\(4, 12\), got float64\(4, 12\)",
    ),
    "directions": (
        jaxrnn.gru(H), lambda: nn.Bidirectional(nn.RNN(nn.GRUCell(H)), nn.RNN(nn.GRUCell(H))), TypeError,
        "into: expected an RNN or a cell, as the layer has 1 directions, got Bidirectional",
    ),
    "layers": (jaxrnn.gru(H), lambda: [nn.RNN(nn.GRUCell(H))] * 2, ValueError, "into: expected 1 layers, .* got 2"),
    "merge": (
        jaxrnn.bidirectional(jaxrnn.gru(H), jaxrnn.gru(H)),
        lambda: nn.Bidirectional(nn.RNN(nn.GRUCell(H)), nn.RNN(nn.GRUCell(H)), merge_fn=jnp.add), TypeError,
        "into: expected a merge_fn for merge='concat', got 'sum'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", INTO)
def test_modules_that_do_not_fit(fault, key):
    cell, make, error, message = INTO[fault]
    params = jax.tree.map(jnp.ones_like, cell.init(key, D))
    if cell.name == "gru":
        params["recurrent_bias"] = jnp.zeros(3 * H)
    with pytest.raises(error, match=message):
        interop.to_flax(cell, params, into=make())


def test_nothing_is_filled_if_something_does_not_fit(key):
    cell = jaxrnn.stack(jaxrnn.lstm(H), jaxrnn.lstm(H))
    make = functools.partial(nnx.OptimizedLSTMCell, rngs=nnx.Rngs(0))
    first, second = make(D, H), make(3, H)
    before = np.array(first.dense_i.kernel[...])
    with pytest.raises(ValueError, match="into: expected a module with dense_i/kernel"):
        interop.to_flax(cell, cell.init(key, D), into=[first, second])
    np.testing.assert_array_equal(first.dense_i.kernel[...], before)


def test_no_memory_is_shared(rng):
    module = rnn("nnx_optimized")
    cell, params = interop.from_flax(module)
    kept = jax.tree.map(np.array, params)
    module.cell.dense_i.kernel[...] = jnp.ones((D, 4 * H))
    assert_close(params, kept, 0)
    mine = jax.tree.map(np.array, params)
    interop.to_flax(cell, mine, into=module)
    mine["kernel"][:] = 7
    np.testing.assert_array_equal(module.cell.dense_i.kernel[...], kept["kernel"])
