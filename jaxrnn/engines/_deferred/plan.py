"""One step of a cell and its reverse as equations: what the loops compute, what is kept between them.

A variable is an int that stands for an array of one step. In a Plan `params`, `carry`, `u`, `new` and `states` are the
pytrees of those names with variables for leaves (a constant scalar may be a Literal), and each d_... is a list with one
variable for each leaf that has a gradient.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.ad_checkpoint import checkpoint_name

from jaxrnn._core.cell import Cell
from jaxrnn._core.jax_internals import primitives
from jaxrnn._core.loops import stacks_half
from jaxrnn.engines._deferred import minimum_cut
from jaxrnn.engines._deferred.program import (
    Equation,
    leading_to,
    narrow_products,
    pretranspose_kernels,
    reached,
    spliced,
    swap_transposed,
    trace,
    variables,
)


# Integer leaves (flags, tokens) have no gradient: functions are differentiated with respect to a list of the others.
def is_real(leaf: Any) -> bool:
    """Whether a leaf has a gradient."""
    return jnp.issubdtype(leaf.dtype, jnp.inexact)


def real(tree: Any) -> list[Any]:
    """The leaves that have a gradient."""
    return [leaf for leaf in jax.tree.leaves(tree) if is_real(leaf)]


def with_real(tree: Any, leaves: Any) -> Any:
    """`tree` with other real leaves."""
    leaves = iter(leaves)
    return jax.tree.map(lambda leaf: next(leaves) if is_real(leaf) else leaf, tree)


def cotangent(tree: Any, leaves: Any) -> Any:
    """The cotangent of `tree` as JAX wants it: float0 where a leaf has none."""
    leaves = iter(leaves)
    return jax.tree.map(lambda a: next(leaves) if is_real(a) else np.zeros(a.shape, jax.dtypes.float0), tree)


def pull(f: Any, *args: Any) -> Any:
    """f(*args), and a function from the cotangents of its real leaves to those of each argument, all as lists.

    `jax.vjp` without its float0: a list holds the cotangents of the real leaves, and nothing for the others.
    """
    out, back = jax.vjp(lambda *leaves: f(*map(with_real, args, leaves)), *map(real, args))
    return out, lambda leaves: back(cotangent(out, leaves))


class Plan(NamedTuple):
    """The equations of one step, and the roles of its variables.

    The forward loop evaluates `forward` from (params, carry, u), or `advance` where nothing is kept; the reverse loop
    `recompute` and `backward` from (params, saved, ct).
    """

    constants: dict[int, Any]  # arrays that the cell closes over
    params: Any
    carry: Any  # before the step
    u: Any  # the drive of the step
    ct: list[int]  # the cotangent of the carry after the step
    loop_invariant: list[Equation]  # what depends on params alone, before the loop
    advance: list[Equation]  # to `new`
    forward: list[Equation]  # to `new` and `saved`
    recompute: list[Equation]  # from `saved` to all else that `backward` and the products read of the forward step
    backward: list[Equation]  # from `ct` to the d_... below
    new: Any  # the carry after the step
    saved: list[int]  # the minimum cut, rounded where `_half` says: what is stacked over time from forward to backward
    states: list[Any]  # per stage, what its product read; only a shape where the product's gradient does not need it
    output_reads: list[bool]  # for each leaf of the carry, whether `output` reads it
    output_reads_real: list[bool]  # the same, for those leaves that have a gradient
    d_carry: list[Any]  # the cotangent of the carry before the step
    d_u: list[Any]
    d_v: list[list[Any]]  # per stage, of the result of its product
    d_params: list[Any]  # of those that `update` reads: gradients that do not come from a product
    params_read_by_update: list[int]  # which of the real leaves of params those are


def plan(cell: Cell, params: Any, carry: Any, u: Any) -> Plan:
    """The plan for one step with arguments of these shapes.

    The step is traced together with its vjp, except for the gradients of the products' params: those wait for the
    states and d_v of many steps. Then the equations are sorted by what they depend on.
    """

    def step(params, carry, u, ct):
        state, states, vs, backs = carry, [], [], []
        for stage in cell.stages:
            v = None if stage.recur is None else _named(stage.recur(params, state))
            states.append(state)
            state, back = pull(stage.update, params, state, u, v)
            backs.append(back)
            vs.append(v)
        d_params = d_u = None
        d_vs: list[Any] = []
        for stage, before, back in list(zip(cell.stages, states, backs, strict=True))[::-1]:
            more_params, ct, more_u, d_v = back(ct)
            d_params, d_u, d_vs = _sum(d_params, more_params), _sum(d_u, more_u), [d_v, *d_vs]
            if stage.recur is not None:
                ct = _sum(ct, pull(lambda s, recur=stage.recur: recur(params, s), before)[1](d_v)[0])
        return state, vs, states, ct, d_params, d_u, d_vs

    traced = trace(step, params, carry, u, real(carry))
    p, c, us, ct = traced.inputs
    new, vs, states, d_carry, d_params, d_u, d_vs = traced.outputs
    d_vs = _narrowed(traced, vs, d_u, d_vs)
    states = [_asked_for(stage, params, state, traced.shapes) for stage, state in zip(cell.stages, states, strict=True)]

    known = variables(p) | set(traced.constants)
    # What depends only on params is done once, before the loop; what depends on nothing stays inside, for XLA to fold.
    literal, loop_invariant, step_equations = [], [], []
    for e in traced.equations:
        if variables(e.inputs) <= known:
            (loop_invariant if variables(e.inputs) - {v for a in literal for v in a.outputs} else literal).append(e)
            known |= set(e.outputs)
        else:
            step_equations.append(e)
    # The reverse is what depends on the cotangent. The rest is the forward step, with the derivatives of its functions.
    after = reached(step_equations, ct)
    read_by_update = {i: a for i, a in enumerate(d_params) if variables(a) & after}
    results = (d_carry, d_u, d_vs, read_by_update)
    primal = [e for e in step_equations if not after & set(e.outputs)]
    backward = leading_to([e for e in step_equations if after & set(e.outputs)], results)
    needed = (variables([e.inputs for e in backward]) | variables((results, states))) - after - known

    half = _half(traced, c, us)

    def size(v):
        return traced.shapes[v].size * (2 if v in half else traced.shapes[v].dtype.itemsize)

    # The result of a product is a source beside carry and u, so that reversing a step repeats no product of a stage.
    saved = sorted(minimum_cut.cheapest(primal, variables((c, us, vs)), needed, size))
    rounded, widened = [], []
    for v in sorted(half & set(saved)):
        more, narrow = spliced(lambda a: a.astype(jnp.bfloat16), (v,), traced.shapes)
        back, wide = spliced(lambda a: a.astype(jnp.float32), (narrow,), traced.shapes)
        rounded += more
        widened += [e._replace(outputs=(v,)) if e.outputs == (wide,) else e for e in back]
    more, backward = pretranspose_kernels(
        narrow_products(swap_transposed(backward, traced.shapes), traced.shapes), known, traced.shapes
    )

    output = trace(cell.output, params, carry)
    asked = variables([output.outputs, [e.inputs for e in leading_to(output.equations, output.outputs)]])
    output_reads = jax.tree.map(lambda v: v in asked, output.inputs[1])

    def leading(wanted, known=()):
        return [*literal, *leading_to(primal, wanted, known)]

    return Plan(
        constants=traced.constants,
        params=p,
        carry=c,
        u=us,
        ct=ct,
        loop_invariant=[*literal, *loop_invariant, *more],
        advance=leading(new),
        forward=[*leading((new, saved)), *rounded],
        recompute=[*widened, *leading(list(needed), saved)],
        backward=backward,
        new=new,
        saved=sorted({*saved} - half | {v for e in rounded for v in e.outputs}),
        states=states,
        output_reads=jax.tree.leaves(output_reads),
        output_reads_real=[
            s for s, a in zip(jax.tree.leaves(output_reads), jax.tree.leaves(carry), strict=True) if is_real(a)
        ],
        d_carry=d_carry,
        d_u=d_u,
        d_v=d_vs,
        d_params=list(read_by_update.values()),
        params_read_by_update=list(read_by_update),
    )


def _narrowed(traced, vs, d_u, d_vs):
    """d_vs, with the cotangent of the drive in place of that of a product in a half type where it is the same, rounded.

    A drive is rounded to the type that products multiply, and so is, by `narrow_products`, what reverses a product: the
    loop then stacks one array for both.
    """
    made = {v: e for e in traced.equations for v in e.outputs}

    def multiplied(v):
        """The type of the operands of the product that made v; None for anything else."""
        e = made.get(v)
        e = made.get(e.inputs[0]) if e is not None and e.primitive is primitives.name_p else e
        if e is None or e.primitive is not primitives.dot_general_p:
            return None
        types = {traced.shapes[a].dtype for a in variables(e.inputs)}
        return types.pop() if len(types) == 1 else None

    def real_ones(v):
        return [a for a in jax.tree.leaves(v) if is_real(traced.shapes[a] if isinstance(a, int) else a.aval)]

    rounded = {}
    for d in variables(d_u):
        e = made.get(d)
        if e is not None and e.primitive is primitives.convert_element_type_p and isinstance(e.inputs[0], int):
            rounded[e.inputs[0], traced.shapes[d].dtype] = d
    return [
        [rounded.get((d, multiplied(a)), d) if isinstance(d, int) else d for a, d in zip(real_ones(v), ds, strict=True)]
        for v, ds in zip(vs, d_vs, strict=True)
    ]


def _half(traced, carry, u):
    """Variables that would be saved in bfloat16 where the drive is in it: what a step computes in float32 in between.

    Their rounding is that of the products' operands. A carry keeps its type, and float16 is no choice: it has not the
    range of float32. A loop that can only stack float32 (`loops`) gains nothing.
    """
    drive = {traced.shapes[v].dtype for v in variables(u) if is_real(traced.shapes[v])}
    if drive != {jnp.dtype(jnp.bfloat16)} or not stacks_half():
        return set()
    given = variables((traced.inputs, list(traced.constants)))
    return {v for v, a in traced.shapes.items() if a.dtype == jnp.float32 and v not in given}


def _named(v):
    """The result of a product, named to keep it distinct from a field of the state that `recur` may return."""
    return jax.tree.map(lambda a: checkpoint_name(a, "v"), v)


def _sum(a, b):
    return b if a is None else [x + y for x, y in zip(a, b, strict=True)]


def _asked_for(stage, params, state, shapes):
    """`state`, a pytree of atoms, with a shape in place of each that the gradient of its product does not need."""
    shaped = jax.tree.map(lambda a: shapes[a] if isinstance(a, int) else a.aval, state)
    shaped = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype), shaped)
    if stage.recur is None:
        return shaped
    v = jax.eval_shape(stage.recur, params, shaped)
    traced = trace(lambda p, s, d: pull(lambda p: stage.recur(p, s), p)[1](d), params, shaped, real(v))
    asked = variables([e.inputs for e in leading_to(traced.equations, traced.outputs)])
    return jax.tree.map(lambda a, shape, name: a if name in asked else shape, state, shaped, traced.inputs[1])
