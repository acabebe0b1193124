"""`tune` chooses what its race found to be the fastest, and remembers it by all that the choice depends on."""

from __future__ import annotations

import dataclasses
import json

import jax
import numpy as np
import pytest
from support import assert_close, tolerance

import jaxrnn
from jaxrnn.run import _tune

CELL = jaxrnn.gru(3)


@pytest.fixture
def arguments(key, rng):
    return CELL.init(key, 2), None, rng.normal(size=(5, 4, 2)).astype("float32")


def race_of(**least):
    """In place of the race: says these milliseconds, and counts the races."""

    def race(calls, seconds):
        race.times += 1
        return {name: float(least.get(name, 9)) for name in calls}

    race.times = 0
    return race


def test_the_fastest_is_chosen_and_kept(arguments, tmp_path, monkeypatch):
    """A second call with the same program reads the file; another shape, gradient, engine or cell is measured."""
    race = race_of(scan=3, deferred=2)
    monkeypatch.setattr(_tune, "_race", race)
    monkeypatch.setattr(_tune, "_program", lambda *_: None)  # the race does not run it; `test_a_real_race` does
    cache = tmp_path / "engines.json"
    first = jaxrnn.tune(CELL, *arguments, cache=cache)
    assert first.engine is jaxrnn.engines.deferred and first.measured and race.times == 1
    assert set(first.milliseconds) >= {"scan", "deferred"} and len(first.milliseconds) == 4  # two devices here
    assert str(first).splitlines()[0] == "engines.deferred: 2 ms, 1.00"
    monkeypatch.setattr(_tune, "_race", race := race_of(scan=1))
    again = jaxrnn.tune(CELL, *arguments, cache=str(cache))
    assert again.engine is jaxrnn.engines.deferred and not again.measured and race.times == 0
    params, carry, xs = arguments
    others = [
        (CELL, (params, carry, xs[:4]), {}),
        (CELL, (params, carry, xs.astype("float16")), {}),
        (CELL, arguments, {"gradient": False}),
        (CELL, arguments, {"reverse": True}),
        (CELL, arguments, {"lengths": np.array([5, 2, 3, 4])}),
        (CELL, arguments, {"engines": (jaxrnn.engines.scan, jaxrnn.engines.deferred)}),
        (jaxrnn.gru(3, activation="relu"), arguments, {}),
    ]
    for number, (cell, given, options) in enumerate(others):
        found = jaxrnn.tune(cell, *given, cache=cache, **options)
        assert found.measured and found.engine is jaxrnn.engines.scan and race.times == number + 1
    assert len(json.loads(cache.read_text())) == 1 + len(others)


def test_a_real_race(arguments):
    """It times each program, and what is chosen computes what `scan` does."""
    found = jaxrnn.tune(CELL, *arguments, seconds=1e-3, engines=(jaxrnn.engines.scan, jaxrnn.engines.checkpointed))
    assert list(found.milliseconds) == ["scan", "checkpointed"] and all(ms > 0 for ms in found.milliseconds.values())
    expected = jaxrnn.unroll(CELL, *arguments, engine=jaxrnn.engines.scan)
    assert_close(jaxrnn.unroll(CELL, *arguments, engine=found.engine), expected, tolerance("float32", 5))


def test_what_is_refused(arguments, tmp_path):
    """Traced arrays, no time, no engine, a file of another kind; a cell made by hand is measured each time."""
    with pytest.raises(ValueError, match="outside of jit"):
        jax.jit(lambda xs: jaxrnn.tune(CELL, *arguments[:2], xs).milliseconds)(arguments[2])
    with pytest.raises(ValueError, match="seconds: expected a number above 0"):
        jaxrnn.tune(CELL, *arguments, seconds=0)
    with pytest.raises(ValueError, match="engines: expected at least one"):
        jaxrnn.tune(CELL, *arguments, engines=())
    other = tmp_path / "other.json"
    for text in ("[1]", "{", '{"a": 1}', '{"a": {"scan": -1}}'):
        other.write_text(text)
        with pytest.raises(ValueError, match=r"cache: expected a file that jaxrnn.tune wrote"):
            jaxrnn.tune(CELL, *arguments, cache=other)
    by_hand = dataclasses.replace(CELL)
    one = jaxrnn.tune(by_hand, *arguments, seconds=1e-3, engines=(jaxrnn.engines.scan,), cache=tmp_path / "new.json")
    assert one.measured and not (tmp_path / "new.json").exists()
