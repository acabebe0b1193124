"""Which cells the deferred engine hands over to the plain scan, and why."""

from __future__ import annotations

import jax

from jaxrnn._core.cell import Carry, Cell, Inputs, Params
from jaxrnn._core.jax_internals import is_symbolic, is_traced
from jaxrnn.engines._deferred.plan import Plan, plan


def handover(cell: Cell, params: Params, carry: Carry, x: Inputs) -> str | None:
    """Why engines.deferred and engines.checkpointed hand a cell in three parts to engines.scan; None: they do not.

    x: the input of one step [..., D], or its shape. Nothing is computed.
    """
    reason = planned(cell, params, carry, x)
    return reason if isinstance(reason, str) else None


def planned(cell: Cell, params: Params, carry: Carry, x: Inputs) -> Plan | str:
    """The plan for one step x [..., D], or why the cell must run as it is written.

    The engine reorders, repeats and drops equations of the cell: side effects of a step (prints, callbacks,
    collectives) would happen at other times or never. A traced array that a part of the cell closes over is not an
    argument of the custom rule, so it would have no gradient. And the reverse of a step may not be traceable at all,
    which rules out a gradient but not a forward pass. Without numbers for sizes there is no choosing of chunks.
    """
    assert cell.drive is not None
    if is_symbolic((carry, x)):
        return "its sizes are symbolic (jax.export)"
    try:
        closed = jax.make_jaxpr(cell.step)(params, carry, x)
    except Exception:  # the scan then raises the error of the user's own program
        return "its step cannot be traced by itself"
    if closed.effects:
        return f"it has effects beside its values ({', '.join(sorted(map(str, closed.effects)))})"
    if any(map(is_traced, closed.consts)):
        return "it closes over an array that is itself traced"
    try:
        return plan(cell, params, carry, jax.eval_shape(cell.drive, params, x))
    except Exception as error:
        return f"the reverse of its step cannot be traced ({type(error).__name__})"
