"""A cell or model in one file: what goes in, and how it is put together again."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn._core import arrays, checks
from jaxrnn._core.cell import Cell, Params
from jaxrnn._core.files import replacing
from jaxrnn._core.jax_internals import is_traced
from jaxrnn._core.quantized import Int8, is_int8
from jaxrnn._core.record import Record
from jaxrnn.data import Vocabulary
from jaxrnn.interop import _container as container
from jaxrnn.interop._config import from_config, known_factories, to_config
from jaxrnn.interop._names import named


class Saved(NamedTuple):
    """What `save` was given."""

    record: Any  # a cell or a model
    params: Params
    vocabulary: Vocabulary | None
    extra: Any  # plain JSON


def save(path: str | Path, record: Any, params: Params, *, vocabulary: Vocabulary | None = None, extra: Any = None):
    """Write a cell or model and its params as one file, which `load` reads.

        jaxrnn.save("model.safetensors", model, params, vocabulary=vocabulary, extra={"steps": 300})
        model, params, vocabulary, extra = jaxrnn.load("model.safetensors")

    The file is in the safetensors format: `safetensors.numpy.load_file` gives its arrays by their paths in params, such
    as "cell/layer_0/kernel", bit by bit as they are, NaN included. Its metadata holds, as JSON, the record by name and
    options, the vocabulary, `extra` (plain JSON) and SHA-256 digests of each array and of the whole file. No code is in
    it. The same arguments give the same bytes.

    A file is there whole or not at all, whenever the program or the machine stops: it is written beside `path`, synced,
    and renamed. A program that is killed may leave a hidden file `.<name>.<letters>.part`.

    Raises TypeError for a record made by hand (decorate its function with `jaxrnn.factory`), for what is traced, and
    for `extra` that JSON would change; ValueError for params that are not those of the record.
    """
    config, own = _described(record)
    held = _held(params)
    size, kept = _fitting(record, params)
    if vocabulary is not None and not isinstance(vocabulary, Vocabulary):
        raise TypeError(f"vocabulary: expected a jaxrnn.data.Vocabulary, got {checks.describe(vocabulary)}")
    V = getattr(record, "vocabulary_size", None)
    if vocabulary is not None and V is not None and len(vocabulary) > V:
        raise ValueError(f"vocabulary: expected at most V={V} symbols, those of {record!r}, got {len(vocabulary)}")
    content = {
        "record": config,
        "factories": sorted(own),
        "input_size": size,
        "int8": {name: leaf.dynamic for name, leaf in kept.items() if is_int8(leaf)},
        "vocabulary": vocabulary and Vocabulary.from_config(vocabulary.to_config()).to_config(),
        "extra": _plain(extra),
    }
    data = container.written({name: held[name] for name in named(kept)}, content)
    with replacing(path) as file:
        file.write(data)


def load(path: str | Path, factories: Mapping[str, Callable] | None = None, *, dtype: Any = None) -> Saved:
    """(record, params, vocabulary, extra) of a file that `save` wrote.

    factories: your own, by name, if the record was made by such. dtype: the type that floating-point params are cast
    to; None: their own.

    A file is not trusted: nothing in it is run or unpickled, and only factories of jaxrnn, and those given, are called.
    The digests tell damage, not forgery: who can write a file can write its digests.

    The format has a number. A change that a reader of this number would take wrongly gets the next one; each jaxrnn
    reads all numbers up to its own, and refuses later ones. Options of a record are all in the file, so that none
    depends on what is the default at the time; one that the reader does not know is refused by name.

    Raises Damaged, a ValueError, naming the array or the header, for a file that is not as it was written; ValueError
    for one of another program or of a newer format, and for arrays that are not those of its record; KeyError and
    TypeError as `from_config`; TypeError for float64 without JAX's `jax_enable_x64`.
    """
    content, held = container.read(Path(path))
    own = {name: factory for name, factory in (factories or {}).items() if name in content["factories"]}
    if len(own) < len(content["factories"]):
        raise KeyError(f"{path}: made by factories of your own, {content['factories']}; give them in factories=")
    record = from_config(content["record"], own)
    if not hasattr(record, "init"):
        raise ValueError(f"{path}: expected a cell or a model, got {record!r}")
    size = content["input_size"]
    try:
        like = _like(record, None if size is None else checks.positive(size, "input_size"))
    except Exception as error:  # whatever an init raises that is asked for what it cannot make
        raise ValueError(f"{path}: {record!r} has no params of input_size {size!r}: {error}") from error
    params = _unnamed(path, like, held, content["int8"], dtype)
    vocabulary = content["vocabulary"]
    if vocabulary is not None:
        vocabulary = Vocabulary.from_config(vocabulary if isinstance(vocabulary, dict) else {})
    return Saved(record, params, vocabulary, content["extra"])


def _described(record: Any) -> tuple[Any, dict[str, Callable]]:
    """The configuration of a record, and the factories in it that are not jaxrnn's, by name."""
    if not isinstance(record, Record) or not hasattr(record, "init"):
        raise TypeError(f"record: expected a cell or a model of jaxrnn, got {checks.describe(record)}")
    config, ours = to_config(record), known_factories()
    made = {(r.name, r.origin.factory) for r in _records(record) if r.origin}
    names = [name for name, _ in made]
    if len(set(names)) < len(names):
        raise TypeError(f"record: expected a name of its own for each factory, got two of one among {sorted(names)}")
    own = {name: factory for name, factory in made if ours.get(name) is not factory}
    if from_config(json.loads(json.dumps(config)), own) != record:
        raise TypeError(
            f"record: {record!r} is another one when it is rebuilt from its options; save it in your own code"
        )
    return config, own


def _records(value: Any) -> Iterator[Record]:
    """A record, those among its options, and so on."""
    if isinstance(value, Record):
        yield value
        value = tuple(value.options.values())
    if isinstance(value, tuple):
        for inner in value:
            yield from _records(inner)


def _held(params: Params) -> dict[str, np.ndarray]:
    """The arrays of params by name, on this machine, in the order that safetensors takes for granted."""
    held = {}
    for name, leaf in named(params).items():
        said = f"params[{name!r}]"
        if is_traced(leaf):
            raise TypeError(f"{said}: expected an array, got a traced one, {leaf}; save outside of jit, grad and vmap")
        leaf = arrays.ours(leaf, said)
        if not isinstance(leaf, jax.Array | np.ndarray | np.generic) or leaf.dtype.name not in container.TYPES:
            raise TypeError(f"{said}: expected an array of {', '.join(container.TYPES)}, got {checks.describe(leaf)}")
        if isinstance(leaf, jax.Array) and not leaf.is_fully_addressable:
            cure = "jax.experimental.multihost_utils.process_allgather gathers it"
            raise ValueError(f"{said}: expected an array that this process has all of, got {leaf.sharding}; {cure}")
        value = np.asarray(leaf)
        held[name] = np.array(value, value.dtype.newbyteorder("<"), order="C")
    return held


def _like(record: Any, size: int | None) -> Params:
    """The shapes of the params that `init` makes."""
    key = jax.random.key(0)
    return jax.eval_shape(lambda: record.init(key) if size is None else record.init(key, size))


def _fitting(record: Any, params: Params) -> tuple[int | None, dict[str, Any]]:
    """(the size with which `init` makes params of these names and shapes, None: without one; those by name).

    The size stands in some shape, but where differs from record to record: all that do are tried.
    """
    came = named(params, is_int8)
    shapes = {name: checks.shape(leaf) for name, leaf in came.items()}
    for size in dict.fromkeys([None, *itertools.chain(*shapes.values()), 1]):
        try:
            made = {name: leaf.shape for name, leaf in named(_like(record, size)).items()}
        except Exception:  # whatever an init raises for a size that it does not take
            continue
        # Version 0.1 had arrays without a number in them, where there is no input.
        here = {name: shape for name, shape in shapes.items() if name in made or 0 not in shape}
        if made == here:
            return size, {name: came[name] for name in here}
    if isinstance(record, Cell):
        checks.params(record, params)
    raise ValueError(f"params: expected those that init of {record!r} makes, got {checks.describe(params)}")


def _plain(extra: Any) -> Any:
    """`extra`, if JSON gives it back as it is: no tuples, no keys but strings, no NaN."""
    try:
        same = json.loads(json.dumps(extra)) == extra
    except (TypeError, ValueError, RecursionError) as error:
        raise TypeError(f"extra: expected plain JSON, got {error}") from None
    if not same:
        raise TypeError("extra: expected plain JSON, got a tuple, NaN, or a key that is no string, which it has not")
    return extra


def _unnamed(path: Any, like: Params, held: dict[str, np.ndarray], int8: dict[str, Any], dtype: Any) -> Params:
    """The params like these from arrays by name, which must be theirs; int8: names of kernels in it, and if dynamic."""
    shapes = {name: list(leaf.shape) for name, leaf in named(like).items()}
    parts = {name: (f"{name}/values", f"{name}/scales") for name in int8 if name in shapes}
    wanted = {}
    for name, shape in shapes.items():
        values, scales = parts.get(name, (name, None))
        wanted[values] = shape
        if scales is not None:
            wanted[scales] = shape[:-2] + shape[-1:]
            if held.get(values, np.zeros(0)).dtype != np.int8:
                raise ValueError(f"{path}: expected the array {values!r} in int8, and there is none")
    container.same(path, wanted, {name: list(a.shape) for name, a in held.items()})
    given = {name: _given(held[name], f"{path}: {name!r}", dtype) for name in wanted}
    leaves = []
    for name in shapes:
        if name in parts:
            values, scales = parts[name]
            leaves.append(Int8(given[values], given[scales], bool(int8[name])))
        else:
            leaves.append(given[name])
    return jax.tree.unflatten(jax.tree.structure(like), leaves)


def _given(value: np.ndarray, name: str, dtype: Any) -> jax.Array:
    """An array of JAX's own, cast to `dtype` if that is given and it is floating."""
    dtype = value.dtype if dtype is None or not jnp.issubdtype(value.dtype, jnp.floating) else jnp.dtype(dtype)
    if jax.dtypes.canonicalize_dtype(dtype) != dtype:
        cure = "jax.config.update('jax_enable_x64', True) at the start of the program"
        raise TypeError(
            f"{name}: {dtype} while JAX has no {dtype} here: pass dtype='float32' for floats, or call {cure}"
        )
    return jnp.array(value, dtype=dtype, copy=True)
