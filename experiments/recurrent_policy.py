"""Remember the cue: a recurrent policy learns by PPO what the same network without its memory cannot.

    python -m experiments.recurrent_policy                          less than a minute on two cores
    python -m experiments.recurrent_policy --cell gru --delay 50 100 --rollout 128 --steps 4000000

The cue stands at the entrance of a corridor. 20 to 50 steps of noise later, at the junction, the agent must turn to the
side that the cue named (Bakker 2001). Nothing at the junction tells the side: without memory, success is chance.

How a cell is the memory of an agent, in three rules:

    acting     one `cell.step` for each step of the environments, which begin new episodes at different times:
               `first` [B] is true where x is the first of an episode, and the carry restarts before that step.
    storing    a rollout keeps the carry it began with (as it was before that restart), and x, first [T, B].
    learning   `jaxrnn.unroll(cell, params, carry, x, reset=first)` is all of the rollout again: the very logits and
               values the agent acted on (the stored state of Kapturowski et al. 2019), with a gradient.

Prints one line of JSON; writes it with the curves (result.json) and the figure (success.png) to --out.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import json
import sys
import time
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxrnn
from experiments import program, runs
from jaxrnn._core.files import replace
from jaxrnn._core.optional import optional

CLIP = 0.2  # how far the probability of an action may move on one rollout
DISCOUNT = 0.95  # of rewards to come, for each step
TRACE = 0.95  # lambda of generalised advantage estimation (Schulman et al. 2016)
ENTROPY = 0.01  # the weight of the policy's entropy in the loss


@dataclasses.dataclass(frozen=True)
class Options:
    cell: Literal[tuple(jaxrnn.CELLS)] = "lstm"  # type: ignore[valid-type]
    """The recurrent cell."""
    hidden: int = 32
    """H, hidden units."""
    cues: int = 4
    """Different cues, and sides to turn to: chance is one of so many."""
    delay: tuple[int, int] = (20, 50)
    """The fewest and the most steps between the cue and the junction."""
    steps: int = 600_000
    """Steps of the environment, for each seed."""
    seeds: int = 3
    """Agents of each kind."""
    environments: int = 64
    """B, environments side by side."""
    rollout: int = 64
    """T, steps of each between updates, and those a gradient reaches back at most."""
    epochs: int = 8
    """Gradient steps on each rollout."""
    rate: float = 5e-3
    """The learning rate of Adam, whose gradients have a norm of at most 0.5."""
    out: Path | None = None
    """The folder to write to. None: a new one in runs/."""


class Maze(NamedTuple):
    """Where one agent stands: the cue of its episode, the length of its corridor, steps since the entrance."""

    cue: Any  # [] int32
    delay: Any
    time: Any


def enter(options: Options, key: jax.Array) -> Maze:
    """A new episode."""
    k1, k2 = jax.random.split(key)
    cue = jax.random.randint(k1, (), 0, options.cues, jnp.int32)
    return Maze(cue, jax.random.randint(k2, (), options.delay[0], options.delay[1] + 1, jnp.int32), jnp.int32(0))


def look(options: Options, key: jax.Array, maze: Maze) -> jax.Array:
    """What the agent sees, [D = cues + 2]: the cue (first step only), whether this is the junction, and noise."""
    cue, junction = jax.nn.one_hot(maze.cue, options.cues) * (maze.time == 0), maze.time == maze.delay + 1
    return jnp.concatenate([cue, junction[None], jax.random.normal(key, (1,))]).astype(jnp.float32)


def move(options: Options, key: jax.Array, maze: Maze, action: jax.Array) -> tuple[Maze, jax.Array, jax.Array]:
    """(maze, reward, end): only the turn at the junction counts, +1 or -1; a new episode then begins by itself."""
    end = maze.time == maze.delay + 1
    reward = jnp.where(end, jnp.where(action == maze.cue, 1, -1), 0).astype(jnp.float32)
    further = maze._replace(time=maze.time + 1)
    maze = jax.tree.map(lambda new, old: jnp.where(end, new, old), enter(options, key), further)
    return maze, reward, end


class Actor(NamedTuple):
    """Environments between two steps, and the memory of the agent that is about to act in them."""

    maze: Maze  # leaves [B]
    x: Any  # [B, D]
    first: Any  # [B] bool: x is the first of an episode, so the carry is to restart before it is read
    carry: Any  # leaves [B, H]


class Rollout(NamedTuple):
    """What an actor lived through, all [T, B] or [T, B, ...]."""

    x: Any
    first: Any
    action: Any
    reward: Any
    end: Any
    logits: Any  # and value, as the agent had them when it acted
    value: Any


def init(cell: jaxrnn.Cell, options: Options, key: jax.Array) -> dict:
    """Params of an agent: the cell's, and one linear layer for the logits [cues] and the value."""
    k1, k2 = jax.random.split(key)
    params = cell.init(k1, options.cues + 2)
    H = cell.outputs(params).shape[-1]
    head = jaxrnn.initializers.normal(0.01)(k2, (H, options.cues + 1), jnp.float32)
    return {"cell": params, "kernel": head, "bias": jnp.zeros(options.cues + 1, jnp.float32)}


def heads(params: dict, y: jax.Array) -> tuple[jax.Array, jax.Array]:
    """y [..., H] -> (logits [..., cues], value [...])."""
    out = y @ params["kernel"] + params["bias"]
    return out[..., :-1], out[..., -1]


def begin(cell: jaxrnn.Cell, options: Options, params: dict, key: jax.Array) -> Actor:
    """All environments at the entrance."""
    B = options.environments
    k1, k2 = jax.random.split(key, (2, B))
    maze = jax.vmap(functools.partial(enter, options))(k1)
    x = jax.vmap(functools.partial(look, options))(k2, maze)
    return Actor(maze, x, jnp.ones(B, bool), cell.initial_carry(params["cell"], (B,)))


def act(cell: jaxrnn.Cell, options: Options, params: Any, actor: Actor, key: jax.Array) -> tuple[Actor, Rollout]:
    """One step of all environments; a body for lax.scan over keys."""
    k1, k2 = jax.random.split(key)
    carry, y = jaxrnn.with_reset(cell).step(params["cell"], actor.carry, (actor.x, actor.first))
    logits, value = heads(params, y)
    action = jax.random.categorical(k1, logits)
    keys = jax.random.split(k2, (2, len(action)))
    maze, reward, end = jax.vmap(functools.partial(move, options))(keys[0], actor.maze, action)
    x = jax.vmap(functools.partial(look, options))(keys[1], maze)
    return Actor(maze, x, end, carry), Rollout(actor.x, actor.first, action, reward, end, logits, value)


def replay(cell: jaxrnn.Cell, params: Any, carry: Any, x: jax.Array, first: jax.Array) -> tuple[Any, Any, Any]:
    """(carry, logits, values) of a whole rollout from the carry that was stored at its start."""
    carry, ys = jaxrnn.unroll(cell, params["cell"], carry, x, reset=first)
    return carry, *heads(params, ys)


def advantages(rollout: Rollout, value: jax.Array) -> jax.Array:
    """Generalised advantage estimates [T, B]; `value` [B] is that of the step after the last.

    d_t = r_t + DISCOUNT V_{t+1} - V_t,  A_t = d_t + DISCOUNT TRACE A_{t+1};  nothing comes after an episode's end.
    """

    def back(after, step):
        value, advantage = after
        goes_on = DISCOUNT * ~step.end
        advantage = step.reward + goes_on * value - step.value + goes_on * TRACE * advantage
        return (step.value, advantage), advantage

    return jax.lax.scan(back, (value, jnp.zeros_like(value)), rollout, reverse=True)[1]


def loss(cell: jaxrnn.Cell, params: dict, carry: Any, rollout: Rollout, advantage: jax.Array):
    """PPO (Schulman et al. 2017): the clipped surrogate, half the squared error of the value, and the entropy."""
    _, logits, value = replay(cell, params, carry, rollout.x, rollout.first)
    log_probability = -optax.softmax_cross_entropy_with_integer_labels(logits, rollout.action)
    before = -optax.softmax_cross_entropy_with_integer_labels(rollout.logits, rollout.action)
    ratio = jnp.exp(log_probability - before)
    scaled = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
    surrogate = jnp.minimum(ratio * scaled, jnp.clip(ratio, 1 - CLIP, 1 + CLIP) * scaled)
    entropy = optax.softmax_cross_entropy(logits, jax.nn.softmax(logits))
    return (-surrogate + 0.5 * optax.l2_loss(value, rollout.value + advantage) - ENTROPY * entropy).mean()


class Playing(NamedTuple):
    """What is handed from one gradient step to the next: an actor, and the rollout that is learnt from."""

    actor: Actor
    before: Any  # the carry that the rollout began with
    rollout: Rollout
    advantage: Any  # [T, B]
    epoch: Any  # [] int32, gradient steps on this rollout
    tally: Any  # [2] int32, successes and decisions so far


def play(cell: jaxrnn.Cell, options: Options, params: Any, playing: Playing, key: jax.Array) -> Playing:
    """A new rollout, by these params."""
    keys, before = jax.random.split(key, options.rollout), playing.actor
    actor, rollout = jax.lax.scan(lambda actor, key: act(cell, options, params, actor, key), before, keys)
    _, _, value = replay(cell, params, actor.carry, actor.x[None], actor.first[None])
    tally = playing.tally + jnp.stack([(rollout.reward > 0).sum(), rollout.end.sum()]).astype(jnp.int32)
    return Playing(actor, before.carry, rollout, advantages(rollout, value[0]), jnp.int32(0), tally)


def make_loss(cell: jaxrnn.Cell, options: Options):
    """(start, loss) for `train.learn`: what is handed on at first; a loss that plays anew after every few steps."""

    def start(params, key):
        actor = begin(cell, options, params, key)
        like = Playing(actor, actor.carry, None, None, jnp.int32(0), jnp.zeros(2, jnp.int32))  # type: ignore[arg-type]
        empty = jax.eval_shape(lambda: play(cell, options, params, like, key))
        empty = jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), empty)
        return empty._replace(actor=actor, epoch=jnp.int32(options.epochs))

    def surrogate(params, playing, key, _):
        fixed, due = jax.lax.stop_gradient(params), playing.epoch == options.epochs
        playing = jax.lax.cond(due, lambda: play(cell, options, fixed, playing, key), lambda: playing)
        value = loss(cell, params, playing.before, playing.rollout, playing.advantage)
        return value, playing._replace(epoch=playing.epoch + 1)

    return start, surrogate


@jaxrnn.factory
def memoryless(cell: jaxrnn.Cell) -> jaxrnn.Cell:
    """The same network, feed-forward: every step begins from the initial carry, whatever it is given."""

    def step(params, carry, x):
        fresh = jax.tree.map(lambda start, now: jnp.broadcast_to(start, now.shape), cell.start(params), carry)
        return fresh, cell.step(params, fresh, x)[1]

    return jaxrnn.Cell(cell.init, cell.start, cell.input, plain_step=step)


def train(cell: jaxrnn.Cell, options: Options, name: str, points: int = 60) -> tuple[list, list]:
    """(steps of the environment [points], success rate of each seed [points, seeds]) along the way."""
    start, surrogate = make_loss(cell, options)
    per_update = options.environments * options.rollout
    updates = max(1, options.steps // per_update // points)  # rollouts between two points of the curve
    points = max(1, options.steps // per_update // updates)
    every = updates * options.epochs
    optimizer = optax.chain(optax.clip_by_global_norm(0.5), optax.adam(options.rate, eps=1e-5))
    rates = np.zeros((points, options.seeds))
    for seed in range(options.seeds):
        k1, k2, k3 = jax.random.split(jax.random.key(seed), 3)
        params: Any = jax.jit(functools.partial(init, cell, options))(k1)
        tallies = [np.zeros(2, int)]
        jaxrnn.train.learn(
            surrogate, params, fresh_key, carry=jax.jit(start)(params, k2), key=k3, steps=points * every, every=every,
            optimizer=optimizer, on_report=lambda _, state, t=tallies: t.append(np.asarray(state.carry.tally)),
            progress=False,
        )  # fmt: skip
        successes, decisions = np.diff(tallies, axis=0).T
        rates[:, seed] = successes / np.maximum(decisions, 1)
        print(f"{name}, seed {seed}: {rates[-5:, seed].mean():.3f} of the last decisions right", file=sys.stderr)
    return [(point + 1) * updates * per_update for point in range(points)], rates.tolist()


def fresh_key(key: jax.Array) -> jax.Array:
    """What a gradient step is given: nothing but what to draw from."""
    return key


def remembering(options: Options) -> jaxrnn.Cell:
    """The cell; where it has a gate that remembers, that starts with memories as long as the task's."""
    factory: Any = jaxrnn.CELLS[options.cell]
    biases = {"forget_bias", "update_bias"} & inspect.signature(factory).parameters.keys()
    return factory(options.hidden, **{name: jaxrnn.initializers.chrono(options.delay[1] + 2) for name in biases})


def main(options: Options) -> dict:
    """Train both kinds, write the figure, print the line; returns it."""
    out, cell = runs.folder("recurrent_policy", options.out, new=True), remembering(options)
    began = time.perf_counter()
    agents = {"recurrent": cell, "memoryless": memoryless(cell)}
    curves = {name: train(cell, options, name) for name, cell in agents.items()}
    seconds = round(time.perf_counter() - began, 1)
    last = {name: np.mean(rates[-5:], 0).round(3).tolist() for name, (_, rates) in curves.items()}
    line = {"success": last, "chance": 1 / options.cues, "seconds": seconds, "options": runs.plain(options)}
    replace(out / "result.json", json.dumps({**line, "curves": curves}) + "\n")
    plot(curves, options, out / "success.png")
    print(json.dumps({**line, "out": str(out)}))
    return line


def plot(curves: dict, options: Options, path: Path) -> None:
    """Success rate against steps of the environment: one line for each seed, their mean in bold, chance."""
    optional("matplotlib", "train", "the figure").use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    labels = f"{options.cell} policy", "the same network without memory"
    for (steps, rates), label, color in zip(curves.values(), labels, ("tab:blue", "tab:orange"), strict=True):
        axes.plot(steps, rates, color=color, alpha=0.45, linewidth=1.2)
        axes.plot(steps, np.mean(rates, 1), color=color, linewidth=3, label=label)
    axes.axhline(1 / options.cues, color="black", linestyle="--", linewidth=1.5, label="chance")
    axes.set_title("{} cues, remembered for {} to {} steps (thin lines: seeds)".format(options.cues, *options.delay))
    axes.set(xlabel="environment steps", ylabel="success rate", ylim=(0, 1.03), xlim=(0, None))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.yaxis.set_major_formatter(lambda rate, _: f"{rate:.0%}")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="center right", bbox_to_anchor=(1, 0.55))
    runs.save_figure(figure, path)
    plt.close(figure)


if __name__ == "__main__":
    program.run(Options, main, "recurrent_policy", __doc__)
