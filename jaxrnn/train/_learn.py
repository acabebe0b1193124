"""One loop that trains every model."""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxrnn._core import checks
from jaxrnn._core.cell import Params
from jaxrnn._core.described import describe
from jaxrnn.train._checkpoints import Checkpoints
from jaxrnn.train._cycle import cycle
from jaxrnn.train._devices import Over, gathered, over
from jaxrnn.train._loop import TrainState
from jaxrnn.train._program import RESERVED, Parts, adamw, program, wrapped
from jaxrnn.train._record import Record, gone_on, save
from jaxrnn.train._sources import Source, Turns, source
from jaxrnn.train._validation import validator

AT_ONCE = 0.1  # seconds that a call of several updates is to take at least: so long an interrupt waits


class Learning(NamedTuple):
    """All that a run needs to go on, except the data: what `learn` takes in place of params."""

    train: TrainState
    best: Params  # () without validation
    record: dict  # plain JSON: "best" is [value, step], "rows" are those of the history


class Learnt(NamedTuple):
    """What `learn` gives."""

    params: Params  # the best by validation; without validation the last
    history: dict[str, np.ndarray]  # a value for each report: "step", "loss", "gradient_norm", "seconds" and others
    state: Learning  # to go on from
    complete: bool  # False when interrupted


def learn(
    loss: Callable,
    params: Any,
    data: Any,
    *,
    key: jax.Array | None = None,
    steps: int | None = None,
    epochs: int | None = None,
    batch: int = 32,
    axis: Any = 0,
    weights: Any = None,
    optimizer: optax.GradientTransformation | None = None,
    rate: float | Callable = 1e-3,
    clip: float | None = 1.0,
    decay: float = 1e-4,
    accumulate: int = 1,
    average: float | None = None,
    carry: Any = None,
    validation: Any = None,
    patience: int | None = None,
    every: int | None = None,
    checkpoints: Checkpoints | None = None,
    on_report: Callable[[dict[str, float], TrainState], Any] | None = None,
    devices: int | None = None,
    progress: bool | str = True,
    unit: str = "",
) -> Learnt:
    """Minimise a loss over data, by optax: `loss(params, batch, key) -> loss []`, or `(loss, aux)`.

        learnt = train.learn(loss, model.init(key), (xs, labels), axis=(1, 0), epochs=10, key=key, validation=held_out)

    loss: numbers of a dict `aux` come into the history, in the mean; any other aux is dropped, so that a model's
        `lambda p, b, key: model.loss(p, None, *b, key=key)` will do. It is compiled once for as long as it is the same
        function: where `learn` is called in a loop, over seeds, define it outside.
    params: a tree of arrays to begin with, which is copied; or the `state` of a `Learnt`, to go on with.
    data: one of
        arrays: a tree of NumPy's or JAX's with N rows each, along `axis`: an int, or a tree of them as `jax.vmap` has
            its in_axes, (1, 0) for xs [T, N, D] and labels [N]; None is an array without rows. Each epoch has an order
            of its own by `key`; they are joined end to end, so that no row is left out and every batch has `batch`
            rows (at most N). With `weights` [N] rows are drawn in that proportion instead, any row at any time. Up to
            1 GiB they are on the devices as a whole; larger arrays of NumPy, mapped files too, give their rows.
        a function: `data(key) -> batch`, in the compiled program, with a key of its own for each step. Arrays that it
            reads are best bound by `jax.tree_util.Partial`: those of a closure are compiled in.
        batches by number: an object, or a list, whose data[k] is the batch of step k, as `jaxrnn.data.Streams`; where
            it has a length it begins anew after that.
        batches in a row: an iterable, begun anew when it ends; where its iterator has get_state and set_state, as
            those of grain, checkpoints keep the state; else resuming runs through it up to where it was.
    key: of the order of rows, of drawn batches and of the noise of each step. None: as key 0, and loss gets None.
    steps, epochs: how many batches in all, or how often all rows. Give one of them.
    optimizer: None: gradients of a norm of at most `clip` (None: any), then AdamW with weight decay `decay` and a rate
        that falls from `rate` to 0 along a cosine over all steps, or is a schedule of optax. accumulate: the params
        change after every so many batches, by the mean gradient. average: params are judged and given as their
        exponential average, in which this share is kept in each step (at first less).
    carry: what a loss `loss(params, carry, batch, key) -> (loss, carry)` begins an epoch with, its leaves [B, ...], or
        a function of params that makes it: batches come in order and hand the carry on, without its gradient. Arrays
        are then cut along `axis`, which is time: xs [T, B, D] into windows [batch, B, D].
    validation: arrays or an iterable like data, for the loss without a key in the mean over rows; or a function
        `params -> float`, or -> a dict of them whose first is to become small. Its best params are returned. patience:
        reports without a better one after which it ends.
    every: steps between reports; None: 20 reports in all, or one an epoch. checkpoints: saved at each report, and when
        interrupted; the same call on a folder that has some goes on from the last one, to the same bits.
    on_report(row, state): after each report, with its row of the history and a copy of the state; true to stop.
    devices: how many of this process's devices share the rows of a batch, at most; None: all, but one where they are
        cores and a kernel's lesser side is 512 or more: its products use all cores by themselves. As many take part as
        divide the rows; `axis` says where those are in batches of any kind.
    progress: a bar on a terminal, if rich is installed; "lines": a line for each report on stderr. unit: of the loss.

    Ctrl-C (SIGINT) and SIGTERM end it after a step, what was learnt is returned, with `complete` False.
    Raises NotFinite, with the step, when a loss or gradient is NaN or Inf; ValueError and TypeError for arguments that
    do not fit one another.
    """
    if (steps is None) == (epochs is None):
        raise ValueError(f"steps, epochs: expected one of them, got steps={steps}, epochs={epochs}")
    if patience is not None and validation is None:
        raise ValueError(f"patience: expected None without validation, got {patience}")
    batch, accumulate = checks.positive(batch, "batch"), checks.positive(accumulate, "accumulate")
    noisy, key = key is not None, jax.random.key(0) if key is None else key
    checks.key(key)
    feed = source(data, axis, batch, weights, key, in_order=carry is not None)
    total, every = _lengths(feed, steps, epochs, every)
    if optimizer is None:
        if total == np.inf and not callable(rate):
            raise ValueError("rate: expected a schedule where the number of steps is not known; or give `steps`")
        optimizer = adamw(rate, max(1, int(total) // accumulate) if total < np.inf else 0, clip, decay)
    optimizer = wrapped(optimizer, accumulate, average)
    begin = carry if callable(carry) else None
    going, record, best = _begun(params, optimizer, carry, validation is not None, average, checkpoints)
    feed.resume(int(going.step), record.data)
    judge = None
    if validation is not None:
        first = None if carry is None else begin or (lambda params: carry)
        judge = validator(validation, loss, first, axis, batch)
    run = _Run(loss, optimizer, feed, carry, begin, axis, devices, noisy, key, min(every, 1024, 1 + 2**20 // batch))
    clock = time.perf_counter() - record.seconds

    def shown(state):
        return state.params if average is None else state.opt_state.params

    def keep(state):
        if checkpoints is not None:
            record.data = feed.state()
            save(checkpoints, int(state.step), {**state._asdict(), "best": best}, record)

    def report(state, interval):
        nonlocal best
        record.add(interval.seen)
        record.seconds = time.perf_counter() - clock
        if not interval.whole:
            keep(state)
            return False
        row = record.report(interval.done)
        if judge is not None:
            found = judge(shown(state), run.over.mesh)
            if wrong := (set(row) | set(RESERVED)) & set(found):
                raise ValueError(f"validation: expected other names than those of the loss, got {min(wrong)!r}")
            if record.judge(row, next(iter(found.values()))):
                best = jax.tree.map(jnp.copy, shown(state))
            row |= found
        record.rows.append(row)
        keep(state)
        if progress == "lines":
            print(_line(row, total, unit), file=sys.stderr, flush=True)
        enough = patience is not None and record.waited >= patience
        return (on_report is not None and on_report(row, jax.tree.map(jnp.copy, gathered(state)))) or enough

    def note():
        return "".join(f"{n} {v:.3f} " for n, v in (record.rows[-1:] or [{}])[0].items() if n == "validation")

    done, complete = int(going.step), True
    if patience is None or record.waited < patience:
        bar = progress is True and importlib.util.find_spec("rich") is not None
        how: Any = {"every": every, "report": report, "home": gathered, "progress": bar, "unit": unit, "note": note}
        going, complete = cycle(run.advance, going, done, total, **how)
    record.data = feed.state()
    state = Learning(gathered(going), gathered(best), record.plain())
    found = state.best if record.best is not None else shown(state.train)
    return Learnt(found, record.history(), state, complete)


class _Run:
    """The updates of a run; where they are made is found with the first batch."""

    def __init__(self, loss, optimizer, feed, carry, begin, axis, devices, noisy, key, most):
        self.feed, self.over = feed, Over((), None)
        self._parts = Parts(loss, optimizer, begin, carry is not None, feed.make, self.over, noisy, feed.several)
        self._carry, self._begin, self._axis, self._devices, self._key = carry, begin, axis, devices, key
        self._program: Any = None
        self._held, self._first = (), ()
        self._most, self._size = most, 1  # of updates in a call

    def advance(self, state, k, until):
        """Updates of step k and after: (state, what is seen of each, how many)."""
        feed, began = self.feed, time.perf_counter()
        n = min(self._size, self._most, until - k) if feed.several else 1
        asked = feed.ask(k, n)
        if asked is None:
            return state, {}, 0
        fresh = np.array([feed.begins(k + i) for i in range(n)])
        if self._program is None:
            self._program, state = self._place(state, asked)
        if feed.several:
            asked, fresh = jax.tree.map(self._filled, (asked, fresh))
        else:
            asked, fresh = self.over.split(asked), fresh[0]
        state, seen = self._program(state, self._held, self._first, asked, fresh, self._key, np.int32(n))
        if feed.several:
            jax.block_until_ready(seen)
            took = time.perf_counter() - began
            if took < AT_ONCE:
                self._size = min(2 * self._size, self._most)
            elif took > 4 * AT_ONCE:
                self._size = max(1, self._size // 2)
        return state, seen, n

    def _place(self, state, asked):
        """(the program, the state where the first batch is to be); with it goes everything else."""
        feed = self.feed
        one = jax.tree.map(lambda a: a[0], asked) if feed.several else asked
        batch = jax.eval_shape(feed.make.__call__, feed.held, one, self._key)  # a tuple itself cannot be traced
        at_home = (state._replace(carry=None), feed.held if feed.several else asked)
        carry = None if self._carry is None else state.carry
        self.over = over(self._axis, batch, carry, self._devices, state.params, at_home)
        self._held = self.over.whole(jax.tree.map(jnp.asarray, feed.held))
        first = () if self._carry is None or self._begin else self._carry
        self._first = self.over.state(state._replace(carry=first)).carry
        self._key = self.over.whole(self._key)
        return program(self._parts._replace(over=self.over)), self.over.state(state)

    def _filled(self, a):
        return np.concatenate([a, np.zeros((self._most - len(a), *a.shape[1:]), a.dtype)])


def _lengths(feed: Source, steps: int | None, epochs: int | None, every: int | None) -> tuple[float, int]:
    """(how many steps, how many between reports)."""
    if every is not None:
        every = checks.positive(every, "every")
    if steps is not None:
        steps = checks.positive(steps, "steps")
        return steps, every or max(1, steps // 20)
    epochs = checks.positive(epochs, "epochs")
    if feed.epoch is None:
        if not isinstance(feed, Turns):
            raise ValueError(f"epochs: expected None where data has no length, got {epochs}; give `steps`")
        feed.turns = epochs
        return np.inf, every or 100
    total = int(np.ceil(epochs * feed.epoch))
    return total, every or max(1, -(-total // epochs))


def _begun(params, optimizer, carry, judged, average, checkpoints):
    """(the state to begin with, its record, the best params so far)."""
    if isinstance(params, Learning):
        going, best, record = jax.tree.map(jnp.copy, params.train), params.best, Record(params.record)
    else:
        if not jax.tree.leaves(params):
            raise TypeError(f"params: expected a tree of arrays, got {describe(params)}")
        params = jax.tree.map(lambda a: jnp.array(a, copy=True), params)
        first = () if carry is None else jax.tree.map(jnp.copy, carry(params) if callable(carry) else carry)
        going = TrainState(jnp.int32(0), params, optimizer.init(params), first, jnp.bool_(True))
        best, record = (), Record()
    if judged and not jax.tree.leaves(best):
        best = jax.tree.map(jnp.copy, going.params)
    if checkpoints is not None:
        found = gone_on(checkpoints, {**going._asdict(), "best": best})
        if found is not None:
            arrays, record = found
            best = arrays.pop("best")
            going = TrainState(**arrays)
    return going, record, best


def _line(row: dict[str, float], total: float, unit: str) -> str:
    """A report in a line, with the time that is left."""
    left = (total - row["step"]) * row["seconds"] / row["step"]
    named = (f"{name} {value:.4g}" for name, value in row.items() if name not in ("step", "seconds", "loss"))
    end = f"{left // 60:.0f}:{left % 60:02.0f} left" if left < np.inf else f"{row['seconds']:.0f} s"
    return "   ".join([f"step {row['step']}", f"loss {row['loss']:.4g} {unit}".rstrip(), *named, end])
