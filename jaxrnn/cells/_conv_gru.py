"""The convolutional GRU."""

from __future__ import annotations

from typing import Unpack

from jaxrnn._core.cell import Cell
from jaxrnn._core.record import factory
from jaxrnn.cells._convolution import Spatial
from jaxrnn.cells._dense import HiddenCarry, Updating
from jaxrnn.cells._gru_reset_before import resetting_before


@factory
def conv_gru(
    hidden_size: int,
    *,
    shape: tuple[int, ...] = (16, 16),
    kernel_size: int | tuple[int, ...] = 3,
    **options: Unpack[Updating],
) -> Cell:
    """Convolutional GRU: x [..., *shape, D], h [..., *shape, H] -> h', y [..., *shape, H].

        r  = sigmoid(x * W_r + h * U_r + b_r)
        z  = sigmoid(x * W_z + h * U_z + b_z)
        n  = tanh(x * W_n + (r h) * U_n + b_n)
        h' = (1 - z) n + z h,    y = h'

    where * is a convolution over the grid with zeros around it, so that its shape stays. Parameters, gates in the order
    r, z, n: kernel W [*kernel_size, D, 3H], recurrent_kernel U [*kernel_size, H, 3H], bias b [3H]. Two convolutions in
    sequence (two stages).

    shape: the grid, of 1, 2 or 3 axes. kernel_size: one number, or one for each axis. `update_bias` is added to b_z.
    Sources: the paper lets the new state in by z; here z keeps the old, as in all cells of this library. The paper has
        no biases.
    Good for: video and fields over time, at three quarters of the weights of `conv_lstm`.
    Paper: Ballas, Yao, Pal and Courville 2016, arXiv 1511.06432.
    """
    return resetting_before(Spatial(hidden_size, "rzn", options, shape, kernel_size), HiddenCarry)
