"""Rows over both devices where nobody asked: training, evaluation and serving, beside the same on one."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from support import adam, assert_close, double, noisy_params, tolerance

import jaxrnn
from jaxrnn import data, train
from jaxrnn._core.devices import AXIS, meshes

B = 4
MODEL = jaxrnn.models.language_model(jaxrnn.stack(jaxrnn.lstm(8, peepholes=True), jaxrnn.gru(8)), 11, 5)
STREAMS = data.Streams(np.arange(300) * 3 % 11, B, 12)
LOSSES = train.next_symbol(MODEL)
OPTIMIZER = adam(1e-2)
UPDATE = train.make_update(LOSSES, OPTIMIZER, key=jax.random.key(3))


def fit(state, steps, seen, **options):
    evaluate = train.make_evaluate(LOSSES, **options)

    def on_report(report, state):
        fresh = MODEL.initial_carry(jax.device_get(state.params), (B,))
        places = (
            len(state.params["cell"]["layer_0"]["kernel"].devices()),
            len(jax.tree.leaves(state.carry)[0].devices()),
        )
        seen.append((report.loss, evaluate(state.params, fresh, STREAMS), places))

    return train.fit(UPDATE, state, STREAMS, steps, every=3, on_report=on_report, progress=False, **options)[0]


def test_fit_on_both_and_on_one(key, tmp_path):
    """The same training by all, by one, and by both first and one from a checkpoint on; the state comes home."""
    begin = lambda: train.start(MODEL, key, OPTIMIZER, (B,))  # noqa: E731
    seen = {"both": [], "one": [], "both, then one": [], "both, and both again": []}
    both = fit(begin(), 9, seen["both"])
    one = fit(begin(), 9, seen["one"], devices=1)
    first = fit(begin(), 3, seen["both, then one"])
    checkpoints = train.Checkpoints(tmp_path)
    checkpoints.save(3, first)
    resumed = fit(checkpoints.restore(begin()), 9, seen["both, then one"], devices=1)
    again = fit(checkpoints.restore(begin()), 9, seen["both, and both again"])
    checkpoints.close()
    tol = 50 * tolerance("float32", 9)
    assert_close(both, one, tol)
    assert_close(resumed, one, tol)
    jax.tree.map(np.testing.assert_array_equal, again, both)
    losses = {name: np.array([each[:2] for each in some]) for name, some in seen.items()}
    assert_close(losses["both"], losses["one"], tol)
    assert_close(losses["both, then one"], losses["one"], tol)
    assert [[each[2] for each in some] for some in seen.values()] == [
        [(2, 2)] * 3,
        [(1, 1)] * 3,
        [(2, 2), (1, 1), (1, 1)],
        [(2, 2)] * 2,
    ]
    for a in jax.tree.leaves(both):
        assert a.devices() == {jax.devices()[0]} and not a.committed


def test_what_cannot_be_shared_stays(key):
    """An odd number of rows, none, and an update that was compiled for one device."""
    for batch in (3,), ():
        windows = data.Streams(np.arange(100) % 11, 3, 6)
        if not batch:
            windows = [data.Window(*(np.array(a[:, 0] if a.ndim > 1 else a) for a in w)) for w in windows]
        places = []
        train.fit(
            UPDATE,
            train.start(MODEL, key, OPTIMIZER, batch),
            windows,
            1,
            on_report=lambda report, state: places.append(len(state.params["cell"]["layer_0"]["kernel"].devices())),  # noqa: B023
            progress=False,
        )
        assert places == [1]
    state = train.start(MODEL, key, OPTIMIZER, (B,))
    state, complete = train.fit(UPDATE.lower(state, STREAMS[0]).compile(), state, STREAMS, 2, progress=False)
    assert complete
    with pytest.raises(ValueError, match="devices: expected an int of at least 1, got 0"):
        train.fit(UPDATE, state, STREAMS, 3, devices=0, progress=False)


def test_spread(key, rng):
    """A program of one's own: the compiled one is divided, and gives the gradients that it gives on one device."""
    cell = jaxrnn.gru(4)
    params = noisy_params(cell, key, 3, "float64")
    xs, weights = rng.standard_normal((5, 6, 3)), rng.standard_normal((6, 4))

    def gradient(params, xs, weights, spread):
        xs, weights = spread(xs, 1), spread(weights)

        def loss(params):
            carry, _ = jaxrnn.unroll(cell, params, None, xs)
            return (weights * carry.h).sum()

        return jax.grad(loss)(params), spread(jnp.cos(xs), 1)

    found, there = jax.jit(lambda *a: gradient(*a, train.spread))(params, xs, weights)
    expected, _ = jax.jit(lambda *a: gradient(*a, lambda a, axis=0: a))(params, xs, weights)
    assert_close(found, expected, tolerance("float64", 5))
    assert there.sharding.spec == jax.sharding.PartitionSpec(None, AXIS)
    assert len(train.spread(jnp.ones(3)).devices()) == len(train.spread(jnp.ones(4), devices=1).devices()) == 1
    assert len(train.spread(jnp.ones(4)).devices()) == 2


@pytest.mark.parametrize("steps", [None, 3])
def test_streams_over_devices(steps, key, rng):
    """Streams on both devices that end and begin, against the reference's loop; a used state is refused."""
    cell, k = jaxrnn.gru(5), steps or 1
    params = noisy_params(cell, key, 3, "float32")
    stream = jaxrnn.streaming(cell, params, streams=B, steps=steps, devices=2)
    xs = rng.standard_normal((3 * k, B, 3)).astype("float32")
    calls = xs.reshape(3, k, B, 3) if steps else xs
    before = stream.start()
    state, first = stream.step(before, calls[0])
    held = stream.carry(state, 2)
    state, second = stream.step(stream.drop(state, 3), calls[1])
    state, third = stream.step(stream.add(stream.add(state, 0), 3, held), calls[2])
    for a in (*state.rows, state.active, third):
        assert len(a.devices()) == 2
    ys = np.stack([first, second, third]).reshape(3 * k, B, 5)
    run = lambda begin, xs: reference.run(reference.gru, double(params), (zero[0],), (begin,), double(xs))  # noqa: E731
    zero = np.zeros((B, 5))
    (middle,), expected = run(zero, xs[: 2 * k])
    (after_first,), _ = run(zero, xs[:k])
    begin = np.stack([zero[0], middle[1], middle[2], after_first[2]])
    (end,), last = run(begin, xs[2 * k :])
    expected = np.concatenate([expected, last])
    expected[k : 2 * k, 3] = 0
    assert_close(ys, expected, tolerance("float32", 3 * k))
    assert_close(stream.carry(state).h, end, tolerance("float32", 3 * k))
    with pytest.raises(ValueError, match="state: expected the one that the last call returned"):
        stream.step(before, calls[0])


@pytest.mark.parametrize(
    ("size", "vocabulary", "asked", "devices"), [(512, 5, None, 1), (512, 5, 2, 2), (8, 600, None, 2)]
)
def test_large_kernels_stay_on_one_device_unless_asked(key, size, vocabulary, asked, devices):
    """On a CPU: their products use all cores by themselves. An embedding, a readout of a long side, or data is none."""
    model, seen = jaxrnn.models.language_model(jaxrnn.elman(size), vocabulary, 8), []
    train.fit(
        train.make_update(train.next_symbol(model), OPTIMIZER),
        train.start(model, key, OPTIMIZER, (B,)),
        data.Streams(np.arange(40) % vocabulary, B, 3),
        1,
        on_report=lambda report, state: seen.append(len(state.params["bias"].devices())),
        progress=False,
        devices=asked,
    )

    def loss(params, xs, key):
        seen.append(max((mesh.size for mesh in meshes(xs)), default=1))
        return jnp.mean(xs) * params.mean()

    wide = np.ones((600, B, 600))
    train.learn(loss, jnp.ones((size, size)), wide, axis=1, batch=B, steps=1, progress=False, devices=asked)
    assert seen[:1] == [devices] and set(seen[1:]) == {devices}
