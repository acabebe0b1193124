"""jaxrnn.linen.RNN: a jaxrnn cell as a flax.linen module, with the arguments of flax.linen.RNN.

Imports flax, which `import jaxrnn` does not.
"""

from __future__ import annotations

from typing import Any

import jax
from flax import core
from flax import linen as nn

from jaxrnn import _flax_face as face
from jaxrnn._core.cell import Carry, Cell


class RNN(nn.Module):
    """Any jaxrnn Cell over time: inputs [..., T, D] -> outputs [..., T, H], like flax.linen.RNN.

        model = jaxrnn.linen.RNN(jaxrnn.lstm(64))
        variables = model.init(jax.random.key(0), inputs)
        outputs = model.apply(variables, inputs, seq_lengths=lengths)

    cell: a Cell: `jaxrnn.lstm(64)`, a stack, any wrapper; not a cell of flax, whose weights `from_flax` brings (below).
    time_major: inputs and outputs are [T, ..., D] and [T, ..., H], mask and reset [T, ...].
    return_carry: return (carry, outputs).
    reverse: run from right to left, each row from its own last step.
    keep_order: whether the outputs of a reversed run are at the positions of their inputs. The default is True, in flax
        False: outputs are then in the order they are computed in, the last step of each row first.
    engine: one of jaxrnn.engines; None: the default for the cell.
    deterministic: whether the cell's noise (dropout, zoneout ...) is off, set here or in the call, as in nn.Dropout;
        the noise takes its key from rngs={"dropout": key}. A cell without noise needs neither.

    The variables are {"params": {"cell": ...}}, with the params of `cell.init`: kernel [D, G·H], recurrent_kernel, ...
    Those of flax's own nn.RNN or nn.Bidirectional, trained before, come in by one call, and `to_flax` gives them back:

        cell, params = jaxrnn.interop.from_flax(theirs)
        outputs = jaxrnn.linen.RNN(cell).apply({"params": {"cell": params}}, inputs)

    Other differences from flax.linen.RNN: outputs are 0 past the end of a row; a row of length 0 keeps its initial
    carry; a carry is the cell's own and has names, LSTMCarry(h, c), where flax has the tuple (c, h).
    Raises TypeError if `cell` is not a jaxrnn Cell.
    """

    cell: Cell
    time_major: bool = False
    return_carry: bool = False
    reverse: bool = False
    keep_order: bool = True
    engine: Any = None
    deterministic: bool | None = None

    def __post_init__(self):
        face.refuse_other_cells(self.cell)
        super().__post_init__()

    @nn.compact
    def __call__(
        self,
        inputs: Any,
        *,
        initial_carry: Carry | None = None,
        seq_lengths: jax.Array | None = None,
        mask: jax.Array | None = None,
        reset: jax.Array | None = None,
        return_carry: bool | None = None,
        time_major: bool | None = None,
        reverse: bool | None = None,
        keep_order: bool | None = None,
        deterministic: bool | None = None,
    ) -> Any:
        """Run over inputs [..., T, D] -> outputs [..., T, H], or (carry, outputs) with return_carry.

        initial_carry: the carry to start from, of the cell's own type (`initialize_carry` makes one).
        seq_lengths [...] int: row b has steps 0 to seq_lengths[b] - 1; past them outputs are 0 and the carry is held.
        mask [..., T] bool: where False the carry is held and the output is 0.
        reset [..., T] bool: where True the row restarts from its initial carry before this step.
        The other arguments override the attributes of the same name.
        Raises ValueError or TypeError, when traced, for arguments that do not fit one another.
        """
        input_size = jax.tree.leaves(inputs)[0].shape[-1]
        params = core.unfreeze(self.param("cell", self.cell.init, input_size))
        noisy = face.is_noisy(self.cell, input_size) and not self.is_initializing()
        if noisy:
            noisy = not nn.merge_param("deterministic", self.deterministic, deterministic)
        carry, outputs = face.unroll(
            self.cell,
            params,
            inputs,
            initial_carry=initial_carry,
            seq_lengths=seq_lengths,
            mask=mask,
            reset=reset,
            time_major=self.time_major if time_major is None else time_major,
            reverse=self.reverse if reverse is None else reverse,
            keep_order=self.keep_order if keep_order is None else keep_order,
            engine=self.engine,
            key=self.make_rng("dropout") if noisy else None,
        )
        return (carry, outputs) if (self.return_carry if return_carry is None else return_carry) else outputs

    def step(self, carry: Carry, x: Any) -> tuple[Carry, Any]:
        """One step without noise, carry, x [..., D] -> (carry, y [..., H]): `apply(..., carry, x, method="step")`."""
        return self.cell.step(self._params(), carry, x)

    def initialize_carry(self, input_shape: tuple[int, ...]) -> Carry:
        """The initial carry, for one step's input of shape [..., D]: `apply(..., method="initialize_carry")`."""
        return self.cell.initial_carry(self._params(), tuple(input_shape[:-1]))

    def _params(self) -> Any:
        return core.unfreeze(self.get_variable("params", "cell"))
