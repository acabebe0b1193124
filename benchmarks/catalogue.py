"""Every cell of the library: forward and with its gradient, beside torchrecurrent where it has the cell.

torchrecurrent runs a Python loop over PyTorch's operations, in a process of its own. Ratios are theirs / jaxrnn. Cells
over images are at D = H = 16 on images of 8 by 8; those that it has otherwise than the paper count too, as their
work is the same.
"""

from __future__ import annotations

import importlib.util
import inspect

import jax
import jax.numpy as jnp
import numpy as np

import jaxrnn
from benchmarks import in_torch
from benchmarks.contenders import over_devices
from benchmarks.protocol import Report, compiled, engines, geometric_mean, setting
from benchmarks.turns import Apart, Contender, interleaved

THEIRS = {
    "antisymmetric_rnn": "AntisymmetricRNN", "atr": "ATR", "brc": "BR", "cfn": "CFN", "cornn": "coRNN", "dsgu": "DSGU",
    "fast_grnn": "FastGRNN", "fast_rnn": "FastRNN", "gated": "UGRNN",
    "gated_antisymmetric_rnn": "GatedAntisymmetricRNN",
    "indrnn": "IndRNN", "intersection_rnn": "IntersectionRNN", "janet": "JANET", "lem": "LEM", "li_gru": "LiGRU",
    "light_ru": "LightRU", "mclstm": "MCLSTM", "mgu": "MGU", "mi_ru1": "MiRU1", "mi_ru2": "MiRU2",
    "minimal_rnn": "MinimalRNN", "multiplicative_lstm": "MultiplicativeLSTM", "mut1": "MUT1", "mut2": "MUT2",
    "mut3": "MUT3", "nas": "NAS", "nbrc": "NBR", "original_lstm": "OriginalLSTM", "ran": "RAN", "res_lstm": "ResLSTM",
    "scrn": "SCRN", "sgrn": "SGRN", "sgu": "SGU", "star": "STAR", "tau_gru": "tauGRU", "tgru": "TGRU", "tlstm": "TLSTM",
    "trnn": "TRNN", "unicornn": "UnICORNN", "wmclstm": "WMCLSTM",
}  # fmt: skip
WHAT = "forward", "gradient"


def over_images(name: str) -> bool:
    return "shape" in inspect.signature(jaxrnn.CELLS[name]).parameters


def ours(name: str, shape: tuple[int, ...], what: str, engine: str | None = None) -> Contender:
    """One layer over [T, B, D]: its outputs, or the gradient of their squares for params and inputs.

    engine: by name; None: as unroll chooses. Rows are shared among devices where there are several.
    """
    B, T, D, H = shape
    images, run = over_images(name), engines()[engine] if engine else None
    cell = jaxrnn.CELLS[name](16, shape=(8, 8)) if images else jaxrnn.CELLS[name](H)
    params = cell.init(jax.random.key(0), 16 if images else D)
    x = jax.ShapeDtypeStruct((D,), jnp.float32) if cell.input is None else cell.input(params)
    xs = jnp.asarray(np.random.default_rng(0).standard_normal((T, B, *x.shape)), x.dtype)

    params, xs = over_devices(params, xs, axis=1)

    def forward(params, xs):
        return jaxrnn.unroll(cell, params, None, xs, engine=run)[1]

    def gradient(params, xs):
        return jax.grad(lambda *args: jnp.square(forward(*args)).sum(), (0, 1))(params, xs)

    return compiled({"forward": forward, "gradient": gradient}[what], params, xs)


def table(seconds: float = 0.5, cells: tuple[str, ...] = tuple(jaxrnn.CELLS), shape: str = "32,64,64,64") -> Report:
    """Milliseconds (minimum). seconds: how long a row is timed. shape: B, T, D, H."""
    sizes = tuple(map(int, shape.split(",")))
    there = importlib.util.find_spec("torch") and importlib.util.find_spec("torchrecurrent")
    apart = Apart() if there else None
    columns = ["cell", *(f"{what} {of}" for what in WHAT for of in ("ms", "torchrecurrent ms", "ratio")), "compile s"]
    report = Report(setting("torch", "torchrecurrent") | {"B, T, D, H": shape}, columns)
    for name in cells:
        row = {"cell": name}
        for what in WHAT:
            made = {"jaxrnn": ours(name, sizes, what)}
            if apart and name in THEIRS:
                kind = THEIRS[name]
                made |= report.build({kind: lambda w=what, k=kind: apart.make(in_torch.recurrent, k, k, sizes, w)})
            times = interleaved({n: one.call for n, one in made.items()}, seconds=seconds)
            row |= {f"{what} ms": times["jaxrnn"].minimum, "compile s": made["jaxrnn"].compile_s}
            if len(times) == 2:
                theirs = times[THEIRS[name]].minimum
                row |= {f"{what} torchrecurrent ms": theirs, f"{what} ratio": theirs / times["jaxrnn"].minimum}
        report.add(row)
    for what in WHAT:
        found = {row["cell"]: row[f"{what} ratio"] for row in report.rows if f"{what} ratio" in row}
        if found:
            least = min(found, key=lambda name: found[name])
            mean = geometric_mean(found.values())
            report.note(
                f"{what}: {mean:.1f} in geometric mean of {len(found)} cells, at least {found[least]:.2f} ({least})."
            )
    return report
