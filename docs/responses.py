"""The figure of each cell in docs/cells.md, in docs/responses: `make cells`; one: `python docs/responses.py lem`.

On the left what a new cell of 32 units does: y of four of them, for an input of zeros with one pulse and, later, a
plateau. On the right how much of an input is still in the output k steps later: the norm of the derivative of a random
sum of y_t by x_{t-k}, with an Elman network beside it, for inputs of noise. No cell has learnt anything here.
"""

from __future__ import annotations

import functools
import inspect
import io
import re
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

import jaxrnn
from jaxrnn._core.composition import one_input

FOLDER = Path(__file__).parent / "responses"
T, H, PULSE, PLATEAU = 60, 32, 5, (25, 40)
INK, COLOURS = "#1a202c", ("#2b6cb0", "#c2410c", "#2f855a", "#6b46c1")


def made(name: str):
    """(cell, params, a function of T numbers to xs) with H units and as many inputs."""
    make = jaxrnn.CELLS[name]
    asked = [p.name for p in inspect.signature(make).parameters.values() if p.default is p.empty]
    cell = make(H, **{"shape": (4, 4)} if "shape" in asked else {})
    params = cell.init(jax.random.key(0), H)
    x = one_input(cell, params, H)
    x = x.x if hasattr(x, "x") else x
    shape = x.shape
    direction = jax.random.normal(jax.random.key(1), shape[-1:])
    return cell, params, lambda size: size.reshape(T, *[1] * len(shape)) * jnp.broadcast_to(direction, shape)


def response(name: str) -> np.ndarray:
    """y [T, 4] of four units."""
    cell, params, inputs = made(name)
    size = jnp.zeros(T).at[PULSE].set(1).at[slice(*PLATEAU)].set(1)
    _, ys = jax.jit(jaxrnn.unroll)(cell, params, None, inputs(size))
    ys = jnp.real(ys).reshape(T, -1, ys.shape[-1])[:, 0]
    return np.asarray(ys[:, :: max(1, ys.shape[-1] // 4)][:, :4])


@functools.cache
def memory(name: str) -> np.ndarray:
    """Norms [T] of d(w · y_T) / d x_{T-k}, k = 0 ... T - 1, in root mean square over eight drawn inputs."""
    cell, params, inputs = made(name)

    @jax.jit
    def one(key):
        shape = inputs(jnp.ones(T)).shape
        xs = jax.random.normal(key, shape)

        def loss(xs):
            ys = jaxrnn.unroll(cell, params, None, xs)[1]
            last = jnp.real(ys[-1])
            return (last * jax.random.normal(jax.random.fold_in(key, 1), last.shape)).sum()

        return jnp.sqrt((jax.grad(loss)(xs) ** 2).reshape(T, -1).sum(1))

    norms = np.stack([one(key) for key in jax.random.split(jax.random.key(2), 8)])
    return np.sqrt((norms.astype("float64") ** 2).mean(0))[::-1]


def draw(name: str) -> Figure:
    """Both."""
    figure = Figure(figsize=(7, 1.9), layout="constrained")
    left, right = figure.subplots(1, 2)
    for y, colour in zip(response(name).T, COLOURS, strict=False):
        left.plot(y, color=colour, linewidth=1.2)
    left.axvspan(PULSE - 0.5, PULSE + 0.5, color="#cbd5e0", linewidth=0)
    left.axvspan(PLATEAU[0] - 0.5, PLATEAU[1] - 0.5, color="#cbd5e0", linewidth=0)
    left.set_title("y of four units; the input is on where it is grey", fontsize=8, color=INK)
    left.set_xlabel("t", fontsize=8, color=INK)
    right.semilogy(np.maximum(memory("elman"), 1e-12), color="#718096", linewidth=1, linestyle="--")
    right.semilogy(np.maximum(memory(name), 1e-12), color=COLOURS[0], linewidth=1.5)
    right.set_ylim(1e-8, 1e3)
    right.set_yticks([1e-8, 1e-4, 1], ["1e-8", "1e-4", "1"])
    right.minorticks_off()
    right.set_title(
        f"norm of d y(t) / d x(t-k); dashed: {'the same' if name == 'elman' else 'elman'}", fontsize=8, color=INK
    )
    right.set_xlabel("k", fontsize=8, color=INK)
    for axis in (left, right):
        axis.tick_params(labelsize=7, colors=INK)
        axis.set_xticks([0, 20, 40, 60])
        for side in ("top", "right"):
            axis.spines[side].set_visible(False)
    return figure


def svg(name: str) -> str:
    """The figure as text, with coordinates to a tenth of a point and without what is there to be read by people."""
    text = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "jaxrnn"}):
        draw(name).savefig(text, format="svg", metadata={"Date": None, "Creator": None}, facecolor="white")
    unread = r"<metadata>.*</metadata>|<!DOCTYPE[^>]*>| transform=\"rotate\(-0 [^\"]*\"|(?<=</g>\n)\s*<defs>\s*</defs>"
    figure = re.sub(unread, "", text.getvalue(), flags=re.S)
    figure = re.sub(r"font-family: [^;]*", "font-family: sans-serif", re.sub(r"<g id=\"[^\"]*\"", "<g", figure))
    figure = re.sub(r"-?\d+\.\d{2,}(?![^<>]*</text>)", lambda found: f"{float(found[0]):.1f}", figure)
    return re.sub(r"\s*\n\s*(?=[LMCQz\"])|(?<=\n)\s+", "", figure)


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for cell in sys.argv[1:] or jaxrnn.CELLS:
        (FOLDER / f"{cell}.svg").write_text(svg(cell), encoding="utf-8")
