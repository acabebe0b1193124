"""Truncated backpropagation against finite differences, the update against NumPy, and the loop around it."""

from __future__ import annotations

import os
import re
import signal
import threading
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import reference
from support import adam, assert_close, noisy_params

import jaxrnn
from jaxrnn import data, train

T, B, D, H = 12, 2, 3, 4


class Series(NamedTuple):
    """Inputs and what y should be."""

    xs: np.ndarray
    targets: np.ndarray


def squares(cell):
    """Losses of a regression on all of y."""

    def losses(params, carry, window):
        carry, ys = jaxrnn.unroll(cell, params, carry, window.xs)
        each = ((ys - window.targets) ** 2).sum(-1)
        return each, jnp.ones_like(each), carry

    return losses


@pytest.fixture
def regression(key, rng):
    cell = jaxrnn.elman(H)
    params = noisy_params(cell, key, D, float)
    carry = jax.tree.map(lambda a: jnp.asarray(rng.standard_normal(a.shape)), cell.initial_carry(params, (B,)))
    return cell, params, carry, Series(rng.standard_normal((T, B, D)), rng.standard_normal((T, B, H)))


def truncated_by_differences(params, carry, series, k1, k2, direction, step=1e-5):
    """The derivative along `direction`, by central differences of NumPy loops.

    For each block of k1 steps: the carry k2 steps before its end is frozen at the value it has under `params`; from
    there the perturbed parameters run, and the losses of the block alone are counted.
    """

    def run(p, h, xs):
        return reference.run(reference.elman, p, (np.zeros(H),), h, xs)

    total = 0.0
    for end in range(k1, T + 1, k1):
        first = max(0, end - k2)
        frozen = run(params, carry, series.xs[:first])[0] if first else carry
        values = []
        for sign in (1, -1):
            moved = {name: p + sign * step * direction[name] for name, p in params.items()}
            _, ys = run(moved, frozen, series.xs[first:end])
            values.append(((ys - series.targets[first:end])[-k1:] ** 2).sum())
        total += (values[0] - values[1]) / (2 * step)
    return total


@pytest.mark.parametrize(
    ("k1", "k2"), [(12, 12), (1, 12), (3, 12), (4, 40), (3, 3), (3, 6), (4, 6), (2, 5), (1, 1), (1, 4), (6, 8)]
)
def test_truncated_gradient_is_that_of_frozen_carries(k1, k2, regression, rng):
    """k2 >= T is full BPTT; below it, exactly the paths of up to k2 steps are seen. Value and carry know no cut."""
    cell, params, carry, series = regression
    gradient = jax.jit(train.truncated_bptt(squares(cell), k1, k2))
    (total, weight, end), grads = gradient(params, carry, series)

    plain = jax.tree.map(np.asarray, params)
    direction = {name: rng.standard_normal(p.shape) for name, p in plain.items()}
    expected = truncated_by_differences(plain, (np.asarray(carry.h),), series, k1, k2, direction)
    ours = sum(float((grads[name] * direction[name]).sum()) for name in grads)
    # Central differences with h = 1e-5: h^2 of truncation and eps / h of rounding, 1e-10 of a total near 100.
    assert abs(ours - expected) <= 1e-7 * max(1, abs(expected))

    (h,), ys = reference.run(reference.elman, plain, (np.zeros(H),), (np.asarray(carry.h),), series.xs)
    assert_close(total, ((ys - series.targets) ** 2).sum(), 1e-12)
    assert_close(end.h, h, 1e-12)
    assert weight == T * B


def test_the_cut_is_felt(regression):
    """Truncation changes the gradient; else the test above could not fail."""
    cell, params, carry, series = regression
    full, short = (train.truncated_bptt(squares(cell), 3, k2)(params, carry, series)[1] for k2 in (12, 3))
    assert np.abs(full["recurrent_kernel"] - short["recurrent_kernel"]).max() > 1e-3


@pytest.mark.parametrize(
    ("k1", "k2", "message"),
    [
        (0, None, "k1, k2: expected 1 <= k1 <= k2, got k1=0, k2=None"),
        (4, 3, "k1, k2: expected 1 <= k1 <= k2, got k1=4, k2=3"),
    ],
)
def test_wrong_truncations(k1, k2, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        train.truncated_bptt(lambda *_: None, k1, k2)


def test_window_must_hold_whole_blocks(regression):
    cell, params, carry, series = regression
    with pytest.raises(ValueError, match=r"window: expected T to be a multiple of k1=5, got T=12"):
        train.truncated_bptt(squares(cell), 5)(params, carry, series)


def test_lookback_below_a_whole_window(regression):
    cell, params, carry, series = regression
    with pytest.raises(ValueError, match=r"k2: expected at least k1, which is T=12 where it is None, got 3"):
        train.truncated_bptt(squares(cell), None, 3)(params, carry, series)


def tiny(text="abcabdabcabe" * 20, batch=3, window=5, cell=None):
    vocabulary = data.Vocabulary.of(text)
    model = jaxrnn.models.language_model(cell or jaxrnn.gru(8), len(vocabulary), 4)
    return model, data.Streams(vocabulary.encode(text), batch, window)


def test_update_is_gradient_descent_on_the_mean(key):
    """Against SGD by hand with the gradient of the loss over the window, for three windows with the carry handed on."""
    model, streams = tiny()
    optimizer = optax.sgd(0.1)
    state = train.start(model, key, optimizer, (3,))
    params, carry = state.params, state.carry
    update = train.make_update(train.next_symbol(model), optimizer)
    params, carry = jax.tree.map(jnp.copy, (params, carry))  # the update takes its state's buffers
    loss = jax.jit(jax.value_and_grad(model.loss, has_aux=True))
    for k in range(3):
        state, seen = update(state, streams[k])
        window = streams[k]
        (value, carry), grads = loss(params, carry, window.tokens, window.targets, weights=window.weights)
        params = jax.tree.map(lambda p, g: p - 0.1 * g, params, grads)
        norm = np.sqrt(sum(float((g**2).sum()) for g in jax.tree.leaves(grads)))
        assert_close(seen["loss"], value, 1e-5)
        assert_close(seen["gradient_norm"], np.float64(norm), 1e-5)
    assert_close((state.params, state.carry), (params, carry), 1e-5)
    assert int(state.step) == 3


def test_state_crosses_windows_and_restarts_with_the_epoch(key):
    """The loss of a second window is that of the text run on, not of a fresh start; a new epoch is a fresh start."""
    model, streams = tiny()
    params = model.init(key)
    losses = train.next_symbol(model)
    fresh = model.initial_carry(params, (3,))
    first, _, carry = losses(params, fresh, streams[0])
    second, _, _ = losses(params, carry, streams[1])
    whole = np.concatenate([streams[0].tokens, streams[1].tokens])
    logits = model.apply(params, None, whole)[1]
    picked = np.take_along_axis(
        np.asarray(jax.nn.log_softmax(logits)), np.concatenate([streams[0].targets, streams[1].targets])[..., None], -1
    )
    assert_close(np.concatenate([first, second]), -picked[..., 0], 1e-6)
    assert np.abs(np.asarray(second) - losses(params, fresh, streams[1])[0]).max() > 1e-3
    assert_close(losses(params, carry, streams[0])[0], first, 0.0)


def test_evaluate_counts_each_target_once(key):
    model, _ = tiny()
    params = model.init(key)
    numbers = np.resize(np.arange(5, dtype=np.int32), 47)
    streams = data.Streams(numbers, 1, 10)
    mean = train.make_evaluate(train.next_symbol(model))(params, model.initial_carry(params, (1,)), streams)
    expected, _ = model.loss(params, None, numbers[:-1, None], numbers[1:, None])
    assert abs(mean - float(expected)) < 1e-6


def test_learned_start_is_learned(key):
    model, streams = tiny(cell=jaxrnn.learned_carry(jaxrnn.gru(8)))
    optimizer = optax.sgd(1.0)
    state = train.start(model, key, optimizer, (3,))
    state, _ = train.make_update(train.next_symbol(model), optimizer)(state, streams[0])
    assert (np.asarray(state.params["cell"]["initial_carry"].h) != 0).all()


def test_learned_start_without_a_batch(key):
    """The carry that begins is the parameter itself, and yet each buffer is given away once."""
    model, _ = tiny(cell=jaxrnn.learned_carry(jaxrnn.gru(8)))
    window = data.Window(*(np.ones(4, kind) for kind in (np.int32, np.int32, np.float32, bool)))
    optimizer = optax.sgd(1.0)
    state, _ = train.make_update(train.next_symbol(model), optimizer)(train.start(model, key, optimizer, ()), window)
    assert int(state.step) == 1


def test_fit_learns_and_reports(key):
    """A text of period twelve is learnt almost to certainty, from log 6 nats."""
    model, streams = tiny()
    optimizer = adam(0.03)
    reports = []
    state, complete = train.fit(
        train.make_update(train.next_symbol(model), optimizer),
        train.start(model, key, optimizer, (3,)),
        streams,
        150,
        every=40,
        on_report=lambda report, state: reports.append((report, int(state.step))),
        progress=False,
    )
    assert complete and int(state.step) == 150
    assert [(r.step, s) for r, s in reports] == [(40, 40), (80, 80), (120, 120), (150, 150)]
    assert reports[0][0].loss > 3 * reports[-1][0].loss and reports[-1][0].loss < 0.4
    assert all(r.gradient_norm > 0 and r.steps_per_second > 0 for r, _ in reports)


def test_a_stop_names_the_step_and_the_norm_and_keeps_the_state(key):
    """The third window holds a NaN: parameters, carry and step are those of two steps, whatever came after."""
    cell = jaxrnn.elman(H)
    xs = np.random.default_rng(0).standard_normal((5, 4, B, D)).astype(np.float32)
    xs[2, 1, 0, 0] = np.nan
    windows = [Series(x, np.zeros((4, B, H), np.float32)) for x in xs]
    optimizer = adam(0.1)
    update = train.make_update(squares(cell), optimizer)

    def begin():
        params = cell.init(key, D)
        carry = cell.initial_carry(params, (B,))
        return train.TrainState(jnp.int32(0), params, optimizer.init(params), carry, jnp.bool_(True))

    with pytest.raises(
        train.NotFinite, match=r"step 2: loss nan, gradient norm nan; the state is that before it"
    ) as stop:
        train.fit(update, begin(), windows, 5, every=5, progress=False)
    good, _ = train.fit(update, begin(), windows, 2, every=5, progress=False)
    assert int(stop.value.state.step) == 2
    assert_close(stop.value.state[1:4], good[1:4], 0.0)


def test_fit_picks_up_where_it_was(key):
    model, streams = tiny()
    optimizer = adam(0.03)
    update = train.make_update(train.next_symbol(model), optimizer)
    whole, _ = train.fit(update, train.start(model, key, optimizer, (3,)), streams, 30, every=7, progress=False)
    part, _ = train.fit(update, train.start(model, key, optimizer, (3,)), streams, 13, every=7, progress=False)
    rest, _ = train.fit(update, part, streams, 30, every=7, progress=False)
    assert_close(rest, whole, 0.0)


def test_an_interrupt_ends_the_loop_after_the_step_at_work(key):
    model, streams = tiny()
    optimizer = adam(0.03)
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)

    class Interrupting:
        def __getitem__(self, k):
            if k == 4:
                os.kill(os.getpid(), signal.SIGINT)
            return streams[k]

    reports = []
    state, complete = train.fit(
        train.make_update(train.next_symbol(model), optimizer),
        train.start(model, key, optimizer, (3,)),
        Interrupting(),
        100,
        every=50,
        on_report=lambda report, state: reports.append(report.step),
        progress=False,
    )
    assert not complete and int(state.step) == 5 and reports == [5]
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_fit_runs_outside_the_main_thread(key):
    """Where Python takes no signals."""
    model, streams = tiny()
    optimizer = optax.sgd(0.1)
    update = train.make_update(train.next_symbol(model), optimizer)
    state = train.start(model, key, optimizer, (3,))
    done = []
    thread = threading.Thread(target=lambda: done.append(train.fit(update, state, streams, 3, progress=False)))
    thread.start()
    thread.join()
    assert int(done[0][0].step) == 3
