"""What cells share in which x itself enters, and not only its products with a kernel."""

from __future__ import annotations

from typing import Any

import jax

from jaxrnn._core.numerics import product
from jaxrnn.cells._dense import Dense


def init(d: Dense, key: Any, input_size: Any, **more: Any) -> Any:
    """The params of `d.init`; and shortcut [D, H], if D is not H."""
    params = d.init(key, input_size, **more)
    if input_size != d.H:
        draw = d.options["kernel_init"]
        params["shortcut"] = draw(jax.random.fold_in(key, 4), (input_size, d.H), d.param_dtype)
    return params


def shortcut(d: Dense, params: Any, x: jax.Array) -> jax.Array:
    """x [..., D] as H numbers: itself, or x @ shortcut."""
    if "shortcut" in params:
        x = product(x, params["shortcut"], d.compute(params))
    return x.astype(d.compute(params))
