"""The recurrent policy: its maze against plain Python, actor against learner, advantages against a loop, a tiny run."""

from __future__ import annotations

import functools
import json
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import assert_close, generator, normal_like, tolerance

pytest.importorskip("matplotlib", reason='the extra "train" is not installed')
sys.path.insert(0, str(Path(__file__).parents[2]))  # `experiments` is run from the root of the repository

import jaxrnn
from experiments import recurrent_policy as rp

OPTIONS = rp.Options(hidden=5, cues=3, delay=(2, 5), environments=6, rollout=24)


class PlainMaze:
    """The same maze from its description, one agent, with the draws given to it."""

    def __init__(self, cue, delay):
        self.seen = [[float(cue == side) for side in range(3)] + [0.0]]
        self.seen += [[0.0, 0.0, 0.0, 0.0] for _ in range(delay)]
        self.seen += [[0.0, 0.0, 0.0, 1.0]]
        self.cue = cue

    def turn(self, action):
        """(reward, whether that was the end)."""
        self.seen.pop(0)
        if self.seen:
            return 0.0, False
        return (1.0 if action == self.cue else -1.0), True


@functools.partial(jax.jit, static_argnums=(0, 1))
def lived(cell, options, params, key):
    """(the actor in the middle, then at the end, the rollout in between): the first rollout is not looked at."""
    keys = jax.random.split(key, 3)
    actor = rp.begin(cell, options, params, keys[0])

    def run(actor, key):
        keys = jax.random.split(key, options.rollout)
        return jax.lax.scan(lambda actor, key: rp.act(cell, options, params, actor, key), actor, keys)

    actor, _ = run(actor, keys[1])
    return actor, *run(actor, keys[2])


def noisy(cell, key, options=OPTIONS):
    """Params of an agent, none of them zero, that turn to all sides."""
    return normal_like(key, jax.eval_shape(lambda k: rp.init(cell, options, k), key), 0.5)


def test_the_maze_is_what_plain_python_makes_of_it(key):
    """Every step of many episodes: what is seen, rewards, ends, and that the next episode begins by itself."""
    T, B = 120, 8
    move = jax.jit(jax.vmap(functools.partial(rp.move, OPTIONS)))
    look = jax.jit(jax.vmap(functools.partial(rp.look, OPTIONS)))
    actions = generator(key).integers(0, 3, (T, B))
    keys = jax.random.split(key, (2 * T + 1, B))
    maze = jax.vmap(functools.partial(rp.enter, OPTIONS))(keys[-1])
    plain, episodes, noise, rewards = [None] * B, [], [], []
    for t in range(T):
        x = np.asarray(look(keys[2 * t], maze))
        for b in range(B):
            if plain[b] is None:
                episodes.append((int(maze.cue[b]), int(maze.delay[b])))
                plain[b] = PlainMaze(*episodes[-1])
            assert x[b, :4].tolist() == plain[b].seen[0]
        noise.append(x[:, 4])
        maze, reward, end = move(keys[2 * t + 1], maze, jnp.asarray(actions[t]))
        for b in range(B):
            assert (float(reward[b]), bool(end[b])) == plain[b].turn(actions[t, b])
            plain[b] = None if end[b] else plain[b]
        rewards.append(np.asarray(reward))
    # All that may be drawn was drawn, in any combination; the noise is new at each step; both rewards were given.
    assert set(episodes) == {(cue, delay) for cue in range(3) for delay in range(2, 6)}
    assert len(np.unique(noise)) == T * B
    assert set(np.unique(rewards)) == {-1.0, 0.0, 1.0}


def test_cues_and_delays_are_drawn_evenly(key):
    """So that neither time alone nor a favourite side pays: each count within 5 standard deviations of its mean."""
    options, N = rp.Options(), 20_000
    maze = jax.vmap(functools.partial(rp.enter, options))(jax.random.split(key, N))
    for drawn, values in ((maze.cue, range(4)), (maze.delay, range(20, 51))):
        counts = np.bincount(np.asarray(drawn), minlength=values[-1] + 1)
        assert counts.sum() == counts[list(values)].sum() == N
        p = 1 / len(values)
        assert np.abs(counts[list(values)] - N * p).max() < 5 * np.sqrt(N * p * (1 - p))
    assert abs(np.corrcoef(maze.cue, maze.delay)[0, 1]) < 5 / np.sqrt(N)


CELLS = {
    "lstm": jaxrnn.lstm(5),
    "gru": jaxrnn.gru(5),
    "stack": jaxrnn.stack(jaxrnn.learned_carry(jaxrnn.gru(4)), jaxrnn.elman(5)),
    "memoryless": rp.memoryless(jaxrnn.lstm(5)),
}


@pytest.mark.parametrize("name", CELLS)
def test_the_learner_sees_what_the_actor_saw(name, key):
    """Logits, values and the last carry from the stored carry, with episodes that begin anywhere in the rollout."""
    cell = CELLS[name]
    k1, k2 = jax.random.split(key)
    params = noisy(cell, k1)
    before, after, rollout = lived(cell, OPTIONS, params, k2)
    first = np.asarray(rollout.first)
    assert np.array_equal(first[1:], np.asarray(rollout.end)[:-1])  # what ends begins again
    assert len({tuple(row) for row in first.T}) > 1 and first[1:].any(0).all() and not first[0].all()
    learner = jax.jit(rp.replay, static_argnums=0)
    tol = tolerance(np.float32, OPTIONS.rollout)
    expected = after.carry, rollout.logits, rollout.value
    assert_close(learner(cell, params, before.carry, rollout.x, rollout.first), expected, tol)

    # The comparison can fail: without the stored carry, or without the resets, a cell with a memory sees other things.
    if name != "memoryless":
        fresh = cell.initial_carry(params["cell"], (6,))
        for carry, reset in ((fresh, rollout.first), (before.carry, jnp.zeros_like(rollout.first))):
            _, logits, _ = learner(cell, params, carry, rollout.x, reset)
            assert np.abs(logits - rollout.logits).max() > 1000 * tol


def test_the_memoryless_agent_sees_one_step_only(key):
    """Its logits are those of a cell at its first step; and the recurrent agent's are not."""
    cell = CELLS["lstm"]
    params = noisy(cell, key)
    _, _, rollout = lived(rp.memoryless(cell), OPTIONS, params, key)
    alone = jax.vmap(jax.vmap(lambda x: cell.step(params["cell"], cell.initial_carry(params["cell"]), x)[1]))
    logits = rp.heads(params, alone(rollout.x))[0]
    assert_close(rollout.logits, logits, tolerance(np.float32, 1))
    _, _, recurrent = lived(cell, OPTIONS, params, key)
    logits = rp.heads(params, alone(recurrent.x))[0]
    assert np.abs(recurrent.logits - logits).max() > 0.01


def test_advantages_are_the_sums_of_the_paper(rng):
    """A_t = sum over l of (discount trace)^l d_{t+l}, to the episode's end or the rollout's, in a slow loop."""
    T, B = 12, 4
    reward, value, last = rng.normal(size=(T, B)), rng.normal(size=(T, B)), rng.normal(size=B)
    end = rng.random((T, B)) < 0.2
    assert end.any() and not end[-1].all()
    expected = np.zeros((T, B))
    for b in range(B):
        for t in range(T):
            weight = 1.0
            for s in range(t, T):
                after = last[b] if s == T - 1 else value[s + 1, b]
                expected[t, b] += weight * (reward[s, b] + (0 if end[s, b] else rp.DISCOUNT * after) - value[s, b])
                if end[s, b]:
                    break
                weight *= rp.DISCOUNT * rp.TRACE
    rollout = rp.Rollout(None, None, None, reward, end, None, value)
    actual = rp.advantages(jax.tree.map(jnp.asarray, rollout), jnp.asarray(last))
    assert_close(actual, expected, tolerance(np.float64, T))


def test_the_loss_is_that_of_the_paper(key):
    """PPO's loss in NumPy, on params that have moved so far that some ratios are clipped on either side."""
    cell, options = CELLS["gru"], OPTIONS
    k1, k2, k3 = jax.random.split(key, 3)
    params = noisy(cell, k1)
    before, _, rollout = lived(cell, options, params, k2)
    moved = jax.tree.map(lambda p, n: p + n, params, normal_like(k3, params, 0.2))
    advantage = normal_like(k3, rollout.value)
    actual = jax.jit(rp.loss, static_argnums=0)(cell, moved, before.carry, rollout, advantage)

    _, logits, value = rp.replay(cell, moved, before.carry, rollout.x, rollout.first)
    new, old, value, advantage = (np.asarray(a, float) for a in (logits, rollout.logits, value, advantage))
    T, B, A = new.shape
    new = np.exp(new) / np.exp(new).sum(-1, keepdims=True)
    old = np.exp(old) / np.exp(old).sum(-1, keepdims=True)
    mean, std = advantage.mean(), advantage.std()
    total, clipped = 0.0, set()
    for t in range(T):
        for b in range(B):
            a = int(rollout.action[t, b])
            ratio, gain = new[t, b, a] / old[t, b, a], (advantage[t, b] - mean) / std
            kept = min(max(ratio, 0.8), 1.2)
            clipped.add(np.sign(ratio - kept))
            total -= min(ratio * gain, kept * gain)
            total += 0.5 * 0.5 * (value[t, b] - float(rollout.value[t, b]) - advantage[t, b]) ** 2
            total += 0.01 * sum(new[t, b, i] * np.log(new[t, b, i]) for i in range(A))
    assert clipped == {-1.0, 0.0, 1.0}
    assert_close(actual, np.float64(total / (T * B)), tolerance(np.float32, T))


@pytest.mark.usefixtures("float32_only")
def test_memory_makes_the_difference(tmp_path, capsys):
    """The whole experiment on a corridor of 1 or 2 steps: one line, one figure; one agent learns, the other cannot."""
    options = rp.Options(
        hidden=16, cues=2, delay=(1, 2), environments=32, rollout=16, steps=20_000, seeds=2, cell="gru", out=tmp_path
    )
    line = rp.main(options)
    printed = capsys.readouterr().out
    assert printed.count("\n") == 1
    assert json.loads(printed) == {**line, "out": str(tmp_path)}
    assert line.keys() == {"success", "chance", "seconds", "options"} and line["chance"] == 0.5
    assert min(line["success"]["recurrent"]) > 0.9 > 0.6 > max(line["success"]["memoryless"])
    result = json.loads((tmp_path / "result.json").read_text())
    steps, rates = result["curves"]["recurrent"]
    assert np.shape(rates) == (len(steps), 2) and steps[-1] <= 20_000
    assert (tmp_path / "success.png").read_bytes().startswith(b"\x89PNG")
