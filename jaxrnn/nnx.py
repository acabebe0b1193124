"""jaxrnn.nnx.RNN: a jaxrnn cell as a flax.nnx module, with the arguments of flax.nnx.RNN.

Imports flax, which `import jaxrnn` does not.
"""

from __future__ import annotations

from typing import Any

import jax
from flax import nnx

from jaxrnn import _flax_face as face
from jaxrnn._core.cell import Carry, Cell


class RNN(nnx.Module):
    """Any jaxrnn Cell over time: inputs [..., T, D] -> outputs [..., T, H], like flax.nnx.RNN.

        model = jaxrnn.nnx.RNN(jaxrnn.lstm(64), 32, rngs=nnx.Rngs(0))
        outputs = model(inputs, seq_lengths=lengths)

    cell: a Cell: `jaxrnn.lstm(64)`, a stack, any wrapper; not a cell of flax, whose weights `from_flax` brings (below).
    input_size: D.
    time_major: inputs and outputs are [T, ..., D] and [T, ..., H], mask and reset [T, ...].
    return_carry: return (carry, outputs).
    reverse: run from right to left, each row from its own last step.
    keep_order: whether the outputs of a reversed run are at the positions of their inputs. The default is True, in flax
        False: outputs are then in the order they are computed in, the last step of each row first.
    engine: one of jaxrnn.engines; None: the default for the cell.
    deterministic: whether the cell's noise (dropout, zoneout ...) is off; `model.train()` and `model.eval()` set it.
    rngs: the stream "params" draws the parameters; the noise takes its keys from a fork of the stream "dropout".

    `model.cell` holds the parameters: the pytree of `cell.init` with an nnx.Param for each array. nnx.state shows them
    under 'cell' by the cell's own names (kernel [D, G·H], recurrent_kernel, bias ...). `model.definition` is the Cell.
    The weights of flax's own nnx.RNN or nnx.Bidirectional come in by one call, and `to_flax` gives them back:

        cell, params = jaxrnn.interop.from_flax(theirs)
        model = jaxrnn.nnx.RNN(cell, 32, rngs=nnx.Rngs(0))
        nnx.update(model, {"cell": params})

    Other differences from flax.nnx.RNN: outputs are 0 past the end of a row; a row of length 0 keeps its initial
    carry; a carry is the cell's own and has names, LSTMCarry(h, c), where flax has the tuple (c, h).
    Raises TypeError if `cell` is not a jaxrnn Cell.
    """

    def __init__(
        self,
        cell: Cell,
        input_size: int,
        *,
        time_major: bool = False,
        return_carry: bool = False,
        reverse: bool = False,
        keep_order: bool = True,
        engine: Any = None,
        deterministic: bool = False,
        rngs: nnx.Rngs,
    ):
        face.refuse_other_cells(cell)
        self.definition = nnx.static(cell)
        self.cell = nnx.data(jax.tree.map(nnx.Param, cell.init(rngs.params(), input_size)))
        self.time_major = time_major
        self.return_carry = return_carry
        self.reverse = reverse
        self.keep_order = keep_order
        self.engine = nnx.static(engine)
        self.deterministic = deterministic
        self.noisy = face.is_noisy(cell, input_size)
        # A model without noise keeps no random state, so nnx.split(model, nnx.Param) covers all of it.
        self.rngs = rngs.dropout.fork() if self.noisy else nnx.data(None)

    @property
    def params(self) -> Any:
        """The parameters as a pytree of arrays, as the functions of jaxrnn take them."""
        return jax.tree.map(lambda p: p.get_value(), self.cell, is_leaf=lambda p: isinstance(p, nnx.Variable))

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
        rngs: nnx.Rngs | nnx.RngStream | jax.Array | None = None,
    ) -> Any:
        """Run over inputs [..., T, D] -> outputs [..., T, H], or (carry, outputs) with return_carry.

        initial_carry: the carry to start from, of the cell's own type (`initialize_carry` makes one).
        seq_lengths [...] int: row b has steps 0 to seq_lengths[b] - 1; past them outputs are 0 and the carry is held.
        mask [..., T] bool: where False the carry is held and the output is 0.
        reset [..., T] bool: where True the row restarts from its initial carry before this step.
        rngs: an nnx.Rngs, a stream or a key for the noise of this call, instead of the model's stream.
        The other arguments override the attributes of the same name.
        Raises ValueError or TypeError, when traced, for arguments that do not fit one another.
        """
        return_carry = self.return_carry if return_carry is None else return_carry
        deterministic = self.deterministic if deterministic is None else deterministic
        carry, outputs = face.unroll(
            self.definition,
            self.params,
            inputs,
            initial_carry=initial_carry,
            seq_lengths=seq_lengths,
            mask=mask,
            reset=reset,
            time_major=self.time_major if time_major is None else time_major,
            reverse=self.reverse if reverse is None else reverse,
            keep_order=self.keep_order if keep_order is None else keep_order,
            engine=self.engine,
            key=self._key(rngs) if self.noisy and not deterministic else None,
        )
        return (carry, outputs) if return_carry else outputs

    def _key(self, rngs: Any) -> jax.Array:
        rngs = self.rngs if rngs is None else rngs
        if isinstance(rngs, nnx.Rngs):
            return rngs.dropout()
        return rngs() if isinstance(rngs, nnx.RngStream) else rngs

    def step(self, carry: Carry, x: Any) -> tuple[Carry, Any]:
        """One step without noise: carry, x [..., D] -> (carry, y [..., H])."""
        return self.definition.step(self.params, carry, x)

    def initialize_carry(self, input_shape: tuple[int, ...]) -> Carry:
        """The initial carry, for one step's input of shape [..., D]."""
        return self.definition.initial_carry(self.params, tuple(input_shape[:-1]))

    def set_view(self, deterministic: bool | None = None) -> None:
        """For `nnx.view`.

        Args:
          deterministic: whether the noise is off.
        """
        if deterministic is not None:
            self.deterministic = deterministic
