"""Wrong sequences, and what each must say: the argument, the axes expected, what came, the cure.

Whole messages are compared. Wrong params and carries: test_errors_state.py; wrong options: test_errors_options.py.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from wrong import GRU, LSTM, PAIR, B, H, T, given, refuses, refuses_traced

from jaxrnn import unroll

FEATURES = "the last axis holds the input features, as many as the input_size that the params were made with"
SYMBOLS = "symbols want jax.nn.one_hot or an embedding first, counts want .astype(float)"

# name: (call, exception, message). The arrays come in as arguments: these are refused by shapes and types alone.
TRACED = {
    "xs a list": (
        lambda a: unroll(GRU, a.params, None, [[0.0, 1.0, 2.0]]),
        TypeError,
        "xs: expected one array [T, ..., D] with D=3, got list(0.0: float 0.0, 0.1: float 1.0, 0.2: float 2.0); "
        "write jnp.asarray(xs)",
    ),
    "x a long list": (
        lambda a: GRU.step(a.params, a.carry, [0] * 20),
        TypeError,
        "x: expected one array [..., D] with D=3, got list(0: int 0, 1: int 0, 2: int 0, 3: int 0, 4: int 0, 5: int 0, "
        "6: int 0, 7: int 0, 8: int 0, 9: int 0, 10: int 0, 11: int 0, and 8 more); write jnp.asarray(x)",
    ),
    "xs a number": (
        lambda a: unroll(GRU, a.params, None, 1.0),
        TypeError,
        "xs: expected an array [T, ..., D], got float 1.0; wrap it in jnp.asarray",
    ),
    "xs None": (
        lambda a: unroll(GRU, a.params, None, None),
        TypeError,
        "xs: expected one array [T, ..., D] with D=3, got None; gru(4) takes nothing beside it",
    ),
    "xs with flags, for a cell without": (
        lambda a: unroll(GRU, a.params, None, (a.xs, a.flags)),
        TypeError,
        "xs: expected one array [T, ..., D] with D=3, got tuple(0: float32(5, 2, 3), 1: bool(5, 2)); "
        "gru(4) takes nothing beside it",
    ),
    "xs without flags, for a cell with": (
        lambda a: unroll(PAIR, a.params, None, a.xs),
        TypeError,
        "xs: expected the inputs of with_reset(gru(4)), tuple(0: float32(3,), 1: bool()) after [T, ...], "
        "got float32(5, 2, 3); pass them in that structure",
    ),
    "flags of another batch": (
        lambda a: PAIR.step(a.params, a.carry, (a.xs[0], jnp.ones(3, bool))),
        ValueError,
        "x: expected the same leading axes in every leaf, got tuple(0: float32(2, 3), 1: bool(3,))",
    ),
    "flags without rows": (
        lambda a: unroll(PAIR, a.params, None, (a.xs, a.flags[:, 0])),
        ValueError,
        "xs: expected the same leading axes in every leaf, got tuple(0: float32(5, 2, 3), 1: bool(5,))",
    ),
    "one step, no batch": (
        lambda a: unroll(GRU, a.params, None, a.xs[0, 0]),
        ValueError,
        "xs: expected [T, ..., D], got float32(3,): no time axis; one step is cell.step",
    ),
    "one step with its carry": (
        lambda a: unroll(GRU, a.params, a.carry, a.xs[0]),
        ValueError,
        "carry: expected leading axes (), as xs [T, ..., D] has after T, got (2,); "
        "if xs is one step [..., D], call cell.step",
    ),
    "xs without features": (
        lambda a: unroll(GRU, a.params, None, a.xs[..., 0]),
        ValueError,
        f"xs: expected [T, ..., D] with D=3, got (5, 2); {FEATURES}",
    ),
    "wrong D in xs": (
        lambda a: unroll(GRU, a.params, None, a.xs[..., :2]),
        ValueError,
        f"xs: expected [T, ..., D] with D=3, got (5, 2, 2); {FEATURES}",
    ),
    "wrong D in x": (
        lambda a: GRU.step(a.params, a.carry, a.xs[0, :, :2]),
        ValueError,
        f"x: expected [..., D] with D=3, got (2, 2); {FEATURES}",
    ),
    "wrong D beside a flag": (
        lambda a: PAIR.step(a.params, a.carry, (a.xs[0, :, :2], a.flags[0])),
        ValueError,
        f"x[0]: expected [..., D] with D=3, got (2, 2); {FEATURES}",
    ),
    "xs of int": (
        lambda a: unroll(GRU, a.params, None, a.xs.astype("int32")),
        TypeError,
        f"xs: expected real floating-point features, got int32; {SYMBOLS}",
    ),
    "x of bool": (
        lambda a: GRU.step(a.params, a.carry, a.xs[0].astype(bool)),
        TypeError,
        f"x: expected real floating-point features, got bool; {SYMBOLS}",
    ),
    "xs of complex": (
        lambda a: unroll(GRU, a.params, None, a.xs.astype("complex64")),
        TypeError,
        f"xs: expected real floating-point features, got complex64; {SYMBOLS}",
    ),
    "lengths of float": (
        lambda a: unroll(GRU, a.params, None, a.xs, lengths=a.lengths.astype("float32")),
        TypeError,
        "lengths: expected [...] of int, steps in each row, got float32(2,); write jnp.asarray(lengths, int)",
    ),
    "lengths a ragged list": (
        lambda a: unroll(GRU, a.params, None, a.xs, lengths=[1, [2, 3]]),
        ValueError,
        "lengths: expected an array, or a list whose rows are equally long, got [1, [2, 3]]",
    ),
    "lengths a list of flags": (
        lambda a: unroll(GRU, a.params, None, a.xs, lengths=[True, False]),
        TypeError,
        "lengths: expected [...] of int, steps in each row, got bool(2,); write jnp.asarray(lengths, int)",
    ),
    "lengths of another batch": (
        lambda a: unroll(GRU, a.params, None, a.xs.swapaxes(0, 1), lengths=a.lengths),
        ValueError,
        "lengths: expected [...] = (5,), the axes of xs between T and its features, got (2,); xs is time first",
    ),
    "one length for many rows": (
        lambda a: unroll(GRU, a.params, None, a.xs, lengths=3),
        ValueError,
        "lengths: expected [...] = (2,), the axes of xs between T and its features, got (); xs is time first",
    ),
    "mask of float": (
        lambda a: unroll(GRU, a.params, None, a.xs, mask=a.flags.astype("float32")),
        TypeError,
        "mask: expected [T, ...] of bool (False holds the carry), got float32(5, 2); write jnp.asarray(mask, bool)",
    ),
    "mask with features": (
        lambda a: unroll(GRU, a.params, None, a.xs, mask=a.flags[..., None]),
        ValueError,
        "mask: expected [T, ...] = (5, 2), the axes of xs before its features, got (5, 2, 1)",
    ),
    "mask the other way round": (
        lambda a: unroll(GRU, a.params, None, a.xs, mask=a.flags.T),
        ValueError,
        "mask: expected [T, ...] = (5, 2), the axes of xs before its features, got (2, 5)",
    ),
    "reset of float": (
        lambda a: unroll(GRU, a.params, None, a.xs, reset=a.flags.astype("float32")),
        TypeError,
        "reset: expected [T, ...] of bool (True restarts the carry), got float32(5, 2); write jnp.asarray(reset, bool)",
    ),
    "reset just True": (
        lambda a: unroll(GRU, a.params, None, a.xs, reset=True),
        TypeError,
        "reset: expected [T, ...] of bool (True restarts the carry), got bool True; write jnp.asarray(reset, bool)",
    ),
    "reset one step short": (
        lambda a: unroll(GRU, a.params, None, a.xs, reset=a.flags[1:]),
        ValueError,
        "reset: expected [T, ...] = (5, 2), the axes of xs before its features, got (4, 2)",
    ),
}

# Refused by their values, so only where these are at hand; under jit they count as documented (tests/test_unroll.py).
BY_VALUE = {
    "length above T": (
        lambda a: unroll(GRU, a.params, None, a.xs, lengths=np.array([2, 6])),
        ValueError,
        "lengths: expected 0 to T=5 steps, got 6 in row 1",
    ),
    "length below 0": (
        lambda a: unroll(GRU, a.params, None, a.xs, lengths=np.array([-1, 5])),
        ValueError,
        "lengths: expected 0 to T=5 steps, got -1 in row 0",
    ),
    "length above T, two batch axes": (
        lambda a: unroll(GRU, a.params, None, a.xs[:, None], lengths=np.array([[1, 9]])),
        ValueError,
        "lengths: expected 0 to T=5 steps, got 9 in row (0, 1)",
    ),
    "length above T, no batch axis": (
        lambda a: unroll(GRU, a.params, None, a.xs[:, 0], lengths=7),
        ValueError,
        "lengths: expected 0 to T=5 steps, got 7",
    ),
    "mask and lengths disagree": (
        lambda a: unroll(GRU, a.params, None, a.xs, mask=np.ones((T, B), bool), lengths=np.array([5, 3])),
        ValueError,
        "mask: disagrees with lengths: True at step 3 in row 1, which has 3 steps; "
        "a mask given with lengths may only take steps away",
    ),
}

# The calls that the wrong ones are a change away from: what is refused is refused for that change.
RIGHT = [
    lambda a: unroll(GRU, a.params, None, a.xs),
    lambda a: unroll(GRU, a.params, a.carry, a.xs, lengths=a.lengths, mask=a.flags, reset=a.flags),
    lambda a: unroll(LSTM, a.lstm_params, a.lstm_carry, a.xs),
    lambda a: unroll(PAIR, a.params, a.carry, (a.xs, a.flags)),
    lambda a: GRU.step(a.params, a.carry, a.xs[0]),
]


@pytest.mark.parametrize(("call", "error", "message"), TRACED.values(), ids=TRACED)
def test_refused_while_traced(call, error, message):
    refuses_traced(error, message, call)


@pytest.mark.parametrize(("call", "error", "message"), BY_VALUE.values(), ids=BY_VALUE)
def test_refused_by_value(call, error, message):
    """Before any compute: the same call is refused when everything but the value in question is traced."""
    refuses(error, message, call, given())
    refuses(error, message, jax.eval_shape, call, jax.eval_shape(given))


@pytest.mark.parametrize("call", RIGHT)
def test_right_calls_pass(call):
    jax.eval_shape(call, jax.eval_shape(given))


def test_a_refused_call_leaves_jit_usable():
    run = jax.jit(lambda a, xs: unroll(GRU, a.params, None, xs)[1])
    with pytest.raises(ValueError, match=r"^xs: expected \[T, \.\.\., D\] with D=3, got \(5, 2, 2\)"):
        run(given(), given().xs[..., :2])
    assert run(given(), given().xs).shape == (T, B, H)
