"""What runs a cell over time is asked as `unroll` is, and refuses what `unroll` refuses in the same words."""

from __future__ import annotations

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import assert_close, problem, tolerance

import jaxrnn
from jaxrnn import diagnostics

T, B, D, H = 6, 2, 3, 4
ROWS = ("lengths", "mask", "reset", "reverse", "engine", "key")
# Each with what it takes beside, and which of the options it has no use for.
ASKED = {
    "explain": (jaxrnn.explain, {}, ()),
    "burn_in": (jaxrnn.burn_in, {"steps": 2}, ("reverse",)),
    "gradient_norms": (diagnostics.gradient_norms, {"loss": lambda carry, ys: ys.sum()}, ()),
    "gate_trace": (diagnostics.gate_trace, {}, ()),
    "jacobians": (diagnostics.jacobians, {}, ("reverse", "engine", "key")),
    "memory_curve": (diagnostics.memory_curve, {"delays": 1, "warm_up": 1}, ROWS[:4]),
    "lyapunov_exponents": (diagnostics.lyapunov_exponents, {}, ROWS),
}


@pytest.mark.parametrize("name", ASKED)
def test_options_have_one_name_one_order_and_one_meaning(name):
    call, _, without = ASKED[name]
    ours, unrolled = (inspect.signature(f).parameters for f in (call, jaxrnn.unroll))
    shared = [parameter for parameter in unrolled.values() if parameter.name not in without]
    assert [parameter for parameter in ours.values() if parameter.name in unrolled] == shared
    assert not any(parameter.kind is parameter.VAR_KEYWORD for parameter in ours.values())


CELL = jaxrnn.gru(H)
WRONG = {
    "lengths": {"lengths": jnp.array([T, T + 1])},
    "lengths of another batch": {"lengths": jnp.array([T, T, T])},
    "lengths of float": {"lengths": jnp.array([1.0, 2.0])},
    "mask": {"mask": jnp.ones((T, B))},
    "mask against lengths": {"mask": jnp.ones((T, B), bool), "lengths": jnp.array([T, 1])},
    "reset": {"reset": jnp.zeros((B, T), bool)},
    "reverse": {"reverse": 1},
    "engine": {"engine": "scan"},
    "key": {"key": 3},
    "xs": {"xs": jnp.zeros((T, B, D + 1), "float32")},
    "xs without time": {"xs": jnp.zeros(D, "float32")},
    "carry": {"carry": jnp.zeros((B, H), "float32")},
    "cell": {"cell": jaxrnn.gru},
}


def said(call, more, wrong):
    how = {"cell": CELL, "params": CELL.init(jax.random.key(0), D), "carry": None, "xs": jnp.ones((T, B, D), "float32")}
    with pytest.raises((TypeError, ValueError)) as raised:
        call(**{**how, **more, **wrong})
    return raised.type, str(raised.value)


@pytest.mark.parametrize("fault", WRONG)
def test_what_is_wrong_is_said_in_the_same_words(fault):
    expected = said(jaxrnn.unroll, {}, WRONG[fault])
    assert expected[1].startswith(fault.split()[0] + ": expected") or fault == "mask against lengths"
    takes = [name for name, (_, _, without) in ASKED.items() if not set(without) & set(WRONG[fault])]
    assert len(takes) > 2
    for name in takes:
        call, more, _ = ASKED[name]
        assert said(call, more, WRONG[fault]) == expected, name


def traced(cell, params, carry, xs, **rows):
    return diagnostics.gate_trace(cell, params, carry, xs, **rows)


def norms(cell, params, carry, xs, **rows):
    return diagnostics.gradient_norms(cell, params, carry, xs, lambda carry, ys: (ys**2).sum(), **rows)


@pytest.mark.parametrize("look", [traced, norms])
@pytest.mark.full
def test_what_looks_on_hands_every_option_on(look, key, rng):
    """Each against the call that needs none: sequences turned by hand, cut where they restart, and cut short."""
    cell, TOL = jaxrnn.stack(jaxrnn.gru(H), jaxrnn.elman(H), dropout=0.5), tolerance("float64", 2 * T)
    params, carry, xs = problem(cell, key, T=T, dtype="float64")
    run = jax.jit(
        lambda carry, xs, **rows: look(cell, params, carry, xs, **rows), static_argnames=("reverse", "engine")
    )
    plain, turned = run(carry, xs), run(carry, jnp.flip(xs, 0))
    assert_close(run(carry, xs, reverse=True), jax.tree.map(lambda a: np.flip(a, 0), turned), TOL)
    cut = jax.tree.map(lambda a, b: np.concatenate([a, b]), run(carry, xs[:4]), run(None, xs[4:]))
    assert_close(run(carry, xs, reset=(jnp.arange(T) == 4)[:, None] & jnp.ones((T, B), bool)), cut, TOL)
    short = jax.tree.map(lambda a: np.concatenate([a, np.zeros((2, *a.shape[1:]))]), run(carry, xs[:4]))
    assert_close(run(carry, xs, lengths=jnp.full(B, 4)), short, TOL)
    assert_close(run(carry, xs, mask=(jnp.arange(T) < 4)[:, None] & jnp.ones((T, B), bool)), short, TOL)
    noisy = [run(carry, xs, key=k)["layer_1"] for k in jax.random.split(key)]
    assert all(np.abs(a - b).max() > 1e-3 for a, b in zip(*map(jax.tree.leaves, noisy), strict=True))
    asked = []

    def engine(*args):
        asked.append(args[0])
        return jaxrnn.engines.scan(*args)

    assert_close(run(carry, xs, engine=engine), plain, TOL)
    assert len(asked) >= 2, "an engine that was not asked"


def test_rows_of_shapes_alone_can_be_explained():
    """Where nothing is at hand to be looked at, as values are, what fits by shape passes."""
    shapes = {"lengths": ((B,), "int32"), "mask": ((T, B), bool), "reset": ((T, B), bool)}
    rows = {name: jax.ShapeDtypeStruct(*shape) for name, shape in shapes.items()}
    params, xs = CELL.init(jax.random.key(0), D), jax.ShapeDtypeStruct((T, B, D), "float32")
    assert jaxrnn.explain(CELL, params, None, xs, **rows).forward_flops == 2 * B * T * (D + H) * 3 * H


V, M = 5, jaxrnn.models
FEATURES, SYMBOLS, SERIES = jnp.ones((T, B, D), "float32"), jnp.zeros((T, B), int), jnp.ones((T, B, 1), "float32")
# Each with what its `init` takes beside the key, and xs and targets for its loss.
CARRYING = {
    "language_model": (M.language_model(CELL, V), (), (SYMBOLS, SYMBOLS)),
    "classifier": (M.classifier(CELL, 3), (D,), (FEATURES, jnp.zeros(B, int))),
    "tagger": (M.tagger(CELL, 3), (D,), (FEATURES, SYMBOLS)),
    "forecaster": (M.forecaster(CELL, 2, scaling=None), (), (SERIES,)),
}


def test_every_model_with_a_carry_is_here():
    models = {type(model) for model, _, _ in CARRYING.values()}
    assert models == {kind for kind in vars(M).values() if hasattr(kind, "initial_carry")}


@pytest.mark.parametrize("name", CARRYING)
@pytest.mark.full
def test_a_model_with_a_carry_is_asked_as_a_cell_is(name):
    """(params, carry, x or xs, ...) -> (carry, out), and (loss, carry); a carry of None is the initial one."""
    model, sizes, (xs, *targets) = CARRYING[name]
    params = model.init(jax.random.key(0), *sizes)
    for method in model.apply, model.loss, model.step:
        first, second, third, *_ = inspect.signature(method).parameters.values()
        assert (first.name, second.name) == ("params", "carry")
        assert all(p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD for p in (first, second, third))
    begin = model.initial_carry(params, (B,))
    carry, out = jax.jit(model.apply)(params, None, xs)
    assert_close(model.apply(params, begin, xs), (carry, out), tolerance("float32", T))
    assert jax.tree.map(jnp.shape, carry) == jax.tree.map(jnp.shape, begin)
    (loss, after), grads = jax.value_and_grad(model.loss, has_aux=True)(params, None, xs, *targets)
    assert loss.shape == () and jax.tree.map(jnp.shape, grads) == jax.tree.map(jnp.shape, params)
    assert_close(after, carry, tolerance("float32", T))
    assert_close(model.loss(params, begin, xs, *targets), (loss, after), tolerance("float32", T))
