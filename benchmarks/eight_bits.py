"""What int8 costs: a run of `make train`, as it is, with kernels in int8, and with what they multiply in int8 too."""

from __future__ import annotations

import math
import sys
import tempfile
from pathlib import Path

import jax

import jaxrnn
from benchmarks.protocol import Report, compiled, interleaved, setting
from jaxrnn import data, interop, train
from jaxrnn.cli import char_lm, runs
from jaxrnn.cli.description import load_description
from jaxrnn.cli.texts import read_in
from jaxrnn.train import Checkpoints


def table(seconds: float = 2.0, run: str = "", held_out: int = 500_000) -> Report:
    """The size of its file, bits per held-out symbol, and milliseconds of 64 steps of 32 streams.

    run: its folder; none: the last in runs/. held_out: at most so many symbols of the end of its text are asked about.
    """
    folder = runs.folder("char_lm", Path(run) if run else None, new=False)
    model, vocabulary, _ = load_description(folder)
    options = runs.saved(char_lm.Options, folder)
    params = Checkpoints(folder).restore_params(model)
    streams = data.Streams(read_in(options).held_out[:held_out], options.batch, options.window)
    evaluate = train.make_evaluate(train.next_symbol(model))
    fresh = model.initial_carry(params, (options.batch,))
    forms = {
        "float32": params,
        "int8": interop.quantize(params),
        "int8, dynamic": interop.quantize(params, dynamic=True),
    }
    report = Report(
        setting("safetensors") | {"model": str(model)},
        ["kernels", "bytes", "of float32", "bits", "bits more", "ms", "float32 / this"],
    )
    rows = {}
    for name, given in forms.items():
        with tempfile.TemporaryDirectory() as place:
            path = Path(place) / "model.safetensors"
            jaxrnn.save(path, model, given, vocabulary=vocabulary)
            rows[name] = {"kernels": name, "bytes": path.stat().st_size}
        rows[name]["bits"] = evaluate(given, fresh, streams) / math.log(2)
        print(f"{name}: {rows[name]['bits']:.4f} bits", file=sys.stderr)
    tokens = streams[0].tokens
    calls = {name: compiled(jax.jit(model.apply), given, fresh, tokens).call for name, given in forms.items()}
    times = interleaved(calls, seconds=seconds)
    plain = rows["float32"]
    for name, row in rows.items():
        report.add(
            row
            | {
                "of float32": row["bytes"] / plain["bytes"],
                "bits": f"{row['bits']:.4f}",
                "bits more": f"{row['bits'] - plain['bits']:+.4f}",
                "ms": times[name].minimum,
                "float32 / this": times["float32"].minimum / times[name].minimum,
            }
        )
    return report
