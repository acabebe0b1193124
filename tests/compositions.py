"""The table of compositions: every wrapper, around one cell and around others, with its loop in NumPy where it has one.

A new wrapper needs a row here; test_compositions.py fails without. Of what is drawn at random, and of layer_norm,
weight_norm and zoneout, the formulas are compared in test_regularised_cells.py; here they have no loop.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import reference
from support import CORE, PAIRS, VARIANTS, loop, variant

import jaxrnn as J

H = D = 5  # of one size, for `residual` and `highway`
BOUND = 0.3


class Row(NamedTuple):
    """A composition: how it is made from a cell, and what is true of it."""

    make: Callable[[Any], Any]
    loop: Callable | None = None  # the NumPy step from that of the cell, at evaluation
    cells: tuple[str, ...] = ("lstm",)  # of VARIANTS, those it is tried with; gradients with the first of them
    noise: bool = False  # a key makes a difference
    parts: bool = False  # it is in three parts, so that every engine can look into it
    steps: bool = True  # it goes step by step


CELLS = ("lstm", *(name for name in CORE if name != "lstm"), "lstm_projection_peepholes")
# Of other kinds than the LSTM: a product that is not recurrent, two that are, none.
KINDS = ("lstm_projection_peepholes", "gru_reset_before", "indrnn")
GATED = tuple(name for name in CELLS if name not in ("elman", "indrnn", "cornn"))  # those with a candidate
MULTIPLIED = tuple(name for name in CELLS if name != "indrnn")  # those with a recurrent kernel


def bare(step):
    return step


def within(step):
    """Of a wrapper that keeps the cell's params beside its own."""
    return lambda params, carry, x: step(params["cell"], carry, x)


def residual(step):
    def added(params, carry, x):
        carry, y = step(params, carry, x)
        return carry, y + x

    return added


def highway(step):
    def gated(params, carry, x):
        carry, y = step(params["cell"], carry, x)
        t = reference.sigmoid(x @ params["kernel"] + params["bias"])
        return carry, t * y + (1 - t) * x

    return gated


def projection(step):
    def projected(params, carry, x):
        carry, y = step(params["cell"], carry, x)
        return carry, y @ params["kernel"] + params["bias"]

    return projected


def bottleneck(step):
    return lambda params, carry, x: step(params["cell"], carry, x @ params["kernel"])


def clipped(step):
    """y of every cell here is the first state."""

    def kept(params, carry, x):
        carry = tuple(np.minimum(np.maximum(s, -BOUND), BOUND) for s in step(params, carry, x)[0])
        return carry, carry[0]

    return kept


def transitions(*steps):
    def one(params, carry, x):
        for k, step in enumerate(steps):
            carry, y = step(reference.with_kernel(params[f"cell_{k}"]), carry, x)
            x = x[:0]
        return carry, y

    return one


def alternating(first, second, slow):
    def one(params, carry, x):
        fast, y = first(params["fast_0"], carry["fast"], x)
        kept, y = slow(params["slow"], carry["slow"], y)
        fast, y = second(params["fast_1"], fast, y)
        return {"fast": fast, "slow": kept}, y

    return one


def skipping(*steps):
    def one(params, carry, x):
        new, ys, seen = {}, [], x
        for i, step in enumerate(steps):
            name = f"layer_{i}"
            new[name], y = step(params[name], carry[name], seen)
            ys.append(y)
            seen = np.concatenate([x, y])
        return new, np.concatenate(ys)

    return one


def squashed(params, x):
    """What `time_distributed` is given; by name, so that it can be pickled."""
    return jnp.tanh(x) @ params.astype(x.dtype)


def square(key, input_size):
    return jnp.eye(input_size, dtype="float32")


def difference(a, b):
    """A merge of one's own."""
    return a - b


def function(params, carry, x):
    return carry, np.tanh(x) @ params


def rates(cell):
    """zoneout of h, and of c where there is one."""
    return {"h": 0.2, "c": 0.3} if cell.name in PAIRS else {"h": 0.2}


def weights(cell):
    return ("recurrent_weight",) if cell.name == "indrnn" else ("recurrent_kernel",)


def zoned(cell):
    return J.zoneout(cell, **rates(cell))


def both(cell, **options):
    """A cell from left to right, another from right to left."""
    return J.bidirectional(cell, variant("elman"), **options)


ELMAN = loop("elman")

# Around one cell.
SINGLE = {
    "bottleneck": Row(lambda c: J.bottleneck(c, 2), bottleneck),
    "clip_carry": Row(lambda c: J.clip_carry(c, BOUND), clipped, CELLS, parts=True),
    "clip_gradient": Row(lambda c: J.clip_gradient(c, 0.01), bare, CELLS, parts=True),
    "cut_gradient": Row(J.cut_gradient, bare, CELLS, parts=True),
    "dropout": Row(lambda c: J.dropout(c, input=0.3, output=0.4), bare, noise=True, parts=True),
    "emit_carry": Row(J.emit_carry, parts=True),
    "highway": Row(J.highway, highway),
    "layer_norm": Row(J.layer_norm, None, MULTIPLIED, parts=True),
    "learned_carry": Row(J.learned_carry, within, parts=True),
    "precision": Row(lambda c: J.precision(c, compute_dtype="float64", param_dtype="float64"), bare, CELLS),
    "projection": Row(lambda c: J.projection(c, 3), projection),
    "recurrent_dropout, candidate": Row(lambda c: J.recurrent_dropout(c, 0.3), bare, GATED, noise=True, parts=True),
    "recurrent_dropout, carry": Row(
        lambda c: J.recurrent_dropout(c, 0.3, on="carry"), bare, CELLS, noise=True, parts=True
    ),
    "residual": Row(J.residual, residual),
    "variational_dropout": Row(
        lambda c: J.variational_dropout(c, input=0.2, recurrent=0.3, output=0.1), bare, noise=True, parts=True
    ),
    "weight_drop": Row(lambda c: J.weight_drop(c, 0.3, names=weights(c)), bare, CELLS, noise=True, parts=True),
    "weight_norm": Row(J.weight_norm, None, CELLS, parts=True),
    "with_mask": Row(J.with_mask, None, parts=True),
    "with_reset": Row(J.with_reset, None, parts=True),
    "zoneout": Row(zoned, None, CELLS, noise=True, parts=True),
}

# Of several cells.
JOINED = {
    "bidirectional": Row(both, steps=False),
    "bidirectional, own merge": Row(lambda c: both(c, merge=difference), steps=False),
    "deep_transition": Row(
        lambda c: J.deep_transition(c, c, c), lambda step: transitions(step, step, step), ("lstm", "mgu"), parts=True
    ),
    "fast_slow": Row(
        lambda c: J.fast_slow(c, c, slow=variant("elman")), lambda step: alternating(step, step, ELMAN), parts=True
    ),
    "stack": Row(
        lambda c: J.stack(c, variant("elman"), variant("indrnn")),
        lambda step: reference.stack(step, ELMAN, loop("indrnn")),
    ),
    "stack, dropout": Row(
        lambda c: J.stack(c, variant("elman"), dropout=0.4), lambda step: reference.stack(step, ELMAN), noise=True
    ),
    "stack, skip": Row(lambda c: J.stack(c, variant("elman"), c, skip=True), lambda step: skipping(step, ELMAN, step)),
    "time_distributed": Row(
        lambda c: J.stack(J.time_distributed(squashed, square), c, J.time_distributed(squashed, square)),
        lambda step: reference.stack(function, step, function),
    ),
}

# A wrapper of a wrapper.
NESTED = {
    "bidirectional of learned_carry and zoneout": Row(
        lambda c: J.bidirectional(J.learned_carry(c), zoned(c), merge="mean"), noise=True, steps=False
    ),
    "clip_carry of a stack": Row(
        lambda c: J.clip_carry(J.stack(c, variant("elman")), BOUND),
        lambda step: reference.stack(clipped(step), clipped(ELMAN)),
    ),
    "clip_carry of zoneout": Row(lambda c: J.clip_carry(zoned(c), BOUND), noise=True, parts=True),
    "deep_transition of deep_transition": Row(
        lambda c: J.deep_transition(c, J.deep_transition(c, c)),
        lambda step: transitions(step, transitions(step, step)),
        parts=True,
    ),
    "highway of bidirectional": Row(lambda c: J.highway(both(c, merge="sum")), steps=False),
    "layer_norm of zoneout": Row(lambda c: J.layer_norm(zoned(c)), noise=True, parts=True),
    "learned_carry of learned_carry": Row(
        lambda c: J.learned_carry(J.learned_carry(c)), lambda step: within(within(step)), parts=True
    ),
    "learned_carry of bidirectional": Row(lambda c: J.learned_carry(both(c)), steps=False),
    "learned_carry of a stack": Row(
        lambda c: J.learned_carry(J.stack(J.dropout(c, input=0.2), J.residual(c), J.learned_carry(c))),
        lambda step: within(reference.stack(step, residual(step), within(step))),
        noise=True,
    ),
    "learned_carry of a stack of zoneout": Row(
        lambda c: J.learned_carry(J.stack(zoned(c), J.recurrent_dropout(c, 0.2))), noise=True
    ),
    "precision of a stack": Row(
        lambda c: J.precision(J.stack(c, J.highway(variant("elman"))), compute_dtype="float64", param_dtype="float64"),
        lambda step: reference.stack(step, highway(ELMAN)),
    ),
    "recurrent_dropout of layer_norm": Row(
        lambda c: J.recurrent_dropout(J.layer_norm(c), 0.3, on="carry"), noise=True, parts=True
    ),
    "stack of a stack": Row(
        lambda c: J.stack(J.stack(c, variant("elman")), J.residual(J.stack(variant("elman")))),
        lambda step: reference.stack(reference.stack(step, ELMAN), residual(reference.stack(ELMAN))),
    ),
    "stack of bidirectional": Row(
        lambda c: J.stack(both(c), J.bidirectional(c, c, merge="sum"), dropout=0.2), noise=True, steps=False
    ),
    "weight_drop of a stack": Row(
        lambda c: J.weight_drop(J.stack(c, variant("elman")), 0.3),
        lambda step: reference.stack(step, ELMAN),
        noise=True,
    ),
    "weight_norm of a stack": Row(lambda c: J.weight_norm(J.stack(c, J.learned_carry(c)))),
    "with_reset of with_mask of a stack": Row(lambda c: J.with_reset(J.with_mask(J.stack(c, variant("elman"))))),
    "zoneout of a stack": Row(lambda c: J.zoneout(J.stack(c, J.residual(variant("elman"))), h=0.2), noise=True),
    "zoneout of bidirectional": Row(lambda c: J.zoneout(both(c), h=0.2), noise=True, steps=False),
    "zoneout of emit_carry": Row(lambda c: J.zoneout(J.emit_carry(c), h=0.2), noise=True, parts=True),
    "zoneout of layer_norm": Row(lambda c: J.zoneout(J.layer_norm(c), h=0.2), noise=True, parts=True),
}

# A smaller cell, for the programs are larger.
NESTED = {name: row if "learned" in name else row._replace(cells=("gated",)) for name, row in NESTED.items()}

ROWS = SINGLE | JOINED | NESTED
assert set(CELLS) <= set(VARIANTS)


def made(name: str, cell: str | None = None, **options: Any) -> Any:
    """The composition of that row, made anew, around that row of VARIANTS with H = 5; None: the first of its cells."""
    return ROWS[name].make(variant(cell or ROWS[name].cells[0], **options))


def few(name: str) -> tuple[str, ...]:
    """The first of the row's cells, and those that are of another kind."""
    first, *rest = ROWS[name].cells
    return first, *(cell for cell in rest if cell in KINDS)


def names_in(value: Any) -> set[str]:
    """The factories that a record is made of."""
    if isinstance(value, tuple):
        return set().union(*map(names_in, value))
    return {value.name} | names_in(tuple(value.options.values())) if isinstance(value, J.Cell) else set()
