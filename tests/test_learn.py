"""`train.learn` against NumPy: rows, updates, what is handed on, what is best, and what a stop leaves behind."""

from __future__ import annotations

import functools
import os
import re
import signal

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from support import assert_close, lenient, tolerance

from jaxrnn import train

learn = functools.partial(train.learn, progress=False)


def counting(params, rows, key):
    """With SGD at rate 1 the params count how often each row came, as shares of a batch, from 0 down."""
    return params[rows].mean()


def counts(rows, batch, steps, **options):
    """How often each row came up to each step: [steps, N]."""
    seen = []
    how = {"optimizer": optax.sgd(1.0), "every": 1, "on_report": lambda row, state: seen.append(state.params)}
    learn(counting, jnp.zeros(rows), np.arange(rows), steps=steps, batch=batch, **how, **options)
    return np.rint(-batch * np.array(seen)).astype(int)


def test_epochs_are_joined_and_leave_no_row_out(key):
    """7 rows by 3: after any step no row came more than once oftener than another; orders differ, and are the key's."""
    seen = counts(7, 3, 14, key=key)
    assert (seen.sum(1) == 3 * np.arange(1, 15)).all()
    assert (seen.max(1) - seen.min(1) <= 1).all()
    assert (seen[6] == 3).all() and (seen[13] == 6).all()
    assert (seen == counts(7, 3, 14, key=key, devices=1)).all()
    other = counts(7, 3, 14, key=jax.random.split(key)[0])
    assert (other[6] == 3).all() and (seen != other).any()
    orders = np.diff(counts(7, 1, 21, key=key), axis=0, prepend=0).argmax(1).reshape(3, 7)
    assert len({tuple(order) for order in orders}) == 3


def test_a_batch_has_no_more_rows_than_there_are(key):
    learnt = learn(counting, jnp.zeros(5), np.arange(5), key=key, steps=3, optimizer=optax.sgd(1.0))
    assert_close(learnt.params, np.full(5, -3 / 5), 1e-12)


def test_weights_draw_rows_in_their_proportion(key):
    """2000 draws within five standard deviations of each share; a row of weight 0 never comes."""
    weights, n = np.array([0.0, 1, 5, 0, 2, 0]), 2000
    learnt = learn(
        counting,
        jnp.zeros(6),
        np.arange(6),
        key=key,
        steps=n // 20,
        batch=20,
        weights=weights,
        optimizer=optax.sgd(1.0),
    )
    drawn, share = -20 * np.asarray(learnt.params), weights / weights.sum()
    assert (drawn[weights == 0] == 0).all()
    assert (np.abs(drawn - n * share) <= 5 * np.sqrt(n * share * (1 - share)) + 1e-3).all()


def adamw(params, gradient, steps, rate, clip, decay, average):
    """In float64: Loshchilov and Hutter's AdamW on clipped gradients, the rate along a cosine; (params, their average).

    Kingma and Ba's constants, 0.9, 0.999 and 1e-8.
    """
    m = v = np.zeros_like(params)
    mean = params
    for t in range(steps):
        g = gradient(params)
        g = g * min(1, clip / np.sqrt((g**2).sum()))
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        direction = m / (1 - 0.9 ** (t + 1)) / (np.sqrt(v / (1 - 0.999 ** (t + 1))) + 1e-8) + decay * params
        params = params - rate * (1 + np.cos(np.pi * t / steps)) / 2 * direction
        keep = min(average, (1 + t) / (10 + t))
        mean = keep * mean + (1 - keep) * params
    return params, mean


def squares(params, batch, key):
    xs, ys = batch
    error = xs @ params - ys
    return (error**2).mean(), {"largest": jnp.abs(error).max()}


def test_the_default_optimizer_and_the_history(rng):
    """On all rows in each step, so that the order says nothing; rows along the second axis of xs."""
    N, steps = 10, 24
    xs, ys, start = rng.standard_normal((N, 3)), rng.standard_normal(N), rng.standard_normal(3)
    shown = []

    def loss(params, batch, key):
        assert key is None
        return squares(params, (batch[0].T, batch[1]), key)

    how = {"rate": 0.3, "clip": 0.7, "decay": 0.05, "average": 0.9}
    learnt = learn(
        loss, jnp.asarray(start), (xs.T, ys), axis=(1, 0), batch=N, steps=steps, every=7, **how,
        on_report=lambda row, state: shown.append((row, np.asarray(state.params))),
    )  # fmt: skip
    last, mean = adamw(start, lambda p: 2 * xs.T @ (xs @ p - ys) / N, steps, **how)
    tol = 100 * tolerance("float32", 1)  # of the rate and the average, which are float32, over so many steps
    assert_close(learnt.params, mean, tol)
    assert_close(learnt.state.train.params, last, tol)
    assert np.abs(mean - last).max() > 1e-3
    history = learnt.history
    assert history["step"].tolist() == [7, 14, 21, 24] == [row["step"] for row, _ in shown]
    assert set(history) == {"step", "loss", "gradient_norm", "seconds", "largest"} and learnt.complete
    assert (np.diff(history["seconds"]) > 0).all()


def test_a_row_of_the_history_is_the_mean_since_the_last(rng):
    """SGD by hand: losses and norms of seven steps, reported after three, six and seven."""
    xs, ys, params = rng.standard_normal((4, 2)), rng.standard_normal(4), rng.standard_normal(2)
    learnt = learn(squares, jnp.asarray(params), (xs, ys), steps=7, every=3, optimizer=optax.sgd(0.1))
    losses, norms, largest = [], [], []
    for _ in range(7):
        error = xs @ params - ys
        gradient = 2 * xs.T @ error / 4
        losses, norms = [*losses, (error**2).mean()], [*norms, np.sqrt((gradient**2).sum())]
        largest, params = [*largest, np.abs(error).max()], params - 0.1 * gradient
    parts = [slice(0, 3), slice(3, 6), slice(6, 7)]
    assert_close(learnt.history["loss"], np.array([np.mean(losses[p]) for p in parts]), 1e-12)
    assert_close(learnt.history["largest"], np.array([np.mean(largest[p]) for p in parts]), 1e-12)
    assert_close(learnt.history["gradient_norm"], np.array([np.max(norms[p]) for p in parts]), 1e-12)
    assert_close(learnt.params, params, 1e-12)


def drawn_noise(params, batch, key):
    return params * (batch if key is None else jax.random.normal(key, ()) + batch)


def test_each_step_has_a_key_of_its_own(key):
    """The gradient is the batch and the noise: both are drawn anew in each step, and again the same by the same key."""

    def gradients(key, scale=1.0):
        seen, sgd = [], optax.sgd(1.0)
        data = jax.tree_util.Partial(draw, jnp.asarray(scale))
        how = {"steps": 4, "every": 1, "on_report": lambda row, state: seen.append(-float(state.params))}
        learn(drawn_noise, jnp.zeros(()), data, key=key, optimizer=sgd, **how)
        return np.diff(seen, prepend=0)

    def draw(scale, key):
        return scale * jax.random.normal(key, ())

    both, noise = gradients(key), gradients(key, 0.0)
    batch = both - noise
    assert_close(gradients(key, -3.0), noise - 3 * batch, 1e-12)
    assert len({*noise.round(9), *batch.round(9)}) == 8
    assert (gradients(jax.random.split(key)[0]) != both).all()
    assert (gradients(None, 0.0) == 0).all()


def decaying(params, carry, batch, key):
    """h' = a h + x from row to row; the mean of (h - y)² over steps and rows."""
    xs, ys = batch

    def step(h, x):
        h = params * h + x
        return h, h

    carry, hs = jax.lax.scan(step, carry, xs)
    return ((hs - ys) ** 2).mean(), carry


@pytest.mark.parametrize("devices", [1, 2])
def test_a_carry_is_handed_on_within_an_epoch(devices, rng):
    """Windows of 4 of 12 steps, twice over: dh/da from the start of each window, by loops."""
    T, B, window, rate = 12, 2, 4, 0.05
    xs, ys, first = rng.standard_normal((T, B)), rng.standard_normal((T, B)), rng.standard_normal(B)
    a, losses = 0.6, []
    for _ in range(2):
        h = first
        for at in range(0, T, window):
            slope, loss, gradient = np.zeros(B), 0.0, 0.0
            for t in range(at, at + window):
                slope, h = h + a * slope, a * h + xs[t]
                loss, gradient = loss + ((h - ys[t]) ** 2).sum(), gradient + (2 * (h - ys[t]) * slope).sum()
            losses.append(loss / (window * B))
            a = a - rate * gradient / (window * B)
    how = {"epochs": 2, "batch": window, "every": 1, "optimizer": optax.sgd(rate), "devices": devices}
    learnt = learn(decaying, jnp.asarray(0.6), (xs, ys), carry=jnp.asarray(first), **how)
    assert_close(learnt.history["loss"], np.array(losses), 1e-12)
    assert_close(learnt.params, a, 1e-12)
    made = learn(decaying, jnp.asarray(0.6), (xs, ys), carry=lambda params: jnp.asarray(first) + 0 * params, **how)
    assert_close(made.history["loss"], np.array(losses), 1e-12)


def rising(params, batch, key):
    """With SGD at rate 1 params are the number of the step."""
    return -params + 0 * batch.sum()


def test_the_best_params_are_given_and_patience_ends(key):
    """(p - 3)² is least after three steps; two reports without a better one, and it ends after five."""
    asked = []

    def validation(params):
        asked.append(float(params))
        return {"distance": (float(params) - 3) ** 2, "twice": 2 * float(params)}

    how = {"steps": 20, "every": 1, "optimizer": optax.sgd(1.0), "key": key, "patience": 2}
    learnt = learn(rising, jnp.zeros(()), np.ones(4), validation=validation, **how)
    assert asked == [1, 2, 3, 4, 5] and learnt.complete
    assert float(learnt.params) == 3 and float(learnt.state.train.params) == 5
    assert learnt.history["distance"].tolist() == [4, 1, 0, 1, 4] and learnt.history["twice"][-1] == 10
    again = learn(rising, learnt.state, np.ones(4), validation=validation, **how)
    assert float(again.params) == 3 and len(asked) == 5  # its patience is at its end
    further = learn(rising, learnt.state, np.ones(4), validation=validation, **how | {"patience": 4})
    assert float(further.state.train.params) == 7 and float(further.params) == 3
    assert further.history["distance"].tolist() == [4, 1, 0, 1, 4, 9, 16]
    stopped = learn(
        rising, jnp.zeros(()), np.ones(4), **how | {"patience": None}, on_report=lambda row, _: row["step"] == 4
    )
    assert float(stopped.params) == 4 and stopped.complete


def test_a_validation_that_is_not_finite_is_never_the_best(key):
    values = iter([np.nan, 2.0, np.nan, 3.0])
    how = {"steps": 4, "every": 1, "optimizer": optax.sgd(1.0)}
    learnt = learn(rising, jnp.zeros(()), np.ones(4), validation=lambda params: next(values), **how)
    assert float(learnt.params) == 2


def test_validation_is_the_mean_over_rows(rng):
    """37 rows, in batches of 16, 16 and 5, as arrays and as a list of uneven batches."""
    xs, ys, params = rng.standard_normal((37, 3)), rng.standard_normal(37), rng.standard_normal(3)
    error = xs @ params - ys
    how = {"steps": 1, "batch": 4, "optimizer": optax.sgd(0.0)}
    for validation in ((xs, ys), [(xs[:6], ys[:6]), (xs[6:], ys[6:])]):
        found = learn(squares, jnp.asarray(params), (xs[:8], ys[:8]), validation=validation, **how).history
        assert_close(found["validation"], np.array([(error**2).mean()]), 1e-12)
        assert found["validation_largest"][0] <= np.abs(error).max()


def test_accumulated_batches_are_one_large_batch(rng):
    """Three batches of a list, or three times as many rows at once: the same params."""
    xs, ys, params = rng.standard_normal((12, 3)), rng.standard_normal(12), rng.standard_normal(3)
    how = {"optimizer": optax.sgd(0.1)}
    pieces = [(xs[i::3], ys[i::3]) for i in range(3)]
    with lenient():
        small = learn(squares, jnp.asarray(params), pieces, steps=6, accumulate=3, **how)
    large = learn(squares, jnp.asarray(params), [(xs, ys)], steps=2, **how)
    assert_close(small.params, large.params, tolerance("float32", 6))  # their mean is kept in float32


def test_one_and_two_devices_agree(key, rng):
    """And rows are on both where they divide."""
    xs, ys, params = rng.standard_normal((3, 9)), rng.standard_normal(9), rng.standard_normal(3)
    places = []

    def loss(params, batch, key):
        jax.debug.inspect_array_sharding(batch[0], callback=lambda where: places.append(where.num_devices))
        return squares(params, (batch[0].T, batch[1]), key)

    how = {"axis": (-1, 0), "steps": 9, "batch": 4, "key": key, "rate": 0.1, "validation": (xs, ys)}
    one, two = (learn(loss, jnp.asarray(params), (xs, ys), devices=n, **how) for n in (1, 2))
    assert_close(two.params, one.params, 1e-12)
    assert_close(two.history["validation"], one.history["validation"], 1e-12)
    assert {*places} == {1, 2}
    assert len(two.params.devices()) == len(two.state.train.params.devices()) == 1


def test_a_stop_names_the_step(key):
    """The loss is NaN where p is 4: the state is the one before that step."""

    def loss(params, batch, key):
        return jnp.where(params == 4, jnp.nan, -params) + 0 * batch.sum()

    with pytest.raises(
        train.NotFinite, match=r"^step 4: loss nan, gradient norm .*; the state is that before it"
    ) as stop:
        learn(loss, jnp.zeros(()), np.ones(3), steps=9, optimizer=optax.sgd(1.0), every=9)
    assert float(stop.value.state.params) == 4 and int(stop.value.state.step) == 4


class Interrupting:
    """Batches by number; an interrupt comes while the fourth is asked for."""

    def __init__(self, rng, at=4):
        self.xs, self.at = rng.standard_normal((11, 2, 3)), at

    def __getitem__(self, k):
        if k == self.at:
            os.kill(os.getpid(), signal.SIGINT)
        return self.xs[k]


def wavering(params, batch, key):
    """A loss with noise, whose mean changes by the last bit if it is summed in another order."""
    return ((batch @ params - jax.random.normal(key, (len(batch),))) ** 2).mean()


def same(a, b):
    """All but the seconds, to the bit."""
    assert a.history.keys() == b.history.keys()
    for name in a.history.keys() - {"seconds"}:
        np.testing.assert_array_equal(a.history[name], b.history[name])
    for one, other in zip(*(jax.tree.leaves((x.params, x.state.train, x.state.best)) for x in (a, b)), strict=True):
        np.testing.assert_array_equal(one, other)
    assert a.complete == b.complete


def test_an_interrupt_is_no_report_and_changes_no_bit(rng, key, tmp_path):
    """It comes between two reports; the state goes on, and so does the folder."""
    pytest.importorskip("orbax.checkpoint", reason='the extra "train" is not installed')
    data, params = Interrupting(rng), jnp.asarray(rng.standard_normal(3))
    how = {"steps": 11, "every": 3, "key": key, "validation": lambda p: float((p**2).sum()), "rate": 0.1}
    stopped = learn(wavering, params, data, **how, checkpoints=train.Checkpoints(tmp_path))
    assert not stopped.complete and stopped.history["step"].tolist() == [3] and int(stopped.state.train.step) == 5
    assert train.Checkpoints(tmp_path).latest() == 5
    data.at = None
    whole = learn(wavering, params, data, **how)
    assert whole.history["step"].tolist() == [3, 6, 9, 11]
    same(learn(wavering, stopped.state, data, **how), whole)
    same(learn(wavering, params, data, **how, checkpoints=train.Checkpoints(tmp_path)), whole)
    same(learn(wavering, params, data, **how, checkpoints=train.Checkpoints(tmp_path)), whole)  # nothing is left to do
    with pytest.raises(
        ValueError, match=r"checkpoints: expected params float64\[4\], as in this run, got float64\[3\] in"
    ):
        learn(wavering, jnp.zeros(4), data, **how, checkpoints=train.Checkpoints(tmp_path))


def test_what_is_given_stays_as_it_was(rng):
    """Params are copied: their buffers are not given away."""
    params = jnp.asarray(rng.standard_normal(3))
    learnt = learn(squares, params, (np.ones((2, 3)), np.ones(2)), steps=2)
    assert params.sum() != learnt.params.sum()
    learn(squares, learnt.state, (np.ones((2, 3)), np.ones(2)), steps=4)
    assert np.isfinite(np.asarray(learnt.state.train.params)).all()


def test_lines(capsys):
    learn(rising, jnp.zeros(()), np.ones(2), steps=4, every=2, optimizer=optax.sgd(1.0), progress="lines", unit="nats")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert re.fullmatch(r"step 2   loss -0.5 nats   gradient_norm 1   0:\d\d left", lines[0])


BAD = {
    "both": ({"steps": 3, "epochs": 2}, "steps, epochs: expected one of them, got steps=3, epochs=2"),
    "none": ({}, "steps, epochs: expected one of them, got steps=None, epochs=None"),
    "patience": ({"steps": 3, "patience": 2}, "patience: expected None without validation, got 2"),
    "batch": ({"steps": 3, "batch": 0}, "batch: expected an int of at least 1, got 0"),
    "weights": ({"steps": 3, "weights": [1, 2]}, "weights: expected [N] with N=4, one for each row, got (2,)"),
    "negative": ({"steps": 3, "weights": [1, -1, 1, 1]}, "weights: expected finite numbers of at least 0"),
    "rows": (
        {"steps": 3, "data": (np.ones((3, 4)), np.ones(4))},
        "data: expected as many rows along axis 0 in each array, at least one, got data[0] 3, data[1] 4; `axis` may be",
    ),
    "axis": ({"steps": 3, "axis": 2}, "axis: expected one of data (4,), got 2"),
    "form": ({"steps": 3, "axis": (0, 1)}, "axis: expected an int, or ints in the form of the data"),
    "data": ({"steps": 3, "data": {"xs": [1, 2]}}, "data: expected a tree of arrays with rows, a function of a key"),
    "endless": ({"epochs": 3, "data": lambda key: key}, "epochs: expected None where data has no length, got 3"),
    "ended": ({"steps": 3, "data": iter([np.ones(3)])}, "data: expected batches, got an iterator that ended after 1"),
    "cut": ({"steps": 3, "batch": 3, "carry": jnp.ones(2)}, "batch: expected one that divides the N=4 rows"),
    "loss": ({"steps": 3, "loss": lambda p, b, key: b}, "loss: expected a number [] of floating point, got float64(4,"),
    "aux": ({"steps": 3, "loss": lambda p, b, key: (p, {"step": p})}, "loss: expected other names than those of the"),
    "validation": ({"steps": 1, "validation": 3}, "validation: expected a function of params, arrays with rows"),
    "said": ({"steps": 1, "validation": lambda p: {"loss": 1.0}}, "validation: expected other names than those of"),
    "rate": ({"epochs": 1, "data": iter([np.ones(3)]), "optimizer": None}, "rate: expected a schedule where the"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_does_not_fit_is_said(name):
    options, message = BAD[name]
    options = {"optimizer": optax.sgd(1.0), "loss": rising, "data": np.ones(4), **options}
    with pytest.raises((ValueError, TypeError), match=f"^{re.escape(message)}"):
        learn(options.pop("loss"), jnp.zeros(()), options.pop("data"), **options)
