"""Where `learn` has its batches from: rows of arrays, a function of a key, batches by number, batches in a row."""

from __future__ import annotations

import base64
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn._core.described import describe
from jaxrnn.train._devices import axes

LARGEST = 2**30  # bytes of arrays that go to the device at once; of larger ones, the rows of each batch do


class Source:
    """Batches, numbered from 0."""

    held: Any = ()  # what the program is given at each call
    several = False  # whether a call makes several steps
    epoch: float | None = None  # batches in one
    make: Any  # a value, which hashes: (held, asked, key) -> batch, in the program

    def ask(self, k: int, n: int) -> Any:
        """What the program is told of steps k, ... k + n - 1: leaves [n, ...], or if not several a batch, or None."""
        raise NotImplementedError

    def begins(self, k: int) -> bool:
        """Whether an epoch begins with step k, the last that was asked for or one before it."""
        return k == 0 or (self.epoch is not None and k % self.epoch == 0)

    def state(self) -> Any:
        """Plain JSON to go on from; None: the number of the step is enough."""
        return None

    def resume(self, k: int, state: Any) -> None:
        """Go on with step k."""


def source(data: Any, axis: Any, batch: int, weights: Any, key: jax.Array, *, in_order: bool) -> Source:
    """The batches of what `learn` was given as data, whichever kind it is."""
    if is_arrays(data):
        return Rows(data, axis, batch, weights, key, in_order)
    if weights is not None:
        raise ValueError(f"weights: expected None where data is not arrays with rows, got {describe(weights)}")
    if type(data) not in (dict, tuple, str) and hasattr(type(data), "__getitem__"):
        return Numbered(data)
    if type(data) not in (dict, tuple, str) and hasattr(type(data), "__iter__"):
        return Turns(data)
    if callable(data):
        return Made(data)
    raise TypeError(
        "data: expected a tree of arrays with rows, a function of a key, a list or another object of batches by "
        f"number, or an iterable of batches, got {describe(data)}"
    )


def is_arrays(data: Any) -> bool:
    """Whether it is a tree of arrays. A list is one of batches."""
    leaves = jax.tree.leaves(data, is_leaf=lambda a: hasattr(type(a), "__next__"))
    tree = not isinstance(data, list | jax.tree_util.Partial)
    return tree and bool(leaves) and all(isinstance(a, jax.Array | np.ndarray) for a in leaves)


class Take(NamedTuple):
    """Rows of arrays, along these axes."""

    axes: tuple[int | None, ...]

    def __call__(self, held: Any, rows: Any, key: Any = None) -> Any:
        leaves, form = jax.tree.flatten(held)
        taken = [a if n is None else jnp.take(a, rows, n, mode="clip") for a, n in zip(leaves, self.axes, strict=True)]
        return form.unflatten(taken)


class Call(NamedTuple):
    """What a function makes of the key: one that is known, or None for one that is held, with arrays."""

    function: Any

    def __call__(self, held: Any, asked: Any, key: Any) -> Any:
        return (self.function or held)(key)


class Given(NamedTuple):
    """What was asked for."""

    def __call__(self, held: Any, asked: Any, key: Any) -> Any:
        return asked


class Rows(Source):
    """`batch` rows of arrays in each step: in an order of their own in each epoch, by weights, or as they come."""

    def __init__(self, data: Any, axis: Any, batch: int, weights: Any, key: jax.Array, in_order: bool):
        self._axes, self.rows = axes(axis, data), row_count(data, axis)
        self.batch, self._in_order, self._orders = min(batch, self.rows), in_order, {}
        self.epoch = self.rows / self.batch
        words = jax.random.key_data(key) if jnp.issubdtype(key.dtype, jax.dtypes.prng_key) else key
        self._seed = np.asarray(words).ravel().tolist()
        self._sums = None if weights is None else _sums(weights, self.rows)
        if in_order and weights is not None:
            raise ValueError("weights: expected None with a carry, which is handed on from row to row in their order")
        if in_order and self.rows % self.batch:
            raise ValueError(
                f"batch: expected one that divides the N={self.rows} rows, which with a carry come in their order, "
                f"got {batch}; cut the rows to {self.rows - self.rows % self.batch}"
            )
        leaves = jax.tree.leaves(data)
        self.several = sum(a.nbytes for a in leaves) <= LARGEST or all(isinstance(a, jax.Array) for a in leaves)
        self._data, self.make = data, Take(self._axes) if self.several else Given()
        self.held = data if self.several else ()

    def ask(self, k, n):
        """Numbers of rows [n, batch], or without `several` the rows."""
        rows = self.numbers(k, n)
        if self.several:
            return rows
        leaves, form = jax.tree.flatten(self._data)
        taken = [a if axis is None else np.take(a, rows[0], axis) for a, axis in zip(leaves, self._axes, strict=True)]
        return form.unflatten(taken)

    def numbers(self, k: int, n: int) -> np.ndarray:
        """Of the rows of steps k, ... k + n - 1: [n, batch] int32."""
        if self._sums is not None:
            drawn = [self._drawn(step) for step in range(k, k + n)]
            return np.stack(drawn)
        first, end = k * self.batch, (k + n) * self.batch
        pieces = []
        for epoch in range(first // self.rows, -(-end // self.rows)):
            before = epoch * self.rows
            pieces.append(self._order(epoch)[max(0, first - before) : end - before])
        return np.concatenate(pieces).reshape(n, self.batch)

    def _order(self, epoch: int) -> np.ndarray:
        if self._in_order:
            return np.arange(self.rows, dtype=np.int32)
        if epoch not in self._orders:  # the last two are kept: a call may have rows of both
            self._orders = {e: order for e, order in self._orders.items() if e == epoch - 1}
            order = np.random.default_rng([*self._seed, 0, epoch]).permutation(self.rows)
            self._orders[epoch] = order.astype(np.int32)
        return self._orders[epoch]

    def _drawn(self, step: int) -> np.ndarray:
        assert self._sums is not None
        drawn = np.random.default_rng([*self._seed, 1, step]).random(self.batch) * self._sums[-1]
        last = np.searchsorted(self._sums, self._sums[-1])  # of those with a weight
        return np.minimum(np.searchsorted(self._sums, drawn, "right"), last).astype(np.int32)


class Made(Source):
    """A batch that a function makes of the key of the step."""

    several = True

    def __init__(self, function: Any):
        with_arrays = isinstance(function, jax.tree_util.Partial)
        self.held, self.make = (function, Call(None)) if with_arrays else ((), Call(function))

    def ask(self, k, n):
        """Nothing: the program knows the step."""
        return ()


class Numbered(Source):
    """data[k], begun anew after the last where there is one."""

    make = Given()

    def __init__(self, data: Any):
        self._data, self.epoch = data, len(data) if hasattr(type(data), "__len__") else None
        if self.epoch == 0:
            raise ValueError(f"data: expected batches, got none in {describe(data)}")

    def ask(self, k, n):
        """The batch of step k."""
        return _as_arrays(self._data[k % self.epoch if self.epoch else k])


class Turns(Source):
    """The items of an iterable, and again; one whose iterator tells its state goes on there."""

    make = Given()

    def __init__(self, data: Any, turns: float = math.inf):
        self._data, self.turns, self._turn, self._began = data, turns, 0, 0
        self.epoch = len(data) if hasattr(type(data), "__len__") else None
        self._items, self._k = iter(data), 0

    def ask(self, k, n):
        """The next item, which is that of step k."""
        item = next(self._items, self)
        if item is self and self._k > self._began:
            self._turn += 1
            if self._turn >= self.turns:
                return None
            self._items, self._began = iter(self._data), self._k
            item = next(self._items, self)
        if item is self:
            what = f"an iterator that ended after {self._k} batches" if self._k else "none"
            raise ValueError(f"data: expected batches, got {what}; give a list, or what can be iterated anew")
        self._k += 1
        return _as_arrays(item)

    def begins(self, k):
        return k == self._began

    def state(self):
        if not hasattr(self._items, "get_state"):
            return None
        state = self._items.get_state()
        if isinstance(state, bytes):
            state = {"bytes": base64.b64encode(state).decode()}
        return {"turn": self._turn, "began": self._began, "iterator": state}

    def resume(self, k, state):
        if state is None:
            for step in range(k):
                self.ask(step, 1)
            return
        self._turn, self._began, self._k = state["turn"], state["began"], k
        self._items, there = iter(self._data), state["iterator"]
        coded = isinstance(there, dict) and set(there) == {"bytes"}
        self._items.set_state(base64.b64decode(there["bytes"]) if coded else there)


def row_count(data: Any, axis: Any) -> int:
    """N, how many rows all arrays have along their axes."""
    found = {}
    for (path, a), n in zip(jax.tree_util.tree_leaves_with_path(data), axes(axis, data), strict=True):
        if n is not None:
            if not 0 <= n < np.ndim(a):
                raise ValueError(f"axis: expected one of data{jax.tree_util.keystr(path)} {np.shape(a)}, got {axis!r}")
            found[jax.tree_util.keystr(path)] = np.shape(a)[n]
    if len(set(found.values())) != 1 or not min(found.values()):
        rows = ", ".join(f"data{path} {n}" for path, n in found.items())
        raise ValueError(
            f"data: expected as many rows along axis {axis!r} in each array, at least one, got {rows or 'none'}; "
            "`axis` may be a tree, such as (1, 0) for xs [T, N, D] and labels [N]"
        )
    return found.popitem()[1]


def _sums(weights: Any, rows: int) -> np.ndarray:
    weights = np.asarray(weights, np.float64)
    if weights.shape != (rows,):
        raise ValueError(f"weights: expected [N] with N={rows}, one for each row, got {weights.shape}")
    if not (np.isfinite(weights).all() and (weights >= 0).all() and weights.any()):
        raise ValueError("weights: expected finite numbers of at least 0, not all of them 0")
    return weights.cumsum()


def _as_arrays(item: Any) -> Any:
    """A batch whose leaves JAX takes, where they were those of another framework."""
    return jax.tree.map(lambda a: a if isinstance(a, jax.Array) else np.asarray(a), item)
