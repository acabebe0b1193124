"""What a cell would do on this machine: the engine of each layer and why, the FLOPs of its products, its memory.

    jaxrnn explain lstm --hidden 64 --input 3 --shape 100 32
    jaxrnn explain gru --hidden 512 --layers 2 --shape 200 64 --devices 1 --json

Seconds: both passes are compiled, and nothing is run.
"""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any

import jax
import jax.numpy as jnp

from jaxrnn.cli import program
from jaxrnn.cli._cells import cell_named
from jaxrnn.run import explain
from jaxrnn.wrappers import stack


@dataclasses.dataclass(frozen=True)
class Options(program.Readable, program.OverDevices):
    """Those of `jaxrnn explain`."""

    name: Annotated[str, program.FIRST]
    """A name of `jaxrnn cells`."""
    hidden: int = 128
    """H, hidden units in each layer."""
    layers: int = 1
    """L, cells one above the other."""
    input: int = 128
    """D, input features."""
    shape: tuple[int, ...] = (100, 32)
    """T, and any number of batch axes."""


def main(options: Options) -> dict[str, Any]:
    """Print, and return the explanation."""
    layer = cell_named(options.name)(options.hidden)
    cell = stack(*[layer] * options.layers) if options.layers > 1 else layer
    params = jax.eval_shape(lambda: cell.init(jax.random.key(0), options.input))
    xs = jax.ShapeDtypeStruct((*options.shape, options.input), jnp.float32)
    found = explain(cell, params, None, xs)
    if not options.json:
        print(found)
    return dataclasses.asdict(found)
