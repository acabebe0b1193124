"""Wrappers on what they cannot wrap, and the whole message that says why: when made, or when first traced."""

import functools

import jax
import jax.numpy as jnp
import pytest
from wrong import GRU, STACK, B, D, T, refuses

import jaxrnn

PLAIN = jaxrnn.Cell(GRU.init, GRU.start, GRU.input, plain_step=lambda params, carry, x: (carry, carry.h))
BOTH = jaxrnn.bidirectional(GRU, GRU)
EMITS = jaxrnn.emit_carry(GRU)
PARTS = (
    "expected a cell in three parts (drive, stages, output), to reach its state within a step, got <Cell made by hand>"
)
ONE = (
    "expected y of emit_carry(gru(4)) as one array, got tuple(0: float32({0}), 1.h: float32({0})); "
    "put what makes more of it, such as emit_carry, on the outside"
)
SIZES = (
    "expected y of the shape of x, [..., H] with H=D, got x float32(5, 2, 3) and y float32(5, 2, 4) of gru(4); "
    "projection(cell, D) gives y that size"
)
TAKES_ONE = {
    "bottleneck": (2,),
    "clip_carry": (0.1,),
    "clip_gradient": (0.1,),
    "cut_gradient": (),
    "dropout": (),
    "emit_carry": (),
    "highway": (),
    "layer_norm": (),
    "learned_carry": (),
    "precision": (),
    "projection": (2,),
    "recurrent_dropout": (0.1,),
    "residual": (),
    "variational_dropout": (),
    "weight_drop": (0.1,),
    "weight_norm": (),
    "with_mask": (),
    "with_reset": (),
    "zoneout": (),
}


@pytest.mark.parametrize("name", TAKES_ONE)
def test_what_is_no_cell(name):
    """The factory itself, a name, nothing."""
    make, more = getattr(jaxrnn, name), TAKES_ONE[name]
    wanted = "cell: expected a cell such as jaxrnn.lstm(256), got "
    for wrong, shown in ("lstm", "'lstm'"), (jaxrnn.lstm, "lstm; write lstm(...)"), (None, "None"):
        refuses(TypeError, wanted + shown, make, wrong, *more)


def test_every_wrapper_of_one_cell_is_asked():
    several = {"bidirectional", "deep_transition", "fast_slow", "hgrn_stack", "stack", "time_distributed"}
    assert {*TAKES_ONE, *several} == set(jaxrnn.wrappers.__all__)


INSIDE = {
    "clip_carry": lambda cell: jaxrnn.clip_carry(cell, 0.1),
    "clip_gradient": lambda cell: jaxrnn.clip_gradient(cell, 0.1),
    "cut_gradient": jaxrnn.cut_gradient,
    "recurrent_dropout": lambda cell: jaxrnn.recurrent_dropout(cell, 0.1),
    "zoneout": lambda cell: jaxrnn.zoneout(cell, h=0.1),
}


@pytest.mark.parametrize("name", INSIDE)
def test_a_plain_step_has_no_inside(name):
    """Alone, and as a layer of a stack."""
    for cell in PLAIN, jaxrnn.stack(GRU, PLAIN):
        refuses(TypeError, f"{name}: {PARTS}, a plain step", lambda cell=cell: traced(INSIDE[name](cell), 4))


def traced(cell, size=D, xs=None):
    """An unroll with a key, by shapes alone."""
    xs = jax.ShapeDtypeStruct((T, B, size), "float32") if xs is None else xs
    params = jax.eval_shape(lambda key: cell.init(key, size), jax.random.key(0))
    jax.eval_shape(lambda params, xs: jaxrnn.unroll(cell, params, None, xs, key=jax.random.key(1)), params, xs)


def flagged(make):
    shapes = jax.ShapeDtypeStruct((T, B, D), "float32"), jax.ShapeDtypeStruct((T, B), "bool")
    traced(make(BOTH), D, shapes)


def stepped(cell):
    params = jax.eval_shape(lambda key: cell.init(key, D), jax.random.key(0))
    jax.eval_shape(lambda p: cell.step(p, cell.initial_carry(p), jnp.zeros(D, "float32")), params)


both = jaxrnn.bidirectional(GRU, GRU)

WRONG = {
    "layer_norm of a plain step": (lambda: jaxrnn.layer_norm(PLAIN), TypeError, f"layer_norm: {PARTS}, a plain step"),
    "layer_norm of a stack": (
        lambda: jaxrnn.layer_norm(STACK),
        TypeError,
        "layer_norm: expected one cell, got stack(gru(4)); it goes inside, around each cell",
    ),
    "emit_carry of a stack": (
        lambda: jaxrnn.emit_carry(STACK),
        TypeError,
        "emit_carry: expected a single cell, got stack(gru(4)); it goes inside, as in zoneout(emit_carry(cell))",
    ),
    "residual, sizes": (lambda: traced(jaxrnn.residual(GRU)), ValueError, f"residual: {SIZES}"),
    "highway, sizes": (lambda: traced(jaxrnn.highway(GRU)), ValueError, f"highway: {SIZES}"),
    "residual of more than y": (
        lambda: traced(jaxrnn.residual(EMITS), 4),
        TypeError,
        "residual: " + ONE.format("5, 2, 4"),
    ),
    "highway of more than y": (
        lambda: traced(jaxrnn.highway(EMITS), 4),
        TypeError,
        "highway: " + ONE.format("5, 2, 4"),
    ),
    "projection of more than y": (
        lambda: traced(jaxrnn.projection(EMITS, 2)),
        TypeError,
        "projection: " + ONE.format("4,"),
    ),
    "a layer above more than y": (lambda: traced(jaxrnn.stack(EMITS, GRU)), TypeError, "stack: " + ONE.format("4,")),
    "projection to nothing": (
        lambda: jaxrnn.projection(GRU, 0),
        ValueError,
        "size: expected an int of at least 1, got 0",
    ),
    "bottleneck of no input": (
        lambda: jaxrnn.bottleneck(GRU, 2).init(jax.random.key(0), 0),
        ValueError,
        "input_size: expected an int of at least 1, got 0",
    ),
    "bottleneck of a half": (
        lambda: jaxrnn.bottleneck(GRU, 2.5),
        ValueError,
        "size: expected an int of at least 1, got 2.5",
    ),
    "everything dropped": (
        lambda: jaxrnn.dropout(GRU, input=1),
        ValueError,
        "input: expected a probability, 0 <= input < 1, got 1.0",
    ),
    "less than nothing dropped": (
        lambda: jaxrnn.stack(GRU, GRU, dropout=-0.1),
        ValueError,
        "dropout: expected a probability, 0 <= dropout < 1, got -0.1",
    ),
    "a rate that is none": (
        lambda: jaxrnn.zoneout(GRU, h=float("nan")),
        ValueError,
        "h: expected a probability, 0 <= h < 1, got nan",
    ),
    "a rate of True": (
        lambda: jaxrnn.weight_drop(GRU, True),
        ValueError,
        "rate: expected a probability, 0 <= rate < 1, got True",
    ),
    "variational_dropout, recurrent": (
        lambda: jaxrnn.variational_dropout(GRU, recurrent=1.5),
        ValueError,
        "recurrent: expected a probability, 0 <= recurrent < 1, got 1.5",
    ),
    "masks per row": (
        lambda: jaxrnn.dropout(GRU, input=0.1, per="row"),
        ValueError,
        "per: expected 'step', a fresh mask for each, or 'sequence', one for all, got 'row'",
    ),
    "recurrent_dropout on h": (
        lambda: jaxrnn.recurrent_dropout(GRU, 0.1, on="h"),
        ValueError,
        "on: expected 'candidate' or 'carry', got 'h'",
    ),
    "no candidate": (
        lambda: traced(jaxrnn.recurrent_dropout(jaxrnn.elman(4), 0.1)),
        ValueError,
        "recurrent_dropout: expected a cell that has a candidate to drop (cells with gates have one), got elman(4)",
    ),
    "no c": (
        lambda: traced(jaxrnn.zoneout(GRU, c=0.1)),
        ValueError,
        "c: expected 0 for gru(4), whose carry has no other field than h, got 0.1",
    ),
    "weight_drop of what is not there": (
        lambda: traced(jaxrnn.weight_drop(jaxrnn.indrnn(4), 0.1)),
        ValueError,
        "names: expected names of parameters of indrnn(4), which are bias, kernel, recurrent_weight, "
        "got ('recurrent_kernel',)",
    ),
    "weight_norm of what is not there": (
        lambda: jaxrnn.weight_norm(GRU, names=("U",)).init(jax.random.key(0), D),
        ValueError,
        "names: expected names of parameters of gru(4), which are bias, kernel, recurrent_bias, recurrent_kernel, "
        "got ('U',)",
    ),
    "one name without its tuple": (
        lambda: traced(jaxrnn.weight_drop(GRU, 0.1, names="recurrent_kernel")),
        TypeError,
        "names: expected a tuple of names, got 'recurrent_kernel'; write ('recurrent_kernel',)",
    ),
    "a bound of 0": (lambda: jaxrnn.clip_carry(GRU, 0), ValueError, "bound: expected a number above 0, got 0"),
    "a bound that is none": (
        lambda: jaxrnn.clip_gradient(GRU, float("nan")),
        ValueError,
        "bound: expected a number above 0, got nan",
    ),
    "an unknown merge": (
        lambda: jaxrnn.bidirectional(GRU, GRU, merge="beside"),
        ValueError,
        "merge: expected one of concat, sum, mean, or a function (y, y) -> y, got 'beside'",
    ),
    "no cell backwards": (
        lambda: jaxrnn.bidirectional(GRU, jaxrnn.gru),
        TypeError,
        "backward: expected a cell such as jaxrnn.lstm(256), got gru; write gru(...)",
    ),
    "a sum of two sizes": (
        lambda: traced(jaxrnn.bidirectional(GRU, jaxrnn.gru(3), merge="sum")),
        ValueError,
        "merge: expected y of one size from both cells for 'sum', got float32(5, 2, 4) of gru(4) and float32(5, 2, 3) "
        "of gru(3); merge='concat' takes two sizes",
    ),
    "a step backwards": (
        lambda: stepped(jaxrnn.stack(GRU, BOTH)),
        TypeError,
        "step: gru(4) runs backwards, as a part of stack(gru(4), bidirectional(gru(4), gru(4))): that needs the whole "
        "sequence; use jaxrnn.unroll, or a composition that only looks back",
    ),
    "flags for both directions": (
        lambda: flagged(jaxrnn.with_reset),
        TypeError,
        "with_reset: bidirectional(gru(4), gru(4)) also runs backwards; pass reset=, mask= to jaxrnn.unroll",
    ),
    "a mask for both directions": (
        lambda: flagged(jaxrnn.with_mask),
        TypeError,
        "with_mask: bidirectional(gru(4), gru(4)) also runs backwards; pass reset=, mask= to jaxrnn.unroll",
    ),
    "two layers of a name": (
        lambda: jaxrnn.stack(GRU, GRU, names=("a", "a")),
        ValueError,
        "names: expected one of its own for each of 2 cells, got ('a', 'a')",
    ),
    "deep_transition of two carries": (
        lambda: traced(jaxrnn.deep_transition(GRU, jaxrnn.elman(4))),
        ValueError,
        "deep_transition: expected cells with the carry of gru(4), got elman(4)",
    ),
    "deep_transition of two sizes": (
        lambda: traced(jaxrnn.deep_transition(GRU, jaxrnn.gru(3))),
        ValueError,
        "deep_transition: expected cells with the carry of gru(4), got gru(3)",
    ),
    "deep_transition of noise": (
        lambda: jaxrnn.deep_transition(jaxrnn.dropout(GRU, input=0.1)),
        TypeError,
        "deep_transition: expected 1 or more cells in three parts, no compositions, got (dropout(gru(4), input=0.1),); "
        "noise and weight_norm go around it",
    ),
    "time_distributed of a number": (
        lambda: jaxrnn.time_distributed(jnp.tanh, 3),
        TypeError,
        "init: expected a function (key, input_size) -> params, got 3",
    ),
    "burn_in of what looks ahead": (
        lambda: jaxrnn.burn_in(both, both.init(jax.random.key(0), D), None, jnp.ones((T, B, D), "float32"), 2),
        TypeError,
        "step: gru(4) runs backwards, as a part of bidirectional(gru(4), gru(4)): that needs the whole sequence; "
        "use jaxrnn.unroll, or a composition that only looks back",
    ),
    "a language model that looks ahead": (
        lambda: jaxrnn.models.language_model(both, 5).init(jax.random.key(0)),
        TypeError,
        "step: gru(4) runs backwards, as a part of bidirectional(gru(4), gru(4)): that needs the whole sequence; "
        "use jaxrnn.unroll, or a composition that only looks back",
    ),
    "a forecaster that looks ahead": (
        lambda: jaxrnn.models.forecaster(both, 5).init(jax.random.key(0)),
        TypeError,
        "step: gru(4) runs backwards, as a part of bidirectional(gru(4), gru(4)): that needs the whole sequence; "
        "use jaxrnn.unroll, or a composition that only looks back",
    ),
    "a language model without words": (
        lambda: jaxrnn.models.language_model(GRU, 5, 3, embedding_dropout=1.0),
        ValueError,
        "embedding_dropout: expected a probability, 0 <= embedding_dropout < 1, got 1.0",
    ),
    "precision in whole numbers": (
        lambda: jaxrnn.precision(GRU, compute_dtype="int32"),
        TypeError,
        "compute_dtype: expected a floating type such as 'float32' or 'bfloat16', got 'int32'",
    ),
}


@pytest.mark.parametrize(("call", "error", "message"), WRONG.values(), ids=WRONG)
def test_refused(call, error, message):
    refuses(error, message, call)


def test_a_seed_is_no_key():
    cell = jaxrnn.dropout(GRU, input=0.1)
    unroll = functools.partial(
        jaxrnn.unroll, cell, cell.init(jax.random.key(0), D), None, jnp.ones((T, B, D), "float32")
    )
    refuses(TypeError, "key: expected one jax.random.key(seed), got int 0", lambda: unroll(key=0))
    many = jax.random.split(jax.random.key(0))
    refuses(TypeError, "key: expected one jax.random.key(seed), got key<fry>(2,)", lambda: unroll(key=many))
