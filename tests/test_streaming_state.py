"""The state of streams: its memory, its saving and moving, and what is compiled when."""

from __future__ import annotations

import ast
import contextlib
import functools
import os
import pickle
import subprocess
import sys
import textwrap
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from jax import monitoring
from support import assert_close, double, noisy_params, tolerance

import jaxrnn
from jaxrnn import streaming

B, D, H = 3, 3, 5


def like(rng, tree):
    """Standard normal numbers, of NumPy, in the shapes and types of a pytree."""
    return jax.tree.map(lambda a: rng.standard_normal(a.shape).astype(a.dtype), tree)


@pytest.fixture
def gru(key):
    """A cell whose carry is one array, which is what the state of it is too."""
    cell = jaxrnn.gru(H)
    return cell, noisy_params(cell, key, D, "float32")


def pointers(state):
    return [a.unsafe_buffer_pointer() for a in state.rows]


@pytest.mark.parametrize("cell", [jaxrnn.gru(H), jaxrnn.lstm(H, dtype="bfloat16", cell_dtype="float32")], ids=repr)
@pytest.mark.parametrize("streams", [None, B])
def test_the_state_stays_where_it_is_in_memory(cell, streams, key):
    """The new rows are in the buffers of the old ones, which are gone, for steps and for streams that begin."""
    stream = streaming(cell, noisy_params(cell, key, D), streams=streams)
    state = stream.start()
    begin = pointers(state)
    calls = [lambda s: stream.step(s, jnp.ones(stream.x.shape, "float32"))[0]] * 3
    for call in [*calls, *([lambda s: stream.add(s, 1), *calls] if streams else [])]:
        old, state = state, call(state)
        assert [a.is_deleted() for a in old.rows] == [True] * len(old.rows)
        assert pointers(state) == begin
    for _ in range(2):  # one that starts later has memory of its own
        new = stream.start()
        assert pointers(new) != begin
        stream.step(new, jnp.ones(stream.x.shape, "float32"))


@pytest.mark.parametrize("streams", [None, B])
def test_what_is_given_and_taken_stays(gru, streams, rng):
    """A carry that goes in and one that comes out have memory of their own, which no later step takes."""
    stream = streaming(*gru, streams=streams)
    x = like(rng, stream.x)
    given = jax.tree.map(jnp.asarray, like(rng, gru[0].initial_carry(gru[1], () if streams is None else (B,))))
    kept = np.array(given.h)
    state = stream.start(given)
    taken = [stream.carry(state)]
    if streams:
        rows = [jaxrnn.GRUCarry(jnp.asarray(h)) for h in kept]
        for slot in range(B):
            state = stream.add(state, slot, rows[slot])
        taken.append(jaxrnn.GRUCarry(jnp.stack([stream.carry(state, slot).h for slot in range(B)])))
        taken.append(jaxrnn.GRUCarry(jnp.stack([row.h for row in rows])))
    for _ in range(2):
        state, _ = stream.step(state, x)
    for carry in (given, *taken):
        np.testing.assert_array_equal(carry.h, kept)


def test_what_numpy_views_stays(gru, rng):
    """A view of a state's memory is not written over: then, and only then, the step takes other memory."""
    stream = streaming(*gru, streams=B)
    state, x = stream.start(), like(rng, stream.x)
    for _ in range(3):
        view, copy = np.asarray(state.rows[0]), np.array(state.rows[0])
        state, _ = stream.step(state, x)
        np.testing.assert_array_equal(view, copy)
        assert not (np.asarray(state.rows[0]) == copy).any()


@contextlib.contextmanager
def compilations():
    """The programs that were compiled within."""
    seen = []

    def note(event, seconds, **about):
        if event == "/jax/core/compile/backend_compile_duration":
            seen.append(about)

    monitoring.register_event_duration_secs_listener(note)
    try:
        yield seen
    finally:
        monitoring.unregister_event_duration_listener(note)


@pytest.mark.usefixtures("float32_only")
def test_nothing_is_compiled_while_serving(gru, rng):
    """From the first step, as streams end, begin and move, with rows of NumPy in either float and of JAX."""
    stream = streaming(*gru, streams=B)
    state, x = stream.start(), like(rng, stream.x)
    carry, on_device = like(rng, stream.row), jnp.asarray(x)
    with compilations() as seen:
        for slot in range(B):
            state, _ = stream.step(state, x)
            state = stream.drop(state, slot)
            state, _ = stream.step(state, on_device)
            state = stream.add(state, slot)
            state, _ = stream.step(state, x.astype("float64"))
            state = stream.add(state, slot, carry)
            state = stream.add(state, np.int64(slot), stream.carry(state, (slot + 1) % B))
        assert seen == []
        jax.jit(lambda a: a * 3 + len(seen))(on_device)
        assert len(seen) == 1, "a compilation is noted"


def by_orbax(stream, state, folder):
    pytest.importorskip("orbax.checkpoint", reason="orbax is not installed")
    from jaxrnn.train import Checkpoints

    checkpoints = Checkpoints(folder)
    checkpoints.save(0, state)
    restored = checkpoints.restore(stream.state)
    checkpoints.close()
    return restored


SAVED = {
    "pickle": lambda stream, state, folder: pickle.loads(pickle.dumps(state)),
    "device_get": lambda stream, state, folder: jax.device_get(state),
    "orbax": by_orbax,
}


@pytest.mark.parametrize("streams", [None, B])
@pytest.mark.parametrize("save", SAVED.values(), ids=SAVED)
def test_a_saved_state_goes_on(save, streams, key, rng, tmp_path):
    """To the same bits as the one that was not saved; which streams there are is saved too."""
    cell = jaxrnn.lstm(H, dtype="bfloat16", cell_dtype="float32")
    stream = streaming(cell, noisy_params(cell, key, D), streams=streams)
    x = like(rng, stream.x)
    state, _ = stream.step(stream.start(**({"active": np.array([True, False, True])} if streams else {})), x)
    saved = save(stream, state, tmp_path)
    outcomes = [(stream.carry(s), y) for s, y in (stream.step(saved, x), stream.step(state, x))]
    jax.tree.map(np.testing.assert_array_equal, *outcomes)
    if streams:
        assert [bool((y == 0).all()) for y in outcomes[0][1]] == [False, True, False]


@pytest.mark.parametrize("constants", [0, 4 << 20], ids=["arguments", "constants"])
def test_params_as_arguments_and_as_constants(constants, gru, rng, monkeypatch):
    """The same either way, and the params are only part of the program where they are few."""
    monkeypatch.setattr(sys.modules["jaxrnn.run._streaming"], "CONSTANTS", constants)
    stream = streaming(*gru, streams=1, steps=6)
    xs = rng.standard_normal((6, 1, D)).astype("float32")
    _, ys = stream.step(stream.start(), xs)
    expected = reference.run(reference.gru, double(gru[1]), (np.zeros(H),), None, double(xs))[1]
    assert_close(ys, expected, tolerance("float32", 6))
    assert isinstance(stream._step, functools.partial) == (constants == 0)


def test_another_process_and_other_devices(key, rng, tmp_path):
    """A pickled state goes on where the params are on the second device, and where they are spread over two."""
    cell = jaxrnn.gru(4)
    params = noisy_params(cell, key, 4, "float32")
    stream = streaming(cell, params, streams=2)
    x = like(rng, stream.x)
    state, _ = stream.step(stream.start(), x)
    (tmp_path / "state").write_bytes(pickle.dumps((cell, jax.device_get((params, state)), x)))
    code = """
        import pathlib, pickle, sys
        import jax, numpy as np
        import jaxrnn
        from jax.sharding import NamedSharding, PartitionSpec as P

        cell, (params, state), x = pickle.loads(pathlib.Path(sys.argv[1]).read_bytes())
        mesh = jax.make_mesh((2,), ("model",))
        spread = {name: NamedSharding(mesh, P("model")) for name in params}
        ys = []
        for place, devices in (jax.devices()[1], jax.devices()[1:]), (spread, jax.devices()):
            stream = jaxrnn.streaming(cell, jax.device_put(params, place), streams=2)
            now = stream.start(stream.carry(state))
            for _ in range(2):
                now, y = stream.step(now, x)
            now = stream.add(stream.drop(now, 0), 0, stream.carry(now, 1))
            now, y = stream.step(now, x)
            for a in (y, *now.rows):
                assert sorted(a.devices(), key=lambda d: d.id) == devices, a.devices()
            ys.append(np.asarray(y, "float64").tolist())
        print(ys)
    """
    root = Path(__file__).parents[1]
    env = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=2", "PYTHONPATH": str(root)}
    command = [sys.executable, "-c", textwrap.dedent(code), str(tmp_path / "state")]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    xs = double(np.stack([x] * 4))
    xs[3, 0], xs[:3, 0] = x[0], x[1]  # before its last step, stream 0 became a copy of stream 1
    expected = reference.run(reference.gru, double(params), (np.zeros(4),), None, xs)[1][3]
    for y in ast.literal_eval(done.stdout):
        assert_close(np.array(y), expected, tolerance("float32", 4))
