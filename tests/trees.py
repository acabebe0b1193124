"""Compositions as trees of tuples: made by jaxrnn, and again as loops in NumPy that share no code with it.

    ("cell", row of VARIANTS, H)        ("stack", tree, ...)       ("stack_skip", tree, ...)      ("time_distributed",)
    ("bidirectional", merge, tree, tree)        ("deep_transition", cell, ...)        ("fast_slow", cell, cell, cell)
    ("projection" or "bottleneck", tree, size)        ("precision", tree, compute_dtype, param_dtype, carry_dtype)
    (any other wrapper, tree)

A tree prints as what makes it. The loops are float64, for one row, and know one direction of time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import compositions
import numpy as np
import reference
from reference import each
from support import PAIRS, VARIANTS, carry_sizes, loop

import jaxrnn as J

BOUND, H_RATE, C_RATE = 0.3, 0.25, 0.4
STEPS = ("cell", "deep_transition", "fast_slow")  # those that are one step in three parts
# At evaluation these are the cell within; the bound of a gradient is not met.
BARE: dict[str, Callable] = {
    "clip_gradient": lambda c: J.clip_gradient(c, 1e6),
    "dropout": lambda c: J.dropout(c, input=0.3, output=0.4),
    "recurrent_dropout": lambda c: J.recurrent_dropout(c, 0.3, on="carry"),
    "variational_dropout": lambda c: J.variational_dropout(c, input=0.2, output=0.1),
    "weight_drop": lambda c: J.weight_drop(c, 0.3, names=("recurrent_kernel", "recurrent_weight")),
}
PLAIN: dict[str, Callable] = {
    "bottleneck": J.bottleneck,
    "clip_carry": lambda c: J.clip_carry(c, BOUND),
    "emit_carry": J.emit_carry,
    "highway": J.highway,
    "learned_carry": J.learned_carry,
    "projection": J.projection,
    "residual": J.residual,
    "weight_norm": J.weight_norm,
    "with_mask": J.with_mask,
    "with_reset": J.with_reset,
}
MERGES = {
    "concat": lambda a, b: np.concatenate([a, b], -1),
    "sum": lambda a, b: a + b,
    "mean": lambda a, b: (a + b) / 2,
}


def trees_in(tree: tuple) -> list[tuple]:
    """The trees that a tree is directly made of."""
    return [part for part in tree[1:] if isinstance(part, tuple)]


def nodes(tree: tuple) -> list[tuple]:
    return [tree, *(node for part in trees_in(tree) for node in nodes(part))]


def pairs(tree: tuple) -> bool:
    """Whether each of its cells carries two states."""
    return all(VARIANTS[node[1]][0] in PAIRS for node in nodes(tree) if node[0] == "cell")


def y_size(tree: tuple, D: int) -> int:
    """The features of y."""
    kind, *parts = tree
    if kind == "cell":
        return carry_sizes(parts[0], parts[1])[0]
    if kind in ("deep_transition", "fast_slow"):
        return y_size(parts[0], D)
    if kind in ("residual", "highway", "time_distributed"):
        return D
    if kind == "projection":
        return parts[1]
    if kind == "stack_skip":
        return sum(y_size(part, D) for part in parts)  # of cells and others whose y has a size of its own
    if kind == "bidirectional":
        return y_size(parts[1], D) + (y_size(parts[2], D) if parts[0] == "concat" else 0)
    if kind == "bottleneck":
        return y_size(parts[0], parts[1])
    for part in trees_in(tree):
        D = y_size(part, D)
    return D


def made(tree: tuple, **types: Any) -> Any:
    """The cell; `types` are options of each cell in it."""
    kind, *parts = tree
    if kind == "cell":
        factory, options = VARIANTS[parts[0]]
        return J.CELLS[factory](parts[1], **options, **types)
    if kind == "time_distributed":
        return J.time_distributed("tanh")
    within = [made(part, **types) if isinstance(part, tuple) else part for part in parts]
    if kind.startswith("stack"):
        return J.stack(*within, skip=kind == "stack_skip")
    if kind == "bidirectional":
        return J.bidirectional(*within[1:], merge=within[0])
    if kind == "deep_transition":
        return J.deep_transition(*within)
    if kind == "fast_slow":
        return J.fast_slow(*within[:2], slow=within[2])
    if kind == "precision":
        cell, compute, param, carry = within
        return J.precision(cell, compute_dtype=compute, param_dtype=param, carry_dtype=carry)
    if kind == "zoneout":
        return J.zoneout(*within, h=H_RATE, c=C_RATE if pairs(tree) else 0.0)
    return (BARE | PLAIN)[kind](*within)


class Node(NamedTuple):
    """A composition of one row: where it starts, and how it goes over all steps.

    over(params, start, carry, xs [n, D], taken [n], restarts, back=) -> (carry, ys [n, ...]). `start` is the carry of a
    restart; `back`: from the last step to the first; restarts [n] are by the way that is gone. ys mean nothing where no
    step is taken.
    """

    start: Callable
    over: Callable


class Step(NamedTuple):
    """One step of what is in parts: y is output(carry)."""

    start: Callable  # params -> carry
    advance: Callable  # (params, carry, x) -> carry
    output: Callable  # carry -> y
    names: Any  # of the fields of the carry, in its structure


def step_of(tree: tuple) -> Step:
    kind, *parts = tree
    if kind == "cell":
        one, sizes = loop(parts[0]), carry_sizes(*parts)
        return Step(
            lambda params: tuple(map(np.zeros, sizes)),
            lambda params, carry, x: one(params, carry, x)[0],
            lambda carry: carry[0],
            ("h", "c")[: len(sizes)],
        )
    steps = [step_of(part) for part in parts]

    def both(step):
        return lambda params, carry, x: (step.advance(params, carry, x), step.output(step.advance(params, carry, x)))

    if kind == "deep_transition":
        whole = compositions.transitions(*map(both, steps))
        return steps[0]._replace(advance=lambda *args: whole(*args)[0], start=lambda p: steps[0].start(p["cell_0"]))
    first, second, slow = steps
    whole = compositions.alternating(both(first), both(second), both(slow))
    return Step(
        lambda params: {"fast": first.start(params["fast_0"]), "slow": slow.start(params["slow"])},
        lambda *args: whole(*args)[0],
        lambda carry: first.output(carry["fast"]),
        {"fast": first.names, "slow": slow.names},
    )


def node(tree: tuple, after: tuple[Callable, ...] = ()) -> Node:
    """after: what is done to the carry of each cell after its step, (names, old, new) -> new, in order."""
    kind, *parts = tree
    if kind in STEPS:
        return over_steps(step_of(tree), after)
    if kind == "emit_carry":
        step = step_of(parts[0])
        return over_steps(step._replace(output=lambda carry: (step.output(carry), carry)), after)
    if kind == "clip_carry":
        return node(parts[0], (clipped, *after))
    if kind == "zoneout":
        rates = {"h": H_RATE, "c": C_RATE if pairs(tree) else 0.0}
        return node(parts[0], (zoned(rates), *after))
    if kind in BARE or kind in ("precision", "with_reset", "with_mask"):
        return node(parts[0], after)
    if kind == "time_distributed":
        return Node(lambda params: (), lambda params, start, carry, xs, *_, back: (carry, np.tanh(xs)))
    inner = [node(part, after) for part in parts if isinstance(part, tuple)]
    if kind.startswith("stack"):
        return layers(inner, skip=kind == "stack_skip")
    if kind == "bidirectional":
        return two_ways(*inner, merge=MERGES[parts[0]])
    return {"learned_carry": learned, "weight_norm": normed}.get(kind, lambda n: beside(kind, n))(*inner)


def clipped(names, old, new):
    return each(lambda a: np.minimum(np.maximum(a, -BOUND), BOUND), new)


def zoned(rates):
    return lambda names, old, new: each(lambda name, a, b: rates[name] * a + (1 - rates[name]) * b, names, old, new)


def over_steps(step: Step, after) -> Node:
    def over(params, start, carry, xs, taken, restarts, *, back):
        ys = each(lambda a: np.zeros((len(xs), *a.shape)), step.output(start))
        times = range(len(xs))
        for t in reversed(times) if back else times:
            if restarts[back][t]:
                carry = start
            if taken[t]:
                new = step.advance(params, carry, xs[t])
                for change in after:
                    new = change(step.names, carry, new)
                carry = new
                each(lambda all_, y: all_.__setitem__(t, y), ys, step.output(carry))  # noqa: B023 - used at once
        return carry, ys

    return Node(step.start, over)


def layers(inner: list[Node], *, skip: bool) -> Node:
    def over(params, start, carry, xs, *rows, back):
        new, ys, seen = {}, [], xs
        for i, layer in enumerate(inner):
            name = f"layer_{i}"
            new[name], y = layer.over(params[name], start[name], carry[name], seen, *rows, back=back)
            ys.append(y)
            seen = np.concatenate([xs, y], -1) if skip else y
        return new, np.concatenate(ys, -1) if skip else ys[-1]

    names = [f"layer_{i}" for i in range(len(inner))]
    return Node(lambda p: {name: n.start(p[name]) for name, n in zip(names, inner, strict=True)}, over)


def two_ways(forward: Node, backward: Node, merge) -> Node:
    def over(params, start, carry, *rows, back):
        a, ys = forward.over(*(t["forward"] for t in (params, start, carry)), *rows, back=back)
        b, zs = backward.over(*(t["backward"] for t in (params, start, carry)), *rows, back=not back)
        return {"forward": a, "backward": b}, merge(ys, zs)

    both = {"forward": forward, "backward": backward}
    return Node(lambda params: {name: n.start(params[name]) for name, n in both.items()}, over)


def learned(inner: Node) -> Node:
    return Node(lambda p: p["initial_carry"], lambda p, *args, back: inner.over(p["cell"], *args, back=back))


def normed(inner: Node) -> Node:
    """Each column of a kernel is a length times a direction."""

    def weights(params, tree, path):
        if isinstance(tree, dict):
            return {name: weights(params, part, f"{path}.{name}") for name, part in tree.items()}
        if path not in params["scale"]:
            return tree
        return tree / np.sqrt(np.square(tree).sum(-2, keepdims=True)) * params["scale"][path][..., None, :]

    def cell(params):
        return weights(params, params["cell"], "cell")

    return Node(lambda p: inner.start(cell(p)), lambda p, *args, back: inner.over(cell(p), *args, back=back))


def beside(kind: str, inner: Node) -> Node:
    """Layers before or after it, that see one step each."""

    def over(params, start, carry, xs, *rows, back):
        own = params if kind == "residual" else params["cell"]
        carry, ys = inner.over(
            own, start, carry, xs @ params["kernel"] if kind == "bottleneck" else xs, *rows, back=back
        )
        if kind == "residual":
            ys = ys + xs
        elif kind == "projection":
            ys = ys @ params["kernel"] + params["bias"]
        elif kind == "highway":
            t = reference.sigmoid(xs @ params["kernel"] + params["bias"])
            ys = t * ys + (1 - t) * xs
        return carry, ys

    return Node(inner.start if kind == "residual" else lambda params: inner.start(params["cell"]), over)
