"""`train.learn`, stopped anywhere: the same call on its folder is the undisturbed run, to the bit; and large data."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from support import assert_close, noisy_params, tolerance

import jaxrnn
from jaxrnn import train
from jaxrnn.train import _sources

pytest.importorskip("orbax.checkpoint", reason='the extra "train" is not installed')
N, D = 13, 3
XS = np.random.default_rng(0).standard_normal((N, D)).astype(np.float32)


class Stream:
    """Batches in an order that is drawn anew each time; its iterator tells its state, as grain's do."""

    def __init__(self, plain=False):
        self.begun, self.plain = 0, plain

    def __iter__(self):
        self.begun += 1
        return iter(list(Walk(self.begun))) if self.plain else Walk(1)


class Walk:
    """Five batches; what is told of where it is are bytes."""

    def __init__(self, begun):
        self.order, self.at = np.random.default_rng(begun).permutation(N)[:10].reshape(5, 2), 0

    def __iter__(self):
        return self

    def __next__(self):
        if self.at == 5:
            raise StopIteration
        self.at += 1
        return XS[self.order[self.at - 1]]

    def get_state(self):
        return json.dumps(self.at).encode()

    def set_state(self, state):
        self.at = json.loads(state)


def loss(params, batch, key):
    """Noisy squares."""
    target = 0 if key is None else jax.random.normal(key, (len(batch),), jnp.float32)
    return ((batch @ params["kernel"] - params["bias"] - target) ** 2).mean(), {"most": batch.max()}


def summed(params, carry, batch, key):
    """A loss that hands a mean on."""
    value, _ = loss(params, batch, key)
    return value + (carry**2).mean(), 0.5 * carry + batch.mean()


def options(kind):
    """(loss, data, options) of a kind of data."""
    how = {"steps": 17, "every": 3, "batch": 4, "rate": 0.1, "key": jax.random.key(5), "progress": False}
    how |= {"validation": XS[::2], "patience": 3, "decay": 0.1}
    drawn = lambda key: jax.random.normal(key, (4, D), jnp.float32)  # noqa: E731
    return {
        "arrays": (loss, XS, how),
        "one device": (loss, XS, how | {"devices": 1}),
        "weights": (loss, XS, how | {"weights": np.arange(N)}),
        "average": (loss, XS, how | {"average": 0.9}),
        "accumulated": (loss, XS, how | {"accumulate": 2}),
        "function": (loss, drawn, how),
        "list": (loss, [XS[:4], XS[3:7], XS[2:6]], how),
        "iterable": (loss, Stream(plain=True), how),
        "iterator with a state": (loss, Stream(), how),
        "carry": (summed, XS[:12], how | {"carry": jnp.ones(2, jnp.float32)}),
        "no validation": (loss, XS, how | {"validation": None, "patience": None}),
    }[kind]


KINDS = "arrays", "one device", "weights", "average", "accumulated", "function", "list", "iterable", "carry"
KINDS += "iterator with a state", "no validation"


class Killed(Exception):
    """In place of a kill."""


def same(a, b):
    """All but the seconds, to the bit."""
    assert a.history.keys() == b.history.keys()
    for name in a.history.keys() - {"seconds"}:
        np.testing.assert_array_equal(a.history[name], b.history[name])
    leaves = [jax.tree.leaves((x.params, x.state.train, x.state.best)) for x in (a, b)]
    for one, other in zip(*leaves, strict=True):
        np.testing.assert_array_equal(one, other)


def grains(kind):
    """Batches of grain: by number, in a row, or by a loader."""
    grain = pytest.importorskip("grain.python", reason="grain is not installed")
    if kind == "loader":
        sampler = grain.IndexSampler(N, shard_options=grain.NoSharding(), shuffle=True, num_epochs=1, seed=3)
        return grain.DataLoader(data_source=XS, sampler=sampler, operations=[grain.Batch(4)], worker_count=0)
    dataset = grain.MapDataset.source(XS).shuffle(seed=4).batch(4)
    return dataset if kind == "by number" else dataset.to_iter_dataset()


@pytest.mark.parametrize("kind", ["by number", "in a row", "loader"])
def test_grain_goes_on_after_a_kill(kind, tmp_path):
    goes_on(lambda: (loss, grains(kind), options("list")[2]), tmp_path)


def test_rows_of_grain_come_once_an_epoch():
    """Each row of the source, by what it adds to the params under SGD."""
    for kind in "by number", "in a row":
        how = {"epochs": 2, "optimizer": optax.sgd(1.0), "progress": False}
        learnt = train.learn(lambda p, batch, key: (batch @ p).sum(), jnp.zeros(D, jnp.float32), grains(kind), **how)
        assert_close(learnt.params, -2 * XS.sum(0), tolerance("float32", N))


@pytest.mark.parametrize("kind", KINDS)
def test_it_goes_on_after_a_kill(kind, tmp_path):
    goes_on(lambda: options(kind), tmp_path)


def goes_on(made, tmp_path):
    """Twice killed after a checkpoint, and what the next call does is what one call would have."""
    start = {"kernel": jnp.arange(1.0, 4, dtype=jnp.float32), "bias": jnp.float32(0.3)}
    function, data, how = made()
    whole = train.learn(function, start, data, **how)
    assert len(whole.history["step"]) >= 4

    for at in (6, 9):

        def kill(row, state, at=at):
            if row["step"] == at:
                raise Killed

        function, data, how = made()
        with pytest.raises(Killed):
            train.learn(function, start, data, **how, checkpoints=train.Checkpoints(tmp_path), on_report=kill)
    function, data, how = made()
    same(train.learn(function, start, data, **how, checkpoints=train.Checkpoints(tmp_path)), whole)


def test_another_optimizers_folder_is_refused(tmp_path):
    function, data, how = options("arrays")
    start = {"kernel": jnp.ones(3, jnp.float32), "bias": jnp.float32(0)}
    train.learn(function, start, data, **how, checkpoints=train.Checkpoints(tmp_path))
    sgd = optax.sgd(0.1, momentum=0.9)
    with pytest.raises(ValueError, match=r"^checkpoints: expected opt_state.* which is another run's; give another"):
        train.learn(function, start, data, **how, optimizer=sgd, checkpoints=train.Checkpoints(tmp_path))
    train.Checkpoints(tmp_path / "other").save(1, start, {"lines": []})
    with pytest.raises(ValueError, match=r"^checkpoints: expected those of `learn` in .*, got another program's"):
        train.learn(function, start, data, **how, checkpoints=train.Checkpoints(tmp_path / "other"))


def test_restore_params_reads_what_learn_saved(tmp_path):
    """Those of the last report, for a model."""
    model = jaxrnn.models.classifier(jaxrnn.gru(4), 2)
    xs, labels = np.random.default_rng(1).standard_normal((5, 8, 1)), np.arange(8) % 2
    learnt = train.learn(
        lambda params, batch, key: model.loss(params, None, *batch), model.init(jax.random.key(0), 1),
        (xs.astype(np.float32), labels), axis=(1, 0), steps=3, checkpoints=train.Checkpoints(tmp_path), progress=False,
    )  # fmt: skip

    class Again:
        init = staticmethod(lambda key: model.init(key, 1))

    again = train.Checkpoints(tmp_path).restore_params(Again)
    assert_close(again, learnt.params, 0.0)


PROGRAM = """
import os, signal, sys
import jax
jax.config.update("jax_num_cpu_devices", 2)
sys.path.insert(0, {here!r})
from full.test_learn_goes_on import options, train, jnp
def kill(row, state):
    if row["step"] == 9:
        os.kill(os.getpid(), signal.SIGKILL)
function, data, how = options("arrays")
start = {{"kernel": jnp.arange(1.0, 4, dtype=jnp.float32), "bias": jnp.float32(0.3)}}
train.learn(function, start, data, **how, checkpoints=train.Checkpoints({folder!r}), on_report=kill)
"""


def test_it_goes_on_after_a_real_kill(tmp_path):
    """Of another process, which had the same devices."""
    code = PROGRAM.format(here=str(Path(__file__).parents[1]), folder=str(tmp_path))
    env = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    }
    env |= {"JAX_ENABLE_X64": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr[-2000:]
    function, data, how = options("arrays")
    start = {"kernel": jnp.arange(1.0, 4, dtype=jnp.float32), "bias": jnp.float32(0.3)}
    whole = train.learn(function, start, data, **how)
    same(train.learn(function, start, data, **how, checkpoints=train.Checkpoints(tmp_path)), whole)


def test_large_arrays_give_the_same_rows(monkeypatch, tmp_path):
    """Those that are too large for the devices stay on the host, mapped files too: the same run."""
    function, data, how = options("arrays")
    start = {"kernel": jnp.ones(3, jnp.float32), "bias": jnp.float32(0)}
    small = train.learn(function, start, data, **how)
    monkeypatch.setattr(_sources, "LARGEST", 10)
    np.save(tmp_path / "xs.npy", XS)
    large = train.learn(function, start, np.load(tmp_path / "xs.npy", mmap_mode="r"), **how)
    assert_close(large.params, small.params, 20 * tolerance("float32", 17))
    assert_close(large.history["most"], small.history["most"], 0.0)


@pytest.mark.parametrize("cell", [jaxrnn.lstm(5), jaxrnn.dropout(jaxrnn.gru(5), output=0.3)])
def test_a_network_on_two_devices(cell, key):
    """Rows over two devices, in the network too: params of one device, to rounding."""
    T, B = 12, 8
    model = jaxrnn.models.classifier(cell, 3)
    rng = np.random.default_rng(2)
    xs, labels = rng.standard_normal((T, B, 2)).astype(np.float32), rng.integers(0, 3, B)

    def nats(params, batch, key):
        return model.loss(params, None, *batch, key=key)

    start = model.init(key, 2)
    start = {**start, "cell": noisy_params(cell, key, 2, jnp.float32)}
    how = {"axis": (1, 0), "steps": 6, "batch": 4, "key": key, "rate": 1e-2, "progress": False}
    one, two = (train.learn(nats, start, (xs, labels), devices=n, **how) for n in (1, 2))
    # Adam's first steps divide by |g|: small entries carry their relative error on.
    assert_close(two.history["loss"], one.history["loss"], 100 * tolerance("float32", T))
    assert_close(two.params, one.params, 1e-2 * 6 * 0.05)


def test_a_language_model_as_with_fit(key):
    """The same windows, the carry handed on, Adam: the losses of `fit`, which has another program."""
    text = np.random.default_rng(3).integers(0, 5, 300)
    model, streams = jaxrnn.models.language_model(jaxrnn.gru(6), 5, 3), jaxrnn.data.Streams(text, 4, 9)
    optimizer, losses = optax.sgd(0.3), []
    state = train.start(model, key, optimizer, (4,))

    def nats(params, carry, window, key):
        return model.loss(params, carry, window.tokens, window.targets, weights=window.weights)

    how = {"carry": state.carry, "optimizer": optimizer, "steps": 20, "every": 1, "progress": False}
    learnt = train.learn(nats, state.params, streams, **how)
    train.fit(
        train.make_update(train.next_symbol(model), optimizer), state, streams, 20, every=1, progress=False,
        on_report=lambda report, state: losses.append(report.loss),
    )  # fmt: skip
    assert_close(learnt.history["loss"], np.array(losses), tolerance("float32", 20 * 9))
