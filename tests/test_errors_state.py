"""Wrong params, carries, keys, cells and engines, and the whole message that each must give."""

import jax
import pytest
from wrong import GRU, HALF, LEARNED, LSTM, STACK, D, refuses_traced

import jaxrnn
from jaxrnn import unroll

PARAMS = "make them with cell.init(key, input_size)"
CARRY = "make one with cell.initial_carry(params, batch_shape)"
GRU_ARRAYS = "with the arrays bias, kernel, recurrent_bias, recurrent_kernel"
GRU_CARRY = "expected what gru(4) carries, GRUCarry(h: float32(4,)) after any batch axes"
FUNCTION = "a function (cell, params, carry, xs) -> (carry, ys), such as jaxrnn.engines.scan"

# name: (call, exception, message). The arrays come in as arguments: these are refused by shapes and types alone.
TRACED = {
    "carry of another cell": (
        lambda a: unroll(GRU, a.params, a.lstm_carry, a.xs),
        ValueError,
        f"carry: {GRU_CARRY}, got LSTMCarry(h: float32(2, 4), c: float32(2, 4)); {CARRY}",
    ),
    "carry of another cell with the same shapes": (
        lambda a: GRU.step(a.params, jaxrnn.ElmanCarry(a.carry.h), a.xs[0]),
        ValueError,
        f"carry: {GRU_CARRY}, got ElmanCarry(h: float32(2, 4)); {CARRY}",
    ),
    "carry a bare array": (
        lambda a: unroll(GRU, a.params, a.carry.h, a.xs),
        ValueError,
        f"carry: {GRU_CARRY}, got float32(2, 4); {CARRY}",
    ),
    "carry a list": (
        lambda a: unroll(GRU, a.params, [a.carry.h], a.xs),
        ValueError,
        f"carry: {GRU_CARRY}, got list(0: float32(2, 4)); {CARRY}",
    ),
    "no carry in a step": (
        lambda a: GRU.step(a.params, None, a.xs[0]),
        ValueError,
        f"carry: {GRU_CARRY}, got None; {CARRY}",
    ),
    "carry of another H": (
        lambda a: unroll(GRU, a.params, jaxrnn.GRUCarry(a.carry.h[:, :2]), a.xs),
        ValueError,
        f"carry.h: expected [..., H] with H=4, got (2, 2); {CARRY}",
    ),
    "carry of another type": (
        lambda a: unroll(GRU, a.params, jaxrnn.GRUCarry(a.carry.h.astype("bfloat16")), a.xs),
        TypeError,
        "carry.h: expected float32, the type that gru(4) keeps it in with these params, got bfloat16; "
        f"cast it, or {CARRY}",
    ),
    "float32 carry of a bfloat16 cell": (
        lambda a: HALF.step(a.params, a.carry, a.xs[0]),
        TypeError,
        "carry.h: expected bfloat16, the type that gru(4, dtype='bfloat16') keeps it in with these params, got "
        f"float32; cast it, or {CARRY}",
    ),
    "carry of another batch": (
        lambda a: unroll(GRU, a.params, GRU.initial_carry(a.params, (3,)), a.xs),
        ValueError,
        "carry: expected leading axes (2,), as xs [T, ..., D] has after T, got (3,); "
        "pass carry=None, or make it with cell.initial_carry(params, (2,))",
    ),
    "carry without batch": (
        lambda a: GRU.step(a.params, GRU.initial_carry(a.params), a.xs[0]),
        ValueError,
        "carry: expected leading axes (2,), as x has, got (); make it with cell.initial_carry(params, (2,))",
    ),
    "carry whose fields disagree": (
        lambda a: unroll(LSTM, a.lstm_params, a.lstm_carry._replace(c=a.lstm_carry.c[0]), a.xs),
        ValueError,
        "carry: expected the same leading axes in every field, got LSTMCarry(h: float32(2, 4), c: float32(4,)); "
        f"{CARRY}",
    ),
    "carry of a layer for a stack": (
        lambda a: STACK.step({"layer_0": a.params}, a.carry, a.xs[0]),
        ValueError,
        "carry: expected what stack(gru(4)) carries, dict(layer_0.h: float32(4,)) after any batch axes, "
        f"got GRUCarry(h: float32(2, 4)); {CARRY}",
    ),
    "params of another cell": (
        lambda a: unroll(GRU, a.lstm_params, None, a.xs),
        ValueError,
        f"params: expected those of gru(4), {GRU_ARRAYS}, got dict(bias: float32(16,), kernel: float32(3, 16), "
        f"recurrent_kernel: float32(4, 16)); {PARAMS}",
    ),
    "params of another H": (
        lambda a: GRU.step(jaxrnn.gru(2).init(a.key, D), a.carry, a.xs[0]),
        ValueError,
        "params: expected those of gru(4), dict(bias: float32(12,), kernel: float32(3, 12), "
        "recurrent_bias: float32(12,), recurrent_kernel: float32(4, 12)), got dict(bias: float32(6,), "
        f"kernel: float32(3, 6), recurrent_bias: float32(6,), recurrent_kernel: float32(2, 6)); {PARAMS}",
    ),
    "params None": (
        lambda a: unroll(GRU, None, None, a.xs),
        ValueError,
        f"params: expected those of gru(4), {GRU_ARRAYS}, got None; {PARAMS}",
    ),
    "params not arrays": (
        lambda a: GRU.initial_carry(dict.fromkeys(a.params, 0.5)),
        ValueError,
        f"params: expected those of gru(4), {GRU_ARRAYS}, got dict(bias: float 0.5, kernel: float 0.5, "
        f"recurrent_bias: float 0.5, recurrent_kernel: float 0.5); {PARAMS}",
    ),
    "params without the learned carry": (
        lambda a: unroll(LEARNED, a.params, None, a.xs),
        ValueError,
        "params: expected those of learned_carry(gru(4)), with the arrays cell.bias, cell.kernel, cell.recurrent_bias, "
        "cell.recurrent_kernel, initial_carry.h, got dict(bias: float32(12,), kernel: float32(3, 12), "
        f"recurrent_bias: float32(12,), recurrent_kernel: float32(4, 12)); {PARAMS}",
    ),
    "params of one layer for a stack": (
        lambda a: unroll(STACK, a.params, None, a.xs),
        ValueError,
        "params: expected those of stack(gru(4)), with the arrays layer_0.bias, layer_0.kernel, "
        "layer_0.recurrent_bias, layer_0.recurrent_kernel, got dict(bias: float32(12,), kernel: float32(3, 12), "
        f"recurrent_bias: float32(12,), recurrent_kernel: float32(4, 12)); {PARAMS}",
    ),
    "a factory for a cell": (
        lambda a: unroll(jaxrnn.gru, a.params, None, a.xs),
        TypeError,
        "cell: expected a Cell, such as jaxrnn.gru(hidden_size), got gru; the order is (cell, params, carry, xs)",
    ),
    "xs in the place of the cell": (
        lambda a: unroll(a.xs, GRU, a.params, None),
        TypeError,
        "cell: expected a Cell, such as jaxrnn.gru(hidden_size), got float32(5, 2, 3); "
        "the order is (cell, params, carry, xs)",
    ),
    "an engine's name": (
        lambda a: unroll(GRU, a.params, None, a.xs, engine="scan"),
        TypeError,
        f"engine: expected {FUNCTION}, got 'scan'",
    ),
    "input_size 0": (
        lambda a: GRU.init(a.key, 0),
        ValueError,
        "input_size: expected an int of at least 1, got 0",
    ),
    "input_size a shape": (
        lambda a: LSTM.init(a.key, (2, 3)),
        ValueError,
        "input_size: expected an int of at least 1, got (2, 3)",
    ),
    "many keys": (
        lambda a: GRU.init(jax.random.split(a.key, 2), D),
        TypeError,
        "key: expected one jax.random.key(seed), got key<fry>(2,)",
    ),
    "key an int": (
        lambda a: GRU.init(0, D),
        TypeError,
        "key: expected one jax.random.key(seed), got int 0",
    ),
    "batch_shape an int": (
        lambda a: GRU.initial_carry(a.params, 3),
        TypeError,
        "batch_shape: expected a tuple of sizes, got 3; write (3,)",
    ),
    "batch_shape None": (
        lambda a: GRU.initial_carry(a.params, None),
        TypeError,
        "batch_shape: expected a tuple of sizes, got None; one row without a batch axis is ()",
    ),
    "batch_shape below 0": (
        lambda a: GRU.initial_carry(a.params, (2, -1)),
        ValueError,
        "batch_shape: expected a tuple of sizes, got (2, -1)",
    ),
}


@pytest.mark.parametrize(("call", "error", "message"), TRACED.values(), ids=TRACED)
def test_refused_while_traced(call, error, message):
    refuses_traced(error, message, call)
