"""The forward loop with the drive inside it, where taking the drive out would cost more than it saves.

A drive that was taken out of the loop is written to memory and read again, G·H numbers for each row and step. On a CPU
that is dearer than the product itself where x has few numbers. Inside the loop both products of a sum are one,

    x W + b + h U = [x h] [W; U] + b,

for a product of few rows is the faster the longer its sums are.
"""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp

from jaxrnn._core import taps
from jaxrnn._core.cell import Carry, Cell, Inputs, Params, advance
from jaxrnn._core.jax_internals import primitives
from jaxrnn._core.loops import loop, one_step
from jaxrnn.engines._deferred.program import (
    Equation,
    Program,
    assigned,
    evaluate,
    leading_to,
    read,
    spliced,
    trace,
    variables,
)

FEW = 64  # numbers of x in a row; with 128, taking the drive out wins
FEW_ALONE = 48  # of the only row, which reads all of W for each x; with 64, taking the drive out wins by 2 to 8%


def is_better(batch: tuple[int, ...], xs: Inputs) -> bool:
    """Whether the drive of each step is to be computed in the loop, where no gradient is asked for."""
    if taps.active() or jax.default_backend() != "cpu":
        return False
    rows = math.prod(batch)
    return sum(a.size for a in jax.tree.leaves(one_step(xs))) <= (FEW_ALONE if rows == 1 else FEW * rows)


def over_time(cell: Cell, asked: list[bool], params: Params, carry: Carry, xs: Inputs) -> tuple[Carry, list[jax.Array]]:
    """The last carry and, stacked over time, those of its leaves that are asked for."""
    drive = cell.drive
    assert drive is not None
    program = trace(lambda p, s, x: advance(cell.stages, p, s, drive(p, x)), params, carry, one_step(xs))
    its_params, its_carry, its_x = program.inputs
    constant = variables(its_params) | set(program.constants)
    before, _ = _split(program.equations, constant)
    equations = _joined(program, constant | {v for e in before for v in e.outputs})
    before, inside = _split(equations, constant)
    known = evaluate(before, program.constants | assigned(its_params, params))

    def step(carry, x):
        new = read(evaluate(inside, known | assigned(its_carry, carry) | assigned(its_x, x)), program.outputs)
        return new, [a for a, wanted in zip(jax.tree.leaves(new), asked, strict=True) if wanted]

    return loop(step, carry, xs)


def _split(equations: list[Equation], known: set[int]) -> tuple[list[Equation], list[Equation]]:
    """(equations that read `known` and what follows from it alone, the others).

    What reads nothing stays with the others, for XLA to fold.
    """
    known, before, inside = set(known), [], []
    for e in equations:
        if variables(e.inputs) and variables(e.inputs) <= known:
            before.append(e)
            known.update(e.outputs)
        else:
            inside.append(e)
    return before, inside


def _joined(program: Program, known: set[int]) -> list[Equation]:
    """The equations, with two products in a sum, each by a known kernel, as the one product of all their columns.

    known: the variables that are the same at every step.
    """
    shapes = program.shapes
    made = {v: e for e in program.equations for v in e.outputs}
    reads = [v for e in program.equations for v in e.inputs if isinstance(v, int)] + [*variables(program.outputs)]
    alone = {v for v in made if reads.count(v) == 1}

    def terms(e):
        """The atoms that an addition adds up, through additions that nothing else reads."""
        inner = [made[a] if isinstance(a, int) and a in alone else None for a in e.inputs]
        return [
            t
            for a, i in zip(e.inputs, inner, strict=True)
            for t in (terms(i) if i is not None and i.primitive is primitives.add_p else [a])
        ]

    def is_product(a):
        e = made[a] if isinstance(a, int) and a in alone else None
        return e is not None and e.primitive is primitives.dot_general_p and _by_kernel(e, known, shapes)

    equations = []
    for e in program.equations:
        if e.primitive is primitives.add_p:
            products = [made[t] for t in terms(e) if is_product(t)]
            rest = [t for t in terms(e) if not is_product(t)]
            if len(products) == 2 and _fit(products, shapes) and all(isinstance(t, int) for t in rest):
                (a, of_a), (b, of_b) = (p.inputs for p in products)
                more, total = spliced(_sum_of(products[0].params), (a, b, of_a, of_b, *rest), shapes)
                equations += [m._replace(outputs=e.outputs if m.outputs == (total,) else m.outputs) for m in more]
                continue
        equations.append(e)
    return leading_to(equations, program.outputs)


def _by_kernel(e: Equation, known: set[int], shapes: dict[int, Any]) -> bool:
    """Whether a product is a @ kernel: over the last axis of a, and with the same kernel [N, M] at every step."""
    a, kernel = e.inputs
    if not isinstance(a, int) or a in known or kernel not in known or shapes[kernel].ndim != 2:
        return False
    return e.params["dimension_numbers"] == (((shapes[a].ndim - 1,), (0,)), ((), ()))


def _fit(products: list[Equation], shapes: dict[int, Any]) -> bool:
    """Whether products are of equal rows, in equal types."""
    first, *others = [([shapes[v].dtype for v in e.inputs], shapes[e.outputs[0]].shape, e.params) for e in products]
    return all(other == first for other in others)


def _sum_of(how: dict[str, Any]):
    """A function of the operands of two products (rows, rows, kernel, kernel) and of other terms: the sum of all."""

    def f(a, b, of_a, of_b, *rest):
        rows, kernel = jnp.concatenate([a, b], -1), jnp.concatenate([of_a, of_b])
        total = primitives.dot_general_p.bind(rows, kernel, **how)
        for term in rest:
            total = total + term
        return total

    return f
