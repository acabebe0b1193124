"""A network as its layers, which `to_...` share."""

import jax
import jax.numpy as jnp
import numpy as np

import jaxrnn
from jaxrnn.interop._layers import Direction, assembled, layers


def test_eleven_layers_keep_their_order():
    """layer_10 is sorted before layer_2 in params that went through jax.tree.map."""
    rows = []
    for n in range(11):
        cell, D = jaxrnn.elman(n + 1), max(1, n)
        rows.append((Direction(cell, {"kernel": (D, n + 1), "recurrent_kernel": (n + 1, n + 1), "bias": (n + 1,)}),))
    rows = jax.tree.map(jnp.zeros, rows, is_leaf=lambda a: isinstance(a, tuple) and all(isinstance(n, int) for n in a))
    cell, params = assembled(rows)
    made, _ = layers(cell, jax.tree.map(lambda a: a, params), "Any")
    assert [one.cell for (one,) in made] == [jaxrnn.elman(n + 1) for n in range(11)]
    assert [one.params["bias"].shape for (one,) in made] == [(n + 1,) for n in range(11)]


def test_what_is_between_layers_comes_back():
    """The dropout of a stack and the merge of both directions, in and out."""
    cell = jaxrnn.stack(*[jaxrnn.bidirectional(jaxrnn.gru(3), jaxrnn.gru(3), merge="mean")] * 2, dropout=0.25)
    params = cell.init(jax.random.key(0), 4)
    rows, options = layers(cell, params, "a test")
    assert options == {"merge": "mean", "dropout": 0.25}
    assert [[way.cell for way in row] for row in rows] == [[jaxrnn.gru(3)] * 2] * 2
    again, same = assembled(rows, **options)
    assert again == cell
    jax.tree.map(np.testing.assert_array_equal, same, params)
