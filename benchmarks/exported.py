"""An LSTM or GRU in ONNX Runtime: what `to_onnx` wrote, beside PyTorch's own export of the same network."""

from __future__ import annotations

import io
import warnings

import numpy as np

from benchmarks.protocol import Contender, Report, geometric_mean, interleaved, setting
from jaxrnn import interop

SHAPES = ("1,1,64", "1,100,64", "8,512,32", "32,100,128", "32,128,256", "1,300,512")


def table(
    seconds: float = 2.0, cells: tuple[str, ...] = ("lstm", "gru"), shapes: tuple[str, ...] = SHAPES, layers: int = 1
) -> Report:
    """Milliseconds (minimum) of a sequence in ONNX Runtime, one thread each, and the ratio: above 1, ours is faster.

    seconds: how long each row is timed. shapes: B,T,H with D = H. layers: one above the other.
    """
    columns = ["cell", "B, T, H", "ours ms", "PyTorch's ms", "median ratio", "PyTorch's / ours"]
    report = Report(setting("onnx", "onnxruntime", "torch") | {"layers": str(layers)}, columns)
    for cell in cells:
        for shape in shapes:
            B, T, H = map(int, shape.split(","))
            calls = {name: made.call for name, made in contenders(cell, B, T, H, layers).items()}
            values = [call() for call in calls.values()]
            np.testing.assert_allclose(*values, atol=1e-5)
            times = interleaved(calls, seconds=seconds)
            ours, theirs = times["ours"], times["PyTorch's"]
            row = {"cell": cell, "B, T, H": f"{B}, {T}, {H}", "ours ms": ours.minimum, "PyTorch's ms": theirs.minimum}
            report.add(
                row | {"median ratio": theirs.median / ours.median, "PyTorch's / ours": theirs.minimum / ours.minimum}
            )
    mean = geometric_mean(row["PyTorch's / ours"] for row in report.rows)
    report.note(f"Geometric mean of the ratios: {mean:.2f}.")
    return report


def contenders(cell: str, B: int, T: int, H: int, layers: int) -> dict[str, Contender]:
    """Two sessions of ONNX Runtime on one network: as we write it, and as PyTorch does."""
    import onnxruntime
    import torch

    module = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[cell](H, H, num_layers=layers)
    xs = np.random.default_rng(0).standard_normal((T, B, H)).astype(np.float32)
    # Dynamic T and B in both.
    buffer, axes = io.BytesIO(), {name: {0: "T", 1: "B"} for name in ("xs", "ys")}
    names = {"input_names": ["xs"], "output_names": ["ys"], "dynamic_axes": axes}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that this exporter, which writes LSTM nodes, is the older one
        torch.onnx.export(module, (torch.from_numpy(xs),), buffer, **names, dynamo=False)
    proto = interop.to_onnx(*interop.from_torch(module), lengths=False).SerializeToString()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    ours, theirs = (
        onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        for data in (proto, buffer.getvalue())
    )
    zeros = {
        i.name: np.zeros([B if isinstance(n, str) else n for n in i.shape], np.float32)
        for i in ours.get_inputs()
        if i.name != "xs"
    }
    return {
        "ours": Contender(lambda: ours.run(["ys"], {"xs": xs, **zeros})[0]),
        "PyTorch's": Contender(lambda: theirs.run(["ys"], {"xs": xs})[0]),
    }
