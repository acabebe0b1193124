"""A cell or a model as an ONNX model."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn._core import arrays, checks
from jaxrnn._core.cell import Cell, Params
from jaxrnn._core.jax_internals import is_traced
from jaxrnn._core.numerics import widest
from jaxrnn._core.optional import optional
from jaxrnn._core.quantized import is_int8
from jaxrnn._core.rows import inside
from jaxrnn.interop._onnx import native, scan
from jaxrnn.interop._onnx.convert import call
from jaxrnn.interop._onnx.graph import Graph, Tensor
from jaxrnn.models import Classifier, LanguageModel, Tagger

OLDEST = 14  # the first opset whose RNN, LSTM and GRU are as they are now


def to_onnx(
    model: Any,
    params: Params,
    *,
    input_size: int | None = None,
    lengths: bool = True,
    reverse: bool = False,
    step: bool = False,
    opset: int = 18,
) -> Any:
    """A cell or a model as an `onnx.ModelProto`, for any batch and time.

        proto = jaxrnn.interop.to_onnx(cell, params)
        session = onnxruntime.InferenceSession(proto.SerializeToString())
        ys, h = session.run(["ys", "new_carry.h"], {"xs": xs, "sequence_lens": lengths, "carry.h": h})

    Inputs and outputs, by name; T and B are symbols in the graph, B is one batch axis:

        xs             [T, B, D], the type of the kernel; xs.0, ... where the cell takes several arrays;
                       tokens [T, B] int32 for a model of symbols
        sequence_lens  [B] int32, if `lengths`: the steps of each row
        carry.*        the initial state, leaf by leaf, by our names: carry.h [B, H], carry.layer_0.forward.c
        ys             [T, B, H], what `unroll` returns (or apply: logits)
        new_carry.*    the state after the last valid step

    elman, lstm (with peepholes; coupled), gru and gru_reset_before become nodes RNN, LSTM and GRU where ONNX has their
    activations (`onnx_activation` lists them); `bidirectional` with concat of two alike is one node. Any other cell is
    one Scan over its step, with its drive before it: an lstm with `projection` or `cell_clip` (ONNX's `clip` clips
    what goes into activations, and not c), cells and wrappers that ONNX does not have, and your own. What a composition
    computes around its members stands around their nodes. Noise is left out, as in evaluation.

    Kernels in int8 (`quantize`) stay so in the file. With dynamic=True an LSTM becomes ONNX Runtime's own
    DynamicQuantizeLSTM, which rounds what it multiplies by a whole matrix where we do by rows; other cells, and one
    step, are refused. Of a model the readout multiplies floats.

    Values are those of `unroll`: outputs past the end of a row are 0, and the final state of a row of length 0 is the
    one it started from, where ONNX Runtime's own nodes give 0. float32 and float64, though ONNX Runtime 1.32
    runs RNN, LSTM and GRU in float32 alone.

    model: a cell, `language_model`, `classifier` or `tagger`. input_size: D, for a cell that does not know it.
    lengths: False: no input sequence_lens; every row has T steps. reverse: as in `unroll`.
    step: one step, for devices that stream: x [B, D] (token [B]) and carry.* -> y [B, H] (logits) and new_carry.*.
    opset: from 14 to the newest that the installed onnx knows.

    Raises TypeError for a step with an operation that ONNX has no node for, for half-precision types, and for other
    models; ValueError for params that do not fit, and for an opset out of range.
    """
    if not isinstance(model, Cell | LanguageModel | Classifier | Tagger):
        raise TypeError(f"model: expected a cell, language_model, classifier or tagger, got {model!r}")
    cell = model if isinstance(model, Cell) else model.cell
    params = _known(model, cell, params)
    graph = Graph(_opset(opset))
    of_cell = params if isinstance(model, Cell) else params["cell"]
    if step and any(is_int8(a) and a.dynamic for a in jax.tree.leaves(of_cell, is_leaf=is_int8)):
        raise TypeError(
            "params: ONNX Runtime multiplies int8 in LSTM nodes alone, and one step has none; quantize(params) without "
            "dynamic=True keeps weights alone in int8"
        )
    T, B = jax.export.symbolic_shape("T, B")
    lead = (B,) if step else (T, B)
    symbols = getattr(model, "vocabulary_size", None) is not None
    stem = ("token" if step else "tokens") if symbols else ("x" if step else "xs")
    x = jax.ShapeDtypeStruct((), np.dtype(np.int32)) if symbols else _input(cell, of_cell, input_size)
    xs, inputs = _declared(graph, stem, x, lead)
    if lengths and not step:
        graph.lengths = Tensor("sequence_lens", (B,), np.dtype(np.int32))
        inputs.append(graph.info("sequence_lens", (B,), np.int32))
    carry, more = _declared(graph, "carry", jax.eval_shape(cell.start, of_cell), (B,))
    shape = graph.op("Shape", jax.tree.leaves(xs)[0])
    graph.sizes.update(
        {str(n): graph.op("Gather", shape, graph.ints(i), name=str(n), axis=0) for i, n in enumerate(lead)}
    )
    whole = _Marked(graph, model, params, reverse)
    new, ys = call(graph, whole.step if step else whole.run, params, carry, xs, graph.lengths)
    out = "logits" if not isinstance(model, Cell) else "y" if step else "ys"
    outputs = [*_named(graph, out, ys), *_named(graph, "new_carry", new)]
    made = graph.made("jaxrnn", inputs + more, outputs)
    helper = graph.onnx.helper
    own = helper.make_opsetid("", opset)
    return helper.make_model(
        made,
        opset_imports=[own, *(helper.make_opsetid(*each) for each in graph.domains.items())],
        ir_version=helper.find_min_ir_version_for([own]),
        producer_name="jaxrnn",
        doc_string=repr(model),
    )


class _Marked:
    """A model with its cell replaced by one whose runs over time are written by this, and not traced."""

    def __init__(self, graph: Graph, model: Any, params: Any, reverse: bool):
        self.graph, self.model, self.reverse = graph, model, reverse
        self.cell = model if isinstance(model, Cell) else model.cell

    def step(self, params, carry, x, lengths):
        return self.model.step(params, carry, x)

    def run(self, params, carry, xs, lengths):
        if not isinstance(self.model, Cell):
            opaque = Cell(self.cell.init, self.cell.start, self.cell.input, sequence=self.sequence)
            return dataclasses.replace(self.model, cell=opaque).apply(
                params, carry, xs, lengths=lengths, reverse=self.reverse
            )
        carry, ys = self.sequence(None, params, carry, xs, None)
        if lengths is not None and not _zero_past_end(self.cell):
            valid = inside(lengths, jax.tree.leaves(xs)[0].shape[0])
            ys = jax.tree.map(lambda y: jnp.where(jnp.expand_dims(valid, range(2, y.ndim)), y, jnp.zeros_like(y)), ys)
        return carry, ys

    def sequence(self, run, params, carry, xs, key):
        """The `sequence` of the cell that stands for the model's own."""
        return self.marked(self.cell, params, carry, xs, backwards=self.reverse)

    def marked(self, cell, params, carry, xs, backwards):
        """A call that stays one equation, of a function that `call` does not trace: `written` writes its nodes."""
        lead, members = jax.tree.leaves(xs)[0].shape[:2], self.graph.members
        x = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape[2:], a.dtype), xs)
        y = cell.outputs(params, x)

        def body(params, carry, xs):
            return carry, jax.tree.map(lambda a: jnp.zeros((*lead, *a.shape), a.dtype), y)

        body.__name__ = f"jaxrnn member {len(members)}"
        tree = jax.tree.structure((params, carry, xs))

        def write(graph, inputs):
            params, carry, xs = jax.tree.unflatten(tree, inputs)
            return jax.tree.leaves(self.written(graph, cell, params, carry, xs, backwards))

        members[body.__name__] = write
        return jax.jit(body)(params, carry, xs)

    def written(self, graph, cell, params, carry, xs, backwards):
        """(carry, ys) of a cell over time."""
        while cell.name == "learned_carry":  # the carry is given
            cell, params = cell.options["cell"], params["cell"]
        made = native.node(graph, cell, params, carry, xs, backwards)
        if made is not None:
            return made
        _no_dynamic(cell, params)
        if cell.sequence is None:
            lengths = graph.root.lengths
            time = jax.tree.leaves(xs)[0].shape[0]
            valid = None if lengths is None else call(graph, lambda n: inside(n, time), lengths)
            return scan.node(graph, cell, params, carry, xs, backwards, valid)

        def run(member, params, carry, xs, key, backwards=False, turned=backwards):
            return self.marked(member, params, carry, xs, turned != backwards)

        def composed(params, carry, xs):
            return cell.sequence(run, params, carry, xs, None)

        return call(graph, composed, params, carry, xs)


def _zero_past_end(cell: Cell) -> bool:
    """Whether the outputs of a composition past the end of a row are 0 as those of its members are."""
    if cell.name == "bidirectional":
        ways = (cell.options["forward"], cell.options["backward"])
        return cell.options["merge"] in ("concat", "sum", "mean") and all(map(_zero_past_end, ways))
    if cell.name == "stack":
        return all(map(_zero_past_end, cell.options["cells"]))
    return cell.sequence is None


def _no_dynamic(cell: Cell, params: Any) -> None:
    """Raise TypeError for a cell with products of int8 on both sides, which ONNX Runtime has in an LSTM alone."""
    own = cell.sequence is None or any(map(is_int8, jax.tree.leaves(params, is_leaf=lambda a: a is not params)))
    if own and any(is_int8(leaf) and leaf.dynamic for leaf in jax.tree.leaves(params, is_leaf=is_int8)):
        raise TypeError(
            f"params: ONNX Runtime multiplies int8 in LSTM nodes alone, got kernels with dynamic=True in {cell!r}; "
            "quantize(params) without it keeps weights alone in int8, which any cell may"
        )


def _opset(opset: Any) -> int:
    """`opset`, if it can be written."""
    newest = optional("onnx", "onnx", "to_onnx").defs.onnx_opset_version()
    if isinstance(opset, bool) or not isinstance(opset, int) or not OLDEST <= opset <= newest:
        raise ValueError(f"opset: expected {OLDEST} to {newest}, which the installed onnx knows, got {opset!r}")
    return opset


def _known(model: Any, cell: Cell, params: Any) -> Any:
    """The params as NumPy arrays, checked."""
    if any(is_traced(leaf) for leaf in jax.tree.leaves(params)):
        raise TypeError("params: expected arrays whose numbers are known, got traced ones; call to_onnx outside of jit")
    if not isinstance(model, Cell) and "cell" not in params:
        raise ValueError(f"params: expected those of {model!r}, with 'cell' among them, got {checks.describe(params)}")
    checks.params(cell, params if isinstance(model, Cell) else params["cell"])
    params = jax.tree.map(np.asarray, arrays.ours(params, "params"))
    if isinstance(model, Cell):
        return params

    def by_floats(leaf):
        return dataclasses.replace(leaf, dynamic=False) if is_int8(leaf) else leaf

    return {n: p if n == "cell" else jax.tree.map(by_floats, p, is_leaf=is_int8) for n, p in params.items()}


def _input(cell: Cell, params: Any, input_size: int | None) -> Any:
    """One input without batch axes."""
    if cell.input is not None:
        x = cell.input(params)
        if input_size is not None and jax.tree.leaves(x)[0].shape[-1:] != (input_size,):
            raise ValueError(f"input_size: expected {checks.describe(x)}, as the params have, got {input_size!r}")
        return x
    if input_size is None:
        raise ValueError(f"input_size: expected D, because {cell!r} does not say what it takes, got None")
    return jax.ShapeDtypeStruct((checks.positive(input_size, "input_size"),), widest(params))


def _declared(graph: Graph, stem: str, tree: Any, lead: tuple[Any, ...]) -> tuple[Any, list[Any]]:
    """(the pytree as Tensors with these leading axes, their declarations), named by their paths."""
    infos = []

    def one(path, leaf):
        if leaf.dtype in (np.float16, jnp.bfloat16):
            raise TypeError(
                f"cell: to_onnx writes float32 and float64, got {leaf.dtype} in {stem}: sums in a half-precision type "
                "are rounded elsewhere in other programs; cast the params to float32, and make the cell without dtype="
            )
        name, shape = graph.fresh(_joined(stem, path)), (*lead, *leaf.shape)
        infos.append(graph.info(name, shape, leaf.dtype))
        return Tensor(name, shape, np.dtype(leaf.dtype))

    return jax.tree_util.tree_map_with_path(one, tree), infos


def _named(graph: Graph, stem: str, tree: Any) -> list[Any]:
    """The leaves under the names of outputs."""
    infos = []
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        name = _joined(stem, path)
        came = leaf.name if isinstance(leaf, Tensor) else graph.constant(leaf)
        graph.nodes.append(graph.onnx.helper.make_node("Identity", [came], [name], name=f"{name}.Identity"))
        infos.append(graph.info(name, leaf.shape, leaf.dtype))
    return infos


def _joined(stem: str, path: Any) -> str:
    return ".".join([stem, *filter(None, [jax.tree_util.keystr(path, simple=True, separator=".")])])
