"""Names of arrays in a pytree, as files and programs have them."""

from __future__ import annotations

from typing import Any

import jax


def named(tree: Any, is_leaf: Any = None) -> dict[str, Any]:
    """The leaves of a pytree by their paths, such as "cell/kernel", in its order."""
    leaves = jax.tree_util.tree_leaves_with_path(tree, is_leaf)
    by_name = {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in leaves}
    if len(by_name) < len(leaves):
        raise ValueError(f"params: expected a path of its own for each array, got one twice among {list(by_name)}")
    return by_name
