"""The arrays of a drawn call, for each of its members, and the loops of trees.py on them."""

from __future__ import annotations

import operator
import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from drawn import MEMBERS, Case
from reference import each
from support import double, tolerance
from trees import made, node

FLAGGED = ("with_reset", "with_mask")


def types_of(case: Case) -> dict[str, Any]:
    return {} if case.tree[0] == "precision" else {"param_dtype": case.param_dtype, "dtype": case.dtype}


class Problem:
    """The arrays of a case, for each of its members, and what is done with them.

    parts: {"params", "carry", "xs", and the rows that are traced} of each member. Those without an axis are the same.
    """

    def __init__(self, case: Case):
        self.case, rng = case, np.random.default_rng(case.seed)
        self.members = 2 if case.how in MEMBERS else 1
        self.cell = made(case.tree, **types_of(case))
        params = jax.eval_shape(lambda: self.cell.init(jax.random.key(0), case.D))
        self.carry_like = jax.eval_shape(lambda p: self.cell.initial_carry(p, case.batch), params)
        types = {a.dtype for a in jax.tree.leaves((params, self.carry_like))} | {jnp.dtype(t) for t in stated(case)}
        self.coarsest = max(types, key=lambda t: jnp.finfo(t).eps)
        xs = jax.ShapeDtypeStruct((case.T, *case.batch, case.D), jnp.dtype(case.xs))
        like = {"params": params, "xs": xs} | ({"carry": self.carry_like} if case.carry else {})
        self.axes = dict(zip(("params", "carry", "xs", "rows"), case.axes, strict=False))
        one = {name: normal(rng, tree) for name, tree in like.items()} | self.rows(rng)
        self.static = {name: one.pop(name) for name in list(one) if not self.is_argument(name)}
        self.parts = [dict(one) for _ in range(self.members)]
        for part in self.parts[1:]:
            mapped = {name: normal(rng, tree) for name, tree in like.items() if self.axis(name) is not None}
            rows = {name: a for name, a in self.rows(rng).items() if name in part and self.axis(name) is not None}
            part.update(mapped | rows)
        self.moving = list(like)
        size = sum(a.size for name in self.moving for a in jax.tree.leaves(one[name]))
        first = {name: normal(rng, like[name], 1 / np.sqrt(max(1, size))) for name in self.moving}
        self.directions = [first] + [
            {
                n: first[n] if self.axis(n) is None else normal(rng, like[n], 1 / np.sqrt(max(1, size)))
                for n in self.moving
            }
            for _ in self.parts[1:]
        ]
        self.expected = self.loops(0.0)
        wide = np.float64 if case.x64 else np.float32
        self.weights = [[rng.standard_normal(a.shape).astype(wide) for a in leaves] for leaves in self.expected]

    # What the arguments are.

    def rows(self, rng):
        """lengths, mask, reset, and the flags beside xs, in the types asked for. A mask takes no step past the end."""
        case, found = self.case, {}
        lengths = rng.integers(0, case.T + 1, case.batch)
        if case.lengths:
            found["lengths"] = typed(lengths, case.lengths)
        valid = np.arange(case.T).reshape(-1, *[1] * len(case.batch)) < (lengths if case.lengths else case.T)
        if case.mask:
            found["mask"] = typed((rng.random((case.T, *case.batch)) < 0.6) & valid, case.mask)
        if case.reset:
            found["reset"] = typed(rng.random((case.T, *case.batch)) < 0.3, case.reset)
        if case.tree[0] in FLAGGED:
            found["flag"] = rng.random((case.T, *case.batch)) < 0.4
        return found

    def is_argument(self, name):
        if name in ("params", "carry", "xs", "flag"):
            return True
        listed = (getattr(self.case, name) or "").startswith("list")
        # The windows of one sequence, and the members of a scan, cut what they are given.
        return not listed and self.case.traced

    def axis(self, name):
        return self.axes.get(name, self.axes["rows"])

    def stacked(self, trees, place=None):
        """The members' arrays with their axes, where they have one."""

        def on_axis(axis, name):
            return jax.tree.map(lambda *a: np.stack(a, axis), *(tree[name] for tree in trees))

        return {
            name: one if self.axis(name) is None else on_axis(self.axis(name) if place is None else place, name)
            for name, one in trees[0].items()
        }

    def mapped(self, part):
        return {name: a for name, a in part.items() if self.axis(name) is not None}

    def weights_along(self, axis):
        return [np.stack(each, axis) for each in zip(*self.weights, strict=True)]

    # By the loops.

    def loops(self, h):
        """The leaves of (carry, ys) of each member, moved by h along its direction."""
        found = []
        for part, direction in zip(self.parts, self.directions, strict=True):
            given = self.static | part
            moved = {
                name: jax.tree.map(lambda a, d: a + h * d, double(part[name]), double(direction[name]))
                for name in self.moving
            }
            T, batch = self.case.T, self.case.batch
            lengths = np.broadcast_to(
                np.asarray(given.get("lengths", T), np.int64).reshape(batch if "lengths" in given else ()), batch
            )
            mask = np.asarray(given.get("mask", np.ones((T, *batch))), bool).reshape(T, *batch)
            reset = np.asarray(given.get("reset", np.zeros((T, *batch))), bool).reshape(T, *batch)
            if self.case.tree[0] == "with_reset":
                reset = reset | (given["flag"] & mask)
            if self.case.tree[0] == "with_mask":
                mask = mask & given["flag"]
            carry, ys = by_row(
                self.case.tree,
                moved["params"],
                moved.get("carry"),
                moved["xs"],
                (lengths, mask, reset),
                self.case.reverse,
            )
            found.append(jax.tree.leaves((carry, ys)))
        return found

    def joined(self, found):
        """The members' leaves as the transformation puts them together."""
        if self.members == 1:
            return found[0]
        axis = 0 if self.case.how in ("vmap of grad", "scan of grad") else self.case.axes[4]
        return [np.stack(each, axis) for each in zip(*found, strict=True)]

    def along(self, gradient, e):
        """The gradient times the direction, the sum of the terms' sizes, and how much of it is rounded away.

        A gradient has the type of its argument, which may be narrower than what the cell computes in. e: of that member
        alone.
        """
        if e is None:
            direction = self.directions[0] if self.members == 1 else self.stacked(self.directions)
        else:
            gradient = jax.tree.map(lambda g: g[e], gradient)
            direction = self.directions[e]
        pairs = zip(jax.tree.leaves(double(gradient)), jax.tree.leaves(double(direction)), strict=True)
        terms = [g * d for g, d in pairs]
        sizes = [np.sum(np.abs(t)) for t in terms]
        rounded = [tolerance(g.dtype, 1) * s for g, s in zip(jax.tree.leaves(gradient), sizes, strict=True)]
        return sum(np.sum(t) for t in terms), sum(sizes), sum(rounded)


def stated(case: Case) -> list[str]:
    """The types that are asked for in words. What is `time_distributed` is computed in that of xs."""
    first = case.xs if "time_distributed" in str(case.tree) else None
    return re.findall(r"bfloat16|float32|float64", str((case.tree, case.param_dtype, case.dtype, first)))


def typed(a: np.ndarray, how: str) -> Any:
    """An array of numbers or flags as somebody has them; without axes NumPy's number."""
    who, dtype = how.split()
    a = a.astype(dtype)
    if who == "list" and 0 not in a.shape[:-1]:  # a list of no rows does not say how long they would be
        return a.tolist()
    return jnp.asarray(a) if who == "jax" else a[()]


def normal(rng: np.random.Generator, tree: Any, scale: float = 0.5) -> Any:
    return jax.tree.map(lambda a: (scale * rng.standard_normal(a.shape)).astype(a.dtype), tree)


def from_behind(restarts, reverse):
    """A restart parts the row: who comes from the other side starts anew at the neighbour of its step."""
    moved = np.zeros_like(restarts)
    if reverse:
        moved[1:] = restarts[:-1]
    else:
        moved[:-1] = restarts[1:]
    return moved


def by_row(tree, params, carry, xs, rows, reverse):
    """(carry, ys) of all rows, each by itself; rows: lengths [...], mask and reset [T, ...]."""
    n, batch = node(tree), xs.shape[1:-1]
    start = n.start(params)
    one = n.over(
        params, start, start, np.zeros((1, xs.shape[-1])), [True], {False: [False], True: [False]}, back=False
    )[1]
    ys = each(lambda y: np.zeros((*xs.shape[:-1], *y.shape[1:])), one)
    ends = (
        each(lambda a: np.broadcast_to(a, (*batch, *a.shape)).copy(), start) if carry is None else each(np.copy, carry)
    )
    lengths, mask, reset = rows
    for row in np.ndindex(*batch):
        here = (slice(None, lengths[row]), *row)
        state = each(operator.itemgetter(row), ends)
        restarts = {reverse: reset[here], not reverse: from_behind(reset[here], reverse)}
        state, y = n.over(params, start, state, xs[here], mask[here], restarts, back=reverse)
        each(lambda a, b, at=row: a.__setitem__(at, b), ends, state)
        each(lambda a, b, at=here: a.__setitem__(at, b), ys, y)
    taken = mask & (np.arange(len(xs)).reshape(-1, *[1] * len(batch)) < lengths)
    return ends, each(lambda y: np.where(taken.reshape(*taken.shape, *[1] * (y.ndim - taken.ndim)), y, 0), ys)
