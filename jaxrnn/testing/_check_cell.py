"""The promises of this library, tried on anybody's cell: `check_cell`."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Collection
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn._core import checks
from jaxrnn._core.cell import Cell
from jaxrnn._core.composition import looks_ahead, one_input, shown
from jaxrnn.interop import from_config, to_config
from jaxrnn.testing._over_time import over_time
from jaxrnn.testing._problem import BATCH, again, cast, main, problem
from jaxrnn.testing._report import Report, Trial, Wrong

TYPES = ("bfloat16", "float32", "float64")


def check_cell(
    cell: Cell | Callable[[], Cell],
    *,
    input_size: int = 3,
    xs: Any = None,
    exact: bool = True,
    dead: Collection[str] = (),
    seed: int = 0,
) -> Report:
    """Try on a cell what this library promises of its own; returns what was checked, and what could not be.

        print(jaxrnn.testing.check_cell(my_cell(5)))
        print(jaxrnn.testing.check_cell(lambda: my_cell(5)))     a function makes it twice: are both one value?

    Its parameters get noise, so that none is zero. Checked are: the types and shapes of a step in bfloat16, float32
    and, where JAX has it, float64; each engine, with rows of unequal lengths, masks, resets and NaN in the padding,
    against a loop of `cell.step`; their gradients, against one another and against finite differences; parameters
    without a gradient; the reverse direction; T in two pieces; a row by itself; `vmap`; and, of a cell that a
    `jaxrnn.factory` made: that it is equal to another of the same call, hashes, prints, pickles and is rebuilt from its
    configuration, and that jit compiles once for both.

    input_size: D. xs: inputs [6, 2, 3, ...] of your own, for a cell whose inputs are not any numbers. exact: False for
    a gradient that is by design not the derivative of the values (a surrogate's). dead: names of parameters that by
    design have no gradient, such as "params.kernel". seed: of the noise.
    Raises AssertionError with every failure in words, TypeError for what is no cell. Needs no pytest.
    """
    trial = Trial()
    if not isinstance(cell, Cell):
        if not callable(cell) or hasattr(cell, "is_factory"):
            raise TypeError(f"cell: expected a Cell, or a function () -> Cell, got {checks.describe(cell)}")
        cell = _made_twice(trial, cell)
    _value(trial, cell)
    fits = f"a step keeps the types and shapes of the carry, with params in {', '.join(TYPES)}"
    with trial.check(fits):
        for dtype in TYPES:
            if jax.dtypes.canonicalize_dtype(dtype) == dtype:
                _closed(cell, input_size, xs, dtype)
    if main() == np.float32:
        trial.unchecked.append("float64: JAX has it with jax_enable_x64")
    if fits in trial.checked:  # else everything fails, and for this reason
        over_time(trial, cell, problem(cell, input_size, xs, seed), exact, dead)
    return trial.judged(repr(cell))


def _made_twice(trial, make):
    made = []
    with trial.check("it can be made, twice the same"):
        made += [make(), make()]
        if made[0] != made[1]:
            raise Wrong(f"two calls made {made[0]!r}, not equal: jit compiles for each; decorate with jaxrnn.factory")
    if not made:
        trial.judged("what makes the cell")
    return made[0]


def _value(trial, cell):
    """Of a cell that a factory made: what makes it a value."""
    if cell.origin is None:
        trial.unchecked.append("it is a value (equal, hash, repr, pickle, configuration): no jaxrnn.factory made it")
        return
    with trial.check("made again from its options it is equal, hashes alike and prints alike"):
        other = again(cell)
        if other != cell or hash(other) != hash(cell) or repr(other) != repr(cell):
            raise Wrong(f"{cell!r} became {other!r}")
    with trial.check("it can be pickled"):
        if pickle.loads(pickle.dumps(cell)) != cell:
            raise Wrong("it came back as another one")
    try:
        config = to_config(cell)
    except TypeError as error:
        trial.unchecked.append(f"its configuration: {error}")
        return
    with trial.check("it is rebuilt from its configuration"):
        if from_config(config, {cell.name: cell.origin.factory}) != cell:
            raise Wrong("it came back as another one")


def _closed(cell, input_size, xs, dtype):
    """Raise unless a step of params in this type returns the carry in the types and shapes that it came in."""
    params = jax.eval_shape(lambda: cast(cell.init(jax.random.key(0), input_size), dtype))
    carry = jax.eval_shape(lambda p: cell.initial_carry(p, BATCH), params)
    x = one_input(cell, params, input_size)
    if xs is not None:
        x = jax.eval_shape(lambda: cast(jax.tree.map(lambda a: jnp.asarray(a[0, 0, 0]), xs), dtype))
    if looks_ahead(cell, params, x):
        return
    rows = jax.tree.map(lambda a: jax.ShapeDtypeStruct((*BATCH, *a.shape), a.dtype), x)
    new, y = jax.eval_shape(cell.step, params, carry, rows)
    if jax.tree.structure(new) != jax.tree.structure(carry):
        raise Wrong(f"the carry came as {checks.describe(carry)} and is returned as {checks.describe(new)}")
    for (path, old), a in zip(jax.tree_util.tree_leaves_with_path(carry), jax.tree.leaves(new), strict=True):
        if (old.shape, old.dtype) != (a.shape, a.dtype):
            drift = f"came as {old.dtype}{old.shape} and is returned as {a.dtype}{a.shape}"
            raise Wrong(f"with params in {dtype}, carry.{shown(path)} {drift}; a loop needs it as it came")
    for path, a in jax.tree_util.tree_leaves_with_path(y):
        if a.shape[:2] != BATCH:
            raise Wrong(f"y{shown(path)} is {a.dtype}{a.shape}: the batch axes {BATCH} do not lead")
