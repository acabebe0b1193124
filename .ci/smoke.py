"""A try of jaxrnn as a user has it: installed, the core dependencies beside it, no sources. `python -I .ci/smoke.py`.

Every name and module is there, importing is light, and every cell runs, differentiates, pickles and is saved and
rebuilt. Values, alone and beside a gradient, and gradients of the default engine are those of `engines.scan`; the tests
show that those are right.
"""

import importlib
import importlib.metadata
import json
import pickle
import pkgutil
import sys
from pathlib import Path

import jaxrnn

HEAVY = {
    "rich", "tyro", "orbax", "matplotlib", "flax", "sklearn", "torch", "keras", "haiku", "equinox", "onnx",
    "safetensors",
}  # fmt: skip
loaded = HEAVY & set(sys.modules)  # before anything else is imported
assert not loaded, f"`import jaxrnn` loads {sorted(loaded)}"

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402

scan = jaxrnn.engines.scan
T, B, D, H = 13, 2, 3, 4  # an odd T, which no chunk of steps divides
TOLERANCE = 4 * T * float(jnp.finfo("float32").eps)  # of the largest number: 4 eps a step, as in tests/support.py


def normal(key, like):
    """Normal noise in the shapes and types of a pytree."""
    leaves, structure = jax.tree.flatten(like)
    keys = jax.random.split(key, len(leaves))
    draws = [jax.random.normal(k, a.shape, a.dtype) for k, a in zip(keys, leaves, strict=True)]
    return jax.tree.unflatten(structure, draws)


def installed():
    """The package lies in this environment, whole, and its metadata is its own."""
    home = Path(jaxrnn.__file__).resolve().parent
    assert sys.prefix != sys.base_prefix, "run this with the Python of a virtual environment"
    assert home.is_relative_to(Path(sys.prefix).resolve()), f"{home} is not in the environment {sys.prefix}"
    assert (home / "py.typed").is_file(), "py.typed is missing: type checkers ignore the annotations"
    assert importlib.metadata.version("jaxrnn") == jaxrnn.__version__
    absent = [name for name in jaxrnn.__all__ if not hasattr(jaxrnn, name)]
    assert not absent, f"in __all__ and not in jaxrnn: {absent}"
    for module in pkgutil.walk_packages(jaxrnn.__path__, "jaxrnn."):  # with linen and nnx, which load flax
        importlib.import_module(module.name)


def check(name, key):
    """One cell, with noise on every entry of its params, for a bias that is zero could be left out unseen."""
    cell = jaxrnn.CELLS[name](H)
    assert pickle.loads(pickle.dumps(cell)) == cell, name
    assert jaxrnn.from_config(json.loads(json.dumps(jaxrnn.to_config(cell)))) == cell, name

    k_params, k_noise, k_xs, k_ys = jax.random.split(key, 4)
    params = cell.init(k_params, D)
    params = jax.tree.map(lambda a, noise: a + 0.3 * noise, params, normal(k_noise, params))
    xs, weights = jax.random.normal(k_xs, (T, B, D)), jax.random.normal(k_ys, (T, B, H))

    def run(params, xs, engine):
        return jaxrnn.unroll(cell, params, None, xs, engine=engine)

    def loss(params, xs, engine):
        carry, ys = run(params, xs, engine)
        return (weights * ys).sum() + sum(a.sum() for a in jax.tree.leaves(carry)), (carry, ys)

    @jax.jit
    def both(params, xs):
        return [(run(params, xs, e), jax.value_and_grad(loss, has_aux=True)(params, xs, e)) for e in (None, scan)]

    ours, plain = both(params, xs)
    assert jax.tree.structure(ours) == jax.tree.structure(plain), name
    for (path, a), e in zip(jax.tree_util.tree_leaves_with_path(ours), jax.tree.leaves(plain), strict=True):
        off = float(jnp.abs(a - e).max() / jnp.maximum(1, jnp.abs(e).max()))
        where = f"{name}{jax.tree_util.keystr(path)}"
        assert jnp.isfinite(e).all() and e.any(), f"{where}: nothing to compare with"
        assert a.shape == e.shape and off <= TOLERANCE, f"{where}: the engines differ by {off:.1e}"


installed()
# Whether the wheel works: that each of the hundred cells is right, the tests say.
TRIED = (
    "elman",
    "gated",
    "lstm",
    "gru",
    "gru_reset_before",
    "mgu",
    "mgu_reset_after",
    "multiplicative_lstm",
    "lem",
    "indrnn",
)
for name, key in zip(TRIED, jax.random.split(jax.random.key(0), len(TRIED)), strict=True):
    check(name, key)
print(
    f"smoke: jaxrnn {jaxrnn.__version__} with jax {jax.__version__} on Python {sys.version.split()[0]}: "
    f"{len(jaxrnn.__all__)} names, {len(jaxrnn.CELLS)} cells; of {len(TRIED)} the engines agree within {TOLERANCE:.0e}"
)
