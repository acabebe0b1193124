"""A trained model for other programs: ONNX, StableHLO for JAX alone, or one file of jaxrnn.save.

    jaxrnn export --out model.onnx                      the last run, for ONNX Runtime
    jaxrnn export --out step.onnx --step                one step of it, its state going in and out
    jaxrnn export --model runs/char_lm-1 --out model.safetensors      for jaxrnn.load, with its vocabulary
    jaxrnn export --model model.safetensors --out model.stablehlo     for jax.export.deserialize

Seconds.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, ClassVar

from jaxrnn import interop
from jaxrnn._core.files import replacing
from jaxrnn.cli import program
from jaxrnn.cli.trained import trained

KINDS = ".onnx", ".stablehlo", ".safetensors"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options(program.Readable):
    """Those of `jaxrnn export`."""

    out: Path
    """The file to write; its end says what it is to be: .onnx, .stablehlo or .safetensors."""
    model: Path | None = None
    """The folder of a run of jaxrnn train, or a file of jaxrnn.save. None: the last run in runs/."""
    step: bool = False
    """One step in place of a whole sequence: its state goes in and comes out."""
    int8: bool = False
    """Kernels in eight bits."""
    FIGURE: ClassVar = False


def main(options: Options) -> dict[str, Any]:
    """Write the file; returns its name and its size."""
    kind = options.out.suffix
    if kind not in KINDS:
        raise program.Usage(f"--out: expected a file that ends in {', '.join(KINDS)}, got {options.out}")
    if options.step and kind == ".safetensors":
        raise program.Usage("--step: expected a .onnx or a .stablehlo, for a .safetensors has params and no program")
    model, params, vocabulary, _ = trained(options.model)
    if options.int8:
        params = interop.quantize(params)
    if kind == ".safetensors":
        interop.save(options.out, model, params, vocabulary=vocabulary)
    elif kind == ".stablehlo":
        interop.export(model, params, "step" if options.step else "sequence", path=options.out)
    else:
        content = interop.to_onnx(model, params, step=options.step).SerializeToString()
        with replacing(options.out) as file:
            file.write(content)
    size = options.out.stat().st_size
    print(f"{options.out}: {size:,} bytes, {model!r}")
    return {"out": str(options.out), "bytes": size, "model": repr(model)}
