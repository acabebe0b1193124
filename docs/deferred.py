"""The numbers of docs/deferred.md: what the deferred engine makes of one GRU. `python docs/deferred.py`.

Nothing is computed or compiled. The engine's own functions are called with shapes, and what they return is printed.
"""

from __future__ import annotations

import functools
import math
from collections import Counter
from unittest import mock

import jax
import jax.numpy as jnp

import jaxrnn
from jaxrnn import engines
from jaxrnn._core.loops import length
from jaxrnn.engines._deferred import engine, minimum_cut
from jaxrnn.engines._deferred import plan as planning
from jaxrnn.engines._deferred.program import leading_to, reached, trace, variables

T, B, D, H = 128, 32, 128, 128


def arguments(cell):
    """(params, carry, xs) as shapes."""
    params = jax.eval_shape(functools.partial(cell.init, input_size=D), jax.random.key(0))
    carry = jax.eval_shape(lambda params: cell.initial_carry(params, (B,)), params)
    return params, carry, jax.ShapeDtypeStruct((T, B, D), params["kernel"].dtype)


def one_drive(cell):
    """u of one step, as a shape."""
    params, _, xs = arguments(cell)
    return jax.eval_shape(cell.drive, params, jax.ShapeDtypeStruct(xs.shape[1:], xs.dtype))


def planned(cell):
    """The plan, and what `plan` traced and had cut on the way."""
    traced, cut = [], []

    def recorded(f, log):
        return lambda *args: log.append((args, f(*args))) or log[-1][1]

    with (
        mock.patch.object(planning, "trace", recorded(trace, traced)),
        mock.patch.object(minimum_cut, "cheapest", recorded(minimum_cut.cheapest, cut)),
    ):
        plan = planning.plan(cell, *arguments(cell)[:2], one_drive(cell))
    return plan, traced[0][1], cut[0]


def formulas(equations, names):
    """Variables as formulas of named ones. The three activations of a GRU come in the order r, z, n."""
    gates = iter("rzn")
    for e in equations:
        name, inputs = e.primitive.name, [names[v] if isinstance(v, int) else f"{v.val:g}" for v in e.inputs]
        factors = [f"({s})" if " + " in s or " - " in s else s for s in inputs]
        if name in ("logistic", "tanh"):
            names[e.outputs[0]] = next(gates)
        elif name == "split":
            names |= {v: f"{inputs[0]}_{gate}" for v, gate in zip(e.outputs, "rzn", strict=True)}
        elif name == "mul":
            names[e.outputs[0]] = " ".join(factors)
        elif name in ("add", "sub"):
            names[e.outputs[0]] = {"add": " + ", "sub": " - "}[name].join(inputs)
        else:
            names |= dict.fromkeys(e.outputs, "v" if name == "name" else inputs[0])
    return names


def gradient(run, *args):
    """run(*args) and the pullback of all that it returns, as one program."""

    def both(*args):
        out, back = jax.vjp(run, *args)
        return out, back(jax.tree.map(jnp.ones_like, out))

    return jax.make_jaxpr(both)(*args).jaxpr


def walk(jaxpr, loops=()):
    """Every equation with the scans around it, outermost first."""
    for e in jaxpr.eqns:
        yield e, loops
        for value in e.params.values():
            if hasattr(inner := getattr(value, "jaxpr", value), "eqns"):
                yield from walk(inner, (*loops, e) if e.primitive.name == "scan" else loops)


def size(a):
    return a.size * a.dtype.itemsize


def listed(words):
    return ", ".join(f"{n} {word}" if n > 1 else word for word, n in Counter(words).items())


def types(atoms):
    return listed(v.aval.str_short(short_dtypes=True) for v in atoms)


def show_step(cell):
    plan, step, _ = planned(cell)
    parts = {name: getattr(plan, name) for name in ("loop_invariant", "advance", "forward", "recompute", "backward")}
    made = {v for equations in parts.values() for e in equations for v in e.outputs}
    dropped = [e for e in step.equations if not made & set(e.outputs)]
    for name, equations in {"traced": step.equations, **parts, "dropped": dropped}.items():
        print(f"{name:14s} {len(equations):2d}: {listed(e.primitive.name for e in equations)}")


def show_cut(cell):
    plan, _, ((primal, sources, needed, cost), saved) = planned(cell)
    names = {plan.carry.h: "h", plan.u: "u", plan.params["recurrent_kernel"]: "U", plan.params["recurrent_bias"]: "d"}
    names = formulas([*plan.loop_invariant, *primal], names)
    graph = leading_to(primal, list(needed), sources)
    between = {v for e in graph for v in (*variables(e.inputs), *e.outputs)} & reached(primal, sources)
    kinds = {}
    for v in sorted(between | sources):
        kind = "saved" if v in saved else "recomputed" if v in needed else "start" if v in sources else "between"
        kinds.setdefault((kind, cost(v)), []).append(names[v])
    for (kind, each), some in sorted(kinds.items()):
        print(f"{kind:10s} {each:5d} bytes each: {', '.join(some)}")
    for what, some in {"at the start": sources, "read by the reverse": needed, "in the cut": saved}.items():
        print(f"all that is {what}: {sum(map(cost, some))} bytes")


def show_residuals(cell):
    for run in engines.deferred, engines.scan:
        kept = jax.eval_shape(lambda *args, run=run: jax.vjp(functools.partial(run, cell), *args)[1], *arguments(cell))
        stacked = [a for a in jax.tree.leaves(kept) if a.ndim == 3]  # [T, B, H], and xs [T, B, D], which both keep
        saved = sum(map(size, stacked)) - size(arguments(cell)[2])
        print(f"{run.__name__:8s} xs and {len(stacked) - 1} more: {saved // T} bytes a step, {saved} in all")


def show_chunk(cell):
    step = size(one_drive(cell))
    least = max(engine.ROWS // B, engine.BYTES // step)
    print(f"max({engine.ROWS} // {B}, {engine.BYTES} // {step}) = {least}, length({T}, {least}) = {length(T, least)}")
    print(f"without a gradient: length({T}, {engine.AHEAD}) = {length(T, engine.AHEAD)}")


def show_loops(run, cell):
    for e, loops in walk(gradient(functools.partial(run, cell), *arguments(cell))):
        if e.primitive.name == "scan":
            body, constants, carried = e.params["jaxpr"].jaxpr, e.params["num_consts"], e.params["num_carry"]
            inputs, indent = body.invars[constants:], "    " * len(loops)
            print(f"{indent}{e.params['length']} turns {'backward' if e.params['reverse'] else 'forward'}")
            print(f"{indent}  carry {types(inputs[:carried])}")
            print(f"{indent}  read {types(inputs[carried:])}; write {types(body.outvars[carried:])}")


def show_products(run, cell):
    total = 0
    for e, loops in walk(gradient(functools.partial(run, cell), *arguments(cell))):
        if e.primitive.name == "dot_general":
            times, (a, b) = math.prod(loop.params["length"] for loop in loops), e.params["dimension_numbers"][0]
            flops = 2 * times * e.outvars[0].aval.size * math.prod(e.invars[0].aval.shape[i] for i in a)
            left, right, result = (types([v]) for v in (*e.invars, *e.outvars))
            print(f"{times:3d} x {left} . {right} over {list(a)} and {list(b)} -> {result}: {flops} FLOPs")
            total += flops
    print(f"in all {total} FLOPs")


def show_vmap(cell, rows=3):
    params, carry, xs = arguments(cell)
    over = jax.vmap(functools.partial(engines.deferred, cell), (None, None, 0))
    args = params, carry, jax.ShapeDtypeStruct((rows, *xs.shape), xs.dtype)
    for what, jaxpr in {"function": jax.make_jaxpr(over)(*args).jaxpr, "rule": gradient(over, *args)}.items():
        placed = [e for e, _ in walk(jaxpr) if e.primitive.name == "batch_axis_placed"]
        print(f"{what:8s}", *(f"{types(e.invars[:1])} axis {e.params['axis']}" for e in placed), sep="  ")


def main():
    gru, half = jaxrnn.gru(H), jaxrnn.gru(H, dtype="bfloat16")
    print(f"jax {jax.__version__}: {gru!r}, T={T}, B={B}, D={D}, float32")
    for title, show, *of in (
        ("step", show_step, gru),
        ("cut", show_cut, gru),
        ("saved", show_residuals, gru),
        ("chunk", show_chunk, gru),
        ("loops, deferred", show_loops, engines.deferred, gru),
        ("loops, scan", show_loops, engines.scan, gru),
        ("products, deferred", show_products, engines.deferred, gru),
        ("products, scan", show_products, engines.scan, gru),
        ("products, deferred, bfloat16", show_products, engines.deferred, half),
        ("products, scan, bfloat16", show_products, engines.scan, half),
        ("vmap", show_vmap, gru),
    ):
        print(f"\n[{title}]")
        show(*of)


if __name__ == "__main__":
    main()
