"""Batches of sequences of unequal length: padded, padded in buckets of similar length, or packed end to end in rows.

A sequence is an array [T_i, ...] or a pytree whose leaves share their T_i, which may be 0; N of them make a batch.
Batches are made on the host, in NumPy, in the types of the sequences; `last` and `padded` work under jit.

    xs, lengths = pad(sequences)                               # N columns, each as long as the longest sequence
    _, ys = jaxrnn.unroll(cell, params, None, xs, lengths=lengths)
    unpad(ys, lengths)                                         # a list again

    p = pack(sequences)                                        # fewer columns, all of them full
    _, ys = jaxrnn.unroll(cell, params, None, p.xs, reset=p.reset, lengths=p.lengths)
    unpack(p, ys), last(p, ys)                                 # in the order of the sequences
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn._core import arrays, checks


class Packed(NamedTuple):
    """N sequences packed end to end in B rows of T steps; the padding is at the end of each row. A pytree.

    Losses per sequence: `jax.ops.segment_sum(losses.ravel(), p.segment.ravel(), N)` of losses [T, B] gives [N], without
    the padding. Noise that is drawn once per row, as in variational dropout, is shared by all sequences of that row.
    All batches that `pack` makes with the same length and rows have the same shapes in the fields with T and B, so a
    function of these compiles once; a function of all fields compiles again for another N.
    """

    xs: Any  # leaves [T, B, ...], 0 past the end of a row
    reset: Any  # [T, B] bool, True at the first step of each sequence
    reset_reverse: Any  # [T, B] bool, True at the last step of each: the reset of an unroll with reverse=True
    lengths: Any  # [B] int32, steps in each row
    segment: Any  # [T, B] int32, the index of the sequence, -1 past the end of a row
    position: Any  # [T, B] int32, the step within that sequence, 0 past the end of a row
    row: Any  # [N] int32, the row of each sequence
    first: Any  # [N] int32, the first step of each in its row
    steps: Any  # [N] int32, the length of each

    @property
    def mask(self) -> Any:
        """[T, B] bool: True at the steps of sequences, False in the padding."""
        return self.segment >= 0

    @property
    def waste(self) -> float:
        """The fraction of the T·B steps that is padding."""
        return 1 - float(np.sum(self.lengths)) / np.size(self.segment)


class Bucket(NamedTuple):
    """A batch of similar lengths: `pad([sequences[i] for i in indices], length)`."""

    indices: np.ndarray  # [batch_size], fewer in one of the buckets
    length: int  # the T to pad them to


def pad(sequences: Iterable[Any], length: int | None = None, multiple: int = 1) -> tuple[Any, np.ndarray]:
    """Sequences side by side: (xs [T, B, ...], lengths [B] int32), padded with 0 at the end of each.

    T is `length`, or else the longest length rounded up to a `multiple`, so that few shapes are compiled.
    Raises ValueError or TypeError for an empty list, a sequence longer than `length`, and unequal features or types.
    """
    flat, steps = _read(sequences)
    shape = (_time(steps, length, multiple), len(steps))
    where = _step_indices(steps, np.arange(len(steps)), np.zeros_like(steps))[0]
    return jax.tree.map(lambda a: _scatter_steps(a, where, shape), flat), steps


def unpad(ys: Any, lengths: Any) -> list[Any]:
    """The outputs of each sequence alone: leaves [T, B, ...] -> a list of B with leaves [T_i, ...], on the host."""
    lengths, ys = _lengths(lengths), arrays.ours(ys, "ys")
    for leaf in jax.tree.leaves(ys):
        if jnp.shape(leaf)[1:2] != lengths.shape or (lengths > len(leaf)).any():
            time, got = lengths.max(), jnp.shape(leaf)
            raise ValueError(f"ys: expected [T, B, ...] with B={len(lengths)} and T of at least {time}, got {got}")
    return _split_sequences(ys, np.arange(len(lengths)), np.zeros_like(lengths), lengths)


def buckets(lengths: Any, batch_size: int, *, multiple: int = 1, seed: int | None = None) -> list[Bucket]:
    """Batches of similar lengths, with each sequence in one of them: from short to long, or shuffled by `seed`.

    A batch is as long as its longest sequence, rounded up to a `multiple`: at most as many shapes are compiled as
    there are multiples up to the longest sequence, and one more if N is not a multiple of batch_size. With a seed, the
    batches come in random order, and sequences of equal rounded length are shuffled: use a new seed for each epoch.
    """
    lengths, batch_size = _lengths(lengths), checks.positive(batch_size, "batch_size")
    rounded = _round_up(lengths, multiple)
    rng = None if seed is None else np.random.default_rng(seed)
    order = np.arange(len(lengths)) if rng is None else rng.permutation(len(lengths))
    order = order[np.argsort(rounded[order], kind="stable")]
    cut = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    found = [Bucket(indices, int(rounded[indices].max())) for indices in cut]
    return found if rng is None else [found[i] for i in rng.permutation(len(found))]


def pack(sequences: Iterable[Any], *, length: int | None = None, rows: int | None = None, multiple: int = 1) -> Packed:
    """Sequences end to end in rows, the longest first, each in the fullest row that still has room for it.

    length: T, with as many rows as needed. rows: B, with the shortest T found to fit them, rounded up to a `multiple`.
    Both: exactly this shape; some rows may stay empty. Neither: T is the longest length, rounded up to a `multiple`.
    Rows several times as long as the longest sequence waste least; more and shorter rows take fewer time steps.
    Nothing is cut: raises ValueError for a sequence longer than `length`, and for more sequences than `rows` rows hold.
    Other errors are those of `pad`.
    """
    flat, steps = _read(sequences)
    if rows is not None:
        rows = checks.positive(rows, "rows")
    if length is None and rows is not None:
        row, first = _best_fit(steps, _shortest(steps, rows))
        time = int(_round_up((first + steps).max(), multiple))
    else:
        time = _time(steps, length, multiple)
        row, first = _best_fit(steps, time)
    needed = int(row.max()) + 1
    if rows is not None and needed > rows:
        raise ValueError(f"sequences: expected no more than fit in rows={rows} of length={time}, needed {needed} rows")
    shape = (time, needed if rows is None else rows)
    where, segment, position = _step_indices(steps, row, first)
    segment, position = _scatter_steps(segment, where, shape, -1), _scatter_steps(position, where, shape)
    there = segment >= 0
    return Packed(
        jax.tree.map(lambda a: _scatter_steps(a, where, shape), flat),
        there & (position == 0),
        there & (position == steps[segment] - 1),
        there.sum(0, dtype=np.int32),
        segment,
        position,
        row,
        first,
        steps,
    )


def bins(lengths: Any, length: int, rows: int, *, seed: int | None = None) -> list[np.ndarray]:
    """Batches of indices, with each sequence in one of them, that fit into `pack(.., length=length, rows=rows)`.

    The whole set is packed into rows of `length` steps, and `rows` of these make a batch: rows as full as for the whole
    set, in batches of one shape. With a seed, equal lengths are shuffled and rows are assigned to batches at random.
    """
    lengths, rows = _lengths(lengths), checks.positive(rows, "rows")
    rng = None if seed is None else np.random.default_rng(seed)
    order = np.arange(len(lengths)) if rng is None else rng.permutation(len(lengths))
    # Packed again without the other rows, these sequences get the same rows: best fit sees the same room in them.
    row, _ = _best_fit(lengths[order], _time(lengths, length, 1))
    batch = np.arange(row.max() + 1) // rows if rng is None else rng.permutation(row.max() + 1) // rows
    return [np.sort(order[batch[row] == k]) for k in range(batch.max() + 1)]


def unpack(p: Packed, ys: Any) -> list[Any]:
    """The values at the steps of each sequence: leaves [T, B, ...] -> a list of N with leaves [T_i, ...], on the host.

    In the order of the sequences; an empty sequence gives empty leaves.
    """
    return _split_sequences(_checked(p, ys), *jax.device_get((p.row, p.first, p.steps)))


def padded(p: Packed, ys: Any, length: int) -> Any:
    """`unpack` for jit: leaves [T, B, ...] -> [length, N, ...] in the order of the sequences, 0 past the end of each.

    `length` must be static. Of a longer sequence only the first `length` steps are returned.
    """
    step = jnp.arange(length, dtype=jnp.int32)[:, None]
    first, steps = jnp.asarray(p.first)[None], jnp.asarray(p.steps)[None]
    return _gather(p, ys, first + step, steps > step)


def last(p: Packed, ys: Any) -> Any:
    """The values at the last step of each sequence: leaves [T, B, ...] -> [N, ...], 0 for an empty one. For jit."""
    first, steps = jnp.asarray(p.first), jnp.asarray(p.steps)
    return _gather(p, ys, first + steps - 1, steps > 0)


def _gather(p: Packed, ys: Any, step: jax.Array, there: jax.Array) -> Any:
    """ys at (step, row of its sequence) for step [..., N], 0 where not `there`."""
    step = jnp.where(there, step, 0)

    def one(a):
        where = jnp.expand_dims(there, range(there.ndim, there.ndim + a.ndim - 2))
        return jnp.where(where, a[step, p.row], jnp.zeros((), a.dtype))

    return jax.tree.map(lambda a: one(jnp.asarray(a)), _checked(p, ys))


def _split_sequences(ys: Any, row: np.ndarray, first: np.ndarray, steps: np.ndarray) -> list[Any]:
    """The steps of each sequence, in NumPy: in JAX, every new shape of a slice would compile a program."""
    ys = jax.tree.map(np.asarray, jax.device_get(ys))
    spans = zip(row, first, first + steps, strict=True)
    return [jax.tree.map(lambda a: a[start:end, b], ys) for b, start, end in spans]  # noqa: B023 - used at once


def _checked(p: Packed, ys: Any) -> Any:
    for leaf in jax.tree.leaves(ys):
        if jnp.shape(leaf)[:2] != p.segment.shape:
            time, rows = p.segment.shape
            raise ValueError(f"ys: expected [T, B, ...] with T={time} and B={rows}, got {jnp.shape(leaf)}")
    return ys


def _read(sequences: Iterable[Any]) -> tuple[Any, np.ndarray]:
    """All sequences concatenated, leaves [sum of T_i, ...], and their lengths [N]."""
    found = [jax.tree.flatten(sequence) for sequence in jax.device_get(arrays.ours(list(sequences), "sequences"))]
    if not found:
        raise ValueError("sequences: expected at least one, got none")
    leaves, tree = [[np.asarray(leaf) for leaf in each] for each, _ in found], found[0][1]
    for i, (each, (_, structure)) in enumerate(zip(leaves, found, strict=True)):
        got = [leaf.shape for leaf in each]
        if not each or not all(got) or len({shape[0] for shape in got}) > 1:
            raise ValueError(f"sequences[{i}]: expected an array [T, ...] or a pytree of these with one T, got {got}")
        if structure != tree:
            raise ValueError(f"sequences[{i}]: expected {tree} as sequences[0] is, got {structure}")
        for leaf, other in zip(each, leaves[0], strict=True):
            if (leaf.shape[1:], leaf.dtype) != (other.shape[1:], other.dtype):
                raise TypeError(
                    f"sequences[{i}]: expected the features and type of sequences[0], {other.dtype}{other.shape[1:]}, "
                    f"got {leaf.dtype}{leaf.shape[1:]}"
                )
    flat = [np.concatenate(parts) for parts in zip(*leaves, strict=True)]
    return jax.tree.unflatten(tree, flat), np.array([len(each[0]) for each in leaves], np.int32)


def _lengths(lengths: Any) -> np.ndarray:
    lengths = np.asarray(arrays.numbers(lengths, "lengths"))
    if lengths.ndim != 1 or not len(lengths) or lengths.dtype.kind not in "iu" or (lengths < 0).any():
        raise ValueError(f"lengths: expected [N] of ints from 0 on, at least one, got {lengths!r}")
    return arrays.whole(lengths, "lengths")


def _round_up(lengths: Any, multiple: int) -> Any:
    """Lengths rounded up to a multiple above 0, as a batch needs at least one step."""
    return -(-np.maximum(lengths, 1) // checks.positive(multiple, "multiple")) * multiple


def _time(steps: np.ndarray, length: int | None, multiple: int) -> int:
    """T for sequences of these lengths."""
    if length is None:
        return int(_round_up(steps, multiple).max())
    length, i = checks.positive(length, "length"), int(steps.argmax())
    if steps[i] > length:
        raise ValueError(f"sequences[{i}]: expected no more than length={length} steps, got {steps[i]}")
    return length


def _best_fit(steps: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    """(row [N], first step [N]) by best fit, the longest first. Empty sequences take no room: step 0 of row 0."""
    row, first = np.zeros_like(steps), np.zeros_like(steps)
    open_rows: list[tuple[int, int]] = []  # (room, row), sorted
    for i in np.argsort(-steps, kind="stable"):
        n = int(steps[i])
        if n == 0:
            break
        k = bisect_left(open_rows, (n, 0))
        room, b = open_rows.pop(k) if k < len(open_rows) else (length, len(open_rows))
        row[i], first[i] = b, length - room
        insort(open_rows, (room - n, b))
    return row, first


def _shortest(steps: np.ndarray, rows: int) -> int:
    """The smallest T found for which best fit needs at most `rows` rows: Coffman, Garey and Johnson 1978."""
    total, longest = int(steps.sum()), max(1, int(steps.max()))
    low, high = max(longest, -(-total // rows)), max(longest, -(-2 * total // rows))  # high is always enough
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if _best_fit(steps, middle)[0].max() < rows else (middle + 1, high)
    return high


def _step_indices(steps: np.ndarray, row: np.ndarray, first: np.ndarray) -> tuple[Any, np.ndarray, np.ndarray]:
    """For every step of the concatenated sequences: its place (t, b), its sequence, and its position in that."""
    segment = np.repeat(np.arange(len(steps), dtype=np.int32), steps)
    position = (np.arange(len(segment)) - np.repeat(np.cumsum(steps) - steps, steps)).astype(np.int32)
    return (first[segment] + position, row[segment]), segment, position


def _scatter_steps(values: np.ndarray, where: Any, shape: tuple[int, int], fill: int = 0) -> np.ndarray:
    """[T, B, ...] with the values [n, ...] at the n places `where`, and `fill` elsewhere."""
    laid = np.full((*shape, *values.shape[1:]), fill, values.dtype)
    laid[where] = values
    return laid
