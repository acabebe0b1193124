"""What the loops of the cells share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


ACTIVATIONS = {
    "tanh": np.tanh,
    "sigmoid": sigmoid,
    "relu": lambda z: np.maximum(z, 0),
    "soft_sign": lambda z: z / (1 + np.abs(z)),
    "hard_sigmoid": lambda z: np.clip((z + 3) / 6, 0, 1),
    "identity": lambda z: z,
}


def columns(matrix, names):
    """The blocks of columns of a kernel (or the blocks of a bias), by the letters of their gates."""
    return dict(zip(names, np.split(matrix, len(names), axis=-1), strict=True))


class Entry(NamedTuple):
    """A cell of the catalogue as another program, and how `test_catalogue.py` is to try it."""

    step: Callable  # (params, carry, x, **options) -> (carry, y): one row, one step
    initial: Callable = lambda params, H: (np.zeros(H),)  # the carry of a row at its start
    options: dict[str, Any] = {}  # noqa: RUF012 - what the factory must be given beside the size, which is 5
    variants: dict[str, dict[str, Any]] = {}  # noqa: RUF012 - options that change its mathematics: name -> options
    hold: Callable = lambda params, carry, x: carry  # what a masked step does to the carry
    domain: Callable = lambda params: params  # random params -> such that each of them has an effect
    timed: bool = False  # whether it takes (x, dt), and values that are missing
    dead: dict[str, float] = {}  # noqa: RUF012 - the share of a parameter's entries (*: of any) that may have no effect
    steps: int = 6  # more for what seldom happens
    exact: bool = True  # False: its gradient is by design not the derivative of its values
    reached: Callable = lambda *carry: carry  # a carry that the cell may come to, from one of any numbers
