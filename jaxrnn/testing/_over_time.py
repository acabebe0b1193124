"""Whole sequences, in all engines, against a loop of single steps."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn import engines
from jaxrnn._core.composition import looks_ahead
from jaxrnn.run import unroll
from jaxrnn.testing._compare import alive, close, dot, finite, sloped
from jaxrnn.testing._problem import BATCH, T, again, inexact, shape, with_nan
from jaxrnn.testing._report import Wrong

LENGTHS = np.array([[T, T - 1, 0], [T - 2, T, T - 1]], np.int32)
CUT = 3  # where T is cut in two


def over_time(trial, cell, problem, exact, dead):
    """The checks of whole sequences."""
    params, carry, xs, weights, flags = problem
    rows = {"lengths": LENGTHS, **flags}
    inside = np.arange(T).reshape(-1, 1, 1) < LENGTHS
    # Of the coarsest type that can be seen.
    eps = max(float(jnp.finfo(a.dtype).eps) for a in jax.tree.leaves((params, carry, weights)) if inexact(a))
    tol = 8 * T * eps
    # Where one array is read, padding is all that is masked too; beside it may be times, which a masked step has.
    padding = ~(inside & flags["mask"]) if hasattr(xs, "shape") else ~inside
    padded = jax.tree.map(lambda a: with_nan(a, padding), xs)
    traces: list[Any] = []

    def loop(params, carry, xs, *, lengths=None, mask=True, reset=False, reverse=False):
        there = np.broadcast_to(True if lengths is None else inside, (T, *BATCH))
        valid, ys = there & mask, [None] * T
        for t in range(T)[:: -1 if reverse else 1]:
            x = jax.tree.map(lambda a, t=t: a[t], xs)
            flags = (there & reset)[t], valid[t], there[t]
            carry, ys[t] = jax.device_get(one_step(cell, params, carry, x, *flags, Counter(traces)))
        return carry, jax.tree.map(lambda *a: np.stack(a), *ys)

    first = jax.tree.map(lambda a: shape(a[0, 0, 0]), xs)
    steppable = not looks_ahead(cell, params, first)
    results, forms = {}, {"scan": engines.scan, "checkpointed": functools.partial(engines.checkpointed, segment=2)}
    if cell.has_parts or cell.sequence is not None:
        forms["deferred"] = None  # the default, which is `deferred` where a member has parts
    else:
        trial.unchecked.append("engines.deferred: the cell is a plain step")
    for name, engine in forms.items():
        with trial.check(f"engines.{name} runs lengths, masks and resets, with NaN in the padding"):
            results[name] = with_gradient(cell, params, carry, padded, weights, rows, engine)
    if not steppable:
        trial.unchecked.append("values against a loop of `step`, finite differences: it needs the whole sequence")
        expected = results.get("scan")
    else:
        expected = loop(params, carry, xs, **rows)
        for name, (outcome, grads) in results.items():
            with trial.check(f"gradients of engines.{name} are finite, whatever is in the padding"):
                finite(dict(zip(("params", "carry", "xs"), grads, strict=True)))
            with trial.check(f"engines.{name} equals a loop of `step`"):
                close(outcome, expected, tol)
    for name in results:
        if name != "scan" and "scan" in results:
            with trial.check(f"gradients of engines.{name} equal those of engines.scan"):
                close(results[name][1], results["scan"][1], 4 * tol)
    if "scan" in results:
        grads = results["scan"][1]
        with trial.check("every parameter has a gradient"):
            alive(grads[0], dead)
        if steppable and exact:
            for i, name in enumerate(("params", "carry", "xs")):
                with trial.check(f"the gradient of {name} is that of finite differences"):
                    sloped(lambda *a: dot(weights, loop(*a, **rows)), (params, carry, xs), i, grads[i], eps)
        elif not exact:
            trial.unchecked.append("gradients against finite differences: exact=False")
    if not steppable:
        return
    run = jax.jit(functools.partial(unroll, cell), static_argnames="reverse")
    with trial.check("reverse=True equals a loop from the last step to the first"):
        close(run(params, carry, xs, **rows, reverse=True), loop(params, carry, xs, **rows, reverse=True), tol)
    with trial.check("T in two pieces equals T in one"):
        end, ys = carry, []
        for a, b in ((0, CUT), (CUT, T)):
            cut = functools.partial(jax.tree.map, lambda leaf, a=a, b=b: leaf[a:b])
            end, y = run(params, end, cut(xs), **cut(flags))
            ys.append(y)
        close((end, jax.tree.map(lambda *a: np.concatenate(a), *ys)), loop(params, carry, xs, **flags), tol)
    with trial.check("rows one by one, without batch axes, under vmap, equal rows in a batch"):
        mapped = jax.vmap(jax.vmap(run, (None, 0, 1), (0, 1)), (None, 0, 1), (0, 1))(params, carry, xs)
        close(mapped, loop(params, carry, xs), tol)
    if cell.origin is not None:
        with trial.check("jit compiles once for a cell made twice"):
            before = len(traces)
            x = jax.tree.map(lambda a: a[0], xs)
            one_step(again(cell), params, carry, x, inside[0], inside[0], inside[0], Counter(traces))
            if before != 1 or len(traces) != 1:
                raise Wrong(f"one step was traced {len(traces)} times")


def with_gradient(cell, params, carry, xs, weights, rows, engine):
    """(the outcome, the gradients of all its entries, weighed, by params, carry and xs)."""

    @jax.jit
    def run(params, carry, xs, rows):
        def loss(*args):
            outcome = unroll(cell, *args, **rows, engine=engine)
            return dot(weights, outcome), outcome

        return jax.value_and_grad(loss, (0, 1, 2), has_aux=True, allow_int=True)(params, carry, xs)

    (_, outcome), grads = jax.device_get(run(params, carry, xs, rows))
    return outcome, grads


class Counter:
    """A static argument that is equal to any other: what it holds grows when a function of it is traced."""

    def __init__(self, traces: list[Any]):
        self.traces = traces

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Counter)

    def __hash__(self) -> int:
        return 0


@functools.partial(jax.jit, static_argnums=(0, 7))
def one_step(cell, params, carry, x, reset, valid, there, counter):
    """One step of all rows with its flags [...]: the reference, which shares nothing with `unroll`."""
    counter.traces.append(None)

    def where(flags, yes, no):
        return jax.tree.map(lambda a, b: jnp.where(flags.reshape(*BATCH, *[1] * (b.ndim - 2)), a, b), yes, no)

    def held(carry):
        """A clock goes on where a step is not taken, unless the row has ended; dt is 1."""
        if not hasattr(carry, "elapsed"):
            return carry
        return carry._replace(elapsed=where(there, carry.elapsed + 1, carry.elapsed))

    first = jax.tree.map(lambda a: jnp.broadcast_to(a, (*BATCH, *a.shape)), cell.start(params))
    carry = where(reset, first, carry)
    new, y = cell.step(params, carry, x)
    kept = jax.tree.map(held, carry, is_leaf=lambda c: hasattr(c, "elapsed"))
    return where(valid, new, kept), where(valid, y, jax.tree.map(jnp.zeros_like, y))
