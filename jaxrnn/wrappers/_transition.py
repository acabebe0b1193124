"""Several cells in one step."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp

from jaxrnn._core.cell import Cell, Stage
from jaxrnn._core.clock import untimed
from jaxrnn._core.composition import shown
from jaxrnn._core.numerics import widest
from jaxrnn._core.quantized import is_int8
from jaxrnn._core.record import factory


@factory
def deep_transition(*cells: Cell) -> Cell:
    """Several cells in one step, which update one carry in turn; only the first reads x.

        s = cell_0(carry, x);  s = cell_k(s) for k = 1, 2, ...;  carry' = s,  y = that of the last cell

    Params {"cell_0": ..., "cell_1": ...}; all but the first have no kernel, as they have no input. Keeps the three
    parts: one product per cell in the loop. The cells must be in parts, with the same carry and size.
    Raises TypeError or ValueError for others. Pascanu, Gulcehre, Cho and Bengio 2014, arXiv 1312.6026.
    """
    _without_noise("deep_transition", cells, 1)
    names = [f"cell_{k}" for k in range(len(cells))]
    drives: list[Any] = [cell.drive for cell in cells]

    def own(params, k):
        return completed(cells[k], params[names[k]]) if k else params[names[k]]

    def init(key, input_size):
        keys = jax.random.split(key, len(cells))
        params = {"cell_0": cells[0].init(keys[0], input_size)}
        for name, cell, k in zip(names[1:], cells[1:], keys[1:], strict=True):
            params[name] = without_input(cell, k)
            _same_carry("deep_transition", cells[0], params["cell_0"], cell, params[name])
        return params

    def drive(params, x):
        nothing = x[..., :0]
        return [f(own(params, k), nothing if k else x) for k, f in enumerate(drives)]

    def of(k, stage):
        def update(params, s, u, v):
            return stage.update(own(params, k), s, u[k], v)

        recur = None if stage.recur is None else lambda params, s: stage.recur(own(params, k), s)
        return Stage(recur, update, stage.recurrent)

    first = cells[0].input
    return Cell(
        init,
        lambda params: cells[0].start(params["cell_0"]),
        None if first is None else lambda params: untimed(first(params["cell_0"])),
        drive,
        tuple(of(k, stage) for k, cell in enumerate(cells) for stage in cell.stages),
        lambda params, carry: cells[-1].output(own(params, len(cells) - 1), carry),
    )


@factory
def fast_slow(*fast: Cell, slow: Cell) -> Cell:
    """Two or more fast cells that update one carry in turn within a step, and a slow cell that steps once.

        h = F_1(h, x);  g = S(g, h);  h = F_2(h, g);  h = F_k(h) for k = 3, 4, ...;  y = h

    where a cell takes (its carry, its input) and passes on its y. Params {"fast_0": ..., "slow": ...}, carry
    {"fast": ..., "slow": ...}. Keeps the three parts: S and F_2 multiply their input and their carry in the same
    stage. The cells must be in parts, the fast ones with the same carry and size.
    Raises TypeError or ValueError for others. Mujika, Meier and Steger 2017, arXiv 1705.08639.
    """
    _without_noise("fast_slow", (*fast, slow), 3)
    names = [f"fast_{k}" for k in range(len(fast))]

    def init(key, input_size):
        k1, k2, k3, *rest = jax.random.split(key, 1 + len(fast))
        params = {"fast_0": fast[0].init(k1, input_size)}
        x = jax.ShapeDtypeStruct((input_size,), jax.tree.leaves(params)[0].dtype)
        h = fast[0].outputs(params["fast_0"], x)
        params["slow"] = slow.init(k2, h.shape[-1])
        g = slow.outputs(params["slow"], h)
        params["fast_1"] = fast[1].init(k3, g.shape[-1])
        for name, cell, k in zip(names[2:], fast[2:], rest, strict=True):
            params[name] = without_input(cell, k)
        for name, cell in zip(names[1:], fast[1:], strict=True):
            _same_carry("fast_slow", fast[0], params["fast_0"], cell, params[name])
        return params

    def own(params, name):
        k = names.index(name) if name in names[2:] else 0
        return completed(fast[k], params[name]) if k else params[name]

    def reading(cell, name, place, source):
        """The stages of a cell that reads the output of the cell `source`; its u passes from stage to stage."""

        def read(params, s):
            return source[0].output(params[source[1]], s[source[2]])

        first, *later = cell.stages

        def recur(params, s):
            v = None if first.recur is None else first.recur(params[name], s[place])
            return cell.drive(params[name], read(params, s)), v

        def update(params, s, u, v):
            return s | {place: first.update(params[name], s[place], *v), "u": v[0]}

        return [Stage(recur, update), *(_of(own, stage, name, place, lambda s, u: s["u"]) for stage in later)]

    def nothing(k):
        return lambda s, u: u[k]

    stages = [_of(own, stage, "fast_0", "fast", nothing(0)) for stage in fast[0].stages]
    stages += reading(slow, "slow", "slow", (fast[0], "fast_0", "fast"))
    stages += reading(fast[1], "fast_1", "fast", (slow, "slow", "slow"))
    for k in range(2, len(fast)):
        stages += [_of(own, stage, names[k], "fast", nothing(k - 1)) for stage in fast[k].stages]
    stages.append(Stage(None, lambda params, s, u, v: {"fast": s["fast"], "slow": s["slow"]}))
    drives: list[Any] = [cell.drive for cell in fast]

    def drive(params, x):
        """The drives of the cells that read x or nothing, in order."""
        alone = [drives[0](params["fast_0"], x)]
        return alone + [f(own(params, name), x[..., :0]) for name, f in zip(names[2:], drives[2:], strict=True)]

    first = fast[0].input
    return Cell(
        init,
        lambda params: {"fast": fast[0].start(params["fast_0"]), "slow": slow.start(params["slow"])},
        None if first is None else lambda params: untimed(first(params["fast_0"])),
        drive,
        tuple(stages),
        lambda params, carry: fast[-1].output(own(params, names[-1]), carry["fast"]),
    )


def _of(own, stage, name, place, given):
    """A stage of the cell `name`, with params own(params, name), whose state is s[place] and whose u is given(s, u)."""

    def update(params, s, u, v):
        return s | {place: stage.update(own(params, name), s[place], given(s, u), v)}

    recur = None if stage.recur is None else lambda params, s: stage.recur(own(params, name), s[place])
    return Stage(recur, update, stage.recurrent)


def _without_noise(wrapper, cells, least):
    if len(cells) < least or any(
        not isinstance(cell, Cell) or not cell.has_parts or cell.sequence is not None for cell in cells
    ):
        raise TypeError(
            f"{wrapper}: expected {least} or more cells in three parts, no compositions, got {cells!r}; noise and "
            "weight_norm go around it"
        )


def _same_carry(wrapper, one, params, other, others):
    wanted, came = jax.eval_shape(one.start, params), jax.eval_shape(lambda p: other.start(completed(other, p)), others)
    if jax.tree.structure(wanted) != jax.tree.structure(came) or wanted != came:
        raise ValueError(f"{wrapper}: expected cells with the carry of {one!r}, got {other!r}")


def without_input(cell: Cell, key: Any) -> Any:
    """Params of a cell whose input has size 0: every axis that is as long as the input has length 0.

    Arrays that have nothing in them are left out, as checkpoints refuse them; `completed` puts them back.
    """
    params = _cut(cell, key)

    def kept(tree):
        if isinstance(tree, dict):
            return {name: kept(each) for name, each in tree.items() if 0 not in getattr(each, "shape", ())}
        return jax.tree.map(lambda a: None if 0 in a.shape else a, tree)

    return kept(params)


def completed(cell: Cell, params: Any) -> Any:
    """The params that the cell's own functions expect, from those of `without_input`; version 0.1 kept them all."""
    given = {shown(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(params, is_int8)}
    stored = widest(params)

    def one(path, like):
        name = shown(path)
        return jnp.zeros(like.shape, stored) if 0 in like.shape and name not in given else given[name]

    return jax.tree_util.tree_map_with_path(one, _shapes(cell))


@functools.lru_cache(maxsize=256)
def _shapes(cell: Cell) -> Any:
    return jax.eval_shape(lambda: _cut(cell, jax.random.key(0)))


def _cut(cell: Cell, key: Any) -> Any:
    params, one, two = cell.init(key, 1), *(jax.eval_shape(lambda n=n: cell.init(key, n)) for n in (1, 2))

    def cut(a, one, two):
        return a[tuple(slice(0) if m != n else slice(None) for m, n in zip(one.shape, two.shape, strict=True))]

    return jax.tree.map(cut, params, one, two)
