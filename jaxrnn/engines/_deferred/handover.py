"""What the deferred engine cannot keep of a cell: then it hands the cell to the plain scan, and says why."""

from __future__ import annotations

import jax

from jaxrnn._core.cell import Carry, Cell, Inputs, Params
from jaxrnn._core.jax_internals import is_traced
from jaxrnn.engines._deferred.plan import Plan, plan


def handover(cell: Cell, params: Params, carry: Carry, x: Inputs) -> str | None:
    """Why engines.deferred and engines.checkpointed hand a cell in three parts to engines.scan; None: they do not.

    For one step, x [..., D] or the shapes of it. Nothing is computed.
    """
    reason = planned(cell, params, carry, x)
    return reason if isinstance(reason, str) else None


def planned(cell: Cell, params: Params, carry: Carry, x: Inputs) -> Plan | str:
    """The plan for one step x [..., D], or why the cell must run as it is written.

    The engine runs equations in another order and number than the cell has them: what a step does beside computing
    (prints, callbacks, collectives) would happen at other times or never. An array that a part of the cell closes
    over while it is traced is no argument of the custom rule, so it would have no gradient. And the reverse of a step
    may not be traceable at all, which forbids a gradient but no forward pass.
    """
    try:
        closed = jax.make_jaxpr(cell.step)(params, carry, x)
    except Exception:  # what is wrong with it, the scan says in the words of the user's own program
        return "its step cannot be traced by itself"
    if closed.effects:
        return f"it has effects beside its values ({', '.join(sorted(map(str, closed.effects)))})"
    if any(map(is_traced, closed.consts)):
        return "it closes over an array that is itself traced"
    try:
        return plan(cell, params, carry, jax.eval_shape(cell.drive, params, x))
    except Exception as error:
        return f"the reverse of its step cannot be traced ({type(error).__name__})"
